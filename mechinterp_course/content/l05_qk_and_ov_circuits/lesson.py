# %% [markdown]
# # QK and OV circuits
#
# So far you ran a model and looked at what flowed through it. This lesson does not run it at first. It multiplies weight matrices
# with each other, and the products are tables that you can read: which token follows which, where a head looks, what it moves. That is
# the method of [[paper:elhage2021]]. After each reading we run the model and ask how much of it was true.
#
# Two small models come with the course: `code-attn-1l` and `code-attn-2l`, with one and two layers of attention and no MLPs. They were
# trained on repeated random tokens first and on Python's standard library later.

# %%
import torch
import torch.nn.functional as F

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import models, plots, tasks

torch.set_grad_enabled(False)
one, two = (models.load(name, processed=True) for name in ["code-attn-1l", "code-attn-2l"])  # a few seconds, once
tokenizer = models.tokenizer("code-attn-1l")
files = [tokenizer.encode(text) for _, text in tasks.sample()]  # files that no model was trained on
held_out = torch.stack([file[:256] for file in files if len(file) >= 256])  # (32, 256)


def token_of(word):
    return tokenizer.ids(word)[0]


# %% [markdown]
# ## Core Learning
#
# ### A transformer is a sum of paths
#
# Each layer adds to the [[term:residual stream]]. So a one-layer model without MLPs gives logits by several routes at once:
#
# ```
#   token at the query ─────────────────────── W_U ──→ logits      the direct path
#   token at a key ── W_V ── W_O of head 0 ─── W_U ──→ logits      a path through head 0, weighted by its attention
#   token at a key ── W_V ── W_O of head 1 ─── W_U ──→ logits      a path through head 1, …
# ```
#
# The logits are the sum of what arrives. Check it for one text: the embedding, the four heads and a constant, through the final
# LayerNorm's division and `W_U`.

# %%
texts = held_out[:16]
logits, cache = one.run_with_cache(texts)
heads = torch.einsum("bphd,hdm->bphm", cache["blocks.0.attn.hook_z"], one.W_O[0])  # what each head adds
stream = cache["blocks.0.hook_resid_pre"] + heads.sum(2) + one.b_O[0]
sum_of_paths = stream / cache["ln_final.hook_scale"] @ one.W_U + one.b_U
print(f"largest difference from the model's logits: {(sum_of_paths - logits).abs().max():.0e}")

# %% [markdown]
# ### What cannot be multiplied out
#
# Two things stand between the paths and plain matrix products. The *attention pattern* is a softmax: it depends on the text. And each
# [[term:LayerNorm]] divides by the *scale* σ, a number that depends on the stream.
#
# The rest of a LayerNorm can be moved into the next matrix. That is [[term:folding]], and it is what
# `models.load(name, processed=True)` has done; all weights in this lesson are processed ones. For σ we put one constant: the *frozen scale*, measured
# on real text. How much does that alone cost? Here is the whole model with both of its scales frozen.

# %%
scale = cache["blocks.0.ln1.hook_scale"].mean()
final_scale = cache["ln_final.hook_scale"].median()  # very large in the first places, so no mean
read = cache["blocks.0.hook_resid_pre"] / scale  # (batch, pos, d_model), scale frozen
q = torch.einsum("bpm,hmd->bhpd", read, one.W_Q[0]) + one.b_Q[0][:, None]
# Keys and values need no bias: b_K changes no pattern, and b_V is folded into b_O.
k, v = (torch.einsum("bpm,hmd->bhpd", read, W[0]) for W in (one.W_K, one.W_V))
z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
added = torch.einsum("bhpd,hdm->bpm", z, one.W_O[0]) + one.b_O[0]
frozen = (cache["blocks.0.hook_resid_pre"] + added) / final_scale @ one.W_U + one.b_U
loss, frozen_loss = (F.cross_entropy(x[:, :-1].mT, texts[:, 1:]) for x in (logits, frozen))
same = (frozen.argmax(-1) == logits.argmax(-1)).float().mean()
print(f"loss {loss:.2f} nats, with frozen scales {frozen_loss:.2f}; the same favourite at {100 * same:.0f} % of places")

