"""The date that a repository's environment is resolved for: its commit's, where that says something."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from sandbox.detect.metadata import Metadata
from sandbox.hostgit import GitMissing, run_git
from sandbox.hostnet import IndexFile, files_on_index

__all__ = ["Moment", "commit_date", "find_moment", "index_has_dates", "probable_version"]

_OLDEST = datetime(2005, 1, 1, tzinfo=UTC)
"""Earlier commits have a made-up date, such as the copy of a plain directory."""
_SAME_DAY = timedelta(days=1)
"""Projects that belong together are released one after the other."""


@dataclass(frozen=True)
class Moment:
    """``when`` is None where nothing tells: then it is today. ``why``: for the reader."""

    when: datetime | None
    why: str


def find_moment(source: Path, metadata: Metadata) -> Moment:
    """The committer's date of HEAD; of a source release that was unpacked and perhaps committed (then
    without a parent) rather the date on which the index was given that release."""
    committed, first = commit_date(source)
    if committed is not None and not first:
        return Moment(committed, "the commit's date")
    # without PKG-INFO, a project of somebody else's may have this name and version
    released = _released(metadata) if metadata.release else None
    if released is not None and (committed is None or released <= committed):
        return Moment(released + _SAME_DAY, f"{metadata.name} {metadata.version} was released then")
    if committed is not None:
        return Moment(committed, "the date of the only commit")
    return Moment(None, "nothing tells the commit's date")


def probable_version(metadata: Metadata, when: datetime | None) -> str:
    """A version for a project that derives it from tags, which a single commit lacks: its own where it is
    written down, else the newest that the index had at ``when``."""
    own = _version(metadata.version)
    if own is not None:
        return str(own)
    if not metadata.name:
        return "1.0"
    versions = [
        version
        for file in files_on_index(str(canonicalize_name(metadata.name)))
        if (version := _file_version(file)) is not None
        and not version.is_prerelease
        and (when is None or not file.uploaded or datetime.fromisoformat(file.uploaded) <= when)
    ]
    return str(max(versions, default=Version("1.0")))


def index_has_dates() -> bool:
    """Whether the package index says when its files were uploaded, which resolving as of a date needs. An
    index that cannot be asked is taken to."""
    files = files_on_index("pip")
    return not files or any(file.uploaded for file in files)


def commit_date(source: Path) -> tuple[datetime | None, bool]:
    """The committer's date of HEAD (None: there is none, or a made-up one), and whether HEAD has no parent.

    Read from the commit itself: a shallow copy hides its parents from ``git log``.
    """
    if not (source / ".git").exists():
        return None, True
    try:
        status, output, _ = run_git(["-c", "safe.directory=*", "cat-file", "commit", "HEAD"], cwd=source)
    except GitMissing:
        return None, True
    header = output.decode("utf-8", "replace").partition("\n\n")[0]
    found = re.search(r"(?m)^committer .* (\d+) [+-]\d{4}$", header)
    if status or not found:
        return None, True
    date = datetime.fromtimestamp(int(found[1]), UTC)
    return date if date > _OLDEST else None, not re.search(r"(?m)^parent ", header)


def _released(metadata: Metadata) -> datetime | None:
    wanted = _version(metadata.version)
    if wanted is None or not metadata.name:
        return None
    dates = [
        datetime.fromisoformat(file.uploaded)
        for file in files_on_index(str(canonicalize_name(metadata.name)))
        if file.uploaded and _file_version(file) == wanted
    ]
    return min(dates, default=None)


def _file_version(file: IndexFile) -> Version | None:
    """``name-1.2.tar.gz``, ``name-1.2-py3-none-any.whl`` → 1.2."""
    if file.name.endswith(".whl"):
        parts = file.name.split("-")
        return _version(parts[1]) if len(parts) >= 5 else None
    found = re.fullmatch(r".*-(\d[^-]*?)\.(?:tar\.(?:gz|bz2|xz)|zip|tgz)", file.name)
    return _version(found[1]) if found else None


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
