# ruff: noqa: PTH123, S110, SIM105, SIM115
"""One batch of candidates: ``main`` reads a job, and writes a line for each result.

The job is one object::

    workdir      absolute path of the repository
    mode         "direct": exec the test files here, asserts counted one by one (``direct.py``)
                 "pytest": each child is a copy of a pytest
    tests        [[file, function or null (run the file as a script)], ...] (direct), or node ids (pytest)
    bases        {path: text} of the files that candidates change
    candidates   [{"id": n, "path": path, "edits": [[start, end, text], ...] in UTF-8 bytes}], perhaps with
                 "tests" of its own, or with "ask": [[path, expression], ...]: then no test runs, and the
                 result is ``answers``, what the expressions are
    limit        seconds of processor time for one candidate; five times that on the clock (and two
                 seconds) kills it
    seconds      of the whole batch; candidates not started by then have no result
    memory_mb    address space of one candidate
    jobs         how many run at a time; 0: as many as there are processors
    preload      modules from outside the repository, imported once before the forks
    fresh        true: tests are collected anew for each candidate, which its ``cpu`` then covers
    first        true: a candidate's run ends with the first test that fails
    lines        true: report the repository lines that were executed
    calls        true: report the arguments of calls of the repository's functions, where they are literals

A result line holds ``id``, ``ok``, ``passed`` and ``failed`` (asserts, or cases under pytest),
``where`` (the line of the first failure in the test), ``why``, ``hangs`` (its time ran out) and
``cpu``. Changed sources never touch the disk: an import hook serves them.
"""

import gc
import importlib
import json
import os
import sys
import time
from typing import Any

from .direct import child_direct
from .forks import try_all
from .under_pytest import try_all_pytest


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as stream:
        job = json.load(stream)
    sys.dont_write_bytecode = True
    os.chdir(job["workdir"])
    sys.path[0] = job["workdir"]
    job["end"] = time.monotonic() + job["seconds"]
    for name in job.get("preload", ()):
        try:
            importlib.import_module(name)
        except Exception:
            pass  # a module that only loads in its own way is loaded by each child
    out = open(sys.argv[2], "w", encoding="utf-8")

    def emit(result: Any) -> None:
        out.write(json.dumps(result) + "\n")
        out.flush()

    gc.disable()
    gc.freeze()  # children then copy fewer pages
    if job["mode"] == "pytest":
        try_all_pytest(job, emit)
    else:
        try_all(job, emit, child_direct)
