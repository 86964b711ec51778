# %% [markdown]
# # Hooks and caches: the lab
#
# At the end of this lab you can read any number that a model computes, change it on the way, and show that your change did
# something. You write the tools yourself, around TransformerLens' hooks:
#
# ```
#   read                     measure                    change                      prove
#   1 record_activations     3 attention_roles          4 zero_ablate_head          7 hook_effect
#   2 recompute_pattern                                 5 mean_ablate_head
#                                                       6 loss_change
# ```
#
# The model is `code-attn-2l`: two layers of attention, four heads each, and no MLPs that do anything, so that whatever moves, moves through a head. Its
# weights are *raw*, as they were trained.
#
# | activation | hook name | shape |
# |---|---|---|
# | residual stream before and after block 0 | `blocks.0.hook_resid_pre`, `blocks.0.hook_resid_post` | `(batch, pos, d_model)` |
# | queries, keys, values of block 0 | `blocks.0.attn.hook_q`, `hook_k`, `hook_v` | `(batch, pos, head, d_head)` |
# | attention patterns of block 0 | `blocks.0.attn.hook_pattern` | `(batch, head, query, key)` |
# | each head's mixture of values | `blocks.0.attn.hook_z` | `(batch, pos, head, d_head)` |
# | what attention adds to the stream | `blocks.0.hook_attn_out` | `(batch, pos, d_model)` |
#
# Look twice at the place of `head`: third in `hook_z`, second in `hook_pattern`.

# %% [markdown]
# The first cell loads the model, one line of Python, and files that the model was not trained on: 16 to measure on, and 16
# others to take averages from.

# %%
import warnings

import torch
import torch.nn.functional as F

from mechinterp_course import predict, reveal
from mechinterp_course.interp import models, plots, tables, tasks

model = models.load("code-attn-2l")  # a TransformerBridge: TransformerLens' model with hooks
tokenizer = models.tokenizer("code-attn-2l")
n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
heads = [f"{layer}.{head}" for layer in range(n_layers) for head in range(n_heads)]  # "1.2": head 2 of block 1

code = "    def __init__(self, name, value):\n        self.name = name\n        self.value = value\n"
tokens = tokenizer.encode(code)[None]  # (batch = 1, pos)
words = tokenizer.str_tokens(tokens[0])
labels = plots.token_labels(words)

files = [tokenizer.encode(text)[:128] for _, text in tasks.sample()]
files = torch.stack([file for file in files if len(file) == 128])  # (file, pos)
held_out, others = files[:16], files[16:32]


@torch.no_grad()  # nothing is trained here: no gradients, half the memory
def look_inside(tokens):
    return model.run_with_cache(tokens)  # the logits, and every activation on the way


# %% [raw] card="record_activations"
# title = "A cache of your own"
# purpose = "Every experiment begins with reading activations. Write the recorder once yourself, and no later surprise of a hook is a mystery."
# difficulty = 3
# importance = 5
# minutes = 18
# points = 2
# uses = []
# nudge = "A hook function is given the activation and the hook, and the hook's own name may not be the one that you asked for. How does the function learn under which name to keep what it sees?"
# idea = "For each name make a function that keeps its activation under that name, and run the model once with all of them. The functions return nothing, so nothing is changed."
# outline = """
# 1. An empty dictionary.
# 2. A helper reader(name) that defines and returns a hook function; the function stores a detached copy of the activation under `name`.
# 3. Inside torch.no_grad(): run_with_hooks on the tokens, with a pair (name, reader(name)) for each name.
# 4. Return the dictionary.
# """
# look = "Run the next cell: your recorder makes a table of the hooks of block 0, and shows what each of them calls itself."

