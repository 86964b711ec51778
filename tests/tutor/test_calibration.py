"""Calibration: Wilson's interval against closed forms and scipy's published values, and only what the count can bear."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_learner import simulate
from tiny import TINY_COURSE

from mechinterp_course.tutor import calibration as computing
from mechinterp_course.tutor import calibration_view, catalog, progress
from mechinterp_course.tutor.calibration import ENOUGH, LEVELS, Group, calibration, wilson
from mechinterp_course.tutor.progress import Event, state


@pytest.fixture(scope="module")
def book():
    return catalog.course(TINY_COURSE)


def event(n: int, kind: str, **data) -> Event:
    return Event(f"id-{n:04d}", f"2026-03-02T10:00:{n:02d}.000Z", kind, "one", "2026-03-02", data)


def found(book, *events):
    ordered = progress.merge(events)
    return calibration(ordered, state(ordered, book), book)


# --- the interval ---


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        # Wilson's score interval as published for Newcombe 1998, Table I: 81/263, 15/148, 0/20, 1/29.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(right, count, low, high):
    assert wilson(right, count) == pytest.approx((low, high), abs=6e-5)


@given(right=st.integers(0, 200), more=st.integers(0, 200))
def test_the_interval_is_where_the_score_test_turns(right, more):
    """Its ends solve (share - p)² = z² p (1 - p) / n; it holds the share, and mirrors when right and wrong are swapped."""
    count = right + more
    low, high = wilson(right, count)
    assert 0 <= low <= high <= 1
    if not count:
        assert (low, high) == (0, 1)
        return
    share = right / count
    assert low - 1e-12 <= share <= high + 1e-12
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(computing.Z**2 * end * (1 - end) / count, abs=1e-9)
    assert wilson(more, count) == pytest.approx((1 - high, 1 - low), abs=1e-12)


# --- what is said of a group ---


@pytest.mark.parametrize(
    ("count", "right", "sure", "verdict"),
    [
        (0, 0, math.nan, "10 more to say anything"),
        (9, 0, 90, "1 more to say anything"),
        (10, 9, 90, "fits"),
        (10, 4, 90, "surer than right"),
        (40, 38, 70, "more often right than you thought"),
        (12, 8, 70, "fits"),
    ],
)
def test_a_verdict_needs_ten_answers_and_an_interval_that_leaves_no_room(count, right, sure, verdict):
    assert Group("x", count, right, sure).verdict == verdict


def test_nothing_is_said_of_nothing(book):
    nothing = found(book)
    assert nothing.sentence == "No prediction with its answer yet. After 10 of them there is something to say."
    assert nothing.answers == () and nothing.lessons == () and nothing.blocks == ()
    assert [group.name for group in nothing.levels] == ["50 %", "70 %", "90 %"]
    assert math.isnan(nothing.all.share) and nothing.all.interval == (0, 100)


def test_a_prediction_counts_as_it_stood_when_it_was_revealed(book):
    question = next(q for q in book.questions.values() if q.kind == "predict")
    right = question.choices[question.answer]
    wrong = next(choice for choice in question.choices if choice != right)
    made = event(1, "predict", question=question.id, choice=wrong, sure=90)
    assert found(book, made).answers == ()  # not revealed yet
    reveal = event(2, "reveal", question=question.id, choice=wrong, sure=90)
    again = event(3, "reveal", question=question.id, choice=right, sure=50)
    late = event(4, "predict", question=question.id, choice=right, sure=50)
    (answer,) = found(book, made, reveal, again, late).answers
    assert (answer.sure, answer.right, answer.day) == (90, False, date(2026, 3, 2))
    assert answer.lesson == question.lesson


@pytest.mark.parametrize("data", [{"sure": 30}, {"sure": None}, {"choice": None}, {"choice": "gone"}, {"sure": "90"}])
def test_a_reveal_without_a_whole_prediction_does_not_count(book, data):
    question = next(q for q in book.questions.values() if q.kind == "predict")
    whole = {"question": question.id, "choice": question.choices[0], "sure": 70}
    assert len(found(book, event(1, "reveal", **whole)).answers) == 1
    assert found(book, event(1, "reveal", **(whole | data))).answers == ()


def test_a_quiz_is_no_prediction_and_an_unknown_question_none(book):
    quiz = [q for q in book.questions.values() if q.kind == "quiz"]
    events = [event(i, "reveal", question=q.id, choice=q.choices[0], sure=70) for i, q in enumerate(quiz)]
    strange = [event(20, "reveal", question="gone", choice="x", sure=70), event(21, "reveal", question=3)]
    assert found(book, *events, *strange).answers == ()


# --- a learner of sixty days ---


@pytest.fixture(scope="module")
def learner():
    return simulate(catalog.course(), days=90, skips=0.1)


def of(learner):
    events = progress.merge(learner.events)
    return calibration(events, state(events, learner.course), learner.course)


def test_every_group_counts_what_the_learner_did(learner):
    made, shown = learner.ledger.predictions, of(learner)
    assert len(made) >= 2 * ENOUGH
    assert [(a.question, a.sure, a.right) for a in shown.answers] == made
    for level, group in zip(LEVELS, shown.levels, strict=True):
        assert group.count == sum(sure == level for _, sure, _ in made)
        assert group.right == sum(right for _, sure, right in made if sure == level)
    assert sum(group.count for group in shown.lessons) == len(made) == shown.all.count
    assert [group.count for group in shown.blocks] == [ENOUGH] * (len(made) // ENOUGH)
    assert shown.blocks[0].right == sum(right for _, _, right in made[:ENOUGH])


@pytest.mark.parametrize(
    ("right", "words"),
    [(9, "where you want to say 90, try 70"), (15, "it fits"), (20, "you know more than you think")],
)
def test_the_sentence_says_what_the_verdict_means(right, words):
    """Twenty predictions, 70 % sure on average."""
    group = Group("all", 20, right, 70)
    shown = computing.Calibration((), group, (), (), ())
    assert words in shown.sentence and f"{right} of 20 predictions right, 70 % sure on average" in shown.sentence


def test_the_figure_holds_the_numbers(learner):
    pytest.importorskip("plotly")
    shown = of(learner)
    figure = calibration_view.figure(shown)
    points = [trace for trace in figure.data if trace.error_y.array is not None]
    levels = [group for group in shown.levels if group.count]
    assert list(points[0].x) == [group.sure for group in levels]
    assert list(points[0].y) == [group.share for group in levels]
    high = [y + up for y, up in zip(points[0].y, points[0].error_y.array, strict=True)]
    assert high == pytest.approx([group.interval[1] for group in levels])
    assert list(points[1].x) == [group.name for group in shown.blocks]
    assert f"{levels[0].right} of {levels[0].count} right" in figure.layout.meta["alt"]


def test_with_few_answers_there_is_no_picture_of_time(book):
    pytest.importorskip("plotly")
    question = next(q for q in book.questions.values() if q.kind == "predict")
    one = found(book, event(1, "reveal", question=question.id, choice=question.choices[question.answer], sure=70))
    assert one.blocks == () and "9 more predictions, and there is something to see" in one.sentence
    assert len(calibration_view.figure(one).data) == 2
    text = calibration_view.as_text(one)
    assert "In order of time" not in text and "9 more to say anything" in text
    assert "9 more to say anything" in calibration_view.lessons_html(one)


def test_calibration_in_plain_python_prints_text(book, workspace, monkeypatch, capsys):
    monkeypatch.setenv("MECHINTERP_CONTENT", str(TINY_COURSE))
    from mechinterp_course import calibration as show

    show()
    assert capsys.readouterr().out.startswith("No prediction with its answer yet.")
