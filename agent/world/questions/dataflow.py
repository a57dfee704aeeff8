"""A simple data flow over a test file: which names stand for constants, and where their values are written.

It sees names that are bound once: a plain assignment, a loop or a comprehension over a literal, an attribute
of the test's class or of ``self``, a parameter that comes from ``parametrize``, from the calls of a helper in
the same file, or from a fixture that gives a constant. A field of a row (``case["want"]``, ``case.want``)
counts as a name of its own. What is bound twice, or a container that anything but a comparison touches, is
not a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.world.predicate import FUNCTIONS

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
Scope = ast.Module | ast.ClassDef | ast.Lambda | Function | Comprehension
Place = tuple[int | str, ...]
"""What a name is bound in, and its name; for a field of a row, the field's name or index behind it."""

COMPUTED, BUILT, LITERAL = 2, 1, 0
"""What an expression is made of: something that has to be run; constants through a constructor
(``Decimal("1")``, ``Color.RED``); constants alone."""

_BUILDERS = {
    "array", "bytes", "bytearray", "complex", "date", "datetime", "dedent", "deque", "defaultdict", "range",
    "time", "timedelta", "namedtuple", "call", "frozenset", "zip", "enumerate", "reversed", "product",
}  # fmt: skip
_ALIASES = {"pytest.approx": "approx", "math.isclose": "isclose"}
_DEPTH = 40
_MAX_PARTS = 1500
"""Parts of a constant expression once its names are replaced by what they stand for."""
CASE = "case of "
"""Stands before the group's name where a value depends on the case: ``(1, 2)[case of GROUP]``."""


UNSEEN = -1
"""The chosen case, where only one is run and it can't be seen which."""


class TooLarge(ValueError):
    """A constant that is too large to be part of a predicate."""


@dataclass
class Binding:
    """Where a name gets its value: one node, or one a case where ``group`` is set."""

    nodes: Sequence[ast.expr]
    group: str = ""
    chosen: int | None = None
    """The case that is run, where only one is."""


