"""What a rule is: a function from a lesson to its findings, with a name and a sentence. Imports the catalogue only."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from ...errors import CourseError
from ...tutor.catalog import Course, Lesson

# What a rule says something about: each has a test of its own.
LESSON, EXERCISE, WRONG_ANSWER, COURSE = "lesson", "exercise", "wrong answer", "course"


@dataclass(frozen=True)
class Finding:
    """One breach of a rule: where it is, and what to do about it. `cell` is a cell's id or a wrong answer's name."""

    rule: str
    lesson: str
    exercise: str | None
    cell: str | None
    message: str

    def __str__(self) -> str:
        where = " · ".join(part for part in (self.lesson, self.exercise, self.cell) if part)
        return f"{where}: {self.message}  [{self.rule}]"

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Rule:
    """A named rule. `about` is what it is about; `needs_kernel` whether it looks at executed notebooks."""

    name: str
    says: str
    find: Callable[..., Iterable[Finding]]
    about: str = LESSON
    needs_kernel: bool = False

    def __call__(self, course: Course, lesson: Lesson | None = None) -> list[Finding]:
        """Return the findings; an error while looking is a finding too."""
        with using(course):
            try:
                return list(self.find(course) if self.about == COURSE else self.find(course, lesson))
            except CourseError as error:
                message = str(error)
            except Exception as error:
                message = f"the rule could not be checked: {type(error).__name__}: {error}"
        return [Finding(self.name, lesson.stem if lesson else "course", None, None, message)]


RULES: dict[str, Rule] = {}


def rule(name: str, says: str, about: str = LESSON, needs_kernel: bool = False) -> Callable:
    """Register the decorated function as a rule of the contract."""

    def register(find: Callable) -> Rule:
        RULES[name] = Rule(name, says, find, about, needs_kernel)
        return RULES[name]

    return register


@contextlib.contextmanager
def using(course: Course) -> Iterator[None]:
    """Let the tutor's tools, which look for the course by themselves, find this one."""
    before = os.environ.get("MECHINTERP_CONTENT")
    os.environ["MECHINTERP_CONTENT"] = str(course.root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MECHINTERP_CONTENT"]
        else:
            os.environ["MECHINTERP_CONTENT"] = before
