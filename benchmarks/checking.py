"""What checking finds in predicted traces without running the program, and how often it cries wolf.

    python benchmarks/checking.py [--data FOLDER] [--json OUT] [--show]

Two measurements on the data below ``FIXBUG_DATA`` (by default ``../shared/data``):

- wrong predictions: real traces of a Code World Model (``traces/*.jsonl.gz``: ``prompt``,
  ``model_output``, ``root_cause``). Those cut by the token limit must come out unknown, those marked
  ``data_bug`` unflagged; of the rest, how many are flagged, and in how many is the first wrong frame that is
  named the first that differs from what really happens;
- true traces: the functions of CRUXEval (``cruxeval/functions*.jsonl.gz``: ``code``, ``input``), recorded
  and written as if predicted, in the token format and with the tokens stripped. None should be flagged.

What really happens is recorded in a child process without this one's environment, with limits on time
and memory, by the interpreter that runs this. Python 3.12 inlines comprehensions, which the recorded
model does not know: use 3.11 for the first measurement.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agent.world.checking.check import check  # noqa: E402
from agent.world.compare import same_value  # noqa: E402
from agent.world.cwm import MARKER, context_of, read_cwm, render_cwm, stripped_of_tokens  # noqa: E402
from agent.world.flow import Program  # noqa: E402
from agent.world.trace import Frame, Trace, states  # noqa: E402

CLOSING = "\n\nNow let us analyze the trace."

RECORDER = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
source = sys.stdin.read()
rows, numbers, keep = [], {}, []
def text(value):
    try:
        return repr(value)
    except Exception:
        return "<%s>" % type(value).__name__
def follow(frame, event, argument):
    if frame.f_code.co_filename != "<traced>" or frame.f_code.co_name == "<module>" or len(rows) > 5000:
        return None
    if id(frame) not in numbers:
        keep.append(frame)
        numbers[id(frame)] = len(numbers)
    name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
    state = {k: text(v) for k, v in frame.f_locals.items()} if event in ("call", "line") else {}
    value = text(argument) if event == "return" else text(argument[1]) if event == "exception" else None
    rows.append([event, name, frame.f_lineno, numbers[id(frame)], state, value])
    return follow
names = {"__name__": "traced"}
exec(compile(source, "<traced>", "exec"), names)
sys.settrace(follow)
try:
    names["main"]()
except BaseException:
    pass
sys.settrace(None)
sys.__stdout__.write("\\n" + json.dumps(rows))
"""


