"""The table: values by enumeration, cost by distinct patches, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from agent.errors import IntakeError, UsageError
from agent.scale.batch.selection import select
from agent.scale.candidates import Candidate, CandidateSet
from agent.scale.plan import parse_spending, plan
from agent.scale.pool import Executed, Pool
from agent.scale.selectors import expected, selector
from agent.scale.study import SweepRequest, run_sweep, write_choices
from agent.scale.sweep import sweep
from tests.agent.scale.test_selectors import patch


def candidates(*instances: list[tuple[str, bool | None]], **fields: Any) -> CandidateSet:
    """One list of (text of the patch, label) an instance."""
    return CandidateSet(
        {
            f"i{i}": tuple(
                Candidate(f"i{i}", patch(text), f"s{n}", n, label, **fields)
                for n, (text, label) in enumerate(instance)
            )
            for i, instance in enumerate(instances)
        }
    )


def swept(found: CandidateSet, ks: list[int], executed: dict[str, Pool] | None = None, **more: Any) -> Any:
    pools = {name: (executed or {}).get(name) or Pool(c) for name, c in found.by_instance.items()}
    return sweep(found, pools, ks=ks, resamples=200, **more)


MIXED = [("x = 2", True), ("x = 2", True), ("x = 3", False), ("x = 4", False), ("x = 5", True)]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_values_are_the_mean_over_all_subsets(k: int) -> None:
    """The short cuts for random, oracle and instances without contrast give what enumeration gives."""
    found = candidates(MIXED, [("x = 2", True)] * 5, [("x = 9", False)] * 5)
    result = swept(found, [k])
    for name in ("first", "random", "majority", "consensus", "oracle"):
        each = [
            fmean(expected(selector(name), Pool(c), among) for among in itertools.combinations(range(5), k))
            for c in found.by_instance.values()
        ]
        assert result.at(name, k).value.point == pytest.approx(fmean(each)), name
    assert result.at("pass@k", k).value.point == pytest.approx(result.at("oracle", k).value.point)


def test_pass_at_k_is_the_ceiling_and_random_does_not_move() -> None:
    """No selector may beat the oracle; random is pass@1 at every k."""
    result = swept(candidates(MIXED, list(reversed(MIXED))), [1, 2, 4, 5])
    for point in result.points:
        assert point.value.point <= result.at("pass@k", point.k).value.point + 1e-9
        assert point.value.low <= point.value.point <= point.value.high
    assert {round(result.at("random", k).value.point, 9) for k in (1, 2, 4, 5)} == {0.6}


def test_cost_grows_with_the_distinct_patches_that_are_executed() -> None:
    """Five candidates, one patch: it is run once, whatever k. Making them costs k times as much."""
    same = candidates([("x = 2", True)] * 5, usd=0.5, tokens=100)
    key = same.by_instance["i0"][0].key
    pool = Pool(same.by_instance["i0"], {key: Executed(True, 3, 3, seconds=8.0)})
    result = swept(same, [1, 5], {"i0": pool})
    assert [result.at("regression", k).cost.container_seconds for k in (1, 5)] == [8.0, 8.0]
    assert [result.at("regression", k).cost.usd for k in (1, 5)] == [0.5, 2.5]
    assert result.at("majority", 5).cost.container_seconds == 0.0
    assert result.at("majority", 5).cost.seconds is None
    assert result.at("majority", 5).cost.distinct == 1.0


def test_what_was_not_run_is_named_with_the_command_that_makes_it() -> None:
    """By default such a selector is left out and said; asked for by name, it is refused."""
    found = candidates(MIXED)
    result = swept(found, [1])
    assert [missing.selector for missing in result.unavailable] == [
        "regression", "reproduction", "behaviour", "simulated", "hybrid",
    ]  # fmt: skip
    assert "--execute" in result.unavailable[0].cure
    with pytest.raises(UsageError, match="needs the results of existing tests") as caught:
        swept(found, [1], names=["hybrid"])
    assert "--execute" in caught.value.cure


def test_instances_that_were_not_executed_are_left_out_of_every_selector() -> None:
    """Else hybrid and majority would be compared on different instances."""
    found = candidates(MIXED, MIXED)
    key = found.by_instance["i0"][0].key
    result = swept(found, [2], {"i0": Pool(found.by_instance["i0"], {key: Executed(True, 1, 1)})})
    assert result.instances == ("i0",)
    assert list(result.left_out.values()) == [("i1",)]


def test_reproduction_alone_leaves_out_what_was_not_executed() -> None:
    """Without results every candidate would look as if it failed every test."""
    found = candidates(MIXED, MIXED)
    key = found.by_instance["i0"][0].key
    run = Executed(True, 1, 1, {"0:t": True})
    result = swept(found, [2], {"i0": Pool(found.by_instance["i0"], {key: run})}, names=["reproduction"])
    assert result.instances == ("i0",)


def test_labels_that_are_missing() -> None:
    """An instance without all labels is left out and named; none with all: refused."""
    found = candidates(MIXED, [("x = 2", None), ("x = 3", True)])
    assert swept(found, [1]).instances == ("i0",)
    with pytest.raises(UsageError, match="labels") as caught:
        swept(candidates([("x = 2", None)]), [1])
    assert "fixbug score" in caught.value.cure


@pytest.mark.parametrize("ks", [[0], [], [6]])
def test_ks_that_cannot_be(ks: list[int]) -> None:
    """k larger than the candidates: the message says how many there are."""
    with pytest.raises(UsageError, match=r"larger than the candidates.* 5|expected k of 1"):
        swept(candidates(MIXED), ks)


def test_an_instance_with_fewer_candidates_counts_with_all_it_has() -> None:
    """It is said, and the same instances are behind every k."""
    result = swept(candidates(MIXED, [("x = 2", True)]), [1, 5])
    assert result.short == ("i1",)
    assert len(result.instances) == 2


def test_the_same_seed_gives_the_same_json() -> None:
    """Also where subsets are drawn."""
    found = candidates([(f"x = {n}", n % 3 == 0) for n in range(14)])
    first, second = (swept(found, [7], most_subsets=50, seed=5) for _ in range(2))
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    assert not first.at("majority", 7).exact
    assert first.to_json()["versus"]["majority"]["random"]["told"]


def test_a_plan_is_what_the_budget_pays_for() -> None:
    """More candidates only where they are affordable; unknown prices and empty purses are refused."""
    result = swept(candidates(*[MIXED] * 12, usd=1.0), [1, 2, 5])
    best = plan(result, parse_spending("2.5usd")).best
    assert best.k <= 2
    assert plan(result, parse_spending("$9")).best.value.point >= best.value.point
    with pytest.raises(UsageError, match="pay for nothing: the cheapest costs 1"):
        plan(result, parse_spending("0.1usd"))
    with pytest.raises(UsageError, match="unknown"):
        plan(result, parse_spending("100tokens"))


@pytest.mark.parametrize("text", ["5", "usd", "-1usd", "$5usd", "1e3s", "5 apples", ""])
def test_a_budget_without_a_unit_is_refused(text: str) -> None:
    """Dollars and seconds may not be mixed up."""
    with pytest.raises(UsageError, match="budget with its unit"):
        parse_spending(text)


def test_selecting_instances() -> None:
    """Named, matched, sliced, sampled; in the dataset's order."""
    known = [f"org__repo-{n}" for n in range(20)]
    assert select(known, instances=["org__repo-7", "org__repo-3"]) == ["org__repo-3", "org__repo-7"]
    assert select(known, pattern="-1[0-3]$", exclude=["org__repo-11"]) == [
        "org__repo-10", "org__repo-12", "org__repo-13",
    ]  # fmt: skip
    assert select(known, cut="2:8:3") == ["org__repo-2", "org__repo-5"]
    assert select(known, sample=3, seed=1) == select(list(known), sample=3, seed=1)
    assert len(select(known, sample=3)) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"instances": ["org__repo-99"]}, "no instance 'org__repo-99'"),
        ({"pattern": "("}, "no regular expression"),
        ({"pattern": "nothing"}, "selection is empty"),
        ({"cut": "5"}, "expected a slice"),
        ({"cut": "::0"}, "expected a slice"),
        ({"cut": "30:"}, "selection is empty"),
    ],
)
def test_a_selection_that_is_none(options: dict[str, Any], said: str) -> None:
    """Each is refused in words, none runs everything instead."""
    with pytest.raises(UsageError, match=said):
        select([f"org__repo-{n}" for n in range(20)], **options)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_from_files_to_files(tmp_path: Path) -> None:
    """A dataset and candidates in; sweep.json and predictions in SWE-bench's format out."""
    dataset = write(tmp_path / "d.jsonl", [{"instance_id": name} for name in ("a", "b", "bare")])
    rows = [
        {"instance_id": name, "system": f"s{n}", "model_patch": patch(f"x = {n}"), "resolved": n > 2}
        for name in ("a", "b", "foreign")
        for n in range(2, 5)
    ]
    said: list[str] = []
    request = SweepRequest(str(dataset), (write(tmp_path / "c.jsonl", rows),))
    used, found = run_sweep(request, lambda text, passing: said.append(text))
    assert found.instances == ("a", "b")
    assert sorted({point.k for point in found.points}) == [1, 2, 3]
    assert any("1 instances that the dataset does not have" in text for text in said)
    assert any("2 of 3 instances have candidates; left out are bare" in text for text in said)
    paths = write_choices(used, found, tmp_path / "out")
    assert json.loads(paths[0].read_text())["schema"] == 1
    lines = (tmp_path / "out" / "predictions-first.jsonl").read_text().splitlines()
    first = [json.loads(line) for line in lines]
    assert [row["instance_id"] for row in first] == ["a", "b"]
    assert {row["model_patch"] for row in first} == {patch("x = 2")}
    assert not (tmp_path / "out" / "predictions-oracle.jsonl").exists()


