# %% [markdown]
# # Toy models of superposition
#
# You look for features in a network, and one neuron answers to cat faces, car fronts and the letter X. Why would a network mix what has nothing to do with
# each other? One answer: it has more features than room, and it has found out that this does not matter much.
#
# In this lesson you watch that happen. The networks are so small that you see every direction they learn, they train in seconds in front of
# you, and the smallest of them can be worked out on paper. All of it follows [[paper:elhage2022]].

# %%
import math

import torch

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import plots, superposition, superposition_theory, superposition_views

# %% [markdown]
# ## Core Learning
#
# ### The picture: five arrows in a plane
#
# Say that a network wants to remember five [[term:feature|features]], and has two numbers to write them down. A feature is stored as a *direction*: where it
# is there, its direction is added, times the size of the feature. Five directions in a plane cannot all be at right angles. But they can keep apart:

# %%
n = 5  # features
angles = 2 * math.pi * torch.arange(n) / n
pentagon = torch.stack([angles.cos(), angles.sin()])  # (hidden = 2, feature = 5)
plots.arrows(
    pentagon.T,
    [f"feature {i}" for i in range(n)],
    title=f"{n} features, two dimensions",
    alt="Five arrows of equal length from the origin, spread evenly around the circle like the corners of a pentagon.",
)

# %% [markdown]
# To ask "is feature 0 there?", take the vector that was written down and measure how far it reaches along arrow 0. If only feature 0 was there, the
# answer is 1. If only feature 1 was there, the answer should be 0, and is 0.31. That is [[term:interference]]: what one feature adds to the reading of another.

# %%
names = [str(i) for i in range(n)]
plots.heatmap(
    pentagon.T @ pentagon,
    x=names,
    y=names,
    title="Each arrow, read along each other arrow",
    xlabel="feature that is there",
    ylabel="feature read out",
    alt="A matrix of five by five: 1 on the diagonal, 0.31 for neighbours in the pentagon, −0.81 for the others.",
    zmid=0,
    text=True,
    zlabel="reading",
)

# %% [markdown]
# Storing more features than dimensions in this way is called [[term:superposition]]. It costs interference. When is it worth that?
#
# Look at the signs. A *negative* reading is easy to get rid of: a ReLU turns it into 0. A small positive one can be pushed below 0 by a bias first. So one feature at a time
# is never mistaken for another (the bias makes its own reading smaller, too; a longer arrow makes up for that). Two at a time is where it hurts, and how often that happens is a property of the data: their [[term:sparsity]].
#
# **Change this and see.** Set `n = 6` above and run both cells, then `n = 4`. Which readings off the diagonal are positive?
#
# ### A model small enough to see
#
# The paper's model takes *n* features, squeezes them through *m* numbers and reads them out again, with the same matrix:
#
# ```
#   x  (n features)  ──W──▶  h = W x  (m numbers)  ──Wᵀ, + b, ReLU──▶  x' = ReLU(Wᵀ h + b)
# ```
#
# Nobody tells it which directions to use. It is trained to give back what went in, $x' \approx x$, where an error in feature $i$ costs $I_i = 0.9^i$ times its square. So feature 0 matters most.
# Each feature is 0 with probability *S*, the sparsity, else a random number between 0 and 1.
#
# Column *i* of `W` is the direction of feature *i*. With *m* = 2 you can draw them all. You write the model, the data and the loss in the lab; here the course's
# `superposition.train` does it, for many *instances* side by side: models of one kind, each with a random start of its own.

# %% [raw] predict="superposition-dense"
# question = "Five features, two dimensions, and every feature is always there (S = 0). How many features have a direction after training?"
# choices = ["2: the most important ones", "3 or 4: as many as fit with a little interference", "5: all of them, at a loss"]
# answer = 0
# why = [
#   "Right, in nearly every start. Every input has all five features, so interference would hurt on every input. The model gives three features up, and says their mean.",
#   "It would be a compromise, and a few starts are on their way there for long. But each feature more would disturb the two that matter most, on every single input.",
#   "Then all five would disturb each other on every input. That costs more than giving up the three that matter least.",
# ]

