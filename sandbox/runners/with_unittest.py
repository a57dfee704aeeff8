"""unittest, and what is built on it: Django's own runner, ``manage.py test``.

The runner is started as its users start it, and goes its own way up to the moment where it runs its suite:
there every test is run ``runs`` times in a row of rounds, and reported as it ends.
"""

import copy
import os
import runpy
import sys
import traceback
import unittest
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .imports import OnImport
from .results import SEVERITY, Results, clock, forget, in_short, without_addresses
from .scripts import exit_status, flush, parse
from .unittest_names import Names, is_wanted

_SETTINGS = "DJANGO_SETTINGS_MODULE"


def is_django(root: str) -> bool:
    """Whether the repository is Django itself."""
    return os.path.isfile(os.path.join(root, "tests", "runtests.py")) and os.path.isdir(
        os.path.join(root, "django")
    )


def manage_py(root: str) -> Optional[str]:
    """``manage.py`` of a Django project, at the root or one directory below; None where there is none."""
    places = [root] + sorted(os.path.join(root, name) for name in os.listdir(root))
    for place in places:
        path = os.path.join(place, "manage.py")
        try:
            with open(path, "rb") as file:
                if b"DJANGO_SETTINGS_MODULE" in file.read():
                    return path
        except OSError:
            continue
    return None


def configures_pytest_for_django(root: str) -> bool:
    """Whether the project's tests are meant for pytest-django."""
    for name in ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "conftest.py"):
        try:
            with open(os.path.join(root, name), "rb") as file:
                text = file.read()
                if b"DJANGO_SETTINGS_MODULE" in text or b"django.setup" in text:
                    return True
        except OSError:
            continue
    return False


# --- starting a runner ----------------------------------------------------------------------------


def names_for(config: Dict[str, Any]) -> Names:
    """How this repository's tests are named."""
    root = config["root"]
    manage = manage_py(root)
    if is_django(root):
        return Names(root, os.path.join(root, "tests"))
    return Names(root, os.path.dirname(manage) if manage else root)


def run_unittest(
    config: Dict[str, Any], tests: Sequence[str], runner: str, watcher: Any, results: Results
) -> int:
    """Run tests by their ids (none: the whole suite). ``runner``: ``django``, ``manage`` or ``unittest``."""
    root = config["root"]
    names = names_for(config)
    labels = list(dict.fromkeys(names.label_of(test) for test in tests))
    forget(root)
    if runner == "django":
        argv = [os.path.join(root, "tests", "runtests.py"), "--noinput", "--parallel=1"]
        argv += [] if os.environ.get(_SETTINGS) else ["--settings=test_sqlite"]
    elif runner == "manage":
        argv = [str(manage_py(root)), "test", "--noinput", "--parallel=1"]
    else:
        argv = ["unittest"] + (labels or ["discover"])
        labels = []
    hooked = Hook(config, names, tests, watcher, results)
    if config["mode"] == "lines":
        watcher.start(1, "")
    if runner == "unittest":
        sys.path[0:1] = [root]
        return hooked.run(argv, lambda: runpy.run_module("unittest", run_name="__main__", alter_sys=True))
    sys.path[0:1] = [os.path.dirname(argv[0])]
    sys.path.append(root)  # for tests that lie elsewhere
    with OnImport(["django.test.runner"], hooked.collect_only if config["mode"] == "collect" else _nothing):
        return hooked.run(argv + labels, lambda: runpy.run_path(argv[0], run_name="__main__"))


def _nothing(module: Any) -> None:
    pass


