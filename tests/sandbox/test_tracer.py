"""The tracer, on every Python that is found: what it records, and that it leaves the program alone."""

from __future__ import annotations

import glob
import json
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import tracer
from sandbox.record import expand

MINORS = range(6, 14)
DRIVER = """
import sys
tracer, root, record, options = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
names = {"__name__": "_tracer"}
exec(compile(open(tracer, encoding="utf-8").read(), "<tracer>", "exec"), names)
sys.path.insert(0, root)
import program
runs = options.pop("runs", 1)
watcher = names["Tracer"](root, record, runs=runs, **options)
for run in range(1, runs + 1):
    watcher.start(run)
    try:
        program.main()
    finally:
        watcher.stop()
watcher.close()
"""

PROGRAM = """
import asyncio
import functools
import threading


def plain(n):
    total = 0
    for i in range(n):
        if i % 2:
            total += i
    return total


def fact(n):
    if n <= 1:
        return 1
    return n * fact(n - 1)


def gen(n):
    for i in range(n):
        got = yield i
        if got:
            break
    return "done"


def outer(x):
    y = [x]

    def inner(z):
        nonlocal x
        x += z
        y.append(x)
        return x

    return inner


def catches(d):
    try:
        return d["k"]
    except KeyError as error:
        d = {"error": error}
        del d["error"]
    finally:
        d["f"] = 1
    return d


class Context:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0

    def __enter__(self):
        self.n += 1
        return self

    def __exit__(self, *a):
        self.n -= 1
        return True


def uses_with():
    with Context() as c:
        a = 1
        raise ValueError("x")
    return (
        a,
        c.n,
    )


def multi(xs):
    squares = [
        x * x
        for x in xs
        if x
    ]
    d = {k: v for k, v in zip("ab", xs)}
    return sum(
        y
        for y in squares
    ) + len(
        d
    )


def wrapped(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    return wrapper


@wrapped
def decorated(a, b=2, *, c=3):
    s = {c, b, a}
    return s


def loops():
    n = 0
    while n < 3:
        n += 1
    while True:
        n += 1
        if n > 2:
            break
    for k in ():
        n = k
    else:
        n = 7
    return n


async def child(x):
    await asyncio.sleep(0)
    return x + 1


async def parent():
    return await child(1) + await child(2)


WORKED = []


def threads():
    def work(i):
        WORKED.append(i)

    for i in range(2):
        t = threading.Thread(target=work, args=(i,))
        t.start()
        t.join()
    return list(WORKED)


def unbind(x):
    del x
    y = 1
    return y


def fails(n):
    return 1 / (n - 3)


def reraise():
    try:
        try:
            fails(3)
        except ZeroDivisionError:
            raise
    except ArithmeticError as e:
        message = str(e)
    return message


def conditional(a, b):
    r = "x" if a else "y"
    f = lambda v: v + b
    return r, f(1), a and b or 3


def main():
    plain(4)
    fact(3)
    g = gen(3)
    next(g)
    try:
        g.send(1)
    except StopIteration as stop:
        v = stop.value
    for j in gen(2):
        v = j
    list(gen(2))
    f = outer(1)
    f(2)
    catches({})
    uses_with()
    multi([0, 1, 2])
    decorated(1)
    loops()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(parent())
    loop.close()
    threads()
    unbind(1)
    reraise()
    conditional(1, 2)
    return v
"""


@cache
def python(minor: int) -> str | None:
    """An interpreter of 3.``minor`` that runs: from PATH, or from pyenv."""
    candidates = [shutil.which(f"python3.{minor}")]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
        candidates += sorted(glob.glob(f"{root}/versions/3.{minor}.*/bin/python"))  # noqa: PTH207
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.fixture(params=MINORS, ids=lambda minor: f"3.{minor}")
def interpreter(request: pytest.FixtureRequest) -> str:
    found = python(request.param)
    if found is None:
        pytest.skip(f"no Python 3.{request.param} on PATH or in pyenv")
    return found


