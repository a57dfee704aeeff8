"""Candidate patches: read from files or earlier runs, grouped by instance, equal ones told.

One row a candidate, in .jsonl, .jsonl.gz, .parquet or .json (a list, or an object from instance id to a row,
to the text of a patch, or to a list of either)::

    instance_id        text, needed
    model_patch        unified diff, needed ("patch" is taken too); empty or null: nothing was proposed
    system             who made it ("source" and "model_name_or_path" are taken too)
    resolved           true, false, or absent where nobody scored it
    tokens, usd, seconds   what it cost, where that is known ("cost" is taken for usd)
    predicted          what a world model said of it: "holds", "broken" or "unknown"
    trust              the chance that this prediction is right, as its record has earned, 0 to 1

SWE-bench's predictions files have this shape already, so the files of many systems are a candidate set. A
run folder (``runs/<id>``) gives one candidate an attempt, a folder of those all of them.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from agent.errors import IntakeError
from agent.scale.canonical import Canonical, canonical

__all__ = ["Candidate", "CandidateSet", "Predicted", "read_candidates"]

Predicted = Literal["holds", "broken", "unknown"]

_FILES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
_SHAPE = "a row holds instance_id, model_patch, and, where known, system, resolved, tokens and usd"


@dataclass(frozen=True)
class Candidate:
    """One patch for one instance. None: not known."""

    instance_id: str
    patch: str
    source: str
    """The system or the run that made it."""
    order: int
    """Its place among the instance's candidates, from 0, in the order in which they were read."""
    resolved: bool | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    container_seconds: float | None = None
    predicted: Predicted | None = None
    trust: float | None = None

    @cached_property
    def canonical(self) -> Canonical:
        """What it changes, in one form."""
        return canonical(self.patch)

    @property
    def key(self) -> str:
        """Equal for candidates that do the same."""
        return self.canonical.key


@dataclass(frozen=True)
class CandidateSet:
    """Instance id → its candidates, in order."""

    by_instance: Mapping[str, tuple[Candidate, ...]]

    def __len__(self) -> int:
        return sum(map(len, self.by_instance.values()))

    def __iter__(self) -> Iterator[Candidate]:
        for candidates in self.by_instance.values():
            yield from candidates

    @property
    def instances(self) -> tuple[str, ...]:
        return tuple(self.by_instance)

    def only(self, instances: Iterable[str]) -> CandidateSet:
        """Those of ``instances`` that it has, in its own order."""
        wanted = set(instances)
        return CandidateSet({name: found for name, found in self.by_instance.items() if name in wanted})

    def distinct(self) -> int:
        """How many different patches there are, empty ones left out."""
        return sum(
            len({candidate.key for candidate in candidates if not candidate.canonical.empty})
            for candidates in self.by_instance.values()
        )

    def unlabelled(self) -> tuple[str, ...]:
        """Instances with a candidate that nobody scored."""
        return tuple(
            name
            for name, candidates in self.by_instance.items()
            if any(candidate.resolved is None for candidate in candidates)
        )

    def contradictions(self) -> tuple[str, ...]:
        """Instances on which equal patches carry different labels: noise in the labels."""
        return tuple(
            name for name, candidates in self.by_instance.items() if _contradict(candidates)
        )  # fmt: skip


def read_candidates(paths: Sequence[Path]) -> CandidateSet:
    """The candidates of all ``paths``: files, run folders, folders of either.

    Raises ``IntakeError``: nothing there, nothing in it, a row that is not as described (with its place).
    """
    found: dict[str, list[Candidate]] = defaultdict(list)
    for path in paths:
        for source, row, where in _rows(path.expanduser()):
            name = row.get("instance_id")
            if not isinstance(name, str) or not name:
                raise IntakeError(f"{where}: expected an instance_id, got {name!r}", cure=_SHAPE)
            found[name].append(_candidate(row, name, source, len(found[name]), where))
    if not found:
        raise IntakeError(f"no candidates in {', '.join(map(str, paths)) or 'nothing'}", cure=_SHAPE)
    return CandidateSet({name: tuple(candidates) for name, candidates in found.items()})


def _contradict(candidates: Sequence[Candidate]) -> bool:
    labels: dict[str, set[bool]] = defaultdict(set)
    for candidate in candidates:
        if candidate.resolved is not None:
            labels[candidate.key].add(candidate.resolved)
    return any(len(seen) > 1 for seen in labels.values())


# --- where rows come from -----------------------------------------------------------------------

_Row = tuple[str, Mapping[str, Any], str]
"""Who made it where the row does not say, the row, and its place for messages."""


def _rows(path: Path) -> Iterator[_Row]:
    if path.is_dir():
        yield from _folder(path)
    elif not path.exists():
        raise IntakeError(f"expected candidates, {path} does not exist", cure=f"give a file: {_SHAPE}")
    elif path.name.endswith(_FILES):
        yield from _file(path)
    else:
        raise IntakeError(f"expected candidates, {path.name} is no {', '.join(_FILES)}", cure=_SHAPE)


