"""How the exercises of lesson 02 are checked.

The truth comes from outside the lab: torch's own layers (LayerNorm, scaled_dot_product_attention, TransformerEncoderLayer),
closed forms, and TransformerLens running the bundled model. `reference` only supplies the parts that a wrong answer gets right.
"""

import dataclasses
import functools
import math

import torch
import torch.nn.functional as F

from mechinterp_course.interp import models, tasks
from mechinterp_course.tutor.checks import Exercise, expect, reference

# --- layernorm ------------------------------------------------------------------------------------------------------

norm = Exercise("layernorm")


@norm.check("with w = 1 and b = 0, the numbers at each position have mean 0 and mean square 1")
def norm_statistics(answer, draw):
    residual = 2 + draw.normal(2, 3, 5, std=3)
    out = answer(residual, torch.ones(5), torch.zeros(5), 1e-5)
    expect.shape(out, (2, 3, 5), axes="batch pos d_model")
    expect.close(out.mean(-1), torch.zeros(2, 3), "the mean at each position", atol=1e-4)
    expect.close(out.pow(2).mean(-1), torch.ones(2, 3), "the mean square at each position", atol=1e-3)


@norm.check("it equals torch.nn.LayerNorm, with w and b")
def norm_like_torch(answer, draw):
    residual, w, b = draw.normal(2, 4, 6, std=2), 1 + draw.normal(6, std=0.5), draw.normal(6)
    expect.close(answer(residual, w, b, 1e-5), torch_layernorm(residual, w, b, 1e-5))


@norm.check(
    "where the numbers are tiny, the eps that is given keeps them tiny: it is added to the variance, under the root"
)
def norm_eps(answer, draw):
    residual, w, b = draw.normal(1, 3, 6, std=0.03), torch.ones(6), torch.zeros(6)
    for eps in (0.01, 1e-8):
        small = residual if eps > 1e-3 else residual / 100
        expect.close(answer(small, w, b, eps), torch_layernorm(small, w, b, eps), f"the result for eps = {eps}")


@norm.check("scaling a position or adding a constant to it changes nothing", hidden=True)
def norm_invariance(answer, draw):
    residual, w, b = draw.normal(3, 2, 16), 1 + draw.normal(16, std=0.5), draw.normal(16)
    moved = residual * draw.uniform(3, 2, 1, low=0.5, high=4) + draw.normal(3, 2, 1)
    expect.close(answer(moved, w, b, 1e-9), torch_layernorm(residual, w, b, 1e-9), atol=1e-4)
    one = moved[:1, :1]
    expect.close(answer(one, w, b, 1e-9), torch_layernorm(one, w, b, 1e-9), "a single position", atol=1e-4)


def torch_layernorm(residual, w, b, eps):
    layer = torch.nn.LayerNorm(len(w), eps=eps, dtype=residual.dtype)
    layer.load_state_dict({"weight": w, "bias": b})
    return layer(residual).detach()


@norm.wrong(
    "divides by n - 1",
    "Your numbers come out a little too small. torch's .var() and .std() divide by n - 1 unless you pass unbiased=False; "
    "LayerNorm divides by n.",
)
def norm_unbiased(residual, w, b, eps):
    centred = residual - residual.mean(-1, keepdim=True)
    return centred / (residual.var(-1, keepdim=True) + eps).sqrt() * w + b


@norm.wrong(
    "eps outside the root",
    "You added eps to the standard deviation. LayerNorm adds it to the variance, before the square root.",
)
def norm_eps_outside(residual, w, b, eps):
    centred = residual - residual.mean(-1, keepdim=True)
    return centred / (residual.var(-1, keepdim=True, unbiased=False).sqrt() + eps) * w + b


@norm.wrong(
    "std() + eps",
    "Two things differ: torch's .std() divides by n - 1 where LayerNorm divides by n, and eps belongs to the variance, "
    "under the root.",
)
def norm_std_plus_eps(residual, w, b, eps):
    return (residual - residual.mean(-1, keepdim=True)) / (residual.std(-1, keepdim=True) + eps) * w + b


@norm.wrong(
    "normalises over positions",
    "The mean and the variance were taken over the positions. Each position is normalised alone, over its own d_model "
    "numbers: the last axis.",
)
def norm_over_positions(residual, w, b, eps):
    mean, variance = residual.mean(1, keepdim=True), residual.var(1, keepdim=True, unbiased=False)
    return (residual - mean) / (variance + eps).sqrt() * w + b


@norm.wrong(
    "one mean for the whole tensor",
    "The mean and the variance were taken over all the numbers at once. Each position has its own: take them along the last axis, "
    "with dim=-1 and keepdim=True.",
)
def norm_over_everything(residual, w, b, eps):
    return (residual - residual.mean()) / (residual.var(unbiased=False) + eps).sqrt() * w + b


@norm.wrong(
    "an eps of its own",
    "Your eps is 1e-5, whatever is given. That is code-2l's; another model has another. Use the argument eps.",
)
def norm_fixed_eps(residual, w, b, eps):
    return torch_layernorm(residual, w, b, 1e-5)


@norm.wrong("forgets the bias", "Your answer is right up to adding b, the last step.")
def norm_no_bias(residual, w, b, eps):
    return torch_layernorm(residual, w, torch.zeros_like(b), eps)


@norm.wrong(
    "does not centre",
    "The mean was not subtracted: you divided by the root of the mean square. That is RMSNorm, which newer models use; "
    "GPT-2 uses LayerNorm.",
)
def norm_rms(residual, w, b, eps):
    return residual / (residual.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w + b


@norm.wrong(
    "divides by the variance", "You divided by the variance. Divide by its square root, the standard deviation."
)
def norm_by_variance(residual, w, b, eps):
    variance, mean = torch.var_mean(residual, -1, keepdim=True, unbiased=False)
    return (residual - mean) / (variance + eps) * w + b


@norm.variation("torch's own layer_norm")
def norm_functional(residual, w, b, eps):
    return F.layer_norm(residual, (residual.shape[-1],), w, b, eps)


@norm.variation("one position after the other, in float64")
def norm_loop(residual, w, b, eps):
    out = torch.empty_like(residual)
    for i in range(residual.shape[0]):
        for j in range(residual.shape[1]):
            x = residual[i, j].double()
            centred = x - x.sum() / len(x)
            out[i, j] = (centred * torch.rsqrt((centred**2).sum() / len(x) + eps) * w + b).float()
    return out


# --- embed ----------------------------------------------------------------------------------------------------------

embedding = Exercise("embed")


@embedding.check("token 2 at position 1 gets row 2 of W_E plus row 1 of W_pos")
def embed_by_hand(answer, draw):
    W_E = torch.tensor([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    W_pos = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0], [0.0, 5.0]])
    out = answer(torch.tensor([[1, 2, 2]]), W_E, W_pos)
    expect.close(out, torch.tensor([[[10.0, 1.0], [20.0, 2.0], [20.0, 3.0]]]))
    expect.close(
        answer(torch.tensor([[3]]), W_E, W_pos), torch.tensor([[[30.0, 1.0]]]), "the vectors of a single token"
    )


@embedding.check("every sequence of the batch starts at position 0")
def embed_batch(answer, draw):
    # The tokens are a transposed view: generate will pass a slice of a longer text, which is not contiguous either.
    tokens, W_E, W_pos = draw.integers(0, 9, 70, 3).T, draw.normal(9, 5), draw.normal(90, 5)
    out = answer(tokens, W_E, W_pos)
    expect.shape(out, (3, 70, 5), axes="batch pos d_model")
    expect.close(out, F.embedding(tokens, W_E) + W_pos[:70])


@embedding.check("a text of one token, and a text that fills all positions", hidden=True)
def embed_ends(answer, draw):
    W_E, W_pos = draw.normal(9, 5), draw.normal(200, 5)
    for pos in (1, 200):
        tokens = draw.integers(0, 9, 1, pos)
        expect.close(answer(tokens, W_E, W_pos), F.embedding(tokens, W_E) + W_pos[:pos], f"the result for {pos} tokens")


@embedding.check("one token at two positions differs by their position vectors alone", hidden=True)
def embed_difference(answer, draw):
    token, W_E, W_pos = draw.integer(0, 9), draw.normal(9, 5), draw.normal(12, 5)
    out = answer(torch.full((2, 12), token), W_E, W_pos)
    expect.close(out[:, 1:] - out[:, :-1], (W_pos[1:] - W_pos[:-1]).expand(2, 11, 5), "the difference of neighbours")


@embedding.wrong(
    "leaves out the positions",
    "Only the token's row is there. Without W_pos the model could not tell `a - b` from `b - a`: add the row of the "
    "position as well.",
)
def embed_no_positions(tokens, W_E, W_pos):
    return W_E[tokens]


@embedding.wrong(
    "looks positions up by token",
    "You took W_pos[tokens]. The row of W_pos depends on where the token stands, 0, 1, 2, …, and not on which token it is.",
)
def embed_positions_by_token(tokens, W_E, W_pos):
    return W_E[tokens] + W_pos[tokens.clamp(max=len(W_pos) - 1)]


@embedding.wrong(
    "counts positions from 1",
    "Your first token has row 1 of W_pos. Positions count from 0: take the first `pos` rows.",
)
def embed_from_one(tokens, W_E, W_pos):
    places = torch.arange(1, tokens.shape[1] + 1).clamp(max=len(W_pos) - 1)
    return W_E[tokens] + W_pos[places]


@embedding.wrong(
    "scales the embedding",
    "You multiplied the token's row by √d_model, as the paper of 2017 does. GPT-2 does not: add the two rows as they are.",
)
def embed_scaled(tokens, W_E, W_pos):
    return W_E[tokens] * W_E.shape[1] ** 0.5 + W_pos[: tokens.shape[1]]


@embedding.wrong(
    "puts the two rows side by side",
    "Your vectors are twice as long as d_model: you joined the two rows (torch.cat). They are added, number by number.",
)
def embed_joined(tokens, W_E, W_pos):
    rows = W_E[tokens]
    return torch.cat([rows, W_pos[: tokens.shape[1]].expand_as(rows)], dim=-1)


@embedding.variation("one-hot vectors times the matrices")
def embed_one_hot(tokens, W_E, W_pos):
    one_hot = F.one_hot(tokens, len(W_E)).to(W_E.dtype)
    places = torch.eye(len(W_pos))[: tokens.shape[1]]
    return one_hot @ W_E + places @ W_pos


@embedding.variation("F.embedding twice, with position numbers")
def embed_functional(tokens, W_E, W_pos):
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    return F.embedding(tokens, W_E) + F.embedding(positions, W_pos)


# --- attention_scores -----------------------------------------------------------------------------------------------

scores_ = Exercise("attention_scores")


