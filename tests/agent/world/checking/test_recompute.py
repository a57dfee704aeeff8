"""Lines computed again: what several names, calls and comprehensions on one line may do to each other."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from agent.world.checking.check import check
from agent.world.cwm import read_cwm, render_cwm, stripped_of_tokens
from agent.world.flow import Program
from agent.world.trace import Frame, Trace
from tests.agent.world.recording import record

TRUE = {
    "a call changes what its line goes on with": """
def push(s, x):
    s.append(x)
    return len(s)

def main():
    s, memo = [], {}
    a = push(s, 1), s
    if push(s, 2) and s[-1] == 2:
        s[0] += push(s, 3)
    for n in (push(s, 4), len(s)):
        a = [push(s, x) for x in (5, 6)], [s.pop() for _ in "a"], s.pop(), [x for x in s]
    return push(s, 7), s
""",
    "a default that is one object": """
def fib(n, memo={}):
    if n < 2 or n in memo:
        return memo.get(n, 1)
    memo[n] = fib(n - 1, memo) + fib(n - 2, memo)
    return memo[n]

def main():
    return fib(4)
""",
    "lambdas on one line": """
def main():
    pairs = [("b", 2), ("a", 0)]
    names = list(map(lambda p: p[0].upper(), filter(lambda p: p[1] > 1, pairs)))
    return names, (lambda: 5)(), (lambda *a: a)(1), (lambda x, y=3: x * y)(2)
""",
    "comprehensions in comprehensions": """
def main():
    m, i = [[1, 2], [3, 4]], 7
    turned = [[row[i] for row in m] for i in range(2)]
    steps = [[(a, b) for a in range(b)] for b in range(3) if b]
    flat = [x for row in m for x in row if x % 2]
    held = {k: [j for j in range(k)] for k in (1, 2)}
    return turned, steps, flat, held, i
""",
    "what is equal may be one object": """
def main():
    row = [0, 0]
    grid, other = [row, row, row[:]], [[0, 0] for _ in "ab"]
    grid[0][1] += 5
    other[1][0] = 7
    same = grid[0]
    same[0], grid[1][0] = 1, 2
    return grid, other
""",
    "generators that go on": """
def numbers(n):
    for i in range(n):
        got = yield i
        n += got or 0

def main():
    g, m = numbers(4), 2
    seen = [next(g), g.send(3), g.send(5), next(g)]
    half = (x / m for x in seen if x)
    m = 4
    return next(half), sum(half), sum(abs(x - m) for x in seen)
""",
    "loops on one line, and cases": """
def main():
    t = 0
    for i in range(2):
        for j in range(1, i + 2): t += j
    match t:
        case 0:
            t = "none"
        case int(n) if n > 3:
            t = n
        case _:
            t = None
    for t in sorted(set("aba")): pass
    return t
""",
    "statements on one line": """
def main():
    i = 0; j = 1
    while i < 3:
        i += 1; j *= 2
        if i == 2: i += 1; j = 0
    class Empty: pass
    return i, j
""",
    "iterators that end by raising": """
class Down:
    def __init__(self, n):
        self.n = n
    def __iter__(self):
        return self
    def __next__(self):
        if not self.n:
            raise StopIteration
        self.n -= 1
        return self.n

def inner():
    yield 1
    return 2

def outer():
    got = yield from inner()
    yield got

def main():
    out = [x for x in Down(2)]
    for x in Down(1):
        out.append(x)
    return out, list(outer())
""",
    "raised again, and managers one after the other": """
class Quiet:
    def __enter__(self):
        return self
    def __exit__(self, kind, *rest):
        return True

class Loud:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        return False

def main():
    log = []
    try:
        try:
            int("x")
        except ValueError:
            raise
        finally:
            log.append(1)
    except ValueError:
        log.append(2)
    with Quiet(), Loud() as loud:
        log.append(1 / 0)
    return log
