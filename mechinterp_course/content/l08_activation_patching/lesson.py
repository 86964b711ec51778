# %% [markdown]
# # Activation patching
#
# You have seen where heads look, and what a model loses without them. This lesson is about a sharper tool. You take *one* activation from
# one run of the model, put it into another run, and see whether the answer follows. It is the experiment on which most claims about
# circuits rest, and it is easily misread. So you run it in both directions, on a real model and on networks whose answers are known.
#
# The model is `code-attn-2l`, with raw weights: two attention layers of four heads, whose induction circuit you know from [[lesson:06]].

# %%
import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import attribution_patching as attribution
from mechinterp_course.interp import causal, gates, metrics, models, patching, paths, planted, plots, tables

model = models.load("code-attn-2l")
tokenizer = models.tokenizer("code-attn-2l")

# %% [markdown]
# ## Core Learning
#
# ### Two runs, and a graft
#
# ```
#   clean prompt       … A  B … C  D … A   ──→  B          the run that goes right
#                           │
#                           │ one activation
#                           ▼
#   corrupted prompt   … C  B … A  D … A   ──→  D, or B?   the run that goes wrong
# ```
#
# This is [[term:activation patching]]. A *clean* prompt has a right answer. A *corrupted* prompt is like it, but for one thing, and has another
# answer. Run the corrupted prompt, and at one place put in what the clean run had there. If the answer changes back, what you put in
# carries the difference.
#
# Compare it with [[term:mean ablation|ablation]], which asks what a model does when a part falls silent. A patched part is not silent: it says
# what it says on another prompt of the same kind. So nothing breaks that has nothing to do with your question.
#
# ### The pair is the question
#
# A good pair is equally long, differs in one thing, has its answers exchanged, and is text of one kind. For induction: twelve random tokens, then
# one of them again. In the corrupted prompt, the tokens A and C have changed places. Nothing else has.


# %%
def pair(exchange, seed=6, d_vocab=1024):
    """Sixteen prompts and their twins, in which the tokens at two places are exchanged; right and wrong answers."""
    draw = torch.Generator().manual_seed(seed)
    copies = torch.stack([1 + torch.randperm(d_vocab - 1, generator=draw)[:12] for _ in range(16)])
    clean = torch.cat([torch.zeros(16, 1, dtype=torch.long), copies, copies[:, 3:4]], dim=1)
    corrupted, (i, j) = clean.clone(), exchange
    corrupted[:, i], corrupted[:, j] = clean[:, j], clean[:, i]
    return clean, corrupted, metrics.logit_difference(clean[:, 5], clean[:, 10])


A, B, C, D, LAST = 4, 5, 9, 10, 13
PLACES = ["0 BOS", "1", "2", "3", "4 A", "5 B", "6", "7", "8", "9 C", "10 D", "11", "12", "13 A"]
clean, corrupted, difference = pair((A, C))
for name, prompts in (("clean", clean), ("corrupted", corrupted)):
    words = " | ".join(plots.visible(word) for word in tokenizer.str_tokens(prompts[0]))
    print(f"{name:9}", words, f"   B leads D by {difference(model(prompts)).mean():+.1f} logits, mean of 16")

# %% [markdown]
# B follows A in the clean prompt, and D in the corrupted one. The model knows: its [[term:logit difference]], B minus D, changes sign.
# Put it on a scale: 0 is the corrupted run, 1 the clean one. A patched run that reads 0.5 has come half of the way.
#
# **Change this and see.** `pair((A, C), seed=7)` draws other tokens. Do the two ends stay where they are? (Then set it back.)
#
# ### One patch, by hand
#
# Two calls of TransformerLens are enough: `run_with_cache` for the run that you take from, `run_with_hooks` for the run that you put into.

# %%
_, clean_cache = model.run_with_cache(clean)
share = metrics.normalised(difference, model(clean), model(corrupted))


def patched(name, pos):
    def put(stream, hook):  # (batch, pos, d_model)
        stream = stream.clone()
        stream[:, pos] = clean_cache[name][:, pos]
        return stream

    return share(model.run_with_hooks(corrupted, fwd_hooks=[(name, put)]))


for pos in (A, B):
    print(f"position {PLACES[pos]:4} before layer 0: {patched('blocks.0.hook_resid_pre', pos):.2f}")

