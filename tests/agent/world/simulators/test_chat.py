"""The chat simulator against a real endpoint: what it asks for, what it forgives, and what it asks again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.llm.client import ChatModel
from agent.llm.settings import load_settings
from agent.world.intent import from_probes
from agent.world.questions.probes import probe_test
from agent.world.simulators.answer import parse_prediction, read_frames
from agent.world.simulators.chat import ChatSimulator, simulation_prompt
from agent.world.simulators.named_lines import named_lines
from agent.world.simulators.scene import Scene, build_scene, touched_lines
from agent.world.trace import Frame, Trace
from agent.world.verdict import judge
from tests.openai_server import OpenAIServer, Script, context_length_exceeded, serve, status, text

CODE = """\
from depot import weigh

def total(names):
    result = 0
    for name in names:
        result = result + len(name)
    if result > 3:
        result = result + weigh(result)
    return result

def spare():
    return 4
"""
PATCH = """\
--- a/shop.py
+++ b/shop.py
@@ -5,2 +5,2 @@
     for name in names:
-        result = result + 1
+        result = result + len(name)
"""
PROBED = probe_test(
    "test_shop.py",
    "from shop import total\ndef test_a():\n    assert total(['ab', 'c']) == 917345\n",
    "test_shop.py::test_a",
)
BEFORE = Trace((Frame("call", "total", "shop.py", 3), Frame("call", "weigh", "depot.py", 1)))


def scene(patch: str = "") -> Scene:
    return build_scene(PROBED, {"shop.py": CODE}, BEFORE, patch)


def row(event: str, line: int, value: str | None = None, **names: str) -> dict[str, Any]:
    pairs = [{"name": name, "value": text} for name, text in names.items()]
    return {
        "event": event, "function": "total", "file": "shop.py", "line": line, "depth": 1, "run": 1, "call": 1,
        "locals": pairs, "value": value,
    }  # fmt: skip


FRAMES = [
    row("call", 3, names="['ab', 'c']"),
    row("line", 4),
    row("line", 5, result="0"),
    row("line", 6, name="'ab'"),
    row("line", 5, result="2"),
    row("line", 6, name="'c'"),
    row("line", 5, result="3"),
    row("line", 7),
    row("line", 9),
    row("return", 9, "3"),
]
PROBES = [{"run": 1, "probe": "p1", "value": "3"}]
OUTCOMES = [{"run": 1, "outcome": "finished", "exception": None}]


def answer(frames: list[dict[str, Any]], *, every_line: bool = True) -> str:
    return json.dumps({"frames": frames, "every_line": every_line, "probes": PROBES, "outcomes": OUTCOMES})


WRONG = [
    {**frame, "locals": [{"name": "result", "value": "4"}]} if n == 6 else frame
    for n, frame in enumerate(FRAMES)
]


@contextmanager
def asked(script: Script, **options: Any) -> Iterator[tuple[ChatSimulator, OpenAIServer]]:
    with serve(script) as server:
        settings_ = load_settings(model="scripted", base_url=server.base_url, max_retries=0)
        model = ChatModel(settings_, sleep=lambda seconds: None)
        yield ChatSimulator(model, **options), server
        model.close()


def test_a_dense_answer_is_checked_step_by_step() -> None:
    """Would catch a chat trace of every line that is believed for the existence of its lines."""
    with asked([text(answer(FRAMES))]) as (simulator, _):
        read = simulator.predict(scene(), runs=1)
    assert (read.dense, read.checked, read.illegal, read.complete) == (True, "consistent", "", True)
    with asked([text(answer(WRONG, every_line=False))]) as (simulator, _):
        read = simulator.predict(scene(), runs=1)
    assert (read.dense, read.checked, read.illegal) == (False, "", "")


def test_a_contradiction_is_asked_again_and_bounded() -> None:
    """Would catch a wrong step that is believed, and a model that is asked for ever."""
    with asked([text(answer(WRONG)), text(answer(FRAMES))]) as (simulator, _):
        read = simulator.predict(scene(), runs=1)
    assert (read.resampled, read.repaired, read.checked) == (1, 0, "consistent")
    with asked(lambda request: text(answer(WRONG))) as (simulator, server):
        read = simulator.predict(scene(), runs=1)
        assert len(server.requests) == 3
    assert (read.resampled, read.checked) == (2, "wrong")
    assert "expected result = 3" in read.illegal
    assert judge([read], []).value == "unknown"


def test_a_contradiction_is_put_right_and_gone_on_from() -> None:
    """Would catch a repair that keeps the wrong state, and given frames that are lost or counted twice."""
    with asked([text(answer(WRONG)), text(answer(FRAMES[6:]))], repair=True) as (simulator, server):
        read = simulator.predict(scene(), runs=1)
        prompt = server.requests[1]["messages"][0]["content"]
    assert (read.resampled, read.repaired, read.checked) == (0, 1, "consistent")
    assert [f.line for f in read.trace.frames if f.event != "probe"] == [f["line"] for f in FRAMES]
    assert '"line": 5, "run": 1, "call": 1, "locals": {"result": "3"}' in prompt
    assert '"4"' not in prompt.partition("known for certain")[2]


def test_named_lines_are_those_of_the_patch_and_how_calls_end() -> None:
    """Would catch a question about everything, or about nothing that the patch changes."""
    places = named_lines(scene(PATCH))
    assert [(p.id, p.function, p.line, p.event) for p in places] == [
        ("R1", "total", 0, "return"),
        ("L1", "total", 5, "line"),
        ("L2", "total", 6, "line"),
    ]
    prompt = simulation_prompt(scene(PATCH), 2, places)
    assert "each time that line 6 is about to run" in prompt
    assert "every_line" not in prompt
    assert [p.line for p in named_lines(scene()) if p.event == "line"] == [5, 7, 9]


def test_answers_about_named_lines_make_the_same_trace() -> None:
    """Would catch states at the wrong call, exceptions read as returns, and answers that nobody asked for."""
    states = [
        {"at": "L2", "run": 1, "call": 1, "locals": [{"name": "name", "value": "'ab'"}], "value": None},
        {"at": "L9", "run": 1, "call": 1, "locals": [], "value": None},
        {"at": "R1", "run": 1, "call": 1, "locals": [], "value": "3", "exception": None},
        {"at": "R1", "run": 1, "call": 2, "locals": [], "value": None, "exception": "KeyError('x')"},
    ]
    said = json.dumps({"states": states, "probes": PROBES, "outcomes": OUTCOMES})
    with asked([text(said)], asking="lines") as (simulator, server):
        read = simulator.predict(scene(PATCH), runs=1)
        assert "states" in server.requests[0]["response_format"]["json_schema"]["schema"]["properties"]
    assert [(f.event, f.line, f.visit, f.value, dict(f.locals)) for f in read.trace.frames] == [
        ("line", 6, 1, None, {"name": "'ab'"}),
        ("return", 0, 1, "3", {}),
        ("exception", 0, 2, "KeyError('x')", {}),
        ("probe", 3, 1, "3", {}),
    ]
    assert (read.dense, read.complete, read.label) == (False, True, "chat-lines:scripted")
    assert any("no line that was named" in note for note in read.forgiven)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_server_without_schemas_is_asked_in_text(refuses: bool) -> None:
    """Would catch a server that refuses or ignores a schema giving no answer, or being asked so again."""

    def script(request: dict[str, Any]) -> Any:
        if refuses and "response_format" in request:
            return status(400, "response_format is not supported", param="response_format")
        return text(f"Here it is:\n```json\n{answer(FRAMES)}\n```")

    with asked(script) as (simulator, server):
        reads = simulator.simulate(scene(), runs=1, samples=2)
        assert [("response_format" in r) for r in server.requests] == (
            [True, False, False] if refuses else [True, True]
        )
    assert [read.checked for read in reads] == ["consistent", "consistent"]


def test_schemas_follow_the_strict_rules() -> None:
    """Would catch a schema that OpenAI's endpoint refuses: a property that may be missing, or others."""

    def check(schema: dict[str, Any]) -> None:
        if schema.get("type") == "object":
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False
            for inner in schema["properties"].values():
                check(inner)
        elif schema.get("type") == "array":
            check(schema["items"])

    for asking in ("dense", "lines"):
        with asked([text("")], asking=asking) as (simulator, server):
            simulator.predict(scene(), runs=1)
            check(server.requests[0]["response_format"]["json_schema"]["schema"])