class Hook:
    """Takes over where the outermost suite is run.

    ``tests``: ids; of what the runner found only these are run (none: all of it).
    """

    def __init__(
        self, config: Dict[str, Any], names: Names, tests: Sequence[str], watcher: Any, results: Results
    ) -> None:
        self.mode, self.runs = config["mode"], config["runs"]
        self.names, self.tests, self.watcher, self.results = names, list(tests), watcher, results
        self.busy = False
        self.plan: List[Tuple[int, Any]] = []

    def run(self, argv: Sequence[str], program: Callable[[], Any]) -> int:
        """Run the runner's own program with its arguments; its exit status."""
        call = unittest.BaseTestSuite.__call__
        load = unittest.TestLoader.loadTestsFromModule
        hook = self

        def run_suite(suite: Any, *args: Any, **kwargs: Any) -> Any:
            if hook.busy or not args:
                return call(suite, *args, **kwargs)
            hook.busy = True
            try:
                return hook.take_over(suite, args[0], call)
            finally:
                hook.busy = False

        def load_module(loader: Any, module: Any, *args: Any, **kwargs: Any) -> Any:
            return loader.suiteClass([load(loader, module, *args, **kwargs)] + hook.functions(module))

        sys.argv = list(argv)
        unittest.BaseTestSuite.__call__ = run_suite  # type: ignore[method-assign,assignment]
        unittest.TestLoader.loadTestsFromModule = load_module  # type: ignore[method-assign,assignment]
        try:
            program()
            status = 0
        except SystemExit as stop:
            status = exit_status(stop.code)
        except Exception:
            traceback.print_exc()
            status = 1
        finally:
            unittest.BaseTestSuite.__call__ = call  # type: ignore[method-assign]
            unittest.TestLoader.loadTestsFromModule = load  # type: ignore[method-assign]
            self.watcher.stop()
            flush()
        return status

    def collect_only(self, module: Any) -> None:
        """Have Django's runner stop where it knows its tests: making their database takes long."""
        build = module.DiscoverRunner.build_suite

        def build_suite(runner: Any, *args: Any, **kwargs: Any) -> Any:
            self.take_over(build(runner, *args, **kwargs), None, None)
            raise SystemExit(0)

        module.DiscoverRunner.build_suite = build_suite

    def functions(self, module: Any) -> List[Any]:
        """Plain test functions of a file that was asked for, which unittest does not know."""
        file = getattr(module, "__file__", None)
        place = self.names.file_of(module.__name__) if file else ""
        if not any(test.split("::")[0] == place for test in self.tests):
            return []
        found = []
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            wanted = any(is_wanted("%s::%s" % (place, name), test) for test in self.tests)
            if name.startswith("test_") and own and wanted and hasattr(value, "__code__"):
                if value.__code__.co_argcount:
                    self.results.put(missing="pytest", why="%s takes fixtures" % name)
                else:
                    found.append(unittest.FunctionTestCase(value))
        return found

    # -- the suite

    def take_over(self, suite: Any, result: Any, call: Any) -> Any:
        found = list(_flat(suite))
        if self.tests:
            found = [t for t in found if self.is_asked(t)]
        self.collected(found)
        if self.mode == "collect":
            return result
        again = [t for t in found if not _is_suite(t)]
        if self.runs > 1 and len(again) < len(found):
            self.results.put(note="a suite that runs its tests in a way of its own was run once only")
        copies = [[_copy(t) for t in again] for _ in range(1, self.runs)]
        self.plan = [(1, t) for t in found] + [(n, t) for n, tests in enumerate(copies, 2) for t in tests]
        watched = _Watched(self, result)
        left = self.plan
        try:
            while left:
                result = call(unittest.TestSuite([test for _, test in left]), result)
                done = max(watched.run, left[0][0])
                left = [(run, test) for run, test in left if run > done and watched.failed_fast()]
                result.shouldStop = result.shouldStop and not left
            return result
        finally:
            watched.end()

    def is_asked(self, test: Any) -> bool:
        if _is_suite(test):
            return True
        if _failed_to_load(test) is not None:
            return True
        name = self.names.of(test)
        return any(is_wanted(name, asked) for asked in self.tests)

    def collected(self, found: Sequence[Any]) -> None:
        names: List[str] = []
        for test in found:
            error = _failed_to_load(test)
            if error is None:
                names.extend(self.names.of(t) for t in _leaves(test))
            elif "No module named 'pytest'" in str(error):
                self.results.put(missing="pytest", why=str(error).strip().splitlines()[-1])
            elif isinstance(error, AttributeError) or not self.names.exists(self.asked_for(test)):
                self.results.put(unmatched=self.asked_for(test))
        for asked in self.tests:
            failed = any(_failed_to_load(test) is not None for test in found)
            if not failed and not any(is_wanted(name, asked) for name in names):
                self.results.put(unmatched=asked)
        errors = sum(_failed_to_load(t) is not None for t in found)
        self.results.put(collected=list(dict.fromkeys(names)), errors=errors)

    def asked_for(self, test: Any) -> str:
        """The id by which a test was asked for that could not be loaded."""
        name = str(test._testMethodName)
        for asked in self.tests:
            label = self.names.label_of(asked)
            if label == name or name in label.split("."):
                return asked
        return name

    def name(self, test: Any) -> str:
        return self.names.of(test) if _failed_to_load(test) is None else self.asked_for(test)


