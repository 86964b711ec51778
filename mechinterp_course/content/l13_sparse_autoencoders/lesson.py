# %% [markdown]
# # Sparse autoencoders
#
# [[lesson:12]] ended with a warning: a network in [[term:superposition]] keeps more features than it has dimensions, as directions that nobody listed. This lesson takes the way back. From activations alone, can you
# find the directions that were put in?
#
# A *sparse autoencoder* tries. Here you watch it do so on data that we made, so that you can hold every answer against the truth. That is a luxury which no language model offers, and it is the only way to learn what the method finds, what it misses, and what it makes up.

# %%
import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import (
    plots,
    sae_metrics,
    sae_training,
    saes,
    superposition,
    superposition_views,
    synthetic,
)

# %% [markdown]
# ## Core Learning
#
# ### The picture: five rays in a cloud of points
#
# Take a model from lesson 12: five features in two dimensions, a pentagon. Feed it inputs in which each feature is present five times in a hundred, and look at nothing but its two hidden numbers.

# %%
toy = superposition.train(5, 2, 0.9, importance=torch.ones(5), instances=4, steps=600, progress=False)
true = toy.W[0].T  # (feature, 2): the directions that we pretend not to know
inputs = superposition.sample(1, 20_000, 5, 0.95, torch.Generator().manual_seed(0))[0]
hidden = inputs @ true  # (input, 2): all that we are given
plots.scatter(
    hidden[:1500],
    title="Hidden states of a toy model",
    xlabel="dimension 0",
    ylabel="dimension 1",
    alt="A cloud of points in the plane: most lie on five rays from the origin, evenly spread, and some between two rays.",
).update_traces(marker_size=4).show()

# %% [markdown]
# You see rays. Where only one feature is present, the point lies on that feature's direction. Where two are, it lies between. Because features are *sparse*, the first is the rule. That is the handle.
#
# The classical tool, *principal component analysis* (PCA), looks for the directions of largest variance. They are at right angles, so in a plane there are two of them, and two cannot be five.

# %% [raw] predict="sae-five-of-two"
# question = "An autoencoder with 8 latents is trained on these points, without being told of features. How many of the five true directions will it find, to a cosine above 0.95?"
# choices = ["at most two: there are two dimensions", "all five, or nearly all", "none: it finds some other set of directions that reconstructs as well"]
# answer = 1
# why = [
#   "That is true of every method whose directions must be at right angles. These need not be.",
#   "Right. Writing each point with few directions is cheapest along the rays themselves.",
#   "Without a price on activity that is just what happens: two directions and their opposites reconstruct every point. The price is what prefers the rays.",
# ]

# %% [markdown]
# The autoencoder encodes a point into eight numbers, most of them 0, and decodes those into a point again:
#
# $$f = \mathrm{ReLU}\big((x - b_{dec}) W_{enc} + b_{enc}\big) \qquad \hat x = f\,W_{dec} + b_{dec}$$
#
# Each of the eight is a [[term:latent]]; row *j* of `W_dec` is the direction that latent *j* writes. The training makes this small:
#
# $$\lVert x - \hat x \rVert^2 + \lambda \sum_j f_j$$
#
# Be right, and be brief: $\lambda$ is a price on every unit of activation. Watch the decoder's rows. (In a saved notebook you see the end.)


# %%
def picture(step, run):
    figure = plots.arrows(
        run.sae.W_dec,
        [f"{j}" for j in range(8)],
        title=f"Decoder rows at step {step}, and the true directions (dotted)",
        alt="Eight arrows of length 1 and five dotted lines. At the end every dotted line has an arrow on it; what is left over lies between or doubles another.",
    )
    for x, y in (true / true.norm(dim=1, keepdim=True)).tolist():
        figure.add_scatter(x=[0, x], y=[0, y], mode="lines", line=dict(color=plots.INK, dash="dot", width=2))
    return figure


small = saes.SAE(2, 8, seed=1)
run = sae_training.train(
    small, hidden, steps=500, batch=512, l1=0.3, lr=0.02, on_step=superposition_views.Live(picture), every=25
)

