# %% [markdown]
# # The residual stream
#
# A language model says " None". *Who* in it said that? This lesson answers with numbers that add up. The answer of a
# model is a sum, and the terms of the sum are layers and heads. You take a prediction apart into them, exactly, and
# you see three ways in which such numbers mislead.
#
# Two models help, both with *raw* weights, as they were trained. `code-2l` has two blocks with MLPs and reads Python.
# `code-attn-2l` has two layers of attention and nothing else; when a piece of text comes a second time, it copies.

# %%
import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import attention, attribution, models, plots, tables

torch.set_grad_enabled(False)  # nothing is trained here
python_model = models.load("code-2l")  # the first one takes a few seconds
copy_model = models.load("code-attn-2l")
tokenizer = models.tokenizer("code-2l")  # both read the same 1,024 tokens

# %% [markdown]
# ## Core Learning
#
# ### One line, and everybody adds to it
#
# ```
#   token + position ──┬──────────(+)──┬──────(+)──┬──────────(+)──┬──────(+)──→ ln_final → W_U → logits
#                      └ attention ┘   └ MLP ─┘    └ attention ┘   └ MLP ─┘
# ```
#
# The [[term:residual stream]] is the line at the top: one vector of `d_model` numbers at each position. Every layer
# reads a copy, and *adds* what it makes of it. Nobody overwrites. So the last vector on the line is a list of
# contributions, added up. Here is the list for half a line of Python, by TransformerLens' own function
# (`decompose_resid`); the number is the length of each vector.

# %%
tokens = tokenizer.encode("    if x is not")[None]
logits, cache = python_model.run_with_cache(tokens)
parts, names = cache.decompose_resid(layer=-1, return_labels=True)  # (part, batch, pos, d_model)
final = cache["blocks.1.hook_resid_post"]
print(
    f"{len(names)} parts; their sum differs from the final stream by at most {(parts.sum(0) - final).abs().max():.7f}"
)
plots.bars(
    parts[:, 0, -1].norm(dim=-1),
    names,
    title="What was added to the stream, at the last position",
    ylabel="length of the vector",
    alt="One bar for each of six parts of code-2l: the length of what it added at the last position.",
)

# %% [markdown]
# *What this does not show*: that a long vector does much. Where it points is another matter; you will see a case.
#
# **Change this and see.** `cache.stack_head_results(layer=-1, return_labels=True)` takes attention apart further,
# into heads.
#
# A sum has no order. For the final vector it does not matter who came first. (It does matter for *what* each one
# writes: a later layer has read the earlier ones.)
#
# ### What would it say if it stopped here?
#
# The model turns its last vector into logits: LayerNorm, then the matrix `W_U`. But a vector halfway up the line has
# the same 192 numbers, so nothing keeps you from doing the same with it. That is the [[term:logit lens]]
# ([[paper:nostalgebraist2020]]).

# %% [raw] predict="stream-lens-start"
# question = "Read the stream through the lens before any layer has worked: token and position only. In code-2l, W_U is the table of token vectors again, transposed. What does the lens say comes after `is not`?"
# choices = ["`␣not`, the word that it has just read", "nothing sensible: a random token", "the most frequent token of Python"]
# answer = 0
# why = [
#   "Right. The stream holds the vector of `␣not`, and W_U compares it with the vectors of all tokens. The closest is `␣not` itself.",
#   "A good guess for a model whose W_U is a table of its own, as in code-attn-2l. In code-2l both tables are one, so the vector finds itself.",
#   "A model with no layers could learn that, if W_U were free. Here W_U has to be the embedding, and what a vector resembles most is itself.",
# ]

# %%
lens = attribution.logit_lens(python_model, tokens)
lens.plot(
    title="The logit lens on half a line",
    alt="A row for each point of the stream, from the embedding to after the last block; a column for each position. Each cell: the likeliest next token there.",
)

# %%
reveal("stream-lens-start")

# %% [markdown]
# The top row repeats the words. After block 0 there are guesses; after block 1 the model's own. More examples, and each
# layer apart: what does the lens say after the MLP of block 0?

