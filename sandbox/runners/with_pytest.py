"""pytest: a plugin that reports each test, and runs the collected ones several times in one process."""

import os
import sys
from typing import Any, Dict, Generator, List, Optional, Sequence, Set, Tuple

from .results import SEVERITY, Results, forget, relative, without_addresses


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
            option = session.config.option
            broken = session.testsfailed and not getattr(option, "continue_on_collection_errors", False)
            if broken or option.collectonly or not session.items:
                return None  # pytest's own loop knows what to do
            items, report = session.items, self.report
            spaces = {id(item): dict(item.dtest.globs) for item in items if _is_doctest(item)}
            for run in range(1, runs + 1):
                report.run, report.failed = run, 0
                for index, item in enumerate(items):
                    last = index + 1 == len(items)
                    following = items[(index + 1) % len(items)]
                    if last and run == runs:
                        following = None
                    elif following is item:
                        following = item.parent  # tears down the test itself, and nothing above it
                    if run > 1:
                        _renew(item, spaces)
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    if session.shouldfail:
                        raise session.Failed(session.shouldfail)
                    if session.shouldstop:
                        raise session.Interrupted(session.shouldstop)
                    if report.is_enough():
                        report.leave_out(items[index + 1 :])
                        _tear_down(pytest, session, item, items[0])
                        break
                cases = report.outcomes
                worst = max(cases, key=lambda c: SEVERITY[c[0]]) if cases else ("error", "no test ran")
                watcher.outcome(run, *worst)
                report.outcomes = []
            if report.is_enough():
                session.shouldfail = "stopping after %d failures" % report.failed
                raise session.Failed(session.shouldfail)
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
            self.most = self.failed = 0  # failures after which a run stops (0: none does), and those so far
            self.asserting: Set[Optional[str]] = set()

        def name(self, nodeid: str) -> str:
            return self.names.get(nodeid, nodeid)

        # Plugins that would change what is run, or its exit status, are told not to.

        @wrapper  # type: ignore[untyped-decorator]
        def pytest_load_initial_conftests(self, early_config: Any) -> Generator[None, Any, None]:
            known = early_config.known_args_namespace
            if getattr(known, "cov_source", None):
                known.cov_source, known.no_cov = None, True
                results.put(note="coverage (pytest-cov) was left off")
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
            if not tests and mode == "trace":  # as it was typed: each run stops by itself
                self.most = option.maxfail or 0  # None in newer pytest
            option.maxfail = 0
            yield

        # What there is to run

        def pytest_collectreport(self, report: Any) -> None:
            if report.outcome == "passed":
                return
            name = relative(os.path.join(_rootdir(self.config), report.nodeid), root) or report.nodeid or "."
            if report.outcome == "failed":
                self.errors += 1
                if name in self.asserting:
                    results.put(script=name)
                    return
            outcome = "error" if report.outcome == "failed" else "skipped"
            results.case(name, 1, outcome, _message(report), 0.0)

        def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
            if getattr(report, "when", None) in (None, "collect") and call.excinfo is not None:
                path = relative(_path(node), root)
                if path in self.asked and call.excinfo.type is AssertionError:
                    self.asserting.add(path)

        def pytest_configure(self, config: Any) -> None:
            self.config = config
            self.asked = set(tests)

        def pytest_collection_finish(self, session: Any) -> None:
            for item in session.items:
                path = relative(_path(item), root)
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
            ended = yield
            if mode == "lines":
                watcher.stop()
            outcome, message, seconds = self.open.pop(item.nodeid, ("error", "it was not run", 0.0))
            if ended.excinfo is not None:  # KeyboardInterrupt, pytest.exit: there is no report of that
                kind, error = ended.excinfo[0], ended.excinfo[1]
                outcome, message = "error", without_addresses("%s: %s" % (kind.__name__, error)).rstrip(": ")
            self.outcomes.append((outcome, message))
            results.case(name, self.run, outcome, message, seconds)

        def pytest_runtest_logreport(self, report: Any) -> None:
            outcome = report.outcome
            if outcome not in SEVERITY:  # pytest-rerunfailures' "rerun"
                return
            if outcome == "failed" and report.when != "call":
                outcome = "error"
            self.failed += report.outcome == "failed" and not hasattr(report, "wasxfail")
            now = self.open.get(report.nodeid)
            message = _message(report) if outcome != "passed" else ""
            seconds = getattr(report, "duration", 0.0) + (now[2] if now else 0.0)
            if now and SEVERITY[now[0]] >= SEVERITY[outcome]:
                outcome, message = now[0], now[1]
            self.open[report.nodeid] = (outcome, message, seconds)

        def is_enough(self) -> bool:
            return 0 < self.most <= self.failed

        def leave_out(self, items: Sequence[Any]) -> None:
            why = "it was not run: the run stopped after %d failures (-x, --maxfail)" % self.failed
            for item in items:
                results.case(self.name(item.nodeid), self.run, "skipped", why, 0.0)

    return Report()


def _renew(item: Any, spaces: Dict[int, Dict[str, Any]]) -> None:
    """A method's instance is made anew for each run (newer pytest keeps the first one), and a doctest has the
    names that it had: doctest clears them."""
    if id(item) in spaces:
        item.dtest.globs.clear()
        item.dtest.globs.update(spaces[id(item)])
    if getattr(item, "cls", None) is not None and not hasattr(item, "_testcase"):
        for name in ("_instance", "_obj"):
            item.__dict__.pop(name, None)


def _is_doctest(item: Any) -> bool:
    return isinstance(getattr(getattr(item, "dtest", None), "globs", None), dict)


def _tear_down(pytest: Any, session: Any, item: Any, following: Any) -> None:
    """Tear down what the next test, which is not the one that was expected, does not need."""
    state = session._setupstate
    if int(pytest.__version__.split(".")[0]) < 7:
        state.teardown_exact(item, following)
    else:
        state.teardown_exact(following)


def _rootdir(config: Any) -> str:
    return str(getattr(config, "rootdir", None) or getattr(config, "rootpath", "."))


def _path(node: Any) -> str:
    return str(getattr(node, "path", None) or getattr(node, "fspath", ""))


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
    return without_addresses(text)


def run_pytest(config: Dict[str, Any], tests: Sequence[str], watcher: Any, results: Results) -> int:
    """Run tests by their ids (none: the whole suite), as ``python -m pytest`` at the root does."""
    root = config["root"]
    forget(root)
    sys.path[0:1] = [root]
    args = ["-o", "cache_dir=" + config["cache"]] + list(config["options"])
    if config["mode"] == "collect":
        args += ["--collect-only", "-q"]
    if config["mode"] == "lines":
        watcher.start(1, "")
    return run_arguments(config, args + list(tests), tests, watcher, results)


def run_arguments(
    config: Dict[str, Any], args: Sequence[str], tests: Sequence[str], watcher: Any, results: Results
) -> int:
    """``pytest ARGS``; its exit status."""
    try:
        import pytest
    except ImportError as error:
        results.put(missing="pytest", why=str(error))
        return 4
    report = plugin(pytest, config["root"], config["mode"], tests, config["runs"], watcher, results)
    sys.argv = ["pytest"] + list(args)
    return int(pytest.main(list(args), plugins=[report]))


def there_is_pytest() -> bool:
    """Whether pytest can be imported here."""
    try:
        import pytest  # noqa: F401
    except ImportError:
        return False
    return True
