"""What is left of a predicted trace that checking contradicts: the frames before the wrong one, and that one
with the right state, where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.world.checking.legality import Finding
from agent.world.trace import Frame


def mended(frames: Sequence[Frame], findings: Sequence[Finding]) -> tuple[Frame, ...]:
    """The part of a trace that may be gone on from. ``findings``: in the order of the trace, at least one.

    Where checking knows no right state the wrong frame is left out, so that it is predicted again.
    """
    first = findings[0].index
    at = [finding for finding in findings if finding.index == first]
    kept, wrong = tuple(frames[:first]), frames[first]
    names = {name: text for finding in at for name, text in finding.names.items()}
    value = next((finding.value for finding in at if finding.value is not None), None)
    to = next((finding.to for finding in at if finding.to is not None), None)
    stepped = wrong.event in ("call", "line")
    if value is not None:
        return (*kept, replace(wrong, event="return", value=value, locals={}))
    if to is not None:
        before = dict(wrong.locals) if stepped else {}
        return (*kept, replace(wrong, event="line", line=to, value=None, locals=before | names))
    if names and stepped and all(finding.names for finding in at):
        return (*kept, replace(wrong, locals={**wrong.locals, **names}))
    return kept
