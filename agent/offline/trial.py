# ruff: noqa: PTH110, PTH113, PTH118, PTH122, PTH123, SIM105, SIM115, S110, UP031
"""Tries many changed versions of a repository's files, one forked process each. Runs inside a sandbox.

One stdlib-only file (Python 3.6 and later, POSIX) that is copied in and started as
``python trial.py JOB.json RESULTS.jsonl``. The job is one object::

    workdir      absolute path of the repository
    mode         "direct": exec the test files here, asserts counted one by one (see ``soften``)
                 "pytest": each child is a copy of a pytest that is about to collect
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
    lines        true: report the repository lines that were executed
    calls        true: report the arguments of calls of the repository's functions, where they are literals

A result line holds ``id``, ``ok``, ``passed`` and ``failed`` (asserts, or cases under pytest),
``where`` (the line of the first failure in the test), ``why``, ``hangs`` (its time ran out) and
``cpu``. Changed sources never touch the disk: an import hook serves them.
"""

import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import Any


class OutOfTime(BaseException):
    """Raised in a candidate when its processor time is used up."""


class Overlay(importlib.abc.MetaPathFinder):
    """Serves changed sources in place of the files on disk."""

    def __init__(self, sources: Any) -> None:
        self.sources = sources

    def find_spec(self, fullname: Any, path: Any = None, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if (
            spec is None
            or not spec.origin
            or not isinstance(spec.loader, importlib.machinery.SourceFileLoader)
        ):
            return None
        text = self.sources.get(os.path.realpath(spec.origin))
        if text is None:
            return None
        spec.loader = OverlayLoader(fullname, spec.origin, text)
        return spec


class OverlayLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: Any, path: Any, text: Any) -> None:
        super().__init__(fullname, path)
        self.text = text

    def get_code(self, fullname: Any) -> Any:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Soften(ast.NodeTransformer):
    """Every assert is counted, and a failing one does not end the test: a finer signal than pass or fail."""

    def visit_Assert(self, node: Any) -> Any:
        def call(name: Any) -> Any:
            return ast.Expr(ast.Call(ast.Name(name, ast.Load()), [ast.Constant(node.lineno)], []))

        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [call("__trial_failed__")])
        new = ast.Try(body=[node], handlers=[handler], orelse=[call("__trial_passed__")], finalbody=[])
        return ast.fix_missing_locations(ast.copy_location(new, node))


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


def apply_edits(text: Any, edits: Any) -> Any:
    data = text.encode("utf-8")
    for start, end, new in sorted(edits, reverse=True):
        data = data[:start] + new.encode("utf-8") + data[end:]
    return data.decode("utf-8")


def import_root(path: Any) -> Any:
    """The directory that pytest's default import mode puts on ``sys.path`` for a test file, and the name."""
    folder, name = os.path.split(os.path.splitext(path)[0])
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        name = package + "." + name
    return folder, name


def run_direct(tests: Any, outcome: Any) -> None:
    namespaces = {}
    for path, function in tests:
        path = os.path.realpath(path)
        if path not in namespaces:
            root, name = import_root(path)
            sys.path.insert(0, root)
            with open(path, "rb") as stream:
                tree = Soften().visit(ast.parse(stream.read(), path))
            module = type(sys)(name if function else "__main__")
            module.__file__ = path
            sys.modules[module.__name__] = module
            module.__dict__["__trial_passed__"] = outcome.passes
            module.__dict__["__trial_failed__"] = outcome.fails
            namespaces[path] = module
            try:
                exec(compile(tree, path, "exec", dont_inherit=True), module.__dict__)
            except BaseException:
                outcome.failed += 1
                outcome.note(line_in(path))
                raise
        if function:
            try:
                namespaces[path].__dict__[function]()
            except OutOfTime:
                raise
            except BaseException:
                outcome.failed += 1
                outcome.note(line_in(path))
    outcome.ended = True


def line_in(path: Any) -> Any:
    found = 0
    for frame, line in traceback.walk_tb(sys.exc_info()[2]):
        if frame.f_code.co_filename == path:
            found = line
    return found


class Lines:
    """Which repository lines run, and with which arguments its functions are called."""

    def __init__(self, workdir: Any, want_calls: Any) -> None:
        self.workdir = os.path.realpath(workdir) + os.sep
        self.lines: Any = {}
        self.calls: Any = []
        self.want_calls = want_calls
        self.names: Any = {}

    def path_of(self, filename: Any) -> Any:
        if filename not in self.names:
            real = os.path.realpath(filename)
            inside = real.startswith(self.workdir) and "site-packages" not in real and os.path.isfile(real)
            self.names[filename] = real[len(self.workdir) :] if inside else None
        return self.names[filename]

    def __call__(self, frame: Any, event: Any, arg: Any) -> Any:
        path = self.path_of(frame.f_code.co_filename)
        if path is None:
            return None
        seen = self.lines.setdefault(path, {})
        if self.want_calls and len(self.calls) < 200 and frame.f_code.co_name[0] != "<":
            count = frame.f_code.co_argcount
            values = [frame.f_locals[name] for name in frame.f_code.co_varnames[:count]]
            try:
                text = repr(values)
                if len(text) < 2000:
                    ast.literal_eval(text)
                    self.calls.append([path, frame.f_code.co_name, frame.f_code.co_firstlineno, text])
            except Exception:
                pass  # not a literal: of no use as a seed for generated inputs

        def local(frame: Any, event: Any, arg: Any) -> Any:
            if event == "line":
                seen[frame.f_lineno] = seen.get(frame.f_lineno, 0) + 1
            return local

        return local


