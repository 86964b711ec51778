"""The learner's own copy of the notebooks: making it, finding it again, backups.

    DIR/lessons/*.ipynb  DIR/exercises/NN_slug/NN_slug.ipynb    the learner's notebooks, laid out like the release
    DIR/progress.jsonl                                          what was done (`progress.py`)
    DIR/.mechinterp/                                            the release that they came from (base/), backups/, Jupyter's settings

Imports nothing of Jupyter and nothing heavy: `mechinterp status` goes through here.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .. import __version__
from ..errors import CourseError, unknown
from . import notebook, progress
from .catalog import Lesson, notebooks_root

HOME = "lessons/home.ipynb"
BEGIN = "`mechinterp start` makes one in ~/mechinterp; `mechinterp start DIR` makes it elsewhere."
_NOT_OURS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # what file managers leave behind; a folder with these is empty


@dataclass(frozen=True)
class Workspace:
    """A folder with the learner's notebooks."""

    root: Path

    @property
    def hidden(self) -> Path:
        return self.root / progress.MARKER

    @property
    def base(self) -> Path:
        """The released notebooks that the learner's were made from, untouched."""
        return self.hidden / "base"

    @property
    def about(self) -> dict:
        try:
            return json.loads((self.hidden / "workspace.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    @property
    def is_outdated(self) -> bool:
        """Whether the installed release holds other notebooks than the one that this workspace was made from."""
        return self.about.get("release") != fingerprint()

    def released(self, relative: str) -> dict:
        """Return a notebook as it was released to this workspace."""
        kept = self.base / relative
        return notebook.load(kept if kept.is_file() else notebooks_root() / relative)


def lab_path(lesson: Lesson) -> str:
    return f"exercises/{lesson.stem}/{lesson.stem}.ipynb"


def reading_path(lesson: Lesson) -> str:
    return f"lessons/{lesson.stem}.ipynb"


# --- finding --------------------------------------------------------------------------------------------------------


def find() -> Workspace:
    """Return the workspace: $MECHINTERP_WORKSPACE, the one around the current folder, or the last one used."""
    named = os.environ.get("MECHINTERP_WORKSPACE")
    if named:
        return _existing(Path(named), "MECHINTERP_WORKSPACE names")
    around = progress.find_workspace()
    if around:
        return Workspace(around)
    last = _remembered()
    if last:
        return _existing(last, "Your last workspace was")
    raise CourseError("There is no workspace yet.", BEGIN)


def exists() -> bool:
    """Whether there is a workspace to go back to."""
    return bool(os.environ.get("MECHINTERP_WORKSPACE") or progress.find_workspace() or _remembered())


def _existing(root: Path, why: str) -> Workspace:
    root = root.expanduser().resolve()
    if not (root / progress.MARKER).is_dir():
        there = "which is not a workspace" if root.is_dir() else "and that folder is gone"
        raise CourseError(f"{why} {root}, {there}.", f"Give its new place: `mechinterp start DIR`. {BEGIN}")
    return Workspace(root)


def state_file() -> Path:
    """Return the file that remembers the last workspace, in the user's own state folder."""
    from platformdirs import user_state_path

    return user_state_path("mechinterp") / "workspace.txt"


def _remembered() -> Path | None:
    try:
        text = state_file().read_text(encoding="utf-8").strip()
    except OSError:
        text = ""
    if text:
        return Path(text)
    try:
        usual = Path.home() / "mechinterp"
    except RuntimeError:  # no home folder is known
        return None
    return usual if (usual / progress.MARKER).is_dir() else None


def remember(workspace: Workspace) -> None:
    """Keep this workspace as the last one used; a home folder that cannot be written only means that it is forgotten."""
    try:
        file = state_file()
        if not file.is_file() or file.read_text(encoding="utf-8").strip() != str(workspace.root):
            notebook.write(file, f"{workspace.root}\n")
    except OSError:
        pass


# --- making ---------------------------------------------------------------------------------------------------------


def start(folder: Path | None = None) -> tuple[Workspace, bool]:
    """Return the workspace in `folder` and whether it is new; make it where there is none yet."""
    root = _place_for(folder)
    workspace = Workspace(root)
    if workspace.about:
        remember(workspace)
        return workspace, False
    _refuse(root)
    try:
        # An interrupted start leaves the marker and some notebooks; starting again copies what is missing.
        workspace.hidden.mkdir(parents=True, exist_ok=True)
        for relative in release_files():
            text = (notebooks_root() / relative).read_text(encoding="utf-8")
            notebook.write(workspace.base / relative, text)
            if not (root / relative).exists():
                notebook.write(root / relative, text)
        stamp(workspace)
    except OSError as error:
        raise _cannot_write(root, error) from None
    remember(workspace)
    return workspace, True


def _place_for(folder: Path | None) -> Path:
    """Return the folder to start in: the one named, else the last one used, else ~/mechinterp."""
    if folder:
        return folder.expanduser().resolve()
    named = os.environ.get("MECHINTERP_WORKSPACE")
    if named:
        return Path(named).expanduser().resolve()
    last = progress.find_workspace() or _remembered()
    return last if last and last.is_dir() else (Path.home() / "mechinterp").resolve()


def _refuse(root: Path) -> None:
    """Raise where a workspace would mix with somebody's files."""
    elsewhere = "Name a new or an empty folder: `mechinterp start DIR`."
    try:
        if root.is_file():
            raise CourseError(f"{root} is a file.", elsewhere)
        if not root.is_dir() or (root / progress.MARKER).is_dir():
            return
        theirs = sorted(p.name for p in root.iterdir() if p.name not in _NOT_OURS)
    except OSError as error:
        raise _cannot_write(root, error) from None
    if theirs:
        some = ", ".join(theirs[:3]) + (", …" if len(theirs) > 3 else "")
        raise CourseError(f"{root} is not empty ({some}), and it is not a workspace.", elsewhere)


def _cannot_write(root: Path, error: OSError) -> CourseError:
    reason = error.strerror or type(error).__name__
    return CourseError(
        f"The workspace cannot be made in {root}: {reason}.",
        "Name a folder that you may write to: `mechinterp start DIR`.",
    )


def release_files() -> list[str]:
    """Return the notebooks of the installed release that go into a workspace, as paths relative to it."""
    root = notebooks_root()
    found = [*root.glob("lessons/*.ipynb"), *root.glob("exercises/*/*.ipynb")]
    if not found:
        raise CourseError(
            f"There are no notebooks in {root}.",
            "Install the package again; in a clone, run `mechinterp author build`.",
        )
    return sorted(path.relative_to(root).as_posix() for path in found)


def fingerprint() -> str:
    """Return a short hash of the installed release's notebooks."""
    digest = hashlib.sha256()
    for relative in release_files():
        digest.update(relative.encode())
        digest.update((notebooks_root() / relative).read_bytes())
    return digest.hexdigest()[:16]


def stamp(workspace: Workspace) -> None:
    """Write down which release the workspace now holds."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"made": now, **workspace.about, "version": __version__, "release": fingerprint(), "updated": now}
    notebook.write(workspace.hidden / "workspace.json", json.dumps(about, indent=1) + "\n")


# --- notebooks in it ------------------------------------------------------------------------------------------------


def locate(workspace: Workspace, relative: str) -> Path:
    """Return the learner's notebook that was released as `relative`, also where they renamed it; raise where it is gone."""
    usual = workspace.root / relative
    if usual.is_file():
        return usual
    known = set(notebook.by_id(workspace.released(relative)))
    best, shared = None, len(known) / 2
    for path in _other_notebooks(workspace):
        try:
            ids = set(notebook.by_id(notebook.load(path)))
        except CourseError:
            continue
        if len(ids & known) > shared:
            best, shared = path, len(ids & known)
    if best is None:
        raise CourseError(
            f"The notebook {relative} is not in {workspace.root}, under its own name or another.",
            f"`mechinterp reset {relative}` puts a fresh one there.",
        )
    return best


def _other_notebooks(workspace: Workspace) -> list[Path]:
    """Return the notebooks of the workspace that do not bear the name of a released one."""
    ours = set(release_files())
    found = workspace.root.rglob("*.ipynb")
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(workspace.root).parts)
        and path.relative_to(workspace.root).as_posix() not in ours
    )


def notebook_named(name: str) -> str:
    """Return the released path of a notebook that is named by its file name or any path to it."""
    wanted = "/" + name.replace("\\", "/").removeprefix("./").lstrip("/")
    # A lesson and its lab have the same file name: the lab comes first, as `exercises/` does in the alphabet.
    for relative in release_files():
        if f"/{relative}".endswith(wanted) or wanted.endswith(f"/{relative}"):
            return relative
    raise unknown("notebook", name, release_files())


def new_backup(workspace: Workspace) -> Path:
    """Return a new folder for the files that a command is about to change."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, n = workspace.hidden / "backups" / now, 2
    while folder.exists():
        folder, n = workspace.hidden / "backups" / f"{now}_{n}", n + 1
    return folder


def back_up(workspace: Workspace, path: Path, folder: Path) -> Path:
    """Copy one of the learner's files into a backup folder and return the copy."""
    target = folder / path.relative_to(workspace.root)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)
    return target
