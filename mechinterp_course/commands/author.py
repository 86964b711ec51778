"""What an author types, in a clone: author build, check, new, links."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import CourseError

app = typer.Typer(
    help="Write and verify lessons. For those who work in a clone of the course.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def build(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; the exit code is 1 where a file is stale.")
    ] = False,
) -> None:
    """Build lessons/, exercises/ and solutions/ from the content folder, and the README's table from the model cards."""
    from ..course import build as building
    from ..tutor.catalog import course
    from .screen import console, count

    screen = console()
    if check:
        old = building.stale(course(), _clone())
        for path in old:
            screen.exact(f"  {path}")
        if old:
            screen.line(f"✗ {count(len(old), 'file')} out of date: run `mechinterp author build`.")
            raise typer.Exit(1)
        screen.line("✓ Every built file is up to date.", "green")
        return
    changed = building.write(course(), _clone())
    for path in changed:
        screen.exact(f"  {path}")
    screen.line(
        f"✓ {count(len(changed), 'file')} changed." if changed else "✓ Every built file is up to date.", "green"
    )


def _clone() -> Path:
    """Return the root of the clone; an installed package has no notebooks to build."""
    from ..tutor.catalog import notebooks_root

    root = notebooks_root()
    if root.name == "_notebooks":
        raise CourseError(
            "This is an installed package: there is nothing to build.",
            "Clone the course, install it with `pip install -e .[dev]`, and run the command there.",
        )
    return root


@app.command()
def check(
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="LESSON", help="Numbers or names; none means all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Skip lessons that have not changed since they were sound.")
    ] = True,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Lessons checked at a time.")] = None,
) -> None:
    """Apply every rule of the contract. The exit code is 1 where one is broken."""
    from ..course import contract
    from ..tutor.catalog import course
    from .screen import console

    with console(stderr=True).working("Checking") as tell:
        report = contract.check(course(), lessons or None, jobs=jobs, cached=cache, progress=tell)
    if as_json:
        print(report.as_json())
    else:
        for line in report.lines():
            console().line(line, "green" if line.startswith("✓") else None)
    if not report.sound:
        raise typer.Exit(1)


@app.command()
def new(
    number: Annotated[str, typer.Argument(help="The lesson's number, as in 07.")],
    slug: Annotated[str, typer.Argument(help="Its name in paths, as in phase_change.")],
) -> None:
    """Make the folder of a new lesson, which builds already and says what is missing."""
    from ..course import scaffold
    from ..tutor.catalog import course
    from .screen import console

    _clone()
    for line in scaffold.new(course(), number, slug):
        console().line(line)


@app.command()
def links() -> None:
    """Check the external addresses in papers.toml. This one reaches the network."""
    from ..course import links as addresses
    from ..tutor.catalog import course
    from .screen import console

    _clone()  # the day on which an address answered is written into papers.toml
    with console(stderr=True).working("Asking") as tell:
        report = addresses.verify(course(), progress=tell)
    for line in report.lines():
        console().line(line)
    if not report.sound:
        raise typer.Exit(1)


@app.command()
def site(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to put the site; one that is there is replaced.")
    ],
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="LESSON", help="Numbers or names; none means all.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Lessons run at a time.")] = 1,
) -> None:
    """Write the lessons, executed, as an HTML site that works offline.

    Each lesson runs once in a kernel without a network, and again only after a change. The site can be opened from a disk, or put on any
    web server: plots are alive, mathematics needs no script, and the search works without a server.
    """
    from ..course import site as pages
    from ..tutor.catalog import course
    from .screen import console

    book = course()
    chosen = [book.lesson(name) for name in lessons] if lessons else None
    with console(stderr=True).working("Making the site") as tell:
        first = pages.build(book, folder, chosen, jobs, tell)
    console().line(f"Open {first} in a browser.")
