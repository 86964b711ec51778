# %% [markdown]
# # The residual stream: the lab
#
# At the end of this lab you can say which head and which layer a prediction comes from, and your numbers add up: the
# parts sum to the model's own logit difference, with nothing left over. On the way you write the [[term:logit lens]],
# and you measure what goes missing when the last LayerNorm is forgotten, as it often is.
#
# ```
#   embed + pos_embed + (heads + b_O + MLP) + (heads + b_O + MLP)  =  final stream     exercises 1 and 2
#                                                                         │
#                                            ln_final: centre, ÷ scale, · w, + b       exercises 3, 5 and 8
#                                                                         │
#                                                            · W_U, + b_U → logits     exercises 5 to 7
# ```
#
# You work with two models that ship with the course, both with **raw** weights (as they were trained, nothing
# folded):
#
# - `code-2l`, two blocks with six heads and an MLP each, on 16 files of Python that it was not trained on;
# - `code-attn-2l`, two attention layers of four heads and no MLPs, on random tokens that are repeated: 40 tokens,
#   then the same 40 again.
#
# A *part* is a vector that somebody added to the stream. All parts have the names that the course's own helper gives
# them, too: `"embed"`, `"pos_embed"`, `"head 1.2"` (layer 1, head 2), `"b_O 1"`, `"attn 1"` (all heads of layer 1 and
# b_O), `"mlp 1"`.
#
# Activations come in a `cache`, under their full TransformerLens names: `cache["blocks.1.attn.hook_z"]`. The checks
# hand you a cache of a small random model, as a plain dictionary, with the names that each exercise lists.

# %% [markdown]
# The first cell runs both models once, which takes a few seconds. The model reads all tokens of a text but the last,
# and `answers` are all but the first: so `answers[b, i]` is the token that came after position `i`, and `logits`,
# `answers` and every activation have the same positions. After a restart, run this cell and your earlier answers
# again.

# %%
import torch

from mechinterp_course.interp import attention, models, plots, tasks


def look_inside(name, tokens):
    """Run a bundled model on all tokens but the last. Return its weights, its logits and its cache."""
    model = models.load(name)  # raw weights
    weights = models.weights(name) | {"unembed.b_U": model.b_U.detach()}  # our models were trained without b_U: zeros
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens[:, :-1])
    return weights, logits, cache


tokenizer = models.tokenizer("code-2l")  # both models read the same tokens
config = models.config("code-2l")  # config.n_layers, config.eps, ...
files = [tokenizer.encode(text)[: config.n_ctx] for _, text in tasks.sample()]
held_out = torch.stack([file for file in files if len(file) == config.n_ctx][:16])  # (16 files, 256 tokens)
answers = held_out[:, 1:]
weights, logits, cache = look_inside("code-2l", held_out)

copy_config = models.config("code-attn-2l")
length = 40
repeated = attention.repeated_tokens(range(1, 1024), length, batch=16, bos=0)  # BOS, 40 tokens, the same 40 again
copy_answers = repeated[:, 1:]
copy_weights, copy_logits, copy_cache = look_inside("code-attn-2l", repeated)
second = slice(length + 1, None)  # positions in the second copy: here the next token can be known

# Five points of the stream where you will read it. Both models have two layers, so both have them.
points = {"embedding": "blocks.0.hook_resid_pre"}
for layer in range(config.n_layers):
    points[f"after attn {layer}"] = f"blocks.{layer}.hook_resid_mid"
    points[f"after mlp {layer}"] = f"blocks.{layer}.hook_resid_post"

# %% [raw] card="head_outputs"
# title = "What each head writes"
# purpose = "TransformerLens stores what a head has gathered (z). What it writes to the stream is one matrix further, and that is what you attribute."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 1
# uses = []
# nudge = "z has a d_head axis, and so has W_O. Which other axis do the two share, so that head 3's z meets head 3's matrix and no other?"
# idea = "One einsum that sums over d_head alone. The head axis stands in both inputs and in the result."
# outline = """
# 1. Letters for z: b p h d. Letters for W_O: the same h, the same d, and m for d_model.
# 2. The result keeps b, p, h and m. Only d is missing there, so only d is summed.
# """
# look = "Below, one head of layer 1 writes vectors several times as long as the others. Remember which. Does it matter most? Exercises 5 and 7 know."

