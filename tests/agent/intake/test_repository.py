"""The copy of a repository that a sandbox is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import IntakeError, RemoteError
from agent.intake.repository import prepare

Git = Callable[..., str]


def test_a_copy_knows_one_commit_by_its_real_id(repository: Path, tmp_path: Path, git: Git) -> None:
    """Would catch a copy in which the fix can be read from history, tags, remotes or reflogs."""
    git(repository, "remote", "add", "origin", "https://user:pass@example.invalid/x.git")
    base = git(repository, "rev-parse", "v1.0^{commit}")
    source = prepare(str(repository), workspace=tmp_path / "w", name="copy", ref="v1.0")
    assert source.base_commit == base == git(source.path, "rev-parse", "HEAD")
    assert git(source.path, "rev-list", "--all") == base
    assert git(source.path, "for-each-ref", "--format=%(refname)") == "refs/heads/fixbug"
    assert git(source.path, "remote") == ""
    assert git(source.path, "status", "--porcelain") == ""
    assert (source.path / "price.py").read_text() == "PRICE = 1\n"
    objects = git(source.path, "cat-file", "--batch-all-objects", "--batch-check")
    assert git(repository, "rev-parse", "HEAD") not in objects
    assert not [
        path for path in (source.path / ".git").iterdir() if path.name in ("FETCH_HEAD", "ORIG_HEAD", "logs")
    ]
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["copy"]


def test_uncommitted_and_untracked_files_are_part_of_the_base(
    repository: Path, tmp_path: Path, git: Git
) -> None:
    """Would catch work on something else than what the user sees, and a base that changes from run to run."""
    (repository / "price.py").write_text("PRICE = 3\n")
    (repository / "new.py").write_text("new = 1\n")
    (repository / "noise.log").write_text("ignored\n")
    before = git(repository, "status", "--porcelain")
    notes: list[str] = []
    first = prepare(str(repository), workspace=tmp_path, name="a", on_progress=notes.append)
    second = prepare(str(repository), workspace=tmp_path, name="b")
    assert first.base_commit == second.base_commit != git(repository, "rev-parse", "HEAD")
    assert (first.path / "price.py").read_text() == "PRICE = 3\n"
    assert (first.path / "new.py").exists()
    assert not (first.path / "noise.log").exists()
    assert git(first.path, "rev-list", "--all") == first.base_commit
    assert any("2 uncommitted" in note for note in notes)
    assert git(repository, "status", "--porcelain") == before


def test_a_clean_work_tree_keeps_the_commit(repository: Path, tmp_path: Path, git: Git) -> None:
    """Would catch a base commit that is not the one the user has."""
    assert prepare(str(repository), workspace=tmp_path, name="a").base_commit == git(
        repository, "rev-parse", "HEAD"
    )


def test_a_plain_directory_gets_a_commit_that_depends_on_its_content_alone(tmp_path: Path, git: Git) -> None:
    """Would catch dates or user names in the base commit of a directory without git."""
    ids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("a = 1\n")
        (tmp_path / name / "link").symlink_to("/nowhere/at/all")
        source = prepare(str(tmp_path / name), workspace=tmp_path / "w", name=name)
        ids.append(source.base_commit)
        assert (source.path / "link").readlink() == Path("/nowhere/at/all")
    assert ids[0] == ids[1]
    assert not (tmp_path / "one" / ".git").exists()


@pytest.mark.parametrize("commit", [False, True])
def test_hidden_tests_inside_the_repository_are_not_in_the_copy(
    repository: Path, tmp_path: Path, git: Git, commit: bool
) -> None:
    """Would catch hidden tests that the agent can read, in the tree or among git's objects."""
    hidden = repository / "hidden"
    hidden.mkdir()
    (hidden / "test_h.py").write_text("SECRET = 'planted-hidden'\n")
    if commit:
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", "-m", "hidden")
    notes: list[str] = []
    source = prepare(str(repository), workspace=tmp_path, name="c", exclude=hidden, on_progress=notes.append)
    assert not (source.path / "hidden").exists()
    blob = git(repository, "hash-object", "hidden/test_h.py")
    assert blob not in git(source.path, "cat-file", "--batch-all-objects", "--batch-check")
    assert any("hidden" in note for note in notes)


