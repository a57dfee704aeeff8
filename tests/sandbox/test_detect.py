"""Reading a repository: which Python, what to install, how its tests run. Nothing of it is executed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sandbox.declared import Declared, read_declared
from sandbox.detect import Recipe, detect
from sandbox.detect.metadata import poetry_range, read_metadata
from sandbox.detect.missing import missing_distributions
from sandbox.detect.setup_py import read_setup_py
from sandbox.errors import UsageError

TODAY = date(2024, 6, 1)


def look(root: Path, files: dict[str, str], today: date = TODAY) -> Recipe:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return detect(root, today)


# --- Python ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "today", "first"),
    [
        ({}, TODAY, "3.12"),
        ({}, date(2016, 1, 1), "3.5"),
        ({"setup.py": "setup(python_requires='>=3.6, <3.9')"}, TODAY, "3.8"),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.8,!=3.12.*'\n"}, TODAY, "3.11"),
        ({"pyproject.toml": "[project]\nrequires-python = '~=3.9.2'\n"}, TODAY, "3.9"),
        ({".python-version": "3.10.4\n"}, TODAY, "3.10"),
        ({"runtime.txt": "python-3.7.9\n"}, TODAY, "3.7"),
        ({"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.7'\n"}, date(2020, 1, 1), "3.7"),
        ({"setup.py": "setup(classifiers=['Programming Language :: Python :: 3.6'])"}, TODAY, "3.6"),
        ({"tox.ini": "[tox]\nenvlist =\n    lint\n    py{36,37}-django{2,3}\n"}, TODAY, "3.7"),
        ({"noxfile.py": "@nox.session(python=['3.8', '3.9'])\ndef tests(session): pass\n"}, TODAY, "3.9"),
        ({".travis.yml": "python:\n  - '2.7'\n  - 3.5\n  - '3.6'\n"}, TODAY, "3.6"),
        (
            {".github/workflows/ci.yml": "matrix:\n  python-version: ['3.9', '3.10', '3.11.0-rc.1']\n"},
            TODAY,
            "3.11",
        ),
        ({"appveyor.yml": "environment:\n  - PYTHON: C:\\Python36-x64\n"}, TODAY, "3.6"),
    ],
)
def test_the_python_a_project_is_for(tmp_path: Path, files: dict[str, str], today: date, first: str) -> None:
    """Catches a Python that the project does not support, or that was not there at its commit's date."""
    assert look(tmp_path, files, today).minors[0] == first


def test_a_python_just_released_comes_after_settled_ones(tmp_path: Path) -> None:
    """Catches a Python for which, at the commit's date, hardly a dependency had been made."""
    files = {"tox.ini": "[tox]\nenvlist = py37,py38,py39\n"}
    order = look(tmp_path, files, date(2020, 11, 1)).minors
    assert order[:3] == ("3.8", "3.7", "3.9")


def test_a_version_of_something_else_is_no_python(tmp_path: Path) -> None:
    """Catches a library's or an action's version in a CI file that is taken for Python's."""
    text = (
        "jobs:\n  test:\n    steps:\n    - uses: actions/checkout@v3.5\n    - run: pip install flake8==3.9\n"
        "    - uses: actions/setup-python@v4\n      with:\n        python-version: 3.8\n"
    )
    assert look(tmp_path, {".github/workflows/ci.yml": text}).minors[0] == "3.8"


# --- what to install ------------------------------------------------------------------------------


