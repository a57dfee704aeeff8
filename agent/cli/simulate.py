"""``fixbug simulate``: one call, predicted, checked, run, and both shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import options as o
from agent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.simulation import Asked, Sample

MAX_PREDICTION = 5_000_000
"""Bytes of a recorded prediction."""


def simulate(
    target: Annotated[str, typer.Argument(metavar="FILE::FUNCTION", help="The function, by qualified name.")],
    call: Annotated[str, typer.Option(metavar="CALL", help='The call, in the file\'s own names: "f(1, 2)".')],
    prediction: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A recorded prediction: fixbug's JSON Lines, CWM's token text with or without its special "
            "tokens, or the chat format's JSON.",
            rich_help_panel="Who predicts",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A model that predicts. (environment: FIXBUG_MODEL)",
            rich_help_panel="Who predicts",
        ),
    ] = None,
    base_url: o.BaseUrl = None,
    format: Annotated[
        o.FormatName,
        typer.Option(
            help="How it is asked: every line (chat), named lines only (lines), in CWM's own tokens through "
            "/completions (cwm; cwm-step: a frame a request; cwm-single: the result only), or in CWM's chat "
            "form (cwm-chat).",
            rich_help_panel="Who predicts",
        ),
    ] = o.FormatName.chat,
    samples: Annotated[
        int, typer.Option(min=1, max=50, help="Independent predictions.", rich_help_panel="Who predicts")
    ] = 1,
    repair: o.Repair = False,
    tokenizer: o.TokenizerPath = None,
    sandbox: o.Sandbox = o.SandboxName.local,
    image: o.Image = None,
    python: o.Python = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the call may take.")] = 60,
    json: o.AsJson = False,
) -> None:
    """Lay a predicted trace of one call beside what happens, with what checking found before anything ran.

    **Examples**

    - `fixbug simulate shop.py::price --call "price('tea', 2)" --model NAME`
    - `fixbug simulate shop.py::price --call "price('tea', 2)" --model facebook/cwm --format cwm
      --base-url http://localhost:8000/v1`
    - `fixbug simulate shop.py::price --call "price('tea', 2)" --prediction trace.txt`

    **Exit status**: 0 the predicted result is the observed one, 1 it is not, or cannot be told, 2 wrong
    usage, 3 the endpoint or the sandbox fails.
    """
    from json import dumps

    from rich.console import Console

    from agent.report.beside import show_checked, show_simulated
    from agent.simulation import ask
    from agent.simulation import simulate as run
    from agent.simulators import as_format

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
            as_format(format.value), settings, Budget(), repair=repair, tokenizer=tokenizer,
            on_event=lambda event: console.print(event.text, style="dim", markup=False),
        )  # fmt: skip
        predicted = predict_call(asked, asked.text, by, samples=samples)
    made: list[Sample] = []
    for sample in predicted:
        made.append(sample)
        show_checked(sample, console)
    done = run(asked, made, kind=sandbox.value, image=image, python=python, timeout=timeout)
    if json:
        print(dumps(done.to_json(), indent=2))
    else:
        show_simulated(done, console)
    raise typer.Exit(0 if done.verdict == "right" else 1)


def _recorded(asked: Asked, path: Path) -> Sample:
    from agent.simulation import read_sample

    try:
        if path.is_file() and path.stat().st_size > MAX_PREDICTION:
            raise UsageError(
                f"the prediction {path} has {path.stat().st_size:,} bytes, and {MAX_PREDICTION:,} are read",
                cure="give the trace of one call",
            )
        if path.exists() and not path.is_file():
            raise UsageError(f"the prediction {path} is no file", cure="name a text file")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the prediction {path} cannot be read: {error}", cure="name a text file") from error
    return read_sample(asked, text)
