"""How many real tests are blind, how many of their assertions are judged, and whether rightly.

    python benchmarks/blindness.py [--data FOLDER] [--repositories FOLDER] [--every N] [--json OUT] [--show]

Two measurements on the data below ``FIXBUG_DATA`` (by default ``../shared/data``):

- small programs (``bugs/*.jsonl.gz``, HumanEvalFix's columns): ``test`` and ``example_test`` of each
  function, each as a pytest test, run as it is and instrumented, in the local sandbox, on the buggy and the
  fixed function. The instrumented one should end as the original does; the harness, from what was recorded,
  should never say that a passing run is broken, or that a failing one holds;
- with ``--repositories``, instead, real tests (``swebench/verified*.jsonl.gz``, SWE-bench's columns): up to
  five of each instance's FAIL_TO_PASS, in their files at the base commit with the test patch. Nothing of
  them runs: the texts should parse, and no statement move. The folder holds clones or git directories with
  the base commits, called ``owner+name`` or ``owner/name``; other instances are left out.

A test is blind where nothing that it expects stays in sight (``ProbedTest.unmasked``).
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agent.intake.git import GitFailed, git  # noqa: E402
from agent.world.intent import evaluate, from_probes  # noqa: E402
from agent.world.questions.probes import ProbedTest, probe_test  # noqa: E402
from agent.world.trace import Frame, Outcome, Trace, read_trace  # noqa: E402
from sandbox import SandboxSpec, open_sandbox  # noqa: E402
from sandbox.testing import run_tests, trace_test  # noqa: E402

EACH = 5
"""So many tests of an instance: some have hundreds, much alike."""
BATCH = 20
"""So many small programs in one sandbox."""
CLOCK = """
import signal
import pytest

def expired(number, frame):
    raise TimeoutError

@pytest.fixture(autouse=True)
def clock():
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(10)
    yield
    signal.alarm(0)
"""
"""A buggy function may not end: after so long its test fails."""

Result = dict[str, Any]
say = partial(print, file=sys.stderr, flush=True)


def described(probed: ProbedTest) -> Result:
    """What is said of a test without running it."""
    return {
        "test": probed.test,
        "broken": not probed.blind,
        "moved": bool(probed.blind) and _moved(probed),
        "assertions": len(probed.assertions),
        "judged": sum(bool(a.predicate) for a in probed.assertions),
        "unmasked": list(probed.unmasked),
        "unjudged": list(probed.unjudged),
    }


def _moved(probed: ProbedTest) -> bool:
    """Whether a statement stands on another line than in the test: instrumented, all are there; of the blind
    text's, each begins where one does."""
    source, blind, run = (
        [(n.lineno, type(n)) for n in ast.walk(ast.parse(text.removeprefix("\ufeff"))) if _is_statement(n)]
        for text in (probed.source, probed.blind, probed.transparent)
    )
    lines = {line for line, _ in source}
    return run != source or not {line for line, _ in blind} <= lines


def _is_statement(node: ast.AST) -> bool:
    return isinstance(node, ast.stmt)


# -- small programs


def small_programs(rows: list[Result]) -> Iterator[Result]:
    """One result a test. ``runs``: on which code, how it ended, how instrumented, and what is judged."""
    for first in range(0, len(rows), BATCH):
        say(f"{first} of {len(rows)} programs")
        with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as name:
            folder = Path(name)
            (folder / "conftest.py").write_text(CLOCK, encoding="utf-8")
            made: dict[str, Result] = {}
            tests: dict[str, tuple[str, str, ProbedTest]] = {}
            for row in rows[first : first + BATCH]:
                for path, kind, code in _lay_out(row, folder):
                    source = (folder / path).read_text(encoding="utf-8")
                    probed = probe_test(path, source, f"{path}::test_it")
                    tests[path] = f"{row['task_id']} {kind}", code, probed
                    made.setdefault(tests[path][0], described(probed) | {"id": row["task_id"], "runs": []})
            git("init", "--quiet", cwd=folder)
            with open_sandbox(SandboxSpec(kind="local", source=folder)) as box:
                before = {case.id: case.outcome for case in run_tests(box, ["."], timeout=600).cases}
                instrumented = {path: probed.transparent for path, (_, _, probed) in tests.items()}
                traced = trace_test(
                    box, ".", functions={}, runs=1, replace=instrumented, timeout=600, max_frames=1_000_000
                )  # fmt: skip
        after = {case.id: case.outcome for case in traced.runs[0].cases}
        frames: dict[str, list[Frame]] = {}
        for frame in read_trace(traced.trace).frames:
            frames.setdefault(frame.file, []).append(frame)
        for path, (name, code, probed) in tests.items():
            ended = after.get(probed.test)
            judged = _judged(probed, frames.get(path, []), passed=ended == "passed")
            made[name]["runs"].append(
                {"code": code, "before": before.get(probed.test), "after": ended, "judged": judged}
            )
        yield from made.values()


