"""What a Docker sandbox costs, beside mini-swe-agent's Docker environment and the bare engine, in one run.

    python benchmarks/sandbox.py [--image IMAGE] [--repeat N] [--at-once N] [--json]

- step    a shell command (``true``) in a warm sandbox: ours and mini-swe-agent's in turn; the ratio is the
          median of the pairs. mini-swe-agent is installed with pip into a temporary environment; where it
          cannot be had, that column is empty, and says so.
- open    a sandbox ready to use (history shown to be scrubbed, work tree noted) over the engine's own
          create and start of the same image, in turn; the first sandbox of an image, slower, apart.
- memory  what one idle sandbox adds to this process (resident set), from ``--at-once`` of them.
- at once so many sandboxes opened together by as many threads, one command in each: errors, and seconds.

``--image`` holds a repository at /testbed (such as ``fixbug/instance:…``). Without it a small one is made
from ``fixbug-test-base:latest`` (``.ci/base-image`` makes that) and removed again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import docker

from sandbox import SandboxSpec, ready
from sandbox.docker import DockerSandbox

if TYPE_CHECKING:
    from docker import DockerClient

STEP_TARGET, STEP_MS, OPEN_TARGET, MEMORY_MB = 0.2, 15.0, 1.2, 1.0
PEER = """
import sys, time
from minisweagent.environments.docker import DockerEnvironment
box = DockerEnvironment(image=sys.argv[1], cwd="/testbed")
print("ready", flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    assert box.execute({"command": "true"})["returncode"] == 0
    print(time.perf_counter() - begun, flush=True)
print(box.container_id, flush=True)
"""
MAKE = (
    "mkdir /testbed && cd /testbed && git init -q -b main && echo 'x = 1' >a.py && git add . && "
    "git -c user.name=a -c user.email=a@example.org commit -q -m base"
)


@contextlib.contextmanager
def image(client: DockerClient, given: str | None) -> Iterator[str]:
    """The image to measure on; one that was made here is removed."""
    if given:
        yield given
        return
    container = client.containers.run("fixbug-test-base:latest", ["sleep", "60"], detach=True, init=True)
    try:
        status, output = container.exec_run(["bash", "-c", MAKE])
        if status:
            raise SystemExit(f"no image to measure on: {output.decode().strip()}")
        made = container.commit("fixbug-benchmark", f"sandbox-{os.getpid()}")
    finally:
        container.remove(force=True)
    kept = ready.name_of(str(made.id), "/testbed", None)
    try:
        yield made.tags[0]
    finally:
        for name in (kept, made.tags[0]):
            with contextlib.suppress(docker.errors.APIError):
                client.images.remove(name, force=True)


class Peer:
    """mini-swe-agent's environment, in a process of its own: one step a line."""

    def __init__(self, folder: Path, image: str) -> None:
        python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "mini-swe-agent"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        shown = subprocess.run(
            [python, "-c", "import importlib.metadata as m; print(m.version('mini-swe-agent'))"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        self.version = shown.stdout.strip()
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "MSWEA_SILENT_STARTUP": "1"}
        self._process = subprocess.Popen(
            [python, "-c", PEER, image], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        while (line := self._out.readline().strip()) != "ready":
            if self._process.poll() is not None:
                raise RuntimeError(f"it did not start: {line or 'no message'}")

    def step(self) -> float:
        self._in.write("step\n")
        self._in.flush()
        return float(self._out.readline())

    def close(self, client: DockerClient) -> None:
        self._in.close()
        container = self._out.readline().strip()
        self._process.wait()
        with contextlib.suppress(docker.errors.APIError):
            client.api.remove_container(container, force=True)


def steps(client: DockerClient, image: str, repeat: int) -> dict[str, Any]:
    """Seconds of one step, ours and the peer's."""
    found: dict[str, Any] = {}
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder, DockerSandbox(SandboxSpec("docker", image)) as box:
        try:
            peer: Peer | None = Peer(Path(folder), image)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            peer, found["peer"] = None, f"mini-swe-agent cannot be had: {error}"
        for _ in range(repeat):
            begun = time.perf_counter()
            assert box.run("true").ok
            ours.append(time.perf_counter() - begun)
            if peer:
                theirs.append(peer.step())
        if peer:
            found["peer"] = f"mini-swe-agent {peer.version}"
            peer.close(client)
            pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
            found |= {"peer_ms": 1000 * statistics.median(theirs), "ratio": statistics.median(pairs)}
    return {"ours_ms": 1000 * statistics.median(ours), **found}


def opening(client: DockerClient, image: str, repeat: int) -> dict[str, Any]:
    """Seconds until a sandbox can be used, and of the engine's create and start alone."""
    api: Any = client.api
    begun = time.perf_counter()
    DockerSandbox(SandboxSpec("docker", image)).close()
    first = time.perf_counter() - begun
    bare, ours = [], []
    for _ in range(repeat):
        begun = time.perf_counter()
        host = api.create_host_config(network_mode="none", init=True)
        made = api.create_container(image, ["sleep", "60"], entrypoint="", host_config=host)["Id"]
        api.start(made)
        bare.append(time.perf_counter() - begun)
        api.remove_container(made, force=True)
        begun = time.perf_counter()
        box = DockerSandbox(SandboxSpec("docker", image))
        ours.append(time.perf_counter() - begun)
        box.close()
    pairs = [mine / other for mine, other in zip(ours, bare, strict=True)]
    return {
        "ours_ms": 1000 * statistics.median(ours),
        "engine_ms": 1000 * statistics.median(bare),
        "ratio": statistics.median(pairs),
        "first_ms": 1000 * first,
    }


def at_once(image: str, number: int) -> dict[str, Any]:
    """``number`` sandboxes together: what each adds to this process, errors, seconds."""
    boxes: list[DockerSandbox] = []
    errors: list[str] = []

    def one(_: int) -> None:
        try:
            box = DockerSandbox(SandboxSpec("docker", image))
            boxes.append(box)
            if box.run("echo here").output != "here\n":
                errors.append("a wrong answer")
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    before = _resident()
    begun = time.perf_counter()
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(one, range(number)))
    seconds = time.perf_counter() - begun
    # The threads are gone again: what is left is the sandboxes'.
    added = (_resident() - before) / max(1, len(boxes)) / 2**20
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda box: box.close(), boxes))
    return {"number": number, "errors": errors, "seconds": seconds, "mb_each": added}


