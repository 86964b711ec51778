# %% [markdown]
# # A transformer from scratch
#
# You have used language models. This lesson opens a small one and follows one line of Python through it, from text to the
# model's guesses about what comes next. In the lab you write every part yourself, and your version gives the same numbers.
#
# The model is `code-2l`: two blocks, each an attention layer and an MLP, trained on the source of Python's standard library. It
# ships with the course. What you see below is computed on your machine, on *held-out* files: files that the model was not trained
# on.

# %%
import re

import torch
import torch.nn.functional as F

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import models, plots, tasks

# TransformerLens is a library that opens models up. Its import takes a few seconds, once.
model = models.load("code-2l")
weights = models.weights("code-2l")  # the same numbers as a dictionary: name -> tensor
config = models.config("code-2l")
tokenizer = models.tokenizer("code-2l")

# %% [markdown]
# ## Core Learning
#
# ### The whole machine on one page
#
# ```
#                         ┌→ attention ┐     ┌→ MLP ┐
#   text → tokens → vectors ──────────(+)──────────(+)── … → LayerNorm → logits
#                         └───────── block 0 ─────────┘   (block 1: the same again)
# ```
#
# The line in the middle is the [[term:residual stream]]: one vector for each position. Layers read from it and add to it. There
# are two kinds. *Attention* carries information from one position to another. An [[term:MLP]] works on each position alone. One of
# each makes a *block*, and the model has two. (TransformerLens counts blocks when it says `layer`, and so does our code.)
#
# Whatever reads the stream first brings it to one size, by a [[term:LayerNorm]]. At the end come the [[term:logits]], one score for
# every token that could be next. Both have a place of their own below.
#
# All of it is tensors of learned numbers. How are they shared out among the parts?

# %% [raw] predict="transformer-parameters"
# question = "code-2l holds a little more than a million learned numbers. Which part holds the most of them?"
# choices = ["the table of token vectors", "the attention layers", "the MLPs"]
# answer = 2
# why = [
#   "A good guess for a tiny model, and 1,024 tokens × 192 numbers are many. But each MLP has two matrices of 192 × 768, and there are two MLPs.",
#   "Attention gets most of the attention, and has four matrices of 192 × 192 a layer. An MLP has twice as many numbers: it is four times as wide as the stream.",
#   "Right. In GPT-2's form an MLP is four times as wide as the stream, and so has twice as many numbers as the attention layer beside it.",
# ]

# %%
parts = {
    "tokens": r"^embed",
    "positions": r"^pos_embed",
    "attention": r"\.attn\.",
    "MLPs": r"\.mlp\.",
    "LayerNorms": r"ln",
}
sizes = [sum(w.numel() for name, w in weights.items() if re.search(part, name)) for part in parts.values()]
tied = torch.equal(weights["unembed.W_U"], weights["embed.W_E"].T)
print(
    f"together {sum(sizes):,} numbers (the last matrix, W_U, is W_E again, transposed, and not counted twice: {tied})"
)
plots.bars(
    sizes,
    list(parts),
    title="Where the numbers are",
    ylabel="learned numbers",
    alt="One bar for each kind of part: how many learned numbers it holds.",
)

# %%
reveal("transformer-parameters")

# %% [markdown]
# *What this does not show*: that the MLPs do most of the work. A count of numbers is not a measure of use.
#
# ### Text becomes tokens
#
# The model never sees letters. A *tokenizer* cuts the text into pieces from a fixed list of 1,024, and each piece is a number:
# a [[term:token]]. Frequent words are one token; rare names fall into pieces. One space belongs to the word behind it; a longer run
# of spaces is a token of its own. The first token of every text is BOS, "beginning of sequence".

# %%
code = "def add(name, value):\n    return name + value\n"
tokens = tokenizer.encode(code)[None]  # (batch = 1, pos)
words = tokenizer.str_tokens(tokens[0])
labels = plots.token_labels(words)  # "4 (" : unique, and white space can be seen
print(len(code), "characters,", len(words), "tokens")
print(" | ".join(labels))

# %% [markdown]
# **Change this and see.** Put your own line into `code`. Try a variable name that you use every day, and an English sentence. Which
# words are whole?
#
# ### Tokens become vectors
#
# Each token has a row in a table, `W_E`: 192 numbers, an arrow in a space of 192 dimensions, with a direction and a length. This is
# the [[term:embedding]]. The number 192 is called `d_model`. At the start of training the rows are random. Whatever order there is
# now was learned, because it helped to predict.
#
# Below, the *cosine* compares directions alone: it is 1 (red) where two arrows point the same way and 0 (white) where they are at
# right angles. It would be −1 (blue) where they point opposite ways. Is any pair here?
#
# A word is often two tokens, with and without the space before it: `None` mostly follows a space, so we take the token `" None"`.

