"""Control flow of a Python source, line by line: which line can follow which, in the terms of
``sys.settrace`` (Python 3.10 on; where versions differ, both ways are allowed).

A *unit* is what becomes a frame: a function, a class body, a lambda, a comprehension.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

EXIT = 0
"""Stands for leaving the unit, where a line is expected."""

Lines = frozenset[int]
_NONE: Lines = frozenset()
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
UnitNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | Comprehension


@dataclass(frozen=True)
class Unit:
    """One unit. ``qualname`` as ``__qualname__`` writes it (``f.<locals>.g``, ``f.<locals>.<listcomp>``)."""

    qualname: str
    node: UnitNode
    first: int
    """Line of the call event: the first decorator, else the ``def``."""
    last: int
    entry: Lines
    """Lines at which it can begin."""
    successors: Mapping[int, Lines]
    """Line → lines that can come next, ``EXIT`` among them."""
    handlers: Mapping[int, Lines]
    """Line → lines that can come next when it raises."""
    headers: Mapping[int, ast.stmt]
    """Line → the outermost statement of which it is the line (for a compound one: of its header)."""
    branches: Mapping[int, tuple[Lines, Lines]]
    """First line of an ``if``, ``while`` or ``for`` → where it goes when true (one more item), when false."""
    yields: Lines
    """Lines of statements that may suspend."""
    rows: Mapping[int, tuple[ast.stmt, ...]]
    """Lines that hold several statements, one after the other: ``x = 1; y = 2``."""

    @property
    def is_comprehension(self) -> bool:
        return isinstance(self.node, _COMPREHENSIONS)

    @property
    def is_nameless(self) -> bool:
        """Whether several on one line share a name."""
        return isinstance(self.node, (ast.Lambda, *_COMPREHENSIONS))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the arguments, in order; ``.0`` for a comprehension."""
        if isinstance(self.node, _COMPREHENSIONS):
            return (".0",)
        return () if isinstance(self.node, ast.ClassDef) else parameters(self.node.args)

    @property
    def targets(self) -> frozenset[str]:
        """The names that the first loop of a comprehension binds."""
        if not isinstance(self.node, _COMPREHENSIONS):
            return frozenset()
        target = self.node.generators[0].target
        return frozenset(n.id for n in ast.walk(target) if isinstance(n, ast.Name))

    @property
    def resumes(self) -> bool:
        """Whether calling it makes a generator (or coroutine): it may be left and entered again."""
        return bool(self.yields) or isinstance(self.node, (ast.GeneratorExp, ast.AsyncFunctionDef))

    def after_exception(self, line: int, raised: str | None) -> Lines:
        """Where control goes from a line that raises; ``raised`` is the exception's text.

        ``for``, ``yield from`` and ``await`` take a StopIteration for the end, and go on (the event is there
        where the iterator says it by raising).
        """
        ways = self.handlers.get(line, _NONE)
        looping = (ast.For, ast.AsyncFor, *_COMPREHENSIONS)  # Python 3.12 on, comprehensions are inlined
        node = self.headers.get(line)
        loops = node is not None and any(isinstance(part, looping) for part in ast.walk(node))
        ends = loops or self.is_comprehension or line in self.yields
        if ends and raised is not None and raised.startswith(("StopIteration", "StopAsyncIteration")):
            ways |= self.successors.get(line, _NONE)
        return ways

    def same_statement(self, a: int, b: int) -> bool:
        """Whether two lines belong to one statement (or one statement's header)."""
        return a == b or (self.headers.get(a) is not None and self.headers.get(a) is self.headers.get(b))


def parameters(arguments: ast.arguments) -> tuple[str, ...]:
    """Names of the parameters, in the order of ``co_varnames``."""
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    stars = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return tuple(a.arg for a in [*named, *stars])


