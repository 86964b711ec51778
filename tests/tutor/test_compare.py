"""The learner's answer beside the course's: after passing, or by giving up."""

import pytest
from learner import DOUBLE, LAB, built_fixture, drop_cell, learner_fixture, release_fixture, write_cell  # noqa: F401

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, progress
from mechinterp_course.tutor.compare import compare


def kinds(ws):
    return [event.kind for event in progress.load(ws.root)]


def test_before_passing_the_answer_stays_covered(learner):
    with pytest.raises(CourseError, match="You have not passed double yet.*--give-up"):
        compare(learner, catalog.course(), "double")
    assert kinds(learner) == []


def test_after_passing_both_are_shown(learner):
    write_cell(learner.root / LAB, "double", DOUBLE)
    progress.record("check", exercise="double", passed=True)
    found = compare(learner, catalog.course(), "double")
    assert found.yours == DOUBLE
    assert "return 2 * x" in found.ours and "SOLUTION" not in found.ours
    assert not found.gave_up
    assert kinds(learner) == ["check"]


def test_giving_up_is_recorded_once(learner):
    assert compare(learner, catalog.course(), "double", give_up=True).gave_up
    compare(learner, catalog.course(), "double")
    compare(learner, catalog.course(), "double", give_up=True)
    assert kinds(learner) == ["give_up"]


def test_nothing_is_given_up_where_there_is_nothing_to_show(learner):
    (learner.root / LAB).write_text("{")
    with pytest.raises(CourseError, match="damaged"):
        compare(learner, catalog.course(), "double", give_up=True)
    with pytest.raises(CourseError, match="Did you mean double"):
        compare(learner, catalog.course(), "duoble", give_up=True)
    assert kinds(learner) == []


def test_a_deleted_answer_cell_is_said(learner):
    drop_cell(learner.root / LAB, "double")
    assert "not in the notebook" in compare(learner, catalog.course(), "double", give_up=True).yours
