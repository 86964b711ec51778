"""Rules about notebooks that have run in a real kernel: no error, nothing on stderr, full points, offline, in time."""

from collections.abc import Iterator
from functools import cache

from ...tutor.catalog import Course, Lesson, course
from ..build import lesson_notebook, solution_notebook, source_notebook
from ..kernels import Run, run
from ..notebook import notebook
from ..pages import home_cells
from .base import COURSE, Finding, rule

LESSON_SECONDS = 120
LAB_SECONDS = 60
SEED = 20  # of the hidden checks in the class source that is graded here
KINDS = {
    "lesson": (lesson_notebook, LESSON_SECONDS),
    "solution": (solution_notebook, LAB_SECONDS),
    "class source": (lambda course, lesson: source_notebook(course, lesson, seed=SEED), LAB_SECONDS),
}


def executed(book: Course, lesson: Lesson, kind: str) -> Run:
    """Return the lesson's notebook of that kind, run once in a kernel of its own."""
    return _executed(book.root, lesson.id, kind)


@cache
def _executed(root, lesson_id: str, kind: str) -> Run:
    book = course(root)
    make, seconds = KINDS[kind]
    return run(make(book, book.lesson(lesson_id)), seconds, {"MECHINTERP_CONTENT": str(root)})


def _runs(course: Course, lesson: Lesson) -> Iterator[tuple[str, Run]]:
    for kind in KINDS:
        yield kind, executed(course, lesson, kind)


@rule("runs", "The lesson and the solved lab run from top to bottom without an error.", needs_kernel=True)
def runs(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for kind in ("lesson", "solution"):
        yield from _errors("runs", lesson.stem, kind, executed(course, lesson, kind))


def _errors(rule: str, where: str, kind: str, done: Run) -> Iterator[Finding]:
    if done.stopped and "seconds" not in done.stopped:
        yield Finding(rule, where, None, done.cell or None, f"{kind}: {done.stopped}.")
    for cell, name, message in done.errors:
        yield Finding(rule, where, None, cell, f"{kind}: {name}: {' '.join(message.split())[:200]}")


@rule(
    "points",
    "A class's source with its hidden checks, solved, earns every point by nbgrader's own rule.",
    needs_kernel=True,
)
def points(course: Course, lesson: Lesson) -> Iterator[Finding]:
    from nbgrader.utils import determine_grade, is_grade

    done = executed(course, lesson, "class source")
    if done.stopped:
        return  # `runs` and `time` say so of the solved lab
    for cell in done.notebook.cells:
        if is_grade(cell):
            try:
                earned, most = determine_grade(cell)
            except ValueError as error:
                earned, most = str(error), cell.metadata.nbgrader["points"]
            if earned != most and not _said_elsewhere(cell):
                exercise = cell.id.removesuffix("-check")
                message = f"the course's own answer earns {earned} of {most} points: {_why(done, cell.id)}"
                yield Finding("points", lesson.stem, exercise, cell.id, message)


def _said_elsewhere(cell) -> bool:
    """Whether the cell lost its points by stderr or a displayed value: the rules `quiet` and `displays` say so."""
    kinds = {"stderr" if o.get("name") == "stderr" else o.output_type for o in cell.outputs}
    return "error" not in kinds and bool(kinds & {"stderr", "execute_result"})


def _why(done: Run, cell: str) -> str:
    said = next((message for id, _, message in done.errors if id == cell), "")
    return " ".join(said.split())[:200]


@rule("quiet", "Nothing is written to stderr, by any cell.", needs_kernel=True)
def quiet(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for kind, done in _runs(course, lesson):
        for cell in done.notebook.cells:
            said = [o.text for o in cell.get("outputs", ()) if o.output_type == "stream" and o.name == "stderr"]
            if said:
                message = f"{kind}: it writes to stderr: {' '.join(''.join(said).split())[:160]}"
                yield Finding("quiet", lesson.stem, None, cell.id, message)


@rule("displays", "A check cell displays no value: nbgrader would read it as points.", needs_kernel=True)
def displays(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for kind in ("solution", "class source"):
        for cell in executed(course, lesson, kind).notebook.cells:
            shown = [o for o in cell.get("outputs", ()) if o.output_type in ("execute_result", "display_data")]
            if cell.id.endswith("-check") and shown:
                message = f"{kind}: it displays {str(shown[0].data.get('text/plain', 'something'))[:80]}"
                yield Finding("displays", lesson.stem, cell.id.removesuffix("-check"), cell.id, message)


@rule("offline", "No cell asks anything of another machine, not even inside a `try`.", needs_kernel=True)
def offline(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for kind, done in _runs(course, lesson):
        for request in done.requests:
            line = f", in the line `{request['line']}`" if request["line"] else ""
            yield Finding("offline", lesson.stem, None, None, f"{kind}: it asks for {request['host']}{line}.")


@rule("time", f"A lesson runs in {LESSON_SECONDS} seconds, a solved lab in {LAB_SECONDS}.", needs_kernel=True)
def time(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for kind, done in _runs(course, lesson):
        if "seconds" in done.stopped:
            yield Finding("time", lesson.stem, None, done.cell or None, f"{kind}: {done.stopped}.")


@rule("home-runs", "The home notebook runs without an error, in silence and offline.", COURSE, needs_kernel=True)
def home_runs(course: Course) -> Iterator[Finding]:
    done = run(
        notebook(home_cells(course), "home", "home.py"),
        LAB_SECONDS,
        {"MECHINTERP_CONTENT": str(course.root)},
    )
    yield from _errors("home-runs", "course", "home", done)
    for request in done.requests:
        yield Finding("home-runs", "course", None, None, f"home: it asks for {request['host']}.")
    for cell in done.notebook.cells:
        if any(o.output_type == "stream" and o.name == "stderr" for o in cell.get("outputs", ())):
            yield Finding("home-runs", "course", None, cell.id, "home: it writes to stderr.")
