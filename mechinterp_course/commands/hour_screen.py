"""How the learner's hour looks in a terminal: today, the status, the plan, calibration. Imports rich; computes nothing."""

from datetime import date, timedelta
from itertools import groupby

from rich.table import Table
from rich.text import Text

from .screen import Screen, bar, count, duration

WEEKS_SHOWN = 2  # of the plan, unless all are wanted
SCALE = 40  # the characters from 0 to 100 % in a picture of calibration
MARKS = {"worked": ("●", "green"), "missed": ("○", ""), "free": ("·", "dim"), "still open": ("◌", "dim")}
OUTDATED = "A new release of the course is installed: `mechinterp update` brings it here."
DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

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
        grid.add_row(Text(f"{hour.review} min", "bold"), Text(f"Review: {cards(hour.due)}", "bold"))
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
    return f"{count(due, 'card')} {'is' if due == 1 else 'are'} due"


def free_words(seen) -> str:
    """Return why today holds nothing, and when the next hour is."""
    hour, plan = seen.today, seen.plans.now
    if hour.beyond:
        way = "The short path is done." if plan.short else "The way you planned is done."
        return f"{way} The rest of the course is there."
    if plan and hour.day < plan.start:
        return f"Your plan begins on {long_date(plan.start)}."
    following = f" The next hour is on {long_date(hour.after[0].date)}." if hour.after else ""
    return f"A day off in your plan.{following}"


def plan_rows(seen) -> Rows:
    """Return the plan in a line, or how to make one."""
    plan = seen.plans.now
    if plan is None:
        return [("Plan", Text("none yet: `mechinterp plan --minutes 60 --days mon-fri` lays it on days", "dim"))]
    ends = f"; at this pace until {long_date(seen.today.ends)}" if seen.today.ends else ""
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
    rows.append(("Review", cards(found.reviews_due) if found.reviews_due else "nothing is due"))
    rows.append(("How sure", found.glance.calibration.sentence))
    if found.outdated:
        rows.append(("New", OUTDATED))
    rows += [("Note", note) for note in found.notes]
    screen.facts(rows)


# --- the plan -------------------------------------------------------------------------------------------------------


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


def long_date(day: date, year: bool = False) -> str:
    return f"{day:%A} {day.day} {day:%B}{f' {day.year}' if year else ''}"


def plan(screen: Screen, seen, done: dict, whole: bool, is_made: bool) -> None:
    """Print the calendar: this week as it went, then the days ahead."""
    hour, now = seen.today, seen.plans.now
    ahead = _ahead(seen)
    heading = f"Your plan: {plan_words(now)}" if is_made else f"It would be: {plan_words(now)}"
    screen.line(heading, "bold")
    if not ahead:
        screen.line("Nothing is left to plan: you have done all of it.", "green")
        return
    minutes = sum(day.minutes for day in ahead)
    screen.line(
        f"{count(len(ahead), 'day')}, {duration(minutes)}; at this pace until {long_date(hour.ends, year=True)}."
    )
    off = sorted(day for day in seen.plans.rests if day >= hour.day)
    if off:
        screen.line(f"Off: {', '.join(_ranges(off))}.")
    monday = hour.day - timedelta(days=hour.day.weekday())
    past = [(day, done[day]) for day in sorted(done) if monday <= day < hour.day]
    first = ahead[0].date - timedelta(days=ahead[0].date.weekday())
    last = None if whole else first + timedelta(days=7 * WEEKS_SHOWN)
    shown = [day for day in ahead if last is None or day.date < last]
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
    for options in ({"no_wrap": True}, {"justify": "right", "no_wrap": True}, {}):
        table.add_column(**options)
    week = None
    for day, minutes, lines, style in [*_past_rows(past), *_ahead_rows(shown, hour)]:
        start = day - timedelta(days=day.weekday())
        if start != week:
            table.add_row("")
            table.add_row(
                Text(f"{start.day} {start:%b}", "dim"), "", Text("this week" if start == monday else "", "dim")
            )
            week = start
        name = Text(f"  {day:%a} {day.day:>2}", "bold" if day == hour.day else style)
        table.add_row(name, Text(minutes, style), Text("\n").join(Text(line, style) for line in lines))
    screen.console.print(table)
    if len(shown) < len(ahead):
        screen.line()
        screen.line(f"… and {count(len(ahead) - len(shown), 'day')} more; `mechinterp plan --all` shows them.", "dim")
    if not is_made:
        screen.line()
        screen.line("This is not recorded. `mechinterp plan --minutes 60 --days mon-fri` makes it your plan.", "dim")


