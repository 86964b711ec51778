"""Facility and discrimination: closed forms, and silence where there is too little to say."""

import math

import pytest

from mechinterp_course.course.grading.items import correlation, item, wilson


def test_wilsons_interval_is_that_of_the_books():
    low, high = wilson(8, 10)  # Brown, Cai and DasGupta 2001 use this formula
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0


def test_the_correlation_is_pearsons():
    assert correlation([1, 2, 3, 4], [2, 4, 6, 8]) == pytest.approx(1.0)
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert correlation([1, 1, 1], [1, 2, 3]) is None


def test_nothing_is_said_of_few():
    assert item([True] * 5, [0.5] * 5).verdict == "" and item([], []).facility is None
    assert item([False] * 9, [0.5] * 9).verdict == ""
    few = item([True, False] * 9, [0.9, 0.1] * 9)
    assert few.n == 18 and few.discrimination is None and few.facility == 0.5
    lopsided = item([True] * 36 + [False] * 4, [0.5] * 40)
    assert lopsided.discrimination is None


def test_hard_and_easy_need_the_whole_interval():
    assert item([True] * 2 + [False] * 18, [0.5] * 20).verdict == "looks too hard"
    assert item([True] * 7 + [False] * 13, [0.5] * 20).verdict == "", "35 %, but up to 57 %"
    assert item([True] * 30, [0.5] * 30).verdict == "", "all passed, and 30 are too few to say it of 90 %"
    assert item([True] * 60, [0.5] * 60).verdict == "looks too easy"


def test_an_exercise_that_does_not_go_with_the_rest_is_named():
    passed = [i % 2 == 0 for i in range(200)]
    rest = [(i % 4 < 2) * 1.0 for i in range(200)]  # as often with as without
    odd = item(passed, rest)
    assert odd.discrimination == pytest.approx(0.0, abs=1e-9)
    assert odd.verdict == "does not go with the rest of the lab"
    good = item(passed, [0.2 + 0.6 * one for one in passed])
    assert good.discrimination == pytest.approx(1.0) and good.verdict == "" and not math.isnan(good.discrimination)
