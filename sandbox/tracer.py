# ruff: noqa: B905, UP006, UP031, UP035, UP036, UP045, PTH118, PTH120, PTH123, PTH206
"""Records what Python code does, line by line, from inside the process that runs it.

One file, standard library only, Python 3.6 to 3.13: its text is sent into the sandbox, where it
runs beside code that nobody trusts. It uses ``sys.monitoring`` where there is one (3.12) and
``sys.settrace`` below. ``sandbox/record.py`` reads on the host what it writes.

What it promises to the program that it watches:

- it runs none of the program's own code: values are described by looking at exact builtin types
  and at instance dictionaries, never by ``repr``, ``==``, ``len``, ``hash`` or attribute access;
- it holds no reference to the program's objects, except to numbers, strings and types;
- an error of its own ends the recording, not the program.

The raw record is written into a memory-mapped file as it grows, so that nothing is lost when the
process is killed. It is ASCII, one record a line, zero bytes after the last one. Records:

    H {...}                      python, test, runs
    F {...}                      a function: id, function, file, names
    R run                        a run begins
    > act func line depth visit  a call (or a generator that goes on); ``act`` is its activation
    @ act                        the records that follow belong to this activation
    12                           a line event, before the line runs
    < line value                 a return, or a yield
    ! line value                 an exception passes through this frame
    P {...}                      a probe
    O {...}                      outcome of a run
    N text                       a note
    L func line                  (lines mode) first execution of a line in this test
    T text                       (lines mode) a test begins
    E {...}                      the end: limits that were hit

Calls, lines, returns and exceptions go on with ``TAB index=value`` for each local that changed
(``TAB index-`` for one that was unbound), ``index`` pointing into ``names``. Values are JSON
strings.
"""

import _thread
import ast
import builtins
import collections
import datetime
import decimal
import dis
import enum
import itertools
import mmap
import operator
import os
import re
import sys
import threading
import time
import types
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

# Tests mock builtins, ``os`` and ``time``: everything needed while they run is bound here.
_open, _close, _fallocate = os.open, os.close, getattr(os, "posix_fallocate", None)
_truncate, _getpid, _clock = os.ftruncate, os.getpid, time.monotonic
_get_ident, _getframe, _threads = threading.get_ident, sys._getframe, _thread._count
_id, _type, _len, _repr, _sorted, _range, _str, _min, _max = id, type, len, repr, sorted, range, str, min, max
_int = int
_mmap, _islice, _count, _first = mmap.mmap, itertools.islice, itertools.count, operator.itemgetter(0)
_length = operator.length_hint
_next = next
_dumps = __import__("json").JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

CHARS, ITEMS, DEPTH, NODES = 80, 8, 2, 32
"""Bounds on one value: characters of a string, items of a container, nesting, values in all."""

_MAX_PROBES = 2000
_RESERVE = 1 << 18  # bytes kept back for probes, outcomes and the end, when frames fill the file
_CHUNK = 1 << 20

_FOREIGN = {"site-packages", "dist-packages", ".tox", ".nox", ".venv", "venv", ".eggs", "node_modules"}
# Inlined from 3.12 on; followed nowhere, so that all versions tell the same story.
_ANONYMOUS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


# --- values -----------------------------------------------------------------------------------

_type_mro = type.__dict__["__mro__"].__get__
_type_dict = type.__dict__["__dict__"].__get__
_name_of = type.__dict__["__name__"].__get__
_function_name_of = operator.attrgetter("__name__")  # of exactly the types in _FUNCTIONS
_module_of = type.__dict__["__module__"].__get__
_args_of = BaseException.__dict__["args"].__get__
_module_dict = types.ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ATOMS = frozenset(id(t) for t in (int, float, complex, bool, str, bytes, type(None), type(...)))
_PLAIN = frozenset(  # immutable, written in C, and described by their own repr without calling back
    id(t) for t in (range, decimal.Decimal, datetime.date, datetime.timedelta)
)
_PATTERN: Any = type(_ADDRESS)
_STR = id(str)
_FUNCTIONS = frozenset(
    id(t) for t in (types.FunctionType, types.BuiltinFunctionType, types.GeneratorType, types.CoroutineType)
)
_BASES = frozenset(
    id(t) for t in (str, int, float, bytes, list, tuple, set, frozenset, dict, collections.deque)
)


_CONSTANTS = {id(value): b'"%b"' % repr(value).encode("ascii") for value in (None, True, False)}


def _mro_of(kind: Any) -> Any:
    """``kind.__mro__``; empty for a class that a collection has cleared, or that C code never finished."""
    return _type_mro(kind) or ()


def _dict_of(kind: Any) -> Any:
    """``kind.__dict__``; likewise."""
    return _type_dict(kind) or {}


def describe(value: Any) -> str:
    """A bounded, deterministic text for ``value``: its ``repr`` where that is a short builtin's.

    Never runs the program's own code and never raises. Cut values end in ``...``; objects read
    ``<Type name=value>``, with no address.
    """
    try:
        return _describe(value, DEPTH, [NODES], False)
    except Exception as error:  # no stack left, or a container that another thread changes meanwhile
        return "<unreadable: %s>" % _name_of(_type(error))


def _text(value: str) -> str:
    cut = _len(value) - CHARS
    shown = value[:CHARS] if cut > 0 else value
    if " at 0x" in shown:
        shown = _ADDRESS.sub("", shown)
    if cut <= 0:
        return _repr(shown)
    return "%s...(+%d)" % (_repr(shown), cut)


def _atom(value: Any, kind: Any) -> str:
    if kind is str:
        return _text(value)
    if kind is int:
        if value >> 64 in (0, -1):  # what 64 bits and a sign hold
            return _repr(value)
        return "<int of %d bits, %s>" % (value.bit_length(), "> 0" if value > 0 else "< 0")
    if kind is bytes:
        cut = _len(value) - CHARS
        return "%r...(+%d)" % (value[:CHARS], cut) if cut > 0 else _repr(value)
    return _repr(value)


def _describe(value: Any, depth: int, nodes: List[int], inside: bool) -> str:
    kind = _type(value)
    nodes[0] -= 1
    if kind is str:
        return _text(value)
    if _id(kind) in _ATOMS:
        return _atom(value, kind)
    if nodes[0] < 0:
        return "..."
    shape, helper, name, _ = _shapes.get(_id(kind)) or _shape(kind)
    if shape == _LEAF or (inside and (shape in (_STATE, _SLOTS))):
        return "<%s>" % name
    if shape == _STATE:
        state = helper(value)
        found = [*_islice(state.items(), ITEMS + 1)] if _type(state) is dict else []
        if found and [*map(_id, map(_type, map(_first, found)))].count(_STR) == _len(found):
            parts = ["%s=%s" % (k, _describe(v, depth - 1, nodes, True)) for k, v in found[:ITEMS]]
            return "<%s %s%s>" % (name, " ".join(parts), " ..." if _len(found) > ITEMS else "")
    if shape == _BASED and helper is not _args_of:
        return "%s(%s)" % (name, _underlying(value, helper, depth, nodes))
    if kind is list:
        return "[%s]" % _items(value, list, depth, nodes)
    if kind is tuple:
        shown = _items(value, tuple, depth, nodes)
        return "(%s,)" % shown if _len(value) == 1 else "(%s)" % shown
    if kind is dict:
        return "{%s}" % _pairs(value, depth, nodes)
    if kind is set or kind is frozenset:
        shown = _members(value, kind, depth, nodes)
        shown = "{%s}" % shown if shown else "set()" if kind is set else ""
        return shown if kind is set else "frozenset(%s)" % shown
    if kind is _PATTERN:
        return "<%s>" % name
    if _id(kind) in _PLAIN:
        return _repr(value)[: 2 * CHARS]
    if _id(kind) in _FUNCTIONS:
        return "<%s %s>" % (_name_of(kind), _plain_name(value.__name__))
    if kind is types.ModuleType:
        return "<module %s>" % _plain_name(_module_dict(value).get("__name__"))
    mro = _mro_of(kind)
    for base in mro:
        if base is type:
            return "<class %s>" % _name_of(value)
    return _object(value, kind, mro, depth, nodes, inside)


_opaque: Dict[str, bool] = {}
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_OPEN = frozenset([("types", "SimpleNamespace"), ("argparse", "Namespace"), ("fractions", "Fraction")])


def _is_opaque(kind: Any, name: str) -> bool:
    """Whether objects of a class keep their state to themselves: those of the standard library and of
    installed packages, whose insides differ between versions and runs."""
    module = _dict_of(kind).get("__module__")
    if module is None and not _flags_of(kind) & _HEAP:  # a static type has it in its full name
        module = _module_of(kind)
        if module == "builtins":
            return False
    if _type(module) is not str or (module, name) in _OPEN:
        return False
    known = _opaque.get(module)
    if known is None:
        found = sys.modules.get(module)
        file = _module_dict(found).get("__file__") if _type(found) is types.ModuleType else ""
        if _type(file) is str:
            known = file.startswith(_LIBRARY) or not _FOREIGN.isdisjoint(file.split(os.sep))
        else:
            known = module != "__main__"
        _opaque[module] = known
    return known


def _plain_name(name: Any) -> str:
    return name if _type(name) is str else "?"


def _object(value: Any, kind: Any, mro: Sequence[Any], depth: int, nodes: List[int], inside: bool) -> str:
    name = _name_of(kind)
    state = _state(value, mro)
    for base in mro:
        if base is BaseException:
            return "%s(%s)" % (name, _items(_args_of(value), tuple, depth, nodes))
        if base is enum.Enum and state is not None and _type(state.get("_name_")) is str:
            return "%s.%s" % (name, state["_name_"])
    for base in mro:
        if _id(base) in _BASES:
            return "%s(%s)" % (name, _underlying(value, base, depth, nodes))
    if inside or _is_opaque(kind, name):
        return "<%s>" % name
    if state is None:
        slots = _slots(value, mro)
    else:
        slots = [(k, v) for k, v in list(_islice(state.items(), ITEMS + 1)) if _type(k) is str]
    if not slots:
        return "<%s>" % name
    parts = ["%s=%s" % (k, _describe(v, depth - 1, nodes, True)) for k, v in slots[:ITEMS]]
    return "<%s %s%s>" % (name, " ".join(parts), " ..." if _len(slots) > ITEMS else "")


def _underlying(value: Any, base: Any, depth: int, nodes: List[int]) -> str:
    """The content of an instance of a subclass of a builtin, read through the builtin's own methods."""
    if base is str:
        return _text(str.__getitem__(value, slice(None)))
    if base is int:
        return _atom(int.__add__(value, 0), int)
    if base is float:
        return _repr(float.__add__(value, 0.0))
    if base is bytes:
        return _atom(bytes.__getitem__(value, slice(None)), bytes)
    if base is dict:
        return "{%s}" % _pairs(value, depth, nodes)
    if base is set or base is frozenset:
        return "{%s}" % _members(value, base, depth, nodes)
    brackets = "(%s)" if base is tuple else "[%s]"
    return brackets % _items(value, base, depth, nodes)


def _state(value: Any, mro: Sequence[Any]) -> Optional[Dict[Any, Any]]:
    """The instance's ``__dict__`` by static look-up, or None where the class defines its own."""
    for base in mro:
        found = _dict_of(base).get("__dict__")
        if found is not None:
            if _type(found) is not types.GetSetDescriptorType:
                return None
            state = found.__get__(value)
            return state if _type(state) is dict else None
    return None


def _slots(value: Any, mro: Sequence[Any]) -> List[Tuple[str, Any]]:
    found = []
    for base in mro:
        if base is object:
            break
        for name, member in list(_dict_of(base).items()):
            if _type(member) is types.MemberDescriptorType and _type(name) is str:
                try:
                    found.append((name, member.__get__(value)))
                except AttributeError:
                    continue
                if _len(found) > ITEMS:
                    return found
    return found


def _items(value: Any, base: Any, depth: int, nodes: List[int]) -> str:
    size = base.__len__(value)
    if size and depth <= 0:
        return "..."
    get = base.__getitem__
    parts = [_describe(get(value, i), depth - 1, nodes, True) for i in _range(_min(size, ITEMS))]
    if size > ITEMS:
        parts.append("...(+%d)" % (size - ITEMS))
    return ", ".join(parts)


def _pairs(value: Any, depth: int, nodes: List[int]) -> str:
    size = dict.__len__(value)
    if size and depth <= 0:
        return "..."
    parts: List[str] = []
    for key, item in dict.items(value):
        if _len(parts) >= ITEMS:
            parts.append("...(+%d)" % (size - ITEMS))
            break
        shown = _describe(key, depth - 1, nodes, True)
        parts.append("%s: %s" % (shown, _describe(item, depth - 1, nodes, True)))
    return ", ".join(parts)


