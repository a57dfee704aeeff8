"""``fixbug simulate``: a prediction of one call, recorded or a model's, laid beside what happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.agent.cli.conftest import Fixbug
from tests.agent.world.simulators.cwm_server import CodeWorldModel
from tests.openai_server import Script, context_length_exceeded, continuation, serve, text

CODE = "def f(a, b):\n    c = a * b\n    return c + 1\n"
TRACE = """\
{}def main(): # << START_OF_TRACE
{}    return f(2, 3)
{"a": "2", "b": "3"}def f(a, b):
{"a": "..", "b": ".."}    c = a * b
{"a": "..", "b": "..", "c": "6"}    return c + 1
    return c + 1
"7"    return f(2, 3)
"7"
The result is 7.
"""


def test_right_and_wrong(fixbug: Fixbug) -> None:
    """Would catch a verdict, an exit status or a first wrong line that does not fit the prediction."""
    (fixbug.folder / "m.py").write_text(CODE)
    (fixbug.folder / "right.txt").write_text(TRACE)
    (fixbug.folder / "wrong.txt").write_text(TRACE.replace('"6"', '"5"').replace('"7"', '"6"'))
    call = ("m.py::f", "--call", "f(2, 3)", "--prediction")
    done = fixbug("simulate", *call, "right.txt")
    assert done.status == 0, done.err
    assert "right: predicted 7, observed 7" in done.out
    done = fixbug("simulate", *call, "wrong.txt")
    assert done.status == 1
    assert "before anything ran: wrong at frame 5" in done.out
    assert "wrong: predicted 6, observed 7" in done.out
    found = fixbug("simulate", *call, "wrong.txt", "--json").object()
    assert (found["checked"], found["first_wrong_line"], found["verdict"]) == ("wrong", 2, "wrong")
    assert (found["predicted"], found["observed"]) == ("6", "7")


def test_files_that_begin_with_a_mark(fixbug: Fixbug) -> None:
    """Would catch a byte order mark, as Windows' editors write it, taken for something to read."""
    (fixbug.folder / "m.py").write_text(CODE, encoding="utf-8-sig")
    (fixbug.folder / "p.txt").write_text(TRACE, encoding="utf-8-sig")
    done = fixbug("simulate", "m.py::f", "--call", "f(2, 3)", "--prediction", "p.txt")
    assert done.status == 0, done.err


def test_what_cannot_be_simulated(fixbug: Fixbug) -> None:
    """Would catch a traceback or silence for a mistyped function, call or file."""
    (fixbug.folder / "m.py").write_text(CODE)
    (fixbug.folder / "p.txt").write_text("It returns 7.")
    given = ("--call", "f(2, 3)", "--prediction", "p.txt")
    fixbug.refused(fixbug("simulate", "m.py::g", *given), 2, "no function g", "there are: f")
    fixbug.refused(fixbug("simulate", "m.py::f", "--call", "f(", *given[2:]), 2, "does not parse")
    fixbug.refused(fixbug("simulate", "m.py::f", "--call", "g(2)", *given[2:]), 2, "does not call f")
    fixbug.refused(fixbug("simulate", "issue.md::f", *given), 2, "not Python")
    fixbug.refused(fixbug("simulate", "m.py::f", *given[:3], "none.txt"), 2, "cannot be read")
    fixbug.refused(fixbug("simulate", "m.py::f", *given), 2, "no known format")


SECRETIVE = '''\
"""f(2, 3) gives 917."""
def f(a, b):
    """
    >>> f(2, 3)
    917
    """
    c = a * b  # 917 in the end
    return g(c)


def g(x):
    return x + 911


def test_f():
    assert f(2, 3) == 917


if __name__ == "__main__":
    assert f(2, 3) == 917
'''


def frame(event: str, function: str, line: int, value: str | None = None, **names: str) -> dict[str, Any]:
    pairs = [{"name": name, "value": shown} for name, shown in names.items()]
    return {
        "event": event,
        "function": function,
        "line": line,
        "run": 1,
        "call": 1,
        "locals": pairs,
        "value": value,
    }


