"""Dates as people write them, with the year where it is another one than `year`. Imports the standard library only."""

from datetime import date


def short_date(day: date, year: int) -> str:
    """Return "21 December" or "1 January 2027"."""
    return f"{day.day} {day:%B}" + (f" {day.year}" if day.year != year else "")


def long_date(day: date, year: int) -> str:
    """Return "Monday 21 December" or "Friday 1 January 2027"."""
    return f"{day:%A} {short_date(day, year)}"
