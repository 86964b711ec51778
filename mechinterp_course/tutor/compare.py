"""`mechinterp compare`: the learner's answer beside the course's, once it passed or was given up."""

from dataclasses import dataclass

from ..errors import CourseError
from . import notebook, progress, workspace
from .catalog import Course
from .workspace import Workspace


@dataclass(frozen=True)
class Comparison:
    """Two answers to one exercise, as code."""

    exercise: str
    title: str
    yours: str
    ours: str
    gave_up: bool


def compare(ws: Workspace, course: Course, name: str, give_up: bool = False) -> Comparison:
    """Return both answers; before passing only with `give_up`, which is recorded."""
    exercise = course.exercise(name)
    relative = workspace.lab_path(course.lesson_of(name))
    mine = notebook.load(workspace.locate(ws, relative))
    place = notebook.places(ws.released(relative)).get(name)
    cell = notebook.by_id(mine).get(place.answer) if place else None
    done = progress.state(progress.load(ws.root), course).exercises[name]
    if not done.settled and not give_up:
        raise CourseError(
            f"You have not passed {name} yet, so the course's answer stays covered.",
            f"Try `mechinterp hint {name}`. Or give up on it: `mechinterp compare {name} --give-up` (this is recorded).",
        )
    if not done.settled:
        progress.record("give_up", exercise=name)
    yours = notebook.source(cell) if cell else "# Your answer cell is not in the notebook."
    return Comparison(name, exercise.card.title, yours.strip("\n"), answer(exercise.answer.source), not done.passed)


def answer(text: str) -> str:
    """Return an answer cell of `lab.py` without nbgrader's solution marks."""
    kept = [line for line in text.splitlines() if line.strip() not in ("### BEGIN SOLUTION", "### END SOLUTION")]
    return "\n".join(kept).strip("\n")
