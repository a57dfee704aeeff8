"""``fixbug trace``: a command's trace, shown and saved."""

from __future__ import annotations

from agent.world.text import read_text
from agent.world.trace import Frame, read_trace
from tests.agent.cli.conftest import Fixbug

SHOP = """\
CACHE = {}


class Shop:
    def price(self, name):
        if name not in CACHE:
            CACHE[name] = 4
        return CACHE[name]


def test_price():
    found = Shop().price("tea")
    assert found == 4


def test_first():
    assert not CACHE, CACHE
    Shop().price("tea")
"""


def test_shown_and_saved(fixbug: Fixbug) -> None:
    """Would catch a trace that is not what ran, a form that is not the other's equal, functions that are
    followed though others were named, and a long trace that is cut without a word."""
    (fixbug.folder / "shop" / "test_shop.py").write_text(SHOP)
    command = ("--repo", "shop", "--", "pytest", "test_shop.py::test_price")
    done = fixbug("trace", *command)
    assert done.status == 0, done.err
    assert "CACHE[name] = 4" in done.out
    assert "found = 4" in done.out
    assert "run 2  passed" in done.out
    assert "saved to trace.jsonl" in done.out
    trace = read_trace((fixbug.folder / "trace.jsonl").read_text())
    of_price = [f for f in trace.frames if f.function == "Shop.price"]
    assert [f.line for f in of_price if f.event == "line"] == [6, 7, 8, 6, 8]
    assert {f.function for f in trace.frames} == {"Shop.price", "test_price"}
    named = fixbug("trace", "--functions", "test_shop.py::Shop", "--out", "s.jsonl", "--show", "2", *command)
    only = read_trace((fixbug.folder / "s.jsonl").read_text())
    assert {f.function for f in only.frames} == {"Shop.price"}
    assert f"{len(only.frames) - 2} of {len(only.frames)} events are not shown" in named.out
    text = fixbug("trace", "--text", *command).out
    assert read_text(text) == trace
    assert fixbug("trace", "--out", "-", *command).out == (fixbug.folder / "trace.jsonl").read_text()


OTHER = """\
type Number = int


class Box[T]:
    def get(self):
        def inner():
            return 1
        return inner()
"""
HANDLED = """\
try:
    import nothing_like_it
except ImportError:
    def fallback():
        return 1
"""


def test_functions_as_they_are_named(fixbug: Fixbug) -> None:
    """Would catch functions that are not found in a handler, or in a file of a newer Python than this, and
    paths that are given from elsewhere and followed nowhere without a word."""
    test = "import handled\n\ndef test_it():\n    assert handled.fallback() == 1\n"
    for name, text in (("handled.py", HANDLED), ("other.py", OTHER), ("test_it.py", test)):
        (fixbug.folder / "shop" / name).write_text(text)
    command = ("--repo", "shop", "--", "pytest", "test_it.py")
    absolute = f"{fixbug.folder / 'shop' / 'handled.py'}::fallback"
    assert "events by function: fallback 6" in fixbug("trace", "--functions", absolute, *command).out
    both = fixbug("trace", "--functions", "handled.py::fallback,other.py::Box.get", *command)
    assert "events by function: fallback 6" in both.out
    missing = fixbug("trace", "--functions", "other.py::Box.got", *command)
    fixbug.refused(missing, 2, "Box.get.<locals>.inner")
    fixbug.refused(fixbug("trace", "--functions", "../mine.py::f", *command), 2, "no such file")
    fixbug.refused(fixbug("trace", "--functions", ".", *command), 2, "no such file")


def test_a_run_that_does_not_end_well(fixbug: Fixbug) -> None:
    """Would catch an exit status or an object that says otherwise than what happened."""
    (fixbug.folder / "shop" / "test_shop.py").write_text(SHOP)
    (fixbug.folder / "shop" / "dies.py").write_text("import os\nx = 1\nos._exit(0)\n")
    done = fixbug("trace", "--json", "--repo", "shop", "--", "pytest", "test_shop.py::test_first")
    found = done.object()
    assert (done.status, found["exit_status"], found["command_exit_status"]) == (1, 1, 1)
    assert [run["outcome"] for run in found["runs"]] == ["passed", "failed"]
    assert found["runs"][1]["tests"][0]["message"]
    died = fixbug("trace", "--repo", "shop", "--", "python", "dies.py")
    assert died.status == 1
    assert "cut short (cut)" in died.out
    assert "run 1 did not come to its end: the process ended with status 0" in died.out
    last = read_trace((fixbug.folder / "trace.jsonl").read_text()).frames[-1]
    assert last == Frame("line", "<module>", "dies.py", 3, locals={"x": "1"})


def test_what_cannot_be_traced(fixbug: Fixbug) -> None:
    """Would catch a traceback, silence, or a file of the user's that is replaced."""
    (fixbug.folder / "shop" / "test_shop.py").write_text(SHOP)
    command = ("--repo", "shop", "--", "pytest", "test_shop.py::test_price")
    (fixbug.folder / "shop" / "notes.md").write_text("It fails.\n")
    (fixbug.folder / "mine.py").write_text(SHOP)
    fixbug.refused(fixbug("trace"), 2, "COMMAND")
    fixbug.refused(fixbug("trace", "--", "pytest"), 2, "no project's folder")
    fixbug.refused(fixbug("trace", *command[:3], "make", "all"), 2, "make is not traced")
    fixbug.refused(fixbug("trace", "--functions", "test_shop.py::Shap", *command), 2, "Shop.price")
    fixbug.refused(fixbug("trace", "--functions", "none.py", *command), 2, "no such file")
    fixbug.refused(fixbug("trace", "--functions", "notes.md", *command), 2, "not Python")
    fixbug.refused(fixbug("trace", "--repo", "nowhere", *command[2:]), 2, "directory")
    fixbug.refused(fixbug("trace", "--out", "mine.py", *command), 2, "is no trace")
    assert (fixbug.folder / "mine.py").read_text() == SHOP
    fixbug.refused(fixbug("trace", "--out", "nowhere/t.jsonl", *command), 2, "cannot be written")
