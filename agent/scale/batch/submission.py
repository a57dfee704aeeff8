"""The folder that the SWE-bench leaderboard asks for (SWE-bench/experiments, ``evaluation/<split>/``).

::

    <date>_<name>/all_preds.jsonl            first attempts, in SWE-bench's format
                  metadata.yaml  README.md
                  logs/<instance>/           patch.diff, report.json, test_output.txt
                  trajs/<instance>.jsonl

Its ``analysis/get_results.py`` grades ``test_output.txt`` anew, which is what the row's own eval script
printed; an instance without a folder in ``logs/`` counts as one for which nothing was proposed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import FixbugError
from agent.record import folder_name
from agent.scale.batch.results import is_resolved
from agent.scale.batch.store import RunStore, summary_of

__all__ = ["write_submission"]


def write_submission(store: RunStore, name: str, *, model: str, network: bool) -> Path:
    """Write it, below the run's folder. Raises ``FixbugError`` where it cannot be written.

    What a person has to say (organisation, site, whether the model is open) stays a blank in metadata.yaml.
    """
    folder = store.folder / "submission" / f"{time.strftime('%Y%m%d')}_{folder_name(name)}"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "trajs").mkdir(parents=True)
        shutil.copyfile(store.folder / "predictions.jsonl", folder / "all_preds.jsonl")
        resolved = count = 0
        for path in sorted(store.folder.glob("*/1/attempt.json")):
            summary = summary_of(path)
            if summary is None:
                continue
            count += 1
            resolved += is_resolved(summary)
            _add(folder, path, json.loads(path.read_text("utf-8")))
        (folder / "metadata.yaml").write_text(_metadata(model), encoding="utf-8")
        (folder / "README.md").write_text(_readme(model, resolved, count, network), encoding="utf-8")
    except OSError as error:
        raise FixbugError(
            f"{error.filename or folder} cannot be written: {error.strerror}",
            cure="free some disk, and give the same command again: the attempts are kept",
        ) from error
    return folder


def _add(folder: Path, path: Path, outcome: Mapping[str, Any]) -> None:
    instance = folder_name(str(outcome["instance_id"]))
    shutil.copyfile(path.parent / "trajectory.jsonl", folder / "trajs" / f"{instance}.jsonl")
    if not outcome["patch"].strip():
        return
    logs = folder / "logs" / instance
    logs.mkdir(parents=True)
    (logs / "patch.diff").write_text(outcome["patch"], encoding="utf-8", errors="backslashreplace")
    report = {outcome["instance_id"]: _report(outcome["score"] or {})}
    (logs / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if (log := path.parent / "hidden-tests.log").exists():
        shutil.copyfile(log, logs / "test_output.txt")


def _report(score: Mapping[str, Any]) -> dict[str, Any]:
    """swebench's own, or its shape for what it has not graded (a plain task, a patch that does not apply)."""
    detail = score.get("detail") or {}
    return detail.get("report") or {
        "patch_is_None": False,
        "patch_exists": True,
        "patch_successfully_applied": bool(detail.get("applied")),
        "resolved": bool(score.get("resolved")),
    }


def _metadata(model: str) -> str:
    named = json.dumps(model)  # JSON's texts are YAML's, too
    return (
        f"info:\n  name: {json.dumps(f'fixbug + {model}')}\n  site:\n  authors:\n  report:\n  logo:\n"
        f"tags:\n  model:\n  - {named}\n  org:\n  os_model:\n  os_system: true\n  checked: false\n"
        '  system:\n    attempts: "1"\n'
    )


def _readme(model: str, resolved: int, count: int, network: bool) -> str:
    return (
        f"# fixbug + {model}\n\n{resolved} of {count} instances resolved, one attempt each (pass@1).\n\n"
        "Hidden tests (FAIL_TO_PASS, PASS_TO_PASS) and hints were not available to the system. Its sandboxes "
        f"had {'a' if network else 'no'} network. Each attempt's trajectory is in `trajs/`, its patch, grade "
        "and test log in `logs/`.\n"
    )
