"""What a project says of itself: pyproject.toml with its tools' tables, setup.cfg, setup.py, PKG-INFO."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.detect.setup_py import read_setup_py

__all__ = ["Metadata", "read_metadata", "toml"]

Lines = tuple[str, ...]


@dataclass(frozen=True)
class Metadata:
    """Requirement lists are PEP 508 lines. ``groups`` are whatever a tool keeps beside the extras: dependency
    groups (PEP 735) and the development groups of poetry, pdm, hatch, flit and uv."""

    name: str = ""
    version: str = ""
    requires_python: str = ""
    classifiers: Lines = ()
    packaged: bool = False
    """Whether pip can install it."""
    release: bool = False
    """Whether this is an unpacked source release: only those hold a PKG-INFO."""
    dependencies: Lines = ()
    extras: Mapping[str, Lines] = field(default_factory=dict)
    groups: Mapping[str, Lines] = field(default_factory=dict)
    tests_require: Lines = ()
    test_suite: str = ""
    build_requires: Lines = ()


def toml(text: str) -> dict[str, Any]:
    """A parsed TOML file; empty where it is none."""
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}


def read_metadata(texts: Mapping[str, str]) -> Metadata:
    """Out of the files at the repository's root (name → text). Malformed ones are read as far as they go."""
    pyproject = toml(texts.get("pyproject.toml", ""))
    cfg = _cfg(texts.get("setup.cfg", ""))
    setup = read_setup_py(texts.get("setup.py", ""))
    info = _pkg_info(texts.get("PKG-INFO", ""))
    project = _table(pyproject, "project")
    tool = _table(pyproject, "tool")
    poetry, flit = _table(tool, "poetry"), _table(_table(tool, "flit"), "metadata")
    pep621 = _table(pyproject, "project", "optional-dependencies")
    extras: dict[str, Lines] = {name: _lines(value) for name, value in pep621.items()}
    for more in (_sections(cfg, "options.extras_require"), setup.get("extras_require")):
        for name, value in (more if isinstance(more, dict) else {}).items():
            extra = name.partition(":")[0]  # test:python_version<"3" is an extra with a condition
            if extra:
                extras.setdefault(extra, _lines(value))
    for name, value in _table(flit, "requires-extra").items():
        extras.setdefault(name, _lines(value))
    for name in _table(poetry, "extras"):
        extras.setdefault(name, ())
    python = _table(poetry, "dependencies").get("python")
    return Metadata(
        name=_first(project.get("name"), poetry.get("name"), cfg.get(("metadata", "name")), setup.get("name"),
                    info.get("name")),
        version=_first(info.get("version"), project.get("version"), poetry.get("version"),
                       cfg.get(("metadata", "version")), setup.get("version")),
        requires_python=_first(
            project.get("requires-python"), poetry_range(python) if isinstance(python, str) else "",
            flit.get("requires-python"), cfg.get(("options", "python_requires")),
            setup.get("python_requires"), info.get("requires-python"),
        ),
        classifiers=tuple(
            dict.fromkeys(
                (*_lines(project.get("classifiers")), *_lines(poetry.get("classifiers")),
                 *_lines(flit.get("classifiers")), *_lines(cfg.get(("metadata", "classifiers"))),
                 *_lines(cfg.get(("metadata", "classifier"))), *_lines(setup.get("classifiers")),
                 *_lines(info.get("classifier")))
            )
        ),
        packaged="setup.py" in texts or bool({"build-system", "project"} & set(pyproject) or poetry or flit),
        release="name" in info,
        dependencies=(
            *_lines(project.get("dependencies")), *_lines(cfg.get(("options", "install_requires"))),
            *_lines(setup.get("install_requires")), *_lines(flit.get("requires")),
            *_poetry_lines(_table(poetry, "dependencies")),
        ),
        extras=extras,
        groups=_groups(pyproject, tool, poetry, flit),
        tests_require=(*_lines(cfg.get(("options", "tests_require"))), *_lines(setup.get("tests_require"))),
        test_suite=_first(setup.get("test_suite"), cfg.get(("options", "test_suite"))),
        build_requires=_lines(_table(pyproject, "build-system").get("requires")),
    )  # fmt: skip


def _groups(
    pyproject: Mapping[str, Any], tool: Mapping[str, Any], poetry: Mapping[str, Any], flit: Mapping[str, Any]
) -> dict[str, Lines]:
    declared = _table(pyproject, "dependency-groups")
    groups = {name: tuple(_expanded(declared, name)) for name in declared}
    for name, group in _table(poetry, "group").items():
        groups.setdefault(name, _poetry_lines(_table(group, "dependencies")))
    old = _poetry_lines(_table(poetry, "dev-dependencies"))
    dev = (*old, *_lines(flit.get("dev-requires")), *_lines(_table(tool, "uv").get("dev-dependencies")))
    if dev:
        groups.setdefault("dev", dev)
    for name, value in _table(tool, "pdm", "dev-dependencies").items():
        groups.setdefault(name, _lines(value))
    for name, value in _table(tool, "hatch", "envs").items():
        lines = (*_lines(_table(value).get("dependencies")), *_lines(_table(value).get("extra-dependencies")))
        if lines:
            groups.setdefault("test" if name == "default" else name, lines)
    return groups


