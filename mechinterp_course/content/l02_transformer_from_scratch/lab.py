# %% [markdown]
# # A transformer from scratch: the lab
#
# At the end of this lab you have a transformer that you wrote yourself, every line of it. You load the weights of a real
# model into it, `code-2l`, and its logits agree with [[paper:transformerlens|TransformerLens]]
# to four decimals. Then you let it write Python.
#
# The whole model, from bottom to top:
#
# ```
#   logits          (batch, pos, d_vocab)     a score for every token that could come next
#     ↑  W_U
#   LayerNorm       ln_final
#     ↑
#   residual ───────────────────────┐
#     ↑                             │
#    (+) ← MLP ← LayerNorm ← ───────┤         block 1: exercise 7
#    (+) ← attention ← LayerNorm ← ─┤
#     ↑                             │
#    (+) ← MLP ← LayerNorm ← ───────┤         block 0
#    (+) ← attention ← LayerNorm ← ─┘
#     ↑
#   W_E[token] + W_pos[position]              exercise 2
#     ↑
#   tokens          (batch, pos)
# ```
#
# A *block* is two layers, an attention layer and an MLP. `code-2l` has two blocks; `n_layers` and `layer` count blocks, in
# TransformerLens and here.
#
# Every function takes its weights as arguments, under the names and shapes that TransformerLens uses: `W_Q` is
# `[n_heads, d_model, d_head]`, and so on. The batch always comes first.
#
# | name | what it counts | here |
# |---|---|---|
# | `batch` | texts at once | as many as you like |
# | `pos` | tokens in a text | up to `n_ctx` = 256 |
# | `d_model` | numbers in the residual stream, at each position | 192 |
# | `n_heads`, `d_head` | heads in an attention layer, numbers in a query, key or value | 6, 32 |
# | `d_mlp` | neurons in an MLP | 768 |
# | `d_vocab` | different tokens | 1,024 |

# %% [markdown]
# The first cell loads the weights as a dictionary of tensors, one piece of Python to look at, and files that the model was not
# trained on. After a restart, run this cell and your earlier answers again; each picture makes the rest of what it needs.

# %%
import torch
import torch.nn.functional as F

from mechinterp_course.interp import models, plots, tasks

weights = models.weights("code-2l")  # a dict: name -> tensor
config = models.config("code-2l")  # config.n_layers, config.d_model, config.eps, ...
tokenizer = models.tokenizer("code-2l")

code = "    def __init__(self, name, value):\n        self.name = name\n        self.value = value\n"
tokens = tokenizer.encode(code)[None]  # (batch = 1, pos)
words = tokenizer.str_tokens(tokens[0])
labels = plots.token_labels(words)

# The attention layer of block 0, by short names: attn_0["W_Q"]. And the two LayerNorms of block 0, each as [w, b].
attn_0 = {f"{kind}_{x}": weights[f"blocks.0.attn.{kind}_{x}"] for x in "QKVO" for kind in "Wb"}
ln1_0, ln2_0 = ([weights[f"blocks.0.{ln}.{x}"] for x in "wb"] for ln in ["ln1", "ln2"])

# The first 256 tokens of each bundled file that is long enough, none of which the model was trained on: (file, pos).
files = [tokenizer.encode(text)[: config.n_ctx] for _, text in tasks.sample()]
held_out = torch.stack([file for file in files if len(file) == config.n_ctx])

# %% [raw] card="layernorm"
# title = "LayerNorm"
# purpose = "Every layer reads the stream through a LayerNorm. It divides by a number that depends on the input, so it is not linear, and later lessons have to reckon with it: know it exactly."
# difficulty = 2
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "Which axis holds the d_model numbers of one position? Along that axis, what are the mean and the variance?"
# idea = "Take mean and variance along the last axis, keeping that axis with size 1, so that they line up with the residual."
# outline = """
# 1. The mean over the last axis, with keepdim=True. Subtract it.
# 2. The variance: the mean of the squares of what is left (so you divide by d_model).
# 3. Divide by the square root of (variance + eps).
# 4. Multiply by w, add b. Both have one number for each of the d_model dimensions.
# """
# look = "Draw the picture below. A layer sees every position at about the same size, however large the stream has grown there."

# %% [markdown]
# Picture the residual stream at one position as a list of 192 numbers. One position's list may be much larger than another's.
# LayerNorm brings all of them to one scale. For the list $x$ at each position:
#
# $$\text{LayerNorm}(x) = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot w + b
# \qquad \mu = \frac{1}{d_\text{model}}\sum_i x_i \qquad \sigma^2 = \frac{1}{d_\text{model}}\sum_i (x_i - \mu)^2$$
#
# $w$ and $b$ are learned, one number for each dimension. $\epsilon$ is tiny; it avoids a division by zero.
#
# torch has it ready-made (`F.layer_norm`). Write it out here, with mean, square and root: later lessons take this step apart.
#
# The axes have to line up. `residual.mean(dim=-1)` is `(batch, pos)`; with `keepdim=True` it is `(batch, pos, 1)`, and torch
# stretches an axis of size 1 to whatever it meets (*broadcasting*). So `(batch, pos, d_model)` minus `(batch, pos, 1)` works.


