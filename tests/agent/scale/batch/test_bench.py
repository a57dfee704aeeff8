"""Batches: nothing is lost, nothing is done twice, and what is no answer is not recorded as one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from agent.scale.batch import work
from agent.scale.batch.asked import replayed, resumed, run_folder
from agent.scale.batch.bench import bench
from agent.scale.batch.dry_run import plan_of
from agent.scale.batch.store import RunStore
from agent.scale.batch.tasks import write_task
from tests.agent.scale.batch.batches import Quiet, batch, make_tasks, settle
from tests.openai_server import USAGE, Reply, serve, status


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PAUSES", (0.01,))
    monkeypatch.setenv("FIXBUG_MAX_RETRIES", "0")


def attempts_in(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        f"{path.parts[-3]}/{path.parts[-2]}": json.loads(path.read_text())
        for path in sorted(folder.glob("*/*/attempt.json"))
    }


def test_a_batch_and_the_same_command_again(tmp_path: Path) -> None:
    """Counts, costs, predictions or intervals that do not follow from the attempts; attempts made twice."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "bad-1", "idle-1"])
    with serve(settle) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs", attempts=2)
        found = bench(request, Quiet(), submission="mine")
        asked = len(server.requests)
        again = bench(request, watcher := Quiet())
        assert len(server.requests) == asked
    assert watcher.ended == []
    data = found.results.data
    assert found.complete
    assert (data["attempts"], data["ended"], data["resolved"]) == (6, 6, 2)
    assert data["resolved_ids"] == ["good-1"]
    assert data["causes"] == {"resolved": 2, "its tests fail": 2, "budget: steps": 2}
    assert data["pass_at"] == {"1": pytest.approx(1 / 3), "2": pytest.approx(1 / 3)}
    assert data["rate"]["low"] < 1 / 3 < data["rate"]["high"]
    assert again.results.data == data
    folder = found.folder
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert {row["instance_id"]: bool(row["model_patch"]) for row in rows} == {
        "bad-1": True, "good-1": True, "idle-1": False,
    }  # fmt: skip
    (submission,) = (folder / "submission").iterdir()
    assert found.submission == submission
    assert (submission / "logs/good-1/patch.diff").read_text() == rows[1]["model_patch"]
    report = json.loads((submission / "logs/bad-1/report.json").read_text())["bad-1"]
    assert (report["patch_successfully_applied"], report["resolved"]) == (True, False)
    assert "hidden.py" in (submission / "logs/good-1/test_output.txt").read_text()
    assert not (submission / "logs/idle-1").exists(), "a folder there says that something was proposed"
    assert (submission / "trajs/idle-1.jsonl").exists()
    assert '"fixbug + scripted"' in (submission / "metadata.yaml").read_text()
    assert {entry.name for entry in submission.iterdir()} == {
        "all_preds.jsonl", "metadata.yaml", "README.md", "logs", "trajs",
    }  # fmt: skip
    run = json.loads((folder / "run.json").read_text())
    assert run["asked"]["instances"] == ["bad-1", "good-1", "idle-1"]
    assert run["found"] == {"models": ["scripted"], "images": {}}


