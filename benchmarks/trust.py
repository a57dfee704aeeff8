"""How well calibrated the trust in a prediction is, on public answers of public models.

    python benchmarks/trust.py [--data FOLDER] [--splits N] [--json OUT] [--shipped] [--write PRIOR]

Data below ``FIXBUG_DATA`` (by default ``../shared/data``): ``cruxeval/functions*.jsonl.gz`` (``code``,
``input``, ``id``) and ``cruxeval/output-answers*.jsonl.gz`` (``model``, ``chain_of_thought``,
``temperature``, ``id``, ``answers``, ``correct``), the answers of the CRUXEval authors (Gu et al. 2024,
arXiv 2401.03065). No function is run: features come from its source and from the answers' texts.

- A prediction is the answer that most of k samples give; k is 1, 2, 5 and 10. Of each function's answers
  up to 20 subsets of size k are drawn, with a fixed seed.
- Split: the functions' ids, sorted, shuffled by ``random.Random(seed)``; the first half fits, the other half
  tests; no function is in both. The table is of seed 0; ``--splits`` says how many more seeds the line of the
  strongest model that reasons is repeated for, and gives their mean and worst.
- Models that reason first and those that answer at once are fitted apart. Each row of the table is one model,
  way and temperature, with effects of its own (level, agreement, dispute) from the fitting half.
- AUROC: ties count half. ECE: expected calibration error of Guo et al. 2017 (arXiv 1706.04599), ten bins
  of equal width. Beside them the AUROC of plain agreement (the share of samples with the chosen answer):
  as texts, and as values.

``--shipped`` judges the prior in the package on all functions instead of fitting one (on the data that it was
fitted on that flatters). ``--write`` fits on all functions, models that reason first only (as a simulation
does), and writes the prior; where a model has several temperatures, its own effects are those at 0.8, with
which fixbug samples.

Needs numpy, which comes with swebench.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import itertools
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agent.world.calibration import features as features_module  # noqa: E402
from agent.world.calibration.features import choose, features  # noqa: E402
from agent.world.calibration.kinds import code_of  # noqa: E402
from agent.world.trust import EFFECTS, prior_probability  # noqa: E402

SAMPLES = (1, 2, 5, 10)
DRAWS = 20
SHARED_PRECISION, EFFECT_PRECISION = 20.0, 1.0
"""Of the weights' Gaussian priors: shared (on standardised features) and of one model."""
BINS = 10
MAIN = ("gpt-4-0613", True, 0.8)
"""The strongest model that reasons and has ten samples at temperature 0.8."""
Who = tuple[str, bool, float]


@dataclass
class Group:
    """All predictions of one model, way and temperature with k samples, as arrays of one length."""

    ids: Any
    features: Any
    right: Any
    same_text: Any
    """Share of the other samples with the chosen answer's very text."""
    same_value: Any
    rows: list[dict[str, float]]


def load(folder: Path) -> dict[tuple[Who, int], Group]:
    """Features and outcomes of every prediction that can be made of the answers."""
    code = {row["id"]: code_of([row["code"]]) for row in _rows(folder, "functions")}
    # The same two texts are compared again and again.
    features_module.same_value = functools.cache(features_module.same_value)  # type: ignore[assignment]
    features_module.read_value = functools.cache(features_module.read_value)  # type: ignore[assignment]
    found: dict[tuple[Who, int], list[Any]] = defaultdict(list)
    for row in _rows(folder, "output-answers"):
        answers = [str(answer).strip() for answer in row["answers"]]
        if row["id"] not in code or len(answers) != len(row["correct"]):
            continue
        who = (row["model"], bool(row["chain_of_thought"]), float(row["temperature"]))
        for count in SAMPLES:
            for draw in _draws(len(answers), count):
                part = [answers[index] for index in draw]
                chosen = choose(part)
                assert chosen is not None
                others = len(part) - 1 or 1
                found[who, count].append(
                    (
                        row["id"],
                        features(code[row["id"]], [part]),
                        float(row["correct"][draw[chosen.at]]),
                        (part.count(chosen.text) - 1) / others,
                        chosen.agreeing / others,
                    )
                )
    return {key: _group(rows) for key, rows in sorted(found.items())}


@functools.cache
def _draws(answers: int, count: int) -> list[tuple[int, ...]]:
    every = list(itertools.combinations(range(answers), count))
    random.Random(count).shuffle(every)
    return every[:DRAWS]


