"""How a plan looks in a terminal: in words, and as a calendar by weeks. Imports rich; computes nothing."""

from datetime import date, timedelta
from itertools import groupby

from rich.table import Table
from rich.text import Text

from ..tutor.dates import long_date, short_date
from .screen import Screen, count, duration

WEEKS_SHOWN = 2  # unless all are wanted
DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def plan_words(plan) -> str:
    """Return "60 min, Mon-Fri, at 19:00, the short path, to lesson 06"."""
    at = f", at {plan.hour}" if plan.hour else ""
    short = ", the short path" if plan.short else ""
    to = f", to lesson {plan.to[1:3]}" if plan.to else ""
    return f"{duration(plan.minutes)}, {days_words(plan.days)}{at}{short}{to}"


def days_words(days: tuple[int, ...]) -> str:
    """Return "Mon-Fri", "Mon, Wed, Sat" or "every day"."""
    if len(days) == 7:
        return "every day"
    runs = [list(run) for _, run in groupby(days, key=lambda day: day - days.index(day))]
    named = [
        f"{DAY_NAMES[r[0]]}-{DAY_NAMES[r[-1]]}" if len(r) > 2 else ", ".join(DAY_NAMES[d] for d in r) for r in runs
    ]
    return ", ".join(named)


def plan(screen: Screen, found, whole: bool) -> None:
    """Print a plan (`planning.Planned`): what it is, this week as it went, then the days ahead; `whole` shows all of them."""
    seen, ahead = found.glance, found.ahead
    words = plan_words(seen.plans.now)
    screen.line(f"Your plan: {words}" if found.is_made else f"It would be: {words}", "bold")
    if not ahead:
        screen.line("Nothing is left to plan: you have done all of it.", "green")
        return
    minutes = duration(sum(day.minutes for day in ahead))
    screen.line(
        f"{count(len(ahead), 'day')}, {minutes}; at this pace until {long_date(ahead[-1].date, seen.day.year)}."
    )
    off = sorted(day for day in seen.plans.rests if day >= seen.day)
    if off:
        screen.line(f"Off: {', '.join(_ranges(off, seen.day.year))}.")
    last = _monday(ahead[0].date) + timedelta(days=7 * WEEKS_SHOWN)
    shown = [day for day in ahead if whole or day.date < last]
    screen.console.print(_table([*_past_rows(found), *_ahead_rows(shown)], seen.day))
    if len(shown) < len(ahead):
        screen.line()
        screen.line(f"… and {count(len(ahead) - len(shown), 'day')} more; `mechinterp plan --all` shows them.", "dim")
    if not found.is_made:
        screen.line()
        screen.line("This is not recorded. `mechinterp plan --minutes 60 --days mon-fri` makes it your plan.", "dim")


def _table(rows: list[tuple[date, str, list[str], str]], today: date) -> Table:
    """Return days as (date, minutes, lines, style), with a heading for each week."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    for options in ({"no_wrap": True}, {"justify": "right", "no_wrap": True}, {}):
        table.add_column(**options)
    week = None
    for day, minutes, lines, style in rows:
        if _monday(day) != week:
            week = _monday(day)
            table.add_row("")
            now = "this week" if week == _monday(today) else ""
            table.add_row(Text(f"{week.day} {week:%b}", "dim"), "", Text(now, "dim"))
        name = Text(f"  {day:%a} {day.day:>2}", "bold" if day == today else style)
        table.add_row(name, Text(minutes, style), Text("\n").join(Text(line, style) for line in lines))
    return table


def _past_rows(found) -> list:
    """Return what was done on the days of this week that are over, and today where its hour is done."""
    today = found.glance.today
    rows = [
        (day, "", [f"✓ {thing.words}" for thing in things], "green")
        for day, things in sorted(found.done.items())
        if _monday(today.day) <= day < today.day
    ]
    done = [f"✓ {item.piece.words}" for item in today.items]
    return [*rows, (today.day, "", done, "green")] if today.done else rows


def _ahead_rows(days) -> list:
    return [(day.date, duration(day.minutes), [piece.words for piece in day.pieces], "") for day in days]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _ranges(days: list[date], year: int) -> list[str]:
    """Return days in order as "21 December" or "21 December to 1 January 2027"."""
    runs: list[list[date]] = []
    for day in days:
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    ends = [(short_date(run[0], year), short_date(run[-1], year)) for run in runs]
    return [first if first == last else f"{first} to {last}" for first, last in ends]