def chat_answer(total: str, returned: str) -> str:
    frames = [
        frame("call", "f", 2, a="2", b="3"),
        frame("line", "f", 7),
        frame("line", "f", 8, c=total),
        frame("call", "g", 11, x=total),
        frame("line", "g", 12),
        frame("return", "g", 12, returned),
        frame("return", "f", 8, returned),
    ]
    probes = [{"run": 1, "probe": "p1", "value": returned}]
    outcomes = [{"run": 1, "outcome": "finished", "exception": None}]
    return json.dumps({"frames": frames, "every_line": True, "probes": probes, "outcomes": outcomes})


def in_chat(answers: list[str]) -> Script:
    left = iter(answers)
    return lambda request: text(next(left, "I have said it all."))


@pytest.mark.parametrize("format", ["chat", "lines", "cwm", "cwm-step", "cwm-single", "cwm-chat"])
def test_a_model_is_asked_blind_in_every_format(fixbug: Fixbug, format: str) -> None:
    """Would catch a result in the prompt (comment, docstring, doctest, test, main block), and an answer that
    is lost on its way into the verdict."""
    (fixbug.folder / "m.py").write_text(SECRETIVE)
    lines = {
        "states": [{"at": "R1", "run": 1, "call": 1, "locals": [], "value": "917", "exception": None}],
        "probes": [{"run": 1, "probe": "p1", "value": "917"}],
        "outcomes": [{"run": 1, "outcome": "finished"}],
    }
    chat = {"chat": chat_answer("6", "917"), "lines": json.dumps(lines)}
    script = in_chat([chat[format]]) if format in chat else CodeWorldModel()
    with serve(script) as server:
        asked = ("simulate", "m.py::f", "--call", "f(2, 3)", "--model", "m", "--base-url", server.base_url)
        done = fixbug(*asked, "--format", format, "--json")
        first = json.dumps(server.requests[0])
    assert done.status == 0, done.err
    found = done.object()
    assert (found["verdict"], found["predicted"], found["observed"]) == ("right", "917", "917")
    assert found["complete"]
    assert found["checked"] == "consistent"
    assert found["divergence"] is None
    assert "917" not in first
    assert "return x + 911" in first


def test_contradictions_are_counted_and_shown(fixbug: Fixbug) -> None:
    """Would catch an answer that was thrown away, or put right, without a word."""
    (fixbug.folder / "m.py").write_text(SECRETIVE)
    call = ("simulate", "m.py::f", "--call", "f(2, 3)", "--model", "m", "--base-url")
    with serve(in_chat([chat_answer("5", "916"), chat_answer("6", "917")])) as server:
        done = fixbug(*call, server.base_url)
    assert done.status == 0, done.err
    assert "asked again 1 time(s): checking contradicted it" in done.out
    right = json.loads(chat_answer("6", "917"))
    rest = json.dumps({**right, "frames": right["frames"][3:]})
    with serve(in_chat([chat_answer("5", "916"), rest])) as server:
        found = fixbug(*call, server.base_url, "--repair", "--json").object()
    assert (found["resampled"], found["repaired"], found["verdict"]) == (0, 1, "right")


def test_samples_are_laid_beside_each_other(fixbug: Fixbug) -> None:
    """Would catch one odd sample deciding, and samples that disagree being believed."""
    (fixbug.folder / "m.py").write_text("def f(x):\n    return str(x)\n")

    def said(value: str) -> str:
        answer = json.loads(chat_answer("6", value))
        return json.dumps({**answer, "frames": [], "every_line": False})

    call = ("simulate", "m.py::f", "--call", "f(7)", "--model", "m", "--json", "--base-url")
    with serve(in_chat([said("'8'"), said("'7'"), said("'7'")])) as server:
        found = fixbug(*call, server.base_url, "--samples", "3").object()
    assert [sample["result"] for sample in found["samples"]] == ["'8'", "'7'", "'7'"]
    assert (found["predicted"], found["verdict"]) == ("'7'", "right")
    with serve(in_chat([said("'8'"), said("'7'")])) as server:
        assert fixbug(*call, server.base_url, "--samples", "2").object()["verdict"] == "unknown"


