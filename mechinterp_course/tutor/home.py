"""`home()`: today's hour, the streak, what is due, how sure, and the map of the lessons, in one screen of the home notebook.

`store` writes the same into the notebook in the workspace, as the output of its cell, so that it is there when the notebook
opens, before anything is run. Imports what shows nothing heavy; IPython inside a function of `question_view`.
"""

import contextlib
from datetime import date

from ..errors import CourseError
from . import notebook
from .catalog import Course, course
from .events import find_workspace
from .glance import Glance, of_workspace
from .home_html import home_html
from .home_text import home_text
from .question_view import show
from .workspace import HOME, Workspace

CELL = "home"  # the id of the cell that calls home()


def home(today: date | None = None) -> None:
    """Show today's hour, your streak, what is due and how sure you are, and the lessons with your progress."""
    book = course()
    try:
        seen = of_workspace(None, book, today or date.today())
    except OSError as error:
        raise CourseError(
            f"Your progress in {find_workspace()} cannot be read ({error.strerror}).", "`mechinterp doctor` says more."
        ) from None
    show(home_text(book, seen), home_html(book, seen))


def store(ws: Workspace, book: Course, seen: Glance) -> None:
    """Write what `home()` shows into the home notebook, as the output of its cell; answers and own cells stay.

    A notebook that is gone, damaged or read-only stays as it is: this is a convenience, and `home()` shows the same.
    """
    with contextlib.suppress(CourseError, OSError):
        path = ws.root / HOME
        found = notebook.load(path)
        cell = notebook.by_id(found).get(CELL)
        if cell is None or "home()" not in notebook.source(cell):
            return
        data = {"text/plain": lines(home_text(book, seen)), "text/html": lines(home_html(book, seen))}
        output = {"output_type": "display_data", "data": data, "metadata": {}}
        if cell.get("outputs") != [output]:
            cell["outputs"], cell["execution_count"] = [output], None
            notebook.write(path, notebook.dumps(found))


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
