"""What people see of ``fixbug score``."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.report.terminal import printable
from agent.scale.scoring.grading import Graded
from agent.scale.scoring.scored import Scored

__all__ = ["show_scored"]

_HUNK = 10
"""Lines of a rejected hunk."""
_MOST = 12


def show_scored(found: Scored, console: Console) -> None:
    """Counts by verdict, then every patch on which they part, what does not apply, and every failure."""
    whole = found.to_json()
    table = Table(title=None, box=None, pad_edge=False)
    for name in ("verdict", "patches", "instances"):
        table.add_column(name, justify="left" if name == "verdict" else "right")
    total = (f"{whole['graded']}", f"{whole['instances']}")
    for verdict in ("official", "hardened"):
        counts = whole[verdict]
        table.add_row(
            verdict, f"{counts['patches']} of {total[0]}", f"{len(counts['instances'])} of {total[1]}"
        )
    console.print(table)
    known = f", {whole['known']} known from before" if whole["known"] else ""
    _print(
        console,
        f"{whole['proposed']} predictions, {whole['distinct']} distinct{known}; {found.seconds:.1f} s",
    )
    _section(console, "The verdicts part on", [_part(one) for one in found.differing])
    refused = [one for one in found.graded if one.grade is not None and not one.grade["detail"]["applied"]]
    _section(console, "Do not apply", [f"{_name(one)}: {_rejected(one)}" for one in refused])
    failed = [one for one in found.graded if one.status == "failed"]
    _section(console, "NOT graded, for reasons that are not the patch's", [_failed(one) for one in failed])
    if whole["pending"]:
        _print(console, f"{whole['pending']} were not come to")
    if found.swebench is not None:
        said = sum(verdict is not None for verdict in found.swebench.values())
        silent = len(found.swebench) - said
        note = f"; it wrote no report for {silent}" if silent else ""
        _print(
            console, f"swebench's own run agrees on {said - len(found.disagreeing)} of {said} patches{note}"
        )
        _section(console, "It says otherwise on", [_name(one) for one in found.disagreeing])
    _print(console, f"grades: {found.request.folder}/score.json")


def _section(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    _print(console, f"{title}:")
    for line in lines[:_MOST]:
        _print(console, f"  {line}")
    if len(lines) > _MOST:
        _print(console, f"  … and {len(lines) - _MOST} more in score.json")


def _print(console: Console, text: str) -> None:
    console.print(escape(printable(text)), highlight=False, soft_wrap=True)


def _name(one: Graded) -> str:
    who = f" ({', '.join(one.prediction.names[:2])})" if one.prediction.names else ""
    return f"{one.prediction.instance_id} {one.prediction.digest[:8]}{who}"


def _part(one: Graded) -> str:
    hardened = one.grade["hardened"] if one.grade else {}
    said = {True: "resolved", False: "not resolved"}
    why = list(hardened.get("reasons", ()))
    if hardened.get("removed"):
        why.append(f"without {', '.join(hardened['removed'])}")
    verdicts = f"official {said[one.official]}, hardened {said[one.hardened]}"
    return f"{_name(one)}: {verdicts}: {'; '.join(why)}"


def _rejected(one: Graded) -> str:
    """What the command said, and the first hunk that it could not place."""
    lines = str(one.grade["detail"]["apply"]).splitlines() if one.grade else []
    hunk = next((n for n, line in enumerate(lines) if line.startswith("@@")), len(lines))
    said = [line for line in lines[:hunk] if line.strip() and not line.startswith(("--- ", "+++ ", "==> "))]
    shown = "".join(f"\n      {line}" for line in lines[hunk : hunk + _HUNK])
    return (" | ".join(said[-3:]) or "no message") + shown


def _failed(one: Graded) -> str:
    if one.error is None:
        return _name(one)
    return f"{_name(one)}: {one.error.problem.splitlines()[0]} → {one.error.cure}"
