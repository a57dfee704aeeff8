# ruff: noqa: UP006, UP031, UP035, UP045, PTH113, PTH118, PTH120, PTH123, RUF005
"""Runs tests from inside the sandbox and writes their results where the harness reads them.

Standard library only, Python 3.6 to 3.13, pytest 3.5 to 9; its text is sent in by ``testing.py``
together with ``tracer.py``. Results are JSON Lines, appended one by one, so that a process that is
killed leaves what it had:

    {"start": token, "python": "3.11.7"}
    {"script": file}                     a file whose import fails an assertion: to be run as a program
    {"idle": file}                       a file that holds no test and does nothing when run
    {"collected": [ids], "errors": n}
    {"begin": id, "run": n}              a test starts
    {"case": id, "run": n, "outcome": ..., "message": ..., "seconds": ...}
    {"note": text}
    {"missing": "pytest", "why": text}
    {"end": exit status}                 absent: the process died
"""

import ast
import json
import os
import re
import runpy
import subprocess
import sys
import time
import traceback
from typing import Any, Dict, Generator, List, Optional, Sequence, Set, Tuple

# Tests mock ``os`` and ``time``: what is needed while they run is bound here.
_open, _write, _close, _getpid, _clock = os.open, os.write, os.close, os.getpid, time.time
_dumps = json.JSONEncoder(ensure_ascii=True).encode
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT

_MESSAGE = 500
_SEVERITY = {"passed": 0, "skipped": 1, "failed": 2, "error": 3}


class Results:
    """The result file. A forked child of a test writes nothing into it."""

    def __init__(self, path: str, token: str) -> None:
        self.path, self.pid = path, _getpid()
        open(path, "w").close()
        self.put(start=token, python=sys.version.split()[0])

    def put(self, **record: Any) -> None:
        if self.pid != _getpid():
            return
        handle = _open(self.path, _APPEND)
        try:
            _write(handle, (_dumps(record) + "\n").encode("ascii"))
        finally:
            _close(handle)

    def case(self, name: str, run: int, outcome: str, message: str, seconds: float) -> None:
        self.put(case=name, run=run, outcome=outcome, message=message[:_MESSAGE], seconds=round(seconds, 6))


# --- scripts: files that are run, not collected -------------------------------------------------


def may_hold_tests(path: str, root: str) -> bool:
    """Whether pytest may find tests in a file, by its default names or by names that the project sets."""
    tree = _parse(path)
    if tree is None or _names_of_its_own(root):
        return True
    for node in tree.body:
        bases = [getattr(b, "attr", getattr(b, "id", "")) for b in getattr(node, "bases", ())]
        names = [getattr(node, "name", "")] + bases
        if isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            names += [getattr(target, "id", "") for target in node.targets]
        if any("test" in n.lower() or n == "*" for n in names):
            return True
    return False


def does_something(path: str) -> bool:
    """Whether running a file does more than define names."""
    tree = _parse(path)
    return tree is None or any(_acts(n) for n in tree.body)


def _parse(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None  # pytest reports it well


def _acts(node: Any) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, (ast.Constant,) + ((ast.Str,) if sys.version_info < (3, 8) else ()))
    return isinstance(node, (ast.Assert, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Raise))


def _names_of_its_own(root: str) -> bool:
    for name in ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
        try:
            with open(os.path.join(root, name), "rb") as file:
                if re.search(rb"python_(functions|classes)", file.read()):
                    return True
        except OSError:
            continue
    return False


def run_script(path: str, root: str, name: str, results: Results) -> int:
    """``python FILE`` with the repository's root importable; the outcome is the exit status."""
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join([root] + [p for p in [env.get("PYTHONPATH")] if p])
    began = _clock()
    results.put(begin=name, run=1)
    process = subprocess.Popen([sys.executable, path], env=env, cwd=root, stderr=subprocess.PIPE)
    last, assertion = "", ""
    for raw in process.stderr or ():
        sys.stderr.write(raw.decode("utf-8", "replace"))
        line = raw.decode("utf-8", "replace").strip()
        if line.startswith("assert "):
            assertion = line
        last = line or last
    status = process.wait()
    if last == "AssertionError" and assertion:
        last = "AssertionError: " + assertion
    message = "" if status == 0 else last or "exit status %d" % status
    results.case(name, 1, "passed" if status == 0 else "failed", message, _clock() - began)
    return 0 if status == 0 else 1


