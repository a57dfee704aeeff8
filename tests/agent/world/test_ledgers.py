"""Predictions, observations and expectations laid side by side."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.errors import TracingError
from agent.world.compare import first_divergence, same_value
from agent.world.intent import from_probes, parse_expectations
from agent.world.questions.probes import probe_test
from agent.world.simulators.answer import parse_prediction
from agent.world.simulators.scene import FunctionSource, Scene
from agent.world.trace import Frame, Outcome, Trace, read_trace, write_trace
from agent.world.verdict import Verdict, judge, judge_observed, row

TEST = "def test_twice():\n    assert price(1) == 3\n    set_price(1, 4)\n    assert price(1) == 4\n"
PROBED = probe_test("t.py", TEST, "t.py::test_twice")
SCENE = Scene(PROBED, (FunctionSource("shop.py", "Catalogue.price", 9, "def price\n" * 5 + "end"),))


def _answer(second: str, *, ended: str = "finished") -> str:
    probes = [{"run": r, "probe": p, "value": v} for r in (1, 2) for p, v in (("p1", "3"), ("p2", second))]
    frames = [
        {"event": "call", "function": "price", "line": 9, "run": 1, "call": 2, "locals": {"name": "1"}},
        {"event": "line", "function": "price", "line": 10, "run": 1, "call": 2},
        {"event": "line", "function": "price", "line": 13, "run": 1, "call": 2},
        {"event": "return", "function": "price", "line": 13, "run": 1, "call": 2, "value": second},
    ]
    raised = None if ended == "finished" else "KeyError(1)"
    outcomes = [{"run": r, "outcome": ended, "exception": raised} for r in (1, 2)]
    return json.dumps({"frames": frames, "probes": probes, "outcomes": outcomes})


def _judge(*answers: str) -> Verdict:
    return judge([parse_prediction(a, SCENE, runs=2) for a in answers], from_probes(PROBED))


def test_verdicts() -> None:
    """Catches a cut, disputed or raising prediction that is taken for a pass."""
    assert _judge(_answer("4"), _answer("4")).value == "holds"
    assert _judge(_answer("3"), _answer("3")).value == "broken"
    assert _judge(_answer("3"), _answer("4")).value == "unknown"
    assert _judge(_answer("4", ended="raised")).value == "broken"
    assert _judge(_answer("4")[:-60]).value == "unknown"
    assert _judge(_answer("4").replace('"line": 13', '"line": 99')).value == "unknown"
    for nothing in ("", "I think that it passes.", "{}", '{"probes": []}'):
        assert _judge(nothing).value == "unknown"


def test_each_expectation_says_why() -> None:
    """Catches a verdict that cannot be traced to an assertion and the values that it was judged by."""
    broken = _judge(_answer("3"), _answer("3"))
    assert broken.per_expectation["a2"] == ("broken", "broken")
    assert broken.why["a2"] == ("broken [p2 = 3]", "broken [p2 = 3]")
    assert broken.why["a1"][0] == "holds [p1 = 3]"
    disputed = _judge(_answer("3"), _answer("4")).why["a2"][0]
    assert disputed == "disputed: sample 1: broken [p2 = 3]; sample 1: holds [p2 = 4]"
    silent = _judge(_answer("4").replace('"p2"', '"p9"'))
    assert silent.why["a2"][0].startswith("unknown")


def test_messy_answers_are_read_and_said_to_be() -> None:
    """Catches an answer in Python's spelling, in a fence and prose, being thrown away or read in silence."""
    text = "Sure! Here:\n```json\n" + repr(json.loads(_answer("4"))) + "\n```\nDone."
    read = parse_prediction(text, SCENE, runs=2)
    assert read.complete
    assert {"single quotes", "a code fence", "prose around the answer"} <= set(read.forgiven)
    assert judge([read], from_probes(PROBED)).value == "holds"


def _observed() -> Trace:
    def frame(event: str, line: int, **more: object) -> Frame:
        return replace(Frame("line", "Catalogue.price", "shop.py", line, visit=2), event=event, **more)  # type: ignore[arg-type]

    return Trace(
        (
            frame("call", 9, locals={"name": "1"}),
            frame("line", 10),
            frame("line", 11),
            frame("return", 11, value="3"),
            Frame("probe", "test_twice", "t.py", 4, probe="p2", value="3"),
        ),
        outcomes=(Outcome(1, "failed", "AssertionError"),),
    )


def test_the_first_divergence_is_the_branch_that_was_taken() -> None:
    """Catches a divergence reported where its effect shows (the return) and not where the way parts."""
    found = first_divergence(parse_prediction(_answer("4"), SCENE, runs=2).trace, _observed())
    assert found is not None
    assert (found.what, found.predicted and found.predicted.line, found.observed and found.observed.line) == (
        "line",
        13,
        11,
    )
    assert "shop.py:11" in found.text
    assert "shop.py:10" in found.text
    assert first_divergence(_observed(), _observed()) is None


def test_the_table() -> None:
    """Catches rows of the table that are swapped."""
    expectations = from_probes(PROBED)
    broken = judge_observed(_observed(), expectations, passed=False)
    holds = judge_observed(_observed(), expectations, passed=True)
    assert (broken.value, holds.value) == ("broken", "holds")
    assert row(holds, holds) == "understood fix"
    assert row(holds, broken) == "the model's idea is wrong"
    assert row(broken, holds) == "false alarm"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", True),
        ("{1, 2}", "{2, 1}", True),
        ("1", "1.0", True),
        ("0.1", "0.10000000000000001", True),
        ("'a'", "'b'", False),
        ("<Foo>", "Foo(a=1)", True),
        ("<Foo>", "<Bar>", False),
        ("[1, 2, ...(+3)]", "[1, 2, 3, 4, 5]", None),
        ("(1,)", "[1]", False),
    ],
)
def test_values_compare_as_values(a: str, b: str, same: bool | None) -> None:
    """Catches values told apart by their spelling, or taken as one without knowing."""
    assert same_value(a, b) is same


def test_expectations_that_are_malformed_are_dropped_and_counted() -> None:
    """Catches a predicate that reaches attributes or calls, and one bad entry that costs the others."""
    good = {"function": "price", "call": 2, "event": "return", "predicate": "value == 4", "why": "w"}
    bad = ["value.x", "open('f')", "__import__('os')", "value ==", "[x for x in value]"]
    rows = [good, 3, *({**good, "predicate": p} for p in bad)]
    kept, dropped = parse_expectations(json.dumps({"expectations": rows}))
    assert ([e.predicate for e in kept], dropped) == (["value == 4"], 6)


def test_traces_survive_the_disk() -> None:
    """Catches fields lost on disk, unknown fields that stop reading, and errors that name no line."""
    trace = _observed()
    assert read_trace(write_trace(trace)) == trace
    text = write_trace(trace).replace('"event":"call"', '"new":1,"event":"call"')
    assert read_trace(text) == trace
    assert "cut" in read_trace(text[: text.rindex("{")]).limits
    with pytest.raises(TracingError, match="line 2 of the trace"):
        read_trace(text.replace('"event":"call"', '"event":"jump"'))
