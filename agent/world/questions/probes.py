"""Probes: a visible test, with its assertions turned into questions.

``assert f(x) == y`` becomes the question "what is ``f(x)`` here?". Two texts come of it, both with every
line on its number: ``blind``, which is shown to who predicts and holds no expected value, and
``transparent``, which runs like the original and records the operands.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.world.questions.assertions import Reader
from agent.world.questions.blind import Blinder, enclosing_text, tokens
from agent.world.questions.cases import Cases
from agent.world.questions.dataflow import Flow
from agent.world.questions.operands import Asked, Assertion
from agent.world.questions.origins import Origins
from agent.world.questions.reach import reached
from agent.world.questions.sight import in_sight
from agent.world.questions.splice import Edit, Text

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
    ``unjudged`` says which assertions the harness can't judge, and why: a prediction can break on the others
    but never hold. ``renamed`` leads from the names in ``blind`` back to those of the test.
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
    unjudged: tuple[str, ...] = ()
    sighted: str = ""
    """What ``blind`` is made from, with nothing masked. No blind simulation sees it."""

    @property
    def raises(self) -> bool:
        """Whether an assertion is about an exception or a warning."""
        return any(a.predicate.startswith(("raises(", "warns(")) for a in self.assertions)


def probe_test(path: str, source: str, test: str, conftests: Sequence[str] = ()) -> ProbedTest:
    """Probe the test ``test`` (a pytest node id, or ``path`` for a whole file or script) of a file.

    ``conftests``: texts of the ``conftest.py`` files around it, the nearest first; constants that their
    fixtures give are known then. Source that is not Python gives no probes, and nothing to show.
    """
    try:
        return _probed(path, source, test, _trees(conftests))
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
        return ProbedTest(
            test, path, source, "", source, unmasked=(f"{path} cannot be read as Python: {error}",)
        )


def _trees(texts: Sequence[str]) -> list[ast.Module]:
    trees = []
    for text in texts:
        try:
            trees.append(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError):
            continue
    return trees


def _probed(path: str, source: str, test: str, conftests: Sequence[ast.Module]) -> ProbedTest:
    text = Text(source)
    names = test.partition("[")[0].split("::")[1:]
    reach = reached(ast.parse(text.source), names)
    classes = frozenset(n.name for n in reach.chain if isinstance(n, ast.ClassDef))
    flow = Flow(reach.tree, classes or _test_classes(reach.tree))
    cases = Cases(flow, reach, test, conftests)
    reader = Reader(flow, cases)
    found = list(reader.read(reach.tree.body))
    blinder = Blinder(text, flow, reach, cases, found)
    blinder.check_names(tokens([*(m.statement for m in found if isinstance(m.node, ast.Assert)),
                                *blinder.hidden.values()]))  # fmt: skip
    origins = Origins(flow)
    for made in found:
        made.leaks += in_sight(made, flow, origins)
    unmasked = [f"line {m.statement.lineno}: {note}" for m in found for note in m.leaks] + blinder.unmasked
    unmasked += reader.unmasked
    unjudged = [f"line {m.statement.lineno}: {note}" for m in found for note in m.unjudged]
    if not found:
        unjudged.append("no assertion was found")
    blind = blinder.text_of()
    try:
        ast.parse(blind.removeprefix("\ufeff"))
    except SyntaxError as error:
        blind = ""
        unmasked.append(f"line {error.lineno}: the test can't be shown without what it expects")
    probes, assertions = _records(path, text, found, blinder)
    return ProbedTest(
        test, path, source, blind, _transparent(text, flow, found), probes, tuple(dict.fromkeys(unmasked)),
        assertions, blinder.renamed, tuple(dict.fromkeys(unjudged)), blinder.sighted(),
    )  # fmt: skip


def _test_classes(tree: ast.Module) -> frozenset[str]:
    """In a whole file: its one class, if there is just one, whose attributes ``self`` has."""
    found = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return frozenset(found) if len(found) == 1 else frozenset()


def _transparent(text: Text, flow: Flow, found: Sequence[Assertion]) -> str:
    """The test with its operands wrapped: it runs as the original does, and records what they are."""
    edits = []
    for made in found:
        for asked in made.asked if made.kind == "condition" else ():
            node = asked.node
            if id(node) not in flow.parents or enclosing_text(flow, node) is not None:
                continue
            start, end = text.span(node)
            parent = flow.parents[id(node)]
            if isinstance(node, ast.GeneratorExp) and isinstance(parent, ast.Call) and len(parent.args) == 1:
                # An only argument's brackets are those of the call.
                edits += [Edit(start, start, f'({PROBE}("{asked.id}", '), Edit(end, end, "))")]
                continue
            edits += [Edit(start, start, f'{PROBE}("{asked.id}", ('), Edit(end, end, "))")]
    changed = text.apply(edits)
    ast.parse(changed.removeprefix("\ufeff"))
    return changed


def _records(
    path: str, text: Text, found: Sequence[Assertion], blinder: Blinder
) -> tuple[tuple[Probe, ...], tuple[Asserted, ...]]:
    probes, assertions = [], []
    for number, made in enumerate(found, 1):
        source = text.segment(
            made.node.context_expr if isinstance(made.node, ast.withitem) else made.statement
        )
        start = made.statement.lineno
        end = made.statement.end_lineno or start
        single = made.predicate
        if len(made.asked) == 1 and made.kind == "condition" and single:
            single = _single(single, made.asked[0].id)
        for asked in made.asked:
            shown, question, line = _question(made, asked, blinder)
            probes.append(Probe(asked.id, path, line, question, shown, single, source))
        ids = tuple(asked.id for asked in made.asked)
        if ids or not made.predicate:
            assertions.append(
                Asserted(f"a{number}", path, start, end, ids, made.predicate, made.cases, source)
            )
    return tuple(probes), tuple(assertions)


def _question(made: Assertion, asked: Asked, blinder: Blinder) -> tuple[str, str, int]:
    """What a question names, its text, and its line."""
    start = made.statement.lineno
    block = f"lines {start} to {made.statement.end_lineno or start}"
    if made.kind == "raises":
        return block, (
            f"which exception does the block of {block} raise, if any? Its class and its text, "
            "as in ValueError('text')"
        ), start  # fmt: skip
    if made.kind == "warns":
        return block, (
            f"which warnings does the block of {block} issue? A list with their classes and texts, "
            "as in [UserWarning('text')]"
        ), start  # fmt: skip
    if made.kind == "never":
        return f"line {start}", f"is line {start} reached? (answer only if it is)", start
    shown = blinder.shown(asked.node)
    line = getattr(asked.node, "lineno", start)
    lazy = " (where it raises, the exception)" if asked.lazy else ""
    return shown, f"what is `{shown}` on line {line}?{lazy}", line


def _single(predicate: str, name: str) -> str:
    tree = ast.parse(predicate, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = "value"
    return ast.unparse(tree)