def _resident() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    step, opened, many = found["step"], found["open"], found["at_once"]
    rows = [f"{'':34}{'ours':>10}{'peer':>10}{'ratio':>8}{'target':>8}"]

    def row(
        name: str, ours: str, peer: str = "", ratio: float | None = None, bound: float = 0, value: float = 0
    ) -> None:
        shown = "" if ratio is None else f"{ratio:.2f}"
        goal = f"{bound:8g}  {'met' if (value or ratio or 0) <= bound else 'MISSED'}" if bound else ""
        rows.append(f"{name:34}{ours:>10}{peer:>10}{shown:>8}{goal}")

    ms = f"{step['ours_ms']:.1f} ms"
    if "ratio" in step:
        row(f"a step, beside {step['peer']}", ms, f"{step['peer_ms']:.1f} ms", step["ratio"], STEP_TARGET)
    else:
        rows.append(step["peer"])
    row("a step, in ms", ms, bound=STEP_MS, value=step["ours_ms"])
    bare = f"{opened['engine_ms']:.0f} ms"
    row("opening, beside create + start", f"{opened['ours_ms']:.0f} ms", bare, opened["ratio"], OPEN_TARGET)
    row("the first of an image", f"{opened['first_ms']:.0f} ms")
    row("memory here, an idle one", f"{many['mb_each']:.2f} MB", bound=MEMORY_MB, value=many["mb_each"])
    row(f"{many['number']} at once", f"{many['seconds']:.1f} s", f"{len(many['errors'])} errors")
    rows += [f"  {error}" for error in many["errors"][:5]]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", help="an image with a repository at /testbed")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    client = docker.from_env()
    with image(client, asked.image) as name:
        found = {
            "image": name,
            "open": opening(client, name, asked.repeat),
            "step": steps(client, name, 4 * asked.repeat),
            "at_once": at_once(name, asked.at_once),
        }
    print(json.dumps(found, indent=2) if asked.json else table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
