"""The class's points as CSV, for spreadsheets: quoted, in UTF-8, and with no cell that a spreadsheet would compute.

nbgrader's own export does not quote: a name with a comma moves every column behind it.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...tutor.notebook import write
from .graded import FAILED
from .roster import FORMULA, Student
from .standing import MISSING, Place, Standing

GRADES, EXERCISES = "grades.csv", "exercises.csv"
WHO = ("student_id", "last_name", "first_name", "email")
GRADE_COLUMNS = (*WHO, "lab", "state", "score", "max_score", "percent", "late_penalty", "to_look_at", "reason")
EXERCISE_COLUMNS = (*WHO, "lab", "exercise", "points", "max_points", "passed", "mistake", "seconds")


def export(folder: Path, stand: Standing) -> list[Path]:
    """Write `grades.csv` (a row for each student and lab) and `exercises.csv` (one for each exercise too)."""
    made = {GRADES: _grades(stand), EXERCISES: _exercises(stand)}
    for name, rows in made.items():
        write(folder / name, as_csv(rows))
    return [folder / name for name in made]


def as_csv(rows: Iterable[Iterable]) -> str:
    """Return rows as CSV: every text in quotes, every number bare. It begins with a mark that tells Excel it is UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerows([[harmless(cell) for cell in row] for row in rows])
    return "\ufeff" + text.getvalue()


def harmless(cell):
    """Return a text that would be a formula with an apostrophe before it, as spreadsheets themselves write such a text."""
    if isinstance(cell, str):
        cell = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in cell)
        return f"'{cell}" if cell.lstrip().startswith(FORMULA) else cell
    return cell


def _grades(stand: Standing) -> Iterator[tuple]:
    yield GRADE_COLUMNS
    for lab, places in stand.places.items():
        total = stand.total(lab)
        for id, place in places.items():
            percent = round(100 * place.score / total, 1) if total else 0.0
            graded = place.record.graded if place.record else None
            look = "yes" if graded and (graded.flags or graded.repairs or graded.state == FAILED) else ""
            yield (
                *_who(stand.students[id]),
                *(lab, place.state, place.score, total, percent, place.penalty, look),
                graded.reason if graded else "",
            )


def _exercises(stand: Standing) -> Iterator[tuple]:
    yield EXERCISE_COLUMNS
    for lab, places in stand.places.items():
        for id, place in places.items():
            if place.state != MISSING:
                yield from _exercises_of(stand.students[id], lab, place, stand.worth[lab])


def _exercises_of(student: Student, lab: str, place: Place, worth: dict[str, float]) -> Iterator[tuple]:
    outcomes = {one.exercise: one for one in place.record.graded.outcomes} if place.record else {}
    for exercise, most in worth.items():
        one = outcomes.get(exercise)
        passed = "" if one is None else ("yes" if one.passed else "no")
        about = (one.mistake, round(one.seconds, 3)) if one else ("", "")
        yield (*_who(student), lab, exercise, place.points.get(exercise, 0.0), most, passed, *about)


def _who(student: Student) -> tuple[str, str, str, str]:
    return (student.id, student.last_name, student.first_name, student.email)
