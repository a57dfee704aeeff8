"""An image for any repository at any commit: one that is here, one that a registry has, or one built here.

Built images are layers, each named by a digest of what went into it, so that later ones share them::

    fixbug/base:K       Debian with git, patch, a compiler and a UTF-8 locale
    fixbug/system:K     + Debian packages, where some are asked for
    fixbug/python:K     + an interpreter at PREFIX, and a stand-in for conda's activate
    fixbug/env:K        + the pinned packages
    fixbug/instance:K   + a SWE-bench row's repository at /testbed, installed       (rows.py)
    fixbug/tree:K       + a plain repository's installation, without its files      (tree.py)
    fixbug/source:K     + its files and its commit at /testbed

See docs/images.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.declared import FILE, Declared, read_declared
from sandbox.dockerfiles import build_dockerfile, devcontainer_image
from sandbox.errors import ImageError
from sandbox.layers import Progress, Workbench, build_layer, digest, present, sweep_builds
from sandbox.registry import pull
from sandbox.rows import build_row, can_be_built, row_image
from sandbox.tree import PLAIN_USER, USER, plan_tree, tar_of, tree_layer

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

__all__ = ["Built", "describe", "image_for_row", "image_for_tree", "image_with_source"]


@dataclass(frozen=True)
class Built:
    """What an image holds, as its labels say. ``notes``: what is not as the project asks for."""

    image: str
    python: str = ""
    as_of: str = ""
    test: str = ""
    tests: str = ""
    installed: str = ""
    notes: tuple[str, ...] = ()
    layers: tuple[str, ...] = field(default=())
    """From the image down to its base."""


def image_for_row(row: Mapping[str, Any], *, on_progress: Progress | None = None) -> str:
    """The name of an image that holds a SWE-bench row's repository at /testbed, ready for its eval script.

    In this order: the row's own ``image`` where the engine has it; one that was built from this row
    before; the row's own, pulled; one built from the row's ``environment`` and ``environment_yml``.
    Raises ``ImageError`` (with the failed step), ``EngineError``, or ``UsageError`` for a row without
    the columns that this needs.
    """
    say = on_progress or _quiet
    with closing(_engine()) as client:
        official = str(row.get("image") or "")
        if official and present(client, official):
            return official
        built = row_image(row) if can_be_built(row) else ""
        if built and present(client, built):
            return built
        problem = pull(client, official, say) if official else "the row names no image"
        if not problem:
            return official
        if not built:
            raise ImageError(
                f"no image for {row.get('instance_id', 'this row')}: {problem}; and it cannot be built, "
                "since the row lacks environment and environment_yml",
                cure="reach a registry, or add the two columns (docs/images.md says what they hold)",
            )
        say(f"{row['instance_id']}: building locally ({problem})")
        return build_row(client, row, say)


def image_for_tree(
    source: Path, *, declared: Declared | None = None, on_progress: Progress | None = None
) -> str:
    """The name of an image in which the tests of the repository at ``source`` run, without its files.

    What its ``.fixbug.toml`` says (or ``declared``) holds; the rest is detected. The image is named by the
    content of the metadata and the commit's day, so the second call only looks. Raises ``UsageError`` for a
    ``.fixbug.toml`` that cannot be followed, ``ImageError`` and ``EngineError``.
    """
    say = on_progress or _quiet
    wanted = declared or read_declared(source)
    with closing(_engine()) as client:
        if wanted.image:
            problem = "" if present(client, wanted.image) else pull(client, wanted.image, say)
            if problem:
                raise ImageError(
                    f"{FILE} names an image: {problem}", cure="pull or build it, or take the key out"
                )
            return wanted.image
        if wanted.dockerfile:
            return build_dockerfile(client, source, wanted.dockerfile, say)
        if wanted.devcontainer:
            return devcontainer_image(client, source, say)
        return tree_layer(client, plan_tree(source, wanted), say)


def image_with_source(
    source: Path, name: str, *, declared: Declared | None = None, on_progress: Progress | None = None
) -> str:
    """The same with the repository's files and its commit at /testbed: an image that stands alone.

    ``name`` is for people: it is part of the image's tag. Raises as ``image_for_tree`` does.
    """
    say = on_progress or _quiet
    parent = image_for_tree(source, declared=declared, on_progress=say)
    archive = tar_of(source)
    readable = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip(".-") or "repository"

    def steps(bench: Workbench) -> None:
        bench.script("make room", "rm -rf /testbed/.git && mkdir -p /testbed", quiet=True)
        bench.unpack(archive)
        bench.script("give them to the user", PLAIN_USER, quiet=True)

    with closing(_engine()) as client:
        key = digest(client.images.get(parent).id, _commit(source))
        return build_layer(
            client,
            f"fixbug/source:{readable[:80]}-{key}",
            parent,
            steps,
            changes=["WORKDIR /testbed", f"USER {USER}"],
            labels={"fixbug.layer": "source", "fixbug.repository": name},
            on_progress=say,
        )


def describe(image: str) -> Built:
    """What the labels of ``image`` say. Raises ``ImageError`` where the engine has no such image."""
    from docker.errors import ImageNotFound

    with closing(_engine()) as client:
        layers: list[str] = []
        try:
            found: Image | None = client.images.get(image)
        except ImageNotFound as error:
            raise ImageError(
                f"the engine has no image {image}", cure="fixbug env list shows what there is"
            ) from error
        assert found is not None
        labels = found.labels
        while found is not None:
            layers += [tag for tag in found.tags if tag.startswith("fixbug/")][:1]
            parent = found.attrs.get("Parent")
            found = client.images.get(parent) if parent and present(client, parent) else None
    notes = labels.get("fixbug.notes", "").split(" | ")
    missing = labels.get("fixbug.missing", "")
    return Built(
        image=image,
        python=labels.get("fixbug.python", ""),
        as_of=labels.get("fixbug.as-of", ""),
        test=labels.get("fixbug.test", ""),
        tests=labels.get("fixbug.tests", ""),
        installed=labels.get("fixbug.installed", ""),
        notes=tuple(note for note in (*notes, missing and f"not on the index: {missing}") if note),
        layers=tuple(layers),
    )


def _quiet(_: str) -> None:
    return None


def _engine() -> DockerClient:
    from sandbox.docker import connect

    client = connect(timeout=600)
    sweep_builds(client)
    return client


def _commit(source: Path) -> str:
    """The commit's id; without one, a digest of the files."""
    from sandbox.hostgit import run_git

    if (source / ".git").exists():
        status, output, _ = run_git(["-c", "safe.directory=*", "rev-parse", "HEAD"], cwd=source)
        clean, changed, _ = run_git(
            ["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "status", "--porcelain"], cwd=source
        )
        if not status and not clean and not changed.strip():
            return output.decode().strip()
    files = sorted(path for path in source.rglob("*") if path.is_file() and ".git" not in path.parts)
    return digest([(path.relative_to(source).as_posix(), path.read_bytes().hex()) for path in files])