""",
}


@pytest.mark.parametrize("name", TRUE)
def test_nothing_is_flagged_in_a_true_trace(name: str) -> None:
    """Would catch a line that is computed from what its own calls have changed since, and a way that a
    program takes and checking does not know."""
    source = TRUE[name]
    trace, program = record(source), Program(source, "m.py")
    assert [f.text for f in check(trace, program).findings] == []
    text = render_cwm(trace, program)
    for written in (text, stripped_of_tokens(text) + "\nSo it ends."):
        reading = read_cwm(written, program)
        assert reading.complete
        assert [f.text for f in check(reading.trace, program, strange=reading.strange).findings] == []


WRONG = {
    "an exception that is none": ("for x in y:\n        z = x", "line", 3, ("exception", "KeyError(1)")),
    "another exception": ("z = y[7]", "exception", 2, ("exception", "KeyError(7)")),
    "another message": (
        "raise ValueError(f'no {y[0]}')",
        "exception",
        2,
        ("exception", "ValueError('no 2')"),
    ),
    "an inner list": ("d = {'a': [[0, 0], [0, 0]]}\n    d['a'][1][0] += 4\n    z = d", "line", 4, "d"),
    "a loop on one line": ("z = 0\n    for x in y: z += x\n    y = z", "line", 3, "z"),
    "a free name of a generator": ("z = sum(x * k for x in y)", "call", 2, "k"),
    "an item of a generator": ("z = sum(x * k for x in y)", "call", 2, "x"),
    "a hash": ("import hashlib\n    z = hashlib.md5(b'x').hexdigest()\n    y = z", "line", 4, "z"),
    "a sorted set": ("z = sorted(list(set(y + y)))\n    y = z", "line", 3, "z"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_step_is_named(name: str) -> None:
    """Would catch a kind of error that checking is blind to, and blame that falls on a later frame."""
    body, event, line, change = WRONG[name]
    call = "    try:\n        f([1, 2], 3)\n    except Exception:\n        pass\n"
    source = f"def f(y, k):\n    {body}\n\ndef main():\n{call}"
    frames = list(record(source).frames)
    at = [n for n, f in enumerate(frames) if (f.event, f.line) == (event, line) and f.function != "main"]
    if isinstance(change, str):
        index = next(n for n in at if change in frames[n].locals)
        right = frames[index].locals.get(change)
        frames[index] = replace(frames[index], locals={**frames[index].locals, change: wrong(right)})
    else:
        index = at[0]
        frames[index:] = [
            replace(frames[index], event="exception", line=frames[index - 1].line, locals={}, value=change[1])
        ]
    first = check(Trace(tuple(frames)), Program(source, "m.py")).first
    assert first is not None
    assert first.index == index


def wrong(text: str | None) -> str:
    """Another value of the same kind."""
    value = ast.literal_eval(text or "0")
    if isinstance(value, int):
        return repr(value + 1)
    return repr({"a": [[0, 0], [0, 4]]} if isinstance(value, dict) else [*value, *value[-1:]])


def test_inlined_comprehensions() -> None:
    """Would catch a lambda in a comprehension, and the end of one, taken for wrong where Python 3.12 has made
    the comprehension part of the function."""
    source = "def main():\n    a = [(lambda q: q + x)(1) for x in It()]\n    return a, (lambda q: 5)(2)\n"
    name = "main.<locals>.<lambda>"
    frames = (
        Frame("call", "main", "m.py", 1),
        Frame("line", "main", "m.py", 2),
        Frame("call", name, "m.py", 2, 1, locals={"q": "1", "x": "3"}),
        Frame("line", name, "m.py", 2, 1),
        Frame("return", name, "m.py", 2, 1, value="4"),
        Frame("exception", "main", "m.py", 2, value="StopIteration()"),
        Frame("line", "main", "m.py", 3, locals={"a": "[4]"}),
        Frame("call", name, "m.py", 3, 1, visit=2, locals={"q": "2"}),
        Frame("line", name, "m.py", 3, 1, visit=2),
        Frame("return", name, "m.py", 3, 1, visit=2, value="5"),
        Frame("return", "main", "m.py", 3, value="([4], 5)"),
    )
    assert [f.text for f in check(Trace(frames), Program(source, "m.py")).findings] == []
