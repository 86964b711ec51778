"""How the exercises of lesson 05 are checked.

The truth comes from outside the lab: torch's own layers (LayerNorm, scaled_dot_product_attention), heads written by hand, closed
forms, and the full product where it is small. `Largest` watches what an answer builds, for the exercises about not building it.
"""

import math

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from mechinterp_course.tutor.checks import Exercise, expect


class Largest(TorchFunctionMode):
    """While it is entered, remembers the size of the largest tensor that a torch call returned."""

    numbers = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, torch.Tensor):
                stored = part.untyped_storage().nbytes() // part.element_size()
                self.numbers = max(self.numbers, stored)
        return result


def pair_of(result, names: str) -> tuple:
    """Return the two tensors of an answer that returns a pair."""
    is_pair = isinstance(result, (tuple, list)) and len(result) == 2
    expect.true(is_pair, f"Your function returned {expect.describe(result)}; it should return two tensors: {names}.")
    return tuple(result)


# --- fold_layernorm -------------------------------------------------------------------------------------------------

fold = Exercise("fold_layernorm")


def folded(answer, *inputs):
    return pair_of(answer(*inputs), "the new matrix and the new bias")


def fold_inputs(draw, d_model, out):
    return 1 + draw.normal(d_model, std=0.5), draw.normal(d_model), draw.normal(d_model, out), draw.normal(out)


@fold.check("w = (2, 3), b = (1, 1), one column (5, 1): W' is (3.5, -3.5) and the bias 6")
def fold_by_hand(answer, draw):
    W, bias = folded(answer, torch.tensor([2.0, 3.0]), torch.ones(2), torch.tensor([[5.0], [1.0]]), torch.zeros(1))
    expect.close(W, torch.tensor([[3.5], [-3.5]]), "W'")
    expect.close(bias, torch.tensor([6.0]), "the new bias")


@fold.check("x / σ @ W' + bias' is what torch's LayerNorm and then the matrix give, for a stream that is not centred")
def fold_like_torch(answer, draw):
    w, b, W, bias = inputs = fold_inputs(draw, 6, 4)
    new_W, new_bias = folded(answer, *inputs)
    expect.shape(new_W, (6, 4), "W'", axes="d_model out")
    expect.shape(new_bias, (4,), "the new bias")
    same_after_layernorm(new_W, new_bias, w, b, W, bias, 3 + draw.normal(5, 6, std=2))


@fold.check("every column of W' has mean 0")
def fold_centred(answer, draw):
    W, _ = folded(answer, *fold_inputs(draw, 5, 7))
    expect.close(W.mean(0), torch.zeros(7), "the mean of each column of W'")


@fold.check("a single column, many columns, a LayerNorm without a shift", hidden=True)
def fold_sizes(answer, draw):
    for d_model, out in ((8, 1), (3, 20)):
        w, b, W, bias = fold_inputs(draw, d_model, out)
        for shift in (b, torch.zeros(d_model)):
            new_W, new_bias = folded(answer, w, shift, W, bias)
            same_after_layernorm(new_W, new_bias, w, shift, W, bias, draw.normal(4, d_model) - 1)


def same_after_layernorm(new_W, new_bias, w, b, W, bias, x):
    sigma = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    want = F.linear(F.layer_norm(x, (len(w),), w, b, 1e-5), W.T, bias)
    got = (x / sigma).to(new_W.dtype) @ new_W + new_bias
    expect.close(got, want, "x / σ @ W' + bias'", atol=1e-4)


@fold.wrong(
    "leaves b out",
    "The bias came back as it was. LayerNorm adds b before the matrix, so b @ W arrives behind it, whatever the text.",
)
def fold_no_b(w, b, W, bias):
    scaled = w[:, None] * W
    return scaled - scaled.mean(0), bias


@fold.wrong(
    "does not centre the columns",
    "Your W' is scaled and not centred. LayerNorm subtracts the mean of x; a matrix does that where each of its columns has mean 0.",
)
def fold_not_centred(w, b, W, bias):
    return w[:, None] * W, bias + b @ W


@fold.wrong(
    "centres the rows",
    "Each *row* of your W' has mean 0. The mean that LayerNorm takes away is over d_model, which runs down each column: dim=0.",
)
def fold_rows(w, b, W, bias):
    scaled = w[:, None] * W
    return scaled - scaled.mean(1, keepdim=True), bias + b @ W


@fold.wrong(
    "one mean for the whole matrix",
    "You subtracted one number, the mean of all entries. Each column needs its own: the mean over the rows, dim=0 with keepdim=True.",
)
def fold_one_mean(w, b, W, bias):
    scaled = w[:, None] * W
    return scaled - scaled.mean(), bias + b @ W


@fold.wrong(
    "leaves the old bias out",
    "Your new bias is b @ W alone. The layer's own bias is still there: add it.",
)
def fold_no_old_bias(w, b, W, bias):
    scaled = w[:, None] * W
    return scaled - scaled.mean(0), b @ W


@fold.wrong(
    "centres before it scales",
    "You centred W first and multiplied by w afterwards. LayerNorm centres x *before* w, so w belongs to the matrix first: scale, then centre.",
)
def fold_order(w, b, W, bias):
    return w[:, None] * (W - W.mean(0)), bias + b @ W


@fold.wrong(
    "leaves w out",
    "The columns are centred, but w is missing: multiply row i of W by w[i].",
)
def fold_no_w(w, b, W, bias):
    return W - W.mean(0), bias + b @ W


@fold.wrong(
    "sends b through the new matrix",
    "You added b @ W'. LayerNorm adds b after its scaling and centring, so b meets the old W: the bias grows by b @ W.",
)
def fold_b_new(w, b, W, bias):
    scaled = w[:, None] * W
    scaled = scaled - scaled.mean(0)
    return scaled, bias + b @ scaled


@fold.wrong(
    "multiplies b by w as well",
    "You sent b through W with its rows already scaled. LayerNorm adds b after w: the bias grows by b @ W, with the old W.",
)
def fold_b_scaled(w, b, W, bias):
    scaled = w[:, None] * W
    return scaled - scaled.mean(0), bias + b @ scaled


@fold.variation("a centring matrix and a diagonal matrix")
def fold_matrices(w, b, W, bias):
    n = len(w)
    centre = torch.eye(n) - torch.ones(n, n) / n
    return centre @ torch.diag(w) @ W, bias + torch.einsum("m,mo->o", b, W)


@fold.variation("column by column, in float64")
def fold_loop(w, b, W, bias):
    columns, new = [], []
    for column, c in zip(W.T.double(), bias.double(), strict=True):
        scaled = column * w.double()
        columns.append(scaled - scaled.sum() / len(w))
        new.append(c + (b.double() * column).sum())
    return torch.stack(columns, 1), torch.stack(new)


# --- bigram_table ---------------------------------------------------------------------------------------------------

bigram = Exercise("bigram_table")


def bigram_inputs(draw, d_vocab=7, d_model=4):
    return 1 + draw.normal(d_vocab, d_model, std=2), draw.normal(d_model, d_vocab), draw.normal(d_vocab), 1e-5


