"""Candidate sets, from every shape that they come in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from agent.errors import IntakeError
from agent.scale.candidates import read_candidates
from agent.scale.scoring.labels import labelled
from agent.scale.scoring.predictions import digest

PATCH = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = {}\n"
ROW = {"instance_id": "a__a-1", "system": "one", "model_patch": PATCH.format(2), "resolved": True}


def write(path: Path, value: object) -> Path:
    lines = path.name.endswith((".jsonl", ".jsonl.gz"))
    text = "".join(json.dumps(row) + "\n" for row in value) if lines else json.dumps(value)  # type: ignore[attr-defined]
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.json"])
def test_rows_of_a_file(tmp_path: Path, name: str) -> None:
    """Each format gives the same candidates, in order."""
    other = {**ROW, "system": "two", "resolved": False, "tokens": 1200, "usd": 0.25}
    found = read_candidates([write(tmp_path / name, [ROW, other])])
    first, second = found.by_instance["a__a-1"]
    assert (first.source, first.order, first.resolved, first.tokens) == ("one", 0, True, None)
    assert (second.source, second.order, second.resolved, second.usd) == ("two", 1, False, 0.25)
    assert found.distinct() == 1
    assert found.contradictions() == ("a__a-1",)


def test_predictions_of_several_systems_are_a_candidate_set(tmp_path: Path) -> None:
    """SWE-bench's files: a list, JSON Lines, or a mapping; a null patch is nothing proposed."""
    one = {"instance_id": "a__a-1", "model_name_or_path": "m1", "model_patch": PATCH.format(2)}
    write(tmp_path / "preds.json", {"a__a-1": {"model_name_or_path": "m2", "model_patch": None}})
    write(tmp_path / "all_preds.jsonl", [one])
    found = read_candidates([tmp_path])
    assert sorted(c.source for c in found) == ["m1", "m2"]
    assert found.unlabelled() == ("a__a-1",)
    assert [c.canonical.empty for c in found if c.source == "m2"] == [True]


def test_run_folders(tmp_path: Path) -> None:
    """Every attempt that ended is a candidate, with its cost; one without attempt.json did not happen."""
    run = tmp_path / "20260101-run"
    for attempt, resolved in ((1, True), (2, False), (10, None)):
        folder = run / "a__a-1" / str(attempt)
        folder.mkdir(parents=True)
        outcome = {
            "instance_id": "a__a-1",
            "status": "unverified",
            "patch": PATCH.format(attempt),
            "score": None if resolved is None else {"resolved": resolved},
            "cost": {"tokens": 10 * attempt, "usd": "unknown", "seconds": 2.0, "container_seconds": 1.0},
            "predicted": {"simulator": "oracle", "verdict": "holds", "trust": {"probability": 0.8}},
        }
        (folder / "attempt.json").write_text(json.dumps(outcome))
    (run / "a__a-1" / "3").mkdir()
    (run / "run.json").write_text("{}")
    idle = {**outcome, "instance_id": "b", "status": "no_patch", "patch": ""}
    (run / "b" / "1").mkdir(parents=True)
    (run / "b" / "1" / "attempt.json").write_text(json.dumps(idle))
    assert [c.resolved for c in read_candidates([run]).by_instance["b"]] == [False]
    for place in (run, tmp_path):
        found = read_candidates([place]).by_instance["a__a-1"]
        assert [c.resolved for c in found] == [True, False, None]
        assert [c.tokens for c in found] == [10, 20, 100]
        assert {(c.source, c.usd, c.predicted) for c in found} == {("20260101-run", None, "holds")}
        assert {c.trust for c in found} == {0.8}


def test_labels_of_fixbug_score(tmp_path: Path) -> None:
    """By instance and patch, to the byte; what failed for the environment's sake is no label."""
    rows = [{"instance_id": "a__a-1", "model_patch": PATCH.format(n)} for n in (1, 2, 3)]
    bare = read_candidates([write(tmp_path / "c.jsonl", rows)])
    grades = [
        {"instance_id": "a__a-1", "patch_sha256": digest(PATCH.format(n)), "status": status, **verdicts}
        for n, status, verdicts in (
            (1, "graded", {"official": True, "hardened": False}),
            (2, "graded", {"official": False, "hardened": False}),
            (3, "failed", {}),
        )
    ]
    write(tmp_path / "grades.jsonl", grades)
    assert [c.resolved for c in labelled(bare, tmp_path)] == [True, False, None]
    assert [c.resolved for c in labelled(bare, tmp_path / "grades.jsonl", "hardened")] == [False, False, None]
    with pytest.raises(IntakeError, match="no grades"):
        labelled(bare, tmp_path / "c.jsonl")
    write(tmp_path / "grades.jsonl", [{**grades[0], "instance_id": "other"}])
    with pytest.raises(IntakeError, match="no grade of these"):
        labelled(bare, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance_id": None}, "row 1: expected an instance_id"),
        ({"model_patch": 7}, "expected a diff in model_patch, got int"),
        ({"resolved": "yes"}, "expected true, false or nothing in resolved"),
        ({"tokens": -1}, "not negative in tokens"),
        ({"tokens": True}, "in tokens, got True"),
        ({"trust": 1.5}, "from 0 to 1 in trust"),
        ({"predicted": "maybe"}, "holds, broken, unknown in predicted"),
    ],
)
def test_a_row_that_is_not_as_described(tmp_path: Path, change: dict[str, object], said: str) -> None:
    """The message names the place and what was expected."""
    path = write(tmp_path / "c.jsonl", [{**ROW, **change}])
    with pytest.raises(IntakeError, match=said):
        read_candidates([path])


def test_a_row_without_a_patch_is_not_an_empty_patch(tmp_path: Path) -> None:
    """A misspelt column would count as nothing proposed, and spoil every figure."""
    row = {"instance_id": "a__a-1", "model_ptach": "x"}
    with pytest.raises(IntakeError, match="got nothing"):
        read_candidates([write(tmp_path / "c.jsonl", [row])])


def test_patches_by_instance(tmp_path: Path) -> None:
    """mini-swe-agent's preds.json and its kin: rows, bare text, lists of either; anything else is refused."""
    path = write(
        tmp_path / "preds.json", {"a__a-1": PATCH.format(2), "b": [PATCH.format(3), ROW, {"patch": ""}]}
    )
    found = read_candidates([path]).by_instance
    assert [len(found[name]) for name in ("a__a-1", "b")] == [2, 2]
    with pytest.raises(IntakeError, match="expected a row or a patch, got int"):
        read_candidates([write(tmp_path / "preds.json", {"a": 5})])


@pytest.mark.parametrize("name", ["absent.jsonl", "c.csv", "folder"])
def test_what_holds_no_candidates(tmp_path: Path, name: str) -> None:
    """A missing file, another format, an empty folder."""
    (tmp_path / "c.csv").write_text("a,b")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IntakeError):
        read_candidates([tmp_path / name])


def test_the_real_set_reads_as_it_is(data_dir: Path) -> None:
    """4,017 candidates of 310 instances, about 9 distinct ones each."""
    found = read_candidates([data_dir / "candidates" / "verified-dev.jsonl.gz"])
    assert (len(found), len(found.instances)) == (4017, 310)
    one = found.only(["django__django-11138"])
    assert one.distinct() == 12
    assert not one.unlabelled()
