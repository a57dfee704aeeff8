"""What a plain repository needs for its tests, read from its metadata files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from sandbox.layers import digest

__all__ = ["Recipe", "detect"]

MINORS = ("3.12", "3.11", "3.10", "3.9", "3.8", "3.7", "3.6", "3.13", "3.14")
"""Python versions in the order in which they are tried where the project allows them."""

_METADATA = ("pyproject.toml", "setup.py", "setup.cfg", ".python-version", "tox.ini", "Pipfile")
_REQUIREMENTS = (
    "requirements.txt",
    "requirements/*.txt",
    "requirements[-_]dev.txt",
    "requirements[-_]test*.txt",
    "test[-_]requirements.txt",
    "dev[-_]requirements.txt",
    "tests/requirements.txt",
)
_TEST_NAMES = re.compile(r"test|dev", re.IGNORECASE)


@dataclass(frozen=True)
class Recipe:
    """``minors``: Python versions, best first. ``installs``: arguments of ``pip install``, in order."""

    minors: tuple[str, ...]
    installs: tuple[str, ...]
    fingerprint: str
    """A digest of every file that was looked at."""

    @property
    def told(self) -> str:
        return "; ".join(self.installs) or "nothing of the project's own (no packaging metadata)"


def detect(source: Path) -> Recipe:
    """Read the metadata of the repository at ``source``. A repository without any is fine."""
    files = sorted(
        {path for name in (*_METADATA, *_REQUIREMENTS) for path in source.glob(name) if path.is_file()}
    )
    texts = {path.relative_to(source).as_posix(): path.read_text("utf-8", "replace") for path in files}
    pyproject = _toml(texts.get("pyproject.toml", ""))
    return Recipe(
        minors=_minors(texts, pyproject),
        installs=tuple(_installs(texts, pyproject)),
        fingerprint=digest(texts),
    )


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}


def _minors(texts: dict[str, str], pyproject: dict[str, Any]) -> tuple[str, ...]:
    wanted = re.match(r"\s*(3\.\d+)", texts.get(".python-version", ""))
    if wanted:
        return (wanted[1],)
    spec = str(pyproject.get("project", {}).get("requires-python", ""))
    for name in ("setup.cfg", "setup.py"):
        if not spec and (
            found := re.search(r"""python_requires\s*=\s*["']?([^"'\n]+)""", texts.get(name, ""))
        ):
            spec = found[1]
    return tuple(minor for minor in MINORS if _allows(spec, minor))


def _allows(spec: str, minor: str) -> bool:
    """Whether a requires-python (``>=3.8,<4``) admits some release of ``minor``; an unreadable one does."""
    try:
        allowed = SpecifierSet(spec)
    except InvalidSpecifier:
        return True
    return any(f"{minor}.{patch}" in allowed for patch in range(30))


def _installs(texts: dict[str, str], pyproject: dict[str, Any]) -> Iterator[str]:
    """The project in place with its test extras, else its requirements; test requirements in any case."""
    project = pyproject.get("project", {})
    packaged = "setup.py" in texts or bool({"build-system", "project"} & set(pyproject))
    requirements = [name for name in texts if name.endswith(".txt")]
    if packaged:
        extras = [name for name in _extras(texts, project) if _TEST_NAMES.search(name)]
        yield f"-e .[{','.join(extras)}]" if extras else "-e ."
        groups = [name for name in pyproject.get("dependency-groups", {}) if _TEST_NAMES.search(name)]
        yield from (f"--group {name}" for name in groups)
        requirements = [name for name in requirements if _TEST_NAMES.search(name)]
    yield from (f"-r {name}" for name in requirements)


def _extras(texts: dict[str, str], project: dict[str, Any]) -> list[str]:
    named = list(project.get("optional-dependencies", {}))
    section = re.search(
        r"^\[options\.extras_require\]\n((?:(?!\[).*\n?)*)", texts.get("setup.cfg", ""), re.MULTILINE
    )
    if section:
        named += re.findall(r"^([\w.-]+)\s*=", section[1], re.MULTILINE)
    call = re.search(r"extras_require\s*=\s*\{(.*?)\}", texts.get("setup.py", ""), re.DOTALL)
    if call:
        named += re.findall(r"""["']([\w.-]+)["']\s*:""", call[1])
    return list(dict.fromkeys(named))