@bigram.check("weights that were built to hold a known table give that table back")
def bigram_planted(answer, draw):
    table = draw.normal(5, 5, std=2).log_softmax(-1)
    eye = torch.eye(5)
    # Each row is (e_t, -e_t), of any length: its mean is 0, and LayerNorm brings its entries to ±√5.
    W_E = torch.cat([eye, -eye], dim=1) * draw.uniform(5, 1, low=1, high=9)
    W_U = torch.cat([table, -table], dim=0) / (2 * math.sqrt(5))
    out = answer(W_E, W_U, torch.zeros(5), 1e-9)
    expect.shape(out, (5, 5), axes="token, next token")
    expect.close(out, table, "the table", atol=1e-4)


@bigram.check("each row holds the logarithms of probabilities that sum to 1")
def bigram_rows(answer, draw):
    out = answer(*bigram_inputs(draw))
    expect.shape(out, (7, 7), axes="token, next token")
    expect.close(out.exp().sum(-1), torch.ones(7), "the sum of the probabilities in each row", atol=1e-4)


@bigram.check("it is what torch's LayerNorm, Linear and cross-entropy give")
def bigram_like_torch(answer, draw):
    for d_vocab, d_model, size, eps in ((7, 4, 1.0, 1e-5), (6, 5, 0.003, 1e-5), (4, 9, 1.0, 0.1)):
        W_E, W_U, b_U, _ = bigram_inputs(draw, d_vocab, d_model)
        same_as_torch(answer, W_E * size, W_U, b_U, eps)


@bigram.check("a single token, and a vocabulary of two hundred", hidden=True)
def bigram_sizes(answer, draw):
    for d_vocab, d_model in ((1, 3), (200, 12)):
        same_as_torch(answer, *bigram_inputs(draw, d_vocab, d_model))


@bigram.check("logits of hundreds give no infinity")
def bigram_large(answer, draw):
    W_E, W_U, b_U, eps = bigram_inputs(draw, 9, 5)
    same_as_torch(answer, W_E, 100 * W_U, b_U, eps)


@bigram.check("the table can be trained: it is not cut off from W_E, W_U and b_U")
def bigram_trains(answer, draw):
    *weights, eps = bigram_inputs(draw)
    with torch.enable_grad():
        out = answer(*(part.requires_grad_() for part in weights), eps)
    expect.shape(out, (7, 7), axes="token, next token")
    expect.true(
        out.requires_grad,
        "Your table is cut off from the weights it was made of, so nothing can be trained through it. Leave out .detach(), "
        ".data, torch.no_grad() and new tensors made from numbers.",
    )


def same_as_torch(answer, W_E, W_U, b_U, eps):
    logits = F.linear(F.layer_norm(W_E, (W_E.shape[1],), eps=eps), W_U.T, b_U)
    pairs = [F.cross_entropy(logits, torch.full((len(W_E),), n), reduction="none") for n in range(W_U.shape[1])]
    expect.close(answer(W_E, W_U, b_U, eps), -torch.stack(pairs, 1), "the table", atol=1e-3)


def normed(W_E, eps):
    return F.layer_norm(W_E, (W_E.shape[1],), eps=eps)


@bigram.wrong(
    "leaves the LayerNorm out",
    "You multiplied W_E by W_U as it is. The model has a final LayerNorm between them, also without layers: normalise each row first.",
)
def bigram_no_norm(W_E, W_U, b_U, eps):
    return (W_E @ W_U + b_U).log_softmax(-1)


@bigram.wrong(
    "softmax over the wrong axis",
    "Each *column* of your table is a distribution. A row is one token; the probabilities of what follows it must sum to 1.",
)
def bigram_columns(W_E, W_U, b_U, eps):
    return (normed(W_E, eps) @ W_U + b_U).log_softmax(0)


@bigram.wrong("returns probabilities", "These are the probabilities. Return their logarithms: torch.log_softmax.")
def bigram_probabilities(W_E, W_U, b_U, eps):
    return (normed(W_E, eps) @ W_U + b_U).softmax(-1)


@bigram.wrong(
    "the logarithm of a softmax",
    "You took log of a softmax. A probability below 1e-45 is 0 in float32, and its logarithm is minus infinity: torch.log_softmax avoids that.",
)
def bigram_log_of_softmax(W_E, W_U, b_U, eps):
    return (normed(W_E, eps) @ W_U + b_U).softmax(-1).log()


@bigram.wrong(
    "leaves eps out",
    "eps is missing: it is added to the variance, under the root. Where a row is tiny it decides the result.",
)
def bigram_no_eps(W_E, W_U, b_U, eps):
    return (normed(W_E, 0.0) @ W_U + b_U).log_softmax(-1)


@bigram.wrong(
    "an eps of its own",
    "Your eps is 1e-5, whatever is given. Use the argument eps.",
)
def bigram_fixed_eps(W_E, W_U, b_U, eps):
    return (normed(W_E, 1e-5) @ W_U + b_U).log_softmax(-1)


@bigram.wrong("returns logits", "These are the logits. The log-softmax over each row is missing.")
def bigram_logits(W_E, W_U, b_U, eps):
    return normed(W_E, eps) @ W_U + b_U


@bigram.wrong(
    "leaves b_U out",
    "b_U is missing. It is the same for every token, and still part of the model: it says how frequent each next token is.",
)
def bigram_no_bias(W_E, W_U, b_U, eps):
    return (normed(W_E, eps) @ W_U).log_softmax(-1)


@bigram.wrong(
    "unembeds with W_E",
    "You multiplied by W_E transposed. Some models tie the two tables, this one does not: it has a W_U of its own.",
)
def bigram_tied(W_E, W_U, b_U, eps):
    return (normed(W_E, eps) @ W_E.T + b_U).log_softmax(-1)


@bigram.wrong(
    "normalises over the tokens",
    "The mean and the variance were taken over the tokens, down each column. LayerNorm works on one token's d_model numbers: dim=-1.",
)
def bigram_over_tokens(W_E, W_U, b_U, eps):
    return (normed(W_E.T, eps).T @ W_U + b_U).log_softmax(-1)


@bigram.wrong(
    "divides by n - 1",
    "Your numbers are a little off: .std() and .var() divide by n - 1 unless you pass unbiased=False. LayerNorm divides by n.",
)
def bigram_unbiased(W_E, W_U, b_U, eps):
    centred = W_E - W_E.mean(-1, keepdim=True)
    return (centred / (W_E.var(-1, keepdim=True) + eps).sqrt() @ W_U + b_U).log_softmax(-1)


@bigram.wrong(
    "does not centre",
    "The mean of each row was not subtracted before the division.",
)
def bigram_rms(W_E, W_U, b_U, eps):
    return (W_E / (W_E.pow(2).mean(-1, keepdim=True) + eps).sqrt() @ W_U + b_U).log_softmax(-1)


@bigram.wrong(
    "adds eps behind the root",
    "You added eps to the standard deviation. It belongs to the variance, under the root: √(variance + eps).",
)
def bigram_eps_outside(W_E, W_U, b_U, eps):
    centred = W_E - W_E.mean(-1, keepdim=True)
    return (centred / (W_E.std(-1, keepdim=True, unbiased=False) + eps) @ W_U + b_U).log_softmax(-1)