# %% [markdown]
# Putting A back where it was restores about a half: two tokens have changed places, and this is one of them. B is the same token in both
# prompts, so before layer 0 there is nothing to put back. What about one layer later?

# %% [raw] predict="patching-stream-squares"
# question = "You patch the stream before layer 1, one position at a time. Where does the picture light up?"
# choices = ["at 4 and 9, where A and C stand", "at 5 and 10, one place later, where B and D stand", "at 13, the last position"]
# answer = 1
# why = [
#   "That is where the difference *enters*. But the heads of layer 0 have read it by then, and nobody in layer 1 looks at A or C.",
#   "Right. A previous-token head has written at B who came before it. B is the same token in both prompts, but its stream is not.",
#   "The answer has to get there in the end. Before layer 1 it has not: the last position has only asked its question.",
# ]

# %%
stream = patching.activation_patching(model, clean, corrupted, difference, "resid_pre")
plots.heatmap(
    stream.values.double().round(decimals=2),
    x=PLACES,
    y=["before layer 0", "before layer 1"],
    title="Denoising the residual stream, one position at a time",
    xlabel="position",
    ylabel="where in the model",
    alt="Before layer 0, positions 4 and 9 restore about a half each; before layer 1 it is positions 5 and 10; everything else is 0.",
    zmid=0,
    text=True,
    zlabel="share restored",
)

# %%
reveal("patching-stream-squares")

# %% [markdown]
# Read it from the top: the difference starts at A and C, and moves one place to the right while layer 0 runs. Layer 1 then carries it to the last
# position, where the answer is read. That is the induction circuit, found without a look at a single attention pattern.
#
# `patching.activation_patching` makes the whole sweep: all layers and positions, or heads, in one direction or the other. In the lab you write
# such a sweep, and see that TransformerLens' own gives the same numbers.
#
# *What this does not show*: that the other positions do nothing. They do the same in both runs, and the experiment cannot see that.
#
# ### Two directions
#
# The other way round is another experiment:
#
# ```
#                 base (this runs)    source (one activation)    if the part matters    if not
#   denoising     corrupted           clean                           0 → 1              0
#   noising       clean               corrupted                       1 → 0              1
# ```
#
# [[term:denoising|Denoising]] asks whether a part is *sufficient*: is it enough to bring the answer back, with everything else corrupted? [[term:noising|Noising]]
# asks whether it is *necessary*: does the answer go without it, with everything else in order? Here are all eight heads, both ways:


# %%
def both_ways(clean, corrupted, metric, activation="z"):
    """The values of every head after denoising and after noising: (layer, head) each."""
    return [
        patching.activation_patching(model, clean, corrupted, metric, activation, direction=direction).values
        for direction in ("denoising", "noising")
    ]


HEADS = [f"{layer}.{head}" for layer in range(2) for head in range(4)]
restored, left = both_ways(clean, corrupted, difference)
plots.heatmap(
    torch.stack([restored.flatten(), left.flatten()]).double().round(decimals=2),
    x=HEADS,
    y=["denoised: restored", "noised: left"],
    title="Each head's output, patched in both directions",
    xlabel="head (layer.head)",
    ylabel="experiment",
    alt="Head 0.1 restores more than 0.9, and without it next to nothing is left. The heads of layer 1 restore 0.2 to 0.35 each and leave 0.65 to 0.8. The others: 0 and 1.",
    zmid=0,
    text=True,
    zlabel="share",
)

# %%
print(f"the heads of layer 1 restore {restored[1].sum():.2f} together, if you add them up")
print(f"and noised one by one they lose {(1 - left[1]).sum():.2f} in all")

# %% [markdown]
# Head 0.1 is nearly sufficient and nearly necessary. The heads of layer 1 share the work like votes: each restores a part, the parts add up to
# about 1, and noising tells the same story. When effects add up, the two directions agree. They need not.
#
# *What this does not show*: that head 0.1 copies. It is enough that layer 1 hears it; denoised alone, it sets the corrupted run of layer 1 right.
#
# ### Another pair, another picture
#
# An induction head has three inputs: a query ("who am I?"), keys ("who came before me"), values ("what am I?"). We exchanged A and C, so *who came
# before whom* differs. Exchange B and D instead, and the values differ. Exchange the last token for C, and the query does.