def _expanded(groups: Mapping[str, Any], name: str, seen: tuple[str, ...] = ()) -> Iterable[str]:
    """A dependency group's lines, those of the groups it includes among them (PEP 735)."""
    members = groups.get(name)
    for member in members if isinstance(members, list) else []:
        if isinstance(member, str):
            yield member
        elif isinstance(member, dict) and (other := str(member.get("include-group", ""))) not in (
            *seen,
            name,
            "",
        ):
            wanted = re.sub(r"[-_.]+", "-", other).lower()
            real = next((one for one in groups if re.sub(r"[-_.]+", "-", one).lower() == wanted), other)
            yield from _expanded(groups, real, (*seen, name))


# --- poetry -------------------------------------------------------------------------------------


def poetry_range(constraint: str) -> str:
    """Poetry's ``^1.2``, ``~1.2``, ``1.*`` and ``>=1,<2`` as a PEP 440 specifier; alternatives (``||``): the
    last one."""
    parts = []
    for part in constraint.rpartition("||")[2].replace(" ", "").split(","):
        found = re.fullmatch(r"(\^|~(?!=))(\d+(?:\.\d+)*)(.*)", part)
        if found:
            numbers = [int(number) for number in found[2].split(".")]
            if found[1] == "^":
                place = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
            else:
                place = min(1, len(numbers) - 1)
            upper = [*numbers[:place], numbers[place] + 1]
            parts.append(f">={found[2]}{found[3]},<{'.'.join(map(str, upper))}")
        elif re.fullmatch(r"\d[\w.*]*", part):
            parts.append(f"=={part}")
        elif part and part != "*":
            parts.append(part)
    return ",".join(parts)


def _poetry_lines(table: Mapping[str, Any]) -> Lines:
    lines = []
    for name, wanted in table.items():
        if name.lower() == "python":
            continue
        for one in wanted if isinstance(wanted, list) else [wanted]:
            details = one if isinstance(one, dict) else {"version": one}
            if details.get("optional") or not isinstance(details.get("version"), str):
                continue  # by extra only, or from git or a path
            extras = f"[{','.join(map(str, details['extras']))}]" if details.get("extras") else ""
            markers = str(details.get("markers", ""))
            if isinstance(details.get("python"), str):
                limits = poetry_range(details["python"]).split(",")
                markers = " and ".join(
                    [*([markers] if markers else []), *(_python_marker(limit) for limit in limits if limit)]
                )
            tail = f" ; {markers}" if markers else ""
            lines.append(f"{name}{extras}{poetry_range(details['version'])}{tail}")
    return tuple(lines)


def _python_marker(limit: str) -> str:
    found = re.fullmatch(r"([<>=!~]+)(.+)", limit)
    return f"python_version {found[1]} '{found[2]}'" if found else "python_version >= '3'"


# --- parts --------------------------------------------------------------------------------------


def _cfg(text: str) -> dict[tuple[str, str], str]:
    """(section, option) → value of an INI file."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {
        (section, option.replace("-", "_")): value or ""
        for section in parser.sections()
        for option, value in parser.items(section)
    }


def _sections(cfg: Mapping[tuple[str, str], str], section: str) -> dict[str, str]:
    return {option: value for (where, option), value in cfg.items() if where == section}


def _pkg_info(text: str) -> dict[str, Any]:
    """The header fields of a source release's PKG-INFO, in lower case; ``classifier`` is a list."""
    found: dict[str, Any] = {"classifier": []}
    for line in text.partition("\n\n")[0].splitlines():
        key, colon, value = line.partition(":")
        if not colon or line[:1].isspace():
            continue
        if key.lower() == "classifier":
            found["classifier"].append(value.strip())
        else:
            found.setdefault(key.lower(), value.strip())
    return found


def _table(value: Any, *path: str) -> dict[str, Any]:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _lines(value: Any) -> Lines:
    """Requirements or classifiers as a list, or as text with one a line."""
    if isinstance(value, str):
        value = [line.partition(" #")[0].strip() for line in value.splitlines()]
    if not isinstance(value, list | tuple):
        return ()
    return tuple(
        one.strip() for one in value if isinstance(one, str) and one.strip() and one.strip()[0] != "#"
    )


def _first(*values: Any) -> str:
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")
