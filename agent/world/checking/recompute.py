"""Recomputation: each line of a dense predicted trace is computed again, alone, from the state predicted
before it, and compared with what is predicted after it: state, next line, return value, arguments.

Only where the inputs are plain values; the program is not run (``interpret.py``). Calls of the program's
own functions are answered with what the trace predicts of them. Values in a trace do not say which names
share one object, so what an in-place change may reach through another name is left open.
"""

from __future__ import annotations

import ast
import builtins
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.world.checking.effects import may_change_before, may_change_others
from agent.world.checking.interpret import (
    CannotTell,
    Interpreter,
    Raised,
    plain,
    read_plain,
)
from agent.world.checking.legality import Activation, Finding, activation, only
from agent.world.checking.story import Story, stored_names
from agent.world.compare import same_value
from agent.world.flow import Comprehension, Lines, Program, Unit
from agent.world.same import same
from agent.world.trace import Frame, Trace
from agent.world.values import Opaque, read_value

MAX_ITEMS = 10_000
_SHOWN = 160


def recompute(trace: Trace, program: Program) -> Iterator[Finding]:
    """What computing each line again contradicts, call by call; functions of other files are skipped."""
    story = Story(trace, program)
    for key, indices in story.calls.items():
        if key[1] != program.path:
            continue
        units = program.named(key[2], trace.frames[indices[0]].line)
        if units and not isinstance(units[0].node, ast.ClassDef):
            yield from _any_of(story, units, indices)


def _any_of(story: Story, units: list[Unit], indices: list[int]) -> Iterator[Finding]:
    """Of several lambdas or comprehensions on one line, any may be meant."""
    state = story.states[indices[0]]
    fitting = [unit for unit in units if set(unit.parameters) <= set(state)] or units
    first: list[Finding] | None = None
    for unit in fitting if units[0].is_nameless else units[:1]:
        kind = _Comprehended if unit.is_comprehension else _Recomputed
        made = kind(story, unit, indices)
        found = list(made.findings())
        if not found:
            story.bound.update(made.bound)
            return
        first = first or found
    yield from first or []


def contradicts(value: Any, text: str) -> bool:
    """Whether a predicted ``repr`` text cannot be that of a value; False where that can't be told."""
    if not plain(value):
        return False
    written = repr(value)
    same = same_value(written, text)
    if same is None:
        # No literal, though it looks like one, or a bare word: no builtin value is written so.
        seen = read_value(text)
        odd = text[:1] in "'\"[({-0123456789" or text.isidentifier()
        return isinstance(seen, Opaque) and not seen.cut and not seen.masked and odd
    return not same


def is_other_exception(raised: Raised, text: str) -> bool:
    """Whether a predicted exception cannot be the one that is raised: by class, and by what it is made of
    where the program (and not Python's version) says that."""
    seen = read_value(text)
    if not isinstance(seen, Opaque) or not issubclass(getattr(builtins, seen.type_name, int), BaseException):
        return False
    if seen.type_name != raised.kind:
        return True
    if raised.text is None or seen.cut:
        return False
    made, said = (f"({t.partition('(')[2].rpartition(')')[0]},)" for t in (raised.text, text))
    return same_value(made, said) is False


def _text(value: Any) -> str | None:
    return repr(value) if plain(value) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _cut(text: str | None) -> str:
    text = text or "nothing"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


@dataclass
class _Loop:
    """A ``for`` that is under way. ``items`` None: not known."""

    items: list[Any] | None
    taken: int
    inputs: Mapping[str, str | None]


