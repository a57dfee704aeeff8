"""The date that packages are resolved for, and what the package index says of dates."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.asof import find_moment, index_has_dates, probable_version
from sandbox.detect.metadata import Metadata
from sandbox.hostnet import files_on_index, step_environment
from sandbox.resolve import dated

FILES = [
    {"filename": "thing-1.0.tar.gz", "url": "../../files/thing-1.0.tar.gz", "hashes": {"sha256": "aa"},
     "upload-time": "2015-03-01T12:00:00.5Z"},
    {"filename": "thing-2.0-py3-none-any.whl", "url": "https://files.example.org/thing-2.0-py3-none-any.whl",
     "hashes": {}, "upload-time": "2018-03-01T12:00:00Z"},
    {"filename": "thing-3.0rc1.tar.gz", "url": "x", "hashes": {}, "upload-time": "2018-06-01T12:00:00Z"},
]  # fmt: skip


class Index(BaseHTTPRequestHandler):
    """A package index that speaks JSON (PEP 691) to those who ask for it with the right password."""

    dates = True

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Basic dXNlcjpzZWNyZXQ="
        wanted = self.headers.get("Accept") == "application/vnd.pypi.simple.v1+json"
        found = self.path in ("/simple/thing/", "/simple/pip/")
        self.send_response(200 if allowed and wanted and found else 404)
        self.end_headers()
        if found:
            files = FILES if self.dates else [{**file, "upload-time": None} for file in FILES]
            self.wfile.write(json.dumps({"files": files}).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address, which is the user's index for the time of a test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    for name in list(os.environ):
        if name.startswith("PIP_") and name != "PIP_CERT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@{address}/simple")
    yield address
    server.shutdown()
    server.server_close()


def commit(place: Path, date: str, count: int = 1) -> None:
    subprocess.run(["git", "init", "-q", place], check=True)
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for _ in range(count):
        command = ["git", "-C", str(place), *who, "commit", "-q", "--allow-empty", "-m", "x"]
        subprocess.run(command, check=True, env={**os.environ, **dates})


def test_the_index_is_asked_as_pip_asks_it(index: str) -> None:
    """Catches a private index that is passed over, its password that is not sent, and relative addresses."""
    files = files_on_index("thing")
    assert [file.name for file in files] == [str(file["filename"]) for file in FILES]
    assert files[0].url == f"http://user:secret@{index}/files/thing-1.0.tar.gz"
    assert files_on_index("other") == []
    assert step_environment()["UV_DEFAULT_INDEX"] == f"http://user:secret@{index}/simple"


def test_a_commits_date_is_the_date(tmp_path: Path, index: str) -> None:
    """Catches today's packages for an old commit, shallow copies included (where git hides the parents)."""
    origin, copy = tmp_path / "origin", tmp_path / "copy"
    commit(origin, "2016-05-04T03:02:01+02:00", count=2)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{origin}", copy], check=True)
    wanted = datetime(2016, 5, 4, 1, 2, 1, tzinfo=UTC)
    for place in (origin, copy):
        assert find_moment(place, Metadata(name="thing", version="1.0")).when == wanted


def test_an_unpacked_release_has_the_releases_date(tmp_path: Path, index: str) -> None:
    """Catches an old release, unpacked and committed today, that is given today's packages."""
    commit(tmp_path, "2024-05-04T03:02:01+02:00")
    found = find_moment(tmp_path, Metadata(name="Thing", version="1.0", release=True))
    assert found.when is not None
    assert found.when.year == 2015
    for other in (
        Metadata(name="thing", version="9.9", release=True),
        Metadata(name="thing", version="1.0"),  # no release: another project of the same name
    ):
        unknown = find_moment(tmp_path, other)
        assert unknown.when is not None
        assert unknown.when.year == 2024


def test_a_plain_directory_has_no_date_of_its_own(tmp_path: Path, index: str) -> None:
    """Catches a made-up date (a plain directory is copied as a commit of 2000) taken for a real one."""
    commit(tmp_path / "copied", "2000-01-01T00:00:00Z")
    (tmp_path / "plain").mkdir()
    for place in (tmp_path / "copied", tmp_path / "plain"):
        assert find_moment(place, Metadata()).when is None
        found = find_moment(place, Metadata(name="thing", version="1.0", release=True))
        assert found.when is not None
        assert found.when.year == 2015


def test_a_version_is_made_up_from_what_the_index_had(index: str) -> None:
    """Catches a project that takes its version from tags installed as 0.0.1, which its plugins refuse."""
    thing = Metadata(name="thing")
    assert probable_version(thing, datetime(2016, 1, 1, tzinfo=UTC)) == "1.0"
    assert probable_version(thing, None) == "2.0"
    assert probable_version(Metadata(name="thing", version="1.5"), None) == "1.5"
    assert probable_version(Metadata(name="thing", version="attr: thing.__version__"), None) == "2.0"


def test_an_index_without_dates_is_noticed(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a resolver that finds nothing at all, since no file says when it was uploaded."""
    assert index_has_dates()
    monkeypatch.setattr(Index, "dates", False)
    assert not index_has_dates()


def test_build_tools_are_never_older_than_their_interface() -> None:
    """Catches setuptools of 2015, which the resolver's way of building a project does not work with."""
    options = dated(datetime(2015, 1, 1, tzinfo=UTC))
    assert "--exclude-newer 2015-01-01T00:00:00Z" in options
    assert "setuptools=2020-01-01T00:00:00Z" in options
    assert "setuptools=2022-01-01T00:00:00Z" in dated(datetime(2022, 1, 1, tzinfo=UTC))
    assert dated(None) == ""
