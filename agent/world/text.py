"""Traces as plain text, for people and for models that read: compact, and back again without loss.

One event a line, indented by its depth::

    trace 1
    python 3.11.7
    test tests/test_shop.py::test_price

    run 1
    call test_price in tests/test_shop.py:4
    line 5  # catalogue = Catalogue({"tea": 4})
    line 6  catalogue = <Catalogue prices={'tea': 4}>  # assert catalogue.price("tea") == 4
      call Catalogue.price in shop.py:8  self = <Catalogue prices={'tea': 4}>; name = 'tea'
      line 9
      return 9  -> 4
    probe 6 @p1  -> 4
    return 6  -> None

    ended 1 passed
    limit frames  -> 20000, reached in run 1

Function, file and visit (``#2``: its second call in this run) are left out where they are those of the last
event at the same depth. A line shows the state before it runs: what changed since the last event of the same
call; ``del x``: unbound. Fields are two blanks apart; ``# ...`` (the source) is for the reader only. A text
that would not read back as itself stands as a backslash and a JSON string. ``[25] `` before an event is a
depth that is not shown by blanks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from agent.world.trace import Event, Frame, Outcome, Trace
from sandbox.errors import TracingError

__all__ = ["read_text", "render_text"]

VERSION = 1
_DEEPEST = 20
_QUOTED = r'\\"(?:[^"\\]|\\.)*"'
_TOKEN = rf"(?:{_QUOTED}|[^\s\\#@:;]+)"
_INT = r"-?\d+"
_HEAD = re.compile(
    rf"(?P<blanks> *)(?:\[(?P<depth>{_INT})\] )?(?P<event>{'|'.join(get_args(Event))})"
    rf"(?: (?P<function>{_TOKEN})(?:#(?P<visit>{_INT}))? in (?P<file>{_TOKEN}):| )(?P<line>{_INT})"
    rf"(?: @(?P<probe>{_TOKEN}))?"
)
_ENDED = re.compile(rf"ended (?P<run>{_INT}) (?P<outcome>{_TOKEN})(?:  -> (?P<message>.*))?")
_LIMIT = re.compile(rf"limit (?P<name>{_TOKEN})  -> (?P<detail>.*)")
_Source = Callable[[str, int], str]


def render_text(trace: Trace, source: _Source | None = None) -> str:
    """The trace as text. ``source(file, line)`` gives the source's line, or an empty text."""
    lines = [f"trace {VERSION}"]
    lines += [f"python {_raw(trace.python)}"] if trace.python else []
    lines += [f"test {_raw(trace.test)}"] if trace.test else []
    run: int | None = None
    last: dict[int, Frame] = {}
    for frame in trace.frames:
        if frame.run != run:
            run, last = frame.run, {}
            lines += ["", f"run {run}"]
        lines.append(_line(frame, last.get(frame.depth), source))
        last[frame.depth] = frame
    lines += [""] if trace.outcomes or trace.limits else []
    for ended in trace.outcomes:
        message = f"  -> {_raw(ended.message)}" if ended.message else ""
        lines.append(f"ended {ended.run} {_token(ended.outcome)}{message}")
    lines += [f"limit {_token(name)}  -> {_raw(detail)}" for name, detail in trace.limits.items()]
    return "\n".join(lines) + "\n"


def read_text(text: str) -> Trace:
    """Read what ``render_text`` wrote. Raises ``TracingError``, with the line's number, for anything else."""
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(" ")
        if not stripped or stripped.startswith("# "):
            continue
        try:
            reader.take(line)
        except ValueError as error:
            shown = line if len(line) <= 120 else line[:117] + "..."
            raise TracingError(
                f"line {number} of the trace {error}: {shown}", cure="docs/tracing.md describes the format"
            ) from error
    if not reader.begun:
        raise TracingError(
            "a trace was expected (its first line is `trace 1`), and there is nothing in it",
            cure="docs/tracing.md describes the format",
        )
    return reader.trace


# -- writing


def _line(frame: Frame, last: Frame | None, source: _Source | None) -> str:
    shallow = 0 <= frame.depth <= _DEEPEST
    head = ("  " * frame.depth if shallow else f"[{frame.depth}] ") + frame.event + " "
    same = last is not None and (last.function, last.file, last.visit) == (
        frame.function,
        frame.file,
        frame.visit,
    )
    if not same:
        visit = "" if frame.visit == 1 else f"#{frame.visit}"
        head += f"{_token(frame.function)}{visit} in {_token(frame.file)}:"
    head += str(frame.line)
    if frame.probe is not None:
        head += f" @{_token(frame.probe)}"
    fields = [head]
    if frame.value is not None:
        fields.append(f"-> {_raw(frame.value)}")
    if frame.locals:
        fields.append("; ".join(_change(name, value) for name, value in frame.locals.items()))
    code = source(frame.file, frame.line).strip() if source and frame.event in ("call", "line") else ""
    if code:
        fields.append(f"# {code if code.isprintable() else _json(code)}")
    return "  ".join(fields)


