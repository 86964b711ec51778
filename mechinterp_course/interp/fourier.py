"""Waves modulo p: how much of a model that adds modulo p is made of which frequency (Nanda et al. 2023, arXiv:2301.05217).

Works on plain tensors. "All pairs" are (0, 0), (0, 1), ..., (p-1, p-1) in this order, as `modular.all_pairs` gives them. A
frequency k in 1 .. (p-1)/2 is the wave of angle 2 pi k x / p. Must not import TransformerLens, draw, or train.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def basis(p: int) -> Float[Tensor, "wave p"]:
    """The orthonormal waves on 0 .. p-1, p odd: the constant, then cos and sin of frequency 1, cos and sin of 2, ...

    `basis(p) @ basis(p).T` is the identity, so `basis(p) @ W_E[:p]` is W_E in the Fourier basis. float64.
    """
    x = torch.arange(p, dtype=torch.float64)
    rows = [torch.full((p,), 1 / math.sqrt(p), dtype=torch.float64)]
    for k in range(1, p // 2 + 1):
        angle = 2 * math.pi * k * x / p
        rows += [angle.cos() * math.sqrt(2 / p), angle.sin() * math.sqrt(2 / p)]
    return torch.stack(rows)


def embedding_shares(W_E: Float[Tensor, "number d_model"]) -> Float[Tensor, "frequency"]:
    """The share of the embedding's squared norm in each frequency, the constant left out. Entry k-1 is frequency k.

    W_E: the rows of the numbers 0 .. p-1 alone, without "=".
    """
    waves = basis(len(W_E)) @ W_E.double()
    squares = waves[1:].pow(2).sum(1).view(-1, 2).sum(1)
    return squares / squares.sum()


def neuron_shares(neurons: Float[Tensor, "pair d_mlp"]) -> Float[Tensor, "frequency d_mlp"]:
    """For each neuron, the share of its variance over all pairs that waves of one frequency make.

    Of frequency k are cos and sin of a, cos and sin of b, and their four products. Products of two different frequencies
    belong to none, so the shares of a neuron sum to 1 at most. A neuron that never varies has shares of 0.
    """
    p = math.isqrt(len(neurons))
    waves = basis(p)
    square = neurons.double().reshape(p, p, -1)
    coefficients = torch.einsum("vb,ubn->uvn", waves, torch.einsum("ua,abn->ubn", waves, square))
    total = coefficients.pow(2).sum((0, 1)) - coefficients[0, 0].pow(2)
    shares = []
    for k in range(1, p // 2 + 1):
        own = [0, 2 * k - 1, 2 * k]
        shares.append(coefficients[own][:, own].pow(2).sum((0, 1)) - coefficients[0, 0].pow(2))
    return torch.stack(shares) / total.clamp_min(1e-12)


def logit_shares(logits: Float[Tensor, "pair answer"]) -> Float[Tensor, "frequency"]:
    """The share of the logits' variance that cos(2 pi k (a + b - c) / p) makes, over all pairs and answers c.

    The mean over the answers is taken off each pair's logits first: the softmax does not see it.
    """
    p = logits.shape[1]
    centred = logits.double() - logits.double().mean(1, keepdim=True)
    x = torch.arange(p)
    distance = (x[:, None, None] + x[None, :, None] - x) % p  # a + b - c
    by_distance = torch.zeros(p, dtype=torch.float64).index_add(0, distance.flatten(), centred.flatten())
    # The waves of different frequency are orthogonal over all (a, b, c); each has p^3 / 2 as its squared norm.
    cosines = basis(p)[1::2] * math.sqrt(p / 2)
    return (cosines @ by_distance).pow(2) / (p**3 / 2) / centred.pow(2).sum()


def sum_waves(logits: Float[Tensor, "pair answer"], frequencies: list[int]) -> Float[Tensor, "pair answer"]:
    """The part of the logits, over all pairs, that depends on a + b through waves of these frequencies. float64.

    It is the projection on cos(2 pi k (a + b) / p) and sin(2 pi k (a + b) / p), for each answer on its own.
    """
    p = logits.shape[1]
    x = torch.arange(p)
    total = (x[:, None] + x).flatten() % p
    own = [row for k in frequencies for row in (2 * k - 1, 2 * k)]
    waves = basis(p)[own][:, total] / math.sqrt(p)  # orthonormal over all pairs
    return waves.T @ (waves @ logits.double())


def restricted(logits: Float[Tensor, "pair answer"], frequencies: list[int]) -> Float[Tensor, "pair answer"]:
    """The logits with nothing left but their mean over all pairs and the waves of a + b of these frequencies."""
    return logits.double().mean(0) + sum_waves(logits, frequencies)


def excluded(logits: Float[Tensor, "pair answer"], frequencies: list[int]) -> Float[Tensor, "pair answer"]:
    """The logits without the waves of a + b of these frequencies: what the model can do without them."""
    return logits.double() - sum_waves(logits, frequencies)


def key_frequencies(shares: Float[Tensor, "frequency"], least: float = 0.001) -> list[int]:
    """The frequencies that make at least this share, in rising order.

    In a model that has grokked the gap is wide: the weakest key frequency seen makes 1 % of the logits' variance, the
    strongest other one 0.01 % (three seeds).
    """
    return [k + 1 for k in range(len(shares)) if shares[k] >= least]
