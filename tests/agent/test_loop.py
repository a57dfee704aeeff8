"""Whole attempts in the local sandbox, with a scripted model behind a real endpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.errors import ModelError, NotReproduced, UsageError
from agent.fix import fix, resume_request
from agent.llm.settings import load_settings
from agent.outcome import Outcome
from agent.simulators import simulating_settings
from tests.agent import player as p
from tests.agent.world.simulators.cwm_server import CodeWorldModel
from tests.openai_server import call, serve, status, text, tools


def attempt(folder: Path, player: p.Player, **changes: object) -> Outcome:
    with serve(player) as server:
        return fix(p.request(folder, server.base_url, **changes))


def records(folder: Path, name: str) -> list[dict[str, object]]:
    (path,) = folder.glob(f"runs/*/*/1/{name}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_fix_that_is_understood(tmp_path: Path) -> None:
    """Any stage of the main path that does not do its part: this is the whole of it, as it should go."""
    player = p.Player(
        [p.act(call("bash", {"command": "cat shop/catalogue.py"})), p.act(p.FIX), p.act(p.PROPOSE)],
        [p.simulation("300", "450"), p.simulation("300", "450")],
    )
    outcome = attempt(tmp_path, player)
    assert (outcome.status, outcome.ended, outcome.exit_status) == ("verified", "done", 0)
    (round_,) = outcome.rounds
    assert (round_.predicted, round_.observed, round_.row) == ("holds", "holds", "understood fix")
    assert round_.divergence is None
    assert round_.outcomes == ("passed", "passed")
    assert outcome.score is not None
    assert outcome.score["resolved"]
    assert outcome.reproduction is not None
    assert outcome.reproduction.outcomes == ("failed", "failed")
    first, second = outcome.table
    assert (first.before, first.after) == (("300", "300"), ("300", "300"))
    assert (second.before, second.predicted, second.after) == (
        ("300", "300"),
        (("450", "450"), ("450", "450")),
        ("450", "450"),
    )
    assert outcome.cost["tokens"] == 6 * 110
    assert outcome.cost["usd"] == "unknown"
    closed = json.loads(Path(outcome.paths["attempt"], "attempt.json").read_text())
    assert closed == json.loads(json.dumps(outcome.to_json()))
    assert Path(outcome.paths["attempt"], "patch.diff").read_text() == outcome.patch


def test_what_was_expected_is_never_in_a_simulation(tmp_path: Path) -> None:
    """An expected value, an assertion, the report or a hidden test that reaches the simulating prompt."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    attempt(tmp_path, player)
    assert len(player.prompts["simulate"]) == 2
    for prompt in player.prompts["simulate"]:
        assert "assert" not in prompt
        assert "Customers keep paying" not in prompt
        assert "harbour" not in prompt
    for prompt in player.prompts["agent"] + player.prompts["intend"]:
        assert "harbour" not in prompt
        assert "test_every_change_is_seen" not in prompt


def test_the_model_is_told_how_the_project_runs_its_tests(tmp_path: Path) -> None:
    """A repository's own test command that is read and then used by nobody."""
    repository = tmp_path / "repository"
    shutil.copytree(p.EXAMPLE / "repository", repository)
    (repository / ".fixbug.toml").write_text('test = "make check"\n')
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    attempt(tmp_path, player, repo=str(repository))
    assert "its tests are run with `make check`" in player.prompts["agent"][0]


