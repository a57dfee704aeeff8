"""Trust: its arithmetic, the shipped prior, and how a record changes it."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.world.calibration.features import asked, checks, choose, features
from agent.world.calibration.intervals import exact_lower_bound, wilson
from agent.world.calibration.kinds import Code, code_of
from agent.world.calibration.ledger import Entry
from agent.world.calibration.logistic import fit, sigmoid
from agent.world.simulate import Prediction
from agent.world.trace import Frame, Outcome, Trace
from agent.world.trust import Trust, shipped, trust
from agent.world.verdict import judge

LOOP = code_of(["def f(x):\n    for c in x:\n        x = x.replace(c, '')\n    return x\n"])


def believed(answers: list[str | None], record: list[Entry] | None = None, model: str = "m") -> Trust:
    """The trust in a prediction that the test holds."""
    made = trust(features(LOOP, [answers]), LOOP.kinds, "holds", f"chat:{model}", record or [])
    assert made is not None
    return made


def entry(right: bool, number: int = 0, said: str = "holds", prior: float | None = 0.7) -> Entry:
    other = {"holds": "broken", "broken": "holds"}[said]
    observed = said if right else other
    place = f"{number}"
    kinds = frozenset(LOOP.kinds)
    return Entry(place, f"t{number}", "chat:m", kinds, said, observed, True, prior, prior)  # type: ignore[arg-type]


def test_kinds_of_code() -> None:
    """A kind that is missed, or one that is seen where it is not: records would be kept by the wrong one."""
    assert code_of(["def f(x):\n    return x + 1\n"]).kinds == {"straight"}
    assert LOOP.kinds == {"loops", "strings"}
    assert code_of(["    def m(self):\n        self.n += 1\n"]).kinds == {"state"}
    assert code_of(["def f(n):\n    return f(n - 1) if n else 0\n"]).kinds == {"recursion", "branches"}
    assert code_of(["def f():\n    try:\n        yield 1\n    finally:\n        pass\n"]).kinds == {
        "exceptions",
        "generators",
    }
    assert "nested loops" in code_of(["while a:\n    for b in a:\n        pass\n"]).kinds
    assert code_of(["self.cache.pop(n, None)\n"]).kinds == {"state", "changes in place"}
    assert code_of(["def ("]) == Code(frozenset())


def test_answers_agree_as_values() -> None:
    """Quotes or the order of a dict that are taken for disagreement; a thrown sample that agrees."""
    found = choose(["'a'", '"a"', "'b'"])
    assert found is not None
    assert (found.at, found.agreeing, found.different) == (0, 1, 2)
    found = choose([None, "{1: 2, 3: 4}", "{3: 4, 1: 2}", None])
    assert found is not None
    assert (found.at, found.agreeing, found.others, found.different) == (1, 1, 3, 3)
    assert choose([None, None]) is None


def test_agreement_raises_trust() -> None:
    """A prior whose signs are turned round, or that does not see how many samples agree."""
    one, two, ten = believed(["'ab'"]), believed(["'ab'"] * 2), believed(["'ab'"] * 10)
    differ, thrown = believed(["'ab'", "'b'"]), believed(["'ab'", None])
    assert differ.probability < one.probability < two.probability < ten.probability
    assert thrown.probability < one.probability
    assert believed(["'ab'"] * 2).probability > believed(["'" + "ab" * 40 + "'"] * 2).probability
    assert (two.rests_on, two.probability) == ("prior", two.prior)


def test_a_known_model() -> None:
    """A table of models that is not looked at, or a provider's name before the model's that hides it."""
    weak, strong = "codellama-7b", "gpt-4-0613"
    assert {weak, strong} <= shipped()["models"].keys()
    same = ["'ab'"] * 2
    assert believed(same, model=weak).prior < believed(same, model=strong).prior
    assert believed(same, model=f"openai/{strong}").prior == believed(same, model=strong).prior


def test_checking_counts() -> None:
    """A trace that was checked line by line trusted like one that was not, or one that was redone more."""
    made = features(LOOP, [["'ab'"] * 2])
    bare, checked, redone = (
        trust(made | more, LOOP.kinds, "holds", "chat:m", [])
        for more in ({}, {"checked": 1.0}, {"checked": 1.0, "redone": 1.0})
    )
    assert bare is not None
    assert checked is not None
    assert redone is not None
    assert bare.probability < redone.probability < checked.probability


def test_samples_that_do_not_count() -> None:
    """A cut, impossible or contradicted sample that still agrees, or makes the others look checked."""
    trace = Trace((Frame("probe", "", "t.py", 1, value="4", probe="p1"),), outcomes=(Outcome(1, "passed"),))
    good = Prediction(1, trace, "chat:m", True, 1, dense=True, checked="consistent")
    bad = [replace(good, complete=False), replace(good, illegal="no"), replace(good, checked="wrong")]
    assert asked([good, good]) == [["4", "4"], ["True", "True"]]
    for other in bad:
        assert asked([good, other]) == [["4", None], ["True", None]]
        assert judge([good, other], []).value == "unknown"
    assert checks([good, *bad]) == {"checked": 1.0, "redone": 0.0}
    assert checks([good, replace(good, resampled=1)])["redone"] == 0.5
    assert checks(bad) == {"checked": 0.0, "redone": 0.0}


def test_nothing_to_trust() -> None:
    """A number beside a prediction that says nothing, or beside the oracle, which executes."""
    made = features(LOOP, [["'a'"]])
    assert trust(made, LOOP.kinds, "unknown", "chat:m", []) is None
    assert trust(made, LOOP.kinds, "holds", "oracle", []) is None
    assert trust(features(Code(frozenset()), []), (), "broken", "chat:m", []) is not None


def test_a_record_has_the_last_word() -> None:
    """A record that changes nothing, changes all at once, or pulls the wrong way."""
    same = ["'ab'"] * 2
    prior = believed(same).probability
    bad = [believed(same, [entry(False, n) for n in range(count)]) for count in (1, 5, 60)]
    chances = [one.probability for one in bad]
    assert prior > chances[0] > chances[1] > chances[2]
    assert chances[0] > prior - 0.2
    assert chances[2] < 0.15
    assert bad[2].rests_on == "60 predictions of this model"
    assert believed(same, [entry(True)]).rests_on == "1 prediction of this model"
    assert believed(same, [entry(True, n) for n in range(60)]).probability > prior


def test_failures_and_passes_have_records_of_their_own() -> None:
    """A model whose alarms are always false, and whose passes are right, that is trusted alike in both."""
    record = [entry(True, n) for n in range(30)] + [entry(False, n, "broken") for n in range(30)]
    made = features(LOOP, [["'ab'"] * 2])
    holds = trust(made, LOOP.kinds, "holds", "chat:m", record)
    broken = trust(made, LOOP.kinds, "broken", "chat:m", record)
    assert holds is not None
    assert broken is not None
    assert holds.probability > 0.8 > 0.2 > broken.probability


def test_a_record_from_before_priors_were_kept() -> None:
    """An older run folder that cannot be used, or stops the arithmetic."""
    assert believed(["'a'"] * 2, [entry(False, n, prior=None) for n in range(40)]).probability < 0.5


def test_a_prior_that_says_nothing() -> None:
    """A fit that runs away from its start: where priors and outcomes have nothing to do with each other,
    trust is how often this model is right."""
    chance = random.Random(2)
    record = [entry(chance.random() < 0.5, n, chance.choice(["holds", "broken"])) for n in range(300)]
    record = [replace(one, prior=chance.random()) for one in record]
    for answers in (["'ab'"] * 2, ["'ab'", "'b'"]):
        assert believed(answers, record).probability == pytest.approx(0.5, abs=0.12)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60), st.floats(0.001, 0.999))
def test_any_record_gives_a_probability(record: list[tuple[float, bool]], share: float) -> None:
    """A record (all right, all wrong, priors of 0 or 1) at which the fit runs away."""
    entries = [entry(right, n, prior=prior) for n, (prior, right) in enumerate(record)]
    assert 0 < believed(["1"], entries).probability < 1
    assert sigmoid(math.log(share / (1 - share))) == pytest.approx(share)


def test_the_fit_finds_what_made_the_data() -> None:
    """A wrong gradient or Hessian: the weights that made the data do not come back."""
    chance = random.Random(1)
    rows = [[1.0, chance.gauss(0, 1), float(chance.random() < 0.5)] for _ in range(4000)]
    targets = [chance.random() < sigmoid(-0.5 + 1.5 * x + y) for _, x, y in rows]
    weights = fit(rows, targets, [0.0] * 3, [1e-3] * 3)
    assert weights == pytest.approx([-0.5, 1.5, 1.0], abs=0.2)
    assert fit([], [], [0.0, 1.0], [1.0, 4.0]) == [0.0, 1.0]


def test_intervals() -> None:
    """A wrong formula. Figures: Newcombe 1998, table I (81 of 263, 15 of 148, 0 of 20); 0.05 ** (1 / 29)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0, 1)
    assert exact_lower_bound(29, 29) == pytest.approx(0.05 ** (1 / 29), abs=1e-6)
    assert exact_lower_bound(0, 5) == 0
    assert exact_lower_bound(45, 46) < exact_lower_bound(46, 46)


