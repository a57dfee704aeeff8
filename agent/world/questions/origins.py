"""Where a value comes from, as far as a test's file shows: through names, helpers, fixtures and parameters.

This is coarser than ``dataflow``, which knows what a name stands for: it follows a name that is bound in any
way to all that it may be made of. It serves to say what of an expected value stays in sight.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.world.questions.dataflow import Flow, Function, Place, last_name
from agent.world.questions.reach import is_fixture

_MAX_NODES = 5000
_SHOWING = {
    "dict", "enumerate", "filter", "float", "frozenset", "int", "list", "map", "max", "min", "next",
    "repr", "reversed", "set", "sorted", "str", "sum", "tuple", "zip", "approx", "deque", "array",
}  # fmt: skip
"""Functions that give what they are given, or nearly so."""
_OF_MODULES = {"approx", "array", "deque", "float", "int", "max", "min", "str", "sum"}
"""Those that modules have too (``np.array``). Others behind a dot are methods: ``query.filter(pk=3)`` shows
nothing of what it gives."""
_FILLING = {"append", "add", "extend", "insert", "update", "setdefault", "write", "write_text", "write_bytes"}


@dataclass
class Origin:
    """``constants``: what a value is made of in sight. ``compared``: whether it is what comes of comparing
    with one. ``elsewhere``: whether code out of sight has a part in it."""

    constants: list[ast.Constant] = field(default_factory=list)
    compared: bool = False
    elsewhere: bool = False


class Origins:
    """Follows values through one file."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._given: dict[Place, list[ast.expr]] = {}
        self._filled: dict[Place, list[ast.expr]] = {}
        self._functions: dict[str, list[Function]] = {}
        self._calls: dict[str, list[ast.Call]] = {}
        for function in flow.functions:
            self._functions.setdefault(function.name, []).append(function)
        for node in flow.nodes:
            self._index(node)

    def of(self, node: ast.expr, known: Sequence[ast.AST] = ()) -> Origin:
        """What an expression is made of beyond its own constants. Names in ``known`` are not followed."""
        stop = {self.flow.place(n) for part in known for n in ast.walk(part) if isinstance(n, ast.Name)}
        found = Origin()
        seen: set[int] = set()
        waiting: list[tuple[ast.AST, bool]] = [(node, False)]
        while waiting and len(seen) < _MAX_NODES:
            current, inside = waiting.pop()
            if id(current) in seen:
                continue
            seen.add(id(current))
            if isinstance(current, ast.Constant):
                if inside and not _is_plain(current):
                    found.constants.append(current)
            elif isinstance(current, ast.Call):
                waiting += [(part, True) for part in self._through(current, found)]
                waiting += [(part, inside) for part in self._shown(current)]
            elif isinstance(current, (ast.Name, ast.Attribute)) and self.flow.place(current) is not None:
                place = self.flow.place(current)
                if place is not None and place not in stop:
                    waiting += [(part, True) for part in (*self._bound(place), *self._filled.get(place, []))]
            elif isinstance(current, ast.Attribute):
                found.elsewhere = True
                waiting += [(part, True) for part in self._fields(current)]
            else:
                found.compared |= inside and _compares(current)
                waiting += [
                    (child, inside)
                    for name, child in _children(current)
                    if not (isinstance(current, ast.Subscript) and name == "slice")
                ]
        return found

    # -- what there is to follow

    def _index(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)) and node.value is not None:
            self._bind(node.target, node.value)
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            self._bind_items(node.target, node.iter)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._bind(node.optional_vars, node.context_expr)
        elif isinstance(node, ast.Call):
            self._calls.setdefault(last_name(node.func), []).append(node)
            if isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
                place = self.flow.place(node.func.value)
                if place is not None:
                    self._filled.setdefault(place, []).extend([*node.args, *(k.value for k in node.keywords)])

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        pairs = isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List))
        if pairs and len(target.elts) == len(value.elts):  # type: ignore[attr-defined]
            for part, one in zip(target.elts, value.elts, strict=True):  # type: ignore[attr-defined]
                self._bind(part, one)
            return
        if isinstance(target, ast.Subscript):  # what is put into a container
            target = target.value
        for node in ast.walk(target):
            place = self.flow.place(node)
            if place is not None:
                self._given.setdefault(place, []).append(value)

    def _bind_items(self, target: ast.expr, items: ast.expr) -> None:
        zipped = isinstance(items, ast.Call) and last_name(items.func) == "zip"
        if zipped and isinstance(target, ast.Tuple) and len(target.elts) == len(items.args):  # type: ignore[attr-defined]
            for part, one in zip(target.elts, items.args, strict=True):  # type: ignore[attr-defined]
                self._bind(part, one)
        else:
            self._bind(target, items)

    def _bound(self, place: Place) -> Iterator[ast.expr]:
        yield from self._given.get(place, [])
        for function in self.flow.functions:
            if id(function) == place[0]:
                yield from self._parameter(function, str(place[1]))

    def _fields(self, node: ast.Attribute) -> Iterator[ast.expr]:
        """What a constructor is given for a field: ``Case(want=3).want``; the cases of ``request.param``."""
        place = self.flow.place(node.value)
        for value in self._bound(place) if place is not None else []:
            part = value if node.attr == "param" else self.flow.part(value, node.attr)
            if part is not None:
                yield part

    def _parameter(self, function: Function, name: str) -> Iterator[ast.expr]:
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        names = [a.arg for a in positional]
        for one, default in zip(positional[::-1], arguments.defaults[::-1], strict=False):
            if one.arg == name:
                yield default
        for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if one.arg == name and value is not None:
                yield value
        if function.name.startswith("test") or is_fixture(function):
            yield from self._from_pytest(function, name)
            return
        bound = names[1:] if names[:1] in (["self"], ["cls"]) else names
        for call in self._calls.get(function.name, []):
            if name in bound and bound.index(name) < len(call.args):
                yield call.args[bound.index(name)]
            elif arguments.vararg is not None and arguments.vararg.arg == name:
                yield from call.args[len(bound) :]
            for keyword in call.keywords:
                whole = arguments.kwarg is not None and arguments.kwarg.arg == name
                if keyword.arg == name or (whole and keyword.arg not in names):
                    yield keyword.value

    def _from_pytest(self, function: Function, name: str) -> Iterator[ast.expr]:
        """A fixture's value, or the cases of ``parametrize``."""
        for fixture in self._functions.get(name, []):
            if is_fixture(fixture):
                yield from _results(fixture)
        if name == "request":
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Call):
                    yield from (k.value for k in decorator.keywords if k.arg == "params")
        for call in self._calls.get("parametrize", []):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            argnames = call.args[0] if call.args else given.get("argnames")
            values = call.args[1] if len(call.args) > 1 else given.get("argvalues")
            written = {str(n.value) for n in ast.walk(argnames or call) if isinstance(n, ast.Constant)}
            if values is not None and any(name in text.replace(",", " ").split() for text in written):
                yield values

    def _through(self, call: ast.Call, found: Origin) -> Iterator[ast.AST]:
        """What a function of the file gives, or makes of its arguments."""
        name = last_name(call.func)
        if name in self._functions:
            for function in self._functions[name]:
                found.compared |= any(_compares(node) for node in ast.walk(function))
                yield from _results(function)
            return
        place = self.flow.place(call.func) if isinstance(call.func, ast.Name) else None
        lambdas = [v for v in self._given.get(place, []) if isinstance(v, ast.Lambda)] if place else []
        if lambdas:
            yield from (value.body for value in lambdas)
            yield from call.args
        elif isinstance(call.func, ast.Attribute):
            place = self.flow.place(call.func.value)
            if place is not None and not _shows(call):
                yield from (value for value in self._bound(place) if isinstance(value, _WRITTEN))
                yield from self._filled.get(place, [])
        elif not (_shows(call) or name[:1].isupper()):
            found.elsewhere = True

    def _shown(self, call: ast.Call) -> Iterator[ast.AST]:
        """What a call shows of what it is given: a constructor, ``sorted``, a method of what is known."""
        name = last_name(call.func)
        if name in self._functions:
            return
        if isinstance(call.func, ast.Attribute) and not _shows(call) and not name[:1].isupper():
            receiver = call.func.value
            if isinstance(receiver, _WRITTEN):
                yield receiver
            if isinstance(receiver, (ast.Constant, ast.JoinedStr)):
                yield from call.args
        elif _shows(call) or name[:1].isupper():
            yield from call.args
            yield from (keyword.value for keyword in call.keywords)


_WRITTEN = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp)


def _shows(call: ast.Call) -> bool:
    """Whether it calls one of ``_SHOWING``."""
    return last_name(call.func) in (_OF_MODULES if isinstance(call.func, ast.Attribute) else _SHOWING)


def _compares(node: ast.AST) -> bool:
    """Whether something is compared with a constant."""
    if not isinstance(node, ast.Compare):
        return False
    constants = [n for part in (node.left, *node.comparators) for n in ast.walk(part)]
    return any(isinstance(n, ast.Constant) and not _is_plain(n) for n in constants)


def _results(function: Function) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)) and node.value is not None:
            yield node.value


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield name, child


def _is_plain(node: ast.AST) -> bool:
    """Constants that tell nothing; see ``operands.is_plain``."""
    value = getattr(node, "value", None)
    return value is None or isinstance(value, bool) or value in ("", b"")