def test_a_prediction_is_on_disk_before_anything_runs(tmp_path: Path) -> None:
    """A prediction that is written when its outcome is known already: no honest record of trust."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    attempt(tmp_path, player)
    predicted, observed = records(tmp_path, "predicted.jsonl"), records(tmp_path, "observed.jsonl")
    assert predicted[-1]["verdict"]["value"] == "holds"
    assert predicted[-1]["trust"]["rests_on"] == "prior"
    assert 0 < predicted[-1]["trust"]["probability"] < 1
    assert [row["sample"] for row in predicted[:-1]] == [1, 2]
    (path,) = tmp_path.glob("runs/*/*/1/predicted.jsonl")
    assert path.stat().st_mtime_ns < (path.parent / "observed.jsonl").stat().st_mtime_ns
    assert observed[0]["outcomes"] == ["passed", "passed"]


def test_a_lie_that_the_patch_works(tmp_path: Path) -> None:
    """A prediction of success that is believed: the patch must be run, and the first wrong line named."""
    frame = {"event": "return", "function": "Catalogue.price", "file": "shop/catalogue.py", "run": 1}
    line = (p.EXAMPLE / "repository/shop/catalogue.py").read_text().split("return self._cache[name]")[0]
    frames = [{**frame, "line": line.count("\n") + 1, "call": 3, "value": "450"}]
    player = p.Player(
        [p.act(p.WRONG), p.act(p.PROPOSE), p.act(p.UNDO_WRONG), p.act(p.PROPOSE)],
        [p.simulation("300", "450", frames)] * 2 + [p.simulation("300", "450")] * 2,
    )
    outcome = attempt(tmp_path, player)
    first, second = outcome.rounds
    assert (first.predicted, first.observed, first.row) == ("holds", "broken", "the model's idea is wrong")
    assert first.divergence is not None
    assert f"shop/catalogue.py:{frames[0]['line']}" in first.divergence
    assert "450" in first.divergence
    assert "300" in first.divergence
    assert second.row == "understood fix"
    assert outcome.status == "verified"
    told = player.prompts["agent"][-2]
    assert "The first place where simulation and reality part" in told


def test_a_false_alarm_costs_a_second_look_and_no_more(tmp_path: Path) -> None:
    """A predicted failure that keeps a good patch from being run, or that is not counted as a false alarm."""
    player = p.Player(
        [p.act(p.FIX), p.act(p.PROPOSE), p.act(p.PROPOSE)],
        [p.simulation("300", "300"), p.simulation("300", "300")],
    )
    outcome = attempt(tmp_path, player)
    (round_,) = outcome.rounds
    assert (round_.predicted, round_.observed, round_.row) == ("broken", "holds", "false alarm")
    assert round_.second_look
    assert outcome.status == "verified"
    assert len(player.prompts["simulate"]) == 2


def test_a_second_look_that_is_never_answered(tmp_path: Path) -> None:
    """A patch that is lost because the model had nothing to say to a predicted failure."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "300")] * 2)
    outcome = attempt(tmp_path, player, budget_steps=8)
    assert outcome.status == "verified"
    assert outcome.rounds[0].row == "false alarm"


