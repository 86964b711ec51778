# %% [markdown]
# # Hooks and caches
#
# In lesson 02 you wrote every part of a transformer, so every number had a name in your code. Most of the time you meet a model that
# somebody else wrote, and you want to see and change what happens inside it, without rewriting it. That takes two things: a *cache*, to read, and a
# *hook*, to interfere. This lesson is about both, and about the mistakes that cost people an afternoon.
#
# The library is [[paper:transformerlens|TransformerLens]], version 4. (Most tutorials on the web show older versions: the names of the
# activations are the same, the calls to load a model are not.) The models are `code-attn-2l`, two layers of attention and no
# MLPs, and `code-2l` from lesson 02, both with their raw weights.

# %%
import warnings

import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import attention, models, plots, tables, tasks
from mechinterp_course.interp.cache import activations, hook_table

model = models.load("code-attn-2l")
tokenizer = models.tokenizer("code-attn-2l")
files = [tokenizer.encode(text)[:128] for _, text in tasks.sample()]  # files that the models were not trained on
held_out = torch.stack([file for file in files if len(file) == 128][:16])  # (16, 128)

# %% [markdown]
# ## Core Learning
#
# ### Windows in the machine
#
# An [[term:activation]] is anything that the model computes on its way. TransformerLens puts a window at each place worth
# looking through, and gives it a name. In one block of `code-attn-2l`:
#
# ```
#   hook_embed + hook_pos_embed
#        │
#   blocks.0.hook_resid_pre ──────────────────────────────────────────────────────┐
#        └→ ln1 ─┬→ attn.hook_q ┐                                                 │
#                ├→ attn.hook_k ┴→ attn.hook_attn_scores → attn.hook_pattern ┐    │
#                └→ attn.hook_v ─────────────────────────────────────────────┴→ attn.hook_z
#                                                                                 │ × W_O, all heads added
#   blocks.0.hook_resid_post ←──────────────────────────────────── (+) ←── hook_attn_out
# ```
#
# `run_with_cache` runs the model and keeps what was to be seen through every window: the [[term:cache]].

# %%
code = "def add(name, value):\n    return name + value\n"
tokens = tokenizer.encode(code)[None]  # (batch = 1, pos)
words = tokenizer.str_tokens(tokens[0])
labels = plots.token_labels(words)
with torch.no_grad():  # we do not train: no gradients, half the memory
    logits, cache = model.run_with_cache(tokens)
for name in ["blocks.0.hook_resid_pre", "blocks.0.attn.hook_pattern", "blocks.0.attn.hook_z"]:
    print(name, tuple(cache[name].shape))
print(f"and {len(cache) - 3} more")

# %% [markdown]
# A name has a pattern: the block, the part, the window. `blocks.0.attn.hook_z` is in block 0, in its attention. Three shapes are
# worth knowing by heart, because most mistakes are made between them:
#
# | what | axes |
# |---|---|
# | anything of the stream: `hook_resid_pre`, `hook_attn_out`, … | batch, pos, d_model |
# | anything of a head: `hook_q`, `hook_k`, `hook_v`, `hook_z` | batch, pos, **head**, d_head |
# | anything of a pair of positions: `hook_attn_scores`, `hook_pattern` | batch, **head**, query, key |
#
# The course has a table of all names, with a line on each:

# %%
rows = hook_table(model, tokens)
tables.table(
    [
        (row.name, row.axes, row.shape or "off", row.about)
        for row in rows
        if "mlp" not in row.name and "ln" not in row.name
    ],
    ["name", "axes", "shape here", "what it is"],
    title="Hooks outside the blocks and in block 0 (without LayerNorms and MLPs)",
    alt="A row for each hook in the order of a forward pass: its name, axes, the shape seen, and one line on what it holds.",
)

# %% [markdown]
# Some are *off*, because they take much memory; the last column says which call switches them on. **Change this and see**: `hook_table(model, tokens,
# layer=1)`, or take the filter out.
#
# ### A name that does not exist
#
# You will misspell a name. TransformerLens then says only that it is not there. `activations` is our helper around `run_with_cache`: it asks for a
# few names, checks them before the model runs, and knows the neighbours.