# %% [raw] predict="patching-other-pair"
# question = "Take the pair in which B and D have changed places. Head 0.1 was the most important head before. What does denoising it restore now?"
# choices = ["about the same as before, 0.9", "about a half", "about nothing"]
# answer = 2
# why = [
#   "The model solves this prompt in the same way, and needs head 0.1 for it. But patching shows only what *differs* between the two runs.",
#   "A good guess, if you thought that B's place has two parts. But the note at that place says 'A came before me' in both prompts.",
#   "Right. What head 0.1 says at B's place is the same in both runs. It is used, and invisible to this pair.",
# ]

# %%
pairs = {"A and C exchanged": (A, C), "B and D exchanged": (B, D)}
rows = {}
for name, places in pairs.items():
    rows[name] = pair(places)
asked = clean.clone()
asked[:, LAST] = clean[:, C]  # the last token asks for what follows C
rows["the question exchanged"] = (clean, asked, difference)
table = []
for first, second, metric in rows.values():
    found = [
        patching.activation_patching(model, first, second, metric, letter).values for letter in ("z", "q", "k", "v")
    ]
    table.append(torch.stack([found[0][0, 1], *[values[1].sum() for values in found[1:]]]))

# %%
plots.heatmap(
    torch.stack(table).double().round(decimals=2),
    x=["output of 0.1", "queries of layer 1", "keys of layer 1", "values of layer 1"],
    y=list(rows),
    title="Three pairs, three parts of one circuit",
    xlabel="what is denoised (layer 1: its four heads, added up)",
    ylabel="pair",
    alt="With A and C exchanged, head 0.1 and the keys of layer 1 restore nearly all; with B and D exchanged only the values do; with the question exchanged only the queries.",
    zmid=0,
    text=True,
    zlabel="share restored",
)

# %%
reveal("patching-other-pair")

# %% [markdown]
# One circuit, three pictures, and each is right. A report that says "head 0.1 does not matter" would have to add: *for telling B from D*.
#
# *What this does not show*: which pair is the best. Each asks about one part. Ask several.
#
# ### Necessary and sufficient, on paper
#
# In the model above the two directions agreed. To see them disagree, take networks so small that you can work them out by hand. All inputs are 0 in
# the corrupted run and 1 in the clean one:
#
# ```
#   AND       a ──┐                                 OR       a ──┐
#                 ├──→ out = max(0, a + b − 1)                   ├──→ out = min(1, a + b)
#             b ──┘                                          b ──┘
#
#   BACKUP    x ──→ main ─────────┐
#             │      │ silences   ├──→ out = main + backup
#             │      ▼            │
#             └──→ backup ────────┘
# ```

# %% [raw] predict="patching-or-noise"
# question = "In the OR network you noise a: the clean run, with a from the corrupted one. What is left of the answer?"
# choices = ["nothing", "a half", "all of it"]
# answer = 2
# why = [
#   "That is what an AND does: it needs both. An OR still has b.",
#   "If a and b added up, it would be. But an OR is full with one of them.",
#   "Right: b is there, and that is enough. Noising, one part at a time, finds nothing in an OR.",
# ]

# %%
rows, names = [], []
for name in ("AND", "OR", "BACKUP"):
    graph = getattr(gates, name)
    parts = ["a", "b"] if name != "BACKUP" else ["main", "backup"]
    for nodes in ([parts[0]], [parts[1]], parts):
        rows.append([causal.patched(graph, nodes, "denoising"), causal.patched(graph, nodes, "noising")])
        names.append(f"{name}: {' and '.join(nodes)}")
plots.heatmap(
    torch.tensor(rows).T,
    x=names,
    y=["denoised: restored", "noised: left"],
    title="Three networks, patched one node at a time, and two together",
    xlabel="network and what is patched",
    ylabel="experiment",
    alt="AND: a or b alone 0 and 0, together 1 and 0. OR: alone 1 and 1, together 1 and 0. BACKUP: main 1 and 1, backup 0 and 1, together 1 and 0.",
    zmid=0,
    text=True,
    zlabel="share",
)

# %%
reveal("patching-or-noise")

