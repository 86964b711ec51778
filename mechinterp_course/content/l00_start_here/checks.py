"""How the exercises of lesson 00 are checked.

The truth comes from outside the lab: numbers worked out by hand, closed forms, invariants, and torch's own softmax,
log_softmax and cross_entropy. No check compares with the course's answer.
"""

import math

import torch
import torch.nn.functional as F

from mechinterp_course.tutor.checks import Exercise, expect

# --- mean_over_positions --------------------------------------------------------------------------------------------

mean_ = Exercise("mean_over_positions")


@mean_.check("two texts of three positions: the means are (2, 20) and (3, 1)")
def mean_by_hand(answer, draw):
    activations = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], [[0.0, 0.0], [0.0, 0.0], [9.0, 3.0]]])
    out = answer(activations)
    expect.shape(out, (2, 2), axes="batch d_model")
    expect.close(out, torch.tensor([[2.0, 20.0], [3.0, 1.0]]))


@mean_.check("each text has its own mean: the sum over its positions, divided by how many there are")
def mean_sums(answer, draw):
    activations = draw.normal(2, 5, 3)
    out = answer(activations)
    expect.shape(out, (2, 3), axes="batch d_model")
    total = activations[:, 0] + activations[:, 1] + activations[:, 2] + activations[:, 3] + activations[:, 4]
    expect.close(out, total / 5)


@mean_.check("one text alone: the batch axis stays, with size 1")
def mean_one_text(answer, draw):
    activations = draw.normal(1, 4, 3)
    out = answer(activations)
    expect.shape(out, (1, 3), axes="batch d_model")
    total = activations[:, 0] + activations[:, 1] + activations[:, 2] + activations[:, 3]
    expect.close(out, total / 4)


@mean_.check("any number of texts and positions, and numbers of any size", hidden=True)
def mean_sizes(answer, draw):
    for batch, pos, d_model, std in [(6, 1, 5, 1), (1, 1, 1, 1), (9, 70, 33, 1), (5, 40, 64, 1e6)]:
        activations = draw.normal(pos, batch, d_model, std=std).transpose(0, 1)  # not contiguous in memory
        out = answer(activations)
        expect.shape(out, (batch, d_model), axes="batch d_model")
        expect.close(out, activations.double().sum(1) / pos, atol=1e-5 * std)


@mean_.check("float64 in, float64 out", hidden=True)
def mean_float64(answer, draw):
    expect.dtype(answer(draw.normal(2, 5, 3).double()), torch.float64)


@mean_.check("the order of the positions does not matter", hidden=True)
def mean_order(answer, draw):
    activations, order = draw.normal(4, 7, 6), draw.permutation(7)
    expect.close(answer(activations[:, order]), torch.einsum("bpm->bm", activations) / 7)


@mean_.wrong(
    "averages over d_model",
    "You averaged over the last axis, the d_model numbers of each position: one number for each position is left. "
    "The axis to average away is pos.",
)
def mean_last(activations):
    return activations.mean(dim=-1)


@mean_.wrong(
    "averages over the batch",
    "You averaged over the texts: axis 0 is the batch. Each text has a mean of its own; pos is axis 1.",
)
def mean_batch(activations):
    return activations.mean(dim=0)


@mean_.wrong(
    "averages over everything",
    "Without dim=, .mean() averages over all axes and one number is left. Say which axis: dim= the number of pos.",
)
def mean_all(activations):
    return activations.mean()


@mean_.wrong(
    "sums and does not divide",
    "These are sums. A mean is the sum divided by the number of positions.",
)
def mean_sum(activations):
    return activations.sum(dim=1)


@mean_.wrong(
    "keeps the axis",
    "The numbers are right, and the pos axis is still there, with size 1. That is what keepdim=True does; leave it out here.",
)
def mean_keepdim(activations):
    return activations.mean(dim=1, keepdim=True)


@mean_.wrong(
    "squeezes the batch away",
    "The numbers are right, but .squeeze() removes every axis of size 1: with a batch of one text, the batch axis goes too. "
    "The mean has removed pos already; leave .squeeze() out.",
)
def mean_squeezed(activations):
    return activations.mean(dim=1).squeeze()


@mean_.variation("einsum, divided by the number of positions")
def mean_einsum(activations):
    return torch.einsum("bpm->bm", activations) / activations.shape[1]


@mean_.variation("position after position, in float64")
def mean_loop(activations):
    total = torch.zeros(activations.shape[0], activations.shape[2], dtype=torch.float64)
    for position in range(activations.shape[1]):
        total += activations[:, position]
    return (total / activations.shape[1]).to(activations.dtype)


# --- all_dot_products -----------------------------------------------------------------------------------------------

products_ = Exercise("all_dot_products")


@products_.check("query (1, 2) and key (3, 1): the dot product is 1·3 + 2·1 = 5")
def products_by_hand(answer, draw):
    queries = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]])  # one text, two queries, one head, two numbers
    keys = torch.tensor([[[[3.0, 1.0]], [[1.0, 0.0]], [[-1.0, 4.0]]]])  # three keys
    out = answer(queries, keys)
    expect.shape(out, (1, 1, 2, 3), axes="batch head query key")
    expect.close(out[0, 0], torch.tensor([[5.0, 1.0, 7.0], [1.0, 0.0, 4.0]]), "the table of text 0, head 0")


@products_.check("every entry: the query and the key of the same text and the same head")
def products_entries(answer, draw):
    queries, keys = draw.normal(2, 3, 4, 5), draw.normal(2, 6, 4, 5)
    out = answer(queries, keys)
    expect.shape(out, (2, 4, 3, 6), axes="batch head query key")
    for text, head, query, key in [(0, 0, 0, 0), (1, 0, 2, 1), (0, 3, 1, 5), (1, 2, 0, 4)]:
        want = sum(q * k for q, k in zip(queries[text, query, head], keys[text, key, head], strict=True))
        what = f"the entry of text {text}, head {head}, query {query}, key {key}"
        expect.close(out[text, head, query, key], float(want), what, atol=1e-4)


@products_.check("as many queries as keys: rows are queries, columns are keys")
def products_square(answer, draw):
    queries, keys = draw.normal(2, 4, 3, 5), draw.normal(2, 4, 3, 5)
    out = answer(queries, keys)
    expect.shape(out, (2, 3, 4, 4), axes="batch head query key")
    want = queries.transpose(1, 2) @ keys.permute(0, 2, 3, 1)
    expect.close(out, want, atol=1e-4)


