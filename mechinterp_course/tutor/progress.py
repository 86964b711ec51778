"""What a learner did, as an append-only file of events, and the state that follows from it.

`record` adds one line to `progress.jsonl` in the workspace; `read` and `merge` give events; `state` says, from the events
alone, what is passed and what comes next. A killed kernel can leave half a line behind: it is skipped, and nothing else is
lost. Two machines' files merge by union. Imports `catalog` only, so that `mechinterp status` is fast.

Events (`kind`, and what they hold besides id, at, day and machine):
    check    exercise, passed, held, total, mistake      hint     exercise, level
    borrow   exercise                                    give_up  exercise
    predict  question, choice (its text), sure           quiz     question, choice
    reveal   question, choice, sure (the prediction that stood then)
    open     lesson, sitting                             read     lesson
"""

import json
import os
import platform
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from .catalog import Course, Lesson, Question

MARKER = ".mechinterp"  # a folder that holds this folder is a workspace
FILE = "progress.jsonl"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_session: list["Event"] = []  # what could not be written: it counts as long as the kernel lives
_told_once = False  # a disk that cannot be written is mentioned once


@dataclass(frozen=True)
class Event:
    """One line of the file. `at` is UTC with milliseconds, `day` the date where the learner was."""

    id: str
    at: str
    kind: str
    machine: str
    day: str
    data: dict = field(hash=False)

    def to_line(self) -> str:
        head = {"id": self.id, "at": self.at, "day": self.day, "kind": self.kind, "machine": self.machine}
        return json.dumps({**self.data, **head}, sort_keys=True, default=str)


class Log(list):
    """A list of events in order of time, and `damaged`, the number of lines that could not be read."""

    def __init__(self, events: Iterable[Event] = (), damaged: int = 0):
        super().__init__(events)
        self.damaged = damaged


# --- writing --------------------------------------------------------------------------------------------------------


def find_workspace(start: Path | None = None) -> Path | None:
    """Return the workspace: $MECHINTERP_WORKSPACE, or the nearest folder from `start` upwards that holds `.mechinterp`.

    None where there is none, where the variable is empty, and while nbgrader grades: then nothing is recorded.
    """
    if os.environ.get("NBGRADER_EXECUTION"):
        return None
    named = os.environ.get("MECHINTERP_WORKSPACE")
    if named is not None:
        return Path(named) if named else None
    try:
        start = Path(start or Path.cwd()).resolve()
    except OSError:  # the current folder was deleted
        return None
    return next((folder for folder in (start, *start.parents) if (folder / MARKER).is_dir()), None)


def record(kind: str, **data) -> None:
    """Add an event to the workspace's file; where there is no workspace, nothing is written.

    A disk that is full or read-only never stops a check: it is mentioned once. Whoever runs a notebook in the learner's
    place sets $MECHINTERP_HEADLESS: then only checks count, because no one saw a reveal.
    """
    global _told_once
    if os.environ.get("MECHINTERP_HEADLESS") and kind != "check":
        return
    event = _new_event(kind, data)
    workspace = find_workspace()
    if workspace is None:
        _session.append(event)
        return
    try:
        _append(workspace / FILE, event.to_line())
    except OSError as error:
        _session.append(event)
        if not _told_once:
            _told_once = True
            print(f"Your progress could not be saved in {workspace / FILE} ({error.strerror}). Everything else works.")


def _new_event(kind: str, data: dict) -> Event:
    now = datetime.now(UTC)
    at = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
    return Event(str(uuid.uuid4()), at, kind, platform.node(), now.astimezone().date().isoformat(), data)


