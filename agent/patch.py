"""Unified diffs as git writes them: taken apart by file, cleaned, and brought to one form.

Nothing is parsed into a model and printed again, because that loses what a patch must keep (binary
data, carriage returns, ``\\ No newline at end of file``): a patch is cut into pieces of its own text,
and the pieces joined are the patch. Format: git's ``Documentation/diff-generate-patch.txt``.
(unidiff refuses 15 % of 3,687 patches that real systems submitted, most of which count as resolved.)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from sandbox.errors import PatchDoesNotApply

__all__ = [
    "Part",
    "Stats",
    "files",
    "is_empty",
    "is_test_path",
    "may_configure_tests",
    "normalise",
    "split",
    "stats",
    "without_tests",
]

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_EXTENDED = (
    "diff --git ", "old mode ", "new mode ", "deleted file mode ", "new file mode ", "copy from ", "copy to ",
    "rename from ", "rename to ", "similarity index ", "dissimilarity index ", "--- ", "+++ ",
)  # fmt: skip
_START_UP = ("conftest.py", "sitecustomize.py", "usercustomize.py")
_RUNNER_CONFIG = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", ".coveragerc")
_SHARED_CONFIG = ("pyproject.toml", "setup.cfg")
_RUNNER_SECTION = re.compile(r"\[+(tool[.:])?(pytest|tox|coverage)\b.*\]")
_RUNNER_KEY = re.compile(
    r"(addopts|testpaths|python_(files|classes|functions)|norecursedirs|xfail_strict|required_plugins|"
    r"usefixtures|doctest_optionflags|collect_ignore(_glob)?|minversion|pythonpath|confcutdir)\s*="
)


@dataclass(frozen=True)
class Part:
    """What a patch does to one file. ``text`` is the part exactly as it stood in the patch."""

    lead: str
    """Text before the file's own header (a commit message); ignored by git."""
    header: str
    """From ``diff --git`` (or ``---``) to the first hunk; of a binary change, all of it."""
    hunks: tuple[str, ...]
    trailer: str
    """Text after the last hunk that belongs to none; ignored by git."""
    old: str | None
    """Path before, relative to the repository; None for a new file."""
    new: str | None
    """Path after; None for a deleted file."""

    @property
    def text(self) -> str:
        return self.lead + self.header + "".join(self.hunks) + self.trailer

    @property
    def path(self) -> str:
        return self.new or self.old or ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path it touches: two of a rename or a copy."""
        return tuple(dict.fromkeys(path for path in (self.old, self.new) if path))


@dataclass(frozen=True)
class Stats:
    """Size of a patch, in files and lines."""

    files: int
    added: int
    removed: int


def split(patch: str) -> tuple[Part, ...]:
    """The parts of ``patch``, in order; ``"".join(part.text for part in split(patch)) == patch``.

    A last hunk may lack blank context lines (``normalise`` restores them). Blank text has no parts.
    Raises ``PatchDoesNotApply`` for text that is no unified diff, or whose hunks do not have the
    lines that their headers promise.
    """
    if is_empty(patch):
        return ()
    lines = _lines(patch)
    parts: list[Part] = []
    lead: list[str] = []
    i = 0
    while i < len(lines):
        if not _starts_file(lines, i):
            if lines[i].startswith(("@@ -", "@@@ ", "diff --cc ", "diff --combined ")):
                raise _malformed(i, "a file header (diff --git, or --- and +++) before it", lines[i])
            lead.append(lines[i])
            i += 1
            continue
        end = _header_end(lines, i)
        header = lines[i:end]
        hunks: list[str] = []
        while end < len(lines) and _HUNK.match(lines[end]):
            after = _hunk_end(lines, end)
            hunks.append("".join(lines[end:after]))
            end = after
        i = end
        while i < len(lines) and not _starts_file(lines, i) and hunks:
            if lines[i].startswith("@@ -"):
                raise _malformed(i, "a hunk directly after the one before it", lines[i])
            i += 1
        old, new = _paths(header)
        trailer = "".join(lines[end:i])
        parts.append(Part("".join(lead), "".join(header), tuple(hunks), trailer, old, new))
        lead = []
    if not parts:
        raise _malformed(0, "a unified diff", lines[0])
    return tuple(parts)


def files(patch: str) -> tuple[str, ...]:
    """The paths that ``patch`` touches, each once, in order (both names of a rename)."""
    return tuple(dict.fromkeys(path for part in split(patch) for path in part.paths))


def stats(patch: str) -> Stats:
    """How many files, and how many lines it adds and removes."""
    parts = split(patch)
    body = [line for part in parts for hunk in part.hunks for line in _lines(hunk)[1:]]
    return Stats(
        files=len({part.path for part in parts}),
        added=sum(line.startswith("+") for line in body),
        removed=sum(line.startswith("-") for line in body),
    )


def is_empty(patch: str) -> bool:
    """Whether there is nothing in it at all."""
    return not patch.strip()


def normalise(patch: str) -> str:
    """One form for patches that do the same: for comparing, voting and de-duplication.

    Text around the diffs, blob ids, time stamps and the context that git puts behind ``@@`` are
    dropped, and the files sorted; blank context lines and the last line's end, which are lost where
    a patch's text was stripped, are put back. It applies where ``patch`` applies, with the same effect.
    """
    return "".join(sorted((_normal(part) for part in split(patch)), key=lambda text: text.split("\n", 1)[0]))


def is_test_path(path: str) -> bool:
    """Whether a file is a test, or steers how tests are collected and run.

    ``tests/`` directories, ``test_*.py`` and ``*_test.py``, conftest.py and the configuration of
    pytest, tox and coverage, and what the interpreter runs at start-up. A package that is only
    called ``test`` or ``testing`` may be the product itself (``django/test/client.py``), so there
    the file's own name decides.
    """
    pure = PurePosixPath(path)
    name, folders = pure.name.lower(), [folder.lower() for folder in pure.parts[:-1]]
    if name in _START_UP or name in _RUNNER_CONFIG or name.endswith(".pth"):
        return True
    if "tests" in folders or folders[:1] in (["test"], ["testing"]):
        return True
    return fnmatchcase(name, "test_*.py") or fnmatchcase(name, "*_test.py") or name in ("tests.py", "test.py")


def without_tests(patch: str, allow: Collection[str] = ()) -> tuple[str, tuple[str, ...]]:
    """``patch`` without changes to tests and test configuration, and what was dropped.

    ``allow`` holds paths or glob patterns that are kept whatever they look like. Of pyproject.toml
    and setup.cfg only the hunks are dropped that show that they touch a pytest, tox or coverage
    section; others stay, and ``may_configure_tests`` names the files. Dropped names are paths, or
    ``PATH (hunk N)``. Raises ``PatchDoesNotApply`` as ``split`` does.
    """
    kept: list[str] = []
    dropped: list[str] = []
    for part in split(patch):
        suspects = [path for path in part.paths if not _allowed(path, allow)]
        if any(is_test_path(path) for path in suspects):
            dropped.extend(path for path in suspects if is_test_path(path))
        elif suspects and _is_shared_config(part):
            text, names = _without_runner_hunks(part)
            kept.append(text)
            dropped.extend(names)
        else:
            kept.append(part.text)
    return "".join(kept), tuple(dict.fromkeys(dropped))


def may_configure_tests(patch: str) -> tuple[str, ...]:
    """The pyproject.toml and setup.cfg files in ``patch``: they may steer the test run unseen."""
    return tuple(part.path for part in split(patch) if _is_shared_config(part))


def _is_shared_config(part: Part) -> bool:
    return any(PurePosixPath(path).name in _SHARED_CONFIG for path in part.paths)


def _allowed(path: str, allow: Iterable[str]) -> bool:
    return any(path == pattern or fnmatchcase(path, pattern) for pattern in allow)


def _without_runner_hunks(part: Part) -> tuple[str, list[str]]:
    kept: list[str] = []
    dropped: list[str] = []
    moved = 0
    for number, hunk in enumerate(part.hunks, 1):
        if _touches_runner_section(hunk):
            dropped.append(f"{part.path} (hunk {number})")
            body = _lines(hunk)[1:]
            moved += sum(line.startswith("+") for line in body) - sum(line.startswith("-") for line in body)
        else:
            kept.append(_moved(hunk, -moved))
    if not kept and part.hunks:
        return "", dropped
    return part.lead + part.header + "".join(kept) + part.trailer, dropped


def _touches_runner_section(hunk: str) -> bool:
    """Whether a changed line is, or stands below, the heading of a test runner's section."""
    inside = False
    for line in _lines(hunk)[1:]:
        content = line[1:].strip()
        if content.startswith("["):
            inside = bool(_RUNNER_SECTION.match(content))
        if line[:1] in "+-" and (inside or _RUNNER_KEY.match(content)):
            return True
    return False


