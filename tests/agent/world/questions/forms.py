"""Small tests in every form that assertions are written in. ``SECRET`` is only ever an expected value.

``PROGRAM`` is what they test; with ``BROKEN`` in the environment it is wrong everywhere. All pass on the
right one and fail on the broken one.
"""

from __future__ import annotations

SECRET = "917345"

PROGRAM = """
import asyncio, os, warnings
_N = 917345 + bool(os.environ.get("BROKEN"))
class OwnError(ValueError): pass
class Thing:
    def __init__(self, value): self.value = value
    def __eq__(self, other): return isinstance(other, Thing) and self.value == other.value
    __hash__ = None
    def __repr__(self): return f"Thing({self.value})"
    def accepts(self, text): return text == str(_N)
def f(x=0): return _N + x
def text(): return f"is {_N} so"
def items(): return [_N, 2]
def near(): return _N + (1e-9 if _N == 917345 else 0)
def table(): return {"a": _N, "b": 2}
def truth(): return _N == 917345
def nothing(): return None if truth() else 3
def thing(): return Thing(_N)
def boom():
    if truth(): raise OwnError(f"{_N} is bad")
def warn():
    if truth(): warnings.warn(f"{_N} is old", DeprecationWarning)
async def later(): return _N
def call_back(function): return function(_N)
"""

HEAD = """import dataclasses, math, re, unittest
from collections import namedtuple
from unittest import mock
import pytest
from pytest import approx
import program
from program import *
"""

