"""What a learner did, as an append-only file of events: `progress.jsonl` in the workspace.

`record` adds one line; `read`, `load` and `merge` give events back. A killed kernel can leave half a line behind: it is
skipped, and nothing else is lost. Two machines' files merge by union. Imports nothing of the package.

Events (`kind`, and what they hold besides id, at, day and machine):
    check    exercise, passed, held, total, mistake      hint     exercise, level
    borrow   exercise                                    give_up  exercise
    predict  question, choice (its text), sure           quiz     question, choice
    reveal   question, choice, sure (the prediction that stood then)
    open     lesson, sitting                             read     lesson
    plan     minutes, days, start, short, to, hour       rest     first, last (as dates), off (false: no days off any more)
    calendar days (the dates that were exported), sequence, name
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

MARKER = ".mechinterp"  # a folder that holds this folder is a workspace
FILE = "progress.jsonl"
_TIME = re.compile(r"[0-8]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z")
# What an event is about: text, if it is there.
NAMES = ("exercise", "question", "entry", "replaces", "card", "paper", "lesson")
_latest = datetime.min.replace(tzinfo=UTC)  # of this process's events
_ahead = _latest  # of those that had to be later than an event from the future
_session: list["Event"] = []  # what could not be written: it counts as long as the kernel lives
_told_once = False  # a disk that cannot be written is mentioned once


@dataclass(frozen=True)
class Event:
    """One line of the file. `at` is UTC with microseconds, `day` the date where the learner was."""

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
    """A list of events in order of time, and `damaged`, the number of lines that could not be read.

    `is_merged` says that they are in order and each is there once, so that nobody sorts ten thousand events twice.
    """

    def __init__(self, events: Iterable[Event] = (), damaged: int = 0, is_merged: bool = False):
        super().__init__(events)
        self.damaged = damaged
        self.is_merged = is_merged


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


def record(kind: str, *, after: Iterable[Event] = (), **data) -> None:
    """Add an event to the workspace's file; where there is no workspace, nothing is written.

    Where the last event says what holds (a plan, a mark), it must be later than those in `after`, which another computer, or a clock
    that was wrong, may have dated into the future. A disk that is full or read-only never stops a check: it is mentioned once.
    """
    global _told_once
    event = new_event(kind, data, after)
    workspace = find_workspace()
    if workspace is None:
        _session.append(event)
        return
    try:
        append(workspace / FILE, event.to_line())
    except OSError as error:
        _session.append(event)
        if not _told_once:
            _told_once = True
            print(f"Your progress could not be saved in {workspace / FILE} ({error.strerror}). Everything else works.")


def new_event(kind: str, data: dict, after: Iterable[Event] = ()) -> Event:
    """Return an event of this moment, not written anywhere yet; it is later than all of `after`."""
    global _latest, _ahead
    # Two events of one moment must stay in their order: a changed prediction would else be the old one.
    now = _latest = max(datetime.now(UTC), _latest + timedelta(microseconds=1))
    at, day = now, now.astimezone().date().isoformat()
    if last := max((datetime.fromisoformat(event.at) for event in after), default=None):
        at = _ahead = max(now, last + timedelta(milliseconds=1), _ahead + timedelta(microseconds=1))
    return Event(str(uuid.uuid4()), f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", kind, platform.node(), day, data)


def append(path: Path, line: str) -> None:
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
        text = Path(path).read_bytes().decode("utf-8-sig", errors="replace")
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
        name, at, kind = data.pop("id"), data.pop("at"), data.pop("kind")
        machine, day = data.pop("machine", ""), data.pop("day", at[:10])
        date.fromisoformat(day), datetime.fromisoformat(at)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(one, str) for one in (name, at, kind, machine, *(data.get(key, "") for key in NAMES))):
        return None
    return Event(name, at, kind, machine, day, data) if _TIME.fullmatch(at) else None


def merge(*logs: Path | Iterable[Event]) -> Log:
    """Return the union of files or lists of events, in order, each event once."""
    parts = [read(log) if isinstance(log, (str, Path)) else log for log in logs]
    parts = [part for part in parts if part or getattr(part, "damaged", 0)]
    if len(parts) == 1 and getattr(parts[0], "is_merged", False):
        return parts[0]
    return _ordered([event for part in parts for event in part], sum(getattr(part, "damaged", 0) for part in parts))


def _ordered(events: Iterable[Event], damaged: int = 0) -> Log:
    seen: dict[str, Event] = {}
    for event in events:
        other = seen.setdefault(event.id, event)
        # The same line twice is the usual case. Two lines of one id: the choice may not depend on which came first.
        if other is not event and other != event:
            seen[event.id] = min(event, other, key=lambda e: (e.at, e.to_line()))
    return Log(sorted(seen.values(), key=lambda e: (e.at, e.id)), damaged, is_merged=True)
