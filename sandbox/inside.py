"""One go in the sandbox: the runners' text goes in on standard input, their results come back in a file.

Nothing is read from what a terminal shows, and no file of ours lies where the code under test could
change it.
"""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sandbox import ExecResult, Sandbox
from sandbox.errors import SandboxError
from sandbox.runners import ORDER

__all__ = ["START", "Done", "Mode", "go", "sources", "tail"]

Mode = Literal["run", "collect", "trace", "lines"]

START = """\
import builtins, json, os, sys
job = json.loads(sys.stdin.buffer.read().decode("utf-8"))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
def load(name, text):
    module = type(sys)(name)
    module.__package__ = "_fixbug"
    module.__dict__["__builtins__"] = dict(vars(builtins))
    sys.modules[name] = module
    exec(compile(text, "<%s>" % name, "exec"), module.__dict__)
    return module
load("_fixbug", "").__path__ = []
for name, text in job.pop("runners"):
    last = load("_fixbug." + name, text)
for name in [n for n in sys.modules if n.partition(".")[0] == "_fixbug"]:
    del sys.modules[name]
sys.exit(last.main(job))
"""
"""What ``python -c`` is given; a job (JSON, with ``sources()`` in it) follows on standard input.

The runners' modules have builtins of their own, and stand in no list once they are loaded: tests replace
``open``, and libraries for tests (freezegun, pyfakefs) replace names in all modules that they find.
"""
_NO_PYTHON = 127


@dataclass
class Done:
    """What came of it. ``records`` are the runners' (``runners/results.py``), ``record`` the tracer's."""

    asked: Sequence[str]
    result: ExecResult
    records: list[dict[str, Any]]
    record: bytes = b""
    notes: list[str] = field(default_factory=list)

    @property
    def tests(self) -> Sequence[str]:
        """What was asked for, as ids."""
        return next((r["asked"] for r in self.all("asked")), self.asked)

    def all(self, key: str) -> Iterator[dict[str, Any]]:
        return (r for r in self.records if key in r)

    @property
    def collected(self) -> list[str]:
        return [name for r in self.all("collected") for name in r["collected"]]

    @property
    def was_collected(self) -> bool:
        return any(True for _ in self.all("collected"))

    @property
    def ended(self) -> bool:
        return any(True for _ in self.all("end")) and not self.result.timed_out

    @property
    def ran(self) -> bool:
        return any(True for _ in self.all("case"))


def go(
    sandbox: Sandbox,
    job: Mapping[str, Any],
    timeout: float,
    *,
    python: str = "",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Done:
    """Do one job (``runners/main.py``). ``python``: the interpreter with its options, as a shell writes it.

    Raises ``SandboxError`` where it could not begin. Where the program removed the record, there is none.
    """
    place = f"{sandbox.scratch}/testing"
    token = secrets.token_hex(8)
    files = {"results": f"{place}/results.jsonl", "record": f"{place}/record"}
    whole = {
        **job,
        **files,
        "token": token,
        "root": sandbox.workdir,
        "cache": f"{place}/pytest-cache",
        **sources(),
    }
    given = {"PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
    if job["mode"] in ("trace", "lines"):
        given["PYTHONHASHSEED"] = "0"
    python = python or "$(command -v python || command -v python3 || echo python)"
    quoted = shlex.quote(place)
    result = sandbox.run(
        f"mkdir -p {quoted} && rm -f {quoted}/record && exec {python} -c {shlex.quote(START)}",
        timeout=timeout,
        cwd=cwd,
        env=given,
        stdin=json.dumps(whole).encode(),
    )
    records = _records(sandbox, files["results"], token)
    if not records and not sandbox.run(f"test -d {quoted}").ok:
        raise SandboxError(
            f"what ran removed the folder that its results go to, {place}: nothing is known of them",
            cure="a program that removes everything around it can't be judged; let it spare that folder",
        )
    if not records:
        raise SandboxError(
            f"it could not be started: exit status {result.exit_code}\n{tail(result.output)}",
            cure="Install Python in the image, or name an image that has it."
            if result.exit_code == _NO_PYTHON
            else "Python 3.6 or later is needed as `python` inside.",
        )
    missing = next((r for r in records if "missing" in r), None)
    if missing:
        raise SandboxError(
            f"{missing['missing']} cannot be imported in the sandbox ({missing['why']})",
            cure=f"Install {missing['missing']} into the image or the environment that `python` is of.",
        )
    record = _record(sandbox, files["record"]) if job["mode"] in ("trace", "lines") else b""
    notes = [r["note"] for r in records if "note" in r]
    return Done(job["tests"], result, records, record, notes)


def _record(sandbox: Sandbox, path: str) -> bytes:
    try:
        return sandbox.read(path)
    except FileNotFoundError:
        return b""


def _records(sandbox: Sandbox, path: str, token: str) -> list[dict[str, Any]]:
    """The records of the run that ``token`` names; none when it never began."""
    try:
        text = sandbox.read(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    records = []
    for line in text.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:  # cut in the middle: the process died there
            break
    return records if records and records[0].get("start") == token else []


@cache
def sources() -> Mapping[str, Any]:
    """The parts of a job that are the same for all: the text of the runners, and of the tracer."""
    here = Path(__file__).parent
    runners = [[name, (here / "runners" / f"{name}.py").read_text("utf-8")] for name in ORDER]
    return {"runners": runners, "tracer": (here / "tracer.py").read_text("utf-8")}


def tail(output: str, lines: int = 12) -> str:
    """The last lines of what was printed."""
    return "\n".join(output.rstrip().splitlines()[-lines:])
