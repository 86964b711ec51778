"""How a class looks in a terminal: the bar while it is graded, what came of it, and how far each lab is. Computes nothing.

Students' words can stand in what is printed here: `plain` takes the terminal's commands out of them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .screen import console, count

MAX_LISTED = 10


def plain(text: str) -> str:
    """Return a text without control characters, on one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class Show:
    """What is seen while submissions are graded, and what is remembered for the end."""

    def __init__(self, progress: Progress):
        self.progress, self.task = progress, None
        self.done = 0  # before this call
        self.total = 0
        self.records: list = []

    def began(self, plan) -> None:
        self.done, self.total = plan.done, len(plan.new)
        if self.total:
            self.task = self.progress.add_task("", total=self.total, last="starting")

    def graded(self, record) -> None:
        self.records.append(record)
        last = f"{plain(record.student)[:24]}: {record.graded.state}"
        self.progress.update(self.task, advance=1, last=last)


@contextmanager
def grading() -> Iterator[Show]:
    """Show a bar on stderr while the block grades; stopped with Ctrl-C, say what is done."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", style="dim"),
    )
    screen = console(stderr=True)
    show = Show(Progress(*columns, console=screen.console, transient=True, disable=not screen.console.is_terminal))
    try:
        with show.progress:
            yield show
    except KeyboardInterrupt:
        left = show.total - len(show.records)
        screen.line(f"{count(len(show.records), 'submission')} graded; {left} are left for the next call.")
        raise


def graded(show: Show, asked: Sequence[str] = ()) -> None:
    """Print what came of it: the numbers, the failures with their reasons, and where to look. `asked`: options given for once."""
    screen = console()
    if not show.records:
        before = (
            f"All {count(show.done, 'submission')} were graded before." if show.done else "Nobody has handed in yet."
        )
        screen.line(f"Nothing is new. {before}")
        if show.done and asked:
            screen.line(f"To grade them again with {' and '.join(asked)}, add --again.")
        return
    done = [record for record in show.records if not record.graded.unfinished]
    stopped = [(record, record.graded.reason) for record in show.records if record.graded.unfinished]
    states = Counter(record.graded.state for record in done)
    said = [f"{states['graded']} as they came"] + [
        f"{states[state]} {state}" for state in ("repaired", "failed") if states[state]
    ]
    before = f" {show.done} were graded before." if show.done else ""
    if done:
        screen.line(f"Graded {count(len(done), 'submission')}: {', '.join(said)}.{before}")
    failed = [record for record in done if record.graded.state == "failed"]
    _listed(screen, "red", [(record, record.graded.reason) for record in failed])
    if stopped:
        screen.line(f"The grader itself stopped at {count(len(stopped), 'submission')}; the next call tries again:")
        _listed(screen, "red", stopped)
    flagged = [(record, flag) for record in show.records for flag in record.graded.flags[:1]]
    if flagged:
        screen.line(f"{count(len(flagged), 'submission')} to look at, because something in it is unusual:")
        _listed(screen, "yellow", flagged)
    screen.line(
        "`mechinterp class report` shows where the class is stuck; the formgrader (jupyter lab) single cells.", "dim"
    )


def _listed(screen, colour: str, rows: list) -> None:
    for record, text in rows[:MAX_LISTED]:
        screen.console.print(
            Text.assemble(("  • ", colour), f"{plain(record.student)}, {record.lesson}: {plain(text)}")
        )
    if len(rows) > MAX_LISTED:
        screen.line(f"  • and {len(rows) - MAX_LISTED} more, in the report")


def status(root: Path, rows: list) -> None:
    """Print a table of the labs, and what to do next."""
    screen = console()
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    table.add_column("Lab", no_wrap=True)
    for name in ("In", "Graded", "Repaired", "Failed", "Look at", "Waiting", "Mean"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(row.lab, "bold"),
            *(_number(row.handed_in), _number(row.graded), _number(row.repaired, "yellow"), _number(row.failed, "red")),
            *(_number(row.flagged, "yellow"), _number(row.waiting, "bold")),
            f"{row.mean:.0%}" if row.mean is not None else "",
        )
    screen.console.print(table)
    waiting, stopped = sum(row.waiting for row in rows), sum(row.stopped for row in rows)
    if stopped:
        screen.line(f"The grader itself stopped at {count(stopped, 'submission')}; the report says why.")
    if waiting:
        screen.line(f"{count(waiting, 'submission')} to grade: mechinterp class grade")
    elif any(row.handed_in for row in rows):
        screen.line("Everything that was handed in is graded: mechinterp class report, feedback, export")
    else:
        screen.line(f"Nobody has handed in yet. Notebooks go to {root / 'submitted'}/STUDENT/LAB/LAB.ipynb.")


def _number(number: int, style: str = "") -> Text:
    return Text(str(number) if number else "·", style if number else "dim")
