# ruff: noqa: UP031
"""What every forked child does: limits, the changed sources, what it counted."""

import gc
import os
import resource
import signal
import sys
import time
from typing import Any

from .overlay import Overlay, sources_of
from .watch import outside


class OutOfTime(BaseException):
    """Raised in a candidate when its processor time is used up."""


LATE: Any = []


def out_of_time(number: Any, frame: Any) -> None:
    LATE.append(True)
    raise OutOfTime("time")


def enter(job: Any, candidate: Any) -> None:
    """First steps of a forked child: limits, no input and output, the changed sources in place."""
    os.setpgid(0, 0)
    gc.enable()
    signal.signal(signal.SIGPROF, out_of_time)
    size = job["memory_mb"] << 20
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(job["limit"]) + 2  # for code that never comes back to the interpreter
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    sys.meta_path.insert(0, Overlay(sources_of(job, candidate)))
    sys.setrecursionlimit(600)


class Outcome:
    def __init__(self) -> None:
        self.passed = self.failed = 0
        self.where = 0
        self.why = ""
        self.ended = False

    def passes(self, line: int) -> None:
        self.passed += 1

    def fails(self, line: Any) -> None:
        self.failed += 1
        self.note(line)

    def note(self, line: Any) -> None:
        if not self.why:
            kind, value = sys.exc_info()[:2]
            name = kind.__name__ if kind else "failed"
            self.where = line
            try:
                self.why = ("%s: %s" % (name, value))[:200]
            except Exception:
                self.why = name  # a mutant may break the exception's own text


def finish(outcome: Any, lines: Any) -> Any:
    out = {
        "ok": outcome.ended and not outcome.failed,
        "passed": outcome.passed,
        "failed": outcome.failed,
        "where": outcome.where,
        "why": outcome.why,
        "hangs": bool(LATE),
        "cpu": time.process_time(),
    }
    if lines:
        out["lines"] = {path: sorted(seen) for path, seen in lines.lines.items()}
        most = max((count for seen in lines.lines.values() for count in seen.values()), default=0)
        out["hot"] = {path: [n for n in seen if 4 * seen[n] >= most] for path, seen in lines.lines.items()}
        out["calls"] = lines.calls
        out["modules"] = sorted(name for name, module in sys.modules.items() if outside(lines, name, module))
    return out