# %% [markdown]
# So the frozen model is a rough copy, not the model. Everything below is read off the weights of that copy. Keep the two losses in
# mind as the limit of what such a reading can explain.
#
# ### No layers: a table of bigrams
#
# Take all layers away, and the model is a lookup: the token's row of `W_E`, normalised, times `W_U`. Whatever stood before, the guess
# is the same. The best that this [[term:direct path]] can learn is the table of [[term:bigram|bigrams]]: how often each token
# follows this one. In the lab you train such a model in three seconds, and it does exactly that.
#
# Our one-layer model has a direct path, too, beside its heads.

# %% [raw] predict="qkov-direct-path"
# question = "Leave out the heads of code-attn-1l and let its direct path predict the next token alone. A guess that ignores all tokens, and only knows how frequent each is, loses about 5.7 nats; the table of true bigrams, 3.1. What does the direct path lose?"
# choices = ["6 or more: alone it is worse than the guess", "between 3.5 and 5.5: it holds part of the bigrams", "about 3: it holds the bigrams"]
# answer = 0
# why = [
#   "Right. The heads were always there to correct it. A part of a sum need not make sense by itself, and this one does not.",
#   "Reasonable: the direct path is the only part that need not find the token first. But nothing in training rewards it for being right alone.",
#   "That is what a model without layers reaches, and what the paper leads one to expect. Here heads share the work, and training asks for a good sum, not for good parts.",
# ]

# %%
counts = torch.zeros(1024, 1024)  # (token, next token)
for file in files:
    counts.index_put_((file[:-1], file[1:]), torch.ones(len(file) - 1), accumulate=True)


def table_loss(table):  # table: log-probabilities, (token, next token)
    return float(-(counts * table).sum() / counts.sum())


frequency = (counts.sum(0) + 1) / (counts.sum(0) + 1).sum()
direct = F.layer_norm(one.W_E, (96,)) @ one.W_U + one.b_U
bigrams = (counts / counts.sum(1, keepdim=True).clamp(min=1)).clamp(min=1e-9).log()
found = [table_loss(frequency.log().expand(1024, -1)), table_loss(direct.log_softmax(-1)), table_loss(bigrams)]
plots.bars(
    found,
    ["a guess by frequency", "direct path of code-attn-1l", "the true bigrams"],
    title="How well three tables predict the next token",
    ylabel="loss, nats a token",
    alt="Three bars: the loss of a guess by frequency, of the direct path alone and of the true bigrams.",
)

# %%
reveal("qkov-direct-path")

# %% [markdown]
# The first lesson of reading weights: a matrix product is always a table, and a table always looks like something. Test it.
#
# *What this does not show*: that direct paths are useless. In a larger model, trained longer, they may well hold the bigrams.
#
# ### OV: what a head moves
#
# A head does two things that have nothing to do with each other. `W_Q` and `W_K` decide *where* it looks: the [[term:QK circuit]].
# `W_V` and `W_O` decide *what it moves* from there: the [[term:OV circuit]]. With `W_E` before and `W_U` behind, OV is a table from the token
# that is looked at to the logits, 1,024 × 1,024.
#
# TransformerLens keeps such a product as its two thin factors. The middle of it, `W_V W_O`, is one call away:

# %%
words = ["def", "class", "return", "import", "self", " None", "name", "(", ")", ".", ",", "="]
ids = [token_of(word) for word in words]
OV = two.OV[1, 0]  # head 1.0: a FactoredMatrix, W_V and W_O, never multiplied out
table = two.W_E[ids] @ OV.A @ (OV.B @ two.W_U[:, ids])  # from the left and from the right: always thin
names = [plots.visible(word) for word in words]
plots.heatmap(
    table,
    x=names,
    y=names,
    title="Head 1.0 of code-attn-2l: its OV circuit on twelve tokens",
    xlabel="output token",
    ylabel="source token: what the head attends to",
    alt="A row for each attended token, a column for each output; the diagonal is strongly red: the head raises the token it attends to.",
    zmid=0,
    zlabel="logit",
)

