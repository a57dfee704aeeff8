"""Issues from files and standard input, and the tests that come with them."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.errors import IntakeError
from agent.intake import load_task


@pytest.fixture
def issue(tmp_path: Path) -> Path:
    path = tmp_path / "Stale cache #3.md"
    path.write_bytes(b"\xef\xbb\xbf# Stale\r\n<!-- no -->\r\nbody\r\n")
    return path


def test_a_markdown_file(issue: Path, repository: Path, tmp_path: Path) -> None:
    """Would catch a byte-order mark in the prompt, and '#' in a path taken for a dataset."""
    task = load_task(str(issue), repo=str(repository), workspace=tmp_path / "w")
    assert task.problem_statement == "# Stale\n\nbody\n"
    assert task.instance_id == "Stale-cache-3"
    assert task.source == tmp_path / "w" / "Stale-cache-3"


def test_standard_input(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch `-` taken for a file's name."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("größer\n".encode())))
    assert load_task("-", repo=str(repository), workspace=tmp_path / "w").problem_statement == "größer\n"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [("a.md", b" \n", "is empty"), ("a.md", b"\xff\xfe", "UTF-8"), ("a.jsonl", b"{}", "is a dataset")],
)
def test_files_that_are_no_issue(name: str, data: bytes, says: str, repository: Path, tmp_path: Path) -> None:
    """Would catch a run on an empty or unreadable report."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(IntakeError, match=says):
        load_task(str(tmp_path / name), repo=str(repository), workspace=tmp_path / "w")


@pytest.mark.parametrize(
    ("name", "says"),
    [(".", "directory"), ("nowhere.md", "no file"), ("a/b#3", "did you mean https"), ("x#", "DATASET#")],
)
def test_names_of_nothing(name: str, says: str, repository: Path, tmp_path: Path) -> None:
    """Would catch a message that does not say which forms there are."""
    with pytest.raises(IntakeError, match=says):
        load_task(name, repo=str(repository), workspace=tmp_path / "w")


def test_a_file_needs_a_repository(issue: Path, tmp_path: Path) -> None:
    """Would catch the current directory being taken unasked."""
    with pytest.raises(IntakeError, match="--repo"):
        load_task(str(issue), workspace=tmp_path / "w")


def test_tests_of_the_repository_and_from_outside(issue: Path, repository: Path, tmp_path: Path) -> None:
    """Would catch ids that the test runner does not know, and host paths in prompts."""
    outside = tmp_path / "test_report.py"
    outside.write_text("def test_it(): assert False\n")
    inside = repository / "tests" / "test_price.py"
    task = load_task(
        str(issue),
        repo=str(repository),
        tests=[
            "tests/test_price.py::test_price",
            f"{outside}::test_it",
            f"{inside}::test_price",
            "tests/none.py::x",
        ],
        workspace=tmp_path / "w",
    )
    assert task.tests == (
        "tests/test_price.py::test_price",
        "tests/test_report.py::test_it",
        "tests/none.py::x",
    )
    assert task.test_files == {"tests/test_report.py": outside.read_text()}


def test_an_outside_test_overwrites_nothing(issue: Path, repository: Path, tmp_path: Path) -> None:
    """Would catch the repository's own test being replaced in silence, and a copy left behind."""
    outside = tmp_path / "test_price.py"
    outside.write_text("def test_price(): assert False\n")
    with pytest.raises(IntakeError, match="replace a different"):
        load_task(str(issue), repo=str(repository), tests=[str(outside)], workspace=tmp_path / "w")
    assert list((tmp_path / "w").iterdir()) == []


@pytest.mark.parametrize("test", ["--collect-only", "", "/nowhere/test_x.py"])
def test_tests_that_cannot_be(test: str, issue: Path, repository: Path, tmp_path: Path) -> None:
    """Would catch options smuggled to the test runner."""
    with pytest.raises(IntakeError):
        load_task(str(issue), repo=str(repository), tests=[test], workspace=tmp_path / "w")


def test_hidden_tests_are_not_visible(issue: Path, repository: Path, tmp_path: Path) -> None:
    """Would catch hidden tests in the copy or given as visible ones."""
    hidden = repository / "tests" / "test_hidden.py"
    hidden.write_text("def test_h(): pass\n")
    task = load_task(str(issue), repo=str(repository), hidden_tests=hidden, workspace=tmp_path / "w")
    assert task.hidden is not None
    assert task.hidden.tests == hidden
    assert task.source is not None
    assert not (task.source / "tests" / "test_hidden.py").exists()
    with pytest.raises(IntakeError, match="hidden"):
        load_task(
            str(issue),
            repo=str(repository),
            hidden_tests=hidden,
            tests=[str(hidden)],
            workspace=tmp_path / "w2",
        )
    with pytest.raises(IntakeError, match="does not exist"):
        load_task(str(issue), repo=str(repository), hidden_tests=tmp_path / "no", workspace=tmp_path / "w3")
