"""``fixbug simulate``: a recorded prediction of one call, laid beside what happens."""

from __future__ import annotations

from tests.agent.cli.conftest import Fixbug

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


def test_what_cannot_be_simulated(fixbug: Fixbug) -> None:
    """Would catch a traceback or silence for a mistyped function, call or file."""
    (fixbug.folder / "m.py").write_text(CODE)
    (fixbug.folder / "p.txt").write_text("It returns 7.")
    given = ("--call", "f(2, 3)", "--prediction", "p.txt")
    fixbug.refused(fixbug("simulate", "m.py::g", *given), 2, "no function g", "there are: f")
    fixbug.refused(fixbug("simulate", "m.py::f", "--call", "f(", *given[2:]), 2, "does not parse")
    fixbug.refused(fixbug("simulate", "issue.md::f", *given), 2, "not Python")
    fixbug.refused(fixbug("simulate", "m.py::f", *given[:3], "none.txt"), 2, "cannot be read")
    fixbug.refused(fixbug("simulate", "m.py::f", *given), 2, "no known format")
