"""A work tree on the host on its way into a sandbox: a ``.git`` that stands on its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.errors import SandboxError, UsageError
from sandbox.hardening import GIT_ENV


@contextmanager
def repository_copy(source: Path) -> Iterator[Path | None]:
    """The git directory to copy along with the work tree ``source``; None where there is none.

    A ``.git`` that points elsewhere (a linked work tree, a submodule, borrowed objects) would lead out
    of the sandbox, or be dead inside: HEAD's history is fetched into one that stands on its own.
    """
    if not source.is_dir():
        raise UsageError(f"the source is to be a directory that holds the repository, got {source}")
    git_dir = source / ".git"
    if not os.path.lexists(git_dir):
        yield None
    elif git_dir.is_dir() and not git_dir.is_symlink() and not (git_dir / "objects/info/alternates").exists():
        yield git_dir
    else:
        with tempfile.TemporaryDirectory(prefix="fixbug-git-") as place:
            _git(place, "init", "--quiet", "--initial-branch=main", "--template=")
            _git(place, "fetch", "--quiet", "--no-tags", str(source.resolve()), "HEAD")
            _git(place, "update-ref", "refs/heads/main", "FETCH_HEAD")
            _git(place, "read-tree", "HEAD")
            yield Path(place, ".git")


def _git(place: str, *arguments: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ran = subprocess.run(
        ["git", "-C", place, *arguments], env={**env, **GIT_ENV}, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SandboxError(f"the repository could not be copied: git {arguments[0]}: {ran.stderr.strip()}")
