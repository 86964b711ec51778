"""`mechinterp doctor`: is everything here that the course needs? Each finding that is not good comes with its remedy.

Nothing is changed and nothing reaches beyond this machine. torch is not imported: what it is stands in its files.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..errors import CourseError
from . import notebook, progress, torch_build, workspace
from .catalog import PACKAGE, course

DISTRIBUTION = "mechinterp-course"
TESTED_PYTHONS = ((3, 11), (3, 13))
NEEDED_DISK_GB = 2  # the workspace is small; the fetched model takes 0.6 GB, and half as much again while it is made
NEEDED_MEMORY_GB = 4
CPU_TORCH = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `state` is "good", "note" (it works, but you may want to know) or "broken"."""

    about: str
    state: str
    says: str
    remedy: str = ""


def examine(tell: Callable[[str], None] = lambda about: None) -> Iterator[Finding]:
    """Yield the findings one by one; `tell` hears what is looked at next."""
    checks = {
        "Python": _python,
        "packages": _packages,
        "torch": _torch,
        "disk": _disk,
        "memory": _memory,
        "models": _models,
        "notebooks": _notebooks,
        "workspace": _workspace,
        "kernel": _kernel,
    }
    for about, look in checks.items():
        tell(about)
        try:
            yield from look()
        except Exception as error:  # a doctor who faints helps nobody: what cannot be looked at is a finding
            yield Finding(about, "broken", f"could not be looked at ({type(error).__name__}: {error})", "Report this.")


def _python() -> Iterator[Finding]:
    version = sys.version_info[:3]
    says = f"{'.'.join(map(str, version))} in {sys.prefix}"
    if version[:2] < TESTED_PYTHONS[0]:
        yield Finding("Python", "broken", says, "Make a virtual environment with Python 3.11 or newer.")
    elif version[:2] > TESTED_PYTHONS[-1]:
        yield Finding("Python", "note", f"{says}; newer than what was tested (3.11 to 3.13)")
    else:
        yield Finding("Python", "good", says)


def _packages() -> Iterator[Finding]:
    """Compare what is installed with the ranges that the package asks for, and with the versions that were tested."""
    from packaging.requirements import Requirement

    required = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    needed = [r for r in required if not r.marker or r.marker.evaluate({"extra": ""})]
    wrong = []
    for requirement in needed:
        found = _version(requirement.name)
        if found is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, needed {requirement.specifier}")
    if wrong:
        yield Finding("packages", "broken", "; ".join(wrong), f"Run: {sys.executable} -m pip install -U {DISTRIBUTION}")
        return
    tested = _tested_versions()
    other = [
        f"{name} {_version(name)} (tested {version})" for name, version in tested.items() if _differs(name, version)
    ]
    if other:
        says = f"all {len(needed)} fit; not the versions that were tested: {', '.join(other)}"
        yield Finding(
            "packages", "note", says, "Only if something fails: pip install -c constraints.txt mechinterp-course"
        )
    else:
        yield Finding("packages", "good", f"all {len(needed)} are here and fit")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _differs(name: str, tested: str) -> bool:
    found = _version(name)
    return found is not None and found.split("+")[0] != tested.split("+")[0]


def _tested_versions() -> dict[str, str]:
    """Return the versions of `constraints.txt`, of the packages that the course names itself; empty in a bare install."""
    for path in (PACKAGE / "constraints.txt", PACKAGE.parent / "constraints.txt"):
        if path.is_file():
            pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))
            own = {re.split(r"[ <>=!~\[;]", text, maxsplit=1)[0] for text in metadata.requires(DISTRIBUTION) or ()}
            return {name: version for name, version in pins.items() if name in own}
    return {}


def _torch() -> Iterator[Finding]:
    build = torch_build.installed()
    if build is None:
        yield Finding("torch", "broken", "is not installed", f"Run: {CPU_TORCH}")
    elif build.cuda is None:
        yield Finding("torch", "good", f"{build.version}, built for the CPU")
    elif torch_build.has_gpu():
        yield Finding("torch", "good", f"{build.version}, built for CUDA {build.cuda}, and there is a GPU")
    else:
        says = (
            f"{build.version} is built for CUDA {build.cuda}, but there is no NVIDIA GPU here. It works, and takes "
            f"{_gigabytes(build.bytes)} of disk; the build for the CPU takes under 1 GB and is as fast here."
        )
        unneeded = " ".join(("torch", *build.companions))
        yield Finding("torch", "note", says, f"To change it: pip uninstall -y {unneeded} && {CPU_TORCH}")


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


# --- the machine ----------------------------------------------------------------------------------------------------


def _disk() -> Iterator[Finding]:
    place = _workspace_or_none()
    folder = place.root if place else Path.home()
    free = shutil.disk_usage(folder).free
    says = f"{_gigabytes(free)} free where {'your workspace' if place else 'your home folder'} is"
    if free < 0.1e9:
        yield Finding("disk", "broken", says, "Free some: your notebooks cannot be saved on a full disk.")
    elif free < NEEDED_DISK_GB * 1e9:
        yield Finding("disk", "note", says, f"Enough for the lessons; the larger model needs {NEEDED_DISK_GB} GB.")
    else:
        yield Finding("disk", "good", says)