@pytest.mark.parametrize("said", ["", "It works.", "{", answer(FRAMES)[:200], '{"frames": []}', "[1, 2]"])
def test_what_is_no_answer_is_unknown(said: str) -> None:
    """Would catch prose, silence or half an answer as a pass."""
    with asked(lambda request: text(said)) as (simulator, _):
        reads = simulator.simulate(scene(), runs=1, samples=2)
    assert [read.complete for read in reads] == [False, False]
    assert judge(reads, []).value == "unknown"


def test_a_scene_that_is_too_long_is_said() -> None:
    """Would catch a prompt that is cut in the middle and answered as if it were whole."""
    with asked(lambda request: context_length_exceeded()) as (simulator, server):
        (read,) = simulator.simulate(scene(), runs=1, samples=1)
        assert len(server.requests) == 1
    assert not read.complete
    assert "longer than scripted takes" in read.forgiven[0]


MESSY = """\
Let me think. The loop {runs twice}.
```json
{frames: [
  {'event': 'call', "function": "total()", "line": "3", run: 1, "locals": {'names': ['ab', 'c']}},
  {"event": "line", "function": "total", "line": 5, "run": 1, "locals": {"names": "..", "result": 0,}},
  {"event": "line", "function": "total", "line": 6, "run": 1, "locals": {"x": (1, 2), "y": {1: 'a'}, z: NaN}},
  {"event": "return", "function": "total", "line": 9, "run": 1, "value": <Shelf object>},  // done
 ],
 "probes": [{"run": 1, "probe": "p1", "value": None},], "outcomes": [{"run": 1, "outcome": "finished"}],
}
```
I hope that helps!
"""


