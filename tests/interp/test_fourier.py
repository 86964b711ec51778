"""Waves modulo p: planted waves are found exactly, and the projections equal plain least squares."""

import math

import pytest
import torch

from mechinterp_course.interp import fourier, modular

P = 11


def wave(k, phase=0.0, of="sum"):
    """cos(2 pi k x / P + phase) over all pairs, of a, of b, or of a + b; shape (pair,)."""
    a, b = modular.all_pairs(P).double().T
    return (2 * math.pi * k * {"a": a, "b": b, "sum": a + b}[of] / P + phase).cos()


def cosine_logits(strengths):
    """Logits that are a weighted sum of cos(2 pi k (a + b - c) / P)."""
    c = torch.arange(P, dtype=torch.float64)
    total = modular.all_pairs(P).sum(1)[:, None] - c
    return sum(strength * (2 * math.pi * k * total / P).cos() for k, strength in strengths.items())


def fit(columns, values):
    """The least-squares fit of `values` by the columns: an independent projection."""
    design = torch.stack(columns, dim=1).double()
    return design @ torch.linalg.lstsq(design, values.double()).solution


def random_logits():
    return torch.randn(P * P, P, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("p", [3, 11, 53])
def test_the_basis_is_orthonormal(p):
    waves = fourier.basis(p)
    torch.testing.assert_close(waves @ waves.T, torch.eye(p, dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_basis_is_in_the_order_that_it_says():
    x = torch.arange(P, dtype=torch.float64)
    waves = fourier.basis(P)
    assert torch.allclose(waves[0], waves[0][0])
    torch.testing.assert_close(waves[5], (2 * math.pi * 3 * x / P).cos() * math.sqrt(2 / P))
    torch.testing.assert_close(waves[6], (2 * math.pi * 3 * x / P).sin() * math.sqrt(2 / P))


def test_an_embedding_of_two_waves_has_two_frequencies():
    x = torch.arange(P, dtype=torch.float64)
    angle = 2 * math.pi * x / P
    W_E = torch.stack([3 * (2 * angle).cos(), 3 * (2 * angle).sin(), (4 * angle).cos(), torch.full_like(x, 9.0)], dim=1)
    shares = fourier.embedding_shares(W_E)
    expected = torch.tensor([0, 18, 0, 1, 0], dtype=torch.float64) / 19
    torch.testing.assert_close(shares, expected, atol=1e-12, rtol=0)


def test_the_shares_of_planted_neurons():
    planted = {
        "of the sum": (wave(2, 0.3), {2: 1.0}),
        "of both inputs": (wave(3, 1.0, "a") + wave(3, 2.0, "b") + 5, {3: 1.0}),
        "half and half": (wave(1) + wave(4), {1: 0.5, 4: 0.5}),
        "a product of two frequencies": (wave(1, of="a") * wave(2, of="b"), {}),
        "constant": (torch.full((P * P,), 2.0), {}),
    }
    shares = fourier.neuron_shares(torch.stack([neuron for neuron, _ in planted.values()], dim=1))
    for column, (name, (_, expected)) in enumerate(planted.items()):
        found = {k + 1: round(s, 6) for k, s in enumerate(shares[:, column].tolist()) if s > 1e-6}
        assert found == expected, name


def test_the_share_of_a_random_neuron_is_that_of_a_least_squares_fit():
    neuron = torch.rand(P * P, generator=torch.Generator().manual_seed(1))
    of_a, of_b = [[wave(2, phase, of) for phase in (0.0, 1.0)] for of in "ab"]
    terms = [torch.ones(P * P), *of_a, *of_b, *(x * y for x in of_a for y in of_b)]
    left = (neuron.double() - fit(terms, neuron)).var()
    share = fourier.neuron_shares(neuron[:, None])[1, 0]
    assert share.item() == pytest.approx(1 - (left / neuron.double().var()).item(), abs=1e-9)


def test_cosine_logits_are_explained_by_their_frequencies():
    logits = cosine_logits({2: 3.0, 5: 1.0}) + 7 * wave(1)[:, None]  # what all answers share is not seen by the softmax
    shares = fourier.logit_shares(logits)
    torch.testing.assert_close(shares, torch.tensor([0, 0.9, 0, 0, 0.1], dtype=torch.float64), atol=1e-6, rtol=0)
    assert fourier.key_frequencies(shares) == [2, 5]
    assert fourier.key_frequencies(shares, least=0.5) == [2]


def test_the_shares_of_random_logits_are_those_of_a_least_squares_fit():
    logits = random_logits()
    centred = (logits - logits.mean(1, keepdim=True)).flatten()
    for k, share in enumerate(fourier.logit_shares(logits), start=1):
        explained = fit([cosine_logits({k: 1.0}).flatten()], centred).pow(2).sum() / centred.double().pow(2).sum()
        assert share.item() == pytest.approx(explained.item(), abs=1e-7)


def test_sum_waves_are_a_least_squares_fit():
    logits = random_logits()
    expected = fit([wave(2), wave(2, 1.0), wave(4), wave(4, 1.0)], logits)
    torch.testing.assert_close(fourier.sum_waves(logits, [2, 4]), expected, atol=1e-6, rtol=0)


def test_restricted_and_excluded_logits_share_the_whole_between_them():
    logits = random_logits()
    both = fourier.restricted(logits, [1, 3]) + fourier.excluded(logits, [1, 3])
    torch.testing.assert_close(both, logits.double() + logits.double().mean(0))


def test_a_model_of_pure_waves_loses_all_without_its_frequencies_and_nothing_with_them():
    logits = cosine_logits({2: 30.0, 5: 30.0})
    answers = modular.answers(modular.all_pairs(P), P)
    whole = modular.loss(logits, answers).item()
    assert modular.loss(fourier.restricted(logits, [2, 5]), answers).item() == pytest.approx(whole, rel=1e-3)
    assert modular.loss(fourier.excluded(logits, [2, 5]), answers).item() == pytest.approx(math.log(P), abs=1e-4)
    assert modular.loss(fourier.restricted(logits, [3]), answers).item() == pytest.approx(math.log(P), abs=1e-4)
