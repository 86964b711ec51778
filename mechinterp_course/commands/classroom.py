"""What a teacher types: class init, grade, status, report, feedback, export. (`class` is a word of Python's own, so the
module has another name.)"""

from pathlib import Path
from typing import Annotated

import typer

HELP = """
Run the labs for a class: nbgrader's formats and formgrader, with sandboxed and parallel grading.

`init` makes a folder; run the other commands in it. Its README goes through a term step by step.
"""
EXAMPLES = """
[bold]Examples[/]

  mechinterp class init fall --lessons 00,06 --roster students.csv
  cd fall
  mechinterp class grade         what is new; Ctrl-C and again is fine
  mechinterp class report        report.html: where is the class stuck?
  mechinterp class feedback      a page for each student
  mechinterp class export        grades.csv and exercises.csv
"""

app = typer.Typer(help=HELP, epilog=EXAMPLES.replace("\n", "\n\n", 1), no_args_is_help=True, rich_markup_mode="rich")

Lab = Annotated[
    str | None, typer.Argument(metavar="LESSON", help="One lab of the class, by number or name; none means all.")
]
Folder = Annotated[
    Path | None, typer.Option("--class", metavar="DIR", help="The class folder. Default: the one you are in.")
]


@app.callback()
def classroom() -> None:
    pass


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder, or a class to add to.")],
    lessons: Annotated[
        list[str] | None,
        typer.Option("--lessons", metavar="LESSONS", help="Numbers or names, as 00,06 or 06. Default: every lesson."),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Students: a column id; first_name, last_name and email if you have them."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The gradebook, as postgresql+psycopg://USER@HOST/NAME. Default: a file (SQLite)."
        ),
    ] = None,
) -> None:
    """Make a class folder, or add labs and students to one. What is there stays as it is.

    The folder gets the class's own secret seed: hidden checks draw their inputs from it.
    """
    from ..course import grading
    from ..tutor.catalog import course
    from .screen import console

    names = [name.strip() for part in lessons or [] for name in part.split(",") if name.strip()]
    with console(stderr=True).working("Making the class") as _:
        lines = grading.init(folder, course(), names or None, roster, database)
    for line in lines:
        console().line(line)


@app.command()
def grade(
    lesson: Lab = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Submissions graded at once. Default: one for each core.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Grade on the workers of a Dask scheduler, as tcp://10.0.0.5:8786."),
    ] = None,
    unsafe: Annotated[
        bool,
        typer.Option("--unsafe", help="Grade without a sandbox. Students' code then runs as you, on your files."),
    ] = False,
    all_cells: Annotated[
        bool,
        typer.Option(
            "--all-cells", help="Run the cells that only show something, too: for their pictures, not for points."
        ),
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Grade what is graded already, too.")] = False,
    student: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this student; may be given several times.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="S",
            help="What the cells of one submission may take, and its checks as much again. Default: 300.",
        ),
    ] = None,
    folder: Folder = None,
) -> None:
    """Grade what is new: each submission in a sandbox of its own, several at once.

    Nothing is graded twice: a submission is new when it, the lab or its
    checks have changed, or when it ran out of time and --seconds gives it
    more. Stop with Ctrl-C whenever you like; the next call goes on. A damaged
    or hostile submission ends as failed, with the reason, and stops nobody
    else. The lab's own cells on which no answer depends do not run: they show
    what an answer does.
    """
    from dataclasses import replace

    from ..course.grading import session
    from ..course.grading.graded import Limits
    from . import class_screen

    made, course, labs = _class(folder, lesson)
    limits = replace(Limits(), wall_seconds=seconds) if seconds else None
    options = {"workers": workers, "scheduler": scheduler, "unsafe": unsafe, "again": again, "limits": limits}
    options["all_cells"] = all_cells
    with class_screen.grading() as show:
        for record in session.grade(made, course, labs, students=student or (), began=show.began, **options):
            show.graded(record)
    class_screen.graded(
        show, asked=[name for name, given in (("--seconds", seconds), ("--all-cells", all_cells)) if given]
    )


@app.command()
def status(folder: Folder = None) -> None:
    """Show how far the grading of every lab is."""
    from ..course.grading import standing
    from . import class_screen

    made, course, labs = _class(folder, None)
    class_screen.status(made.root, standing.counts(made, course, labs))


@app.command()
def report(
    lesson: Lab = None,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: report.html in the class folder.")] = None,
    folder: Folder = None,
) -> None:
    """Write one HTML page, for you alone: where the class is, and where it is stuck.

    Points and time by exercise, the named mistakes that the class makes,
    hints used, who needs help, exercises whose check is too hard or too easy,
    submissions that were mended, flagged, or look alike. It works offline.
    """
    from ..course.grading import insight, page
    from .screen import console

    made, course, labs = _class(folder, lesson)
    with console(stderr=True).working("Looking at the class") as say:
        found = insight.insight(made, course, labs, say)
        path = page.write_report(found, to or made.root / "report.html")
    console().line(f"The report is at {path}. It names students: keep it to yourself.")


@app.command()
def feedback(
    lesson: Lab = None,
    student: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this student; may be given several times.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Write a page for each student: points, what each check said, and your comments from the formgrader.

    A page stands alone: mathematics included, no network, no scripts. It
    shows no hidden check and nothing of the class's secret.
    """
    from ..course.grading import feedback as pages
    from .screen import console, count

    made, course, labs = _class(folder, lesson)
    with console(stderr=True).working("Writing pages") as say:
        written = pages.write_pages(made, course, labs, student or (), say)
    place = made.root / "feedback"
    console().line(f"Wrote {count(len(written), 'page')} to {place}." if written else "Nothing is graded yet.")


@app.command()
def export(
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: the class folder.")] = None,
    folder: Folder = None,
) -> None:
    """Write grades.csv (each student and lab) and exercises.csv (each exercise), safe to open in a spreadsheet."""
    from ..course.grading import export as tables
    from ..course.grading.standing import standing
    from .screen import console

    made, course, labs = _class(folder, None)
    for path in tables.export(to or made.root, standing(made, course, labs)):
        console().line(f"Wrote {path}.")


def _class(folder: Path | None, lesson: str | None):
    """Return the class, the course, and the labs that are meant."""
    from ..course.grading.folder import find_class
    from ..tutor.catalog import course

    made, book = find_class(folder), course()
    return made, book, [made.lab(book, lesson)] if lesson else made.labs
