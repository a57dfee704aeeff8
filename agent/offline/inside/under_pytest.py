"""Candidates tried under pytest, whose fixtures, classes, marks and conftest files then count.

In a ``Collected`` pytest the tests are collected already, and each child exchanges function bodies
(``swap.py``): that is fast. What cannot be changed so goes to a ``Configured`` one, whose children collect,
and import the changed source.
"""

import gc
import json
import os
import signal
import sys
from typing import Any

from .child import LATE, Outcome, enter, finish
from .forks import GoOn, send, try_all
from .overlay import Overlay, compiled, real_path, sources_of
from .swap import Called, exchanges, live_functions
from .watch import Lines

LEAST = 0.25
"""Seconds of processor time that each candidate may use, whatever the unchanged code uses."""


def try_all_pytest(job: Any, emit: Any) -> None:
    if not job.get("fresh"):
        done = set(try_collected(job, emit))
        job["candidates"] = [c for c in job["candidates"] if c["id"] not in done]
    if job["candidates"]:
        try_configured(job, emit)


class Counted:
    """A pytest plugin that counts what passes and fails."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self.outcome = Outcome()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.outcome.failed += 1
            crash = getattr(report.longrepr, "reprcrash", None)
            if not self.outcome.why:
                self.outcome.where = getattr(crash, "lineno", 0) or 0
                self.outcome.why = str(getattr(crash, "message", "failed"))[:200]
        elif report.when == "call" and report.passed:
            self.outcome.passed += 1

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.outcome.failed += 1
            self.outcome.why = str(report.longrepr)[-200:]


def run_pytest(plugin: Any, tests: Any) -> Any:
    import pytest

    options = ["-q", "--tb=native", "--capture=sys", "-p", "no:cacheprovider"]
    try:
        return pytest.main([*options, "--rootdir", plugin.job["workdir"], *tests], plugins=[plugin])
    except BaseException:
        plugin.outcome.note(0)
        return 1


# --- fast


def try_collected(job: Any, emit: Any) -> Any:
    """Emits what can be tried by exchanging function bodies, and yields their ids."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            plugin = Collected(job, write)
            sys.settrace(plugin.lines or plugin.called)
            run_pytest(plugin, job["tests"])
            os.write(write, b"\n")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stream:
        for line in stream:
            if not line.strip():
                break  # not the stream's end: that is when the last process that holds it has gone
            result = json.loads(line)
            emit(result)
            yield result["id"]
    os.waitpid(pid, 0)


class Collected(Counted):
    """Forks a child for each candidate once the tests are collected."""

    def __init__(self, job: Any, pipe: Any) -> None:
        super().__init__(job)
        self.pipe = pipe
        self.lines = Lines(job["workdir"], job.get("calls")) if job.get("lines") else None
        self.called = Called()
        self.functions: Any = {}
        self.items: Any = []
        self.overlay = Overlay({real_path(job, path): text for path, text in job["bases"].items()})
        sys.meta_path.insert(0, self.overlay)

    def pytest_runtestloop(self, session: Any) -> Any:
        if sys.gettrace() is not (self.lines or self.called) or session.testsfailed or not session.items:
            return True  # without a trace (another tool has taken its place) nothing is known
        sys.settrace(self.lines)
        self.items = session.items
        self.functions = live_functions()
        gc.freeze()
        job = self.job
        if any(candidate.get("edits") for candidate in job["candidates"]):
            unchanged: Any = []
            try_all(dict(job, candidates=[{"id": -1}]), unchanged.append, self.child, self.pipe)
            if not unchanged or not unchanged[0]["passed"] + unchanged[0]["failed"]:
                return True
            job["limit"] = min(job["limit"], max(LEAST, 8 * unchanged[0]["cpu"]))
        try_all(job, self.emit, self.child, self.pipe)
        return True

    pytest_runtestloop.tryfirst = True  # type: ignore[attr-defined]

    def emit(self, result: Any) -> None:
        if not result.get("again"):
            send(self.pipe, result, b"\n")

    def child(self, job: Any, candidate: Any) -> Any:
        enter(job, candidate)
        wanted = candidate.get("tests")
        if wanted:
            self.items = [item for item in self.items if item.nodeid in wanted]
        exchanged = all(self.exchange(path, text) for path, text in sources_of(job, candidate).items())
        if not exchanged or len(self.items) < len(wanted or ()):
            return {"again": True}
        signal.setitimer(signal.ITIMER_PROF, job["limit"])
        try:
            self.run()
        except BaseException:
            self.outcome.note(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.settrace(None)
        return finish(self.outcome, self.lines)

    def exchange(self, path: Any, text: Any) -> bool:
        """Whether this process now holds the changed source."""
        old = self.overlay.codes.get(path)
        if old is None:
            return not loaded([path])  # not imported yet: the changed source will be
        pairs = exchanges(old, compiled(text, old.co_filename), self.called.codes)
        for before, after in pairs or ():
            for function in self.functions.get(id(before), ()):
                function.__code__ = after
        return pairs is not None

    def run(self) -> None:
        following = [*self.items[1:], None]
        for item, after in zip(self.items, following):  # noqa: B905 (Python 3.6)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if LATE or (self.outcome.failed and self.job.get("first")):
                break
        self.outcome.ended = self.outcome.passed > 0 and not self.outcome.failed


# --- with a new import


def try_configured(job: Any, emit: Any) -> None:
    plugin = Configured(job, emit, forks=True)
    status = run_pytest(plugin, job["tests"])
    if plugin.pipe is not None:
        send(plugin.pipe, plugin.result(status))
        os._exit(0)
    if plugin.stale:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(job["workdir"] + os.sep):
                del sys.modules[name]
        try_all(job, emit, Configured(job, emit, forks=False).whole)


class Configured(Counted):
    """In the parent, it forks a child for each candidate once pytest is configured. Where a conftest has
    loaded the changed files already, children are forked before that."""

    def __init__(self, job: Any, emit: Any, forks: Any) -> None:
        super().__init__(job)
        self.emit = emit
        self.forks = forks
        self.stale = False
        self.tests: Any = None
        self.lines: Any = None
        self.pipe: Any = None

    def pytest_collection(self, session: Any) -> None:
        if not self.forks:
            return
        self.stale = loaded([real_path(self.job, path) for path in self.job["bases"]])
        if not self.stale:
            try:
                try_all(self.job, self.emit, self.become)
            except GoOn as child:
                self.pipe = child.pipe
                if self.tests:
                    session.config.args = self.tests
                return
        session.shouldstop = "candidates tried"
        raise session.Interrupted("candidates tried")

    def become(self, job: Any, candidate: Any) -> None:
        enter(job, candidate)
        self.tests = candidate.get("tests")
        self.lines = Lines(job["workdir"], job.get("calls")) if job.get("lines") else None
        if self.lines:
            sys.settrace(self.lines)
        signal.setitimer(signal.ITIMER_PROF, job["limit"])
        raise GoOn

    def whole(self, job: Any, candidate: Any) -> Any:
        try:
            self.become(job, candidate)
        except GoOn:
            status = run_pytest(self, self.tests or job["tests"])
        return self.result(status)

    def result(self, status: Any) -> Any:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.settrace(None)
        self.outcome.ended = status == 0 and self.outcome.passed > 0
        return finish(self.outcome, self.lines)


def loaded(files: Any) -> bool:
    """Whether a module from one of these files has been imported."""
    found = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return any(file and os.path.realpath(file) in files for file in found)
