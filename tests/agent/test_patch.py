"""Patches in parts: nothing of them is lost, and tests are taken out."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import patch as patches
from sandbox.errors import PatchDoesNotApply


def git(where: Path, *arguments: str, stdin: str = "") -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=where, capture_output=True, check=True, input=stdin.encode()
    )
    return done.stdout.decode()


@pytest.fixture
def odd(tmp_path: Path) -> tuple[Path, str]:
    """A repository at its base, and a patch with everything that is hard about patches."""
    root = tmp_path / "r"
    (root / "tests").mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / "crlf.txt").write_bytes(b"a\r\nb\r\nc\r\n")
    (root / "no end.py").write_bytes(b"x = 1")
    (root / "script").write_text("#!/bin/sh\n")
    (root / "moved.py").write_text("".join(f"line {n}\n" for n in range(30)))
    (root / "blob.bin").write_bytes(bytes(range(256)))
    (root / "größe.py").write_text("-- old\n")
    (root / "tests" / "test_x.py").write_text("pass\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "base")
    (root / "crlf.txt").write_bytes(b"a\r\nB\r\nc\r\n")
    (root / "no end.py").write_bytes(b"x = 2")
    (root / "script").chmod(0o755)
    git(root, "mv", "moved.py", "there.py")
    (root / "there.py").write_text("".join(f"line {n}\n" for n in range(29)))
    (root / "blob.bin").write_bytes(bytes(reversed(range(256))))
    (root / "größe.py").write_text("++ new\ndiff --git a/x b/x\n@@ -1 +1 @@\n")
    (root / "empty.py").touch()
    (root / "tests" / "test_x.py").unlink()
    git(root, "add", ".")
    text = git(root, "diff", "--cached", "--binary", "-M")
    git(root, "reset", "--quiet", "--hard")
    return root, text


def test_hard_patches_are_cut_by_file(odd: tuple[Path, str]) -> None:
    """Would catch lost renames, modes, binary data and quoted names, and headers seen inside of hunks."""
    text = odd[1]
    parts = {part.path: part for part in patches.split(text)}
    assert set(parts) == {
        "blob.bin", "crlf.txt", "empty.py", "größe.py", "no end.py", "script", "there.py", "tests/test_x.py"
    }  # fmt: skip
    assert parts["there.py"].paths == ("moved.py", "there.py")
    assert parts["empty.py"].old is None
    assert parts["tests/test_x.py"].new is None
    assert "".join(part.text for part in patches.split(text)) == text
    assert patches.stats(text) == patches.Stats(files=8, added=5, removed=5)


def test_what_is_normalised_and_cleaned_still_applies(odd: tuple[Path, str]) -> None:
    """Would catch a cleaned patch that git refuses or that does something else."""
    root, text = odd
    kept, dropped = patches.without_tests(text)
    assert dropped == ("tests/test_x.py",)
    trees = []
    for variant in (kept, patches.normalise(kept)):
        git(root, "apply", "--index", "-", stdin=variant)
        trees.append(git(root, "write-tree"))
        git(root, "reset", "--quiet", "--hard")
    assert trees[0] == trees[1]
    assert patches.normalise(patches.normalise(kept)) == patches.normalise(kept)


def test_same_change_same_form() -> None:
    """Would catch votes split between patches that differ in blob ids, headings or order alone."""
    one = "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@ def f():\n-x\n+y\n"
    two = "diff --git a/b b/b\n--- a/b\n+++ b/b\n@@ -1,3 +1,3 @@\n-x\n+y\n \n"
    other = one.replace("1..2", "3..4").replace(" def f():", "")
    assert patches.normalise(one + two + " \n") == patches.normalise(two + " \n" + other)


def test_stripped_blank_context_is_put_back(tmp_path: Path) -> None:
    """Would catch the 15 % of real submissions whose text was stripped being refused."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a").write_text("x\n\n\n")
    full = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n-x\n+y\n \n \n"
    assert patches.normalise(full.strip()) == full
    git(tmp_path, "apply", "-", stdin=patches.normalise(full.strip()))
    assert (tmp_path / "a").read_text() == "y\n\n\n"


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/test_a.py", True),
        ("pkg/tests/data/x.json", True),
        ("conftest.py", True),
        ("src/pkg/conftest.py", True),
        ("pytest.ini", True),
        ("tox.ini", True),
        ("sitecustomize.py", True),
        ("evil.pth", True),
        ("pkg/a_test.py", True),
        ("testing/test_x.py", True),
        ("django/test/client.py", False),
        ("sphinx/testing/util.py", False),
        ("src/contest.py", False),
        ("setup.cfg", False),
    ],
)
def test_what_counts_as_a_test(path: str, is_test: bool) -> None:
    """Would catch patches that rewrite their own judge, and products called `test` losing their fix."""
    assert patches.is_test_path(path) is is_test