# %% answer="layernorm"
def layernorm(residual: torch.Tensor, w: torch.Tensor, b: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the residual stream, normalised at each position, times w, plus b.

    residual: (batch, pos, d_model). w, b: (d_model,). Returns: (batch, pos, d_model).
    """
    ### BEGIN SOLUTION
    centred = residual - residual.mean(dim=-1, keepdim=True)
    variance = centred.pow(2).mean(dim=-1, keepdim=True)
    return centred / (variance + eps).sqrt() * w + b
    ### END SOLUTION


# %% [markdown]
# Look: the length of the vector at each position, before and after. The input is the model's own embedding of `code`.

# %%
embedded = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"][: tokens.shape[1]]
ones, zeros = torch.ones(config.d_model), torch.zeros(config.d_model)
plots.lines(
    {
        "before": embedded.norm(dim=-1)[0],
        "after, w = 1, b = 0": layernorm(embedded, ones, zeros, config.eps).norm(dim=-1)[0],
        "after, the model's w, b": layernorm(embedded, *ln1_0, config.eps).norm(dim=-1)[0],
    },
    x=labels,
    title="Length of the vector at each position",
    xlabel="position and token",
    ylabel="length",
    alt="Three lines over the positions: the length of the vector before LayerNorm, after it with w = 1 and b = 0, and after it with the model's w and b.",
)

# %% [raw] card="embed"
# title = "Tokens and positions become vectors"
# purpose = "The stream starts here: one row of W_E for what the token is, one row of W_pos for where it stands."
# difficulty = 1
# importance = 4
# minutes = 6
# points = 1
# uses = []
# nudge = "W_E has one row for each token of the vocabulary. How do you pick the rows of several tokens at once?"
# idea = "Two lookups and an addition. One table is asked by what the token is, the other by where it stands."
# outline = """
# 1. Index W_E with the whole tensor of tokens: a row for each, shape (batch, pos, d_model).
# 2. Positions count from 0: take the first `pos` rows of W_pos, shape (pos, d_model).
# 3. Add. Broadcasting gives every text of the batch the same positions.
# """
# look = "In the picture below, how similar are neighbouring positions? Then look farther from the diagonal for stripes: places that are more alike than nearer ones. Nobody built any of it in."

# %% [markdown]
# A token is a number, say 317. The model keeps a table `W_E` with a row of 192 numbers for each of the 1,024 tokens, and a
# second table `W_pos` with a row for each of the 256 positions. The stream starts as the sum of two rows:
#
# $$\text{embed}_{b,i} = W_E[\text{tokens}_{b,i}] + W_{pos}[i]$$
#
# Example: token 317 at position 4 gets row 317 of `W_E` plus row 4 of `W_pos`.


# %% answer="embed"
def embed(tokens: torch.Tensor, W_E: torch.Tensor, W_pos: torch.Tensor) -> torch.Tensor:
    """Return the start of the residual stream: each token's row of W_E plus its position's of W_pos.

    tokens: (batch, pos), whole numbers. W_E: (d_vocab, d_model). W_pos: (n_ctx, d_model), n_ctx >= pos.
    Returns: (batch, pos, d_model).
    """
    ### BEGIN SOLUTION
    return W_E[tokens] + W_pos[: tokens.shape[1]]
    ### END SOLUTION


# %% [markdown]
# Look: how similar are the vectors of any two of the first 64 positions? 1 means the same direction, 0 means unrelated.
# To see positions alone, subtract what does not change: the token.

# %%
same_token = torch.full((1, 64), int(tokens[0, 1]))
stream = embed(same_token, weights["embed.W_E"], weights["pos_embed.W_pos"])[0]
position_part = F.normalize(stream - weights["embed.W_E"][tokens[0, 1]], dim=-1)
plots.heatmap(
    position_part @ position_part.T,
    title="Similarity of position vectors",
    xlabel="position",
    ylabel="position",
    alt="The cosine similarity of every pair of the first 64 position vectors; the diagonal is 1, by definition.",
    zmid=0,
    zlabel="cosine",
)

# %% [raw] card="attention_scores"
# title = "Attention scores: who fits whom"
# purpose = "Query times key is how a head decides where to look. Lesson 05 reads this product straight off the weights."
# difficulty = 3
# importance = 5
# minutes = 20
# points = 2
# uses = []
# nudge = "For one head, queries have shape (batch, pos, d_head), and so have the keys. Which axis disappears when you compare them?"
# idea = "Make queries and keys for all heads with einsum, then a second einsum sums over d_head and leaves batch, head, query, key."
# outline = """
# 1. Queries: einsum of normed (batch pos d_model) and W_Q (head d_model d_head) to (batch pos head d_head); add b_Q.
# 2. Keys: the same with W_K and b_K.
# 3. Scores: einsum over d_head. Give the query's position and the key's position different letters: (batch head query key).
# 4. Divide by the square root of d_head, the last axis of W_Q.
# """
# look = "One of the four weights, b_K, changes the scores and yet never the pattern. Can you see why? (What does it add to all the scores of one query?)"

# %% [markdown]
# Picture one head as a search. Each position writes a *query* ("I look for this") and a *key* ("I offer this"), both lists of
# `d_head` numbers. A query and a key that point the same way give a high score.
#
# For each head $h$, with the normalised stream $x$:
#
# $$q_i = x_i W_Q + b_Q \qquad k_j = x_j W_K + b_K \qquad \text{score}_{ij} = \frac{q_i \cdot k_j}{\sqrt{d_\text{head}}}$$
#
# By hand, with `d_head` = 2: query (2, 2) and key (3, 1) give (2·3 + 2·1) / √2 = 5.66.
#
# Work on all heads at once. The result has a row for each query and a column for each key. No mask yet.
#
# A worked line of `einsum` with a stack of matrices: `x` is `(batch, pos, m)`, and `M` holds one matrix for each colour,
# `(colour, m, n)`. Then
#
# ```
#   torch.einsum("bpm,cmn->bpcn", x, M)        (batch, pos, colour, n)
# ```
#
# multiplies the vector at every position by every colour's matrix: `m` is missing on the right, so it is summed. If you would
# rather write a loop over the heads, with `@`, and `torch.stack` at the end, that is right too.


# %% answer="attention_scores"
def attention_scores(
    normed: torch.Tensor, W_Q: torch.Tensor, b_Q: torch.Tensor, W_K: torch.Tensor, b_K: torch.Tensor
) -> torch.Tensor:
    """Return each head's score of every query with every key, divided by √d_head; not masked.

    normed: (batch, pos, d_model). W_Q, W_K: (n_heads, d_model, d_head).
    b_Q, b_K: (n_heads, d_head). Returns: (batch, head, query, key).
    """
    ### BEGIN SOLUTION
    query = torch.einsum("bpm,hmd->bphd", normed, W_Q) + b_Q
    key = torch.einsum("bpm,hmd->bphd", normed, W_K) + b_K
    return torch.einsum("bqhd,bkhd->bhqk", query, key) / W_Q.shape[-1] ** 0.5
    ### END SOLUTION


# %% [markdown]
# Look: the raw scores of head 0 in block 0. They may be negative, and they say nothing yet about which keys a query may see.

# %%
residual_0 = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
normed_0 = layernorm(residual_0, *ln1_0, config.eps)
scores_0 = attention_scores(normed_0, attn_0["W_Q"], attn_0["b_Q"], attn_0["W_K"], attn_0["b_K"])
plots.heatmap(
    scores_0[0, 0],
    x=labels,
    y=labels,
    title="Scores of head 0, block 0, before mask and softmax",
    xlabel="key",
    ylabel="query",
    alt="A row for each query, a column for each key; red is a high score, blue a low one.",
    zmid=0,
    zlabel="score",
)

# %% [raw] card="attention_pattern"
# title = "From scores to a pattern"
# purpose = "The pattern is what people look at first in a transformer. Every row is one position's choice of where to look."
# difficulty = 2
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "What has to be true of a score so that its exponential is exactly 0?"
# idea = "Set the scores of later keys to minus infinity, then take the softmax over the keys."
# outline = """
# 1. Build a (query, key) mask that is True where the key comes later: strictly above the diagonal.
# 2. Fill the scores with float("-inf") there. Make a new tensor (masked_fill, without the underscore).
# 3. Softmax over the last axis, the keys.
# """
# look = "In each head below, row 0 has a single place to look. A position with nothing useful to look at still has to spend its attention somewhere."

# %% [markdown]
# A model that may look at the next token has nothing left to predict. So a query sees itself and what came before:
#
# ```
#               scores                        pattern: every row sums to 1
#             key 0  key 1  key 2               key 0  key 1  key 2
#   query 0 [  1.0    9.9    9.9 ]            [  1.00   0      0    ]
#   query 1 [  1.0    1.0    9.9 ]     →      [  0.50   0.50   0    ]
#   query 2 [  1.0    1.0    1.0 ]            [  0.33   0.33   0.33 ]
# ```
#
# Hide the later keys, then turn each row into a distribution with a softmax. Any `torch` function may help you
# (lesson 00 took the softmax and the mask apart). The check also tries scores of thousands: `exp` of those is infinite or 0, so
# subtract each row's maximum first, or use `torch.softmax`, which does.


# %% answer="attention_pattern"
def attention_pattern(scores: torch.Tensor) -> torch.Tensor:
    """Return the attention pattern: 0 for later keys, and the softmax of the scores over the others.

    scores: (batch, head, query, key), with as many queries as keys.
    Returns: the same shape, each row sums to 1.
    """
    ### BEGIN SOLUTION
    n = scores.shape[-1]
    later = torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(diagonal=1)
    return scores.masked_fill(later, float("-inf")).softmax(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: the six heads of block 0, on real weights, through your own code.

# %%
residual_0 = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
normed_0 = layernorm(residual_0, *ln1_0, config.eps)
scores_0 = attention_scores(normed_0, attn_0["W_Q"], attn_0["b_Q"], attn_0["W_K"], attn_0["b_K"])
pattern_0 = attention_pattern(scores_0)
plots.attention(
    pattern_0[0],
    words,
    title="Attention patterns of block 0",
    alt="Six heads. Each row is a query, each column a key; bright means much attention. Above the diagonal all is dark.",
)

# %% [raw] card="attention_output"
# title = "What attention moves"
# purpose = "The pattern says from where; values and W_O say what. Heads add up independently: most of this course rests on that."
# difficulty = 3
# importance = 5
# minutes = 18
# points = 2
# uses = []
# nudge = "Each head makes a value for every key position. What does the pattern do with a query's row of values?"
# idea = "z is the average of the values, weighted by the pattern. W_O takes each head's z back to d_model numbers; then sum over heads."
# outline = """
# 1. Values: like queries, with W_V and b_V: (batch pos head d_head).
# 2. z: for each query, sum over the keys of pattern × value: (batch query head d_head).
# 3. Each head's z times its own W_O (head d_head d_model), summed over heads: one einsum may sum over head and d_head.
# 4. Add b_O, once.
# """
# look = "The picture shows each head alone. Their sum, plus b_O, is all that attention adds to the stream."

# %% [markdown]
# A head that looks somewhere takes something from there: the *value*. With the pattern $A$ and the normalised stream $x$:
#
# $$v_j = x_j W_V + b_V \qquad z_i = \sum_j A_{ij}\, v_j \qquad \text{out}_i = \sum_\text{heads} z_i W_O \; + \; b_O$$
#
# `W_O` has a matrix for each head, `[n_heads, d_head, d_model]`. The paper of 2017 puts the heads' results side by side and
# multiplies by one large matrix. That is the same sum, written so that you do not see it.


# %% answer="attention_output"
def attention_output(
    normed: torch.Tensor,
    pattern: torch.Tensor,
    W_V: torch.Tensor,
    b_V: torch.Tensor,
    W_O: torch.Tensor,
    b_O: torch.Tensor,
) -> torch.Tensor:
    """Return what attention adds to the stream: values mixed by the pattern, through W_O, summed over heads.

    normed: (batch, pos, d_model). pattern: (batch, head, query, key).
    W_V: (n_heads, d_model, d_head). b_V: (n_heads, d_head).
    W_O: (n_heads, d_head, d_model). b_O: (d_model,). Returns: (batch, pos, d_model).
    """
    ### BEGIN SOLUTION
    value = torch.einsum("bpm,hmd->bphd", normed, W_V) + b_V
    z = torch.einsum("bhqk,bkhd->bqhd", pattern, value)
    return torch.einsum("bqhd,hdm->bqm", z, W_O) + b_O
    ### END SOLUTION


# %% [markdown]
# Look: how much does each head add at each position? Run the layer with one head at a time (and without `b_O`), and
# measure the length of what comes out.


# %%
residual_0 = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
normed_0 = layernorm(residual_0, *ln1_0, config.eps)
scores_0 = attention_scores(normed_0, attn_0["W_Q"], attn_0["b_Q"], attn_0["W_K"], attn_0["b_K"])
pattern_0 = attention_pattern(scores_0)


def one_head(h):
    W_V, b_V, W_O = (attn_0[name][h : h + 1] for name in ["W_V", "b_V", "W_O"])
    return attention_output(normed_0, pattern_0[:, h : h + 1], W_V, b_V, W_O, 0 * attn_0["b_O"])


each_head = torch.stack([one_head(h)[0] for h in range(config.n_heads)])  # (head, pos, d_model)
together = attention_output(normed_0, pattern_0, attn_0["W_V"], attn_0["b_V"], attn_0["W_O"], attn_0["b_O"])[0]
difference = (each_head.sum(0) + attn_0["b_O"] - together).abs().max()
print(f"the sum of the heads, plus b_O, differs from the whole layer by at most {difference:.7f}")
plots.heatmap(
    each_head.norm(dim=-1),
    x=labels,
    y=[f"head {h}" for h in range(config.n_heads)],
    title="How much each head of block 0 adds",
    xlabel="position and token",
    ylabel="head",
    alt="The length of the vector that each head adds to the stream, at each position.",
    zlabel="length",
)

# %% [raw] card="mlp"
# title = "The MLP"
# purpose = "More than half of the model's numbers are here. Attention moves information; the MLP works on it, each position alone."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 1
# uses = []
# nudge = "Two matrices and a curve between them. What shape is the stream between the two?"
# idea = "To d_mlp numbers with W_in and b_in, each through gelu_new, back to d_model numbers with W_out and b_out."
# outline = """
# 1. The neurons' inputs: multiply by W_in, add b_in. Shape (batch, pos, d_mlp).
# 2. gelu_new, number by number: write the formula, or use F.gelu with approximate="tanh".
# 3. Multiply by W_out, add b_out. Shape (batch, pos, d_model).
# """
# look = "In the second picture, compare the bars with one half. Below zero a neuron is nearly quiet: it waits until its input fits."

# %% [markdown]
# The MLP reads one position and writes to the same one. It has 768 *neurons*. Each takes a weighted sum of the normalised
# stream (a column of `W_in`), bends it with a curve, and adds its row of `W_out` to the stream, as strongly as it fired.
#
# $$\text{MLP}(x) = \text{gelu\_new}(x W_{in} + b_{in})\, W_{out} + b_{out}$$
#
# GPT-2's curve, `gelu_new`, is 0 far to the left, the identity far to the right, and dips below 0 in between:
#
# $$\text{gelu\_new}(x) = \tfrac{1}{2}\, x \left(1 + \tanh\!\left(\sqrt{2/\pi}\,(x + 0.044715\, x^3)\right)\right)$$


# %% answer="mlp"
def mlp(
    normed: torch.Tensor, W_in: torch.Tensor, b_in: torch.Tensor, W_out: torch.Tensor, b_out: torch.Tensor
) -> torch.Tensor:
    """Return what an MLP layer adds to the stream: gelu_new(normed W_in + b_in) W_out + b_out.

    normed: (batch, pos, d_model). W_in: (d_model, d_mlp). b_in: (d_mlp,).
    W_out: (d_mlp, d_model). b_out: (d_model,). Returns: (batch, pos, d_model).
    """
    ### BEGIN SOLUTION
    pre = normed @ W_in + b_in
    post = 0.5 * pre * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (pre + 0.044715 * pre**3)))
    return post @ W_out + b_out
    ### END SOLUTION