def _ranges(days: list[date]) -> list[str]:
    """Return days in order as "21 December" or "21 December to 1 January"."""
    runs: list[list[date]] = []
    for day in days:
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    ends = [(f"{run[0].day} {run[0]:%B}", f"{run[-1].day} {run[-1]:%B}") for run in runs]
    return [first if first == last else f"{first} to {last}" for first, last in ends]


def _ahead(seen) -> list:
    """Return today, as far as it is not done, and the days after it."""
    from ..tutor.work import Day

    open_pieces = tuple(item.piece for item in seen.today.items if not item.done)
    first = [Day(seen.today.day, seen.today.review, open_pieces)] if open_pieces else []
    return [*first, *seen.today.after]


def _past_rows(past) -> list:
    return [(day, "", [f"✓ {thing.words}" for thing in things], "green") for day, things in past]


def _ahead_rows(days, hour) -> list:
    rows = []
    if hour.done:
        rows.append((hour.day, "", [f"✓ {item.piece.words}" for item in hour.items], "green"))
    for day in days:
        rows.append((day.date, duration(day.minutes), [piece.words for piece in day.pieces], ""))
    return rows


# --- calibration ----------------------------------------------------------------------------------------------------


def calibration(screen: Screen, found) -> None:
    """Print how sure and how often right: a picture with 95 % intervals, then the lessons, then the way it went."""
    screen.line("How sure you are, and how often you are right", "bold")
    screen.line(found.sentence)
    if not found.all.count:
        screen.line("A lesson asks before it shows: guess, and say how sure you are.", "dim")
        return
    screen.line()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    wide = screen.console.width >= 100
    scale = SCALE if wide else 22
    ends = "0 %" + "100 %".rjust(scale + 1 - 3)
    for name, options in {
        "You said": {"justify": "right"},
        "Right": {"justify": "right"},
        ends: {"no_wrap": True},
        "": {},
    }.items():
        table.add_column(name, **options)
    for group in found.levels:
        if group.count:
            table.add_row(group.name, _score(group), _interval(group, scale), _verdict(group))
    screen.console.print(table)
    screen.line("● how many were right  ├─┤ what so few answers leave open (95 %)  │ what you said", "dim")
    for title, groups in (("By lesson", found.lessons), ("In order of time", found.blocks)):
        if groups:
            screen.line()
            screen.console.print(_groups(title, groups, scale))
    missing = 10 - found.all.count % 10
    screen.line()
    screen.line(f"{count(missing, 'more prediction')} until the next ten.", "dim")


def _score(group) -> str:
    return f"{group.right} of {group.count}"


def _verdict(group) -> Text:
    return Text(group.verdict, "dim" if group.missing else "green" if group.verdict == "fits" else "yellow")


def _interval(group, scale: int) -> Text:
    """Return the share, its interval and what was said, drawn on a line from 0 to 100 %."""
    low, high = (round(percent * scale / 100) for percent in group.interval)
    drawn = [(" ", "")] * (scale + 1)
    drawn = [("─", "dim") if low < i < high else cell for i, cell in enumerate(drawn)]
    drawn[low], drawn[high] = ("├", "dim"), ("┤", "dim")
    drawn[round(group.sure * scale / 100)] = ("│", "yellow")
    drawn[round(group.share * scale / 100)] = ("●", "bold")
    return Text.assemble(*drawn)


def _groups(title: str, groups, scale: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(title)
    table.add_column("Sure", justify="right")
    table.add_column("Right", justify="right")
    table.add_column("")
    for group in groups:
        table.add_row(group.name, f"{group.sure:.0f} %", f"{group.share:.0f} %, {_score(group)}", _verdict(group))
    return table
