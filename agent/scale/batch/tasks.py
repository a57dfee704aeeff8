"""A folder of plain tasks: bugs of one's own, to benchmark on without a SWE-bench row.

::

    FOLDER/<instance id>/issue.md          the report
                         repository/       the code with the bug
                         task.json         optional: {"tests": ["tests/test_a.py::test_b"],
                                                      "hidden_tests": "hidden.py"}
                         hidden_tests/     or hidden.py: what scores a patch; nobody who fixes sees it

Paths in task.json are relative to the task's folder (``hidden_tests``) and to the repository (``tests``).
Without ``tests`` the visible test is ``test_visible.py`` where the repository has one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import IntakeError

__all__ = ["PlainTask", "is_task_folder", "read_tasks", "write_task"]

VISIBLE = "test_visible.py"
_HIDDEN = ("hidden_tests", "hidden.py")
_SHAPE = "a task's folder holds issue.md, repository/, and hidden_tests/ or hidden.py (docs/batch.md)"


@dataclass(frozen=True)
class PlainTask:
    """One bug. ``tests``: visible tests that show it. ``hidden``: a file or folder outside ``repository``."""

    instance_id: str
    issue: Path
    repository: Path
    tests: tuple[str, ...]
    hidden: Path | None


def is_task_folder(path: Path) -> bool:
    """Whether ``path`` is a folder of plain tasks."""
    return path.is_dir() and any(path.glob("*/issue.md"))


def read_tasks(folder: Path) -> list[PlainTask]:
    """The tasks in ``folder``, sorted by name. Raises ``IntakeError``, naming the one that is at fault."""
    if not is_task_folder(folder):
        raise IntakeError(f"{folder} holds no tasks", cure=_SHAPE)
    return [_read(path.parent) for path in sorted(folder.glob("*/issue.md"))]


def write_task(folder: Path, *, issue: str, files: dict[str, str], tests: list[str], hidden: str) -> None:
    """Lay a task out in ``folder``: what a converter from another format calls once for each bug.

    ``files``: path in the repository → text. ``hidden``: the text of a hidden test file or script.
    """
    for path, text in files.items():
        place = folder / "repository" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    (folder / "issue.md").write_text(issue, encoding="utf-8")
    (folder / "hidden.py").write_text(hidden, encoding="utf-8")
    (folder / "task.json").write_text(json.dumps({"tests": tests}) + "\n", encoding="utf-8")


def _read(folder: Path) -> PlainTask:
    name = folder.name
    if not re.fullmatch(r"\w[\w.-]*", name) or name.endswith((".", "-")):
        raise IntakeError(
            f"{folder}: a task's folder is its instance id, of letters, digits, ., _ and -", cure="rename it"
        )
    if not (folder / "repository").is_dir():
        raise IntakeError(f"{folder} has no repository/", cure=_SHAPE)
    about = _about(folder / "task.json")
    tests = about.get("tests", [VISIBLE] if (folder / "repository" / VISIBLE).is_file() else [])
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
        raise IntakeError(
            f"{folder}/task.json: expected a list of test ids in tests, got {tests!r}", cure=_SHAPE
        )
    hidden = about.get("hidden_tests") or next((h for h in _HIDDEN if (folder / h).exists()), None)
    if hidden is not None and not (isinstance(hidden, str) and (folder / hidden).exists()):
        raise IntakeError(f"{folder}: there are no hidden tests {hidden!r}", cure=_SHAPE)
    if hidden and _within((folder / hidden).resolve(), (folder / "repository").resolve()):
        raise IntakeError(
            f"{folder}: the hidden tests {hidden!r} are in the repository, in sight of whoever fixes the bug",
            cure="move them beside repository/",
        )
    return PlainTask(
        instance_id=name,
        issue=folder / "issue.md",
        repository=folder / "repository",
        tests=tuple(tests),
        hidden=folder / hidden if hidden else None,
    )


def _within(hidden: Path, repository: Path) -> bool:
    """Whether one of them holds the other."""
    return hidden.is_relative_to(repository) or repository.is_relative_to(hidden)


def _about(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise IntakeError(f"{path} cannot be read: {error}", cure=_SHAPE) from error
    if not isinstance(value, dict):
        raise IntakeError(f"{path}: expected an object, got {type(value).__name__}", cure=_SHAPE)
    return value
