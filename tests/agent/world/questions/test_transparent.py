"""The instrumented test runs as the original does."""

from __future__ import annotations

import ast
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.world.questions.probes import probe_test

ATOMS = st.sampled_from(
    [
        "1",
        "0",
        "f(1)",
        "f(2)",
        "xs",
        "f('é')",
        "(n := f(3))",
        "[f(1), 2]",
        "f(0)[1]",
        "boom()",
        "len(xs)",
        "None",
    ]
)
OPS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"])


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda t: f"({t[0]} {t[1]}\n        {t[2]})"
        ),
        inner.map(lambda t: f"(not {t})"),
        inner.map(lambda t: f"(abs({t} - 1) < 2)"),
        st.tuples(inner, inner).map(lambda t: f"all({t[0]} == {t[1]} for i in xs)"),
    )


COMPARED = st.tuples(ATOMS, OPS, ATOMS, OPS, ATOMS).map(lambda t: f"({' '.join(t)})")
SIMPLE = st.tuples(ATOMS, OPS, ATOMS).map(lambda t: f"({' '.join(t)})")
CONDITIONS = st.recursive(st.one_of(ATOMS, SIMPLE, COMPARED), _conditions, max_leaves=5)


def _run(source: str) -> tuple[str, list[Any]]:
    calls: list[Any] = []

    def f(x: Any) -> Any:
        calls.append(x)
        return x

    def boom() -> None:
        raise KeyError("boom")

    names: dict[str, Any] = {
        "f": f,
        "boom": boom,
        "xs": [1, 2],
        "__fixbug_probe__": lambda name, value: value,
    }
    try:
        exec(compile(source, "t", "exec"), names)
        names["test_a"]()
    except Exception as error:
        return type(error).__name__, calls
    return "passed", calls


@given(CONDITIONS)
def test_the_outcome_and_the_calls_stay_the_same(condition: str) -> None:
    """Catches a splice that changes what is evaluated, in which order, how often, or with which result."""
    source = f"def test_a():\n    # é\n    assert {condition}, 'm'\n"
    probed = probe_test("t.py", source, "t.py::test_a")
    assert probed.transparent.count("\n") == source.count("\n")
    assert probed.blind.count("\n") == source.count("\n")
    ast.parse(probed.blind)
    assert _run(probed.transparent) == _run(source)
