"""Find and end every process of a local sandbox, also those that left their session."""

from __future__ import annotations

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
    for _ in range(50):
        found = members(token, root)
        for pid in found:
            _send(pid, signal.SIGSTOP)  # so that none of them forks while the others are being found
        for pid in found | members(token, root):
            _send(pid, signal.SIGKILL)
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if not found:
            return
        time.sleep(0.01)


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
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
