"""Addition modulo p: the split, the model against one written in full, and a run that stops and goes on."""

import dataclasses

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import models, modular, recipes, training

SIZES = {"p": 7, "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
FIRST_ROW = [
    0,
    5,
    7,
    10,
    11,
    13,
    14,
    17,
    18,
    20,
    21,
    23,
    24,
    28,
    30,
    31,
    32,
    33,
    35,
    36,
    37,
    39,
    40,
    42,
    45,
    48,
    50,
    51,
    52,
]  # the b of the training pairs (0, b)
TINY = dataclasses.replace(recipes.find("mod-add-53"), name="tiny-mod", steps=12, kept=(0, 4), **SIZES)


@pytest.fixture(autouse=True)
def tiny_recipe(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny-mod", TINY)


def files_in(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


# --- the task -----------------------------------------------------------------------------------------------------


def test_pairs_are_a_table_and_answers_their_sums():
    pairs = modular.all_pairs(7)
    assert pairs[3 * 7 + 5].tolist() == [3, 5]
    assert modular.answers(pairs, 7).view(7, 7)[3, 5] == 1
    assert modular.tokens(pairs, 7)[3 * 7 + 5].tolist() == [3, 5, 7]


def test_half_of_the_pairs_are_for_training_and_a_seed_decides_which():
    train = modular.is_train(53)
    assert train.sum() == 1404
    assert train.shape == (2809,)
    assert torch.equal(train, modular.is_train(53, 0.5, 0))
    assert 500 < (train & modular.is_train(53, seed=1)).sum() < 900
    assert modular.is_train(53, share=0.3).sum() == 842


def test_the_split_never_changes():
    """Weights and figures that are stored depend on it."""
    assert modular.is_train(53)[:53].nonzero().flatten().tolist() == FIRST_ROW


def test_a_mirror_is_the_pair_the_other_way_round():
    train = torch.zeros(49, dtype=torch.bool)
    train[2 * 7 + 5] = True
    assert modular.has_mirror(train).nonzero().flatten().tolist() == [5 * 7 + 2]


# --- the model ----------------------------------------------------------------------------------------------------


def full_transformer(w, tokens):
    """The same model as one writes it in general: every position, a causal mask. Logits (pair, pos, answer)."""
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"]
    q, k, v = (torch.einsum("bpm,hmd->bhpd", x, w[f"blocks.0.attn.W_{i}"]) for i in "QKV")
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.ones(3, 3, dtype=torch.bool).triu(1), -torch.inf)
    x = x + torch.einsum("bhpd,hdm->bpm", scores.softmax(-1) @ v, w["blocks.0.attn.W_O"])
    x = x + (x @ w["blocks.0.mlp.W_in"]).relu() @ w["blocks.0.mlp.W_out"]
    return x @ w["unembed.W_U"]


def test_the_model_is_a_transformer_read_at_its_last_position():
    weights, pairs = modular.new_weights(TINY), modular.all_pairs(7)
    expected = full_transformer(weights, modular.tokens(pairs, 7))[:, -1]
    torch.testing.assert_close(modular.logits(weights, pairs), expected, atol=1e-5, rtol=0)


def test_a_seed_decides_the_first_weights():
    first, again = modular.new_weights(TINY), modular.new_weights(TINY)
    other = modular.new_weights(dataclasses.replace(TINY, seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_the_first_weights_are_as_wide_as_the_recipe_says():
    weights = modular.new_weights(recipes.find("mod-add-53"))
    assert weights["blocks.0.attn.W_Q"].std().item() == pytest.approx(128**-0.5, rel=0.03)
    assert weights["blocks.0.mlp.W_out"].std().item() == pytest.approx(512**-0.5, rel=0.03)
    assert weights["unembed.W_U"].std().item() == pytest.approx(53**-0.5, rel=0.03)


def test_a_loss_too_small_for_float32_is_not_rounded_to_zero():
    logits = torch.zeros(1, 5)
    logits[0, 2] = 25.0
    answer = torch.tensor([2])
    assert torch.nn.functional.cross_entropy(logits, answer) == 0
    assert modular.loss(logits, answer).item() == pytest.approx(4 * torch.tensor(-25.0).double().exp().item())


def test_accuracy_counts_the_highest_logits():
    assert modular.accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])) == 0.75


# --- a run --------------------------------------------------------------------------------------------------------


def test_the_folder_is_a_model_with_checkpoints(tmp_path):
    folder = training.train("tiny-mod", tmp_path / "one", progress=False)
    names = {"card.json", "config.json", "curves.csv", "model.safetensors"}
    assert set(files_in(folder)) == names | {"checkpoints/000000.safetensors", "checkpoints/000004.safetensors"}
    assert models.checkpoints(folder) == models.card(folder)["checkpoints"] == [0, 4, 12]
    first = models.weights(folder, checkpoint=0)
    assert all(torch.equal(first[name], tensor.half().float()) for name, tensor in modular.new_weights(TINY).items())
    assert torch.equal(models.weights(folder)["embed.W_E"], models.weights(folder, checkpoint=12)["embed.W_E"])
    assert not torch.equal(models.weights(folder)["embed.W_E"], models.weights(folder, checkpoint=4)["embed.W_E"])


def test_a_checkpoint_that_is_not_kept_names_those_that_are(tmp_path):
    folder = training.train("tiny-mod", tmp_path, progress=False)
    for ask in (models.weights, models.load):
        with pytest.raises(CourseError, match=r"has no checkpoint 5\. There are: 0, 4, 12\."):
            ask(folder, checkpoint=5)


def test_it_learns_its_training_pairs(tmp_path):
    folder = modular.train(
        dataclasses.replace(TINY, d_model=32, d_head=16, d_mlp=64, steps=400), tmp_path, progress=False
    )
    card = models.card(folder)
    assert card["accuracy"]["train"] == 1.0
    assert card["loss"]["train"] < 0.1
