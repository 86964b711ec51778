"""Builds every notebook from `content/`: `build(course)` returns {path: text}, the same bytes every time.

`lessons/` is what you read, `exercises/` what you do (nbgrader's release version), `solutions/` what you compare.
Nothing of nbgrader is imported before a release version is made.
"""

from collections.abc import Iterable
from pathlib import Path

import nbformat

from ..tutor.catalog import QUESTION_KINDS, Cell, Course, Exercise, Lesson
from .markup import GLOSSARY, HOME, lab_path, lesson_path, resolve, solution_path
from .notebook import Ids, new_cell, notebook, text_of
from .pages import card_text, glossary_cells, home_cells, navigation, sitting_text, with_journal, with_questions
from .readme import build_readme

FOLDERS = ("lessons", "exercises", "solutions")
HIDDEN = "### BEGIN HIDDEN TESTS\n{call}\n### END HIDDEN TESTS"


def build(course: Course, only: Iterable[str] | None = None) -> dict[str, str]:
    """Return every notebook as {path: text}; with `only` those of the named lessons."""
    lessons = course.lessons if only is None else [course.lesson(name) for name in only]
    made = {}
    for lesson in lessons:
        made |= build_lesson(course, lesson)
    if only is None:
        made |= build_shared(course)
    return made


def build_lesson(course: Course, lesson: Lesson) -> dict[str, str]:
    """Return the three notebooks of one lesson as {path: text}."""
    return {
        lesson_path(lesson): text_of(lesson_notebook(course, lesson)),
        lab_path(lesson): text_of(release_notebook(course, lesson)),
        solution_path(lesson): text_of(solution_notebook(course, lesson)),
    }


def build_shared(course: Course) -> dict[str, str]:
    """Return the notebooks that belong to no lesson, home and glossary, as {path: text}."""
    home = notebook(home_cells(course), "home", _source(course, "home.py"))
    glossary = notebook(glossary_cells(course), "glossary", _source(course, "glossary.toml"))
    return {HOME: text_of(home), GLOSSARY: text_of(glossary)}


def write(course: Course, root: Path) -> list[str]:
    """Write every notebook below `root` and the README's tables, remove generated notebooks that no longer belong there.

    Returns the changed paths.
    """
    made = build(course) | build_readme(course, root)
    changed = [path for path in _stale(made, root) if path in made or _is_generated(root / path)]
    for path in changed:
        if path in made:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(made[path], encoding="utf-8", newline="\n")
        else:
            (root / path).unlink()
            if not any((root / path).parent.iterdir()):
                (root / path).parent.rmdir()
    return changed


def stale(course: Course, root: Path) -> list[str]:
    """Return the paths below `root` that a build would change: different, missing, or not of this course."""
    return _stale(build(course) | build_readme(course, root), root)


def _stale(made: dict[str, str], root: Path) -> list[str]:
    wrong = [path for path, text in made.items() if read_text(root / path) != text]
    return sorted(wrong + unexpected(made, root))


def unexpected(made: Iterable[str], root: Path) -> list[str]:
    """Return the notebooks in the generated folders below `root` that no build makes."""
    there = (path for folder in FOLDERS for path in (root / folder).rglob("*.ipynb"))
    paths = (path.relative_to(root).as_posix() for path in there if ".ipynb_checkpoints" not in path.parts)
    return sorted(set(paths) - set(made))


def read_text(path: Path) -> str | None:
    """Return a file's text with its line ends as they are, or None where there is no such file."""
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else None


def _is_generated(path: Path) -> bool:
    """Whether this builder made a notebook, under this name: only such a one may be removed. A copy is somebody's own."""
    try:
        about = nbformat.read(path, as_version=4).metadata["mechinterp"]
        return path.stem == (about.get("lesson") or "").removeprefix("l")
    except Exception:
        return False


# --- the notebooks of a lesson --------------------------------------------------------------------------------------


def lesson_notebook(course: Course, lesson: Lesson) -> nbformat.NotebookNode:
    """Return the reading notebook."""
    here, ids = lesson_path(lesson), Ids()
    cells = [_cell(course, cell, here, ids) for cell in lesson.lesson_cells]
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = with_questions(course, lesson, cell.source)
    return _finished(course, lesson, with_journal(cells), here, "lesson", "lesson.py")


def source_notebook(course: Course, lesson: Lesson, seed: int | None = None) -> nbformat.NotebookNode:
    """Return the lab with its solutions between nbgrader's marks and, with a seed, the hidden checks: a class's source."""
    here = lab_path(lesson)
    return _finished(course, lesson, _lab_cells(course, lesson, here, seed), here, "lab", "lab.py")