@bigram.variation("logits less their logsumexp")
def bigram_by_logsumexp(W_E, W_U, b_U, eps):
    variance, mean = torch.var_mean(W_E, dim=-1, keepdim=True, unbiased=False)
    logits = torch.einsum("tm,mn->tn", (W_E - mean) * torch.rsqrt(variance + eps), W_U) + b_U
    return logits - logits.logsumexp(-1, keepdim=True)


@bigram.variation("token by token, in float64")
def bigram_loop(W_E, W_U, b_U, eps):
    rows = []
    for row in W_E.double():
        row = row - row.mean()
        row = row / ((row**2).mean() + eps) ** 0.5
        rows.append(torch.log_softmax(row @ W_U.double() + b_U.double(), dim=0))
    return torch.stack(rows).float()


# --- ov_circuit -----------------------------------------------------------------------------------------------------

ov = Exercise("ov_circuit")


def ov_inputs(draw, source=5, d_model=6, d_head=3, out=8):
    reads, W_V = draw.normal(source, d_model), draw.normal(d_model, d_head)
    return reads, W_V, draw.normal(d_head, d_model), draw.normal(d_model, out)


@ov.check("a head that was built to turn token t into token t + 1 raises exactly that one")
def ov_planted(answer, draw):
    size = draw.uniform(1, low=1, high=4)
    out = answer(torch.eye(4), size * torch.eye(4), torch.eye(4).roll(1, dims=1), torch.eye(4))
    expect.shape(out, (4, 4), axes="source out")
    expect.close(out, size * torch.eye(4).roll(1, dims=1), "the table")


@ov.check("each entry is the source's vector through W_V, W_O and the output's column of W_U")
def ov_entry(answer, draw):
    reads, W_V, W_O, W_U = inputs = ov_inputs(draw)
    out = answer(*inputs)
    expect.shape(out, (5, 8), axes="source out")
    for source, token in ((0, 0), (4, 2), (1, 7)):
        value = [sum(reads[source, m] * W_V[m, d] for m in range(6)) for d in range(3)]
        written = [sum(value[d] * W_O[d, m] for d in range(3)) for m in range(6)]
        want = float(sum(written[m] * W_U[m, token] for m in range(6)))
        expect.close(out[source, token], want, f"the entry of source {source} and output {token}", atol=1e-4)
    expect.close(out, attending(*inputs), "the table", atol=1e-3)


@ov.check("one source alone, and more sources than outputs")
def ov_sizes(answer, draw):
    for source, out in ((1, 4), (9, 2)):
        inputs = ov_inputs(draw, source=source, d_model=7, d_head=2, out=out)
        got = answer(*inputs)
        expect.shape(got, (source, out), axes="source out")
        expect.close(got, attending(*inputs), "the table", atol=1e-3)


@ov.check("a head whose attention is spread adds the rows of its sources, weighted", hidden=True)
def ov_spread(answer, draw):
    reads, W_V, W_O, W_U = inputs = ov_inputs(draw, source=12, d_model=5, d_head=4, out=9)
    query, key = draw.normal(1, 3, 4), draw.normal(1, 12, 4)
    pattern = (query @ key.mT / 2).softmax(-1)
    mixed = F.scaled_dot_product_attention(query, key, (reads @ W_V)[None])
    table = answer(*inputs)
    expect.close(pattern[0].to(table.dtype) @ table, mixed[0] @ W_O @ W_U, "pattern @ the table", atol=1e-3)


def attending(reads, W_V, W_O, W_U):
    """Run torch's attention with one query for each source, which looks at that source alone, and read the logits."""
    n = len(reads)
    query = 1e4 * torch.eye(n)
    z = F.scaled_dot_product_attention(query[None], torch.eye(n)[None], F.linear(reads, W_V.T)[None])
    return F.linear(F.linear(z[0], W_O.T), W_U.T)


@ov.wrong(
    "rows and columns exchanged",
    "Your table is (out, source). A row is the token that the head attends to, a column the output: (source, out).",
)
def ov_transposed(reads, W_V, W_O, W_U):
    return (reads @ W_V @ W_O @ W_U).T


@ov.wrong(
    "W_V W_O the wrong way round",
    "You used W_V W_O transposed. The stream is (d_model, d_model) on both sides, so torch does not mind; but the source goes in at W_V's side.",
)
def ov_middle_transposed(reads, W_V, W_O, W_U):
    return reads @ (W_V @ W_O).T @ W_U


@ov.wrong(
    "adds the direct path",
    "Your table also holds the source's own vector times W_U: that is the direct path. It exists only at the source's position; the head does not move it.",
)
def ov_direct(reads, W_V, W_O, W_U):
    return (reads + reads @ W_V @ W_O) @ W_U


@ov.wrong(
    "softmax over the outputs",
    "You took a softmax. A head adds to logits, together with other heads; the softmax comes after the sum.",
)
def ov_softmax(reads, W_V, W_O, W_U):
    return (reads @ W_V @ W_O @ W_U).softmax(-1)


@ov.wrong(
    "unembeds with reads",
    "You multiplied by the reads, transposed, where the unembedding belongs. This model's W_U is not its W_E.",
)
def ov_tied(reads, W_V, W_O, W_U):
    return reads @ W_V @ W_O @ reads.T


@ov.wrong(
    "stops in the stream",
    "Your table ends in the residual stream, (source, d_model). Multiply by W_U to get logits.",
)
def ov_no_unembed(reads, W_V, W_O, W_U):
    return reads @ W_V @ W_O


@ov.wrong(
    "subtracts a mean",
    "You subtracted a mean from each row. Nothing in the OV circuit centres: an output may be raised by all sources, and the table says so.",
)
def ov_centred(reads, W_V, W_O, W_U):
    table = reads @ W_V @ W_O @ W_U
    return table - table.mean(-1, keepdim=True)


@ov.variation("W_V W_O first, by einsum")
def ov_einsum(reads, W_V, W_O, W_U):
    W_OV = torch.einsum("md,dn->mn", W_V, W_O)
    return torch.einsum("sm,mn,no->so", reads, W_OV, W_U)


@ov.variation("source by source, in float64")
def ov_loop(reads, W_V, W_O, W_U):
    back = W_O.double() @ W_U.double()
    return torch.stack([(row.double() @ W_V.double()) @ back for row in reads])


# --- qk_circuit -----------------------------------------------------------------------------------------------------

qk = Exercise("qk_circuit")


def qk_inputs(draw, tokens=5, d_model=6, d_head=4):
    reads, W_Q = draw.normal(tokens, d_model), draw.normal(d_model, d_head)
    return reads, W_Q, draw.normal(d_head), draw.normal(d_model, d_head)


@qk.check("by hand: scores 2 and 0 of one query become 1 and -1, divided by √d_head")
def qk_by_hand(answer, draw):
    reads, eye = torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.eye(2)
    # Queries (1, 0) and (0, 3), keys (2, 0) and (0, 2): scores (2, 0) and (0, 18 / 3), before the root of 2.
    keys = torch.tensor([[2.0, 0.0], [0.0, 2 / 3]])
    want = torch.tensor([[1.0, -1.0], [-3.0, 3.0]]) / math.sqrt(2)
    expect.close(answer(reads, eye, torch.zeros(2), keys), want, "the table")