# %% [raw] predict="superposition-sparse"
# question = "The same model, but each feature is absent nine times out of ten (S = 0.9). How many features have a direction now?"
# choices = ["2, as before: there are two dimensions", "3: a triangle", "4 or 5"]
# answer = 2
# why = [
#   "That is what a linear model does, as you will see. With the ReLU, and with features that rarely meet, there is a better way.",
#   "A triangle is the most that keeps every reading of another feature negative with plenty of room. The model goes further.",
#   "Right: most starts keep all five, some four. Features rarely come together, so sharing rarely hurts.",
# ]

# %% [markdown]
# Watch eight of them learn. The upper four see every feature always, the lower four see each one in ten times. (In a saved notebook the picture stands at its end.
# Run the cell, and it moves.)

# %%
sparsity = torch.tensor([0.0] * 4 + [0.9] * 4)


def picture(step, toy):
    return superposition_views.directions(
        toy.W,
        [f"S = {s:g}" for s in sparsity],
        title=f"Eight models at step {step}",
        alt="Eight panels of five arrows. At the end, the upper ones (S = 0) have two long arrows at right angles, the lower ones (S = 0.9) four or five long arrows spread around the circle.",
    )


toy = superposition.train(5, 2, sparsity, steps=1000, watch=superposition_views.Live(picture), every=50)

# %%
kept = superposition.represented(toy.W).sum(1)  # directions longer than 0.5, for each instance
for s, n in zip(sparsity, kept, strict=True):
    print(f"S = {s:g}: {n} features kept")

# %%
reveal("superposition-dense")
reveal("superposition-sparse")

# %% [markdown]
# The matrix `WᵀW` shows the same without arrows, and works in any number of dimensions. The diagonal says how strongly a feature is kept, everything else is interference.

# %%
chosen = [0, 1, 4, 5]
superposition_views.overlaps(
    toy.W[chosen],
    [f"S = {sparsity[k]:g}" for k in chosen],
    title="WᵀW of four of the models: two starts at each sparsity",
    alt="Four matrices of five by five. The first two have two dark red entries on the diagonal; the last two four or five, with negative (blue) and weakly positive entries beside them.",
)

# %% [markdown]
# **Change this and see.** Give each of the eight models a sparsity of its own: `sparsity = torch.tensor([0.0, 0.5, 0.7, 0.8, 0.9, 0.97, 0.99, 0.999])`. Which is the first to keep a third feature?
# (One start for each: the next section asks how far that can be trusted.)
#
# *What this does not show*: that real networks do this. We chose the data, and made sparsity the only thing that varies.
#
# ### Many starts, not one
#
# The paper shows a pentagon at a sparsity of 90 %. Do *you* get one? That depends on the start: training goes downhill, and there is more than one valley. A claim about what a model
# learns is a claim about many starts. Here are twelve for each of four sparsities, each instance by the number of features it keeps.

# %%
levels = [0.0, 0.8, 0.9, 0.97]
many = superposition.train(5, 2, torch.tensor(levels).repeat_interleave(12), seed=1)
counts = superposition.represented(many.W).sum(1).view(4, 12)
plots.heatmap(
    torch.stack([(counts == n).sum(1) for n in range(1, 6)], dim=1),
    x=[str(n) for n in range(1, 6)],
    y=[f"{s:.2f}" for s in levels],
    title="Instances out of 12, by how many features they keep",
    xlabel="features with a direction",
    ylabel="sparsity",
    alt="A row for each sparsity. At 0 nearly all instances keep 2 features, at 0.80 mostly 4, at 0.90 and 0.97 mostly 5.",
    text=True,
    zlabel="instances",
)

# %% [markdown]
# | sparsity | ours, 60 starts (measured beforehand, five seeds) | a replication of the paper, 12 starts, 8,000 steps |
# |---|---|---|
# | 0 | 2 in 56, 3 in 4 | 2 in 12 |
# | 0.80 | 4 in 44, 5 in 14, 3 in 2 | 4 in 8, 5 in 3, 3 in 1 |
# | 0.90 | 5 in 54, 4 in 5, 3 in 1 | 5 in 6, 4 in 6 |
# | 0.97 | 5 in 48, 4 in 11, 3 in 1 | 5 in 11, 4 in 1 |
#
# The trend is the same and the numbers are not: how many starts end in which valley also depends on the step size. Ours is larger, and falls. So "it learns a pentagon" is a
# statement about good minima, not a law.

