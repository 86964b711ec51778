"""The closed forms against Monte Carlo, against a search, and against principal components."""

import pytest
import torch

from mechinterp_course.interp import superposition as sp
from mechinterp_course.interp import superposition_theory as theory

CASES = [(r, s) for r in (0.3, 1.0, 2.5) for s in (0.0, 0.4, 0.9)]


def measured(W, b, importance, sparsity, linear=False, batch=400_000):
    """The mean loss of a model on fresh data, and its standard error."""
    x = sp.sample(1, batch, W.shape[1], sparsity, torch.Generator().manual_seed(0))
    each = (importance * (sp.Toy(W[None], b[None], linear)(x) - x)[0] ** 2).sum(-1).double()
    return each.mean().item(), (each.std() / batch**0.5).item()


@pytest.mark.parametrize(("relative", "sparsity"), CASES)
def test_the_strategies_cost_what_monte_carlo_says(relative, sparsity):
    mean = (1 - sparsity) / 2
    models = [([1.0, 0.0], [0.0, mean]), ([0.0, 1.0], [mean, 0.0]), ([1.0, -1.0], [0.0, 0.0])]
    want = theory.strategy_losses(torch.tensor(relative), torch.tensor(sparsity))
    for (W, b), right in zip(models, want, strict=True):
        got, error = measured(torch.tensor([W]), torch.tensor(b), torch.tensor([1.0, relative]), sparsity)
        assert got == pytest.approx(right.item(), abs=5 * error + 1e-6)


def test_on_the_boundary_two_strategies_cost_the_same():
    relative = torch.tensor([0.1, 0.5, 1.0, 1.7, 8.0], dtype=torch.float64)
    losses = theory.strategy_losses(relative, theory.boundary(relative))
    torch.testing.assert_close(losses[:2].min(0).values, losses[2])
    for shift, best in ((0.01, 2), (-0.01, None)):
        winner = theory.strategy_losses(relative, theory.boundary(relative) + shift).argmin(0)
        assert (winner == best).all() if best else (winner != 2).all()


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
def test_the_loss_of_a_linear_model_is_that_of_monte_carlo(sparsity):
    W = 0.6 * torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    importance = sp.importances(5)
    best_bias = (1 - sparsity) / 2 * (1 - (W.T @ W).sum(1))
    got, error = measured(W, best_bias, importance, sparsity, linear=True)
    assert theory.linear_loss(W[None], importance, sparsity).item() == pytest.approx(got, abs=5 * error)


def test_no_linear_model_beats_the_most_important_features():
    importance = sp.importances(6)
    best = theory.best_linear_loss(3, importance, 0.7)
    top = torch.eye(6)[:3]
    assert theory.linear_loss(top[None], importance, 0.7).item() == pytest.approx(best, rel=1e-5)
    W = torch.randn(2000, 3, 6, generator=torch.Generator().manual_seed(0)) * 0.6
    assert (theory.linear_loss(W, importance, 0.7) > best).all()
    for seed in range(3):  # gradient descent on the closed form gets there, too
        W = (0.5 * torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(seed))).requires_grad_()
        optimizer = torch.optim.Adam([W], lr=0.03)
        for _ in range(1500):
            optimizer.zero_grad()
            theory.linear_loss(W, importance, 0.7).sum().backward()
            optimizer.step()
        assert theory.linear_loss(W, importance, 0.7).item() == pytest.approx(best, rel=1e-3)


def test_the_best_linear_model_is_principal_component_analysis():
    importance = sp.importances(6)
    x = sp.sample(1, 50_000, 6, 0.7, torch.Generator().manual_seed(0))[0]
    weighted = (x - x.mean(0)) * importance.sqrt()
    _, _, V = torch.linalg.svd(weighted, full_matrices=False)
    kept = (V[:3] ** 2).sum(0)  # how much of each feature lies in the first three components
    torch.testing.assert_close(kept, torch.tensor([1.0, 1, 1, 0, 0, 0]), atol=0.02, rtol=0)
    left = (weighted - weighted @ V[:3].T @ V[:3]).pow(2).sum(1).mean().item()
    assert left == pytest.approx(theory.best_linear_loss(3, importance, 0.7), rel=0.02)