def test_the_environments_failures_are_no_answers(tmp_path: Path) -> None:
    """An endpoint's failure counted as an unsolved bug; a batch that does not go on once it is cured."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "good-2"])
    broken = True

    def sometimes(request: dict[str, Any]) -> Reply:
        return status(500, "overloaded") if broken and "good-2" in json.dumps(request) else settle(request)

    with serve(sometimes) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs")
        first = bench(request, Quiet())
        assert not first.complete
        assert set(attempts_in(first.folder)) == {"good-1/1"}
        assert first.results.data["failures"]["good-2/1"]["type"] == "ModelError"
        (line,) = (first.folder / "failures.jsonl").read_text().splitlines()
        assert json.loads(line)["tries"] == 2
        broken = False
        second = bench(resumed(first.folder, request), Quiet())
    assert second.complete
    assert second.results.data["resolved_ids"] == ["good-1", "good-2"]


def test_what_would_fail_every_attempt_ends_the_run(tmp_path: Path) -> None:
    """Two thousand attempts against an endpoint that wants an hour's rest, each with its own patience; a
    rate limit that is recorded as an answer, or that does not say how to wait for it."""
    tasks = make_tasks(tmp_path / "tasks", [f"good-{n}" for n in range(12)])
    with serve(lambda request: status(429, "slow down", headers={"Retry-After": "3600"})) as server:
        found = bench(batch(tasks, server.base_url, tmp_path / "runs"), Quiet())
    assert not found.complete
    assert "fails every attempt" in found.stopped
    assert len(found.failures) <= 2, "those that ran already; each was tried once"
    assert len(server.requests) == len(found.failures)
    assert attempts_in(found.folder) == {}
    assert found.trouble is not None
    assert "it asks to wait 3600 s" in found.trouble.problem
    assert "FIXBUG_MAX_RETRY_AFTER=" in found.trouble.cure


def test_another_question_under_the_same_name_is_refused(tmp_path: Path) -> None:
    """A run whose later half was made with other settings than its first."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1"])
    with serve(settle) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs", run_id="one")
        bench(request, Quiet())
        other = replace(request, base=replace(request.base, budget_steps=9, seed=3))
        with pytest.raises(UsageError, match=r"budget_steps: was 4, is 9\n  request.seed: was 0, is 3"):
            bench(other, Quiet())
        bench(replace(request, workers=7), Quiet())


def test_an_address_and_the_number_of_attempts_may_change(tmp_path: Path) -> None:
    """A batch that cannot go on because its endpoint has moved; one that forgets where it was asked, or that
    is begun anew because more attempts are wanted; predictions of attempts that are no longer asked for."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "good-2"])
    with serve(settle) as server:
        first = bench(batch(tasks, server.base_url, tmp_path / "runs", sample=1), Quiet())
        old = server.base_url
    with serve(settle) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs", sample=1, attempts=3)
        more = bench(request, watcher := Quiet())
        assert more.folder == first.folder
        assert len(watcher.ended) == 2
        assert sorted(path.name for path in more.folder.glob("predictions*")) == [
            "predictions-2.jsonl", "predictions-3.jsonl", "predictions.jsonl",
        ]  # fmt: skip
        run = json.loads((more.folder / "run.json").read_text())
        assert [one["base_url"] for one in run["endpoints"]] == [old, server.base_url]
        assert (run["attempts"], "base_url" in run["asked"]["request"]) == (3, False)
        again = resumed(more.folder, batch(tasks, "http://localhost:1/v1", tmp_path))
        assert (again.attempts, again.base.base_url) == (3, "http://localhost:1/v1")
        silent = replace(again, base=replace(again.base, base_url=None))
        assert resumed(more.folder, silent).base.base_url == server.base_url
        fewer = bench(replace(request, attempts=1), Quiet())
    assert fewer.results.data["attempts"] == 1
    assert [path.name for path in fewer.folder.glob("predictions*")] == ["predictions.jsonl"]
    assert len(list(fewer.folder.glob("*/*/attempt.json"))) == 3


def test_one_process_a_run(tmp_path: Path) -> None:
    """Two processes that write the same attempts."""
    config = {"schema": 2, "kind": "bench", "asked": {"request": {}}, "attempts": 1, "endpoints": [{}]}
    first = RunStore(tmp_path / "run", config)
    with first, pytest.raises(UsageError, match="another process"):
        RunStore(tmp_path / "run", config).__enter__()
    with RunStore(tmp_path / "run", config):
        pass


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ('{"schema": 99, "kind": "bench", "asked": {}}', "newer fixbug"),
        ('{"schema": 1, "request": {}}', "one attempt"),
        ("{", "cannot be read"),
    ],
)
def test_folders_that_are_no_batch(tmp_path: Path, run: str, said: str) -> None:
    """A traceback, or a folder of something else that is written over."""
    (tmp_path / "run.json").write_text(run)
    with pytest.raises(UsageError, match=said):
        RunStore(tmp_path, {"asked": {}}).__enter__()
    with pytest.raises(UsageError, match=said):
        resumed(tmp_path, batch(tmp_path, "http://localhost", tmp_path))
    assert (tmp_path / "run.json").read_text() == run


def test_nothing_that_could_be_tried_is_no_finished_batch(tmp_path: Path) -> None:
    """Exit status 0 for a batch of which no instance could be tried; a run outside of its folder."""
    write_task(
        tmp_path / "tasks" / "fine",
        issue="# one() is right\n",
        files={"one.py": "def one():\n    return 1\n", "test_visible.py": "def test():\n    pass\n"},
        tests=["test_visible.py"],
        hidden="def test():\n    pass\n",
    )
    with serve(settle) as server:
        request = batch(tmp_path / "tasks", server.base_url, tmp_path / "runs")
        found = bench(request, Quiet())
        assert (found.complete, found.stopped) == (False, "")
        assert found.trouble is not None
        assert "passes on the base commit" in found.trouble.problem
        with pytest.raises(UsageError, match=r"cannot be called '\.\./x'"):
            bench(replace(request, run_id="../x"), Quiet())


def test_the_runs_own_bounds(tmp_path: Path) -> None:
    """A run that goes on past its budget; a bound that loses what was done, or is silently not kept."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "good-2", "good-3"])
    with serve(settle) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs", workers=1, run_tokens=1, run_usd=5.0)
        found = bench(request, watcher := Quiet())
        assert sum("price is unknown" in text for text in watcher.said) == 1
        assert found.results.data["ended"] == 1
        assert "tokens are used" in found.stopped
        whole = bench(replace(request, run_tokens=None), Quiet())
    assert whole.results.data["ended"] == 3


