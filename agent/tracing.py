"""``fixbug trace``: a command is run in a sandbox, what it does is recorded, and the trace is saved."""

from __future__ import annotations

import ast
import difflib
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import UsageError
from agent.world.trace import Trace, read_trace

if TYPE_CHECKING:
    from sandbox import Kind, Sandbox
    from sandbox.command import TracedCommand
    from sandbox.testing import TestRun

_MAX_SOURCE = 2_000_000
_DEFINITION = re.compile(r"^( *)(?:async +)?(def|class) +(\w+)", re.M)


@dataclass(frozen=True)
class TraceRequest:
    """What is asked. ``functions``: ``FILE::QUALNAME`` or ``FILE``; none: everything in the repository.

    ``repo`` None: the repository around the current directory, or with an ``image`` that holds one, that one.
    """

    command: tuple[str, ...]
    functions: tuple[str, ...] = ()
    repo: Path | None = None
    kind: Kind = "local"
    image: str | None = None
    python: str | None = None
    network: bool = False
    runs: int = 2
    timeout: float = 300
    max_frames: int = 20000
    workdir: str = "/testbed"


@dataclass(frozen=True)
class Recording:
    """What came of it. ``text`` is the trace as JSON Lines; ``sources``: file → its lines."""

    request: TraceRequest
    trace: Trace
    text: str
    runs: tuple[TestRun, ...]
    exit_code: int
    ok: bool
    output: str
    dropped_bytes: int
    seconds: float
    timed_out: bool
    sandbox: str
    notes: tuple[str, ...]
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def source(self, file: str, line: int) -> str:
        """A line of the source, 1-based; empty where it is not known."""
        lines = self.sources.get(file, ())
        return lines[line - 1] if 0 < line <= len(lines) else ""

    @property
    def calls(self) -> dict[tuple[str, str], int]:
        """(file, function) → events recorded in it, in the order of their first call."""
        found: dict[tuple[str, str], int] = {}
        for frame in self.trace.frames:
            found[frame.file, frame.function] = found.get((frame.file, frame.function), 0) + 1
        return found

    def to_json(self, out: Path | None) -> dict[str, Any]:
        """The same, for machines; the frames are in the file ``out``."""
        return {
            "command": list(self.request.command),
            "exit_status": 0 if self.ok else 1,
            "command_exit_status": self.exit_code,
            "timed_out": self.timed_out,
            "seconds": round(self.seconds, 3),
            "sandbox": self.sandbox,
            "python": self.trace.python,
            "runs": [
                {
                    "run": number,
                    "outcome": ended.outcome if (ended := self.trace.outcome(number)) else None,
                    "message": ended.message if ended else "it did not come to its end",
                    "tests": [{"id": c.id, "outcome": c.outcome, "message": c.message} for c in run.cases],
                    "events": sum(frame.run == number for frame in self.trace.frames),
                }
                for number, run in enumerate(self.runs, 1)
            ],
            "events": len(self.trace.frames),
            "functions": [
                {"file": file, "function": function, "events": events}
                for (file, function), events in self.calls.items()
            ],
            "limits": dict(self.trace.limits),
            "notes": list(self.notes),
            "output": self.output[-4000:],
            "out": str(out) if out else None,
        }


def record(request: TraceRequest, say: Callable[[str], None] = lambda text: None) -> Recording:
    """Run the command in a sandbox, and record it. ``say`` hears what takes its time.

    Raises FixbugError where it cannot be done as asked.
    """
    from sandbox import SandboxSpec, open_sandbox
    from sandbox.command import trace_command
    from sandbox.errors import SandboxError

    if request.repo is not None and not request.repo.is_dir():
        raise UsageError(f"--repo is to be a directory, got {request.repo}", cure="name the repository")
    notes: list[str] = []
    root = repository(request.repo or Path.cwd())
    kind, image, source = request.kind, request.image, root
    if kind == "auto":
        from sandbox.docker import engine_answers

        kind = "docker" if engine_answers() else "local"
    python = request.python or _own_python(root)
    spec = SandboxSpec(
        kind=kind, image=image, workdir=request.workdir, python=python, network=request.network
    )
    box: Sandbox | None = None
    if kind == "docker" and image is None:
        from sandbox.environment import image_for_tree

        image = image_for_tree(root, on_progress=say)
    elif kind == "docker" and request.repo is None:
        try:
            box = open_sandbox(spec)
            notes.append(
                f"the repository in the image was traced, {request.workdir} (--repo . takes this one)"
            )
        except SandboxError:  # the image holds none
            box = None
    if box is None:
        box = open_sandbox(replace(spec, image=image, source=source))
    with box:
        say(f"running {shlex.join(request.command)} ({box.kind} sandbox)")
        folder = _folder(root, bool(notes))
        functions = None
        if request.functions:
            functions = wanted(
                box, [_place(one, (root, Path(box.workdir)), folder) for one in request.functions]
            )
        done = trace_command(
            box, request.command, functions=functions, runs=request.runs, folder=folder,
            timeout=request.timeout, max_frames=request.max_frames,
        )  # fmt: skip
        trace = read_trace(done.traced.trace)
        sources = {file: _source(box, file) for file in dict.fromkeys(f.file for f in trace.frames)}
        return _recorded(request, done, trace, box.kind, (*notes, *done.traced.notes), sources)