# %% [markdown]
# Look: the curve, drawn with your own `mlp` (one neuron, all weights 1), and the share of the 768 real neurons that are
# above zero at each position.

# %%
curve_in = torch.linspace(-4, 4, 161).reshape(1, -1, 1)  # 161 positions, d_model = 1
one, zero = torch.ones(1, 1), torch.zeros(1)
plots.lines(
    {"gelu_new, through your mlp": mlp(curve_in, one, zero, one, zero).flatten(), "ReLU": curve_in.relu().flatten()},
    x=curve_in.flatten().tolist(),
    title="The curve between the two matrices",
    xlabel="input of the neuron",
    ylabel="output",
    alt="gelu_new follows ReLU far from zero; between about -3 and 0 it dips slightly below zero, and it has no corner.",
)

# %%
residual_0 = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
normed_0 = layernorm(residual_0, *ln1_0, config.eps)
scores_0 = attention_scores(normed_0, attn_0["W_Q"], attn_0["b_Q"], attn_0["W_K"], attn_0["b_K"])
pattern_0 = attention_pattern(scores_0)
W_V, b_V, W_O, b_O = (attn_0[name] for name in ["W_V", "b_V", "W_O", "b_O"])
middle_0 = residual_0 + attention_output(normed_0, pattern_0, W_V, b_V, W_O, b_O)
into_mlp = layernorm(middle_0, *ln2_0, config.eps)
firing = into_mlp @ weights["blocks.0.mlp.W_in"] + weights["blocks.0.mlp.b_in"] > 0
plots.bars(
    firing.float().mean(-1)[0],
    labels,
    title="Share of block 0's neurons above zero",
    xlabel="position and token",
    ylabel="share of 768",
    alt="One bar for each position: the share of the neurons whose input is above zero there.",
)

