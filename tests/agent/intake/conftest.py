"""Real repositories and a real server on loopback."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Git = Callable[..., str]
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token and no git configuration of the machine's."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GH_HOST", "GITHUB_API_URL", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


@pytest.fixture
def git() -> Git:
    def run(where: Path, *arguments: str) -> str:
        who = [
            "-c",
            "user.name=A Tester",
            "-c",
            "user.email=tester@example.invalid",
            "-c",
            "protocol.file.allow=always",
        ]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=where, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """Two commits on main, a tag on the first, a branch `topic`."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "price.py").write_text("PRICE = 1\n")
    (root / "tests" / "test_price.py").write_text("def test_price(): pass\n")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    git(root, "tag", "-a", "v1.0", "-m", "one")
    git(root, "branch", "topic")
    (root / "price.py").write_text("PRICE = 2\n")
    git(root, "commit", "--quiet", "-am", "second: a secret of the future")
    return root


class Server:
    """Answers of a path (with its query) are functions of the request's headers."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[dict[str, str]], Answer]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.git_root: Path | None = None
        self.git_password = ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                headers = {key.lower(): value for key, value in self.headers.items()}
                server.seen.append((self.path, headers))
                answer = server.answers.get(self.path)
                if answer:
                    status, more, body = answer(headers)
                elif server.git_root:
                    status, more, body = self._git(headers)
                else:
                    status, more, body = 404, {}, b'{"message": "Not Found"}'
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **more}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def _git(self, headers: dict[str, str]) -> Answer:
                if server.git_password and headers.get("authorization") != server.git_password:
                    return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
                path, _, query = self.path.partition("?")
                done = subprocess.run(
                    ["git", "http-backend"],
                    input=self.rfile.read(int(headers.get("content-length", 0))),
                    capture_output=True,
                    check=False,
                    env={
                        "PATH": os.environ["PATH"],
                        "GIT_PROJECT_ROOT": str(server.git_root),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "REQUEST_METHOD": self.command,
                        "PATH_INFO": path,
                        "QUERY_STRING": query,
                        "CONTENT_TYPE": headers.get("content-type", ""),
                        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
                        "GIT_PROTOCOL": headers.get("git-protocol", ""),
                    },
                )
                head, _, body = done.stdout.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
                return int(fields.pop("Status", "200").split()[0]), fields, body

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()
