"""The record of a model's simulations: what was predicted, and what happened then.

It is kept nowhere but in the run folders themselves (docs/runs.md): of each attempt that ended
(``attempt.json``) the verdicts in ``predicted.jsonl``, which were written before anything ran, are laid
beside those in ``observed.jsonl``, round by round. A candidate that was not run has no outcome and counts
for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.world.intent import Judgement

UNKNOWN_KIND = "not recorded"
_DEPTH = ("", "*", "*/*", "*/*/*")
"""Where attempts lie below what is named: an attempt, an instance, a run, or a folder of runs."""


@dataclass(frozen=True)
class Entry:
    """One prediction and what happened. ``probability``: what trust said of it then, ``prior``: what the
    shipped prior said; None where that was not recorded."""

    place: str
    instance: str
    simulator: str
    kinds: frozenset[str]
    predicted: Judgement
    observed: Judgement
    blind: bool = True
    probability: float | None = None
    prior: float | None = None

    @property
    def told(self) -> bool:
        """Whether anything was predicted at all."""
        return self.predicted != "unknown"

    @property
    def right(self) -> bool:
        return self.predicted == self.observed


@dataclass(frozen=True)
class Ledger:
    """Entries in the order of their folders' names, and the folders that could not be read, with why."""

    entries: tuple[Entry, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def of(self, simulator: str) -> tuple[Entry, ...]:
        """What counts as this simulator's record: blind predictions only (the oracle's never are)."""
        mine = (entry for entry in self.entries if entry.simulator == simulator)
        return tuple(entry for entry in mine if entry.blind or simulator == "oracle")

    @property
    def simulators(self) -> tuple[str, ...]:
        """Who predicted anything, by the number of predictions."""
        names = [entry.simulator for entry in self.entries if entry.told]
        return tuple(sorted(set(names), key=lambda name: (-names.count(name), name)))


def read_ledger(folders: Iterable[Path]) -> Ledger:
    """The ledger of all attempts in or below ``folders``; none where there are none."""
    entries: list[Entry] = []
    skipped: list[tuple[str, str]] = []
    for attempt in _attempts(folders):
        try:
            entries += _entries(attempt)
        except OSError as error:
            skipped.append((str(attempt), f"cannot be read: {error.strerror or error}"))
        except _Broken as error:
            skipped.append((str(attempt), str(error)))
    return Ledger(tuple(entries), tuple(skipped))


class _Broken(Exception):
    """An attempt's folder that is no record."""


def _attempts(folders: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        for depth in _DEPTH:
            for name in ("predicted.jsonl", "attempt.json"):
                pattern = f"{depth}/{name}" if depth else name
                found |= dict.fromkeys(path.parent for path in sorted(folder.glob(pattern)))
    return sorted({path.resolve(): path for path in found}.values())


def _entries(attempt: Path) -> Iterator[Entry]:
    if not (attempt / "attempt.json").is_file():
        raise _Broken("no attempt.json: it was interrupted, or goes on")
    try:
        outcome = json.loads((attempt / "attempt.json").read_text("utf-8"))
        instance = str(outcome["instance_id"])
        simulator = str(outcome["predicted"]["simulator"])
    except (ValueError, KeyError, TypeError) as error:
        raise _Broken(f"attempt.json is not one of an attempt ({type(error).__name__})") from error
    predicted = dict(_verdicts(attempt / "predicted.jsonl"))
    for number, row in _verdicts(attempt / "observed.jsonl"):
        before = predicted.get(number)
        if before is None or row["verdict"]["value"] not in ("holds", "broken"):
            continue
        trust = before.get("trust")
        trust = trust if isinstance(trust, dict) else {}
        kinds = before.get("kinds")
        yield Entry(
            place=f"{attempt}, round {number}",
            instance=instance,
            simulator=str(before.get("simulator") or simulator),
            kinds=frozenset(map(str, kinds))
            if isinstance(kinds, list) and kinds
            else frozenset([UNKNOWN_KIND]),
            predicted=before["verdict"]["value"],
            observed=row["verdict"]["value"],
            blind=before.get("blind") is not False,
            probability=_share(trust.get("probability")),
            prior=_share(trust.get("prior")),
        )


def _verdicts(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines with a verdict, by round; of several for one round the last counts: it is what was run."""
    found: dict[int, dict[str, Any]] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            # Samples and traces are long, and whole ones are of no interest here.
            if '"verdict":' not in line and line.startswith("{") and line.rstrip().endswith("}"):
                continue
            try:
                row = json.loads(line)
                if row["verdict"]["value"] not in ("holds", "broken", "unknown"):
                    raise ValueError(row["verdict"]["value"])
                found[int(row["round"])] = row
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise _Broken(
                    f"line {number} of {path.name} is no verdict ({type(error).__name__})"
                ) from error
    yield from found.items()


def _share(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if known else None