def _members(value: Any, base: Any, depth: int, nodes: List[int]) -> str:
    """A set's members in order. Of a very large one only the size: which come first is chance."""
    size = base.__len__(value)
    if size and depth <= 0:
        return "..."
    if size > 1000:
        return "...(+%d)" % size
    members = list(base.__iter__(value))
    kinds = {_id(_type(m)) for m in members}
    if kinds <= {_id(int), _id(bool)} or kinds == {_id(str)}:
        shown = [_atom(m, _type(m)) for m in _sorted(members)[:ITEMS]]
        nodes[0] -= _len(shown)
    else:
        shown = _sorted(_describe(m, depth - 1, [NODES // ITEMS], True) for m in members)[:ITEMS]
    if size > ITEMS:
        shown.append("...(+%d)" % (size - ITEMS))
    return ", ".join(shown)


# --- has a value changed? -----------------------------------------------------------------------
#
# Describing a container or an object again at every line costs most. A mark of it is made instead,
# when it is described: the identities of what its description looked at, and their types. Identity
# alone is not enough, for what was freed leaves its address to another. So a mark holds atoms (numbers,
# strings, types), which cannot be freed then; for all else the type says what the description says, or
# there is a mark of it in the mark. What is frozen (a tuple of numbers, a builtin function) needs no second
# look while it is the same object.

_HELD, _LEAF, _NAMED, _LIST, _BASED, _MAP, _SET, _DEQUE, _STATE, _SLOTS, _AGAIN = _range(11)
_EMPTY = -1
_NO_IDS: List[int] = []
_FIRST = slice(0, ITEMS)
_flags_of = type.__dict__["__flags__"].__get__
_weaks_of = type.__dict__["__weakrefoffset__"].__get__
_dicts_of = type.__dict__["__dictoffset__"].__get__
_HEAP, _IMMUTABLE = 1 << 9, 1 << 8  # Py_TPFLAGS_HEAPTYPE; Py_TPFLAGS_IMMUTABLETYPE, from 3.10 on
_FIXED = frozenset([_id(types.BuiltinFunctionType)])
_iter_deque, _deque_size = collections.deque.__iter__, collections.deque.__len__
_keys, _values = dict.__iter__, dict.values
_shapes: Dict[int, Tuple[int, Any, str, Any]] = {}
"""id of a type → how to look at its instances (above), a helper, its name, and the type (so its id stays)"""


class _Mark:
    __slots__ = (
        "frozen", "held", "helper", "ids", "kind", "live",
        "names", "others", "owner", "seen", "shape", "size",
    )  # fmt: skip

    kind: Any
    shape: int
    helper: Any
    size: int
    ids: List[int]
    names: str
    """of an instance's attributes"""
    frozen: bool
    held: Any
    live: bool
    """whether the value may look different later on"""
    owner: int
    """id of the instance that was last found as marked, and in ``seen`` the tracer's moment then. Only of
    instances of classes: making one takes a call, so in one moment no other one can come to lie at the same
    place. 0 for everything else (a quiet statement makes lists, bound methods, slices)"""
    seen: int
    others: Sequence[Tuple[int, Any, Any, Any, Optional["_Mark"]]]
    """of the parts that are not held: index and type; where that does not say it all, a function and its
    result, or a mark"""


def _shape(kind: Any) -> Tuple[int, Any, str, Any]:
    found = _shapes.get(_id(kind))
    if found is None:
        if _len(_shapes) > 1000:
            _shapes.clear()
        found = _shapes[_id(kind)] = (*_shape_of(kind), _name_of(kind), kind)
    return found


def _shape_of(kind: Any) -> Tuple[int, Any]:
    if _id(kind) in _ATOMS or _id(kind) in _PLAIN or kind is _PATTERN:
        return _HELD, None
    if kind is list or kind is tuple:
        return _LIST, None
    if kind is dict:
        return _MAP, None
    if kind is set or kind is frozenset:
        return _SET, kind
    if _id(kind) in _FUNCTIONS:
        return _NAMED, _function_name_of
    if kind is types.ModuleType:
        return _NAMED, _module_name
    mro = _mro_of(kind)
    for base in mro:
        if base is type:
            return _HELD, None
    for base in mro:
        if base is BaseException:
            return _BASED, _args_of
        if base is enum.Enum:
            return _NAMED, _member_name
    for base in mro:
        if base is list or base is tuple:
            return _BASED, base
        if base is dict:
            return _MAP, None
        if base is str:
            return _NAMED, _string
        if base is collections.deque:
            return _DEQUE, None
        if _id(base) in _BASES:
            return _AGAIN, None
    if _is_opaque(kind, _name_of(kind)):
        return _LEAF, None
    for base in mro:
        found = _dict_of(base).get("__dict__")
        if found is not None:
            return (_STATE, found.__get__) if _type(found) is types.GetSetDescriptorType else (_AGAIN, None)
    getters = []
    for base in mro:
        if base is not object:
            for name, member in list(_dict_of(base).items()):
                if _type(member) is types.MemberDescriptorType and _type(name) is str:
                    getters.append(member.__get__)
    return (_SLOTS, getters) if _len(getters) <= 2 * ITEMS else (_AGAIN, None)


def _module_name(value: Any) -> Any:
    return _only_string(_module_dict(value).get("__name__"))


def _member_name(value: Any) -> Any:
    state = _state(value, _mro_of(_type(value)))
    return None if state is None else _only_string(state.get("_name_"))


def _only_string(value: Any) -> Any:
    return value if _type(value) is str else None


def _string(value: Any) -> Any:
    return str.__getitem__(value, slice(None))


def _size(value: Any) -> int:
    for base in _mro_of(_type(value)):
        if base is BaseException:
            return _len(_args_of(value))
        if _id(base) in _BASES:
            return int(base.__len__(value))
    return 0


def _parts(value: Any, shape: int, helper: Any) -> Tuple[int, List[Any]]:
    """How many parts a value has, and those that its description may show."""
    if shape == _LIST:
        return _len(value), value[:ITEMS]
    if shape == _MAP:
        size = dict.__len__(value)
        if size <= ITEMS:
            return size, [*_keys(value), *_values(value)]
        return size, [*_islice(_keys(value), ITEMS), *_islice(_values(value), ITEMS)]
    if shape == _STATE:
        state = helper(value)
        if _type(state) is not dict:
            return _EMPTY, []
        return _min(_len(state), ITEMS + 1), [*_islice(state.values(), ITEMS)]
    if shape == _BASED:
        if helper is _args_of:
            value, helper = _args_of(value), tuple
        return helper.__len__(value), helper.__getitem__(value, _FIRST)
    if shape == _DEQUE:
        return _deque_size(value), [*_islice(_iter_deque(value), ITEMS)]
    if shape == _SET:
        size = _len(value)
        return (size, list(value)) if size <= 64 else (_EMPTY, [])
    found = []
    for get in helper:
        try:
            found.append(get(value))
        except AttributeError:
            found.append(_MISSING)
    return 0, found


def _shape_in(part: Any) -> int:
    kind = _type(part)
    found = _shapes.get(_id(kind)) or _shape(kind)
    shape = found[0]
    if (shape == _LIST and kind is tuple) or (shape == _BASED and found[1] is tuple):
        return _HELD if _is_fixed(part, kind, DEPTH) else shape
    return shape


def _is_fixed(value: Any, kind: Any, depth: int) -> bool:
    """Whether a tuple holds nothing but what may be held, all the way down, and may be held for it: nobody
    can tell when it dies."""
    if tuple.__len__(value) > ITEMS or (kind is not tuple and not _is_bare_tuple(kind)):
        return False
    for part in tuple.__iter__(value):
        inner = _type(part)
        if _id(inner) in _ATOMS:
            continue
        shape, helper, _, _ = _shape(inner)
        if shape != _HELD and not (
            depth > 0
            and (inner is tuple or (shape == _BASED and helper is tuple))
            and _is_fixed(part, inner, depth - 1)
        ):
            return False
    return True


def _is_bare_tuple(kind: Any) -> bool:
    if _weaks_of(kind) or _dicts_of(kind):
        return False
    mro = _mro_of(kind)
    return any(base is tuple for base in mro) and not any("__del__" in _dict_of(base) for base in mro)


def _may_turn(kind: Any) -> bool:
    """Whether an instance of a type may be given another class."""
    return bool(_flags_of(kind) & (_HEAP | _IMMUTABLE) == _HEAP)


def _names(state: Dict[Any, Any], size: int) -> str:
    """An instance's attributes in one string: made and compared in no time, and without their own code."""
    return "\0".join(state if size <= ITEMS else _islice(state, ITEMS))


def _mark(value: Any, kind: Any, depth: int, inside: bool) -> Optional[_Mark]:
    """A mark of what ``_describe`` shows of ``value``; None where it can only be described again."""
    shape, helper, _, _ = _shapes.get(_id(kind)) or _shape(kind)
    if shape == _AGAIN:
        return None
    if inside and shape in (_STATE, _SLOTS):
        shape = _LEAF
    mark = _Mark()
    mark.kind, mark.shape, mark.helper, mark.others = kind, shape, helper, ()
    mark.held, mark.size, mark.ids, mark.owner = None, _EMPTY, _NO_IDS, 0
    mark.frozen = shape == _HELD or _id(kind) in _FIXED or (shape == _LEAF and not _may_turn(kind))
    if shape == _HELD:
        mark.held = value
    elif shape == _NAMED:
        mark.held = helper(value)
        if mark.held is None:
            return None
    elif shape != _LEAF:
        count = _len if _id(kind) in _BASES else _size
        if depth <= 0 or (count is _len and not _len(value)):  # how many parts there are is all that is said
            mark.shape, mark.helper, mark.held = _NAMED, count, count(value)
            mark.size = 0 if depth > 0 else _EMPTY
            return mark
        mark.size, parts = _parts(value, shape, helper)
        if mark.size == _EMPTY:
            return None
        mark.ids = [*map(_id, parts)]
        if shape == _STATE:
            mark.names = _names(helper(value), mark.size)
        immutable = kind is tuple or kind is frozenset or (shape == _BASED and helper is tuple)
        shapes = [_HELD if _id(_type(part)) in _ATOMS else _shape_in(part) for part in parts]
        if shapes.count(_HELD) == _len(parts):
            mark.held, mark.frozen = parts, immutable
            return mark
        keep = [part for part, known in zip(parts, shapes) if known == _HELD]
        others = []
        for index, known in enumerate(shapes):
            if known != _HELD:
                part = parts[index]
                deeper, helper, held = None, None, None
                if known not in (_LEAF, _STATE, _SLOTS):
                    deeper = _mark(part, _type(part), depth - 1, True)
                    if deeper is None:
                        return None
                    immutable = immutable and deeper.frozen
                    if deeper.shape == _NAMED:
                        helper, held, deeper = deeper.helper, deeper.held, None
                elif known != _LEAF or _may_turn(_type(part)):
                    immutable = False
                others.append((index, _type(part), helper, held, deeper))
        mark.held, mark.others, mark.frozen = keep, others, immutable
    return mark


def _marked(value: Any, kind: Any) -> Optional[_Mark]:
    try:
        return _mark(value, kind, DEPTH, False)
    except Exception:  # no stack left, or another thread changes it meanwhile
        return None


_described: Dict[int, Tuple[_Mark, bytes]] = {}
"""id of a value → a mark and the description that goes with it; whose id it is now, the mark tells"""


def _known(value: Any, kind: Any, moment: int, broken: Optional[_Mark] = None) -> Tuple[Any, bytes]:
    """A mark (or ``_OPAQUE``) and the description of a value, as the record has it: those made before where
    they still hold, which is known not to be so of ``broken``."""
    known = _described.get(_id(value))
    if known is not None:
        mark = known[0]
        if mark is not broken and mark.kind is kind and _holds(value, mark, moment):
            return known
    text = _quote(describe(value)).encode("ascii")
    made = _marked(value, kind)
    if made is None:
        return _OPAQUE, text
    made.live = not made.frozen or _may_turn(kind)
    if (
        made.shape == _STATE or made.shape == _SLOTS or (made.shape == _BASED and made.helper is tuple)
    ) and _flags_of(kind) & _HEAP:
        made.owner, made.seen = _id(value), moment
    if _len(_described) > 1000:
        _described.clear()
    _described[_id(value)] = made, text
    return made, text


_strings: Dict[str, bytes] = {}
"""short strings, as the record has them"""


def _of_string(value: str) -> bytes:
    if _len(value) > CHARS:
        return _quote(_text(value)).encode("ascii")
    text = _strings.get(value)
    if text is None:
        if _len(_strings) > 2000:
            _strings.clear()
        text = _strings[value] = _quote(_text(value)).encode("ascii")
    return text


def _of_atom(value: Any, kind: Any) -> bytes:
    return _quote(_atom(value, kind)).encode("ascii")


_held: Dict[int, Tuple[Any, bytes]] = {}
"""id of a pattern, a class or the like → the same, and its description"""


def _of_held(value: Any) -> bytes:
    known = _held.get(_id(value))
    if known is None:
        if _len(_held) > 1000:
            _held.clear()
        known = _held[_id(value)] = value, _quote(describe(value)).encode("ascii")
    return known[1]


def _holds(value: Any, mark: _Mark, moment: int) -> bool:
    """``_same``, without a look where one was had in this moment."""
    if mark.owner:
        if mark.seen == moment and mark.owner == _id(value):
            return True
        if _same(value, mark):
            mark.owner, mark.seen = _id(value), moment
            return True
        return False
    return _same(value, mark)


def _same(value: Any, mark: _Mark) -> bool:
    """Whether a value of the mark's kind would be described as the one that was marked."""
    try:
        shape = mark.shape
        if shape == _LIST:  # the commonest first, without a call
            size = _len(value)
            parts = value if size <= ITEMS else value[:ITEMS]
        elif shape == _STATE:
            state = mark.helper(value)
            size = _len(state)
            if _type(state) is not dict:
                return False
            if size <= ITEMS:
                names, parts = "\0".join(state), [*state.values()]
            else:
                size, names, parts = ITEMS + 1, _names(state, size), [*_islice(state.values(), ITEMS)]
            if names != mark.names:
                return False
        elif shape == _LEAF:
            return True
        elif shape == _NAMED:
            return bool(mark.helper(value) == mark.held)
        elif shape == _HELD:
            return value is mark.held
        else:
            size, parts = _parts(value, shape, mark.helper)
        if size != mark.size or [*map(_id, parts)] != mark.ids:
            return False
        for index, kind, helper, held, deeper in mark.others:
            part = parts[index]
            if _type(part) is not kind:
                return False
            if deeper is not None:
                if kind is list:  # the commonest, without a call
                    size = _len(part)
                    if (
                        size != deeper.size
                        or [*map(_id, part if size <= ITEMS else part[:ITEMS])] != deeper.ids
                    ):
                        return False
                    if not deeper.others:
                        continue
                if not _same(part, deeper):
                    return False
            elif helper is not None and helper(part) != held:
                return False
        return True
    except (RuntimeError, IndexError, TypeError):  # another thread changes it meanwhile; names that are none
        return False


# --- source -----------------------------------------------------------------------------------


class _Source:
    """What a file's text says that its code objects don't: statements, and names before 3.11."""

    def __init__(self, path: str) -> None:
        self.qualnames: Dict[Tuple[int, str], str] = {}
        self.first: Dict[int, int] = {}
        """line of a statement that spans several → its first line"""
        self.silent: Dict[int, Tuple[int, int]] = {}
        """lines that only some versions report: a ``with`` again when its body is left (→ first and last
        line of the body), and ``while True`` (→ zeros)"""
        self.heads: Set[int] = set()
        """lines of ``while``: their conditions may stand in the code twice, of which one is run"""
        self.inlined: Dict[Tuple[int, str], Set[str]] = {}
        """function → names that only its comprehensions bind"""
        self.spans: List[Tuple[int, int, int, int]] = []
        """comprehensions: line, column, end line, end column"""
        try:
            with open(path, "rb") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return
        self._walk(tree.body, "")

    def _walk(self, body: Sequence[Any], prefix: str) -> None:
        for node in body:
            self._statement(node)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = prefix + node.name
                key = (_first_line(node), node.name)
                self.qualnames[key] = name
                self.inlined[key] = _only_inlined(node)
                self._walk(node.body, name + ".<locals>.")
            elif isinstance(node, ast.ClassDef):
                self.qualnames[(_first_line(node), node.name)] = prefix + node.name
                self._walk(node.body, prefix + node.name + ".")
            else:
                for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                    inner = getattr(node, field, None)
                    if isinstance(inner, list):
                        self._walk(inner, prefix)
            for inner in ast.iter_child_nodes(node):
                if isinstance(inner, ast.expr):
                    self._expression(inner, prefix)

    def _expression(self, root: Any, prefix: str) -> None:
        for node in ast.walk(root):
            if isinstance(node, ast.Lambda):
                self.qualnames.setdefault((node.lineno, "<lambda>"), prefix + "<lambda>")
            elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp)) and hasattr(node, "end_lineno"):
                self.spans.append(
                    (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
                )

    def _statement(self, node: Any) -> None:
        start = getattr(node, "lineno", None)
        if start is None:  # a match case
            return
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            end = min(_first_line(body[0]) - 1, _last_line(node))
            if isinstance(node, (ast.With, ast.AsyncWith)):
                self.silent[start] = (body[0].lineno, _last_line(node))
            elif isinstance(node, ast.While):
                self.heads.add(start)
                if _always(node.test):
                    self.silent[start] = (0, 0)
        else:
            end = _last_line(node)
        for line in range(start + 1, end + 1):
            self.first[line] = start


def _always(test: Any) -> bool:
    kind = type(test).__name__  # NameConstant and Num before 3.8
    return kind in ("Constant", "NameConstant", "Num") and bool(getattr(test, "value", getattr(test, "n", 0)))


def _first_line(node: Any) -> int:
    return min([int(node.lineno)] + [int(d.lineno) for d in getattr(node, "decorator_list", ())])


def _last_line(node: Any) -> int:
    end = getattr(node, "end_lineno", None)  # from 3.8
    if end is not None:
        return int(end)
    return max([int(getattr(n, "lineno", 0)) for n in ast.walk(node)])


def _only_inlined(function: Any) -> Set[str]:
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp)
    inside: Set[str] = set()
    outside = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    pending = [(n, False) for n in function.body]
    while pending:
        node, inner = pending.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            (inside if inner else outside).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        elif isinstance(node, ast.ExceptHandler) and node.name:
            outside.add(node.name)
        elif isinstance(node, ast.alias):
            outside.add((node.asname or node.name).split(".")[0])
        inner = inner or isinstance(node, comprehensions)
        pending.extend((child, inner) for child in ast.iter_child_nodes(node))
    return inside - outside


# --- the record -------------------------------------------------------------------------------


_Write = Callable[[bytes], int]
_NO_TURN: Iterator[_Write] = iter(())


class _Record:
    """A file that grows by memory map: what is in it survives any death of the process."""

    def __init__(self, path: str, limit: int) -> None:
        self.path, self.limit, self.pid = path, limit, _getpid()
        self.lock = threading.RLock()  # re-entrant: a signal handler may record in the middle of a probe
        self.map: Optional[mmap.mmap] = None
        self.write: _Write = _nowhere
        """Append bytes: one call, which no other thread and no signal cuts in two. ValueError where full."""
        self.size = 0
        with open(path, "wb"):
            pass
        self._grow(_CHUNK)

    @property
    def used(self) -> int:
        return 0 if self.map is None else self.map.tell()

    def _grow(self, size: int) -> None:
        handle = _open(self.path, os.O_RDWR)
        try:
            if _fallocate is not None:
                _fallocate(handle, 0, size)  # a full disk is an error here, a dead process later
            else:
                _truncate(handle, size)
            grown = _mmap(handle, size)
        finally:
            _close(handle)
        before = self.map
        if before is not None:
            grown.seek(before.tell())
            before.close()
        self.map, self.size = grown, size
        self.write = grown.write

    def put(self, data: bytes, reserve: int = 0) -> bool:
        """Append. False when it would pass the limit less ``reserve``, or there is no room on disk."""
        if self.map is None:
            return False
        end = self.map.tell() + len(data)
        if end > self.limit - reserve:
            return False
        try:
            if end > self.size:
                self._grow(max(end, min(2 * self.size, self.limit)))
            self.write(data)
        except (OSError, ValueError):
            return False
        return True

    def stop(self) -> None:
        """Nothing more is written by this process: it is a forked child."""
        self.map = None
        self.write = _nowhere

    def close(self) -> None:
        if self.map is not None:
            used = self.used
            self.map.close()
            self.stop()
            with open(self.path, "r+b") as file:
                file.truncate(used)


def _nowhere(data: bytes) -> int:
    return 0


# --- what a statement may change ----------------------------------------------------------------
#
# Most instructions change no object. Some are known to change none as long as the values they work on are
# of the builtin types that they seem to be: ``pattern.match(text)``, ``len(x)``, ``xs[0]``, ``for x in xs``.
# Which these are is read off a function's instructions once, and asked of its locals and globals each time.
# Python code that such a thing runs on the way (``__len__``, ``__eq__``, a property) is noticed as it begins.

_Kinds = frozenset  # of the ids of builtin types, which stay for good
_Need = Tuple[Any, Any]
"""Index of a local, or name of a global, and the types that it has to be of; of a builtin function, itself"""
_Needs = Tuple[Tuple[_Need, ...], Tuple[_Need, ...]]
"""of locals, and of globals"""
_Slot = Tuple[Any, ...]
"""What is known of a value on the stack: ``("of", types)``, ``("local", index, name)``, ``("global", name)``,
``("attribute", slot, name)``, ``("other", name)``, ``("over", needs)`` for what an iterator goes through,
``("null",)``, or () for nothing"""


def _kinds(*kinds: Any) -> Any:
    return _Kinds(map(id, kinds))


_VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))
_MATCH: Any = type(_ADDRESS.search(" at 0x1"))
_CONSTANT = _kinds(int, float, complex, bool, str, bytes, type(None), tuple, frozenset, range)
_ITERABLE = _kinds(list, tuple, dict, set, frozenset, str, bytes, range, *_VIEWS)
_INDEXED = _kinds(list, tuple, dict, str, bytes, range, _MATCH)
_OF_TEXT = _kinds(str, bytes, tuple, type(None))