# %%
try:
    activations(model, tokens, "blocks.0.attn.hook_patern")
except Exception as error:
    print(error)
short = activations(model, tokens, "pattern0")["pattern0"]  # a short name: what, and which block
print("the same as in the cache:", torch.equal(short, cache["blocks.0.attn.hook_pattern"]))
print("TransformerLens' short form:", torch.equal(short, cache["pattern", 0]))

# %% [markdown]
# ### What a new token changes, and where
#
# With a cache you can ask where in the machine a piece of news arrives. Run two lines that differ in one token, `name` against `self` at
# position 4, and compare every activation at every position.

# %% [raw] predict="hooks-queries"
# question = "The token at position 4 is another one. At which positions do the queries of block 0 (hook_q) change?"
# choices = ["at position 4 alone", "at position 4 and all later ones", "at all positions"]
# answer = 0
# why = [
#   "Right. A query is made from the stream at its own position, and in block 0 nothing has been moved yet.",
#   "True of everything *behind* attention. But the queries of block 0 stand before it: they are what attention is made from.",
#   "No position ever changes because of a later token: attention looks back only. And the queries of block 0 stand before any attention.",
# ]

# %%
other = tokens.clone()
other[0, 4] = tokenizer.ids("self")[0]
print(repr(words[4]), "→", repr(tokenizer.str_tokens(other[0])[4]))
places = ["hook_embed", "blocks.0.attn.hook_q", "blocks.0.attn.hook_z", "blocks.0.hook_resid_post"]
places += ["blocks.1.attn.hook_q", "blocks.1.attn.hook_z", "blocks.1.hook_resid_post"]
before, after = activations(model, tokens, places), activations(model, other, places)
change = [(after[p] - before[p]).flatten(2).norm(dim=-1) / before[p].flatten(2).norm(dim=-1) for p in places]
plots.heatmap(
    torch.cat(change),
    x=labels,
    y=[place.replace("blocks.", "").replace("attn.", "") for place in places],
    title="What another token at position 4 changes",
    xlabel="position and token of the first line",
    ylabel="activation (block.hook)",
    alt="A row for each of seven activations, a column for each position; colour is how much the activation changed.",
    zlabel="change",
)

# %%
reveal("hooks-queries")

# %% [markdown]
# (Each cell is the length of the change, divided by the length of the activation before.) Read it from the top. News is born in
# one column. Block 0's attention carries it to later columns, most of it one place to the right. Then block 1's queries know of it, and so on. To the left of
# column 4 all is exactly 0, in every row.
#
# *What this does not show*: whether anybody uses the news. A difference that nobody reads is a difference all the same.
#
# ### From a picture to a number
#
# Why one place to the right? Look at the heads of block 0.

# %%
plots.attention(
    cache["blocks.0.attn.hook_pattern"][0],
    words,
    title="Block 0 of code-attn-2l",
    alt="Four heads. In head 1 each query looks at the token before it: a bright line below the diagonal.",
)

# %% [markdown]
# Head 1 of block 0, "head 0.1" for short, looks at the token before. A picture of one line is an anecdote, so make it a number: the mean attention to the
# previous token, over all queries but the first, which has no choice. The mean of a diagonal:

# %%
patterns = activations(model, held_out, "pattern0")["pattern0"]  # (batch, head, query, key)
previous = patterns.diagonal(offset=-1, dim1=-2, dim2=-1)  # (batch, head, query 1 to n-1)
for head, score in enumerate(previous.mean((0, 2))):
    print(f"head 0.{head}: {score:.2f} of its attention goes to the token before")

# %% [raw] predict="hooks-random"
# question = "This was Python. Now 16 texts of 128 random tokens, complete nonsense. What is the previous-token score of head 0.1 on them?"
# choices = ["near 0", "about half of what it was", "about the same"]
# answer = 2
# why = [
#   "That would be so for a head that looks for something in the text. This one goes by position.",
#   "A fair guess for a head that mixes position and meaning. Here it is position nearly alone.",
#   "Right. The head looks one place back, whatever stands there. It reads positions, and nonsense has positions too.",
# ]

