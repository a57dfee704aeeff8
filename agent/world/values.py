"""Values as a trace holds them: bounded ``repr`` texts, read back as Python literals where they are ones."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 20_000

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_TYPE = re.compile(r"<?(?:class |module |function |bound method )?['\"]?(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)")
_CUT = re.compile(r"(?:\.\.\.|…)")


@dataclass(frozen=True)
class Opaque:
    """A value that is known by its text only: ``<Foo>``, ``Decimal('1')``, or a literal that was cut
    short."""

    text: str

    @property
    def type_name(self) -> str:
        """``Foo`` for ``<Foo>``, ``<pkg.Foo object>`` and ``Foo(a=1)``; empty where the text names no
        type."""
        if _CUT.match(self.text) or not re.match(r"[<A-Za-z_]", self.text):
            return ""
        found = _TYPE.match(self.text.replace("<locals>.", ""))
        return found.group(1) if found else ""

    @property
    def masked(self) -> bool:
        """Whether only the type is shown, as the tracer does for what is no plain value."""
        return self.text.startswith("<")

    @property
    def cut(self) -> bool:
        """Whether the text was shortened, so that only what is left of it can be compared."""
        return not self.masked and bool(_CUT.search(self.text))


def read_value(text: str) -> Any:
    """The value of a ``repr`` text, or Opaque where it is no complete literal. Never runs anything."""
    text = _ADDRESS.sub("", text.strip())
    if len(text) > MAX_TEXT:
        return Opaque(text[:MAX_TEXT] + "...")
    try:
        tree = ast.parse(text, mode="eval").body
        value = _literal(tree)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return Opaque(text)
    return value


def array_items(text: str) -> list[Any] | None:
    """The items of numpy's ``array([1, 2])``, as nested lists; None for another text."""
    try:
        tree = ast.parse(text, mode="eval").body
        if not (isinstance(tree, ast.Call) and len(tree.args) == 1):
            return None
        name = tree.func.attr if isinstance(tree.func, ast.Attribute) else getattr(tree.func, "id", "")
        items = _literal(tree.args[0]) if name in ("array", "ndarray", "masked_array") else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return items if isinstance(items, list) else None


def _literal(node: ast.expr) -> Any:
    """``ast.literal_eval``, and also ``set()``, ``frozenset({...})``, ``inf`` and ``nan`` as ``repr``
    writes them."""
    if isinstance(node, ast.Constant):
        if node.value is Ellipsis:
            raise ValueError("a value that was cut short")
        return node.value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        items = [_literal(item) for item in node.elts]
        return {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)](items)
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError("no literal")
        return {
            _literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True) if key
        }
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        number = _literal(node.operand)
        if isinstance(number, (int, float, complex)) and not isinstance(number, bool):
            return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        left, right = _literal(node.left), _literal(node.right)
        if isinstance(left, (int, float)) and isinstance(right, complex):
            return left + right if isinstance(node.op, ast.Add) else left - right
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        kinds: dict[str, Any] = {"set": set, "frozenset": frozenset, "bytearray": bytearray}
        if node.func.id in kinds and len(node.args) <= 1:
            kind = kinds[node.func.id]
            return kind(_literal(node.args[0])) if node.args else kind()
    raise ValueError("no literal")
