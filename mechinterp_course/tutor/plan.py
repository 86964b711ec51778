"""A learner's plan: how long, on which days, from when, how far. A function of the events `plan` and `rest`.

It says which days are planned; what lies on them is laid out in `work.py`. A plan is changed by another `plan` event, so the
history of plans says what was planned on any day of the past. Imports `events` and `catalog` only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from ..errors import CourseError
from .catalog import Course
from .events import Event

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
GROUPS = {"daily": "mon-sun", "every day": "mon-sun", "weekdays": "mon-fri", "weekends": "sat-sun"}
LEAST_MINUTES, MOST_MINUTES = 10, 480
FURTHEST = timedelta(days=366)  # a plan begins within a year
LONGEST_REST = 366
DAYS_EXAMPLE = "Write them like mon-fri, mon,wed,sat or daily."


@dataclass(frozen=True)
class Plan:
    """One plan. `days` are weekdays (Monday is 0); `to` is the id of the last lesson ("" = all); `hour` is "19:00" or ""."""

    minutes: int = 60
    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: date = date.min
    short: bool = False
    to: str = ""
    hour: str = ""

    @property
    def data(self) -> dict:
        """What the event `plan` holds."""
        return {
            "minutes": self.minutes,
            "days": [WEEKDAYS[day] for day in self.days],
            "start": self.start.isoformat(),
            "short": self.short,
            "to": self.to,
            "hour": self.hour,
        }


@dataclass(frozen=True)
class Plans:
    """Every plan in the order in which they were made, with the day from which it held, and the days taken off."""

    made: tuple[tuple[date, Plan], ...] = ()
    rests: frozenset[date] = frozenset()
    name: str = ""  # the same on every machine; it names the calendar, and stays once there is one

    @property
    def now(self) -> Plan | None:
        """The plan that holds, or None where none was made."""
        return self.made[-1][1] if self.made else None

    def on(self, day: date) -> Plan | None:
        """Return the plan that held on a day."""
        held = sorted((entry for entry in self.made if entry[0] <= day), key=lambda entry: entry[0])
        return held[-1][1] if held else None

    def is_planned(self, day: date) -> bool:
        """Whether something was planned on a day, for the streak. Before there was a plan, Monday to Friday count."""
        plan = self.on(day) or Plan()
        return day >= plan.start and day.weekday() in plan.days and day not in self.rests

    def days_from(self, first: date) -> Iterable[date]:
        """Give the days of the plan that holds now, from `first` on, without an end; without a plan, every day."""
        plan = self.now or Plan(days=tuple(range(7)))
        day = max(first, plan.start)
        while True:
            if day.weekday() in plan.days and day not in self.rests:
                yield day
            day += timedelta(days=1)


def plans(events: Iterable[Event]) -> Plans:
    """Return the plans that follow from the events, given in order; an event that makes no sense is left out."""
    made, rests, name, calendar = [], set(), "", ""
    for event in events:
        if event.kind == "plan":
            plan = _from_data(event.data)
            if plan:
                name = name or event.id
                made.append((date.fromisoformat(event.day), plan))
        elif event.kind == "rest":
            days = _rest_days(event.data)
            rests = rests - days if event.data.get("off") is False else rests | days
        elif event.kind == "calendar" and isinstance(event.data.get("name"), str):
            calendar = calendar or event.data["name"]
    return Plans(tuple(made), frozenset(rests), calendar or name)


def _from_data(data: dict) -> Plan | None:
    try:
        days = tuple(sorted({WEEKDAYS.index(day) for day in data["days"]}))
        plan = Plan(
            data["minutes"], days, date.fromisoformat(data["start"]), data.get("short") is True,
            data.get("to", ""), data.get("hour", ""),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None
    sound = isinstance(plan.minutes, int) and LEAST_MINUTES <= plan.minutes <= MOST_MINUTES and days
    sound = sound and plan.start.year < 9000 and isinstance(plan.to, str) and isinstance(plan.hour, str)
    return plan if sound and re.fullmatch(r"(([01]\d|2[0-3]):[0-5]\d)?", plan.hour) else None


def _rest_days(data: dict) -> set[date]:
    try:
        first, last = date.fromisoformat(data["first"]), date.fromisoformat(data["last"])
    except (KeyError, TypeError, ValueError):
        return set()
    length = (last - first).days + 1
    return {first + timedelta(days=i) for i in range(length)} if length <= LONGEST_REST else set()


# --- what a learner types -------------------------------------------------------------------------------------------


def changed(
    plan: Plan | None, course: Course, today: date, *, minutes: int | None = None, days: str | None = None,
    start: str | None = None, short: bool | None = None, to: str | None = None, hour: str | None = None,
) -> Plan:  # fmt: skip
    """Return the plan with what was typed; what was not typed stays as it was. Raise a sentence where it makes no sense."""
    if not course.lessons:
        raise CourseError("This course has no lessons yet, so there is nothing to plan.")
    new = plan or Plan(start=today)
    if minutes is not None:
        new = replace(new, minutes=_minutes(minutes))
    if days is not None:
        new = replace(new, days=weekdays(days))
    if start is not None:
        new = replace(new, start=_start(start, today))
    if short is not None:
        new = replace(new, short=short)
    if to is not None:
        new = replace(new, to="" if to.strip().lower() == "all" else course.lesson(to).id)
    if hour is not None:
        new = replace(new, hour=_hour(hour))
    return new


def _minutes(minutes: int) -> int:
    if minutes < LEAST_MINUTES:
        raise CourseError(
            f"A day of {minutes} minutes is too short for an exercise.",
            f"Give at least {LEAST_MINUTES}, for example --minutes 30.",
        )
    if minutes > MOST_MINUTES:
        raise CourseError(
            f"A day of {minutes} minutes is too long.", f"Give at most {MOST_MINUTES}; an hour, --minutes 60, is usual."
        )
    return minutes


def weekdays(text: str) -> tuple[int, ...]:
    """Return the weekdays of "mon-fri", "mon,wed,sat", "daily" ...; raise a sentence where a day is unknown."""
    found = set()
    wanted = GROUPS.get(text.strip().lower(), text)
    for part in re.split(r"[,\s]+", wanted.strip()):
        first, _, last = part.partition("-")
        begin = _weekday(first, text)
        end = _weekday(last, text) if last else begin
        found |= {(begin + i) % 7 for i in range((end - begin) % 7 + 1)}
    return tuple(sorted(found))


def _weekday(word: str, text: str) -> int:
    short = word.strip().lower()[:3]
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if short in WEEKDAYS and full[WEEKDAYS.index(short)].startswith(word.strip().lower()):
        return WEEKDAYS.index(short)
    raise CourseError(f"There is no weekday {word.strip()!r} (in --days {text!r}).", DAYS_EXAMPLE)


def read_date(text: str, today: date, option: str) -> date:
    """Return the date of "2026-11-23", "today", "tomorrow" or a weekday (the next one, today included)."""
    word = text.strip().lower()
    if word in ("today", "tomorrow"):
        return today + timedelta(days=word == "tomorrow")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", word):
        try:
            return date.fromisoformat(word)
        except ValueError:
            raise CourseError(f"There is no day {text} in the calendar.", f"Write {option} {today}.") from None
    try:
        return today + timedelta(days=(_weekday(word, text) - today.weekday()) % 7)
    except CourseError:
        remedy = f"Write year-month-day, as in {option} {today}, or today, tomorrow, monday."
        raise CourseError(f"{text!r} is not a date.", remedy) from None


def _start(text: str, today: date) -> date:
    day = read_date(text, today, "--from")
    if day < today:
        raise CourseError(f"{day} is in the past: a plan begins today or later.", f"Write --from {today}.")
    if day - today > FURTHEST:
        raise CourseError(f"{day} is more than a year away.", f"Write --from {today}, or a day within a year.")
    return day


def _hour(text: str) -> str:
    found = re.fullmatch(r"\s*(\d{1,2}):?(\d\d)?\s*", text)
    if text.strip().lower() == "none":
        return ""
    if not found or int(found[1]) > 23 or int(found[2] or 0) > 59:
        raise CourseError(f"{text!r} is not a time of day.", "Write it like --at 19:00, or --at none.")
    return f"{int(found[1]):02d}:{int(found[2] or 0):02d}"


def read_rest(text: str, today: date, option: str = "--rest") -> tuple[date, date]:
    """Return the first and the last day of "2026-12-24" or "2026-12-24..2027-01-02"."""
    first, _, last = text.partition("..")
    begin = read_date(first, today, option)
    end = read_date(last, today, option) if last else begin
    if end < begin:
        raise CourseError(f"The days off end ({end}) before they begin ({begin}).", f"Write {option} {end}..{begin}.")
    if (end - begin).days >= LONGEST_REST:
        raise CourseError(f"{begin} to {end} is more than a year.", "Give at most a year of days off.")
    return begin, end
