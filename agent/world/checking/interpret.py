"""A restricted Python: evaluates one statement or expression on plain values, and runs nobody's code.

Its own interpreter over the syntax tree. Names mean the given state, listed builtins, and constants of
``math`` and ``string``; attributes are listed methods of builtin types, called on exactly those types. What
is not listed, or costs too much, is ``CannotTell``: never a guess. What raises in Python is ``Raised``.
"""

from __future__ import annotations

import ast
import builtins
import copy
import hashlib
import math
import operator
import re
import string
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from agent.world.predicate import BINARY, MAX_SIZE, UNARY, compare
from agent.world.values import Opaque, read_value

MAX_STEPS = 50_000
MAX_SECONDS = 1.0
_MAX_WIDTH = 1000
_MAX_BITS = 10_000
_MAX_DEPTH = 40
_SIZE_A_STEP = 100
"""Items or characters of a value that is made, for which one step more is counted: so memory is bounded."""

Call = Callable[[str, list[Any], dict[str, Any]], Any]
"""Answers a call of a function of the program (name, arguments), or raises CannotTell."""


class CannotTell(Exception):
    """What this would give is not known here."""


class Raised(Exception):
    """Python would raise: ``kind`` is the exception's class name, ``text`` its ``repr`` where the program
    says what is in it (what Python says itself differs between versions)."""

    def __init__(self, kind: str, text: str | None = None) -> None:
        super().__init__(kind)
        self.kind, self.text = kind, text


_BINARY = BINARY | {ast.LShift: operator.lshift, ast.RShift: operator.rshift}
_IN_PLACE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.iadd,
    ast.Mult: operator.imul,
    ast.BitOr: operator.ior,
    ast.BitAnd: operator.iand,
    ast.BitXor: operator.ixor,
    ast.Sub: operator.isub,
}
_ATOMS = (int, float, complex, bool, str, bytes, type(None))
_SETS = (set, frozenset)
_MUTABLE = (list, dict, set, bytearray)
_SIZED = (str, bytes, list, tuple, dict, set, frozenset)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


METHODS: dict[type, frozenset[str]] = {
    str: _words(
        "capitalize casefold center count encode endswith expandtabs find format index isalnum isalpha "
        "isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper "
        "join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex rjust rpartition "
        "rsplit rstrip split splitlines startswith strip swapcase title translate upper zfill"
    ),
    bytes: _words("decode count find index startswith endswith split strip hex lower upper"),
    int: _words("bit_length bit_count conjugate is_integer"),
    float: _words("is_integer conjugate"),
    list: _words("append clear copy count extend index insert pop remove reverse sort"),
    tuple: _words("count index"),
    dict: _words("clear copy fromkeys get items keys pop popitem setdefault update values"),
    set: _words(
        "add clear copy difference difference_update discard intersection intersection_update isdisjoint "
        "issubset issuperset remove symmetric_difference symmetric_difference_update union update"
    ),
    frozenset: _words(
        "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"
    ),
}
CHANGING = _words(
    "append clear extend insert pop remove reverse sort popitem setdefault update add "
    "difference_update discard intersection_update symmetric_difference_update"
)
_WIDE = _words("center ljust rjust zfill expandtabs")
_UNORDERED = (len, sum, any, all, set, frozenset, bool, isinstance, type)
"""What gives the same for a set in whatever order."""

