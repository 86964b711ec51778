"""Data with known features is what it says, and the baselines are held against closed forms."""

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import synthetic
from mechinterp_course.interp.synthetic import SyntheticFeatures


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_inputs_are_strengths_times_directions():
    data = SyntheticFeatures.random(7, 4, 0.3, seed=1)
    x, strengths = data.sample(50, generator())
    assert torch.allclose(x, strengths @ data.directions)
    assert torch.allclose(data.directions.norm(dim=1), torch.ones(7))


def test_each_feature_comes_as_often_as_said_and_as_strong():
    data = SyntheticFeatures.random(3, 4, torch.tensor([0.0, 0.2, 1.0]), low=2, high=3)
    strengths = data.strengths(20_000, generator())
    assert torch.allclose((strengths > 0).float().mean(0), torch.tensor([0.0, 0.2, 1.0]), atol=0.02)
    there = strengths[strengths > 0]
    assert 2 <= there.min() < 2.01 and 2.99 < there.max() <= 3


@pytest.mark.parametrize("together, both", [(0.0, 0.01), (0.5, 0.055), (1.0, 0.1)])
def test_pairs_come_together_and_no_more_often_than_before(together, both):
    data = SyntheticFeatures.random(5, 4, 0.1, together=together)
    present = data.strengths(40_000, generator()) > 0
    assert (present[:, 0] & present[:, 1]).float().mean().item() == pytest.approx(both, abs=0.006)
    assert (present[:, 1] & present[:, 2]).float().mean().item() == pytest.approx(0.01, abs=0.004)
    assert torch.allclose(present.float().mean(0), torch.full((5,), 0.1), atol=0.01)


def test_batches_are_fresh_and_repeat_with_the_seed():
    data = SyntheticFeatures.random(6, 4, 0.5)
    first, second = data.batches(2, 8, seed=3)
    assert first.shape == (8, 4) and not torch.equal(first, second)
    assert torch.equal(next(data.batches(1, 8, seed=3)), first)


def test_principal_directions_of_a_stretched_cloud():
    x = torch.randn(2000, 3, generator=generator()) * torch.tensor([0.1, 5.0, 1.0]) + 7
    directions = synthetic.principal_directions(x)
    assert torch.allclose(directions @ directions.T, torch.eye(3), atol=1e-5)
    assert directions[0, 1].abs() > 0.99
    assert torch.allclose(synthetic.keep_principal(x, 3), x, atol=1e-4)
    assert synthetic.keep_principal(x, 1).var(0).sum() < x.var(0).sum()


def test_pursuit_finds_orthogonal_directions_exactly_and_keeps_to_the_count():
    strengths = torch.tensor([[3.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    assert torch.allclose(synthetic.pursue(strengths, 5 * torch.eye(4), 2), strengths)
    assert torch.allclose(synthetic.pursue(strengths, torch.eye(4), 1)[0], torch.tensor([3.0, 0.0, 0.0, 0.0]))
    assert (synthetic.pursue(-strengths, torch.eye(4), 3) == 0).all()


def test_what_makes_no_sense_is_refused_with_a_remedy():
    with pytest.raises(CourseError, match="outside 0 to 1"):
        SyntheticFeatures.random(3, 4, 1.5)
    with pytest.raises(CourseError, match="one probability for each"):
        SyntheticFeatures(torch.eye(3), torch.ones(2))
    with pytest.raises(CourseError, match="no range"):
        SyntheticFeatures.random(3, 4, low=2, high=1)
    with pytest.raises(CourseError, match="Ask for 1 to 3"):
        synthetic.principal_directions(torch.eye(3), 4)
