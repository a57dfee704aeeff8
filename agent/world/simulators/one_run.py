"""One run of a blind test as a function's body: fixtures, set-up, the test's cases, tear-down."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Sequence

from agent.world.simulators.scene import Scene

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class CannotEnterError(ValueError):
    """The test cannot be put in this form; the message says why."""


class OneRun:
    """The body of one run: fixtures, set-up, the test, tear-down."""

    def __init__(self, scene: Scene, tree: ast.Module) -> None:
        self.scene, self.tree = scene, tree
        self.old = {old: new for new, old in scene.probed.renamed.items()}
        self.made: dict[str, str] = {}
        self.code: list[str] = []

    def lines(self) -> tuple[list[tuple[int, str]], set[int]]:
        """Its lines, each with the line of the test file that it is from (0: none), and the lines that were
        moved here from the file."""
        chain = [
            self.old.get(name, name) for name in self.scene.probed.test.partition("[")[0].split("::")[1:]
        ]
        targets = [chain] if chain else self.all_tests()
        if not targets:
            return self.script()
        for target in targets:
            self.made.clear()
            self.test(target)
        return [(0, line) for line in self.code], set()

    def all_tests(self) -> list[list[str]]:
        found: list[list[str]] = []
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                found += [[node.name, name] for name in _tests(node.body)]
            else:
                found += [[name] for name in _tests([node])]
        return found

    def test(self, chain: Sequence[str]) -> None:
        scope: Sequence[ast.stmt] = self.tree.body
        owner: ast.ClassDef | None = None
        for name in chain[:-1]:
            owner = next((n for n in scope if isinstance(n, ast.ClassDef) and n.name == name), None)
            if owner is None:
                raise CannotEnterError(f"the class {name} of the test is not in sight")
            scope = owner.body
        functions = (n for n in scope if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
        function = next((n for n in functions if n.name == chain[-1]), None)
        if isinstance(function, ast.AsyncFunctionDef):
            raise CannotEnterError("the test is asynchronous")
        if not isinstance(function, ast.FunctionDef):
            raise CannotEnterError(f"the function {chain[-1]} of the test is not in sight")
        called, after = chain[-1], list[str]()
        for name in ("setup_module", "setup_function"):
            if self.function(name, self.tree.body):
                self.code.append(f"{name}(None)")
        for fixture in self.tree.body:
            if _is_fixture(fixture, autouse=True):
                assert isinstance(fixture, ast.FunctionDef)
                self.fixture(fixture.name, owner)
        if owner is not None:
            called, after = f"case.{chain[-1]}", self.set_up(owner, chain)
        rows = self.cases(function)
        wanted = [
            a.arg for a in [*function.args.posonlyargs, *function.args.args] if a.arg not in ("self", "cls")
        ]
        for row in rows:
            given = [row[name] if name in row else self.fixture(name, owner) for name in wanted]
            self.code.append(f"{called}({', '.join(given)})")
        self.code += after

    def set_up(self, owner: ast.ClassDef, chain: Sequence[str]) -> list[str]:
        """Makes the test's object; what tears it down again."""
        unittest = any("TestCase" in ast.unparse(base) for base in owner.bases)
        made = f"{'.'.join(chain[:-1])}"
        for name in ("setUpClass", "setup_class", "setUpTestData"):
            if self.function(name, owner.body):
                self.code.append(f"{made}.{name}()")
        self.code.append(f"case = {made}({chain[-1]!r})" if unittest else f"case = {made}()")
        for name in ("setUp", "setup_method", "setup"):
            if self.function(name, owner.body):
                self.code.append(f"case.{name}({'None' if self.takes_one(name, owner) else ''})")
        names = ("tearDown", "teardown_method", "teardown")
        ends = [name for name in names if self.function(name, owner.body)]
        return [f"case.{name}({'None' if self.takes_one(name, owner) else ''})" for name in ends]

    def takes_one(self, name: str, owner: ast.ClassDef) -> bool:
        function = self.function(name, owner.body)
        return function is not None and len(function.args.args) > 1

    @staticmethod
    def function(name: str, body: Sequence[ast.stmt]) -> ast.FunctionDef | None:
        return next((n for n in body if isinstance(n, ast.FunctionDef) and n.name == name), None)

    def fixture(self, name: str, owner: ast.ClassDef | None) -> str:
        """The name of a local that holds what a fixture gives; each is made once a run."""
        if name in self.made:
            return self.made[name]
        known = [*(owner.body if owner else []), *self.tree.body]
        found = next((n for n in known if _is_fixture(n) and getattr(n, "name", "") == name), None)
        if not isinstance(found, ast.FunctionDef):
            raise CannotEnterError(f"the fixture {name} is not in the test's file")
        method = owner is not None and found in owner.body
        arguments = [
            self.fixture(a.arg, owner) for a in found.args.args if not (method and a.arg in ("self", "cls"))
        ]
        call = f"{'case.' if method else ''}{name}({', '.join(arguments)})"
        yields = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(found))
        self.made[name] = f"{name}_value"
        self.code.append(f"{name}_value = {f'next({call})' if yields else call}")
        return self.made[name]

    def cases(self, function: ast.FunctionDef) -> list[dict[str, str]]:
        """Parameter → text of its value, one a case that is in sight."""
        marks = [
            d
            for d in function.decorator_list
            if isinstance(d, ast.Call) and ast.unparse(d.func).endswith("parametrize")
        ]
        rows: list[dict[str, str]] = [{}]
        for mark in marks:
            if len(mark.args) < 2 or not isinstance(mark.args[1], (ast.List, ast.Tuple)):
                raise CannotEnterError("the cases of the test are not written where it is")
            if len(mark.args) > 2 or any(k.arg == "indirect" for k in mark.keywords):
                raise CannotEnterError("the cases of the test go through a fixture")
            names = _case_names(mark.args[0])
            shown = [row for row in mark.args[1].elts if not _withheld(row)]
            if not shown or (len(shown) > 1 and "[" in self.scene.probed.test):
                raise CannotEnterError("which case of the test is meant cannot be seen")
            rows = [row | _case(names, values) for row in rows for values in shown]
        return rows

    def script(self) -> tuple[list[tuple[int, str]], set[int]]:
        """A script: what it does, indented; what it defines stays where it is."""
        moved: set[int] = set()
        for node in self.tree.body:
            keeps = isinstance(node, (*DEFINITIONS, ast.Import, ast.ImportFrom))
            constant = isinstance(node, ast.Assign) and not any(
                isinstance(n, ast.Call) for n in ast.walk(node)
            )
            if not keeps and not constant:
                moved |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if not moved:
            raise CannotEnterError("the test's file does nothing when it is run")
        text = self.scene.probed.blind
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING and token.start[0] != token.end[0] and token.start[0] in moved:
                raise CannotEnterError("the script has texts of several lines")
        lines = text.splitlines()
        return [(n, lines[n - 1]) for n in sorted(moved) if lines[n - 1].strip()], moved