def test_what_models_write_is_forgiven_and_said() -> None:
    """Would catch an answer that is lost for its quotes, commas, fences, comments or Python's own values."""
    read = parse_prediction(MESSY, scene(), runs=1)
    call, first, second, ended, probe = read.trace.frames
    assert call.locals == {"names": "['ab', 'c']"}
    assert first.locals == {"result": "0"}
    assert second.locals == {"x": "(1, 2)", "y": "{1: 'a'}", "z": "nan"}
    assert (ended.value, probe.value) == ("<Shelf object>", "None")
    assert read.complete
    assert set(read.forgiven) >= {
        "single quotes", "keys without quotes", "a comma before a bracket", "Python's names for JSON's",
        "Python's tuples", "a value without quotes", "a code fence", "prose around the answer", "a comment",
        "values that are no texts",
    }  # fmt: skip


def said(value: Any, **others: Any) -> str:
    probes = [{"run": 1, "probe": "p1", "value": value}]
    return json.dumps({"frames": FRAMES, "probes": probes, "outcomes": OUTCOMES, **others})


RIGHT, DRAFT = said("917345"), said("3")


def verdict(text: str) -> tuple[str, tuple[str, ...]]:
    read = parse_prediction(text, scene(), runs=1)
    return judge([read], from_probes(PROBED)).value, read.forgiven


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"<think>Perhaps {DRAFT}?</think>\n{RIGHT}", "holds"),
        (f"{DRAFT} is a draft.</think>{RIGHT}", "holds"),
        (f"First: {DRAFT}\nNo, wait:\n```json\n{RIGHT}\n```", "holds"),
        (f"First: {RIGHT}\nNo, wait:\n{DRAFT}", "broken"),
        (f"<think>Perhaps {RIGHT}", "unknown"),
        (f"<think>Perhaps {RIGHT}</think> I give up.", "unknown"),
        (f"{RIGHT}\nNo, wait:\n{DRAFT[:60]}", "unknown"),
        (f"{RIGHT}\nNo, wait:\n{DRAFT.replace(']', '')}", "unknown"),
    ],
)
def test_the_last_answer_counts_and_a_draft_is_none(text: str, value: str) -> None:
    """Would catch a draft that is believed: in what was thought, before a correction, or where that one is
    cut."""
    assert verdict(text)[0] == value


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (json.dumps(RIGHT), "JSON within a text"),
        (json.dumps({"answer": RIGHT}), "JSON within a text"),
        (json.dumps({k: json.dumps(v) for k, v in json.loads(RIGHT).items()}), "JSON within a text"),
        (RIGHT.replace('"probes":', "\u201cprobes\u201d:"), "typographic quotes"),
        (RIGHT.replace('"probes":', '# by [hand], "mostly"\n/* } */ "probes":'), "a comment"),
        (RIGHT.replace('"3"', '""tea" or "oolong""'), "quotes in a text without their backslash"),
        (RIGHT.replace('"line": 5', '"line": "line 5"'), "numbers as texts"),
        (RIGHT.replace('"run": 1, "probe"', '"probe"'), "runs left out"),
        (
            RIGHT.replace('[{"name": "result", "value": "0"}]', '["result = 0"]'),
            "locals in a form of their own",
        ),
        (RIGHT.replace(json.dumps(OUTCOMES), '["finished"]'), "outcomes in words"),
        (RIGHT.replace(json.dumps(OUTCOMES), json.dumps(OUTCOMES[0])), "a row without its list"),
    ],
)
def test_other_shapes_are_read_and_said(text: str, note: str) -> None:
    """Would catch an answer that is lost for its wrapping, quotes, comments or types, or taken without a
    word."""
    value, forgiven = verdict(text)
    assert value == "holds"
    assert note in forgiven


