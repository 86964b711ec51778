"""`class init`: makes a class folder, or adds labs and students to one.

The hidden checks draw their inputs from a secret of the class, which is drawn here. Imports nbgrader's preprocessors and the
builder inside functions.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from ...errors import CourseError
from ...tutor.catalog import Course, Lesson
from .folder import SECRET, SETTINGS, ClassFolder, is_class
from .nbgrader_cli import release
from .roster import Student, read_roster
from .texts import CONFIG, OTHER_DATABASE, README, SQLITE

SECRET_BITS = 62


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
    if folder.is_dir() and is_class(folder):
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
