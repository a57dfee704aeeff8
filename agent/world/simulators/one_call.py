"""One call of a function, as it is put to a model: the functions that it can reach, and nothing else of the
file, so that neither its tests nor its comments give the result away."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from agent.world.cwm import MARKER, Reading
from agent.world.flow import Program, Unit
from agent.world.questions.probes import Probe, ProbedTest
from agent.world.questions.splice import stripped
from agent.world.simulators.entry import Entry, Excerpt, excerpts
from agent.world.simulators.scene import (
    CHARACTERS_A_TOKEN,
    FunctionSource,
    Numbered,
    Scene,
    context_of,
    functions_of,
)
from agent.world.trace import Frame, Trace

PROBE = "p1"
CALL_PATH = "call.py"


def call_scene(text: str, path: str, function: str, call: str, *, token_budget: int = 12_000) -> Scene:
    """The call as a test that asks for its value; ``function`` first, then what it can reach by name."""
    clean = stripped(text)
    known = {name: (first, last) for name, first, last in functions_of(clean)}
    lines = clean.splitlines()
    reached = _reached(clean, function, call, known)
    budget = token_budget * CHARACTERS_A_TOKEN
    chosen: list[FunctionSource] = []
    deeper: list[tuple[str, str]] = []
    seen: set[Numbered] = set()
    for name in reached:
        first, last = known[name]
        context = context_of(clean, name)
        shown = "\n".join(lines[first - 1 : last])
        cost = len(shown) + (0 if context in seen else sum(len(line) for _, line in context))
        if cost > budget and chosen:
            deeper.append((path, name))
            continue
        budget -= cost
        chosen.append(FunctionSource(path, name, first, shown, () if context in seen else context))
        seen.add(context)
    question = f"what is `{call}`?"
    probe = Probe(PROBE, CALL_PATH, 1, question, call, "", "")
    asked = f'probe("{PROBE}", {call})'
    probed = ProbedTest("", CALL_PATH, asked, asked, asked, (probe,))
    return Scene(probed, tuple(chosen), tuple(deeper), {path: clean})


def enter_call(scene: Scene, call: str, asked: Program) -> Entry:
    """The same as one source with an entry function. ``asked``: the file with the call behind it, in whose
    lines a trace is told. Raises ``CannotEnterError``."""
    text = Excerpt()
    excerpts(scene, text)
    main = _entry(asked).qualname
    last = len(asked.lines)
    text.add([""])
    text.add([f"def {main}(): {MARKER}"], asked.path, last - 1)
    text.add([f"    return {call}"], asked.path, last)
    source = "\n".join(text.lines) + "\n"
    return Entry(source, Program(source, asked.path), text.origin, main, "")


def in_file(reading: Reading, entry: Entry, asked: Program) -> Reading:
    """What was told of an entry's source, in the lines of the file."""
    frames = tuple(
        replace(frame, line=entry.origin.get(frame.line, ("", frame.line))[1], file=asked.path)
        for frame in reading.trace.frames
    )
    return replace(reading, trace=replace(reading.trace, frames=frames))


def with_result(trace: Trace, asked: Program) -> Trace:
    """An answer to the question for the call's value, as what the entry function does."""
    answered = next((f.value for f in trace.frames if f.event == "probe" and f.probe == PROBE), None)
    failed = next((o.message for o in trace.outcomes if o.outcome != "passed"), None)
    entry = _entry(asked)
    place = (entry.qualname, asked.path)
    frames = [f for f in trace.frames if f.event != "probe"]
    frames.insert(0, Frame("call", *place, entry.first))
    frames.insert(1, Frame("line", *place, entry.last))
    if failed is not None:
        frames.append(Frame("exception", *place, entry.last, value=failed))
        frames.append(Frame("return", *place, entry.last, value="None"))
    elif answered is not None:
        frames.append(Frame("return", *place, entry.last, value=answered))
    return replace(trace, frames=tuple(frames))


def _entry(asked: Program) -> Unit:
    return next(u for u in reversed(asked.units) if MARKER in asked.text(u.first) and u.first < u.last)


def _reached(source: str, function: str, call: str, known: dict[str, tuple[int, int]]) -> list[str]:
    """Functions that may run, nearest first: those whose last name is used, and the special methods of
    classes that are."""
    bodies = _bodies(source)
    reached = [function] if function in known else []
    names = _names([ast.parse(call, mode="eval")])
    done: set[str] = set()
    at = 0
    while True:
        for name in known:
            parts = name.split(".")
            special = parts[-1].startswith("__") and len(parts) > 1 and parts[-2] in names
            owner = len(parts) > 1 and parts[-2] in names | {p for r in reached for p in r.split(".")[:-1]}
            wanted = parts[-1] in names or special or (owner and parts[-1].startswith("__"))
            if wanted and name not in reached:
                reached.append(name)
        if at == len(reached):
            return reached
        for name in reached[at:]:
            if name not in done and name in bodies:
                names |= _names([bodies[name]])
                done.add(name)
        at = len(reached)


def _bodies(source: str) -> dict[str, ast.AST]:
    result: dict[str, ast.AST] = {}

    def visit(body: Sequence[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                result[prefix + node.name] = node
            else:
                for blocks in ("body", "orelse"):
                    visit(getattr(node, blocks, []), prefix)

    visit(ast.parse(source).body, "")
    return result


def _names(nodes: Sequence[ast.AST]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                found.add(child.id)
            elif isinstance(child, ast.Attribute):
                found.add(child.attr)
    return found
