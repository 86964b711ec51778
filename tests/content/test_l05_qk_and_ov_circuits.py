"""Lesson 05: an answer that builds the large table is turned away though its result is right, and what the predictions call
right holds on either half of the held-out files."""

import pytest
import torch
import torch.nn.functional as F

from mechinterp_course.interp import models, tasks
from mechinterp_course.tutor.runner import examine


@pytest.fixture(scope="module")
def one():
    return models.load("code-attn-1l", processed=True)


@pytest.fixture(scope="module")
def files():
    tokenizer = models.tokenizer("code-attn-1l")
    return [tokenizer.encode(text) for _, text in tasks.sample()]


def score(values):
    return float(values.sum().real / values.abs().sum())


def skip_by_tables(source, k, reads, head, W_U):
    scores = (reads @ head["W_Q"] + head["b_Q"]) @ (reads @ head["W_K"]).T
    wanted = (scores - scores.mean(-1, keepdim=True))[:, source]
    raised = (reads @ head["W_V"] @ head["W_O"] @ W_U)[source]
    return wanted.topk(k).indices, raised.topk(k).indices


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("copying_score", lambda A, B: score(torch.linalg.eigvals(A @ B))),
        ("low_rank_singular_values", lambda A, B: torch.linalg.svdvals(A @ B)[: A.shape[1]]),
        ("skip_trigrams", skip_by_tables),
    ],
)
def test_a_right_result_by_way_of_the_large_table_is_told_so(exercise, answer):
    verdict = examine(exercise, answer)
    assert verdict.held == verdict.total - 1
    assert "made a tensor of" in verdict.told
    assert verdict.mistake == ""


@pytest.mark.parametrize("cut", [torch.Tensor.detach, torch.no_grad()(lambda table: table + 0)])
def test_a_table_that_cannot_be_trained_is_told_so(cut):
    def bigrams(W_E, W_U, b_U, eps):
        return cut((F.layer_norm(W_E, W_E.shape[1:], eps=eps) @ W_U + b_U).log_softmax(-1))

    verdict = examine("bigram_table", bigrams)
    assert not verdict.passed
    assert "cut off from the weights" in "\n".join(verdict.lines())


@pytest.mark.parametrize("half", [0, 1])
def test_the_direct_path_is_worse_than_a_guess_by_frequency(one, files, half):
    counts = torch.zeros(1024, 1024)
    for file in files[half::2]:
        counts.index_put_((file[:-1], file[1:]), torch.ones(len(file) - 1), accumulate=True)
    frequency = (counts.sum(0) + 1) / (counts.sum(0) + 1).sum()
    with torch.no_grad():
        direct = (F.layer_norm(one.W_E, (96,)) @ one.W_U + one.b_U).log_softmax(-1)
    guess, path = (-(counts * table).sum() / counts.sum() for table in (frequency.log(), direct))
    assert path > guess + 0.2


def test_all_four_heads_of_the_one_layer_model_copy(one):
    with torch.no_grad():
        for h in range(4):
            OV = one.OV[0, h]
            assert score(torch.linalg.eigvals(OV.B @ one.W_U @ one.W_E @ OV.A)) > 0.9


@pytest.mark.parametrize("half", [0, 1])
def test_the_previous_token_head_needs_positions_alone(files, half):
    two = models.load("code-attn-2l", processed=True)
    tokens = torch.stack([file[:256] for file in files if len(file) >= 256])[half::2]
    name = "blocks.0.attn.hook_pattern"
    with torch.no_grad():
        _, seen = two.run_with_cache(tokens, names_filter=name)
        with two.hooks(fwd_hooks=[("hook_embed", lambda embedded, hook: torch.zeros_like(embedded))]):
            _, blind = two.run_with_cache(tokens, names_filter=name)
    with_tokens, without = (found[name][:, 1].diagonal(-1, -2, -1)[:, 7:].mean() for found in (seen, blind))
    assert 0.8 < with_tokens < without