def score_inputs(draw, batch=2, pos=5, d_model=6, n_heads=3, d_head=4):
    normed = draw.normal(batch, pos, d_model)
    W_Q, W_K = draw.normal(n_heads, d_model, d_head), draw.normal(n_heads, d_model, d_head)
    return normed, W_Q, draw.normal(n_heads, d_head), W_K, draw.normal(n_heads, d_head)


@scores_.check("query (2, 2), key (3, 1): the score is (2·3 + 2·1) / √2 = 5.66")
def scores_by_hand(answer, draw):
    # d_model = 2, one head of size 2; the matrices copy, so position 0's key and position 1's query can be read off.
    normed = torch.tensor([[[3.0, 1.0], [2.0, 2.0], [0.0, 0.0]]])
    eye, zero = torch.eye(2)[None], torch.zeros(1, 2)
    out = answer(normed, eye, zero, eye, zero)
    expect.shape(out, (1, 1, 3, 3), axes="batch head query key")
    expect.close(out[0, 0, 1, 0], 8 / math.sqrt(2), "the score of query 1 and key 0")


@scores_.check("each score is the query at one position times the key at another, divided by √d_head")
def scores_entry(answer, draw):
    normed, W_Q, b_Q, W_K, b_K = inputs = score_inputs(draw, n_heads=7)
    out = answer(*inputs)
    expect.shape(out, (2, 7, 5, 5), axes="batch head query key")
    for b, h, i, j in [(0, 0, 0, 0), (1, 2, 3, 1), (0, 1, 1, 4)]:
        query, key = normed[b, i] @ W_Q[h] + b_Q[h], normed[b, j] @ W_K[h] + b_K[h]
        what = f"the score of head {h}, query {i}, key {j} in sequence {b}"
        expect.close(out[b, h, i, j], float(sum(x * y for x, y in zip(query, key, strict=True))) / 2, what, atol=1e-4)
    expect.close(out, scores_by_head(*inputs), "the scores", atol=1e-4)


@scores_.check("a single text of a single position has one score for each head")
def scores_single(answer, draw):
    inputs = score_inputs(draw, batch=1, pos=1)
    out = answer(*inputs)
    expect.shape(out, (1, 3, 1, 1), axes="batch head query key")
    expect.close(out, scores_by_head(*inputs), "the scores", atol=1e-4)


@scores_.check("their softmax is what torch's scaled_dot_product_attention uses", hidden=True)
def scores_like_torch(answer, draw):
    normed, W_Q, b_Q, W_K, b_K = inputs = score_inputs(draw, batch=3, pos=40, d_model=8, n_heads=4, d_head=5)
    query, key = (
        torch.stack([F.linear(normed, W[h].T, b[h]) for h in range(4)], 1) for W, b in ((W_Q, b_Q), (W_K, b_K))
    )
    want = F.scaled_dot_product_attention(query, key, torch.eye(40).expand(3, 4, 40, 40))
    got = answer(*inputs)
    expect.shape(got, (3, 4, 40, 40), axes="batch head query key")
    expect.close(got.softmax(-1), want, "the softmax of the scores", atol=1e-4)


def scores_by_head(normed, W_Q, b_Q, W_K, b_K):
    """One head after the other, with linear layers."""
    heads = [
        F.linear(normed, W_Q[h].T, b_Q[h]) @ F.linear(normed, W_K[h].T, b_K[h]).mT / math.sqrt(W_Q.shape[-1])
        for h in range(len(W_Q))
    ]
    return torch.stack(heads, 1)


def plain_scores(normed, W_Q, b_Q, W_K, b_K):
    """Unscaled scores: what most wrong answers share."""
    query = torch.einsum("bqm,hmd->bhqd", normed, W_Q) + b_Q[:, None]
    key = torch.einsum("bkm,hmd->bhkd", normed, W_K) + b_K[:, None]
    return query @ key.mT


@scores_.wrong(
    "no scaling",
    "Your scores are √d_head times too large: divide by √d_head. Without it larger heads get larger scores, and a sharper softmax.",
)
def scores_unscaled(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, b_Q, W_K, b_K)


@scores_.wrong("divides by d_head", "You divided by d_head. Divide by its square root.")
def scores_by_d_head(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, b_Q, W_K, b_K) / W_Q.shape[-1]


@scores_.wrong(
    "scales by √d_model",
    "You divided by √d_model. Query and key are vectors of d_head numbers: divide by √d_head, the last axis of W_Q.",
)
def scores_by_d_model(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, b_Q, W_K, b_K) / W_Q.shape[1] ** 0.5


@scores_.wrong(
    "key and query swapped",
    "Rows and columns are exchanged: the row is the position that looks (query), the column the one it looks at (key). "
    "Either the last two axes are the wrong way round, or W_K and b_K made the queries.",
)
def scores_transposed(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, b_Q, W_K, b_K).mT / W_Q.shape[-1] ** 0.5


@scores_.wrong("forgets the biases", "Add b_Q to every query and b_K to every key before you multiply them.")
def scores_no_bias(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, 0 * b_Q, W_K, 0 * b_K) / W_Q.shape[-1] ** 0.5


@scores_.wrong("forgets b_K", "The keys lack their bias: add b_K to every key before you compare.")
def scores_no_key_bias(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, b_Q, W_K, 0 * b_K) / W_Q.shape[-1] ** 0.5


@scores_.wrong("forgets b_Q", "The queries lack their bias: add b_Q to every query before you compare.")
def scores_no_query_bias(normed, W_Q, b_Q, W_K, b_K):
    return plain_scores(normed, W_Q, 0 * b_Q, W_K, b_K) / W_Q.shape[-1] ** 0.5


@scores_.variation("a loop over heads")
def scores_loop(normed, W_Q, b_Q, W_K, b_K):
    heads = []
    for h in range(W_Q.shape[0]):
        query, key = normed @ W_Q[h] + b_Q[h], normed @ W_K[h] + b_K[h]
        heads.append(query @ key.transpose(-1, -2) / math.sqrt(W_Q.shape[-1]))
    return torch.stack(heads, dim=1)


@scores_.variation("scaled queries, in float64")
def scores_float64(normed, W_Q, b_Q, W_K, b_K):
    normed, W_Q, b_Q, W_K, b_K = (x.double() for x in (normed, W_Q, b_Q, W_K, b_K))
    query = (torch.einsum("bpm,hmd->bphd", normed, W_Q) + b_Q) * W_Q.shape[-1] ** -0.5
    key = torch.einsum("bpm,hmd->bphd", normed, W_K) + b_K
    return torch.einsum("bqhd,bkhd->bhqk", query, key).float()


# --- attention_pattern ----------------------------------------------------------------------------------------------

pattern_ = Exercise("attention_pattern")


@pattern_.check("each row (one query) sums to 1")
def pattern_rows(answer, draw):
    out = answer(draw.normal(2, 3, 5, 5, std=2))
    expect.shape(out, (2, 3, 5, 5), axes="batch head query key")
    expect.close(out.sum(-1), torch.ones(2, 3, 5), "the sum of each row")


@pattern_.check("no query sees a later key, and every query sees itself")
def pattern_causal(answer, draw):
    out = answer(draw.normal(1, 2, 4, 4))
    expect.finite(out)
    future = torch.ones(4, 4).triu(1).bool()
    expect.close(out[..., future], torch.zeros(1, 2, 6), "the attention to later keys")
    itself = out.diagonal(dim1=-2, dim2=-1)
    expect.true((itself > 0).all(), "Some query gives itself no attention. A token may look at itself.")
    expect.close(
        out[..., 0, 0], torch.ones(1, 2), "the first query's attention to itself", because="it sees nothing else"
    )


@pattern_.check("it equals torch's causal attention")
def pattern_like_torch(answer, draw):
    # A transposed view: what an einsum returns is often not contiguous either.
    scores = draw.normal(2, 3, 4, 4, std=2).mT
    expect.close(answer(scores), torch_pattern(scores))


@pattern_.check("a score of 0 counts like any other, and a single position attends to itself")
def pattern_zeros(answer, draw):
    out = answer(torch.tensor([[[[0.0, 9.0, 9.0], [1.0, 0.0, 9.0], [0.0, 0.0, 0.0]]]]))
    e = math.e
    want = torch.tensor([[[[1.0, 0.0, 0.0], [e / (e + 1), 1 / (e + 1), 0.0], [1 / 3, 1 / 3, 1 / 3]]]])
    expect.close(out, want)
    expect.close(answer(torch.zeros(1, 2, 1, 1)), torch.ones(1, 2, 1, 1), "the pattern of a single position")


@pattern_.check("scores of thousands, above or below 0: nothing overflows, and later keys still get 0")
def pattern_large(answer, draw):
    around = draw.integers(-2, 3, 1, 2, 5, 5).float()
    for level in (-3000.0, 3000.0):
        scores = (around + level).tril()
        what = f"the pattern of scores near {level:.0f}"
        expect.close(answer(scores), torch_pattern(scores), what, because="later keys have a score of 0 here")


@pattern_.check("the scores of later keys have no influence, however large", hidden=True)
def pattern_future(answer, draw):
    scores = draw.normal(2, 2, 40, 40)
    changed = scores + 50 * draw.uniform(2, 2, 40, 40).triu(1)
    expect.close(answer(changed), torch_pattern(scores), "the pattern after only the scores of later keys were raised")


def torch_pattern(scores):
    """Causal softmax by torch's fused attention: scores times the identity as queries and keys, the identity as values."""
    eye = torch.eye(scores.shape[-1]).expand_as(scores)
    return F.scaled_dot_product_attention(scores, eye, eye, is_causal=True, scale=1.0)


def later_keys(scores, diagonal=1):
    return torch.ones_like(scores).triu(diagonal).bool()


@pattern_.wrong(
    "softmax over the query axis",
    "Each *column* sums to 1: the softmax ran over the queries. A row is one query, and its attention to all keys sums to 1.",
)
def pattern_over_queries(scores):
    return scores.masked_fill(later_keys(scores), float("-inf")).softmax(-2)


@pattern_.wrong(
    "masks after the softmax",
    "You set later keys to 0 after the softmax, so the rows lost weight and no longer sum to 1. Mask the scores first.",
)
def pattern_mask_late(scores):
    return scores.softmax(-1).tril()


@pattern_.wrong(
    "masks the diagonal",
    "The mask also hides the token itself, and the first query is left with nothing: its row is 0/0. Hide the keys strictly "
    "above the diagonal: torch.triu(…, diagonal=1).",
)
def pattern_mask_diagonal(scores):
    return scores.masked_fill(later_keys(scores, 0), float("-inf")).softmax(-1)


@pattern_.wrong(
    "masks the past",
    "Your mask hides the earlier keys and shows the later ones. The query's row, the key's column: later keys lie above "
    "the diagonal.",
)
def pattern_mask_past(scores):
    return scores.masked_fill(torch.ones_like(scores).tril(-1).bool(), float("-inf")).softmax(-1)


