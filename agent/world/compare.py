"""Predicted and observed traces side by side: values as values, and the first place where they part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.world.intent import same_function
from agent.world.trace import Frame, Trace, states
from agent.world.values import Opaque, read_value


@dataclass(frozen=True)
class Divergence:
    """The first place, in the order of execution, where a prediction and reality part.

    ``what`` is ``line`` (another way was taken), ``value``, ``call`` (it never happened) or ``outcome``.
    """

    run: int
    predicted: Frame | None
    observed: Frame | None
    what: str
    text: str


def same_value(a: str, b: str) -> bool | None:
    """Whether two ``repr`` texts are one value; None where their texts don't tell.

    Literals compare as values: order of dicts and sets aside, floats within 1e-9, ``1`` and ``1.0`` alike.
    """
    if a.strip() == b.strip():
        return True
    left, right = read_value(a), read_value(b)
    if isinstance(left, Opaque) or isinstance(right, Opaque):
        return _opaque(left, right)
    return _equal(left, right)


def _opaque(left: Any, right: Any) -> bool | None:
    if not (isinstance(left, Opaque) and isinstance(right, Opaque)):
        literal, other = (right, left) if isinstance(left, Opaque) else (left, right)
        # None is None and nothing else, but `<defaultdict>` may well have been written as `{...}`.
        return False if literal is None and other.type_name else None
    if left.text == right.text:
        return True
    if left.masked or right.masked:
        return left.type_name == right.type_name if left.type_name and right.type_name else None
    return None


def _equal(a: Any, b: Any) -> bool:
    numbers = (int, float, complex)
    if isinstance(a, numbers) and isinstance(b, numbers):
        if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
            return True
        if isinstance(a, complex) or isinstance(b, complex) or (isinstance(a, int) and isinstance(b, int)):
            return bool(a == b)
        return math.isclose(a, b, rel_tol=1e-9) if abs(a) < 1e300 and abs(b) < 1e300 else a == b
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(a == b)


@dataclass(frozen=True)
class _Found:
    at: int
    """Index of the observed frame: the order of execution."""
    what: str
    predicted: Frame | None
    observed: Frame | None
    detail: str
    before: Frame | None = None


def first_divergence(
    predicted: Trace, observed: Trace, sources: Mapping[str, str] | None = None
) -> Divergence | None:
    """The earliest place where they part; None where what was predicted agrees, as far as it goes.

    A prediction may be sparse: its frames are looked for in the observed ones, in order, for each
    call of each function, and what it leaves out is no divergence. ``sources`` (path → text) adds lines of
    code to the text.
    """
    if not predicted.frames or not (observed.frames or observed.outcomes):
        return None
    full = states(observed.frames)
    found: list[_Found] = []
    for key, frames in _activations(predicted).items():
        found += _activation(key, frames, observed, full)
    found += _probes(predicted, observed)
    if found:
        first = min(found, key=lambda item: item.at)
        return _divergence(first, predicted, observed, full, sources or {})
    return _outcomes(predicted, observed)


_Key = tuple[int, str, str, int]


def _activations(trace: Trace) -> dict[_Key, list[Frame]]:
    result: dict[_Key, list[Frame]] = {}
    for frame in trace.frames:
        if frame.event != "probe":
            result.setdefault((frame.run, frame.file, frame.function, frame.visit), []).append(frame)
    return result


def _activation(key: _Key, frames: list[Frame], observed: Trace, full: list[dict[str, str]]) -> list[_Found]:
    run, file, function, visit = key
    mine = [
        (index, frame)
        for index, frame in enumerate(observed.frames)
        if frame.run == run
        and frame.event != "probe"
        and frame.visit == visit
        and frame.file == file
        and same_function(frame.function, function)
    ]
    if not mine:
        followed = any(f.file == file and same_function(f.function, function) for f in observed.frames)
        if (not followed and file not in {f.file for f in observed.frames}) or observed.limits:
            return []
        last = max((index for index, frame in enumerate(observed.frames) if frame.run == run), default=0)
        return [_Found(last + 1, "call", frames[0], None, f"call {visit} of {function} never happened")]
    at, before = 0, None
    for frame in frames:
        anywhere = frame.event in ("call", "return", "exception")
        fits = [i for i in range(at, len(mine)) if _fits(frame, mine[i][1], anywhere)]
        if not fits:
            if observed.limits:
                return []
            index, seen = mine[min(at, len(mine) - 1)]
            return [_Found(index, "line", frame, seen, _way(frame, seen), before)]
        chosen = fits[0]
        wrong = _values(frame, *mine[chosen], full)
        expected = sum(f.event == frame.event and f.line == frame.line for f in frames)
        if wrong and frame.event == "line" and len(fits) + at > expected:
            # Fewer visits of this line were predicted than happened: it may be a later one that is meant.
            total = sum(_fits(frame, seen, False) for _, seen in mine)
            later = [i for i in fits[1:] if not _values(frame, *mine[i], full)] if total > expected else []
            if later and frame.locals:
                chosen, wrong = later[0], ""
        if wrong:
            return [_Found(mine[chosen][0], "value", frame, mine[chosen][1], wrong, before)]
        seen = mine[chosen][1]
        if anywhere and frame.event != "call" and frame.line != seen.line and frame.line:
            return [_Found(mine[chosen][0], "line", frame, seen, _way(frame, seen), before)]
        at, before = chosen + 1, seen
    return []


def _fits(predicted: Frame, observed: Frame, anywhere: bool) -> bool:
    return predicted.event == observed.event and (anywhere or predicted.line == observed.line)


def _way(predicted: Frame, observed: Frame) -> str:
    return (
        f"predicted: {predicted.event} at line {predicted.line}; "
        f"observed: {observed.event} at line {observed.line}"
    )


def _values(predicted: Frame, index: int, observed: Frame, full: list[dict[str, str]]) -> str:
    """What differs at one frame, in words; empty where nothing does."""
    if (
        predicted.event in ("return", "exception")
        and predicted.value is not None
        and observed.value is not None
        and same_value(predicted.value, observed.value) is False
    ):
        return f"predicted {predicted.event} {predicted.value}; observed {observed.value}"
    for name, value in predicted.locals.items():
        seen = full[index].get(name)
        if value is not None and seen is not None and same_value(value, seen) is False:
            return f"predicted {name} = {value}; observed {name} = {seen}"
    return ""


def _probes(predicted: Trace, observed: Trace) -> list[_Found]:
    found = []
    seen: dict[tuple[int, str | None], list[int]] = {}
    for index, frame in enumerate(observed.frames):
        if frame.event == "probe":
            seen.setdefault((frame.run, frame.probe), []).append(index)
    count: dict[tuple[int, str | None], int] = {}
    for frame in predicted.frames:
        if frame.event != "probe":
            continue
        key = (frame.run, frame.probe)
        number = count[key] = count.get(key, 0) + 1
        if number <= len(seen.get(key, [])):
            index = seen[key][number - 1]
            other = observed.frames[index]
            if frame.value and other.value and same_value(frame.value, other.value) is False:
                detail = f"{frame.probe}: predicted {frame.value}; observed {other.value}"
                found.append(_Found(index, "value", frame, other, detail))
    return found


def _outcomes(predicted: Trace, observed: Trace) -> Divergence | None:
    for mine in predicted.outcomes:
        seen = observed.outcome(mine.run)
        if seen is None or mine.outcome == seen.outcome or "AssertionError" in seen.message:
            continue
        text = (
            f"run {mine.run}: predicted {mine.outcome} {mine.message}; observed {seen.outcome} {seen.message}"
        )
        return Divergence(mine.run, None, None, "outcome", text)
    return None


def _divergence(
    first: _Found, predicted: Trace, observed: Trace, full: list[dict[str, str]], sources: Mapping[str, str]
) -> Divergence:
    frame = first.observed or first.predicted
    assert frame is not None
    lines = [
        f"{frame.file}:{frame.line} in {frame.function}, run {frame.run}, call {frame.visit}: {first.detail}"
    ]
    for label, shown in (
        ("after", first.before),
        ("predicted", first.predicted),
        ("observed", first.observed),
    ):
        if shown is not None and shown.line:
            code = _code(sources, shown)
            lines.append(f"  {label + ':':<10} {shown.file}:{shown.line}{'  ' + code if code else ''}")
    if first.predicted is not None and first.predicted.locals:
        lines.append(
            "  predicted state: " + _state({k: v for k, v in first.predicted.locals.items() if v is not None})
        )
    if first.observed is not None and first.at < len(full) and full[first.at]:
        lines.append("  observed state:  " + _state(full[first.at]))
    return Divergence(frame.run, first.predicted, first.observed, first.what, "\n".join(lines))


def _code(sources: Mapping[str, str], frame: Frame) -> str:
    lines = sources.get(frame.file, "").splitlines()
    return lines[frame.line - 1].strip()[:120] if 0 < frame.line <= len(lines) else ""


def _state(state: Mapping[str, str]) -> str:
    shown = [f"{name} = {value[:100]}" for name, value in list(state.items())[:12]]
    return ", ".join(shown) + (", ..." if len(state) > 12 else "")
