"""Which of several edits that all pass the visible tests is the fix: likelihood, generality, agreement.

Passing the visible tests is weak evidence: most edits that pass a short test are wrong (overfitting).
What else is legitimately visible is used here: the examples of docstrings and issue; how each edit
behaves on inputs made from those that the tests use; what kind of edit it is.
"""

from __future__ import annotations

import ast
import doctest
import math
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from agent.offline.mutate import Mutant
from agent.offline.source import Source
from agent.offline.trials import Outcome, Trials
from agent.patch import is_test_path

MAX_COMPARED = 150
"""Plausible edits whose behaviour is looked at; the rest follow in the order of their cost."""
QUESTIONS = 120
EXAMPLE_PENALTY = 4.0
CRASH_PENALTY = 3.0
SECOND_VOTE = 0.3
"""How much another edit that behaves the same adds: edits are not independent witnesses."""

ONE_LINE = re.compile(
    r"(?:for example:?|e\.?g\.?:?|example:?|[-*])?\s*`?(?P<call>(?P<name>[A-Za-z_]\w*)\(.*\))`?\s*"
    r"(?:=+>|-+>|==?|➞|→|#\s*(?:=>|->)?|(?:should )?(?:returns?|gives?|be)|:)\s*`?(?P<value>[^`]+?)[`.;]?$",
    re.IGNORECASE,
)

Question = tuple[str, str]


def rank(
    passing: Sequence[Mutant],
    sources: Mapping[str, Source],
    trials: Trials,
    base: Outcome,
    *,
    prose: str,
    seed: int,
) -> list[tuple[Mutant, float]]:
    """Passing edits, best first, each with the share of likelihood that behaves as it does."""
    ordered = sorted(passing, key=lambda m: m.cost)
    compared, rest = ordered[:MAX_COMPARED], ordered[MAX_COMPARED:]
    if len(ordered) < 2:
        return [(m, 1.0) for m in ordered]
    examples = list(documented(sources, prose))
    made = questions(sources, base, random.Random(seed))
    asked = [(path, expression) for path, expression, _ in examples] + made
    answers: dict[int, Sequence[str]] = {}
    if asked:
        outcomes = trials.ask([None, *compared], asked, seconds=20)
        answers = {
            i: outcome.answers for i, outcome in outcomes.items() if len(outcome.answers) == len(asked)
        }
    scored: list[tuple[float, int, tuple[str, ...]]] = []
    before = answers.get(0, ())
    for i, mutant in enumerate(compared, 1):
        score = mutant.cost
        own = answers.get(i)
        if own is None:
            scored.append((score, i, ("unknown", str(i))))
            continue
        score += EXAMPLE_PENALTY * disagreements(examples, own)
        score += generality(before[len(examples) :], own[len(examples) :])
        scored.append((score, i, tuple(own)))
    weights: dict[tuple[str, ...], float] = {}
    for score, _, behaviour in sorted(scored):
        known = weights.get(behaviour)
        weights[behaviour] = math.exp(-score) if known is None else known + SECOND_VOTE * math.exp(-score)
    total = sum(weights.values())
    scored.sort(key=lambda s: (-weights[s[2]], s[0]))
    ranked = [(compared[i - 1], weights[behaviour] / total) for _, i, behaviour in scored]
    return ranked + [(mutant, 0.0) for mutant in rest]


def documented(sources: Mapping[str, Source], prose: str) -> Iterator[tuple[str, str, str]]:
    """Examples of docstrings and issue: file, expression, what it should show."""
    for path, source in sources.items():
        names = {f.name for f in source.functions if f.owner is None}
        for text in (*(f.node.get_docstring() or "" for f in source.functions), prose):
            yield from ((path, expression, want) for expression, want in examples_in(text, names))


