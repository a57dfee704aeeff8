"""Paired comparison of runs, arms that are run, and folders of plain tasks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import IntakeError, UsageError
from agent.request import Request
from agent.scale.ablate import Arm, _asked, ablate, read_arm
from agent.scale.arms import like_the_first, parse_arm, run_arms
from agent.scale.batch import work
from agent.scale.batch.asked import BenchRequest
from agent.scale.batch.bench import record_beside
from agent.scale.batch.tasks import read_tasks, write_task
from agent.scale.candidates import read_candidates
from agent.scale.generate import generate, variations
from prompts import variant
from tests.agent.scale.batch.batches import Quiet
from tests.openai_server import Reply, call, serve, status, tools

BUGGY = "def double(x):\n    return x * 3\n"
VISIBLE = "from solution import double\n\n\ndef test_double():\n    assert double(4) == 8\n"
HIDDEN = "from solution import double\n\n\ndef test_more():\n    assert double(5) == 10\n"


def arm(name: str, resolved: list[float], **asked: Any) -> Arm:
    ids = [f"i{n}" for n in range(len(resolved))]
    nothing: dict[str, dict[str, float | None]] = {
        amount: {} for amount in ("tokens", "seconds", "container_seconds")
    }
    usd: dict[str, float | None] = {i: 0.5 + value for i, value in zip(ids, resolved, strict=True)}
    return Arm(name, dict(zip(ids, resolved, strict=True)), {"usd": usd, **nothing}, asked)


def test_a_difference_with_names_cost_and_size() -> None:
    """Wins and losses by name, what it cost, what was asked differently."""
    found = ablate(
        [
            arm("without", [0.0] * 20, world_model="none", seed=1),
            arm("with", [1.0] * 12 + [0.0] * 8, world_model="oracle", seed=1),
        ]
    )
    (comparison,) = found.comparisons
    assert comparison.differs_in == {"world_model": ("none", "oracle")}
    assert comparison.resolved.told == "gain"
    assert comparison.resolved.difference.point == 0.6
    assert comparison.resolved.p == pytest.approx(2 / 2**12)
    assert comparison.won == tuple(f"i{n}" for n in range(12))
    assert comparison.lost == ()
    assert comparison.costs["usd"].point == pytest.approx(0.6)
    assert "tokens" not in comparison.costs
    assert found.to_json()["comparisons"][0]["told"] == "gain"


def test_who_simulates_is_one_thing() -> None:
    """A world model of its own called two differences beside nobody; two models side by side called one."""
    nobody, cwm = (
        {"world_model": "none"},
        {"world_model": "cwm", "sim_model": "facebook/cwm", "tokenizer": "t"},
    )
    chat = {"world_model": "chat", "sim_model": "some"}
    arms = [arm("a", [0.0], **nobody), arm("b", [0.0], **cwm)]
    assert ablate(arms).comparisons[0].differs_in == {"world_model": ("none", "cwm")}
    arms = [arm("a", [0.0], **chat), arm("b", [0.0], **cwm)]
    assert set(ablate(arms).comparisons[0].differs_in) == {"world_model", "sim_model", "tokenizer"}


def test_what_the_interval_does_not_show_is_no_gain() -> None:
    """Two more of twenty: the words say so, and how many instances it would take."""
    found = ablate([arm("a", [0.0] * 20), arm("b", [1.0] * 2 + [0.0] * 18)])
    result = found.comparisons[0].resolved
    assert result.told == "no difference shown"
    assert result.needed is not None
    assert result.needed > 20


def test_several_arms_are_corrected_for_their_number() -> None:
    """The third arm's p may not be read as if it were the only one."""
    found = ablate([arm("a", [0.0] * 20), arm("b", [1.0] * 6 + [0.0] * 14), arm("c", [1.0] * 7 + [0.0] * 13)])
    assert [comparison.resolved.p for comparison in found.comparisons] == [2 / 2**6, 2 / 2**7]
    assert [comparison.p_holm for comparison in found.comparisons] == [2 / 2**6, 2 * 2 / 2**7]