# %%
found = sae_metrics.match(small.W_dec.detach(), true)
print("cosine of each true direction with a latent of its own:", [round(c, 3) for c in found.cosine.tolist()])

# %%
reveal("sae-five-of-two")

# %% [markdown]
# **Change this and see.** Set `l1=0.0`: where do the arrows stay? Then give it 5 latents instead of 8, with `seed` 0 to 5. Not every start finds all five; spare latents help.
#
# *What this does not show*: that it works where you cannot see the rays. For that we need more dimensions, and a number instead of a look.
#
# ### Sixty-four features in thirty-two dimensions
#
# Now 64 random directions in 32 dimensions, each feature present in 3 of 100 inputs with a strength between 0.5 and 1.5. An input holds about two features. The autoencoder has 128 latents, twice as many as there are features, since in real life we would not know the number.

# %%
data = synthetic.SyntheticFeatures.random(64, 32, probability=0.03, seed=0)
x, strengths = data.sample(4000, torch.Generator().manual_seed(100))  # inputs that no training sees


def curves(step, run):
    return plots.lines(
        {"variance explained": run.variance_explained, "L0 / 128": [n / 128 for n in run.l0]},
        x=run.steps,
        title=f"Training, step {step}",
        xlabel="step",
        ylabel="share",
        alt="Two lines against the step: variance explained rises to about 0.9, and the share of active latents falls from about a half to about 0.04.",
    )


def learn(architecture="standard", seed=1, steps=500, watch=None, of=data, d_sae=128, **price):
    sae = saes.SAE(32, d_sae, architecture, k=price.pop("k", None), seed=seed)
    sae_training.train(
        sae, of.batches(steps, seed=seed), steps=steps, lr=0.01, progress=False, on_step=watch, every=25, **price
    )
    return sae.requires_grad_(False)


sae = learn(l1=0.3, watch=superposition_views.Live(curves))

# %% [markdown]
# [[term:L0]] is the number of latents that an input uses, on average. [[term:variance explained|Variance explained]] is the share of the variance that the reconstruction keeps. These two numbers describe every sparse autoencoder that you will read about. Neither asks whether the latents are the features. Here we can ask:
# [[term:matching|match]] every true feature with a latent of its own, so that the cosines add up to most.

# %%
edges = torch.linspace(0, 1, 26)
dictionaries = {
    "trained": sae.W_dec,
    "random dictionary": synthetic.random_dictionary(128, 32, seed=7),
    "PCA, both signs": torch.cat([synthetic.principal_directions(x), -synthetic.principal_directions(x)]),
}
cosines = {name: sae_metrics.match(rows, data.directions).cosine for name, rows in dictionaries.items()}
plots.lines(
    {name: torch.histogram(cosine.clamp(0, 1), edges).hist for name, cosine in cosines.items()},
    x=((edges[1:] + edges[:-1]) / 2).tolist(),
    title="Matched cosines of the 64 true features",
    xlabel="cosine of a feature and its latent",
    ylabel="features",
    alt="The trained autoencoder has nearly all features above 0.95; the random dictionary and PCA have nearly all of theirs between 0.1 and 0.7.",
)

# %%
for name, cosine in cosines.items():
    print(f"{name:18} mean {cosine.mean():.3f}, above 0.9: {int((cosine > 0.9).sum())} of 64")

# %% [markdown]
# The random dictionary is the control: with 128 tries for 64 directions, chance alone reaches a cosine of about 0.44. A mean cosine of 0.5 would mean next to nothing.
#
# | recovery, d = 32, 128 latents, 500 steps | L1 | TopK |
# |---|---|---|
# | sae-lens on a toy of its own (mean max cosine) | 0.998 | 0.975 |
# | ours (mean *matched* cosine, five seeds of the lab's loop, measured beforehand) | 0.991 to 0.995 (price 0.3) | 0.984 to 0.996 (k = 3) |
#
# The two toys are not the same, so read the rows as "both recover nearly everything", not as a race. A matched cosine is never above the mean max cosine, because no latent may be used twice.
#
# *What this does not show*: recovery at any price. That is next.
#
# ### The price, and what it does to the sizes
#
# One number is yours to choose: $\lambda$. A low price buys good reconstructions from many latents. A high one buys few latents.

