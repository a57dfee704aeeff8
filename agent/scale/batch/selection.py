"""Which instances of a dataset: named, matched, sliced, sampled."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Collection, Sequence

from agent.errors import IntakeError, UsageError

__all__ = ["select"]


def select(
    known: Sequence[str],
    *,
    instances: Collection[str] = (),
    pattern: str | None = None,
    exclude: Collection[str] = (),
    cut: str | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> list[str]:
    """The ids of ``known`` that remain, in their order: first ``instances`` (none: all), then those in which
    the regular expression ``pattern`` is found, less ``exclude``, then the slice ``cut`` (Python's
    ``START:STOP:STEP``), then ``sample`` of them drawn with ``seed``.

    Raises ``IntakeError`` for ids that are not there (with the nearest), ``UsageError`` where a pattern or a
    slice cannot be read, and where nothing remains.
    """
    ids = list(dict.fromkeys(known))
    _check_known(ids, instances)
    kept = [name for name in ids if name in instances] if instances else ids
    if pattern is not None:
        try:
            wanted = re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"--filter {pattern!r} is no regular expression: {error}",
                cure="escape what is meant as it stands",
            ) from error
        kept = [name for name in kept if wanted.search(name)]
    kept = [name for name in kept if name not in set(exclude)]
    if cut is not None:
        kept = kept[_slice(cut)]
    if sample is not None and sample < len(kept):
        drawn = set(random.Random(seed).sample(sorted(kept), sample))
        kept = [name for name in kept if name in drawn]
    if not kept:
        raise UsageError(
            f"no instance is left of {len(ids)}: the selection is empty",
            cure=f"ids look like {ids[0]}" if ids else "give a dataset with rows",
        )
    return kept


def _check_known(ids: Sequence[str], instances: Collection[str]) -> None:
    unknown = [name for name in instances if name not in set(ids)]
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], ids, n=3, cutoff=0.5) or list(ids[:3])
    more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
    raise IntakeError(
        f"no instance {unknown[0]!r}{more} among the dataset's {len(ids)}",
        cure=f"did you mean {', '.join(near)}?",
    )


def _slice(cut: str) -> slice:
    match = re.fullmatch(r"\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(-?\d+)\s*)?", cut)
    if match is None or "-" in match.groups() or match[3] == "0":
        raise UsageError(f"expected a slice, got {cut!r}", cure="e.g. 0:50 or 100: or ::10")
    start, stop, step = (int(part) if part else None for part in match.groups())
    return slice(start, stop, step)
