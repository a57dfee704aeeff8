# ruff: noqa: SIM105
"""One forked process for each candidate, several at a time, within limits."""

import json
import os
import select
import signal
import time
from typing import Any


class GoOn(BaseException):
    """In a child of ``PytestTrial``: leave ``try_all`` and let pytest collect and run. ``pipe`` takes
    the result."""

    pipe: Any = None


def try_all(job: Any, emit: Any, child: Any, outlet: Any = None) -> None:
    """Fork a child for each candidate, ``jobs`` at a time, until the batch's time is up.

    ``child(job, candidate)`` gives the result. ``outlet``: a descriptor that no child must hold.
    """
    waiting = list(reversed(job["candidates"]))
    running: Any = {}
    end = job["end"]
    jobs = job["jobs"] or len(os.sched_getaffinity(0))
    while waiting or running:
        while waiting and len(running) < jobs and time.monotonic() < end:
            start_one(job, waiting.pop(), child, running, outlet)
        if time.monotonic() >= end:
            waiting = []
        if not running:
            continue
        ready = select.select(list(running), [], [], 0.05)[0]
        now = time.monotonic()
        for pipe in list(running):
            pid, number, started, chunks = running[pipe]
            data = None
            if pipe in ready:
                data = os.read(pipe, 1 << 16)
                if data:
                    chunks.append(data)
            late = now - started > 5 * job["limit"] + 2
            if data == b"" or late:
                try:
                    os.killpg(pid, signal.SIGKILL)
                except OSError:
                    pass
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
                status = os.waitpid(pid, 0)[1]
                late = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
                os.close(pipe)
                del running[pipe]
                try:
                    result = json.loads(b"".join(chunks).decode("utf-8"))
                except ValueError:
                    result = {
                        "ok": False,
                        "passed": 0,
                        "failed": 1,
                        "why": "died",
                        "hangs": late,
                        "cpu": now - started,
                    }
                result["id"] = number
                emit(result)


def start_one(job: Any, candidate: Any, child: Any, running: Any, outlet: Any) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        running[read] = (pid, candidate["id"], time.monotonic(), [])
        return
    try:
        os.close(read)
        for other in [*running, *([] if outlet is None else [outlet])]:
            os.close(other)
        result = child(job, candidate)
        send(write, result)
    except GoOn as going:
        going.pipe = write
        raise
    except BaseException as error:
        send(write, {"ok": False, "passed": 0, "failed": 1, "where": 0, "why": repr(error)[:200], "cpu": 0})
    os._exit(0)


def send(descriptor: Any, result: Any, end: Any = b"") -> None:
    data = json.dumps(result).encode("utf-8") + end
    while data:
        data = data[os.write(descriptor, data) :]
