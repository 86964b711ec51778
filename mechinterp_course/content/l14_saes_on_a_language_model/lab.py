# %% [markdown]
# # SAEs on a language model: the lab
#
# Twelve functions that judge a sparse autoencoder. In lesson 13 the true features were known. In a language model nobody knows them, so
# other questions have to do: how few latents does it use, how much does it keep, what does the model lose by it, and does a sentence about a latent hold on text that the sentence was
# not made from?
#
# At the end you have judged SAEs that ship with the course, on files that neither they nor the model were trained on, and counted how many of their latents your rules do *not* explain.
#
# | name | what it counts |
# |---|---|
# | `window`, `pos` | stretches of a file that the model reads at once; places in one. Place 0 is BOS |
# | `row`, `token` | one activation, one token, where windows no longer matter |
# | `d_model` | numbers in an activation; `d_in` of the SAE, 240 in `code-4l` |
# | `d_sae` | latents of the SAE |
#
# The model is `code-4l`, with raw weights: they are the ones that the SAEs were trained on. Activations are read behind BOS throughout. After a restart, run the next cell and your earlier
# answers again.

# %%
import functools

import torch
import torch.nn.functional as F

from mechinterp_course.interp import feature_rules, feature_sample, models, plots, saes, tables

model, weights = models.load("code-4l"), models.weights("code-4l")
narrow, wide = saes.load("code-4l-layer2-960"), saes.load("code-4l-layer2-3840")
HOOK = narrow.hook_name  # where both read: the residual stream after a block
sample = feature_sample.code_sample(most=80)  # 80 windows of files that were held out from the start


@functools.cache
def read():
    """What the model holds on the sample, BOS left out: `x` at HOOK, (token, d_model), and `neurons` of that block's MLP."""
    return feature_sample.read(model, sample, HOOK)


@functools.cache
def latents():
    """What the narrow SAE says of every token of the sample: (token, d_sae)."""
    return narrow.encode(read().x)


# %% [raw] card="activation_buffer"
# title = "Activations to a buffer"
# purpose = "What an SAE learns from, and what it is judged by, is decided here. A leak at this place makes every later figure too good."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "Three things are done to the activations: something is left out, they are parted, and one part is mixed. In which order is nothing lost and nothing leaked?"
# idea = "Run the model once and keep the one hook. Drop position 0. Part by the window's file. Then, and only in the part to learn from, mix single rows."
# outline = """
# 1. Without gradients: model.run_with_cache(tokens, names_filter=[hook_name]); take the hook from the cache.
# 2. Leave out the first position of every window.
# 3. torch.isin(file, held_out) says of each window whether it is held out. Part the windows by it.
# 4. Flatten window and position of both parts into rows.
# 5. Put the rows of the buffer in the order of torch.randperm(..., generator=generator). Leave the others as they are.
# """
# look = "Why a whole file, and not every fifth row? Two rows of one file share names, habits and often whole lines."

# %% [markdown]
# An SAE learns from single activations: rows of `d_model` numbers. The model reads windows, so you have to get from windows to rows, and keep three rules:
#
# ```
#   windows of files      BOS  a  b  c      file 0   ┐
#                         BOS  d  e  f      file 0   ├──▶  buffer:  e a f c b d …    rows of other files, mixed
#                         BOS  g  h  i      file 1   ┐
#                         BOS  j  k  l      file 1   ┘──▶  judge:   g h i j k l       rows of held-out files, in order
# ```
#
# - BOS is left out. It is the same in every window, so nothing can be learned from it.
# - No file has rows in both parts. A file repeats itself, so a row beside a training row is no test.
# - The buffer is mixed row by row, so that a batch holds many files. The rows to judge by stay in the order of the text.


