"""One learner over sixty days: plan, streak and what was done are as the rules say, held against the learner's own ledger."""

import random
from datetime import timedelta

import pytest
from simulated_learner import MACHINES, START, padded, simulate

from mechinterp_course.tutor import catalog, history, plan, progress, work
from mechinterp_course.tutor.glance import glance
from mechinterp_course.tutor.streak import MISSES_THAT_END_IT

DAYS = 60
SEEDS = range(3)


@pytest.fixture(scope="module")
def book():
    return catalog.course()


@pytest.fixture(scope="module", params=SEEDS)
def learner(request, book):
    return simulate(book, DAYS, seed=request.param)


def on(learner, day):
    """Return what was shown at the end of a day."""
    return glance(progress.merge(e for e in learner.events if e.day <= day.isoformat()), learner.course, day)


def days(first=0, last=DAYS):
    return [START + timedelta(days=n) for n in range(first, last)]


def test_the_learner_does_all_that_a_learner_does(learner):
    ledger = learner.ledger
    assert len(ledger.worked) > 25 and len(ledger.missed) > 2 and len(ledger.rests) == 7
    assert ledger.hints and ledger.borrowed and len(ledger.predictions) > 10
    assert any(tries > 1 for tries in ledger.tries.values())
    assert {event.machine for event in learner.events} == set(MACHINES)


def test_the_state_is_the_ledger(learner):
    ledger, seen = learner.ledger, on(learner, days()[-1])
    exercises = seen.state.exercises
    assert {n for n, e in exercises.items() if e.passed} == set(ledger.passed)
    assert {n for n, e in exercises.items() if e.gave_up} == set(ledger.gave_up)
    assert {n for n, e in exercises.items() if e.borrowed} == ledger.borrowed
    assert {n: e.tries for n, e in exercises.items() if e.tries} == ledger.tries
    assert {n: len(e.hints) for n, e in exercises.items() if e.hints} == ledger.hints
    assert seen.state.days == tuple(ledger.worked)


def test_the_history_is_the_ledger(learner):
    ledger = learner.ledger
    told = history.finished(progress.merge(learner.events), learner.course)
    names = {name: day for day, things in told.items() for thing in things for name in thing.exercises}
    settled = {
        n: min(d[n] for d in (ledger.passed, ledger.gave_up) if n in d) for n in {**ledger.passed, **ledger.gave_up}
    }
    assert names == settled
    readings = {thing.lesson.id: day for day, things in told.items() for thing in things if thing.sitting == "reading"}
    assert readings == ledger.read


def test_the_streak_follows_the_rule_on_every_day(learner):
    """Computed forwards from the ledger: a day of work adds one; the second planned day missed in a row sets it to nothing."""
    ledger, running, misses = learner.ledger, 0, 0
    for day in days():
        seen = on(learner, day).streak
        if day in ledger.worked:
            if misses >= MISSES_THAT_END_IT:
                running = 0
            running, misses = running + 1, 0
            assert seen.days == running, day
        elif misses < MISSES_THAT_END_IT:
            assert seen.days == running, day  # a day off, or one that is not over
        else:
            assert seen.days == 0, day
        misses += day in ledger.missed
        assert seen.worked == sum(worked <= day for worked in ledger.worked)


def test_the_plan_adapts_every_day(learner):
    """What is left lies on the planned days to come, once and in order; what was missed moved there."""
    for day in days(
        0,
        DAYS,
    )[::6]:
        seen = on(learner, day)
        left = work.remaining(learner.course, seen.state, seen.plans.now)
        open_today = [(item.piece, item.left) for item in seen.today.items if not item.done]
        minutes = sum(left for _, left in open_today) + sum(p.minutes for d in seen.today.after for p in d.pieces)
        assert minutes == sum(piece.minutes for sitting in left for piece in sitting), day
        dates = [d.date for d in seen.today.after]
        assert dates == sorted(set(dates)) and all(date > day and date.weekday() < 5 for date in dates)
        # Days off hold nothing, from the moment on which they are known.
        assert not set(dates) & seen.plans.rests
        assert all(d.minutes <= 60 for d in seen.today.after)


def test_today_in_the_morning_is_what_is_planned_for_it(learner):
    for day in days(1, DAYS)[::4]:
        yesterday = progress.merge(e for e in learner.events if e.day < day.isoformat())
        morning = glance(yesterday, learner.course, day)
        if day.weekday() >= 5 or day in morning.plans.rests:
            assert morning.today.items == () and not morning.today.is_planned
        else:
            assert 0 < morning.today.minutes_left <= 60 and morning.today.is_planned
        evening = on(learner, day)
        assert [i.piece for i in evening.today.items] == [i.piece for i in morning.today.items]


def test_two_machines_in_any_order_with_damage_and_copies_say_the_same(learner, tmp_path):
    """Each machine holds its own file; the lines of one are shuffled, one is copied twice, and half a line is lost at the end."""
    day = days()[-1]
    whole = on(learner, day)
    files = {}
    for machine in MACHINES:
        lines = [event.to_line() for event in learner.events if event.machine == machine]
        random.Random(1).shuffle(lines)
        files[machine] = tmp_path / f"progress_{machine}.jsonl"
        files[machine].write_text("\n".join([*lines, lines[0], lines[-1][:40]]))
    merged = progress.load(tmp_path)
    assert merged.damaged == len(MACHINES)
    seen = glance(merged, learner.course, day)
    assert (seen.state, seen.plans, seen.today, seen.streak) == (whole.state, whole.plans, whole.today, whole.streak)
    assert seen.calibration == whole.calibration
    assert seen.notes == ("2 lines of progress.jsonl cannot be read; they stay there, and everything else counts.",)


def test_ten_thousand_events_say_the_same(learner):
    day = days()[-1]
    events = padded([e for e in learner.events if e.day <= day.isoformat()], 10_000)
    assert len(events) == 10_000
    seen, whole = glance(progress.merge(events), learner.course, day), on(learner, day)
    assert (seen.today, seen.streak, seen.calibration) == (whole.today, whole.streak, whole.calibration)


def test_the_short_path_ends_sooner_and_the_way_to_a_lesson_too(learner, book):
    events = progress.merge(e for e in learner.events if e.day == START.isoformat())
    state = progress.state(events, book)

    def last(**options):
        plans = plan.Plans(((START, plan.Plan(start=START, **options)),))
        return work.calendar(book, state, plans, START)[-1].date

    assert last(short=True) < last()
    assert last(to=book.lesson("04").id) < last()
    assert last(minutes=120) < last() < last(minutes=30) and last(days=tuple(range(7))) < last()
