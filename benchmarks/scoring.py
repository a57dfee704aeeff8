"""What a grade costs: ``fixbug score`` beside swebench's own ``run_evaluation``, on the same images.

    python benchmarks/scoring.py [--pairs N] [--dataset FILE --instance ID] [--json]

Each pair runs both commands on one gold patch, one after the other, nothing kept from before, the import of
swebench (both need it) included. Then 16 candidates of one instance, 5 of them distinct, go through
``fixbug score``; 16 official runs are 16 times the median of the official runs of this run. By default the
instance is a small one, made here, whose tests take well under a second; where FIXBUG_DATA and an image
that was built before are there, django__django-11099 too. Without an engine or a base image nothing runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this folder holds a sandbox.py

from sandbox.docker import connect, engine_answers
from sandbox.layers import build_layer, digest

ROOT = Path(__file__).resolve().parents[1]
BASE = os.environ.get("FIXBUG_TEST_BASE", "fixbug-test-base:latest")
DATA = Path(os.environ.get("FIXBUG_DATA", ROOT.parent / "shared" / "data"))
KNOWN = "django__django-11099"
SINGLE, MANY = 0.2, 0.1
COUNT, DISTINCT = 16, 5

BUG = "def double(n):\n    return n + n + 1\n"
TEST = """\
import unittest

from twice import double


class Double(unittest.TestCase):
    def test_two(self):
        self.assertEqual(double(2), 4)