# %%
halves = ["    if x is not", "for x", "    value = int(text)\n    except", "    def __init__(", "    raise"]
where = {"embedding": "blocks.0.hook_resid_pre"}
for layer in range(2):
    where[f"after attn {layer}"] = f"blocks.{layer}.hook_resid_mid"
    where[f"after mlp {layer}"] = f"blocks.{layer}.hook_resid_post"
said = {point: [] for point in where}
for half in halves:
    _, seen = python_model.run_with_cache(tokenizer.encode(half)[None])
    for point, name in where.items():
        row = python_model.unembed(python_model.ln_final(seen[name]))[0, -1].softmax(-1)
        said[point].append(f"{plots.visible(tokenizer.decode(row.argmax()[None]))}  {row.max():.2f}")

# %%
tables.table(
    [(point, *texts) for point, texts in said.items()],
    ["read", *(plots.visible(half.split(chr(10))[-1].strip()) for half in halves)],
    title="The likeliest next token, read from five points of the stream",
    alt="A row for each point of the stream, a column for each half line: the token that the lens finds likeliest, with its probability.",
)

# %% [markdown]
# In every column one layer does the turn from "the word that I have read" to "a word that may follow": the MLP of
# block 0. The later layers choose.
#
# *What this does not show*: that the model "thinks" `␣None` at that point. Nothing in its training asks an early
# stream to be readable through `W_U`, and in many models it is not, or only late ([[paper:belrose2023]] train a small
# translator for each layer, which reads better). A lens that shows nonsense says that *this reading* fails there, not
# that nothing is known.
#
# ### A model that copies
#
# `code-attn-2l` reads 40 random tokens, and then the same 40 again. The first time nothing can be predicted. The
# second time everything can.

# %%
length = 40
repeated = attention.repeated_tokens(range(1, 1024), length, batch=16, bos=0)  # BOS, 40 tokens, the same 40
tokens, right = repeated[:, :-1], repeated[:, 1:]  # what the model reads, and what comes after each position
logits, cache = copy_model.run_with_cache(tokens)
second = slice(length + 1, None)  # positions in the second copy
hits = (logits.argmax(-1) == right).float()
print(f"right guesses: {hits[:, :length].mean():.1%} on the first copy, {hits[:, second].mean():.1%} on the second")

# %% [raw] predict="stream-copy-rank"
# question = "On the second copy, read the stream after layer 0, halfway. At which place among the 1,024 tokens does the lens put the right one, in the median?"
# choices = ["near the top, about place 5", "a little better than chance, about place 200", "no better than chance, about place 500"]
# answer = 2
# why = [
#   "That is so in code-2l on Python, where the MLP of block 0 has made good guesses. A repeated random token cannot be guessed from the last word alone.",
#   "If half of the work were done halfway. But the token has to be fetched from the first copy, and the heads that do it sit in layer 1.",
#   "Right. Nothing in the stream points to the answer before layer 1 has fetched it. What layer 0 wrote is needed all the same, as you will see.",
# ]

# %%
ranks = {}
for point, name in {
    "embedding": "0.hook_resid_pre",
    "after layer 0": "0.hook_resid_post",
    "after layer 1": "1.hook_resid_post",
}.items():
    read = copy_model.unembed(copy_model.ln_final(cache[f"blocks.{name}"]))
    ahead = (read > read.gather(-1, right[..., None])).sum(-1)  # tokens with a larger logit than the right one
    ranks[point] = 1 + ahead[:, second].float().median()
plots.bars(
    torch.stack(list(ranks.values())),
    [f"{point}: place {int(rank)}" for point, rank in ranks.items()],
    title="Where is the right token in the list? (second copy)",
    ylabel="median place",
    alt="Three bars: the median place of the right token among 1,024, read at the embedding, after layer 0 and after layer 1.",
)

# %%
reveal("stream-copy-rank")

# %% [markdown]
# ### A prediction is a direction
#
# The lens tells *when* the answer appears. To learn *who* brings it, ask something sharper than "which token is on
# top".

# %% [raw] predict="stream-plus-three"
# question = "A head adds 3 to the logit of every token. What happens to the probabilities?"
# choices = ["they all grow", "nothing at all", "the likeliest token gains most"]
# answer = 1
# why = [
#   "They cannot all grow: they sum to 1.",
#   "Right. Softmax sees only the differences between logits. So a single logit says little, and the difference of two says all about the two.",
#   "That is what *multiplying* all logits would do. Adding the same number cancels in the softmax.",
# ]

