"""What is remembered of each graded submission: one file each, `graded/LAB/STUDENT.json`, written at once or not at all.

A record is written last, after the gradebook. So it also says that a submission is done: its key is a hash of what
was handed in and of what graded it (the class's source, the checks, the version of the course). Imports nothing heavy.
"""

import ast
import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from ... import __version__
from ...tutor.catalog import Course
from ...tutor.notebook import cell_id, is_answer, source, write
from .folder import ClassFolder, Submission
from .graded import Graded, Outcome

FOLDER = "graded"


@dataclass(frozen=True)
class Record:
    """A graded submission without its notebook, and the answers in it."""

    key: str
    at: str  # UTC
    graded: Graded
    answers: dict[str, str] = field(default_factory=dict)  # {exercise: the answer cell's text}

    @property
    def student(self) -> str:
        return self.graded.student

    @property
    def lesson(self) -> str:
        return self.graded.lesson


def key_of(submission: Submission, data: bytes, release: str) -> str:
    """Return the hash of what was handed in (`data` is the notebook), and of what grades it."""
    digest = hashlib.sha256(f"{release}\n{submission.trouble}\n{submission.note}\n".encode())
    digest.update(data)
    return digest.hexdigest()


def release_hash(made: ClassFolder, course: Course, lab: str) -> str:
    """Return the hash of all that decides about points: the class's source, the checks, the version of the course."""
    checks = course.lesson(lab).folder / "checks.py"
    digest = hashlib.sha256(f"{__version__}\n{made.source(lab)}\n".encode())
    digest.update(checks.read_bytes() if checks.is_file() else b"")
    return digest.hexdigest()


@cache
def package_hash() -> str:
    """Return the hash of the course's own code and content, to compare machines by."""
    package, digest = Path(__file__).resolve().parents[2], hashlib.sha256(__version__.encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def make(key: str, graded: Graded) -> Record:
    """Return the record of a submission that was graded now."""
    answers = {}
    if graded.notebook:
        cells = json.loads(graded.notebook)["cells"]
        answers = {cell_id(cell): source(cell) for cell in cells if is_answer(cell)}
    return Record(key, datetime.now(UTC).isoformat(timespec="seconds"), graded, answers)


def save(root: Path, record: Record) -> None:
    data = {"key": record.key, "at": record.at, **asdict(record.graded), "answers": record.answers}
    del data["notebook"]  # it is in autograded/
    write(_path(root, record.lesson, record.student), json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def load(root: Path, lesson: str, student: str) -> Record | None:
    """Return the record of a submission; None where there is none, or a damaged one."""
    return _read(_path(root, lesson, student))


def load_all(root: Path, lesson: str) -> list[Record]:
    """Return every record of a lab, by student."""
    found = (_read(path) for path in sorted((root / FOLDER / lesson).glob("*.json")))
    return [record for record in found if record is not None]


def _path(root: Path, lesson: str, student: str) -> Path:
    return root / FOLDER / lesson / f"{student}.json"


def _read(path: Path) -> Record | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name for one in fields(Graded)}
        about = {name: value for name, value in data.items() if name in known}
        about["outcomes"] = tuple(Outcome(**one) for one in data["outcomes"])
        about["repairs"], about["flags"] = tuple(data["repairs"]), tuple(data["flags"])
        return Record(data["key"], data["at"], Graded(**about), dict(data["answers"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # graded again


def is_starter(answer: str, starter: str) -> bool:
    """Whether an answer cell says what the released one says; comments and blank lines do not count."""
    try:
        return ast.dump(ast.parse(answer)) == ast.dump(ast.parse(starter))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return answer.split() == starter.split()
