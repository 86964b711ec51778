"""Lesson 14: the functions of its lab agree with the course's own helpers, and what its predictions call right is what the bundled SAE shows."""

import pytest
import torch

from mechinterp_course.interp import feature_scores, feature_table, features, models, sae_catalogue, sae_metrics, saes
from mechinterp_course.tutor.reference import reference

NARROW, WIDE = "code-4l-layer2-960", "code-4l-layer2-3840"


@pytest.fixture(scope="module")
def small():
    return models.load("code-attn-2l")


def an_sae(d_in=96, d_sae=300, seed=0):
    sae = saes.SAE(d_in, d_sae, "topk", k=12, seed=seed).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    sae.b_dec.copy_(torch.randn(d_in, generator=generator))
    sae.b_enc.copy_(0.1 * torch.randn(d_sae, generator=generator))
    return sae


@pytest.mark.parametrize("seed", [0, 1])
def test_the_three_numbers_are_those_of_the_helper(seed):
    sae = an_sae(seed=seed)
    rows = 2 * torch.randn(700, 96, generator=torch.Generator().manual_seed(seed)) + 1
    l0, explained, dead = reference("judge_sae")(sae.encode, sae.decode, list(rows.split(90)))
    told = sae_metrics.judge(sae, rows)
    assert l0 == pytest.approx(told["l0"])
    assert explained == pytest.approx(told["variance_explained"], abs=1e-4)
    assert dead == pytest.approx(told["dead_fraction"])


@pytest.mark.parametrize("ablation", ["mean", "zero"])
def test_loss_recovered_is_that_of_the_helper(small, ablation):
    hook, sae = "blocks.1.hook_resid_post", an_sae()
    tokens = torch.nn.functional.pad(
        torch.randint(1, 1024, (3, 20), generator=torch.Generator().manual_seed(5)), (1, 0)
    )
    told = sae_metrics.loss_recovered(small, sae, hook, tokens, ablation)
    found = reference("loss_recovered")(small, tokens, hook, sae, ablation)
    assert found == pytest.approx(told.recovered, abs=1e-3)
    assert reference("loss_with")(small, tokens, hook, sae) == pytest.approx(told.spliced, abs=1e-4)


def test_what_a_latent_writes_is_what_the_helper_says(small):
    sae = an_sae()
    told = features.logit_effects(small, sae.W_dec[[7]], scale=2.5)[0]
    found = reference("feature_logits")(dict(sae.state_dict()), 7, models.weights("code-attn-2l"), 2.5)
    assert torch.allclose(found, told, atol=1e-4)


def test_precision_and_recall_are_those_of_the_helper():
    generator = torch.Generator().manual_seed(3)
    said, truth = (torch.rand(500, generator=generator) < share for share in (0.2, 0.3))
    assert reference("precision_recall")(said, truth) == pytest.approx(tuple(feature_scores.fit(said, truth)))


# --- what the lesson's predictions call right ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NARROW, WIDE])
def test_loss_recovered_is_above_95_per_cent_and_above_the_variance_explained(name):
    told = sae_catalogue.card(name)["figures"]
    assert min(told["loss_recovered"].values()) > 0.95
    assert told["loss_recovered"]["mean"] > told["variance_explained"] + 0.05


def test_the_best_latent_for_comments_is_near_06_and_the_baselines_near_04():
    table = feature_table.load(NARROW)
    latent, neuron, direction = table.rule_best[:, table.rules.index("in_comment")]
    assert 0.5 < latent < 0.75
    assert 0.3 < neuron < 0.5 and 0.3 < direction < 0.5


def test_about_six_in_ten_latents_are_explained_mostly_by_the_token_or_the_one_before():
    table = feature_table.load(NARROW)
    explained = table.f1 >= 0.5
    assert 0.5 < explained.mean() < 0.7
    kinds = [table.rules[label].split(" ")[0] for label in table.label[explained]]
    assert sum(kind in ("token", "word", "after") for kind in kinds) > 0.8 * len(kinds)
    for kind, f1 in table.baseline_f1.items():
        assert (f1 >= 0.5).mean() < 0.25, kind
        assert (f1 >= 0.3).mean() > (table.f1 >= 0.3).mean(), kind
