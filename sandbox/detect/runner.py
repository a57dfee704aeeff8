"""How a project runs its tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sandbox.detect.metadata import Lines, Metadata

__all__ = ["Runner", "test_runner"]

Kind = Literal["pytest", "unittest", "django", "sympy", "given"]


@dataclass(frozen=True)
class Runner:
    """``command`` runs the whole suite; ``tools`` are what it takes besides the project's own requirements;
    ``why``: where that is said."""

    kind: Kind
    command: str
    tools: Lines
    why: str


def test_runner(texts: Mapping[str, str], metadata: Metadata, files: frozenset[str]) -> Runner:
    """Out of the configuration files (``texts``) and the names of the repository's ``files``.

    pytest is the default: it runs unittest's tests as well, and most of nose's.
    """
    if "tests/runtests.py" in files and "django/__init__.py" in files:
        # settings=test_sqlite is what the script takes where none are given
        return Runner("django", "python tests/runtests.py", (), "Django's tests/runtests.py")
    if "bin/test" in files and "sympy/__init__.py" in files:
        return Runner("sympy", "python bin/test -C", (), "sympy's bin/test")
    where = _mention(texts, r"\bpy\.?test\b")
    if where or "conftest.py" in files or "tests/conftest.py" in files:
        return Runner("pytest", "python -m pytest", ("pytest",), where or "conftest.py")
    where = _mention(texts, r"\bnosetests\b|nose\.collector|\[nosetests\]")
    if where:
        return Runner(
            "pytest", "python -m pytest", ("pytest", "nose"), f"{where} (nose: pytest runs its tests)"
        )
    where = _mention(texts, r"\b-m unittest\b|\bunittest discover\b|setup\.py test\b|\btwisted\.trial\b")
    if where or metadata.test_suite:
        return Runner("pytest", "python -m pytest", ("pytest",), f"{where or 'test_suite'} (unittest)")
    return Runner("pytest", "python -m pytest", ("pytest",), "nothing says how")


def _mention(texts: Mapping[str, str], pattern: str) -> str:
    return next((name for name, text in texts.items() if re.search(pattern, text)), "")
