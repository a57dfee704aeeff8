"""Running tests in a local sandbox: results, scripts, tracing twice in one process, executed lines."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, SandboxSpec, open_sandbox
from sandbox.errors import SandboxError, UsageError
from sandbox.testing import TracedTest, collect, executed_lines, run_tests, trace_test

Open = Callable[..., Sandbox]

SHOP = """
CACHE = {}


class Catalogue:
    def __init__(self, prices):
        self.prices = prices

    def price(self, name):
        if name not in CACHE:
            CACHE[name] = self.prices[name]
        return CACHE[name]
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a local sandbox on a repository with the files given."""
    boxes: list[Sandbox] = []

    def open_with(files: dict[str, str], **spec: Any) -> Sandbox:
        source = tmp_path / f"source{len(boxes)}"
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(textwrap.dedent(text), "utf-8")
        git = ["git", "-C", str(source), "-c", "user.name=n", "-c", "user.email=n@example.org"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "base"]):
            subprocess.run(git + command, check=True)
        boxes.append(open_sandbox(SandboxSpec(kind="local", source=source, **spec)))
        return boxes[-1]

    yield open_with
    for box in boxes:
        box.close()


def outcomes(run: Any) -> dict[str, str]:
    return {case.id: case.outcome for case in run.cases}


def traced(done: TracedTest) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.trace.splitlines()]


def test_every_outcome_is_told_with_its_reason(opened: Open) -> None:
    """Would catch outcomes read wrong: errors in set-up and tear-down, skips, expected failures, ids with
    spaces, brackets and accents, unittest, and an exit status that disagrees."""
    box = opened(
        {
            "tests/test_all.py": """
            import unittest
            import pytest

            @pytest.fixture
            def bad():
                raise KeyError("set-up")

            @pytest.fixture
            def late():
                yield
                raise KeyError("tear-down")

            def test_good(): pass
            def test_fails(): assert 1 == 2
            def test_setup(bad): pass
            def test_teardown(late): pass
            @pytest.mark.skip(reason="not today")
            def test_skipped(): pass
            @pytest.mark.xfail
            def test_expected(): assert 0
            @pytest.mark.parametrize("x", ["a b", "[1]", "n::m"])
            def test_p(x): pass
            class TestClass:
                def test_m(self): pass
            class Case(unittest.TestCase):
                def test_u(self): self.assertEqual(1, 2)
            """
        }
    )
    done = run_tests(box, ["tests/test_all.py"])
    found = {id.partition("::")[2]: outcome for id, outcome in outcomes(done).items()}
    assert found == {
        "test_good": "passed",
        "test_fails": "failed",
        "test_setup": "error",
        "test_teardown": "error",
        "test_skipped": "skipped",
        "test_expected": "skipped",
        "test_p[a b]": "passed",
        "test_p[[1]]": "passed",
        "test_p[n::m]": "passed",
        "TestClass::test_m": "passed",
        "Case::test_u": "failed",
    }
    messages = {case.id.partition("::")[2]: case.message for case in done.cases}
    assert "assert 1 == 2" in messages["test_fails"]
    assert messages["test_skipped"] == "Skipped: not today"
    assert not done.passed
    assert done.exit_code == 1
    for name in ("test_good", "test_p[a b]", "test_p[[1]]", "test_p[n::m]", "test_p", "Case"):
        chosen = run_tests(box, [f"tests/test_all.py::{name}"])
        assert all(name in case.id for case in chosen.cases)
    assert box.diff() == ""


def test_the_whole_suite_and_collection(opened: Open) -> None:
    """Would catch a suite that is not found without names, and ids that cannot be given back."""
    box = opened(
        {"shop.py": SHOP, "tests/test_a.py": "def test_a(): pass", "tests/test_b.py": "import nothing"}
    )
    assert collect(box) == ["tests/test_a.py::test_a"]
    done = run_tests(box, [])
    assert outcomes(done) == {"tests/test_a.py::test_a": "error", "tests/test_b.py": "error"}
    assert "No module named 'nothing'" in {c.id: c.message for c in done.cases}["tests/test_b.py"]
    assert run_tests(box, collect(box)).passed


def test_ids_that_match_nothing_name_the_nearest(opened: Open) -> None:
    """Would catch a wrong id that passes for a result, or that helps nobody."""
    box = opened({"tests/test_a.py": "def test_price(): pass\n", "helper.py": "def f(): pass\n"})
    for wrong, near in (
        ("tests/test_a.py::test_prise", "Nearest: tests/test_a.py::test_price"),
        ("tests/test_aa.py", "Nearest: tests/test_a.py"),
        ("tests/test_a.py::test_price[1]", "Nearest: tests/test_a.py::test_price"),
        ("admin.tests.TestX", "no such file"),
        ("helper.py", "holds no test"),
    ):
        for ask in (run_tests, executed_lines):
            with pytest.raises(UsageError) as raised:
                ask(box, [wrong])
            assert near in str(raised.value)
    with pytest.raises(UsageError, match="matches nothing"):
        trace_test(box, "tests/test_a.py::test_prise")


def test_scripts_run_as_programs(opened: Open) -> None:
    """Would catch a script that counts as passed because pytest found nothing in it to fail."""
    check = "from lib.double import f\ndef check(f):\n    assert f(2) == {}\ncheck(f)\n"
    box = opened(
        {
            "lib/double.py": "def f(x):\n    return 2 * x\n",
            "tests/good.py": check.format(4),
            "tests/bad.py": check.format(5),
            "tests/test_bare.py": "def test_case(): pass\nassert 1 > 2, 'bare'\n",
            "exits.py": "import sys\nif __name__ == '__main__':\n    sys.exit(3)\n",
        }
    )
    done = run_tests(box, ["tests/good.py", "tests/bad.py", "exits.py", "tests/test_bare.py"])
    assert outcomes(done) == {
        "tests/good.py": "passed",
        "tests/bad.py": "failed",
        "exits.py": "failed",
        "tests/test_bare.py": "failed",
    }
    messages = {case.id: case.message for case in done.cases}
    assert messages["tests/bad.py"] == "AssertionError: assert f(2) == 5"
    assert messages["exits.py"] == "exit status 3"
    assert messages["tests/test_bare.py"] == "AssertionError: bare"
    assert not done.passed
    assert run_tests(box, ["tests/good.py"]).passed


def test_a_script_is_traced_twice_on_the_same_modules(opened: Open) -> None:
    """Would catch modules that are loaded anew for the second run, or a first run that is forgotten."""
    box = opened(
        {
            "shop.py": SHOP,
            "script.py": """
            from shop import CACHE, Catalogue
            before = len(CACHE)
            price = Catalogue({"tea": 4}).price("tea")
            assert before == 0, before
            """,
        }
    )
    done = trace_test(box, "script.py")
    assert [outcomes(run) for run in done.runs] == [{"script.py": "passed"}, {"script.py": "failed"}]
    assert [run.passed for run in done.runs] == [True, False]
    lines = traced(done)
    assert [line["outcome"] for line in lines if "outcome" in line] == ["passed", "failed"]
    in_cache = [f["line"] for f in lines if f.get("function") == "Catalogue.price" and f["event"] == "line"]
    assert in_cache == [10, 11, 12, 10, 12]
    assert any(f.get("locals") == {"before": "0"} for f in lines if f.get("function") == "<module>")


def test_two_runs_of_a_test_share_state_and_renew_fixtures(opened: Open) -> None:
    """Would catch function fixtures that are kept, and module fixtures, modules or caches that are not."""
    box = opened(
        {
            "shop.py": SHOP,
            "tests/test_shop.py": """
            import unittest
            import pytest
            from shop import Catalogue

            made = []

            @pytest.fixture(scope="module")
            def module_wide():
                made.append("module")

            @pytest.fixture
            def catalogue(module_wide):
                made.append("function")
                yield Catalogue({"tea": 3 + made.count("function")})
                made.append("gone")

            def test_price(catalogue):
                print(made)
                assert catalogue.price("tea") == catalogue.prices["tea"], made

            class TestFresh:
                def test_m(self, catalogue):
                    assert not hasattr(self, "seen")
                    self.seen = True

            class Case(unittest.TestCase):
                n = 0
                def setUp(self): type(self).n += 1
                def test_u(self): assert self.n == 1, self.n
            """,
        }
    )
    done = trace_test(box, "tests/test_shop.py::test_price", functions={"shop.py": ["Catalogue.price"]})
    assert [run.passed for run in done.runs] == [True, False]
    assert "['module', 'function', 'gone', 'function']" in done.runs[1].cases[0].message
    frames = [f for f in traced(done) if f.get("function") == "Catalogue.price"]
    assert [(f.get("run", 1), f["line"], f.get("depth")) for f in frames if f["event"] == "line"] == [
        (1, 10, 1),
        (1, 11, 1),
        (1, 12, 1),
        (2, 10, 1),
        (2, 12, 1),
    ]
    assert {f["function"] for f in traced(done) if "event" in f} == {"test_price", "Catalogue.price"}
    assert [run.passed for run in trace_test(box, "tests/test_shop.py::TestFresh::test_m").runs] == [
        True,
        True,
    ]
    unit = trace_test(box, "tests/test_shop.py::Case::test_u", runs=3)
    assert [run.passed for run in unit.runs] == [True, False, False]
    whole = trace_test(box, "tests/test_shop.py")
    assert [len(run.cases) for run in whole.runs] == [3, 3]


def test_replaced_files_are_put_back(opened: Open) -> None:
    """Would catch a work tree that keeps the instrumented test, above all after a failure."""
    test = "def test_a():\n    assert 1 == 1\n"
    probed = 'def test_a():\n    assert __fixbug_probe__("p1", 1) == 1\n'
    box = opened({"test_a.py": test})
    done = trace_test(box, "test_a.py::test_a", replace={"test_a.py": probed, "new/helper.py": "x = 1\n"})
    assert [f["value"] for f in traced(done) if f.get("event") == "probe"] == ["1", "1"]
    assert box.diff() == ""
    with pytest.raises(UsageError):
        trace_test(box, "test_a.py::test_b", replace={"test_a.py": probed})
    assert box.diff() == ""


def test_a_process_that_dies_is_an_error_not_a_gap(opened: Open) -> None:
    """Would catch a crash, with whatever exit status, that reads as success or loses what ran before it."""
    box = opened(
        {
            "test_dies.py": """
            import os

            def test_before(): pass
            def test_dies():
                x = 1
                os._exit(0)
            def test_after(): pass
            """
        }
    )
    done = run_tests(box, ["test_dies.py"])
    assert outcomes(done) == {
        "test_dies.py::test_before": "passed",
        "test_dies.py::test_dies": "error",
        "test_dies.py::test_after": "error",
    }
    assert not done.passed
    traced_test = trace_test(box, "test_dies.py::test_dies")
    assert not any(run.passed for run in traced_test.runs)
    lines = traced(traced_test)
    assert lines[-1]["locals"] == {"x": "1"}
    assert not any("end" in line for line in lines)
    assert "test_dies.py::test_dies" in executed_lines(box, ["test_dies.py"])


def test_an_endless_test_times_out_with_what_it_did(opened: Open) -> None:
    """Would catch a hang, and a partial trace or coverage that is lost with the process."""
    box = opened(
        {
            "test_loop.py": """
            def test_quick(): pass
            def test_endless():
                n = 0
                while True:
                    n += 1
            """
        }
    )
    done = run_tests(box, ["test_loop.py"], timeout=4)
    assert done.timed_out
    assert outcomes(done) == {"test_loop.py::test_quick": "passed", "test_loop.py::test_endless": "error"}
    trace = trace_test(box, "test_loop.py::test_endless", timeout=4, max_frames=100)
    frames = [f for f in traced(trace) if f.get("event") == "line"]
    assert len(frames) > 40
    assert trace.runs[0].timed_out
    assert not trace.runs[0].passed
    lines = executed_lines(box, ["test_loop.py"], timeout=4)
    assert {4, 6} <= lines["test_loop.py::test_endless"]["test_loop.py"]


def test_executed_lines_of_each_test(opened: Open) -> None:
    """Would catch lines that go to the wrong test, and import-time lines (defaults, constants) left out."""
    box = opened(
        {
            "shop.py": SHOP,
            "test_shop.py": """
            from shop import Catalogue
            def test_both():
                c = Catalogue({"tea": 1})
                c.price("tea")
                c.price("tea")
            def test_again():
                Catalogue({}).price("tea")
            """,
            "script.py": "import shop\nassert shop.Catalogue({}).prices == {}\n",
        }
    )
    found = executed_lines(box, ["test_shop.py", "script.py"])
    imported = {2, 5, 6, 9}
    assert found["test_shop.py::test_both"]["shop.py"] == imported | {7, 10, 11, 12}
    assert found["test_shop.py::test_again"]["shop.py"] == imported | {7, 10, 12}
    assert found["script.py"]["shop.py"] == imported | {7}
    assert found["script.py"]["script.py"] == {1, 2}


def test_text_of_every_kind_comes_back(opened: Open) -> None:
    """Would catch encodings: names, values, messages and broken characters."""
    box = opened(
        {
            "test_ü.py": """
            def prüfe(wert):
                return wert + "é\\n\\t\\x00" + chr(0xD800)

            def test_ü():
                assert prüfe("日本") == "nein\\udc80", "ż"
            """
        }
    )
    done = trace_test(box, "test_ü.py::test_ü")
    value = next(f["value"] for f in traced(done) if f.get("function") == "prüfe" and f["event"] == "return")
    assert value == repr("日本é\n\t\x00\ud800")
    assert "ż" in done.runs[0].cases[0].message


def test_the_project_keeps_its_configuration_but_for_what_hides_results(opened: Open) -> None:
    """Would catch options of absent plugins, and ``-x``, that leave tests without a result."""
    box = opened(
        {
            "pytest.ini": "[pytest]\naddopts = -x --of-an-absent-plugin=4\npython_functions = check_*\n",
            "test_a.py": "def check_a(): assert 0\ndef check_b(): pass\n",
        }
    )
    done = run_tests(box, ["test_a.py"])
    assert outcomes(done) == {"test_a.py::check_a": "failed", "test_a.py::check_b": "passed"}
    assert "addopts was left out" in done.output


def test_what_a_conftest_breaks_is_an_error_of_the_tests(opened: Open) -> None:
    """Would catch a patch that breaks the import of everything and reads as an unknown test."""
    box = opened({"conftest.py": "import missing_thing\n", "test_a.py": "def test_a(): pass\n"})
    done = run_tests(box, ["test_a.py::test_a"])
    assert outcomes(done) == {"test_a.py::test_a": "error"}
    assert "missing_thing" in done.cases[0].message


def test_python_without_pytest_is_named(opened: Open, tmp_path: Path) -> None:
    """Would catch a missing pytest that reads as a failing test."""
    python = tmp_path / "bare" / "bin" / "python"
    subprocess.run(["python3", "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    box = opened(
        {"test_a.py": "import pytest\n\ndef test_a(): pass\n", "script.py": "assert True\n"},
        python=str(python),
    )
    with pytest.raises(SandboxError, match="pytest cannot be imported"):
        run_tests(box, ["test_a.py"])
    assert run_tests(box, ["script.py"]).passed


def test_results_survive_what_tests_do_to_their_process(opened: Open) -> None:
    """Would catch results written through what a test has mocked, closed, or left for another directory."""
    box = opened(
        {
            "test_rude.py": """
            import builtins, os, time

            def test_rude(monkeypatch, tmp_path):
                monkeypatch.chdir(str(tmp_path))
                for module, name in ((builtins, "open"), (os, "open"), (os, "write"), (time, "time")):
                    monkeypatch.setattr(module, name, None)
                pid = os.fork()
                assert pid
                os.waitpid(pid, 0)

            def test_next():
                assert __file__
            """
        }
    )
    done = run_tests(box, ["test_rude.py"])
    assert [(case.id, case.outcome) for case in done.cases] == [
        ("test_rude.py::test_rude", "passed"),
        ("test_rude.py::test_next", "passed"),
    ]
    assert done.passed
