"""What should happen: expectations from a test's assertions and from the report, and how they are judged."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.errors import ContextTooLong
from agent.llm import Model
from agent.world.loose import read_object, read_rows
from agent.world.predicate import UNKNOWN, PredicateError, PredicateRaised, parse_predicate, truth
from agent.world.predicate import evaluate as evaluate_predicate
from agent.world.questions.exceptions import Judgement as Judgement
from agent.world.questions.exceptions import judge_raised, own_exceptions
from agent.world.questions.probes import ProbedTest
from agent.world.trace import Frame, Trace, states
from agent.world.values import read_value
from prompts import render

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
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Where it is about an exception: the program's own ones, each with its ancestors."""


def from_probes(probed: ProbedTest, sources: Mapping[str, str] | None = None) -> list[Expectation]:
    """One expectation for each assertion of the test. Never to be shown to who predicts.

    ``sources``: path → text of the program, for the exceptions that it defines.
    """
    own = own_exceptions([*(sources or {}).values(), probed.source]) if probed.raises else {}
    return [
        Expectation(
            a.id,
            Point(a.probes, a.path, a.line, a.end_line),
            a.predicate,
            "assertion",
            a.source,
            cases=a.cases,
            own=own if a.predicate.startswith(("raises(", "warns(")) else {},
        )
        for a in probed.assertions
    ]


def parse_expectations(answer: str) -> tuple[list[Expectation], int]:
    """The expectations in a model's answer, and how many were dropped because they are malformed."""
    read = read_object(answer, "expectations")
    rows = read.value["expectations"] if isinstance(read.value, dict) else None
    if read.value is None:  # the entries alone
        rows = read_rows(answer, ("predicate",)).value or []
    if not isinstance(rows, list):
        rows = [rows]
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
    if not isinstance(function, str) or not function.strip("() ") or not isinstance(predicate, str):
        return None
    if event not in ("call", "line", "return", "exception"):
        return None
    if event == "line" and not _is_ordinal(line):
        return None
    if call is not None and not _is_ordinal(call):
        return None
    try:
        tree = parse_predicate(predicate)
    except PredicateError:
        return None
    special = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    if special & {"never", "warns", "any"} or ("raises" in special and not isinstance(tree, ast.Call)):
        return None  # these are about the lines of a test
    point = Point(
        function=function.strip().removesuffix("()"),
        call=call,
        event=event,
        line=line if event == "line" else None,
    )
    return Expectation(name, point, predicate, "issue", str(row.get("why") or ""))


def _is_ordinal(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def without_contradictions(drawn: Sequence[Expectation], probed: ProbedTest) -> tuple[list[Expectation], int]:
    """Leave out expectations from the report that can't be met together with the test, and count them.

    One contradicts the test where it is about every return of a function, and the test asserts a value of a
    call of that function with which its predicate is false. Of two about one point that
    want different values, the first stays.
    """
    asserted: list[tuple[str, Any]] = []
    for probe in probed.probes:
        wanted = _wanted(probe.predicate)
        called = _called_function(probe.expression)
        if wanted is not UNKNOWN and called:
            asserted.append((called, wanted))
    kept: list[Expectation] = []
    for expectation in drawn:
        point = expectation.point
        tree = parse_predicate(expectation.predicate)
        against = (
            point.call is None
            and point.event == "return"
            and any(
                called == point.function.rpartition(".")[2] and _is_false(tree, value)
                for called, value in asserted
            )
        )
        others = [_wanted(k.predicate) for k in kept if k.point == point]
        if not against and not any(o is not UNKNOWN and _is_false(tree, o) for o in others):
            kept.append(expectation)
    return kept, len(drawn) - len(kept)


def _wanted(predicate: str) -> Any:
    """4 for ``value == 4``; UNKNOWN for any other predicate."""
    try:
        tree = ast.parse(predicate, mode="eval").body
        plain = isinstance(tree, ast.Compare) and isinstance(tree.left, ast.Name) and tree.left.id == "value"
        if plain and isinstance(tree, ast.Compare) and [type(op) for op in tree.ops] in ([ast.Eq], [ast.Is]):
            return ast.literal_eval(tree.comparators[0])
    except (ValueError, SyntaxError, TypeError, RecursionError):
        return UNKNOWN
    return UNKNOWN


def _called_function(expression: str) -> str:
    try:
        tree = ast.parse(expression, mode="eval").body
    except (ValueError, SyntaxError, RecursionError):
        return ""
    if not isinstance(tree, ast.Call):
        return ""
    function = tree.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_false(tree: ast.expr, value: Any) -> bool:
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    try:
        return "value" in names and truth(evaluate_predicate(tree, {"value": value})) is False
    except PredicateRaised:
        return False


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
    drawn, dropped = parse_expectations(completion.text)
    kept, contradicting = without_contradictions(drawn, probed)
    return kept, dropped + contradicting


def evaluate(expectation: Expectation, trace: Trace, run: int) -> Judgement:
    """Judge one expectation on one run of a trace, predicted or observed. Runs no code of the repository."""
    if not expectation.predicate:
        return "unknown"
    try:
        tree = parse_predicate(expectation.predicate)
    except PredicateError:
        return "unknown"
    frames = [frame for frame in trace.frames if frame.run == run]
    special = tree.func.id if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) else ""
    if isinstance(tree, ast.Call) and special in ("raises", "warns"):
        return _raises(tree, expectation, frames)
    if special == "never":
        return "broken" if any(frame.probe in expectation.point.probes for frame in frames) else "holds"
    ended = trace.outcome(run)
    judged: list[Judgement] = []
    for names in _instances(expectation, frames, cut=ended is not None and ended.outcome != "passed"):
        try:
            known = truth(evaluate_predicate(tree, names))
        except PredicateRaised:
            known = False if expectation.origin == "assertion" else None
        judged.append("unknown" if known is None else "holds" if known else "broken")
    if special == "any":
        return "holds" if "holds" in judged else "unknown" if "unknown" in judged or not judged else "broken"
    if "broken" in judged:
        return "broken"
    return "holds" if judged and "unknown" not in judged else "unknown"


