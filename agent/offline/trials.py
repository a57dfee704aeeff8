"""The harness's side of ``inside/``: sends batches of mutants into a sandbox and reads how their
tests ended."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from agent.offline.mutate import Mutant
from sandbox import Sandbox
from sandbox.errors import SandboxError, UsageError

PACKAGE = "fixbug_trials"
"""What ``inside/`` is called in the sandbox: a name that no repository has."""
MEMORY_MB = 2048
LEAST_LIMIT = 0.25
"""Seconds of processor time that every candidate may use; more where the unchanged code took more."""
HANGING_LIMIT = 0.06
"""The same where the unchanged code never ends: most candidates will not end either."""
BASE_LIMIT = {"direct": 4.0, "pytest": 20.0}
"""Seconds of processor time for the tests on the unchanged code."""


@dataclass(frozen=True)
class Outcome:
    """How the tests ended with one version of the code. ``passed`` and ``failed`` count asserts (or
    pytest's cases)."""

    ok: bool
    passed: int = 0
    failed: int = 0
    where: int = 0
    why: str = ""
    hangs: bool = False
    cpu: float = 0.0
    lines: Mapping[str, Sequence[int]] = field(default_factory=dict)
    hot: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Lines that ran about as often as the one that ran most: where a test that never ends is."""
    calls: Sequence[tuple[str, str, int, str]] = ()
    modules: Sequence[str] = ()
    answers: Sequence[str] = ()

    @property
    def signature(self) -> tuple[int, int, int, str]:
        """Two versions with different signatures fail in different ways."""
        return self.passed, self.failed, self.where, self.why


class Trials:
    """Runs tests on changed versions of files, without writing them to the sandbox's work tree."""

    def __init__(self, sandbox: Sandbox, *, python: str = "python", jobs: int = 0) -> None:
        self.sandbox = sandbox
        self.python = python
        self.jobs = jobs
        self.limit = LEAST_LIMIT
        self.preload: list[str] = []
        self.bases: dict[str, str] = {}
        self._batch = 0
        self._place = f"{sandbox.scratch}/offline"
        for file in sorted((Path(__file__).parent / "inside").glob("*.py")):
            sandbox.write(f"{self._place}/{PACKAGE}/{file.name}", file.read_bytes())

    def read(self, path: str) -> str:
        return self.sandbox.read(path).decode("utf-8")

    def specify(self, tests: Sequence[str]) -> tuple[str, list[Any]]:
        """How to run tests: ``direct`` where they need nothing of pytest's (fixtures, marks, classes),
        else ``pytest``."""
        direct: list[list[str | None]] = []
        for test in tests:
            path, _, rest = test.partition("::")
            try:
                tree = ast.parse(self.read(path))
            except FileNotFoundError as error:
                cure = "name a pytest id or a file relative to the repository"
                raise UsageError(f"the test {test!r} is not in the repository", cure=cure) from error
            except (SyntaxError, UnicodeDecodeError, IsADirectoryError):
                return "pytest", list(tests)
            if self._has_conftest(path):
                return "pytest", list(tests)
            functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
            chosen = [rest] if rest else [name for name in functions if name.startswith("test")]
            classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and is_test_class(n)]
            coroutines = any(isinstance(n, ast.AsyncFunctionDef) for n in tree.body)
            if not rest and not chosen and not classes:
                direct.append([path, None])
                continue
            if (
                (classes and not rest)
                or coroutines
                or any(
                    name not in functions or functions[name].args.args or functions[name].decorator_list
                    for name in chosen
                )
            ):
                return "pytest", list(tests)
            if any(isinstance(n, ast.FunctionDef) and has_fixture_mark(n) for n in tree.body):
                return "pytest", list(tests)
            direct += [[path, name] for name in chosen]
        return "direct", direct

    def _has_conftest(self, path: str) -> bool:
        for folder in PurePosixPath(path).parents:
            try:
                self.sandbox.read(str(folder / "conftest.py"))
            except (FileNotFoundError, OSError):
                continue
            return True
        return False

    def base(self, tests: Sequence[str]) -> tuple[Outcome, str, list[Any]]:
        """The unchanged code: its outcome with executed lines and calls, and how to run the tests from
        now on."""
        mode, spec = self.specify(tests)
        outcome = self._base(mode, spec)
        if mode == "direct" and (
            outcome.ok or outcome.why.startswith(("ModuleNotFoundError", "ImportError"))
        ):
            second = self._base("pytest", list(tests))
            if second.passed or second.failed:  # else pytest collects nothing: the tests are plain scripts
                return second, "pytest", list(tests)
        return outcome, mode, spec

    def _base(self, mode: str, spec: list[Any]) -> Outcome:
        """Once at full speed for the outcome, once traced for the lines."""
        plain = self._one(mode, spec, BASE_LIMIT[mode], {"fresh": True})
        patience = 2.0 if plain.hangs else min(60.0, 2.0 + 20 * plain.cpu)
        traced = self._one(mode, spec, patience, {"lines": True, "calls": True})
        return replace(plain, lines=traced.lines, hot=traced.hot, calls=traced.calls, modules=traced.modules)

    def _one(self, mode: str, spec: list[Any], limit: float, extra: Mapping[str, Any]) -> Outcome:
        results = self._run(mode, spec, [{"id": 0}], seconds=60, limit=limit, extra=extra)
        if 0 not in results:
            raise SandboxError(
                "the tests could not be started in the sandbox", cure="run them there by hand first"
            )
        return results[0]

    def cover(self, tests: Sequence[str]) -> list[tuple[str, str, list[Any], Outcome]]:
        """Tests on the unchanged code, one by one: its id, how to run it, its outcome with lines."""
        specified = []
        for test in tests:
            try:
                specified.append((test, *self.specify([test])))
            except UsageError:
                continue  # not there: it cannot be kept passing
        found = []
        for mode in ("direct", "pytest"):
            chosen = [(test, spec) for test, kind, spec in specified if kind == mode]
            if chosen:
                rows = [{"id": i, "tests": spec} for i, (_, spec) in enumerate(chosen)]
                everything = [item for _, spec in chosen for item in spec]
                extra = {"lines": True, "calls": False}
                limit = BASE_LIMIT[mode]
                outcomes = self._run(mode, everything, rows, seconds=60, limit=limit, extra=extra)
                for i, outcome in sorted(outcomes.items()):
                    test, spec = chosen[i]
                    found.append((test, mode, spec, outcome))
        return found

    def set_limit(self, base: Outcome) -> None:
        """The time that each candidate gets, from what the unchanged code took."""
        self.limit = HANGING_LIMIT if base.hangs else max(LEAST_LIMIT, min(10.0, 4 * base.cpu))
        self.preload = [name for name in base.modules if not name.startswith("_")]

    def run(
        self, mode: str, spec: list[Any], mutants: Sequence[Mutant], *, seconds: float, first: bool = False
    ) -> dict[int, Outcome]:
        """Outcomes by position in ``mutants``; those that the time did not suffice for are missing.

        ``first``: each ends with the first test that fails.
        """
        rows = [
            {"id": i, "path": m.path, "edits": [[e.start, e.end, e.text] for e in m.edits]}
            for i, m in enumerate(mutants)
        ]
        return self._run(mode, spec, rows, seconds=seconds, limit=self.limit, extra={"first": first})

    def ask(
        self, mutants: Sequence[Mutant | None], questions: Sequence[tuple[str, str]], *, seconds: float
    ) -> dict[int, Outcome]:
        """What expressions ``(path of a module, expression)`` are in each version (None: the unchanged
        one)."""
        rows: list[dict[str, Any]] = []
        for i, mutant in enumerate(mutants):
            row: dict[str, Any] = {"id": i, "ask": list(questions)}
            if mutant is not None:
                row |= {"path": mutant.path, "edits": [[e.start, e.end, e.text] for e in mutant.edits]}
            rows.append(row)
        return self._run("direct", [], rows, seconds=seconds, limit=self.limit, extra={})

    def _run(
        self,
        mode: str,
        spec: list[Any],
        rows: Sequence[Mapping[str, Any]],
        *,
        seconds: float,
        limit: float,
        extra: Mapping[str, Any],
    ) -> dict[int, Outcome]:
        self._batch += 1
        job, results = f"{self._place}/job-{self._batch}.json", f"{self._place}/results-{self._batch}.jsonl"
        content = {
            "workdir": self.sandbox.workdir,
            "mode": mode,
            "tests": spec,
            "bases": self.bases,
            "candidates": list(rows),
            "limit": limit + (2.0 if mode == "pytest" else 0.0),
            "seconds": seconds,
            "memory_mb": MEMORY_MB,
            "jobs": self.jobs,
            "preload": [*self.preload, *(["pytest"] if mode == "pytest" else [])],
            **extra,
        }
        self.sandbox.write(job, json.dumps(content).encode())
        clock = seconds + 10 * limit + 30
        code = f"import sys; sys.path[0] = '{self._place}'; from {PACKAGE}.run import main; main()"
        ran = self.sandbox.run(f'{self.python} -c "{code}" {job} {results}', timeout=clock)
        try:
            text = self.sandbox.read(results).decode("utf-8")
        except FileNotFoundError as error:
            raise SandboxError(
                f"the trial process wrote no results (exit {ran.exit_code}): {ran.output[-400:]}",
                cure="check that `python` in the sandbox is 3.6 or later on a POSIX system",
            ) from error
        self.sandbox.run(f"rm -f {job} {results}")
        found: dict[int, Outcome] = {}
        for line in text.splitlines():
            row = json.loads(line)
            number = row.pop("id")
            found[number] = Outcome(ok=row.pop("ok", True), **row)
        return found


def is_test_class(node: ast.ClassDef) -> bool:
    bases = [ast.unparse(base) for base in node.bases]
    return node.name.startswith("Test") or any(base.endswith("TestCase") for base in bases)


def has_fixture_mark(node: ast.FunctionDef) -> bool:
    return any("fixture" in ast.unparse(d) for d in node.decorator_list) or node.name in (
        "setup_module", "teardown_module", "setup_function", "teardown_function",
    )  # fmt: skip
