"""What it costs to record a program line by line: fixbug's tracer beside PySnooper, hunter, and
``sys.settrace`` with ``repr(locals())``.

    python benchmarks/tracer.py [--python 3.12 ...] [--only hot ...] [--pairs N] [--quick] [--json]

On every Python from 3.6 to 3.13 found on PATH or in pyenv, in one run: each repetition does the same
work untraced and under every tracer in turn, and ratios are taken within a repetition; medians are shown.
Costs are user CPU time over the untraced run, per line event. The peers, jinja2 and pytest are installed
with pip into a temporary environment; what cannot be had is skipped, and said.

    hot     a loop over integers; short, so fifteen times as often
    rich    jinja2's lexer and parser read a page of 160 lines: lists of tokens and nodes, long texts,
            objects in objects, a call every five lines
    pytest  user CPU of a whole pytest process that follows two functions up to the event cap, over that of
            the same process untraced
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ has a sandbox.py of its own

from sandbox.inside import START, sources

ROOT = Path(__file__).resolve().parents[1]
TRACER = ROOT / "sandbox" / "tracer.py"
MINORS = range(6, 14)
KINDS = ("hot", "rich", "pytest")
PEERS = {"repr": "settrace + repr(locals())", "pysnooper": "PySnooper", "hunter": "hunter"}
TARGETS = {
    ("hot", "repr"): 1.4,
    ("rich", "repr"): 5,
    **{(kind, "pysnooper"): 12 for kind in ("hot", "rich")},
    **{(kind, "hunter"): 20 for kind in ("hot", "rich")},
}
BYTES, PYTEST_NEW, PYTEST_OLD = 15, 1.10, 2.5

HOT = """\
def hot(n):
    total = 0
    seen = 1
    for i in range(n):
        step = i * 2
        if step % 3:
            total += step
        else:
            seen += total % 7
    return total
