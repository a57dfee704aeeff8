"""Cutting a conversation that is longer than the model takes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent.actions import shorten
from agent.llm import Message

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb; used only where an endpoint reports no usage."""

_KEPT_TURNS = 2
_OLD_OBSERVATION = 200
_LAST_OBSERVATION = 1000


def size(messages: Sequence[Message]) -> int:
    """Characters of the conversation, tool calls included."""
    return sum(_size(message) for message in messages)


def estimate_tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def cut(messages: Sequence[Message], limit: int) -> tuple[list[Message], str] | None:
    """The conversation brought down towards ``limit`` characters, and a note that says how.

    What precedes the first answer (system and task) is never shortened, and the last two turns stay.
    Oldest first: observations are cut to head and tail, then whole turns are dropped (an answer
    with its tool results, so that no pair is torn), then the last observations are cut. None if
    that makes it no shorter.
    """
    opening, turns = _split(messages)
    split = max(0, len(turns) - _KEPT_TURNS)
    total = size(messages)

    def shorten_observations(chosen: Sequence[list[Message]], keep: int) -> None:
        nonlocal total
        for turn in chosen:
            for index, message in enumerate(turn):
                content = message.get("content")
                if total <= limit:
                    return
                if message.get("role") == "assistant" or not isinstance(content, str):
                    continue
                shorter = shorten(content, keep, keep)
                if len(shorter) < len(content):
                    turn[index] = {**message, "content": shorter}
                    total += len(shorter) - len(content)

    shorten_observations(turns[:split], _OLD_OBSERVATION)
    dropped = 0
    while dropped < split and total > limit:
        total -= size(turns[dropped])
        dropped += 1
    shorten_observations(turns[split:], _LAST_OBSERVATION)

    if dropped:
        opening = _with_mark(opening, dropped)
    result = opening + [message for turn in turns[dropped:] for message in turn]
    if size(result) >= size(messages):
        return None
    note = (
        f"context cut: {len(messages)} messages → {len(result)}, {size(messages)} characters → {size(result)}"
    )
    return result, note


def _size(message: Message) -> int:
    content = message.get("content")
    length = len(content) if isinstance(content, str) else len(json.dumps(content)) if content else 0
    calls = message.get("tool_calls")
    return length + (len(json.dumps(calls)) if calls else 0)


def _split(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """What comes before the first answer; then turns, each an answer and all that follows it."""
    opening: list[Message] = []
    turns: list[list[Message]] = []
    for message in messages:
        if message.get("role") == "assistant":
            turns.append([message])
        else:
            (turns[-1] if turns else opening).append(message)
    return opening, turns


def _with_mark(opening: list[Message], dropped: int) -> list[Message]:
    mark = f"[{dropped} earlier turns left out: the conversation was too long]"
    if opening and isinstance(opening[-1].get("content"), str):
        last = opening[-1]
        return [*opening[:-1], {**last, "content": f"{last['content']}\n\n{mark}"}]
    return [*opening, {"role": "user", "content": mark}]
