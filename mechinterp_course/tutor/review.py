"""Five minutes of review: what is due today, and what was remembered. A function of the events and the course.

Cards come from what a learner did: exercises that were passed, quiz questions that were missed, predictions that were wrong and sure, the
terms of lessons that were read, and the questions of the learner's own journal. When they come back is said by `schedule.py`.
A look at a card is the event `review`. Imports nothing heavy.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from ..errors import unknown
from . import schedule
from .catalog import Course, Lesson
from .events import Event, merge, record
from .history import finished
from .schedule import RATINGS, Rated

MINUTES = 5
SURE = 70  # a wrong prediction that was at least this sure comes back
NEW_TERMS = 3  # terms that were never asked for, on one day
LEARNED_WITH_EFFORT = 5  # tries after which an exercise comes back sooner
COSTS = {"exercise": 3.0, "quiz": 1.0, "predict": 1.0, "term": 0.5, "question": 1.0}  # minutes
_TERM = re.compile(r"\[\[term:([^\]|]+)")


@dataclass(frozen=True)
class Card:
    """One thing to be asked again. `id` is its kind and its name; `why` says, in a sentence, why it is here."""

    id: str
    due: date
    lesson: str
    why: str
    looks: int  # how often it was reviewed
    last: date | None = None  # the day of the last look

    @property
    def kind(self) -> str:
        return self.id.split(":", 1)[0]

    @property
    def name(self) -> str:
        return self.id.split(":", 1)[1]

    @property
    def minutes(self) -> float:
        return COSTS[self.kind]

    @property
    def seed(self) -> int:
        """The seed of an exercise's new inputs: another one at every look, the same on every machine."""
        return 1_000 + self.looks


@dataclass(frozen=True)
class _Born:
    """Where a card begins: its first rating and day; a term has no rating until somebody was asked for it."""

    day: date
    lesson: str
    why: str
    rating: str | None


def cards(events: Iterable[Event], course: Course, questions: Iterable[tuple[str, date, str]] = ()) -> list[Card]:
    """Return every card, in the order of their due days.

    questions: the open questions of the journal, as (id, day, lesson).
    """
    events = merge(events)
    born = {
        **_exercises(events, course),
        **_questions(events, course),
        **_terms(events, course),
        **{
            f"question:{id}": _Born(day, lesson, "You asked it, and it is still open.", "again")
            for id, day, lesson in questions
        },
    }
    looks = _looks(events, course)
    found = []
    for id, birth in born.items():
        mine = [look for look in looks.get(id, ()) if look.day >= birth.day]
        history = [*([Rated(birth.day, birth.rating)] if birth.rating else []), *mine]
        last = mine[-1].day if mine else None
        found.append(
            Card(id, schedule.due(history) if history else birth.day, birth.lesson, birth.why, len(mine), last)
        )
    return sorted(found, key=lambda card: (card.due, card.kind, card.id))


def due(cards: Iterable[Card], day: date) -> list[Card]:
    """Return which of all cards are due on a day, the longest overdue first; of new terms only a few on one day."""
    cards = list(cards)
    mine = [card for card in cards if card.due <= day]
    new = [card for card in mine if card.kind == "term" and not card.looks]
    met = sum(card.kind == "term" and card.looks == 1 and card.last == day for card in cards)
    return [card for card in mine if card not in new] + new[: max(0, NEW_TERMS - met)]


def session(cards: Iterable[Card], day: date, minutes: float = MINUTES) -> list[Card]:
    """Return which of all cards fit into so many minutes of what is due: at least one card, the longest overdue first."""
    return _fitting(due(cards, day), minutes, at_least=1)


def todays(cards: Iterable[Card], day: date) -> list[Card]:
    """Return what is left of a day's five minutes: those that were spent on cards that day are taken off."""
    cards = list(cards)
    spent = sum(card.minutes for card in cards if card.last == day)
    return _fitting(due(cards, day), MINUTES - spent, at_least=0 if spent else 1)


