"""Fixtures for the whole suite: a Docker image to test in, and the real data, where they are."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from sandbox.engine import connect
from sandbox.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "fixbug-test"
IMAGE_LABEL = "org.fixbug.test-image"
PYTEST_PARTS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""pytest and what it needs on Python ≥ 3.11, all pure Python: copied, so no network is needed."""


def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: one more than there are processors, since many tests wait for processes."""
    return max(2, min(8, (os.cpu_count() or 1) + 1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker"):
        problem = engine_problem()
        if problem:
            without_docker(problem)


@functools.cache
def engine_problem() -> str:
    """Why no Docker engine can be used, or an empty string."""
    from docker.errors import DockerException

    try:
        client = connect(timeout=10)  # leaves no socket behind where it fails
    except EngineError as error:
        return str(error)
    try:
        client.ping()
    except (DockerException, OSError) as error:
        return f"the Docker engine does not answer: {error}"
    finally:
        client.close()
    return ""


def without_docker(reason: str) -> NoReturn:
    """Skip the test that needs Docker; fail it where Docker has to be there (``.ci/run``)."""
    if os.environ.get("FIXBUG_REQUIRE_DOCKER") == "1":
        pytest.fail(f"FIXBUG_REQUIRE_DOCKER=1, and {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[DockerClient]:
    """A client of the engine; closed at the end."""
    problem = engine_problem()
    if problem:
        without_docker(problem)
    import docker

    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def docker_image(docker_client: DockerClient) -> str:
    """A local image with bash, git, patch, procps, ``python`` and pytest.

    It is made once from the local image that ``FIXBUG_TEST_BASE`` names (default
    ``fixbug-test-base:latest``; ``.ci/base-image`` makes that one), without a registry.
    """
    from docker.errors import ImageNotFound

    base = os.environ.get("FIXBUG_TEST_BASE", "fixbug-test-base:latest")
    try:
        base_id = docker_client.images.get(base).id
    except ImageNotFound:
        without_docker(
            f"there is no local image {base}: run .ci/base-image, or name another in FIXBUG_TEST_BASE"
        )
    versions = [f"{part} {importlib.metadata.version(part)}" for part in PYTEST_PARTS]
    recipe = inspect.getsource(_build) + inspect.getsource(_pytest_archive)
    content = "\n".join([str(base_id), *versions, recipe])
    tag = hashlib.sha256(content.encode()).hexdigest()[:12]
    name = f"{IMAGE}:{tag}"
    try:
        docker_client.images.get(name)
    except ImageNotFound:
        _build(docker_client, base, tag)
    return name


def _build(client: DockerClient, base: str, tag: str) -> None:
    """Add pytest and the name ``python`` to the base image, and commit it as ``fixbug-test:<tag>``."""
    container = client.containers.create(
        base, ["sleep", "600"], init=True, network_mode="none", labels={IMAGE_LABEL: tag}
    )
    try:
        container.start()
        site = "import site; print(site.getsitepackages()[-1])"
        found = container.exec_run(["python3", "-c", site])
        where = found.output.decode().strip()
        assert found.exit_code == 0, where
        container.exec_run(["mkdir", "-p", where])
        container.put_archive(where, _pytest_archive())
        finish = (
            "ln -sf $(command -v python3) /usr/local/bin/python && python -m compileall -q . "
            "&& python -m pytest --version && git --version && patch --version"
        )
        done = container.exec_run(["bash", "-c", finish], workdir=where)
        assert done.exit_code == 0, f"{base} lacks something that the tests need:\n{done.output.decode()}"
        container.commit(repository=IMAGE, tag=tag, changes=f"LABEL {IMAGE_LABEL}={tag}")
    finally:
        container.remove(force=True)


def _pytest_archive() -> bytes:
    """A tar archive of pytest and its parts, as the running environment has them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part in PYTEST_PARTS:
            for file in importlib.metadata.files(part) or ():
                if file.suffix != ".pyc" and ".." not in file.parts:
                    archive.add(str(file.locate()), arcname=str(file))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real data (``FIXBUG_DATA``, default ``../shared/data``); skips where it is absent."""
    path = Path(os.environ.get("FIXBUG_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no data at {path}: set FIXBUG_DATA to a folder that holds it")
    return path
