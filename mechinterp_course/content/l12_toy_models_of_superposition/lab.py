# %% [markdown]
# # Toy models of superposition: the lab
#
# Nine functions. The first three are a whole experiment: the model, its data and its loss, for many *instances* at once, trained in front of you. The
# next three measure what came out: which features have a direction, how much of a dimension each one gets, and which figure the
# directions form. The last three need no training at all: closed forms that say when superposition pays, and why it never pays a linear model.
#
# An instance is one model with a start of its own. What a training finds depends on its start, so nothing below is judged on a single one. The
# axis `instance` is always the first:
#
# | name | what it counts |
# |---|---|
# | `instance` | models that train side by side and never see each other |
# | `batch` | inputs in a step |
# | `feature` | numbers of an input that we call features; *n* of them |
# | `hidden` | dimensions that they are squeezed through; *m* of them |
#
# `W` has the shape `(instance, hidden, feature)`: column `W[k, :, i]` is the direction of feature `i` in instance `k`.

# %%
import functools
import math

import torch

from mechinterp_course.interp import plots, superposition, superposition_views

SPARSITIES = torch.tensor([0.0, 0.8, 0.9, 0.97]).repeat_interleave(12)  # 12 instances of each


@functools.cache
def trained():
    """48 instances with 5 features in 2 dimensions, for the pictures below: trained once, in a few seconds."""
    return superposition.train(5, 2, SPARSITIES)


# %% [raw] card="toy_forward"
# title = "The model, many instances at once"
# purpose = "Five features through two dimensions and back. The smallest network that can show superposition."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 1
# uses = []
# nudge = "Two matrix products. In the first, which axis of W is summed? And in the second?"
# idea = "Squeeze with W (sum over feature), read out with the same W (sum over hidden), add the bias, and cut negative numbers last."
# outline = """
# 1. hidden: for each instance and input, the sum over features of W times x. Shape (instance, batch, hidden).
# 2. read out: for each feature, the sum over hidden of W times hidden. Shape (instance, batch, feature).
# 3. Give b an axis of size 1 for the batch, and add it.
# 4. ReLU, at the very end.
# """
# look = "In the picture, the output of an input with a single feature is one column of WᵀW, plus the bias. What is negative there, the ReLU takes away."

# %% [markdown]
# The model squeezes and unsqueezes with one and the same matrix:
#
# $$h = W x \qquad\qquad x' = \mathrm{ReLU}(W^T h + b)$$
#
# ```
#   x  (5 features)  ──W──▶  h  (2 numbers)  ──Wᵀ, + b, ReLU──▶  x'  (5 features again)
# ```
#
# Each instance has a `W` and a `b` of its own, and inputs of its own.


