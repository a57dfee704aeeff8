"""A batch at its end: the table of what was resolved, what it cost and why the rest failed; and its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from agent.report.terminal import printable

if TYPE_CHECKING:
    from agent.scale.batch.bench import Benched

__all__ = ["show_batch", "show_plan"]


def show_batch(found: Benched, console: Console) -> None:
    data = found.results.data
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("repository")
    for name in ("attempts", "resolved", "rate", "95 % interval"):
        table.add_column(name, justify="right")
    for name, rate in data["repositories"].items():
        table.add_row(printable(name), *_cells(rate))
    if len(data["repositories"]) > 1:
        table.add_section()
        table.add_row("all", *_cells(data["rate"]))
    console.print(table)
    causes = ", ".join(f"{count} {name}" for name, count in data["causes"].items())
    console.print(f"outcomes      {causes or 'none'}", highlight=False)
    if len(data["pass_at"]) > 1:
        shown = ", ".join(f"pass@{k} {100 * value:.1f} %" for k, value in data["pass_at"].items())
        console.print(f"pass@k        {shown}", highlight=False)
    cost = data["cost"]
    money = cost["usd"] if isinstance(cost["usd"], str) else f"${cost['usd']:.2f}"
    console.print(
        f"cost          {cost['tokens']:,} tokens, {money} money, {cost['seconds']:.0f} s of attempts, "
        f"{cost['container_seconds']:.0f} s of sandboxes",
        highlight=False,
    )
    if record := data.get("record"):
        console.print(
            f"record        {record['attempts']} attempts made again: {len(record['other_patch'])} with "
            f"another patch, {len(record['other_score'])} with another score "
            f"{' '.join(record['other_patch'][:5])}".rstrip(),
            highlight=False,
            soft_wrap=True,
        )
    for name, error in list(data["failures"].items())[:10]:
        said = error["problem"].splitlines()[0]
        console.print(printable(f"no attempt    {name}: {said}"), highlight=False, soft_wrap=True)
    if len(data["failures"]) > 10:
        console.print(
            f"              and {len(data['failures']) - 10} more, in results.json", highlight=False
        )
    cures = dict.fromkeys(error["cure"] for error in data["failures"].values() if error["cure"])
    for cure in list(cures)[:3]:
        console.print(printable(f"            → {cure}"), highlight=False, soft_wrap=True)
    console.print(f"files         {found.folder}", highlight=False, soft_wrap=True)
    if found.submission:
        console.print(f"leaderboard   {found.submission}", highlight=False, soft_wrap=True)
    if not found.complete:
        why = f"stopped: {found.stopped}; " if found.stopped else ""
        left = data["attempts"] - data["ended"]
        console.print(
            f"{why}{left} attempts are left, and the same command goes on with them",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def _cells(rate: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if not rate["n"]:
        return ("0", "0", "", "")
    return (
        str(rate["n"]),
        str(rate["resolved"]),
        f"{100 * rate['rate']:.1f} %",
        f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}",
    )


def show_plan(plan: Mapping[str, Any], console: Console) -> None:
    """What ``--dry-run`` says."""
    usd = plan["estimated_usd"]
    if not plan["asks_a_model"]:
        price = "nothing: no model is asked"
    elif usd is not None:
        about = f"about ${usd:.2f}" if usd >= 0.01 else "less than $0.01"
        price = f"{about}, going by {plan['past_attempts']} attempts so far"
    elif plan["at_most_usd"] is not None:
        price = f"at most ${plan['at_most_usd']:.2f}"
    elif plan["past_attempts"]:
        price = "unknown: set FIXBUG_PRICE_INPUT and FIXBUG_PRICE_OUTPUT, or bound it with --budget-tokens"
    else:
        price = "unknown: no attempt of this model to go by; --budget-usd or --budget-tokens bounds it"
    lines = [
        ("run", plan["run"]),
        ("attempts", f"{plan['left']} of {plan['attempts']} ({plan['done']} have ended)"),
        ("at once", plan["workers"]),
        ("instances", f"{len(plan['instances'])}: {', '.join(plan['instances'][:5])}"
         + (" …" if len(plan["instances"]) > 5 else "")),
        ("price", price),
    ]  # fmt: skip
    if plan["estimated_tokens"] is not None:
        lines.append(("tokens", f"about {plan['estimated_tokens']:,}"))
    if plan["estimated_seconds"] is not None:
        lines.append(("time", f"about {plan['estimated_seconds'] / 60:.0f} minutes"))
    missing = plan["images_missing"]
    if missing is None:
        lines.append(("images", f"{plan['images_needed']} needed; {plan['engine'].splitlines()[0]}"))
    elif plan["images_needed"]:
        low, high = plan["disk_gb"]
        lines.append(("images", f"{len(missing)} of {plan['images_needed']} have to be pulled or built first"
                      + (f", {low:.0f} to {high:.0f} GB of disk" if missing else "")))  # fmt: skip
    for name, value in lines:
        console.print(f"{name:<12}{printable(str(value))}", highlight=False, soft_wrap=True)
