"""Whether the scorer's verdicts are those that others came to: real patches, graded here, beside labels.

    python benchmarks/labels.py [--data FILE] [--candidates FILE] [--only IDS] [--each N] [--workers N]
    [--cache DIR] [--json OUT]

The data: rows with SWE-bench's columns, and patches of many systems for them with a column ``resolved`` that
says what was published of each; by default ``swebench/verified-dev.jsonl.gz`` and
``candidates/verified-dev.jsonl.gz`` below ``FIXBUG_DATA`` (by default ``../shared/data``). Every distinct
patch is graded as ``fixbug score`` does it, for those instances whose images are here already
(``benchmarks/images.py`` builds some); ``--each`` takes so many of each instance, labels of both kinds in
turn.

The table says by repository how many official verdicts are the label, and how many hardened ones the
official one; below it stands every patch for which they are not, and why. Grades are kept as ``fixbug score``
keeps them, so a run that was stopped goes on, and only what is new takes time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# before this directory, in which a script has a package's name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.scale.scoring.grades import GradeStore, default_folder
from agent.scale.scoring.grading import Graded, Grading, default_workers, grade, select
from agent.scale.scoring.predictions import Prediction, digest, read_predictions
from benchmarks.images import here

ROOT = Path(__file__).resolve().parents[1]
LISTED = 100
"""Lines of the list below the table."""

Labels = Mapping[tuple[str, str], Sequence[bool]]
"""(instance, digest of a patch) → what was published of it, once a system that proposed it."""


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON Lines."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def labels_of(path: Path) -> Labels:
    """What the file says of each distinct patch."""
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for entry in read(path):
        patch = entry.get("model_patch") or ""
        found[entry["instance_id"], digest(patch)].append(bool(entry["resolved"]))
    return found


def some(predictions: Sequence[Prediction], labels: Labels, each: int) -> list[Prediction]:
    """At most ``each`` (0: all) of each instance, those that are labelled resolved and the others in turn."""
    by_instance: dict[str, list[list[Prediction]]] = defaultdict(lambda: [[], []])
    for one in predictions:
        by_instance[one.instance_id][labels[one.instance_id, one.digest][0]].append(one)
    taken = []
    for queues in by_instance.values():
        turns = [one for n in range(len(predictions)) for queue in queues for one in queue[n : n + 1]]
        taken += turns[: each or None]
    return taken


def record(one: Graded, row: Mapping[str, Any], labels: Labels) -> dict[str, Any]:
    """A grade with its labels, and how it stands to them: ``agree``, ``disagree``, ``disputed``
    (labelled both ways) or ``failed`` (not graded)."""
    said = list(labels[one.prediction.instance_id, one.prediction.digest])
    found = {**one.to_json(), "repo": row["repo"], "labels": said}
    if one.status != "graded":
        return {**found, "is": "failed"}
    if len(set(said)) > 1:
        return {**found, "is": "disputed"}
    return {**found, "is": "agree" if one.official == said[0] else "disagree"}


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """By repository, and then each patch about which somebody says something else."""
    kinds = ("agree", "disagree", "disputed", "failed")
    columns = ("instances", "patches", "resolved", *kinds, "hardened differs")
    lines = [f"{'repository':<26}" + "".join(f"{name:>{len(name) + 2}}" for name in columns)]
    by_repo: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in records:
        by_repo[one["repo"]].append(one)
    for repo, own in [*sorted(by_repo.items()), ("all", list(records))]:
        counted = {
            "instances": len({one["instance_id"] for one in own}),
            "patches": len(own),
            "resolved": sum(one["labels"][0] for one in own),
            "hardened differs": sum(one.get("official") != one.get("hardened") for one in own),
            **{name: sum(one["is"] == name for one in own) for name in kinds},
        }
        lines.append(f"{repo:<26}" + "".join(f"{counted[name]:>{len(name) + 2}}" for name in columns))
    odd = [one for one in records if one["is"] != "agree" or one["official"] != one["hardened"]]
    return "\n".join([*lines, *(_line(one) for one in odd[:LISTED])])


def _line(one: Mapping[str, Any]) -> str:
    head = f"  {one['instance_id']} {one['patch_sha256'][:8]} ({', '.join(one['names'][:2])})"
    if one["is"] == "failed":
        return f"{head}: not graded: {one['error']['problem'].splitlines()[0]}"
    words = {True: "resolved", False: "not resolved"}
    said = " and ".join(words[label] for label in sorted(set(one["labels"])))
    text = f"{head}: labelled {said}, official {words[one['official']]}, hardened {words[one['hardened']]}"
    why = list(one["reasons"]) if one["official"] else [f"failed: {t}" for t in one["failed_tests"][:2]]
    if one["timed_out"]:
        why = ["the tests ran out of time"]
    elif not one["applied"]:
        why = ["the patch does not apply"]
    if one["official"] != one["hardened"] and one["removed"]:
        why.append(f"taken out: {', '.join(one['removed'][:3])}")
    return f"{text}; {'; '.join(why)}"[:400]


def main() -> int:
    """Grade, and print the table."""
    data = Path(os.environ.get("FIXBUG_DATA", ROOT / "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=data / "swebench/verified-dev.jsonl.gz")
    parser.add_argument("--candidates", type=Path, default=data / "candidates/verified-dev.jsonl.gz")
    parser.add_argument("--only", default="", help="parts of instance ids, with commas between")
    parser.add_argument("--each", type=int, default=0, metavar="N", help="patches of each instance; 0: all")
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--cache", type=Path, default=default_folder(), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    if not options.data.exists() or not options.candidates.exists():
        print(f"skipped: no {options.data} or no {options.candidates} (FIXBUG_DATA names their folder)")
        return 0
    parts = [part for part in options.only.split(",") if part]
    rows = [row for row in read(options.data) if not parts or any(p in row["instance_id"] for p in parts)]
    labels = labels_of(options.candidates)
    known = {instance for instance, _ in labels}
    rows = [row for row in here(rows) if row["instance_id"] in known]
    if not rows:
        print("skipped: no image of these instances is here (benchmarks/images.py --build N makes some)")
        return 0
    wanted = tuple(row["instance_id"] for row in sorted(rows, key=lambda row: len(row["PASS_TO_PASS"])))
    needed, predictions = select(rows, read_predictions(options.candidates), wanted)
    predictions = some(predictions, labels, options.each)
    predictions.sort(key=lambda one: wanted.index(one.instance_id))
    print(f"{len(predictions)} patches of {len(wanted)} instances", file=sys.stderr)
    records: list[dict[str, Any]] = []
    grading = Grading(GradeStore(options.cache), options.workers)
    for one in grade(needed, predictions, grading, lambda text, passing: None):
        records.append(record(one, needed[one.prediction.instance_id], labels))
        took = "known" if one.known else f"{one.grade['seconds']:.1f} s" if one.grade else "no answer"
        print(f"[{len(records)}/{len(predictions)}] {took}{_line(records[-1])}", file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print(table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
