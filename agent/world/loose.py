"""Reads the JSON that models write: fenced, wrapped in prose, with Python's quotes and names, or cut off."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_BARE_KEY = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)\s*:")
_BLANK = re.compile(r"[\s\ufeff\u200b]+")
_COMMENT = re.compile(r"(?://|#)[^\n]*|/\*.*?(?:\*/|\Z)", re.S)
_DOTS = re.compile(r"\.{3,}|…")
_CODE = re.compile(r"[0-9A-Fa-f]{4}")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NAMES = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_FLOATS = {"NaN": math.nan, "nan": math.nan, "Infinity": math.inf, "inf": math.inf}
_BARE = re.compile(
    r"""(?:[^\s,\[\](){}"']|\((?:[^()\n]|\([^()\n]*\))*\)"""
    r"""|'[^'\n]*'|"[^"\n]*"|[ \t]+(?![\s,\]})]))+"""
)
"""A value that should have had quotes around it: ``<Shelf object>``, ``Decimal('1.5')``, ``..``."""
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_PLAIN = {end: re.compile(rf"[^{end}\\]*") for end in _QUOTES.values()}
_ENDED = re.compile(r"[\s\ufeff]*(?:[,:\]})]|//|#|/\*|$)|\s+[\"'\u201c\u2018{\[]")
"""What stands behind the closing quote of a text; another one is part of it, and lacks its backslash."""
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_THINKING = re.compile(r"<(?:think|thinking|thought|reasoning)>")
_DEPTH = 60
_DIGITS = 4000
MAX_STEPS = 100_000
"""Values, and parts of texts, that are read of one answer, from all the places together at which it may
begin."""
_A_STEP = 100
"""Characters of a text or a comment that count as one."""
MAX_ROWS = 20000


class Bare(str):
    """A value that stood without quotes. Within a container it is shown so: ``[Decimal('1'), 2]``."""

    def __repr__(self) -> str:
        return str(self)


@dataclass
class Loose:
    """What was read: ``value`` (None where there is no object), whether it was whole, and what was
    forgiven."""

    value: Any = None
    complete: bool = False
    forgiven: list[str] = field(default_factory=list)


class _Cut(Exception):
    pass


class _TooMuch(Exception):
    pass


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value


def read_object(text: str, key: str) -> Loose:
    """The JSON-like object in ``text`` that has ``key``; half an object where the text ends in it.

    Of several the last counts: a draft comes before the answer, in what was thought or in prose. Where
    another one is begun behind it and cannot be read, what was read is not complete.
    """
    thought, text, thinking = _spoken(text)
    whole = _unquoted(text)
    if whole != text:
        found = read_object(whole, key)
        found.forgiven.append("JSON within a text")
        return found
    best, begun, ended = Loose(), 0, 0
    for start, reader, value in _objects(text):
        held = None if value is None else _holding(value, key, 0)
        if held is None:
            if best.value is not None and reader.cut and value:
                best.complete = False
                best.forgiven.append("another answer behind it is cut off")
            continue
        replaced = ["an earlier answer was replaced"] if best.value is not None else []
        best = Loose(held.value, held.complete and not reader.missing, replaced + reader.forgiven)
        best.forgiven += held.forgiven
        begun, ended = start, reader.at
        if reader.cut:
            best.forgiven.append("the answer is cut off")
    if best.value is None:
        return best
    if re.search(rf"[\"'\u201c]{key}[\"'\u201d]\s*:", text[ended:]):
        best.complete = False
        best.forgiven.append("another answer behind it cannot be read")
    if thinking:
        best.complete = False
        best.forgiven.append("the answer stands in what was thought")
    rest = text[:begun] + text[ended:]
    if "```" in rest:
        best.forgiven.append("a code fence")
    if thought or re.sub(r"```\w*|[\[\],]", "", rest).strip():
        best.forgiven.append("prose around the answer")
    best.forgiven = list(dict.fromkeys(best.forgiven))
    return best


def read_list(text: str) -> Loose:
    """A list or an object that was written as a text within JSON. ``value`` is None for any other text."""
    reader = _Reader(text, 0, [MAX_STEPS])
    try:
        value = reader.value(0)
    except (ValueError, _Cut, _TooMuch):
        return Loose()
    if not isinstance(value, (list, dict)) or text[reader.at :].strip():
        return Loose()
    return Loose(value, not reader.missing, [*reader.forgiven, "JSON within a text"])


def _objects(text: str) -> Iterator[tuple[int, _Reader, Any]]:
    """Where an object begins, its reader, and its value (None where it is none). One that is whole is not
    looked into."""
    at, budget = 0, [MAX_STEPS]
    while (start := text.find("{", at)) >= 0:
        reader = _Reader(text, start, budget)
        value = None
        try:
            value = reader.value(0)
        except ValueError:
            pass
        except _TooMuch:
            return
        yield start, reader, value
        at = start + 1 if value is None or reader.cut else reader.at


def _holding(value: Any, key: str, depth: int) -> Loose | None:
    """The mapping that has ``key``, in what was read; also where it was written as a text."""
    if depth > _DEPTH:
        return None
    if isinstance(value, dict):
        if key in value:
            return Loose(value, True)
        inner: Iterator[Any] = iter(value.values())
    elif isinstance(value, (list, tuple)):
        inner = iter(value)
    elif isinstance(value, str) and key in value and "{" in value and depth < 3:
        found = read_object(value, key)
        found.forgiven.append("JSON within a text")
        return None if found.value is None else found
    else:
        return None
    return next((one for one in (_holding(part, key, depth + 1) for part in inner) if one is not None), None)


def _spoken(text: str) -> tuple[str, str, bool]:
    """What was thought before an answer, the answer, and whether it is still being thought: the end of that
    is not in sight then."""
    at = 0
    for found in _THOUGHT.finditer(text):
        at = found.end()
    thought, text = text[:at], text[at:]
    begun = _THINKING.search(text)
    return thought, text, begun is not None and "{" not in text[: begun.start()]


def _unquoted(text: str) -> str:
    """What a JSON string holds, where the text is nothing but one."""
    if text.strip().startswith('"') and text.strip().endswith('"'):
        with suppress(ValueError, RecursionError):
            return str(json.loads(text, strict=False))
    return text


def read_rows(text: str, keys: Collection[str]) -> Loose:
    """The JSON-like objects in ``text`` that have one of ``keys``, as a list: an array of them, or one a
    line. ``value`` is None where there are none."""
    _, text, thinking = _spoken(text)
    rows: list[Any] = []
    read, at, begun, budget = Loose(), 0, 0, [MAX_STEPS]
    for _ in range(MAX_ROWS):
        start = text.find("{", at)
        if start < 0:
            break
        reader = _Reader(text, start, budget)
        try:
            value = reader.value(0)
        except ValueError:
            value = None
        except _TooMuch:
            read.complete = False
            break
        at = reader.at if isinstance(value, dict) else start + 1
        if not isinstance(value, dict) or not any(key in value for key in keys):
            continue
        begun = begun or start + 1
        rows.append(value)
        read.forgiven += reader.forgiven
        read.complete = not reader.cut
        if reader.cut:
            rows.pop()
            break
    if rows:
        listed = text[: begun - 1].rstrip().endswith("[")
        read.complete = read.complete and (not listed or text[at:].lstrip(" \t\r\n,").startswith("]"))
        read.complete = read.complete and not thinking
        read.value = rows
        read.forgiven = list(dict.fromkeys([*read.forgiven, "frames without the object around them"]))
        if not read.complete:
            read.forgiven.append("the answer is cut off")
    return read


class _Reader:
    """``cut``: the text ends in what is read. ``budget``: how many values may still be read."""

    def __init__(self, text: str, at: int, budget: list[int]) -> None:
        self.text, self.at, self.cut, self.budget = text, at, False, budget
        self.left_out = False
        """Whether ``...`` stands for items of a list."""
        self.forgiven: list[str] = []

    @property
    def missing(self) -> bool:
        """Whether something is not there that was meant."""
        return self.cut or self.left_out

    def value(self, depth: int) -> Any:
        self._spend(0)
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        char = self._peek()
        if char == "{":
            return self._mapping(depth)
        if char == "[":
            return self._sequence(depth, "]")
        if char == "(":
            self._forgive("Python's tuples")
            return tuple(self._sequence(depth, ")"))
        if char in _QUOTES:
            return self._string(char)
        number = _NUMBER.match(self.text, self.at)
        if number and not self.text[number.end() : number.end() + 1].strip(",:]}) \t\r\n"):
            self.at = number.end()
            if self.at == len(self.text):
                raise _Cut
            if re.search(r"[.eE]", number[0]):
                return float(number[0])
            return int(number[0]) if len(number[0]) <= _DIGITS else Bare(number[0])
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _NAMES:
            self.at = word.end()
            if word[0][0].isupper():
                self._forgive("Python's names for JSON's")
            return _NAMES[word[0]]
        signed = _WORD.match(self.text, self.at + (char == "-"))
        if signed and signed[0] in _FLOATS:
            self.at = signed.end()
            return -_FLOATS[signed[0]] if char == "-" else _FLOATS[signed[0]]
        bare = _BARE.match(self.text, self.at)
        if bare is None or not depth:
            raise ValueError(f"unexpected {char!r}")
        self.at = bare.end()
        if self.at == len(self.text):
            raise _Cut
        self._forgive("a value without quotes")
        return Bare(bare[0].strip())

    def _mapping(self, depth: int) -> Any:
        """A mapping, or a set as Python writes it."""
        result: dict[Any, Any] = {}
        self.at += 1
        try:
            while True:
                char = self._peek()
                if char in "},":
                    self.at += 1
                    if char == "}":
                        return result
                    continue
                key = self._key(depth)
                if self.cut:
                    return result
                if not result and self._peek() in ",}":
                    self._forgive("Python's sets")
                    return {_hashable(item) for item in [key, *self._sequence(depth, "}", begun=True)]}
                if self._peek() != ":":
                    raise ValueError("a key without a value")
                self.at += 1
                result[_hashable(key)] = self.value(depth + 1)
                if self.cut:
                    return result
                self._separator("}")
        except _Cut:
            self.cut = True
            return result

    def _key(self, depth: int) -> Any:
        word = _BARE_KEY.match(self.text, self.at)
        if word:
            self.at = word.end(1)
            self._forgive("keys without quotes")
            return word[1]
        return self.value(depth + 1)

    def _sequence(self, depth: int, end: str, *, begun: bool = False) -> list[Any]:
        result: list[Any] = []
        self.at += not begun
        try:
            while True:
                char = self._peek()
                if char in (end, ","):
                    self.at += 1
                    if char == end:
                        return result
                    continue
                dots = _DOTS.match(self.text, self.at)
                if dots:
                    self.at, self.left_out = dots.end(), True
                    self._forgive("rows left out, with dots in their place")
                    continue
                value = self.value(depth + 1)
                if self.cut:
                    return result if isinstance(value, dict) and depth > 0 else [*result, value]
                result.append(value)
                self._separator(end)
        except _Cut:
            self.cut = True
            return result

    def _separator(self, end: str) -> None:
        char = self._peek()
        if char == ",":
            self.at += 1
            if self._peek() == end:
                self._forgive("a comma before a bracket")
        elif char != end:
            self._forgive("a missing comma")

    def _string(self, quote: str) -> str:
        if quote == "'":
            self._forgive("single quotes")
        elif quote != '"':
            self._forgive("typographic quotes")
        self.at += 1
        parts: list[str] = []
        end = _QUOTES[quote]
        while True:
            plain = _PLAIN[end].match(self.text, self.at)
            assert plain is not None
            self._spend(len(plain[0]))
            parts.append(plain[0])
            self.at = plain.end() + 1
            if self.at > len(self.text):
                raise _Cut
            if self.text[plain.end()] == end:
                if _ENDED.match(self.text, self.at):
                    return "".join(parts)
                self._forgive("quotes in a text without their backslash")
                parts.append(end)
            elif self.at == len(self.text):
                raise _Cut
            else:
                parts.append(self._escape(quote))

    def _escape(self, quote: str) -> str:
        """What stands behind a backslash."""
        char = self.text[self.at]
        self.at += 1
        code = _CODE.match(self.text, self.at) if char == "u" else None
        if code:
            self.at = code.end()
            first = int(code[0], 16)
            second = _CODE.match(self.text, self.at + 2) if self.text.startswith("\\u", self.at) else None
            low = int(second[0], 16) if second else 0
            if second and 0xD800 <= first < 0xDC00 <= low < 0xE000:
                self.at = second.end()
                return chr(0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00))
            return chr(first)
        if char in _ESCAPES or char in '"\\/' or char == quote:
            return _ESCAPES.get(char, char)
        # No escape of JSON's, but of Python's: of the text that the value is.
        self._forgive("an unknown escape")
        return "\\" + char

    def _peek(self) -> str:
        while self.at < len(self.text):
            skipped = _BLANK.match(self.text, self.at)
            if skipped:
                self.at = skipped.end()
                continue
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                return self.text[self.at]
            self._forgive("a comment")
            self._spend(len(comment[0]))
            self.at = comment.end()
        raise _Cut

    def _spend(self, characters: int) -> None:
        self.budget[0] -= 1 + characters // _A_STEP
        if self.budget[0] < 0:
            raise _TooMuch

    def _forgive(self, what: str) -> None:
        self.forgiven.append(what)
