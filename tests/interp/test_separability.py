"""A straight cut through the stream: the fit, its measures, and which tokens it is made and tested on."""

import numpy as np
import pytest
import torch

from mechinterp_course.interp import labels, separability


@pytest.fixture
def noise():
    return torch.Generator().manual_seed(0)


def test_the_fit_finds_the_direction_that_separates(noise):
    x = torch.randn(4000, 6, generator=noise)
    direction = torch.tensor([2.0, -1.0, 0.0, 0.0, 0.5, 0.0])
    chance = (x @ direction - 1.0).sigmoid()
    weight = separability.fit(x, torch.rand(4000, generator=noise) < chance)
    torch.testing.assert_close(weight, torch.cat([direction, torch.tensor([-1.0])]), atol=0.2, rtol=0)


def test_the_penalty_keeps_weights_finite_where_all_is_separable():
    x = torch.tensor([[-1.0], [-2.0], [1.0], [3.0]])
    weight = separability.fit(x, torch.tensor([False, False, True, True]))
    assert weight.isfinite().all()
    assert 1 < weight[0] < 50


def test_auc_is_the_chance_that_a_token_with_the_label_scores_higher(noise):
    scores = torch.randint(0, 6, (80,), generator=noise).float()
    y = torch.rand(80, generator=noise) < 0.3
    pairs = [(a > b).item() + (a == b).item() / 2 for a in scores[y] for b in scores[~y]]
    assert separability.auc(scores, y) == pytest.approx(sum(pairs) / len(pairs))
    assert separability.auc(y.float(), y) == 1.0
    assert separability.auc(-y.float(), y) == 0.0
    assert separability.auc(torch.zeros(80), y) == 0.5


def test_the_cut_has_the_best_balanced_accuracy(noise):
    scores = torch.randn(60, generator=noise)
    y = (scores + torch.randn(60, generator=noise)) > 1
    cut = separability.best_cut(scores, y)
    reached = separability.balanced_accuracy(scores >= cut, y)
    assert reached == max(separability.balanced_accuracy(scores >= other, y) for other in scores)
    assert separability.balanced_accuracy(torch.ones(60, dtype=torch.bool), y) == 0.5


def test_the_halves_share_no_file_and_their_answers_are_the_labels():
    train, test = separability.halves(most=7)
    for half, first in ((train, 0), (test, 1)):
        assert half.windows.shape == (7, 256)
        assert (half.windows[:, 0] == 0).all()
        text = [file for file in labels.sample()[first::2]]
        ids = torch.from_numpy(np.concatenate([file.ids.astype(np.int64) for file in text]))
        places = ids.unfold(0, 255, 1)
        found = [(places == window[1:]).all(1).nonzero()[0].item() for window in half.windows]
        keyword = np.concatenate([file.labels["keyword"] for file in text])
        depth = np.concatenate([file.labels["indentation_depth"] for file in text])
        assert half.answers["keyword"].tolist() == [bool(keyword[at + i]) for at in found for i in range(255)]
        assert half.answers["two_blocks_deep"].tolist() == [depth[at + i] >= 2 for at in found for i in range(255)]
        assert len(half.names) == 7 * 255
    assert not {tuple(w.tolist()) for w in train.windows} & {tuple(w.tolist()) for w in test.windows}


def test_every_question_is_asked_at_every_layer(tiny, monkeypatch):
    monkeypatch.setattr(separability, "WINDOW", 40)
    found = separability.measured(tiny, most=30)["labels"]
    assert set(found) == set(separability.QUESTIONS)
    for told in found.values():
        assert list(told["auc"]) == list(told["balanced_accuracy"]) == ["embedding", "layer 0", "layer 1"]
        assert 0 < told["share"] < 1
    # A token tells by itself whether it is a keyword, even in a random model; not whether it stands in a comment.
    assert found["keyword"]["auc"]["embedding"] > 0.7
    assert found["in_comment"]["auc"]["embedding"] < found["keyword"]["auc"]["embedding"]


def test_a_label_that_the_token_alone_tells_does_not_count_as_separable():
    assert separability.separable({"auc": {"embedding": 0.7, "layer 0": 0.8, "layer 1": 0.91}})
    assert not separability.separable({"auc": {"embedding": 0.7, "layer 0": 0.8, "layer 1": 0.89}})
    assert not separability.separable({"auc": {"embedding": 0.97, "layer 0": 0.99, "layer 1": 0.99}})