_METHODS: Dict[str, Tuple[Any, Any]] = {}
"""name of a method that changes nothing → the types on which it does not, and those of its result, or None"""
for _on, _result, _methods in (
    (
        (str, bytes),
        _kinds(str, bytes),
        "capitalize center expandtabs ljust lower lstrip replace rjust",
    ),
    ((str, bytes), _kinds(str, bytes), "removeprefix removesuffix rstrip strip swapcase title upper zfill"),
    (
        (str, bytes),
        _kinds(bool),
        "endswith isalnum isalpha isascii isdigit islower isspace istitle isupper startswith",
    ),
    ((str, bytes), _kinds(list), "rsplit splitlines"),
    ((str, bytes), _kinds(tuple), "partition rpartition"),
    ((str, bytes), _kinds(int), "find rfind rindex"),
    ((str,), _kinds(str), "casefold"),
    ((str,), _kinds(bool), "isdecimal isidentifier isnumeric isprintable"),
    ((str, bytes, list, tuple), _kinds(int), "count index"),
    ((str, bytes, _PATTERN), _kinds(list), "split"),
    ((int,), _kinds(int), "bit_length"),
    ((float,), _kinds(bool), "is_integer"),
    ((dict,), None, "get"),
    ((dict,), _kinds(*_VIEWS), "items keys values"),
    ((dict, list, set, frozenset), None, "copy"),
    ((_PATTERN,), _kinds(_MATCH, type(None)), "fullmatch match search"),
    ((_PATTERN,), _kinds(list), "findall"),
    ((_MATCH,), _OF_TEXT, "group"),
    ((_MATCH,), _kinds(int), "end start"),
    ((_MATCH,), _kinds(tuple), "groups span"),
    ((_MATCH,), _kinds(dict), "groupdict"),
):
    _METHODS.update((_method, (_kinds(*_on), _result)) for _method in _methods.split())

_CALLABLES: Dict[str, Tuple[int, int, Any, int]] = {
    "abs": (1, 1, None, 0),
    "bool": (0, 1, _kinds(bool), 0),
    "callable": (1, 1, _kinds(bool), 0),
    "chr": (1, 1, _kinds(str), 0),
    "float": (0, 1, None, 0),
    "getattr": (2, 3, None, 0),
    "hasattr": (2, 2, _kinds(bool), 0),
    "hash": (1, 1, None, 0),
    "id": (1, 1, None, 0),
    "int": (0, 2, None, 0),
    "isinstance": (2, 2, _kinds(bool), 0),
    "issubclass": (2, 2, _kinds(bool), 0),
    "len": (1, 1, _kinds(int), 0),
    "max": (2, 9, None, 0),
    "min": (2, 9, None, 0),
    "ord": (1, 1, None, 0),
    "range": (1, 3, _kinds(range), 0),
    "repr": (1, 1, None, 0),
    "str": (0, 1, None, 0),
    "type": (1, 1, None, 0),
    "all": (1, 1, _kinds(bool), 1),
    "any": (1, 1, _kinds(bool), 1),
    "dict": (0, 0, _kinds(dict), 0),
    "enumerate": (1, 2, None, 1),
    "frozenset": (0, 1, _kinds(frozenset), 1),
    "iter": (1, 1, None, 1),
    "list": (0, 1, _kinds(list), 1),
    "reversed": (1, 1, None, 1),
    "set": (0, 1, _kinds(set), 1),
    "sorted": (1, 1, _kinds(list), 1),
    "sum": (1, 2, None, 1),
    "tuple": (0, 1, _kinds(tuple), 1),
    "zip": (1, 9, None, 9),
}
"""builtin that changes nothing → how many arguments at least and at most, the types of its result, or None,
and how many of the first it iterates over"""
_CALLABLES.update(
    (_name, (0, 9, None, 0))
    for _name, _found in vars(builtins).items()
    if type(_found) is type and issubclass(_found, BaseException)
)
_GENUINE = {_name: getattr(builtins, _name) for _name in (*_CALLABLES, "next")}
_ITERATORS = frozenset(["enumerate", "iter", "reversed", "zip"])

