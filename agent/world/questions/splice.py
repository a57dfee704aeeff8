"""Edits to source text at the places that ``ast`` names, keeping every line on its number."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass

_NEWLINE = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True)
class Edit:
    """Replace the bytes from ``start`` to ``end`` by ``text``; equal offsets insert."""

    start: int
    end: int
    text: str


class Text:
    """Source text addressed by the UTF-8 byte offsets that ``ast`` uses."""

    def __init__(self, source: str) -> None:
        self.bom = "\ufeff" if source.startswith("\ufeff") else ""
        self.source = source.removeprefix("\ufeff")
        self.data = self.source.encode("utf-8", "surrogatepass")
        self.starts = [0] + [found.end() for found in _NEWLINE.finditer(self.data)]

    def offset(self, line: int, column: int) -> int:
        """Absolute byte offset of a 1-based line and a byte column."""
        return self.starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Start and end of a node; a definition starts at its first decorator."""
        line, column = node.lineno, node.col_offset
        decorators = getattr(node, "decorator_list", [])
        start = self.offset(line, column)
        if decorators:
            first = self.offset(decorators[0].lineno, decorators[0].col_offset)
            start = self.data.rindex(b"@", 0, first)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return start, self.offset(node.end_lineno, node.end_col_offset)

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.data[start:end].decode("utf-8", "surrogatepass")

    def newlines(self, start: int, end: int) -> int:
        """How many line ends lie in a range: what a replacement has to keep."""
        return len(_NEWLINE.findall(self.data[start:end]))

    def comments(self) -> list[Edit]:
        """Edits that take all comments out. Raises SyntaxError or tokenize.TokenError for what is not
        Python."""
        lines = [line.decode("utf-8", "surrogatepass") for line in _NEWLINE.split(self.data)]
        edits = []
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
            if token.type == tokenize.COMMENT:
                prefix = lines[token.start[0] - 1][: token.start[1]]
                start = self.offset(token.start[0], len(prefix.encode("utf-8", "surrogatepass")))
                edits.append(Edit(start, start + len(token.string.encode("utf-8", "surrogatepass")), ""))
        return edits

    def blank(self, node: ast.expr | ast.stmt) -> Edit:
        """An edit that leaves only the line ends of a node."""
        start, end = self.span(node)
        return Edit(start, end, "\n" * self.newlines(start, end))

    def apply(self, edits: Iterable[Edit]) -> str:
        """The text with the edits made. An edit inside the range of a larger one is dropped with it."""
        result = []
        done = 0
        for edit in sorted(
            edits, key=lambda e: (e.start, -e.end) if e.end > e.start else (e.start, -e.start)
        ):
            if edit.start < done:
                continue
            result.append(self.data[done : edit.start].decode("utf-8", "surrogatepass"))
            result.append(edit.text)
            done = edit.end
        result.append(self.data[done:].decode("utf-8", "surrogatepass"))
        return self.bom + "".join(result)


def padded(text: str, newlines: int) -> str:
    """``text``, a call or a bracketed expression, with line ends put before its last bracket."""
    return text[:-1] + "\n" * newlines + text[-1] if newlines else text


def stripped(source: str) -> str:
    """Source without comments and docstrings, each line on its number; as it was where it is not Python."""
    text = Text(source)
    try:
        tree = ast.parse(text.source)
        edits = text.comments()
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return source
    return text.apply(edits + docstrings(text, tree))


def docstrings(text: Text, tree: ast.AST) -> list[Edit]:
    """Edits that take bare strings out of every body; a body that is nothing else becomes ``pass``."""
    edits = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for blocks in (body, getattr(node, "orelse", None), getattr(node, "finalbody", None)):
            statements = blocks if isinstance(blocks, list) else []
            texts = [s for s in statements if isinstance(s, ast.Expr) and _is_text(s.value)]
            for statement in texts:
                start, end = text.span(statement)
                # `pass` is a line of its own to who walks the code: only where something has to stand.
                needed = len(texts) == len(statements) or text.data[end : end + 1] == b";"
                shown = "pass" if needed else ""
                edits.append(Edit(start, end, shown + "\n" * text.newlines(start, end)))
    return edits


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )
