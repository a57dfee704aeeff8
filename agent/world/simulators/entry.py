"""A test with its questions as one source with an entry function: the form in which Code World Models
trace.

The functions in scope come first, file by file, then the helpers that the questions call, the blind test,
and::

    def run_test():                      one run of the test, fixtures made anew
        test_target(catalogue())

    def main(): # << START_OF_TRACE      the runs back to back, whatever comes out of each
        try:
            run_test()
        except BaseException:
            pass
        ...

A question is a call of ``probe``, so that its answer stands in a call frame of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.world.cwm import MARKER
from agent.world.flow import Program
from agent.world.simulators.one_run import DEFINITIONS, CannotEnterError, OneRun
from agent.world.simulators.scene import Scene
from agent.world.trace import Frame, Outcome, Trace, states
from agent.world.values import Opaque, read_value

MAX_WHOLE = 20_000
"""Characters of a file that is shown whole where its functions alone are no Python."""

PROBE = """\
def probe(name, value):
    return value
"""
COLLECTING = """\
ANSWERS = []

def probe(name, value):
    ANSWERS.append((name, value))
    return value
"""
RAISES = """\
class probe_raises:
    def __init__(self, name, block=None):
        self.name = name
        if block is not None:
            with self:
                block()
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        self.type, self.value, self.exception = kind, error, error
        {}return True
"""
_COLLECT_ERROR = "ANSWERS.append((self.name, repr(error)))\n        "
LATER = """\
def probe_later(name, block):
    try:
        value = block()
    except Exception as error:
        value = error
    return probe(name, value)
"""
PASS_BY = """\
class pass_by:
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        return None
"""
_HELPERS = ("probe", "probe_later", "pass_by")


@dataclass(frozen=True)
class Entry:
    """``origin``: line of the source → path and line that it is from. ``one_run``: the function of one run.

    ``collecting``: the entry function returns every answer, so that its return value alone tells them.
    """

    source: str
    program: Program
    origin: Mapping[int, tuple[str, int]]
    main: str
    one_run: str
    collecting: bool = False


def enter_test(scene: Scene, runs: int, *, collecting: bool = False) -> Entry:
    """Put a scene in this form. Raises ``CannotEnterError``: fixtures out of sight, asynchronous tests, …"""
    blind = scene.probed.blind
    if not blind.strip():
        raise CannotEnterError("the test is no Python that could be shown")
    tree = ast.parse(blind)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
        n.name for n in ast.walk(tree) if isinstance(n, DEFINITIONS)
    }
    names |= {part for f in scene.functions for part in f.qualname.split(".")}
    main = next(n for n in ("main", "traced_main", "fixbug_main") if n not in names)
    one_run = next(n for n in ("run_test", "one_run", "fixbug_run") if n not in names)
    body, moved = OneRun(scene, tree).lines()
    text = Excerpt()
    defined = excerpts(scene, text)
    if "probe_warns(" in blind:
        raise CannotEnterError("warnings are not something that this form can ask for")
    if re.search(r"pass_by\(\)\s+as\b", blind):
        raise CannotEnterError("what a block records is not something that this form can show")
    if "probe(" in blind or "probe_later(" in blind:
        text.add((COLLECTING if collecting else PROBE).splitlines())
    elif collecting:
        text.add(["ANSWERS = []"])
    if "probe_raises(" in blind:
        text.add(RAISES.format(_COLLECT_ERROR if collecting else "").splitlines())
    text.add(LATER.splitlines() if "probe_later(" in blind else [])
    text.add(PASS_BY.splitlines() if "pass_by(" in blind else [])
    if scene.sighted:
        stands = [f"# {line}" for line in scene.sighted.splitlines() if line.strip()]
        text.add(["", "# The test as it stands, with what it expects:", *stands])
    dropped, imports = moved | _decorators(tree), _imports(blind, defined)
    for number, line in enumerate(blind.splitlines(), 1):
        shown = imports.get(number, line)
        if shown.strip() and number not in dropped:
            text.add([shown], scene.probed.path, number)
    text.add(["", f"def {one_run}():"])
    for number, line in body:
        text.add([f"    {line}"], scene.probed.path if number else "", number)
    text.add(["", f"def {main}(): {MARKER}", *_main(one_run, runs, collecting)])
    source = "\n".join(text.lines) + "\n"
    try:
        program = Program(source, "traced.py")
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CannotEnterError(f"the code in sight does not make one source: {error}") from error
    return Entry(source, program, text.origin, main, one_run, collecting)


def _main(one_run: str, runs: int, collecting: bool) -> list[str]:
    if not collecting:
        once = ["    try:", f"        {one_run}()", "    except BaseException:", "        pass"]
        return once * runs
    return [
        f"    for run in range({runs}):",
        "        try:",
        f"            {one_run}()",
        '            ANSWERS.append(("finished", run))',
        "        except BaseException as error:",
        '            ANSWERS.append(("raised", repr(error)))',
        "    return ANSWERS",
    ]


def excerpts(scene: Scene, text: Excerpt) -> set[str]:
    """Write the functions of a scene, file by file. Returns the names that are defined by that.

    Raises ``CannotEnterError`` where they make no source by themselves.
    """
    files = _files(scene)
    defined = {name for lines in files.values() for name in _defined(lines)}
    for path, lines in files.items():
        hidden = [name for file, name in scene.deeper if file == path]
        text.add([f"# {path} (not shown: {', '.join(hidden)})" if hidden else f"# {path}"])
        imports = _imports("\n".join(line for _, line in lines), defined)
        for index, (number, line) in enumerate(lines, 1):
            if imports.get(index, line):
                text.add([imports.get(index, line)], path, number)
        text.add([""])
    return defined


class Excerpt:
    """Lines of a made-up source, and where they are from."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.origin: dict[int, tuple[str, int]] = {}

    def add(self, lines: Sequence[str], path: str = "", number: int = 0) -> None:
        for line in lines:
            self.lines.append(line)
            if path and number:
                self.origin[len(self.lines)] = (path, number)


def _files(scene: Scene) -> dict[str, list[tuple[int, str]]]:
    """Path → the lines that are shown of it; the whole file where those are no Python by themselves."""
    merged: dict[str, dict[int, str]] = {}
    for function in scene.functions:
        merged.setdefault(function.path, {}).update(dict((*function.context, *function.lines)))
    result = {}
    for path, lines in merged.items():
        shown = [(n, lines[n]) for n in sorted(lines) if lines[n].strip()]
        if not _parses(line for _, line in shown):
            whole = scene.texts.get(path, "")
            shown = [(n, line) for n, line in enumerate(whole.splitlines(), 1) if line.strip()]
            if len(whole) > MAX_WHOLE or not _parses(line for _, line in shown):
                raise CannotEnterError(f"the functions of {path} cannot be shown without the rest of it")
        result[path] = shown
    return result


def _parses(lines: Iterator[str]) -> bool:
    try:
        ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _decorators(tree: ast.Module) -> set[int]:
    """Lines of decorators that are pytest's: they do nothing to a function that is called by hand."""
    found: set[int] = set()
    for node in ast.walk(tree):
        for decorator in getattr(node, "decorator_list", []):
            text = ast.unparse(decorator)
            if "fixture" in text or text.startswith(("pytest.mark", "mark.")):
                found |= set(range(decorator.lineno, (decorator.end_lineno or decorator.lineno) + 1))
    return found


def _defined(lines: Sequence[tuple[int, str]]) -> set[str]:
    """Functions and classes at the top of an excerpt."""
    tree = ast.parse("\n".join(line for _, line in lines))
    return {node.name for node in tree.body if isinstance(node, DEFINITIONS)}


def _imports(source: str, defined: set[str]) -> dict[int, str]:
    """Lines of imports of what stands in the same source anyway → what is left of them."""
    changed: dict[int, str] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        kept = [a for a in node.names if a.name not in defined or a.asname is not None]
        if node.module == "__future__":
            kept = []
        if len(kept) < len(node.names):
            changed |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), "")
            if kept:
                changed[node.lineno] = ast.unparse(ast.ImportFrom(node.module, kept, node.level))
    return changed


