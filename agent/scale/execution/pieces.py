"""What is run on one patch, piece by piece: each piece's result is kept by content, so that the same work is
never done twice, and a new kind of piece does not undo the others.

A piece is run on the base commit with the patch applied, after the work tree was cleaned; the pieces of one
patch share a sandbox, patches do not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.errors import PatchDoesNotApply
from agent.record import write_atomically
from agent.scale.execution.examples import run_examples
from agent.scale.execution.nearest import nearest_tests
from agent.scale.execution.suites import Suite
from sandbox import Sandbox, SandboxSpec, open_sandbox

__all__ = ["Brought", "Existing", "Nearest", "Piece", "Result", "Shown", "Work"]

RECIPE = 2
"""Changes whenever results may differ for the same content."""


@dataclass(frozen=True)
class Result:
    """``lines``: the tests that pass, the outcomes of statements, or files. ``seconds``: of containers."""

    applied: bool
    lines: tuple[str, ...]
    seconds: float = 0.0
    timed_out: bool = False


class Piece(Protocol):
    """Something to run on a patch. Its fields are JSON values: with its kind they are its content."""

    def run(self, box: Sandbox, suite: Suite, timeout: float) -> tuple[Sequence[str], bool]:
        """Result lines, and whether it ran out of time. Raises ``PatchDoesNotApply``, ``SandboxError``."""
        ...


@dataclass(frozen=True)
class Existing:
    """Test files of the base commit. ``turn``: a second run of the same is another piece."""

    files: tuple[str, ...]
    turn: int = 0

    def run(self, box: Sandbox, suite: Suite, timeout: float) -> tuple[Sequence[str], bool]:
        return _passing(box, suite, self.files, timeout)


@dataclass(frozen=True)
class Brought:
    """Test files that a candidate brought along, and the patch that makes them."""

    patch: str
    files: tuple[str, ...]

    def run(self, box: Sandbox, suite: Suite, timeout: float) -> tuple[Sequence[str], bool]:
        box.apply(self.patch)
        return _passing(box, suite, self.files, timeout)


@dataclass(frozen=True)
class Shown:
    """Statements that the issue shows (``examples``)."""

    statements: tuple[str, ...]
    packages: tuple[str, ...]
    turn: int = 0

    def run(self, box: Sandbox, suite: Suite, timeout: float) -> tuple[Sequence[str], bool]:
        return run_examples(box, suite, self.statements, self.packages, timeout), False


@dataclass(frozen=True)
class Nearest:
    """No test yet: which test files are nearest to ``patches`` (``nearest_tests``)."""

    patches: tuple[str, ...]
    named: tuple[str, ...]
    most: int

    def run(self, box: Sandbox, suite: Suite, timeout: float) -> tuple[Sequence[str], bool]:
        return nearest_tests(box, self.patches, self.most, self.named), False


def _passing(box: Sandbox, suite: Suite, files: Sequence[str], timeout: float) -> tuple[Sequence[str], bool]:
    if not files:
        return (), False
    ran = suite.run(box, files, timeout)
    return sorted(test for test, passed in ran.outcomes.items() if passed), ran.timed_out


@dataclass
class Work:
    """Pieces on the patches of one instance. ``cache``: the folder where results are kept."""

    spec: SandboxSpec
    suite: Suite
    cache: Path
    timeout: float
    _place: list[object] = field(init=False)

    def __post_init__(self) -> None:
        spec = self.spec
        where = [spec.image, spec.python or "", spec.base_commit]
        self._place = [RECIPE, *where, self.suite.fingerprint, self.timeout]

    @contextmanager
    def on(self, patch: str) -> Iterator[Callable[[Piece], Result]]:
        """A function that does a piece on ``patch`` ("": the base commit), in one sandbox for all of them.

        It is opened only if a result is not there yet. The function raises ``SandboxError`` where the
        environment fails; then nothing is recorded. A patch, or a candidate's tests, that do not apply are an
        answer: nothing passes.
        """
        with ExitStack() as stack:
            boxes: list[Sandbox] = []
            spent = 0.0

            def do(piece: Piece) -> Result:
                nonlocal spent
                kept = self._kept(patch, piece)
                if kept is not None:
                    return kept
                if not boxes:
                    boxes.append(stack.enter_context(open_sandbox(self.spec)))
                box = boxes[0]
                applied, lines, timed_out = self._do(box, patch, piece)
                result = Result(applied, tuple(lines), round(box.seconds - spent, 3), timed_out)
                spent = box.seconds
                self._keep(patch, piece, result)
                return result

            yield do

    def _do(self, box: Sandbox, patch: str, piece: Piece) -> tuple[bool, Sequence[str], bool]:
        box.reset()
        if patch:
            try:
                box.apply(patch)
            except PatchDoesNotApply:
                return False, (), False
        try:
            return True, *piece.run(box, self.suite, self.timeout)
        except PatchDoesNotApply:
            return True, (), False

    def file_of(self, patch: str, piece: Piece) -> Path:
        """Where a result is kept."""
        content = [self._place, patch, type(piece).__name__, vars(piece)]
        text = json.dumps(content, default=str)
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return self.cache / digest[:2] / f"{digest[2:34]}.json"

    def _kept(self, patch: str, piece: Piece) -> Result | None:
        try:
            value: dict[str, Any] = json.loads(self.file_of(patch, piece).read_text("utf-8"))
            return Result(
                bool(value["applied"]),
                tuple(map(str, value["lines"])),
                float(value["seconds"]),
                bool(value["timed_out"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, or spoilt: it is run again

    def _keep(self, patch: str, piece: Piece, result: Result) -> None:
        write_atomically(self.file_of(patch, piece), json.dumps(vars(result)) + "\n")