# %% answer="activation_buffer"
def activation_buffer(
    model,
    hook_name: str,
    tokens: torch.Tensor,
    file: torch.Tensor,
    held_out: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (buffer, judge): activations at a hook to learn from, in random order, and those of held-out files, in the order of the text.

    tokens: (window, pos), BOS first. file: (window,), the number of each window's file. held_out: the numbers of files to judge by.
    generator: the source of the random order. Returns: two tensors (row, d_model), without BOS's rows and without gradients.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=[hook_name])
    rows = cache[hook_name][:, 1:]
    is_held_out = torch.isin(file, held_out)
    buffer, judge = rows[~is_held_out].flatten(0, 1), rows[is_held_out].flatten(0, 1)
    return buffer[torch.randperm(len(buffer), generator=generator)], judge
    ### END SOLUTION


# %% [markdown]
# Look: why BOS has to go. The length of the activations at the first places of a window, and the rows that you get.

# %%
some, file_of = sample.windows[::4], torch.from_numpy(sample.file_of)[::4]
buffer, judge = activation_buffer(model, HOOK, some, file_of, file_of.unique()[::4], torch.Generator().manual_seed(0))
print(f"{len(some)} windows: {len(buffer):,} rows to learn from, {len(judge):,} to judge by")
_, cache = model.run_with_cache(some, names_filter=[HOOK])
plots.lines(
    {"mean length": cache[HOOK][:, :24].norm(dim=-1).mean(0)},
    title="How long is the activation, place by place?",
    xlabel="place in the window (0 is BOS)",
    ylabel="mean length of the activation",
    alt="A line over the first 24 places of a window; place 0, BOS, stands apart from all others.",
)

# %% [markdown]
# BOS stands apart, and it is the same in every window: a latent of its own for it would tell you nothing. In larger models its length is often hundreds of times that of any other place.

# %% [raw] card="judge_sae"
# title = "Three numbers over more text than fits"
# purpose = "L0, variance explained and dead latents, as every SAE paper prints them. Over many batches each of the three has a trap of its own."
# difficulty = 3
# importance = 5
# minutes = 14
# points = 3
# uses = []
# nudge = "Two batches, one of ten rows and one of a thousand. For which of the three numbers is the mean of the two batches' numbers right?"
# idea = "For none. Carry sums from batch to batch: rows, active entries, squared error, and which latents have fired. The mean activation of *all* rows comes first, in a pass of its own. Divide once, at the end."
# outline = """
# 1. The mean activation: the sum of all rows of all batches, divided by how many there are.
# 2. For each batch: f = encode(rows), x̂ = decode(f).
# 3. Add to the sums: entries of f that are not 0; squares of rows − x̂; squares of rows − mean. Join (or) which latents fired.
# 4. L0 = active entries / rows. Explained = 1 − error / total. Dead = the share of latents that never fired.
# """
# look = "Both SAEs use 32 latents for a token. What can the wide one do better with the same number?"

# %% [markdown]
# You know the three from lesson 13. Here the activations come in *batches* of unequal size, because a real buffer does not fit into memory encoded: 30,000 tokens times 16,000 latents are 2 GB. So nothing may be computed for each batch and averaged at the end:
#
# | number | over all rows of all batches |
# |---|---|
# | [[term:L0]] | how many latents are not 0 in a row, as a mean over rows |
# | [[term:variance explained]] | $1 - \sum \lVert x - \hat x \rVert^2 / \sum \lVert x - \bar x \rVert^2$, with $\bar x$ the mean of *all* rows |
# | dead | the share of latents that are 0 in every row of every batch |


# %% answer="judge_sae"
def judge_sae(encode, decode, batches: list[torch.Tensor]) -> tuple[float, float, float]:
    """Return (L0, variance explained, share of dead latents) over all rows of all batches.

    encode: from activations (row, d_in) to feature activations (row, d_sae), as `sae.encode`; decode: back, as `sae.decode`.
    batches: tensors (row, d_in), with any number of rows each.
    """
    ### BEGIN SOLUTION
    rows = sum(len(x) for x in batches)
    mean = sum(x.sum(dim=0) for x in batches) / rows
    active = error = total = 0.0
    fired = False
    for x in batches:
        f = encode(x)
        active += (f != 0).sum().item()
        error += (x - decode(f)).pow(2).sum().item()
        total += (x - mean).pow(2).sum().item()
        fired = fired | (f != 0).any(dim=0)
    return active / rows, 1 - error / total, (~fired).float().mean().item()
    ### END SOLUTION


# %% [markdown]
# Look: the two SAEs on the sample, with two controls. One says the mean activation every time. The other keeps the *k* directions of largest variance (principal components), with *k* the narrow SAE's L0: as many numbers for each token,
# but always the same ones.

# %%
x, batches = read().x, read().x.split(1024)
found = {f"SAE, {sae.d_sae} latents": judge_sae(sae.encode, sae.decode, batches) for sae in (narrow, wide)}
mean, k = x.mean(0), round(found[f"SAE, {narrow.d_sae} latents"][0])
top = torch.linalg.eigh((x - mean).T @ (x - mean)).eigenvectors[:, -k:]  # (d_model, k)
found[f"{k} principal components"] = judge_sae(lambda rows: (rows - mean) @ top, lambda f: f @ top.T + mean, batches)
found["the mean alone"] = judge_sae(lambda rows: torch.zeros(len(rows), 1), lambda f: mean.expand(len(f), -1), batches)
tables.table(
    [(name, f"{l0:.1f}", f"{round(kept, 3) + 0.0:.3f}", f"{dead:.1%}") for name, (l0, kept, dead) in found.items()],
    ["what", "L0", "variance explained", "dead on the sample"],
    title="On files that neither the model nor the SAEs learned from",
    alt="Four rows: both SAEs explain more variance than as many principal components; the mean alone explains none.",
)

# %% [markdown]
# And the third number, as more and more text is read. A rare latent is not dead, and one batch cannot tell the two apart: look at the wide SAE.

# %%
upto = [1, 2, 4, 8, 16, len(batches)]
plots.lines(
    {
        f"{sae.d_sae} latents": [judge_sae(sae.encode, sae.decode, batches[:n])[2] for n in upto]
        for sae in (narrow, wide)
    },
    x=[1024 * n for n in upto],
    title="The share of latents that have not fired yet",
    xlabel="tokens seen",
    ylabel="share of latents",
    alt="Two falling lines. After one batch nearly all of the 960 latents have fired, but only about half of the 3,840; after twenty thousand tokens hardly any is left.",
)

# %% [markdown]
# *What this does not show*: that what is kept is what the model needs. A small direction can matter much, and a large one not at all. For that, ask the model:

# %% [raw] card="loss_with"
# title = "The model's loss with something else in its stream"
# purpose = "The test that needs no opinion: put the reconstruction in place of the activation, and see whether the model still predicts."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "A hook may return a new activation. What should it return at position 0, and which predictions can the change reach?"
# idea = "A hook joins the untouched first position with replace(of the others). run_with_hooks puts it on for one run. Then cross-entropy of each next token, the prediction made at BOS left out."
# outline = """
# 1. Write a hook (value, hook): torch.cat, along the positions, of value[:, :1] and replace(value[:, 1:]).
# 2. Without gradients: logits = model.run_with_hooks(tokens, fwd_hooks=[(hook_name, your hook)]).
# 3. Logits at positions 1 to the last but one predict the tokens at positions 2 to the last.
# 4. F.cross_entropy of the two, flattened; its mean over all of them.
# """
# look = "`lambda x: x` must give the model's own loss, to the last digit. Did you try it?"

# %% [markdown]
# ```
#   position      0      1       2       3              position 0 (BOS) keeps its activation
#   activation   BOS    x₁      x₂      x₃
#                 │      ▼       ▼       ▼   replace
#                BOS    x̂₁      x̂₂      x̂₃    ──▶ the rest of the model ──▶ logits
#   predicts     (1)     2       3       –             judged: 2 and 3, whose prediction was made behind a replaced activation
# ```
#
# `replace` gets the activations behind BOS, (window, pos − 1, d_model), and returns new ones. What the model predicts *at* BOS cannot change, so it is left out of the loss. When you are done, the model must be as it was.


# %% answer="loss_with"
def loss_with(model, tokens: torch.Tensor, hook_name: str, replace) -> float:
    """Return the mean next-token loss, in nats, with the activations at a hook replaced behind BOS.

    tokens: (window, pos), BOS first. replace: a function from activations (window, pos - 1, d_model) to new ones of that shape.
    The loss is that of the tokens from position 2 on. No hook is left on the model.
    """
    ### BEGIN SOLUTION

    def splice(value, hook):
        return torch.cat([value[:, :1], replace(value[:, 1:])], dim=1)

    with torch.no_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=[(hook_name, splice)])
    predicted, wanted = logits[:, 1:-1], tokens[:, 2:]
    return F.cross_entropy(predicted.flatten(0, 1), wanted.flatten()).item()
    ### END SOLUTION