# %% [markdown]
# Five statements stand in this picture. Find the columns of each:
#
# - *Denoising shows sufficiency*: either input of the OR restores everything, and neither of the AND restores anything.
# - *Noising shows necessity*: without either input of the AND everything is lost, and without one of the OR nothing is.
# - *An OR hides from noising*: one part at a time, nothing seems to matter. Denoising finds it.
# - *An AND hides from denoising*: one part at a time, nothing seems to help. Noising finds it.
# - *A back-up hides the main part from noising*, although denoising shows that main is sufficient. (The back-up hides from both.)
#
# How does a back-up hide what main does? The effect of noising main has two ways to the output. Split it by the edges:

# %%
effects = {direction: causal.effects(gates.BACKUP, "main", direction) for direction in causal.DIRECTIONS}
for direction, effect in effects.items():
    print(
        f"{direction:9} main: total {effect.total:+.0f} = direct {effect.direct:+.0f} and by way of the back-up {effect.indirect:+.0f}"
    )

# %% [markdown]
# Noising main costs 1 directly, and the back-up, which hears that main is missing, gives 1 back. This is [[term:self-repair]]. In GPT-2 small, where three
# name-mover heads are knocked out, others take over ([[paper:wang2022]]); whole layers do it as well ([[paper:mcgrath2023]]). So "noising it
# costs little" is no proof that a part does little.
#
# **Change this and see.** Print `causal.all_patches(gates.BACKUP, "noising")`: every set of nodes, patched together. In which sets does the
# back-up show?
#
# *What this does not show*: that real models are built of gates. The gates say what an outcome *can* mean.

# %% [raw] quiz="patching-little-lost"
# question = "A report says: 'Noising head H leaves 0.98 of the logit difference. So H plays no part in the task.' What may it conclude?"
# choices = ["that H plays no part", "that H alone is not necessary, for these prompts and this metric", "that H is not sufficient"]
# answer = 1
# why = [
#   "H may be one input of an OR, or have a back-up, or do what is the same on both prompts. In each case noising it alone shows nothing.",
#   "Right. And to find out more, denoise it, and noise it together with others.",
#   "Noising says nothing about that. Either input of the OR leaves everything when noised, and is sufficient all the same.",
# ]

# %% [markdown]
# ### An AND in a real model
#
# There is one in `code-attn-2l`. To see it, do what many first experiments do: corrupt with *other random tokens*, all twelve of them. Then no
# answer is right for the corrupted prompt, so take log p(B) as the metric.

# %%
draw = torch.Generator().manual_seed(0)
unlike = clean.clone()
unlike[:, 1:LAST] = torch.randint(1, 1024, (16, 12), generator=draw)  # the question stays
settings = {
    "A and C exchanged, logit difference": (corrupted, difference),
    "A and C exchanged, log p(B)": (corrupted, metrics.log_prob(clean[:, B])),
    "all tokens other, log p(B)": (unlike, metrics.log_prob(clean[:, B])),
}
head_01 = [[values[0, 1] for values in both_ways(clean, bad, metric)] for bad, metric in settings.values()]
plots.heatmap(
    head_01,
    x=["denoised: restored", "noised: left"],
    y=list(settings),
    title="Head 0.1, with three choices of corruption and metric",
    xlabel="experiment",
    ylabel="corrupted prompt, metric",
    alt="With A and C exchanged head 0.1 restores about 0.9 and leaves almost nothing, by either metric. With all tokens replaced it restores almost nothing, and leaves little.",
    zmid=0,
    text=True,
    zlabel="share",
)

# %% [markdown]
# In the last row denoising says that head 0.1 is of no use, and noising that nothing works without it. Both are right. To answer B, the model
# needs the note "A came before me" *and* the token B that carries it. With every token replaced, B is missing too, and the note alone points at some other
# token. If this is an AND, both together must restore much more than either:


# %%
def from_clean(name, where):
    def put(activation, hook):
        activation = activation.clone()
        activation[where] = clean_cache[name][where]
        return activation

    return name, put


every = slice(None)
note, token = from_clean("blocks.0.attn.hook_z", (every, every, 1)), from_clean("hook_embed", (every, B))
scale = metrics.normalised(metrics.log_prob(clean[:, B]), model(clean), model(unlike))
for what, hooks in {"the note of head 0.1": [note], "the token B": [token], "both": [note, token]}.items():
    print(f"{what:20} restores {scale(model.run_with_hooks(unlike, fwd_hooks=hooks)):+.2f}")

