"""What a model may write, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.actions import Action, Bash, Edit, Propose
from agent.llm import Completion, ToolCall
from agent.llm.protocol import FormatError, TextProtocol, ToolCallProtocol

FENCE = "```"


def block(command: str, name: str = "bash") -> str:
    return f"{FENCE}{name}\n{command}\n{FENCE}"


def calling(*calls: tuple[str, Any], text: str = "") -> Completion:
    made = (
        ToolCall(f"c{n}", name, arguments if isinstance(arguments, str) else json.dumps(arguments))
        for n, (name, arguments) in enumerate(calls)
    )
    return Completion(text, tuple(made), finish_reason="tool_calls")


@pytest.mark.parametrize("name", ["bash", "sh", "mswea_bash_command", "bash "])
def test_text_one_block(name: str) -> None:
    """Each of the fence's names is in use."""
    assert TextProtocol().parse(Completion(f"I look.\n\n{block('ls -la', name)}\n")) == [Bash("ls -la")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I am done.",
        block("ls", "python"),
        block("ls") + "\n" + block("pwd"),
        f"{FENCE}bash\nls",
        block(" "),
    ],
)
def test_text_not_exactly_one(text: str) -> None:
    """No block, two, another language, an unclosed or empty one: the model is told, nothing is run."""
    protocol = TextProtocol()
    answer = Completion(text)
    with pytest.raises(FormatError) as caught:
        protocol.parse(answer)
    said, correction = protocol.correction(answer, caught.value)
    assert said["role"] == "assistant"
    assert said["content"]
    assert correction["role"] == "user"
    assert "exactly one" in correction["content"]


def test_text_a_fence_inside_the_command() -> None:
    """A README written by a here-document ends the block early: half a command must not run."""
    with pytest.raises(FormatError, match="its end is not clear"):
        TextProtocol().parse(Completion(block(f"cat > R.md <<'E'\n{FENCE}\ncode\n{FENCE}\nE")))


def test_text_reasoning_is_not_searched() -> None:
    """Reasoning models rehearse blocks in their thoughts; some servers strip the opening tag."""
    for thought in ("<think>\nmaybe " + block("rm -rf .") + "\n</think>\n", "or " + block("x") + "</think>"):
        assert TextProtocol().parse(Completion(thought + block("ls"))) == [Bash("ls")]


def test_text_cut_answer_is_said() -> None:
    """A model that ran into the length limit must hear that, not only that its block is missing."""
    with pytest.raises(FormatError, match="length limit"):
        TextProtocol().parse(Completion(f"{FENCE}bash\nls", finish_reason="length"))


fragments = st.sampled_from([FENCE, "bash", "\n", "sh\n", "ls", " ", "</think>", "<think>", "\0", "`", "é"])


@given(st.lists(fragments | st.text(max_size=5), max_size=30).map("".join))
@example(FENCE * 3)
def test_text_parser_raises_nothing_else(text: str) -> None:
    """Whatever a model writes gives one command or a correction."""
    try:
        actions = TextProtocol().parse(Completion(text))
    except FormatError:
        return
    assert len(actions) == 1
    assert isinstance(actions[0], Bash)
    assert actions[0].command.strip()


@given(st.text(alphabet=st.characters(exclude_characters="`\0", exclude_categories=["Cs"]), min_size=1))
def test_text_round_trip(command: str) -> None:
    """A command comes out as it went in, less the space around it."""
    if command.strip():
        assert TextProtocol().parse(Completion("why\n" + block(command))) == [Bash(command.strip())]


