"""What lesson 11 says of its probes holds on the splits that it does not show, by the bands that its script measured."""

import json
from pathlib import Path

import pytest
import torch

from mechinterp_course.interp import probes
from mechinterp_course.tutor.checks import reference
from mechinterp_course.tutor.runner import examine

BANDS = json.loads((Path(__file__).parents[2] / "benchmarks" / "bands_l11.json").read_text(encoding="utf-8"))
SPLITS = [BANDS[f"split {seed}"] for seed in BANDS["settings"]["seeds"]]


def test_the_bands_stand_on_five_splits():
    assert len(SPLITS) >= 5


@pytest.mark.parametrize("split", SPLITS)
def test_keywords_are_in_the_embedding_already_and_comments_are_not(split):
    keyword, comment = (split["layers"][question]["test"] for question in ("keyword", "in_comment"))
    assert keyword["embedding"] >= 0.97 and keyword["layer 2"] - keyword["embedding"] < 0.02
    assert comment["embedding"] < 0.75 and comment["layer 1"] < 0.85 < 0.93 < comment["layer 2"]


@pytest.mark.parametrize("split", SPLITS)
def test_the_midpoint_helps_dealing_out_tokens_flatters_and_tokens_are_not_independent(split):
    kinds, leak, interval = split["kinds"], split["leak"], split["interval"]
    assert kinds["difference_of_means"]["balanced_accuracy"] > kinds["no midpoint, balanced accuracy"]
    for question in ("in_docstring", "two_blocks_deep"):
        assert 0.01 <= leak[f"{question}, by token"] - leak[f"{question}, by file"] <= 0.075
    by_file, by_token = (interval[name][1] - interval[name][0] for name in ("by file", "tokens as independent"))
    assert 3.5 < by_file / by_token < 17


@pytest.mark.parametrize("split", SPLITS)
def test_a_control_task_is_learned_and_a_probe_loses_to_it_at_the_embedding(split):
    assert min(split["control task"]["layer 2"]) >= 0.75
    assert min(split["control task"]["embedding"]) > max(split["control task"]["layer 2"])


@pytest.mark.parametrize("split", SPLITS)
def test_keywords_have_the_highest_figure_and_selectivity_and_nothing_above_the_embedding(split):
    places = {question: found["test"] for question, found in split["layers"].items()}
    control = sum(split["control task"]["layer 2"]) / len(split["control task"]["layer 2"])
    selectivity = {question: found["layer 2"] - control for question, found in places.items()}
    shown = ["keyword", "in_comment", "in_brackets", "in_docstring"]
    assert max(shown, key=selectivity.get) == "keyword" and min(selectivity[question] for question in shown) > 0
    above = {question: places[question]["layer 2"] - places[question]["embedding"] for question in shown}
    assert above["keyword"] < 0.02 and min(above[question] for question in shown[1:]) > 0.15


@pytest.mark.parametrize("split", SPLITS)
def test_the_position_is_used_even_numbers_are_not_and_comments_where_they_are(split):
    erased = split["erased"]
    random, coins = erased["random"], erased["difference of means of five control labels"]
    assert erased["second half"]["rise"] > 5 * random["all tokens"]["largest"]
    assert erased["even"]["rise"] <= random["all tokens"]["largest"]
    assert erased["in_comment"]["rise"] < erased["second half"]["rise"] / 5
    assert erased["in_comment"]["rise at tokens with the label"] > 1.6 * random["in comments"]["largest"]
    arrow = erased["difference of means of in_comment"]
    assert arrow["in comments"]["mean"] > coins["in comments"]["largest"]
    assert arrow["all tokens"]["mean"] < coins["all tokens"]["largest"]
    assert erased["in_comment"]["auc of a new probe after erasing"] > 0.88


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_the_labs_planted_files_show_holds_on_other_seeds(seed):
    noise = torch.Generator().manual_seed(seed)
    file_of = torch.arange(40).repeat_interleave(50)
    x = 3 * torch.randn(40, 60, generator=noise)[file_of] + torch.randn(2000, 60, generator=noise)
    y = (torch.rand(40, generator=noise) < 0.5)[file_of]
    found = []
    for held_out in (torch.rand(2000, generator=noise) < 0.3, file_of >= 28):
        probe = probes.logistic(x[~held_out], y[~held_out])
        found.append(probes.accuracy(probe.scores(x[held_out]) > 0, y[held_out]))
    assert found[0] > 0.95
    assert found[1] < 0.8


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda loss: lambda *given: loss(*given).detach(), "cannot take the gradient"),
        (lambda loss: lambda weight, *given: loss(weight.detach(), *given), "reaches the weight"),
        (lambda loss: lambda weight, offset, *given: loss(weight, offset.detach(), *given), "reaches the offset"),
    ],
)
def test_a_loss_that_torch_cannot_follow_back_is_told_where_the_way_is_cut(change, told):
    verdict = examine("logistic_loss", change(reference("logistic_loss")), advise=False)
    assert not verdict.passed and told in " ".join(verdict.lines())


@pytest.mark.parametrize("name", ["accuracy_interval", "control_labels", "split_by_file"])
def test_chance_fails_no_right_answer(name):
    assert all(examine(name, reference(name), seed=seed, advise=False).passed for seed in range(500, 512))
