"""The learner's journal: what surprised them and what they still ask, as they write it at the end of every lesson.

The text lives in the notebooks. `collect` looks there and records what is new as events `journal`, with the day on which the
notebook was saved; what is shown is a function of these events. Every paragraph or point of a list is an entry of its own. A question is
answered by a line below it that begins with an arrow (→, ->) or "Answer:", or by `mechinterp journal --answered`. Imports nothing heavy.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from ..errors import CourseError, unknown
from . import notebook, progress, workspace
from .catalog import Course, Lesson
from .events import Event, merge, record
from .workspace import Workspace

CELLS = {"surprised": "journal-surprised", "questions": "journal-questions"}  # section -> the id of its cell
ALIKE = 0.6  # texts that are more alike than this are one text that was edited
_POINT = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_ANSWER = re.compile(r"\s*(?:→|->|[Aa]nswer(?:ed)?:)\s*(.*)")


@dataclass(frozen=True)
class Entry:
    """One thing that was written. `answer` is None while a question is open, and "" where it was only marked as answered."""

    id: str
    section: str  # "surprised" or "questions"
    lesson: str
    text: str
    day: date
    answer: str | None = None

    @property
    def is_open(self) -> bool:
        return self.section == "questions" and self.answer is None


@dataclass(frozen=True)
class Found:
    """One thing that stands in a notebook now."""

    section: str
    lesson: str
    text: str
    answer: str | None
    day: date

    @property
    def id(self) -> str:
        """A short name that a person can type, from the lesson's number and the text."""
        digest = hashlib.sha256(f"{self.section}\n{self.lesson}\n{' '.join(self.text.split())}".encode()).hexdigest()
        return f"{self.lesson[1:3]}-{digest[:4]}"


# --- what stands in the notebooks -----------------------------------------------------------------------------------


def written(released: str, source: str) -> list[tuple[str, str | None]]:
    """Return what a learner wrote into a cell, as (text, answer): its points and paragraphs without what was released there."""
    given = {line.strip() for line in released.splitlines()}
    entries: list[list] = []
    fresh = True  # the next line begins a new entry
    for line in source.splitlines():
        text = line.strip()
        if not text or text in given or text.startswith("#"):
            fresh = True
            continue
        answer = _ANSWER.fullmatch(line)
        if answer and entries:
            entries[-1][1] = " ".join(part for part in (entries[-1][1], answer[1].strip()) if part)
            fresh = False
        elif fresh or _POINT.match(line):
            entries.append([_POINT.sub("", text, count=1), None])
            fresh = False
        elif entries[-1][1] is not None:
            entries[-1][1] += f" {text}"
        else:
            entries[-1][0] += f" {text}"
    return [(text, answer) for text, answer in entries]


def look(ws: Workspace, course: Course) -> list[Found]:
    """Return everything that stands in the journal cells of a workspace; a notebook that is missing or damaged is passed over."""
    found = []
    for lesson in course.lessons:
        try:
            path = workspace.locate(ws, workspace.reading_path(lesson))
            mine, released = (
                notebook.by_id(notebook.load(path)),
                notebook.by_id(ws.released(workspace.reading_path(lesson))),
            )
        except CourseError:
            continue
        day = datetime.fromtimestamp(path.stat().st_mtime).date()
        for section, name in CELLS.items():
            if name in mine and name in released:
                for text, answer in written(notebook.source(released[name]), notebook.source(mine[name])):
                    found.append(Found(section, lesson.id, text, answer, day))
    return found


def collect(ws: Workspace, course: Course) -> list[Entry]:
    """Record what is new in the notebooks, what was edited and what was taken out there, and return all entries."""
    events = progress.load(ws.root)
    known = {entry.id: entry for entry in entries(events)}
    there = {one.id: one for one in look(ws, course)}
    mine = _of_this_machine(events)
    gone = [known[id] for id in mine if id in known and id not in there]
    for one in there.values():
        before = known.get(one.id)
        if before is None:
            former = _former(one, gone)
            if former:
                gone.remove(former)
            day = former.day if former else min(one.day, date.today())
            record(
                "journal", entry=one.id, section=one.section, lesson=one.lesson, text=one.text, on=day.isoformat(),
                replaces=former.id if former else "",
            )  # fmt: skip
            before = Entry(one.id, one.section, one.lesson, one.text, day, former.answer if former else None)
        if one.answer is not None and one.answer != before.answer:
            record("answered", entry=one.id, answer=one.answer)
    for entry in gone:
        record("journal", entry=entry.id, gone=True)
    return entries(progress.load(ws.root))


def _of_this_machine(events: Iterable[Event]) -> list[str]:
    """Return the entries that were written here: those of another computer may not stand in the notebooks here."""
    import platform

    names = {
        event.data.get("entry") for event in events if event.kind == "journal" and event.machine == platform.node()
    }
    return sorted(name for name in names if isinstance(name, str))


def _former(one: Found, gone: list[Entry]) -> Entry | None:
    """Return the entry that this one was before it was edited, if it was one."""
    candidates = [entry for entry in gone if (entry.section, entry.lesson) == (one.section, one.lesson)]
    close = difflib.get_close_matches(one.text, [entry.text for entry in candidates], n=1, cutoff=ALIKE)
    return next((entry for entry in candidates if close and entry.text == close[0]), None)


# --- what was written, from the events ------------------------------------------------------------------------------


def entries(events: Iterable[Event]) -> list[Entry]:
    """Return the entries that stand, in the order of their days."""
    found: dict[str, Entry] = {}
    for event in merge(events):
        id = event.data.get("entry")
        if not isinstance(id, str):
            continue
        if event.kind == "journal":
            entry = None if event.data.get("gone") is True else _entry(event)
            former = found.pop(event.data.get("replaces"), None)
            if entry is None:
                found.pop(id, None)
            else:
                found[id] = replace(entry, answer=former.answer) if former else entry
        elif event.kind == "answered" and id in found:
            taken_back = event.data.get("open") is True
            found[id] = replace(found[id], answer=None if taken_back else str(event.data.get("answer") or ""))
    return sorted(found.values(), key=lambda entry: (entry.day, entry.lesson, entry.section, entry.id))


def _entry(event: Event) -> Entry | None:
    data = event.data
    try:
        day = date.fromisoformat(data.get("on", event.day))
    except (TypeError, ValueError):
        return None
    texts = data.get("section"), data.get("lesson"), data.get("text")
    if texts[0] not in CELLS or not all(isinstance(text, str) and text for text in texts):
        return None
    return Entry(data["entry"], *texts, day)


def open_questions(found: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in found if entry.is_open]


def mark_answered(found: Iterable[Entry], id: str, answer: str = "", is_open: bool = False) -> Entry:
    """Record that a question is answered, or with `is_open` that it is open again. Raises CourseError for an unknown name."""
    questions = {entry.id: entry for entry in found if entry.section == "questions"}
    if id not in questions:
        raise unknown("question", id, list(questions))
    record("answered", entry=id, **({"open": True} if is_open else {"answer": answer}))
    return questions[id]


def lesson_of(entry: Entry, course: Course) -> Lesson | None:
    return next((lesson for lesson in course.lessons if lesson.id == entry.lesson), None)
