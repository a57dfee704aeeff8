"""How the command ends before its time (Ctrl-C, a signal, a full disk), and how it goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent import player as p
from tests.agent.cli.conftest import Fixbug
from tests.openai_server import call, hang, serve, tools

ASKED = (
    "--issue",
    "issue.md",
    "--repo",
    "shop",
    "--test",
    p.TEST,
    "--model",
    "some",
    "--world-model",
    "none",
)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_the_endpoint_is_silent(fixbug: Fixbug, how: signal.Signals) -> None:
    """A run that cannot be stopped while it waits, leaves something behind, or cannot go on afterwards."""
    player = p.Player([p.act(p.FIX), hang()])
    with serve(player) as server:
        process = fixbug.start(*ASKED, "--sandbox", "local", "--base-url", server.base_url)
        until(lambda: len(player.prompts["agent"]) == 2)
        run = stopped(fixbug, process, how)
    again = p.Player([p.act(p.PROPOSE)])
    with serve(again) as server:
        done = fixbug("--resume", str(run), "--base-url", server.base_url, "--json")
    assert done.status == 0, done.err
    assert done.object()["paths"]["run"] == str(run)
    assert len(again.prompts["agent"]) == 1
    assert fixbug.runs() == [run]


def test_stopped_while_a_command_runs(fixbug: Fixbug) -> None:
    """A command that outlives the run it was started in; a record in which its turn is missing."""
    command = f"test -e {fixbug.folder}/again || {{ touch {fixbug.folder}/again; sleep 300 & wait; }}"
    player = p.Player([p.act(p.FIX), p.act(call("bash", {"command": command}, id="call_slow"))])
    with serve(player) as server:
        process = fixbug.start(*ASKED, "--sandbox", "local", "--base-url", server.base_url)
        until((fixbug.folder / "again").exists)
        run = stopped(fixbug, process)
    again = p.Player([p.act(p.PROPOSE)])
    with serve(again) as server:
        done = fixbug("--resume", str(run), "--base-url", server.base_url)
    assert done.status == 0, done.err
    assert len(again.prompts["agent"]) == 1


def test_stopped_by_an_impatient_user(fixbug: Fixbug) -> None:
    """A second Ctrl-C that cuts short what the first one has begun: processes and folders are left."""
    player = p.Player([p.act(p.FIX), hang()])
    with serve(player) as server:
        process = fixbug.start(*ASKED, "--sandbox", "local", "--base-url", server.base_url)
        until(lambda: len(player.prompts["agent"]) == 2)
        os.killpg(process.pid, signal.SIGINT)
        until(lambda: "unfinished.diff" in str(list(fixbug.folder.glob("runs/*/*/1/*"))))
        os.killpg(process.pid, signal.SIGINT)
        done = fixbug.finish(process)
    assert done.status == 130
    assert working_in(fixbug.temporary) == []


@pytest.mark.docker
def test_stopped_in_docker(fixbug: Fixbug, docker_image: str) -> None:
    """A container that outlives the run."""
    slow = call("bash", {"command": "echo begun; sleep 300"}, id="call_slow")
    player = p.Player([p.act(p.FIX), p.act(slow)])
    with serve(player) as server:
        where = ("--sandbox", "docker", "--image", docker_image)
        process = fixbug.start(*ASKED, *where, "--base-url", server.base_url)
        until(lambda: "call_slow" in trajectory(fixbug))
        assert len(containers(process.pid)) == 1
        stopped(fixbug, process)
    assert containers(process.pid) == []


def test_no_room_on_the_disk(fixbug: Fixbug) -> None:
    """A full disk (here: a limit on a file's size) that ends in a traceback, or loses what was there."""
    long = tools(call("bash", {"command": "true"}, id="call_long"), content="x" * 300_000)
    player = p.Player([p.act(p.FIX), long])
    with serve(player) as server:
        process = fixbug.start(*ASKED, "--sandbox", "local", "--base-url", server.base_url)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        done = fixbug.finish(process)
    assert done.status == 3
    problem, cure = done.err.splitlines()[-2:]
    assert problem.startswith("fixbug: ")
    assert "trajectory.jsonl cannot be written: File too large" in problem
    assert "free some disk" in cure
    assert "call_fix" in trajectory(fixbug)


def test_what_was_asked_cannot_be_changed_halfway(fixbug: Fixbug) -> None:
    """An option beside --resume that is passed over without a word."""
    run = fixbug.folder / "runs" / "one"
    run.mkdir(parents=True)
    asked = {"request": {"issue": "issue.md"}, "problem_statement": "x", "instance_id": "one"}
    (run / "run.json").write_text(json.dumps(asked))
    done = fixbug("--resume", str(run), "--repo", "elsewhere")
    assert done.status == 2
    assert "--repo" in done.err.splitlines()[-2]


def until(true: Callable[[], object]) -> None:
    """Wait for it, at most a minute."""
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


def trajectory(fixbug: Fixbug) -> str:
    return "".join(path.read_text() for path in fixbug.folder.glob("runs/*/*/1/trajectory.jsonl"))


def stopped(fixbug: Fixbug, process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT) -> Path:
    """Stop the command and what it started, as a terminal does; the folder of its run, which is said and can
    go on."""
    os.killpg(process.pid, how)
    done = fixbug.finish(process)
    assert done.status == 130, done.err
    assert done.err.splitlines()[-2] == "fixbug: stopped"
    (run,) = fixbug.runs()
    assert f"fixbug --resume {run.relative_to(fixbug.folder)}" in done.err
    assert not list(run.rglob("attempt.json"))
    assert working_in(fixbug.temporary) == []
    return run


def working_in(folder: Path) -> list[int]:
    """Processes whose working directory is in ``folder`` (gone by now or not)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()).startswith(str(folder)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def containers(pid: int) -> list[str]:
    """The containers that the process has made."""
    import docker

    client = docker.from_env()
    try:
        found = client.api.containers(all=True, filters={"label": ["fixbug", f"fixbug.pid={pid}"]})
    finally:
        client.close()
    return [str(summary["Id"]) for summary in found]
