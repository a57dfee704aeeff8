"""Predicted and observed traces side by side: values as values, and the first place where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.world.intent import same_function
from agent.world.same import same_value as same_value
from agent.world.trace import Frame, Trace, states

MAX_VALUE = 100
"""Characters of a value in what is shown."""


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
    predicted: Trace, observed: Trace, sources: Mapping[str, str] | None = None, *, dense: bool = False
) -> Divergence | None:
    """The earliest place where they part; None where what was predicted agrees, as far as it goes.

    A prediction may be sparse: its frames are looked for in the observed ones, in order, for each
    call of each function, and what it leaves out is no divergence. In a ``dense`` one every frame counts.
    ``sources`` (path → text) adds lines of code to the text.
    """
    if not predicted.frames or not (observed.frames or observed.outcomes):
        return None
    aligned = _Aligner(observed, dense)
    found = aligned.found(predicted)
    found += _probes(predicted, observed)
    if found:
        first = min(found, key=lambda item: item.at)
        return _divergence(first, observed, aligned.states, sources or {})
    return _outcomes(predicted, observed)


_Function = tuple[int, str, str]
_Placed = tuple[int, Frame]
"""An observed frame with its index: the order of execution."""


class _Aligner:
    """Lays predicted calls over observed ones."""

    def __init__(self, observed: Trace, dense: bool) -> None:
        self.observed, self.dense = observed, dense
        self.states = states(observed.frames)
        self.calls: dict[_Function, dict[int, list[_Placed]]] = {}
        for index, frame in enumerate(observed.frames):
            if frame.event != "probe":
                visits = self.calls.setdefault((frame.run, frame.file, frame.function), {})
                visits.setdefault(frame.visit, []).append((index, frame))

    def found(self, predicted: Trace) -> list[_Found]:
        """Where each predicted call parts from what was observed."""
        wanted: dict[_Function, dict[int, list[Frame]]] = {}
        for frame in predicted.frames:
            if frame.event != "probe":
                visits = wanted.setdefault((frame.run, frame.file, frame.function), {})
                visits.setdefault(frame.visit, []).append(frame)
        result: list[_Found] = []
        for function, visits in wanted.items():
            seen = self._seen(function)
            if seen is None:
                result += self._missing(function, next(iter(visits.values())))
                continue
            result += self._function(visits, seen)
        return result

    def _seen(self, function: _Function) -> dict[int, list[_Placed]] | None:
        run, file, name = function
        if function in self.calls:
            return self.calls[function]
        near = [key for key in self.calls if key[:2] == (run, file) and same_function(key[2], name)]
        return self.calls[near[0]] if len(near) == 1 else {} if near else None

    def _function(self, visits: dict[int, list[Frame]], seen: dict[int, list[_Placed]]) -> list[_Found]:
        """One function's calls. Where fewer are predicted than happened, they may be counted otherwise."""
        if len(visits) < len(seen) and not self.dense and self._in_order(visits, seen):
            return []
        result: list[_Found] = []
        last = 0
        for visit, frames in sorted(visits.items()):
            mine = seen.get(visit)
            parted = self._never(visit, frames) if mine is None else self._call(frames, mine)
            if parted is not None and len(visits) < len(seen):
                others = [v for v in sorted(seen) if v > last and v not in visits]
                meant = [v for v in others if _tells(frames) and self._call(frames, seen[v]) is None]
                if meant:
                    last = meant[0]
                    continue
            last = max(last, visit)
            if parted is not None:
                result.append(parted)
        return result

    def _in_order(self, visits: dict[int, list[Frame]], seen: dict[int, list[_Placed]]) -> bool:
        """Whether each predicted call is one that happened, in their order, some left out between them."""
        rest = iter(sorted(seen))
        return all(
            any(_tells(frames) and self._call(frames, seen[visit]) is None for visit in rest)
            for _, frames in sorted(visits.items())
        )

    def _missing(self, function: _Function, frames: Sequence[Frame]) -> list[_Found]:
        file, name = function[1], function[2]
        followed = any(f.file == file and same_function(f.function, name) for f in self.observed.frames)
        if not followed and file not in {f.file for f in self.observed.frames}:
            return []
        never = self._never(frames[0].visit, frames)
        return [never] if never is not None else []

    def _never(self, visit: int, frames: Sequence[Frame]) -> _Found | None:
        if self.observed.limits:
            return None
        run = frames[0].run
        last = max((i for i, frame in enumerate(self.observed.frames) if frame.run == run), default=0)
        return _Found(
            last + 1, "call", frames[0], None, f"call {visit} of {frames[0].function} never happened"
        )

    def _call(self, frames: Sequence[Frame], mine: Sequence[_Placed]) -> _Found | None:
        """The first frame of one call that differs.

        Each predicted frame is laid to the first observed one, in order, that it agrees with. Visits of a
        line may be passed over only as far as enough are left for what is predicted of it later.
        """
        at, before = 0, None
        for number, frame in enumerate(frames):
            anywhere = frame.event in ("call", "return", "exception")
            after = mine[at : at + 1] if self.dense else mine[at:]
            fits = [at + i for i, (_, seen) in enumerate(after) if _fits(frame, seen, anywhere)]
            if not fits:
                if self.observed.limits and at >= len(mine):
                    return None
                index, seen = mine[min(at, len(mine) - 1)]
                return _Found(index, "line", frame, seen, _way(frame, seen), before)
            still = sum(_fits(frame, other, anywhere) for other in frames[number:]) if len(fits) > 1 else 1
            near = fits[: max(1, len(fits) - still + 1)]
            agreeing = [i for i in near if not self._differs(frame, mine[i])]
            chosen = agreeing[0] if agreeing else fits[0]
            index, seen = mine[chosen]
            if not agreeing:
                return _Found(index, "value", frame, seen, self._differs(frame, mine[chosen]), before)
            if anywhere and frame.event != "call" and frame.line != seen.line and frame.line:
                return _Found(index, "line", frame, seen, _way(frame, seen), before)
            at, before = chosen + 1, seen
        return None

    def _differs(self, predicted: Frame, placed: _Placed) -> str:
        index, observed = placed
        return _values(predicted, self.states[index], observed)


