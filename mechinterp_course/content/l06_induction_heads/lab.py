# %% [markdown]
# # Induction heads: the lab
#
# At the end of this lab you have found an [[term:induction head|induction]] circuit in a real model, proved by three experiments that the model
# uses it, and written a detector that a good impostor does not fool.
#
# ```
#   position        …   5    6    7   …        25   26
#   token           …   A    B    C   …         A    ?
#                       ▲    │                  │
#                       └────┘                  │     step 1, layer 0: a previous-token head at B notes "A came before me"
#                            ▲                  │
#                            └──────────────────┘     step 2, layer 1: the induction head at the second A looks for
#                                                     "A came before me", finds B, and predicts B
# ```
#
# The model is `code-attn-2l`: two attention layers of four heads, no MLPs, trained on Python source. Head 1.2 is head 2 of
# layer 1. All tensors have TransformerLens' names and axes.
#
# | name | what it counts | here |
# |---|---|---|
# | `length`, *L* | tokens in one copy, without BOS | you choose; two copies and BOS take 1 + 2*L* positions, at most 256 |
# | `batch` | prompts at once | as many as you like |
# | `n_layers`, `n_heads`, `d_head` | layers, heads in a layer, numbers in a query | 2, 4, 24 |
# | `d_model` | numbers in the residual stream, at each position | 96 |
#
# The weights are raw: as they were trained, nothing folded. After a restart, run the next cell and your earlier
# answers again; each picture makes the rest of what it needs.

# %%
import torch
import torch.nn.functional as F

from mechinterp_course import predict, reveal
from mechinterp_course.interp import attention, models, planted, plots

model = models.load("code-attn-2l")
model.set_use_split_qkv_input(True)  # one more set of hooks, for the last exercise; the logits stay as they are
one_layer = models.load("code-attn-1l")
weights = models.weights("code-attn-2l")

BOS = 0
ORDINARY = range(1, 1024)  # every token but BOS
ROLES = ["previous token", "duplicate token", "induction"]

# %% [raw] card="repeated_prompts"
# title = "Prompts that repeat"
# purpose = "On random tokens nothing can be predicted, unless it has stood there before. So whatever a model gains on the second copy, it gained by looking back."
# difficulty = 2
# importance = 4
# minutes = 8
# points = 1
# uses = []
# nudge = "How often do you have to draw random numbers for one row: once or twice?"
# idea = "Draw one copy for every row, then join three things along the positions: a column of BOS, the copy, the copy again."
# outline = """
# 1. torch.randint from vocabulary.start to vocabulary.stop, of shape (batch, length), with the generator.
# 2. A column of shape (batch, 1) that holds bos.
# 3. torch.cat along axis 1: column, copy, copy.
# """
# look = "No two rows are alike. If they were, you would measure one prompt several times and call it a batch."

# %% [markdown]
# To see copying alone, take everything else away. Draw random tokens, write them twice, put BOS in front:
#
# ```
#   BOS  x₁ x₂ x₃ … x_L   x₁ x₂ x₃ … x_L
#        └ first copy ┘   └ second copy ┘
# ```
#
# BOS is there because the model has never seen a text without it, and because heads with nothing to do rest on it. It stands
# once, in front. The random tokens come from `vocabulary`, a range that leaves special tokens out. Each is drawn on its own (so a token may
# come up twice in a copy), and each row is drawn anew.


# %% answer="repeated_prompts"
def repeated_prompts(vocabulary: range, length: int, batch: int, bos: int, generator: torch.Generator) -> torch.Tensor:
    """Return random prompts, each `length` tokens from the vocabulary written twice, with one bos in front.

    vocabulary: token ids without gaps, such as range(1, 1024): from vocabulary.start up to vocabulary.stop - 1.
    Returns: (batch, 1 + 2 * length), whole numbers.
    """
    ### BEGIN SOLUTION
    once = torch.randint(vocabulary.start, vocabulary.stop, (batch, length), generator=generator)
    front = torch.full((batch, 1), bos)
    return torch.cat([front, once, once], dim=1)
    ### END SOLUTION


# %% [markdown]
# Look: two prompts with copies of five tokens, as the model's tokens.

# %%
tokenizer = models.tokenizer("code-attn-2l")
for row in repeated_prompts(ORDINARY, 5, 2, BOS, torch.Generator().manual_seed(0)):
    print(" | ".join(plots.visible(word) for word in tokenizer.str_tokens(row)))