# How many values an instruction takes from the stack, where it puts one there.
_ONE_FROM = {
    "BINARY_OP": 2,
    "COMPARE_OP": 2,
    "IS_OP": 2,
    "CONTAINS_OP": 2,
    "BINARY_SLICE": 3,
    "FORMAT_WITH_SPEC": 2,
    "FORMAT_SIMPLE": 1,
    "CONVERT_VALUE": 1,
    "TO_BOOL": 1,
    "LOAD_ASSERTION_ERROR": 0,
    "LOAD_CLOSURE": 0,
    "LOAD_BUILD_CLASS": 0,
}
# How many it takes, where it puts none there.
_NONE_FROM = {
    "CACHE": 0,
    "COPY_FREE_VARS": 0,
    "DELETE_ATTR": 1,
    "DELETE_FAST": 0,
    "DELETE_SUBSCR": 2,
    "DICT_MERGE": 1,
    "DICT_UPDATE": 1,
    "EXTENDED_ARG": 0,
    "KW_NAMES": 0,
    "LIST_APPEND": 1,
    "LIST_EXTEND": 1,
    "MAKE_CELL": 0,
    "MAP_ADD": 2,
    "NOP": 0,
    "NOT_TAKEN": 0,
    "POP_TOP": 1,
    "PRECALL": 0,  # 3.11: CALL is told to take all
    "RESUME": 0,
    "SET_ADD": 1,
    "SETUP_EXCEPT": 0,
    "SETUP_FINALLY": 0,
    "SETUP_LOOP": 0,
    "SET_UPDATE": 1,
    "STORE_ATTR": 2,
    "STORE_DEREF": 1,
    "STORE_FAST": 1,
    "STORE_FAST_STORE_FAST": 2,
    "STORE_GLOBAL": 1,
    "STORE_SLICE": 4,
    "STORE_SUBSCR": 3,
}
_BUILT = {
    "BUILD_LIST": list,
    "BUILD_MAP": dict,
    "BUILD_CONST_KEY_MAP": dict,
    "BUILD_SET": set,
    "BUILD_SLICE": slice,
    "BUILD_STRING": str,
    "BUILD_TUPLE": tuple,
}
_ENDS = frozenset(["RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"])
# These change no object by themselves, and run no code but what an object's class defines for them. Unknown
# ones are not here, nor are those that call, store into an object, iterate, or ask a mapping for a key.
_QUIET = frozenset(
    [
        "NOP",
        "CACHE",
        "PRECALL",
        "KW_NAMES",
        "RESUME",
        "EXTENDED_ARG",
        "NOT_TAKEN",
        "POP_TOP",
        "ROT_TWO",
        "ROT_THREE",
        "ROT_FOUR",
        "ROT_N",
        "DUP_TOP",
        "DUP_TOP_TWO",
        "SWAP",
        "COPY",
        "LOAD_CONST",
        "LOAD_FAST",
        "LOAD_FAST_CHECK",
        "LOAD_FAST_AND_CLEAR",
        "LOAD_FAST_LOAD_FAST",
        "LOAD_GLOBAL",
        "LOAD_DEREF",
        "LOAD_CLOSURE",
        "LOAD_ATTR",
        "LOAD_METHOD",
        "LOAD_SUPER_ATTR",
        "LOAD_ASSERTION_ERROR",
        "MAKE_FUNCTION",
        "SET_FUNCTION_ATTRIBUTE",
        "PUSH_NULL",
        "STORE_FAST",
        "STORE_FAST_LOAD_FAST",
        "STORE_FAST_STORE_FAST",
        "DELETE_FAST",
        "COPY_FREE_VARS",
        "MAKE_CELL",
        "IS_OP",
        "COMPARE_OP",
        "TO_BOOL",
        "UNARY_NOT",
        "UNARY_NEGATIVE",
        "UNARY_POSITIVE",
        "UNARY_INVERT",
        "BINARY_ADD",
        "BINARY_SUBTRACT",
        "BINARY_MULTIPLY",
        "BINARY_MODULO",
        "BINARY_FLOOR_DIVIDE",
        "BINARY_TRUE_DIVIDE",
        "BINARY_POWER",
        "BINARY_AND",
        "BINARY_OR",
        "BINARY_XOR",
        "BINARY_LSHIFT",
        "BINARY_RSHIFT",
        "BUILD_TUPLE",
        "BUILD_LIST",
        "BUILD_MAP",
        "BUILD_CONST_KEY_MAP",
        "BUILD_SET",
        "BUILD_SLICE",
        "BUILD_STRING",
        "FORMAT_VALUE",
        "FORMAT_SIMPLE",
        "FORMAT_WITH_SPEC",
        "CONVERT_VALUE",
        "LIST_APPEND",
        "SET_ADD",
        "MAP_ADD",
        "GET_ITER",
        "YIELD_VALUE",
        "UNPACK_SEQUENCE",
        "UNPACK_EX",
        "END_FOR",
        "RETURN_VALUE",
        "RETURN_CONST",
        "BREAK_LOOP",
        "CONTINUE_LOOP",
        "SETUP_EXCEPT",
        "SETUP_FINALLY",
        "SETUP_LOOP",
        "POP_BLOCK",
    ]
)


class _Stack:
    """What the values on the stack are, as one look at a statement's instructions in their order tells."""

    def __init__(self, indices: Dict[str, int], bound: Iterable[str]) -> None:
        self.indices = indices
        self.slots: Optional[List[_Slot]] = []
        """None: it can't be told"""
        self.dead = False
        self.jumps: Dict[int, Optional[List[_Slot]]] = {}
        """offset ahead → the stack of those that jump there"""
        self.bound: Set[str] = {*bound}
        """names that the statement has bound so far"""
        self.keywords = False  # of the call to come, where an instruction of their own names them

    def at(self, offset: int) -> None:
        """Go on with the instruction at an offset, which others may jump to."""
        if offset in self.jumps:
            came = self.jumps.pop(offset)
            if self.dead:
                self.slots = came
            elif came is None or self.slots is None or _len(came) != _len(self.slots):
                self.slots = None
            else:
                self.slots = [a if a == b else () for a, b in zip(came, self.slots)]
        elif self.dead:
            self.slots = None
        self.dead = False

    def top(self, place: int) -> _Slot:
        """The value so far from the top, which is 1."""
        slots = self.slots
        return slots[-place] if slots is not None and place <= _len(slots) else ()

    # -- is it quiet?

    def needs(self, instruction: Any) -> Optional[List[_Need]]:
        """What must be so for an instruction to change no object; None where it may in any case."""
        name, count = instruction.opname, instruction.arg or 0
        if name == "COMPARE_OP" and instruction.argrepr in ("in", "not in"):
            name = "CONTAINS_OP"
        if name in _QUIET:
            return []
        if name == "BINARY_OP":
            return self._of(2, _CONSTANT) if instruction.argrepr.endswith("=") else []
        if name.startswith("INPLACE_"):
            return self._of(2, _CONSTANT)
        if name == "CONTAINS_OP":  # an iterator moves on when it is searched
            return self._of(1, _ITERABLE)
        if name == "BINARY_SUBSCR":
            return self._of(2, _INDEXED | _OF_TEXT)
        if name == "BINARY_SLICE":
            return self._of(3, _INDEXED | _OF_TEXT)
        if name in ("LIST_EXTEND", "SET_UPDATE"):
            return self._of(1, _ITERABLE)
        if name in ("DICT_MERGE", "DICT_UPDATE"):
            return self._of(1, _kinds(dict))
        if "JUMP" in name:
            return []
        if name in _PLACES:
            return self._call(name, count)
        return None

    def iterates(self, bound: Set[str]) -> Optional[List[_Need]]:
        """``needs`` of the head of a loop that binds some names: it goes through what they were before."""
        needs = self._of(1, _ITERABLE)
        turning = {self.indices.get(name) for name in bound}
        for place, kinds in needs or ():
            if place in turning or (_type(place) is str and _type(kinds) is _Kinds):
                return None
        return needs

    def _of(self, place: int, kinds: Any) -> Optional[List[_Need]]:
        return _where(self.top(place), kinds)

    def _call(self, name: str, count: int) -> Optional[List[_Need]]:
        callee = self._callee(name, count)
        if self.keywords or name in ("CALL_FUNCTION_KW", "CALL_KW") or not callee:
            return None
        if callee[0] == "global" and callee[1] in _CALLABLES:
            least, most, _, over = _CALLABLES[callee[1]]
            if not least <= count <= most:
                return None
            needs: List[_Need] = [(callee[1], _GENUINE[callee[1]])]
            for place in _range(count, _max(0, count - over), -1):
                more = self._of(place, _ITERABLE)
                if more is None:
                    return None
                needs += more
            return needs
        if callee[0] == "attribute":
            if callee[1][:1] == ("local",) and callee[1][2] == "self":
                return None
            if callee[2] == "join" and count == 1:
                found, text = self._of(1, _ITERABLE), _where(callee[1], _kinds(str, bytes))
                return None if found is None or text is None else found + text
            if callee[2] in _METHODS:
                return _where(callee[1], _METHODS[callee[2]][0])
        return None

    def _callee(self, name: str, count: int) -> _Slot:
        for place in _PLACES[name]:
            found = self.top(place + count)
            if not found or found[0] != "null":
                return found
        return ()

    def callee(self, instruction: Any) -> Optional[str]:
        """The name under which a call's callee was loaded; None where it is no call, or can't be told."""
        name = instruction.opname
        found = self._callee(name, instruction.arg or 0) if name in _PLACES else ()
        if not found or found[0] in ("of", "over"):
            return None
        return str(found[-1])

    # -- what it does to the stack

    def follow(self, instruction: Any) -> None:
        name, count, offset = instruction.opname, instruction.arg or 0, instruction.offset
        slots = self.slots
        if "JUMP" in name or name == "FOR_ITER":
            self._jump(name, offset, instruction.argval)
            return
        if name in _ENDS:
            self.dead = True
            return
        if name == "KW_NAMES":
            self.keywords = True
        if slots is None:
            if name in _WRITERS or name in _CELL_WRITERS:
                self._binds(instruction.argval)
            return
        taken, put = self._effect(name, count, instruction.argval)
        if name in _PLACES:
            self.keywords = False
        if taken < 0:
            self.slots = None
            return
        if taken:
            del slots[-taken:]
        slots.extend(put)

    def _binds(self, names: Any) -> None:
        self.bound.update((names,) if _type(names) is str else names)

    def _jump(self, name: str, offset: int, target: Any) -> None:
        slots = self.slots
        ahead = _type(target) is int and target > offset
        if name in ("JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP"):
            if ahead:
                self._arrives(target, slots)
            if slots:
                del slots[-1]
            return
        if "IF" in name.split("_"):
            if name == "JUMP_IF_NOT_EXC_MATCH":
                self.slots = slots = None
            elif slots:
                del slots[-1]
            if ahead:
                self._arrives(target, slots)
            return
        if name == "FOR_ITER":
            self._arrives(target, None)
            if slots is not None:
                slots.append(())
            return
        if ahead:
            self._arrives(target, slots)
        self.dead = True

    def _arrives(self, target: int, slots: Optional[List[_Slot]]) -> None:
        known = self.jumps.get(target, slots)
        if known is None or slots is None or _len(known) != _len(slots):
            self.jumps[target] = None
        else:
            self.jumps[target] = [a if a == b else () for a, b in zip(known, slots)]

    def _local(self, name: Any) -> _Slot:
        if name in self.indices and name not in self.bound:
            return "local", self.indices[name], name
        return "other", name

    def _effect(self, name: str, count: int, value: Any) -> Tuple[int, List[_Slot]]:
        """How many values an instruction takes from the stack (-1: not known), and what it puts there."""
        if name in ("LOAD_FAST", "LOAD_FAST_CHECK"):
            return 0, [self._local(value)]
        if name == "LOAD_FAST_LOAD_FAST":
            return 0, [self._local(each) for each in value]
        if name == "STORE_FAST_LOAD_FAST":
            self._binds(value[:1])
            return 1, [self._local(value[1])]
        if name == "LOAD_FAST_AND_CLEAR":
            self._binds(value)
            return 0, [()]
        if name in _WRITERS or name in _CELL_WRITERS:
            self._binds(value)
        if name in _NONE_FROM:
            return _NONE_FROM[name], []
        if name in _ONE_FROM or name[:6] in ("UNARY_", "BINARY", "INPLAC"):
            return _ONE_FROM.get(name, 1 if name[:6] == "UNARY_" else 2), [()]
        if name == "LOAD_CONST":
            return 0, [("of", _kinds(_type(value)))]
        if name == "LOAD_GLOBAL":
            return 0, self._loaded(("global", value), _VERSION >= (3, 11) and count & 1)
        if name in ("LOAD_DEREF", "LOAD_NAME"):
            return 0, [("other", value)]
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            double = name == "LOAD_METHOD" or (_VERSION >= (3, 12) and count & 1)
            return 1, [("attribute", self.top(1), value)] + [("null",)] * bool(double)
        if name == "LOAD_SUPER_ATTR":
            return 3, [("attribute", (), value)] + [("null",)] * (count & 1)
        if name == "PUSH_NULL":
            return 0, [("null",)]
        if name in _BUILT:
            taken = 2 * count if name == "BUILD_MAP" else count + (name == "BUILD_CONST_KEY_MAP")
            return taken, [("of", _kinds(_BUILT[name]))]
        if name == "FORMAT_VALUE":
            return 1 + bool(count & 4), [()]
        if name == "GET_ITER":
            return 1, [self.top(1)]
        if name == "UNPACK_SEQUENCE":
            return 1, [()] * count
        if name in ("COPY", "DUP_TOP"):
            return 0, [self.top(count or 1)]
        if name == "DUP_TOP_TWO":
            return 0, [self.top(2), self.top(1)]
        if name == "SWAP":
            between = [self.top(place) for place in _range(count - 1, 1, -1)]
            return count, [self.top(1), *between, self.top(count)]
        if name in ("ROT_TWO", "ROT_THREE"):
            size = 2 if name == "ROT_TWO" else 3
            return size, [self.top(1), *[self.top(place) for place in _range(size, 1, -1)]]
        if name in _PLACES:
            return _PLACES[name][0] + count, [self._result(name, count)]
        return -1, []

    @staticmethod
    def _loaded(slot: _Slot, callable: Any) -> List[_Slot]:
        """3.11 and 3.12 put the NULL of a call below the callable, 3.13 on top of it."""
        if not callable:
            return [slot]
        return [slot, ("null",)] if _VERSION >= (3, 13) else [("null",), slot]

    def _result(self, name: str, count: int) -> _Slot:
        callee = self._callee(name, count)
        if callee and self._call(name, count) is not None:
            if callee[0] == "global":
                kinds = _CALLABLES[callee[1]][2]
                if callee[1] in _ITERATORS:
                    return "over", self._call(name, count)
            else:
                kinds = _METHODS.get(callee[2], (None, None))[1]
            if kinds is not None:
                return "of", kinds
        return ()


