"""Rules about the built notebooks: up to date, sound metadata, nothing of the solutions in what learners get."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat

from ...tutor.catalog import Course, Exercise, Lesson, notebooks_root
from ..build import (
    build_lesson,
    build_shared,
    lesson_notebook,
    read_text,
    release_notebook,
    unexpected,
)
from ..markup import GLOSSARY, HOME, lab_path, lesson_path, solution_path
from ..notebook import MAX_ID
from ..readme import build_readme
from .base import COURSE, EXERCISE, Finding, rule

_REBUILD = "run `mechinterp author build`."
_LEAST = 16  # a shorter line of code says too little to give a solution away
_ID = re.compile(r"[A-Za-z0-9_-]+")


@rule("built", "The committed notebooks are what a build makes now, byte by byte.")
def built(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for path, text in build_lesson(course, lesson).items():
        if (problem := _differs(notebooks_root() / path, text)) is not None:
            yield Finding("built", lesson.stem, None, None, f"{path} {problem}; {_REBUILD}")


@rule(
    "shared",
    "The home and glossary notebooks and the README's tables are up to date, and no notebook stands there that no build makes.",
    COURSE,
)
def shared(course: Course) -> Iterator[Finding]:
    root = notebooks_root()
    for path, text in (build_shared(course) | build_readme(course, root)).items():
        if (problem := _differs(root / path, text)) is not None:
            yield Finding("shared", "course", None, None, f"{path} {problem}; {_REBUILD}")
    for path in unexpected(paths(course), root):
        yield Finding("shared", "course", None, None, f"{path} belongs to no lesson; {_REBUILD}")


def paths(course: Course) -> list[str]:
    """Return the path of every notebook that a build makes, without building it."""
    own = (path(lesson) for lesson in course.lessons for path in (lesson_path, lab_path, solution_path))
    return [*own, HOME, GLOSSARY]


def _differs(path: Path, text: str) -> str | None:
    there = read_text(path)
    if there is None:
        return "is not there"
    return None if there == text else "is out of date"


@rule("metadata", "Cell ids are unique and short, check cells are locked, have points and end in the check itself.")
def metadata(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for made in (lesson_notebook(course, lesson), release_notebook(course, lesson)):
        kind = made.metadata.mechinterp.kind
        times = Counter(cell.id for cell in made.cells)
        for id, count in times.items():
            if count > 1:
                yield Finding("metadata", lesson.stem, None, id, f"{count} cells of the {kind} have the id {id!r}.")
            if len(id) > MAX_ID or not _ID.fullmatch(id):
                message = f"the id {id!r} must be letters, digits, - and _, at most {MAX_ID}."
                yield Finding("metadata", lesson.stem, None, id, message)
        for cell in made.cells:
            for message in _grading_faults(cell):
                yield Finding("metadata", lesson.stem, None, cell.id, message)


def _grading_faults(cell: nbformat.NotebookNode) -> Iterator[str]:
    about = cell.metadata.get("nbgrader")
    if about is None:
        return
    if about["grade_id"] != cell.id:
        yield f"its grade id {about['grade_id']!r} is not its cell id."
    if not about["grade"]:
        return
    if not about["locked"]:
        yield "the check cell is not locked."
    if "points" not in about:
        yield "the check cell says nothing of points."
    last = ast.parse(cell.source).body[-1]
    if not (isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) and last.value.func.id == "check"):
        yield "the check cell must end in a call of check(...), which shows no value."


@rule("leaks", "No line of a solution, and no hidden check, stands in `exercises/`.", EXERCISE)
def leaks(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for cell in _given_cells(course, lesson):
        if re.search(r"(BEGIN|END) (HIDDEN TESTS|SOLUTION)|check\([^)]*\bseed=", cell.source):
            message = "this cell holds a hidden check or a solution mark."
            yield Finding("leaks", lesson.stem, None, cell.id, message)
        given = [squeezed(line) for line in cell.source.splitlines()]
        for exercise in lesson.exercises:
            for line in secret_lines(exercise):
                if any(squeezed(line) in other for other in given):
                    message = f"this cell gives away a line of the solution: {line.strip()}"
                    yield Finding("leaks", lesson.stem, exercise.name, cell.id, message)


def _given_cells(course: Course, lesson: Lesson) -> list[nbformat.NotebookNode]:
    """Return the cells of the lab as built and, where they differ from those, as committed."""
    cells = list(release_notebook(course, lesson).cells)
    known = {cell.source for cell in cells}
    committed = notebooks_root() / lab_path(lesson)
    if committed.is_file():
        try:
            cells += [c for c in nbformat.read(committed, as_version=4).cells if c.source not in known]
        except Exception:  # not a notebook: the rule `built` says so
            return cells
    return cells


def secret_lines(exercise: Exercise) -> list[str]:
    """Return the lines of code that only the solution holds, comments and short lines left out."""
    inside, secret, given = False, [], []
    for line in exercise.answer.source.splitlines():
        if "### BEGIN SOLUTION" in line or "### END SOLUTION" in line:
            inside = "BEGIN" in line
        else:
            (secret if inside else given).append(line)
    open_lines = {squeezed(line) for line in given}
    return [line for line in secret if len(squeezed(line)) >= _LEAST and squeezed(line) not in open_lines]


def squeezed(line: str) -> str:
    """Return a line of code without spaces, comment and leading `return`, so that small changes do not hide it."""
    code = line.strip()
    code = "" if code.startswith("#") else re.split(r"\s{2}# ", code)[0]
    return re.sub(r"\s+", "", code.removeprefix("return "))
