"""What a learner types to carry the work to another computer: export, import. (`import` is a word of Python's own.)"""

from pathlib import Path
from typing import Annotated

import typer

PANEL = "For learners"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(export)
    app.command("import", rich_help_panel=PANEL)(import_)


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A new zip file, or a folder to put it in; by default here.")
    ] = None,
) -> None:
    """Put your notebooks and your progress in one file, for another computer.

    There, `mechinterp start` makes a workspace and `mechinterp import FILE` brings everything in. Do the same the other way round as
    often as you like: nothing is counted twice.
    """
    from ..tutor import transfer
    from .learner import use_workspace
    from .screen import console

    screen = console()
    with console(stderr=True).working("Packing"):
        made = transfer.export(use_workspace(), file)
    screen.line(f"Your notebooks and your progress are in {made}.")
    screen.line("On the other computer: `mechinterp start`, then `mechinterp import` with this file.", "dim")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `mechinterp export` made.")],
) -> None:
    """Bring in the work that you exported on another computer.

    Progress is added once, whatever the order. An answer that you wrote on one computer only is taken; where both have one, yours here
    stays and the other stands below it, quoted. Notebooks that change are backed up first.
    """
    from ..tutor import jupyter, transfer
    from .learner import use_workspace
    from .screen import console, imported

    ws = use_workspace()
    jupyter.refuse_while_running(ws)
    with console(stderr=True).working("Bringing it in"):
        done = transfer.import_(ws, file)
    imported(console(), done)
