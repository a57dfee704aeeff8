"""Programs of which a tracer that looks in too few places would miss a change, each for a reason of its own.

What is a C function changes objects without an event; ``helper.py`` is not followed.
"""

from __future__ import annotations

Small = tuple[str, int, str, str]
SMALL: list[Small] = [
    (
        "a loop's step, taken for one through what its name stands for now",
        6,
        """
        def main():
            out = []
            it = map(out.append, "abcd")
            for x in it:
                it = [x]
            y = 1
            it = map(out.append, "ab")
            for x in it: it = {}
            y = 2
        """,
        "",
    ),
    (
        "the same, where a loop within is left by break",
        8,
        """
        def main():
            out = []
            it = map(out.append, "abcd")
            for x in it:
                for y in [1, 2]:
                    if y:
                        it = []
                        break
                z = 3
            z = 4
        """,
        "",
    ),
    (
        "a builtin's name that a global or a parameter has",
        6,
        """
        import helper
        len = helper.pop

        def local(xs, sorted=list.clear):
            y = sorted(xs)
            y = 1
            return y

        def main():
            xs = [1, 2, 3]
            y = len(xs)
            y = 1
            y = local(xs)
            y = 2
        """,
        "pop = list.pop",
    ),
    (
        "a builtin that a test has patched",
        6,
        """
        import helper
        from unittest import mock

        def main():
            xs = [1, 2, 3]
            with mock.patch("builtins.hash", helper.pop):
                y = hash(xs)
                y = 1
                y = hash(xs)
            y = 2
            y = hash(y)
        """,
        "pop = list.pop",
    ),
    (
        "methods, subscripts and `in` of classes that change what builtin types do not",
        6,
        """
        import collections
        import helper

        def main():
            b = helper.Box()
            items = b.items
            y = b.get(1)
            y = b.copy()
            y = b[1]
            y = 5 in b
            y = len(b)
            y = b.split(",")
            y = list(b)
            d = collections.defaultdict(list)
            e = d
            y = d["k"]
            y = 1
            return y
        """,
        """
        class Box:
            def __init__(self):
                self.items = []

            def get(self, *args):
                self.items.append(args)
                return 1

            copy = __getitem__ = __contains__ = split = get

            def __len__(self):
                self.items.append("len")
                return 1

            def __iter__(self):
                self.items.append("iter")
                return iter(())
        """,
    ),
    (
        "a name that is bound anew within the line, before the call",
        8,
        """
        def main():
            out = []
            xs = [1]
            ys = xs
            y = xs.copy(); xs = map(out.append, [4]); z = list(xs)
            y = 1
            xs = [1]
            y = (xs := map(out.append, [5])) and list(xs)
            y = 2
            its = [1, 2, 3]
            xs = [1]
            m = map(out.append, "abcdef")
            y = [(5 in xs, (xs := m), x) for x in its]
            y = 3
        """,
        "",
    ),
    (
        "+= on what may be changed in place, and has other names",
        6,
        """
        def main():
            a = [1]
            b = a
            b += [2]
            t = (a, 1)
            t += (3,)
            b *= 2
            s = {1}
            r = s
            r |= {2}
            y = 4
            r = frozenset(r)
            q = r
            r |= {9}
            return y
        """,
        "",
    ),
    (
        "operators, properties and the like of followed classes, without a call in the line",
        6,
        """
        class A:
            def __init__(self):
                self.n, self.log = 0, []
            def __add__(self, other):
                self.n += 1
                return self
            def __lt__(self, other):
                self.log.append(other)
                return True
            @property
            def p(self):
                self.n += 1
                return self.log
            def __len__(self):
                self.n += 1
                return self.n
            def __format__(self, spec):
                self.log.append(spec)
                return ""
            def __iter__(self):
                self.n += 1
                yield self.n
                self.log.append("after")
            def __getitem__(self, key):
                self.log.append(key)
                return key
            def __hash__(self):
                self.n += 1
                return 1

        def main():
            a = A()
            b, log = a, a.log
            y = b + 1
            y = b < 1
            y = b.p
            y = not b
            y = f"{b}"
            y, = b
            y = b[4]
            y = {b: 1}
            y = b in y
            y = getattr(b, "p")
            y = 1
            for z in b: y = z
            return y
        """,
        "",
    ),
    (
        "the same of a class that is not followed, where followed code is called on the way and looks first",
        6,
        """
        import helper

        def looks():
            return 1

        def main():
            helper.on_the_way = looks
            b = helper.Box()
            y = b + 1
            y = b < 1
            y = b.p
            y = not b
            y = f"{b}"
            return y
        """,
        """
        class Box:
            def __init__(self):
                self.n = 0

            def __add__(self, other):
                on_the_way()
                self.n += 1
                return 1

            def __lt__(self, other):
                return self + 1

            @property
            def p(self):
                return self + 1

            def __len__(self):
                return self + 1

            def __format__(self, spec):
                self + 1
                return ""
        """,
    ),
    (
        "a followed generator that others make go on, and what happens while it waits",
        6,
        """
        import helper

        def generate(xs):
            for x in xs:
                got = yield x
                if got:
                    xs.append(got)

        def other(xs, g):
            xs.append(7); y = next(g)
            xs.append(8)
            for z in g:
                xs.append(9) if len(xs) < 9 else None
            return xs.pop()

        def main():
            xs = [1, 2]
            g = generate(xs)
            y = next(g)
            y = g.send(5)
            helper.drive(g)
            y = 2
            g = generate(xs)
            next(g)
            other(xs, g)
            y = 3
            g = generate(xs)
            next(g)
            try:
                g.throw(KeyError)
            except KeyError:
                xs.pop()
            return y
        """,
        """
        def drive(g):
            next(g)
            try:
                g.send(4)
            except StopIteration:
                pass
        """,
    ),
    (
        "a generator that is not followed and changes its argument at every step",
        6,
        """
        import helper

        def main():
            out = []
            for x in helper.generate(out):
                y = x
            g = helper.generate(out)
            for x in g:
                y = x
            g = helper.generate(out)
            y = next(g)
            y = 2 in g
            y = 3
            return y
        """,
        """
        def generate(out):
            out.append(1)
            yield 1
            out.append(2)
            yield 2
            out.append(3)
        """,
    ),
    (
        "a property that a function which also is called by its name stands behind, first run as a property",
        6,
        """
        import helper

        def main():
            b = helper.Box()
            y = b.x
            y = 1
            y = b.get_x()
            y = 2
            y = b.x
            y = 3
            return y
        """,
        """
        class Box:
            def __init__(self):
                self.n = 0

            def get_x(self):
                self.n += 1
                return self.n

            x = property(get_x)
        """,
    ),
    (
        "a second call in the line, of C code, after a followed one",
        6,
        """
        class Sink:
            def __init__(self):
                self.got = []
            def append(self, x):
                return self.got

        def main():
            out = []
            s = Sink()
            y = (s.append(1), out.append(2))
            y = s.append(1).append(3)
            y = [s.append(4) for s in (Sink(), out)]
            y = [x for g in (iter(s), map(out.append, "ab")) for x in g]
            return y
        """,
        "",
    ),
    (
        "an iterator's name bound anew in a handler that nothing but an instruction's own exception reaches",
        6,
        """
        def main():
            out = []
            it = map(out.append, "abcd")
            for x in it:
                try:
                    x.nothing
                except AttributeError:
                    it = []
                y = 2
            y = 3
        """,
        "",
    ),
    (
        "a global that takes a builtin's place while the program runs",
        6,
        """
        import helper
        def main():
            xs = [1, 2, 3]
            y = 0
            y = len(xs)
            y = 1
            globals()["len"] = helper.pop
            y = 0
            y = len(xs)
            y = 1
            del globals()["len"]
            y = 3
            y = len(xs)
        """,
        """
        pop = list.pop
        """,
    ),
    (
        "a global of a type that changes where a builtin one does not",
        6,
        """
        import helper, collections
        D = collections.defaultdict(list)
        B = helper.Box()
        def main():
            d = D
            y = 1
            y = D["k"]
            y = 2
            b = B
            y = 1
            y = B.get(1)
            y = 2
        """,
        """
        class Box:
            def __init__(self):
                self.get = [1, 2].__class__.pop
                self.got = [0, 1]
                self.get = self.got.pop
        """,
    ),
    (
        "a name bound anew within the line, before its subscript",
        6,
        """
        import collections
        def main():
            out = collections.defaultdict(list)
            d = {}
            d = d.copy(); d = out; y = d["k"]
            y = 1
            d = {}
            d = out; y = d["l"]
            y = 2
        """,
        "",
    ),
    (
        "what code that is not followed changes after followed code that it called has looked",
        6,
        """
        import helper
        class A:
            def __init__(self): self.n = [1]
            def __len__(self):
                return helper.inner(self.n)
        def looks(n): return n
        def main():
            helper.looks = looks
            b = helper.Box()
            y = b.p
            y = 1
            y = b + 1
            y = 2
        """,
        """
        class Box:
            def __init__(self): self.n = 0
            @property
            def p(self):
                looks(self)
                self.n += 1
                return 1
            def __add__(self, other):
                looks(self)
                self.n += 1
                return 2
        """,
    ),
    (
        "what a line changed before its call of a followed function",
        6,
        """
        def f(xs):
            y = 1
            return y
        def main():
            xs = []
            ys = xs
            for n in range(3):
                xs.append(n); f(xs)
                f(xs) if xs.append(1) else f(xs)
                if xs.append(n) is None: y = f(ys)
            n = f(xs)
        """,
        "",
    ),
    (
        "C code that calls followed functions back, and changes objects itself",
        6,
        """
        import functools
        def step(x):
            return x
        def main():
            out = []
            y = 0
            for x in map(functools.partial(lambda f, x: (f(x), 1)[1], out.append), "abc"):
                y = x
            m = map(out.append, map(step, "abc"))
            y = 1
            for x in m:
                y = 2
            m = map(out.append, map(step, "abc"))
            y = 3
            next(m)
            y = 4
        """,
        "",
    ),
    (
        "iterators over iterators that change an object at each step",
        6,
        """
        import helper
        def main():
            out = []
            m = map(out.append, "abcdef")
            for a, b in zip(m, [1, 2, 3]):
                y = a
            for i, a in enumerate(m):
                y = a
            m = map(out.append, "abcdef")
            y = list(zip(m, [1, 2]))
            y = 1
            y = [*m]
            y = 2
            m = map(out.append, "abcdef")
            y = 0
            y = [*m]
            y = 2
            m = map(out.append, "abcdef")
            y = 0
            y = sum(m, 1) if not m else tuple(m)
            y = 3
        """,
        "",
    ),
    (
        "parts of a container, and attributes, that have changed their types or names",
        6,
        """
        class A:
            def __init__(self, x): self.x = x
        class B: pass
        def main():
            a, b = A(1), B()
            xs = [a, b]
            ys = xs
            for i in range(4):
                ys[0] = B() if i % 2 else A(i)
                y = i
            a.x, a.z = 1, 2
            del a.x
            a.y = 1
            del a.z
            a.x = 2
            a.__dict__["q"] = a.__dict__.pop("y")
            y = 1
        """,
        "",
    ),
    (
        "another thread",
        6,
        """
        import helper, threading

        def main():
            xs, go, done = [], threading.Event(), threading.Event()
            t = threading.Thread(target=helper.work, args=(xs, go, done))
            t.start()
            y = 1
            go.set()
            done.wait()
            y = 2
            t.join()
            return y
        """,
        """
        def work(xs, go, done):
            go.wait()
            xs.append(1)
            done.set()
        """,
    ),
    (
        "coroutines, followed and not, that take turns",
        7,
        """
        import asyncio
        import helper

        async def inner(xs):
            xs.append(1)
            await asyncio.sleep(0)
            xs.append(2)
            return len(xs)

        async def outer(xs):
            y = await inner(xs)
            async for z in helper.generate(xs):
                y = z
            y = await asyncio.gather(inner(xs), helper.other(xs), inner(xs))
            async with helper.Context(xs) as q:
                y = 4
            return y

        def main():
            xs = []
            loop = asyncio.new_event_loop()
            loop.run_until_complete(outer(xs))
            loop.close()
            y = 1
            return y
        """,
        """
        import asyncio

        async def other(xs):
            xs.append("o")
            await asyncio.sleep(0)
            xs.append("p")

        async def generate(xs):
            for i in range(2):
                xs.append(i)
                yield i
                await asyncio.sleep(0)

        class Context:
            def __init__(self, xs):
                self.xs = xs

            async def __aenter__(self):
                self.xs.append("e")
                return self

            async def __aexit__(self, *args):
                await asyncio.sleep(0)
                self.xs.append("x")
        """,
    ),
    (
        "patterns, which bind and call on their way",
        10,
        """
        class P:
            __match_args__ = ("x", "y")
            def __init__(self, x, y):
                self.x, self.y = x, y

        def f(v, log):
            match v:
                case [a, *rest] if log.append(a) is None and a:
                    y = rest
                case {"k": k, **others}:
                    y = others
                case P(x=0) | P(y=0):
                    y = "zero"
                case P(a, b) as p:
                    p.x = b
                    y = a
                case _:
                    y = None
            return y

        def main():
            log = []
            for v in ([1, 2, 3], [0, 2, 3], {"k": 1, "z": [2]}, P(0, 1), P(1, 2), "s"):
                f(v, log)
        """,
        "",
    ),
    (
        "special methods that are C functions",
        6,
        """
        class Context(list):
            def __enter__(self):
                return self
            __exit__ = list.extend

        class Entered(list):
            __enter__ = list.pop
            def __exit__(self, *args):
                pass

        def main(c=0):
            x = Context()
            try:
                with x:
                    if c:
                        y = 1
            except TypeError:
                pass
            e = Entered([1, 2])
            with e:
                y = 1
            return y
        """,
        "",
    ),
]
"""what would go wrong, least minor version of Python, ``program.py``, ``helper.py``"""
