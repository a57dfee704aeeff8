"""What a simulation is shown: the blind test, and the functions in scope with what they stand on."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.world.intent import same_function
from agent.world.questions.probes import ProbedTest
from agent.world.questions.splice import stripped
from agent.world.trace import Trace

CHARACTERS_A_TOKEN = 3
"""A cautious estimate for source code."""
MAX_DEEPER = 40
"""So many functions are named that a simulation steps over."""

Numbered = tuple[tuple[int, str], ...]
"""Lines of a file with their numbers."""


@dataclass(frozen=True)
class FunctionSource:
    """A function as it is shown: its own lines, and what it stands on (imports, class header, module
    state)."""

    path: str
    qualname: str
    first_line: int
    source: str
    context: Numbered = ()

    @property
    def last_line(self) -> int:
        """The last line, 1-based."""
        return self.first_line + self.source.count("\n")

    @property
    def lines(self) -> Numbered:
        """Its own lines, numbered."""
        return tuple(enumerate(self.source.splitlines(), self.first_line))


@dataclass(frozen=True)
class Scene:
    """What a simulation sees.

    ``deeper``: path and qualified name of functions that the test was seen to call and that are not shown:
    calls of them are stepped over, and what they return is asked for. ``texts``: path → the whole text that
    the functions are from, for checking. ``touched``: path → lines that the patch writes or stands beside.
    """

    probed: ProbedTest
    functions: tuple[FunctionSource, ...]
    deeper: tuple[tuple[str, str], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    touched: Mapping[str, frozenset[int]] = field(default_factory=dict)
    sighted: str = ""
    """The test as it stands, beside the blind one, where what it expects is shown (``--sighted``)."""

    @property
    def blind(self) -> bool:
        """Whether everything that the test expects is out of sight."""
        return not (self.probed.unmasked or self.sighted)

    @property
    def spans(self) -> list[tuple[str, str, int, int]]:
        """Path, name, first and last line of each function that is shown."""
        return [(f.path, f.qualname, f.first_line, f.last_line) for f in self.functions]


def numbered(lines: Numbered) -> str:
    """Source with line numbers at the left; blank lines are left out."""
    return "\n".join(f"{n:>5}  {line}" for n, line in lines if line.strip())


_MAKERS = ("__init__", "__new__", "__post_init__")
_CHANGED, _CALLED, _NAMED = 0, 1, 2


def build_scene(
    probed: ProbedTest,
    sources: Mapping[str, str],
    before: Trace,
    patch: str = "",
    *,
    token_budget: int = 12_000,
    blind: bool = True,
) -> Scene:
    """The functions that the test was seen to execute (``before``) and those that the patch touches.

    ``sources``: path → text after the patch. Comments and docstrings are left out: they may give answers
    away. Functions of the patch come first, then those called, in order, then those that the test names and
    constructors of classes in sight (fixtures are not traced), as far as the budget (in tokens) goes.
    Without ``blind`` what the test expects is shown too, and nothing else is different.
    """
    touched = touched_lines(patch)
    named = set(re.findall(r"\w+", probed.blind))
    order: dict[tuple[str, str], int] = {}
    for frame in before.frames:
        if frame.event != "probe" and frame.file != probed.path:
            order.setdefault((frame.file, frame.function.replace(".<locals>", "")), len(order))
    wanted: list[tuple[int, int, FunctionSource]] = []
    texts: dict[str, str] = {}
    for path, source in sources.items():
        if path == probed.path or not path.endswith(".py"):
            continue
        texts[path] = clean = stripped(source)
        for function, first, last in functions_of(clean):
            called = [
                n for (file, name), n in order.items() if file == path and same_function(name, function)
            ]
            changed = any(first <= line <= last for line in touched.get(path, ()))
            parts = function.split(".")
            beside = parts[-1] in named or (len(parts) > 1 and parts[-1] in _MAKERS and parts[-2] in named)
            if called or changed or beside:
                shown = "\n".join(clean.splitlines()[first - 1 : last])
                made = FunctionSource(path, function, first, shown, context_of(clean, function))
                rank = _CHANGED if changed else _CALLED if called else _NAMED
                wanted.append((rank, min(called, default=0), made))
    budget = token_budget * CHARACTERS_A_TOKEN - len(probed.blind)
    chosen: list[FunctionSource] = []
    too_long: list[tuple[str, str]] = []
    seen: set[tuple[str, Numbered]] = set()
    for rank, _, made in sorted(wanted, key=lambda item: item[:2]):
        one = replace(made, context=()) if (made.path, made.context) in seen else made
        cost = len(one.source) + sum(len(line) for _, line in one.context)
        if cost <= budget:
            budget -= cost
            seen.add((made.path, made.context))
            chosen.append(one)
        elif rank != _NAMED:
            too_long.append((made.path, made.qualname))
    deeper = too_long + [
        key
        for key in order
        if not any(key[0] == f.path and _within(key[1], f.qualname) for f in chosen) and key not in too_long
    ]
    kept = {f.path for f in chosen}
    return Scene(
        probed,
        tuple(chosen),
        tuple(dict.fromkeys(deeper))[:MAX_DEEPER],
        {path: text for path, text in texts.items() if path in kept},
        {path: frozenset(lines) for path, lines in touched.items()},
        "" if blind else probed.sighted or probed.source,
    )


def _within(name: str, function: str) -> bool:
    """Whether a function is the one named, or in it."""
    return same_function(name, function) or name.startswith(function + ".")


def functions_of(source: str) -> list[tuple[str, int, int]]:
    """Qualified name, first line (decorators too) and last line of the functions; none where it is not
    Python.

    A function in a function belongs to the outer one.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    result: list[tuple[str, int, int]] = []

    def visit(body: Sequence[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                result.append((prefix + node.name, first, node.end_lineno or node.lineno))
            else:
                for blocks in ("body", "orelse"):
                    visit(getattr(node, blocks, []), prefix)

    visit(tree.body, "")
    return result


def context_of(source: str, qualname: str) -> Numbered:
    """The lines that a function stands on: imports, module state, its class's header and attributes."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    lines = source.splitlines()
    kept: set[int] = set()
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, (*definitions, ast.Assert, ast.Expr)) and not _is_main(node):
            if (node.end_lineno or 0) - node.lineno >= 20:
                continue
            kept |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    body: Sequence[ast.stmt] = tree.body
    for part in qualname.split(".")[:-1]:
        found = next((n for n in body if isinstance(n, ast.ClassDef) and n.name == part), None)
        if found is None:
            break
        kept |= set(range(found.lineno, found.body[0].lineno)) | {found.lineno}
        for node in found.body:
            if not isinstance(node, definitions):
                kept |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        body = found.body
    return tuple((n, lines[n - 1]) for n in sorted(kept) if lines[n - 1].strip())


def _is_main(node: ast.stmt) -> bool:
    """``if __name__ == "__main__"``: it does not run, and may show what comes out."""
    return isinstance(node, ast.If) and "__name__" in {
        n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)
    }


_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def touched_lines(patch: str) -> dict[str, set[int]]:
    """Path → lines of the new file that a unified diff writes or stands beside."""
    result: dict[str, set[int]] = {}
    path, line, old, new = "", 0, 0, 0
    for text in patch.splitlines():
        if old <= 0 and new <= 0:
            if text.startswith("+++ "):
                path = text[4:].split("\t")[0].removeprefix("b/")
            elif found := _HUNK.match(text):
                line = int(found[2])
                old, new = (int(count) if count else 1 for count in (found[1], found[3]))
            continue
        if text[:1] in ("+", "-"):
            result.setdefault(path, set()).add(line)
        old -= text[:1] in ("-", " ", "")
        new -= text[:1] in ("+", " ", "")
        line += text[:1] in ("+", " ", "")
    return result
