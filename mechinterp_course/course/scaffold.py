"""The folder of a new lesson: it builds at once, and the contract says what it still lacks. Imports the catalogue only."""

import re
from pathlib import Path

from ..errors import CourseError
from ..tutor.catalog import Course
from .rules.prose import SECTIONS

LESSON = """\
# %% [markdown]
# # {title}

{sections}"""

SECTION = """\
# %% [markdown]
# ## {name}
"""

IMPORTS = """
# %%
import torch

from mechinterp_course import predict, quiz, reveal
"""

LAB = """\
# %% [markdown]
# # {title}: the lab

# %%
import torch
"""

CHECKS = """\
from mechinterp_course.tutor.checks import Exercise, expect, reference  # noqa: F401
"""

ENTRY = """\
[[lesson]]
number = "{number}"
slug = "{slug}"
title = "{title}"
summary = ""
minutes = 0
prerequisites = []

"""


def new(course: Course, number: str, slug: str) -> list[str]:
    """Make the folder of lesson `number`, enter it into course.toml, and return what to do next, as lines."""
    number, slug = number.strip().zfill(2), slug.strip().replace("-", "_")
    title = _title(course, number)
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,40}", slug):
        raise CourseError(
            f"{slug!r} cannot be the name of a lesson's files.", "Use small letters, digits and _, as in phase_change."
        )
    if any(lesson.slug == slug for lesson in course.lessons):
        raise CourseError(f"There is a lesson called {slug} already.", "Choose another name.")
    folder = course.root / f"l{number}_{slug}"
    if folder.exists():
        raise CourseError(f"{folder} is there already.", "Move it away first.")
    entered = entered_in_order((course.root / "course.toml").read_text(encoding="utf-8"), number, slug, title)
    _write(folder, title)
    (course.root / "course.toml").write_text(entered, encoding="utf-8")
    return [
        f"Made {folder} and its entry in course.toml.",
        "Write lesson.py, lab.py and checks.py there; content/README.md describes them.",
        "Then: mechinterp author build",
        f"and:  mechinterp author check {number}   (it says what is missing)",
    ]


def _title(course: Course, number: str) -> str:
    if number not in course.map:
        raise CourseError(
            f"The map in course.toml has no lesson {number}.",
            f"Add it under [map] first; it has {', '.join(course.map)}.",
        )
    built = next((lesson for lesson in course.lessons if lesson.number == number), None)
    if built:
        raise CourseError(f"Lesson {number} is built already: {built.folder}.", "Edit that folder.")
    return course.map[number]


def entered_in_order(text: str, number: str, slug: str, title: str) -> str:
    """Return course.toml with an entry for the lesson before the first one of a higher number, all else as it was."""
    entry = ENTRY.format(number=number, slug=slug, title=title.replace('"', '\\"'))
    for found in re.finditer(r'^\[\[lesson\]\]\n(?:(?!\[).*\n)*?number = "(\d+)"', text, re.MULTILINE):
        if found[1] > number:
            return text[: found.start()] + entry + text[found.start() :]
    end = re.search(r"^(?:#.*\n)*\[map\]", text, re.MULTILINE)
    if end is None:
        return text.rstrip("\n") + "\n\n" + entry.rstrip("\n") + "\n"
    return text[: end.start()] + entry + text[end.start() :]


def _write(folder: Path, title: str) -> None:
    sections = [SECTION.format(name=name) for name in SECTIONS]
    sections[0] += IMPORTS
    try:
        folder.mkdir()
        (folder / "lesson.py").write_text(LESSON.format(title=title, sections="\n".join(sections)), encoding="utf-8")
        (folder / "lab.py").write_text(LAB.format(title=title), encoding="utf-8")
        (folder / "checks.py").write_text(CHECKS, encoding="utf-8")
    except OSError as error:
        raise CourseError(
            f"{folder} cannot be written ({error.strerror}).", "Work in a clone of the course, in a folder of yours."
        ) from None
