"""uv, for the inside of an image: it resolves as of a date, and builds with the tools of that date.

The binary is the host's own where that runs inside as it is, else the newest on the package index, kept
in the user's cache. Where neither can be had there is none, and pip does the work as of today.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from packaging.version import Version

from sandbox.hostnet import files_on_index, read_url

__all__ = ["uv_binary"]

_OLDEST = Version("0.8")
"""The first that knows every option used here (``--exclude-newer-package``)."""
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@cache
def uv_binary(machine: str) -> bytes | None:
    """An executable for Linux on ``machine`` (as the engine calls it: ``x86_64``), or None."""
    wanted = _MACHINES.get(machine.lower())
    if wanted is None:
        return None
    own = shutil.which("uv")
    if own and sys.platform == "linux" and _MACHINES.get(platform.machine().lower()) == wanted:
        data = Path(own).resolve().read_bytes()
        if data.startswith(b"\x7fELF") and _version(own) >= _OLDEST:
            return data
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fixbug" / f"uv-{wanted}"
    if place.is_file():
        return place.read_bytes()
    found = _from_index(wanted)
    if found is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
            file.write(found)
        Path(file.name).replace(place)
    return found


def _version(program: str) -> Version:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return Version("0")
    found = re.search(r"\d+(\.\d+)+", said)
    return Version(found[0]) if found else Version("0")


def _from_index(machine: str) -> bytes | None:
    """Out of the newest wheel for glibc, once its digest is what the index says."""
    name = re.compile(rf"uv-(\d+(?:\.\d+)+)-py3-none-manylinux[\w.]*_{machine}\.whl")
    wheels = [(Version(m[1]), file) for file in files_on_index("uv") if (m := name.fullmatch(file.name))]
    if not wheels:
        return None
    version, wheel = max(wheels, key=lambda pair: pair[0])
    try:
        data = read_url(wheel.url, seconds=600)
        if not wheel.sha256 or hashlib.sha256(data).hexdigest() != wheel.sha256:
            return None
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(f"uv-{version}.data/scripts/uv")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
