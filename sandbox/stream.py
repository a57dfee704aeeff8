"""A command's output while it streams: bounded, head and tail kept."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox import ExecResult

TIMED_OUT = 124
"""The exit status of a command whose time ran out, as timeout(1) gives it."""


class Output:
    """Collects bytes; past ``limit`` it drops from the middle, so memory stays below twice the limit."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._half:
            self._trim()

    def _trim(self) -> None:
        extra = len(self._tail) - self._half
        if extra > 0:
            del self._tail[:extra]
            self.dropped += extra

    def finish(self) -> bytes:
        """Head and tail; where something was dropped, a line between them says how much."""
        self._trim()
        if not self.dropped:
            return bytes(self._head + self._tail)
        note = f"\n[... {self.dropped} bytes of output dropped ...]\n".encode()
        return bytes(self._head + note + self._tail)


@dataclass(frozen=True)
class Raw:
    """What a command did, with its output as bytes."""

    data: bytes
    exit_code: int
    seconds: float
    timed_out: bool = False
    dropped: int = 0

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.timed_out

    def result(self) -> ExecResult:
        return ExecResult(
            output=self.data.decode("utf-8", "replace"),
            exit_code=self.exit_code,
            seconds=self.seconds,
            timed_out=self.timed_out,
            dropped_bytes=self.dropped,
        )
