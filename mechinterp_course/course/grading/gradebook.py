"""nbgrader's gradebook, written through nbgrader's own API: by one process, whatever the number of workers.

SQLite by default, PostgreSQL or another database by its address (`c.CourseDirectory.db_url` in `nbgrader_config.py`).
nbgrader is imported when a gradebook is opened, not before.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import CourseError
from ...tutor.notebook import by_id, is_answer, is_check, source, write
from .folder import ClassFolder
from .graded import Graded
from .nbgrader_cli import release
from .roster import Student


class Book:
    """An open gradebook of a class."""

    def __init__(self, made: ClassFolder, gradebook):
        self.made = made
        self.gradebook = gradebook
        self.known: set[str] = set()  # labs that are surely entered

    def enrol(self, student: Student) -> None:
        """Enter a student, or change what is known of them."""
        known = {key: value for key, value in vars(student).items() if key != "id" and value}
        self.gradebook.update_or_create_student(student.id, **known)

    def students(self) -> list[Student]:
        """Return the students in the gradebook, by id."""
        found = [
            Student(one.id, one.first_name or "", one.last_name or "", one.email or "", one.lms_user_id or "")
            for one in self.gradebook.students
        ]
        return sorted(found, key=lambda student: student.id)

    def enter(self, lab: str) -> None:
        """Make sure that the lab is released, and in the gradebook with the check cells that it has now; a new database has none."""
        if lab in self.known:
            return
        from nbgrader.api import MissingEntry

        expected = {
            cell["metadata"]["nbgrader"]["grade_id"]
            for cell in json.loads(self.made.source(lab))["cells"]
            if is_check(cell)
        }
        try:
            there = {cell.name for cell in self.gradebook.find_notebook(lab, lab).grade_cells}
        except MissingEntry:
            there = set()
        if not expected <= there or not self.made.release_file(lab).is_file():
            self.gradebook.db.rollback()  # nbgrader's command writes in a process of its own
            release(self.made.root, lab, "--force")
            self.gradebook.db.expire_all()
        self.known.add(lab)

    def save(self, graded: Graded) -> None:
        """Write the points of one submission, and its executed notebook to where nbgrader expects it."""
        self.enter(graded.lesson)
        folder = self.made.root / "submitted" / graded.student / graded.lesson
        submission = self._submission(graded, folder)
        notebook = next(one for one in submission.notebooks if one.name == graded.lesson)
        self._complete(notebook)
        points = {outcome.grade_id: outcome.points for outcome in graded.outcomes}
        for grade in notebook.grades:
            grade.auto_score = points.get(grade.name, 0.0)
            # As nbgrader does: points that a person gave by hand stay, and are marked to be looked at again.
            grade.needs_manual_grade = grade.manual_score is not None
        unanswered = self._unanswered(graded)
        for comment in notebook.comments:
            comment.auto_comment = "No response." if comment.name in unanswered else None
        self.gradebook.db.commit()
        if graded.notebook:
            self._put(graded, folder)
        # A penalty that was taken before goes when the date it was due has moved.
        if submission.total_seconds_late > 0 or submission.late_submission_penalty:
            self._late(graded)

    def _submission(self, graded: Graded, folder: Path):
        from nbgrader.utils import parse_utc

        self.gradebook.update_or_create_student(graded.student)
        stamp = folder / "timestamp.txt"
        try:
            when = parse_utc(stamp.read_text(encoding="utf-8").strip() or None) if stamp.is_file() else None
        except (ValueError, OSError):
            when = None  # a stamp that nobody can read is no stamp
        about = {"timestamp": when} if when else {}
        return self.gradebook.update_or_create_submission(graded.lesson, graded.student, **about)

    def _complete(self, notebook) -> None:
        """Add the places for points that the lab did not have yet when the submission was entered."""
        from nbgrader.api import Grade

        there = {grade.cell_id for grade in notebook.grades}
        for cell in notebook.notebook.grade_cells:
            if cell.id not in there:
                Grade(cell_id=cell.id, notebook=notebook)
        self.gradebook.db.flush()
        self.gradebook.db.refresh(notebook)

    def _unanswered(self, graded: Graded) -> set[str]:
        """Return the answer cells that stand as released."""
        if not graded.notebook:
            return set()
        released = by_id(json.loads(self.made.released(graded.lesson)))
        handed_in = by_id(json.loads(graded.notebook))
        return {
            name
            for name, cell in released.items()
            if is_answer(cell) and name in handed_in and source(handed_in[name]) == source(cell)
        }

    def _put(self, graded: Graded, submitted: Path) -> None:
        """Write the executed notebook. Its check cells read as released: nbgrader's feedback shows every cell's text."""
        notebook = json.loads(graded.notebook)
        released = by_id(json.loads(self.made.released(graded.lesson)))
        for cell in notebook["cells"]:
            own = released.get(cell.get("id", ""))
            if own is not None and is_check(own):
                cell["source"] = own["source"]
        folder = self.made.root / "autograded" / graded.student / graded.lesson
        write(folder / f"{graded.lesson}.ipynb", json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        stamp = submitted / "timestamp.txt"
        if stamp.is_file():
            (folder / "timestamp.txt").write_bytes(stamp.read_bytes())

    def _late(self, graded: Graded) -> None:
        """Let nbgrader's plug-in take off what the class's settings take off for a late submission."""
        import nbformat
        from nbgrader.preprocessors import AssignLatePenalties

        about = {"notebook": graded.lesson, "assignment": graded.lesson, "student": graded.student}
        about["db_url"] = self.made.database
        AssignLatePenalties(config=self.made.settings).preprocess(nbformat.v4.new_notebook(), {"nbgrader": about})

    def scores(self, lab: str) -> dict[str, dict[str, float]]:
        """Return {student: {grade id: points}}, a grader's points where a grader gave some."""
        from nbgrader.api import Assignment, Grade, GradeCell, SubmittedAssignment, SubmittedNotebook

        rows = (
            self.gradebook.db.query(SubmittedAssignment.student_id, GradeCell.name, Grade.score)
            .select_from(Grade)
            .join(GradeCell, GradeCell.id == Grade.cell_id)
            .join(SubmittedNotebook, SubmittedNotebook.id == Grade.notebook_id)
            .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
            .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
            .filter(Assignment.name == lab)
        )
        found: dict[str, dict[str, float]] = {}
        for student, name, points in rows:
            found.setdefault(student, {})[name] = float(points or 0.0)
        return found

    def penalties(self, lab: str) -> dict[str, float]:
        """Return {student: points taken off for being late}."""
        try:
            found = self.gradebook.assignment_submissions(lab)
        except ValueError:  # nbgrader's MissingEntry: nobody handed it in
            return {}
        return {one.student_id: one.late_submission_penalty or 0.0 for one in found if one.late_submission_penalty}

    def comments(self, lab: str, student: str) -> dict[str, str]:
        """Return {cell id: what a grader wrote there}."""
        try:
            notebook = self.gradebook.find_submission_notebook(lab, lab, student)
        except ValueError:
            return {}
        return {one.name: one.manual_comment for one in notebook.comments if one.manual_comment}


@contextmanager
def opened(made: ClassFolder) -> Iterator[Book]:
    """Open the gradebook of a class; where its database does not answer, say what to do."""
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import ArgumentError, SAWarning, SQLAlchemyError

    here = str(Path(sys.executable).parent)  # `alembic`, which nbgrader starts, is there
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", "")
    try:
        gradebook = Gradebook(made.database, made.name)
    except ModuleNotFoundError as error:
        raise CourseError(
            f"The gradebook's database needs the library {error.name}, which is not installed.",
            'For PostgreSQL: pip install "mechinterp-course[postgres]", and an address that begins with postgresql+psycopg://',
        ) from None
    except (ArgumentError, SQLAlchemyError) as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise CourseError(
            f"The gradebook cannot be opened: {said}.",
            "Is the database there, and does the address in nbgrader_config.py (c.CourseDirectory.db_url) name it?",
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # of nbgrader's own queries
            yield Book(made, gradebook)
    finally:
        gradebook.close()