# %%
example = torch.tensor([2.0, 0.5, -1.0])
print("probabilities before:", [f"{p:.3f}" for p in example.softmax(-1)])
print("after adding 3:      ", [f"{p:.3f}" for p in (example + 3).softmax(-1)])

# %%
reveal("stream-plus-three")

# %% [markdown]
# So we follow a [[term:logit difference]]: the logit of the right token minus that of a wrong one. Each logit is the
# dot product of the (normalised) stream with a column of `W_U`. So the difference is a dot product with *one* vector,
# the difference of two columns: a direction. What points along it speaks for the right token; what points against it
# speaks for the wrong one; what is at right angles says nothing about this question.
#
# A picture with two dimensions in place of 96, with made-up vectors. Three heads write; the direction is what the
# answer is read from.

# %%
direction_2d = torch.tensor([2.0, 0.6])
written = torch.tensor([[1.0, 1.2], [-0.9, 3.0], [-0.6, -0.8]])
votes = [f"{vote:+.1f}" for vote in written @ direction_2d]
plots.arrows(
    torch.cat([direction_2d[None], written]),
    ["direction", *(f"head {head}: {vote}" for head, vote in zip("ABC", votes, strict=True))],
    title="Three heads, and what each adds to the logit difference",
    alt="The direction points right. Head A is short and points roughly along it. Head B is twice as long and at right angles to it. Head C is short and points against it.",
)

# %% [markdown]
# Head B is the longest, and adds nothing. **Change this and see**: turn head B a little.
#
# ### Who wrote the answer?
#
# Now with the real heads, in 96 dimensions. `right` is the repeated token. For `wrong` we take another of the same 40
# tokens, 17 places on, so that nothing but the *place* tells them apart. Between the stream and `W_U` stands the last
# LayerNorm:
#
# $$\text{logits} = \left(\frac{x - \text{mean}(x)}{\text{scale}} \cdot w + b\right) W_U + b_U$$
#
# Centring, $w$ and $W_U$ are linear: what they make of a sum is the sum of what they make of its terms. The biases do
# not depend on $x$: they are a constant. The scale does depend on $x$, so we *freeze* it: take the number that it had
# in this run. Then each part goes through the formula by itself, and what comes out is what it adds. This is
# [[term:direct logit attribution]].

# %% [raw] predict="stream-which-heads"
# question = "code-attn-2l has four heads in layer 0 and four in layer 1. On the second copy, which of them add to the logit difference directly?"
# choices = ["one head of layer 1 does nearly all of it", "several heads of layer 1 share it", "both layers, about equally"]
# answer = 1
# why = [
#   "It would make a neat story, and in some models one head does stand out. Here the work is shared.",
#   "Right. All four heads of layer 1 write the repeated token, none of them more than half. Do they do it in the same way? That is for lesson 06.",
#   "The lens has shown that the stream after layer 0 says nothing about the answer. What layer 0 writes cannot point at it.",
# ]


# %%
def logit_difference(logits):
    """logit[right] - logit[wrong] at every position: (batch, pos)."""
    return (logits.gather(-1, right[..., None]) - logits.gather(-1, wrong[..., None]))[..., 0]


weights = models.weights("code-attn-2l")
first = right[:, :length].roll(17, dims=1)
wrong = torch.cat([first, first], dim=1)
W_U = weights["unembed.W_U"]

# %%
columns = W_U.T[right] - W_U.T[wrong]  # (batch, pos, d_model)
scale = cache["ln_final.hook_scale"]  # (batch, pos, 1): frozen
constant = columns @ weights["ln_final.b"]  # b_U is zero in this model


def read(part):
    """What a part, (..., d_model), adds to the logit difference: centred, divided by the whole stream's scale, weighted."""
    centred = part - part.mean(-1, keepdim=True)
    return (centred / scale * weights["ln_final.w"] * columns).sum(-1)


