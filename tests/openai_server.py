"""A real HTTP server on loopback that speaks OpenAI's protocols (chat and completions) from a script.

::

    with serve([status(429, headers={"Retry-After": "1"}), text("hello")]) as server:
        ... base_url=server.base_url ...
    server.requests  # the JSON bodies, in order

A script is replies in order, or a function of the request's JSON (one that plays a whole session, say).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


@dataclass(frozen=True)
class Reply:
    """What to send. ``hang``: seconds of silence first; ``until``: silence until it is set; ``cut``: the
    connection breaks in mid-body."""

    status: int = 200
    body: Any = None
    """Text and bytes go out as they are, anything else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: float = 0.0
    until: threading.Event | None = None
    cut: bool = False


Script = Iterable[Reply] | Callable[[dict[str, Any]], Reply]


def completion(
    content: Any,
    tool_calls: Sequence[Mapping[str, Any]] = (),
    *,
    finish_reason: str = "stop",
    usage: Mapping[str, Any] | None = USAGE,
    **message: Any,
) -> Reply:
    """A chat completion. ``usage`` None leaves it out; ``message`` holds further fields of the message."""
    said: dict[str, Any] = {"role": "assistant", "content": content, **message}
    if tool_calls:
        said["tool_calls"] = list(tool_calls)
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": said, "finish_reason": finish_reason}],
    }
    if usage is not None:
        body["usage"] = dict(usage)
    return Reply(body=body)


def continuation(
    written: str, *, finish_reason: str = "stop", usage: Mapping[str, Any] | None = USAGE
) -> Reply:
    """What ``/completions`` answers: the text that follows a prompt."""
    choice = {"index": 0, "text": written, "finish_reason": finish_reason, "logprobs": None}
    body: dict[str, Any] = {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": "scripted"}
    body["choices"] = [choice]
    if usage is not None:
        body["usage"] = dict(usage)
    return Reply(body=body)


def text(content: str, **options: Any) -> Reply:
    return completion(content, **options)


def call(name: str, arguments: Any, id: str = "call_a") -> dict[str, Any]:
    """One tool call; ``arguments`` as an object, or as raw text (malformed JSON, say)."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": raw}}


def tools(*calls: Mapping[str, Any], content: str | None = None, **options: Any) -> Reply:
    return completion(content, calls, **{"finish_reason": "tool_calls", **options})


def status(http: int, message: str = "", *, headers: Mapping[str, str] | None = None, **error: Any) -> Reply:
    """An error in OpenAI's shape; ``error`` holds further fields (``code``, ``param``, ``type``)."""
    return Reply(http, {"error": {"message": message or f"status {http}", **error}}, headers or {})


def context_length_exceeded() -> Reply:
    return status(
        400,
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens.",
        code="context_length_exceeded",
        type="invalid_request_error",
        param="messages",
    )


def hang(seconds: float = 60.0) -> Reply:
    """Silence; it ends early when the server closes."""
    return replace(text("too late"), hang=seconds)


def cut() -> Reply:
    return replace(text("never whole"), cut=True)


class OpenAIServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._script = script if callable(script) else None
        self._replies = iter(()) if callable(script) else iter(script)
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, names in lower case."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reply(self, request: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            if self._script is not None:
                return self._script(request)
            return next(self._replies, status(400, "the script has no further reply"))


class _Handler(BaseHTTPRequestHandler):
    server: OpenAIServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(Reply(body={"object": "list", "data": [{"id": "scripted", "object": "model"}]}))
        else:
            self._send(status(404, "no such path"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path not in ("/v1/chat/completions", "/v1/completions"):
            self._send(Reply(404, "no such path", {"Content-Type": "text/plain"}))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.server.reply(json.loads(raw), headers))

    def _send(self, reply: Reply) -> None:
        if reply.hang:
            self.server.closing.wait(reply.hang)
        while reply.until and not reply.until.wait(0.05) and not self.server.closing.is_set():
            pass
        body = reply.body
        if not isinstance(body, bytes):
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        try:
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if reply.cut else body)
        except OSError:  # the client went away first: that is what a time-out test does
            self.close_connection = True
        if reply.cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@contextmanager
def serve(script: Script) -> Iterator[OpenAIServer]:
    """The server, listening on a free port of loopback until the block ends."""
    server = OpenAIServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
