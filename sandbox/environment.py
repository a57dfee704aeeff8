"""An image for a repository at a commit: one that is here, one that a registry has, or one built here.

Built images are four layers, each named by a digest of what went into it, so that instances share them::

    fixbug/base:K       Debian with git, patch, a compiler and a UTF-8 locale
    fixbug/python:K     + an interpreter at PREFIX, and a stand-in for conda's activate
    fixbug/env:K        + the pinned packages
    fixbug/instance:K   + the repository at /testbed, installed

See docs/images.md.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.detect import Recipe, detect
from sandbox.errors import ImageError, UsageError
from sandbox.foundation import PREFIX, RECIPE, WORKDIR, configured_base, interpreter_layer
from sandbox.layers import BUILD_DIR, Progress, Workbench, build_layer, digest, present
from sandbox.pins import Pins, parse_environment_yml
from sandbox.registry import pull
from sandbox.sources import fetch_commit, github_url

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["image_for_row", "image_for_tree"]

WHEELS = "/opt/fixbug/wheels"
"""Wheels of the project's build requirements: ``pip install -e .`` works again without a network."""

INSTANCE_RECIPE = 3
"""The same for the steps of the uppermost layer alone."""

# every pin by itself, in parallel: some have no wheel for this Python, or are not on the index at all
_PIN_BY_PIN = f"""\
set -u
cd {BUILD_DIR} && mkdir -p wheels && : >missing
one() {{
    {PREFIX}/bin/python -m pip download -q --no-deps --only-binary :all: -d wheels "$1" 2>/dev/null ||
        timeout 600 {PREFIX}/bin/python -m pip wheel -q --no-deps -w wheels "$1" ||
        echo "$1" >>missing
}}
export -f one
xargs -P 4 -n 1 bash -c 'one "$0"' <pins
{PREFIX}/bin/python -m pip install -q --no-deps --no-index wheels/* || exit 1
echo MISSING $(sort missing)
"""


def image_for_row(row: Mapping[str, Any], *, on_progress: Progress | None = None) -> str:
    """The name of an image that holds a SWE-bench row's repository at /testbed, ready for its eval script.

    In this order: the row's own ``image`` where the engine has it; one that was built from this row
    before; the row's own, pulled; one built from the row's ``environment`` and ``environment_yml``.
    Raises ``ImageError`` (with the failed step), ``EngineError``, or ``UsageError`` for a row without
    the columns that this needs.
    """
    say = on_progress or _quiet
    client = _engine()
    try:
        official = str(row.get("image") or "")
        if official and present(client, official):
            return official
        built = _instance_name(row) if _can_be_built(row) else ""
        if built and present(client, built):
            return built
        problem = pull(client, official, say) if official else "the row names no image"
        if not problem:
            return official
        if not built:
            raise ImageError(
                f"no image for {row.get('instance_id', 'this row')}: {problem}; and it cannot be built, "
                "since the row lacks environment and environment_yml",
                cure="reach a registry, or add the two columns (docs/images.md says what they hold)",
            )
        say(f"{row['instance_id']}: building locally ({problem})")
        return _build_instance(client, row, built, say)
    finally:
        client.close()


def image_for_tree(source: Path, *, on_progress: Progress | None = None) -> str:
    """The name of an image in which the tests of the repository at ``source`` run, without its files.

    The interpreter and the packages are found from the repository's metadata (see ``detect``), and
    installed with pytest. The image is named by the content of the metadata, so the second call only
    looks. What was installed, or could not be, is told through ``on_progress`` and kept in the image's
    label ``fixbug.installed``. Raises ``ImageError`` and ``EngineError``.
    """
    say = on_progress or _quiet
    recipe = detect(source)
    name = f"fixbug/tree:{digest(RECIPE, configured_base(), recipe.minors, recipe.fingerprint)}"
    client = _engine()
    try:
        if present(client, name):
            return name
        python = _first_interpreter(client, recipe, say)
        labels = {"fixbug.layer": "tree", "fixbug.installed": f"pytest; {recipe.told}"}

        def steps(bench: Workbench) -> None:
            _install_tree(bench, source, recipe)

        return build_layer(
            client, name, python, steps, changes=[f"WORKDIR {WORKDIR}"], labels=labels, on_progress=say
        )
    finally:
        client.close()


# --- layers -------------------------------------------------------------------------------------


