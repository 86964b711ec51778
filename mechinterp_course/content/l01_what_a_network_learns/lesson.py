# %% [markdown]
# # What a network learns
#
# You may have seen a video in which a network of dots and lines learns to recognise digits. This lesson goes from there to the two ideas
# on which the rest of the course stands: that what a network has learned is a *direction* among its numbers, and that a layer may hold
# more of these than it has numbers.
#
# Everything is small enough to be drawn. You train a network in a second, on points in the plane, and then open it.

# %%
import math

import torch
import torch.nn.functional as F

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.interp import plots

torch.set_printoptions(precision=2, sci_mode=False)

# %% [markdown]
# ## Core Learning
#
# ### Learning is walking downhill
#
# Take the smallest network there is: $y = w \cdot x + b$, two [[term:weights]]. Some points that it should fit lie along a line. For any choice
# of $w$ and $b$ there is a [[term:loss]]: here the mean squared distance between what it says and what it should say. So the loss is a
# landscape over the weights, and with two of them you can draw it:

# %%
x = torch.linspace(-1, 2, 20)
y = 1.5 * x - 0.5 + 0.2 * torch.randn(20, generator=torch.Generator().manual_seed(0))


def line_loss(w, b):
    return ((w * x + b - y) ** 2).mean()


ws, bs = torch.linspace(-1, 4, 26), torch.linspace(-3, 2, 26)
landscape = torch.stack([torch.stack([line_loss(w, b) for w in ws]) for b in bs])
plots.heatmap(
    landscape.log10().flip(0),
    x=[f"{w:.1f}" for w in ws],
    y=[f"{b:.1f}" for b in bs.flip(0)],
    title="The loss of every line",
    xlabel="w, the slope",
    ylabel="b, the height",
    alt="A map of the loss over w and b: an oval valley, lowest near w = 1.5 and b = -0.5.",
    zlabel="log10 loss",
)

# %% [markdown]
# A real network has millions of weights, and nobody can draw that. But at any one place, torch can tell the slope: the [[term:gradient]], one number
# for each weight, which says how the loss changes when that weight grows. [[term:gradient descent|Gradient descent]] is: take a small step against it, ask again.


# %%
def walk(learning_rate, steps=40):
    weights = torch.tensor([-0.5, -2.5], requires_grad=True)  # w and b, a bad beginning
    losses = []
    for _ in range(steps):
        loss = line_loss(*weights)
        losses.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, weights)  # the slope in w and in b
        weights = (weights - learning_rate * gradient).detach().requires_grad_()
    return torch.tensor(losses), weights.detach()


losses, weights = walk(0.1)
print(f"after 40 steps: w = {weights[0]:.2f}, b = {weights[1]:.2f}, loss {losses[0]:.2f} → {losses[-1]:.3f}")

# %% [raw] predict="learns-learning-rate"
# question = "You take steps seven times as large: learning rate 0.7 in place of 0.1. What happens to the loss in 40 steps?"
# choices = ["it falls seven times as fast", "it grows without bound", "it falls at first and then stays at a higher value"]
# answer = 1
# why = [
#   "True for small steps, and the reason why people try larger ones. But the slope holds only near the place where it was measured: a long step lands on the other side of the valley.",
#   "Right. Each step lands on the other side of the valley, farther up than where it began. There the slope is larger still, and so is the next step.",
#   "That is what one often sees in large networks, where the valley changes its shape. In a plain bowl a step is too long everywhere or nowhere.",
# ]

# %%
rates = (0.01, 0.1, 0.4, 0.7)
plots.lines(
    {f"learning rate {rate}": walk(rate)[0].clamp(min=1e-6).log10() for rate in rates},
    title="Four learning rates",
    xlabel="step",
    ylabel="log10 of the loss",
    alt="Four curves. With 0.01 the loss falls slowly, with 0.1 and 0.4 fast to the same low value; with 0.7 it rises in a straight line.",
)

# %%
reveal("learns-learning-rate")

# %% [markdown]
# **Change this and see.** Find the largest rate that still works, to one decimal. Then move the points apart: `x = torch.linspace(-1, 4, 20)`. Does
# the same rate still work?
#
# *What this does not show*: that downhill always leads to the lowest place. This landscape has one valley. A network with a hidden layer has
# many places where the walk may end.
#
# ### A network that bends
#
# Here is something that no line can do: tell a disc from the ring around it. Class 0 is the disc, class 1 the ring.


