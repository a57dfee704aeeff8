"""Whether a predicted trace is one that the program can take. First version: the lines exist where they
are said to."""

from __future__ import annotations

from collections.abc import Iterable

from agent.world.trace import Trace


def illegal_step(trace: Trace, ranges: Iterable[tuple[str, str, int, int]]) -> str:
    """The first frame whose line lies outside of its function, in words; empty where there is none.

    ``ranges``: path, qualified name, first and last line of each function that was shown.
    """
    known = {(path, name): (first, last) for path, name, first, last in ranges}
    for frame in trace.frames:
        span = known.get((frame.file, frame.function))
        if span and frame.event != "probe" and not span[0] <= frame.line <= span[1]:
            where = f"lines {span[0]} to {span[1]} of {frame.file}"
            return f"{frame.function} has no line {frame.line} (it is {where})"
    return ""