@dataclass
class _Recomputed:
    """One call of a function or lambda."""

    story: Story
    unit: Unit
    indices: list[int]
    loops: dict[int, _Loop] = field(default_factory=dict)
    bound: dict[int, dict[str, Any]] = field(default_factory=dict)
    """As in ``Story``."""

    def __post_init__(self) -> None:
        self.key = activation(self.story.frames[self.indices[0]])
        stored = stored_names(list(ast.iter_child_nodes(self.unit.node)))
        self.own = stored.union(self.unit.parameters) - {".0"}
        """Names that only this call binds."""
        self.outside = {n: v for n, v in self.story.outside.items() if n not in stored}
        nested = [n for n in ast.walk(self.unit.node) if isinstance(n, (ast.Nonlocal, ast.Global))]
        # A return inside of these comes to other lines first, and its event is theirs.
        self.detours = any(isinstance(n, (ast.Try, ast.TryStar, ast.With)) for n in ast.walk(self.unit.node))
        self.shared = {name for node in nested for name in node.names}

    def findings(self) -> Iterator[Finding]:
        position = 0
        while position + 1 < len(self.indices) and time.monotonic() < self.story.until:
            here = self.frame(position)
            after = position + 1
            node = self.unit.headers.get(here.line)
            if here.event == "line" and node is not None and not self.repeats(node):
                # A statement of several lines, or with an inlined comprehension, gives several events, and
                # takes effect with the last.
                while after < len(self.indices) and self.inside(after, node):
                    yield from self.unchanged(after - 1, after, stored_names(_header(node)))
                    after += 1
            if after >= len(self.indices):
                return
            if here.event == "line":
                yield from self.step(position, after, node)
            else:
                yield from self.begun(position, after)
            position = after

    def begun(self, position: int, after: int) -> Iterator[Finding]:
        """The state where a call begins, or goes on: as it was, but for what others can change."""
        here, then = self.frame(position), self.frame(after)
        node = self.unit.headers.get(here.line)
        bound = self.own if node is None else stored_names(_header(node))
        if here.event == "return" and then.event == "call":
            yield from self.unchanged(position, after, bound | (set(self.state(position)) - self.own))
        elif here.event == "call" and then.event == "line":
            first = position == 0 and not self.unit.resumes
            yield from self.unchanged(position, after, set() if first else bound, in_place=not first)

    def frame(self, position: int) -> Frame:
        return self.story.frames[self.indices[position]]

    def state(self, position: int) -> dict[str, str]:
        return self.story.states[self.indices[position]]

    def inside(self, position: int, node: ast.stmt) -> bool:
        frame = self.frame(position)
        return frame.event == "line" and self.unit.headers.get(frame.line) is node

    def repeats(self, node: ast.stmt) -> bool:
        """Whether a statement is a loop with its body on one line."""
        loops = (ast.For, ast.AsyncFor, ast.While)
        return isinstance(node, loops) and node.lineno not in self.unit.branches

    # one line

    def step(self, position: int, after: int, node: ast.stmt | None) -> Iterator[Finding]:
        here, then = self.frame(position), self.frame(after)
        found: list[Finding] = []
        interpreter = self.interpreter(position, after, found)
        try:
            if isinstance(self.unit.node, ast.Lambda):
                yield from self.returned(interpreter.final(self.unit.node.body), here, after)
                return
            if isinstance(node, ast.For) and self.repeats(node):
                yield from self.loop_on_one_line(node, interpreter, position, after)
                return
            if node is None:  # a ``case`` or ``except``
                if then.event == "line":
                    yield from self.unchanged(position, after, self.own - set(self.unit.parameters))
                return
            if self.repeats(node):
                return
            if here.line in self.unit.rows:
                yield from self.row(self.unit.rows[here.line], interpreter, position, after)
                yield from found
                return
            if isinstance(node, ast.If) and node.lineno not in self.unit.branches:
                yield from self.one_line(node, interpreter, position, after)
                return
            if isinstance(node, ast.For):
                yield from self.loop(node, interpreter, position, after)
                yield from found
                return
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Yield)
                and node.value.value is not None
            ):
                if then.event == "return":
                    yield from self.returned(interpreter.final(node.value.value), here, after)
                return
            way, value = interpreter.run(node)
            yield from self.outcome(way, value, interpreter, node, position, after)
        except Raised as raised:
            yield from self.raised(raised, position, after)
        except CannotTell:
            if node is not None and then.event == "line":
                yield from self.unchanged(position, after, stored_names([*_header(node)]))
        yield from found

    def interpreter(self, position: int, after: int, found: list[Finding]) -> Interpreter:
        queue = self.story.called_between(self.key, self.indices[position], self.indices[after])
        return self.interpreting(self.state(position), self.outside, queue, found, self.frame(position).line)

    def interpreting(
        self,
        state: Mapping[str, str],
        outside: Mapping[str, Any],
        queue: list[Activation],
        found: list[Finding],
        line: int,
    ) -> Interpreter:
        """An interpreter whose calls of the program's functions the trace answers."""

        def answer(name: str, values: list[Any], named: dict[str, Any]) -> Any:
            key = self.next_call(queue, name)
            found.extend(self.arguments(key, values, named, line))
            made.stale = made.stale or key in self.story.changing
            return self.given_back(key)

        made = Interpreter(state, outside, answer)
        return made

    def next_call(self, queue: list[Activation], name: str) -> Activation:
        """The next call of the trace, which must be one of the function with this name."""
        unit = self.story.unit(queue[0]) if queue else None
        if (
            unit is None
            or unit.resumes
            or not isinstance(unit.node, ast.FunctionDef)
            or unit.qualname.rpartition(".<locals>.")[2] != name
        ):
            raise CannotTell
        return queue.pop(0)

    def arguments(
        self, key: Activation, values: list[Any], named: dict[str, Any], line: int
    ) -> Iterator[Finding]:
        """Where a call is given other values than its frame shows."""
        unit, start = self.story.unit(key), self.story.calls[key][0]
        assert unit is not None
        assert isinstance(unit.node, ast.FunctionDef)
        for argument, value in _bound(unit.node, values, named).items():
            text = self.story.states[start].get(argument)
            if text is not None and contradicts(value, text):
                said = f"{unit.node.name} called with {argument} = {_shown(value)}"
                right = {argument: repr(value)}
                yield Finding(start, "arguments", line, said, f"{argument} = {_cut(text)}", right)

    def given_back(self, key: Activation) -> Any:
        """What the trace says that a call returns."""
        frames = [self.story.frames[index] for index in self.story.calls[key][-2:]]
        if frames[-1].event != "return" or frames[0].event == "exception" or frames[-1].value is None:
            raise CannotTell
        return read_plain(frames[-1].value)

    # what a line gives

    def outcome(
        self, way: str, value: Any, interpreter: Interpreter, node: ast.stmt, position: int, after: int
    ) -> Iterator[Finding]:
        here, then = self.frame(position), self.frame(after)
        if then.event == "exception":
            if not isinstance(node, ast.Try):
                yield self.finding(after, "exception", here, "no exception", f"{_cut(then.value)}")
            return
        if way == "return":
            if not interpreter.is_old(value):
                yield from self.returned(value, here, after)
            return
        if way == "branch":
            lines = self.unit.branches.get(node.lineno)
            if lines and then.event == "line" and not self.taken(then.line, lines, value):
                where = " or ".join(f"line {n}" for n in sorted(lines[0 if value else 1]) if n) or "the end"
                found = f"line {then.line}"
                said = f"{_source(node)} is {value}: {where}"
                yield self.finding(after, "branch", here, said, found, to=only(lines[0 if value else 1]))
            elif lines and then.event == "return" and value:
                said = f"{_source(node)} is True"
                yield self.finding(after, "branch", here, said, "a return", to=only(lines[0]))
        if then.event == "line":
            yield from self.compare(interpreter, node, position, after)
        elif then.event == "return" and way == "next" and not self.unit.resumes and not self.detours:
            yield from self.returned(None, here, after)

    @staticmethod
    def taken(line: int, lines: tuple[Lines, Lines], value: bool) -> bool:
        """Whether the predicted next line is one of the way that is taken; a line off both is legality's."""
        mine, other = lines if value else (lines[1], lines[0])
        return line in mine or line not in other

    def returned(self, value: Any, here: Frame, after: int) -> Iterator[Finding]:
        then = self.frame(after)
        if then.event == "exception":
            said = f"the value {_shown(value)}"
            yield self.finding(after, "exception", here, said, _cut(then.value), value=_text(value))
        elif then.event == "return" and then.value is not None and contradicts(value, then.value):
            yield self.finding(after, "return", here, _shown(value), _cut(then.value), value=_text(value))

    def raised(self, raised: Raised, position: int, after: int) -> Iterator[Finding]:
        here, then = self.frame(position), self.frame(after)
        if then.event != "exception":
            found = f"{then.event} at line {then.line}"
            yield self.finding(after, "exception", here, raised.kind, found)
        elif then.value is not None and is_other_exception(raised, then.value):
            yield self.finding(after, "exception", here, raised.text or raised.kind, _cut(then.value))

    def row(
        self, row: Sequence[ast.stmt], interpreter: Interpreter, position: int, after: int
    ) -> Iterator[Finding]:
        """``x = 1; y = 2`` is one event."""
        if any(node.lineno != node.end_lineno for node in row):
            return
        try:
            for node in row:
                ways = interpreter.run(node)
                if ways[0] != "next" or isinstance(node, (ast.Break, ast.Continue)):
                    break
            yield from self.outcome(*ways, interpreter, node, position, after)
        except CannotTell:
            if self.frame(after).event == "line":
                yield from self.unchanged(position, after, stored_names(row))

    def one_line(
        self, node: ast.If, interpreter: Interpreter, position: int, after: int
    ) -> Iterator[Finding]:
        """``if x: return 0`` on one line is one event."""
        value = interpreter.run(node)[1]
        ways: tuple[str, Any] = ("next", None)
        for inner in node.body if value else []:
            ways = interpreter.run(inner)
            if ways[0] != "next" or isinstance(inner, (ast.Break, ast.Continue)):
                break
        here, then = self.frame(position), self.frame(after)
        if not value and node.orelse:
            return
        if ways[0] == "return" and then.event == "line":
            if not self.detours:
                yield self.finding(after, "branch", here, f"{_source(node)} is True", f"line {then.line}")
            return
        yield from self.outcome(*ways, interpreter, node, position, after)

    # loops

    def loop(self, node: ast.For, interpreter: Interpreter, position: int, after: int) -> Iterator[Finding]:
        here, then = self.frame(position), self.frame(after)
        choices, taken = self.round(node, interpreter, position, after)
        lines = self.unit.branches[node.lineno]
        targets = stored_names([node.target])
        may_change = any(may_change_others(part, ()) for part in (node.iter, node.target)) or any(
            key in self.story.changing
            for key in self.story.called_between(self.key, self.indices[position], self.indices[after])
        )
        if then.event == "exception" and choices:
            items = choices[0]
            more = taken < len(items)
            if not more or self.assigned(node.target, items[taken], position) is not None:
                said = f"one more round with {_shown(items[taken])}" if more else "the loop to end"
                yield self.finding(after, "exception", here, said, _cut(then.value))
            return
        if not choices or then.event not in ("line", "return"):
            if then.event == "line":
                yield from self.unchanged(position, after, targets, in_place=may_change)
            return
        wrong: list[Finding] = []
        for items in choices:
            bad = list(self.item(node, items, taken, lines, position, after))
            if not bad:
                wrong = []
                break
            wrong = wrong or bad
        yield from wrong
        if then.event == "line" and not wrong:
            bound = targets if any(taken < len(items) for items in choices) else set()
            yield from self.unchanged(position, after, bound, in_place=may_change)

    def round(
        self, node: ast.For, interpreter: Interpreter, position: int, after: int
    ) -> tuple[list[list[Any]], int]:
        """What the items of a loop may be (nothing: not known), and how many of them were taken before."""
        names = {n.id for n in ast.walk(node.iter) if isinstance(n, ast.Name)}
        state = self.state(position)
        inputs = {name: state.get(name) for name in names}
        record = self.loops.get(node.lineno)
        if record is None or not self.came_from(node, position):
            record = self.loops[node.lineno] = _Loop(self.items(node.iter, interpreter), 0, inputs)
        choices: list[list[Any]] = [record.items] if record.items is not None else []
        if choices and inputs != record.inputs:
            # The list may have been changed under way, or the name bound to another one.
            now = self.items(node.iter, self.interpreter(position, after, []))
            backwards = any(isinstance(n, ast.Name) and n.id == "reversed" for n in ast.walk(node.iter))
            choices = [] if now is None or backwards else [*choices, now]
        record.taken += 1
        return choices, record.taken - 1

    def loop_on_one_line(
        self, node: ast.For, interpreter: Interpreter, position: int, after: int
    ) -> Iterator[Finding]:
        """``for x in y: z += x`` is one event a round."""
        here, then = self.frame(position), self.frame(after)
        choices, taken = self.round(node, interpreter, position, after)
        simple = all(isinstance(part, (ast.Assign, ast.AugAssign, ast.Expr)) for part in node.body)
        if len(choices) != 1 or then.event != "line" or node.orelse or not simple:
            return
        if taken >= len(choices[0]):
            if then.line == node.lineno and not self.again(node):
                yield self.finding(after, "item", here, f"the loop to end after {taken} rounds", "one more")
            return
        if then.line != node.lineno:
            said = f"one more round with {_shown(choices[0][taken])}"
            yield self.finding(after, "item", here, said, f"line {then.line}")
            return
        interpreter.assign(node.target, choices[0][taken])
        for part in node.body:
            interpreter.run(part)
        yield from self.compare(interpreter, node, position, after)

    def again(self, node: ast.For) -> bool:
        """Whether a loop may be reached anew from its own end."""
        return any(
            node.lineno in self.unit.successors.get(n, ()) for n in self.unit.successors if n != node.lineno
        )

    def item(
        self,
        node: ast.For,
        items: list[Any],
        taken: int,
        lines: tuple[Lines, Lines],
        position: int,
        after: int,
    ) -> Iterator[Finding]:
        here, then = self.frame(position), self.frame(after)
        if taken >= len(items):
            if then.event == "line" and then.line in lines[0] and then.line not in lines[1]:
                found = f"line {then.line}, one more round"
                said = f"the loop to end after {len(items)} rounds"
                yield self.finding(after, "item", here, said, found, to=only(lines[1]))
            return
        if then.event == "return" or (then.line in lines[1] and then.line not in lines[0]):
            found = f"{then.event} at line {then.line}"
            said = f"one more round with {_shown(items[taken])}"
            name = node.target.id if isinstance(node.target, ast.Name) else None
            right = {name: repr(items[taken])} if name and plain(items[taken]) else {}
            yield self.finding(after, "item", here, said, found, right, to=only(lines[0]) if right else None)
            return
        for name, value in (self.assigned(node.target, items[taken], position) or {}).items():
            text = self.state(after).get(name)
            if text is None or contradicts(value, text):
                said = f"{name} = {_shown(value)}"
                came = f"{name} = {_cut(text)}"
                yield self.finding(after, "item", here, said, came, {name: repr(value)})

    def assigned(self, target: ast.expr, item: Any, position: int) -> dict[str, Any] | None:
        """The names that a loop binds for an item; None where that is not known."""
        interpreter = Interpreter(self.state(position), self.outside, _no_calls)
        try:
            interpreter.assign(target, item)
        except (CannotTell, Raised, TypeError, ValueError):
            return None
        return interpreter.changed

    def came_from(self, node: ast.For, position: int) -> bool:
        """Whether the event before was in the body of this loop, so that this is its next round."""
        frames = (self.frame(p) for p in range(position - 1, -1, -1))
        last = next((frame.line for frame in frames if frame.event == "line"), 0)
        return node.body[0].lineno <= last <= (node.body[-1].end_lineno or 0)

    @staticmethod
    def items(node: ast.expr, interpreter: Interpreter) -> list[Any] | None:
        try:
            value = interpreter.evaluate(node)
            found = []
            for item in interpreter.items(value):
                found.append(item)
                if len(found) > MAX_ITEMS:
                    return None
            return found
        except (CannotTell, Raised, TypeError, ValueError, RuntimeError):
            return None

    # states

    def compare(
        self, interpreter: Interpreter, node: ast.stmt, position: int, after: int
    ) -> Iterator[Finding]:
        """The state after a line that could be computed."""
        here, state = self.frame(position), self.state(after)
        changes = interpreter.mutated
        olds = [before for _, before in changes]
        twice = any(old == other for n, old in enumerate(olds) for other in olds[:n])  # maybe one object
        touched = {n for n, v in interpreter.values.items() if any(_holds(v, c) for c, _ in changes)}
        for name, value in interpreter.values.items():
            text = state.get(name)
            bound = name in interpreter.changed
            if name in self.shared or interpreter.is_old(value) or (twice and name in touched):
                continue
            if text is None:
                if bound:
                    said = f"{name} = {_shown(value)}"
                    right = {name: repr(value)} if plain(value) else {}
                    yield self.finding(after, "value", here, said, f"no {name}", right)
            elif (bound or name in touched) and contradicts(value, text) and _unlike(value, text, changes):
                said, came = f"{name} = {_shown(value)}", f"{name} = {_cut(text)}"
                yield self.finding(after, "value", here, said, came, {name: repr(value)})
        changed = set(interpreter.changed) | interpreter.unbound | stored_names([*_header(node)]) | touched
        open_ = bool(interpreter.mutated) or interpreter.stale
        yield from self.unchanged(position, after, changed, in_place=open_)

    def unchanged(
        self, position: int, after: int, may: set[str], *, in_place: bool = True
    ) -> Iterator[Finding]:
        """Names that a line does not bind must be as they were: all, or (``in_place``) what no other name
        can change."""
        here = self.frame(position)
        before, state = self.state(position), self.state(after)
        for name, text in state.items():
            old = before.get(name)
            if name in may or name in self.shared or old is None or old == text:
                continue
            try:
                value = read_plain(old)
            except CannotTell:
                continue
            if (not in_place or _fixed(value)) and contradicts(value, text):
                said, came = f"{name} = {_cut(old)} as before", f"{name} = {_cut(text)}"
                yield self.finding(after, "value", here, said, came, {name: old})

    def finding(
        self,
        after: int,
        what: str,
        here: Frame,
        expected: str,
        found: str,
        names: Mapping[str, str] | None = None,
        *,
        value: str | None = None,
        to: int | None = None,
    ) -> Finding:
        return Finding(self.indices[after], what, here.line, expected, found, names or {}, value, to)