# %% [markdown]
# Look: the loss of `code-4l` on 10 held-out windows, with five things in the stream.

# %%
windows = sample.windows[::8]  # (window, 256)
mean = read().x.mean(0)
losses = {
    "untouched": loss_with(model, windows, HOOK, lambda x: x),
    f"SAE, {wide.d_sae}": loss_with(model, windows, HOOK, wide),
    f"SAE, {narrow.d_sae}": loss_with(model, windows, HOOK, narrow),
    "mean": loss_with(model, windows, HOOK, mean.expand_as),
    "zero": loss_with(model, windows, HOOK, torch.zeros_like),
}
plots.bars(
    list(losses.values()),
    list(losses),
    title="The model's loss with something else in its stream",
    ylabel="loss, nats a token",
    alt="Five bars: the SAEs cost little more than the untouched stream; the mean and zero cost several nats more.",
)

# %% [raw] card="loss_recovered"
# title = "Loss recovered, and from what"
# purpose = "A share needs two ends. The upper one is clear. The lower one is a choice, and with another choice the same SAE has another figure."
# difficulty = 3
# importance = 5
# minutes = 10
# points = 2
# uses = ["loss_with"]
# nudge = "Which reconstruction should get 1, and which should get 0? Put each into your formula."
# idea = "Three losses: clean, with the SAE, with the ablation. The share is what the SAE saves of what the ablation costs."
# outline = """
# 1. clean: loss_with a replacement that changes nothing. spliced: loss_with the SAE.
# 2. For "mean": collect the activations at the hook for these tokens, drop BOS, and take the mean over windows and positions: (d_model,).
# 3. ablated: loss_with that mean at every place, or with zeros.
# 4. (ablated − spliced) / (ablated − clean).
# """
# look = "The same SAE has two figures here. Which one would you print?"

# %% [markdown]
# $$\text{loss recovered} = \frac{L_\text{ablated} - L_\text{SAE}}{L_\text{ablated} - L_\text{clean}}$$
#
# 1: the model predicts as well as ever. 0: as badly as with the ablation. It can be below 0.
#
# *Mean ablation* puts the mean activation of these very tokens (BOS left out, one vector for all places) everywhere; *zero ablation* puts zeros. `sae` is any function from activations to reconstructions.


# %% answer="loss_recovered"
def loss_recovered(model, tokens: torch.Tensor, hook_name: str, sae, ablation: str = "mean") -> float:
    """Return the share of the loss that an ablation costs which the SAE's reconstruction saves.

    tokens: (window, pos), BOS first. sae: from activations (..., d_model) to reconstructions. ablation: "mean" or "zero".
    """
    ### BEGIN SOLUTION
    stands_for = torch.zeros(1)
    if ablation == "mean":
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=[hook_name])
        stands_for = cache[hook_name][:, 1:].mean(dim=(0, 1))
    clean = loss_with(model, tokens, hook_name, lambda x: x)
    spliced = loss_with(model, tokens, hook_name, sae)
    ablated = loss_with(model, tokens, hook_name, lambda x: stands_for.expand_as(x))
    return (ablated - spliced) / (ablated - clean)
    ### END SOLUTION


# %% [markdown]
# Look: both SAEs against both baselines.

# %%
rows = []
for name, sae in ((f"narrow, {narrow.d_sae} latents", narrow), (f"wide, {wide.d_sae} latents", wide)):
    rows.append((name, *(f"{loss_recovered(model, windows, HOOK, sae, kind):.1%}" for kind in ("mean", "zero"))))
tables.table(
    rows,
    ["SAE", "against mean ablation", "against zero ablation"],
    title="Loss recovered on 10 held-out windows",
    alt="Two rows, one for each SAE, with the loss recovered against mean and against zero ablation.",
)

# %% [markdown]
# *What this does not show*: what the missing part of a per cent is. It may be a thousandth of every token, or all of a rare skill.

