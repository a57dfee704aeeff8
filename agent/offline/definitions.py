"""Edits of what is set once: default arguments, constants of classes and modules, decorators."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import libcst as cst

from agent.offline.source import Edit, Function, Source, is_compound
from agent.offline.statements import Change, is_docstring_line

MAX_WORDS = 12


def of_function(source: Source, function: Function, prose: str, failure: str) -> Iterator[Change]:
    """Default arguments (other constants, the mutable default) and decorators.

    ``prose`` and ``failure`` (of the test) may name the right value.
    """
    body = function.node.body
    if not isinstance(body, cst.IndentedBlock):
        return
    statements = [s for s in body.body if not is_docstring_line(s)]
    for parameter in (*function.node.params.params, *function.node.params.kwonly_params):
        default = parameter.default
        if default is None:
            continue
        start, end = source.span(default)
        text = source.code(default)
        line = source.line(start)
        mutable = isinstance(default, (cst.List, cst.Dict, cst.Set, cst.ListComp, cst.DictComp)) or text in (
            "list()", "dict()", "set()",
        )  # fmt: skip
        name = parameter.name.value
        if mutable and statements:
            at = source.line_start(source.span(statements[0])[0])
            pad = source.indent(source.span(statements[0])[0])
            guard = f"{pad}if {name} is None:\n{pad}    {name} = {text}\n"
            yield 0.8, "mutable default", line, (Edit(start, end, "None"), Edit(at, at, guard))
        for new in ("None", "0", "1", "-1", "True", "False", "''", "()"):
            if new != text and not is_compound(text):
                cost = 1.0 if {new, text} == {"True", "False"} else 1.9
                yield cost, "default argument", line, (Edit(start, end, new),)
        for cost, new in constants(default, text, prose, failure):
            yield cost, "default argument", line, (Edit(start, end, new),)
    for decorator in function.node.decorators:
        start, end = source.span(decorator)
        whole = (Edit(source.line_start(start), source.line_end(max(start, end - 1)), ""),)
        yield 2.2, "drop a decorator", source.line(start), whole


def of_file(source: Source, prose: str, failure: str) -> Iterator[Change]:
    """Constants in the values that classes and the module set, a dataclass's defaults among them."""
    for node in source.walk(source.module):
        value = node.value if isinstance(node, (cst.Assign, cst.AnnAssign)) else None
        if value is None or any(isinstance(a, cst.FunctionDef) for a in source.ancestors(node)):
            continue
        line = source.line(source.span(node)[0])
        for leaf in source.walk(value):
            if isinstance(leaf, (cst.Integer, cst.Float, cst.SimpleString, cst.Name)):
                start, end = source.span(leaf)
                for cost, new in constants(leaf, source.code(leaf), prose, failure):
                    yield cost + 0.3, "constant of a definition", line, (Edit(start, end, new),)


def constants(node: cst.BaseExpression, text: str, prose: str, failure: str) -> Iterator[tuple[float, str]]:
    """Other constants in the place of one, with costs: low where the failure shows both."""
    hints = f"{failure}\n{prose}"
    if text in ("True", "False"):
        yield 1.0, "False" if text == "True" else "True"
    elif isinstance(node, (cst.Integer, cst.Float)):
        value = ast.literal_eval(text)
        near = [value + 1, value - 1, value * 2, value * 10, value / 10, value / 2]
        for number in (n for n in near if n != value):
            whole = isinstance(value, int) and number == int(number)
            yield 1.6, str(int(number) if whole else number)
        named = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", prose)
        yield from ((1.1, new) for new in list(dict.fromkeys(named))[:MAX_WORDS] if new != text)
    elif isinstance(node, cst.SimpleString):
        old = ast.literal_eval(text)
        if isinstance(old, str):
            quote = node.quote
            for word in alike(old, hints):
                shown = repr(old) in failure and repr(word) in failure
                yield 0.9 if shown else 1.7, f"{quote}{word}{quote}"


def alike(old: str, hints: str) -> list[str]:
    """Words of ``hints`` that are written as ``old`` is: in capitals, in small letters, quoted."""
    quoted = re.findall(r"""["'`]([^"'`\\\n]{1,40})["'`]""", hints)
    form = (old.isupper(), old.islower())
    words = [w for w in re.findall(r"\w[\w-]*", hints) if (w.isupper(), w.islower()) == form and any(form)]
    near = [w for w in words if form[0] or abs(len(w) - len(old)) <= 2]
    return [w for w in dict.fromkeys([*quoted, *near]) if w != old][:MAX_WORDS]