@pattern_.wrong(
    "masks with 0",
    "You set the scores of later keys to 0, and exp(0) = 1, so they still get attention. Set them to minus infinity: "
    "exp(-inf) = 0.",
)
def pattern_mask_zero(scores):
    return scores.tril().softmax(-1)


@pattern_.wrong("no mask", "Every query sees every key, later ones too. Hide the later keys before the softmax.")
def pattern_no_mask(scores):
    return scores.softmax(-1)


@pattern_.wrong(
    "hides every score of 0",
    "A score that happens to be 0 was hidden as if its key came later. Make the mask from the places, not from the scores: "
    "torch.ones(n, n).triu(diagonal=1) is 1 where the key comes later.",
)
def pattern_hides_zeros(scores):
    visible = scores.tril()
    return visible.masked_fill(visible == 0, float("-inf")).softmax(-1)


@pattern_.wrong(
    "a mask that is not low enough",
    "Later keys got a low score, but here the others are lower still, so later keys win. "
    'Nothing is lower than minus infinity: float("-inf").',
)
def pattern_finite_mask(scores):
    return scores.masked_fill(later_keys(scores), -1000.0).softmax(-1)


@pattern_.wrong(
    "exp of large scores",
    "The formula is right on paper, but exp(3000) is infinite and exp(-3000) is 0 on a computer. Subtract each row's maximum first "
    "(lesson 00), or use torch.softmax, which does.",
)
def pattern_overflow(scores):
    weight = scores.exp().tril()
    return weight / weight.sum(-1, keepdim=True)


@pattern_.wrong(
    "softmax over the heads",
    "The softmax ran over axis 1, the heads. A row is one query of one head: the softmax runs over its keys, the last axis.",
)
def pattern_over_heads(scores):
    return scores.masked_fill(later_keys(scores), float("-inf")).softmax(1)


@pattern_.wrong(
    "softmax over the batch",
    "The softmax ran over axis 0, the texts of the batch. It runs over the keys, the last axis.",
)
def pattern_over_batch(scores):
    return scores.masked_fill(later_keys(scores), float("-inf")).softmax(0)


@pattern_.wrong(
    "returns logarithms",
    "You returned the logarithm of the pattern (log_softmax). Use softmax: later keys then have 0, not minus infinity.",
)
def pattern_log(scores):
    return scores.masked_fill(later_keys(scores), float("-inf")).log_softmax(-1)


@pattern_.variation("exponentials of the visible scores, divided by their sum")
def pattern_by_hand(scores):
    visible = torch.ones_like(scores).tril().bool()
    top = torch.where(visible, scores, float("-inf")).amax(-1, keepdim=True)
    weight = torch.where(visible, (scores - top).clamp(max=0).exp(), 0.0)
    return weight / weight.sum(-1, keepdim=True)


@pattern_.variation("one query after the other")
def pattern_loop(scores):
    out = torch.zeros_like(scores)
    for query in range(scores.shape[-1]):
        out[..., query, : query + 1] = torch.softmax(scores[..., query, : query + 1], dim=-1)
    return out


@pattern_.variation("a large negative number for minus infinity")
def pattern_large_negative(scores):
    n = scores.shape[-1]
    mask = torch.arange(n)[None, :] > torch.arange(n)[:, None]
    return torch.where(mask, torch.full_like(scores, -1e6), scores).softmax(dim=-1)


# --- attention_output -----------------------------------------------------------------------------------------------

output_ = Exercise("attention_output")


def output_inputs(draw, batch=2, pos=4, d_model=6, n_heads=3, d_head=5):
    normed, pattern = draw.normal(batch, pos, d_model), torch_pattern(draw.normal(batch, n_heads, pos, pos, std=2))
    W_V, W_O = draw.normal(n_heads, d_model, d_head), draw.normal(n_heads, d_head, d_model)
    return normed, pattern, W_V, draw.normal(n_heads, d_head), W_O, draw.normal(d_model)


def concatenated(normed, pattern, W_V, b_V, W_O, b_O):
    """Multi-head attention as the paper of 2017 writes it: all z side by side, times one large matrix."""
    z = [pattern[:, h] @ F.linear(normed, W_V[h].T, b_V[h]) for h in range(len(W_V))]
    return F.linear(torch.cat(z, -1), W_O.flatten(0, 1).T, b_O)


@output_.check("a head that attends to position 0 moves position 0's value everywhere")
def output_by_hand(answer, draw):
    normed = torch.tensor([[[5.0, 7.0], [1.0, 2.0], [3.0, 4.0]]])
    pattern = torch.zeros(1, 1, 3, 3)
    pattern[..., 0] = 1.0
    eye, b_O = torch.eye(2)[None], torch.tensor([100.0, 200.0])
    out = answer(normed, pattern, eye, torch.zeros(1, 2), eye, b_O)
    expect.close(out, torch.tensor([[[105.0, 207.0]] * 3]))


@output_.check("the heads' outputs are summed: the same as side by side, times one large matrix")
def output_like_paper(answer, draw):
    inputs = output_inputs(draw, n_heads=7)
    out = answer(*inputs)
    expect.shape(out, (2, 4, 6), axes="batch pos d_model")
    expect.close(out, concatenated(*inputs), atol=1e-4)


@output_.check("a single text of a single position works too")
def output_single(answer, draw):
    inputs = output_inputs(draw, batch=1, pos=1)
    out = answer(*inputs)
    expect.shape(out, (1, 1, 6), axes="batch pos d_model")
    expect.close(out, concatenated(*inputs), atol=1e-4)


@output_.check("the order of the heads does not matter", hidden=True)
def output_permuted(answer, draw):
    normed, pattern, W_V, b_V, W_O, b_O = inputs = output_inputs(draw, pos=40, n_heads=4, d_head=3)
    order = draw.permutation(4)
    permuted = answer(normed, pattern[:, order], W_V[order], b_V[order], W_O[order], b_O)
    expect.close(permuted, concatenated(*inputs), "the output after the heads were reordered", atol=1e-4)


def z_of(normed, pattern, W_V, b_V):
    value = torch.einsum("bpm,hmd->bhpd", normed, W_V) + b_V[:, None]
    return pattern @ value


@output_.wrong(
    "adds b_O once for each head",
    "b_O is there as many times as there are heads. The layer has one b_O: add it after the sum over heads.",
)
def output_bias_each_head(normed, pattern, W_V, b_V, W_O, b_O):
    heads = z_of(normed, pattern, W_V, b_V) @ W_O + b_O
    # With one head this is right; the check with several heads tells them apart.
    return heads.sum(1)


@output_.wrong(
    "averages the heads", "You took the mean over the heads. Each head adds its output to the stream: sum them."
)
def output_mean(normed, pattern, W_V, b_V, W_O, b_O):
    return (z_of(normed, pattern, W_V, b_V) @ W_O).mean(1) + b_O


@output_.wrong("forgets b_V", "Add b_V to every value before the pattern mixes them.")
def output_no_b_v(normed, pattern, W_V, b_V, W_O, b_O):
    return (z_of(normed, pattern, W_V, 0 * b_V) @ W_O).sum(1) + b_O


@output_.wrong("forgets b_O", "Your answer is right up to adding b_O, the last step.")
def output_no_b_o(normed, pattern, W_V, b_V, W_O, b_O):
    return (z_of(normed, pattern, W_V, b_V) @ W_O).sum(1)


@output_.wrong(
    "sums over the query axis",
    "You summed the pattern over its queries: information moved from the position that looks to the one looked at. "
    "For each query, sum over the keys.",
)
def output_transposed(normed, pattern, W_V, b_V, W_O, b_O):
    return (z_of(normed, pattern.mT, W_V, b_V) @ W_O).sum(1) + b_O


@output_.variation("side by side, one large matrix")
def output_concatenated(normed, pattern, W_V, b_V, W_O, b_O):
    return concatenated(normed, pattern, W_V, b_V, W_O, b_O)


@output_.variation("W_V W_O first, then the pattern")
def output_ov_first(normed, pattern, W_V, b_V, W_O, b_O):
    moved = torch.einsum("bkm,hmn->bhkn", normed, W_V @ W_O) + (b_V[:, None] @ W_O)
    return torch.einsum("bhqk,bhkn->bqn", pattern, moved) + b_O


@output_.variation("a loop over heads")
def output_loop(normed, pattern, W_V, b_V, W_O, b_O):
    out = b_O.expand(normed.shape).clone()
    for h in range(W_V.shape[0]):
        out = out + pattern[:, h] @ (normed @ W_V[h] + b_V[h]) @ W_O[h]
    return out


# --- mlp ------------------------------------------------------------------------------------------------------------

mlp_ = Exercise("mlp")


def mlp_inputs(draw, batch=2, pos=3, d_model=4, d_mlp=9):
    return (
        draw.normal(batch, pos, d_model),
        draw.normal(d_model, d_mlp),
        draw.normal(d_mlp),
        draw.normal(d_mlp, d_model),
        draw.normal(d_model),
    )


def torch_mlp(normed, W_in, b_in, W_out, b_out):
    return F.linear(F.gelu(F.linear(normed, W_in.T, b_in), approximate="tanh"), W_out.T, b_out)


@mlp_.check("with one neuron and weights of 1, it is the curve gelu_new itself, from -30 to 30")
def mlp_curve(answer, draw):
    x = torch.cat([torch.linspace(-2, 2, 9), torch.tensor([-30.0, -12.0, 12.0, 30.0])]).reshape(1, 13, 1)
    one, zero = torch.ones(1, 1), torch.zeros(1)
    expect.close(answer(x, one, zero, one, zero), F.gelu(x, approximate="tanh"), atol=1e-6, rtol=1e-5)


@mlp_.check("it equals the same layers made with torch")
def mlp_like_torch(answer, draw):
    for batch, pos in ((2, 3), (1, 1)):
        inputs = mlp_inputs(draw, batch, pos)
        out = answer(*inputs)
        expect.shape(out, (batch, pos, 4), axes="batch pos d_model")
        expect.close(out, torch_mlp(*inputs), atol=2e-5)


@mlp_.check("each position is worked on alone: in another order, the same results in that order", hidden=True)
def mlp_alone(answer, draw):
    normed, *rest = mlp_inputs(draw, pos=7)
    order = draw.permutation(7)
    expect.close(answer(normed[:, order], *rest), torch_mlp(normed, *rest)[:, order], atol=2e-5)


@mlp_.wrong(
    "ReLU for GELU",
    "You used ReLU: exactly 0 below zero. gelu_new is rounded, and slightly negative between about -3 and 0.",
)
def mlp_relu(normed, W_in, b_in, W_out, b_out):
    return (normed @ W_in + b_in).relu() @ W_out + b_out


