"""How many small bugs ``fixbug --model offline`` fixes, and how many wrong patches it claims.

    python benchmarks/repair.py [--data FILE] [--limit N] [--only IDS] [--workers N] [--seconds S]
    [--sandbox local|docker] [--json OUT]

The data: rows with HumanEvalFix's columns ``task_id``, ``prompt``, ``buggy_solution``, ``example_test``,
``test``, ``entry_point`` and ``text``; by default ``bugs/*.jsonl.gz`` below ``FIXBUG_DATA`` (by default
``../shared/data``). Each bug is laid out as a user would have it, and the real command runs on it::

    issue.md  hidden.py  repository/{solution.py, test_visible.py}

The hidden test scores the patch in the end; the search never sees it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHOWN = {
    "verified": "fixed",
    "not_fixed": "WRONG",
    "no_patch": "none",
    "refused": "refused",
    "error": "ERROR",
}
USAGE = 2
"""The command's exit status for a test that shows no bug; another without an outcome: the environment."""


def lay_out(row: dict[str, Any], folder: Path) -> None:
    """What a user with this bug would have."""
    repository = folder / "repository"
    repository.mkdir()
    entry = row["entry_point"]
    (repository / "solution.py").write_text(row["prompt"] + row["buggy_solution"], encoding="utf-8")
    visible = f"from solution import {entry}\n\n\n{row['example_test']}"
    (repository / "test_visible.py").write_text(visible, encoding="utf-8")
    (folder / "hidden.py").write_text(f"from solution import *\n{row['test']}\n", encoding="utf-8")
    issue = f"# `{entry}` gives a wrong result\n\n{row['text']}\n"
    (folder / "issue.md").write_text(issue, encoding="utf-8")


def repair(row: dict[str, Any], seconds: float, sandbox: str) -> dict[str, Any]:
    """One run of the command: ``status`` (``refused``: the test shows no bug; ``error``: the environment
    failed, which says nothing of the search) and what it cost."""
    out: dict[str, Any] = {"task_id": row["task_id"]}
    with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as name:
        folder = Path(name)
        lay_out(row, folder)
        command = [
            sys.executable, "-m", "agent", "--issue", "issue.md", "--repo", "repository",
            "--test", "test_visible.py", "--hidden-tests", "hidden.py", "--model", "offline",
            "--budget-seconds", f"{seconds:g}", "--sandbox", sandbox, "--json",
        ]  # fmt: skip
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        began = time.monotonic()
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        out["seconds"] = round(time.monotonic() - began, 2)
    try:
        outcome = json.loads(ran.stdout)
        outcome["patch"]
    except (ValueError, KeyError):
        status = "refused" if ran.returncode == USAGE else "error"
        return out | {"status": status, "why": " ".join(ran.stderr.split())[-300:]}
    return out | {
        "status": outcome["status"],
        "patch": outcome["patch"],
        "why": outcome["proposer"]["summary"],
    }


def rows_of(asked: argparse.Namespace) -> list[dict[str, Any]]:
    found = sorted(
        (Path(os.environ.get("FIXBUG_DATA", ROOT.parent / "shared/data")) / "bugs").glob("*.jsonl.gz")
    )
    path = asked.data or (found[0] if found else None)
    if path is None:
        print(
            "skipped: no bugs to repair. Set FIXBUG_DATA, or name a file of HumanEvalFix's rows with --data."
        )
        raise SystemExit(0)
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    if asked.only:
        rows = [row for row in rows if row["task_id"] in asked.only.split(",")]
    return rows[: asked.limit]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only", help="task ids, comma separated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=90.0, help="budget of each attempt (default: 90)")
    parser.add_argument("--sandbox", default="local", choices=("local", "docker"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = rows_of(asked)
    began = time.monotonic()
    results = []
    with ThreadPoolExecutor(asked.workers) as pool:
        for out in pool.map(lambda row: repair(row, asked.seconds, asked.sandbox), rows):
            results.append(out)
            print(
                f"{out['task_id']:12} {SHOWN[out['status']]:8} {out['seconds']:6.1f} s  {out['why']}",
                flush=True,
            )
    counts = Counter(out["status"] for out in results)
    total = sum(out["seconds"] for out in results)
    print(
        f"\n{len(results)} bugs: {counts['verified']} fixed by the hidden test, "
        f"{counts['not_fixed']} wrong patches claimed, {counts['no_patch']} without a patch, "
        f"{counts['refused']} refused, {counts['error']} errors; {total:.0f} s of attempts, "
        f"{time.monotonic() - began:.0f} s on the clock with {asked.workers} workers"
    )
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
