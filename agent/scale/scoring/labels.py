"""Labels from ``fixbug score``: which candidates its grades call resolved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agent.errors import IntakeError
from agent.scale.candidates import CandidateSet
from agent.scale.scoring.predictions import digest

__all__ = ["Verdict", "labelled"]

Verdict = Literal["official", "hardened"]


def labelled(candidates: CandidateSet, path: Path, verdict: Verdict = "official") -> CandidateSet:
    """``candidates`` with the labels of ``path``, a folder of ``fixbug score`` or its grades.jsonl.

    A grade counts for every candidate with that patch, to the byte. Candidates without a grade keep what
    they have. Raises ``IntakeError`` for a file that holds no grades, or none of these candidates'.
    """
    file = path / "grades.jsonl" if path.is_dir() else path
    grades: dict[tuple[str, str], bool] = {}
    try:
        for line in file.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["status"] == "graded":
                grades[row["instance_id"], row["patch_sha256"]] = bool(row[verdict])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntakeError(
            f"{file} holds no grades ({type(error).__name__}: {error})",
            cure="give the folder that fixbug score DATASET --predictions FILE has written",
        ) from error
    found = {
        name: tuple(
            replace(candidate, resolved=grades.get((name, digest(candidate.patch)), candidate.resolved))
            for candidate in group
        )
        for name, group in candidates.by_instance.items()
    }
    if not any((c.instance_id, digest(c.patch)) in grades for c in candidates):
        raise IntakeError(f"{file} holds no grade of these candidates", cure="score the same file")
    return CandidateSet(found)