# %% [markdown]
# Attention is usually drawn as one box. It is a sum of heads, and each head's term is
#
# $$\text{out}_h = z_h \, W_O^h$$
#
# where $z_h$ is the mixture of values that head $h$ has gathered (`attn.hook_z`), `d_head` numbers, and $W_O^h$ is
# its own matrix from `d_head` to `d_model`. The layer has one bias, `b_O`, which belongs to no head: leave it out
# here.
#
# ```
#   z    (batch, pos, head, d_head)          W_O  (head, d_head, d_model)
#        └──────────────┬───────────────────────────┘
#        (batch, pos, head, d_model)          one vector for each head, not summed
# ```


# %% answer="head_outputs"
def head_outputs(z: torch.Tensor, W_O: torch.Tensor) -> torch.Tensor:
    """Return what each head alone adds to the stream, without b_O.

    z: (batch, pos, head, d_head). W_O: (head, d_head, d_model). Returns: (batch, pos, head, d_model).
    """
    ### BEGIN SOLUTION
    return torch.einsum("bphd,hdm->bphm", z, W_O)
    ### END SOLUTION


# %% [markdown]
# Look: how long are the vectors that the eight heads of `code-attn-2l` write on the second copy? And do they sum to
# what TransformerLens says that the layer wrote?

# %%
lengths = {}
for layer in range(copy_config.n_layers):
    outputs = head_outputs(copy_cache[f"blocks.{layer}.attn.hook_z"], copy_weights[f"blocks.{layer}.attn.W_O"])
    together = outputs.sum(2) + copy_weights[f"blocks.{layer}.attn.b_O"]
    far = (together - copy_cache[f"blocks.{layer}.hook_attn_out"]).abs().max()
    print(f"layer {layer}: heads + b_O differ from hook_attn_out by at most {far:.6f}")
    for head in range(copy_config.n_heads):
        lengths[f"head {layer}.{head}"] = outputs[:, second, head].norm(dim=-1).mean()
plots.bars(
    torch.stack(list(lengths.values())),
    list(lengths),
    title="How long are the vectors that each head writes?",
    ylabel="mean length",
    alt="One bar for each of the eight heads of code-attn-2l: the mean length of what it writes on the second copy.",
)

# %% [raw] card="stream_parts"
# title = "The stream, part by part"
# purpose = "Everything in this lesson rests on one fact: the final stream is a sum, and you can list its terms."
# difficulty = 2
# importance = 5
# minutes = 14
# points = 2
# uses = ["head_outputs"]
# nudge = "Go through the model from the bottom and write down each `+`. What is added before block 0? What in each block?"
# idea = "A dictionary with embed and pos_embed, then for each layer its heads, its b_O and its MLP's output. Nothing that is itself a sum of others."
# outline = """
# 1. Start with hook_embed and hook_pos_embed.
# 2. For each layer: head_outputs of its hook_z and W_O. Slice one head at a time: [:, :, head].
# 3. Its b_O, stretched to the stream's shape: .expand_as(...) one of the heads.
# 4. Its hook_mlp_out.
# """
# look = "The shares below sum to 1. A share may be negative: that part points against the sum, so that the others have to overcome it."

# %% [markdown]
# A model with two blocks of six heads has 18 parts: 2 at the start, and in each block 6 heads, a bias and an MLP.
#
# | part | where it is |
# |---|---|
# | `"embed"` | `cache["hook_embed"]` |
# | `"pos_embed"` | `cache["hook_pos_embed"]` |
# | `"head 0.0"`, `"head 0.1"`, … | your `head_outputs` of `cache["blocks.0.attn.hook_z"]` and `weights["blocks.0.attn.W_O"]` |
# | `"b_O 0"` | `weights["blocks.0.attn.b_O"]`, the same at every position |
# | `"mlp 0"` | `cache["blocks.0.hook_mlp_out"]` |
# | … and so on for each block | |
#
# Every part gets the shape of the stream, `(batch, pos, d_model)`, and they sum to the final stream,
# `hook_resid_post` of the last block. (Is an MLP's bias a part of its own? It is inside `hook_mlp_out` already.)


# %% answer="stream_parts"
def stream_parts(cache: dict, weights: dict, n_layers: int) -> dict[str, torch.Tensor]:
    """Return every part of the final residual stream by name; together they sum to it.

    Names: "embed", "pos_embed", and for each layer "head 0.0", "head 0.1", ..., "b_O 0", "mlp 0".
    Each value: (batch, pos, d_model).
    """
    ### BEGIN SOLUTION
    parts = {"embed": cache["hook_embed"], "pos_embed": cache["hook_pos_embed"]}
    for layer in range(n_layers):
        outputs = head_outputs(cache[f"blocks.{layer}.attn.hook_z"], weights[f"blocks.{layer}.attn.W_O"])
        for head in range(outputs.shape[2]):
            parts[f"head {layer}.{head}"] = outputs[:, :, head]
        parts[f"b_O {layer}"] = weights[f"blocks.{layer}.attn.b_O"].expand_as(outputs[:, :, 0])
        parts[f"mlp {layer}"] = cache[f"blocks.{layer}.hook_mlp_out"]
    return parts
    ### END SOLUTION