"""


def small() -> dict[str, Any]:
    """A row, and its image: two files, tests by unittest (whose report Django's parser reads)."""
    commands = (
        f"mkdir -p /testbed && cd /testbed && git init -q && printf %s '{BUG}' >twice.py && git add . && "
        "git -c user.name=a -c user.email=a@example.org commit -q -m one"
    )
    client = connect()
    try:
        image = build_layer(
            client,
            f"fixbug-bench-twice:{digest(BASE, commands)}",
            BASE,
            lambda bench: bench.script("repository", commands) and None,
            on_progress=lambda _: None,
        )
    finally:
        client.close()
    body = "".join(f"+{line}\n" for line in TEST.splitlines())
    test_patch = (
        "diff --git a/test_twice.py b/test_twice.py\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/test_twice.py\n"
        f"@@ -0,0 +1,{len(TEST.splitlines())} @@\n{body}"
    )
    return {
        "instance_id": "example__twice-1",
        "repo": "example/twice",
        "version": "1.0",
        "image": image,
        "patch": patch("    return n + n\n"),
        "FAIL_TO_PASS": ["test_two (test_twice.Double.test_two)"],
        "PASS_TO_PASS": [],
        "log_parser": "parse_log_django",
        "eval_type": "pass_and_fail",
        "eval_script": "#!/bin/bash\nset -uxo pipefail\ncd /testbed\n"
        f"git apply -v - <<'EOF_1'\n{test_patch}EOF_1\n: '>>>>> Start Test Output'\n"
        "python3 -m unittest -v test_twice\n: '>>>>> End Test Output'\n",
    }


def patch(line: str) -> str:
    """The small row's function with another body."""
    return (
        "diff --git a/twice.py b/twice.py\n--- a/twice.py\n+++ b/twice.py\n@@ -1,2 +1,2 @@\n"
        f" def double(n):\n-    return n + n + 1\n+{line}"
    )


def known(dataset: Path, instance: str) -> dict[str, Any] | None:
    """A row of a dataset with an image that is on this machine, or None."""
    if not dataset.is_file():
        return None
    from agent.intake.dataset import find_row, load_rows

    row = find_row(load_rows(str(dataset)), instance)
    client = connect()
    try:
        names = [tag for image in client.images.list() for tag in image.tags]
    finally:
        client.close()
    own = [tag for tag in names if tag == row["image"] or tag.startswith(f"fixbug/instance:{instance}-")]
    return {**row, "image": own[0]} if own else None


class Bench:
    """Both commands, on one row."""

    def __init__(self, row: Mapping[str, Any], folder: Path) -> None:
        self.row, self.folder = row, folder
        self.number = 0
        (folder / "dataset.json").write_text(json.dumps([row]))

    def ours(self, patches: Sequence[str], workers: int) -> tuple[float, dict[str, Any]]:
        """Seconds, and what was printed; nothing is known from before."""
        self.number += 1
        name = self._predictions(patches)
        command = ["-m", "agent", "score", "dataset.json", "--predictions", name, "--json", "--workers"]
        paths = ["--cache", f"cache-{self.number}", "--out", f"out-{self.number}"]
        seconds, said = self._run([*command, str(workers), *paths])
        return seconds, json.loads(said)

    def official(self, patches: Sequence[str]) -> tuple[float, bool]:
        """Seconds, and swebench's verdict."""
        self.number += 1
        name, run = self._predictions(patches), f"bench{self.number}"
        command = ["-m", "swebench.harness.run_evaluation", "-d", "dataset.json", "-p", name, "-id", run]
        seconds, _ = self._run([*command, "--max_workers", "1"])
        place = Path("logs/run_evaluation", run, "bench", self.row["instance_id"], "report.json")
        report = json.loads((self.folder / place).read_text())
        return seconds, bool(report[self.row["instance_id"]]["resolved"])

    def _predictions(self, patches: Sequence[str]) -> str:
        name = f"predictions-{self.number}.json"
        rows = [
            {"instance_id": self.row["instance_id"], "model_name_or_path": "bench", "model_patch": text}
            for text in patches
        ]
        (self.folder / name).write_text(json.dumps(rows))
        return name

    def _run(self, arguments: Sequence[str]) -> tuple[float, str]:
        began = time.monotonic()
        ran = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        seconds = time.monotonic() - began
        if ran.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with {ran.returncode}:\n{ran.stderr[-2000:]}")
        return seconds, ran.stdout


def variants(gold: str) -> list[str]:
    """``DISTINCT`` patches with different bytes, ``COUNT`` in all, and all of them resolve."""
    texts = [f"{f'Candidate {n}{chr(10)}' if n else ''}{gold}" for n in range(DISTINCT)]
    return [texts[n % DISTINCT] for n in range(COUNT)]


def measure(row: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """The figures for one row."""
    with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as folder:
        bench = Bench(row, Path(folder))
        ours, official, phases = [], [], []
        for _ in range(pairs):
            seconds, found = bench.ours([row["patch"]], 1)
            one = found["grades"][0]
            assert (one["official"], one["hardened"]) == (True, True), one
            ours.append(seconds)
            phases.append(one["phases"] | {"in all": one["seconds"]})
            seconds, resolved = bench.official([row["patch"]])
            assert resolved
            official.append(seconds)
        many, found = bench.ours(variants(row["patch"]), os.cpu_count() or 1)
        assert (found["distinct"], found["official"]["patches"]) == (DISTINCT, DISTINCT), found
    ratios = [mine / theirs for mine, theirs in zip(ours, official, strict=True)]
    typical = statistics.median(official)
    rest = statistics.median(ours) - statistics.median(phase["in all"] for phase in phases)
    names = list(dict.fromkeys(name for phase in phases for name in phase))
    spent = {name: round(statistics.median(p.get(name, 0.0) for p in phases), 2) for name in names}
    return {
        "instance": row["instance_id"],
        "seconds": round(statistics.median(ours), 2),
        "official_seconds": round(typical, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_wanted": SINGLE,
        "many_seconds": round(many, 2),
        "many_official_seconds": round(COUNT * typical, 2),
        "many_ratio": round(many / (COUNT * typical), 3),
        "many_ratio_wanted": MANY,
        "spent": spent | {"start, imports, end": round(rest, 2)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dataset", type=Path, default=DATA / "swebench" / "verified-dev.jsonl.gz")
    parser.add_argument("--instance", default=KNOWN)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not engine_answers():
        raise SystemExit("no Docker engine answers: nothing was measured")
    rows = [row for row in (small(), known(asked.dataset, asked.instance)) if row is not None]
    found = []
    for row in rows:
        found.append(measure(row, asked.pairs))
        if not asked.json:
            show(found[-1])
    if asked.json:
        print(json.dumps({"pairs": asked.pairs, "instances": found}, indent=1))


def show(one: Mapping[str, Any]) -> None:
    print(f"{one['instance']} (medians; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)")
    for name, ours, theirs, ratio in (
        ("one patch", "seconds", "official_seconds", "ratio"),
        (f"{COUNT} candidates, {DISTINCT} distinct", "many_seconds", "many_official_seconds", "many_ratio"),
    ):
        print(
            f"  {name:28} fixbug {one[ours]:7.1f} s   swebench {one[theirs]:7.1f} s   "
            f"ratio {one[ratio]:.3f} (wanted: at most {one[f'{ratio}_wanted']})"
        )
    print("  fixbug's seconds: " + ", ".join(f"{name} {value}" for name, value in one["spent"].items()))


if __name__ == "__main__":
    main()
