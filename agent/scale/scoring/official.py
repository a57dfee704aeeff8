"""swebench's own evaluation, unchanged, for comparison: its ``run_evaluation`` in a process of its own.

It keeps results by (run, model, instance) and takes one prediction an instance, so each distinct patch gets
a model's name made of what its grade depends on, and several patches of one instance go into several runs.
The rows' ``image`` names the images that ours ran in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import SandboxError
from agent.record import write_atomically
from agent.scale.scoring.predictions import Prediction

__all__ = ["Candidate", "run_official"]


@dataclass(frozen=True)
class Candidate:
    """A patch and the image to try it in; ``key`` names what its verdict depends on."""

    prediction: Prediction
    image: str
    key: str


def run_official(
    rows: Mapping[str, Mapping[str, Any]],
    candidates: Sequence[Candidate],
    folder: Path,
    *,
    workers: int,
    timeout: float,
) -> tuple[dict[str, bool | None], float]:
    """Key → swebench's verdict (None: it gave none, as for an empty patch), and the seconds that it took.

    Its files are in ``folder``; what it finished there before is not run again. Raises ``SandboxError``
    where it fails as a whole.
    """
    began = time.monotonic()
    layers: dict[int, list[Candidate]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for candidate in candidates:
        name = candidate.prediction.instance_id
        layers[seen[name]].append(candidate)
        seen[name] += 1
    verdicts: dict[str, bool | None] = {}
    for number, layer in layers.items():
        # its containers are named after the run, and it removes whatever has that name already
        place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        verdicts |= _run(rows, layer, folder, f"fixbug-{place}-{number}", workers, timeout)
    return verdicts, time.monotonic() - began


def _run(
    rows: Mapping[str, Mapping[str, Any]],
    layer: Sequence[Candidate],
    folder: Path,
    run_id: str,
    workers: int,
    timeout: float,
) -> dict[str, bool | None]:
    dataset, predictions = folder / f"{run_id}.dataset.jsonl", folder / f"{run_id}.predictions.jsonl"
    images = [{**rows[one.prediction.instance_id], "image": one.image} for one in layer]
    write_atomically(dataset, "".join(json.dumps(row) + "\n" for row in images))
    asked = [
        {
            "instance_id": one.prediction.instance_id,
            "model_name_or_path": one.key,
            "model_patch": one.prediction.patch,
        }
        for one in layer
    ]
    write_atomically(predictions, "".join(json.dumps(row) + "\n" for row in asked))
    command = [
        sys.executable, "-m", "swebench.harness.run_evaluation", "-d", dataset.name, "-p", predictions.name,
        "-id", run_id, "--max_workers", str(workers), "-t", str(int(timeout)),
    ]  # fmt: skip
    log = folder / f"{run_id}.log"
    with log.open("wb") as output, _swept(run_id):
        ran = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=_env(), check=False,
        )  # fmt: skip
    if ran.returncode:
        said = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
        raise SandboxError(
            f"swebench's run_evaluation ended with status {ran.returncode}: {' '.join(said)}",
            cure=f"{log} has all that it said",
        )
    return {one.key: _verdict(folder, run_id, one) for one in layer}


@contextmanager
def _swept(run_id: str) -> Iterator[None]:
    """Where it is stopped it leaves its containers running."""
    try:
        yield
    finally:
        from docker.errors import APIError

        from sandbox.docker import connect

        client = connect()
        try:
            for container in client.containers.list(
                all=True, filters={"name": f"\\.{run_id}$"}, ignore_removed=True
            ):
                with contextlib.suppress(APIError):
                    container.remove(force=True)
        finally:
            client.close()


def _verdict(folder: Path, run_id: str, one: Candidate) -> bool | None:
    name = one.prediction.instance_id
    report = folder / "logs" / "run_evaluation" / run_id / one.key / name / "report.json"
    try:
        return bool(json.loads(report.read_text("utf-8"))[name]["resolved"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SandboxError(
            f"{report} cannot be read: {error}", cure="remove it, and give the same command again"
        ) from error


def _env() -> dict[str, str]:
    """What swebench needs of the environment: no key or token of anybody's."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "XDG_CONFIG_HOME")
    return {name: value for name, value in os.environ.items() if name in names or name.startswith("DOCKER_")}