def _group(rows: list[Any]) -> Group:
    ids, made, right, text, value = zip(*rows, strict=True)
    matrix = np.array([list(row.values()) for row in made], dtype=np.float32)
    return Group(np.array(ids), matrix, np.array(right), np.array(text), np.array(value), list(made))


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{name}*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


class Fitted:
    """Weights for one way of answering: shared ones, and those of each model."""

    def __init__(self, groups: dict[tuple[Who, int], Group], fitting: set[str] | None) -> None:
        """``fitting``: ids to fit on; None for all."""
        self.names = list(next(iter(groups.values())).rows[0])
        self.at = {who: index for index, who in enumerate(dict.fromkeys(who for who, _ in groups))}
        blocks, own, right, weight = [], [], [], []
        for (who, _), group in groups.items():
            mask = _mask(group, fitting)
            blocks.append(group.features[mask])
            own.append(self._own(who, group.features[mask]))
            right.append(group.right[mask])
            # Draws of one function are no independent cases: each function counts once for each k.
            weight.append(np.full(int(mask.sum()), len(set(group.ids[mask])) / max(1, int(mask.sum()))))
        shared = np.vstack(blocks)
        self.low, self.high = shared.min(axis=0), shared.max(axis=0)
        self.mean, self.scale = shared.mean(axis=0), shared.std(axis=0)
        self.scale[self.scale == 0] = 1
        x = np.hstack([np.ones((len(shared), 1)), (shared - self.mean) / self.scale, np.vstack(own)])
        self.weights = self._newton(x, np.concatenate(right), np.concatenate(weight), shared.shape[1])

    def _own(self, who: Who, block: Any) -> Any:
        """One model's columns: ``EFFECTS``."""
        own = np.zeros((len(block), len(self.at) * len(EFFECTS)), dtype=np.float32)
        first = self.at[who] * len(EFFECTS)
        for offset, name in enumerate(EFFECTS):
            own[:, first + offset] = 1 if name == "level" else block[:, self.names.index(name)]
        return own

    def _newton(self, x: Any, y: Any, weight: Any, shared: int) -> Any:
        """As ``agent/world/calibration/logistic.py``, on arrays and with weighted rows."""
        effects = x.shape[1] - shared - 1
        precision = np.array([1e-6, *[SHARED_PRECISION] * shared, *[EFFECT_PRECISION] * effects])
        b = np.zeros(x.shape[1])
        for _ in range(25):
            p = 1 / (1 + np.exp(-x @ b))
            bend = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(precision)
            step = np.linalg.solve(bend, x.T @ (weight * (y - p)) - precision * b)
            b += step
            if abs(step).max() < 1e-6:
                break
        return b

    def probabilities(self, who: Who, group: Group, mask: Any) -> Any:
        block = group.features[mask]
        x = np.hstack([np.ones((len(block), 1)), (block - self.mean) / self.scale, self._own(who, block)])
        return 1 / (1 + np.exp(-x @ self.weights))

    def to_json(self) -> dict[str, Any]:
        """What ``agent/world/prior.json`` holds. Rounded: the fit is not known better."""
        shared = self.weights[1 : 1 + len(self.names)]
        own = self.weights[1 + len(self.names) :].reshape(len(self.at), len(EFFECTS))
        models: dict[str, dict[str, float]] = {}
        for who, index in sorted(self.at.items(), key=lambda item: (item[0][0], item[0][2])):
            effects = zip(EFFECTS, own[index], strict=True)
            models[who[0]] = {name: round(float(value), 3) for name, value in effects}
        columns = zip(self.names, shared, self.mean, self.scale, self.low, self.high, strict=True)
        return {
            "about": "Log odds that the answer most samples give is right: intercept + sum of weight * "
            "(value - mean) / scale + the model's own effects. Fitted by benchmarks/trust.py --write on the "
            "CRUXEval authors' records of models that reason first "
            "(github.com/facebookresearch/cruxeval, MIT).",
            "intercept": round(float(self.weights[0]), 3),
            "features": {
                name: {
                    key: round(float(value), 3)
                    for key, value in (("weight", w), ("mean", m), ("scale", s), ("low", lo), ("high", hi))
                }
                for name, w, m, s, lo, hi in columns
            },
            "models": models,
        }


def _mask(group: Group, ids: set[str] | None) -> Any:
    return np.ones(len(group.ids), bool) if ids is None else np.isin(group.ids, list(ids))


