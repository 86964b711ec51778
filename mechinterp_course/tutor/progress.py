"""A learner's state: what is passed, what comes next, what was predicted. A function of the events (`events.py`) and the course.

Whatever the order of the events, and however often one stands there, the state is the same. The functions on events have
their names here too: `progress.record`, `progress.load`. Imports `catalog` and `events` only, so that `mechinterp status` is fast.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from .catalog import Course, Lesson, Question
from .events import FILE, MARKER, Event, Log, find_workspace, load, merge, parse, read, record

__all__ = [
    "FILE",
    "MARKER",
    "Event",
    "ExerciseState",
    "LessonState",
    "Log",
    "Next",
    "QuestionState",
    "SittingState",
    "State",
    "find_workspace",
    "load",
    "merge",
    "parse",
    "question_state",
    "read",
    "record",
    "state",
]

NOT_WORK = ("open", "plan", "rest", "calendar")  # kinds of events that do not make a day one that was worked on


@dataclass
class ExerciseState:
    """What happened with one exercise. `passed` is the time of the first pass and stays, whatever comes later.

    Tries and mistakes are those on the way there: to run a passed check again is no try.
    """

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
    days: tuple[date, ...]  # on which something was done, in order (opening a notebook and planning do not count)


def state(events: Iterable[Event], course: Course) -> State:
    """Return the state that follows from the events, in whatever order they come."""
    events = merge(events)
    exercises = {name: ExerciseState(name) for name in course.exercises}
    questions = {q.id: QuestionState(q.id, q.kind) for q in course.questions.values()}
    opened = set()
    for event in events:
        name = event.data.get("exercise")
        name = course.renamed.get(name, name) if isinstance(name, str) else None
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
        days=tuple(sorted(map(date.fromisoformat, {e.day for e in events if e.kind not in NOT_WORK}))),
    )


def question_state(events: Iterable[Event], question: Question) -> QuestionState:
    """Return the state of one question alone."""
    standing = QuestionState(question.id, question.kind)
    for event in merge(events):
        if event.data.get("question") == question.id:
            _apply_to_question(standing, question, event)
    return standing


def _apply_to_exercise(exercise: ExerciseState, event: Event) -> None:
    data = event.data
    if event.kind == "check" and exercise.passed is None:
        exercise.tries += 1
        if data.get("passed") is True:
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