# %% [markdown]
# Look: does the sum hold, and what share of the final stream is each part? The share of a part is its dot product
# with the final stream, divided by the final stream's squared length: as the parts sum to the stream, their shares
# sum to 1.

# %%
parts = stream_parts(cache, weights, config.n_layers)
final = cache[f"blocks.{config.n_layers - 1}.hook_resid_post"]
stacked = torch.stack(list(parts.values()))  # (part, batch, pos, d_model)
print(
    f"{len(parts)} parts; their sum differs from the final stream by at most {(stacked.sum(0) - final).abs().max():.6f}"
)
shares = ((stacked * final).sum(-1) / final.pow(2).sum(-1)).mean((1, 2))
print(f"the shares sum to {shares.sum():.4f}")
plots.bars(
    shares,
    list(parts),
    title="Whose is the final stream? (code-2l, held-out files)",
    ylabel="share of the final stream",
    alt="One bar for each of the eighteen parts: its mean share of the final stream. Shares may be negative, and sum to 1.",
)

# %% [markdown]
# *What this does not show*: which part matters to the prediction. A large share may lie in a direction that no logit
# is read from. Changing that question into "share of a *logit*" is the rest of this lab.

# %% [raw] card="logit_lens"
# title = "The logit lens"
# purpose = "What would the model say if it stopped here? One line of code turns any point of the stream into a prediction."
# difficulty = 2
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "What stands between the final stream and the logits? Do exactly that to an earlier stream."
# idea = "The final LayerNorm, with the mean and the scale of the stream that it is given, then times W_U, plus b_U."
# outline = """
# 1. Normalise over the last axis: subtract the mean, divide by the root of (variance + eps), times ln_final.w, plus ln_final.b.
#    (F.layer_norm, or by hand as in lesson 02.)
# 2. Multiply by unembed.W_U, add unembed.b_U.
# 3. All leading axes stay as they are: @ and F.layer_norm see to that.
# """
# look = "In the table below, compare the first rows with the token that the model has just read. In code-2l the table W_U is W_E again, transposed: the first streams say the word itself."

# %% [markdown]
# The model reads logits from the *last* stream. But all streams live in the same space, and every part is added to
# the same line. So you may ask any of them:
#
# $$\text{lens}(x) = \text{LayerNorm}_\text{final}(x) \, W_U + b_U$$
#
# The idea, and the name, are from [[paper:nostalgebraist2020]]. At the last stream the lens gives the model's own
# logits, exactly: that is your first test. At an earlier one it gives what the model "would say", if every later
# layer added nothing.
#
# `streams` holds several points of the stream at once, in front of the usual axes. Each is normalised with its *own*
# mean and variance. The names are `weights["ln_final.w"]`, `weights["ln_final.b"]`, `weights["unembed.W_U"]`
# (`[d_model, d_vocab]`) and `weights["unembed.b_U"]`.


