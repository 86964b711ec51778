"""What a learner types to show what they did: report."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

PANEL = "For learners"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(report)


def report(
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="LESSON", help="Numbers or names; by default all that you began.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Your name, for the page.", show_default=False)] = "",
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write the page; by default here.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Run your saved answers again, on new inputs.")
    ] = True,
) -> None:
    """Write a page about what you have done, to keep or to hand to an instructor.

    It says what you passed, when, after how many tries and with which hints. Every answer that you passed is run again, on inputs that the
    visible checks do not use. The page needs no network; a JSON file with the same facts is written beside it.
    """
    from ..tutor import completion
    from ..tutor.catalog import course
    from .learner import use_workspace
    from .screen import console

    ws, screen = use_workspace(), console()
    path = to or Path(f"mechinterp-report-{date.today()}.html")
    completion.places(path)  # told before the labs are run, which takes minutes
    with console(stderr=True).working("Running your answers again" if verify else "Writing") as tell:
        found = completion.report(ws, course(), lessons or (), name, verify, tell)
        page, data = completion.write(found, path)
    passed = [one for one in found.exercises if one.passed_on]
    screen.line(f"{len(passed)} of {len(found.exercises)} exercises passed" + ("." if not verify else
        f", {sum(one.verified is True for one in passed)} of these verified again."))  # fmt: skip
    for one in passed:
        if one.verified is False:
            screen.line(f"  {one.name} does not pass now: {one.said}", "yellow")
    screen.line(f"The page is {page}, its data {data}.")
