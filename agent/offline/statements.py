"""Edits of statements: delete, move, insert and replace with borrowed ones, guard, wrap; and edits in
several places."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import libcst as cst

from agent.offline.expressions import renamed, substitute
from agent.offline.site import Pool
from agent.offline.source import Edit, Function, Source, free_names

Change = tuple[float, str, int, tuple[Edit, ...]]
"""Cost, kind, the line that the place's suspiciousness is read from, edits."""

MAX_VARIANTS = 24
"""Ways in which one borrowed statement is fitted to another scope."""


@dataclass
class Block:
    """The statements of one indented block, each as a byte range of whole lines."""

    owner: cst.CSTNode
    nodes: Sequence[cst.BaseStatement]
    ranges: list[tuple[int, int]]
    indent: str


def blocks(source: Source, function: Function) -> Iterator[Block]:
    for node in source.walk(function.node.body):
        if isinstance(node, cst.IndentedBlock) and enclosing(source, node) is function.node:
            statements = [s for s in node.body if not is_docstring_line(s)]
            if statements:
                spans = [source.span(s) for s in statements]
                ranges = [(source.line_start(a), source.line_end(max(a, b - 1))) for a, b in spans]
                owner = source.parent(node)
                assert owner is not None
                yield Block(owner, statements, ranges, source.indent(spans[0][0]))


def enclosing(source: Source, node: cst.CSTNode) -> cst.CSTNode | None:
    return next((a for a in source.ancestors(node) if isinstance(a, cst.FunctionDef)), None)


def is_docstring_line(node: cst.BaseStatement) -> bool:
    return (
        isinstance(node, cst.SimpleStatementLine)
        and isinstance(node.body[0], cst.Expr)
        and isinstance(node.body[0].value, (cst.SimpleString, cst.ConcatenatedString))
    )


def changes(source: Source, function: Function, pool: Pool) -> Iterator[Change]:
    """Every statement edit of one function."""
    found = list(blocks(source, function))
    loans = borrowed_statements(source, function)
    for block in found:
        for i, node in enumerate(block.nodes):
            start, end = block.ranges[i]
            line = source.line(source.span(node)[0])
            text = source.slice(start, end)
            if not text.endswith("\n"):
                text += "\n"
            only = len(block.nodes) == 1
            gone = (Edit(start, end, f"{block.indent}pass\n" if only else ""),)
            jump = isinstance(node, cst.SimpleStatementLine) and isinstance(
                node.body[0], (cst.Return, cst.Raise, cst.Break, cst.Continue)
            )
            yield 2.0 if isinstance(node, cst.SimpleStatementLine) else 3.0, "delete statement", line, gone
            if i + 1 < len(block.nodes):
                below = source.slice(*block.ranges[i + 1])
                below = below if below.endswith("\n") else below + "\n"
                swap = (
                    Edit(
                        start,
                        block.ranges[i + 1][1],
                        below + source.slice(end, block.ranges[i + 1][0]) + text,
                    ),
                )
                yield 2.0, "swap statements", line, swap
            yield from moves(source, block, i, text, line)
            if isinstance(node, cst.If):
                yield from branches(source, block, i, node, line)
            yield from insertions(source, function, pool, block, i, line, loans, jump)
            if isinstance(node, cst.SimpleStatementLine):
                yield from replacements(source, function, block, i, line, loans)
                for test in guard_tests(source, function, pool, start):
                    inner = reindent(text, block.indent, block.indent + "    ")
                    guarded = f"{block.indent}if {test}:\n{inner}"
                    cost = 2.4 if test in pool.conditions else 2.9
                    yield cost, "make a statement conditional", line, (Edit(start, end, guarded),)
    for block in found:
        yield from one_line_suites(source, block)
    yield from everywhere(source, function)


def reindent(text: str, old: str, new: str) -> str:
    return "".join(
        new + line[len(old) :] if line.startswith(old) else line for line in text.splitlines(keepends=True)
    )


