"""A task: what is to be fixed, where its code is, and how success will be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Hidden:
    """What scores a patch. Nothing of it may reach a prompt or a sandbox that the agent works in.

    Exactly one of the two is set: ``row`` is a SWE-bench row (graded by swebench's own parsers),
    ``tests`` a file or directory of pytest tests on the host.
    """

    row: Mapping[str, Any] | None = None
    tests: Path | None = None


@dataclass(frozen=True)
class Task:
    """One instance.

    ``source`` is a host directory: a git work tree at ``base_commit`` with no remote and no other
    history. It is None for a SWE-bench row, whose image holds the repository at ``workdir``.
    """

    instance_id: str
    problem_statement: str
    base_commit: str
    source: Path | None = None
    image: str | None = None
    workdir: str = "/testbed"
    tests: tuple[str, ...] = ()
    """Visible tests that show the bug: pytest node ids, or files relative to the repository."""
    test_files: Mapping[str, str] = field(default_factory=dict)
    """Visible test files to put into the repository first: path relative to it → text."""
    hidden: Hidden | None = None
    url: str | None = None
    repo: str | None = None
    """``owner/name``, a URL or a path, for reports."""
