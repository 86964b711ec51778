"""Makes the site: lessons run, prepared and laid out by Sphinx in a folder that can be opened from a disk."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from nbformat.v4 import new_notebook

from ...errors import CourseError
from ...tutor.catalog import Course, Lesson
from ..build import release_notebook
from ..markup import GLOSSARY, anchor, lab_path, lesson_path
from ..pages import contents_table, glossary_cells
from . import prepare
from .executed import executed

ASSETS = [Path(__file__).parent / name for name in ("site.css", "plots.js")]
MARKER = ".mechinterp-site"  # a folder that holds this file is ours to replace


def build(
    course: Course, folder: Path, lessons: Iterable[Lesson] | None = None, jobs: int = 1,
    tell: Callable[[str], None] = lambda text: None,
) -> Path:  # fmt: skip
    """Make the site in `folder`, of the given lessons or of all, and return its first page.

    A site that is there already is replaced once the new one is whole. Raises CourseError where a lesson does not run, where Sphinx
    is not installed, or where the folder holds something else.
    """
    _need_sphinx()
    folder = Path(folder).expanduser().resolve()
    _refuse(folder)
    chosen = list(course.lessons if lessons is None else lessons)
    with tempfile.TemporaryDirectory(prefix="mi-site-") as name:
        sources, made = Path(name) / "sources", Path(name) / "html"
        tell("running the lessons")
        for lesson, done in executed(course, chosen, jobs, tell):
            _write(sources / lesson_path(lesson), prepare.page(done, course))
        tell("laying out the pages")
        _shared(course, chosen, sources)
        _sphinx(course, sources, made)
        for path in made.rglob("*.html"):
            path.write_text(reachable(path.read_text(encoding="utf-8")), encoding="utf-8")
        (made / MARKER).touch()
        _replace(made, folder)
    return folder / "index.html"


def _need_sphinx() -> None:
    try:
        import furo  # noqa: F401
        import myst_nb  # noqa: F401
        import sphinx  # noqa: F401
    except ImportError as error:
        raise CourseError(
            f"The site is laid out by Sphinx, and {error.name} is not installed.", 'Run: pip install -e ".[site]"'
        ) from None


def _refuse(folder: Path) -> None:
    if folder.is_file():
        raise CourseError(f"{folder} is a file.", "Name a new folder: mechinterp author site FOLDER.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise CourseError(f"{folder} holds something else.", "Name a new folder: mechinterp author site FOLDER.")


def _replace(made: Path, folder: Path) -> None:
    """Put the new site where it belongs: first beside the old one, so that an interruption leaves one of them whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(made, beside)
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder)


# --- sources --------------------------------------------------------------------------------------------------------


def _write(path: Path, made: nbformat.NotebookNode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)


def _shared(course: Course, lessons: list[Lesson], sources: Path) -> None:
    """Write the first page, the glossary, and the labs as they are handed out, not run."""
    for lesson in lessons:
        lab = release_notebook(course, lesson)
        _write(sources / lab_path(lesson), prepare.page(lab, course))
    glossary = [cell for cell in glossary_cells(course) if cell.id not in prepare.NAVIGATION]
    heading = nbformat.v4.new_markdown_cell("# Glossary\n\nEvery term of the course, in one sentence.")
    _write(sources / GLOSSARY, new_notebook(cells=[heading, *glossary]))
    # Links to the contents lead to the first page: the home notebook's own cells need a learner's progress.
    first = "---\norphan: true\n---\n\n# Contents\n\n[To the first page](../index.md)\n"
    (sources / "lessons" / "home.md").write_text(first, encoding="utf-8")
    pages = [f"{lesson.number} {lesson.title} <{lesson_path(lesson).removesuffix('.ipynb')}>" for lesson in lessons]
    labs = [f"Lab {lesson.number} {lesson.title} <{lab_path(lesson).removesuffix('.ipynb')}>" for lesson in lessons]
    (sources / "index.md").write_text(_index(course, lessons, pages, labs), encoding="utf-8")


