"""The tracer looks only where something may have changed: what it thereby records is what one that looks
everywhere records."""

from __future__ import annotations

import dis
import importlib.util
import json
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from sandbox import tracer

from .programs import UNFOLLOWED, programs
from .small_programs import SMALL
from .test_tracer import interpreter

__all__ = ["interpreter"]

# Both tracers in one process, on every program in turn; a program that takes long is left out.
DRIVER = """
import json, os, re, resource, signal, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
tracer, root, work = sys.argv[1:]
text = open(tracer, encoding="utf-8").read()
thorough = text + "\\n_Function._read_bindings = lambda self: None\\n_marked = lambda value, kind: None\\n"
kinds = []
for source in (text, thorough):
    kinds.append({"__name__": "_tracer"})
    exec(compile(source, "<tracer>", "exec"), kinds[-1])
sys.path.insert(0, root)

class Slow(BaseException):
    pass

def stop(*args):
    raise Slow

def record(names, program, helper):
    for name, text in (("program", program), ("helper", helper)):
        sys.modules.pop(name, None)
        with open(os.path.join(root, name + ".py"), "w") as file:
            file.write(text)
    __import__("importlib").invalidate_caches()
    main = __import__("program").main
    watcher = names["Tracer"](root, root + "/record", functions={"program.py": []}, max_frames=10**5)
    watcher.start(1)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 2)
        main()
    except Exception as error:
        watcher.note(repr(error))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        watcher.stop()
    watcher.close()
    with open(root + "/record") as file:
        return re.sub(r"0x[0-9a-f]+|[0-9]{9,}", "N", file.read()).split("\\n")

signal.signal(signal.SIGVTALRM, stop)
found = {}
for name, program, helper in json.load(open(work)):
    try:
        quick, full = [record(names, program, helper) for names in kinds]
    except Slow:
        continue
    told = [line for line in quick if line[:1] in ">0123456789"]
    different = [(a, b) for a, b in zip(quick, full) if a != b] or len(quick) != len(full)
    if different or len(told) < 5 or '"tracer"' in quick[-2]:
        found[name] = different or quick[-3:]
print("\\nresult", json.dumps(found))
"""


def compare(where: Path, python: str, cases: list[tuple[str, str, str]]) -> Any:
    """Of ``(name, program, helper)``, those of whose records the two differ, and where; ``helper.py`` is not
    followed. A program of which nothing much is recorded counts as different."""
    root = where / "root"
    root.mkdir()
    (where / "driver.py").write_text(DRIVER)
    (where / "work").write_text(json.dumps(cases))
    done = subprocess.run(
        [python, "-B", "-W", "ignore", where / "driver.py", tracer.__file__, root, where / "work"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "\nresult " in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout.rsplit("\nresult ", 1)[1])


def minor_of(python: str) -> int:
    told = subprocess.run([python, "-c", "import sys; print(sys.version_info[1])"], capture_output=True)
    return int(told.stdout)


@pytest.fixture
def small_programs(interpreter: str) -> list[tuple[str, str, str]]:
    minor = minor_of(interpreter)
    return [
        (name, textwrap.dedent(program), textwrap.dedent(helper))
        for name, least, program, helper in SMALL
        if minor >= least
    ]


def test_small_programs(tmp_path: Path, interpreter: str, small_programs: list[tuple[str, str, str]]) -> None:
    """Would catch, each by a program of its own, the mistakes that ``SMALL`` names."""
    assert compare(tmp_path, interpreter, small_programs) == {}


def test_random_programs(tmp_path: Path, interpreter: str) -> None:
    """Would catch a change that the tracer does not look for, in programs of which nobody has thought."""
    minor = minor_of(interpreter)
    cases = [(str(number), text, UNFOLLOWED) for number, text in enumerate(programs(1000 * minor, 20, minor))]
    assert compare(tmp_path, interpreter, cases) == {}


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@pytest.mark.parametrize(
    "module", ["argparse", "asyncio.base_events", "configparser", "dataclasses", "typing"]
)
def test_the_stack_is_as_python_has_it(module: str) -> None:
    """Would catch an instruction that takes or puts another number of values than the tracer thinks: then
    it takes one value for another, and what may change an object for what may not."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    known, wrong = 0, set()
    for code in codes(compile(Path(found.origin).read_text("utf-8"), found.origin, "exec")):
        stack = tracer._Stack({name: index for index, name in enumerate(code.co_varnames)}, ())
        before = ""
        for instruction in dis.get_instructions(code):
            stack.at(instruction.offset)
            if stack.slots is not None and len(stack.slots) < 20:
                stack.slots[:0] = [()] * 20  # so that there is always something to take
            name, depth = instruction.opname, len(stack.slots or ())
            stack.follow(instruction)
            if stack.slots is not None and not stack.dead and name != "PRECALL":
                known += 1
                change = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
                if name == "CALL" and before == "PRECALL":  # 3.11 takes the arguments in the first
                    change -= instruction.arg or 0
                if len(stack.slots) - depth != change:
                    wrong.add((name, len(stack.slots) - depth, change))
            before = name
    assert not wrong
    assert known > 1000
