# ruff: noqa: UP006, UP031, UP035, UP036, UP045, PTH118, PTH120, PTH123, PTH206
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

import ast
import builtins
import collections
import datetime
import decimal
import dis
import enum
import itertools
import mmap
import os
import re
import sys
import threading
import time
import types
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

# Tests mock builtins, ``os`` and ``time``: everything needed while they run is bound here.
_open, _close, _fallocate = os.open, os.close, getattr(os, "posix_fallocate", None)
_truncate, _getpid, _clock = os.ftruncate, os.getpid, time.monotonic
_get_ident, _getframe = threading.get_ident, sys._getframe
_id, _type, _len, _repr, _sorted, _range, _str, _min = id, type, len, repr, sorted, range, str, min
_mmap, _islice = mmap.mmap, itertools.islice
_dumps = __import__("json").JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

CHARS, ITEMS, DEPTH, NODES = 80, 8, 2, 32
"""Bounds on one value: characters of a string, items of a container, nesting, values in all."""

_MAX_PROBES = 2000
_WORD = 1 << 63
_RESERVE = 1 << 18  # bytes kept back for probes, outcomes and the end, when frames fill the file
_CHUNK = 1 << 20

_FOREIGN = {"site-packages", "dist-packages", ".tox", ".nox", ".venv", "venv", ".eggs", "node_modules"}
# Inlined from 3.12 on; followed nowhere, so that all versions tell the same story.
_ANONYMOUS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


# --- values -----------------------------------------------------------------------------------

_mro_of = type.__dict__["__mro__"].__get__
_dict_of = type.__dict__["__dict__"].__get__
_name_of = type.__dict__["__name__"].__get__
_args_of = BaseException.__dict__["args"].__get__
_module_dict = types.ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ATOMS = frozenset(id(t) for t in (int, float, complex, bool, str, bytes, type(None), type(...)))
_PLAIN = frozenset(  # immutable, written in C, and described by their own repr without calling back
    id(t) for t in (range, decimal.Decimal, datetime.date, datetime.timedelta)
)
_FUNCTIONS = frozenset(
    id(t) for t in (types.FunctionType, types.BuiltinFunctionType, types.GeneratorType, types.CoroutineType)
)
_BASES = frozenset(
    id(t) for t in (str, int, float, bytes, list, tuple, set, frozenset, dict, collections.deque)
)


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
    return "%s...(+%d)" % (_repr(shown), cut) if cut > 0 else _repr(shown)


def _atom(value: Any, kind: Any) -> str:
    if kind is str:
        return _text(value)
    if kind is int:
        bits = value.bit_length()
        return _repr(value) if bits <= 64 else "<int of %d bits, %s>" % (bits, "> 0" if value > 0 else "< 0")
    if kind is bytes:
        cut = _len(value) - CHARS
        return "%r...(+%d)" % (value[:CHARS], cut) if cut > 0 else _repr(value)
    return _repr(value)


def _describe(value: Any, depth: int, nodes: List[int], inside: bool) -> str:
    kind = _type(value)
    nodes[0] -= 1
    if _id(kind) in _ATOMS:
        return _atom(value, kind)
    if nodes[0] < 0:
        return "..."
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


def _is_opaque(module: Any, name: str) -> bool:
    """Whether objects of a class keep their state to themselves: those of the standard library and of
    installed packages, whose insides differ between versions and runs."""
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
    if inside or _is_opaque(_dict_of(kind).get("__module__"), name):
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
            elif isinstance(node, ast.While) and _always(node.test):
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


class _Record:
    """A file that grows by memory map: what is in it survives any death of the process."""

    def __init__(self, path: str, limit: int) -> None:
        self.path, self.limit, self.used, self.pid = path, limit, 0, _getpid()
        self.lock = threading.RLock()  # re-entrant: a signal handler may record in the middle of a probe
        self.map: Optional[mmap.mmap] = None
        self.size = 0
        with open(path, "wb"):
            pass
        self._grow(_CHUNK)

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
        if self.map is not None:
            self.map.close()
        self.map, self.size = grown, size

    def put(self, text: str, reserve: int = 0) -> bool:
        """Append. False when it would pass the limit less ``reserve``, or there is no room on disk."""
        data = text.encode("ascii")
        end = self.used + len(data)
        if end > self.size:
            if end > self.limit - reserve:
                return False
            try:
                self._grow(max(end, min(2 * self.size, self.limit)))
            except (OSError, ValueError):
                return False
        elif end > self.limit - reserve:
            return False
        if self.map is None:
            return False
        self.map[self.used : end] = data
        self.used = end
        return True

    def close(self) -> None:
        if self.map is not None:
            self.map.close()
            self.map = None
            with open(self.path, "r+b") as file:
                file.truncate(self.used)