# %% [markdown]
# A *hook* is a place in the model where you may stand and watch. You hand over pairs of a hook name and a function. Each time
# the model computes that activation, it calls your function with it:
#
# ```python
# def look(activation, hook):
#     print(hook.name, tuple(activation.shape))    # returns nothing: the model goes on with what it had
#
# model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", look)])
# ```
#
# (`fwd_hooks`: hooks of the forward pass.) `run_with_hooks` takes its hooks off again when it is done, also after an error.
#
# Write a recorder: one run of the model, and a dictionary of the activations under **the names that were asked for**. Three
# things to mind:
#
# - `hook.name` is the hook's *canonical* name. A hook that you put on `blocks.0.attn.hook_z` calls itself
#   `blocks.0.attn.o.hook_in`: it is the same place, seen as the input of the output matrix.
# - A function made in a loop does not remember the loop's variable. It looks it up when it is *called*, and by then the loop is over:
#
#   ```python
#   functions = [lambda: name for name in ["a", "b", "c"]]
#   [f() for f in functions]                             # ['c', 'c', 'c']
#
#   def teller(name):                                    # one call, one variable of its own
#       return lambda: name
#   [f() for f in map(teller, ["a", "b", "c"])]          # ['a', 'b', 'c']
#   ```
# - Leave the model as you found it, with the hooks that somebody else may have put on it. `model.reset_hooks()` would take those off as well.
#
# Keep copies without gradients: `activation.detach().clone()`. Without `clone`, you and the model hold one tensor, and a later
# hook that changes it in place changes your record. (TransformerLens has this ready-made: `model.run_with_cache`. From the next
# exercise on you use that.)


# %% answer="record_activations"
def record_activations(model, tokens: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
    """Return the named activations of one run of the model, under the names that were asked for.

    tokens: (batch, pos). names: full hook names. The model, and the hooks on it, stay as they were; no gradients are kept.
    """
    ### BEGIN SOLUTION
    found = {}

    def reader(name):
        def read(activation, hook):
            found[name] = activation.detach().clone()

        return read

    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(name, reader(name)) for name in names])
    return found
    ### END SOLUTION


# %% [markdown]
# Look: a hook table, made with your recorder. The last column is what each hook calls itself, its `hook.name`.