@products_.check("any number of texts, queries, keys, heads and dimensions, and numbers of any size", hidden=True)
def products_sizes(answer, draw):
    sizes = [(1, 1, 1, 1, 1), (3, 1, 7, 2, 4), (3, 9, 1, 2, 16), (4, 12, 17, 9, 24)]
    for batch, n_queries, n_keys, heads, d_head in sizes:
        for std in (1, 300):
            queries = draw.normal(heads, batch, n_queries, d_head, std=std).permute(1, 2, 0, 3)  # not contiguous
            keys = draw.normal(heads, batch, n_keys, d_head, std=std).permute(1, 2, 0, 3)
            out = answer(queries, keys)
            expect.shape(out, (batch, heads, n_queries, n_keys), axes="batch head query key")
            want = queries.double().transpose(1, 2) @ keys.double().permute(0, 2, 3, 1)
            expect.close(out, want, atol=1e-5 * std**2)


@products_.check("float64 in, float64 out", hidden=True)
def products_float64(answer, draw):
    expect.dtype(answer(draw.normal(2, 3, 2, 4).double(), draw.normal(2, 5, 2, 4).double()), torch.float64)


@products_.check("a query that is doubled doubles its row, and no other", hidden=True)
def products_linear(answer, draw):
    queries, keys = draw.normal(2, 4, 3, 6), draw.normal(2, 5, 3, 6)
    doubled = queries.clone()
    doubled[1, 2] *= 2
    want = queries.transpose(1, 2) @ keys.permute(0, 2, 3, 1)
    want[1, :, 2] *= 2
    expect.close(answer(doubled, keys), want, "the result after query 2 of text 1 was doubled", atol=1e-4)


@products_.wrong(
    "key and query swapped",
    "Your rows are keys and your columns are queries: the letters on the right are in the order b h k q. "
    "A row belongs to the query, the position that looks.",
)
def products_swapped(queries, keys):
    return torch.einsum("bqhd,bkhd->bhkq", queries, keys)


@products_.wrong(
    "head after query",
    "Your axes are (batch, query, head, key): a table of every head is cut into pieces. The head comes second: b h q k.",
)
def products_head_third(queries, keys):
    return torch.einsum("bqhd,bkhd->bqhk", queries, keys)


@products_.wrong(
    "head last",
    "Your axes are (batch, query, key, head). The head comes second, so that each head's table lies in one piece: b h q k.",
)
def products_head_last(queries, keys):
    return torch.einsum("bqhd,bkhd->bqkh", queries, keys)


@products_.wrong(
    "divides by the square root of d_head",
    "Your numbers are too small by the factor √d_head. Attention divides by it, but later: here the plain dot products are asked for.",
)
def products_scaled(queries, keys):
    return torch.einsum("bqhd,bkhd->bhqk", queries, keys) / math.sqrt(queries.shape[-1])


@products_.wrong(
    "compares with the keys of all heads",
    "The keys' head has a letter of its own that is missing on the right, so einsum summed over all heads of the keys. "
    "A head compares its own queries with its own keys: the same letter, h, in both.",
)
def products_mixed_heads(queries, keys):
    return torch.einsum("bqhd,bkgd->bhqk", queries, keys)


@products_.wrong(
    "compares with the keys of all texts",
    "The keys' batch has a letter of its own that is missing on the right, so einsum summed over all texts. "
    "A query sees its own text only: the same letter, b, in both.",
)
def products_mixed_texts(queries, keys):
    return torch.einsum("bqhd,akhd->bhqk", queries, keys)


@products_.wrong(
    "sums over the heads",
    "The head is missing on the right of your pattern, so it was summed away. Each head keeps a table of its own: b h q k.",
)
def products_sum_heads(queries, keys):
    return torch.einsum("bqhd,bkhd->bqk", queries, keys)


@products_.wrong(
    "sums each vector by itself",
    "Queries and keys have different letters for d_head, both missing on the right: each vector was summed by itself, before they met. "
    "The same letter, d, in both multiplies number by number.",
)
def products_of_sums(queries, keys):
    return torch.einsum("bqhd,bkhe->bhqk", queries, keys)


@products_.wrong(
    "cosines instead of dot products",
    "You divided by the lengths of the vectors. That is the cosine; the dot product keeps the lengths.",
)
def products_cosine(queries, keys):
    return torch.einsum("bqhd,bkhd->bhqk", F.normalize(queries, dim=-1), F.normalize(keys, dim=-1))


@products_.variation("a matrix product, with the heads moved to the front")
def products_matmul(queries, keys):
    return queries.transpose(1, 2) @ keys.permute(0, 2, 3, 1)


@products_.variation("a loop over texts and heads")
def products_loop(queries, keys):
    texts = []
    for query, key in zip(queries.double(), keys.double(), strict=True):
        texts.append(torch.stack([query[:, h] @ key[:, h].T for h in range(query.shape[1])]))
    return torch.stack(texts).to(queries.dtype)


# --- stable_softmax -------------------------------------------------------------------------------------------------

softmax_ = Exercise("stable_softmax")


@softmax_.check("scores log 1, log 3 and log 9: the exponentials are 1, 3 and 9, so the shares are 1/13, 3/13 and 9/13")
def softmax_by_hand(answer, draw):
    scores = torch.tensor([[1.0, 3.0, 9.0], [1.0, 1.0, 2.0]]).log()
    expect.close(answer(scores), torch.tensor([[1 / 13, 3 / 13, 9 / 13], [0.25, 0.25, 0.5]]))


@softmax_.check("every row is a distribution: positive, and together 1")
def softmax_rows(answer, draw):
    out = answer(draw.normal(2, 3, 5, std=2))
    expect.shape(out, (2, 3, 5))
    expect.finite(out)
    expect.true((out > 0).all(), "Some share is 0 or negative. The exponential of a finite number is positive.")
    expect.close(out.sum(-1), torch.ones(2, 3), "the sum of each row")


