"""Predictions in every format, and a predicted trace beside what really happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.errors import FixbugError, UsageError
from agent.simulation import Asked, ask, read_sample, simulate
from agent.world.cwm import render_cwm, stripped_of_tokens
from agent.world.trace import Outcome, Trace, write_trace
from tests.agent.world.recording import record

SOURCE = """\
def f(words, n):
    out = []
    for word in words:
        if n in word:
            out.append(word.upper())
    with open("/dev/null"):
        longest = max(
            [len(w)
             for w in out],
            default=0,
        )
    while True:
        break
    return g(longest) + 1

def g(k):
    if k > 5:
        raise ValueError(k)
    k *= 2
    return k
"""
CALL = "f(['ab', 'b', 'c'], 'b')"


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    (tmp_path / "m.py").write_text(SOURCE)
    return ask(f"{tmp_path / 'm.py'}::f", CALL)


@pytest.fixture
def true(asked: Asked) -> Trace:
    return record(asked.source)


def written(true: Trace, asked: Asked, form: str) -> str:
    """A trace in one of the formats that a prediction may have."""
    text = render_cwm(true, asked.program)
    if form == "row":
        answer = stripped_of_tokens(text) + "\n[ANSWER]\nassert f() == 5\n[/ANSWER]"
        return json.dumps({"prompt": "... in [ANSWER] and [/ANSWER] tags", "model_output": answer})
    if form == "lines":
        return write_trace(Trace(true.frames, outcomes=(Outcome(1, "passed"),)))
    if form == "chat":
        rows = [
            {"event": f.event, "function": f.function, "line": f.line, "run": 1, "value": f.value}
            for f in true.frames
            if f.event in ("call", "return") and "<" not in f.function
        ]
        return "Here it is:\n```json\n" + json.dumps({"frames": rows}) + "\n```"
    return stripped_of_tokens(text) + "\nNow let us analyze." if form == "stripped" else text


@pytest.mark.parametrize("form", ["tokens", "stripped", "row", "lines", "chat"])
def test_a_true_prediction_is_right_in_every_format(asked: Asked, true: Trace, form: str) -> None:
    """Would catch a misread format, and a divergence where tracer and model only tell it differently."""
    done = simulate(asked, [read_sample(asked, written(true, asked, form))])
    assert (done.verdict, done.predicted, done.observed) == ("right", "5", "5")
    assert done.checked.verdict == "consistent"
    assert done.divergence is None
    assert form == "chat" or not any(row.differs for row in done.rows)


@pytest.mark.parametrize("form", ["tokens", "stripped", "lines"])
def test_a_wrong_line_is_named_before_and_after(asked: Asked, true: Trace, form: str) -> None:
    """Would catch a wrong state that checking does not see, or a divergence reported somewhere else."""
    text = written(true, asked, form).replace("['AB']", "['Ab']", 1)
    sample = read_sample(asked, text)
    assert sample.checked.verdict == "wrong"
    done = simulate(asked, [sample])
    assert done.checked.first is not None
    assert done.checked.first.line == 5
    assert done.divergence is not None
    assert done.divergence.observed is not None
    assert (done.divergence.what, done.divergence.observed.line) == ("value", 3)


def test_half_a_prediction_is_unknown(asked: Asked, true: Trace) -> None:
    """Would catch a verdict on an answer that was cut."""
    text = render_cwm(true, asked.program)
    half = text[: len(text) // 2].replace("['AB']", "['Ab']")
    done = simulate(asked, [read_sample(asked, half)])
    assert (done.verdict, done.checked.verdict, done.predicted) == ("unknown", "unknown", None)
    assert done.checked.findings


def test_an_exception_is_a_result(tmp_path: Path) -> None:
    """Would catch the ``None`` that an unwound frame returns being taken for success."""
    (tmp_path / "m.py").write_text(SOURCE)
    asked = ask(f"{tmp_path / 'm.py'}::g", "g(9)")
    with pytest.raises(ValueError, match="9"):
        record(asked.source)
    text = (
        '{}def main(): # << START_OF_TRACE\n{}    return g(9)\n{"k": "9"}def g(k):\n'
        '{"k": ".."}    if k > 5:\n{"k": ".."}        raise ValueError(k)\n'
        '        raise ValueError(k)\n"ValueError(9)"        raise ValueError(k)\n"None"'
        '    return g(9)\n"ValueError(9)"    return g(9)\n"None"\nIt raises.'
    )
    done = simulate(asked, [read_sample(asked, text)])
    assert (done.predicted, done.observed, done.verdict) == ("raises ValueError(9)",) * 2 + ("right",)
    assert done.checked.verdict == "consistent"


@pytest.mark.parametrize(
    ("target", "call", "said"),
    [
        ("m.py", CALL, "FILE::FUNCTION"),
        ("m.py::h", "h()", "no function h"),
        ("no.py::f", "f()", "cannot be read"),
        ("prose.py::f", "f()", "not Python"),
        ("m.py::f", "f(1", "does not parse"),
        ("m.py::f", "f", "is no call"),
    ],
)
def test_what_cannot_be_asked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, call: str, said: str
) -> None:
    """Would catch a traceback, or a wrong blame, for a mistyped command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(SOURCE)
    (tmp_path / "prose.py").write_text("This is no program.")
    with pytest.raises(UsageError, match=said):
        ask(target, call)


@pytest.mark.parametrize(
    "text", ["", "The function returns 5.", '{"answer": 5}', '{"fixbug_trace": 1}\nnonsense\n{}']
)
def test_what_is_no_prediction_is_said(asked: Asked, text: str) -> None:
    """Would catch prose or nothing passing for a prediction."""
    with pytest.raises(UsageError, match="prediction"):
        read_sample(asked, text)


def test_what_cannot_run_is_said(tmp_path: Path) -> None:
    """Would catch a file that fails at import being reported as a wrong prediction, and a call without an
    end that is waited for."""
    (tmp_path / "m.py").write_text("import nowhere_to_be_found\n\ndef f():\n    return 1\n")
    asked = ask(f"{tmp_path / 'm.py'}::f", "f()")
    text = (
        '{}def main(): # << START_OF_TRACE\n{}    return f()\n{}def f():\n{}    return 1\n    return 1\n"1"'
        '    return f()\n"1"\nSo it is 1.'
    )
    with pytest.raises(FixbugError, match="nowhere_to_be_found"):
        simulate(asked, [read_sample(asked, text)])
    (tmp_path / "m.py").write_text("def f():\n    while True:\n        pass\n    return 1\n")
    endless = ask(f"{tmp_path / 'm.py'}::f", "f()")
    done = simulate(endless, [read_sample(endless, text)], timeout=3)
    assert (done.verdict, done.observed) == ("unknown", None)
    assert done.checked.verdict == "wrong"