def _append(path: Path, line: str) -> None:
    """Add a line with one write, on a line of its own even where a killed kernel left half a line."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    file = os.open(path, flags, 0o644)
    try:
        size = os.lseek(file, 0, os.SEEK_END)
        unfinished = False
        if size:
            os.lseek(file, size - 1, os.SEEK_SET)
            unfinished = os.read(file, 1) != b"\n"
        os.write(file, (("\n" if unfinished else "") + line + "\n").encode())
        os.fsync(file)
    finally:
        os.close(file)


# --- reading --------------------------------------------------------------------------------------------------------


def load(workspace: Path | None = None) -> Log:
    """Return the events of a workspace (by default the one around the current folder) and of this session, in order.

    Every `progress*.jsonl` in it counts, so a file copied from another machine, or the copy that a synchronised folder
    makes of a conflict, needs only to lie there.
    """
    workspace = workspace or find_workspace()
    files = sorted(Path(workspace).glob("progress*.jsonl")) if workspace else []
    return merge(*files, _session)


def read(path: Path) -> Log:
    """Return the events of one file in order of (at, id), each once; lines that are damaged are skipped and counted."""
    try:
        text = Path(path).read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return Log()
    events, damaged = [], 0
    for line in text.split("\n"):
        if line.strip():
            event = parse(line)
            events += [event] if event else []
            damaged += event is None
    return _ordered(events, damaged)


def parse(line: str) -> Event | None:
    """Return the event on a line, or None where the line is not a whole event."""
    try:
        data = json.loads(line)
        head = {key: data.pop(key) for key in ("id", "at", "kind")}
        head |= {"machine": data.pop("machine", ""), "day": data.pop("day", head["at"][:10])}
        date.fromisoformat(head["day"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in head.values()) or not _TIME.fullmatch(head["at"]):
        return None
    return Event(data=data, **head)


def merge(*logs: Path | Iterable[Event]) -> Log:
    """Return the union of files or lists of events, in order, each event once."""
    parts = [read(log) if isinstance(log, (str, Path)) else log for log in logs]
    return _ordered([event for part in parts for event in part], sum(getattr(part, "damaged", 0) for part in parts))


def _ordered(events: Iterable[Event], damaged: int = 0) -> Log:
    seen = {}
    for event in sorted(events, key=lambda e: (e.at, e.id, e.to_line())):
        seen.setdefault(event.id, event)
    return Log(seen.values(), damaged)


# --- the state ------------------------------------------------------------------------------------------------------


@dataclass
class ExerciseState:
    """What happened with one exercise. `passed` is the time of the first pass and stays, whatever comes later."""

    name: str
    passed: str | None = None
    tries: int = 0
    hints: set[int] = field(default_factory=set)
    borrowed: bool = False
    gave_up: bool = False
    mistakes: list[str] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: passed, or given up."""
        return bool(self.passed) or self.gave_up


@dataclass
class QuestionState:
    """The answer to a prediction or a quiz question: the index of the choice (None: no answer), and how sure, in percent."""

    id: str
    kind: str
    choice: int | None = None
    sure: int | None = None
    right: bool | None = None
    revealed: bool = False


@dataclass(frozen=True)
class SittingState:
    """How far a sitting is: exercises done of all, and the minutes left."""

    name: str
    done: int
    total: int
    minutes: int
    minutes_left: int

    @property
    def finished(self) -> bool:
        return self.minutes_left == 0 and self.done == self.total


@dataclass(frozen=True)
class LessonState:
    """How far a lesson is; `done` and `total` count its exercises, `passed` those that were passed."""

    lesson: Lesson
    sittings: tuple[SittingState, ...]
    done: int
    passed: int
    total: int
    begun: bool

    @property
    def minutes_left(self) -> int:
        return sum(sitting.minutes_left for sitting in self.sittings)

    @property
    def finished(self) -> bool:
        return all(sitting.finished for sitting in self.sittings)


@dataclass(frozen=True)
class Next:
    """Where to go on: a lesson, one of its sittings ("reading", "lab", "lab A", ...) and there the exercise, if it is a lab."""

    lesson: Lesson
    sitting: SittingState
    exercise: str | None


@dataclass(frozen=True)
class State:
    """Everything that is shown of a learner's progress: a function of the events and of the course."""

    exercises: dict[str, ExerciseState]
    questions: dict[str, QuestionState]
    lessons: dict[str, LessonState]  # by lesson id, in the order of the course
    last: Event | None
    next: Next | None  # None once everything is done
    days: tuple[date, ...]  # on which something was done, in order

    def streak(self, today: date) -> int:
        """Return how many days in a row, up to today or yesterday, something was done."""
        days, day = set(self.days), today
        if day not in days:
            day -= timedelta(days=1)
        count = 0
        while day in days:
            count, day = count + 1, day - timedelta(days=1)
        return count