def trace_script(path: str, root: str, name: str, runs: int, results: Results, watcher: Any) -> int:
    """A script run ``runs`` times in this process: a fresh ``__main__``, the same imported modules."""
    _forget(root)
    sys.argv = [path]
    sys.path[0:1] = [os.path.dirname(path), root]
    status = 0
    for run in range(1, runs + 1):
        outcome, message = "passed", ""
        results.put(begin=name, run=run)
        began = _clock()
        watcher.start(run, name)
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            if stop.code not in (None, 0):
                outcome, message = "failed", "exit status %s" % (stop.code,)
        except BaseException as error:
            watcher.stop()
            outcome = "failed"
            message = _in_short(error)
            traceback.print_exc()
        watcher.stop()
        watcher.outcome(run, outcome, message)
        results.case(name, run, outcome, message, _clock() - began)
        status = status or int(outcome != "passed")
    return status


def _forget(root: str) -> None:
    """Unload the repository's modules, so that what a script imports is executed for it too."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _relative(file, root) and "site-packages" not in file:
            del sys.modules[name]


def _in_short(error: BaseException) -> str:
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    if text == "AssertionError":
        frames = traceback.extract_tb(error.__traceback__)
        text = "AssertionError: %s" % (frames[-1].line if frames else "")
    return text


# --- watchers -----------------------------------------------------------------------------------


class NoWatcher:
    """Watches nothing."""

    def start(self, run: int, test: str) -> None:
        pass

    def stop(self) -> None:
        pass

    def outcome(self, run: int, outcome: str, message: str) -> None:
        pass

    def close(self) -> None:
        pass


class TraceWatcher(NoWatcher):
    """Records a trace; the outcome of a run is the worst of its tests'."""

    def __init__(self, tracer: Any) -> None:
        self.tracer = tracer
        self.run = 0
        self.active = False

    def start(self, run: int, test: str) -> None:
        self.tracer.start(run)
        self.active = True

    def stop(self) -> None:
        if self.active:
            self.active = False
            self.tracer.stop()

    def outcome(self, run: int, outcome: str, message: str) -> None:
        self.tracer.outcome(run, outcome, message)

    def close(self) -> None:
        self.tracer.close()


class LineWatcher(NoWatcher):
    """Records which lines each test executes."""

    def __init__(self, lines: Any) -> None:
        self.lines = lines

    def start(self, run: int, test: str) -> None:
        self.lines.start(test)

    def stop(self) -> None:
        self.lines.stop()

    def close(self) -> None:
        self.lines.close()


# --- pytest -------------------------------------------------------------------------------------