# --- what is followed -------------------------------------------------------------------------


class _Function:
    """One code object that is followed. It holds the code, so that its ``id`` stays its own."""

    __slots__ = (
        "code",
        "fid",
        "file",
        "first",
        "inlined_at",
        "key",
        "names",
        "opcodes",
        "prefixes",
        "silent",
    )

    def __init__(self, code: Any, fid: int, file: str, key: Tuple[str, str], names: Tuple[str, ...]) -> None:
        self.code, self.fid, self.file, self.key, self.names = code, fid, file, key, names
        self.first: Dict[int, int] = {}
        self.silent: Dict[int, Tuple[int, int]] = {}
        self.inlined_at: Any = frozenset()
        self.opcodes = code.co_code

        self.prefixes = ['\t%d="' % index for index in range(len(names))]

    def opcode(self, offset: int) -> int:
        return int(self.opcodes[offset]) if 0 <= offset < len(self.opcodes) else -1


class _Activation:
    """One call of a followed function. It never holds the frame."""

    __slots__ = ("depth", "function", "number", "objects", "offset", "raised", "statement", "texts", "visit")

    def __init__(self, number: int, function: _Function, depth: int, visit: int) -> None:
        self.number, self.function, self.depth, self.visit = number, function, depth, visit
        self.objects: List[Any] = [_MISSING] * len(function.names)
        self.texts: List[Optional[str]] = [None] * len(function.names)
        self.statement, self.offset, self.raised = 0, -1, False


class _Missing:
    pass