def _environment_layer(client: DockerClient, pins: Pins, say: Progress) -> str:
    python = interpreter_layer(client, ".".join(pins.python.split(".")[:2]), say)
    name = f"fixbug/env:{digest(python, pins.listed, pins.translated)}"

    def steps(bench: Workbench) -> None:
        tools = [
            f"{tool}=={version}" for tool in ("pip", "setuptools", "wheel") if (version := pins.version(tool))
        ]
        bench.script("install pip and setuptools", _pip_install(*tools), cure=_INDEX_CURE)
        wanted = [pin for pin in (*pins.listed, *pins.translated) if pin not in tools]
        if not wanted:
            return
        code, _ = bench.attempt(_pip_install(*wanted))
        if not code:
            bench.say(f"{len(wanted)} pinned packages installed")
            return
        bench.put(BUILD_DIR, {"pins": "".join(f"{pin}\n" for pin in wanted).encode()})
        tail = bench.script(f"install {len(wanted)} pins one by one", _PIN_BY_PIN, cure=_INDEX_CURE)
        missing = tail.rpartition("MISSING")[2].strip()
        bench.say(f"not on the index for this Python, left out: {missing or 'none'}")

    return build_layer(client, name, python, steps, labels={"fixbug.layer": "env"}, on_progress=say)


def _build_instance(client: DockerClient, row: Mapping[str, Any], name: str, say: Progress) -> str:
    pins = parse_environment_yml(row["environment_yml"])
    environment = row["environment"]
    with tempfile.TemporaryDirectory(prefix="fixbug-") as directory:
        tree = Path(directory, "tree")
        url = github_url(row["repo"])
        say(f"{name}: fetching {url} at {row['base_commit'][:12]}")
        fetch_commit(url, row["base_commit"], tree)
        archive = _tar(tree)
        requires = _build_requires(tree)
    parent = _environment_layer(client, pins, say)

    def steps(bench: Workbench) -> None:
        bench.unpack(archive)
        commands = environment.get("pre_install") or []
        if commands:
            bench.script("pre_install", "\n".join(["set -exo pipefail", *commands]), cwd=WORKDIR)
        _install_project(bench, environment["install"], pins, row)
        if requires:
            _keep_wheels(bench, requires, pins)
        _finish_instance(bench)

    return build_layer(
        client,
        name,
        parent,
        steps,
        # eval scripts install the project again: its version must not change then
        changes=[f"WORKDIR {WORKDIR}", f"ENV SETUPTOOLS_SCM_PRETEND_VERSION={_pretended(row)}"],
        labels={"fixbug.layer": "instance", "fixbug.instance": row["instance_id"]},
        on_progress=say,
    )


# --- steps --------------------------------------------------------------------------------------

_INDEX_CURE = (
    "check that containers on Docker's default network reach the package index, and that your pip does "
    "(pip config list): its index, proxy and certificates are used"
)


def _pip_install(*requirements: str) -> str:
    return f"{PREFIX}/bin/python -m pip install -q --no-deps " + " ".join(map(shlex.quote, requirements))


def _install_project(bench: Workbench, command: str, pins: Pins, row: Mapping[str, Any]) -> None:
    """The row's own install command, with every version held where the environment has it."""
    bench.put(BUILD_DIR, {"constraints": _constraints(pins).encode()})
    env = {
        "PATH": f"{PREFIX}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_CONSTRAINT": f"{BUILD_DIR}/constraints",
        "SETUPTOOLS_SCM_PRETEND_VERSION": _pretended(row),
    }
    code, tail = bench.attempt(f"set -e\n{command}", cwd=WORKDIR, env=env)
    if code:
        # the project may require another setuptools to be built with than it runs with
        bench.say(
            "installing again without version constraints, since: " + tail.strip().splitlines()[-1][:200]
        )
        del env["PIP_CONSTRAINT"]
        bench.script(f"install: {command}", command, cwd=WORKDIR, env=env)
    else:
        bench.say(f"installed: {command}")


def _constraints(pins: Pins) -> str:
    held = [pin for pin in (*pins.listed, *pins.translated) if not pin.startswith(("pip==", "wheel=="))]
    if not pins.version("setuptools"):
        held.append("setuptools<76")
    return "\n".join(held) + "\n"


def _pretended(row: Mapping[str, Any]) -> str:
    """The project's version, out of the row's ``version`` (``5.4`` → ``5.4.0``).

    setuptools_scm derives it from tags, and a single commit has none.
    """
    version = str(row.get("version") or "0")
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        return "0.0.1"
    return version if version.count(".") >= 2 else f"{version}.0"


