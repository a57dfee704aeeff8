"""A simple data flow over a test file: which names stand for constants, and where their values are written.

It sees names that are bound once: a plain assignment, a loop over a literal, a parameter that comes
from ``parametrize`` or from the calls of a helper in the same file, and a fixture that returns a constant.
What
is bound twice, or a container that anything but a comparison touches, is not a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.world.predicate import FUNCTIONS

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.Module | Function

COMPUTED, BUILT, LITERAL = 2, 1, 0
"""What an expression is made of: something that has to be run; constants through a constructor
(``Decimal("1")``, ``Color.RED``); constants alone."""

_BUILDERS = {
    "array", "bytes", "bytearray", "complex", "date", "datetime", "dedent", "deque", "defaultdict", "range",
    "time", "timedelta", "namedtuple", "frozenset", "zip", "enumerate", "reversed", "product",
}  # fmt: skip
_ALIASES = {"pytest.approx": "approx"}
_DEPTH = 40


@dataclass
class Binding:
    """Where a name gets its value: one node, or one a case where ``group`` is set."""

    nodes: Sequence[ast.expr]
    group: str = ""
    chosen: int | None = None
    """The case that is run, where only one is."""


@dataclass
class Flow:
    """The bindings of a module and of the functions in it."""

    tree: ast.Module
    bindings: dict[tuple[int, str], Binding] = field(default_factory=dict)
    parents: dict[int, ast.AST] = field(default_factory=dict)
    loads: dict[tuple[int, str], list[ast.Name]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for parent in ast.walk(self.tree):
            for child in ast.iter_child_nodes(parent):
                self.parents[id(child)] = parent
        self._local = {id(function): _local_names(function) for function in self.functions()}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.loads.setdefault((id(self.owner(node, node.id)), node.id), []).append(node)
        self._bind(self.tree)
        for function in self.functions():
            self._bind(function)

    def functions(self) -> Iterator[Function]:
        """All functions of the module, methods and nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def scopes(self, node: ast.AST) -> Iterator[Scope]:
        """The scopes around a node, the nearest first; classes do not count."""
        current: ast.AST | None = node
        while current is not None:
            current = self.parents.get(id(current))
            if isinstance(current, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield current

    def owner(self, node: ast.AST, name: str) -> Scope:
        """The scope in which a name that is read at ``node`` is bound."""
        for scope in self.scopes(node):
            if isinstance(scope, ast.Module) or name in self._local[id(scope)]:
                return scope
        return self.tree

    def binding(self, node: ast.Name) -> Binding | None:
        """Where the name read at ``node`` gets its value, if that is simple."""
        return self.bindings.get((id(self.owner(node, node.id)), node.id))

    # -- what an expression is made of

    def rank(self, node: ast.expr, depth: int = 0) -> int:
        """LITERAL, BUILT or COMPUTED."""
        if depth > _DEPTH:
            return COMPUTED
        if isinstance(node, ast.Constant):
            return COMPUTED if node.value is Ellipsis else LITERAL
        if isinstance(node, ast.Name):
            return self._rank_name(node, depth)
        if isinstance(node, ast.Attribute):
            return BUILT if _is_class_path(node.value) else COMPUTED
        if isinstance(node, ast.Call):
            return self._rank_call(node, depth)
        if isinstance(node, (ast.JoinedStr, ast.FormattedValue)):
            return max(BUILT, self._worst(node, depth))
        plain = (
            ast.Tuple,
            ast.List,
            ast.Set,
            ast.Dict,
            ast.UnaryOp,
            ast.BinOp,
            ast.BoolOp,
            ast.Subscript,
            ast.IfExp,
        )
        if isinstance(node, plain):
            return self._worst(node, depth)
        return COMPUTED

    def _worst(self, node: ast.expr, depth: int) -> int:
        parts: list[ast.expr] = []
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Slice):
                parts += [part for part in (child.lower, child.upper, child.step) if part]
            elif isinstance(child, ast.expr):
                parts.append(child)
        return max((self.rank(part, depth + 1) for part in parts), default=LITERAL)

    def _rank_name(self, node: ast.Name, depth: int) -> int:
        binding = self.binding(node)
        if binding is None:
            return BUILT if node.id[:1].isupper() and not self._is_bound(node) else COMPUTED
        worst = max((self.rank(value, depth + 1) for value in binding.nodes), default=COMPUTED)
        if (
            worst < COMPUTED
            and not all(_is_atom(value) for value in binding.nodes)
            and self._is_touched(node)
        ):
            return COMPUTED
        return worst

    def _is_bound(self, node: ast.Name) -> bool:
        owner = self.owner(node, node.id)
        return not isinstance(owner, ast.Module) or any(
            isinstance(store, ast.Name) and store.id == node.id and isinstance(store.ctx, ast.Store)
            for store in ast.walk(self.tree)
        )

    def _is_touched(self, node: ast.Name) -> bool:
        """Whether anything but comparing and indexing is done with a name (a container may change then)."""
        for load in self.loads.get((id(self.owner(node, node.id)), node.id), []):
            parent = self.parents[id(load)]
            if isinstance(parent, ast.Call):
                name = last_name(parent.func)
                if load is parent.func or not (
                    name.startswith("assert") or name in FUNCTIONS or name == "print"
                ):
                    helper = self._parameter(parent, load)
                    if not helper:
                        return True
            elif isinstance(parent, ast.Subscript):
                if not isinstance(parent.ctx, ast.Load):
                    return True
            elif isinstance(parent, (ast.Attribute, ast.Return, ast.Assign, ast.Yield, ast.Starred)):
                return True
        return False

    def _parameter(self, call: ast.Call, argument: ast.expr) -> bool:
        """Whether an argument becomes a parameter that is a constant itself (a helper that asserts)."""
        return any(
            argument in binding.nodes
            for (_, _name), binding in self.bindings.items()
            if binding.group.startswith("calls")
        ) and argument in call.args + [keyword.value for keyword in call.keywords]

    def _rank_call(self, node: ast.Call, depth: int) -> int:
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any(isinstance(part, ast.Starred) for part in parts):
            return COMPUTED
        inner = max((self.rank(part, depth + 1) for part in parts), default=LITERAL)
        name = call_name(node)
        if inner == COMPUTED:
            return COMPUTED
        if name in FUNCTIONS:
            return inner
        last = last_name(node.func)
        if last in _BUILDERS or (last[:1].isupper() and not last.isupper()):
            return BUILT
        if isinstance(node.func, ast.Attribute) and self.rank(node.func.value, depth + 1) == LITERAL:
            return BUILT  # a method of a literal: "\n".join([...])
        return COMPUTED

    def literal(self, node: ast.expr) -> tuple[ast.expr, int]:
        """A LITERAL expression with its names replaced by what they stand for, and its number of cases.

        Several cases become ``(a, b, c)[case]``. Where names of different loops meet, they stay names, which
        no predicate can look up: unknown.
        """
        groups: dict[str, int] = {}
        for name in _names(self, node):
            binding = self.binding(name)
            if binding and binding.group and binding.chosen is None:
                groups[binding.group] = len(binding.nodes)
        if len(groups) > 1:
            return node, 0
        return self._substituted(node, 0), next(iter(groups.values()), 0)

    def _substituted(self, node: ast.AST, depth: int) -> Any:
        """A copy in which names are replaced by the nodes that they stand for."""
        if isinstance(node, ast.Name):
            binding = self.binding(node)
            if binding is None or depth > _DEPTH:
                return ast.Name(node.id, ast.Load())
            chosen = binding.nodes if binding.chosen is None else [binding.nodes[binding.chosen]]
            values = [self._substituted(value, depth + 1) for value in chosen]
            if not binding.group or binding.chosen is not None:
                return values[0]
            return ast.Subscript(ast.Tuple(values, ast.Load()), ast.Name("case", ast.Load()), ast.Load())
        fields: dict[str, Any] = {}
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.Call) and name == "func":
                value = ast.Name(call_name(node), ast.Load())
            elif isinstance(value, list):
                value = [self._substituted(v, depth + 1) if isinstance(v, ast.AST) else v for v in value]
            elif isinstance(value, ast.AST):
                value = self._substituted(value, depth + 1)
            fields[name] = value
        return type(node)(**fields)

    # -- bindings

    def _bind(self, scope: Scope) -> None:
        counts: dict[str, int] = {}
        for node in ast.walk(scope):
            if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                owned = isinstance(scope, ast.Module) and self._stored_in(node) is scope
                if owned or not isinstance(scope, ast.Module):
                    counts[node.id] = counts.get(node.id, 0) + 1
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                for name in node.names:
                    counts[name] = counts.get(name, 0) + 2
        for node in ast.walk(scope):
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.For)) and next(self.scopes(node)) is scope:
                for name, nodes, group in self._bound_by(node):
                    if counts.get(name) == 1:
                        self.bindings[(id(scope), name)] = Binding(nodes, group)

    def _stored_in(self, node: ast.AST) -> ast.AST:
        current: ast.AST = self.parents[id(node)]
        while not isinstance(
            current, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        ):
            current = self.parents[id(current)]
        return current

    def _bound_by(
        self, node: ast.Assign | ast.AnnAssign | ast.For
    ) -> Iterator[tuple[str, list[ast.expr], str]]:
        if isinstance(node, ast.For):
            rows = self._rows(node.iter)
            if rows is not None:
                yield from columns(node.target, rows, f"for:{id(node)}")
            return
        if node.value is None:
            return
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for name, nodes, _ in columns(target, [node.value], "once"):
                yield name, nodes, ""

    def _rows(self, node: ast.expr) -> list[ast.expr] | None:
        """The items of a literal that is looped over, written there or in an assignment."""
        if isinstance(node, ast.Name):
            binding = self.binding(node)
            return self._rows(binding.nodes[0]) if binding and not binding.group else None
        if isinstance(node, (ast.List, ast.Tuple)):
            return None if any(isinstance(item, ast.Starred) for item in node.elts) else list(node.elts)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "items":
            whole = node.func.value
            if isinstance(whole, ast.Name):
                binding = self.binding(whole)
                whole = binding.nodes[0] if binding and not binding.group else whole
            if isinstance(whole, ast.Dict) and all(whole.keys):
                pairs = zip(whole.keys, whole.values, strict=True)
                return [ast.Tuple([key, value], ast.Load()) for key, value in pairs if key]
        return None