def trace(
    where: Path, source: str, interpreter: str = sys.executable, **options: Any
) -> list[dict[str, Any]]:
    """The frames that ``main()`` of ``source`` makes, header and end included; the driver must succeed."""
    done, lines = run(where, source, interpreter, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return lines


def run(
    where: Path, source: str, interpreter: str = sys.executable, **options: Any
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    root = where / "root"
    root.mkdir(exist_ok=True)
    (root / "program.py").write_text(textwrap.dedent(source), "utf-8")
    (where / "driver.py").write_text(DRIVER)
    record = where / "record"
    file = options.pop("tracer_file", tracer.__file__)
    done = subprocess.run(
        [interpreter, "-B", where / "driver.py", file, root, record, repr(options)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, [json.loads(line) for line in expand(record.read_bytes()).splitlines()]


def frames(lines: list[dict[str, Any]], function: str | None = None) -> list[dict[str, Any]]:
    return [f for f in lines if "event" in f and function in (None, f["function"])]


def test_every_python_tells_the_same_story(tmp_path: Path, interpreter: str) -> None:
    """Would catch any difference between the hooks or the versions: lines of statements that span several,
    inlined comprehensions, generators, coroutines, threads, exceptions, closures, unbound names."""
    here = frames(trace(tmp_path, PROGRAM))
    there = trace(tmp_path, PROGRAM, interpreter)
    # A thread and the one that started it may take turns in any order.
    others = {frame["function"] for frame in here} - {"threads", "threads.<locals>.work"}
    for together in ({"threads"}, {"threads.<locals>.work"}, others):
        told = [[f for f in all_ if f["function"] in together] for all_ in (frames(there), here)]
        assert told[0] == told[1]
    assert there[-1] == {"end": True, "limits": {}}


def test_the_state_is_that_before_the_line_and_only_what_changed(tmp_path: Path, interpreter: str) -> None:
    """Would catch state taken after the line, changes repeated, and a last change lost at the return."""
    source = """
    def f(a, items):
        b = a + 1
        items.append(b)
        del a
        return items

    def main():
        f(1, [])
    """
    shown = [
        (f["event"], f["line"], f.get("locals", {}), f.get("value"))
        for f in frames(trace(tmp_path, source, interpreter), "f")
    ]
    assert shown == [
        ("call", 2, {"a": "1", "items": "[]"}, None),
        ("line", 3, {}, None),
        ("line", 4, {"b": "2"}, None),
        ("line", 5, {"items": "[2]"}, None),
        ("line", 6, {"a": None}, None),
        ("return", 6, {}, "[2]"),
    ]


def test_qualified_names_and_visits(tmp_path: Path, interpreter: str) -> None:
    """Would catch names without their class before 3.11, and calls that are not told apart."""
    source = """
    class Outer:
        class Inner:
            @staticmethod
            def m(x):
                return (lambda: x)()

        def m(self):
            def local():
                return Outer.Inner.m(2)
            return local()

    def main():
        Outer().m()
        Outer.Inner.m(1)
    """
    calls = [
        (f["function"], f.get("visit", 1), f.get("depth", 0))
        for f in frames(trace(tmp_path, source, interpreter))
        if f["event"] == "call"
    ]
    assert calls == [
        ("main", 1, 0),
        ("Outer.m", 1, 1),
        ("Outer.m.<locals>.local", 1, 2),
        ("Outer.Inner.m", 1, 3),
        ("Outer.Inner.m.<locals>.<lambda>", 1, 4),
        ("Outer.Inner.m", 2, 1),
        ("Outer.Inner.m.<locals>.<lambda>", 2, 2),
    ]


def test_only_the_wanted_functions_are_followed(tmp_path: Path, interpreter: str) -> None:
    """Would catch a filter that is ignored, or that loses what is nested in a wanted function."""
    lines = trace(tmp_path, PROGRAM, interpreter, functions={"program.py": ["outer", "Context.__exit__"]})
    assert {f["function"] for f in frames(lines)} == {"outer", "outer.<locals>.inner", "Context.__exit__"}
    lines = trace(tmp_path, PROGRAM, interpreter, functions={"other.py": []})
    assert frames(lines) == []


def test_exceptions_pass_through_each_frame_and_leave_no_return(tmp_path: Path, interpreter: str) -> None:
    """Would catch a return of None that never happened, or an exception told only once."""
    source = """
    def low():
        raise ValueError("no")

    def high():
        low()

    def main():
        try:
            high()
        except ValueError:
            pass
        return None
    """
    told = [(f["event"], f["function"], f.get("value")) for f in frames(trace(tmp_path, source, interpreter))]
    assert [t for t in told if t[0] in ("exception", "return")] == [
        ("exception", "low", "ValueError('no')"),
        ("exception", "high", "ValueError('no')"),
        ("exception", "main", "ValueError('no')"),
        ("return", "main", "None"),
    ]


def test_caps_are_reported_and_shared_between_runs(tmp_path: Path, interpreter: str) -> None:
    """Would catch a second run that has nothing left, a cap that is silent, and a program that is stopped."""
    source = """
    def work(n):
        total = 0
        for i in range(n):
            total += i
        return total

    def deep(n):
        return n and 1 + deep(n - 1)

    def main():
        assert deep(150) == 150
        assert work(500) == 124750
    """
    lines = trace(tmp_path, source, interpreter, runs=2, max_frames=1000, max_depth=10)
    runs = [f.get("run", 1) for f in frames(lines)]
    assert runs.count(1) == runs.count(2) == 500
    assert set(lines[-1]["limits"]) == {"frames", "depth"}
    assert max(f.get("depth", 0) for f in frames(lines)) == 9
    lines = trace(tmp_path, source, interpreter, max_frames=10**6, max_bytes=265_000)
    assert "bytes" in lines[-1]["limits"]
    lines = trace(tmp_path, source, interpreter, max_frames=10**6, max_seconds=0)
    assert "seconds" in lines[-1]["limits"]


def test_a_process_that_dies_leaves_what_it_had(tmp_path: Path, interpreter: str) -> None:
    """Would catch a record that is lost, or that looks whole, when the program kills its process."""
    source = """
    import os

    def main():
        x = 1
        os._exit(7)
    """
    done, lines = run(tmp_path, source, interpreter)
    assert done.returncode == 7
    assert frames(lines)[-1]["locals"] == {"x": "1"}
    assert "end" not in lines[-1]


def test_the_program_does_not_notice(tmp_path: Path, interpreter: str) -> None:
    """Would catch a tracer that changes recursion, abandoned generators, object lifetimes, forks, mocked
    modules, a trace function of the test's own, or exceptions that a signal handler raises."""
    source = """
    import gc, os, signal, sys, time, weakref

    finalised = []

    def abandoned():
        try:
            yield 1
        finally:
            finalised.append(1)

    class Thing:
        def __repr__(self):
            raise KeyboardInterrupt
        __eq__ = __hash__ = __len__ = __getattribute__ = __repr__

    def lifetime():
        thing = Thing()
        things = [thing, {1: thing}]
        return weakref.ref(thing)

    def recursion(n=0):
        try:
            return recursion(n + 1)
        except RecursionError:
            return n

    class Alarm(Exception):
        pass

    def on_alarm(*args):
        raise Alarm

    def interrupted():
        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        n = 0
        try:
            while True:
                n += 1
        except Alarm:
            return "alarm"

    def forks():
        pid = os.fork()
        if not pid:
            x = [n for n in range(100)]
            os._exit(0)
        return os.waitpid(pid, 0)[1]

    def mocks():
        before, os.write, time.monotonic = (os.write, time.monotonic), None, None
        x = 1
        os.write, time.monotonic = before
        return x

    def main():
        next(abandoned())
        gc.collect()
        assert finalised == [1]
        assert lifetime()() is None
        assert recursion() > 100
        assert interrupted() == "alarm"
        assert forks() == 0
        assert mocks() == 1
        before, seen = sys.gettrace(), []
        sys.settrace(lambda *a: seen.append(a))
        fails = lambda: None
        fails()
        sys.settrace(None)
        assert seen
    """
    lines = trace(tmp_path, source, interpreter, max_frames=10**6, max_bytes=1 << 28)
    assert lines[-1]["end"]
    assert not {"tracer"} & set(lines[-1]["limits"])
    minor = int(lines[0]["python"].split(".")[1])
    noted = any("trace function of its own" in line.get("note", "") for line in lines)
    assert noted == (9 <= minor < 12)
    assert minor >= 9 or "stack" in lines[-1]["limits"]


def test_a_call_that_met_the_cap_keeps_nothing_alive(tmp_path: Path, interpreter: str) -> None:
    """Would catch locals that are held from the cap on because their call was the last to be recorded."""
    source = """
    import weakref

    class Thing:
        pass

    def lifetime():
        thing = Thing()
        for i in range(100):
            pass
        return weakref.ref(thing)

    def main():
        assert lifetime()() is None
    """
    lines = trace(tmp_path, source, interpreter, max_frames=40)
    assert "frames" in lines[-1]["limits"]


def test_a_probe_hands_back_its_value_and_says_where(tmp_path: Path, interpreter: str) -> None:
    """Would catch a probe that changes what it wraps, or one lost behind the frame cap."""
    source = """
    class Item:
        pass

    def check():
        item = Item()
        assert __fixbug_probe__("p1", item) is item
        for i in range(100):
            pass
        assert __fixbug_probe__("p2", [i]) == [99]

    def main():
        check()
    """
    lines = trace(tmp_path, source, interpreter, runs=2, max_frames=40)
    probes = [
        (f.get("run", 1), f["probe"], f["value"], f["function"], f["line"])
        for f in lines
        if f.get("event") == "probe"
    ]
    assert probes == [
        (run, *rest) for run in (1, 2) for rest in (("p1", "<Item>", "check", 7), ("p2", "[99]", "check", 10))
    ]


ALIASES = """
import collections
import enum
import random


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Point:
    def __init__(self, x, y):
        self.x, self.y, self.path = x, y, []


class Slots:
    __slots__ = ("a", "b")


Pair = collections.namedtuple("Pair", "left right")


def aliases():
    xs = [1]
    ys = xs
    deep = [[1], {"k": [2]}, (xs, 3)]
    inner = deep[1]["k"]
    ys.append(2.0)
    inner.append(3)
    deep[0][0] = True
    deep[1]["n"] = None
    d = {"xs": xs}
    d["xs"] = list(xs)
    d["xs"].append(1)
    s = {1, 2}
    t = s
    t.discard(1)
    s.add("x")
    del s
    del xs[0], d
    return xs


def objects():
    p = Point(0, 0)
    q = p
    q.x = 1
    q.path.append(p.x)
    q.y = 0.0
    q.y = -0.0
    q.extra = Colour.RED
    q.extra = Colour.BLUE
    z = Slots()
    z.a = 1
    z.b = [z.a]
    z.b.append(2)
    del z.a
    pair = Pair([1], q)
    pair.left.append(2)
    queue = collections.deque([1])
    queue.append(pair)
    many = collections.OrderedDict(a=1)
    many["b"] = 2
    f = objects
    f = aliases
    return p


def reused():
    for n in range(6):
        x = [n * 1.5]
        x = [n * 2.5]
        x[0] = n * 3.5
        x[0] = n * 4.5
        y = {"k": float(n)}
        y["k"] += 1
        z = Point(n * 0.5, [n])
        z = Point(n * 0.25, [n + 1])
        w = (n + 1000, [n + 1000])
    return x, y, z, w


def numbers():
    n = 1
    n = 1.0
    n = True
    n = 1
    n = 2**70
    n = 2**70 + 1
    n = 1
    n = 2**70
    n = -(2**63)
    n = 2**63 - 1
    n = 0.0
    n = -0.0
    n = "1"
    n = b"1"
    n = 1
    return n


def unbinds(xs):
    for x in xs:
        try:
            if x == 1:
                raise ValueError(x)
            if x == 2:
                raise KeyError(x)
            v = x
        except ValueError as error:
            del x
            if v:
                continue
            v = 5
        except KeyError as error:
            v = str(error)
            break
        finally:
            w = v
    return w


def cells(n):
    total, seen = 0, []

    def add(k):
        nonlocal total, n
        total += k
        n -= 1
        if not n:
            del n
        seen.append(total)

    add(1)
    add(2)
    return total


def generates(n):
    held = []
    for i in range(n):
        got = yield held
        held.append(got)
    a = b = yield
    a, (b, *c) = 1, (2, 3)
    return c


def body():
    class Inner:
        a = 1
        b = [a]
        b.append(2)

    with open(__file__) as f, open(__file__) as g:
        k = (f.readline(),
             g.readline())
    for i, (j, k) in enumerate([(1, 2), (3, 4)]): last = i + j
    return [i for i in range(3)], {i: k for i in range(2)}, Inner.b


class Stack:
    def __init__(self, *items):
        self.items, self.size, self.last = list(items), len(items), None

    def push(self, item):
        self.items.append(item)
        self.size += 1
        return self

    def peek(self):
        return self.items[-1] if self.items else None

    def top(self):
        found = self.peek()
        return found

    def pop(self):
        self.last = self.peek(); self.items.pop()
        self.size = len(self.items)
        return self.last

    @property
    def drained(self):
        self.items.clear()
        return self

    def __bool__(self):
        self.size += 100
        return True

    def both(self, other):
        return self.push(other.pop()).push(other.size)

    def sort(self):
        return self.size


def calls():
    a, b = Stack(1), Stack(2, 3)
    seen = [a, b]
    a.push(4).push(5)
    b.push(a.pop())
    n = a.top()
    m = a.push(a.peek()).peek()
    while len(b.push(0).items) < 6: seen.append(b.top())
    c = a.both(b)
    c.last = c.top(); d = c.last
    e = a.top() if a.pop() else None
    f = a.drained.peek()
    if a.drained: f = a.size
    xs = [b, a]
    xs.sort(key=Stack.sort)
    key = Stack.sort
    g = [s.push(1).size for s in xs]
    top = max(xs, key=key).top()
    for a in (Stack(9).push(8), b): h = a.pop()
    return push_all(Stack(), b).top()


def push_all(into, items):
    for item in items.items:
        into.push(item)
    return into


def shared():
    box = Stack()

    def fill():
        box.push(1)
        return box.size

    def swap():
        nonlocal box
        box = Stack(7)

    n = fill()
    n = fill() + fill()
    swap()
    n = fill()
    return box


def fresh():
    xs = []
    for n in range(3):
        x = [n]
        y = made(n)
        xs = [made(n)]
        x = [made(n), x]
        del y
    return x, xs


def made(n):
    held = [n, n]
    return Stack(held)


def recursive(n, trail):
    trail.append(n)
    if n:
        below = recursive(n - 1, trail)
        trail = trail + [below]
    return len(trail)


def main():
    aliases()
    objects()
    reused()
    numbers()
    unbinds([0, 1, 3, 0, 1, 2])
    unbinds([3, 2])
    try:
        cells(2)
    except NameError:
        pass
    g = generates(2)
    next(g)
    g.send(1)
    g.send([2])
    try:
        g.send(3)
    except StopIteration:
        pass
    h = generates(1)
    next(h)
    try:
        h.throw(KeyError("k"))
    except KeyError:
        pass
    body()
    recursive(3, [])
    calls()
    shared()
    fresh()
"""


def test_shortcuts_lose_nothing(tmp_path: Path, interpreter: str) -> None:
    """Would catch a change that goes by unseen because the line was thought to bind nothing, or because a
    container, object or number was taken for the one that it was: containers changed through another name,
    addresses used again, 1 and 1.0 and True, ``del``, the end of ``except``, cells, generators, recursion."""
    source = Path(tracer.__file__).read_text("utf-8")
    thorough = tmp_path / "thorough.py"
    thorough.write_text(
        source + "\n_Function._read_bindings = lambda self: None\n_marked = lambda value, kind: None\n",
        "utf-8",
    )
    quick = trace(tmp_path, ALIASES, interpreter)
    assert quick == trace(tmp_path, ALIASES, interpreter, tracer_file=thorough)
    told = [f.get("locals", {}) for f in frames(quick, "aliases")]
    assert {"xs": "[1, 2.0]", "ys": "[1, 2.0]"} in told
    unbound = [f["locals"] for f in frames(quick, "unbinds") if None in f.get("locals", {}).values()]
    assert {"error": None} in unbound
    assert any("x" in changes for changes in unbound)


def test_threads_do_not_mix(tmp_path: Path, interpreter: str) -> None:
    """Would catch a line of one thread that is told of another's call, when a second thread begins while the
    first is about to write."""
    source = """
    import sys, threading

    def count(me):
        for i in range(400):
            pair = (me, i)
        return pair

    def main():
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=count, args=(n,)) for n in (1, 2, 3)]
        for thread in threads:
            thread.start()
        count(0)
        for thread in threads:
            thread.join()
    """
    lines = frames(trace(tmp_path, source, interpreter), "count")
    for visit in range(1, 5):
        mine = [f for f in lines if f.get("visit", 1) == visit]
        me = mine[0]["locals"]["me"]
        pairs = [f["locals"]["pair"] for f in mine if "pair" in f.get("locals", {})]
        assert pairs == [f"({me}, {i})" for i in range(400)]


# --- values ---------------------------------------------------------------------------------------


ran: list[str] = []
"""What hostile values ran of their own code."""


def own_code(*args: object) -> Any:
    ran.append("a value's own code")
    raise RuntimeError("a value's own code was run")


class Hostile:
    """Every way that a value has to run code of its own."""

    __repr__ = __str__ = __len__ = __iter__ = __getattribute__ = __bool__ = __contains__ = own_code
    __index__ = __int__ = __float__ = __format__ = __getitem__ = __lt__ = __bytes__ = __reduce__ = own_code


class HostileMeta(type):
    __repr__ = __getattribute__ = __instancecheck__ = __subclasscheck__ = __len__ = __iter__ = own_code
    __eq__ = __hash__ = own_code


class HostileProperty:
    __dict__ = property(own_code)
    __class__ = property(own_code)


@cache
def hostile_values() -> list[Any]:
    """In a function: pytest looks at what a module holds, and these do not like to be looked at."""
    strange = HostileMeta("Strange", (), {})
    bases = (int, str, float, bytes, list, tuple, dict, set, frozenset)
    subclasses = [type(f"My{base.__name__}", (Hostile, base), {}) for base in bases]
    return [Hostile(), HostileProperty(), type.__call__(strange), strange, *(make() for make in subclasses)]


class Place(int):
    """Stands for a hostile value while hypothesis, which looks at values, has it."""


def hostile(value: Any) -> Any:
    if isinstance(value, Place):
        return hostile_values()[value]
    if isinstance(value, list | tuple):
        return type(value)(hostile(item) for item in value)
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    return value


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.dates(),
    st.datetimes(),
    st.sampled_from([Place(i) for i in range(len(hostile_values()))]),
)
hashable = st.one_of(st.integers(), st.text(), st.tuples(st.integers(), st.text()))
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=20).map(tuple),
        st.dictionaries(hashable, inner, max_size=20),
        st.sets(hashable, max_size=20),
        st.frozensets(hashable, max_size=20),
    ),
    max_leaves=60,
)


