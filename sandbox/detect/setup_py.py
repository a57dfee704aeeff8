"""What a setup.py says in its call of ``setup``, read without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["read_setup_py"]

_UNKNOWN = object()


def read_setup_py(text: str) -> dict[str, Any]:
    """Keyword → value, for the arguments that are literals, or made of names bound to literals.

    A value in parts of which something else stands keeps the parts that are literals. Python 2's
    syntax is searched for the few strings that matter.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return _searched(text)
    names: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            _bind(node, names)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            _mutate(node.value, names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node.func) == "setup":
            for keyword in node.keywords:
                value = _value(keyword.value, names)
                if keyword.arg is None:
                    found.update(value if isinstance(value, dict) else {})
                elif value is not _UNKNOWN:
                    found[keyword.arg] = value
    return {key: value for key, value in found.items() if isinstance(key, str)}


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _bind(node: ast.Assign | ast.AnnAssign, names: dict[str, Any]) -> None:
    if node.value is None:
        return
    value = _value(node.value, names)
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if value is _UNKNOWN:
            continue
        if isinstance(target, ast.Name):
            names[target.id] = value
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            mapping, key = names.get(target.value.id), _value(target.slice, names)
            if isinstance(mapping, dict) and isinstance(key, str):
                mapping[key] = value


def _mutate(call: ast.Call, names: dict[str, Any]) -> None:
    """``requirements.append("x")``, ``.extend([…])`` and ``options.update(…)``."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and call.args):
        return
    target, value = names.get(function.value.id), _value(call.args[0], names)
    if isinstance(target, list) and function.attr == "append" and isinstance(value, str):
        target.append(value)
    elif isinstance(target, list) and function.attr == "extend" and isinstance(value, list):
        target.extend(value)
    elif isinstance(target, dict) and function.attr == "update" and isinstance(value, dict):
        target.update(value)


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """A str, number, list or dict of such, or ``_UNKNOWN``. Tuples and sets become lists."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name, _UNKNOWN)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            values: list[Any] = []
            for part in parts:
                if isinstance(part, ast.Starred):
                    inner = _value(part.value, names)
                    values += inner if isinstance(inner, list) else []
                elif (value := _value(part, names)) is not _UNKNOWN:
                    values.append(value)
            return values
        case ast.Dict(keys=keys, values=parts):
            mapping: dict[str, Any] = {}
            for key, part in zip(keys, parts, strict=True):
                value = _value(part, names)
                if key is None:
                    mapping.update(value if isinstance(value, dict) else {})
                elif isinstance(name := _value(key, names), str):
                    mapping[name] = [] if value is _UNKNOWN else value
            return mapping
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _value(left, names), _value(right, names)
            if isinstance(first, str) and isinstance(second, str):
                return first + second
            lists = [side for side in (first, second) if isinstance(side, list)]
            return [one for side in lists for one in side] if lists else _UNKNOWN
        case ast.IfExp(body=body, orelse=other):
            value = _value(body, names)
            return _value(other, names) if value is _UNKNOWN else value
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            made = {keyword.arg: _value(keyword.value, names) for keyword in keywords if keyword.arg}
            return {name: value for name, value in made.items() if value is not _UNKNOWN}
        case ast.Call(func=ast.Name(id="list" | "tuple" | "sorted" | "set"), args=[inner]):
            return _value(inner, names)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="split" | "splitlines")):
            return text.split()
    return _UNKNOWN


def _searched(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "classifiers": re.findall(r"""["'](Programming Language :: Python[^"']*)["']""", text)
    }
    for key in ("name", "version", "python_requires", "test_suite"):
        if match := re.search(rf"""\b{key}\s*=\s*["']([^"']+)["']""", text):
            found[key] = match[1]
    for key in ("install_requires", "tests_require", "setup_requires"):
        if match := re.search(rf"\b{key}\s*=\s*\[(.*?)\]", text, re.DOTALL):
            found[key] = re.findall(r"""["']([^"']+)["']""", match[1])
    return found
