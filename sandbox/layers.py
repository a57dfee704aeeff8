"""One image layer: a container made from the layer below, steps run in it, the result committed.

A layer exists once it is tagged, and it is tagged only after its last step: what a crash or a failed
step leaves is never used. Nothing of the host's network configuration (indexes, proxies, certificates)
stays in an image: it is given to each step's process, or lies in a directory removed before the commit.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.errors import EngineError, ImageError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = ["BUILD_DIR", "Progress", "Workbench", "build_layer", "digest", "present"]

Progress = Callable[[str], None]

BUILD_DIR = "/run/fixbug-build"
"""In the container, while a layer is made: for whatever must not be in the image."""

_CA_FILE = f"{BUILD_DIR}/ca.pem"
_LAST_LINES = 40
_INDEX_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")


def digest(*parts: object) -> str:
    """Twelve hexadecimal digits that stand for ``parts`` (JSON-like values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def present(client: DockerClient, image: str) -> bool:
    """Whether the engine has ``image``."""
    from docker.errors import ImageNotFound

    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def build_layer(
    client: DockerClient,
    name: str,
    parent: str,
    steps: Callable[[Workbench], None],
    *,
    changes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    on_progress: Progress,
) -> str:
    """The image ``name`` (``repository:tag``): as it is, or made from ``parent`` by ``steps``.

    ``changes`` are Dockerfile instructions (ENV, WORKDIR). Raises ``ImageError`` when a step fails,
    ``EngineError`` when the engine does. Two processes never make the same layer at once.
    """
    from docker.errors import APIError, DockerException
    from requests import RequestException

    with _lock(name):
        if present(client, name):
            return name
        began = time.monotonic()
        on_progress(f"{name}: building on {parent}")
        repository, _, tag = name.partition(":")
        try:
            with _container(client, name, parent) as container:
                bench = Workbench(container, name, on_progress)
                bench.prepare()
                steps(bench)
                bench.clean()
                instructions = ['CMD ["bash"]', *changes]
                instructions += [f"LABEL {key}={json.dumps(value)}" for key, value in (labels or {}).items()]
                container.commit(repository=repository, tag=tag, changes=instructions)
        except APIError as error:
            raise EngineError(
                f"the engine refused a step of building {name}: {error.explanation or error}",
                cure="look at the engine's log, its free disk space and its networks (FIXBUG_BUILD_NETWORK "
                "names another than the default one)",
            ) from error
        except (DockerException, RequestException) as error:
            raise EngineError(
                f"the engine went away while {name} was built: {error}", cure="start it, and run this again"
            ) from error
        size = client.images.get(name).attrs["Size"] - client.images.get(parent).attrs["Size"]
        on_progress(f"{name}: built in {time.monotonic() - began:.1f} s, {max(size, 0) / 1e6:.0f} MB on top")
        return name


class Workbench:
    """A running container in which a layer is being made. Steps run as root, with the network."""

    def __init__(self, container: Container, name: str, on_progress: Progress) -> None:
        self._container = container
        self._name = name
        self._say = on_progress
        self._environment: dict[str, str] = {}

    def prepare(self) -> None:
        """The build directory, with the host's certificates where it has any."""
        files: dict[str, bytes] = {}
        self._environment = {
            "DEBIAN_FRONTEND": "noninteractive",
            "PIP_CACHE_DIR": f"{BUILD_DIR}/pip",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PYTHONDONTWRITEBYTECODE": "",
            "TMPDIR": f"{BUILD_DIR}/tmp",
            **_host_network(),
        }
        certificates = _host_certificates()
        if certificates is not None:
            files["ca.pem"] = certificates.read_bytes()
            for variable in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                self._environment[variable] = _CA_FILE
        self.script("prepare", f"mkdir -p {BUILD_DIR}/tmp && chmod 700 {BUILD_DIR}", quiet=True)
        self.put(BUILD_DIR, files)

    def clean(self) -> None:
        """Take away what must not be committed."""
        self.script(
            "clean up",
            f"cd / && rm -rf {BUILD_DIR} ~/.cache /var/lib/apt/lists/* /var/cache/apt/*.bin "
            "/var/cache/apt/archives/*.deb && { [ ! -d /tmp ] || find /tmp -mindepth 1 -delete; }",
            quiet=True,
        )

    def put(self, directory: str, files: Mapping[str, bytes], mode: int = 0o644) -> None:
        """Write ``files`` (path below ``directory`` → content)."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, data in files.items():
                info = tarfile.TarInfo(f"{directory.lstrip('/')}/{path}")
                info.size, info.mode, info.mtime = len(data), mode, int(time.time())
                archive.addfile(info, io.BytesIO(data))
        self.unpack(buffer.getvalue())

    def unpack(self, archive: bytes) -> None:
        """Unpack a tar at the root of the file system."""
        self._container.put_archive("/", archive)

    def script(
        self,
        what: str,
        script: str,
        *,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        timeout: float = 1800,
        cure: str = "",
        quiet: bool = False,
    ) -> str:
        """Run a bash script; its last lines. Raises ``ImageError`` with them when it fails."""
        began = time.monotonic()
        code, tail = self.attempt(script, cwd=cwd, env=env, timeout=timeout)
        seconds = time.monotonic() - began
        if code:
            why = (
                f"did not end within {timeout:g} s" if code in (124, 137) else f"failed (exit status {code})"
            )
            raise ImageError(
                f"building {self._name}: the step «{what}» {why} after {seconds:.0f} s\n"
                f"command:\n{_indented(script)}\nlast lines:\n{_indented(tail)}",
                cure=cure
                or "the lines above say why; nothing of this layer was kept, so it can be tried again",
            )
        if not quiet:
            self._say(f"{self._name}: {what}: {seconds:.1f} s")
        return tail

    def attempt(
        self, script: str, *, cwd: str = "/", env: Mapping[str, str] | None = None, timeout: float = 1800
    ) -> tuple[int, str]:
        """Run a bash script: its exit status (124 or 137: out of time) and its last lines."""
        api: Any = self._container.client.api  # type: ignore[union-attr]
        command = ["timeout", "-k", "10", f"{timeout:.0f}", "bash", "-c", script]
        environment = {**self._environment, **(env or {})}
        running = api.exec_create(self._container.id, command, environment=environment, workdir=cwd)["Id"]
        lines: deque[str] = deque(maxlen=_LAST_LINES)
        rest = ""
        stream = api.exec_start(running, stream=True)
        try:
            for chunk in stream:
                *whole, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
                lines.extend(line[-500:] for line in whole)
        finally:
            stream._response.close()  # its own close() cuts the connection, and fails over SSH
        if rest:
            lines.append(rest[-500:])
        return int(api.exec_inspect(running)["ExitCode"]), "\n".join(lines)

    def say(self, text: str) -> None:
        self._say(f"{self._name}: {text}")


def _indented(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) > _LAST_LINES:
        lines = [*lines[: _LAST_LINES // 2], "…", *lines[-_LAST_LINES // 2 :]]
    return "\n".join(f"    {line}" for line in lines)


@contextlib.contextmanager
def _container(client: DockerClient, name: str, parent: str) -> Iterator[Container]:
    """A container whose name is the layer's, so that what a crash left of it is found and removed."""
    from docker.errors import NotFound

    unique = "fixbug-build-" + name.replace("/", "-").replace(":", "-")
    with contextlib.suppress(NotFound):
        client.containers.get(unique).remove(force=True)
    container = client.containers.create(
        parent,
        ["sleep", "infinity"],  # not as the entrypoint: a commit would keep that
        name=unique,
        init=True,
        user="root",
        working_dir="/",
        network=os.environ.get("FIXBUG_BUILD_NETWORK") or "bridge",
    )
    try:
        container.start()
        yield container
    finally:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    directory = Path(tempfile.gettempdir()) / f"fixbug-locks-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    with (directory / digest(name)).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _host_certificates() -> Path | None:
    """The file of certificate authorities that programs on this host trust."""
    paths = ssl.get_default_verify_paths()
    for path in (
        os.environ.get("PIP_CERT"),
        os.environ.get("SSL_CERT_FILE"),
        paths.cafile,
        paths.openssl_cafile,
    ):
        if path and Path(path).is_file():
            return Path(path)
    debian = Path("/etc/ssl/certs/ca-certificates.crt")
    return debian if debian.is_file() else None


def _host_network() -> dict[str, str]:
    """Proxies, and the package indexes of the user's pip, as variables for a step's process.

    Indexes and links in the host's own file system mean nothing inside.
    """
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    found = {name: os.environ[name] for name in names if os.environ.get(name)}
    for option in _INDEX_OPTIONS:
        value = _pip_options().get(option, "")
        usable = [part for part in value.split() if not part.startswith(("file:", "/", "."))]
        if usable:
            found["PIP_" + option.upper().replace("-", "_")] = " ".join(usable)
    return found


def _pip_options() -> dict[str, str]:
    """The user's pip configuration, environment variables included (option → value)."""
    for command in ([sys.executable, "-m", "pip"], ["pip"], ["pip3"]):
        try:
            done = subprocess.run([*command, "config", "list"], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode:
            continue
        options: dict[str, str] = {}
        # lines are SECTION.OPTION='VALUE'; variables, the section ":env:", come first and win
        for line in done.stdout.splitlines():
            key, _, value = line.partition("=")
            options.setdefault(key.rpartition(".")[2], value.strip("'\"").replace("\\n", " "))
        return options
    return {}
