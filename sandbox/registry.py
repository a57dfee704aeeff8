"""Pulling an image, without waiting twice for a registry that does not answer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sandbox.errors import EngineError
from sandbox.layers import Progress

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["pull"]


def pull(client: DockerClient, image: str, say: Progress) -> str:
    """Pull ``image``; why it could not be, or an empty string."""
    from docker.errors import APIError
    from requests import RequestException

    if host := _silent_registry(image):
        return f"{image} cannot be pulled: {host}"
    say(f"pulling {image}")
    try:
        repository, _, tag = image.rpartition(":")
        if not repository or "/" in tag:
            repository, tag = image, "latest"
        client.images.pull(repository, tag=tag)
    except APIError as error:
        said = str(error.explanation or error).strip()
        _silence(image, said)
        return f"{image} cannot be pulled: {said}"
    except (RequestException, OSError) as error:
        raise EngineError(f"the engine does not answer while pulling {image}: {error}") from error
    return ""


@cache
def _silences() -> dict[str, str]:
    """Registries that could not be reached by this process, and what the engine said."""
    return {}


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def _silent_registry(image: str) -> str:
    return _silences().get(_registry(image), "")


def _silence(image: str, said: str) -> None:
    if any(sign in said for sign in ("no such host", "dial tcp", "timeout", "i/o", "unreachable")):
        _silences()[_registry(image)] = said