def behave(questions: Any, workdir: Any, limit: Any) -> Any:
    """The repr of each expression, evaluated in its module: ``[path, expression]`` each; "!Name" for
    an exception."""
    answers = []
    for path, expression in questions:
        try:
            root, name = import_root(os.path.join(workdir, path))
            if root not in sys.path:
                sys.path.insert(0, root)
            module = importlib.import_module(name)
            signal.setitimer(signal.ITIMER_PROF, limit)
            text = repr(eval(expression, dict(module.__dict__)))
            if " at 0x" in text:
                text = "object"
        except OutOfTime:
            text = "!OutOfTime"
        except BaseException as error:
            text = "!" + type(error).__name__
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.append(text[:500])
    return answers


def sources_of(job: Any, candidate: Any) -> Any:
    root = job["workdir"]
    out = {}
    if candidate.get("edits"):
        path = candidate["path"]
        out[os.path.realpath(os.path.join(root, path))] = apply_edits(job["bases"][path], candidate["edits"])
    return out


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


LATE: Any = []


def out_of_time(number: Any, frame: Any) -> None:
    LATE.append(True)
    raise OutOfTime("time")


def child_direct(job: Any, candidate: Any) -> Any:
    enter(job, candidate)
    if candidate.get("ask"):
        return {"answers": behave(candidate["ask"], job["workdir"], job["limit"] / 3)}
    outcome = Outcome()
    lines = Lines(job["workdir"], job.get("calls")) if job.get("lines") else None
    if lines:
        sys.settrace(lines)
    signal.setitimer(signal.ITIMER_PROF, job["limit"])
    try:
        run_direct(candidate.get("tests") or job["tests"], outcome)
    except BaseException:
        if not outcome.ended:
            outcome.note(0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    sys.settrace(None)
    return finish(outcome, lines)


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


def outside(lines: Any, name: Any, module: Any) -> Any:
    file = getattr(module, "__file__", None)
    return bool(file) and lines.path_of(file) is None and name != "__main__"


class PytestTrial:
    """A pytest plugin. In the parent, it forks a child for each candidate once pytest is configured;
    in a child, it counts what passes and fails. A child is configured anew where a conftest has loaded
    the changed files already."""

    def __init__(self, job: Any, emit: Any, forks: Any) -> None:
        self.job = job
        self.emit = emit
        self.forks = forks
        self.stale = False
        self.tests: Any = None
        self.outcome = Outcome()
        self.lines: Any = None
        self.pipe: Any = None

    def pytest_collection(self, session: Any) -> None:
        if not self.forks:
            return
        self.stale = loaded(self.job)
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
            status = run_pytest(self)
        return self.result(status)

    def result(self, status: Any) -> Any:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.settrace(None)
        self.outcome.ended = status == 0 and self.outcome.passed > 0
        return finish(self.outcome, self.lines)

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


class GoOn(BaseException):
    """In a child of ``PytestTrial``: leave ``try_all`` and let pytest collect and run. ``pipe`` takes
    the result."""

    pipe: Any = None


def loaded(job: Any) -> Any:
    bases = {os.path.realpath(os.path.join(job["workdir"], path)) for path in job["bases"]}
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return any(file and os.path.realpath(file) in bases for file in files)


def run_pytest(plugin: Any) -> Any:
    import pytest

    arguments = [
        "-q",
        "--tb=short",
        "--capture=sys",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        plugin.job["workdir"],
    ]
    try:
        return pytest.main(arguments + (plugin.tests or plugin.job["tests"]), plugins=[plugin])
    except BaseException:
        plugin.outcome.note(0)
        return 1


def try_all_pytest(job: Any, emit: Any) -> None:
    plugin = PytestTrial(job, emit, forks=True)
    status = run_pytest(plugin)
    if plugin.pipe is not None:
        send(plugin.pipe, plugin.result(status))
        os._exit(0)
    if plugin.stale:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(job["workdir"] + os.sep):
                del sys.modules[name]
        try_all(job, emit, PytestTrial(job, emit, forks=False).whole)


def try_all(job: Any, emit: Any, child: Any) -> None:
    """Fork a child for each candidate, ``jobs`` at a time, until the batch's time is up."""
    waiting = list(reversed(job["candidates"]))
    running: Any = {}
    end = time.monotonic() + job["seconds"]
    jobs = job["jobs"] or len(os.sched_getaffinity(0))
    while waiting or running:
        while waiting and len(running) < jobs and time.monotonic() < end:
            start_one(job, waiting.pop(), child, running)
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


def start_one(job: Any, candidate: Any, child: Any, running: Any) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        running[read] = (pid, candidate["id"], time.monotonic(), [])
        return
    try:
        os.close(read)
        for other in running:
            os.close(other)
        result = child(job, candidate)
        send(write, result)
    except GoOn as going:
        going.pipe = write
        raise
    except BaseException as error:
        send(write, {"ok": False, "passed": 0, "failed": 1, "where": 0, "why": repr(error)[:200], "cpu": 0})
    os._exit(0)


def send(descriptor: Any, result: Any) -> None:
    data = json.dumps(result).encode("utf-8")
    while data:
        data = data[os.write(descriptor, data) :]


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as stream:
        job = json.load(stream)
    sys.dont_write_bytecode = True
    os.chdir(job["workdir"])
    sys.path[0] = job["workdir"]
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


if __name__ == "__main__":
    main()