# %%
def rings(n, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 2
    radius = targets * 1.5 + torch.rand(n, generator=generator)  # 0 to 1 in the disc, 1.5 to 2.5 in the ring
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), targets


points, targets = rings(200, seed=0)
plots.scatter(
    points,
    title="A disc and a ring",
    xlabel="x",
    ylabel="y",
    alt="Points of a disc in the middle, and points of a ring all around it, with a gap between them.",
    groups=["ring" if target else "disc" for target in targets],
)

# %% [markdown]
# Our network has 16 hidden [[term:neuron|neurons]]. Each takes a weighted sum of x and y and replaces a negative result by 0: that is the *ReLU*.
# Two [[term:logits]], one for each class, are read from the 16 numbers.
#
# ```
#   x, y ──── @ W1 + b1 ────→ ReLU ────→ 16 hidden numbers ──── @ W2 + b2 ────→ 2 logits
# ```


# %%
def new_weights(seed, d_hidden=16):
    generator = torch.Generator().manual_seed(seed)
    W1 = torch.randn(2, d_hidden, generator=generator)
    W2 = torch.randn(d_hidden, 2, generator=generator) / d_hidden**0.5
    return {"W1": W1, "b1": torch.zeros(d_hidden), "W2": W2, "b2": torch.zeros(2)}


def forward(points, weights, bend=torch.relu):
    hidden = bend(points @ weights["W1"] + weights["b1"])  # (batch, d_hidden)
    return hidden, hidden @ weights["W2"] + weights["b2"]  # and the logits, (batch, 2)


# %% [markdown]
# The loop is the one from above: loss, gradients, a step. Only the weights are more. (In the lab you write the gradients yourself.)


