"""Traces: what a program does, frame by frame. One shape for what was predicted and what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Event = Literal["call", "line", "return", "exception", "probe"]


@dataclass(frozen=True)
class Frame:
    """One event, with the state BEFORE the line runs (``sys.settrace``'s convention).

    ``locals`` holds what changed since the last frame of the same activation (all arguments on a
    call); values are bounded ``repr`` texts, None marks a name that was unbound.
    """

    event: Event
    function: str
    """Qualified name, e.g. ``Catalogue.price``."""
    file: str
    """Path relative to the repository, with forward slashes."""
    line: int
    depth: int = 0
    """0 is the test itself."""
    run: int = 1
    """1 or 2: which of the back-to-back runs."""
    visit: int = 1
    """Which call of this function within the run, from 1."""
    locals: Mapping[str, str | None] = field(default_factory=dict)
    value: str | None = None
    """Return value, exception (``ValueError('x')``) or probed value, as bounded ``repr``."""
    probe: str | None = None
    """Probe events only: the probe's id."""


@dataclass(frozen=True)
class Trace:
    """Frames of one or more runs, and what cut them short (``limits``: name of the cap → detail)."""

    frames: tuple[Frame, ...]
    limits: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
