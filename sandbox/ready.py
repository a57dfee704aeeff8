"""Images whose repository is already scrubbed and noted, so that the next sandbox of one opens at once.

Scrubbing a history and noting a work tree take a second or two, and always give the same for the same
image. After the first time the container is kept as an image of its own (``fixbug/ready:K``); the next start
only shows that the repository is still what it was left as.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sandbox.hardening import Execute
from sandbox.worktree import RECIPE

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["REPOSITORY", "Ready", "find", "keep", "name_of", "untouched"]

REPOSITORY = "fixbug/ready"
LABEL = "fixbug.ready"

# Names and sizes of all that git holds (a pack's name tells its content), and what its small files say.
# The index is left out: git may refresh it.
_MANIFEST = r"""
set -euo pipefail
cd "$W/.git"
{ find . ! -name index -printf '%P %y %s\n' | LC_ALL=C sort; cat HEAD config; cat packed-refs 2>/dev/null ||:
  find refs -type f -exec cat {} +; } | sha256sum
"""


@dataclass(frozen=True)
class Ready:
    """What was found the first time: the base commit, the tree that a diff is against, and git's manifest."""

    base: str
    tree: str
    manifest: str


def name_of(image_id: str, workdir: str, base: str | None) -> str:
    """The image's name: a digest of all that its content follows from."""
    scrub = files("sandbox").joinpath("scrub.sh").read_text()
    content = "\0".join([image_id, workdir, base or "", scrub, RECIPE, _MANIFEST])
    return f"{REPOSITORY}:{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def find(client: DockerClient, name: str) -> Ready | None:
    """What is kept under ``name``, if anything is."""
    from docker.errors import ImageNotFound

    try:
        api: Any = client.api
        labels = api.inspect_image(name)["Config"]["Labels"]
        return Ready(**json.loads(labels[LABEL]))
    except (ImageNotFound, KeyError, TypeError, ValueError):
        return None


def keep(
    client: DockerClient, container: str, name: str, execute: Execute, workdir: str, base: str, tree: str
) -> None:
    """Keep a container that has just been scrubbed. Where that fails the next start scrubs again."""
    from docker.errors import APIError
    from requests import RequestException

    manifest = _manifest(execute, workdir)
    if not manifest:
        return
    found = json.dumps(json.dumps(asdict(Ready(base, tree, manifest))))
    # The container's own labels would make every container of this image look like a sandbox to be swept.
    changes = [f"LABEL {LABEL}={found}", 'LABEL fixbug="" fixbug.host="" fixbug.pid=""']
    repository, tag = name.split(":")
    with contextlib.suppress(APIError, RequestException):
        client.api.commit(container, repository=repository, tag=tag, changes="\n".join(changes))


def untouched(execute: Execute, workdir: str, ready: Ready) -> bool:
    """Whether the repository is as it was left; False where that cannot be told."""
    return _manifest(execute, workdir) == ready.manifest


def _manifest(execute: Execute, workdir: str) -> str:
    ran = execute(_MANIFEST, timeout=120, env={"W": workdir})
    words = ran.data.decode("utf-8", "replace").split()
    return words[0] if ran.ok and words else ""
