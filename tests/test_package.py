"""The package as a stranger installs it: the built wheel, alone, in a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by way of the source distribution."""
    pytest.importorskip("build", reason="needs the extra dev (make test installs it)")
    pytest.importorskip("hatchling", reason="needs the extra dev (make test installs it)")
    out = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)], cwd=out)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a fresh environment with the wheel in it. Dependencies come from the running one."""
    home = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(home, with_pip=True, symlinks=True)
    python = home / "bin" / "python"
    _run([str(python), "-m", "pip", "install", "--no-deps", "--no-index", str(wheel)], cwd=home)
    site = _run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd=home
    ).strip()
    # The .pth files of a directory that is added by a .pth file are not read: an editable install
    # of the work tree stays invisible.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin"


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    """Would catch a template, script or example file that only a work tree has, and tests leaking in."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in ("agent", "sandbox", "prompts")
        for path in _files(ROOT / package)
    }
    example = ROOT / "examples" / "stale-cache"
    expected |= {
        f"agent/examples/stale-cache/{path.relative_to(example).as_posix()}" for path in _files(example)
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def _files(directory: Path) -> list[Path]:
    """The files below a directory that are source, not what running it leaves behind."""
    left_behind = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    return [path for path in directory.rglob("*") if path.is_file() and not left_behind & set(path.parts)]


def test_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    """Would catch an entry point, a module or a data file that is missing from the wheel."""
    assert "--issue" in _run([str(installed / "fixbug"), "--help"], cwd=tmp_path)


def test_every_installed_module_imports_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Would catch a module that imports from tests/ or from the work tree, or lacks a dependency."""
    script = (
        "import importlib, pkgutil, agent, prompts, sandbox\n"
        "for package in (agent, prompts, sandbox):\n"
        "    assert 'site-packages' in package.__file__, package.__file__\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.startswith('agent.examples') and not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
    )
    _run([str(installed / "python"), "-c", script], cwd=tmp_path)


def _run(command: list[str], *, cwd: Path) -> str:
    """Run a command away from the work tree, with nothing of it on the path; return what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