def _where(slot: _Slot, kinds: Any) -> Optional[List[_Need]]:
    """What must be so for a value to be of one of some types; None where it can't be told."""
    if not slot:
        return None
    if slot[0] == "of":
        return [] if slot[1] <= kinds else None
    if slot[0] in ("local", "global"):
        return [(slot[1], kinds)]
    return slot[1] if slot[0] == "over" and kinds is _ITERABLE else None


# How deep the callee lies below the arguments: for a method, or after a NULL, as deep as the first says.
_PLACES = {
    "CALL_FUNCTION": (1,),
    "CALL_METHOD": (2,),
    "CALL_FUNCTION_KW": (2,),
    "CALL": (2, 1),
    "CALL_KW": (3, 2),
}
_VERSION = sys.version_info[:2]
_REFRESHED = _VERSION < (3, 11)  # a frame's dictionary of locals, before each call of a trace function


# --- what is followed -------------------------------------------------------------------------

_Pairs = Tuple[Tuple[int, str], ...]
_NO_PAIRS: _Pairs = ()
_Step = Tuple["_Plan", bytes, bytes, int, Optional[str], Any, bool]
"""The next plan; the event where nothing changed, and where an integer did; index and name of the local that
the statement may bind (0 and "" where there is none, 0 and None where there are several); its ``noise``;
whether the next one's offset counts"""


class _Missing:
    pass


_MISSING = _Missing()


class _Plan(dict):  # type: ignore[type-arg]  # typing.Dict is another thing in 3.6
    """What is known of a statement that was announced: what it may bind, and where it may lead, which is line
    of the next event → the ``_Step``, or () where it is none."""

    __slots__ = (
        "calls", "exact", "head", "kept", "look", "needs", "noise",
        "silent", "statement", "suspended", "within",
    )  # fmt: skip

    def __init__(self, statement: int, silent: Any, exact: bool, look: _Pairs, noise: Any = True) -> None:
        super().__init__()
        self.statement, self.silent, self.exact = statement, silent, exact
        self.calls: Dict[int, _Call] = {}
        """by their offsets, of what may change what it likes the first that may run, where that is a call, or
        goes on with an iterator"""
        self.within: Dict[int, _Plan] = {}
        """offset of one of them → the plan from when it has begun"""
        self.head = b"%d" % statement
        self.look = look
        """index and name of locals that the statement may bind or unbind"""
        self.noise = noise
        """whether it may change an object; else what it needs to change none, where it needs anything"""
        self.needs: Optional[_Needs] = None
        """what it needs to change none but by ``calls``"""
        self.kept = False
        self.suspended: Optional[_Plan] = None

    def __missing__(self, line: int) -> None:
        """Not known yet."""

    def step(self, plan: "_Plan") -> "_Step":
        """From this statement to ``plan``'s, where it is always followed by that."""
        index, name = self.look[0] if _len(self.look) == 1 else (0, None if self.look else "")
        changed = plan.head + b'\t%d="%%d"\n' % index
        return plan, plan.head + b"\n", changed, index, name, self.noise, plan.exact

    def again(self) -> "_Plan":
        """For a generator that goes on: the same statement will bind, and is announced anew."""
        if self.suspended is None:
            self.suspended = _Plan(0, None, False, self.look, self.noise)
            self.suspended.kept = True
        return self.suspended

    def called(self, call: "_Call") -> "_Plan":
        """From when its first call has begun, where that is to a followed function, which says itself what
        it changes."""
        within = self.within.get(call.offset)
        if within is None:
            within = self.within[call.offset] = _Plan(self.statement, self.silent, self.exact, self.look)
            within.kept, within.needs = self.kept, self.needs
            if call.alone:
                within.noise, within.calls, within.within = (
                    self.needs,
                    {call.offset: call},
                    {call.offset: within},
                )
        return within

    def but(self, look: _Pairs) -> "_Plan":
        """Once: the same statement, and the next event is to be looked at closely."""
        return _Plan(self.statement, self.silent, self.exact, look)


class _Call:
    """A call in a statement, or where a loop goes on with its iterator."""

    __slots__ = ("alone", "name", "offset")

    def __init__(self, name: str, offset: int) -> None:
        self.name = name
        """under which the callee is loaded: of a local, a global or an attribute; of a loop ''"""
        self.offset = offset
        self.alone = True
        """whether nothing else in the statement may change an object"""


_Found = Tuple[Optional[List[_Need]], Optional[_Call]]
"""What an instruction needs to change no object, and the call that it is, if any"""


class _Function:
    """One code object that is followed. It holds the code, so that its ``id`` stays its own."""

    __slots__ = (
        "always",
        "begun",
        "binds",
        "calls",
        "cells",
        "code",
        "entry",
        "exact",
        "fid",
        "file",
        "first",
        "full",
        "heads",
        "inlined_at",
        "key",
        "names",
        "needs",
        "noisy",
        "opcodes",
        "plans",
        "prefixes",
        "silent",
        "starts",
    )

    def __init__(
        self, code: Any, fid: int, file: str, key: Tuple[str, str], names: Tuple[str, ...], source: _Source
    ) -> None:
        self.code, self.fid, self.file, self.key, self.names = code, fid, file, key, names
        self.first, self.silent, self.heads = source.first, source.silent, source.heads
        self.inlined_at: Any = frozenset()
        self.opcodes = code.co_code
        self.prefixes = [b'\t%d="%%d"' % index for index in range(len(names))]
        self.starts = [b"\t%d=" % index for index in range(len(names))]
        self.full: _Pairs = tuple(enumerate(names))
        self.exact = any(high for _, high in source.silent.values())
        self.plans: Dict[int, _Plan] = {}
        self.binds: Optional[Dict[int, Set[str]]] = None
        self.always: Set[str] = set()
        self.noisy: Set[int] = set()
        """statements that may change objects: what has been shown is looked at again after them"""
        self.needs: Dict[int, Tuple[Optional[_Needs], Optional[_Needs]]] = {}
        """of statements, to change none, as far as it depends; and the same without what ``calls`` has"""
        self.calls: Dict[int, Dict[int, _Call]] = {}
        """of statements that have some: as in their plans"""
        self.cells: _Pairs = ()
        """locals that a nested function may bind; they are always looked at again"""
        if code.co_name != "<module>":
            self._read_bindings()
        if self.binds is not None:
            shared = {*code.co_cellvars, *code.co_freevars}
            self.cells = tuple(pair for pair in self.full if pair[1] in shared)
        given = code.co_varnames[: _arguments(code)] + code.co_freevars
        bound = tuple(pair for pair in self.full if pair[1] in given) if self.binds is not None else self.full
        self.entry = _Plan(0, None, False, bound, self.binds is None)
        self.begun = self.entry
        if self.binds is not None:
            self.begun = _Plan(0, None, False, _NO_PAIRS, None)
            self.begun.kept = True

    def _read_bindings(self) -> None:
        """What each statement can bind, and whether it is quiet, by its instructions."""
        code = self.code
        binds: Dict[int, Set[str]] = {}
        shared = {*code.co_cellvars, *code.co_freevars}
        always: Set[str] = set()
        local, cell = frozenset(dis.haslocal), frozenset(dis.hasfree)
        lines = _lines_of(code)
        instructions = list(dis.get_instructions(code))
        bound_at: List[Tuple[int, Tuple[str, ...]]] = []
        for instruction in instructions:
            name, line = instruction.opname, lines.get(instruction.offset)
            if name in _READERS or instruction.opcode not in (cell if name in _CELL_WRITERS else local):
                continue
            bound = instruction.argval if _type(instruction.argval) is tuple else (instruction.argval,)
            if not all(n in code.co_varnames or n in shared for n in bound):
                return
            statement = 0 if line is None else self.first.get(line, line)
            bound_at.append((instruction.offset, bound))
            if line is None or (name not in _WRITERS and name not in _CELL_WRITERS):
                always.update(bound)
            else:
                binds.setdefault(statement, set()).update(bound)
        self.always, self.binds = always, binds
        indices = {n: index for index, n in enumerate(self.names) if n not in shared}
        stacks: Dict[int, _Stack] = {}
        found: Dict[int, List[List[_Found]]] = {}
        iterating: Set[int] = set()
        last, before = -1, ""
        for instruction in instructions:
            name, line, offset = instruction.opname, lines.get(instruction.offset), instruction.offset
            statement = 0 if line is None else self.first.get(line, line)
            if statement != last:
                if statement in self.heads or statement not in found:
                    found.setdefault(statement, []).append([])
                known = stacks.get(statement)
                stacks[statement] = _Stack(indices, known.bound if known else ())
            stack = stacks[statement]
            stack.at(offset)
            call = None
            if name == "FOR_ITER":
                iterating.add(statement)
                call = _Call("", offset)
                turning = _bound_in_loop(instructions, instruction, bound_at)
                wanted = stack.iterates(turning)
            else:
                callee = stack.callee(instruction)
                call = _Call(callee, offset) if callee else None
                wanted = stack.needs(instruction)
            if (
                statement in iterating
                and name in ("STORE_FAST", "STORE_DEREF")
                and before in ("COPY", "DUP_TOP")
            ):
                wanted = None  # := in a loop within the statement
            if wanted is None or wanted or call:
                found[statement][-1].append((wanted, call))
            stack.follow(instruction)
            last, before = statement, name
        for statement, these in found.items():
            self._settle(statement, these)

    def _settle(self, statement: int, found: List[List[_Found]]) -> None:
        """What a statement needs to be quiet, by what its instructions need, and which call in it may be told
        apart: the first that changes what it likes, else the first of all. They come in several lists where
        only one of these runs."""
        every: List[_Need] = []
        others: List[_Need] = []
        for these in found:
            hard = [call for wanted, call in these if wanted is None]
            if hard:
                self.noisy.add(statement)
                told = hard[0]
            else:
                told = next((call for _, call in these if call is not None), None)
            for wanted, call in these:
                every += wanted or ()
                others += () if call is told and call is not None else wanted or ()
            if told is not None and statement:
                told.alone = len(hard) <= 1
                self.calls.setdefault(statement, {})[told.offset] = told
        self.needs[statement] = _sorted_needs(every), _sorted_needs(others)

    def plan(self, line: int) -> _Plan:
        statement = self.first.get(line, line)
        look = self.full
        if self.binds is not None:
            bound = self.always | self.binds.get(statement, set())
            look = tuple(pair for pair in look if pair[1] in bound)
        exact = self.exact or statement != line or line + 1 in self.first
        noisy = self.binds is None or statement in self.noisy
        every, others = self.needs.get(statement, (None, None))
        found = self.plans[line] = _Plan(statement, self.silent.get(statement), exact, look, noisy or every)
        found.needs, found.calls = others, self.calls.get(statement, {})
        found.kept = True
        return found

    def opcode(self, offset: int) -> int:
        return int(self.opcodes[offset]) if 0 <= offset < len(self.opcodes) else -1


_READERS = frozenset(["LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_LOAD_FAST", "LOAD_CLOSURE"])
_WRITERS = frozenset(["STORE_FAST", "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST"])
_CELL_WRITERS = frozenset(["STORE_DEREF", "DELETE_DEREF"])


def _sorted_needs(needs: List[_Need]) -> Optional[_Needs]:
    """Those of locals, and those of globals, each once; None where there is none."""
    each = dict.fromkeys(needs)
    if not each:
        return None
    return tuple(n for n in each if _type(n[0]) is int), tuple(n for n in each if _type(n[0]) is str)


def _bound_in_loop(
    instructions: List[Any], head: Any, bound_at: List[Tuple[int, Tuple[str, ...]]]
) -> Set[str]:
    """Names that may be bound after a loop's head (FOR_ITER) and before it comes again."""
    start, end = head.offset, head.argval
    inside = [i for i in instructions if start <= i.offset < end]
    # From 3.11 on what handles exceptions stands at the end of the code.
    handlers = min([i.offset for i in instructions if i.opname == "PUSH_EXC_INFO"] or [1 << 30])
    if handlers < 1 << 30 or any(i.opname[:6] == "SETUP_" and i.opname != "SETUP_LOOP" for i in inside):
        return {n for at, names in bound_at if start < at < end or at > handlers for n in names}
    returning = {start}
    grown = True
    while grown:
        grown, following = False, end
        for instruction in reversed(inside):
            offset, name = instruction.offset, instruction.opname
            leads = set() if name in _ENDS or name == "BREAK_LOOP" else {following}
            if "JUMP" in name or name in ("FOR_ITER", "CONTINUE_LOOP"):
                leads = {
                    instruction.argval,
                    *(leads if "IF" in name.split("_") or name == "FOR_ITER" else ()),
                }
            if offset not in returning and leads & returning:
                returning.add(offset)
                grown = True
            following = offset
    return {n for at, names in bound_at if at in returning for n in names}


