"""A recorded trace in the terminal: events nested by depth, the source's lines, and only what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from agent.report.terminal import printable
from agent.tracing import Recording
from agent.world.trace import Frame

SHOWN = 200
"""Events that are shown where nothing else is asked for."""
_TAIL = 4
"""Of a long trace the first three quarters of what is shown come from its start, the rest from its end."""
_OUTCOMES = {"passed": "green", "skipped": "yellow", "failed": "red", "error": "red"}
_FUNCTIONS = 12


def show_recording(done: Recording, console: Console, *, out: Path | None, shown: int | None = SHOWN) -> None:
    """The trace, ``shown`` events of it (None: all), then a summary: outcomes, limits, notes, where it is."""
    frames = done.trace.frames
    keep = len(frames) if shown is None else min(shown, len(frames))
    tail = keep // _TAIL if keep < len(frames) else 0
    run = 0
    for index, frame in enumerate(frames):
        if keep - tail <= index < len(frames) - tail:
            if index == keep - tail and keep:
                cut = len(frames) - keep
                say = f"… {cut:,} of {len(frames):,} events are not shown here (--all shows them)"
                console.print(Text(say, style="yellow"), soft_wrap=True)
            continue
        if frame.run != run:
            run = frame.run
            console.print(Rule(Text(f"run {run}"), align="left", style="dim"))
        for line in _lines(frame, done):
            console.print(line, soft_wrap=True)
    _summary(done, console, out)


def _lines(frame: Frame, done: Recording) -> Iterator[Text]:
    """What changed, where the line before did it, then the event itself."""
    indent = "  " * min(frame.depth, 40)
    code = printable(done.source(frame.file, frame.line).strip())
    if frame.event == "call":
        text = Text(indent).append(printable(frame.function), style="bold")
        text.append(f"({printable(_assigned(frame.locals))})").append(
            f"  {printable(frame.file)}{f':{frame.line}' if frame.line else ''}", style="dim"
        )
        yield text
        return
    if frame.locals:
        yield Text(f"{indent}       {printable(_assigned(frame.locals, ' = '))}", style="green")
    number = f"{indent}{frame.line:>5}  "
    if frame.event == "line":
        yield Text(number, style="dim").append(code, style="default")
    elif frame.event == "return":
        yield Text(f"{indent}    →  {printable(frame.value or '')}", style="cyan")
    elif frame.event == "exception":
        yield Text(f"{indent}    ✗  {printable(frame.value or '')}", style="red")
    else:
        yield Text(f"{indent}    ?  {printable(frame.probe or '')}: {printable(frame.value or '')}")


def _assigned(changes: Mapping[str, str | None], equals: str = "=") -> str:
    return ", ".join(f"del {name}" if v is None else f"{name}{equals}{v}" for name, v in changes.items())


def _summary(done: Recording, console: Console, out: Path | None) -> None:
    console.print(Rule(style="dim"))
    for number, run in enumerate(done.runs, 1):
        ended = done.trace.outcome(number)
        outcome = ended.outcome if ended else "cut short"
        text = Text(f"run {number}  ").append(printable(outcome), style=_OUTCOMES.get(outcome, "red"))
        text.append(f"  {sum(frame.run == number for frame in done.trace.frames):,} events")
        if len(run.cases) > 1:
            text.append(f", {len(run.cases)} tests")
        console.print(text, soft_wrap=True)
        for case in run.cases[:5]:
            if case.outcome in ("failed", "error") and case.message.strip():
                first = printable(case.message.strip().splitlines()[0])
                console.print(Text(f"       {first}", style="red"), soft_wrap=True)
    if not done.ok and done.output.strip():
        lines = done.output.rstrip().splitlines()
        console.print(Text(f"the command's output ends (of {len(lines):,} lines):", style="dim"))
        for line in lines[-12:]:
            console.print(Text(f"  {printable(line)}", style="dim"), soft_wrap=True)
    calls = done.calls
    if calls:
        most = sorted(calls, key=lambda key: -calls[key])[:_FUNCTIONS]
        named = ", ".join(f"{function} {calls[file, function]:,}" for file, function in most)
        more = f", and {len(calls) - len(most)} more" if len(calls) > len(most) else ""
        console.print(Text(f"events by function: {printable(named)}{more}"), soft_wrap=True)
    else:
        say = "nothing was recorded: no function of the repository ran while tests (or the program) did"
        console.print(Text(say, style="yellow"), soft_wrap=True)
    for name, detail in done.trace.limits.items():
        console.print(Text(f"cut short ({name}): {printable(detail)}", style="yellow"), soft_wrap=True)
    if done.timed_out:
        say = f"the time limit passed ({done.request.timeout:g} s, --timeout)"
        console.print(Text(say, style="yellow"), soft_wrap=True)
    for note in done.notes:
        console.print(Text(f"note: {printable(note)}", style="dim"), soft_wrap=True)
    where = f"; saved to {out} ({len(done.text.encode('utf-8', 'replace')):,} bytes)" if out else ""
    said = (
        f"exit status {done.exit_code}, Python {done.trace.python}, {done.sandbox} sandbox, "
        f"{done.seconds:.1f} s{where}"
    )
    console.print(Text(printable(said), style="bold"), soft_wrap=True)
