"""Edits, submissions and shortened observations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.actions import SENTINEL, Edit, EditError, Propose, edited, shorten, submission


def test_edit_replaces_what_occurs_once() -> None:
    """The rest of the file stays, and an edit may delete."""
    assert edited(Edit("a", "b\n", "B\n"), "a\nb\nc\n") == "a\nB\nc\n"
    assert edited(Edit("a", "b\n", ""), "a\nb\nc\n") == "a\nc\n"
    assert edited(Edit("new", "", "x\n"), None) == "x\n"
    assert edited(Edit("empty", "", "x\n"), "") == "x\n"


@pytest.mark.parametrize(
    ("edit", "current", "told"),
    [
        (Edit("a.py", "x", "y"), "a\n", "does not occur in a.py"),
        (Edit("a.py", "a", "y"), "a a\n", "occurs 2 times"),
        (Edit("a.py", "a", "y"), None, "no file a.py"),
        (Edit("a.py", "", "y"), "a\n", "exists already"),
        (Edit("a.py", "a", "a"), "a\n", "nothing would change"),
    ],
)
def test_edit_refused(edit: Edit, current: str | None, told: str) -> None:
    """An edit that is not clear must change nothing and say why."""
    with pytest.raises(EditError, match=told):
        edited(edit, current)


def test_submission() -> None:
    """The sentinel counts on the first line only; a file that mentions it further down submits nothing."""
    assert submission(f"{SENTINEL}\ndiff --git\n") == Propose(note="diff --git\n")
    assert submission(f"\n  {SENTINEL}  \n") == Propose()
    assert submission(f"{SENTINEL}\nTEST: tests/t.py::a\nrest") == Propose("tests/t.py::a", "rest")
    assert submission(f"README:\n{SENTINEL}") is None
    assert submission(f"echo {SENTINEL}") is None
    assert submission("") is None


@given(st.text(max_size=60), st.integers(0, 20), st.integers(0, 20))
def test_shorten(text: str, head: int, tail: int) -> None:
    """Head and tail are whole, the size is said, and what fits is left alone."""
    got = shorten(text, head, tail)
    if len(text) <= head + tail:
        assert got == text
    else:
        assert got.startswith(text[:head])
        assert got.endswith(text[len(text) - tail :])
        assert f"[{len(text) - head - tail} of {len(text)} characters left out]" in got
