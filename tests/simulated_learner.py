"""A learner who works for sixty days, as events: works, skips, fails, uses hints, gives up, borrows, changes machines.

`simulate(course)` gives the events and a ledger of what the learner did, kept apart from the events, so that a test can hold
what the package says against what happened. Deterministic: a seed decides everything, and no clock is read.
"""

import random
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from mechinterp_course.tutor import plan, progress, today
from mechinterp_course.tutor.catalog import Course, Lesson
from mechinterp_course.tutor.progress import Event

START = date(2026, 3, 2)  # a Monday
MACHINES = ("laptop", "desktop")
# How often this learner is right, when this sure: surer than right.
RIGHT = {50: 0.45, 70: 0.55, 90: 0.65}


@dataclass
class Ledger:
    """What the learner did, written down as it happened."""

    worked: list[date] = field(default_factory=list)
    missed: list[date] = field(default_factory=list)  # planned days without work
    rests: list[date] = field(default_factory=list)
    passed: dict[str, date] = field(default_factory=dict)
    gave_up: dict[str, date] = field(default_factory=dict)
    borrowed: set[str] = field(default_factory=set)
    hints: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    read: dict[str, date] = field(default_factory=dict)  # lesson id -> day
    predictions: list[tuple[str, int, bool]] = field(default_factory=list)  # question, sure, right


@dataclass
class Learner:
    """The learner at work: `events` grows, and so does the ledger."""

    course: Course
    start: date = START
    seed: int = 0
    skips: float = 0.15
    weekend: float = 0.1
    events: list[Event] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.machine = MACHINES[0]
        self.now = datetime.combine(self.start, datetime.min.time())

    def record(self, kind: str, **data) -> None:
        """Write an event down, half a minute after the one before."""
        self.now += timedelta(seconds=30)
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.seed}/{len(self.events)}"))
        at = self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.events.append(Event(name, at, kind, self.machine, self.now.date().isoformat(), data))

    # --- days ---

    def run(self, days: int) -> "Learner":
        """Live through the days: a plan on the first, a week off in the fifth, and in between work or not."""
        for i in range(days):
            day = self.start + timedelta(days=i)
            self.now = datetime.combine(day, datetime.min.time()) + timedelta(hours=18)
            self.machine = MACHINES[(i // 4) % 2]
            if i == 0:
                self.record("plan", **plan.Plan(start=day).data)
            if i == 28:
                first, last = day, day + timedelta(days=6)
                self.record("rest", first=first.isoformat(), last=last.isoformat())
                self.ledger.rests += [first + timedelta(days=n) for n in range(7)]
            self._day(day)
        return self

    def _day(self, day: date) -> None:
        planned = day.weekday() < 5 and day not in self.ledger.rests
        works = self.random.random() < ((1 - self.skips) if planned else self.weekend)
        if day in self.ledger.rests:
            works = False
        if planned and not works:
            self.ledger.missed.append(day)
        if not works:
            return
        self.record("open", lesson="", sitting="")
        state = progress.state(self.events, self.course)
        hour = today.today(self.events, state, self.course, plan.plans(self.events), day)
        pieces = [item.piece for item in hour.items] or ([hour.next] if hour.next else [])
        before = len(self.events)
        for piece in pieces:
            if piece.is_reading:
                self._read(piece.lesson, day)
            elif not self._lab(piece.exercises, day):
                break  # that is enough for a day
        if len(self.events) > before:
            self.ledger.worked.append(day)
        elif planned:
            self.ledger.missed.append(day)  # opened, and did nothing

    # --- sittings ---

    def _read(self, lesson: Lesson, day: date) -> None:
        asked = [c.marks for c in lesson.lesson_cells if {"predict", "quiz"} & set(c.marks)]
        for marks in asked:
            question = self.course.questions[marks.get("predict") or marks["quiz"]]
            sure = self.random.choice((50, 70, 70, 90))
            right = self.random.random() < RIGHT[sure]
            wrong = [i for i in range(len(question.choices)) if i != question.answer]
            choice = question.choices[question.answer if right else self.random.choice(wrong)]
            if question.kind == "quiz":
                self.record("quiz", question=question.id, choice=choice)
                continue
            self.record("predict", question=question.id, choice=choice, sure=sure)
            self.record("reveal", question=question.id, choice=choice, sure=sure)
            self.ledger.predictions.append((question.id, sure, right))
        if not asked:
            self.record("read", lesson=lesson.id)
        self.ledger.read.setdefault(lesson.id, day)

    def _lab(self, exercises: tuple[str, ...], day: date) -> bool:
        """Work on the exercises; False where the learner stops before the last one."""
        for name in exercises:
            if self.random.random() < 0.08:
                return False
            self._exercise(name, day)
        return True

    def _exercise(self, name: str, day: date) -> None:
        for n in range(self.random.choice((0, 0, 1, 1, 2, 4))):
            mistake = self.random.choice(("", "", "a named mistake"))
            self._check(name, False, mistake)
            if n and self.ledger.hints.get(name, 0) < 3:
                self.ledger.hints[name] = self.ledger.hints.get(name, 0) + 1
                self.record("hint", exercise=name, level=self.ledger.hints[name])
        fate = self.random.random()
        if fate < 0.05:
            self.record("give_up", exercise=name)
            self.ledger.gave_up.setdefault(name, day)
        elif fate < 0.17 and name not in self.ledger.borrowed:
            self.record("borrow", exercise=name)  # and back to it another day
            self.ledger.borrowed.add(name)
        else:
            self._check(name, True)
            self.ledger.passed.setdefault(name, day)

    def _check(self, name: str, passed: bool, mistake: str = "") -> None:
        self.ledger.tries[name] = self.ledger.tries.get(name, 0) + 1
        self.record("check", exercise=name, passed=passed, held=5 if passed else 2, total=5, mistake=mistake)


def simulate(course: Course, days: int = 60, seed: int = 0, **options) -> Learner:
    """Return the learner after that many days; `learner.events` and `learner.ledger` say what they did."""
    return Learner(course, seed=seed, **options).run(days)


def padded(events: list[Event], count: int) -> list[Event]:
    """Return the events and, on the same days, as many failed checks more as make `count`."""
    checks = [event for event in events if event.kind == "check"]
    more = [
        Event(str(uuid.uuid5(uuid.NAMESPACE_DNS, str(i))), like.at, "check", like.machine, like.day,
              {**like.data, "passed": False})
        for i in range(max(0, count - len(events)))
        for like in [checks[i % len(checks)]]
    ]  # fmt: skip
    return [*events, *more]
