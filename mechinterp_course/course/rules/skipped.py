"""A rule about the cells that grading leaves out, because they only show something.

Imports `grading.needed`, which decides what is left out.
"""

import ast
from collections.abc import Iterator

from ...tutor.catalog import Course, Lesson
from ..build import solution_notebook
from ..grading.needed import may_change, names_of, not_needed
from ..grading.rebuild import Cell
from ..grading.release import ReleaseCell
from .base import Finding, rule


@rule("skipped-cells", "No cell that grading leaves out can change what an answer reads.")
def skipped(course: Course, lesson: Lesson) -> Iterator[Finding]:
    code = _code(course, lesson)
    left_out = not_needed(code)
    kept = [cell for cell in code if cell.id not in left_out]
    things = _read_by_answers(kept) & _assigned(kept)
    for cell in code:
        for name in sorted(may_change(cell.source) & things) if cell.id in left_out else ():
            message = (
                f"grading leaves this cell out, an answer reads {name}, and the cell may change it; give it a copy."
            )
            yield Finding("skipped-cells", lesson.stem, None, cell.id, message)


def _code(course: Course, lesson: Lesson) -> list[Cell]:
    """Return the code cells of the solved lab, as grading sees them."""
    answers = {exercise.name for exercise in lesson.exercises}
    cells = []
    for cell in solution_notebook(course, lesson).cells:
        if cell.cell_type == "code" and not cell.id.endswith("-check"):
            role = "answer" if cell.id in answers else "code"
            cells.append(Cell(cell.id, role, "code", cell.source, ReleaseCell(cell.id, role, cell.source)))
    return cells


def _read_by_answers(cells: list[Cell]) -> set[str]:
    """Return the names that answers read, and those that the functions which they use read."""
    functions = {name: names_of(ast.unparse(node)).reads for cell in cells for name, node in _defined(cell).items()}
    found: set[str] = set()
    todo = set().union(*(names_of(cell.source).reads for cell in cells if cell.role == "answer"))
    while todo:
        found |= todo
        todo = set().union(*(functions.get(name, ()) for name in todo)) - found
    return found


def _assigned(cells: list[Cell]) -> set[str]:
    """Return the names that cells give to things: functions, classes and modules are not changed by being passed on."""
    named = (names_of(cell.source) for cell in cells)
    fixed = {name for cell in cells for name in _defined(cell)}
    return set().union(*(names.gives - names.imports for names in named)) - fixed


def _defined(cell: Cell) -> dict[str, ast.stmt]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name: node for node in ast.parse(cell.source).body if isinstance(node, kinds)}