# %% [raw] card="top_contexts"
# title = "Where does it fire most?"
# purpose = "A feature page begins with this: the places where a latent is most active, with some text around them."
# difficulty = 3
# importance = 4
# minutes = 12
# points = 2
# uses = []
# nudge = "The files stand one behind the other in one long row. What is to the left of a file's first token?"
# idea = "Go through the tokens from the highest activation down. Skip those that are not active and, if asked, those of a file that you have. A context is cut off where its file begins and ends."
# outline = """
# 1. Order the tokens by activation, highest first; stop at the first that is 0.
# 2. If one_each, skip a token whose file is taken already.
# 3. first and last: the first and the last token with the same file number.
# 4. start = the larger of (at − reach) and first; stop = the smaller of (at + reach) and last, plus 1.
# 5. Append (start, at, stop), until there are `count`.
# """
# look = "Six contexts from six files agree on more than six from one file do: that file may use one word a hundred times."

# %% [markdown]
# Tokens stand in one long row, file after file. A *context* of the token `at` goes from `reach` tokens before it to `reach` tokens behind it, both included, but never beyond its file:
#
# ```
#   file        0  0  0  0  0  1  1  1  1  1
#   activation  .  .  .  9  .  .  7  .  .  .
#                  └─────┼──┘                    at 3, reach 2: (1, 3, 5), because file 0 ends at 4
#                           └──┼─────┘           at 6, reach 2: (5, 6, 9)
# ```
#
# `start` is the first token of the context, `stop` the one *behind* its last, as in a Python slice.


# %% answer="top_contexts"
def top_contexts(
    activations: torch.Tensor, file: torch.Tensor, count: int, reach: int, one_each: bool = False
) -> list[tuple[int, int, int]]:
    """Return the `count` places of highest activation, highest first, each as (start, at, stop).

    activations: (token,), of one latent; a token where it is 0 is never shown, even if fewer than `count` are left. file: (token,), the number
    of each token's file; the tokens of a file stand together. reach: tokens shown on either side, within the file.
    one_each: take at most one place of each file.
    """
    ### BEGIN SOLUTION
    found, taken = [], set()
    for at in activations.argsort(descending=True).tolist():
        number = int(file[at])
        if len(found) == count or activations[at] <= 0:
            break
        if one_each and number in taken:
            continue
        taken.add(number)
        own = (file == number).nonzero().flatten()
        start, stop = max(at - reach, int(own[0])), min(at + reach, int(own[-1])) + 1
        found.append((start, at, stop))
    return found
    ### END SOLUTION


# %% [markdown]
# Look: one latent. It was picked for you by a label: of all latents, it agrees best with "part of a comment".


# %%
@functools.cache
def agreeing(label):
    """The latent of the narrow SAE whose being active agrees best with a label, by F1 on the whole sample."""
    active, truth = (latents() > 0).float(), torch.from_numpy(sample.labels[label]).float()
    return int((2 * (truth @ active) / (active.sum(0) + truth.sum())).argmax())


latent = agreeing("in_comment")
file_of = torch.from_numpy(sample.file_of).repeat_interleave(sample.length)
rows = []
for start, at, stop in top_contexts(latents()[:, latent], file_of, count=8, reach=12, one_each=True):
    said = ["".join(map(sample.text_of, part)) for part in (range(start, at), [at], range(at + 1, stop))]
    rows.append(
        (
            f"{latents()[at, latent]:.1f}",
            f"{said[0]} ⟦{said[1]}⟧ {said[2]}".replace("\n", "↵"),
            sample.files[file_of[at]],
        )
    )
tables.table(
    rows,
    ["activation", "context, with the token in ⟦ ⟧", "file"],
    title=f"Latent {latent} of the narrow SAE: its strongest place in each of eight files",
    alt="Up to eight short pieces of Python source, each with the token marked at which the latent is most active; they are comments.",
)

# %% [markdown]
# *What this does not show*: what the latent does most of the time. These are its strongest places. Most of its activations are weaker, and may stand in quite another text. `precision_by_strength`, below, asks about all of them.

# %% [raw] card="feature_logits"
# title = "What does it write?"
# purpose = "Contexts show when a latent fires. Its row of the decoder shows what it then says, straight to the output."
# difficulty = 3
# importance = 4
# minutes = 10
# points = 2
# uses = []
# nudge = "An SAE has two directions for each latent: one that it looks for and one that it adds to the stream. Which one does the model get to see?"
# idea = "Take the row of W_dec. Do to it what the final LayerNorm does to a small change of the stream, with its division held fixed. Then W_U, and take off the mean over tokens."
# outline = """
# 1. direction: the latent's row of sae["W_dec"].
# 2. LayerNorm takes the mean over d_model away: so does the direction lose its own.
# 3. Divide by scale, multiply by ln_final.w. Its bias is the same with and without the latent, so it cancels.
# 4. Times unembed.W_U: one number for each token of the vocabulary.
# 5. Subtract their mean: the softmax does not see what all logits share.
# """
# look = "The latent in the picture fires inside comments. Do the tokens it raises belong there?"

# %% [markdown]
# A latent adds its decoder direction to the stream. How does *one unit* of it change the logits, past all later blocks? The way is the final LayerNorm and `W_U`. The LayerNorm divides by a number that depends on the whole stream; we hold that number
# fixed at `scale` (it is *frozen*), so that the effect is a straight line.
#
# ```
#   W_dec[feature] ── its mean away, ÷ scale, × ln_final.w ──▶ @ W_U ──▶ minus the mean over the vocabulary
# ```
#
# The weights are raw: in `weights`, `ln_final.w` still stands on its own. With processed weights it is folded into `W_U`, and this factor would have to go.