def needs(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    return {need.where: need.lines for need in recipe.needs}


def test_extras_and_groups_for_tests_are_found(tmp_path: Path) -> None:
    """Catches a test extra that is overlooked, documentation that is installed, and a group's inclusions."""
    pyproject = (
        "[project]\nname = 'x'\n[project.optional-dependencies]\ntesting = ['pytest']\ndocs = ['sphinx']\n"
        "[dependency-groups]\ntest = ['a', {include-group = 'Base_Tools'}]\n"
        "base-tools = ['b']\nlint = ['c']\n"
    )
    found = needs(look(tmp_path, {"pyproject.toml": pyproject}))
    assert found == {
        "the project's own": (".",),
        "extra testing": (".[testing]",),
        "group test": ("a", "b"),
    }


def test_development_stands_in_where_nothing_speaks_of_tests(tmp_path: Path) -> None:
    """Catches a project whose only list of tools is called dev."""
    cfg = "[options.extras_require]\ndev =\n  pytest\ndocs = y\n"
    found = needs(look(tmp_path, {"setup.cfg": cfg, "setup.py": "from setuptools import setup; setup()"}))
    assert "extra dev" in found
    assert "extra docs" not in found


def test_tox_and_requirement_files_are_read(tmp_path: Path) -> None:
    """Catches dependencies that only tox knows; and those of one environment of many, which clash."""
    tox = (
        "[testenv]\nextras = test\ndeps =\n    pytest>=3  # runner\n    -r{toxinidir}/ci/requirements.txt\n"
        "    django22: Django>=2.2\n    {env:EXTRA:}\n[testenv:docs]\ndeps = sphinx\n"
    )
    files = {
        "tox.ini": tox,
        "setup.py": "setup(extras_require={'test': ['x']}, tests_require=['mock'])",
        "requirements/tests.in": "a",
        "requirements/tests.txt": "a==1",
        "ci/requirements.txt": "b",
    }
    found = needs(look(tmp_path, files))
    assert found["tox, testenv"] == ("pytest>=3", "-r ci/requirements.txt", ".[test]")
    assert found["requirements/tests.txt"] == ("-r requirements/tests.txt",)
    assert "requirements/tests.in" not in found
    assert found["tests_require"] == ("mock",)
    (tmp_path / "ci/requirements.txt").unlink()  # as in a release
    assert needs(detect(tmp_path, TODAY))["tox, testenv"] == ("pytest>=3", ".[test]")
    assert not any("sphinx" in lines for lines in found.values())


def test_nox_sessions_are_read(tmp_path: Path) -> None:
    """Catches a project that installs its test tools in noxfile.py alone."""
    nox = (
        "import nox\n@nox.session\ndef tests(session):\n"
        "    session.install('-r', 'tests/requirements.txt', 'coverage[toml]')\n"
        "    session.install(WHAT, '-q')\n"
        "@nox.session\ndef lint(session):\n    session.install('flake8')\n"
    )
    files = {"noxfile.py": nox, "pyproject.toml": "[build-system]\n", "tests/requirements.txt": "c\n"}
    found = needs(look(tmp_path, files))
    assert found["noxfile.py"] == ("-r tests/requirements.txt", "coverage[toml]")


def test_a_repository_that_is_no_package(tmp_path: Path) -> None:
    """Catches `pip install .` of a plain program, and its requirements.txt overlooked."""
    found = needs(look(tmp_path, {"requirements.txt": "flask\n", "main.py": ""}))
    assert found == {"requirements.txt": ("-r requirements.txt",)}


def test_setup_py_is_read_and_not_run() -> None:
    """Catches values behind names, sums and updates that are lost; and code of the project that is run."""
    text = """
import os
os.system("false")
VERSION = "1.2"
base = ["a>=1", "b"]
base.append("c")
extra = {"test": ["pytest"] + base}
extra["dev"] = extra["test"] + [compute()]
options = dict(python_requires=">=3.6", tests_require=("mock",))
setuptools.setup(name="x", version=VERSION, install_requires=base, extras_require=extra, **options)
"""
    read = read_setup_py(text)
    assert (read["name"], read["version"], read["python_requires"]) == ("x", "1.2", ">=3.6")
    assert read["install_requires"] == ["a>=1", "b", "c"]
    assert read["extras_require"]["test"] == ["pytest", "a>=1", "b", "c"]
    assert set(read["extras_require"]) == {"test", "dev"}
    assert read["tests_require"] == ["mock"]


def test_a_setup_py_of_python_2_is_searched() -> None:
    """Catches an old project about which nothing is known, since its setup.py does not parse."""
    read = read_setup_py("print 'hello'\nsetup(name='old', tests_require=['mock', \"nose\"])\n")
    assert read["name"] == "old"
    assert read["tests_require"] == ["mock", "nose"]


@given(st.text(max_size=400))
def test_no_setup_py_breaks_the_reading(text: str) -> None:
    """Catches a crash on an odd file: whatever is there, something is read."""
    assert isinstance(read_setup_py(text), dict)
    assert isinstance(read_setup_py(f"setup({text})"), dict)


def test_poetry_says_what_pep_621_says() -> None:
    """Catches poetry's own syntax given to a resolver that does not know it."""
    pyproject = """
[tool.poetry]
name = "x"
[tool.poetry.dependencies]
python = "^3.8"
a = "^1.2.3"
b = {version = "~2.1", extras = ["c"], python = "<3.10"}
c = {git = "https://example.org/c"}
d = [{version = "1.*", markers = "sys_platform == 'linux'"}]
[tool.poetry.group.test.dependencies]
pytest = "*"
"""
    metadata = read_metadata({"pyproject.toml": pyproject})
    assert metadata.requires_python == ">=3.8,<4"
    assert metadata.dependencies == (
        "a>=1.2.3,<2", "b[c]>=2.1,<2.2 ; python_version < '3.10'", "d==1.* ; sys_platform == 'linux'",
    )  # fmt: skip
    assert metadata.groups == {"test": ("pytest",)}
    for line in (*metadata.dependencies, *metadata.groups["test"]):
        Requirement(line)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.sampled_from(["^", "~"]))