def _arguments(code: Any) -> int:
    starred = bool(code.co_flags & _STARRED) + bool(code.co_flags & _DOUBLE_STARRED)
    return int(code.co_argcount + code.co_kwonlyargcount + starred)


def _lines_of(code: Any) -> Dict[int, Optional[int]]:
    """Offset of each instruction → its line; None for those that have none."""
    if hasattr(code, "co_lines"):
        spans = list(code.co_lines())
    else:
        starts = list(dis.findlinestarts(code))
        ends = [start for start, _ in starts[1:]] + [len(code.co_code)]
        spans = [(start, end, line) for (start, line), end in zip(starts, ends)]
    return {offset: line for start, end, line in spans for offset in range(start, end, 2)}


class _Activation:
    """One call of a followed function. It never holds the frame."""

    __slots__ = (
        "depth",
        "function",
        "live",
        "locals",
        "moment",
        "number",
        "objects",
        "offset",
        "outside",
        "plan",
        "raised",
        "stirred",
        "texts",
        "tracer",
        "turn",
        "visit",
    )

    def __init__(self, tracer: "Tracer", number: int, function: _Function, depth: int, visit: int) -> None:
        self.tracer, self.number, self.function, self.depth, self.visit = (
            tracer,
            number,
            function,
            depth,
            visit,
        )
        self.objects: List[Any] = [_MISSING] * len(function.names)
        """of each local: the atom that it was last, or the mark of what it was"""
        self.texts: List[Optional[bytes]] = [None] * len(function.names)
        """how it was described; not kept for plain integers"""
        self.live: List[Tuple[int, str]] = [*function.cells]
        """locals that may change without being bound"""
        self.locals: Optional[Dict[str, Any]] = None
        """the frame's own, while it runs, where they are up to date whenever an event comes"""
        self.moment = -1
        """the tracer's, when they were last looked at"""
        self.stirred = False
        """whether it has executed what may have changed an object, and the tracer does not know yet"""
        self.outside = True
        """whether more than the statement of a followed caller runs before it and after"""
        self.plan, self.offset, self.raised = function.entry, -1, False
        self.turn = _NO_TURN
        """what it may write its next events with, without asking: while empty, others have their turn"""

    def follow(self, frame: Any, event: str, arg: Any) -> Any:
        """The local trace function of its frame (``sys.settrace``), where None leaves it in place.

        ``sys.monitoring`` calls it too, with the line as argument. This is where the time goes.
        """
        if event is not _LINE and event != "line":  # one text on all Pythons so far
            return self.tracer._other(self, frame, event, arg)
        try:
            step = self.plan[arg or frame.f_lineno]
            if not step:
                if step is None:
                    self.tracer._line(self, frame, arg or frame.f_lineno)
                return None
            plan, data, changed, index, name, noise, exact = step
            if noise and not self.stirred and (noise is True or not self.holds(frame, noise)):
                self.stirred = True
            if exact:
                self.offset = frame.f_lasti
            if self.live and (self.stirred or self.tracer.stirred or self.moment != self.tracer.moment):
                changes = self.tracer._changes(self, frame, self.plan)
                if changes:
                    data = plan.head + changes + b"\n"
            elif name:
                objects = self.objects
                before = objects[index]
                try:
                    value = (self.locals or frame.f_locals)[name]
                except KeyError:
                    value = _MISSING
                if value is not before:
                    if _type(value) is _int and not self.texts[index] and value >> 64 in (0, -1):
                        if value != before:
                            data = changed % value
                        objects[index] = value
                    else:
                        data = plan.head + _changed(self, (index, name), value, self.now()) + b"\n"
            elif name is None:
                data = plan.head + self.tracer._changes(self, frame, self.plan) + b"\n"
            self.plan = plan
            try:
                for write in self.turn:  # takes one, where it is its turn
                    write(data)
                    return None
            except ValueError:  # the file has to grow
                self.tracer._granted -= 1
            self.tracer._event(self, data)
        except Exception as error:
            if not self.tracer._failed(error):
                raise
        return None

    def holds(self, frame: Any, needs: _Needs) -> bool:
        """Whether the statement just executed, before which the locals were as they are known, changed no
        object."""
        if not self.live and not self.depth:  # nobody looks again
            return False
        objects = self.objects
        for index, kinds in needs[0]:
            before = objects[index]
            kind = _type(before)
            if _id(before.kind if kind is _Mark else kind) not in kinds:
                return False
        for name, wanted in needs[1]:
            if _type(wanted) is _Kinds:
                if _id(_type(frame.f_globals.get(name, _MISSING))) not in wanted:
                    return False
            elif not _is_genuine(frame, name):
                return False
        return True

    def ends(self, frame: Any, plan: _Plan) -> None:
        """The statement of a plan has been executed, or a part of it."""
        noise = plan.noise
        if noise and (noise is True or not self.holds(frame, noise)):
            self.stirred = True

    def now(self) -> int:
        """The tracer's moment."""
        if self.stirred:
            self.stirred, self.tracer.stirred = False, True
        return self.tracer._now()


_FORKS_ARE_SAID = hasattr(os, "register_at_fork")


def _in_forked_children(action: Callable[[], None]) -> None:
    """Have ``action`` called in each child that the program forks."""
    if _FORKS_ARE_SAID:
        os.register_at_fork(after_in_child=action)
        return
    fork = os.fork

    def forks() -> int:  # Python 3.6
        child = fork()
        if not child:
            action()
        return child

    os.fork = forks


_OPAQUE = _Missing()
_LINE = sys.intern("line")
_RETURN_VALUE = dis.opmap["RETURN_VALUE"]
_CACHE = dis.opmap.get("CACHE", -1)
_STARRED, _DOUBLE_STARRED, _SUSPENDS = 0x4, 0x8, 0x20 | 0x80 | 0x200  # of co_flags (inspect.CO_…)
# Here StopIteration is how iteration ends, reported by some versions only.
_ENDS_ITERATION = frozenset(
    dis.opmap[name]
    for name in ("FOR_ITER", "SEND", "YIELD_FROM", "YIELD_VALUE", "RESUME")
    if name in dis.opmap
)


