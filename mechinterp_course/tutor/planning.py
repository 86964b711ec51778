"""What `mechinterp plan` does: change the plan, lay it out, write it as a calendar file. The events are its only memory.

The calendar holds one entry a day. Its UID is made of the day and of the plan's name, which is the same on every machine, so a
calendar that imports the file again updates its entries; an entry of an earlier file whose day is not planned any more is
written as cancelled. icalendar is imported inside a function.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from ..errors import CourseError
from . import events as log
from . import plan, progress
from .catalog import Course
from .events import Event
from .glance import Glance, glance
from .history import Done, finished
from .notebook import write
from .work import Day
from .workspace import Workspace


@dataclass(frozen=True)
class Planned:
    """A plan as it is after the command: what is known, what was done on which day, and whether it is recorded."""

    glance: Glance
    done: dict[date, tuple[Done, ...]]
    is_made: bool
    events: tuple[Event, ...]

    @property
    def ahead(self) -> tuple[Day, ...]:
        """The days ahead, today included as far as it is not done."""
        today = self.glance.today
        pieces = tuple(item.piece for item in today.items if not item.done)
        return (*((Day(today.day, today.review, pieces),) if pieces else ()), *today.after)


def change(
    ws: Workspace,
    course: Course,
    today: date,
    typed: dict,
    rest: str | None = None,
    dry: bool = False,
    no_rest: str | None = None,
) -> Planned:
    """Record the plan where something was typed, and return it; without a plan, and with `dry`, as it would be.

    `rest` are days off, `no_rest` days that are no days off any more, both as they are typed.
    """
    events = progress.load(ws.root)
    now = plan.plans(events).now
    new = plan.changed(now, course, today, **typed)
    off = _rest(rest, today, "--rest") + _rest(no_rest, today, "--no-rest")
    wanted = []
    if any(value is not None for value in typed.values()) or (now is None and off):
        wanted.append(("plan", new.data))
    wanted += [("rest", data) for data in off]
    said = [event for event in events if event.kind in ("plan", "rest")]
    if wanted and not dry:
        for kind, data in wanted:
            progress.record(kind, after=said, **data)
        events = progress.load(ws.root)
    elif wanted or now is None:
        events = progress.merge(events, [log.new_event(k, d, said) for k, d in wanted or [("plan", new.data)]])
    seen = glance(events, course, today)
    is_made = bool(now or wanted) and not (dry and wanted)
    return Planned(seen, finished(events, course), is_made, tuple(events))


def _rest(typed: str | None, today: date, option: str) -> list[dict]:
    """Return what the event `rest` holds, for days that were typed with an option; an empty list where nothing was."""
    if not typed:
        return []
    first, last = plan.read_rest(typed, today, option)
    return [{"first": first.isoformat(), "last": last.isoformat(), "off": option == "--rest"}]


def as_json(found: Planned) -> str:
    """Return the plan and its days as JSON, for programs."""
    days = [
        {
            "date": day.date.isoformat(),
            "minutes": day.minutes,
            "review": day.review,
            "sittings": [
                {"lesson": p.lesson.id, "sitting": p.sitting, "exercises": p.exercises, "minutes": p.minutes}
                for p in day.pieces
            ],
        }
        for day in found.ahead
    ]
    data = {"plan": found.glance.plans.now.data, "is_made": found.is_made, "days": days}
    return json.dumps(data, indent=2, ensure_ascii=False)


# --- the calendar file ----------------------------------------------------------------------------------------------


def export(ws: Workspace, found: Planned, file: Path, now: datetime) -> Path:
    """Write the days ahead as an .ics file and return its path; record which days it holds."""
    if not found.is_made:
        raise CourseError("There is no plan to write yet.", "Make one: `mechinterp plan --minutes 60 --days mon-fri`.")
    file = file / "mechinterp.ics" if file.is_dir() else file
    if file.exists() and not file.read_bytes()[:15].upper().startswith(b"BEGIN:VCALENDAR"):
        raise CourseError(f"{file} is there already, and it is not a calendar.", "Give another name: --ics hour.ics.")
    sequence, before = exported(found.events, found.glance.plans.name)
    days, name = [day.date.isoformat() for day in found.ahead], found.glance.plans.name
    write(file, ics(found, before - {(name, day) for day in days}, sequence, now))
    progress.record("calendar", days=days, sequence=sequence, name=name)
    return file.resolve()


def exported(events: Iterable[Event], name: str) -> tuple[int, set[tuple[str, str]]]:
    """Return the sequence number of the next calendar file, and the entries of earlier ones as (calendar's name, day).

    Two computers may each have made a calendar before their progress was brought together. `name` is that of a file without one.
    """
    sequence, entries = 0, set()
    for event in events:
        if event.kind == "calendar":
            number, held = event.data.get("sequence"), event.data.get("days")
            sequence = max(sequence, number + 1 if isinstance(number, int) else 0)
            under = event.data.get("name")
            under = under if isinstance(under, str) else name
            entries |= {(under, day) for day in held if _is_date(day)} if isinstance(held, list) else set()
    return sequence, entries


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def ics(found: Planned, gone: set[tuple[str, str]], sequence: int, now: datetime) -> str:
    """Return the calendar as text; `gone` are entries of an earlier file, as (calendar's name, day), that are not planned any more."""
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("prodid", "-//mechinterp course//an hour a day//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "Mechanistic interpretability")
    name, today = found.glance.plans.name, found.glance.day.isoformat()
    for day in found.ahead:
        calendar.add_component(_entry(found, day, name, sequence, now))
    for under, text in sorted(gone):
        is_done = text == today and under == name and found.glance.today.items  # today's hour was there, and is done
        if text >= today and not is_done:
            day = Day(date.fromisoformat(text), 0)
            calendar.add_component(_entry(found, day, under, sequence, now, cancelled=True))
    return calendar.to_ical().decode("utf-8")


def _entry(found: Planned, day: Day, name: str, sequence: int, now: datetime, cancelled: bool = False):
    from icalendar import Event as Entry

    entry, plans = Entry(), found.glance.plans
    entry.add("uid", f"{day.date.isoformat()}-{name}@mechinterp-course")
    entry.add("dtstamp", now.astimezone(UTC))
    entry.add("last-modified", now.astimezone(UTC))
    entry.add("sequence", sequence)
    entry.add("summary", _summary(day))
    entry.add("description", _description(day))
    hour = plans.now.hour
    if hour:  # without a time zone: 19:00 wherever the learner is
        begin = datetime.combine(day.date, time.fromisoformat(hour))
        entry.add("dtstart", begin)
        entry.add("dtend", begin + timedelta(minutes=plans.now.minutes))
    else:
        entry.add("dtstart", day.date)
        entry.add("dtend", day.date + timedelta(days=1))
        entry.add("transp", "TRANSPARENT")
    entry.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    return entry


def _summary(day: Day) -> str:
    if not day.pieces:
        return "Mechinterp"
    first, more = day.pieces[0], len(day.pieces) - 1
    others = f" and {more} more" if more else ""
    return f"Mechinterp {first.lesson.number}: {first.lesson.title}, {first.sitting}{others}"


def _description(day: Day) -> str:
    lines = [f"{day.review} min  Review"] if day.review and day.pieces else []
    lines += [f"{piece.minutes} min  {piece.words}" for piece in day.pieces]
    return "\n".join([*lines, "Type `mechinterp` in a terminal: it opens where you stopped."])
