"""sympy's own runner, ``bin/test``: what it runs is reported, and run several times in one process.

For each run it executes the test files anew and clears sympy's cache; sympy's modules keep their state.
Source: ``SymPyTests`` and ``PyTestReporter`` in sympy/utilities/runtests.py, from 1.6 on in
sympy/testing/runtests.py.
"""

import os
import runpy
import sys
import traceback
from typing import Any, Dict, List, Sequence, Tuple

from .imports import OnImport
from .results import SEVERITY, Results, clock, forget, in_short, relative, without_addresses
from .scripts import exit_status, flush

_MODULES = ("sympy.utilities.runtests", "sympy.testing.runtests")


def is_sympy(root: str) -> bool:
    """Whether the repository is a sympy that runs its tests itself (newer ones use pytest)."""
    here = [os.path.join(root, *path.split("/")) for path in ("bin/test", "sympy/__init__.py")]
    newer = os.path.join(root, "sympy", "testing", "runtests_pytest.py")
    return all(os.path.isfile(path) for path in here) and not os.path.isfile(newer)


def run_sympy(config: Dict[str, Any], tests: Sequence[str], watcher: Any, results: Results) -> int:
    """Run tests by their ids (none: the whole suite)."""
    root = config["root"]
    forget(root)
    if config["mode"] == "lines":
        watcher.start(1, "")
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    return run_bin_test(config, files + ["--seed=0"], tests, watcher, results)


def run_bin_test(
    config: Dict[str, Any], args: Sequence[str], tests: Sequence[str], watcher: Any, results: Results
) -> int:
    """``bin/test ARGS``; its exit status."""
    path = os.path.join(config["root"], "bin", "test")
    sys.argv = [path] + list(args) + ["--no-subprocess"]
    sys.path[0:1] = [os.path.dirname(path), config["root"]]
    hook = _Hook(config, tests, watcher, results)
    try:
        with OnImport(_MODULES, hook.into):
            runpy.run_path(path, run_name="__main__")
        return 0
    except SystemExit as stop:
        return exit_status(stop.code)
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        watcher.stop()
        flush()


class _Hook:
    def __init__(self, config: Dict[str, Any], tests: Sequence[str], watcher: Any, results: Results) -> None:
        self.root, self.mode, self.runs = config["root"], config["mode"], config["runs"]
        self.tests, self.watcher, self.results = list(tests), watcher, results
        self.run, self.file, self.open, self.began = 1, "", "", 0.0
        self.cases: List[Tuple[str, str]] = []
        self.known: List[str] = []
        self.broken: List[str] = []

    def into(self, module: Any) -> None:
        if not hasattr(module, "SymPyTests"):
            return
        hook, tests, reporter = self, module.SymPyTests, module.PyTestReporter
        find, test, matches = tests.get_test_files, tests.test, tests.matches
        files = [os.path.join(self.root, t) for t in dict.fromkeys(t.partition("::")[0] for t in self.tests)]

        def get_test_files(runner: Any, *args: Any, **kwargs: Any) -> Any:
            there = find(runner, *args, **kwargs)
            named = [f for f in files if os.path.isfile(f)]
            return there if len(named) < len(files) or not files else named

        def every_run(runner: Any, *args: Any, **kwargs: Any) -> Any:
            good = True
            for run in range(1, hook.runs + 1):
                hook.run, hook.cases = run, []
                good = bool(test(runner, *args, **kwargs)) and good
                if hook.mode == "collect":
                    break
                worst = (
                    max(hook.cases, key=lambda c: SEVERITY[c[0]]) if hook.cases else ("error", "no test ran")
                )
                hook.watcher.outcome(hook.run, *worst)
            hook.told()
            return good

        def does_match(runner: Any, function: Any) -> bool:
            name = "%s::%s" % (hook.file, function.__name__)
            wanted = bool(matches(runner, function)) and hook.is_asked(name)
            if wanted:
                hook.known.append(name)
            return wanted and hook.mode != "collect"

        tests.get_test_files, tests.test, tests.matches = get_test_files, every_run, does_match
        run_file = tests.test_file

        def test_file(runner: Any, filename: str, *args: Any, **kwargs: Any) -> Any:
            hook.file = relative(filename, hook.root) or filename
            return run_file(runner, filename, *args, **kwargs)

        tests.test_file = test_file
        for name in (
            "entering_test", "test_pass", "test_fail", "test_exception", "test_skip", "test_xfail",
            "test_xpass", "import_error",
        ):  # fmt: skip
            setattr(reporter, name, self.listen(name, getattr(reporter, name)))

    def listen(self, name: str, own: Any) -> Any:
        heard = getattr(self, name)

        def both(reporter: Any, *args: Any, **kwargs: Any) -> Any:
            if name == "entering_test":
                result = own(reporter, *args, **kwargs)
                heard(*args)
                return result
            heard(*args)
            return own(reporter, *args, **kwargs)

        return both

    def is_asked(self, name: str) -> bool:
        asked = [t for t in self.tests if "::" in t and t.partition("::")[0] == self.file]
        whole = any(t == self.file or self.file.startswith(t.rstrip("/") + "/") for t in self.tests)
        return not self.tests or whole or name in asked

    def told(self) -> None:
        """What there was to run."""
        known = list(dict.fromkeys(self.known))
        self.results.put(collected=known, errors=0)
        for test in self.tests:
            path, _, name = test.partition("::")
            there = os.path.exists(os.path.join(self.root, path))
            if not there or (name and test not in known and path not in self.broken):
                self.results.put(unmatched=test)

    # what the reporter hears

    def entering_test(self, function: Any) -> None:
        self.open, self.began = "%s::%s" % (self.file, function.__name__), clock()
        self.results.put(begin=self.open, run=self.run)
        self.watcher.start(self.run, self.open)

    def test_pass(self, char: str = ".") -> None:
        self.close("passed", "")

    def test_fail(self, info: Any) -> None:
        self.close("failed", in_short(info[1]))

    def test_exception(self, info: Any) -> None:
        self.broken += [] if self.open else [self.file]
        self.close("failed" if self.open else "error", in_short(info[1]))

    def import_error(self, filename: str, info: Any) -> None:
        self.broken.append(self.file)
        self.close("error", in_short(info[1]))

    def test_skip(self, value: Any = None) -> None:
        self.close("skipped", "Skipped: %s" % (value,))

    def test_xfail(self) -> None:
        self.close("skipped", "expected failure")

    def test_xpass(self, value: Any) -> None:
        self.close("passed", "")

    def close(self, outcome: str, message: str) -> None:
        self.watcher.stop()
        flush()
        self.cases.append((outcome, message))
        seconds = clock() - self.began if self.open else 0.0
        self.results.case(self.open or self.file, self.run, outcome, without_addresses(message), seconds)
        self.open = ""