def _tests(body: Sequence[ast.stmt]) -> list[str]:
    functions = [n for n in body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [function.name for function in functions if function.name.startswith("test")]


def _is_fixture(node: ast.stmt, *, autouse: bool = False) -> bool:
    if not isinstance(node, ast.FunctionDef):
        return False
    marks = [ast.unparse(d) for d in node.decorator_list]
    return any("fixture" in mark and (not autouse or "autouse" in mark) for mark in marks)


def _withheld(node: ast.expr) -> bool:
    """Whether a case is not in sight: nothing of it but ``...``."""
    values = node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
    if isinstance(node, ast.Call):
        values = node.args
    return bool(values) and all(isinstance(v, ast.Constant) and v.value is ... for v in values)


def _case_names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant):
        return [name.strip() for name in str(node.value).split(",") if name.strip()]
    elements = node.elts if isinstance(node, (ast.Tuple, ast.List)) else []
    return [str(n.value) for n in elements if isinstance(n, ast.Constant)]


def _case(names: Sequence[str], node: ast.expr) -> dict[str, str]:
    values = [node]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("param"):
        values = node.args
    elif len(names) > 1 and isinstance(node, (ast.Tuple, ast.List)):
        values = node.elts
    if len(values) != len(names):
        raise CannotEnterError("a case of the test has not as many values as names")
    return dict(zip(names, map(ast.unparse, values), strict=True))