@softmax_.check("scores of 1000 and 1001, or of -500 and -499: a row's shares depend on its differences alone")
def softmax_large(answer, draw):
    scores = torch.tensor([[1000.0, 1001.0], [0.0, 1.0], [-1000.0, -999.0]])
    e = math.e
    out = answer(scores)
    want = torch.tensor([[1 / (1 + e), e / (1 + e)]]).expand(3, 2)
    expect.close(out, want)
    low = torch.tensor([[-500.0, -499.0], [-600.0, -599.0], [-700.0, -699.0]])
    expect.close(answer(low), want)  # no large score is near: the small ones need the same care


@softmax_.check("a score of -inf gets the share 0, and the others share as if it were not there")
def softmax_hidden_score(answer, draw):
    scores, nothing = draw.normal(2, 4), torch.full((2, 1), -math.inf)
    out = answer(torch.cat([nothing, scores, nothing], -1))
    expect.shape(out, (2, 6))
    expect.close(out[:, 1:5], torch.softmax(scores, -1), "the share of the other scores")
    expect_zero(out[:, [0, 5]])


def expect_zero(shares):
    """Expect shares of exactly 0: a small number instead would let a token see a little of its future."""
    largest = float(shares.abs().max())
    expect.true(largest == 0, f"The share of a score of -inf is {expect.show(largest)}; it should be exactly 0.")


@softmax_.check("one finite score among -inf gets the whole share, however small it is", hidden=True)
def softmax_only_one(answer, draw):
    for dtype in (torch.float32, torch.float64):
        only = torch.tensor([-500.0, 0.0, 500.0, -1e3, 1e3, -3e4, 3e4, -1e20, 1e20], dtype=dtype)
        scores, at = torch.full((9, 5), -math.inf, dtype=dtype), draw.integers(0, 5, 9)
        scores[torch.arange(9), at] = only
        out = answer(scores)
        expect.close(out, F.one_hot(at, 5).double(), "the shares", atol=1e-6, rtol=0)
        expect_zero(out[scores == -math.inf])


@softmax_.check("one axis or four, one score or many, far above 0 or far below", hidden=True)
def softmax_sizes(answer, draw):
    expect.close(answer(torch.full((2, 400), 7.0)), torch.full((2, 400), 1 / 400), atol=1e-6)
    for shape in [(2,), (9,), (7, 1), (3, 400), (60, 5), (4, 5, 12, 12)]:
        for offset in (-800, -50, 0, 50, 800):
            scores = draw.normal(*shape, std=3) + offset
            scores = scores.mT if len(shape) > 2 else scores  # not contiguous in memory
            out = answer(scores)
            expect.shape(out, tuple(scores.shape))
            expect.close(out, torch.softmax(scores.double(), -1), rtol=2e-4)


@softmax_.check("float64 in, float64 out", hidden=True)
def softmax_float64(answer, draw):
    scores = draw.normal(4, 6, std=3).double() + 2000
    out = answer(scores)
    expect.dtype(out, torch.float64)
    expect.close(out, torch.softmax(scores, -1), atol=1e-7, rtol=1e-7)


@softmax_.check("it equals torch.softmax, whatever the size of the scores", hidden=True)
def softmax_like_torch(answer, draw):
    for std in (0.1, 5, 400):
        scores = draw.normal(3, 2, 6, std=std) + draw.normal(3, 2, 1, std=std)
        expect.close(answer(scores), torch.softmax(scores, -1))


@softmax_.wrong(
    "the formula of the books",
    "The formula is right, but exp of a score above 88 is infinite in float32, and inf / inf is nan; below -104 it is 0, "
    "and so is the sum. Take something off every score of the row first; it cancels in the fraction.",
)
def softmax_naive(scores):
    return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)


@softmax_.wrong(
    "subtracts the largest score of all rows",
    "You subtracted one maximum, that of the whole tensor. In a row far below it, every exponential becomes 0, and 0 / 0 is nan. "
    "Each row needs its own maximum: .max(dim=-1, keepdim=True).values.",
)
def softmax_global_max(scores):
    shifted = (scores - scores.max()).exp()
    return shifted / shifted.sum(dim=-1, keepdim=True)


@softmax_.wrong(
    "clamps the large scores",
    "You cut large scores off: 1000 and 1001 now count the same, and a row far below 0 still gives 0 / 0. "
    "Subtract each row's maximum instead: that changes no difference.",
)
def softmax_clamped(scores):
    exponentials = scores.clamp(max=80).exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


@softmax_.wrong(
    "softmax over the first axis",
    "Your shares sum to 1 along the first axis. A row lies along the last axis: dim=-1, for the maximum and for the sum.",
)
def softmax_first_axis(scores):
    return torch.softmax(scores, dim=0)


@softmax_.wrong(
    "divides by the sum of all rows",
    "All your shares together are 1. Each row should sum to 1 by itself: sum over the last axis, dim=-1, with keepdim=True.",
)
def softmax_all(scores):
    return torch.softmax(scores.flatten(), dim=0).view(scores.shape)


@softmax_.wrong(
    "leaves out the exponential",
    "You divided the scores by their sum. That is negative wherever a score is. The exponential makes every score positive first.",
)
def softmax_no_exp(scores):
    return scores / scores.sum(dim=-1, keepdim=True)


@softmax_.wrong(
    "subtracts something below the maximum",
    "You subtracted another number than the row's maximum, such as its mean, its minimum, its first or its last score. "
    "If that is -inf, you get nan, and a score far above it still overflows. Subtract the row's maximum: then nothing is above 0.",
)
def softmax_minimum(scores):
    shifted = (scores - scores.amin(dim=-1, keepdim=True)).exp()
    return shifted / shifted.sum(dim=-1, keepdim=True)


@softmax_.variation("exp of the scores minus their logsumexp")
def softmax_logsumexp(scores):
    return (scores - torch.logsumexp(scores, dim=-1, keepdim=True)).exp()


@softmax_.variation("row by row, with Python's own exp")
def softmax_loop(scores):
    rows = []
    for row in scores.reshape(-1, scores.shape[-1]).tolist():
        exponentials = [math.exp(score - max(row)) for score in row]
        rows.append([one / sum(exponentials) for one in exponentials])
    return torch.tensor(rows, dtype=scores.dtype).view(scores.shape)


# --- causal_mask ----------------------------------------------------------------------------------------------------

mask_ = Exercise("causal_mask")