def _no_calls(name: str, values: list[Any], named: dict[str, Any]) -> Any:
    raise CannotTell


def _header(node: ast.stmt) -> list[ast.AST]:
    """What of a statement runs with its line."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node]
    parts: list[ast.AST] = []
    for name, value in ast.iter_fields(node):
        inner = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, ast.AST)]
        if name not in ("body", "orelse", "finalbody", "handlers", "cases"):
            parts += inner
        else:
            parts += [v for v in inner if getattr(v, "lineno", 0) == node.lineno]
    return parts


def _fixed(value: Any) -> bool:
    """Whether a value cannot be changed in place."""
    if isinstance(value, tuple):
        return all(_fixed(item) for item in value)
    return not isinstance(value, (list, dict, set, bytearray))


def _holds(value: Any, container: Any) -> bool:
    """Whether a value is a container, or has it in it."""
    if value is container:
        return True
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(_holds(item, container) for item in items)


Changes = Sequence[tuple[Any, Any]]
"""Containers that were changed, each with a copy of what it was."""


def _unlike(value: Any, text: str, changes: Changes) -> bool:
    """Whether a text is not that of a value in which some containers were changed: what was equal to one of
    them may be the same object, and have changed too."""
    seen = read_value(text)
    return isinstance(seen, Opaque) or _parts_differ(value, seen, changes)


def _parts_differ(value: Any, seen: Any, changes: Changes) -> bool:
    changed = any(value is container for container, _ in changes)
    for container, before in () if changed else changes:
        if type(value) is type(before) and value == before and same(container, seen) is not False:
            return False
    if type(value) is type(seen) and isinstance(value, (list, tuple)) and len(value) == len(seen):
        return any(_parts_differ(a, b, changes) for a, b in zip(value, seen, strict=True))
    if isinstance(value, dict) and isinstance(seen, dict) and value.keys() == seen.keys():
        return any(_parts_differ(value[key], seen[key], changes) for key in value)
    return same(value, seen) is False


def _bound(node: ast.FunctionDef, values: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by parameter, as far as that is plain."""
    names = [a.arg for a in [*node.args.posonlyargs, *node.args.args]]
    given = dict(zip(names, values, strict=False))
    given |= {name: value for name, value in named.items() if name in names}
    for name, default in zip(reversed(names), reversed(node.args.defaults), strict=False):
        if name not in given and isinstance(default, ast.Constant):
            given[name] = default.value
    return given


