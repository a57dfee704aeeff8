"""``fixbug trust --plot``: the record as an image, through matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.errors import FixbugError, UsageError
from agent.world.calibration.standing import Share, Standing

SUFFIXES = (".svg", ".png")


def check_plot(path: Path) -> None:
    """Raise ``UsageError`` where no image can be drawn into ``path``, before any work is done."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: an image ends in .svg or .png", cure="such as --plot trust.svg")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path.parent} is no folder", cure="make it first, or name another")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed", cure="pip install 'fixbug-cwm[plots]'"
        ) from error


def plot(standings: Sequence[Standing], path: Path) -> None:
    """Draw one row a simulator: reliability, and precision by kind of code, with intervals."""
    from matplotlib.figure import Figure

    if not standings:
        raise UsageError(
            "there is no record to draw", cure="run fixbug first: the picture is of its predictions"
        )
    figure = Figure(figsize=(11, 4.2 * len(standings)), layout="constrained")
    axes = figure.subplots(len(standings), 2, squeeze=False)
    for (left, right), standing in zip(axes, standings, strict=True):
        left.plot([0, 1], [0, 1], color="0.7", linestyle="--")
        shares = [one.right for one in standing.bins]
        if shares:
            means = [one.mean for one in standing.bins]
            left.errorbar(means, _values(shares), yerr=_errors(shares), fmt="o", capsize=3)
            for one in standing.bins:
                left.annotate(str(one.right.count), (one.mean, one.right.hits / one.right.count))
        left.set(title=standing.simulator, xlabel="trust", ylabel="came true", xlim=(0, 1), ylim=(0, 1.02))
        names = [f"{on.kind} ({on.count})" for on in standing.kinds]
        for offset, name in ((-0.17, "broken"), (0.17, "holds")):
            rows = [
                (at + offset, on.precision_broken if name == "broken" else on.precision_holds)
                for at, on in enumerate(standing.kinds)
            ]
            there = [(at, share) for at, share in rows if share.count]
            if there:
                shares = [share for _, share in there]
                right.errorbar(
                    _values(shares),
                    [at for at, _ in there],
                    xerr=_errors(shares),
                    fmt="o",
                    capsize=3,
                    label=name,
                )
        right.set(
            title="came true, where it said", xlim=(0, 1.02), yticks=range(len(names)), yticklabels=names
        )
        right.invert_yaxis()
        if right.get_legend_handles_labels()[0]:
            right.legend()
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        figure.savefig(part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FixbugError(f"{path} cannot be written: {error.strerror}", cure="name another file") from error


def _values(shares: Sequence[Share]) -> list[float]:
    return [share.hits / share.count for share in shares]


def _errors(shares: Sequence[Share]) -> list[list[float]]:
    """How far the interval reaches below and above."""
    below, above = [], []
    for share in shares:
        (low, high), value = share.interval, share.hits / share.count
        below.append(max(0.0, value - low))
        above.append(max(0.0, high - value))
    return [below, above]
