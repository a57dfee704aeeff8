"""True traces of sources that tests trust: what ``sys.settrace`` says, in the shape of a prediction."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from agent.world.trace import Frame, Trace


def record(source: str, path: str = "m.py", entry: str = "main") -> Trace:
    """Run ``entry()`` of a source in this process, and record every event in it."""
    frames: list[Frame] = []
    before: dict[int, dict[str, str]] = {}
    visits: dict[int, int] = {}
    count: dict[str, int] = {}
    alive: list[FrameType] = []
    depth = 0

    def follow(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal depth
        if frame.f_code.co_filename != "<recorded>":
            return None
        name, key = frame.f_code.co_qualname, id(frame)
        if key not in visits:
            alive.append(frame)
            visits[key] = count[name] = count.get(name, 0) + 1
        changes: dict[str, str | None] = {}
        if event in ("call", "line"):
            state = {name: repr(value) for name, value in frame.f_locals.items()}
            old: dict[str, str] = {} if event == "call" else before[key]
            changes = {k: v for k, v in state.items() if old.get(k) != v} | dict.fromkeys(
                set(old) - set(state)
            )
            before[key] = state
        value = repr(argument) if event == "return" else repr(argument[1]) if event == "exception" else None
        depth += event == "call"
        frames.append(
            Frame(event, name, path, frame.f_lineno, depth - 1, 1, visits[key], changes, value)  # type: ignore[arg-type]
        )
        depth -= event == "return"
        return follow

    names: dict[str, Any] = {"__name__": "recorded"}
    exec(compile(source, "<recorded>", "exec"), names)
    outer = sys.gettrace()
    sys.settrace(follow)
    try:
        names[entry]()
    finally:
        sys.settrace(outer)
    return Trace(tuple(frames))
