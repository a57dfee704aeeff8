"""Random Python programs that change objects in every way that a line of Python can."""

from __future__ import annotations

import random
from collections.abc import Callable

UNFOLLOWED = '''
LOG = []


class Box:
    """Everything that an expression can run without a call changes it."""

    def __init__(self, n=0):
        self.n, self.items = n, []

    @property
    def seen(self):
        self.n += 1
        return self.items

    def push(self, x):
        self.items.append(x)
        return self

    def __eq__(self, other):
        self.n += 1
        return self is other

    def __hash__(self):
        return 7

    def __len__(self):
        self.n += 1
        return len(self.items)

    def __contains__(self, x):
        self.items.append(0)
        return True

    def __getitem__(self, key):
        self.n += 1
        if type(key) is int and key > 2:
            raise IndexError(key)
        return key

    def __iter__(self):
        self.n += 1
        return iter(list(self.items))

    def __add__(self, other):
        self.n += 1
        return self

    def __iadd__(self, other):
        self.items.append(1)
        return self

    def __bool__(self):
        self.n += 1
        return True

    def __call__(self, *args):
        self.n += 1
        return args

    def __enter__(self):
        self.n += 1
        return self

    def __exit__(self, *args):
        self.items.append("x")
        return True

    def __format__(self, spec):
        self.n += 1
        return "box"

    def copy(self):
        return self.items

    def get(self, key, default=None):
        self.n += 1
        return default

    def split(self, *args):
        for i in range(2):
            self.items.append(i)
            yield i


def generate(xs, n=2):
    for i in range(n):
        xs.append(i) if type(xs) is list and len(xs) < 9 else None
        got = yield i
        if got:
            LOG.append(got)


def touch(x):
    if type(x) is list and len(x) < 9:
        x.append("t")
    elif type(x) is dict and len(x) < 9:
        x["t"] = 1
    elif type(x) is set:
        x.add("t")
    return x


def call(f, *args):
    return f(*args)
'''
"""the second file, ``helper.py``, which is not followed"""

_START = """
import collections, re, helper
PAT = re.compile("t")
G = [0]
Pair = collections.namedtuple("Pair", "left right")
class Slots:
    __slots__ = ("n", "items")
    def __init__(self):
        self.n, self.items = 1, [1]
class MyList(list): pass
class MyDict(dict): pass
LOG = helper.LOG
def recursive(x, n):
    if n:
        y = recursive(x, n - 1)
        helper.touch(x)
        return y
    return touch(x)
"""
_FRESH = """
[1, 2] | [] | {1: 2} | {'k': []} | {1, 2} | collections.deque([1]) | collections.defaultdict(list)
helper.Box(1) | Box(2) | Slots() | Pair([1], 2) | MyList([1, 2]) | MyDict(k=1) | frozenset([1]) | (1, [2])
[[1], [2]] | 'text' | 3 | range(3) | bytearray(b'x') | PAT
"""
_EXPRESSIONS = """
V.append(E) | V.pop() | V.copy() | V.get(E) | V.get('k', E) | V[E] | V[:2] | (E in V) | len(V) | list(V)
tuple(V) | (V + (1,)) | (V == V) | (not V) | (E if E else E) | (E or E) | (E and E) | helper.touch(V)
touch(V) | helper.call(touch, V) | call(helper.touch, V) | helper.generate(V) | generate(V)
map(V.append, (1, 2)) | next(V) | next(V, E) | iter(V) | zip(V, V) | enumerate(V) | V.items() | V.keys()
V.seen | V.n | V.items | hasattr(V, 'seen') | getattr(V, 'seen', E) | V.push(E) | V.split() | f'{V}'
str(type(V)) | isinstance(V, list) | [q for q in V] | [V for q in V] | [E, E] | (E, E) | {'k': E} | [*V]
{**V} | (lambda: V)() | V.setdefault('k', E) | V.update(V) | V.extend((1, 2)) | any(q for q in V)
max(V, V) | inner(V) | recursive(V, 2) | iter(V.pop, 2) | V.send(E) | V.close() | ','.join(V) | PAT.split(V)
(V is V) | (V < V) | V(E) | {V: 1} | sum(V, 1) | reversed(V) | odd(V) | A | A | A | A | F | F | F
"""
_TARGETS = "V | V | V | V | V, V | V, *V | V[0] | V.n | V['k']"
_SIMPLE = """
T = E | T = E | V = E | V = E | V = V | V = V | V = F | V = F | V = None | E | V += [1] | V += 1 | V |= {3}
V -= {3} | del V | del V[0] | del V.n | V = E; V = E | for V in V[:3]: V = E | if E: V = E | G = V | Y
raise ValueError(V)
"""


def _each(text: str) -> list[str]:
    return [part for line in text.strip().splitlines() for part in line.split(" | ")]


