"""Every form of assertion: what is shown, what is asked, how it is judged, and that it runs as before."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.world.intent import evaluate, from_probes
from agent.world.questions.probes import ProbedTest, probe_test
from agent.world.trace import Frame, Outcome, Trace
from tests.agent.world.questions.forms import PROGRAM, SECRET, sources

SOURCES = sources()
UNTOLD = {
    "assert: mock",
    "assert: constructor",
    "assert: regex",
}
"""Forms whose values the harness can't tell apart by their texts."""

PLUGIN = """
import builtins, json
seen = {}
results = {}
current = [None]
def probe(name, value):
    import sys
    file = sys._getframe(1).f_code.co_filename.rpartition("/")[2]
    seen.setdefault(file, []).append((name, repr(value)))
    return value
builtins.__fixbug_probe__ = probe
def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome == "failed":
        results.setdefault(report.nodeid.partition("::")[0], []).append(report.outcome)
def pytest_collectreport(report):
    if report.nodeid.endswith(".py") and (report.failed or not report.result):
        results[report.nodeid] = ["failed" if report.failed else "passed"]
def pytest_sessionfinish():
    json.dump([seen, results], open("results.json", "w"))
"""

Run = tuple[dict[str, list[list[str]]], dict[str, list[str]]]


def _file(name: str) -> str:
    return "test_" + "".join(c if c.isalnum() else "_" for c in name) + ".py"


@pytest.fixture(scope="session")
def probed() -> dict[str, ProbedTest]:
    return {
        name: probe_test(_file(name), source, _file(name) + node) for name, (source, node) in SOURCES.items()
    }


@pytest.fixture(scope="session")
def runs(
    tmp_path_factory: pytest.TempPathFactory, probed: dict[str, ProbedTest]
) -> dict[tuple[str, bool], Run]:
    """What pytest says of all the files: as they were and instrumented, on a right and a broken program."""
    found: dict[tuple[str, bool], Run] = {}
    for kind in ("original", "transparent"):
        for broken in (False, True):
            folder = tmp_path_factory.mktemp(kind)
            (folder / "program.py").write_text(PROGRAM)
            (folder / "conftest.py").write_text(PLUGIN)
            for name, (source, _) in SOURCES.items():
                text = source if kind == "original" else probed[name].transparent
                (folder / _file(name)).write_bytes(text.encode())
            environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"} | ({"BROKEN": "1"} if broken else {})
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "--continue-on-collection-errors",
                "-c",
                os.devnull,
                "--rootdir=.",
            ]
            subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
            seen, results = json.loads(Path(folder, "results.json").read_text())
            found[kind, broken] = (seen, results)
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_the_blind_text_holds_no_expected_value(name: str, probed: dict[str, ProbedTest]) -> None:
    """Catches a form of assertion whose expected value, message or id stays in sight or in a question."""
    test = probed[name]
    questions = "\n".join(probe.question for probe in test.probes)
    assert SECRET[:5] not in test.blind + questions
    assert test.unmasked == ()
    assert test.probes
    ast.parse(test.blind)
    assert test.blind.count("\n") == test.source.count("\n") == test.transparent.count("\n")


@pytest.mark.parametrize("name", SOURCES)
def test_the_instrumented_test_runs_as_the_original(name: str, runs: dict[tuple[str, bool], Run]) -> None:
    """Catches wrapping that changes what a test does, on a right program or on a broken one."""
    file = _file(name)
    assert runs["original", False][1][file] == runs["transparent", False][1][file]
    assert runs["original", True][1][file] == runs["transparent", True][1][file]
    assert set(runs["original", False][1][file]) == {"passed"}
    assert "failed" in runs["original", True][1][file]


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in UNTOLD])
def test_what_the_harness_judges_is_what_python_says(
    name: str, probed: dict[str, ProbedTest], runs: dict[tuple[str, bool], Run]
) -> None:
    """Catches a predicate that says something else than the assertion, or values laid to the wrong case."""
    test = probed[name]
    for broken in (False, True):
        values = runs["transparent", broken][0].get(_file(name), [])
        frames = [Frame("probe", "", "t.py", 1, probe=p, value=v) for p, v in values]
        for probe in test.probes:
            if "which exception" in probe.question:
                frames.append(_asked(probe.id, "None" if broken else "OwnError('917345 is bad')"))
            elif "which warnings" in probe.question:
                frames.append(_asked(probe.id, "[]" if broken else "[DeprecationWarning('917345 is old')]"))
            elif "call_count" in probe.question:
                frames.append(_asked(probe.id, "1"))
            elif "excinfo match" in name and "str(" in probe.question and not broken:
                frames.append(_asked(probe.id, "'917345 is bad'"))
            elif "reached?" in probe.question and broken:
                frames.append(_asked(probe.id, "'reached'"))
        trace = Trace(tuple(frames), outcomes=(Outcome(1, "failed" if broken else "passed"),))
        judged = [evaluate(e, trace, 1) for e in from_probes(test, {"program.py": PROGRAM})]
        if broken:
            assert "broken" in judged, judged
        else:
            assert set(judged) == {"holds"}, judged


def _asked(probe: str, value: str) -> Frame:
    return Frame("probe", "", "t.py", 1, probe=probe, value=value)