# %% [raw] predict="sae-shrinkage"
# question = "The price is charged for every unit of activation. Compare a found feature's activation with its true strength, between 0.5 and 1.5. What is lost?"
# choices = ["nothing: the reconstruction term sees to that", "the same share of every strength, say a quarter", "about the same amount from every strength, weak or strong"]
# answer = 2
# why = [
#   "The error grows with the square of what is missing, so the first bit missing costs almost nothing, while the price saved is in proportion. Some shrinkage always pays.",
#   "A natural guess, and easy to repair by a factor. But the price of the next unit is λ whatever the strength, so the balance is reached at the same distance.",
#   "Right. For a feature alone, (a − f)² + λf is smallest at f = a − λ/2: a constant is lost. So no common factor can repair it.",
# ]

# %%
prices = [0.05, 0.1, 0.2, 0.4, 0.8]
rows = []
for price in prices:
    sae = learn(l1=price)
    f = sae.encode(x)
    match = sae_metrics.match(sae.W_dec, data.directions)
    rows.append([sae_metrics.l0(f), sae_metrics.variance_explained(x, sae.decode(f)), float(match.cosine.mean())])
l0s, kept, recovered = zip(*rows, strict=True)
plots.lines(
    {"variance explained": kept, "matched cosine": recovered},
    x=[f"{price} (L0 {l0:.0f})" for price, l0 in zip(prices, l0s, strict=True)],
    title="What a price buys",
    xlabel="price λ, and the L0 that it leads to",
    ylabel="share, or cosine",
    alt="Two lines over five rising prices. Variance explained falls from 0.98 to below 0.8; the matched cosine rises from about 0.8 to nearly 1. L0 falls from about 30 to 3.",
)

# %% [markdown]
# Look at the lowest price. It reconstructs best, and its latents are *not* the features: with nearly 30 latents for two features there are many ways to be right. So a high variance explained proves nothing by itself. Now the sizes, with as many latents as features.

# %%
price = 0.4
sae = learn(l1=price, d_sae=64)
f, match = sae.encode(x), sae_metrics.match(sae.W_dec, data.directions)
there = (strengths > 0) & (f[:, match.found] > 0) & (match.cosine > 0.9)
pairs = torch.stack([strengths[there], f[:, match.found][there]], dim=1)[:1500]
figure = plots.scatter(
    pairs,
    title=f"True strength against activation, at a price of {price}",
    xlabel="true strength of the feature",
    ylabel="activation of its latent",
    alt="A band of points below the diagonal and parallel to it, thickest along the line of strength minus half of the price, with many points scattered further below.",
)
for shift, name in ((0, "no shrinkage"), (price / 2, "strength − λ/2")):
    figure.add_scatter(x=[0.5, 1.5], y=[0.5 - shift, 1.5 - shift], mode="lines", name=name)
figure.update_traces(marker_size=4, name="found features", selector=dict(mode="markers")).update_layout(
    showlegend=True
).show()

# %%
reveal("sae-shrinkage")

# %% [markdown]
# This is [[term:shrinkage]]. The band is parallel to the diagonal: weak and strong features lose about the same. Its thickest part follows the closed form, which holds for a feature that is alone. Where several are present they disturb each other, and a negative `b_enc` takes its part, so that on average more is lost: 0.32 to 0.34 over five
# seeds measured beforehand, where λ/2 is 0.20.
#
# ### Architectures that do not charge for size
#
# - **TopK** ([[paper:gao2024]]): no price. Of every input's latents the *k* largest are kept.
# - **JumpReLU** ([[paper:rajamanoharan2024_jumprelu]]): each latent has a threshold and, above it, its full value. The price is for being active at all: L0 itself.
# - **Gated** ([[paper:rajamanoharan2024_gated]]): one part of the encoder decides *whether*, another *how much*. The price is on the first only. You do not build it here.
#
# A larger L0 always reconstructs better, so compare at equal L0.

