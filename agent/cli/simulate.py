"""Simulate one call: predict it or read a prediction, check it, run the call, and show both."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from agent.errors import UsageError
from agent.report.beside import show_checked, show_simulated
from agent.simulation import Asked, Sample, ask, read_sample
from agent.simulation import simulate as run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.simulators import Format
    from sandbox import Kind

MAX_PREDICTION = 5_000_000
"""Bytes of a recorded prediction."""


def simulate(
    target: str,
    *,
    call: str,
    prediction: Path | None,
    model: str | None,
    base_url: str | None,
    format: Format,
    samples: int,
    repair: bool,
    tokenizer: str | None,
    sandbox: Kind,
    image: str | None,
    python: str | None,
    timeout: float,
    json: bool,
) -> NoReturn:
    """Exit status 0 where the predicted result is the observed one, else 1."""
    asked = ask(target, call)
    console = Console(stderr=json)
    predicted: Iterator[Sample]
    if prediction is not None and model is not None:
        raise UsageError("--prediction and --model exclude each other", cure="give one of them")
    if prediction is not None:
        predicted = iter([_recorded(asked, prediction)])
    else:
        from agent.calling import predict_call
        from agent.llm.budget import Budget
        from agent.llm.settings import load_settings
        from agent.simulators import SimulatingModel

        settings = load_settings(model=model, base_url=base_url)
        if not settings.model or settings.model == "offline":
            raise UsageError(
                "nobody predicts: neither a model nor a recorded prediction is named",
                cure="give --model NAME (see --base-url), or --prediction FILE",
            )
        by = SimulatingModel(
            format, settings, Budget(), repair=repair, tokenizer=tokenizer,
            on_event=lambda event: console.print(event.text, style="dim", markup=False),
        )  # fmt: skip
        predicted = predict_call(asked, asked.text, by, samples=samples)
    made: list[Sample] = []
    for sample in predicted:
        made.append(sample)
        show_checked(sample, console)
    done = run(asked, made, kind=sandbox, image=image, python=python, timeout=timeout)
    if json:
        print(jsonlib.dumps(done.to_json(), indent=2))
    else:
        show_simulated(done, console)
    raise typer.Exit(0 if done.verdict == "right" else 1)


def _recorded(asked: Asked, path: Path) -> Sample:
    try:
        if path.is_file() and path.stat().st_size > MAX_PREDICTION:
            raise UsageError(
                f"the prediction {path} has {path.stat().st_size:,} bytes, and {MAX_PREDICTION:,} are read",
                cure="give the trace of one call",
            )
        if path.exists() and not path.is_file():
            raise UsageError(f"the prediction {path} is no file", cure="name a text file")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the prediction {path} cannot be read: {error}", cure="name a text file") from error
    return read_sample(asked, text)
