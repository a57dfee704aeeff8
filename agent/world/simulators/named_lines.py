"""Which states are asked for where a simulation is asked about named lines only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.world.flow import EXIT, Program, Unit
from agent.world.simulators.scene import FunctionSource, Scene

MAX_LINES = 12
"""Lines that are asked about, besides how each function ends."""
MAX_TIMES = 10
"""How often one line is answered within one run, at most."""


@dataclass(frozen=True)
class NamedLine:
    """One place: a line of a function before it runs (``line``), or how the function's calls end
    (``return``, its line not known: 0)."""

    id: str
    path: str
    function: str
    line: int
    event: Literal["line", "return"]

    @property
    def question(self) -> str:
        """As it is put to a model."""
        if self.event == "return":
            return f"what does each call of `{self.function}` return, or raise?"
        return f"what are the locals of `{self.function}` each time that line {self.line} is about to run?"


def named_lines(scene: Scene) -> tuple[NamedLine, ...]:
    """How each function that is shown ends; then the lines that the patch touches with those that can follow
    them, or without a patch the loops and the returns."""
    found: list[NamedLine] = []
    for function in scene.functions:
        found.append(NamedLine(f"R{len(found) + 1}", function.path, function.qualname, 0, "return"))
    asked = 0
    for function in scene.functions:
        for line in _lines(scene, function):
            if asked == MAX_LINES:
                return tuple(found)
            asked += 1
            found.append(NamedLine(f"L{asked}", function.path, function.qualname, line, "line"))
    return tuple(found)


def _lines(scene: Scene, function: FunctionSource) -> list[int]:
    try:
        program = Program(scene.texts.get(function.path, ""))
    except (SyntaxError, ValueError, RecursionError):
        return []
    units = program.named(function.qualname, function.first_line)
    if not units:
        return []
    unit = units[0]
    touched = scene.touched.get(function.path, frozenset())
    near = {line for line in touched if line in unit.headers}
    if near:
        return sorted(near | {n for line in near for n in unit.successors.get(line, ()) if n != EXIT})
    if any(scene.touched.values()):
        return []
    return sorted(set(_ways(unit)))


def _ways(unit: Unit) -> Iterator[int]:
    """The lines at which a call may end, and those of its branches and loops."""
    for line, following in unit.successors.items():
        if EXIT in following or line in unit.branches:
            yield line
