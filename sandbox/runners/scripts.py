"""Scripts, modules and code: what is run, not collected."""

import ast
import builtins
import os
import re
import runpy
import subprocess
import sys
import traceback
import zipfile
from typing import Any, Callable, Optional

from .results import Results, clock, forget, in_short


def may_hold_tests(path: str, root: str) -> bool:
    """Whether pytest may find tests in a file, by its default names or by names that the project sets."""
    tree = parse(path)
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
    tree = parse(path)
    return tree is None or any(_acts(n) for n in tree.body)


def parse(path: str) -> Any:
    """The file's syntax tree; None where it cannot be read (whoever runs it reports that well)."""
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None


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
    began = clock()
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
    results.case(name, 1, "passed" if status == 0 else "failed", message, clock() - began)
    return 0 if status == 0 else 1


def trace_script(path: str, root: str, name: str, runs: int, results: Results, watcher: Any) -> int:
    """A script run ``runs`` times in this process: a fresh ``__main__``, the same imported modules."""
    forget(root)
    sys.argv = [path]
    sys.path[0:1] = [os.path.dirname(path), root]
    return repeat(lambda: run_file(path, path), name, runs, results, watcher)


def run_file(path: str, typed: str) -> None:
    """As ``python FILE`` does (``typed``): runpy's way fails with programs that change ``sys.argv``."""
    path = os.path.abspath(path)
    if os.path.isdir(path) or zipfile.is_zipfile(path):
        runpy.run_path(typed, run_name="__main__")
        return
    with open(path, "rb") as file:
        source = file.read()
    as_main(source, path, path if sys.version_info >= (3, 9) else typed)


def as_main(source: bytes, path: Optional[str], shown: Optional[str] = None) -> None:
    """Execute a program in a ``__main__`` of its own, which stays: its threads and exit handlers go on.
    ``shown``: its ``__file__``."""
    module = type(sys)("__main__")
    module.__dict__["__builtins__"] = builtins
    if path is not None:
        module.__file__ = shown
    sys.modules["__main__"] = module
    exec(compile(source, path or "<string>", "exec", dont_inherit=True), module.__dict__)


def repeat(program: Callable[[], Any], name: str, runs: int, results: Results, watcher: Any) -> int:
    """Run a program ``runs`` times, watched, each time with the arguments, directory and paths that the
    first had; the first exit status that is not 0."""
    argv, path, folder = list(sys.argv), list(sys.path), os.getcwd()
    first = 0
    for run in range(1, runs + 1):
        sys.argv, sys.path[:] = list(argv), path
        os.chdir(folder)
        results.put(begin=name, run=run)
        began = clock()
        watcher.start(run, name)
        status, message = 0, ""
        try:
            program()
        except SystemExit as stop:
            watcher.stop()
            status = exit_status(stop.code)
            if status:
                said = "" if isinstance(stop.code, int) else "%s: " % (stop.code,)
                message = said + "exit status %d" % status
        except BaseException as error:
            watcher.stop()
            status, message = _uncaught(error), in_short(error)
        watcher.stop()
        flush()
        outcome = "failed" if status else "passed"
        watcher.outcome(run, outcome, message)
        results.put(status=status, run=run)
        results.case(name, run, outcome, message, clock() - began)
        first = first or status
    return first


def _uncaught(error: BaseException) -> int:
    """Say of an exception what Python says of one that nobody catches, without our own frames; the status."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__package__") == __package__:
        trace = trace.tb_next
    flush()
    try:
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    except Exception as failed:
        failed.__context__ = None
        print("Error in sys.excepthook:", file=sys.stderr)
        traceback.print_exception(type(failed), failed, failed.__traceback__ and failed.__traceback__.tb_next)
        print("\nOriginal exception was:", file=sys.stderr)
        traceback.print_exception(type(error), error, trace)
    interrupted = isinstance(error, KeyboardInterrupt) and sys.version_info >= (3, 8)
    return 130 if interrupted else 1


def exit_status(code: Any) -> int:
    """What a process ends with that raises ``SystemExit(code)``; a message goes to standard error."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def flush() -> None:
    """What was printed, before anything else is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # the program closed or replaced it
            continue


def module_file(name: str) -> Optional[str]:
    """The file that ``python -m NAME`` runs; None where there is none."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_spec(name + ".__main__")
    except (ImportError, AttributeError, ValueError):
        return None
    return None if spec is None else spec.origin
