"""`mechinterp check`: runs the checks of a saved notebook in a kernel, on a copy; the notebook itself is not touched.

Every code cell runs, as it would in JupyterLab; of the check cells only those that are asked for, as they were released.
These record their events (`runner.check`); a `hint` or a `borrow` in another cell was recorded when the learner ran it.
nbclient is imported when a kernel is needed.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import CourseError
from . import notebook, progress, workspace
from .catalog import Course, Lesson
from .names import exercises_of
from .workspace import Workspace

SECONDS_A_CELL = 600
MAX_PRINTED_LINES = 20
RECORDING = "(recording)"  # the name, that no cell has, of the cells which switch recording on around a check, and off
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Outcome:
    """What the check of one exercise said."""

    exercise: str
    passed: bool
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Plan:
    """The code cells to run, as (id, text), and the last check cell of each exercise."""

    path: Path
    cells: list[tuple[str, str]]
    checks: dict[str, tuple[str, ...]]
    answers: dict[str, str]
    refused: list[Outcome]
    notes: dict[str, str]


def check(ws: Workspace, course: Course, name: str | None, tell: Callable[[str], None]) -> Iterator[Outcome]:
    """Yield the outcome of an exercise, of every exercise of a lesson, or of "all"; by default of the lesson that is next.

    `tell` hears how far it is. A lesson that cannot be run is an outcome too, so that the others still are.
    """
    for lesson_id, exercises in exercises_of(course, name or _next_lesson(ws, course)).items():
        lesson = course.lesson(lesson_id)
        try:
            plan = lab_plan(ws, lesson, exercises)
            yield from plan.refused
            if plan.checks:
                yield from run_plan(plan, lambda what, lesson=lesson: tell(f"lesson {lesson.number}: {what}"))
        except CourseError as trouble:
            yield Outcome("", False, (f"✗ lesson {lesson.number}", trouble.sentence, f"Next: {trouble.remedy}"))


def _next_lesson(ws: Workspace, course: Course) -> str:
    """Return the lesson that the learner is in; once everything is done, "all"."""
    following = progress.state(progress.load(ws.root), course).next
    return following.lesson.id if following else "all"


def lab_plan(ws: Workspace, lesson: Lesson, names: list[str]) -> _Plan:
    """Return what is run of a saved lab to check these exercises, and the outcomes of those that cannot be run."""
    relative = workspace.lab_path(lesson)
    path = workspace.locate(ws, relative)
    mine, released = notebook.load(path), ws.released(relative)
    places = notebook.places(released)
    present = notebook.by_id(mine)
    refused, notes, wanted = [], {}, {}
    for name in names:
        place = places.get(name)
        if place is None:
            refused.append(_refuse(name, "Your workspace does not have this exercise yet.", "mechinterp update"))
        elif place.answer not in present:
            remedy = f"mechinterp reset {name}"
            refused.append(_refuse(name, f"Its answer cell is not in {path.name} any more.", remedy))
        else:
            wanted[name] = place
            if not set(place.checks) <= set(present):
                notes[name] = "Its check cell is missing from the notebook: `mechinterp update` puts it back."
    all_checks = {i for place in places.values() for i in place.checks}
    asked = {i for place in wanted.values() for i in place.checks}
    cells, _ = notebook.put_back(mine["cells"], released["cells"], asked, set())
    code = [(notebook.cell_id(c), notebook.source(c)) for c in cells if c["cell_type"] == "code"]
    code = _once([cell for cell in code if cell[0] in asked or cell[0] not in all_checks], asked)
    last = max((i for i, (name, _) in enumerate(code) if name in asked), default=-1)
    return _Plan(
        path,
        _recorded(ws.root, [cell for cell in code[: last + 1] if cell[1].strip()], asked),
        {name: place.checks for name, place in wanted.items()},
        {name: place.answer for name, place in wanted.items()},
        refused,
        notes,
    )


def _refuse(name: str, sentence: str, command: str) -> Outcome:
    return Outcome(name, False, (f"✗ {name}", sentence, f"Next: `{command}`"))


def _once(code: list[tuple[str, str]], asked: set[str]) -> list[tuple[str, str]]:
    """Drop second copies of check cells, so that nothing is recorded twice."""
    seen: set[str] = set()
    kept = []
    for name, text in code:
        if name in asked and name in seen:
            continue
        seen.add(name)
        kept.append((name, text))
    return kept


def _recorded(root: Path, code: list[tuple[str, str]], asked: set[str]) -> list[tuple[str, str]]:
    """Put around each check that is asked for what lets it record, and nothing else."""
    made = []
    for name, text in code:
        made += (
            [(RECORDING, _record_in(root)), (name, text), (RECORDING, _record_in(""))]
            if name in asked
            else [(name, text)]
        )
    return made


def _record_in(root: Path | str) -> str:
    """Return the code that tells the kernel where to record, without a name in the learner's namespace."""
    return f'__import__("os").environ["MECHINTERP_WORKSPACE"] = {str(root)!r}'