# %% [raw] card="transformer_block"
# title = "A block: read a copy, add to the stream"
# purpose = "Two additions, and the residual stream is born. Every layer adds; no layer replaces."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = ["layernorm", "attention_scores", "attention_pattern", "attention_output", "mlp"]
# nudge = "Attention reads a normalised copy of the stream. To what is its output added: to the copy, or to the stream?"
# idea = "Add to the residual what attention makes of its ln1-normalised copy; then add what the MLP makes of the new residual's ln2-normalised copy."
# outline = """
# 1. normed = layernorm of the residual, with ln1.w and ln1.b.
# 2. Scores, pattern, output: your three attention functions, on normed.
# 3. Add the output to the residual (not to normed).
# 4. normed again, of the new residual, with ln2.w and ln2.b. Through your mlp. Add that to the residual.
# """
# look = "Nothing is ever removed from the stream except by adding its opposite. Lesson 04 takes a logit apart along these additions."

# %% [markdown]
# ```
#   residual ──┬────────────────────────────→ (+) ──┬────────────────────→ (+) ──→ residual
#              └→ ln1 → attention ─────────────↑    └→ ln2 → MLP ───────────↑
# ```
#
# The stream runs straight through. Each layer reads a *normalised copy* and *adds* its result to the stream itself. This is
# called pre-norm. The paper of 2017 normalised the stream after each addition; GPT-2 and nearly all models since do it this way.
#
# The weights come as one dictionary for the whole model. `part("attn.W_Q")` picks this block's: it stands for
# `weights["blocks.0.attn.W_Q"]` when `layer` is 0 (`layer` is the block's number). There are `ln1.w`, `ln1.b`, `attn.W_Q`, `attn.b_Q` (and so for `K`, `V`, `O`),
# `ln2.w`, `ln2.b`, `mlp.W_in`, `mlp.b_in`, `mlp.W_out`, `mlp.b_out`.


