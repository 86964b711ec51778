"""`mechinterp status`: how far the learner is in every lesson, as data. Reads the course and the progress file, nothing heavy."""

import json
import math
from dataclasses import asdict, dataclass, fields
from datetime import date

from .calibration import Calibration, Group
from .catalog import Course
from .glance import Glance, of_workspace
from .progress import LessonState
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
    """How far the learner is. `next` is empty once everything is done. `glance` holds the same as objects, not as JSON."""

    lessons: tuple[Row, ...]
    next: str
    next_minutes: int
    today: tuple[dict, ...]  # what, minutes, minutes_left
    reviews_due: int
    plan: dict | None
    plan_ends: str  # a date, "" where nothing is left
    streak: int
    days_worked: int
    calibration: dict
    outdated: bool
    damaged: int
    notes: tuple[str, ...]
    workspace: str
    glance: Glance

    def as_json(self) -> str:
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("glance", "lessons")}
        return json.dumps({"lessons": [asdict(row) for row in self.lessons], **data}, indent=2, ensure_ascii=False)


def report(ws: Workspace, course: Course, today: date) -> Report:
    """Return how far the learner is."""
    seen = of_workspace(ws.root, course, today)
    hour = seen.today
    items = ({"what": i.piece.words, "minutes": i.piece.minutes, "minutes_left": i.left} for i in hour.items)
    return Report(
        lessons=tuple(_row(lesson, seen) for lesson in seen.state.lessons.values()),
        next=next_words(seen),
        next_minutes=hour.next.minutes if hour.next else 0,
        today=tuple(items),
        reviews_due=hour.due,
        plan=seen.plans.now.data if seen.plans.now else None,
        plan_ends=hour.ends.isoformat() if hour.ends else "",
        streak=seen.streak.days,
        days_worked=seen.streak.worked,
        calibration=_numbers(seen.calibration),
        outdated=ws.is_outdated,
        damaged=seen.events.damaged,
        notes=seen.notes,
        workspace=str(ws.root),
        glance=seen,
    )


def _row(lesson: LessonState, seen: Glance) -> Row:
    following = seen.today.next
    return Row(
        number=lesson.lesson.number,
        title=lesson.lesson.title,
        passed=lesson.passed,
        total=lesson.total,
        hints=sum(len(seen.state.exercises[e.name].hints) for e in lesson.lesson.exercises),
        minutes_left=lesson.minutes_left,
        next=next((s.name for s in lesson.sittings if not s.finished), ""),
        is_now=following is not None and following.lesson is lesson.lesson,
    )


def _numbers(found: Calibration) -> dict:
    def numbers(group: Group) -> dict:
        low, high = (round(percent, 1) for percent in group.interval)
        sure = None if math.isnan(group.sure) else round(group.sure, 1)
        return {
            "name": group.name, "count": group.count, "right": group.right, "sure": sure, "low": low, "high": high,
            "verdict": group.verdict,
        }  # fmt: skip

    return {**numbers(found.all), "levels": [numbers(group) for group in found.levels]}
