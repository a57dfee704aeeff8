"""A repository at one commit, by plain git on the host, with the user's own git configuration.

``insteadOf`` rules, credentials helpers and proxies therefore work as they do for the user; nothing
of them is in the result, which has one commit, no remote, no reflog and no other ref.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from sandbox.errors import ImageError, UsageError
from sandbox.hostgit import GitMissing, run_git

__all__ = ["fetch_commit", "fetch_submodules", "github_url"]

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


def fetch_submodules(url: str, tree: Path) -> list[str]:
    """Put the files of each submodule where the work tree ``tree`` wants them, at the commit that it records.

    Files alone, without a ``.git``. ``url`` is the repository's own: submodules may be given relative to it.
    Returns what to say about those that cannot be had; they stay empty, and their own submodules do.
    """
    _, listed, _ = run_git(["ls-tree", "-r", "-z", "HEAD"], cwd=tree)
    links = [
        entry.split("\t", 1)
        for entry in listed.decode("utf-8", "replace").split("\0")
        if entry[:6] == "160000"
    ]
    if not links:
        return []
    _, config, _ = run_git(["config", "-z", "--file", ".gitmodules", "--list"], cwd=tree)
    settings = dict(
        entry.partition("\n")[::2] for entry in config.decode("utf-8", "replace").split("\0") if "\n" in entry
    )
    paths = {path: key.removesuffix(".path") for key, path in settings.items() if key.endswith(".path")}
    notes = []
    for about, path in links:
        where = settings.get(f"{paths.get(path)}.url", "")
        if where.startswith(("./", "../")):
            where = _relative(url, where)
        if not re.match(r"(https?|ssh|git)://", where) or not (tree / path).resolve().is_relative_to(
            tree.resolve()
        ):
            notes.append(f"the submodule {path} stays empty: its address is {where or 'not given'}")
            continue
        problem = ""
        # a rule for mirrors (insteadOf) may know the address without its ending only
        for address in dict.fromkeys((where, where.removesuffix(".git"))):
            problem = _put_files(address, about.split()[2], tree / path)
            if not problem:
                break
        if problem:
            notes.append(f"the submodule {path} stays empty: {problem}")
    return notes


def _put_files(url: str, commit: str, into: Path) -> str:
    """The files of ``commit``; why they cannot be had, or an empty string."""
    with tempfile.TemporaryDirectory(prefix="fixbug-") as directory:
        copy = Path(directory, "tree")
        try:
            fetch_commit(url, commit, copy)
        except ImageError as error:
            lines = error.problem.splitlines()
            return next((line for line in lines if line.startswith(("fatal", "error"))), lines[-1])
        shutil.rmtree(copy / ".git")
        shutil.copytree(copy, into, symlinks=True, dirs_exist_ok=True)
    return ""


def _relative(url: str, where: str) -> str:
    """``../other.git`` beside ``https://host/owner/name``."""
    parts = url.rstrip("/").split("/")
    for part in where.split("/"):
        if part == "..":
            parts.pop()
        elif part not in (".", ""):
            parts.append(part)
    return "/".join(parts)