# %%
random = torch.randint(1, 1024, (16, 128), generator=torch.Generator().manual_seed(0))
random[:, 0] = held_out[0, 0]  # BOS, as always
scores = {"Python": attention.head_scores(model, held_out), "random tokens": attention.head_scores(model, random)}
for text, score in scores.items():
    print(f"head 0.1 on {text}: {score['previous token'][0, 1]:.2f}")

# %%
reveal("hooks-random")

# %% [markdown]
# `attention.head_scores` is the course's version, for all heads and three roles at once. In the lab you write your own.
# [[paper:clark2019]] found such heads in BERT, by the same kind of measurement.
#
# *What this does not show*: that the head matters. For that we have to take it away.
#
# ### A hook that reads
#
# A [[term:hook]] is a window that opens. You hand over a function, and the model calls it with the activation as soon as it is computed.


# %%
def look(activation, hook):
    print("asked for blocks.0.attn.hook_z, called by", hook.name, tuple(activation.shape))


with torch.no_grad():
    model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", look)])

# %% [markdown]
# It works, and there is the first trap. The hook calls itself `blocks.0.attn.o.hook_in`: the input of the output matrix, which is the same place. This is
# its *canonical* name. Code that stores `store[hook.name] = activation` and looks for `store["blocks.0.attn.hook_z"]` later finds nothing. Keep the name
# that you asked for.
#
# The function returned nothing, so the model went on with what it had.
#
# ### A hook that writes
#
# If the function returns a tensor, the model goes on with that one. Take head 0.1 away: set its `hook_z` to zero, at all positions. This is [[term:zero ablation]].


# %%
def without_head_1(z, hook):
    z = z.clone()  # a copy: the cache, or another hook, may hold the old one
    z[:, :, 1] = 0  # (batch, pos, head, d_head)
    return z


whole = attention.token_losses(model, held_out).mean()  # the mean of -log p of every token, as in lesson 00
with model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", without_head_1)]):
    ablated = attention.token_losses(model, held_out).mean()
print(f"loss on held-out Python: {whole:.2f} nats a token; without head 0.1: {ablated:.2f}")

# %% [markdown]
# `with model.hooks(...)` is for a block of code, `model.run_with_hooks(...)` for one run. Both take their hooks off at the end, even after an error.
#
# Now a model with MLPs and more heads. One loop, and you have asked "what if it were not there?" of each of them:

# %%
bigger = models.load("code-2l")
whole = attention.token_losses(bigger, held_out).mean()
rises, names = [], []
for layer in range(2):
    for head in range(6):

        def switch_off(z, hook, head=head):  # head=head: the number as it is now, not as it is after the loop
            return z.index_fill(2, torch.tensor([head]), 0.0)

        with bigger.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", switch_off)]):
            rises.append(attention.token_losses(bigger, held_out).mean() - whole)
        names.append(f"{layer}.{head}")

# %%
plots.bars(
    torch.stack(rises),
    names,
    title=f"code-2l without one of its heads (whole: {whole:.2f} nats)",
    xlabel="head switched off (block.head)",
    ylabel="rise of the loss, in nats a token",
    alt="Twelve bars: how much the loss on held-out Python rises when one head is set to zero.",
)

# %% [markdown]
# Most heads can be spared, one at a time. [[paper:michel2019]] found the same in much larger models. A few cannot.
#
# *What this does not show*: that the low bars are useless. Two heads may do the same work, so that neither is missed alone. And zero is a
# strong medicine: a later layer may never have met it. Replacing a head's output by its average is milder, and in the lab you meet a
# head for which the two give opposite answers.
#
# ### Does my hook act?
#
# You edit, and nothing happens. Is that a discovery, or a broken handle? A model in TransformerLens can be built in several ways, and not every window
# opens in every one. `mod-add-53` adds numbers modulo 53; it is *native*, built by TransformerLens itself, and its
# prompt is three tokens: `7 20 =`.