def expect_causal(out, scores):
    """Expect minus infinity at later keys and the scores elsewhere, and say of the first wrong place what it is."""
    expect.shape(out, tuple(scores.shape), axes="query key" if scores.ndim == 2 else "")
    for query in range(scores.shape[-1]):
        for key in range(scores.shape[-1]):
            got, score = out[..., query, key].reshape(-1)[0].item(), scores[..., query, key].reshape(-1)[0].item()
            where = f"In the row of query {query}, the score of key {key}"
            is_hidden = "minus infinity" if got == -math.inf else expect.show(got)
            if key > query:
                says = f"{where} is {is_hidden}; it should be minus infinity: key {key} comes later."
                expect.true(got == -math.inf, says)
            else:
                why = "a query sees itself" if key == query else f"key {key} comes earlier"
                says = f"{where} is {is_hidden}; it should be {expect.show(score)}, as it was: {why}."
                expect.true(math.isclose(got, score, rel_tol=1e-5, abs_tol=1e-6), says)


@mask_.check("three positions: later keys become minus infinity, all other scores stay")
def mask_by_hand(answer, draw):
    scores = torch.tensor([[0.3, 1.2, 0.7], [2.0, 0.1, 0.4], [0.5, 0.9, 1.1]])
    out = answer(scores)
    expect.tensor(out)
    expect_causal(out, scores)


@mask_.check("a score of 0 is a score like any other: it stays where it is seen, and goes where it comes later")
def mask_zeros(answer, draw):
    scores = torch.tensor([[0.0, 1.2, 0.0], [0.0, 0.0, 0.4], [0.5, 0.0, 1.1]])
    out = answer(scores)
    expect.tensor(out)
    expect_causal(out, scores)


@mask_.check("of n positions, the last query sees n keys and the first sees one")
def mask_counts(answer, draw):
    scores = draw.normal(5, 5)
    out = answer(scores)
    expect.shape(out, (5, 5), axes="query key")
    seen = torch.isfinite(out).sum(-1)
    expect.equal(seen, torch.tensor([1, 2, 3, 4, 5]), "the number of keys that each query sees")
    expect_causal(out, scores)


@mask_.check("it works the same with more axes in front: (batch, head, query, key)")
def mask_batched(answer, draw):
    scores = draw.normal(2, 3, 4, 4)
    out = answer(scores)
    expect.shape(out, (2, 3, 4, 4), axes="batch head query key")
    for text in range(2):
        for head in range(3):
            expect_causal(out[text, head], scores[text, head])


@mask_.check("after a softmax, raising a later key's score changes nothing", hidden=True)
def mask_future(answer, draw):
    scores = draw.normal(2, 6, 6)
    raised = scores + 30 * draw.uniform(2, 6, 6).triu(1)
    eye = torch.eye(6).expand(2, 6, 6)
    want = F.scaled_dot_product_attention(scores, eye, eye, is_causal=True, scale=1.0)
    expect.close(answer(raised).softmax(-1), want, "the softmax after only the scores of later keys were raised")


def causal(scores):
    """Return the right answer by comparing the numbers of positions."""
    position = torch.arange(scores.shape[-1])
    return torch.where(position <= position[:, None], scores, -math.inf)


@mask_.check("a score that is -inf already stays -inf, whatever the other scores are", hidden=True)
def mask_infinite_scores(answer, draw):
    scores = draw.normal(2, 6, 6, std=1e4)
    scores[:, 3, 1] = scores[:, 5, 5] = scores[:, 1, 4] = -math.inf
    expect.close(answer(scores), causal(scores), "the scores", rtol=1e-6)


@mask_.check("one position or many, with any axes in front", hidden=True)
def mask_sizes(answer, draw):
    for shape in [(1, 1), (2, 2), (17, 17), (3, 1, 1), (7, 9, 9), (4, 5, 12, 12)]:
        scores = draw.normal(*shape, std=5).mT  # not contiguous in memory
        out = answer(scores)
        expect.shape(out, shape)
        expect.close(out, causal(scores), "the scores", rtol=1e-6)


@mask_.check("float64 in, float64 out", hidden=True)
def mask_float64(answer, draw):
    scores = draw.normal(2, 5, 5).double()
    out = answer(scores)
    expect.dtype(out, torch.float64)
    expect.close(out, causal(scores), "the scores", rtol=1e-12, atol=0)


def masked(scores, where, value=-math.inf):
    return scores.masked_fill(where, value)


def marked(scores, diagonal):
    """Return True at and above that diagonal of the last two axes."""
    return torch.ones_like(scores).triu(diagonal).bool()


@mask_.wrong(
    "hides the token itself",
    "The diagonal is hidden too. A query may see itself; only what comes later is hidden: triu(diagonal=1). "
    "Query 0 would have nothing left to look at.",
)
def mask_itself(scores):
    return masked(scores, marked(scores, 0))


@mask_.wrong(
    "hides the past",
    "You hid the earlier keys and left the later ones. The future of a query lies to the right of the diagonal: triu, where you have tril.",
)
def mask_past(scores):
    return masked(scores, torch.ones_like(scores).tril(-1).bool())


@mask_.wrong(
    "the mask the wrong way round",
    "You hid what a query sees and left what it must not see: masked_fill fills where the mask is *True*. "
    "True belongs to the later keys, strictly above the diagonal.",
)
def mask_inverted(scores):
    return masked(scores, torch.ones_like(scores).tril().bool())


@mask_.wrong(
    "takes a score of 0 for a hidden one",
    "You set the future to 0 and then made every 0 minus infinity, or asked which scores are not 0. A real score can be 0 too. "
    "Mark the places, not the values: a mask of ones and zeros, made without the scores.",
)
def mask_zero_is_hidden(scores):
    kept = scores.tril()
    return masked(kept, kept == 0)


@mask_.wrong(
    "takes a score of 0 for a seen one",
    "You hid the later scores that are not 0, so a later score of exactly 0 stays. "
    "Mark the places, not the values: a mask of ones and zeros, made without the scores.",
)
def mask_zero_is_seen(scores):
    return masked(scores, scores.triu(1) != 0)


@mask_.wrong(
    "sees one step ahead",
    "Each query still sees the key right after it: the very token that it has to predict. Start hiding one step right of the diagonal.",
)
def mask_one_ahead(scores):
    return masked(scores, marked(scores, 2))


