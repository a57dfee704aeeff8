"""One client, with its connections, for all who talk to the same endpoint with the same key.

A client of one's own for each attempt of a batch costs more processor time than everything else in it (a
context for TLS), and sockets that stay open.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["borrow", "give_back"]

_lock = threading.RLock()  # give_back may be called by the garbage collector, anywhere
_borrowed: dict[tuple[str, str], tuple[OpenAI, int]] = {}
"""(base URL, key) → the client, and how many use it."""


def borrow(base_url: str, key: str) -> OpenAI:
    """The client for this endpoint. ``give_back`` it once; the last one closes it."""
    import openai

    with _lock:
        client, users = _borrowed.get((base_url, key), (None, 0))
        if client is None:
            client = openai.OpenAI(api_key=key, base_url=base_url, max_retries=0)
        _borrowed[base_url, key] = (client, users + 1)
        return client


def give_back(base_url: str, key: str) -> None:
    with _lock:
        client, users = _borrowed.pop((base_url, key))
        if users > 1:
            _borrowed[base_url, key] = (client, users - 1)
        else:
            client.close()
