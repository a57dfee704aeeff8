"""How many well-known projects build and run their own tests from their source release alone.

    python benchmarks/detection.py [NAME==VERSION …] [--all] [--log FILE] [--json OUT]

Each release is taken from the package index, unpacked, and given to ``fixbug env build --test`` as a path: no
settings, nothing about it is known here. Without arguments three of the list below are tried, with ``--all``
ten; they were chosen before any of them was tried. Peer: the same release's tests under today's Python and
packages (``--python`` of the machine, ``--as-of`` today), which is what one gets without looking at dates.

A project works when its tests run and at most one in twenty fails. ``--log`` is a line of JSON each: what
is in it is not done again.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tarfile
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# before this directory, in which a script has a package's name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.images import ImageAsked, build_image
from sandbox.errors import FixbugError
from sandbox.hostnet import files_on_index, read_url

PROJECTS = (
    "toolz==0.9.0", "Markdown==3.1", "h11==0.9.0", "pyparsing==2.4.7", "Werkzeug==2.0.0", "tomlkit==0.11.0",
    "structlog==23.1.0", "humanize==4.9.0", "packaging==24.0", "pluggy==1.5.0",
)  # fmt: skip
FEW = ("pluggy==1.5.0", "h11==0.9.0", "toolz==0.9.0")


def unpack(project: str, into: Path) -> Path:
    """The source release's files; where they lie."""
    name, _, version = project.partition("==")
    wanted = re.compile(rf"[\w.-]+-{re.escape(version)}\.(tar\.gz|zip)")
    found = next((file for file in files_on_index(name.lower()) if wanted.fullmatch(file.name)), None)
    if found is None:
        raise FixbugError(f"the index has no source release of {project}")
    data = io.BytesIO(read_url(found.url))
    if found.name.endswith(".zip"):
        with zipfile.ZipFile(data) as archive:
            archive.extractall(into)
    else:
        with tarfile.open(fileobj=data) as packed:
            packed.extractall(into, filter="data")
    return next(into.iterdir())


def counts(said: str) -> dict[str, int]:
    """``533 passed, 3 skipped in 9.71s`` → numbers by word."""
    found = re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)", said)
    return {word.removesuffix("s") if word == "errors" else word: int(number) for number, word in found}


def measure(project: str, *, today: bool) -> dict[str, Any]:
    """Build and test one: how many tests passed, and the notes; ``why`` where there is no image."""
    out: dict[str, Any] = {"project": project, "today": today}
    try:
        with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as folder:
            source = unpack(project, Path(folder))
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            how: dict[str, Any] = {"python": version, "as_of": datetime.now(UTC)} if today else {}
            asked = ImageAsked(str(source), test=True, **how)
            ready = build_image(asked, lambda text: print(f"    {text}", file=sys.stderr, flush=True))
    except FixbugError as error:
        return {**out, "why": error.problem, "works": False}
    assert ready.run is not None
    found = counts(ready.run.last_lines)
    bad = found.get("failed", 0) + found.get("error", 0)
    return {
        **out,
        "python": ready.python,
        "as_of": ready.as_of,
        "seconds": ready.seconds,
        "tests": found,
        "notes": ready.notes,
        "last_lines": ready.run.last_lines,
        "works": found.get("passed", 0) > 0 and bad * 20 <= bad + found["passed"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("projects", nargs="*", metavar="NAME==VERSION")
    parser.add_argument("--all", action="store_true", help="all ten")
    parser.add_argument("--log", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    projects = options.projects or (PROJECTS if options.all else FEW)
    done: dict[tuple[str, bool], dict[str, Any]] = {}
    if options.log and options.log.exists():
        for line in options.log.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            done[record["project"], record["today"]] = record
    for project in projects:
        for today in (False, True):
            if (project, today) not in done:
                done[project, today] = measure(project, today=today)
                if options.log:
                    with options.log.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(done[project, today]) + "\n")
    shown = [done[project, today] for today in (False, True) for project in projects]
    print("project               python  as of        passed  failed  works   without dates")
    for project in projects:
        record, plain = done[project, False], done[project, True]
        tests = record.get("tests", {})
        bad = tests.get("failed", 0) + tests.get("error", 0)
        print(
            f"{project:<21} {record.get('python', '-'):<7} {record.get('as_of', '-'):<12} "
            f"{tests.get('passed', 0):>6}  {bad:>6}  {'yes' if record['works'] else 'no':<6}  "
            f"{'yes' if plain['works'] else 'no'}"
        )
        for note in record.get("notes", ()):
            print(f"    {note}")
        if "why" in record:
            print(f"    {record['why'].splitlines()[0]}")
    works = [sum(record["works"] for record in shown if record["today"] == today) for today in (False, True)]
    print(f"work: {works[0]} of {len(projects)}; with today's Python and packages: {works[1]}")
    if options.json:
        options.json.write_text(json.dumps({"projects": shown}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