class Program:
    """The units of one source. Raises SyntaxError (or ValueError, RecursionError) where it is not Python."""

    def __init__(self, source: str, path: str = "") -> None:
        self.path = path
        self.tree = ast.parse(source)
        self.lines = source.splitlines()
        self.units = tuple(_units(self.tree))

    def named(self, function: str, line: int) -> list[Unit]:
        """The units that a qualified name means (``<locals>`` may be missing), those around ``line`` only.

        Comprehensions and lambdas on one line share a name: then there are several.
        """
        units = self._names.get(function.replace(".<locals>", ""), [])
        return [unit for unit in units if unit.first <= line <= unit.last] or units[:1]

    @cached_property
    def _names(self) -> dict[str, list[Unit]]:
        names: dict[str, list[Unit]] = {}
        for unit in self.units:
            name = unit.qualname.replace(".<locals>", "")
            # From Python 3.12 on, a comprehension is no part of the name of what is in it.
            for known in {name, re.sub(r"<(?:list|set|dict)comp>\.", "", name)}:
                names.setdefault(known, []).append(unit)
        return names

    def text(self, line: int) -> str:
        """A line of the source, 1-based; empty where there is none."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""


def _units(tree: ast.Module) -> Iterator[Unit]:
    yield from _inside(tree.body, "")


def _inside(nodes: Iterable[ast.AST], prefix: str) -> Iterator[Unit]:
    for node in nodes:
        if isinstance(node, _FUNCTIONS):
            outside = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
            yield from _inside(outside, prefix)
            yield _function(node, prefix + node.name, node.body)
            yield from _inside(node.body, f"{prefix}{node.name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            yield from _inside([*node.decorator_list, *node.bases], prefix)
            yield _function(node, prefix + node.name, node.body)
            yield from _inside(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Lambda):
            yield _expression(node, f"{prefix}<lambda>", [node.body])
            yield from _inside([node.body], f"{prefix}<lambda>.<locals>.")
        elif isinstance(node, _COMPREHENSIONS):
            # The first iterable belongs to the unit around it, and is evaluated before.
            yield from _inside([node.generators[0].iter], prefix)
            kinds = {ast.ListComp: "listcomp", ast.SetComp: "setcomp", ast.DictComp: "dictcomp"}
            name = f"<{kinds.get(type(node), 'genexpr')}>"
            yield _expression(node, prefix + name, [node])
            inner: list[ast.AST] = [*node.generators[0].ifs]
            inner += [part for g in node.generators[1:] for part in (g.iter, *g.ifs)]
            inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            yield from _inside(inner, f"{prefix}{name}.<locals>.")
        else:
            yield from _inside(ast.iter_child_nodes(node), prefix)


def _expression(node: ast.Lambda | Comprehension, qualname: str, parts: Sequence[ast.expr]) -> Unit:
    first = node.lineno
    lines = frozenset(range(first, (node.end_lineno or first) + 1))
    following = {line: lines | {EXIT} for line in lines}
    suspends = lines if isinstance(node, ast.GeneratorExp) else _NONE
    return Unit(
        qualname, node, first, max(lines), lines, following, dict.fromkeys(lines, frozenset({EXIT})),
        {}, {}, suspends, {},
    )  # fmt: skip


def _function(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, qualname: str, body: list[ast.stmt]
) -> Unit:
    flow = _Flow()
    leave: Lines = frozenset({EXIT})
    if not isinstance(node, ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
        body = body[1:]
    flow.block(body, _Around(leave, leave, leave, _NONE, _NONE))
    entry = _block_entry(body, leave)
    first = _first_line(node)
    if isinstance(node, ast.ClassDef):
        # A class body begins on its own line (``__module__``, ``__qualname__``) or, in 3.13, there only.
        heads = frozenset(range(first, node.lineno + 1))
        for line in heads:
            flow.successors.setdefault(line, set()).update(entry | heads)
        entry |= heads
    return Unit(
        qualname, node, first, node.end_lineno or node.lineno, entry,
        {line: frozenset(after) for line, after in flow.successors.items()},
        flow.raises, flow.headers, flow.branches, frozenset(flow.yields), flow.rows,
    )  # fmt: skip


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def header_lines(node: ast.stmt) -> Lines:
    """The lines of a statement; of a compound one, those of its header."""
    parts: list[ast.AST]
    if isinstance(node, (ast.If, ast.While)):
        parts = [node.test]
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        parts = [node.target, node.iter]
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        parts = [part for item in node.items for part in ast.iter_child_nodes(item)]
    elif isinstance(node, ast.Match):
        parts = [node.subject]
    elif isinstance(node, (ast.Try, ast.TryStar)):
        parts = []
    elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        last = max(node.lineno, min(_first_line(node.body[0]) - 1, node.end_lineno or node.lineno))
        return frozenset(range(_first_line(node), last + 1))
    else:
        return frozenset(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    last = max([node.lineno, *(getattr(part, "end_lineno", None) or 0 for part in parts)])
    return frozenset(range(node.lineno, last + 1))


@dataclass(frozen=True)
class _Around:
    """Where control goes from inside a block: at its end, on return, exception, break and continue."""

    follow: Lines
    leave: Lines
    error: Lines
    stop: Lines
    again: Lines


def _silent(node: ast.stmt) -> bool:
    """Statements that never are a line event."""
    return isinstance(node, (ast.Global, ast.Nonlocal))


def _optional(node: ast.stmt) -> bool:
    """Statements that are a line event in some versions only."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.AnnAssign) and node.value is None