def _moved(hunk: str, by: int) -> str:
    match = _HUNK.match(hunk)
    if match is None or not by:
        return hunk
    start, end = match.span(3)
    return f"{hunk[:start]}{max(int(match[3]) + by, 0)}{hunk[end:]}"


def _normal(part: Part) -> str:
    header = [line if line.endswith("\n") else line + "\n" for line in _lines(part.header)]
    if not any(line.startswith(("GIT binary patch", "Binary files ")) for line in header):
        header = [_without_stamp(line) for line in header if line.startswith(_EXTENDED)]
    return "".join(header) + "".join(_normal_hunk(hunk) for hunk in part.hunks)


def _without_stamp(line: str) -> str:
    return line.split("\t", 1)[0].rstrip("\n") + "\n" if line.startswith(("--- ", "+++ ")) else line


def _normal_hunk(hunk: str) -> str:
    match = _HUNK.match(hunk)
    first, body = hunk.split("\n", 1) if "\n" in hunk else (hunk, "")
    heading = match[0] if match else first
    lines = [" " + line if line in ("\n", "\r\n") else line for line in _lines(body)]
    text = heading + "\n" + "".join(lines)
    text = text if text.endswith("\n") else text + "\n"
    promised = 1 if match is None or match[2] is None else int(match[2])
    return text + " \n" * (promised - sum(line[0] in " -" for line in lines))