def examples_in(text: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Doctest's examples, and one-line ones such as ``f(2) == 4``, ``f(2) => 4`` or ``f(2) returns 4``."""
    try:
        for example in doctest.DocTestParser().get_examples(text):
            expression = example.source.strip()
            if example.want and _is_expression(expression):
                yield expression, example.want
    except ValueError:
        pass  # not doctest's form: no examples of that kind
    for line in text.splitlines():
        match = ONE_LINE.match(line.strip().removeprefix(">>> "))
        if match and match["name"] in names and _is_expression(match["call"]):
            try:
                value = ast.literal_eval(match["value"].strip())
            except (SyntaxError, ValueError):
                continue
            yield match["call"], repr(value) + "\n"


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def disagreements(examples: Sequence[tuple[str, str, str]], answers: Sequence[str]) -> float:
    """The share of documented examples that come out otherwise."""
    if not examples:
        return 0.0
    checker = doctest.OutputChecker()
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    wrong = sum(
        not checker.check_output(want, answer + "\n", flags)
        for (_, _, want), answer in zip(examples, answers, strict=False)
    )
    return wrong / len(examples)


def generality(before: Sequence[str], after: Sequence[str]) -> float:
    """Penalty for crashing where the unchanged code does not."""
    if not before:
        return 0.0
    crashes = sum(not b.startswith("!") and a.startswith("!") for b, a in zip(before, after, strict=True))
    return CRASH_PENALTY * crashes / len(before)


def questions(sources: Mapping[str, Source], base: Outcome, rng: random.Random) -> list[Question]:
    """Calls of module-level functions with arguments near those that the failing test used."""
    top = {(path, f.name) for path, source in sources.items() for f in source.functions if f.owner is None}
    seeds: dict[tuple[str, str], list[list[Any]]] = {}
    for path, name, _, arguments in base.calls:
        if (path, name) in top and not is_test_path(path):
            seeds.setdefault((path, name), []).append(ast.literal_eval(arguments))
    found: dict[Question, None] = {}
    for (path, name), calls in seeds.items():
        for _ in range(QUESTIONS // len(seeds)):
            values = list(rng.choice(calls))
            for _ in range(rng.choice((0, 1, 1, 2))):
                if values:
                    at = rng.randrange(len(values))
                    other = rng.choice(calls)
                    values[at] = (
                        other[at] if rng.random() < 0.2 and at < len(other) else vary(values[at], rng)
                    )
            found.setdefault((path, f"{name}(*{values!r})"))
    return list(found)


def vary(value: Any, rng: random.Random) -> Any:
    """A value of the same kind, a small step away."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(
            (value + 1, value - 1, value + 2, value * 2, value + 10, value // 2, abs(value), 0, 1)
        )
    if isinstance(value, float):
        return rng.choice((value + 1.0, value - 0.5, value * 2, value / 2, float(int(value)), value + 0.1))
    if isinstance(value, str):
        return vary_string(value, rng)
    if isinstance(value, (list, tuple)):
        return type(value)(vary_items(list(value), rng))
    if isinstance(value, dict):
        items = list(value.items())
        if items and rng.random() < 0.5:
            at = rng.randrange(len(items))
            items[at] = (items[at][0], vary(items[at][1], rng))
            return dict(items)
        return dict(vary_items(items, rng)) if items else value
    if isinstance(value, set):
        return set(vary_items(sorted(value, key=repr), rng))
    return value


def vary_string(value: str, rng: random.Random) -> str:
    if not value:
        return rng.choice(("a", "A", "1", " "))
    at = rng.randrange(len(value))
    return rng.choice(
        (
            value[:at] + value[at + 1 :],
            value[:at] + value[at] + value[at:],
            value[:at] + rng.choice(value) + value[at + 1 :],
            value[:at] + value[at].swapcase() + value[at + 1 :],
            value[::-1],
            value + value,
            value[: len(value) // 2],
            value + rng.choice(value),
        )
    )


def vary_items(items: list[Any], rng: random.Random) -> list[Any]:
    if not items:
        return items
    at = rng.randrange(len(items))
    step = rng.randrange(6)
    if step == 0:
        return items[:at] + items[at + 1 :]
    if step == 1:
        return [*items[: at + 1], items[at], *items[at + 1 :]]
    if step == 2:
        return items[::-1]
    if step == 3:
        return [*items, vary(rng.choice(items), rng)]
    if isinstance(items[at], tuple) and len(items[at]) == 2:
        return items
    return [*items[:at], vary(items[at], rng), *items[at + 1 :]]