@pytest.mark.parametrize("answer", ["I cannot tell.", '{"probes": [{"run": 1, "probe": "p1", "val'])
def test_no_simulation_is_no_pass(tmp_path: Path, answer: str) -> None:
    """Prose or half an answer that is taken for a prediction."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [text(answer)] * 2)
    outcome = attempt(tmp_path, player)
    assert outcome.rounds[0].predicted == "unknown"
    assert outcome.status == "verified"


def test_samples_that_disagree_are_unknown(tmp_path: Path) -> None:
    """One lucky sample that is believed against another."""
    player = p.Player(
        [p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450"), p.simulation("300", "300")]
    )
    assert attempt(tmp_path, player).rounds[0].predicted == "unknown"


def test_the_text_protocol(tmp_path: Path) -> None:
    """A model without tool calls that cannot edit, or whose sentinel is not seen."""
    edit = f"sed -i '/_changes.append/i \\{p.FORGOTTEN.rstrip()}' shop/catalogue.py"
    player = p.Player(
        [p.bash("ls"), p.bash(edit), p.bash("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")],
        [p.simulation("300", "450")] * 2,
    )
    outcome = attempt(tmp_path, player, protocol="text")
    assert outcome.status == "verified"
    assert all("tools" not in prompt for prompt in player.prompts["agent"][:1])


def test_trouble_on_the_way(tmp_path: Path) -> None:
    """A malformed call, a rate limit or a server error that ends an attempt which could have gone on."""
    player = p.Player(
        [
            tools(call("edit", '{"path": "shop/cat'), content="oops"),
            status(429, headers={"Retry-After": "0"}),
            p.act(call("edit", {"path": "nowhere.py", "old": "x", "new": "y"})),
            status(500),
            p.act(p.FIX),
            p.act(p.PROPOSE),
        ],
        [p.simulation("300", "450")] * 2,
    )
    outcome = attempt(tmp_path, player)
    assert outcome.status == "verified"
    kinds = [row["type"] for row in records(tmp_path, "trajectory.jsonl")]
    assert kinds.count("malformed") == 1
    assert kinds.count("turn") == 4


def test_an_answer_that_never_proposes(tmp_path: Path) -> None:
    """An attempt without an end, or work in the tree that is thrown away because nobody proposed it."""
    player = p.Player([p.act(p.FIX)] + [p.act(call("bash", {"command": "true"}))] * 50)
    outcome = attempt(tmp_path, player, budget_steps=5)
    assert outcome.ended == "budget: steps"
    assert outcome.status == "verified"
    assert outcome.cost["steps"] == 5


def test_a_model_that_only_talks(tmp_path: Path) -> None:
    """Prose for ever: it must end, and end without a patch."""
    outcome = attempt(tmp_path, p.Player([]))
    assert (outcome.status, outcome.exit_status, outcome.patch) == ("no_patch", 1, "")


def test_tokens_are_bounded(tmp_path: Path) -> None:
    """A budget of tokens that is not kept."""
    player = p.Player([p.act(call("bash", {"command": "true"}))] * 50)
    outcome = attempt(tmp_path, player, budget_tokens=500)
    assert outcome.ended == "budget: tokens"
    assert outcome.cost["tokens"] < 700


def test_a_test_that_passes_shows_no_bug(tmp_path: Path) -> None:
    """A passing test that is taken for a reproduction; a run folder left by bad input."""
    with pytest.raises(NotReproduced, match="passes on the base commit"):
        attempt(tmp_path, p.Player([]), tests=("tests/test_catalogue.py::test_discount",))
    assert not (tmp_path / "runs").exists()


def test_a_test_that_is_not_there(tmp_path: Path) -> None:
    """A misspelt test id that is taken for a failing test."""
    with pytest.raises(UsageError, match="test_new_price"):
        attempt(tmp_path, p.Player([]), tests=("tests/test_catalogue.py::test_new_prise",))
    assert not (tmp_path / "runs").exists()


def test_an_endpoint_that_refuses(tmp_path: Path) -> None:
    """An endpoint's refusal that is recorded as an answer, or leaves a half-written run."""
    with pytest.raises(ModelError):
        attempt(tmp_path, p.Player([status(401, "bad key")]), world_model="none")
    assert not (tmp_path / "runs").exists()


def test_the_proposers_own_test(tmp_path: Path) -> None:
    """Without a given test, one that the model wrote must fail on the base commit to count."""
    test = (
        "from shop import Catalogue, Store\n\n\ndef test_change():\n    c = Catalogue(Store('x'))\n"
        "    c.add('tea', 1)\n    c.price('tea')\n    c.set_price('tea', 2)\n    assert c.price('tea') == 2\n"
    )
    write = call("edit", {"path": "tests/test_change.py", "old": "", "new": test}, id="call_t")
    propose = call("propose", {"test": "tests/test_change.py::test_change"}, id="call_p")
    repository = tmp_path / "shop" / "tests" / "test_catalogue.py"
    asked = p.request(tmp_path)
    repository.unlink()
    with serve(p.Player([p.act(write), p.act(p.FIX), p.act(propose)])) as server:
        outcome = fix(p.request(tmp_path, server.base_url, tests=()))
    assert asked.repo is not None
    assert outcome.status == "verified"
    assert outcome.reproduction is not None
    assert outcome.reproduction.tests == ("tests/test_change.py::test_change",)


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """Turns that are paid for twice, or a run that cannot be resumed after the endpoint went away."""
    player = p.Player([p.act(p.FIX), status(400, "the server is being moved")])
    with pytest.raises(ModelError):
        attempt(tmp_path, player, world_model="none")
    (run,) = (tmp_path / "runs").iterdir()
    assert not list(run.glob("*/1/attempt.json"))
    (unfinished,) = run.glob("*/1/unfinished.diff")
    assert p.FORGOTTEN.strip() in unfinished.read_text()
    again = p.Player([p.act(p.PROPOSE)])
    with serve(again) as server:
        from dataclasses import replace

        outcome = fix(replace(resume_request(run), base_url=server.base_url), resume=run)
    assert outcome.status == "verified"
    assert len(again.prompts["agent"]) == 1
    with pytest.raises(UsageError, match="nothing to resume"):
        resume_request(run)


