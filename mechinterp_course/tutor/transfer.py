"""A learner's work in one file, to carry to another computer without git: `mechinterp export`, `mechinterp import`.

The file is a zip with the notebooks, every event of `progress.jsonl`, and a note of the release. Importing is a union: events
are added once, notebooks are brought together cell by cell (`union.py`), and what is changed here is backed up first.
Imports nothing of Jupyter.
"""

import json
import os
import platform
import zipfile
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from .. import __version__
from ..errors import CourseError
from . import events, notebook, workspace
from .union import Union, unite
from .workspace import Workspace

ABOUT = "mechinterp.json"
MOST_BYTES = 2_000_000_000  # of one unpacked file: more is no notebook


@dataclass
class Imported:
    """What an import did: events that are new here, and for each notebook what came."""

    machine: str
    events: int = 0
    damaged: int = 0
    whole: list[str] = field(default_factory=list)  # notebooks that were not here, or untouched
    united: dict[str, Union] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)  # notebooks that could not be united, saved under another name
    backup: Path | None = None


# --- out ------------------------------------------------------------------------------------------------------------


def export(ws: Workspace, target: Path | None = None) -> Path:
    """Write the learner's notebooks and events into a new zip file and return its path. The workspace is left as it is."""
    target = _target(target)
    about = {"version": __version__, "release": ws.about.get("release", ""), "machine": platform.node()}
    part = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(ABOUT, json.dumps(about, indent=1) + "\n")
            file.writestr(events.FILE, "".join(event.to_line() + "\n" for event in events.load(ws.root)))
            for path in _notebooks(ws):
                file.write(path, f"notebooks/{path.relative_to(ws.root).as_posix()}")
            for path in sorted(ws.base.rglob("*.ipynb")):
                file.write(path, f"base/{path.relative_to(ws.base).as_posix()}")
        part.replace(target)
    except OSError as error:
        raise CourseError(
            f"{target} cannot be written ({error.strerror or error}).", "Name another place: mechinterp export FILE."
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return target


def _target(target: Path | None) -> Path:
    target = Path(target or ".").expanduser()
    if target.is_dir():
        target /= f"mechinterp-{datetime.now():%Y-%m-%d_%H-%M}.zip"
    if target.exists():
        raise CourseError(f"{target} exists already.", "Name another file: mechinterp export FILE.")
    if not target.parent.is_dir():
        raise CourseError(f"There is no folder {target.parent}.", "Make it, or name a file elsewhere.")
    return target.resolve()


def _notebooks(ws: Workspace) -> list[Path]:
    """Return the notebooks of the workspace, the learner's own ones too; hidden folders stay out."""
    found = sorted(ws.root.rglob("*.ipynb"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(ws.root).parts)]


# --- in -------------------------------------------------------------------------------------------------------------


def import_(ws: Workspace, source: Path) -> Imported:
    """Bring the work in an exported file into this workspace and return what came.

    Raises CourseError where the file is not an export; then nothing is changed.
    """
    try:
        with zipfile.ZipFile(Path(source).expanduser()) as file:
            names = _checked(ws, file, source)
            about = json.loads(file.read(ABOUT))
            result = Imported(str(about.get("machine") or "another computer"))
            _bring_notebooks(ws, file, names, result)
            _bring_events(ws, file, result)
    except FileNotFoundError:
        raise CourseError(f"There is no file {source}.", "Name the file that `mechinterp export` made.") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, AttributeError, KeyError, EOFError):
        raise _foreign(source) from None
    except OSError as error:
        raise CourseError(
            f"The import stopped: {error.strerror or error}.",
            "Mend that and import the file again: nothing comes twice.",
        ) from None
    return result


def _foreign(source: Path) -> CourseError:
    return CourseError(f"{source} is not a file that `mechinterp export` made, or it is damaged.", "Export it again.")


def _checked(ws: Workspace, file: zipfile.ZipFile, source: Path) -> list[str]:
    """Return the names in the zip; refuse one that is damaged, too large, or would write outside the workspace."""
    names = file.namelist()
    safe = all(_stays_inside(name.removeprefix("notebooks/").removeprefix("base/"), ws.root) for name in names)
    if ABOUT not in names or events.FILE not in names or not safe or file.testzip() is not None:
        raise _foreign(source)
    if any(entry.file_size > MOST_BYTES for entry in file.infolist()):
        raise _foreign(source)
    return names


def _stays_inside(name: str, root: Path) -> bool:
    """Whether a path of the zip leads to a file inside the workspace: not up, not from the root of a disk."""
    goes_up = ".." in PurePosixPath(name).parts or "\\" in name
    return not goes_up and Path(os.path.normpath(root.absolute() / name)).is_relative_to(root.absolute())


def _bring_events(ws: Workspace, file: zipfile.ZipFile, result: Imported) -> None:
    """Add the events that are not here yet, in one write, after the notebooks: an import that stopped is run again."""
    known = {event.id for event in events.load(ws.root)}
    new = []
    for line in file.read(events.FILE).decode("utf-8-sig", errors="replace").split("\n"):
        event = events.parse(line) if line.strip() else None
        result.damaged += bool(line.strip()) and event is None
        if event and event.id not in known:
            known.add(event.id)
            new.append(event)
    if new:
        events.append(ws.root / events.FILE, "\n".join(event.to_line() for event in new))
    result.events = len(new)


def _bring_notebooks(ws: Workspace, file: zipfile.ZipFile, names: list[str], result: Imported) -> None:
    # Read everything before anything is written: a file that is damaged changes nothing.
    texts = {name.removeprefix("notebooks/"): file.read(name) for name in names if name.startswith("notebooks/")}
    bases = {name.removeprefix("base/"): file.read(name) for name in names if name.startswith("base/")}
    texts = {name: text.decode("utf-8") for name, text in texts.items() if name.endswith(".ipynb")}
    backup = workspace.new_backup(ws)
    for relative, text in texts.items():
        base = bases.get(relative)
        _bring(ws, relative, text, base.decode("utf-8") if base else None, backup, result)
    result.backup = backup if backup.is_dir() else None


def _bring(ws: Workspace, relative: str, text: str, base: str | None, backup: Path, result: Imported) -> None:
    """Bring one notebook: as it is where this one is missing or untouched, cell by cell where both were written in."""
    path = ws.root / relative
    there = notebook.parsed(text)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    if not path.is_file():
        notebook.write(path, text)
        result.whole.append(relative)
        return
    here = notebook.parsed(path.read_text(encoding="utf-8", errors="replace"))
    kept = ws.base / relative
    released = notebook.parsed(kept.read_text(encoding="utf-8")) if kept.is_file() else None
    if here is None or there is None or not (released or base):
        _beside(path, text, relative, result)
        return
    theirs = notebook.parsed(base) if base else None
    united = unite(released or theirs, here, there, theirs)
    if united.taken or united.differ or united.added:
        workspace.back_up(ws, path, backup)
        notebook.write(path, notebook.dumps(united.notebook))
        result.united[relative] = united


def _beside(path: Path, text: str, relative: str, result: Imported) -> None:
    """Save the other computer's notebook under a name of its own, once."""
    n = 1
    while (other := path.with_name(f"{path.stem}.other{n}.ipynb")).exists():
        if other.read_text(encoding="utf-8", errors="replace") == text:
            return
        n += 1
    notebook.write(other, text)
    result.beside.append(f"{PurePosixPath(relative).parent}/{other.name}")