"""

TEMPLATE = """\
{% macro field(name, value="", size=20) %}<input name="{{ name }}" value="{{ value|e }}">{% endmacro %}
<html><head><title>{{ title|default("People")|upper }}</title></head><body class="{{ theme or 'light' }}">
{% for user in users if user.age > 17 and not user.hidden %}
  {% if loop.first %}<ul id="{{ "u-" ~ loop.length }}">{% elif loop.index is divisibleby(2) %}<hr>{% endif %}
  <li class="{{ "odd" if loop.index % 2 else "even" }}">
    <a href="/people/{{ user.name|lower|trim }}?page={{ page|default(0) + 1 }}">{{ user.name }}</a>
    {{ user.name|upper ~ ", " ~ user["mail"]|default("none", true) }} {{ (1 + 2) * user.age // 3 }}
    {% set note = {"a": [1, 2, user.x], "b": (user.y, none)} %}{{ field("note", note.a[0], size=30) }}
    {% for key, value in note|dictsort %}
      {% if value is sequence and value|length > 1 %}<b>{{ key }}: {{ value|join(", ") }}</b>
      {% elif value is none or value == 0 %}<i>{{ key }}</i>{% else %}{{ field(key, value) }}{% endif %}
    {% endfor %}
  </li>
{% else %}<p>Nobody: {{ users|length }} of {{ (users|map(attribute="age")|list)[:3] }} are grown up.</p>
{% endfor %}
</body></html>
"""

TESTS = """\
import os

import jinja2
import pytest

with open(os.path.join(os.path.dirname(__file__), "short.html")) as file:
    TEMPLATE = file.read()


@pytest.mark.parametrize("n", range(20))
def test_template(n):
    users = [{"name": "a", "mail": "b", "age": age, "x": 1, "y": 2} for age in range(n + 20)]
    for _ in range(4):
        assert "<ul" in jinja2.Environment().from_string(TEMPLATE).render(users=users)
"""

WORKER = r"""
import gc, json, os, resource, sys
tracer_file, root, pairs, out, kinds = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]
sys.path.insert(0, root)
import program
names = {"__name__": "_tracer"}
exec(compile(open(tracer_file, encoding="utf-8").read(), "<tracer>", "exec"), names)
missing = {}
try:
    import jinja2, jinja2.lexer, jinja2.parser
except Exception as error:
    jinja2 = None
    missing["rich"] = str(error)
try:
    import pysnooper
except Exception as error:
    pysnooper = None
    missing["pysnooper"] = str(error)
try:
    import hunter
except Exception as error:
    hunter = None
    missing["hunter"] = str(error)
template = open(os.path.join(root, "template.html")).read()

def cpu():
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime

def timed(work):
    gc.collect()
    began = cpu()
    work()
    return cpu() - began

class Hot:
    files, modules, times, few, rounds = ["program.py"], ["program"], 30000, 1000, 15
    def __init__(self, times):
        self.times = times
    def __call__(self):
        program.hot(self.times)
    def owners(self):
        return [program]

class Rich:
    files, times, few, rounds = ["jinja2/lexer.py", "jinja2/parser.py"], 2, 1, 1
    modules = ["jinja2.lexer", "jinja2.parser"]
    def __init__(self, times):
        self.times = times
        self.environment = jinja2.Environment()
    def __call__(self):
        for _ in range(self.times):
            self.environment.parse(template)
    def owners(self):
        for module in (jinja2.lexer, jinja2.parser):
            yield module
            for found in vars(module).values():
                if isinstance(found, type) and found.__module__ == module.__name__:
                    yield found

def with_repr(work, path):
    out = open(path, "w")
    files = {os.path.join(root, *file.split("/")) for file in work.files}
    count = [0]
    def local(frame, event, arg):
        if event == "line":
            count[0] += 1
            out.write("%d %s\n" % (frame.f_lineno, repr(frame.f_locals)))
        return local
    def hook(frame, event, arg):
        return local if frame.f_code.co_filename in files else None
    def go():
        sys.settrace(hook)
        work()
        sys.settrace(None)
    seconds = timed(go)
    out.close()
    return seconds, count[0]

def with_ours(work, path):
    caps = {"max_frames": 10 ** 8, "max_bytes": 1 << 30, "max_seconds": 1e6}
    tracer = names["Tracer"](root, path, functions={file: [] for file in work.files}, **caps)
    def go():
        tracer.start(1)
        work()
        tracer.stop()
    seconds = timed(go)
    tracer.close()
    return seconds, None

def with_pysnooper(work, path):
    before = []
    for owner in work.owners():
        for name, found in list(vars(owner).items()):
            if type(found).__name__ == "function" and found.__module__ in work.modules:
                before.append((owner, name, found))
                setattr(owner, name, pysnooper.snoop(path)(found))
    seconds = timed(work)
    for owner, name, found in before:
        setattr(owner, name, found)
    return seconds, None

def with_hunter(work, path):
    out = open(path, "w")
    def go():
        tellers = [hunter.CodePrinter(stream=out), hunter.VarsSnooper(stream=out)]  # each line, each change
        tracing = hunter.trace(module_in=work.modules, actions=tellers)
        try:
            work()
        finally:
            tracing.stop()
    seconds = timed(go)
    out.close()
    return seconds, None

found = {"missing": missing, "rows": []}
for kind, make in (("hot", Hot), ("rich", Rich)):
    if kind in missing or kind not in kinds:
        continue
    make(1)()
    for pair in range(pairs * make.rounds):
        many, few = make(make.times), make(make.few)
        row = {"kind": kind}
        seconds, lines = with_repr(few, os.path.join(out, "repr"))
        per = lines / float(few.times)
        plain = sorted(timed(many) for _ in range(3))[1] / many.times
        for name, run, work in (
            ("ours", with_ours, many),
            ("repr", with_repr, many),
            ("pysnooper", with_pysnooper, few),
            ("hunter", with_hunter, few),
        ):
            if name in missing:
                continue
            path = os.path.join(out, name)
            if os.path.exists(path):
                os.remove(path)
            seconds, _ = run(work, path)
            events = per * work.times
            row[name] = (seconds - plain * work.times) / events * 1e9
            row[name + " bytes"] = os.path.getsize(path) / events
        found["rows"].append(row)
print(json.dumps(found))
"""


def interpreters(wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Version and path of each Python found; those that were asked for by ``3.X``, else all."""
    root = ""
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
    for minor in MINORS:
        version = f"3.{minor}"
        paths = [shutil.which(f"python{version}")]
        paths += sorted(glob.glob(f"{root}/versions/{version}.*/bin/python")) if root else []  # noqa: PTH207
        for path in paths:
            usable = path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0
            if path and usable and (not wanted or version in wanted):
                yield version, path
                break


def environment(python: str, where: Path, say: list[str]) -> str:
    """An environment with what pip can get of the peers; its interpreter, or ``python`` without them."""
    made = subprocess.run([python, "-m", "venv", where], capture_output=True, text=True)
    if made.returncode:
        say.append(f"no environment can be made: {_last(made)}")
        return python
    inside = str(where / "bin" / "python")
    pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([inside, "-c", "import sys; sys.exit(sys.version_info < (3, 7))"]).returncode:
        # The pip that comes with 3.6 does not look for a release that still runs there.
        subprocess.run([*pip, "--upgrade", "pip<22"], capture_output=True)
    for package in ("jinja2", "pytest", "PySnooper", "hunter"):
        done = subprocess.run([*pip, package], capture_output=True, text=True)
        if done.returncode:
            say.append(f"{package} cannot be had: {_last(done)}")
    return inside


def _last(done: subprocess.CompletedProcess[str]) -> str:
    return ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1][:120]


def lay_out(inside: str, root: Path) -> None:
    """The programs to be traced. jinja2 is copied in: installed packages are not followed."""
    root.mkdir()
    (root / "program.py").write_text(HOT)
    (root / "template.html").write_text(TEMPLATE * 8)
    (root / "short.html").write_text(TEMPLATE * 4)
    (root / "test_template.py").write_text(TESTS)
    code = "import jinja2, os; print(os.path.dirname(jinja2.__file__))"
    found = subprocess.run([inside, "-c", code], capture_output=True, text=True)
    if found.returncode == 0:
        shutil.copytree(found.stdout.strip(), root / "jinja2")


