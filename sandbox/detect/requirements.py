"""Where a project names what its tests need: extras, groups, requirement files, tox, nox."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sandbox.detect.metadata import Lines, Metadata, toml

__all__ = ["Need", "test_needs"]

_TESTS = re.compile(r"test|\bci\b|pytest|check", re.IGNORECASE)
_DEVELOPMENT = re.compile(r"^dev|[-_/]dev|develop|contrib|^all$", re.IGNORECASE)
_NO_TESTS = re.compile(r"doc|lint|mypy|typing|style|format|release|publish|build|bench", re.IGNORECASE)
_FILE_LIKE = re.compile(r"require|\bdeps\b|pip", re.IGNORECASE)


@dataclass(frozen=True)
class Need:
    """One place that names requirements; ``lines`` are those of a requirements file, ``-r FILE`` among them.

    ``required``: without it, the tests are not worth trying.
    """

    where: str
    lines: Lines
    required: bool = False


def test_needs(texts: Mapping[str, str], metadata: Metadata) -> tuple[Need, ...]:
    """In the order of their weight; the project itself (``.``) is the first, where it can be installed.

    Places whose name speaks of tests count; where none does, those that speak of development do.
    """
    needs = []
    if metadata.packaged:
        needs.append(Need("the project's own", (".",), required=True))
    elif metadata.dependencies:
        needs.append(Need("the project's own", metadata.dependencies, required=True))
    named = [
        *((f"extra {name}", name, (f".[{name}]",)) for name in metadata.extras if metadata.packaged),
        *((f"group {name}", name, lines) for name, lines in metadata.groups.items()),
        *((name, name, (f"-r {name}",)) for name in _files(texts)),
    ]
    tests = [entry for entry in named if _TESTS.search(entry[1]) and not _NO_TESTS.search(entry[1])]
    tests = tests or [entry for entry in named if _DEVELOPMENT.search(entry[1])]
    needs += [Need(where, lines) for where, _, lines in tests]
    if metadata.tests_require:
        needs.append(Need("tests_require", metadata.tests_require))
    needs += [Need(f"tox, {section}", lines) for section, lines in _tox(texts, metadata)]
    if lines := tuple(_nox(texts.get("noxfile.py", ""))):
        needs.append(Need("noxfile.py", lines))
    listed = any("-r requirements.txt" in need.lines for need in needs)
    # of a package, this is often what its developers have installed
    if "requirements.txt" in texts and not listed and (not metadata.packaged or len(needs) < 2):
        needs.append(Need("requirements.txt", ("-r requirements.txt",), required=not metadata.packaged))
    return tuple(needs)


def _files(texts: Mapping[str, str]) -> list[str]:
    """Requirement files; of ``tests.in`` and ``tests.txt`` only the latter, which has versions."""
    names = [name for name in texts if name.endswith((".txt", ".in", ".pip")) and _FILE_LIKE.search(name)]
    return [name for name in names if not (name.endswith(".in") and f"{name[:-3]}.txt" in names)]


def _tox(texts: Mapping[str, str], metadata: Metadata) -> Iterator[tuple[str, Lines]]:
    """The ``deps`` and ``extras`` of ``[testenv]`` and of sections whose name speaks of tests.

    Lines with a condition (``py36: x``, ``django32: y``) belong to some environments only, and are left out.
    """
    tool = toml(texts.get("pyproject.toml", "")).get("tool", {})
    legacy = tool.get("tox", {}).get("legacy_tox_ini", "") if isinstance(tool, dict) else ""
    for text in (texts.get("tox.ini", ""), texts.get("setup.cfg", ""), str(legacy)):
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        for section in parser.sections():
            kind, _, environment = section.removeprefix("tox:").partition(":")
            if kind != "testenv" or (environment and not re.match(r"test|unit|py3?\b|py\{", environment)):
                continue
            options = dict(parser.items(section))
            lines = tuple(_tox_lines(options.get("deps") or ""))
            extras = [
                name for name in re.split(r"[\s,]+", options.get("extras") or "") if name in metadata.extras
            ]
            lines += tuple(f".[{name}]" for name in extras)
            if lines:
                yield section, lines


def _tox_lines(deps: str) -> Iterator[str]:
    for raw in deps.splitlines():
        line = re.split(r"\s#", raw)[0].strip()
        line = re.sub(r"\{(toxinidir|tox_root)\}/?", "", line)
        conditional = re.match(r"[\w{},.!-]+\s*:\s", line)
        if not line or line.startswith(("#", "{")) or conditional or "{" in line:
            continue
        if line.startswith("-r"):
            yield "-r " + line[2:].strip()
        elif not line.startswith("-"):
            yield line


def _nox(text: str) -> Iterator[str]:
    """What sessions whose name speaks of tests install, where it is written out: ``session.install("x")``."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef) or not _TESTS.search(function.name):
            continue
        for node in ast.walk(function):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if called and isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "install":
                yield from _pip_arguments(
                    [
                        arg.value
                        for arg in node.args
                        if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                    ]
                )


def _pip_arguments(arguments: Iterable[str]) -> Iterator[str]:
    """Arguments of ``pip install`` as lines of a requirements file."""
    pending = iter(arguments)
    for argument in pending:
        if argument in ("-r", "--requirement"):
            if file := next(pending, ""):
                yield f"-r {file}"
        elif argument in ("-e", "--editable", "-c", "--constraint"):
            editable = next(pending, "")
            if argument in ("-e", "--editable") and editable.startswith("."):
                yield editable
        elif not argument.startswith("-"):
            yield argument
