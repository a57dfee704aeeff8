"""Reads the JSON that models write: fenced, wrapped in prose, with Python's quotes and names, or cut off."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NAMES = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_DEPTH = 60


@dataclass
class Loose:
    """What was read: ``value`` (None where there is no object), whether it was whole, and what was
    forgiven."""

    value: Any = None
    complete: bool = False
    forgiven: list[str] = field(default_factory=list)


class _Cut(Exception):
    pass


def read_object(text: str, key: str) -> Loose:
    """The first JSON-like object in ``text`` that has ``key``; half an object where the text ends in it."""
    best = Loose()
    for found in list(re.finditer(r"\{", text))[:200]:
        reader = _Reader(text, found.start())
        try:
            value = reader.value(0)
        except ValueError:
            continue
        if isinstance(value, dict) and key in value:
            best = Loose(value, not reader.cut, list(dict.fromkeys(reader.forgiven)))
            rest = (text[: found.start()] + text[reader.at :]).strip()
            if "```" in rest:
                best.forgiven.append("a code fence")
            if re.sub(r"```\w*", "", rest).strip():
                best.forgiven.append("prose around the answer")
            if reader.cut:
                best.forgiven.append("the answer is cut off")
            return best
    return best


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self.text, self.at, self.cut = text, at, False
        self.forgiven: list[str] = []

    def value(self, depth: int) -> Any:
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        char = self._peek()
        if char == "{":
            return self._mapping(depth)
        if char in "[(":
            return self._sequence(depth, "]" if char == "[" else ")")
        if char in "\"'":
            return self._string(char)
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            if self.at == len(self.text):
                raise _Cut
            return float(number[0]) if re.search(r"[.eE]", number[0]) else int(number[0][:4000])
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _NAMES:
            self.at = word.end()
            if word[0][0].isupper():
                self._forgive("Python's names for JSON's")
            return _NAMES[word[0]]
        if word and word.end() == len(self.text):
            raise _Cut
        raise ValueError(f"unexpected {char!r}")

    def _mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        self.at += 1
        try:
            while True:
                char = self._peek()
                if char in "},":
                    self.at += 1
                    if char == "}":
                        return result
                    continue
                key = self.value(depth + 1)
                if self.cut:
                    return result
                if self._peek() != ":":
                    raise ValueError("a key without a value")
                self.at += 1
                value = self.value(depth + 1)
                result[str(key)] = value
                if self.cut:
                    return result
                self._separator("}")
        except _Cut:
            self.cut = True
            return result

    def _sequence(self, depth: int, end: str) -> list[Any]:
        result: list[Any] = []
        self.at += 1
        try:
            while True:
                char = self._peek()
                if char in (end, ","):
                    self.at += 1
                    if char == end:
                        return result
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
        self.at += 1
        parts: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == quote:
                return "".join(parts)
            if char != "\\":
                parts.append(char)
                continue
            if self.at >= len(self.text):
                break
            char = self.text[self.at]
            self.at += 1
            code = re.compile(r"[0-9A-Fa-f]{4}").match(self.text, self.at) if char == "u" else None
            if code:
                self.at = code.end()
                parts.append(chr(int(code[0], 16)))
            elif char in _ESCAPES or char in "\"'\\/":
                parts.append(_ESCAPES.get(char, char))
            else:
                self._forgive("an unknown escape")
                parts.append("\\" + char)
        raise _Cut

    def _peek(self) -> str:
        while self.at < len(self.text):
            if self.text[self.at].isspace():
                self.at += 1
            elif self.text.startswith("//", self.at):
                self._forgive("a comment")
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return self.text[self.at]
        raise _Cut

    def _forgive(self, what: str) -> None:
        self.forgiven.append(what)
