"""A submission, rebuilt from the release before anything of it runs: `rebuild(release, submission)`.

Cells, order, points and metadata are the release's; of the student's notebook only the text of their answers, of their edits to
setup and demo cells, and of cells of their own is taken. What was mended is told in sentences. Nothing is run.
"""

import ast
import json
import re
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

from ...errors import CourseError
from .release import Release, ReleaseCell

MAX_BYTES = 30 * 2**20
MAX_CELLS = 2000
MAX_SOURCE = 400_000
ALIKE = 0.6  # how much of a cell without an id must be the release's for it to be that cell
KNOWN_KEYS = {"cell_type", "id", "metadata", "source", "outputs", "execution_count", "attachments"}
HARMLESS_TAGS = {"collapsed", "scrolled"}
ASK_AGAIN = "Ask the student to save the notebook in JupyterLab and to hand it in again."


@dataclass(frozen=True)
class Cell:
    """A cell to grade. `role`: as in the release, or "own" for a cell that the student added."""

    id: str
    role: str
    kind: str  # "code", "markdown" or "raw"
    source: str
    release: ReleaseCell | None = None


@dataclass
class Rebuilt:
    """The notebook to run, and what had to be mended."""

    cells: list[Cell] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


@dataclass
class _Given:
    """A cell as the student handed it in."""

    id: str
    grade_id: str
    kind: str
    source: str
    tags: list[str]
    keys: list[str]
    at: int
    used: bool = False


def rebuild(release: Release, submission: str | bytes) -> Rebuilt:
    """Return the submission rebuilt from the release. Raises CourseError where it is no notebook."""
    made = Rebuilt()
    given = _read(submission, made)
    _tell_of_foreign_metadata(release, given, made)
    matched = _match(release, given, made)
    ours = [_rebuilt(cell, matched.get(cell.id), made) for cell in release.cells]
    made.cells = _with_own(release, ours, matched, given, made)
    return made


# --- reading --------------------------------------------------------------------------------------------------------


def _read(submission: str | bytes, made: Rebuilt) -> list[_Given]:
    if len(submission) > MAX_BYTES:
        raise CourseError(f"The file has {len(submission) // 2**20} MiB.", "Ask for it again without its outputs.")
    try:
        text = submission.decode("utf-8-sig") if isinstance(submission, bytes) else submission.lstrip("\ufeff")
        notebook = json.loads(text)
    except UnicodeDecodeError:
        raise CourseError("The file is not text in UTF-8.", ASK_AGAIN) from None
    except (ValueError, RecursionError):
        said = "is empty" if not submission.strip() else "is not a notebook: it is not valid JSON"
        raise CourseError(f"The file {said}.", ASK_AGAIN) from None
    cells = _cells_of(notebook)
    if len(cells) > MAX_CELLS:
        raise CourseError(f"The notebook has {len(cells)} cells.", ASK_AGAIN)
    if any(not str(cell.get("id", "")) for cell in cells if isinstance(cell, dict)):
        made.repairs.append(
            "The notebook's cells have no ids (an older format): they were recognised by their contents."
        )
    return [one for at, cell in enumerate(cells) if (one := _given(cell, at, made)) is not None]


def _cells_of(notebook) -> list:
    if isinstance(notebook, dict) and isinstance(notebook.get("cells"), list):
        return notebook["cells"]
    sheets = notebook.get("worksheets") if isinstance(notebook, dict) else None  # the format before 2015
    if isinstance(sheets, list):
        return [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or []]
    raise CourseError("The file is not a notebook: it has no cells.", ASK_AGAIN)


def _given(cell, at: int, made: Rebuilt) -> _Given | None:
    source = cell.get("source", cell.get("input", "")) if isinstance(cell, dict) else None
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or len(source) > MAX_SOURCE:
        made.repairs.append(f"Cell {at + 1} could not be read and was left out.")
        return None
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    grading = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    tags = metadata.get("tags") if isinstance(metadata.get("tags"), list) else []
    kind = cell.get("cell_type")
    return _Given(
        id=_label(cell.get("id", "")),
        grade_id=_label(grading.get("grade_id", "")),
        kind=kind if kind in ("code", "markdown", "raw") else "markdown",
        source=source.replace("\r\n", "\n").encode("utf-8", "replace").decode(),  # half a letter cannot be saved
        tags=[_label(tag) for tag in tags[:20]],
        keys=[_label(key) for key in {*cell} - KNOWN_KEYS],
        at=at,
    )