def moves(source: Source, block: Block, i: int, text: str, line: int) -> Iterator[Change]:
    """Out of the enclosing loop or condition, or into the one above."""
    start, end = block.ranges[i]
    owner = block.owner
    if i + 1 == len(block.nodes) and not isinstance(owner, (cst.FunctionDef, cst.ClassDef, cst.Module)):
        while isinstance(owner, (cst.Else, cst.Finally, cst.ExceptHandler)):
            parent = source.parent(owner)
            assert parent is not None
            owner = parent
        outer = source.indent(source.span(owner)[0])
        after = source.line_end(max(source.span(owner)[1] - 1, 0))
        moved = reindent(text, block.indent, outer)
        if len(block.nodes) > 1:
            if after == end:
                yield 1.8, "move out of a block", line, (Edit(start, end, moved),)
            else:
                yield 2.2, "move out of a block", line, (Edit(start, end, ""), Edit(after, after, moved))
    if i and isinstance(block.nodes[i - 1], (cst.For, cst.While, cst.If, cst.With)):
        above = source.slice(*block.ranges[i - 1])
        last = next((row for row in reversed(above.splitlines()) if row.strip()), "")
        inner = last[: len(last) - len(last.lstrip())]
        for depth in range(len(block.indent) + 4, len(inner) + 1, 4):
            moved = reindent(text, block.indent, block.indent + " " * (depth - len(block.indent)))
            yield 1.9, "move into the block above", line, (Edit(start, end, moved),)


def branches(source: Source, block: Block, i: int, node: cst.If, line: int) -> Iterator[Change]:
    start, end = block.ranges[i]
    if not isinstance(node.body, cst.IndentedBlock) or source.data[start : source.span(node)[0]].strip():
        return
    body = body_text(source, node.body)
    inner = source.indent(source.span(node.body.body[0])[0])
    if node.orelse is None:
        yield 2.4, "drop a condition", line, (Edit(start, end, reindent(body, inner, block.indent)),)
        at = source.span(node.test)[0]
        head = source.span(node)[0]
        yield 2.6, "while for if", line, (Edit(head, at, "while "),)
        if i + 1 < len(block.nodes):
            rest_end = block.ranges[-1][1]
            rest = source.slice(block.ranges[i + 1][0], rest_end)
            text = f"{block.indent}else:\n{reindent(rest, block.indent, inner)}"
            yield 2.3, "missing else", line, (Edit(end, rest_end, text),)
    elif isinstance(node.orelse, cst.Else) and isinstance(node.orelse.body, cst.IndentedBlock):
        other = body_text(source, node.orelse.body)
        test = source.code(node.test)
        swapped = f"{block.indent}if {test}:\n{other}{block.indent}else:\n{body}"
        yield 1.6, "swap the branches", line, (Edit(start, end, swapped),)
        yield 3.0, "keep one branch", line, (Edit(start, end, reindent(body, inner, block.indent)),)
        kept = reindent(other, inner, block.indent)
        yield 3.0, "keep one branch", line, (Edit(start, end, kept),)
    elif isinstance(node.orelse, cst.If):
        at = source.span(node.orelse)[0]
        yield 1.8, "if for elif", line, (Edit(at, at + 4, "if"),)


def body_text(source: Source, body: cst.IndentedBlock) -> str:
    first, last = source.span(body.body[0])[0], source.span(body.body[-1])[1]
    text = source.slice(source.line_start(first), source.line_end(max(first, last - 1)))
    return text if text.endswith("\n") else text + "\n"


def one_line_suites(source: Source, block: Block) -> Iterator[Change]:
    """``if x: return y`` on one line has no block: its statement can still be deleted."""
    for node in block.nodes:
        for inner in source.walk(node):
            if isinstance(inner, cst.SimpleStatementSuite):
                for small in inner.body:
                    start, end = source.span(small)
                    yield 2.4, "delete statement", source.line(start), (Edit(start, end, "pass"),)


