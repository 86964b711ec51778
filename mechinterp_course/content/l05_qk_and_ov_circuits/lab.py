# %% [markdown]
# # QK and OV circuits: the lab
#
# At the end of this lab you can read three things off a model's weights, without running it: which token tends to follow which,
# where each head would look, and what it would move. After each reading you run the model and measure how far the reading holds.
#
# ```
#                 ┌────────────────── the direct path: exercise 2 ──────────────────┐
#   W_E[token] ───┤                                                                 ├──→ logits
#                 └─→ where to look: W_Q, W_K      what to move: W_V, W_O, then W_U ┘
#                     the QK circuit (4, 5)        the OV circuit (3, 8)
#                              └────── both together: skip-trigrams (6) ──────┘
# ```
#
# | name | what it counts | here |
# |---|---|---|
# | `d_vocab` | different tokens | 1,024 |
# | `d_model` | numbers in the residual stream | 96 |
# | `d_head` | numbers in a query, key or value of one head | 24 |
#
# **The weights in this lab are processed.** `models.load(name, processed=True)` *folds* each LayerNorm into the matrix behind it, as
# far as that can be done, and you write that step yourself in exercise 1. What cannot be folded is a division by one number at
# each position, the *scale*. It depends on the text, so no reading of weights is exact. In this lab the scale is *frozen*: measured
# once, on held-out text, and then treated as a constant.

# %% [markdown]
# The first cell loads two models without MLPs: `code-attn-1l` has one layer of four heads, `code-attn-2l` has two. It also counts,
# in files that neither was trained on, how often each token follows each other one.

# %%
import torch
import torch.nn.functional as F

from mechinterp_course.interp import models, plots, tables, tasks

torch.set_grad_enabled(False)
one, two = (models.load(name, processed=True) for name in ["code-attn-1l", "code-attn-2l"])  # TransformerLens
tokenizer = models.tokenizer("code-attn-1l")
W_E, W_U, b_U = one.W_E.detach(), one.W_U.detach(), one.b_U.detach()
eps, d_vocab = models.config("code-attn-1l").eps, len(W_E)

files = [tokenizer.encode(text) for _, text in tasks.sample()]
held_out = torch.stack([file[:256] for file in files if len(file) >= 256])  # (32 files, 256 positions)
counts = torch.zeros(d_vocab, d_vocab)  # (token, next token)
for file in files:
    counts.index_put_((file[:-1], file[1:]), torch.ones(len(file) - 1), accumulate=True)
common = (counts.sum(1) >= 30).nonzero()[1:, 0]  # the tokens that occur 30 times or more, without BOS


# %% [markdown]
# Short helpers for the pictures: a head's matrices by name, the frozen scale, what a head of layer 0 reads for each token, and the
# number of a word that is one token, among all tokens and among the common ones.


# %%
def head_of(model, layer, head):
    return {name: getattr(model, name)[layer, head].detach() for name in ["W_Q", "b_Q", "W_K", "W_V", "W_O"]}


def frozen_scale(model, layer=0):
    _, cache = model.run_with_cache(held_out, names_filter=f"blocks.{layer}.ln1.hook_scale")
    return float(cache[f"blocks.{layer}.ln1.hook_scale"].mean())


scale = frozen_scale(one)
reads = W_E / scale  # (d_vocab, d_model): what a head of code-attn-1l reads where that token stands, positions left out


def token_of(word):
    return tokenizer.ids(word)[0]


def place_of(word):  # where a common token stands in `common`
    return common.tolist().index(token_of(word))


# %% [raw] card="fold_layernorm"
# title = "Fold a LayerNorm into the matrix behind it"
# purpose = "Every weight reading in the literature starts with this step. Do it once by hand, and you know what `processed=True` has done and what it has left."
# difficulty = 3
# importance = 4
# minutes = 18
# points = 2
# uses = []
# nudge = "Write LayerNorm(x) W + bias in one line, with x already centred. Which of the factors do not depend on x?"
# idea = "w scales the rows of W; b passes through W and becomes part of the bias; centring x is the same as centring each column of W."
# outline = """
# 1. Multiply row i of W by w[i]: give w a second axis of size 1.
# 2. The new bias is the old bias plus b times the old W.
# 3. Subtract from each column of the scaled W its mean over the rows (d_model), with keepdim=True.
# 4. Return the new matrix and the new bias.
# """
# look = "In the picture below, the scale is not the same everywhere. Where is it farthest from the frozen value?"

# %% [markdown]
# A layer reads the stream $x$ through a LayerNorm and then a matrix $W$ with a bias (call it $c$). Written out, for the vector at
# one position:
#
# $$\text{LayerNorm}(x)\,W + c = \left(\frac{x - \mu}{\sigma} \odot w + b\right) W + c$$
#
# Here $\mu$ is the mean of the numbers in $x$, $\sigma$ the root of their variance (with $\epsilon$ in it), and $\odot$ multiplies number by number.
# Only $\mu$ and $\sigma$ depend on the text. Find $W'$ and $c'$ so that the same result is
#
# $$\frac{x}{\sigma}\,W' + c'$$
#
# for every $x$, also for one that is not centred. Three things go into $W'$ and $c'$:
#
# - $w$ multiplies the numbers of $x$, and number $i$ of $x$ meets row $i$ of $W$.
# - $b$ is a constant vector: after $W$ it is a constant, too.
# - Subtracting $\mu$ takes away what all numbers of $x$ have in common. A column of $W'$ whose mean is 0 is blind to it anyway.
#
# Example with `d_model` = 2: w = (2, 3), b = (1, 1), one column W = (5, 1), c = 0. Scaled: (10, 3), centred: W' = (3.5, −3.5). And
# c' = 1·5 + 1·1 = 6.