@mask_.wrong(
    "fills with 0",
    "The later scores are 0 (as from a multiplication by the mask). After the softmax a score of 0 still gets a share, as e⁰ = 1. "
    "Minus infinity gets none.",
)
def mask_zero(scores):
    return scores.tril()


@mask_.wrong(
    "fills with a large negative number",
    "The right places, with a finite number. It works as long as no real score comes near it. Write what you mean: float('-inf').",
)
def mask_finite(scores):
    return masked(scores, marked(scores, 1), -1e9)


@mask_.wrong(
    "returns True and False",
    "You returned the mask itself. Return the scores, with minus infinity where the mask is True: scores.masked_fill(mask, float('-inf')).",
)
def mask_bool(scores):
    return marked(scores, 1)


@mask_.wrong(
    "multiplies by minus infinity",
    "You multiplied a mask of 0 and 1 by minus infinity, and 0 times infinity is nan. Fill instead: "
    "scores.masked_fill(mask, float('-inf')), with a mask of True and False.",
)
def mask_multiplied(scores):
    return scores + torch.ones_like(scores).triu(1) * -math.inf


@mask_.wrong(
    "takes the softmax as well",
    "Your rows sum to 1: the softmax is in there already. Return the masked scores; the softmax is a step of its own.",
)
def mask_softmax(scores):
    return masked(scores, marked(scores, 1)).softmax(-1)


@mask_.variation("adds a triangle of minus infinities")
def mask_added(scores):
    n = scores.shape[-1]
    return scores + torch.full((n, n), -math.inf).triu(1)


@mask_.variation("compares position numbers")
def mask_compared(scores):
    position = torch.arange(scores.shape[-1])
    return torch.where(position[None, :] <= position[:, None], scores, -math.inf)


# --- log_probabilities ----------------------------------------------------------------------------------------------

logs_ = Exercise("log_probabilities")


@logs_.check("logits (0, 0): both probabilities are ½, and log ½ = -0.69")
def logs_by_hand(answer, draw):
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    want = torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log()
    expect.close(answer(logits), want, because="the probabilities are (½, ½) and (¾, ¼)")


@logs_.check("their exponentials are probabilities: each row sums to 1")
def logs_rows(answer, draw):
    out = answer(draw.normal(2, 3, 5, std=2))
    expect.shape(out, (2, 3, 5))
    expect.finite(out)
    expect.true((out <= 1e-6).all(), f"Some log-probability is {float(out.max()):.2f}; none can be above 0.")
    expect.close(out.exp().sum(-1), torch.ones(2, 3), "the sum of each row's exponentials")


@logs_.check("sure and wrong: logits (0, 200, 0) give the log-probabilities (-200, 0, -200)")
def logs_sure(answer, draw):
    logits = torch.tensor([[0.0, 200.0, 0.0], [800.0, 1000.0, 800.0], [0.0, 5000.0, 0.0]])
    expect.close(answer(logits), torch.tensor([[-200.0, 0.0, -200.0], [-200.0, 0.0, -200.0], [-5000.0, 0.0, -5000.0]]))


@logs_.check("sure and wrong, with any gap between the logits", hidden=True)
def logs_gaps(answer, draw):
    for low, high in [(100, 300), (300, 700), (1000, 5000), (200_000, 3_000_000)]:
        gap = float(draw.integer(low, high))
        expect.close(answer(torch.tensor([0.0, gap])), torch.tensor([-gap, 0.0]))
        logits = torch.tensor([[0.0, gap], [gap, 0.0], [0.0, -gap], [-gap, 0.0]])
        expect.close(answer(logits), torch.tensor([[-gap, 0.0], [0.0, -gap], [0.0, -gap], [-gap, 0.0]]))


@logs_.check("one axis or four, one logit or many, far above 0 or far below", hidden=True)
def logs_sizes(answer, draw):
    for shape in [(2,), (9,), (7, 1), (3, 400), (60, 5), (4, 5, 12, 12)]:
        for offset in (-800, -50, 0, 50, 800):
            logits = draw.normal(*shape, std=3) + offset
            logits = logits.mT if len(shape) > 2 else logits  # not contiguous in memory
            out = answer(logits)
            expect.shape(out, tuple(logits.shape))
            expect.close(out, torch.log_softmax(logits.double(), -1), atol=1e-5 if offset == 0 else 5e-4)


@logs_.check("float64 in, float64 out", hidden=True)
def logs_float64(answer, draw):
    logits = draw.normal(4, 6, std=3).double() + 2000
    out = answer(logits)
    expect.dtype(out, torch.float64)
    expect.close(out, torch.log_softmax(logits, -1), atol=1e-9, rtol=1e-9)


@logs_.check("adding the same number to all logits of a row changes nothing", hidden=True)
def logs_shift(answer, draw):
    logits = draw.normal(3, 4, 7, std=3)
    shifted = logits + draw.normal(3, 4, 1, std=300)
    expect.close(answer(shifted), torch.log_softmax(logits, -1), "the result for shifted logits", atol=1e-3)


@logs_.check("it equals torch.log_softmax", hidden=True)
def logs_like_torch(answer, draw):
    logits = draw.normal(2, 5, 9, std=20)
    expect.close(answer(logits), torch.log_softmax(logits, -1), atol=1e-4)


@logs_.wrong(
    "log of the softmax",
    "Where a probability is too small for a float, the softmax rounds it to 0, and log 0 is minus infinity. "
    "Simplify first: log(e^x / sum) = x − log(sum).",
)
def logs_of_softmax(logits):
    return torch.softmax(logits, -1).log()


@logs_.wrong(
    "the formula as it stands",
    "The formula is right, but exp(200) is infinite in float32: inf / inf is nan, and the log of a share that became 0 is minus infinity. "
    "Simplify first, log(e^x / sum) = x − log(sum), and subtract each row's largest logit.",
)
def logs_naive(logits):
    return (logits.exp() / logits.exp().sum(-1, keepdim=True)).log()


@logs_.wrong(
    "overflows",
    "The formula is right, but exp(200) is infinite in float32, and so is the log of the sum. "
    "Subtract each row's largest logit first; with its mean or another of its logits, something still overflows.",
)
def logs_overflow(logits):
    return logits - logits.exp().sum(-1, keepdim=True).log()


