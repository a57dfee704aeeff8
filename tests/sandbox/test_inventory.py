"""What images there are, what uses them, and which go when nothing does."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import UsageError
from sandbox.inventory import Layer, age, list_layers, prunable, remove_layers
from sandbox.layers import Workbench, build_layer, digest, present, sweep_builds

if TYPE_CHECKING:
    from docker import DockerClient

NOW = datetime.now(UTC)


def layer(name: str, parent: str = "", *, days: float = 0, containers: tuple[str, ...] = ()) -> Layer:
    return Layer(name, name.partition(":")[0], 1, NOW - timedelta(days=days), parent, (), containers)


def forest(*layers: Layer) -> tuple[Layer, ...]:
    """With ``on_top`` filled in."""
    return tuple(
        Layer(
            one.name, one.kind, one.size, one.created, one.parent,
            tuple(other.name for other in layers if other.parent == one.name), one.containers,
        )
        for one in layers
    )  # fmt: skip


LAYERS = forest(
    layer("base:1", days=90),
    layer("python:1", "base:1", days=90),
    layer("python:2", "base:1", days=90),
    layer("env:1", "python:1", days=90),
    layer("env:2", "python:1", days=90),
    layer("instance:old", "env:1", days=60),
    layer("ready:old", "instance:old", days=1),
    layer("instance:new", "env:1", days=1),
)


def names(layers: tuple[Layer, ...]) -> list[str]:
    return [one.name for one in layers]


def test_only_layers_that_nothing_is_built_on_go_by_themselves() -> None:
    """Catches an image that is in use, or a layer below one, removed without being asked for."""
    assert sorted(names(prunable(LAYERS))) == ["env:2", "python:2"]


def test_old_images_go_with_what_was_derived_from_them() -> None:
    """Catches an old image that stays because of a copy kept to open it faster, and a young one that goes."""
    found = names(prunable(LAYERS, older_than=timedelta(days=30)))
    assert set(found) == {"env:2", "python:2", "instance:old", "ready:old"}
    assert found.index("ready:old") < found.index("instance:old")


def test_everything_goes_from_the_top() -> None:
    """Catches an order in which the engine refuses: an image before those that are built on it."""
    found = names(prunable(LAYERS, everything=True))
    assert sorted(found) == sorted(names(LAYERS))
    parents = {one.name: one.parent for one in LAYERS}
    assert all(found.index(name) < found.index(parents[name]) for name in found if parents[name])


def test_what_a_container_uses_stays() -> None:
    """Catches the image of a running sandbox, or a layer below it, offered for removal."""
    used = forest(
        layer("base:1"), layer("tree:1", "base:1", days=90, containers=("busy",)), layer("tree:2", "base:1")
    )
    assert names(prunable(used, everything=True)) == ["tree:2"]


def test_ages_are_read() -> None:
    """Catches 30d read as something else, and a number without a unit taken for days."""
    assert age("30d") == timedelta(days=30)
    assert age("12h") == timedelta(hours=12)
    assert age(None) is None
    with pytest.raises(UsageError, match="30d"):
        age("30")


@pytest.mark.docker
def test_layers_are_listed_and_removed(docker_client: DockerClient, docker_image: str) -> None:
    """Catches a parent that is not recognised, a size that counts what lies below, a layer said to be removed
    that something in use is built on, and a removal that leaves the image."""
    key = digest("inventory", os.getpid())
    below, above = f"fixbug/env:{key}", f"fixbug/tree:{key}"

    def steps(bench: Workbench) -> dict[str, str]:
        bench.script("fill", "head -c 200000 /dev/urandom >/filled")
        return {"fixbug.tests": 'finds "3" tests at $5'}

    try:
        build_layer(docker_client, below, docker_image, steps, on_progress=lambda text: None)
        build_layer(docker_client, above, below, lambda bench: None, on_progress=lambda text: None)
        listed = {one.name: one for one in list_layers()}
        assert listed[above].parent == below
        assert listed[below].on_top == (above,)
        assert 200_000 <= listed[below].size < 1_000_000
        assert listed[above].about == 'finds "3" tests at $5'
        user = docker_client.containers.create(above)
        removed = remove_layers([listed[above], listed[below]])
        assert [one.name for one, _ in removed.kept] == [above, below]
        user.remove(force=True)
        removed = remove_layers([listed[above], listed[below]])
        assert removed.freed >= 200_000
        assert not present(docker_client, above)
        assert not present(docker_client, below)
    finally:
        for name in (above, below):
            with contextlib.suppress(Exception):
                docker_client.images.remove(name, force=True)


@pytest.mark.docker
def test_the_container_of_a_killed_build_is_swept_and_others_are_not(
    docker_client: DockerClient, docker_image: str
) -> None:
    """Catches the container of a killed build staying for ever; one of a live build that is taken away; and
    an image whose containers all look like leftovers, since it kept the labels of the build."""
    from sandbox.owner import this_process

    key = digest("sweep", os.getpid())
    mine = {"fixbug": "1", **this_process().labels()}
    dead = docker_client.containers.create(
        docker_image, name=f"fixbug-build-dead-{key}", labels={**mine, "fixbug.started": "0"}
    )
    live = docker_client.containers.create(docker_image, name=f"fixbug-build-live-{key}", labels=mine)
    name = f"fixbug-test-layer:{key}"
    try:
        build_layer(docker_client, name, docker_image, lambda bench: None, on_progress=lambda text: None)
        labels = docker_client.images.get(name).labels
        assert not any(value for label, value in labels.items() if label in mine)
        sweep_builds(docker_client)  # another process's start may have done it already
        for _ in range(300):
            left = {found["Id"] for found in docker_client.api.containers(all=True)}
            if dead.id not in left:
                break
            time.sleep(0.1)
        assert live.id in left
        assert dead.id not in left
    finally:
        for container in (dead, live):
            with contextlib.suppress(Exception):
                container.remove(force=True)
        with contextlib.suppress(Exception):
            docker_client.images.remove(name, force=True)
