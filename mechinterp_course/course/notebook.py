"""A notebook as the builder makes it: cells with stable ids, little metadata, no outputs, always the same bytes.

Imports nbformat, and nothing of nbgrader.
"""

import re
from dataclasses import dataclass, field

import nbformat
from nbformat.v4.nbjson import JSONWriter

from .. import __version__
from ..tutor.catalog import Cell
from .markup import headings

MAX_ID = 64  # nbformat's and nbgrader's limit


def new_cell(kind: str, source: str, id: str, nbgrader: dict | None = None) -> nbformat.NotebookNode:
    """Return a cell without outputs; `nbgrader` is its grading metadata, if it has any."""
    metadata = {"nbgrader": {"schema_version": 3, "task": False, **nbgrader}} if nbgrader else {}
    cell = {"cell_type": kind, "id": id, "metadata": metadata, "source": source}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return nbformat.from_dict(cell)  # nbformat's own makers would mend a faulty id in silence


def notebook(cells: list, kind: str, source: str, lesson: str = "") -> nbformat.NotebookNode:
    """Return a notebook of those cells. `source` is the file to edit: it stands in the metadata, not in a cell."""
    about = {"kind": kind, "source": source, "version": __version__}
    if lesson:
        about["lesson"] = lesson
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "mechinterp": about,
    }
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def text_of(made: nbformat.NotebookNode) -> str:
    """Return a notebook as the text of its file: indented by one, keys in order, one newline at the end."""
    return JSONWriter().writes(made, split_lines=True).rstrip("\n") + "\n"


@dataclass
class Ids:
    """Hands out the ids of ordinary cells: `section-n`, n counting the cells under the nearest heading."""

    section: str = "start"
    counts: dict[str, int] = field(default_factory=dict)

    def next(self, cell: Cell) -> str:
        """Return the id of the next cell: its own, or the section's next number."""
        if cell.type == "markdown":
            found = next((text for _, text in headings(cell.source)), None)
            self.section = slug(found) if found else self.section
        return cell.marks.get("id") or self.numbered(self.section)

    def numbered(self, stem: str) -> str:
        self.counts[stem] = self.counts.get(stem, 0) + 1
        return f"{stem}-{self.counts[stem]}"


def slug(text: str) -> str:
    """Return a heading as part of a cell id: "The mask, drawn" becomes "the-mask-drawn"."""
    words = re.sub(r"\[\[\w+:([^\]|]+\|)?([^\]]+)\]\]", r"\2", text).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:50].strip("-") or "section"
