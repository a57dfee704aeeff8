"""``fixbug trust`` as a user runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.agent.cli.conftest import Fixbug
from tests.agent.ledgers import SIMULATOR, write_attempt

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


def _runs(folder: Path, count: int = 20) -> None:
    said = {"probability": 0.85, "prior": 0.8}
    for number in range(count):
        write_attempt(folder / "runs", number, [("broken", "broken")] * 2, kinds=["loops"], trust=said)
        write_attempt(folder / "runs", 1000 + number, [("holds", "broken")], kinds=["strings"], trust=said)


def test_without_runs(fixbug: Fixbug) -> None:
    """An error, or an empty table, for someone who has run nothing yet."""
    done = fixbug("trust")
    assert done.status == 0, done.err
    assert "rests on the shipped prior" in done.out
    assert "two agree" in done.out
    found = fixbug("trust", "--json").object()
    assert found["simulators"] == []
    assert found["prior"]["loops"]["two agree"] > found["prior"]["loops"]["two differ"]


def test_with_runs(fixbug: Fixbug) -> None:
    """A record that is not counted, or that is told without its counts and intervals, or with cut ones."""
    _runs(fixbug.folder)
    broken = fixbug.folder / "runs" / "zzz" / "task" / "1"
    broken.mkdir(parents=True)
    (broken / "attempt.json").write_text("[")
    done = fixbug("trust", "runs")
    assert done.status == 0, done.err
    assert "zzz" in done.out
    assert "…" not in done.out
    assert "stop spending compute on: code with loops, where it says broken: 40 of 40" in done.out
    assert "never to trust it on: code with strings, where it says holds: 0 of 20" in done.out
    found = fixbug("trust", "runs", "--json").object()
    (simulator,) = found["simulators"]
    assert (simulator["simulator"], simulator["predictions"]) == (SIMULATOR, 60)
    whole, loops, strings = simulator["kinds"]
    assert [row["kind"] for row in (whole, loops, strings)] == ["all", "loops", "strings"]
    assert loops["precision_broken"]["low"] > 0.9
    assert strings["precision_holds"]["high"] < 0.2
    assert loops["may_skip_execution"]
    assert [row["count"] for row in (b["right"] for b in simulator["reliability"])] == [60]
    assert [Path(item["folder"]).parts[1] for item in found["attempts_skipped"]] == ["zzz"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["issue.md"], "issue.md is no folder"),
        (["--plot", "trust.txt"], ".svg or .png"),
        (["--plot", "nowhere/trust.svg"], "nowhere"),
    ],
)
def test_what_is_asked_for_is_not_there(fixbug: Fixbug, arguments: list[str], word: str) -> None:
    """A traceback, or a silent nothing, for a mistyped folder or an image that cannot be written."""
    fixbug.refused(fixbug("trust", *arguments), 2, word)


def test_no_matplotlib(fixbug: Fixbug) -> None:
    """An import error instead of what to install."""
    (fixbug.folder / "matplotlib.py").write_text("raise ImportError('not installed')\n")
    env = {"PYTHONPATH": f"{fixbug.folder}:{fixbug.env['PYTHONPATH']}"}
    done = fixbug("trust", "--plot", "trust.svg", env=env)
    fixbug.refused(done, 2, "matplotlib", "fixbug-cwm[plots]")


@pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib is not installed (extra: plots)")
@pytest.mark.parametrize("name", ["trust.svg", "trust.png"])
def test_a_plot(fixbug: Fixbug, name: str) -> None:
    """An image that is empty, or half written beside its place."""
    _runs(fixbug.folder)
    done = fixbug("trust", "--plot", name, env={"MPLCONFIGDIR": str(fixbug.folder)})
    assert done.status == 0, done.err
    drawn = (fixbug.folder / name).read_bytes()
    assert drawn.startswith((b"<?xml", b"\x89PNG"))
    assert len(drawn) > 5000
    assert not list(fixbug.folder.glob(".trust*"))


def test_a_gate_that_is_none(fixbug: Fixbug) -> None:
    """A mistyped gate that is taken for the default."""
    fixbug.refused(fixbug("--issue", "issue.md", "--gate", "closed"), 2, "closed")
