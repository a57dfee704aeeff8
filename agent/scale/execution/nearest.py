"""Which existing tests are likeliest to notice a patch: those nearest to the files that it changes.

Only the patches and the base commit's tree are looked at, never a benchmark's lists of tests. Test files that
the patches themselves change come first. Else nearness counts a test file's name, its folder, what it imports
and which changed names it mentions; a source file weighs as much as there are patches that change it.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from agent.errors import PatchDoesNotApply
from agent.patch import is_test_path, split
from sandbox import Sandbox

__all__ = ["changed_names", "nearest_tests"]

_DEFINED = re.compile(r"\b(?:def|class)\s+(\w{4,})")
_MOST_NAMES = 12
_COMMON = {"tests", "test", "src", "lib", "python", "__init__", "base", "utils", "core"}


def nearest_tests(
    box: Sandbox, patches: Sequence[str], most: int = 4, named: Sequence[str] = ()
) -> list[str]:
    """Up to ``most`` test files of the repository, nearest first; ``patches`` are what is to be judged, and
    ``named`` the test files that they bring along (those that the repository has come first)."""
    changed = Counter(path for patch in patches for path in _changed(patch))
    if not changed:
        return []
    listed = box.run("git ls-files -- '*.py'").output.splitlines()
    tests = [path for path in listed if _is_test_file(path)]
    if not tests:
        return []
    weight = {path: count / changed.most_common(1)[0][1] for path, count in changed.items()}
    importing: dict[str, float] = {}
    for path in sorted(changed, key=lambda path: weight[path]):
        if module := _module(path):
            importing |= dict.fromkeys(_grep(box, [rf"(from|import) +{re.escape(module)}\b"]), weight[path])
    names = Counter(name for patch in patches for name in changed_names(patch))
    mentioning = Counter(
        path for name, _ in names.most_common(_MOST_NAMES) for path in _grep(box, [rf"\b{re.escape(name)}\b"])
    )

    def nearness(test: str) -> tuple[bool, float, str]:
        score = max(weight[path] * _alike(path, test) for path in changed)
        score += 2.0 * importing.get(test, 0.0) + min(mentioning[test], 4) / 2
        return test not in named, -score, test

    return sorted(tests, key=nearness)[:most]


def changed_names(patch: str) -> set[str]:
    """Functions and classes whose definitions stand in the hunks of ``patch``, or in their headings."""
    try:
        hunks = [hunk for part in split(patch) if not is_test_path(part.path) for hunk in part.hunks]
    except PatchDoesNotApply:
        return set()
    return {name for hunk in hunks for name in _DEFINED.findall(hunk)}


def _changed(patch: str) -> Iterable[str]:
    try:
        parts = split(patch)
    except PatchDoesNotApply:
        return []
    return {
        part.path for part in parts if part.old and part.path.endswith(".py") and not is_test_path(part.path)
    }


def _is_test_file(path: str) -> bool:
    name = PurePosixPath(path).name
    return is_test_path(path) and (
        name.startswith("test_") or name.endswith("_test.py") or name in ("tests.py", "test.py")
    )


def _module(path: str) -> str:
    parts = list(PurePosixPath(path).with_suffix("").parts)
    parts = parts[1:] if parts[:1] in (["src"], ["lib"]) else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _alike(path: str, test: str) -> float:
    """How much a test file's path has in common with a source file's: the file's own name weighs most."""
    source, mirror = PurePosixPath(path), PurePosixPath(test)
    stem = source.parent.name if source.stem == "__init__" else source.stem
    bare = re.sub(r"^tests?_|_tests?$", "", mirror.stem)
    related = len(stem) > 3 and (stem in bare or (len(bare) > 3 and bare in stem))
    score = 4.0 if bare == stem else 2.0 * related
    folders = _words(mirror.parent)
    score += 2.0 * (stem in folders)
    shared = (_words(source.parent) - _COMMON) & folders
    return score + len(shared) / (1 + abs(len(source.parts) - len(mirror.parts)))


def _words(folder: PurePosixPath) -> set[str]:
    whole = {part.lower() for part in folder.parts}
    return whole | {word for part in whole for word in part.split("_") if word}


def _grep(box: Sandbox, patterns: Sequence[str]) -> set[str]:
    """Files of the repository that match one of ``patterns`` (extended regular expressions)."""
    if not patterns:
        return set()
    options = " ".join(f"-e {shlex.quote(pattern)}" for pattern in patterns)
    return set(box.run(f"git grep -lE {options} -- '*.py'").output.splitlines())