# %% [markdown]
# (Both scales are left out of this table. They are positive, so they change no sign and no order within a row.)
#
# This head *copies*: whatever it attends to, it makes more likely. ([[lesson:02]] left open what a head takes along. Here it is.)
# **Change this and see.** Take `two.OV[0, 1]`, the previous-token head, and look for its diagonal.
#
# Is the table true? Force a head of `code-attn-1l` to attend to one token only, and see what it does to the 1,024 logits. Against
# that, the row of its OV circuit.

# %%
where, source = 60, 50  # at position 60, all attention of head 0 goes to position 50


def force(pattern, hook, weight):
    pattern[:, 0, where] = 0
    pattern[:, 0, where, source] = weight
    return pattern


def logits_with(weight):
    hooks = [("blocks.0.attn.hook_pattern", lambda pattern, hook: force(pattern, hook, weight))]
    return one.run_with_hooks(texts[:4], fwd_hooks=hooks)[:, where]


real = logits_with(1.0) - logits_with(0.0)  # (4 files, 1,024)
OV = one.OV[0, 0]
row = one.W_E[texts[:4, source]] / scale @ OV.A @ (OV.B @ one.W_U) / final_scale
print("sources:", [plots.visible(word) for word in tokenizer.str_tokens(texts[:4, source])])
print(
    "correlation in each file:",
    [round(float(torch.corrcoef(torch.stack(p))[0, 1]), 2) for p in zip(row, real, strict=True)],
)

# %% [markdown]
# The table has roughly the shape of what happens. The rest comes from the positions, which the table leaves out, and from the final scale,
# which moves when the head does.
#
# *What this does not show*: that the model ever attends to that token in this way. We forced it.
#
# ### QK: where a head looks
#
# The same for the other half. With `W_E` on both sides, `W_Q W_K` is a table from pairs of tokens to scores: row, who looks; column,
# what it looks at. A softmax compares the keys of one query, so we read each row relative to its own mean. One column at a time is
# easy to read: who, of all common tokens, wants a full stop most?

# %%
common = (counts.sum(1) >= 30).nonzero()[1:, 0]  # tokens that occur 30 times or more, without BOS
E = one.W_E[common] / scale
head = 3
keys = (E - E.mean(0)) @ one.W_K[0, head]  # relative to the average key
dot = common.tolist().index(token_of("."))
wants = (E @ one.W_Q[0, head] + one.b_Q[0, head]) @ keys[dot] / one.cfg.d_head**0.5
top = wants.topk(12)
plots.bars(
    top.values,
    plots.token_labels(tokenizer.str_tokens(common[top.indices])),
    title="Head 3 of code-attn-1l: the query tokens that look for a full stop",
    xlabel="rank and query token",
    ylabel="score, relative to an average key",
    alt="Twelve bars: the query tokens with the highest score for the key '.', from large to small.",
)

# %% [markdown]
# `self`, `os`, `sys`: in Python, names that a full stop follows. The head was never told. Does it look there? Head 3 on a line of
# code that it has not seen:

# %%
code = "        self.name = name\n        self.size = os.path.getsize(self"
tokens = tokenizer.encode(code)[None]
words = tokenizer.str_tokens(tokens[0])
_, line = one.run_with_cache(tokens)
plots.attention(
    line["blocks.0.attn.hook_pattern"][0, head],
    words,
    title="Head 3 of code-attn-1l on one line",
    alt="One pattern: each row is a query. Rows of self and os are bright in the columns of earlier full stops.",
)

# %% [markdown]
# ### Both halves: skip-trigrams
#
# And what does head 3 move from a full stop? Its OV row says: above all, a full stop.

# %%
raised = E[dot] @ one.W_V[0, head] @ one.W_O[0, head] @ one.W_U[:, common] / final_scale
top = raised.topk(8)
plots.bars(
    top.values,
    plots.token_labels(tokenizer.str_tokens(common[top.indices])),
    title="Head 3 of code-attn-1l: what it raises where it attends to a full stop",
    xlabel="rank and output token",
    ylabel="logit, at full attention",
    alt="Eight bars: the outputs that the head raises most when it attends to '.', from large to small.",
)