def _tells(frames: Sequence[Frame]) -> bool:
    """Whether anything is said of a call but that it happens."""
    return any(frame.locals or frame.value is not None for frame in frames)


def _fits(predicted: Frame, observed: Frame, anywhere: bool) -> bool:
    return predicted.event == observed.event and (anywhere or predicted.line == observed.line)


def _way(predicted: Frame, observed: Frame) -> str:
    return (
        f"predicted: {predicted.event} at line {predicted.line}; "
        f"observed: {observed.event} at line {observed.line}"
    )


def _values(predicted: Frame, state: Mapping[str, str], observed: Frame) -> str:
    """What differs at one frame, in words; empty where nothing does."""
    if (
        predicted.event in ("return", "exception")
        and predicted.value is not None
        and observed.value is not None
        and same_value(predicted.value, observed.value) is False
    ):
        return f"predicted {predicted.event} {_short(predicted.value)}; observed {_short(observed.value)}"
    for name, value in predicted.locals.items():
        seen = state.get(name)
        if value is not None and seen is not None and same_value(value, seen) is False:
            return f"predicted {name} = {_short(value)}; observed {name} = {_short(seen)}"
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
                detail = f"{frame.probe}: predicted {_short(frame.value)}; observed {_short(other.value)}"
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
    first: _Found, observed: Trace, full: list[dict[str, str]], sources: Mapping[str, str]
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


def _short(value: str) -> str:
    return value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 3] + "..."


def _code(sources: Mapping[str, str], frame: Frame) -> str:
    lines = sources.get(frame.file, "").splitlines()
    return lines[frame.line - 1].strip()[:120] if 0 < frame.line <= len(lines) else ""


def _state(state: Mapping[str, str]) -> str:
    shown = [f"{name} = {_short(value)}" for name, value in list(state.items())[:12]]
    return ", ".join(shown) + (", ..." if len(state) > 12 else "")
