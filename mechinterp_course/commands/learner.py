"""What a learner types: `mechinterp`, start, status, check, hint, compare, reset, update, doctor."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

PANEL = "For learners"
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Only print the address of JupyterLab.", show_default=False)
]
Port = Annotated[int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="The port for JupyterLab.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def add_to(app: typer.Typer) -> None:
    """Add the learner's commands, in the order in which they are needed."""
    for command in (start, status, check, hint, compare, reset, update, doctor):
        app.command(rich_help_panel=PANEL)(command)


def use_workspace():
    """Return the workspace, and make it the one that everything below records into."""
    from ..tutor import workspace

    ws = workspace.find()
    os.environ["MECHINTERP_WORKSPACE"] = str(ws.root)
    workspace.remember(ws)
    return ws


def resume(browser: bool, port: int | None) -> None:
    """Say where the learner is and open JupyterLab there."""
    from ..tutor import workspace
    from ..tutor.catalog import course

    if not workspace.exists():
        from .screen import console

        screen, book = console(), course()
        screen.line(f"{book.title}: {len(book.lessons)} lessons in JupyterLab.", "bold")
        screen.line("Begin with `mechinterp start`. It makes the folder ~/mechinterp with your notebooks and opens it.")
        screen.line(
            "After that, `mechinterp` alone takes you back to where you were. `mechinterp --help` shows the rest."
        )
        return
    from ..tutor.resume import resume as where_left_off
    from . import hour_screen
    from . import screen as show

    ws, book = use_workspace(), course()
    where = where_left_off(ws, book, datetime.now().astimezone())
    screen = show.console()
    hour_screen.resume(screen, where)
    if ws.is_outdated:
        screen.line(hour_screen.OUTDATED, "yellow")
    from ..tutor import jupyter, progress  # after the words are there: they need none of it
    from ..tutor.home import store

    def ready(server) -> None:
        store(ws, book, where.glance)
        progress.record("open", lesson=where.lesson, sitting=where.sitting)
        show.serving(screen, server.address(where.notebook))

    jupyter.serve(ws, where.notebook, port, browser, ready)


def start(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A new or empty folder; by default ~/mechinterp.")
    ] = None,
    no_browser: NoBrowser = False,
    port: Port = None,
) -> None:
    """Make your workspace and open it in JupyterLab.

    The workspace is a folder with your own copy of the notebooks. Where there is one already, it is opened.
    """
    from ..tutor import jupyter, workspace
    from ..tutor.catalog import course
    from ..tutor.glance import of_workspace
    from ..tutor.home import store
    from . import hour_screen
    from . import screen as show

    screen = show.console()
    ws, is_new = workspace.start(folder)
    os.environ["MECHINTERP_WORKSPACE"] = str(ws.root)
    screen.line(f"{'✓ Your workspace is' if is_new else '✓ Your workspace'} {ws.root}", "green")
    if not is_new and ws.is_outdated:
        screen.line(hour_screen.OUTDATED, "yellow")

    def ready(server) -> None:
        book = course()
        store(ws, book, of_workspace(ws.root, book, datetime.now().date()))
        show.serving(screen, server.address(workspace.HOME))

    jupyter.serve(ws, workspace.HOME, port, not no_browser, ready)


def status(as_json: AsJson = False) -> None:
    """Show how far you are: the lessons, today's hour, your streak, what is due, how sure you are."""
    from ..tutor import report
    from ..tutor.catalog import course

    ws = use_workspace()
    found = report.report(ws, course(), datetime.now().date())
    if as_json:
        print(found.as_json())
        return
    from . import hour_screen
    from .screen import console

    hour_screen.status(console(), found)


def check(
    name: Annotated[
        str | None, typer.Argument(metavar="EXERCISE|LESSON|all", help="By default the lesson that is next.")
    ] = None,
) -> None:
    """Check what is saved, without a browser.

    Runs a copy of the saved notebook; the notebook itself stays as it is. The exit code is 1 where something did not pass.
    """
    from ..tutor import saved
    from ..tutor.catalog import course
    from . import screen as show

    ws, screen, outcomes = use_workspace(), show.console(), []
    with screen.working("Running your notebook") as tell:
        for found in saved.check(ws, course(), name, tell):
            show.outcome(screen, found)
            outcomes.append(found)
    passed = sum(found.passed for found in outcomes)
    if len(outcomes) > 1:
        screen.line(f"{passed} of {show.count(len(outcomes), 'exercise')} pass.", "bold")
    if passed < len(outcomes):
        raise typer.Exit(1)


def hint(
    exercise: Annotated[str, typer.Argument(help="The name of the exercise.")],
    level: Annotated[
        int | None, typer.Option(min=1, max=3, help="1 nudge, 2 idea, 3 outline; by default the next one.")
    ] = None,
) -> None:
    """Give the next hint for an exercise: a nudge, the idea, the outline."""
    from ..tutor import hints, workspace
    from . import screen as show

    if workspace.exists():
        use_workspace()
    first, *rest = hints.hint_lines(exercise, level)
    screen = show.console()
    screen.line(first, "bold")
    for line in rest:
        screen.line(line.replace(f'hint("{exercise}")', f"`mechinterp hint {exercise}`"))


def compare(
    exercise: Annotated[str, typer.Argument(help="The name of the exercise.")],
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Show the course's answer before yours passes. This is recorded.")
    ] = False,
) -> None:
    """Show your answer beside the course's, once it passes."""
    from ..tutor import compare as comparing
    from ..tutor.catalog import course
    from . import screen as show

    show.comparison(show.console(), comparing.compare(use_workspace(), course(), exercise, give_up))


def reset(
    name: Annotated[
        str, typer.Argument(metavar="EXERCISE|LESSON|NOTEBOOK", help="An exercise; or a whole lab or notebook.")
    ],
) -> None:
    """Put an exercise back to its start. Your old notebook is kept."""
    from ..tutor import reset as resetting
    from ..tutor.catalog import course
    from . import screen as show

    show.reset(show.console(), resetting.reset(use_workspace(), course(), name))


def update(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Bring a new release of the course into your workspace.

    Your answers and your own cells stay. The notebooks as they were are kept.
    """
    from ..tutor import jupyter
    from ..tutor import update as updating
    from ..tutor.catalog import course
    from . import screen as show

    ws = use_workspace()
    if not dry_run:
        jupyter.refuse_while_running(ws)
    done = updating.update(ws, course(), dry_run)
    show.update(show.console(), done)
    if done.troubles:
        raise typer.Exit(1)


def doctor() -> None:
    """See whether everything is here that the course needs.

    The exit code is 1 where something is broken. Nothing is changed.
    """
    from ..tutor import doctor as examining
    from . import screen as show

    screen, broken = show.console(), 0
    with screen.working("Looking at") as tell:
        for found in examining.examine(tell):
            show.finding(screen, found)
            broken += found.state == "broken"
    screen.line()
    if broken:
        screen.line(f"{show.count(broken, 'thing')} to mend.", "red")
        raise typer.Exit(1)
    screen.line("Everything that the course needs is here.", "green")
