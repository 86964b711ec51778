"""What a teacher types: class init. (`class` is a word of Python's own, so the module has another name.)"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Run the labs for a class with nbgrader.", no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def classroom() -> None:
    pass


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder for the class.")],
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="LESSON", help="Numbers or names; none means all.")
    ] = None,
) -> None:
    """Make a class folder in which nbgrader's own commands work."""
    from ..course import grading
    from ..tutor.catalog import course
    from .screen import console

    with console(stderr=True).working("Making the class") as _:
        lines = grading.init(folder, course(), lessons or None)
    for line in lines:
        console().line(line)