def columns(
    target: ast.expr, rows: Sequence[ast.expr], group: str
) -> Iterator[tuple[str, list[ast.expr], str]]:
    """Names of a target with, for each row, the node that becomes its value."""
    if isinstance(target, ast.Name):
        yield target.id, list(rows), group
    elif isinstance(target, (ast.Tuple, ast.List)):
        whole = [
            row
            for row in rows
            if isinstance(row, (ast.Tuple, ast.List)) and len(row.elts) == len(target.elts)
        ]
        if len(whole) == len(rows):
            for index, part in enumerate(target.elts):
                yield from columns(part, [row.elts[index] for row in whole], group)


def last_name(node: ast.expr) -> str:
    """``raises`` of ``pytest.raises`` and of ``raises``; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def call_name(node: ast.Call) -> str:
    """The name that predicates know a called function by; empty for methods."""
    if isinstance(node.func, ast.Attribute):
        path = ast.unparse(node.func)
        return _ALIASES.get(path, "isclose" if path == "math.isclose" else "")
    return last_name(node.func)


def _names(flow: Flow, node: ast.expr, depth: int = 0) -> Iterator[ast.Name]:
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child
            binding = flow.binding(child)
            if binding and depth < _DEPTH:
                for value in binding.nodes:
                    yield from _names(flow, value, depth + 1)


def _is_atom(node: ast.expr) -> bool:
    return not any(
        isinstance(child, (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp, ast.Name))
        for child in ast.walk(node)
    )


def _is_class_path(node: ast.expr) -> bool:
    return last_name(node)[:1].isupper() and all(
        isinstance(part, (ast.Name, ast.Attribute, ast.expr_context)) for part in ast.walk(node)
    )


def _local_names(function: Function) -> set[str]:
    arguments = function.args
    names = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    names |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a}
    shared: set[str] = set()
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            shared |= set(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))
    return names - shared