def _folder(folder: Path) -> Iterator[_Row]:
    runs = (
        [folder] if (folder / "run.json").is_file() else sorted(p.parent for p in folder.glob("*/run.json"))
    )
    files = [] if runs else sorted(path for path in folder.iterdir() if path.name.endswith(_FILES))
    if not runs and not files:
        raise IntakeError(f"{folder} holds neither run folders nor files of candidates", cure=_SHAPE)
    for run in runs:
        for attempt in sorted(run.glob("*/*/attempt.json"), key=_attempt_order):
            yield run.name, _of_attempt(attempt), str(attempt)
    for path in files:
        yield from _file(path)


def _attempt_order(path: Path) -> tuple[str, int, str]:
    number = path.parent.name
    return path.parent.parent.name, int(number) if number.isdigit() else 0, number


def _of_attempt(path: Path) -> dict[str, Any]:
    """An attempt's outcome (docs/runs.md) as a row."""
    try:
        outcome = json.loads(path.read_text("utf-8"))
        cost, score = outcome["cost"], outcome.get("score")
        predicted = outcome.get("predicted") or {}
        return {
            "instance_id": outcome["instance_id"],
            "model_patch": outcome["patch"],
            # where nothing was proposed there is nothing to score, and nothing is resolved
            "resolved": score["resolved"] if score else False if outcome["status"] == "no_patch" else None,
            "tokens": cost.get("tokens"),
            "usd": cost.get("usd"),
            "seconds": cost.get("seconds"),
            "container_seconds": cost.get("container_seconds"),
            "predicted": predicted.get("verdict") if predicted.get("simulator") != "none" else None,
            "trust": (predicted.get("trust") or {}).get("probability"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntakeError(
            f"{path} is no outcome of an attempt ({type(error).__name__}: {error})",
            cure="docs/runs.md says what it holds; a newer fixbug may have written it",
        ) from error


def _file(path: Path) -> Iterator[_Row]:
    from agent.intake.dataset import load_rows

    named = _mapping(path)
    rows = load_rows(str(path)) if named is None else named
    source = path.name.removesuffix(".gz").rpartition(".")[0]
    for number, row in enumerate(rows, 1):
        yield source, row, f"{path}, row {number}"


def _mapping(path: Path) -> list[dict[str, Any]] | None:
    """The rows of a .json file that maps instance ids to them; None for every other kind."""
    if path.suffix != ".json":
        return None
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return None  # whoever reads it as a dataset says what is wrong with it
    if not isinstance(value, dict) or "instance_id" in value:
        return None
    rows = []
    for name, found in value.items():
        for row in found if isinstance(found, list) else [found]:
            if not isinstance(row, dict | str):
                said = f"{path}, {name!r}: expected a row or a patch, got {type(row).__name__}"
                raise IntakeError(said, cure=_SHAPE)
            rows.append({"instance_id": name, **(row if isinstance(row, dict) else {"model_patch": row})})
    return rows


# --- one row ------------------------------------------------------------------------------------


def _candidate(row: Mapping[str, Any], name: str, source: str, order: int, where: str) -> Candidate:
    patch = row["model_patch"] if "model_patch" in row else row.get("patch", 0)
    if patch is not None and not isinstance(patch, str):
        got = "nothing" if patch == 0 else type(patch).__name__
        raise IntakeError(f"{where}: expected a diff in model_patch, got {got}", cure=_SHAPE)
    resolved = row.get("resolved")
    if resolved is not None and not isinstance(resolved, bool):
        raise IntakeError(
            f"{where}: expected true, false or nothing in resolved, got {resolved!r}", cure=_SHAPE
        )
    predicted = row.get("predicted")
    if predicted is not None and predicted not in get_args(Predicted):
        raise IntakeError(
            f"{where}: expected {', '.join(get_args(Predicted))} in predicted, got {predicted!r}", cure=_SHAPE
        )
    by = next((row[key] for key in ("system", "source", "model_name_or_path") if row.get(key)), source)
    tokens = _amount(row, "tokens", where)
    return Candidate(
        instance_id=name,
        patch=patch or "",
        source=str(by),
        order=order,
        resolved=resolved,
        tokens=None if tokens is None else int(tokens),
        usd=_amount(row, "usd" if row.get("usd") is not None else "cost", where),
        seconds=_amount(row, "seconds", where),
        container_seconds=_amount(row, "container_seconds", where),
        predicted=predicted,
        trust=_amount(row, "trust", where, most=1.0),
    )


def _amount(row: Mapping[str, Any], column: str, where: str, most: float = math.inf) -> float | None:
    value = row.get(column)
    if value is None or value == "unknown":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        bounds = f"a number from 0 to {most:g}" if most < math.inf else "a number that is not negative"
        raise IntakeError(f"{where}: expected {bounds} in {column}, got {value!r}", cure=_SHAPE)
    return float(value) if math.isfinite(value) else None
