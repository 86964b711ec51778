"""Toy models of superposition: data, loss and measures against what can be worked out, and training on several seeds."""

import math

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import superposition as sp
from mechinterp_course.interp import superposition_theory as theory


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def polygon(corners, length=1.0):
    """Directions to the corners of a regular polygon: (1, 2, corner)."""
    angle = 2 * math.pi * torch.arange(corners, dtype=torch.float64) / corners + 0.3
    return length * torch.stack([angle.cos(), angle.sin()])[None]


def test_the_model_by_hand():
    toy = sp.Toy(W=torch.tensor([[[1.0, -1.0]], [[2.0, 0.0]]]), b=torch.tensor([[0.0, 0.5], [-1.0, 0.0]]))
    x = torch.tensor([[[3.0, 1.0]], [[1.0, 5.0]]])  # h = 2 in both
    assert toy(x).tolist() == [[[2.0, 0.0]], [[3.0, 0.0]]]
    toy.linear = True
    assert toy(x).tolist() == [[[2.0, -1.5]], [[3.0, 0.0]]]


def test_instances_do_not_see_each_other():
    W, b, x = (
        torch.randn(3, 2, 5, generator=generator()),
        torch.randn(3, 5, generator=generator(1)),
        torch.rand(3, 7, 5),
    )
    out = sp.Toy(W, b)(x)
    for k in range(3):
        want = torch.stack([torch.relu(W[k].T @ (W[k] @ row) + b[k]) for row in x[k]])
        torch.testing.assert_close(out[k], want)


def test_the_share_the_mean_and_the_range_of_the_data():
    sparsity = torch.tensor([0.0, 0.5, 0.9])
    x = sp.sample(3, 20_000, 4, sparsity, generator())
    assert x.shape == (3, 20_000, 4) and x.min() >= 0 and x.max() < 1
    torch.testing.assert_close((x == 0).float().mean((1, 2)), sparsity, atol=0.01, rtol=0)
    torch.testing.assert_close(x.mean((1, 2)), (1 - sparsity) / 2, atol=0.01, rtol=0)
    torch.testing.assert_close(x.var((1, 2)), theory.variance(sparsity), atol=0.005, rtol=0)
    both = ((x[1, :, 0] > 0) & (x[1, :, 1] > 0)).float().mean()  # each feature on its own
    assert both.item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, torch.tensor([0.5, 2.0]), torch.tensor([0.1, 0.2, 0.3])])
def test_a_sparsity_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(CourseError):
        sp.sample(2, 4, 3, wrong, generator())


def test_the_loss_by_hand_and_with_importances_of_each_instance():
    output, x = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 2.0], [0.0, 1.0]]])
    assert sp.loss(output, x, torch.tensor([1.0, 0.5])).tolist() == [(1 + 2 + 0.5) / 2]
    twice, more = output.expand(2, -1, -1), x.expand(2, -1, -1)
    assert sp.loss(twice, more, torch.tensor([[1.0, 0.5], [0.0, 1.0]])).tolist() == [1.75, 2.5]


def test_training_repeats_itself_and_learns():
    one, again, other = (
        sp.train(3, 2, 0.7, instances=2, steps=200, batch=256, every=200, seed=seed, progress=False)
        for seed in (5, 5, 6)
    )
    assert torch.equal(one.W, again.W) and torch.equal(one.b, again.b)
    assert not torch.equal(one.W, other.W)
    assert (one.losses[-1] < one.losses[0]).all() and one.steps == [0, 200]
    assert not one.W.requires_grad


def test_whoever_watches_sees_the_weights_move_to_the_last_step():
    seen = []
    toy = sp.train(
        3, 1, 0.5, instances=2, steps=25, every=10, watch=lambda step, toy: seen.append((step, toy.W.clone()))
    )
    assert [step for step, _ in seen] == [0, 10, 20, 25]
    assert not torch.equal(seen[0][1], seen[1][1]) and torch.equal(seen[-1][1], toy.W)


def test_an_interrupt_keeps_what_is_learned(capsys):
    def stop(step, toy):
        if step == 20:
            raise KeyboardInterrupt

    toy = sp.train(3, 1, 0.5, instances=2, steps=50, every=10, watch=stop)
    assert toy.steps == [0, 10, 20] and "step 20" in capsys.readouterr().out


def test_a_training_without_steps_is_refused():
    with pytest.raises(CourseError):
        sp.train(3, 1, 0.5, steps=0)


@pytest.mark.parametrize(("W", "share"), [(polygon(5), 2 / 5), (polygon(4), 1 / 2), (polygon(3), 2 / 3)])
def test_the_dimensionality_of_a_polygon_is_2_over_its_corners(W, share):
    torch.testing.assert_close(sp.dimensionality(W), torch.full_like(W[:, 0], share))
    torch.testing.assert_close(sp.dimensionality(0.7 * W), sp.dimensionality(W))


def test_a_direction_of_zero_has_no_dimension_and_no_interference():
    W = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    assert sp.dimensionality(W).tolist() == [[1.0, 1.0, 0.0]]
    assert sp.interference(W).tolist() == [[0.0, 0.0, 0.0]]
    assert sp.represented(W).tolist() == [[True, True, False]]


def test_dimensionality_is_strength_over_strength_and_interference():
    W = torch.randn(4, 3, 6, generator=generator())
    strength = (W**2).sum(1)
    torch.testing.assert_close(sp.dimensionality(W), strength / (strength + sp.interference(W)))
    for k, i in [(0, 0), (3, 5)]:
        unit = W[k, :, i] / W[k, :, i].norm()
        want = sum((unit @ W[k, :, j]) ** 2 for j in range(6) if j != i)
        assert sp.interference(W)[k, i].item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize("hidden", [1, 2, 5])
def test_dimensionalities_never_sum_to_more_than_the_dimensions(hidden):
    W = torch.randn(50, hidden, 7, generator=generator(hidden)).double()
    assert (sp.dimensionality(W).sum(1) <= hidden + 1e-9).all()


def test_geometries_have_their_names():
    assert [sp.geometry(polygon(n)[0]) for n in (3, 4, 5, 6)] == ["triangle", "antipodal pairs", "pentagon", "other"]
    with_weak = torch.cat([polygon(4)[0], torch.full((2, 1), 0.1)], dim=1)
    assert sp.geometry(with_weak) == "antipodal pairs"
    assert sp.geometry(torch.eye(2)) == "basis" and sp.geometry(-torch.eye(2).flip(0)) == "basis"
    assert sp.geometry(torch.tensor([[1.0, -1.0], [0.0, 0.0]])) == "other"  # one pair alone leaves a dimension unused
    assert sp.geometry(torch.zeros(2, 4)) == "other"
    with pytest.raises(CourseError):
        sp.geometry(torch.eye(3))


def test_sparse_features_are_stored_in_superposition_and_dense_ones_are_not():
    # Bands: benchmarks/superposition.json, 60 instances a sparsity. Here 10 and 10, on two seeds.
    sparsity = torch.tensor([0.0, 0.9]).repeat_interleave(10)
    for seed in (0, 1):
        toy = sp.train(5, 2, sparsity, steps=1000, seed=seed, progress=False)
        count = sp.represented(toy.W).sum(1).float()
        assert count[:10].median() == 2 and (count[10:] >= 4).sum() >= 8
        total = sp.dimensionality(toy.W).sum(1)
        assert (total[10:] > 1.85).all() and (total <= 2 + 1e-4).all()