@qk.check("the softmax of each row is the attention of torch's own layer")
def qk_like_torch(answer, draw):
    reads, *weights = qk_inputs(draw)
    inputs = (reads / 2, *weights)  # so that no row is one key's alone, and the message shows more than 0 and 1
    out = answer(*inputs)
    expect.shape(out, (5, 5), axes="query key")
    expect.close(out.softmax(-1), torch_pattern(*inputs), "the softmax of each row", atol=1e-4)


@qk.check("every row has mean 0")
def qk_mean(answer, draw):
    out = answer(*qk_inputs(draw, tokens=7, d_model=3, d_head=2))
    expect.shape(out, (7, 7), axes="query key")
    expect.close(out.mean(-1), torch.zeros(7), "the mean of each row", atol=1e-4)


@qk.check("twenty tokens, of any size, against torch", hidden=True)
def qk_more(answer, draw):
    for tokens, d_head in ((20, 3), (2, 9), (1, 2)):
        inputs = qk_inputs(draw, tokens=tokens, d_model=5, d_head=d_head)
        out = answer(*inputs)
        expect.shape(out, (tokens, tokens), axes="query key")
        want = torch_pattern(*inputs).log()
        expect.close(out, want - want.mean(-1, keepdim=True), "the table", atol=1e-3)


def torch_pattern(reads, W_Q, b_Q, W_K):
    """Return the pattern of torch's attention without a mask, read off with one-hot values; in float64."""
    reads, W_Q, b_Q, W_K = (part.double() for part in (reads, W_Q, b_Q, W_K))
    query, key = F.linear(reads, W_Q.T, b_Q)[None], F.linear(reads, W_K.T)[None]
    return F.scaled_dot_product_attention(query, key, torch.eye(len(reads), dtype=torch.float64)[None])[0].float()


def raw_scores(reads, W_Q, b_Q, W_K):
    return (reads @ W_Q + b_Q) @ (reads @ W_K).T


@qk.wrong(
    "does not subtract the mean",
    "These are the raw scores. Subtract from each row its mean over the keys: what all keys of a query share changes no pattern.",
)
def qk_raw(reads, W_Q, b_Q, W_K):
    return raw_scores(reads, W_Q, b_Q, W_K) / W_Q.shape[1] ** 0.5


@qk.wrong(
    "subtracts the mean of each column",
    "Each *column* of your table has mean 0. The softmax runs over the keys of one query, which is a row: take the mean with dim=-1.",
)
def qk_columns(reads, W_Q, b_Q, W_K):
    scores = raw_scores(reads, W_Q, b_Q, W_K) / W_Q.shape[1] ** 0.5
    return scores - scores.mean(0, keepdim=True)


@qk.wrong(
    "subtracts one mean from the whole table",
    "You subtracted the mean of all entries. Each query has its own: keep the axis of the queries (dim=-1, keepdim=True).",
)
def qk_one_mean(reads, W_Q, b_Q, W_K):
    scores = raw_scores(reads, W_Q, b_Q, W_K) / W_Q.shape[1] ** 0.5
    return scores - scores.mean()


@qk.wrong(
    "no scaling",
    "Your entries are √d_head times too large. The model divides its scores by √d_head before the softmax.",
)
def qk_unscaled(reads, W_Q, b_Q, W_K):
    scores = raw_scores(reads, W_Q, b_Q, W_K)
    return scores - scores.mean(-1, keepdim=True)


@qk.wrong(
    "scales by √d_model",
    "You divided by √d_model. Queries and keys have d_head numbers: the root of W_Q's second axis.",
)
def qk_by_d_model(reads, W_Q, b_Q, W_K):
    scores = raw_scores(reads, W_Q, b_Q, W_K) / W_Q.shape[0] ** 0.5
    return scores - scores.mean(-1, keepdim=True)


@qk.wrong(
    "leaves b_Q out",
    "b_Q is missing. Unlike b_K it does change the pattern: it meets every key with its own product.",
)
def qk_no_bias(reads, W_Q, b_Q, W_K):
    return qk_right(reads, W_Q, 0 * b_Q, W_K)


@qk.wrong(
    "queries and keys exchanged",
    "Rows and columns are exchanged: you took the mean over the keys, but returned (key, query). A row is a query.",
)
def qk_transposed(reads, W_Q, b_Q, W_K):
    return qk_right(reads, W_Q, b_Q, W_K).T


@qk.wrong(
    "returns the pattern",
    "You took a softmax over the whole vocabulary. No text holds all tokens once; return the scores, less their mean.",
)
def qk_softmax(reads, W_Q, b_Q, W_K):
    return qk_right(reads, W_Q, b_Q, W_K).softmax(-1)


def qk_right(reads, W_Q, b_Q, W_K):
    scores = raw_scores(reads, W_Q, b_Q, W_K) / W_Q.shape[1] ** 0.5
    return scores - scores.mean(-1, keepdim=True)


@qk.variation("centres the keys, through the one matrix W_Q W_K")
def qk_centred_keys(reads, W_Q, b_Q, W_K):
    difference = reads - reads.mean(0)
    return (reads @ (W_Q @ W_K.T) @ difference.T + b_Q @ (difference @ W_K).T) / math.sqrt(W_Q.shape[1])


@qk.variation("query by query, in float64")
def qk_loop(reads, W_Q, b_Q, W_K):
    reads, W_Q, b_Q, W_K = (part.double() for part in (reads, W_Q, b_Q, W_K))
    keys, rows = reads @ W_K, []
    for token in reads:
        row = keys @ (token @ W_Q + b_Q) / W_Q.shape[1] ** 0.5
        rows.append(row - row.mean())
    return torch.stack(rows).float()


# --- positional_pattern ---------------------------------------------------------------------------------------------

positional = Exercise("positional_pattern")


def positional_inputs(draw, pos=7, d_model=6, d_head=4):
    W_pos, scale = draw.normal(pos, d_model), float(draw.uniform(1, low=1.5, high=3))
    return W_pos, scale, draw.normal(d_model, d_head), draw.normal(d_head), draw.normal(d_model, d_head)


@positional.check("a head that was built to look one position back does, and position 0 looks at itself")
def positional_planted(answer, draw):
    back = 30 * torch.eye(8).roll(-1, dims=1)  # the query of position i is the key of position i - 1
    pattern = answer(2 * torch.eye(8), 2.0, back, torch.zeros(8), torch.eye(8))
    expect.shape(pattern, (8, 8), axes="query key")
    want = torch.eye(8).roll(-1, dims=1)
    want[0] = torch.eye(8)[0]
    expect.close(pattern, want, "the pattern", atol=1e-3)


@positional.check("every row sums to 1, and no position sees a later one")
def positional_rows(answer, draw):
    pattern = answer(*positional_inputs(draw))
    expect.shape(pattern, (7, 7), axes="query key")
    expect.close(pattern.triu(1), torch.zeros(7, 7), "the attention to later positions")
    expect.close(pattern.sum(-1), torch.ones(7), "the sum of each row")