FUNCTIONS: dict[str, str] = {
    "equal": "assert f() == 917345",
    "swapped": "assert 917345 == f()",
    "message": "assert f() == 917345, f'{f()} is not 917345'",
    "brackets": "assert (\n        f()\n        == 917345\n    )",
    "backslash": "assert f() == \\\n        917345",
    "chained": "assert 917344 < f() <= 917345",
    "chained equal": "assert f() == f() == 917345",
    "not": "assert not f() != 917345",
    "not not": "assert not (not f() == 917345)",
    "in": "assert f() in (1, 917345)",
    "in reverse": "assert 917345 in items()",
    "not in": "assert 917346 not in items()",
    "in text": "assert '917345' in text()",
    "is": "assert truth() is True",
    "is none": "assert nothing() is None",
    "is not": "assert truth() is not False",
    "truth": "assert truth()",
    "and": "assert truth() and f() == 917345",
    "or": "assert f() == 917300 or f() == 917345",
    "lazy": "found = nothing()\n    assert found is None or found == 917345",
    "walrus": "assert (n := f()) == 917345 and n > 917344",
    "prefix": "assert text().startswith('is 917345')",
    "suffix": "assert text().endswith('917345 so')",
    "length": "assert len(str(f()) + 'x') == 7 and f() == 917345",
    "subscript": "assert items()[0] == 917345",
    "attribute": "assert thing().value == 917345",
    "dict": "assert table() == {'a': 917345, 'b': 2}",
    "dict key": "assert table()['a'] == 917345",
    "list": "assert items() == [917345, 2]",
    "sorted": "assert sorted(items()) == [2, 917345]",
    "set": "assert set(items()) == {2, 917345}",
    "issubset": "assert {917345}.issubset(items())",
    "issuperset": "assert set(items()).issuperset([917345])",
    "both displays": "assert [f(), 2] == [917345, len('ab')]",
    "formula": "n = len('ab')\n    assert f(n) == n + 917345",
    "formula dict": "n = len('ab')\n    assert table() == {'a': 917345, 'b': n}",
    "format": "n = len('ab')\n    assert text() + str(n) == f'is 917345 so{n}'",
    "constructor": "assert thing() == Thing(917345)",
    "type": "assert type(f()) is int and f() == 917345",
    "type of own": "assert type(thing()) is Thing and f() == 917345",
    "isinstance": "assert isinstance(f(), (int, str)) and f() == 917345",
    "isinstance own": "assert isinstance(thing(), Thing) and f() == 917345",
    "regex": "assert re.search(r'917345\\b', text())",
    "regex match": "assert re.match('is 917345', text())",
    "regex full": "assert re.fullmatch('is 917345 so', text())",
    "approx": "assert near() == pytest.approx(917345)",
    "approx within": "assert [near(), 2] == [approx(917345), 2]\n    assert near() in [approx(917345)]",
    "approx left": "assert approx(917345, abs=1e-6) == near()",
    "approx list": "assert [near(), 2] == approx([917345, 2.0000001])",
    "approx dict": "assert {'a': near()} == approx({'a': 917345})",
    "approx rel": "assert near() == approx(917345, rel=1e-9, abs=1e-9)",
    "difference": "assert abs(near() - 917345) < 1e-3",
    "rounded": "assert round(near(), 3) == 917345",
    "isclose": "assert math.isclose(near(), 917345, rel_tol=1e-9)",
    "local": "wanted = 917345\n    assert f() == wanted",
    "locals": "base = 917344\n    wanted = [base + 1, 2]\n    assert items() == wanted",
    "module constant": "assert f() == WANTED",
    "module dict": "assert f() == TABLE['a']",
    "namedtuple": "case = Case(0, 917345)\n    assert f(case.given) == case.wanted",
    "dataclass": "case = Record(given=0, wanted=917345)\n    assert f(case.given) == case.wanted",
    "loop": "for x, y in [(0, 917345), (1, 917346)]:\n        assert f(x) == y",
    "loop of dicts": "for c in [{'i': 0, 'o': 917345}, {'i': 1, 'o': 917346}]:\n"
    "        assert f(c['i']) == c['o']",
    "loop enumerated": "for i, y in enumerate([917345, 917346]):\n        assert f(i) == y",
    "loop zipped": "for x, y in zip([0, 1], [917345, 917346]):\n        assert f(x) == y",
    "loop of items": "for x, y in {0: 917345, 1: 917346}.items():\n        assert f(x) == y",
    "nested loops": "for a in (0, 1):\n        for b, y in [(0, 0), (2, 2)]:\n"
    "            assert f(a + b) - 917345 == a + y",
    "all": "assert all(f(i) == 917345 + i for i in range(3))",
    "all rows": "assert all(f(x) == y for x, y in [(0, 917345), (1, 917346)])",
    "all list": "assert all([f() == 917345, truth()])",
    "any": "assert any(f(i) == 917345 for i in range(3))",
    "any of constants": "assert any(str(n) in text() for n in (918, 917345))",
    "not any": "assert not any(f(i) == 917346 for i in (0, 5))",
    "helper": "check(0, 917345)\n    check(1, 917346)",
    "helper in loop": "for x, y in [(0, 917345), (1, 917346)]:\n        check(x, y)",
    "helper keyword": "check(0, y=917345)",
    "by hand": "if f() != 917345:\n        raise AssertionError('not 917345')",
    "fail": "if not truth():\n        x = 1\n        pytest.fail('917345 was meant')",
    "assert false": "if f() > 917345:\n        assert False, '917345'",
    "comment": "# 917345\n    assert f() == 917345  # is 917345",
    "print": "wanted = 917345\n    print('want', wanted, f())\n    assert f() == wanted",
    "with": "with mock.patch('os.getcwd'):\n        assert f() == 917345",
    "finally": "try:\n        assert f() == 917345\n    finally:\n        nothing()",
    "nested function": "def inner(n):\n        assert n == 917345\n    call_back(inner)",
    "one line": "x = f(); assert x == 917345; x = 2",
    "generator": "assert sum(n for n in items()) == 917347",
    "lambda": "assert (lambda n: n)(f()) == 917345",
    "conditional": "assert (f() if f() else 0) == 917345",
    "mock": "m = mock.Mock()\n    call_back(m)\n    assert m.call_args == mock.call(917345)",
    "unicode": "x = 'é'; assert f(len(x)) == 917346, 'é'",
}

BLOCKS: dict[str, str] = {
    "raises": "with pytest.raises(OwnError):\n        boom()",
    "raises base": "with pytest.raises(ValueError):\n        boom()",
    "raises match": "with pytest.raises(OwnError, match='917345 is'):\n        boom()",
    "raises several": "with pytest.raises((KeyError, OwnError)):\n        boom()",
    "raises excinfo": "with pytest.raises(OwnError) as e:\n        boom()\n"
    "    assert str(e.value) == '917345 is bad'",
    "raises excinfo match": "with pytest.raises(OwnError) as e:\n        boom()\n    e.match('917345')",
    "raises call": "pytest.raises(OwnError, boom)",
    "warns": "with pytest.warns(DeprecationWarning, match='917345'):\n        warn()",
    "deprecated": "with pytest.deprecated_call():\n        warn()",
}

