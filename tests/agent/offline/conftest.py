"""Small repositories with a bug, opened in a real local sandbox."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox import Sandbox, SandboxSpec, open_sandbox

Open = Callable[[Mapping[str, str]], Sandbox]


@pytest.fixture
def open_repository(tmp_path: Path) -> Iterator[Open]:
    """A function from files (path → text) to an open sandbox that holds them, committed."""
    with ExitStack() as stack:

        def opened(files: Mapping[str, str]) -> Sandbox:
            source = tmp_path / "repository"
            for path, text in files.items():
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_text(text, encoding="utf-8")
            who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
            for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "base"]):
                subprocess.run(["git", *command], cwd=source, check=True)
            return stack.enter_context(open_sandbox(SandboxSpec(kind="local", source=source)))

        yield opened
