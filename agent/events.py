"""What an attempt tells whoever watches it: the stage it is in, and a line of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal[
    "intake",
    "open",
    "reproduce",
    "intend",
    "propose",
    "simulate",
    "check",
    "run",
    "compare",
    "decide",
    "score",
]


@dataclass(frozen=True)
class Progress:
    """``text`` is one line. ``passing`` marks what only a live display shows (a counter going up)."""

    stage: Stage
    text: str
    passing: bool = False


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A listener that shows nothing."""
