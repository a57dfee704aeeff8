"""The record of an attempt that is interrupted, more than once."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import FixbugError, ModelError, UsageError
from agent.events import Progress
from agent.fix import fix, resume_request
from agent.record import check_place
from tests.agent import player as p
from tests.openai_server import call, serve, status


def test_interrupted_again_while_its_turns_are_replayed(tmp_path: Path) -> None:
    """Turns that were paid for and are lost, because the record is written anew from its beginning."""
    look = p.act(call("bash", {"command": "ls"}))
    with serve(p.Player([look, p.act(p.FIX), status(400, "moved")])) as server, pytest.raises(ModelError):
        fix(p.request(tmp_path, server.base_url, world_model="none"))
    (run,) = (tmp_path / "runs").iterdir()

    def impatient(progress: Progress) -> None:
        if progress.text.startswith("turn 1:"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fix(resume_request(run), impatient, resume=run)
    again = p.Player([p.act(p.PROPOSE)])
    with serve(again) as server:
        outcome = fix(replace(resume_request(run), base_url=server.base_url), resume=run)
    assert outcome.status == "verified"
    assert len(again.prompts["agent"]) == 1
    (attempt,) = run.glob("*/1")
    assert {path.name for path in attempt.iterdir()} == {
        "attempt.json",
        "hidden-tests.log",
        "observed.jsonl",
        "patch.diff",
        "predicted.jsonl",
        "trajectory.jsonl",
    }
    assert (attempt / "trajectory.jsonl").read_text().count('"type": "turn"') == 3


def test_resumed_with_an_issue_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that cannot be read twice, or whose run goes by another name the second time."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((p.EXAMPLE / "issue.md").read_bytes())))
    with serve(p.Player([p.act(p.FIX), status(400, "moved")])) as server, pytest.raises(ModelError):
        fix(p.request(tmp_path, server.base_url, world_model="none", issue="-"))
    (run,) = (tmp_path / "runs").iterdir()
    again = p.Player([p.act(p.PROPOSE)])
    with serve(again) as server:
        outcome = fix(replace(resume_request(run), base_url=server.base_url), resume=run)
    assert outcome.status == "verified"
    assert len(again.prompts["agent"]) == 1
    assert [path.name for path in run.iterdir() if path.is_dir()] == [outcome.instance_id]


def test_resumed_on_other_code(tmp_path: Path) -> None:
    """Turns that are replayed on a repository that has changed since."""
    with serve(p.Player([p.act(p.FIX), status(400, "moved")])) as server, pytest.raises(ModelError):
        fix(p.request(tmp_path, server.base_url, world_model="none"))
    (run,) = (tmp_path / "runs").iterdir()
    (tmp_path / "shop" / "shop" / "store.py").write_text("")
    with pytest.raises(UsageError, match="began at commit"):
        fix(resume_request(run), resume=run)


def test_a_place_for_runs(tmp_path: Path) -> None:
    """A folder that cannot be made and is found out about when the work is done."""
    (tmp_path / "file").write_text("")
    check_place(tmp_path / "not" / "yet" / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    with pytest.raises(FixbugError, match="--run-dir"):
        check_place(tmp_path / "file" / "runs")