# %%
def train(points, targets, weights, bend=torch.relu, learning_rate=1.0, steps=300):
    losses = []
    for _ in range(steps):
        weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
        loss = F.cross_entropy(forward(points, weights, bend)[1], targets)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        weights = {name: w - learning_rate * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        losses.append(loss.item())
    return {name: w.detach() for name, w in weights.items()}, torch.tensor(losses)


def right(points, targets, weights, bend=torch.relu):  # the share of points that get the higher logit for their class
    return float((forward(points, weights, bend)[1].argmax(-1) == targets).float().mean())


# %% [raw] predict="learns-without-relu"
# question = "You train the network twice: as it is, and with the ReLU left out, so that nothing is cut off. On new points, how often is the one without the ReLU right?"
# choices = ["nearly always: it has the same number of weights", "about 80 % of the time", "a little more than half of the time"]
# answer = 2
# why = [
#   "The weights are the same in number. But a weighted sum of weighted sums is a weighted sum: without the bend, two layers can do what one can, and no more.",
#   "That is what one straight cut gives on two clouds side by side. Here one class lies all around the other.",
#   "Right. Without the bend the border is one straight line, and a line has as much ring on one side as on the other. Two classes of equal size are then a coin flip, or little better.",
# ]

# %%
new_points, new_targets = rings(1000, seed=100)
weights, losses = train(points, targets, new_weights(0))
straight, straight_losses = train(points, targets, new_weights(0), bend=lambda numbers: numbers)
print(f"with ReLU:    right on {right(new_points, new_targets, weights):.1%} of 1,000 new points")
print(f"without ReLU: right on {right(new_points, new_targets, straight, bend=lambda numbers: numbers):.1%}")
plots.lines(
    {"with ReLU": losses, "without": straight_losses},
    title="Learning the ring",
    xlabel="step",
    ylabel="loss, in nats",
    alt="Two curves over 300 steps. With ReLU the loss falls to nearly 0; without, it jumps up and down in the first steps and then stays at about 0.69, the loss of a coin flip.",
)

# %%
reveal("learns-without-relu")

# %% [markdown]
# The jumps of the dashed curve are steps that are too long, as in the picture of the four learning rates. They die down, and the loss still stays high:
# there is no better line to find.
#
# *What this does not show*: that the network has the idea of a ring. It was asked about points like those it was trained on.
#
# ### Look inside: sixteen neurons
#
# Where in the plane does each neuron fire? Ask every place of a grid, and draw the first eight of the sixteen side by side.

# %%
ticks = torch.linspace(-3, 3, 19)
grid = torch.cartesian_prod(ticks, ticks)  # (19 × 19 places, 2): every x with every y
fires = forward(grid, weights)[0].T.view(16, 19, 19).mT.flip(1)  # (neuron, y from the top, x)
gap = torch.full((1, 19), float("nan"))  # an empty line between two maps
columns = [torch.cat([fires[i], gap, fires[i + 4]]) for i in range(4)]
side = torch.full((39, 1), float("nan"))
plots.heatmap(
    torch.cat([part for column in columns for part in (column, side)][:-1], dim=1),
    title="Where eight of the neurons fire",
    xlabel="x from −3 to 3, four times: neurons 0 to 3 above, 4 to 7 below",
    ylabel="y from 3 down to −3, twice",
    alt="Eight maps of the plane. Each neuron is 0 on one side of a straight border and rises steadily on the other side; the borders differ in direction.",
    zlabel="activation",
).update_xaxes(showticklabels=False, ticks="").update_yaxes(showticklabels=False, ticks="")

# %% [markdown]
# Each neuron bends the plane along one straight fold: 0 on one side, a slope on the other. None of them is a ring. Yet the network
# knows the ring. So where is it?

# %% [raw] predict="learns-neuron-or-direction"
# question = "Take the one neuron whose activation tells disc and ring apart best, with the best threshold. How often is it right on new points?"
# choices = ["about half of the time, as often as a coin", "about 70 %", "about 95 %"]
# answer = 1
# why = [
#   "It does a little better: where a neuron fires strongly is far out, and far out there is only ring.",
#   "Right. Far out on its own side a neuron fires strongly, and that is ring. But on its dead side lie the disc and half of the ring, and there it is 0 for both.",
#   "That would be a neuron for the ring. Sixteen together are better than 95 %; none of them is the ring alone.",
# ]


# %%
def best_threshold(numbers, labels):
    """The share that is right if 1 is said above a threshold (or below it), for the best threshold."""
    order = numbers.argsort()
    ones = labels[order].float().cumsum(0)  # how many 1s are at or below each place
    below = torch.arange(1, len(labels) + 1)
    correct = (below - ones) + (ones[-1] - ones)  # 0s below and 1s above
    return float(torch.maximum(correct, len(labels) - correct).max() / len(labels))


hidden, _ = forward(new_points, weights)
alone = [best_threshold(hidden[:, neuron], new_targets) for neuron in range(16)]
best = max(range(16), key=lambda neuron: alone[neuron])
print(f"the best neuron is number {best}: right on {alone[best]:.0%} of the new points")

# %%
reveal("learns-neuron-or-direction")

# %% [markdown]
# ### A feature is a direction
#
# The 16 hidden numbers of a point are themselves a point, in a space of 16 dimensions. A neuron is one *axis* of that space. There are
# many other directions. Take the simplest one that could matter: from the mean of the discs to the mean of the rings. And measure how far each
# example reaches along it, its [[term:projection]].

# %%
old_hidden, _ = forward(points, weights)
direction = old_hidden[targets == 1].mean(0) - old_hidden[targets == 0].mean(0)  # found on the training points
direction = direction / direction.norm()  # length 1
reach = hidden @ direction  # the projection of every new point
print(f"the direction, with its best threshold: right on {best_threshold(reach, new_targets):.0%} of the new points")
plots.scatter(
    torch.stack([reach, hidden[:, best]], dim=1)[:300],
    title="Along a direction, and along the best axis",
    xlabel="projection on the direction",
    ylabel=f"activation of neuron {best}",
    alt="Sideways the two classes lie apart, disc left and ring right. Upwards they overlap.",
    groups=["ring" if target else "disc" for target in new_targets[:300]],
)

# %% [markdown]
# This is the working definition for the rest of the course: a [[term:feature]] is a property of the input, and the layer represents it as a **direction**. One
# neuron may be part of many of them.
#
# But does the network *use* it? Reading is a correlation. To know, change it: move every example along the direction, leave all else alone, and
# see what the network says. The control is a step of the same length in random directions.

# %%
generator = torch.Generator().manual_seed(0)
random = F.normalize(torch.randn(100, 16, generator=generator), dim=-1)
discs = hidden[new_targets == 0]
steps = torch.linspace(0, float(reach[new_targets == 1].mean() - reach[new_targets == 0].mean()), 11)


def says_ring(hidden):  # the share of these examples that the network calls ring
    logits = hidden @ weights["W2"] + weights["b2"]
    return float((logits[:, 1] > logits[:, 0]).float().mean())


moved = {
    "along the direction": [says_ring(discs + step * direction) for step in steps],
    "along random ones (mean of 100)": [
        sum(says_ring(discs + step * one) for one in random) / len(random) for step in steps
    ],
}
plots.lines(
    moved,
    x=[share * 10 for share in range(11)],
    title="Discs, moved towards the rings",
    xlabel="how far, in % of the way from the mean disc to the mean ring",
    ylabel="share that the network calls ring",
    alt="Moved along the direction, all discs are called ring before the end of the way. Moved as far along random directions, far fewer are.",
)

# %% [markdown]
# **Change this and see.** Move the rings the other way: `hidden[new_targets == 1] - step * direction`. Do they become discs?
#
# *What this does not show*: that this is *the* direction. Any direction that has a part along it moves the answer too, and some random ones do. And
# a layer of a language model has thousands of properties to read, not one.

# %% [raw] quiz="learns-read-or-used"
# question = "In some layer you find a direction from which 'is the word a verb?' can be read with 99 % success. What do you know?"
# choices = ["the model uses that direction to handle verbs", "the information is there, along that direction; whether anything reads it is open", "one neuron of the layer stands for verbs"]
# answer = 1
# why = [
#   "It may. But information can lie in a layer because it came in with the input and nobody took it out. To know, change the direction and watch the output.",
#   "Right. In the lab you find such a direction in this network: it can be read, and hardly anything depends on it.",
#   "A direction is in general a mixture of many neurons, as it was here.",
# ]

# %% [markdown]
# ### Room for directions
#
# If features were neurons, a layer of 16 could hold 16 features. If they are directions at right angles to each other, it is still 16: that is
# how many right angles there are in 16 dimensions. But how bad is *almost* at right angles? Draw directions at random and look at
# the cosine of the angle between pairs of them: 0 is a right angle.

# %% [raw] predict="learns-random-angles"
# question = "You draw 300 random directions in 1,000 dimensions. How many of the 44,850 pairs are within 6 degrees of a right angle (a cosine between −0.1 and 0.1)?"
# choices = ["about 6 %, as in the plane", "about half", "more than 99 %"]
# answer = 2
# why = [
#   "In the plane that is right: about 12 degrees of 180. In many dimensions there are far more ways to be at right angles than not.",
#   "Half is reached already in about 45 dimensions. With 1,000 it is far more.",
#   "Right. The cosines have a standard deviation of 1/√1000 = 0.03, so 0.1 is three of them away.",
# ]


# %%
def all_cosines(n, d, seed=0):
    directions = F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=-1)
    return (directions @ directions.T)[torch.ones(n, n).triu(1) > 0]  # each pair once


