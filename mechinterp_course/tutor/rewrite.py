"""A learner's saved lab run again without recording anything: to check an old exercise written anew, or to verify what was passed.

It runs a copy, in a kernel, on inputs that the visible check does not use. The lab's notebook is not touched.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from . import saved
from .catalog import Course, Lesson
from .saved import Outcome
from .workspace import Workspace

CALL = 'from mechinterp_course import check\n\ncheck("{name}", {name}, seed={seed})'


def check_again(
    ws: Workspace, course: Course, name: str, source: str, seed: int, tell: Callable[[str], None]
) -> Outcome:
    """Return what the check of `name` says to this code, on inputs drawn from `seed`, after the cells above it in the saved lab.

    Raises CourseError where the lab cannot be run.
    """
    (outcome,) = rerun(ws, course.lesson_of(name), [name], seed, tell, {name: source})
    return outcome


def rerun(
    ws: Workspace,
    lesson: Lesson,
    names: list[str],
    seed: int,
    tell: Callable[[str], None],
    sources: dict[str, str] | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each exercise of a lab on inputs drawn from `seed`; `sources` stand in for the saved answers.

    Raises CourseError where the lab cannot be run.
    """
    plan = saved.lab_plan(ws, lesson, names)
    yield from plan.refused
    if not plan.checks:
        return
    new = {plan.answers[name]: source for name, source in (sources or {}).items() if name in plan.answers}
    for name, checks in plan.checks.items():
        new |= dict.fromkeys(checks, CALL.format(name=name, seed=seed))
    cells = [(id, new.get(id, text)) for id, text in plan.cells if id != saved.RECORDING]  # here it stays off
    yield from saved.run_plan(replace(plan, cells=cells), tell)
