"""An image from a project's own Dockerfile or development container, when that is asked for.

Asked for by ``.fixbug.toml`` (``dockerfile = "PATH"``, ``devcontainer = true``) or on the command line. What
a sandbox needs besides (git, patch, bash) is added where the image lacks it.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.errors import EngineError, ImageError, UsageError
from sandbox.foundation import WORKDIR
from sandbox.layers import Progress, Workbench, build_layer, digest, present
from sandbox.registry import pull

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["build_dockerfile", "devcontainer_image"]

_PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json")
_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")

_TOOLS = """\
set -eu
missing=""
for tool in git patch; do command -v $tool >/dev/null || missing="$missing $tool"; done
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null; then
    apt-get update -q && apt-get install -q -y --no-install-recommends $missing
elif command -v apk >/dev/null; then apk add --no-cache $missing
elif command -v dnf >/dev/null; then dnf install -q -y $missing
else echo "the image lacks$missing, and has no package manager known here"; exit 1
fi
"""


def build_dockerfile(
    client: DockerClient, source: Path, dockerfile: str, say: Progress, *, context: str = "."
) -> str:
    """Build ``dockerfile``, a path inside the repository ``source``. Raises ``UsageError`` for none,
    ``ImageError`` with the failed step's last lines."""
    path = source / dockerfile
    if not path.resolve().is_relative_to(source.resolve()) or not path.is_file():
        raise UsageError(
            f"there is no Dockerfile {dockerfile} in the repository", cure="name one that is there"
        )
    folder = source / context
    files = sorted(one for one in folder.rglob("*") if one.is_file() and ".git" not in one.parts)
    content = [(one.relative_to(folder).as_posix(), digest(one.read_bytes().hex())) for one in files]
    name = f"fixbug/dockerfile:{digest(path.read_text('utf-8', 'replace'), content)}"
    if not present(client, name):
        _build(client, folder, os.path.relpath(path, folder), name, say)
    return _with_tools(client, name, say)


def devcontainer_image(client: DockerClient, source: Path, say: Progress) -> str:
    """What the repository's devcontainer.json describes: its ``image``, or its ``build`` (``dockerfile``,
    ``context``), and its ``postCreateCommand``. Features and compose files are not followed."""
    path = next((source / place for place in _PLACES if (source / place).is_file()), None)
    if path is None:
        raise UsageError(f"there is no devcontainer.json in the repository (looked for {', '.join(_PLACES)})")
    try:
        settings = _json_with_comments(path.read_text("utf-8", "replace"))
    except ValueError as error:
        raise UsageError(f"{path.relative_to(source)} is not JSON with comments: {error}") from error
    build: Any = settings.get("build")
    build = build if isinstance(build, dict) else {}
    if isinstance(settings.get("image"), str):
        image = str(settings["image"])
        problem = "" if present(client, image) else pull(client, image, say)
        if problem:
            raise ImageError(f"{path.relative_to(source)} names an image: {problem}")
        image = _with_tools(client, image, say)
    elif isinstance(build.get("dockerfile"), str):
        place = path.parent.relative_to(source)
        image = build_dockerfile(
            client, source, os.path.normpath(place / build["dockerfile"]), say,
            context=os.path.normpath(place / str(build.get("context", "."))),
        )  # fmt: skip
    else:
        raise UsageError(
            f"{path.relative_to(source)} has neither image nor build.dockerfile, which are followed"
        )
    for unused in sorted({"features", "dockerComposeFile"} & settings.keys()):
        say(f"{path.relative_to(source)}: {unused} is not followed")
    return _after_creation(client, source, image, settings.get("postCreateCommand"), say)


def _after_creation(client: DockerClient, source: Path, image: str, wanted: Any, say: Progress) -> str:
    from sandbox.tree import tar_of

    commands = [wanted] if isinstance(wanted, str) else []
    if isinstance(wanted, dict):
        commands = [one for one in wanted.values() if isinstance(one, str)]
    if not commands:
        return image

    def steps(bench: Workbench) -> None:
        bench.unpack(tar_of(source))
        for command in commands:
            bench.script(f"postCreateCommand: {command}", command, cwd=WORKDIR)

    files = [path.read_text("utf-8", "replace") for path in sorted(source.glob("*")) if path.is_file()]
    name = f"fixbug/devcontainer:{digest(client.images.get(image).id, commands, files)}"
    labels = {"fixbug.layer": "devcontainer"}
    return build_layer(
        client, name, image, steps, changes=[f"WORKDIR {WORKDIR}"], labels=labels, on_progress=say
    )


def _build(client: DockerClient, folder: Path, dockerfile: str, name: str, say: Progress) -> None:
    from docker.errors import DockerException

    last: deque[str] = deque(maxlen=40)
    say(f"{name}: building {dockerfile}")
    try:
        stream = client.api.build(
            path=str(folder), dockerfile=dockerfile, tag=name, rm=True, forcerm=True, decode=True,
            labels={"fixbug.layer": "dockerfile"},
            network_mode=os.environ.get("FIXBUG_BUILD_NETWORK") or None,
        )  # fmt: skip
        for event in stream:
            for line in str(event.get("stream", "")).splitlines():
                last.append(line[-500:])
                if line.startswith("Step "):
                    say(f"{name}: {line}")
            if "error" in event:
                lines = "\n".join(f"    {line}" for line in last)
                raise ImageError(
                    f"{dockerfile} does not build: {event['error']}\nlast lines:\n{lines}",
                    cure="the lines above say which step failed; `docker build` of it must work",
                )
    except DockerException as error:
        raise EngineError(f"the engine refused to build {dockerfile}: {error}") from error


def _with_tools(client: DockerClient, image: str, say: Progress) -> str:
    def steps(bench: Workbench) -> None:
        bench.script("add git and patch where they are missing", _TOOLS)
        bench.script("make room for the repository", f"mkdir -p {WORKDIR}", quiet=True)

    name = f"fixbug/tools:{digest(client.images.get(image).id, _TOOLS)}"
    labels = {"fixbug.layer": "tools"}
    return build_layer(
        client, name, image, steps, changes=[f"WORKDIR {WORKDIR}"], labels=labels, on_progress=say
    )


def _json_with_comments(text: str) -> dict[str, Any]:
    bare = _STRING_OR_COMMENT.sub(lambda found: found[0] if found[0].startswith('"') else "", text)
    value = json.loads(_TRAILING_COMMA.sub(r"\1", bare))
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    return value