# %% answer="feature_logits"
def feature_logits(sae: dict, feature: int, weights: dict, scale: float) -> torch.Tensor:
    """Return how much one unit of a latent raises each token's logit directly, as a difference from the mean over the vocabulary.

    sae: the SAE's weights by name: "W_enc" (d_model, d_sae), "b_enc" (d_sae,), "W_dec" (d_sae, d_model), "b_dec" (d_model,).
    weights: "ln_final.w" (d_model,) and "unembed.W_U" (d_model, d_vocab), raw. scale: what the final LayerNorm divides by, held fixed. Returns: (d_vocab,), with mean 0.
    """
    ### BEGIN SOLUTION
    direction = sae["W_dec"][feature]
    direction = (direction - direction.mean()) / scale * weights["ln_final.w"]
    logits = direction @ weights["unembed.W_U"]
    return logits - logits.mean()
    ### END SOLUTION


# %% [markdown]
# Look: the tokens that the comment latent raises and lowers most, at the strength that it has when it is active.

# %%
_, cache = model.run_with_cache(sample.windows[::8], names_filter=["ln_final.hook_scale"])
scale = cache["ln_final.hook_scale"][:, 1:].mean().item()
values = latents()[:, latent]
effect = feature_logits(dict(narrow.state_dict()), latent, weights, scale) * values[values > 0].mean()
order = effect.argsort()
shown = torch.cat([order[:10], order[-10:]])
words = [f"{plots.visible(models.tokenizer('code-4l').decode([int(i)]))} ({i})" for i in shown]
plots.bars(
    effect[shown],
    words,
    title=f"What latent {latent} writes, at its mean strength",
    ylabel="change of the logit",
    xlabel="token (its number)",
    alt="Twenty bars: the ten tokens that the latent lowers most, below 0, and the ten that it raises most, above 0.",
)

# %% [markdown]
# *What this does not show*: what the latent does by way of later blocks, which read the stream, too. In an early layer that is most of its work. So a list of tokens that makes no sense is no proof of anything.

# %% [raw] card="precision_recall"
# title = "Precision and recall"
# purpose = "'It fires on comments' is two claims: that it fires there, and that it fires nowhere else. Each has its own number."
# difficulty = 1
# importance = 4
# minutes = 6
# points = 1
# uses = []
# nudge = "Two shares have the same numerator: the tokens where both are true. What is each divided by?"
# idea = "Precision: of the tokens where the latent said yes, the share where the rule holds. Recall: of the tokens where the rule holds, the share where the latent said yes. F1 is their harmonic mean."
# outline = """
# 1. both: how many tokens have said and truth.
# 2. precision = both / number of said; recall = both / number of truth. 0 where the divisor is 0.
# 3. f1 = 2 · precision · recall / (precision + recall), or 0 if both are 0.
# """
# look = "Being active at all is a weak yes. The next exercise asks what a stronger one is worth."

# %% [markdown]
# `said` is what a latent says of each token, yes or no; `truth` is what a rule says. Both are exact: the labels come from Python's own `tokenize` and `ast`.
#
# | of a token | the rule holds | it does not |
# |---|---|---|
# | **the latent says yes** | right | false alarm: lowers *precision* |
# | **it says no** | missed: lowers *recall* | right |


# %% answer="precision_recall"
def precision_recall(said: torch.Tensor, truth: torch.Tensor) -> tuple[float, float, float]:
    """Return (precision, recall, f1) of a yes or no for each token; a share of nothing is 0.

    said, truth: (token,), True or False.
    """
    ### BEGIN SOLUTION
    both, yes, true = (said & truth).sum().item(), said.sum().item(), truth.sum().item()
    precision = both / yes if yes else 0.0
    recall = both / true if true else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if both else 0.0
    ### END SOLUTION


# %% [markdown]
# Look: five rules, and for each the latent that agrees with it best when "active" counts as yes.

# %%
rows = []
for label in ("in_comment", "in_docstring", "in_string", "keyword", "seen_before"):
    truth = torch.from_numpy(sample.labels[label]).bool()
    found = precision_recall(latents()[:, agreeing(label)] > 0, truth)
    rows.append((label, f"{truth.float().mean():.1%}", agreeing(label), *(f"{value:.2f}" for value in found)))
tables.table(
    rows,
    ["rule", "tokens where it holds", "latent", "precision", "recall", "F1"],
    title="The best single latent for five rules, where active means yes",
    alt="Five rows, one for each rule, with the best latent's precision, recall and F1.",
)

# %% [markdown]
# These figures flatter the latents: each was picked as the best of all on the very tokens that it is then scored on. `score_label`, below, does not do that.

# %% [raw] card="precision_by_strength"
# title = "Strong and weak activations"
# purpose = "A page of top contexts shows the strongest few in a thousand. This asks what the others are worth."
# difficulty = 3
# importance = 4
# minutes = 8
# points = 2
# uses = []
# nudge = "If you cut the range of activations into equal steps, how many tokens are in the strongest one? And how many tokens are not active at all?"
# idea = "Keep the active tokens alone, put them in order from weak to strong, cut the row into parts of equal length, and take the share of each where the rule holds."
# outline = """
# 1. Which tokens are active: activation > 0. Keep their activations and their truths.
# 2. Sort the truths by activation, weakest first (argsort).
# 3. tensor_split into `bands` parts.
# 4. The mean of each part: (bands,).
# """
# look = "A latent whose weak activations are as precise as its strong ones is rare. Most lines climb."

