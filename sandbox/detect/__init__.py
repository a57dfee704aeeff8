"""What a plain repository needs for its tests, read from its files. Nothing of it is run.

``metadata`` reads the project's own tables, ``pythons`` which Python it is for, ``requirements`` where it
names what its tests need, ``runner`` how they are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from sandbox.detect.metadata import Metadata, read_metadata
from sandbox.detect.pythons import claimed_pythons, python_order
from sandbox.detect.requirements import Need, test_needs
from sandbox.detect.runner import Runner, test_runner

__all__ = ["Need", "Recipe", "Runner", "detect", "project_files"]

_READ = (
    "pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO", ".python-version", "runtime.txt", "tox.ini",
    "noxfile.py", "pytest.ini", "Makefile", "Pipfile",
    ".travis.yml", "appveyor.yml", ".appveyor.yml", "azure-pipelines.yml", ".gitlab-ci.yml", ".cirrus.yml",
    ".circleci/config.yml", ".github/workflows/*.yml", ".github/workflows/*.yaml",
    "*requirements*.txt", "*requirements*.in", "requirements/*.txt", "requirements/*.in", "reqs/*.txt",
    "tests/*require*.txt", "test/*require*.txt", "ci/*require*.txt", "*deps*.txt", ".ci/*require*.txt",
)  # fmt: skip
_LARGEST = 1 << 20
"""Bytes of a file that is read."""


@dataclass(frozen=True)
class Recipe:
    """``minors``: Python versions, best first (``why`` says how they were found). ``needs``: what to install.

    ``texts`` are the files all this was read from: a name that occurs in them is one the project knows.
    """

    minors: tuple[str, ...]
    why: str
    needs: tuple[Need, ...]
    runner: Runner
    metadata: Metadata
    texts: dict[str, str]


def detect(source: Path, today: date) -> Recipe:
    """Read the metadata files of the repository at ``source`` as of ``today``, its commit's date."""
    texts = project_files(source)
    metadata = read_metadata(texts)
    claimed = claimed_pythons(texts, metadata)
    why = f"requires-python {metadata.requires_python or 'is not given'}"
    if claimed:
        why += f", claims {claimed[0]} to {claimed[-1]}" if len(claimed) > 1 else f", claims {claimed[0]}"
    if {".python-version", "runtime.txt"} & texts.keys():
        why += ", a file names one"
    return Recipe(
        minors=python_order(texts, metadata, today),
        why=f"{why}, as of {today}",
        needs=tuple(one for need in test_needs(texts, metadata) if (one := _there(source, need)).lines),
        runner=test_runner(texts, metadata, _names(source)),
        metadata=metadata,
        texts=texts,
    )


def _there(source: Path, need: Need) -> Need:
    """``need`` without the requirement files that are not there (a release often lacks them)."""
    lines = (line for line in need.lines if not line.startswith("-r ") or (source / line[3:]).is_file())
    return replace(need, lines=tuple(lines))


def project_files(source: Path) -> dict[str, str]:
    """Name → text of the files that are read: at the root, and where CI and requirement files lie."""
    return {path.relative_to(source).as_posix(): _text(path) for path in dict.fromkeys(_found(source))}


def _found(source: Path) -> Iterator[Path]:
    for pattern in _READ:
        for path in sorted(source.glob(pattern)):
            inside = path.resolve().is_relative_to(source.resolve())  # a link may lead out
            if inside and path.is_file() and path.stat().st_size <= _LARGEST:
                yield path


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace").replace("\r\n", "\n")


def _names(source: Path) -> frozenset[str]:
    """The paths, two levels deep, of the repository's files."""
    found = {path.relative_to(source).as_posix() for path in source.glob("*") if path.is_file()}
    found |= {path.relative_to(source).as_posix() for path in source.glob("*/*") if path.is_file()}
    return frozenset(found)
