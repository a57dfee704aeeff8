"""Cutting long conversations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.llm import Message
from agent.llm.context import cut, size


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """A system and a task, then turns with no, one or several tool calls and further user messages."""
    length = st.integers(0, 5000)
    messages: list[Message] = [{"role": "system", "content": "sys"}]
    messages.append({"role": "user", "content": "t" * draw(length)})
    for turn in range(draw(st.integers(0, 8))):
        ids = [f"{turn}.{n}" for n in range(draw(st.integers(0, 3)))]
        answer: Message = {"role": "assistant", "content": "a" * draw(st.integers(0, 500))}
        if ids:
            answer["tool_calls"] = [{"id": i, "function": {"name": "bash", "arguments": "{}"}} for i in ids]
        messages.append(answer)
        messages += [{"role": "tool", "tool_call_id": i, "content": "o" * draw(length)} for i in ids]
        if not ids or draw(st.booleans()):
            messages.append({"role": "user", "content": "u" * draw(length)})
    return messages


@given(conversations(), st.integers(0, 30_000))
def test_pairs_stay_whole_and_the_ends_stay(messages: list[Message], limit: int) -> None:
    """A tool result without its call, or a call without its result, is refused by every server."""
    before = [dict(message) for message in messages]
    result = cut(messages, limit)
    assert messages == before
    if result is None:
        return
    shorter, note = result
    assert size(shorter) < size(messages)
    assert note.startswith("context cut: ")
    wanted: list[str] = []
    for message in shorter:
        if message["role"] == "tool":
            assert message["tool_call_id"] == wanted.pop(0)
        else:
            assert not wanted
            wanted = [call["id"] for call in message.get("tool_calls", ())]
    assert not wanted
    assert shorter[0] == messages[0]
    assert shorter[1]["content"].startswith(messages[1]["content"])
    answers = [m for m in messages if m["role"] == "assistant"]
    assert [m for m in shorter if m["role"] == "assistant"][-2:] == answers[-2:]


@given(conversations(), st.integers(0, 30_000))
def test_what_fits_is_left_alone(messages: list[Message], spare: int) -> None:
    """A cut that was not needed loses work."""
    assert cut(messages, size(messages) + spare) is None


def test_oldest_observations_go_first() -> None:
    """The newest output is what the model needs next; a note says what is missing."""
    messages: list[Message] = [{"role": "user", "content": "task"}]
    for n in range(6):
        messages += [{"role": "assistant", "content": f"{n}"}, {"role": "user", "content": f"{n}" * 2000}]
    result = cut(messages, 9000)
    assert result is not None
    lengths = [len(m["content"]) for m in result[0] if m["role"] == "user"][1:]
    assert lengths[-3:] == [2000, 2000, 2000]
    assert all(length < 500 for length in lengths[:2])
    dropped = cut(messages, 4600)
    assert dropped is not None
    assert "earlier turns left out" in dropped[0][0]["content"]
