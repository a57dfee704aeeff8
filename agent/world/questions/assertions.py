"""What a test asserts: which expressions to ask about, and the predicate that their values must meet."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from agent.world.predicate import PredicateError, check_predicate
from agent.world.questions.asserters import RAISES, WARNS, asserted, is_asserter
from agent.world.questions.cases import Cases
from agent.world.questions.conditions import Conditions
from agent.world.questions.dataflow import CASE, LITERAL, Flow, last_name
from agent.world.questions.operands import Asked, Assertion, called, is_plain

_HELPER = re.compile(r"(check|verify|expect|compare|ensure|should)(?=_|[A-Z]|$)")
_FAILURES = {"AssertionError", "Exception", "BaseException", "failureException"}
_FAILS = {"fail", "AssertionError", "failureException"}


class Reader:
    """Reads the assertions of a file in order. ``own``: names of functions that the file defines itself."""

    def __init__(self, flow: Flow, cases: Cases) -> None:
        self.flow, self.cases = flow, cases
        self.conditions = Conditions(flow)
        self.own = {function.name for function in flow.functions}
        self.unmasked: list[str] = []
        """What of the test's own branches tells what is expected."""

    def read(self, body: Sequence[ast.stmt]) -> Iterator[Assertion]:
        """The assertions in a body and in the blocks and functions nested in it."""
        for number, statement in enumerate(body):
            found = self._statement(statement)
            if found is not None and is_failure(statement):
                self._note_exits(body[:number])
            if found is not None:
                yield found
                if isinstance(statement, ast.If):
                    continue
            blocks = []
            if isinstance(statement, (ast.With, ast.AsyncWith)):
                found_blocks = [self._block(item, statement) for item in statement.items]
                blocks = [made for made in found_blocks if made is not None]
            inner = list(self.read(getattr(statement, "body", [])))
            if inner and _catches_failures(statement):
                for made in [*blocks, *inner]:
                    made.predicate = ""
                    made.unjudged.append("a failed assertion is caught there")
            yield from (*blocks, *inner)
            for name in ("orelse", "finalbody"):
                yield from self.read(getattr(statement, name, []))
            for handler in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
                yield from self.read(handler.body)
            self._note_branches(statement)

    # -- statements

    def _statement(self, node: ast.stmt) -> Assertion | None:
        if is_failure(node):
            return self._never(node)
        if isinstance(node, ast.Assert):
            return self._of_truth(node, node.test)
        if isinstance(node, ast.If) and not node.orelse and len(node.body) == 1 and is_failure(node.body[0]):
            return self._of_truth(node, ast.UnaryOp(ast.Not(), node.test))
        if isinstance(node, ast.Expr):
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(call, ast.Call):
                return self._call(node, call)
        return None

    def _never(self, node: ast.stmt) -> Assertion:
        """``self.fail()``: a line that must not be reached."""
        made = Assertion(node, node, kind="never", predicate="never()")
        self.conditions.count += 1
        made.asked.append(Asked(f"p{self.conditions.count}", ast.Constant("reached")))
        return made

    def _of_truth(self, node: ast.stmt, test: ast.expr) -> Assertion:
        made = Assertion(node, node)
        return self._finish(made, self.conditions.truth(test, made))

    def _call(self, node: ast.stmt, call: ast.Call) -> Assertion | None:
        name = last_name(call.func)
        made = Assertion(node, node)
        if name in RAISES | {"assert_raises", "assert_raises_regex"} and len(call.args) >= 2:
            skipped = 2 if "Regex" in name or "Message" in name or "regex" in name else 1
            if len(call.args) > skipped:
                made.call = ast.Call(call.args[skipped], call.args[skipped + 1 :], call.keywords)
                return self._raising(made, call)
            return None
        if name in WARNS and len(call.args) >= 2 and isinstance(call.func, ast.Attribute):
            skipped = 2 if "Regex" in name or "Message" in name else 1
            if len(call.args) > skipped:
                made.call = ast.Call(call.args[skipped], call.args[skipped + 1 :], call.keywords)
                return self._raising(made, call, kind="warns")
        if name in ("match", "group_contains") and self._is_caught(call):
            return self._matching(made, call)
        if _is_fluent(call):
            made.unjudged.append(f"`{ast.unparse(call.func)}` is hidden and not asked about")
            return made
        if not is_asserter(name) or name in self.own:
            self._note_helper(name, call)
            return None
        predicate = asserted(call, made, self.conditions)
        if predicate is None:
            made.unjudged.append(f"`{name}` is hidden and not asked about")
            made.asked.clear()
            return made
        return self._finish(made, predicate)

    def _note_helper(self, name: str, call: ast.Call) -> None:
        """A function of another file that may assert, by its name, and is given constants."""
        constants = [c for a in call.args for c in ast.walk(a) if isinstance(c, ast.Constant)]
        if name not in self.own and _HELPER.match(name) and not all(map(is_plain, constants)):
            self.unmasked.append(f"line {call.lineno}: `{name}` may assert, and what it is given is in sight")

    def _is_caught(self, call: ast.Call) -> bool:
        """``excinfo.match(...)``, where ``with raises(...) as excinfo`` is somewhere in the file."""
        value = call.func.value if isinstance(call.func, ast.Attribute) else None
        return isinstance(value, ast.Name) and any(
            isinstance(item, ast.withitem)
            and isinstance(item.optional_vars, ast.Name)
            and item.optional_vars.id == value.id
            and isinstance(item.context_expr, ast.Call)
            and last_name(item.context_expr.func) in RAISES
            for item in self.flow.nodes
        )

    def _matching(self, made: Assertion, call: ast.Call) -> Assertion | None:
        assert isinstance(call.func, ast.Attribute)
        if len(call.args) != 1 or self.flow.rank(call.args[0]) != LITERAL:
            return None
        text = called("str", ast.Attribute(call.func.value, "value", ast.Load()))
        asked = self.conditions.ask(text, made)
        return self._finish(made, called("matches", asked, self.conditions.expected(call.args[0])))

    # -- blocks

    def _block(self, item: ast.withitem, statement: ast.stmt) -> Assertion | None:
        call = item.context_expr
        if not isinstance(call, ast.Call):
            return None
        name = last_name(call.func)
        made = Assertion(item, statement)
        if name in RAISES or name in ("assert_raises", "assert_raises_regex"):
            return self._raising(made, call)
        if name in WARNS or name == "assert_warns":
            return self._raising(made, call, kind="warns")
        if is_asserter(name) and name not in self.own:
            made.unjudged.append(f"`{name}` is hidden and not asked about")
            return made
        return None

    def _raising(self, made: Assertion, call: ast.Call, kind: str = "raises") -> Assertion:
        """``raises(E, match=...)``, with the message that is searched for, as the harness judges it."""
        made.kind = kind
        name = last_name(call.func)
        given = {keyword.arg: keyword.value for keyword in call.keywords if made.call is None}
        kinds = call.args[0] if call.args else given.get("expected_exception") or given.get("exception")
        if name == "deprecated_call":
            kinds = ast.Tuple(
                [
                    ast.Name(n, ast.Load())
                    for n in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
                ],
                ast.Load(),
            )
        elif kind == "warns" and kinds is None:
            kinds = ast.Name("Warning", ast.Load())
        pattern = given.get("match") or given.get("expected_regex") or given.get("expected_message")
        contains = "Message" in name
        if pattern is None and len(call.args) > 1 and ("Regex" in name or "regex" in name or contains):
            pattern = call.args[1]
        self.conditions.count += 1
        made.asked.append(Asked(f"p{self.conditions.count}", kinds or ast.Constant(None)))
        binding = self.flow.binding(kinds) if isinstance(kinds, ast.Name) else None
        if binding is not None and not binding.group:
            kinds = binding.nodes[0]
        names = [
            last_name(k) for k in (kinds.elts if isinstance(kinds, ast.Tuple) else [kinds] if kinds else [])
        ]
        if not names or not all(names) or (binding is not None and binding.group):
            made.unjudged.append("which exception is meant can't be seen")
            return made
        keywords = []
        if pattern is not None and not (isinstance(pattern, ast.Constant) and pattern.value is None):
            text = self.conditions.expected(pattern)
            if not isinstance(text, ast.Constant):
                # The class is judged still: a wrong one breaks it.
                made.unjudged.append(f"the message `{ast.unparse(pattern)}` is not a constant")
                text = ast.Name("unknown", ast.Load())
            keywords = [ast.keyword("contains" if contains else "match", text)]
        found = ast.Call(ast.Name(kind, ast.Load()), [ast.Name(one, ast.Load()) for one in names], keywords)
        return self._finish(made, found)

    def _note_exits(self, before: Sequence[ast.stmt]) -> None:
        """Where a failure comes last, what returns before it tells what is expected."""
        for statement in before:
            leaves = any(isinstance(n, (ast.Return, ast.Break, ast.Continue)) for n in ast.walk(statement))
            if leaves and any(_compares_constants(n) for n in ast.walk(statement)):
                self.unmasked.append(f"line {statement.lineno}: the way around a failure stays in sight")

    def _note_branches(self, node: ast.stmt) -> None:
        """Neither ``try: ... except E: pass else: fail()`` nor ``if x: ... else: fail()`` can be masked."""
        if isinstance(node, ast.Try) and node.handlers:
            if any(is_failure(s) for s in [*node.body[-1:], *node.orelse]):
                line = node.handlers[0].lineno
                self.unmasked.append(f"line {line}: `except` tells which exception is expected")
        elif isinstance(node, (ast.If, ast.Match)) and _tells(node):
            self.unmasked.append(f"line {node.lineno}: the condition of a failure stays in sight")

    # -- predicates

    def _finish(self, made: Assertion, predicate: ast.expr) -> Assertion:
        """Check the predicate, and say by ``case`` which value of a loop or of ``parametrize`` is meant."""
        groups = dict.fromkeys(
            n.id.removeprefix(CASE)
            for n in ast.walk(predicate)
            if isinstance(n, ast.Name) and n.id.startswith(CASE)
        )
        if groups:
            inside: ast.AST = made.loop.elt if made.loop is not None else made.statement
            axes = self.cases.axes(inside)
            known = [axis.group for axis in axes]
            if not set(groups) <= set(known):
                made.unjudged.append("which case it is reached in can't be told")
                return made
            used = axes[: max(known.index(group) for group in groups) + 1]
            indices: dict[str, ast.expr] = {}
            step = 1
            for number, axis in enumerate(used):
                index: ast.expr = ast.Name("case", ast.Load())
                if step > 1:
                    index = ast.BinOp(index, ast.FloorDiv(), ast.Constant(step))
                if number < len(used) - 1:
                    index = ast.BinOp(index, ast.Mod(), ast.Constant(axis.size))
                indices[CASE + axis.group] = index
                step *= axis.size
            predicate = _Resolved(indices).visit(predicate)
            made.cases = step
        quantified = isinstance(predicate, ast.Call) and last_name(predicate.func) == "any"
        if quantified and (self.cases.axes(made.statement) or self._is_repeated(made.statement)):
            made.unjudged.append("`any` in a loop: which items belong together can't be told")
            return made
        try:
            check_predicate(predicate)
            made.predicate = ast.unparse(ast.fix_missing_locations(ast.Expression(predicate)))
        except (PredicateError, ValueError, RecursionError, AttributeError) as error:
            made.unjudged.append(f"its condition is not one that the harness can judge: {error}")
        return made

    def _is_repeated(self, node: ast.AST) -> bool:
        """Whether a statement may run more than once in a run of the test."""
        current: ast.AST | None = node
        while current is not None:
            current = self.flow.parents.get(id(current))
            if isinstance(current, (ast.For, ast.AsyncFor, ast.While)):
                return True
            if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return not current.name.startswith("test") and len(self.cases.sites.get(id(current), [])) != 1
        return False