@logs_.wrong(
    "shifts only inside the sum",
    "You subtracted the maximum inside the exponential and not from the logit in front, so a row is off by its maximum. "
    "Shift once, and use the shifted logits in both places.",
)
def logs_half_shifted(logits):
    shifted = logits - logits.amax(-1, keepdim=True)
    return logits - shifted.exp().sum(-1, keepdim=True).log()


@logs_.wrong(
    "shifts only the logit in front",
    "You subtracted the maximum from the logit in front and not inside the exponential, so a row is off by its maximum, and the sum "
    "still overflows. Shift once, and use the shifted logits in both places.",
)
def logs_front_shifted(logits):
    return logits - logits.amax(-1, keepdim=True) - logits.exp().sum(-1, keepdim=True).log()


@logs_.wrong(
    "subtracts the largest logit of all rows",
    "You subtracted one maximum, that of the whole tensor. In a row far below it every exponential becomes 0, and log 0 is minus infinity. "
    "Each row needs its own maximum: over the last axis, with keepdim=True.",
)
def logs_global_max(logits):
    shifted = logits - logits.max()
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


@logs_.wrong(
    "probabilities without the logarithm",
    "These are probabilities. Their logarithm was asked for, and it is better not to go through the probabilities at all.",
)
def logs_no_log(logits):
    return torch.softmax(logits, -1)


@logs_.wrong(
    "subtracts the sum, not its log",
    "You subtracted the sum of the exponentials. Dividing by it becomes, under the logarithm, subtracting its *log*.",
)
def logs_minus_sum(logits):
    shifted = logits - logits.amax(-1, keepdim=True)
    return shifted - shifted.exp().sum(-1, keepdim=True)


@logs_.wrong(
    "bits instead of nats",
    "Your numbers are 1.44 times too large: this is the logarithm to base 2. Use the natural logarithm, .log().",
)
def logs_bits(logits):
    return torch.log_softmax(logits, -1) / math.log(2)


@logs_.wrong(
    "the wrong sign",
    "You returned the surprise, minus the log-probability. The log of a probability is 0 or below.",
)
def logs_sign(logits):
    return -torch.log_softmax(logits, -1)


@logs_.wrong(
    "over the wrong axis",
    "The exponentials sum to 1 along the first axis. The tokens to choose from lie along the last one: dim=-1, for the maximum and the sum.",
)
def logs_first_axis(logits):
    return torch.log_softmax(logits, 0)


@logs_.wrong(
    "one sum for all rows",
    "You summed the exponentials of all rows together. Each row is a distribution of its own: sum over the last axis, "
    "dim=-1, with keepdim=True.",
)
def logs_all_rows(logits):
    return torch.log_softmax(logits.flatten(), 0).view(logits.shape)


@logs_.variation("torch's logsumexp")
def logs_logsumexp(logits):
    return logits - torch.logsumexp(logits, -1, keepdim=True)


@logs_.variation("row by row, with Python's own log")
def logs_loop(logits):
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        total = math.log(sum(math.exp(logit - max(row)) for logit in row))
        rows.append([logit - max(row) - total for logit in row])
    return torch.tensor(rows, dtype=logits.dtype).view(logits.shape)


# --- cross_entropy --------------------------------------------------------------------------------------------------

loss_ = Exercise("cross_entropy")


@loss_.check("a model that knows nothing about 1,024 tokens loses log 1024 = 6.93 nats")
def loss_uniform(answer, draw):
    logits, targets = torch.zeros(3, 1024), torch.tensor([0, 17, 1023])
    expect.close(answer(logits, targets), math.log(1024), "the loss", because="every token has probability 1/1024")


@loss_.check("probability ½ for the first target and ⅛ for the second: (0.69 + 2.08) / 2 = 1.39 nats")
def loss_by_hand(answer, draw):
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]).log()
    got = answer(logits, torch.tensor([0, 2]))
    expect.close(got, (math.log(2) + math.log(8)) / 2, "the loss", because="it is the mean of log 2 and log 8")


@loss_.check("it equals torch's cross_entropy: row i is judged by target i alone")
def loss_like_torch(answer, draw):
    logits, targets = draw.normal(7, 5, std=2), draw.integers(0, 5, 7)
    expect.close(answer(logits, targets), F.cross_entropy(logits, targets), "the loss")


@loss_.check("sure and wrong: the loss is 200, and not infinite")
def loss_sure(answer, draw):
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 200.0]])
    expect.close(answer(logits, torch.tensor([1, 0])), 200.0, "the loss", because="each target has probability e^-200")


@loss_.check("the loss is one number, in a tensor without axes: its shape is ()")
def loss_no_axes(answer, draw):
    logits, targets = draw.normal(4, 3), draw.integers(0, 3, 4)
    expect_number(answer(logits, targets), F.cross_entropy(logits, targets))


def expect_number(out, want):
    """Expect a tensor of shape () with this number; a Python number says which call took it out of its tensor."""
    says = f"You returned {expect.show(out)} as a Python number. A loss stays a tensor: leave .item(), .tolist() or float() out."
    expect.true(not isinstance(out, (int, float)), says)
    expect.shape(out, (), "the loss")
    expect.close(out, want, "the loss", atol=1e-4)


@loss_.check("sure and wrong, with any gap between the logits", hidden=True)
def loss_gaps(answer, draw):
    for low, high in [(100, 300), (300, 700), (1000, 5000), (200_000, 3_000_000)]:
        gap, n = float(draw.integer(low, high)), 5
        right = draw.integers(0, 4, n)
        logits = gap * F.one_hot(right, 4)
        expect_number(answer(logits, (right + 1) % 4), gap)
        expect_number(answer(logits, right), 0.0)


@loss_.check("one prediction or many, as many tokens as predictions, and float64", hidden=True)
def loss_sizes(answer, draw):
    for n, d_vocab in [(1, 1), (1, 6), (6, 6), (9, 2), (64, 9), (300, 70)]:
        logits, targets = draw.normal(d_vocab, n, std=3).mT, draw.integers(0, d_vocab, n)  # not contiguous
        expect_number(answer(logits, targets), F.cross_entropy(logits.double(), targets))
        out = answer(logits.double(), targets)
        expect_number(out, F.cross_entropy(logits.double(), targets))
        expect.dtype(out, torch.float64, "the loss")


