"""Kills a batch at random moments, gives the same command again each time, and looks at what is there.

    python benchmarks/kills.py [--kills N] [--instances N] [--workers N] [--sandbox docker] [--json]

A scripted model on loopback settles each of 60 small tasks. ``kill -9`` hits the driver 30 times, each time a
random while after it has begun; then the batch is left to end. What must hold: as many attempts as instances,
each once; no attempt that had ended before a kill was touched again; every line of every trajectory is JSON,
with one beginning and one end; results.json says the same as an undisturbed batch's; no container, no
temporary sandbox and no half-written file is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this folder holds a sandbox.py

from tests.agent.scale.batch.batches import make_tasks, settle
from tests.openai_server import serve

ROOT = Path(__file__).resolve().parents[1]


def command(tasks: Path, url: str, runs: Path, args: argparse.Namespace) -> list[str]:
    image = ["--image", args.image] if args.image else []
    return [
        sys.executable, "-m", "agent", "bench", str(tasks), "--model", "scripted", "--base-url", url,
        "--world-model", "none", "--sandbox", args.sandbox, *image, "--workers", str(args.workers),
        "--run-dir", str(runs), "--json",
    ]  # fmt: skip


def start(line: Sequence[str], temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip


def ended(runs: Path) -> dict[str, str]:
    """Attempts that have ended: place → content."""
    return {str(path.relative_to(runs)): path.read_text() for path in runs.glob("*/*/*/attempt.json")}


def kill_often(args: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    names = [f"good-{number:02}" for number in range(args.instances)]
    tasks, runs, temporary = make_tasks(folder / "tasks", names), folder / "runs", folder / "tmp"
    temporary.mkdir()
    line = command(tasks, url, runs, args)
    chance = random.Random(args.seed)
    kills = touched = 0
    before: dict[str, str] = {}
    seen: list[int] = []
    while kills < args.kills:
        process = start(line, temporary)
        begun = time.monotonic()
        # Half of them at any moment, start-up included; the others once it is at work.
        at_work = chance.random() < 0.5
        while at_work and process.poll() is None and len(ended(runs)) <= len(before):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, args.within))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        now = ended(runs)
        touched += sum(now.get(place) != text for place, text in before.items())
        seen.append(len(now))
        before = now
        print(f"kill {kills}: after {time.monotonic() - begun:.1f} s, {len(now)} have ended", file=sys.stderr)
    process = start(line, temporary)
    output, _ = process.communicate()
    last = json.loads(output)
    now = ended(runs)
    touched += sum(now.get(place) != text for place, text in before.items())
    broken = [str(path) for path in runs.glob("*/*/*/*.jsonl") if not whole(path)]
    return {
        "kills": kills,
        "ended_at_each_kill": seen,
        "attempts": len(now),
        "resolved": last["resolved"],
        "in_results": sorted(f"{one['instance_id']}/{one['attempt']}" for one in last["by_attempt"])
        == [f"{name}/1" for name in names],
        "touched_again": touched,
        "broken_files": broken,
        "half_written": [str(path) for path in runs.rglob("*.part")],
        "temporary_left": [path.name for path in temporary.glob("fixbug-*")],
        "containers_left": containers() if args.sandbox == "docker" else 0,
        "exit_status": process.returncode,
    }


def whole(path: Path) -> bool:
    """Every line is a JSON object; a trajectory begins and ends, once."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except ValueError:
        return False
    kinds = [line.get("type") for line in lines]
    if path.name != "trajectory.jsonl":
        return True
    return (kinds[0], kinds[-1]) == ("session", "end") and kinds.count("session") == kinds.count("end") == 1


def containers() -> int:
    """Of ours, those whose owner is gone or is this batch."""
    from sandbox.docker import connect

    client = connect()
    try:
        found = client.containers.list(all=True, filters={"label": "fixbug.instance"})
        return sum(one.labels["fixbug.instance"].startswith("good-") for one in found)
    finally:
        client.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--instances", type=int, default=60)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--within", type=float, default=4.0, metavar="SECONDS")
    parser.add_argument("--sandbox", choices=["local", "docker"], default="local")
    parser.add_argument("--image", help="for --sandbox docker: one with Python and pytest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fixbug-kills-") as folder, serve(settle) as server:
        found = kill_often(args, Path(folder), server.base_url)
    good = (
        found["kills"] == args.kills
        and found["attempts"] == found["resolved"] == args.instances
        and found["in_results"]
        and not any(found[name] for name in ("touched_again", "broken_files", "half_written"))
        and not found["temporary_left"]
        and not found["containers_left"]
    )
    if args.json:
        print(json.dumps({**found, "good": good}, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:<20}{value}")
        print("all as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