@given(st.integers(1, 80), st.data())
def test_a_lower_bound_lies_below(count: int, data: st.DataObject) -> None:
    """A bound above the share itself, or outside of 0 to 1."""
    hits = data.draw(st.integers(0, count))
    low, high = wilson(hits, count)
    assert 0 <= low <= hits / count <= high <= 1
    assert 0 <= exact_lower_bound(hits, count) <= hits / count


def test_calibration_on_public_answers(data_dir: Path, tmp_path: Path) -> None:
    """A change of the features after which the figures in docs/trust.md do not hold."""
    cruxeval = data_dir / "cruxeval"
    if not list(cruxeval.glob("output-answers*.jsonl.gz")):
        pytest.skip(f"no answers in {cruxeval}")
    small = _only_main(cruxeval, tmp_path)
    script = Path(__file__).parents[3] / "benchmarks" / "trust.py"
    out = tmp_path / "out.json"
    command = [sys.executable, str(script), "--data", str(small), "--json", str(out), "--splits", "0"]
    subprocess.run(command, check=True, timeout=280, capture_output=True)
    table = json.loads(out.read_text())["table"]
    (two,) = [r for r in table if r["model"] == "gpt-4-0613" and r["samples"] == 2]
    assert two["auroc"] >= 0.82
    assert two["ece"] <= 0.05


def _only_main(cruxeval: Path, folder: Path) -> Path:
    """The functions, and the answers of the strongest model that reasons: enough for its line."""
    import gzip

    (folder / "cruxeval").mkdir()
    for path in cruxeval.glob("functions*.jsonl.gz"):
        (folder / "cruxeval" / path.name).write_bytes(path.read_bytes())
    for path in cruxeval.glob("output-answers*.jsonl.gz"):
        with gzip.open(path, "rt") as lines, gzip.open(folder / "cruxeval" / path.name, "wt") as kept:
            for line in lines:
                row = json.loads(line)
                who = (row["model"], row["chain_of_thought"], row["temperature"])
                if who == ("gpt-4-0613", True, 0.8):
                    kept.write(line)
    return folder