@loss_.check("adding a number to all logits of a row changes nothing", hidden=True)
def loss_shift(answer, draw):
    logits, targets = draw.normal(9, 6, std=2), draw.integers(0, 6, 9)
    shifted = logits + draw.normal(9, 1, std=100)
    expect.close(answer(shifted, targets), F.cross_entropy(logits, targets), "the loss", atol=1e-3)


def target_log_p(logits, targets):
    return torch.log_softmax(logits, -1).gather(1, targets[:, None])[:, 0]


@loss_.wrong(
    "every row with every target",
    "logp[:, targets] takes the columns of all targets from every row: n × n numbers, where n are wanted. "
    "Index with two tensors, [torch.arange(n), targets]: row i, target i.",
)
def loss_all_pairs(logits, targets):
    return -torch.log_softmax(logits, -1)[:, targets].mean()


@loss_.wrong(
    "a sum instead of a mean",
    "You added the surprises up. Average them: otherwise a long text has a large loss because it is long.",
)
def loss_sum(logits, targets):
    return -target_log_p(logits, targets).sum()


@loss_.wrong("forgets the minus", "Right up to the sign. A surprise is −log p: 0 or above.")
def loss_sign(logits, targets):
    return target_log_p(logits, targets).mean()


@loss_.wrong(
    "bits instead of nats",
    "Your loss is 1.44 times too large: you took the logarithm to base 2, so it is in bits. Nats come from the natural logarithm.",
)
def loss_bits(logits, targets):
    return -target_log_p(logits, targets).mean() / math.log(2)


@loss_.wrong(
    "log of the mean probability",
    "You averaged the probabilities and then took the logarithm. First the logarithm of each, then the mean: one probability near 0 must hurt.",
)
def loss_log_of_mean(logits, targets):
    return -target_log_p(logits, targets).logsumexp(0) + math.log(len(targets))


@loss_.wrong(
    "averages over the vocabulary",
    "You multiplied by a one-hot target and took the mean over all n × d_vocab entries, most of them 0. Your loss is d_vocab times too small: "
    "divide by n, the number of targets.",
)
def loss_one_hot_mean(logits, targets):
    return -(torch.log_softmax(logits, -1) * F.one_hot(targets, logits.shape[-1])).mean()


@loss_.wrong(
    "logits taken for log-probabilities",
    "You picked the logits of the targets as they are. A logit is a score, and means nothing alone: take log_probabilities first.",
)
def loss_raw_logits(logits, targets):
    return -logits.gather(1, targets[:, None]).mean()


@loss_.wrong(
    "one loss for each row",
    "These are the surprises of the single targets, and they are right. The loss is their mean: one number.",
)
def loss_no_mean(logits, targets):
    return -target_log_p(logits, targets)


@loss_.wrong(
    "keeps an axis of size 1",
    "The number is right, in a tensor of shape (1,). A loss has no axes: shape (). Leave keepdim=True out.",
)
def loss_keeps_axis(logits, targets):
    return -target_log_p(logits, targets).mean(0, keepdim=True)


@loss_.wrong(
    "goes through the probability",
    "In float32 the probability e^-200 becomes 0, or an exponential becomes infinite, and the loss with it. "
    "log_probabilities has solved this already: call it, and pick from what it returns.",
)
def loss_through_probability(logits, targets):
    return -torch.softmax(logits, -1).gather(1, targets[:, None]).log().mean()


@loss_.variation("torch's own cross_entropy")
def loss_functional(logits, targets):
    return F.cross_entropy(logits, targets)


@loss_.variation("gather, in float64")
def loss_gather(logits, targets):
    return -torch.log_softmax(logits.double(), -1).gather(1, targets[:, None]).mean().to(logits.dtype)


@loss_.variation("one-hot targets")
def loss_one_hot(logits, targets):
    one_hot = F.one_hot(targets, logits.shape[-1])
    return (logits.logsumexp(-1) - (logits * one_hot).sum(-1)).mean()


# --- token_losses ---------------------------------------------------------------------------------------------------

losses_ = Exercise("token_losses")


@losses_.check("a model that is sure of the next token, and right, has losses near 0")
def losses_oracle(answer, draw):
    tokens = torch.tensor([[3, 1, 4, 1, 5, 0], [2, 0, 2, 4, 5, 3]])
    logits = torch.zeros(2, 6, 6)
    logits[:, :-1] = 20.0 * F.one_hot(tokens[:, 1:], 6)  # row i points at token i + 1
    out = answer(logits, tokens)
    expect.shape(out, (2, 5), axes="batch pos-1")
    expect.close(
        out, torch.zeros(2, 5), "the losses", because="row i of the logits is sure of token i + 1, which comes"
    )


@losses_.check("loss i is the surprise of row i of the logits at token i + 1")
def losses_entries(answer, draw):
    logits, tokens = draw.normal(2, 5, 4, std=2), draw.integers(0, 4, 2, 5)
    tokens[:, :3] = torch.tensor([[0, 1, 2], [3, 1, 0]])  # neighbours differ, so that a shift shows
    out = answer(logits, tokens)
    expect.shape(out, (2, 4), axes="batch pos-1")
    for text, i in [(0, 0), (0, 1), (1, 1), (1, 3)]:
        shares = logits[text, i].softmax(-1)
        what = f"loss {i} of text {text}"
        because = f"row {i} of the logits gives probability {float(shares[tokens[text, i + 1]]):.3f} to token {i + 1}"
        expect.close(out[text, i], -float(shares[tokens[text, i + 1]].log()), what, because=because)


@losses_.check("a model that knows nothing about 8 tokens loses log 8 = 2.08 nats at each of them")
def losses_uniform(answer, draw):
    out = answer(torch.zeros(1, 4, 8), draw.integers(0, 8, 1, 4))
    expect.shape(out, (1, 3), axes="batch pos-1")
    expect.close(out, torch.full((1, 3), math.log(8)), "the losses")


@losses_.check("sure and wrong: the losses are 200, and not infinite")
def losses_sure(answer, draw):
    logits = torch.tensor([[[200.0, 0.0, 0.0], [0.0, 0.0, 200.0], [0.0, 0.0, 0.0]]])
    out = answer(logits, torch.tensor([[0, 1, 0]]))
    because = "each token that came has probability e^-200"
    expect.close(out, torch.full((1, 2), 200.0), "the losses", because=because)


