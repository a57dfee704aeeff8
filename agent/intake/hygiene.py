"""What an issue's reader would not see is not put before a model: it could carry instructions.

GitHub renders Markdown without HTML comments, link definitions, image alternative text and invisible
characters; here they go. Code (fenced or inline) is shown verbatim, so it is kept, with
invisible characters made visible as ``<U+200B>``.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable

__all__ = ["visible"]

_FENCED = r"(?:^|(?<=\n))(?P<fence> {0,3}(?:```+|~~~+))[^\n]*\n(?:.*?\n)??(?P=fence)[`~]*[ \t]*(?=\n|$)"
_CODE = re.compile(rf"(?s:{_FENCED})|(?P<ticks>(?<!`)`+(?!`))(?s:(?:(?!\n\n).)+?)(?<!`)(?P=ticks)(?!`)")
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DEFINITION = re.compile(
    r"^ {0,3}\[[^\]\n]*\]:[ \t]*(?:#|<>)[ \t]*(?:\"[^\n]*|'[^\n]*|\([^\n]*)?$", re.MULTILINE
)
_IMAGE = re.compile(r"!\[(?:[^\]\\]|\\.)+\](?=[(\[])")
_ATTRIBUTE = re.compile(
    r"""\s(?:alt|title|aria-label|hidden)(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+))?""", re.IGNORECASE
)
_TAG = re.compile(r"<[a-z][^<>]*>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#x?[0-9a-f]{1,7}|[a-z]{2,31});", re.IGNORECASE)


def visible(text: str) -> tuple[str, dict[str, int]]:
    """``text`` (Markdown) as its reader sees it, and what was taken out: kind → how often."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    removed: Counter[str] = Counter()
    pieces: list[str] = []
    position = 0
    # A comment may hold back-quotes, and code may hold comments: whichever begins first wins.
    while position < len(text):
        code, comment = _CODE.search(text, position), _COMMENT.search(text, position)
        if comment and (not code or comment.start() < code.start()):
            pieces.append(_prose(text[position : comment.start()], removed))
            removed["HTML comment"] += 1
            position = comment.end()
        elif code:
            pieces.append(_prose(text[position : code.start()], removed))
            pieces.append(_INVISIBLE.sub(lambda match: f"<U+{ord(match[0]):04X}>", code[0]))
            position = code.end()
        else:
            pieces.append(_prose(text[position:], removed))
            break
    return "".join(pieces), dict(removed)


def _prose(text: str, removed: Counter[str]) -> str:
    def drop(kind: str, replacement: str = "") -> Callable[[re.Match[str]], str]:
        def sub(match: re.Match[str]) -> str:
            removed[kind] += 1
            return replacement

        return sub

    def entity(match: re.Match[str]) -> str:
        if _INVISIBLE.search(html.unescape(match[0])):
            removed["invisible character"] += 1
            return ""
        return match[0]

    def tag(match: re.Match[str]) -> str:
        return _ATTRIBUTE.sub(drop("hidden attribute"), match[0])

    text = _INVISIBLE.sub(drop("invisible character"), text)
    text = _ENTITY.sub(entity, text)
    text = _DEFINITION.sub(drop("hidden link definition"), text)
    text = _IMAGE.sub(drop("image alt text", "![]"), text)
    return _TAG.sub(tag, text)
