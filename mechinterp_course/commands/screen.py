"""How things look in a terminal: one function for each thing that a command prints. Imports rich; computes nothing."""

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ..errors import CourseError

BAR_WIDTH = 12
STATES = {"good": ("✓", "green"), "note": ("•", "yellow"), "broken": ("✗", "red")}


class Screen:
    """A terminal, and the few forms that the commands print in."""

    def __init__(self, stderr: bool = False):
        # No highlighting of numbers and paths: colour means something here.
        self.console = Console(stderr=stderr, highlight=False, soft_wrap=False)

    def line(self, text: str = "", style: str | None = None) -> None:
        """Print a line as it is; a long one wraps at words."""
        self.console.print(Text(text, style or ""))

    def exact(self, text: str) -> None:
        """Print a line that must not be broken or shortened: an address, a command to copy."""
        self.console.print(Text(text), soft_wrap=True)

    def error(self, error: CourseError) -> None:
        self.console.print(Text.assemble(("✗ ", "red"), error.sentence), soft_wrap=True)
        if error.remedy:
            self.console.print(Text(f"  {error.remedy}"), soft_wrap=True)

    def facts(self, rows: list[tuple[str, str | Text]]) -> None:
        """Print pairs of a label and a text in two columns."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for label, text in rows:
            table.add_row(label, text)
        self.console.print(table)

    @contextmanager
    def working(self, what: str) -> Iterator:
        """Show that something is going on, in a terminal; the block gets a function that says what."""
        if not self.console.is_terminal:
            yield lambda text: None
            return
        with self.console.status(f"{what} …", spinner="dots") as status:
            yield lambda text: status.update(f"{what}: {text} …")


def console(stderr: bool = False) -> Screen:
    return Screen(stderr)


def bar(done: int, total: int, width: int = BAR_WIDTH) -> Text:
    """Return a progress bar; any progress shows, and only all of it fills the bar."""
    full = round(width * done / total) if total else 0
    full = min(max(full, 1), width - 1) if 0 < done < total else full
    return Text.assemble(("█" * full, "green"), ("░" * (width - full), "dim"))


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(minutes: int) -> str:
    """Return minutes as people say them."""
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest or not hours)
    return " ".join(parts)


# --- the learner's screens ------------------------------------------------------------------------------------------


def serving(screen: Screen, address: str) -> None:
    """Print where JupyterLab is and how to stop it."""
    screen.line()
    screen.line("JupyterLab is ready:")
    screen.exact(f"  {address}")
    screen.line("It saves by itself every few seconds. Stop it with Ctrl-C.", "dim")


def outcome(screen: Screen, found) -> None:
    """Print what one check said: the verdict in colour, the rest as it is."""
    # What a notebook calls hint("x") is a command here.
    lines = [re.sub(r'\bhint\("(\w+)"\)', r"`mechinterp hint \1`", line) for line in found.lines]
    first, *rest = lines or [""]
    said = [Text(first, "green" if found.passed else "red")]
    for line in rest:
        verdict = line.startswith(("✓", "✗"))
        said.append(Text(line, "green" if verdict and found.passed else "cyan" if line.startswith("Next:") else ""))
    screen.console.print(Group(*said))
    if rest:
        screen.line()


def reset(screen: Screen, done) -> None:
    """Print what was put back and where the old notebook is."""
    if done.unchanged:
        screen.line(f"Nothing to reset: the cells in {done.path.name} are as they were released.")
        return
    what = f"{', '.join(done.cells)} in {done.path.name}" if done.cells else str(done.path)
    screen.line(f"✓ As released again: {what}", "green")
    if done.backup:
        screen.line("The notebook as it was:")
        screen.exact(f"  {done.backup}")
    screen.line(
        "If JupyterLab shows it, let it load the notebook from disk: File, then Reload Notebook from Disk.", "dim"
    )


def update(screen: Screen, done) -> None:
    """Print what an update did, or would do."""
    verb = "would be " if done.dry_run else ""
    if not done.changes and not done.left:
        screen.line("Your notebooks are those of the installed release. Nothing to do.")
        return
    for change in done.changes:
        _change(screen, change, verb)
    for path in done.left:
        screen.line(f"• {path} is not in the course any more; it stays where it is.")
    if done.backup:
        screen.line()
        screen.line("The notebooks as they were:")
        screen.exact(f"  {done.backup}")
    if done.dry_run:
        screen.line()
        screen.line("Nothing was changed. `mechinterp update` does it.", "dim")


def _change(screen: Screen, change, verb: str) -> None:
    if change.trouble:
        screen.error(change.trouble)
        return
    screen.line(f"✓ {change.path} {verb}{'added' if change.is_new else 'updated'}", "green")
    said = [f"it was called {change.was}"] if change.was else []
    merged = change.merged
    if merged:
        kept = [count(len(merged.kept_answers), "answer")] if merged.kept_answers else []
        kept += [f"{count(merged.own_cells, 'cell')} of your own"] if merged.own_cells else []
        said += [f"kept: {' and '.join(kept)}"] if kept else []
        said += [f"new: {', '.join(merged.new_exercises)}"] if merged.new_exercises else []
        said += [f"{old} is now called {new}; your answer moved with it" for old, new in merged.renamed]
        said += [
            f"{name} starts differently now, and your answer stays; `mechinterp reset {name}` gives the new start"
            for name in merged.changed_starters
        ]
        said += [f"{name} is not in the course any more; your answer is at the end" for name in merged.removed]
        said += merged.notes
    for text in said:
        screen.line(textwrap.fill(text, screen.console.width, initial_indent="    ", subsequent_indent="    "))


def comparison(screen: Screen, found) -> None:
    """Print two answers beside each other where the terminal is wide enough, else one below the other."""
    from rich.panel import Panel
    from rich.syntax import Syntax

    def panel(title: str, code: str) -> Panel:
        return Panel(
            Syntax(code, "python", theme="ansi_light", background_color="default", word_wrap=True),
            title=title,
            title_align="left",
        )

    screen.line(f"{found.exercise}: {found.title}", "bold")
    yours, ours = panel("Yours", found.yours), panel("The course's", found.ours)
    longest = max(len(line) for line in f"{found.yours}\n{found.ours}".splitlines() or [""])
    if 2 * (longest + 4) <= screen.console.width or screen.console.width >= 100:
        table = Table.grid(expand=True)
        table.add_column(ratio=1)
        table.add_column(ratio=1)
        table.add_row(yours, ours)
        screen.console.print(table)
    else:
        screen.console.print(yours, ours)
    screen.line("Where they differ, is it in what they compute, or in how?", "dim")


def finding(screen: Screen, found) -> None:
    """Print one line of the doctor's report, and its remedy."""
    mark, colour = STATES[found.state]
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(width=10, no_wrap=True)
    table.add_column()
    table.add_row(Text(mark, colour), found.about, found.says)
    if found.remedy:
        table.add_row("", "", Text(found.remedy, "cyan"))
    screen.console.print(table)


