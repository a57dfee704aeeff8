"""Where untrusted code runs: one protocol, and two kinds that satisfy it (Docker and local)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

__all__ = ["ExecResult", "Kind", "Limits", "Sandbox", "SandboxSpec", "open_sandbox"]

Kind = Literal["auto", "docker", "local"]


@dataclass(frozen=True)
class Limits:
    """Bounds on everything that runs in a sandbox."""

    memory_mb: int = 4096
    cpus: float = 2.0
    processes: int = 512
    file_mb: int = 2048
    """Largest file that a command may write, in MiB."""
    disk_mb: int = 10240
    """What may be written in all, in MiB; looked at once a second (Docker kind only)."""
    output_bytes: int = 1_000_000
    """A command's output past this is dropped from the middle (head and tail are kept)."""
    command_seconds: float = 120.0
    """Time limit of a command that names none of its own."""


@dataclass(frozen=True)
class SandboxSpec:
    """What to open.

    ``source`` is a directory on the host that holds the repository at its base commit (a git
    work tree); it is copied in. Without it the image holds the repository at ``workdir`` already.
    """

    kind: Kind = "auto"
    image: str | None = None
    source: Path | None = None
    workdir: str = "/testbed"
    base_commit: str | None = None
    """HEAD must be this commit, and nothing newer may be reachable. None: HEAD as it is found."""
    python: str | None = None
    """Local kind only: the interpreter that ``python`` means inside. None: the one running fixbug."""
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExecResult:
    """What a command did. ``output`` is stdout and stderr as they came, bounded by the limits."""

    output: str
    exit_code: int
    seconds: float
    timed_out: bool = False
    dropped_bytes: int = 0
    """How much was cut from the middle of the output."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.timed_out


class Sandbox(Protocol):
    """A place with a repository in it where commands run. Use it as a context manager.

    All methods raise ``SandboxDied`` when the place itself is gone; a command that fails is an
    ``ExecResult``, never an exception. Relative paths are relative to ``workdir``.
    """

    kind: str
    """``docker`` or ``local``."""
    isolated: bool
    """False: the code runs with the user's own rights (the local kind)."""
    workdir: str
    """Absolute path of the repository, as commands inside see it."""
    scratch: str
    """Absolute path of a directory outside the repository, for the harness's own files."""
    base_commit: str

    @property
    def seconds(self) -> float:
        """Seconds since it was opened (the container seconds that an attempt is charged)."""
        ...

    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> ExecResult:
        """Run ``command`` in a fresh ``bash`` (nothing but files carries over between calls)."""
        ...

    def read(self, path: str) -> bytes:
        """A file's content. Raises ``FileNotFoundError``."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file, and its parent directories."""
        ...

    def diff(self) -> str:
        """The work tree against the base commit, new files included, as git's unified diff.

        The index and the work tree are left as they are. Ignored files are not in it.
        """
        ...

    def apply(self, patch: str) -> None:
        """Apply a unified diff to the work tree. Raises ``PatchDoesNotApply``; then nothing changed."""
        ...

    def reset(self) -> None:
        """The work tree as it was at the base commit; ignored files (builds) stay."""
        ...

    def close(self) -> None:
        """Leave nothing behind. Safe to call twice."""
        ...

    def __enter__(self) -> Sandbox: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...


def open_sandbox(spec: SandboxSpec) -> Sandbox:
    """Open a sandbox. ``auto`` takes Docker where an engine answers, else local.

    Raises ``EngineError`` or ``ImageError`` (Docker), ``SandboxError`` (local).
    """
    if spec.kind == "local":
        from sandbox.local import LocalSandbox

        return LocalSandbox(spec)
    if spec.kind == "docker":
        from sandbox.docker import DockerSandbox

        return DockerSandbox(spec)
    from sandbox.docker import engine_answers

    return open_sandbox(_with_kind(spec, "docker" if engine_answers() else "local"))


def _with_kind(spec: SandboxSpec, kind: Kind) -> SandboxSpec:
    from dataclasses import replace

    return replace(spec, kind=kind)