def test_secrets_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key or token of the host in the sandbox, in a prompt or in the run folder."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1234567890")
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_planted_1234567890")
    player = p.Player(
        [p.act(call("bash", {"command": "env; cat /proc/self/environ"})), p.act(p.FIX), p.act(p.PROPOSE)],
        [p.simulation("300", "450")] * 2,
    )
    attempt(tmp_path, player)
    seen = "".join(prompt for prompts in player.prompts.values() for prompt in prompts)
    written = "".join(f.read_text() for f in (tmp_path / "runs").rglob("*") if f.is_file())
    assert "planted" not in seen + written


@pytest.mark.docker
def test_the_whole_path_in_docker(tmp_path: Path, docker_image: str) -> None:
    """A stage that works on the host's files only."""
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)], [p.simulation("300", "450")] * 2)
    outcome = attempt(tmp_path, player, sandbox="docker", image=docker_image)
    assert outcome.status == "verified"
    assert outcome.sandbox["kind"] == "docker"
    assert outcome.table[1].after == ("450", "450")


def test_proposing_nothing_is_no_proposal(tmp_path: Path) -> None:
    """An empty patch that ends the attempt, when the model could still be told to change something."""
    player = p.Player(
        [p.act(p.PROPOSE), p.act(p.FIX), p.act(p.PROPOSE)],
        [p.simulation("300", "450")] * 2,
    )
    assert attempt(tmp_path, player).status == "verified"
    assert "There is nothing to propose" in player.prompts["agent"][1]


def test_the_same_patch_again_is_not_run_again(tmp_path: Path) -> None:
    """Rounds that are spent on one and the same patch."""
    player = p.Player([p.act(p.WRONG), p.act(p.PROPOSE), p.act(p.PROPOSE)])
    outcome = attempt(tmp_path, player, world_model="none")
    assert len(outcome.rounds) == 1
    assert (outcome.status, outcome.ended) == ("not_fixed", "the proposer proposed the same patch again")


def test_another_model_simulates_in_cwms_own_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A world model of its own that is not asked, is asked the proposer's way, is not charged, or sees what
    is expected; and a simulation that is not in the record as what it is."""
    monkeypatch.syspath_prepend(str(p.EXAMPLE / "repository"))  # the scripted model runs what it traces
    player = p.Player([p.act(p.FIX), p.act(p.PROPOSE)])
    world = CodeWorldModel()
    with serve(world) as server:
        outcome = attempt(
            tmp_path, player, world_model="cwm", sim_model="facebook/cwm", sim_base_url=server.base_url
        )
        asked = list(server.requests)
    assert outcome.status == "verified"
    assert outcome.simulator == "cwm:facebook/cwm"
    assert len(asked) == 2
    assert player.prompts["simulate"] == []
    assert outcome.cost["requests"] == 5
    assert not any("== 450" in prompt or "assert" in prompt for prompt in world.prompts)
    rows = records(tmp_path, "predicted.jsonl")
    assert {row["simulator"] for row in rows if "sample" in row} == {"cwm:facebook/cwm"}
    assert {(row["dense"], row["resampled"], row["repaired"]) for row in rows if "sample" in row} == {
        (True, 0, 0)
    }


def test_a_key_goes_to_its_own_endpoint_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proposer's key being sent to whoever serves the model that only simulates."""
    monkeypatch.setenv("FIXBUG_API_KEY", "sk-proposer")
    monkeypatch.delenv("FIXBUG_SIM_API_KEY", raising=False)
    settings = load_settings(model="m", base_url="http://127.0.0.1:1/v1")
    other = simulating_settings("cwm", "http://127.0.0.1:2/v1", settings)
    assert (other.model, other.key()) == ("cwm", "none")
    same = simulating_settings("cwm", None, settings)
    assert (same.model, same.base_url, same.key()) == ("cwm", "http://127.0.0.1:1/v1", "sk-proposer")
    monkeypatch.setenv("FIXBUG_SIM_API_KEY", "sk-simulator")
    assert simulating_settings("cwm", "http://127.0.0.1:2/v1", settings).key() == "sk-simulator"
