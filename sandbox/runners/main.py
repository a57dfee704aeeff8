"""What is done in one go inside the sandbox: tests by their ids, with the runner that they are meant for, or
a command."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .command import run_command
from .results import Results
from .scripts import does_something, flush, may_hold_tests, run_script, trace_script
from .watchers import watcher_for
from .with_pytest import run_pytest, there_is_pytest
from .with_sympy import is_sympy, run_sympy
from .with_unittest import (
    configures_pytest_for_django,
    holds_unittests,
    is_django,
    manage_py,
    names_for,
    run_unittest,
)


def main(config: Dict[str, Any]) -> int:
    """Do what ``config`` asks; the exit status is the runner's, or 0 or 1 where only scripts ran."""
    results = Results(config["results"], config["token"])
    watchers: List[Any] = []

    def watch(name: str, script: Optional[str]) -> Any:
        watchers.append(watcher_for(config, name, script))
        return watchers[-1]

    if config.get("command"):
        status = run_command(config, watch, results)
    else:
        status = run_by_ids(config, watch, results)
    for watcher in watchers:
        said = watcher.close()
        if said:
            results.put(note=said)
    results.put(end=status)
    flush()
    return status


def run_by_ids(config: Dict[str, Any], watch: Any, results: Results) -> int:
    root, mode = config["root"], config["mode"]
    names = names_for(config)
    tests = [names.id_of(test) for test in config["tests"]]
    results.put(asked=tests)
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
    if config.get("functions") is not None:  # besides those that were named, the test's own file
        for test in tests:
            config["functions"].setdefault(test.split("::")[0], [])
    watcher = watch(tests[0] if tests else "", tests[0] if tests else None)
    status = 0
    if mode == "collect":
        results.put(collected=scripts, errors=0)
    else:
        for test in scripts:
            path = os.path.join(root, test)
            if mode == "run":
                status = run_script(path, root, test, results) or status
            else:
                status = trace_script(path, root, test, config["runs"], results, watcher) or status
    rest = [t for t in tests if t not in scripts]
    for runner, some in _by_runner(root, rest) if rest or not tests else ():
        if runner == "pytest":
            status = run_pytest(config, some, watcher, results) or status
        elif runner == "sympy":
            status = run_sympy(config, some, watcher, results) or status
        else:
            status = run_unittest(config, some, runner, watcher, results) or status
    return status


def _by_runner(root: str, tests: Sequence[str]) -> List[Tuple[str, List[str]]]:
    """Which runner is to run which tests. Without tests: the one of the whole suite."""
    if is_sympy(root):
        return [("sympy", list(tests))]
    if is_django(root):
        return [("django", list(tests))]
    files = [os.path.join(root, test.partition("::")[0]) for test in tests]
    plain = all(holds_unittests(f) for f in files if os.path.isfile(f))
    if plain and manage_py(root) and not configures_pytest_for_django(root):
        return [("manage", list(tests))]
    return [("pytest" if there_is_pytest() or not plain else "unittest", list(tests))]