# %%
chosen = ["def", "class", "import", "from", "if", "for", "return", "self", " None", " True", " False"]
chosen += ["0", "1", "2", "(", "[", ")", "]"]
print("left out, more than one token:", [word for word in chosen if len(tokenizer.ids(word)) > 1])
chosen = [word for word in chosen if len(tokenizer.ids(word)) == 1]
rows = F.normalize(weights["embed.W_E"][[tokenizer.ids(word)[0] for word in chosen]], dim=-1)
names = [plots.visible(word) for word in chosen]
plots.heatmap(
    rows @ rows.T,
    x=names,
    y=names,
    title="Which tokens have similar vectors?",
    xlabel="token",
    ylabel="token",
    alt="The cosine similarity of every pair of the chosen tokens' vectors; 1 on the diagonal.",
    zmid=0,
    zlabel="cosine",
)

# %% [markdown]
# Find a pair that makes sense to you, and one that does not. **Change this and see**: put other words into `chosen`.
#
# A second table, `W_pos`, has a row for each position, 0 to 255. The stream starts as the sum of the two rows. So one vector says
# both *what* stands here and *where*:

# %%
stream = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"][: tokens.shape[1]]
print("tokens", tuple(tokens.shape), "→ stream", tuple(stream.shape), "= (batch, pos, d_model)")

# %% [markdown]
# *What this does not show*: that the model uses a similarity that you can see. It was computed from the table alone.
#
# ### Attention: where each position looks
#
# So far `(` knows nothing of the `add` before it. Attention changes that. Each attention layer has six *heads*. In a head, every position
# (the *query*) hands out attention to itself and the positions before it (the *keys*), 1 in total, and takes over a mixture of
# what it finds there. Positions that come later are hidden: otherwise the model could read the token that it has to predict.

# %% [raw] predict="transformer-first-row"
# question = "Position 0 holds BOS. Where do the six heads of block 0 look from there?"
# choices = ["evenly at all positions", "it depends on the head", "entirely at position 0 itself"]
# answer = 2
# why = [
#   "Attention may well be even, but only over the positions that it can see. From position 0 that is one.",
#   "True of every other position. But position 0 has no choice: it sees only itself.",
#   "Right. Position 0 sees only itself, and its attention has to sum to 1.",
# ]

# %%
with torch.no_grad():
    logits, cache = model.run_with_cache(tokens)  # the logits, and every activation on the way (lesson 03)
plots.attention(
    cache["blocks.0.attn.hook_pattern"][
        0
    ],  # TransformerLens names each activation by the place, hook_..., where it can be read
    words,
    title="Block 0: where each position looks",
    alt="Six heads. Each row is a query and sums to 1; above the diagonal all is 0.",
)

# %%
reveal("transformer-first-row")

# %% [markdown]
# One line of code is an anecdote. Let us measure: on 16 held-out files, how much attention does each head give, on average, to the
# position before, to the position itself, and to BOS? (Positions from 8 on, so that there is a choice.)

# %%
files = [tokenizer.encode(text)[: config.n_ctx] for _, text in tasks.sample()]
batch = torch.stack([file for file in files if len(file) == config.n_ctx][:16])  # (16, 256)
with torch.no_grad():
    batch_logits, batch_cache = model.run_with_cache(batch)
heads, shares = [], []
for layer in range(config.n_layers):
    pattern = batch_cache[f"blocks.{layer}.attn.hook_pattern"][:, :, 8:]  # queries from 8 on
    # Row 0 is now query 8. Its own key is column 8, and the one before it column 7: diagonals that start there.
    where = [pattern.diagonal(7, -2, -1), pattern.diagonal(8, -2, -1), pattern[..., 0]]  # before, itself, BOS
    shares.append(torch.stack([attention.mean((0, 2)) for attention in where], dim=-1))  # (head, where)
    heads += [f"{layer}.{h}" for h in range(config.n_heads)]

# %%
plots.heatmap(
    (100 * torch.cat(shares)).round(),
    x=["before", "itself", "BOS"],
    y=heads,
    title="What each head looks at, on 16 held-out files",
    xlabel="where",
    ylabel="head (block.head)",
    alt="A row for each of twelve heads: mean attention, in percent, to the token before, to itself and to BOS.",
    text=True,
    zlabel="percent",
)

# %% [markdown]
# What a row lacks to 100 % went to other positions. Which head gives most to the token before? Lesson 06 is about what such a head is good for.
#
# *What this does not show*: what a head takes from there, or whether the model needs it. A bright pattern may move nothing.
#
# ### MLPs: each position alone
#
# After attention has mixed, the MLP works on every position by itself: 192 numbers in, 768 neurons, 192 numbers out.

