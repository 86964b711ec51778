"""Probes: each fit against a closed form or planted truth, each measure against counting, erasing against what a planted model reads."""

import math

import numpy as np
import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import labels, probe_data, probes


@pytest.fixture
def noise():
    return torch.Generator().manual_seed(0)


def test_the_fit_finds_the_direction_that_separates(noise):
    x = torch.randn(4000, 6, generator=noise)
    direction = torch.tensor([2.0, -1.0, 0.0, 0.0, 0.5, 0.0])
    chance = (x @ direction - 1.0).sigmoid()
    weight = probes.fit(x, torch.rand(4000, generator=noise) < chance)
    torch.testing.assert_close(weight, torch.cat([direction, torch.tensor([-1.0])]), atol=0.2, rtol=0)


def test_the_penalty_keeps_weights_finite_where_all_is_separable():
    x = torch.tensor([[-1.0], [-2.0], [1.0], [3.0]])
    weight = probes.fit(x, torch.tensor([False, False, True, True]))
    assert weight.isfinite().all()
    assert 1 < weight[0] < 50


def test_auc_is_the_chance_that_a_token_with_the_label_scores_higher(noise):
    scores = torch.randint(0, 6, (80,), generator=noise).float()
    y = torch.rand(80, generator=noise) < 0.3
    pairs = [(a > b).item() + (a == b).item() / 2 for a in scores[y] for b in scores[~y]]
    assert probes.auc(scores, y) == pytest.approx(sum(pairs) / len(pairs))
    assert probes.auc(y.float(), y) == 1.0
    assert probes.auc(-y.float(), y) == 0.0
    assert probes.auc(torch.zeros(80), y) == 0.5


def test_the_cut_has_the_best_balanced_accuracy(noise):
    scores = torch.randn(60, generator=noise)
    y = (scores + torch.randn(60, generator=noise)) > 1
    cut = probes.best_cut(scores, y)
    reached = probes.balanced_accuracy(scores >= cut, y)
    assert reached == max(probes.balanced_accuracy(scores >= other, y) for other in scores)
    assert probes.balanced_accuracy(torch.ones(60, dtype=torch.bool), y) == 0.5


def test_equal_scores_are_on_one_side_of_the_cut(noise):
    assert probes.best_cut(torch.tensor([1.0, 0, 0, 0, 0]), torch.tensor([True, True, False, False, False])) == 1.0
    for _ in range(50):
        scores = torch.randint(0, 6, (80,), generator=noise).float()
        y = torch.rand(80, generator=noise) < (scores + 1) / 8
        reached = probes.balanced_accuracy(scores >= probes.best_cut(scores, y), y)
        assert reached == max(probes.balanced_accuracy(scores >= other, y) for other in range(7))


def test_a_logistic_probe_is_the_standardised_fit_in_raw_coordinates(noise):
    x = torch.randn(500, 4, generator=noise) * torch.tensor([0.1, 1.0, 5.0, 30.0]) + 7
    y = x[:, 2] + x[:, 0] > 12
    probe = probes.logistic(x, y)
    mean, spread = x.mean(0), x.std(0) + 1e-6
    weight = probes.fit((x - mean) / spread, y)
    torch.testing.assert_close(probe.scores(x), (x - mean) / spread @ weight[:-1] + weight[-1], atol=1e-3, rtol=1e-3)
    assert probes.accuracy(probe.scores(x) > 0, y) > 0.97


def test_a_fit_works_where_gradients_are_switched_off(noise):
    with torch.no_grad():
        probe = probes.logistic(torch.randn(50, 2, generator=noise), torch.arange(50) % 2 == 0)
    assert not probe.direction.requires_grad


def two_clouds(noise, covariance, difference, n=40_000):
    y = torch.arange(n) % 2 == 0
    bells = torch.randn(n, len(difference), generator=noise) @ torch.linalg.cholesky(covariance).T
    return bells + 3 + y[:, None] * difference, y


def test_lda_reaches_the_closed_form_and_the_difference_of_means_its_own(noise):
    covariance, difference = torch.tensor([[1.0, 0.6], [0.6, 4.0]]), torch.tensor([1.5, 1.5])
    x, y = two_clouds(noise, covariance, difference)
    best = torch.linalg.solve(covariance, difference)
    top = (1 + math.erf(math.sqrt(float(difference @ best)) / 2 / math.sqrt(2))) / 2
    assert probes.gaussian_accuracy(best, difference, covariance) == pytest.approx(top, abs=1e-6)
    lda, arrow = probes.lda(x, y), probes.difference_of_means(x, y)
    assert torch.cosine_similarity(lda.direction, best, dim=0) > 0.999
    assert probes.accuracy(lda.scores(x) > 0, y) == pytest.approx(top, abs=0.01)
    told = probes.gaussian_accuracy(arrow.direction, difference, covariance)
    assert probes.accuracy(arrow.scores(x) > 0, y) == pytest.approx(told, abs=0.01)
    assert told < top - 0.02


@pytest.mark.parametrize("kind", [probes.difference_of_means, probes.lda])
def test_the_midpoint_scores_zero(noise, kind):
    x, y = two_clouds(noise, torch.eye(3), torch.tensor([2.0, 0.0, 1.0]), n=600)
    keep = y | (torch.arange(600) % 10 == 1)  # five times as many yeses
    x, y = x[keep], y[keep]
    midpoint = (x[y].mean(0) + x[~y].mean(0)) / 2
    assert kind(x, y).scores(midpoint[None]).item() == pytest.approx(0, abs=1e-3)


