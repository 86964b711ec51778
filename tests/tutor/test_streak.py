"""The streak forgives: days off never break it, nor does one missed day; two planned days missed in a row end it."""

from datetime import date, timedelta

import pytest

from mechinterp_course.tutor.plan import Plan, Plans
from mechinterp_course.tutor.streak import Mark, streak

MONDAY = date(2026, 3, 2)
WORKDAYS = Plans(((MONDAY, Plan(60, (0, 1, 2, 3, 4), MONDAY)),))


def day(n: int) -> date:
    return MONDAY + timedelta(days=n)


def running(worked: str, plans: Plans = WORKDAYS) -> int:
    """Return the streak after the last of the days: x worked, . not."""
    return streak([day(i) for i, mark in enumerate(worked) if mark == "x"], plans, day(len(worked) - 1)).days


@pytest.mark.parametrize(
    ("worked", "days"),
    [
        ("x", 1),
        ("xx", 2),
        ("xx.", 2),  # today is not over
        ("xxx..", 3),  # yesterday was missed: one miss
        ("xxx...", 0),  # Saturday: Thursday and Friday were missed
        ("x.x.x", 3),  # every second day, for ever
        ("x..x", 1),  # two in a row: a new one
        ("xxxxx..x", 6),  # a weekend
        ("xxxx....x", 1),  # Friday and Monday missed around a weekend are two in a row
        ("xxxxx...x", 6),  # only Monday missed
        ("xxxxxxx", 7),  # work on a day off counts
        ("....", 0),
    ],
)
def test_the_rule(worked, days):
    assert running(worked) == days


def test_days_off_that_were_taken_never_break_it():
    off = Plans(WORKDAYS.made, frozenset(day(n) for n in range(2, 12)))
    assert running("xx" + "." * 10 + "x", off) == 3
    assert running("xx" + "." * 10 + "x") == 1


def test_without_a_plan_monday_to_friday_count():
    assert running("xxxxx..x", Plans()) == 6
    assert running("x..x", Plans()) == 1


def test_one_day_a_week_is_a_streak_too():
    assert running("x......x......x", Plans(((MONDAY, Plan(60, (0,), MONDAY)),))) == 3


def test_days_between_a_plan_and_its_start_are_free():
    plans = Plans(((day(1), Plan(60, (0, 1, 2, 3, 4), day(7))),))
    assert running("x......x", plans) == 2


def test_a_day_in_the_future_does_not_count():
    found = streak([day(0), day(9)], WORKDAYS, day(1))
    assert (found.days, found.worked) == (1, 1)


def test_four_weeks_are_shown_monday_to_sunday():
    found = streak([day(0), day(1), day(3)], WORKDAYS, day(8))
    assert len(found.weeks) == 4 and all(len(week) == 7 and week[0][0].weekday() == 0 for week in found.weeks)
    marks = {shown: mark for week in found.weeks for shown, mark in week}
    assert marks[day(-1)] is Mark.FREE  # before the first day nothing was missed
    assert [marks[day(n)] for n in range(9)] == [
        *(Mark.WORKED, Mark.WORKED, Mark.MISSED, Mark.WORKED, Mark.MISSED, Mark.FREE, Mark.FREE),
        *(Mark.MISSED, Mark.OPEN),
    ]
    assert marks[day(13)] is Mark.FREE
    nobody = streak([], WORKDAYS, day(8))
    assert (nobody.days, nobody.worked) == (0, 0)
    assert Mark.MISSED not in {mark for week in nobody.weeks for _, mark in week}
