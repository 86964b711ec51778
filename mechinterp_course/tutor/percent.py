"""Reads a file in jupytext's percent format into cells (the part of the format described in `content/README.md`).

jupytext takes half a second to import: too long for `mechinterp status`. Tests hold this reader against it, on every file of
the course and on odd ones; what the two could read differently is refused. Imports nothing of the package but its error.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import CourseError


@dataclass(frozen=True)
class Cell:
    """One cell of a percent file: its type, its marks (`card`, `answer`, `id`, ...), its text and the line it starts on."""

    type: str  # "markdown", "code" or "raw"
    marks: dict[str, str]
    source: str
    line: int


def read_cells(path: Path) -> tuple[Cell, ...]:
    """Return the cells of a percent file."""
    if not path.is_file():
        raise CourseError(
            f"{path.parent.name} has no {path.name}.", "See content/README.md for what a lesson folder holds."
        )
    return parse_cells(path.read_text(encoding="utf-8"), f"{path.parent.name}/{path.name}, ")


_MARKER = re.compile(r"^#\s*%%(?=\s|$)(.*)$")
_TYPE = re.compile(r"^[^\"]*?\s\[(markdown|raw)\](?=\s|$)")
_MARK = re.compile(r'(\w+)="([^"]*)"')
_ALMOST_MARKER = re.compile(r"^\s*#\s*%%")
_MAGIC = re.compile(r"^\s*#+\s*[%!?]+\s*[A-Za-z]")


def parse_cells(text: str, where: str = "") -> tuple[Cell, ...]:
    """Return the cells of a percent file's text; `where` opens the error messages."""
    cells, lines, kind, marks, start, quote = [], [], "", {}, 0, ""

    def close():
        if kind:
            body = lines if kind == "code" else [re.sub(r"^# ?", "", line) for line in lines]
            cells.append(Cell(kind, marks, "\n".join(body).strip("\n"), start))

    for number, line in enumerate(_without_header(text.splitlines()), 1):
        found = None if quote else _MARKER.match(line)
        if found:
            close()
            named = _TYPE.match(found[1])
            kind, marks = named[1] if named else "code", dict(_MARK.findall(found[1]))
            lines, start = [], number
            continue
        if not quote:
            _refuse_doubtful(line, kind, f"{where}line {number}")
        lines.append(line)
        if kind == "code":
            quote = _open_quote(line, quote)
    close()
    return tuple(cells)


def _without_header(lines: list[str]) -> list[str]:
    """Return the lines with jupytext's header (between two lines `# ---`, at the top) blanked out."""
    if lines and lines[0] == "# ---" and "# ---" in lines[1:]:
        end = lines.index("# ---", 1) + 1
        return [""] * end + lines[end:]
    return lines


def _refuse_doubtful(line: str, kind: str, where: str) -> None:
    """Raise for a line that an editor and this reader would take for different things; `kind` is "" before the first cell."""
    if _ALMOST_MARKER.match(line):
        raise CourseError(
            f"{where}: this is almost the start of a cell.", "Write `# %%` or `# %% [markdown]`, not indented."
        )
    if not kind and line.strip():
        raise CourseError(f"{where}: this stands before the first cell.", "Put `# %%` or `# %% [markdown]` above it.")
    if kind in ("markdown", "raw") and line.strip() and not line.startswith("#"):
        raise CourseError(f"{where}: a {kind} cell holds comments only.", "Put `# ` before the text.")
    if kind == "code" and _MAGIC.match(line):
        raise CourseError(f"{where}: jupytext would run this comment as a magic command.", "Put another word first.")


# In code outside a triple quote: the start of one, a whole short string, or a comment; inside: an escape, or its end.
_OUTSIDE = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|#.*')
_INSIDE = {quote: re.compile(rf"\\.|{quote}") for quote in ('"""', "'''")}


def _open_quote(line: str, quote: str) -> str:
    """Return the triple quote that is open after this line of code, or "": inside one, `# %%` starts no cell."""
    at = 0
    while found := (_INSIDE[quote] if quote else _OUTSIDE).search(line, at):
        at = found.end()
        if quote and found[0] == quote:
            quote = ""
        elif not quote and found[0] in _INSIDE:
            quote = found[0]
    return quote