METHODS: dict[str, str] = {
    "assertEqual": "self.assertEqual(f(), 917345, 'is 917345')",
    "assertEqual keywords": "self.assertEqual(first=f(), second=917345)",
    "assertNotEqual": "self.assertNotEqual(f(), 917346)",
    "assertTrue": "self.assertTrue(f() == 917345)",
    "assertFalse": "self.assertFalse(f() != 917345, msg='917345')",
    "assertIs": "self.assertIs(truth(), True)",
    "assertIsNone": "self.assertIsNone(nothing())",
    "assertIn": "self.assertIn(917345, items())",
    "assertNotIn": "self.assertNotIn(917346, items())",
    "assertIsInstance": "self.assertIsInstance(f(), int)\n        self.assertEqual(917345, f())",
    "assertAlmostEqual": "self.assertAlmostEqual(near(), 917345)",
    "assertAlmostEqual places": "self.assertAlmostEqual(near(), 917345, 2, 'is 917345')",
    "assertAlmostEqual delta": "self.assertAlmostEqual(near(), 917345, delta=0.5)",
    "assertGreater": "self.assertGreater(917346, f())",
    "assertLessEqual": "self.assertLessEqual(f(), 917345)",
    "assertCountEqual": "self.assertCountEqual(items(), [2, 917345])",
    "assertDictEqual": "self.assertDictEqual(d1=table(), d2={'b': 2, 'a': 917345})",
    "assertListEqual": "self.assertListEqual(items(), [917345, 2])",
    "assertSequenceEqual": "self.assertSequenceEqual(items(), (917345, 2))",
    "assertSetEqual": "self.assertSetEqual(set(items()), {917345, 2})",
    "assertRegex": "self.assertRegex(text(), r'91734\\d')\n        self.assertNotRegex(text(), '917346')",
    "assertRaises": "with self.assertRaises(OwnError):\n            boom()",
    "assertRaisesRegex": "with self.assertRaisesRegex(ValueError, '917345 is'):\n            boom()",
    "assertRaises call": "self.assertRaises(OwnError, boom)",
    "assertWarns": "with self.assertWarns(DeprecationWarning):\n            warn()",
    "exception": "with self.assertRaises(OwnError) as caught:\n            boom()\n"
    "        self.assertEqual(str(caught.exception), '917345 is bad')",
    "subTest": "for x, y in [(0, 917345), (1, 917346)]:\n"
    "            with self.subTest(x=x, y=y):\n                self.assertEqual(f(x), y)",
    "subTest of a row": "for c in [{'x': 0, 'y': 917345}, {'x': 1, 'y': 917346}]:\n"
    "            with self.subTest(**c):\n                self.assertEqual(f(c['x']), c['y'])",
    "setUp": "self.assertEqual(f(), self.wanted)",
    "class attribute": "self.assertEqual(f(), self.CONSTANT)",
    "fail": "if f() != 917345:\n            self.fail('917345')",
    "mock": "m = mock.Mock()\n        call_back(m)\n        m.assert_called_once()\n"
    "        self.assertEqual(f(), 917345)",
}

BEFORE = """WANTED = 917345
TABLE = {"a": 917345}
Case = namedtuple("Case", "given wanted")
@dataclasses.dataclass
class Record:
    given: int
    wanted: int
def check(x, y):
    assert f(x) == y
@pytest.fixture
def wanted():
    return 917345
@pytest.fixture
def yielded():
    value = [917345]
    yield value
"""