def borrowed_statements(source: Source, function: Function) -> dict[str, float]:
    """Simple statements of this file with the cost of borrowing them: the same function, then class,
    then file.

    A call that other methods of a class make for its effect is what a method most often forgets.
    """
    loans: dict[str, float] = {}
    ordered = sorted(
        source.functions, key=lambda f: (f.node is not function.node, f.owner is not function.owner)
    )
    for other in ordered:
        cost = 2.2 if other.node is function.node else 2.3 if other.owner is function.owner else 3.0
        for node in source.walk(other.node.body):
            small: list[cst.CSTNode] = []
            if isinstance(node, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
                small = list(node.body)
            for statement in small:
                text = source.code(statement)
                if isinstance(statement, cst.Expr) and not isinstance(
                    statement.value, (cst.Call, cst.Await, cst.Yield)
                ):
                    continue
                if isinstance(statement, (cst.Import, cst.ImportFrom, cst.Pass)) or len(text) > 160:
                    continue
                housekeeping = (
                    other.owner is not None
                    and isinstance(statement, cst.Expr)
                    and other.node is not function.node
                )
                loans.setdefault(text, cost - 0.6 if housekeeping else cost)
    return loans


def fitted(source: Source, function: Function, text: str, offset: int) -> Iterator[tuple[float, str]]:
    """A borrowed statement with names that are not in scope at ``offset`` replaced by names that are."""
    names = source.names_at(function, offset)
    missing = [n for n in free_names(text) if n not in names and n not in source.globals]
    if not missing:
        yield 0.0, text
        return
    if len(missing) > 2:
        return
    candidates = [n for n in names if n not in ("self", "cls")]
    pairs = itertools.islice(itertools.permutations(candidates, len(missing)), MAX_VARIANTS)
    for choice in pairs:
        yield (
            0.3 + 0.1 * candidates.index(choice[0]),
            substitute(text, dict(zip(missing, choice, strict=True))),
        )


def insertions(
    source: Source,
    function: Function,
    pool: Pool,
    block: Block,
    i: int,
    line: int,
    loans: dict[str, float],
    jump: bool,
) -> Iterator[Change]:
    start, end = block.ranges[i]
    places = [start] if jump or i + 1 < len(block.nodes) else [start, end]
    looping = any(isinstance(a, (cst.For, cst.While)) for a in loops_around(source, block.nodes[i]))
    for place in places:
        offset = source.span(block.nodes[i])[0]
        newline = "" if place == 0 or source.data[place - 1 : place] == b"\n" else "\n"

        def put(text: str, at: int = place, before: str = newline) -> tuple[Edit, ...]:
            return (Edit(at, at, f"{before}{block.indent}{text}\n"),)

        for loan, cost in loans.items():
            if loan.startswith(("return", "raise", "break", "continue")):
                continue
            for extra, text in fitted(source, function, loan, offset):
                yield cost + extra + 0.2, "insert a borrowed statement", line, put(text)
        names = [n for n in source.names_at(function, offset) if n not in ("self", "cls")]
        for target in [*names, *pool.attributes]:
            yield 2.8, "insert a step", line, put(f"{target} += 1")
            yield 2.8, "insert a step", line, put(f"{target} -= 1")
        for attribute in pool.attributes:
            yield 2.9, "insert an invalidation", line, put(f"{attribute}.clear()")
            for key in names:
                yield 2.8, "insert an invalidation", line, put(f"{attribute}.pop({key}, None)")
        if looping:
            yield 2.4, "insert break", line, put("break")
            yield 2.6, "insert continue", line, put("continue")
        jumps = [t for t in loans if t.startswith(("return", "raise")) and loans[t] <= 2.2]
        if looping:
            jumps += ["break", "continue"]
        if place == start:
            results = ["None", "0", "''", "[]", "False", "True", *names]
            for text in jumps:
                if all(n in names for n in free_names(text.replace("return", "", 1).strip() or "None")):
                    for test in guard_tests(source, function, pool, offset):
                        cost = 2.6 if test in pool.conditions else 2.9
                        yield cost, "insert a guard", line, put(f"if {test}:\n{block.indent}    {text}")
            if isinstance(block.owner, cst.FunctionDef) and i == 0:
                for name in names[:4]:
                    for test in (f"not {name}", f"{name} is None"):
                        for result in results:
                            text = f"if {test}:\n{block.indent}    return {result}"
                            yield 2.8, "insert a guard", line, put(text)
        elif isinstance(block.owner, cst.FunctionDef):
            for name in [*names, *pool.attributes]:
                yield 2.4, "missing return", line, put(f"return {name}")


def loops_around(source: Source, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for ancestor in source.ancestors(node):
        if isinstance(ancestor, cst.FunctionDef):
            return
        yield ancestor


def guard_tests(source: Source, function: Function, pool: Pool, offset: int) -> Iterator[str]:
    names = [n for n in source.names_at(function, offset) if n not in ("self", "cls")]
    visible = set(names) | {"self"} | set(source.module_names) | {f.name for f in source.functions}
    for test in pool.conditions:
        if set(free_names(test)) <= visible:
            yield test
    yield from (f"not {n}" for n in names)
    yield from names
    for a, b in itertools.combinations(names[:8], 2):
        yield f"{a} == {b}"
        yield f"{a} != {b}"
    for a, b in itertools.permutations(names[:6], 2):
        yield f"{a} < {b}"
        yield f"{a} in {b}"
        yield f"{a} not in {b}"


def replacements(
    source: Source, function: Function, block: Block, i: int, line: int, loans: dict[str, float]
) -> Iterator[Change]:
    node = block.nodes[i]
    assert isinstance(node, cst.SimpleStatementLine)
    small = node.body[0]
    start, end = source.span(small)
    text = source.code(small)
    for loan, cost in loans.items():
        if loan != text:
            for extra, new in fitted(source, function, loan, start):
                yield cost + extra + 0.6, "replace by a borrowed statement", line, (Edit(start, end, new),)
    if isinstance(small, cst.AugAssign):
        target, value = source.code(small.target), source.code(small.value)
        old = source.code(small.operator).strip()
        for rank, new in enumerate(["+=", "-=", "*=", "//=", "/=", "%=", "|=", "&=", "="]):
            if new != old:
                yield (
                    1.1 + 0.1 * rank,
                    "assignment operator",
                    line,
                    (Edit(start, end, f"{target} {new} {value}"),),
                )
        for name in source.names_at(function, start):
            if name != target:
                swapped = f"{name} {old} {value}"
                yield 1.6, "another target", line, (Edit(start, end, swapped),)
    elif isinstance(small, cst.Assign) and len(small.targets) == 1:
        target, value = source.code(small.targets[0].target), source.code(small.value)
        for rank, new in enumerate(["+=", "-=", "*="]):
            yield (
                1.7 + 0.1 * rank,
                "assignment operator",
                line,
                (Edit(start, end, f"{target} {new} {value}"),),
            )
        targets = small.targets[0].target
        if isinstance(targets, cst.Tuple):
            parts = [source.code(e.value) for e in targets.elements]
            for a, b in itertools.combinations(range(len(parts)), 2):
                order = list(parts)
                order[a], order[b] = order[b], order[a]
                yield 1.5, "swap targets", line, (Edit(start, end, f"{', '.join(order)} = {value}"),)
        for name in source.names_at(function, start):
            if name != target:
                yield 1.9, "another target", line, (Edit(start, end, f"{name} = {value}"),)
    elif isinstance(small, cst.Expr):
        idle = not isinstance(small.value, (cst.Call, cst.Await, cst.Yield))
        yield 0.7 if idle else 2.2, "missing return", line, (Edit(start, start, "return "),)
        if isinstance(small.value, cst.Call) and isinstance(small.value.func, cst.Attribute):
            owner = source.code(small.value.func.value)
            if owner.isidentifier() and owner != "self":
                yield 2.0, "unused result", line, (Edit(start, start, f"{owner} = "),)
    elif isinstance(small, (cst.Break, cst.Continue)):
        other = "continue" if isinstance(small, cst.Break) else "break"
        yield 1.5, "jump", line, (Edit(start, end, other),)
    elif isinstance(small, cst.Return) and small.value is not None:
        value = source.code(small.value)
        for new in renamed(value, source.names_at(function, start)):
            yield 2.4, "other variables in a result", line, (Edit(start, end, f"return {new}"),)


def everywhere(source: Source, function: Function) -> Iterator[Change]:
    """The same small edit at every place in the function: a misused name, constant or pair of truth
    values."""
    line = source.line(source.span(function.node.body)[0]) + 0
    first = next((n for n in function.node.body.body if isinstance(n, cst.CSTNode)), None)
    names: dict[str, list[tuple[int, int]]] = {}
    strings: dict[str, list[tuple[int, int]]] = {}
    numbers: dict[str, list[tuple[int, int]]] = {}
    truths: list[tuple[int, int, str]] = []
    for node in source.walk(function.node.body):
        span = source.span(node) if isinstance(node, cst.BaseExpression) else (0, 0)
        if isinstance(node, cst.Name):
            if node.value in ("True", "False"):
                truths.append((*span, node.value))
            elif node.value in function.bound and not is_attribute_name(source, node):
                names.setdefault(node.value, []).append(span)
        elif isinstance(node, cst.SimpleString) and not isinstance(source.parent(node), cst.Expr):
            strings.setdefault(node.value, []).append(span)
        elif isinstance(node, (cst.Integer, cst.Float)):
            numbers.setdefault(node.value, []).append(span)
    if first is not None:
        line = source.line(source.span(first)[0])
    if len(truths) > 1:
        flipped = tuple(Edit(a, b, "False" if t == "True" else "True") for a, b, t in truths)
        yield 1.3, "flip all truth values", line, flipped
        for (a, b, t), (c, d, u) in itertools.combinations(truths, 2):
            if t != u:
                both = (Edit(a, b, u), Edit(c, d, t))
                yield 1.6, "exchange truth values", source.line(a), both
    for text, places in strings.items():
        if len(places) > 1:
            for new in ('""', '" "', *[s for s in strings if s != text]):
                if new != text:
                    edits = tuple(Edit(a, b, new) for a, b in places)
                    yield 1.8, "the same string everywhere", source.line(places[0][0]), edits
    for text, places in numbers.items():
        if len(places) > 1:
            value = ast.literal_eval(text)
            for number in (value + 1, value - 1):
                edits = tuple(Edit(a, b, str(number)) for a, b in places)
                yield 2.0, "the same number everywhere", source.line(places[0][0]), edits
    for name, places in names.items():
        here = source.line(places[0][0])
        for new in function.bound:
            if new != name and len(places) > 1:
                reads = tuple(Edit(a, b, new) for a, b in places)
                yield 2.4, "another name everywhere", here, reads
        keys = index_places(source, function, name)
        if keys:
            for new in function.parameters:
                if new not in (name, "self", "cls"):
                    longer = tuple(Edit(a, b, f"({name}, {new})") for a, b in keys)
                    yield 1.9, "longer key everywhere", here, longer
    for one, two in itertools.combinations(names, 2):
        edits = tuple(Edit(a, b, two) for a, b in names[one]) + tuple(Edit(a, b, one) for a, b in names[two])
        yield 2.2, "exchange two names everywhere", source.line(names[one][0][0]), edits
        for block in blocks(source, function):
            for i, j in itertools.combinations(range(min(len(block.ranges), 12)), 2):
                if j - i > 2:
                    continue
                low, high = block.ranges[i][0], block.ranges[j][1]
                inside = tuple(e for e in edits if low <= e.start < high)
                if len(inside) > 1 and len(inside) < len(edits):
                    yield 2.0, "exchange two names", source.line(inside[0].start), inside


def is_attribute_name(source: Source, node: cst.Name) -> bool:
    parent = source.parent(node)
    return (isinstance(parent, cst.Attribute) and parent.attr is node) or (
        isinstance(parent, cst.Arg) and parent.keyword is node
    )


def index_places(source: Source, function: Function, name: str) -> list[tuple[int, int]]:
    """Where ``name`` alone is a key: an index, the left side of ``in``, the first argument of a lookup."""
    places = []
    for node in source.walk(function.node.body):
        if isinstance(node, cst.Name) and node.value == name:
            parent = source.parent(node)
            key = isinstance(parent, cst.Index)
            if isinstance(parent, cst.Comparison) and parent.left is node:
                key = isinstance(parent.comparisons[0].operator, (cst.In, cst.NotIn))
            if isinstance(parent, cst.Arg):
                call = source.parent(parent)
                if (
                    isinstance(call, cst.Call)
                    and isinstance(call.func, cst.Attribute)
                    and call.args[0] is parent
                ):
                    key = call.func.attr.value in ("get", "pop", "setdefault")
            if key:
                places.append(source.span(node))
    return places
