# ruff: noqa: UP006, UP020, UP035
"""Make every test of some files fail after it ran: copied into a sandbox, run there as a script.

``python -I -S control_edit.py NAME OUT FILE…``: each test function gets the decorator ``NAME``, which
runs the test and then raises AssertionError, unless assertions assert nothing any more: then a passed test
shows it. OUT gets one JSON object a file: ``file``, and ``tests``,
each ``[qualified name, first line of its docstring, whether its source speaks of xfail]``. A file that
cannot be changed safely stays as it is, and its object has no tests. Standard library only, Python 3.6+.
"""

import ast
import io
import json
import re
import sys
from typing import Any, Dict, Iterator, List, Sequence, Tuple

DECORATOR = """\
def {name}_plain():
    assert {name}_plain is None


def {name}_idle(owner):
    import sys
    import unittest

    checks = [{name}_plain]
    if "pytest" in sys.modules:
        checks.append(lambda: sys.modules["pytest"].raises(KeyError, list))
    if isinstance(owner, unittest.TestCase):
        checks += [
            lambda: owner.assertEqual(0, 1),
            lambda: owner.assertNotEqual(0, 0),
            lambda: owner.assertTrue(False),
            lambda: owner.assertFalse(True),
            lambda: owner.assertIs(0, None),
            lambda: owner.assertIsNone(0),
            lambda: owner.assertIn(0, ()),
            lambda: owner.assertIsInstance(0, str),
            lambda: owner.assertRaises(KeyError, list),
            lambda: owner.fail(),
        ]
    for check in checks:
        try:
            check()
        except BaseException:
            continue
        return True
    return False


def {name}(function):
    import functools
    import inspect

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run(*args, **kwargs):
            try:
                await function(*args, **kwargs)
            finally:
                if not {name}_idle(args[0] if args else None):
                    raise AssertionError
    else:

        @functools.wraps(function)
        def run(*args, **kwargs):
            try:
                function(*args, **kwargs)
            finally:
                if not {name}_idle(args[0] if args else None):
                    raise AssertionError

    return run


"""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def functions(body: Sequence[ast.stmt], prefix: str) -> Iterator[Tuple[str, Any]]:
    """(qualified name, node) of each test function of a module or class; not those inside functions."""
    for node in body:
        if isinstance(node, FUNCTIONS):
            if node.name.startswith("test"):
                yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, prefix + node.name + ".")
        else:
            for inner in ("body", "orelse", "finalbody"):
                block = getattr(node, inner, None)
                if isinstance(block, list):
                    yield from functions(block, prefix)
            for handler in getattr(node, "handlers", ()):
                yield from functions(handler.body, prefix)


def first_line(node: Any) -> int:
    """The line of the first decorator, or of the statement itself."""
    first: int = min([node.lineno] + [d.lineno for d in getattr(node, "decorator_list", ())])
    return first


def edited(text: str, name: str) -> Tuple[str, List[Any]]:
    """The changed text, and what was changed in it."""
    tree = ast.parse(text)
    lines = text.split("\n")
    module_wide = "xfail" in " ".join(line for line in lines if re.match(r"\s*pytestmark\b", line))
    found = []
    before: Dict[int, str] = {}
    for qualified, node in functions(tree.body, ""):
        head = re.compile(r"(\s*)(async\s+)?def\s+" + re.escape(node.name) + r"\b")
        last = max(node.body[0].lineno, node.lineno)
        heads = ((n, head.match(lines[n])) for n in range(node.lineno - 1, last))
        at, match = next(((n, m) for n, m in heads if m), (0, None))
        if match is None or at in before:
            continue
        before[at] = match.group(1) + "@" + name
        source = "\n".join(lines[first_line(node) - 1 : last_line(node)]).lower()
        doc = (ast.get_docstring(node) or "").split("\n")[0].strip()
        found.append([qualified, doc, module_wide or "xfail" in source])
    after_head = next((s for s in tree.body if not belongs_first(s)), None)
    top = first_line(after_head) - 1 if after_head is not None else len(lines)
    out = []
    for number, line in enumerate(lines):
        if number == top:
            out.append(DECORATOR.format(name=name))
        if number in before:
            out.append(before[number])
        out.append(line)
    changed = "\n".join(out)
    compile(changed, "changed", "exec", dont_inherit=True)
    return changed, found


def last_line(node: ast.AST) -> int:
    """Where a function ends, at least as far as its last statement begins."""
    return max(getattr(inner, "lineno", 0) for inner in ast.walk(node))


def belongs_first(node: ast.stmt) -> bool:
    """A docstring and imports from __future__ stay ahead of everything."""
    if isinstance(node, ast.Expr):
        return type(node.value).__name__ in ("Str", "Constant")  # Str: before 3.8
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def main(name: str, out: str, files: Sequence[str]) -> None:
    with io.open(out, "w", encoding="utf-8") as record:
        for path in files:
            tests: List[Any] = []
            try:
                with io.open(path, encoding="utf-8", newline="") as stream:
                    text = stream.read()
                changed, tests = edited(text.replace("\r\n", "\n"), name)
                if tests:
                    with io.open(path, "w", encoding="utf-8", newline="") as stream:
                        stream.write(changed)
            except (OSError, ValueError, SyntaxError, RecursionError):
                tests = []
            record.write(json.dumps({"file": path, "tests": tests}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
