"""What every call of the command promises: quick help, one object with --json, the right exit status."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.agent import player as p
from tests.agent.cli.conftest import Fixbug
from tests.openai_server import serve, status, text

HEAVY = ("docker", "swebench", "openai", "httpx2", "libcst", "git", "jinja2", "unidiff", "pytest")
ASKED = ("--issue", "issue.md", "--repo", "shop", "--test", p.TEST, "--sandbox", "local", "--model", "some")


@pytest.mark.parametrize("command", [["--help"], ["replay", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(fixbug: Fixbug, command: list[str]) -> None:
    """A module that is imported before it is needed, and makes the help wait for it."""
    script = (
        "import sys\nsys.argv[0] = 'fixbug'\nfrom agent.cli import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        cwd=fixbug.folder,
        env=fixbug.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "fixbug" in done.stdout
    assert not {name.partition(".")[0] for name in done.stderr.split()} & set(HEAVY)


def test_no_arguments(fixbug: Fixbug) -> None:
    """A newcomer who is told what is missing but not what there is; a script that takes it for success."""
    done = fixbug()
    assert done.status == 2
    assert "--issue" in done.out
    assert "demo" in done.out


def test_a_fix(fixbug: Fixbug) -> None:
    """Progress on standard output, results on standard error, or a fix that is no success to a script."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    with serve(player) as server:
        done = fixbug(*ASKED, "--base-url", server.base_url)
    assert done.status == 0, done.err
    assert "Fixed, and verified" in done.out
    assert "_cache.pop" in done.out
    stages = [line.split()[0] for line in done.err.splitlines()]
    assert stages[:3] == ["intake", "open", "reproduce"]
    assert "understood fix" in done.err


def test_the_demo(fixbug: Fixbug) -> None:
    """A first command that does not end as the README shows it."""
    done = fixbug("demo", "--json")
    assert done.status == 0, done.err
    outcome = done.object()
    assert (outcome["status"], outcome["score"]["resolved"]) == ("verified", True)
    before, after = outcome["table"][1]["before"], outcome["table"][1]["after"]
    assert (before, after) == (["300", "300"], ["450", "450"])


def test_no_fix(fixbug: Fixbug) -> None:
    """No fix that is reported as an error, or as success; anything but one object with --json."""
    player = p.Player([p.act(p.WRONG), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    with serve(player) as server:
        done = fixbug(*ASKED, "--base-url", server.base_url, "--max-rounds", "1", "--json")
    assert done.status == 1, done.err
    outcome = done.object()
    assert (outcome["status"], outcome["exit_status"]) == ("not_fixed", 1)
    assert outcome["verdict"] == "the model's idea is wrong"


@pytest.mark.parametrize(
    ("arguments", "exit_status"),
    [(["--nonsense"], 2), (["--issue", "nowhere.md"], 2), ([*ASKED, "--run-dir", "issue.md"], 3)],
    ids=["option", "input", "environment"],
)
def test_an_error_is_one_object_too(fixbug: Fixbug, arguments: list[str], exit_status: int) -> None:
    """A script that reads nothing, or two things, where the command failed."""
    done = fixbug(*arguments, "--json")
    assert done.status == exit_status
    failure = done.object()
    assert (failure["status"], failure["exit_status"]) == ("error", exit_status)
    assert failure["error"]["problem"] in done.err
    assert failure["error"]["cure"] in done.err


def test_doctor_with_an_endpoint(fixbug: Fixbug) -> None:
    """An endpoint that works and is not found to; a key that is sent where it need not go, or printed."""
    with serve(lambda request: text("ready")) as server:
        env = {"OPENAI_API_KEY": "sk-planted-1234567890"}
        asked = ("doctor", "--model", "some", "--base-url", server.base_url)
        done = fixbug(*asked, env=env)
        listed = fixbug(*asked, "--json", env=env)
    assert "planted" not in done.out + done.err + listed.out + listed.err
    checks = {check["name"]: check for check in listed.object()["checks"]}
    for name in ("git", "key", "endpoint", "model"):
        assert checks[name]["state"] == "ok"
    assert {"disk", "docker"} <= checks.keys()
    missing = any(check["state"] == "missing" for check in checks.values())
    assert done.status == listed.status == listed.object()["exit_status"] == (3 if missing else 0)
    for check in checks.values():
        assert check["state"] == "ok" or check["cure"]
        assert f" {check['name']} " in done.out


def test_doctor_without(fixbug: Fixbug) -> None:
    """An engine, an endpoint or a model that is not there and ends the examination, or has no cure."""
    gone = {"DOCKER_HOST": "tcp://127.0.0.1:9", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = fixbug("doctor", "--json", env=gone)
    assert done.status == 3
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert checks["docker"]["state"] == checks["endpoint"]["state"] == "missing"
    assert "--sandbox local" in checks["docker"]["cure"]
    with serve(lambda request: status(404, "no such model")) as server:
        done = fixbug("doctor", "--model", "none", env={**gone, "OPENAI_BASE_URL": server.base_url})
    assert done.status == 3
    assert "✗ model" in done.out
    assert "no such model" in done.out
    keyless = fixbug("doctor", env={"DOCKER_HOST": "tcp://127.0.0.1:9"})
    assert "✗ key" in keyless.out