def release_notebook(course: Course, lesson: Lesson) -> nbformat.NotebookNode:
    """Return the lab as a learner gets it, exactly as `nbgrader generate_assignment` makes it."""
    from .release import released

    return released(source_notebook(course, lesson))


def solution_notebook(course: Course, lesson: Lesson) -> nbformat.NotebookNode:
    """Return the lab with the course's answers, without marks, hidden checks or grading metadata."""
    here = solution_path(lesson)
    cells = _lab_cells(course, lesson, here, seed=None, solved=True)
    for cell in cells:
        cell.metadata.pop("nbgrader", None)
    return _finished(course, lesson, cells, here, "solution", "lab.py")


def solved(source: str) -> str:
    """Return an answer cell with its solution and without the marks around it."""
    lines = source.split("\n")
    return "\n".join(line for line in lines if "### BEGIN SOLUTION" not in line and "### END SOLUTION" not in line)


def _lab_cells(course: Course, lesson: Lesson, here: str, seed: int | None, solved: bool = False) -> list:
    ids = Ids()
    cells = [_cell(course, cell, here, ids) for cell in lesson.intro]
    if lesson.exercises:
        tools = "from mechinterp_course import borrow, check, hint"
        cells.append(new_cell("code", tools, "tools"))
    first_of = {sitting.exercises[0]: i for i, sitting in enumerate(lesson.sittings) if sitting.exercises}
    for number, exercise in enumerate(lesson.exercises, 1):
        sitting = first_of.get(exercise.name)
        if sitting is not None and len(first_of) > 1:
            letter = "abcdefgh"[sitting - 1]
            cells.append(new_cell("markdown", sitting_text(lesson, sitting), f"sitting-{letter}"))
        cells += _exercise_cells(course, exercise, number, here, seed, solved)
    return cells


def _exercise_cells(
    course: Course, exercise: Exercise, number: int, here: str, seed: int | None, is_solved: bool
) -> list:
    name, answer = exercise.name, exercise.answer.source
    prompt, demo = Ids(), Ids()
    is_answer = {"grade": False, "grade_id": name, "locked": False, "solution": True}
    is_check = {
        "grade": True,
        "grade_id": f"{name}-check",
        "locked": True,
        "points": exercise.card.points,
        "solution": False,
    }
    return [
        new_cell("markdown", card_text(exercise.card, number, with_hint=not is_solved), f"{name}-card"),
        *(_cell(course, cell, here, prompt, f"{name}-prompt") for cell in exercise.prompt),
        new_cell("code", solved(answer) if is_solved else answer, name, is_answer),
        new_cell("code", check_source(name, seed), f"{name}-check", is_check),
        *(_cell(course, cell, here, demo, f"{name}-demo") for cell in exercise.demo),
    ]


def check_source(name: str, seed: int | None = None) -> str:
    """Return the code of an exercise's check cell; with a seed, the hidden checks between nbgrader's marks as well."""
    source = f'from mechinterp_course import check\n\ncheck("{name}", {name})'
    if seed is None:
        return source
    return source + "\n" + HIDDEN.format(call=f'check("{name}", {name}, seed={seed})')


def _cell(course: Course, cell: Cell, here: str, ids: Ids, stem: str = "") -> nbformat.NotebookNode:
    """Return an ordinary cell, or the code cell that asks a question."""
    for kind in QUESTION_KINDS:
        if kind in cell.marks:
            name = cell.marks[kind]
            return new_cell("code", f'{kind}("{name}")', f"{kind}-{name}")
    if stem:
        id = cell.marks.get("id") or ids.numbered(stem)
    else:
        id = ids.next(cell)
    source = resolve(cell.source, course, here) if cell.type == "markdown" else cell.source
    return new_cell(cell.type, source, id)


def _finished(course: Course, lesson: Lesson, cells: list, here: str, kind: str, file: str) -> nbformat.NotebookNode:
    """Return the notebook of those cells between the two lines of navigation."""
    top, bottom = navigation(course, lesson, here, kind)
    cells = [new_cell("markdown", top, "nav-top"), *cells, new_cell("markdown", bottom, "nav-bottom")]
    return notebook(cells, kind, _source(course, f"{lesson.id}/{file}"), lesson.id)


def _source(course: Course, file: str) -> str:
    return f"mechinterp_course/content/{file}"