# %%
parts, names = cache.decompose_resid(layer=-1, return_labels=True)
heads, head_names = cache.stack_head_results(layer=-1, return_labels=True)  # (head, batch, pos, d_model)
by_part, by_head = read(parts), read(heads)  # (part, batch, pos), (head, batch, pos)
difference = logit_difference(logits)
far = (by_part.sum(0) + constant - difference).abs().max()
print(
    f"logit difference on the second copy: {difference[:, second].mean():.2f}; the parts miss it by at most {far:.6f}, at any position"
)
plots.bars(
    by_head[:, :, second].mean((1, 2)),
    head_names,
    title="What each head adds to the logit difference, directly",
    ylabel="mean over the second copy",
    alt="One bar for each of eight heads of code-attn-2l (L1H0 is head 0 of layer 1): its mean direct logit attribution on the second copy.",
)

# %%
reveal("stream-which-heads")

# %% [markdown]
# The numbers are not an estimate. They sum to the model's logit difference up to rounding, at each of the 1,280
# positions. Whatever bar you see is a part of the whole.
#
# The course's helper does all of this in a line, for one position at a time, on any model. Here at position 60:

# %%
found = attribution.direct_logit_attribution(copy_model, tokens, right[:, 60], wrong[:, 60], pos=60)
print(f"sum of the parts {found.values.sum(0).mean():.4f}, the model's logit difference {found.total.mean():.4f}")
found.plot(title="The helper: what each head adds at position 60")

# %% [markdown]
# *What this does not show*: why these heads write the right token. How they know where to look, and what they take
# from there, is for lessons 05 and 06.
#
# ### Long is not loud, and loud is not alone
#
# `read` is linear, so it is a dot product with *one* direction at each position, as in the picture with two dimensions.
# Which one? Give it a 1 in one dimension at a time, and you see what each dimension counts for. (In the lab you find
# the direction as a formula.) Now compare three things of each head in layer 1: how long its vectors are, how well they
# aim (the cosine with the direction), and what they add.

# %%
direction = torch.stack([read(one) for one in torch.eye(len(W_U))], dim=-1)  # (batch, pos, d_model)
last_four = heads[4:, :, second]  # (head, batch, pos, d_model)
aim = torch.cosine_similarity(last_four, direction[:, second], dim=-1)
rows = zip(
    head_names[4:],
    last_four.norm(dim=-1).mean((1, 2)),
    aim.mean((1, 2)),
    by_head[4:, :, second].mean((1, 2)),
    strict=True,
)
tables.table(
    [(name, f"{long:.1f}", f"{cosine:.2f}", f"{adds:.2f}") for name, long, cosine, adds in rows],
    ["head", "length", "cosine with the direction", "adds"],
    title="Layer 1 on the second copy",
    alt="For each of the four heads of layer 1: mean length of its vectors, their mean cosine with the direction, and what it adds to the logit difference.",
)

# %% [markdown]
# The longest of them aims worst: nearly all of what it writes has nothing to do with this question. (For the other
# three it is most of it: a cosine of 0.25 is far from 1.) Yet it is part of the stream, and the last LayerNorm divides by
# the size of the *whole* stream. Keep that in mind.

# %% [raw] predict="stream-remove-long"
# question = "The longest head, L1H3, adds about 0.6 to a logit difference of about 3.6. You remove it: its output is set to 0. What happens to the logit difference?"
# choices = ["it falls by about 0.6", "it hardly changes", "it rises"]
# answer = 2
# why = [
#   "That is what the attribution says, and with the scale frozen it is exactly right. But when the head is really gone, the scale is another one.",
#   "The other three do not notice: they sit in the same layer and read the same stream. But what they wrote is divided by a new scale.",
#   "Right. Without the long vector the stream is less than half as large, the LayerNorm divides by less, and everybody else gets louder. That outweighs the 0.6 that is lost.",
# ]

# %% [raw] predict="stream-remove-early"
# question = "Head L0H1, in layer 0, adds 0.0 directly. You remove that one instead. What happens to the logit difference?"
# choices = ["nothing, as its attribution says", "it falls by a third or so", "it falls to almost nothing"]
# answer = 2
# why = [
#   "Its *direct* share is nothing. But the heads of layer 1 read what it wrote, and that is not in this number.",
#   "A fair middle way, if several heads did its job. In this model nobody else does.",
#   "Right. The heads of layer 1 read what it wrote, and without that they do not find the answer. What it tells them is the subject of lesson 06.",
# ]