def _recorded(
    request: TraceRequest, done: TracedCommand, trace: Trace, kind: str, notes: tuple[str, ...],
    sources: Mapping[str, Sequence[str]],
) -> Recording:  # fmt: skip
    lost = [n for n in range(1, request.runs + 1) if trace.outcome(n) is None]
    for number in lost if not done.timed_out else ():
        notes += (f"run {number} did not come to its end: the process ended with status {done.exit_code}",)
    return Recording(
        request, trace, done.traced.trace, done.traced.runs, done.exit_code, done.ok and not lost,
        done.output, done.dropped_bytes, done.seconds, done.timed_out, kind, notes, sources,
    )  # fmt: skip


def repository(place: Path) -> Path:
    """The top of the work tree around a directory; the directory itself where there is none.

    Raises UsageError for a place that holds much else.
    """
    place = place.resolve()
    root = next((p for p in (place, *place.parents) if (p / ".git").exists()), place)
    if root in (Path("/"), Path.home().resolve(), Path(tempfile.gettempdir()).resolve()):
        raise UsageError(
            f"{root} is no project's folder: all of it would be copied",
            cure="go to the project's folder, or name it with --repo DIR",
        )
    return root


def _folder(root: Path, in_image: bool) -> str:
    """Where in the repository the command was typed."""
    here = Path.cwd().resolve()
    return here.relative_to(root).as_posix() if not in_image and here.is_relative_to(root) else "."


def _own_python(root: Path) -> str | None:
    python = root / ".venv" / "bin" / "python"
    return str(python) if python.is_file() else None


def _place(one: str, roots: Sequence[Path], folder: str) -> str:
    """``FILE::NAME`` with FILE relative to the repository, where it is absolute or begins with ``..``."""
    file, colons, name = one.partition("::")
    path = Path(file)
    under = next((root for root in roots if path.is_absolute() and path.is_relative_to(root)), None)
    if under is not None:
        file = path.relative_to(under).as_posix()
    elif path.parts[:1] == ("..",):
        file = str(Path(folder) / file)
    return os.path.normpath(file) + colons + name


def wanted(box: Sandbox, functions: Sequence[str]) -> dict[str, list[str]]:
    """File → qualified names, of ``FILE::QUALNAME`` (a class: all of its methods) and ``FILE``.

    Raises UsageError, with the nearest names, for what is not there.
    """
    found: dict[str, list[str]] = {}
    for one in functions:
        file, _, name = one.partition("::")
        outside = Path(file).is_absolute() or Path(file).parts[:1] == ("..",)
        if outside or not box.run(f"test -f {shlex.quote(file)}").ok:
            raise UsageError(
                f"--functions names {file!r}, and the repository has no such file",
                cure="FILE::QUALNAME, such as shop.py::Catalogue.price, with FILE relative to the repository",
            )
        names = _functions(file, box.read(file))
        if not name:
            found[file] = []
            continue
        inside = [n for n in names if n == name or n.startswith(name + ".")]
        if not inside:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
            raise UsageError(
                f"{file} has no function {name!r}", cure=f"there are: {', '.join(near) or 'none'}"
            )
        if found.get(file) != []:
            found.setdefault(file, []).extend(inside)
    return found


def _functions(file: str, text: bytes) -> list[str]:
    """Qualified names of a file's functions and classes, in order, each once."""
    try:
        names = _names(ast.parse(text).body, "")
    except (SyntaxError, ValueError, RecursionError) as error:
        names = _read_off(text.decode("utf-8", "replace"))  # another version's Python
        if not names and not file.endswith(".py"):
            raise UsageError(
                f"--functions names {file}, which is not Python: {error}", cure="name a Python file"
            ) from error
    return list(dict.fromkeys(names))


def _read_off(text: str) -> list[str]:
    """The same by indentation, for what this Python cannot parse."""
    names: list[str] = []
    around: list[tuple[int, str]] = []
    for blanks, kind, name in _DEFINITION.findall(text.expandtabs()):
        around = [(indent, prefix) for indent, prefix in around if indent < len(blanks)]
        names.append((around[-1][1] if around else "") + name)
        around.append((len(blanks), names[-1] + (".<locals>." if kind == "def" else ".")))
    return names


def _names(body: Sequence[ast.stmt], prefix: str) -> list[str]:
    names = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(prefix + node.name)
            names += _names(node.body, f"{prefix}{node.name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            names.append(prefix + node.name)
            names += _names(node.body, f"{prefix}{node.name}.")
        else:
            inner = [getattr(node, part, None) for part in ("body", "orelse", "finalbody")]
            branches = [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]
            for part in (*inner, *(branch.body for branch in branches)):
                names += _names(part, prefix) if isinstance(part, list) else []
    return names


def _source(box: Sandbox, file: str) -> list[str]:
    """A file's lines, as it was before the command, should that have deleted it."""
    try:
        data = box.read(file)
    except (FileNotFoundError, OSError):
        shown = box.run(f"git show HEAD:{shlex.quote(file)}")
        data = shown.output.encode("utf-8", "replace") if shown.ok else b""
    return data[:_MAX_SOURCE].decode("utf-8", "replace").splitlines()


def save(text: str, out: Path) -> None:
    """Write a trace, atomically. Raises UsageError rather than replace a file that is no trace."""
    try:
        if out.exists() and out.stat().st_size and not out.read_bytes().startswith(b'{"fixbug_trace"'):
            raise UsageError(f"{out} exists and is no trace of fixbug's", cure="give another --out")
        part = out.with_name(f"{out.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(out)
    except OSError as error:
        raise UsageError(
            f"the trace cannot be written to {out}: {error.strerror}", cure="give --out a file that can be"
        ) from error