def test_only_the_runners_hunks_of_shared_configuration_go() -> None:
    """Would catch a dependency lost with a pytest option, or the option kept."""
    text = (
        "diff --git a/pyproject.toml b/pyproject.toml\n--- a/pyproject.toml\n+++ b/pyproject.toml\n"
        "@@ -1,2 +1,3 @@\n [tool.pytest.ini_options]\n+addopts = '-k nothing'\n x = 1\n"
        "@@ -20,2 +21,2 @@\n [project]\n-a = 1\n+a = 2\n"
    )
    kept, dropped = patches.without_tests(text)
    assert dropped == ("pyproject.toml (hunk 1)",)
    assert "addopts" not in kept
    assert "@@ -20,2 +20,2 @@" in kept
    assert patches.may_configure_tests(kept) == ("pyproject.toml",)
    assert patches.without_tests(text, allow=["pyproject.toml"]) == (text, ())


@pytest.mark.parametrize(
    "text",
    [
        "I could not fix it.",
        "@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1 @@\n-a\n",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\nplain\n",
    ],
)
def test_what_is_no_patch_says_where(text: str) -> None:
    """Would catch half a patch being applied as if it were whole."""
    with pytest.raises(PatchDoesNotApply, match=r"line \d+: expected"):
        patches.split(text)


_PIECES = st.sampled_from(
    ["diff --git a/x b/x\n", "--- a/x\n", "+++ b/x\n", "@@ -1 +1 @@\n", "@@ -1,2 +0,0 @@ f\r\n",
     "-a\n", "+b\n", " c\n",
     "\n", "\\ No newline at end of file\n",
     "rename from x\n", "GIT binary patch\n", '--- "a/\\303\\2', "+++ /dev/null\n",
     "diff --git \n", "@@@ -1 -1 +1 @@@\n", "\x85", "\u2028"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)))
def test_parts_joined_are_the_patch_or_it_is_refused(text: str) -> None:
    """Would catch a byte lost in cutting, and any error but the documented one."""
    try:
        parts = patches.split(text)
    except PatchDoesNotApply:
        return
    assert "".join(part.text for part in parts) == text or not text.strip()
    patches.normalise(text)
    patches.without_tests(text)
    patches.stats(text)


def test_real_patches_are_all_understood() -> None:
    """Would catch real submissions being refused, and gold patches losing a file."""
    data = Path(os.environ.get("FIXBUG_DATA", "../shared/data"))
    if not data.exists():
        pytest.skip(f"no data at {data}: set FIXBUG_DATA")
    with gzip.open(data / "swebench" / "verified-dev.jsonl.gz", "rt") as rows:
        for row in map(json.loads, rows):
            assert patches.without_tests(row["patch"]) == (row["patch"], ())
    refused = 0
    with gzip.open(data / "candidates" / "verified-dev.jsonl.gz", "rt") as rows:
        for row in map(json.loads, rows):
            text = row["model_patch"]
            if "diff --git" in text:  # a few say in words that there is no patch
                try:
                    assert "".join(part.text for part in patches.split(text)) == text
                except PatchDoesNotApply:
                    refused += 1
    assert refused <= 1  # one lost part of its header on the way
