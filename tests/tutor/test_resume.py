"""Where a learner left off, and the status table: functions of the progress file, the course and the clock."""

import json
from datetime import datetime, timedelta

import pytest
from learner import LAB, READING, built_fixture, learner_fixture, release_fixture  # noqa: F401

from mechinterp_course.tutor import catalog, progress, workspace
from mechinterp_course.tutor.plan import Plan
from mechinterp_course.tutor.report import report
from mechinterp_course.tutor.resume import resume

NOW = datetime.now().astimezone()


def passed(*names):
    for name in names:
        progress.record("check", exercise=name, passed=True, held=1, total=1, mistake="")


def test_on_the_first_day_the_reading_is_next(learner):
    found = resume(learner, catalog.course(), NOW)
    assert found.last == ""
    assert found.next == "Lesson 00, First steps: reading"
    assert (found.notebook, found.minutes) == (READING, 5)
    assert (found.passed, found.total) == (0, 4)


def test_then_the_lab_at_the_exercise_that_is_left(learner):
    passed("double")
    found = resume(learner, catalog.course(), datetime.now().astimezone())
    assert found.notebook == LAB
    assert found.next.endswith("from the exercise quadruple")
    assert found.last.startswith("Today at ")
    assert found.last.endswith("you passed double")


def test_several_exercises_of_a_day_are_counted_and_opening_is_not_doing(learner):
    passed("double", "quadruple")
    progress.record("open", lesson="l00_first_steps", sitting="lab A")
    assert resume(learner, catalog.course(), NOW).last.endswith("you passed 2 exercises, the last one quadruple")


def test_planning_is_not_doing(learner):
    progress.record("plan", **Plan(start=NOW.date(), days=tuple(range(7))).data)
    assert resume(learner, catalog.course(), NOW).last.endswith("you made a plan")
    passed("double")
    progress.record("rest", first="2026-01-01", last="2026-01-01")
    progress.record("calendar", days=[], sequence=0)
    assert resume(learner, catalog.course(), NOW).last.endswith("you passed double")


def test_a_day_to_come_is_named_by_its_date_and_only_where_there_is_no_other(learner):
    passed("double")
    before = datetime.now().astimezone() - timedelta(days=40)
    today = datetime.now()
    assert resume(learner, catalog.course(), before).last.startswith(f"{today.day} {today:%B}")
    line = {
        "id": "f",
        "at": "2020-01-02T10:00:00.000Z",
        "day": "2020-01-02",
        "kind": "read",
        "lesson": "l00_first_steps",
    }
    with (learner.root / progress.FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert resume(learner, catalog.course(), before).last.endswith("you read lesson 00")


@pytest.mark.parametrize(("days", "words"), [(1, "Yesterday at "), (3, "Last "), (40, "")])
def test_days_are_named_as_people_name_them(learner, days, words):
    passed("double")
    later = datetime.now().astimezone() + timedelta(days=days)
    last = resume(learner, catalog.course(), later).last
    day = later - timedelta(days=days)
    expected = words or f"{day.day} {day:%B}"
    assert last.startswith(f"{expected}{day:%A}" if words == "Last " else expected)


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("hint", {"exercise": "double", "level": 1}, "you took a hint for double"),
        ("borrow", {"exercise": "double"}, "you borrowed double"),
        ("give_up", {"exercise": "double"}, "you looked at the answer to double"),
        ("check", {"exercise": "double", "passed": False}, "you worked on double"),
        ("predict", {"question": "x", "choice": "y"}, "you made a prediction"),
        ("something new", {}, "you were here"),
    ],
)
def test_what_was_done_is_said(learner, kind, data, words):
    progress.record(kind, **data)
    assert resume(learner, catalog.course(), NOW).last.endswith(words)


def test_once_everything_is_done_home_opens(learner):
    course = catalog.course()
    passed(*course.exercises)
    found = resume(learner, course, NOW)
    assert found.next == ""
    assert found.notebook == workspace.HOME


def test_the_status_counts_exercises_hints_and_minutes(learner):
    passed("double")
    progress.record("hint", exercise="quadruple", level=1)
    progress.record("hint", exercise="quadruple", level=2)
    found = report(learner, catalog.course(), NOW.date())
    first = found.lessons[0]
    assert (first.passed, first.total, first.hints, first.minutes_left, first.is_now) == (1, 3, 2, 55, True)
    assert found.lessons[1].next == "reading"
    data = json.loads(found.as_json())
    assert data["lessons"][0]["number"] == "00"
    assert data["today"] == [
        {"what": "00 First steps: reading", "minutes": 5, "minutes_left": 0},
        {"what": "00 First steps: lab A", "minutes": 30, "minutes_left": 25},
    ]
    assert (data["plan"], data["streak"], data["days_worked"]) == (None, 1, 1)
    assert data["reviews_due"] == found.glance.today.due == 0
    tomorrow = report(learner, catalog.course(), NOW.date() + timedelta(days=1))
    assert tomorrow.glance.today.due == 1  # a term of the lesson that was begun
    assert data["calibration"]["count"] == 0 and data["calibration"]["verdict"] == "10 more to say anything"
    assert "glance" not in data


def test_a_damaged_line_is_counted(learner):
    with (learner.root / "progress.jsonl").open("a") as file:
        file.write('{"half a li\n')
    assert report(learner, catalog.course(), NOW.date()).damaged == 1
