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
_FENCE = re.compile(r"```+|~~~+")


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
    """Return what a learner wrote into a cell, as (text, answer): its points and paragraphs without what was released there.

    A block of code between fences belongs to what stands above it, and keeps its lines.
    """
    given = {line.strip() for line in released.splitlines()}
    entries: list[list] = []
    fresh, fence = True, ""  # whether the next line begins a new entry; what closes the block of code
    for line in source.splitlines():
        text = line.strip()
        if fence or _FENCE.match(text):
            entries += [] if entries else [["", None]]
            _add(entries[-1], line.rstrip(), "\n")
            if not fence:
                fence = _FENCE.match(text)[0]
            elif text.startswith(fence) and not text.strip(fence[0]):
                fence = ""
            fresh = False
        elif not text or text in given or text.startswith("#"):
            fresh = True
        elif entries and (answer := _ANSWER.fullmatch(line)):
            entries[-1][1] = " ".join(part for part in (entries[-1][1], answer[1].strip()) if part)
            fresh = False
        elif fresh or _POINT.match(line):
            entries.append([_POINT.sub("", text, count=1), None])
            fresh = False
        else:
            _add(entries[-1], text, "\n" if has_code_last(entries[-1][0]) else " ")
    return [(text, answer) for text, answer in entries]


def _add(entry: list, text: str, between: str) -> None:
    """Add a line to an entry: to its answer where it has one."""
    at = 0 if entry[1] is None else 1
    entry[at] = f"{entry[at]}{between}{text}" if entry[at] else text


def has_code_last(text: str) -> bool:
    """Whether a text ends with a block of code, behind which nothing can stand on its last line."""
    return text.rsplit("\n", 1)[-1].strip().startswith(("```", "~~~"))


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
    said = [event for event in events if event.kind in ("journal", "answered")]
    known = {entry.id: entry for entry in entries(events)}
    elsewhere = _taken_out_elsewhere(said)
    there = {one.id: one for one in look(ws, course) if one.id not in elsewhere}
    mine = _of_this_machine(events)
    gone = [known[id] for id in mine if id in known and id not in there]
    for one in there.values():
        before = known.get(one.id)
        if (
            before is None or one.id not in mine
        ):  # what another computer wrote is recorded once more: it stands here too
            former = None if before else _former(one, gone)
            if former:
                gone.remove(former)
            old = before or former
            day = old.day if old else min(one.day, date.today())
            record(
                "journal", after=said, entry=one.id, section=one.section, lesson=one.lesson, text=one.text, on=day.isoformat(),
                replaces=former.id if former else "",
            )  # fmt: skip
            before = Entry(one.id, one.section, one.lesson, one.text, day, old.answer if old else None)
        if one.answer is not None and one.answer != before.answer:
            record("answered", after=said, entry=one.id, answer=one.answer)
    for entry in gone:
        record("journal", after=said, entry=entry.id, gone=True)
    return entries(progress.load(ws.root))


def _of_this_machine(events: Iterable[Event]) -> list[str]:
    """Return the entries that were written here: those of another computer may not stand in the notebooks here."""
    import platform

    names = {
        event.data.get("entry") for event in events if event.kind == "journal" and event.machine == platform.node()
    }
    return sorted(name for name in names if isinstance(name, str))


def _taken_out_elsewhere(events: Iterable[Event]) -> set[str]:
    """Return the entries that another computer edited or took out last: their old text may still stand in the notebooks here."""
    import platform

    last: dict[str, str] = {}
    for event in events:
        id, replaced = event.data.get("entry"), event.data.get("replaces")
        if event.kind == "journal":
            last |= {replaced: event.machine} if replaced else {}
            last |= {id: event.machine if event.data.get("gone") is True else ""}
    return {id for id, machine in last.items() if machine not in ("", platform.node())}


def _former(one: Found, gone: list[Entry]) -> Entry | None:
    """Return the entry that this one was before it was edited, if it was one."""
    candidates = [entry for entry in gone if (entry.section, entry.lesson) == (one.section, one.lesson)]
    close = difflib.get_close_matches(one.text, [entry.text for entry in candidates], n=1, cutoff=ALIKE)
    return next((entry for entry in candidates if close and entry.text == close[0]), None)


# --- what was written, from the events ------------------------------------------------------------------------------


def entries(events: Iterable[Event]) -> list[Entry]:
    """Return the entries that stand, in the order of their days, and as they stand in the cells."""
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
                old = former or found.get(id)
                found[id] = replace(entry, answer=old.answer) if old else entry
        elif event.kind == "answered" and id in found:
            taken_back = event.data.get("open") is True
            found[id] = replace(found[id], answer=None if taken_back else str(event.data.get("answer") or ""))
    return sorted(found.values(), key=lambda entry: (entry.day, entry.lesson, entry.section))


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
    record_answer(id, **({"open": True} if is_open else {"answer": answer}))
    return questions[id]


def record_answer(id: str, **said) -> None:
    """Record what holds of a question from now on: its `answer`, or `open`."""
    before = [event for event in progress.load() if event.data.get("entry") == id]
    record("answered", after=before, entry=id, **said)


def lesson_of(entry: Entry, course: Course) -> Lesson | None:
    return next((lesson for lesson in course.lessons if lesson.id == entry.lesson), None)
