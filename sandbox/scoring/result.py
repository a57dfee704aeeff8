"""What hidden tests say of a patch: the benchmark's own verdict, and the hardened one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Hardened", "Score"]


@dataclass(frozen=True)
class Hardened:
    """The verdict that a patch cannot talk its way into (``docs/scoring.md``).

    ``removed``: what was taken out of the patch before its tests ran (paths, or ``PATH [section]``).
    ``reasons``: why the patch does not count although the benchmark's rules are met; empty for a
    resolved patch, and for one whose tests simply fail. ``controlled``: how many of the tests that
    count were shown to be able to fail. ``logs``: what further runs printed, by name.
    """

    resolved: bool
    removed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    controlled: int = 0
    logs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """What hidden tests say of a patch.

    ``resolved`` is the benchmark's own verdict for a row (``kind`` ``swebench``), on the patch as it
    was given; ``hardened`` stands beside it. ``passed`` and ``failed`` are the names of the tests that
    count. ``dropped`` are the changes that the hardened verdict took out, or for ``pytest`` those that
    the caller did. ``log`` is what the tests printed. ``seconds`` cover everything, the containers'
    start included. ``detail``: ``applied`` (False: the patch does not apply), ``apply`` (by which
    command, or what was rejected), ``timed_out``, ``exit_code``, ``report`` (swebench's
    own) and ``phases`` (seconds by phase).
    """

    resolved: bool
    kind: Literal["swebench", "pytest"]
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    log: str = ""
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)
    hardened: Hardened | None = None

    @property
    def counts(self) -> bool:
        """Whether the patch is taken for a fix: by the hardened verdict where there is one."""
        return self.resolved if self.hardened is None else self.hardened.resolved

    def to_json(self) -> dict[str, Any]:
        """Everything but what the tests printed."""
        found = {key: value for key, value in asdict(self).items() if key != "log"}
        if self.hardened is not None:
            found["hardened"] = {k: v for k, v in asdict(self.hardened).items() if k != "logs"}
        return found
