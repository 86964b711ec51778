"""What lesson 13 calls right holds on other seeds than the one that it shows, and the bands that it quotes are those on file."""

import json
from pathlib import Path

import pytest
import torch

from mechinterp_course.interp import sae_metrics, sae_training, saes, synthetic
from mechinterp_course.tutor.guard import copied
from mechinterp_course.tutor.reference import reference
from mechinterp_course.tutor.runner import examine

BANDS = json.loads((Path(__file__).parents[2] / "benchmarks" / "bands_l13.json").read_text(encoding="utf-8"))


def learned(data, seed, price, d_sae):
    sae = saes.SAE(data.directions.shape[1], d_sae, seed=seed)
    sae_training.train(sae, data.batches(400, 128, seed=seed), steps=400, l1=price, lr=0.02, seed=seed, progress=False)
    return sae.requires_grad_(False)


@pytest.mark.parametrize("seed", [11, 12])
def test_the_price_takes_about_the_same_from_weak_and_strong_features(seed):
    data = synthetic.SyntheticFeatures.random(8, 8, 0.08, seed=seed)
    sae = learned(data, seed, 0.3, 8)
    x, strengths = data.sample(4000, torch.Generator().manual_seed(seed))
    f, match = sae.encode(x), sae_metrics.match(sae.W_dec, data.directions)
    there = (strengths > 0) & (f[:, match.found] > 0) & (match.cosine > 0.9)
    lost = (strengths - f[:, match.found])[there]
    weak = strengths[there] < 0.8
    strong = strengths[there] > 1.2
    assert lost[weak].mean() > 0.1
    assert lost[strong].mean() < 1.5 * lost[weak].mean()  # in proportion it would be twice as much


@pytest.mark.parametrize("seed", [21, 22])
def test_features_that_always_come_together_are_learned_as_their_sums(seed):
    tied = synthetic.SyntheticFeatures.random(12, 16, 0.06, together=1.0, seed=seed)
    sae = learned(tied, seed, 0.4, 12)
    sums = tied.directions[0::2] + tied.directions[1::2]
    assert (sae_metrics.match(sae.W_dec, sums).cosine > 0.9).sum() >= 5
    assert (sae_metrics.match(sae.W_dec, tied.directions).cosine > 0.95).sum() <= 8


def test_the_bands_bear_out_what_the_lesson_says():
    learned_by = BANDS["architectures"]
    assert learned_by["l1 0.3"]["mean matched cosine"][0] > 0.99
    assert learned_by["l1 0.05"]["variance explained"][0] > learned_by["l1 0.4"]["variance explained"][2]
    assert learned_by["l1 0.05"]["mean matched cosine"][2] < learned_by["l1 0.2"]["mean matched cosine"][0]
    assert learned_by["jumprelu 0.05"]["variance explained"][0] > learned_by["topk 2"]["variance explained"][2]
    assert learned_by["topk 3"]["relative bias"][0] > 0.98 > learned_by["l1 0.2"]["relative bias"][2]
    assert learned_by["l1 0.4, 64 latents"]["slope of found on true strength"][0] > 0.85
    assert BANDS["features in pairs"]["1.0"]["sums of pairs above 0.9, of 32"][0] >= 30
    assert BANDS["a bad start"]["with: features above 0.9"][0] > BANDS["a bad start"]["without: features above 0.9"][2]
    assert BANDS["five directions in the plane"]["8 latents: smallest matched cosine"][0] > 0.95


def test_the_hidden_check_lets_a_right_training_pass_and_no_training_not():
    trained, untrained = BANDS["planted in the check"]["trained"], BANDS["planted in the check"]["untrained"]
    assert trained[0] > 0.94 and untrained[2] < 0.9


def forward(x, sae):
    acts = torch.relu((x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"])
    return acts, acts @ sae["W_dec"] + sae["b_dec"]


def loss(x, sae, l1):
    acts, x_hat = forward(x, sae)
    return ((x - x_hat) ** 2).sum(-1).mean() + l1 * acts.sum(-1).mean()


def cut_forward(x, sae):
    acts, x_hat = forward(x, sae)
    return acts.detach(), x_hat


def cut_loss(x, sae, l1):
    acts, x_hat = forward(x, sae)
    return ((x - x_hat) ** 2).sum(-1).mean() + l1 * acts.detach().sum(-1).mean()


def cut_topk(z, k):
    return z.detach().relu() * (z >= z.topk(k).values[:, -1:]) + 0 * z


@pytest.mark.parametrize(("name", "answer"), [("sae_forward", cut_forward), ("sae_loss", cut_loss), ("topk", cut_topk)])
def test_a_right_value_that_is_cut_off_from_its_gradient_is_told_so(name, answer):
    verdict = examine(name, answer, advise=False)
    assert not verdict.passed and "gradient" in verdict.told


@pytest.mark.parametrize(("name", "answer"), [("sae_forward", forward), ("sae_loss", loss)])
def test_a_right_answer_passes_also_where_its_graph_stayed_in_another_process(name, answer):
    assert examine(name, answer, seed=3).passed
    assert examine(name, lambda *given: copied(answer(*given)), seed=3).passed


def test_a_loop_that_knows_four_names_only_does_not_pass():
    right = reference("train_sae")

    def four(loss, batches, sae, lr, watch=None):
        known = {name: sae[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
        return right(loss, batches, known, lr, watch)

    assert examine("train_sae", right, advise=False).passed
    verdict = examine("train_sae", four, advise=False)
    assert not verdict.passed and "same names" in verdict.told
