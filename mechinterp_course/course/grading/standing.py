"""Where everybody stands: students, labs and points in one place, for the terminal, the export and the report.

Points come from the gradebook (a grader's where a grader gave some), all else from the records. Imports nothing heavy
before a gradebook is opened.
"""

from collections import Counter
from dataclasses import dataclass, field

from ...tutor.catalog import Course
from . import records, session
from .folder import ClassFolder
from .gradebook import opened
from .graded import FAILED, GRADED, REPAIRED
from .records import Record
from .roster import Student

MISSING, WAITING = "not handed in", "waiting"


@dataclass(frozen=True)
class LabCount:
    """How far the grading of one lab is, in numbers of submissions."""

    lab: str
    handed_in: int
    graded: int
    repaired: int
    failed: int
    waiting: int
    flagged: int
    stopped: int  # of those that wait: where the grader itself stopped
    mean: float | None  # share of the lab's points, over all that are graded


@dataclass(frozen=True)
class Place:
    """One student in one lab."""

    student: str
    lab: str
    state: str  # graded, repaired, failed, waiting, not handed in
    points: dict[str, float] = field(default_factory=dict)  # by exercise, as the gradebook has them
    penalty: float = 0.0
    record: Record | None = None
    stopped: str = ""  # why the grader itself stopped, where it did; then there is no record yet

    @property
    def score(self) -> float:
        return max(0.0, sum(self.points.values()) - self.penalty)


@dataclass(frozen=True)
class Standing:
    """The whole class: students by id, the points that each lab's exercises are worth, and every student's place in every lab."""

    students: dict[str, Student]
    worth: dict[str, dict[str, float]]  # {lab: {exercise: points}}
    places: dict[str, dict[str, Place]]  # {lab: {student: place}}

    def total(self, lab: str) -> float:
        return sum(self.worth[lab].values())


def worth(course: Course, lab: str) -> dict[str, float]:
    """Return what each exercise of a lab is worth, in the lab's order."""
    return {exercise.name: float(exercise.card.points) for exercise in course.lesson(lab).exercises}


def standing(made: ClassFolder, course: Course, labs: list[str]) -> Standing:
    """Return where everybody stands in these labs."""
    handed_in: dict[str, set[str]] = {lab: set() for lab in labs}
    for submission in made.submissions(labs):
        handed_in[submission.lesson].add(submission.student)
    with opened(made) as book:
        students = {student.id: student for student in book.students()}
        scores = {lab: book.scores(lab) for lab in labs}
        penalties = {lab: book.penalties(lab) for lab in labs}
    for lab in labs:
        for id in handed_in[lab]:
            students.setdefault(id, Student(id))
    places = {}
    for lab in labs:
        found = {record.student: record for record in records.load_all(made.root, lab)}
        places[lab] = {
            id: _place(
                id, lab, found.get(id), scores[lab].get(id, {}), penalties[lab].get(id, 0.0), id in handed_in[lab]
            )
            for id in sorted(students)
        }
    return Standing(dict(sorted(students.items())), {lab: worth(course, lab) for lab in labs}, places)


def _place(id: str, lab: str, record: Record | None, scores: dict, penalty: float, is_here: bool) -> Place:
    points = {name.removesuffix("-check"): value for name, value in scores.items()}
    stopped = record.graded.reason if record is not None and record.graded.unfinished else ""
    record = None if stopped else record
    if record is not None:
        state = record.graded.state
    elif scores and is_here:
        state = GRADED  # by nbgrader's own autograde
    else:
        state = WAITING if is_here else MISSING
    return Place(id, lab, state, points, penalty, record, stopped)


def counts(made: ClassFolder, course: Course, labs: list[str]) -> list[LabCount]:
    """Return how far the grading of each lab is; the gradebook is not opened."""
    todo = session.plan(made, course, labs)
    waiting = Counter(submission.lesson for submission in todo.new)
    handed_in = Counter(submission.lesson for submission in made.submissions(labs))
    rows = []
    for lab in labs:
        ended = [record.graded for record in records.load_all(made.root, lab)]
        found = [graded for graded in ended if not graded.unfinished]
        states = Counter(graded.state for graded in found)
        total = sum(worth(course, lab).values())
        mean = sum(graded.points for graded in found) / (total * len(found)) if found and total else None
        rows.append(
            LabCount(
                lab=lab,
                handed_in=handed_in[lab],
                graded=states[GRADED],
                repaired=states[REPAIRED],
                failed=states[FAILED],
                waiting=waiting[lab],
                flagged=sum(bool(graded.flags) for graded in found),
                stopped=len(ended) - len(found),
                mean=mean,
            )
        )
    return rows