def plugin(
    pytest: Any, root: str, mode: str, tests: Sequence[str], runs: int, watcher: Any, results: Results
) -> Any:
    """The pytest plugin; a function, because pytest is only there in the sandbox."""
    wrapper = pytest.hookimpl(hookwrapper=True)

    class Repeat:
        """Runs the collected tests ``runs`` times; registered last, so that it is asked first."""

        def __init__(self, report: "Report") -> None:
            self.report = report

        @pytest.hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
        def pytest_runtestloop(self, session: Any) -> Any:
            if session.testsfailed or not session.items:
                return None
            items = session.items
            for run in range(1, runs + 1):
                self.report.run = run
                for index, item in enumerate(items):
                    last = index + 1 == len(items)
                    following = items[(index + 1) % len(items)]
                    if last and run == runs:
                        following = None
                    elif following is item:
                        following = item.parent  # tears down the test itself, and nothing above it
                    if run > 1:
                        _renew(item)
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                cases = self.report.outcomes
                worst = max(cases, key=lambda c: _SEVERITY[c[0]]) if cases else ("error", "no test ran")
                watcher.outcome(run, *worst)
                self.report.outcomes = []
            return True

        @wrapper  # type: ignore[untyped-decorator]
        def pytest_runtest_call(self, item: Any) -> Generator[None, Any, None]:
            watcher.start(self.report.run, "")
            yield
            watcher.stop()

    class Report:
        def __init__(self) -> None:
            self.names: Dict[str, str] = {}
            self.run = 1
            self.open: Dict[str, Tuple[str, str, float]] = {}
            self.outcomes: List[Tuple[str, str]] = []
            self.errors = 0
            self.asserting: Set[Optional[str]] = set()

        def name(self, nodeid: str) -> str:
            return self.names.get(nodeid, nodeid)

        # Plugins that would change what is run, or its exit status, are told not to.

        @wrapper  # type: ignore[untyped-decorator]
        def pytest_load_initial_conftests(self, early_config: Any) -> Generator[None, Any, None]:
            known = early_config.known_args_namespace
            if getattr(known, "cov_source", None):
                known.cov_source, known.no_cov = None, True
                results.put(note="coverage that the project's configuration asks for was left off")
            yield

        @wrapper  # type: ignore[untyped-decorator]
        def pytest_cmdline_main(self, config: Any) -> Generator[None, Any, None]:
            option = config.option
            option.cov_source = None
            if getattr(option, "numprocesses", None) or getattr(option, "dist", "no") not in ("no", None):
                option.numprocesses, option.dist, option.tx = None, "no", []
                results.put(note="tests ran in one process, not distributed (pytest-xdist)")
            if mode != "run":
                if hasattr(option, "reruns") and option.reruns:
                    option.reruns = 0
                    results.put(note="failed tests were not run again (pytest-rerunfailures)")
                if hasattr(option, "randomly_reorganize"):
                    option.randomly_reorganize, option.randomly_seed = False, 0
                    results.put(note="tests ran in order, with random seed 0 (pytest-randomly)")
                if getattr(option, "random_order_bucket", None):
                    option.random_order_bucket = "none"
            option.maxfail = 0
            yield

        # What there is to run

        def pytest_collectreport(self, report: Any) -> None:
            if report.outcome == "passed":
                return
            name = _relative(os.path.join(_rootdir(self.config), report.nodeid), root) or report.nodeid or "."
            if report.outcome == "failed":
                self.errors += 1
                if name in self.asserting:
                    results.put(script=name)
                    return
            outcome = "error" if report.outcome == "failed" else "skipped"
            results.case(name, 1, outcome, _message(report), 0.0)

        def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
            if getattr(report, "when", None) in (None, "collect") and call.excinfo is not None:
                path = _relative(_path(node), root)
                if path in self.asked and call.excinfo.type is AssertionError:
                    self.asserting.add(path)

        def pytest_configure(self, config: Any) -> None:
            self.config = config
            self.asked = set(tests)

        def pytest_collection_finish(self, session: Any) -> None:
            for item in session.items:
                path = _relative(_path(item), root)
                if path is not None and "::" in item.nodeid:
                    self.names[item.nodeid] = (
                        path + "::" + item.nodeid.replace("::()::", "::").split("::", 1)[1]
                    )
            ids = [self.name(i.nodeid) for i in session.items]
            results.put(collected=ids, errors=self.errors)
            if mode == "trace":
                session.config.pluginmanager.register(Repeat(self), "fixbug-repeat")

        # What became of it

        @wrapper  # type: ignore[untyped-decorator]
        def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, None]:
            name = self.name(item.nodeid)
            results.put(begin=name, run=self.run)
            if mode == "lines":
                watcher.start(1, name)
            yield
            if mode == "lines":
                watcher.stop()
            outcome, message, seconds = self.open.pop(item.nodeid, ("error", "it was not run", 0.0))
            self.outcomes.append((outcome, message))
            results.case(name, self.run, outcome, message, seconds)

        def pytest_runtest_logreport(self, report: Any) -> None:
            outcome = report.outcome
            if outcome not in _SEVERITY:  # pytest-rerunfailures' "rerun"
                return
            if outcome == "failed" and report.when != "call":
                outcome = "error"
            now = self.open.get(report.nodeid)
            message = _message(report) if outcome != "passed" else ""
            seconds = getattr(report, "duration", 0.0) + (now[2] if now else 0.0)
            if now and _SEVERITY[now[0]] >= _SEVERITY[outcome]:
                outcome, message = now[0], now[1]
            self.open[report.nodeid] = (outcome, message, seconds)

    return Report()