def test_executing_needs_rows_that_can_be_run(tmp_path: Path) -> None:
    """A dataset in the old format is named as such, before anything starts."""
    dataset = write(
        tmp_path / "d.jsonl",
        [{"instance_id": "a", "problem_statement": "p", "base_commit": "c", "repo": "o/r"}],
    )
    rows = [{"instance_id": "a", "model_patch": patch("x = 2"), "resolved": True}]
    request = SweepRequest(str(dataset), (write(tmp_path / "c.jsonl", rows),), execute=True)
    with pytest.raises(IntakeError, match="swebench 4 and older"):
        run_sweep(request)


@pytest.mark.parametrize(
    ("options", "labelled", "said"),
    [
        ({"ks": (1, 9)}, True, "k = 9 is larger than the candidates: no instance has more than 2"),
        ({"selectors": ("hybrid", "nope")}, True, "no selector is called 'nope'"),
        ({"selectors": ("hybrid", "simulated")}, True, "simulated needs a world model's predictions"),
        ({}, False, "no instance has labels"),
    ],
)
def test_what_can_be_refused_is_refused_before_hours_of_execution(
    tmp_path: Path, options: dict[str, Any], labelled: bool, said: str
) -> None:
    """The dataset's row can't be run: whoever executes first would complain of that instead."""
    dataset = write(
        tmp_path / "d.jsonl",
        [{"instance_id": "a", "problem_statement": "p", "base_commit": "c", "repo": "o/r"}],
    )
    label = {"resolved": True} if labelled else {}
    rows = [{"instance_id": "a", "model_patch": patch(f"x = {n}"), **label} for n in (2, 3)]
    request = SweepRequest(str(dataset), (write(tmp_path / "c.jsonl", rows),), execute=True, **options)
    with pytest.raises(UsageError, match=said):
        run_sweep(request)


