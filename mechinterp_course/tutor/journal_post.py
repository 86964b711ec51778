"""A draft of a post about what was learned: predictions and what came of them, results, surprises, own plots, open questions, papers.

It is Markdown with figures as files beside it, to be edited by the learner before anybody reads it. Nothing is sent anywhere.
Loads plotly only where there is a plotly figure to write.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from ..errors import CourseError
from . import journal, notebook, papers, progress, workspace
from .catalog import Course
from .events import Event, merge
from .history import finished
from .journal import Entry
from .question_view import as_plain
from .workspace import Workspace

RANGE_EXAMPLE = "Write it like 2026-11-16..2026-11-22, 2026-11-16.. or week."


@dataclass(frozen=True)
class Figure:
    """A plot that the learner made: where, and what is written to a file."""

    notebook: str
    data: bytes | dict  # a PNG, or a plotly figure
    alt: str


@dataclass(frozen=True)
class Post:
    """Where a draft lies, and what is in it."""

    path: Path
    figures: int
    left_out: int  # figures that could not be written


def days(text: str, today: date, first: date | None) -> tuple[date, date]:
    """Return the first and the last day of "2026-11-16..2026-11-22", of "week", or of "" (everything)."""
    text = text.strip().lower()
    if text == "":
        return first or today, today
    if text == "week":
        return today - timedelta(days=6), today
    start, dots, end = text.partition("..")
    try:
        begins = date.fromisoformat(start) if start else (first or today)
        ends = date.fromisoformat(end) if end else (today if dots else begins)
    except ValueError:
        raise CourseError(f"{text!r} is no range of days.", RANGE_EXAMPLE) from None
    if begins > ends:
        raise CourseError(f"{begins} is after {ends}.", RANGE_EXAMPLE)
    if begins > today:
        raise CourseError(f"{begins} is still to come.", RANGE_EXAMPLE)
    return begins, ends


def write(ws: Workspace, course: Course, begins: date, ends: date) -> Post:
    """Write the draft into a new folder `posts/FROM_TO` of the workspace. A draft that is there already stays as it is."""
    entries = [entry for entry in journal.collect(ws, course) if begins <= entry.day <= ends]
    events = progress.load(ws.root)
    figures = own_figures(ws, course, begins, ends)
    folder, n = ws.root / "posts" / f"{begins}_{ends}", 2
    while folder.exists():
        folder, n = folder.with_name(f"{begins}_{ends}_{n}"), n + 1
    named, left_out = [], 0
    for figure in figures:
        name = _write_figure(folder / "figures", len(named) + 1, figure)
        named += [(name, figure)] if name else []
        left_out += not name
    notebook.write(folder / "post.md", text(course, events, entries, named, begins, ends))
    return Post(folder / "post.md", len(named), left_out)


def text(
    course: Course,
    events: Iterable[Event],
    entries: list[Entry],
    figures: list[tuple[str, Figure]],
    begins: date,
    ends: date,
) -> str:
    """Return the draft as Markdown."""
    everything = merge(events)
    until = [event for event in everything if date.fromisoformat(event.day) <= ends]
    inside = [event for event in until if date.fromisoformat(event.day) >= begins]
    parts = [
        f"# What I learned about how neural networks work, {_span(begins, ends)}",
        "<!-- A draft: the numbers and quotations are from your own work. Cut, reorder, and write the story between them. -->",
        *_results(course, until, begins),
        *_predictions(course, until, inside),
        *_written(course, "What surprised me", [e for e in entries if e.section == "surprised"]),
        *_figures(figures),
        *_written(course, "Questions I still have", journal.open_questions(entries)),
        *_answered(course, [e for e in entries if e.section == "questions" and not e.is_open]),
        *_read(course, inside),
    ]
    return "\n\n".join(parts) + "\n"


# --- the parts of a post --------------------------------------------------------------------------------------------


def _results(course: Course, until: list[Event], begins: date) -> list[str]:
    """What was done, a paragraph for each lesson: a list of forty exercises is nothing to read."""
    state = progress.state(until, course)
    days: dict[str, list[date]] = {}
    settled: dict[str, list[str]] = {}
    for day, pieces in finished(until, course).items():
        for piece in pieces if day >= begins else ():
            days.setdefault(piece.lesson.id, []).append(day)
            settled.setdefault(piece.lesson.id, []).extend(piece.exercises)
    lines = []
    for lesson in course.lessons:
        if lesson.id not in days:
            continue
        mine = [state.exercises[name] for name in settled[lesson.id]]
        passed = [one for one in mine if one.passed]
        told = [f"- **{lesson.number} {lesson.title}** ({_span(min(days[lesson.id]), max(days[lesson.id]))})."]
        told += [f"I wrote {', '.join(f'`{one.name}`' for one in passed)}."] if passed else []
        hardest = max(passed, key=lambda one: one.tries, default=None)
        told += [f"The hardest was `{hardest.name}`: {hardest.tries} tries."] if hardest and hardest.tries > 2 else []
        left = [one.name for one in mine if not one.passed]
        told += [f"I left {', '.join(f'`{name}`' for name in left)} to the course."] if left else []
        lines.append(" ".join(told))
    return ["## What I did", "\n".join(lines)] if lines else []


def _predictions(course: Course, until: list[Event], inside: list[Event]) -> list[str]:
    asked = list(dict.fromkeys(e.data.get("question") for e in inside if e.kind == "reveal"))
    questions = progress.state(until, course).questions
    rows = []
    for id in asked:
        mine = questions.get(id)
        if mine is None or mine.choice is None:
            continue
        question = course.questions[id]
        outcome = "right" if mine.right else f"it was: {as_plain(question.choices[question.answer])}"
        sure = f"{mine.sure} %" if mine.sure else ""
        cells = as_plain(question.question), as_plain(question.choices[mine.choice]), sure, outcome
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if not rows:
        return []
    right = sum(row.endswith("| right |") for row in rows)
    return [
        "## What I predicted",
        f"{right} of {len(rows)} predictions came true.",
        "\n".join(["| Question | My prediction | Sure | What happened |", "|---|---|---|---|", *rows]),
    ]


def _written(course: Course, heading: str, entries: list[Entry]) -> list[str]:
    return [f"## {heading}", "\n".join(_point(course, entry) for entry in entries)] if entries else []


def _answered(course: Course, entries: list[Entry]) -> list[str]:
    lines = [_point(course, entry, entry.answer or "") for entry in entries]
    return ["## Questions that found an answer", "\n".join(lines)] if lines else []


def _point(course: Course, entry: Entry, more: str = "") -> str:
    """Return an entry as a point of a list; code keeps its lines, indented, and nothing stands behind its fence."""
    parts = [entry.text, _where(course, entry), more]
    whole = ""
    for part in filter(None, parts):
        whole += ("\n" if journal.has_code_last(whole) else " ") * bool(whole) + part
    return "- " + whole.replace("\n", "\n  ")


def _where(course: Course, entry: Entry) -> str:
    lesson = journal.lesson_of(entry, course)
    return f"*(lesson {lesson.number})*" if lesson else ""


def _figures(figures: list[tuple[str, Figure]]) -> list[str]:
    if not figures:
        return []
    parts = ["## What I plotted"]
    for name, figure in figures:
        alt = " ".join(figure.alt.replace("[", "(").replace("]", ")").split())
        shown = (
            f"![{alt}](figures/{name})" if name.endswith(".png") else f"[{alt}](figures/{name}) (opens in a browser)"
        )
        parts.append(f"{shown}\n\n*From {figure.notebook}.*")
    return parts


def _read(course: Course, inside: list[Event]) -> list[str]:
    days_read = papers.days_read(inside)
    lines = []
    for name, day in sorted(days_read.items(), key=lambda item: item[1]):
        if name in course.papers:
            one = course.papers[name]
            who = papers.authors(one.get("authors", ""))
            lines.append(f"- [{who} {one.get('year', '')}, *{one['title']}*]({one['address']}), {day}")
    return ["## What I read", "\n".join(lines)] if lines else []


def _span(begins: date, ends: date) -> str:
    return str(begins) if begins == ends else f"{begins} to {ends}"


# --- the learner's own plots ----------------------------------------------------------------------------------------


def own_figures(ws: Workspace, course: Course, begins: date, ends: date) -> list[Figure]:
    """Return the plots of cells that the learner wrote or changed, in notebooks that were saved on those days."""
    found = []
    for path in sorted(ws.root.rglob("*.ipynb")):
        inner = path.relative_to(ws.root)
        if any(part.startswith(".") for part in inner.parts) or inner.parts[0] == "posts":
            continue
        if not begins <= datetime.fromtimestamp(path.stat().st_mtime).date() <= ends:
            continue
        try:
            found += _figures_of(ws, path, inner.as_posix())
        except CourseError:  # a damaged notebook: the rest of the post is written
            continue
    return found


def _figures_of(ws: Workspace, path: Path, name: str) -> list[Figure]:
    released = notebook.by_id(ws.released(name)) if name in workspace.release_files() else {}
    figures = []
    for cell in notebook.load(path)["cells"]:
        before = released.get(notebook.cell_id(cell))
        if before is not None and notebook.source(before) == notebook.source(cell):
            continue
        for output in cell.get("outputs", []):
            data = output.get("data", {}) if isinstance(output, dict) else {}
            figures += _figure(name, data if isinstance(data, dict) else {})
    return figures


def _figure(name: str, data: dict) -> list[Figure]:
    plotly, png = data.get("application/vnd.plotly.v1+json"), data.get("image/png")
    if isinstance(plotly, dict):
        from ..interp.figure import described

        return [Figure(name, plotly, described(plotly) or "A plot of mine")]
    if isinstance(png, (str, list)):
        try:
            return [Figure(name, base64.b64decode("".join(png), validate=False), "A plot of mine")]
        except (binascii.Error, TypeError, ValueError):
            return []
    return []


def _write_figure(folder: Path, number: int, figure: Figure) -> str:
    """Write one figure and return its file's name; "" where it is damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(figure.data, bytes):
        name = f"figure-{number}.png"
        (folder / name).write_bytes(figure.data)
        return name
    import plotly.graph_objects as go

    from ..interp.figure import CONFIG

    name = f"figure-{number}.html"
    try:
        made = go.Figure({key: figure.data[key] for key in ("data", "layout") if key in figure.data}, skip_invalid=True)
        made.write_html(folder / name, include_plotlyjs="directory", config=CONFIG)
    except (ValueError, TypeError):
        return ""
    return name
