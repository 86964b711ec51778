"""The reading ladder: its order, its marks, its drawing, and the questions in the lessons."""

import pytest

from mechinterp_course.course.build import lesson_notebook
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import papers, progress
from mechinterp_course.tutor.catalog import course


@pytest.fixture(scope="module")
def book():
    return course()


@pytest.fixture
def reader(tmp_path, monkeypatch):
    (tmp_path / progress.MARKER).mkdir()
    monkeypatch.setenv("MECHINTERP_WORKSPACE", str(tmp_path))
    return tmp_path


def test_the_ladder_follows_the_lessons_and_names_each_paper_once(book):
    steps = papers.ladder(book)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert len({step.id for step in steps}) == len(steps)
    first = [step.lessons[0] for step in steps]
    assert first == sorted(first)
    for lesson in book.lessons:
        assert {step.id for step in steps if lesson.number in step.lessons} == set(papers.named_in(lesson))


def test_what_is_to_be_read_has_sections_and_three_questions_and_connects_to_what_is_there(book):
    for step in papers.ladder(book):
        assert step.paper.get("read"), step.id
        assert set(step.connects) <= set(book.papers) - {step.id}, step.id
        if step.paper["kind"] in ("paper", "post") and step.id != "nanda2022_glossary":
            assert len(step.questions) == 3 and len(set(step.questions)) == 3, step.id
            assert all(question.endswith("?") for question in step.questions), step.id


def test_a_mark_can_be_set_and_taken_back(book, reader):
    papers.mark(book, ["olah2020", "elhage2021"])
    papers.mark(book, ["olah2020"], read=False)
    read = {step.id: step.read_on for step in papers.ladder(book, progress.load(reader)) if step.read_on}
    assert set(read) == {"elhage2021"} and read["elhage2021"] == progress.load(reader)[-1].day


def test_an_unknown_name_is_answered_with_a_suggestion_and_marks_nothing(book, reader):
    with pytest.raises(CourseError, match="olah2019") as caught:
        papers.mark(book, ["elhage2021", "olah2019"])
    assert "olah2020" in caught.value.remedy
    assert not progress.load(reader)


def test_the_drawing_holds_every_step_and_every_connection(book, reader):
    papers.mark(book, ["olah2020"])
    steps = papers.ladder(book)
    figure = papers.graph(book, progress.load(reader))
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    read, unread = (trace for trace in figure.data if trace.mode == "markers+text")
    assert len(lines) == len(papers.connections(steps)) > 10
    assert (len(read.x), len(unread.x)) == (1, len(steps) - 1)
    places = list(zip([*read.x, *unread.x], [*read.y, *unread.y], strict=True))
    assert len(set(places)) == len(steps)
    assert "1 are read" in figure.layout.meta["alt"]


def test_the_questions_stand_in_the_first_lesson_that_sends_there_and_only_there(book):
    notebooks = {
        lesson.number: "\n".join(c.source for c in lesson_notebook(book, lesson).cells) for lesson in book.lessons
    }
    for step in papers.ladder(book):
        in_read = [n for n in step.lessons if step.id in papers.named_in(book.lesson(n), ("Read",))]
        for question in step.questions:
            where = [number for number, text in notebooks.items() if question in text]
            assert where == ([step.lessons[0]] if step.lessons[0] in in_read else []), (step.id, question)


def test_the_questions_end_before_the_next_section(book):
    text = "\n".join(cell.source for cell in lesson_notebook(book, book.lesson("01")).cells)
    section = text.split("## Read")[1].split("\n## ")[0]
    assert section.count("<details>") == section.count("</details>") == 2
    assert text.count("## Do") == 1
