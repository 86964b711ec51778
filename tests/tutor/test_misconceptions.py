"""A mistake is named only when one wrong answer, and not the right one, behaves like the answer on every input."""

import sys
import time
import warnings

import numpy as np
import pytest
import torch

from mechinterp_course.tutor.checks import WrongAnswer
from mechinterp_course.tutor.guard import Call
from mechinterp_course.tutor.misconceptions import BUDGET_SECONDS, diagnose, same

X = torch.tensor([1.0, 2.0, 3.0])
SQUARES = WrongAnswer("squares", "You squared.", lambda x: x * x)
ADDS_TWO = WrongAnswer("adds two", "You added two.", lambda x: x + 2)


def right(x):
    return 2 * x


def calls(answer, *inputs) -> list[Call]:
    return [Call((x,), {}, answer(x)) for x in inputs]


def test_the_wrong_answer_that_matches_is_named():
    assert diagnose(calls(lambda x: x**2, X, -X), [SQUARES, ADDS_TWO], right) is SQUARES


def test_one_input_that_differs_is_enough_for_silence():
    two = torch.tensor([2.0])  # here squaring, adding two and doubling are the same
    assert diagnose(calls(lambda x: x * x, two), [SQUARES, ADDS_TWO], right) is None
    assert diagnose(calls(lambda x: x * x, two, X), [SQUARES, ADDS_TWO], right) is SQUARES
    assert diagnose([*calls(SQUARES.answer, X), *calls(ADDS_TWO.answer, X)], [SQUARES, ADDS_TWO], right) is None


def test_two_that_match_are_none():
    twin = WrongAnswer("a twin", "", lambda x: x.pow(2))
    assert diagnose(calls(SQUARES.answer, X), [SQUARES, twin], right) is None


def test_the_right_behaviour_is_no_mistake():
    assert diagnose(calls(right, X), [WrongAnswer("right after all", "", right)], right) is None


def test_no_calls_no_name():
    assert diagnose([], [SQUARES], right) is None


def test_a_wrong_answer_that_raises_does_not_match():
    raises = WrongAnswer("raises", "", lambda x: 1 / 0)
    assert diagnose(calls(SQUARES.answer, X), [raises, SQUARES], right) is SQUARES


def test_arrays_inside_a_dict_are_compared():
    array = WrongAnswer("array", "", lambda x: {"a": np.ones(3)})
    assert diagnose([Call((X,), {}, {"a": np.ones(3)})], [array], right) is array
    assert diagnose([Call((X,), {}, {"a": np.zeros(3)})], [array], right) is None


def test_a_result_on_another_device_matches_nothing():
    assert diagnose([Call((X,), {}, (X * X).to("meta"))], [SQUARES], right) is None


def test_a_wrong_answer_cannot_spoil_the_inputs_of_the_next():
    spoils = WrongAnswer("spoils", "", lambda x: x.zero_())
    recorded = calls(SQUARES.answer, X.clone())
    assert diagnose(recorded, [spoils, SQUARES], right) is SQUARES


def test_slow_answers_are_not_diagnosed():
    slow = [Call((X,), {}, X * X, seconds=BUDGET_SECONDS)]
    started = time.perf_counter()
    assert diagnose(slow, [SQUARES], right) is None
    assert time.perf_counter() - started < BUDGET_SECONDS


def test_waiting_is_not_computing():
    def waits(x):
        time.sleep(BUDGET_SECONDS)
        return x * x

    patient = WrongAnswer("squares, after a while", "", waits)
    assert diagnose(calls(SQUARES.answer, X), [patient], right) is patient


def test_what_a_wrong_answer_says_is_not_shown(capfd):
    def loud(x):
        warnings.warn("an old hook", stacklevel=1)
        print("noise")
        print("more of it", file=sys.stderr)
        return x * x

    loudly = WrongAnswer("squares aloud", "", loud)
    assert diagnose(calls(SQUARES.answer, X), [loudly], right) is loudly
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "a, b, equal",
    [
        (X, X + 1e-7, True),
        (X, X.double(), True),
        (X, X + 0.1, False),
        (X, X[:2], False),
        (X, torch.tensor([1, 2, 3]), False),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        (1, 1.0, True),
        (1, 1.1, False),
        (True, 1, False),
        (torch.tensor(0.5), 0.5, True),
        (X, None, False),
        (X, "x", False),
        ([X, 1], (X, 1), True),
        ([X], [X, X], False),
        ({"a": X}, {"a": X.clone()}, True),
        ({"a": X}, {"b": X}, False),
        ("a", "a", True),
        ("a", b"a", False),
        (None, None, True),
        (X, X.to("meta"), False),
    ],
)
def test_sameness(a, b, equal):
    assert same(a, b) is equal and same(b, a) is equal