@losses_.check("sure and wrong, with any gap between the logits", hidden=True)
def losses_gaps(answer, draw):
    for low, high in [(100, 300), (300, 700), (1000, 5000), (200_000, 3_000_000)]:
        gap, tokens = float(draw.integer(low, high)), draw.integers(0, 4, 3, 6)
        wrong = draw.integers(0, 2, 3, 5)  # 1 where the model is sure of another token than the one that comes
        logits = draw.normal(3, 6, 4)
        logits[:, :-1] = gap * F.one_hot((tokens[:, 1:] + wrong) % 4, 4)
        expect.close(answer(logits, tokens), gap * wrong.float(), "the losses")


@losses_.check("any number of texts, positions and tokens, and float64", hidden=True)
def losses_sizes(answer, draw):
    for batch, pos, d_vocab in [(1, 2, 5), (4, 2, 2), (3, 7, 6), (5, 6, 5), (6, 6, 6), (4, 70, 33)]:
        logits = draw.normal(batch, d_vocab, pos, std=3).mT  # not contiguous in memory
        tokens = draw.integers(0, d_vocab, batch, pos)
        want = F.cross_entropy(logits[:, :-1].double().mT, tokens[:, 1:], reduction="none")
        out = answer(logits, tokens)
        expect.shape(out, (batch, pos - 1), axes="batch pos-1")
        expect.close(out, want, "the losses", atol=1e-4)
        expect.dtype(answer(logits.double(), tokens), torch.float64, "the losses")


@losses_.check("it equals torch's cross_entropy, token by token", hidden=True)
def losses_like_torch(answer, draw):
    logits, tokens = draw.normal(3, 7, 6, std=3), draw.integers(0, 6, 3, 7)
    want = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    expect.close(answer(logits, tokens), want, "the losses", atol=1e-4)


@losses_.check("neither the first token nor the last row of logits has any influence", hidden=True)
def losses_ends(answer, draw):
    logits, tokens = draw.normal(2, 5, 6), draw.integers(0, 6, 2, 5)
    want = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    logits[:, -1], tokens[:, 0] = draw.normal(2, 6, std=50), draw.integers(0, 6, 2)
    what = "the losses, after the first token and the last row of logits were replaced,"
    expect.close(answer(logits, tokens), want, what, atol=1e-4)


def losses_of(logits, tokens):
    return -torch.log_softmax(logits, -1).gather(-1, tokens[..., None]).squeeze(-1)


@losses_.wrong(
    "judged by the token that it read",
    "You judged row i by token i, the token that the model had read. Row i predicts what comes *after* it: compare logits[:, :-1] with tokens[:, 1:].",
)
def losses_no_shift(logits, tokens):
    return losses_of(logits[:, :-1], tokens[:, :-1])


@losses_.wrong(
    "no shift at all",
    "You returned a loss for every position, each judged by the token that stands there. The model has read that token already. "
    "Drop the last row of logits and the first token.",
)
def losses_same_position(logits, tokens):
    return losses_of(logits, tokens)


@losses_.wrong(
    "shifted the wrong way",
    "You judged row i + 1 by token i: the model is asked for the token before. Row i is about token i + 1: logits[:, :-1] and tokens[:, 1:].",
)
def losses_backwards(logits, tokens):
    return losses_of(logits[:, 1:], tokens[:, :-1])


@losses_.wrong(
    "wraps around",
    "You rolled the tokens by one, so the last row of logits is judged by the first token, which does not come after it. "
    "Nothing judges the last row: leave it out.",
)
def losses_rolled(logits, tokens):
    return losses_of(logits, tokens.roll(-1, dims=1))


@losses_.wrong(
    "drops the first row of both",
    "You left out the first token and the first row of logits, so each row is judged by the token that it has read. "
    "Of the logits, leave out the last row.",
)
def losses_both_first(logits, tokens):
    return losses_of(logits[:, 1:], tokens[:, 1:])


@losses_.wrong(
    "returns the mean",
    "That is the mean of the right losses. Here every token keeps its own: leave the mean out.",
)
def losses_mean(logits, tokens):
    return losses_of(logits[:, :-1], tokens[:, 1:]).mean()


@losses_.wrong("forgets the minus", "Right up to the sign. A surprise is −log p: 0 or above.")
def losses_sign(logits, tokens):
    return -losses_of(logits[:, :-1], tokens[:, 1:])


@losses_.wrong(
    "keeps an axis of size 1",
    "The numbers are right, and an axis of size 1 is left over from gather. Remove it: .squeeze(-1).",
)
def losses_unsqueezed(logits, tokens):
    return losses_of(logits[:, :-1], tokens[:, 1:])[..., None]


@losses_.wrong(
    "goes through the probability",
    "In float32 the probability e^-200 becomes 0, or an exponential becomes infinite, and the loss with it. "
    "log_probabilities has solved this already: call it, and pick from what it returns.",
)
def losses_through_probability(logits, tokens):
    shares = torch.softmax(logits[:, :-1], -1)
    return -shares.gather(-1, tokens[:, 1:, None]).squeeze(-1).log()


@losses_.wrong(
    "every row with every token",
    "Indexing with [..., tokens] takes all tokens of all texts from every row. Row i is judged by one token: "
    "gather(-1, index), where index has as many axes as the tensor.",
)
def losses_all_pairs(logits, tokens):
    return -torch.log_softmax(logits[:, :-1], -1)[..., tokens[:, 1:]]


@losses_.variation("torch's own cross_entropy")
def losses_functional(logits, tokens):
    texts, n = tokens.shape
    flat = F.cross_entropy(logits[:, :-1].reshape(texts * (n - 1), -1), tokens[:, 1:].reshape(-1), reduction="none")
    return flat.view(texts, n - 1)


@losses_.variation("token after token")
def losses_loop(logits, tokens):
    out = torch.zeros(tokens.shape[0], tokens.shape[1] - 1, dtype=logits.dtype)
    for text in range(tokens.shape[0]):
        for i in range(tokens.shape[1] - 1):
            row = logits[text, i]
            out[text, i] = torch.logsumexp(row, 0) - row[tokens[text, i + 1]]
    return out
