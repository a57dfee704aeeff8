"""What of a file one of its tests can reach: itself, its classes, and the helpers and values it names."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SETUPS = {
    "setUp", "tearDown", "setUpClass", "tearDownClass", "setup_method", "teardown_method", "setup_class",
    "teardown_class", "setup", "teardown", "setUpTestData", "setup_module", "teardown_module",
    "setup_function", "teardown_function", "setUpModule", "tearDownModule", "asyncSetUp", "asyncTearDown",
    "__init__",
}  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """The part of a module that a test can reach.

    ``tree`` holds the kept statements, on their lines. ``chain``: the classes and the function that the
    node id names, outermost first; empty for a whole file. ``dropped``: the statements that are left out.
    """

    tree: ast.Module
    chain: tuple[ast.stmt, ...] = ()
    dropped: tuple[ast.stmt, ...] = ()
    emptied: tuple[ast.ClassDef, ...] = ()
    """Base classes of which nothing is left, as the file has them."""

    @property
    def target(self) -> ast.stmt | None:
        """The test itself, None for a whole file."""
        return self.chain[-1] if self.chain else None


def reached(tree: ast.Module, names: Sequence[str]) -> Reach:
    """What the test ``names`` (``["TestCart", "test_total"]``) reaches; all for no names or unknown ones.

    A method that a class inherits from another class of the file is found there.
    """
    chain = _find(tree, names)
    if not chain:
        return Reach(tree)
    return _Pruner(tree, chain).pruned()


def _find(tree: ast.Module, names: Sequence[str]) -> list[ast.stmt]:
    chain: list[ast.stmt] = []
    body: Sequence[ast.stmt] = tree.body
    for name in names:
        found = _defined(body, name)
        if found is None and chain and isinstance(chain[-1], ast.ClassDef):
            for base in _bases(tree, chain[-1]):
                found = found or _defined(base.body, name)
                if found is not None:
                    chain.append(base)
                    break
        if found is None:
            return []
        chain.append(found)
        body = found.body
    return chain


def _defined(
    body: Sequence[ast.stmt], name: str
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    found = [
        node
        for top in body
        for node in _with_blocks(top)
        if isinstance(node, DEFINITIONS) and node.name == name
    ]
    return found[-1] if found else None


def _with_blocks(node: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and, where it is a condition, what stands in it: tests are defined under ``if`` too."""
    yield node
    if isinstance(node, (ast.If, ast.Try)):
        for child in [*node.body, *node.orelse]:
            yield from _with_blocks(child)


def _bases(tree: ast.Module, node: ast.ClassDef, depth: int = 0) -> Iterator[ast.ClassDef]:
    """The base classes that the file defines, the nearest first."""
    for base in node.bases if depth < 20 else []:
        found = _defined(tree.body, base.id) if isinstance(base, ast.Name) else None
        if isinstance(found, ast.ClassDef) and found is not node:
            yield found
            yield from _bases(tree, found, depth + 1)


class _Pruner:
    def __init__(self, tree: ast.Module, chain: list[ast.stmt]) -> None:
        self.tree, self.chain, self.target = tree, chain, chain[-1]
        self.opened = [node for node in chain if isinstance(node, ast.ClassDef) and node is not self.target]
        for node in list(self.opened):
            self.opened += [base for base in _bases(tree, node) if base not in self.opened]
        self.names: dict[int, set[str]] = {}

    def pruned(self) -> Reach:
        bodies = [self.tree.body, *(c.body for c in self.opened)]
        whole = {id(n) for n in (*self.chain, *self.opened)}
        candidates = [s for body in bodies for s in body if id(s) not in whole]
        around = [
            n for top in self.tree.body if _holds(top, self.target) for n in (top,) if n not in self.chain
        ]
        kept = {id(s) for s in around}
        used = _Used()
        used.add(self.target)
        for node in self.opened:
            for part in (*node.decorator_list, *node.bases):
                used.add(part)
        waiting = [s for s in candidates if id(s) not in kept]
        while True:
            found = [s for s in waiting if self._wanted(s, used)]
            if not found:
                break
            kept |= {id(s) for s in found}
            waiting = [s for s in waiting if id(s) not in kept]
            for statement in found:
                used.add(statement)
        swapped: dict[int, ast.stmt] = {}
        emptied: list[ast.ClassDef] = []
        for node in reversed(self.opened):
            body = [swapped.get(id(s), s) for s in node.body if id(s) in kept | whole]
            if not body:
                emptied.append(node)
            copy = ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
            swapped[id(node)] = ast.copy_location(copy, node)
        top = [swapped.get(id(s), s) for s in self.tree.body if id(s) in kept | whole]
        chain = tuple(swapped.get(id(s), s) for s in self.chain)
        return Reach(ast.Module(top, []), chain, tuple(waiting), tuple(emptied))

    def _wanted(self, statement: ast.stmt, used: _Used) -> bool:
        names = used.names if statement in self.tree.body else used.attributes | used.names
        if isinstance(statement, DEFINITIONS):
            if is_fixture(statement):
                return statement.name in used.fixtures or _is_autouse(statement)
            return statement.name in names or statement.name in _SETUPS
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            return True
        if isinstance(statement, (ast.If, ast.Try)) and any(
            isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(statement)
        ):
            return True
        if id(statement) not in self.names:
            self.names[id(statement)] = {
                n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            } | {n.name for n in ast.walk(statement) if isinstance(n, DEFINITIONS)}
        bound = self.names[id(statement)]
        simple = isinstance(
            statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.Try, ast.With, ast.For)
        )
        return simple and bool(bound & (names | {"pytestmark"}))


def _holds(top: ast.stmt, target: ast.stmt) -> bool:
    return any(node is target for node in _with_blocks(top))


def _is_autouse(node: ast.stmt) -> bool:
    return any(
        "fixture" in text and "autouse" in text
        for text in (ast.unparse(d) for d in getattr(node, "decorator_list", []) if isinstance(d, ast.Call))
    )


def is_fixture(node: ast.stmt) -> bool:
    """Whether a function is one of pytest's fixtures."""
    return any("fixture" in ast.unparse(decorator) for decorator in getattr(node, "decorator_list", []))


def imported_files(source: str) -> list[str]:
    """Where the modules that a file imports may lie in a repository, relative to its root; not those of
    relative imports."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    modules: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules[node.module] = None
    paths = [
        name.replace(".", "/") for name in modules if name.partition(".")[0] not in sys.stdlib_module_names
    ]
    return [
        f"{root}{path}{end}" for path in paths for root in ("", "src/") for end in (".py", "/__init__.py")
    ]


class _Used:
    """Every name that nodes may look up: as a name, as an attribute, or as a fixture."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.fixtures: set[str] = set()

    def add(self, node: ast.AST) -> None:
        """Add what a node and all in it look up."""
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                self.names.add(child.id)
            elif isinstance(child, ast.Attribute):
                self.attributes.add(child.attr)
            elif isinstance(child, ast.arg):
                self.fixtures.add(child.arg)
            elif isinstance(child, ast.Call) and re.search(
                r"usefixtures|getfixturevalue|parametrize", ast.unparse(child.func)
            ):
                texts = [a.value for a in ast.walk(child) if isinstance(a, ast.Constant)]
                self.fixtures |= {word for t in texts if isinstance(t, str) for word in re.findall(r"\w+", t)}
