"""Two versions of one learner's notebook, from two computers, brought together cell by cell. Pure: dictionaries in, a dictionary out.

What was written on one computer only is taken. Where both wrote something else into one
cell, this computer's stays and the other's text stands behind it as a quotation, which runs nothing. Nothing that either
of them wrote is dropped, and bringing the same version in twice changes nothing.
"""

import hashlib
from dataclasses import dataclass, field

from .notebook import by_id, cell_id, is_check, source, with_source

QUOTED = "From your other computer"


@dataclass
class Union:
    """The notebook with both versions, and what a learner wants to know about it: cell ids."""

    notebook: dict = field(repr=False)
    taken: list[str] = field(default_factory=list)  # written on the other computer only
    differ: list[str] = field(default_factory=list)  # written on both, and not alike
    added: int = 0  # the other computer's own cells


def unite(base: dict, mine: dict, other: dict, other_base: dict | None = None) -> Union:
    """Return `mine` with what was written in `other`. `base` is what `mine` was made from; `other_base`, if it is another release."""
    here, there = by_id(mine), by_id(other)
    bases = [by_id(made) for made in (base, other_base) if made]
    released = {**bases[-1], **bases[0]}
    result = Union({**mine, "cells": []})
    cells = result.notebook["cells"]
    behind = _behind(other, released, bases, here)
    texts = {source(cell).strip() for made in bases for cell in made.values()}
    texts |= {source(cell).strip() for cell in mine["cells"]} | {""}
    cells += _new(behind.get("", []), texts, result)
    for cell in mine["cells"]:
        name = cell_id(cell)
        theirs = there.get(name) if here.get(name) is cell else None
        cells += [cell] if theirs is None else _both(cell, theirs, _unwritten(name, bases), mine, result)
        cells += _new(behind.pop(name, []), texts, result) if name else []
    return result


def _unwritten(name: str, bases: list[dict]) -> set[str]:
    """Return the texts of a cell in which nobody has written: empty, or as released."""
    return {"", *(source(base[name]).strip() for base in bases if name in base)}


def _both(cell: dict, theirs: dict, unwritten: set[str], mine: dict, result: Union) -> list[dict]:
    """Return what stands in the place of a cell that both have."""
    written = source(theirs)
    if is_check(cell) or written.strip() in unwritten or written == source(cell):
        return [cell]
    if source(cell).strip() in unwritten:
        result.taken.append(cell_id(cell))
        return [_with_text(cell, theirs)]
    quotation = _quoted(theirs)
    if any(cell_id(own) == quotation["id"] for own in mine["cells"]):
        return [cell]
    result.differ.append(cell_id(cell))
    return [cell, quotation]


def _with_text(cell: dict, theirs: dict) -> dict:
    """Return this computer's cell with the other's text and outputs."""
    taken = with_source(cell, source(theirs))
    if cell["cell_type"] == "code" and theirs["cell_type"] == "code":
        taken["outputs"], taken["execution_count"] = theirs.get("outputs", []), None
    return taken


def _quoted(cell: dict) -> dict:
    """Return the text of a cell as a quotation: code in a fence, so that running all cells does not run it."""
    text = source(cell)
    code = cell.get("cell_type") == "code"
    fence = "`" * 3
    while fence in text:
        fence += "`"
    body = f"{fence}python\n{text}\n{fence}" if code else text
    mark = hashlib.sha256(f"{cell_id(cell)}\n{text}".encode()).hexdigest()[:12]
    told = f"*{QUOTED}:*\n\n{body}\n"
    return {
        "cell_type": "markdown",
        "id": f"other-{mark}",
        "metadata": {},
        "source": told.splitlines(keepends=True),
    }


def _behind(other: dict, released: dict, bases: list[dict], here: dict) -> dict[str, list[dict]]:
    """Return the other computer's own cells by the id of the cell here behind which they stand."""
    found: dict[str, list[dict]] = {}
    anchor = ""
    for cell in other["cells"]:
        name = cell_id(cell)
        if name in here:
            anchor = name
        elif name not in released:
            found.setdefault(anchor, []).append(cell)
        elif not is_check(cell) and source(cell).strip() not in _unwritten(name, bases):
            found.setdefault(anchor, []).append(_quoted(cell))  # written there, and deleted here
    return found


def _new(cells: list[dict], texts: set[str], result: Union) -> list[dict]:
    """Return those of the other computer's own cells that say something new; `texts` stand here, or were released."""
    fresh = []
    for cell in cells:
        if source(cell).strip() not in texts:
            texts.add(source(cell).strip())
            fresh.append(cell)
    result.added += len(fresh)
    return fresh
