"""Changed function bodies, put into a process that has already imported the unchanged ones.

An import runs decorators, class bodies and module code; ``function.__code__ = other`` runs nothing. Where a
change is within functions that importing did not call, the two leave the same program behind, and the
second takes a fraction of the time. ``exchanges`` decides that; every other change has to be imported.
"""

import gc
import types
from typing import Any

BODY = 0x1 | 0x2
"""Flags (optimized, new locals) that functions have, and modules and class bodies have not."""

SHAPE = (
    "co_name", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_code", "co_names",
    "co_varnames", "co_freevars", "co_cellvars", "co_exceptiontable",
)  # fmt: skip


def shape(code: Any) -> Any:
    """All that a code object does by itself: the functions inside it are left out."""
    constants = [None if isinstance(c, types.CodeType) else (type(c), repr(c)) for c in code.co_consts]
    return [getattr(code, name, None) for name in SHAPE], constants


def inside(code: Any) -> Any:
    return [c for c in code.co_consts if isinstance(c, types.CodeType)]


def exchanges(old: Any, new: Any, called: Any) -> Any:
    """Pairs of code objects to exchange, or None: the change takes a new import.

    ``old``, ``new``: of a module. ``called``: the ids of code objects that have been called.
    """
    if shape(old) != shape(new):
        body = old.co_flags & new.co_flags & BODY == BODY
        same = old.co_name == new.co_name and old.co_freevars == new.co_freevars
        return [(old, new)] if body and same and id(old) not in called else None
    pairs = []
    for a, b in zip(inside(old), inside(new)):  # noqa: B905 (Python 3.6); equal shapes hold equally many
        below = exchanges(a, b, called)
        if below is None:
            return None
        pairs += below
    return pairs + [(old, new)] if pairs else []  # noqa: RUF005 (one kind of list)


def live_functions() -> Any:
    """Every function object of this process, by the id of its code: whoever holds it, sees the exchange."""
    found: Any = {}
    for thing in gc.get_objects():
        if type(thing) is types.FunctionType:
            found.setdefault(id(thing.__code__), []).append(thing)
    return found


class Called:
    """A trace function that notes which functions are called."""

    def __init__(self) -> None:
        self.codes: Any = {}

    def __call__(self, frame: Any, event: Any, arg: Any) -> None:
        self.codes[id(frame.f_code)] = frame.f_code