# %% [raw] predict="transformer-mlp-shuffle"
# question = "You shuffle the positions of the text just before the MLP of block 0 reads them. What does the MLP return?"
# choices = ["other vectors, because the context is destroyed", "the same vectors, shuffled in the same way", "nearly the same vectors as without shuffling, in the old order"]
# answer = 1
# why = [
#   "That is what attention would do. The MLP has no access to context at all: it gets one position at a time.",
#   "Right. The MLP never compares positions, so it cannot know that they were shuffled.",
#   "The old order is gone, and the MLP has nothing to restore it with: each output belongs to the position that it was made from.",
# ]


# %%
def mlp_0(x):
    neurons = F.gelu(x @ weights["blocks.0.mlp.W_in"] + weights["blocks.0.mlp.b_in"], approximate="tanh")
    return neurons @ weights["blocks.0.mlp.W_out"] + weights["blocks.0.mlp.b_out"]


reads = cache["blocks.0.mlp.hook_in"][0]  # what the MLP of block 0 reads: (pos, d_model)
order = torch.randperm(len(reads), generator=torch.Generator().manual_seed(0))
ours, shuffled = mlp_0(reads), mlp_0(reads[order])
theirs = cache["blocks.0.hook_mlp_out"][0]
print(f"our mlp_0 against the model's own: largest difference {(ours - theirs).abs().max():.7f}")
print(f"shuffled in, shuffled out:         largest difference {(shuffled - ours[order]).abs().max():.7f}")

# %%
reveal("transformer-mlp-shuffle")

# %% [markdown]
# What does a single neuron wait for? Take all 768 of block 0, and all tokens but BOS that occur at least five times in the 16
# files. The neuron drawn below is the one that stands out most: the largest difference between its favourite token and its average
# token, measured in standard deviations over tokens.

# %%
firing = batch_cache["blocks.0.mlp.hook_post"][:, 1:].flatten(0, 1)  # (16 × 255 places, 768 neurons)
kinds, which, count = batch[:, 1:].flatten().unique(return_inverse=True, return_counts=True)
means = torch.zeros(len(kinds), firing.shape[1]).index_add(0, which, firing) / count[:, None]
kinds, means = kinds[count >= 5], means[count >= 5]
neuron = int(((means.max(0).values - means.mean(0)) / means.std(0)).argmax())
top = means[:, neuron].topk(12)
plots.bars(
    top.values,
    plots.token_labels(tokenizer.str_tokens(kinds[top.indices])),
    title=f"Neuron {neuron} of block 0: the tokens on which it fires most",
    xlabel="rank and token",
    ylabel="mean activation",
    alt="Twelve bars: the tokens with the highest mean activation of this neuron, from large to small.",
)

# %% [markdown]
# The picture answers for the first bar: this neuron fires far more on that token than on an average one. What the bars behind it
# have in common, if anything, is a guess.
#
# **Change this and see.** Set `neuron` to another number in a cell of your own. Most neurons are harder to put into words.
#
# *What this does not show*: that this neuron "is for" its first token. We picked the one that stands out most of 768, and looked
# at averages only.
# Lesson 12 is about why most neurons answer to several things at once.
#
# ### The residual stream: everyone adds, nobody replaces
#
# Each layer *adds* its result to the stream. So the stream at the end is a sum, and you can list its terms: tokens, positions, and
# what each of the four layers added (two blocks, an attention layer and an MLP in each). This is the fact on which half of this
# course stands.

# %%
terms = {"tokens": "hook_embed", "positions": "hook_pos_embed"}
for layer in range(config.n_layers):
    terms[f"attention {layer}"] = f"blocks.{layer}.hook_attn_out"
    terms[f"MLP {layer}"] = f"blocks.{layer}.hook_mlp_out"
added = torch.stack([cache[name][0] for name in terms.values()])  # (term, pos, d_model)
final = cache["blocks.1.hook_resid_post"][0]
print(f"the sum of the six terms differs from the final stream by at most {(added.sum(0) - final).abs().max():.7f}")
plots.heatmap(
    added.norm(dim=-1),
    x=labels,
    y=list(terms),
    title="How much each part adds to the stream",
    xlabel="position and token",
    ylabel="part",
    alt="The length of the vector that each of six parts adds to the stream, at each position of the line.",
    zlabel="length",
)