@given(values)
@settings(max_examples=300, deadline=None)
def test_describing_a_value_never_raises_and_never_runs_its_code(value: Any) -> None:
    """Would catch a description that calls ``repr``, ``len``, ``==``, ``hash`` or an attribute, that has no
    bound, or that breaks the record with a line end."""
    value = hostile(value)
    ran.clear()
    text = tracer.describe(value)
    assert not ran
    assert not text.startswith("<unreadable")
    assert len(text) < 4000
    assert "\n" not in text
    assert tracer.describe(value) == text


plain = st.integers(-(2**63), 2**63) | st.text(max_size=40)


@given(st.recursive(plain, lambda inner: st.lists(inner, max_size=5), max_leaves=8))
@settings(max_examples=200, deadline=None)
def test_short_plain_values_read_as_python_writes_them(value: Any) -> None:
    """Would catch a description that a reader cannot turn back into the value."""
    text = tracer.describe(value)
    if "..." not in text and " at 0x" not in repr(value):
        assert text == repr(value)


def test_what_describing_a_value_gives() -> None:
    """Would catch addresses, unordered sets, values that are not cut, and state that is not shown."""

    class Point:
        def __init__(self) -> None:
            self.x, self.y = 1, [Hostile()]

    looped: list[Any] = [1]
    looped.append(looped)
    assert tracer.describe(Point()) == "<Point x=1 y=[<Hostile>]>"
    assert tracer.describe(ValueError("x", 2)) == "ValueError('x', 2)"
    assert tracer.describe({"b", "a"}) == "{'a', 'b'}"
    assert tracer.describe({3, 20, 1}) == "{1, 3, 20}"
    assert tracer.describe(list(range(10))) == "[0, 1, 2, 3, 4, 5, 6, 7, ...(+2)]"
    assert tracer.describe("é" * 100) == repr("é" * 80) + "...(+20)"
    assert tracer.describe(2**80) == "<int of 81 bits, > 0>"
    assert tracer.describe("<x at 0x7f00>") == "'<x>'"
    assert tracer.describe(looped) == "[1, [1, [...]]]"
    assert [tracer.describe(value) for value in hostile_values()[2:6]] == [
        "<Strange>",
        "<class Strange>",
        "Myint(0)",
        "Mystr('')",
    ]
    assert tracer.describe((1,)) == "(1,)"
    assert tracer.describe(set()) == "set()"


def test_a_record_that_is_no_record_is_refused() -> None:
    """Would catch garbage that is read as a trace."""
    with pytest.raises(ValueError, match="record 1 "):
        expand(b"what is this\n")
