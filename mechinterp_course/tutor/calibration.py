"""Calibration: how often a learner is right when they are 50, 70 or 90 % sure. A function of the events and the course.

A prediction counts once it was revealed, as it stood then. Shares carry their 95 % interval (Wilson 1927), because a handful
of answers says little; below `ENOUGH` answers nothing is concluded at all. Imports `catalog` and `progress` only.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from .catalog import Course
from .events import Event
from .progress import State

LEVELS = (50, 70, 90)
ENOUGH = 10  # fewer answers are shown, and nothing is concluded from them
Z = 1.959964  # a normal distribution holds 95 % within this many standard deviations


@dataclass(frozen=True)
class Answer:
    """One prediction that was revealed."""

    question: str
    lesson: str
    sure: int
    right: bool
    day: date


@dataclass(frozen=True)
class Group:
    """Some answers together: how sure they were on average, how many were right, and what can be said of that."""

    name: str
    count: int
    right: int
    sure: float  # percent

    @property
    def share(self) -> float:
        """The percentage that was right."""
        return 100 * self.right / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share, in percent."""
        low, high = wilson(self.right, self.count)
        return 100 * low, 100 * high

    @property
    def missing(self) -> int:
        """How many more answers it takes until something can be said."""
        return max(0, ENOUGH - self.count)

    @property
    def verdict(self) -> str:
        low, high = self.interval
        if self.missing:
            return f"{self.missing} more to say anything"
        if self.sure > high:
            return "surer than right"
        if self.sure < low:
            return "more often right than you thought"
        return "fits"


@dataclass(frozen=True)
class Calibration:
    """All answers in order of time, grouped by how sure, by lesson, and by blocks of ten in time."""

    answers: tuple[Answer, ...]
    all: Group
    levels: tuple[Group, ...]
    lessons: tuple[Group, ...]
    blocks: tuple[Group, ...]  # whole blocks only

    @property
    def sentence(self) -> str:
        """What can be said, in a sentence or two."""
        group = self.all
        if not group.count:
            return f"No prediction with its answer yet. After {ENOUGH} of them there is something to say."
        so_far = f"{group.right} of {group.count} predictions right, {group.sure:.0f} % sure on average"
        if group.missing:
            more = "one more prediction" if group.missing == 1 else f"{group.missing} more predictions"
            return f"{so_far}. Too few to say more: {more}, and there is something to see."
        low, high = group.interval
        so_far = f"{so_far}. Between {low:.0f} and {high:.0f} % right is what {group.count} answers can tell, and"
        return f"{so_far} {_MEANING[group.verdict]}"


_MEANING = {
    "fits": "how sure you are lies within that: it fits.",
    "surer than right": "you are surer than that: where you want to say 90, try 70.",
    "more often right than you thought": "you are less sure than that: you know more than you think.",
}


def wilson(right: int, count: int, z: float = Z) -> tuple[float, float]:
    """Return Wilson's interval of a share: sound for few answers too, where the share ± its standard error is not.

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n); (0, 1) for no answers.
    """
    if not count:
        return 0.0, 1.0
    share, square = right / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration(events: Iterable[Event], state: State, course: Course) -> Calibration:
    """Return how the predictions went. `events` in order; `state` follows from them."""
    answers = _answers(events, state, course)
    levels = tuple(_group(f"{level} %", [a for a in answers if a.sure == level], level) for level in LEVELS)
    titles = {lesson.id: f"{lesson.number} {lesson.title}" for lesson in course.lessons}
    lessons = tuple(
        _group(title, own) for id, title in titles.items() if (own := [a for a in answers if a.lesson == id])
    )
    blocks = tuple(
        _group(f"{first + 1}–{first + ENOUGH}", answers[first : first + ENOUGH])
        for first in range(0, len(answers) - ENOUGH + 1, ENOUGH)
    )
    return Calibration(tuple(answers), _group("all", answers), levels, lessons, blocks)


def _answers(events: Iterable[Event], state: State, course: Course) -> list[Answer]:
    """Return the predictions that were revealed, in the order of their reveals."""
    found: dict[str, Answer] = {}
    for event in events:
        asked = event.data.get("question")
        if event.kind != "reveal" or not isinstance(asked, str) or asked in found or asked not in state.questions:
            continue
        now = state.questions[asked]
        if now.kind == "predict" and now.choice is not None and now.sure in LEVELS:
            day = date.fromisoformat(event.day)
            found[asked] = Answer(asked, course.questions[asked].lesson, now.sure, bool(now.right), day)
    return list(found.values())


def _group(name: str, answers: list[Answer], sure: float = math.nan) -> Group:
    if answers:
        sure = sum(answer.sure for answer in answers) / len(answers)
    return Group(name, len(answers), sum(answer.right for answer in answers), sure)
