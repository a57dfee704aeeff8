"""Rows of SWE-bench from files and from the hub."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.errors import IntakeError
from agent.intake import check_row, find_row, load_rows, load_task

ROW: dict[str, Any] = {
    "instance_id": "acme__shop-1",
    "repo": "acme/shop",
    "base_commit": "0" * 40,
    "problem_statement": "Stale <!-- verbatim --> price",
    "hints_text": "planted-hint",
    "version": "1.0",
    "FAIL_TO_PASS": '["tests/test_a.py::test_hidden"]',
    "PASS_TO_PASS": [],
    "image": "acme/shop:1",
    "eval_script": "true",
    "log_parser": "parse_log_pytest",
    "eval_type": "pass_and_fail",
}


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    lines = "".join(json.dumps(row) + "\n" for row in rows) if "jsonl" in name else json.dumps(rows)
    path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    return path


@pytest.mark.parametrize("name", ["r.json", "r.jsonl", "r.json.gz", "r.jsonl.gz", "a#b.jsonl", "r.parquet"])
def test_every_kind_of_file_gives_the_same_task(tmp_path: Path, name: str) -> None:
    """Would catch a format that loses rows, and what grades a patch in the problem statement."""
    if name.endswith(".parquet"):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / name
        parquet.write_table(pyarrow.Table.from_pylist([ROW]), path)
    else:
        path = write(tmp_path, name, [{**ROW, "instance_id": "other-1"}, ROW])
    task = load_task(f"{path}#acme__shop-1", workspace=tmp_path / "w")
    assert (task.instance_id, task.base_commit, task.image) == ("acme__shop-1", "0" * 40, "acme/shop:1")
    assert task.problem_statement == ROW["problem_statement"]
    assert task.source is None
    assert task.tests == ()
    assert task.hidden is not None
    assert task.hidden.row is not None
    assert task.hidden.row["FAIL_TO_PASS"] == ["tests/test_a.py::test_hidden"]


def test_a_row_with_a_repository_is_copied_at_its_base_commit(
    repository: Path, tmp_path: Path, git: Any
) -> None:
    """Would catch a copy at the branch's tip, where the fix is."""
    base = git(repository, "rev-parse", "v1.0^{commit}")
    path = write(tmp_path, "r.jsonl", [{**ROW, "base_commit": base}])
    task = load_task(f"{path}#acme__shop-1", repo=str(repository), workspace=tmp_path / "w", image="mine:1")
    assert task.source is not None
    assert git(task.source, "rev-parse", "HEAD") == base
    assert task.image == "mine:1"


def test_an_unknown_instance_names_near_ones() -> None:
    """Would catch "not found" alone."""
    with pytest.raises(IntakeError, match="did you mean acme__shop-1"):
        find_row([ROW], "acme_shop-1")


def test_equal_duplicates_are_one_row_and_different_ones_an_error() -> None:
    """Would catch the first of two different rows being taken in silence."""
    assert find_row([ROW, dict(ROW)], "acme__shop-1") == ROW
    with pytest.raises(IntakeError, match="2 different rows"):
        find_row([ROW, {**ROW, "version": "2"}], "acme__shop-1")


def test_an_old_row_is_called_old() -> None:
    """Would catch KeyError('image') from deep inside of the grader."""
    old = {
        key: value
        for key, value in ROW.items()
        if key not in ("image", "eval_script", "log_parser", "eval_type")
    }
    with pytest.raises(IntakeError, match="swebench 4 and older"):
        check_row(old)


@pytest.mark.parametrize(
    "change",
    [
        {"version": None},
        {"FAIL_TO_PASS": "not json"},
        {"PASS_TO_PASS": {}},
        {"image": ""},
        {"instance_id": "../x"},
    ],
)
def test_a_malformed_row_is_named(change: dict[str, Any]) -> None:
    """Would catch a row that fails after hours of work, when it is graded."""
    with pytest.raises(IntakeError):
        check_row({**ROW, **change})


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a":\n', "line 2"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"3", "list of rows"),
        ("a.jsonl", b"[1]\n", "line 1"),
        ("a.jsonl.gz", b"plain", "cannot be read"),
        ("a.jsonl", b"\xff\n", "cannot be read"),
        ("a.jsonl", b"", "no rows"),
        ("a.parquet", b"junk", "Parquet"),
    ],
)
def test_a_file_that_is_not_readable_says_where(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """Would catch a parser's traceback."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(IntakeError, match=says):
        load_rows(str(tmp_path / name))


def test_a_dataset_that_is_not_there() -> None:
    """Would catch a path being asked of the hub."""
    with pytest.raises(IntakeError, match="does not exist"):
        load_rows("/nowhere/rows.jsonl")
    with pytest.raises(IntakeError, match="expected a dataset"):
        load_rows("verifid")


def test_a_hub_that_cannot_be_reached_is_an_error_of_the_environment(tmp_path: Path) -> None:
    """Would catch the traceback of the hub's client."""
    pytest.importorskip("datasets")
    code = (
        "from agent.errors import RemoteError\nfrom agent.intake import load_rows\n"
        "try: load_rows('verified')\nexcept RemoteError as e: print(e)"
    )
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "local file" in done.stdout
    assert "SWE-bench_Verified" in done.stdout


def test_real_rows_pass(tmp_path: Path) -> None:
    """Would catch a check that refuses what swebench grades."""
    path = Path(os.environ.get("FIXBUG_DATA", "../shared/data")) / "swebench" / "verified-dev.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no data at {path}: set FIXBUG_DATA")
    assert len([check_row(row) for row in load_rows(str(path))]) > 300