# %% [markdown]
# They do: an AND, and it hides from denoising.
#
# So a corruption that changes more than one thing is not stricter, it is vaguer. And it drives the model off the text that it knows. [[paper:zhang2024]]
# compare such choices (other prompts against added noise, logit difference against probability), and find that they change which parts seem
# to matter. The metric matters too: log p also moves when all other tokens gain or lose.
#
# ### All patches from one gradient
#
# A sweep runs the model once for each patch. For a large model that is too much. [[term:attribution patching|Attribution patching]]
# ([[paper:nanda2023_attribution]]) replaces each run by a straight line: how far the activation moves, times the slope of the metric where
# the base run stands.
#
# $$\text{estimate} = \sum\ (\text{clean} - \text{corrupted}) \cdot \frac{\partial\,\text{metric}}{\partial\,\text{activation}}\bigg|_{\text{corrupted}}$$
#
# Two forward passes and one backward pass give the estimate for every activation of the model at once. How good is it?

# %% [raw] predict="patching-attribution-01"
# question = "Denoising head 0.1 restores about 0.9. What does attribution patching say?"
# choices = ["about 0.9", "much less", "much more"]
# answer = 1
# why = [
#   "For the outputs of layer 1 it is that good: between them and the logits there is only a LayerNorm, which is nearly straight here. Head 0.1 acts through the attention of layer 1.",
#   "Right. In the corrupted run the heads of layer 1 look at D, and give B an attention of about 0.01. Softmax is flat down there: the first small steps towards the clean note change it hardly at all.",
#   "It may happen: where the metric starts steep and saturates later, the slope promises too much. Two of the points in the picture lie above the line.",
# ]

# %%
points, groups, labels = [], [], []
for letter in ("z", "q", "k", "v"):
    truth = patching.activation_patching(model, clean, corrupted, difference, letter).values
    estimate = attribution.attribution_patching(model, clean, corrupted, difference, letter).values
    points.append(torch.stack([truth.flatten(), estimate.flatten()], dim=1))
    groups += [{"z": "outputs", "q": "queries", "k": "keys", "v": "values"}[letter]] * 8
    far = (truth - estimate).abs().flatten() > 0.15
    labels += [head if away and letter != "v" else "" for head, away in zip(HEADS, far, strict=True)]
figure = plots.scatter(
    torch.cat(points),
    labels,
    groups=groups,
    title="Attribution patching against the truth, 32 patches",
    xlabel="patched: share restored",
    ylabel="estimated by one gradient",
    alt="Most points lie near the diagonal. The output of head 0.1, and on the same spot its values, lie far below it; the keys of two heads of layer 1 lie above it, those of another below.",
)
below = ["bottom center" if head == "1.1" else "top center" for head in HEADS]  # 1.1 and 1.3 lie close together
figure.update_traces(textposition=below, selector=dict(name="keys"))
figure.add_shape(type="line", x0=-0.1, y0=-0.1, x1=1.05, y1=1.05, line=dict(dash="dash", color=plots.INK))
figure

# %%
reveal("patching-attribution-01")

# %% [markdown]
# The points that are named miss the truth by more than 0.15. For head 0.1, the most important one, the estimate has lost most of the truth. All of
# the named points act through the attention pattern of layer 1: [[paper:kramar2024]] found the same weak spot in much larger models, and mend it by computing the
# softmax anew.
#
# In a network with hard attention it gets as bad as it can. `planted` has an induction circuit written by hand: one previous-token head, 0.0,
# one induction head, 1.1. There the truth is known:

# %%
written = models.bridge(planted.weights())
planted_clean, planted_corrupted, planted_metric = pair((A, C), d_vocab=500)
for letter, (layer, head), what in (
    ("z", (0, 0), "output of 0.0"),
    ("k", (1, 1), "keys of 1.1"),
    ("z", (1, 1), "output of 1.1"),
):
    both = (planted_clean, planted_corrupted, planted_metric, letter)
    truth = patching.activation_patching(written, *both).values[layer, head]
    estimate = attribution.attribution_patching(written, *both).values[layer, head]
    print(f"{what:14} restores {truth:.2f}   estimated {estimate:+.2f}")

