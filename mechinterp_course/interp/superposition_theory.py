"""Toy models of superposition without training: expected losses in closed form, and where superposition begins to pay.

Every feature is 0 with probability S, else uniform on [0, 1], independent of the others. With p = 1 - S its mean is p/2 and its
variance p/3 - p²/4. Of two features, both are present with probability p², and then the square of the smaller is 1/6 on average.
Must not import TransformerLens, plotly, or anything of courses and notebooks.
"""

import torch
from jaxtyping import Float
from torch import Tensor

STRATEGIES = ["feature 1 only", "feature 2 only", "antipodal pair"]


def variance(sparsity: float | Tensor) -> float | Tensor:
    """Return the variance of one feature, p/3 - p²/4: what ignoring it costs when a bias says its mean."""
    p = 1 - sparsity
    return p / 3 - p**2 / 4


def strategy_losses(
    relative: Float[Tensor, "*grid"], sparsity: Float[Tensor, "*grid"]
) -> Float[Tensor, "strategy *grid"]:
    """Return the expected losses of the three strategies for n = 2 features in m = 1 dimension, in the order of STRATEGIES.

    Feature 1 has importance 1, feature 2 `relative`. A feature of its own is read out exactly, and the other one is guessed
    by its mean. The pair W = (1, -1), without a bias, is exact unless both are present: then both lose the smaller value.
    """
    relative, sparsity = torch.broadcast_tensors(torch.as_tensor(relative), torch.as_tensor(sparsity))
    p = 1 - sparsity
    return torch.stack([relative * variance(sparsity), variance(sparsity), (1 + relative) * p**2 / 6])


def boundary(relative: Float[Tensor, "*grid"]) -> Float[Tensor, "*grid"]:
    """Return the sparsity above which the antipodal pair is best: 1 - 4r/(2 + 5r) for r <= 1, 1 - 4/(2r + 5) for r >= 1."""
    less = torch.minimum(relative, 1 / relative)  # the strategies are the same with the two features swapped
    return 1 - 4 * less / (2 + 5 * less)


def linear_loss(
    W: Float[Tensor, "instance hidden feature"], importance: Float[Tensor, " feature"], sparsity: float
) -> Float[Tensor, " instance"]:
    """Return the expected loss of the linear model x' = WᵀW x + b with its best bias: variance · Σ_i I_i Σ_j (δ_ij - W_i·W_j)².

    Sparsity enters by the variance alone, so it never changes which W is best: the m most important features, at right angles,
    which is what principal component analysis of the importance-weighted features finds.
    """
    wrong = torch.eye(W.shape[2], dtype=W.dtype) - W.mT @ W
    return variance(sparsity) * (importance[:, None] * wrong**2).sum((1, 2))


def best_linear_loss(hidden: int, importance: Float[Tensor, " feature"], sparsity: float) -> float:
    """Return the smallest loss of a linear model with `hidden` dimensions: the variance of all features but the most important."""
    return float(variance(sparsity) * importance.sort(descending=True).values[hidden:].sum())