# %% [markdown]
# Together: "there was a `.` before, now I am at `self`, so `.` comes next." The paper calls this a [[term:skip-trigram]]:
#
# ```
#   [.] … [self] → [.]             source … query → output
# ```
#
# The source may stand anywhere before. Beside bigrams and positions, this is the one form of statement that a single layer of attention can
# make. In the lab you read them off for any source, and measure what the head does at real places.

# %% [raw] quiz="qkov-skip-trigram-bug"
# question = "A head has learned [keep] … [in] → mind and [keep] … [at] → bay. Which other statement does the same head then make?"
# choices = ["[keep] … [in] → bay", "[mind] … [in] → keep", "none: the two are separate"]
# answer = 0
# why = [
#   "Right. What it moves from `keep` does not depend on who looks. So it raises mind and bay at both places, wanted or not: the paper's skip-trigram bug.",
#   "That would need another source. OV starts at the token that is attended to, here `keep` in both.",
#   "They share a source. QK joins source and query, OV joins source and output, and nothing joins query and output.",
# ]

# %% [markdown]
# ### Copying, in one number
#
# Nobody looks at a million entries for every head. The paper's summary uses *eigenvalues*. Send a mixture of tokens through the OV
# table: if the same mixture comes out, stronger, the head copies it, and its eigenvalue is positive. If it comes out negative, the
# head lowers what it attends to. The [[term:copying score]] is the sum of all eigenvalues over the sum of their absolute values: from
# −1 to 1.
#
# The table has 1,048,576 entries, but it is of [[term:low rank]]: a product of a (1,024, 24) and a (24, 1,024) matrix, with at most 24
# eigenvalues that are not 0. `FactoredMatrix` finds them from the factors. (In the lab you find out how.)

# %% [raw] predict="qkov-copying"
# question = "An induction head has to copy. code-attn-1l has one layer, and so no induction head. How many of its four heads have a copying score above 0.9?"
# choices = ["one", "all four", "none"]
# answer = 1
# why = [
#   "One head to copy and three for other things would be a tidy division of labour. Training rarely is tidy.",
#   "Right: what has occurred tends to occur again, and each head says so. Copying is common. Attending to the right place is the rare part.",
#   "Fair, if copying served induction alone. But what has occurred tends to occur again, so raising it helps without any induction.",
# ]


# %%
def score(model, layer, head):
    OV = model.OV[layer, head]
    full = type(OV)(model.W_E @ OV.A, OV.B @ model.W_U)  # a FactoredMatrix: (1024, 24) times (24, 1024)
    return float(full.eigenvalues.sum().real / full.eigenvalues.abs().sum())


scores = {f"1l: 0.{h}": score(one, 0, h) for h in range(4)}
scores |= {f"2l: {layer}.{h}": score(two, layer, h) for layer in range(2) for h in range(4)}
plots.bars(
    list(scores.values()),
    list(scores),
    title="Copying score of every head",
    xlabel="model: layer.head",
    ylabel="copying score",
    alt="Twelve bars: the copying score of the four heads of code-attn-1l and the eight of code-attn-2l.",
)

# %%
reveal("qkov-copying")

# %% [markdown]
# A blunter question: for how many tokens is the token itself the output that is raised most? ARENA's exercises ([[paper:arena]])
# report 30.8 % for one induction head of their two-layer model, and 95.6 % for both together. Ours:

# %%
OV = [two.OV[1, h] for h in range(2)]
tables = [two.W_E @ part.A @ (part.B @ two.W_U) for part in OV]  # small vocabulary: here we can afford them
right = [(t.argmax(-1) == torch.arange(1024)).float().mean() for t in (*tables, sum(tables))]
print("head 1.0 {:.1%}, head 1.1 {:.1%}, both together {:.1%}".format(*map(float, right)))

# %% [markdown]
# The vocabularies differ (theirs is about fifty times as large), so the single figures cannot be compared. What is the same: two heads together
# confuse fewer tokens than one.
#
# *What this does not show*: induction. Heads of `code-attn-1l` copy as well and cannot do it. For induction the *pattern* has to
# find the right place, and that takes two layers: lesson 06.
#
# ### Positions: a head that needs no tokens
#
# The stream starts as token plus position, and QK sees both. `code-attn-2l` has a head that attends to the token before: head 0.1.
# Does it need to see the tokens?

