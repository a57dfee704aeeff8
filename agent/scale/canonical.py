"""What a patch changes, brought to one form, so that candidates that do the same count as one.

Patches of one instance are made against one commit, so a change is where it stands in the old file, what
goes and what comes. Dropped are: files of tests, hunk order, context, how changes are cut into hunks,
trailing white space. Blank lines, comments, line breaks inside a statement and spaces between tokens are
dropped only where the hunk's text, before and after, is Python that parses: there the parse tree does not
see them. Elsewhere (a cut docstring, another language) lines count as they are.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agent.errors import PatchDoesNotApply
from agent.patch import Part, normalise, split
from agent.scale.execution.parts import code_of

__all__ = ["Canonical", "Change", "canonical"]

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_LAYOUT = {
    tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change: ``removed`` and ``added`` are statements (their tokens, one space apart) or lines."""

    path: str
    after: int
    """The line of the old file behind which it is made: that of the last line or statement before it."""
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True)
class Canonical:
    """The changes of a patch, sorted. ``key`` is equal for candidates that do the same."""

    key: str
    changes: tuple[Change, ...]
    malformed: bool = False
    """The text is no unified diff; then ``key`` stands for the text itself."""

    @property
    def empty(self) -> bool:
        """Nothing is changed but tests, comments or white space."""
        return not self.changes and not self.malformed

    def lines(self) -> list[str]:
        """Each changed statement with its file and direction: what similarity is measured on."""
        return [
            f"{sign} {change.path} {text}"
            for change in self.changes
            for sign, texts in (("-", change.removed), ("+", change.added))
            for text in texts
        ]


def canonical(patch: str) -> Canonical:
    """The one form of ``patch``. Text that is no diff has a key of its own, never an error."""
    try:
        parts = split(code_of(normalise(patch)))
        changes = sorted(
            (change for part in parts for change in _changes(part)),
            key=lambda change: (change.path, change.after, change.removed, change.added),
        )
    except PatchDoesNotApply:
        return Canonical("malformed:" + _digest(" ".join(patch.split())), (), malformed=True)
    if not changes:
        return Canonical("empty", ())
    return Canonical(_digest(repr(changes)), tuple(changes))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _changes(part: Part) -> Iterator[Change]:
    if not part.hunks:  # a mode, a rename, a binary file
        yield Change(part.path, 0, (), (part.header,))
        return
    if part.old and part.new and part.old != part.new:
        yield Change(part.path, 0, (f"rename from {part.old}",), (f"rename to {part.new}",))
    elif part.new is None:
        yield Change(part.path, 0, ("delete the file",), ())
        return
    for hunk in part.hunks:
        yield from _hunk(part.path, hunk)


@dataclass(frozen=True)
class _Unit:
    """A statement or a line: its text, and the line it begins at."""

    text: str
    line: int


def _hunk(path: str, hunk: str) -> Iterator[Change]:
    match = _HUNK.match(hunk)
    if match is None:
        raise PatchDoesNotApply(f"expected a hunk, got {hunk[:60]!r}")
    start = int(match[1]) + (match[2] == "0")
    body = [line for line in hunk.split("\n")[1:] if line and not line.startswith("\\")]
    old = [line[1:] for line in body if line[0] in " -"]
    new = [line[1:] for line in body if line[0] in " +"]
    before = after = None
    if path.endswith((".py", ".pyi")):
        before, after = (_shifted(_statements("\n".join(lines)), start) for lines in (old, new))
    if before is None or after is None:
        before, after = _plain(old, start), _plain(new, start)
    yield from _difference(path, before, after, start)


def _difference(path: str, old: Sequence[_Unit], new: Sequence[_Unit], start: int) -> Iterator[Change]:
    left, right = [unit.text for unit in old], [unit.text for unit in new]
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, i2, j, j2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        if kind == "insert":  # of the places that mean the same, the first
            while i and left[i - 1] == right[j2 - 1]:
                i, i2, j, j2 = i - 1, i2 - 1, j - 1, j2 - 1
        after = old[i - 1].line if i else start - 1
        yield Change(path, after, tuple(left[i:i2]), tuple(right[j:j2]))


def _plain(lines: Sequence[str], start: int) -> list[_Unit]:
    return [_Unit(line.rstrip(), number) for number, line in enumerate(lines, start)]


def _shifted(units: Sequence[_Unit] | None, start: int) -> list[_Unit] | None:
    return None if units is None else [_Unit(unit.text, unit.line + start) for unit in units]


@lru_cache(maxsize=20_000)
def _statements(piece: str) -> tuple[_Unit, ...] | None:
    """The logical lines of a piece of a file, counted from 0; None where it does not parse by itself.

    Candidates for one instance share most of their context, so pieces come up again and again.
    """
    lines = piece.split("\n")
    scaffold = _scaffold(lines)
    text = "\n".join([*scaffold, *lines, *_ending(lines)]) + "\n"
    if not _parses(text):
        return None
    first, last = len(scaffold), len(scaffold) + len(lines)
    units: list[_Unit] = []
    words: list[str] = []
    began = indent = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NEWLINE:
                if words and first < began <= last:
                    units.append(_Unit(" " * indent + " ".join(words), began - first - 1))
                words = []
            elif token.type not in _LAYOUT:
                if not words:
                    began, indent = token.start[0], token.start[1]
                words.append(_spelt(token))
    except (tokenize.TokenError, SyntaxError):
        return None
    return tuple(units)


def _scaffold(lines: Sequence[str]) -> list[str]:
    """Block headings for a piece that begins inside a block: one for each level that it comes back to."""
    levels: list[int] = []
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            indent = len(line) - len(line.lstrip())
            if not levels or indent < levels[-1]:
                levels.append(indent)
            if indent == 0:
                break
    levels = levels if not levels or levels[-1] == 0 else [*levels, 0]
    return [" " * level + "if 1:" for level in reversed(levels[1:])]


def _ending(lines: Sequence[str]) -> list[str]:
    """A body for a heading that the piece ends with."""
    for line in reversed(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            indent = len(line) - len(line.lstrip())
            return [" " * (indent + 1) + "pass"] if line.rstrip().endswith(":") else []
    return []


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _spelt(token: tokenize.TokenInfo) -> str:
    """A token's text; a plain string in one spelling, whatever its quotes."""
    if token.type != tokenize.STRING:
        return token.string
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return repr(ast.literal_eval(token.string))
    except (SyntaxError, ValueError):
        return token.string