@positional.check("it is the pattern of torch's own causal attention on W_pos / scale")
def positional_like_torch(answer, draw):
    for pos in (1, 5):
        inputs = positional_inputs(draw, pos=pos)
        expect.close(answer(*inputs), causal_pattern(*inputs), f"the pattern of {pos} positions", atol=1e-4)


@positional.check("scores of hundreds give the same attention as torch's")
def positional_large(answer, draw):
    W_pos, scale, W_Q, b_Q, W_K = inputs = positional_inputs(draw, pos=6)
    first = float(positional_scores(*inputs)[0, 0])
    size = -400 / first  # position 0 can see one key, and its score is -400: far below a mask of -100
    inputs = (W_pos, scale, size * W_Q, size * b_Q, W_K)
    expect.close(
        answer(*inputs), causal_pattern(*(as_double(part) for part in inputs)).float(), "the pattern", atol=2e-3
    )


def as_double(part):
    return part.double() if isinstance(part, torch.Tensor) else part


@positional.check("scaling W_pos and the scale together changes nothing", hidden=True)
def positional_scale(answer, draw):
    W_pos, scale, W_Q, b_Q, W_K = inputs = positional_inputs(draw, pos=30, d_model=5, d_head=9)
    want = causal_pattern(*inputs)
    expect.close(answer(7 * W_pos, 7 * scale, W_Q, b_Q, W_K), want, "the pattern", atol=1e-4)


def causal_pattern(W_pos, scale, W_Q, b_Q, W_K):
    read = W_pos / scale
    query, key = F.linear(read, W_Q.T, b_Q)[None], F.linear(read, W_K.T)[None]
    return F.scaled_dot_product_attention(query, key, torch.eye(len(W_pos), dtype=key.dtype)[None], is_causal=True)[0]


def positional_scores(W_pos, scale, W_Q, b_Q, W_K):
    return (W_pos / scale @ W_Q + b_Q) @ (W_pos / scale @ W_K).T / W_Q.shape[1] ** 0.5


def causal(scores, first=1):
    later = torch.ones_like(scores, dtype=torch.bool).triu(first)
    return scores.masked_fill(later, float("-inf")).softmax(-1)


@positional.wrong(
    "no causal mask",
    "Your positions look ahead. Set the scores of later keys to minus infinity before the softmax.",
)
def positional_no_mask(W_pos, scale, W_Q, b_Q, W_K):
    return positional_scores(W_pos, scale, W_Q, b_Q, W_K).softmax(-1)


@positional.wrong(
    "masks after the softmax",
    "Your rows do not sum to 1: later keys took their share in the softmax before they were set to 0. Mask first.",
)
def positional_late_mask(W_pos, scale, W_Q, b_Q, W_K):
    return positional_scores(W_pos, scale, W_Q, b_Q, W_K).softmax(-1).tril()


@positional.wrong(
    "leaves the scale out",
    "You used W_pos as it is. The head reads it through a LayerNorm: divide by scale, on the query's side and on the key's.",
)
def positional_no_scale(W_pos, scale, W_Q, b_Q, W_K):
    return causal(positional_scores(W_pos, 1.0, W_Q, b_Q, W_K))


@positional.wrong(
    "divides by the scale once",
    "You divided the scores by scale once. Query *and* key are made from a normalised stream, so the scale enters twice (and b_Q not at all).",
)
def positional_scale_once(W_pos, scale, W_Q, b_Q, W_K):
    return causal(positional_scores(W_pos, 1.0, W_Q, b_Q, W_K) / scale)


@positional.wrong(
    "multiplies by the scale",
    "You multiplied by scale. A LayerNorm divides by it.",
)
def positional_times_scale(W_pos, scale, W_Q, b_Q, W_K):
    return causal(positional_scores(W_pos, 1 / scale, W_Q, b_Q, W_K))


@positional.wrong(
    "leaves b_Q out",
    "b_Q is missing. It meets every key with its own product, so it changes the pattern.",
)
def positional_no_bias(W_pos, scale, W_Q, b_Q, W_K):
    return causal(positional_scores(W_pos, scale, W_Q, 0 * b_Q, W_K))


@positional.wrong(
    "no division by √d_head",
    "Your pattern is too sharp: the scores are not divided by √d_head.",
)
def positional_unscaled(W_pos, scale, W_Q, b_Q, W_K):
    return causal(positional_scores(W_pos, scale, W_Q, b_Q, W_K) * W_Q.shape[1] ** 0.5)


@positional.wrong(
    "softmax over the queries",
    "Each *column* sums to 1. A row is a query, and its attention to the keys must sum to 1: dim=-1.",
)
def positional_columns(W_pos, scale, W_Q, b_Q, W_K):
    scores = positional_scores(W_pos, scale, W_Q, b_Q, W_K)
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(0)


@positional.wrong(
    "the keys look at the queries",
    "Queries and keys are exchanged: row i must be made from position i's *query*, W_Q and b_Q.",
)
def positional_exchanged(W_pos, scale, W_Q, b_Q, W_K):
    return causal(positional_scores(W_pos, scale, W_Q, b_Q, W_K).T)


@positional.wrong(
    "masks with a number that is not low enough",
    "Your masked scores are low, but real scores can be lower still, and then a later key gets attention. Use float('-inf').",
)
def positional_low_number(W_pos, scale, W_Q, b_Q, W_K):
    scores = positional_scores(W_pos, scale, W_Q, b_Q, W_K)
    return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -100.0).softmax(-1)


@positional.wrong(
    "masks with 0",
    "You set the scores of later keys to 0. A score of 0 is not no attention: e to the 0 is 1. Use minus infinity.",
)
def positional_mask_zero(W_pos, scale, W_Q, b_Q, W_K):
    return positional_scores(W_pos, scale, W_Q, b_Q, W_K).tril().softmax(-1)


@positional.wrong(
    "an exp that overflows",
    "You took exp of the scores yourself. From 89 on it is infinite in float32, and infinity over infinity is NaN: .softmax(-1) avoids that.",
)
def positional_plain_exp(W_pos, scale, W_Q, b_Q, W_K):
    raw = positional_scores(W_pos, scale, W_Q, b_Q, W_K).exp().tril()
    return raw / raw.sum(-1, keepdim=True)


@positional.variation("a sum with a matrix of minus infinities, by einsum")
def positional_einsum(W_pos, scale, W_Q, b_Q, W_K):
    query = torch.einsum("pm,md->pd", W_pos, W_Q) / scale + b_Q
    key = torch.einsum("pm,md->pd", W_pos, W_K) / scale
    mask = torch.full((len(W_pos), len(W_pos)), float("-inf")).triu(1)
    return torch.softmax(torch.einsum("qd,kd->qk", query, key) / math.sqrt(W_Q.shape[1]) + mask, dim=-1)


