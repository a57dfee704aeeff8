"""The root of fixbug's exceptions, and those that a sandbox raises.

Every message says what was expected, what came, and what to do (``cure``). The tree goes on in
``agent/errors.py``::

    FixbugError                    exit status 3
    ├── UsageError                 exit status 2: what was asked cannot be done as asked
    │   └── PatchDoesNotApply      with the rejected hunks
    └── SandboxError               the environment failed: never an answer about a patch
        ├── EngineError            no Docker engine, no permission, too old, unreachable
        ├── ImageError             an image that cannot be had, or lacks what a sandbox needs
        ├── SandboxDied            the container or the engine went away in the middle
        ├── TracingError           the tracer could not run, or its record cannot be read
        └── ScoringError           hidden tests could not be run, or their log not be read
"""

from __future__ import annotations


class FixbugError(Exception):
    """What went wrong (``problem``), and what the reader can do about it (``cure``)."""

    exit_status = 3

    def __init__(self, problem: str, *, cure: str = "") -> None:
        super().__init__(f"{problem}\n{cure}" if cure else problem)
        self.problem = problem
        self.cure = cure


class UsageError(FixbugError):
    """What was asked for cannot be done as asked."""

    exit_status = 2


class PatchDoesNotApply(UsageError):
    """A patch does not apply to the tree it was made for; the problem holds the rejected hunks."""


class SandboxError(FixbugError):
    """The sandbox failed. It says nothing about the patch that was being tried."""


class EngineError(SandboxError):
    """No Docker engine answers, or it refuses."""


class ImageError(SandboxError):
    """An image cannot be had or lacks what a sandbox needs."""


class SandboxDied(SandboxError):
    """The container or the engine went away while it was in use."""


class TracingError(SandboxError):
    """The tracer could not run, or what it wrote cannot be read."""


class ScoringError(SandboxError):
    """Hidden tests could not be run, or their log could not be read."""