@pytest.mark.parametrize(
    "text",
    [
        RIGHT.replace('"917345"}]', '"917345"}, ...]'),
        RIGHT.replace(', "value": "917345"', ""),
        RIGHT.replace('[{"run": 1, "probe"', '[{"run": 1, "probe": "p1"}, {"run": 1, "probe"'),
        RIGHT.replace('[{"run": 1, "probe"', '["p1 is 3", {"run": 1, "probe"'),
        RIGHT.replace('[{"run": 1, "probe"', '[{"run": "first", "probe": "p1"}, {"run": 1, "probe"'),
        RIGHT.replace('"exception": null', '"exception": "KeyError(1)"'),
        said("917345", outcomes=[*OUTCOMES, {"run": 1, "outcome": "raised", "exception": "KeyError(1)"}]),
        said("unknown"),
        said("?"),
        RIGHT.replace('"917345"', "..."),
        RIGHT.replace('"917345"', "9" * 5000),
    ],
)
def test_what_is_left_open_is_unknown(text: str) -> None:
    """Would catch rows left out, unreadable, open or at odds with each other as a pass or a failure."""
    assert verdict(text)[0] == "unknown"


def test_values_are_read_as_they_are_meant() -> None:
    """Would catch a wrong value made of a right one: JSON's names, line ends and pairs of surrogates as they
    are, values without quotes inside a list."""
    values = {
        '"true"': "True", '"NaN"': "nan", '"\'a\nb\'"': "'a\\nb'", r'"\'\ud83d\ude00\'"': "'\U0001f600'",
        "[Decimal('1'), 2]": "[Decimal('1'), 2]", r"""  "'it\'s'"  """: r"'it\'s'", "b'tea'": "b'tea'",
    }  # fmt: skip
    for written, meant in values.items():
        read = parse_prediction(RIGHT.replace('"917345"', written), scene(), runs=1)
        assert read.trace.frames[-1].value == meant