# %%
def without(layer, head, freeze):
    """The mean logit difference on the second copy when a head's z is 0; with `freeze`, ln_final divides by the old scale."""

    def silence(z, hook):
        z = z.clone()
        z[:, :, head] = 0
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", silence)]
    if freeze:
        hooks.append(("ln_final.hook_scale", lambda new, hook: scale))
    return logit_difference(copy_model.run_with_hooks(tokens, fwd_hooks=hooks))[:, second].mean()


# %%
base = difference[:, second].mean()
every = [(layer, head) for layer in range(2) for head in range(4)]
table = [
    -by_head[:, :, second].mean((1, 2)),
    torch.stack([without(*one, freeze=True) - base for one in every]),
    torch.stack([without(*one, freeze=False) - base for one in every]),
]
plots.heatmap(
    torch.stack(table).round(decimals=2),
    x=head_names,
    y=["attribution says", "removed, scale frozen", "removed"],
    title=f"How the logit difference ({base:.2f}) changes without each head",
    xlabel="head",
    ylabel="what is compared",
    alt="Three rows, a column for each of eight heads: minus the direct attribution; the change when the head is removed and the last scale held; the change when it is removed.",
    zmid=0,
    text=True,
    zlabel="change",
)

# %%
reveal("stream-remove-long")
reveal("stream-remove-early")

# %%
final = cache["blocks.1.hook_resid_post"][:, second]
alone = (final - heads[7][:, second]).std(-1, unbiased=False).mean()  # heads[7] is what L1H3 wrote
print(
    f"the last LayerNorm divides by {scale[:, second].mean():.1f} on average; without the vectors of L1H3, by {alone:.1f}"
)


def silence_third(z, hook):
    z = z.clone()
    z[:, :, 2] = 0
    return z


with copy_model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", silence_third)]):  # and without L0H2?
    _, changed = copy_model.run_with_cache(tokens)
vectors = changed.stack_head_results(layer=-1)[7][:, second]
print(
    f"without L0H2, by {changed['ln_final.hook_scale'][:, second].mean():.1f}; what L1H3 writes then has length "
    f"{vectors.norm(dim=-1).mean():.0f} in place of {heads[7][:, second].norm(dim=-1).mean():.0f}"
)

# %% [markdown]
# Read the three rows from top to bottom.
#
# - **Layer 1, first and second row: equal.** With the scale frozen, direct attribution is not an approximation.
#   Nothing comes after layer 1 except the LayerNorm, so removing a head removes exactly its bar.
# - **Layer 1, third row: different.** The scale is shared. A head that adds little and writes much turns everybody
#   else down.
# - **Layer 0, first row: zeros, second row: not.** What a head does *through* later heads is in their bars, not in
#   its own. L0H1 is the clearest case: nothing directly, and everything indirectly.
# - **Layer 0, third row: L0H0, L0H2 and L0H3 look harmful.** The model says the right token louder without them. But with
#   the scale frozen most of that is gone: without one of them L1H3 writes vectors about half as long, and the scale falls.
#   A number that looks like a head's work may be a neighbour's size.
#
# So direct attribution answers one question: *which parts wrote this logit?* It does not answer *which parts does the
# model need?* For that you remove or exchange parts, as in lesson 08.
#
# ### Raw or processed: the LayerNorm trap
#
# In the formula above, four things are easily forgotten: the centring, the scale, the weight $w$ and the biases. The
# result then still looks like an attribution. TransformerLens' own `cache.logit_attrs` takes the columns of `W_U` as
# they are, without $w$ and $b$. That is right for *processed* weights, where they have been folded into `W_U` and
# `b_U` ([[term:folding]]; `processed=True`), and wrong for raw ones. Let us add its numbers up, on both:

# %%
rows = []
for processed in (False, True):
    model = models.load("code-attn-2l", processed=processed)
    logits_here, cache_here = model.run_with_cache(tokens)
    theirs, _ = cache_here.decompose_resid(layer=-1, return_labels=True)
    total = cache_here.logit_attrs(theirs, tokens=right, incorrect_tokens=wrong).sum(0)  # (batch, pos)
    b_U = model.b_U[right] - model.b_U[wrong]
    truth = logit_difference(logits_here)
    missing = truth - total
    shown = [truth[:, second].mean(), total[:, second].mean(), missing.abs().max(), (missing - b_U).abs().max()]
    rows.append(("processed" if processed else "raw", *(f"{number:.5f}" for number in shown)))

