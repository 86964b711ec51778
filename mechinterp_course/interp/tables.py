"""Tables as plotly figures, which also show in a saved notebook: rows of text that were made elsewhere.

Must not import torch, TransformerLens, or anything of courses and notebooks.
"""

import math
import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from mechinterp_course.errors import CourseError
from mechinterp_course.interp.figure import Figure
from mechinterp_course.interp.plots import GRID, INK, TEMPLATE

NARROW, WIDTH = 460, 980  # pixels, at least and at most
LINE = 19  # the height of a line of text, in pixels
LETTER = 6.6  # the mean width of a letter, in pixels
TITLE_LETTER = 8.6  # of a title's letter


def table(rows: Sequence[tuple], columns: Sequence[str] | None = None, *, title: str, alt: str) -> go.Figure:
    """Draw rows of text or numbers under the names of their columns; long cells wrap.

    rows: all of one length; None is an empty cell. columns: by default the fields of the rows, where those are named tuples
    (`hook_table`). alt: what the table shows, in a sentence. Raises CourseError where rows and columns do not fit.
    """
    names = list(columns if columns is not None else getattr(rows[0], "_fields", ()) if len(rows) else ())
    if not names or any(len(row) != len(names) for row in rows):
        raise CourseError(
            f"The rows do not fit the columns {names}.", "Give one name a column, and rows of as many cells."
        )
    if not (title.strip() and alt.strip()):
        raise CourseError(
            "A table needs a title and alt, and one of them is empty.", "Say in a sentence what it shows."
        )
    cells = [["" if row[i] is None else str(row[i]) for row in rows] for i in range(len(names))]
    widths = _widths(names, cells)
    width = min(WIDTH, max(20 + sum(widths), 20 + TITLE_LETTER * len(title), NARROW))
    caption = textwrap.wrap(alt, int((width - 20) / LETTER))
    lines = [max(math.ceil(len(cell) * LETTER / (width - 16)) for cell, width in zip(row, widths, strict=True))
             for row in zip(*cells, strict=True)]  # fmt: skip
    figure = Figure(
        go.Table(
            columnwidth=widths,
            header=dict(values=[f"<b>{_plain(name)}</b>" for name in names]),
            cells=dict(values=[[_plain(cell) for cell in column] for column in cells], height=LINE + 5),
        )
    )
    for part in (figure.data[0].header, figure.data[0].cells):
        part.update(align="left", fill_color="rgba(0,0,0,0)", line_color=GRID, font=dict(color=INK, size=12))
    figure.update_layout(
        template=TEMPLATE,
        title=dict(text=title, subtitle=dict(text="<br>".join(map(_plain, caption)), font=dict(size=12, color=INK))),
        meta={"alt": alt},
        width=round(width),
        height=92 + 18 * len(caption) + sum(LINE * max(1, count) + 7 for count in lines),
        margin=dict(l=10, r=10, t=48 + 18 * len(caption), b=10),
    )
    return figure


def _widths(names: list[str], cells: list[list[str]]) -> list[float]:
    """The width of each column in pixels: what its longest cell needs; where all do not fit, the widest gives way."""
    needed = [max(map(len, [name, *column])) * LETTER + 24 for name, column in zip(names, cells, strict=True)]
    widest = needed.index(max(needed))
    others = sum(needed) - needed[widest]
    needed[widest] = min(needed[widest], max(120.0, WIDTH - 20 - others))
    return needed


def _plain(text: str) -> str:
    """Text that plotly must not read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
