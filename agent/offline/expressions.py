"""Edits of expressions: operators, constants, names, calls, conditions, containers, and borrowed expressions.

Each operator yields ``(cost, kind, text)``: the text that replaces the expression, and a cost that is the
negative logarithm of how likely such an edit is a fix (a prior; ``search.py`` adds the place's
suspiciousness).
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

import libcst as cst

from agent.offline.site import Pool, Site, is_boolean
from agent.offline.source import free_names, is_compound

Change = tuple[float, str, str]

COMPARISONS = {
    "<": ["<=", ">", ">=", "==", "!="],
    "<=": ["<", ">=", ">", "==", "!="],
    ">": [">=", "<", "<=", "==", "!="],
    ">=": [">", "<=", "<", "==", "!="],
    "==": ["!=", "<=", ">=", "<", ">", "in"],
    "!=": ["==", "<", ">", "<=", ">=", "not in"],
    "in": ["not in", "=="],
    "not in": ["in", "!="],
    "is": ["is not", "=="],
    "is not": ["is", "!="],
}
ORDERS = ("<", "<=", ">", ">=")
ARITHMETIC = {
    "+": ["-", "*", "%", "//"],
    "-": ["+", "%", "*", "//"],
    "*": ["**", "/", "//", "+", "-", "%"],
    "/": ["//", "*", "%", "-"],
    "//": ["/", "%", "*", "-"],
    "%": ["//", "/", "*", "-"],
    "**": ["*", "//", "+"],
    "&": ["|", "^", "-"],
    "|": ["&", "^", "+"],
    "^": ["&", "|", "**"],
    "<<": [">>", "*"],
    ">>": ["<<", "//"],
    "@": ["*"],
}
COMMUTATIVE = {"+", "*", "&", "|", "^"}
FAMILIES = [
    ["min", "max"], ["any", "all"], ["sum", "len", "max", "min"], ["int", "round", "float", "str"],
    ["str", "repr"],
    ["list", "set", "tuple", "sorted", "reversed"], ["floor", "ceil", "trunc"], ["islower", "isupper"],
    ["upper", "lower", "title", "capitalize", "casefold", "swapcase"], ["startswith", "endswith"],
    ["lstrip", "rstrip", "strip"], ["isalpha", "isdigit", "isalnum", "isnumeric", "isspace"],
    ["find", "rfind", "index", "rindex"], ["split", "rsplit", "splitlines"], ["append", "extend",
    "add", "insert"],
    ["pop", "popleft", "remove", "discard"], ["keys", "values", "items"], ["union", "intersection",
    "difference"],
    ["get", "pop", "setdefault"], ["isinstance", "issubclass"], ["first", "last"], ["seconds",
    "total_seconds"],
    ["bin", "oct", "hex"], ["ord", "chr"], ["sin", "cos"], ["removeprefix", "removesuffix"], ["ljust",
    "rjust"],
    ["update", "setdefault"], ["appendleft", "append"], ["match", "search", "fullmatch"], ["range",
    "enumerate"],
]  # fmt: skip
WRAPPERS = [
    "abs",
    "len",
    "int",
    "str",
    "set",
    "list",
    "sorted",
    "sum",
    "round",
    "float",
    "bool",
    "max",
    "min",
    "tuple",
]
SUFFIXES = [
    ".lower()", ".upper()", ".strip()", "[::-1]", "[1:]", "[:-1]", ".copy()", ".items()", ".values()",
    ".keys()",
    ".split()", ".encode()", ".decode()",
]  # fmt: skip


def changes(site: Site) -> Iterator[Change]:
    """Every edit of one expression, parentheses not yet fitted."""
    node = site.node
    if isinstance(node, cst.Comparison):
        yield from compare(site, node)
    elif isinstance(node, cst.BooleanOperation):
        yield from boolean(site, node)
    elif isinstance(node, cst.BinaryOperation):
        yield from binary(site, node)
    elif isinstance(node, cst.UnaryOperation):
        yield 1.2, "drop unary operator", site.code(node.expression)
    elif isinstance(node, (cst.Integer, cst.Float)):
        yield from number(site, node)
    elif isinstance(node, cst.SimpleString):
        yield from string(site, node)
    elif isinstance(node, cst.Name):
        yield from name(site, node)
    elif isinstance(node, cst.Attribute):
        yield from attribute(site, node)
    elif isinstance(node, cst.Call):
        yield from call(site, node)
    elif isinstance(node, cst.Subscript):
        yield from subscript(site, node)
    elif isinstance(node, (cst.ListComp, cst.SetComp, cst.GeneratorExp, cst.DictComp)):
        yield from comprehension(site, node)
    elif isinstance(node, (cst.List, cst.Tuple, cst.Set)):
        yield from display(site, node)
    elif isinstance(node, cst.IfExp):
        test, body, orelse = site.code(node.test), site.code(node.body), site.code(node.orelse)
        yield 1.6, "swap branches", f"{orelse} if {test} else {body}"
        yield 3.0, "keep one branch", body
        yield 3.0, "keep one branch", orelse
    if site.is_condition:
        yield from condition(site)
    yield from wrap(site)
    yield from borrow(site)


def compare(site: Site, node: cst.Comparison) -> Iterator[Change]:
    for target in node.comparisons:
        old = site.source.code(target.operator).strip()
        start = site.source.span(node)[0]
        a, b = (x - start for x in site.source.span(target.operator))
        data = site.text.encode()
        for new in COMPARISONS.get(old, []):
            cost = comparison_cost(old, new)
            yield cost, "comparison operator", (data[:a] + new.encode() + data[b:]).decode()
    if len(node.comparisons) == 1:
        left, right = site.code(node.left), site.code(node.comparisons[0].comparator)
        middle = site.source.code(node.comparisons[0].operator).strip()
        for wrapper in WRAPPERS:
            yield 2.1, f"both sides in {wrapper}", f"{wrapper}({left}) {middle} {wrapper}({right})"
        for suffix in SUFFIXES:
            yield 2.4, f"both sides with {suffix}", f"{left}{suffix} {middle} {right}{suffix}"
        yield (
            1.6,
            "swap sides",
            (
                f"{site.code(node.comparisons[0].comparator)} {site.source.code(node.comparisons[0].operator).strip()} "  # noqa: E501
                f"{site.code(node.left)}"
            ),
        )


def comparison_cost(old: str, new: str) -> float:
    """A shifted bound or a negation is a likelier slip than a comparison of another kind."""
    if {old, new} in ({"<", "<="}, {">", ">="}, {"==", "!="}, {"in", "not in"}, {"is", "is not"}):
        return 0.9
    if old in ORDERS and new in ORDERS:
        return 1.2
    return 1.8 if old in ORDERS or new in ORDERS else 2.6


def boolean(site: Site, node: cst.BooleanOperation) -> Iterator[Change]:
    left, right = site.code(node.left), site.code(node.right)
    other = "or" if isinstance(node.operator, cst.And) else "and"
    yield 1.1, "boolean operator", f"{left} {other} {right}"
    chain = boolean_chain(node)
    if len(chain) > 2:
        yield 1.2, "boolean operator, the whole chain", f" {other} ".join(site.code(part) for part in chain)
        old = "and" if other == "or" else "or"
        for drop in range(len(chain)):
            yield (
                1.8,
                "drop condition",
                f" {old} ".join(site.code(p) for i, p in enumerate(chain) if i != drop),
            )
    yield 1.6, "drop condition", left
    yield 1.6, "drop condition", right


def boolean_chain(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    if not isinstance(node, cst.BooleanOperation):
        return [node]
    out: list[cst.BaseExpression] = []
    for side in (node.left, node.right):
        same = (
            isinstance(side, cst.BooleanOperation)
            and type(side.operator) is type(node.operator)
            and not side.lpar
        )
        out += boolean_chain(side) if same else [side]
    return out


def binary(site: Site, node: cst.BinaryOperation) -> Iterator[Change]:
    left, right = site.code(node.left), site.code(node.right)
    old = site.source.code(node.operator).strip()
    for rank, new in enumerate(ARITHMETIC.get(old, [])):
        yield 1.1 + 0.1 * rank, "arithmetic operator", f"{left} {new} {right}"
    yield 1.2, "drop operand", left
    yield 1.4, "drop operand", right
    if old not in COMMUTATIVE:
        yield 1.4, "swap operands", f"{right} {old} {left}"
    if isinstance(node.left, cst.BinaryOperation) and not node.left.lpar:
        inner = node.left
        a, b = site.code(inner.left), site.code(inner.right)
        first = site.source.code(inner.operator).strip()
        yield 1.2, "drop operand", f"{a} {old} {right}"
        yield 1.4, "drop operand", f"{a} {first} {right}"
        yield 1.5, "regroup", f"{a} {first} ({b} {old} {right})"
    if isinstance(node.right, cst.BinaryOperation) and not node.right.lpar:
        inner = node.right
        a, b = site.code(inner.left), site.code(inner.right)
        second = site.source.code(inner.operator).strip()
        yield 1.5, "regroup", f"({left} {old} {a}) {second} {b}"
        yield 1.3, "drop operand", f"{left} {old} {b}"


def number(site: Site, node: cst.Integer | cst.Float) -> Iterator[Change]:
    value = ast.literal_eval(node.value)
    near = [value + 1, value - 1]
    yield from ((1.0, "constant by one", str(new)) for new in near)
    common = [v for v in (0, 1, -1, 2, -value, 10) if v != value and v not in near]
    yield from ((1.6, "common constant", str(new)) for new in common)
    own = [n for n in site.pool.numbers if n != node.value]
    yield from ((1.8, "constant of this function", new) for new in own)
    yield from (
        (2.3, "number of the documentation", new) for new in site.pool.documented_numbers if new != node.value
    )
    yield from ((2.2, "variable for constant", new) for new in site.names)
    yield 3.0, "True for constant", "True"
    yield 3.0, "False for constant", "False"
    yield 3.0, "None for constant", "None"


def string(site: Site, node: cst.SimpleString) -> Iterator[Change]:
    try:
        value = ast.literal_eval(node.value)
    except (SyntaxError, ValueError):
        return
    if not isinstance(value, str):
        return
    for cost, kind, new in string_values(value, site.pool):
        if new != value:
            quote = node.quote if len(node.quote) == 1 else '"'
            text = quote + repr("'" + new)[2:-1].replace(quote, "\\" + quote) + quote
            yield cost, kind, text
    yield from ((2.4, "variable for constant", new) for new in site.names)


def string_values(value: str, pool: Pool) -> Iterator[tuple[float, str, str]]:
    yield 1.4, "empty string", ""
    yield 1.4, "blank string", " "
    half = len(value) // 2
    if value and value[:half] == value[half:]:
        yield 1.0, "halve a doubled string", value[:half]
    for other in pool.strings:
        parsed = ast.literal_eval(other)
        if isinstance(parsed, str):
            yield 1.3, "string of this function", parsed
    pairs = ["()", "[]", "{}", "<>", "+-", "/\\", ",;", "aA", "01"]
    for pair in pairs:
        if value in pair and value:
            yield 1.4, "paired character", pair[1 - pair.index(value)]
    yield 2.0, "case of a string", value.lower()
    yield 2.0, "case of a string", value.upper()
    yield 2.2, "strip a string", value.strip()
    if 1 < len(value) <= 30:
        for i in range(len(value)):
            yield 2.2, "drop a character", value[:i] + value[i + 1 :]
        for word in difflib.get_close_matches(value, pool.words, n=3, cutoff=0.7):
            yield 1.2, "spelling of the documentation", word
    if 0 < len(value) <= 12:
        yield 3.0, "reverse a string", value[::-1]
        yield 2.6, "longer by a blank", value + " "
        yield 2.6, "longer by a blank", " " + value
        yield 2.6, "double a string", value * 2


def name(site: Site, node: cst.Name) -> Iterator[Change]:
    old = node.value
    if old in ("True", "False", "None"):
        flipped = {"True": "False", "False": "True", "None": "False"}[old]
        yield 0.9 if old != "None" else 2.5, "truth value", flipped
        if old != "None":
            yield 2.5, "None for a truth value", "None"
        yield from ((2.3, "variable for constant", new) for new in site.names)
        return
    called = isinstance(site.parent, cst.Call) and site.parent.func is node
    yield from ((1.1, "sibling function", new) for new in siblings(old))
    if called:
        arity = len(site.parent.args) if isinstance(site.parent, cst.Call) else 0
        for function in site.source.functions:
            if function.owner is None and function.name != old and len(function.parameters) == arity:
                yield 2.0, "another function of this file", function.name
        return
    if old in ("int", "str", "float", "list", "dict", "tuple", "set", "bool", "bytes"):
        yield from (
            (2.0, "another type", t)
            for t in ("int", "str", "float", "list", "dict", "tuple", "set")
            if t != old
        )
        return
    yield from ((1.3, "another variable", new) for new in site.names if new not in (old, "self", "cls"))
    yield from ((2.0, "module constant", new) for new in site.source.module_names if new != old)
    yield from ((2.2, "attribute for variable", new) for new in site.pool.attributes)
    yield 1.5, "one more", f"{old} + 1"
    yield 1.5, "one less", f"{old} - 1"
    yield 1.9, "negate", f"-{old}"
    yield from ((2.1, "complement", f"{n} - {old}") for n in site.pool.numbers if n != "0")
    yield 3.2, "constant for variable", "0"
    yield 3.2, "constant for variable", "1"


def siblings(old: str) -> list[str]:
    return list(dict.fromkeys(new for family in FAMILIES if old in family for new in family if new != old))


def attribute(site: Site, node: cst.Attribute) -> Iterator[Change]:
    base, old = site.code(node.value), node.attr.value
    yield from ((1.1, "sibling method", f"{base}.{new}") for new in siblings(old))
    called = isinstance(site.parent, cst.Call) and site.parent.func is node
    if base == "self" and not called:
        yield from ((1.9, "another attribute", new) for new in site.pool.attributes if new != site.text)
        yield from ((2.0, "variable for attribute", new) for new in site.names if new != "self")
    if not called:
        yield 2.2, "drop attribute", base
        yield 1.9, "one more", f"{site.text} + 1"
        yield 1.9, "one less", f"{site.text} - 1"


def call(site: Site, node: cst.Call) -> Iterator[Change]:
    function = site.code(node.func)
    arguments = [site.source.code(arg).rstrip().rstrip(",") for arg in node.args]
    if isinstance(node.func, cst.Attribute):
        yield 1.3, "drop method call", site.code(node.func.value)
    if len(node.args) >= 1 and not node.args[0].keyword and not node.args[0].star:
        yield 1.3, "drop call", site.code(node.args[0].value)
    for i in range(len(arguments)):
        rest = arguments[:i] + arguments[i + 1 :]
        if rest or not isinstance(node.args[i].value, cst.GeneratorExp):
            cost = 1.5 if len(arguments) > 1 else 2.2
            yield cost, "drop argument", f"{function}({', '.join(rest)})"
        if i + 1 < len(arguments) and not node.args[i + 1].keyword:
            swapped = [*arguments[:i], arguments[i + 1], arguments[i], *arguments[i + 2 :]]
            yield 1.4, "swap arguments", f"{function}({', '.join(swapped)})"
    if function == "range":
        if len(arguments) == 1:
            yield 1.4, "start of a range", f"range(1, {arguments[0]})"
            yield 2.0, "backwards range", f"range({arguments[0]} - 1, -1, -1)"
        if len(arguments) >= 1:
            stop = min(1, len(arguments) - 1)
            for delta in ("+ 1", "- 1"):
                longer = [*arguments[:stop], f"{arguments[stop]} {delta}", *arguments[stop + 1 :]]
                yield 1.2, "end of a range", f"range({', '.join(longer)})"
    if function.endswith(("sort", "sorted")) and not any("reverse" in a for a in arguments):
        yield 1.6, "reverse order", f"{function}({', '.join([*arguments, 'reverse=True'])})"
    if function in ("sorted", "min", "max") and not any(a.startswith("key") for a in arguments):
        for key in ("len", "abs", "str"):
            yield 2.6, "sort key", f"{function}({', '.join([*arguments, 'key=' + key])})"
    if (
        isinstance(node.func, cst.Attribute)
        and node.func.attr.value in ("get", "pop")
        and len(arguments) == 1
    ):
        for default in ("None", "0", "''", "[]"):
            yield 2.2, "default of a lookup", f"{function}({arguments[0]}, {default})"
    for extra in site.names:
        if extra not in arguments and len(arguments) <= 2 and function not in ("len", "str", "int", "abs"):
            yield 2.9, "one more argument", f"{function}({', '.join([*arguments, extra])})"


def subscript(site: Site, node: cst.Subscript) -> Iterator[Change]:
    base = site.code(node.value)
    yield 2.2, "drop index", base
    if len(node.slice) == 1:
        inner = node.slice[0].slice
        if isinstance(inner, cst.Index):
            index = site.source.code(inner)
            yield 1.5, "index by one", f"{base}[{index} + 1]"
            yield 1.4, "index by one", f"{base}[{index} - 1]"
            yield 2.0, "from the end", f"{base}[-{index}]"
            yield 2.2, "slice for index", f"{base}[{index}:]"
            yield 2.2, "slice for index", f"{base}[:{index}]"
            yield 2.8, "get with a default", f"{base}.get({index}, 0)"
            yield from (
                (2.4, "longer key", f"{base}[({index}, {n})]")
                for n in site.names
                if n != index and n != "self"
            )
        elif isinstance(inner, cst.Slice):
            lower = site.source.code(inner.lower) if inner.lower else ""
            upper = site.source.code(inner.upper) if inner.upper else ""
            step = site.source.code(inner.step) if inner.step else ""
            for cost, low, high, by in slices(lower, upper, step, site.names):
                tail = f":{by}" if by else ""
                yield cost, "bounds of a slice", f"{base}[{low}:{high}{tail}]"


def slices(lower: str, upper: str, step: str, names: list[str]) -> Iterator[tuple[float, str, str, str]]:
    if lower:
        yield 1.5, "", upper, step
        yield 1.3, f"{lower} + 1", upper, step
        yield 1.3, f"{lower} - 1", upper, step
        if not upper:
            yield 1.5, "", lower, step
    if upper:
        yield 1.5, lower, "", step
        yield 1.2, lower, f"{upper} + 1", step
        yield 1.3, lower, f"{upper} - 1", step
        if not lower:
            yield 1.5, upper, "", step
    if lower and upper:
        yield 1.7, upper, lower, step
    if step:
        yield 1.5, lower, upper, ""
        yield 1.7, lower, upper, f"-{step}"
    else:
        yield 1.9, lower, upper, "-1"
        yield 2.2, lower, upper, "2"
    if not lower:
        yield from ((2.0, low, upper, step) for low in ["1", *names])
    if not upper:
        yield from ((2.0, lower, high, step) for high in ["-1", *names])


def comprehension(
    site: Site, node: cst.ListComp | cst.SetComp | cst.GeneratorExp | cst.DictComp
) -> Iterator[Change]:
    text = site.text
    start = site.source.span(node)[0]
    data = text.encode()
    loop = node.for_in
    for clause in loop.ifs:
        a, b = (x - start for x in site.source.span(clause))
        yield 1.8, "drop filter", (data[:a].rstrip() + data[b:]).decode()
    end = site.source.span(loop)[1] - start
    inside = [n for n in site.source.names_at(site.function, start + 1) if n not in ("self",)]
    targets = [n for n in inside if n in site.source.code(loop.target)]
    filters = targets + [f"not {n}" for n in targets]
    filters += [
        c
        for c in site.pool.conditions
        if set(free_names(c)) <= set(inside) and set(free_names(c)) & set(targets)
    ]
    if not loop.ifs:
        filters += [f"{n} not in {m}" for n in targets for m in inside if m not in targets]
        filters += [f"{n} in {m}" for n in targets for m in inside if m not in targets]
        for new in filters:
            yield 2.6, "add a filter", (data[:end] + f" if {new}".encode() + data[end:]).decode()
    if isinstance(node, cst.ListComp):
        inner = text[1:-1]
        yield 2.0, "aggregate", f"sum({inner})"
        yield 2.4, "set for list", f"{{{inner}}}"
        yield 2.4, "aggregate", f"any({inner})"
        yield 2.4, "aggregate", f"all({inner})"


def display(site: Site, node: cst.List | cst.Tuple | cst.Set) -> Iterator[Change]:
    parts = [site.code(e.value) for e in node.elements if isinstance(e, cst.Element)]
    if len(parts) != len(node.elements):
        return
    text = site.text
    left, right = (text[0], text[-1]) if text[:1] in "[{(" and not isinstance(node, cst.Tuple) else ("", "")

    def build(items: list[str]) -> str:
        body = ", ".join(items)
        if isinstance(node, cst.Tuple) and len(items) == 1:
            body += ","
        return f"{left}{body}{right}"

    if len(parts) <= 40:
        for i in range(len(parts)):
            rest = parts[:i] + parts[i + 1 :]
            if rest or isinstance(node, cst.List):
                yield 1.5, "drop element", build(rest)
            if i + 1 < len(parts):
                yield 1.4, "swap elements", build([*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]])
    for extra in site.names:
        if extra not in parts and len(parts) <= 6:
            yield 2.4, "one more element", build([*parts, extra])


def condition(site: Site) -> Iterator[Change]:
    text = site.text
    simple = is_boolean(site.node) or is_compound(text)
    yield 1.4, "negate condition", f"not ({text})" if simple else f"not {text}"
    yield 3.2, "constant condition", "True"
    yield 3.2, "constant condition", "False"
    others = list(site.pool.conditions)
    atoms = [n for n in site.names if n != "self"]
    others += [f"{a} is None" for a in atoms] + [f"{a} is not None" for a in atoms]
    others += [f"not {a}" for a in atoms] + atoms
    here = f"({text})" if isinstance(site.node, cst.BooleanOperation) else text
    visible = set(site.names) | set(site.source.module_names) | {f.name for f in site.source.functions}
    for other in others:
        if other == text or not set(free_names(other)) <= visible:
            continue
        borrowed = other in site.pool.conditions
        there = (
            f"({other})"
            if is_compound(other) and ("or" in other.split() or "and" in other.split())
            else other
        )
        yield (2.2 if borrowed else 2.8), "strengthen condition", f"{here} and {there}"
        yield (2.2 if borrowed else 2.8), "weaken condition", f"{here} or {there}"
        yield 2.7, "strengthen condition", f"not ({other}) and {here}"
    for other in renamed(text, site.names):
        yield 2.4, "weaken by a variation", f"{here} or {other}"
        yield 2.6, "strengthen by a variation", f"{here} and {other}"


def renamed(text: str, names: list[str]) -> Iterator[str]:
    """``text`` with one name replaced, or two exchanged."""
    used = [n for n in free_names(text) if n in names]
    for old in used:
        for new in names:
            if new != old and new not in used and new != "self":
                yield substitute(text, {old: new})
    for i, first in enumerate(used):
        for second in used[i + 1 :]:
            yield substitute(text, {first: second, second: first})


def substitute(text: str, mapping: dict[str, str]) -> str:
    """``text`` with names replaced (whole identifiers that are not attributes)."""
    pattern = r"(?<![\w.])(" + "|".join(map(re.escape, mapping)) + r")(?!\w)"
    return re.sub(pattern, lambda match: mapping[match.group(1)], text)


def wrap(site: Site) -> Iterator[Change]:
    node, text = site.node, site.text
    if isinstance(node, (cst.SimpleString, cst.Integer, cst.Float, cst.Lambda)) or (
        isinstance(node, cst.Name) and node.value in ("True", "False", "None")
    ):
        return
    if isinstance(site.parent, cst.Call) and site.parent.func is node:
        return
    base = f"({text})" if is_compound(text) else text
    for wrapper in WRAPPERS:
        if not text.startswith(wrapper + "("):
            yield 1.3 if wrapper in affine(site) else 2.0, f"wrap in {wrapper}", f"{wrapper}({text})"
    for own in site.pool.callables:
        yield 1.8, "wrap in a function of this file", f"{own}({text})"
    for suffix in SUFFIXES:
        yield 2.3, f"append {suffix}", f"{base}{suffix}"
    for variable in site.names:
        if variable != text and variable != "self":
            yield 2.5, "slice by a variable", f"{base}[:{variable}]"
            yield 2.4, "slice by a variable", f"{base}[{variable}:]"
    if not isinstance(node, (cst.Name, cst.Attribute)) and not is_boolean(node):
        yield 2.0, "one more", f"{base} + 1"
        yield 2.0, "one less", f"{base} - 1"
        yield 2.2, "negate", f"-{base}"
    if is_boolean(node) and not site.is_condition:
        yield 1.6, "negate result", f"not ({text})"
    if isinstance(site.parent, cst.Return):
        yield 2.4, "negate result", f"not {base}"
        if not isinstance(node, cst.Tuple):
            yield 2.6, "a tuple of one", f"({text},)"


def affine(site: Site) -> tuple[str, ...]:
    """Calls that are commonly made of an expression of this form."""
    node = site.node
    if isinstance(node, cst.BinaryOperation):
        if isinstance(node.operator, cst.Subtract):
            return ("abs",)
        if isinstance(node.operator, cst.Divide):
            return ("int", "round")
    if isinstance(node, cst.ListComp):
        return ("sum", "set", "sorted")
    return ()


def borrow(site: Site) -> Iterator[Change]:
    """Another expression of the same function in this one's place."""
    node, text = site.node, site.text
    if isinstance(site.parent, cst.Call) and site.parent.func is node:
        return
    visible = set(site.names) | set(site.source.module_names) | {f.name for f in site.source.functions}
    for other in site.pool.expressions:
        if other != text and set(free_names(other)) <= visible:
            distance = 0.4 if text in other else 0.0
            yield 2.6 + 0.008 * len(other) - distance, "borrowed expression", other
    if not isinstance(node, (cst.Name, cst.Integer, cst.Float, cst.SimpleString, cst.Attribute)):
        for other in site.names:
            yield 2.4, "variable for expression", other
            yield 3.0, "negated variable for expression", f"-{other}"
        for constant in ("None", "True", "False", "0", "1", "[]", "''"):
            yield 3.6, "constant for expression", constant