# %% answer="transformer_block"
def transformer_block(residual: torch.Tensor, weights: dict, layer: int, eps: float) -> torch.Tensor:
    """Return the residual stream after one block: attention has added to it, then the MLP.

    residual: (batch, pos, d_model). weights: all the model's weights. layer: which block.
    Returns: (batch, pos, d_model).
    """

    def part(name: str) -> torch.Tensor:
        return weights[f"blocks.{layer}.{name}"]

    ### BEGIN SOLUTION
    normed = layernorm(residual, part("ln1.w"), part("ln1.b"), eps)
    scores = attention_scores(normed, part("attn.W_Q"), part("attn.b_Q"), part("attn.W_K"), part("attn.b_K"))
    pattern = attention_pattern(scores)
    residual = residual + attention_output(
        normed, pattern, part("attn.W_V"), part("attn.b_V"), part("attn.W_O"), part("attn.b_O")
    )
    normed = layernorm(residual, part("ln2.w"), part("ln2.b"), eps)
    return residual + mlp(normed, part("mlp.W_in"), part("mlp.b_in"), part("mlp.W_out"), part("mlp.b_out"))
    ### END SOLUTION


# %% [markdown]
# Look: the length of the stream at each position, as it passes through the two blocks.

# %%
residual_0 = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
after_0 = transformer_block(residual_0, weights, 0, config.eps)
after_1 = transformer_block(after_0, weights, 1, config.eps)
plots.lines(
    {
        "embedding": residual_0.norm(dim=-1)[0],
        "after block 0": after_0.norm(dim=-1)[0],
        "after block 1": after_1.norm(dim=-1)[0],
    },
    x=labels,
    title="Length of the residual stream",
    xlabel="position and token",
    ylabel="length",
    alt="Three lines over the positions: the length of the stream at the embedding, after block 0 and after block 1.",
)

