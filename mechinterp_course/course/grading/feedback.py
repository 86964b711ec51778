"""A page for each student: points, what each check said, their answer, what a teacher wrote. `feedback/STUDENT/LAB/LAB.html`,
where nbgrader releases feedback from.

Built from the release and the records, and never from what ran: no hidden check, no seed, no script, no HTML of a student's.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from ...tutor.catalog import Course
from ...tutor.catalog import Exercise as Listed
from ...tutor.notebook import by_id, source, write
from . import render
from .folder import ClassFolder
from .gradebook import opened
from .records import is_starter
from .roster import Student
from .standing import Place, standing

MAX_TEXT = 4000  # of what one exercise's cells printed
MAX_IMAGE = 1_000_000
ELSEWHERE = "[something that only a notebook can show: run yours to see it]"


@dataclass(frozen=True)
class Part:
    """One exercise on the page."""

    name: str
    title: str
    prompt: str
    answer: str
    said: str
    points: float
    worth: float
    passed: bool
    by_hand: bool
    comment: str
    shown: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lab:
    """What all pages of a lab share."""

    stem: str
    title: str
    exercises: tuple[Listed, ...]
    released: dict[str, dict]  # cells by id
    prompts: dict[str, str]  # HTML


def write_pages(
    made: ClassFolder,
    course: Course,
    labs: list[str],
    students: Iterable[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Write a page for each student of each lab who was graded (or for those named), and return the paths."""
    wanted, written = set(students), []
    stand = standing(made, course, labs)
    with opened(made) as book:
        for stem in labs:
            lab = _lab(made, course, stem)
            for id, place in stand.places[stem].items():
                if place.record is None or (wanted and id not in wanted):
                    continue
                say(f"{stem}, {id}")
                text = page(made, course, lab, stand.students[id], place, book.comments(stem, id))
                path = made.root / "feedback" / id / stem / f"{stem}.html"
                write(path, text)
                written.append(path)
    return written


def page(made: ClassFolder, course: Course, lab: Lab, student: Student, place: Place, comments: dict[str, str]) -> str:
    """Return one student's page for one lab."""
    graded = place.record.graded
    parts = [_part(made, lab, exercise, place, comments) for exercise in lab.exercises]
    environment = render.environment()
    environment.filters["points"] = lambda number: f"{number:g}"
    return environment.get_template("feedback.html").render(
        css=Markup(render.asset("common.css") + render.code_colours()),
        course=course.title,
        title=lab.title,
        student=student.id,
        name=" ".join(filter(None, [student.first_name, student.last_name])) or student.id,
        score=place.score,
        total=sum(part.worth for part in parts),
        penalty=place.penalty,
        passed=sum(part.passed for part in parts),
        reason=_without(made, graded.reason),
        repairs=[_without(made, one) for one in graded.repairs],
        exercises=parts,
    )


def _lab(made: ClassFolder, course: Course, stem: str) -> Lab:
    lesson = course.lesson(stem)
    cells = json.loads(made.released(stem))["cells"]
    prompts = {}
    for exercise in lesson.exercises:
        named = {cell.marks["id"] for cell in exercise.prompt if "id" in cell.marks}
        own = [
            cell
            for cell in cells
            if cell.get("id") in named or str(cell.get("id")).startswith(f"{exercise.name}-prompt")
        ]
        text = "\n\n".join(source(cell) for cell in own if cell["cell_type"] == "markdown")
        prompts[exercise.name] = render.markdown(text)
    return Lab(stem, f"{lesson.number} {lesson.title}", lesson.exercises, by_id({"cells": cells}), prompts)


def _part(made: ClassFolder, lab: Lab, exercise: Listed, place: Place, comments: dict[str, str]) -> Part:
    name, record = exercise.name, place.record
    outcome = next((one for one in record.graded.outcomes if one.exercise == name), None)
    earned = outcome.points if outcome else 0.0
    points = place.points.get(name, earned)
    worth = outcome.max_points if outcome else float(exercise.card.points)
    answer = _without(made, record.answers.get(name, ""))
    starter = source(lab.released[name]) if name in lab.released else ""
    comment = comments.get(name, "") or comments.get(f"{name}-check", "")
    return Part(
        name=name,
        title=exercise.card.title,
        prompt=lab.prompts[name],
        answer="" if not answer or is_starter(answer, starter) else render.code(answer),
        said=_without(made, outcome.told) if outcome else "",
        points=points,
        worth=worth,
        passed=points >= worth,
        by_hand=points != earned,
        comment=render.markdown(comment) if comment else "",
        shown=_shown(made, name, place),
    )


def _shown(made: ClassFolder, name: str, place: Place) -> tuple[tuple[str, str], ...]:
    """Return what the exercise's own cells showed: texts and images; nothing that a browser would run."""
    path = made.root / "autograded" / place.student / place.lab / f"{place.lab}.ipynb"
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return ()
    shown, left = [], MAX_TEXT
    for cell in cells:
        id = str(cell.get("id", ""))
        if id != name and not id.startswith(f"{name}-demo"):
            continue
        for output in cell.get("outputs", ()):
            kind, content = _output(output)
            if kind == "text":
                content = _without(made, content)[:left]
                left -= len(content)
            if content and (kind, content) not in shown:
                shown.append((kind, content))
    return tuple(shown)


def _output(output: dict) -> tuple[str, str]:
    """Return an output as ("text" or "image", content)."""
    if output.get("output_type") == "stream":
        return "text", _joined(output.get("text", ""))
    if output.get("output_type") == "error":
        return "text", f"{output.get('ename', '')}: {output.get('evalue', '')}"
    data = output.get("data", {})
    image = _joined(data.get("image/png", "")).strip()
    if image and len(image) < MAX_IMAGE and _is_png(image):
        return "image", image
    if set(data) - {"text/plain"}:
        return "text", ELSEWHERE
    return "text", _joined(data.get("text/plain", ""))


def _is_png(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=False)[:8] == b"\x89PNG\r\n\x1a\n"
    except (binascii.Error, ValueError):
        return False


def _joined(text) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _without(made: ClassFolder, text: str) -> str:
    """Return a text without the class's seed, however it came in, and without control characters."""
    text = text.replace(str(made.seed), "…")
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