def state(events: Iterable[Event], course: Course) -> State:
    """Return the state that follows from the events, in whatever order they come."""
    events = _ordered(events)
    exercises = {name: ExerciseState(name) for name in course.exercises}
    questions = {q.id: QuestionState(q.id, q.kind) for q in course.questions.values()}
    renamed = {old: name for name, e in course.exercises.items() for old in e.card.renamed_from}
    opened = set()
    for event in events:
        name = event.data.get("exercise")
        name = renamed.get(name, name) if isinstance(name, str) else None
        if name in exercises:
            _apply_to_exercise(exercises[name], event)
        asked = event.data.get("question")
        if isinstance(asked, str) and asked in questions:
            _apply_to_question(questions[asked], course.questions[asked], event)
        if event.kind == "read" and isinstance(event.data.get("lesson"), str):
            opened.add(event.data["lesson"])
    lessons = {lesson.id: _lesson_state(lesson, exercises, questions, lesson.id in opened) for lesson in course.lessons}
    return State(
        exercises,
        questions,
        lessons,
        last=events[-1] if events else None,
        next=_next(lessons.values(), exercises),
        days=tuple(sorted({date.fromisoformat(event.day) for event in events})),
    )


def question_state(events: Iterable[Event], question: Question) -> QuestionState:
    """Return the state of one question alone."""
    standing = QuestionState(question.id, question.kind)
    for event in _ordered(events):
        if event.data.get("question") == question.id:
            _apply_to_question(standing, question, event)
    return standing


def _apply_to_exercise(exercise: ExerciseState, event: Event) -> None:
    data = event.data
    if event.kind == "check":
        exercise.tries += 1
        if data.get("passed") is True and exercise.passed is None:
            exercise.passed = event.at
        mistake = data.get("mistake")
        if isinstance(mistake, str) and mistake and mistake not in exercise.mistakes:
            exercise.mistakes.append(mistake)
    elif event.kind == "hint" and data.get("level") in (1, 2, 3):
        exercise.hints.add(data["level"])
    elif event.kind == "borrow":
        exercise.borrowed = True
    elif event.kind == "give_up":
        exercise.gave_up = True


def _apply_to_question(state: QuestionState, question: Question, event: Event) -> None:
    """The last answer counts, until a reveal: that one carries the prediction which stood then, whatever a clock says."""
    text = event.data.get("choice")
    known = isinstance(text, str) and text in question.choices
    first_reveal = event.kind == "reveal" and not state.revealed
    answered = event.kind in ("predict", "quiz") and not (state.revealed and state.choice is not None)
    if known and (answered or first_reveal):
        state.choice = question.choices.index(text)
        state.right = state.choice == question.answer
        state.sure = event.data.get("sure") if isinstance(event.data.get("sure"), int) else None
    state.revealed |= event.kind == "reveal"


def _lesson_state(lesson: Lesson, exercises: dict, questions: dict, read: bool) -> LessonState:
    own = [exercises[e.name] for e in lesson.exercises]
    begun = any(e.tries or e.hints or e.borrowed or e.gave_up for e in own)
    asked = [
        questions[cell.marks[kind]]
        for cell in lesson.lesson_cells
        for kind in cell.marks
        if kind in ("predict", "quiz")
    ]
    seen = [q for q in asked if q.revealed or (q.kind == "quiz" and q.choice is not None)]
    # Nobody clicks "I have read this": the reading is done once its questions are, or once the lab is begun.
    has_read = read or begun or (bool(asked) and len(seen) == len(asked))
    sittings = []
    for sitting in lesson.sittings:
        if sitting.name == "reading":
            left = 0 if has_read else sitting.minutes
            sittings.append(SittingState("reading", int(has_read), 1, sitting.minutes, left))
            continue
        done = [name for name in sitting.exercises if exercises[name].settled]
        left = sum(e.card.minutes for e in lesson.exercises if e.name in sitting.exercises and e.name not in done)
        sittings.append(SittingState(sitting.name, len(done), len(sitting.exercises), sitting.minutes, left))
    passed = sum(bool(e.passed) for e in own)
    answered = any(q.revealed or q.choice is not None for q in asked)
    return LessonState(
        lesson, tuple(sittings), sum(e.settled for e in own), passed, len(own), read or begun or answered
    )


def _next(lessons: Iterable[LessonState], exercises: dict[str, ExerciseState]) -> Next | None:
    for state in lessons:
        for plan, sitting in zip(state.lesson.sittings, state.sittings, strict=True):
            if sitting.finished:
                continue
            left = [name for name in plan.exercises if not exercises[name].settled]
            # A borrowed one was put off on purpose: first the others, then back to it.
            untouched = [name for name in left if not exercises[name].borrowed]
            return Next(state.lesson, sitting, (untouched or left or [None])[0])
    return None
