"""Where a learner left off, in words, and which notebook to open. A function of the progress file, the course and the clock."""

from dataclasses import dataclass
from datetime import date, datetime

from . import progress, workspace
from .catalog import Course
from .progress import Event, State
from .workspace import Workspace


@dataclass(frozen=True)
class Resume:
    """What `mechinterp` says. `last` is empty on the first day, `next` once everything is done."""

    last: str
    next: str
    minutes: int
    passed: int
    total: int
    streak: int
    notebook: str  # the one to open, as a path in the workspace
    lesson: str = ""
    sitting: str = ""


def resume(ws: Workspace, course: Course, now: datetime) -> Resume:
    """Return where the learner is."""
    events = progress.load(ws.root)
    state = progress.state(events, course)
    following = state.next
    done = sum(lesson.passed for lesson in state.lessons.values())
    common = {
        "last": last_time(events, now),
        "passed": done,
        "total": len(course.exercises),
        "streak": state.streak(now.date()),
    }
    if following is None:
        return Resume(next="", minutes=0, notebook=workspace.HOME, **common)
    lesson, sitting = following.lesson, following.sitting
    reading = sitting.name == "reading"
    return Resume(
        next=next_words(state),
        minutes=sitting.minutes_left,
        notebook=workspace.reading_path(lesson) if reading else workspace.lab_path(lesson),
        lesson=lesson.id,
        sitting=sitting.name,
        **common,
    )


def next_words(state: State) -> str:
    """Return what comes next: "Lesson 02, A transformer from scratch: lab A, from the exercise causal_mask"."""
    following = state.next
    if following is None:
        return ""
    exercise = ""
    if following.exercise:
        exercise = f", {'from' if following.sitting.done else 'beginning with'} the exercise {following.exercise}"
    return f"Lesson {following.lesson.number}, {following.lesson.title}: {following.sitting.name}{exercise}"


def last_time(events: list[Event], now: datetime) -> str:
    """Return when the learner was last here and what they did that day; empty where they never were."""
    # Opening a notebook is recorded too; what was done in it says more.
    told = [event for event in events if event.kind != "open"] or list(events)
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
        "open": f"opened lesson {str(event.data.get('lesson', ''))[1:3]}",
    }
    return words.get(event.kind, "were here")


def _when(event: Event, now: datetime) -> str:
    """Return a day as people name it; `day` is the date where the learner was."""
    day = date.fromisoformat(event.day)
    ago = (now.date() - day).days
    moment = datetime.fromisoformat(event.at.replace("Z", "+00:00")).astimezone(now.tzinfo)
    if ago <= 0:
        return f"Today at {moment:%H:%M}"
    if ago == 1:
        return f"Yesterday at {moment:%H:%M}"
    if ago < 7:
        return f"Last {day:%A}"
    return f"{day.day} {day:%B}" + (f" {day.year}" if day.year != now.year else "")
