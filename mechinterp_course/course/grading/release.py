"""The lab as the class released it, read from the class's source: the one authority on cells, points and the secret seed.

Imports nbformat and `course.release` (nbgrader's own steps).
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache

import nbformat

from ...errors import CourseError
from ..release import released

CHECKED = re.compile(r"""^\s*check\(\s*["'](\w+)["']""", re.MULTILINE)
SEED = re.compile(r"\bseed\s*=\s*(\d+)")


@dataclass(frozen=True)
class ReleaseCell:
    """A cell of the release. `role`: "text", "answer", "check", or "code" (setup and demos, which students may edit)."""

    id: str
    role: str
    source: str
    exercise: str = ""
    grade_id: str = ""
    points: float = 0.0
    seed: int = 0
    metadata: str = "{}"  # nbgrader's, as JSON text


@dataclass(frozen=True)
class Release:
    """A lab as it was released."""

    cells: tuple[ReleaseCell, ...]
    metadata: str  # the notebook's, as JSON text

    @property
    def checks(self) -> tuple[ReleaseCell, ...]:
        return tuple(cell for cell in self.cells if cell.role == "check")

    @property
    def modules(self) -> list[str]:
        """The modules that the lab's cells import."""
        code = "\n".join(cell.source for cell in self.cells if cell.role == "code")
        found = re.findall(r"^\s*(?:from\s+([\w.]+)\s+import|import\s+([\w.]+))", code, re.MULTILINE)
        return list(dict.fromkeys(one or other for one, other in found))


@lru_cache(maxsize=8)
def read(source: str) -> Release:
    """Return the release of a class's source notebook, given as JSON text."""
    try:
        given = nbformat.reads(source, as_version=4)
        seeds = {cell.id: SEED.search(cell.source) for cell in given.cells}
        made = released(given)
        cells = tuple(_cell(cell, seeds.get(cell.id)) for cell in made.cells)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CourseError(f"The class's source notebook cannot be read ({error}).", "Make the class again.") from None
    return Release(cells, json.dumps(made.metadata))


def _cell(cell, seed: re.Match | None) -> ReleaseCell:
    ours = cell.metadata.get("nbgrader", {})
    role = (
        "text"
        if cell.cell_type != "code"
        else "answer"
        if ours.get("solution")
        else "check"
        if ours.get("grade")
        else "code"
    )
    checked = CHECKED.search(cell.source) if role == "check" else None
    if role == "check" and (checked is None or seed is None):
        raise CourseError(
            f"The check cell {cell.id} of the class's source has no hidden check.",
            "Make the class again: mechinterp class init.",
        )
    return ReleaseCell(
        id=cell.id,
        role=role,
        source=cell.source,
        exercise=checked[1] if checked else cell.id if role == "answer" else "",
        grade_id=ours.get("grade_id", ""),
        points=float(ours.get("points", 0)),
        seed=int(seed[1]) if seed else 0,
        metadata=json.dumps(dict(cell.metadata)),
    )