@dataclass
class Flow:
    """The bindings of a module and of the functions in it. ``classes``: names that mean the test's class."""

    tree: ast.Module
    classes: frozenset[str] = frozenset()
    bindings: dict[Place, Binding] = field(default_factory=dict)
    parents: dict[int, ast.AST] = field(default_factory=dict)
    loads: dict[Place, list[ast.expr]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = list(ast.walk(self.tree))
        for parent in self.nodes:
            for child in ast.iter_child_nodes(parent):
                self.parents[id(child)] = parent
        self.functions: list[Function] = [
            node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        self._local: dict[int, set[str]] = {}
        self._ranks: dict[int, int] = {}
        self._passed: set[int] = set()  # what becomes a parameter with a binding of its own
        self._counts: dict[Place, int] = {}
        self._fields = _record_fields(self.nodes)
        for node in self.nodes:
            self._count(node)
        for node in self.nodes:
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.For, ast.AsyncFor, ast.comprehension)):
                for target, nodes, group in self._bound_by(node):
                    if self._counts.get(target) == 1:
                        self.bindings[target] = Binding(nodes, group)
        for node in self.nodes:
            place = self.place(node) if isinstance(node, (ast.Name, ast.Attribute)) else None
            if place is not None and isinstance(getattr(node, "ctx", None), ast.Load):
                assert isinstance(node, ast.expr)
                self.loads.setdefault(place, []).append(node)

    def bind(self, function: Function, name: str, binding: Binding) -> None:
        """Bind a parameter, unless the function binds that name itself."""
        if self._counts.get((id(function), name)) == 1:
            self.bindings[(id(function), name)] = binding
            self._passed |= {id(node) for node in binding.nodes}
            self._ranks.clear()

    # -- names

    def scopes(self, node: ast.AST) -> Iterator[Scope]:
        """The scopes around a node, the nearest first. A class counts only for what stands in its body."""
        current: ast.AST | None = self.parents.get(id(node))
        inside = False
        while current is not None:
            if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                # Decorators and defaults are evaluated outside.
                if not isinstance(current, ast.Lambda) and node in (
                    *current.decorator_list, *current.args.defaults, *current.args.kw_defaults,
                ):  # fmt: skip
                    node, current = current, self.parents.get(id(current))
                    continue
                inside = True
                yield current
            elif isinstance(current, (ast.Module, *_COMPREHENSIONS)) or (
                isinstance(current, ast.ClassDef) and not inside
            ):
                yield current
            node, current = current, self.parents.get(id(current))

    def owner(self, node: ast.AST, name: str) -> Scope:
        """The scope in which a name that is read at ``node`` is bound."""
        for scope in self.scopes(node):
            if isinstance(scope, ast.Module) or name in self._names_of(scope):
                return scope
        return self.tree

    def _names_of(self, scope: Scope) -> set[str]:
        if id(scope) not in self._local:
            self._local[id(scope)] = _local_names(scope)
        return self._local[id(scope)]

    def place(self, node: ast.AST) -> Place | None:
        """What a name, or an attribute of ``self`` or of the test's class, is bound in."""
        if isinstance(node, ast.Name):
            return (id(self.owner(node, node.id)), node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            own = node.value.id in ("self", "cls") or node.value.id in self.classes
            return ("self", node.attr) if own else None
        return None

    def binding(self, node: ast.AST) -> Binding | None:
        """Where a name, an attribute of ``self``, or a field of a row gets its value, if that is simple."""
        place = self.place(node)
        if place is not None:
            if place[0] == id(self.tree) and place not in self.bindings and isinstance(node, ast.Name):
                return None
            return self.bindings.get(place)
        name = self.projection(node)
        base = getattr(node, "value", None)
        if name is None or base is None:
            return None
        whole = self.binding(base)
        if whole is None:
            return None
        parts = [self.part(row, name) for row in whole.nodes]
        if all(part is not None for part in parts):
            return Binding([part for part in parts if part is not None], whole.group, whole.chosen)
        return None

    def projection(self, node: ast.AST) -> str | int | None:
        """``want`` for ``case["want"]`` and ``case.want``, 1 for ``case[1]``; None for anything else."""
        if isinstance(node, ast.Attribute) and self.place(node) is None:
            return node.attr
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            key = node.slice.value
            return key if isinstance(key, (str, int)) and not isinstance(key, bool) else None
        return None

    def part(self, row: ast.expr, name: str | int) -> ast.expr | None:
        """The field of a row: an entry of a dict or tuple, or what a record's constructor is given."""
        if isinstance(row, ast.Dict):
            for key, value in zip(row.keys, row.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == name:
                    return value
        elif isinstance(row, (ast.Tuple, ast.List)) and isinstance(name, int):
            if -len(row.elts) <= name < len(row.elts) and not any(
                isinstance(e, ast.Starred) for e in row.elts
            ):
                return row.elts[name]
        elif isinstance(row, ast.Call) and isinstance(name, str):
            for keyword in row.keywords:
                if keyword.arg == name:
                    return keyword.value
            names = self._fields.get(last_name(row.func), [])
            if name in names and names.index(name) < len(row.args):
                return row.args[names.index(name)]
        return None

    def assigned(self, node: ast.Name) -> list[ast.expr]:
        """All that is assigned to a name, however often."""
        place = self.place(node)
        return [
            value
            for statement in self.nodes
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None
            for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
            for part, values in columns(target, [statement.value])
            if self.place(part) == place
            for value in values
        ]

    # -- what an expression is made of

    def rank(self, node: ast.expr, depth: int = 0) -> int:
        """LITERAL, BUILT or COMPUTED."""
        known = self._ranks.get(id(node))
        if known is None:
            known = self._ranks[id(node)] = COMPUTED if depth > _DEPTH else self._rank(node, depth)
        return known

    def _rank(self, node: ast.expr, depth: int) -> int:
        if isinstance(node, ast.Constant):
            return COMPUTED if node.value is Ellipsis else LITERAL
        if isinstance(node, ast.Name):
            return self._rank_name(node, depth)
        if isinstance(node, (ast.Attribute, ast.Subscript)) and self.binding(node) is not None:
            return self._rank_name(node, depth)
        if isinstance(node, ast.Attribute):
            return BUILT if _is_class_path(node.value) else COMPUTED
        if isinstance(node, ast.Call):
            return self._rank_call(node, depth)
        if isinstance(node, (ast.JoinedStr, ast.FormattedValue)):
            return self._worst(node, depth)
        plain = (
            ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Subscript,
            ast.IfExp,
        )  # fmt: skip
        return self._worst(node, depth) if isinstance(node, plain) else COMPUTED

    def _worst(self, node: ast.expr, depth: int) -> int:
        parts: list[ast.expr] = []
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Slice):
                parts += [part for part in (child.lower, child.upper, child.step) if part]
            elif isinstance(child, ast.expr):
                parts.append(child)
        return max((self.rank(part, depth + 1) for part in parts), default=LITERAL)

    def _rank_name(self, node: ast.Name | ast.Attribute | ast.Subscript, depth: int) -> int:
        binding = self.binding(node)
        if binding is None:
            known = isinstance(node, ast.Name) and node.id[:1].isupper() and not self._is_bound(node)
            return BUILT if known else COMPUTED
        worst = max((self.rank(value, depth + 1) for value in binding.nodes), default=COMPUTED)
        if worst < COMPUTED and not all(_is_atom(value) for value in binding.nodes):
            base: ast.expr = node
            while self.place(base) is None and isinstance(base, (ast.Attribute, ast.Subscript)):
                base = base.value
            place = self.place(base)
            if place is not None and any(self._touches(load) for load in self.loads.get(place, [])):
                return COMPUTED
        return worst

    def _is_bound(self, node: ast.Name) -> bool:
        owner = self.owner(node, node.id)
        return not isinstance(owner, ast.Module) or (id(owner), node.id) in self._counts

    def _touches(self, load: ast.expr) -> bool:
        """Whether more than comparing and indexing is done with a name (a container may change then)."""
        parent = self.parents[id(load)]
        if isinstance(parent, ast.keyword):
            load, parent = parent.value, self.parents[id(parent)]
        if isinstance(parent, ast.Call):
            name = last_name(parent.func)
            harmless = name.startswith("assert") or name in FUNCTIONS or name in ("print", "subTest")
            return load is parent.func or not (harmless or id(load) in self._passed)
        if isinstance(parent, ast.Subscript):
            return not isinstance(parent.ctx, ast.Load)
        if isinstance(parent, ast.Attribute):
            calls = self.parents[id(parent)]
            if not (
                isinstance(parent.ctx, ast.Load) and isinstance(calls, ast.Call) and calls.func is parent
            ):
                # A field of a row is looked at; whether it is one shows in the rows.
                place = self.place(load)
                binding = self.bindings.get(place) if place else None
                return binding is None or any(self.part(r, parent.attr) is None for r in binding.nodes)
            return parent.attr not in _HARMLESS
        handed_on = isinstance(parent, (ast.Return, ast.Assign, ast.Yield, ast.Starred))
        return handed_on and id(load) not in self._passed

    def _rank_call(self, node: ast.Call, depth: int) -> int:
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any(isinstance(part, ast.Starred) for part in parts):
            return COMPUTED
        inner = max((self.rank(part, depth + 1) for part in parts), default=LITERAL)
        if inner == COMPUTED:
            return COMPUTED
        if call_name(node) in FUNCTIONS:
            return inner
        last = last_name(node.func)
        if last in _BUILDERS or (last[:1].isupper() and not last.isupper()):
            return BUILT
        if isinstance(node.func, ast.Attribute) and self.rank(node.func.value, depth + 1) == LITERAL:
            return BUILT  # a method of a literal: "\n".join([...])
        return COMPUTED

    def literal(self, node: ast.expr) -> ast.expr:
        """A LITERAL expression with its names replaced by what they stand for.

        What has a value a case becomes ``(a, b)[case of GROUP]``. Raises TooLarge for more than a predicate
        should hold.
        """
        found: ast.expr = self._substituted(node, [_MAX_PARTS], 0)
        return found

    def _substituted(self, node: Any, budget: list[int], depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0 or depth > _DEPTH:
            raise TooLarge("the constant is too large")
        binding = self.binding(node) if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) else None
        if binding is not None and binding.chosen == UNSEEN:
            return ast.Name("unknown", ast.Load())
        if binding is not None:
            chosen = binding.nodes if binding.chosen is None else [binding.nodes[binding.chosen]]
            values = [self._substituted(value, budget, depth + 1) for value in chosen]
            if not binding.group or binding.chosen is not None:
                return values[0]
            case = ast.Name(CASE + binding.group, ast.Load())
            return ast.Subscript(ast.Tuple(values, ast.Load()), case, ast.Load())
        fields: dict[str, Any] = {}
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.Call) and name == "func":
                value = ast.Name(call_name(node), ast.Load())
            elif isinstance(value, list):
                value = [
                    self._substituted(v, budget, depth + 1) if isinstance(v, ast.AST) else v for v in value
                ]
            elif isinstance(value, ast.AST):
                value = self._substituted(value, budget, depth + 1)
            fields[name] = value
        return type(node)(**fields)

    # -- bindings

    def _count(self, node: ast.AST) -> None:
        """Count how often each place is bound; what the flow can't follow counts twice."""
        places: list[Place | None] = []
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            places.append(self.place(node))
            if isinstance(node, ast.Name) and self._class_of(node) is not None:
                places.append(("self", node.id))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, (ast.Name, ast.Attribute)):
            places.append(self.place(node.target))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            places += [(id(self.owner(node, name)), name) for name in node.names] * 2
        elif isinstance(node, ast.arg):
            places.append((id(self.owner(node, node.arg)), node.arg))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            places.append((id(self.owner(node, node.name)), node.name))
        for place in places:
            if place is not None:
                self._counts[place] = self._counts.get(place, 0) + 1

    def _class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The test's class, for a node in its body that is in none of its methods."""
        scope = next(self.scopes(node), None)
        return scope if isinstance(scope, ast.ClassDef) and scope.name in self.classes else None

    def _bound_by(
        self, node: ast.Assign | ast.AnnAssign | ast.For | ast.AsyncFor | ast.comprehension
    ) -> Iterator[tuple[Place, list[ast.expr], str]]:
        if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            rows = self.rows(node.iter)
            if rows is not None:
                for target, nodes in columns(node.target, rows):
                    place = self.place(target)
                    if place is not None:
                        yield place, nodes, f"for:{id(node)}"
            return
        if node.value is None:
            return
        for whole in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for target, nodes in columns(whole, [node.value]):
                place = self.place(target)
                if place is not None:
                    yield place, nodes, ""
                if isinstance(target, ast.Name) and self._class_of(target) is not None:
                    yield ("self", target.id), nodes, ""

    def rows(self, node: ast.expr, depth: int = 0) -> list[ast.expr] | None:
        """The items of a literal that is looped over, written there or in an assignment."""
        if depth > _DEPTH:
            return None
        if isinstance(node, (ast.Name, ast.Attribute)):
            place = self.place(node)
            binding = self.bindings.get(place) if place else None
            if binding is None or binding.group or self._counts.get(place or (), 0) != 1:
                return None
            return self.rows(binding.nodes[0], depth + 1)
        if isinstance(node, (ast.List, ast.Tuple)):
            return None if any(isinstance(item, ast.Starred) for item in node.elts) else list(node.elts)
        if not isinstance(node, ast.Call):
            return None
        parts_of = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(node.func, ast.Attribute) and parts_of in ("items", "keys", "values") and not node.args:
            whole: ast.expr | None = node.func.value
            binding = self.binding(whole) if isinstance(whole, (ast.Name, ast.Attribute)) else None
            if binding is not None and not binding.group:
                whole = binding.nodes[0]
            if isinstance(whole, ast.Dict) and all(whole.keys):
                pairs = [(key, value) for key, value in zip(whole.keys, whole.values, strict=True) if key]
                if parts_of != "items":
                    return [key if parts_of == "keys" else value for key, value in pairs]
                return [ast.Tuple([key, value], ast.Load()) for key, value in pairs]
        if isinstance(node.func, ast.Name) and not node.keywords and node.args:
            parts = [self.rows(argument, depth + 1) for argument in node.args]
            if node.func.id in ("list", "tuple") and len(parts) == 1:
                return parts[0]
            if node.func.id == "zip" and all(part is not None for part in parts):
                whole_rows = [part for part in parts if part is not None]
                return [ast.Tuple(list(row), ast.Load()) for row in zip(*whole_rows, strict=False)]
            if node.func.id == "enumerate" and len(parts) == 1 and parts[0] is not None:
                return [
                    ast.Tuple([ast.Constant(index), row], ast.Load()) for index, row in enumerate(parts[0])
                ]
        return None


