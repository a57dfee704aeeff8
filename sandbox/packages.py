"""The environment layer: a closed set of pinned packages, installed without resolving anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sandbox.foundation import PREFIX
from sandbox.layers import BUILD_DIR, INDEX_CURE, Progress, Workbench, build_layer, digest
from sandbox.resolve import UV, dated

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["environment_layer"]

_TOOLS = ("pip", "setuptools", "wheel")

# every pin by itself, in parallel: some have no wheel for this Python, or are not on the index at all
_PIN_BY_PIN = f"""\
set -u
cd {BUILD_DIR} && mkdir -p wheels && : >missing && : >said
one() {{
    {PREFIX}/bin/python -m pip download -q --no-deps --only-binary :all: -d wheels "$1" 2>>said ||
        timeout 600 {PREFIX}/bin/python -m pip wheel -q --no-deps -w wheels "$1" 2>>said ||
        echo "$1" >>missing
}}
export -f one
xargs -P 4 -n 1 bash -c 'one "$0"' <pins
# a package that the index lacks can be left out; one that could not be asked for cannot
if [ -s missing ] && grep -E "ConnectionError|Timeout|name resolution|Max retries" said; then
    exit 1
fi
{PREFIX}/bin/python -m pip install -q --no-deps --no-index wheels/* || exit 1
echo MISSING $(sort missing)
"""


def environment_layer(
    client: DockerClient,
    python: str,
    pins: Sequence[str],
    when: datetime | None,
    uv: bytes | None,
    say: Progress,
) -> str:
    """The image that has ``pins`` (``name==version``) on the interpreter layer ``python``.

    What has no wheel is built, with the tools of ``when``. A pin that cannot be had for this Python is
    left out, and said to be (label ``fixbug.missing``).
    """
    pins = sorted(set(pins))
    name = f"fixbug/env:{digest(python, pins)}"

    def steps(bench: Workbench) -> dict[str, str]:
        missing = _install(bench, pins, when, uv)
        return {"fixbug.layer": "env", "fixbug.missing": missing}

    return build_layer(client, name, python, steps, on_progress=say)


def _install(bench: Workbench, pins: Sequence[str], when: datetime | None, uv: bytes | None) -> str:
    """The names that are left out."""
    if not pins:
        return ""
    if uv:
        bench.put(BUILD_DIR, {"uv": uv}, mode=0o755)
        bench.put(BUILD_DIR, {"pins": "".join(f"{pin}\n" for pin in pins).encode()})
        options = "-q --no-config --no-progress --no-deps --compile-bytecode --link-mode copy"
        command = f"{UV} pip install {options} --python {PREFIX}/bin/python -r {BUILD_DIR}/pins"
        # what is old may need a setuptools from before things were taken out of it
        bench.put(BUILD_DIR, {"old": b"setuptools<46\n"})
        for how in dict.fromkeys((dated(when), "", f"-b {BUILD_DIR}/old")):
            code, _ = bench.attempt(f"{command} {how}")
            if not code:
                bench.say(f"{len(pins)} packages installed")
                return ""
    tools = [pin for pin in pins if re.split("[=<>!~;[ ]", pin)[0] in _TOOLS]
    if tools:
        bench.script("install pip and setuptools", _pip_install(tools), cure=INDEX_CURE)
    wanted = [pin for pin in pins if pin not in tools]
    if not wanted:
        return ""
    code, _ = bench.attempt(_pip_install(wanted))
    if not code:
        bench.say(f"{len(pins)} packages installed")
        return ""
    bench.put(BUILD_DIR, {"pins": "".join(f"{pin}\n" for pin in wanted).encode()})
    tail = bench.script(f"install {len(wanted)} packages one by one", _PIN_BY_PIN, cure=INDEX_CURE)
    missing = tail.rpartition("MISSING")[2].strip()
    bench.say(f"not on the index for this Python, left out: {missing or 'none'}")
    return missing


def _pip_install(requirements: Sequence[str]) -> str:
    return f"{PREFIX}/bin/python -m pip install -q --no-deps " + " ".join(map(shlex.quote, requirements))
