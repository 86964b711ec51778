"""The completion report: what was done, when, with which help, and verified again. One HTML page that works offline, and its JSON.

Everything in it follows from the events and the course, but for the verification, which runs the saved labs on new inputs.
Loads jinja2 to write the page; a kernel is started only to verify.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

from .. import __version__
from ..errors import CourseError
from . import calibration, notebook, papers, progress, rewrite
from .catalog import Course, Lesson
from .events import Event, merge
from .history import finished
from .names import named
from .workspace import Workspace

PAGE = "completion.html"  # the template, beside this file
SEEDS = 2**31


@dataclass(frozen=True)
class ExerciseRecord:
    """One exercise as it stands in the report. `verified`: None where it was not run again, else whether it passed."""

    name: str
    title: str
    points: int
    passed_on: str
    tries: int
    hints: tuple[str, ...]
    borrowed: bool
    gave_up: bool
    verified: bool | None = None
    said: str = ""  # why it did not pass when it was verified


@dataclass(frozen=True)
class LessonRecord:
    """One lesson of the report."""

    number: str
    title: str
    read_on: str
    exercises: tuple[ExerciseRecord, ...]

    @property
    def passed(self) -> int:
        return sum(bool(one.passed_on) for one in self.exercises)


@dataclass(frozen=True)
class Report:
    """What the page shows, and what its JSON holds."""

    name: str
    course: str
    version: str
    made: str
    first: str
    last: str
    days: int
    lessons: tuple[LessonRecord, ...]
    predictions: int
    right: int
    calibration: str
    papers: tuple[str, ...]
    seed: int | None  # of the inputs that it was verified on

    @property
    def exercises(self) -> list[ExerciseRecord]:
        return [one for lesson in self.lessons for one in lesson.exercises]


HINTS = {1: "nudge", 2: "idea", 3: "outline"}


def report(
    ws: Workspace, course: Course, lessons: Iterable[str] = (), name: str = "", verify: bool = True,
    tell: Callable[[str], None] = lambda text: None, seed: int | None = None,
) -> Report:  # fmt: skip
    """Return the report of the named lessons, by default of all that were begun. With `verify` the saved labs are run again.

    Raises CourseError where there is nothing to report.
    """
    events = progress.load(ws.root)
    chosen = _chosen(course, lessons, events)
    seed = (secrets.randbelow(SEEDS) if seed is None else seed) if verify else None
    checked = {}
    if verify:
        for lesson in chosen:
            checked |= _verified(ws, lesson, events, course, seed, tell)
    return made(events, course, chosen, name, checked, seed, datetime.now().astimezone())


def made(
    events: Iterable[Event],
    course: Course,
    chosen: list[Lesson],
    name: str,
    checked: dict,
    seed: int | None,
    now: datetime,
) -> Report:
    """Return the report that follows from the events and from what was verified: {exercise: (passed, what was said)}."""
    events = merge(events)
    state = progress.state(events, course)
    passed_on = {
        course.renamed.get(e.data.get("exercise"), e.data.get("exercise")): e.day
        for e in reversed(events)
        if e.kind == "check" and e.data.get("passed") is True
    }
    done = finished(events, course)
    read_on = {one.lesson.id: day for day, pieces in done.items() for one in pieces if not one.exercises}
    found = calibration.calibration(events, state, course)
    days = [date.fromisoformat(event.day) for event in events]
    records = []
    for lesson in chosen:
        exercises = []
        for exercise in lesson.exercises:
            mine = state.exercises[exercise.name]
            verified, said = checked.get(exercise.name, (None, ""))
            exercises.append(
                ExerciseRecord(
                    exercise.name,
                    exercise.card.title,
                    exercise.card.points,
                    passed_on.get(exercise.name, ""),
                    mine.tries,
                    tuple(HINTS[level] for level in sorted(mine.hints)),
                    mine.borrowed,
                    mine.gave_up,
                    verified,
                    said,
                )  # fmt: skip
            )
        read = read_on.get(lesson.id)
        records.append(LessonRecord(lesson.number, lesson.title, read.isoformat() if read else "", tuple(exercises)))
    read_papers = [step for step in papers.ladder(course, events) if step.read_on]
    return Report(
        name=name.strip(),
        course=course.title,
        version=__version__,
        made=now.isoformat(timespec="minutes"),
        first=min(days).isoformat() if days else "",
        last=max(days).isoformat() if days else "",
        days=len(state.days),
        lessons=tuple(records),
        predictions=found.all.count,
        right=found.all.right,
        calibration=found.sentence,
        papers=tuple(f"{step.short}, {step.paper['title']}" for step in read_papers),
        seed=seed,
    )


def _chosen(course: Course, names: Iterable[str], events: list[Event]) -> list[Lesson]:
    names = list(names)
    if names:
        found = [named(course, one) for one in names]
        wrong = next((one for one in found if not isinstance(one, Lesson)), None)
        if wrong is not None:
            raise CourseError(f"{wrong.name} is an exercise.", "A report is about lessons: mechinterp report 06.")
        return sorted({lesson.id: lesson for lesson in found}.values(), key=lambda lesson: lesson.number)
    state = progress.state(events, course)
    begun = [one.lesson for one in state.lessons.values() if one.begun]
    if not begun:
        raise CourseError("There is nothing to report yet.", "Begin a lesson: `mechinterp` opens the first.")
    return begun


def _verified(
    ws: Workspace, lesson: Lesson, events: list[Event], course: Course, seed: int, tell: Callable[[str], None]
) -> dict[str, tuple[bool, str]]:
    """Run what was passed of a lab again, on new inputs, and return {exercise: (passed, what was said)}."""
    state = progress.state(events, course)
    names = [exercise.name for exercise in lesson.exercises if state.exercises[exercise.name].passed]
    found = {}
    try:
        for outcome in rewrite.rerun(ws, lesson, names, seed, lambda what: tell(f"lesson {lesson.number}: {what}")):
            told = [line for line in outcome.lines[1:3] if not line.startswith("Next: ")]
            said = "" if outcome.passed else " ".join(told)
            found[outcome.exercise] = outcome.passed, said
    except CourseError as trouble:
        found |= {one: (False, trouble.sentence) for one in names if one not in found}
    return found


# --- writing --------------------------------------------------------------------------------------------------------


def places(path: Path) -> tuple[Path, Path]:
    """Return where the page and its data are written for a name that was given; raise a sentence where they cannot be."""
    path = path.expanduser()
    page = path if path.suffix.lower() == ".html" else path.with_name(f"{path.name}.html")
    data = page.with_suffix(".json")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise CourseError(f"{path} cannot be written.", "Name a file in a folder that is there and that is yours.")
    if data.exists() and not _is_ours(data):
        raise CourseError(f"{data} is there already, and it is no report's data.", f"Name another page than {page}.")
    return page, data


def _is_ours(data: Path) -> bool:
    try:
        there = json.loads(data.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(there, dict) and {"course", "lessons", "calibration", "seed"} <= there.keys()


def write(found: Report, path: Path) -> tuple[Path, Path]:
    """Write the page to `path` and its data beside it, as .json, and return both paths."""
    page, data = places(path)
    notebook.write(data, json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n")
    notebook.write(page, html(found))
    return page, data


def html(found: Report) -> str:
    """Return the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(PAGE).render(report=found)