def _instances(expectation: Expectation, frames: list[Frame], *, cut: bool) -> list[dict[str, Any]]:
    """The names and values at each time that the point is reached. ``cut``: the run ends in an exception."""
    point = expectation.point
    if point.probes:
        return _probed_instances(expectation, frames, cut=cut)
    at = _at(point, frames)
    if len({(f.file, f.function) for f in at}) > 1:
        return []  # `get` may be any class's
    kept = {id(frame) for frame in at}
    result = []
    for frame, state in zip(frames, states(frames), strict=True):
        if id(frame) in kept:
            names = {name: read_value(value) for name, value in state.items()}
            names["value"] = UNKNOWN if frame.value is None else read_value(frame.value)
            result.append(names)
    return result


def _at(point: Point, frames: list[Frame]) -> list[Frame]:
    """The frames at a point of a function; those of its very name, where there are such."""
    found = [
        f
        for f in frames
        if f.event == point.event
        and same_function(f.function, point.function)
        and (point.call is None or f.visit == point.call)
        and (point.line is None or f.line == point.line)
    ]
    exact = [f for f in found if f.function == point.function]
    return exact or found


def _probed_instances(expectation: Expectation, frames: list[Frame], *, cut: bool) -> list[dict[str, Any]]:
    """The operands of an assertion, each time that it is reached, with the case that it is reached in.

    Cases can be counted off only where all of them are there, or the first ones of a run that is cut.
    """
    probes, cases = expectation.point.probes, expectation.cases
    found: list[dict[str, Any]] = []
    for frame in frames:
        if frame.event == "probe" and frame.probe in probes:
            # The first operand is always evaluated, the others only as far as `and` and `or` let them.
            if frame.probe == probes[0] or not found or frame.probe in found[-1]:
                found.append({})
            found[-1][frame.probe] = UNKNOWN if frame.value is None else read_value(frame.value)
    if cases and len(found) % cases and not cut:
        return [{} for _ in found]
    for index, names in enumerate(found):
        names["case"] = index % cases if cases else 0
    return found


def _raises(tree: ast.Call, expectation: Expectation, frames: list[Frame]) -> Judgement:
    """``raises(E)``: what the probe says, or else the last exception that passed through the block's
    lines; of a function, what it raised."""
    point = expectation.point
    values = [f.value for f in frames if f.event == "probe" and f.probe in point.probes]
    if not point.probes:
        values = [f.value for f in _at(point, frames)]
    elif not values and getattr(tree.func, "id", "") == "raises":
        first, last = point.line or 0, point.end_line or 0
        values = [
            f.value
            for f in frames
            if f.event == "exception" and f.file == point.path and first <= f.line <= last
        ][-1:]
    judged = [judge_raised(tree, value, expectation.own) for value in values]
    if "broken" in judged:
        return "broken"
    return "holds" if judged and "unknown" not in judged else "unknown"


def same_function(name: str, wanted: str) -> bool:
    """Whether two qualified names mean one function: equal, or one is the end of the other."""
    name, wanted = name.replace(".<locals>", ""), wanted.replace(".<locals>", "")
    return name == wanted or name.endswith("." + wanted) or wanted.endswith("." + name)