# %%
x = superposition.sample(48, 4000, 5, torch.tensor(levels).repeat_interleave(12), torch.Generator().manual_seed(0))
losses = superposition.loss(many(x), x, superposition.importances(5)).view(4, 12)  # on fresh inputs
for level, row, features in zip(levels, losses, counts, strict=True):
    for n in sorted(set(features.tolist())):
        print(f"S = {level:.2f}: {n} features kept, mean loss {row[features == n].mean():.3f}")

# %% [markdown]
# At 0.90 and 0.97, the starts that keep all five lose least: the pentagon is the better valley, and some starts do not find it.
#
# ### How much of a dimension does a feature get?
#
# Two features that point in opposite directions, an [[term:antipodal pair]], share one dimension. Each has half. Five in a pentagon share two: 2/5 each. The paper's measure of it, the
# [[term:dimensionality]] of a feature, is
#
# $$D_i = \frac{\lVert W_i \rVert^2}{\sum_j (\hat W_i \cdot W_j)^2}$$
#
# its own squared length, over everything that lies along its direction, itself included. The hat means: divided by its length. You program it in the lab.

# %% [raw] quiz="superposition-triangle"
# question = "Three features of length 1 form a triangle in the plane, 120° apart. What is the dimensionality of each?"
# choices = ["1/2", "2/3", "1"]
# answer = 1
# why = [
#   "That is an antipodal pair: 1 / (1 + 1). The cosine of 120° is −1/2, so each neighbour adds only 1/4.",
#   "Right: 1 / (1 + 1/4 + 1/4) = 2/3. And three times 2/3 is 2, the number of dimensions.",
#   "Only a feature that nothing else touches has a dimension of its own.",
# ]

# %%
shares, kept = superposition.dimensionality(many.W), superposition.represented(many.W)
place = torch.arange(48) // 12 + torch.linspace(-0.25, 0.25, 12).repeat(4)  # the twelve instances side by side
figure = plots.scatter(
    torch.stack([place[:, None].expand_as(shares)[kept], shares[kept]], dim=1),
    title="Every kept feature of the 48 instances",
    xlabel="sparsity (twelve instances side by side)",
    ylabel="dimensionality",
    alt="Points near 1 at sparsity 0, mostly at 0.5 at sparsity 0.80, and mostly at 0.4 at 0.90 and 0.97.",
)
figure.update_xaxes(tickvals=[0, 1, 2, 3], ticktext=["0", "0.80", "0.90", "0.97"])
for line in (1, 1 / 2, 2 / 5):
    figure.add_hline(y=line, line=dict(color=plots.INK, dash="dot", width=1))
figure.show()
print(f"The sum over an instance: {shares.sum(1).min():.3f} to {shares.sum(1).max():.3f}")

# %% [markdown]
# Most points stand on a few lines. The replication has medians of 0.92 to 1.00, 0.500 or 0.400, and 0.400, with sums of 1.83 to 2.00. The sum cannot be more than *m* = 2, whatever `W` is. That it comes out *at*
# 2 means that no space is left unused.
#
# Is that peculiar to two dimensions? Take 40 features, all equally important, and 6 dimensions. If all kept features have length 1, $\lVert W \rVert^2$ (the sum of all squared entries) counts them, and $m / \lVert W \rVert^2$ is the dimensions
# that each gets. The picture goes from S = 0 on the left to S = 0.94 on the right, on a logarithmic axis: 1 / (1 − S) says in how many inputs a feature comes once.

# %%
density = 10 ** torch.linspace(0, -1.2, 14)
wide = superposition.train(40, 6, 1 - density, importance=torch.ones(40), steps=1200, lr=0.02)
figure = plots.lines(
    {"dimensions per feature": 6 / (wide.W**2).sum((1, 2))},
    x=(1 / density).log10().tolist(),
    title="40 equally important features in 6 dimensions",
    xlabel="log₁₀ of 1 / (1 − S): 0 is S = 0, 1 is S = 0.9",
    ylabel="dimensions per feature",
    alt="A line that falls from 1 to about 0.2 as sparsity grows, with a flat stretch at one half.",
)
figure.add_hline(y=1 / 2, line=dict(color=plots.INK, dash="dot", width=1)).show()