def test_only_instances_that_every_arm_has_count() -> None:
    """Else an arm that failed on the hard ones would look better."""
    found = ablate([arm("a", [0.0] * 3), arm("b", [1.0] * 2)])
    assert found.instances == ("i0", "i1")
    assert found.left_out == {"a": ("i2",)}


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([arm("a", [1.0])], "two arms or more"),
        ([arm("a", [1.0]), arm("a", [0.0])], "two arms are called a"),
        ([arm("a", [1.0]), arm("b", [])], "no instance in common"),
    ],
)
def test_arms_that_cannot_be_compared(arms: list[Arm], said: str) -> None:
    """Each is refused in words."""
    with pytest.raises(UsageError, match=said):
        ablate(arms)


def test_arms_from_files(tmp_path: Path) -> None:
    """Candidates with labels, averaged over attempts, or SWE-bench's report; a name before the path."""
    rows = [
        {"instance_id": "a", "model_patch": "", "resolved": True},
        {"instance_id": "a", "model_patch": "", "resolved": False},
        {"instance_id": "b", "model_patch": "", "resolved": False},
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.json").write_text(json.dumps({"submitted_ids": ["a", "b"], "resolved_ids": ["a"]}))
    mine, theirs = read_arm(f"mine={tmp_path / 'c.jsonl'}"), read_arm(str(tmp_path / "r.json"))
    assert (mine.name, dict(mine.resolved)) == ("mine", {"a": 0.5, "b": 0.0})
    assert (theirs.name, dict(theirs.resolved)) == ("r.json", {"a": 1.0, "b": 0.0})


def test_an_attempt_without_a_label_is_no_failure(tmp_path: Path) -> None:
    """Counting it as unresolved would be an answer that nobody gave."""
    (tmp_path / "c.jsonl").write_text(json.dumps({"instance_id": "a", "model_patch": "x"}) + "\n")
    with pytest.raises(IntakeError, match="nobody scored"):
        read_arm(str(tmp_path / "c.jsonl"))
    (tmp_path / "r.json").write_text(json.dumps({"resolved_ids": ["a"]}))
    with pytest.raises(IntakeError, match="not which were tried"):
        read_arm(str(tmp_path / "r.json"))


def test_arms_are_requests_with_fields_changed() -> None:
    """Values keep their types; a field that there is not is refused with those that there are."""
    found = parse_arm("blind:world-model=oracle,samples=1,network=false")
    assert (found.name, found.changes) == ("blind", {"world_model": "oracle", "samples": 1, "network": False})
    assert parse_arm("plain").changes == {}
    for text, said in {
        "x:wrold_model=oracle": "FIELD=VALUE",
        "x:samples": "FIELD=VALUE",
        "x:issue=other": "FIELD=VALUE",
        ":samples=1": "no name",
        "a/b:samples=1": "no name",
        "x:world_model=orakel": "world_model is 'orakel'",
        "x:feedback=off": "feedback is 'off'",
        "x:samples=two": "samples is 'two'",
        "x:runs=0": "runs is 0",
        "x:blind=no": "blind is 'no'",
    }.items():
        with pytest.raises(UsageError, match=said):
            parse_arm(text)


@pytest.fixture
def bugs(tmp_path: Path) -> Path:
    """Two plain tasks; on the second the visible test shows no bug."""
    for name, code in (("double", BUGGY), ("fine", BUGGY.replace("3", "2"))):
        write_task(
            tmp_path / "bugs" / name,
            issue="# `double` gives three times the value\n",
            files={"solution.py": code, "test_visible.py": VISIBLE},
            tests=["test_visible.py"],
            hidden=HIDDEN,
        )
    return tmp_path / "bugs"


def test_reading_plain_tasks(bugs: Path) -> None:
    """Defaults and task.json; a fault names the task."""
    double, _ = read_tasks(bugs)
    assert (double.instance_id, double.tests) == ("double", ("test_visible.py",))
    assert double.hidden == bugs / "double" / "hidden.py"
    (bugs / "double" / "task.json").unlink()
    assert read_tasks(bugs)[0].tests == ("test_visible.py",)
    (bugs / "double" / "task.json").write_text('{"hidden_tests": "absent.py"}')
    with pytest.raises(IntakeError, match=r"no hidden tests 'absent\.py'"):
        read_tasks(bugs)
    for seen in ("repository/test_visible.py", "repository", "."):
        (bugs / "double" / "task.json").write_text(json.dumps({"hidden_tests": seen}))
        with pytest.raises(IntakeError, match="are in the repository"):
            read_tasks(bugs)
    with pytest.raises(IntakeError, match="holds no tasks"):
        read_tasks(bugs / "double")


def test_arms_run_on_plain_tasks_and_are_not_run_twice(bugs: Path, tmp_path: Path) -> None:
    """The whole way: two arms, an instance that cannot be tried, the same command again, and another arm
    under a name that is taken."""
    base = Request(
        issue="", model="offline", sandbox="local", budget_seconds=60, run_dir=str(tmp_path / "abl")
    )
    request = BenchRequest(str(bugs), base)
    arms = [parse_arm("none:world_model=none"), parse_arm("oracle:world_model=oracle")]
    watchers: list[Quiet] = []

    def watching() -> Quiet:
        watchers.append(Quiet())
        return watchers[-1]

    done = run_arms(arms, request, watching)
    found = ablate([read_arm(str(one.folder)) for one in done])
    assert found.instances == ("double",)
    assert found.rates["none"].point == found.rates["oracle"].point == 1.0
    assert found.comparisons[0].differs_in == {"world_model": ("none", "oracle")}
    assert [list(one.failures) for one in done] == [["fine/1"], ["fine/1"]]
    assert record_beside(tmp_path / "abl", {"none"}).simulators
    assert not record_beside(tmp_path / "abl", {"none", "oracle"}).simulators, (
        "no arm learns from another one"
    )
    runs = {path: path.read_bytes() for path in sorted((tmp_path / "abl").glob("*/*/*/attempt.json"))}
    assert len(runs) == 2
    run_arms(arms[:1], request, watching)
    assert watchers[-1].ended == ["fine/1"]
    assert {path: path.read_bytes() for path in sorted((tmp_path / "abl").glob("*/*/*/attempt.json"))} == runs
    with pytest.raises(UsageError, match=r"request.world_model: was \"none\", is \"oracle\""):
        run_arms([parse_arm("none:world_model=oracle")], request, watching)


def settle(request: dict[str, Any]) -> Reply:
    """The right fix in two turns."""
    said = [message for message in request["messages"] if message["role"] == "assistant"]
    if said:
        return tools(call("propose", {"note": "done"}, id="call_p"))
    return tools(call("edit", {"path": "solution.py", "old": "x * 3", "new": "x * 2"}, id="call_e"))


def scripted(base_url: str, run_dir: Path, **changes: Any) -> Request:
    return Request(
        issue="", model="scripted", base_url=base_url, sandbox="local", run_dir=str(run_dir),
        **{"world_model": "none", **changes},
    )  # fmt: skip


def test_further_arms_beside_a_finished_batch(bugs: Path, tmp_path: Path) -> None:
    """An arm that differs from the run that it is laid beside in more than it was told to; a difference that
    is not said: two batches that differ in who simulates, where neither said so."""
    with serve(settle) as server:
        given = BenchRequest(
            str(bugs), scripted(server.base_url, tmp_path / "runs", seed=5), instances=("double",)
        )
        (first,) = run_arms([parse_arm("first")], given, Quiet)
        elsewhere = BenchRequest("", scripted(server.base_url, tmp_path / "abl", world_model=None, seed=0))
        more = like_the_first(first.folder, replace(elsewhere, base=replace(elsewhere.base, model=None)))
        other, small = run_arms(
            [parse_arm("quiet:feedback=none"), parse_arm("small:prompt=small")], more, Quiet
        )
    assert other.folder == tmp_path / "abl" / "quiet"
    found = ablate([read_arm(str(one.folder)) for one in (first, other, small)])
    assert [one.differs_in for one in found.comparisons] == [
        {"feedback": ("full", "none")}, {"prompt": ("plain", "small")},
    ]  # fmt: skip
    (attempt,) = other.folder.glob("*/1/attempt.json")
    assert json.loads(attempt.read_text())["feedback"] == "none"
    for name, model in (("live", "some"), ("search", "offline")):
        place = tmp_path / "old" / name
        place.mkdir(parents=True)
        (place / "run.json").write_text(json.dumps({"request": {"model": model, "world_model": None}}))
        (tmp_path / "c.jsonl").write_text('{"instance_id": "a", "model_patch": "", "resolved": true}\n')
    assert _asked(tmp_path / "old" / "live")["world_model"] == "chat"
    assert _asked(tmp_path / "old" / "search")["world_model"] == "oracle"


def test_an_arm_in_which_nothing_can_be_tried_says_why(bugs: Path, tmp_path: Path) -> None:
    """A comparison with an arm that has no attempt, which fails for reasons of its own."""
    base = Request(issue="", model="offline", sandbox="local", run_dir=str(tmp_path / "abl"))
    request = BenchRequest(str(bugs), base, instances=("fine",))
    with pytest.raises(UsageError, match=r"no attempt of the arm a has ended.*passes on the base commit"):
        run_arms([parse_arm("a"), parse_arm("b:world_model=none")], request, Quiet)


def test_an_arm_that_is_stopped_ends_the_ablation(
    bugs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second arm that is begun while the endpoint is down; arms compared that are not done."""
    monkeypatch.setattr(work, "PAUSES", ())
    monkeypatch.setenv("FIXBUG_MAX_RETRIES", "0")
    with serve(lambda request: status(401, "no such key")) as server:
        request = BenchRequest(
            str(bugs), scripted(server.base_url, tmp_path / "abl"), instances=("double",), fail_fast=True
        )
        done = run_arms([parse_arm("a"), parse_arm("b:runs=1")], request, Quiet)
    assert len(done) == 1
    assert done[0].stopped
    assert not (tmp_path / "abl" / "b").exists()


def test_the_offline_search_makes_candidates(bugs: Path, tmp_path: Path) -> None:
    """Different patches, each passes the visible test; labels come from the hidden one."""
    base = Request(
        issue="", model="offline", sandbox="local", budget_seconds=20, run_dir=str(tmp_path / "made")
    )
    paths = generate(str(bugs), base, 3, instances=["double"])
    (group,) = read_candidates(paths).by_instance.values()
    assert 1 <= len(group) <= 3
    assert len({candidate.key for candidate in group}) == len(group)
    assert any(candidate.resolved for candidate in group)
    assert all(candidate.resolved is not None and candidate.tokens == 0 for candidate in group)


def test_a_model_makes_candidates_in_attempts_of_their_own(bugs: Path, tmp_path: Path) -> None:
    """Each on the main path, with its own seed, and with temperatures and prompts in turn; labelled by hidden
    tests; the same call again asks the model nothing, and a larger k only for what is not there."""
    with serve(settle) as server:
        base = scripted(server.base_url, tmp_path / "made")
        varied = variations([0.2, 0.9], ["plain", "cause"])
        paths = generate(str(bugs), base, 2, instances=["double"], varied=varied)
        asked = len(server.requests)
        assert generate(str(bugs), base, 2, instances=["double"], varied=varied) == paths
        assert len(server.requests) == asked
        assert generate(str(bugs), base, 5, instances=["double"], varied=varied) == paths
        sent = server.requests
    firsts = [request for request in sent if len(request["messages"]) == 2]
    made = [
        (request["seed"], request["temperature"], variant("cause") in request["messages"][1]["content"])
        for request in firsts
    ]
    assert sorted(made) == [(0, 0.2, False), (1, 0.9, False), (2, 0.2, True), (3, 0.9, True), (4, 0.2, False)]
    (group,) = read_candidates(paths).by_instance.values()
    assert [candidate.resolved for candidate in group] == [True] * 5
    assert len({candidate.key for candidate in group}) == 1
    assert all(candidate.tokens for candidate in group)
    outcomes = [json.loads(path.read_text()) for path in sorted(paths[0].glob("double/*/attempt.json"))]
    assert [(one["proposer"]["seed"], one["proposer"]["prompt"]) for one in outcomes] == [
        (0, "plain"), (1, "plain"), (2, "cause"), (3, "cause"), (4, "plain"),
    ]  # fmt: skip


def test_what_candidates_are_made_with() -> None:
    """Every temperature with every prompt, and nothing where neither is named."""
    assert variations([], []) == ()
    assert variations([0.5], []) == ({"temperature": 0.5},)
    assert variations([0.1, 0.2], ["a", "b"])[2] == {"prompt": "b", "temperature": 0.1}