@mlp_.wrong(
    "the exact GELU",
    "You used the exact GELU, which differs from gelu_new by up to 0.0005. GPT-2 uses the tanh formula, and so does our model: "
    'F.gelu(x, approximate="tanh").',
)
def mlp_exact_gelu(normed, W_in, b_in, W_out, b_out):
    return F.gelu(normed @ W_in + b_in) @ W_out + b_out


@mlp_.wrong(
    "the sigmoid approximation",
    "You used x · sigmoid(1.702 x), the quick GELU of some other models. gelu_new is the tanh formula.",
)
def mlp_quick_gelu(normed, W_in, b_in, W_out, b_out):
    pre = normed @ W_in + b_in
    return (pre * torch.sigmoid(1.702 * pre)) @ W_out + b_out


@mlp_.wrong(
    "no activation",
    "There is no bend between the two matrices. Two matrices in a row are one matrix: the layer could compute nothing new.",
)
def mlp_linear(normed, W_in, b_in, W_out, b_out):
    return (normed @ W_in + b_in) @ W_out + b_out


@mlp_.wrong(
    "activation at the end",
    "The GELU came after W_out. It belongs between the matrices; what the MLP adds to the stream may have any sign.",
)
def mlp_late_gelu(normed, W_in, b_in, W_out, b_out):
    return F.gelu((normed @ W_in + b_in) @ W_out + b_out, approximate="tanh")


@mlp_.wrong(
    "tanh by exponentials that overflow",
    "The formula for tanh is right on paper, but exp of a large number is infinite, and infinity over infinity is not a number. "
    "Use torch.tanh.",
)
def mlp_tanh_by_hand(normed, W_in, b_in, W_out, b_out):
    pre = normed @ W_in + b_in
    inside = math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)
    return 0.5 * pre * (1 + ((2 * inside).exp() - 1) / ((2 * inside).exp() + 1)) @ W_out + b_out


@mlp_.wrong("forgets b_in", "Add b_in to what W_in gives, before the curve: each neuron has a threshold of its own.")
def mlp_no_b_in(normed, W_in, b_in, W_out, b_out):
    return torch_mlp(normed, W_in, 0 * b_in, W_out, b_out)


@mlp_.wrong("forgets b_out", "Your answer is right up to adding b_out, the last step.")
def mlp_no_b_out(normed, W_in, b_in, W_out, b_out):
    return torch_mlp(normed, W_in, b_in, W_out, 0 * b_out)


@mlp_.variation("torch's gelu and linear")
def mlp_functional(normed, W_in, b_in, W_out, b_out):
    return torch_mlp(normed, W_in, b_in, W_out, b_out)


@mlp_.variation("neuron by neuron")
def mlp_neurons(normed, W_in, b_in, W_out, b_out):
    out = torch.zeros_like(normed) + b_out
    for n in range(W_in.shape[1]):
        pre = normed @ W_in[:, n] + b_in[n]
        post = pre * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3))
        out = out + post[..., None] * W_out[n]
    return out


# --- models to check the whole with ---------------------------------------------------------------------------------


def small_model(draw, n_layers=2, d_model=12, n_heads=3, d_head=4, d_mlp=20, d_vocab=17, n_ctx=10, eps=1e-5):
    """Return random weights under TransformerLens' names, and their config."""
    config = models.Config(n_layers, d_model, n_heads, d_head, d_mlp, d_vocab, n_ctx, eps, act_fn="gelu_new")
    weights = {"embed.W_E": draw.normal(d_vocab, d_model), "pos_embed.W_pos": draw.normal(n_ctx, d_model)}
    for layer in range(n_layers):
        shapes = {
            **{f"attn.W_{x}": (n_heads, d_model, d_head) for x in "QKV"},
            **{f"attn.b_{x}": (n_heads, d_head) for x in "QKV"},
            "attn.W_O": (n_heads, d_head, d_model),
            "attn.b_O": (d_model,),
            "mlp.W_in": (d_model, d_mlp),
            "mlp.b_in": (d_mlp,),
            "mlp.W_out": (d_mlp, d_model),
            "mlp.b_out": (d_model,),
        }
        part = {name: draw.normal(*shape, std=0.5) for name, shape in shapes.items()}
        for ln in ("ln1", "ln2"):
            part |= {f"{ln}.w": 1 + draw.normal(d_model, std=0.5), f"{ln}.b": draw.normal(d_model, std=0.5)}
        weights |= {f"blocks.{layer}.{name}": value for name, value in part.items()}
    weights |= {"ln_final.w": 1 + draw.normal(d_model, std=0.5), "ln_final.b": draw.normal(d_model, std=0.5)}
    return weights | {"unembed.W_U": draw.normal(d_model, d_vocab)}, config


def torch_block(weights, layer, eps):
    """Return the block as torch's own TransformerEncoderLayer (norm first, causal when called), with these weights."""

    def part(name):
        return weights[f"blocks.{layer}.{name}"]

    n_heads, d_model, _ = part("attn.W_Q").shape
    block = torch.nn.TransformerEncoderLayer(
        d_model,
        n_heads,
        part("mlp.b_in").shape[0],
        dropout=0.0,
        activation=functools.partial(F.gelu, approximate="tanh"),
        layer_norm_eps=eps,
        batch_first=True,
        norm_first=True,
    )
    state = {
        "self_attn.in_proj_weight": torch.cat([part(f"attn.W_{x}").mT.flatten(0, 1) for x in "QKV"]),
        "self_attn.in_proj_bias": torch.cat([part(f"attn.b_{x}").flatten() for x in "QKV"]),
        "self_attn.out_proj.weight": part("attn.W_O").flatten(0, 1).T,
        "self_attn.out_proj.bias": part("attn.b_O"),
        "linear1.weight": part("mlp.W_in").T,
        "linear1.bias": part("mlp.b_in"),
        "linear2.weight": part("mlp.W_out").T,
        "linear2.bias": part("mlp.b_out"),
    }
    for ours, theirs in (("ln1", "norm1"), ("ln2", "norm2")):
        state |= {f"{theirs}.weight": part(f"{ours}.w"), f"{theirs}.bias": part(f"{ours}.b")}
    block.load_state_dict(state)
    return block.eval()


@torch.no_grad()
def torch_blocks(residual, weights, layers, eps):
    mask = torch.nn.Transformer.generate_square_subsequent_mask(residual.shape[1])
    for layer in layers:
        residual = torch_block(weights, layer, eps)(residual, src_mask=mask, is_causal=True)
    return residual


def torch_transformer(tokens, weights, config):
    """Return the logits by torch's own layers: independent of every answer of the lab."""
    residual = F.embedding(tokens, weights["embed.W_E"]) + weights["pos_embed.W_pos"][: tokens.shape[1]]
    residual = torch_blocks(residual, weights, range(config.n_layers), config.eps)
    final = F.layer_norm(residual, (config.d_model,), weights["ln_final.w"], weights["ln_final.b"], config.eps)
    return final @ weights["unembed.W_U"]


# --- transformer_block ----------------------------------------------------------------------------------------------

block_ = Exercise("transformer_block")


@block_.check("it equals torch's TransformerEncoderLayer with norm_first=True, for any block and the eps that is given")
def block_like_torch(answer, draw):
    weights, _ = small_model(draw, n_layers=4)
    for layer, batch, eps in ((0, 2, 1e-5), (3, 1, 0.1)):
        residual = draw.normal(batch, 5, 12, std=2)
        out = answer(residual, weights, layer, eps)
        expect.shape(out, (batch, 5, 12), axes="batch pos d_model")
        what = f"the stream after block {layer}, with eps = {eps}"
        expect.close(out, torch_blocks(residual, weights, [layer], eps), what, atol=1e-4)


@block_.check("with W_O, W_out and their biases at 0, the stream passes through unchanged")
def block_passes_through(answer, draw):
    (weights, _), residual = small_model(draw), draw.normal(1, 4, 12, std=3)
    for name in ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out"):
        weights[f"blocks.0.{name}"] = torch.zeros_like(weights[f"blocks.0.{name}"])
    expect.close(
        answer(residual, weights, 0, 1e-5),
        residual,
        "the stream",
        because="attention and MLP add nothing, so nothing may change",
    )


@block_.check("changing the last position changes no earlier one", hidden=True)
def block_causal(answer, draw):
    (weights, _), residual = small_model(draw, d_model=10, n_heads=5, d_head=2), draw.normal(2, 40, 10)
    changed = residual.clone()
    changed[:, -1] += 3
    want = torch_blocks(residual, weights, [1], 1e-5)[:, :-1]
    expect.close(answer(changed, weights, 1, 1e-5)[:, :-1], want, "the stream before the changed position", atol=1e-4)


def normed_by(residual, weights, layer, ln, eps):
    return reference("layernorm")(residual, weights[f"blocks.{layer}.{ln}.w"], weights[f"blocks.{layer}.{ln}.b"], eps)