def run_plan(plan: _Plan, tell: Callable[[str], None]) -> Iterator[Outcome]:
    """Run the cells of a plan in one kernel and yield the outcome of each exercise as soon as its last check ran."""
    tell("starting a kernel")
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [new_code_cell(text) for _, text in plan.cells]
    client = NotebookClient(
        new_notebook(cells=cells),
        kernel_name="python3",
        timeout=SECONDS_A_CELL,
        allow_errors=True,
        resources={"metadata": {"path": str(plan.path.parent)}},
    )
    outputs: dict[str, list] = {}
    due = {checks[-1]: name for name, checks in plan.checks.items()}
    with _kernel(client):
        for at, (name, _) in enumerate(plan.cells):
            tell(f"cell {at + 1} of {len(plan.cells)}")
            try:
                client.execute_cell(cells[at], at)
            except (DeadKernelError, CellTimeoutError) as error:
                raise _stopped(plan, name, error) from None
            outputs[name] = outputs.get(name, []) + list(cells[at].outputs)
            if name in due:
                yield _outcome(plan, due[name], outputs)


def _kernel(client):
    """Return the context in which the client's kernel runs, with a sentence where none starts."""

    @contextmanager
    def running():
        # What a kernel writes to its terminal is about itself; what cells print comes another way.
        quiet = {**os.environ, "MECHINTERP_WORKSPACE": ""}  # nothing is recorded until a check is due
        context = client.setup_kernel(stderr=subprocess.DEVNULL, env=quiet)
        try:
            context.__enter__()
        except Exception as error:
            raise CourseError(f"No Jupyter kernel starts: {error}", "Run `mechinterp doctor`.") from None
        try:
            yield
        finally:
            context.__exit__(None, None, None)

    return running()


def _stopped(plan: _Plan, name: str, error: Exception) -> CourseError:
    """Return the error for a cell that killed the kernel or never ended."""
    exercise = next((e for e, answer in plan.answers.items() if name == answer or name in plan.checks[e]), "")
    where = f"at {exercise}" if exercise else f"in the cell {name or '(without an id)'}"
    if type(error).__name__ == "CellTimeoutError":
        return CourseError(
            f"{plan.path.name}: a cell ran for more than {SECONDS_A_CELL // 60} minutes, {where}.",
            "Is there a loop that never ends?",
        )
    return CourseError(
        f"{plan.path.name}: the kernel died {where}.",
        "Often the memory is full: close other programs, and see `mechinterp doctor`.",
    )


def _outcome(plan: _Plan, exercise: str, outputs: dict[str, list]) -> Outcome:
    said: list[str] = []
    passed = True
    for check_id in plan.checks[exercise]:
        error = _error(outputs.get(check_id, []))
        said += _printed(outputs.get(check_id, []))
        if error is None:
            continue
        passed = False
        if error.ename in ("CheckFailed", "CourseError"):
            said += [_COLOURS.sub("", line) for line in error.traceback]
        else:
            said += _crashed(exercise, _error(outputs.get(plan.answers[exercise], [])) or error)
    if exercise in plan.notes:
        said.append(plan.notes[exercise])
    return Outcome(exercise, passed, tuple(said))


def _crashed(exercise: str, error) -> list[str]:
    """Say why a check could not run: nearly always the answer cell itself stopped."""
    what = " ".join(f"{error.ename}: {error.evalue}".split())
    return [
        f"✗ {exercise}   its cell stopped before the check could run",
        what,
        "Next: run the cell in JupyterLab; the arrow there shows the line",
    ]


def _error(outputs: list):
    return next((output for output in outputs if output.output_type == "error"), None)


def _printed(outputs: list) -> list[str]:
    text = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    return [_COLOURS.sub("", line) for line in text.splitlines() if line.strip()][-MAX_PRINTED_LINES:]