@positional.variation("row by row, over the keys that it sees, in float64")
def positional_loop(W_pos, scale, W_Q, b_Q, W_K):
    read = W_pos.double() / scale
    pattern = torch.zeros(len(read), len(read), dtype=torch.float64)
    for i in range(len(read)):
        row = (read[: i + 1] @ W_K.double()) @ (read[i] @ W_Q.double() + b_Q.double()) / W_Q.shape[1] ** 0.5
        pattern[i, : i + 1] = row.softmax(0)
    return pattern.float()


# --- skip_trigrams --------------------------------------------------------------------------------------------------

skip = Exercise("skip_trigrams")


def skip_inputs(draw, tokens=40, d_model=6, d_head=4, out=50):
    reads = draw.normal(tokens, d_model) + 0.5 * draw.normal(d_model)
    head = {f"W_{x}": draw.normal(d_model, d_head) for x in "QKV"}
    head |= {"b_Q": draw.normal(d_head), "W_O": draw.normal(d_head, d_model)}
    return reads, head, draw.normal(d_model, out)


@skip.check(
    "on a head that was built by hand: token 2 is wanted by 4 and then by 2 itself, and raises output 5 and then 1"
)
def skip_planted(answer, draw):
    W_Q, W_O = torch.zeros(5, 5), torch.zeros(5, 5)
    W_Q[4, 2], W_Q[2, 2] = 3.0, 2.0
    W_O[2, 0], W_O[2, 1] = 3.0, 2.0
    W_U = torch.zeros(5, 6)
    W_U[0, 5], W_U[1, 1] = 1.0, 1.0
    eye = torch.eye(5)
    head = {"W_Q": W_Q, "b_Q": torch.zeros(5), "W_K": eye, "W_V": eye, "W_O": W_O}
    queries, outputs = lists_of(answer(2, 2, eye, head, W_U), 2)
    expect.equal(queries, torch.tensor([4, 2]), "the queries")
    expect.equal(outputs, torch.tensor([5, 1]), "the outputs")


@skip.check("the queries are those whose score with the source exceeds their mean over all keys most, best first")
def skip_queries(answer, draw):
    reads, head, W_U = skip_inputs(draw)
    for source, k in ((7, 5), (30, 1)):
        queries, _ = lists_of(answer(source, k, reads, head, W_U), k)
        best_of(queries, wanted_by_loop(source, reads, head), "queries", "score with the source less the mean score")


@skip.check("the outputs are those that the source raises most, best first")
def skip_outputs(answer, draw):
    reads, head, W_U = skip_inputs(draw)
    for source, k in ((3, 6), (39, 2)):
        _, outputs = lists_of(answer(source, k, reads, head, W_U), k)
        raised = F.linear(F.linear(reads[source] @ head["W_V"], head["W_O"].T), W_U.T)
        best_of(outputs, raised, "outputs", "logit that the head adds")


@skip.check("no table is built on the way")
def skip_small(answer, draw):
    reads, head, W_U = skip_inputs(draw, tokens=300, d_model=8, out=350)
    with Largest() as largest:
        lists_of(answer(11, 4, reads, head, W_U), 4)
    expect.true(
        largest.numbers <= 300 * 60,
        f"On 300 tokens you made a tensor of {largest.numbers:,} numbers: a whole table. Pick the source's row of reads "
        "first, and multiply that.",
    )


@skip.check("other sizes, and a head whose keys share a large part", hidden=True)
def skip_shared(answer, draw):
    reads, head, W_U = skip_inputs(draw, tokens=60, d_model=9, d_head=3, out=20)
    reads = reads + 4 * draw.normal(9)
    for source in draw.permutation(60)[:3].tolist():
        queries, outputs = lists_of(answer(source, 8, reads, head, W_U), 8)
        best_of(queries, wanted_by_loop(source, reads, head), "queries", "score with the source less the mean score")
        best_of(outputs, reads[source] @ (head["W_V"] @ head["W_O"] @ W_U), "outputs", "logit that the head adds")


def lists_of(result, k):
    queries, outputs = pair_of(result, "the queries and the outputs")
    for what, ids in (("the queries", queries), ("the outputs", outputs)):
        expect.shape(ids, (k,), what)
        expect.true(not ids.is_floating_point(), f"{what.capitalize()} hold decimals; return the indices of topk.")
    return queries, outputs


def wanted_by_loop(source, reads, head):
    """For each token: log of its attention to the source, less the mean of that over all keys, from torch's softmax."""
    keys = reads.double() @ head["W_K"].double()
    rows = []
    for token in reads.double():
        query = token @ head["W_Q"].double() + head["b_Q"].double()
        log_attention = (keys @ query / head["W_Q"].shape[1] ** 0.5).log_softmax(0)
        rows.append(log_attention[source] - log_attention.mean())
    return torch.stack(rows)


def best_of(ids, scores, what, meaning):
    """Expect the ids of the largest scores in order; ties may be broken either way."""
    inside = bool(((ids >= 0) & (ids < len(scores))).all())
    expect.true(inside, f"Your {what} hold a number that is not a token; there are {len(scores)}.")
    expect.true(len(ids.unique()) == len(ids), f"Your {what} name a token twice.")
    expect.close(
        scores[ids].float(), scores.topk(len(ids)).values.float(), f"the {meaning}, of your {what}, in order", atol=1e-3
    )


def skip_right(source, k, reads, head, W_U):
    key = (reads[source] - reads.mean(0)) @ head["W_K"]
    wanted = (reads @ head["W_Q"] + head["b_Q"]) @ key
    return wanted, reads[source] @ head["W_V"] @ head["W_O"] @ W_U


@skip.wrong(
    "ranks the queries by their raw score",
    "Your queries score high with *every* key, so they look no more at this one than at others. Subtract from each its own mean over all "
    "keys (one number off the whole column changes no ranking).",
)
def skip_raw(source, k, reads, head, W_U):
    _, raised = skip_right(source, k, reads, head, W_U)
    wanted = (reads @ head["W_Q"] + head["b_Q"]) @ (reads[source] @ head["W_K"])
    return wanted.topk(k).indices, raised.topk(k).indices


@skip.wrong(
    "takes the source for the query",
    "Your first list holds the keys that the source looks for. Here the source is looked *at*: it gives the key, all tokens give queries.",
)
def skip_source_as_query(source, k, reads, head, W_U):
    _, raised = skip_right(source, k, reads, head, W_U)
    wanted = reads @ head["W_K"] @ (reads[source] @ head["W_Q"] + head["b_Q"])
    return wanted.topk(k).indices, raised.topk(k).indices


@skip.wrong(
    "reads a column of the OV circuit",
    "Your second list holds the tokens that, attended to, raise the source. It should hold what the source raises: its row of the OV circuit.",
)
def skip_column(source, k, reads, head, W_U):
    wanted, _ = skip_right(source, k, reads, head, W_U)
    raised = reads @ head["W_V"] @ head["W_O"] @ W_U[:, min(source, W_U.shape[1] - 1)]
    return wanted.topk(k).indices, raised.topk(k).indices


@skip.wrong(
    "outputs before queries",
    "The two lists are exchanged: return the queries first, then the outputs.",
)
def skip_exchanged(source, k, reads, head, W_U):
    wanted, raised = skip_right(source, k, reads, head, W_U)
    return raised.topk(k).indices, wanted.topk(k).indices