@pytest.mark.parametrize(
    "text", ['{"""' * 20_000, '{"a ' * 800 + "z" * 500_000, "{/*" * 20_000, "[{" * 50_000]
)
def test_reading_is_bounded(text: str) -> None:
    """Would catch a reader that begins anew at every bracket and reads to the end each time: minutes."""
    assert verdict(text)[0] == "unknown"


ALONE = """\
{"event": "call", "function": "total", "line": 3, "locals": {"names": ["ab", "c"]}}
{"line": 4},
{"line": 5, "locals": {"result": 0}}
{"event": "Return", "line": 9, "value": 3}
"""


@pytest.mark.parametrize("around", ["{}", "[{}]", "So:\n```json\n[{}]\n```\nDone."])
def test_frames_that_stand_alone_are_read(around: str) -> None:
    """Would catch a list of frames, or one frame a line, refused for want of the object around them; and half
    a list, or an answer without the questions', taken for a whole one."""
    text = around.replace("{}", ALONE if around == "{}" else ALONE.replace("}}\n", "}},\n"))
    read = read_frames(text)
    assert read.complete
    assert "frames without the object around them" in read.forgiven
    predicted = parse_prediction(text, scene(), runs=1)
    assert [(f.event, f.function, f.line) for f in predicted.trace.frames] == [
        ("call", "total", 3), ("line", "total", 4), ("line", "total", 5), ("return", "total", 9),
    ]  # fmt: skip
    assert predicted.trace.frames[-1].value == "3"
    assert not predicted.complete
    assert not read_frames(text[: text.index("9")]).complete
    if "[" in around:
        assert not read_frames(text[: text.rindex("]")]).complete


@given(st.text(max_size=200), st.integers(0, len(MESSY)))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(noise: str, at: int) -> None:
    """Would catch an answer that raises, and a cut one that is taken for whole."""
    assert verdict(RIGHT[: at % len(RIGHT)])[0] == "unknown"
    parse_prediction(noise, scene(), runs=2)
    read_frames(ALONE[: at % len(ALONE)] + noise)
    parse_prediction(MESSY[:at] + noise, scene(), runs=2, asked=named_lines(scene()))
    assert not parse_prediction(MESSY[: min(at, MESSY.rindex("}"))], scene(), runs=1).complete


def test_deeper_calls_are_stepped_over() -> None:
    """Would catch a function that the test runs being neither shown nor asked for, and its answers lost or
    run together."""
    small = build_scene(PROBED, {"shop.py": CODE}, BEFORE)
    assert [f.qualname for f in small.functions] == ["total"]
    assert small.deeper == (("depot.py", "weigh"),)
    prompt = simulation_prompt(small, 1)
    assert "`weigh` (depot.py)" in prompt
    over = {"event": "return", "function": "weigh", "file": "depot.py", "line": 0, "run": 1, "locals": []}
    read = parse_prediction(answer([{**over, "value": "5"}, {**over, "value": "6"}]), small, runs=1)
    assert [(f.file, f.visit, f.value) for f in read.trace.frames if f.function == "weigh"] == [
        ("depot.py", 1, "5"),
        ("depot.py", 2, "6"),
    ]
    tight = build_scene(PROBED, {"shop.py": CODE}, BEFORE, token_budget=30)
    assert tight.functions == ()
    assert set(tight.deeper) == {("shop.py", "total"), ("depot.py", "weigh")}


def test_the_lines_that_a_patch_touches() -> None:
    """Would catch lines of the wrong file, or headers of a diff read as changes."""
    two = PATCH + PATCH.replace("shop.py", "other.py").replace("+5,2", "+7,2")
    assert touched_lines(two) == {"shop.py": {6}, "other.py": {8}}
