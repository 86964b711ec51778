"""Scores against patterns of known role, closed forms, and a random model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import attention
from mechinterp_course.interp.attention import (
    current_token_score,
    duplicate_token_score,
    first_token_score,
    induction_score,
    previous_token_score,
    repeated_tokens,
)


def looking(positions: int, back) -> torch.Tensor:
    """The pattern of a head whose query q attends to q - back(q) alone, or to itself where that is not possible."""
    pattern = torch.zeros(positions, positions)
    for q in range(positions):
        key = q - back(q)
        pattern[q, key if 0 <= key <= q else q] = 1.0
    return pattern


def uniform(positions: int) -> torch.Tensor:
    """The pattern of a head that attends to everything so far alike."""
    return torch.tril(torch.ones(positions, positions)) / torch.arange(1.0, positions + 1)[:, None]


def all_scores(pattern: torch.Tensor, length: int) -> dict[str, float]:
    return {
        "previous": previous_token_score(pattern).item(),
        "current": current_token_score(pattern).item(),
        "first": first_token_score(pattern).item(),
        "duplicate": duplicate_token_score(pattern, length).item(),
        "induction": induction_score(pattern, length).item(),
    }


@pytest.mark.parametrize("bos", [0, 1])
@pytest.mark.parametrize("length", [3, 7, 20])
@pytest.mark.parametrize("role", ["previous", "current", "first", "duplicate", "induction"])
def test_a_perfect_head_scores_1_in_its_role_and_nearly_0_in_the_others(role, length, bos):
    n = 2 * length + bos
    back = {
        "previous": lambda q: 1,
        "current": lambda q: 0,
        "first": lambda q: q,
        "duplicate": lambda q: length if q >= n - length else q,  # rests on the first token before the second copy
        "induction": lambda q: length - 1 if q >= n - length else q,
    }
    scores = all_scores(looking(n, back[role]), length)
    assert scores.pop(role) == 1.0
    resting = 1.0 if role in ("duplicate", "induction") else 2 / length  # the first copy's queries rest on position 0
    for other, score in scores.items():
        assert score <= (resting if other == "first" else 2 / length), (other, score)


def test_a_duplicate_token_head_is_no_induction_head():
    pattern = looking(21, lambda q: 10)
    assert duplicate_token_score(pattern, 10).item() == 1.0
    assert induction_score(pattern, 10).item() == 0.0


def test_only_queries_of_the_second_copy_count():
    """Whatever the first copy attends to, the induction score is that of the second."""
    pattern = looking(21, lambda q: 9)
    pattern[:11] = uniform(21)[:11]
    assert induction_score(pattern, 10).item() == 1.0


@given(length=st.integers(2, 40), bos=st.integers(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_uniform_head_has_the_closed_form(length, bos):
    n = 2 * length + bos
    scores = all_scores(uniform(n), length)
    every = sum(1 / (q + 1) for q in range(1, n)) / (n - 1)
    second_copy = sum(1 / (q + 1) for q in range(n - length, n)) / length
    expected = {"previous": every, "current": every, "first": every, "duplicate": second_copy, "induction": second_copy}
    assert scores == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_leading_axes_are_kept_and_scores_are_attention(leading, length):
    pattern = torch.randn(*leading, 2 * length, 2 * length).softmax(-1)
    for score in (previous_token_score, current_token_score, first_token_score):
        assert score(pattern).shape == tuple(leading)
    assert ((induction_score(pattern, length) > 0) & (induction_score(pattern, length) < 1)).all()


@pytest.mark.parametrize("score", [induction_score, duplicate_token_score])
@pytest.mark.parametrize("length", [0, 6, -1])
def test_two_copies_must_fit(score, length):
    with pytest.raises(CourseError, match="do not fit in a pattern of 11 positions"):
        score(uniform(11), length)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 4), (1, 1)])
def test_what_is_no_pattern_is_refused(shape):
    with pytest.raises(CourseError, match="as many keys as queries"):
        previous_token_score(torch.zeros(shape))


# --- prompts ------------------------------------------------------------------------------------------------------


@given(start=st.integers(0, 50), size=st.integers(1, 99), length=st.integers(1, 20), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_repeated_tokens_repeat_after_bos_and_keep_to_their_range(start, size, length, seed):
    vocabulary = range(start, start + size)
    tokens = repeated_tokens(vocabulary, length, batch=3, seed=seed, bos=7777)
    assert tokens.shape == (3, 1 + 2 * length)
    assert (tokens[:, 0] == 7777).all()
    assert torch.equal(tokens[:, 1 : 1 + length], tokens[:, 1 + length :])
    assert set(tokens[:, 1:].flatten().tolist()) <= set(vocabulary)
    assert torch.equal(tokens, repeated_tokens(vocabulary, length, batch=3, seed=seed, bos=7777))


def test_repeated_tokens_differ_between_rows_and_seeds_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    tokens = repeated_tokens(1000, 20, batch=2, seed=1)
    assert tokens.shape == (2, 40)
    assert not torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens, repeated_tokens(1000, 20, batch=2, seed=2))
    assert torch.equal(state, torch.get_rng_state())
    assert set(repeated_tokens(range(10, 20, 5), 50).flatten().tolist()) == {10, 15}
    assert (repeated_tokens(range(5, 9), 4, bos=0)[:, 0] == 0).all()


@pytest.mark.parametrize("arguments", [(0, 3), (range(5, 5), 3), (10, 0), (10, 3, 0)])
def test_nothing_to_repeat_is_refused(arguments):
    with pytest.raises(CourseError, match="nothing to repeat"):
        repeated_tokens(*arguments)


# --- a model ------------------------------------------------------------------------------------------------------


def test_patterns_are_those_of_the_cache(tiny):
    tokens = repeated_tokens(range(1, 1024), 6, batch=3, bos=0)
    pattern = attention.patterns(tiny, tokens)
    assert pattern.shape == (2, 3, 4, 13, 13)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(2, 3, 4, 13))
    _, cache = tiny.run_with_cache(tokens)
    assert torch.equal(pattern[1], cache["pattern", 1])


def test_head_scores_are_the_means_of_the_scores(tiny, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", 2)  # five sequences: the last part is smaller
    tokens = repeated_tokens(range(1, 1024), 6, batch=5, bos=0)
    scores = attention.head_scores(tiny, tokens, length=6)
    pattern = attention.patterns(tiny, tokens)
    assert list(scores) == ["previous token", "current token", "first token", "duplicate token", "induction"]
    torch.testing.assert_close(scores["induction"], induction_score(pattern, 6).mean(1))
    torch.testing.assert_close(scores["first token"], first_token_score(pattern).mean(1))
    assert scores["previous token"].shape == (2, 4)
    assert "induction" not in attention.head_scores(tiny, tokens)


def test_losses_are_those_of_torch(tiny, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", 2)
    tokens = repeated_tokens(range(1, 1024), 5, batch=3, bos=0)
    losses = attention.token_losses(tiny, tokens)
    expected = cross_entropy(tiny(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none").detach()
    torch.testing.assert_close(losses, expected)
    assert not losses.requires_grad
    first, second = attention.repeat_loss(tiny, tokens, 5)
    torch.testing.assert_close(first, expected[:, :5].mean(1))
    torch.testing.assert_close(second, expected[:, 5:].mean(1))


def test_a_model_that_copies_loses_nothing_on_the_repeat():
    """A stand-in that knows only the earlier copy: log V on the first, nearly 0 on the second but for its first token."""
    length, d_vocab = 10, 100

    def model(tokens):
        logits = torch.zeros(*tokens.shape, d_vocab)
        for q in range(1 + length, tokens.shape[1] - 1):
            logits[torch.arange(len(tokens)), q, tokens[:, q - length + 1]] = 50.0
        return logits

    first, second = attention.repeat_loss(model, repeated_tokens(d_vocab, length, batch=4, bos=0), length)
    torch.testing.assert_close(first, torch.full((4,), math.log(d_vocab)))
    torch.testing.assert_close(second, torch.full((4,), math.log(d_vocab) / length))


def test_a_repeat_that_does_not_fit_has_no_loss(tiny):
    with pytest.raises(CourseError, match="do not fit in 11 positions"):
        attention.repeat_loss(tiny, repeated_tokens(range(1, 9), 5, bos=0), 6)


def test_top_heads_are_named_best_first():
    scores = torch.tensor([[0.1, 0.9], [0.5, 0.2]])
    assert attention.top_heads(scores, 3) == [(0, 1, pytest.approx(0.9)), (1, 0, 0.5), (1, 1, pytest.approx(0.2))]
    assert len(attention.top_heads(scores, 10)) == 4