# %% [raw] card="repeat_losses"
# title = "The loss on the repeat"
# purpose = "The behaviour comes first: before you look for a circuit, show that there is something to explain, and where."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "The token at position 1 is the first of the first copy. At which position do the logits stand that predict it?"
# idea = "Shift by one: logits at position p against the token at p + 1. That gives 2 L losses a prompt; the first L belong to the first copy."
# outline = """
# 1. Drop the logits of the last position, and the first token (BOS).
# 2. The loss of each token: minus its log-probability. Shape (batch, 2 * length).
# 3. The mean over the batch, not over the positions.
# 4. The first `length` numbers are row 0, the others row 1.
# """
# look = "In the picture the one-layer model gains nothing on the second copy, and the two-layer model a lot. Look at place 0 of the second copy: no model could do better there. Why?"

# %% [markdown]
# Logits at position *p* predict the token at *p* + 1. With BOS in front, every token of both copies is predicted by somebody:
#
# ```
#   position          0     1     2     3     4     5     6          length = 3
#   token            BOS    a     b     c     a     b     c
#   its loss from      –    0     1     2     3     4     5    ←  the position whose logits predict it
#                          └── row 0 ───┘    └── row 1 ───┘
# ```
#
# Return the loss in [[term:nat|nats]] of each place of each copy, averaged over the prompts: `(2, length)`. Place 0 of the second copy
# stays in. Nothing announces it, so later you leave it out where you ask how well a model copies.


