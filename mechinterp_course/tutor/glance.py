"""Everything that is shown of a learner, in one value: the state, the plan, today, the streak, calibration.

`mechinterp` alone, `mechinterp status` and the home notebook all show parts of it, so they cannot disagree. A function of
the events, the course and the day.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from . import calibration, plan, progress, streak
from . import today as hour
from .calibration import Calibration
from .catalog import Course
from .events import Log
from .plan import Plans
from .progress import State
from .streak import Streak
from .today import Today


@dataclass(frozen=True)
class Glance:
    """What is known of a learner on a day."""

    day: date
    events: Log
    state: State
    plans: Plans
    today: Today
    streak: Streak
    calibration: Calibration
    notes: tuple[str, ...]  # what is wrong with the progress file, in sentences


def glance(events: Log, course: Course, day: date, due: int = 0) -> Glance:
    """Return what the events say on a day; `due` is the number of cards to review."""
    events = progress.merge(events)
    state = progress.state(events, course)
    plans = plan.plans(events)
    return Glance(
        day,
        events,
        state,
        plans,
        today=hour.today(events, state, course, plans, day, due),
        streak=streak.streak(state.days, plans, day),
        calibration=calibration.calibration(events, state, course),
        notes=tuple(_notes(events, course)),
    )


def of_workspace(root: Path | None, course: Course, day: date) -> Glance:
    """Return what a workspace's progress files say on a day; by default those of the workspace around the current folder."""
    events = progress.load(root)
    return glance(events, course, day, due_cards(events, course, day))


def due_cards(events: Log, course: Course, day: date) -> int:
    """Return how many cards are left of today's five minutes. Notebooks are not opened: open questions come from the events."""
    from . import journal, review, review_ask

    return len(review.todays(review_ask.all_cards(events, course, journal.entries(events)), day))


def _notes(events: Log, course: Course) -> list[str]:
    notes = []
    if events.damaged:
        lines = "One line" if events.damaged == 1 else f"{events.damaged} lines"
        cannot = "it stays there" if events.damaged == 1 else "they stay there"
        notes.append(f"{lines} of progress.jsonl cannot be read; {cannot}, and everything else counts.")
    known = {*course.exercises, *course.renamed}
    strange: set[str] = set()
    for event in events:
        name = event.data.get("exercise")
        if isinstance(name, str):
            if name in known:
                return notes
            strange.add(name)
    if strange:
        notes.append(
            f"progress.jsonl speaks of {len(strange)} exercises, and none is of this course: is it another course's file? "
            "Nothing in it was changed."
        )
    return notes