def _lay_out(row: Result, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Write the programs and their tests; path of a test, which it is, and which code it is about."""
    name = re.sub(r"\W", "_", row["task_id"]).lower()
    call = f"check({row['entry_point']})"
    for code, body in (("buggy", row["buggy_solution"]), ("fixed", row["canonical_solution"])):
        (folder / f"{code}_{name}.py").write_text(row["prompt"] + body, encoding="utf-8")
        for kind in ("test", "example_test"):
            text = row[kind].rstrip()
            if text.endswith(call):  # four have no example
                path = f"test_{code}_{name}_{kind}.py"
                text = f"{text.removesuffix(call)}\n\ndef test_it():\n    {call}\n"
                (folder / path).write_text(f"from {code}_{name} import *\n{text}", encoding="utf-8")
                yield path, kind, code


def _judged(probed: ProbedTest, frames: list[Frame], *, passed: bool) -> str:
    """What the harness says of the assertions alone, from what was recorded of a run."""
    trace = Trace(tuple(frames), outcomes=(Outcome(1, "passed" if passed else "failed"),))
    said = {evaluate(expectation, trace, 1) for expectation in from_probes(probed)}
    return "broken" if "broken" in said else "holds" if said == {"holds"} else "unknown"


# -- real tests


def real_tests(rows: list[Result], repositories: Path) -> Iterator[Result]:
    """One result a test, or one with ``lost`` for an instance of which none is found."""
    for number, row in enumerate(rows, 1):
        say(f"{row['instance_id']} ({number} of {len(rows)})")
        found: list[Result] = []
        with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as name:
            try:
                files = Files(row, directory_of(repositories, row["repo"]) or repositories, Path(name))
                for node in located(row, files)[:EACH]:
                    path = node.partition("::")[0]
                    around = [files.text(f"{folder}/conftest.py") for folder in PurePosixPath(path).parents]
                    probed = probe_test(path, files.text(path) or "", node, [text for text in around if text])
                    found.append(described(probed) | {"id": row["instance_id"]})
            except GitFailed as error:
                say(f"  {error.message.strip()}")
        yield from found or [{"id": row["instance_id"], "lost": True}]


class Files:
    """The files of an instance at its base commit, with the test patch."""

    def __init__(self, row: Result, repository: Path, folder: Path) -> None:
        self.repository, self.folder, self.commit = repository, folder, row["base_commit"]
        patch: str = row["test_patch"]
        self.patched = re.findall(r"^\+\+\+ b/(.+\.py)\s*$", patch, re.MULTILINE)
        for path in re.findall(r"^--- a/(.+\.py)\s*$", patch, re.MULTILINE):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(
                self._blob(path), encoding="utf-8", errors="surrogateescape", newline=""
            )
        git("init", "--quiet", cwd=folder)
        if self.patched:
            git("apply", *(f"--include={path}" for path in self.patched), cwd=folder, stdin=patch)

    def text(self, path: str) -> str:
        """A file's text; empty where there is none."""
        file = self.folder / path
        if file.is_file():
            return file.read_text(encoding="utf-8", errors="surrogateescape")
        try:
            return self._blob(path)
        except GitFailed:
            return ""

    def _blob(self, path: str) -> str:
        return git("cat-file", "blob", f"{self.commit}:{path.removeprefix('./')}", cwd=self.repository)


def located(row: Result, files: Files) -> list[str]:
    """Node ids of the FAIL_TO_PASS tests, one a function: pytest's own, Django's ``test (module.Class)``, or
    a bare name in a file of the test patch. Django's docstrings in place of names are left out."""
    listed = row["FAIL_TO_PASS"]
    found: dict[str, str] = {}
    for label in json.loads(listed) if isinstance(listed, str) else listed:
        django = re.fullmatch(r"(\w+) \(([\w.]+)\)", label)
        if django:
            *module, owner = django[2].removesuffix(f".{django[1]}").split(".")
            node = f"tests/{'/'.join(module)}.py::{owner}::{django[1]}"
        elif re.fullmatch(r"\w+", label):
            node = next((f"{p}::{label}" for p in files.patched if f"def {label}(" in files.text(p)), "")
        else:
            node = label
        path, _, name = node.partition("[")[0].partition("::")
        if name and f"def {name.split('::')[-1]}(" in files.text(path):
            found.setdefault(f"{path}::{name}", node)
    return list(found.values())


def directory_of(repositories: Path, name: str) -> Path | None:
    """Where a repository is, if it is there."""
    places = (repositories / name.replace("/", "+"), repositories / name)
    return next((place for place in places if place.is_dir()), None)


# -- tables


def print_static(results: list[Result]) -> None:
    """What holds without running."""
    tests = [r for r in results if "lost" not in r]
    blind = sum(not r["unmasked"] for r in tests)
    print(f"{len(tests):>7} tests of {len({r['id'] for r in tests})} bugs")
    broken, moved = sum(r["broken"] for r in tests), sum(r["moved"] for r in tests)
    print(f"  {broken:>5} texts broken, {moved} with a moved statement")
    print(
        f"  {sum(r['judged'] for r in tests):>5} of {sum(r['assertions'] for r in tests)} assertions judged"
    )
    print(f"  {blind:>5} of {len(tests)} tests blind")
    reasons = Counter(kind for r in tests for kind in {_kind(text) for text in r["unmasked"]})
    for kind, count in reasons.most_common(10):
        print(f"  {count:>9}  {kind}")
    if len(tests) < len(results):
        print(f"  {len(results) - len(tests):>5} instances without a test that is found")


def _kind(reason: str) -> str:
    return re.sub(r"`.*`", "`...`", re.sub(r"^line \d+: ", "", reason), flags=re.DOTALL)


def print_runs(results: list[Result]) -> None:
    """What came of running."""
    runs = [run for r in results for run in r["runs"]]
    same = sum(run["before"] is not None and run["before"] == run["after"] for run in runs)
    print(f"  {same:>5} of {len(runs)} runs end as the original's")
    for ended in ("passed", "failed"):
        mine = Counter(run["judged"] for run in runs if run["before"] == ended)
        told = ", ".join(f"{mine[judged]} {judged}" for judged in ("holds", "broken", "unknown"))
        print(f"  {mine.total():>5} runs that {ended}: {told}")


def rows_of(folder: Path, pattern: str) -> list[Result]:
    """The rows of the data's files."""
    rows = []
    for path in sorted(folder.glob(pattern)):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return rows


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FIXBUG_DATA", ROOT / "../shared/data"))
    )
    parser.add_argument("--repositories", type=Path, metavar="FOLDER")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth row (default: 1)")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--show", action="store_true", help="one line for each reason not to be blind")
    options = parser.parse_args()
    if options.repositories is None:
        rows = rows_of(options.data, "bugs/*.jsonl.gz")[:: options.every]
        results = list(small_programs(rows))
    else:
        known = rows_of(options.data, "swebench/verified*.jsonl.gz")
        rows = [r for r in known if directory_of(options.repositories, r["repo"])][:: options.every]
        results = list(real_tests(rows, options.repositories))
    if not rows:
        print(f"skipped: no rows of it below {options.data} (FIXBUG_DATA), or none of their repositories")
        return 0
    print_static(results)
    if options.repositories is None:
        print_runs(results)
    if options.show:
        for result in results:
            for reason in result.get("unmasked", ()):
                print(f"{result['id']} {result['test']} {reason}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
