"""Trace a command from the command line: the trace on standard output, or where ``--out`` says."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from agent.errors import UsageError
from agent.events import Progress
from agent.report.terminal import Display
from agent.report.trace import show_recording
from agent.tracing import TraceRequest, record, save


def trace(request: TraceRequest, *, out: Path, shown: int | None, as_text: bool, json: bool) -> NoReturn:
    """Exit status 0 where every run ended well, else 1."""
    to_stdout = str(out) == "-"
    if (to_stdout or as_text) and json:
        raise UsageError(
            "--json prints an object, --out - and --text the trace: one at a time", cure="choose"
        )
    with Display() as display:
        done = record(request, lambda text: display(Progress("run", text, passing=True)))
    if not to_stdout:
        save(done.text, out)
    if to_stdout:
        sys.stdout.write(done.text)
    elif json:
        print(jsonlib.dumps(done.to_json(out), indent=2))
    elif as_text:
        from agent.world.text import render_text

        sys.stdout.write(render_text(done.trace, done.source))
    else:
        show_recording(done, Console(highlight=False), out=out, shown=shown)
    raise typer.Exit(0 if done.ok else 1)
