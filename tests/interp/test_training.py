"""Recipes: the same seed gives the same weights, an interruption costs nothing, and the card says what was done."""

import dataclasses
import json
import math

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import models, optimizers, recipes, tasks, tokenizer, training

TINY = dataclasses.replace(
    recipes.RECIPES["code-2l"],
    name="tiny",
    n_layers=2,
    d_model=16,
    n_heads=2,
    d_mlp=32,
    n_ctx=24,
    steps=12,
    batch=2,
    warmup=3,
)


@pytest.fixture(autouse=True)
def small_corpus(monkeypatch):
    """A recipe of seconds on a corpus of a few files, whatever Python runs the tests."""
    files = [(path, text[:6000]) for path, text in tasks.sample() if len(text) > 1000]
    parts = {"train": files[:4], "validation": files[4:6], "test": files[6:8]}
    monkeypatch.setattr(tasks, "read_split", lambda split, stdlib=None: parts[split])
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    monkeypatch.setattr(training, "SAVE_EVERY", -1.0)  # after every step


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(CourseError, match="Did you mean code-2l"):
        training.train("code-2")


def test_the_card_says_what_was_done(tmp_path):
    folder = training.train("tiny", tmp_path, progress=False)
    card = models.card(folder)
    assert card["recipe"] == json.loads(json.dumps(TINY.numbers()))
    assert card["corpus"]["sha256_of_manifest"] == tasks.corpus_hash()
    assert card["steps"] == 12
    assert card["tokens_seen"] == 12 * 2 * 23
    assert card["parameters"] == 1024 * 16 + 24 * 16 + 2 * (4 * 16 * 16 + 2 * 16 * 32 + 9 * 16 + 32) + 2 * 16
    assert set(card["loss"]) == set(tasks.SPLITS)
    assert card["validation_curve"][-1][0] == 12


def test_the_loss_falls_and_the_card_measures_the_stored_weights(tmp_path):
    folder = training.train("tiny", tmp_path, steps=60, progress=False)
    losses = models.card(folder)["loss"]
    assert losses["train"]["nats_per_token"] < math.log(tokenizer.VOCABULARY) - 0.3
    from transformers import GPT2LMHeadModel

    stored = GPT2LMHeadModel.from_pretrained(folder, local_files_only=True).eval()
    texts = [text for _, text in tasks.read_split("test")]
    measured = training.held_out_loss(stored, texts)
    assert measured["nats_per_token"] == pytest.approx(losses["test"]["nats_per_token"], abs=1e-5)
    assert stored.dtype == torch.float32


def test_bits_per_byte_do_not_depend_on_the_tokenizer():
    texts = [text for _, text in tasks.read_split("train")]
    loss = training.held_out_loss(training.new_model(TINY), texts)
    tokens_per_byte = len(training.token_stream(texts)) / sum(len(text.encode()) for text in texts)
    assert loss["bits_per_byte"] == pytest.approx(loss["nats_per_token"] / math.log(2) * tokens_per_byte)


def test_a_batch_is_windows_of_the_stream_behind_bos():
    stream = training.token_stream([text for _, text in tasks.read_split("train")])
    batch = training.batch_of(stream, TINY, step=5)
    assert batch.shape == (2, 24)
    assert (batch[:, 0] == 0).all()
    windows = stream.unfold(0, 23, 1)
    assert all((windows == row[1:]).all(dim=1).any() for row in batch)
    assert torch.equal(batch, training.batch_of(stream, TINY, step=5))
    assert not torch.equal(batch, training.batch_of(stream, TINY, step=6))


def test_the_learning_rate_rises_then_falls_to_its_end():
    rates = [optimizers.learning_rate(TINY, step) for step in range(TINY.steps)]
    assert rates[0] == pytest.approx(TINY.lr / 3)
    assert max(rates) == pytest.approx(TINY.lr)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert optimizers.learning_rate(TINY, TINY.steps) == pytest.approx(TINY.lr * TINY.lr_end)
