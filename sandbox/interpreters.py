"""A Python interpreter for an image, copied from one that the host has.

CPython finds its standard library relative to its executable, so a copy of ``bin``, ``lib`` and
``include`` under another prefix is a working installation (only its shared library has to be named to
the loader). Installed packages are left behind.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Interpreter", "find_interpreter", "pack_interpreter"]

_PROBE = (
    "import json,sys,os;"
    "p=getattr(sys,'base_prefix',sys.prefix);"
    "print(json.dumps([list(sys.version_info[:3]), p,"
    "os.path.dirname(os.__file__), sys.platform]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A CPython installation: ``prefix`` holds bin/pythonX.Y, lib/pythonX.Y and include/."""

    version: tuple[int, int, int]
    prefix: Path

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def full(self) -> str:
        return ".".join(map(str, self.version))


def find_interpreter(minor: str) -> Interpreter | None:
    """A ``minor`` (``3.9``) that can be copied: the newest patch release found, or None.

    Looked for: the interpreter running fixbug, PATH, pyenv's, and uv's (which is asked to install it
    where it is missing). A distribution's own in ``/usr`` is no candidate: it shares its prefix with
    everything else and has its packages elsewhere.
    """
    found = [
        python for path in _candidates(minor) if (python := _probe(path, minor)) and _can_be_copied(python)
    ]
    if not found and (uv := shutil.which("uv")):
        subprocess.run([uv, "python", "install", minor], capture_output=True)
        done = subprocess.run(
            [uv, "python", "find", "--managed-python", minor], capture_output=True, text=True
        )
        if done.returncode == 0 and (python := _probe(Path(done.stdout.strip()), minor)):
            found.append(python)
    return max(found, key=lambda python: python.version, default=None)


def _candidates(minor: str) -> Iterator[Path]:
    yield Path(sys.executable)
    for directory in os.get_exec_path():
        yield Path(directory) / f"python{minor}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{minor}.*/bin/python{minor}"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    yield from sorted(uv.glob(f"cpython-{minor}.*/bin/python{minor}"))


def _probe(path: Path, minor: str) -> Interpreter | None:
    if not os.access(path, os.X_OK):
        return None
    try:
        done = subprocess.run([str(path), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30)
        version, prefix, library, platform = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    python = Interpreter((version[0], version[1], version[2]), Path(prefix))
    at_home = Path(library).resolve() == (python.prefix / "lib" / f"python{minor}").resolve()
    return python if python.minor == minor and at_home and platform == "linux" else None


def _can_be_copied(python: Interpreter) -> bool:
    return python.prefix != Path("/usr") and (python.prefix / f"bin/python{python.minor}").exists()


def pack_interpreter(python: Interpreter, prefix: str) -> bytes:
    """A tar of ``python`` as an installation at ``prefix`` (absolute; the tar's root is ``/``).

    Without site-packages, compiled files, static libraries and the standard library's own tests.
    """
    library = f"lib/python{python.minor}"
    skipped = {
        f"{library}/{name}"
        for name in ("site-packages", "test", "idlelib", "turtledemo", "ensurepip/__pycache__")
    }
    roots = [f"bin/python{python.minor}", library, f"include/python{python.minor}"]
    roots += [f"include/python{python.minor}m"]
    roots += [f"lib/{path.name}" for path in (python.prefix / "lib").glob(f"libpython{python.minor}*.so*")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for root in roots:
            if (python.prefix / root).exists():
                _add(archive, python, root, prefix, skipped)
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"{prefix.lstrip('/')}/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, f"python{python.minor}"
            archive.addfile(link)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, python: Interpreter, path: str, prefix: str, skipped: set[str]) -> None:
    here = python.prefix / path
    if path in skipped or here.name == "__pycache__" or here.suffix in (".a", ".pyc"):
        return
    if here.is_dir() and not here.is_symlink():
        for child in sorted(here.iterdir()):
            _add(archive, python, f"{path}/{child.name}", prefix, skipped)
        return
    # bin/pythonX.Y may be a link into the same directory (pyenv's) or out of it (a launcher)
    real = here.resolve() if path.startswith("bin/") else here
    info = archive.gettarinfo(str(real), f"{prefix.lstrip('/')}/{path}")
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    if not info.isreg():
        archive.addfile(info)
        return
    data = real.read_bytes()
    # what sysconfig says of the build: extension modules are compiled with these paths
    if here.name.startswith("_sysconfigdata") or here.name == "Makefile":
        data = data.replace(str(python.prefix).encode(), prefix.encode())
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
