"""Review as a learner meets it: in a terminal, in a notebook, and an old exercise written anew and checked on new inputs."""

import io
import json
from datetime import date, timedelta

import pytest
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    READING,
    add_cell,
    build,
    built_fixture,
    cells,
    learner_fixture,
    release_fixture,
    write_cell,
)

from mechinterp_course.commands.app import run
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, journal, progress, review, review_ask, review_view, rewrite
from mechinterp_course.tutor.events import Event
from mechinterp_course.tutor.runner import CheckFailed


@pytest.fixture
def book(learner):
    return catalog.course()


def happened(ws, days_ago: int, kind: str, **data) -> None:
    """Put an event of an earlier day into the progress file."""
    day = (date.today() - timedelta(days=days_ago)).isoformat()
    number = len(progress.load(ws.root))
    line = Event(f"e{number}", f"{day}T10:00:{number:02d}.000Z", kind, "one", day, data).to_line()
    with (ws.root / progress.FILE).open("a") as file:
        file.write(line + "\n")


def missed(ws, book, days_ago=5):
    quiz = next(q for q in book.questions.values() if q.kind == "quiz")
    happened(
        ws, days_ago, "quiz", question=quiz.id, choice=next(c for i, c in enumerate(quiz.choices) if i != quiz.answer)
    )
    return quiz


def looks(ws) -> list[tuple[str, str]]:
    return [(e.data["card"], e.data["rating"]) for e in progress.load(ws.root) if e.kind == "review"]


def due(ws, book):
    found, entries = review_ask.standing(ws, book)
    return [review_ask.ask(card, book, entries) for card in review.due(found, date.today())]


class Keys(io.StringIO):
    """What somebody types, at a terminal."""

    def isatty(self):
        return True


def typed(monkeypatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", Keys("".join(line + "\n" for line in lines)))


# --- what is asked ---


def test_a_question_has_its_choices_in_another_order_at_every_look_and_keeps_its_answer(learner, book):
    quiz = missed(learner, book)
    orders = {review_ask.shuffled(quiz, n).choices for n in range(12)}
    assert len(orders) > 1
    for n in range(12):
        mixed = review_ask.shuffled(quiz, n)
        assert mixed.choices[mixed.answer] == quiz.choices[quiz.answer]
        assert dict(zip(mixed.choices, mixed.why, strict=True)) == dict(zip(quiz.choices, quiz.why, strict=True))
        assert mixed == review_ask.shuffled(quiz, n)


def test_an_exercise_shows_where_it_begins_and_never_the_solution(learner, book):
    happened(learner, 9, "check", exercise="double", passed=True)
    asked = next(one for one in due(learner, book) if one.card.kind == "exercise")
    assert asked.starter.startswith("def double(") and "raise NotImplementedError()" in asked.starter
    solution = review_ask.course_answer(asked, book)
    inside = [line for line in solution.splitlines() if "return" in line]
    assert inside and not any(line in asked.starter for line in inside)


def test_every_kind_of_card_of_the_course_can_be_asked():
    from mechinterp_course.tutor.review import Card

    book = catalog.course()
    ids = [f"exercise:{name}" for name in book.exercises]
    ids += [f"{q.kind}:{q.id}" for q in book.questions.values()] + [f"term:{term}" for term in book.glossary]
    for id in ids:
        asked = review_ask.ask(Card(id, date.today(), book.lessons[0].id, "Why.", 0), book)
        assert asked.front and asked.heading.startswith("Lesson 00 · ")
        assert bool(asked.question) != bool(asked.choices)
        assert ("raise NotImplementedError()" in asked.starter) == id.startswith("exercise:")


# --- in a terminal ---


def test_a_question_is_answered_with_its_letter_and_rated_by_the_answer(learner, book, monkeypatch, capsys):
    quiz = missed(learner, book)
    (asked,) = due(learner, book)
    wrong = next(i for i in range(len(quiz.choices)) if i != asked.question.answer)
    typed(monkeypatch, "zzz", "abcd"[wrong])
    assert run(["review"]) == 0
    assert looks(learner) == [(f"quiz:{quiz.id}", "again")]
    said = capsys.readouterr().out
    assert "Not this one" in said and "That is today's review." in said
    assert run(["review", "--list"]) == 0
    assert "Nothing is due" in capsys.readouterr().out


def test_stopping_keeps_what_was_done_and_asks_the_rest_another_time(learner, book, monkeypatch, capsys):
    quiz = missed(learner, book)
    happened(learner, 3, "read", lesson=book.lessons[0].id)
    (asked, *others) = due(learner, book)
    typed(monkeypatch, "abcd"[asked.question.answer], "q")
    assert run(["review"]) == 0
    assert looks(learner) == [(f"quiz:{quiz.id}", "good")]
    assert "The rest waits" in capsys.readouterr().out
    assert len(due(learner, book)) == len(others) > 0
    typed(monkeypatch)  # the end of the input stops, too
    assert run(["review"]) == 0


def test_after_todays_review_more_is_asked_only_as_more(learner, book, monkeypatch, capsys):
    """Five minutes were spent; what is due beyond them is said to be more, and `mechinterp status` holds nothing of it."""
    quizzes = [q for q in book.questions.values() if q.kind == "quiz"]
    happened(learner, 9, "check", exercise="double", passed=True)
    happened(learner, 9, "check", exercise="quadruple", passed=True)
    for quiz in quizzes:
        happened(
            learner, 9, "quiz", question=quiz.id, choice=next(c for c in quiz.choices if c != quiz.choices[quiz.answer])
        )
    before = len(due(learner, book))
    for _ in range(2):  # three minutes each
        card = next(one.card for one in due(learner, book) if one.card.kind == "exercise")
        review.rate(card, "good")
    assert len(due(learner, book)) == before - 2 > 0
    typed(monkeypatch, "q")
    assert run(["review"]) == 0
    assert "Today's review is done. If you like" in capsys.readouterr().out
    assert run(["status"]) == 0
    assert "nothing for today" in capsys.readouterr().out


def test_without_a_terminal_it_only_says_what_is_due(learner, book, monkeypatch, capsys):
    missed(learner, book)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["review"]) == 0
    assert "1 card due" in capsys.readouterr().out and not looks(learner)


