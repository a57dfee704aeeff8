"""Where an edit of an expression may be made, and what is at hand there to make it with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import libcst as cst

from agent.offline.source import Function, Source, is_compound


@dataclass
class Site:
    """An expression, where it stands, and what may be used there."""

    source: Source
    function: Function
    node: cst.BaseExpression
    names: list[str]
    pool: Pool
    parent: cst.CSTNode | None

    @property
    def text(self) -> str:
        return self.source.code(self.node)

    def code(self, node: cst.BaseExpression) -> str:
        text = self.source.code(node)
        return f"({text})" if node.lpar and is_compound(text) else text

    def fit(self, text: str) -> str:
        """``text`` with parentheses where its new place asks for them."""
        if self.node.lpar or not is_compound(text):
            return text
        delimited = (
            cst.Arg, cst.Assign, cst.AugAssign, cst.AnnAssign, cst.Return, cst.Index, cst.If,
            cst.While, cst.Expr,
            cst.Element, cst.Slice, cst.For, cst.FormattedStringExpression, cst.Assert, cst.Lambda,
        )  # fmt: skip
        return text if isinstance(self.parent, delimited) else f"({text})"

    @property
    def is_condition(self) -> bool:
        parent = self.parent
        return (
            isinstance(parent, (cst.If, cst.While, cst.IfExp, cst.CompIf)) and parent.test is self.node
        ) or (isinstance(parent, (cst.BooleanOperation, cst.UnaryOperation)) and is_boolean(self.node))


@dataclass
class Pool:
    """What edits may borrow: expressions and constants of one function, words of its documentation and
    issue."""

    expressions: dict[str, int] = field(default_factory=dict)
    conditions: dict[str, int] = field(default_factory=dict)
    strings: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    callables: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    documented_numbers: list[str] = field(default_factory=list)


def pool_of(source: Source, function: Function, prose: str) -> Pool:
    """Ingredients for one function. ``prose``: the issue's text; the function's own docstring is added."""
    pool = Pool()
    strings: dict[str, None] = {}
    numbers: dict[str, None] = {}
    for node in source.walk(function.node.body):
        if isinstance(node, cst.BaseExpression) and not is_docstring(source, node):
            text = source.code(node)
            if isinstance(node, (cst.Integer, cst.Float)):
                numbers.setdefault(text)
            elif isinstance(node, cst.SimpleString):
                strings.setdefault(text)
            if len(text) <= 120 and not isinstance(
                node, (cst.Name, cst.Integer, cst.Float, cst.SimpleString)
            ):
                pool.expressions.setdefault(text, source.span(node)[0])
                if is_boolean(node):
                    pool.conditions.setdefault(text, source.span(node)[0])
    attributes: dict[str, None] = {}
    for node in source.walk(function.owner or function.node):
        if (
            isinstance(node, cst.Attribute)
            and isinstance(node.value, cst.Name)
            and node.value.value == "self"
        ):
            parent = source.parent(node)
            if not (isinstance(parent, cst.Call) and parent.func is node):
                attributes.setdefault(source.code(node))
    pool.attributes = list(attributes)
    pool.callables = [
        f.name
        for f in source.functions
        if f.owner is None and f.name != function.name and len(f.parameters) == 1
    ]
    pool.callables += [
        name
        for name in function.bound
        if any(f.name == name and len(f.parameters) == 1 for f in source.functions)
    ]
    pool.strings, pool.numbers = list(strings), list(numbers)
    documentation = (function.node.get_docstring() or "") + "\n" + prose
    pool.words = sorted(set(re.findall(r"[A-Za-z]{3,}", documentation)))
    pool.documented_numbers = list(dict.fromkeys(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", documentation)))[:20]
    return pool


def is_docstring(source: Source, node: cst.CSTNode) -> bool:
    return isinstance(source.parent(node), cst.Expr) and isinstance(
        node, (cst.SimpleString, cst.ConcatenatedString)
    )


def is_boolean(node: cst.BaseExpression) -> bool:
    return isinstance(node, (cst.Comparison, cst.BooleanOperation)) or (
        isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Not)
    )
