"""What a learner types about their journal: journal."""

from datetime import date
from typing import Annotated

import typer

PANEL = "For learners"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(journal)


def journal(
    days: Annotated[
        str,
        typer.Argument(
            metavar="[FROM..TO]", help="2026-11-16..2026-11-22, 2026-11-16.. or week; by default everything."
        ),
    ] = "",
    post: Annotated[
        bool, typer.Option("--post", help="Write a draft of a post about these days.", show_default=False)
    ] = False,
    answered: Annotated[
        str,
        typer.Option(
            "--answered", metavar="NAME", help="Mark a question as answered; it leaves the review.", show_default=False
        ),
    ] = "",
    reopen: Annotated[
        str, typer.Option("--open", metavar="NAME", help="Mark a question as open again.", show_default=False)
    ] = "",
    answer: Annotated[
        str, typer.Option("--with", metavar="TEXT", help="The answer, in a sentence.", show_default=False)
    ] = "",
) -> None:
    """Show what surprised you and what you still ask, by day.

    You write it at the end of every lesson, in JupyterLab; save the notebook, and it is here. `--post` makes a draft to publish: your
    predictions and what came of them, what you did, your own plots as files, your open questions and what you read.
    """
    from ..errors import CourseError
    from ..tutor import journal as book
    from ..tutor import journal_post
    from ..tutor.catalog import course
    from .learner import use_workspace
    from .screen import console, journal_by_day

    ws, lessons, screen = use_workspace(), course(), console()
    entries = book.collect(ws, lessons)
    if answered or reopen:
        if answered and reopen:
            raise CourseError("--answered and --open contradict each other.", "Give one of them.")
        entry = book.mark_answered(entries, answered or reopen, answer, is_open=bool(reopen))
        screen.line(f"{'Open again' if reopen else 'Answered'}: {entry.text}")
        return
    if answer:
        raise CourseError("Which question does that answer?", "mechinterp journal --answered NAME --with TEXT.")
    from ..tutor import progress

    known = [entry.day for entry in entries]
    known += [date.fromisoformat(event.day) for event in progress.load(ws.root)]
    first = min(known, default=None)
    begins, ends = journal_post.days(days, date.today(), first)
    if post:
        made = journal_post.write(ws, lessons, begins, ends)
        figures = "no plots of your own" if not made.figures else f"{made.figures} of your own plots beside it"
        screen.line(f"A draft is in {made.path}, with {figures}.")
        if made.left_out:
            screen.line(
                f"{made.left_out} plots could not be written: run their cells again and save the notebook.", "yellow"
            )
        screen.line("It is yours to edit. Nothing was sent anywhere.", "dim")
        return
    journal_by_day(screen, [entry for entry in entries if not days or begins <= entry.day <= ends], lessons)