# %%
frontiers = {
    "L1": [learn(l1=price) for price in (0.1, 0.2, 0.4, 0.8)],
    "TopK": [learn("topk", k=k) for k in (1, 2, 3, 5)],
    "JumpReLU": [learn("jumprelu", l0=price) for price in (0.02, 0.05, 0.2)],
}
points = {
    name: [(sae_metrics.l0(sae.encode(x)), sae_metrics.variance_explained(x, sae(x))) for sae in saes_]
    for name, saes_ in frontiers.items()
}
counts = (1, 2, 4, 8, 16)
chance, exact = dictionaries["random dictionary"], data.directions
points["PCA"] = [(n, sae_metrics.variance_explained(x, synthetic.keep_principal(x, n))) for n in counts]
for name, rows in (("random dictionary", chance), ("true directions", exact)):
    greedy = [synthetic.pursue(x, rows, n) for n in counts]
    points[name] = [(sae_metrics.l0(f), sae_metrics.variance_explained(x, f @ rows)) for f in greedy]

# %%
plots.scatter(
    torch.tensor([point for some in points.values() for point in some]),
    title="Sparsity against what is kept",
    xlabel="L0 (for PCA: directions kept)",
    ylabel="variance explained",
    alt="Points of six kinds. JumpReLU and the true directions lie highest, then TopK, then L1; a random dictionary needs far more latents for as much, and PCA more still.",
    groups=[name for name, some in points.items() for _ in some],
)

# %% [markdown]
# The order is that of the papers: at equal L0, L1 keeps least. What TopK loses at small L0 is plain here: it spends the same number on an input with no feature and on one with six. JumpReLU decides by input, and with an L0 of 2, the true number, it keeps nearly as much as TopK does with 4.
#
# The two controls frame it. *True directions* are found by nobody: we gave them to a greedy search that picks as many for each input. (At an L0 of 2, JumpReLU even keeps a little more: it need not spend the same on every input.) A *random dictionary* with the same search shows what any 128 directions can do. PCA cannot be sparse at all.

# %%
for name in ("L1", "TopK", "JumpReLU"):
    for sae in frontiers[name]:
        f, cosine = sae.encode(x), sae_metrics.match(sae.W_dec, data.directions).cosine
        print(
            f"{name:9} L0 {sae_metrics.l0(f):5.2f}: matched cosine {cosine.mean():.3f}, "
            f"dead latents {128 * sae_metrics.dead_fraction(f):.0f} of 128"
        )

# %% [markdown]
# Look at JumpReLU at its lowest price, the first of its rows: the best reconstruction at its L0, and not the best recovery. Over five seeds of the lab's loop, measured beforehand, its mean matched cosine there was 0.86 to 0.92, where L1 and TopK at a like L0 had 0.99. A frontier says nothing about recovery.
#
# ### Dead latents
#
# A [[term:dead latent]] is silent on every input. A ReLU that is silent has no slope, so nothing ever wakes it. TopK and JumpReLU leave a quarter to a half of ours dead. Is that bad? There are 64 features and 128 latents: the other 64 have nothing to find. In a language model, nobody knows whether a dead latent is spare or a feature
# is missing. [[paper:bricken2023]] bring dead latents back, by pointing them at inputs that are badly written. In the lab you do, on a start that went wrong.

# %% [raw] quiz="sae-dead"
# question = "You look at one batch of 64 inputs and count 40 latents that were silent in it. How many latents are dead?"
# choices = ["40", "at most 40", "at least 40"]
# answer = 1
# why = [
#   "Each feature here comes in 3 of 100 inputs. Many a living latent has nothing to say in 64 of them.",
#   "Right: whoever is dead is among the silent, but a rare feature is silent for long, too. Count over many batches.",
#   "A latent that spoke in this batch is not dead. So no others can join them.",
# ]

