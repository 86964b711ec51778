"""What a learner types about the hour a day: plan, calibration."""

import json
from datetime import datetime
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer

from .learner import PANEL, AsJson


def add_to(app: typer.Typer) -> None:
    for command in (plan, calibration):
        app.command(rich_help_panel=PANEL, help=flowing(command.__doc__))(command)


def flowing(text: str) -> str:
    """Return a docstring with each paragraph on one line, for the help to break where the terminal does; indented ones stay."""
    parts = cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in parts)


def plan(
    minutes: Annotated[
        int | None, typer.Option(metavar="N", help="Minutes a day, 10 to 480; an hour where you say nothing.")
    ] = None,
    days: Annotated[str | None, typer.Option(metavar="DAYS", help="mon-fri, mon,wed,sat, daily, weekends ...")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="The first day: 2026-11-23, today, tomorrow, monday ..."),
    ] = None,
    short: Annotated[
        bool | None,
        typer.Option(
            "--short/--full",
            help="Short on time: every reading, and the exercises of importance 5 with those that they use.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="LESSON", help="Only the way to one lesson: it and what it needs; `all` is all."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="The time of day, for the calendar: 19:00, or none.")
    ] = None,
    rest: Annotated[
        str | None,
        typer.Option(metavar="DATES", help="Days off: 2026-12-24 or 2026-12-24..2027-01-02; also days gone by."),
    ] = None,
    no_rest: Annotated[
        str | None, typer.Option("--no-rest", metavar="DATES", help="Take days off back: these are planned again.")
    ] = None,
    ics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the days ahead as a calendar file (.ics).")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Show every day, not only the next two weeks.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Lay the lessons on your days, and see what comes when.

    Without options, shows your plan. An option changes it; what you do not name stays. Whatever you do or miss, the days ahead are laid
    anew from what is really done: there is nothing to catch up with. A sitting is done in one go where it fits into a day.

    A missed day is fine. A streak counts the days on which you did something; days off never break it, and neither does a single
    missed day: two planned days missed in a row begin a new one.

    Write the calendar again after a change, and import it again: the days that are there are updated, not doubled.

    Examples:

      mechinterp plan --minutes 60 --days mon-fri --from monday

      mechinterp plan --short --to 06

      mechinterp plan --rest 2026-12-24..2027-01-02

      mechinterp plan --at 19:00 --ics hour.ics
    """
    from ..tutor import planning
    from ..tutor.catalog import course
    from . import plan_screen
    from .learner import use_workspace
    from .screen import console

    ws, book, now = use_workspace(), course(), datetime.now().astimezone()
    typed = {"minutes": minutes, "days": days, "start": start, "short": short, "to": to, "hour": at}
    found = planning.change(ws, book, now.date(), typed, rest, dry_run, no_rest)
    written = planning.export(ws, found, ics.expanduser(), now) if ics and not dry_run else None
    if as_json:
        print(planning.as_json(found))
        return
    screen = console()
    plan_screen.plan(screen, found, all)
    if written:
        screen.line()
        screen.exact(f"✓ {written}")
        screen.line(
            "It holds the days ahead, for your calendar. After a change, write and import it again: days are updated."
        )


def calibration(as_json: AsJson = False) -> None:
    """Show how sure you were of your predictions, and how often you were right.

    Shares have 95 % intervals (Wilson), because few answers say little; below ten answers nothing is concluded. In a notebook,
    `calibration()` draws the same.
    """
    from ..tutor import report
    from ..tutor.catalog import course
    from . import calibration_screen
    from .learner import use_workspace
    from .screen import console

    found = report.report(use_workspace(), course(), datetime.now().date())
    if as_json:
        print(json.dumps(found.calibration, indent=2, ensure_ascii=False))
        return
    calibration_screen.calibration(console(), found.glance.calibration)