histograms = {}
for d in (3, 30, 1000):
    count = torch.histc(all_cosines(300, d), bins=51, min=-1, max=1)
    histograms[f"{d} dimensions"] = count / count.max()
plots.lines(
    histograms,
    x=torch.linspace(-1, 1, 52)[:-1] + 1 / 51,
    title="How far from a right angle are random directions?",
    xlabel="cosine",
    ylabel="how many, compared with the most frequent",
    alt="Three histograms of cosines. In 3 dimensions all are equally frequent, in 30 they crowd around 0, in 1,000 they form a needle at 0.",
)

# %%
for d in (2, 45, 1000):
    cosines = all_cosines(300, d)
    near = (cosines.abs() < 0.1).float().mean()
    print(f"d = {d:4}: {near:6.1%} within 6 degrees; standard deviation {cosines.std():.3f}, and 1/√d = {d**-0.5:.3f}")

# %%
reveal("learns-random-angles")

# %% [markdown]
# So in a wide layer directions do not get in each other's way much, even if nobody arranges them. Each pair still disturbs a little, by its cosine:
# that is [[term:interference]]. In the lab you count how many directions fit at a given tolerance. The number grows exponentially with the
# number of dimensions.
#
# ### More features than numbers
#
# Try it. 100 dimensions, 400 features, each with a random direction. To write, add up the directions of the features that are active. To read a feature,
# take the dot product with its direction. First with three active features, and then with forty.

# %%
directions = F.normalize(torch.randn(400, 100, generator=torch.Generator().manual_seed(0)), dim=-1)


def read_back(n_active):
    layer = directions[:n_active].sum(0)  # features 0, 1, … are active: one vector of 100 numbers holds them all
    return directions @ layer  # the readings of all 400