# %%
tables.table(
    rows,
    ["weights", "logit difference", "the parts sum to", "largest miss", "largest miss after b_U"],
    title="Does TransformerLens' logit_attrs add up?",
    alt="Raw and processed weights: the mean logit difference on the second copy, what the attributions sum to, the largest miss at any position, and the largest miss that is left when the difference of b_U is added.",
)

# %% [markdown]
# The model is the same, and so are its logit differences. On raw weights a fifth of the mean is missing, and up to
# several logits at single positions. On processed weights the mean looks perfect, and single positions still miss:
# exactly the difference of `b_U`, to which the bias of the LayerNorm has moved. A mean can hide an error at every
# position. That is why the lab asks you for sums that hold *everywhere*.
#
# In this lesson we use raw weights and carry all the pieces: you see each of them, and the numbers belong to the
# model as it was trained. With processed weights there is less to carry.

# %% [raw] quiz="stream-processed"
# question = "You fold ln_final's weight and bias into W_U and b_U. Which of these changes?"
# choices = ["the logits", "the columns of W_U, and so the directions", "what the heads attend to"]
# answer = 1
# why = [
#   "Folding is book-keeping: the same numbers are multiplied, in another order. The logits stay, up to rounding.",
#   "Right. The weight is now inside W_U, so its columns are the directions that the scaled, centred stream is really read from.",
#   "Nothing before the last LayerNorm is touched by this folding, and even where TransformerLens folds the other LayerNorms, too, patterns stay as they were.",
# ]

# %% [markdown]
# ### With MLPs: a line of Python
#
# The same for `code-2l` after `for x`: why ` in`, and not ` =`? By component first, then by head.

# %%
found = attribution.direct_logit_attribution(python_model, "for x", " in", " =", by="component")
print(f"sum of the bars {found.values.sum():.4f}, the model's logit difference {found.total.item():.4f}")
found.plot(title="After for x: why in, and not = ?")

# %%
attribution.direct_logit_attribution(python_model, "for x", " in", " =", by="head").plot(
    title="... and the heads alone"
)

# %% [markdown]
# The two MLPs and one attention layer carry it, and within attention it is one head. **Change this and see**: take `"
# if x is not"`, `" None"` against `" True"`. Does attention matter as much there?
#
# *What this does not show*: that the MLP of block 0 "knows" about loops. It has read what attention gave it, and it
# may do the same after any name that follows `for`.

# %% [markdown]
# ### In a real language model
#
# SmolLM2 has 135 million parameters, 30 blocks of 9 heads, and reads English. Its last normalisation is an RMSNorm:
# it divides by the root of the mean square, and neither centres nor adds a bias. So there is less to forget, the
# scale and the weight. (The course's file is instruction-tuned, and its weights were once rounded to four bits.)

# %%
smollm2 = models.load_if_here("smollm2")

# %% [markdown]
# It reads `The capital of France is`. Guess before you run the cell: from which block on does the lens put ` Paris`
# first?

# %%
if smollm2 is not None:
    lens = attribution.logit_lens(smollm2, "The capital of France is", pos=-1)
    paris = smollm2.to_single_token(" Paris")
    figure = plots.lines(
        {"Paris": 1 + lens.ranks(paris)[:, 0, 0]},
        title="The logit lens over 30 blocks: where is Paris in the list?",
        xlabel="blocks that have worked",
        ylabel="rank + 1",
        alt="The rank of Paris among 49,152 tokens, plus one, on a logarithmic axis, before the first block and after each of 30.",
    )
    figure.update_yaxes(type="log", dtick=1)
    figure.show()
    for row, best in zip(lens.rows[-6:], lens.top(3)[-6:], strict=True):
        print(f"{row:>14}:  " + "   ".join(f"{plots.visible(text)} {p:.2f}" for text, p in best))

# %% [markdown]
# Where the model is here, you see that ` Paris` is thousands of places down for most of the way, and that it arrives
# in the last few blocks. The lens does not say where the fact was known. It says from where on it can be read through
# `W_U`.
#
# Now a task with a known circuit, indirect object identification ([[paper:wang2022]]): John gives, so the drink goes
# to Mary. Which heads write " Mary" rather than " John"? The helper takes the logit difference apart at the last
# position.