# %% [markdown]
# Take the tokens where a latent is active, from the weakest activation to the strongest, and cut them into bands with (nearly) the same number of tokens:
#
# ```
#   activation   0.1 0.1 0.2 0.2 | 0.4 0.5 0.5 0.7 | 1.1 1.9 2.4 3.8        silent tokens are in no band
#   rule holds    .   ✓   .   .  |  ✓   .   ✓   ✓  |  ✓   ✓   ✓   ✓
#   precision          1/4       |       3/4       |        1
# ```


# %% answer="precision_by_strength"
def precision_by_strength(activations: torch.Tensor, truth: torch.Tensor, bands: int) -> torch.Tensor:
    """Return for each band of a latent's active tokens, weakest first, the share where the rule holds.

    activations: (token,), of one latent; active where above 0, on `bands` tokens at least. truth: (token,), True where the rule holds.
    Bands: the active tokens in the order of their activations, cut by torch.tensor_split. Returns: (bands,).
    """
    ### BEGIN SOLUTION
    active = activations > 0
    order = activations[active].argsort()
    parts = truth[active][order].float().tensor_split(bands)
    return torch.stack([part.mean() for part in parts])
    ### END SOLUTION


# %% [markdown]
# Look: the best latents of four rules, in ten bands each.

# %%
plots.lines(
    {
        f"{label}, latent {agreeing(label)}": precision_by_strength(
            latents()[:, agreeing(label)], torch.from_numpy(sample.labels[label]).bool(), 10
        )
        for label in ("in_comment", "in_docstring", "in_string", "keyword")
    },
    x=list(range(1, 11)),
    title="What are weak activations worth?",
    xlabel="tenth of the active tokens (1: weakest, 10: strongest)",
    ylabel="share where the rule holds",
    alt="Four lines over ten bands of strength; most climb from the weakest tenth to the strongest.",
)

# %% [markdown]
# *What this does not show*: whether the weak ones matter to the model. They are many, and each is small.

# %% [raw] card="score_label"
# title = "A label, scored on other files"
# purpose = "Looking at contexts and writing a name is how features got their names. Whether the name holds is a measurement, on text that nobody looked at."
# difficulty = 4
# importance = 5
# minutes = 12
# points = 3
# uses = ["precision_recall"]
# nudge = "Something is chosen, and something is scored. Which tokens may each of the two see?"
# idea = "For each threshold, F1 on the chosen tokens alone. Keep the best threshold. Then score it once, on all other tokens."
# outline = """
# 1. For each threshold: said = activation > threshold. F1 by precision_recall on the tokens where chosen is True.
# 2. The threshold with the highest F1; of equal ones the first.
# 3. precision_recall of that threshold on the tokens where chosen is False.
# """
# look = "Neurons and random directions get the same treatment: best of as many, threshold chosen the same way. That is what makes the rows comparable."

# %% [markdown]
# A unit says yes where its activation is *above* a threshold. Which one? The one with the highest F1 on some files (`chosen`), and the score is then taken on the others. A threshold chosen on the files that are scored is a peek at the answers.


# %% answer="score_label"
def score_label(
    activations: torch.Tensor, truth: torch.Tensor, chosen: torch.Tensor, thresholds: torch.Tensor
) -> tuple[float, float, float]:
    """Return (precision, recall, f1) on the tokens that are not `chosen`, with the threshold that is best on those that are.

    activations: (token,), of one unit. truth: (token,), True where the rule holds. chosen: (token,), True for tokens of files to choose on.
    thresholds: (n,), the candidates; a unit says yes where activation > threshold. Best: highest F1 on the chosen tokens; of equal ones the first.
    """
    ### BEGIN SOLUTION
    f1 = [precision_recall(activations[chosen] > t, truth[chosen])[2] for t in thresholds]
    best = thresholds[f1.index(max(f1))]
    return precision_recall(activations[~chosen] > best, truth[~chosen])
    ### END SOLUTION


# %% [markdown]
# Look: a label is made on the files with even numbers and scored on those with odd ones. The contest: all latents, all neurons of the same block's MLP, and as many random directions as there are latents. Each side sends the unit
# that does best on the even files.

# %%
chosen = torch.from_numpy(sample.halves[0])
chance = torch.randn(narrow.d_in, narrow.d_sae, generator=torch.Generator().manual_seed(0))
sides = {"latents": latents(), "neurons": read().neurons, "random directions": read().x @ F.normalize(chance, dim=0)}


def champion(units, truth):
    """The unit that agrees best with a rule on every third of the chosen tokens, each cut where as many are above as the rule has."""
    some, true = units[chosen][::3], truth[chosen][::3]
    cut = some.T.contiguous().topk(int(true.sum()) + 1, dim=1).values[:, -1].clamp(min=0)
    said = some > cut
    both = said[true].float().sum(0)
    return units[:, int((2 * both / (said.float().sum(0) + true.sum())).argmax())]


# %%
scores = {}
for label in ("in_comment", "in_docstring", "keyword", "seen_before"):
    truth = torch.from_numpy(sample.labels[label]).bool()
    for side, units in sides.items():
        unit = champion(units, truth)
        levels = torch.cat([torch.zeros(1), unit[chosen].quantile(torch.linspace(0.5, 0.999, 60))]).unique()
        scores[label, side] = score_label(unit, truth, chosen, levels)
labels = list(dict.fromkeys(label for label, _ in scores))
plots.heatmap(
    torch.tensor([[scores[label, side][2] for side in sides] for label in labels]),
    x=list(sides),
    y=labels,
    title="F1 on files that nothing was chosen on",
    xlabel="the best unit among",
    ylabel="rule",
    alt="Four rules by three kinds of units: the F1 of the best latent, the best neuron and the best random direction.",
    text=True,
    zlabel="F1",
)

