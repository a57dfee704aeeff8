"""Code World Models' native trace format, read and written.

Four kinds of frames, each ended by ``<|frame_sep|>``::

    <|call_sep|>$LOCALS<|action_sep|>$SOURCE
    <|line_sep|>$LOCALS<|action_sep|>$SOURCE
    <|return_sep|><|action_sep|>$SOURCE<|arg_sep|>$VALUE
    <|exception_sep|><|action_sep|>$SOURCE<|arg_sep|>$VALUE

``$LOCALS`` is a JSON object of ``repr`` texts, all names that are bound, ``".."`` for one that is as it was
in an earlier frame since the last call or return; ``$VALUE`` is a JSON string; ``$SOURCE`` is one physical
line (source: PROMPTING_GUIDE.md of facebookresearch/cwm). There are no line numbers: a line is found by its
text among the lines that can come next. Recorded answers often come with the special tokens stripped; then
where a frame ends is told by JSON and the source.

What the format cannot hold: probes, more than one run, files, a value that reads ``..``, which of two
possible next lines with the same text was meant, and which of two generators goes on that were left in the
same state.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.errors import UsageError
from agent.world.flow import Program, Unit
from agent.world.trace import Event, Frame, Trace, states

MARKER = "# << START_OF_TRACE"
UNCHANGED = ".."
MAX_STARTS = 50
"""Places at which a trace may begin."""
_FRAME, _ACTION, _ARG = "<|frame_sep|>", "<|action_sep|>", "<|arg_sep|>"
_TOKENS: dict[Event, str] = {
    "call": "<|call_sep|>",
    "line": "<|line_sep|>",
    "return": "<|return_sep|>",
    "exception": "<|exception_sep|>",
}
_RAISED = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Iteration|Warning)\b.*", re.S
)


@dataclass(frozen=True)
class Reading:
    """A trace as far as it could be read.

    ``complete``: the entry function returned, and its answer is not cut off. ``strange``: frame index
    (into ``trace.frames``) → why that frame fits nowhere in the source. ``forgiven``: what was put up with.
    """

    trace: Trace
    complete: bool
    strange: dict[int, str] = field(default_factory=dict)
    forgiven: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Raw:
    """A frame as it is written. ``event`` None: the special tokens are gone."""

    event: Event | None
    names: dict[str, str] | None
    source: str
    value: str | None


def is_cwm(text: str) -> bool:
    """Whether a text looks like this format, with or without its special tokens."""
    if any(token in text for token in (_FRAME, _ACTION, *_TOKENS.values())):
        return True
    return bool(
        re.search(r'^[ \t]*\{(?:"[^"\n]+": "(?:[^"\\\n]|\\.)*"(?:, )?)*\}[ \t]*[^\s{}",\]]', text, re.M)
    )


def context_of(prompt: str) -> str:
    """The source that a prompt asks to trace: the longest Python that ends with the entry function's body.

    Raises UsageError where the prompt marks no entry.
    """
    last = prompt.rsplit("<|trace_context_start|>", 1)[-1].split(_FRAME)[0]
    lines = (last if _entries(last.splitlines()) else prompt).splitlines()
    marked = _entries(lines)
    if not marked:
        raise UsageError(
            f"the prompt should mark the function to trace with `{MARKER}`, and marks none",
            cure="give the source itself: fixbug simulate FILE::FUNCTION",
        )
    end = marked[-1] + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t"):
        end += 1
    for start in range(max(0, marked[-1] - 2000), marked[-1] + 1):
        block = "\n".join(lines[start:end])
        if not lines[start].strip() or lines[start][0] in " \t":
            continue
        try:
            ast.parse(block)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return block + "\n"
    raise UsageError("the source in the prompt is not Python", cure="give the source itself")


def _entries(lines: Sequence[str]) -> list[int]:
    """Where the functions to trace begin."""
    starts = ("def ", "async ")
    return [n for n, line in enumerate(lines) if MARKER in line and line.startswith(starts)]


# -- writing


def render_cwm(trace: Trace, program: Program, *, run: int = 1) -> str:
    """One run of a trace in the native format, without what the format cannot hold."""
    parts = [_FRAME]
    shown: dict[str, str] = {}
    for frame, state in zip(trace.frames, states(trace.frames), strict=True):
        if frame.event == "probe" or frame.run != run:
            continue
        source = program.text(frame.line) + "\n"
        if frame.event in ("call", "line"):
            written = {
                name: UNCHANGED if frame.event == "line" and shown.get(name) == value else value
                for name, value in state.items()
            }
            parts += [_TOKENS[frame.event], _json(written), _ACTION, source, _FRAME]
            shown = state
        else:
            value = "None" if frame.value is None else frame.value
            parts += [_TOKENS[frame.event], _ACTION, source, _ARG, _json(value), _FRAME]
            if frame.event == "return":
                shown = {}
    return "".join(parts)


def stripped_of_tokens(text: str) -> str:
    """What is left of a rendered trace when a server leaves special tokens out of its answer."""
    return re.sub(r"<\|\w+\|>", "", text)


def _json(value: Any) -> str:
    # A value may hold the text of a token: escaped, it can't be taken for one.
    return json.dumps(value, ensure_ascii=False).replace("<|", "\\u003c|")


# -- reading


def read_cwm(text: str, program: Program, *, answer_expected: bool = False, ended: bool = False) -> Reading:
    """Read a prediction of a trace of ``program``, with or without special tokens; prose around is skipped.

    ``answer_expected``: the prompt asked for an ``[ANSWER]`` after the trace, so that an answer without one
    was cut. Without special tokens nothing marks the end of a trace: one that ends with its last frame, and
    no word after it, may have been cut there, and is not complete, unless it is known to have ``ended`` of
    itself. Only the first trace in the text is read:
    models that are not stopped go on with another problem.
    """
    native = _ACTION in text or any(token in text for token in _TOKENS.values())
    resolver = _Resolver(program)
    raws = list(_native(text) if native else _bare(text, program))
    for number, (raw, _) in enumerate(raws):
        after = raws[number + 1][0] if number + 1 < len(raws) else None
        if resolver.ended:
            break
        resolver.take(raw, after)
    ended_at = raws[len(resolver.frames) - 1][1] if resolver.frames else 0
    complete = resolver.ended
    rest = text[ended_at:]
    if complete and answer_expected and "[ANSWER]" not in rest:
        complete = False
        resolver.forgiven.append("the answer ends before its [ANSWER]: it was cut")
    elif complete and not native and not ended and not rest.strip():
        complete = False
        resolver.forgiven.append("the answer ends with the trace, and nothing says that it is whole")
    limits = {} if complete else {"cut": "the prediction stops before the entry function returns, or was cut"}
    trace = Trace(tuple(resolver.frames), limits)
    return Reading(trace, complete, resolver.strange, tuple(dict.fromkeys(resolver.forgiven)))


def _native(text: str) -> Iterator[tuple[_Raw, int]]:
    """Frames of the token format, each with the offset at which it ends."""
    start = min((at for token in (_FRAME, *_TOKENS.values()) if (at := text.find(token)) >= 0), default=0)
    first = text[:start].lstrip()
    if first.startswith("{") and "\n" not in first.split(_ACTION)[0]:
        start = 0  # what the prompt ended with is not repeated
    at = start
    while at < len(text):
        end = text.find(_FRAME, at)
        if end < 0:
            return  # cut, or what follows the trace
        chunk, at = text[at:end], end + len(_FRAME)
        if not chunk.strip():
            continue
        raw = _chunk(chunk)
        if raw is None:
            return
        yield raw, at


def _chunk(chunk: str) -> _Raw | None:
    event = next((event for event, token in _TOKENS.items() if chunk.lstrip().startswith(token)), None)
    body = chunk.lstrip().removeprefix(_TOKENS[event]) if event else chunk.lstrip()
    if _ACTION not in body:
        return None
    names, _, rest = body.partition(_ACTION)
    source, separator, value = rest.partition(_ARG)
    if names.strip():
        decoded, end = _decode(names.strip(), 0)
        state = _names(decoded)
        return (
            None
            if state is None or names.strip()[end:]
            else _Raw(event or "line", state, source.rstrip("\n"), None)
        )
    decoded, _ = _decode(value.strip(), 0)
    if not separator or not isinstance(decoded, str):
        return None
    return _Raw(event or "return", None, source.rstrip("\n"), decoded)


def _bare(text: str, program: Program) -> Iterator[tuple[_Raw, int]]:
    """Frames of the format without its special tokens, each with the offset at which it ends."""
    at = _begins(text, program)
    while at < len(text):
        blank = re.compile(r"\s*(?=\{)").match(text, at)
        if blank and not text.startswith('"', text.find("\n", blank.end()) + 1):
            at = blank.end()  # blank lines, or a line that is indented; with a value below, it is source
        if text[at] == "{":
            decoded, end = _decode(text, at)
            newline = text.find("\n", end)
            names = _names(decoded)
            if names is None or newline < 0:
                return
            raw = _Raw(None, names, text[end:newline], None)
            at = newline + 1
        else:
            newline = text.find("\n", at)
            if newline < 0 or not text.startswith('"', newline + 1):
                return
            decoded, end = _decode(text, newline + 1)
            if not isinstance(decoded, str):
                return
            raw = _Raw(None, None, text[at:newline], decoded)
            at = end
            if text.startswith("\n", at) and re.match(r"\n(?:\{|[^\n]+\n\")", text[at : at + 4000]):
                at += 1
        yield raw, at


def _begins(text: str, program: Program) -> int:
    """Where the first frame is: an object with a line of the source behind it, which prose may hold too."""
    places = [found.end() - 1 for found in re.finditer(r"^[ \t]*\{", text, re.M)]
    for at in places[:MAX_STARTS]:
        names, end = _decode(text, at)
        behind = text[end : end + 1000].split("\n", 1)[0]
        if isinstance(names, dict) and any(same_text(line, behind) for line in program.lines if line.strip()):
            return at
    return next(iter(places), len(text))


def _decode(text: str, at: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, at


def _names(decoded: Any) -> dict[str, str] | None:
    if not isinstance(decoded, dict):
        return None
    return {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in decoded.items()}


def same_text(a: str, b: str) -> bool:
    """Whether two lines of source say the same: the trace's marker, blanks and quotes aside."""
    a, b = _plain(a), _plain(b)
    return a == b or (a[:6] == b[:6] == "return" and _normal(a) is not None and _normal(a) == _normal(b))


