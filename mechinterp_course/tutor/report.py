"""`mechinterp status`: how far the learner is in every lesson, as data. Reads the course and the progress file, nothing heavy."""

import json
from dataclasses import asdict, dataclass
from datetime import date

from . import progress
from .catalog import Course
from .resume import next_words
from .workspace import Workspace


@dataclass(frozen=True)
class Row:
    """One lesson: exercises passed of all, hints taken, minutes left, and the sitting that is next in it ("" = none)."""

    number: str
    title: str
    passed: int
    total: int
    hints: int
    minutes_left: int
    next: str
    is_now: bool


@dataclass(frozen=True)
class Report:
    """How far the learner is. `next` is empty once everything is done."""

    lessons: tuple[Row, ...]
    next: str
    next_minutes: int
    streak: int
    outdated: bool
    damaged: int
    workspace: str

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


def report(ws: Workspace, course: Course, today: date) -> Report:
    """Return how far the learner is."""
    events = progress.load(ws.root)
    state = progress.state(events, course)
    rows = []
    for lesson in state.lessons.values():
        sitting = next((s.name for s in lesson.sittings if not s.finished), "")
        rows.append(
            Row(
                number=lesson.lesson.number,
                title=lesson.lesson.title,
                passed=lesson.passed,
                total=lesson.total,
                hints=sum(len(state.exercises[e.name].hints) for e in lesson.lesson.exercises),
                minutes_left=lesson.minutes_left,
                next=sitting,
                is_now=state.next is not None and state.next.lesson is lesson.lesson,
            )
        )
    return Report(
        lessons=tuple(rows),
        next=next_words(state),
        next_minutes=state.next.sitting.minutes_left if state.next else 0,
        streak=state.streak(today),
        outdated=ws.is_outdated,
        damaged=events.damaged,
        workspace=str(ws.root),
    )