@pytest.mark.parametrize(("format", "said"), [("chat", "It returns 917."), ("chat", "half"), ("cwm", "half")])
def test_a_model_that_says_nothing_of_use(fixbug: Fixbug, format: str, said: str) -> None:
    """Would catch prose, silence or half a trace as a pass, or a traceback for it."""
    (fixbug.folder / "m.py").write_text(SECRETIVE)
    half = (
        chat_answer("6", "917")[:300]
        if format == "chat"
        else "<|line_sep|>{}<|action_sep|>    return f(2, 3)\n"
    )
    written = half if said == "half" else said
    with serve(lambda r: text(written) if "messages" in r else continuation(written)) as server:
        call = ("simulate", "m.py::f", "--call", "f(2, 3)", "--model", "m", "--base-url", server.base_url)
        done = fixbug(*call, "--format", format)
    assert done.status == 1, done.err
    assert "unknown: predicted no result" in done.out


def test_endpoints_that_do_not_answer(fixbug: Fixbug) -> None:
    """Would catch an endpoint's failure as a verdict, and a context that is too long as one."""
    (fixbug.folder / "m.py").write_text(SECRETIVE)
    call = ("simulate", "m.py::f", "--call", "f(2, 3)")
    with serve(lambda request: context_length_exceeded()) as server:
        done = fixbug(*call, "--model", "m", "--base-url", server.base_url, "--format", "cwm")
    fixbug.refused(done, 3, "longer than m takes", "longer context")
    with serve([]) as server:
        done = fixbug(*call, "--model", "m", "--base-url", server.base_url)
    fixbug.refused(done, 3, "no further reply")
    fixbug.refused(fixbug(*call), 2, "nobody predicts", "--prediction FILE")
    done = fixbug(
        *call, "--model", "m", "--base-url", server.base_url, "--format", "cwm", "--tokenizer", "no.json"
    )
    fixbug.refused(done, 2, "okenizer")


BAD = """\
import os, signal, sys, time

def loops():
    while True:
        pass

def prints():
    for _ in range(40):
        print("x" * 10**6)
    return 7

def forks():
    if os.fork() == 0:
        time.sleep(60)
    return 7

def deletes():
    os.remove(__file__)
    return 7

def kills():
    os.kill(os.getpid(), signal.SIGKILL)

def orphans():
    os.kill(os.getppid(), signal.SIGKILL)
    return 7

def leaves():
    raise SystemExit(7)
"""
STARTED = """\
{"fixbug_trace": 1, "python": "3.11"}
{"event": "call", "function": "main", "file": "bad.py", "line": 1}
{"event": "return", "function": "main", "file": "bad.py", "line": 1, "value": "7"}
{"end": true, "limits": {}}
"""


@pytest.mark.parametrize(
    ("function", "verdict", "why"),
    [
        ("loops", "unknown", "(time): it did not end within 3 s"),
        ("prints", "right", ""),
        ("forks", "right", ""),
        ("deletes", "right", ""),
        ("kills", "unknown", "(end): its process ended before it did"),
        ("orphans", "unknown", "(end): its process ended before it did (exit status 137)"),
        ("leaves", "wrong", ""),
    ],
)
def test_programs_that_misbehave(fixbug: Fixbug, function: str, verdict: str, why: str) -> None:
    """Would catch a call that hangs the command, takes its record with it, or passes without a result."""
    (fixbug.folder / "bad.py").write_text(BAD)
    (fixbug.folder / "p.txt").write_text(STARTED)
    limit = "3" if function == "loops" else "60"
    done = fixbug(
        "simulate",
        f"bad.py::{function}",
        "--call",
        f"{function}()",
        "--prediction",
        "p.txt",
        "--timeout",
        limit,
    )
    assert done.status == (0 if verdict == "right" else 1), done.err
    assert f"{verdict}: predicted 7" in done.out
    assert why in done.out
    assert (fixbug.folder / "bad.py").read_text() == BAD
