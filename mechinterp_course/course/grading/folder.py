"""A class folder: `init` makes it or adds to it, `find_class` finds it, `ClassFolder` knows what lies where.

The hidden checks draw their inputs from a secret of the class. nbgrader's settings are in the folder's
`nbgrader_config.py`, and what is said there (the gradebook's address, the name of the class) holds for us too.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import CourseError, unknown
from ...tutor.catalog import Course, Lesson
from .roster import Student, read_roster
from .texts import CONFIG, OTHER_DATABASE, README, SQLITE

SECRET = "class_secret"  # the file with the seed of the hidden checks
SETTINGS = "nbgrader_config.py"
SECRET_BITS = 62
MAX_NOTEBOOK_BYTES = 50_000_000


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab. `path` is None, and `trouble` says why, where there is no one notebook."""

    student: str
    lesson: str
    path: Path | None
    trouble: str = ""
    note: str = ""  # for the instructor: what was taken for the notebook


@dataclass(frozen=True)
class ClassFolder:
    """A folder that `init` made."""

    root: Path

    @property
    def name(self) -> str:
        return self.settings.CourseDirectory.course_id

    @property
    def database(self) -> str:
        """The gradebook's address, as SQLAlchemy reads it."""
        return self.settings.CourseDirectory.db_url

    @cached_property
    def settings(self):
        """What `nbgrader_config.py` says."""
        from traitlets.config.loader import PyFileConfigLoader

        try:
            return PyFileConfigLoader(SETTINGS, path=str(self.root)).load_config()
        except Exception as error:
            raise CourseError(
                f"{self.root / SETTINGS} cannot be read ({type(error).__name__}: {error}).",
                "Undo the last change in that file.",
            ) from None

    @property
    def seed(self) -> int:
        return int((self.root / SECRET).read_text(encoding="utf-8"))

    @property
    def labs(self) -> list[str]:
        """The labs of the class, in order."""
        return sorted(path.stem for path in (self.root / "source").glob("*/*.ipynb") if path.stem == path.parent.name)

    def lab(self, course: Course, name: str) -> str:
        """Return the lab that is called `name`, with or without its number."""
        if name in self.labs:
            return name
        stem = course.lesson(name).stem
        if stem not in self.labs:
            raise unknown("lab", stem, self.labs, "`mechinterp class init . --lessons NAME` adds a lab to a class.")
        return stem

    def source(self, lab: str) -> str:
        """Return the class's source of a lab: solutions, hidden checks, seed."""
        return (self.root / "source" / lab / f"{lab}.ipynb").read_text(encoding="utf-8")

    def released(self, lab: str) -> str:
        """Return the lab as students got it."""
        return (self.root / "release" / lab / f"{lab}.ipynb").read_text(encoding="utf-8")

    def submissions(self, labs: Iterable[str] | None = None) -> Iterator[Submission]:
        """Yield what was handed in, by lab and then by student."""
        handed_in = self.root / "submitted"
        students = sorted(path.name for path in handed_in.iterdir() if path.is_dir()) if handed_in.is_dir() else []
        for lab in self.labs if labs is None else labs:
            for student in students:
                folder = handed_in / student / lab
                if folder.is_dir() and not student.startswith("."):
                    yield _submission(student, lab, folder)

    def progress_files(self, student: str) -> list[Path]:
        """Return the progress files that a student handed in, wherever below their folder."""
        return sorted((self.root / "submitted" / student).rglob("progress*.jsonl"))


def _submission(student: str, lab: str, folder: Path) -> Submission:
    """Return the notebook in a student's folder; a lone notebook of another name counts, and is mentioned."""
    others = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    path, note = folder / f"{lab}.ipynb", ""
    if path not in others and len(others) == 1:
        path = others[0]
        note = f"The notebook was handed in as {path.relative_to(folder)}, and was taken for {lab}.ipynb."
    elif path not in others:
        names = ", ".join(sorted(str(other.relative_to(folder)) for other in others)[:5])
        said = f"several notebooks, none of them called {lab}.ipynb: {names}" if others else "no notebook"
        return Submission(student, lab, None, trouble=f"The folder holds {said}.")
    trouble = _unreadable(path, folder)
    return Submission(student, lab, None if trouble else path, trouble, note)


def _unreadable(path: Path, folder: Path) -> str:
    """Say why a file cannot be a student's own notebook; "" where it can."""
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve()):
            return "The notebook is a link to a file elsewhere, not a notebook that was handed in."
        if path.stat().st_size > MAX_NOTEBOOK_BYTES:
            return f"The notebook is larger than {MAX_NOTEBOOK_BYTES // 10**6} MB; the student can clear its outputs."
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"The notebook cannot be read ({error.strerror})."
    return ""


def find_class(start: Path | None = None) -> ClassFolder:
    """Return the class around `start` (default: the current folder), in it or above it."""
    start = Path(start or Path.cwd()).expanduser().resolve()
    for folder in (start, *start.parents):
        if _is_class(folder):
            return ClassFolder(folder)
    raise CourseError(
        f"{start} is not in a class folder.",
        "Go into the folder of your class, or make one: mechinterp class init DIR.",
    )


def _is_class(folder: Path) -> bool:
    return (folder / SECRET).is_file() and (folder / SETTINGS).is_file() and (folder / "source").is_dir()


# --- making one -----------------------------------------------------------------------------------------------------