# %% answer="toy_forward"
def toy_forward(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return what each instance reads out of its inputs: ReLU(Wᵀ W x + b).

    x: (instance, batch, feature). W: (instance, hidden, feature). b: (instance, feature). Returns: the shape of x.
    """
    ### BEGIN SOLUTION
    hidden = torch.einsum("ibf,ihf->ibh", x, W)
    out = torch.einsum("ibh,ihf->ibf", hidden, W) + b[:, None, :]
    return torch.relu(out)
    ### END SOLUTION


# %% [markdown]
# Look: five directions that form a pentagon, and the five inputs that hold one feature each. Each row is an output.

# %%
angles = 2 * math.pi * torch.arange(5) / 5
pentagon = torch.stack([angles.cos(), angles.sin()])[None]  # (instance = 1, hidden = 2, feature = 5)
out = toy_forward(torch.eye(5)[None], pentagon, torch.full((1, 5), -0.31))
plots.heatmap(
    out[0],
    title="What a pentagon reads out, one feature at a time, with a bias of −0.31",
    xlabel="feature read out",
    ylabel="the feature that is 1",
    alt="Five rows, one for each single feature: its own output is about 0.69, and every other output is 0.",
    text=True,
    zlabel="output",
)

# %% [markdown]
# Five features in two dimensions, and no feature is mistaken for another. The neighbours' overlap is 0.31; the bias takes it away, and the negative
# overlaps with the others end at the ReLU. **Change this and see**: set the bias to 0.
#
# *What this does not show*: two features at once. Give it an input with two ones, and see.

# %% [raw] card="sparse_features"
# title = "Data with a known sparsity"
# purpose = "Everything in this lesson turns on one knob: how often a feature is there at all."
# difficulty = 2
# importance = 3
# minutes = 10
# points = 1
# uses = []
# nudge = "Two questions are asked of each entry: is it there, and how large is it? Can one random number answer both?"
# idea = "Draw sizes with torch.rand. Draw a second torch.rand as coins: an entry is there where its coin is at least the sparsity of its instance."
# outline = """
# 1. sizes: torch.rand of shape (instance, batch, feature), with the generator.
# 2. coins: another torch.rand of that shape, with the same generator.
# 3. Give sparsity the axes batch and feature, of size 1 each.
# 4. An entry is there where coin >= sparsity. Multiply sizes by that.
# """
# look = "At sparsity 0.97 an input has 5 × 0.03 = 0.15 features on average. Two at once are rare: that is what superposition lives on."

# %% [markdown]
# Each feature is absent (exactly 0) with probability *S*, the *sparsity*. Otherwise it is a uniform number between 0 and 1. Whether one entry is there says
# nothing about any other: not about the other features of the input, nor about another input or instance.
#
# ```
#   S = 0     [0.71 0.05 0.93 0.40 0.22]        every feature, always
#   S = 0.8   [0    0    0.93 0    0   ]        one of five, on average
# ```


# %% answer="sparse_features"
def sparse_features(batch: int, features: int, sparsity: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return random inputs: each entry is 0 with the sparsity of its instance, else uniform in [0, 1).

    sparsity: (instance,), each from 0 up to, but not including, 1. generator: the source of all random numbers.
    Returns: (instance, batch, feature).
    """
    ### BEGIN SOLUTION
    shape = (len(sparsity), batch, features)
    sizes = torch.rand(shape, generator=generator)
    coins = torch.rand(shape, generator=generator)
    return sizes * (coins >= sparsity[:, None, None])
    ### END SOLUTION


# %% [markdown]
# Look: how many features does an input hold?

# %%
levels = torch.tensor([0.0, 0.8, 0.97])
inputs = sparse_features(4000, 5, levels, torch.Generator().manual_seed(0))
held = (inputs > 0).sum(-1)  # (instance, batch)
plots.lines(
    {
        f"sparsity {s:.2f}": [float((row == n).float().mean()) for n in range(6)]
        for s, row in zip(levels, held, strict=True)
    },
    x=list(range(6)),
    title="How many of five features an input holds",
    xlabel="features in the input",
    ylabel="share of inputs",
    alt="Three lines: without sparsity every input holds five features; at 0.80 most hold none, one or two; at 0.97 most hold none.",
)

# %% [raw] card="importance_loss"
# title = "A loss for each instance"
# purpose = "Which errors count decides which features are worth a direction. And the right axes decide whether instances train on their own."
# difficulty = 2
# importance = 4
# minutes = 8
# points = 1
# uses = []
# nudge = "The result has one number for each instance. Which two axes have to go, and is each of them summed or averaged?"
# idea = "Square the error, then weigh it by importance, sum over features, and average over the batch. The importance is not squared."
# outline = """
# 1. The squared error, entry by entry: (instance, batch, feature).
# 2. Multiply by importance; it lines up with the last axis as it is.
# 3. Sum over the last axis.
# 4. Mean over the batch.
# """
# look = "In the training below, each panel is a model of its own. Would you have bet on these figures?"

# %% [markdown]
# An error in an important feature costs more. With importance $I_i$, an instance's loss is
#
# $$L = \frac{1}{\text{batch}} \sum_{x} \sum_i I_i\,(x'_i - x_i)^2$$
#
# averaged over the inputs, *summed* over the features, one number for each instance. The paper takes $I_i = 0.9^i$ here, and so do we.


# %% answer="importance_loss"
def importance_loss(output: torch.Tensor, x: torch.Tensor, importance: torch.Tensor) -> torch.Tensor:
    """Return each instance's loss: importance times squared error, summed over features, averaged over the batch.

    output, x: (instance, batch, feature). importance: (feature,). Returns: (instance,).
    """
    ### BEGIN SOLUTION
    squared = (output - x) ** 2
    return (squared * importance).sum(dim=-1).mean(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Now your three functions are an experiment. Eight instances, five features, two dimensions; the upper row without sparsity, the lower one at 0.9. The picture
# follows the training. (In a saved notebook you see its end; run the cell to see it move.)


# %%
def picture(step, toy):
    return superposition_views.directions(
        toy.W,
        [f"S = {s:.1f}" for s in levels],
        title=f"Your model at step {step}",
        alt="Eight panels of five arrows each, one for each feature; the upper four were trained without sparsity, the lower four at sparsity 0.9.",
    )


levels = torch.tensor([0.0] * 4 + [0.9] * 4)
generator = torch.Generator().manual_seed(0)
W = (0.5 * torch.randn(8, 2, 5, generator=generator)).requires_grad_()
b = torch.zeros(8, 5).requires_grad_()
optimizer, watch = torch.optim.Adam([W, b], lr=0.02), superposition_views.Live(picture)

# %%
for step in range(1001):
    x = sparse_features(128, 5, levels, generator)
    losses = importance_loss(toy_forward(x, W, b), x, 0.9 ** torch.arange(5))
    optimizer.zero_grad()
    losses.sum().backward()  # the sum: each instance's weights get the gradient of its own loss
    optimizer.step()
    if step % 100 == 0:
        watch(step, superposition.Toy(W.detach(), b.detach()))
print("loss, S = 0.0:", [round(loss, 3) for loss in losses[:4].tolist()])
print("loss, S = 0.9:", [round(loss, 3) for loss in losses[4:].tolist()])

# %% [markdown]
# Without sparsity, most instances keep the two most important features, at right angles, and give the other three up. With it, four or five directions share the
# plane. `superposition.train` does the same with a few refinements (a learning rate that falls), and the pictures below use it.

# %% [raw] card="represented_features"
# title = "Which features have a direction?"
# purpose = "The first thing to count: how many features a model keeps, in fewer dimensions than that."
# difficulty = 1
# importance = 4
# minutes = 6
# points = 1
# uses = []
# nudge = "The direction of feature i is a column of W. How long is it?"
# idea = "The Euclidean length of each column (the root of the sum of squares over hidden), compared with 0.5."
# outline = """
# 1. Square W, sum over the hidden axis, take the root. Or one call of .norm with the right dim.
# 2. Compare with 0.5: the result is True or False.
# """
# look = "Two dimensions hold two features as long as every input has all of them. Which sparsity is enough for four, and for five?"

# %% [markdown]
# A feature that the model gives up has a direction near zero; one that it keeps has a length near 1. The lengths in between are rare, so a line at 0.5 tells them apart.


# %% answer="represented_features"
def represented_features(W: torch.Tensor) -> torch.Tensor:
    """Return which features have a direction longer than 0.5.

    W: (instance, hidden, feature). Returns: (instance, feature), True or False.
    """
    ### BEGIN SOLUTION
    return W.norm(dim=1) > 0.5
    ### END SOLUTION


# %% [markdown]
# Look: 12 instances at each of four sparsities, trained by the course's helper (a few seconds). How many features does each keep?

# %%
kept = represented_features(trained().W).sum(dim=1)  # (instance,)
levels = SPARSITIES.unique()
table = torch.stack([torch.tensor([int((kept[s == SPARSITIES] == n).sum()) for n in range(1, 6)]) for s in levels])
plots.heatmap(
    table,
    x=[str(n) for n in range(1, 6)],
    y=[f"{s:.2f}" for s in levels],
    title="Instances out of 12, by how many features they keep",
    xlabel="features with a direction",
    ylabel="sparsity",
    alt="A row for each sparsity: without sparsity nearly all instances keep 2 features; at 0.80 mostly 4, at 0.90 and 0.97 mostly 5.",
    text=True,
    zlabel="instances",
)

# %% [markdown]
# The same rows, from a replication with 12 starts each and a slower training (8,000 steps): S = 0 keeps 2 in all twelve; 0.80 keeps 4 in 8, 5 in 3, 3 in 1; 0.90 keeps 4 in 6
# and 5 in 6; 0.97 keeps 5 in 11, 4 in 1. The trend is the same, the single entries move with the training and with the starts.
#
# *What this does not show*: that a kept feature can be read out. For that, look at the loss.

# %% [raw] card="feature_dimensionality"
# title = "How much of a dimension does a feature get?"
# purpose = "The number that made the paper's geometry visible: features do not share space in any old way."
# difficulty = 4
# importance = 5
# minutes = 18
# points = 2
# uses = []
# nudge = "Look along the unit vector of feature i. What do you see of feature j? What is seen of all features together is what i has to share."
# idea = "Numerator: the squared length of W_i. Denominator: for every j, itself included, the dot product of the *unit* vector of i with W_j, squared, then summed over j."
# outline = """
# 1. Squared lengths: the sum over hidden of W squared. Shape (instance, feature).
# 2. All dot products W_i · W_j: an einsum with two letters for the feature. Shape (instance, i, j).
# 3. (unit_i · W_j)² is (W_i · W_j)² divided by the squared length of i. So the whole fraction is ‖W_i‖⁴ / Σ_j (W_i · W_j)².
# 4. Where W_i is 0 that is 0/0: give 0 there, for instance by a clamp of the denominator from below.
# """
# look = "Whatever the figure, the sums are at most 2, the number of dimensions. The model cannot make space; it can only divide it."

# %% [markdown]
# Two features that point in opposite directions share one line: half a dimension each. Five that form a pentagon share a plane. The paper measures it for
# every feature:
#
# $$D_i = \frac{\lVert W_i \rVert^2}{\sum_j (\hat W_i \cdot W_j)^2}$$
#
# $\hat W_i$ is $W_i$ divided by its length, and the sum runs over *all* features, $j = i$ too. So the numerator is what feature $i$ has along its own line, and the denominator
# what all features together have along it. A direction of its own: 1. An [[term:antipodal pair]]: 1/2 each.
#
# A feature without a direction ($W_i = 0$) has no dimensionality: return 0 for it.


# %% answer="feature_dimensionality"
def feature_dimensionality(W: torch.Tensor) -> torch.Tensor:
    """Return the dimensionality of every feature, ‖W_i‖² / Σ_j (Ŵ_i · W_j)²; 0 for a feature whose W_i is 0.

    W: (instance, hidden, feature). Returns: (instance, feature).
    """
    ### BEGIN SOLUTION
    dots = torch.einsum("ihf,ihg->ifg", W, W)
    squared_lengths = (W**2).sum(dim=1)
    shared = (dots**2).sum(dim=-1)
    return squared_lengths**2 / shared.clamp(min=1e-30)
    ### END SOLUTION


# %% [markdown]
# Look: every kept feature of the 48 instances is a point. The lines stand at 1, 1/2 and 2/5.

# %%
W = trained().W
shares, kept = feature_dimensionality(W), represented_features(W)
place = torch.arange(48) // 12 + torch.linspace(-0.25, 0.25, 12).repeat(4)  # the twelve instances side by side
figure = plots.scatter(
    torch.stack([place[:, None].expand_as(shares)[kept], shares[kept]], dim=1),
    title="The dimensionality of every kept feature",
    xlabel="sparsity (twelve instances side by side)",
    ylabel="dimensionality",
    alt="Points for each kept feature: near 1 at sparsity 0, mostly at 0.5 at sparsity 0.80, mostly at 0.4 at 0.90 and 0.97.",
)
figure.update_xaxes(tickvals=[0, 1, 2, 3], ticktext=["0", "0.80", "0.90", "0.97"])
for line in (1, 1 / 2, 2 / 5):
    figure.add_hline(y=line, line=dict(color=plots.INK, dash="dot", width=1))
figure.show()
total = shares.sum(dim=1)
print(f"The sum over all features of an instance: smallest {total.min():.3f}, largest {total.max():.3f}")

# %% [markdown]
# Most points stand on a line. Those between are features of unequal length: at 0.80, a pentagon whose less important features are shorter; at 0, starts that have not given up a third feature yet. The sums come
# out at 2, the number of dimensions: after training, the plane is divided up and nothing is left over. At most *m* is true of any `W`; *equal to m* is something the training does.
#
# *What this does not show*: lines between 1/2 and 1, such as the triangle's 2/3. Five features with importances 0.9^*i* rarely stop there.

# %% [raw] card="name_geometry"
# title = "Pairs or a pentagon?"
# purpose = "A claim such as 'it learns a pentagon' is about many starts. For that, a program has to recognise one."
# difficulty = 4
# importance = 4
# minutes = 18
# points = 2
# uses = ["represented_features"]
# nudge = "Walk once around the circle, from direction to direction. Which steps do you take on a pentagon? On two crossed pairs?"
# idea = "Keep the represented features, sort their angles, and take the gaps between neighbours, the one that closes the circle included. All must be near 360 / count."
# outline = """
# For each instance:
# 1. Keep the columns of represented features. Four or five are left, or the name is "other".
# 2. Angles in degrees by atan2 of dimension 1 and dimension 0, sorted.
# 3. The gaps: each angle minus the one before; and the first plus 360 minus the last.
# 4. If every gap differs from 360 / count by less than the tolerance, it is "antipodal pairs" (4) or "pentagon" (5).
# """
# look = "Same data, same settings, another start: another figure. A result from one seed is a story about that seed."

# %% [markdown]
# Name the figure of each instance in the plane, from its represented features alone (the others are short, and point anywhere):
#
# - `"antipodal pairs"`: four of them, each a quarter turn (90°) from the next;
# - `"pentagon"`: five of them, each a fifth of a turn (72°) from the next;
# - `"other"`: anything else.
#
# "From the next" means around the circle, whatever the order of the features, and up to `tolerance` degrees. Lengths do not matter once a feature is kept.


# %% answer="name_geometry"
def name_geometry(W: torch.Tensor, tolerance: float = 15.0) -> list[str]:
    """Return the figure of each instance: "antipodal pairs", "pentagon" or "other".

    W: (instance, 2, feature). tolerance: how many degrees a gap may differ from a quarter or a fifth of a turn.
    """
    ### BEGIN SOLUTION
    names = []
    for directions, kept in zip(W, represented_features(W), strict=True):
        x, y = directions[:, kept]
        angles = torch.rad2deg(torch.atan2(y, x)).sort().values
        gaps = torch.cat([angles.diff(), angles[:1] + 360 - angles[-1:]])
        name = {4: "antipodal pairs", 5: "pentagon"}.get(len(angles), "other")
        even = bool(((gaps - 360 / max(len(angles), 1)).abs() < tolerance).all())
        names.append(name if even else "other")
    return names
    ### END SOLUTION


# %% [markdown]
# Look: the figures of all 48 instances, and one panel of each kind at sparsity 0.9.

# %%
names = name_geometry(trained().W)
kinds = ["antipodal pairs", "pentagon", "other"]
levels = SPARSITIES.unique()
counts = [
    [sum(n == kind and s == level for n, s in zip(names, SPARSITIES, strict=True)) for kind in kinds]
    for level in levels
]
plots.heatmap(
    torch.tensor(counts),
    x=kinds,
    y=[f"{s:.2f}" for s in levels],
    title="Instances out of 12, by the figure that their directions form",
    xlabel="figure",
    ylabel="sparsity",
    alt="A row for each sparsity: at 0 all are other (two directions at right angles); at 0.80 mostly antipodal pairs, at 0.90 and 0.97 mostly pentagons.",
    text=True,
    zlabel="instances",
)

# %%
chosen = [k for k in range(48) if SPARSITIES[k] == SPARSITIES[24]][:4]  # four instances at sparsity 0.9
superposition_views.directions(
    trained().W[chosen],
    [names[k] for k in chosen],
    title="Four instances at sparsity 0.9, with your name for each",
    alt="Four panels of arrows, each with the name of its figure above: most of them pentagons.",
)

# %% [markdown]
# Over 60 starts at each sparsity (five seeds, measured beforehand), two antipodal pairs came in 44 at 0.80, and the pentagon in 54 at 0.90 and 48 at 0.97. The paper shows the pentagon for a
# sparsity of 90 %; that is a statement about good minima, not about every start.

# %% [raw] card="strategy_expected_losses"
# title = "Three ways to spend one dimension"
# purpose = "Two features, one dimension, no training: the smallest case of superposition can be worked out on paper."
# difficulty = 4
# importance = 5
# minutes = 18
# points = 2
# uses = []
# nudge = "For each strategy ask: on which inputs does it err at all, how often do they come, and what does the error cost then?"
# idea = "With p = 1 − S. A feature that is given up and guessed by its mean costs its variance. The pair errs only where both are present, probability p²; then both outputs miss by the smaller value."
# outline = """
# 1. p = 1 − sparsity. A feature has mean p/2 and mean square p/3, so its variance is p/3 − p²/4.
# 2. Feature 1 only: the variance, times the importance of feature 2. Feature 2 only: the variance, times the importance of feature 1.
# 3. Pair: both outputs miss by min(x₁, x₂). The mean of its square, for two uniform numbers, is 1/6. Times p², times the sum of both importances.
# 4. Stack the three, in this order.
# """
# look = "At S = 0 the pair is the worst of three, at S = 0.9 the best, and no number in W changed. Only the data did."

# %% [markdown]
# *n* = 2 features, *m* = 1 dimension. Feature 1 has importance 1, feature 2 the importance *r*. Three strategies, with the biases that belong to them:
#
# | strategy | W | b | what it does |
# |---|---|---|---|
# | feature 1 only | (1, 0) | (0, mean) | reads feature 1 exactly, always says the mean for feature 2 |
# | feature 2 only | (0, 1) | (mean, 0) | the other way round |
# | antipodal pair | (1, −1) | (0, 0) | $x'_1 = \mathrm{ReLU}(x_1 - x_2)$, $x'_2 = \mathrm{ReLU}(x_2 - x_1)$ |
#
# Each feature is 0 with probability *S*, else uniform in [0, 1], on its own. What does each strategy lose on average, summed over both features with their importances?
#
# Work it out on paper first, with *p* = 1 − *S*, the probability that a feature is there. Two facts help: a uniform number has mean 1/2 and mean square 1/3; the smaller of two has mean square 1/6. The mean in the table is that of the sparse feature, zeros included: *p*/2.


# %% answer="strategy_expected_losses"
def strategy_expected_losses(relative: torch.Tensor, sparsity: torch.Tensor) -> torch.Tensor:
    """Return the expected losses of: feature 1 only, feature 2 only, the antipodal pair; in this order.

    relative: (cell,), the importance of feature 2 (that of feature 1 is 1). sparsity: (cell,). Returns: (3, cell).
    """
    ### BEGIN SOLUTION
    present = 1 - sparsity
    variance = present / 3 - present**2 / 4
    pair = (1 + relative) * present**2 / 6
    return torch.stack([relative * variance, variance, pair])
    ### END SOLUTION


# %% [markdown]
# Look: both features equally important. Where do the lines cross?

# %%
sparsity = torch.linspace(0, 0.99, 34)
losses = strategy_expected_losses(torch.ones(34), sparsity)
plots.lines(
    {"one feature only": losses[0], "antipodal pair": losses[2]},
    x=sparsity.tolist(),
    title="Expected loss for r = 1, without any training",
    xlabel="sparsity",
    ylabel="expected loss",
    alt="Two lines over sparsity: the antipodal pair loses more than one feature only up to a sparsity of about 0.43, and less from there on.",
)

# %% [raw] card="phase_boundary"
# title = "The phase boundary"
# purpose = "Between keeping one feature and keeping both there is no gradual change, but a line. You find its formula."
# difficulty = 4
# importance = 3
# minutes = 14
# points = 1
# uses = []
# nudge = "On the boundary two strategies cost the same. Which two, when feature 2 is less important? And when it is more important?"
# idea = "Set the loss of the pair equal to that of keeping the more important feature alone, divide by p, and solve for p. For r > 1 the other feature is kept: use 1/r."
# outline = """
# 1. For r up to 1: (1 + r) p²/6 = r (p/3 − p²/4). Divide by p; what is left is linear in p.
# 2. Solve: p = 4r / (2 + 5r).
# 3. For r above 1 swap the names of the two features: the same formula with 1/r in place of r.
# 4. Return the sparsity, 1 − p.
# """
# look = "The boundary is lowest where both features matter the same. A feature that hardly matters is worth a shared direction only where it is hardly ever in the way."

# %% [markdown]
# Take the three losses of the last exercise. For an importance *r* of feature 2, above which sparsity is the antipodal pair the cheapest of the three?
#
# On the boundary two of the three cost the same. For *r* = 1 that is at *p* = 1 − *S* = 4/7, a sparsity of 3/7. Find the formula for every *r* > 0; *r* may be larger than 1.


# %% answer="phase_boundary"
def phase_boundary(relative: torch.Tensor) -> torch.Tensor:
    """Return the sparsity above which the antipodal pair is the cheapest of the three strategies.

    relative: (cell,), the importance of feature 2, above 0 (that of feature 1 is 1). Returns: (cell,).
    """
    ### BEGIN SOLUTION
    less = torch.minimum(relative, 1 / relative)
    return 1 - 4 * less / (2 + 5 * less)
    ### END SOLUTION


# %% [markdown]
# Look: your line, over what models *learn*. Each of 72 cells trains four instances with this sparsity and importance, and takes the one that loses least (some seconds).

# %%
relative, density = 10 ** torch.linspace(-1, 1, 9), 10 ** torch.linspace(0, -1.2, 8)
r, s = relative.repeat(8).repeat_interleave(4), (1 - density).repeat_interleave(9).repeat_interleave(4)
importance = torch.stack([torch.ones_like(r), r], dim=1)  # (instance, feature)
toy = superposition.train(2, 1, s, importance=importance, steps=800)
x = superposition.sample(len(s), 2000, 2, s, torch.Generator().manual_seed(1))
best = superposition.loss(toy(x), x, importance).view(72, 4).argmin(1)
W = toy.W.view(72, 4, 2)[torch.arange(72), best].abs() > 0.5  # (cell, feature): kept or not
learned = torch.where(W.all(1), 0.0, torch.where(W[:, 1], -1.0, 1.0)).view(8, 9)  # 1: feature 1, -1: feature 2, 0: both

# %%
figure = plots.heatmap(
    learned,
    title="Which features are kept in one dimension, and your boundary",
    xlabel="importance of feature 2",
    ylabel="sparsity",
    alt="A grid of importance and sparsity: feature 1 only at the upper left (red), feature 2 only at the upper right (blue), both below (white). The line of the closed form runs along the border.",
    zmid=0,
)
figure.data[0].update(x=list(range(9)), y=list(range(8)), showscale=False, texttemplate="%{text}")
figure.data[0].text = [[{1.0: "1", -1.0: "2", 0.0: "both"}[cell] for cell in row] for row in learned.tolist()]
figure.update_xaxes(type="linear", tickvals=list(range(9)), ticktext=[f"{value:.2f}" for value in relative])
figure.update_yaxes(type="linear", tickvals=list(range(8)), ticktext=[f"{1 - p:.2f}" for p in density])
row = -torch.log10(1 - phase_boundary(relative)) / 1.2 * 7  # from a sparsity to its place among the rows
figure.add_scatter(x=list(range(9)), y=row.tolist(), mode="lines+markers", line=dict(color=plots.INK, width=3))
figure.show()

# %% [markdown]
# Below the line, both features; above it, one of them. The map knows only "longer than 0.5" and "not", so it cannot tell a jump from a slope. The lesson's plot of the length can: the second feature goes from almost nothing to
# most of its length at once. In physics such a jump is called a *first-order* phase change.
#
# *What this does not show*: that the three strategies are the only ones. Training may use a bias or other lengths as well, so it may take up the pair a little before your line; and a cell whose four starts all stay in the valley of one feature keeps one below it. In the column of *r* = 1 you may see one of each. In five seeds it agreed with
# the line in 70 or 71 of the 72 cells.

# %% [raw] card="linear_toy_loss"
# title = "The control: without the ReLU"
# purpose = "Superposition needs two things, sparsity and a curve. Take the curve away, and the loss can be written down for every W."
# difficulty = 4
# importance = 4
# minutes = 16
# points = 2
# uses = []
# nudge = "Without the ReLU, the error in feature i is a weighted sum of all features, each with mean taken off. What is the variance of a weighted sum of independent numbers?"
# idea = "The matrix of errors is identity minus WᵀW. Square its entries, sum over the features that cause the error, weigh by the importance of the feature read out; all times the variance of one feature."
# outline = """
# 1. p = 1 − sparsity; the variance of one feature is p/3 − p²/4.
# 2. errors = identity − WᵀW, for each instance: (instance, read out, there).
# 3. Sum the squares over the last axis: one number for each feature read out.
# 4. Multiply by importance, sum over features, multiply by the variance.
# """
# look = "Sparsity stands only in front: it makes every W cheaper by the same factor, and so it cannot change which W is best."

# %% [markdown]
# Take the ReLU away: $x' = W^T W x + b$, with the best bias, which makes every output right on average. What is left of the error in feature $i$ is
#
# $$x'_i - x_i = \sum_j (W_i \cdot W_j - \delta_{ij})\,(x_j - \bar x_j) \qquad \delta_{ij} = 1 \text{ if } i = j, \text{ else } 0$$
#
# $\bar x_j$ is the mean of feature $j$, zeros included.
#
# The features are independent and have the same variance, *p*/3 − *p*²/4 with *p* = 1 − *S*. So the expected loss, weighted by importance and summed over the features read out, is a formula in `W`.


# %% answer="linear_toy_loss"
def linear_toy_loss(W: torch.Tensor, importance: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return the expected loss of the linear model x' = WᵀW x + b with its best bias.

    W: (instance, hidden, feature). importance: (feature,). sparsity: one number. Returns: (instance,).
    """
    ### BEGIN SOLUTION
    present = 1 - sparsity
    errors = torch.eye(W.shape[-1], dtype=W.dtype) - W.mT @ W
    read_out = (errors**2).sum(dim=-1)
    return (present / 3 - present**2 / 4) * (read_out * importance).sum(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Look: three ways to place five features in two dimensions, priced by your formula. Then a trained linear model beside a trained model with its ReLU, both at sparsity 0.9.

# %%
basis = torch.eye(5)[:2]  # features 0 and 1, at right angles
crossed = torch.tensor([[1.0, -1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0, 0.0]])
angles = 2 * math.pi * torch.arange(5) / 5
pentagon = torch.stack([angles.cos(), angles.sin()])
figures = torch.stack([basis, crossed, pentagon])
for level in (0.0, 0.9):
    dear = linear_toy_loss(figures, superposition.importances(5), level).tolist()
    print(f"sparsity {level}: basis {dear[0]:.3f}, two pairs {dear[1]:.3f}, pentagon {dear[2]:.3f}")

# %%
models = {linear: superposition.train(5, 2, 0.9, instances=2, linear=linear, steps=1000) for linear in (True, False)}
W = torch.cat([models[True].W, models[False].W])
superposition_views.overlaps(
    W,
    ["linear", "linear, another start", "with ReLU", "with ReLU, another start"],
    title="WᵀW at sparsity 0.9: the linear control keeps two features",
    alt="Four matrices: for the two linear instances, two dark red entries on the diagonal and little else; with the ReLU, four or five on the diagonal, and blue or red beside it.",
)

# %% [markdown]
# The linear model keeps the two most important features, each with a dimension of its own, at every sparsity. That is what *principal component analysis* gives for these data, weighted by importance. Every entry of
# `WᵀW` off the diagonal costs, and nothing takes it back. The ReLU makes negative interference free, and sparsity makes interference rare.
#
# *What this does not show*: what happens between: other curves than the ReLU, deeper models, features that come together. The paper looks at some.
#
# **You have reproduced the geometry, over many starts, and worked out the smallest case on paper.** The next step is the way back: given the activations alone, find the features.
