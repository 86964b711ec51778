# %% [markdown]
# # Sparse autoencoders: the lab
#
# Thirteen functions. The first four are a sparse autoencoder and its training. The next five ask what it is worth, against features that we know because we made them.
# The last four change the recipe: TopK, JumpReLU, dead latents brought back, and a fair comparison.
#
# A sparse autoencoder is a dictionary of four tensors here:
#
# | name | shape | what it is |
# |---|---|---|
# | `W_enc` | `(d_in, d_sae)` | column `j` says what latent `j` looks for |
# | `b_enc` | `(d_sae,)` | below 0: how much of it must be there before latent `j` answers |
# | `W_dec` | `(d_sae, d_in)` | row `j` is the direction that latent `j` writes |
# | `b_dec` | `(d_in,)` | what is there even when no latent is active |
#
# `batch` counts inputs, `d_in` the numbers of an input, `d_sae` the *latents* of the autoencoder, and `feature` the true features that the data were made of. A latent is what was learned. A feature is the truth.
# Whether the two agree is the question.

# %%
import functools

import torch
from scipy.optimize import linear_sum_assignment

from mechinterp_course.interp import plots, superposition_views, synthetic

# 64 features in 32 dimensions. Each is present in 3 of 100 inputs, with a strength between 0.5 and 1.5.
DATA = synthetic.SyntheticFeatures.random(64, 32, probability=0.03, seed=0)
X, STRENGTHS = DATA.sample(4000, torch.Generator().manual_seed(100))  # inputs that no training sees


def new_sae(d_in=32, d_sae=128, seed=1):
    """Return an untrained autoencoder: random unit directions, the encoder as the decoder's transpose."""
    rows = synthetic.random_dictionary(d_sae, d_in, seed=10_000 + seed)
    return {"W_enc": rows.T.clone(), "b_enc": torch.zeros(d_sae), "W_dec": rows.clone(), "b_dec": torch.zeros(d_in)}


# %% [raw] card="sae_forward"
# title = "Encode and decode"
# purpose = "The whole model: write an input as a sum of few directions out of many."
# difficulty = 2
# importance = 5
# minutes = 8
# points = 1
# uses = []
# nudge = "b_dec is what is there without any latent. What should the encoder see of it, and what should the decoder do with it?"
# idea = "Take b_dec off, multiply by W_enc, add b_enc, and only then cut negative numbers. To decode, multiply by W_dec and put b_dec back."
# outline = """
# 1. z: (x minus b_dec) times W_enc, plus b_enc. Shape (batch, d_sae).
# 2. acts: the ReLU of z.
# 3. x_hat: acts times W_dec, plus b_dec. Shape (batch, d_in).
# 4. Return both, acts first.
# """
# look = "Untrained, about half of all latents answer to every input. Sparse is something that it has to learn."

# %% [markdown]
# $$z = (x - b_{dec})\,W_{enc} + b_{enc} \qquad f = \mathrm{ReLU}(z) \qquad \hat x = f\,W_{dec} + b_{dec}$$
#
# ```
#   x  (32 numbers)  ──W_enc──▶  f  (128 latents, mostly 0)  ──W_dec──▶  x̂  (32 numbers)
# ```
#
# $f$ are the *feature activations*, `acts` in code. There are more latents than numbers in an input, so this autoencoder squeezes nothing. What is scarce is something else: how many latents may be active at once.
#
# Bias and ReLU come in this order for a reason. A negative `b_enc` keeps a latent silent until enough of its direction is there, and that is how [[term:interference]] is cut off, as in [[lesson:12]].