# %% answer="logit_lens"
def logit_lens(streams: torch.Tensor, weights: dict, eps: float) -> torch.Tensor:
    """Return the logits that the model would give if each of these streams were its last.

    streams: (..., d_model), any axes in front. Returns: (..., d_vocab).
    """
    ### BEGIN SOLUTION
    centred = streams - streams.mean(dim=-1, keepdim=True)
    scale = (centred.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt()
    normed = centred / scale * weights["ln_final.w"] + weights["ln_final.b"]
    return normed @ weights["unembed.W_U"] + weights["unembed.b_U"]
    ### END SOLUTION


# %% [markdown]
# Look: `code-2l` reads half a line. What would it say after each layer? **Change this and see**: put a line of your
# own into `text`.

# %%
text = "    if x is not"
_, text_logits, text_cache = look_inside("code-2l", tokenizer.encode(text + " None")[None])
streams = torch.stack([text_cache[name][0, -1] for name in points.values()])  # (point, d_model), at the last position
print(
    f"the last row differs from the model's logits by at most {(logit_lens(streams, weights, config.eps)[-1] - text_logits[0, -1]).abs().max():.6f}"
)
for point, row in zip(points, logit_lens(streams, weights, config.eps).softmax(-1), strict=True):
    best = row.topk(3)
    said = [
        f"{plots.visible(tokenizer.decode(i[None]))} {p:.2f}" for p, i in zip(best.values, best.indices, strict=True)
    ]
    print(f"{point:>14}:  {'   '.join(said)}")

# %% [raw] card="answer_rank"
# title = "How far down the list is the answer?"
# purpose = "A rank tells more than right or wrong: you see an answer climb, layer by layer, long before it is on top."
# difficulty = 2
# importance = 3
# minutes = 8
# points = 1
# uses = []
# nudge = "If you know the logit of the right token, how can you tell its place without sorting anything?"
# idea = "Count the tokens whose logit is strictly larger than the answer's."
# outline = """
# 1. The answers need the logits' axes: repeat them for each point with .expand, and give them a last axis of size 1.
# 2. gather along the last axis: the answer's own logit, (point, batch, pos, 1).
# 3. Compare: logits > that. Sum over the last axis.
# """
# look = "Below, where does each model's answer come up: step by step, or all at once? What is the first place in code-attn-2l that could have known the repeated token?"

# %% [markdown]
# The lens gives 1,024 logits at every point and position. The token that really came has a *rank* among them: 0 if it
# has the largest logit, 1 if one token is ahead of it, 1,023 if all are.
#
# ```
#   logits [0.1, 2.0, 0.7, 1.2], answer 2   →   two are larger (2.0 and 1.2)   →   rank 2
# ```
#
# `answers[b, i]` is the token that came *after* position `i`: it belongs to `logits[:, b, i]`, nothing needs to be
# shifted.


# %% answer="answer_rank"
def answer_rank(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Return how many tokens have a larger logit than the answer, at each point, text and position.

    logits: (point, batch, pos, d_vocab). answers: (batch, pos), token numbers.
    Returns: (point, batch, pos), whole numbers.
    """
    ### BEGIN SOLUTION
    index = answers.expand(logits.shape[:-1])[..., None]
    return (logits > logits.gather(-1, index)).sum(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: the median rank of the token that came, at each point, for `code-2l` on held-out files and for `code-attn-2l`
# on the second copy. The axis is logarithmic and shows rank + 1, so that the top is 1.

# %%
names = list(points.values())
ranks = answer_rank(logit_lens(torch.stack([cache[name] for name in names]), weights, config.eps), answers)
copy_streams = torch.stack([copy_cache[name] for name in names])
copy_ranks = answer_rank(logit_lens(copy_streams, copy_weights, copy_config.eps), copy_answers)[:, :, second]
print(
    f"on top at the end: {(ranks[-1] == 0).float().mean():.0%} of held-out tokens, {(copy_ranks[-1] == 0).float().mean():.0%} of repeated ones"
)
figure = plots.lines(
    {
        "code-2l, held-out files": 1 + ranks.flatten(1).float().quantile(0.5, dim=1),
        "code-attn-2l, second copy": 1 + copy_ranks.flatten(1).float().quantile(0.5, dim=1),
    },
    x=list(points),
    title="The answer climbs",
    xlabel="read from the stream",
    ylabel="median rank + 1",
    alt="Two lines over five points of the stream: the median rank of the right token among 1,024, plus one, on a logarithmic axis.",
)
figure.update_yaxes(type="log", dtick=1)

# %% [markdown]
# *What this does not show*: that an early stream "believes" what the lens says. The later layers read that stream in
# their own ways, and the model was trained to make only the last one readable through `W_U`.

# %% [raw] card="logit_direction"
# title = "The direction of a logit difference"
# purpose = "After this, 'what does this vector do to the prediction?' is one dot product. Everything about the last LayerNorm goes in here, once."
# difficulty = 4
# importance = 5
# minutes = 22
# points = 3
# uses = []
# nudge = "Write the logit difference out for one position: ((x - mean(x)) / scale * w + b) · (column of right - column of wrong) + (their b_U). Which terms hold x, and which do not?"
# idea = "Terms without x make the constant. In the others, move w over to the direction, then the centring: subtracting the mean from x or from the direction is the same."
# outline = """
# 1. difference: row `right` of W_U transposed, minus row `wrong`. Shape (batch, pos, d_model).
# 2. constant: the difference times ln_final.b, summed over d_model, plus b_U[right] - b_U[wrong].
# 3. direction: the difference times ln_final.w, number by number; then subtract its own mean over d_model.
# """
# look = "Below: the long vectors of exercise 1 are not the well-aimed ones. A cosine near 0 means that most of what is written has nothing to do with this answer."

# %% [markdown]
# Raising *every* logit by 3 changes no probability. So ask about a [[term:logit difference]]: the logit of the right
# token minus the logit of a wrong one, at the same position. With $u = W_U[:, \text{right}] - W_U[:, \text{wrong}]$
# and the final stream $x$:
#
# $$\text{difference} = \left(\frac{x - \text{mean}(x)}{\text{scale}} \cdot w + b\right) \cdot u \;+\; b_U[\text{right}] - b_U[\text{wrong}]$$
#
# Nearly all of this is linear in $x$. The one thing that is not is the *scale*, and TransformerLens stores it
# (`ln_final.hook_scale`). Take the scale of this run as a fixed number, and the whole reads
#
# $$\text{difference} = \frac{x \cdot \text{direction}}{\text{scale}} + \text{constant}$$
#
# where `direction` and `constant` do not depend on $x$ at all. Find them. Two facts help:
#
# - $(x \cdot w)$ number by number, then a dot product with $u$, is the same as $x \cdot (w u)$: the weight can move
#   to the other side.
# - $(x - \text{mean}(x)) \cdot v = x \cdot (v - \text{mean}(v))$: so can the centring. With $x = (3, 1)$, $v = (5,
#   1)$: $(1, -1)\cdot(5, 1) = 4$ and $(3, 1)\cdot(2, -2) = 4$.
#
# The order matters: which of the two does the stream meet *first*?


# %% answer="logit_direction"
def logit_direction(right: torch.Tensor, wrong: torch.Tensor, weights: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (direction, constant): logit[right] - logit[wrong] = final stream · direction / scale + constant.

    right, wrong: (batch, pos), token numbers. weights: "ln_final.w", "ln_final.b", "unembed.W_U", "unembed.b_U".
    Returns: direction (batch, pos, d_model), constant (batch, pos).
    """
    W_U, b_U = weights["unembed.W_U"], weights["unembed.b_U"]
    ### BEGIN SOLUTION
    difference = W_U.T[right] - W_U.T[wrong]
    constant = difference @ weights["ln_final.b"] + b_U[right] - b_U[wrong]
    direction = difference * weights["ln_final.w"]
    return direction - direction.mean(dim=-1, keepdim=True), constant
    ### END SOLUTION


# %% [markdown]
# Look: on the second copy, `right` is the repeated token, and `wrong` is another one of the same 40 (17 places on).
# First the proof, then: how well does what each head writes *aim* at the answer? The cosine compares directions
# alone.

# %%
other = repeated[:, 1 : length + 1].roll(17, dims=1)
copy_others = torch.cat([other, other], dim=1)
direction, constant = logit_direction(copy_answers, copy_others, copy_weights)
final = copy_cache[f"blocks.{copy_config.n_layers - 1}.hook_resid_post"]
scale = copy_cache["ln_final.hook_scale"][..., 0]
ours = (final * direction).sum(-1) / scale + constant
theirs = (copy_logits.gather(-1, copy_answers[..., None]) - copy_logits.gather(-1, copy_others[..., None]))[..., 0]
print(
    f"logit difference on the second copy: {theirs[:, second].mean():.2f} on average; ours differs by at most {(ours - theirs).abs().max():.6f}"
)
aims = {}
for name, part in stream_parts(copy_cache, copy_weights, copy_config.n_layers).items():
    if name.startswith("head"):
        aims[name] = torch.cosine_similarity(part, direction, dim=-1)[:, second].mean()
plots.bars(
    torch.stack(list(aims.values())),
    list(aims),
    title="How well does each head aim at the repeated token?",
    ylabel="mean cosine with the direction",
    alt="One bar for each of the eight heads of code-attn-2l: the mean cosine, on the second copy, between what it writes and the direction of the logit difference.",
)

# %% [raw] card="attribute_by_layer"
# title = "Direct logit attribution, by layer"
# purpose = "The answer to 'which layer did it?', as numbers that add up to the logit difference."
# difficulty = 3
# importance = 5
# minutes = 14
# points = 2
# uses = ["logit_direction"]
# nudge = "If the whole stream gives x · direction / scale, what does one of its terms give? By which scale do you divide it: its own, or that of the whole?"
# idea = "Each part's dot product with the direction, divided by the scale of the final stream. The constant is a part of its own."
# outline = """
# 1. direction and constant from logit_direction; the scale is cache["ln_final.hook_scale"], without its last axis.
# 2. The parts by name: hook_embed, hook_pos_embed, and for each layer hook_attn_out and hook_mlp_out.
# 3. For each part: multiply by the direction, sum over d_model, divide by the scale.
# 4. Add the entry "constant".
# """
# look = "In the second picture below, read a column from top to bottom: one token. Where does the MLP of block 0 alone settle it, and where does attention have to come in?"

# %% [markdown]
# If $x$ is a sum, so is $x \cdot \text{direction} / \text{scale}$. Each layer's term is what that layer adds to the
# logit difference, *directly*:
#
# $$\text{attribution}_\text{part} = \frac{\text{part} \cdot \text{direction}}{\text{scale}}$$
#
# This is called [[term:direct logit attribution]]. The scale is the same for all parts: that of the final stream,
# `cache["ln_final.hook_scale"]`, of shape `(batch, pos, 1)`. Do not normalise a part by itself: no LayerNorm ever saw
# it alone.
#
# Name them `"embed"`, `"pos_embed"`, `"attn 0"` (`blocks.0.hook_attn_out`), `"mlp 0"` (`blocks.0.hook_mlp_out`), …
# and `"constant"`. Their sum is the model's own logit difference, at every position.


# %% answer="attribute_by_layer"
def attribute_by_layer(
    cache: dict, weights: dict, right: torch.Tensor, wrong: torch.Tensor, n_layers: int
) -> dict[str, torch.Tensor]:
    """Return what each layer adds directly to logit[right] - logit[wrong]; together they sum to it.

    right, wrong: (batch, pos). Names: "embed", "pos_embed", "attn 0", "mlp 0", ..., "constant".
    Each value: (batch, pos).
    """
    ### BEGIN SOLUTION
    direction, constant = logit_direction(right, wrong, weights)
    scale = cache["ln_final.hook_scale"][..., 0]
    places = {"embed": "hook_embed", "pos_embed": "hook_pos_embed"}
    for layer in range(n_layers):
        places[f"attn {layer}"] = f"blocks.{layer}.hook_attn_out"
        places[f"mlp {layer}"] = f"blocks.{layer}.hook_mlp_out"
    found = {part: (cache[place] * direction).sum(dim=-1) / scale for part, place in places.items()}
    return found | {"constant": constant}
    ### END SOLUTION


# %% [markdown]
# Look: half a line again. Why `" None"`, and not `" True"`? The bars sum to the logit difference.

# %%
tokens = tokenizer.encode("    if x is not None")[None]
_, text_logits, text_cache = look_inside("code-2l", tokens)
none, true = tokenizer.ids(" None")[0], tokenizer.ids(" True")[0]
places = text_logits.shape[:2]
found = attribute_by_layer(text_cache, weights, torch.full(places, none), torch.full(places, true), config.n_layers)
bars = torch.stack([values[0, -1] for values in found.values()])
print(
    f"sum of the bars {bars.sum():.4f}, the model's logit difference {text_logits[0, -1, none] - text_logits[0, -1, true]:.4f}"
)
plots.bars(
    bars,
    list(found),
    title="After if x is not: why None, and not True?",
    ylabel="adds to the logit difference",
    alt="One bar for each layer of code-2l, and one for the constant: what it adds to the logit of None minus the logit of True.",
)

# %% [markdown]
# Now a whole line: at each position, the token that came against the strongest of all others. Red parts speak for the
# token that came, blue ones against it.

# %%
line = "        for name, value in self.items():\n            if value is not None:\n                return name\n"
tokens = tokenizer.encode(line)[None]
_, line_logits, line_cache = look_inside("code-2l", tokens)
came = tokens[:, 1:]
rival = line_logits.scatter(-1, came[..., None], float("-inf")).argmax(-1)  # the best of the others
found = attribute_by_layer(line_cache, weights, came, rival, config.n_layers)
plots.heatmap(
    torch.stack([values[0] for values in found.values()]),
    x=[f"{i + 1} {plots.visible(word)}" for i, word in enumerate(tokenizer.str_tokens(came[0]))],
    y=list(found),
    title="Who speaks for the token that came?",
    xlabel="position and token that came",
    ylabel="part",
    alt="A row for each layer, a column for each token of a line: what the layer adds to the logit of the token that came minus the best other.",
    zmid=0,
    zlabel="logits",
)

# %% [raw] card="attribute_by_head"
# title = "Direct logit attribution, by head"
# purpose = "How circuits are usually found: run the task, attribute the logit difference to heads, and look at the few that stand out."
# difficulty = 3
# importance = 5
# minutes = 14
# points = 2
# uses = ["head_outputs", "logit_direction"]
# nudge = "attribute_by_layer asked this of a whole attention layer. Which tensor of exercise 1 has the same information before the sum over heads?"
# idea = "head_outputs for each layer, a dot product with the direction over d_model, divided by the final scale; then move the axes."
# outline = """
# 1. direction from logit_direction (the constant belongs to no head), scale as before, (batch, pos).
# 2. For each layer: head_outputs, (batch, pos, head, d_model). einsum with direction (batch, pos, d_model) to (head, batch, pos).
# 3. Divide by the scale. It has the axes (batch, pos), so it lines up.
# 4. Stack the layers: (layer, head, batch, pos).
# """
# look = "Below, compare the upper two rows with the lower two: same heads, same tokens, but on the first copy nobody can know what comes. A head that adds something there would be suspicious."

# %% [markdown]
# A layer's attention is the sum of its heads and `b_O`. So its bar can be cut again, into one for each head. What
# `b_O` adds is no head's: leave it out, and the constant as well. With all of `"embed"`, `"pos_embed"`, the heads,
# each `b_O`, each MLP and the constant, the sum is the logit difference again.


# %% answer="attribute_by_head"
def attribute_by_head(
    cache: dict, weights: dict, right: torch.Tensor, wrong: torch.Tensor, n_layers: int
) -> torch.Tensor:
    """Return what each head adds directly to logit[right] - logit[wrong].

    right, wrong: (batch, pos). Returns: (layer, head, batch, pos).
    """
    ### BEGIN SOLUTION
    direction, _ = logit_direction(right, wrong, weights)
    scale = cache["ln_final.hook_scale"][..., 0]
    layers = []
    for layer in range(n_layers):
        outputs = head_outputs(cache[f"blocks.{layer}.attn.hook_z"], weights[f"blocks.{layer}.attn.W_O"])
        layers.append(torch.einsum("bphm,bpm->hbp", outputs, direction) / scale)
    return torch.stack(layers)
    ### END SOLUTION


# %% [markdown]
# Look: which heads of `code-attn-2l` write the repeated token? The same measurement on the first copy, where the next
# token is random and cannot be known, is the control.

# %%
other = repeated[:, 1 : length + 1].roll(17, dims=1)
copy_others = torch.cat([other, other], dim=1)
by_head = attribute_by_head(copy_cache, copy_weights, copy_answers, copy_others, copy_config.n_layers)
mean = torch.cat([by_head[..., where].mean((2, 3)) for where in (slice(1, length), second)])  # (copy × layer, head)
print(f"all heads together: {mean[:2].sum():.2f} on the first copy, {mean[2:].sum():.2f} on the second")
plots.heatmap(
    mean.round(decimals=2),
    x=[f"head {head}" for head in range(copy_config.n_heads)],
    y=[f"layer {layer}, {copy} copy" for copy in ("first", "second") for layer in (0, 1)],
    title="What each head adds to the token that comes",
    xlabel="head",
    ylabel="layer and copy",
    alt="Two rows for each copy, one a layer; a column for each of four heads: the mean direct logit attribution.",
    zmid=0,
    text=True,
    zlabel="logits",
)

# %% [markdown]
# *What this does not show*: who told these heads what to write. A head that only helps them to look at the right
# place adds nothing here, and the model may still need it. The lesson removes one and sees.

# %% [raw] card="missing_share"
# title = "The LayerNorm trap"
# purpose = "Attributions in papers and notebooks often leave a piece of the last LayerNorm out. Measure what each piece is worth, on the model that you have."
# difficulty = 4
# importance = 5
# minutes = 20
# points = 3
# uses = []
# nudge = "For each of the four shortcuts: in the formula of the logit difference, which symbol is replaced by 0, or by 1?"
# idea = "Write the logit difference once as a function of mean, scale, weight and biases. Call it with all of them for the truth, and with one left out for each shortcut."
# outline = """
# 1. u = W_U's column for right minus that for wrong, (batch, pos, d_model). The difference of b_U, (batch, pos).
# 2. A small function of (mean, scale, w, b, the b_U difference): (((stream - mean) / scale * w + b) * u).sum(-1) + b_U difference.
# 3. The truth uses all. "centring": mean 0. "scale": scale 1. "weight": w of ones. "bias": b of zeros, and b_U difference 0.
# 4. For each: the sum of |shortcut - truth| over all places, divided by the sum of |truth|. A Python float (float(...) or .item()).
# """
# look = "A share above 1 means that the error is larger than what you measure. Which shortcut would you notice, and which would pass for a result?"

# %% [markdown]
# You do not have to take `direction` on trust. Suppose that somebody computes a logit difference from the final
# stream and forgets *one* of these:
#
# | left out | the formula then has |
# |---|---|
# | `"centring"` | $x$ in place of $x - \text{mean}(x)$ |
# | `"scale"` | 1 in place of the scale |
# | `"weight"` | 1 in place of each number of $w$ |
# | `"bias"` | 0 in place of $b$ and of both $b_U$ |
#
# Everything else stays right; the scale is always the model's own, as it is given. How wrong is the result, as a
# share of what is measured? Over all texts and positions together:
#
# $$\text{missing share} = \frac{\sum |\text{shortcut} - \text{truth}|}{\sum |\text{truth}|}$$
#
# By hand: truths 2 and −2, shortcuts 1 and −3: each is off by 1, so the share is 2 / 4 = 0.5. (The mean of both
# truths is 0, and so is nearly that of the shortcuts: errors that cancel are errors all the same.)


# %% answer="missing_share"
def missing_share(
    stream: torch.Tensor, scale: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor, weights: dict
) -> dict[str, float]:
    """Return how wrong logit[right] - logit[wrong] becomes when one piece of the last LayerNorm is left out.

    stream: the final stream, (batch, pos, d_model). scale: (batch, pos, 1), what ln_final divides by.
    right, wrong: (batch, pos). Returns the share for "centring", "scale", "weight", "bias".
    """
    W_U, b_U = weights["unembed.W_U"], weights["unembed.b_U"]
    w, b = weights["ln_final.w"], weights["ln_final.b"]
    ### BEGIN SOLUTION
    u = W_U.T[right] - W_U.T[wrong]
    b_difference = b_U[right] - b_U[wrong]
    mean = stream.mean(dim=-1, keepdim=True)

    def difference(mean=mean, scale=scale, w=w, b=b, b_difference=b_difference):
        return (((stream - mean) / scale * w + b) * u).sum(dim=-1) + b_difference

    truth = difference()
    shortcuts = {
        "centring": difference(mean=0),
        "scale": difference(scale=1),
        "weight": difference(w=1),
        "bias": difference(b=0, b_difference=0),
    }
    return {name: float((shortcut - truth).abs().sum() / truth.abs().sum()) for name, shortcut in shortcuts.items()}
    ### END SOLUTION


# %% [markdown]
# Look: the four shortcuts on both models. For `code-2l` the wrong token is the strongest of all the others, at every
# position of the 16 files.

# %%
other = repeated[:, 1 : length + 1].roll(17, dims=1)
copy_others = torch.cat([other, other], dim=1)[:, second]
rivals = logits.scatter(-1, answers[..., None], float("-inf")).argmax(-1)
final = cache[f"blocks.{config.n_layers - 1}.hook_resid_post"]
copy_final = copy_cache[f"blocks.{copy_config.n_layers - 1}.hook_resid_post"][:, second]
copy_scale = copy_cache["ln_final.hook_scale"][:, second]
missing = {
    "code-2l, held-out": missing_share(final, cache["ln_final.hook_scale"], answers, rivals, weights),
    "code-attn-2l, second copy": missing_share(
        copy_final, copy_scale, copy_answers[:, second], copy_others, copy_weights
    ),
}
plots.heatmap(
    [[round(100 * share) for share in shares.values()] for shares in missing.values()],
    x=list(missing["code-2l, held-out"]),
    y=list(missing),
    title="How wrong is the logit difference without ...?",
    xlabel="left out",
    ylabel="model",
    alt="A row for each of two models, a column for each piece of the last LayerNorm that is left out: the mean error as a percentage of the mean logit difference.",
    text=True,
    zlabel="percent",
)

# %% [markdown]
# Centring costs next to nothing here, and that is a fact about these two models, not about LayerNorm: their streams
# have a mean near 0. The weight is the one to fear. Without it both results are wrong by a quarter or more, nearly all
# have the right sign and a plausible size, and nothing looks broken.
#
# One remedy is the one you used: carry all of it. Another is to *fold* the weight and the bias of `ln_final` into
# `W_U` and `b_U` beforehand: `models.load("code-2l", processed=True)`. Then `w` is 1 and `b` is 0, and what is left
# to forget is `b_U`.
#
# *What this does not show*: that the same pieces are small or large in another model. Now you can measure it.
#
# **You can attribute a logit.** The course has a helper that does exactly this:
# `interp.attribution.direct_logit_attribution`. The lesson shows it. When its picture puzzles you, you know what is
# inside.
