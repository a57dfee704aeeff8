"""The scrub: whatever history a tree comes with, nothing newer than the base can be found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import SandboxSpec, open_sandbox
from sandbox.errors import SandboxError
from tests.sandbox.repositories import git, small

EVERYTHING = "git cat-file --batch-all-objects --batch-check='%(objectname)'"


def with_a_future(where: Path) -> tuple[str, str]:
    """A repository at its base commit that knows the fix in every way git has; base and fix."""
    small(where)
    for n in range(3):
        git(where, "commit", "-q", "--allow-empty", "-m", f"past {n}")
    base = git(where, "rev-parse", "HEAD")
    (where / "lines.txt").write_text("the fix, planted\n")
    git(where, "commit", "-qam", "the fix")
    fix = git(where, "rev-parse", "HEAD")
    git(where, "tag", "-a", "-m", "release", "v2")
    git(where, "branch", "next")
    git(where, "update-ref", "refs/remotes/origin/main", fix)
    git(where, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    git(where, "update-ref", "refs/pull/1/head", fix)
    git(where, "notes", "add", "-m", "see the fix", fix)
    git(where, "replace", base, fix)
    git(where, "remote", "add", "origin", "https://user:planted-token@example.org/x")
    git(where, "config", "http.https://example.org/.extraheader", "AUTHORIZATION: basic planted-token")
    git(where, "--no-replace-objects", "reset", "-q", "--hard", base)
    (where / "lines.txt").write_text("stashed\n")
    git(where, "--no-replace-objects", "stash")
    (where / ".git/FETCH_HEAD").write_text(f"{fix}\t\tbranch 'main'\n")
    (where / ".git/hooks").mkdir(exist_ok=True)
    (where / ".git/hooks/post-index-change").write_text("#!/bin/sh\ntouch ../ran\n")
    (where / ".git/hooks/post-index-change").chmod(0o755)
    return base, fix


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("detached", [False, True])
def test_the_future_is_gone(tmp_path: Path, packed: bool, detached: bool) -> None:
    """A fix left in a ref, a reflog, a stash, a pack or as a loose object: models were seen to read it."""
    source = tmp_path / "source"
    base, fix = with_a_future(source)
    if packed:
        git(source, "--no-replace-objects", "gc", "-q")
        for pack in (source / ".git/objects/pack").glob("*.pack"):
            pack.with_suffix(".keep").touch()
    if detached:
        git(source, "--no-replace-objects", "checkout", "-q", "--detach")
    with open_sandbox(SandboxSpec("local", source=source, base_commit=base)) as box:
        assert fix not in box.run(EVERYTHING).output
        assert box.run("git log --all --format=%s").output.splitlines() == [
            "past 2",
            "past 1",
            "past 0",
            "base",
        ]
        assert (
            box.run("git reflog; git stash list; git tag; git remote; git notes; git worktree prune").output
            == ""
        )
        assert box.run("grep -rl planted . .git").exit_code == 1
        assert box.run("git for-each-ref --format='%(refname)'").output.split() == (
            [] if detached else ["refs/heads/main"]
        )
        assert box.run("ls .git/hooks; ls ../ran").exit_code != 0
        assert box.run("git fsck --full --strict && git rev-parse HEAD").output.split()[-1] == base
    assert git(source, "--no-replace-objects", "tag") == "v2"


def test_borrowed_objects_are_cut_off(tmp_path: Path) -> None:
    """A fix that is reachable through another repository's object store."""
    with_a_future(tmp_path / "origin")
    git(tmp_path, "clone", "-q", "--shared", "--no-local", "origin", "copy")
    git(tmp_path, "clone", "-q", "--shared", "origin", "borrowed")
    assert (tmp_path / "borrowed/.git/objects/info/alternates").exists()
    with open_sandbox(SandboxSpec("local", source=tmp_path / "borrowed")) as box:
        assert "the fix" not in box.run("git log --all --format=%s").output
        assert not box.run("cat .git/objects/info/alternates").ok
        assert box.run("git fsck").ok


def test_a_shallow_repository_keeps_its_id(tmp_path: Path) -> None:
    """The base commit rewritten: evaluation scripts check it out by its id."""
    base, _ = with_a_future(tmp_path / "origin")
    git(tmp_path, "init", "-q", "shallow")
    git(tmp_path / "shallow", "fetch", "-q", "--depth=1", f"file://{tmp_path}/origin", "main")
    git(tmp_path / "shallow", "checkout", "-q", "FETCH_HEAD")
    with open_sandbox(SandboxSpec("local", source=tmp_path / "shallow", base_commit=base)) as box:
        assert box.base_commit == base
        assert box.run("git log --format=%s").output == "past 2\n"
        box.run("echo x >> lines.txt")
        assert "+x" in box.diff()
        box.reset()
        assert box.run("git status --short; git log --format=%s").output == "past 2\n"


def test_an_unknown_base_is_refused(tmp_path: Path) -> None:
    """A base commit that the tree does not have, passed over."""
    small(tmp_path / "source")
    with pytest.raises(SandboxError, match="does not hold the commit"):
        open_sandbox(SandboxSpec("local", source=tmp_path / "source", base_commit="1" * 40))


def test_the_source_is_left_alone(tmp_path: Path) -> None:
    """A scrub that reaches the user's own repository."""
    source = tmp_path / "source"
    with_a_future(source)
    before = {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    with open_sandbox(SandboxSpec("local", source=source)) as box:
        box.run("rm -rf * .git; mkdir -p .git")
        box.reset()
    assert {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()} == before
