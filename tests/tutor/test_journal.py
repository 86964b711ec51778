"""The journal: what a learner writes at the end of a lesson, kept by day, answered, and made into a draft of a post."""

import base64
import json
import os
import time
from datetime import date, datetime, timedelta

import pytest
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    READING,
    add_cell,
    build,
    built_fixture,
    cells,
    drop_cell,
    learner_fixture,
    release_fixture,
    texts,
    write_cell,
)

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, journal, journal_post, notebook, progress
from mechinterp_course.tutor.events import Event

SURPRISED, QUESTIONS = journal.CELLS["surprised"], journal.CELLS["questions"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def book(learner):
    return catalog.course()


def wrote(ws, section: str, text: str, days_ago: int = 0) -> None:
    """Type below the invitation of a journal cell, and save the notebook."""
    path = ws.root / READING
    before = cells(path)[section]
    write_cell(path, section, f"{before.rstrip()}\n\n{text}")
    saved(path, days_ago)


def saved(path, days_ago: int) -> None:
    then = time.time() - 86_400 * days_ago
    os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("source", "entries"),
    [
        ("## Heading\n\nGiven.", []),
        ("## Heading\n\nGiven.\n\nWhy?", [("Why?", None)]),
        ("Why\nreally?\n\nAnd how?", [("Why really?", None), ("And how?", None)]),
        ("- Why?\n- How?\n  in detail\n3. When?", [("Why?", None), ("How? in detail", None), ("When?", None)]),
        ("Why?\n-> Because of the mask.\n\nHow?", [("Why?", "Because of the mask."), ("How?", None)]),
        ("- Why?\n  → So\n  it is.", [("Why?", "So it is.")]),
        ("Why?\n\nAnswer: no idea", [("Why?", "no idea")]),
        (
            "This works:\n\n```python\n# a comment\n\n- x = 2\n```\nOdd.\n\nWhy?",
            [("This works:\n```python\n# a comment\n\n- x = 2\n```\nOdd.", None), ("Why?", None)],
        ),
        ("~~~\nx", [("~~~\nx", None)]),
        ("→ an answer to nothing", [("→ an answer to nothing", None)]),
        ("Why?\n->", [("Why?", "")]),
    ],
)
def test_each_point_and_paragraph_is_an_entry_without_what_was_released(source, entries):
    assert journal.written("## Heading\n\nGiven.", source) == entries


def test_every_lesson_of_the_course_ends_with_both_cells():
    from mechinterp_course.course.build import lesson_notebook

    book = catalog.course()
    for lesson in book.lessons:
        names = [cell.id for cell in lesson_notebook(book, lesson).cells]
        assert names[-3:] == [SURPRISED, QUESTIONS, "nav-bottom"], lesson.stem


def test_what_is_written_is_kept_with_the_day_it_was_saved(learner, book):
    assert journal.collect(learner, book) == []
    wrote(learner, SURPRISED, "That softmax forgets a shift.", days_ago=3)
    wrote(learner, QUESTIONS, "Why e?\n\nWhy not 2?", days_ago=2)
    found = journal.collect(learner, book)
    assert [(e.section, e.text) for e in found if e.section == "surprised"] == [
        ("surprised", "That softmax forgets a shift.")
    ]
    assert {e.text for e in journal.open_questions(found)} == {"Why e?", "Why not 2?"}
    assert {e.day for e in found} == {date.today() - timedelta(days=2)}
    assert journal.collect(learner, book) == found
    assert len([e for e in progress.load(learner.root) if e.kind == "journal"]) == 3


def test_an_entry_keeps_its_day_when_its_notebook_is_saved_again_and_when_it_is_edited(learner, book):
    wrote(learner, QUESTIONS, "Why does the softmax use e?", days_ago=5)
    first = journal.collect(learner, book)[0]
    path = learner.root / READING
    write_cell(path, QUESTIONS, cells(path)[QUESTIONS].replace("use e?", "use e and not 2?"))
    (edited,) = journal.collect(learner, book)
    assert edited.text == "Why does the softmax use e and not 2?" and edited.day == first.day and edited.id != first.id


def test_what_is_taken_out_of_the_notebook_is_taken_out_of_the_journal_but_not_what_another_computer_wrote(
    learner, book
):
    wrote(learner, QUESTIONS, "Why?")
    journal.collect(learner, book)
    foreign = Event("x", "2026-01-01T00:00:00.000Z", "journal", "another", "2026-01-01",
                    {"entry": "00-beef", "section": "questions", "lesson": "l00_first_steps", "text": "There?"})  # fmt: skip
    with (learner.root / "progress-other.jsonl").open("w") as file:
        file.write(foreign.to_line() + "\n")
    path = learner.root / READING
    write_cell(path, QUESTIONS, cells(path)[QUESTIONS].replace("Why?", ""))
    assert [entry.text for entry in journal.collect(learner, book)] == ["There?"]