def init(
    folder: Path,
    course: Course,
    lessons: Iterable[str] | None = None,
    roster: Path | None = None,
    database: str | None = None,
) -> list[str]:
    """Make a class folder, or add labs and students to one; return what to do next, as lines.

    A new class has the named lessons (none = all). What a class has already stays as it is.
    """
    from ..release import require_nbgrader

    require_nbgrader()
    chosen = [course.lesson(name) for name in lessons] if lessons else None
    twice = next((lesson.stem for lesson in chosen or () if chosen.count(lesson) > 1), "")
    if twice:
        raise CourseError(f"{twice} is named twice.", "Name each lesson once.")
    students = read_roster(roster) if roster else []
    folder = Path(folder).expanduser()
    if folder.is_dir() and _is_class(folder):
        return _extend(ClassFolder(folder.resolve()), course, chosen or [], students, database)
    chosen = chosen or list(course.lessons)
    folder = _empty(folder)
    try:
        _fill(folder, course, chosen, students, database)
    except BaseException:  # Ctrl-C too: a class is there whole, or not at all
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    return [
        f"Made a class in {folder}: {', '.join(lesson.stem for lesson in chosen)}.",
        *_enrolled(students),
        f"Students get release/. Keep source/ and {SECRET} to yourself.",
        f"README.md in {folder} says how to hand out, collect, grade, look and return.",
    ]


def _fill(folder: Path, course: Course, chosen: list[Lesson], students: list[Student], database: str | None) -> None:
    _secret(folder)
    where = OTHER_DATABASE.format(url=database) if database else SQLITE
    settings = CONFIG.format(name=_course_id(folder), database=where)
    (folder / SETTINGS).write_text(settings, encoding="utf-8")
    made = ClassFolder(folder)
    _enrol(made, students)  # first: an address that no database answers at is found out in a moment
    _add_labs(made, course, chosen)


def _extend(
    made: ClassFolder, course: Course, chosen: list[Lesson], students: list[Student], database: str | None
) -> list[str]:
    """Add labs and students to a class that is there."""
    if database and database != made.database:
        raise CourseError(
            f"{made.root} has a gradebook already.",
            f"Change its address in {SETTINGS} (c.CourseDirectory.db_url); `mechinterp class grade` fills the new one.",
        )
    new = [lesson for lesson in chosen if lesson.stem not in made.labs]
    if not new and not students:
        raise CourseError(
            f"{made.root} is a class already{', and has these labs' if chosen else ''}.",
            "Nothing was changed. To add to it, name labs (--lessons) or students (--roster) that it lacks.",
        )
    _enrol(made, students)
    try:
        _add_labs(made, course, new)
    except BaseException:
        for lesson in new:
            shutil.rmtree(made.root / "source" / lesson.stem, ignore_errors=True)
        raise
    added = f"Added to the class in {made.root}: {', '.join(lesson.stem for lesson in new)}." if new else ""
    return [*filter(None, [added]), *_enrolled(students)]


def _add_labs(made: ClassFolder, course: Course, lessons: list[Lesson]) -> None:
    from ..build import source_notebook
    from ..notebook import text_of

    for lesson in lessons:
        path = made.root / "source" / lesson.stem / f"{lesson.stem}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text_of(source_notebook(course, lesson, made.seed)), encoding="utf-8", newline="\n")
    if lessons:
        labs = made.labs
        readme = README.format(title=course.title, secret=SECRET, example=labs[0], labs=", ".join(labs))
        (made.root / "README.md").write_text(readme, encoding="utf-8")
    for lesson in lessons:
        release(made.root, lesson.stem)


def _enrol(made: ClassFolder, students: list[Student]) -> None:
    from .gradebook import opened

    with opened(made) as gradebook:
        for student in students:
            gradebook.enrol(student)


def _enrolled(students: list[Student]) -> list[str]:
    count = "1 student" if len(students) == 1 else f"{len(students)} students"
    return [f"The roster has {count}; they are in the gradebook."] if students else []


def nbgrader(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run one nbgrader command in a class folder, and return what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def release(folder: Path, lab: str, *options: str) -> None:
    """Let nbgrader make the release version and enter the lab into its gradebook."""
    done = nbgrader(folder, "generate_assignment", lab, *options)
    if done.returncode or not (folder / "release" / lab / f"{lab}.ipynb").is_file():
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise CourseError(
            f"nbgrader could not release {lab}: {last}",
            "Install the versions in constraints.txt, check the disk, and try again.",
        )


def _empty(folder: Path) -> Path:
    """Return the folder, made where it was not there; refuse one that holds something, or that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CourseError(f"{folder} is not empty.", "Name a new folder: mechinterp class init DIR.")
        folder.chmod(0o700)  # the sources and the gradebook hold the secret too
        (folder / "source").mkdir()
        (folder / "submitted").mkdir()
    except FileExistsError:
        raise CourseError(f"{folder} is a file, not a folder.", "Name a new folder.") from None
    except OSError as error:
        raise CourseError(f"{folder} cannot be written ({error.strerror}).", "Choose a folder of your own.") from None
    return folder.resolve()


def _secret(folder: Path) -> int:
    """Draw the class's seed and keep it in a file that only its owner can read."""
    seed = secrets.randbits(SECRET_BITS)
    with os.fdopen(os.open(folder / SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{seed}\n")
    return seed


def _course_id(folder: Path) -> str:
    """Return the folder's name as nbgrader accepts it: letters, digits, - and _."""
    return re.sub(r"[^\w-]", "-", folder.name) or "class"
