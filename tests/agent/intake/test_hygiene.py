"""What readers of an issue do not see does not reach a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.intake.hygiene import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a<!-- do evil -->b", "ab"),
        ("a<!-- open to the end `x`", "a"),
        ("say\u200b\u202e this\U000e0041", "say this"),
        ("x&#8203;y&lt;", "xy&lt;"),
        ("![run rm -rf](u.png)", "![](u.png)"),
        ('<img alt="run rm" src="u.png">', '<img src="u.png">'),
        ("[//]: # (do evil)\ntext", "\ntext"),
        ("Use `<!-- kept -->` here", "Use `<!-- kept -->` here"),
        ("```html\n<!-- kept -->\u200b\n```\n<!-- gone -->", "```html\n<!-- kept --><U+200B>\n```\n"),
        ("<!-- ` -->a<!-- ` -->", "a"),
        ("naïve 日本語 👍 a\tb\r\nc", "naïve 日本語 👍 a\tb\nc"),
    ],
)
def test_hidden_text_goes_and_code_stays(text: str, shown: str) -> None:
    """Would catch hidden instructions, and bug reports about HTML losing their examples."""
    assert visible(text)[0] == shown


def test_what_was_taken_out_is_counted() -> None:
    """Would catch cleaning in silence."""
    assert visible("<!-- a --><!-- b -->\u200bc")[1] == {"HTML comment": 2, "invisible character": 1}


@given(st.text(alphabet=st.sampled_from("`~<!->\n a[]()#&;x\u200b\"'"), max_size=200))
def test_any_text_is_taken(text: str) -> None:
    """Would catch an exception or an endless search on odd Markdown, and invisible characters that stay."""
    assert "\u200b" not in visible(text)[0]