def record(source: str, path: str) -> Trace | None:
    """The true trace of ``main()`` in a source; None where it cannot be recorded."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-I", "-c", RECORDER], input=source, capture_output=True, text=True,
                timeout=20, env={"PYTHONHASHSEED": "0"}, cwd=folder,
            )  # fmt: skip
        rows = json.loads(done.stdout.rsplit("\n", 1)[-1])
    except (subprocess.TimeoutExpired, ValueError):
        return None
    frames: list[Frame] = []
    before: dict[int, dict[str, str]] = {}
    visits: dict[int, int] = {}
    count: dict[str, int] = {}
    stack: list[int] = []
    for event, name, line, number, state, value in rows:
        if number not in visits:
            visits[number] = count[name] = count.get(name, 0) + 1
        changes: dict[str, str | None] = {}
        if event in ("call", "line"):
            old: dict[str, str] = {} if event == "call" else before[number]
            changes = {k: v for k, v in state.items() if old.get(k) != v} | dict.fromkeys(
                set(old) - set(state)
            )
            before[number] = state
        if event == "call":
            stack.append(number)
        frames.append(Frame(event, name, path, line, len(stack) - 1, 1, visits[number], changes, value))
        if event == "return":
            stack.pop()
    return Trace(tuple(frames))


def first_difference(predicted: Trace, true: Trace) -> int | None:
    """Index of the first predicted frame that differs from what happens.

    A comprehension's ``.0`` is left out: the names of iterators' types change between versions of Python.
    """
    pairs = zip(predicted.frames, states(predicted.frames), true.frames, states(true.frames), strict=False)
    for index, (mine, state, seen, actual) in enumerate(pairs):
        state.pop(".0", None), actual.pop(".0", None)
        same = (mine.event, mine.line) == (seen.event, seen.line) and state.keys() == actual.keys()
        if not same or any(same_value(value, actual[name]) is False for name, value in state.items()):
            return index
        if mine.value is not None and seen.value is not None and same_value(mine.value, seen.value) is False:
            return index
    longer = len(predicted.frames) != len(true.frames)
    return min(len(predicted.frames), len(true.frames)) if longer else None


def predictions(path: Path) -> Iterator[dict[str, Any]]:
    """One result a real prediction."""
    for row in _rows(path):
        source = context_of(row["prompt"])
        program = Program(source, "solution.py")
        began = time.monotonic()
        reading = read_cwm(row["model_output"], program, answer_expected="[ANSWER]" in row["prompt"])
        checked = check(reading.trace, program, complete=reading.complete, strange=reading.strange)
        seconds = time.monotonic() - began
        true = record(source, "solution.py")
        first = first_difference(reading.trace, true) if true else None
        cause = row["root_cause"][0]
        kind = cause if cause in ("truncation", "data_bug") else "wrong"
        yield {
            "id": row["id"], "kind": kind, "cause": cause, "verdict": checked.verdict,
            "frames": len(reading.trace.frames), "found": checked.first.index if checked.first else None,
            "true": first, "seconds": round(seconds, 4), "says": checked.first.text if checked.first else "",
        }  # fmt: skip


def truths(path: Path) -> Iterator[dict[str, Any]]:
    """One result a true trace, written as if predicted."""
    for row in _rows(path):
        source = f"{row['code']}\n\ndef main(): {MARKER}\n    return f({row['input']})\n"
        program = Program(source, "solution.py")
        true = record(source, "solution.py")
        if true is None or not true.frames:
            yield {"id": row["id"], "frames": 0, "flags": []}
            continue
        text = render_cwm(true, program)
        flags = []
        for name, written in (("tokens", text), ("stripped", stripped_of_tokens(text) + CLOSING)):
            reading = read_cwm(written, program)
            checked = check(reading.trace, program, complete=reading.complete, strange=reading.strange)
            if checked.first or not reading.complete:
                flags.append(f"{name}: {checked.first.text if checked.first else 'read as cut'}")
        yield {"id": row["id"], "frames": len(true.frames), "flags": flags}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FIXBUG_DATA", ROOT / "../shared/data"))
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--show", action="store_true", help="one line a trace")
    options = parser.parse_args()
    traces = sorted(options.data.glob("traces/*.jsonl.gz"))
    functions = sorted(options.data.glob("cruxeval/functions*.jsonl.gz"))
    if not traces and not functions:
        print(f"skipped: no traces/ and no cruxeval/ below {options.data} (FIXBUG_DATA names the folder)")
        return 0
    predicted = [result for path in traces for result in predictions(path)]
    if options.show:
        for r in predicted:
            where = f"found {r['found']} true {r['true']}"
            print(f"{r['id']:<20} {r['cause']:<24.24} {r['verdict']:<10} {where}  {r['says']}")
    for kind, wanted in (("truncation", "unknown"), ("data_bug", "consistent"), ("wrong", "wrong")):
        mine = [r for r in predicted if r["kind"] == kind]
        right = sum(r["verdict"] == wanted for r in mine)
        print(f"{kind:<11} {right:>3} of {len(mine):>3} come out {wanted}")
    flagged = [r for r in predicted if r["kind"] == "wrong" and r["verdict"] == "wrong"]
    named = sum(r["found"] == r["true"] for r in flagged)
    print(f"{'':<11} {named:>3} of {len(flagged):>3} name the first wrong frame")
    true = [result for path in functions for result in truths(path)]
    recorded = [r for r in true if r["frames"]]
    false = [r for r in recorded if r["flags"]]
    if options.show:
        for r in false:
            print(r["id"], r["flags"])
    lost = len(true) - len(recorded)
    print(f"true traces {len(false):>3} of {len(recorded):>3} flagged ({lost} not recorded)")
    if options.json:
        options.json.write_text(json.dumps({"predicted": predicted, "true": true}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
