"""The plan: what a learner types, what is recorded, how the sittings lie on days, and how it adapts."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY_COURSE

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, history, work
from mechinterp_course.tutor import plan as planning
from mechinterp_course.tutor.glance import glance
from mechinterp_course.tutor.plan import Plan, Plans, changed, plans, read_rest, weekdays
from mechinterp_course.tutor.planning import exported
from mechinterp_course.tutor.progress import Event, merge, state
from mechinterp_course.tutor.today import today

MONDAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def book():
    """Two lessons: reading 5, lab A 30 (double 5, quadruple 25), lab B 30; then reading 10, lab 15."""
    return catalog.course(TINY_COURSE)


def event(n: int, kind: str = "check", day: date = MONDAY, **data) -> Event:
    return Event(f"id-{n:04d}", f"{day}T10:00:{n:02d}.000Z", kind, "one", day.isoformat(), data)


def passed(n: int, name: str, day: date = MONDAY) -> Event:
    return event(n, "check", day, exercise=name, passed=True)


def planned(plan: Plan, n: int = 50, day: date = MONDAY) -> Event:
    return event(n, "plan", day, **plan.data)


def laid(book, plan: Plan, events=(), day: date = MONDAY) -> list[tuple[date, list[tuple[str, str]], int]]:
    """Return the calendar as (date, [(lesson, sitting)], minutes)."""
    all_plans = Plans(((day, plan),))
    days = work.calendar(book, state(events, book), all_plans, day)
    return [(d.date, [(p.lesson.number, p.sitting) for p in d.pieces], d.minutes) for d in days]


# --- what is typed ---


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("mon,wed, sat", (0, 2, 5)),
        ("Monday Friday", (0, 4)),
        ("fri-mon", (0, 4, 5, 6)),
        ("daily", tuple(range(7))),
        ("weekends", (5, 6)),
        ("thurs", (3,)),
    ],
)
def test_days_are_understood(text, days):
    assert weekdays(text) == days


@pytest.mark.parametrize("text", ["", "mond-fri2", "m", "funday", "mon--fri", "1-5", "mon-", ","])
def test_days_that_are_none_are_named(text):
    if text == "mon-":  # an open end is that day alone
        assert weekdays(text) == (0,)
        return
    with pytest.raises(CourseError) as error:
        weekdays(text)
    assert "There is no weekday" in error.value.sentence and "mon-fri" in error.value.remedy


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"minutes": 0}, "0 minutes is too short"),
        ({"minutes": -5}, "-5 minutes is too short"),
        ({"minutes": 1000}, "1000 minutes is too long"),
        ({"start": "2026-03-01"}, "2026-03-01 is in the past"),
        ({"start": "2026-02-30"}, "There is no day 2026-02-30"),
        ({"start": "2040-01-01"}, "more than a year away"),
        ({"start": "soon"}, "'soon' is not a date"),
        ({"days": "moonday"}, "There is no weekday 'moonday'"),
        ({"to": "02"}, "is not built yet"),
        ({"to": "first_stepz"}, "There is no lesson 'first_stepz'"),
        ({"hour": "25:00"}, "'25:00' is not a time of day"),
    ],
)
def test_bad_input_is_a_sentence_with_a_remedy(book, typed, sentence):
    with pytest.raises(CourseError) as error:
        changed(None, book, MONDAY, **typed)
    assert sentence in error.value.sentence and error.value.remedy


def test_a_course_without_lessons_cannot_be_planned(book):
    empty = catalog.Course(book.root, "Empty", (), {})
    with pytest.raises(CourseError, match="no lessons"):
        changed(None, empty, MONDAY, minutes=60)


def test_what_is_not_typed_stays(book):
    plan = changed(None, book, MONDAY, minutes=30, days="sat", start="monday", short=True, to="1", hour="7:05")
    assert plan == Plan(30, (5,), MONDAY, True, "l01_token_loss", "07:05")
    assert changed(plan, book, MONDAY, minutes=45) == Plan(45, (5,), MONDAY, True, "l01_token_loss", "07:05")
    assert changed(plan, book, MONDAY, short=False, to="all", hour="none") == Plan(30, (5,), MONDAY)


@pytest.mark.parametrize(
    ("text", "day"), [("today", 0), ("tomorrow", 1), ("monday", 0), ("sun", 6), ("2026-03-10", 8), (" Friday ", 4)]
)
def test_a_date_in_words(text, day):
    assert planning.read_date(text, MONDAY, "--from") == MONDAY + timedelta(days=day)


def test_days_off_are_a_day_or_a_range_and_may_be_gone_by(book):
    assert read_rest("2026-03-01", MONDAY) == (date(2026, 3, 1), date(2026, 3, 1))
    assert read_rest("2026-02-27..tomorrow", MONDAY) == (date(2026, 2, 27), date(2026, 3, 3))
    with pytest.raises(CourseError, match="end .* before they begin"):
        read_rest("2026-03-05..2026-03-01", MONDAY)
    with pytest.raises(CourseError, match="more than a year"):
        read_rest("2026-03-05..2028-03-01", MONDAY)


# --- what is recorded ---


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"minutes": "60", "days": ["mon"], "start": "2026-03-02"},
        {"minutes": 60, "days": ["moon"], "start": "2026-03-02"},
        {"minutes": 60, "days": [], "start": "2026-03-02"},
        {"minutes": 60, "days": ["mon"], "start": "yesterday"},
        {"minutes": 60, "days": 5, "start": "2026-03-02"},
        {"minutes": 0, "days": ["mon"], "start": "2026-03-02"},
        {"minutes": True, "days": ["mon"], "start": "2026-03-02"},
        {"minutes": 60, "days": ["mon"], "start": "2026-03-02", "to": 3},
        {"minutes": 60, "days": ["mon"], "start": "2026-03-02", "hour": "noon"},
        {"minutes": 60, "days": ["mon"], "start": "9999-12-31"},
    ],
)
def test_an_event_that_makes_no_sense_is_no_plan(data):
    assert plans([event(1, "plan", **data)]).now is None


def test_a_plan_survives_its_event():
    plan = Plan(45, (0, 2), MONDAY, True, "l01_token_loss", "19:00")
    assert plans([planned(plan)]).now == plan


def test_the_plan_of_a_day_is_the_one_that_held_then():
    first, second = Plan(60, (0,), MONDAY), Plan(30, (1,), MONDAY)
    found = plans([planned(first, 1), planned(second, 2, MONDAY + timedelta(days=7))])
    assert found.on(MONDAY + timedelta(days=6)) == first and found.now == second
    assert found.is_planned(MONDAY) and not found.is_planned(MONDAY + timedelta(days=7))
    assert found.is_planned(MONDAY + timedelta(days=8))
    assert not found.is_planned(MONDAY - timedelta(days=2))  # a Saturday, before there was a plan
    assert found.name == "id-0001"  # it names the calendar, and stays


def test_the_last_plan_holds_whatever_day_its_machine_believed_it_was():
    """One computer is a date ahead (Tokyo, a container on UTC); the plan that was made after it is the one that counts."""
    ahead, last = Plan(60, (0,), MONDAY), Plan(30, (1,), MONDAY)
    found = plans([planned(ahead, 1, MONDAY + timedelta(days=1)), event(2, "plan", MONDAY, **last.data)])
    assert found.now == last and found.on(MONDAY) == last and found.on(MONDAY + timedelta(days=1)) == ahead


def test_days_off_can_be_taken_back_and_taken_again():
    def rest(n, first, last, **more):
        days = {
            "first": (MONDAY + timedelta(days=first)).isoformat(),
            "last": (MONDAY + timedelta(days=last)).isoformat(),
        }
        return event(n, "rest", **days, **more)

    found = plans([rest(1, 0, 9), rest(2, 2, 20, off=False), rest(3, 4, 4)])
    assert found.rests == {MONDAY + timedelta(days=n) for n in (0, 1, 4)}


def test_the_calendar_keeps_its_name_once_it_was_written():
    """An earlier plan comes from another computer after the first calendar file."""
    mine, other = planned(Plan(start=MONDAY), 5), planned(Plan(start=MONDAY), 1)
    written = event(6, "calendar", days=["2026-03-02"], sequence=0, name="id-0005")
    assert plans([mine, written]).name == plans([other, mine, written]).name == "id-0005"
    days = [
        (name, day)
        for name, day in sorted(exported([written, event(7, "calendar", days=["x", 3, "2026-03-03"])], "n")[1])
    ]
    assert days == [("id-0005", "2026-03-02"), ("n", "2026-03-03")]


def test_days_off_hold_nothing(book):
    off = event(3, "rest", first="2026-03-03", last="2026-03-04")
    found = plans([planned(Plan(60, (0, 1, 2, 3), MONDAY), 1), off, event(4, "rest", first=3), event(5, "rest")])
    assert found.rests == {date(2026, 3, 3), date(2026, 3, 4)}
    dates = [day.date.day for day in work.calendar(book, state([], book), found, MONDAY)]
    assert dates == [2, 5]


# --- how it lies on days ---


def test_an_hour_takes_the_sittings_that_fit(book):
    assert laid(book, Plan(60, (0, 1, 2, 3, 4), MONDAY)) == [
        (date(2026, 3, 2), [("00", "reading"), ("00", "lab A")], 40),
        (date(2026, 3, 3), [("00", "lab B"), ("01", "reading"), ("01", "lab")], 60),
    ]


def test_a_sitting_that_does_not_fit_any_more_waits_for_the_next_planned_day(book):
    days = laid(book, Plan(34, (0, 4), MONDAY))
    assert [(day.day, sittings) for day, sittings, _ in days] == [
        (2, [("00", "reading")]),
        (6, [("00", "lab A")]),
        (9, [("00", "lab B")]),
        (13, [("01", "reading"), ("01", "lab")]),
    ]


def test_a_sitting_longer_than_a_day_is_done_exercise_by_exercise(book):
    plan = Plan(25, (0, 1, 2, 3, 4), MONDAY)  # too short for a review
    days = work.calendar(book, state([], book), Plans(((MONDAY, plan),)), MONDAY)
    shown = [[(p.exercises, p.minutes, p.whole) for p in day.pieces] for day in days]
    assert shown[:4] == [
        [((), 5, True), (("double",), 5, False)],
        [(("quadruple",), 25, False)],
        [(("row_softmax",), 15, False)],  # thirty minutes, in two even parts
        [(("row_softmax",), 15, False), ((), 10, True)],
    ]
    assert all(day.minutes <= 25 for day in days)


def test_the_short_path_keeps_what_is_important_and_what_that_uses(book):
    lesson = book.lessons[0]
    assert work.chosen(lesson, short=True) == {"row_softmax"}
    assert work.chosen(lesson, short=False) == {"double", "quadruple", "row_softmax"}
    ship = catalog.course()
    for lesson in ship.lessons:
        kept = work.chosen(lesson, short=True)
        cards = {e.name: e.card for e in lesson.exercises}
        assert {n for n, card in cards.items() if card.importance == 5} <= kept <= set(cards)
        assert all(set(cards[name].uses) <= kept for name in kept)


def test_the_way_to_one_lesson_holds_what_it_needs_in_order():
    ship = catalog.course()
    numbers = [lesson.number for lesson in work.path(ship, ship.lesson("06").id)]
    assert numbers[-1] == "06" and {"00", "02", "03", "05"} <= set(numbers) and "12" not in numbers
    assert [lesson.number for lesson in work.path(ship, "l99_gone")] == [lesson.number for lesson in ship.lessons]


def test_prerequisites_come_first_whatever_the_order_of_the_course(tiny_course):
    path = tiny_course.root / "course.toml"
    text = path.read_text().replace("prerequisites = []", 'prerequisites = ["01", "77"]')
    path.write_text(text.replace('prerequisites = ["00"]', "prerequisites = []"))
    catalog._course.cache_clear()
    assert [lesson.number for lesson in work.path(catalog.course())] == ["01", "00"]
    path.write_text(text)
    catalog._course.cache_clear()
    with pytest.raises(CourseError, match="circle"):
        work.path(catalog.course())


@settings(max_examples=60, deadline=None)
@given(
    minutes=st.integers(10, 200),
    days=st.sets(st.integers(0, 6), min_size=1),
    short=st.booleans(),
    done=st.sets(st.sampled_from(["double", "quadruple", "row_softmax", "token_loss"])),
    rests=st.sets(st.integers(0, 30), max_size=6),
)
def test_any_plan_holds_everything_that_is_left_once_and_no_day_is_too_long(book, minutes, days, short, done, rests):
    plan = Plan(minutes, tuple(sorted(days)), MONDAY, short)
    now = state([passed(i, name) for i, name in enumerate(sorted(done))], book)
    all_plans = Plans(((MONDAY, plan),), frozenset(MONDAY + timedelta(days=n) for n in rests))
    laid_days = work.calendar(book, now, all_plans, MONDAY)
    left = work.remaining(book, now, plan)
    assert sum(p.minutes for d in laid_days for p in d.pieces) == sum(p.minutes for s in left for p in s)
    names = [name for d in laid_days for p in d.pieces for name in p.exercises]
    assert list(dict.fromkeys(names)) == [p.exercises[0] for s in left for p in s if p.exercises]
    assert all(day.minutes <= minutes and day.pieces for day in laid_days)
    assert all(all_plans.is_planned(day.date) for day in laid_days)
    assert len({day.date for day in laid_days}) == len(laid_days)


# --- today, and how it adapts ---


def hour(book, events, day=MONDAY, due=0):
    found = sorted(events, key=lambda e: e.at)
    return today(found, state(found, book), book, plans(found), day, due)


def words(found) -> list[tuple[str, str, int]]:
    return [(item.piece.lesson.number, item.piece.sitting, item.left) for item in found.items]


def test_what_today_holds_stays_while_it_is_done(book):
    plan = planned(Plan(60, (0, 1, 2, 3, 4), MONDAY))
    morning = hour(book, [plan])
    assert words(morning) == [("00", "reading", 5), ("00", "lab A", 30)]
    assert (morning.next.sitting, morning.minutes_left, morning.done) == ("reading", 35, False)
    noon = hour(book, [plan, event(1, "read", lesson="l00_first_steps"), passed(2, "double")])
    assert words(noon) == [("00", "reading", 0), ("00", "lab A", 25)]
    assert (noon.next.exercises, noon.next.minutes) == (("quadruple",), 25)
    evening = hour(book, [plan, passed(2, "double"), passed(3, "quadruple")])
    assert evening.done and evening.minutes_left == 0
    assert evening.next.sitting == "lab B" and evening.after[0].date == MONDAY + timedelta(days=1)


def test_an_hour_on_a_wrong_clock_does_not_stand_for_every_day_to_come(book):
    """Lesson 00 was done while the clock stood a year ahead: it is over, and today goes on behind it."""
    plan, later = planned(Plan(60, tuple(range(7)), MONDAY), 1), MONDAY + timedelta(days=365)
    done = [passed(i, name, later) for i, name in enumerate(("double", "quadruple", "row_softmax"), 2)]
    assert words(hour(book, [plan, *done])) == [("01", "reading", 10), ("01", "lab", 15)]


def test_tomorrow_follows_from_what_was_really_done(book):
    plan = planned(Plan(60, (0, 1, 2, 3, 4), MONDAY))
    tuesday = MONDAY + timedelta(days=1)
    missed = hour(book, [plan], tuesday)
    assert words(missed) == [("00", "reading", 5), ("00", "lab A", 30)]  # nothing to catch up with: it moved
    ahead = hour(book, [plan, *(passed(i, n) for i, n in enumerate(("double", "quadruple", "row_softmax")))], tuesday)
    assert words(ahead) == [("01", "reading", 10), ("01", "lab", 15)]


def test_what_is_begun_out_of_turn_is_not_planned_again(book):
    plan = planned(Plan(60, (0, 1, 2, 3, 4), MONDAY))
    found = hour(book, [plan, passed(1, "token_loss")], MONDAY + timedelta(days=1))
    assert [("01", "lab")] not in [[(p.lesson.number, p.sitting)] for day in found.after for p in day.pieces]
    assert found.ends == MONDAY + timedelta(days=2)


def test_what_was_borrowed_comes_last_in_its_sitting(book):
    found = hour(book, [planned(Plan(60, (0,), MONDAY)), event(1, "borrow", exercise="double")])
    assert found.next.exercises == ("quadruple", "double")


def test_a_day_off_says_what_may_be_done(book):
    found = hour(book, [planned(Plan(60, (0,), MONDAY))], MONDAY + timedelta(days=1))
    assert (found.items, found.is_planned, found.next.sitting) == ((), False, "reading")
    assert found.after[0].date == MONDAY + timedelta(days=7)


def test_without_a_plan_every_day_holds_an_hour(book):
    found = hour(book, [], MONDAY + timedelta(days=5))
    assert not found.has_plan and words(found) == [("00", "reading", 5), ("00", "lab A", 30)]


def test_the_review_takes_its_minutes(book):
    found = hour(book, [planned(Plan(60, (0,), MONDAY))], due=3)
    assert (found.due, found.review, found.minutes_left) == (3, 5, 40)
    assert hour(book, [planned(Plan(60, (0,), MONDAY))]).review == 0


def test_after_the_short_path_comes_the_rest(book):
    events = [planned(Plan(60, (0,), MONDAY, short=True)), passed(1, "row_softmax"), passed(2, "token_loss")]
    found = hour(book, events, MONDAY + timedelta(days=1))
    assert found.beyond and found.next.exercises == ("double", "quadruple")
    done = hour(book, [*events, passed(3, "double"), passed(4, "quadruple")], MONDAY + timedelta(days=1))
    assert done.next is None and done.ends is None


def test_what_was_done_is_told_by_day(book):
    tuesday = MONDAY + timedelta(days=1)
    events = [
        event(1, "read", lesson="l00_first_steps"),
        passed(2, "fourfold"),  # its former name
        passed(3, "double", tuesday),
        passed(4, "double", tuesday + timedelta(days=1)),
        event(5, "give_up", tuesday, exercise="row_softmax"),
        event(6, "check", tuesday, exercise="token_loss", passed=False),
    ]
    told = history.finished(events, book)
    assert {day: [done.words for done in things] for day, things in told.items()} == {
        MONDAY: ["00 First steps: reading", "00 First steps: lab A, 1 exercise"],
        tuesday: [
            "00 First steps: lab A, 1 exercise",
            "00 First steps: lab B, 1 exercise",
            "01 The loss of a token: reading",
        ],
    }


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["mon", "2026-03-02"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = (
    "minutes",
    "days",
    "start",
    "short",
    "to",
    "hour",
    "first",
    "last",
    "sequence",
    "lesson",
    "question",
    "exercise",
)


@settings(max_examples=150, deadline=None)
@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(["plan", "rest", "calendar", "read", "reveal", "quiz", "check", "review"]),
            st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6),
        ),
        max_size=4,
    )
)
def test_whatever_stands_in_a_foreign_file_a_glance_is_possible(book, kinds):
    events = merge(event(i, kind, **data) for i, (kind, data) in enumerate(kinds))
    seen = glance(events, book, MONDAY)
    assert seen.today.day == MONDAY and seen.streak.days >= 0
    exported(events, "name")
    history.finished(events, book)
