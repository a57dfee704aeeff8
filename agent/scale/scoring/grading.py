"""Many predictions, graded: each distinct patch once, several at a time, everything finished kept.

What says nothing about a patch (no image, an engine that went away, a full disk) is never a grade: it is
tried again a few times, and then listed among the failures with its cure.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.errors import EngineError, FixbugError, ImageError, IntakeError, SandboxError, UsageError
from agent.intake.dataset import find_row
from agent.scale.scoring.grades import Grade, GradeStore, grade_key
from agent.scale.scoring.predictions import Prediction, distinct
from sandbox import Limits
from sandbox.scoring import check_row, score_row

__all__ = ["Graded", "Grading", "default_workers", "grade", "select"]

Say = Callable[[str, bool], None]
"""A line of progress, and whether it is only worth a live display."""

_PATIENCE = 60.0
"""Seconds that a restarting engine is waited for."""


def default_workers() -> int:
    """One a processor, at most 8."""
    return min(os.cpu_count() or 1, 8)


@dataclass(frozen=True)
class Grading:
    """How to grade. ``pauses``: seconds before each further try after a failure of the environment."""

    store: GradeStore
    workers: int
    timeout: float = 1800
    limits: Limits = field(default_factory=Limits)
    pauses: tuple[float, ...] = (1.0, 5.0)


@dataclass(frozen=True)
class Graded:
    """What became of one distinct patch.

    ``status``: ``graded``; ``failed`` (the environment; ``error`` has the problem and its cure); or
    ``pending``, where the batch was stopped before. ``known``: the grade was there before this run.
    ``logs``: the folder with what the tests printed, where tests ran. ``image``: what it was graded in.
    """

    prediction: Prediction
    status: Literal["graded", "failed", "pending"]
    grade: Grade | None = None
    known: bool = False
    logs: Path | None = None
    image: str | None = None
    error: FixbugError | None = None

    @property
    def official(self) -> bool:
        return bool(self.grade and self.grade["resolved"])

    @property
    def hardened(self) -> bool:
        return bool(self.grade and self.grade["hardened"]["resolved"])

    def to_json(self) -> dict[str, Any]:
        """One flat object, for scripts."""
        found: dict[str, Any] = {
            "instance_id": self.prediction.instance_id,
            "patch_sha256": self.prediction.digest,
            "names": list(self.prediction.names),
            "status": self.status,
        }
        if self.grade is not None:
            hardened, detail = self.grade["hardened"], self.grade["detail"]
            found |= {
                "official": self.official,
                "hardened": self.hardened,
                "removed": hardened["removed"],
                "reasons": hardened["reasons"],
                "controlled": hardened["controlled"],
                "applied": detail.get("applied", False),
                "apply": detail.get("apply", ""),
                "timed_out": detail.get("timed_out", False),
                "failed_tests": self.grade["failed"],
                "infra_failure": detail.get("infra_failure"),
                "seconds": round(self.grade["seconds"], 3),
                "phases": detail.get("phases", {}),
                "known": self.known,
                "image": self.image,
                "logs": str(self.logs) if self.logs else None,
            }
        if self.error is not None:
            found["error"] = {
                "type": type(self.error).__name__,
                "problem": self.error.problem,
                "cure": self.error.cure,
            }
        return found


def select(
    rows: Sequence[Mapping[str, Any]], predictions: Sequence[Prediction], instances: Sequence[str] = ()
) -> tuple[dict[str, Mapping[str, Any]], list[Prediction]]:
    """The rows that are needed, by id, and each distinct prediction for them once.

    Raises ``IntakeError``: an instance that the dataset or the predictions do not have, two different
    rows with one id; ``UsageError``: a row that cannot be graded.
    """
    have = {prediction.instance_id for prediction in predictions}
    missing = [name for name in instances if name not in have]
    if missing:
        raise IntakeError(
            f"no prediction for {', '.join(missing[:5])}" + _more(missing[5:]),
            cure=f"the predictions hold {', '.join(sorted(have)[:3])}" + _more(sorted(have)[3:]),
        )
    wanted = [one for one in predictions if not instances or one.instance_id in instances]
    known = {str(row.get("instance_id")) for row in rows}
    strangers = sorted({one.instance_id for one in wanted} - known)
    if len(strangers) > 1:
        raise IntakeError(
            f"{len(strangers)} instances of the predictions are not in the dataset: "
            f"{', '.join(strangers[:3])}" + _more(strangers[3:]),
            cure="give the dataset that they are for, or name the instances to grade with --instances",
        )
    needed: dict[str, Mapping[str, Any]] = {
        name: find_row(rows, name) for name in dict.fromkeys(one.instance_id for one in wanted)
    }
    for name, row in needed.items():
        try:
            check_row(row)
        except UsageError as error:
            raise IntakeError(f"{name}: {error.problem}", cure=error.cure) from error
    return needed, distinct(wanted)


def _more(rest: Sequence[object]) -> str:
    return f" and {len(rest)} more" if rest else ""


def grade(
    rows: Mapping[str, Mapping[str, Any]],
    predictions: Sequence[Prediction],
    grading: Grading,
    say: Say,
) -> Iterator[Graded]:
    """Grade ``predictions`` (distinct ones, see ``select``); each as it is done.

    An engine that stays away ends it: what is left comes as ``pending``. Raises what is no failure of
    one patch's environment (a full disk on this side) once the rest has been given.
    """
    return _Pool(rows, predictions, grading, say).run()


class _Pool:
    """Threads that take predictions from a queue. They hold containers, which end with this process."""

    def __init__(
        self,
        rows: Mapping[str, Mapping[str, Any]],
        predictions: Sequence[Prediction],
        grading: Grading,
        say: Say,
    ) -> None:
        self.rows, self.predictions, self.grading, self.say = rows, predictions, grading, say
        self.todo: queue.SimpleQueue[Prediction] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[Graded | BaseException] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.images = _Images(rows, say)

    def run(self) -> Iterator[Graded]:
        for prediction in self.predictions:
            self.todo.put(prediction)
        count = max(1, min(self.grading.workers, len(self.predictions)))
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()
        trouble: BaseException | None = None
        try:
            for _ in self.predictions:
                found = self._next()
                if isinstance(found, Graded):
                    yield found
                else:
                    trouble = trouble or found
        finally:
            self.stop.set()
        if trouble is not None:
            raise trouble

    def _next(self) -> Graded | BaseException:
        while True:
            try:
                return self.done.get(timeout=0.5)  # a bounded wait, so that Ctrl-C is heard
            except queue.Empty:
                continue

    def _work(self) -> None:
        while True:
            try:
                prediction = self.todo.get_nowait()
            except queue.Empty:
                return
            try:
                self.done.put(self._grade(prediction))
            except BaseException as error:  # carried to the thread that waits
                self.stop.set()
                self.done.put(error)

    def _grade(self, prediction: Prediction) -> Graded:
        if not prediction.patch.strip():
            return Graded(prediction, "graded", _EMPTY)
        failure: SandboxError | None = None
        for pause in (0.0, *self.grading.pauses):
            if self.stop.wait(pause):
                return Graded(prediction, "pending", error=failure)
            try:
                return self._try(prediction)
            except _NoImage as error:  # it was found, pulled or built once, for all candidates
                return Graded(prediction, "failed", error=error.problem)
            except SandboxError as error:
                failure = error
                self.say(f"{prediction.instance_id}: {error.problem.splitlines()[0]}; trying again", False)
                if not self._engine_is_back():
                    self.stop.set()
                    return Graded(prediction, "failed", error=_gone(error))
        if isinstance(failure, ImageError):
            cure = "mend or rebuild the image, then give the same command again"
            failure = ImageError(failure.problem, cure=cure)
        return Graded(prediction, "failed", error=failure)

    def _try(self, prediction: Prediction) -> Graded:
        row, grading, store = self.rows[prediction.instance_id], self.grading, self.grading.store
        name, image_id = self.images.of(prediction.instance_id)
        key = grade_key(
            row, prediction.patch, image_id=image_id, timeout=grading.timeout, limits=grading.limits
        )
        with store.lock(key):
            known = store.get(key)
            if known is not None:
                return Graded(prediction, "graded", known, True, store.logs(key), name)
            self.say(f"{prediction.instance_id} {prediction.digest[:8]}", True)
            score = score_row(
                row, prediction.patch, image=name, limits=grading.limits, timeout=grading.timeout
            )
            return Graded(prediction, "graded", store.put(key, score), False, store.logs(key), name)

    def _engine_is_back(self) -> bool:
        from sandbox.docker import engine_answers

        deadline = time.monotonic() + _PATIENCE
        while not engine_answers():
            if time.monotonic() > deadline or self.stop.wait(2):
                return False
        return True


class _NoImage(Exception):
    """There is no image for an instance."""

    def __init__(self, problem: ImageError) -> None:
        super().__init__(problem.problem)
        self.problem = problem


class _Images:
    """Each instance's image: found, pulled or built once."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], say: Say) -> None:
        self._rows, self._say = rows, say
        self._found: dict[str, tuple[str, str] | ImageError] = {}
        self._locks = {name: threading.Lock() for name in rows}

    def of(self, instance: str) -> tuple[str, str]:
        """Name and id. Raises ``_NoImage`` (for each of its candidates), ``EngineError``."""
        with self._locks[instance]:
            found = self._found.get(instance)
            if found is None:
                try:
                    found = self._find(instance)
                except ImageError as error:
                    found = error
                self._found[instance] = found
        if isinstance(found, ImageError):
            raise _NoImage(found)
        return found

    def _find(self, instance: str) -> tuple[str, str]:
        from docker.errors import APIError, ImageNotFound
        from requests import RequestException

        from sandbox.docker import connect
        from sandbox.environment import image_for_row

        name = image_for_row(self._rows[instance], on_progress=lambda text: self._say(text, True))
        client = connect()
        try:
            return name, str(client.images.get(name).id)
        except ImageNotFound as error:
            raise ImageError(f"the image {name} went away", cure="score it again") from error
        except (APIError, RequestException, OSError) as error:
            raise EngineError(
                f"the engine does not tell of {name}: {error}", cure="score it again"
            ) from error
        finally:
            client.close()


def _gone(error: SandboxError) -> SandboxError:
    return EngineError(
        f"the Docker engine went away, and did not come back in {_PATIENCE:.0f} s: {error.problem}",
        cure="start it, and give the same command again: what was graded is kept",
    )


_EMPTY: Grade = {
    "resolved": False,
    "kind": "swebench",
    "passed": [],
    "failed": [],
    "dropped": [],
    "seconds": 0.0,
    "detail": {"applied": False, "apply": "the patch is empty", "timed_out": False},
    "hardened": {
        "resolved": False,
        "removed": [],
        "reasons": ["the patch is empty"],
        "passed": [],
        "failed": [],
        "controlled": 0,
    },
}
"""As swebench has it, an empty patch is not run: nothing was proposed."""
