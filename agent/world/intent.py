"""What should happen: expectations from a test's assertions and from the report, and how they are judged."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import ContextTooLong
from agent.llm import Model
from agent.world.loose import read_object
from agent.world.predicate import UNKNOWN, PredicateError, PredicateRaised, parse_predicate, truth
from agent.world.predicate import evaluate as evaluate_predicate
from agent.world.probes import ProbedTest
from agent.world.trace import Frame, Trace, states
from agent.world.values import read_value
from prompts import render

Judgement = Literal["holds", "broken", "unknown"]
MAX_EXPECTATIONS = 8
MAX_SOURCE = 40_000
"""Characters of source that are shown with a report."""


@dataclass(frozen=True)
class Point:
    """Where an expectation looks: at the probes of one assertion, or at a function's events."""

    probes: tuple[str, ...] = ()
    path: str = ""
    line: int | None = None
    end_line: int | None = None
    function: str = ""
    call: int | None = None
    """Which call of the function within a run, from 1; None for every one."""
    event: str = "probe"


@dataclass(frozen=True)
class Expectation:
    """A predicate that must hold at a point, whenever it is reached. An empty predicate is always unknown."""

    id: str
    point: Point
    predicate: str
    origin: Literal["assertion", "issue"]
    why: str
    cases: int = 0


def from_probes(probed: ProbedTest) -> list[Expectation]:
    """One expectation for each assertion of the test. Never to be shown to who predicts."""
    return [
        Expectation(
            a.id,
            Point(a.probes, a.path, a.line, a.end_line),
            a.predicate,
            "assertion",
            a.source,
            cases=a.cases,
        )
        for a in probed.assertions
    ]


def parse_expectations(answer: str) -> tuple[list[Expectation], int]:
    """The expectations in a model's answer, and how many were dropped because they are malformed."""
    read = read_object(answer, "expectations")
    rows = read.value["expectations"] if isinstance(read.value, dict) else None
    if not isinstance(rows, list):
        return [], 0
    kept: list[Expectation] = []
    dropped = 0
    for row in rows:
        made = _expectation(row, f"i{len(kept) + 1}") if len(kept) < MAX_EXPECTATIONS else None
        if made is None:
            dropped += 1
        else:
            kept.append(made)
    return kept, dropped


def _expectation(row: Any, name: str) -> Expectation | None:
    if not isinstance(row, dict):
        return None
    function, predicate = row.get("function"), row.get("predicate")
    event, call, line = row.get("event", "return"), row.get("call"), row.get("line")
    if not isinstance(function, str) or not function or not isinstance(predicate, str):
        return None
    if event not in ("call", "line", "return", "exception") or (
        event == "line" and not isinstance(line, int)
    ):
        return None
    if call is not None and (not isinstance(call, int) or isinstance(call, bool) or call < 1):
        return None
    try:
        parse_predicate(predicate)
    except PredicateError:
        return None
    point = Point(function=function, call=call, event=event, line=line if event == "line" else None)
    return Expectation(name, point, predicate, "issue", str(row.get("why") or ""))


def draw_expectations(
    model: Model, statement: str, probed: ProbedTest, sources: Mapping[str, str]
) -> tuple[list[Expectation], int]:
    """Ask once what the report expects. No patch is in sight. A report too long for the model gives none.

    Other failures of the endpoint pass through: nobody could propose a patch either.
    """
    shown: dict[str, str] = {}
    for path, source in sources.items():
        if path != probed.path and sum(map(len, shown.values())) + len(source) <= MAX_SOURCE:
            shown[path] = source
    prompt = render(
        "intent.md.j2",
        issue=statement,
        path=probed.path,
        test=probed.source,
        sources=shown,
        limit=MAX_EXPECTATIONS,
    )
    try:
        completion = model.complete([{"role": "user", "content": prompt}])
    except ContextTooLong:
        return [], 0
    return parse_expectations(completion.text)


def evaluate(expectation: Expectation, trace: Trace, run: int) -> Judgement:
    """Judge one expectation on one run of a trace, predicted or observed. Runs no code of the repository."""
    if not expectation.predicate:
        return "unknown"
    try:
        tree = parse_predicate(expectation.predicate)
    except PredicateError:
        return "unknown"
    frames = [frame for frame in trace.frames if frame.run == run]
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "raises":
        return _raises(tree, expectation, frames)
    judged: list[Judgement] = []
    for names in _instances(expectation, frames):
        try:
            known = truth(evaluate_predicate(tree, names))
        except PredicateRaised:
            known = False if expectation.origin == "assertion" else None
        judged.append("unknown" if known is None else "holds" if known else "broken")
    if "broken" in judged:
        return "broken"
    return "holds" if judged and "unknown" not in judged else "unknown"


def _instances(expectation: Expectation, frames: list[Frame]) -> list[dict[str, Any]]:
    """The names and values at each time that the point is reached."""
    point = expectation.point
    if point.probes:
        found: list[dict[str, Any]] = []
        for frame in frames:
            if frame.event == "probe" and frame.probe in point.probes:
                # The first operand is always evaluated, the others only as far as `and` and `or` let them.
                if frame.probe == point.probes[0] or not found:
                    found.append({})
                found[-1][frame.probe] = UNKNOWN if frame.value is None else read_value(frame.value)
        if expectation.cases and (len(found) > expectation.cases and len(found) % expectation.cases):
            return [{} for _ in found]
        for index, names in enumerate(found):
            names["case"] = index % expectation.cases if expectation.cases else 0
        return found
    full = states(frames)
    result = []
    for frame, state in zip(frames, full, strict=True):
        if frame.event != point.event or not same_function(frame.function, point.function):
            continue
        if (point.call is None or frame.visit == point.call) and (
            point.line is None or frame.line == point.line
        ):
            names = {name: read_value(value) for name, value in state.items()}
            names["value"] = UNKNOWN if frame.value is None else read_value(frame.value)
            result.append(names)
    return result


def _raises(tree: ast.Call, expectation: Expectation, frames: list[Frame]) -> Judgement:
    """``raises(E)``: what the probe says, or else the last exception that passed through the block's
    lines."""
    point = expectation.point
    values = [f.value for f in frames if f.event == "probe" and f.probe in point.probes]
    if not values:
        first, last = point.line or 0, point.end_line or 0
        values = [
            f.value
            for f in frames
            if f.event == "exception" and f.file == point.path and first <= f.line <= last
        ][-1:]
    wanted = [kind.id for kind in tree.args if isinstance(kind, ast.Name)]
    judged = [_is_exception(value, wanted) for value in values]
    if "broken" in judged:
        return "broken"
    return "holds" if judged and "unknown" not in judged else "unknown"


def _is_exception(value: str | None, wanted: list[str]) -> Judgement:
    if value is None:
        return "unknown"
    name = value.strip("'\"<> ").partition("(")[0].partition(":")[0].strip().rpartition(".")[2]
    if name in ("None", "no exception", "nothing"):
        return "broken"
    if name in wanted:
        return "holds"
    came = getattr(builtins, name, None)
    kinds = [getattr(builtins, kind, None) for kind in wanted]
    if isinstance(came, type) and all(isinstance(kind, type) for kind in kinds):
        return (
            "holds" if any(issubclass(came, kind) for kind in kinds if isinstance(kind, type)) else "broken"
        )
    return "unknown"


def same_function(name: str, wanted: str) -> bool:
    """Whether two qualified names mean one function: equal, or one is the end of the other."""
    name, wanted = name.replace(".<locals>", ""), wanted.replace(".<locals>", "")
    return name == wanted or name.endswith("." + wanted) or wanted.endswith("." + name)