_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_HARMLESS = {"items", "keys", "values", "get", "copy", "index", "count", "format", "join", "split", "strip"}


def columns(target: ast.expr, rows: Sequence[ast.expr]) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    """Names and attributes of a target with, for each row, the node that becomes their value."""
    if isinstance(target, (ast.Name, ast.Attribute)):
        yield target, list(rows)
    elif isinstance(target, (ast.Tuple, ast.List)):
        whole = [
            row
            for row in rows
            if isinstance(row, (ast.Tuple, ast.List)) and len(row.elts) == len(target.elts)
        ]
        if len(whole) == len(rows) and not any(isinstance(e, ast.Starred) for e in target.elts):
            for index, part in enumerate(target.elts):
                yield from columns(part, [row.elts[index] for row in whole])


def last_name(node: ast.expr) -> str:
    """``raises`` of ``pytest.raises`` and of ``raises``; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def call_name(node: ast.Call) -> str:
    """The name that predicates know a called function by; empty for methods."""
    if isinstance(node.func, ast.Attribute):
        base = node.func.value
        path = f"{base.id}.{node.func.attr}" if isinstance(base, ast.Name) else ""
        return _ALIASES.get(path, "")
    return last_name(node.func)


def _is_atom(node: ast.expr) -> bool:
    return not any(
        isinstance(child, (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp, ast.Name))
        for child in ast.walk(node)
    )


def _is_class_path(node: ast.expr) -> bool:
    return last_name(node)[:1].isupper() and all(
        isinstance(part, (ast.Name, ast.Attribute, ast.expr_context)) for part in ast.walk(node)
    )


def _record_fields(nodes: Sequence[ast.AST]) -> dict[str, list[str]]:
    """Fields, in order, of the named tuples and dataclasses that the file defines."""
    result: dict[str, list[str]] = {}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            names = [
                s.target.id
                for s in node.body
                if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
            ]
            marks = [*node.bases, *(d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)]
            if any(last_name(mark) in ("NamedTuple", "dataclass", "define", "frozen") for mark in marks):
                result[node.name] = names
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.value.args) == 2:
            names_node = node.value.args[1]
            if last_name(node.value.func) == "namedtuple" and isinstance(node.targets[0], ast.Name):
                if isinstance(names_node, ast.Constant) and isinstance(names_node.value, str):
                    result[node.targets[0].id] = names_node.value.replace(",", " ").split()
                elif isinstance(names_node, (ast.List, ast.Tuple)):
                    result[node.targets[0].id] = [
                        str(e.value) for e in names_node.elts if isinstance(e, ast.Constant)
                    ]
    return result


def _local_names(scope: Scope) -> set[str]:
    names: set[str] = set()
    if isinstance(scope, _COMPREHENSIONS):
        stack: list[ast.AST] = [g.target for g in scope.generators]
    elif isinstance(scope, ast.Lambda):
        stack = [scope.args]
    elif isinstance(scope, (ast.Module, ast.ClassDef)):
        stack = list(scope.body)
    else:
        stack = [scope.args, *scope.body]
    shared: set[str] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            shared |= set(node.names)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, _COMPREHENSIONS):
            stack += [n for n in ast.walk(node) if isinstance(n, ast.NamedExpr)]
        elif not isinstance(node, ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))
    return names - shared
