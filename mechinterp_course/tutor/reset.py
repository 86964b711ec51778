"""`mechinterp reset`: an exercise, or a whole notebook, back to how it was released; what stood there goes to a backup."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import CourseError
from . import notebook, workspace
from .catalog import Course, Exercise
from .names import named
from .workspace import Workspace


@dataclass(frozen=True)
class Reset:
    """What was put back (cell ids, or nothing for a whole notebook), where, and where the old notebook is kept."""

    path: Path
    cells: tuple[str, ...]
    backup: Path | None
    unchanged: bool = False


def reset(ws: Workspace, course: Course, name: str) -> Reset:
    """Put back an exercise's cells, or (for a lesson or a notebook's name) a whole notebook."""
    try:
        if name.endswith(".ipynb"):
            return _reset_notebook(ws, _here(ws, name) or workspace.notebook_named(name))
        found = named(course, name)
        if isinstance(found, Exercise):
            return _reset_exercise(ws, course, name)
        return _reset_notebook(ws, workspace.lab_path(found))
    except OSError as error:
        raise CourseError(
            f"Nothing was reset: {error.strerror or error}.", "Mend that and run the same command again."
        ) from None


def _here(ws: Workspace, name: str) -> str:
    """Return the notebook of the course that a file's name means where the learner stands; "" where there is none.

    A lesson and its lab have the same file name: in `lessons/` it is the lesson.
    """
    path = Path(name).absolute()
    if not path.is_file() or not path.resolve().is_relative_to(ws.root.resolve()):
        return ""
    relative = path.resolve().relative_to(ws.root.resolve()).as_posix()
    return relative if relative in workspace.release_files() else ""


def _reset_exercise(ws: Workspace, course: Course, name: str) -> Reset:
    relative = workspace.lab_path(course.lesson_of(name))
    path = workspace.locate(ws, relative)
    mine, released = notebook.load(path), ws.released(relative)
    place = notebook.places(released).get(name)
    if place is None:
        raise CourseError(f"Your workspace does not have {name} yet.", "Run `mechinterp update`.")
    # Its card, prompt and demo come back where they were deleted; what the learner wrote into them stays.
    around = {i for i in notebook.by_id(released) if i.startswith(f"{place.answer}-")}
    always = {place.answer, *place.checks}
    cells, restored = notebook.put_back(mine["cells"], released["cells"], always, around)
    if not restored:
        return Reset(path, (), None, unchanged=True)
    kept = workspace.back_up(ws, path, workspace.new_backup(ws))
    notebook.write(path, notebook.dumps({**mine, "cells": cells}))
    return Reset(path, tuple(restored), kept)


def _reset_notebook(ws: Workspace, relative: str) -> Reset:
    path = ws.root / relative
    released = ws.base / relative
    text = notebook.dumps(ws.released(relative)) if not released.is_file() else released.read_text(encoding="utf-8")
    kept = workspace.back_up(ws, path, workspace.new_backup(ws)) if path.is_file() else None
    notebook.write(path, text)
    return Reset(path, (), kept)
