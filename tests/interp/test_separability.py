"""How well a straight cut tells each label: which tokens it is made and tested on, and what counts as separable."""

import numpy as np
import torch

from mechinterp_course.interp import labels, probe_data, separability


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
    monkeypatch.setattr(probe_data, "WINDOW", 40)
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
