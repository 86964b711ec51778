"""A new release of a notebook brought into the learner's, cell by cell, by cell id. Pure: dictionaries in, a dictionary out.

The cells of the release stand in the order of the new release. The learner's own cells stay behind the cell that they
followed. An answer stays the learner's; a check cell is always the release's; prose and demo cells are the release's, and
where the learner changed one, theirs stays (the release did not change it) or stands behind the new one (it did).
Nothing that the learner wrote is dropped (a change to a check cell aside, which the backup holds): an answer that loses its
place is kept at the end. Merging twice changes nothing.
"""

import hashlib
from dataclasses import dataclass, field

from .notebook import by_id, cell_id, grading, is_answer, is_check, source, with_source
from .renaming import defined, names_in, renamed_source

KEPT_HEADING = "kept-answers"
KEPT_TEXT = (
    "## Kept from an earlier version\n\nThese exercises are not in the course any more. Your answers stay here; "
    "nothing checks them."
)


@dataclass
class Merged:
    """The merged notebook, and what a learner wants to know about it. Exercises are named by their answer cell's id."""

    notebook: dict = field(repr=False)
    kept_answers: list[str] = field(default_factory=list)
    new_exercises: list[str] = field(default_factory=list)
    changed_starters: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    own_cells: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class _Mine:
    """The learner's notebook, sorted: `released` by id, `own` cells by the id of the released cell that they follow."""

    known: dict[str, dict]  # the cells of both releases
    released: dict[str, dict] = field(default_factory=dict)
    own: dict[str, list[dict]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def merge(base: dict, mine: dict, new: dict, renames: dict[str, str] | None = None) -> Merged:
    """Return `new` with everything that the learner wrote into `mine`, which was made from `base`.

    `renames` maps the former id of an answer cell to its present one.
    """
    # JupyterLab writes what it knows of the kernel into the metadata; only what the course says of itself is replaced.
    metadata = {**new.get("metadata", {}), **mine.get("metadata", {})}
    if "mechinterp" in new.get("metadata", {}):
        metadata["mechinterp"] = new["metadata"]["mechinterp"]
    merged = Merged({**new, "cells": [], "metadata": metadata})
    new_cells = by_id(new)
    pairs = _renamed(by_id(base), new_cells, renames or {})
    base_cells = by_id(_relabelled(base, pairs))
    # What stands in `mine` under an id of the new release came with an update that was interrupted.
    sorted_mine = _sort(_relabelled(mine, pairs), {**new_cells, **base_cells})
    cells = merged.notebook["cells"]
    behind = _anchors(sorted_mine, new_cells)

    def followers(name: str) -> list[dict]:
        found = []
        for anchor in behind.get(name, ()):
            found += _leftover(anchor, sorted_mine, base_cells, new_cells) + _own(sorted_mine, anchor, merged)
        return found

    cells += _own(sorted_mine, "", merged) + followers("")
    for cell in new["cells"]:
        name = cell_id(cell)
        cells += _released_cell(name, cell, base_cells.get(name), sorted_mine, merged)
        cells += followers(name)
    _keep_removed(cells, sorted_mine, base_cells, new_cells, merged)
    _note_renamed(pairs, sorted_mine, base_cells, merged)
    _unique_ids(cells)
    return merged


# --- sorting the learner's cells ------------------------------------------------------------------------------------


def _sort(mine: dict, known: dict[str, dict]) -> _Mine:
    """Tell the learner's own cells from the released ones; of two cells with one id, one is the released cell."""
    chosen = _choose(mine["cells"], known)
    result = _Mine(known)
    anchor = ""
    for at, cell in enumerate(mine["cells"]):
        name = chosen.get(at)
        if name is not None:
            result.released[name] = cell
            result.order.append(name)
            anchor = name
        elif source(cell).strip() and source(cell) != source(known.get(cell_id(cell), {})):
            result.own.setdefault(anchor, []).append(cell)
    return result


def _choose(cells: list[dict], known: dict[str, dict]) -> dict[int, str]:
    """Return which cell (by position) is which released cell: by id, then by what it defines, then by its text."""
    chosen: dict[int, str] = {}
    taken: dict[str, int] = {}
    for at, cell in enumerate(cells):
        name = cell_id(cell)
        if name not in known:
            continue
        if name in taken:
            # A copied cell: the copy that was written in is the answer.
            before = cells[taken[name]]
            unwritten = source(before).strip() in ("", source(known[name]).strip())
            if not (unwritten and source(cell).strip()):
                continue
            del chosen[taken[name]]
        chosen[at], taken[name] = name, at
    for at, cell in enumerate(cells):
        if at in chosen:
            continue
        for name, released in known.items():
            pasted = is_answer(released) and cell.get("cell_type") == "code" and name in defined(source(cell))
            if name not in taken and (pasted or (not cell.get("id") and source(cell) == source(released))):
                chosen[at], taken[name] = name, at
                break
    return chosen


def _anchors(mine: _Mine, new_cells: dict[str, dict]) -> dict[str, list[str]]:
    """Return, for each cell of the new release, the ids (itself and removed ones) whose followers now stand behind it."""
    behind: dict[str, list[str]] = {}
    present = ""
    for name in mine.order:
        if name in new_cells:
            present = name
        behind.setdefault(present, []).append(name)
    return behind


# --- released cells -------------------------------------------------------------------------------------------------


def _released_cell(name: str, cell: dict, base: dict | None, mine: _Mine, merged: Merged) -> list:
    """Return what stands in the place of one cell of the new release: usually one cell, two where both changed it."""
    theirs = mine.released.get(name)
    if is_answer(cell):
        return [_answer(name, cell, base, theirs, merged)]
    if is_check(cell):
        return [_refreshed(cell, theirs)]
    if theirs is None:
        # A cell of prose that the learner deleted stays deleted; one that the release brings is new.
        return [cell] if base is None else []
    base = base or cell
    if source(theirs) in (source(base), source(cell)):
        return [_refreshed(cell, theirs)]
    if source(base) == source(cell) and theirs.get("cell_type") == cell.get("cell_type"):
        return [_with_theirs(cell, theirs)]
    return [cell, _as_own(theirs)] if source(theirs).strip() else [cell]


def _answer(name: str, cell: dict, base: dict | None, theirs: dict | None, merged: Merged) -> dict:
    if theirs is None:
        if base is None:
            merged.new_exercises.append(name)
        return cell
    base = base or cell
    if _unwritten(theirs, base, cell):
        return _refreshed(cell, theirs)
    merged.kept_answers.append(name)
    if source(base) != source(cell):
        merged.changed_starters.append(name)
    return _with_theirs(cell, theirs)


def _unwritten(theirs: dict, *starters: dict) -> bool:
    """Whether the learner has not written anything into an answer cell yet."""
    return source(theirs).strip() in {"", *(source(starter).strip() for starter in starters)}


def _refreshed(cell: dict, theirs: dict | None) -> dict:
    """Return the release's cell, with the learner's outputs where the text is still the same."""
    same = theirs is not None and source(theirs) == source(cell) and theirs.get("cell_type") == cell.get("cell_type")
    return _with_theirs(cell, theirs) if same else cell


def _with_theirs(cell: dict, theirs: dict) -> dict:
    """Return the release's cell with the learner's text and outputs."""
    kept = with_source(cell, source(theirs))
    kept["metadata"] = {**theirs.get("metadata", {}), **cell.get("metadata", {})}
    if cell.get("cell_type") == "code":
        kept["outputs"] = theirs.get("outputs", [])
        kept["execution_count"] = theirs.get("execution_count")
    if theirs.get("attachments"):
        kept["attachments"] = theirs["attachments"]
    return kept


# --- the learner's own cells ----------------------------------------------------------------------------------------


def _own(mine: _Mine, anchor: str, merged: Merged) -> list[dict]:
    cells = mine.own.get(anchor, [])
    merged.own_cells += len(cells)
    # A copy of a released cell must not be taken for the real one.
    return [_as_own(cell) if grading(cell) or cell_id(cell) in mine.known else cell for cell in cells]


def _as_own(cell: dict) -> dict:
    """Return a cell that came with the release as a cell of the learner's: its own id, nothing of nbgrader."""
    metadata = {k: v for k, v in cell.get("metadata", {}).items() if k not in ("nbgrader", "deletable", "editable")}
    mark = hashlib.sha256(f"{cell_id(cell)}\n{source(cell)}".encode()).hexdigest()[:12]
    return {**cell, "metadata": metadata, "id": f"own-{mark}"}


def _leftover(name: str, mine: _Mine, base_cells: dict, new_cells: dict) -> list[dict]:
    """Return the learner's version of a prose or demo cell that the new release has dropped, where they changed it."""
    cell = mine.released.get(name)
    if name in new_cells or cell is None or is_answer(base_cells[name]) or is_check(base_cells[name]):
        return []
    return [_as_own(cell)] if source(cell) != source(base_cells[name]) and source(cell).strip() else []


def _keep_removed(cells: list, mine: _Mine, base_cells: dict, new_cells: dict, merged: Merged) -> None:
    """Put the answers to exercises that are gone at the end, under a heading."""
    kept = []
    for name in mine.order:
        cell, base = mine.released[name], base_cells.get(name)
        if name in new_cells or base is None or not is_answer(base):
            continue
        if not _unwritten(cell, base):
            kept.append(_as_own(cell))
            merged.removed.append(name)
    if kept and not any(cell_id(cell) == KEPT_HEADING for cell in cells):
        cells.append({"cell_type": "markdown", "id": KEPT_HEADING, "metadata": {}, "source": [KEPT_TEXT]})
    cells += kept


def _unique_ids(cells: list[dict]) -> None:
    """Give a new id to every cell whose id is missing, or taken by an earlier cell."""
    seen: set[str] = set()
    for at, cell in enumerate(cells):
        name = str(cell.get("id") or "")
        n = 2
        while not name or name in seen:
            name = f"own-{hashlib.sha256(f'{n}{source(cell)}'.encode()).hexdigest()[:12]}"
            n += 1
        seen.add(name)
        if name != cell.get("id"):
            cells[at] = {**cell, "id": name}


# --- renamed exercises ----------------------------------------------------------------------------------------------


def _renamed(base_cells: dict, new_cells: dict, renames: dict[str, str]) -> dict[str, str]:
    """Return the exercises that have another name in the new release, as {former name: name}."""
    pairs: dict[str, str] = {}
    for old, name in renames.items():
        gone, came = old in base_cells and old not in new_cells, name in new_cells and name not in base_cells
        if gone and came and name not in pairs.values():
            pairs[old] = name
    return pairs


def _relabelled(made: dict, pairs: dict[str, str]) -> dict:
    """Return the notebook with the cells of renamed exercises under their new ids, and the function renamed where it is safe."""
    return {**made, "cells": [_relabelled_cell(cell, pairs) for cell in made["cells"]]}


def _relabelled_cell(cell: dict, pairs: dict[str, str]) -> dict:
    label = cell_id(cell)
    for old, name in pairs.items():
        if label == old:
            return {**with_source(cell, renamed_source(source(cell), old, name)[0]), "id": name}
        if label.startswith(f"{old}-"):
            return {**cell, "id": name + label.removeprefix(old)}
    return cell


def _note_renamed(pairs: dict[str, str], mine: _Mine, base_cells: dict, merged: Merged) -> None:
    """Write down which answers moved to a new name, and what the learner still has to rename."""
    for old, name in pairs.items():
        if name not in merged.kept_answers:
            continue
        merged.renamed.append((old, name))
        if old in defined(source(mine.released[name])) or name not in defined(source(mine.released[name])):
            merged.notes.append(f"{name} was called {old}: rename the function in your answer to {name}.")
        if callers := _callers(mine, base_cells, name, old):
            cells = "1 other cell of yours calls" if callers == 1 else f"{callers} other cells of yours call"
            merged.notes.append(f"{cells} {old}: it is now called {name}.")


def _callers(mine: _Mine, base_cells: dict, name: str, old: str) -> int:
    """Return how many of the cells that the learner wrote, the answer itself aside, use the former name."""
    cells = [
        cell
        for key, cell in mine.released.items()
        if key != name and not is_check(cell) and source(cell) != source(base_cells.get(key, {}))
    ]
    cells += [cell for group in mine.own.values() for cell in group]
    return sum(old in names_in(source(cell)) for cell in cells if cell.get("cell_type") == "code")