@skip.wrong(
    "worst first",
    "Your lists hold the right tokens from the smallest to the largest. Best first: topk, or argsort with descending=True.",
)
def skip_ascending(source, k, reads, head, W_U):
    wanted, raised = skip_right(source, k, reads, head, W_U)
    return wanted.argsort()[-k:], raised.argsort()[-k:]


@skip.wrong(
    "ranks by size without sign",
    "You ranked by absolute values: a token that avoids the source most, or that is lowered most, stands among yours.",
)
def skip_absolute(source, k, reads, head, W_U):
    wanted, raised = skip_right(source, k, reads, head, W_U)
    return wanted.abs().topk(k).indices, raised.abs().topk(k).indices


@skip.wrong(
    "leaves the source itself out",
    "You took the source out of the list of queries. A token can look for an earlier copy of itself: it stays in the list.",
)
def skip_not_itself(source, k, reads, head, W_U):
    wanted, raised = skip_right(source, k, reads, head, W_U)
    others = torch.arange(len(reads)) == source
    return wanted.masked_fill(others, float("-inf")).topk(k).indices, raised.topk(k).indices


@skip.wrong(
    "outputs of the first query",
    "Your outputs are what the best *query* would be turned into. The query only looks; what is moved comes from the source.",
)
def skip_query_moves(source, k, reads, head, W_U):
    wanted, _ = skip_right(source, k, reads, head, W_U)
    _, raised = skip_right(int(wanted.argmax()), k, reads, head, W_U)
    return wanted.topk(k).indices, raised.topk(k).indices


@skip.variation("each query's mean score, without b_Q, which changes no ranking")
def skip_two_products(source, k, reads, head, W_U):
    keys, queries = reads @ head["W_K"], reads @ head["W_Q"]
    wanted = queries @ keys[source] - queries @ keys.mean(0)
    raised = torch.einsum("m,md,dn,no->o", reads[source], head["W_V"], head["W_O"], W_U)
    return wanted.argsort(descending=True)[:k], torch.sort(raised, descending=True).indices[:k]


@skip.variation("a loop over the queries, in float64")
def skip_loop(source, k, reads, head, W_U):
    reads, W_U = reads.double(), W_U.double()
    W = {name: part.double() for name, part in head.items()}
    key = reads[source] @ W["W_K"] - (reads @ W["W_K"]).mean(0)
    wanted = torch.stack([(token @ W["W_Q"] + W["b_Q"]) @ key for token in reads])
    raised = W_U.T @ (W["W_O"].T @ (W["W_V"].T @ reads[source]))
    return wanted.topk(k)[1], raised.topk(k)[1]


# --- low_rank_singular_values ---------------------------------------------------------------------------------------

low_rank = Exercise("low_rank_singular_values")


@low_rank.check("A = (3, 4) and B = (1, 0): the one singular value is 5, and with r = 2 a 0 stands behind it")
def low_rank_by_hand(answer, draw):
    values = answer(torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0, 0.0]]))
    expect.close(values, torch.tensor([5.0]), "the singular values")
    values = answer(
        torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    )
    expect.shape(values, (2,), "the result for r = 2")
    expect.close(values, torch.tensor([5.0, 0.0]), "the singular values for r = 2", atol=2e-3)


@low_rank.check("a product that was built with the singular values 5, 3 and 0.5 gives them back, largest first")
def low_rank_planted(answer, draw):
    left, right = torch.linalg.qr(draw.normal(9, 3))[0], torch.linalg.qr(draw.normal(9, 3))[0]
    mixing = draw.normal(3, 3) + 3 * torch.eye(3)
    A = left @ torch.diag(torch.tensor([5.0, 3.0, 0.5])) @ mixing
    values = answer(A, torch.linalg.inv(mixing) @ right.T)
    expect.shape(values, (3,), "the result")
    expect.close(values, torch.tensor([5.0, 3.0, 0.5]), "the singular values", atol=2e-3)


@low_rank.check("the root of the sum of their squares is the Frobenius norm of A @ B, and all are those of A @ B")
def low_rank_norm(answer, draw):
    A, B = draw.normal(12, 4), draw.normal(4, 12)
    values = answer(A, B)
    expect.shape(values, (4,), "the result")
    expect.close(values.square().sum().sqrt(), (A @ B).norm(), "the root of the sum of squares", atol=1e-3)
    expect.close(values, torch.linalg.svdvals(A @ B)[:4], "the singular values", atol=5e-3)


@low_rank.check("A @ B is not built")
def low_rank_small(answer, draw):
    A, B = draw.normal(400, 3), draw.normal(3, 400)
    with Largest() as largest:
        values = answer(A, B)
    expect.close(values, torch.linalg.svdvals(A @ B)[:3], "the singular values", atol=0.1, rtol=1e-3)
    built(largest, 400)


def built(largest, n):
    expect.true(
        largest.numbers <= n * n / 4,
        f"Your result is right, but you made a tensor of {largest.numbers:,} numbers on the way, which for 50,000 tokens would take "
        "10 GB. Work with matrices of r columns, or r × r.",
    )


@low_rank.check("rank 1, and as many columns as rows", hidden=True)
def low_rank_ends(answer, draw):
    for n, r in ((30, 1), (5, 5)):
        A, B = draw.normal(n, r), draw.normal(r, n)
        want = torch.linalg.svdvals((A @ B).double())[:r].float()
        expect.close(answer(A, B), want, f"the singular values for n = {n}, r = {r}", atol=0.02, rtol=1e-3)


@low_rank.wrong(
    "the singular values of BA",
    "These are the singular values of B @ A. That is another matrix: AB and BA share their eigenvalues, not their singular values.",
)
def low_rank_BA(A, B):
    return torch.linalg.svdvals(B @ A)


@low_rank.wrong(
    "eigenvalues",
    "These are the absolute eigenvalues of the product. They say which mixtures come out as they went in; singular values say how far vectors are stretched.",
)
def low_rank_eigenvalues(A, B):
    return torch.linalg.eigvals(B @ A).abs().sort(descending=True).values


@low_rank.wrong(
    "multiplies the two lists",
    "You multiplied the singular values of A with those of B. That would be right only if A's directions and B's lay exactly on each other.",
)
def low_rank_lists(A, B):
    return torch.linalg.svdvals(A) * torch.linalg.svdvals(B)


@low_rank.wrong(
    "forgets the root",
    "These are the squares of the singular values. The eigenvalues of a matrix times its own transpose are squares: take the root.",
)
def low_rank_squares(A, B):
    return low_rank_qr(A, B).square()


@low_rank.wrong(
    "R_B is not transposed",
    "You multiplied R_A by R_B as it came. It belongs to B transposed, so AB holds its transpose: R_A @ R_B.T.",
)
def low_rank_untransposed(A, B):
    return torch.linalg.svdvals(torch.linalg.qr(A)[1] @ torch.linalg.qr(B.T)[1])


@low_rank.wrong("smallest first", "The values are right; return them from the largest to the smallest.")
def low_rank_ascending(A, B):
    return low_rank_qr(A, B).flip(0)