# %% [markdown]
# The circuit is 0.0 → keys of 1.1 → output of 1.1, and each link restores everything. The gradient sees the last link only: the attention is so
# sharp that its slope is 0. The same in one line, where you can do it in your head:

# %%
for name, node in (("SATURATING", "a"), ("BACKUP", "main")):
    graph = getattr(gates, name)
    for direction in causal.DIRECTIONS:
        said, true = (f(graph, node, direction) for f in (causal.attribution, causal.patched))
        print(f"{name:10} {direction:9} {node:4} estimated {said:.0f}, in truth {true:.0f}")
both = {name: causal.attribution(getattr(gates, name), ["a", "b"], "denoising") for name in ("AND", "OR")}
print(f"a and b together, denoised: AND estimated {both['AND']:.0f}, OR estimated {both['OR']:.0f}, in truth 1 and 1")

# %% [markdown]
# `SATURATING` is out = min(1, 3a). From below the slope is 3, and the estimate three times too large. From above the slope is 0, and the estimate
# sees nothing. And since slopes add up, the estimate never sees that two parts need each other, or replace each other. So use it to *find* candidates,
# and patch those that you report.
#
# *What this does not show*: how often it fails. Where an output is read directly it is good here, as the outputs of layer 1 show.
#
# ### A real language model
#
# SmolLM2-135M and the sentence of lesson 04: who gets the drink? The corrupted prompt repeats the other name, and its answer is the other one. (Instruct-tuned, and
# rounded to four bits before it came here.)

# %%
smollm2 = models.load_if_here("smollm2")
if smollm2 is not None:
    told = "When Mary and John went to the store, John gave a drink to"
    retold = "When Mary and John went to the store, Mary gave a drink to"
    names = metrics.logit_difference(smollm2.to_single_token(" Mary"), smollm2.to_single_token(" John"))
    heads = patching.activation_patching(smollm2, told, retold, names, "z")  # 270 heads
    shares = {"the clean run": 1.0, "the corrupted run": 0.0}
    shares |= {f"head {layer}.{head} alone, denoised": value for (layer, head), value in heads.top(5)}
    known = {"the clean run": "+5.29", "the corrupted run": "-5.05", "head 23.3 alone, denoised": "+0.84"}
    low, high = heads.scale.corrupted, heads.scale.clean
    tables.table(
        [(what, f"{x:+.2f}", f"{low + x * (high - low):+.2f}", known.get(what)) for what, x in shares.items()],
        ["run", "share restored", "Mary leads John by", "measured for this course before"],
        title="Who gets the drink? The two ends, and the five heads that move most",
        alt="The logit difference of the clean run, of the corrupted run, and with one head denoised, beside the figures that were measured for this course on the same pair.",
    ).show()

# %%
if smollm2 is not None:
    figure = heads.plot(
        title="Denoising each of the 270 heads of SmolLM2",
        alt="Thirty layers of nine heads: nearly all are white; head 23.3 stands out; 20.0, 17.4 and 29.1 follow; 24.4 and 29.0 are negative.",
    )
    figure.show()

# %% [markdown]
# Here and in the course's own measurement of this pair, one head of 270 carries more than half of the way, and turns the answer around. Over 160
# pairs of this kind (`benchmarks/smollm2_figures.json`) the means are +3.2 clean, −3.5 corrupted, and +0.9 with head 23.3 alone. In GPT-2 small the heads that do this are called
# name movers, and there are three, with back-ups behind them ([[paper:wang2022]]).
#
# Sufficient for much is not yet necessary. And would the gradient have found these heads?

# %%
if smollm2 is not None:
    layers, chosen = [17, 20, 23, 29], [(17, 4), (20, 0), (23, 3), (29, 0), (29, 1)]
    noised = patching.activation_patching(smollm2, told, retold, names, "z", direction="noising", layers=layers)
    guess = attribution.attribution_patching(smollm2, told, retold, names, "z")
    print("head    restored by denoising   estimated   lost by noising")
    for layer, head in chosen:
        lost = 1 - noised.values[layers.index(layer), head]
        print(f"{layer}.{head} {heads.values[layer, head]:17.2f} {guess.values[layer, head]:17.2f} {lost:14.2f}")