# %% [raw] predict="qkov-positions"
# question = "You set all token vectors to zero, so that the heads of layer 0 see positions alone. On real text, head 0.1 gives about 0.9 of its attention to the position before. How much does it give without tokens?"
# choices = ["nearly none: there is nothing to attend to", "about half of it", "as much, or more"]
# answer = 2
# why = [
#   "There are no tokens, but there are positions: every stream still holds its row of W_pos, and keys can be told apart by it.",
#   "That would be a head that weighs both. This one hardly weighs tokens at all.",
#   "Right. The previous position can be found from W_pos alone; the tokens are a disturbance to this head.",
# ]

# %%
_, with_tokens = two.run_with_cache(texts)
blank = [("hook_embed", lambda embedded, hook: torch.zeros_like(embedded))]
with two.hooks(fwd_hooks=blank):
    _, without = two.run_with_cache(texts)
before = {}
for title, found in [("with tokens", with_tokens), ("positions alone", without)]:
    pattern = found["blocks.0.attn.hook_pattern"]  # (file, head, query, key)
    before[title] = pattern.diagonal(-1, -2, -1)[..., 7:].mean((0, 2))
plots.heatmap(
    (100 * torch.stack(list(before.values()))).round(),
    x=[f"head 0.{h}" for h in range(4)],
    y=list(before),
    title="Attention to the token before, layer 0 of code-attn-2l",
    xlabel="head",
    ylabel="what the model sees",
    alt="Two rows, with tokens and with positions alone, and a column for each head of layer 0: mean attention to the position before, in %.",
    text=True,
    zlabel="%",
)

# %%
reveal("qkov-positions")

# %% [markdown]
# Without tokens the stream is shorter, σ is smaller, and the positions count for more than they do on real text. In the lab you freeze σ
# instead, and get head 0.1's pattern from `W_pos`, `W_Q` and `W_K`, with σ as the only number that was measured.
#
# ### SmolLM2: where reading the weights fails
#
# In a real model, layers and MLPs lie before and behind each head. Does a copying score still find the heads that copy? SmolLM2 has 30
# layers of 9 heads and 49,152 tokens: an OV table of one head would take 9.7 GB, its factors 25 MB. Three query heads share one `W_V` (3
# key/value heads for 9). It normalises by RMSNorm, which has no mean and no bias: we multiply its `w` in by hand.
#
# These eight heads attend most like induction heads (lesson 06 measures it):

# %%
smollm2 = models.load_if_here("smollm2")
induction = [(18, 6), (17, 3), (17, 4), (17, 5), (18, 7), (23, 2), (23, 7), (20, 6)]