def test_poetrys_ranges_hold_their_lower_bound_alone(numbers: list[int], sign: str) -> None:
    """Catches a caret or tilde range that leaves out its own version, or lets the next major one in."""
    version = ".".join(map(str, numbers))
    allowed = SpecifierSet(poetry_range(sign + version))
    assert version in allowed
    assert f"{numbers[0] + 1}.0" not in allowed or numbers[0] == 0


# --- how tests run --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "kind", "tools"),
    [
        ({"tox.ini": "[testenv]\ncommands = pytest {posargs}\n"}, "pytest", ("pytest",)),
        ({"setup.py": "setup(test_suite='nose.collector')"}, "pytest", ("pytest", "nose")),
        ({"Makefile": "test:\n\tpython -m unittest discover\n"}, "pytest", ("pytest",)),
        ({"tests/runtests.py": "", "django/__init__.py": ""}, "django", ()),
        ({"bin/test": "", "sympy/__init__.py": ""}, "sympy", ()),
    ],
)
def test_the_runner(tmp_path: Path, files: dict[str, str], kind: str, tools: tuple[str, ...]) -> None:
    """Catches Django's and sympy's own runners overlooked, and nose's tests without nose."""
    runner = look(tmp_path, files).runner
    assert (runner.kind, runner.tools) == (kind, tools)


def test_what_tests_lack_is_named() -> None:
    """Catches a package of somebody else's that is installed because a module of its name is missing."""
    output = (
        "E   ModuleNotFoundError: No module named 'yaml'\n"
        "E   ModuleNotFoundError: No module named 'internal_tool'\n"
        "E   ModuleNotFoundError: No module named 'rare_thing.sub'\n"
        "error: unrecognized arguments: --cov=x --cov-report=term -n 2 --unknown\n"
    )
    texts = {"tox.ini": "deps = rare-thing\n", "PKG-INFO": "internal-tool is what we had before"}
    found = missing_distributions(output, {"mocker", "tmp_path"}, {"pytest"}, texts)
    assert found == ("PyYAML", "rare-thing", "pytest-cov", "pytest-xdist", "pytest-mock")


# --- .fixbug.toml ---------------------------------------------------------------------------------


def write(root: Path, text: str) -> Path:
    (root / ".fixbug.toml").write_text(text, encoding="utf-8")
    return root


def test_settings_are_read(tmp_path: Path) -> None:
    """Catches a key that is read under another name or with another meaning."""
    text = (
        'python = "3.10"\nas-of = 2021-03-01\npackages = ["libxml2-dev"]\ninstall = "pip install -e ."\n'
        'test = "python -m pytest tests"\n[env]\nLANG = "C"\n'
    )
    assert read_declared(write(tmp_path, text)) == Declared(
        python="3.10",
        as_of=datetime(2021, 3, 1, tzinfo=UTC),
        packages=("libxml2-dev",),
        install=("pip install -e .",),
        test="python -m pytest tests",
        env={"LANG": "C"},
    )
    (tmp_path / ".fixbug.toml").unlink()
    assert read_declared(tmp_path) == Declared()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pyhton = '3.9'", r"no key 'pyhton'(?s:.*)did you mean python"),
        ("python = 3.1", r"in quotes"),
        ("python = '3.9.1'", r"expected a version"),
        ("python = ", r"cannot be read"),
        ("install = [1]", r"install: expected a list"),
        ("as-of = 'yesterday'", r"as-of: expected a date"),
        ("packages = ['a; rm -rf /']", r"names of Debian packages"),
        ("env = {A = 1}", r"expected NAME"),
        ("dockerfile = '../Dockerfile'", r"inside the repository"),
        ("image = 'a'\ndockerfile = 'b'", r"image and dockerfile are given"),
        ("image = 'a'\npython = '3.9'", r"python has no effect beside image"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """Catches a typo that silently leaves a setting out, and a value that reaches a shell."""
    with pytest.raises(UsageError, match=said):
        read_declared(write(tmp_path, text))