# %% [markdown]
# Read the columns side by side before you praise a latent: how good would the best of as many units have been that know nothing?
#
# *What this does not show*: that the latent *means* "comment". Some other rule may fit it better, and one rule may be shared by ten latents.

# %% [raw] card="parent_features"
# title = "Splitting: one latent becomes several"
# purpose = "Train a wider SAE on the same activations, and a latent comes apart into finer ones. Then which of them was *the* feature?"
# difficulty = 3
# importance = 4
# minutes = 9
# points = 2
# uses = []
# nudge = "You compare directions. What must not count is how long the rows are. And which of the two SAEs does each search for its nearest in the other?"
# idea = "The cosine of every wide direction with every narrow one. For each wide direction, the narrow one with the largest cosine, or −1 where that is below the limit."
# outline = """
# 1. Divide each row of both by its length.
# 2. A table of cosines, (wide, narrow).
# 3. Its maximum along narrow: a value and an index for each wide row.
# 4. Where the value is below `least`, put −1 in place of the index.
# """
# look = "Most wide latents have no parent: a wider dictionary splits some latents, and mostly adds new ones."

# %% [markdown]
# [[term:feature splitting]]: in a wider SAE, a latent of a narrower one tends to have several relatives, each for a part of its cases. Relatives are found by their decoder directions. The *parent* of a wide latent is the narrow latent whose direction has
# the largest cosine with its own; if no cosine reaches `least`, it has no parent, −1. (A direction that points the other way is no relative: the sign counts.)


# %% answer="parent_features"
def parent_features(narrow: torch.Tensor, wide: torch.Tensor, least: float) -> torch.Tensor:
    """Return for each wide direction the number of its parent among the narrow ones, or -1.

    narrow: (n, d_model), wide: (m, d_model), decoder directions of any length. least: the smallest cosine of a parent.
    Returns: (m,), whole numbers.
    """
    ### BEGIN SOLUTION
    cosine = F.normalize(wide, dim=1) @ F.normalize(narrow, dim=1).T
    best = cosine.max(dim=1)
    return torch.where(best.values >= least, best.indices, -1)
    ### END SOLUTION


# %% [markdown]
# Look: how many children the narrow latents have, and as a control the same for random directions in the place of the wide SAE's.

# %%
parents = parent_features(narrow.W_dec, wide.W_dec, least=0.5)
chance = parent_features(narrow.W_dec, torch.randn(wide.W_dec.shape, generator=torch.Generator().manual_seed(0)), 0.5)
print(
    f"{(parents >= 0).float().mean():.0%} of the wide latents have a parent; of random directions {(chance >= 0).float().mean():.0%}"
)
children = torch.bincount(parents[parents >= 0], minlength=narrow.d_sae)
plots.bars(
    [int((children == n).sum()) for n in range(6)] + [int((children > 5).sum())],
    [*map(str, range(6)), "6 or more"],
    title="How many relatives has a narrow latent in the wide SAE?",
    xlabel="children (cosine 0.5 or more)",
    ylabel="narrow latents",
    alt="Seven bars: how many narrow latents have none, one, two and more children in the wide SAE.",
)

# %% [markdown]
# Most narrow latents come back once, and nearly a third of them as two or more. But most wide latents have no parent at all: they are directions that the narrow SAE had no room for.
#
# *What this does not show*: that the narrow latent was wrong, or that the wide ones are right. A third width would look different again.

# %% [raw] card="absorbed_share"
# title = "Absorption: where a clear latent has holes"
# purpose = "A latent that means 'comment' with a precision of 0.98 can still be silent on a comment, because another latent took that case over. Precision never shows it."
# difficulty = 4
# importance = 4
# minutes = 11
# points = 2
# uses = []
# nudge = "Where the rule holds and the latent is silent, something else is active, always. Which of it counts as having taken over?"
# idea = "The holes are tokens where the rule holds and the latent is 0. Specialists are the other latents that fire (nearly) only where the rule holds. The share of holes with a specialist active is the answer."
# outline = """
# 1. active: f > 0. holes: truth and not active in this latent.
# 2. Of each latent, the precision: of its active tokens, the share where truth holds; 0 if it is never active.
# 3. specialists: precision of at least `precise`, the latent itself not among them.
# 4. For each hole: is any specialist active? The mean over the holes; 0 if there are none.
# """
# look = "Holes filled by specialists are absorbed. What of the others: does nobody say it, or do many latents say it together?"

# %% [markdown]
# Say a latent fires on comments, and only there. On some comments it is silent. One reason is [[term:feature absorption]]: another latent, for a special case such as "comment that is a line of hyphens", writes the general direction, too, and the sparsity penalty is
# glad to use one latent in the place of two ([[paper:chanin2024]]).
#
# ```
#                          general   special   the rest       truth
#   # a note                 2.1        0         …             True
#   # ------------            0        3.4        …             True      ◀── a hole, and it is filled
#   # 1.2                     0         0         …             True      ◀── a hole, and nobody fills it
#   x = 1                     0         0         …             False
# ```
#
# A latent counts as *specialist* if its precision for the rule is at least `precise`: it fires hardly anywhere else. A latent that fires everywhere fills every hole and explains none.


# %% answer="absorbed_share"
def absorbed_share(f: torch.Tensor, feature: int, truth: torch.Tensor, precise: float = 0.9) -> float:
    """Return the share of a latent's holes in which a specialist for the same rule is active; 0 if there are no holes.

    f: (token, d_sae), feature activations. truth: (token,), True where the rule holds. A hole: truth holds and the latent is 0.
    precise: the least share of a specialist's active tokens where truth holds.
    """
    ### BEGIN SOLUTION
    active = f > 0
    holes = truth & ~active[:, feature]
    precision = active[truth].sum(0) / active.sum(0).clamp(min=1)
    specialists = precision >= precise
    specialists[feature] = False
    if not holes.any():
        return 0.0
    return active[holes][:, specialists].any(dim=1).float().mean().item()
    ### END SOLUTION


