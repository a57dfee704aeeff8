"""How a repository's own test files are run: a SWE-bench row's way, or pytest's."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, Protocol

from agent.errors import UsageError
from sandbox import Sandbox
from sandbox.errors import ScoringError

__all__ = ["PytestSuite", "Ran", "RowSuite", "Suite"]

_START, _END = ">>>>> Start Test Output", ">>>>> End Test Output"
_MAX_LOG = 64 << 20
_PASSING = ("PASSED", "XFAIL")
_LOCALES = "locale-gen() { locale -a | grep -qix 'en_US.utf-*8' || command locale-gen \"$@\"; }"
"""Django's rows generate a locale before they run a test: seconds for nothing where the image has it."""


@dataclass(frozen=True)
class Ran:
    """Test → whether it passed; tests that did not get to run are not in it."""

    outcomes: Mapping[str, bool]
    timed_out: bool
    seconds: float


class Suite(Protocol):
    """A way to run test files."""

    fingerprint: str
    """What the results depend on besides image, patch and files."""

    def run(self, box: Sandbox, files: Sequence[str], timeout: float) -> Ran:
        """Run ``files`` (paths in the repository). Raises ``SandboxError`` where nothing can be said."""
        ...

    def prepare(self, box: Sandbox) -> list[str]:
        """Lines of bash that bring about the environment in which tests run."""
        ...


class PytestSuite:
    """pytest, or whatever ``sandbox.testing.run_tests`` makes of the files."""

    fingerprint = "pytest/1"

    def run(self, box: Sandbox, files: Sequence[str], timeout: float) -> Ran:
        from sandbox.testing import run_tests

        try:
            ran = run_tests(box, files, timeout=timeout)
        except UsageError:  # a file without tests
            return Ran({}, False, 0.0)
        outcomes = {case.id: case.outcome == "passed" for case in ran.cases if case.outcome != "skipped"}
        return Ran(outcomes, ran.timed_out, ran.seconds)

    def prepare(self, box: Sandbox) -> list[str]:
        return []


class RowSuite:
    """The test command and log parser of a SWE-bench row. Of the row's tests and their names it uses none."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        environment = row.get("environment") or {}
        self._command = str(environment.get("test_cmd") or _command_of(row))
        self._prepare = [str(line) for line in environment.get("eval_commands") or ()]
        self._parser = str(row["log_parser"])
        self._labels = "runtests.py" in self._command
        self.fingerprint = f"row/2 {self._parser} {self._command}"

    def run(self, box: Sandbox, files: Sequence[str], timeout: float) -> Ran:
        what = " ".join(shlex.quote(_label(path) if self._labels else path) for path in files)
        log = f"{box.scratch}/suite.log"
        script = "\n".join(
            [
                *self.prepare(box),
                f"echo '{_START}'",
                f"{self._command} {what}",
                f"echo '{_END}'",
            ]
        )
        path = f"{box.scratch}/suite.sh"
        box.write(path, script.encode())
        ran = box.run(f"bash {shlex.quote(path)} >{shlex.quote(log)} 2>&1", timeout=timeout)
        size = box.run(f"test -f {log} && test ! -L {log} && stat -c %s {log}").output.strip()
        if not size.isdigit() or int(size) > _MAX_LOG:
            raise ScoringError(f"the log of the tests cannot be read: {size or 'there is none'}")
        text = box.read(log).decode("utf-8", "replace")
        if _START not in text:
            raise ScoringError(f"the tests were not started:\n{text[-1000:]}", cure="look at the image")
        return Ran(self._parsed(text), ran.timed_out, ran.seconds)

    def prepare(self, box: Sandbox) -> list[str]:
        """The row's own set-up, once a sandbox: what it exports is kept."""
        kept = shlex.quote(f"{box.scratch}/prepared.sh")
        return [
            f"if test -f {kept}; then . {kept}; else",
            "source /opt/miniconda3/bin/activate",
            "conda activate testbed",
            f"cd {shlex.quote(box.workdir)}",
            _LOCALES,
            *self._prepare,
            f"export -p > {kept}",
            "fi",
            f"cd {shlex.quote(box.workdir)}",
        ]

    def _parsed(self, text: str) -> dict[str, bool]:
        parsers = _parsers()
        if self._parser not in parsers:
            raise UsageError(
                f"swebench has no log parser {self._parser!r}", cure="check the row's log_parser"
            )
        body = text.partition(_START)[2].partition(_END)[0]
        try:
            found = parsers[self._parser](body, SimpleNamespace())
        except Exception as error:  # its parsers raise whatever an odd log makes them raise
            raise ScoringError(f"{self._parser} cannot read the log: {error}") from error
        return _apart({test: status in _PASSING for test, status in found.items() if status != "SKIPPED"})


def _apart(outcomes: Mapping[str, bool]) -> dict[str, bool]:
    """Names that a log has run together, apart again.

    Django's runner ends no line after a test that fails in subtests only: ``test_a (x.Y) ... test_b (x.Y)
    ... ok`` says that the second passed and the first did not.
    """
    found: dict[str, bool] = {}
    for name, passed in outcomes.items():
        *before, last = name.split(" ... ")
        found[last] = passed
        found.update(dict.fromkeys(before, False))
    return found


def _command_of(row: Mapping[str, Any]) -> str:
    """The test command in the row's eval script, without the test files that it names."""
    script = str(row.get("eval_script") or "")
    between = script.partition(f"{_START}'\n")[2].partition(f"\n: '{_END}")[0].strip().splitlines()
    hidden = re.findall(r"^diff --git a/(\S+)", str(row.get("test_patch") or ""), re.MULTILINE)
    if not between or not hidden:
        raise UsageError(
            f"{row.get('instance_id')}: how its tests are run is not said",
            cure="expected the column environment with test_cmd, or eval_script and test_patch",
        )
    named = {*hidden, *(_label(path) for path in hidden)}
    words = [word for word in between[-1].split(" ") if word.strip("'\"") not in named]
    return " ".join(words)


def _label(path: str) -> str:
    """A test file of Django's as its runner wants it: dotted, below ``tests/``."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[1:] if parts[:1] == ("tests",) else parts)


@cache
def _parsers() -> Mapping[str, Any]:
    """swebench's log parsers. Its import reads a ``.env`` file into the environment: that is undone."""
    before = dict(os.environ)
    try:
        from swebench.harness.log_parsers import PARSER_REGISTRY
    finally:
        os.environ.clear()
        os.environ.update(before)
    return dict(PARSER_REGISTRY)
