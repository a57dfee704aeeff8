"""Simulate one call: read a prediction, check it, run the call, and show both."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from agent.errors import UsageError
from agent.report.beside import show_checked, show_simulated
from agent.simulation import ask
from agent.simulation import simulate as run

if TYPE_CHECKING:
    from sandbox import Kind


def simulate(
    target: str,
    *,
    call: str,
    prediction: Path,
    sandbox: Kind,
    image: str | None,
    python: str | None,
    timeout: float,
    json: bool,
) -> NoReturn:
    """Exit status 0 where the predicted result is the observed one, else 1."""
    asked = ask(target, call)
    try:
        text = prediction.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the prediction {prediction} cannot be read: {error}", cure="name a text file"
        ) from error
    console = Console(stderr=json)
    done = run(
        asked, text, kind=sandbox, image=image, python=python, timeout=timeout,
        on_checked=lambda recorded, checked: show_checked(recorded, checked, console),
    )  # fmt: skip
    if json:
        print(jsonlib.dumps(done.to_json(), indent=2))
    else:
        show_simulated(done, console)
    raise typer.Exit(0 if done.verdict == "right" else 1)
