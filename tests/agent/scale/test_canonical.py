"""Which patches count as the same."""

from __future__ import annotations

import difflib
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scale.canonical import canonical

BASE = textwrap.dedent('''\
    import os


    class Cart:
        """What is to be bought."""

        def __init__(self, items):
            self.items = items

        def total(self):
            # all of them
            total = 0
            for item in self.items:
                total += item.price
            return total

        def count(self):
            return len(self.items)
    ''')


def diff(after: str, before: str = BASE, path: str = "shop/cart.py", context: int = 3) -> str:
    lines = difflib.unified_diff(
        before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}", n=context
    )
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)


def key(after: str, **options: int) -> str:
    return canonical(diff(after, **options)).key


FIXED = BASE.replace("item.price", "item.price * item.amount")


@pytest.mark.parametrize(
    "other",
    [
        FIXED.replace("        for", "        # each with its amount\n        for"),
        FIXED.replace("item.price * item.amount", "item.price*item.amount"),
        FIXED.replace("item.price * item.amount", "item.price * item.amount  # not one of each"),
        FIXED.replace("        for item", "\n        for item"),
        FIXED.replace("# all of them", "# every one of them"),
        FIXED.replace("item.price * item.amount", "item.price * \\\n                item.amount"),
    ],
    ids=["comment", "spaces", "trailing comment", "blank line", "changed comment", "line break"],
)
def test_what_the_parse_tree_does_not_see_makes_no_difference(other: str) -> None:
    """Two systems that make the same fix would not be counted as agreeing."""
    assert other != FIXED
    assert key(other) == key(FIXED)


@pytest.mark.parametrize("context", [0, 1, 2, 5, 30])
def test_context_makes_no_difference(context: int) -> None:
    """git, diff -U5 and an agent's own tool write different amounts of it."""
    both = FIXED.replace("len(self.items)", "sum(i.amount for i in self.items)")
    assert key(both, context=context) == key(both)


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("item.price", "item.amount * item.price"),
        FIXED.replace("total = 0", "total = 1"),
        FIXED.replace("        return total", "            return total"),
    ],
)
def test_another_change_has_another_key(other: str) -> None:
    """Normalising too much would let a wrong patch vote for a right one."""
    assert key(other) != key(FIXED)


def test_the_same_line_elsewhere_is_another_change() -> None:
    """Without its place, a guard in one function would equal that in another."""
    guard = "        self.items = list(self.items)\n"
    first = BASE.replace("        # all of them\n", guard + "        # all of them\n")
    second = BASE.replace("        return len", guard + "        return len")
    assert key(first) != key(second)


def test_a_hash_inside_a_string_is_no_comment() -> None:
    """Dropping what looks like a comment would make these two the same."""
    red = BASE.replace("return len(self.items)", "return '# red'")
    blue = BASE.replace("return len(self.items)", "return '# blue'")
    assert key(red) != key(blue)


def test_comments_of_a_piece_that_does_not_parse_are_kept() -> None:
    """In a docstring a line with a hash is text: where that cannot be told, nothing is dropped."""
    before = '"""\ntext\n' * 1 + "".join(f"line {i}\n" for i in range(12)) + '"""\n'
    one, two = before.replace("line 6\n", "# a\nline 6\n"), before.replace("line 6\n", "# b\nline 6\n")
    assert canonical(diff(one, before)).key != canonical(diff(two, before)).key


def test_tests_and_scratch_files_are_dropped() -> None:
    """A system that also adds a test would never agree with one that does not."""
    more = diff("def test_total(): pass\n", "", "tests/test_cart.py") + diff(
        "print(1)\n", "", "reproduce_issue.py"
    ).replace("--- a/reproduce_issue.py", "--- /dev/null")
    assert canonical(diff(FIXED) + more).key == canonical(diff(FIXED)).key
    assert canonical(more).empty


def test_files_and_hunks_in_another_order() -> None:
    """Patches are sets of changes."""
    other = diff("a = 2\n", "a = 1\n", "b.py")
    assert canonical(diff(FIXED) + other).key == canonical(other + diff(FIXED)).key


def test_text_that_is_no_diff_is_told_and_does_not_fail() -> None:
    """Published predictions hold such text; it may not end a sweep."""
    assert canonical("I could not do it.").malformed
    assert canonical("I could not do it.").key != canonical("Nor could I.").key
    assert canonical("").empty
    assert not canonical("").malformed


@given(
    st.lists(st.sampled_from(["x = 1", "if x:", "    y()", "# c", "", '"""', "else:", "\tz"]), max_size=8),
    st.lists(st.sampled_from(["x = 1", "x  =  1", "    y()", "# d", "'''", "a ="]), max_size=8),
)
def test_any_diff_has_a_key_that_depends_on_what_it_changes(before: list[str], after: list[str]) -> None:
    """Cut code of every kind may not raise, and no change but white space and comments is empty."""
    old, new = ("".join(f"{line}\n" for line in lines) for lines in (before, after))
    found = canonical(diff(new, old)) if old != new else canonical("")
    assert found.key == (canonical(diff(new, old)).key if old != new else "empty")
    code = [
        "".join("".join(line.split()) for line in text.splitlines() if not line.lstrip().startswith("#"))
        for text in (old, new)
    ]
    if code[0] != code[1]:
        assert not found.empty
