"""A class folder: `find_class` finds it, `ClassFolder` knows what lies where. `making.py` makes one.

nbgrader's settings are in the folder's `nbgrader_config.py`, and what is said there (the gradebook's address, the name of the
class) holds for us too. Imports nothing heavy.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import CourseError, unknown
from ...tutor.catalog import Course

SECRET = "class_secret"  # the file with the seed of the hidden checks
SETTINGS = "nbgrader_config.py"
MAX_NOTEBOOK_BYTES = 50_000_000
LINKED = "The notebook, or a folder in which it lies, is a link: what it leads to was not handed in here."


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
        try:
            return self.release_file(lab).read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            raise CourseError(
                f"The release of {lab} is gone: {missing.filename} is not there.",
                f"Put it back, or make it again in the class folder: nbgrader generate_assignment {lab} --force",
            ) from None

    def release_file(self, lab: str) -> Path:
        return self.root / "release" / lab / f"{lab}.ipynb"

    def submissions(self, labs: Iterable[str] | None = None) -> Iterator[Submission]:
        """Yield what was handed in, by lab and then by student."""
        handed_in = self.root / "submitted"
        students = sorted(path for path in handed_in.iterdir() if path.is_dir()) if handed_in.is_dir() else []
        for lab in self.labs if labs is None else labs:
            for student in students:
                if (student / lab).is_dir() and not student.name.startswith("."):
                    yield _submission(student, lab)

    def progress_files(self, student: str) -> list[Path]:
        """Return the progress files that a student handed in, wherever below their folder."""
        return sorted((self.root / "submitted" / student).rglob("progress*.jsonl"))


def _submission(owner: Path, lab: str) -> Submission:
    """Return the notebook in a student's folder; a lone notebook of another name counts, and is mentioned."""
    student, folder = _shown(owner.name), owner / lab
    if student != owner.name:
        return Submission(student, lab, None, "The name of the student's folder is not in UTF-8. Rename the folder.")
    if owner.is_symlink() or folder.is_symlink():
        return Submission(student, lab, None, LINKED)
    others = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    path, note = folder / f"{lab}.ipynb", ""
    if path not in others and len(others) == 1:
        path = others[0]
        note = f"The notebook was handed in as {_shown(path.relative_to(folder))}, and was taken for {lab}.ipynb."
    elif path not in others:
        names = ", ".join(sorted(_shown(other.relative_to(folder)) for other in others)[:5])
        said = f"several notebooks, none of them called {lab}.ipynb: {names}" if others else "no notebook"
        return Submission(student, lab, None, trouble=f"The folder holds {said}.")
    trouble = _unreadable(path, folder)
    return Submission(student, lab, None if trouble else path, trouble, note)


def _shown(name: str | Path) -> str:
    """Return a student's file name as text that can be saved: a name from another system need not be in UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _unreadable(path: Path, folder: Path) -> str:
    """Say why a file cannot be a student's own notebook; "" where it can."""
    try:
        between = [path, *path.parents]
        if any(one.is_symlink() for one in between[: between.index(folder)]):
            return LINKED
        if not path.is_file():  # to open a pipe would wait for ever
            return "The notebook is not a file."
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
        if is_class(folder):
            return ClassFolder(folder)
    raise CourseError(
        f"{start} is not in a class folder.",
        "Go into the folder of your class, or make one: mechinterp class init DIR.",
    )


def is_class(folder: Path) -> bool:
    """Whether `init` made this folder."""
    return (folder / SECRET).is_file() and (folder / SETTINGS).is_file() and (folder / "source").is_dir()
