"""The measures of an SAE against cases whose answers are known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import labels, models, sae_metrics
from mechinterp_course.interp.saes import SAE

HOOK = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return models.load("code-attn-1l")


@pytest.fixture(scope="module")
def tokens():
    rows = [torch.from_numpy(file.ids[:40].astype("int64")) for file in labels.sample()[:6]]
    return torch.nn.functional.pad(torch.stack(rows), (1, 0), value=0)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_l0_is_a_mean_over_inputs_whatever_the_batch():
    f = torch.tensor([[1.0, 0, 0, 2], [0, 0, 0, 0], [1, 1, 1, -1]])
    assert sae_metrics.l0(f) == pytest.approx(2)
    assert sae_metrics.l0(f.repeat(5, 1)[None]) == pytest.approx(2)


def test_variance_explained_of_itself_of_the_mean_and_of_nothing():
    x = randn(50, 3, 8) + 100
    assert sae_metrics.variance_explained(x, x) == 1
    assert sae_metrics.variance_explained(x, x.flatten(0, 1).mean(0).expand_as(x)) == pytest.approx(0, abs=1e-6)
    assert sae_metrics.variance_explained(x, torch.zeros_like(x)) < -100


def test_dead_are_those_that_never_fire():
    f = torch.zeros(2, 10, 4)
    f[0, 3, 1] = f[1, 2, 1] = f[1, 9, 3] = 0.5
    assert sae_metrics.dead_fraction(f) == 0.5


def test_judging_in_parts_is_judging_at_once():
    x, sae = randn(1000, 6) + 1, SAE(6, 20, seed=1)
    with torch.no_grad():
        sae.b_enc -= 0.8
    f = sae.encode(x).detach()
    found = sae_metrics.judge(sae, x, batch=64)
    assert found["l0"] == pytest.approx(sae_metrics.l0(f))
    assert found["variance_explained"] == pytest.approx(sae_metrics.variance_explained(x, sae(x).detach()), abs=1e-6)
    assert found["dead_fraction"] == pytest.approx(sae_metrics.dead_fraction(f))
    assert found["densest"] == pytest.approx(float((f > 0).float().mean(0).max()))


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_a_perfect_sae_recovers_all_and_the_ablation_itself_nothing(model, tokens, ablation):
    perfect = sae_metrics.loss_recovered(model, lambda x: x, HOOK, tokens, ablation)
    assert perfect.recovered == pytest.approx(1, abs=1e-5) and perfect.spliced == pytest.approx(perfect.clean)
    _, cache = model.run_with_cache(tokens)
    mean = cache[HOOK][:, 1:].flatten(0, 1).mean(0) if ablation == "mean" else torch.zeros(1)
    nothing = sae_metrics.loss_recovered(model, lambda x: mean.expand_as(x), HOOK, tokens, ablation, batch=4)
    assert nothing.recovered == pytest.approx(0, abs=1e-4)
    assert nothing.ablated == pytest.approx(perfect.ablated)


def test_a_ruined_reconstruction_recovers_less_than_a_small_error(model, tokens):
    def noisy(x):
        return x + 0.1 * x.std() * randn(*x.shape)

    small = sae_metrics.loss_recovered(model, noisy, HOOK, tokens)
    worse = sae_metrics.loss_recovered(model, lambda x: -x, HOOK, tokens)
    assert worse.recovered < small.recovered < 1.01
    assert small.clean == worse.clean


def test_the_first_position_is_left_alone_and_no_hook_stays(model, tokens):
    seen = []
    sae_metrics.loss_recovered(model, lambda x: seen.append(x.shape) or x, HOOK, tokens, batch=4)
    assert seen == [(4, 40, model.cfg.d_model), (2, 40, model.cfg.d_model)]
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(0, 6))
def test_a_planted_permutation_is_found(seed, count, more):
    """Directions in another order, of other lengths, with others among them."""
    truth = randn(count, 24, seed=seed)
    order = torch.randperm(count + more, generator=torch.Generator().manual_seed(seed))
    scale = 0.1 + torch.rand(count + more, 1, generator=torch.Generator().manual_seed(seed))
    found = (torch.cat([truth, 0.01 * randn(more, 24, seed=seed + 1)]) * scale)[order]
    matching = sae_metrics.match(found, truth)
    torch.testing.assert_close(matching.cosine, torch.ones(count))
    assert torch.equal(order[matching.found], torch.arange(count))
    assert sae_metrics.mean_max_cosine(found, truth) == pytest.approx(1)


def test_no_found_direction_is_used_twice():
    truth = torch.eye(3)
    found = torch.stack([truth[0], truth[0] + 0.1 * truth[1]])  # both are nearest to the first
    matching = sae_metrics.match(found, truth)
    assert sorted(matching.found.tolist()) == [-1, 0, 1]
    assert matching.found[0] == 0 and matching.found[1] == 1
    assert sae_metrics.mean_max_cosine(found, truth) > float(matching.cosine.mean()) - 1e-6


def test_the_sign_counts_unless_it_is_said_not_to():
    truth = torch.eye(4)
    assert sae_metrics.match(-truth, truth).cosine.max() <= 0
    torch.testing.assert_close(sae_metrics.match(-truth, truth, signed=False).cosine, torch.ones(4))
    assert sae_metrics.mean_max_cosine(-truth, truth, signed=False) == pytest.approx(1)


def test_an_ablation_under_which_nothing_is_lost_recovers_nothing(model, tokens, monkeypatch):
    monkeypatch.setattr(sae_metrics, "_loss", lambda *_: 2.5)
    with pytest.raises(CourseError, match="changes no loss"):
        sae_metrics.loss_recovered(model, lambda x: x, HOOK, tokens)


def test_mistakes_are_named(model, tokens):
    with pytest.raises(CourseError, match="does not go on in the stream"):
        sae_metrics.loss_recovered(model, lambda x: x, "blocks.1.hook_resid_mid", tokens)
    with pytest.raises(CourseError, match="no ablation"):
        sae_metrics.loss_recovered(model, lambda x: x, HOOK, tokens, "noise")
    with pytest.raises(CourseError, match="no hook"):
        sae_metrics.loss_recovered(model, lambda x: x, "blocks.9.hook_resid_post", tokens)
    with pytest.raises(CourseError, match="rows of W_dec"):
        sae_metrics.match(torch.zeros(3, 5), torch.zeros(3, 4))
