"""Trying a test runner in an image that is being made: does it find tests, and what does it still lack?

Tests are collected, not run: that imports them. What they import and is not there is installed, as of the
same date, where the project's own files speak of it or it is a common tool of tests.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import datetime

from sandbox.detect import Recipe
from sandbox.detect.missing import missing_distributions, missing_modules
from sandbox.foundation import PREFIX, WORKDIR
from sandbox.layers import BUILD_DIR, Workbench
from sandbox.resolve import UV, dated

__all__ = ["Trial", "try_runner"]

_ROUNDS = 4
_LOOSE = "-o python_files='test*.py *test.py *tests.py tests/*.py test/*.py'"
"""For suites whose files have other names than pytest's default."""

_COLLECT = f"""\
cd {WORKDIR}
out={BUILD_DIR}/found
timeout -k 10 900 {PREFIX}/bin/python -m pytest --collect-only -q -p no:cacheprovider %s >$out 2>&1
echo "STATUS $?"
echo "TESTS $(grep -cE '^[^ ].*::' $out)"
grep -E "No module named|unrecognized arguments|required plugins|Error" $out |
    sort | uniq -c | sort -rn | head -60
tail -n 8 $out
"""
_ARGUMENTS = (
    f"cd {WORKDIR}; grep -rhoE --include='test*.py' --include='*_test.py' --include=conftest.py "
    r"'def test\w*\([^)]*' . | head -20000"
)


@dataclass(frozen=True)
class Trial:
    """``command`` runs the tests. ``told``: what became of the trial, in a line."""

    command: str
    told: str
    notes: tuple[str, ...] = ()


def try_runner(
    bench: Workbench, recipe: Recipe, command: str, when: datetime | None, uv: bool, *, given: bool
) -> Trial:
    """Try the project's runner, and install what it turns out to lack. A ``given`` command is not tried."""
    if given:
        return Trial(command, "the test command is .fixbug.toml's own, and was not tried")
    if recipe.runner.kind in ("django", "sympy"):
        code, tail = bench.attempt(f"cd {WORKDIR} && {PREFIX}/bin/{command} --help", timeout=300)
        said = (tail.strip().splitlines() or ["no output"])[-1][:200]
        why = recipe.runner.why
        return Trial(command, f"{why} starts" if not code else f"{why} does not start: {said}")
    notes: list[str] = []
    tried: set[str] = set()
    options, output = "", ""
    for _ in range(_ROUNDS):
        _, output = bench.attempt(_COLLECT % options, lines=100, timeout=1000)
        if not options and (_number("STATUS", output), _number("TESTS", output)) == (5, 0):
            options = _LOOSE
            continue
        wanted = [one for one in _lacking(bench, output, recipe) if one not in tried]
        if not wanted or not uv:
            break
        tried.update(wanted)
        notes += [_add(bench, one, when) for one in wanted]
    tests, status = _number("TESTS", output), _number("STATUS", output)
    command = f"{command} {options}" if options and tests > 0 else command
    if status == 0:
        return Trial(command, f"pytest finds {tests} tests", tuple(notes))
    modules = missing_modules(output)
    reason = f"; not there: {', '.join(modules[:8])}" if modules else ""
    last = (output.strip().splitlines() or [""])[-1].strip("= ")[:200]
    told = f"pytest finds {tests} tests, and ends with status {status} ({last}){reason}"
    return Trial(command, told, tuple(notes))


def _number(what: str, output: str) -> int:
    found = re.search(rf"(?m)^{what} (\d+)$", output)
    return int(found[1]) if found else -1


def _lacking(bench: Workbench, output: str, recipe: Recipe) -> tuple[str, ...]:
    _, arguments = bench.attempt(_ARGUMENTS, lines=20_000)
    _, listed = bench.attempt(f"{PREFIX}/bin/python -m pip list --format=freeze 2>/dev/null", lines=2000)
    installed = {line.partition("==")[0].lower().replace("_", "-") for line in listed.splitlines()}
    return missing_distributions(output, set(re.findall(r"\w+", arguments)), installed, recipe.texts)


def _add(bench: Workbench, name: str, when: datetime | None) -> str:
    """Install one more distribution; what to say about it."""
    command = (
        f"{UV} pip install -q --no-config --no-progress --link-mode copy --python {PREFIX}/bin/python "
        f"{dated(when)} {shlex.quote(name)}"
    )
    code, tail = bench.attempt(command, cwd=WORKDIR)
    if not code:
        return f"{name} was missing, and is added"
    return f"{name} is missing, and cannot be had: {(tail.strip().splitlines() or [''])[-1][:160]}"
