"""What a learner types about reading: papers."""

from pathlib import Path
from typing import Annotated

import typer

PANEL = "For learners"


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(papers)


def papers(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="PAPER", help="Names from the list; none shows all.")
    ] = None,
    done: Annotated[bool, typer.Option("--done", help="Mark these as read.", show_default=False)] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Mark these as not read.", show_default=False)] = False,
    graph: Annotated[
        Path | None,
        typer.Option("--graph", metavar="FILE", help="Write a drawing of how they connect, as an HTML page."),
    ] = None,
) -> None:
    """Show what to read, in which order, and with which questions.

    `mechinterp papers` is the ladder of the whole course, `mechinterp papers olah2020` one step of it with its questions,
    `mechinterp papers olah2020 --done` keeps that you have read it.
    """
    from ..errors import CourseError
    from ..tutor import papers as reading
    from ..tutor import progress, workspace
    from ..tutor.catalog import course
    from .learner import use_workspace
    from .screen import console, paper, paper_ladder

    screen, book = console(), course()
    if (done or undo) and not names:
        raise CourseError("Which one?", "Name it: mechinterp papers olah2020 --done.")
    if done and undo:
        raise CourseError("--done and --undo contradict each other.", "Give one of them.")
    if done or undo:
        use_workspace()
        for one in reading.mark(book, names, read=done):
            screen.line(f"{'Read' if done else 'Not read'}: {one['title']}")
        return
    events = progress.load(workspace.find().root) if workspace.exists() else []
    steps = reading.ladder(book, events)
    if graph:
        if graph.is_dir() or not graph.absolute().parent.is_dir():
            raise CourseError(
                f"{graph} cannot be written.", "Name a file in a folder that is there: --graph papers.html."
            )
        from ..interp.figure import CONFIG

        figure = reading.graph(book, events)
        figure.write_html(graph, include_plotlyjs=True, config=CONFIG)
        screen.line(f"Drawn in {graph}. Open it in a browser; it needs no network.")
    elif names:
        for name in names:
            one = reading.paper(book, name)
            paper(screen, one, next((step for step in steps if step.id == name), None), book)
    else:
        paper_ladder(screen, steps, book)