def _memory() -> Iterator[Finding]:
    try:
        import psutil
    except ImportError:
        return
    memory = psutil.virtual_memory()
    says = f"{_gigabytes(memory.total)}, {_gigabytes(memory.available)} of it free"
    if memory.total < NEEDED_MEMORY_GB * 0.9e9:
        yield Finding(
            "memory", "note", says, "Tight: close other programs, and shut down kernels that you do not need."
        )
    elif memory.available < 1.5e9:
        yield Finding("memory", "note", says, "Close other programs before a lesson with a model.")
    else:
        yield Finding("memory", "good", says)


# --- the course -----------------------------------------------------------------------------------------------------


def _models() -> Iterator[Finding]:
    again = f"Install the package again: {sys.executable} -m pip install --force-reinstall --no-deps {DISTRIBUTION}"
    good, bad = [], []
    for folder in sorted(p.parent for p in (PACKAGE / "interp" / "zoo").glob("*/card.json")):
        try:
            card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
            here = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
            sound = (folder / "config.json").is_file() and here > 0
        except (OSError, ValueError):
            card, sound = {}, False
        (good if sound else bad).append(card.get("name", folder.name))
    if bad:
        yield Finding("models", "broken", f"{', '.join(bad)}: files are missing or damaged", again)
    elif good:
        yield Finding("models", "good", f"bundled: {', '.join(good)}")
    else:
        yield Finding("models", "broken", "no bundled model is here", again)


def _notebooks() -> Iterator[Finding]:
    book = course()
    files = workspace.release_files()
    labs = {workspace.lab_path(lesson) for lesson in book.lessons} | {workspace.reading_path(le) for le in book.lessons}
    missing = sorted(labs - set(files))
    if missing:
        yield Finding("notebooks", "broken", f"not installed: {', '.join(missing)}", "Install the package again.")
    else:
        count = f"{len(book.lessons)} lessons, {len(book.exercises)} exercises"
        yield Finding("notebooks", "good", f"{count} in {workspace.notebooks_root()}")


def _workspace_or_none() -> workspace.Workspace | None:
    try:
        return workspace.find()
    except CourseError:
        return None


def _workspace() -> Iterator[Finding]:
    if not workspace.exists():
        yield Finding("workspace", "note", "there is none yet", "`mechinterp start` makes one.")
        return
    try:
        ws = workspace.find()
    except CourseError as error:
        yield Finding("workspace", "broken", error.sentence, error.remedy)
        return
    try:
        notebook.write(ws.hidden / "doctor.txt", "can be written\n")
        (ws.hidden / "doctor.txt").unlink()
    except OSError as error:
        remedy = "Make the folder yours again (its owner and permissions), or free some disk."
        yield Finding("workspace", "broken", f"{ws.root} cannot be written: {error.strerror}", remedy)
        return
    yield from _sound(ws)


def _sound(ws: workspace.Workspace) -> Iterator[Finding]:
    """Look at every notebook and at the record of progress."""
    troubles = []
    for relative in workspace.release_files():
        if not (ws.base / relative).is_file():
            continue
        try:
            notebook.load(workspace.locate(ws, relative))
        except CourseError as error:
            troubles.append(error)
    for error in troubles:
        yield Finding("workspace", "broken", error.sentence, error.remedy)
    damaged = progress.load(ws.root).damaged
    if damaged:
        says = f"{damaged} line(s) of {progress.FILE} cannot be read and are skipped; everything else counts"
        yield Finding("workspace", "note", says)
    if ws.is_outdated:
        yield Finding("workspace", "note", "a new release of the course is installed", "Run `mechinterp update`.")
    if not troubles:
        yield Finding("workspace", "good", f"{ws.root} can be written, and its notebooks are sound")


def _kernel() -> Iterator[Finding]:
    """Start a kernel, as JupyterLab would, and let it answer; in a process of its own, because Jupyter is slow to import."""
    code = (
        "from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel(kernel_name='python3', startup_timeout=60)\n"
        "reply = client.execute_interactive('import sys; print(sys.prefix)', timeout=30)\n"
        "client.stop_channels(); manager.shutdown_kernel(now=True)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=150, env={**os.environ, "NO_COLOR": "1"}
    )
    seconds = time.monotonic() - began
    again = f"Run: {sys.executable} -m pip install --force-reinstall ipykernel, then {sys.executable} -m ipykernel install --sys-prefix"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        yield Finding("kernel", "broken", f"no Jupyter kernel starts: {last}", again)
    elif os.path.normcase(done.stdout.strip()) != os.path.normcase(sys.prefix):
        yield Finding("kernel", "broken", f"kernels run another Python: {done.stdout.strip()}", again)
    else:
        yield Finding("kernel", "good", f"starts and answers in {seconds:.1f} s")
