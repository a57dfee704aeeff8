"""The image that the Docker tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.mark.docker
def test_image_runs_pytest_offline(docker_client: DockerClient, docker_image: str) -> None:
    """Would catch an image in which every Docker test fails for want of pytest, git or patch."""
    script = "echo 'def test(): pass' > test_it.py; python -m pytest -q; git --version; patch --version; ps"
    container = docker_client.containers.run(
        docker_image, ["sleep", "60"], detach=True, init=True, network_mode="none"
    )
    try:
        status, output = container.exec_run(["bash", "-ec", script], workdir="/tmp")
    finally:
        container.remove(force=True)
    assert status == 0, output
    assert b"1 passed" in output
