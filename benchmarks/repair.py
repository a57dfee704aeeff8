"""How many small bugs the offline proposer fixes, and how many wrong patches it claims.

    python benchmarks/repair.py --data humanevalfix.jsonl.gz [--limit N] [--workers N] [--seconds S]
    [--json OUT]

The data: rows in HumanEvalFix's columns (``declaration``, ``prompt``, ``buggy_solution``,
``example_test``, ``test``, ``entry_point``,
``docstring``). Each bug becomes a git repository of ``solution.py``, the visible ``example_test`` and
``issue.md``; the search runs in a local sandbox; ``test``, which it never sees, scores the first candidate.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from agent.offline import Budget, Search
from sandbox import Sandbox, SandboxSpec, open_sandbox
from sandbox.errors import FixbugError

DEPTH = 10
"""How far down the ranking a correct patch is looked for (only the first one counts)."""


def prepare(row: dict[str, Any], folder: Path) -> None:
    """The repository that a user with this bug would have."""
    entry = row["entry_point"]
    (folder / "solution.py").write_text(row["prompt"] + row["buggy_solution"], encoding="utf-8")
    test = f"from solution import {entry}\n\n\n{row['example_test']}"
    (folder / "test_example.py").write_text(test, encoding="utf-8")
    issue = f"# `{entry}` gives a wrong result\n\n{row['docstring']}\n"
    (folder / "issue.md").write_text(issue, encoding="utf-8")
    who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "a bug"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def scores(sandbox: Sandbox, row: dict[str, Any], patch: str) -> bool:
    """Whether the patched solution passes the hidden test."""
    sandbox.apply(patch)
    hidden = f"{sandbox.scratch}/hidden_test.py"
    sandbox.write(hidden, f"from solution import *\n{row['test']}\n".encode())
    code = "import runpy, sys; sys.path.insert(0, '.'); runpy.run_path(sys.argv[1], run_name='__main__')"
    ran = sandbox.run(f'python -c "{code}" {hidden}', timeout=20)
    sandbox.run(f"rm {hidden}")
    sandbox.reset()
    return ran.ok


def repair(job: tuple[dict[str, Any], float, int]) -> dict[str, Any]:
    row, seconds, jobs = job
    out: dict[str, Any] = {"task_id": row["task_id"], "plausible": False, "correct": False}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as folder:
        prepare(row, Path(folder))
        with open_sandbox(SandboxSpec(kind="local", source=Path(folder), python=sys.executable)) as sandbox:
            issue = (Path(folder) / "issue.md").read_text(encoding="utf-8")
            search = Search(
                sandbox, ["test_example.py"], prose=issue, budget=Budget(seconds=seconds), jobs=jobs
            )
            found = []
            try:
                found = list(search)
            except FixbugError as error:
                out["note"] = error.problem
            report = search.report
            out |= {"tried": report.tried, "generated": report.generated, "candidates": len(found)}
            out["seconds"] = round(time.monotonic() - began, 2)
            if found:
                out["plausible"] = True
                out["patch"], out["how"] = found[0].patch, found[0].description
                out["confidence"] = found[0].confidence
                verdicts = [scores(sandbox, row, c.patch) for c in found[:DEPTH]]
                out["correct"] = verdicts[0]
                out["first_correct_rank"] = verdicts.index(True) + 1 if any(verdicts) else None
                if any(verdicts):
                    out["correct_how"] = found[verdicts.index(True)].description
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only", help="task ids, comma separated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with gzip.open(asked.data, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    if asked.only:
        rows = [r for r in rows if r["task_id"] in asked.only.split(",")]
    rows = rows[: asked.limit]
    results = []
    began = time.monotonic()
    with ProcessPoolExecutor(asked.workers) as pool:
        for out in pool.map(repair, [(row, asked.seconds, 1) for row in rows]):
            results.append(out)
            state = "fixed" if out["correct"] else "WRONG" if out["plausible"] else "none"
            detail = out.get("note") or out.get("how", "")
            print(
                f"{out['task_id']:12} {state:6} {out.get('seconds', 0):6.1f} s {out['tried']:6} tried "
                f"{out.get('candidates', 0):4} pass  right at {out.get('first_correct_rank')}  {detail}",
                flush=True,
            )
    plausible = sum(r["plausible"] for r in results)
    correct = sum(r["correct"] for r in results)
    total = sum(r.get("seconds", 0) for r in results)
    tried = sum(r["tried"] for r in results)
    print(
        f"\n{len(results)} bugs: {plausible} plausible, {correct} correct by the hidden test, "
        f"{plausible - correct} wrong patches claimed, {len(results) - plausible} not found\n"
        f"{tried} candidates tried, {total:.0f} s of search ({tried / max(total, 1e-9):.0f} a second), "
        f"{time.monotonic() - began:.0f} s on the clock with {asked.workers} workers"
    )
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