def test_nothing_of_the_repository_runs(repository: Path, tmp_path: Path, git: Git) -> None:
    """Would catch hooks, monitors and filters of an unpacked archive that run on the host."""
    mark = tmp_path / "ran"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    evil.chmod(0o755)
    (repository / ".gitattributes").write_text("*.py filter=evil\n")
    for key in ("filter.evil.clean", "filter.evil.smudge", "core.fsmonitor", "uploadpack.packObjectsHook"):
        git(repository, "config", key, str(evil))
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "pre-commit", "reference-transaction"):
        (hooks / hook).write_bytes(evil.read_bytes())
        (hooks / hook).chmod(0o755)
    (repository / "price.py").write_text("PRICE = 9\n")
    source = prepare(str(repository), workspace=tmp_path / "w", name="c")
    assert (source.path / "price.py").read_text() == "PRICE = 9\n"
    assert not mark.exists()


def test_a_submodule_is_left_empty_and_said(repository: Path, tmp_path: Path, git: Git) -> None:
    """Would catch a copying that fails on submodules or leaves them out in silence."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    (other / "x").write_text("x")
    git(other, "add", ".")
    git(other, "commit", "--quiet", "-m", "x")
    git(repository, "submodule", "--quiet", "add", str(other), "vendor")
    git(repository, "commit", "--quiet", "-m", "submodule")
    notes: list[str] = []
    source = prepare(str(repository), workspace=tmp_path / "w", name="c", on_progress=notes.append)
    assert source.base_commit == git(repository, "rev-parse", "HEAD")
    assert notes == ["submodules are left empty: vendor"]


def test_a_url_is_cloned_at_a_tag_a_short_id_and_the_default_branch(
    repository: Path, tmp_path: Path, git: Git
) -> None:
    """Would catch a ref that only works for local paths."""
    url = repository.as_uri()
    old, new = git(repository, "rev-parse", "v1.0^{commit}"), git(repository, "rev-parse", "main")
    for number, (ref, commit) in enumerate(
        [("v1.0", old), (old[:9], old), (old, old), (None, new), ("main~1", old)]
    ):
        source = prepare(url, workspace=tmp_path / "w", name=str(number), ref=ref)
        assert source.base_commit == commit
        assert git(source.path, "rev-list", "--all") == commit


def test_an_unknown_ref_names_near_ones(repository: Path, tmp_path: Path) -> None:
    """Would catch git's own message ("unknown revision") and a half-made copy."""
    for where in (str(repository), repository.as_uri()):
        with pytest.raises(IntakeError, match=r"no branch, tag or commit 'topik'\n.*topic"):
            prepare(where, workspace=tmp_path / "w", name="c", ref="topik")
    assert list((tmp_path / "w").iterdir()) == []


@pytest.mark.parametrize(
    "where", ["ext::sh -c touch% /tmp/x", "--upload-pack=x", "ftp://example.invalid/x", "nowhere"]
)
def test_dangerous_or_missing_places_are_refused(where: str, tmp_path: Path) -> None:
    """Would catch a command run through git's transports or options."""
    with pytest.raises(IntakeError):
        prepare(where, workspace=tmp_path / "w", name="c")


@pytest.mark.parametrize("ref", ["--upload-pack=x", "", "a b", "-"])
def test_a_ref_is_never_an_option(ref: str, repository: Path, tmp_path: Path) -> None:
    """Would catch options smuggled in as refs."""
    with pytest.raises(IntakeError, match="expected a branch"):
        prepare(str(repository), workspace=tmp_path, name="c", ref=ref)


def test_a_clone_that_fails_says_gits_reason_without_credentials(tmp_path: Path) -> None:
    """Would catch passwords of a URL in an error message, and a prompt that hangs."""
    with pytest.raises(RemoteError) as caught:
        prepare("http://user:planted-secret@127.0.0.1:9/o/r.git", workspace=tmp_path, name="c")
    assert "127.0.0.1:9/o/r.git" in str(caught.value)
    assert "planted-secret" not in str(caught.value)
    assert caught.value.exit_status == 3


def test_a_folder_inside_of_a_repository_is_taken_as_it_is(repository: Path, tmp_path: Path) -> None:
    """Would catch the outer repository copied in the folder's place, or a ref that cannot mean the folder."""
    with pytest.raises(IntakeError, match="inside of"):
        prepare(str(repository / "tests"), workspace=tmp_path, name="c", ref="HEAD")
    source = prepare(str(repository / "tests"), workspace=tmp_path, name="c")
    assert sorted(p.name for p in source.path.iterdir()) == sorted(
        [".git", *(p.name for p in (repository / "tests").iterdir())]
    )