@low_rank.wrong(
    "divides by the largest",
    "You divided by the largest value. Return the singular values themselves; the picture divides.",
)
def low_rank_relative(A, B):
    values = low_rank_qr(A, B)
    return values / values[0]


@low_rank.wrong("leaves zeros out", "A value of 0 is missing: return all r values, also those that are 0.")
def low_rank_no_zeros(A, B):
    values = low_rank_qr(A, B)
    return values[values > 1e-5]


def low_rank_qr(A, B):
    return torch.linalg.svdvals(torch.linalg.qr(A)[1] @ torch.linalg.qr(B.T)[1].T)


@low_rank.variation("the roots of the eigenvalues of AᵀA BBᵀ, in float64")
def low_rank_gram(A, B):
    A, B = A.double(), B.double()
    squares = torch.linalg.eigvals(A.T @ A @ (B @ B.T)).real.clamp(min=0)
    return squares.sqrt().sort(descending=True).values.float()


@low_rank.variation("one factor by SVD, then the rest")
def low_rank_svd(A, B):
    _, S, Vh = torch.linalg.svd(A, full_matrices=False)
    return torch.linalg.svdvals(S[:, None] * (Vh @ B))


# --- copying_score --------------------------------------------------------------------------------------------------

copying = Exercise("copying_score")


def with_eigenvalues_of(S, draw, n=11):
    """Return A (n, r) and B (r, n) whose product has the eigenvalues of S, (r, r), and zeros."""
    A = draw.normal(n, len(S))
    return A, S @ torch.linalg.pinv(A)


def score_of(answer, A, B):
    """Return the answer's score as a number; a complex one would pass or fail by its rounding."""
    score = answer(A, B)
    is_complex = isinstance(score, complex) or (isinstance(score, torch.Tensor) and score.is_complex())
    expect.true(
        not is_complex, "Your score is a complex number. The imaginary parts of the sum cancel: take its .real."
    )
    return expect.number(score, "the score")


@copying.check("a head that was built to copy scores 1, and one that lowers what it attends to scores -1")
def copying_ends(answer, draw):
    A = draw.normal(10, 4)
    expect.close(score_of(answer, A, A.T), 1.0, "the score of a copying head", atol=1e-3)
    expect.close(score_of(answer, A, -A.T), -1.0, "the score of an anti-copying head", atol=1e-3)


@copying.check("eigenvalues 3, 1 and -2 score (3 + 1 - 2) / (3 + 1 + 2) = 0.33")
def copying_mixed(answer, draw):
    mixing = draw.normal(3, 3) + 3 * torch.eye(3)
    S = mixing @ torch.diag(torch.tensor([3.0, 1.0, -2.0])) @ torch.linalg.inv(mixing)
    score = score_of(answer, *with_eigenvalues_of(S, draw))
    expect.close(score, 1 / 3, "the score", atol=3e-3)


@copying.check("a head that turns one mixture into another by the angle 60° scores cos 60° = 0.5")
def copying_turn(answer, draw):
    for degrees in (60.0, 90.0, 120.0):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        A, B = with_eigenvalues_of(4 * torch.tensor([[c, -s], [s, c]]), draw)
        score = score_of(answer, A, B)
        expect.close(score, c, f"the score of a turn by {degrees:.0f}°", atol=3e-3)


@copying.check("for random factors it is the score of all eigenvalues of A @ B")
def copying_random(answer, draw):
    A, B = draw.normal(30, 6), draw.normal(6, 30)
    expect.close(score_of(answer, A, B), full_score(A, B), "the score", atol=2e-3)


@copying.check("A @ B is not built")
def copying_small(answer, draw):
    A, B = draw.normal(300, 3), draw.normal(3, 300)
    with Largest() as largest:
        score_of(answer, A, B)
    built(largest, 300)


@copying.check("rank 1, and many draws", hidden=True)
def copying_many(answer, draw):
    a = draw.normal(20, 1)
    expect.close(score_of(answer, a, -2 * a.T), -1.0, "the score for rank 1", atol=1e-3)
    for r in (2, 5, 12):
        A, B = draw.normal(40, r), draw.normal(r, 40)
        expect.close(score_of(answer, A, B), full_score(A, B), f"the score for r = {r}", atol=2e-3)


def full_score(A, B):
    values = torch.linalg.eigvals(A.double() @ B.double())
    return float(values.sum().real / values.abs().sum())


@copying.wrong(
    "divides by the singular values",
    "You divided by the sum of the singular values. The score divides by the absolute values of the *eigenvalues*, so that a head that only copies has 1.",
)
def copying_singular(A, B):
    values = torch.linalg.eigvals(B @ A)
    return float(values.sum().real / low_rank_qr(A, B).sum())


@copying.wrong(
    "drops the imaginary parts",
    "You divided by the absolute values of the real parts. |λ| of a complex number counts its imaginary part, too: a turn by 60° is "
    "half copying, and you give it 1.",
)
def copying_real(A, B):
    values = torch.linalg.eigvals(B @ A).real
    return float(values.sum() / values.abs().sum())


@copying.wrong(
    "loses the sign",
    "An anti-copying head gets +1 from you. Take the real part of the sum, and not its absolute value.",
)
def copying_unsigned(A, B):
    values = torch.linalg.eigvals(B @ A)
    return float(values.sum().abs() / values.abs().sum())


@copying.wrong(
    "counts positive eigenvalues",
    "You returned the share of eigenvalues with a positive real part. The score weighs them by their size, and runs from -1 to 1.",
)
def copying_count(A, B):
    return float((torch.linalg.eigvals(B @ A).real > 0).float().mean())


@copying.wrong(
    "eigenvalues of a symmetric matrix",
    "eigvalsh is for symmetric matrices: it looks at one triangle and ignores the other. This product is not symmetric: eigvals.",
)
def copying_symmetric(A, B):
    values = torch.linalg.eigvalsh(B @ A)
    return float(values.sum() / values.abs().sum())


@copying.wrong(
    "reads the diagonal",
    "You summed the diagonal of A @ B, and divided by its absolute values. Its sum is indeed that of the eigenvalues, but the sums of the absolute values differ.",
)
def copying_diagonal(A, B):
    diagonal = (A * B.T).sum(1)
    return float(diagonal.sum() / diagonal.abs().sum())


@copying.wrong(
    "does not divide",
    "You returned the sum of the eigenvalues. Divide by the sum of their absolute values, so that heads of different strength compare.",
)
def copying_sum(A, B):
    return float(torch.linalg.eigvals(B @ A).sum().real)


@copying.variation("the trace over the sum of absolute values, as a tensor")
def copying_trace(A, B):
    small = B.double() @ A.double()
    return torch.trace(small) / torch.linalg.eigvals(small).abs().sum()


@copying.variation("torch.linalg.eig, real and imaginary parts by hand")
def copying_by_parts(A, B):
    values = torch.linalg.eig(torch.einsum("rn,ns->rs", B, A))[0]
    size = (values.real**2 + values.imag**2).sqrt()
    return (values.real.sum() / size.sum()).item()
