"""One Python file as the search sees it: its tree, where each node stands in the text, and what is in
scope there."""

from __future__ import annotations

import ast
import bisect
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, ParentNodeProvider

BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True)
class Edit:
    """Replace the bytes ``start:end`` of a file (UTF-8) by ``text``."""

    start: int
    end: int
    text: str


@dataclass
class Function:
    """One function, and the names that its body may use."""

    node: cst.FunctionDef
    start: int
    end: int
    owner: cst.ClassDef | None
    parameters: list[str]
    bound: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Local name → byte ranges in which it is bound (the whole function, or one comprehension)."""

    @property
    def name(self) -> str:
        return self.node.name.value


class Source:
    """A parsed file. Offsets are bytes of its UTF-8 text; lines count from 1."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.data = text.encode("utf-8")
        wrapper = MetadataWrapper(cst.parse_module(self.data), unsafe_skip_copy=True)
        self.module = wrapper.module
        self._spans = wrapper.resolve(ByteSpanPositionProvider)
        self._parents = wrapper.resolve(ParentNodeProvider)
        self._starts = [0]
        for line in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self.functions = list(self._functions(self.module, None))

    # -- positions

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Start and end of a node, its own parentheses not included."""
        span = self._spans[node]
        return span.start, span.start + span.length

    def code(self, node: cst.CSTNode) -> str:
        start, end = self.span(node)
        return self.data[start:end].decode("utf-8")

    def slice(self, start: int, end: int) -> str:
        return self.data[start:end].decode("utf-8")

    def line(self, offset: int) -> int:
        return bisect.bisect_right(self._starts, offset)

    def line_start(self, offset: int) -> int:
        return self._starts[self.line(offset) - 1]

    def line_end(self, offset: int) -> int:
        """End of the line, its newline included."""
        line = self.line(offset)
        return self._starts[line] if line < len(self._starts) else len(self.data)

    def indent(self, offset: int) -> str:
        start = self.line_start(offset)
        text = self.data[start:offset].decode("utf-8")
        return text[: len(text) - len(text.lstrip())]

    # -- the tree

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        return self._parents.get(node)

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def walk(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        yield node
        for child in node.children:
            yield from self.walk(child)

    def apply(self, edits: Sequence[Edit]) -> str:
        data = self.data
        for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
            data = data[: edit.start] + edit.text.encode("utf-8") + data[edit.end :]
        return data.decode("utf-8")

    # -- scope

    def names_at(self, function: Function, offset: int) -> list[str]:
        """Local names that may be read at ``offset``: parameters first, then in order of binding."""
        return [
            name
            for name, ranges in function.bound.items()
            if any(start <= offset < end for start, end in ranges)
        ]

    def _functions(self, node: cst.CSTNode, owner: cst.ClassDef | None) -> Iterator[Function]:
        for child in node.children:
            if isinstance(child, cst.FunctionDef):
                start, end = self.span(child)
                yield self._function(child, start, end, owner)
                yield from self._functions(child, owner)
            elif isinstance(child, cst.ClassDef):
                yield from self._functions(child, child)
            else:
                yield from self._functions(child, owner)

    def _function(self, node: cst.FunctionDef, start: int, end: int, owner: cst.ClassDef | None) -> Function:
        parameters = [
            p.name.value
            for p in (*node.params.posonly_params, *node.params.params, *node.params.kwonly_params)
        ]
        for extra in (node.params.star_arg, node.params.star_kwarg):
            if isinstance(extra, cst.Param):
                parameters.append(extra.name.value)
        function = Function(node, start, end, owner, parameters)
        for name in parameters:
            function.bound.setdefault(name, []).append((start, end))
        for inner in self.walk(node.body):
            for name, around in self._bindings(inner):
                where = self.span(around) if around is not None else (start, end)
                function.bound.setdefault(name, []).append(where)
        return function

    def _bindings(self, node: cst.CSTNode) -> Iterator[tuple[str, cst.CSTNode | None]]:
        if isinstance(node, (cst.AssignTarget, cst.AnnAssign, cst.For, cst.NamedExpr, cst.AsName)):
            target = node.name if isinstance(node, cst.AsName) else node.target
            yield from ((name, None) for name in names_in_target(target))
        elif isinstance(node, cst.CompFor):
            around = next(
                a
                for a in self.ancestors(node)
                if isinstance(a, (cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp))
            )
            yield from ((name, around) for name in names_in_target(node.target))
        elif isinstance(node, cst.Lambda):
            yield from ((p.name.value, node) for p in node.params.params)

    @cached_property
    def imported(self) -> frozenset[str]:
        """Names of imported modules and objects, and of classes."""
        names = []
        for node in self.walk(self.module):
            if isinstance(node, cst.ImportAlias):
                names.append(node.evaluated_alias or node.evaluated_name.split(".")[0])
            elif isinstance(node, cst.ClassDef):
                names.append(node.name.value)
        return frozenset(names)

    @cached_property
    def globals(self) -> frozenset[str]:
        """Every name that any function of the file may use."""
        return self.imported | set(self.module_names) | {f.name for f in self.functions} | BUILTINS

    @cached_property
    def module_names(self) -> list[str]:
        """Variables of the module."""
        names = []
        for statement in self.module.body:
            if isinstance(statement, cst.SimpleStatementLine):
                for small in statement.body:
                    if isinstance(small, cst.Assign):
                        for target in small.targets:
                            names += names_in_target(target.target)
        return names


def names_in_target(target: cst.CSTNode) -> list[str]:
    if isinstance(target, cst.Name):
        return [target.value]
    if isinstance(target, (cst.Tuple, cst.List)):
        return [name for element in target.elements for name in names_in_target(element.value)]
    return []


@lru_cache(maxsize=100_000)
def free_names(text: str) -> tuple[str, ...]:
    """Names that a statement or expression reads and does not bind itself, in order; () if it does not
    parse."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {a.arg for n in ast.walk(tree) if isinstance(n, ast.Lambda) for a in n.args.args}
    seen: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in BUILTINS:
            augmented = isinstance(node.ctx, ast.Store) and any(
                isinstance(n, ast.AugAssign) and n.target is node for n in ast.walk(tree)
            )
            if (isinstance(node.ctx, ast.Load) and node.id not in bound) or augmented:
                seen.setdefault(node.id)
    return tuple(seen)


@lru_cache(maxsize=100_000)
def is_compound(text: str) -> bool:
    """Whether an expression needs parentheses inside a larger one."""
    try:
        body = ast.parse(text, mode="eval").body
    except SyntaxError:
        return True
    return isinstance(
        body,
        (
            ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Lambda, ast.Await, ast.NamedExpr,
            ast.Yield, ast.Starred,
        ),
    )  # fmt: skip
