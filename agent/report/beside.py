"""A simulated call in the terminal: what checking found, the two traces side by side, and the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.report.terminal import printable
from agent.simulation import Sample, Simulated
from agent.world.trace import Frame

AROUND = 12
"""Rows that are shown before and after the first that differs."""
_VERDICTS = {"right": "green", "wrong": "red", "unknown": "yellow"}


def show_checked(sample: Sample, console: Console) -> None:
    """What is known of a prediction before anything runs."""
    recorded, checked = sample.recorded, sample.checked
    whole = "" if recorded.complete else ", cut"
    console.print(
        f"predicted: {len(recorded.trace.frames)} frames ({recorded.format}{whole})", highlight=False
    )
    for count, what in ((recorded.resampled, "asked again"), (recorded.repaired, "put right")):
        if count:
            console.print(f"  {what} {count} time(s): checking contradicted it", highlight=False)
    for note in recorded.forgiven:
        console.print(Text(f"  {printable(note)}", style="dim"))
    first = checked.first
    if first is None:
        extent = "" if recorded.dense else " (sparse: only that its lines exist is checked)"
        console.print(f"checked, before anything ran: nothing found{extent}", highlight=False)
        return
    frame = recorded.trace.frames[first.index]
    said = f"checked, before anything ran: wrong at frame {first.index + 1}, {frame.function}: {first.text}"
    console.print(Text(printable(said), style="red"), soft_wrap=True)
    if checked.verdict == "unknown":
        console.print("  the prediction is cut: unknown, whatever is in it", highlight=False)


def show_simulated(done: Simulated, console: Console) -> None:
    """The traces side by side, around where they part first, and the verdict."""
    parting = next((n for n, row in enumerate(done.rows) if row.differs), None)
    start = max(0, (parting or 0) - AROUND)
    shown = done.rows[start : start + 2 * AROUND]
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("line", "", "predicted", "observed"):
        table.add_column(title, overflow="fold")
    for row in shown:
        line = done.asked.program.text(row.frame.line).strip()
        style = "red" if row.differs else ""
        table.add_row(
            str(row.frame.line),
            Text(printable(line[:60])),
            Text(printable(_cell(row.predicted)), style=style),
            Text(printable(_cell(row.observed)), style=style),
        )
    console.print(table)
    left = len(done.rows) - len(shown)
    if left > 0:
        console.print(Text(f"{left} more events before or after", style="dim"))
    if done.divergence:
        text = Text(printable(done.divergence.text))
        console.print(Panel(text, title="first divergence", title_align="left", box=box.ROUNDED))
    for name, detail in done.limits.items():
        said = f"the call was not recorded to its end ({name}): {printable(detail)}"
        console.print(Text(said, style="yellow"), soft_wrap=True)
    if len(done.samples) > 1:
        results = [f"{s.result or 'no result'}{'' if s.usable else ' (not used)'}" for s in done.samples]
        console.print(Text(printable(f"{len(results)} samples: {'; '.join(results)}")), soft_wrap=True)
    said = (
        f"{done.verdict}: predicted {done.predicted or 'no result'}, observed {done.observed or 'no result'}"
    )
    console.print(Text(printable(said), style=f"bold {_VERDICTS[done.verdict]}"))


def _cell(frame: Frame | None) -> str:
    if frame is None:
        return "-"
    if frame.event in ("return", "exception"):
        return f"{'returns' if frame.event == 'return' else 'raises'} {(frame.value or '')[:120]}"
    changes = [f"{n} = {v[:80]}" if v is not None else f"del {n}" for n, v in frame.locals.items()]
    return "call " + ", ".join(changes) if frame.event == "call" else ", ".join(changes)
