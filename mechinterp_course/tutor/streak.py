"""The streak, and the last four weeks day by day. A function of the days that were worked on, the plans and today.

The rule: a streak counts the days on which you did something; days off never break it, and neither does a single missed
day: two planned days missed in a row end it, and the next day that you work begins a new one. Imports `plan` only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from .plan import Plans

RULE = (
    "A streak counts the days on which you did something. Days off never break it, and neither does a single missed day; "
    "two planned days missed in a row begin a new one."
)
MISSES_THAT_END_IT = 2
WEEKS_SHOWN = 4


class Mark(Enum):
    """What a day was."""

    WORKED = "worked"
    MISSED = "missed"
    FREE = "free"
    OPEN = "still open"  # planned, and today or later


@dataclass(frozen=True)
class Streak:
    """`days` of the streak that is running, `worked` of all days, and the weeks that are shown, each Monday to Sunday."""

    days: int
    worked: int
    weeks: tuple[tuple[tuple[date, Mark], ...], ...]


def streak(worked: Iterable[date], plans: Plans, today: date) -> Streak:
    """Return the streak up to today. A day that a clock put into the future does not count yet."""
    days = {day for day in worked if day <= today}
    monday = today - timedelta(days=today.weekday())
    weeks = tuple(
        tuple(_marked(monday - timedelta(days=7 * back - i), days, plans, today) for i in range(7))
        for back in reversed(range(WEEKS_SHOWN))
    )
    return Streak(_running(days, plans, today), len(days), weeks)


def _running(days: set[date], plans: Plans, today: date) -> int:
    count, misses, day = 0, 0, today
    first = min(days, default=today)
    while day >= first and misses < MISSES_THAT_END_IT:
        if day in days:
            count, misses = count + 1, 0
        elif day < today and plans.is_planned(day):
            misses += 1
        day -= timedelta(days=1)
    return count


def _marked(day: date, days: set[date], plans: Plans, today: date) -> tuple[date, Mark]:
    if day in days:
        return day, Mark.WORKED
    if not plans.is_planned(day) or (days and day < min(days)) or (not days and day < today):
        return day, Mark.FREE  # also the days before the first
    return day, Mark.MISSED if day < today else Mark.OPEN
