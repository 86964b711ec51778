"""A class: a folder in which nbgrader's own commands release, collect and grade the labs. `init` makes it.

The hidden checks draw their inputs from a secret of the class. Grading itself is nbgrader's; what it runs is written in
the folder's `nbgrader_config.py`, so that another way to run submissions is a change there and not in the labs.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ...errors import CourseError
from ...tutor.catalog import Course, Lesson
from ..build import source_notebook
from ..notebook import text_of
from ..release import require_nbgrader

SECRET = "class_secret"  # the file with the seed of the hidden checks
SECRET_BITS = 62

CONFIG = '''\
"""nbgrader's settings for this class. Run nbgrader, or JupyterLab for its formgrader, in this folder."""

import os
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
# nbgrader looks for `alembic` on the PATH when it makes its gradebook.
os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {name!r}
c.CourseDirectory.root = str(here)
# Another process may hold the gradebook for a moment: wait for it instead of failing.
c.CourseDirectory.db_url = f"sqlite:///{{here / 'gradebook.db'}}?timeout=60"
# A cell may train a small network; one that does not end costs this many seconds.
c.ExecutePreprocessor.timeout = 300
# What students' code displays is shown to you in the formgrader: without scripts.
c.HTMLExporter.sanitize_html = True
'''

README = """\
# {title}: a class

This folder belongs to nbgrader: `source/` holds the labs with their solutions and hidden checks, `release/` what students get.
Only you can open it; keep `source/`, `gradebook.db` and `{secret}` to yourself. Run these commands in this folder:

1. **Hand out.** Give students the folder `release/{example}`. It is made already; after a change in `source/`:
   `nbgrader generate_assignment {example} --force`
2. **Collect.** Put each student's notebook at `submitted/STUDENT/{example}/{example}.ipynb`, then grade:
   `nbgrader autograde {example} --create --force`
3. **Look.** Start JupyterLab here and open its formgrader (menu Nbgrader): `jupyter lab`
4. **Return.** Pages with the result of every check, in `feedback/`:
   `nbgrader generate_feedback {example} --force`
5. **Record.** All points, as `grades.csv`: `nbgrader export`

The labs of this class: {labs}.

Every student needs the course installed, as you have it: a check cell is one call into it. An exercise is all or nothing; a lab's
points are the sum of its exercises. Solutions are public, and the inputs of the hidden checks are drawn from `{secret}`:
an answer that knows the visible check by heart fails them. nbgrader runs a submission on this computer as it is: grade
those of people you know, or on a computer that holds nothing else.
"""


def init(folder: Path, course: Course, lessons: Iterable[str] | None = None) -> list[str]:
    """Make a class folder for the named lessons (none = all) and return what to do next, as lines."""
    require_nbgrader()
    chosen = [course.lesson(name) for name in lessons] if lessons else list(course.lessons)
    folder = _empty(Path(folder).expanduser())
    try:
        _fill(folder, course, chosen)
    except BaseException:  # Ctrl-C too: a class is there whole, or not at all
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    labs = ", ".join(lesson.stem for lesson in chosen)
    return [
        f"Made a class in {folder}: {labs}.",
        f"Students get release/. Keep source/ and {SECRET} to yourself.",
        f"README.md in {folder} has the five commands to hand out, grade and return.",
    ]


def _fill(folder: Path, course: Course, chosen: list[Lesson]) -> None:
    seed = _secret(folder)
    for lesson in chosen:
        path = folder / "source" / lesson.stem / f"{lesson.stem}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text_of(source_notebook(course, lesson, seed)), encoding="utf-8", newline="\n")
    (folder / "nbgrader_config.py").write_text(CONFIG.format(name=_course_id(folder)), encoding="utf-8")
    labs = ", ".join(lesson.stem for lesson in chosen)
    readme = README.format(title=course.title, secret=SECRET, example=chosen[0].stem, labs=labs)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    for lesson in chosen:
        _release(folder, lesson)


def nbgrader(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run one nbgrader command in a class folder, and return what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def _release(folder: Path, lesson: Lesson) -> None:
    """Let nbgrader make the release version and enter the lab into its gradebook."""
    done = nbgrader(folder, "generate_assignment", lesson.stem)
    if not (folder / "release" / lesson.stem / f"{lesson.stem}.ipynb").is_file():
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise CourseError(
            f"nbgrader could not release {lesson.stem}: {last}",
            "Install the versions in constraints.txt, check the disk, and try again.",
        )


def _empty(folder: Path) -> Path:
    """Return the folder, made where it was not there; refuse one that holds something, or that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CourseError(f"{folder} is not empty.", "Name a new folder: mechinterp class init DIR.")
        folder.chmod(0o700)  # the sources and the gradebook hold the secret too
        (folder / "source").mkdir()
    except FileExistsError:
        raise CourseError(f"{folder} is a file, not a folder.", "Name a new folder.") from None
    except OSError as error:
        raise CourseError(f"{folder} cannot be written ({error.strerror}).", "Choose a folder of your own.") from None
    return folder.resolve()


def _secret(folder: Path) -> int:
    """Draw the class's seed and keep it in a file that only its owner can read."""
    seed = secrets.randbits(SECRET_BITS)
    with os.fdopen(os.open(folder / SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{seed}\n")
    return seed


def _course_id(folder: Path) -> str:
    """Return the folder's name as nbgrader accepts it: letters, digits, - and _."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in folder.name) or "class"
