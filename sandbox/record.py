"""Reads, on the host, the raw records that ``tracer.py`` writes in a sandbox (their format is there)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["expand", "expand_lines"]

_EVENTS = {">": "call", "<": "return", "!": "exception"}


def expand(raw: bytes) -> str:
    """A trace as JSON Lines: a header, one object a frame (``agent.world.trace.Frame``'s fields; absent
    ones have their default), notes, one outcome a run, and the end with the limits that were hit.

    A record that stops in the middle is read as far as it goes, and has no ``end`` line: the process
    died. Raises ``ValueError`` for anything else that isn't a record.
    """
    reader = _Reader()
    lines = []
    for number, record in enumerate(_records(raw), 1):
        try:
            found = reader.read(record)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"record {number} of the trace cannot be read: {record[:80]!r}") from error
        if found is not None:
            lines.append(json.dumps(found, separators=(",", ":")) + "\n")
    return "".join(lines)


def expand_lines(raw: bytes) -> dict[str, dict[str, set[int]]]:
    """Test → file → lines that it executed; the test ``""`` holds what ran before the first one."""
    files: dict[str, str] = {}
    found: dict[str, dict[str, set[int]]] = {}
    test = ""
    for record in _records(raw):
        mark, rest = record[:1], record[2:]
        if mark == "F":
            entry = json.loads(rest)
            files[str(entry["id"])] = entry["file"]
        elif mark == "T":
            test = json.loads(rest)
            found.setdefault(test, {})
        elif mark == "L":
            file, line = rest.split()
            found[test].setdefault(files[file], set()).add(int(line))
    return found


def _records(raw: bytes) -> Iterator[str]:
    text = raw.rstrip(b"\0").decode("ascii")
    return iter(text[: text.rfind("\n") + 1].splitlines())  # without one that was cut in the middle


class _Reader:
    def __init__(self) -> None:
        self.run = 0
        self.functions: dict[int, dict[str, Any]] = {}
        self.activations: dict[int, dict[str, Any]] = {}
        self.current: dict[str, Any] = {}

    def read(self, record: str) -> dict[str, Any] | None:
        mark, rest = record[0], record[1:]
        if mark == "H":
            return {"fixbug_trace": 1, **json.loads(rest)}
        if mark == "E":
            return {"end": True, **json.loads(rest)}
        if mark in "PO":
            loaded: dict[str, Any] = json.loads(rest)
            return loaded
        if mark == "N":
            return {"note": json.loads(rest)}
        if mark == "F":
            function = json.loads(rest)
            self.functions[function["id"]] = function
        elif mark == "R":
            self.run = int(rest)
        elif mark == "@":
            self.current = self.activations[int(rest)]
        else:
            return self._frame(mark, record.split("\t"))
        return None

    def _frame(self, mark: str, fields: Sequence[str]) -> dict[str, Any]:
        value = None
        if mark == ">":
            activation, function, line, depth, visit = (int(n) for n in fields[0][1:].split())
            self.current = {**self.functions[function], "depth": depth, "visit": visit}
            self.activations[activation] = self.current
        elif mark in "<!":
            at, quoted = fields[0][1:].split(" ", 1)
            line, value = int(at), json.loads(quoted)
        else:
            line = int(fields[0])
        current = self.current
        frame = {
            "event": _EVENTS.get(mark, "line"),
            "function": current["function"],
            "file": current["file"],
            "line": line,
        }
        for name, given, default in (
            ("depth", current["depth"], 0),
            ("run", self.run, 1),
            ("visit", current["visit"], 1),
            ("locals", dict(_change(f, current["names"]) for f in fields[1:]), {}),
            ("value", value, None),
        ):
            if given != default:
                frame[name] = given
        return frame


def _change(field: str, names: Sequence[str]) -> tuple[str, str | None]:
    if field.endswith("-"):
        return names[int(field[:-1])], None
    index, value = field.split("=", 1)
    return names[int(index)], json.loads(value)
