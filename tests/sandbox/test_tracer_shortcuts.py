"""The tracer looks only where something may have changed: what it thereby records is what one that looks
everywhere records."""

from __future__ import annotations

import dis
import importlib.util
import json
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from sandbox import tracer

from .programs import UNFOLLOWED, programs
from .test_tracer import interpreter

__all__ = ["interpreter"]

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
        "the same, where the name is bound in an exception's handler, which 3.11 puts at the end of the code",
        6,
        """
        def main():
            out = []
            it = map(out.append, "abcd")
            for x in it:
                try:
                    raise KeyError if x is None else ValueError
                except KeyError:
                    y = 1
                except ValueError:
                    it = []
                y = 2
            y = 3
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

# Both tracers in one process, on every program in turn; a program that takes long is left out.
DRIVER = """
import json, os, re, resource, signal, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
tracer, root, work = sys.argv[1:]
text = open(tracer, encoding="utf-8").read()
thorough = text + "\\n_Function._read_bindings = lambda self: None\\n_marked = lambda value, kind: None\\n"
kinds = []
for source in (text, thorough):
    kinds.append({"__name__": "_tracer"})
    exec(compile(source, "<tracer>", "exec"), kinds[-1])
sys.path.insert(0, root)

class Slow(BaseException):
    pass

def stop(*args):
    raise Slow

def record(names, program, helper):
    for name, text in (("program", program), ("helper", helper)):
        sys.modules.pop(name, None)
        with open(os.path.join(root, name + ".py"), "w") as file:
            file.write(text)
    __import__("importlib").invalidate_caches()
    main = __import__("program").main
    watcher = names["Tracer"](root, root + "/record", functions={"program.py": []}, max_frames=10**5)
    watcher.start(1)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 2)
        main()
    except Exception as error:
        watcher.note(repr(error))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        watcher.stop()
    watcher.close()
    with open(root + "/record") as file:
        return re.sub(r"0x[0-9a-f]+|[0-9]{9,}", "N", file.read()).split("\\n")

signal.signal(signal.SIGVTALRM, stop)
found = {}
for name, program, helper in json.load(open(work)):
    try:
        quick, full = [record(names, program, helper) for names in kinds]
    except Slow:
        continue
    told = [line for line in quick if line[:1] in ">0123456789"]
    different = [(a, b) for a, b in zip(quick, full) if a != b] or len(quick) != len(full)
    if different or len(told) < 5 or '"tracer"' in quick[-2]:
        found[name] = different or quick[-3:]
print("\\nresult", json.dumps(found))
"""


def compare(where: Path, python: str, cases: list[tuple[str, str, str]]) -> Any:
    """Of ``(name, program, helper)``, those of whose records the two differ, and where; ``helper.py`` is not
    followed. A program of which nothing much is recorded counts as different."""
    root = where / "root"
    root.mkdir()
    (where / "driver.py").write_text(DRIVER)
    (where / "work").write_text(json.dumps(cases))
    done = subprocess.run(
        [python, "-B", "-W", "ignore", where / "driver.py", tracer.__file__, root, where / "work"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "\nresult " in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout.rsplit("\nresult ", 1)[1])


def minor_of(python: str) -> int:
    told = subprocess.run([python, "-c", "import sys; print(sys.version_info[1])"], capture_output=True)
    return int(told.stdout)


@pytest.fixture
def small_programs(interpreter: str) -> list[tuple[str, str, str]]:
    minor = minor_of(interpreter)
    return [
        (name, textwrap.dedent(program), textwrap.dedent(helper))
        for name, least, program, helper in SMALL
        if minor >= least
    ]


def test_small_programs(tmp_path: Path, interpreter: str, small_programs: list[tuple[str, str, str]]) -> None:
    """Would catch, each by a program of its own, the mistakes that ``SMALL`` names."""
    assert compare(tmp_path, interpreter, small_programs) == {}


def test_random_programs(tmp_path: Path, interpreter: str) -> None:
    """Would catch a change that the tracer does not look for, in programs of which nobody has thought."""
    minor = minor_of(interpreter)
    cases = [(str(number), text, UNFOLLOWED) for number, text in enumerate(programs(1000 * minor, 20, minor))]
    assert compare(tmp_path, interpreter, cases) == {}


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@pytest.mark.parametrize(
    "module", ["argparse", "asyncio.base_events", "configparser", "dataclasses", "typing"]
)
def test_the_stack_is_as_python_has_it(module: str) -> None:
    """Would catch an instruction that takes or puts another number of values than the tracer thinks: then
    it takes one value for another, and what may change an object for what may not."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    known, wrong = 0, set()
    for code in codes(compile(Path(found.origin).read_text("utf-8"), found.origin, "exec")):
        stack = tracer._Stack({name: index for index, name in enumerate(code.co_varnames)}, ())
        before = ""
        for instruction in dis.get_instructions(code):
            stack.at(instruction.offset)
            if stack.slots is not None and len(stack.slots) < 20:
                stack.slots[:0] = [()] * 20  # so that there is always something to take
            name, depth = instruction.opname, len(stack.slots or ())
            stack.follow(instruction)
            if stack.slots is not None and not stack.dead and name != "PRECALL":
                known += 1
                change = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
                if name == "CALL" and before == "PRECALL":  # 3.11 takes the arguments in the first
                    change -= instruction.arg or 0
                if len(stack.slots) - depth != change:
                    wrong.add((name, len(stack.slots) - depth, change))
            before = name
    assert not wrong
    assert known > 1000
