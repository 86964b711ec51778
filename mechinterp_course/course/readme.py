"""The parts of the README that are built: the tables of lessons, models and SAEs, each between two comments."""

import json
import re
from pathlib import Path

from ..interp import models_table
from ..interp.sae_catalogue import ZOO as SAES
from ..interp.tasks import ZOO
from ..tutor.catalog import Course
from .markup import lesson_path

README = "README.md"


def build_readme(course: Course, root: Path) -> dict[str, str]:
    """Return the README below `root` with its tables as a build makes them, as {path: text}; {} where it has no place for one."""
    file = root / README
    before = text = file.read_bytes().decode("utf-8", "replace") if file.is_file() else ""
    found = False
    for name, table in {"lessons": _lessons, "models": _models, "saes": _saes}.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        if place.search(text):
            found, made = True, table(course)
            text = place.sub(lambda _, made=made: f"\n{made}\n", text)
    return {README: text} if found and before else {}


def _lessons(course: Course) -> str:
    """Return a row of markdown for each lesson: what it is for, and how long it and its lab take."""
    rows = ["| | Lesson | Afterwards you can | Reading | Lab |\n", "| --- | --- | --- | ---: | ---: |\n"]
    for lesson in course.lessons:
        can = lesson.summary[:1].lower() + lesson.summary[1:].removesuffix(".")
        lab = f"{len(lesson.exercises)} exercises, {sum(exercise.card.minutes for exercise in lesson.exercises)} min"
        link = f"[{lesson.title}]({lesson_path(lesson)})"
        rows.append(f"| {lesson.number} | {link} | {can} | {lesson.minutes} min | {lab} |\n")
    return "".join(rows)


def _models(course: Course) -> str:
    cards = [json.loads(card.read_text(encoding="utf-8")) for card in sorted(ZOO.glob("*/card.json"))]
    return models_table.table(cards)


def _saes(course: Course) -> str:
    cards = [json.loads(card.read_text(encoding="utf-8")) for card in sorted(SAES.glob("*/card.json"))]
    return models_table.table_of_saes(cards)
