"""The command as a user runs it: a process with a folder and an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.agent.player import EXAMPLE

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Done:
    """How the command ended, and what it printed."""

    status: int
    out: str
    err: str

    def object(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


class Fixbug:
    """Starts ``fixbug``; ``folder`` holds the example's repository, ``shop``, and its issue, ``issue.md``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
        }
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A process with its output piped, in a session of its own (no terminal)."""
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], text: str = "") -> Done:
        """Wait for it. However it ended: no traceback, no control characters, nothing left in TMPDIR."""
        out, err = process.communicate(text, timeout=200)
        assert "Traceback" not in err, err
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out + err)
        assert [path.name for path in self.temporary.iterdir()] == []
        return Done(process.returncode, out, err)

    def __call__(self, *arguments: str, text: str = "", env: dict[str, str] | None = None) -> Done:
        return self.finish(self.start(*arguments, env=env), text)

    def runs(self) -> list[Path]:
        """The run folders."""
        folder = self.folder / "runs"
        return sorted(folder.iterdir()) if folder.exists() else []

    def refused(self, done: Done, status: int, *words: str) -> None:
        """One clear message with its cure, the right exit status, and no half-written run."""
        assert done.status == status, done.err
        lines = done.err.splitlines()
        assert [line.startswith("fixbug: ") for line in lines[-2:]] == [True, False], done.err
        assert lines[-1].startswith("  → "), done.err
        assert sum(line.startswith("fixbug: ") for line in lines) == 1
        for word in words:
            assert word in lines[-2] + lines[-1]
        assert self.runs() == []


@pytest.fixture
def fixbug(tmp_path: Path) -> Iterator[Fixbug]:
    """The command, with the example beside it. What it started and a failed test left running is ended."""
    skip = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLE / "repository", tmp_path / "shop", ignore=skip)
    shutil.copy(EXAMPLE / "issue.md", tmp_path / "issue.md")
    command = Fixbug(tmp_path)
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
