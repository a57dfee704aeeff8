"""What a condition asks: the expressions that have to be run, and a predicate over their values."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from agent.world.predicate import TYPES
from agent.world.questions.dataflow import COMPUTED, LITERAL, call_name, last_name
from agent.world.questions.operands import Assertion, Operands, called, constants, is_plain


class Conditions(Operands):
    """Reads conditions: what makes one true, as a predicate."""

    def truth(self, node: ast.expr, made: Assertion, *, negated: bool = False) -> ast.expr:
        """The predicate for "this is true" (or, ``negated``, for "this is not true")."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.truth(node.operand, made, negated=not negated)
        found: ast.expr | None = None
        if isinstance(node, ast.BoolOp):
            found = self._logic(node.op, node.values, made)
        elif isinstance(node, ast.Compare):
            found = self.comparison([node.left, *node.comparators], node.ops, made)
        elif isinstance(node, ast.Call):
            quantified = self._quantified(node, made, negated)
            if quantified is not None:
                return quantified
            found = self._known_call(node, made)
        if found is None and self.flow.rank(node) == LITERAL:
            found = self.expected(node)
        if found is None:
            self._note_answer(node, made)
            found = self.ask(node, made)
        return ast.UnaryOp(ast.Not(), found) if negated else found

    def _logic(self, op: ast.boolop, values: Sequence[ast.expr], made: Assertion) -> ast.expr:
        parts = [self.truth(values[0], made)]
        self._lazy += 1
        parts += [self.truth(value, made) for value in values[1:]]
        self._lazy -= 1
        return ast.BoolOp(op, parts) if len(parts) > 1 else parts[0]

    def _note_answer(self, node: ast.expr, made: Assertion) -> None:
        """A call whose truth is asked for, on the result of another call, with constants beside it: they may
        be the answer."""
        if isinstance(node, ast.Call):
            parts = [*node.args, *(k.value for k in node.keywords)]
            if isinstance(node.func, ast.Attribute):
                parts.append(node.func.value)
            constant = any(self.flow.rank(p) < COMPUTED and not is_plain(p) for p in parts)
            compared = any(isinstance(child, ast.Compare) for part in parts for child in ast.walk(part))
            constant = constant or (compared and not all(map(is_plain, constants(node))))
            if constant and any(self._is_result(part) for part in parts):
                made.leaks.append(
                    f"the truth of `{ast.unparse(node)}` is asked for with its constants in sight"
                )
        elif not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Await)) and any(
            isinstance(child, ast.Constant) and not is_plain(child) for child in ast.walk(node)
        ):
            made.leaks.append(f"the truth of `{ast.unparse(node)}` is asked for with its constants in sight")

    def _is_result(self, node: ast.expr) -> bool:
        """Whether a value comes from a call that is not a constructor: what is under test, most likely."""
        if isinstance(node, ast.Await):
            return True
        if isinstance(node, ast.Name):
            binding = self.flow.binding(node)
            return binding is not None and any(self._is_result(n) for n in binding.nodes if n is not node)
        return any(
            isinstance(child, ast.Call) and not last_name(child.func)[:1].isupper()
            for child in ast.walk(node)
        )

    def _quantified(self, node: ast.Call, made: Assertion, negated: bool) -> ast.expr | None:
        """``all`` and ``any``: over a display, logic; over a comprehension, one question an item."""
        name = last_name(node.func)
        if name not in ("all", "any") or not isinstance(node.func, ast.Name) or len(node.args) != 1:
            return None
        items = node.args[0]
        if isinstance(items, (ast.List, ast.Tuple)) and items.elts:
            if any(isinstance(item, ast.Starred) for item in items.elts):
                return None
            found = self._logic(ast.And() if name == "all" else ast.Or(), items.elts, made)
            for asked in made.asked:  # a display evaluates all of its items
                asked.lazy = False
            return ast.UnaryOp(ast.Not(), found) if negated else found
        simple = isinstance(items, (ast.GeneratorExp, ast.ListComp)) and isinstance(
            items.elt, (ast.Compare, ast.Call, ast.BoolOp, ast.UnaryOp)
        )
        if not simple or made.asked or not _is_whole(made.node, node):
            return None
        assert isinstance(items, (ast.GeneratorExp, ast.ListComp))
        if any(isinstance(child, (ast.Await, ast.Yield, ast.NamedExpr)) for child in ast.walk(items)):
            return None
        made.loop = items
        found = self.truth(items.elt, made, negated=negated)
        return found if (name == "all") != negated else called("any", found)

    def _known_call(self, node: ast.Call, made: Assertion) -> ast.expr | None:
        """Calls whose truth the harness can work out from their operands."""
        name, arguments = last_name(node.func), node.args
        if any(isinstance(argument, ast.Starred) for argument in arguments):
            return None
        if isinstance(node.func, ast.Name) and name == "isinstance" and len(arguments) == 2:
            return self.instance(arguments[0], arguments[1], made)
        if isinstance(node.func, ast.Name) and name == "bool" and len(arguments) == 1:
            return self.truth(arguments[0], made)
        array = self._array_comparison(node)
        if array is not None:
            left, right = self.operands([array.left, array.comparators[0]], made)
            return ast.Compare(called("items", left), [ast.Eq()], [called("items", right)])
        if isinstance(node.func, ast.Attribute) and not node.keywords and len(arguments) == 1:
            return self._method(name, node.func.value, arguments[0], made)
        if ast.unparse(node.func) in ("re.search", "re.match", "re.fullmatch") and not node.keywords:
            return self._searched(name, arguments, made)
        if name in ("isclose", "allclose", "array_equal") and len(arguments) >= 2:
            return self._close(node, made)
        return None

    def _method(self, name: str, value: ast.expr, argument: ast.expr, made: Assertion) -> ast.expr | None:
        """``f(x).startswith("a")``, ``{1, 2}.issubset(f(x))``."""
        ranks = (self.flow.rank(value), self.flow.rank(argument))
        sets = name in ("issubset", "issuperset", "isdisjoint")
        if ranks == (COMPUTED, LITERAL) and (sets or name in ("startswith", "endswith")):
            return called(name, self.ask(value, made), self.expected(argument))
        if ranks == (LITERAL, COMPUTED) and sets:
            return called(name, self.expected(value), self.ask(argument, made))
        return None

    def _array_comparison(self, node: ast.Call) -> ast.Compare | None:
        """What is compared in ``(f(x) == [1, 2]).all()`` and ``np.all(f(x) == [1, 2])``."""
        if not (isinstance(node.func, ast.Attribute) and node.func.attr == "all") or node.keywords:
            return None
        inner = node.args[0] if len(node.args) == 1 else node.func.value
        alone = isinstance(inner, ast.Compare) and len(node.args) < 2 and len(inner.ops) == 1
        return (
            inner if alone and isinstance(inner, ast.Compare) and isinstance(inner.ops[0], ast.Eq) else None
        )

    def _searched(self, name: str, arguments: list[ast.expr], made: Assertion) -> ast.expr | None:
        """``re.search("a+", f(x))``."""
        if [self.flow.rank(argument) for argument in arguments] != [LITERAL, COMPUTED]:
            return None
        pattern = self.expected(arguments[0])
        if name != "search":
            end = r")\Z" if name == "fullmatch" else ")"
            pattern = ast.BinOp(ast.Constant(r"\A(?:"), ast.Add(), pattern)
            pattern = ast.BinOp(pattern, ast.Add(), ast.Constant(end))
        return called("matches", self.ask(arguments[1], made), pattern)

    def _close(self, node: ast.Call, made: Assertion) -> ast.expr | None:
        """``math.isclose``, ``numpy.isclose``, ``numpy.allclose`` and ``numpy.array_equal``."""
        name = last_name(node.func)
        if name == "isclose" and call_name(node) != "isclose":
            name = "allclose"
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        known = {"isclose": ("rel_tol", "abs_tol"), "allclose": ("rtol", "atol"), "array_equal": ()}[name]
        if not all(key in known and self.flow.rank(value) == LITERAL for key, value in options.items()):
            return None
        left, right = self.operands(node.args[:2], made)
        if name == "array_equal":
            return ast.Compare(called("items", left), [ast.Eq()], [called("items", right)])
        keywords = [ast.keyword(key, self.expected(value)) for key, value in options.items()]
        return ast.Call(ast.Name(name, ast.Load()), [left, right], keywords)

    def instance(self, value: ast.expr, kind: ast.expr, made: Assertion) -> ast.expr:
        """``isinstance(value, kind)``, as far as the classes are named."""
        types = self._types(kind)
        if types is None:
            made.unjudged.append(f"the type `{ast.unparse(kind)}` is not known to the harness")
            return ast.BoolOp(ast.And(), [self.ask(value, made), ast.Name("unknown", ast.Load())])
        return called("isinstance", self.ask(value, made), types)

    def _types(self, kind: ast.expr) -> ast.expr | None:
        kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
        names = [last_name(item) for item in kinds]
        if not all(names) or any(
            name in TYPES and not isinstance(k, ast.Name) for name, k in zip(names, kinds, strict=True)
        ):
            return None
        types: list[ast.expr] = [ast.Name(name, ast.Load()) for name in names]
        return types[0] if len(types) == 1 else ast.Tuple(types, ast.Load())

    def comparison(self, operands: Sequence[ast.expr], ops: Sequence[ast.cmpop], made: Assertion) -> ast.expr:
        """The predicate for ``a < b == c``; the operands to run are asked for."""
        kind = self._type_test(operands, ops, made)
        if kind is not None:
            return kind
        values = self.operands(operands, made)
        return ast.Compare(values[0], list(ops), values[1:])

    def _type_test(
        self, operands: Sequence[ast.expr], ops: Sequence[ast.cmpop], made: Assertion
    ) -> ast.expr | None:
        """``type(x) is Foo``."""
        if len(ops) != 1 or not isinstance(ops[0], (ast.Is, ast.Eq, ast.IsNot, ast.NotEq)):
            return None
        left, right = operands
        if not (isinstance(left, ast.Call) and last_name(left.func) == "type" and len(left.args) == 1):
            return None
        types = self._types(right)
        if types is None or isinstance(types, ast.Tuple) or self.flow.binding(right) is not None:
            return None
        found = called("is_type", self.ask(left.args[0], made), types)
        return ast.UnaryOp(ast.Not(), found) if isinstance(ops[0], (ast.IsNot, ast.NotEq)) else found


def _is_whole(node: ast.stmt | ast.withitem, part: ast.expr) -> bool:
    """Whether a condition is all that an assertion asserts, but for ``not``."""
    whole: ast.expr | None = None
    truths = ("assertTrue", "assertFalse", "assert_", "ok_")
    if isinstance(node, ast.Assert):
        whole = node.test
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
        whole = node.value.args[0] if last_name(node.value.func) in truths else None
    while isinstance(whole, ast.UnaryOp) and isinstance(whole.op, ast.Not):
        whole = whole.operand
    return whole is part
