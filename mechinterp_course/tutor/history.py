"""What was really done, day by day: sittings read, exercises settled. A function of the events and the course."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from .catalog import Course, Lesson
from .events import Event

_BEGINS = ("check", "hint", "borrow", "give_up")  # who does this in a lab has read its lesson


@dataclass(frozen=True)
class Done:
    """What was finished in one sitting on one day; `exercises` is empty for a reading."""

    lesson: Lesson
    sitting: str
    exercises: tuple[str, ...]
    minutes: int  # of the cards: what it was planned to take

    @property
    def words(self) -> str:
        count = len(self.exercises)
        what = "" if not count else f", {count} exercise{'s' if count > 1 else ''}"
        return f"{self.lesson.number} {self.lesson.title}: {self.sitting}{what}"


def finished(events: Iterable[Event], course: Course) -> dict[date, tuple[Done, ...]]:
    """Return what was finished on each day, each thing once, on the first day on which it was. `events` in order."""
    settled, read = _settled(events, course), _read(events, course)
    days: dict[date, list[Done]] = {}
    for lesson in course.lessons:
        if lesson.id in read:
            days.setdefault(read[lesson.id], []).append(Done(lesson, "reading", (), lesson.minutes))
        minutes = {exercise.name: exercise.card.minutes for exercise in lesson.exercises}
        for sitting in lesson.sittings:
            for day in sorted({settled[name] for name in sitting.exercises if name in settled}):
                names = tuple(name for name in sitting.exercises if settled.get(name) == day)
                done = Done(lesson, sitting.name, names, sum(minutes[name] for name in names))
                days.setdefault(day, []).append(done)
    return {day: tuple(days[day]) for day in sorted(days)}


def _settled(events: Iterable[Event], course: Course) -> dict[str, date]:
    """Return the day on which each exercise was first passed or given up."""
    found: dict[str, date] = {}
    for event in events:
        if event.kind == "give_up" or (event.kind == "check" and event.data.get("passed") is True):
            name = event.data.get("exercise")
            name = course.renamed.get(name, name) if isinstance(name, str) else None
            if name in course.exercises:
                found.setdefault(name, date.fromisoformat(event.day))
    return found


def _read(events: Iterable[Event], course: Course) -> dict[str, date]:
    """Return the day on which each reading was done, by the rule of `progress`: said so, all questions seen, or the lab begun."""
    lesson_of = {n: e.lesson for name, e in course.exercises.items() for n in (name, *e.card.renamed_from)}
    asked = {
        lesson.id: {c.marks[k] for c in lesson.lesson_cells for k in ("predict", "quiz") if k in c.marks}
        for lesson in course.lessons
    }
    of_question = {question: lesson for lesson, questions in asked.items() for question in questions}
    found: dict[str, date] = {}
    for event in events:
        lesson, name, question = None, event.data.get("exercise"), event.data.get("question")
        if isinstance(name, str):
            lesson = lesson_of.get(name) if event.kind in _BEGINS else None
        elif event.kind == "read":
            lesson = event.data.get("lesson")
        elif event.kind in ("reveal", "quiz") and isinstance(question, str) and question in of_question:
            asked[of_question[question]].discard(question)
            lesson = None if asked[of_question[question]] else of_question[question]
        if isinstance(lesson, str) and lesson in asked and lesson not in found:
            found[lesson] = date.fromisoformat(event.day)
    return found
