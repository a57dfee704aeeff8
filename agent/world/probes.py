"""Probes: a visible test, with its assertions turned into questions.

``assert f(x) == y`` becomes the question "what is ``f(x)`` here?". Two texts come of it, both with every
line on its number: ``blind``, which is shown to who predicts and holds no expected value, and
``transparent``, which runs like the original and records the operands.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent.world.assertions import Assertion, Reader, is_failure
from agent.world.dataflow import COMPUTED, Binding, Flow, Function, columns, last_name
from agent.world.splice import Edit, Text, docstrings, padded

PROBE = "__fixbug_probe__"


@dataclass(frozen=True)
class Probe:
    """One question. ``predicate`` is over ``value`` where it is the only one of its assertion."""

    id: str
    path: str
    line: int
    question: str
    expression: str
    predicate: str
    assertion: str
    """The original text: for the harness, never for a prompt."""


@dataclass(frozen=True)
class Asserted:
    """One assertion, as the harness judges it: ``predicate`` over the ids in ``probes`` and ``case``.

    An empty predicate can't be judged. ``cases`` is how many cases it runs through in turn, 0 for one.
    """

    id: str
    path: str
    line: int
    end_line: int
    probes: tuple[str, ...]
    predicate: str
    cases: int
    source: str


@dataclass(frozen=True)
class ProbedTest:
    """A test that is ready to be asked about.

    ``unmasked`` says what could not be kept from sight: a prediction for such a test is not blind.
    ``renamed`` leads from the names in ``blind`` back to those of the test.
    """

    test: str
    path: str
    source: str
    blind: str
    transparent: str
    probes: tuple[Probe, ...] = ()
    unmasked: tuple[str, ...] = ()
    assertions: tuple[Asserted, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def probe_test(path: str, source: str, test: str) -> ProbedTest:
    """Probe the test ``test`` (a pytest node id, or ``path`` for a whole file or script) of a file.

    Source that is not Python gives no probes, and nothing to show.
    """
    try:
        return _Prober(path, source, test).probed()
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
        return ProbedTest(
            test, path, source, "", source, unmasked=(f"{path} cannot be read as Python: {error}",)
        )


class _Prober:
    def __init__(self, path: str, source: str, test: str) -> None:
        self.path, self.test, self.original = path, test, source
        self.text = Text(source)
        self.tree = ast.parse(self.text.source)
        self.flow = Flow(self.tree)
        self.unmasked: list[str] = []
        self.edits: list[Edit] = []
        self.chain = self._find(test.partition("[")[0].split("::")[1:])
        self.kept = self._kept()
        self.functions = [f for f in self.flow.functions() if id(f) in self.kept]

    # -- what belongs to the test

    def _find(self, names: Sequence[str]) -> list[ast.stmt]:
        """The class and the function that a node id names; none: the whole file."""
        chain: list[ast.stmt] = []
        body = self.tree.body
        for name in names:
            found = [n for n in body if isinstance(n, (*_DEFINITIONS,)) and n.name == name]
            if not found:
                return []
            chain.append(found[-1])
            body = found[-1].body
        return chain

    def _kept(self) -> set[int]:
        """Ids of the nodes that the test can reach; with no test named, all."""
        if not self.chain:
            return {id(node) for node in ast.walk(self.tree)}
        roots: list[ast.AST] = []
        for node in self.chain[:-1]:
            assert isinstance(node, ast.ClassDef)
            roots += [*node.decorator_list, *node.bases]
        target = self.chain[-1]
        roots.append(target)
        kept = {id(node) for node in self.chain} | {id(n) for root in roots for n in ast.walk(root)}
        used = set().union(*(_used(root) for root in roots))
        candidates = list(self._candidates(target))
        changed = True
        while changed:
            changed = False
            for statement in candidates:
                if id(statement) not in kept and self._wanted(statement, used):
                    kept |= {id(node) for node in ast.walk(statement)}
                    used |= _used(statement)
                    changed = True
        return kept

    def _candidates(self, target: ast.stmt) -> Iterator[ast.stmt]:
        for body in (
            self.tree.body,
            *(c.body for c in self.chain if isinstance(c, ast.ClassDef) and c is not target),
        ):
            yield from (statement for statement in body if statement not in self.chain)

    def _wanted(self, statement: ast.stmt, used: set[str]) -> bool:
        if isinstance(statement, _DEFINITIONS):
            fixture = any(
                "fixture" in ast.unparse(d) and "autouse" in ast.unparse(d) for d in statement.decorator_list
            )
            return statement.name in used or statement.name in _SETUPS or fixture
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            return True
        if isinstance(statement, (ast.If, ast.Try)) and any(
            isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(statement)
        ):
            return True
        bound = {
            n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        simple = isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign))
        return simple and bool(bound & (used | {"pytestmark"}))

    # -- the two texts

    def probed(self) -> ProbedTest:
        self._bind_parameters()
        found = [a for a in Reader(self.flow).read(self.tree.body) if id(a.statement) in self.kept]
        self._number(found)
        for made in found:
            self.unmasked += [f"line {made.statement.lineno}: {note}" for note in made.notes]
        hidden = self._hidden(found)
        self._blind(found, hidden)
        renamed = self._rename()
        blind = self.text.apply(self.edits)
        self._check_names(hidden)
        probes, assertions = self._records(found)
        return ProbedTest(
            self.test, self.path, self.original, blind, self._transparent(found), probes,
            tuple(dict.fromkeys(self.unmasked)), assertions, renamed,
        )  # fmt: skip

    def _number(self, found: Sequence[Assertion]) -> None:
        """Number the questions of this test from 1; those of other tests had numbers too."""
        names: dict[str, str] = {}
        for made in found:
            for name, _ in made.asked:
                names[name] = f"p{len(names) + 1}"
        for made in found:
            made.asked = [(names[name], node) for name, node in made.asked]
            if made.predicate:
                tree = ast.parse(made.predicate, mode="eval")
                for node in ast.walk(tree):
                    if isinstance(node, ast.Name):
                        node.id = names.get(node.id, node.id)
                made.predicate = ast.unparse(tree)

    def _bind_parameters(self) -> None:
        """Bind parameters: from ``parametrize``, from fixtures that return a constant, from calls of
        helpers."""
        for function in self.functions:
            names = [
                a.arg
                for a in [*function.args.posonlyargs, *function.args.args]
                if a.arg not in ("self", "cls")
            ]
            stored = {
                n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            decorators = [*function.decorator_list, *self._class_decorators(function)]
            found: dict[str, Binding] = {}
            marks = [d for d in decorators if isinstance(d, ast.Call) and last_name(d.func) == "parametrize"]
            for mark in marks:
                found |= self._parametrized(mark, function, alone=len(marks) == 1)
            calls = self._calls(function)
            for index, name in enumerate(names):
                if name in found or name in stored:
                    continue
                fixture = self._fixture(name)
                given = [_argument(call, index, name) for call in calls]
                if fixture is not None and not given:
                    found[name] = Binding([fixture])
                elif given and all(given):
                    group = f"calls:{id(function)}" if len(given) > 1 else ""
                    found[name] = Binding([node for node in given if node], group)
            for name, binding in found.items():
                if name not in stored:
                    self.flow.bindings[(id(function), name)] = binding

    def _class_decorators(self, function: Function) -> list[ast.expr]:
        parent = self.flow.parents.get(id(function))
        return parent.decorator_list if isinstance(parent, ast.ClassDef) else []

    def _parametrized(self, mark: ast.Call, function: Function, *, alone: bool) -> dict[str, Binding]:
        arguments = {keyword.arg: keyword.value for keyword in mark.keywords}
        named = mark.args[0] if mark.args else arguments.get("argnames")
        values = mark.args[1] if len(mark.args) > 1 else arguments.get("argvalues")
        if named is None or values is None:
            return {}
        if isinstance(values, ast.Name):
            binding = self.flow.binding(values)
            values = binding.nodes[0] if binding and not binding.group else values
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            names = [name.strip() for name in named.value.split(",") if name.strip()]
        elif isinstance(named, (ast.List, ast.Tuple)):
            names = [str(n.value) for n in named.elts if isinstance(n, ast.Constant)]
        else:
            return {}
        if not isinstance(values, (ast.List, ast.Tuple)):
            return {}
        rows = [self._row(row, len(names)) for row in values.elts]
        if not rows or any(row is None for row in rows):
            return {}
        chosen = self._case(mark, function, values.elts, [r for r in rows if r], names) if alone else None
        self.edits += [self._withheld(k.value) for k in mark.keywords if k.arg == "ids"]
        for row in values.elts:
            if isinstance(row, ast.Call):
                self.edits += [self._withheld(k.value) for k in row.keywords if k.arg == "id"]
        target = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
        group = f"parametrize:{id(mark)}"
        tuples = [ast.Tuple(row, ast.Load()) for row in rows if row]
        if not alone and len(tuples) > 1:
            group += ":several"
        return {name: Binding(nodes, group, chosen) for name, nodes, _ in columns(target, tuples, group)}

    def _row(self, row: ast.expr, width: int) -> list[ast.expr] | None:
        if isinstance(row, ast.Call) and last_name(row.func) == "param":
            return row.args if len(row.args) == width else None
        if width == 1:
            return [row]
        whole = isinstance(row, (ast.Tuple, ast.List)) and len(row.elts) == width
        return row.elts if whole and isinstance(row, (ast.Tuple, ast.List)) else None

    def _case(
        self,
        mark: ast.Call,
        function: Function,
        elements: list[ast.expr],
        rows: list[list[ast.expr]],
        names: list[str],
    ) -> int | None:
        """Which case the node id names, by pytest's rules for ids; None where all are meant or it is not
        seen."""
        wanted = self.test.partition("[")[2].removesuffix("]")
        if not wanted or not self.chain or function is not self.chain[-1]:
            return 0 if len(rows) == 1 else None
        ids = next((k.value for k in mark.keywords if k.arg == "ids"), None)
        for index, (element, row) in enumerate(zip(elements, rows, strict=True)):
            parts = [_case_id(value, name, index) for value, name in zip(row, names, strict=True)]
            text = "-".join(parts)
            if isinstance(ids, (ast.List, ast.Tuple)) and index < len(ids.elts):
                given = ids.elts[index]
                text = (
                    str(given.value) if isinstance(given, ast.Constant) and given.value is not None else text
                )
            if isinstance(element, ast.Call):
                text = next(
                    (
                        str(k.value.value)
                        for k in element.keywords
                        if k.arg == "id" and isinstance(k.value, ast.Constant)
                    ),
                    text,
                )
            if text == wanted:
                return index
        return None

    def _fixture(self, name: str) -> ast.expr | None:
        for node in self.functions:
            if node.name == name and any("fixture" in ast.unparse(d) for d in node.decorator_list):
                body = [
                    s
                    for s in node.body
                    if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
                ]
                if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
                    return body[0].value
        return None

    def _calls(self, function: Function) -> list[ast.Call]:
        """The calls of a helper in the kept part, in order; none where it is used in another way too."""
        calls, other = [], False
        for node in ast.walk(self.tree):
            if id(node) not in self.kept or not isinstance(node, (ast.Name, ast.Attribute)):
                continue
            owned = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if last_name(node) != function.name or (isinstance(node, ast.Attribute) and not owned):
                continue
            parent = self.flow.parents[id(node)]
            if isinstance(parent, ast.Call) and parent.func is node:
                calls.append(parent)
            else:
                other = True
        if function.name.startswith("test") or other:
            return []
        return sorted(calls, key=lambda call: (call.lineno, call.col_offset))

    # -- hiding

    def _withheld(self, node: ast.expr) -> Edit:
        start, end = self.text.span(node)
        newlines = self.text.newlines(start, end)
        return Edit(start, end, padded("(...)", newlines) if newlines else "...")

    def _hidden(self, found: Sequence[Assertion]) -> list[ast.expr]:
        """The nodes, outside of assertions, that give expected values and nothing else."""
        spans: list[tuple[int, int]] = []
        shown: list[tuple[int, int]] = []
        for made in found:
            spans.append(
                self.text.span(
                    made.statement if not isinstance(made.node, ast.withitem) else made.node.context_expr
                )
            )
            shown += [self.text.span(node) for _, node in made.asked if not made.raises]
            if made.loop is not None:
                shown += [self.text.span(g.iter) for g in made.loop.generators]
        for node in ast.walk(self.tree):
            if id(node) in self.kept and (
                _is_print(node) or (isinstance(node, ast.stmt) and is_failure(node))
            ):
                assert isinstance(node, ast.stmt)
                spans.append(self.text.span(node))
        hidden: list[ast.expr] = []
        done: set[tuple[int, str]] = set()
        changed = True
        while changed:
            changed = False
            for key, binding in self.flow.bindings.items():
                loads = [n for n in self.flow.loads.get(key, []) if id(n) in self.kept]
                if (
                    key in done
                    or not loads
                    or any(self.flow.rank(node) == COMPUTED for node in binding.nodes)
                ):
                    continue
                if all(self._is_hidden(load, spans, shown) for load in loads):
                    done.add(key)
                    changed = True
                    nodes = [node for node in binding.nodes if hasattr(node, "lineno")]
                    hidden += nodes
                    spans += [self.text.span(node) for node in nodes]
        self._note_open(found, done)
        return hidden

    def _is_hidden(
        self, node: ast.expr, spans: Iterable[tuple[int, int]], shown: Iterable[tuple[int, int]]
    ) -> bool:
        start, end = self.text.span(node)
        inside = any(a <= start and end <= b for a, b in spans)
        return inside and not any(a <= start and end <= b for a, b in shown)

    def _note_open(self, found: Sequence[Assertion], done: set[tuple[int, str]]) -> None:
        """Say which expected values are used elsewhere too, under a name that tells what they are."""
        for made in found:
            asked = {id(child) for _, node in made.asked for child in ast.walk(node)}
            for node in ast.walk(made.statement):
                if isinstance(node, ast.Name) and id(node) not in asked and _TELLING.search(node.id):
                    key = (id(self.flow.owner(node, node.id)), node.id)
                    if isinstance(node.ctx, ast.Load) and key not in done:
                        self.unmasked.append(f"line {node.lineno}: `{node.id}` is used elsewhere too")

    def _blind(self, found: Sequence[Assertion], hidden: Sequence[ast.expr]) -> None:
        text = self.text
        self.edits += text.comments()
        self.edits += docstrings(text, self.tree)
        for made in found:
            if isinstance(made.node, ast.withitem):
                start, end = text.span(made.node.context_expr)
                shown = f'probe_raises("{made.asked[0][0]}")'
            else:
                start, end = text.span(made.statement)
                shown = _questions(made)
            self.edits.append(Edit(start, end, padded(shown, text.newlines(start, end))))
        self.edits += [self._withheld(node) for node in hidden]
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.stmt) or id(node) not in self.kept:
                continue
            start, end = text.span(node)
            if _is_print(node):
                self.edits.append(Edit(start, end, "pass" + "\n" * text.newlines(start, end)))
            elif is_failure(node):
                self.edits.append(Edit(start, end, padded("probe_fail()", text.newlines(start, end))))
        if self.chain:
            dropped = [s for s in self._candidates(self.chain[-1]) if id(s) not in self.kept]
            self.edits += [text.blank(statement) for statement in dropped]
            self._choose_case()

    def _choose_case(self) -> None:
        """Show only the row of ``parametrize`` that the node id names."""
        target = self.chain[-1]
        for decorator in getattr(target, "decorator_list", []):
            bindings = [
                b
                for b in self.flow.bindings.values()
                if b.group == f"parametrize:{id(decorator)}" and b.chosen is not None
            ]
            if bindings:
                for binding in bindings:
                    rest = [node for index, node in enumerate(binding.nodes) if index != binding.chosen]
                    self.edits += [self._withheld(node) for node in rest if hasattr(node, "lineno")]

    def _rename(self) -> dict[str, str]:
        """Give tests neutral names: a name may tell what is expected."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if id(node) not in self.kept or not isinstance(node, _DEFINITIONS):
                continue
            tests = node.name.startswith("test") if not isinstance(node, ast.ClassDef) else node in self.chain
            if tests or (isinstance(node, ast.ClassDef) and re.search("Test", node.name) and not self.chain):
                stem = "TestTarget" if isinstance(node, ast.ClassDef) else "test_target"
                count = sum(new.rstrip("0123456789_") == stem for new in names.values())
                names.setdefault(node.name, stem if not count else f"{stem}_{count + 1}")
        for node in ast.walk(self.tree):
            if isinstance(node, _DEFINITIONS) and node.name in names and id(node) in self.kept:
                start = self.text.offset(node.lineno, node.col_offset)
                found = re.compile(rb"\b" + node.name.encode() + rb"\b").search(self.text.data, start)
                if found:
                    self.edits.append(Edit(found.start(), found.end(), names[node.name]))
            elif isinstance(node, ast.Name) and node.id in names and id(node) in self.kept:
                start, end = self.text.span(node)
                self.edits.append(Edit(start, end, names[node.id]))
        return {new: old for old, new in names.items()}

    def _check_names(self, hidden: Sequence[ast.expr]) -> None:
        """Values that are told by the names of helpers, which stay: say so."""
        tokens = {t for made in self._seen for t in _tokens(made)} | {
            t for node in hidden for t in _tokens(node)
        }
        helpers = {n.name for n in ast.walk(self.tree) if isinstance(n, _DEFINITIONS) and id(n) in self.kept}
        for name in sorted(helpers):
            if not name.startswith(("test", "Test")) and tokens & set(name.lower().split("_")):
                self.unmasked.append(f"the name `{name}` holds an expected value")

    def _transparent(self, found: Sequence[Assertion]) -> str:
        edits = []
        for made in found:
            for name, node in made.asked:
                if not made.raises and hasattr(node, "lineno"):
                    start, end = self.text.span(node)
                    edits += [Edit(start, start, f'{PROBE}("{name}", ('), Edit(end, end, "))")]
        changed = self.text.apply(edits)
        ast.parse(changed.removeprefix("\ufeff"))
        return changed

    # -- records

    @property
    def _seen(self) -> list[ast.expr]:
        return [
            node.test
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assert) and id(node) in self.kept
        ]

    def _records(self, found: Sequence[Assertion]) -> tuple[tuple[Probe, ...], tuple[Asserted, ...]]:
        probes, assertions = [], []
        for number, made in enumerate(found, 1):
            source = self.text.segment(made.statement)
            if isinstance(made.node, ast.withitem):
                source = self.text.segment(made.node.context_expr)
            end = made.statement.end_lineno or made.statement.lineno
            single = made.predicate
            if len(made.asked) == 1 and not made.raises and single:
                single = _single(single, made.asked[0][0])
            for name, node in made.asked:
                shown = ast.unparse(node)
                line = getattr(node, "lineno", made.statement.lineno)
                if made.raises:
                    shown = f"lines {made.statement.lineno} to {end}"
                    question = f"which exception does the block of {shown} raise, if any?"
                else:
                    question = f"what is `{shown}` on line {line}?"
                probes.append(Probe(name, self.path, line, question, shown, single, source))
            ids = tuple(name for name, _ in made.asked)
            if ids or not made.predicate:
                start = made.statement.lineno
                assertions.append(
                    Asserted(f"a{number}", self.path, start, end, ids, made.predicate, made.cases, source)
                )
        return tuple(probes), tuple(assertions)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SETUPS = {
    "setUp",
    "tearDown",
    "setUpClass",
    "tearDownClass",
    "setup_method",
    "teardown_method",
    "setup_class",
    "setup",
    "teardown",
    "setUpTestData",
    "setup_module",
    "setup_function",
    "asyncSetUp",
    "asyncTearDown",
    "__init__",
}
_TELLING = re.compile(r"expect|want|answer|correct|truth|golden|desired", re.IGNORECASE)


