"""The run store: a folder of plain files that any number of workers write to and no crash can spoil.

::

    <run>/run.json                       what was asked and with what; written first
    <run>/<instance>/<attempt>/…         one attempt (``agent/record.py``): it counts once it has attempt.json
    <run>/failures.jsonl                 attempts that the environment failed, or that cannot be made
    <run>/.lock                          held by the one process that drives the run

What follows from the attempts (``predictions.jsonl``, ``results.json``) is written from them at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.errors import FixbugError, UsageError
from agent.record import check_place, folder_name, write_atomically

__all__ = ["SCHEMA", "RunStore", "read_run", "summary_of"]

SCHEMA = 2
"""Version of run.json. 1 is a run of one attempt."""


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json`` of a batch. Raises ``UsageError``: no run, one of a single attempt, a newer one."""
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
        schema, kind, asked = int(run["schema"]), run.get("kind"), run.get("asked")
        attempts = run.get("attempts")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} is no run: its run.json cannot be read ({type(error).__name__})",
            cure="name a folder that fixbug bench has made",
        ) from error
    if schema > SCHEMA:
        raise UsageError(
            f"{folder} was written by a newer fixbug (run.json has schema {schema}, {SCHEMA} is known here)",
            cure="update fixbug, or give another folder",
        )
    if kind != "bench":
        raise UsageError(
            f"{folder} is a run of one attempt", cure=f"fixbug --resume {folder} goes on with it"
        )
    if not (isinstance(asked, dict) and isinstance(asked.get("request"), dict) and isinstance(attempts, int)):
        raise UsageError(
            f"{folder} is no run: its run.json does not say what was asked",
            cure="name a folder that fixbug bench has made",
        )
    return dict(run)


def summary_of(path: Path) -> dict[str, Any] | None:
    """What a table needs of one ``attempt.json``; None where that is not there or cannot be read."""
    try:
        outcome = json.loads(path.read_text("utf-8"))
        score = outcome["score"] or {}
        cost = outcome["cost"]
        return {
            "instance_id": outcome["instance_id"],
            "attempt": int(path.parent.name),
            "status": outcome["status"],
            "ended": outcome["ended"],
            "resolved": score.get("resolved"),
            "hardened": (score.get("hardened") or {}).get("resolved"),
            "predicted": outcome["predicted"]["verdict"],
            "observed": outcome["observed"]["verdict"],
            "tokens": cost["tokens"],
            "prompt_tokens": cost.get("prompt_tokens", 0),
            "completion_tokens": cost.get("completion_tokens", 0),
            "usd": cost["usd"] if isinstance(cost["usd"], int | float) else None,
            "steps": cost.get("steps"),
            "seconds": cost["seconds"],
            "container_seconds": cost["container_seconds"],
            "record": (outcome.get("proposer") or {}).get("record"),
            "models": cost.get("models") or [],
            "image": (outcome.get("sandbox") or {}).get("image"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class RunStore:
    """One run's folder. A context manager: it holds the run's lock.

    ``config`` is ``run.json``; its ``asked`` must be the same each time. How many ``attempts`` are made at
    each instance, and at which ``endpoints`` (the latest stands last), may change. Raises ``UsageError``
    where something else is asked (with what differs), where another process drives the run, or where the
    folder holds something else.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self._config = dict(config)
        self._lock: int | None = None
        self._writing = threading.Lock()

    def __enter__(self) -> RunStore:
        check_place(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise FixbugError(
                f"the run folder {self.folder} cannot be made: {error.strerror}",
                cure="give a writable folder with --run-dir",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._unlock()
            raise UsageError(
                f"another process is driving the run {self.folder}",
                cure="wait for it, or give this one another --run-id",
            ) from error
        try:
            self._settle()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _settle(self) -> None:
        path = self.folder / "run.json"
        if not path.exists():
            strangers = [entry.name for entry in self.folder.iterdir() if entry.name != ".lock"]
            if strangers:
                raise UsageError(
                    f"{self.folder} holds something else than a run: {', '.join(sorted(strangers)[:3])}",
                    cure="give another --run-id or --run-dir",
                )
            write_atomically(path, json.dumps(self._config, indent=2, default=str) + "\n")
            return
        run = read_run(self.folder)
        now = json.loads(json.dumps(self._config["asked"], default=str))
        different = list(_differences(run["asked"], now))
        if different:
            raise UsageError(
                f"{self.folder} was asked for differently:\n" + "\n".join(f"  {line}" for line in different),
                cure="ask for the same again, or give another --run-id",
            )
        here = self._config["endpoints"]
        before = [one for one in run.get("endpoints", ()) if one not in here]
        changed = {**run, "attempts": self._config["attempts"], "endpoints": [*before, *here]}
        if changed != run:
            write_atomically(path, json.dumps(changed, indent=2, default=str) + "\n")

    def note(self, found: Mapping[str, Any]) -> None:
        """Put into ``run.json``, as ``found``, what was not known before the attempts were made."""
        path = self.folder / "run.json"
        run = {**json.loads(path.read_text("utf-8")), "found": dict(found)}
        write_atomically(path, json.dumps(run, indent=2, default=str) + "\n")

    def attempt_folder(self, instance_id: str, attempt: int) -> Path:
        return self.folder / folder_name(instance_id) / str(attempt)

    def done(self, instance_id: str, attempt: int) -> bool:
        """Whether the attempt has ended. ``attempt.json`` is renamed into place: it is whole."""
        return (self.attempt_folder(instance_id, attempt) / "attempt.json").exists()

    def summary(self, instance_id: str, attempt: int) -> dict[str, Any] | None:
        """See ``summary_of``."""
        return summary_of(self.attempt_folder(instance_id, attempt) / "attempt.json")

    def outcomes(self, attempt: int) -> Iterator[dict[str, Any]]:
        """Every ended attempt of that number, whole, sorted by folder: one at a time in memory."""
        for path in sorted(self.folder.glob(f"*/{attempt}/attempt.json")):
            yield json.loads(path.read_text("utf-8"))

    def failed(self, instance_id: str, attempt: int, error: FixbugError, tries: int) -> None:
        """Note that the environment failed an attempt, or that it cannot be made."""
        line = {
            "instance_id": instance_id, "attempt": attempt, "type": type(error).__name__,
            "problem": error.problem, "cure": error.cure, "tries": tries, "time": time.time(),
        }  # fmt: skip
        with (
            self._writing,
            suppress(OSError),
            (self.folder / "failures.jsonl").open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(line) + "\n")


def _differences(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """``place: was …, is …`` for each value that differs between two JSON values."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            yield from _differences(was.get(key), now.get(key), f"{place}.{key}" if place else key)
    elif was != now:
        yield f"{place}: was {_short(was)}, is {_short(now)}"


def _short(value: Any) -> str:
    shown = json.dumps(value)
    if len(shown) > 80 and isinstance(value, list):
        return f"{len(value)} entries"
    return shown if len(shown) <= 80 else shown[:77] + "…"