def attention_of(normed, weights, layer):
    """What attention adds to the stream, given the normalised stream."""
    w = {x: weights[f"blocks.{layer}.attn.{x}"] for x in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O", "b_O")}
    scores = reference("attention_scores")(normed, w["W_Q"], w["b_Q"], w["W_K"], w["b_K"])
    pattern = reference("attention_pattern")(scores)
    return reference("attention_output")(normed, pattern, w["W_V"], w["b_V"], w["W_O"], w["b_O"])


def mlp_of(normed, weights, layer):
    return torch_mlp(normed, *(weights[f"blocks.{layer}.mlp.{x}"] for x in ("W_in", "b_in", "W_out", "b_out")))


@block_.wrong(
    "post-norm",
    "You normalise after each addition, as the paper of 2017 does. GPT-2 normalises what a layer *reads*; the stream itself "
    "is never normalised inside a block.",
)
def block_post_norm(residual, weights, layer, eps):
    residual = normed_by(residual + attention_of(residual, weights, layer), weights, layer, "ln1", eps)
    return normed_by(residual + mlp_of(residual, weights, layer), weights, layer, "ln2", eps)


@block_.wrong(
    "overwrites the stream",
    "The output of each layer replaces the stream. It is added: residual = residual + what the layer computed.",
)
def block_overwrite(residual, weights, layer, eps):
    residual = attention_of(normed_by(residual, weights, layer, "ln1", eps), weights, layer)
    return mlp_of(normed_by(residual, weights, layer, "ln2", eps), weights, layer)


@block_.wrong(
    "adds to the normalised stream",
    "You replaced the stream by its normalised copy and added to that. Keep the stream as it is; only the layer reads the "
    "normalised copy.",
)
def block_adds_to_normed(residual, weights, layer, eps):
    normed = normed_by(residual, weights, layer, "ln1", eps)
    residual = normed + attention_of(normed, weights, layer)
    normed = normed_by(residual, weights, layer, "ln2", eps)
    return normed + mlp_of(normed, weights, layer)


@block_.wrong(
    "the MLP reads the old stream",
    "Your MLP reads the stream from before attention, in parallel with it. Some models do that; in GPT-2 the MLP reads the "
    "stream after attention has added to it.",
)
def block_parallel(residual, weights, layer, eps):
    attention = attention_of(normed_by(residual, weights, layer, "ln1", eps), weights, layer)
    return residual + attention + mlp_of(normed_by(residual, weights, layer, "ln2", eps), weights, layer)


@block_.wrong("ln1 twice", "The MLP's LayerNorm has weights of its own: ln2.w and ln2.b.")
def block_ln1_twice(residual, weights, layer, eps):
    residual = residual + attention_of(normed_by(residual, weights, layer, "ln1", eps), weights, layer)
    return residual + mlp_of(normed_by(residual, weights, layer, "ln1", eps), weights, layer)


@block_.wrong(
    "no LayerNorm", "Attention and the MLP read the stream as it is. Each of them reads a normalised copy: ln1, ln2."
)
def block_no_norm(residual, weights, layer, eps):
    residual = residual + attention_of(residual, weights, layer)
    return residual + mlp_of(residual, weights, layer)


@block_.wrong(
    "no ln1", "Your attention reads the stream as it is. It reads a normalised copy: layernorm with ln1.w and ln1.b."
)
def block_no_ln1(residual, weights, layer, eps):
    residual = residual + attention_of(residual, weights, layer)
    return residual + mlp_of(normed_by(residual, weights, layer, "ln2", eps), weights, layer)


@block_.wrong(
    "no ln2", "Your MLP reads the stream as it is. It reads a normalised copy: layernorm with ln2.w and ln2.b."
)
def block_no_ln2(residual, weights, layer, eps):
    residual = residual + attention_of(normed_by(residual, weights, layer, "ln1", eps), weights, layer)
    return residual + mlp_of(residual, weights, layer)


@block_.wrong(
    "an eps of its own",
    "Your LayerNorms use an eps of 1e-5, whatever is given. Pass the argument eps on to layernorm.",
)
def block_fixed_eps(residual, weights, layer, eps):
    return block_mid(residual, weights, layer, 1e-5)


@block_.wrong(
    "always block 0",
    "Your function used block 0's weights, whatever layer is given. part(…) picks the weights of the block that is asked for.",
)
def block_zero(residual, weights, layer, eps):
    return block_mid(residual, weights, 0, eps)


@block_.variation("names for the middle of the stream")
def block_mid(residual, weights, layer, eps):
    resid_mid = residual + attention_of(normed_by(residual, weights, layer, "ln1", eps), weights, layer)
    mlp_out = mlp_of(normed_by(resid_mid, weights, layer, "ln2", eps), weights, layer)
    return resid_mid + mlp_out


@block_.variation("torch's own encoder layer")
def block_torch(residual, weights, layer, eps):
    return torch_blocks(residual, weights, [layer], eps)


# --- transformer ----------------------------------------------------------------------------------------------------

whole = Exercise("transformer")
REAL = "code-2l"


@functools.cache
def real_model():
    """Return the bundled model's weights and config, and the model itself in TransformerLens (imported here, once)."""
    return models.weights(REAL), models.config(REAL), models.load(REAL)


@functools.cache
def real_tokens():
    """Return windows of held-out Python files, a BOS token first, as long as the context: shape (12, 256)."""
    tokenizer, n_ctx = models.tokenizer(REAL), models.config(REAL).n_ctx
    streams = (tokenizer.encode(text) for _, text in tasks.sample())
    end = 199 + n_ctx
    return torch.stack([torch.cat([s[:1], s[200:end]]) for s in streams if len(s) > end][:12])


@whole.check("a small random model of three blocks: the same logits as the model made of torch's own layers")
def whole_like_torch(answer, draw):
    weights, config = small_model(draw, n_layers=3, eps=0.1)
    tokens = draw.integers(0, 17, 2, 6)
    out = answer(tokens, weights, config)
    expect.shape(out, (2, 6, 17), "the logits", "batch pos d_vocab")
    expect.close(out, torch_transformer(tokens, weights, config), "the logits", atol=1e-4)


@whole.check("the real model code-2l, on 256 tokens: TransformerLens gives the same logits, to 0.0001")
def whole_like_transformer_lens(answer, draw):
    weights, config, model = real_model()
    tokens = real_tokens()[draw.permutation(12)[:1]]
    with torch.no_grad():
        want = model(tokens)
    expect.close(answer(tokens, weights, config), want, "the logits", atol=1e-4, rtol=0)


@whole.check("a model of one block, and one of four, with the sizes that its config gives", hidden=True)
def whole_depths(answer, draw):
    for n_layers in (1, 4):
        weights, config = small_model(draw, n_layers=n_layers, d_model=8, n_heads=2, eps=0.01)
        tokens = draw.integers(0, 17, 3, 8)
        what = f"the logits of a model with n_layers = {n_layers}"
        expect.close(answer(tokens, weights, config), torch_transformer(tokens, weights, config), what, atol=1e-4)


@whole.check("changing the last token changes no earlier logits", hidden=True)
def whole_causal(answer, draw):
    weights, config = small_model(draw, d_model=8, n_heads=2)
    tokens = draw.integers(0, 17, 3, 8)
    want = torch_transformer(tokens, weights, config)
    tokens[:, -1] = (tokens[:, -1] + 1) % 17
    got = answer(tokens, weights, config)[:, :-1]
    expect.close(got, want[:, :-1], "the logits before the changed token", atol=1e-4)


def stream_of(tokens, weights, config, layers):
    residual = reference("embed")(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
    for layer in layers:
        residual = reference("transformer_block")(residual, weights, layer, config.eps)
    return residual


def final_norm(residual, weights, config):
    return reference("layernorm")(residual, weights["ln_final.w"], weights["ln_final.b"], config.eps)


@whole.wrong(
    "forgets the final LayerNorm",
    "The stream goes into W_U as it is. Between the last block and W_U stands ln_final.",
)
def whole_no_final_norm(tokens, weights, config):
    return stream_of(tokens, weights, config, range(config.n_layers)) @ weights["unembed.W_U"]


@whole.wrong(
    "returns probabilities",
    "Your rows sum to 1: you applied a softmax. Return the logits themselves; temperature and loss need them.",
)
def whole_softmax(tokens, weights, config):
    stream = stream_of(tokens, weights, config, range(config.n_layers))
    return (final_norm(stream, weights, config) @ weights["unembed.W_U"]).softmax(-1)


@whole.wrong(
    "unembeds with W_E",
    "You used W_E, transposed. In code-2l that is the same matrix (the two are tied), in other models it is not: use unembed.W_U.",
)
def whole_tied(tokens, weights, config):
    return (
        final_norm(stream_of(tokens, weights, config, range(config.n_layers)), weights, config) @ weights["embed.W_E"].T
    )


@whole.wrong(
    "the same block every time", "Every pass uses block 0's weights. Pass the loop's layer number on to the block."
)
def whole_same_block(tokens, weights, config):
    stream = stream_of(tokens, weights, config, [0] * config.n_layers)
    return final_norm(stream, weights, config) @ weights["unembed.W_U"]


@whole.wrong("one block only", "Only block 0 ran. Run all config.n_layers blocks, one after the other.")
def whole_one_block(tokens, weights, config):
    return final_norm(stream_of(tokens, weights, config, [0]), weights, config) @ weights["unembed.W_U"]


@whole.wrong(
    "the blocks in reverse",
    "The blocks ran from the last to the first. Block 0 reads the embedding, block 1 reads what block 0 left.",
)
def whole_reversed(tokens, weights, config):
    stream = stream_of(tokens, weights, config, reversed(range(config.n_layers)))
    return final_norm(stream, weights, config) @ weights["unembed.W_U"]


@whole.wrong(
    "two blocks, whatever the config says",
    "Two blocks ran, and this model has three. How many there are is config.n_layers, of the config that your function is given.",
)
def whole_two_blocks(tokens, weights, config):
    return final_norm(stream_of(tokens, weights, config, [0, 1]), weights, config) @ weights["unembed.W_U"]


@whole.wrong(
    "an eps of its own",
    "Your LayerNorms use an eps of 1e-5; this model has another one. It is config.eps, of the config that your function is given.",
)
def whole_fixed_eps(tokens, weights, config):
    return whole_loop(tokens, weights, dataclasses.replace(config, eps=1e-5))


@whole.wrong(
    "the notebook's own config",
    "Your function works for code-2l only: two blocks, eps 1e-5. This model has three blocks and another eps. "
    "Use the config that the function is given.",
)
def whole_own_config(tokens, weights, config):
    return whole_loop(tokens, weights, dataclasses.replace(config, n_layers=2, eps=1e-5))


@whole.wrong(
    "the blocks' results are lost",
    "What comes out of W_U is the embedding, as if no block had run. transformer_block returns the new stream: "
    "go on with what it returns, residual = transformer_block(…).",
)
def whole_not_reassigned(tokens, weights, config):
    return final_norm(stream_of(tokens, weights, config, []), weights, config) @ weights["unembed.W_U"]


@whole.variation("torch's own layers")
def whole_torch(tokens, weights, config):
    return torch_transformer(tokens, weights, config)


@whole.variation("one sequence after the other")
def whole_loop(tokens, weights, config):
    rows = []
    for row in tokens:
        stream = stream_of(row[None], weights, config, range(config.n_layers))
        rows.append(final_norm(stream, weights, config)[0] @ weights["unembed.W_U"])
    return torch.stack(rows)


# --- with_temperature -----------------------------------------------------------------------------------------------

temperature_ = Exercise("with_temperature")


@temperature_.check("at temperature 1 it is the softmax; at 1/2 every probability is squared, then all are rescaled")
def temperature_by_hand(answer, draw):
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log() + 5
    expect.close(answer(logits, 1.0), torch.tensor([[0.6, 0.3, 0.1]]), "the probabilities at temperature 1")
    squared = torch.tensor([[0.36, 0.09, 0.01]]) / 0.46
    expect.close(answer(logits, 0.5), squared, "the probabilities at temperature 0.5")


@temperature_.check("each row sums to 1, and a high temperature makes it flatter")
def temperature_flatter(answer, draw):
    logits = draw.normal(3, 7, std=2)
    hot, cold = answer(logits, 4.0), answer(logits, 0.7)
    expect.shape(hot, (3, 7), axes="batch d_vocab")
    expect.close(hot.sum(-1), torch.ones(3), "the sum of each row at temperature 4")
    expect.close(cold.sum(-1), torch.ones(3), "the sum of each row at temperature 0.7")
    highest = f"{float(hot[0].max()):.2f} at temperature 4 and {float(cold[0].max()):.2f} at 0.7"
    expect.true(
        (hot.amax(-1) < cold.amax(-1)).all(),
        f"The highest probability is {highest}; it should be lower at temperature 4.",
    )


@temperature_.check("temperatures of 0.05 and 10, over a vocabulary of 1,000")
def temperature_extreme(answer, draw):
    logits = draw.normal(2, 1000, std=0.5)
    for temperature in (0.05, 10.0):
        what = f"the probabilities at temperature {temperature}"
        expect.close(answer(logits, temperature), exact_softmax(logits, temperature), what, atol=1e-6, rtol=1e-3)


@temperature_.check("logits of hundreds do not overflow")
def temperature_large(answer, draw):
    logits = draw.normal(4, 9, std=200)
    expect.close(answer(logits, 0.8), exact_softmax(logits, 0.8))


@temperature_.check("any temperature", hidden=True)
def temperature_any(answer, draw):
    logits = draw.normal(1, 9, std=20)
    for temperature in draw.uniform(6, low=-1.2, high=1.2).tolist():
        warm = 10**temperature
        expect.close(answer(logits, warm), exact_softmax(logits, warm), f"the probabilities at temperature {warm:.2f}")


def exact_softmax(logits, temperature):
    return F.log_softmax(logits.double() / temperature, -1).exp().float()


@temperature_.wrong(
    "multiplies by the temperature",
    "A high temperature sharpens your distribution. Divide the logits by the temperature: hot means flat.",
)
def temperature_multiplied(logits, temperature):
    return torch.softmax(logits * temperature, -1)


@temperature_.wrong(
    "divides the probabilities",
    "You divided the probabilities, so they no longer sum to 1. Divide the logits, then take the softmax.",
)
def temperature_after(logits, temperature):
    return torch.softmax(logits, -1) / temperature


@temperature_.wrong(
    "the temperature has no effect",
    "Every temperature gives you the same probabilities. Either it is not used, or it divides the probabilities, after the softmax, "
    "and the rescaling takes it out again. Divide the logits.",
)
def temperature_ignored(logits, temperature):
    return torch.softmax(logits, -1)


@temperature_.wrong(
    "returns logits",
    "You returned logits divided by the temperature. One step is missing: the softmax that makes them probabilities.",
)
def temperature_logits(logits, temperature):
    return logits / temperature


@temperature_.wrong(
    "returns logarithms",
    "You returned log-probabilities (log_softmax). Nothing can be drawn from them: return the probabilities, softmax.",
)
def temperature_log(logits, temperature):
    return (logits / temperature).log_softmax(-1)


@temperature_.wrong(
    "softmax over the batch",
    "The softmax ran over axis 0, the texts of the batch. It runs over the tokens of the vocabulary, the last axis.",
)
def temperature_over_batch(logits, temperature):
    return (logits / temperature).softmax(0)


@temperature_.wrong(
    "exp of large logits",
    "The formula is right on paper, but exp of a logit in the hundreds is infinite. Subtract each row's maximum first (lesson 00), "
    "or use softmax, which does.",
)
def temperature_overflow(logits, temperature):
    weight = (logits / temperature).exp()
    return weight / weight.sum(-1, keepdim=True)


@temperature_.wrong(
    "powers of probabilities",
    "p to the power 1/T, rescaled, is right on paper. But 0.001 to the power 20 is smaller than a float32 can hold, and becomes 0. "
    "Divide the logits before the softmax: they are logarithms.",
)
def temperature_underflow(logits, temperature):
    weight = logits.softmax(-1) ** (1 / temperature)
    return weight / weight.sum(-1, keepdim=True)


@temperature_.variation("probabilities to the power of 1/T, rescaled, in float64")
def temperature_power(logits, temperature):
    log_probabilities = logits.double().log_softmax(-1) / temperature
    weight = (log_probabilities - log_probabilities.amax(-1, keepdim=True)).exp()
    return (weight / weight.sum(-1, keepdim=True)).float()


@temperature_.variation("through the log-softmax")
def temperature_log_softmax(logits, temperature):
    return (logits / temperature).log_softmax(dim=-1).exp()


# --- top_k_filter ---------------------------------------------------------------------------------------------------

top_k_ = Exercise("top_k_filter")


@top_k_.check("of 0.1, 0.5, 0.15, 0.25 with k = 2, it keeps 0.5 and 0.25 and makes them 2/3 and 1/3")
def top_k_by_hand(answer, draw):
    out = answer(torch.tensor([[0.1, 0.5, 0.15, 0.25]]), 2)
    expect.close(out, torch.tensor([[0.0, 2 / 3, 0.0, 1 / 3]]))


@top_k_.check("each row keeps its own k most probable tokens, in their places, and sums to 1; all others are exactly 0")
def top_k_rows(answer, draw):
    probabilities = draw.normal(12, 9, std=2).softmax(-1)
    for k in (3, 9):
        out = answer(probabilities, k)
        expect.shape(out, (12, 9), axes="batch d_vocab")
        want = brute_top_k(probabilities, k)
        expect.close(out, want, f"the result for k = {k}")
        expect_nothing_else(out, want == 0)


@top_k_.check("any k, up to the whole vocabulary", hidden=True)
def top_k_any(answer, draw):
    probabilities = draw.normal(30, 200, std=2).softmax(-1)
    for k in (1, draw.integer(2, 100), draw.integer(100, 200), 200):
        want = brute_top_k(probabilities, k)
        out = answer(probabilities, k)
        expect.close(out, want, f"the result for k = {k}")
        expect_nothing_else(out, want == 0)


@top_k_.check("where tokens tie for the k-th place, at least k of them are left", hidden=True)
def top_k_ties(answer, draw):
    row = torch.tensor([0.3, 0.2, 0.2, 0.2, 0.1])[draw.permutation(5)]
    for k in (2, 3):
        out = answer(row[None], k)
        expect.shape(out, (1, 5), axes="batch d_vocab")
        kept = out[0] > 0
        expect.true(kept.sum() >= k, f"With k = {k}, {int(kept.sum())} of {row.tolist()} are left.")
        expect.true(kept[row > 0.25].all(), f"With k = {k}, the most probable of {row.tolist()} is gone.")
        expect.close(out[0], rescaled(row * (kept & (row > 0.15))), f"the result for k = {k}")
    half = torch.tensor([[0.0, 0.5, 0.0, 0.5]])
    expect.close(answer(half, 3), half, "the result for [0, 0.5, 0, 0.5] and k = 3")


def expect_nothing_else(out, dropped):
    """Expect exact zeros where a token was dropped: the smallest leftover would sooner or later be drawn."""
    left = out[dropped].abs()
    expect.true(
        (left == 0).all(),
        f"A token that should be gone still has probability {float(left.max()) if left.numel() else 0:.1e}. Give it exactly 0.",
    )


def brute_top_k(probabilities, k):
    """Token by token: kept where fewer than k tokens are more probable."""
    rank = (probabilities[..., None, :] > probabilities[..., None]).sum(-1)
    return rescaled(probabilities * (rank < k))


def rescaled(kept):
    return kept / kept.sum(-1, keepdim=True)


@top_k_.wrong(
    "does not rescale",
    "The right tokens are left, but they sum to less than 1. Divide by what is left, so that it is a distribution again.",
)
def top_k_unscaled(probabilities, k):
    top = probabilities.topk(k, -1)
    return torch.zeros_like(probabilities).scatter(-1, top.indices, top.values)


@top_k_.wrong("keeps the k least probable", "You kept the k smallest. Sort the other way round.")
def top_k_smallest(probabilities, k):
    top = probabilities.topk(k, -1, largest=False)
    kept = torch.zeros_like(probabilities).scatter(-1, top.indices, top.values)
    return kept / kept.sum(-1, keepdim=True)


@top_k_.wrong(
    "one threshold for the whole batch",
    "You used the k-th largest number of the first row for every row. Each row is a distribution of its own, with its own top k.",
)
def top_k_shared(probabilities, k):
    threshold = probabilities[0].topk(k).values[-1]
    kept = torch.where(probabilities >= threshold, probabilities, 0.0)
    return kept / kept.sum(-1, keepdim=True)


@top_k_.wrong(
    "drops the k-th",
    "You kept k - 1 tokens: the k-th is missing. It is as large as the threshold, if you compare with one: keep what is greater "
    "than *or equal to* it.",
)
def top_k_strict(probabilities, k):
    kept = torch.where(probabilities > probabilities.topk(k, -1).values[..., -1:], probabilities, 0.0)
    return kept / kept.sum(-1, keepdim=True)


@top_k_.wrong(
    "keeps one too many", "You kept k + 1 tokens. Counted from 0, the k largest of a sorted row are numbers 0 to k - 1."
)
def top_k_one_more(probabilities, k):
    ordered, where = probabilities.sort(-1, descending=True)
    ordered[..., k + 1 :] = 0
    return rescaled(torch.zeros_like(probabilities).scatter(-1, where, ordered))


@top_k_.wrong(
    "a second softmax",
    "The right tokens are left, but a softmax made them nearly equal. They are probabilities already: divide each row by its sum.",
)
def top_k_softmax(probabilities, k):
    threshold = probabilities.topk(k, -1).values[..., -1:]
    return probabilities.masked_fill(probabilities < threshold, float("-inf")).softmax(-1)


@top_k_.wrong(
    "loses the places",
    "You returned the probabilities from large to small. Entry 5 of the result must still be token 5: put them back in their places.",
)
def top_k_sorted(probabilities, k):
    ordered = probabilities.sort(-1, descending=True).values
    ordered[..., k:] = 0
    return ordered / ordered.sum(-1, keepdim=True)


@top_k_.variation("a threshold for each row")
def top_k_threshold(probabilities, k):
    threshold = probabilities.topk(k, -1).values[..., -1:]
    kept = probabilities.masked_fill(probabilities < threshold, 0)
    return kept / kept.sum(-1, keepdim=True)


@top_k_.variation("row by row")
def top_k_loop(probabilities, k):
    out = torch.zeros_like(probabilities)
    for row in range(len(probabilities)):
        best = probabilities[row].argsort(descending=True)[:k]
        out[row, best] = probabilities[row, best] / probabilities[row, best].sum()
    return out


# --- top_p_filter ---------------------------------------------------------------------------------------------------

top_p_ = Exercise("top_p_filter")


@top_p_.check("of 0.1, 0.5, 0.15, 0.25 with p = 0.7, it keeps 0.5 and 0.25; with p = 0.8, 0.15 as well")
def top_p_by_hand(answer, draw):
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    expect.close(answer(probabilities, 0.7), torch.tensor([[0.0, 2 / 3, 0.0, 1 / 3]]), "the result for p = 0.7")
    want = torch.tensor([[0.0, 5 / 9, 1.5 / 9, 2.5 / 9]])
    expect.close(answer(probabilities, 0.8), want, "the result for p = 0.8")


@top_p_.check("where one token already holds more than p, that token is kept, alone")
def top_p_sure(answer, draw):
    expect.close(answer(torch.tensor([[0.04, 0.9, 0.06]]), 0.5), torch.tensor([[0.0, 1.0, 0.0]]))


@top_p_.check("of 0.125, 0.5, 0.125, 0.25 with p = 0.75, it keeps 0.5 and 0.25: they hold exactly p, which is enough")
def top_p_exact(answer, draw):
    out = answer(torch.tensor([[0.125, 0.5, 0.125, 0.25]]), 0.75)
    expect.close(out, torch.tensor([[0.0, 2 / 3, 0.0, 1 / 3]]))


@top_p_.check("in each row, the smallest set of most probable tokens that holds at least p; all others are exactly 0")
def top_p_rows(answer, draw):
    probabilities = draw.normal(12, 40, std=1.5).softmax(-1)
    for p in (0.1, 0.85, 0.995):
        out = answer(probabilities, p)
        expect.shape(out, (12, 40), axes="batch d_vocab")
        want = brute_top_p(probabilities, p)
        expect.close(out, want, f"the result for p = {p}")
        expect_nothing_else(out, want == 0)


@top_p_.check("with p = 1, every token is kept")
def top_p_one(answer, draw):
    probabilities = draw.normal(2, 150, std=0.1).softmax(-1)
    expect.close(answer(probabilities, 1.0), probabilities, "the result for p = 1")
    # On a computer a row may sum to a little less than 1: then no running total ever reaches p.
    short = torch.tensor([[0.1, 0.4, 0.2, 0.3]]) * (1 - 3e-7)
    because = "this row's float32 numbers sum to 0.9999997, so no running total reaches p"
    expect.close(answer(short, 1.0), rescaled(short), "the result for p = 1", because=because)


@top_p_.check("without its least probable token, the set would hold less than p", hidden=True)
def top_p_smallest(answer, draw):
    for p in draw.uniform(8, low=0.02, high=0.999).tolist():
        probabilities = draw.normal(6, 60, std=float(draw.uniform(1, low=0.2, high=2))).softmax(-1)
        out = answer(probabilities, p)
        expect.shape(out, (6, 60), axes="batch d_vocab")
        kept = out > 0
        held = (probabilities * kept).sum(-1)
        least = torch.where(kept, probabilities, 2.0).amin(-1)
        short = float(held.min())
        expect.true((held > p - 1e-6).all(), f"With p = {p:.3f}, some row keeps only {short:.3f} of the probability.")
        expect.true(
            (held - least < p + 1e-6).all(),
            f"With p = {p:.3f}, some row keeps a token more than it needs: the set is not the smallest.",
        )
        expect.close(out, brute_top_p(probabilities, p), f"the result for p = {p:.3f}")


@top_p_.check("where tokens tie, some or all of them are kept, and what is left holds at least p", hidden=True)
def top_p_ties(answer, draw):
    row = torch.tensor([0.3, 0.2, 0.2, 0.2, 0.1])[draw.permutation(5)]
    out = answer(row[None], 0.6)
    expect.shape(out, (1, 5), axes="batch d_vocab")
    kept = out[0] > 0
    held = float(row[kept].sum())
    expect.true(held >= 0.6, f"With p = 0.6, what is kept of {row.tolist()} holds {held:.2f}.")
    expect.true(kept[row > 0.25].all(), f"With p = 0.6, the most probable of {row.tolist()} is gone.")
    expect.close(out[0], rescaled(row * (kept & (row > 0.15))), "the result for p = 0.6")


def brute_top_p(probabilities, p):
    """Token by token: kept where all more probable tokens together hold less than p."""
    above = probabilities[..., None, :] > probabilities[..., None]
    return rescaled(probabilities * ((above * probabilities[..., None, :]).sum(-1) < p))


def kept_in_order(probabilities, keep):
    """Keep the tokens that `keep(sorted, cumulative)` marks, put back in their places."""
    ordered, where = probabilities.sort(-1, descending=True)
    kept = torch.where(keep(ordered, ordered.cumsum(-1)), ordered, 0.0)
    return torch.zeros_like(probabilities).scatter(-1, where, kept)


@top_p_.wrong(
    "drops the token that crosses p",
    "You kept the tokens up to p and dropped the one that crosses it, so the set holds less than p (and can be empty). "
    "Keep a token when the ones *before* it hold less than p.",
)
def top_p_short(probabilities, p):
    return rescaled(kept_in_order(probabilities, lambda ordered, cumulative: cumulative <= p))


@top_p_.wrong(
    "the first token is kept, the crossing one dropped",
    "Your set is never empty, but it still holds less than p: the token that crosses p belongs to it. Keep a token when the ones "
    "*before* it hold less than p; then the first needs no rule of its own.",
)
def top_p_first_kept(probabilities, p):
    def keep(ordered, cumulative):
        first = torch.arange(ordered.shape[-1]) == 0
        return (cumulative <= p) | first

    return rescaled(kept_in_order(probabilities, keep))


@top_p_.wrong(
    "one token too many",
    "Where the tokens before a token hold exactly p, the set is complete, and yours goes on. Keep a token when the ones before it "
    "hold *less* than p.",
)
def top_p_reaches(probabilities, p):
    return rescaled(kept_in_order(probabilities, lambda ordered, cumulative: cumulative - ordered <= p))


@top_p_.wrong(
    "adds up without sorting",
    "You added up in the order of the vocabulary, token 0 first. Go down from the most probable token: sort each row first.",
)
def top_p_unsorted(probabilities, p):
    return rescaled(torch.where(probabilities.cumsum(-1) - probabilities < p, probabilities, 0.0))


@top_p_.wrong(
    "a second softmax",
    "The right tokens are left, but a softmax made them nearly equal. They are probabilities already: divide each row by its sum.",
)
def top_p_softmax(probabilities, p):
    kept = kept_in_order(probabilities, lambda ordered, cumulative: cumulative - ordered < p)
    return kept.masked_fill(kept == 0, float("-inf")).softmax(-1)


@top_p_.wrong(
    "keeps what is more probable than p",
    "You compared each token's own probability with p. It is the running total, from the most probable down, that has to reach p.",
)
def top_p_as_threshold(probabilities, p):
    return rescaled(torch.where(probabilities >= p, probabilities, 0.0))


@top_p_.wrong(
    "loses the places",
    "You returned the probabilities from large to small. Entry 5 of the result must still be token 5: put them back in their places.",
)
def top_p_sorted(probabilities, p):
    ordered = probabilities.sort(-1, descending=True).values
    return rescaled(torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0))


@top_p_.wrong(
    "starts with the least probable",
    "You added up from the least probable token. Sort from large to small first.",
)
def top_p_ascending(probabilities, p):
    ordered, where = probabilities.sort(-1)
    kept = torch.where(ordered.cumsum(-1) - ordered < p, ordered, 0.0)
    return rescaled(torch.zeros_like(probabilities).scatter(-1, where, kept))


@top_p_.wrong(
    "does not rescale",
    "The right tokens are left, but they sum to less than 1. Divide by what is left, so that it is a distribution again.",
)
def top_p_unscaled(probabilities, p):
    return kept_in_order(probabilities, lambda ordered, cumulative: cumulative - ordered < p)


@top_p_.variation("no sorting: what holds more than each token")
def top_p_brute(probabilities, p):
    return brute_top_p(probabilities, p)


@top_p_.variation("row by row, with a running total")
def top_p_loop(probabilities, p):
    out = torch.zeros_like(probabilities)
    for row, distribution in enumerate(probabilities):
        total = 0.0
        for token in distribution.argsort(descending=True):
            out[row, token] = distribution[token]
            total += float(distribution[token])
            if total >= p:
                break
    return out / out.sum(-1, keepdim=True)


# --- generate -------------------------------------------------------------------------------------------------------

generate_ = Exercise("generate")


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def constant_model(probabilities, draw):
    """Return a model that predicts this distribution everywhere: all is 0 but the last bias and W_U."""
    weights, config = small_model(draw, n_layers=1, d_model=4, n_heads=2, d_head=2, d_mlp=3, d_vocab=len(probabilities))
    weights = {name: torch.zeros_like(value) for name, value in weights.items()}
    weights["ln_final.b"][0] = 1.0
    weights["unembed.W_U"][0] = probabilities.log()
    return weights, config


def greedy(tokens, weights, config, n_new):
    """The most probable next token, n_new times, by the model made of torch's own layers."""
    for _ in range(n_new):
        logits = torch_transformer(tokens[:, -config.n_ctx :], weights, config)
        tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], 1)
    return tokens