def _change(name: str, value: str | None) -> str:
    name = name if name.isidentifier() and name.isprintable() else "\\" + _json(name)
    return f"del {name}" if value is None else f"{name} = {_raw(value)}"


def _raw(text: str) -> str:
    """A text as it is, where it stands alone between the separators; else quoted."""
    plain = text.isprintable() and text.strip() == text and "  " not in text and ";" not in text
    return text if plain and text and not text.startswith(("\\", "-> ", "# ")) else "\\" + _json(text)


def _token(text: str) -> str:
    """A word: no blanks."""
    plain = text.isprintable() and re.fullmatch(r"[^\s\\#@:;\"]+", text)
    return text if plain else "\\" + _json(text).replace(" ", "\\u0020")


def _json(text: str) -> str:
    """A JSON string in ASCII, without the separators of this format."""
    quoted = json.dumps(text)
    return quoted.replace("  ", " \\u0020").replace("  ", " \\u0020").replace(";", "\\u003b")


# -- reading


class _Reader:
    """What was read so far."""

    def __init__(self) -> None:
        self.begun = False
        self.python = self.test = ""
        self.frames: list[Frame] = []
        self.outcomes: list[Outcome] = []
        self.limits: dict[str, str] = {}
        self.run = 1
        self.last: dict[int, Frame] = {}

    @property
    def trace(self) -> Trace:
        return Trace(tuple(self.frames), self.limits, self.python, tuple(self.outcomes), self.test)

    def take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if not self.begun:
            if word != "trace" or not rest.isdecimal():
                raise ValueError("should start the trace with `trace 1`")
            if int(rest) > VERSION:
                raise ValueError(f"says version {rest}; {VERSION} is the newest known here")
            self.begun = True
        elif word == "python":
            self.python = _text(rest)
        elif word == "test":
            self.test = _text(rest)
        elif word == "run":
            if not re.fullmatch(_INT, rest):
                raise ValueError("needs the number of a run")
            self.run, self.last = int(rest), {}
        elif word == "ended":
            found = _matched(_ENDED, line, "an outcome, as in `ended 1 passed`")
            message = _text(found["message"] or "")
            self.outcomes.append(Outcome(int(found["run"]), _text(found["outcome"]), message))
        elif word == "limit":
            found = _matched(_LIMIT, line, "a limit, as in `limit frames  -> 20000`")
            self.limits[_text(found["name"])] = _text(found["detail"])
        else:
            frame = self.frame(line)
            self.last[frame.depth] = frame
            self.frames.append(frame)

    def frame(self, line: str) -> Frame:
        found = _HEAD.match(line)
        if found is None:
            raise ValueError("is no event, such as `line 5` or `call f in m.py:4`")
        depth = int(found["depth"]) if found["depth"] else len(found["blanks"]) // 2
        function, file, visit = found["function"], found["file"], int(found["visit"] or 1)
        if function is None:
            if depth not in self.last:
                raise ValueError("names no function, and no event before it at this depth does")
            before = self.last[depth]
            function, file, visit = before.function, before.file, before.visit
        else:
            function, file = _text(function), _text(file)
        value: str | None = None
        changes: dict[str, str | None] = {}
        for part in _fields(line[found.end() :]):
            if part.startswith("-> "):
                value = _text(part[3:])
            else:
                changes = dict(_changes(part))
        probe = None if found["probe"] is None else _text(found["probe"])
        event: Event = found["event"]  # type: ignore[assignment]
        return Frame(event, function, file, int(found["line"]), depth, self.run, visit, changes, value, probe)


def _matched(pattern: re.Pattern[str], line: str, what: str) -> Mapping[str, str]:
    found = pattern.fullmatch(line)
    if found is None:
        raise ValueError(f"should be {what}")
    return found.groupdict()


def _fields(rest: str) -> Iterator[str]:
    if rest and not rest.startswith("  "):
        raise ValueError(f"has {rest[:20]!r} where two blanks were expected")
    for part in rest.split("  ")[1:]:
        if part.startswith("# "):
            return
        yield part


def _changes(part: str) -> Iterator[tuple[str, str | None]]:
    for change in part.split("; "):
        if change.startswith("del "):
            yield _text(change[4:]), None
            continue
        found = re.fullmatch(rf"({_QUOTED}|[^\s=]+) = (.*)", change, re.S)
        if found is None:
            raise ValueError(f"has {change[:40]!r} where `name = value` or `del name` was expected")
        yield _text(found[1]), _text(found[2])


def _text(written: str) -> str:
    if not written.startswith("\\"):
        return written
    try:
        text = json.loads(written[1:])
    except ValueError:
        text = None
    if not isinstance(text, str):
        raise ValueError(f"has {written[:40]!r} where a backslash and a JSON string were expected")
    return text