class Programs:
    """``text()`` is the next program, for Python 3.``minor``; its ``main()`` ends, whatever is raised."""

    def __init__(self, seed: int, minor: int) -> None:
        self.random = random.Random(seed)
        self.expressions = _each(_EXPRESSIONS) + ["(V := E)"] * (minor >= 8)
        self.simple, self.targets, self.fresh = _each(_SIMPLE), _each(_TARGETS), _each(_FRESH)
        self.depth, self.generator = 0, False

    def text(self) -> str:
        odd = self.random.choice(["len", "list.pop", "helper.touch", "sorted"])
        lines = [_START, UNFOLLOWED.split("LOG = []", 1)[1], f"odd = {odd}"]
        lines += self._function("one") + self._function("two", generator=True) + self._function("three")
        lines += ["def main():"]
        for name in ("one", "one", "three"):
            lines += [*self._arguments(), *self._tried(f"{name}(*xs)")]
        drive = self.random.choice(["g.send(5)", "helper.call(next, g)", "g.throw(ValueError)", "g.close()"])
        lines += [*self._arguments(), *self._tried("for z in two(*xs):", "    helper.touch(xs[0])")]
        lines += ["    g = two(*xs)", *self._tried("next(g)", drive), "    return xs"]
        return "\n".join(lines) + "\n"

    def _arguments(self) -> list[str]:
        aliased = self.random.choice(["xs[0] = xs[1]", "xs[2] = xs[3] = xs[4]", "xs[1] = [xs[0]]"])
        return [f"    xs = [{', '.join(self.random.choice(self.fresh) for _ in range(5))}]", f"    {aliased}"]

    @staticmethod
    def _tried(*lines: str) -> list[str]:
        return ["    try:", *("        " + line for line in lines), "    except Exception: pass"]

    def _function(self, name: str, generator: bool = False) -> list[str]:
        self.generator = generator
        nested = (
            "    def inner(x):\n        nonlocal a\n        a = b\n        return x"
            if self.random.random() < 0.3
            else "    inner = touch"
        )
        glob = ["    global G"] if self.random.random() < 0.4 else []
        ends = ["    yield a"] if generator else []
        return [f"def {name}(a, b, c, d, e):", *glob, "    n = 0", nested, *self._block(7, "    "), *ends]

    def _block(self, size: int, indent: str = "") -> list[str]:
        return [indent + line for _ in range(size) for line in self._guarded()]

    def _guarded(self) -> list[str]:
        kind = self.random.random()
        lines = self._statement()
        if kind < 0.35:
            return lines
        tried = ["try:", *("    " + line for line in lines)]
        if kind < 0.8:
            return [*tried, "except Exception:", "    pass"]
        if kind < 0.9:
            return [*tried, "except Exception:", *("    " + line for line in self._statement())]
        named = [f"except (TypeError, ValueError) as {self._name()}:", self._filled("    V = 5")]
        return [*tried, *named, "finally:", *("    " + line for line in self._statement())]

    def _statement(self) -> list[str]:
        self.depth += 1
        try:
            if self.depth > 3 or self.random.random() < 0.7:
                return [self._filled(self.random.choice(self.simple))]
            compound: list[Callable[[], list[str]]] = [
                lambda: [self._filled("for V in V:"), *self._round()],
                lambda: [self._filled("for V in E:"), *self._round()],
                lambda: [self._filled("for V, V in V.items():"), *self._round()],
                lambda: [self._filled("for V in V.split():"), *self._round()],
                lambda: [self._filled("for V in V:"), *self._round(), "else:", *self._block(1, "    ")],
                lambda: [self._filled("while n < 20 and E:"), *self._round()],
                lambda: ["while True:", *self._round()],
                lambda: [self._filled("if E:"), *self._block(2, "    "), "else:", *self._block(1, "    ")],
                lambda: [self._filled("with helper.Box(1) as V:"), *self._block(2, "    ")],
                lambda: [self._filled("with V as V:"), *self._block(2, "    ")],
                lambda: ["try:", *self._block(2, "    "), "finally:", *self._block(1, "    ")],
                lambda: [self._filled(line) for line in ("V = [", "    E,", "    E,", "]")],
            ]
            return self.random.choice(compound)()
        finally:
            self.depth -= 1

    def _round(self) -> list[str]:
        left = [self._filled("    if E: continue")] if self.random.random() < 0.3 else []
        return ["    n += 3", "    if n > 30: break", *self._block(2, "    "), *left]

    def _name(self) -> str:
        return self.random.choice("abcde")

    def _filled(self, pattern: str, depth: int = 0) -> str:
        """A pattern with its letters replaced: V a name, T a target, E an expression, A an atom, F a fresh
        object, Y a yield where that may stand."""
        made = []
        for index, letter in enumerate(pattern):
            alone = not (pattern[index - 1 : index].isalnum() or pattern[index + 1 : index + 2].isalnum())
            if not alone or letter not in "VTEAFY":
                made.append(letter)
            elif letter == "V":
                made.append(self._name())
            elif letter == "T":
                made.append(self._filled(self.random.choice(self.targets)))
            elif letter == "F":
                made.append(self.random.choice(self.fresh))
            elif letter == "Y":
                made.append(self._filled("y = (yield V)" if self.generator else "pass"))
            elif letter == "A" or depth > 2:
                made.append(self.random.choice([*"abcdeabcde01234", "'k'", "None", "()", "G", "LOG"]))
            else:
                made.append(self._filled(self.random.choice(self.expressions), depth + 1))
        return "".join(made)


def programs(seed: int, count: int, minor: int) -> list[str]:
    return [Programs(seed + number, minor).text() for number in range(count)]
