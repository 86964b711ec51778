"""Review: which cards there are, when they come back, and what fits into five minutes."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, progress, review, schedule
from mechinterp_course.tutor.events import Event
from mechinterp_course.tutor.schedule import RATINGS, Rated

TINY = Path(__file__).parent.parent / "tiny_course"
START = date(2026, 3, 2)


@pytest.fixture(scope="module")
def book():
    return catalog.course(TINY)


def event(day: int, kind: str, **data) -> Event:
    when = START + timedelta(days=day)
    count = event.count = getattr(event, "count", 0) + 1
    at = f"{when.isoformat()}T10:{count // 60 % 60:02d}:{count % 60:02d}.000Z"
    return Event(f"id-{count}", at, kind, "one", when.isoformat(), data)


def by_id(book, *events, **more) -> dict[str, review.Card]:
    return {card.id: card for card in review.cards(events, book, **more)}


# --- the schedule ---


def test_what_is_remembered_comes_back_later_each_time_and_what_is_not_tomorrow():
    history, gaps = [], []
    day = START
    for _ in range(5):
        history.append(Rated(day, "good"))
        gaps.append((schedule.due(history) - day).days)
        day = schedule.due(history)
    assert gaps == sorted(gaps) and gaps[0] >= 1 and gaps[-1] > 60
    assert (schedule.due([*history, Rated(day, "again")]) - day).days <= 7
    assert schedule.due([Rated(START, "again")]) == START + timedelta(days=1)


def test_better_remembered_is_never_sooner():
    for past in ([], [Rated(START, "good")], [Rated(START, "again"), Rated(START + timedelta(days=3), "good")]):
        day = START + timedelta(days=20)
        days = [schedule.due([*past, Rated(day, rating)]) for rating in RATINGS]
        assert days == sorted(days)


LOOKS = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(RATINGS)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(LOOKS)
def test_the_day_is_after_the_last_look_within_a_year_and_always_the_same(looks):
    history = [Rated(START + timedelta(days=n), rating) for n, rating in looks]
    last = max(look.day for look in history)
    assert last < schedule.due(history) <= last + timedelta(days=schedule.LONGEST)
    assert schedule.due(history) == schedule.due(list(history))


def test_no_history_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="history"):
        schedule.due([])


# --- where cards come from ---


def test_an_exercise_is_a_card_once_it_is_passed(book):
    failed = event(0, "check", exercise="double", passed=False)
    assert "exercise:double" not in by_id(book, failed)
    card = by_id(book, failed, event(1, "check", exercise="double", passed=True))["exercise:double"]
    assert card.due > START + timedelta(days=1) and card.looks == 0 and card.lesson == "l00_first_steps"


def test_running_a_passed_check_again_is_no_review(book):
    passed = event(0, "check", exercise="double", passed=True)
    assert by_id(book, passed) == by_id(book, passed, event(5, "check", exercise="double", passed=True))


def test_an_exercise_with_the_last_hint_or_given_up_comes_back_sooner(book):
    easy = by_id(book, event(0, "check", exercise="double", passed=True))["exercise:double"]
    helped = by_id(
        book, event(0, "hint", exercise="double", level=3), event(0, "check", exercise="double", passed=True)
    )
    given_up = by_id(book, event(0, "give_up", exercise="double"))["exercise:double"]
    assert given_up.due <= helped["exercise:double"].due <= easy.due
    assert "effort" in helped["exercise:double"].why and "left it" in given_up.why


def test_an_exercise_keeps_its_card_under_a_new_name(book):
    old = book.exercises["quadruple"].card.renamed_from[0]
    assert "exercise:quadruple" in by_id(book, event(0, "check", exercise=old, passed=True))
    looked = event(5, "review", card=f"exercise:{old}", rating="good")
    assert by_id(book, event(0, "check", exercise=old, passed=True), looked)["exercise:quadruple"].looks == 1


def questions_of(book, kind):
    return next(q for q in book.questions.values() if q.kind == kind)


def test_a_missed_quiz_question_is_a_card_and_a_right_one_is_not(book):
    quiz = questions_of(book, "quiz")
    wrong = next(c for i, c in enumerate(quiz.choices) if i != quiz.answer)
    assert f"quiz:{quiz.id}" not in by_id(book, event(0, "quiz", question=quiz.id, choice=quiz.choices[quiz.answer]))
    card = by_id(book, event(0, "quiz", question=quiz.id, choice=wrong))[f"quiz:{quiz.id}"]
    assert card.due == START + timedelta(days=1)


@pytest.mark.parametrize(("sure", "comes"), [(50, False), (70, True), (90, True), (None, False)])
def test_a_prediction_comes_back_when_it_was_wrong_and_sure(book, sure, comes):
    asked = questions_of(book, "predict")
    wrong = next(c for i, c in enumerate(asked.choices) if i != asked.answer)
    predicted = event(0, "predict", question=asked.id, choice=wrong, sure=sure)
    id = f"predict:{asked.id}"
    assert id not in by_id(book, predicted)
    assert (id in by_id(book, predicted, event(0, "reveal", question=asked.id, choice=wrong, sure=sure))) == comes
    right = event(0, "reveal", question=asked.id, choice=asked.choices[asked.answer], sure=90)
    assert id not in by_id(book, right)


def test_terms_of_a_lesson_come_once_it_is_read_and_a_few_at_a_time():
    book = catalog.course()
    lesson = book.lessons[0]
    assert not by_id(book)
    cards = review.cards([event(0, "read", lesson=lesson.id)], book)
    terms = [card for card in cards if card.kind == "term"]
    assert len(terms) > review.NEW_TERMS and all(card.name in book.glossary for card in terms)
    assert review.due(cards, START) == []
    assert len(review.due(cards, START + timedelta(days=1))) == review.NEW_TERMS


def test_questions_of_the_journal_come_back_until_they_are_answered(book):
    asked = [("q1", START, "l00_first_steps")]
    card = by_id(book, questions=asked)["question:q1"]
    assert card.due == START + timedelta(days=1)
    assert not by_id(book)


# --- reviewing ---


def test_a_look_moves_the_card_and_draws_other_inputs(book):
    passed = event(0, "check", exercise="double", passed=True)
    before = by_id(book, passed)["exercise:double"]
    days = (before.due - START).days
    after = by_id(book, passed, event(days, "review", card="exercise:double", rating="good"))["exercise:double"]
    assert after.due > before.due + timedelta(days=days) and after.looks == 1 and after.seed != before.seed


def test_a_review_of_something_that_is_no_card_changes_nothing(book):
    strange = [
        event(0, "review", card=card, rating=rating)
        for card, rating in [("exercise:gone", "good"), (3, "good"), ("x", "?")]
    ]
    assert by_id(book, *strange) == {}


def test_five_minutes_are_five_minutes_and_the_longest_overdue_come_first(book):
    cards = [
        review.Card(f"{kind}:{n}", START + timedelta(days=n), "l00_first_steps", "", 1)
        for n, kind in enumerate(["exercise", "quiz", "exercise", "term", "quiz", "predict"])
    ]
    day = START + timedelta(days=9)
    chosen = review.session(cards, day)
    assert [card.id for card in chosen] == ["exercise:0", "quiz:1", "term:3"]
    assert sum(card.minutes for card in chosen) <= review.MINUTES
    assert [card.id for card in review.session(cards[:1], day, minutes=1)] == ["exercise:0"]
    assert review.session(cards, START - timedelta(days=1)) == []


def test_five_minutes_a_day_are_five_minutes_a_day():
    """A long reading brings many terms, and a break many cards: after today's review nothing more is for today."""
    book = catalog.course()
    events = [event(0, "read", lesson=lesson.id) for lesson in book.lessons[:3]]
    missed = [q for q in book.questions.values() if q.kind == "quiz"][:9]
    events += [event(0, "quiz", question=q.id, choice=q.choices[q.answer - 1]) for q in missed]
    day, met = 3, 0
    while chosen := review.todays(review.cards(events, book), START + timedelta(days=day)):
        events.append(event(day, "review", card=chosen[0].id, rating="good"))
        met += chosen[0].kind == "term"
        assert len(events) < 40
    cards = review.cards(events, book)
    assert sum(card.minutes for card in cards if card.last == START + timedelta(days=day)) == review.MINUTES
    assert met <= review.NEW_TERMS
    assert review.session(cards, START + timedelta(days=day)), "who likes may go on"
    assert review.todays(cards, START + timedelta(days=day + 1)), "the rest comes tomorrow"


