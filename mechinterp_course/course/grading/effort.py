"""What students' own progress files say of their work: minutes, tries, hints, exercises given up. Handed in by choice.

A file comes from a student's computer: it may be missing, damaged or made up, and nothing here gives or takes points.
Imports the tutor's reader of events.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ...tutor import events
from ...tutor.events import Event

BREAK_MINUTES = 20  # a longer silence is a break, not work
MAX_BYTES = 20_000_000
KINDS = ("check", "hint", "borrow", "give_up")


@dataclass
class Effort:
    """One student's work on one exercise, up to the first pass: to run a passed check again is no try."""

    minutes: float = 0.0
    tries: int = 0
    passed: bool = False
    hints: set[int] = field(default_factory=set)
    borrowed: bool = False
    gave_up: bool = False
    mistakes: set[str] = field(default_factory=set)


def read(files: list[Path]) -> dict[str, Effort]:
    """Return {exercise: effort} from one student's progress files."""
    logs = [events.read(path) for path in files if path.is_file() and path.stat().st_size <= MAX_BYTES]
    return efforts(events.merge(*logs))


def efforts(log: list[Event]) -> dict[str, Effort]:
    """Return {exercise: effort}. The time since the event before counts for the exercise at which it ended, breaks left out."""
    found: dict[str, Effort] = {}
    before = None
    for event in log:
        now = _time(event)
        name = event.data.get("exercise")
        if event.kind in KINDS and isinstance(name, str):
            effort = found.setdefault(name, Effort())
            gap = (now - before).total_seconds() / 60 if before and now else 0.0
            effort.minutes += gap if 0 < gap <= BREAK_MINUTES else 0.0
            _apply(effort, event)
        before = now or before
    return found


def _apply(effort: Effort, event: Event) -> None:
    data = event.data
    if event.kind == "check" and not effort.passed:
        effort.tries += 1
        effort.passed = data.get("passed") is True
        if isinstance(data.get("mistake"), str) and data["mistake"]:
            effort.mistakes.add(data["mistake"])
    elif event.kind == "hint" and data.get("level") in (1, 2, 3):
        effort.hints.add(data["level"])
    elif event.kind == "borrow":
        effort.borrowed = True
    elif event.kind == "give_up":
        effort.gave_up = True


def _time(event: Event) -> datetime | None:
    try:
        return datetime.fromisoformat(event.at)
    except ValueError:
        return None