# %% [markdown]
# The line falls with sparsity, but it rests at 1/2: there the model is made of antipodal pairs, and stays so over a range of sparsities. The paper, with 400 features in 30 dimensions, finds it
# *sticky* at 1 and at 1/2, and single features on lines at 3/4, 2/3, 1/2, 2/5 and 3/8.
#
# *What this does not show*: any of those other lines. With 6 dimensions and this training, only the rest at 1/2 is plain.
#
# ### A jump, not a slope
#
# Now the smallest case: two features, one dimension. The second is 0.7 times as important. Turn up sparsity and watch the length of its direction.

# %% [raw] predict="superposition-jump"
# question = "As sparsity grows from 0 to 0.9, how does the length of the second feature's direction go from 0 to 1?"
# choices = ["evenly, from the start on", "it stays near 0, then jumps to most of its length within a few hundredths of sparsity", "it is 1 from the start, and only the loss changes"]
# answer = 1
# why = [
#   "A natural guess: a little sparsity, a little superposition. But a short second direction disturbs the first feature and cannot yet be read well itself.",
#   "Right. Keeping one feature and keeping both are two different solutions. At some sparsity the second one becomes the cheaper, and the best model changes over.",
#   "At S = 0 both features are always there. In one dimension, the model then does better with one of them alone.",
# ]

# %%
s = torch.linspace(0, 0.9, 19).repeat_interleave(10)  # ten starts at each of 19 sparsities
importance = torch.tensor([1.0, 0.7])
line = superposition.train(2, 1, s, importance=importance, steps=600)
x = superposition.sample(len(s), 3000, 2, s, torch.Generator().manual_seed(1))
best = superposition.loss(line(x), x, importance).view(19, 10).argmin(1)  # the best start of each
length = line.W.view(19, 10, 2)[torch.arange(19), best].abs()
plots.lines(
    {"feature 1": length[:, 0], "feature 2": length[:, 1]},
    x=s[::10].tolist(),
    title="Two features in one dimension: the best of ten starts",
    xlabel="sparsity",
    ylabel="length of the direction",
    alt="Two lines. Feature 1 has length 1 throughout. Feature 2 stays near 0 up to a sparsity of about 0.4, jumps to about 0.8, and then grows to 1.",
)

# %%
reveal("superposition-jump")

# %% [markdown]
# Why the *best* of ten? Many a start ends in the valley of one feature at any sparsity, because both directions began with the same sign. A question about what is best needs several starts.
#
# There is no gradual way, and the place of the jump can be computed without training. Keep feature 1 alone, `W = (1, 0)`, and you lose the variance of feature 2. Keep both as an antipodal pair, `W = (1, −1)`, and you
# lose nothing unless both are there. In the lab you work out both losses; here they are:

# %%
grid = torch.linspace(0, 0.95, 40)
losses = superposition_theory.strategy_losses(torch.full((40,), 0.7), grid)
crossing = float(superposition_theory.boundary(torch.tensor(0.7)))
plots.lines(
    dict(zip(superposition_theory.STRATEGIES, losses, strict=True)),
    x=grid.tolist(),
    title=f"Expected losses on paper: they cross at a sparsity of {crossing:.2f}",
    xlabel="sparsity",
    ylabel="expected loss",
    alt="Three lines. That of the antipodal pair falls from the highest place, crosses that of feature 1 only at a sparsity of about 0.49, and is the lowest from there on; the other two rise a little before they fall.",
)

# %% [markdown]
# The trained models change over a little earlier: 0.45 is the first sparsity at which both are kept, in each of five seeds. They may choose lengths and a bias that the three strategies on paper do not have: just after the jump, feature 2 has a length of
# about 0.8, not 1, and the model loses 0.072 to 0.073, where the best of the three loses 0.075. A change by a jump from one solution
# to another is what physics calls a *first-order* phase change. The lab has the whole map, for all importances.
#
# *What this does not show*: that every feature in every model jumps. With many features each one meets its own competition.
#
# ### The control: take the ReLU away
#
# Two causes were named: sparsity, and the ReLU that takes negative readings away. To see that the second is needed, train the same model without it: $x' = W^T W x + b$.