# %% [markdown]
# ### Where it goes wrong: features that come together
#
# So far all features came on their own. Now they come in pairs: 0 with 1, 2 with 3, and so on. Each feature is as frequent as before, but the second of a pair is there *exactly* where the first is. Their strengths still vary on their own.

# %% [raw] predict="sae-pairs"
# question = "What will the latents be, if two features always come together, at the same price?"
# choices = ["the 64 features, as before", "among them the 32 sums of the pairs, and some features are lost", "nothing that has to do with the features"]
# answer = 1
# why = [
#   "They would reconstruct as well. But each pair would cost two activations, where one latent for the sum does nearly the same for less.",
#   "Right. The price prefers one latent for what comes together. What varies between the two is left to others, or lost.",
#   "The sums still have everything to do with them. The training does not ask what is a feature; it asks what is brief.",
# ]

# %%
sums = data.directions[0::2] + data.directions[1::2]  # (32, 32): the direction between both of a pair
for together in (0.0, 0.5, 0.9, 1.0):
    tied = synthetic.SyntheticFeatures.random(64, 32, probability=0.03, together=together, seed=0)
    sae = learn(l1=0.3, of=tied)
    features = sae_metrics.match(sae.W_dec, data.directions).cosine
    pairs = sae_metrics.match(sae.W_dec, sums).cosine
    print(
        f"together {together:.1f}: features above a cosine of 0.9: {int((features > 0.9).sum())} of 64, "
        f"sums of pairs: {int((pairs > 0.9).sum())} of 32"
    )

# %%
reveal("sae-pairs")

# %% [markdown]
# The autoencoder is not wrong: sums *are* the briefer code. It answers the question that the loss asks, and that question is not "what are the features?". In real data much comes together, so a latent of a language model may be a mixture, and a clean-looking one at that.
#
# Even here the sum is not all: with latents to spare, many single features are kept beside it. Which of them the autoencoder keeps depends on the seed.
#
# ## Watch
#
# - [[paper:welchlabs2024]]: after this lesson its second half, on sparse autoencoders in large models, says more than on a first viewing.
#
# ## Read
#
# 1. [[paper:bricken2023]]: "Problem Setup" and the advice on training in the appendix. Your lab has the unit-norm rows, the gradient along them, and the resampling.
# 2. [[paper:cunningham2023]]: sections 2 and 3. The same idea in the same months, and baselines to compare with.
# 3. [[paper:gao2024]], section 2, and [[paper:rajamanoharan2024_jumprelu]], sections 2 and 3: the two architectures of your lab.
#
# ## Do
#
# Open [[lab:13]]. You write thirteen functions in three sittings: an autoencoder and its training; the measures, against the truth; and TopK, JumpReLU, resampling and a fair comparison.
#
# ## ML Connection
#
# On a language model the recipe is the same: activations of one place go in, a dictionary comes out. What is gone is the truth. There, variance explained and L0 are joined by the loss of the model when its activations are replaced by reconstructions, and by people, rules or other models who say what a latent answers to. Published dictionaries report
# an L0 of 10 to 70 and variance explained of 0.77 to 0.999 (GPT-2 small, by layer), and dead latents of 2, 35 and 65 % in ever larger ones (Scaling Monosemanticity). You can now read such a line: it says how brief and how faithful a code is. It does not say that its words are the model's own.
#
# ## What this does not show
#
# - Our data were made as the method assumes: sparse, independent (but for the last section), added up along straight directions. That it finds them here is the least that one must ask, not evidence that a language model is made like this.
# - All features were equally frequent. A feature that comes a thousand times more rarely than another may never be learned.
# - We knew how many features there were, and gave twice as many latents. With fewer latents than features, or very many more, other things happen: features are missed, or split.
# - The order of the three architectures is that of one toy with 500 steps. More steps and tuned settings move the points.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. Two that we have: how would you notice, without the truth, that a latent is the sum of two features? And is there a loss that asks for the features themselves?
