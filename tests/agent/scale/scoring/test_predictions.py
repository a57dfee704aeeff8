"""Predictions files: every shape the field uses, and a clear word about every other."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import IntakeError
from agent.scale.scoring.predictions import Prediction, distinct, gold, read_predictions

PATCHES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ROWS = st.lists(st.tuples(st.sampled_from(["a__b-1", "a__b-2", "c__d-3"]), PATCHES), min_size=1, max_size=6)


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@given(rows=ROWS, column=st.sampled_from(["model_patch", "patch"]))
@settings(max_examples=40, deadline=None)
def test_every_shape_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], column: str
) -> None:
    """Catches a shape that loses a candidate, its order, or a byte (line ends, odd separators) of a patch."""
    folder = tmp_path_factory.mktemp("shapes")
    objects = [{"instance_id": name, column: patch, "model_name_or_path": "m"} for name, patch in rows]
    lines = "".join(json.dumps(row) + "\n" for row in objects)
    (folder / "p.jsonl").write_text(lines)
    (folder / "p.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    write(folder / "list.json", objects)
    grouped: dict[str, list[Any]] = {}
    for row in objects:
        grouped.setdefault(row["instance_id"], []).append(row)
    write(folder / "grouped.json", grouped)
    write(folder / "texts.json", {name: [row[column] for row in found] for name, found in grouped.items()})
    expected = [Prediction(name, patch, ("m",)) for name, patch in rows]
    for name in ("p.jsonl", "p.jsonl.gz", "list.json"):
        assert read_predictions(folder / name) == expected
    by_instance = sorted(expected, key=lambda one: list(grouped).index(one.instance_id))
    assert read_predictions(folder / "grouped.json") == by_instance
    assert [(one.instance_id, one.patch) for one in read_predictions(folder / "texts.json")] == [
        (one.instance_id, one.patch) for one in by_instance
    ]


def test_one_object_and_bare_texts(tmp_path: Path) -> None:
    """Catches mini-swe-agent's preds.json, a bare text, and null for "nothing was proposed"."""
    shape = {"a__b-1": {"model_patch": None, "instance_id": "a__b-1"}, "a__b-2": "diff", "a__b-3": None}
    found = read_predictions(write(tmp_path / "p.json", shape))
    assert [(one.instance_id, one.patch) for one in found] == [
        ("a__b-1", ""), ("a__b-2", "diff"), ("a__b-3", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.json", "[1]", "entry 1: expected an object, got a number"),
        ("p.json", "3", "expected a list or an object, got a number"),
        ("p.json", "{", "is not JSON"),
        ("p.json", "[]", "holds no predictions"),
        ("p.json", '[{"model_patch": ""}]', "expected an instance_id, got None"),
        ("p.json", '[{"instance_id": "a"}]', "no model_patch (nor patch) for a"),
        ("p.json", '[{"instance_id": "a", "patch": 3}]', "expected the text of a patch, got a number"),
        ("p.json", '{"a": {"instance_id": "b", "patch": ""}}', "its instance_id is 'b'"),
        ("p.jsonl", '{"instance_id": "a", "patch": ""}\nx\n', "line 2 is not JSON"),
        ("p.jsonl.gz", "no gzip", "cannot be read"),
    ],
)
def test_what_is_in_no_known_shape(tmp_path: Path, name: str, content: str, said: str) -> None:
    """Catches a bare KeyError, and a message that names neither the place nor the shapes that are known."""
    (tmp_path / name).write_text(content)
    with pytest.raises(IntakeError) as caught:
        read_predictions(tmp_path / name)
    assert said in caught.value.problem
    assert name in caught.value.problem
    assert "instance_id" in caught.value.cure or "again" in caught.value.cure or "same" in caught.value.cure


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Catches an OSError for a wrong path, or for a folder."""
    for path, said in ((tmp_path / "none.json", "does not exist"), (tmp_path, "is a directory")):
        with pytest.raises(IntakeError, match=said):
            read_predictions(path)


def test_half_a_character(tmp_path: Path) -> None:
    """Catches a crash, much later, on text that JSON can hold and no file can."""
    (tmp_path / "p.json").write_text('[{"instance_id": "a", "patch": "\\ud800"}]')
    (found,) = read_predictions(tmp_path / "p.json")
    assert found.patch.encode() == b"?"


def test_equal_patches_are_one_candidate() -> None:
    """Catches a candidate known by its name: equal ones merge, whoever proposed them, and only those."""
    found = distinct(
        [
            Prediction("i", "x", ("a",)),
            Prediction("i", "y", ("a",)),
            Prediction("i", "x", ("b",)),
            Prediction("j", "x"),
        ]
    )
    assert [(one.instance_id, one.patch, one.names) for one in found] == [
        ("i", "x", ("a", "b")), ("i", "y", ("a",)), ("j", "x", ()),
    ]  # fmt: skip


def test_gold_of_a_dataset_without_patches() -> None:
    """Catches a KeyError for a dataset that holds no gold patches."""
    with pytest.raises(IntakeError, match="no column patch"):
        gold([{"instance_id": "a"}])
