"""The blind text of a test: its assertions are questions, and what only serves as expected is withheld."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from agent.world.questions.asserters import RAISES, WARNS
from agent.world.questions.cases import Cases
from agent.world.questions.dataflow import COMPUTED, UNSEEN, Flow, Place, last_name
from agent.world.questions.operands import Assertion
from agent.world.questions.reach import DEFINITIONS, Reach
from agent.world.questions.splice import Edit, Text, docstrings, padded

_TELLING = re.compile(r"expect|want|answer|correct|truth|golden|desired", re.IGNORECASE)

_SKIPS = {"xfail": 0, "skip": 0, "skipTest": 0, "skipif": 1, "skipIf": 1, "skipUnless": 1}
"""Calls that give a reason, and which argument it may be."""


class Blinder:
    """Makes the blind text. ``unmasked`` says what stays in sight, ``renamed`` how tests are called in it."""

    def __init__(
        self, text: Text, flow: Flow, reach: Reach, cases: Cases, found: Sequence[Assertion]
    ) -> None:
        self.text, self.flow, self.reach, self.cases, self.found = text, flow, reach, cases, found
        self.unmasked: list[str] = []
        self.names = self._neutral_names()
        self._shown, self._concealed = self._regions()
        self.hidden: dict[int, ast.expr] = {}
        self._hide()

    @property
    def renamed(self) -> dict[str, str]:
        """From the names in the blind text to those of the test."""
        return {new: old for old, new in self.names.items()}

    # -- what is expected, and nothing else

    def _regions(self) -> tuple[set[int], set[int]]:
        """Ids of nodes: those that questions show, and those that are replaced or taken out."""
        shown: set[int] = set()
        concealed: set[int] = set()
        for made in self.found:
            concealed.add(id(made.node.context_expr if isinstance(made.node, ast.withitem) else made.node))
            for asked in made.asked if made.kind == "condition" else ():
                shown.add(id(asked.node))
                if not hasattr(asked.node, "lineno"):
                    shown |= {id(child) for child in ast.walk(asked.node)}
            if made.loop is not None:
                for generator in made.loop.generators:
                    shown |= {id(generator.iter), *(id(test) for test in generator.ifs)}
            if made.call is not None:
                shown |= {id(child) for child in ast.walk(made.call)}
        for node in self.flow.nodes:
            if _is_print(node):
                concealed.add(id(node))
                assert isinstance(node, ast.Expr)
                shown |= {id(call) for call in _inner_calls(node.value)}
            elif isinstance(node, ast.Call) and last_name(node.func) == "subTest":
                concealed |= {id(part) for part in (*node.args, *node.keywords)}
        return shown, concealed

    def _hide(self) -> None:
        done: set[tuple[Place, str | int | None]] = set()
        changed = True
        while changed:
            changed = False
            for place, binding in list(self.flow.bindings.items()):
                loads = self.flow.loads.get(place, [])
                for key, uses, nodes in self._fields(binding.nodes, loads):
                    if (place, key) in done or not uses:
                        continue
                    if any(self.flow.rank(node) == COMPUTED for node in nodes):
                        continue
                    if all(self._is_hidden(use) for use in uses):
                        done.add((place, key))
                        changed = True
                        own = [node for node in nodes if id(node) in self.flow.parents]
                        self.hidden |= {id(node): node for node in own if hasattr(node, "lineno")}
        self._note_open({place for place, key in done if key is None})

    def _fields(
        self, nodes: Sequence[ast.expr], loads: Sequence[ast.expr]
    ) -> Iterator[tuple[str | int | None, Sequence[ast.expr], Sequence[ast.expr]]]:
        """A name as a whole; where only fields of it are used, each field by itself."""
        yield None, loads, nodes
        fields: dict[str | int, tuple[list[ast.expr], Sequence[ast.expr]]] = {}
        for load in loads:
            parent = self.flow.parents[id(load)]
            if isinstance(parent, ast.keyword) and parent.arg is None and self._is_hidden(load):
                continue  # `subTest(**case)`
            key = self.flow.projection(parent)
            binding = self.flow.binding(parent) if key is not None else None
            if key is None or binding is None or not isinstance(parent, ast.expr):
                return
            fields.setdefault(key, ([], binding.nodes))[0].append(parent)
        for key, (uses, values) in fields.items():
            yield key, uses, values

    def _is_hidden(self, node: ast.AST) -> bool:
        current: ast.AST | None = node
        while current is not None:
            if id(current) in self.hidden:
                return True
            if id(current) in self._shown:
                return False
            if id(current) in self._concealed:
                return True
            current = self.flow.parents.get(id(current))
        return False

    def _note_open(self, done: set[Place]) -> None:
        """Say which expected values are used elsewhere too, under a name that tells what they are, or in a
        condition; and what else tells of them and is in sight."""
        for made in self.found:
            for node in ast.walk(made.statement if made.kind == "condition" else ast.Pass()):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    place = self.flow.place(node)
                    known = self.flow.binding(node) is not None and self.flow.rank(node) < COMPUTED
                    if not known or place is None or place in done or not self._is_hidden(node):
                        continue
                    uses = [use for use in self.flow.loads.get(place, []) if not self._is_hidden(use)]
                    if _TELLING.search(node.id) or any(self._is_compared(use) for use in uses):
                        self.unmasked.append(f"line {node.lineno}: `{node.id}` is used elsewhere too")
        for other in self.flow.nodes:
            if isinstance(other, ast.Call) and last_name(other.func) in RAISES | WARNS and other.args:
                if not self._is_hidden(other):
                    self.unmasked.append(f"line {other.lineno}: `{ast.unparse(other.func)}` stays in sight")
            elif (
                isinstance(other, ast.Constant)
                and "doctest" in self.text.source
                and ">>> " in str(other.value)
            ):
                parent = self.flow.parents[id(other)]
                if not self._is_hidden(other) and not isinstance(parent, ast.Expr):
                    self.unmasked.append(f"line {other.lineno}: a text with doctests stays in sight")

    def _is_compared(self, node: ast.expr) -> bool:
        """Whether it stands in a condition of the test's, and is not given to anything there."""
        current = self.flow.parents.get(id(node))
        while isinstance(current, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            current = self.flow.parents.get(id(current))
        return isinstance(current, (ast.If, ast.While, ast.IfExp))

    # -- the text

    def sighted(self) -> str:
        """The part of the test that the blind text is made from, with nothing masked."""
        return self.text.apply(list(self._dropped()))

    def text_of(self) -> str:
        """The blind text, every line on its number."""
        text = self.text
        edits = [*text.comments(), *docstrings(text, self.reach.tree), *self._dropped(), *self._renames()]
        for made in self.found:
            replaced = made.node.context_expr if isinstance(made.node, ast.withitem) else made.statement
            start, end = text.span(replaced)
            edits.append(Edit(start, end, padded(self._question(made), text.newlines(start, end))))
        edits += [self.withheld(node) for node in self._withheld_nodes()]
        for node in self.flow.nodes:
            if _is_print(node):
                assert isinstance(node, ast.Expr)
                calls = ", ".join(self._unparsed(call) for call in _inner_calls(node.value))
                start, end = text.span(node)
                shown = padded(f"print({calls})", text.newlines(start, end)) if calls else "pass"
                edits.append(Edit(start, end, shown if calls else shown + "\n" * text.newlines(start, end)))
            elif isinstance(node, ast.Call) and last_name(node.func) == "subTest":
                start, end = text.span(node)
                shown = f"{ast.unparse(node.func)}()"
                edits.append(Edit(start, end, padded(shown, text.newlines(start, end))))
        return text.apply(edits)

    def withheld(self, node: ast.expr) -> Edit:
        """``...`` in a node's place."""
        start, end = self.text.span(node)
        newlines = self.text.newlines(start, end)
        return Edit(start, end, padded("(...)", newlines) if newlines else "...")

    def _withheld_nodes(self) -> Iterator[ast.expr]:
        """Expected values; what ``parametrize`` calls its rows; rows that are not run; reasons."""
        for node in self.hidden.values():
            if self._in_text(node) is None:
                yield node
        for marks in self.cases.marks.values():
            for mark in marks:
                yield from (k.value for k in mark.call.keywords if k.arg == "ids")
                chosen = self.cases.chosen.get(mark.group, UNSEEN)
                for index, (element, row) in enumerate(zip(mark.elements, mark.rows, strict=True)):
                    if isinstance(element, ast.Call):
                        yield from (k.value for k in element.keywords if k.arg == "id")
                    if chosen not in (UNSEEN, index) and len(mark.rows) > 1:
                        yield from (part for part in row if id(part) in self.flow.parents)
        for call in self.flow.nodes:
            name = last_name(call.func) if isinstance(call, ast.Call) else ""
            if isinstance(call, ast.Call) and name in _SKIPS:
                yield from (k.value for k in call.keywords if k.arg in ("reason", "raises", "msg"))
                reasons = call.args[_SKIPS[name] :]
                yield from (a for a in reasons if isinstance(a, (ast.Constant, ast.JoinedStr)))

    def _question(self, made: Assertion) -> str:
        """What stands in an assertion's place."""
        if made.kind in ("raises", "warns"):
            name = f"probe_{made.kind}"
            if made.call is not None:
                return f'{name}("{made.asked[0].id}", lambda: {self._unparsed(made.call)})'
            return f'{name}("{made.asked[0].id}")'
        if made.kind == "never":
            return f'probe("{made.asked[0].id}", "reached")'
        asked = []
        for one in made.asked:
            lazily = one.lazy and not _suspends(one.node)
            name, before = ("probe_later", "lambda: ") if lazily else ("probe", "")
            asked.append(f'{name}("{one.id}", {before}{self._unparsed(one.node)})')
        if not asked:
            return "pass_by()" if isinstance(made.node, ast.withitem) else "(pass_by())"
        if made.loop is not None:
            element = f"({', '.join(asked)},)" if len(asked) > 1 else asked[0]
            clauses = [self._clause(generator) for generator in made.loop.generators]
            return f"[{element} {' '.join(clauses)}]"
        return "; ".join(asked)

    def _clause(self, generator: ast.comprehension) -> str:
        tests = "".join(f" if {self._unparsed(test)}" for test in generator.ifs)
        word = "async for" if generator.is_async else "for"
        return f"{word} {ast.unparse(generator.target)} in {self._unparsed(generator.iter)}{tests}"

    def _unparsed(self, node: ast.AST) -> str:
        shown = self._copy(node)
        text = ast.unparse(ast.fix_missing_locations(shown))
        return f"({text})" if isinstance(node, (ast.NamedExpr, ast.Yield, ast.YieldFrom)) else text

    def _copy(self, node: Any) -> Any:
        if id(node) in self.hidden:
            return ast.Constant(...)
        if isinstance(node, ast.Name):
            return ast.Name(self.names.get(node.id, node.id), node.ctx)
        fields: dict[str, Any] = {}
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                value = [self._copy(v) if isinstance(v, ast.AST) else v for v in value]
            elif isinstance(value, ast.AST):
                value = self._copy(value)
            fields[name] = value
        return type(node)(**fields)

    def shown(self, node: ast.expr) -> str:
        """An operand as a question names it."""
        return self._unparsed(node)

    def _dropped(self) -> Iterator[Edit]:
        needed = {id(node.body[0]) for node in self.reach.emptied}
        for statement in self.reach.dropped:
            start, end = self.text.span(statement)
            line = self.text.data.rfind(b"\n", 0, start) + 1
            after = self.text.data[end:].lstrip(b" \t")
            alone = not self.text.data[line:start].strip() and not after.startswith(b";")
            alone = alone and id(statement) not in needed
            edit = self.text.blank(statement)
            yield edit if alone else Edit(edit.start, edit.end, "pass" + edit.text)

    # -- names

    def _neutral_names(self) -> dict[str, str]:
        """Neutral names for tests: a name may tell what is expected."""
        names: dict[str, str] = {}
        for node in self.flow.nodes:
            if not isinstance(node, DEFINITIONS):
                continue
            if isinstance(node, ast.ClassDef):
                wanted = any(node.name == getattr(c, "name", "") for c in self.reach.chain) or (
                    "Test" in node.name and not self.reach.chain
                )
                stem = "TestTarget"
            else:
                wanted, stem = node.name.startswith("test"), "test_target"
            if wanted:
                count = sum(new.rstrip("0123456789_") == stem for new in names.values())
                names.setdefault(node.name, stem if not count else f"{stem}_{count + 1}")
        return names

    def _renames(self) -> Iterator[Edit]:
        for node in self.flow.nodes:
            if isinstance(node, DEFINITIONS) and node.name in self.names:
                start = self.text.offset(node.lineno, node.col_offset)
                found = re.compile(rb"\b" + node.name.encode() + rb"\b").search(self.text.data, start)
                if found:
                    yield Edit(found.start(), found.end(), self.names[node.name])
            elif isinstance(node, ast.Name) and node.id in self.names and self._in_text(node) is None:
                start, end = self.text.span(node)
                yield Edit(start, end, self.names[node.id])

    def _in_text(self, node: ast.AST) -> ast.JoinedStr | None:
        """The f-string around a node: before Python 3.12 what is in one has no certain place."""
        return enclosing_text(self.flow, node)

    def check_names(self, tokens: set[str]) -> None:
        """Say where the name of a helper, which stays, holds an expected value."""
        helpers = {n.name for n in self.flow.nodes if isinstance(n, DEFINITIONS)}
        for name in sorted(helpers):
            if name not in self.names and tokens & set(name.lower().split("_")):
                self.unmasked.append(f"the name `{name}` holds an expected value")


def enclosing_text(flow: Flow, node: ast.AST) -> ast.JoinedStr | None:
    """The f-string that a node stands in."""
    current = flow.parents.get(id(node))
    while current is not None and not isinstance(current, ast.stmt):
        if isinstance(current, ast.JoinedStr):
            return current
        current = flow.parents.get(id(current))
    return None


def tokens(nodes: Sequence[ast.AST]) -> set[str]:
    """The constants in nodes, as words of a name would spell them; of three characters or more."""
    found: set[str] = set()
    for node in nodes:
        for child in ast.walk(node):
            if isinstance(child, ast.Constant) and isinstance(child.value, (int, float, str)):
                text = str(child.value).lower()
                if len(text) >= 3 and not isinstance(child.value, bool):
                    found.add(text)
    return found


def _is_print(node: ast.AST) -> bool:
    """A statement that only prints or logs."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    function = node.value.func
    if isinstance(function, ast.Name):
        return function.id in ("print", "pprint")
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in ("logging", "logger", "log", "LOG", "LOGGER", "pprint")
        and function.attr in ("debug", "info", "warning", "error", "critical", "exception", "log", "pprint")
    )


def _inner_calls(node: ast.expr) -> list[ast.Call]:
    """The outermost calls in what is printed: they are run, whatever becomes of the text."""
    assert isinstance(node, ast.Call)
    found: list[ast.Call] = []
    stack: list[ast.AST] = [*(k.value for k in node.keywords[::-1]), *node.args[::-1]]
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Call):
            found.append(part)
        elif not isinstance(part, (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)):
            stack += list(ast.iter_child_nodes(part))[::-1]
    return found


def _suspends(node: ast.AST) -> bool:
    return any(isinstance(child, (ast.Await, ast.Yield, ast.YieldFrom)) for child in ast.walk(node))