# %% answer="repeat_losses"
def repeat_losses(logits: torch.Tensor, tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Return the mean loss of each place of the first copy (row 0) and of the second copy (row 1), over the prompts.

    logits: (batch, 1 + 2 * length, d_vocab). tokens: (batch, 1 + 2 * length), BOS first. Returns: (2, length), in nats.
    """
    ### BEGIN SOLUTION
    log_probabilities = logits[:, :-1].log_softmax(dim=-1)
    losses = -log_probabilities.gather(-1, tokens[:, 1:, None])[..., 0]  # (batch, 2 * length)
    return losses.mean(dim=0).reshape(2, length)
    ### END SOLUTION


# %% [markdown]
# Look: one layer against two, on 32 prompts. The line to compare with lies at ln 1023 = 6.93, the loss of a fair guess.

# %%
length = 50
prompts = repeated_prompts(ORDINARY, length, 32, BOS, torch.Generator().manual_seed(1))
with torch.no_grad():
    two, one = (repeat_losses(m(prompts), prompts, length) for m in (model, one_layer))
plots.lines(
    {
        "2 layers, first copy": two[0],
        "2 layers, second copy": two[1],
        "1 layer, second copy": one[1],
        "a fair guess": torch.full((length,), 1023.0).log(),
    },
    title=f"Second copy: {two[1, 1:].mean():.1f} nats with two layers, {one[1, 1:].mean():.1f} with one",
    xlabel="place in the copy",
    ylabel="loss, in nats",
    alt="Four lines over the 50 places of a copy: only the two-layer model's loss on the second copy lies far below a fair guess.",
)

# %% [raw] card="stripe_score"
# title = "The mean along a stripe"
# purpose = "Previous-token, duplicate-token and induction heads are bright stripes, parallel to the diagonal. One function measures them all, if it knows which queries count."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "Query q looks `back` places back. Which column is that? And is the first entry of that diagonal the first query's?"
# idea = "torch's diagonal with a negative offset walks down the entries [q, q - back]. Keep those of the last `queries` queries; average."
# outline = """
# 1. pattern.diagonal(offset=-back, dim1=-2, dim2=-1): the entries [q, q - back], for q from `back` to the end, on a new last axis.
# 2. Keep the last `queries` of them.
# 3. The mean over that axis alone. All other axes stay.
# """
# look = "In the picture of head 0.1 one score is near 1. For a long way back all scores are near 0: a head has one row of attention to spend, 1 in total."

# %% [markdown]
# A pattern has a row for each query and a column for each key. A head that always looks `back` places back is bright where
# key = query − `back`: a stripe below the diagonal.
#
# ```
#                 key 0   1   2   3   4
#   query 0     [  1.0   .   .   .   .  ]
#   query 1     [  0.1  0.9  .   .   .  ]        back = 2
#   query 2     [ *0.7  0.2 0.1  .   .  ]        the stripe: 0.7, 0.8, 0.5
#   query 3     [  0.0 *0.8 0.1 0.1  .  ]        the last 2 queries: 0.8, 0.5
#   query 4     [  0.1  0.1*0.5 0.1 0.2 ]        score with queries = 2: 0.65
# ```
#
# Only the last `queries` queries count, and you divide by their number: the others may have no reason to look there.
# The pattern may have any axes in front (a batch, heads, layers). Keep them all.


# %% answer="stripe_score"
def stripe_score(pattern: torch.Tensor, back: int, queries: int) -> torch.Tensor:
    """Return the mean attention to the key `back` places before the query, over the last `queries` queries.

    pattern: (..., query, key), as many keys as queries; back + queries is at most their number. Returns: (...).
    """
    ### BEGIN SOLUTION
    stripe = pattern.diagonal(offset=-back, dim1=-2, dim2=-1)
    return stripe[..., -queries:].mean(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: the score of two heads, at every distance up to 60, over the second copy. This picture finds a stripe without being told where it is.

# %%
prompts = repeated_prompts(ORDINARY, 50, 32, BOS, torch.Generator().manual_seed(1))
with torch.no_grad():
    _, cache = model.run_with_cache(prompts, names_filter=lambda name: name.endswith("hook_pattern"))
patterns = torch.stack(
    [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(2)]
)  # (layer, batch, head, query, key)
by_distance = torch.stack([stripe_score(patterns, back, 40).mean(1) for back in range(61)], dim=-1)
plots.lines(
    {"head 0.1": by_distance[0, 1], "head 1.1": by_distance[1, 1]},
    title="Attention by distance, copies of 50 tokens",
    xlabel="how many places back",
    ylabel="mean attention",
    alt="Two lines over the distance: head 0.1 has its peak at 1, head 1.1 one place before the length of a copy.",
)

# %% [raw] card="repeat_scores"
# title = "Three roles, three stripes"
# purpose = "The definition of an induction head by what it looks at. It lies one column beside another head's, and is easily got wrong."
# difficulty = 2
# importance = 5
# minutes = 8
# points = 2
# uses = ["stripe_score"]
# nudge = "On the second copy, where is the token that came *after* the first copy of the present one? How far is that?"
# idea = "The same token stands L places back, in the first copy. What came after it stands one place nearer. Both can only be asked of the second copy."
# outline = """
# 1. Previous token: the stripe 1 back, over all queries that have one (all but the first: 2 L of them).
# 2. Duplicate token: the stripe L back, over the L queries of the second copy.
# 3. Induction: the stripe L - 1 back, over the same queries.
# 4. torch.stack the three on a new last axis.
# """
# look = "Layer 0 has a previous-token head. Layer 1 has more than one induction head. Keep both lists: the rest of the lab is about how they work together."

# %% [markdown]
# Stand on the second copy's `b`, with *L* = 3:
#
# ```
#   position     0     1    2    3     4    5    6
#   token       BOS    a    b    c     a   [b]   c
#                           ▲    ▲     ▲
#                           │    │     └ previous token:  1 back
#                           │    └ induction:             L − 1 = 2 back   (what came after the earlier b)
#                           └ duplicate token:            L = 3 back       (the earlier b itself)
# ```
#
# BOS moves both copies by one, so the distances do not change. Return the three scores on a new last axis, in that order: previous
# token (over all queries but the first), duplicate token, induction (both over the second copy).


# %% answer="repeat_scores"
def repeat_scores(pattern: torch.Tensor, length: int) -> torch.Tensor:
    """Return each head's previous-token, duplicate-token and induction score, on prompts of repeated_prompts.

    pattern: (..., query, key), with 1 + 2 * length queries and keys. Returns: (..., 3), in that order.
    """
    ### BEGIN SOLUTION
    previous = stripe_score(pattern, 1, 2 * length)
    duplicate = stripe_score(pattern, length, length)
    induction = stripe_score(pattern, length - 1, length)
    return torch.stack([previous, duplicate, induction], dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: all eight heads, averaged over the 32 prompts.

# %%
prompts = repeated_prompts(ORDINARY, 50, 32, BOS, torch.Generator().manual_seed(1))
patterns = attention.patterns(model, prompts)  # (layer, batch, head, query, key)
table = repeat_scores(patterns, 50).mean(1).double().round(decimals=2)  # (layer, head, role)
plots.heatmap(
    table.flatten(0, 1),
    x=ROLES,
    y=[f"{layer}.{head}" for layer in range(2) for head in range(4)],
    title="Three scores of every head",
    xlabel="score",
    ylabel="head (layer.head)",
    alt="A row for each of eight heads: one previous-token head in layer 0, high induction scores in layer 1.",
    text=True,
    zlabel="attention",
)

# %% [raw] card="name_heads"
# title = "Name the heads"
# purpose = "A detector is only worth something if it is right about heads whose role you know. Try yours on planted ones."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 1
# uses = ["repeat_scores"]
# nudge = "A head has three scores on each prompt. What do you do with the prompts, and what if all three scores are low?"
# idea = "Average over the batch, take the highest of the three scores, and give its name only if it reaches the threshold."
# outline = """
# 1. repeat_scores, then the mean over the batch: (head, 3).
# 2. For each head the highest score, and which of the three it is.
# 3. ROLES[which] where the score is at least the threshold, else "other".
# """
# look = "Your detector named every planted head, and one name is not what was planted. Which head is it, and what made it look like induction?"

# %% [markdown]
# Write a detector: for each head the role with the highest mean score, or "other" where that score is below the threshold.
#
# Where should the threshold lie? Over three trainings of `code-attn-2l` with different seeds, the best induction score was 0.73 to 0.85
# (copies of 50; the model card has the figures). With the best previous-token head cut it was at most 0.12 in two of them. (In the third,
# another head stands in for it.) In between there is room, and 0.4 is in the middle of it.


# %% answer="name_heads"
def name_heads(pattern: torch.Tensor, length: int, threshold: float = 0.4) -> list[str]:
    """Return one name for each head: the role in ROLES with the highest mean score, or "other" below the threshold.

    pattern: (batch, head, query, key), on prompts of repeated_prompts. Returns: a list of n_heads strings.
    """
    ### BEGIN SOLUTION
    best, which = repeat_scores(pattern, length).mean(dim=0).max(dim=-1)
    return [ROLES[i] if score >= threshold else "other" for score, i in zip(best.tolist(), which.tolist(), strict=True)]
    ### END SOLUTION


# %% [markdown]
# Look: `planted` writes patterns by hand, so that you know what each head is. `back=9` belongs to the shortcut head, which always
# looks nine places back, whatever stands there.

# %%
planted_prompts = repeated_prompts(ORDINARY, 10, 8, BOS, torch.Generator().manual_seed(2))
for layer, pattern in enumerate(planted.patterns(planted_prompts, planted.LAYERS, back=9, sharpness=9)):
    for truth, found in zip(planted.LAYERS[layer], name_heads(pattern, 10), strict=True):
        print(f"layer {layer}   planted: {truth:16} your detector: {found}")

# %% [raw] card="worst_induction_score"
# title = "The impostor"
# purpose = "A head that looks back by a fixed distance has a perfect induction score at one length. Models trained at a fixed length learn exactly that, and it is no induction."
# difficulty = 3
# importance = 5
# minutes = 15
# points = 2
# uses = ["repeated_prompts", "repeat_scores"]
# nudge = "What would the impostor have to know in order to score high at two lengths?"
# idea = "Make new prompts at every length, score them with that length's own stripe, and keep each head's lowest score."
# outline = """
# For each length:
# 1. eight new prompts: repeated_prompts(vocabulary, length, 8, 0, generator);
# 2. their patterns, from patterns_of;
# 3. the induction scores (the last of the three) for this length, averaged over the batch: (head,).
# At the end: stack, and take the minimum over the lengths.
# """
# look = "The shortcut head has fallen to 0. Would this detector also reject a head that knows the absolute positions of two lengths? Which lengths would you add?"

# %% [markdown]
# One head of the table above was planted as a *shortcut*: it looks nine places back, whatever it reads. With copies of ten tokens that *is* the
# induction stripe, and your detector believed it. The score measured a place; you wanted a reason.
#
# Such heads are not made up. In a replication, a one-layer model that was trained on copies of one fixed length learnt the shortcut: it was
# right in 100 % of the cases, and in 14 % once the length varied.
#
# Ask for more: a head must find the stripe at *every* length, and its score is the worst of them.
#
# You do not get patterns this time, but a function `patterns_of` that gives the patterns of some heads on any prompts you like. Eight
# prompts a length, BOS is 0.


# %% answer="worst_induction_score"
def worst_induction_score(
    patterns_of, vocabulary: range, lengths: list[int], generator: torch.Generator
) -> torch.Tensor:
    """Return each head's lowest mean induction score over the given lengths of a copy.

    patterns_of: a function from prompts (batch, pos) to patterns (batch, head, query, key). Returns: (head,).
    """
    ### BEGIN SOLUTION
    scores = []
    for length in lengths:
        prompts = repeated_prompts(vocabulary, length, 8, 0, generator)
        scores.append(repeat_scores(patterns_of(prompts), length)[..., 2].mean(dim=0))
    return torch.stack(scores).min(dim=0).values
    ### END SOLUTION


# %% [markdown]
# Look: planted heads and the real model's layer 1, side by side.


# %%
def real_patterns(prompts):
    with torch.no_grad():
        return model.run_with_cache(prompts, names_filter="blocks.1.attn.hook_pattern")[1]["blocks.1.attn.hook_pattern"]


def planted_patterns(prompts):
    return planted.patterns(prompts, planted.LAYERS, back=9, sharpness=9)[1]


lengths, draw = [10, 23, 61], torch.Generator().manual_seed(3)
worst = [worst_induction_score(heads, ORDINARY, lengths, draw) for heads in (planted_patterns, real_patterns)]
plots.bars(
    torch.cat(worst),
    [f"planted: {role}" for role in planted.LAYERS[1]] + [f"head 1.{head}" for head in range(4)],
    title=f"The lowest induction score over lengths {lengths}",
    ylabel="lowest mean attention",
    alt="A bar for each planted head and each head of layer 1: the planted shortcut is near 0, the planted induction head near 1.",
)

# %% [raw] card="scores_of_model"
# title = "Find the heads of any model"
# purpose = "One call that lists what every head of a model looks at. You use it on a model of 270 heads in the lesson."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 2
# uses = ["repeat_scores"]
# nudge = "Which hook holds the pattern of a layer, and how many layers has the model that you are given?"
# idea = "Run the model once with a cache of patterns alone; score each layer; average over the batch; stack the layers."
# outline = """
# 1. model.run_with_cache(tokens, names_filter=...) with a filter that lets names through that end in attn.hook_pattern.
# 2. For each layer up to model.cfg.n_layers: repeat_scores of cache["blocks.{layer}.attn.hook_pattern"].
# 3. The mean over the batch, then torch.stack over layers.
# """
# look = "Compare the one-layer model: none of its four heads has a stripe. That a head of one layer cannot do induction is a matter of what its keys can know; the lesson explains it."

# %% [markdown]
# Put it together for a whole model: any number of layers (`model.cfg.n_layers` tells it) and heads, any prompts of `repeated_prompts`.
# Axes out: `(layer, head, 3)`, averaged over the prompts.
#
# Keep only the patterns (`names_filter`): on a large model all activations would fill the memory. `@torch.no_grad()` above the function keeps
# gradients away, for the same reason.


# %% answer="scores_of_model"
@torch.no_grad()
def scores_of_model(model, tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Return the three scores of repeat_scores for every head of a model, averaged over the prompts.

    model: a TransformerBridge. tokens: (batch, 1 + 2 * length), BOS first. Returns: (layer, head, 3).
    """
    ### BEGIN SOLUTION
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("attn.hook_pattern"))
    layers = [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(model.cfg.n_layers)]
    return torch.stack([repeat_scores(pattern, length).mean(dim=0) for pattern in layers])
    ### END SOLUTION


# %% [markdown]
# Look: both models, and the course's own `attention.head_scores`, which should agree with you.

# %%
prompts = repeated_prompts(ORDINARY, 50, 16, BOS, torch.Generator().manual_seed(4))
mine = scores_of_model(model, prompts, 50)
theirs = attention.head_scores(model, prompts, 50)
apart = max((mine[..., i] - theirs[role]).abs().max().item() for i, role in enumerate(ROLES))
print(f"largest difference from attention.head_scores: {apart:.6f}")
for name, scores in {"code-attn-2l": mine, "code-attn-1l": scores_of_model(one_layer, prompts, 50)}.items():
    for i, role in enumerate(ROLES):
        best = divmod(int(scores[..., i].argmax()), scores.shape[1])
        print(f"{name}: highest {role} score {scores[..., i].max():.2f}, head {best[0]}.{best[1]}")

# %% [raw] card="repeat_loss_without"
# title = "Cut heads, and measure"
# purpose = "A bright stripe says where a head looks. Whether the model needs it shows only when it is gone."
# difficulty = 4
# importance = 5
# minutes = 20
# points = 3
# uses = ["repeat_losses"]
# nudge = "hook_z is (batch, pos, head, d_head). Which axes does a mean over all prompts and positions average, and which stay?"
# idea = "One hook for each layer that has heads to cut. It replaces those heads' z by their mean over batch and positions. Then the loss, on the second copy from its second token on."
# outline = """
# 1. Gather the heads to cut by layer.
# 2. For each such layer a hook function (z, hook): copy z, put the mean over axes 0 and 1 in the place of the chosen heads, return it.
#    Mind that each function remembers its own layer's heads.
# 3. model.run_with_hooks(tokens, fwd_hooks=[(name, function), ...]): these hooks go away by themselves.
# 4. repeat_losses; row 1; without place 0; the mean.
# """
# look = "Now you can ask the model what it needs. Before you do: which head would you cut to do the most harm, and which ones would you cut as a control?"

# %% [markdown]
# Cut a head: replace what it hands on by something that carries no news. Setting it to zero takes away its constant part too,
# which later layers count on. So take the *mean*, over all prompts and positions: this is [[term:mean ablation]]. (Lesson 03 compares both.)
#
# ```
#   hook_z of a layer   (batch, pos, head, d_head)
#                        └── mean ──┘  └ only the heads to cut ┘   each keeps its own d_head numbers
# ```
#
# Take the mean of what arrives at the hook, in the same pass. `heads` is a list of (layer, head); it may be empty, and may hold
# several heads of one layer. Return the mean loss on the second copy from its second token on (nothing announces the first), as
# one number. Leave no hook on the model.


# %% answer="repeat_loss_without"
@torch.no_grad()
def repeat_loss_without(model, tokens: torch.Tensor, length: int, heads: list[tuple[int, int]]) -> float:
    """Return the loss on the second copy, from its second token on, with these heads mean-ablated.

    tokens: (batch, 1 + 2 * length), BOS first. heads: (layer, head) each; their z becomes its mean over batch and positions.
    """

    ### BEGIN SOLUTION
    def cutting(chosen):
        def cut(z, hook):
            z = z.clone()
            z[:, :, chosen] = z[:, :, chosen].mean(dim=(0, 1))
            return z

        return cut

    layers = {layer for layer, _ in heads}
    hooks = [(f"blocks.{layer}.attn.hook_z", cutting([h for other, h in heads if other == layer])) for layer in layers]
    logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
    return repeat_losses(logits, tokens, length)[1, 1:].mean().item()
    ### END SOLUTION


# %% [raw] predict="lab-cut-others"
# question = "As a control you cut the three *other* heads of layer 0 together: 0.0, 0.2 and 0.3, all but the previous-token head. What is the loss on the repeat (before: about 3.5 nats; a fair guess: 6.9)?"
# choices = ["about 3.5: they play no part", "about 5: every head helps a little", "about 1.5: lower than before", "about 6.9: all is lost"]
# answer = 2
# why = [
#   "That is what one expects of a control, and why this one is worth running. They do play a part, and it is a harmful one here.",
#   "A model trained on code has heads that help on code. On random tokens what they add is beside the point, and it gets in the way.",
#   "Right. On random tokens these heads only disturb the copying. A control tells more than that the effect is absent.",
#   "That happens without head 0.1. These three leave its note alone.",
# ]

# %%
prompts = repeated_prompts(ORDINARY, 50, 16, BOS, torch.Generator().manual_seed(5))
cuts = {"nothing": []} | {f"{layer}.{head}": [(layer, head)] for layer in range(2) for head in range(4)}
cuts |= {"all of layer 1": [(1, head) for head in range(4)], "layer 0 but 0.1": [(0, 0), (0, 2), (0, 3)]}
plots.bars(
    [repeat_loss_without(model, prompts, 50, heads) for heads in cuts.values()],
    list(cuts),
    title="Loss on the repeat, with heads cut (a fair guess: 6.93)",
    xlabel="what is cut",
    ylabel="loss, in nats",
    alt="A bar for nothing cut, each of the eight heads cut, all of layer 1 cut, and layer 0 cut but for head 0.1: the loss on the repeat.",
)

# %%
reveal("lab-cut-others")

# %% [markdown]
# Without head 0.1 the model is back at a fair guess, although all heads that copy are still there. Without the other heads of layer 0 it copies
# *better* than ever. Why would a model keep heads that harm? They harm on random tokens; it was trained on code, and there, as the lesson
# saw, cutting any one of them makes it a little worse.
#
# *What this does not show*: how head 0.1 reaches the heads of layer 1. The next three exercises do.

# %% [raw] card="k_composition"
# title = "Who reads whose note, from the weights alone"
# purpose = "The note of layer 0 and the keys of layer 1 meet in a product of matrices. Its size says which heads are made for each other, before any text is read."
# difficulty = 4
# importance = 5
# minutes = 18
# points = 3
# uses = []
# nudge = "Follow one vector: x at the key's position goes through the early head's W_V and W_O, and then through the late head's W_K. Which side of W_QK is the key's?"
# idea = "Build W_OV = W_V W_O of the early heads and W_QK = W_Q W_Kᵀ of the late ones. Multiply W_QK by the transpose of W_OV, take the norm, and divide by both norms."
# outline = """
# 1. W_OV: for each early head, W_V @ W_O. Shape (early, d_model, d_model).
# 2. W_QK: for each late head, W_Q @ W_K transposed. Shape (late, d_model, d_model): query's side first, key's side second.
# 3. For every pair: the Frobenius norm of W_QK @ W_OV.T (the root of the sum of squares of all entries).
# 4. Divide by the norm of that W_QK and the norm of that W_OV. Result: (early, late).
# """
# look = "One row of the table stands out in all its columns, and it is the head whose cutting undid everything. Two methods that share nothing agree."

# %% [markdown]
# An early head adds $x\,W_V W_O = x\,W_{OV}$ to the stream. A late head scores a query $x_q$ and a key $x_k$ by
# $x_q W_Q W_K^\top x_k^\top = x_q W_{QK}\, x_k^\top$. Let the key be what the early head wrote, $x_k = x\,W_{OV}$:
#
# $$x_q\, W_{QK}\, (x\,W_{OV})^\top \;=\; x_q\, \big(W_{QK} W_{OV}^\top\big)\, x^\top$$
#
# If the late head's keys read directions into which the early head writes, this product is large; if they read others, it is small.
# The *K-composition score* ([[paper:elhage2021]]) compares its size with those of its parts:
#
# $$\frac{\lVert W_{QK} W_{OV}^\top\rVert_F}{\lVert W_{QK}\rVert_F\,\lVert W_{OV}\rVert_F}
# \qquad \lVert A\rVert_F = \sqrt{\textstyle\sum_{ij} A_{ij}^2}$$
#
# (The paper writes vectors as columns, so its matrices are the transposes of ours.) It lies between 0 and 1. By hand, with a
# head size of 1: an early head that writes $(1, 0)$ and a late head whose keys read $(0.6, 0.8)$ have a score of 0.6, the cosine.
#
# Return the score of every pair, early heads in rows.


# %% answer="k_composition"
def k_composition(W_V: torch.Tensor, W_O: torch.Tensor, W_Q: torch.Tensor, W_K: torch.Tensor) -> torch.Tensor:
    """Return the K-composition score of every early head (W_V, W_O) with every late head (W_Q, W_K).

    W_V: (early, d_model, d_head). W_O: (early, d_head, d_model). W_Q, W_K: (late, d_model, d_head). Returns: (early, late).
    """
    ### BEGIN SOLUTION
    W_OV = W_V @ W_O
    W_QK = W_Q @ W_K.mT
    products = torch.einsum("lqm,enm->elqn", W_QK, W_OV)  # W_QK @ W_OV.T for every pair
    sizes = W_OV.flatten(1).norm(dim=1)[:, None] * W_QK.flatten(1).norm(dim=1)[None, :]
    return products.flatten(2).norm(dim=2) / sizes
    ### END SOLUTION


# %% [markdown]
# Look: four heads of layer 0 against four of layer 1.

# %%
early = [weights[f"blocks.0.attn.W_{letter}"] for letter in "VO"]
late = [weights[f"blocks.1.attn.W_{letter}"] for letter in "QK"]
plots.heatmap(
    k_composition(*early, *late),
    x=[f"1.{head}" for head in range(4)],
    y=[f"0.{head}" for head in range(4)],
    title="K-composition of every pair of heads",
    xlabel="late head, by its keys",
    ylabel="early head, by what it writes",
    alt="Sixteen scores: those in the row of head 0.1 are about 0.20, all others between 0.10 and 0.14.",
    text=True,
    zlabel="score",
)

# %% [raw] card="random_composition"
# title = "What is large?"
# purpose = "A score of 0.2 says nothing until you know what heads score that have nothing to do with each other."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 1
# uses = ["k_composition"]
# nudge = "What has to be the same as in the model, and what must not be?"
# idea = "Independent normal matrices of the model's shapes, scored by your own function; new ones for each sample."
# outline = """
# As many times as there are samples:
# 1. draw W_V, W_Q, W_K of shape (1, d_model, d_head) and W_O of shape (1, d_head, d_model), normal, with the generator;
# 2. k_composition of these four: one number.
# Return them as a tensor.
# """
# look = "The mean is close to 1/√d_model = 0.102, the root mean square of the cosine between two random directions. The model's other heads lie a little above. So chance explains most of their score, but not all of it."

# %% [markdown]
# Is 0.2 much? Draw heads at random, of the same shapes, all four matrices independently from a normal distribution
# (`torch.randn` with the generator), and score them. Return one score for each sample, each from four new matrices.
#
# The shapes matter. A head has the small `d_head` in its middle, and so reads and writes only a few directions. A full
# `d_model` × `d_model` matrix reads all, and its scores would spread much less.


# %% answer="random_composition"
def random_composition(d_model: int, d_head: int, samples: int, generator: torch.Generator) -> torch.Tensor:
    """Return the K-composition scores of independent random heads of these sizes, one for each sample: (samples,)."""
    ### BEGIN SOLUTION
    scores = []
    for _ in range(samples):
        W_V, W_Q, W_K = torch.randn(3, 1, d_model, d_head, generator=generator)
        W_O = torch.randn(1, d_head, d_model, generator=generator)
        scores.append(k_composition(W_V, W_O, W_Q, W_K)[0, 0])
    return torch.stack(scores)
    ### END SOLUTION


# %%
early = [weights[f"blocks.0.attn.W_{letter}"] for letter in "VO"]
late = [weights[f"blocks.1.attn.W_{letter}"] for letter in "QK"]
chance = random_composition(96, 24, 200, torch.Generator().manual_seed(0))
found = k_composition(*early, *late)
print(f"random heads: mean {chance.mean():.3f}, highest of 200: {chance.max():.3f}; 1/√96 = {96**-0.5:.3f}")
for head in range(4):
    above = (found[head] - chance.mean()) / chance.std()
    print(
        f"head 0.{head}: {found[head].min():.3f} to {found[head].max():.3f}, {above.min():.0f} to {above.max():.0f} standard deviations above chance"
    )

# %% [markdown]
# *What this does not show*: that the model ever uses the match. LayerNorm stands between the two heads, and a large product may meet inputs that
# never come. The last exercise watches the connection itself.

# %% [raw] card="pattern_without_edge"
# title = "Cut one connection"
# purpose = "Cutting a head cuts all it does. To prove how two heads work together, cut only the path between them, and only into the keys."
# difficulty = 5
# importance = 5
# minutes = 22
# points = 3
# uses = []
# nudge = "The keys of layer 1 read a copy of the stream of their own. What in that copy came from the sender, and what would be there if the sender carried no news?"
# idea = "In a clean pass, take the sender's z times its W_O: what it adds. In a second pass, subtract from one input of layer 1 what it adds, less its mean; look at layer 1's pattern."
# outline = """
# 1. run_with_cache: z of layer 0. The sender's part is z[:, :, sender] @ W_O[sender], (batch, pos, d_model); W_O is model.blocks[0].attn.W_O.
# 2. Its news: the part minus its mean over batch and positions.
# 3. A hook on blocks.1.hook_{into}_input, (batch, pos, head, d_model): return the input minus the news, the same for every head.
# 4. With that hook on (with model.hooks(fwd_hooks=...):), run_with_cache again and take layer 1's pattern.
# """
# look = "Of twelve connections one matters: from 0.1 into the keys. That is K-composition, seen at work. And cutting the values changes no pattern at all. Why not?"

# %% [markdown]
# The stream feeds a head of layer 1 three times: its queries, its keys and its values. Head 0.1 writes into the stream, so it
# reaches all three. Which one does induction need?
#
# ```
#                     ┌──→ hook_q_input ──→ queries ─┐
#   head 0.1 ─→ stream┼──→ hook_k_input ──→ keys ────┴─→ pattern ─┐
#                     └──→ hook_v_input ──→ values ───────────────┴─→ z
# ```
#
# With `set_use_split_qkv_input(True)` (the first cell did that) each head of layer 1 has its own copy of the stream for each of the three:
# `blocks.1.hook_k_input` is `(batch, pos, head, d_model)`; `head` counts the receivers. Change one of the three, for all receivers alike, and only
# that connection changes.
#
# Cut it as before, by the mean: subtract from the copy what the sender adds there, and add back its mean over prompts and positions. What a
# head of layer 0 adds is its z (`blocks.0.attn.hook_z`) times its output matrix, `model.blocks[0].attn.W_O[sender]`, `(d_head, d_model)`.
# Return the pattern of layer 1. (`into` is "q", "k" or "v". This is a first *path patching*; lesson 09 is about it.)


# %% answer="pattern_without_edge"
@torch.no_grad()
def pattern_without_edge(model, tokens: torch.Tensor, sender: int, into: str) -> torch.Tensor:
    """Return layer 1's pattern where head `sender` of layer 0 reaches one of its inputs with its mean only.

    into: "q", "k" or "v": which input. The mean is over batch and positions. Returns: (batch, head, query, key).
    """
    ### BEGIN SOLUTION
    _, cache = model.run_with_cache(tokens, names_filter="blocks.0.attn.hook_z")
    part = cache["blocks.0.attn.hook_z"][:, :, sender] @ model.blocks[0].attn.W_O[sender]
    news = part - part.mean(dim=(0, 1))

    def cut(stream, hook):
        return stream - news[:, :, None]

    with model.hooks(fwd_hooks=[(f"blocks.1.hook_{into}_input", cut)]):
        _, cut_cache = model.run_with_cache(tokens, names_filter="blocks.1.attn.hook_pattern")
    return cut_cache["blocks.1.attn.hook_pattern"]
    ### END SOLUTION


# %% [markdown]
# Look: the induction score of layer 1, averaged over its four heads, after each of the twelve cuts.

# %%
prompts = repeated_prompts(ORDINARY, 50, 16, BOS, torch.Generator().manual_seed(6))
left = torch.zeros(4, 3)
for sender in range(4):
    for i, into in enumerate("qkv"):
        pattern = pattern_without_edge(model, prompts, sender, into)
        left[sender, i] = repeat_scores(pattern, 50)[..., 2].mean()
plots.heatmap(
    left,
    x=["into the queries", "into the keys", "into the values"],
    y=[f"from 0.{head}" for head in range(4)],
    title="Induction score of layer 1 with one connection cut",
    xlabel="which input of layer 1",
    ylabel="sender",
    alt="Twelve cuts: the induction score stays near 0.7 or rises in eleven of them; cut from 0.1 into the keys, it is near 0.",
    text=True,
    zlabel="score",
)

# %% [markdown]
# You have found the circuit (scores that no impostor passes), proved that the model needs it (cuts), and explained how its two parts
# meet (weights, and one connection). *What this does not show*: that induction on real code uses nothing else. The lesson looks there too.
#
# **You can now do to any small model what the paper did.** The lesson, if you have not read to its end, closes with a model of 270 heads.