def _label(value) -> str:
    """Return an id, a tag or a key as short text that a report can show."""
    return re.sub(r"[^\w.: -]", "?", str(value).encode("utf-8", "replace").decode())[:64]


def _tell_of_foreign_metadata(release: Release, given: list[_Given], made: Rebuilt) -> None:
    """Report tags and keys that the release does not have; none of them is taken over."""
    tags = sorted({tag for one in given for tag in one.tags} - HARMLESS_TAGS)
    if tags:
        made.repairs.append(f"Tags that the release does not have were dropped: {', '.join(tags[:8])}.")
    if any("skip" in tag for tag in tags):
        made.flags.append("A cell carries a tag that would keep it from running; the tag was dropped.")
    keys = sorted({key for one in given for key in one.keys})
    if keys:
        made.repairs.append(f"Keys that no notebook has were dropped: {', '.join(keys[:8])}.")
    graded = {cell.id for cell in release.cells if cell.grade_id}
    without = [one for one in given if one.id in graded and not one.grade_id]
    if without:
        made.repairs.append(f"{len(without)} graded cells had lost their metadata; they were recognised by their ids.")
    foreign = {one.grade_id for one in given if one.grade_id} - {cell.grade_id for cell in release.cells}
    if foreign:
        made.repairs.append(
            f"Graded cells that the release does not have were taken as ordinary cells: {', '.join(sorted(foreign)[:5])}."
        )


# --- which cell is which ---------------------------------------------------------------------------------------------


def _match(release: Release, given: list[_Given], made: Rebuilt) -> dict[str, _Given]:
    """Return the student's cell for each cell of the release that has one: by id, by grade id, by its text."""
    matched: dict[str, _Given] = {}
    for cell in release.cells:
        same = [one for one in given if not one.used and one.id == cell.id]
        same = same or [one for one in given if not one.used and cell.grade_id and one.grade_id == cell.grade_id]
        copies = [
            one for one in given if not one.used and one not in same and cell.grade_id and one.grade_id == cell.grade_id
        ]
        _take(cell, [*same, *copies], given, matched, made)
    for how in (_same_text, _defines, _alike):
        for cell in release.cells:
            if cell.id not in matched:
                _take(cell, [one for one in given if not one.used and how(cell, one)][:1], given, matched, made)
    return matched


def _take(cell: ReleaseCell, found: list[_Given], given: list[_Given], matched: dict, made: Rebuilt) -> None:
    if not found:
        return
    chosen = found[0]
    if len(found) > 1:
        made.repairs.append(f"The cell {cell.id} is there {len(found)} times.")
        if cell.role == "answer":
            chosen = _the_answer(cell, found)
            made.repairs.append(f"Of the copies of {cell.id}, the last one that differs from the release counts.")
        for one in found:  # a copy is nothing of its own, whatever it holds
            one.used = True
    chosen.used = True
    matched[cell.id] = chosen


def _the_answer(cell: ReleaseCell, found: list[_Given]) -> _Given:
    changed = [one for one in found if one.kind == "code" and one.source.strip() != cell.source.strip()]
    return changed[-1] if changed else found[0]


def _same_text(cell: ReleaseCell, one: _Given) -> bool:
    return bool(cell.source.strip()) and cell.source.strip() == one.source.strip()


def _defines(cell: ReleaseCell, one: _Given) -> bool:
    return cell.role == "answer" and one.kind == "code" and defines(one.source, cell.exercise)


def _alike(cell: ReleaseCell, one: _Given) -> bool:
    if one.id or cell.role != "code" or one.kind != "code":
        return False
    return SequenceMatcher(None, cell.source, one.source, autojunk=False).quick_ratio() > ALIKE and (
        SequenceMatcher(None, cell.source, one.source, autojunk=False).ratio() > ALIKE
    )