class _Root:
    """The repository: which files are its own."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._known: Dict[str, Optional[str]] = {}

    def relative(self, filename: str) -> Optional[str]:
        """Path under the root, with forward slashes; None for everything else."""
        try:
            return self._known[filename]
        except KeyError:
            pass
        found = None
        if not filename.startswith("<"):
            path = os.path.realpath(os.path.join(self.path, filename))
            if path.startswith(self.path + os.sep):
                parts = path[len(self.path) + 1 :].split(os.sep)
                found = None if _FOREIGN.intersection(parts) else "/".join(parts)
        self._known[filename] = found
        return found


class Tracer:
    """Records the functions of one repository while ``run`` is between ``start`` and ``stop``.

    ``functions``: file relative to ``root`` → qualified names to follow (none named: the whole file);
    None follows everything under ``root`` but installed packages. ``script``: a file whose module
    body is followed too. ``max_frames`` is shared out evenly between ``runs``.
    """

    def __init__(
        self,
        root: str,
        record: str,
        *,
        test: str = "",
        runs: int = 1,
        functions: Optional[Dict[str, Sequence[str]]] = None,
        script: Optional[str] = None,
        max_frames: int = 20000,
        max_bytes: int = 16 << 20,
        max_depth: int = 100,
        max_seconds: float = 60.0,
        monitoring: Optional[bool] = None,
    ) -> None:
        self._root = _Root(root)
        self.functions, self.script = functions, script
        self.runs, self.max_frames, self.max_depth, self.max_seconds = (
            runs,
            max_frames,
            max_depth,
            max_seconds,
        )
        self.limits: Dict[str, str] = {}
        self.notes: List[str] = []
        self.on, self.run, self.frames, self.probes = False, 0, 0, 0
        self._running = False
        self.moment = 0
        """objects are as they were when this was last raised"""
        self.stirred = False
        """whether anything has run since the last event that may have changed one"""
        self._record = _Record(record, max_bytes)
        self._known: Dict[int, Any] = {}
        self._sources: Dict[str, _Source] = {}
        self._ids: Dict[Tuple[str, str, int], int] = {}
        self._visits: Dict[Tuple[str, str], Iterator[int]] = {}
        """counters, like the next: no two threads are given the same number"""
        self._depths: Dict[int, int] = {}
        self._live: Dict[int, _Activation] = {}
        self._held: List[Any] = []
        self._current: Optional[_Activation] = None
        self._owner, self._shared, self._stray = 0, False, False
        self._writes: List[_Write] = []
        """as many as the current activation, or who takes over from it, may write events without asking"""
        self._turn = iter(self._writes)
        self._granted = 0  # how many they were
        self._timed = 0  # at this count of events the clock is looked at
        self._numbers = _count(1)
        self._deadline = 0.0
        self._before: Any = None
        tool = _free_tool() if monitoring is not False else None
        self._monitor = None if tool is None else _Monitoring(self, tool)
        self._put_json("H", {"python": sys.version.split()[0], "test": test, "runs": runs})
        _in_forked_children(self._forked)

    # -- runs

    def start(self, run: int) -> None:
        """Begin to record ``run`` (from 1) in this thread and in those that it starts."""
        if run != self.run:
            self.run, self._visits = run, {}
        self._settle()
        self._depths, self._current = {}, None
        self._live.clear()
        _shapes.clear()
        _described.clear()
        _held.clear()
        _strings.clear()
        self._owner, self._shared, self._stray = _get_ident(), False, False
        self._timed = self.frames + 256
        self._cap = self.max_frames * run // self.runs
        self._deadline = _clock() + self.max_seconds / self.runs
        self._put("R %d\n" % run)
        builtins.__fixbug_probe__ = self.probe  # type: ignore[attr-defined]
        self.on = self._running = True
        if self._monitor:
            self._monitor.begin()
        else:
            self._before = sys.gettrace()
            if self._before is not None:
                self.note("another trace function was set (coverage, a debugger): it was off meanwhile")
            threading.settrace(self._hook)
            sys.settrace(self._hook)

    def stop(self) -> None:
        """End the run; whatever trace function was set before is set again."""
        if self._monitor:
            self._monitor.end()
        else:
            now = sys.gettrace()
            if now != self._hook and self.on:
                self.note(
                    "the test set a trace function of its own, or ran out of stack: "
                    "what followed in run %d was not recorded" % self.run
                )
            if now is None or now == self._hook:
                sys.settrace(self._before)
            threading.settrace(self._before)
        self._settle()
        self.on = self._running = False

    def outcome(self, run: int, outcome: str, message: str) -> None:
        self._put_json("O", {"run": run, "outcome": outcome, "message": message})

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self._put("N %s\n" % _quote(text))

    def close(self) -> None:
        """Write the end of the record. Without it a reader knows that the process died."""
        builtins.__dict__.pop("__fixbug_probe__", None)
        if self._monitor:
            self._monitor.free()
        if not self._mine():
            return
        self._put_json("E", {"limits": self.limits})
        self._record.close()

    def probe(self, name: str, value: Any) -> Any:
        """``__fixbug_probe__(name, value)`` in a test: record ``value`` and hand it back."""
        if not self._running:
            return value
        self.probes += 1
        if self.probes > _MAX_PROBES:
            self.limits.setdefault("probes", "only the first %d were recorded" % _MAX_PROBES)
            return value
        frame = _getframe(1)
        code = frame.f_code
        known = self._known.get(_id(code))
        if known is None:
            known = self._decide(code)
        live = self._live.get(_id(frame)) if self._monitor else None
        if not self._monitor:
            follower = _follower(frame)
            live = follower
        where = {
            "event": "probe",
            "function": known.key[1] if known else code.co_name,
            "file": known.key[0] if known else self._root.relative(code.co_filename) or code.co_filename,
            "line": frame.f_lineno,
            "run": self.run,
            "probe": name if _type(name) is str else describe(name),
            "value": describe(value),
        }  # type: Dict[str, Any]
        if live is not None:
            where["depth"], where["visit"] = live.depth, live.visit
        self._put_json("P", where)
        return value

    # -- which code

    def _source(self, file: str) -> _Source:
        if file not in self._sources:
            self._sources[file] = _Source(os.path.join(self._root.path, *file.split("/")))
        return self._sources[file]

    def _decide(self, code: Any) -> Any:
        """The ``_Function`` for ``code``, or False; the answer is kept, and the code with it."""
        with self._record.lock:  # no call of a function is told before the function is
            answer = self._known.get(_id(code))
            if answer is None:
                answer = self._function(code)
                self._held.append(code)
                self._known[_id(code)] = answer
        return answer

    def _function(self, code: Any) -> Any:
        file = self._root.relative(code.co_filename)
        name = code.co_name
        if file is None or name in _ANONYMOUS or (self.functions is not None and file not in self.functions):
            return False
        module = name == "<module>" and file == self.script
        if not module and not code.co_flags & 1:  # module and class bodies run at import
            return False
        source = self._source(file)
        qualname = getattr(code, "co_qualname", None) or source.qualnames.get(
            (code.co_firstlineno, name), name
        )
        if self.functions is not None and not module and not _wanted(qualname, self.functions[file]):
            return False
        names = _stored(code) if module else code.co_varnames + code.co_cellvars + code.co_freevars
        hidden = source.inlined.get((code.co_firstlineno, name), ())
        names = tuple(
            dict.fromkeys(n for n in names if n not in hidden and n != "__class__" and n[0] not in ".@")
        )
        identity = (file, qualname, code.co_firstlineno)
        new = identity not in self._ids
        fid = self._ids.setdefault(identity, len(self._ids))
        found = _Function(code, fid, file, (file, qualname), names, source)
        if source.spans and hasattr(code, "co_positions") and self._inlines():
            found.inlined_at = _inside(code, source.spans)
        if new:
            self._put_json("F", {"id": fid, "function": qualname, "file": file, "names": names})
        return found

    @staticmethod
    def _inlines() -> bool:
        return sys.version_info >= (3, 12)

    # -- events, shared by both ways of watching

    def _enter(self, function: _Function, frame: Any, caller: Optional[_Activation]) -> Optional[_Activation]:
        thread = _get_ident()
        depth = self._depths.get(thread, 0)
        if depth >= self.max_depth:
            self.limits.setdefault("depth", "calls deeper than %d were not followed" % self.max_depth)
            self.stirred = True
            return None
        visits = self._visits.get(function.key) or self._visits.setdefault(function.key, _count(1))
        activation = _Activation(self, _next(self._numbers), function, depth, _next(visits))
        self._depths[thread] = depth + 1
        if thread != self._owner:
            self._share()
        self._begins(activation, caller, frame)
        self._call(activation, frame)
        activation.plan = function.begun
        return activation

    def _begins(self, activation: _Activation, caller: Optional[_Activation], frame: Any) -> None:
        """What has run before, and will when it is left, by who called it."""
        if _REFRESHED:
            activation.locals = frame.f_locals
        activation.outside = caller is None or not _calls(caller, activation.function.code, frame.f_back)
        if activation.outside:
            self.stirred = True
        elif caller is not None and caller.stirred:
            caller.stirred, self.stirred = False, True

    def _resume(self, activation: _Activation, frame: Any, caller: Optional[_Activation]) -> None:
        thread = _get_ident()
        activation.depth = self._depths.get(thread, 0)
        self._depths[thread] = activation.depth + 1
        activation.plan, activation.raised = activation.plan.again(), False
        if thread != self._owner:
            self._share()
        self._begins(activation, caller, frame)
        self._call(activation, frame)

    def _call(self, activation: _Activation, frame: Any) -> None:
        function, plan = activation.function, activation.plan
        data = b">%d %d %d %d %d%b\n" % (
            activation.number,
            function.fid,
            frame.f_lineno or 0,
            activation.depth,
            activation.visit,
            self._changes(activation, frame, plan),
        )
        self._event(activation, data)

    def _line(self, activation: _Activation, frame: Any, line: int) -> None:
        before = activation.plan
        function = activation.function
        plan = function.plans.get(line)
        if plan is None:
            plan = function.plan(line)
        if plan.statement == before.statement or plan.silent is not None:
            if _goes_on(activation, plan, frame, line):
                return
        elif before.kept:
            before[line] = before.step(plan)
        activation.raised = False
        if plan.exact:
            activation.offset = frame.f_lasti
        activation.ends(frame, before)
        data = plan.head + self._changes(activation, frame, before) + b"\n"
        activation.plan = plan
        self._event(activation, data)

    def _other(self, activation: _Activation, frame: Any, event: str, arg: Any) -> None:
        """An event of ``sys.settrace`` that is no line."""
        try:
            if not self.on:
                frame.f_trace = activation.locals = None
            elif event == "return":
                if (
                    arg is None
                    and activation.raised
                    and activation.function.opcode(frame.f_lasti) != _RETURN_VALUE
                ):
                    pass  # unwinding: the exception event has said so
                else:
                    self._value(b"<", activation, frame, arg)
                activation.locals = None
                self._leave(activation)
            elif event == "exception":
                if arg[0] is StopIteration and activation.function.opcode(frame.f_lasti) in _ENDS_ITERATION:
                    return
                self._value(b"!", activation, frame, arg[1])
                activation.raised = True
                activation.plan = activation.plan.but(activation.plan.look)
        except Exception as error:
            if not self._failed(error):
                raise

    def _value(self, mark: bytes, activation: _Activation, frame: Any, value: Any) -> None:
        line, plan = frame.f_lineno or 0, activation.plan
        if plan.noise:
            activation.ends(frame, plan)
        changes = self._changes(activation, frame, plan)
        shown = _CONSTANTS.get(_id(value))
        if shown is None:
            kind = _type(value)
            if kind is str:
                shown = _of_string(value)
            elif _id(kind) in _ATOMS:
                shown = _of_atom(value, kind)
            elif _shape(kind)[0] == _HELD:
                shown = _of_held(value)
            else:
                shown = _known(value, kind, self.moment)[1]
        statement = activation.function.first.get(line, line)
        self._event(activation, b"%b%d %b%b\n" % (mark, statement, shown, changes))

    def _leave(self, activation: _Activation) -> None:
        self._depths[_get_ident()] = activation.depth
        if activation.outside:
            self.stirred = True

    def _changes(self, activation: _Activation, frame: Any, plan: _Plan) -> bytes:
        """The locals that are not what they were, of those that the statement just executed (``plan``) may
        have bound, and, where it may have changed objects, those whose value can change."""
        if activation.stirred:
            activation.stirred, self.stirred = False, True
        look, live = plan.look, _NO_PAIRS
        moment = self._now() if self.stirred or _threads() else self.moment
        if activation.moment != moment:
            activation.moment = moment
            if activation.live:
                live = (*activation.live,)
        if not look and not live:
            return b""
        get = (activation.locals or frame.f_locals).get
        objects, texts, cells = activation.objects, activation.texts, activation.function.cells
        found = []
        for pair in look:
            index, name = pair
            value = get(name, _MISSING)
            before = objects[index]
            if value is not before:
                if _type(value) is _int and not texts[index] and value >> 64 in (0, -1):
                    objects[index] = value
                    if value != before:
                        found.append((index, activation.function.prefixes[index] % value))
                else:
                    found.append((index, _changed(activation, pair, value, moment)))
        for pair in live:
            if look and pair in look:
                continue
            index, name = pair
            value = get(name, _MISSING)
            before = objects[index]
            if value is before:
                continue
            broken = None
            if _type(before) is _Mark and _type(value) is before.kind:
                if before.frozen and pair not in cells:
                    continue
                if before.owner:  # the commonest, without a call
                    if before.seen == moment and before.owner == _id(value):
                        continue
                elif before.kind is list:
                    size = _len(value)
                    parts = value if size <= ITEMS else value[:ITEMS]
                    if size == before.size and [*map(_id, parts)] == before.ids and not before.others:
                        continue
                if _holds(value, before, moment):
                    continue
                broken = before
            found.append((index, _changed(activation, pair, value, moment, broken)))
        if _len(found) > 1:
            found.sort()
            return b"".join([change for _, change in found])
        return found[0][1] if found else b""

    def _now(self) -> int:
        """The moment: it is another one whenever objects may have changed."""
        threads = _threads()
        if self.stirred or threads:
            self.stirred = threads > 0  # they change what they like
            self.moment += 1
        return self.moment

    def _event(self, activation: _Activation, data: bytes) -> None:
        """Append one event, or end the run's recording at a cap."""
        try:
            for write in activation.turn:
                write(data)
                return
        except ValueError:  # the file has to grow
            self._granted -= 1
        if self._shared:
            with self._record.lock:
                self._take_turn(activation, data)
            return
        current, turn = self._current, self._turn
        if current is not None and activation is not current:  # hand the turn over
            switch = b"" if data[:1] == b">" else b"@%d\n" % activation.number
            try:
                for write in turn:
                    write(switch + data)
                    self._current = activation
                    current.turn, activation.turn = _NO_TURN, turn
                    return
            except ValueError:
                self._granted -= 1
        with self._record.lock:
            self._take_turn(activation, data)

    def _settle(self) -> None:
        """End the turn of whoever has it, and count what it wrote."""
        self.frames += _max(0, self._granted - _length(self._turn))
        self._granted = 0
        self._writes.clear()

    def _take_turn(self, activation: _Activation, data: bytes) -> None:
        self._settle()
        if not self.on:  # reached a cap, perhaps in another thread
            return
        stray = None
        if self._stray:
            if _get_ident() == self._owner:
                self._stray, self._current = False, None
            else:
                stray = self._current
        if data[:1] != b">" and activation is not self._current:
            data = b"@%d\n%b" % (activation.number, data)
        if stray is not None:
            data += b"@%d\n" % stray.number
        record = self._record
        self.frames += 1
        if self.frames > self._cap:
            self._cut("frames", "%d, reached in run %d" % (self._cap, self.run))
        elif self.frames >= self._timed and self._late():
            self._cut("seconds", "%g s, reached in run %d" % (self.max_seconds / self.runs, self.run))
        elif not record.put(data, _RESERVE):
            self._cut("bytes", "%d, reached in run %d" % (record.limit, self.run))
        elif stray is None:
            self._current = activation
            if not self._shared:
                room = (record.limit - _RESERVE - record.used) >> 12
                self._granted = _max(0, _min(room, self._cap - self.frames, self._timed - self.frames - 1))
                self._writes = [record.write] * self._granted
                self._turn = activation.turn = iter(self._writes)

    def _late(self) -> bool:
        self._timed = self.frames + 256
        return _clock() > self._deadline

    def _share(self) -> None:
        """From now on threads take turns.

        One thread alone writes without a lock, for speed. When another one comes, the first may be just
        about to write an event of its current activation. So until it is seen with the lock in hand,
        all that others write is followed by that activation's number.
        """
        if not self._shared:
            with self._record.lock:
                self._shared = self._stray = True
                self._settle()

    def _cut(self, name: str, detail: str) -> None:
        self.frames = max(0, self.frames - 1)
        self.limits[name] = "; ".join(filter(None, [self.limits.get(name), detail]))
        self.on = False
        if self._monitor:
            self._monitor.end()
        elif sys.gettrace() == self._hook:
            sys.settrace(None)
            if self._current is not None:
                self._current.locals = None
            frame: Any = _getframe(1)
            while frame is not None:  # before 3.10 a frame that is left traced has a line that stands still
                if _follower(frame):
                    frame.f_trace = None
                frame = frame.f_back

    def _put(self, text: str) -> None:
        with self._record.lock:
            self._record.put(text.encode("ascii"))

    def _put_json(self, mark: str, content: Dict[str, Any]) -> None:
        self._put("%s %s\n" % (mark, _dumps(content)))

    def _mine(self) -> bool:
        return self._record.pid == _getpid()

    def _forked(self) -> None:
        """A forked child shares the map with its parent: it must not write."""
        self.on = False
        self._settle()
        self._record.stop()
        if self._monitor:
            self._monitor.end()
        elif sys.gettrace() == self._hook:
            sys.settrace(None)

    def _failed(self, error: BaseException) -> bool:
        """True where ``error`` is the tracer's own: then recording ends and the program goes on.

        A signal handler of the program may raise while a callback runs: that one is the program's.
        """
        tb = error.__traceback__
        while tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
        if tb is not None and tb.tb_frame.f_code.co_filename != _getframe(0).f_code.co_filename:
            return False
        if isinstance(error, RecursionError):  # the program is at the end of its stack
            self.limits.setdefault("stack", "near the recursion limit events were missed")
            if sys.version_info >= (3, 9):
                return True
            self.on = False  # older versions die when this error is swallowed and the program goes on
            return False
        self.limits.setdefault("tracer", "%s: %s" % (type(error).__name__, str(error)[:200]))
        self.on = False
        return True

    # -- sys.settrace

    def _hook(self, frame: Any, event: str, arg: Any) -> Any:
        if event != "call" or not self.on:
            return None
        code = frame.f_code
        try:
            function = self._known.get(_id(code))
            if function is None:
                function = self._decide(code)
            if not function:
                self.stirred = True
                return None
            if not _FORKS_ARE_SAID and not self._mine():
                return None
            activation, back = None if frame.f_trace is None else _follower(frame), frame.f_back
            caller = None if back is None else _follower(back)
            if activation:
                self._resume(activation, frame, caller)
                return frame.f_trace
            activation = self._enter(function, frame, caller)
            return None if activation is None else activation.follow
        except Exception as error:
            if not self._failed(error):
                raise
            return None


def _follower(frame: Any) -> Optional[_Activation]:
    local = frame.f_trace
    if _type(local) is types.MethodType and _type(local.__self__) is _Activation:
        return local.__self__  # type: ignore[no-any-return]
    return None


