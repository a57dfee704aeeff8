"""``--gate`` through the real loop, with a scripted model behind a real endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.fix import fix
from agent.outcome import Outcome
from agent.world.calibration.kinds import KINDS
from tests.agent import player as p
from tests.agent.ledgers import write_attempt
from tests.openai_server import serve

FAILS = [p.simulation("300", "300")] * 2
WORKS = [p.simulation("300", "450")] * 2


def attempt(folder: Path, player: p.Player, **changes: Any) -> Outcome:
    with serve(player) as server:
        return fix(p.request(folder, server.base_url, **changes))


def record(folder: Path, right: int, wrong: int = 0) -> None:
    """So many predicted failures of the scripted model came true, so many did not, on code of all kinds."""
    outcomes = [("broken", "broken")] * right + [("broken", "holds")] * wrong
    for number, outcome in enumerate(outcomes):
        write_attempt(folder / "runs", number, [outcome], kinds=KINDS)


def lines(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    text = Path(outcome.paths["attempt"], name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_failure_that_is_foreseen_is_not_run(tmp_path: Path) -> None:
    """A gate that was earned and stays shut, skips in silence, or takes what was not run for an answer."""
    record(tmp_path, 40)
    turns = [p.act(p.WRONG), p.act(p.PROPOSE), p.act(p.UNDO_WRONG), p.act(p.PROPOSE)]
    player = p.Player(turns, FAILS + WORKS)
    outcome = attempt(tmp_path, player, gate="earned")
    first, second = outcome.rounds
    assert (first.predicted, first.observed, first.row) == ("broken", "unknown", "look again")
    assert "40 of 40" in first.passed_over
    assert first.outcomes == ()
    assert any("round 1: not run" in note and "40 of 40" in note for note in outcome.notes)
    assert (second.passed_over, second.row, outcome.status) == ("", "understood fix", "verified")
    assert [row["round"] for row in lines(outcome, "observed.jsonl")] == [2]
    shown = outcome.to_json()
    assert shown["predicted"]["passed_over"] == [1]
    assert shown["predicted"]["trust"]["rests_on"] == "40 predictions of this model"
    assert "Your patch was not run" in player.prompts["agent"][2]


def test_a_patch_that_is_proposed_again_is_run(tmp_path: Path) -> None:
    """A false alarm that keeps a good patch from ever being run, whatever the proposer says."""
    record(tmp_path, 40)
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE), p.act(p.PROPOSE)], FAILS + FAILS)
    outcome = attempt(tmp_path, player, gate="earned")
    first, second = outcome.rounds
    assert first.passed_over
    assert (second.row, outcome.status) == ("false alarm", "verified")


def test_the_last_patch_is_always_run(tmp_path: Path) -> None:
    """An attempt that ends with a patch which nobody has run."""
    record(tmp_path, 40)
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE), p.act(p.PROPOSE)], FAILS)
    outcome = attempt(tmp_path, player, gate="earned", max_rounds=1)
    (round_,) = outcome.rounds
    assert (round_.passed_over, round_.second_look, round_.row) == ("", True, "false alarm")
    assert outcome.status == "verified"


def test_a_poor_record_earns_nothing(tmp_path: Path) -> None:
    """A gate that opens because it was asked for."""
    record(tmp_path, 20, 20)
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE), p.act(p.PROPOSE)], FAILS)
    outcome = attempt(tmp_path, player, gate="earned")
    (round_,) = outcome.rounds
    assert (round_.passed_over, round_.second_look, outcome.status) == ("", True, "verified")
    (verdict,) = [row for row in lines(outcome, "predicted.jsonl") if "verdict" in row]
    assert not verdict["earned"]["allowed"]
    assert "20 of 40" in verdict["earned"]["why"]


def test_advice_never_skips(tmp_path: Path) -> None:
    """The default gate that skips execution where the record would allow it."""
    record(tmp_path, 40)
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE), p.act(p.PROPOSE)], FAILS)
    (round_,) = attempt(tmp_path, player).rounds
    assert (round_.passed_over, round_.second_look, round_.row) == ("", True, "false alarm")


def test_no_gate_no_second_look(tmp_path: Path) -> None:
    """A second look that is taken though it was switched off, or a prediction that is not on record."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], FAILS)
    outcome = attempt(tmp_path, player, gate="off")
    (round_,) = outcome.rounds
    assert (round_.second_look, round_.row, outcome.status) == (False, "false alarm", "verified")
    assert len(player.prompts["agent"]) == 2


def test_an_impossible_sample_is_thrown_away_and_said(tmp_path: Path) -> None:
    """A trace that the program cannot take, believed, or left out without a word."""
    frame = {"event": "line", "function": "Catalogue.price", "file": "shop/catalogue.py", "line": 1, "run": 1}
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450", [frame])] * 9)
    outcome = attempt(tmp_path, player)
    (round_,) = outcome.rounds
    assert (round_.predicted, round_.trust, outcome.status) == ("unknown", None, "verified")
    assert any("sample 1" in reason and "line 1" in reason for reason in round_.predicted_reasons)