def _lines(text: str) -> list[str]:
    """Lines with their ends, cut at line feeds only (``str.splitlines`` cuts at seven more)."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _starts_file(lines: list[str], i: int) -> bool:
    return lines[i].startswith("diff --git ") or _starts_plain(lines, i)


def _starts_plain(lines: list[str], i: int) -> bool:
    return (
        i + 2 < len(lines)
        and lines[i].startswith("--- ")
        and lines[i + 1].startswith("+++ ")
        and _HUNK.match(lines[i + 2]) is not None
    )


def _header_end(lines: list[str], start: int) -> int:
    """The index of the first hunk, or of the next file where there is none."""
    if not lines[start].startswith("diff --git "):
        return start + 2
    i = start + 1
    while i < len(lines) and not lines[i].startswith("diff --git "):
        if _HUNK.match(lines[i]):
            if not _starts_plain(lines, i - 2):
                raise _malformed(i, "--- and +++ lines before a hunk", lines[i])
            return i
        i += 1
    return i


def _hunk_end(lines: list[str], start: int) -> int:
    match = _HUNK.match(lines[start])
    if match is None:
        raise _malformed(start, "a hunk header", lines[start])
    before, after = (1 if count is None else int(count) for count in (match[2], match[4]))
    i = start + 1
    while before > 0 or after > 0:
        if before == after and (i == len(lines) or lines[i].startswith("diff --git ")):
            return i  # blank context that somebody stripped: common in published patches
        if i == len(lines):
            raise _malformed(i, f"{before} old and {after} new lines more, as the hunk's header says", "")
        kind = lines[i][0]
        if kind not in " +-\\\r\n":
            raise _malformed(i, "a line of a hunk (blank, +, - or \\)", lines[i])
        before -= kind in " -\r\n"
        after -= kind in " +\r\n"
        i += 1
    if before or after:
        raise _malformed(i - 1, "as many lines as the hunk's header says", lines[i - 1])
    if i < len(lines) and lines[i].startswith("\\"):
        i += 1
    return i


def _paths(header: list[str]) -> tuple[str | None, str | None]:
    """Paths before and after, from the surest line that names them."""
    names: dict[str, str] = {}
    for line in header:
        for key in ("--- ", "+++ ", "rename from ", "rename to ", "copy from ", "copy to "):
            if line.startswith(key):
                names.setdefault(key, _unquoted(line[len(key) :]))
    for source, target in (("rename from ", "rename to "), ("copy from ", "copy to ")):
        if source in names and target in names:
            return names[source], names[target]
    if "--- " in names and "+++ " in names:
        old, new = names["--- "], names["+++ "]
    else:
        old, new = _names_of_git_line(header[0])
        old = "/dev/null" if any(line.startswith("new file mode") for line in header) else old
        new = "/dev/null" if any(line.startswith("deleted file mode") for line in header) else new
    return _without_prefix(old, new)


def _names_of_git_line(line: str) -> tuple[str, str]:
    """``diff --git a/P b/P``: both names are the same here, so the middle is where they meet."""
    rest = line.removeprefix("diff --git ").rstrip("\r\n")
    middle = (len(rest) - 1) // 2
    return _unquoted(rest[:middle]), _unquoted(rest[middle + 1 :])


def _without_prefix(old: str, new: str) -> tuple[str | None, str | None]:
    pairs = (("a/", "b/"), ("i/", "w/"), ("c/", "i/"), ("c/", "w/"), ("o/", "w/"), ("w/", "i/"))
    null = "/dev/null"
    for left, right in pairs:
        if (old == null or old.startswith(left)) and (new == null or new.startswith(right)):
            old = old if old == null else old[2:]
            new = new if new == null else new[2:]
            break
    return (None if old == null else old), (None if new == null else new)


_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


def _unquoted(name: str) -> str:
    """A path as git writes it: in C quotes if it holds odd characters, else up to a tab."""
    name = name.rstrip("\r\n")
    if not (len(name) > 1 and name.startswith('"')):
        return name.split("\t", 1)[0]
    raw = bytearray()
    for octal, escape, plain in re.findall(r'\\([0-3][0-7]{2})|\\(.)|([^"\\])', name[1:]):
        if octal:
            raw.append(int(octal, 8))
        elif escape:
            raw += bytes([_ESCAPES[escape]]) if escape in _ESCAPES else escape.encode(errors="surrogatepass")
        else:
            raw += plain.encode(errors="surrogatepass")
    return raw.decode("utf-8", errors="surrogateescape")


def _malformed(index: int, expected: str, came: str) -> PatchDoesNotApply:
    got = f"got {came.rstrip()[:120]!r}" if came else "the text ends"
    return PatchDoesNotApply(
        f"malformed patch, line {index + 1}: expected {expected}, {got}",
        cure="give a unified diff as `git diff` writes it",
    )
