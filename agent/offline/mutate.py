"""All edits of one file's suspicious functions, each with its cost, in order of likelihood."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import libcst as cst

from agent.offline import definitions, expressions, statements
from agent.offline.site import Pool, Site, is_docstring, pool_of
from agent.offline.source import Edit, Function, Source

PLACE = 1.5
"""Weight of a place's suspicion against the likelihood of an edit."""


@dataclass(frozen=True)
class Mutant:
    """One changed version of a file: byte edits of its text, and how likely it is a fix (a low cost is
    likely)."""

    path: str
    edits: tuple[Edit, ...]
    kind: str
    line: int
    cost: float

    def text(self, source: Source) -> str:
        return source.apply(self.edits)


def mutants(
    source: Source, suspicion: Mapping[int, float], prose: str = "", failure: str = ""
) -> list[Mutant]:
    """First-order mutants of what has a suspicious line, likeliest first; unparsed and possibly equal.

    ``suspicion``: line → 0..1. ``prose``: the issue. ``failure``: how the test fails; only the values of
    definitions are taken from there.
    """
    found: list[Mutant] = []
    for function in source.functions:
        first, last = source.line(function.start), source.line(function.end)
        if not any(first < line <= last or line == first == last for line in suspicion):
            continue
        pool = pool_of(source, function, prose)
        most = max((s for at, s in suspicion.items() if first < at <= last or first == last), default=0.0)
        for cost, kind, line, edits in _all(source, function, pool):
            place = suspicion.get(line, 0.0) or 0.3 * most
            if place > 0.0:
                found.append(Mutant(source.path, edits, kind, line, cost - PLACE * math.log(place)))
        for cost, kind, line, edits in definitions.of_function(source, function, prose, failure):
            if most > 0.0:  # every import runs the line of the definition: it tells nothing
                found.append(Mutant(source.path, edits, kind, line, cost - PLACE * math.log(most)))
    for cost, kind, line, edits in definitions.of_file(source, prose, failure):
        if suspicion.get(line):
            found.append(Mutant(source.path, edits, kind, line, cost - PLACE * math.log(suspicion[line])))
    found.sort(key=lambda m: m.cost)
    return found


def _all(
    source: Source, function: Function, pool: Pool
) -> Iterator[tuple[float, str, int, tuple[Edit, ...]]]:
    for node in source.walk(function.node.body):
        if not isinstance(node, cst.BaseExpression) or not _mutable(source, node, function):
            continue
        start, end = source.span(node)
        site = Site(source, function, node, source.names_at(function, start), pool, source.parent(node))
        line = source.line(_statement_start(source, node))
        at = max(line, source.line(start))
        for cost, kind, text in expressions.changes(site):
            yield cost, kind, at, (Edit(start, end, site.fit(text)),)
    yield from statements.changes(source, function, pool)


def _statement_start(source: Source, node: cst.CSTNode) -> int:
    for ancestor in source.ancestors(node):
        if isinstance(ancestor, (cst.BaseSmallStatement, cst.BaseCompoundStatement)):
            return source.span(ancestor)[0]
    return source.span(node)[0]


def _mutable(source: Source, node: cst.CSTNode, function: Function) -> bool:
    """An expression that is read, in this function and not in one nested in it."""
    if statements.enclosing(source, node) is not function.node:
        return False
    parent = source.parent(node)
    if is_docstring(source, node):
        return False
    if isinstance(parent, cst.Attribute) and parent.attr is node:
        return False
    if isinstance(parent, cst.Arg) and parent.keyword is node:
        return False
    if isinstance(parent, (cst.Param, cst.ImportAlias, cst.Global, cst.Nonlocal, cst.AsName, cst.Annotation)):
        return False
    child: cst.CSTNode = node
    for ancestor in source.ancestors(node):
        if isinstance(ancestor, (cst.AssignTarget, cst.Annotation)):
            return isinstance(child, cst.Subscript) and child is not node
        binds = isinstance(ancestor, (cst.AugAssign, cst.AnnAssign, cst.For, cst.CompFor, cst.NamedExpr))
        if binds and getattr(ancestor, "target", None) is child:
            return isinstance(child, cst.Subscript) and child is not node
        if isinstance(ancestor, (cst.BaseSmallStatement, cst.BaseCompoundStatement)):
            return True
        child = ancestor
    return True


def parses(text: str) -> ast.Module | None:
    """The tree of a mutated file, or None: it does not parse, or would not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text)
            compile(tree, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return tree


def fingerprint(source: Source, mutant: Mutant) -> str | None:
    """What makes two mutants the same program: the tree of the changed part. None: it does not parse.

    Only the outermost function around the edits is parsed, which keeps this cheap in a long file.
    """
    low, high = min(e.start for e in mutant.edits), max(e.end for e in mutant.edits)
    around = [f for f in source.functions if f.start <= low and high <= f.end + 1]
    if not around or low < around[0].start:
        tree = parses(mutant.text(source))
        return ast.dump(tree) if tree else None
    function = min(around, key=lambda f: f.start)
    start, end = source.line_start(function.start), source.line_end(max(function.end - 1, function.start))
    body = source.data[start:end]
    for edit in sorted(mutant.edits, key=lambda e: (e.start, e.end), reverse=True):
        body = body[: edit.start - start] + edit.text.encode("utf-8") + body[edit.end - start :]
    text = body.decode("utf-8")
    if text[:1].isspace():
        text = "if 1:\n" + text
    tree = parses(text)
    return f"{source.path}:{start}:{ast.dump(tree)}" if tree else None