@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("bash", {"command": "ls"}, Bash("ls")),
        ("bash", {"command": "ls", "timeout": "30"}, Bash("ls", 30.0)),
        ("edit", {"path": "a.py", "old": "x", "new": ""}, Edit("a.py", "x", "")),
        ("edit", {"path": "a.py", "old": "", "new": "x\n"}, Edit("a.py", "", "x\n")),
        ("propose", "", Propose()),
        ("propose", {"test": None, "note": "done"}, Propose(None, "done")),
        ("propose", {"test": "t.py::a"}, Propose("t.py::a")),
    ],
)
def test_tools_each(name: str, arguments: Any, action: Action) -> None:
    """Every tool, with its optional arguments left out or given."""
    assert ToolCallProtocol().parse(calling((name, arguments))) == [action]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("bash", '{"command": "ls', "not valid JSON"),
        ("bash", '"ls"', "must be a JSON object, not str"),
        ("bash", "[" * 100_000, "not valid JSON"),
        ("bash", {}, "'command' is missing"),
        ("bash", {"command": ["ls"]}, "must be a string, not list"),
        ("bash", {"command": "  "}, "'command' is empty"),
        ("bash", {"command": "a\0b"}, "no file or command can hold"),
        ("bash", '{"command": "\\ud800"}', "no file or command can hold"),
        ("bash", {"command": "ls", "timeout": "soon"}, "number of seconds"),
        ("bash", {"command": "ls", "timeout": -1}, "number of seconds"),
        ("bash", '{"command": "ls", "timeout": NaN}', "number of seconds"),
        ("edit", {"path": "a.py", "new": "x"}, "'old' is missing"),
        ("run", {"command": "ls"}, "no such tool; the tools are bash, edit, propose"),
        ("", "{}", "no such tool"),
    ],
)
def test_tools_malformed(name: str, arguments: Any, told: str) -> None:
    """The correction names what is wrong with which call."""
    with pytest.raises(FormatError) as caught:
        ToolCallProtocol().parse(calling((name, arguments)))
    assert told in caught.value.problem


def test_tools_none() -> None:
    """Prose, or a block as in the other protocol, is no tool call."""
    with pytest.raises(FormatError, match="no tool call"):
        ToolCallProtocol().parse(Completion(block("ls")))


def test_tools_one_bad_call_stops_all() -> None:
    """A second command that relies on a first one that was never run does harm."""
    protocol = ToolCallProtocol()
    answer = calling(("bash", {"command": "ls"}), ("nope", {}))
    with pytest.raises(FormatError) as caught:
        protocol.parse(answer)
    said, *results = protocol.correction(answer, caught.value)
    assert [call["id"] for call in said["tool_calls"]] == [r["tool_call_id"] for r in results] == ["c0", "c1"]


def test_tools_broken_json_is_not_sent_back_as_a_call() -> None:
    """vLLM and others parse the calls of the conversation: a broken one would poison every later request."""
    protocol = ToolCallProtocol()
    answer = calling(("bash", '{"command": '), text="trying")
    with pytest.raises(FormatError) as caught:
        protocol.parse(answer)
    said, told = protocol.correction(answer, caught.value)
    assert "tool_calls" not in said
    assert '{"command": ' in said["content"]
    assert told["role"] == "user"


def test_tools_every_call_is_answered() -> None:
    """Endpoints refuse a conversation in which a call has no result, so those not run get one too."""
    answer = calling(("bash", {"command": "a"}), ("propose", {}), ("bash", {"command": "b"}), text="so")
    said, *results = ToolCallProtocol().observe(answer, ["out", "learnt"])
    assert said["content"] == "so"
    assert [c["function"]["arguments"] for c in said["tool_calls"]] == [
        c.arguments for c in answer.tool_calls
    ]
    assert [r["tool_call_id"] for r in results] == ["c0", "c1", "c2"]
    assert [r["content"] for r in results[:2]] == ["out", "learnt"]
    assert "not run" in results[2]["content"]


def test_tools_calls_left_in_the_text() -> None:
    """A server without a parser for its model leaves calls in the text; the model cannot do better."""
    protocol = ToolCallProtocol()
    written = json.dumps({"name": "bash", "arguments": {"command": "ls"}})
    answer = Completion(f"<think>x</think><tool_call>\n{written}\n</tool_call>")
    assert protocol.parse(answer) == [Bash("ls")]
    assert [m["role"] for m in protocol.observe(answer, ["out"])] == ["assistant", "user"]
    with pytest.raises(FormatError):
        protocol.parse(Completion("<tool_call>{broken</tool_call>"))


arguments = st.text(max_size=20) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(["command", "timeout", "path", "old", "new", "test"]), inner
    ),
    max_leaves=6,
).map(json.dumps)


@given(st.sampled_from(["bash", "edit", "propose", "x"]), arguments, st.text(max_size=20))
def test_tools_parser_raises_nothing_else(name: str, raw: str, text: str) -> None:
    """Any arguments give an action or a correction, and both can be put into the conversation."""
    protocol = ToolCallProtocol()
    answer = Completion(text, (ToolCall("c", name, raw),))
    try:
        protocol.parse(answer)
    except FormatError as error:
        messages = protocol.correction(answer, error)
    else:
        messages = protocol.observe(answer, ["out"])
    json.dumps(messages)
    assert messages[0]["role"] == "assistant"