# -- back to the test


def as_test(trace: Trace, entry: Entry, scene: Scene) -> Trace:
    """A trace of an entry's program in terms of the test: its files, runs, probes and outcomes."""
    probes = {probe.id: probe for probe in scene.probed.probes}
    frames: list[Frame] = []
    outcomes: list[Outcome] = []
    visits: dict[tuple[str, int], tuple[int, int]] = {}
    count: dict[tuple[int, str], int] = {}
    blocks: list[str] = []
    run, raised = 0, None

    def answer(name: str, value: str | None) -> None:
        probe = probes.get(name)
        if probe is not None and run:
            frames.append(Frame("probe", "", probe.path, probe.line, 0, run, value=value, probe=name))

    for frame, state in zip(trace.frames, states(trace.frames), strict=True):
        if frame.function == entry.one_run:
            if frame.event == "call":
                run, raised = run + 1, None
            elif frame.event == "exception":
                raised = frame.value or "an exception"
            elif frame.event == "return":
                ended = Outcome(run, "failed", raised) if raised else Outcome(run, "passed")
                outcomes.append(ended)
            else:
                raised = None
            continue
        if frame.function == "probe" and frame.event == "call":
            answer(_text(state.get("name")), state.get("value"))
        elif frame.function == "probe_raises.__init__" and frame.event == "call":
            blocks.append(_text(state.get("name")))
        elif frame.function == "probe_raises.__exit__" and frame.event == "call" and blocks:
            answer(blocks.pop(), state.get("error"))
        if frame.line not in entry.origin or not run or frame.function in (entry.main, *_HELPERS):
            continue
        path, line = entry.origin[frame.line]
        key = (frame.function, frame.visit)
        if visits.get(key, (0, 0))[0] != run:
            count[run, frame.function] = count.get((run, frame.function), 0) + 1
            visits[key] = (run, count[run, frame.function])
        function = ".".join(scene.probed.renamed.get(part, part) for part in frame.function.split("."))
        depth = max(0, frame.depth - 2)
        frames.append(
            replace(
                frame, function=function, file=path, line=line, run=run, depth=depth, visit=visits[key][1]
            )
        )
    return Trace(tuple(frames), trace.limits, outcomes=tuple(outcomes), test=scene.probed.test)


def as_answers(value: str, scene: Scene) -> Trace | None:
    """What a collecting entry returns, as probes and outcomes. None where it is no list of answers."""
    answers = read_value(value)
    if isinstance(answers, Opaque):
        answers = _entries(value)
    if not isinstance(answers, list):
        return None
    probes = {probe.id: probe for probe in scene.probed.probes}
    raising = {probe.id for probe in scene.probed.probes if probe.question.startswith("which exception")}
    frames: list[Frame] = []
    outcomes: list[Outcome] = []
    run = 1
    for item in answers:
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], str):
            return None
        name, said = item
        probe = probes.get(name)
        if probe is not None:
            text = said.text if isinstance(said, Opaque) else repr(said)
            text = said if name in raising and isinstance(said, str) else text
            frames.append(Frame("probe", "", probe.path, probe.line, 0, run, value=text, probe=name))
        elif name in ("finished", "raised"):
            failed = Outcome(run, "failed", str(said))
            outcomes.append(Outcome(run, "passed") if name == "finished" else failed)
            run += 1
    return Trace(tuple(frames), outcomes=tuple(outcomes), test=scene.probed.test)


def _entries(value: str) -> list[tuple[str, object]] | None:
    """The pairs of a list of which some values are no literals (``[('p1', <Foo>)]``)."""
    if not value.strip().endswith("]"):
        return None
    parts = re.split(r"\((?='(?:p\d+|finished|raised)', )", value.strip().removeprefix("[").removesuffix("]"))
    result: list[tuple[str, object]] = []
    for part in parts[1:]:
        name, _, rest = part.partition(", ")
        result.append((_text(name), read_value(rest.rstrip().rstrip(",").removesuffix(")"))))
    return result or None


def _text(value: str | None) -> str:
    read = read_value(value or "")
    return read if isinstance(read, str) else ""