# %% [raw] card="transformer"
# title = "The whole model, with real weights"
# purpose = "Your code, a real model's weights, the same logits as TransformerLens: from here on nothing inside is a black box."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 3
# uses = ["layernorm", "embed", "transformer_block"]
# nudge = "Look at the drawing at the top of the lab. Which four steps lead from tokens to logits?"
# idea = "embed, then every block in turn, then a last LayerNorm, then W_U."
# outline = """
# 1. Start the residual with embed.
# 2. Send it through transformer_block once for each block, 0 to config.n_layers - 1, and go on with what comes back.
# 3. Normalise with ln_final.w and ln_final.b.
# 4. Multiply by unembed.W_U: (d_model, d_vocab). No softmax.
# """
# look = "Run the cells below: your model against TransformerLens, then its guesses, then its loss."

# %% [markdown]
# Put the parts together. The names are `embed.W_E`, `pos_embed.W_pos`, the blocks, `ln_final.w`, `ln_final.b` and `unembed.W_U`.
# `config.n_layers` says how many blocks there are, `config.eps` is LayerNorm's ε.
#
# The check runs your function twice. First on a small model of three blocks with random weights and another ε, against a model
# made of torch's own layers (`nn.TransformerEncoderLayer`). Then with the weights of `code-2l` on Python that it was not trained on, against
# TransformerLens: every logit has to agree to 0.0001. TransformerLens takes a few seconds to import, once.


# %% answer="transformer"
def transformer(tokens: torch.Tensor, weights: dict, config) -> torch.Tensor:
    """Return the model's logits: at each position, a score for every token that could come next.

    tokens: (batch, pos). weights: all the model's weights, by name. config: its sizes.
    Returns: (batch, pos, d_vocab).
    """
    ### BEGIN SOLUTION
    residual = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
    for layer in range(config.n_layers):
        residual = transformer_block(residual, weights, layer, config.eps)
    normed = layernorm(residual, weights["ln_final.w"], weights["ln_final.b"], config.eps)
    return normed @ weights["unembed.W_U"]
    ### END SOLUTION


# %% [markdown]
# Look: the same text through TransformerLens and through your code.

# %%
model = models.load("code-2l")  # TransformerLens' own version of the same weights
logits = transformer(tokens, weights, config)
with torch.no_grad():
    difference = (logits - model(tokens)).abs().max()
print(f"largest difference in {logits.numel():,} logits: {difference:.1e}")

# %% [markdown]
# And what does it say? These are the ten tokens that it holds most probable after `prefix`. Change the prefix and run the cell
# again.

# %%
prefix = "    def __init__(self, name, value):\n        self."
next_logits = transformer(tokenizer.encode(prefix)[None], weights, config)[:, -1]  # (batch = 1, d_vocab)
best = next_logits[0].softmax(-1).topk(10)
plots.bars(
    best.values,
    plots.token_labels(tokenizer.str_tokens(best.indices)),
    title="The next token",
    xlabel="rank and token",
    ylabel="probability",
    alt="The probabilities of the ten most probable next tokens, from large to small.",
)

# %% [markdown]
# One number for how good it is: the *loss*, the mean of $-\log p(\text{the token that came})$, in nats. A model that knows nothing
# about 1,024 tokens loses $\log 1024 = 6.93$. Files that the model was not trained on are *held out*. The model card gives the
# loss on all of them, the test split; you compute it on the files of the setup cell, 255 predictions each.

# %%
losses = F.cross_entropy(
    transformer(held_out, weights, config)[:, :-1].mT, held_out[:, 1:], reduction="none"
)  # (file, pos)
print(f"your model on {len(held_out)} held-out files:      {losses.mean():.2f} nats a token")
print(f"single files:                       {losses.mean(1).min():.2f} to {losses.mean(1).max():.2f}")
card = models.card("code-2l")
print(f"the card, on the whole test split:  {card['loss']['test']['nats_per_token']:.2f}")

# %% [markdown]
# The two need not be equal: yours is over the beginnings of some files (licences, docstrings, imports), the card's over the
# whole test split.
#
# *What this does not show*: that the model understands Python. A low loss says that it predicts this kind of text well.

# %% [raw] card="with_temperature"
# title = "Temperature"
# purpose = "Logits become a distribution to draw from. Temperature decides how much the favourite wins."
# difficulty = 1
# importance = 3
# minutes = 5
# points = 1
# uses = []
# nudge = "A high temperature should make all tokens nearly equal. What must happen to the differences between the logits?"
# idea = "Divide the logits by the temperature, then take the softmax."
# outline = """
# 1. Divide all logits by the temperature.
# 2. Softmax over the last axis.
# """
# look = "Temperature 0 would be a division by zero; people write it when they mean: always take the favourite."