def elsewhere(event: Event, machine: str = "another") -> Event:
    return Event(event.id, event.at, event.kind, machine, event.day, event.data)


def as_if_from_another_computer(ws) -> None:
    """Make what was recorded so far another computer's, as after `mechinterp import`."""
    events = [elsewhere(event) for event in progress.load(ws.root)]
    (ws.root / progress.FILE).write_text("".join(event.to_line() + "\n" for event in events))


def test_an_entry_that_came_from_another_computer_can_be_edited_here(learner, book):
    wrote(learner, QUESTIONS, "Why does the softmax use e?\n-> No idea.", days_ago=5)
    journal.collect(learner, book)
    as_if_from_another_computer(learner)
    (before,) = journal.collect(learner, book)
    assert before.answer == "No idea." and before.day == date.today() - timedelta(days=5)
    path = learner.root / READING
    write_cell(path, QUESTIONS, cells(path)[QUESTIONS].replace("use e?", "use e and not 2?"))
    (edited,) = journal.collect(learner, book)
    assert (edited.text, edited.day) == ("Why does the softmax use e and not 2?", before.day)
    assert journal.collect(learner, book) == [edited]


def test_what_another_computer_took_out_stays_out_though_it_stands_here(learner, book):
    wrote(learner, QUESTIONS, "Why?")
    (entry,) = journal.collect(learner, book)
    gone = progress.load(learner.root)[-1]
    gone = Event("z", "2099-01-01T00:00:00.000Z", "journal", "another",
                 gone.day, {"entry": entry.id, "gone": True})  # fmt: skip
    (learner.root / "progress-other.jsonl").write_text(gone.to_line() + "\n")
    assert journal.collect(learner, book) == [] == journal.collect(learner, book)


def test_an_answer_stays_when_the_same_entry_is_recorded_twice(learner, book):
    data = {"entry": "00-beef", "section": "questions", "lesson": "l00_first_steps", "text": "Why?"}
    events = [
        Event("a", "2026-01-01T00:00:00.000Z", "journal", "one", "2026-01-01", data),
        Event("b", "2026-01-02T00:00:00.000Z", "answered", "one", "2026-01-02", {"entry": "00-beef", "answer": "So."}),
        Event("c", "2026-01-03T00:00:00.000Z", "journal", "two", "2026-01-03", data),
    ]
    assert [entry.answer for entry in journal.entries(events)] == ["So."]


def test_entries_stand_in_the_order_in_which_they_were_written(learner, book):
    points = [f"Point {word}." for word in ("one", "two", "three", "four", "five", "six")]
    wrote(learner, SURPRISED, "\n".join(f"- {text}" for text in points))
    assert [entry.text for entry in journal.collect(learner, book)] == points


def test_by_default_everything_is_shown_also_what_is_older_than_the_first_event(learner, book, capsys):
    from mechinterp_course.commands.app import run

    wrote(learner, QUESTIONS, "Why?", days_ago=9)
    assert run(["journal"]) == 0 and "Why?" in capsys.readouterr().out
    assert run(["journal", "--post"]) == 0
    (post,) = (learner.root / "posts").glob("*/post.md")
    assert "- Why?" in post.read_text()


def test_a_question_is_answered_in_the_notebook_or_by_its_name_and_can_be_opened_again(learner, book):
    wrote(learner, QUESTIONS, "Why?\n-> Because.\n\nHow?")
    answered, still_open = sorted(journal.collect(learner, book), key=lambda e: e.is_open)
    assert (answered.text, answered.answer) == ("Why?", "Because.")
    journal.mark_answered([answered, still_open], still_open.id, "By hand.")
    assert not journal.open_questions(journal.collect(learner, book))
    journal.mark_answered([answered, still_open], still_open.id, is_open=True)
    assert [e.text for e in journal.open_questions(journal.collect(learner, book))] == ["How?"]
    with pytest.raises(CourseError, match="00-zzzz"):
        journal.mark_answered([answered], "00-zzzz")


def test_a_damaged_notebook_and_damaged_events_are_passed_over(learner, book):
    wrote(learner, QUESTIONS, "Why?")
    journal.collect(learner, book)
    (learner.root / READING).write_text("{ half")
    strange = [
        {"entry": 3},
        {"entry": "a", "section": "?"},
        {"entry": "b", "section": "questions", "lesson": 1, "text": "x"},
    ]
    for data in strange:
        progress.record("journal", **data)
    (one,) = journal.entries(progress.load(learner.root))
    assert one.text == "Why?"


# --- days ---


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("", ("2026-03-01", "2026-03-20")),
        ("week", ("2026-03-14", "2026-03-20")),
        ("2026-03-05", ("2026-03-05", "2026-03-05")),
        ("2026-03-05..", ("2026-03-05", "2026-03-20")),
        ("..2026-03-05", ("2026-03-01", "2026-03-05")),
        ("2026-03-05..2026-03-07", ("2026-03-05", "2026-03-07")),
    ],
)
def test_days(text, span):
    found = journal_post.days(text, date(2026, 3, 20), date(2026, 3, 1))
    assert tuple(map(str, found)) == span


