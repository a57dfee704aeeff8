"""Which versions to install: what the project asks for, as of its commit's date, as far as that can be had.

Everything is tried at once first. Where that does not resolve, what is required is tried alone (as of the
date, some months later, as of today), and each further place that names requirements is added by itself: as
it is, then without its version pins and addresses, and else it is left out and said to be.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sandbox.detect import Need
from sandbox.errors import ImageError
from sandbox.foundation import PREFIX, WORKDIR
from sandbox.layers import BUILD_DIR, INDEX_CURE, Workbench

__all__ = ["UV", "Resolution", "dated", "resolve"]

UV = f"{BUILD_DIR}/uv"
"""Where uv lies in a container while a layer is made."""

_LATER = timedelta(days=90)
_UPLOADED_AGAIN = ("atomicwrites",)
"""Projects whose old files were deleted and uploaded again: their dates are later than they were."""
_BUILDERS = datetime(2020, 1, 1, tzinfo=UTC)
"""setuptools of then builds what was written for older ones, by the interface that uv uses (PEP 517)."""
_NOT_A_NAME = re.compile(r"git\+|hg\+|svn\+|bzr\+|https?://|file:|^[./]|^-")
# an address of the project's own (a repository, an archive) is another matter
_UNREACHABLE = re.compile(r"(?:Failed to fetch|Request failed)[^\n]*/simple/[^\n]*")
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?)\s*(?:[=<>!~]=?|===)[^;#]*(;[^#]*)?")


@dataclass(frozen=True)
class Resolution:
    """``pins``: ``name==version`` lines, a closed set. ``notes``: what is not as the project asks for.

    ``when``: the date that was resolved for in the end; None: today.
    """

    pins: tuple[str, ...]
    when: datetime | None
    notes: tuple[str, ...] = ()


def dated(when: datetime | None) -> str:
    """uv's options for resolving, and for building, with what there was at ``when``."""
    if when is None:
        return ""
    exempt = {name: datetime(2100, 1, 1, tzinfo=UTC) for name in _UPLOADED_AGAIN}
    exempt |= {name: max(when, _BUILDERS) for name in ("setuptools", "wheel")}
    options = [f"--exclude-newer-package {name}={_stamp(moment)}" for name, moment in exempt.items()]
    return " ".join([f"--exclude-newer {_stamp(when)}", *options])


def _stamp(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def resolve(
    bench: Workbench, needs: Sequence[Need], when: datetime | None, stated: Sequence[str]
) -> Resolution:
    """Resolve ``needs`` in a container that has uv, the interpreter, and the repository at WORKDIR.

    ``stated`` are the project's dependencies as its metadata states them, for where they cannot be had by
    building it. Raises ``ImageError`` where the index cannot be reached, or not even the tools resolve.
    """
    pins, said = _compile(bench, needs, when)
    if pins is not None:
        return Resolution(pins, when)
    notes: list[str] = []
    required = [need for need in needs if need.required]
    kept, when = _required(bench, required, when, stated, said, notes)
    for need in needs:
        if need.required:
            continue
        for tried, note in ((need, ""), (_softened(bench, need), "without its pins and addresses")):
            if not tried.lines or (note and tried == need):
                continue
            pins, said = _compile(bench, [*kept, tried], when)
            if pins is not None:
                kept.append(tried)
                notes += [f"{need.where}: {note}, since {said}"] if note else []
                break
        else:
            notes.append(f"{need.where} is left out: {_reason(said)}")
    pins, said = _compile(bench, kept, when)
    if not pins:
        raise ImageError(
            f"not even the test runner can be resolved; the last lines:\n{said}", cure=INDEX_CURE
        )
    return Resolution(pins, when, tuple(notes))


def _required(
    bench: Workbench,
    needs: Sequence[Need],
    when: datetime | None,
    stated: Sequence[str],
    said: str,
    notes: list[str],
) -> tuple[list[Need], datetime | None]:
    """What of the required needs resolves, and as of when."""
    moments = [(when, "")]
    if when is not None:
        later = when + _LATER
        moments += [(later, f"as of {later:%Y-%m-%d}"), (None, "as of today")]
    replaced = [replace(need, lines=tuple(stated)) if need.lines == (".",) else need for need in needs]
    alone = [need for need in needs if need.lines != (".",)]
    for tried, how in (
        (list(needs), ""),
        (replaced, "the project's dependencies are those that its metadata states, since it cannot be built"),
        (alone, "without the project's dependencies"),
    ):
        for moment, at in moments:
            pins, now = _compile(bench, tried, moment)
            if pins is not None:
                notes += [f"{note} ({_reason(said)})" for note in (how, at) if note]
                return tried, moment
            said = now or said
    return alone[:1], when


def _compile(
    bench: Workbench, needs: Sequence[Need], when: datetime | None
) -> tuple[tuple[str, ...] | None, str]:
    """The pins that satisfy ``needs``, or None and what uv said."""
    lines = [line for need in needs for line in need.lines]
    # a path in a requirements file is relative to the file, and `.` to where uv runs
    bench.put(WORKDIR, {".fixbug-needs.in": "".join(f"{line}\n" for line in lines).encode()})
    command = (
        f"rm -f {BUILD_DIR}/pins; {UV} pip compile -q --no-progress --no-config --no-header --no-annotate "
        f"--python {PREFIX}/bin/python {dated(when)} -o {BUILD_DIR}/pins .fixbug-needs.in"
    )
    code, said = bench.attempt(command, cwd=WORKDIR, timeout=900)
    if code:
        if unreachable := _UNREACHABLE.search(said):
            raise ImageError(
                f"the package index cannot be reached: {unreachable[0]}\n{said}", cure=INDEX_CURE
            )
        return None, said
    _, listed = bench.attempt(f"cat {BUILD_DIR}/pins", lines=20_000)
    pins = [line.strip() for line in listed.splitlines()]
    return tuple(sorted(pin for pin in pins if re.match(r"[A-Za-z0-9][\w.-]*==", pin))), ""


def _softened(bench: Workbench, need: Need) -> Need:
    """Its lines with names alone: what files they refer to is read, one level deep."""
    lines: list[str] = []
    for line in need.lines:
        if line.startswith("-r "):
            _, text = bench.attempt(f"cat -- {shlex.quote(line[3:])}", cwd=WORKDIR, lines=20_000)
            lines += text.splitlines()
        else:
            lines.append(line)
    names = []
    for raw in lines:
        line = raw.partition(" #")[0].strip().rstrip("\\").strip()
        if line.startswith(".["):
            names.append(line)
        elif line and line[0] != "#" and not _NOT_A_NAME.search(line) and " @ " not in line:
            found = _PINNED.match(line)
            names.append(f"{found[1]} {found[2] or ''}".strip() if found else line)
    return replace(need, lines=tuple(names))


def _reason(said: str) -> str:
    """What uv said, in one line."""
    lines = [re.sub(r"^[^\w.]+", "", line) for line in said.strip().splitlines()]
    telling = [line for line in lines if re.search(r"rror|because|Because|not found|No solution", line)]
    return " ".join((telling or lines or ["no message"])[:2])[:240]