# %%
if smollm2 is not None:
    prompt = "When Mary and John went to the store, John gave a drink to"
    found = attribution.direct_logit_attribution(smollm2, prompt, " Mary", " John")
    print(
        f"sum of the {len(found.names)} parts {found.values.sum():.3f}, the model's logit difference {found.total.item():.3f}"
    )
    found.plot(title="SmolLM2: which heads write Mary rather than John?").show()

# %%
if smollm2 is not None:
    known = {"logit difference": 5.29, "head 23.3": 2.57, "head 29.1": 1.60}
    here = {"logit difference": found.total.item(), **{name: found[name].item() for name in list(known)[1:]}}
    table = [(name, f"{here[name]:+.2f}", f"{known[name]:+.2f}") for name in known]
    table += [
        (f"head {name[5:]}", f"{float(value):+.2f}", None)
        for name, value in found.table()
        if name.startswith("head") and name not in known
    ][:3]
    tables.table(
        table,
        ["what", "here", "measured for this course before"],
        title="The two heads that stand out, and the next three",
        alt="The logit difference and the direct attribution of heads 23.3 and 29.1, computed here, beside the figures measured for this course on the same prompt; then the next three heads.",
    ).show()

# %% [markdown]
# Two of 270 heads stand out, with the values that were measured for this course on the same prompt. But read the
# picture's caption as well: all heads together add less than these two, because many speak a little against the name;
# the MLPs and the rest add more than all heads do. "Two heads do it" would be a story about a part of the sum.
#
# In GPT-2 small, [[paper:wang2022]] found heads that write the name, too (9.9, 10.0 and 9.6), and called them *name
# movers*. Their mean logit difference was 3.56, over 100,000 prompts. Another model and other prompts: what can be
# compared is the shape, a few late heads that write the name.
#
# One head writes *against* the right name. In GPT-2 small there are such heads as well, the *negative* name movers.
# Do you find it in the picture?
#
# *What this does not show*: one prompt is one prompt. And these heads only write: which heads told them that it is
# Mary is what lesson 09 finds out.
#
# ## Watch
#
# - [[paper:nanda2023_transformer]]: again, the part on the residual stream. With this lesson behind you, watch how
#   often he says "reads from" and "writes to".
#
# ## Read
#
# 1. [[paper:nostalgebraist2020]]: the post that started the logit lens. Look at its pictures first. Compare: when do the guesses get
#    good in GPT-2, and when did they in our two models?
# 2. [[paper:elhage2021]], from "Virtual Weights and the Residual Stream as a Communication Channel" on, up to the end of "Transformer Overview". The paper leaves
#    LayerNorm and biases aside; you know what that costs.
# 3. [[paper:belrose2023]], section 1 and the first figures: what goes wrong with the plain lens.
# 4. [[paper:wang2022]], section 3.1: the same question, "who writes the name?", asked of GPT-2 small by path patching (lesson 09).
#
# ## Do
#
# Open [[lab:04]]. You write eight functions: the lens, the list of parts, the direction, attribution by layer and by
# head, and last an instrument for the LayerNorm trap. Your sums agree with the model's logits at every position.
#
# ## ML Connection
#
# A stream to which every layer adds is how nearly all large language models are built, so everything here carries
# over. What changes is the last normalisation (RMSNorm in Llama and SmolLM2: no centring, no bias), and whether `W_U`
# is the embedding again. Some models also cap their logits at the end; then the last step is not linear and the sums
# no longer hold.
#
# Direct attribution is cheap: one forward pass, for all heads at once. That is why circuit work often starts with it,
# to decide where to look with the expensive methods.
#
# ## What this does not show
#
# - Direct attribution sees the last step only. L0H1 had 0.0 and the model could not do without it.
# - A frozen scale is a decision. With the scale free, removing a head changed the difference by something else, for L1H3
#   even with the other sign.
# - A logit difference answers for two tokens. Another wrong token is another question, with other bars.
# - Attribution says that a head wrote the answer, not that it found it, and not that the model needs this head.
# - Our copying model was trained on repeats as well as on code, and all figures here are for random tokens.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. One to start from: which of the two numbers would *you* call the
# importance of L1H3?