# %% [markdown]
# $$p = \text{softmax}(\text{logits} / T)$$
#
# At $T = 1$ these are the model's own probabilities. Colder ($T < 1$) sharpens them: at $T = \frac12$ every probability is squared,
# and then all are rescaled to sum to 1. Hotter ($T > 1$) flattens them.
#
# The check goes from $T$ = 0.05 to 10, and to logits of hundreds. As in exercise 4, `exp` of those is infinite unless each row's
# maximum is subtracted first; `torch.softmax` does it.


# %% answer="with_temperature"
def with_temperature(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the probabilities of the next token at this temperature.

    logits: (batch, d_vocab). temperature: > 0. Returns: (batch, d_vocab), each row sums to 1.
    """
    ### BEGIN SOLUTION
    return (logits / temperature).softmax(dim=-1)
    ### END SOLUTION


# %%
prefix = "    def __init__(self, name, value):\n        self."
next_logits = transformer(tokenizer.encode(prefix)[None], weights, config)[:, -1]  # (batch = 1, d_vocab)
favourites = next_logits[0].topk(10).indices
plots.lines(
    {f"T = {t}": with_temperature(next_logits, t)[0, favourites] for t in [0.5, 1.0, 2.0]},
    x=plots.token_labels(tokenizer.str_tokens(favourites)),
    title="The next token at three temperatures",
    xlabel="rank and token",
    ylabel="probability",
    alt="Three lines, one for each temperature: the probabilities of the ten tokens that are most probable at temperature 1.",
)

# %% [raw] card="top_k_filter"
# title = "Top-k"
# purpose = "A thousand improbable tokens together are not improbable. Top-k cuts off the tail."
# difficulty = 2
# importance = 3
# minutes = 10
# points = 1
# uses = []
# nudge = "How large is the k-th largest number of a row? What about all the numbers below it?"
# idea = "Keep what is at least as large as the row's k-th largest, set the rest to 0, divide each row by its sum."
# outline = """
# 1. topk gives each row's k largest values, in order. The last of them is the row's threshold; keep its axis.
# 2. Where a probability is at least the threshold it stays, elsewhere it becomes 0 (torch.where).
# 3. Divide each row by its sum, keeping the axis.
# """
# look = "k is the same for every position, whether the model is sure or not. The next exercise mends that."

# %% [markdown]
# Keep each row's `k` most probable tokens, give 0 to all others, and rescale so that the row sums to 1 again.
# Each probability stays in its place: entry 5 is token 5.
#
# Example with `k` = 2: `[0.1, 0.5, 0.15, 0.25]` becomes `[0, 0.667, 0, 0.333]`.
#
# Where tokens tie for the k-th place, keep as many of them as make k, or all that tie: both are right. Fewer than k is not. All
# others get exactly 0: what is left at 0.0000001 is drawn sooner or later.


# %% answer="top_k_filter"
def top_k_filter(probabilities: torch.Tensor, k: int) -> torch.Tensor:
    """Return the distribution with only the k most probable tokens of each row left, rescaled.

    probabilities: (batch, d_vocab), each row sums to 1. k: from 1 to d_vocab.
    Returns: the same shape, each row sums to 1.
    """
    ### BEGIN SOLUTION
    threshold = probabilities.topk(k, dim=-1).values[..., -1:]
    kept = torch.where(probabilities >= threshold, probabilities, 0.0)
    return kept / kept.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %% [markdown]
# Look: how often is the token that really came among the model's `k` favourites, on the held-out files?

# %%
real_next = held_out[:, 1:].flatten()
guesses = transformer(held_out, weights, config)[:, :-1].flatten(0, 1).softmax(-1)  # (file × pos, d_vocab)
ks = [1, 2, 5, 10, 20, 50, 100]
found = [(top_k_filter(guesses, k).gather(1, real_next[:, None]) > 0).float().mean() for k in ks]
plots.bars(
    torch.stack(found),
    [f"k = {k}" for k in ks],
    title="Is the real next token among the k favourites?",
    ylabel="share of positions",
    alt="The share of positions of held-out files where the true next token is among the k most probable ones; it grows with k.",
)

# %% [raw] card="top_p_filter"
# title = "Top-p"
# purpose = "Keep as many tokens as the model's uncertainty asks for: one where it is sure, many where it is not."
# difficulty = 4
# importance = 3
# minutes = 18
# points = 2
# uses = []
# nudge = "Walk down from the most probable token. When do you stop, and does the token at which you stop belong to the set?"
# idea = "Sort from large to small. Keep a token when the tokens before it hold less than p together. Put the result back in the old order."
# outline = """
# 1. Sort each row from large to small; keep the sorting's indices.
# 2. The running total (cumsum), minus the token's own probability: what the tokens before it hold.
# 3. Keep where that is less than p, else 0.
# 4. Put the kept numbers back in their places (zeros_like, then scatter along the last axis with the indices).
# 5. Rescale each row.
# """
# look = "Below: where is one token enough, and where does it take many? A fixed k cannot adapt like that."

# %% [markdown]
# Go down from the most probable token and add up. Stop as soon as you hold at least `p`. The token that takes you there is
# *kept*, so one token always remains. All others become 0, and the row is rescaled.
#
# ```
#   probability      0.50   0.25   0.15   0.10
#   running total    0.50   0.75   0.90   1.00
#                            ↑      └ p = 0.8: keep 0.50, 0.25 and 0.15
#                            └ p = 0.7: keep 0.50 and 0.25
# ```
#
# This is also called nucleus sampling ([[paper:holtzman2020]]). Where tokens tie, it does not matter which of them you keep, and
# keeping all that tie is right as well. With `p` = 1 every token stays.
#
# The row that you get is not sorted, so each number has to go back to its place. `values, places = row.sort(descending=True)`
# tells where each value came from. The way back is `scatter`: number `i` of `values` is written to place `places[i]`.
#
# ```
#   row                                             [0.1, 0.5, 0.4]
#   values, places                                  [0.5, 0.4, 0.1],  [1, 2, 0]
#   torch.zeros(3).scatter(-1, places, values)      [0.1, 0.5, 0.4]
# ```


# %% answer="top_p_filter"
def top_p_filter(probabilities: torch.Tensor, p: float) -> torch.Tensor:
    """Return the distribution of the smallest set of most probable tokens that holds at least p.

    probabilities: (batch, d_vocab), each row sums to 1. p: above 0, at most 1.
    Returns: the same shape, each row sums to 1.
    """
    ### BEGIN SOLUTION
    ordered, places = probabilities.sort(dim=-1, descending=True)
    held_before = ordered.cumsum(dim=-1) - ordered
    kept = torch.where(held_before < p, ordered, 0.0)
    kept = torch.zeros_like(probabilities).scatter(-1, places, kept)
    return kept / kept.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %%
sizes = (top_p_filter(transformer(tokens, weights, config)[0].softmax(-1), 0.9) > 0).sum(-1)
plots.bars(
    sizes,
    [f"after {label}" for label in labels],
    title="How many tokens hold 90 % of the probability",
    xlabel="after position and token",
    ylabel="tokens kept by top-p, p = 0.9",
    alt="One bar for each position: how many of the 1,024 tokens top-p keeps for the next place; few where the model is sure.",
)

# %% [raw] card="generate"
# title = "Let it write"
# purpose = "The loop that turns a next-token predictor into a writer. It is the loop behind every chatbot."
# difficulty = 3
# importance = 4
# minutes = 18
# points = 2
# uses = ["transformer", "with_temperature", "top_k_filter", "top_p_filter"]
# nudge = "The model gives logits at every position. Which of them speak about a token that is not there yet?"
# idea = "Repeat n_new times: logits at the last position, temperature, filters, draw one token, put it at the end."
# outline = """
# 1. Give the transformer the last config.n_ctx tokens (W_pos has no row for more); take the logits at the last position.
# 2. with_temperature, then top_k_filter if top_k is not None, then top_p_filter if top_p is not None.
# 3. Draw one token for each text with torch.multinomial and the generator: shape (batch, 1).
# 4. Join the tokens and the new one along axis 1 (torch.cat). Go round again with the longer text.
# """
# look = "Read what your model writes below. Which rules of Python does it follow? Which does it break, and how far apart are the two places of each mistake?"

# %% [markdown]
# The model predicts one token. To write, predict, draw a token, put it at the end, and go round again:
#
# ```
#   tokens → transformer → last position's logits → temperature → top-k → top-p
#     ↑                                                                     │
#     └──────── put it at the end ←──────── draw one token ←────────────────┘
# ```
#
# To draw, use `torch.multinomial`: given rows of probabilities and how many draws to make from each, it returns the numbers of the
# drawn tokens, `(batch, draws)`. Pass it the `generator` that you are given, so that the same seed writes the same text. Use the
# generator as it is: seeding it again would repeat the same draws.
#
# The model has no positions beyond `config.n_ctx`: give *it* the last `n_ctx` tokens. What you return is still the whole text.


# %% answer="generate"
def generate(
    tokens: torch.Tensor,
    weights: dict,
    config,
    n_new: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> torch.Tensor:
    """Return the tokens followed by n_new tokens drawn from the model, one after the other.

    tokens: (batch, pos). n_new: 0 or more. The order is temperature, top_k, top_p; None leaves a filter out.
    Returns: (batch, pos + n_new).
    """
    ### BEGIN SOLUTION
    for _ in range(n_new):
        logits = transformer(tokens[:, -config.n_ctx :], weights, config)[:, -1]
        probabilities = with_temperature(logits, temperature)
        if top_k is not None:
            probabilities = top_k_filter(probabilities, top_k)
        if top_p is not None:
            probabilities = top_p_filter(probabilities, top_p)
        new = torch.multinomial(probabilities, 1, generator=generator)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens
    ### END SOLUTION


# %% [markdown]
# Your own transformer writes Python. Change the seed, the temperature and the beginning.

# %%
start = tokenizer.encode('class Stack:\n    """')[None]
samples = {
    "temperature 0.3": {"temperature": 0.3},
    "temperature 0.9, top-p 0.9": {"temperature": 0.9, "top_p": 0.9},
    "temperature 1.5": {"temperature": 1.5},
}
for name, settings in samples.items():
    text = generate(start, weights, config, 100, torch.Generator().manual_seed(1), **settings)
    print(f"--- {name} " + "-" * (70 - len(name)))
    print(tokenizer.decode(text[0, 1:]))
print("-" * 75)

# %% [markdown]
# *What this does not show*: three samples are an impression, not a measurement. The loss above is the measurement.
#
# **You have built a transformer.** In the next lessons you open it: you read and change what flows between these functions.
