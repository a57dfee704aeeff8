"""Cases: the rows of ``parametrize``, of loops and of a helper's calls that one assertion runs through.

pytest's rules, as of 9.2: marks are applied from the function outwards (the decorator nearest to it first,
then the class's, then ``pytestmark``), the last one applied changes fastest, and ids are joined by ``-`` in
that order.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.world.questions.dataflow import UNSEEN, Binding, Flow, Function, TooLarge, columns, last_name
from agent.world.questions.reach import Reach, is_fixture

MAX_COMBINATIONS = 10_000


@dataclass(frozen=True)
class Mark:
    """One ``parametrize``: a row of nodes a case. ``elements``: the rows as they are written."""

    call: ast.Call
    names: tuple[str, ...]
    indirect: frozenset[str]
    elements: tuple[ast.expr, ...]
    rows: tuple[tuple[ast.expr, ...], ...]
    ids: tuple[str | None, ...]
    """What pytest calls each row; None where that can't be seen."""

    @property
    def group(self) -> str:
        """The name of its cases."""
        return f"parametrize:{id(self.call)}"


@dataclass(frozen=True)
class Axis:
    """One thing that goes through cases: its group, and how many there are."""

    group: str
    size: int


class Cases:
    """Binds the parameters of a file's functions, and tells in which case an assertion is reached."""

    def __init__(self, flow: Flow, reach: Reach, test: str, conftests: Sequence[ast.Module] = ()) -> None:
        self.flow, self.reach, self.conftests = flow, reach, conftests
        self.wanted = test.partition("[")[2].removesuffix("]")
        self.marks: dict[int, list[Mark]] = {}
        self.chosen: dict[str, int] = {}
        """Group → the row that is run, where only one is."""
        self.sites: dict[int, list[ast.Call]] = {}
        self._mentions = self._find_mentions()
        for function in flow.functions:
            self._bind(function)

    # -- parameters

    def _bind(self, function: Function) -> None:
        names = [a.arg for a in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]
        positional = [n for n in names if n not in ("self", "cls")]
        marks = self.marks[id(function)] = list(self._marks(function))
        if self.wanted and function is self.reach.target:
            self._choose(marks)
        elif len(marks) == 1 and len(marks[0].rows) == 1:
            self.chosen[marks[0].group] = 0
        found: set[str] = set()
        for mark in marks:
            found |= set(mark.names)
            target = ast.Tuple([ast.Name(name, ast.Store()) for name in mark.names], ast.Store())
            rows: list[ast.expr] = [ast.Tuple(list(row), ast.Load()) for row in mark.rows]
            for part, nodes in columns(target, rows):
                assert isinstance(part, ast.Name)
                if part.id not in mark.indirect:
                    self.flow.bind(function, part.id, Binding(nodes, mark.group, self.chosen.get(mark.group)))
        calls = self._calls(function)
        self.sites[id(function)] = calls
        for index, name in enumerate(positional):
            if name in found:
                continue
            given = [_argument(call, index, name) for call in calls]
            fixture = None if calls or _is_helper(function) else self._fixture(name)
            if fixture is not None:
                self.flow.bind(function, name, Binding([fixture]))
            elif given and all(given):
                group = f"calls:{id(function)}" if len(given) > 1 else ""
                self.flow.bind(function, name, Binding([node for node in given if node], group))

    def _marks(self, function: Function) -> Iterator[Mark]:
        """The marks of a function in the order in which pytest applies them."""
        found = [*reversed(function.decorator_list)]
        parent = self.flow.parents.get(id(function))
        while parent is not None:
            if isinstance(parent, ast.ClassDef):
                found += [*reversed(parent.decorator_list), *_pytestmark(parent.body)]
            elif isinstance(parent, ast.Module):
                found += _pytestmark(parent.body)
            parent = self.flow.parents.get(id(parent))
        if function.name.startswith("test") and not is_fixture(function):
            for node in found:
                made = self._mark(node)
                if made is not None:
                    yield made

    def _mark(self, node: ast.expr) -> Mark | None:
        if not (isinstance(node, ast.Call) and last_name(node.func) == "parametrize"):
            return None
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        named = node.args[0] if node.args else given.get("argnames")
        values = node.args[1] if len(node.args) > 1 else given.get("argvalues")
        names = _argnames(named)
        elements = self.flow.rows(values) if values is not None else None
        if not names or not elements:
            return None
        rows = [self._row(element, len(names)) for element in elements]
        if any(row is None for row in rows):
            return None
        whole = [row for row in rows if row is not None]
        indirect = node.args[2] if len(node.args) > 2 else given.get("indirect")
        through = set(names) if indirect is not None else set()
        if isinstance(indirect, (ast.List, ast.Tuple)):
            through = {str(e.value) for e in indirect.elts if isinstance(e, ast.Constant)}
        elif isinstance(indirect, ast.Constant) and not indirect.value:
            through = set()
        ids = node.args[3] if len(node.args) > 3 else given.get("ids")
        return Mark(
            node, names, frozenset(through), tuple(elements), tuple(whole),
            tuple(_distinct([self._id(names, row, index, element, ids)
                             for index, (row, element) in enumerate(zip(whole, elements, strict=True))])),
        )  # fmt: skip

    def _row(self, node: ast.expr, width: int) -> tuple[ast.expr, ...] | None:
        if isinstance(node, ast.Call) and last_name(node.func) == "param":
            return tuple(node.args) if len(node.args) == width else None
        if width == 1:
            return (node,)
        if isinstance(node, ast.Name):
            binding = self.flow.binding(node)
            node = binding.nodes[0] if binding and not binding.group else node
        whole = isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) == width
        return tuple(node.elts) if whole and isinstance(node, (ast.Tuple, ast.List)) else None

    def _id(
        self,
        names: Sequence[str],
        row: Sequence[ast.expr],
        index: int,
        element: ast.expr,
        ids: ast.expr | None,
    ) -> str | None:
        if isinstance(element, ast.Call):
            for keyword in element.keywords if last_name(element.func) == "param" else ():
                if keyword.arg == "id":
                    return str(keyword.value.value) if isinstance(keyword.value, ast.Constant) else None
        if ids is not None and not (isinstance(ids, ast.Constant) and ids.value is None):
            given = self.flow.rows(ids)
            if given is None or index >= len(given):
                return None
            one = given[index]
            if not isinstance(one, ast.Constant):
                return None
            if one.value is not None:
                return str(one.value)
        return "-".join(self._value_id(node, name, index) for node, name in zip(row, names, strict=True))

    def _value_id(self, node: ast.expr, name: str, index: int) -> str:
        """pytest's id of one value: constants as they print, classes by name, else argument and index."""
        try:
            plain = ast.literal_eval(self.flow.literal(node))
        except (ValueError, TypeError, SyntaxError, TooLarge, RecursionError):
            if isinstance(node, (ast.Name, ast.Attribute)) and self.flow.binding(node) is None:
                return last_name(node)
            return f"{name}{index}"
        if isinstance(plain, bytes):
            return plain.decode("ascii", "backslashreplace")
        if isinstance(plain, str):
            return plain.encode("unicode_escape").decode("ascii")
        return str(plain) if plain is None or isinstance(plain, (int, float, complex)) else f"{name}{index}"

    def _choose(self, marks: Sequence[Mark]) -> None:
        """Which row of each mark the node id names. Where that can't be seen: UNSEEN."""
        sizes = 1
        for mark in marks:
            sizes *= len(mark.rows)
        if sizes <= MAX_COMBINATIONS:
            for rows in itertools.product(*(range(len(mark.rows)) for mark in marks)):
                parts = [mark.ids[row] for mark, row in zip(marks, rows, strict=True)]
                if all(part is not None for part in parts) and "-".join(map(str, parts)) == self.wanted:
                    self.chosen |= {mark.group: row for mark, row in zip(marks, rows, strict=True)}
                    return
        for mark in marks:  # fixtures with parameters have ids in it too
            fits = [i for i, name in enumerate(mark.ids) if name and f"-{name}-" in f"-{self.wanted}-"]
            longest = max((len(str(mark.ids[i])) for i in fits), default=0)
            best = [i for i in fits if len(str(mark.ids[i])) == longest]
            self.chosen[mark.group] = best[0] if len(best) == 1 else 0 if len(mark.rows) == 1 else UNSEEN

    def _fixture(self, name: str) -> ast.expr | None:
        """The constant that a fixture of this file, or of a ``conftest.py`` around it, gives."""
        for node in self.flow.functions:
            if node.name == name and is_fixture(node):
                return _given_by(node)
        for tree in self.conftests:
            for found in tree.body:
                if isinstance(found, ast.FunctionDef) and found.name == name and is_fixture(found):
                    value = _given_by(found)
                    try:
                        plain = ast.literal_eval(value) if value is not None else None
                    except (ValueError, TypeError, SyntaxError, RecursionError):
                        return None
                    # Not a node of this file: there is nothing to hide of it here.
                    return ast.parse(repr(plain), mode="eval").body if value is not None else None
        return None

    def _find_mentions(self) -> dict[str, list[ast.expr]]:
        mentions: dict[str, list[ast.expr]] = {}
        for node in self.flow.nodes:
            if isinstance(node, ast.Name) or (
                isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            ):
                mentions.setdefault(last_name(node), []).append(node)
        return mentions

    def _calls(self, function: Function) -> list[ast.Call]:
        """The calls of a helper, in order; none where it is used in another way too."""
        calls = []
        if function.name.startswith("test") or is_fixture(function):
            return []
        for node in self._mentions.get(function.name, []):
            parent = self.flow.parents[id(node)]
            if not (isinstance(parent, ast.Call) and parent.func is node):
                return []
            calls.append(parent)
        return sorted(calls, key=lambda call: (call.lineno, call.col_offset))

    # -- which case

    def axes(self, node: ast.AST) -> list[Axis]:
        """What goes through cases around a node, the fastest first, as far out as that is certain."""
        found: list[Axis] = []
        for _ in range(30):
            function = self._loops_around(node, found)
            if function is None or isinstance(function, ast.Module):
                return found
            if function.name.startswith("test") or function is self.reach.target:
                marks = self.marks.get(id(function), [])
                found += [
                    Axis(mark.group, len(mark.rows))
                    for mark in reversed(marks)
                    if mark.group not in self.chosen
                ]
                return found
            sites = self.sites.get(id(function), [])
            if len(sites) > 1:
                inner: list[Axis] = []
                around = {id(self._loops_around(site, inner)) for site in sites}
                if inner or len(around) != 1 or not all(self._is_straight(site) for site in sites):
                    return found
                found.append(Axis(f"calls:{id(function)}", len(sites)))
            if not sites:
                return found
            node = sites[0]
        return found

    def _loops_around(self, node: ast.AST, found: list[Axis]) -> Function | ast.Module | None:
        """Adds the axes between a node and its function; None where something on the way is uncertain."""
        current, parent = node, self.flow.parents.get(id(node))
        while parent is not None:
            if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return parent
            if isinstance(parent, (ast.ListComp, ast.GeneratorExp)) and current is parent.elt:
                for generator in reversed(parent.generators):
                    rows = self.flow.rows(generator.iter)
                    if rows is None or generator.ifs:
                        return None
                    found.append(Axis(f"for:{id(generator)}", len(rows)))
            elif isinstance(parent, (ast.For, ast.AsyncFor)):
                rows = self.flow.rows(parent.iter)
                leaves = any(isinstance(n, (ast.Break, ast.Continue, ast.Return)) for n in ast.walk(parent))
                if rows is None or leaves or current not in parent.body:
                    return None
                found.append(Axis(f"for:{id(parent)}", len(rows)))
            elif isinstance(parent, ast.Try):
                if current not in (*parent.body, *parent.finalbody):
                    return None
            elif isinstance(parent, ast.If) and isinstance(parent.test, ast.Compare):
                if "__name__" not in ast.unparse(parent.test):
                    return None
            elif isinstance(parent, (*_COMPREHENSIONS, *_CONDITIONS)):
                return None
            elif isinstance(parent, ast.Module):
                return parent
            current, parent = parent, self.flow.parents.get(id(parent))
        return None

    def _is_straight(self, node: ast.AST) -> bool:
        """Whether a call is reached exactly once each time that its function runs."""
        return self._loops_around(node, []) is not None


