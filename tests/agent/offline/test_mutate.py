"""The edits themselves, without running anything."""

from __future__ import annotations

import ast

import pytest

from agent.offline import mutate, rank
from agent.offline.mutate import fingerprint, mutants
from agent.offline.source import Source

VARIED = '''
"""A module."""
import math

LIMIT = 3
_names = {}


class Shelf:
    def __init__(self, label, items=[]):
        self.label = label
        self._items = items
        self._sizes = {}

    @property
    def first(self):
        return self._items[0] if self._items else None

    def put(self, item, /, *more, size: int = 1, **rest):
        """Put é on the shelf."""
        self._items.append(item); self._sizes[item] = size
        for other in more:
            if other in rest and not other.startswith("x"): continue
            self._items += [other]
        else:
            size -= 1
        return f"{item!r:>{size}} {(lambda q: q + 1)(size)}"


async def walk(steps, *, limit=LIMIT):
    total, seen = 0, set()
    while total < limit or (steps and total % 2 == 0):
        try:
            step = steps.pop(0)[1:-1]
        except (IndexError, TypeError) as error:
            raise ValueError(str(error)) from error
        if step in seen:
            break
        elif len(step) > 2:
            seen.add(step)
            total += max(len(s) for s in step if s != ",")
        else:
            total = total + 1
    return {k: v for k, v in zip(steps, sorted(seen, key=len))}, total
'''


def everything(text: str) -> tuple[Source, list[mutate.Mutant]]:
    source = Source("a.py", text)
    return source, mutants(source, dict.fromkeys(range(1, text.count("\n") + 2), 1.0), "needs 42 of `Shelf`")


def test_fingerprinted_mutants_parse_and_differ() -> None:
    """Catches an edit that damages the text, and a fingerprint that takes the unchanged program for a
    new one."""
    source, found = everything(VARIED)
    assert len(found) > 300
    unchanged = ast.dump(ast.parse(VARIED))
    sample = found[:: max(1, len(found) // 600)]
    kept = [m for m in sample if fingerprint(source, m)]
    assert len(kept) > 0.6 * len(sample)
    assert [m for m in kept if ast.dump(ast.parse(m.text(source))) == unchanged] == []


def test_same_order_every_time() -> None:
    """Catches an order that depends on hashing: the search would not be repeatable."""
    first, second = (everything(VARIED)[1] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("buggy", "fixed"),
    [
        ("def f(a, b):\n    return a < b\n", "a <= b"),
        ("def f(a, b):\n    return a and b\n", "a or b"),
        ("def f(a, b):\n    return a and b and a != b\n", "a or b or a != b"),
        ("def f(a, b):\n    return a - b\n", "abs(a - b)"),
        ("def f(a, b):\n    return (a - b) * 2\n", "(b - a) * 2"),
        ("def f(a):\n    return a[0]\n", "a[-1]"),
        ("def f(a):\n    return a[1:]\n", "return a[:]"),
        ("def f(a):\n    return a.upper()\n", "a.lower()"),
        ("def f(a):\n    return [x for x in a if x]\n", "[x for x in a]"),
        ("def f(a, b):\n    return set(a) == b\n", "set(set(a)) == set(b)"),
        ("def f(a):\n    for x in range(a):\n        print(x)\n", "range(a + 1)"),
        ("def f(a):\n    for x in a:\n        if x:\n            y = x\n        return x\n", "    return x\n"),  # noqa: E501
        ("def f(a):\n    n = 0\n    for x in a:\n        n -= x\n    return n\n", "n += x"),
        ("def f(a):\n    for x in a:\n        if x:\n            return True\n    return False\n", "return False\n    return True"),  # noqa: E501
        ("def f(a=[]):\n    a.append(1)\n    return a\n", "if a is None:\n        a = []\n"),
        ("def f(a, b):\n    return a\n", "return (a)[b:]"),
        ("def f(w):\n    return w == 'Jupyter'\n", "Jupiter"),
    ],
)  # fmt: skip
def test_operators_reach(buggy: str, fixed: str) -> None:
    """Each operator family still makes its edit; catches one that is silently lost."""
    source = Source("a.py", buggy)
    texts = [
        m.text(source)
        for m in mutants(source, dict.fromkeys(range(1, 9), 1.0), "the planets are Jupiter and Mars")
    ]
    wanted = fixed.replace("return (a)[b:]", "return a[b:]")
    assert any(wanted in text for text in texts)


def test_names_are_adapted_when_borrowing() -> None:
    """A statement of another method is of no use with that method's variable names."""
    text = (
        "class A:\n    def drop(self, key):\n        self._rows.pop(key, None)\n        self._seen.discard(key)\n\n"  # noqa: E501
        "    def put(self, name, value):\n        self._rows[name] = value\n"
    )
    source = Source("a.py", text)
    texts = [m.text(source) for m in mutants(source, {7: 1.0})]
    assert any("= value\n        self._seen.discard(name)\n" in text for text in texts)


def test_documentation_examples_are_read() -> None:
    """Examples in prose are evidence; text that only looks like one is not."""
    text = "For example:\n  f([1, 2]) => 3\nf(2) returns 'a'\ng(1) == 2\nf(x) == y\n\n>>> f(0)\n7\n"
    assert set(rank.examples_in(text, {"f"})) == {("f(0)", "7\n"), ("f([1, 2])", "3\n"), ("f(2)", "'a'\n")}