# %% [markdown]
# Because the stream may grow, each layer reads a copy of it that is brought to one size first: the LayerNorm. The stream itself is
# left alone. (The first exercise of the lab is a LayerNorm.)
#
# *What this does not show*: which part matters. A long vector may point where nobody reads. Lesson 04 asks what each
# term does to the prediction.
#
# ### From the stream to the next token
#
# At the end a last LayerNorm and one matrix, `W_U`, turn each position's vector into 1,024 scores: the logits. A
# [[term:softmax]] makes them probabilities. There is a prediction at *every* position, each for the token after it.

# %% [raw] predict="transformer-last-token"
# question = "You replace the last token of the line. Which of the model's predictions change?"
# choices = ["those of the last few positions", "only the one at the last position", "all of them"]
# answer = 1
# why = [
#   "Attention does reach over several positions, but only backwards: a position is influenced by what stands before it.",
#   "Right. No earlier position can see it. This is why one pass through the model gives a fair prediction at every position.",
#   "That would be so in a model that reads in both directions, such as BERT. A GPT hides later positions from earlier ones.",
# ]

# %%
changed = tokens.clone()
changed[0, -1] = tokenizer.ids("return")[0]
with torch.no_grad():
    difference = (model(changed) - logits).abs().amax(-1)[0]
plots.bars(
    difference,
    labels,
    title="What a new last token changes",
    xlabel="position and token",
    ylabel="largest change of a logit",
    alt="One bar for each position: the largest change of one of its 1,024 logits after the last token was replaced.",
)

# %%
reveal("transformer-last-token")

# %% [markdown]
# So on a text that we know, every position is a small exam: how probable was the token that really came? The bars show the
# surprise, $-\log p$, in [[term:nat|nats]]: 0 means certain. A model that knows nothing gives each of the 1,024 tokens the same
# probability, and has a surprise of 6.93 at every one. A bar can be higher than that: to be sure of something else is worse than to
# know nothing.

# %%
surprise = F.cross_entropy(logits[0, :-1], tokens[0, 1:], reduction="none")
plots.bars(
    surprise,
    labels[1:],
    title=f"Surprise at each token: {surprise.mean():.1f} nats on average",
    xlabel="position and token that came",
    ylabel="−log p, in nats",
    alt="One bar for each token after BOS: how surprised the model is by it, given all the tokens before.",
)

# %% [markdown]
# Where is the model sure, and could you have been? Compare `name` and `value` the first time with the second time. (Each is one
# token with the space before it, and another without.)
# **Change this and see**: put an error into `code` (a missing colon, say), and run the notebook from there.
#
# To write text, draw a token from the last position's distribution, put it at the end, and start again. The lab ends with your
# own model doing that.

# %% [raw] quiz="transformer-who-moves"
# question = "The model meets `value` for the second time. By which part can news of the first `value` reach that position?"
# choices = ["attention", "an MLP", "the embedding of the token"]
# answer = 0
# why = [
#   "Right. Only attention moves anything between positions.",
#   "An MLP may use what has arrived, but it sees one position at a time: it cannot fetch.",
#   "The embedding depends on the token and its position alone. It is the same in every text.",
# ]

# %% [markdown]
# ## Watch
#
# - [[paper:nanda2023_transformer]]: what a transformer is, drawn by somebody who takes them apart. Before the lab, if the pictures
#   above went too fast.
# - [[paper:nanda2023_gpt2]]: the same parts as in our lab, in the same order, with GPT-2's weights. It uses an older TransformerLens;
#   the tensors have the same names. Watch it after the lab, or halfway.
#
# ## Read
#
# 1. [[paper:vaswani2017]], section 3. Where our model differs: no encoder, LayerNorm before a layer and not after it, learned
#    positions, no scaling of the embedding.
# 2. [[paper:ba2016]], section 3: where LayerNorm comes from.
# 3. [[paper:radford2019]], section 2.3: the changes that make GPT-2.
# 4. [[paper:elhage2021]]: read its "Transformer Overview" now. Come back for the rest in lessons 04 and 05.
#
# ## Do
#
# Open [[lab:02]]. You write twelve functions, from LayerNorm to sampling. The lab is cut into parts that fit an hour each. When
# `transformer` passes, your code gives TransformerLens' logits for real weights.
#
# ## ML Connection
#
# Large language models have this form: tokens, a stream, attention and MLPs in turn, logits. They differ in size, and
# in parts that you could swap in your lab: rotary positions for `W_pos`, RMSNorm for LayerNorm (your lab names it, should you write
# it by mistake), gated MLPs, keys and values shared among heads. Who can write one can read the code of the others.
#
# ## What this does not show
#
# - We looked at where heads look and when a neuron fires. Neither says what the model *computes*; lessons 04 to 09 do that.
# - Two blocks and a million numbers. What larger models do with the same parts is not to be seen here.
# - Every average above is over 16 files of one library. It says nothing about other code, or English.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. A question that you can turn into a cell of code is the best kind.
