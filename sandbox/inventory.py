"""What images of fixbug's making the engine holds, what uses them, and taking away what nothing does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.errors import EngineError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Layer", "Removed", "age", "list_layers", "prunable", "remove_layers"]

FINAL = frozenset({"instance", "tree", "source", "ready", "dockerfile", "devcontainer"})
"""Kinds that are used as they are; the others are there for what is built on them."""
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DERIVED = frozenset({"ready"})
"""Kept only to open faster: an image is not in use because of one, and takes it along when it goes."""


@dataclass(frozen=True)
class Layer:
    """An image named ``fixbug/KIND:TAG``. ``size``: bytes that it adds to its ``parent`` (a name; empty where
    that is no image of fixbug's). ``on_top``: images built on it. ``containers``: those made from it."""

    name: str
    kind: str
    size: int
    created: datetime
    parent: str = ""
    on_top: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    about: str = ""


def list_layers() -> tuple[Layer, ...]:
    """Every image whose name begins with ``fixbug/``, below what is built on it. Raises ``EngineError``."""
    from docker.errors import DockerException
    from requests import RequestException

    from sandbox.docker import connect

    client = connect()
    try:
        return _listed(client)
    except (DockerException, RequestException) as error:
        raise EngineError(f"the engine does not say what images it has: {error}") from error
    finally:
        client.close()


def prunable(
    layers: Sequence[Layer], *, older_than: timedelta | None = None, everything: bool = False
) -> tuple[Layer, ...]:
    """What can go, topmost first: layers on which nothing is built any more; with ``older_than``, old ones
    as well; with ``everything``, all of them. What a container was made from stays, and what
    that is built on."""
    by_name = {layer.name: layer for layer in layers}
    now = datetime.now(UTC)
    going: set[str] = set()

    def may_go(layer: Layer) -> bool:
        if layer.containers:
            return False
        above = [by_name[name] for name in layer.on_top if name in by_name and name not in going]
        if any(one.kind not in _DERIVED or one.containers for one in above):
            return False
        aged = older_than is not None and now - layer.created >= older_than
        return everything or aged or layer.kind not in FINAL

    while True:
        found = {layer.name for layer in layers if layer.name not in going and may_go(layer)}
        if not found:
            break
        going |= found
    for layer in layers:  # what is derived from what goes
        if layer.kind in _DERIVED and layer.parent in going:
            going.add(layer.name)
    return tuple(sorted((by_name[name] for name in going), key=lambda one: -_depth(one, by_name)))


@dataclass(frozen=True)
class Removed:
    """Layers that are gone, and those that the engine keeps, with its reason."""

    gone: tuple[Layer, ...]
    kept: tuple[tuple[Layer, str], ...]

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(one.size for one in self.gone)

    def to_json(self) -> dict[str, Any]:
        return {
            "removed": [one.name for one in self.gone],
            "kept": [{"image": one.name, "reason": reason} for one, reason in self.kept],
            "freed_bytes": self.freed,
        }


def age(text: str | None) -> timedelta | None:
    """``30d``, ``12h``, ``2w``, ``90m`` as a time. Raises ``UsageError`` for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)\s*([mhdw])", text.strip())
    if not found:
        raise UsageError(f"expected a number and a unit (30d, 12h, 2w, 90m), got {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def remove_layers(layers: Iterable[Layer]) -> Removed:
    """Remove them in this order. An image that came into use since it was listed stays.

    Raises ``EngineError``.
    """
    from docker.errors import APIError, ImageNotFound
    from requests import RequestException

    from sandbox.docker import connect

    gone: list[Layer] = []
    kept: list[tuple[Layer, str]] = []
    client = connect(timeout=600)
    try:
        for layer in layers:
            above = {one.name for one, _ in kept} & set(layer.on_top)
            if above:  # the engine would only take its name away
                kept.append((layer, f"{min(above)} is built on it"))
                continue
            try:
                client.images.remove(layer.name)
            except ImageNotFound:
                continue
            except APIError as error:
                kept.append((layer, str(error.explanation or error)))
            else:
                gone.append(layer)
    except RequestException as error:
        raise EngineError(f"the engine went away while images were removed: {error}") from error
    finally:
        client.close()
    return Removed(tuple(gone), tuple(kept))


def _depth(layer: Layer, by_name: dict[str, Layer]) -> int:
    depth = 0
    while layer.parent in by_name:
        layer, depth = by_name[layer.parent], depth + 1
    return depth


def _listed(client: DockerClient) -> tuple[Layer, ...]:
    api: Any = client.api
    tags: dict[str, list[str]] = {}
    details: dict[str, dict[str, Any]] = {}
    for summary in api.images():
        ours = [tag for tag in summary.get("RepoTags") or [] if tag.startswith("fixbug/")]
        if ours:
            tags[summary["Id"]] = ours
            details[summary["Id"]] = api.inspect_image(summary["Id"])
    users: dict[str, list[str]] = {}
    for container in api.containers(all=True):
        users.setdefault(container["ImageID"], []).append(container["Names"][0].lstrip("/"))
    parents = {one: _parent(api, one, details, tags) for one in tags}
    layers = []
    for one, names in tags.items():
        above = [name for other, parent in parents.items() if parent == one for name in tags[other]]
        layers += [
            _layer(details[one], name, _size(api, details[one]), tags.get(parents[one], [""])[0], above,
                   users.get(one, []))
            for name in names
        ]  # fmt: skip
    by_name = {layer.name: layer for layer in layers}
    return tuple(sorted(layers, key=lambda one: (_depth(one, by_name), one.name)))


def _parent(api: Any, image: str, details: dict[str, dict[str, Any]], tags: Collection[str]) -> str:
    """The nearest image below that has a name of ours; an image in between may have lost its own."""
    from docker.errors import ImageNotFound

    below = details[image].get("Parent", "")
    while below and below not in tags:
        try:
            below = api.inspect_image(below).get("Parent", "")
        except ImageNotFound:
            return ""
    return str(below)


def _size(api: Any, details: dict[str, Any]) -> int:
    """Bytes on top of whatever image it was made from, named or not."""
    from docker.errors import ImageNotFound

    below = details.get("Parent", "")
    try:
        return max(int(details["Size"]) - (int(api.inspect_image(below)["Size"]) if below else 0), 0)
    except ImageNotFound:
        return int(details["Size"])


def _layer(
    details: dict[str, Any], name: str, size: int, parent: str, above: list[str], containers: list[str]
) -> Layer:
    labels = details["Config"].get("Labels") or {}
    kind = name.removeprefix("fixbug/").partition(":")[0]
    about = {
        "source": labels.get("fixbug.repository", ""),
        "tree": labels.get("fixbug.repository", "") or labels.get("fixbug.tests", ""),
    }.get(kind, "")
    created = datetime.fromisoformat(details["Created"].split(".")[0].rstrip("Z") + "+00:00")
    return Layer(name, kind, size, created, parent, tuple(sorted(above)), tuple(sorted(containers)), about)