# %% [raw] predict="superposition-linear"
# question = "A linear model, five features in two dimensions, S = 0.9. How many features does it keep?"
# choices = ["2", "4 or 5, like the model with a ReLU", "none"]
# answer = 0
# why = [
#   "Right, and at every sparsity. Without the ReLU, interference of either sign is an error, and it costs as much as it brings.",
#   "Sparsity alone would suggest it: the features rarely meet. But even a single feature is misread along all the others, and nothing cuts that off.",
#   "It is trained as well as the other, and two features at right angles cost no interference at all.",
# ]

# %%
control = superposition.train(5, 2, 0.9, instances=4, linear=True, steps=1000)
superposition_views.directions(
    control.W,
    ["linear, S = 0.9"] * 4,
    title="Four starts of the linear model",
    alt="Four panels, each with two arrows of length 1 at right angles, for features 0 and 1, and three of nearly no length.",
)

# %%
x = superposition.sample(4, 40_000, 5, 0.9, torch.Generator().manual_seed(2))  # many: the difference below is small
linear = superposition.loss(control(x), x, superposition.importances(5)).mean()
x = superposition.sample(12, 40_000, 5, 0.9, torch.Generator().manual_seed(2))
relu = superposition.loss(superposition.Toy(many.W[24:36], many.b[24:36])(x), x, superposition.importances(5)).mean()
formula = superposition_theory.best_linear_loss(2, superposition.importances(5), 0.9)
print(f"S = 0.9: linear {linear:.3f} (the best possible: {formula:.3f}), with the ReLU {relu:.3f}")

# %%
reveal("superposition-linear")

# %% [markdown]
# The linear model finds what *principal component analysis*, the classical method of squeezing data, would: the two most important features. Its expected loss is a formula (you derive it in the lab), and no `W` has a smaller one. The model with
# the ReLU loses about a third of it.
#
# *What this does not show*: that a ReLU at the end is the only curve that helps, or that a network with several layers behaves like this one.
#
# ## Watch
#
# - [[paper:welchlabs2024]]: a picture of superposition and of the way back, and of the hunt for features in large models. It goes beyond this lesson.
#
# ## Read
#
# 1. [[paper:elhage2022]]: "Definitions and Motivation", "Demonstrating Superposition" and "Superposition as a Phase Change". You have now seen each of the figures in them made. Then "The Geometry of Superposition": compare the figure of
#    dimensions per feature with yours.
# 2. The same paper, "The Strategic Picture of Superposition": how superposition might be solved. Lesson 13 takes one of these ways.
#
# ## Do
#
# Open [[lab:12]]. You write nine functions in three sittings: the experiment itself; the measures that turn a picture into a number; and the theory of the smallest case, with its phase diagram, and of the linear control.
#
# ## ML Connection
#
# If real networks do this, then neurons are the wrong unit to look at: a neuron answers to several features because it is not the direction of any single one. That would explain why single neurons in language models are so often hard to name, and it
# says what to look for instead: directions, more of them than neurons, each rarely active. *Sparse autoencoders* (lesson 13) are built on this idea. It also warns them: features that come *together* often, or that are dense, need not be stored like this.
#
# ## What this does not show
#
# - The features were independent, equally large when present, and given by us. In real data they come together, in families, and nobody hands out a list.
# - The model copies its input. A network that computes something with its features may arrange them for other reasons.
# - Dimensionalities near 2/5 and 1/2 come from few features in few dimensions. They are no prediction for a language model.
# - Our trainings are short, 600 to 1,500 steps. Longer and slower ones end in other valleys more or less often, as the table shows.
# - That a direction is long does not mean that the feature can be read out well; only the loss says that.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. Two that we have: when two features always come together, do they get one direction or two at a small angle? And how would you notice superposition in a network whose features nobody knows?
