# ruff: noqa: PTH110, PTH118, PTH122, PTH123
"""Test files executed without pytest, their asserts counted one by one."""

import ast
import importlib
import os
import signal
import sys
import traceback
from typing import Any

from .child import Outcome, OutOfTime, enter, finish
from .watch import Lines


class Soften(ast.NodeTransformer):
    """Every assert is counted, and a failing one does not end the test: a finer signal than pass or fail."""

    def visit_Assert(self, node: Any) -> Any:
        def call(name: Any) -> Any:
            return ast.Expr(ast.Call(ast.Name(name, ast.Load()), [ast.Constant(node.lineno)], []))

        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [call("__trial_failed__")])
        new = ast.Try(body=[node], handlers=[handler], orelse=[call("__trial_passed__")], finalbody=[])
        return ast.fix_missing_locations(ast.copy_location(new, node))


def import_root(path: Any) -> Any:
    """The directory that pytest's default import mode puts on ``sys.path`` for a test file, and the name."""
    folder, name = os.path.split(os.path.splitext(path)[0])
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        name = package + "." + name
    return folder, name


def run_direct(tests: Any, outcome: Any, first: bool = False) -> None:
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
        if first and outcome.failed:
            break
    outcome.ended = True


def line_in(path: Any) -> Any:
    found = 0
    for frame, line in traceback.walk_tb(sys.exc_info()[2]):
        if frame.f_code.co_filename == path:
            found = line
    return found


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
        run_direct(candidate.get("tests") or job["tests"], outcome, job.get("first"))
    except BaseException:
        if not outcome.ended:
            outcome.note(0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    sys.settrace(None)
    return finish(outcome, lines)
