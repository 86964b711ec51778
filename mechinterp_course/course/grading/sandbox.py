"""The box: the command that runs a program without a network and with nothing of this computer to see but Python and the course.

It is bubblewrap's. Where bubblewrap is missing or may not work, grading refuses, with the remedy, unless it is told to be
unsafe. Imports `strip` and the standard library.
"""

import os
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from ...errors import CourseError
from ...interp import fetch
from ...tutor.catalog import PACKAGE, Course
from . import strip

PROGRAM = "mechinterp_course.course.grading.inside"
COURSE = "/course"
MODELS = "/models"
NOBODY = 65534
FILES_BYTES = 256 * 2**20
OWN_USERS = 200_000  # each worker that starts as root has a user of its own from here on
SYSTEM = (
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/alternatives",
)
REMEDY = (
    "On Debian and Ubuntu: sudo apt install bubblewrap. In a container, allow user namespaces. "
    "Or grade with --unsafe: students' code then runs on this computer as you."
)


def require(unsafe: bool = False) -> None:
    """Raise a CourseError with the remedy where students' code cannot be walled in, unless that is accepted."""
    if unsafe:
        return
    if sys.platform != "linux":
        raise CourseError(
            f"Students' code is walled in by bubblewrap, which {sys.platform} does not have.",
            "Grade on Linux, or in a Linux virtual machine; or with --unsafe: students' code then runs on this computer as you.",
        )
    if shutil.which("bwrap") is None:
        raise CourseError("Students' code is walled in by bubblewrap, which is not installed.", REMEDY)
    trouble = _trouble()
    if trouble:
        raise CourseError(f"bubblewrap is installed, and cannot wall in a program here: {trouble}", REMEDY)


@cache
def _trouble() -> str:
    """Return what bubblewrap says when it is tried, or nothing where it works."""
    tried = subprocess.run([*_walls(), *_system(), "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else (tried.stderr.strip() or "it says nothing").splitlines()[-1][:200]


def start(
    course: Course, folder: Path, unsafe: bool = False, alone: bool = False
) -> tuple[subprocess.Popen, socket.socket]:
    """Start the box's program; return its process and the socket for its orders.

    `folder`: where the copy of the package is made. `alone`: for a single submission, with no inner walls.
    """
    require(unsafe)
    copy = folder / "course"
    if not copy.is_dir():
        strip.stripped(course, copy)
        if unsafe:
            (copy / strip.NAME / strip.WEIGHTS).rmdir()
            (copy / strip.NAME / strip.WEIGHTS).symlink_to(PACKAGE / strip.WEIGHTS)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    uid = 0 if unsafe else _uid()
    own = [*_walls(), *_system(), *_python(), *_course(copy)] if not unsafe else []
    program = [sys.executable, "-m", PROGRAM, str(theirs.fileno()), str(uid), *(["--alone"] if alone or unsafe else [])]
    with theirs, (folder / "box.log").open("ab") as log:
        process = subprocess.Popen(
            [*own, *program],
            env=_environment(folder, copy if unsafe else None),
            cwd=_own_folder(folder) if unsafe else "/",
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, ours


def _walls() -> list[str]:
    """Return the command up to what is to be seen: no network, its own process numbers, names and shared memory."""
    walls = ["bwrap", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "box"]
    walls += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.getuid() == 0:  # to become an ordinary user, before anything of a student is there
        return [*walls, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*walls, "--unshare-user"]


def _system() -> list[str]:
    """Return what is seen of the system: its libraries and programs, and an /etc with next to nothing in it."""
    sized = ["--size", str(FILES_BYTES)] if _knows("--size") else []  # what is written there is memory
    seen = ["--proc", "/proc", "--dev", "/dev"]
    for folder, mode in (("/tmp", "1777"), ("/dev/shm", "1777"), ("/home", "0755")):  # noqa: S108
        seen += ["--perms", mode, *sized, "--tmpfs", folder]
    seen += ["--perms", "0755", "--dir", "/etc"]
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            seen += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            seen += ["--ro-bind", name, name]
    return seen


@cache
def _knows(option: str) -> bool:
    """Whether this bubblewrap has an option that older ones lack."""
    return option in subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False).stdout


def _python() -> list[str]:
    """Return what is seen of this Python and its packages; an installed copy of the course, solutions and all, is covered."""
    seen = []
    for folder in dict.fromkeys(
        Path(one) for given in (sys.base_prefix, sys.prefix) for one in (given, Path(given).resolve())
    ):
        if not folder.is_relative_to("/usr"):
            for parent in reversed(folder.parents[:-1]):  # made by bubblewrap itself they are root's alone
                seen += ["--perms", "0755", "--dir", str(parent)]
            seen += ["--ro-bind", str(folder), str(folder)]
    for folder in {*site.getsitepackages(), str(PACKAGE.parent)}:
        installed = Path(folder) / strip.NAME
        if installed.is_dir() and any(installed.is_relative_to(one) for one in (sys.prefix, sys.base_prefix, "/usr")):
            seen += ["--tmpfs", str(installed)]
    return seen


def _course(copy: Path) -> list[str]:
    """Return what is seen of the course: the stripped copy, the weights, and models that were fetched."""
    weights = f"{COURSE}/{strip.NAME}/{strip.WEIGHTS.as_posix()}"
    seen = ["--ro-bind", str(copy), COURSE, "--ro-bind", str(PACKAGE / strip.WEIGHTS), weights]
    fetched = fetched_models()
    return [*seen, "--ro-bind", str(fetched), MODELS] if fetched else seen


def fetched_models() -> Path | None:
    """Return the folder with the fetched models, where there is one."""
    folders = {where.parent for name in fetch.SOURCES if (where := fetch.where(name)) is not None}
    return next(iter(folders), None)


def _environment(folder: Path, copy: Path | None) -> dict[str, str]:
    """Return the box's environment: offline, one thread, nothing of this person's. `copy`: the package, where there are no walls."""
    home = "/tmp" if copy is None else str(_own_folder(folder))  # noqa: S108
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"), "1"
    )
    return {
        **threads,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": COURSE if copy is None else str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "HOME": home,
        "TMPDIR": home,
        "IPYTHONDIR": f"{home}/ipython",
        "LANG": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PLOTLY_RENDERER": "plotly_mimetype",
        "MECHINTERP_WORKSPACE": "",  # nothing is recorded
        "MECHINTERP_CACHE": MODELS if copy is None else os.environ.get("MECHINTERP_CACHE", ""),
    }


def _own_folder(folder: Path) -> Path:
    (folder / "home").mkdir(exist_ok=True)
    return folder / "home"


def _uid() -> int:
    """Return the ordinary user that the box becomes where this process is root."""
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return OWN_USERS + os.getpid() % 100_000 if mapped > OWN_USERS + 100_000 else NOBODY


def new_folder() -> tempfile.TemporaryDirectory:
    """Return a folder of this worker's own, which the box's user can read where the box shows it."""
    made = tempfile.TemporaryDirectory(prefix="mi-grading-", ignore_cleanup_errors=True)
    Path(made.name).chmod(0o755)
    return made
