"""``fixbug env``: build an image for a repository or a row, list what there is, take unused ones away."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli import options as o
from agent.errors import UsageError

env = typer.Typer(
    help="Images: build one for any repository at any commit, list them, take unused ones away."
)


@env.command()
def build(
    what: Annotated[
        str,
        typer.Argument(metavar="REPO|DATASET#INSTANCE", help="A path, a git URL, or a SWE-bench row."),
    ],
    ref: o.Ref = None,
    python: Annotated[
        str | None, typer.Option(metavar="3.X", help="The Python version; found if not given.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Resolve packages as of this date; the commit's if not given."),
    ] = None,
    dockerfile: Annotated[
        str | None, typer.Option(metavar="PATH", help="Build the repository's own Dockerfile instead.")
    ] = None,
    devcontainer: Annotated[
        bool, typer.Option("--devcontainer", help="Follow the repository's devcontainer.json instead.")
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Then run the project's tests in it, sealed.")] = False,
    json: o.AsJson = False,
) -> None:
    """Build an image in which the repository's tests run, and say what is in it.

    What `.fixbug.toml` says holds; for the rest, the Python version, the packages (as of the commit's date)
    and the test runner are found from the project's files. Layers are shared: a second commit takes seconds.

    **Examples**

    - `fixbug env build . --test`
    - `fixbug env build https://github.com/OWNER/REPO --ref v2.1`
    - `fixbug env build verified#sympy__sympy-20590`

    **Exit status**: 0 the image is there, 1 with --test: the tests do not pass, 2 wrong usage, 3 it cannot be
    built.
    """
    from json import dumps

    from rich.console import Console

    from agent.events import Progress
    from agent.images import build_image, image_asked
    from agent.report.images import show_image
    from agent.report.progress import Lines

    asked = image_asked(
        what, ref=ref, python=python, as_of=as_of, dockerfile=dockerfile, devcontainer=devcontainer, test=test
    )
    with Lines() as lines:
        ready = build_image(asked, lambda text: lines.stage(Progress("open", text)))
    if json:
        print(dumps({"exit_status": ready.exit_status, **ready.to_json()}, indent=2))
    else:
        show_image(ready, Console())
    raise typer.Exit(ready.exit_status)


@env.command("list")
def list_images(json: o.AsJson = False) -> None:
    """List the images that fixbug built: their sizes, and what uses them."""
    from dataclasses import asdict
    from json import dumps

    from rich.console import Console

    from agent.report.images import show_layers
    from sandbox.inventory import list_layers

    layers = list_layers()
    if json:
        print(dumps({"exit_status": 0, "images": [asdict(one) for one in layers]}, indent=2, default=str))
    else:
        show_layers(layers, Console())


@env.command()
def prune(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Also images that are at least this old: 30d, 12h, 2w."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every image of fixbug's making that no container uses.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: o.AsJson = False,
) -> None:
    """Remove layers on which nothing is built any more; say what goes, ask, say what is freed.

    **Examples**: `fixbug env prune`, `fixbug env prune --older-than 30d`, `fixbug env prune --all --yes`

    **Exit status**: 0 done (or nothing to do), 1 the answer was no.
    """
    import sys
    from json import dumps

    from rich.console import Console

    from sandbox.inventory import age, list_layers, prunable, remove_layers

    oldest = age(older_than)  # wrong usage is told where no engine answers, too
    going = prunable(list_layers(), older_than=oldest, everything=everything)
    console = Console(stderr=json)
    for one in going:
        console.print(f"{one.name}  {one.size / 1e6:.0f} MB", highlight=False, soft_wrap=True)
    total = sum(one.size for one in going) / 1e9
    console.print(
        f"{len(going)} images, {total:.1f} GB" if going else "nothing to remove: every layer is in use"
    )
    if going and not yes:
        if json or not sys.stdin.isatty():
            raise UsageError("nobody is there to be asked", cure="give --yes to remove these images")
        if not typer.confirm("Remove them?"):
            raise typer.Exit(1)
    removed = remove_layers(going)
    for layer, reason in removed.kept:
        console.print(f"kept {layer.name}: {reason}", style="yellow", highlight=False, soft_wrap=True)
    if json:
        print(dumps({"exit_status": 0, **removed.to_json()}, indent=2))
    elif going:
        console.print(f"{len(removed.gone)} images removed, {removed.freed / 1e9:.1f} GB freed")
