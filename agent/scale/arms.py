"""Runs arms that differ in one thing, on the same instances and seeds.

An arm is a request with some fields changed (``NAME:FIELD=VALUE,…``; the fields are those of
``agent.request.Request``). It is an ordinary batch in a folder of its own (``FOLDER/<arm>/``): it goes on
where it was stopped, and what ended there is not run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from agent.errors import FixbugError, UsageError
from agent.request import Request
from agent.scale.batch.asked import BenchRequest, resumed
from agent.scale.batch.bench import Benched, bench, record_beside
from agent.scale.batch.work import Watcher
from agent.trial import Feedback, WorldModel
from agent.world.calibration.gate import Gate

__all__ = ["ArmSpec", "like_the_first", "parse_arm", "run_arms"]

_FIXED = ("issue", "repo", "ref", "tests", "hidden_tests", "run_dir", "session", "image")
"""What makes the instance, and so cannot make an arm."""
_CHOICES = {
    "world_model": get_args(WorldModel),
    "gate": get_args(Gate),
    "feedback": get_args(Feedback),
    "sandbox": ("auto", "docker", "local"),
    "protocol": ("tools", "text"),
}
_AT_LEAST_ONE = ("runs", "samples", "max_rounds", "budget_tokens", "budget_steps", "budget_seconds")


@dataclass(frozen=True)
class ArmSpec:
    """What an arm changes."""

    name: str
    changes: Mapping[str, Any]


def parse_arm(text: str) -> ArmSpec:
    """``oracle:world_model=oracle,samples=1``; values are JSON, or text as it stands. ``NAME`` alone changes
    nothing. Raises ``UsageError`` for a field or a value that there is not, naming those that there are."""
    name, _, rest = text.partition(":")
    if not name or "/" in name or name.startswith("."):
        raise UsageError(f"the arm {text!r} has no name", cure="e.g. --arm oracle:world_model=oracle")
    known = [field.name for field in fields(Request) if field.name not in _FIXED]
    changes: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if key not in known or not separator:
            raise UsageError(
                f"the arm {text!r} changes {part!r}: expected FIELD=VALUE", cure=f"fields: {', '.join(known)}"
            )
        try:
            changes[key] = json.loads(value)
        except ValueError:
            changes[key] = value
    _check(text, changes)
    return ArmSpec(name, changes)


def _check(text: str, changes: Mapping[str, Any]) -> None:
    from pydantic import TypeAdapter, ValidationError

    for key, value in changes.items():
        if (choices := _CHOICES.get(key)) and value is not None and value not in choices:
            raise UsageError(f"the arm {text!r}: {key} is {value!r}", cure=f"there are: {', '.join(choices)}")
        if key in _AT_LEAST_ONE and isinstance(value, int | float) and value < 1:
            raise UsageError(f"the arm {text!r}: {key} is {value}", cure="expected 1 or more")
    try:
        whole = json.dumps({**asdict(Request(issue="")), **changes})
        TypeAdapter(Request).validate_json(whole, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"the arm {text!r}: {'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}",
            cure="true, false, null and numbers as they stand; anything else is a text",
        ) from None


def like_the_first(run: Path, given: BenchRequest) -> BenchRequest:
    """What a finished batch was asked, for further arms on its instances, with its settings and seed; where
    they go is ``given``'s. Raises ``UsageError`` where the folder holds no batch."""
    first = resumed(run, given)
    return replace(first, base=replace(first.base, run_dir=given.base.run_dir), run_id=None)


def run_arms(
    arms: Sequence[ArmSpec],
    request: BenchRequest,
    watching: Callable[[], AbstractContextManager[Watcher]],
) -> list[Benched]:
    """Each arm as a batch, one after the other; those behind one that is stopped are not begun. No arm learns
    from what another one predicted.

    Raises ``UsageError`` before anything runs where an arm cannot be, or its folder holds another one;
    ``FixbugError`` with the first attempt's trouble where none of an arm's can be made.
    """
    if len({arm.name for arm in arms}) < len(arms):
        raise UsageError("two arms have one name", cure="give each --arm a name of its own")
    requests = [
        replace(request, base=replace(request.base, **arm.changes), run_id=arm.name).settled() for arm in arms
    ]
    ledger = record_beside(Path(request.base.run_dir), {arm.name for arm in arms})
    done: list[Benched] = []
    for arm, one in zip(arms, requests, strict=True):
        with watching() as watcher:
            watcher.say(f"arm {arm.name}: {_told(arm)}")
            done.append(bench(one, watcher, ledger=ledger))
        if done[-1].stopped:
            break
        if not done[-1].results.data["ended"]:
            error = next(iter(done[-1].failures.values()))
            refused = UsageError if isinstance(error, UsageError) else FixbugError
            raise refused(
                f"no attempt of the arm {arm.name} has ended: there is nothing to compare: {error.problem}",
                cure=error.cure,
            )
    return done


def _told(arm: ArmSpec) -> str:
    return ", ".join(f"{name} = {value}" for name, value in arm.changes.items()) or "as it is asked"