def test_lda_with_a_covariance_that_has_no_inverse_is_refused_with_a_remedy(noise):
    y = torch.arange(100) % 2 == 0
    with pytest.raises(CourseError, match="256 features has no inverse: 100 tokens fill 98"):
        probes.lda(torch.randn(100, 256, generator=noise), y)
    dead = torch.randn(100, 3, generator=noise) * torch.tensor([1.0, 0.0, 1.0])
    with pytest.raises(CourseError, match="no inverse"):
        probes.lda(dead, y)
    assert probes.accuracy(probes.lda(dead[:, ::2], y).scores(dead[:, ::2]) > 0, y) > 0.4


def test_an_interval_from_one_file_is_refused():
    with pytest.raises(CourseError, match="One file"):
        probes.interval_by_file(torch.ones(9, dtype=torch.bool), torch.full((9,), 4))


def test_one_kind_of_token_alone_is_refused_with_a_remedy():
    for kind in (probes.logistic, probes.lda, probes.difference_of_means):
        with pytest.raises(CourseError, match="both kinds"):
            kind(torch.zeros(3, 2), torch.ones(3, dtype=torch.bool))


def test_control_labels_belong_to_types_and_come_in_their_share():
    types = torch.arange(5000).repeat(2)
    told = probes.control_labels(types, 0.3, seed=1)
    assert torch.equal(told[:5000], told[5000:])
    assert told.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert not torch.equal(told, probes.control_labels(types, 0.3, seed=2))


def test_the_interval_by_file_has_the_width_of_the_closed_form_and_wilson_that_of_tokens(noise):
    shares = torch.rand(50, generator=noise)
    right = (torch.arange(100) < 100 * shares[:, None]).flatten()
    low, high = probes.interval_by_file(right, torch.arange(50).repeat_interleave(100), draws=4000)
    error = shares.std(correction=0).item() / math.sqrt(50)
    assert high - low == pytest.approx(3.92 * error, rel=0.1)
    narrow = probes.wilson(int(right.sum()), len(right))
    p = right.double().mean().item()
    assert narrow[1] - narrow[0] == pytest.approx(3.92 * math.sqrt(p * (1 - p) / 5000), rel=0.01)
    assert probes.wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-3)


def test_erasing_leaves_the_means_part_and_everything_at_right_angles(noise):
    x, direction, mean = (torch.randn(*size, generator=noise) for size in ((2, 3, 5), (5,), (5,)))
    out = probes.erase(x, 10 * direction, mean)
    unit = direction / direction.norm()
    torch.testing.assert_close(out @ unit, (mean @ unit).expand(2, 3), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        out - (out @ unit)[..., None] * unit, x - (x @ unit)[..., None] * unit, atol=1e-5, rtol=1e-4
    )


def test_the_eraser_changes_the_model_everywhere_but_at_bos_and_token_losses_are_the_models(tiny, noise):
    windows = torch.randint(1, 1000, (3, 20), generator=noise)
    windows[:, 0] = 0
    logits = tiny(windows)
    want = torch.nn.functional.cross_entropy(logits[:, 1:-1].flatten(0, 1), windows[:, 2:].flatten(), reduction="none")
    losses = probes.token_losses(tiny, windows)
    torch.testing.assert_close(losses, want.view(3, 18), atol=1e-4, rtol=1e-4)
    direction = torch.randn(32, generator=noise)
    hook = probes.eraser(direction, torch.zeros(32))
    stream = torch.randn(3, 20, 32, generator=noise)
    assert torch.equal(hook(stream, None)[:, 0], stream[:, 0])
    edited = probes.token_losses(tiny, windows, [("blocks.0.hook_resid_post", hook)])
    assert not torch.allclose(edited, losses, atol=1e-3)


# --- what they are made and tested on -------------------------------------------------------------------------------


def test_the_three_parts_share_no_file_and_every_long_file_is_in_one():
    parts = probe_data.split(seed=3, validation=6, test=7, each=2)
    files = [file for file in labels.sample() if len(file.ids) >= probe_data.WINDOW]
    texts = [tuple(file.ids.tolist()) for file in files]
    homes = []
    for tokens in parts.values():
        found = set()
        for window in tokens.windows:
            body = window[1:].numpy().astype(np.uint16).tobytes()
            found |= {i for i, file in enumerate(files) if body in file.ids.astype(np.uint16).tobytes()}
        homes.append(found)
        assert len(tokens.ids) == len(tokens.file) == len(tokens.names) == 255 * len(tokens.windows)
        assert max((tokens.file == f).sum().item() for f in tokens.file.unique()) <= 2 * 255
    train, validation, test = homes
    assert len(validation) == 6 and len(test) == 7 and len(train) == len(set(texts)) - 13
    assert not (train & validation or train & test or validation & test)


def test_asking_for_too_many_files_or_an_unknown_place_says_what_to_do(tiny):
    with pytest.raises(CourseError, match="none of 32"):
        probe_data.split(validation=20, test=12)
    with pytest.raises(CourseError, match="layer 7"):
        probe_data.streams(tiny, torch.zeros(1, 4, dtype=torch.long), ["layer 7"])
