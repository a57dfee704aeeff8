"""The code that an issue shows, run on every candidate: how many candidates do the same there?

What an example ought to give is not known without a model, so nothing is judged right or wrong; candidates
are only told apart by what their code does (as AlphaCode clusters programs by their outputs, arXiv
2203.07814, section 4.6). An outcome that differs between two runs on the base commit says nothing.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from agent.errors import PatchDoesNotApply
from agent.patch import is_test_path, split
from agent.scale.execution.suites import Suite
from sandbox import Sandbox
from sandbox.runners import statements as inside

__all__ = ["examples", "packages", "run_examples"]

MOST = 60
"""Statements of one issue that are run."""
_LONGEST_LINE = 5000
_STATEMENT_SECONDS = 20

_FENCE = re.compile(
    r"^[ \t]*(```+|~~~+)[ \t]*([\w.+-]*)[^\n]*\n(.*?)^[ \t]*\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL
)
_PYTHON = ("", "py", "python", "python3", "pycon", "ipython", "python-repl")
_PROMPT = re.compile(r"^\s*(?:>>> ?|In \[\d+\]: ?)(.*)$")
_MORE = re.compile(r"^\s*\.\.\.+:? ?(.*)$")


def examples(issue: str) -> tuple[str, ...]:
    """The statements that ``issue`` shows, in order: of fenced blocks that are Python, and of interpreter
    sessions (``>>>``, ``In [1]:``) anywhere. What does not parse is left out."""
    found: list[str] = []
    position = 0
    issue = issue.replace("\r\n", "\n")
    for match in _FENCE.finditer(issue):
        found += _sessions(issue[position : match.start()])
        if match[2].lower() in _PYTHON:
            block = textwrap.dedent(match[3])
            found += _sessions(block) if _has_prompt(block) else _statements(block)
        position = match.end()
    found += _sessions(issue[position:])
    return tuple(found[:MOST])


def _has_prompt(text: str) -> bool:
    return any(_PROMPT.match(line) for line in text.splitlines())


def _sessions(text: str) -> Iterator[str]:
    """The statements typed at prompts, continuation lines with them."""
    typed: list[list[str]] = []
    open_ = False
    for line in text.splitlines():
        prompt, more = _PROMPT.match(line), _MORE.match(line)
        if prompt:
            typed.append([prompt[1]])
        elif more and open_:
            typed[-1].append(more[1])
        open_ = bool(prompt or (more and open_))
    for lines in typed:
        yield from _statements("\n".join(lines))


def _statements(source: str) -> list[str]:
    """Each in one spelling; none where ``source`` is no Python."""
    if len(source) > _LONGEST_LINE:
        return []
    try:
        return [ast.unparse(node) for node in ast.parse(source).body]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def packages(patches: Sequence[str]) -> list[str]:
    """Top-level packages that ``patches`` change, for names that an example takes for granted."""
    found = []
    for patch in patches:
        try:
            paths = [PurePosixPath(part.path) for part in split(patch)]
        except PatchDoesNotApply:
            continue
        for path in paths:
            parts = path.parts[1:] if path.parts[:1] in (("src",), ("lib",)) else path.parts
            if path.suffix == ".py" and not is_test_path(path.as_posix()) and parts:
                found.append(PurePosixPath(parts[0]).stem)
    return sorted({name for name in found if name.isidentifier()})


def run_examples(
    box: Sandbox, suite: Suite, statements: Sequence[str], known: Sequence[str], timeout: float
) -> tuple[str, ...]:
    """What came of each of ``statements`` in ``box``; of those that it did not come to, nothing."""
    script, job, out = (f"{box.scratch}/{name}" for name in ("statements.py", "job.json", "outcomes"))
    asked = {"statements": list(statements), "packages": list(known), "seconds": _STATEMENT_SECONDS}
    box.write(script, Path(inside.__file__).read_bytes())
    box.write(job, json.dumps(asked).encode())
    command = f"rm -f {shlex.quote(out)}; python {' '.join(map(shlex.quote, (script, job, out)))}"
    lines = [*suite.prepare(box), f"cd {shlex.quote(box.workdir)}", command]
    environment = {"PYTHONHASHSEED": "0", "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}
    box.run("\n".join(lines), timeout=timeout, env=environment)
    try:
        text = box.read(out).decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    return tuple((_outcomes(text) + ["(never reached)"] * len(statements))[: len(statements)])


def _outcomes(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        try:
            found.append(str(json.loads(line)))
        except ValueError:
            break
    return found