_MISSING = _Missing()
_OPAQUE = _Missing()
_RETURN_VALUE = dis.opmap["RETURN_VALUE"]
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
        self._record = _Record(record, max_bytes)
        self._known: Dict[int, Any] = {}
        self._sources: Dict[str, _Source] = {}
        self._ids: Dict[Tuple[str, str, int], int] = {}
        self._visits: Dict[Tuple[str, str], int] = {}
        self._depths: Dict[int, int] = {}
        self._live: Dict[int, _Activation] = {}
        self._current: Optional[_Activation] = None
        self._numbers = 0
        self._deadline = 0.0
        self._before: Any = None
        tool = _free_tool() if monitoring is not False else None
        self._monitor = None if tool is None else _Monitoring(self, tool)
        self._put_json("H", {"python": sys.version.split()[0], "test": test, "runs": runs})
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    # -- runs

    def start(self, run: int) -> None:
        """Begin to record ``run`` (from 1) in this thread and in those that it starts."""
        if run != self.run:
            self.run, self._visits = run, {}
        self._depths, self._live, self._current = {}, {}, None
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
            live = follower.activation if follower else None
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
        answer = self._known[_id(code)] = self._function(code) or _Ignored(code)
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
        found = _Function(code, fid, file, (file, qualname), names)
        found.first, found.silent = source.first, source.silent
        if source.spans and hasattr(code, "co_positions") and self._inlines():
            found.inlined_at = _inside(code, source.spans)
        if new:
            self._put_json("F", {"id": fid, "function": qualname, "file": file, "names": names})
        return found

    @staticmethod
    def _inlines() -> bool:
        return sys.version_info >= (3, 12)

    # -- events, shared by both ways of watching

    def _enter(self, function: _Function, frame: Any) -> Optional[_Activation]:
        thread = _get_ident()
        depth = self._depths.get(thread, 0)
        if depth >= self.max_depth:
            self.limits.setdefault("depth", "calls deeper than %d were not followed" % self.max_depth)
            return None
        visit = self._visits.get(function.key, 0) + 1
        self._visits[function.key] = visit
        self._numbers += 1
        activation = _Activation(self._numbers, function, depth, visit)
        self._depths[thread] = depth + 1
        self._call(activation, frame)
        return activation

    def _resume(self, activation: _Activation, frame: Any) -> None:
        thread = _get_ident()
        activation.depth = self._depths.get(thread, 0)
        self._depths[thread] = activation.depth + 1
        activation.statement, activation.raised = 0, False
        self._call(activation, frame)

    def _call(self, activation: _Activation, frame: Any) -> None:
        line = frame.f_lineno or 0
        text = ">%d %d %d %d %d%s\n" % (
            activation.number,
            activation.function.fid,
            line,
            activation.depth,
            activation.visit,
            self._changes(activation, frame),
        )
        with self._record.lock:
            if self._write(text):
                self._current = activation

    def _line(self, activation: _Activation, frame: Any, line: int) -> None:
        function = activation.function
        raised, activation.raised = activation.raised, False
        statement = function.first.get(line, line)
        offset = frame.f_lasti
        if statement == activation.statement:
            if raised or offset in function.inlined_at:
                return  # the same statement goes on
            if offset > activation.offset and (statement != line or line + 1 in function.first):
                return
        elif statement in function.silent:
            low, high = function.silent[statement]
            if (low <= activation.statement <= high and offset > activation.offset) or not high:
                return
        activation.statement, activation.offset = statement, offset
        text = "%d%s\n" % (statement, self._changes(activation, frame))
        record = self._record
        with record.lock:
            if self._current is not activation:
                text = "@%d\n%s" % (activation.number, text)
                self._current = activation
            data = text.encode("ascii")
            start = record.used
            end = start + _len(data)
            frames = self.frames + 1
            if frames > self._cap or not frames & 255 or end > record.size - _RESERVE or not self.on:
                self._write(text)
            else:  # what _write does, without the calls: this is where the time goes
                self.frames = frames
                record.map[start:end] = data  # type: ignore[index]
                record.used = end

    def _value(self, mark: str, activation: _Activation, frame: Any, value: Any) -> None:
        line = frame.f_lineno or 0
        text = "%s%d %s%s\n" % (
            mark,
            activation.function.first.get(line, line),
            _quote(describe(value)),
            self._changes(activation, frame),
        )
        with self._record.lock:
            if self._current is not activation:
                text = "@%d\n%s" % (activation.number, text)
            if self._write(text):
                self._current = activation

    def _leave(self, activation: _Activation) -> None:
        self._depths[_get_ident()] = activation.depth

    def _changes(self, activation: _Activation, frame: Any) -> str:
        values = frame.f_locals
        get = values.get
        objects, texts, prefixes = activation.objects, activation.texts, activation.function.prefixes
        out = ""
        index = -1
        for name in activation.function.names:
            index += 1
            value = get(name, _MISSING)
            if value is objects[index]:
                continue
            if value is _MISSING:
                objects[index], texts[index] = _MISSING, None
                out += "\t%d-" % index
                continue
            kind = _type(value)
            if kind is int and -_WORD < value < _WORD:
                objects[index] = value
                text = _repr(value)
                if text != texts[index]:
                    texts[index] = text
                    out += prefixes[index] + text + '"'
                continue
            if _id(kind) in _ATOMS:
                objects[index] = value
                text = _atom(value, kind)
            else:
                objects[index] = _OPAQUE
                text = describe(value)
            if text != texts[index]:
                texts[index] = text
                out += "\t%d=%s" % (index, _quote(text))
        return out

    def _write(self, text: str) -> bool:
        """Append one event, or end the run's recording at a cap."""
        if not self.on:
            return False
        self.frames += 1
        if self.frames > self._cap:
            self._cut("frames", "%d, reached in run %d" % (self._cap, self.run))
        elif not self.frames & 255 and _clock() > self._deadline:
            self._cut("seconds", "%g s, reached in run %d" % (self.max_seconds / self.runs, self.run))
        elif not self._record.put(text, _RESERVE):
            self._cut("bytes", "%d, reached in run %d" % (self._record.limit, self.run))
        else:
            return True
        return False

    def _cut(self, name: str, detail: str) -> None:
        self.frames = max(0, self.frames - 1)
        self.limits[name] = "; ".join(filter(None, [self.limits.get(name), detail]))
        self.on = False
        if self._monitor:
            self._monitor.end()
        elif sys.gettrace() == self._hook:
            sys.settrace(None)
            frame: Any = _getframe(1)
            while frame is not None:  # before 3.10 a frame that is left traced has a line that stands still
                if _follower(frame):
                    frame.f_trace = None
                frame = frame.f_back

    def _put(self, text: str) -> None:
        with self._record.lock:
            self._record.put(text)

    def _put_json(self, mark: str, content: Dict[str, Any]) -> None:
        self._put("%s %s\n" % (mark, _dumps(content)))

    def _mine(self) -> bool:
        return self._record.pid == _getpid()

    def _forked(self) -> None:
        """A forked child shares the map with its parent: it must not write."""
        self.on = False
        self._record.map = None
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
                return None
            if not self._mine():
                return None
            follower = _follower(frame)
            if follower:
                self._resume(follower.activation, frame)
                return frame.f_trace
            activation = self._enter(function, frame)
            return None if activation is None else _Follower(self, activation).follow
        except Exception as error:
            if not self._failed(error):
                raise
            return None


