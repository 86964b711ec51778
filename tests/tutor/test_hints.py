"""Hints, one step at a time, and the course's own function on loan."""

import pytest
import torch

from mechinterp_course import borrow, hint
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import events, progress
from mechinterp_course.tutor.hints import hint_lines, reached_level

pytestmark = pytest.mark.usefixtures("tiny_course")

NUDGE = 'Nudge (1 of 3) for double\nWhat is the sum of a number and itself?\nNext: hint("double") shows the idea.\n'
IDEA = 'Idea (2 of 3) for double\nAdd the tensor to itself, or multiply it by two.\nNext: hint("double") shows the outline.\n'
OUTLINE = (
    "Outline (3 of 3) for double\n1. Multiply `x` by 2.\n2. Return the result.\n"
    "Still stuck? In a terminal, `mechinterp compare double --give-up` shows the course's answer.\n"
)  # fmt: skip


def test_three_hints_in_order_then_the_last_one_again(capsys):
    shown = []
    for _ in range(4):
        assert hint("double") is None
        shown.append(capsys.readouterr().out)
    assert shown == [NUDGE, IDEA, OUTLINE, OUTLINE]


def test_a_later_session_goes_on_where_the_workspace_left_off(workspace, monkeypatch, capsys):
    hint("double")
    monkeypatch.setattr(events, "_session", [])
    capsys.readouterr()
    hint("double")
    assert capsys.readouterr().out == IDEA
    assert [(e.kind, e.data["exercise"], e.data["level"]) for e in progress.load()] == [
        ("hint", "double", 1),
        ("hint", "double", 2),
    ]


def test_a_level_by_number(capsys):
    hint("double", 2)
    assert capsys.readouterr().out == IDEA
    hint("double", level=1)
    assert capsys.readouterr().out.endswith('Next: hint("double", 2) shows the idea.\n')
    hint("double")
    assert capsys.readouterr().out == OUTLINE


def test_a_level_that_does_not_exist_is_explained(capsys):
    hint("double", 4)
    assert capsys.readouterr().out == "There are three hints for double: 1 (Nudge), 2 (Idea), 3 (Outline).\n"
    assert reached_level("double") == 0


def test_a_terminal_says_how_it_is_asked():
    assert hint_lines("double", again="mechinterp hint double")[-1] == "Next: mechinterp hint double shows the idea."


def test_hints_under_an_old_name_count(workspace):
    progress.record("hint", exercise="fourfold", level=2)
    assert reached_level("quadruple") == 2


def test_each_exercise_has_its_own_ladder(capsys):
    hint("double"), hint("double")
    capsys.readouterr()
    hint("row_softmax")
    assert capsys.readouterr().out.startswith("Nudge (1 of 3) for row_softmax")


@pytest.mark.parametrize("tool", [hint, borrow])
def test_a_misspelt_name_gets_the_nearest_one(tool):
    with pytest.raises(CourseError) as error:
        tool("duoble")
    assert (error.value.sentence, error.value.remedy) == ("There is no exercise 'duoble'.", "Did you mean double?")
    assert progress.load() == []


def test_a_loan_is_the_courses_function_and_is_recorded(workspace, capsys):
    double = borrow("double")
    assert torch.equal(double(torch.ones(2)), torch.full((2,), 2.0))
    said = capsys.readouterr()
    assert said.out == "double is the course's own now. To come back to yours later, run its cell again.\n"
    assert said.err == ""
    assert [(e.kind, e.data) for e in progress.load()] == [("borrow", {"exercise": "double"})]
