"""What of a candidate's patch is code, and what are tests that it brings along."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from agent.errors import PatchDoesNotApply
from agent.patch import Part, is_test_path, split, without_tests

__all__ = ["brought_tests", "code_of"]

_SCRATCH = re.compile(
    r"(^|[_-])(test|tests|repro|reproduce|reproducer|reproduction|debug|demo|verify|check)([_-]|$)"
)
_SCRATCH_SUFFIXES = (".py", ".md", ".txt", ".sh")


def _is_scratch(part: Part) -> bool:
    """A new file at the repository's root whose name says that it only tries something out."""
    path = PurePosixPath(part.path)
    return (
        part.old is None
        and len(path.parts) == 1
        and path.suffix in _SCRATCH_SUFFIXES
        and bool(_SCRATCH.search(path.stem.lower()))
    )


def code_of(patch: str) -> str:
    """``patch`` without tests, test configuration and scratch files.

    Raises ``PatchDoesNotApply`` where it is no unified diff.
    """
    return "".join(part.text for part in split(without_tests(patch)[0]) if not _is_scratch(part))


def brought_tests(patch: str) -> dict[str, str]:
    """Test file → the part of ``patch`` that adds or changes it. None where the patch is no diff.

    Only files that hold tests: what steers how tests are run (conftest.py, configuration) stays out, so that
    no candidate can bend another's results.
    """
    try:
        parts = split(patch)
    except PatchDoesNotApply:
        return {}
    return {part.path: part.text for part in parts if part.new is not None and _holds_tests(part.path)}


def _holds_tests(path: str) -> bool:
    name = PurePosixPath(path).name
    return (
        is_test_path(path)
        and name.endswith(".py")
        and name not in ("conftest.py", "sitecustomize.py", "usercustomize.py", "__init__.py")
        and (name.startswith(("test_", "tests")) or name.endswith(("_test.py", "_tests.py")))
    )
