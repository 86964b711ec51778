"""`mechinterp update`: a new release brought into a workspace. The merging itself is in `merge.py`.

A notebook is written before its base copy, and the workspace is stamped last. Merging twice changes nothing, so an update
that was stopped half-way is finished by running it again. Imports nothing of Jupyter.
"""

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CourseError
from . import notebook, workspace
from .catalog import Course, notebooks_root
from .merge import Merged, merge
from .workspace import Workspace


@dataclass
class Change:
    """What an update did to one notebook. `trouble` says why it was left as it is."""

    path: str
    is_new: bool = False
    was: str = ""  # its former name, where it had another
    merged: Merged | None = None
    trouble: CourseError | None = None


@dataclass
class Update:
    """What an update did (or, with `dry_run`, would do)."""

    changes: list[Change] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # notebooks of lessons that are not in the course any more
    backup: Path | None = None
    dry_run: bool = False
    was_current: bool = False

    @property
    def troubles(self) -> list[CourseError]:
        return [change.trouble for change in self.changes if change.trouble]


def update(ws: Workspace, course: Course, dry_run: bool = False) -> Update:
    """Bring the installed release into the workspace and return what changed."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(ws.hidden / "update.lock", timeout=0):
            return _update(ws, course, dry_run)
    except Timeout:
        raise CourseError(
            "Another update of this workspace is under way.", "Wait until it is done, then run `mechinterp update`."
        ) from None
    except OSError as error:
        raise CourseError(
            f"The update could not write in {ws.root}: {error.strerror or error}.",
            "Every notebook is whole, old or new. Mend that and run `mechinterp update` again.",
        ) from None


def _update(ws: Workspace, course: Course, dry_run: bool) -> Update:
    result = Update(dry_run=dry_run, was_current=not ws.is_outdated)
    backup = workspace.new_backup(ws)
    released = workspace.release_files()
    for relative in released:
        change = _bring(ws, relative, _former(ws, relative, released), course.renamed, None if dry_run else backup)
        if change:
            result.changes.append(change)
    result.left = _retire(ws, released, dry_run)
    result.backup = backup if backup.is_dir() else None
    if not dry_run and not result.troubles:
        workspace.stamp(ws)
    return result


def _former(ws: Workspace, relative: str, released: list[str]) -> str:
    """Return the path that this notebook had in the workspace's release: a lesson keeps its number, not always its name."""
    if (ws.base / relative).is_file():
        return relative
    folder, number = relative.split("/")[0], Path(relative).name[:3]
    if number[:2].isdigit() and number.endswith("_"):
        for path in sorted((ws.base / folder).rglob(f"{number}*.ipynb")):
            old = path.relative_to(ws.base).as_posix()
            if old not in released:
                return old
    return relative


def _bring(ws: Workspace, relative: str, former: str, renames: dict[str, str], backup: Path | None) -> Change | None:
    """Bring one notebook up to date; return None where nothing changes. Without a backup folder nothing is written."""
    text = (notebooks_root() / relative).read_text(encoding="utf-8")
    new = notebook.load(notebooks_root() / relative)
    target = ws.root / relative
    try:
        found = _find(ws, former, relative)
        if found is None:
            change = Change(relative, is_new=not (ws.base / former).is_file())
            made = text
        else:
            mine = notebook.load(found)
            base_path = ws.base / former
            merged = merge(notebook.load(base_path) if base_path.is_file() else new, mine, new, renames)
            was = found.relative_to(ws.root).as_posix()
            change = Change(relative, was="" if was == relative else was, merged=merged)
            # Unchanged in substance: leave the file alone, however it is laid out.
            made = "" if _split(merged.notebook) == _split(mine) and not change.was else notebook.dumps(merged.notebook)
    except CourseError as trouble:
        return Change(relative, trouble=trouble)
    if backup:
        if made:
            _replace(ws, found, target, made, backup)
        if former != relative:
            (ws.base / former).unlink(missing_ok=True)
        notebook.write(ws.base / relative, text)
    return change if made else None


def _find(ws: Workspace, former: str, relative: str) -> Path | None:
    """Return the learner's notebook, under its name, its former name or a name of theirs; None where there is none."""
    for path in (ws.root / relative, ws.root / former):
        if path.is_file():
            return path
    if not (ws.base / former).is_file():
        return None
    try:
        return workspace.locate(ws, former)
    except CourseError:
        return None


def _split(made: dict) -> dict:
    """Return the notebook with every text as a list of lines, as `merge` writes it."""
    return {**made, "cells": [notebook.with_source(cell, notebook.source(cell)) for cell in made["cells"]]}


def _replace(ws: Workspace, found: Path | None, target: Path, text: str, backup: Path) -> None:
    if found:
        workspace.back_up(ws, found, backup)
    notebook.write(target, text)
    if found and found != target:
        found.unlink()  # it has moved to its name in the release; the backup holds it too


def _retire(ws: Workspace, released: list[str], dry_run: bool) -> list[str]:
    """Return the learner's notebooks of lessons that are gone; they stay where they are."""
    gone = [p for p in sorted(ws.base.rglob("*.ipynb")) if p.relative_to(ws.base).as_posix() not in released]
    left = []
    for path in gone:
        relative = path.relative_to(ws.base).as_posix()
        if (ws.root / relative).is_file():
            left.append(relative)
        if not dry_run:
            path.unlink()
    return left
