"""Find and end every process of a local sandbox, also those that left their session."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "FIXBUG_SANDBOX"
"""The environment variable that every process of a local sandbox inherits."""


def end_all(token: str, root: str, groups: set[int]) -> None:
    """Kill the processes marked with ``token``, those working below ``root``, and their descendants.

    ``groups`` are the process groups that the sandbox started: where there is no /proc (macOS) they
    are all that can be found, and a process that left its group and session gets away.
    """
    deadline = time.monotonic() + 10
    empty = 0
    # Twice none: between the listing of processes and the look at one it may fork and end.
    while empty < 2 and time.monotonic() < deadline:
        found = members(token, root)
        for pid in found:
            _send(pid, signal.SIGSTOP)  # so that none of them forks while the others are being found
        if found:
            found |= members(token, root)
        for pid in found:
            _send(pid, signal.SIGKILL)
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        empty = 0 if found else empty + 1
        if found:
            time.sleep(0.01)


def group_lives(group: int) -> bool:
    """Whether any process is left in a process group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a zombie, too
        return True
    return True


def members(token: str, root: str) -> set[int]:
    """Ids of the sandbox's live processes, by mark, directory and descent."""
    mark = f"{MARK}={token}".encode()
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in _entries():
        pid = int(entry.name)
        try:
            status = (entry / "stat").read_text(errors="replace")
            state, parent = status[status.rindex(")") + 2 :].split()[:2]
            if state in "ZX":
                continue
            parents[pid] = int(parent)
            where = (entry / "cwd").readlink()
            if where.is_relative_to(root) or mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(pid)
        except (OSError, ValueError):
            continue
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return found - {os.getpid()}


def _entries() -> list[Path]:
    try:
        return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