def test_new_terms_are_few_on_one_day_however_often_one_reviews():
    book = catalog.course()
    events = [event(0, "read", lesson=book.lessons[0].id)]
    for card in review.session(review.cards(events, book), START + timedelta(days=1)):
        events.append(event(1, "review", card=card.id, rating="good"))
    assert review.due(review.cards(events, book), START + timedelta(days=1)) == []
    assert len(review.due(review.cards(events, book), START + timedelta(days=2))) >= review.NEW_TERMS


def test_rating_is_recorded_and_a_strange_one_refused(book, tmp_path, monkeypatch):
    (tmp_path / progress.MARKER).mkdir()
    monkeypatch.setenv("MECHINTERP_WORKSPACE", str(tmp_path))
    card = review.Card("term:logit", START, "l00_first_steps", "", 0)
    review.rate(card, "hard")
    with pytest.raises(CourseError, match="splendid"):
        review.rate(card, "splendid")
    assert [(e.kind, e.data) for e in progress.load(tmp_path)] == [("review", {"card": "term:logit", "rating": "hard"})]


def test_sixty_days_of_five_minutes():
    """The simulated learner also reviews on every day of work, and forgets one card in five."""
    from random import Random

    from simulated_learner import simulate

    book = catalog.course()
    learner = simulate(book)
    events, ledger = learner.events, learner.ledger
    random, reviews, seen, misses = Random(0), [], set(), 0
    days = sorted({date.fromisoformat(one.day) for one in events})
    for day in days:
        before = [one for one in [*events, *reviews] if date.fromisoformat(one.day) <= day]
        cards = review.cards(before, book)
        chosen = review.session(cards, day)
        assert sum(card.minutes for card in chosen) <= review.MINUTES and all(card.due <= day for card in chosen)
        assert bool(chosen) == bool(review.due(cards, day))
        for number, card in enumerate(chosen):
            rating = "again" if random.random() < 0.2 else "good"
            at = f"{day.isoformat()}T23:{number:02d}:00.000Z"
            reviews.append(
                Event(f"r-{day}-{number}", at, "review", "laptop", day.isoformat(), {"card": card.id, "rating": rating})
            )
            seen.add(card.id)
        after = {card.id: card for card in review.cards([*before, *reviews], book)}
        for card, look in zip(chosen, reviews[len(reviews) - len(chosen) :], strict=True):
            gap = (after[card.id].due - day).days
            assert gap >= 1 and after[card.id].looks == card.looks + 1
            misses += look.data["rating"] == "again"
    assert misses > 3 and len(seen) > 20
    passed = {f"exercise:{name}" for name in ledger.passed}
    assert passed <= {card.id for card in review.cards(events, book)}
    kinds = {id.split(":")[0] for id in seen}
    assert {"exercise", "term"} <= kinds
    # What was rated "good" each time is asked ever more rarely: no card fills the five minutes for ever.
    often = max(sum(one.data["card"] == id for one in reviews) for id in seen)
    assert often <= 12


KINDS = st.sampled_from(
    [
        ("check", {"exercise": "double", "passed": True}),
        ("check", {"exercise": "row_softmax", "passed": False}),
        ("give_up", {"exercise": "row_softmax"}),
        ("hint", {"exercise": "double", "level": 3}),
        ("review", {"card": "exercise:double", "rating": "good"}),
        ("review", {"card": "exercise:double", "rating": "again"}),
        ("read", {"lesson": "l00_first_steps"}),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), KINDS), max_size=15), st.randoms())
def test_the_cards_do_not_depend_on_the_order_of_the_lines(things, random):
    book = catalog.course(TINY)
    events = [event(day, kind, **data) for day, (kind, data) in things]
    shuffled = list(events)
    random.shuffle(shuffled)
    assert review.cards(events, book) == review.cards(shuffled + events[:3], book)


def test_reviewing_loads_neither_torch_nor_a_notebook_library():
    import subprocess
    import sys

    code = (
        "import sys; from mechinterp_course.tutor import review, schedule; from datetime import date;"
        "schedule.due([schedule.Rated(date(2026, 1, 1), 'good')]);"
        "assert not {'torch', 'nbformat', 'IPython', 'plotly'} & set(sys.modules), sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