def test_looking_at_ones_own_answer_and_rating_oneself(learner, book, monkeypatch, capsys):
    happened(learner, 9, "check", exercise="double", passed=True)
    write_cell(learner.root / LAB, "double", DOUBLE)
    typed(monkeypatch, "", "2")
    assert run(["review"]) == 0
    assert looks(learner) == [("exercise:double", "hard")]
    assert "return x + x" in capsys.readouterr().out


@pytest.mark.kernel
def test_an_exercise_written_anew_is_checked_on_new_inputs_and_nothing_else_is_recorded(
    learner, book, monkeypatch, capsys
):
    happened(learner, 9, "check", exercise="double", passed=True)
    before = (learner.root / LAB).read_bytes()
    drafts = ["def double(x):\n    return x + 1\n", DOUBLE + "\n"]
    monkeypatch.setattr("click.edit", lambda *a, **k: drafts.pop(0))
    typed(monkeypatch, "w", "w")
    assert run(["review"]) == 0
    said = capsys.readouterr().out
    assert "✗ double" in said and "✓ double" in said and "on new inputs" in said
    assert looks(learner) == [("exercise:double", "good")]
    assert [e.kind for e in progress.load(learner.root)] == ["check", "review"]
    assert (learner.root / LAB).read_bytes() == before


@pytest.mark.kernel
def test_a_lab_without_the_exercise_cannot_be_rechecked(learner, book):
    found = json.loads((learner.root / LAB).read_text())
    found["cells"] = [cell for cell in found["cells"] if cell.get("id") != "double"]
    (learner.root / LAB).write_text(json.dumps(found))
    outcome = rewrite.check_again(learner, book, "double", DOUBLE, 1000, lambda text: None)
    assert not outcome.passed and "not in" in outcome.lines[1]


# --- in a notebook ---


def test_outside_a_notebook_the_cards_are_text(learner, book, capsys):
    missed(learner, book)
    review_view.review()
    said = capsys.readouterr().out
    assert "1 card, about 1 minute." in said
    assert "mechinterp review" in said and "a)" in said


def test_a_form_is_settled_once(learner, book):
    pytest.importorskip("anywidget")
    quiz = missed(learner, book)
    (asked,) = due(learner, book)
    widget = review_view._widget(asked, "1 of 1")
    widget._handle_custom_msg({"choice": None, "sure": None}, [])
    assert "Choose one first" in widget.result and not looks(learner)
    widget._handle_custom_msg({"choice": asked.question.answer, "sure": None}, [])
    assert "Right." in widget.result
    widget._handle_custom_msg({"choice": (asked.question.answer + 1) % len(quiz.choices), "sure": None}, [])
    assert looks(learner) == [(f"quiz:{quiz.id}", "good")]


def test_a_term_covers_its_meaning_until_one_looks(learner, book):
    pytest.importorskip("anywidget")
    happened(learner, 3, "read", lesson=book.lessons[0].id)
    asked = next(one for one in due(learner, book) if one.card.kind == "term")
    widget = review_view._widget(asked, "1 of 1")
    covered = widget.question.split("<details>")[1]
    assert "Look" in covered and len(widget.choices) == 4
    widget._handle_custom_msg({"choice": 3, "sure": None}, [])
    assert looks(learner) == [(asked.card.id, "easy")]


def test_an_own_question_that_is_known_now_leaves_the_review_and_the_open_ones(learner, book):
    path = learner.root / READING
    name = journal.CELLS["questions"]
    write_cell(path, name, cells(path)[name] + "\n\nWhy?")
    (entry,) = journal.open_questions(journal.collect(learner, book))
    card = review_ask.all_cards(progress.load(learner.root), book, [entry])[0]
    review_ask.settle(review_ask.ask(card, book, [entry]), "good")
    assert not journal.open_questions(journal.collect(learner, book))
    assert not [one for one in due(learner, book) if one.card.kind == "question"]


def test_recheck_in_a_notebook(learner, book, capsys):
    with pytest.raises(CourseError, match="not in your review"):
        review_view.recheck("double", lambda x: x + x)
    happened(learner, 9, "check", exercise="double", passed=True)
    with pytest.raises(CheckFailed, match="double"):
        review_view.recheck("double", lambda x: x)
    review_view.recheck("double", lambda x: x + x)
    assert looks(learner) == [("exercise:double", "again")], "the first look of a day counts"
    assert "on new inputs" in capsys.readouterr().out
