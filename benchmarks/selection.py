"""What selecting among real candidates is worth: best@k beside random and majority, and the oracle's ceiling.

    python benchmarks/selection.py [--k 1,2,4,8,13] [--execute [--instances IDS | --sample N]] [--workers N]
    [--bugs N] [--json OUT]

The data lie below ``FIXBUG_DATA`` (by default ``../shared/data``): ``candidates/verified-dev.jsonl.gz``,
patches that real systems made for instances of SWE-bench Verified, with labels, and the instances
themselves, ``swebench/verified-dev.jsonl.gz``.

Without options: selectors that look at text alone, on all of them. ``--execute`` adds existing tests and the
tests that candidates bring, on instances whose candidates carry different labels (on the others every
selector picks the same): Docker, an image each, minutes an instance. ``--bugs`` does the same for the offline
search's candidates on so many of HumanEvalFix's bugs, and asks what the oracle world model adds.

What was executed is also told in two halves, by a hash of the instance's id: selectors were worked on with
one half in sight (``development``), the other one confirms.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from agent.report.ablation import show_ablation  # noqa: E402
from agent.report.board import Board  # noqa: E402
from agent.report.scaling import difference, show_sweep  # noqa: E402
from agent.request import Request  # noqa: E402
from agent.scale.ablate import ablate, read_arm  # noqa: E402
from agent.scale.arms import parse_arm, run_arms  # noqa: E402
from agent.scale.batch.asked import BenchRequest  # noqa: E402
from agent.scale.batch.tasks import write_task  # noqa: E402
from agent.scale.candidates import read_candidates  # noqa: E402
from agent.scale.estimators import Paired, paired  # noqa: E402
from agent.scale.study import SweepRequest, run_sweep  # noqa: E402
from agent.scale.sweep import Sweep  # noqa: E402

DATA = Path(os.environ.get("FIXBUG_DATA", ROOT.parent / "shared/data"))
CANDIDATES = DATA / "candidates" / "verified-dev.jsonl.gz"
DATASET = DATA / "swebench" / "verified-dev.jsonl.gz"
BUGS = DATA / "bugs" / "humanevalfix-python-dev.jsonl.gz"
ARMS = ("none:world_model=none", "oracle:world_model=oracle")


def say(text: str, passing: bool) -> None:
    if not passing:
        print(f"  {text}", file=sys.stderr, flush=True)


def contested(sample: int) -> tuple[str, ...]:
    """Instances whose candidates carry different labels: as many as asked, drawn with seed 0."""
    found = read_candidates([CANDIDATES]).by_instance.items()
    names = sorted(name for name, group in found if len({candidate.resolved for candidate in group}) > 1)
    return tuple(random.Random(0).sample(names, min(sample, len(names))))


def lay_out(count: int, folder: Path) -> None:
    """HumanEvalFix's rows as plain tasks: what a converter from another format looks like."""
    with gzip.open(BUGS, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream][:count]
    for row in rows:
        entry = row["entry_point"]
        visible = f"from solution import {entry}\n\n\n{row['example_test']}"
        write_task(
            folder / row["task_id"].replace("/", "-"),
            issue=f"# `{entry}` gives a wrong result\n\n{row['text']}\n",
            files={"solution.py": row["prompt"] + row["buggy_solution"], "test_visible.py": visible},
            tests=["test_visible.py"],
            hidden=f"from solution import *\n{row['test']}\n",
        )


def swept(title: str, request: SweepRequest, console: Console) -> Sweep:
    console.rule(title)
    _, found = run_sweep(request, say)
    show_sweep(found, console)
    return found


def halves(found: Sweep, console: Console) -> dict[str, dict[str, Any]]:
    """What ``hybrid`` has over the others at the largest k, in either half of the instances."""
    last = max(point.k for point in found.points)
    told: dict[str, dict[str, Any]] = {}
    for number, half in enumerate(("development", "confirmation")):
        rows = [
            row
            for row, name in enumerate(found.instances)
            if int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == number
        ]
        values = {
            name: [column[row] for row in rows] for (name, k), column in found.columns.items() if k == last
        }
        for base in ("random", "majority", "reproduction") if rows and "hybrid" in values else ():
            result: Paired = paired(values[base], values["hybrid"])
            console.print(f"{half}: hybrid against {base}: {difference(result)}", highlight=False)
            told.setdefault(half, {})[base] = asdict(result)
        told.setdefault(half, {})["instances"] = len(rows)
    return told


def bugs(count: int, workers: int, console: Console) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as name:
        folder = Path(name)
        lay_out(count, folder / "bugs")
        base = Request(issue="", model="offline", sandbox="local", budget_seconds=30, run_dir=str(folder))
        request = SweepRequest(dataset=str(folder / "bugs"), make=base, ks=(1, 2, 4, 8), workers=workers)
        table = swept(f"the offline search's candidates on {count} small bugs", request, console)
        console.rule("what the oracle world model adds")
        asked = BenchRequest(dataset=str(folder / "bugs"), base=base, workers=workers)
        arms = run_arms([parse_arm(arm) for arm in ARMS], asked, lambda: Board(console))
        found = ablate([read_arm(str(arm.folder)) for arm in arms])
        show_ablation(found, console)
        return {"sweep": table.to_json(), "ablation": found.to_json()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--k", default="1,2,4,8,13")
    parser.add_argument("--execute", action="store_true", help="run tests on the candidates, too (Docker)")
    parser.add_argument("--instances", help="execute these: ids, comma separated")
    parser.add_argument("--sample", type=int, default=24, help="execute so many (default: 24)")
    parser.add_argument("--cache", type=Path, help="where results of execution are kept")
    parser.add_argument("--bugs", type=int, default=0, help="so many of HumanEvalFix's bugs, too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if not CANDIDATES.is_file() or not DATASET.is_file():
        print(f"skipped: no candidates below {DATA}. Set FIXBUG_DATA.")
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    ks = tuple(int(k) for k in asked.k.split(","))
    text = SweepRequest(dataset=str(DATASET), candidates=(CANDIDATES,), ks=ks)
    results = {"text": swept("text alone", text, console).to_json()}
    if asked.execute:
        names = tuple(asked.instances.split(",")) if asked.instances else contested(asked.sample)
        executed = SweepRequest(
            dataset=str(DATASET), candidates=(CANDIDATES,), ks=ks, instances=names, execute=True,
            workers=asked.workers, cache=asked.cache,
        )  # fmt: skip
        found = swept("with execution", executed, console)
        results["executed"] = {**found.to_json(), "halves": halves(found, console)}
    if asked.bugs:
        results["bugs"] = bugs(asked.bugs, asked.workers, console)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
