"""The record in run folders: what counts, what is skipped, the gate, and the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.world.calibration.gate import EARNED, INSTANCES, earned
from agent.world.calibration.ledger import Entry, read_ledger
from agent.world.calibration.standing import standing
from tests.agent.ledgers import SIMULATOR, write_attempt


def test_rounds_with_an_outcome_count(tmp_path: Path) -> None:
    """A candidate that was not run counted as an answer, or the verdict of a patch that was replaced."""
    folder = write_attempt(tmp_path, 1, [("broken", ""), ("unknown", "holds"), ("holds", "broken")])
    with (folder / "predicted.jsonl").open("a") as file:  # after a second look the last verdict is what ran
        file.write('{"v": 1, "round": 3, "verdict": {"value": "broken"}, "kinds": ["loops"]}\n')
    entries = read_ledger([tmp_path]).entries
    assert [(e.predicted, e.observed, e.told) for e in entries] == [
        ("unknown", "holds", False),
        ("broken", "broken", True),
    ]
    assert entries[1].kinds == {"loops"}
    assert entries[1].simulator == SIMULATOR


def test_any_folder_above_is_named(tmp_path: Path) -> None:
    """Runs that are not found where a person would name them, or that count twice."""
    folder = write_attempt(tmp_path, 1, [("holds", "holds")])
    for named in (folder, folder.parent, folder.parent.parent, tmp_path):
        assert len(read_ledger([named]).entries) == 1
    assert len(read_ledger([folder, tmp_path, tmp_path]).entries) == 1


@pytest.mark.parametrize("name", ["attempt.json", "predicted.jsonl", "observed.jsonl"])
@pytest.mark.parametrize(
    "damage",
    [
        None,
        b"",
        b"{",
        b'{"v": 1, "round": 1, "verdict": {"value": "perhaps"}}',
        b'{"verdict": [1]}',
        b'{"verdict": 1\xff',
    ],
)
def test_a_broken_folder_is_named(tmp_path: Path, name: str, damage: bytes | None) -> None:
    """One spoilt folder that stops the reading of all others, or is silently taken for a record."""
    folder = write_attempt(tmp_path, 1, [("holds", "holds")])
    write_attempt(tmp_path, 2, [("holds", "holds")])
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage)
    ledger = read_ledger([tmp_path])
    assert [entry.instance for entry in ledger.entries] == ["task-2"]
    if damage != b"" or name == "attempt.json":
        ((skipped, why),) = ledger.skipped
        assert skipped == str(folder)
        assert why


def test_old_folders_are_read(tmp_path: Path) -> None:
    """Runs from before kinds and trust were written down: they count, under no kind."""
    folder = write_attempt(tmp_path, 1, [("holds", "holds")])
    (folder / "predicted.jsonl").write_text('{"v": 1, "round": 1, "verdict": {"value": "holds"}}\n')
    (entry,) = read_ledger([tmp_path]).entries
    assert (entry.simulator, entry.kinds, entry.prior) == (SIMULATOR, {"not recorded"}, None)


def _record(right: int, wrong: int, tasks: int = 10, kind: str = "loops") -> list[Entry]:
    outcomes = ["broken"] * right + ["holds"] * wrong
    return [
        Entry(str(n), f"t{n % tasks}", SIMULATOR, frozenset([kind]), "broken", came)  # type: ignore[arg-type]
        for n, came in enumerate(outcomes)
    ]


def test_a_gate_is_earned() -> None:
    """A gate that opens on too few cases, on too few tasks, on another kind of code, or on passes."""
    assert earned(_record(29, 0), ["loops"]).allowed
    assert not earned(_record(28, 0), ["loops"]).allowed
    assert not earned(_record(29, 1), ["loops"]).allowed
    assert earned(_record(60, 1), ["loops"]).allowed
    assert not earned(_record(60, 0, tasks=INSTANCES - 1), ["loops"]).allowed
    assert not earned(_record(60, 0), ["loops", "strings"]).allowed
    assert not earned(_record(60, 0), []).allowed
    assert not earned([], ["loops"]).allowed
    passes = [Entry(e.place, e.instance, e.simulator, e.kinds, "holds", "holds") for e in _record(60, 0)]
    assert not earned(passes, ["loops"]).allowed
    assert f"{EARNED}" in earned(_record(20, 0), ["loops"]).why


def test_the_table(tmp_path: Path) -> None:
    """Precision and recall exchanged, an unknown that is no miss, or a kind under another's name."""
    rounds = [("broken", "broken"), ("broken", "holds"), ("unknown", "broken"), ("holds", "holds")]
    write_attempt(tmp_path, 1, rounds, kinds=["loops"], trust={"probability": 0.75, "prior": 0.7})
    write_attempt(tmp_path, 2, [("holds", "broken")], kinds=["strings"], blind=False)
    made = standing(SIMULATOR, read_ledger([tmp_path]).entries)
    assert (made.count, made.not_blind, [on.kind for on in made.kinds]) == (4, 1, ["all", "loops"])
    loops = made.kinds[1]
    assert (loops.precision_broken.hits, loops.precision_broken.count) == (1, 2)
    assert (loops.recall_broken.hits, loops.recall_broken.count) == (1, 2)
    assert (loops.precision_holds.hits, loops.precision_holds.count) == (1, 1)
    assert (loops.recall_holds.hits, loops.recall_holds.count) == (1, 2)
    assert loops.abstained == 1


def test_sentences_need_counts(tmp_path: Path) -> None:
    """A verdict on a kind of code that rests on a handful of cases, or on the wrong end of the interval."""
    write_attempt(tmp_path, 1, [("broken", "broken")] * 9, kinds=["recursion"])
    few = standing(SIMULATOR, read_ledger([tmp_path]).entries)
    assert few.believe.startswith("not enough")
    assert few.never.startswith("not enough")
    for number in range(2, 22):
        write_attempt(tmp_path, number, [("broken", "broken")] * 2, kinds=["loops"])
        write_attempt(tmp_path, 100 + number, [("holds", "broken")], kinds=["strings"])
    many = standing(SIMULATOR, read_ledger([tmp_path]).entries)
    assert many.believe.startswith("code with loops, where it says broken: 40 of 40")
    assert many.never.startswith("code with strings, where it says holds: 0 of 20")
    assert [on.kind for on in many.kinds if on.earned.allowed] == ["loops"]


def test_trust_that_was_right_is_calibrated(tmp_path: Path) -> None:
    """A calibration error that is not zero where trust was borne out exactly, or that is where it was not."""
    outcomes = [("holds", "holds")] * 3 + [("holds", "broken")]
    write_attempt(tmp_path, 1, outcomes, trust={"probability": 0.75, "prior": 0.7})
    made = standing(SIMULATOR, read_ledger([tmp_path]).entries)
    assert made.error == pytest.approx(0)
    (one,) = made.bins
    assert (one.low, one.right.hits, one.right.count) == (0.7, 3, 4)
    write_attempt(tmp_path, 2, [("holds", "broken")] * 4, trust={"probability": 0.75, "prior": 0.7})
    assert standing(SIMULATOR, read_ledger([tmp_path]).entries).error == pytest.approx(0.375)
