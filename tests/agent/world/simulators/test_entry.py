"""A test as one source with an entry function: it does what the test does, and gives nothing away."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from agent.world.questions.probes import probe_test
from agent.world.simulators.entry import as_answers, as_test, enter_test
from agent.world.simulators.one_run import CannotEnterError
from agent.world.simulators.scene import Scene, build_scene
from agent.world.trace import Frame, Trace
from tests.agent.world.recording import record

CODE = """\
from __future__ import annotations

KEPT = []

def keep(item):
    KEPT.append(item)
    return len(KEPT)

class Counter:
    def __init__(self, start=0):
        self.value = start

    def up(self, by):
        self.value += by
        return self.value
"""
HEAD = "import unittest\nimport pytest\nfrom code_ import Counter, keep\n"
TESTS = {
    "state": ("def test_a():\n    assert keep('x') == 917345\n", "test_a", [["1"], ["2"]]),
    "fixtures": (
        "@pytest.fixture\ndef counter(start):\n    yield Counter(start)\n\n"
        "@pytest.fixture\ndef start():\n    return 4 + 1\n\n"
        "def test_a(counter):\n    assert counter.up(2) == 917345\n",
        "test_a",
        [["7"], ["7"]],
    ),
    "class": (
        "class TestIt:\n    def setup_method(self, method):\n        self.counter = Counter(1)\n\n"
        "    def test_a(self):\n        assert self.counter.up(1) == 917345\n",
        "TestIt::test_a",
        [["2"], ["2"]],
    ),
    "unittest": (
        "class TestIt(unittest.TestCase):\n    def setUp(self):\n        self.counter = Counter(1)\n\n"
        "    def test_a(self):\n        self.assertEqual(self.counter.up(3), 917345)\n"
        "        with self.assertRaises(TypeError):\n            self.counter.up('x')\n",
        "TestIt::test_a",
        [["4", "TypeError"], ["4", "TypeError"]],
    ),
    "cases": (
        "@pytest.mark.parametrize('by, wanted', [(1, 917345), (2, 917345)])\n"
        "def test_a(by, wanted):\n    assert Counter().up(by) == wanted\n",
        "test_a",
        [["1", "2"], ["1", "2"]],
    ),
    "one case": (
        "@pytest.mark.parametrize('by, wanted', [(1, 917345), (2, 917345)])\n"
        "def test_a(by, wanted):\n    assert Counter().up(by) == wanted\n",
        "test_a[2-917345]",
        [["2"], ["2"]],
    ),
    "raises": (
        "def test_a():\n    with pytest.raises(TypeError):\n        Counter().up(None)\n"
        "    pytest.raises(ValueError, Counter().up, 1)\n",
        "test_a",
        [["TypeError", "None"], ["TypeError", "None"]],
    ),
    "what was raised": (
        "class TestIt(unittest.TestCase):\n    def test_a(self):\n"
        "        with pytest.raises(TypeError) as caught:\n            Counter().up(None)\n"
        "        assert caught.type is TypeError and len(caught.value.args) == 1\n"
        "        with self.assertRaises(TypeError) as caught:\n            Counter().up(None)\n"
        "        self.assertEqual(len(caught.exception.args), 917345)\n",
        "TestIt::test_a",
        [["TypeError", "<class 'TypeError'>", "1", "TypeError", "1"]] * 2,
    ),
    "loop": (
        "def test_a():\n    for by in (1, 2):\n        assert Counter().up(by) == 917345\n",
        "test_a",
        [["1", "2"], ["1", "2"]],
    ),
    "script": ("counter = Counter()\ncounter.up(1)\nassert counter.up(1) == 917345\n", "", [["2"], ["2"]]),
}


def scene(name: str) -> Scene:
    source, test, _ = TESTS[name]
    node = f"test_it.py::{test}" if test else "test_it.py"
    probed = probe_test("test_it.py", HEAD + source, node)
    before = Trace(tuple(Frame("call", f, "code_.py", 1) for f in ("keep", "Counter.__init__", "Counter.up")))
    return build_scene(probed, {"code_.py": CODE}, before)


def said(trace: Trace) -> list[list[str]]:
    return [
        [(f.value or "").partition("(")[0] for f in trace.frames if f.event == "probe" and f.run == run]
        for run in (1, 2)
    ]


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("collecting", [False, True])
def test_it_runs_as_the_test_does(name: str, collecting: bool) -> None:
    """Would catch a fixture, a set-up, a case or a question that is lost or run once too often; what one run
    leaves behind not reaching the next; and an expected value in the source."""
    there = scene(name)
    entry = enter_test(there, 2, collecting=collecting)
    assert "917345" not in entry.source
    trace = record(entry.source, "traced.py", entry.main)
    if collecting:
        back = as_answers(trace.frames[-1].value or "", there)
        assert back is not None
    else:
        back = as_test(trace, entry, there)
        shown = {f.file for f in back.frames if f.event != "probe"}
        assert shown <= {"code_.py", "test_it.py"}
        assert all(f.line <= len(CODE.splitlines()) for f in back.frames if f.file == "code_.py")
    assert said(back) == TESTS[name][2]
    assert [outcome.outcome for outcome in back.outcomes] == ["passed", "passed"]


@pytest.mark.parametrize("name", TESTS)
def test_a_sighted_one_shows_what_is_expected_and_runs_the_same(name: str) -> None:
    """Would catch an arm that is not blind and lacks the values, or that traces another program."""
    source, _, _ = TESTS[name]
    blind = scene(name)
    sighted = replace(blind, sighted=blind.probed.sighted)
    one, other = enter_test(blind, 2), enter_test(sighted, 2)
    shown = [line for line in other.source.splitlines() if line not in one.source.splitlines()]
    assert all(line.startswith("# ") for line in shown)
    assert (blind.blind, sighted.blind) == (True, False)
    assert ("917345" in "\n".join(shown)) == ("917345" in source)
    assert ast.dump(ast.parse(one.source)) == ast.dump(ast.parse(other.source))


def test_lines_are_those_of_the_file() -> None:
    """Would catch a trace that no observed one could be laid beside."""
    there = scene("state")
    entry = enter_test(there, 1)
    back = as_test(record(entry.source, "traced.py", entry.main), entry, there)
    keep = [f.line for f in back.frames if f.function == "keep"]
    assert keep == [5, 6, 7, 7]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def test_a(tmp_path):\n    assert keep(tmp_path) == 1\n", "fixture tmp_path"),
        ("async def test_a():\n    assert keep(1) == 1\n", "asynchronous"),
        (
            "CASES = make()\n@pytest.mark.parametrize('x', CASES)\ndef test_a(x):\n    assert keep(x) == 1\n",
            "not written where it is",
        ),
        (
            "@pytest.fixture\ndef start(request):\n    return Counter(request.param)\n"
            "@pytest.mark.parametrize('start', [1, 2], indirect=True)\n"
            "def test_a(start):\n    assert start.up(1) == 1\n",
            "go through a fixture",
        ),
        (
            "def test_a():\n    with assert_logs() as seen:\n        keep(1)\n    assert seen.output == 1\n",
            "what a block records",
        ),
    ],
)
def test_what_cannot_be_put_so_is_said(source: str, why: str) -> None:
    """Would catch a made-up argument in place of one that is out of sight."""
    probed = probe_test("test_it.py", HEAD + source, "test_it.py::test_a")
    with pytest.raises(CannotEnterError, match=why):
        enter_test(build_scene(probed, {"code_.py": CODE}, Trace(())), 2)


def test_answers_that_are_no_literals() -> None:
    """Would catch a list of answers that is lost for one object in it."""
    there = scene("cases")
    back = as_answers("[('p1', <Foo object at 0x1>), ('p1', [1, 2]), ('finished', 0)]", there)
    assert back is not None
    assert [f.value for f in back.frames] == ["<Foo object>", "[1, 2]"]
    assert as_answers("None", there) is None
    assert as_answers("[1, 2]", there) is None
    assert as_answers("[('p1', 1), ('finished', 0), ('p1', 2), ('finished', 1)", there) is None


def test_questions_that_may_raise_are_answered() -> None:
    """Catches helpers that the entry form lacks: operands behind ``or``, and blocks that are passed by."""
    source = (
        "def test_late():\n    x = None\n    with assert_logs():\n        x = 0\n"
        "    assert x is None or x.missing == 3\n"
    )
    entry = enter_test(Scene(probe_test("t.py", source, "t.py::test_late"), ()), 1)
    calls = [
        f
        for f in record(entry.source, entry=entry.main).frames
        if f.function == "probe" and f.event == "call"
    ]
    assert [f.locals["name"] for f in calls] == ["'p1'", "'p2'"]
    assert calls[0].locals["value"] == "0"
    assert str(calls[1].locals["value"]).startswith("AttributeError(")