# %% answer="fold_layernorm"
def fold_layernorm(
    w: torch.Tensor, b: torch.Tensor, W: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return W' and bias' such that x / σ @ W' + bias' equals LayerNorm(x) @ W + bias.

    w, b: (d_model,), of the LayerNorm. W: (d_model, out). bias: (out,).
    Returns: W' (d_model, out), whose columns have mean 0, and bias' (out,).
    """
    ### BEGIN SOLUTION
    scaled = w[:, None] * W
    return scaled - scaled.mean(dim=0, keepdim=True), bias + b @ W
    ### END SOLUTION


# %% [markdown]
# Look: your folding of head 0's query matrix, from the raw weights, against what TransformerLens' processing made.

# %%
raw = models.weights("code-attn-1l")  # as they were trained
W_folded, b_folded = fold_layernorm(
    raw["blocks.0.ln1.w"],
    raw["blocks.0.ln1.b"],
    raw["blocks.0.attn.W_Q"][0],
    raw["blocks.0.attn.b_Q"][0],
)
theirs = head_of(one, 0, 0)
print(f"W_Q: largest difference {(W_folded - theirs['W_Q']).abs().max():.1e}")
print(f"b_Q: largest difference {(b_folded - theirs['b_Q']).abs().max():.1e}")

# %% [markdown]
# And what folding leaves: the scale σ, at each position of 32 held-out files. The readings below put one number in its place.

# %%
names = {"the layer's LayerNorm": "blocks.0.ln1.hook_scale", "the final LayerNorm": "ln_final.hook_scale"}
_, cache = one.run_with_cache(held_out, names_filter=list(names.values()))
series = {}
for title, name in names.items():
    sigma = cache[name][..., 0]  # (file, pos)
    series |= {f"{title}, mean": sigma.mean(0), f"{title}, highest": sigma.amax(0)}
    print(f"{title}: from {sigma.min():.2f} to {sigma.max():.2f}, mean {sigma.mean():.2f}")
plots.lines(
    series,
    title="What each LayerNorm of code-attn-1l divides by",
    xlabel="position",
    ylabel="scale σ",
    alt="Four lines over the positions: mean and highest scale of 32 files, for the layer's LayerNorm and for the final one.",
)

# %% [markdown]
# The layer's scale stays within about a quarter of its mean: a frozen scale is a fair guess there. The final scale is large at
# the start of a file and varies several-fold, so readings of *logits* are rougher. It is one positive number for all logits of a position, so it changes
# no *ranking* of tokens; it changes how sure the model is.

# %% [raw] card="bigram_table"
# title = "The bigram table of a model without attention"
# purpose = "Tokens in, logits out, no layer between: the direct path. It is the one part of a transformer that can be read whole."
# difficulty = 2
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "A model without layers: what does its final LayerNorm read at a position where token t stands?"
# idea = "Normalise every row of W_E, multiply by W_U, add b_U, and take the log-softmax over the next token."
# outline = """
# 1. Subtract from each row of W_E its mean; divide by the root of its variance plus eps. (w and b are folded already.)
# 2. Times W_U, plus b_U: a row for each token, a column for each next token.
# 3. log_softmax along the columns, so that each row is a distribution.
# """
# look = "Compare the bars below. Which two of the four tables know what follows a token, and which two do not?"

# %% [markdown]
# Take all layers away. What is left is a lookup: the token's row of `W_E`, the final LayerNorm, `W_U`. So the model can say one
# thing only, *which token tends to follow this one*: a table of *bigrams*, pairs of neighbours, with a row for each token.
#
# $$\log p(\text{next} \mid \text{token}) = \log\text{softmax}\Big(\frac{W_E[\text{token}] - \mu}{\sigma}\,W_U + b_U\Big)$$
#
# $\sigma = \sqrt{\text{variance} + \epsilon}$, as in lesson 02, row by row. The LayerNorm's $w$ and $b$ are folded into $W_U$ and $b_U$.
#
# Take `torch.log_softmax`, and not `log` of a softmax: a probability of 1e-50 is 0 in float32, and its logarithm −∞. The check tries
# logits of hundreds, and other values of $\epsilon$. The cell after it trains a model *through* your function, so no `.detach()` here.


# %% answer="bigram_table"
def bigram_table(W_E: torch.Tensor, W_U: torch.Tensor, b_U: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the log-probability of every next token after every token, in a model without layers.

    W_E: (d_vocab, d_model). W_U: (d_model, d_vocab). b_U: (d_vocab,).
    Returns: (token, next token); the exponentials of each row sum to 1.
    """
    ### BEGIN SOLUTION
    centred = W_E - W_E.mean(dim=-1, keepdim=True)
    sigma = (centred.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt()
    return torch.log_softmax(centred / sigma @ W_U + b_U, dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: train a model without layers, here, through *your* function, on the counts of the setup cell. Its loss can never fall
# below that of the counts themselves (the *floor*), because a table is all it has. This takes a few seconds.

# %%
torch.manual_seed(0)
zero = [0.3 * torch.randn(d_vocab, 96), 0.1 * torch.randn(96, d_vocab), torch.zeros(d_vocab)]  # W_E, W_U, b_U
steps, losses = torch.optim.Adam([part.requires_grad_() for part in zero], lr=0.01), []
with torch.enable_grad():
    for _ in range(150):
        loss = -(counts * bigram_table(*zero, eps)).sum() / counts.sum()
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
floor = -(torch.xlogy(counts, counts / counts.sum(1, keepdim=True).clamp(min=1))).sum() / counts.sum()
plots.lines(
    {"model without layers": losses, "floor: the counts themselves": [float(floor)] * 150},
    title="A model without layers learns the bigrams",
    xlabel="training step",
    ylabel="loss, nats a token",
    alt="The loss of the model without layers falls towards the floor, the loss of the bigram counts.",
)

# %% [markdown]
# And the same table for `code-attn-1l`, whose heads we leave out: its *direct path*. If the direct path holds the bigrams, it
# should predict better than a guess that ignores the token (*unigram*: how frequent each next token is).

# %%
frequency = (counts.sum(0) + 1) / (counts.sum(0) + 1).sum()
tables_of = {
    "unigram": frequency.log().expand(d_vocab, -1),
    "direct path, code-attn-1l": bigram_table(W_E, W_U, b_U, eps),
    "no layers, trained above": bigram_table(*(part.detach() for part in zero), eps),
}
table_losses = [float(-(counts * table).sum() / counts.sum()) for table in tables_of.values()]
plots.bars(
    [*table_losses, float(floor)],
    [*tables_of, "floor: the counts"],
    title="How well each table predicts the next token",
    ylabel="loss, nats a token",
    alt="Four bars: the loss of the unigram guess, of the direct path, of the trained model without layers, and of the counts.",
)

# %% [markdown]
# The direct path of our one-layer model is *worse* than the guess that ignores the token. The paper ([[paper:elhage2021]]) says
# that this path tends to represent bigrams. Ours does not: the model was trained to be right in *sum*, and its heads also act
# where they look at the token itself. A part of a sum need not make sense alone.
#
# *What this does not show*: that this is usual. It is one small model, trained for 2,000 steps, on repeated random tokens first and
# on Python later.

# %% [raw] card="ov_circuit"
# title = "The full OV circuit: what a head moves"
# purpose = "Attention decides where from; the OV circuit decides what arrives. It is a table from tokens to logits, and you can read it row by row."
# difficulty = 3
# importance = 5
# minutes = 15
# points = 2
# uses = []
# nudge = "A head attends to one token only. Follow that token's vector: which matrices does it pass before it has become logits?"
# idea = "Source token, value, back into the stream, logits: reads, W_V, W_O, W_U, in that order, and nothing else."
# outline = """
# 1. The value of every source token: reads times W_V, (source, d_head).
# 2. What it writes into the stream: times W_O, (source, d_model).
# 3. What that adds to the logits: times W_U, (source, out).
# """
# look = "In the first picture, is the diagonal red? Then find a red cell off the diagonal: a token that, attended to, makes another one likely."

# %% [markdown]
# Suppose a head at some position attends to one token alone, with weight 1. What does that add to the logits there? The
# token's vector passes $W_V$ (what is taken), $W_O$ (back into the stream), $W_U$ (to logits):
#
# $$\text{OV} = \text{reads}\; W_V\, W_O\, W_U \qquad (\text{source, out})$$
#
# Row `def`, column `self` says: where the head attends to `def`, it adds this much to the logit of `self`. With less attention it
# adds proportionally less, and several sources add up. The *query* does not appear: where the head looks from makes no difference to what it moves.
#
# Left out, and good to know: the final LayerNorm's division (one positive number at each position) and all positions' vectors.
#
# `reads` holds what the head reads for each source token. The number of source tokens need not be the number of outputs.


# %% answer="ov_circuit"
def ov_circuit(reads: torch.Tensor, W_V: torch.Tensor, W_O: torch.Tensor, W_U: torch.Tensor) -> torch.Tensor:
    """Return what one head adds to every logit when it attends to one source token with weight 1.

    reads: (source, d_model). W_V: (d_model, d_head). W_O: (d_head, d_model). W_U: (d_model, out).
    Returns: (source, out).
    """
    ### BEGIN SOLUTION
    return reads @ W_V @ W_O @ W_U
    ### END SOLUTION


# %% [markdown]
# Look: head 0 of `code-attn-1l`, for some tokens of Python.

# %%
words = ["def", "class", "return", "import", "self", " None", " is", " in", "(", ")", "):", ".", ",", "'"]
ids = [token_of(word) for word in words]
head = head_of(one, 0, 0)
names = [plots.visible(word) for word in words]
plots.heatmap(
    ov_circuit(reads[ids], head["W_V"], head["W_O"], W_U[:, ids]),
    x=names,
    y=names,
    title="Head 0 of code-attn-1l: its OV circuit on fourteen tokens",
    xlabel="output token",
    ylabel="source token: what the head attends to",
    alt="A row for each attended token, a column for each output token; red raises that output's logit, blue lowers it.",
    zmid=0,
    zlabel="logit",
)

# %% [markdown]
# How good a copier is a head? One number: for how many of the 1,024 source tokens is *the token itself* the output that the head
# raises most? This is the head's top-1 accuracy. Below for all twelve heads, and for the two heads of `code-attn-2l` that lesson
# 06 finds to be the strongest induction heads, 1.0 and 1.1, added together.


# %%
def top1(*circuits):
    right = sum(circuits).argmax(dim=-1) == torch.arange(d_vocab)
    return 100 * right.float().mean()


full = {}
for name, model, layers in [("1l", one, 1), ("2l", two, 2)]:
    E, U = model.W_E.detach() / scale, model.W_U.detach()  # one scale for all rows changes no row's largest entry
    for layer in range(layers):
        for h in range(4):
            part = head_of(model, layer, h)
            full[f"{name}: {layer}.{h}"] = ov_circuit(E, part["W_V"], part["W_O"], U)
accuracy = {head: top1(circuit) for head, circuit in full.items()}
accuracy["2l: 1.0 + 1.1"] = top1(full["2l: 1.0"], full["2l: 1.1"])
plots.bars(
    torch.stack(list(accuracy.values())),
    list(accuracy),
    title="For how many tokens is the token itself the head's first choice?",
    xlabel="model: layer.head",
    ylabel="top-1 accuracy, %",
    alt="Thirteen bars: the top-1 accuracy of the full OV circuit of each head, and of heads 1.0 and 1.1 of code-attn-2l together.",
)

# %%
single, both = accuracy["2l: 1.0"], accuracy["2l: 1.0 + 1.1"]
print(f"code-attn-2l, 1.0 alone {single:.1f} %, 1.0 and 1.1 together {both:.1f} %; chance {100 / d_vocab:.1f} %")
print("ARENA's two-layer attention-only model: 30.8 % one head, 95.6 % both")

# %% [markdown]
# As in ARENA's exercises ([[paper:arena]]), two heads that share a job do it better together: what one head confuses, the other
# tells apart. Their model has about fifty times as many tokens and a head of 64 numbers, so the single figures are not comparable.
#
# *What this does not show*: that these heads copy when the model runs. In layer 1 a head reads a stream to which layer 0 has
# added; we read it as if only the token stood there.

# %% [raw] card="qk_circuit"
# title = "The full QK circuit: where a head looks"
# purpose = "The other half of a head: a table from pairs of tokens to attention scores, of which a pattern depends on the differences within a row alone."
# difficulty = 3
# importance = 5
# minutes = 18
# points = 2
# uses = []
# nudge = "A softmax does not notice a constant that is added to all scores of a query. How do you take such a constant out?"
# idea = "All queries against all keys, over √d_head; then subtract from each row its mean over the keys."
# outline = """
# 1. Queries: reads times W_Q, plus b_Q. Keys: reads times W_K.
# 2. Queries times the transposed keys: (query, key). Divide by the root of d_head.
# 3. Subtract from each row its mean, with keepdim=True.
# """
# look = "In the first picture, find the column of a key that several queries look for. What would you expect the head to do with it?"

# %% [markdown]
# The score of a query token $q$ with a key token $k$ is $(\text{reads}_q W_Q + b_Q) \cdot (\text{reads}_k W_K) / \sqrt{d_\text{head}}$: a table,
# (query, key), that needs no text.
#
# But a score alone says little. The softmax compares the keys of *one* query: it ignores whatever all scores of a row have in
# common (and so it ignores $b_K$, which is left out here). So subtract from each row its mean over all keys. Then an entry says: *how
# much more does this query want this key than an average key?* One unit more is e ≈ 2.7 times the attention.
#
# ```
#   scores of one query      [ 5.0   6.0   4.0   5.0 ]      their mean is 5
#   what you return          [ 0.0   1.0  −1.0   0.0 ]      the same softmax
# ```


# %% answer="qk_circuit"
def qk_circuit(reads: torch.Tensor, W_Q: torch.Tensor, b_Q: torch.Tensor, W_K: torch.Tensor) -> torch.Tensor:
    """Return each query token's score with each key token, less that query's mean over all keys.

    reads: (token, d_model). W_Q, W_K: (d_model, d_head). b_Q: (d_head,).
    Returns: (query, key); every row has mean 0.
    """
    ### BEGIN SOLUTION
    queries, keys = reads @ W_Q + b_Q, reads @ W_K
    scores = queries @ keys.T / W_Q.shape[1] ** 0.5
    return scores - scores.mean(dim=-1, keepdim=True)
    ### END SOLUTION


# %% [markdown]
# Look: head 3 of `code-attn-1l`. A row is who looks, a column what it looks at. The mean is over all the common tokens.

# %%
head = head_of(one, 0, 3)
table = qk_circuit(reads[common], head["W_Q"], head["b_Q"], head["W_K"])
words = ["self", " self", " os", "name", "return", "import", "(", ")", ".", ",", "=", " is", "\n\n"]
places = [place_of(word) for word in words]
names = [plots.visible(word) for word in words]
plots.heatmap(
    table[places][:, places],
    x=names,
    y=names,
    title="Head 3 of code-attn-1l: its QK circuit on thirteen tokens",
    xlabel="key: what it looks at",
    ylabel="query: who looks",
    alt="A row for each query token, a column for each key token; red means more attention than an average key gets.",
    zmid=0,
    zlabel="score",
)

# %% [markdown]
# Is it true? On real text the scores also depend on positions and on the real scale. For 500 random (query, key) pairs of the
# held-out files, the real score against the one from your table. (Both less the query's mean over the keys that it sees.)

# %%
whole = qk_circuit(reads, head["W_Q"], head["b_Q"], head["W_K"])
texts = held_out[:8]
_, cache = one.run_with_cache(texts, names_filter="blocks.0.attn.hook_attn_scores")
seen = torch.ones(256, 256).tril().bool()


def centred(scores):
    scores = scores.masked_fill(~seen, 0)
    return scores - scores.sum(-1, keepdim=True) / seen.sum(-1)[:, None]


real = centred(cache["blocks.0.attn.hook_attn_scores"][:, 3])[:, seen]
read = centred(whole[texts[:, :, None], texts[:, None, :]])[:, seen]
both = torch.stack([read.flatten(), real.flatten()])
pick = torch.randint(both.shape[1], (500,), generator=torch.Generator().manual_seed(0))
print(f"correlation over {both.shape[1]:,} pairs: {torch.corrcoef(both)[0, 1]:.2f}")

# %%
plots.scatter(
    both[:, pick].T,
    title="Head 3 of code-attn-1l: the table against the running model",
    xlabel="score read from the weights, tokens alone",
    ylabel="score in the model",
    alt="500 points, one for each pair of a query and a key in held-out text; they lie along the diagonal, with a spread.",
)

# %% [markdown]
# The table explains a good part of the real scores, not all: the spread around the diagonal is what positions and the real scale
# add.

# %% [raw] card="positional_pattern"
# title = "A pattern from positions alone"
# purpose = "Some heads do not care what stands where. For those the position table alone draws the whole attention pattern."
# difficulty = 3
# importance = 4
# minutes = 16
# points = 2
# uses = []
# nudge = "If every token's vector were zero, what would the head read at position i, after the division by the frozen scale?"
# idea = "Let W_pos / scale stand in for what the head reads, on the query's side and on the key's; then scores, mask and softmax."
# outline = """
# 1. What is read: W_pos divided by scale, (pos, d_model).
# 2. Queries: times W_Q, plus b_Q. Keys: times W_K. Scores: their products over √d_head.
# 3. Later keys get minus infinity (masked_fill with a mask that is True strictly above the diagonal).
# 4. Softmax over the keys.
# """
# look = "Below, three of the four patterns blur as the positions grow, and one stays sharp. What would you call that head?"

# %% [markdown]
# The stream starts as token plus position, so a head of layer 0 reads $(W_E[\text{token}] + W_{pos}[i])\,/\,\sigma$. Leave the tokens out
# and freeze $\sigma$: what is left is $W_{pos}[i] / \text{scale}$, and every position reads it, as query and as key. From there on it
# is attention as you know it: scores over $\sqrt{d_\text{head}}$, causal mask, softmax.
#
# The result is the pattern that the head would draw on a text whose tokens say nothing. Compare it with patterns on real text and
# you know how much of the head is position.


# %% answer="positional_pattern"
def positional_pattern(
    W_pos: torch.Tensor, scale: float, W_Q: torch.Tensor, b_Q: torch.Tensor, W_K: torch.Tensor
) -> torch.Tensor:
    """Return the attention pattern of a head that reads W_pos / scale at every position.

    W_pos: (pos, d_model). W_Q, W_K: (d_model, d_head). b_Q: (d_head,).
    Returns: (query, key); later keys get 0, every row sums to 1.
    """
    ### BEGIN SOLUTION
    read = W_pos / scale
    scores = (read @ W_Q + b_Q) @ (read @ W_K).T / W_Q.shape[1] ** 0.5
    later = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(later, float("-inf")).softmax(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: the four heads of layer 0 of `code-attn-2l`, from positions alone, over the first 24 positions.

# %%
scale_two = frozen_scale(two)
patterns = []
for h in range(4):
    part = head_of(two, 0, h)
    patterns.append(positional_pattern(two.W_pos.detach(), scale_two, part["W_Q"], part["b_Q"], part["W_K"]))
patterns = torch.stack(patterns)  # (head, query, key)
plots.attention(
    patterns[:, :24, :24],
    [""] * 24,
    title="Layer 0 of code-attn-2l: patterns from positions alone",
    names=[f"head 0.{h}" for h in range(4)],
    alt="Four patterns without any tokens. In one of them a line just below the diagonal stays bright to the end.",
)

# %% [markdown]
# And on real text? Two numbers a head: the attention to the token before, from positions alone and on held-out files; and how much
# of its attention the two patterns place differently (0 %: the same pattern; 100 %: nothing in common), from position 8 on.

# %%
_, cache = two.run_with_cache(held_out, names_filter="blocks.0.attn.hook_pattern")
real = cache["blocks.0.attn.hook_pattern"]  # (file, head, query, key)
before = [p.diagonal(-1, -2, -1)[..., 7:].mean(-1) for p in (patterns, real.mean(0))]
moved = (real - patterns).abs().sum(-1)[..., 8:].mean((0, 2)) / 2
rows = [(f"0.{h}", f"{before[0][h]:.3f}", f"{before[1][h]:.3f}", f"{100 * moved[h]:.0f} %") for h in range(4)]
tables.table(
    rows,
    ["head", "to the token before: positions alone", "on real text", "attention placed differently"],
    title="Layer 0 of code-attn-2l: how much of each head is position?",
    alt="A row for each head: attention to the previous token, from positions alone and on real text, and the difference.",
)

# %% [markdown]
# You found the previous-token head without running the model on anything but the one number `scale`. Lesson 06 finds it by running.
#
# *What this does not show*: that tokens have no say in head 0.1. Its pattern on real text differs a little, and that part is not position.

# %% [raw] card="skip_trigrams"
# title = "Skip-trigrams: both circuits of one head"
# purpose = "With one layer, a head can learn statements of one form: [source] … [query] → [output]. Here you read them off, for a model of any vocabulary."
# difficulty = 4
# importance = 5
# minutes = 22
# points = 3
# uses = []
# nudge = "You need one column of the QK table and one row of the OV table. How little can you multiply to get those?"
# idea = "Take the source's key, less the mean key, and compare all queries with it; send the source's row through W_V, W_O, W_U. Top k of each."
# outline = """
# 1. The source's key: its row of reads times W_K. The mean key: the mean row of reads times W_K. Subtract.
# 2. Every token's query (times W_Q, plus b_Q) times that one vector: one number a token. The k largest are the queries.
# 3. The source's row of reads times W_V, then W_O, then W_U: one number an output. The k largest are the outputs.
# 4. topk gives both in order, largest first; return the two tensors of indices.
# """
# look = "Read the rows below aloud: 'after a … somewhere before, at … this head raises …'. Which are rules of Python?"

# %% [markdown]
# Put the halves together. Where an earlier *source* token stands and the head now looks from a *query* token, it raises an
# *output*:
#
# ```
#   self . name = … self → .          source "."    query "self"    output "."
# ```
#
# The three need not be neighbours: the paper calls this a *skip-trigram*. All of them would be a table of
# 1,024 × 1,024 × 1,024 numbers, a thousand million, and for a real vocabulary of 50,000 a hundred thousand times more. But the head ties source to query
# (QK) and source to output (OV), and query to output not at all. So for one source two short lists say everything:
#
# - the `k` **queries** that look for it most, the source itself among them: by their score with this key *less their mean score over
#   all keys*, as in exercise 4;
# - the `k` **outputs** that it raises most.
#
# Build no table on the way: the check counts the numbers in the largest tensor that you make. One column and one row are enough.
# (The mean score over all keys is the score with the *mean key*, because scores are linear in the key.
# And for one source `b_Q` adds the same to every query, so with it or without it, the order is the same.)


# %% answer="skip_trigrams"
def skip_trigrams(
    source: int, k: int, reads: torch.Tensor, head: dict, W_U: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k query tokens that look most for `source`, and the k outputs that it then raises most, best first.

    reads: (token, d_model). head: W_Q, W_K, W_V (d_model, d_head), b_Q (d_head,), W_O (d_head, d_model).
    W_U: (d_model, out). Returns: two tensors of k whole numbers.
    """
    ### BEGIN SOLUTION
    key = (reads[source] - reads.mean(dim=0)) @ head["W_K"]
    wanted = (reads @ head["W_Q"] + head["b_Q"]) @ key / head["W_Q"].shape[1] ** 0.5
    raised = reads[source] @ head["W_V"] @ head["W_O"] @ W_U
    return wanted.topk(k).indices, raised.topk(k).indices
    ### END SOLUTION


# %% [markdown]
# Look: some sources, through two heads of `code-attn-1l`. Only common tokens are considered: vectors of rare tokens saw little
# training.

# %%
rows = []
for h, source in [(3, "."), (3, "return"), (3, "("), (0, "("), (0, "self"), (0, " is"), (0, "import")]:
    found = skip_trigrams(place_of(source), 5, reads[common], head_of(one, 0, h), W_U[:, common])
    queries, outputs = (" · ".join(plots.visible(word) for word in tokenizer.str_tokens(common[ids])) for ids in found)
    rows.append((f"0.{h}", f"{plots.visible(source)} …", queries, outputs))
tables.table(
    rows,
    ["head", "source …", "… query", "→ output"],
    title="Skip-trigrams of code-attn-1l, read from its weights",
    alt="For two heads and some source tokens: the five queries that look for it most and the five outputs it raises most.",
)

# %% [markdown]
# Does the model do it? Take the first row: head 3, source `.`, query `self`. At every `self` in the held-out texts that has a full
# stop somewhere before it, how much attention goes to full stops, by head? (` self`, with a space, is another token.)
# For comparison: the share of full stops among the tokens that it could look at.

# %%
dot, query = token_of("."), token_of("self")
_, cache = one.run_with_cache(held_out, names_filter="blocks.0.attn.hook_pattern")
is_dot = (held_out == dot).float()
on_dots = torch.einsum("fhqk,fk->hfq", cache["blocks.0.attn.hook_pattern"], is_dot)  # (head, file, query)
share = is_dot.cumsum(1) / torch.arange(1, 257)
where = (held_out == query) & (is_dot.cumsum(1) > 0)
plots.bars(
    [float(share[where].mean()), *(float(on_dots[h][where].mean()) for h in range(4))],
    ["share of full stops", *(f"head {h}" for h in range(4))],
    title=f"Attention from self to full stops, at {int(where.sum())} places",
    ylabel="attention",
    alt="Five bars: the share of full stops among the tokens seen, and the attention that each of the four heads gives them at self.",
)

# %% [markdown]
# A head's lists are *all combinations* of its queries and outputs. If `( … name → )` is one of them and `( … mode → ,` another, so are
# `( … name → ,` and `( … mode → )`, wanted or not: the query has no say in what is moved. [[paper:elhage2021]] calls these
# *skip-trigram bugs*.
#
# *What this does not show*: that the model says the output. The head adds to a logit to which others add, too.

# %% [raw] card="low_rank_singular_values"
# title = "The singular values of a product that you never build"
# purpose = "Circuits are products of thin matrices. Whoever works with the factors can read models whose tables would not fit in memory."
# difficulty = 4
# importance = 4
# minutes = 20
# points = 3
# uses = []
# nudge = "A matrix with orthonormal columns changes no singular values. How much of A is left when you take such a matrix out of it?"
# idea = "Split A, and the transpose of B, into orthonormal columns times a small square matrix (QR). The singular values of AB are those of the small product."
# outline = """
# 1. torch.linalg.qr(A) gives Q_A, with orthonormal columns, and R_A, (r, r), whose product is A.
# 2. The same for B.T: Q_B and R_B.
# 3. AB = Q_A (R_A R_B.T) Q_B.T. The outer two change no lengths, so the singular values are those of the r × r matrix in the middle.
# 4. torch.linalg.svdvals of that gives them, largest first.
# """
# look = "One head below has a first value that stands far above its second: most of what it moves lies along a single direction. Which head?"

# %% [markdown]
# The OV circuit is a table of 1,024 × 1,024 numbers, but it is the product of $A = \text{reads}\,W_V$, (1,024, 24), and $B = W_O W_U$,
# (24, 1,024). Its *rank* is at most 24. For SmolLM2, with 49,152 tokens, the table of one head takes 9.7 GB; the factors take 25 MB.
#
# *Singular values* say how strongly a matrix acts along each of its main directions. All but 24 of them are 0. Find those 24, the
# largest first, without ever making the large product.
#
# They also give the table's size: the root of the sum of all its squared entries (the *Frobenius norm*) is the root of the sum of the squared
# singular values.
#
# A warning: $BA$ is small as well, 24 × 24, but its singular values are others. (Its eigenvalues are the right ones, and exercise
# 8 uses that.)
#
# Example: A = (3, 4) as a column and B = (1, 0) as a row. AB has one singular value that is not 0: 5 · 1 = 5. (And BA is 3.)


# %% answer="low_rank_singular_values"
def low_rank_singular_values(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Return the r largest singular values of A @ B, largest first, without building A @ B.

    A: (n, r). B: (r, n). r is at most n. Returns: (r,).
    """
    ### BEGIN SOLUTION
    _, R_A = torch.linalg.qr(A)
    _, R_B = torch.linalg.qr(B.T)
    return torch.linalg.svdvals(R_A @ R_B.T)
    ### END SOLUTION


# %% [markdown]
# Look: six heads' OV circuits in `code-attn-2l`, each relative to its own largest value. TransformerLens has a class for such
# products, `FactoredMatrix`: compare.

# %%
from transformer_lens import FactoredMatrix

spectra, differences = {}, []
for layer, h in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]:
    part = head_of(two, layer, h)
    A, B = two.W_E.detach() @ part["W_V"], part["W_O"] @ two.W_U.detach()
    values = low_rank_singular_values(A, B)
    differences.append((values - FactoredMatrix(A, B).S).abs().max() / values[0])
    spectra[f"head {layer}.{h}"] = values / values[0]
print(f"largest difference from FactoredMatrix, relative: {max(differences):.1e}")
plots.lines(
    spectra,
    x=range(1, 25),
    title="Singular values of the OV circuits of code-attn-2l",
    xlabel="number of the singular value",
    ylabel="relative to the largest",
    alt="Six falling lines, one for each head: the 24 singular values of its OV circuit, divided by the largest.",
)

# %% [raw] card="copying_score"
# title = "A copying score from eigenvalues"
# purpose = "One number for: does this head raise what it attends to? The paper's way of finding copying heads without running the model."
# difficulty = 4
# importance = 5
# minutes = 20
# points = 3
# uses = []
# nudge = "A vector v that AB sends to λv: what does BA do with the vector vA? (Rows meet matrices from the left, as everywhere here.)"
# idea = "The eigenvalues of AB that are not 0 are those of BA, which is only r × r. Add them up, and divide by the sum of their absolute values."
# outline = """
# 1. B @ A: (r, r), small.
# 2. torch.linalg.eigvals of it: r complex numbers.
# 3. The sum of all of them (its imaginary part is 0, up to rounding: take .real), divided by the sum of their .abs().
# """
# look = "Compare the two clouds below. A copying head's eigenvalues lie to the right of 0; where do a previous-token head's lie?"

# %% [markdown]
# Mix some tokens, and let the head attend to the mixture $v$ (a row with one number for each token). The logits that come out are $vM$,
# with the OV table $M$. If they are the same mixture again, stronger, the head *copies* the mixture: $vM = \lambda v$ with $\lambda > 0$, an *eigenvector* with a
# positive *eigenvalue*. A negative eigenvalue says that the head lowers what it attends to. A complex pair turns one mixture into
# another.
#
# ```
#   λ > 0   raises what it attends to       λ < 0   lowers it       λ = ±i   neither: turns it into something else
# ```
#
# So the score of [[paper:elhage2021]] is
#
# $$\text{copying score} = \frac{\sum_i \lambda_i}{\sum_i |\lambda_i|}$$
#
# +1 for a head that only copies, −1 for one that only lowers, around 0 where the eigenvalues point everywhere. For a complex number
# $|\lambda|$ is its distance from 0, torch's `.abs()`. Eigenvalues that are 0 add nothing.
#
# The table is $AB$ with $A = \text{reads}\,W_V$ and $B = W_O W_U$; take its eigenvalues without building it. The check counts.


# %% answer="copying_score"
def copying_score(A: torch.Tensor, B: torch.Tensor) -> float:
    """Return the sum of the eigenvalues of A @ B, divided by the sum of their absolute values.

    A: (n, r). B: (r, n). Returns: a number from -1 to 1. A @ B is never built.
    """
    ### BEGIN SOLUTION
    eigenvalues = torch.linalg.eigvals(B @ A)
    return float(eigenvalues.sum().real / eigenvalues.abs().sum())
    ### END SOLUTION


# %% [markdown]
# Look: the eigenvalues of an induction head and of the previous-token head of `code-attn-2l`.

# %%
points, groups = [], []
for layer, h in [(1, 0), (0, 1)]:
    part = head_of(two, layer, h)
    A, B = two.W_E.detach() @ part["W_V"], part["W_O"] @ two.W_U.detach()
    values = torch.linalg.eigvals(B @ A)
    values = values / values.abs().max()
    points.append(torch.stack([values.real, values.imag], dim=1))
    groups += [f"head {layer}.{h}: score {copying_score(A, B):.2f}"] * len(values)
plots.scatter(
    torch.cat(points),
    groups=groups,
    title="Eigenvalues of two OV circuits of code-attn-2l",
    xlabel="real part, relative to the largest",
    ylabel="imaginary part",
    alt="Two clouds of 24 points: the eigenvalues of the OV circuits of heads 1.0 and 0.1, each divided by its largest absolute value.",
)

# %% [markdown]
# Every head of both models, beside random matrices of the same shapes (20 draws):

# %%
scores = {}
for name, model, layers in [("1l", one, 1), ("2l", two, 2)]:
    for layer in range(layers):
        for h in range(4):
            part = head_of(model, layer, h)
            A, B = model.W_E.detach() @ part["W_V"], part["W_O"] @ model.W_U.detach()
            scores[f"{name}: {layer}.{h}"] = copying_score(A, B)
draw = torch.Generator().manual_seed(0)
chance = [
    copying_score(torch.randn(1024, 24, generator=draw), torch.randn(24, 1024, generator=draw)) for _ in range(20)
]
print(f"random matrices: from {min(chance):.2f} to {max(chance):.2f}")
plots.bars(
    list(scores.values()),
    list(scores),
    title="Copying score of every head",
    xlabel="model: layer.head",
    ylabel="copying score",
    alt="Twelve bars, all far above 0: the copying score of each head of code-attn-1l and code-attn-2l.",
)

# %% [markdown]
# All twelve heads copy more than random matrices do, also the heads of `code-attn-1l`, which has no induction heads and can have
# none, and the previous-token head, whose business is not to copy to the output. (In the paper's one-layer model, too, most heads
# copy.) So a copying score finds heads that *could* copy. It does not find induction heads.
#
# *What this does not show*: what the head attends to (that is QK's part), or that its output reaches the logits unchanged. In a model
# with more layers and MLPs the stream is no longer the embedding. The lesson's last section shows what becomes of the score there.
