"""How the learner's hour looks in a terminal: today, and the status. Imports rich; computes nothing."""

from rich.table import Table
from rich.text import Text

from ..tutor.dates import long_date
from .plan_screen import plan_words
from .screen import Screen, bar, count, duration

MARKS = {"worked": ("●", "green"), "missed": ("○", ""), "free": ("·", "dim"), "still open": ("◌", "dim")}
OUTDATED = "A new release of the course is installed: `mechinterp update` brings it here."

Rows = list[tuple[str, str | Text | Table]]  # a label, and what stands beside it


# --- today ----------------------------------------------------------------------------------------------------------


def resume(screen: Screen, where) -> None:
    """Print when the learner was last here, what today's hour holds, and how far they are."""
    rows: Rows = [("Last time", where.last)] if where.last else []
    rows += today_rows(where.glance, where.next)
    so_far = Text.assemble(
        bar(where.passed, where.total, 20), f"  {where.passed} of {count(where.total, 'exercise')} passed"
    )
    rows.append(("So far", so_far))
    rows += plan_rows(where.glance) + streak_rows(where.glance)
    rows += [("Note", note) for note in where.glance.notes]
    screen.facts(rows)


def today_rows(seen, following: str) -> Rows:
    """Return today's hour: the review, each piece with its minutes, and where to go on."""
    hour = seen.today
    if hour.next is None and not hour.due:
        return [("Today", Text("You have done all there is.", "bold"))]
    # Each with its minutes beside it, so that a long line breaks below its own beginning.
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    if hour.due:
        grid.add_row(
            Text(f"{hour.review} min", "bold"), Text(f"Review: {cards(hour.due)}, `mechinterp review`", "bold")
        )
    now = next((item for item in hour.items if not item.done), None)
    for item in hour.items:
        if item.done:
            grid.add_row(Text("✓", "green"), item.piece.words)
        else:
            style = "bold" if item is now else ""
            grid.add_row(Text(f"{item.left} min", style), Text(following if item is now else item.piece.words, style))
    rows: Rows = [("Today", grid)] if grid.row_count else []
    if hour.done:
        rows.append(("", Text("Only the review is left." if hour.due else "Today's hour is done.", "green")))
    if not hour.items:
        rows.append(("" if rows else "Today", free_words(seen)))
    if now is None and hour.next:
        rows.append(("If you like", Text(f"{following}; about {duration(hour.next.minutes)}", "bold")))
    return rows


def cards(due: int) -> str:
    return f"{count(due, 'card')} for today"


def free_words(seen) -> str:
    """Return why today holds nothing, and when the next hour is."""
    hour, plan = seen.today, seen.plans.now
    if hour.beyond:
        way = "The short path is done." if plan.short else "The way you planned is done."
        return f"{way} The rest of the course is there."
    if plan and hour.day < plan.start:
        return f"Your plan begins on {long_date(plan.start, hour.day.year)}."
    following = f" The next hour is on {long_date(hour.after[0].date, hour.day.year)}." if hour.after else ""
    return f"A day off in your plan.{following}"


def plan_rows(seen) -> Rows:
    """Return the plan in a line, or how to make one."""
    plan = seen.plans.now
    if plan is None:
        return [("Plan", Text("none yet: `mechinterp plan --minutes 60 --days mon-fri` lays it on days", "dim"))]
    ends = f"; at this pace until {long_date(seen.today.ends, seen.day.year)}" if seen.today.ends else ""
    return [("Plan", f"{plan_words(plan)}{ends}")]


def streak_rows(seen) -> Rows:
    """Return the streak with the last four weeks; after a break, a welcome."""
    found = seen.streak
    if not found.worked:
        return []
    strip = Text("  ").join(_week(week) for week in found.weeks)
    if not found.days:
        before = f"the {count(found.worked, 'day')} before {'counts' if found.worked == 1 else 'count'} as ever"
        return [("Streak", strip), ("", f"Welcome back. A new streak begins with today; {before}.")]
    total = f" ({found.worked} in all)" if found.worked > found.days else ""
    return [("Streak", Text.assemble(strip, f"  {count(found.days, 'day')}{total}"))]


def _week(week) -> Text:
    return Text.assemble(*(MARKS[mark.value] for _, mark in week))


# --- status ---------------------------------------------------------------------------------------------------------


def status(screen: Screen, found) -> None:
    """Print the map of the lessons, today's hour, the streak and calibration."""
    narrow = screen.console.width < 100
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("Lesson")
    table.add_column("", no_wrap=True)
    for name in ("Passed", *(() if narrow else ("Hints",)), "Left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Next", no_wrap=True)
    for row in found.lessons:
        hints = () if narrow else (str(row.hints),)
        table.add_row(
            row.number,
            Text(row.title, "bold" if row.is_now else ""),
            bar(row.passed, row.total, 6 if narrow else 12),
            f"{row.passed}/{row.total}",
            *hints,
            duration(row.minutes_left) if row.next else "",
            Text(row.next, "bold" if row.is_now else "dim") if row.next else Text("done", "green"),
        )
    screen.console.print(table)
    screen.line()
    rows = today_rows(found.glance, found.next) + plan_rows(found.glance) + streak_rows(found.glance)
    if found.streak:
        rows.append(("", Text("● worked  ○ missed, which is fine  · off  ◌ still open", "dim")))
    rows.append(("Review", cards(found.reviews_due) if found.reviews_due else "nothing for today"))
    rows.append(("How sure", found.glance.calibration.sentence))
    if found.outdated:
        rows.append(("New", OUTDATED))
    rows += [("Note", note) for note in found.notes]
    screen.facts(rows)