def _fitting(cards: list[Card], minutes: float, at_least: int) -> list[Card]:
    chosen: list[Card] = []
    for card in cards:
        if card.minutes <= minutes or len(chosen) < at_least:
            chosen.append(card)
            minutes -= card.minutes
    return chosen


def rate(card: Card, rating: str, **more) -> None:
    """Record a look at a card. Raises CourseError for a rating that there is not."""
    if rating not in RATINGS:
        raise unknown("rating", rating, list(RATINGS))
    record("review", card=card.id, rating=rating, **more)


# --- where cards come from ------------------------------------------------------------------------------------------


def _looks(events: Iterable[Event], course: Course) -> dict[str, list[Rated]]:
    found: dict[str, list[Rated]] = {}
    renamed = {f"exercise:{old}": f"exercise:{name}" for old, name in course.renamed.items()}
    for event in events:
        id, rating = event.data.get("card"), event.data.get("rating")
        if event.kind == "review" and isinstance(id, str) and rating in RATINGS:
            id = renamed.get(id, id)
            found.setdefault(id, []).append(Rated(date.fromisoformat(event.day), rating))
    return found


def _exercises(events: Iterable[Event], course: Course) -> dict[str, _Born]:
    """An exercise is a card from the day on which it was first passed, or given up."""
    tries: dict[str, int] = {}
    helped: set[str] = set()
    found: dict[str, _Born] = {}
    for event in events:
        name = event.data.get("exercise")
        name = course.renamed.get(name, name) if isinstance(name, str) else None
        id = f"exercise:{name}"
        if name not in course.exercises or id in found:
            continue
        day, lesson = date.fromisoformat(event.day), course.exercises[name].lesson
        if event.kind == "hint" and event.data.get("level") == 3:
            helped.add(name)
        elif event.kind == "give_up":
            found[id] = _Born(day, lesson, "You left it to the course.", "again")
        elif event.kind == "check":
            tries[name] = tries.get(name, 0) + 1
            if event.data.get("passed") is True:
                hard = name in helped or tries[name] >= LEARNED_WITH_EFFORT
                why = "It took you some effort." if hard else "You have solved it before."
                found[id] = _Born(day, lesson, why, "hard" if hard else "good")
    return found


def _questions(events: Iterable[Event], course: Course) -> dict[str, _Born]:
    """A quiz question is a card once it was missed, a prediction once its reveal showed that it was wrong and sure."""
    found: dict[str, _Born] = {}
    for event in events:
        name, choice, sure = (event.data.get(key) for key in ("question", "choice", "sure"))
        if not isinstance(name, str) or name not in course.questions:
            continue
        asked, day = course.questions[name], date.fromisoformat(event.day)
        wrong = isinstance(choice, str) and choice in asked.choices and asked.choices.index(choice) != asked.answer
        id = f"{asked.kind}:{name}"
        if id in found:
            continue
        if event.kind == "quiz" and asked.kind == "quiz" and wrong:
            found[id] = _Born(day, asked.lesson, "You answered something else.", "again")
        elif event.kind == "reveal" and wrong and isinstance(sure, int) and sure >= SURE:
            found[id] = _Born(day, asked.lesson, f"You were {sure} % sure of something else.", "again")
    return found


def _terms(events: Iterable[Event], course: Course) -> dict[str, _Born]:
    """A term is a card from the day after the reading that links to it first."""
    read = {
        done.lesson.id: day for day, pieces in finished(events, course).items() for done in pieces if not done.exercises
    }
    found: dict[str, _Born] = {}
    for lesson in sorted((one for one in course.lessons if one.id in read), key=lambda one: (read[one.id], one.number)):
        for term in _terms_of(lesson):
            if term in course.glossary:
                why = f"Lesson {lesson.number} speaks of it."
                tomorrow = read[lesson.id] + timedelta(days=1)  # not in the middle of the sitting that it comes from
                found.setdefault(f"term:{term}", _Born(tomorrow, lesson.id, why, None))
    return found


def _terms_of(lesson: Lesson) -> list[str]:
    text = "\n".join(cell.source for cell in lesson.lesson_cells if cell.type == "markdown")
    return list(dict.fromkeys(name.strip() for name in _TERM.findall(text)))
