"""What lesson 12 calls right holds on other seeds than the one that it shows."""

import pytest
import torch

from mechinterp_course.interp import superposition as sp
from mechinterp_course.interp import superposition_theory as theory


@pytest.mark.parametrize("seed", [3, 4])
def test_dense_features_keep_two_directions_and_sparse_ones_four_or_five(seed):
    toy = sp.train(5, 2, torch.tensor([0.0] * 4 + [0.9] * 4), steps=1000, seed=seed, progress=False)
    kept = sp.represented(toy.W).sum(1)
    assert (kept[:4] == 2).sum() >= 3
    assert (kept[4:] >= 4).sum() >= 3


@pytest.mark.parametrize("seed", [1, 2])
def test_the_second_feature_jumps_between_0_35_and_0_6(seed):
    sparsity = torch.tensor([0.0, 0.2, 0.35, 0.6, 0.7]).repeat_interleave(10)
    importance = torch.tensor([1.0, 0.7])
    toy = sp.train(2, 1, sparsity, importance=importance, steps=600, seed=seed, progress=False)
    x = sp.sample(50, 3000, 2, sparsity, torch.Generator().manual_seed(1))
    best = sp.loss(toy(x), x, importance).view(5, 10).argmin(1)
    second = toy.W.view(5, 10, 2)[torch.arange(5), best, 1].abs()
    assert (second[:3] < 0.3).all() and (second[3:] > 0.7).all()
    assert float(theory.boundary(torch.tensor(0.7))) == pytest.approx(0.49, abs=0.005)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_linear_control_keeps_two_features_and_loses_what_the_formula_says(seed):
    toy = sp.train(5, 2, 0.9, instances=4, linear=True, steps=1000, seed=seed, progress=False)
    assert (sp.represented(toy.W).sum(1) == 2).sum() >= 3
    exact = theory.linear_loss(toy.W, sp.importances(5), 0.9)
    assert exact.min().item() == pytest.approx(theory.best_linear_loss(2, sp.importances(5), 0.9), rel=0.01)


def test_a_figure_of_five_costs_a_linear_model_more_than_two_directions():
    angles = 2 * torch.pi * torch.arange(5) / 5
    figures = torch.stack([torch.eye(5)[:2], torch.stack([angles.cos(), angles.sin()])])
    for sparsity in (0.0, 0.9, 0.99):
        two, five = theory.linear_loss(figures, sp.importances(5), sparsity)
        assert five > 2 * two
