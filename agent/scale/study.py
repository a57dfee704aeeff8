"""``fixbug sweep``: from what was asked (a dataset, candidates) to the table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import FixbugError, IntakeError, SandboxError
from agent.record import write_atomically
from agent.scale.candidates import CandidateSet, read_candidates
from agent.scale.pool import Pool
from agent.scale.selection import select
from agent.scale.sweep import Sweep, sweep

__all__ = ["SweepRequest", "default_cache", "run_sweep", "write_choices"]

Say = Callable[[str, bool], None]
"""A line for the user; True: only worth a live display."""


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for. ``ks`` empty: powers of two, and the largest number of candidates."""

    dataset: str
    candidates: tuple[Path, ...]
    ks: tuple[int, ...] = ()
    selectors: tuple[str, ...] | None = None
    instances: tuple[str, ...] = ()
    pattern: str | None = None
    sample: int | None = None
    seed: int = 0
    execute: bool = False
    workers: int = 2
    test_seconds: float = 240.0
    cache: Path | None = None


def run_sweep(request: SweepRequest, say: Say = lambda text, passing: None) -> tuple[CandidateSet, Sweep]:
    """Read, execute if asked, and sweep. Raises ``FixbugError``."""
    from agent.intake import load_rows

    rows = load_rows(request.dataset)
    by_id = {str(row["instance_id"]): row for row in rows if row.get("instance_id")}
    if not by_id:
        raise IntakeError(
            f"the rows of {request.dataset} have no instance_id", cure="give a dataset in SWE-bench's format"
        )
    wanted = select(
        list(by_id), instances=request.instances, pattern=request.pattern, sample=request.sample,
        seed=request.seed,
    )  # fmt: skip
    everything = read_candidates(request.candidates)
    used = everything.only(wanted)
    _tell(everything, used, wanted, by_id, say)
    executed = _execute(request, used, by_id, say) if request.execute else {}
    pools = {name: executed.get(name) or Pool(found) for name, found in used.by_instance.items()}
    largest = max(len(pool.candidates) for pool in pools.values())
    found = sweep(
        used,
        pools,
        ks=request.ks or _powers(largest),
        names=request.selectors,
        seed=request.seed,
        on_progress=lambda text: say(text, True),
    )
    return used, found


def write_choices(candidates: CandidateSet, found: Sweep, folder: Path) -> list[Path]:
    """``sweep.json``, and each selector's choice among all candidates as SWE-bench predictions."""
    written = [folder / "sweep.json"]
    write_atomically(written[0], json.dumps(found.to_json(), indent=1) + "\n")
    for name, chosen in found.chosen.items():
        lines = [
            json.dumps(
                {
                    "instance_id": instance,
                    "model_name_or_path": f"fixbug-{name}",
                    "model_patch": candidates.by_instance[instance][order].patch,
                }
            )
            for instance, order in chosen.items()
        ]
        path = folder / f"predictions-{name}.jsonl"
        write_atomically(path, "\n".join(lines) + "\n")
        written.append(path)
    return written


def default_cache() -> Path:
    """Where results of execution are kept: below the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "fixbug", "executed")


def _powers(largest: int) -> tuple[int, ...]:
    return tuple(sorted({largest, *(2**i for i in range(largest.bit_length()) if 2**i <= largest)}))


def _tell(
    everything: CandidateSet, used: CandidateSet, wanted: Sequence[str], by_id: Mapping[str, Any], say: Say
) -> None:
    foreign = [name for name in everything.instances if name not in by_id]
    if foreign:
        say(f"candidates of {len(foreign)} instances that the dataset does not have are left out", False)
    bare = [name for name in wanted if name not in used.by_instance]
    if not used.instances:
        raise IntakeError(
            f"none of the {len(wanted)} selected instances has a candidate",
            cure=f"the candidates are of instances such as {everything.instances[0]}",
        )
    if bare:
        say(f"{len(bare)} selected instances have no candidate: {', '.join(bare[:5])}", False)


def _execute(
    request: SweepRequest, candidates: CandidateSet, rows: Mapping[str, dict[str, Any]], say: Say
) -> dict[str, Pool]:
    """The instances whose candidates could be executed. Others are named; if none could, the last error."""
    from agent.intake import check_row

    checked = {name: check_row(rows[name]) for name in candidates.instances}
    problem: FixbugError | None = None
    found: dict[str, Pool] = {}

    def one(name: str) -> Pool | SandboxError:
        try:
            return _execute_one(request, candidates, checked[name], say)
        except SandboxError as error:
            return error

    with ThreadPoolExecutor(max_workers=request.workers) as threads:
        for name, result in zip(candidates.instances, threads.map(one, candidates.instances), strict=True):
            if isinstance(result, SandboxError):
                problem = result
                say(f"{name} was not executed: {result.problem.splitlines()[0]}", False)
            else:
                found[name] = result
                say(f"{name}: executed ({len(found)} of {len(candidates.instances)})", False)
    if not found and problem is not None:
        raise problem
    return found


def _execute_one(request: SweepRequest, candidates: CandidateSet, row: dict[str, Any], say: Say) -> Pool:
    from agent.scale.executing import ExecutionSettings, execute
    from agent.scale.suites import RowSuite
    from sandbox import SandboxSpec
    from sandbox.environment import image_for_row

    name = row["instance_id"]
    image = image_for_row(row, on_progress=lambda text: say(text, True))
    spec = SandboxSpec(
        kind="docker", image=image, base_commit=row["base_commit"], labels={"fixbug.instance": name}
    )
    settings = ExecutionSettings(cache=request.cache or default_cache(), timeout=request.test_seconds)
    return execute(
        candidates.by_instance[name],
        spec,
        RowSuite(row),
        settings,
        on_progress=lambda text: say(f"{name}: {text}", True),
    )