def _index(course: Course, lessons: list[Lesson], pages: list[str], labs: list[str]) -> str:
    there = {lesson.number for lesson in lessons}
    table = contents_table(course)
    rows = table.splitlines()
    rows[0] = rows[0].replace("| |", "| No. |", 1)  # a column of a table needs a name
    kept = rows[:2] + [row for row in rows[2:] if row[2:4] in there or "not built" in row]
    table = "\n".join(kept).replace("](", "](lessons/").replace("(lessons/../", "(")
    return "\n".join(
        [
            f"# {course.title}",
            "",
            "A self-study course: read a lesson here, then install it and do its lab. Every plot on these pages was computed when the page was",
            "made, by the code above it. What is missing here is what makes it a course: the labs check every function that you write.",
            "",
            table,
            "",
            *_toctree("Lessons", pages),
            *_toctree("Labs", labs),
            *_toctree("More", ["lessons/glossary"]),
        ]
    )


def _toctree(caption: str, entries: list[str]) -> list[str]:
    return ["```{toctree}", ":hidden:", ":maxdepth: 1", f":caption: {caption}", "", *entries, "```", ""]


# --- Sphinx ---------------------------------------------------------------------------------------------------------


def _sphinx(course: Course, sources: Path, made: Path) -> None:
    from plotly.offline import get_plotlyjs
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    static = sources / "_static"
    static.mkdir()
    for asset in ASSETS:
        shutil.copy(asset, static)
    (static / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    settings = "".join(f"{name} = {value!r}\n" for name, value in _configuration(course).items())
    (sources / "conf.py").write_text(
        f"from {anchor.__module__} import {anchor.__name__} as myst_heading_slug_func\n\n{settings}", encoding="utf-8"
    )
    said = _Said()
    with docutils_namespace():
        app = Sphinx(
            sources, sources, made, made.with_name("doctrees"), "html", status=None, warning=said, freshenv=True
        )
        app.build()
    if app.statuscode or said.lines:
        raise CourseError(
            f"Sphinx stumbled: {said.lines[0] if said.lines else 'it said nothing'}", "Mend that page first."
        )
    for left in ("_sources", ".buildinfo", "objects.inv"):
        path = made / left
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def reachable(page: str) -> str:
    """Return a page of the theme with what a keyboard and a screen reader miss in it (found by axe 4)."""
    page = page.replace('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">')
    page = page.replace('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">')
    page = page.replace('<aside class="toc-drawer', '<aside aria-label="On this page" class="toc-drawer')
    page = page.replace("<pre>", '<pre tabindex="0">')  # code that is wider than the page scrolls
    if "<h1" not in page:
        page = re.sub(r'(<article role="main"[^>]*>)', r'\1<h1 class="unseen">Search</h1>', page, count=1)
    return page


def _configuration(course: Course) -> dict:
    return {
        "project": course.title,
        "html_title": course.title,
        "language": "en",
        "extensions": ["myst_nb", "mechinterp_course.course.site.mathematics"],
        "html_theme": "furo",
        "html_static_path": ["_static"],
        "html_css_files": ["site.css"],
        "html_js_files": ["plotly.min.js", "plots.js"],
        "html_math_renderer": "mathml",
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "html_copy_source": False,
        "html_show_search_summary": False,  # it reads other pages, which a browser forbids to a page from a disk
        "nb_execution_mode": "off",
        "nb_merge_streams": True,
        "myst_enable_extensions": ["dollarmath"],
        "myst_heading_anchors": 4,
        "pygments_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
        "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type", "myst.xref_missing", "config.cache"],
    }


class _Said:
    """Collects the warnings of Sphinx, as sentences."""

    def __init__(self):
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += [line for line in text.strip().splitlines() if line.strip()]

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False
