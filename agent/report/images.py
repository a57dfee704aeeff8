"""Images in a terminal: one that was built, and the table of all."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agent.images import ImageReady
from sandbox.inventory import Layer

__all__ = ["show_image", "show_layers"]


def show_image(ready: ImageReady, console: Console) -> None:
    """What is in it, what is not as the project asks for, and how its tests went if they were run."""
    rows = (
        ("image", ready.image),
        ("commit", ready.base_commit),
        ("python", ready.python),
        ("as of", ready.as_of),
        ("installed", ready.installed),
        ("tests", ready.tests),
        ("run them", ready.test),
        ("layers", " ← ".join(ready.layers)),
        ("seconds", f"{ready.seconds:g}"),
    )
    for name, value in rows:
        if value:
            console.print(Text.assemble((f"{name:<10}", "bold"), value), soft_wrap=True)
    for note in ready.notes:
        console.print(Text.assemble(("note      ", "bold yellow"), note), soft_wrap=True)
    if ready.run is not None:
        console.print(Text(ready.run.last_lines), soft_wrap=True)
        said = (
            "the tests pass" if ready.run.passed else f"the tests end with exit status {ready.run.exit_code}"
        )
        colour = "green" if ready.run.passed else "red"
        console.print(Text(f"{said} ({ready.run.seconds:g} s)", style=colour))


def show_layers(layers: Sequence[Layer], console: Console) -> None:
    """One line an image: what it adds in size, when it was built, what uses it."""
    if not layers:
        console.print("no images yet: fixbug env build makes one")
        return
    width = max(len(one.name) for one in layers)
    console.print(
        Text(f"{'image':<{width}}      MB  built             used by", style="bold"), soft_wrap=True
    )
    for one in layers:
        counts = ((len(one.on_top), "image"), (len(one.containers), "container"))
        uses = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts if count)
        line = f"{one.name:<{width}}  {one.size / 1e6:>6.0f}  {one.created:%Y-%m-%d %H:%M}  {uses or '-'}"
        console.print(Text.assemble(line, (f"  {one.about}" if one.about else "", "dim")), soft_wrap=True)
    console.print(f"{len(layers)} images, {sum(one.size for one in layers) / 1e9:.1f} GB")