def test_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run that runs or writes something, or does not know what is done already; an estimate that takes
    a replay's turns, which cost nothing, for the model's; one that dies of a folder that is no run."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "good-2"])
    with serve(settle) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs")
        plan = plan_of(request)
        assert (plan["left"], plan["done"], plan["estimated_tokens"]) == (2, 0, None)
        assert not (tmp_path / "runs").exists()
        bench(replace(request, sample=1), Quiet())
        assert server.requests
    plan = plan_of(request)
    assert plan["left"] == 2, "another selection is another run"
    assert plan["estimated_tokens"] == 2 * 2 * USAGE["total_tokens"]
    assert plan["estimated_usd"] is None
    monkeypatch.setenv("FIXBUG_PRICE_INPUT", "10")
    monkeypatch.setenv("FIXBUG_PRICE_OUTPUT", "100")
    (run,) = (tmp_path / "runs").glob("bench-*")
    bench(replayed(run, request), Quiet())
    (tmp_path / "runs" / "strange").mkdir()
    (tmp_path / "runs" / "strange" / "run.json").write_text("[]")
    plan = plan_of(request)
    assert plan["estimated_usd"] == pytest.approx(2 * 2 * (100 * 10 + 10 * 100) / 1e6)
    offline = replace(request, base=replace(request.base, model="offline"))
    assert (plan["asks_a_model"], plan_of(offline)["asks_a_model"]) == (True, False)