@generate_.check("it returns the tokens that it was given, then n_new more; with n_new = 0, the tokens alone")
def generate_appends(answer, draw):
    weights, config = small_model(draw, n_layers=1)
    for batch, n_new in ((2, 2), (1, 2), (2, 0)):
        tokens = draw.integers(0, 17, batch, 4)
        out = answer(tokens, weights, config, n_new, generator_of(draw.seed()))
        expect.tensor(out)
        expect.shape(out, (batch, 4 + n_new), axes="batch pos")
        expect.equal(out[:, :4], tokens, "the beginning of the result")


@generate_.check("with top_k = 1, every new token is the most probable one after all the tokens before it")
def generate_greedy(answer, draw):
    weights, config = small_model(draw)
    for batch in (6, 1):
        tokens = draw.integers(0, 17, batch, 4)
        out = answer(tokens, weights, config, 4, generator_of(draw.seed()), 1.0, 1)
        expect.equal(out, greedy(tokens, weights, config, 4), "the generated sequence")


@generate_.check(
    "a text that is or becomes longer than the context: the model reads the last n_ctx tokens, and all are returned"
)
def generate_long(answer, draw):
    weights, config = small_model(draw, n_layers=1, n_ctx=6)
    for length in (5, 9):
        tokens = draw.integers(0, 17, 6, length)
        out = answer(tokens, weights, config, 3, generator_of(draw.seed()), 1.0, 1)
        what = f"the sequence generated from {length} tokens with n_ctx = 6"
        expect.equal(out, greedy(tokens, weights, config, 3), what)