def _block_entry(body: Sequence[ast.stmt], follow: Lines) -> Lines:
    """Where a block begins: its first line event."""
    if not body:
        return follow
    node = body[0]
    if _silent(node):
        return _block_entry(body[1:], follow)
    lines = header_lines(node)
    if _optional(node):
        return lines | _block_entry(body[1:], follow)
    if isinstance(node, (ast.If, ast.While)) and isinstance(node.test, ast.Constant):
        return lines | _block_entry(node.body, follow)
    return lines


@dataclass
class _Flow:
    successors: dict[int, set[int]] = field(default_factory=dict)
    raises: dict[int, Lines] = field(default_factory=dict)
    headers: dict[int, ast.stmt] = field(default_factory=dict)
    branches: dict[int, tuple[Lines, Lines]] = field(default_factory=dict)
    yields: set[int] = field(default_factory=set)
    rows: dict[int, tuple[ast.stmt, ...]] = field(default_factory=dict)

    def block(self, body: Sequence[ast.stmt], around: _Around) -> None:
        for before, node in pairwise(body):
            line = node.lineno
            if before.end_lineno == line and line not in self.headers:
                self.rows[line] = (*self.rows.get(line, (before,)), node)
        for index, node in enumerate(body):
            self.statement(node, replace(around, follow=_block_entry(body[index + 1 :], around.follow)))

    def add(self, node: ast.stmt, after: Lines, around: _Around) -> None:
        lines = header_lines(node)
        parts = [n for n in ast.walk(node) if isinstance(n, ast.expr) and n.lineno in lines]
        repeated = len(lines) > 1 or any(isinstance(part, _COMPREHENSIONS) for part in parts)
        for line in lines:
            self.successors.setdefault(line, set()).update(after | (lines if repeated else _NONE))
            self.raises[line] = self.raises.get(line, _NONE) | around.error
            self.headers.setdefault(line, node)
        if any(isinstance(part, (ast.Yield, ast.YieldFrom, ast.Await)) for part in _own(node, lines)):
            self.yields |= lines

    def statement(self, node: ast.stmt, around: _Around) -> None:
        if _silent(node):
            return
        if isinstance(node, (ast.If, ast.While, ast.For, ast.AsyncFor)):
            self.branch(node, around)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            self.attempt(node, around)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            # Leaving the body comes back to the line of the `with`, for ``__exit__``.
            lines = header_lines(node)
            out = around.follow | around.leave | around.error | around.stop | around.again
            out |= lines if len(node.items) > 1 else _NONE  # one ``__exit__`` after the other
            self.add(node, _block_entry(node.body, lines) | out, around)
            stop, again = (way | lines if way else way for way in (around.stop, around.again))
            leave, error = around.leave | lines, around.error | lines
            self.block(node.body, _Around(around.follow | lines, leave, error, stop, again))
            if isinstance(node, ast.AsyncWith):
                self.yields |= lines
        elif isinstance(node, ast.Match):
            self.match(node, around)
        elif isinstance(node, ast.Return):
            self.add(node, around.leave, around)
        elif isinstance(node, ast.Raise):
            # Raising again is no exception event.
            self.add(node, _NONE if node.exc else around.error, around)
        elif isinstance(node, ast.Break):
            self.add(node, around.stop, around)
        elif isinstance(node, ast.Continue):
            self.add(node, around.again, around)
        else:
            self.add(node, around.follow, around)

    def branch(self, node: ast.If | ast.While | ast.For | ast.AsyncFor, around: _Around) -> None:
        lines = header_lines(node)
        false = _block_entry(node.orelse, around.follow)
        if isinstance(node, ast.If):
            true = _block_entry(node.body, around.follow)
            inside = around
        else:
            true = _block_entry(node.body, lines)
            inside = replace(around, follow=lines, stop=around.follow, again=lines)
        one_line = bool(true & lines)
        ways = (true - lines if one_line and isinstance(node, ast.If) else true) | false
        self.add(node, ways, around)
        if not one_line:
            for line in lines:
                self.branches[line] = (true, false)
        if isinstance(node, ast.AsyncFor):
            self.yields |= lines
        self.block(node.body, inside)
        self.block(node.orelse, around)

    def attempt(self, node: ast.Try | ast.TryStar, around: _Around) -> None:
        out = around
        if node.finalbody:
            last = _block_entry(node.finalbody, around.follow)
            out = _Around(
                last, last, last, last if around.stop else _NONE, last if around.again else _NONE
            )  # fmt: skip
            anywhere = around.follow | around.leave | around.error | around.stop | around.again
            self.block(node.finalbody, replace(around, follow=anywhere))
        first = out.error
        for handler in reversed(node.handlers):
            own = frozenset(range(handler.lineno, self._handler_end(handler) + 1))
            for line in own:
                after = _block_entry(handler.body, out.follow) | first
                self.successors.setdefault(line, set()).update(after | (own if len(own) > 1 else _NONE))
                self.raises[line] = out.error
            self.block(handler.body, out)
            first = own
        inner = replace(out, error=first, follow=_block_entry(node.orelse, out.follow))
        self.add(node, _block_entry(node.body, inner.follow), inner)
        self.block(node.body, inner)
        self.block(node.orelse, out)

    @staticmethod
    def _handler_end(handler: ast.ExceptHandler) -> int:
        return max(handler.lineno, (handler.type and handler.type.end_lineno) or 0)

    def match(self, node: ast.Match, around: _Around) -> None:
        following = around.follow
        for case in reversed(node.cases):
            last = max(case.pattern.end_lineno, (case.guard and case.guard.end_lineno) or 0)
            own = frozenset(range(case.pattern.lineno, last + 1))
            body = _block_entry(case.body, around.follow)
            for line in own:
                ways = (body - own) | following | (own if len(own) > 1 else _NONE)
                self.successors.setdefault(line, set()).update(ways)
                self.raises[line] = around.error
            self.block(case.body, around)
            following = own
        self.add(node, following, around)


def _own(node: ast.stmt, lines: Lines) -> Iterator[ast.AST]:
    """Expressions of a statement's own lines, without those of functions in it."""
    pending: list[ast.AST] = [node]
    while pending:
        here = pending.pop()
        yield here
        for child in ast.iter_child_nodes(here):
            if isinstance(child, (ast.Lambda, *_COMPREHENSIONS, *_FUNCTIONS, ast.ClassDef)):
                continue
            if getattr(child, "lineno", min(lines)) in lines:
                pending.append(child)
