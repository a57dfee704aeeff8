"""Exceptions and warnings by their texts: which class, with which message, and whether that was meant."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.world.regex import search

Judgement = Literal["holds", "broken", "unknown"]
MORE = "?"
"""Among a class's ancestors: there are others, which are not known."""
_NOTHING = ("None", "no exception", "nothing", "[]", "()", "no warning", "no warnings")


@dataclass(frozen=True)
class Raised:
    """An exception as its ``repr`` shows it. ``messages``: what ``str`` may give, empty for not known."""

    name: str
    messages: tuple[str, ...] = ()


def own_exceptions(sources: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Class name → names of all its ancestors, for the exceptions that these source texts define."""
    bases: dict[str, set[str]] = {}
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                # Two classes of one name: whichever is meant, there may be more.
                bases[node.name] = names if node.name not in bases else bases[node.name] | names | {MORE}
    found = {name: _ancestors(name, bases) for name in bases}
    return {
        name: tuple(sorted(above))
        for name, above in found.items()
        if above & {"BaseException", "Exception"} or any(a.endswith(("Error", "Warning")) for a in above)
    }


def _ancestors(name: str, bases: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in bases:
            above = bases[current] - found
        else:
            known = getattr(builtins, current, None)
            above = {k.__name__ for k in known.__mro__[1:]} if isinstance(known, type) else {MORE}
        found |= above
        waiting += [one for one in above if one != MORE and one != current]
        if len(found) > 500:
            return {MORE}
    return found - {name}


def read_exception(text: str) -> Raised | None:
    """``ValueError('x')``, ``pkg.Error``, ``ValueError: x``; None for "no exception" and the like."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text.count(text[0]) == 2:
        text = text[1:-1].strip()
    if text in _NOTHING:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if isinstance(tree, ast.Call):
        return Raised(_last(ast.unparse(tree.func)), _messages(tree))
    head, colon, rest = text.strip("<> ").removeprefix("class ").partition(":")
    name = _last(head.partition("(")[0].strip("'\" "))
    return Raised(name, (rest.strip(),) if colon and "(" not in head else ())


def _messages(call: ast.Call) -> tuple[str, ...]:
    try:
        values = [ast.literal_eval(argument) for argument in call.args]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ()
    if not values:
        return ("",)
    if len(values) == 1:
        return tuple(dict.fromkeys((str(values[0]), repr(values[0]))))
    plain = str(tuple(values))
    return (plain, f"[Errno {values[0]}] {values[1]}") if len(values) == 2 else (plain,)


def _last(name: str) -> str:
    return name.strip().rpartition(".")[2]


def judge_raised(tree: ast.Call, value: str | None, own: Mapping[str, Sequence[str]]) -> Judgement:
    """``raises(E, match=...)`` or ``warns(...)`` on the text of what came.

    ``own``: the ancestors of the program's own exceptions. A class that is not known is unknown.
    """
    if value is None:
        return "unknown"
    if getattr(tree.func, "id", "") == "warns":
        return _judge_warned(tree, value, own)
    came = read_exception(value)
    if came is None:
        return "broken"
    return _judge_one(tree, came, own)


def _judge_warned(tree: ast.Call, value: str, own: Mapping[str, Sequence[str]]) -> Judgement:
    if value.strip() in _NOTHING:
        return "broken"
    try:
        parsed = ast.parse(value.strip(), mode="eval").body
        items = parsed.elts if isinstance(parsed, (ast.List, ast.Tuple)) else [parsed]
        texts = [ast.unparse(item) for item in items]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        texts = [value]
    found = [read_exception(text) for text in texts]
    judged = [_judge_one(tree, one, own) for one in found if one is not None]
    if "holds" in judged:
        return "holds"
    return "unknown" if "unknown" in judged else "broken"


def _judge_one(tree: ast.Call, came: Raised, own: Mapping[str, Sequence[str]]) -> Judgement:
    kind = _judge_class([k.id for k in tree.args if isinstance(k, ast.Name)], came.name, own)
    if kind != "holds":
        return kind
    for keyword in tree.keywords:
        wanted = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if not isinstance(wanted, str):
            return "unknown"
        if keyword.arg == "contains":
            found: list[bool | None] = [wanted in message for message in came.messages]
        else:
            found = [search(wanted, message) for message in came.messages]
        if True in found:
            continue
        # What `str` gives of one of the program's own classes is the program's affair.
        return "unknown" if not found or None in found or came.name in own else "broken"
    return "holds"


def _judge_class(wanted: Sequence[str], came: str, own: Mapping[str, Sequence[str]]) -> Judgement:
    if came in wanted:
        return "holds"
    above = set(own.get(came, ()))
    known = getattr(builtins, came, None)
    if came not in own:
        if not (isinstance(known, type) and issubclass(known, BaseException)):
            return "unknown"
        above = {kind.__name__ for kind in known.__mro__}
    names = set()
    for name in wanted:
        kind = getattr(builtins, name, None)
        names.add(kind.__name__ if isinstance(kind, type) else name)  # IOError is OSError
    if above & names:
        return "holds"
    return "unknown" if MORE in above else "broken"