@generate_.check("tokens come as often as temperature, then top_k, then top_p make them probable")
def generate_frequencies(answer, draw):
    probabilities = torch.tensor([0.02, 0.4, 0.1, 0.05, 0.25, 0.18])
    # At temperature 2 the roots count: 0.141, 0.632, 0.316, 0.224, 0.5, 0.424. The five largest sum to 2.097, and the
    # four largest hold 0.893 of that: the first set to reach 0.8.
    roots = torch.tensor([0.0, 0.4, 0.1, 0.0, 0.25, 0.18]).sqrt()
    out = drawn(answer, draw, probabilities, (2.0, 5, 0.8))
    expect_shares(out, roots / roots.sum(), " with temperature = 2.0, top_k = 5, top_p = 0.8")


@generate_.check("top_k comes before top_p: of 0.4, 0.3, 0.2, 0.1 with top_k = 2 and top_p = 0.55, one token is left")
def generate_order(answer, draw):
    # The two largest are rescaled to 0.571 and 0.429, and the first of them holds 0.55 alone. By top_p first, 0.4 and 0.3 stay.
    out = drawn(answer, draw, torch.tensor([0.2, 0.4, 0.1, 0.3]), (1.0, 2, 0.55))
    share = float((out == 1).float().mean())
    expect.true(share == 1, f"The token with 0.4 makes up {share:.2f} of the new ones; it should be the only one.")


