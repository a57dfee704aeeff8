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
    output = docker_client.containers.run(
        docker_image, ["bash", "-ec", script], working_dir="/tmp", network_mode="none", remove=True
    ).decode()
    assert "1 passed" in output