class _Watched:
    """The runner's result object, with ours listening."""

    def __init__(self, hook: Hook, result: Any) -> None:
        self.hook, self.result = hook, result
        self.runs = {id(test): run for run, test in hook.plan}
        self.run = 1
        self.open: Any = None
        self.state = ("passed", "")
        self.began = 0.0
        self.done: Dict[Tuple[int, str], str] = {}
        self.worst = ("skipped", "no test ran")
        self.outside: Dict[str, Tuple[str, str]] = {}
        for name in (
            "startTest", "stopTest", "addError", "addFailure", "addSkip", "addExpectedFailure",
            "addUnexpectedSuccess", "addSubTest",
        ):  # fmt: skip
            if hasattr(result, name):
                setattr(result, name, self.listen(name, getattr(result, name)))

    def listen(self, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        heard = getattr(self, name)

        def both(*args: Any, **kwargs: Any) -> Any:
            if name == "stopTest":
                heard(*args, **kwargs)
                return own(*args, **kwargs)
            try:
                return own(*args, **kwargs)
            finally:
                heard(*args, **kwargs)

        return both

    def startTest(self, test: Any) -> None:  # noqa: N802
        self.to_run(self.runs.get(id(test), self.run))
        self.open, self.state, self.began = test, ("passed", ""), clock()
        name = self.hook.name(test)
        self.hook.results.put(begin=name, run=self.run)
        self.hook.watcher.start(self.run, name)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        self.hook.watcher.stop()
        flush()
        if self.open is test:
            leaving = sys.exc_info()[1]
            if leaving is not None and not isinstance(leaving, Exception):  # of which unittest says nothing
                self.state = ("error", in_short(leaving))
            self.case(self.hook.name(test), *self.state)
            self.open = None

    def addError(self, test: Any, error: Any) -> None:  # noqa: N802
        self.became(test, "error", _said(error))

    def addFailure(self, test: Any, error: Any) -> None:  # noqa: N802
        self.became(test, "failed", _said(error))

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:  # noqa: N802
        if error is not None:
            failed = issubclass(error[0], test.failureException)
            self.became(test, "failed" if failed else "error", _said(error))

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        self.became(test, "skipped", "Skipped: %s" % (reason,))

    def addExpectedFailure(self, test: Any, error: Any) -> None:  # noqa: N802
        self.became(test, "skipped", "expected failure")

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        self.became(test, "failed", "unexpected success")

    def became(self, test: Any, outcome: str, message: str) -> None:
        if self.open is None:  # set-up or tear-down of a class or module: nothing of one test
            about = str(getattr(test, "description", test))
            self.outside[about] = (outcome, message)
            if about.startswith("tearDown"):
                self.case(about, outcome, message)
        elif SEVERITY[outcome] > SEVERITY[self.state[0]]:
            if _failed_to_load(test) is not None:
                message = message.strip().splitlines()[-1]  # what stands before it is a traceback
            elif outcome == "error":
                outcome = "failed"  # as pytest has it
            self.state = (outcome, message)

    def case(self, name: str, outcome: str, message: str) -> None:
        self.done[(self.run, name)] = outcome
        if SEVERITY[outcome] > SEVERITY[self.worst[0]] or self.worst[1] == "no test ran":
            self.worst = (outcome, message)
        seconds = clock() - self.began if self.open is not None else 0.0
        self.hook.results.case(name, self.run, outcome, message, seconds)

    def failed_fast(self) -> bool:
        return bool(getattr(self.result, "failfast", False)) and SEVERITY[self.worst[0]] > SEVERITY["skipped"]

    def to_run(self, run: int) -> None:
        if run != self.run:
            self.close_run()
            self.run = run

    def close_run(self) -> None:
        """What did not even begin, and the run's outcome."""
        for run, test in self.hook.plan:
            for leaf in _leaves(test) if run == self.run else ():
                name = self.hook.name(leaf)
                if (run, name) not in self.done:
                    kind = type(leaf)
                    place = "%s.%s" % (kind.__module__, getattr(kind, "__qualname__", kind.__name__))
                    keys = ("setUpClass (%s)" % place, "setUpModule (%s)" % kind.__module__)
                    why = [self.outside[key] for key in keys if key in self.outside]
                    left_out = ("error", "it was not run")
                    if self.failed_fast():
                        left_out = ("skipped", "it was not run: the run stopped after a failure (--failfast)")
                    self.case(name, *(why or [left_out])[0])
        self.hook.watcher.outcome(self.run, *self.worst)
        self.worst = ("skipped", "no test ran")

    def end(self) -> None:
        last = max([run for run, _ in self.hook.plan] or [1])
        while self.run < last:
            self.to_run(self.run + 1)
        self.close_run()


def _said(error: Any) -> str:
    if isinstance(error, tuple) and len(error) == 3 and isinstance(error[1], BaseException):
        value = error[1]
        if value.__traceback__ is None and error[2] is not None:
            value = value.with_traceback(error[2])
        return in_short(value)
    return without_addresses(str(error))


def _is_suite(test: Any) -> bool:
    return hasattr(test, "__iter__")


def _flat(suite: Any) -> Iterator[Any]:
    """The tests of a suite; a suite with a ``run`` of its own stays whole."""
    for test in suite:
        if _is_suite(test) and type(test).run in (unittest.TestSuite.run, unittest.BaseTestSuite.run):
            yield from _flat(test)
        elif test is not None:
            yield test


def _leaves(test: Any) -> Iterator[Any]:
    if not _is_suite(test):
        yield test
        return
    for inner in test:
        if inner is not None:
            yield from _leaves(inner)


def _copy(test: Any) -> Any:
    try:
        copied = copy.copy(test)
        documented = getattr(copied, "_dt_test", None)
        if documented is not None:  # doctest clears the names
            copied._dt_test = copy.copy(documented)
            copied._dt_test.globs = dict(documented.globs)
        return copied
    except Exception:
        return test


def _failed_to_load(test: Any) -> Optional[BaseException]:
    """Why unittest's loader could not load what stands in a suite for it; None for a test."""
    if type(test).__module__ != "unittest.loader":
        return None
    error = getattr(test, "_exception", None)
    return error if isinstance(error, BaseException) else None


def holds_unittests(path: str) -> bool:
    """Whether a file can be run without pytest: it is Python and does not import it."""
    tree = parse(path)
    if tree is None:
        return False
    for node in tree.body:
        names = [a.name for a in getattr(node, "names", ())] + [getattr(node, "module", None) or ""]
        if any(n.split(".")[0] == "pytest" for n in names if isinstance(n, str)):
            return False
    return True