def _source(node: ast.stmt) -> str:
    test = getattr(node, "test", None)
    text = ast.unparse(test) if isinstance(test, ast.expr) else ""
    return f"`{text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}`"


# -- comprehensions, which are calls of their own before Python 3.12


class _Comprehended(_Recomputed):
    """One call of a comprehension: its items, what it yields, and its result."""

    @property
    def node(self) -> Comprehension:
        assert isinstance(self.unit.node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp))
        return self.unit.node

    def findings(self) -> Iterator[Finding]:
        node = self.node
        items = self.given()
        simple = len(node.generators) == 1 and self.unit.first == self.unit.last
        bound = stored_names(ast.iter_child_nodes(node))
        taken = -1
        yield from self.around()
        for position in range(len(self.indices) - 1):
            if time.monotonic() > self.story.until:
                return
            event, following = self.frame(position).event, self.frame(position + 1).event
            if event == "line" and following == "line":
                yield from self.unchanged(position, position + 1, bound)
            elif event != "line":
                yield from self.begun(position, position + 1)
            if event == "line" and simple and items is not None:
                taken += 1
                yield from self.one(node, items, taken, position)

    def around(self) -> Iterator[Finding]:
        """The names of the function around it, where it is called from there."""
        index = self.story.caller.get(self.key)
        unit = None if index is None else self.story.unit(activation(self.story.frames[index]))
        place = self.unit.qualname.rpartition(".")[0].removesuffix(".<locals>")
        if index is None or unit is None or unit.is_nameless or unit.qualname != place:
            return
        if self.is_disturbed(unit, activation(self.story.frames[index]), index):
            return
        here = self.story.frames[index]
        for name, text in self.story.states[index].items():
            seen = self.state(0).get(name, text)
            try:
                value = read_plain(text)
            except CannotTell:
                continue
            if contradicts(value, seen):
                said, came = f"{name} = {_cut(text)} as around it", f"{name} = {_cut(seen)}"
                yield Finding(self.indices[0], "arguments", here.line, said, came, {name: text})

    def given(self) -> list[Any] | None:
        """The items that it is given, from the state of the caller; None where they are not known."""
        head, around = self.node.generators[0], self.story.caller.get(self.key)
        if around is None or head.is_async:
            return None
        caller = activation(self.story.frames[around])
        unit = self.story.unit(caller)
        if unit is None or self.is_disturbed(unit, caller, around):
            return None
        state, outside = dict(self.story.states[around]), dict(self.outside)
        # The frame of a comprehension shows the names of the round before.
        for name in stored_names([g.target for g in getattr(unit.node, "generators", [])]):
            state.pop(name, None)
            outside.pop(name, None)
        interpreter = Interpreter(state, outside, _no_calls)
        interpreter.values |= self.story.bound.get(around, {})
        return self.items(head.iter, interpreter)

    def is_disturbed(self, unit: Unit, caller: Activation, around: int) -> bool:
        """Whether the line that it stands in may change something before it is evaluated."""
        start = self.indices[0]
        earlier = (k for k in self.story.children.get(caller, ()) if around < self.story.calls[k][0] < start)
        if not self.story.changing.isdisjoint(earlier):
            return True
        statement = unit.headers.get(self.story.frames[around].line)
        parts = _header(statement) if statement is not None else [unit.node]
        return any(may_change_before(part, self.node) for part in parts)

    def one(
        self,
        node: Comprehension,
        items: list[Any],
        taken: int,
        position: int,
    ) -> Iterator[Finding]:
        """One line event: an item is taken, and the next event shows it, yields for it, or returns."""
        here, then = self.frame(position), self.frame(position + 1)
        head = node.generators[0]
        if taken >= len(items):
            if then.event == "exception":
                if not (then.value or "").startswith("StopIteration"):
                    yield self.finding(position + 1, "exception", here, "the loop to end", _cut(then.value))
            elif then.event == "line":
                said = f"the loop to end after {len(items)} items"
                yield self.finding(position + 1, "item", here, said, "one more round")
            elif isinstance(node, ast.GeneratorExp):
                if then.value is not None and same_value("None", then.value) is False:
                    yield self.finding(position + 1, "return", here, "None: no more items", _cut(then.value))
            else:
                yield from self.whole(node, items, position)
            return
        inner = self.interpreter(position, position + 1, [])
        try:
            inner.assign(head.target, items[taken])
        except (CannotTell, Raised, TypeError, ValueError):
            return
        self.bound[self.indices[position]] = dict(inner.changed)
        shown = position + (1 if then.event == "line" else 2)  # after a yield, where it goes on
        if shown < len(self.indices) and self.frame(shown).event in ("line", "call"):
            for name, value in self.bound[self.indices[position]].items():
                text = self.state(shown).get(name)
                if text is None or contradicts(value, text):
                    said = f"{name} = {_shown(value)}"
                    yield self.finding(shown, "item", here, said, f"{name} = {_cut(text)}")
        listed = not isinstance(node, ast.GeneratorExp)
        if listed and then.event == "return":
            said = f"one more round with {_shown(items[taken])}"
            yield self.finding(position + 1, "item", here, said, "a return")
            return
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        try:
            kept = all(inner.truth(inner.evaluate(test)) for test in head.ifs)
            value = [inner.final(part) for part in parts].pop() if kept else None
        except Raised as raised:
            yield from self.raised(raised, position, position + 1)
            return
        except CannotTell:
            return
        if then.event == "exception":
            said = f"no exception for {_shown(items[taken])}"
            yield self.finding(position + 1, "exception", here, said, _cut(then.value))
        elif listed:
            return
        elif kept and then.event == "line":
            yield self.finding(position + 1, "return", here, f"to yield {_shown(value)}", "the next item")
        elif kept:
            yield from self.returned(value, here, position + 1)
        elif then.event == "return":
            said = f"{_shown(items[taken])} to be left out"
            yield self.finding(position + 1, "return", here, said, f"{_cut(then.value)} is yielded")

    def whole(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp, items: list[Any], position: int
    ) -> Iterator[Finding]:
        """The result, from the items and the names around, as they were in the beginning."""
        here = self.frame(position)
        queue = self.story.called_between(self.key, self.indices[0], self.indices[position + 1])
        targets = stored_names([node.generators[0].target])
        state = {n: v for n, v in self.state(position).items() if n not in targets} | self.state(0)
        state.pop(".0", None)
        inner = self.interpreting(state, {**self.outside, ".0": items}, queue, [], here.line)
        copied = ast.comprehension(
            node.generators[0].target, ast.Name(".0", ast.Load()), node.generators[0].ifs, 0
        )
        again: ast.expr
        if isinstance(node, ast.DictComp):
            again = ast.DictComp(node.key, node.value, [copied])
        else:
            again = type(node)(node.elt, [copied])
        try:
            yield from self.returned(inner.final(again), here, position + 1)
        except (CannotTell, Raised):
            return
