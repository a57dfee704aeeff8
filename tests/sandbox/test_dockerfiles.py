"""A project's own Dockerfile and development container, followed when that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.dockerfiles import build_dockerfile, devcontainer_image
from sandbox.errors import ImageError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient

DEVCONTAINER = """{
  // comments are allowed, and "strings // with slashes" are none
  "name": "http://example.org/x", /* and these */
  "build": {"dockerfile": "Dockerfile", "context": ".."},
  "postCreateCommand": "cat /copied >/testbed/created",
}
"""


@pytest.fixture
def made(docker_client: DockerClient) -> Iterator[list[str]]:
    """Names of images to take away in the end."""
    names: list[str] = []
    yield names
    for name in reversed(names):
        with contextlib.suppress(Exception):
            docker_client.images.remove(name, force=True)


def said(client: DockerClient, image: str, command: str) -> str:
    container = client.containers.run(image, ["sleep", "60"], detach=True, init=True)
    try:
        return bytes(container.exec_run(["sh", "-c", command]).output).decode()
    finally:
        container.remove(force=True)


@pytest.mark.docker
def test_a_development_container_is_followed(
    docker_client: DockerClient, docker_image: str, tmp_path: Path, made: list[str]
) -> None:
    """Catches comments that break the reading, a context that is not where the file says, a Dockerfile
    that is sought at the root, and a command after creation that is forgotten."""
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / ".devcontainer/devcontainer.json").write_text(DEVCONTAINER)
    (tmp_path / ".devcontainer/Dockerfile").write_text(f"FROM {docker_image}\nCOPY content /copied\n")
    (tmp_path / "content").write_text("from the context\n")
    lines: list[str] = []
    image = devcontainer_image(docker_client, tmp_path, lines.append)
    made += [name.partition(": ")[0] for name in lines if name.startswith("fixbug/")]
    assert said(docker_client, image, "cat /testbed/created") == "from the context\n"
    assert devcontainer_image(docker_client, tmp_path, lines.append) == image


@pytest.mark.docker
def test_a_dockerfile_that_fails_says_where(
    docker_client: DockerClient, docker_image: str, tmp_path: Path
) -> None:
    """Catches a failed step without its output, and an image that is used although it was not finished."""
    (tmp_path / "Dockerfile").write_text(f"FROM {docker_image}\nRUN echo it-said; exit 3\n")
    for _ in range(2):
        with pytest.raises(ImageError, match=r"(?s)returned a non-zero code: 3.*it-said"):
            build_dockerfile(docker_client, tmp_path, "Dockerfile", lambda text: None)


@pytest.mark.docker
def test_what_is_not_there_is_refused(docker_client: DockerClient, tmp_path: Path) -> None:
    """Catches a Dockerfile outside the repository, and a compose file that is silently passed over."""
    with pytest.raises(UsageError, match="no Dockerfile"):
        build_dockerfile(docker_client, tmp_path, "../Dockerfile", lambda text: None)
    with pytest.raises(UsageError, match=r"no devcontainer\.json"):
        devcontainer_image(docker_client, tmp_path, lambda text: None)
    (tmp_path / ".devcontainer.json").write_text('{"dockerComposeFile": "x.yml"}')
    with pytest.raises(UsageError, match="neither image nor build"):
        devcontainer_image(docker_client, tmp_path, lambda text: None)
