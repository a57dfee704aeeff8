"""Grades that are known already, on disk: one patch, one instance, one image is graded once, across runs.

::

    <folder>/<2 digits>/<key>/grade.json     the grade, with its own digest; then the folder gets its name
                              *.log.gz       what the tests printed: official, hardened, control, before
    <folder>/locks/<3 digits>                held while a key is being graded, by whichever process

The key is a digest of everything that the grade depends on: the patch's bytes, the row's grading columns, the
image's id, the limits, and the versions of the scorer and of swebench. No name of a model or file is part of
it. An entry that cannot be read, or that is not what was written, is graded again. Only answers are kept.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent.errors import FixbugError
from sandbox import Limits
from sandbox.scoring import SCORER, Score

__all__ = ["GradeStore", "default_folder", "grade_key"]

_COLUMNS = (
    "instance_id", "repo", "version", "FAIL_TO_PASS", "PASS_TO_PASS", "log_parser", "eval_type",
    "eval_script", "image_assets",
)  # fmt: skip
_DAY = 86400.0

Grade = dict[str, Any]
"""``Score.to_json()`` without swebench's report, and with ``infra_failure`` where that suspects one."""


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/fixbug/grades`` (``~/.cache`` where that is not set)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fixbug" / "grades"


def grade_key(row: Mapping[str, Any], patch: str, *, image_id: str, timeout: float, limits: Limits) -> str:
    """A hexadecimal digest of what a grade depends on."""
    columns = {name: _plain(row.get(name)) for name in _COLUMNS}
    text = json.dumps(
        [SCORER, version("swebench"), columns, image_id, timeout, asdict(limits)], sort_keys=True
    )
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    found.update(b"\0" + patch.encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _plain(value: Any) -> Any:
    """Test lists come as lists or as their JSON, which is the same."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class GradeStore:
    """Grades in a folder that several processes may use at once.

    Raises ``FixbugError`` where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / "locks").mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{secrets.token_hex(4)}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise _unwritable(folder, error) from error
        self._sweep()

    def get(self, key: str) -> Grade | None:
        """What is known, or None: nothing, or something that is not what was written."""
        try:
            entry = json.loads((self._place(key) / "grade.json").read_text("utf-8"))
            grade = entry["grade"]
            if entry["key"] != key or entry["sha256"] != _digest(grade):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return dict(grade)

    def put(self, key: str, score: Score) -> Grade:
        """Keep a score; the grade as ``get`` gives it."""
        grade = _grade(score)
        place = self._place(key)
        part = place.with_name(f".part-{os.getpid()}-{secrets.token_hex(4)}")
        logs = {"official": score.log, **(score.hardened.logs if score.hardened else {})}
        text = json.dumps({"v": 1, "key": key, "sha256": _digest(grade), "grade": grade}, indent=1) + "\n"
        try:
            part.mkdir(parents=True)
            for name, log in logs.items():
                data = gzip.compress(log.encode("utf-8", "surrogateescape"), 6, mtime=0)
                (part / f"{name}.log.gz").write_bytes(data)
            _write_through(part / "grade.json", text)
            if place.exists():  # broken, or graded by somebody who does not know of the lock
                shutil.rmtree(place)
            part.rename(place)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise _unwritable(self.folder, error) from error
        return grade

    def logs(self, key: str) -> Path:
        """The folder with the logs of a grade."""
        return self._place(key)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold ``key``: who asks for it meanwhile, in any process, waits. A process that dies lets go."""
        with (self.folder / "locks" / key[:3]).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _sweep(self) -> None:
        """Remove what killed processes left half-written, a day later."""
        for part in self.folder.glob("*/.part-*"):
            try:
                if time.time() - part.stat().st_mtime > _DAY:
                    shutil.rmtree(part, ignore_errors=True)
            except OSError:
                continue


def _grade(score: Score) -> Grade:
    grade = score.to_json()
    report = grade["detail"].pop("report", {})
    if report.get("infra_failure"):
        grade["detail"]["infra_failure"] = str(report.get("infra_failure_reason"))
    return dict(json.loads(json.dumps(grade)))


def _digest(grade: Any) -> str:
    return hashlib.sha256(json.dumps(grade, sort_keys=True).encode()).hexdigest()


def _write_through(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _unwritable(folder: Path, error: OSError) -> FixbugError:
    return FixbugError(
        f"grades cannot be kept in {folder}: {error.strerror or error}",
        cure="free some disk, or give another folder with --cache; what was graded before is kept",
    )
