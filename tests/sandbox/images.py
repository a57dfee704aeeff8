"""Removing what the Docker tests made."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from docker.errors import APIError

from sandbox import ready

if TYPE_CHECKING:
    from docker import DockerClient


def remove(client: DockerClient, image: str) -> None:
    """Remove an image, and first what was kept of sandboxes that were opened from it."""
    with contextlib.suppress(APIError):
        identity = client.api.inspect_image(image)["Id"]
        for kept in client.images.list(ready.REPOSITORY):
            if kept.attrs.get("Parent") == identity:
                client.images.remove(str(kept.id), force=True)
        client.images.remove(image, force=True)
