"""Where a learner left off, in words, and which notebook to open. A function of the progress file, the course and the clock."""

from dataclasses import dataclass
from datetime import date, datetime

from . import workspace
from .catalog import Course
from .dates import short_date
from .glance import Glance, of_workspace
from .progress import NOT_WORK, Event
from .workspace import Workspace


@dataclass(frozen=True)
class Resume:
    """What `mechinterp` says. `last` is empty on the first day, `next` once everything is done."""

    last: str
    next: str
    minutes: int
    passed: int
    total: int
    notebook: str  # the one to open, as a path in the workspace
    lesson: str
    sitting: str
    glance: Glance


def resume(ws: Workspace, course: Course, now: datetime) -> Resume:
    """Return where the learner is."""
    seen = of_workspace(ws.root, course, now.date())
    piece = seen.today.next
    notebook = workspace.HOME
    if piece:
        notebook = workspace.reading_path(piece.lesson) if piece.is_reading else workspace.lab_path(piece.lesson)
    return Resume(
        last=last_time(seen.events, now),
        next=next_words(seen),
        minutes=piece.minutes if piece else 0,
        passed=sum(lesson.passed for lesson in seen.state.lessons.values()),
        total=len(course.exercises),
        notebook=notebook,
        lesson=piece.lesson.id if piece else "",
        sitting=piece.sitting if piece else "",
        glance=seen,
    )


def next_words(seen: Glance) -> str:
    """Return what comes next: "Lesson 02, A transformer from scratch: lab A, from the exercise causal_mask"."""
    piece = seen.today.next
    if piece is None:
        return ""
    exercise = ""
    if piece.exercises:
        begun = any(s.done for s in seen.state.lessons[piece.lesson.id].sittings if s.name == piece.sitting)
        exercise = f", {'from' if begun else 'beginning with'} the exercise {piece.exercises[0]}"
    return f"Lesson {piece.lesson.number}, {piece.lesson.title}: {piece.sitting}{exercise}"


def last_time(events: list[Event], now: datetime) -> str:
    """Return when the learner was last here and what they did that day; empty where they never were."""
    # Opening a notebook and planning are recorded too; what was done says more.
    events = [event for event in events if date.fromisoformat(event.day) <= now.date()] or list(events)
    told = [event for event in events if event.kind not in NOT_WORK] or events
    if not told:
        return ""
    last = told[-1]
    today = [event for event in told if event.day == last.day]
    passed = {e.data.get("exercise"): None for e in today if e.kind == "check" and e.data.get("passed") is True}
    if len(passed) > 1:
        did = f"you passed {len(passed)} exercises, the last one {list(passed)[-1]}"
    else:
        did = f"you {_did(last)}"
    return f"{_when(last, now)}: {did}"


def _did(event: Event) -> str:
    exercise = event.data.get("exercise", "an exercise")
    if event.kind == "check":
        return f"{'passed' if event.data.get('passed') is True else 'worked on'} {exercise}"
    words = {
        "hint": f"took a hint for {exercise}",
        "borrow": f"borrowed {exercise}",
        "give_up": f"looked at the answer to {exercise}",
        "predict": "made a prediction",
        "quiz": "answered a question",
        "reveal": "looked at how a prediction went",
        "read": f"read lesson {str(event.data.get('lesson', ''))[1:3]}",
        "plan": "made a plan",
        "rest": "took days off",
        "calendar": "wrote your calendar",
        "open": f"opened lesson {str(event.data.get('lesson', ''))[1:3]}",
    }
    return words.get(event.kind, "were here")


def _when(event: Event, now: datetime) -> str:
    """Return a day as people name it; `day` is the date where the learner was."""
    day = date.fromisoformat(event.day)
    ago = (now.date() - day).days
    moment = datetime.fromisoformat(event.at.replace("Z", "+00:00")).astimezone(now.tzinfo)
    if ago == 0:
        return f"Today at {moment:%H:%M}"
    if ago == 1:
        return f"Yesterday at {moment:%H:%M}"
    if 0 < ago < 7:
        return f"Last {day:%A}"
    return short_date(day, now.year)