def defines(source: str, name: str) -> bool:
    """Whether code gives `name` a value at its outermost level; code with a mistake in it counts by its look."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.search(rf"^(def|async def|class)\s+{name}\b|^{name}\s*=", source, re.MULTILINE) is not None
    return any(_binds(node, name) for node in body)


def _binds(node: ast.stmt, name: str) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name == name
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return False


# --- putting it together ---------------------------------------------------------------------------------------------


def _rebuilt(cell: ReleaseCell, theirs: _Given | None, made: Rebuilt) -> Cell:
    """Return a cell of the release with the student's text where it is theirs to write."""
    kind = "markdown" if cell.role == "text" else "code"
    own = Cell(cell.id, cell.role, kind, cell.source, cell)
    if theirs is None:
        if cell.role != "text":
            made.repairs.append(f"The cell {cell.id} was deleted or renamed; the release's was put back.")
        return own
    if cell.role == "check" and _code_of(theirs.source) != _code_of(cell.source):
        made.repairs.append(f"The check cell {cell.id} was changed; the release's was used.")
        made.flags.append(f"The check cell {cell.id} was edited.")
    if cell.role in ("text", "check"):
        return own
    if theirs.kind != "code":
        made.repairs.append(f"The cell {cell.id} had become a {theirs.kind} cell; it was run as code.")
    if theirs.id != cell.id:
        made.repairs.append(f"The cell {cell.id} was recognised by its contents.")
    return replace(own, source=theirs.source)


def _code_of(source: str) -> str:
    return "\n".join(line.strip() for line in source.splitlines() if line.strip() and not line.strip().startswith("#"))


def _with_own(release: Release, ours: list[Cell], matched: dict, given: list[_Given], made: Rebuilt) -> list[Cell]:
    """Return the cells in the release's order, and the student's own cells behind the cell that they stood behind."""
    place = {matched[cell.id].at: i for i, cell in enumerate(ours) if cell.id in matched}
    behind: dict[int, list[Cell]] = {}
    last, number = -1, 0
    for one in given:
        if one.at in place:
            last = place[one.at]
        elif not one.used and one.source.strip():
            number += 1
            behind.setdefault(last, []).append(Cell(f"own-{number}", "own", one.kind, one.source))
    for i, cell in enumerate(ours):
        if cell.role == "answer":
            ours[i] = _whole_answer(ours, i, behind, made)
    cells = list(behind.get(-1, ()))
    for i, cell in enumerate(ours):
        cells += [cell, *behind.get(i, ())]
    return cells


def _whole_answer(ours: list[Cell], i: int, behind: dict[int, list[Cell]], made: Rebuilt) -> Cell:
    """Return an answer cell made whole: joined where it was split, fetched where it was written into another cell."""
    cell, name = ours[i], ours[i].release.exercise
    next_ones = [one for one in behind.get(i, ()) if one.kind == "code"]
    if not _parses(cell.source):
        halves = [(i, one, f"{cell.source}\n{one.source}") for one in next_ones[:1]]
        halves += [(i - 1, one, f"{one.source}\n{cell.source}") for one in behind.get(i - 1, [])[-1:]]
        for at, half, joined in halves:
            if _parses(joined):
                behind[at].remove(half)
                made.repairs.append(f"The cell {cell.id} was split in two; the halves were joined.")
                return replace(cell, source=joined)
    untouched = cell.source.strip() == cell.release.source.strip() or not defines(cell.source, name)
    if not untouched or any(defines(one.source, name) for one in next_ones):
        return cell
    until = next((k for k in range(i + 1, len(ours)) if ours[k].role == "answer"), len(ours))
    for k in range(i + 1, until):
        for one in behind.get(k, ()):
            if one.kind == "code" and defines(one.source, name):
                behind[k].remove(one)
                made.repairs.append(f"{name} was written in a cell of its own, behind its check; it was put before it.")
                return replace(
                    cell, source=f"{cell.source}\n\n{one.source}" if defines(cell.source, name) else one.source
                )
    return cell


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