# %% answer="sae_forward"
def sae_forward(x: torch.Tensor, sae: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the feature activations of x and the reconstruction.

    x: (batch, d_in). sae: W_enc (d_in, d_sae), b_enc (d_sae,), W_dec (d_sae, d_in), b_dec (d_in,).
    Returns: acts (batch, d_sae) and x_hat (batch, d_in).
    """
    ### BEGIN SOLUTION
    acts = torch.relu((x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"])
    return acts, acts @ sae["W_dec"] + sae["b_dec"]
    ### END SOLUTION


# %% [markdown]
# Look: what an untrained autoencoder makes of eight inputs.

# %%
acts, x_hat = sae_forward(X[:8], new_sae())
plots.heatmap(
    acts,
    x=[str(j) for j in range(128)],
    y=[f"input {i}" for i in range(8)],
    title="Feature activations before training",
    xlabel="latent",
    ylabel="input",
    alt="Eight rows of 128 cells: about half of the cells of each row are above 0.",
    zlabel="activation",
)

# %%
print(f"Active latents in each input: {(acts > 0).sum(1).tolist()}")
print(f"True features in each input:  {(STRENGTHS[:8] > 0).sum(1).tolist()}")

# %% [raw] card="sae_loss"
# title = "The loss: be right, and be brief"
# purpose = "Two terms pull in opposite directions, and the whole behaviour of the autoencoder comes from their balance."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = ["sae_forward"]
# nudge = "What should be few: the numbers that the latents show, or something else in the model? And over which axis does a price add up?"
# idea = "Squared error, summed over d_in. Plus l1 times the feature activations, summed over d_sae. Each averaged over the batch."
# outline = """
# 1. acts and x_hat from sae_forward.
# 2. The squared error, summed over the last axis: one number for each input.
# 3. The activations, summed over the last axis: they are never negative, so that is their L1 norm.
# 4. The mean over the batch of the first plus l1 times the second.
# """
# look = "With the price at 0 the loss asks only for reconstruction, and 128 latents for 32 numbers can do that in endless ways. The price picks one."

# %% [markdown]
# $$L = \frac{1}{\text{batch}} \sum_x \Big( \lVert x - \hat x \rVert^2 + \lambda \sum_j f_j \Big)$$
#
# The second term is the *L1 penalty*: every unit of activation costs $\lambda$ (`l1`). It is a price on what the latents *show*, so that most of them stay at 0. Sums run over the dimensions and the latents, the mean over the inputs: a price then means the same
# for every batch size.


# %% answer="sae_loss"
def sae_loss(x: torch.Tensor, sae: dict, l1: float) -> torch.Tensor:
    """Return the reconstruction error plus l1 times the L1 norm of the feature activations, a mean over the batch.

    x: (batch, d_in). Returns: a scalar.
    """
    ### BEGIN SOLUTION
    acts, x_hat = sae_forward(x, sae)
    error = ((x - x_hat) ** 2).sum(dim=-1)
    return (error + l1 * acts.sum(dim=-1)).mean()
    ### END SOLUTION


# %% [markdown]
# Look: why the decoder needs a rule. We make a decoder longer and its encoder shorter by the same factor, so that the reconstruction stays as it is.

# %%
factors = [0.25, 0.5, 1, 2, 4, 8]
base, losses = new_sae(), []
for factor in factors:
    scaled = base | {"W_enc": base["W_enc"] / factor, "W_dec": base["W_dec"] * factor}
    losses.append(float(sae_loss(X, scaled, l1=1.0)) - float(sae_loss(X, scaled, l1=0.0)))
plots.lines(
    {"the price": losses},
    x=factors,
    title="The price of the same reconstruction, with a longer and longer decoder",
    xlabel="length of the decoder's rows",
    ylabel="L1 term of the loss",
    alt="A line that falls from its highest place at a quarter of the length towards 0 at eight times the length.",
)

# %% [markdown]
# The price can be evaded: shrink the activations, stretch the decoder, and nothing is gained in sparsity. So the rows of the decoder are kept at length 1. That is the next exercise.

# %% [raw] card="unit_decoder"
# title = "A decoder that cannot cheat"
# purpose = "Without this rule the L1 penalty is evaded by a long decoder, and no activation means anything."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "Which axis of W_dec holds the numbers of one direction? And how much of a gradient row points along its own row?"
# idea = "Divide each row by its length. Then, for each row, take the dot product of gradient and unit row: that much of the gradient only changes the length, so subtract it."
# outline = """
# 1. The length of each row (over d_in), with its axis kept: (d_sae, 1). Divide.
# 2. along: for each row, the sum over d_in of gradient times unit row, with its axis kept.
# 3. The gradient minus along times the unit row.
# 4. Return the unit rows and that gradient.
# """
# look = "A gradient that is at right angles to its row turns the direction and leaves its length alone, to first order."

# %% [markdown]
# Each row of `W_dec` is a direction, and gets length 1. But a training step would change the length again, and Adam's memory would fill up with steps that are then undone. So the part of the gradient that points *along* the row is
# removed before the step:
#
# $$g'_j = g_j - (g_j \cdot \hat w_j)\,\hat w_j \qquad \hat w_j = w_j / \lVert w_j \rVert$$
#
# Return both: the unit rows, and the gradient without the part along them.


# %% answer="unit_decoder"
def unit_decoder(W_dec: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the decoder with rows of length 1, and its gradient without the part along each row.

    W_dec, gradient: (d_sae, d_in); no row of W_dec is 0. Returns: two tensors of that shape.
    """
    ### BEGIN SOLUTION
    unit = W_dec / W_dec.norm(dim=1, keepdim=True)
    along = (gradient * unit).sum(dim=1, keepdim=True)
    return unit, gradient - along * unit
    ### END SOLUTION


# %% [markdown]
# Look: six directions in the plane, the gradient of each, and what is left of it.

# %%
rows, slope = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(3))
unit, turned = unit_decoder(rows, slope)
steps = torch.cat([unit, unit - 0.4 * slope, unit - 0.4 * turned])
figure = plots.scatter(
    steps,
    title="A step of six unit directions, with the whole gradient and with the part that turns",
    xlabel="dimension 0",
    ylabel="dimension 1",
    alt="Six points on the unit circle, six that left it by the whole gradient, and six that moved along its tangents. A thin line joins each with the point where it began.",
    groups=["before"] * 6 + ["whole gradient"] * 6 + ["your gradient"] * 6,
)
figure.add_shape(type="circle", x0=-1, y0=-1, x1=1, y1=1, line=dict(color=plots.INK, dash="dot", width=1))
for (x0, y0), (x1, y1) in zip(unit.tolist() * 2, steps[6:].tolist(), strict=True):
    figure.add_shape(type="line", x0=x0, y0=y0, x1=x1, y1=y1, line=dict(color=plots.INK, width=1))
figure.update_yaxes(scaleanchor="x", scaleratio=1)
figure.show()

# %% [raw] card="train_sae"
# title = "The training loop"
# purpose = "Everything that follows is trained by this loop of yours, whatever the loss."
# difficulty = 3
# importance = 5
# minutes = 16
# points = 2
# uses = ["unit_decoder"]
# nudge = "Where in a step must the gradient be corrected, and where must the rows be set back to length 1? Both times: what has just happened?"
# idea = "Copy the parameters, give them gradients and an Adam. For each batch: loss, zero_grad, backward, correct the decoder's gradient, step, then set the rows back to length 1."
# outline = """
# 1. A new dictionary: each tensor cloned, with requires_grad_(). The one you were given must stay as it is.
# 2. optimizer: torch.optim.Adam over its values, with lr.
# 3. For each batch: value = loss(x, sae). zero_grad, backward.
# 4. W_dec.grad becomes what unit_decoder returns second. Then optimizer.step().
# 5. After the step, without gradients (torch.no_grad), copy the unit rows into W_dec (.copy_).
# 6. Append value.item() to the losses, and call watch(step, sae) if there is a watch.
# """
# look = "Nothing in this loop was told where the true directions are."

# %% [markdown]
# `loss` is a function: `loss(x, sae)` is the value to make small. So the same loop will train every kind of autoencoder of this lab.
#
# For each batch, in this order:
#
# ```
#   loss ─▶ gradients ─▶ remove the part along the decoder's rows ─▶ Adam's step ─▶ rows back to length 1
# ```
#
# Assume that the rows have length 1 at the start. Train every tensor that `sae` holds, whatever the names: JumpReLU will bring a fifth. Use `torch.optim.Adam` with the given learning rate and otherwise its defaults. After each step, if `watch` is given, call `watch(step, sae)` with the number of the step, from 0 on, and the autoencoder in training: that draws the live picture below.


# %% answer="train_sae"
def train_sae(loss, batches, sae: dict, lr: float, watch=None) -> tuple[dict, list]:
    """Return a trained copy of the autoencoder, without gradients, and the loss of each step.

    loss: a function (x, sae) -> scalar. batches: any iterable of (batch, d_in). watch: None, or a function (step, sae).
    """
    ### BEGIN SOLUTION
    sae = {name: tensor.detach().clone().requires_grad_() for name, tensor in sae.items()}
    optimizer = torch.optim.Adam(sae.values(), lr=lr)
    losses = []
    for step, x in enumerate(batches):
        value = loss(x, sae)
        optimizer.zero_grad()
        value.backward()
        W_dec = sae["W_dec"]
        W_dec.grad = unit_decoder(W_dec.detach(), W_dec.grad)[1]
        optimizer.step()
        with torch.no_grad():
            W_dec.copy_(unit_decoder(W_dec, W_dec.grad)[0])
        losses.append(value.item())
        if watch is not None:
            watch(step, sae)
    return {name: tensor.detach() for name, tensor in sae.items()}, losses
    ### END SOLUTION


# %% [markdown]
# Look: your loop on the smallest case, five features in a plane, as a pentagon, and eight latents. The grey lines are the true directions. Nobody shows them to the autoencoder; it sees points only. (In a saved notebook you see the end; run the cell to see it move.)

# %%
angles = 2 * torch.pi * torch.arange(5) / 5
pentagon = synthetic.SyntheticFeatures(torch.stack([angles.cos(), angles.sin()], dim=1), torch.full((5,), 0.05))


def picture(step, sae):
    figure = plots.arrows(
        sae["W_dec"],
        [f"{j}" for j in range(8)],
        title=f"Your decoder at step {step}",
        alt="Eight arrows, the decoder's rows, and five grey dotted lines, the true directions. At the end every line has an arrow on it; what is left over doubles another or lies between two.",
    )
    for true in pentagon.directions.tolist():
        figure.add_scatter(
            x=[0, true[0]], y=[0, true[1]], mode="lines", line=dict(color=plots.INK, dash="dot", width=1)
        )
    return figure


live = superposition_views.Live(picture)
small, losses = train_sae(
    lambda x, sae: sae_loss(x, sae, l1=0.4),
    pentagon.batches(801, 512),
    new_sae(2, 8),
    lr=0.01,
    watch=lambda step, sae: live(step, sae) if step % 40 == 0 else None,
)

# %% [markdown]
# **Change this and see.** Give it five latents: `new_sae(2, 5)`. Then it may end with arrows *between* the lines, where no small turn makes the loss smaller. Spare latents are what keeps a training from getting stuck.
#
# Now the real size: 64 features in 32 dimensions, 128 latents. A few seconds; the pictures below all use these autoencoders.


# %%
@functools.cache
def trained(l1=0.3, d_sae=128, seed=1):
    """Return an autoencoder that your loop trained with the L1 penalty, and its losses."""
    start = new_sae(d_sae=d_sae, seed=seed)
    return train_sae(lambda x, sae: sae_loss(x, sae, l1), DATA.batches(500, seed=seed), start, lr=0.01)


sae, losses = trained()
plots.lines(
    {"loss": torch.tensor(losses).view(-1, 10).mean(1)},
    x=list(range(5, 500, 10)),
    title="Your training: 64 features in 32 dimensions, 128 latents",
    xlabel="step",
    ylabel="loss, mean of 10 steps",
    alt="A line that falls steeply at first and is nearly flat after about 300 steps.",
)

# %% [raw] card="mean_l0"
# title = "L0: how many latents it takes"
# purpose = "The first of the two numbers by which every sparse autoencoder is described."
# difficulty = 1
# importance = 4
# minutes = 5
# points = 1
# uses = []
# nudge = "A number for one input first. What do you do with the inputs then, so that twice as many change nothing?"
# idea = "Count the activations that are above 0 in each input. The mean of that over the batch."
# outline = """
# 1. acts > 0.
# 2. Sum over the last axis: a count for each input.
# 3. The mean, as a decimal number (.float() first).
# """
# look = "L0 counts, L1 adds up. The training paid for L1, because a count has no slope."

# %% [markdown]
# *L0* is the number of latents that are active in an input, on average over the inputs. It does not ask how strongly.


# %% answer="mean_l0"
def mean_l0(acts: torch.Tensor) -> float:
    """Return how many latents are active (above 0), as a mean over the inputs.

    acts: (batch, d_sae).
    """
    ### BEGIN SOLUTION
    return float((acts > 0).float().sum(dim=-1).mean())
    ### END SOLUTION


# %% [markdown]
# Look: the price against what it buys. Five trainings.

# %%
prices = [0.05, 0.1, 0.2, 0.4, 0.8]
frontier = {l1: trained(l1)[0] for l1 in prices}
l0s = {l1: mean_l0(sae_forward(X, sae)[0]) for l1, sae in frontier.items()}
plots.lines(
    {"your autoencoders": list(l0s.values()), "true features in an input": [mean_l0(STRENGTHS)] * 5},
    x=[str(l1) for l1 in prices],
    title="A higher price, fewer active latents",
    xlabel="price of the L1 penalty",
    ylabel="L0",
    alt="A line that falls from about thirty active latents to about three, and a flat line near two: the true number of features.",
)

# %% [raw] card="explained_variance"
# title = "Variance explained"
# purpose = "The second number. It says how much of what varies the reconstruction keeps, and it is easily flattered."
# difficulty = 2
# importance = 4
# minutes = 8
# points = 1
# uses = []
# nudge = "Which reconstruction is free, needs no latent at all, and should score exactly 0?"
# idea = "One minus (squared error, summed over everything) over (squared distance to the mean input, summed over everything). The mean is taken over the batch, one for each dimension."
# outline = """
# 1. The sum of all squared errors.
# 2. The mean input: the mean over the batch, (d_in,).
# 3. The sum of all squared distances of x from it.
# 4. 1 minus the first over the last.
# """
# look = "Data with a large mean make an uncentred score look splendid: the bias alone would reach 0.9 or more."

# %% [markdown]
# $$1 - \frac{\sum_x \lVert x - \hat x \rVert^2}{\sum_x \lVert x - \bar x \rVert^2}$$
#
# $\bar x$ is the mean input, one number for each dimension. A reconstruction that always says the mean scores 0; a perfect one scores 1; one that is worse than the mean scores below 0.


# %% answer="explained_variance"
def explained_variance(x: torch.Tensor, x_hat: torch.Tensor) -> float:
    """Return the share of the variance of x that the reconstruction keeps.

    x, x_hat: (batch, d_in).
    """
    ### BEGIN SOLUTION
    error = ((x - x_hat) ** 2).sum()
    return float(1 - error / ((x - x.mean(dim=0)) ** 2).sum())
    ### END SOLUTION


# %% [markdown]
# Look: your five autoencoders, each a point, and two controls: *PCA*, which keeps the few directions of largest variance, and a *random dictionary*: 128 random directions, of which a greedy search picks the best few for each input.

# %%
kept = [explained_variance(X, sae_forward(X, sae)[1]) for sae in frontier.values()]
random_rows = synthetic.random_dictionary(128, 32, seed=7)
counts = [1, 2, 4, 8, 16, 32]
pca = [explained_variance(X, synthetic.keep_principal(X, n)) for n in counts]
chance = [explained_variance(X, synthetic.pursue(X, random_rows, n) @ random_rows) for n in counts]
points = list(zip([*l0s.values(), *counts, *counts], [*kept, *pca, *chance], strict=True))
plots.scatter(
    torch.tensor(points),
    title="Sparsity against what is kept",
    xlabel="L0 (for PCA: directions kept)",
    ylabel="variance explained",
    alt="Three kinds of points. At equal L0 your autoencoders are far above PCA; the random dictionary lies between, and comes close to your autoencoders only at many latents.",
    groups=["your autoencoders, L1"] * 5 + ["PCA"] * 6 + ["random dictionary"] * 6,
)

# %% [markdown]
# *What this does not show*: that the latents are the features. Reconstruction is cheap. The next exercise asks for the truth.

# %% [raw] card="match_features"
# title = "Did it find the truth?"
# purpose = "With known features, recovery is a number, not an impression. It has to be counted without counting anything twice."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "If two features choose the same latent, how many latents have been found?"
# idea = "A table of cosines, feature by latent. Then the assignment of a latent of its own to each feature that makes the sum of the cosines largest: scipy's linear_sum_assignment."
# outline = """
# 1. Divide the rows of both by their lengths.
# 2. cosines: directions times W_dec transposed, (feature, d_sae).
# 3. linear_sum_assignment(cosines.numpy(), maximize=True) gives rows and columns. With more latents than features, rows are 0, 1, 2, ...
# 4. latent: the columns as a tensor. cosine: the cosines at (rows, columns).
# """
# look = "The random dictionary shows what a cosine of 0.4 means here: nothing. Always ask what chance would give."

# %% [markdown]
# Give every true feature a latent of its *own*, so that the sum of their cosines is as large as it can be. This is the assignment problem, and
#
# ```
# rows, columns = linear_sum_assignment(table, maximize=True)
# ```
#
# solves it exactly, for a numpy table. The cosine keeps its sign: a latent that points the other way is no match, because activations cannot be negative.
#
# Rows may have any length: use their directions only. There are at least as many latents as features.


# %% answer="match_features"
def match_features(W_dec: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each feature the latent that is matched to it, no latent twice, and the cosine of the two.

    W_dec: (d_sae, d_in). directions: (feature, d_in), feature <= d_sae. Returns: latent (feature,), whole numbers, and cosine (feature,).
    """
    ### BEGIN SOLUTION
    rows = W_dec / W_dec.norm(dim=1, keepdim=True)
    true = directions / directions.norm(dim=1, keepdim=True)
    cosines = true @ rows.T
    features, latents = linear_sum_assignment(cosines.numpy(), maximize=True)
    return torch.as_tensor(latents), cosines[features, latents]
    ### END SOLUTION


# %% [markdown]
# Look: the matched cosines of your autoencoder, of an untrained one and of PCA.

# %%
found = match_features(trained()[0]["W_dec"], DATA.directions)[1]
before = match_features(new_sae()["W_dec"], DATA.directions)[1]
flat = synthetic.principal_directions(X)  # 32 directions only; with their opposites, 64
flat = match_features(torch.cat([flat, -flat]), DATA.directions)[1]
edges = torch.linspace(0, 1, 26)
plots.lines(
    {
        name: torch.histogram(cosine.clamp(0, 1), edges).hist
        for name, cosine in {"trained": found, "random dictionary": before, "PCA, both signs": flat}.items()
    },
    x=((edges[1:] + edges[:-1]) / 2).tolist(),
    title="Matched cosines of the 64 true features",
    xlabel="cosine of a feature and its latent",
    ylabel="features",
    alt="Three curves. The trained autoencoder has nearly all features at a cosine above 0.95; the random dictionary and PCA have nearly all of theirs between 0.1 and 0.7.",
)

# %%
print(f"mean matched cosine: trained {found.mean():.3f}, random {before.mean():.3f}, PCA {flat.mean():.3f}")
print(f"features with a cosine above 0.9: {int((found > 0.9).sum())} of 64")

# %% [markdown]
# One seed is a story. Here are four more, each with a start and batches of its own.

# %%
for seed in (2, 3, 4, 5):
    cosine = match_features(trained(seed=seed)[0]["W_dec"], DATA.directions)[1]
    print(f"seed {seed}: mean matched cosine {cosine.mean():.3f}, above 0.9: {int((cosine > 0.9).sum())} of 64")

# %% [raw] card="relative_bias"
# title = "Shrinkage"
# purpose = "The price that makes activations few also makes them small. This measures by how much."
# difficulty = 3
# importance = 4
# minutes = 10
# points = 1
# uses = []
# nudge = "By which one number would you divide every reconstruction to bring it as near to the inputs as possible?"
# idea = "The best divisor has a closed form. Set the slope of the error in 1/g to 0: what is left are two sums, one of x̂ with itself and one of x̂ with x."
# outline = """
# 1. With s = 1/g, the error is the sum of (s x̂ - x)². Its slope in s is 0 at s = Σ x̂·x / Σ x̂·x̂.
# 2. g is the inverse of that: the sum of x_hat squared, over the sum of x_hat times x.
# 3. Both sums run over everything, dimensions and inputs.
# """
# look = "1 means no shrinkage. Is the loss in size the same for every strength, or in proportion to it? The picture below decides."

# %% [markdown]
# L1 charges for size. So the cheapest reconstruction is a little too small. [[paper:rajamanoharan2024_gated]] measure this by the *relative reconstruction bias*: the number $\gamma$ by which all reconstructions should be divided to bring them as near to the inputs as possible,
#
# $$\gamma = \arg\min_{g} \sum_x \lVert \hat x / g - x \rVert^2$$
#
# Below 1, the reconstructions are too small. Find the closed form.


# %% answer="relative_bias"
def relative_bias(x: torch.Tensor, x_hat: torch.Tensor) -> float:
    """Return the number by which the reconstructions must be divided to lie nearest to x: below 1 where they are too small.

    x, x_hat: (batch, d_in).
    """
    ### BEGIN SOLUTION
    return float((x_hat**2).sum() / (x_hat * x).sum())
    ### END SOLUTION


# %% [markdown]
# Look: for each feature that is present and found, its true strength against the activation of its latent. On the diagonal nothing has shrunk. For a single feature with a decoder row of length 1 the best activation can be computed: $a - \lambda/2$. That is the second line.

# %%
l1 = 0.4
shrunk = trained(l1, d_sae=64)[0]  # as many latents as features, so that no feature is shared by two
acts, x_hat = sae_forward(X, shrunk)
latent, cosine = match_features(shrunk["W_dec"], DATA.directions)
there = (STRENGTHS > 0) & (acts[:, latent] > 0) & (cosine > 0.9)
pairs = torch.stack([STRENGTHS[there], acts[:, latent][there]], dim=1)[:1500]
figure = plots.scatter(
    pairs,
    title=f"Shrinkage at a price of {l1}: relative bias {relative_bias(X, x_hat):.2f}",
    xlabel="true strength of the feature",
    ylabel="activation of its latent",
    alt="A band of points below the diagonal and parallel to it, thickest along the line of true strength minus half of the price, with many points scattered further below.",
)
for shift, name in ((0, "no shrinkage"), (l1 / 2, "closed form: strength − λ/2")):
    figure.add_scatter(x=[0.5, 1.5], y=[0.5 - shift, 1.5 - shift], mode="lines", name=name)
figure.update_traces(marker_size=4, name="found features", selector=dict(mode="markers")).update_layout(
    showlegend=True
).show()

# %% [markdown]
# Larger features lose as much as smaller ones: a constant, not a share. So no common factor corrects it. The thickest part of the band follows the closed form, which holds for a feature that is alone. In company features disturb each other, and a negative `b_enc` takes its part, so that on average more is lost: 0.32 to 0.34 over five seeds measured beforehand,
# where λ/2 is 0.20. What corrects it: an architecture that does not charge for size. That is what TopK and JumpReLU, the next two exercises, are for.
#
# *What this does not show*: the same in a latent that shares its feature with another. With 128 latents that happens, and then the two split its strength.

# %% [raw] card="topk"
# title = "TopK: say how many, not how dear"
# purpose = "An autoencoder without a price: the number of active latents is fixed, so nothing pulls the activations down."
# difficulty = 2
# importance = 4
# minutes = 8
# points = 1
# uses = []
# nudge = "A latent whose z is −2 says: the opposite of my direction. Should it be among the k that are kept?"
# idea = "torch.topk along the latents gives the values and where they stand. Scatter the values into zeros; a negative one becomes 0."
# outline = """
# 1. kept = z.topk(k, dim=-1): values and indices, (batch, k).
# 2. A tensor of zeros like z.
# 3. scatter along the last axis: at the indices, the ReLU of the values.
# """
# look = "k is the same for an input with one feature and for one with five. Look at what that costs, in the last picture."

# %% [markdown]
# Keep the `k` largest entries of *each input*, by value, and set all others to 0. If fewer than `k` are positive, fewer are kept: what is negative becomes 0, as after a ReLU.
#
# ```
#   z     [ 0.3  -2.0  1.1  0.2 ]     k = 2
#   acts  [ 0.3   0    1.1  0   ]
# ```


# %% answer="topk"
def topk(z: torch.Tensor, k: int) -> torch.Tensor:
    """Return the k largest entries of each row at their places, and 0 elsewhere; negative ones become 0.

    z: (batch, d_sae). Returns: the same shape.
    """
    ### BEGIN SOLUTION
    kept = z.topk(k, dim=-1)
    return torch.zeros_like(z).scatter(-1, kept.indices, kept.values.relu())
    ### END SOLUTION


# %% [markdown]
# Look: the same loop of yours, with another loss. No price is in it.


# %%
def topk_forward(x, sae, k):
    acts = topk((x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"], k)
    x_hat = acts @ sae["W_dec"] + sae["b_dec"]
    return acts, x_hat


@functools.cache
def trained_topk(k, seed=1):
    def loss(x, sae):
        return ((x - topk_forward(x, sae, k)[1]) ** 2).sum(-1).mean()

    return train_sae(loss, DATA.batches(500, seed=seed), new_sae(seed=seed), lr=0.01)[0]


acts, x_hat = topk_forward(X, trained_topk(3), 3)
cosine = match_features(trained_topk(3)["W_dec"], DATA.directions)[1]
print(f"L0 {mean_l0(acts):.2f}, variance explained {explained_variance(X, x_hat):.3f}")
print(f"mean matched cosine {cosine.mean():.3f}, relative bias {relative_bias(X, x_hat):.3f}")

# %% [raw] card="jumprelu"
# title = "JumpReLU, and a slope where there is none"
# purpose = "A threshold can be learned although a step has no slope. The trick, a pseudo-derivative, is used far beyond this place."
# difficulty = 4
# importance = 3
# minutes = 16
# points = 2
# uses = []
# nudge = "Raise the threshold by a little. Which latents notice, and what happens to them?"
# idea = "Only the z within half a bandwidth of the threshold notice. Each of them stands for 1/bandwidth of density. If one is switched off, its activation falls from the threshold to 0, and the gate from 1 to 0."
# outline = """
# 1. acts: z where z > threshold, else 0. Nothing is subtracted.
# 2. near: 1 where z is less than bandwidth / 2 away from the threshold, else 0.
# 3. The slope of acts in the threshold: minus threshold / bandwidth where near.
# 4. The slope of the gate (active: 1, silent: 0) in the threshold: minus 1 / bandwidth where near.
# """
# look = "Each latent learns a threshold of its own, so an input may have as many active latents as it needs."

# %% [markdown]
# A latent that is silent up to a threshold $\theta$, and then answers with its *full* value:
#
# $$\mathrm{JumpReLU}_\theta(z) = z \text{ if } z > \theta \text{, else } 0$$
#
# Its price counts active latents: $\lambda \sum_j H(z_j - \theta_j)$, where the gate $H$ is 1 above 0 and else 0. That is L0 itself. But how should $\theta$ learn? A step is flat everywhere, so its slope is 0. [[paper:rajamanoharan2024_jumprelu]] use the slope of the *average*: when $\theta$ rises by a little, the latents
# just above it fall silent. How many those are is estimated by counting the $z$ in a window of width $\varepsilon$ (the *bandwidth*) around $\theta$, each with the weight $1/\varepsilon$:
#
# | where $\lvert z - \theta \rvert < \varepsilon/2$ | pseudo-derivative in $\theta$ |
# |---|---|
# | of $\mathrm{JumpReLU}_\theta(z)$ | $-\theta/\varepsilon$ |
# | of the gate | $-1/\varepsilon$ |
#
# and 0 elsewhere. Return the activations and both slopes.


# %% answer="jumprelu"
def jumprelu(
    z: torch.Tensor, threshold: torch.Tensor, bandwidth: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the activations, and the pseudo-derivatives of activations and of gates in the threshold.

    z: (batch, d_sae). threshold: (d_sae,), above 0. Returns: three tensors of the shape of z.
    """
    ### BEGIN SOLUTION
    acts = z * (z > threshold)
    near = ((z - threshold).abs() < bandwidth / 2).to(z.dtype)
    return acts, -threshold / bandwidth * near, -near / bandwidth
    ### END SOLUTION


# %% [markdown]
# Look: is the trick right? Take 4,000 values of z, spread evenly from 0 to 1. The mean activation can be computed for every threshold, and so can its slope: −θ. Here is the mean of yours.

# %%
z = torch.linspace(0, 1, 4000)[:, None]
thetas = torch.linspace(0.1, 0.9, 17)
slopes = [float(jumprelu(z, theta[None], 0.1)[1].mean()) for theta in thetas]
plots.lines(
    {"mean of your slopes": slopes, "closed form: −θ": -thetas},
    x=thetas.tolist(),
    title="The slope of the mean activation",
    xlabel="threshold θ",
    ylabel="slope in θ",
    alt="Two lines that lie on each other, falling from −0.1 to −0.9.",
)

# %% [markdown]
# To train with it, we add a term that is 0 in value and has your slope: `slope * (threshold - threshold.detach())`.


# %%
def jump_forward(x, sae):
    z = torch.relu((x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"])
    acts, slope, gate_slope = jumprelu(z, sae["threshold"], 0.1)
    zero = sae["threshold"] - sae["threshold"].detach()
    acts = z * (acts > 0) + slope.detach() * zero
    gate = (acts > 0).float() + gate_slope.detach() * zero
    x_hat = acts @ sae["W_dec"] + sae["b_dec"]
    return acts, x_hat, gate


@functools.cache
def trained_jump(price, seed=1):
    def loss(x, sae):
        _, x_hat, gate = jump_forward(x, sae)
        return (((x - x_hat) ** 2).sum(-1) + price * gate.sum(-1)).mean()

    start = new_sae(seed=seed) | {"threshold": torch.full((128,), 0.1)}
    return train_sae(loss, DATA.batches(500, seed=seed), start, lr=0.01)[0]


# %%
acts, x_hat, _ = jump_forward(X, trained_jump(0.05))
cosine = match_features(trained_jump(0.05)["W_dec"], DATA.directions)[1]
print(f"L0 {mean_l0(acts):.2f}, variance explained {explained_variance(X, x_hat):.3f}")
print(f"mean matched cosine {cosine.mean():.3f}, relative bias {relative_bias(X, x_hat):.3f}")

# %% [raw] card="dead_latents"
# title = "Who never speaks?"
# purpose = "A dead latent costs memory and finds nothing. But a rare feature is silent for long, too, so the count needs patience."
# difficulty = 2
# importance = 4
# minutes = 6
# points = 1
# uses = []
# nudge = "If a latent is silent in this batch and active in the next, what is it?"
# idea = "For each batch: which latents are active in any of its inputs. A latent is dead if that was so in no batch."
# outline = """
# 1. Begin with False for every latent: has it been active?
# 2. For each batch: (acts > 0).any over the batch axis; combine by or.
# 3. Dead is the opposite.
# """
# look = "How many latents look dead after one batch of 64? How many still do after 60 batches?"

# %% [markdown]
# A latent is *dead* if it was active in no input of *any* batch. Its encoder then gets no gradient (a ReLU at 0 is flat), so it does not come back by itself.


# %% answer="dead_latents"
def dead_latents(batches: list) -> torch.Tensor:
    """Return which latents were never active, in no input of any batch.

    batches: one tensor (batch, d_sae) of activations for each batch, of any length each. Returns: (d_sae,), True or False.
    """
    ### BEGIN SOLUTION
    active = torch.zeros(batches[0].shape[1], dtype=torch.bool)
    for acts in batches:
        active = active | (acts > 0).any(dim=0)
    return ~active
    ### END SOLUTION


# %% [markdown]
# Look: how many latents seem dead, after more and more batches of 64 inputs.

# %%
acts = {
    "L1, price 0.3": sae_forward(X, trained()[0])[0],
    "TopK, k = 3": topk_forward(X, trained_topk(3), 3)[0],
    "JumpReLU, price 0.05": jump_forward(X, trained_jump(0.05))[0],
}
counts = [1, 2, 4, 8, 16, 32, 62]
plots.lines(
    {name: [int(dead_latents(list(a.split(64)[:n])).sum()) for n in counts] for name, a in acts.items()},
    x=[str(n) for n in counts],
    title="Latents (of 128) that seem dead",
    xlabel="batches of 64 inputs looked at",
    ylabel="latents never active",
    alt="Three falling lines. The L1 line ends near 0, those of TopK and JumpReLU level off near 60.",
)

# %% [markdown]
# After one batch, many more seem dead than are. TopK and JumpReLU leave nearly half of the latents dead. There are 64 features and 128 latents, so here those are spare ones, and no feature is missing. In a language model nobody can say that.

# %% [raw] card="resample"
# title = "Bring the dead back"
# purpose = "The repair that made the first large dictionaries work: point a dead latent at what is written worst."
# difficulty = 4
# importance = 3
# minutes = 18
# points = 2
# uses = []
# nudge = "Where would you point a latent that is free, if you could look at the inputs and at how badly each is written?"
# idea = "Draw inputs with a probability in proportion to their squared loss. Their unit directions become the decoder rows; the same directions, at a fifth of the usual encoder length, the encoder columns; biases and Adam's memory become 0."
# outline = """
# 1. Clone all tensors of sae and moments.
# 2. chosen = torch.multinomial(losses ** 2, number of dead latents, replacement=True, generator=generator).
# 3. directions: x[chosen] minus b_dec, each divided by its length.
# 4. W_dec rows of the dead: directions. W_enc columns of the dead: directions transposed, times 0.2 times the mean length of the columns of the latents that live.
# 5. b_enc of the dead: 0.
# 6. In moments, the same rows, columns and entries: 0. Everything else stays.
# """
# look = "A short encoder lets the newcomer speak softly, so that it does not disturb what already works."

# %% [markdown]
# [[paper:bricken2023]] bring dead latents back like this:
#
# 1. For each dead latent draw an input, with a probability in proportion to the *square* of its loss (again and again the same input is allowed).
# 2. Take `b_dec` off and make its length 1. That becomes the latent's row of `W_dec`.
# 3. The same direction becomes its column of `W_enc`, with 0.2 times the mean length of the columns of *living* latents.
# 4. Its `b_enc` becomes 0.
# 5. Adam forgets it: in `moments`, which holds Adam's running means under the same four names, everything that belongs to it becomes 0.
#
# Draw with `torch.multinomial(..., replacement=True, generator=generator)`, once. Nothing else changes, and the inputs stay as they are. (The paper does not mention `b_dec` in step 2. We take it off, because the latent adds to it.)


# %% answer="resample"
def resample(
    sae: dict, moments: dict, dead: torch.Tensor, x: torch.Tensor, losses: torch.Tensor, generator: torch.Generator
) -> tuple[dict, dict]:
    """Return the autoencoder with its dead latents pointed at badly written inputs, and Adam's memory without them.

    dead: (d_sae,), True or False; at least one latent lives, and one is dead. x: (batch, d_in). losses: (batch,), the loss of each input.
    """
    ### BEGIN SOLUTION
    sae = {name: tensor.clone() for name, tensor in sae.items()}
    moments = {name: tensor.clone() for name, tensor in moments.items()}
    chosen = torch.multinomial(losses**2, int(dead.sum()), replacement=True, generator=generator)
    directions = x[chosen] - sae["b_dec"]
    directions = directions / directions.norm(dim=1, keepdim=True)
    sae["W_dec"][dead] = directions
    sae["W_enc"][:, dead] = 0.2 * sae["W_enc"][:, ~dead].norm(dim=0).mean() * directions.T
    sae["b_enc"][dead] = 0
    moments["W_dec"][dead] = 0
    moments["W_enc"][:, dead] = 0
    moments["b_enc"][dead] = 0
    return sae, moments
    ### END SOLUTION


# %% [markdown]
# Look: a start that went wrong. 80 of 128 latents begin with a bias of −3, so that nothing ever wakes them. We train for 250 steps, bring the dead back or not, and train for 250 more. (`train_sae` makes a new Adam each time, so all of its memory is fresh.)

# %%
start = new_sae()
start["b_enc"][:80] = -3


def more(sae, seed):
    return train_sae(lambda x, sae: sae_loss(x, sae, 0.3), DATA.batches(250, seed=seed), sae, lr=0.01)[0]


half = more(start, 1)
acts, x_hat = sae_forward(X, half)
dead = dead_latents(list(acts.split(256)))
losses = ((X - x_hat) ** 2).sum(1) + 0.3 * acts.sum(1)
memory = {name: torch.zeros_like(tensor) for name, tensor in half.items()}
revived, _ = resample(half, memory, dead, X, losses, torch.Generator().manual_seed(0))

# %%
print(f"dead after 250 steps: {int(dead.sum())} of 128")
for name, sae in {"without": more(half, 2), "with": more(revived, 2)}.items():
    acts, x_hat = sae_forward(X, sae)
    cosine = match_features(sae["W_dec"], DATA.directions)[1]
    print(
        f"{name} resampling: {int((cosine > 0.9).sum())} of 64 features found, "
        f"{int(dead_latents([acts]).sum())} latents dead, variance explained {explained_variance(X, x_hat):.3f}"
    )

# %% [raw] card="loss_at_l0"
# title = "A fair comparison"
# purpose = "A larger L0 always reconstructs better. So two methods are compared at the same L0, or not at all."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 1
# uses = []
# nudge = "You have the loss at L0 = 3 and at L0 = 5. What is a fair guess at 4? And at 9?"
# idea = "Sort the points by L0. Between two neighbours, follow the straight line. Outside of what was measured, answer nan."
# outline = """
# 1. If `at` is below the smallest or above the largest l0: return float("nan").
# 2. Sort l0, and put the losses into the same order.
# 3. Find the neighbours below and above `at`.
# 4. The share of the way from one to the other, times the difference of their losses, plus the lower one's loss.
# """
# look = "At equal L0, the two architectures that do not charge for size lie below L1. Which of the two is better, and where?"

# %% [markdown]
# Each training is one point (L0, loss); a few prices make a *frontier*. To compare two frontiers, read each of them at the same L0: between two measured points along the straight line. Beyond its ends nothing was measured, so the answer there is `nan`.
#
# The points come in any order, and no two have the same L0.


# %% answer="loss_at_l0"
def loss_at_l0(l0: torch.Tensor, loss: torch.Tensor, at: float) -> float:
    """Return the loss of a frontier at that L0, along straight lines between its points; nan outside of them.

    l0, loss: (point,), in any order.
    """
    ### BEGIN SOLUTION
    if not float(l0.min()) <= at <= float(l0.max()):
        return float("nan")
    order = l0.argsort()
    l0, loss = l0[order], loss[order]
    above = max(1, int((l0 < at).sum()))
    share = (at - l0[above - 1]) / (l0[above] - l0[above - 1])
    return float(loss[above - 1] + share * (loss[above] - loss[above - 1]))
    ### END SOLUTION


# %% [markdown]
# Look: all three architectures, two seeds, and the squared error at equal L0.


# %%
def point(acts, x_hat):
    return mean_l0(acts), float(((X - x_hat) ** 2).sum(1).mean())


runs = {"L1": [], "TopK": [], "JumpReLU": []}
for seed in (1, 2):
    runs["L1"] += [point(*sae_forward(X, trained(l1, seed=seed)[0])) for l1 in (0.3, 0.4, 0.8)]
    runs["TopK"] += [point(*topk_forward(X, trained_topk(k, seed), k)) for k in (2, 3, 5)]
    runs["JumpReLU"] += [point(*jump_forward(X, trained_jump(p, seed))[:2]) for p in (0.02, 0.05, 0.2)]

# %%
plots.scatter(
    torch.tensor([p for points in runs.values() for p in points]),
    title="L0 against squared error: every training is a point",
    xlabel="L0",
    ylabel="squared error of an input",
    alt="Three clouds of points. At equal L0, TopK and JumpReLU lie below L1; JumpReLU reaches a small error at an L0 of 2, where TopK's is about twice as large.",
    groups=[name for name, points in runs.items() for _ in points],
)

# %%
for at in (2.0, 3.0, 4.0):
    for name, points in runs.items():
        seeds = torch.tensor(points).view(2, 3, 2)  # seed, price or k, (L0, error)
        values = [loss_at_l0(p[:, 0], p[:, 1], at) for p in seeds]
        print(f"L0 = {at:.0f}, {name:8}: error " + ", ".join(f"{value:.3f}" for value in values))

# %% [markdown]
# `nan` means that this frontier does not reach there. The price of L1 costs reconstruction: the activations are too small. TopK spends the same number of latents on every input, and the inputs here hold 0 to 6 features. JumpReLU decides by input. [[paper:gao2024]] and [[paper:rajamanoharan2024_jumprelu]] find the same order
# on language models: L1 last, and JumpReLU as good as TopK or better.
#
# But reconstruction is not recovery. Over five seeds of data and start (measured beforehand), the mean matched cosine was 0.995 to 0.996 for L1 at an L0 of 4, 0.993 to 0.995 for TopK (k = 5), and 0.86 to 0.92 for JumpReLU at the price 0.02, whose frontier looks best. Here you can see that, since you have the truth.
#
# *What this does not show*: which one finds features that a person understands. On a language model the truth is not given, and lesson 14 has to do without.
