"""``fixbug bench`` as a user types it: what may be said beside --resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import _run
from agent.scale.batch.bench import bench
from tests.agent.scale.batch.batches import Quiet, batch, make_tasks, settle
from tests.openai_server import serve


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A batch that has ended."""
    with serve(settle) as server:
        request = batch(make_tasks(tmp_path / "tasks", ["good-1"]), server.base_url, tmp_path / "runs")
        return bench(request, Quiet()).folder


def test_what_is_said_beside_resume_holds_or_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option beside --resume that is passed over without a word."""
    for option, spelt in (
        (["--samples", "5"], "--samples"),
        (["--slice", "0:1"], "--slice"),
        (["--budget-steps", "9"], "--budget-steps"),
        (["--seed", "0"], "--seed"),
        (["--sighted"], "--blind"),
    ):
        assert _run(["bench", "--resume", str(run), *option]) == 2
        assert f"{spelt} cannot be changed" in capsys.readouterr().err
    more = ["--attempts", "3", "--workers", "1", "--base-url", "http://localhost:1/v1", "--dry-run", "--json"]
    assert _run(["bench", "--resume", str(run), *more]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["run"], plan["done"], plan["left"], plan["workers"]) == (str(run), 1, 2, 1)
    assert _run(["bench", "--resume", str(run), "--model", "other"]) == 2
    assert 'request.model: was "scripted", is "other"' in capsys.readouterr().err
