"""A Python command, run as its user runs it, in this process: a runner that is known here, else the program
itself.

``config["command"]``: ``kind`` (``module``, ``script`` or ``code``), ``target`` and ``args``.
``config["folder"]`` is the directory that it runs in.
"""

import os
import runpy
import sys
from typing import Any, Dict, List, Optional

from .results import Results, forget, relative
from .scripts import as_main, module_file, repeat, run_file
from .unittest_names import Names
from .with_pytest import run_arguments
from .with_sympy import is_sympy, run_bin_test
from .with_unittest import Hook, names_for

_PYTEST = ("pytest", "py.test")


def run_command(config: Dict[str, Any], watch: Any, results: Results) -> int:
    """Run it; its own exit status. ``watch(name, script)`` makes the watcher."""
    command = config["command"]
    kind, target, args = command["kind"], command["target"], list(command["args"])
    root, folder = config["root"], config["folder"]
    os.chdir(folder)
    forget(root)
    path = os.path.join(folder, target)
    shown = config["tests"][0]
    first = {"module": folder, "code": "", "script": os.path.dirname(os.path.realpath(path))}[kind]
    sys.path[0:1] = [first]
    runner = _runner(kind, target, args, root, path)
    if runner == "pytest":
        watcher = watch(shown, None)
        status = run_arguments(config, args, [], watcher, results)
    elif runner == "sympy":
        watcher = watch(shown, None)
        status = run_bin_test(config, args, [], watcher, results)
        results.put(note="sympy's test files were run in this process, and anew for each run")
    elif runner == "unittest":
        watcher = watch(shown, None)
        if kind == "script":  # Django's: the last option that is given counts
            args.append("--parallel=1")
            results.put(note="tests ran in one process (--parallel=1)")
        names = names_for(config) if kind == "script" else Names(root, folder)
        hook = Hook(config, names, [], watcher, results)
        if kind == "module":
            status = hook.run(
                [target] + args, lambda: runpy.run_module(target, run_name="__main__", alter_sys=True)
            )
        else:
            status = hook.run([path] + args, lambda: runpy.run_path(path, run_name="__main__"))
    else:
        file = module_file(target) if kind == "module" else path if kind == "script" else None
        script = relative(file, root) if file else None
        watcher = watch(shown, script)
        return _program(config, kind, target, path, args, shown, watcher, results)
    results.put(status=status, run=config["runs"])
    return status


def _runner(kind: str, target: str, args: List[str], root: str, path: str) -> Optional[str]:
    """Which runner a command starts; None: it is a program like any other."""
    name = os.path.basename(target)
    if (kind == "module" and target in _PYTEST) or (kind == "script" and name in _PYTEST):
        return "pytest"
    if kind == "module" and target == "unittest":
        return "unittest"
    if kind != "script":
        return None
    if is_sympy(root) and os.path.realpath(path) == os.path.realpath(os.path.join(root, "bin", "test")):
        return "sympy"
    suite = os.path.realpath(os.path.join(root, "tests", "runtests.py"))
    if os.path.realpath(path) == suite and os.path.isdir(os.path.join(root, "django")):
        return "unittest"
    if name in ("manage.py", "django-admin", "django-admin.py") and args[:1] == ["test"]:
        return "unittest"
    return None


def _program(
    config: Dict[str, Any], kind: str, target: str, path: str, args: List[str], shown: str, watcher: Any,
    results: Results,
) -> int:  # fmt: skip
    runs = config["runs"]
    if kind == "module":
        sys.argv = [module_file(target) or target] + args
        return repeat(
            lambda: runpy.run_module(target, run_name="__main__", alter_sys=True),
            shown,
            runs,
            results,
            watcher,
        )
    if kind == "script":
        sys.argv = [target] + args
        return repeat(lambda: run_file(path, target), shown, runs, results, watcher)
    sys.argv = ["-c"] + args
    return repeat(lambda: as_main(target.encode("utf-8"), None), shown, runs, results, watcher)
