"""What is left to do, cut into pieces, and laid on days: the calendar of a plan. A function of the state, the course and the plan.

The rules, whole:
- Lessons come in the order of the course, each after its prerequisites; in a lesson, sittings come in order.
- A day of 40 minutes or more keeps 5 for review; on a shorter one they come on top. A day takes whole sittings, as many as fit; a sitting that does not fit
  any more waits for the next planned day, where there is a fresh start.
- A sitting that is longer than a day is done exercise by exercise; a reading or an exercise longer than a day, in parts.
- The short path: every reading, the exercises of importance 5, and those that they use.
Imports `catalog`, `plan` and `progress` only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from ..errors import CourseError
from .catalog import Course, Lesson
from .plan import Plan, Plans
from .progress import State

REVIEW_MINUTES = 5
SHORTEST_WITH_REVIEW = 40
SHORT_PATH_IMPORTANCE = 5


@dataclass(frozen=True)
class Piece:
    """A part of a day: a sitting, or some of its exercises. `exercises` is empty for a reading."""

    lesson: Lesson
    sitting: str
    exercises: tuple[str, ...]
    minutes: int
    whole: bool = True  # False: what does not fit into a day goes on in another piece

    @property
    def is_reading(self) -> bool:
        return self.sitting == "reading"

    @property
    def words(self) -> str:
        """Return "00 Start here: lab A" or, where it is a part, "00 Start here: lab A, from stable_softmax"."""
        name = f"{self.lesson.number} {self.lesson.title}: "
        if self.whole:
            return name + self.sitting
        if not self.exercises:
            return f"{name}a part of the reading"
        some = " and ".join(self.exercises) if len(self.exercises) < 3 else f"from {self.exercises[0]}"
        return f"{name}{self.sitting}, {some}"


@dataclass(frozen=True)
class Day:
    """One planned day: the minutes kept for review, and the pieces."""

    date: date
    review: int
    pieces: tuple[Piece, ...] = field(default=())

    @property
    def minutes(self) -> int:
        return self.review + sum(piece.minutes for piece in self.pieces)


# --- what is left ---------------------------------------------------------------------------------------------------


def path(course: Course, to: str = "") -> list[Lesson]:
    """Return the lessons in the order of the course, each after its prerequisites; with `to`, that one and what it needs."""
    by_number = {lesson.number: lesson for lesson in course.lessons}
    goal = next((lesson for lesson in course.lessons if lesson.id == to), None)
    needed = _needed(goal, by_number) if goal else set(by_number)  # a goal that left the course means all of it
    ordered: dict[str, Lesson] = {}

    def add(lesson: Lesson, above: tuple[str, ...] = ()) -> None:
        if lesson.number in above:
            raise CourseError(f"The prerequisites of lesson {lesson.number} go round in a circle.", "See course.toml.")
        for number in lesson.prerequisites:
            if number in by_number and number not in ordered:  # one that is not built yet holds nobody up
                add(by_number[number], (*above, lesson.number))
        ordered.setdefault(lesson.number, lesson)

    for lesson in course.lessons:
        if lesson.number in needed:
            add(lesson)
    return list(ordered.values())


def _needed(goal: Lesson, by_number: dict[str, Lesson]) -> set[str]:
    found, wanted = set(), [goal.number]
    while wanted:
        number = wanted.pop()
        if number in by_number and number not in found:
            found.add(number)
            wanted += by_number[number].prerequisites
    return found


def chosen(lesson: Lesson, short: bool) -> set[str]:
    """Return the exercises of a lesson that are on the path."""
    cards = {exercise.name: exercise.card for exercise in lesson.exercises}
    if not short:
        return set(cards)
    wanted = [name for name, card in cards.items() if card.importance >= SHORT_PATH_IMPORTANCE]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in cards and name not in found:
            found.add(name)
            wanted += cards[name].uses
    return found


def remaining(course: Course, state: State, plan: Plan) -> list[list[Piece]]:
    """Return the sittings that are left, in order; each as its pieces: one exercise each, or the reading."""
    sittings = []
    for lesson in path(course, plan.to):
        on_path = chosen(lesson, plan.short)
        minutes = {exercise.name: exercise.card.minutes for exercise in lesson.exercises}
        for sitting, now in zip(lesson.sittings, state.lessons[lesson.id].sittings, strict=True):
            if sitting.name == "reading":
                sittings += [[Piece(lesson, "reading", (), now.minutes_left)]] if now.minutes_left else []
                continue
            left = [n for n in sitting.exercises if n in on_path and not state.exercises[n].settled]
            left.sort(key=lambda name: state.exercises[name].borrowed)  # what was put off on purpose comes last
            sittings += [[Piece(lesson, sitting.name, (n,), minutes[n]) for n in left]] if left else []
    return sittings


def joined(pieces: list[Piece], whole: bool = True) -> Piece:
    """Return pieces of one sitting as one."""
    names = tuple(name for piece in pieces for name in piece.exercises)
    return Piece(pieces[0].lesson, pieces[0].sitting, names, sum(piece.minutes for piece in pieces), whole)


# --- laying it on days ----------------------------------------------------------------------------------------------


def review_minutes(plan: Plan) -> int:
    return REVIEW_MINUTES if plan.minutes >= SHORTEST_WITH_REVIEW else 0


def lay(sittings: Iterable[list[Piece]], plan: Plan, days: Iterator[date]) -> list[Day]:
    """Return the days that the sittings take, in order; every day holds something."""
    room_of_a_day = plan.minutes - review_minutes(plan)
    filled: list[list[Piece]] = []
    room = 0

    def fresh() -> None:
        nonlocal room
        filled.append([])
        room = room_of_a_day

    for sitting in sittings:
        minutes = sum(piece.minutes for piece in sitting)
        if minutes <= room_of_a_day:
            if minutes > room:
                fresh()
            filled[-1].append(joined(sitting))
            room -= minutes
            continue
        for part in _parts(sitting, room_of_a_day):
            if part.minutes > room:
                fresh()
            same = filled[-1] and filled[-1][-1].lesson is part.lesson and filled[-1][-1].sitting == part.sitting
            filled[-1] = [*filled[-1][:-1], joined([filled[-1][-1], part], False)] if same else [*filled[-1], part]
            room -= part.minutes
    review = review_minutes(plan)
    return [Day(day, review, tuple(pieces)) for pieces, day in zip(filled, days, strict=False)]


def _parts(sitting: list[Piece], limit: int) -> Iterator[Piece]:
    """Give the pieces of a sitting that is longer than a day; one that is itself longer, in even parts."""
    for piece in sitting:
        count = -(-piece.minutes // limit)
        for i in range(count):
            minutes = piece.minutes * (i + 1) // count - piece.minutes * i // count
            yield Piece(piece.lesson, piece.sitting, piece.exercises, minutes, whole=False)


def calendar(course: Course, state: State, plans: Plans, today: date) -> list[Day]:
    """Return the days ahead, today included: what is left, by the plan that holds (without one, an hour, Monday to Friday)."""
    plan = plans.now or Plan()
    return lay(remaining(course, state, plan), plan, iter(plans.days_from(today)))