def _calls(caller: _Activation, code: Any, frame: Any) -> bool:
    """Whether ``code`` is what the statement that ``caller``'s frame is in calls first, or a thing that it
    runs without a call (an operator, a property): until then it has changed nothing. (C code that was called,
    and calls back, does so under another name.)"""
    plan = caller.plan
    if plan.noise is None:
        return True
    at, opcodes = frame.f_lasti, caller.function.opcodes
    while opcodes[at] == _CACHE:
        at -= 2
    call = plan.calls.get(at)
    if call is None:
        return False
    if call.name == "next":
        if not _is_genuine(frame, "next") or not (code.co_flags & _SUSPENDS or code.co_name == "__next__"):
            return False
    elif call.name != ("" if code.co_flags & _SUSPENDS else code.co_name):
        return False
    if plan.needs is not None and not caller.holds(frame, plan.needs):
        return False
    caller.plan = plan.called(call)
    return True


def _is_genuine(frame: Any, name: str) -> bool:
    return name not in frame.f_globals and frame.f_builtins.get(name) is _GENUINE[name]


def _goes_on(activation: _Activation, plan: _Plan, frame: Any, line: int) -> bool:
    """Whether a line event is about the statement that was announced already, or one that only some
    versions report."""
    raised, activation.raised = activation.raised, False
    function, statement, offset = activation.function, plan.statement, frame.f_lasti
    now = activation.plan.statement
    if statement == now:
        if raised or offset in function.inlined_at:
            return True
        return bool(offset > activation.offset and (statement != line or line + 1 in function.first))
    low, high = plan.silent
    if not high:
        activation.plan[line] = ()
        return True
    if low <= now <= high and offset > activation.offset:
        activation.plan = activation.plan.but(function.full)
        return True
    return False


def _changed(
    activation: _Activation, pair: Tuple[int, str], value: Any, moment: int, broken: Optional[_Mark] = None
) -> bytes:
    """What is to be said of a local (its index and name) that is not the same atom as before. ``broken``: its
    mark, where that is known not to hold any more."""
    index = pair[0]
    objects, texts = activation.objects, activation.texts
    before = objects[index]
    kind = _type(value)
    if _type(before) is _Mark:
        if before is not broken and before.kind is kind:
            if _holds(value, before, moment):
                return b""
            broken = before
        was_live = before.live
    else:
        was_live = before is _OPAQUE
    live = False
    if kind is str:
        objects[index] = value
        text = _of_string(value)
    elif value is _MISSING:
        if before is _MISSING:
            return b""
        objects[index] = _MISSING
        text = None
    elif kind is _int and value >> 64 in (0, -1):
        objects[index] = value
        text = None
    else:
        shape = (_shapes.get(_id(kind)) or _shape(kind))[0]
        if shape != _HELD:
            mark, text = _known(value, kind, moment, broken)
            objects[index], live = mark, mark is _OPAQUE or mark.live
        else:
            objects[index] = value
            text = _CONSTANTS.get(_id(value))
            if text is None:
                text = _of_atom(value, kind) if _id(kind) in _ATOMS else _of_held(value)
    if live is not was_live and pair not in activation.function.cells:
        if live:
            activation.live.append(pair)
        else:
            activation.live.remove(pair)
    if text is None:
        texts[index] = None
        return b"\t%d-" % index if value is _MISSING else activation.function.prefixes[index] % value
    if text == texts[index]:
        return b""
    texts[index] = text
    return activation.function.starts[index] + text


class _Monitoring:
    """The same events from ``sys.monitoring`` (3.12 and later): code that isn't followed costs nothing."""

    def __init__(self, tracer: Tracer, tool: int) -> None:
        self.api = getattr(sys, "monitoring")  # noqa: B009  (unknown to type checkers below 3.12)
        self.events = self.api.events
        self.tracer = tracer
        self.followed: List[Any] = []
        self.watched: Set[int] = set()
        """ids of codes that are not followed, but may run in the midst of a quiet statement"""
        self.tool = tool
        self.api.use_tool_id(tool, "fixbug")
        for event, callback in (
            ("PY_START", self.start),
            ("LINE", self.line),
            ("PY_RETURN", self.returned),
            ("PY_YIELD", self.yielded),
            ("PY_RESUME", self.resume),
            ("PY_THROW", self.throw),
            ("PY_UNWIND", self.unwind),
            ("RAISE", self.raised),
        ):
            self.api.register_callback(self.tool, getattr(self.events, event), callback)
        e = self.events
        self.everywhere = e.PY_START | e.PY_THROW | e.PY_UNWIND | e.RAISE
        self.inside = e.LINE | e.PY_RETURN | e.PY_YIELD | e.PY_RESUME

    def begin(self) -> None:
        for code in self.followed:
            self.api.set_local_events(self.tool, code, self.inside)
        self.api.set_events(self.tool, self.everywhere)

    def end(self) -> None:
        self.api.set_events(self.tool, 0)
        for code in self.followed:
            self.api.set_local_events(self.tool, code, 0)

    def free(self) -> None:
        self.end()
        self.api.free_tool_id(self.tool)

    def start(self, code: Any, offset: int) -> Any:
        try:
            tracer = self.tracer
            frame = _getframe(1)
            function = tracer._known.get(_id(code))
            if function is None:
                function = tracer._decide(code)
                if function:
                    self.followed.append(code)
                    self.api.set_local_events(self.tool, code, self.inside)
                elif not _only_called(code, frame):
                    self.watched.add(_id(code))
            if not function:
                tracer.stirred = True
                return None if _id(code) in self.watched else self.api.DISABLE
            activation = tracer._enter(function, frame, tracer._live.get(_id(frame.f_back)))
            if activation is not None:
                tracer._live[_id(frame)] = activation
            return None
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def line(self, code: Any, line: int) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.get(_id(frame))
            if activation is not None:
                activation.follow(frame, "line", line)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def returned(self, code: Any, offset: int, value: Any) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.pop(_id(frame), None)
            if activation is not None:
                self.tracer._value(b"<", activation, frame, value)
                self.tracer._leave(activation)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def yielded(self, code: Any, offset: int, value: Any) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.get(_id(frame))
            if activation is not None:
                self.tracer._value(b"<", activation, frame, value)
                self.tracer._leave(activation)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def resume(self, code: Any, offset: int) -> Any:
        try:
            frame = _getframe(1)
            live = self.tracer._live
            activation = live.get(_id(frame))
            if activation is not None:
                self.tracer._resume(activation, frame, live.get(_id(frame.f_back)))
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def throw(self, code: Any, offset: int, error: BaseException) -> Any:
        try:
            frame = _getframe(1)
            live = self.tracer._live
            activation = live.get(_id(frame))
            if activation is not None:
                self.tracer._resume(activation, frame, live.get(_id(frame.f_back)))
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def unwind(self, code: Any, offset: int, error: BaseException) -> Any:
        try:
            activation = self.tracer._live.pop(_id(_getframe(1)), None)
            if activation is not None:
                self.tracer.stirred = True
                self.tracer._leave(activation)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def raised(self, code: Any, offset: int, error: BaseException) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.get(_id(frame))
            if activation is None:
                return
            if _type(error) is StopIteration and activation.function.opcode(offset) in _ENDS_ITERATION:
                return
            self.tracer._value(b"!", activation, frame, error)
        except Exception as error:
            if not self.tracer._failed(error):
                raise


def _only_called(code: Any, frame: Any) -> bool:
    """Whether code that begins is an ordinary function or method, run by calls and nothing else: not a
    property, an operator, a finaliser or anything else that an expression runs without calling it."""
    name, caller = code.co_name, frame.f_back
    if name[:2] == "__" and name not in _CALLED:
        return False
    if not code.co_argcount:
        return True
    if caller is not None and not _instruction_at(caller).startswith("CALL"):
        return False
    found: Any = frame.f_globals
    for part in code.co_qualname.split("."):
        if _type(found) is dict:
            found = found.get(part)
        elif any(base is type for base in _mro_of(_type(found))):
            found = _dict_of(found).get(part)
        else:
            return False
    if _type(found) in (classmethod, staticmethod):
        found = found.__func__
    return _type(found) is types.FunctionType and found.__code__ is code


def _instruction_at(frame: Any) -> str:
    """Name of the instruction that a frame is in."""
    instructions, at = frame.f_code.co_code, frame.f_lasti
    while at > 0 and instructions[at] == _CACHE:  # a caller stands on the last entry of its call's cache
        at -= 2
    return str(dis.opname[instructions[at]])


_CALLED = frozenset(["__init__", "__new__", "__call__", "__enter__", "__exit__", "__init_subclass__"])


def _free_tool() -> Optional[int]:
    """A tool id of ``sys.monitoring`` that nobody uses; None where there is no such thing."""
    api: Any = getattr(sys, "monitoring", None)
    for tool in (4, 3) if api else ():  # debuggers, coverage, profilers and optimizers have the others
        if api.get_tool(tool) is None:
            return tool
    return None


def _wanted(qualname: str, named: Sequence[str]) -> bool:
    return not named or any(qualname == n or qualname.startswith(n + ".<locals>.") for n in named)


def _stored(code: Any) -> Tuple[str, ...]:
    names = (i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_NAME", "STORE_GLOBAL"))
    return tuple(dict.fromkeys(n for n in names if not n.startswith("__")))


def _inside(code: Any, spans: Sequence[Tuple[int, int, int, int]]) -> Any:
    """Offsets of instructions that belong to a comprehension (3.12 and later)."""
    found = set()
    for index, (line, end, column, end_column) in enumerate(code.co_positions()):
        if line is None or column is None or end is None or end_column is None:
            continue
        for first, left, last, right in spans:
            if (first, left) <= (line, column) and (end, end_column) <= (last, right):
                found.add(2 * index)
                break
    return frozenset(found)


# --- which lines ran --------------------------------------------------------------------------


class Lines:
    """Which lines of the repository each test executes; every line is reported once a test."""

    def __init__(self, root: str, record: str, max_bytes: int = 64 << 20) -> None:
        self._root = _Root(root)
        self._record = _Record(record, max_bytes)
        self._seen: Dict[int, Any] = {}
        self._held: List[Any] = []  # codes, so that ids stay their own
        self._files: Dict[str, int] = {}
        self._on = self.full = False
        tool = _free_tool()
        self._api: Any = None if tool is None else getattr(sys, "monitoring", None)
        if self._api:
            self._tool = tool
            self._api.use_tool_id(tool, "fixbug")
            events = self._api.events
            self._api.register_callback(self._tool, events.PY_START, self._start)
            self._api.register_callback(self._tool, events.LINE, self._line)
        self._put("H %s\n" % _dumps({"python": sys.version.split()[0]}))
        _in_forked_children(self._forked)

    def start(self, test: str) -> None:
        self._on = False
        self._put("T %s\n" % _quote(test))
        for entry in list(self._seen.values()):
            if entry:
                entry.lines.clear()
        self._on = True
        if self._api:
            self._api.restart_events()
            self._api.set_events(self._tool, self._api.events.PY_START)
        else:
            threading.settrace(self._hook)
            sys.settrace(self._hook)

    def stop(self) -> None:
        self._on = False
        if self._api:
            self._api.set_events(self._tool, 0)
        else:
            if sys.gettrace() == self._hook:
                sys.settrace(None)
            threading.settrace(None)

    def close(self) -> None:
        if self._record.pid != _getpid():
            return
        if self._api:
            self._api.free_tool_id(self._tool)
        limits = {"bytes": str(self._record.limit)} if self.full else {}
        self._put("E %s\n" % _dumps({"limits": limits}))
        self._record.close()

    def _forked(self) -> None:
        self._record.stop()
        self._on = False

    def _put(self, text: str, reserve: int = 0) -> None:
        with self._record.lock:
            if not self._record.put(text.encode("ascii"), reserve):
                self.full = True

    def _entry(self, code: Any) -> Any:
        file = self._root.relative(code.co_filename)
        if file is None:
            entry: Any = False
        else:
            fid = self._files.get(file)
            if fid is None:
                fid = self._files[file] = len(self._files)
                self._put("F %s\n" % _dumps({"id": fid, "file": file}))
            entry = _Executed(code, fid)
        self._seen[_id(code)] = entry
        self._held.append(code)
        return entry

    def _hit(self, entry: "_Executed", line: int) -> None:
        if line not in entry.lines:
            entry.lines.add(line)
            self._put("L %d %d\n" % (entry.fid, line), 1024)

    def _hook(self, frame: Any, event: str, arg: Any) -> Any:
        if not self._on:
            return None
        code = frame.f_code
        entry = self._seen.get(_id(code))
        if entry is None:
            entry = self._entry(code)
        if not entry:
            return None
        if event == "line":
            self._hit(entry, frame.f_lineno)
        return self._hook

    def _start(self, code: Any, offset: int) -> Any:
        entry = self._seen.get(_id(code))
        if entry is None:
            entry = self._entry(code)
            if entry:
                self._api.set_local_events(self._tool, code, self._api.events.LINE)
        return self._api.DISABLE

    def _line(self, code: Any, line: int) -> Any:
        entry = self._seen.get(_id(code))
        if entry and self._on:
            self._hit(entry, line)
        return self._api.DISABLE


class _Executed:
    __slots__ = ("code", "fid", "lines")

    def __init__(self, code: Any, fid: int) -> None:
        self.code, self.fid = code, fid
        self.lines: Set[int] = set()
