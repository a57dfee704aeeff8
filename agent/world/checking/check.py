"""Checking a dense prediction without running the program: legality of its steps, and recomputation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.world.checking.legality import Finding, illegal_frames
from agent.world.checking.recompute import recompute
from agent.world.flow import Program
from agent.world.trace import Trace


@dataclass(frozen=True)
class Checked:
    """What checking found, in the order of the trace.

    ``verdict``: ``wrong`` (something in it cannot be), ``unknown`` (it is cut) or ``consistent`` (nothing was
    found, which is no proof).
    """

    findings: tuple[Finding, ...]
    verdict: Literal["wrong", "unknown", "consistent"]

    @property
    def first(self) -> Finding | None:
        """The first wrong frame's finding; later ones may follow from it."""
        return self.findings[0] if self.findings else None


def check(
    trace: Trace, program: Program, *, complete: bool = True, strange: Mapping[int, str] | None = None
) -> Checked:
    """Check a dense trace of functions of ``program``. ``strange``: frames that fit nowhere in the source
    (``cwm.Reading``)."""
    findings = [
        Finding(index, "text", _line(trace, index), "a line of the source", why)
        for index, why in (strange or {}).items()
        if index < len(trace.frames)
    ]
    findings += illegal_frames(trace, program)
    findings += recompute(trace, program)
    findings.sort(key=lambda finding: finding.index)
    cut = not complete or bool(trace.limits)
    return Checked(tuple(findings), "unknown" if cut else "wrong" if findings else "consistent")


def check_files(trace: Trace, texts: Mapping[str, str], *, complete: bool = True) -> Checked:
    """Check a dense trace of functions of several files (path → text), each against its own."""
    findings: list[Finding] = []
    for path, text in texts.items():
        try:
            program = Program(text, path)
        except (SyntaxError, ValueError, RecursionError):
            continue
        findings += check(trace, program).findings
    findings.sort(key=lambda finding: finding.index)
    cut = not complete or bool(trace.limits)
    return Checked(tuple(findings), "unknown" if cut else "wrong" if findings else "consistent")


def _line(trace: Trace, index: int) -> int:
    return trace.frames[index - 1].line if index else trace.frames[index].line