# %%
parts = ["hook_resid_pre", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_attn_scores", "attn.hook_pattern"]
parts += ["attn.hook_z", "hook_attn_out", "hook_resid_post"]
names = [f"blocks.0.{part}" for part in parts]
recorded = record_activations(model, held_out[:3, :20], names)
tables.table(
    [(name, tuple(recorded[name].shape), model.hook_dict[name].name) for name in names],
    ["you ask for", "shape for 3 texts of 20 tokens", "the hook calls itself"],
    title="Hooks of block 0",
    alt="Nine hooks of block 0 in the order of a forward pass: the name in use, the shape seen, and the hook's own name.",
)

# %% [raw] card="recompute_pattern"
# title = "The pattern, from queries and keys"
# purpose = "A number from a cache is worth more once you can compute it from two others: then you know what it is, and that you read the right place."
# difficulty = 2
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "The cached queries and keys have the axes (batch, pos, head, d_head). Which axis disappears when a query meets a key, and where does the head go?"
# idea = "Scores by one einsum over d_head, divided by the root of d_head; later keys hidden; softmax over the keys."
# outline = """
# 1. Take blocks.LAYER.attn.hook_q and ...hook_k from the cache.
# 2. einsum to (batch, head, query, key): give the two positions different letters.
# 3. Divide by the square root of the size of the last axis.
# 4. Fill with minus infinity strictly above the diagonal, then softmax over the last axis.
# """
# look = "The difference that the next cell prints is rounding. Now you know what hook_pattern holds, to the last digit."

# %% [markdown]
# In lesson 02 you computed patterns from weights. Here you start in the middle, from what a cache holds:
#
# ```
#   hook_q  (batch, pos, head, d_head) ┐
#                                      ├─ q · k / √d_head ─→ hide later keys ─→ softmax ─→ hook_pattern (batch, head, query, key)
#   hook_k  (batch, pos, head, d_head) ┘
# ```
#
# `cache` is a dictionary from full hook names to tensors; the names are those of the table at the top. There are no weights to
# multiply with: queries and keys are made already, biases included. Any torch function may help you.


# %% answer="recompute_pattern"
def recompute_pattern(cache: dict, layer: int) -> torch.Tensor:
    """Return the attention patterns of all heads of a block, from its cached queries and keys.

    cache: full hook names -> tensors; hook_q and hook_k are (batch, pos, head, d_head).
    Returns: (batch, head, query, key); each row sums to 1.
    """
    ### BEGIN SOLUTION
    query, key = cache[f"blocks.{layer}.attn.hook_q"], cache[f"blocks.{layer}.attn.hook_k"]
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
    n = scores.shape[-1]
    later = torch.ones(n, n, dtype=torch.bool).triu(diagonal=1)
    return scores.masked_fill(later, float("-inf")).softmax(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: your patterns against the cached ones, and what the heads of block 0 do with one line.

# %%
_, cache = look_inside(tokens)
for layer in range(n_layers):
    difference = (recompute_pattern(cache, layer) - cache[f"blocks.{layer}.attn.hook_pattern"]).abs().max()
    print(f"block {layer}: largest difference to hook_pattern {difference:.7f}")
plots.attention(
    recompute_pattern(cache, 0)[0],
    words,
    title="Block 0, recomputed from queries and keys",
    alt="The patterns of four heads on one line of Python, a row for each query, a column for each key.",
)

# %% [markdown]
# In one head the line beside the diagonal is bright, in another the diagonal itself. In a third the attention is spread so thin that you hardly see it.
# The next exercise makes numbers of what you see.

# %% [raw] card="attention_roles"
# title = "What is this head looking at?"
# purpose = "A picture of one text is an anecdote. A score over many texts is a measurement, and finds the head worth looking at among thousands."
# difficulty = 3
# importance = 5
# minutes = 18
# points = 3
# uses = []
# nudge = "Write down a 4 × 4 pattern. Where in it are the entries 'query q looks at key q - 1'? And what choice does query 0 have?"
# idea = "Each role is a set of entries: the diagonal, the one below it, column 0. Leave query 0 out of each, then average over queries and texts."
# outline = """
# 1. Current token: the diagonal over (query, key), without its first entry. Shape (batch, head, n - 1).
# 2. Previous token: the diagonal at offset -1. It starts at query 1 by itself.
# 3. First token: column 0, for the queries from 1 on.
# 4. Average each over its last axis and over the batch: one number a head.
# """
# look = "One head has a score near 1. Several have three scores near 0, head 0.2 among them. Are those idle? Keep 0.2 in mind until exercise 5."

# %% [markdown]
# Three things that heads are often found doing, drawn as entries of a pattern (row = query, column = key):
#
# ```
#     current token            previous token             first token
#   q0  .                    q0  .                      q0  .
#   q1  .  ●                 q1  ●  .                   q1  ●  .
#   q2  .  .  ●              q2  .  ●  .                q2  ●  .  .
#   q3  .  .  .  ●           q3  .  .  ●  .             q3  ●  .  .  .
# ```
#
# The score of a head is its mean attention on the marked entries, over the **queries from 1 to n − 1** and over all texts: 1 for a
# head that does nothing else. Query 0 is left out of all three: it can only look at itself, so it says nothing about the head.
#
# Averages are over attention, not over winners: a query that gives 0.4 to the token before counts 0.4.


# %% answer="attention_roles"
def attention_roles(pattern: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return each head's mean attention to the current, the previous and the first token, over queries 1 to n - 1.

    pattern: (batch, head, query, key), n >= 2 positions.
    Returns: {"current token": (head,), "previous token": (head,), "first token": (head,)}.
    """
    ### BEGIN SOLUTION
    return {
        "current token": pattern.diagonal(0, -2, -1)[..., 1:].mean((0, 2)),
        "previous token": pattern.diagonal(-1, -2, -1).mean((0, 2)),
        "first token": pattern[:, :, 1:, 0].mean((0, 2)),
    }
    ### END SOLUTION


# %% [markdown]
# Look: the eight heads on 16 held-out files. "Current" is the token itself, "first" is BOS.

# %%
_, cache = look_inside(held_out)
roles = [attention_roles(cache[f"blocks.{layer}.attn.hook_pattern"]) for layer in range(n_layers)]
plots.heatmap(
    torch.cat([torch.stack(list(role.values()), dim=-1) for role in roles]).round(decimals=2),
    x=list(roles[0]),
    y=heads,
    title="Three scores for every head, on 16 held-out files",
    xlabel="mean attention to the",
    ylabel="head (block.head)",
    alt="A row for each of eight heads: its mean attention to the current, the previous and the first token.",
    text=True,
    zlabel="score",
)

# %% [markdown]
# *What this does not show*: what a head moves, or whether anybody uses it. For that you have to interfere.

# %% [raw] card="zero_ablate_head"
# title = "Switch one head off"
# purpose = "The first causal question about any part of a network: what happens without it?"
# difficulty = 2
# importance = 5
# minutes = 14
# points = 2
# uses = []
# nudge = "In hook_z, which axis counts the heads? And what does the model do with what your function returns?"
# idea = "A hook on this block's hook_z: copy z, set one head to 0 in all texts at all positions, return the copy. Run the model with it."
# outline = """
# 1. Define a function of (z, hook). Copy z. Set [:, :, head] of the copy to 0. Return the copy.
# 2. Inside torch.no_grad(): run_with_hooks on the tokens, with this function on blocks.LAYER.attn.hook_z.
# 3. Return the logits that it gives.
# """
# look = "The tallest bar below is a head that you know by its score. Look also at the second tallest, and at what that head's three scores were."

# %% [markdown]
# A hook function that *returns* a tensor replaces the activation, and the model goes on with the new one:
#
# ```python
# def halve(z, hook):
#     return 0.5 * z                     # no return, no change
#
# logits = model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", halve)])
# ```
#
# `hook_z` is the place to switch a head off. There each head's mixture of values still stands alone, `(batch, pos, head, d_head)`; behind
# it the heads are added up. Set one head's entry to zero, at every position of every text, and return the logits. This is called
# [[term:zero ablation]].


# %% answer="zero_ablate_head"
def zero_ablate_head(model, tokens: torch.Tensor, layer: int, head: int) -> torch.Tensor:
    """Return the model's logits on the tokens, with one head's hook_z set to zero.

    tokens: (batch, pos). Returns: (batch, pos, d_vocab). The model, and the hooks on it, stay as they were.
    """
    ### BEGIN SOLUTION

    def switch_off(z, hook):
        z = z.clone()
        z[:, :, head] = 0
        return z

    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", switch_off)])
    ### END SOLUTION


# %% [markdown]
# Look: how much worse does the model predict 16 held-out files, without each of the eight heads in turn?


# %%
def mean_loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:])


whole = mean_loss(look_inside(held_out)[0], held_out)
without = [mean_loss(zero_ablate_head(model, held_out, int(h[0]), int(h[2])), held_out) for h in heads]
plots.bars(
    torch.stack(without) - whole,
    heads,
    title=f"Zero ablation: what each head's absence costs (whole model: {whole:.2f} nats)",
    xlabel="head switched off (block.head)",
    ylabel="rise of the loss, in nats a token",
    alt="One bar for each of eight heads: how much the mean loss rises when that head's output is set to zero.",
)

# %% [raw] predict="hooks-mean-ablation"
# question = "Head 0.2 attends nowhere in particular, and yet its absence costs more than half a nat. Now you replace its output not by zero but by its average over other files, position by position. By how much does the loss rise?"
# choices = ["about as much as before", "about half as much", "hardly at all"]
# answer = 2
# why = [
#   "That would be so if the head told the later layers something about this very text. The average over other files cannot know it.",
#   "A fair guess: the average may keep some of what matters and lose the rest. Here it keeps nearly everything.",
#   "Right. What this head adds is nearly the same in every text. Zero took that constant away; the average puts it back.",
# ]

# %% [raw] card="mean_ablate_head"
# title = "Switch off what it says, not that it speaks"
# purpose = "Zero is a value that a later layer may never have met. The average removes what a head says about this text, and leaves the rest in place."
# difficulty = 3
# importance = 5
# minutes = 18
# points = 3
# uses = []
# nudge = "The average should not depend on which text it is, but may depend on the place in it. So over which axis of hook_z do you average, and which do you keep?"
# idea = "Run the reference texts with a cache of hook_z, average one head's entry over the batch, then put this average in the place of the head's entry in every text."
# outline = """
# 1. Inside torch.no_grad(): run_with_cache on the reference tokens; take blocks.LAYER.attn.hook_z.
# 2. Take the head's entry, (reference batch, pos, d_head), and average over the first axis: (pos, d_head).
# 3. A hook on the same place: copy z, put the average into [:, :, head], return the copy.
# 4. Run the model on the tokens with that hook; return its logits.
# """
# look = "Run the next two cells. Which heads lose most of their bar when zero becomes the average, and which keep it?"

# %% [markdown]
# Suppose a head adds the same vector to the stream in every text. Later layers have learned to count on it. Set it to zero, and
# they break, though the head said nothing about the text. So replace its output by an average over *other* texts instead. This is
# [[term:mean ablation]]:
#
# $$\bar z_{i} = \frac{1}{B} \sum_{b=1}^{B} z_{b,i} \qquad\text{for each position } i \text{, over a reference batch of } B \text{ texts}$$
#
# The mean is over the batch alone. Each position keeps a mean of its own, because what a head does at position 3 and at position 100 may
# differ. In other work the mean is sometimes over positions too: say which you take, for it changes the number.
#
# The reference texts are as long as the texts that you edit, but there may be more or fewer of them.


# %% answer="mean_ablate_head"
def mean_ablate_head(
    model, tokens: torch.Tensor, layer: int, head: int, reference_tokens: torch.Tensor
) -> torch.Tensor:
    """Return the model's logits, with one head's hook_z replaced by its mean over the reference texts, at each position.

    tokens: (batch, pos). reference_tokens: (reference batch, pos). Returns: (batch, pos, d_vocab).
    The model, and the hooks on it, stay as they were.
    """
    ### BEGIN SOLUTION
    name = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        _, cache = model.run_with_cache(reference_tokens, names_filter=name)
        mean_z = cache[name][:, :, head].mean(dim=0)  # (pos, d_head)

        def put_mean(z, hook):
            z = z.clone()
            z[:, :, head] = mean_z
            return z

        return model.run_with_hooks(tokens, fwd_hooks=[(name, put_mean)])
    ### END SOLUTION


# %% [markdown]
# Look: zero against mean, for each head. The averages come from the 16 *other* files.

# %%
whole = F.cross_entropy(look_inside(held_out)[0][:, :-1].mT, held_out[:, 1:])
rises = []
for h in heads:
    logits = mean_ablate_head(model, held_out, int(h[0]), int(h[2]), others)
    rises.append(F.cross_entropy(logits[:, :-1].mT, held_out[:, 1:]) - whole)
plots.bars(
    torch.stack(rises),
    heads,
    title="Mean ablation: what each head's absence costs",
    xlabel="head whose output is replaced by its average (block.head)",
    ylabel="rise of the loss, in nats a token",
    alt="One bar for each of eight heads: how much the mean loss rises when the head's output is replaced by its mean.",
)

# %%
reveal("hooks-mean-ablation")

# %% [markdown]
# The same question, "does the model need this head?", has two answers for head 0.2. Both are right about their own question: the model
# needs the constant, and it does not need to hear anything of the text from it. *What this does not show*: that head 0.2 is useless on
# every text. A mean over the heads' work on 16 files is blunt.

# %% [raw] card="loss_change"
# title = "What an edit costs, token by token"
# purpose = "A mean over thousands of tokens hides what a head does. The change of each token's loss shows where it is needed."
# difficulty = 3
# importance = 4
# minutes = 15
# points = 2
# uses = []
# nudge = "Row 0 of the logits is a prediction about which token? And which row says something about a token that you do not have?"
# idea = "The loss of every token but the first, once without hooks and once with them; the second minus the first."
# outline = """
# 1. A helper that turns logits into losses: drop the last row of logits and the first token, then cross-entropy with reduction="none".
# 2. Inside torch.no_grad(): the logits of the model as it is, and the logits of run_with_hooks with fwd_hooks.
# 3. Return the losses with the hooks minus the losses without.
# """
# look = "In the picture: which tokens get harder, and which get easier? An edit that only ever hurts would be surprising."

# %% [markdown]
# Your bars for a whole file are means. Now look at single tokens. For any list of hooks, how much does the loss of each token
# rise?
#
# ```
#   tokens            t0     t1     t2     t3
#   logits            r0 ──→ r1 ──→ r2 ──→ r3
#   judged by         t1     t2     t3     nothing
#   loss change       t1     t2     t3               with hooks minus without: (batch, pos - 1)
# ```
#
# Positive means that the edit made the token harder to predict. The shift by one is that of `token_losses` in lesson 00. torch can do
# the rest: `F.cross_entropy(logits.mT, targets, reduction="none")` wants the vocabulary in the middle, `(batch, d_vocab, pos)`.
#
# `fwd_hooks` is a list of pairs, as `run_with_hooks` takes it. It may be empty.


# %% answer="loss_change"
def loss_change(model, tokens: torch.Tensor, fwd_hooks: list) -> torch.Tensor:
    """Return by how much the hooks raise the loss of every token but the first, in nats: entry i belongs to token i + 1.

    tokens: (batch, pos). fwd_hooks: pairs of hook name and function. Returns: (batch, pos - 1).
    The model, and the hooks on it, stay as they were.
    """
    ### BEGIN SOLUTION

    def losses(logits):
        return F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")

    with torch.no_grad():
        return losses(model.run_with_hooks(tokens, fwd_hooks=fwd_hooks)) - losses(model(tokens))
    ### END SOLUTION


# %% [markdown]
# Look: the line from the top, once without head 0.1, the one with the high previous-token score. BOS has no loss.


# %%
def without_0_1(z, hook):
    z = z.clone()
    z[:, :, 1] = 0
    return z


change = loss_change(model, tokens, [("blocks.0.attn.hook_z", without_0_1)])[0]
plots.bars(
    change,
    labels[1:],
    title=f"Without head 0.1: {change.mean():+.2f} nats on average",
    xlabel="position and token that came",
    ylabel="change of −log p, in nats",
    alt="One bar for each token after BOS: how much its loss rises (or falls) when head 0.1 is switched off.",
)

# %% [markdown]
# Find the tallest bar. Where in the line did that token stand before? And some bars go down: these tokens are easier without the head.
# **Change this and see**: another head, or a line of your own in `code`.
#
# *What this does not show*: a rule. It is one line. But a guess that you form here, you can test on the held-out files.

# %% [raw] card="hook_effect"
# title = "Prove that your hook acts"
# purpose = "A hook that does nothing looks like a great discovery: 'without this head the model is just as good'. Check the tool before you believe the result."
# difficulty = 3
# importance = 5
# minutes = 18
# points = 3
# uses = []
# nudge = "Your function must be able to say 'it was called and still nothing changed'. So what are the two things to find out, and where in the model do you have to look for each?"
# idea = "Count the calls inside the hook function, return the edited activation from it, and compare the logits with those of a run without the hook."
# outline = """
# 1. The logits without any hook of yours, first.
# 2. A hook function that adds 1 to a counter (nonlocal, or the length of a list) and returns edit(activation).
# 3. The logits of run_with_hooks with this function on `name`.
# 4. The largest absolute difference of the two logits, over all texts, positions and tokens, as a float. Return (counter, that).
# """
# look = "Run the next cell. Three kinds of hooks: never reached, reached and dead, alive. Which one would have fooled you?"

# %% [markdown]
# You edit an activation, and the loss stays the same. Either the model does not need it, or your edit never reached the model. Both
# look alike. Not every hook is a handle: some are only windows, and the glass is thick.
#
# - A hook may be *never reached*: this kind of model does not run through it.
# - A hook may be *reached and dead*: it shows you a number, takes your edit, and throws it away. In `mod-add-53`, which is
#   built in another way (TransformerLens calls it *native*), `hook_attn_scores` is such a hook.
# - A hook may be *alive*.
# - And the function that you put there may have forgotten its `return`.
#
# Write the proof. Run the model once as it is and once with a hook on `name` that replaces the activation by `edit(activation)`. Return how
# often the hook ran, and the largest absolute change of any logit:
#
# | result | verdict |
# |---|---|
# | `(0, 0.0)` | never reached |
# | `(1, 0.0)` | reached, and nothing came of it |
# | `(1, 3.7)` | it acts |
#
# `edit` takes an activation and returns a new one, `lambda z: 0 * z` for example. It is not a hook function yet: those take two
# arguments, and a counter is what you add.


# %% answer="hook_effect"
def hook_effect(model, tokens: torch.Tensor, name: str, edit) -> tuple[int, float]:
    """Return how often a hook on `name` ran, and by how much edit(activation) changed any logit at most.

    tokens: (batch, pos). edit: a function from the activation to a new one of the same shape.
    Returns: (number of calls, largest absolute change of a logit). The model, and the hooks on it, stay as they were.
    """
    ### BEGIN SOLUTION
    ran = 0

    def replace(old, hook):
        nonlocal ran
        ran += 1
        return edit(old)

    with torch.no_grad():
        before = model(tokens)
        after = model.run_with_hooks(tokens, fwd_hooks=[(name, replace)])
    return ran, float((after - before).abs().max())
    ### END SOLUTION


# %% [markdown]
# Look: the same edit, "set it to zero", on hooks of two models. The native model computes a + b modulo 53; its prompt is `a b =`.
# (TransformerLens warns of one of the dead hooks by itself, the one that it can recognise. Here the warnings are off.)

# %%
native = models.load("mod-add-53")
tries = [(model, "code-attn-2l", tokens, f"blocks.0.{part}") for part in ["attn.hook_attn_scores", "attn.hook_pattern"]]
tries += [(model, "code-attn-2l", tokens, f"blocks.0.{part}") for part in ["attn.hook_z", "hook_resid_mid"]]
prompt = torch.tensor([[7, 20, 53]])  # "7 20 ="
for part in ["hook_hidden_states", "hook_attn_scores", "hook_pattern", "hook_z"]:
    tries.append((native, "mod-add-53", prompt, f"blocks.0.attn.{part}"))
rows = []
for which, called, text, name in tries:
    with warnings.catch_warnings(action="ignore"):
        ran, change = hook_effect(which, text, name, lambda activation: 0 * activation)
    rows.append((called, name, ran, f"{change:.2f}", "never reached" if not ran else "acts" if change > 0 else "dead"))
tables.table(
    rows,
    ["model", "hook", "ran", "largest change of a logit", "verdict"],
    title="Which hooks act?",
    alt="Eight hooks of two models: how often each ran, how much zero in its place changed a logit, and the verdict.",
)

# %% [markdown]
# `hook_resid_mid` is the odd one. TransformerLens hangs it on the way into the MLP. In `code-attn-2l` the MLPs are
# all zeros, so nobody hears the edit; in a model with MLPs it acts on the MLP alone. The name promises the residual stream, and the
# test shows what it is.
#
# *What this does not show*: that a hook which acts does what you mean. It can act at the wrong place, or on the wrong head. For that there are
# checks like those of exercise 4: compare with another way to do the same.
#
# **You can read and edit any activation, and you know when an edit is real.** Lesson 04 adds up what the parts write, lesson 06 finds out what head 0.1 is good
# for, and lesson 08 puts one run's activations into another.
