"""An image for what a user names: a repository (path or URL) at a commit, or a SWE-bench row."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import IntakeError, UsageError
from agent.intake import find_row, load_rows
from agent.intake.repository import is_url, prepare

__all__ = ["ImageAsked", "ImageReady", "TestsRun", "build_image", "image_asked"]

Progress = Callable[[str], None]
TEST_SECONDS = 1800.0


@dataclass(frozen=True)
class ImageAsked:
    """``what``: a path, a URL or DATASET#INSTANCE_ID. The rest overrides ``.fixbug.toml``."""

    what: str
    ref: str | None = None
    python: str | None = None
    as_of: datetime | None = None
    dockerfile: str | None = None
    devcontainer: bool = False
    test: bool = False


@dataclass(frozen=True)
class TestsRun:
    """The project's whole suite, run once in a sealed sandbox of the image."""

    __test__ = False

    command: str
    passed: bool
    exit_code: int
    seconds: float
    last_lines: str


@dataclass(frozen=True)
class ImageReady:
    """An image that is there, and what is known of it. ``notes``: what is not as the project asks for."""

    image: str
    kind: str
    """``row`` or ``repository``."""
    seconds: float
    base_commit: str = ""
    python: str = ""
    as_of: str = ""
    test: str = ""
    tests: str = ""
    installed: str = ""
    notes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    run: TestsRun | None = None

    @property
    def exit_status(self) -> int:
        """1 where the tests were run and did not pass."""
        return 1 if self.run is not None and not self.run.passed else 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def image_asked(
    what: str,
    *,
    ref: str | None = None,
    python: str | None = None,
    as_of: str | None = None,
    dockerfile: str | None = None,
    devcontainer: bool = False,
    test: bool = False,
) -> ImageAsked:
    """The same, from text. Raises ``UsageError`` for a version or a date that is none."""
    if python and not re.fullmatch(r"3\.\d{1,2}", python):
        raise UsageError(f"--python: expected a version such as 3.10, got {python!r}")
    moment = None
    if as_of is not None:
        try:
            moment = datetime.fromisoformat(as_of)
        except ValueError as error:
            raise UsageError(f"--as-of: expected a date such as 2021-03-01, got {as_of!r}") from error
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return ImageAsked(what, ref, python, moment, dockerfile, devcontainer, test)


def build_image(asked: ImageAsked, on_progress: Progress) -> ImageReady:
    """Build what ``asked`` names, or find it built. With ``test``, run the project's tests in it.

    Raises ``IntakeError`` and ``RemoteError`` (what was named cannot be had), ``UsageError`` (a setting that
    cannot be followed), ``ImageError`` and ``EngineError``.
    """
    from sandbox.environment import describe, image_for_row, image_with_source

    began = time.monotonic()
    dataset, instance = _row(asked.what)
    base_commit = ""
    if dataset:
        _refuse(asked)
        row = find_row(load_rows(dataset), instance)
        image, kind = image_for_row(row, on_progress=on_progress), "row"
        base_commit = str(row.get("base_commit", ""))
    else:
        with tempfile.TemporaryDirectory(prefix="fixbug-image-") as workspace:
            source = prepare(
                asked.what,
                workspace=Path(workspace),
                name="repository",
                ref=asked.ref,
                on_progress=on_progress,
            )
            declared = _declared(source.path, asked)
            image = image_with_source(
                source.path, _name(source.origin), declared=declared, on_progress=on_progress
            )
            kind, base_commit = "repository", source.base_commit
    found = describe(image)
    ready = ImageReady(
        image=image,
        kind=kind,
        seconds=round(time.monotonic() - began, 1),
        base_commit=base_commit,
        python=found.python,
        as_of=found.as_of,
        test=found.test,
        tests=found.tests,
        installed=found.installed,
        notes=found.notes,
        layers=found.layers,
    )
    return replace(ready, run=_run(ready, on_progress)) if asked.test else ready


def _row(what: str) -> tuple[str, str]:
    """Dataset and instance id; two empty strings where ``what`` is a repository."""
    dataset, separator, instance = what.rpartition("#")
    if not separator or is_url(what) or Path(what).expanduser().exists():
        return "", ""
    if not dataset or not instance:
        raise IntakeError(
            f"expected DATASET#INSTANCE_ID, got {what!r}", cure="e.g. verified#sympy__sympy-20590"
        )
    return dataset, instance


def _refuse(asked: ImageAsked) -> None:
    given = {
        "--ref": asked.ref,
        "--python": asked.python,
        "--as-of": asked.as_of,
        "--dockerfile": asked.dockerfile,
        "--devcontainer": asked.devcontainer,
        "--test": asked.test,
    }
    for option, value in given.items():
        if value:
            raise UsageError(
                f"{option} goes with a repository: a benchmark's row has its own commit and environment",
                cure=f"leave {option} out (fixbug score runs a row's tests)",
            )


def _declared(source: Path, asked: ImageAsked) -> Any:
    from sandbox.declared import Declared, read_declared

    found = read_declared(source)
    if asked.dockerfile or asked.devcontainer:
        if asked.python or asked.as_of or (asked.dockerfile and asked.devcontainer):
            raise UsageError(
                "--dockerfile and --devcontainer each say all of an image", cure="give one alone"
            )
        return Declared(dockerfile=asked.dockerfile or "", devcontainer=asked.devcontainer, test=found.test)
    if not (asked.python or asked.as_of):
        return found
    if found.image or found.dockerfile or found.devcontainer:
        raise UsageError(
            ".fixbug.toml names an image: --python and --as-of have no effect on it", cure="leave them out"
        )
    return replace(found, python=asked.python or found.python, as_of=asked.as_of or found.as_of)


def _name(origin: str) -> str:
    return origin.rstrip("/").rpartition("/")[2].removesuffix(".git")


def _run(ready: ImageReady, on_progress: Progress) -> TestsRun:
    from sandbox import SandboxSpec, open_sandbox

    command = ready.test or "python -m pytest"
    on_progress(f"running the tests: {command}")
    with open_sandbox(SandboxSpec(kind="docker", image=ready.image)) as sandbox:
        ran = sandbox.run(command, timeout=TEST_SECONDS)
    return TestsRun(
        command=command,
        passed=ran.ok,
        exit_code=ran.exit_code,
        seconds=round(ran.seconds, 1),
        last_lines="\n".join(ran.output.strip().splitlines()[-12:]),
    )
