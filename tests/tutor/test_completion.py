"""The completion report: what it says follows from the events, and what was passed is run again."""

import json
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    QUADRUPLE,
    add_cell,
    build,
    built_fixture,
    cells,
    learner_fixture,
    release_fixture,
    write_cell,
)

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, completion, progress

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


@pytest.fixture
def book(learner):
    return catalog.course()


def record_of(found, name):
    return next(one for one in found.exercises if one.name == name)


def test_it_says_what_was_done_and_with_which_help(learner, book):
    progress.record("check", exercise="double", passed=False)
    progress.record("hint", exercise="double", level=1)
    progress.record("hint", exercise="double", level=3)
    progress.record("check", exercise="double", passed=True)
    progress.record("borrow", exercise="quadruple")
    progress.record("give_up", exercise="row_softmax")
    found = completion.report(learner, book, name="  Ada ", verify=False)
    double = record_of(found, "double")
    assert (double.passed_on, double.tries, double.hints) == (date.today().isoformat(), 2, ("nudge", "outline"))
    assert record_of(found, "quadruple").borrowed and not record_of(found, "quadruple").passed_on
    assert record_of(found, "row_softmax").gave_up
    assert found.name == "Ada" and found.days == 1 and found.seed is None
    assert [lesson.number for lesson in found.lessons] == ["00"], "only what was begun"
    assert all(one.verified is None for one in found.exercises)


def test_lessons_can_be_named_and_nothing_done_is_said(learner, book):
    with pytest.raises(CourseError, match="nothing to report"):
        completion.report(learner, book, verify=False)
    assert [one.number for one in completion.report(learner, book, ["01", "0"], verify=False).lessons] == ["00", "01"]
    assert [
        one.number for one in completion.report(learner, book, ["00", "0", "first_steps"], verify=False).lessons
    ] == ["00"]
    with pytest.raises(CourseError, match="is an exercise"):
        completion.report(learner, book, ["double"], verify=False)


def test_the_first_pass_is_the_day_that_counts_also_under_an_old_name(book):
    from mechinterp_course.tutor.events import Event

    old = book.exercises["quadruple"].card.renamed_from[0]
    events = [
        Event("a", "2026-03-05T10:00:00.000Z", "check", "m", "2026-03-05", {"exercise": old, "passed": True}),
        Event("b", "2026-03-02T10:00:00.000Z", "check", "m", "2026-03-02", {"exercise": old, "passed": True}),
    ]
    found = completion.made(events, book, [book.lessons[0]], "", {}, None, NOW)
    assert record_of(found, "quadruple").passed_on == "2026-03-02"
    assert (found.first, found.last) == ("2026-03-02", "2026-03-05")


def first_cell(path) -> str:
    return next(iter(cells(path)))


@pytest.mark.kernel
def test_what_was_passed_is_run_again_on_new_inputs_and_nothing_is_recorded(learner, book):
    add_cell(
        learner.root / LAB, first_cell(learner.root / LAB), "def twice(x):\n    return x + x", name=""
    )  # an editor dropped its id
    write_cell(learner.root / LAB, "double", DOUBLE.replace("x + x", "twice(x)"))
    write_cell(learner.root / LAB, "quadruple", "def quadruple(x):\n    return x")
    for name in ("double", "quadruple"):
        progress.record("check", exercise=name, passed=True)
    before = progress.load(learner.root)
    found = completion.report(learner, book, seed=77)
    assert record_of(found, "double").verified is True
    assert record_of(found, "quadruple").verified is False and record_of(found, "quadruple").said
    assert record_of(found, "row_softmax").verified is None
    assert progress.load(learner.root) == before


def test_a_lab_that_is_gone_is_not_verified_and_the_report_is_made(learner, book):
    progress.record("check", exercise="double", passed=True)
    (learner.root / LAB).unlink()
    found = completion.report(learner, book)
    assert record_of(found, "double").verified is False and "is not in" in record_of(found, "double").said


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))


def test_the_page_needs_no_network_runs_no_script_and_escapes_names(learner, book, tmp_path):
    progress.record("check", exercise="double", passed=True)
    found = completion.report(learner, book, name="<script>alert(1)</script>", verify=False)
    page, data = completion.write(found, tmp_path / "mine.html")
    tags = Tags(page.read_text()).seen
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe"}
    assert not any({"src", "href", "onclick"} & set(attributes) for _, attributes in tags)
    assert "&lt;script&gt;" in page.read_text()
    assert json.loads(data.read_text())["lessons"][0]["exercises"][0]["name"] == "double"
    with pytest.raises(CourseError, match="cannot be written"):
        completion.write(found, tmp_path / "nowhere" / "mine.html")


def test_a_report_is_written_over_a_report_and_over_nothing_else(learner, book, tmp_path):
    progress.record("check", exercise="double", passed=True)
    found = completion.report(learner, book, verify=False)
    page, data = completion.write(found, tmp_path / "my.report.v1")
    assert (page.name, data.name) == ("my.report.v1.html", "my.report.v1.json")
    assert completion.write(found, page) == (page, data)
    (tmp_path / "thesis.json").write_text('{"pages": 3}')
    with pytest.raises(CourseError, match="no report's data"):
        completion.write(found, tmp_path / "thesis.html")
    assert (tmp_path / "thesis.json").read_text() == '{"pages": 3}'


def test_a_place_that_cannot_be_written_is_told_before_anything_runs(learner, book, tmp_path, monkeypatch, capsys):
    from mechinterp_course.commands.app import run

    progress.record("check", exercise="double", passed=True)
    monkeypatch.setattr(completion, "report", lambda *given: pytest.fail("the labs were run"))
    assert run(["report", "--to", str(tmp_path / "nowhere" / "mine.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err
