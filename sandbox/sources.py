"""A repository at one commit, by plain git on the host, with the user's own git configuration.

``insteadOf`` rules, credentials helpers and proxies therefore work as they do for the user; nothing
of them is in the result, which has one commit, no remote, no reflog and no other ref.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sandbox.errors import ImageError, UsageError
from sandbox.hostgit import GitMissing, run_git

__all__ = ["fetch_commit", "github_url"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def github_url(repo: str) -> str:
    """``owner/name`` → the URL that git fetches. Raises ``UsageError`` for anything else."""
    if not _REPO.fullmatch(repo):
        raise UsageError(f"expected a repository as owner/name, got {repo!r}")
    return f"https://github.com/{repo}"


def fetch_commit(url: str, commit: str, into: Path) -> None:
    """Make ``into`` a git work tree whose only commit, checked out on branch ``main``, is ``commit``.

    The commit keeps its id; its parents are cut off (a shallow clone of depth 1). Raises ``ImageError``.
    """
    if not _COMMIT.fullmatch(commit):
        raise UsageError(f"expected a full commit id of 40 hexadecimal digits, got {commit!r}")
    into.mkdir(parents=True, exist_ok=True)
    _git(into, "init", "--quiet", "--initial-branch=main", "--template=")
    _git(into, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", url, commit)
    _git(into, "-c", "core.logAllRefUpdates=false", "update-ref", "refs/heads/main", commit)
    _git(into, "-c", "core.autocrlf=false", "reset", "--quiet", "--hard")
    for leftover in ("ORIG_HEAD", "FETCH_HEAD"):
        (into / ".git" / leftover).unlink(missing_ok=True)
    shutil.rmtree(into / ".git" / "logs", ignore_errors=True)


def _git(directory: Path, *arguments: str) -> None:
    try:
        status, _, said = run_git(arguments, cwd=directory)
    except GitMissing:
        raise ImageError(
            "git is needed on the host to fetch repositories, and is not on PATH", cure="install git"
        ) from None
    if status:
        raise ImageError(
            f"git {' '.join(arguments)} failed with exit status {status}:\n{said.strip()[-2000:]}",
            cure="check the address and your network; a mirror can be named with "
            "git config --global url.MIRROR.insteadOf URL, and must serve commits by id "
            "(git config uploadpack.allowAnySHA1InWant true)",
        )
