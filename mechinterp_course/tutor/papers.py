"""The reading ladder: what to read in which order, with which questions, and what is read already.

The order is that of the course: a paper stands where a lesson's Watch or Read section names it first. Which are read is a
function of the events `paper`. Loads plotly only to draw.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import unknown
from .catalog import Course, Lesson
from .events import Event, load, merge, record

SECTIONS = ("Watch", "Read")
LETTERS, COLUMN = 24, 150  # of a title in the drawing, and the width of a lesson's column in pixels
_HEADING = re.compile(r"(?m)^## +(.+?)\s*$")
_PAPER = re.compile(r"\[\[paper:([^\]|]+)")


@dataclass(frozen=True)
class Step:
    """One step of the ladder: an entry of papers.toml, the lessons that send there (the first one first), and the day it was read."""

    number: int
    paper: dict
    lessons: tuple[str, ...]
    read_on: str = ""

    @property
    def id(self) -> str:
        return self.paper["id"]

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(self.paper.get("questions", ()))

    @property
    def connects(self) -> tuple[str, ...]:
        return tuple(self.paper.get("connects", ()))

    @property
    def short(self) -> str:
        """How the paper is cited: "Olah et al. 2020"."""
        return f"{authors(self.paper.get('authors', ''))} {self.paper.get('year', '')}".strip()


def authors(names: str | list[str]) -> str:
    """Return the family names as they are cited: one, two joined by "and", or the first and "et al."."""
    if isinstance(names, str):
        return names
    family = [name.split()[-1] for name in names]
    return f"{family[0]} et al." if len(family) > 2 else " and ".join(family)


def named_in(lesson: Lesson, sections: Iterable[str] = SECTIONS) -> list[str]:
    """Return the ids of the papers that these sections of a lesson name, in their order, each once."""
    if not (lesson.folder / "lesson.py").is_file():  # its author has only begun: the other lessons can still be built
        return []
    text = "\n".join(cell.source for cell in lesson.lesson_cells if cell.type == "markdown")
    parts = _HEADING.split(text)  # text before, heading, text, heading, text, ...
    found = [
        name.strip()
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
        if heading in sections
        for name in _PAPER.findall(body)
    ]
    return list(dict.fromkeys(found))


def ladder(course: Course, events: Iterable[Event] = ()) -> list[Step]:
    """Return the steps in the order of the course; a paper that no lesson sends to is not on the ladder."""
    lessons: dict[str, list[str]] = {}
    for lesson in course.lessons:
        for name in named_in(lesson):
            lessons.setdefault(name, []).append(lesson.number)
    read = days_read(events)
    known = [(name, course.papers[name]) for name in lessons if name in course.papers]
    return [Step(i, paper, tuple(lessons[name]), read.get(name, "")) for i, (name, paper) in enumerate(known, 1)]


def days_read(events: Iterable[Event]) -> dict[str, str]:
    """Return the papers that are marked as read, and the day; the last mark counts."""
    days: dict[str, str] = {}
    for event in merge(events):
        name = event.data.get("paper")
        if event.kind != "paper" or not isinstance(name, str):
            continue
        if event.data.get("read") is True:
            days[name] = event.day
        else:
            days.pop(name, None)
    return days


def mark(course: Course, names: Iterable[str], read: bool = True) -> list[dict]:
    """Mark papers as read, or as not read, and return them. Raises CourseError for a name that papers.toml does not have."""
    chosen = [paper(course, name) for name in names]
    said = [event for event in load() if event.kind == "paper"]
    for one in chosen:
        record("paper", after=said, paper=one["id"], read=read)
    return chosen


def paper(course: Course, name: str) -> dict:
    """Return an entry of papers.toml by its id; raises CourseError with a suggestion."""
    if name not in course.papers:
        raise unknown("paper", name, list(course.papers))
    return course.papers[name]


def first_read(course: Course, lesson: Lesson) -> list[Step]:
    """Return the steps with questions that this lesson's Read section is the first to send to."""
    return [
        step
        for step in ladder(course)
        if step.lessons[0] == lesson.number and step.questions and step.id in named_in(lesson, ("Read",))
    ]


