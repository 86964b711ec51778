"""When a card comes back: FSRS, a published schedule for spaced repetition, as the library `fsrs` computes it.

Its parameters were fitted to the reviews of many thousands of people, and it has tests of its own; the library is 1,900 lines without
dependencies. Here it counts in whole days, draws no random numbers and looks at no clock, so that the same events give the same dates on every machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

RATINGS = ("again", "hard", "good", "easy")
RETENTION = 0.9  # a card comes back when it would be remembered nine times in ten
LONGEST = 365  # days


@dataclass(frozen=True)
class Rated:
    """One look at a card: on which day, and how well it was remembered, one of RATINGS."""

    day: date
    rating: str


def due(history: Iterable[Rated]) -> date:
    """Return the day on which a card with this history, oldest first, comes back.

    A day before the last one (a clock that ran wrong) counts as the last one. Raises ValueError without a history.
    """
    card, last = None, date.min
    for look in history:
        last = max(last, look.day)
        card = _reviewed(card, look.rating, last)
    if card is None:
        raise ValueError("A card without a history has no due day.")
    # What was not remembered comes back tomorrow at the earliest: today's five minutes are for today's cards.
    return max(card.due.date(), last + timedelta(days=1))


@cache
def _scheduler():
    from fsrs import Scheduler

    return Scheduler(
        desired_retention=RETENTION,
        learning_steps=(),
        relearning_steps=(),
        maximum_interval=LONGEST,
        enable_fuzzing=False,
    )


def _reviewed(card, rating: str, day: date):
    from fsrs import Card, Rating

    noon = datetime.combine(day, time(12), UTC)
    # The id is for the library's own log; given, so that it does not wait for a clock to make one.
    card = card or Card(card_id=1, due=noon)
    return _scheduler().review_card(card, Rating[rating.capitalize()], noon)[0]