_CONDITIONS = (ast.If, ast.While, ast.IfExp, ast.BoolOp, ast.Lambda, ast.ExceptHandler, ast.Match)
_COMPREHENSIONS = (ast.SetComp, ast.DictComp, ast.ListComp, ast.GeneratorExp)


def _pytestmark(body: Sequence[ast.stmt]) -> list[ast.expr]:
    for statement in body:
        if isinstance(statement, ast.Assign) and any(last_name(t) == "pytestmark" for t in statement.targets):
            value = statement.value
            return list(value.elts) if isinstance(value, (ast.List, ast.Tuple)) else [value]
    return []


def _argnames(node: ast.expr | None) -> tuple[str, ...]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return tuple(name.strip() for name in node.value.split(",") if name.strip())
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(str(n.value) for n in node.elts if isinstance(n, ast.Constant))
    return ()


def _distinct(ids: Sequence[str | None]) -> list[str | None]:
    """pytest numbers ids that occur more than once: ``a0``, ``a1``."""
    result: list[str | None] = []
    for index, one in enumerate(ids):
        same = sum(other == one for other in ids)
        before = sum(other == one for other in ids[:index])
        separator = "_" if one and one[-1:].isdigit() else ""
        result.append(one if one is None or same == 1 else f"{one}{separator}{before}")
    return result


def _is_helper(node: Function) -> bool:
    return not node.name.startswith("test") and not is_fixture(node)


def _given_by(node: Function) -> ast.expr | None:
    """What a fixture returns or yields, where it does so in one place."""
    if any(
        isinstance(d, ast.Call) and any(k.arg == "params" for k in d.keywords) for d in node.decorator_list
    ):
        return None
    given = [
        n.value for n in ast.walk(node) if isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom)) and n.value
    ]
    branches = any(
        isinstance(n, (ast.If, ast.For, ast.While, ast.Try, ast.YieldFrom)) for n in ast.walk(node)
    )
    return given[0] if len(given) == 1 and not branches else None


def _argument(call: ast.Call, index: int, name: str) -> ast.expr | None:
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    if index < len(call.args):
        return call.args[index]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
