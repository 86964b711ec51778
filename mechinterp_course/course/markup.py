"""The links inside a lesson's text: `[[term:softmax]]`, `[[paper:elhage2021]]`, `[[lesson:02]]`, `[[lab:02]]`.

The builder turns them into links that fit the notebook they stand in; the contract looks for those that lead nowhere.
Imports the catalogue, and how papers are cited.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from ..tutor.catalog import Course, Lesson
from ..tutor.papers import authors

HOME = "lessons/home.ipynb"
GLOSSARY = "lessons/glossary.ipynb"
_MARK = re.compile(r"\[\[(term|paper|lesson|lab):([^\]|]+)(?:\|([^\]]+))?\]\]")


@dataclass(frozen=True)
class Reference:
    """One link as it is written: what it leads to and the words it is shown with ("" = the usual ones)."""

    kind: str
    name: str
    words: str = ""


def references(text: str) -> list[Reference]:
    """Return the links of a text in order."""
    return [_reference(found) for found in _MARK.finditer(text)]


def resolve(text: str, course: Course, here: str) -> str:
    """Return the text with every link written out for the notebook at `here`; an unknown name leaves its words alone."""

    def write(found: re.Match) -> str:
        reference = _reference(found)
        target, usual = destination(reference, course)
        words = reference.words or usual
        if not target:
            return words
        return f"[{words}]({target if '://' in target else relative(target, here)})"

    return _MARK.sub(write, text)


def destination(reference: Reference, course: Course) -> tuple[str, str]:
    """Return where a link leads ("" where the name is unknown) and the words it is usually shown with."""
    name = reference.name
    if reference.kind == "term":
        known = name in course.glossary
        return (f"{GLOSSARY}#{quote(anchor(name))}" if known else ""), name
    if reference.kind == "paper":
        paper = course.papers.get(name, {})
        return paper.get("address", ""), cited(paper) if paper else name
    lesson = next((one for one in course.lessons if one.number == name), None)
    if reference.kind == "lesson":
        usual = f"lesson {name}" + (f", {lesson.title}" if lesson else "")
        return (lesson_path(lesson) if lesson else ""), usual
    return (lab_path(lesson) if lesson else ""), f"the lab of lesson {name}"


def cited(paper: dict) -> str:
    """Return a paper as a reader looks for it: "Elhage et al. 2021, *A Mathematical Framework …*"."""
    who = " ".join(text for text in (authors(paper.get("authors", "")), str(paper.get("year", ""))) if text)
    return f"{who}, *{paper.get('title', paper['id'])}*" if who else f"*{paper.get('title', paper['id'])}*"


def lesson_path(lesson: Lesson) -> str:
    return f"lessons/{lesson.stem}.ipynb"


def lab_path(lesson: Lesson) -> str:
    return f"exercises/{lesson.stem}/{lesson.stem}.ipynb"


def solution_path(lesson: Lesson) -> str:
    return f"solutions/{lesson.stem}/{lesson.stem}.ipynb"


def relative(target: str, here: str) -> str:
    """Return the way from the notebook at `here` to `target`, both seen from the root of the course."""
    return posixpath.relpath(target, posixpath.dirname(here))


def anchor(heading: str) -> str:
    """Return the name that JupyterLab gives a heading: its text, with a hyphen for every space."""
    return heading.strip().replace(" ", "-")


_HEADING = re.compile(r"^(#{1,6}) +(.+?)\s*#*$")


def headings(markdown: str) -> Iterator[tuple[int, str]]:
    """Yield (level, text) of every heading outside fenced code."""
    fenced = False
    for line in markdown.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        found = None if fenced else _HEADING.match(line)
        if found:
            yield len(found[1]), found[2]


def _reference(found: re.Match) -> Reference:
    return Reference(found[1], found[2].strip(), (found[3] or "").strip())