def imported(screen: Screen, done) -> None:
    """Say what an import brought, notebook by notebook."""
    if not (done.events or done.whole or done.united or done.beside):
        screen.line(f"Nothing new: everything from {done.machine} is here already.")
    if done.events:
        screen.line(f"{count(done.events, 'event')} of your progress on {done.machine} came in.", "green")
    for path in done.whole:
        screen.line(f"  {path}: new here")
    for path, united in done.united.items():
        said = [
            f"{count(len(united.taken), 'cell')} taken" if united.taken else "",
            f"{count(united.added, 'cell')} of your own added" if united.added else "",
            f"written on both: {', '.join(united.differ)} (yours here stays, the other is quoted below it)"
            if united.differ
            else "",
        ]
        screen.line(f"  {path}: {'; '.join(part for part in said if part)}")
    for path in done.beside:
        screen.line(f"  {path}: saved beside yours, because the two could not be brought together", "yellow")
    if done.damaged:
        screen.line(
            f"{count(done.damaged, 'line')} of the progress file could not be read, and were left out.", "yellow"
        )
    if done.backup:
        screen.line(f"Your notebooks as they were before are in {done.backup}.", "dim")


def journal_by_day(screen: Screen, entries: list, course) -> None:
    """Print the journal, a heading for each day; a question has the name by which it is marked as answered."""
    from ..tutor.journal import lesson_of

    if not entries:
        screen.line(
            "Nothing is written yet. Every lesson ends with two cells for it: what surprised you, and what you still ask."
        )
        return
    day = None
    for entry in entries:
        if entry.day != day:
            day = entry.day
            screen.line(f"{day:%A, %d %B %Y}", "bold")
        lesson = lesson_of(entry, course)
        where = f"lesson {lesson.number}" if lesson else entry.lesson
        mark = (
            {True: Text("?", "yellow"), False: Text("✓", "green")}[entry.is_open]
            if entry.section == "questions"
            else Text("!")
        )
        name = entry.id if entry.section == "questions" else ""
        table = Table.grid(padding=(0, 1))
        for width in (1, 9, 7):
            table.add_column(width=width, no_wrap=True)
        table.add_column(ratio=1)
        table.add_row(" ", Text(where, "dim"), Text(name, "dim"), Text.assemble(mark, " ", entry.text))
        if entry.answer:
            table.add_row("", "", "", Text(f"→ {entry.answer}", "green"))
        screen.console.print(table)
    still = sum(entry.is_open for entry in entries)
    if still:
        screen.line(
            f"\n{still} open. `mechinterp journal --answered NAME --with TEXT` closes one; until then it comes back in review.",
            "dim",
        )