# %%
if smollm2 is not None:
    points = torch.stack([heads.values.flatten(), guess.values.flatten()], dim=1)
    apart = [f"{i // 9}.{i % 9}" if t > 0.25 or abs(t - e) > 0.1 else "" for i, (t, e) in enumerate(points.tolist())]
    figure = plots.scatter(
        points,
        apart,
        title="Attribution patching against the truth: 270 heads",
        xlabel="patched: share restored",
        ylabel="estimated by one gradient",
        alt="Nearly all heads lie on the diagonal, 23.3, 29.1 and two negative ones too. Heads 20.0 and 17.4 restore about 0.3 each, and are estimated at about 0.1.",
    )
    figure.add_shape(type="line", x0=-0.3, y0=-0.3, x1=0.7, y1=0.7, line=dict(dash="dash", color=plots.INK))
    figure.show()

# %% [markdown]
# Most heads lie on the line, and 23.3, 29.0 and 29.1 lose when noised about what they restore when denoised. Two heads do neither: 20.0 and 17.4. The
# estimate keeps a third of the one, and a quarter of the other. And noising 17.4 costs next to nothing: the rest can do without it, as in an OR.
#
# Is 20.0 like our head 0.1, an earlier head that works through the attention of later ones? Let its change travel by one way at a time: straight to the logits, or into the queries of
# the later heads. (This is *path patching*, the subject of lesson 09.)

# %%
if smollm2 is not None:
    queries = [(layer, head, "q") for layer in range(21, 30) for head in range(9)]
    for way, receivers in (("straight to the logits", "logits"), ("into the queries of later heads", queries)):
        found = paths.paths_to(smollm2, told, retold, names, receivers, senders=[(20, 0)])
        print(f"head 20.0, {way}: restores {found.values.item():.2f}")

# %% [markdown]
# It is. Straight to the logits goes nothing that helps; what helps goes through the queries of later heads. You met this failure in a network of eight
# heads before you needed it. (By the queries alone much more comes back than by all ways together: effects need not add up.)
#
# *What this does not show*: that 23.3 moves names in general. It is one sentence. Lesson 09 takes many, and follows more paths.
#
# ## Watch
#
# - [[paper:nanda2022_ioi]]: the authors of the circuit that made patching famous explain how they found it. After the lesson; it prepares lesson 09.
#
# ## Read
#
# 1. [[paper:heimersheim2024]]: the words of this lesson come from here: denoising and noising, AND and OR, and what may be concluded. Read all of it.
# 2. [[paper:nanda2023_attribution]]: the idea, and for which activations it may be trusted: small ones such as head outputs, rather than the whole
#    stream. Compare head 0.1.
# 3. [[paper:zhang2024]]: how the choice of corruption and metric changes the result. Read the introduction and the recommendations.
# 4. [[paper:kramar2024]]: two ways in which the estimate misses what matters, one of which you have seen.
#
# ## Do
#
# Open [[lab:08]]. You write eleven functions: the pair, the metric, both patches, both sweeps; then the gates, where you know the truth; then
# attribution patching, and the list of its failures.
#
# ## ML Connection
#
# Patching is how papers back the sentence "this part of the model does that". [[paper:wang2022]] found a circuit of 26 heads with it. The same experiment goes by the
# names causal tracing, interchange intervention and causal mediation. Automatic methods that search for circuits run thousands of patches, and
# attribution patching is what makes that affordable. When you read such a paper, ask four things: which pair, which metric, which direction, one
# part at a time or several?
#
# ## What this does not show
#
# - Patching compares two runs. What both of them need is invisible to it, as head 0.1 was for the second pair.
# - *Off-distribution prompts.* A run with a foreign activation is a run that no text would cause. The further apart the two prompts, the less it says about either.
# - *The choice of metric.* A share of the logit difference between two tokens says nothing about a thousand others.
# - *Back-up heads.* Noising one part at a time misses what is backed up; denoising misses what needs company.
# - Averages over 16 prompts hide the prompts: the share of a mean is not the mean of the shares.
# - "Necessary" and "sufficient" hold for these prompts, this metric and this corruption.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. Two that we have: why does each head of layer 1 lose more than its share when all tokens are corrupted? And what would
# you have to patch to see the back-up of head 23.3, if there is one?
