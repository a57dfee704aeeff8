"""The two lowest layers of every image that is built here: a Debian with tools, and an interpreter in it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import ImageError
from sandbox.interpreters import find_interpreter, pack_interpreter
from sandbox.layers import Progress, Workbench, build_layer, digest, present
from sandbox.registry import pull

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = [
    "PREFIX",
    "RECIPE",
    "WORKDIR",
    "NoInterpreter",
    "base_image",
    "configured_base",
    "interpreter_layer",
]


class NoInterpreter(ImageError):
    """A Python version that neither the base image nor this host has."""


DEFAULT_BASE = "debian:bookworm-slim"
LOCAL_BASE = "fixbug-test-base:latest"
PREFIX = "/opt/miniconda3/envs/testbed"
"""Where official images have their environment, and where eval scripts expect it."""
WORKDIR = "/testbed"

RECIPE = 1
"""Raise this when the steps of the lower layers change what they make: every layer then has another name."""

_BASE_PACKAGES = (
    "bash ca-certificates git patch procps locales gcc g++ make pkg-config "
    # what an interpreter copied from the host is linked with, by names that hold in every Debian
    "libssl-dev libffi-dev libsqlite3-dev libreadline-dev liblzma-dev libbz2-dev zlib1g-dev "
    "libncurses-dev libexpat1-dev uuid-dev"
)
_BASE_SCRIPT = f"""\
set -eu
command -v apt-get >/dev/null || {{
    echo "this base has no apt-get, so git, patch, gcc and locales cannot be installed"; exit 1; }}