FILES: dict[str, str] = {
    "fixture": "def test_it(wanted):\n    assert f() == wanted\n",
    "fixture that yields": "def test_it(yielded):\n    assert [f()] == yielded\n",
    "parametrize": "@pytest.mark.parametrize('x, y', [(0, 917345), (1, 917346)])\n"
    "def test_it(x, y):\n    assert f(x) == y\n",
    "parametrize list": "@pytest.mark.parametrize(['x', 'y'], "
    "[[0, 917345], pytest.param(1, 917346, id='917346')])\n"
    "def test_it(x, y):\n    assert f(x) == y\n",
    "parametrize ids": "@pytest.mark.parametrize(argnames=('x', 'y'), argvalues=((0, 917345), (1, 917346)), "
    "ids=['917345', 'b'])\ndef test_it(x, y):\n    assert f(x) == y\n",
    "parametrize dicts": "@pytest.mark.parametrize('c', [{'i': 0, 'o': 917345}, {'i': 1, 'o': 917346}])\n"
    "def test_it(c):\n    assert f(c['i']) == c['o']\n",
    "parametrize constant": "ROWS = [(0, 917345), (1, 917346)]\n"
    "@pytest.mark.parametrize('x, y', ROWS)\ndef test_it(x, y):\n    assert f(x) == y\n",
    "parametrize values": "ROWS = {'a': (0, 917345), 'b': (1, 917346)}\n"
    "@pytest.mark.parametrize('x, y', list(ROWS.values()), ids=ROWS.keys())\n"
    "def test_it(x, y):\n    assert f(x) == y\n",
    "reason of skipping": "def test_it():\n    if not f:\n        pytest.skip('917345')\n"
    "    assert f() == 917345\n",
    "stacked": "@pytest.mark.parametrize('x', [0, 1])\n"
    "@pytest.mark.parametrize('y, z', [(0, 917345), (1, 917346)])\n"
    "def test_it(x, y, z):\n    assert f(x + y) == x + z\n",
    "stacked on the class": "@pytest.mark.parametrize('x', [0, 1])\nclass TestIt:\n"
    "    @pytest.mark.parametrize('z', [917345, 917345.0])\n    def test_it(self, x, z):\n"
    "        assert f(x) == x + z\n",
    "module mark": "pytestmark = pytest.mark.parametrize('z', [917345, 917345.0])\n"
    "def test_it(z):\n    assert f() == z\n",
    "parametrize and loop": "@pytest.mark.parametrize('x, z', [(0, 917345), (1, 917346)])\n"
    "def test_it(x, z):\n"
    "    for a, b in [(0, 0), (2, 2)]:\n        assert f(x + a) == z + b\n",
    "indirect": "@pytest.fixture\ndef doubled(request):\n    return request.param * 2\n"
    "@pytest.mark.parametrize('doubled', [0, 1], indirect=True)\n"
    "def test_it(doubled):\n    assert f(doubled) - doubled == 917345\n",
    "async": "import asyncio\ndef test_it():\n    async def go():\n        assert await later() == 917345\n"
    "    asyncio.run(go())\n",
    "inherited": "class Base:\n    Z = 917345\n    def test_it(self):\n        assert f() == self.Z\n"
    "class TestIt(Base):\n    pass\n",
    "class of pytest": "class TestIt:\n    wanted = 917345\n    def setup_method(self):\n        self.x = 0\n"
    "    def test_it(self):\n        assert f(self.x) == self.wanted\n",
    "script": "assert f() == 917345\nassert f(1) == 917346\n",
    "script with a check": "def verify(g):\n    assert g() == 917345\nverify(f)\n",
    "carriage returns": "def test_it():\r\n    # 917345\r\n    assert f() == 917345\r\n",
}  # fmt: skip


def sources() -> dict[str, tuple[str, str]]:
    """Name → the source of a test file, and the node id behind the file's path."""
    found = {}
    for name, body in {**FUNCTIONS, **BLOCKS}.items():
        found[f"assert: {name}"] = (f"{HEAD}{BEFORE}def test_it():\n    {body}\n", "::test_it")
    for name, body in METHODS.items():
        head = "class TestIt(unittest.TestCase):\n" + "    CONSTANT = 917345\n"
        if "self.wanted" in body:
            head += "    def setUp(self):\n        self.wanted = 917345\n"
        found[f"unittest: {name}"] = (
            f"{HEAD}{BEFORE}{head}    def test_it(self):\n        {body}\n",
            "::TestIt::test_it",
        )
    for name, text in FILES.items():
        node = "" if "script" in name else "::TestIt::test_it" if "class TestIt" in text else "::test_it"
        found[f"file: {name}"] = (f"{HEAD}{'' if 'script' in name else BEFORE}{text}", node)
    return found