def halves(ids: Sequence[str], seed: int) -> tuple[set[str], set[str]]:
    """Those to fit on, those to test on."""
    order = sorted(ids)
    random.Random(seed).shuffle(order)
    return set(order[: len(order) // 2]), set(order[len(order) // 2 :])


def auroc(scores: Any, right: Any) -> float | None:
    """Area under the ROC: how often a right prediction is scored above a wrong one, ties half."""
    good, bad = int(right.sum()), int(len(right) - right.sum())
    if not good or not bad:
        return None
    _, inverse, counts = np.unique(np.round(scores, 12), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[right == 1].sum() - good * (good + 1) / 2) / (good * bad))


def ece(probabilities: Any, right: Any) -> float:
    """Expected calibration error, ``BINS`` bins of equal width, weighted by their counts."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    error = 0.0
    for index in range(BINS):
        mine = bins == index
        if mine.any():
            error += mine.mean() * abs(probabilities[mine].mean() - right[mine].mean())
    return float(error)


def measure(groups: dict[tuple[Who, int], Group], seed: int) -> list[dict[str, Any]]:
    """One result a model, way, temperature and number of samples: fitted on one half, tested on the other."""
    ids = sorted({one for group in groups.values() for one in group.ids})
    fitting, testing = halves(ids, seed)
    fitted = Fitted(groups, fitting)
    return [
        _result(who, count, seed, fitted.probabilities(who, group, mask), group, mask)
        for (who, count), group in groups.items()
        if (mask := _mask(group, testing)).any()
    ]


def shipped(groups: dict[tuple[Who, int], Group]) -> list[dict[str, Any]]:
    """The same for the prior in the package, as it is, on all functions."""
    results = []
    for (who, count), group in groups.items():
        p = np.array([prior_probability(row, who[0]) for row in group.rows])
        results.append(_result(who, count, None, p, group, _mask(group, None)))
    return results


def _result(who: Who, count: int, seed: int | None, p: Any, group: Group, mask: Any) -> dict[str, Any]:
    right = group.right[mask]
    return {
        "model": who[0], "reasons": who[1], "temperature": who[2], "samples": count, "split": seed,
        "functions": len(set(group.ids[mask])), "predictions": len(right), "right": float(right.mean()),
        "auroc": auroc(p, right), "ece": ece(p, right),
        "auroc_same_text": auroc(group.same_text[mask], right),
        "auroc_same_value": auroc(group.same_value[mask], right),
    }  # fmt: skip


def _line(result: dict[str, Any]) -> str:
    way = "reasons" if result["reasons"] else "at once"
    shown = [result[key] for key in ("auroc_same_text", "auroc_same_value", "auroc", "ece")]
    figures = "".join("      -" if value is None else f"{value:7.3f}" for value in shown)
    return (
        f"{result['model']:<25.25} {way} {result['temperature']:>4} {result['samples']:>3} "
        f"{result['functions']:>5} {result['right']:6.3f}{figures}"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FIXBUG_DATA", ROOT / "../shared/data"))
    )
    parser.add_argument("--splits", type=int, default=8, help="further splits of the main line (default: 8)")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PRIOR")
    options = parser.parse_args()
    groups = load(options.data / "cruxeval")
    if not groups:
        print(f"skipped: no answers in cruxeval/ below {options.data} (FIXBUG_DATA names the folder)")
        return 0
    ways = [{key: group for key, group in groups.items() if key[0][1] is way} for way in (True, False)]
    if options.write:
        made = Fitted(ways[0], None).to_json()
        options.write.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        print(f"written: {options.write}")
        return 0
    print("model                     way     temp   k funcs  right   text  value  trust    ECE")
    print(f"{'':48} AUROC{'':10}AUROC")
    results = [
        result for way in ways if way for result in (shipped(way) if options.shipped else measure(way, 0))
    ]
    for result in results:
        print(_line(result))
    repeated = [] if options.shipped or MAIN not in {who for who, _ in ways[0]} else [
        result
        for seed in range(1, options.splits + 1)
        for result in measure(ways[0], seed)
        if (result["model"], result["reasons"], result["temperature"]) == MAIN
    ]  # fmt: skip
    for count in SAMPLES if repeated else ():
        mine = [result for result in repeated if result["samples"] == count]
        areas = [result["auroc"] for result in mine]
        errors = [result["ece"] for result in mine]
        print(
            f"{MAIN[0]}, reasons, {MAIN[2]}, {count:>2} samples, {len(mine)} more splits: "
            f"AUROC {sum(areas) / len(mine):.3f} (worst {min(areas):.3f}), "
            f"ECE {sum(errors) / len(mine):.3f} (worst {max(errors):.3f})"
        )
    if options.json:
        done = {"table": results, "more_splits": repeated}
        options.json.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