def connections(steps: Iterable[Step]) -> list[tuple[str, str]]:
    """Return the pairs of papers on the ladder that connect, each once, as ids."""
    steps = list(steps)
    there = {step.id for step in steps}
    pairs = {tuple(sorted((step.id, other))) for step in steps for other in step.connects if other in there}
    return sorted(pairs)


def graph(course: Course, events: Iterable[Event] = ()):
    """Draw the ladder as a plotly figure: a column for each lesson, a line for each connection, filled where it is read."""
    import plotly.graph_objects as go

    from ..interp import plots

    steps = ladder(course, events)
    places = _places(steps)
    pairs = connections(steps)
    figure = go.Figure()
    for a, b in pairs:
        xs, ys = _bow(places[a], places[b])
        line = dict(color=plots.INK, width=1, shape="spline")
        figure.add_scatter(x=xs, y=ys, mode="lines", line=line, opacity=0.6, hoverinfo="skip", showlegend=False)
    for read, name, symbol in ((True, "read", "circle"), (False, "not read yet", "circle-open")):
        mine = [step for step in steps if bool(step.read_on) == read]
        figure.add_scatter(
            x=[places[step.id][0] for step in mine],
            y=[places[step.id][1] for step in mine],
            mode="markers+text",
            name=name,
            text=[f"{step.short}<br>{_cut(step.paper['title'])}" for step in mine],
            textposition="bottom center",
            textfont=dict(size=9),
            marker=dict(size=12, symbol=symbol, color=plots.COLOURS[0], line=dict(width=2)),
            customdata=[[step.paper["title"], step.paper.get("minutes", "?")] for step in mine],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]} minutes<extra></extra>",
        )
    columns = sorted({step.lessons[0] for step in steps})
    figure.update_xaxes(
        title="first read with lesson",
        tickvals=list(range(len(columns))),
        ticktext=columns,
        range=[-0.75, len(columns) - 0.25],
    )
    figure.update_yaxes(visible=False, autorange="reversed")
    done = sum(bool(step.read_on) for step in steps)
    most = max((_links(step.id, pairs), step.short) for step in steps) if steps else (0, "none")
    alt = (
        f"{len(steps)} things to read and watch, in the order of the lessons from left to right; {done} are read. "
        f"{len(pairs)} lines join those that build on each other; {most[1]} has the most, {most[0]}."
    )
    figure.update_layout(legend=dict(orientation="h", x=1, xanchor="right", y=-0.05, yanchor="top"))
    height = 85 * max((y for _, y in places.values()), default=0) + 150
    return plots.finish(
        figure, "What to read, and how it connects", alt, high=height, left=30, wide=COLUMN * len(columns)
    )


def _places(steps: list[Step]) -> dict[str, tuple[float, float]]:
    """Return the place of each paper: a column for each lesson, zigzag, so that neighbours' names and lines stay apart."""
    columns = sorted({step.lessons[0] for step in steps})
    filled: dict[str, int] = {}
    places = {}
    for step in steps:
        column, row = columns.index(step.lessons[0]), filled.get(step.lessons[0], 0)
        filled[step.lessons[0]] = row + 1
        places[step.id] = (column + (0.16 if row % 2 else -0.16), row + 0.5 * (column % 2))
    return places


def _bow(a: tuple[float, float], b: tuple[float, float]) -> tuple[list[float], list[float]]:
    """Return three points of a line from a to b that is bowed a little, so that it passes beside what lies between."""
    (xa, ya), (xb, yb) = a, b
    return [xa, (xa + xb) / 2 + 0.06 * (yb - ya), xb], [ya, (ya + yb) / 2 - 0.1 * (xb - xa), yb]


def _cut(title: str) -> str:
    return title if len(title) <= LETTERS else title[: LETTERS - 1].rstrip() + "…"


def _links(name: str, pairs: list[tuple[str, str]]) -> int:
    return sum(name in pair for pair in pairs)
