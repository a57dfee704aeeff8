"""How many SWE-bench rows build here and grade right: gold patch resolved, empty patch not.

    python benchmarks/images.py [--build N] [--data FILE] [--only IDS] [--seed N] [--log FILE]
    [--retry] [--min-free GB] [--json OUT]

The data: rows with SWE-bench's columns and ``environment``, ``environment_yml``; by default
``swebench/verified-dev.jsonl.gz`` below ``FIXBUG_DATA`` (by default ``../shared/data``). Each row's image is
had as ``fixbug`` has it (pulled where a registry answers, else built), and its own eval script is run twice,
unchanged, in fresh containers without a network. Without ``--build`` those rows are graded whose images are
here already. With it, N rows of each repository (0: all), spread over its versions, are built first: minutes
each, and hours for those with C extensions.

``--log`` is a line of JSON a row, appended as rows end: what is in it is not done again (``--retry``: unless
it failed), so a run that was stopped goes on. The table says for every miss why.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

# before this directory, in which a script has a package's name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox.docker import connect
from sandbox.environment import image_for_row
from sandbox.errors import FixbugError
from sandbox.rows import row_image
from sandbox.scoring import score_row

ROOT = Path(__file__).resolve().parents[1]


def chosen(rows: list[dict[str, Any]], per_repo: int, seed: int) -> list[dict[str, Any]]:
    """At most ``per_repo`` rows (0: all) of each repository, its versions in turn."""
    spread = random.Random(seed)
    by_repo: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_repo[row["repo"]][row["version"]].append(row)
    taken = []
    for repo in sorted(by_repo):
        queues = [spread.sample(queue, len(queue)) for _, queue in sorted(by_repo[repo].items())]
        turns = [row for turn in range(len(rows)) for queue in queues for row in queue[turn : turn + 1]]
        taken += turns[: per_repo or None]
    return taken


def here(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose image the engine has."""
    client = connect()
    try:
        names = {tag for image in client.images.list() for tag in image.tags}
    finally:
        client.close()
    return [row for row in rows if {row["image"], row_image(row)} & names]


def measure(row: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """One row: its image, both verdicts, the seconds that each took, and ``why`` where it is a miss."""
    out: dict[str, Any] = {name: row[name] for name in ("instance_id", "repo", "version")}
    began = time.monotonic()
    try:
        out["image"] = image_for_row(row, on_progress=say)
        out["build_seconds"] = round(time.monotonic() - began, 1)
        for kind, patch in (("gold", row["patch"]), ("empty", "")):
            score = score_row(row, patch, image=out["image"], harden=False)
            out[kind] = score.resolved
            out[f"{kind}_seconds"] = round(score.seconds, 1)
            if kind == "gold" and not score.resolved:
                out["failed"] = list(score.failed)
                out["tail"] = score.log[-3000:]
                out["why"] = (
                    f"{len(score.failed)} of {len(score.failed) + len(score.passed)} tests failed: "
                    + ", ".join(score.failed[:3])
                )
                if score.detail.get("timed_out"):
                    out["why"] = "the tests did not end in time"
            elif score.resolved and kind == "empty":
                out["why"] = "the empty patch is resolved"
    except FixbugError as error:
        out["why"] = error.problem
        out["build_seconds"] = out.get("build_seconds", round(time.monotonic() - began, 1))
    out["right"] = out.get("gold") is True and out.get("empty") is False
    return out


def table(done: list[dict[str, Any]]) -> str:
    """By repository: rows, images, right ones, median seconds; then every miss and its reason."""
    lines = ["repository                  rows  built  right  build s (median, most)"]
    by_repo: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in done:
        by_repo[record["repo"]].append(record)
    for repo, records in [*sorted(by_repo.items()), ("all", done)]:
        built = [record for record in records if "image" in record]
        seconds = sorted(record["build_seconds"] for record in built)
        shown = f"{seconds[len(seconds) // 2]:.0f}, {seconds[-1]:.0f}" if seconds else "-"
        right = sum(record["right"] for record in records)
        lines.append(f"{repo:<26} {len(records):>5} {len(built):>6} {right:>6}  {shown}")
    for record in done:
        if not record["right"]:
            first = next(iter(record.get("why", "?").strip().splitlines()), "?")
            lines.append(f"  {record['instance_id']}: {first[:200]}")
    return "\n".join(lines)


def main() -> None:
    data = Path(os.environ.get("FIXBUG_DATA", ROOT / "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=data / "swebench/verified-dev.jsonl.gz")
    parser.add_argument("--only", default="", help="parts of instance ids, with commas between")
    parser.add_argument("--build", type=int, metavar="N", help="rows of each repository; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, metavar="FILE")
    parser.add_argument("--retry", action="store_true", help="do again what is in the log and failed")
    parser.add_argument("--min-free", type=float, default=10, metavar="GB", help="stop below this free space")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    opener = gzip.open if options.data.suffix == ".gz" else open
    with opener(options.data, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    parts = [part for part in options.only.split(",") if part]
    if parts:
        rows = [row for row in rows if any(part in row["instance_id"] for part in parts)]
    rows = here(rows) if options.build is None else chosen(rows, options.build, options.seed)
    known: dict[str, dict[str, Any]] = {}
    if options.log and options.log.exists():
        for line in options.log.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            known[record["instance_id"]] = record
    done = []
    for number, row in enumerate(rows, 1):
        record = known.get(row["instance_id"])
        if record is None or (options.retry and not record["right"]):
            if shutil.disk_usage("/").free < options.min_free * 1e9:
                print(f"stopped: less than {options.min_free:g} GB free", file=sys.stderr)
                break
            record = measure(row, lambda text: print(f"    {text}", file=sys.stderr, flush=True))
            if options.log:
                with options.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
        said = "right" if record["right"] else record.get("why", "?").strip().splitlines()[0][:160]
        print(f"{number}/{len(rows)} {row['instance_id']}: {said}", file=sys.stderr, flush=True)
        done.append(record)
    print(table(done))
    if options.json:
        options.json.write_text(json.dumps({"rows": done}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
