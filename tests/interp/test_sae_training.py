"""Training finds planted directions, keeps its promises about length and units, and brings dead latents back."""

import itertools

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import sae_metrics, sae_training
from mechinterp_course.interp.saes import SAE


def planted(rows=20_000, features=24, d=16, seed=0):
    """Sparse non-negative sums of known unit directions."""
    rng = torch.Generator().manual_seed(seed)
    truth = torch.nn.functional.normalize(torch.randn(features, d, generator=rng), dim=1)
    f = torch.rand(rows, features, generator=rng) * (torch.rand(rows, features, generator=rng) < 0.06)
    return truth, f @ truth


TRUTH, X = planted()
SETTINGS = {"standard": dict(l1=0.2), "topk": {}, "jumprelu": dict(l0=0.05)}


@pytest.mark.parametrize("architecture", list(SETTINGS))
def test_it_learns_the_planted_directions(architecture):
    sae = SAE(16, 36, architecture, k=3 if architecture == "topk" else None)
    before = sae_metrics.mean_max_cosine(sae.W_dec, TRUTH)
    run = sae_training.train(sae, X, steps=800, lr=3e-3, batch=512, progress=False, **SETTINGS[architecture])
    after = sae_metrics.mean_max_cosine(sae.W_dec, TRUTH)
    assert before < 0.75 and after > 0.92
    assert run.variance_explained[-1] > 0.8 > run.variance_explained[0]
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(36))
    assert all(parameter.grad is None for parameter in sae.parameters())


def test_the_same_seed_gives_the_same_weights():
    made = []
    for seed in (0, 0, 1):
        sae = SAE(16, 36)
        sae_training.train(sae, X, steps=30, l1=0.1, seed=seed, progress=False)
        made.append(sae.W_dec.detach().clone())
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_penalty_makes_it_sparse_and_none_does_not():
    active = []
    for l1 in (0.0, 0.1, 0.3):
        sae = SAE(16, 36)
        sae_training.train(sae, X, steps=400, l1=l1, lr=3e-3, progress=False)
        active.append(sae_metrics.l0(sae.encode(X)))
    assert active[0] > active[1] > active[2]


def test_standardised_units_change_nothing_that_is_seen_outside():
    """What is learnt from 1000 times as long activations is 1000 times as long, and directions are the same."""
    made = []
    for factor in (1.0, 1000.0):
        sae = SAE(16, 36)
        sae_training.train(sae, X * factor, steps=100, l1=1.0, standardise=True, progress=False)
        made.append(sae)
    torch.testing.assert_close(made[1].W_dec, made[0].W_dec, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(made[1](1000 * X), 1000 * made[0](X), atol=2, rtol=1e-2)


def test_what_watches_sees_an_sae_for_the_activations_as_given():
    seen = []

    def watch(step, run):
        seen.append((step, sae_metrics.variance_explained(50 * X, run.sae(50 * X).detach())))

    sae = SAE(16, 36)
    run = sae_training.train(sae, 50 * X, steps=101, l1=0.1, standardise=True, on_step=watch, every=50)
    assert [step for step, _ in seen] == run.steps == [0, 50, 100]
    for (_, outside), inside in zip(seen, run.variance_explained, strict=True):
        assert outside == pytest.approx(inside, abs=0.1)
    assert sae_metrics.variance_explained(50 * X, sae(50 * X).detach()) > 0.5


def test_dead_latents_are_brought_back_at_badly_written_inputs():
    sae = SAE(16, 36, seed=5)
    with torch.no_grad():
        sae.b_enc[:20] = -50  # these never fire
    run = sae_training.train(sae, X, steps=120, l1=0.02, lr=3e-3, resample=[60], window=40, progress=False)
    assert run.resampled[60] >= 20
    assert run.dead[-1] == 0
    assert sae_metrics.dead_fraction(sae.encode(X)) == 0


def test_resampling_points_at_the_one_input_that_is_not_written():
    sae = SAE(4, 6, seed=0)
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)
    x = torch.zeros(10, 4)
    x[7] = torch.tensor([0.0, 3.0, 0.0, 4.0])
    dead = torch.tensor([True, False, False, False, False, True])
    assert sae_training.resample_dead(sae, x, dead) == 2
    for latent in (0, 5):
        torch.testing.assert_close(sae.W_dec[latent].detach(), torch.tensor([0.0, 0.6, 0.0, 0.8]))
        assert sae.b_enc[latent] == 0 and sae.encode(x)[7, latent] > 0
    assert sae.b_enc[1] == -100


def test_an_interrupt_keeps_what_was_learned(capsys):
    def rows():
        for step in itertools.count():
            if step == 20:
                raise KeyboardInterrupt
            yield X[:512]

    sae = SAE(16, 36)
    before = sae.W_dec.detach().clone()
    run = sae_training.train(sae, rows(), steps=500, l1=0.1, standardise=True, every=5, progress=False)
    assert capsys.readouterr().out == "Stopped at step 20 of 500.\n"
    assert run.steps[-1] == 15 and not torch.equal(sae.W_dec, before)
    assert sae_metrics.variance_explained(X, sae(X).detach()) > 0


def test_batches_that_end_are_no_error(capsys):
    run = sae_training.train(SAE(16, 36), [X[:64], X[64:128]], steps=10, every=1, progress=False)
    assert run.steps == [0, 1]
    assert "ended at step 2 of 10" in capsys.readouterr().out


def test_shuffling_visits_every_row_once_before_any_comes_again():
    rows = torch.arange(12.0)[:, None].half()
    stream = sae_training.shuffled(rows, batch=4, seed=1)
    first = torch.cat(list(itertools.islice(stream, 3)))
    assert first.dtype == torch.float32
    assert sorted(first.flatten().tolist()) == list(range(12))


def test_mistakes_are_named():
    with pytest.raises(CourseError, match="no training"):
        sae_training.train(SAE(16, 36), X, steps=0)
    with pytest.raises(CourseError, match=r"flatten\(0, -2\)"):
        sae_training.train(SAE(16, 36), [X[:64].view(8, 8, 16)], steps=1, progress=False)
    with pytest.raises(CourseError, match="too few"):
        sae_training.train(SAE(16, 36), X[:10], steps=1, progress=False)
