"""The expected value never reaches the prompt of a simulation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.world.questions.probes import probe_test
from agent.world.simulators.chat import simulation_prompt
from agent.world.simulators.scene import build_scene
from agent.world.trace import Frame, Trace

SECRET = "917345"
CODE = (
    '"""It gives 917345."""\n'
    'def f(x):\n    """>>> f(1)\n    917345\n    """\n    return x * 2  # not 917345\n'
)

BODIES = {
    "equal": "    assert f(1) == 917345\n",
    "swapped": "    assert 917345 == f(1), 'should be 917345'\n",
    "chained": "    assert 0 < f(1) <= 917345\n",
    "not equal": "    assert not f(1) != 917345\n",
    "member": "    assert f(1) in (1,\n      917345)\n",
    "string": "    assert '917345' in str(f(1))\n",
    "prefix": "    assert str(f(1)).startswith('917345')\n",
    "logic": "    assert f(1) == 917345 and (f(2) > 917345 or f(3) is not None)\n",
    "tolerance": "    assert abs(f(1) - 917345) < 1e-6\n",
    "approx": "    assert f(1) == pytest.approx(917345, rel=1e-3)\n",
    "all": "    assert all(f(i) == 917345 for i in range(3))\n",
    "local": "    expected = [917345]\n    assert [f(1)] == expected\n",
    "chain of locals": "    base = 917345\n    expected = base + 1\n    assert f(1) == expected\n",
    "built": "    assert f(1) == Decimal('917345')\n",
    "loop": "    for x, y in [(1, 917345), (2, 3)]:\n        assert f(x) == y\n",
    "message": "    assert f(1), '917345'\n",
    "comment": "    # 917345\n    assert f(1) == 917345  # 917345\n",
    "docstring": "    'gives 917345'\n    assert f(1) == 917345\n",
    "print": "    e = 917345\n    print('want', e)\n    assert f(1) == e\n",
    "raises": "    with pytest.raises(ValueError, match='917345'):\n        f(1)\n",
    "failing by hand": "    if f(1) != 917345:\n        raise AssertionError('917345')\n",
    "fail call": "    if f(1):\n        x = 1\n        pytest.fail('917345')\n",
    "unittest": "    self.assertEqual(f(1), 917345, 'is 917345')\n    self.assertIn(f(1), [917345])\n",
    "unittest close": "    self.assertAlmostEqual(f(1), 917345, places=2)\n"
    "    self.assertCountEqual(f(1), [917345])\n",
    "unittest truth": "    self.assertTrue(f(1) == 917345)\n    self.assertFalse(f(1) == 917345)\n",
    "helper": "    check(1, 917345)\n    check(2, 917345)\n",
    "module constant": "    assert f(1) == EXPECTED\n",
    "fixture": "    assert f(1) == wanted\n",
}
HEAD = """import pytest
from decimal import Decimal
from mod import f
EXPECTED = 917345
@pytest.fixture
def wanted():
    return 917345
def check(x, y):
    assert f(x) == y
def test_other():
    assert f(9) == 917345