def per_line(inside: str, folder: Path, pairs: int, kinds: Sequence[str], say: list[str]) -> dict[str, Any]:
    (folder / "worker.py").write_text(WORKER)
    given = map(str, (folder / "worker.py", TRACER, folder / "root", pairs, folder))
    command = [inside, "-B", *given, *kinds]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        say.append(f"the measurement failed: {_last(done)}")
        return {}
    result = json.loads(done.stdout)
    say += [f"no {what}: {why}" for what, why in result["missing"].items()]
    figures: dict[str, Any] = {}
    for kind in ("hot", "rich"):
        rows = [row for row in result["rows"] if row["kind"] == kind]
        if rows:
            figures[kind] = {"ns": _median(rows, "ours"), "bytes": _median(rows, "ours bytes")}
            for peer in PEERS:
                if peer in rows[0]:
                    ratios = [row[peer] / row["ours"] for row in rows]
                    figures[kind][peer] = statistics.median(ratios)
    return figures


def _median(rows: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def whole_run(inside: str, folder: Path, pairs: int, say: list[str]) -> float | None:
    """A pytest process that follows two functions, over the same one untraced."""
    if not (folder / "root" / "jinja2").is_dir():
        return None
    job = {
        "tests": ["test_template.py"], "scripts": [], "options": ["-q", "-p", "no:cacheprovider"], "runs": 1,
        "root": str(folder / "root"), "cache": str(folder / "cache"), "token": "t",
        "results": str(folder / "results"), "record": str(folder / "record"),
        **sources(),
        "functions": {"jinja2/parser.py": ["Parser.parse_primary", "Parser.subparse"]},
        "max_frames": 20000, "max_seconds": 600,
    }  # fmt: skip
    ratios = []
    for _ in range(pairs):
        seconds = {}
        for mode in ("run", "trace"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            text = json.dumps(job | {"mode": mode})
            done = subprocess.run(
                [inside, "-B", "-c", START], input=text, capture_output=True, text=True, cwd=folder / "root"
            )
            if done.returncode:
                say.append(f"no pytest run: {_last(done)}")
                return None
            seconds[mode] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        ratios.append(seconds["trace"] / seconds["run"])
    return statistics.median(ratios)


def measure(version: str, python: str, pairs: int, kinds: Sequence[str]) -> dict[str, Any]:
    """Everything on one interpreter: figures, and ``notes`` on what was left out."""
    say: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fixbug-bench-") as name:
        folder = Path(name)
        inside = environment(python, folder / "venv", say)
        lay_out(inside, folder / "root")
        figures = per_line(inside, folder, pairs, kinds, say)
        if "pytest" in kinds:
            figures["pytest"] = whole_run(inside, folder, max(3, pairs - 2), say)
    return {"python": version, **figures, "notes": say}


def line(result: dict[str, Any]) -> str:
    """One row of the table; ``!`` marks what misses its target."""
    cells = [f"{result['python']:<6}"]
    for kind in ("hot", "rich"):
        found = result.get(kind, {})
        cells.append(f"{found['ns']:7.0f}" if found else f"{'-':>7}")
        for peer in PEERS:
            ratio = found.get(peer)
            missed = ratio is not None and ratio < TARGETS[kind, peer]
            cells.append(f"{'-':>7} " if ratio is None else f"{ratio:6.1f}x{'!' if missed else ' '}")
        if kind == "hot":
            size = found.get("bytes")
            cells.append(f"{'-':>5} " if size is None else f"{size:5.1f}{'!' if size > BYTES else ' '}")
    ratio = result.get("pytest")
    limit = PYTEST_NEW if int(result["python"].split(".")[1]) >= 12 else PYTEST_OLD
    cells.append(f"{'-':>7}" if ratio is None else f"{ratio:7.2f}{'!' if ratio > limit else ''}")
    return " ".join(cells)


HEAD = """\
       hot loop: ns and times faster than            rich: ns and times faster than  pytest, to
python  ours  repr()  PySnoop hunter   bytes    ours   repr()  PySnoop hunter    untraced"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", nargs="*", default=[], metavar="3.X", help="only these versions")
    parser.add_argument("--only", nargs="+", default=KINDS, choices=KINDS, help="only these kinds of work")
    parser.add_argument("--pairs", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--quick", action="store_true", help="one repetition, oldest and newest Python only")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of the table")
    args = parser.parse_args()
    found = list(interpreters(args.python))
    if not found:
        print("no Python from 3.6 to 3.13 was found on PATH or in pyenv", file=sys.stderr)
        return 3
    if args.quick:
        found = [found[0], found[-1]] if len(found) > 1 else found
    results = []
    if not args.json:
        print(HEAD, flush=True)
    for version, python in found:
        results.append(measure(version, python, 1 if args.quick else max(1, args.pairs), args.only))
        if not args.json:
            print(line(results[-1]), flush=True)
            for note in results[-1]["notes"]:
                print(f"       {note}", flush=True)
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        print(
            "! misses its target: 1.4x and 5x repr(locals()), 12x PySnooper, 20x hunter, 15 bytes an event,"
        )
        print("  pytest 1.10 from 3.12 on and 2.5 below")
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
