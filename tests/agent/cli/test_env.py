"""``fixbug env``: what is refused, and with which words. Builds themselves are in tests/sandbox."""

from __future__ import annotations

import json

import pytest

from tests.agent.cli.conftest import Fixbug

ROW = {
    "instance_id": "shop__shop-7",
    "repo": "shop/shop",
    "base_commit": "0" * 40,
    "problem_statement": "wrong",
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build"], ["REPO|DATASET#INSTANCE", "fixbug --help"]),
        (["build", "shpo"], ["shpo does not exist"]),
        (["build", "shop", "--ref", "v9"], ["v9"]),
        (["build", "shop", "--python", "3"], ["--python", "3.10"]),
        (["build", "shop", "--as-of", "yesterday"], ["--as-of", "2021-03-01"]),
        (["build", "shop", "--dockerfile", "A", "--devcontainer"], ["give one alone"]),
        (["build", "rows.jsonl#shop__shop-8"], ["did you mean shop__shop-7?"]),
        (["build", "rows.jsonl#shop__shop-7", "--ref", "v1"], ["--ref goes with a repository"]),
        (["build", "settings"], [".fixbug.toml", "no key 'pyton'", "did you mean python"]),
        (["prune", "--older-than", "30"], ["30d"]),
    ],
)
def test_what_cannot_be_asked_is_refused(fixbug: Fixbug, arguments: list[str], words: list[str]) -> None:
    """Catches a traceback, a build that starts all the same, and a message that does not say what to give."""
    (fixbug.folder / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    (fixbug.folder / "settings").mkdir(exist_ok=True)
    (fixbug.folder / "settings/.fixbug.toml").write_text('pyton = "3.9"\n')
    done = fixbug("env", *arguments, "--json")
    assert done.status == 2, done.err
    assert done.object()["exit_status"] == 2
    for word in words:
        assert word in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [["list"], ["prune", "--all", "--yes"], ["build", "shop"]])
def test_without_an_engine_it_is_said(fixbug: Fixbug, arguments: list[str]) -> None:
    """Catches a traceback where no engine runs, and an empty list that looks like an answer."""
    done = fixbug("env", *arguments, "--json", env={"DOCKER_HOST": "tcp://127.0.0.1:9"})
    assert done.status == 3
    assert done.object()["error"]["type"] == "EngineError"
    assert "no Docker engine answers" in done.err