def _renew(item: Any) -> None:
    """A method's instance is made anew for each run (newer pytest keeps the first one)."""
    if getattr(item, "cls", None) is not None and not hasattr(item, "_testcase"):
        for name in ("_instance", "_obj"):
            item.__dict__.pop(name, None)


def _rootdir(config: Any) -> str:
    return str(getattr(config, "rootdir", None) or getattr(config, "rootpath", "."))


def _path(node: Any) -> str:
    return str(getattr(node, "path", None) or getattr(node, "fspath", ""))


def _relative(path: str, root: str) -> Optional[str]:
    path, root = os.path.realpath(path), os.path.realpath(root)
    return path[len(root) + 1 :].replace(os.sep, "/") if path.startswith(root + os.sep) else None


def _message(report: Any) -> str:
    longrepr = getattr(report, "longrepr", None)
    if longrepr is None:
        return str(getattr(report, "wasxfail", ""))
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        return str(longrepr[2])
    crash = getattr(longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", "") or longrepr).strip()
    if crash is None and "\n" in text:
        marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        text = marked[-1] if marked else text.splitlines()[-1]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


# --- the whole ----------------------------------------------------------------------------------


def main(config: Dict[str, Any], tracer_source: str) -> int:
    """Do what ``config`` asks; the exit status is pytest's, or 0 or 1 where only scripts ran."""
    root, mode = config["root"], config["mode"]
    results = Results(config["results"], config["token"])
    tests: List[str] = list(config["tests"])
    scripts = []
    for test in tests:
        path = os.path.join(root, test)
        if not (test.endswith(".py") and os.path.isfile(path)):
            continue
        if test in config["scripts"] or not may_hold_tests(path, root):
            if not does_something(path):
                results.put(idle=test)
                return 4
            scripts.append(test)
    watcher = _watcher(config, tracer_source)
    status = 0
    rest = [t for t in tests if t not in scripts]
    if mode == "collect":
        results.put(collected=scripts, errors=0)
    else:
        for test in scripts:
            path = os.path.join(root, test)
            if mode == "run":
                status = run_script(path, root, test, results) or status
            else:
                status = trace_script(path, root, test, config["runs"], results, watcher) or status
    if rest or not tests:
        status = run_pytest(config, rest, watcher, results) or status
    watcher.close()
    results.put(end=status)
    return status


def run_pytest(config: Dict[str, Any], tests: Sequence[str], watcher: Any, results: Results) -> int:
    root = config["root"]
    _forget(root)
    sys.path[0:1] = [root]  # as `python -m pytest` has it
    try:
        import pytest
    except ImportError as error:
        results.put(missing="pytest", why=str(error))
        return 4
    report = plugin(pytest, root, config["mode"], tests, config["runs"], watcher, results)
    args = ["-o", "cache_dir=" + config["cache"]] + list(config["options"])
    if config["mode"] == "collect":
        args += ["--collect-only", "-q"]
    sys.argv = ["pytest"] + args + list(tests)
    if config["mode"] == "lines":
        watcher.start(1, "")
    return int(pytest.main(args + list(tests), plugins=[report]))


def _watcher(config: Dict[str, Any], tracer_source: str) -> Any:
    if config["mode"] not in ("trace", "lines"):
        return NoWatcher()
    module = type(sys)("_fixbug_tracer")
    sys.modules[module.__name__] = module
    exec(compile(tracer_source, "<fixbug tracer>", "exec"), module.__dict__)
    if config["mode"] == "lines":
        return LineWatcher(module.Lines(config["root"], config["record"]))
    script = config["tests"][0] if config["tests"] else None
    tracer = module.Tracer(
        config["root"],
        config["record"],
        test=config["tests"][0],
        runs=config["runs"],
        functions=config["functions"],
        script=script,
        max_frames=config["max_frames"],
        max_seconds=config["max_seconds"],
    )
    return TraceWatcher(tracer)
