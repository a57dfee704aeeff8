"""Rows of SWE-bench: from the hub or a file, in the format that swebench 5 grades."""

from __future__ import annotations

import difflib
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.errors import IntakeError, RemoteError

__all__ = ["check_row", "find_row", "is_dataset", "load_rows"]

Row = dict[str, Any]

_HUB = {
    "verified": "SWE-bench/SWE-bench_Verified",
    "lite": "SWE-bench/SWE-bench_Lite",
    "full": "SWE-bench/SWE-bench",
}
_ENDS = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")
_IDENTITY = ("instance_id", "problem_statement", "base_commit", "repo")
_GRADING = ("version", "FAIL_TO_PASS", "PASS_TO_PASS", "image", "eval_script", "log_parser", "eval_type")
_NEW = ("image", "eval_script", "log_parser", "eval_type")
"""What swebench 5 needs and rows made for swebench 4 or older do not have."""


def is_dataset(name: str) -> bool:
    """Whether ``name`` can be a dataset: a short name, a hub name or a file's."""
    return name in _HUB or name.endswith(_ENDS) or _is_hub_name(name)


def load_rows(dataset: str) -> list[Row]:
    """All rows of ``verified``, ``lite``, ``full``, a hub name (``owner/name``) or a local
    .json, .jsonl, .json.gz, .jsonl.gz or .parquet file. The rows are as they come: see ``check_row``.

    Raises ``IntakeError`` for a file that is not there or not readable (with the line), ``RemoteError``
    when the hub cannot be reached.
    """
    path = Path(dataset).expanduser()
    if dataset.endswith(_ENDS) or path.is_file():
        rows = _local(path)
    elif dataset in _HUB or (_is_hub_name(dataset) and not path.exists()):
        rows = _remote(_HUB.get(dataset, dataset))
    else:
        raise IntakeError(
            f"expected a dataset, got {dataset!r}",
            cure=f"give {', '.join(_HUB)}, a hub name (owner/name) or a file ({', '.join(_ENDS)}); "
            "bench, sweep and ablate also take a folder of plain tasks (docs/batch.md)",
        )
    if not rows:
        raise IntakeError(f"{dataset} holds no rows", cure="give a dataset that has some")
    return rows


def find_row(rows: Sequence[Mapping[str, Any]], instance_id: str) -> Row:
    """The row of an instance. Raises ``IntakeError``, naming the nearest ids, or when two rows differ."""
    found = [dict(row) for row in rows if row.get("instance_id") == instance_id]
    if not found:
        ids = sorted({str(row["instance_id"]) for row in rows if row.get("instance_id")})
        near = difflib.get_close_matches(instance_id, ids, n=3, cutoff=0.5) or ids[:3]
        if not ids:
            raise IntakeError(
                "the dataset's rows have no instance_id", cure="give a dataset in SWE-bench's format"
            )
        raise IntakeError(
            f"no instance {instance_id!r} among the dataset's {len(ids)}",
            cure=f"did you mean {', '.join(near)}?",
        )
    if any(row != found[0] for row in found[1:]):
        raise IntakeError(
            f"{len(found)} different rows have the id {instance_id}", cure="keep one of them in the dataset"
        )
    return found[0]


def check_row(row: Mapping[str, Any]) -> Row:
    """``row`` with the test lists as lists, once it has every column that grading needs.

    Raises ``IntakeError``: a row in the format of swebench 4 and older is named as such.
    """
    name = row.get("instance_id") or "a row"
    lacking = [column for column in (*_IDENTITY, *_GRADING) if row.get(column) is None]
    if lacking and set(_NEW) & set(lacking) == set(_NEW):
        raise IntakeError(
            f"{name} is in the format of swebench 4 and older: it lacks {', '.join(lacking)}",
            cure="give a dataset in the format of swebench 5, or add these columns",
        )
    if lacking:
        raise IntakeError(
            f"{name} lacks {', '.join(lacking)}", cure="give a dataset in the format of swebench 5"
        )
    plain = [
        column
        for column in (*_IDENTITY, *_NEW)
        if not isinstance(row[column], str) or not row[column].strip()
    ]
    if plain:
        raise IntakeError(f"{name}: expected text in {', '.join(plain)}", cure="mend the row")
    if "/" in row["instance_id"] or "\\" in row["instance_id"] or row["instance_id"].startswith("."):
        raise IntakeError(
            f"{name}: an instance id names a folder, it may hold no slash", cure="rename the instance"
        )
    return {**row, **{column: _test_list(row, column) for column in ("FAIL_TO_PASS", "PASS_TO_PASS")}}


def _test_list(row: Mapping[str, Any], column: str) -> list[str]:
    value = row[column]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list) or not all(isinstance(test, str) for test in value):
        raise IntakeError(
            f"{row['instance_id']}, {column}: expected test ids (a list or JSON), got {row[column]!r:.60}",
            cure="mend the row",
        )
    return value


def _is_hub_name(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(part and part[0].isalnum() and " " not in part for part in parts)


def _local(path: Path) -> list[Row]:
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise IntakeError(
            f"expected a dataset's file, {path} {what}", cure=f"give a file: {', '.join(_ENDS)}"
        )
    try:
        if path.name.endswith(".parquet"):
            return _parquet(path)
        data = path.read_bytes()
        if path.name.endswith(".gz"):
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise IntakeError(f"{path} cannot be read: {error}", cure="download or write it again") from error
    lines_of_json = path.name.endswith((".jsonl", ".jsonl.gz"))
    return _json_lines(path, text) if lines_of_json else _json(path, text)


def _json_lines(path: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(json.loads(line), path, f"line {number}"))
        except ValueError as error:
            raise IntakeError(
                f"{path}, line {number} is not JSON: {error}", cure="one JSON object a line"
            ) from error
    return rows


def _json(path: Path, text: str) -> list[Row]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise IntakeError(
            f"{path} is not JSON: {error}", cure="a list of rows; JSON Lines end in .jsonl"
        ) from error
    listed = [value] if isinstance(value, dict) and "instance_id" in value else value
    if not isinstance(listed, list):
        raise IntakeError(f"{path}: expected a list of rows, got {type(value).__name__}", cure="give a list")
    return [_row(row, path, f"row {number}") for number, row in enumerate(listed, 1)]


def _row(value: object, path: Path, where: str) -> Row:
    if not isinstance(value, dict):
        raise IntakeError(
            f"{path}, {where}: expected a JSON object, got {type(value).__name__}", cure="mend the row"
        )
    return value


def _parquet(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise IntakeError(
            f"{path} is not a Parquet file: {error}", cure="download or write it again"
        ) from error
    return rows


def _remote(name: str) -> list[Row]:
    from datasets import load_dataset

    try:
        return [dict(row) for row in load_dataset(name, split="test")]
    except Exception as error:  # the hub's clients raise dozens of unrelated types
        raise RemoteError(
            f"the dataset {name} cannot be had from the hub ({type(error).__name__}: {str(error)[:300]})",
            cure="check the name and the network, or give a local file: PATH.jsonl#INSTANCE_ID",
        ) from error