class _Resolved(ast.NodeTransformer):
    def __init__(self, indices: dict[str, ast.expr]) -> None:
        self.indices = indices

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.indices.get(node.id, node)


def _is_fluent(call: ast.Call) -> bool:
    """``assert_that(f(x)).is_equal_to(3)``, ``expect(f(x)).to.equal(3)``, ``f(x).should.equal(3)``."""
    node: ast.expr = call.func
    while isinstance(node, (ast.Attribute, ast.Call)):
        if isinstance(node, ast.Attribute) and node.attr == "should":
            return True
        if isinstance(node, ast.Call) and last_name(node.func) in ("assert_that", "assertThat", "expect"):
            return True
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return False


def _tells(node: ast.If | ast.Match) -> bool:
    """Whether a branch fails the test, on a condition that compares with a constant."""
    bodies = [node.body, node.orelse] if isinstance(node, ast.If) else [case.body for case in node.cases]
    if not any(is_failure(s) for body in bodies for s in body[-1:]):
        return False
    if isinstance(node, ast.Match):
        return True
    return any(_compares_constants(part) for part in ast.walk(node.test))


def _compares_constants(node: ast.AST) -> bool:
    operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
    return any(isinstance(operand, ast.Constant) and not is_plain(operand) for operand in operands)


def _catches_failures(node: ast.stmt) -> bool:
    """Whether a failed assertion in a block does not fail the test: ``raises(AssertionError)``, or a handler
    that does not raise again."""
    caught: list[ast.expr | None] = []
    if isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and last_name(call.func) in RAISES | {"suppress", "assert_raises"}:
                caught += call.args
    elif isinstance(node, ast.Try):
        for handler in node.handlers:
            statements = [n for n in ast.walk(handler) if isinstance(n, ast.stmt)]
            if not any(isinstance(n, ast.Raise) or is_failure(n) for n in statements):
                caught.append(handler.type)
    names = {last_name(n) for kind in caught if kind for n in ast.walk(kind) if isinstance(n, ast.expr)}
    return None in caught or bool(names & _FAILURES)


def is_failure(node: ast.stmt) -> bool:
    """Whether a statement does nothing but fail the test: ``raise AssertionError``, ``pytest.fail(...)``,
    ``assert False``."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return last_name(what) in _FAILS
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and last_name(node.value.func) == "fail"
    )