def command(tasks: Path, base_url: str, runs: Path) -> subprocess.Popen[str]:
    arguments = [
        "bench", str(tasks), "--model", "scripted", "--base-url", base_url, "--world-model", "none",
        "--sandbox", "local", "--budget-steps", "4", "--workers", "2", "--run-dir", str(runs), "--json",
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """A kill that loses an ended attempt, leaves half a one, or makes one twice."""
    names = [f"good-{n}" for n in range(6)]
    tasks = make_tasks(tmp_path / "tasks", names)
    runs = tmp_path / "runs"
    chance = random.Random(5)
    with serve(settle) as server:
        for wanted in (1, 3):
            process = command(tasks, server.base_url, runs)
            while len(list(runs.glob("*/*/1/attempt.json"))) < wanted and process.poll() is None:
                time.sleep(0.05)
            time.sleep(chance.random())
            process.kill()
            process.communicate()
        before = {path: path.read_text() for path in runs.glob("*/*/1/attempt.json")}
        process = command(tasks, server.base_url, runs)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    found = json.loads(output)
    assert (found["ended"], found["resolved"]) == (6, 6)
    assert found["cost"]["tokens"] == 6 * 2 * USAGE["total_tokens"], "what was paid before a kill counts"
    assert [row["instance_id"] for row in found["by_attempt"]] == names
    assert all(path.read_text() == text for path, text in before.items())
    for path in runs.glob("*/*/1/trajectory.jsonl"):
        assert [json.loads(line)["type"] for line in path.read_text().splitlines()].count("session") == 1
    assert list(runs.rglob("*.part")) == []


def test_ctrl_c_ends_what_runs(tmp_path: Path) -> None:
    """A first Ctrl-C that throws away what was paid for, or goes on with the rest."""
    tasks = make_tasks(tmp_path / "tasks", [f"good-{n}" for n in range(8)])
    runs = tmp_path / "runs"
    with serve(settle) as server:
        process = command(tasks, server.base_url, runs)
        while not list(runs.glob("*/*/1/attempt.json")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    found = json.loads(output)
    assert process.returncode == 3, errors
    assert "Ctrl-C again" in errors
    assert 1 <= found["ended"] < 8
    begun = {path.parent.parent.name for path in runs.glob("*/*/1/trajectory.jsonl")}
    assert len(begun) == found["ended"]


def test_rows_of_the_old_format(tmp_path: Path) -> None:
    """A row that cannot be graded found hours later; one that is not asked for in the way."""
    old = {"instance_id": "a__b-1", "repo": "a/b", "base_commit": "1" * 40, "problem_statement": "x",
           "version": "1", "FAIL_TO_PASS": "[]", "PASS_TO_PASS": "[]"}  # fmt: skip
    new = {
        **old,
        "instance_id": "a__b-2",
        "image": "i",
        "eval_script": "s",
        "log_parser": "p",
        "eval_type": "t",
    }
    dataset = tmp_path / "rows.jsonl"
    dataset.write_text(f"{json.dumps(old)}\n{json.dumps(new)}\n")
    request = batch(dataset, "http://localhost:1/v1", tmp_path / "runs")
    with pytest.raises(UsageError, match=r"a__b-1 is in the format of swebench 4 and older"):
        bench(request, Quiet())
    assert not (tmp_path / "runs").exists()
    assert [one.instance_id for one in replace(request, exclude=("a__b-1",)).selected()] == ["a__b-2"]


def test_ids_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same question in two folders, or two questions in one."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "good-2"])
    request = batch(tasks, "http://localhost:1/v1", tmp_path / "runs")
    folder = run_folder(request, request.selected())
    assert folder == run_folder(replace(request, workers=9), request.selected())
    monkeypatch.chdir(tmp_path)
    near = replace(request, dataset="tasks")
    assert folder == run_folder(near, near.selected()), "the same tasks, named from nearer by"
    other = replace(request, pattern="-1")
    assert folder != run_folder(other, other.selected())
    secret = replace(request, base=replace(request.base, base_url="http://me:secret@localhost:1/v1"))
    assert folder == run_folder(secret, request.selected()), "a URL's password is no part of the question"
    assert os.path.commonpath([folder, tmp_path / "runs"]) == str(tmp_path / "runs")


def test_a_run_again_from_its_record(tmp_path: Path) -> None:
    """A replay that asks a model, does not notice another patch, another score or another dataset, or cannot
    be resumed."""
    tasks = make_tasks(tmp_path / "tasks", ["good-1", "bad-1"])
    with serve(settle) as server:
        request = batch(tasks, server.base_url, tmp_path / "runs")
        first = bench(request, Quiet())
        asked = len(server.requests)
        again = bench(replayed(first.folder, request), Quiet())
        assert len(server.requests) == asked
    assert again.folder != first.folder
    assert again.results.data["resolved_ids"] == first.results.data["resolved_ids"] == ["good-1"]
    assert again.results.data["record"] == {"attempts": 2, "other_patch": [], "other_score": []}
    assert (again.folder / "predictions.jsonl").read_text().count('"model_patch": "diff') == 2
    assert bench(resumed(again.folder, request), Quiet()).complete
    outcome = first.folder / "bad-1" / "1" / "attempt.json"
    outcome.write_text(outcome.read_text().replace('"resolved": false', '"resolved": true'))
    source = tasks / "good-1" / "repository" / "one.py"
    assert "return 0" in source.read_text()
    source.write_text(source.read_text().replace("return 0", "return 3"))
    third = bench(replace(replayed(first.folder, request), run_id="third"), watcher := Quiet())
    assert any("not what it was then" in text for text in watcher.said)
    record = third.results.data["record"]
    assert (record["attempts"], record["other_patch"]) == (2, ["good-1/1"])
    assert sorted(record["other_score"]) == ["bad-1/1", "good-1/1"]
