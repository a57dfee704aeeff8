"""The result file, and what all runners need to say what became of a test.

Results are JSON Lines, appended one by one, so that a process that is killed leaves what it had::

    {"start": token, "python": "3.11.7"}
    {"asked": [ids]}                     what was asked for, other runners' labels turned into ids
    {"script": file}                     a file whose import fails an assertion: to be run as a program
    {"idle": file}                       a file that holds no test and does nothing when run
    {"unmatched": id}                    there is no such test
    {"collected": [ids], "errors": n}
    {"begin": id, "run": n}              a test starts
    {"case": id, "run": n, "outcome": ..., "message": ..., "seconds": ...}
    {"note": text}
    {"missing": "pytest", "why": text}
    {"status": n, "run": n}              a command ended, with this exit status
    {"end": exit status}                 absent: the process died
"""

import json
import os
import re
import sys
import time
import traceback
from typing import Any, Optional

# Tests mock ``os`` and ``time``: what is needed while they run is bound here.
_open, _write, _close, _getpid = os.open, os.write, os.close, os.getpid
clock = time.time
_dumps = json.JSONEncoder(ensure_ascii=True).encode
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT

_MESSAGE = 500
SEVERITY = {"passed": 0, "skipped": 1, "failed": 2, "error": 3}


class Results:
    """The result file. A forked child of a test writes nothing into it. Should the program remove it, that is
    for the harness to find out: the program goes on."""

    def __init__(self, path: str, token: str) -> None:
        self.path, self.pid = path, _getpid()
        open(path, "w").close()
        self.put(start=token, python=sys.version.split()[0])

    def put(self, **record: Any) -> None:
        if self.pid != _getpid():
            return
        try:
            handle = _open(self.path, _APPEND)
        except OSError:
            return
        try:
            _write(handle, (_dumps(record) + "\n").encode("ascii"))
        finally:
            _close(handle)

    def case(self, name: str, run: int, outcome: str, message: str, seconds: float) -> None:
        self.put(case=name, run=run, outcome=outcome, message=message[:_MESSAGE], seconds=round(seconds, 6))


def relative(path: str, root: str) -> Optional[str]:
    """Path under the repository's root, with forward slashes; None for everything else."""
    path, root = os.path.realpath(path), os.path.realpath(root)
    return path[len(root) + 1 :].replace(os.sep, "/") if path.startswith(root + os.sep) else None


def forget(root: str) -> None:
    """Unload the repository's modules, so that what a script imports is executed for it too."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and relative(file, root) and "site-packages" not in file:
            del sys.modules[name]


def in_short(error: BaseException) -> str:
    """An exception in a line; a bare ``AssertionError`` with the assertion that failed."""
    if isinstance(error, SyntaxError):  # in full it has the source, and the sandbox's path
        return "%s: %s" % (type(error).__name__, error)
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    if text == "AssertionError":
        frames = traceback.extract_tb(error.__traceback__)
        text = "AssertionError: %s" % (frames[-1].line if frames else "")
    return without_addresses(text)


def without_addresses(text: str) -> str:
    """A message that is the same in every process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
