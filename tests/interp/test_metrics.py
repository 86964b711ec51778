"""Metrics against closed forms, and a scale that is 0 and 1 at its ends or none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import metrics

LOGITS = torch.tensor([[[0.0, 0, 0, 0], [1, 2, 3, 4]], [[9, 9, 9, 9], [0, 0, math.log(2), 0]]])


def test_a_logit_difference_is_read_at_its_position_for_one_answer_or_one_each():
    assert metrics.logit_difference(3, 0)(LOGITS).tolist() == [3, 0]
    assert metrics.logit_difference([3, 2], [0, 1])(LOGITS).tolist() == pytest.approx([3, math.log(2)])
    assert metrics.logit_difference(3, 0, pos=0)(LOGITS).tolist() == [0, 0]
    assert metrics.logit_difference(torch.tensor(3), torch.tensor([0, 1]), pos=1)(LOGITS).tolist() == [3, 0]


def test_a_log_probability_is_in_nats():
    assert metrics.log_prob(2)(LOGITS)[1].item() == pytest.approx(math.log(2 / 5))
    assert metrics.log_prob(2, pos=0)(LOGITS).tolist() == pytest.approx([math.log(1 / 4)] * 2)


def test_kl_is_zero_to_itself_and_that_of_the_formula_otherwise():
    assert metrics.kl(LOGITS)(LOGITS).abs().max() < 1e-6
    even = metrics.kl(torch.zeros(1, 4))(LOGITS)  # sum of 1/4 (log 1/4 - log p), one reference for both
    p = LOGITS[:, -1].softmax(-1)
    assert even.tolist() == pytest.approx((0.25 * (math.log(0.25) - p.log())).sum(-1).tolist(), rel=1e-5)


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5))
def test_normalised_is_exactly_0_and_1_at_its_ends_and_straight_between(clean, corrupted, other):
    ends = [torch.tensor([[[value, 0.0]]]) for value in (clean, corrupted, other)]
    metric = metrics.logit_difference(0, 1)
    if abs(clean - corrupted) < 1e-5:
        return
    scaled = metrics.normalised(metric, *ends[:2])
    assert scaled(ends[0]) == 1 and scaled(ends[1]) == 0
    assert scaled(ends[2]) == pytest.approx((other - corrupted) / (clean - corrupted), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("clean", [1.0, 1 + 1e-8, math.nan, math.inf])
def test_equal_or_endless_ends_are_no_scale(clean):
    with pytest.raises(CourseError, match="nothing to measure"):
        metrics.Scale(clean, 1.0)


@pytest.mark.parametrize(
    ("metric", "logits", "said"),
    [
        (metrics.log_prob(1), LOGITS[0], r"these have \(2, 4\)"),
        (metrics.log_prob(1, pos=2), LOGITS, "reads position 2"),
        (metrics.log_prob(4), LOGITS, "no token 4"),
        (metrics.log_prob([0, 1, 2]), LOGITS, "3 answer tokens for 2 prompts"),
        (metrics.kl(torch.zeros(3, 4)), LOGITS, "The reference has 3 prompts"),
    ],
)
def test_misuse_raises_a_sentence(metric, logits, said):
    with pytest.raises(CourseError, match=said):
        metric(logits)


def test_a_metric_of_any_other_shape_is_refused_and_a_number_stands_for_all():
    assert metrics.each(lambda logits: logits.mean(), LOGITS).shape == (2,)
    with pytest.raises(CourseError, match=r"the shape \(2, 2\)"):
        metrics.each(lambda logits: logits[:, :, 0], LOGITS)