apt-get update -q
apt-get install -q -y --no-install-recommends {_BASE_PACKAGES}
echo 'en_US.UTF-8 UTF-8' >>/etc/locale.gen
locale-gen
"""

# conda's own scripts are sourced, under `set -u`, by eval scripts and by agents' commands
_ACTIVATE = f"""\
# Stands in for conda's: there is one environment, {PREFIX}.
conda() {{
    case "${{1-}}" in
    activate)
        export CONDA_DEFAULT_ENV=testbed CONDA_PREFIX={PREFIX}
        case ":$PATH:" in
        :{PREFIX}/bin:*) ;;
        *) export PATH="{PREFIX}/bin:$PATH" ;;
        esac ;;
    deactivate) unset CONDA_DEFAULT_ENV CONDA_PREFIX ;;
    *) echo "conda: only activate and deactivate are here" >&2; return 2 ;;
    esac
}}
"""

_COPY_OWN_INTERPRETER = f"""\
set -eu
python=$(command -v python%(minor)s)
prefix=$("$python" -I -c 'import sys, ensurepip; print(sys.base_prefix)')
test "$prefix" != /usr
mkdir -p {PREFIX}/bin {PREFIX}/lib {PREFIX}/include
cp -L "$prefix/bin/python%(minor)s" {PREFIX}/bin/
cp -a "$prefix/lib/python%(minor)s" {PREFIX}/lib/
cp -a "$prefix"/lib/libpython%(minor)s*.so* {PREFIX}/lib/ 2>/dev/null || true
cp -a "$prefix"/include/python%(minor)s* {PREFIX}/include/ 2>/dev/null || true
rm -rf {PREFIX}/lib/python%(minor)s/site-packages
ln -s python%(minor)s {PREFIX}/bin/python
ln -s python%(minor)s {PREFIX}/bin/python3
"""

_FINISH_INTERPRETER = f"""\
set -eu
echo {PREFIX}/lib >/etc/ld.so.conf.d/fixbug.conf
ldconfig
cd {PREFIX}
mkdir -p lib/python%(minor)s/site-packages
bin/python -m compileall -q lib/python%(minor)s >/dev/null || true
bin/python -m ensurepip --upgrade --default-pip
bin/python -c 'import sys; assert sys.prefix == "{PREFIX}", sys.prefix'
bin/python -c 'import bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib'
"""


def configured_base() -> str:
    """The base image that the user names, or the default."""
    return os.environ.get("FIXBUG_BASE_IMAGE") or DEFAULT_BASE


def base_image(client: DockerClient, on_progress: Progress) -> str:
    """The image that the lowest layer is made from.

    ``FIXBUG_BASE_IMAGE`` (default ``debian:bookworm-slim``), local or pulled; where no registry answers
    and none was named, a local ``fixbug-test-base:latest``, else a Debian made with debootstrap.
    """
    wanted = configured_base()
    if present(client, wanted):
        return wanted
    problem = pull(client, wanted, on_progress)
    if not problem:
        return wanted
    made = "fixbug/debian:bookworm"
    if wanted == DEFAULT_BASE:
        for name in (LOCAL_BASE, made):
            if present(client, name):
                on_progress(f"base: {name}, since {problem}")
                return name
        if shutil.which("debootstrap") and os.geteuid() == 0:
            return _debootstrap(client, made, on_progress)
    raise ImageError(
        f"no base image: {problem}",
        cure="name a local Debian image in FIXBUG_BASE_IMAGE, or install debootstrap and run this as root "
        "once (docs/images.md)",
    )


def _base_layer(client: DockerClient, say: Progress) -> str:
    parent = base_image(client, say)
    name = f"fixbug/base:{digest(RECIPE, client.images.get(parent).id, _BASE_SCRIPT)}"

    def steps(bench: Workbench) -> None:
        bench.script(
            "install git, patch, a compiler and a locale",
            _BASE_SCRIPT,
            cure="check that containers on Docker's default network reach the package mirror, or name a base "
            "in FIXBUG_BASE_IMAGE that is a Debian with apt-get",
        )

    return build_layer(client, name, parent, steps, labels={"fixbug.layer": "base"}, on_progress=say)


def _system_layer(client: DockerClient, base: str, packages: Sequence[str], say: Progress) -> str:
    """``base`` with Debian packages, which every interpreter on it shares."""
    if not packages:
        return base
    name = f"fixbug/system:{digest(base, sorted(packages))}"
    script = "set -eu\napt-get update -q\napt-get install -q -y --no-install-recommends "

    def steps(bench: Workbench) -> None:
        bench.script(
            f"install {len(packages)} Debian packages",
            script + " ".join(map(shlex.quote, packages)),
            cure="the lines above name the package at fault; names are those of the base's Debian release",
        )

    return build_layer(client, name, base, steps, labels={"fixbug.layer": "system"}, on_progress=say)


def interpreter_layer(client: DockerClient, minor: str, say: Progress, packages: Sequence[str] = ()) -> str:
    """The image that has Python ``minor`` (``3.9``) at PREFIX, and nothing of any project but the Debian
    ``packages`` it asks for."""
    base = _system_layer(client, _base_layer(client, say), packages, say)
    name = f"fixbug/python:{minor}-{digest(base, _ACTIVATE, _COPY_OWN_INTERPRETER, _FINISH_INTERPRETER)}"
    if present(client, name):
        return name

    def steps(bench: Workbench) -> None:
        code, _ = bench.attempt(_COPY_OWN_INTERPRETER % {"minor": minor})
        if code:
            python = find_interpreter(minor)
            if python is None:
                raise NoInterpreter(
                    f"Python {minor} is needed, and neither the base image nor this host has one to copy",
                    cure=f"pyenv install {minor}, or uv python install {minor}, or name a base image that "
                    "has it in FIXBUG_BASE_IMAGE",
                )
            bench.say(f"Python {python.full} from this host")
            bench.attempt(f"rm -rf {PREFIX}")
            bench.unpack(pack_interpreter(python, PREFIX))
        activate = _ACTIVATE.encode()
        bench.put(
            "/opt/miniconda3", {"bin/activate": activate, "etc/profile.d/conda.sh": activate}, mode=0o755
        )
        bench.script(
            f"set Python {minor} up",
            _FINISH_INTERPRETER % {"minor": minor},
            cure="an interpreter copied from the host needs a base image of the same distribution and "
            "release (FIXBUG_BASE_IMAGE)",
        )

    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return build_layer(
        client,
        name,
        base,
        steps,
        changes=[f"ENV PATH={PREFIX}/bin:{path}", f"WORKDIR {WORKDIR}"],
        labels={"fixbug.layer": "python"},
        on_progress=say,
    )


def _debootstrap(client: DockerClient, name: str, say: Progress) -> str:
    say("base: making a Debian root file system with debootstrap")
    with tempfile.TemporaryDirectory(prefix="fixbug-") as directory:
        root, archive = Path(directory, "root"), Path(directory, "root.tar")
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise ImageError(
                f"{' '.join(command)} failed with exit status {done.returncode}:\n{done.stdout[-2000:]}",
                cure="check that this host reaches a Debian mirror, or name a local image in "
                "FIXBUG_BASE_IMAGE",
            )
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
        repository, _, tag = name.partition(":")
        client.api.import_image_from_file(str(archive), repository=repository, tag=tag)
    return name