def _single(predicate: str, name: str) -> str:
    tree = ast.parse(predicate, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = "value"
    return ast.unparse(tree)


def _questions(made: Assertion) -> str:
    """What stands in the blind text in an assertion's place."""
    if made.raises:
        statement = made.statement
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and len(call.args) > 1:
            rest = ast.Call(call.args[1], call.args[2:], call.keywords)
            return f'probe_raises("{made.asked[0][0]}", lambda: {ast.unparse(rest)})'
        return f'probe_raises("{made.asked[0][0]}")'
    asked = [f'probe("{name}", {ast.unparse(node)})' for name, node in made.asked]
    if not asked:
        return "(pass_by())"
    if made.loop is not None:
        element: ast.expr = ast.parse(
            f"({', '.join(asked)},)" if len(asked) > 1 else asked[0], mode="eval"
        ).body
        return ast.unparse(ast.ListComp(element, made.loop.generators))
    return "; ".join(asked)


def _used(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            names.add(child.id)
        elif isinstance(child, ast.Attribute):
            names.add(child.attr)
        elif isinstance(child, ast.arg):
            names.add(child.arg)
        elif isinstance(child, ast.Call) and last_name(child.func) == "usefixtures":
            names |= {str(a.value) for a in child.args if isinstance(a, ast.Constant)}
    return names


def _argument(call: ast.Call, index: int, name: str) -> ast.expr | None:
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    if index < len(call.args):
        return call.args[index]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _case_id(value: ast.expr, name: str, index: int) -> str:
    """pytest's id of one value: constants as they print, anything else by the argument's name and index."""
    try:
        plain = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError):
        return f"{name}{index}"
    if isinstance(plain, (str, int, float, bool, complex)) or plain is None:
        return str(plain)
    return f"{name}{index}"


def _is_print(node: ast.AST) -> bool:
    """A statement that only prints or logs, and calls nothing to do so."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    path = ast.unparse(node.value.func)
    inner = [child for child in ast.walk(node.value) if isinstance(child, ast.Call)]
    return bool(re.fullmatch(r"print|(?:logging|logger|log)\.\w+", path)) and len(inner) == 1


def _tokens(node: ast.AST) -> set[str]:
    found: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, (int, float, str)):
            text = str(child.value).lower()
            if len(text) >= 3 and not isinstance(child.value, bool):
                found.add(text)
    return found