_BUILTINS: dict[str, Any] = {
    f.__name__: f
    for f in (
        abs, all, any, bin, bool, bytes, chr, complex, dict, divmod, enumerate, filter, float, frozenset,
        hex, int, isinstance, len, list, map, max, min, oct, ord, pow, range, repr, reversed, round, set,
        slice, sorted, str, sum, tuple, type, zip,
    )
}  # fmt: skip
_ALLOWED = frozenset(id(f) for f in _BUILTINS.values())
_MATH = {
    name: getattr(math, name)
    for name in _words(
        "ceil cos degrees e exp fabs floor fmod gcd hypot inf isclose isfinite isinf isnan isqrt log "
        "log10 log2 nan pi pow radians sin sqrt tan trunc"
    )
}
_HASHES = {name: getattr(hashlib, name) for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")}
MODULES: dict[str, dict[str, Any]] = {
    "math": _MATH,
    "hashlib": _HASHES,
    "string": {
        name: getattr(string, name) for name in string.__all__ if isinstance(getattr(string, name), str)
    },
}
"""What may be used of imported modules: functions of numbers and bytes, and constants."""
_PURE = frozenset(id(f) for f in _MATH.values() if callable(f))


class _Method:
    """A listed method, bound to its value (or to none: ``str.lower``)."""

    def __init__(self, kind: type, name: str, owner: Any, interpreter: Interpreter) -> None:
        self.kind, self.name, self.owner, self.interpreter = kind, name, owner, interpreter

    def __call__(self, *values: Any, **named: Any) -> Any:
        if self.owner is not None:
            return self.interpreter.method(self.owner, self.name, list(values), named)
        if self.kind is dict and self.name == "fromkeys":
            return dict.fromkeys(self.interpreter.items(values[0]), *values[1:])
        if not values or type(values[0]) is not self.kind:
            raise CannotTell
        return self.interpreter.method(values[0], self.name, list(values[1:]), named)


class Interpreter:
    """Evaluates in one local state: name → ``repr`` text. ``outside``: names of the module that are known.

    After it: ``changed`` has the new values of names that were bound, ``unbound`` those deleted, ``mutated``
    the containers that were changed in place. ``stale`` is for whoever answers calls to set: a function of
    the program ran that may have changed containers of the state, so that what is known of them is old.
    """

    def __init__(self, state: Mapping[str, str], outside: Mapping[str, Any], call: Call) -> None:
        self.state, self.outside, self.call_program = state, outside, call
        self.values: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}
        self.unbound: set[str] = set()
        self.mutated: list[tuple[Any, Any]] = []
        """Container, and a copy of what it was."""
        self.read: list[Any] = []
        """What was read of the state."""
        self.stale = False
        self.steps = 0
        self.depth = 0
        self.until = time.monotonic() + MAX_SECONDS

    # -- names

    def name(self, name: str) -> Any:
        if name in self.values:
            value = self.values[name]
        elif name in self.unbound:
            raise Raised("UnboundLocalError")
        elif name in self.state:
            text = self.state[name]
            imported = re.match(r"<module '(\w+)'", text)
            value = Module(imported[1]) if imported and imported[1] in MODULES else read_plain(text)
            self.values[name] = value
            self.read.append(value)
        else:
            return self.beyond(name)
        if self.is_old(value):
            raise CannotTell
        return value

    def is_old(self, value: Any) -> bool:
        """Whether a value has a container of the state in it that may have been changed since."""
        if not self.stale:
            return False
        known = {id(part) for whole in self.read for part in _mutable_parts(whole)}
        return any(id(part) in known for part in _mutable_parts(value))

    def beyond(self, name: str) -> Any:
        if name in self.outside:
            return self.outside[name]
        raise CannotTell

    def bind(self, name: str, value: Any) -> None:
        self.values[name] = self.changed[name] = value
        self.unbound.discard(name)

    def tick(self, cost: int = 1) -> None:
        self.steps += cost
        if self.steps > MAX_STEPS or (self.steps % 64 < cost and time.monotonic() > self.until):
            raise CannotTell

    # -- statements: ("next", None), ("return", value) or ("branch", bool)

    def run(self, node: ast.stmt) -> tuple[str, Any]:
        """One statement; of a compound one its header. Raises CannotTell and Raised."""
        try:
            return self._run(node)
        except (CannotTell, Raised):
            raise
        except (RecursionError, MemoryError, AssertionError) as error:
            raise CannotTell from error
        except OverflowError as error:
            raise Raised("OverflowError") from error
        except Exception as error:
            text = repr(error) if isinstance(error, KeyError) else None
            raise Raised(type(error).__name__, text) from error

    def evaluate(self, node: ast.expr) -> Any:
        """One expression, with errors as ``run`` has them."""
        return self.run(ast.Return(value=node))[1]

    def final(self, node: ast.expr) -> Any:
        """The same, for a value that is to be compared: CannotTell where a part of it may be old."""
        value = self.evaluate(node)
        if self.is_old(value):
            raise CannotTell
        return value

    def _run(self, node: ast.stmt) -> tuple[str, Any]:
        if isinstance(node, ast.Return):
            return "return", None if node.value is None else self.value(node.value)
        if isinstance(node, ast.Assign):
            value = self.value(node.value)
            for target in node.targets:
                self.assign(target, value)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self.assign(node.target, self.value(node.value))
        elif isinstance(node, ast.AugAssign):
            self.augment(node)
        elif isinstance(node, ast.Expr):
            if isinstance(node.value, (ast.Yield, ast.YieldFrom, ast.Await)):
                raise CannotTell
            self.value(node.value)
        elif isinstance(node, (ast.If, ast.While)):
            return "branch", self.truth(self.value(node.test))
        elif isinstance(node, ast.Assert):
            if not self.truth(self.value(node.test)):
                raise self.exception(AssertionError, [] if node.msg is None else [node.msg])
        elif isinstance(node, ast.Raise):
            raise self.built(node.exc)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self.delete(target)
        elif not isinstance(node, (ast.Pass, ast.Break, ast.Continue, ast.Try)):
            raise CannotTell
        return "next", None

    def built(self, node: ast.expr | None) -> Raised:
        """``ValueError("x")``, of a class of Python's own."""
        name, parts = node, []
        if isinstance(node, ast.Call) and not node.keywords:
            name, parts = node.func, node.args
        kind = self.value(name) if isinstance(name, ast.Name) else None
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise CannotTell
        return self.exception(kind, parts)

    def exception(self, kind: type[Exception], parts: list[ast.expr]) -> Raised:
        try:
            values = self._sequence(parts)
            self.shown(values)
        except CannotTell:
            return Raised(kind.__name__)
        return Raised(kind.__name__, f"{kind.__name__}({', '.join(map(repr, values))})")

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self.unpack(target.elts, value)
        elif isinstance(target, ast.Subscript):
            whole: Any = self.value(target.value)
            index = self.index(target.slice)
            self.will_change(self.changeable(whole))
            whole[index] = value
        else:
            raise CannotTell

    def unpack(self, targets: list[ast.expr], value: Any) -> None:
        items = list(self.items(value))
        starred = [n for n, target in enumerate(targets) if isinstance(target, ast.Starred)]
        if not starred:
            if len(items) != len(targets):
                raise Raised("ValueError")
            for target, item in zip(targets, items, strict=True):
                self.assign(target, item)
            return
        before, after = starred[0], len(targets) - starred[0] - 1
        if len(items) < before + after:
            raise Raised("ValueError")
        end = len(items) - after
        for target, item in zip(targets[:before], items[:before], strict=True):
            self.assign(target, item)
        rest = targets[before]
        assert isinstance(rest, ast.Starred)
        self.assign(rest.value, items[before:end])
        for target, item in zip(targets[before + 1 :], items[end:], strict=True):
            self.assign(target, item)

    def augment(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            left = self.name(node.target.id)
            self.bind(node.target.id, self.in_place(node.op, left, self.value(node.value)))
        elif isinstance(node.target, ast.Subscript):
            whole: Any = self.value(node.target.value)
            index = self.index(node.target.slice)
            left = whole[index]
            result = self.in_place(node.op, left, self.value(node.value))
            self.will_change(self.changeable(whole))
            whole[index] = result
        else:
            raise CannotTell

    def in_place(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, _MUTABLE):
            self.guard(op, left, right)
            self.will_change(left)
            if isinstance(left, list) and isinstance(op, ast.Add):
                right = list(self.items(right))
            if type(op) in _IN_PLACE:
                return _IN_PLACE[type(op)](left, right)
        return self.binary(op, left, right)

    def delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.name(target.id)
            self.values.pop(target.id, None)
            self.changed.pop(target.id, None)
            self.unbound.add(target.id)
        elif isinstance(target, ast.Subscript):
            whole: Any = self.value(target.value)
            index = self.index(target.slice)
            self.will_change(self.changeable(whole))
            del whole[index]
        else:
            raise CannotTell

    @staticmethod
    def changeable(container: Any) -> Any:
        """What an item may be stored in; else what Python raises."""
        if not isinstance(container, _MUTABLE):
            raise Raised("TypeError")
        return container

    def will_change(self, container: Any) -> None:
        if not any(container is known for known, _ in self.mutated):
            self.mutated.append((container, copy.copy(container)))

    # -- expressions

    def value(self, node: ast.expr) -> Any:
        self.tick()
        method = getattr(self, "_" + type(node).__name__.lower(), None)
        if method is None:
            raise CannotTell
        self.depth += 1
        if self.depth > 200:
            raise CannotTell
        try:
            result = method(node)
        finally:
            self.depth -= 1
        if type(result) in _SIZED and not isinstance(node, (ast.Name, ast.Constant)):
            self.tick(len(result) // _SIZE_A_STEP)
        return result

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        return self.name(node.id)

    def _sequence(
        self, nodes: Iterable[ast.expr], value: Callable[[ast.expr], Any] | None = None
    ) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                items += self.items(self.value(node.value))
            else:
                items.append((value or self.value)(node))
        return items

    def _list(self, node: ast.List) -> Any:
        return self._sequence(node.elts)

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(self._sequence(node.elts))

    def _set(self, node: ast.Set) -> Any:
        return set(self._sequence(node.elts))

    def _dict(self, node: ast.Dict) -> Any:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                inner = self.value(value)
                if not isinstance(inner, dict):
                    raise Raised("TypeError")
                result.update(inner)
            else:
                name = self.value(key)
                result[name] = self.value(value)
        return result

    def _boolop(self, node: ast.BoolOp) -> Any:
        value: Any = None
        for part in node.values:
            value = self.value(part)
            if self.truth(value) is isinstance(node.op, ast.Or):
                return value
        return value

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        return not self.truth(value) if isinstance(node.op, ast.Not) else UNARY[type(node.op)](value)

    def _binop(self, node: ast.BinOp) -> Any:
        left = self.value(node.left)
        return self.binary(node.op, left, self.value(node.right))

    def _compare(self, node: ast.Compare) -> Any:
        left = self.value(node.left)
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator)
            if isinstance(left, type) and isinstance(right, type) and isinstance(op, (ast.Is, ast.Eq)):
                result: bool | None = left is right
            elif (
                isinstance(left, type) and isinstance(right, type) and isinstance(op, (ast.IsNot, ast.NotEq))
            ):
                result = left is not right
            else:
                if isinstance(op, (ast.In, ast.NotIn)) and not isinstance(
                    right, (dict, set, frozenset, str, bytes)
                ):
                    right = self.items(right) if not isinstance(right, (list, tuple, range)) else right
                result = compare(op, left, right)
            if result is None:
                raise CannotTell
            if not result:
                return False
            left = right
        return True

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.truth(self.value(node.test)) else node.orelse)

    def _namedexpr(self, node: ast.NamedExpr) -> Any:
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    def _subscript(self, node: ast.Subscript) -> Any:
        whole: Any = self.value(node.value)
        index = self.index(node.slice)
        if type(whole) not in (*_ATOMS, list, tuple, dict, range, set):
            raise CannotTell
        return whole[index]

    def index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            return slice(*(None if p is None else self.value(p) for p in (node.lower, node.upper, node.step)))
        return self.value(node)

    def _joinedstr(self, node: ast.JoinedStr) -> Any:
        return "".join(str(self.value(part)) for part in node.values)

    def _formattedvalue(self, node: ast.FormattedValue) -> Any:
        value = self.value(node.value)
        self.shown(value)
        if node.conversion != -1:
            value = str(value) if node.conversion == ord("s") else repr(value)
        spec = "" if node.format_spec is None else self.value(node.format_spec)
        return format(value, self.spec(spec))

    def spec(self, text: str) -> str:
        """A format, if no width in it is large."""
        if "*" in text or any(int(n) > _MAX_WIDTH for n in re.findall(r"\d+", text)):
            raise CannotTell
        return text

    def shown(self, value: Any) -> None:
        """A text of a set is in an order that is not known; one of an object holds its address."""
        if not plain(value) or _has_set(value):
            raise CannotTell

    def _lambda(self, node: ast.Lambda) -> Any:
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
            raise CannotTell
        names = [a.arg for a in arguments.args]
        defaults = [self.value(d) for d in arguments.defaults]

        def function(*given: Any) -> Any:
            filled = (
                [*given, *defaults[len(defaults) - (len(names) - len(given)) :]]
                if len(given) < len(names)
                else given
            )
            if len(filled) != len(names):
                raise Raised("TypeError")
            return self.within(dict(zip(names, filled, strict=True)), node.body)

        return _Function(function)

    def within(self, names: Mapping[str, Any], body: ast.expr) -> Any:
        """An expression with some names bound for the time being."""
        before = {name: self.values[name] for name in names if name in self.values}
        self.values.update(names)
        try:
            return self.value(body)
        finally:
            for name in names:
                self.values.pop(name, None)
            self.values.update(before)

    # comprehensions

    def _listcomp(self, node: ast.ListComp) -> Any:
        return list(self.each(node.generators, lambda: self.value(node.elt)))

    def _setcomp(self, node: ast.SetComp) -> Any:
        return set(self.each(node.generators, lambda: self.value(node.elt)))

    def _generatorexp(self, node: ast.GeneratorExp) -> Any:
        return _Items(self.each(node.generators, lambda: self.value(node.elt)))

    def _dictcomp(self, node: ast.DictComp) -> Any:
        return dict(self.each(node.generators, lambda: (self.value(node.key), self.value(node.value))))

    def each(self, generators: list[ast.comprehension], element: Callable[[], Any]) -> Iterator[Any]:
        """The elements of a comprehension; its names are bound while they are asked for, and no longer."""
        first = generators[0]
        if first.is_async:
            raise CannotTell
        iterable = self.items(self.value(first.iter))
        names = {n.id for g in generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        for item in iterable:
            self.tick()
            outer = {name: self.values.pop(name) for name in names if name in self.values}
            changed = {name: self.changed[name] for name in names if name in self.changed}
            try:
                self.assign(first.target, item)
                if not all(self.truth(self.value(test)) for test in first.ifs):
                    continue
                inner = generators[1:]
                found = list(self.each(inner, element)) if inner else [element()]
            finally:
                for name in names:
                    self.values.pop(name, None)
                    self.changed.pop(name, None)
                self.values.update(outer)
                self.changed.update(changed)
            yield from found

    # calls

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, _Digest):
            if node.attr not in ("hexdigest", "digest"):
                raise CannotTell
            return _Function(owner.hexdigest if node.attr == "hexdigest" else owner.digest)
        if isinstance(owner, Module):
            if node.attr not in MODULES[owner.name]:
                raise CannotTell
            return MODULES[owner.name][node.attr]
        kind = owner if isinstance(owner, type) else type(owner)
        if kind is bool:
            kind = int
        if node.attr not in METHODS.get(kind, ()):
            if kind in METHODS and not isinstance(owner, type) and not hasattr(kind, node.attr):
                raise Raised("AttributeError")
            raise CannotTell
        return _Method(kind, node.attr, None if isinstance(owner, type) else owner, self)

    def _call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and self.of_program(node.func.id):
            values, named = self.arguments(node, self.argument)
            return self.call_program(node.func.id, values, named)
        function = self.value(node.func)
        node = self.without_order(function, node)
        values, named = self.arguments(node)
        if isinstance(function, (_Method, _Function)):
            return function(*values, **named)
        return self.builtin(function, values, named)

    def without_order(self, function: Any, node: ast.Call) -> ast.Call:
        """``sorted(list(x))`` is ``sorted(x)``, also where ``x`` is a set, whose order is not known."""
        inner = node.args[0] if len(node.args) == 1 else None
        listed = isinstance(inner, ast.Call) and len(inner.args) == 1 and not inner.keywords
        if function not in (sorted, set) or not listed:
            return node
        assert isinstance(inner, ast.Call)
        if not isinstance(inner.func, ast.Name) or self.of_program(inner.func.id):
            return node
        if self.value(inner.func) not in (list, tuple):
            return node
        return ast.Call(node.func, inner.args, node.keywords)

    def of_program(self, name: str) -> bool:
        if name in self.values:
            return False
        return self.state[name].startswith("<function") if name in self.state else name not in self.outside

    def arguments(
        self, node: ast.Call, value: Callable[[ast.expr], Any] | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        value = value or self.value
        values = self._sequence(node.args, value)
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise CannotTell
            named[keyword.arg] = value(keyword.value)
        return values, named

    def argument(self, node: ast.expr) -> Any:
        """An argument of a call that is answered for: one that is not known does not matter to the others."""
        try:
            return self.value(node)
        except CannotTell:
            if any(isinstance(part, ast.Call) for part in ast.walk(node)):
                raise
            return _Unknown()

    def builtin(self, function: Any, values: list[Any], named: dict[str, Any]) -> Any:
        if id(function) in _PURE:
            if any(
                type(v) not in (int, float, bool) or (isinstance(v, int) and v.bit_length() > 200)
                for v in values
            ):
                raise CannotTell
            return function(*values, **named)
        if function in _HASHES.values():
            if named or [type(v) for v in values] not in ([], [bytes]):
                raise Raised("TypeError") if [type(v) for v in values] == [str] else CannotTell
            return _Digest(function(*values))
        if id(function) not in _ALLOWED:
            raise CannotTell
        alone = function in (sorted, min, max) and "key" not in named
        for value in values:
            if isinstance(value, _SETS) and len(value) > 1 and function not in _UNORDERED and not alone:
                raise CannotTell
        if function in (str, repr):
            for value in values:
                self.shown(value)
        if function in (type, bool) and (len(values) != 1 or not plain(values[0])):
            raise CannotTell
        if function in (range, bytes) and any(isinstance(v, int) and abs(v) > MAX_SIZE for v in values):
            raise CannotTell
        if function is sum and values and not isinstance(values[0], _SETS):
            values = [list(self.items(values[0])), *values[1:]]
            joined = sum(len(v) for v in values[0] if isinstance(v, (list, tuple)))
            self.tick(len(values[0]) * joined // _SIZE_A_STEP)  # each sum is made anew
        if function is pow:
            self.guard(ast.Pow(), values[0], values[1] if len(values) > 1 else 0)
        if function is round and len(values) > 1 and isinstance(values[1], int) and abs(values[1]) > 400:
            raise CannotTell
        if function in (
            isinstance,
            slice,
            type,
            chr,
            ord,
            abs,
            len,
            range,
            divmod,
            pow,
            round,
            repr,
            str,
            bool,
        ):
            return function(*values, **named)
        fed = [self.items(v) if isinstance(v, _Items) else v for v in values]
        if function is reversed:
            fed = [list(v) if isinstance(v, Iterator) else v for v in fed]
        result = function(*fed, **named)
        return _Items(result) if function in (enumerate, filter, map, reversed, zip) else result

    def method(self, owner: Any, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        if name in _WIDE and any(isinstance(v, int) and v > _MAX_WIDTH for v in values):
            raise CannotTell
        if isinstance(owner, str):
            self.text_method(owner, name, values)
        if name == "fromkeys":
            return dict.fromkeys(self.items(values[0]), *values[1:])
        ordered = isinstance(owner, (list, dict)) and name in ("extend", "update")
        if ordered and any(isinstance(v, _SETS) and len(v) > 1 for v in values):
            raise CannotTell
        if name in CHANGING and isinstance(owner, _MUTABLE):
            self.will_change(owner)
        fed = [self.items(v) if isinstance(v, _Items) else v for v in values]
        result = getattr(owner, name)(*fed, **named)
        return _Items(result) if name in ("items", "keys", "values") and isinstance(owner, dict) else result

    def text_method(self, owner: str, name: str, values: list[Any]) -> None:
        if name == "join" and values and isinstance(values[0], _SETS) and len(values[0]) > 1:
            raise CannotTell
        texts = len(values) > 1 and isinstance(values[1], str)
        if name == "replace" and texts and (len(owner) + 1) * (len(values[1]) + 1) > MAX_SIZE:
            raise CannotTell
        if name == "translate" and values and isinstance(values[0], dict):
            longest = max((len(v) for v in values[0].values() if isinstance(v, str)), default=1)
            if len(owner) * longest > MAX_SIZE:
                raise CannotTell
        if name == "format":
            for _, field, spec, _ in string.Formatter().parse(owner):
                if field and not re.fullmatch(r"\w+", field):
                    raise CannotTell
                if "{" in self.spec(spec or ""):
                    raise CannotTell
            for value in values:
                self.shown(value)

    def binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        self.guard(op, left, right)
        if type(op) not in _BINARY:
            raise CannotTell
        result = _BINARY[type(op)](left, right)
        if isinstance(result, int) and result.bit_length() > _MAX_BITS:
            raise CannotTell
        return result

    def guard(self, op: ast.operator, left: Any, right: Any) -> None:
        """Raises CannotTell for an operation that may be large, or has a text of a set in it."""
        for value in (left, right):
            if not isinstance(value, (*_ATOMS, list, tuple, dict, set, frozenset)):
                raise CannotTell
        whole = isinstance(left, int) and isinstance(right, int)
        if whole and isinstance(op, (ast.Pow, ast.LShift)):
            grows = left.bit_length() if isinstance(op, ast.Pow) else 1
            if grows * abs(right) > _MAX_BITS:
                raise CannotTell
        if isinstance(op, ast.Mult):
            for many, times in ((left, right), (right, left)):
                if hasattr(many, "__len__") and isinstance(times, int) and len(many) * times > MAX_SIZE:
                    raise CannotTell
        if isinstance(op, ast.Mod) and isinstance(left, (str, bytes)):
            self.spec(left if isinstance(left, str) else left.decode("latin-1"))
            self.shown(right)

    def truth(self, value: Any) -> bool:
        if not plain(value) and not isinstance(value, range):
            raise CannotTell
        return bool(value)

    def items(self, value: Any) -> Iterator[Any]:
        """The items of an iterable, if there are not too many and their order is known."""
        if isinstance(value, _SETS) and len(value) > 1:
            raise CannotTell
        if isinstance(value, _Items):
            source = value.source
        elif isinstance(value, (str, bytes, list, tuple, dict, range, set, frozenset)):
            if len(value) > MAX_SIZE:
                raise CannotTell
            source = value
        elif isinstance(value, (int, float, complex, bool, type(None))):
            raise Raised("TypeError")
        else:
            raise CannotTell
        return self.counted(source)

    def counted(self, source: Iterable[Any]) -> Iterator[Any]:
        for item in source:
            self.tick()
            yield item


class Module:
    """A module that was imported, of those in ``MODULES``."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Digest:
    """A hash, until it is written out."""

    def __init__(self, made: Any) -> None:
        self.digest, self.hexdigest = made.digest, made.hexdigest


class _Unknown:
    """An argument that is not known."""


class _Function:
    """A lambda: interpreted, and callable by builtins."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self.function(*values, **named)


class _Items:
    """An iterator or view that is passed on and is no plain value."""

    def __init__(self, source: Iterable[Any]) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        return iter(self.source)

    def __len__(self) -> int:
        if isinstance(self.source, Sized):
            return len(self.source)  # a view of a dict
        raise TypeError("no length")


_EXCEPTIONS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__name__ == name
}
BUILTINS: Mapping[str, Any] = _BUILTINS | _EXCEPTIONS | {"print": _Function(lambda *values, **named: None)}


def read_plain(text: str) -> Any:
    """The value of a ``repr`` text; ranges too. Raises CannotTell for any other object."""
    value = read_value(text)
    if isinstance(value, Opaque):
        found = re.fullmatch(r"range\((-?\d{1,9}), (-?\d{1,9})(?:, (-?\d{1,9}))?\)", text)
        if found and found[3] != "0":
            return range(*(int(n) for n in found.groups() if n is not None))
        raise CannotTell
    return value


def plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is a literal through and through, of exactly the builtin types."""
    if type(value) in _ATOMS:
        return True
    if depth > _MAX_DEPTH:
        return False
    if type(value) is dict:
        return all(plain(k, depth + 1) and plain(v, depth + 1) for k, v in value.items())
    return type(value) in (list, tuple, set, frozenset) and all(plain(item, depth + 1) for item in value)


def _mutable_parts(value: Any) -> Iterator[Any]:
    if isinstance(value, _MUTABLE):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    for item in inner:
        yield from _mutable_parts(item)


def _has_set(value: Any) -> bool:
    if isinstance(value, _SETS):
        return len(value) > 1
    if isinstance(value, dict):
        return any(_has_set(v) for v in value.values())
    return isinstance(value, (list, tuple)) and any(_has_set(item) for item in value)
