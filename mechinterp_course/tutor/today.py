"""Today's hour: the review, then what the plan lays on this day, and what of it is done. A function of events, course and day.

What today holds is decided by how far the learner was this morning, so it does not change while they work; what is done is
marked. Imports `plan`, `work`, `progress` and `catalog` only.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from . import progress
from .catalog import Course
from .events import Event
from .plan import Plan, Plans
from .progress import State
from .work import Day, Piece, calendar, joined, lay, remaining, review_minutes


@dataclass(frozen=True)
class Item:
    """A piece of today, and the minutes that are left of it."""

    piece: Piece
    left: int

    @property
    def done(self) -> bool:
        return self.left == 0


@dataclass(frozen=True)
class Today:
    """What a day holds. `next` is where to go on now, None once everything is done; `after` are the planned days to come.

    Once a short path or the way to one lesson is done, `beyond` is true, and `next` comes from the rest of the course.
    """

    day: date
    has_plan: bool
    is_planned: bool
    due: int  # cards to review
    review: int  # minutes for them; 0 where nothing is due
    items: tuple[Item, ...]
    next: Piece | None
    beyond: bool
    after: tuple[Day, ...]

    @property
    def minutes_left(self) -> int:
        return self.review + sum(item.left for item in self.items)

    @property
    def done(self) -> bool:
        """Whether today held something and all of it is done."""
        return bool(self.items) and all(item.done for item in self.items)

    @property
    def ends(self) -> date | None:
        """The day on which the plan ends, at this pace."""
        if self.after:
            return self.after[-1].date
        return self.day if any(not item.done for item in self.items) else None


def today(events: Iterable[Event], state: State, course: Course, plans: Plans, day: date, due: int = 0) -> Today:
    """Return today's hour. `events` in order; `state` follows from all of them; `due` counts the cards to review."""
    # Not those of days to come either: a clock that was wrong once dated them, and they are over.
    earlier = [event for event in events if date.fromisoformat(event.day) != day]
    morning = state if len(earlier) == len(list(events)) else progress.state(earlier, course)
    days = calendar(course, morning, plans, day)
    planned = [laid for laid in days if laid.date == day]
    items = tuple(Item(piece, _left(piece, state, course)) for laid in planned for piece in laid.pieces)
    plan = plans.now or Plan()
    left = remaining(course, state, plan)
    after = lay(_without(left, items), plan, iter(plans.days_from(day + timedelta(days=1))))
    open_items = [item for item in items if not item.done]
    rest = left or remaining(course, state, Plan())
    return Today(
        day=day,
        has_plan=plans.now is not None,
        is_planned=plans.is_planned(day),
        due=due,
        review=(review_minutes(plan) or min(5, plan.minutes)) if due else 0,
        items=items,
        next=_rest(open_items[0], left) if open_items else joined(rest[0]) if rest else None,
        beyond=bool(rest) and not left,
        after=tuple(after),
    )


def _left(piece: Piece, state: State, course: Course) -> int:
    """Return the minutes of a piece that are not done now."""
    if piece.is_reading:
        return min(piece.minutes, state.lessons[piece.lesson.id].sittings[0].minutes_left)
    minutes = {name: course.exercises[name].card.minutes for name in piece.exercises}
    left = sum(minutes[name] for name in piece.exercises if not state.exercises[name].settled)
    return min(piece.minutes, left)


def _rest(item: Item, left: list[list[Piece]]) -> Piece:
    """Return what is left of an item of today, as a piece."""
    for sitting in left:
        mine = [p for p in sitting if p.lesson is item.piece.lesson and p.sitting == item.piece.sitting]
        mine = [p for p in mine if p.is_reading or p.exercises[0] in item.piece.exercises]
        if mine:
            return replace(joined(mine, item.piece.whole), minutes=item.left)
    return item.piece


def _without(sittings: list[list[Piece]], items: tuple[Item, ...]) -> list[list[Piece]]:
    """Return the sittings less what today takes of them."""
    taken: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for item in items:
        piece, budget = item.piece, item.left
        atoms = [p for s in sittings for p in s if p.lesson is piece.lesson and p.sitting == piece.sitting]
        for atom in atoms:
            if piece.is_reading or atom.exercises[0] in piece.exercises:
                key = (atom.lesson.id, atom.sitting, atom.exercises)
                taken[key] = min(atom.minutes, budget)
                budget -= taken[key]
    reduced = []
    for sitting in sittings:
        rest = []
        for atom in sitting:
            minutes = atom.minutes - taken.get((atom.lesson.id, atom.sitting, atom.exercises), 0)
            rest += [replace(atom, minutes=minutes)] if minutes else []
        reduced += [rest] if rest else []
    return reduced