@pytest.mark.parametrize(
    "text", ["soon", "2026-13-01", "2026-03-09..2026-03-05", "2027-01-01", "2026-03-05...2026-03-06"]
)
def test_days_that_make_no_sense(text):
    with pytest.raises(CourseError):
        journal_post.days(text, date(2026, 3, 20), None)


# --- the post ---


def plot(ws, name: str, data: dict) -> None:
    path = ws.root / READING
    add_cell(path, QUESTIONS, "draw()", name=name)
    found = notebook.load(path)
    for cell in found["cells"]:
        if notebook.cell_id(cell) == name:
            cell["outputs"] = [{"output_type": "display_data", "data": data, "metadata": {}}]
    path.write_text(json.dumps(found))


def test_a_post_holds_predictions_results_surprises_plots_questions_and_papers(learner, book):
    today = date.today()
    asked = next(q for q in book.questions.values() if q.kind == "predict")
    wrong = next(c for i, c in enumerate(asked.choices) if i != asked.answer)
    progress.record("predict", question=asked.id, choice=wrong, sure=90)
    progress.record("reveal", question=asked.id, choice=wrong, sure=90)
    for passed in (False, False, True):
        progress.record("check", exercise="double", passed=passed)
    progress.record("give_up", exercise="row_softmax")
    wrote(learner, SURPRISED, "That it | works.")
    wrote(learner, QUESTIONS, "Why?\n-> So.\n\nHow?")
    figure = {
        "data": [{"type": "bar", "y": [1, 2]}],
        "layout": {"title": {"text": "Two bars"}, "meta": {"alt": "One is higher."}},
    }
    plot(learner, "mine-plotly", {"application/vnd.plotly.v1+json": figure})
    plot(learner, "mine-png", {"image/png": PNG})
    made = journal_post.write(learner, book, today, today)
    text = made.path.read_text()
    assert made.path == learner.root / "posts" / f"{today}_{today}" / "post.md"
    assert "I wrote `double`. The hardest was `double`: 3 tries. I left `row_softmax` to the course." in text
    assert "| 90 % | it was:" in text and "0 of 1 predictions came true" in text
    assert "That it | works." in text and "- How?" in text.split("## Questions I still have")[1]
    assert "Why?" in text.split("## Questions that found an answer")[1] and "So." in text
    assert made.figures == 2 and made.left_out == 0
    files = sorted(path.name for path in (made.path.parent / "figures").iterdir())
    assert files == ["figure-1.png", "figure-2.html", "plotly.min.js"]
    assert (made.path.parent / "figures" / "figure-1.png").read_bytes() == base64.b64decode(PNG)
    assert "Two bars. One is higher" in text
    again = journal_post.write(learner, book, today, today)
    assert again.path != made.path and made.path.read_text() == text


def test_code_in_an_entry_and_brackets_in_a_plots_description_survive_the_post(learner, book):
    wrote(learner, SURPRISED, "This works:\n```python\nx = 1\n```")
    figure = {
        "data": [{"type": "bar", "y": [1]}],
        "layout": {"title": {"text": "A [dest, src] pattern"}, "meta": {"alt": "One\nline."}},
    }
    plot(learner, "mine", {"application/vnd.plotly.v1+json": figure})
    text = journal_post.write(learner, book, date.today(), date.today()).path.read_text()
    assert "- This works:\n  ```python\n  x = 1\n  ```\n  *(lesson 00)*" in text
    assert "[A (dest, src) pattern. One line](figures/" in text


def test_only_own_plots_of_these_days_go_into_a_post(learner, book):
    path = learner.root / READING
    found = notebook.load(path)
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}]
    path.write_text(json.dumps(found))
    today = date.today()
    assert journal_post.own_figures(learner, book, today, today) == []
    plot(learner, "mine-png", {"image/png": PNG})
    assert len(journal_post.own_figures(learner, book, today, today)) == 1
    saved(path, 9)
    assert journal_post.own_figures(learner, book, today, today) == []


def test_a_post_about_days_on_which_nothing_happened_is_a_heading(learner, book):
    day = date.today() - timedelta(days=30)
    text = journal_post.write(learner, book, day, day).path.read_text()
    assert text.startswith("# What I learned") and "##" not in text.replace("# What", "", 1)


def test_a_question_of_the_journal_is_a_card_of_the_review(learner, book):
    from mechinterp_course.tutor import review

    wrote(learner, QUESTIONS, "Why?")
    (entry,) = journal.open_questions(journal.collect(learner, book))
    cards = review.cards(progress.load(learner.root), book, [(entry.id, entry.day, entry.lesson)])
    assert [(card.kind, card.name) for card in cards] == [("question", entry.id)]
    assert datetime.now().date() < cards[0].due
