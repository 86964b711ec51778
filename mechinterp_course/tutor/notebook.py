"""A notebook file, read and written as JSON: its cells, its ids, and which cells belong to which exercise.

nbformat takes a second to import; what stands in a file needs no more than `json`. Imports nothing heavy.
"""

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import CourseError

CHECK_CALL = re.compile(r"""^check\(\s*["'](\w+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where an exercise stands in a notebook: the id of its answer cell and the ids of its check cells."""

    answer: str
    checks: tuple[str, ...]


def load(path: Path) -> dict:
    """Return the notebook in `path`; a file that is not one is named, with what may help."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"There is no notebook {path}.", "Run `mechinterp update` to put it back.") from None
    except (ValueError, RecursionError):
        raise CourseError(f"{path} is damaged: it is not a notebook any more (invalid JSON).", _rescue(path)) from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}).", "Check who may read it.") from None
    if not _has_cells(made):
        raise CourseError(f"{path} is damaged: it holds no list of cells.", _rescue(path))
    return made


def parsed(text: str) -> dict | None:
    """Return a notebook's text as a notebook, or None where it is none."""
    try:
        made = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return made if _has_cells(made) else None


def _has_cells(made) -> bool:
    cells = made.get("cells") if isinstance(made, dict) else None
    return isinstance(cells, list) and all(isinstance(cell, dict) and "cell_type" in cell for cell in cells)


def _rescue(path: Path) -> str:
    """Say how to come back from a damaged notebook: by JupyterLab's own copy where there is one, or a fresh one."""
    copy = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.ipynb"
    first = f"JupyterLab kept an older copy: {copy}. " if copy.is_file() else ""
    name = f"{path.parent.name}/{path.name}"
    return f"{first}`mechinterp reset {name}` puts a fresh notebook there and keeps the damaged file in a backup."


def dumps(notebook: dict) -> str:
    """Return the notebook as the text of a file, laid out as Jupyter lays it out."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file at once or not at all: another name first, then the name of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets nobody else read the file; a notebook is readable like any other.
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def source(cell: dict) -> str:
    """Return the text of a cell; the format allows a list of lines and a string."""
    text = cell.get("source", "")
    return "".join(text) if isinstance(text, list) else str(text)


def with_source(cell: dict, text: str) -> dict:
    """Return a copy of the cell with another text."""
    return {**cell, "source": text.splitlines(keepends=True)}


def cell_id(cell: dict) -> str:
    """Return the cell's id; where an older editor dropped it, nbgrader's grade id, which is the same in this course."""
    grading = cell.get("metadata", {}).get("nbgrader", {})
    return str(cell.get("id") or grading.get("grade_id") or "")


def grading(cell: dict) -> dict:
    """Return nbgrader's metadata of a cell, empty where it has none."""
    return cell.get("metadata", {}).get("nbgrader", {})


def is_answer(cell: dict) -> bool:
    return bool(grading(cell).get("solution"))


def is_check(cell: dict) -> bool:
    return bool(grading(cell).get("grade")) and not grading(cell).get("solution")


def places(released: dict) -> dict[str, Place]:
    """Return where each exercise stands in a released notebook, where every check cell follows its answer cell."""
    found: dict[str, Place] = {}
    answer = ""
    for cell in released["cells"]:
        if is_answer(cell):
            answer = cell_id(cell)
        elif is_check(cell) and answer:
            called = CHECK_CALL.search(source(cell))
            if called:
                before = found.get(called[1], Place(answer, ()))
                found[called[1]] = Place(before.answer, (*before.checks, cell_id(cell)))
    return found


def by_id(notebook: dict) -> dict[str, dict]:
    """Return the cells by id; of two with the same id, the first."""
    cells: dict[str, dict] = {}
    for cell in notebook["cells"]:
        cells.setdefault(cell_id(cell), cell)
    cells.pop("", None)
    return cells


def put_back(
    cells: list[dict], released: list[dict], always: set[str], missing: set[str]
) -> tuple[list[dict], list[str]]:
    """Return the cells with some put back as released, and the ids of those: `always` whatever stands there now,
    `missing` only where they were deleted. A deleted cell comes back behind the released cell before it.
    """
    cells, restored, order = list(cells), [], []
    for cell in released:
        name = cell_id(cell)
        there = next((i for i, own in enumerate(cells) if cell_id(own) == name), None)
        if there is None and name in always | missing:
            cells.insert(_behind(cells, order), cell)
            restored.append(name)
        elif there is not None and name in always and not _is_same(cells[there], cell):
            cells[there] = cell
            restored.append(name)
        order.append(name)
    return cells, restored


def _behind(cells: list[dict], before: list[str]) -> int:
    """Return the position behind the nearest of the released cells that come before; 0 where none is there."""
    positions = {cell_id(cell): i for i, cell in enumerate(cells)}
    return next((positions[name] + 1 for name in reversed(before) if name in positions), 0)


def _is_same(cell: dict, other: dict) -> bool:
    kind = cell.get("cell_type") == other.get("cell_type")
    return kind and source(cell) == source(other) and grading(cell) == grading(other)