# %% [raw] predict="hooks-dead"
# question = "You put a hook on hook_attn_scores of mod-add-53 and return zeros, so that every pattern becomes even. What is the largest change of any logit?"
# choices = ["several units: the patterns are now wrong", "a little: this model looks evenly anyway", "exactly 0"]
# answer = 2
# why = [
#   "That is what should happen, and what happens in code-attn-2l. In this model the hook shows you a number that has been used already, and drops what you return.",
#   "A good thought about what an even pattern would do. But a little is not zero: zero, exactly, is the mark of a dead hook.",
#   "Right. Exactly 0 is never a finding about a model. It says that the edit did not arrive.",
# ]

# %%
native = models.load("mod-add-53")
prompt = torch.tensor([[7, 20, 53]])
tries = {"code-attn-2l": (model, tokens), "mod-add-53": (native, prompt)}
for name, (which, text) in tries.items():
    for part in ["hook_attn_scores", "hook_pattern"]:
        with torch.no_grad(), warnings.catch_warnings(record=True) as heard:
            zeros = [(f"blocks.0.attn.{part}", lambda activation, hook: 0 * activation)]
            change = (which.run_with_hooks(text, fwd_hooks=zeros) - which(text)).abs().max()
        print(f"{name}, {part}: largest change {change:.2f}", "— with a warning" if heard else "")

# %%
reveal("hooks-dead")

# %% [markdown]
# For this hook TransformerLens 4.3 warns. For others it does not: some are reached and change nothing, some are never reached at all. The rule is cheap: **before you
# believe that an edit does nothing, edit the same place so that it must do something**, and look at the logits. The course's models say in their cards which
# of their hooks are dead.

# %% [raw] quiz="hooks-no-return"
# question = "Your hook function makes a copy of z, sets head 3 to zero in the copy, and ends there. What does the model do?"
# choices = ["it goes on as if there were no hook", "it goes on without head 3", "it stops with an error"]
# answer = 0
# why = [
#   "Right. Nothing was returned, so nothing is replaced. This is the most common dead hook, and it is home-made.",
#   "The copy without head 3 is thrown away. It has to be returned.",
#   "A hook that returns nothing is allowed: that is how hooks read.",
# ]

# %% [markdown]
# ### A hook that stays
#
# The last trap. `add_hook` puts a function on the model and leaves it there. It is meant for that; and if you forget it, every later
# number in your notebook comes from an edited model, without a word.

# %%
clean = attention.token_losses(model, held_out).mean()
model.add_hook("blocks.0.attn.hook_z", without_head_1)
for run in (1, 2):
    print(f"run {run} after add_hook: {attention.token_losses(model, held_out).mean():.2f} nats")
model.reset_hooks()
print(f"after reset_hooks:    {attention.token_losses(model, held_out).mean():.2f} nats, as before: {clean:.2f}")

# %% [markdown]
# **Change this and see**: leave `reset_hooks` out and run the cells above again. Then put it back.
#
# `reset_hooks` takes off everybody's hooks. Use `run_with_hooks` and `with model.hooks(...)`, which clean up behind themselves and touch no other.
#
# ### The same windows in a real model
#
# SmolLM2-135M has 30 blocks, and a few things that our models lack: positions come in by rotating queries and keys, MLPs are gated, and three
# query heads share one key head and one value head. (Ours is tuned to follow instructions, and its weights were rounded to four bits before they came here.)
# The names are the same. What the shapes tell you:

# %%
smollm2 = models.load_if_here("smollm2")
if smollm2 is not None:
    english = "The cat sat on the mat, and the dog lay down beside it."
    wanted = ("hook_q", "hook_k", "hook_v", "hook_rot_q", "hook_rot_k", "hook_pattern", "hook_z")
    shown = [row for row in hook_table(smollm2, english, layer=16) if row.name.endswith(wanted)]
    figure = tables.table(
        [(row.name, row.axes, row.shape, row.about) for row in shown],
        ["name", "axes", "shape", "what it is"],
        title="Attention hooks of block 16 of SmolLM2",
        alt="Seven hooks: queries have nine heads, keys and values three; the pattern has nine.",
    )
    figure.show()

# %% [markdown]
# Nine query heads and three key heads: head `h` uses key head `h // 3`. So to recompute a pattern, repeat each key head three times; and take queries and keys *after* the
# rotation. If that is right, the difference to the cached pattern is rounding.

