"""An old exercise written again: checked on new inputs, in the learner's own lab, in a kernel. The lab's notebook is not touched."""

from collections.abc import Callable
from dataclasses import replace

from . import saved
from .catalog import Course
from .saved import Outcome
from .workspace import Workspace


def check_again(
    ws: Workspace, course: Course, name: str, source: str, seed: int, tell: Callable[[str], None]
) -> Outcome:
    """Return what the check of `name` says to this code, on inputs drawn from `seed`, after the cells above it in the saved lab.

    Nothing is recorded. Raises CourseError where the lab cannot be run.
    """
    lesson = course.lesson_of(name)
    plan = saved.lab_plan(ws, lesson, [name])
    if plan.refused:
        return plan.refused[0]
    checks = plan.checks[name]
    call = f'from mechinterp_course import check\n\ncheck("{name}", {name}, seed={seed})'
    new = {plan.answers[name]: source, **dict.fromkeys(checks, call)}
    # The cells without a name switch recording on around a check: here it stays off.
    cells = [(id, new.get(id, text)) for id, text in plan.cells if id]
    (outcome,) = saved.run_plan(replace(plan, cells=cells), tell)
    return outcome