def _keep_wheels(bench: Workbench, requires: list[str], pins: Pins) -> None:
    """Wheels of the build requirements, so that an isolated build finds them without a network."""
    quoted = " ".join(map(shlex.quote, ["setuptools", "wheel", *requires]))
    wheel = f"{PREFIX}/bin/python -m pip wheel -q -w {WHEELS}"
    code, _ = bench.attempt(f"{wheel} -c {BUILD_DIR}/constraints {quoted}")
    if code:
        bench.script("keep the build requirements' wheels", f"{wheel} {quoted}", cure=_INDEX_CURE)


def _finish_instance(bench: Workbench) -> None:
    """Without a network pip must not wait for one; compiled files save each fresh container their making."""
    config = f"[global]\nno-index = true\nfind-links = {WHEELS}\ndisable-pip-version-check = true\n"
    bench.put(PREFIX, {"pip.conf": config.encode()})
    bench.script(
        "compile",
        f"mkdir -p {WHEELS}\n"
        "git config --global --add safe.directory /testbed\n"
        "! git check-ignore -q x/__pycache__/x.pyc ||"
        f" {PREFIX}/bin/python -m compileall -q . >/dev/null || true\n"
        "rm -f ~/.gitconfig .git/ORIG_HEAD .git/FETCH_HEAD",
        cwd=WORKDIR,
        quiet=True,
    )


def _install_tree(bench: Workbench, source: Path, recipe: Recipe) -> None:
    bench.script("install pytest", f"{PREFIX}/bin/python -m pip install -q -U pip pytest", cure=_INDEX_CURE)
    if not recipe.installs:
        bench.say("no packaging metadata: only pytest was installed")
        bench.script("make room for the repository", f"mkdir -p {WORKDIR}", quiet=True)
        return
    bench.unpack(_tar(source, skip=(".git",)))
    env = {"SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.1"}
    for requirement in recipe.installs:
        command = f"{PREFIX}/bin/python -m pip install -q {requirement}"
        code, tail = bench.attempt(command, cwd=WORKDIR, env=env)
        last = (tail.strip().splitlines() or [""])[-1][:200]
        bench.say(f"pip install {requirement}: " + (f"failed, left out ({last})" if code else "installed"))
    # the repository itself comes with the sandbox; what an editable install points to is its path
    bench.script("make room for the repository", f"rm -rf {WORKDIR} && mkdir {WORKDIR}", quiet=True)


# --- parts --------------------------------------------------------------------------------------


def _quiet(_: str) -> None:
    return None


def _engine() -> DockerClient:
    from sandbox.docker import connect

    return connect(timeout=600)


def _can_be_built(row: Mapping[str, Any]) -> bool:
    return bool(row.get("environment") and row.get("environment_yml"))


def _instance_name(row: Mapping[str, Any]) -> str:
    """The name of the image that is built for ``row``: its id, and a digest of what it is built from."""
    lacking = [column for column in ("instance_id", "repo", "base_commit") if not row.get(column)]
    if lacking:
        raise UsageError(f"the row lacks {', '.join(lacking)}: expected a SWE-bench row")
    content = [row[column] for column in ("repo", "base_commit", "environment", "environment_yml")]
    key = digest(RECIPE, INSTANCE_RECIPE, configured_base(), row.get("version"), *content)
    readable = "".join(c if c.isalnum() or c in "_.-" else "-" for c in row["instance_id"].lower())
    return f"fixbug/instance:{readable[:100].lstrip('.-')}-{key}"


def _first_interpreter(client: DockerClient, recipe: Recipe, say: Progress) -> str:
    problem: ImageError | None = None
    for minor in recipe.minors:
        try:
            return interpreter_layer(client, minor, say)
        except ImageError as error:
            problem = problem or error
            say(f"Python {minor}: {error.problem.splitlines()[0]}")
    raise problem or ImageError("no Python version satisfies the project's requires-python")


def _build_requires(tree: Path) -> list[str]:
    """``build-system.requires`` of the project's pyproject.toml; empty where it has none."""
    try:
        data = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(r) for r in data.get("build-system", {}).get("requires", [])]


def _tar(tree: Path, skip: tuple[str, ...] = ()) -> bytes:
    """``tree`` as a tar of /testbed, owned by root."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(tree, WORKDIR.lstrip("/"), recursive=False, filter=plain)
        for entry in sorted(tree.iterdir()):
            if entry.name not in skip:
                archive.add(entry, f"{WORKDIR.lstrip('/')}/{entry.name}", filter=plain)
    return buffer.getvalue()