# %% [markdown]
# Look: for four rules, the latent that fits best, where it is silent, and how many of those places a specialist fills. Weak activations are worth little, as you have seen, so here a latent counts as active above a quarter of
# its largest activation.

# %%
strong = latents() * (latents() > latents().max(dim=0).values / 4)
rules = feature_rules.rules(sample)
rows = []
for name in ("opening_bracket", "digit", "after_newline", "in_comment"):
    truth = torch.from_numpy(rules.truth(name)).bool()
    best = int((2 * (strong[truth] > 0).sum(0) / ((strong > 0).sum(0) + truth.sum())).argmax())
    precision, recall, _ = precision_recall(strong[:, best] > 0, truth)
    share = absorbed_share(strong, best, truth)
    rows.append((rules.says[rules.number(name)], best, f"{precision:.2f}", f"{1 - recall:.0%}", f"{share:.0%}"))
tables.table(
    rows,
    ["rule", "its best latent", "precision", "silent where the rule holds", "of these filled by a specialist"],
    title="Holes, and who fills them",
    alt="Four rows. The latent for opening brackets is precise, silent on about a quarter of them, and all of these holes are filled by specialists; that for comments is silent on half, and hardly any hole is filled.",
)

# %% [markdown]
# The latent for opening brackets looks perfect by its precision, and misses a quarter of them. Specialists have taken these over, each for a bracket of its own kind. The holes of the comment latent are of another sort: no latent that speaks of comments alone is there.
#
# *What this does not show*: that the specialist writes the general direction. It was active in a hole. The paper also asks whether its direction points the general way, and whether the model uses it.

# %% [raw] card="count_explained"
# title = "An honest count"
# purpose = "Ten beautiful features are easy to find among a thousand. The count of those that nothing explains belongs beside them."
# difficulty = 3
# importance = 5
# minutes = 8
# points = 2
# uses = []
# nudge = "Each latent gets one rule. Which half decides which rule, and which half decides whether it holds?"
# idea = "For each latent that is alive, the rule with the best F1 on the chosen files; look up that same rule's F1 on the held-out files. Compare with the limit, and count three groups."
# outline = """
# 1. best: for each latent, the index of the largest f1_chosen along the rules.
# 2. Take f1_held at that index: one number for each latent.
# 3. explained: alive and f1_held at best >= enough. unexplained: alive and not. dead: not alive.
# 4. Three whole numbers, whose sum is the number of latents.
# """
# look = "Unexplained does not mean meaningless. It means that nobody here has found a rule yet."

# %% [markdown]
# Every latent gets the rule that fits it best on the chosen files. It counts as *explained* if **that** rule's F1 on the held-out files is at least `enough`. With hundreds of rules, the best one on the held-out files would fit something by luck.
#
# Dead latents are counted on their own. They are neither: nothing is there to explain.


# %% answer="count_explained"
def count_explained(
    f1_chosen: torch.Tensor, f1_held: torch.Tensor, alive: torch.Tensor, enough: float = 0.5
) -> tuple[int, int, int]:
    """Return (explained, unexplained, dead): how many latents of each kind; together they are all.

    f1_chosen, f1_held: (latent, rule), the F1 of each rule for each latent on the files to choose on, and on the others.
    alive: (latent,), True where the latent fires at all. enough: the least F1 on the held-out files that counts as explained.
    """
    ### BEGIN SOLUTION
    best = f1_chosen.argmax(dim=1, keepdim=True)
    holds = f1_held.gather(1, best).squeeze(1) >= enough
    return int((alive & holds).sum()), int((alive & ~holds).sum()), int((~alive).sum())
    ### END SOLUTION


# %% [markdown]
# Look: the latents of the narrow SAE against a few hundred rules, made of the labels and of the tokens themselves. A matrix product gives F1 for all pairs at once. (The course's `feature_scores` does the same with a threshold for
# each pair; here, active means yes.)

# %%
truths = torch.stack([torch.from_numpy(rules.truth(i)).float() for i in range(len(rules))], dim=1)  # (token, rule)
active = (latents() > 0).float()


def f1_table(tokens):
    """F1 of every latent with every rule on some of the tokens: (latent, rule)."""
    both = active[tokens].T @ truths[tokens]
    return 2 * both / (active[tokens].sum(0)[:, None] + truths[tokens].sum(0)).clamp(min=1)


f1_chosen, f1_held, alive = f1_table(chosen), f1_table(~chosen), active.any(0)
limits = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
shares = torch.tensor([count_explained(f1_chosen, f1_held, alive, limit) for limit in limits]) / narrow.d_sae
plots.lines(
    dict(zip(("explained", "unexplained", "dead on this sample"), shares.T, strict=True)),
    x=limits,
    title=f"{narrow.d_sae} latents, {len(rules)} rules: how many does a rule explain?",
    xlabel="the F1 that counts as explained",
    ylabel="share of latents",
    alt="Three lines over the limit from 0.3 to 0.9: explained falls, unexplained rises, dead stays where it is.",
)

# %% [markdown]
# The limit is a choice, so the whole curve is shown. Say the number at the limit that you chose *before* you looked.
#
# *What this does not show*: that the others have no meaning. Our rules know nothing of what a name stands for or what a function does. And "explained" at an F1 of 0.5 is half of a meaning.