def _plain(line: str) -> str:
    return line.strip().removesuffix(MARKER).rstrip()


def _normal(line: str) -> str | None:
    try:
        return ast.unparse(ast.parse(line))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@dataclass
class _Activation:
    unit: Unit
    visit: int
    line: int
    state: dict[str, str]
    begun: bool = False
    raised: bool = False


class _Resolver:
    """Finds unit and line of each frame, by text and by what can come next."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.stack: list[_Activation] = []
        self.sleeping: list[_Activation] = []
        self.visits: dict[str, int] = {}
        self.frames: list[Frame] = []
        self.strange: dict[int, str] = {}
        self.forgiven: list[str] = []
        self.ended = False

    def take(self, raw: _Raw, after: _Raw | None) -> None:
        if raw.names is None:
            self.leave(raw, after)
        elif raw.event == "call" or (raw.event is None and self.is_call(raw)):
            self.call(raw, raw.names, after)
        else:
            self.line(raw, raw.names)

    def lines(self, unit: Unit, source: str) -> list[int]:
        return [n for n in range(unit.first, unit.last + 1) if same_text(self.program.text(n), source)]

    # calls

    def is_call(self, raw: _Raw) -> bool:
        """Without tokens, a call is told from a line by its state: no ``..``, and just the arguments."""
        names = raw.names or {}
        if not self.stack:
            return True
        if UNCHANGED in names.values():
            return False
        top = self.stack[-1]
        if ".0" in names:
            # Back in a comprehension after a call in it, the state is written in full too.
            back = self.frames[-1].event == "return" and top.unit.is_comprehension
            inner = [u for u in self.inside(top.unit) if u.is_comprehension and self.could_begin(u, names)]
            same = names[".0"] == top.state.get(".0")
            return not (back and set(top.state) <= set(names) and (same or not inner))
        if self.asleep(raw):
            return True
        if any(line in self.after(top) for line in self.lines(top.unit, raw.source)):
            heads = [u for u in self.heads(raw.source) if isinstance(u.node, ast.Lambda)]
            mine = [u for u in heads if set(u.parameters) <= set(names) and self.could_hold(u, names)]
            return bool(mine) and set(names) != set(top.state)
        return bool(self.heads(raw.source))

    def heads(self, source: str) -> list[Unit]:
        """Units that begin on a line with this text."""
        return [u for u in self.program.units if same_text(self.program.text(u.first), source)]

    def asleep(self, raw: _Raw) -> _Activation | None:
        """The generator that goes on at a line with this text: one in this state, else the latest."""
        names = raw.names or {}
        found = [
            activation
            for activation in reversed(self.sleeping)
            if same_text(self.program.text(activation.line), raw.source)
            and activation.unit.targets | set(activation.state) <= set(names)
        ]
        return next((a for a in found if a.state == names), next(iter(found), None))

    def call(self, raw: _Raw, names: dict[str, str], after: _Raw | None) -> None:
        again = self.asleep(raw)
        if again is not None:
            self.sleeping.remove(again)
            self.stack.append(again)
            self.emit("call", again.line, names, again, fresh=True)
            return
        heads = self.heads(raw.source)
        unit = self.choose(heads, names, after)
        if unit is None:
            unit = self.stack[-1].unit if self.stack else (self.program.units or (None,))[0]
            self.strange[len(self.frames)] = f"no function begins with the line `{raw.source.strip()}`"
            if unit is None:
                self.ended = True
                return
        self.visits[unit.qualname] = self.visits.get(unit.qualname, 0) + 1
        activation = _Activation(unit, self.visits[unit.qualname], unit.first, {})
        self.stack.append(activation)
        self.emit("call", unit.first, names, activation, fresh=True)

    def choose(self, heads: Sequence[Unit], names: dict[str, str], after: _Raw | None) -> Unit | None:
        if ".0" in names:
            heads = [u for u in heads if u.is_comprehension]
            near = self.inside(self.stack[-1].unit) if self.stack else []
            fitting = [u for u in heads if self.could_begin(u, names)] or heads
            return next((u for u in fitting if u in near), next(iter(fitting), None))
        heads = [u for u in heads if not u.is_comprehension]
        exact = [u for u in heads if set(u.parameters) <= set(names)]
        begun = [
            u
            for u in exact
            if after is not None and any(line in u.entry for line in self.lines(u, after.source))
        ]
        return next(iter(begun or exact or heads), None)

    def inside(self, unit: Unit) -> list[Unit]:
        """The units that stand directly in a unit."""
        places = (unit.qualname, f"{unit.qualname}.<locals>")
        return [u for u in self.program.units if u.qualname.rpartition(".")[0] in places]

    def could_begin(self, unit: Unit, names: dict[str, str]) -> bool:
        """Whether a comprehension can be called in this state: no name of its own is bound yet."""
        return self.could_hold(unit, names) and not unit.targets & set(names)

    @staticmethod
    def could_hold(unit: Unit, names: dict[str, str]) -> bool:
        used = {n.id for n in ast.walk(unit.node) if isinstance(n, ast.Name)}
        return set(names) <= used.union(unit.parameters)

    # lines

    def after(self, activation: _Activation) -> frozenset[int]:
        """The lines that can come next in an activation."""
        unit, line = activation.unit, activation.line
        if not activation.begun:
            return unit.entry
        following = unit.successors.get(line, frozenset())
        return following | unit.handlers.get(line, frozenset()) if activation.raised else following

    def line(self, raw: _Raw, names: dict[str, str]) -> None:
        if not self.stack:
            self.forgiven.append("a line outside of any function was left out")
            self.ended = True
            return
        top = self.stack[-1]
        found = self.lines(top.unit, raw.source)
        possible = [n for n in found if n in self.after(top)]
        line = (possible or found or [0])[0]
        if len(possible) > 1 and top.line in possible and not top.unit.is_comprehension:
            line = next((n for n in possible if n != top.line), line)
        if not line:
            self.strange[len(self.frames)] = f"{top.unit.qualname} has no line `{raw.source.strip()}`"
        top.begun, top.raised = True, False
        self.emit("line", line or top.line, names, top)

    # leaving

    def leave(self, raw: _Raw, after: _Raw | None) -> None:
        if not self.stack:
            self.ended = True
            return
        top = self.stack[-1]
        event: Event = raw.event or self.way_out(raw, after)
        here = top.line
        if not same_text(self.program.text(here), raw.source):
            found = self.lines(top.unit, raw.source)
            near = [n for n in found if top.unit.same_statement(n, here)] or found
            if not near:
                self.strange[len(self.frames)] = f"{top.unit.qualname} has no line `{raw.source.strip()}`"
            here = (near or [here])[0]
        self.frames.append(self.frame(event, here, top, {}, raw.value))
        top.line = here
        if event == "exception":
            top.raised = True
            return
        self.stack.pop()
        if top.unit.resumes and here in top.unit.yields:
            self.sleeping.append(top)
        if not self.stack:
            self.ended = True

    def way_out(self, raw: _Raw, after: _Raw | None) -> Event:
        """Return or exception, which look alike without tokens: an exception is followed by a frame of the
        same function."""
        top = self.stack[-1]
        if not _RAISED.fullmatch(raw.value or ""):
            return "return"
        if after is None:
            return "exception"
        if after.names is None:
            return "exception" if same_text(after.source, raw.source) else "return"
        ways = top.unit.after_exception(top.line, raw.value)
        return "exception" if any(n in ways for n in self.lines(top.unit, after.source)) else "return"

    # frames

    def emit(
        self, event: Event, line: int, names: dict[str, str], activation: _Activation, *, fresh: bool = False
    ) -> None:
        before = {} if fresh else activation.state
        state: dict[str, str] = {}
        for name, text in names.items():
            if text != UNCHANGED:
                state[name] = text
            elif name in activation.state:
                state[name] = activation.state[name]
            else:
                self.strange.setdefault(
                    len(self.frames), f"`{name}` is said to be as before, and had no value"
                )
        changes: dict[str, str | None] = {k: v for k, v in state.items() if before.get(k) != v}
        changes |= {name: None for name in before if name not in state}
        activation.state, activation.line = state, line
        self.frames.append(self.frame(event, line, activation, changes, None))

    def frame(
        self,
        event: Event,
        line: int,
        activation: _Activation,
        names: dict[str, str | None],
        value: str | None,
    ) -> Frame:
        unit, depth = activation.unit, max(0, len(self.stack) - 1)
        return Frame(event, unit.qualname, self.program.path, line, depth, 1, activation.visit, names, value)