def _follower(frame: Any) -> Optional["_Follower"]:
    local = frame.f_trace
    if _type(local) is types.MethodType and _type(local.__self__) is _Follower:
        return local.__self__  # type: ignore[no-any-return]
    return None


class _Ignored:
    """A code object that is not followed."""

    __slots__ = ("code",)

    def __init__(self, code: Any) -> None:
        self.code = code

    def __bool__(self) -> bool:
        return False


class _Follower:
    """The local trace function of one frame (``sys.settrace``)."""

    __slots__ = ("activation", "tracer")

    def __init__(self, tracer: Tracer, activation: _Activation) -> None:
        self.tracer, self.activation = tracer, activation

    def follow(self, frame: Any, event: str, arg: Any) -> Any:
        tracer, activation = self.tracer, self.activation
        if not tracer.on:
            frame.f_trace = None
            return None
        try:
            if event == "line":
                tracer._line(activation, frame, frame.f_lineno)
            elif event == "return":
                if (
                    arg is None
                    and activation.raised
                    and activation.function.opcode(frame.f_lasti) != _RETURN_VALUE
                ):
                    pass  # unwinding: the exception event has said so
                else:
                    tracer._value("<", activation, frame, arg)
                tracer._leave(activation)
            elif event == "exception":
                if arg[0] is StopIteration and activation.function.opcode(frame.f_lasti) in _ENDS_ITERATION:
                    return self.follow
                tracer._value("!", activation, frame, arg[1])
                activation.raised = True
        except Exception as error:
            if not tracer._failed(error):
                raise
        return self.follow if tracer.on else None


class _Monitoring:
    """The same events from ``sys.monitoring`` (3.12 and later): code that isn't followed costs nothing."""

    def __init__(self, tracer: Tracer, tool: int) -> None:
        self.api = getattr(sys, "monitoring")  # noqa: B009  (unknown to type checkers below 3.12)
        self.events = self.api.events
        self.tracer = tracer
        self.followed: List[Any] = []
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
            function = tracer._known.get(_id(code))
            if function is None:
                function = tracer._decide(code)
                if function:
                    self.followed.append(code)
                    self.api.set_local_events(self.tool, code, self.inside)
            if not function:
                return self.api.DISABLE
            frame = _getframe(1)
            activation = tracer._enter(function, frame)
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
                self.tracer._line(activation, frame, line)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def returned(self, code: Any, offset: int, value: Any) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.pop(_id(frame), None)
            if activation is not None:
                self.tracer._value("<", activation, frame, value)
                self.tracer._leave(activation)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def yielded(self, code: Any, offset: int, value: Any) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.get(_id(frame))
            if activation is not None:
                self.tracer._value("<", activation, frame, value)
                self.tracer._leave(activation)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def resume(self, code: Any, offset: int) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.get(_id(frame))
            if activation is not None:
                self.tracer._resume(activation, frame)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def throw(self, code: Any, offset: int, error: BaseException) -> Any:
        try:
            frame = _getframe(1)
            activation = self.tracer._live.get(_id(frame))
            if activation is not None:
                self.tracer._resume(activation, frame)
        except Exception as error:
            if not self.tracer._failed(error):
                raise

    def unwind(self, code: Any, offset: int, error: BaseException) -> Any:
        try:
            activation = self.tracer._live.pop(_id(_getframe(1)), None)
            if activation is not None:
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
            self.tracer._value("!", activation, frame, error)
        except Exception as error:
            if not self.tracer._failed(error):
                raise


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
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

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
        self._record.map = None
        self._on = False

    def _put(self, text: str, reserve: int = 0) -> None:
        with self._record.lock:
            if not self._record.put(text, reserve):
                self.full = True

    def _entry(self, code: Any) -> Any:
        file = self._root.relative(code.co_filename)
        if file is None:
            entry: Any = _Ignored(code)
        else:
            fid = self._files.get(file)
            if fid is None:
                fid = self._files[file] = len(self._files)
                self._put("F %s\n" % _dumps({"id": fid, "file": file}))
            entry = _Executed(code, fid)
        self._seen[_id(code)] = entry
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
