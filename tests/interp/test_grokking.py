"""What is read off a run: phases and first epochs by their rules, curves that come back, and the cards of other seeds."""

import dataclasses
import json

import pytest
import torch

from mechinterp_course.interp import grokking, modular, recipes

SIZES = {"p": 7, "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
TINY = dataclasses.replace(recipes.find("mod-add-53"), name="tiny-mod", steps=4, kept=(0,), **SIZES)


def rows(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_phases_follow_their_rules():
    curve = rows(
        epoch=[0, 10, 20, 30, 40, 50, 60],
        excluded_loss=[4.0, 1.0, 0.2, 0.5, 2.0, 6.0, 6.0],
        test_loss=[4.0, 9.0, 10.0, 9.0, 4.9, 0.2, 0.1],
        weights_squared=[100.0, 200.0, 190.0, 180.0, 120.0, 65.0, 60.0],
    )
    found = grokking.phases(curve)
    assert (found["memorisation_ends"], found["circuit_formation_ends"], found["clean_up_ends"]) == (20, 40, 50)


def test_a_run_that_only_memorised_has_no_later_phase():
    curve = rows(epoch=[0, 10], excluded_loss=[4.0, 1.0], test_loss=[4.0, 9.0], weights_squared=[100.0, 200.0])
    found = grokking.phases(curve)
    assert found["memorisation_ends"] == 10
    assert found["circuit_formation_ends"] is None
    assert found["clean_up_ends"] is None


@pytest.mark.parametrize(("values", "epoch"), [([0.1, 0.95, 0.5, 0.92], 30), ([1, 1, 1, 1], 0), ([0, 1, 1, 0], None)])
def test_first_is_where_it_stays(values, epoch):
    assert grokking.first(rows(epoch=[0, 10, 20, 30], accuracy=values), "accuracy", 0.9) == epoch


def test_curves_come_back(tmp_path):
    train = modular.is_train(7)
    curve = [{"epoch": 5} | grokking.measure(modular.new_weights(TINY), train, [1, 2])]
    grokking.write_curves(curve, tmp_path / "curves.csv")
    back = grokking.read_curves(tmp_path / "curves.csv")
    assert list(back) == list(grokking.COLUMNS) == list(curve[0])
    for column, values in back.items():
        assert values == [pytest.approx(curve[0][column], rel=1e-5)]


def test_the_accuracies_add_up():
    weights, train = modular.new_weights(TINY), modular.is_train(7)
    row = grokking.measure(weights, train, [1])
    pairs = modular.all_pairs(7)
    right = modular.logits(weights, pairs).argmax(1) == modular.answers(pairs, 7)
    mirror = modular.has_mirror(train)
    assert row["train_accuracy"] == pytest.approx(right[train].double().mean().item())
    groups = [("mirrored_accuracy", ~train & mirror), ("new_accuracy", ~train & ~mirror)]
    assert sum(row[name] * group.sum().item() for name, group in groups) == pytest.approx(right[~train].sum().item())
    assert row["weights_squared"] == pytest.approx(sum(t.pow(2).sum().item() for t in weights.values()), rel=1e-5)


def test_an_algorithm_that_is_planted_is_found():
    """An embedding of one frequency, and nothing else that works: the card's figures name it."""
    weights = {name: torch.zeros_like(tensor) for name, tensor in modular.new_weights(TINY).items()}
    angle = 2 * torch.pi * 2 * torch.arange(7) / 7
    weights["embed.W_E"][:7, 0], weights["embed.W_E"][:7, 1] = angle.cos(), angle.sin()
    found = grokking.behaviours(weights)
    assert found["key_frequencies"]["value"] == []
    assert found["embedding_share"]["largest_other"] == 1.0
    assert found["neurons_in_one_frequency"]["value"] == 0.0


def test_other_seeds_stand_in_the_card(tmp_path):
    for seed in (0, 1, 2):
        modular.train(dataclasses.replace(TINY, seed=seed), tmp_path / str(seed), progress=False)
    grokking.add_seeds(tmp_path / "0", [tmp_path / "1", tmp_path / "2"])
    cards = [json.loads((tmp_path / str(seed) / "card.json").read_text()) for seed in (0, 1, 2)]
    assert set(cards[0]["other_seeds"]) == {"1", "2"}
    for seed in (1, 2):
        told = cards[0]["other_seeds"][str(seed)]
        assert told["loss"] == cards[seed]["loss"]
        keys = cards[seed]["behaviours"]["key_frequencies"]
        assert told["behaviours"]["key_frequencies"] == {"value": keys["value"]}