plots.lines(
    {"40 active": read_back(40)[:100], "3 active": read_back(3)[:100]},
    title="Reading 400 features out of 100 numbers (the first 100 are shown)",
    xlabel="feature",
    ylabel="reading",
    alt="With 3 active features, the first three readings stand out near 1 and the rest lie near 0. With 40 active, the readings of active and inactive ones mix.",
)

# %%
for n_active in (3, 40):
    read = read_back(n_active)
    wrong = (read[n_active:] > 0.5).sum() + (read[:n_active] <= 0.5).sum()
    print(f"{n_active:2} active: {wrong} of 400 features read wrongly, at a threshold of 0.5")

# %% [markdown]
# So it works, **if few features are active at once**. That is often so in the world: of all the things that a text could be about, this sentence is
# about a handful. Such features are called *sparse*.
#
# Now the statement that half of this course is about, the [[term:superposition hypothesis]]:
#
# > A network represents **more features than a layer has dimensions**, as directions that are **almost** at right angles. It pays for them with
# > interference, and can afford that because features are **sparse**.
#
# [[paper:olah2020]] described what made people think so: in an image model, they met neurons that answer to several unrelated things (to cat faces, fronts of
# cars and cat legs, for one of them). They call such neurons [[term:polysemantic]]. If a layer has more features than neurons, there
# is no other way: some neurons must share. [[paper:elhage2022]] built small networks in which superposition can be watched; in lesson 12 you
# build them too.
#
# Keep apart what is what:
#
# | claim | what you have seen today |
# |---|---|
# | there is *room* for many almost orthogonal directions | a fact of geometry, measured |
# | sparse features can be *read back* from few numbers | measured, for random directions and plain dot products |
# | trained networks *use* this room | a hypothesis. In toy models it can be shown (lesson 12); for large models there is evidence, and no proof |
# | features *are* directions | a hypothesis too. It held for the ring here. Some things may be represented otherwise |

# %% [raw] quiz="learns-superposition"
# question = "You find a neuron that fires on both French text and prices. Which of these would the superposition hypothesis lead you to look for?"
# choices = ["a common cause: prices in French texts", "two directions, each a mixture of many neurons, that both have a part along this one", "a mistake in training"]
# answer = 1
# why = [
#   "A good scientist checks this first, with French texts without prices. It is the rival explanation, and not superposition.",
#   "Right. Under the hypothesis the neuron is an axis that two features share. Lesson 13 is about finding such directions without knowing the features.",
#   "Sharing a neuron costs little if the two are rarely active together: training may well prefer it.",
# ]

# %% [markdown]
# ## Watch
#
# - [[paper:3blue1brown2017]]: chapters 2 to 4, gradient descent and backpropagation, if you have not watched them with [[lesson:00]]. Do it before the
#   second exercise of the lab.
# - [[paper:welchlabs2024]]: if you have seen it, watch it again from the middle. You now know what its "dark matter" is made of.
#
# ## Read
#
# 1. [[paper:olah2020]]: the text behind this lesson. Three claims: features, circuits, universality. Note which evidence it gives for each, and what it
#    calls speculative.
# 2. [[paper:elhage2022]], the first sections, up to the demonstration. The rest belongs to lesson 12.
#
# ## Do
#
# Open [[lab:01]]. You write gradient descent, backpropagation and the training loop; then you find the direction of the ring, turn it
# like a knob, and measure how many directions a layer has room for and how many can be read back. The lab is cut into parts that fit an hour each.
#
# ## ML Connection
#
# Every large model is trained by the loop of this lesson, with a more careful step (Adam) and batches instead of all data at once. A direction
# found by a difference of means is a common tool: with it people look for, say, sentiment or refusal in language models, and
# move along it to change what the model does (lesson 16). And the control is the same as here: random directions, of the same length.
#
# ## What this does not show
#
# - One small network, one question, points in a plane. The ring's direction was found because we knew what to look for, and had labels.
# - The random directions of the last sections were drawn by us. No network put its features there.
# - "Feature" has no definition that everybody shares. We use: a property of the input that the layer represents as a direction. What counts as *one*
#   property is open.
# - Training here was easy. That a walk downhill ends in a good place is an observation, and in large networks only partly understood.
#
# ## Questions I still have
#
# Write yours here: double-click this cell. A question that you can turn into a cell of code is the best kind.