@generate_.check(
    "where no filter is given, none is applied: all tokens come as often as the model says, the rarest too"
)
def generate_unfiltered(answer, draw):
    # Token 0 has 0.3; the other 63 share the rest, some a little more than others.
    rest = torch.linspace(1.2, 0.8, 63)
    out = drawn(answer, draw, torch.cat([torch.tensor([0.3]), 0.7 * rest / rest.sum()]), ())
    groups = torch.bucketize(out.contiguous(), torch.tensor([1, 50, 60]), right=True)
    shares = torch.stack([torch.tensor(0.3), *(0.7 * part.sum() / rest.sum() for part in rest.split([49, 10, 4]))])
    expect_shares(groups, shares, "", ["token 0", "tokens 1 to 49", "tokens 50 to 59", "tokens 60 to 63"])


@generate_.check("and as often as another model's probabilities", hidden=True)
def generate_other_model(answer, draw):
    probabilities = draw.normal(6).softmax(-1)
    expect_shares(drawn(answer, draw, probabilities, ()), probabilities, "")


def drawn(answer, draw, probabilities, settings):
    """Return the new tokens, two for each of 750 texts, of a model that predicts `probabilities` everywhere."""
    weights, config = constant_model(probabilities, draw)
    tokens = torch.zeros(750, 1, dtype=torch.long)
    out = answer(tokens, weights, config, 2, generator_of(draw.seed()), *settings)
    expect.shape(out, (750, 3), axes="batch pos")
    return out[:, 1:]


def expect_shares(out, want, asked, names=None):
    share = torch.bincount(out.flatten(), minlength=len(want)) / out.numel()
    # Five standard errors: a right answer is refused about once in 300,000 runs.
    slack = 5 * (want * (1 - want) / out.numel()).sqrt() + 1e-6
    off = (share - want).abs() > slack
    if off.any():
        at = int(off.nonzero()[0])
        name = names[at] if names else f"token {at}"
        expect.true(
            False,
            f"Of {out.numel():,} tokens drawn{asked}, {name} make{'' if names and at else 's'} up {float(share[at]):.3f}; "
            f"it should be near {float(want[at]):.3f}.",
        )


@generate_.check("the generator alone decides: the same seed gives the same text, another seed another")
def generate_seeded(answer, draw):
    weights, config = constant_model(torch.full((8,), 1 / 8), draw)
    tokens, seed = torch.zeros(20, 1, dtype=torch.long), draw.seed()
    before = torch.get_rng_state()
    first, again, other = (answer(tokens, weights, config, 2, generator_of(s)) for s in (seed, seed, seed + 1))
    expect.true(
        torch.equal(before, torch.get_rng_state()),
        "Your function used or reset torch's own random numbers, which everybody shares. Draw with the generator that "
        "is given: torch.multinomial(…, generator=generator).",
    )
    expect.true(
        torch.equal(first, again),
        "Two generators with the same seed gave two different texts. Pass the generator to the function that draws: "
        "torch.multinomial(…, generator=generator).",
    )
    expect.true(
        not torch.equal(first, other),
        "Generators with different seeds gave the same text. Draw each token with the generator.",
    )


@generate_.check("the generator goes on from draw to draw: each new token is drawn afresh")
def generate_afresh(answer, draw):
    weights, config = constant_model(torch.full((8,), 1 / 8), draw)
    tokens, seed = torch.zeros(100, 1, dtype=torch.long), draw.seed()
    fresh, used = generator_of(seed), generator_of(seed)
    torch.rand(1000, generator=used)
    first, later = (answer(tokens, weights, config, 2, generator) for generator in (fresh, used))
    repeated = float((first[:, 1] == first[:, 2]).float().mean())
    expect.true(
        repeated < 0.5,
        f"In {repeated:.0%} of the texts the second new token equals the first; by chance that happens in 12 %. "
        "Does something start the generator anew before each draw?",
    )
    expect.true(
        not torch.equal(first, later),
        "A generator that has been used before gave the same text as a fresh one with its seed. Do not seed it again: draw with it.",
    )


def filtered(logits, temperature, top_k, top_p):
    probabilities = reference("with_temperature")(logits, temperature)
    if top_k is not None:
        probabilities = reference("top_k_filter")(probabilities, top_k)
    if top_p is not None:
        probabilities = reference("top_p_filter")(probabilities, top_p)
    return probabilities


def last_logits(seen, weights, config):
    return reference("transformer")(seen, weights, config)[:, -1]


def as_given(generator):
    return generator


def sampled_with(distribution=filtered, logits_of=last_logits, generator_for=as_given):
    """Return a generate that draws from distribution(logits, temperature, top_k, top_p): the loop that the wrong answers share."""

    def answer(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
        for _ in range(n_new):
            logits = logits_of(tokens[:, -config.n_ctx :], weights, config)
            probabilities = distribution(logits, temperature, top_k, top_p)
            new = torch.multinomial(probabilities, 1, generator=generator_for(generator))
            tokens = torch.cat([tokens, new], 1)
        return tokens

    return answer


@generate_.wrong(
    "reads the first position",
    "You took the logits of position 0. The next token of the text is predicted at its last position: logits[:, -1].",
)
def generate_first(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    def logits_of(seen, weights, config):
        return reference("transformer")(seen, weights, config)[:, 0]

    return sampled_with(logits_of=logits_of)(tokens, weights, config, n_new, generator, temperature, top_k, top_p)


@generate_.wrong(
    "forgets the text before",
    "Your model sees the newest token alone. Give it the whole text so far: attention needs something to look back at.",
)
def generate_newest(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    def logits_of(seen, weights, config):
        return last_logits(seen[:, -1:], weights, config)

    return sampled_with(logits_of=logits_of)(tokens, weights, config, n_new, generator, temperature, top_k, top_p)


@generate_.wrong(
    "always the most probable token",
    "You take the most probable token each time (argmax), whatever the temperature. Draw one: torch.multinomial.",
)
def generate_argmax(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    for _ in range(n_new):
        best = last_logits(tokens[:, -config.n_ctx :], weights, config).argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, best], 1)
    return tokens


@generate_.wrong(
    "ignores the temperature",
    "The filters work, but every temperature gives the same text. Turn logits into probabilities with with_temperature.",
)
def generate_no_temperature(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    return sampled_with()(tokens, weights, config, n_new, generator, 1.0, top_k, top_p)


@generate_.wrong(
    "filters before the temperature",
    "You chose the top-p set at temperature 1 and applied the temperature afterwards. The order is temperature, top_k, top_p: "
    "a hot distribution is flat, and needs more tokens to reach p.",
)
def generate_late_temperature(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    def distribution(logits, temperature, top_k, top_p):
        return rescaled(filtered(logits, 1.0, top_k, top_p) ** (1 / temperature))

    return sampled_with(distribution)(tokens, weights, config, n_new, generator, temperature, top_k, top_p)


@generate_.wrong(
    "top_p before top_k",
    "You applied top_p first and top_k to what was left. The order is temperature, top_k, top_p: after top_k the rest is rescaled, "
    "and fewer tokens reach p.",
)
def generate_p_first(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    def distribution(logits, temperature, top_k, top_p):
        return filtered(filtered(logits, temperature, None, top_p).log(), 1.0, top_k, None)

    return sampled_with(distribution)(tokens, weights, config, n_new, generator, temperature, top_k, top_p)


@generate_.wrong(
    "filters that nobody asked for",
    "With no settings given, your function still filters. Where top_k or top_p is None it is left out, and the temperature is 1.",
)
def generate_defaults(tokens, weights, config, n_new, generator, temperature=0.8, top_k=None, top_p=0.95):
    return sampled_with()(tokens, weights, config, n_new, generator, temperature, top_k, top_p)


@generate_.wrong(
    "starts the generator anew",
    "You seed the generator again before each draw, so each draw gets the same random numbers. Whoever calls has seeded it: "
    "use it as it is.",
)
def generate_reseeded(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    answer = sampled_with(generator_for=lambda generator: generator.manual_seed(generator.initial_seed()))
    return answer(tokens, weights, config, n_new, generator, temperature, top_k, top_p)


@generate_.wrong(
    "cuts the text off",
    "The beginning of the text is gone. The model reads the last n_ctx tokens, but the text itself keeps all of them: "
    "give the model a slice, and leave tokens as they are.",
)
def generate_cropped(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    for _ in range(n_new):
        tokens = tokens[:, -config.n_ctx :]
        probabilities = filtered(last_logits(tokens, weights, config), temperature, top_k, top_p)
        tokens = torch.cat([tokens, torch.multinomial(probabilities, 1, generator=generator)], 1)
    return tokens


@generate_.wrong(
    "the new tokens alone",
    "You returned the new tokens without the text before them. Return all: (batch, pos + n_new).",
)
def generate_only_new(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    out = sampled_with()(tokens, weights, config, n_new, generator, temperature, top_k, top_p)
    return out[:, tokens.shape[1] :]


@generate_.wrong(
    "ignores top_k",
    "Tokens outside the top k still come up. Apply top_k_filter when top_k is given.",
)
def generate_no_top_k(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    return sampled_with()(tokens, weights, config, n_new, generator, temperature, None, top_p)


@generate_.wrong(
    "ignores top_p",
    "Tokens outside the top-p set still come up. Apply top_p_filter when top_p is given.",
)
def generate_no_top_p(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    return sampled_with()(tokens, weights, config, n_new, generator, temperature, top_k, None)


@generate_.variation("draws by the running total of the probabilities")
def generate_inverse(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    for _ in range(n_new):
        logits = last_logits(tokens[:, -config.n_ctx :], weights, config)
        total = filtered(logits, temperature, top_k, top_p).cumsum(-1)
        place = torch.rand(len(tokens), 1, generator=generator) * total[:, -1:]
        tokens = torch.cat([tokens, torch.searchsorted(total, place, right=True)], 1)
    return tokens


@generate_.variation("a list of tokens, joined at the end")
def generate_list(tokens, weights, config, n_new, generator, temperature=1.0, top_k=None, top_p=None):
    columns = list(tokens.unbind(1))
    for _ in range(n_new):
        seen = torch.stack(columns[-config.n_ctx :], 1)
        probabilities = filtered(last_logits(seen, weights, config), temperature, top_k, top_p)
        columns.append(torch.multinomial(probabilities, num_samples=1, generator=generator).squeeze(1))
    return torch.stack(columns, 1)