def paper_ladder(screen: Screen, steps: list, course) -> None:
    """Print what to read, lesson by lesson, with what is read already ticked off."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "Lesson", "Name", "What"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column("Minutes", justify="right", no_wrap=True)
    for step in steps:
        tick = Text("✓", "green") if step.read_on else Text("·", "dim")
        what = Text(f"{step.short}, ")
        what.append(step.paper["title"], "italic")
        table.add_row(tick, step.lessons[0], Text(step.id, "bold"), what, str(step.paper.get("minutes", "")))
    screen.console.print(table)
    left = [step for step in steps if not step.read_on]
    minutes = sum(int(step.paper.get("minutes", 0)) for step in left)
    screen.line(
        f"\n{len(steps) - len(left)} of {len(steps)} read; {minutes / 60:.0f} hours left. Nobody reads them all.", "dim"
    )
    if left:
        screen.line(
            f"Next: `mechinterp papers {left[0].id}` shows what to read in it, and with which questions.", "dim"
        )


def paper(screen: Screen, one: dict, step, course) -> None:
    """Print one entry: what it is, what to read of it, its questions and its neighbours."""
    from ..tutor.papers import authors

    screen.line(one["title"], "bold")
    rows = [("by", f"{authors(one.get('authors', ''))}, {one.get('year', '')}"), ("at", one["address"])]
    rows += [("read", f"{one['read']}; about {one['minutes']} minutes")] if one.get("read") else []
    rows += [("with lesson", ", ".join(step.lessons))] if step else []
    others = [course.papers[other] for other in one.get("connects", ()) if other in course.papers]
    rows += [("connects to", "; ".join(f"{other['id']}: {other['title']}" for other in others))] if others else []
    rows += [("read on", step.read_on)] if step and step.read_on else []
    screen.facts(rows)
    for number, question in enumerate(one.get("questions", ()), 1):
        screen.line(f"  {number}. {question}")
    screen.line()


# --- models and authors ---------------------------------------------------------------------------------------------


def size(number: int) -> str:
    return f"{number / 1e6:.1f} MB"


def model_list(screen: Screen, entries: list) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Model", no_wrap=True)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Where", no_wrap=True)
    table.add_column("Good for", ratio=1)
    for entry in entries:
        where = entry.kind if entry.where else "to fetch"
        table.add_row(Text(entry.name, "bold"), size(entry.bytes), where, entry.good_for)
    screen.console.print(table)


def sae_list(screen: Screen, entries: list) -> None:
    screen.console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Sparse autoencoder", no_wrap=True)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("What it is", ratio=1)
    for entry in entries:
        table.add_row(Text(entry.name, "bold"), size(entry.bytes), entry.about)
    screen.console.print(table)
