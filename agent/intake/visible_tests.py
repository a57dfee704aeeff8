"""The tests that a user names: ids within the repository, or files of their own to put into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import IntakeError

__all__ = ["GivenTests", "given_tests"]


@dataclass(frozen=True)
class GivenTests:
    """``ids`` relative to the repository, and the ``files`` (path → text) to put there first."""

    ids: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


def given_tests(
    tests: Sequence[str], *, copy: Path | None, original: Path | None, hidden: Path | None
) -> GivenTests:
    """Tell ids of the repository from files on the host (``FILE`` or ``FILE::name``).

    ``copy`` is the prepared repository (None: it is in the image), ``original`` the directory that
    it was copied from. A file from elsewhere goes to ``tests/`` where there is such a directory, else to
    the root. What neither the repository nor the host has stays an id: the test runner judges it.

    Raises ``IntakeError`` for a file that would overwrite another, is no text, or is a hidden test.
    """
    given = GivenTests()
    ids = []
    for test in tests:
        file, separator, name = test.partition("::")
        if not file.strip() or file.startswith("-"):
            raise IntakeError(
                f"expected a test id or a file, got {test!r}", cure="e.g. tests/test_cache.py::test_twice"
            )
        path = _place(file, given.files, copy, original, hidden)
        ids.append(f"{path}{separator}{name}")
    return GivenTests(tuple(dict.fromkeys(ids)), given.files)


def _place(
    file: str, files: dict[str, str], copy: Path | None, original: Path | None, hidden: Path | None
) -> str:
    """The path in the repository of a named file; its text is added to ``files`` if it must go there."""
    if not Path(file).is_absolute() and copy is not None and _within(copy, file) and (copy / file).exists():
        return Path(file).as_posix()
    candidates = [Path(file).expanduser()]
    if original is not None and not Path(file).is_absolute():
        candidates.insert(0, original / file)
    outside = next((path.resolve() for path in candidates if path.exists()), None)
    if outside is None:
        if Path(file).is_absolute():
            raise IntakeError(
                f"expected a test file, {file} does not exist", cure="give an existing file or a test id"
            )
        return file
    if hidden is not None and outside.is_relative_to(hidden.resolve()):
        raise IntakeError(
            f"{file} is one of the hidden tests", cure="a hidden test must not be given as --test"
        )
    inside = outside.relative_to(original) if original and outside.is_relative_to(original) else None
    if inside is not None and copy is not None and (copy / inside).exists():
        return inside.as_posix()
    if not outside.is_file():
        raise IntakeError(f"expected a test file, {file} is a directory", cure="name its files")
    target = inside.as_posix() if inside is not None else _new_place(outside.name, copy)
    try:
        text = outside.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IntakeError(
            f"expected a test as UTF-8 text, {file} is not: {error}", cure="convert it"
        ) from error
    if files.get(target, text) != text or (copy is not None and _differs(copy / target, text)):
        raise IntakeError(
            f"{file} would replace a different {target} in the repository",
            cure="rename your file, or name the repository's own test",
        )
    files[target] = text
    return target


def _within(root: Path, file: str) -> bool:
    return (root / file).resolve().is_relative_to(root.resolve())


def _new_place(name: str, copy: Path | None) -> str:
    folders = [folder for folder in ("tests", "test") if copy is not None and (copy / folder).is_dir()]
    return f"{folders[0]}/{name}" if folders else name


def _differs(path: Path, text: str) -> bool:
    if not path.exists() and not path.is_symlink():
        return False
    return not path.is_file() or path.read_bytes() != text.encode()
