"""A command as its user types it, run and traced in a sandbox.

Python commands only: ``python FILE``, ``python -m MODULE``, ``python -c CODE``, a file that begins with
``#!`` and a Python, a command that such a file is behind (``pytest``), each with its arguments;
``NAME=value`` may stand before. pytest, unittest, Django's and sympy's own runners are known: there the tests
are traced, each ``runs`` times. Of any other program everything is.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sandbox import Sandbox
from sandbox.errors import UsageError
from sandbox.inside import go
from sandbox.testing import TracedTest, traced

__all__ = ["Command", "TracedCommand", "parse_command", "trace_command"]

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.S)
_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_ALONE = set("bBdEiIOPqsSuvx")
_KNOWN = "python FILE, python -m MODULE, pytest, ./tests/runtests.py, python manage.py test, bin/test"
_STARTERS = {
    "tox": "the command that it runs, such as pytest",
    "nox": "the command that it runs, such as pytest",
    "make": "the command of the target",
    "coverage": "what stands after `coverage run`",
}
"""Programs that start what is meant in processes of their own, or trace it themselves."""


@dataclass(frozen=True)
class Command:
    """``python``: the interpreter and its options, as a shell writes them; empty: the sandbox's own."""

    kind: Literal["module", "script", "code"]
    target: str
    args: tuple[str, ...]
    python: str
    env: Mapping[str, str]


@dataclass(frozen=True)
class TracedCommand:
    """What the command did, and its trace. ``exit_code`` is its own."""

    traced: TracedTest
    exit_code: int
    output: str
    seconds: float
    timed_out: bool
    dropped_bytes: int

    @property
    def ok(self) -> bool:
        """Every run ended, and well."""
        return not self.timed_out and all(run.passed for run in self.traced.runs)


def trace_command(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    functions: Mapping[str, Sequence[str]] | None = None,
    runs: int = 2,
    folder: str = ".",
    timeout: float = 300,
    max_frames: int = 20000,
) -> TracedCommand:
    """Run ``argv`` in ``folder`` (relative to the repository), ``runs`` times in one process, and record it.

    ``functions`` as in ``trace_test``, but nothing is added to them. Standard input is empty. Raises
    ``UsageError`` for what is no Python command, ``SandboxError`` where it cannot be started.
    """
    cwd = posixpath.normpath(posixpath.join(sandbox.workdir, folder))
    command = parse_command(sandbox, argv, cwd)
    followed = None if functions is None else {f: list(names) for f, names in functions.items()}
    shown = " ".join(argv)
    job: dict[str, Any] = {
        "mode": "trace",
        "tests": [shown],
        "scripts": [],
        "options": [],
        "command": {"kind": command.kind, "target": command.target, "args": list(command.args)},
        "folder": cwd,
        "functions": followed,
        "runs": runs,
        "max_frames": max_frames,
        "max_seconds": 0.7 * timeout,
    }
    done = go(sandbox, job, timeout, python=command.python, env=command.env, cwd=cwd)
    result = done.result
    statuses = [r["status"] for r in done.all("status") if r["status"]]
    return TracedCommand(
        traced(done, runs, shown),
        statuses[0] if statuses and done.ended else result.exit_code,
        result.output,
        result.seconds,
        result.timed_out,
        result.dropped_bytes,
    )


def parse_command(sandbox: Sandbox, argv: Sequence[str], cwd: str) -> Command:
    """What a command line means. Raises ``UsageError`` for one that is not Python's."""
    words = list(argv)
    if words[:1] == ["env"]:
        del words[0]
    env = {}
    while words and _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if not words:
        raise UsageError("there is no command", cure=f"after --: {_KNOWN}")
    name = posixpath.basename(words[0])
    if _PYTHON.fullmatch(name):
        return _of_python(sandbox, words, cwd, env)
    if name in _STARTERS:
        raise UsageError(f"{name} is not traced: what matters runs elsewhere", cure=f"give {_STARTERS[name]}")
    if name.endswith(".py") and sandbox.run(f"test -f {shlex.quote(words[0])}", cwd=cwd).ok:
        return Command("script", words[0], tuple(words[1:]), "", env)
    return _of_file(sandbox, words, cwd, env)


def _of_python(sandbox: Sandbox, words: list[str], cwd: str, env: Mapping[str, str]) -> Command:
    interpreter, *rest = words
    found = sandbox.run(f"command -v {shlex.quote(interpreter)}", cwd=cwd)
    if not found.ok:
        raise UsageError(f"there is no {interpreter} in the sandbox", cure="python is the sandbox's own")
    options = [interpreter]
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option.startswith(("-m", "-c")):
            value = option[2:] or (rest.pop(0) if rest else "")
            if not value:
                raise UsageError(f"{interpreter} {option} lacks its argument", cure=f"known are {_KNOWN}")
            kind: Literal["module", "code"] = "module" if option[1] == "m" else "code"
            return Command(kind, value, tuple(rest), shlex.join(options), env)
        options.append(option)
        if option in ("-W", "-X", "--check-hash-based-pycs") and rest:
            options.append(rest.pop(0))
        elif not option.startswith(("-W", "-X")) and not set(option[1:]) <= _ALONE:
            raise UsageError(
                f"{interpreter} {option} runs no program", cure=f"give a file, -m or -c; known are {_KNOWN}"
            )
    if not rest or rest[0] == "-":
        raise UsageError(
            f"{interpreter} is given no program", cure=f"give a file, -m or -c; known are {_KNOWN}"
        )
    if not sandbox.run(f"test -e {shlex.quote(rest[0])}", cwd=cwd).ok:
        raise UsageError(
            f"there is no {rest[0]} in {cwd}", cure="paths are relative to where the command is typed"
        )
    return Command("script", rest[0], tuple(rest[1:]), shlex.join(options), env)


def _of_file(sandbox: Sandbox, words: list[str], cwd: str, env: Mapping[str, str]) -> Command:
    """A program by name or path: the first line of its file says whether it is Python."""
    found = sandbox.run(f"command -v {shlex.quote(words[0])}", cwd=cwd)
    path = found.output.strip()
    if not found.ok or "/" not in path:
        if words[0] in ("pytest", "py.test"):  # the sandbox's python may have it all the same
            return Command("module", "pytest", tuple(words[1:]), "", env)
        raise UsageError(f"there is no command {words[0]!r} in the sandbox", cure=f"known are {_KNOWN}")
    first = sandbox.run(f"head -c 200 {shlex.quote(path)} | head -n 1 | tr -d '\\0'", cwd=cwd).output.strip()
    interpreter = _interpreter(first)
    if interpreter is None:
        if posixpath.basename(path) == "pytest":  # a launcher for a path that is too long for ``#!``
            return Command("module", "pytest", tuple(words[1:]), "", env)
        raise UsageError(
            f"{words[0]} is no Python program: only those are traced", cure=f"known are {_KNOWN}"
        )
    usable = sandbox.run(f"command -v {shlex.quote(interpreter)}", cwd=cwd).ok
    return Command("script", path, tuple(words[1:]), shlex.quote(interpreter) if usable else "", env)


def _interpreter(first: str) -> str | None:
    """The Python that a ``#!`` line names; None where it names none."""
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    if words and posixpath.basename(words[0]) == "env":
        words = [w for w in words[1:] if not w.startswith("-")]
    return words[0] if words and _PYTHON.fullmatch(posixpath.basename(words[0])) else None