"""


def _prompt(source: str, test: str) -> str:
    probed = probe_test("tests/test_mod.py", source, test)
    trace = Trace((Frame("call", "f", "mod.py", 2),))
    return simulation_prompt(build_scene(probed, {"mod.py": CODE}, trace), 2)


@pytest.mark.parametrize("name", BODIES)
def test_no_form_of_assertion_shows_its_value(name: str) -> None:
    """Catches an assertion whose expected side is copied into the questions or left in the test."""
    argument = "wanted" if name == "fixture" else "self" if "unittest" in name else ""
    source = f"{HEAD}def test_is_917345({argument}):\n{BODIES[name]}"
    probed = probe_test("tests/test_mod.py", source, "tests/test_mod.py::test_is_917345")
    prompt = _prompt(source, "tests/test_mod.py::test_is_917345")
    assert SECRET not in prompt
    assert probed.unmasked == ()
    assert probed.probes or name == "fail call"
    assert "return x * 2" in prompt


@pytest.mark.parametrize("name", BODIES)
def test_a_sighted_prompt_is_the_blind_one_and_the_test_as_it_stands(name: str) -> None:
    """Catches an arm that is not blind and does not see the value, or differs from the blind one in more."""
    argument = "wanted" if name == "fixture" else "self" if "unittest" in name else ""
    source = f"{HEAD}def test_a({argument}):\n{BODIES[name]}"
    probed = probe_test("tests/test_mod.py", source, "tests/test_mod.py::test_a")
    trace = Trace((Frame("call", "f", "mod.py", 2),))
    scene = build_scene(probed, {"mod.py": CODE}, trace, blind=False)
    sighted = simulation_prompt(scene, 2)
    before, _, after = sighted.partition("\nThe same test as it stands, with what it expects:\n")
    _, code, after = after.split("```", 2)
    assert all(line.strip() in code for line in BODIES[name].splitlines())
    assert before + after.removeprefix("\n") == simulation_prompt(replace(scene, sighted=""), 2)


@pytest.mark.parametrize("case", ["", "[1-917345]", "[917345]"])
def test_no_parameter_shows_it(case: str) -> None:
    """Catches expected columns, ids and the node id of a parametrised test in the prompt."""
    ids = ', ids=["917345", "b"]' if case == "[917345]" else ""
    source = (
        f'{HEAD}@pytest.mark.parametrize("x, y", [(1, 917345), (2, 3)]{ids})\n'
        "def test_p(x, y):\n    assert f(x) == y\n"
    )
    assert SECRET not in _prompt(source, f"tests/test_mod.py::test_p{case}")


def test_a_script_with_a_check_function_is_asked_about() -> None:
    """Catches plain scripts (a `check` that asserts, called at the end) being shown as they are."""
    source = "from mod import f\ndef check(g):\n    assert g(1) == 917345\n    assert g(2) == 5\ncheck(f)\n"
    probed = probe_test("tests/test_mod.py", source, "tests/test_mod.py")
    assert [p.expression for p in probed.probes] == ["g(1)", "g(2)"]
    assert SECRET not in _prompt(source, "tests/test_mod.py")


SHOWN = {
    "a helper's result": "def want():\n    return 917345\ndef test_it():\n    assert f(1) == want()\n",
    "a helper that closes over it": "def test_it():\n    n = 917345\n    def want(i):\n        return n + i\n"
    "    assert f(1) == want(1)\n",
    "a lambda": "want = lambda i: 917345 + i\ndef test_it():\n    assert f(1) == want(1)\n",
    "a default": "def check(got, *, want=917345, **more):\n    assert got == want\n"
    "def test_it():\n    check(f(1), **{})\n",
    "arguments as they come": "def check(*rows):\n    for x, y in rows:\n        assert f(x) == y\n"
    "def test_it():\n    check((1, 917345))\n",
    "keywords as they come": "def check(**wanted):\n    for x, y in wanted.items():\n"
    "        assert f(x) == y\n"
    "def test_it():\n    check(a=917345)\n",
    "a list that is built": "def test_it():\n    wanted = []\n    wanted.append(917345)\n"
    "    for x, y in enumerate(wanted):\n        assert f(x) == y\n",
    "a file that is written": "def test_it(tmp_path):\n    golden = tmp_path / 'a'\n"
    "    golden.write_text('917345')\n    assert f(1) == golden.read_text()\n",
    "a row that is looked up": "ROWS = {'a': (1, 917345)}\n@pytest.mark.parametrize('name', ROWS)\n"
    "def test_it(name):\n    x, y = ROWS[name]\n    assert f(x) == y\n",
    "computed cases": "@pytest.mark.parametrize('x, y', [(i, 917345 + i) for i in range(3)])\n"
    "def test_it(x, y):\n    assert f(x) == y\n",
    "a fixture's cases": "@pytest.fixture(params=[(1, 917345)])\ndef case(request):\n"
    "    return request.param\n"
    "def test_it(case):\n    x, y = case\n    assert f(x) == y\n",
    "a class's attribute": "class Want:\n    n = 917345\ndef test_it():\n    assert f(1) == Want.n\n",
    "an attribute that is set twice": "class TestIt:\n    def setup_method(self):\n"
    "        self.want = 917345\n"
    "    def test_it(self):\n        assert f(1) == self.want\n        self.want = None\n",
    "items beside each other": "def test_it():\n    assert all(a == b for a, b in zip(f(1), [917345]))\n",
    "an array of cases": "def test_it():\n    for n in [917345, 3]:\n"
    "        assert f(1) == np.array([n, f(2)])\n",
    "starred names": "def test_it():\n    x, *wanted = 1, 917345\n    assert f(x) == wanted\n",
    "a condition with a name": "def test_it():\n    ok = f(1) == 917345\n    assert ok\n",
    "a helper that compares": "def good(got):\n    return got == 917345\ndef test_it():\n"
    "    assert good(f(1))\n",
    "a text that is evaluated": "def test_it():\n    assert eval('f(1) == 917345')\n",
    "a return before a failure": "def test_it():\n    if f(1) == 917345:\n        return\n    assert False\n",
    "a row that is passed over": "def test_it():\n    for x, y in [(1, 917345), (2, None)]:\n"
    "        if y is None:\n            continue\n        assert f(x) == y\n",
    "a block from elsewhere": "@"
    "pytest.mark.parametrize('block', [pytest.raises(ValueError, match='917345')])\n"
    "def test_it(block):\n    with block:\n        f(1)\n",
    "a doctest within a text": "import doctest\ndef test_it():\n    text = '>>> f(1)\\n917345'\n"
    "    assert doctest.run_docstring_examples(text, {}) is None\n",
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_stays_in_sight_is_said(name: str) -> None:
    """Catches an expected value that is shown, by whatever way it comes to the assertion, while the record
    calls the simulation blind."""
    node = "::TestIt::test_it" if "class TestIt" in SHOWN[name] else "::test_it"
    source = f"import pytest\nfrom mod import f\n{SHOWN[name]}"
    probed = probe_test("tests/test_mod.py", source, f"tests/test_mod.py{node}")
    assert SECRET not in probed.blind or probed.unmasked


def test_a_method_does_not_show_what_it_gives() -> None:
    """Catches an input of a method that shares its name with a built-in (`filter`) being called an expected
    value: tests of queries would never be blind."""
    source = (
        "class TestIt(TestCase):\n    def test_it(self):\n        for n in [917345, 3]:\n"
        "            self.assertCountEqual(Rows.objects.filter(n), [self.first])\n"
    )
    assert probe_test("t.py", source, "t.py::TestIt::test_it").unmasked == ()


@pytest.mark.parametrize(
    "body",
    [
        "    with pytest.raises(AssertionError):\n        assert f(1) == 3\n",
        "    try:\n        assert f(1) == 3\n    except Exception:\n        pass\n",
    ],
)
def test_a_failure_that_is_caught_is_not_judged(body: str) -> None:
    """Catches a passing test that is called broken, for an assertion that is meant to fail."""
    probed = probe_test("t.py", f"import pytest\ndef test_a():\n{body}", "t.py::test_a")
    assert probed.unjudged
    assert {a.predicate for a in probed.assertions} == {""}


def test_what_cannot_be_masked_is_said() -> None:
    """Catches a value that stays in sight while the record calls the simulation blind."""
    source = "def test_a():\n    assert f(1).matches(917345)\n"
    assert probe_test("t.py", source, "t.py::test_a").unmasked
