"""The copy of the package that the box sees: without solutions, without checks, without all that is not a notebook's business.

The bundled weights are not copied; the sandbox shows them read-only. Imports the catalog and the standard library.
"""

import re
import shutil
from pathlib import Path

from ...tutor.catalog import PACKAGE, Course

NAME = "mechinterp_course"
BOX_SIDE = ("answers.py", "cells.py", "inside.py", "mirror.py", "peer.py", "walls.py", "wire.py")
FOLDERS = ("interp", "tutor")
WEIGHTS = Path("interp") / "zoo"
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION.*?^[ \t]*### END SOLUTION[^\n]*$", re.MULTILINE | re.DOTALL)
HARMLESS = {".py", ".toml", ".json", ".css", ".js", ".md", ".txt"}


def stripped(course: Course, folder: Path) -> Path:
    """Write the copy into `folder` and return it: the folder to put on the path of Python in the box."""
    package = Path(folder) / NAME
    package.mkdir(parents=True)
    for file in ("__init__.py", "errors.py"):
        shutil.copyfile(PACKAGE / file, package / file)
    for name in FOLDERS:
        shutil.copytree(PACKAGE / name, package / name, ignore=_heavy)
    (package / WEIGHTS).mkdir()
    _content(course, package / "content")
    grading = package / "course" / "grading"
    grading.mkdir(parents=True)
    for init in (package / "course", grading):
        (init / "__init__.py").write_text("", encoding="utf-8")
    for file in BOX_SIDE:
        shutil.copyfile(Path(__file__).parent / file, grading / file)
    return Path(folder)


def without_solutions(text: str) -> str:
    """Return a `lab.py` in which every solution is the line that a learner starts from."""
    return SOLUTION.sub(lambda match: f"{match[1]}raise NotImplementedError()", text)


def _content(course: Course, target: Path) -> None:
    """Copy what `hint`, `predict` and `quiz` read: cards, questions, the course's list."""
    target.mkdir()
    for file in course.root.glob("*.toml"):
        shutil.copyfile(file, target / file.name)
    for lesson in course.lessons:
        (target / lesson.id).mkdir()
        for name in ("lesson.py", "lab.py"):
            text = (lesson.folder / name).read_text(encoding="utf-8")
            (target / lesson.id / name).write_text(without_solutions(text), encoding="utf-8")


def _heavy(folder: str, names: list[str]) -> list[str]:
    """Return what a copy leaves out: the weights, what Python compiled, and files of other kinds."""
    here = Path(folder)
    return [
        name
        for name in names
        if name == "__pycache__"
        or here / name == PACKAGE / WEIGHTS
        or ((here / name).is_file() and (here / name).suffix not in HARMLESS)
    ]