def test_selected_instances_without_candidates(tmp_path: Path) -> None:
    """Nothing to do is an error, with an id that would work."""
    dataset = write(tmp_path / "d.jsonl", [{"instance_id": "a"}])
    rows = [{"instance_id": "b", "model_patch": patch("x = 2")}]
    with pytest.raises(IntakeError, match="none of the 1 selected"):
        run_sweep(SweepRequest(str(dataset), (write(tmp_path / "c.jsonl", rows),)))


def test_figures_on_real_candidates(data_dir: Path) -> None:
    """Real patches and labels: the values that a plain count of the labels gives."""
    real = data_dir / "candidates" / "verified-dev.jsonl.gz"
    dataset = data_dir / "swebench" / "verified-dev.jsonl.gz"
    request = SweepRequest(
        str(dataset), (real,), ks=(13,), selectors=("random", "majority", "oracle"), pattern="^sphinx"
    )
    used, found = run_sweep(request)
    labels = [[bool(c.resolved) for c in group] for group in used.by_instance.values()]
    values = {point.selector: point.value.point for point in found.points}
    assert len(found.instances) == 25
    assert values["random"] == pytest.approx(fmean(fmean(group) for group in labels))
    assert values["oracle"] == values["pass@k"] == pytest.approx(fmean(any(group) for group in labels))
    assert values["majority"] < values["oracle"]
