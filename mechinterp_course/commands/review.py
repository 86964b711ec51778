"""What a learner types for their five minutes: review."""

import sys
from datetime import date
from typing import Annotated

import typer

PANEL = "For learners"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(review)


def review(
    minutes: Annotated[float, typer.Option(metavar="N", min=0.5, max=120, help="How long, in minutes.")] = 5,
    show_due: Annotated[bool, typer.Option("--list", help="Only show what is due.", show_default=False)] = False,
) -> None:
    """Go through what is due: five minutes of cards from what you did before.

    Exercises that you passed, to be written again and checked on new inputs; quiz questions that you missed; predictions that were wrong
    and sure; terms of the lessons that you read; your own open questions. What you remember comes back later each time (FSRS, a
    published schedule); what you do not comes back tomorrow. Stop at any time with Ctrl-C or q: what you did is kept.

    In a notebook, `from mechinterp_course import review` and `review()` show the same cards.
    """
    from ..tutor import review as cards
    from ..tutor.catalog import course
    from ..tutor.review_ask import ask, standing
    from .learner import use_workspace
    from .review_screen import due_list, one_card, opening
    from .screen import console

    ws, book, screen = use_workspace(), course(), console()
    every, entries = standing(ws, book)
    due, chosen = cards.due(every, date.today()), cards.session(every, date.today(), minutes)
    is_done = bool(due) and not cards.todays(every, date.today())
    if show_due or not chosen or not sys.stdin.isatty():
        due_list(screen, [ask(card, book, entries) for card in due], chosen)
        return
    opening(screen, chosen, due, is_done)
    for number, card in enumerate(chosen, 1):
        if not one_card(screen, ws, book, ask(card, book, entries), f"{number} of {len(chosen)}"):
            screen.line("The rest waits. What you did is kept.", "dim")
            return
    screen.line("That is today's review.", "green")
