"""Small real git repositories for the sandboxes' tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(where: Path, *arguments: str) -> str:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    env = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    ran = subprocess.run(["git", *arguments], cwd=where, env=env, check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def small(where: Path) -> str:
    """A text, a binary and a script under one commit, logs ignored; the commit's id."""
    where.mkdir(parents=True, exist_ok=True)
    git(where, "init", "-q", "-b", "main")
    (where / "lines.txt").write_text("".join(f"line {n}\n" for n in range(1, 31)))
    (where / "bytes.bin").write_bytes(bytes(range(256)))
    (where / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (where / "run.sh").chmod(0o755)
    (where / ".gitignore").write_text("*.log\n")
    git(where, "add", "-A")
    git(where, "commit", "-q", "-m", "base")
    return git(where, "rev-parse", "HEAD")