# %%
if smollm2 is not None:
    places = [f"blocks.16.attn.{name}" for name in ("hook_rot_q", "hook_rot_k", "hook_pattern")]
    query, key, pattern = activations(smollm2, english, places).values()
    key = key.repeat_interleave(3, dim=2)  # (batch, pos, 3, d_head) → (batch, pos, 9, d_head)
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / key.shape[-1] ** 0.5
    later = torch.ones_like(scores).triu(1).bool()
    difference = (scores.masked_fill(later, float("-inf")).softmax(-1) - pattern).abs().max()
    print(f"largest difference to hook_pattern: {difference:.7f}")

# %% [markdown]
# Its 270 heads, on four sequences of BOS and 50 random tokens, written twice:

# %%
if smollm2 is not None:
    repeated = attention.repeated_tokens(range(17, 49152), 50, 4, seed=0, bos=1)  # BOS is <|im_start|>, token 1
    scores = attention.head_scores(smollm2, repeated)
    best = [f"{layer}.{head} {score:.2f}" for layer, head, score in attention.top_heads(scores["previous token"], 5)]
    print("highest previous-token scores:", ", ".join(best))
    print(f"mean attention of all heads to BOS: {scores['first token'].mean():.2f}")
    figure = plots.heatmap(
        scores["first token"],
        title="How much each head of SmolLM2 looks at BOS",
        xlabel="head",
        ylabel="block",
        alt="Thirty blocks of nine heads: the mean attention to the first token; many heads are bright.",
        zlabel="attention",
    )
    figure.show()

# %% [markdown]
# The course's own measurement of previous-token heads (`benchmarks/smollm2_figures.json`: 32 sequences, five seeds) begins with 16.0 0.88 and 11.1 0.85. Yours, on four
# sequences, should be near.
#
# A large share of all attention, the second number, goes to BOS, which says nothing about any text. [[paper:xiao2023]] call this an *attention
# sink*: a head whose attention must sum to 1, and which has nothing to look for here, parks it there. If you average attention patterns without leaving
# BOS out, this is mostly what you see.
#
# *What this does not show*: that a head which looks at BOS moves nothing from there. You would look at its `hook_z`.
#
# ## Watch
#
# - [[paper:nanda2022_rederive]]: a small question, from nothing to an answer, recorded as it happened. Watch how often he looks at a shape, and how often
#   a first plot is wrong. The library is an ancestor of TransformerLens; the hook names are those that you know.
#
# ## Read
#
# 1. [[paper:transformerlens]]: the pages on hooks and on the `TransformerBridge`. Keep the documentation open during the lab.
# 2. [[paper:nanda2022_glossary]]: the entries on activations, ablation and TransformerLens. A place to come back to.
# 3. [[paper:clark2019]], section 3: what heads look at, counted. BERT reads in both directions, so it also has heads for the *next* token.
# 4. [[paper:michel2019]], sections 3 and 4: one head away, then many. Ask of each figure which kind of ablation it is.
#
# ## Do
#
# Open [[lab:03]]. You write seven tools: a recorder, a pattern from queries and keys, a detector of what heads look at, two kinds of ablation, the cost of an
# edit token by token, and the proof that a hook acts. The lessons to come use them all the time, in the course's version or in
# yours.
#
# ## ML Connection
#
# Hooks are not a speciality of interpretability. `torch.nn.Module` has `register_forward_hook`, and people use it to watch activations explode
# during training, to quantise layers, to extract embeddings, or to steer a model. TransformerLens adds names that are the same for every architecture, and
# hooks at places that are no module, such as one head's `z`. Ablating heads and whole layers is also how models are pruned.
#
# ## What this does not show
#
# - A score says where a head looks. It does not say what it moves, nor whether anybody uses it.
# - An ablation says that a part is needed on this kind of text, in this way of taking it away. It does not say what the part computes, and parts that stand in for each
#   other hide one another. Lesson 08 is about what follows from such an experiment and what does not.
# - Our numbers are for two small models of Python code and 16 files.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. A good one to begin with: which activation would you most like to see on a text of your own?