def smollm2_scores(stream, out):  # stream (token, d_model), what the heads read for each token; out: the same tokens
    W_U = smollm2.W_U[:, out] - smollm2.W_U[:, out].mean(1, keepdim=True)
    read = stream / stream.pow(2).mean(-1, keepdim=True).sqrt()
    middle = smollm2.ln_final.weight[:, None] * (W_U @ read)  # (d_model, d_model), once for all 270 heads
    W_V, W_O, scores = smollm2.W_V, smollm2.W_O, torch.zeros(30, 9)
    for layer in range(30):
        for h in range(9):
            small = W_O[layer, h] @ (middle * smollm2.blocks[layer].ln1.weight) @ W_V[layer, h // 3]
            values = torch.linalg.eigvals(small)  # (64, 64): the eigenvalues of the table that are not 0
            scores[layer, h] = values.sum().real / values.abs().sum()
    return scores


# %%
if smollm2 is not None:
    from_embedding = smollm2_scores(smollm2.W_E, torch.arange(49152))
    is_induction = torch.zeros(30, 9, dtype=torch.bool)
    is_induction[tuple(zip(*induction, strict=True))] = True
    for title, group in [("the eight induction heads", is_induction), ("the other 262 heads", ~is_induction)]:
        low, middle, high = from_embedding[group].quantile(torch.tensor([0.25, 0.5, 0.75]))
        print(f"{title}: median {middle:.2f}, the middle half from {low:.2f} to {high:.2f}")

# %% [markdown]
# Where the model is here, you see a failure: the eight score no higher than the rest. In a small model without MLPs the stream at a head *is* the
# token's embedding, more or less. In SmolLM2 it is not. One repair: take for each token what block 0, attention and MLP, has made of it.
# (We tried three repairs, and show the one that worked best. Read its result with that in mind.)

# %%
if smollm2 is not None:
    chosen = torch.randperm(49152, generator=torch.Generator().manual_seed(0))[:4096]
    after = []
    for part in chosen.split(512):
        pairs = torch.stack([torch.full_like(part, smollm2.tokenizer.bos_token_id), part], dim=1)
        _, found = smollm2.run_with_cache(
            pairs, names_filter=lambda name: name == "blocks.0.hook_resid_post", stop_at_layer=1
        )
        after.append(found["blocks.0.hook_resid_post"][:, 1])
    from_block_0 = smollm2_scores(torch.cat(after), chosen)
    for title, scores in [("from the embedding", from_embedding), ("after block 0", from_block_0)]:
        wins = (scores[is_induction][:, None] > scores[~is_induction]).float().mean()
        among = int(is_induction.flatten()[scores.flatten().topk(20).indices].sum())
        print(f"{title}: one of the eight outscores one of the others in {100 * wins:.0f} % of pairs (chance: 50 %),")
        print(f"    and {among} of the eight are among the 20 highest of 270")

# %%
if smollm2 is not None:
    both = torch.stack([from_embedding[is_induction], from_block_0[is_induction]], dim=1)
    order = [f"L{layer}H{h}" for layer, h in sorted(induction)]
    figure = plots.heatmap(
        (100 * both).round() / 100,
        x=["from the embedding", "after block 0"],
        y=order,
        title="SmolLM2: copying scores of its eight strongest induction heads",
        xlabel="what the head is taken to read",
        ylabel="head",
        alt="A row for each head, two columns: its copying score from the embedding and from the stream after block 0.",
        zmid=0,
        text=True,
        zlabel="score",
    )
    figure.show()

# %% [markdown]
# Read after block 0, five of the eight have a high copying score and stand out among the 270. The three of layer 17 do not: they attend like
# induction heads, and what they move is not the token itself, as far as this reading goes. And the second reading is no longer made of
# weights alone: we ran a block.
#
# *What this does not show*: that layer 17's heads do not serve induction. Their output may reach the logits through later layers.
#
# The weights are those of the instruct-tuned model, from a 4-bit file.
#
# ## Watch
#
# - [[paper:nanda2022_framework]]: the paper, page by page, by one of its authors. Long; the parts on one-layer models fit this lesson.
#
# ## Read
#
# 1. [[paper:elhage2021]], "Zero-Layer Transformers" and "One-Layer Attention-Only Transformers". You have now done most of what
#    stands there. Compare their skip-trigrams with yours.
# 2. The same, "Two-Layer Attention-Only Transformers", up to induction heads: before lesson 06.
# 3. [[paper:arena]], section 1.2: the same readings on another model, in code.
#
# ## Do
#
# Open [[lab:05]]. You write eight functions: a LayerNorm folded away, a bigram table, both circuits, a pattern from positions, skip-trigrams, and
# two ways to know a large product from its small factors.
#
# ## ML Connection
#
# Low-rank products are everywhere where models are large. LoRA fine-tunes a model by adding to each matrix a product of two thin ones,
# as a head adds $W_V W_O$. Whoever merges, compares or prunes such parts works with the factors, as you did.
# Grouped keys and values (SmolLM2's three for nine) save memory; here you saw that they also tie the OV circuits of a group together.
#
# ## What this does not show
#
# - No reading here is exact. Frozen scales, positions left out, later layers left out: each was named, and where it was measured, the
#   figure stood beside it.
# - The two code models are small, and were trained for 2,000 steps on an unusual mixture. That all their heads copy is a fact about them.
# - Weights say what a head *would* do with a token. Which tokens it meets, and whether the model needs it, only running can show (lessons 06 and 08).
#
# ## Questions I still have
#
# Write yours here: double-click this cell. One to begin with: `def` is hardly copied by head 0 of `code-attn-1l`. Why would a model of Python not
# want to?
