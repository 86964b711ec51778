# %% [markdown]
# # What a network learns: the lab
#
# In the first half you train a network with nothing but your own arithmetic: a step downhill, the gradients by hand, the loop.
# In the second half you open it. You find what it has learned as a *direction* among its hidden numbers, turn that direction like a
# knob, and count how many directions fit into a layer. At the end you have measured why a layer can hold more features than it has
# neurons, and what that costs.
#
# The network, from left to right:
#
# ```
#   x ──── @ W1 + b1 ────→ ReLU ────→ hidden ──── @ W2 + b2 ────→ logits
#   (batch, d_in)             (batch, d_hidden)              (batch, d_out)
# ```
#
# | name | what it counts | here |
# |---|---|---|
# | `batch` | examples at once | as many as you like |
# | `d_in` | numbers that go in: the place of a point in the plane | 2 |
# | `d_hidden` | hidden neurons | 16 |
# | `d_out` | classes, one logit for each: 0 is the disc, 1 is the ring | 2 |
# | `n`, `d` | in the second half: how many directions, and in how many dimensions | as many as you like |
#
# The weights are a dictionary with the keys `W1`, `b1`, `W2` and `b2`. Rows are examples, so a layer is `x @ W1 + b1`, with `W1` of shape
# `(d_in, d_hidden)`.

# %% [markdown]
# The first cell makes the data and a fresh network. `rings` draws points of a disc and of a ring around it, and says which is which.
# After a restart, run this cell and your earlier answers again; each picture makes the rest of what it needs.

# %%
import math

import torch
import torch.nn.functional as F

from mechinterp_course.interp import plots


def rings(n, seed):
    """Return n points in the plane, (n, 2), and their classes, (n,): 0 in the disc, 1 in the ring."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 2
    radius = targets * 1.5 + torch.rand(n, generator=generator)  # 0 to 1, or 1.5 to 2.5
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), targets


def new_weights(seed, d_hidden=16):
    """Return the weights of an untrained network."""
    generator = torch.Generator().manual_seed(seed)
    W1 = torch.randn(2, d_hidden, generator=generator)
    W2 = torch.randn(d_hidden, 2, generator=generator) / d_hidden**0.5
    return {"W1": W1, "b1": torch.zeros(d_hidden), "W2": W2, "b2": torch.zeros(2)}


def forward(x, weights):
    """Return the hidden layer, (batch, d_hidden), and the logits, (batch, d_out)."""
    hidden = torch.relu(x @ weights["W1"] + weights["b1"])
    return hidden, hidden @ weights["W2"] + weights["b2"]


# %% [raw] card="descend"
# title = "Walk downhill"
# purpose = "Every network of this course was made by this loop: ask for the slope, take a small step against it, ask again."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = []
# nudge = "The gradient points uphill, and it is different at every place. How often do you have to ask for it, and which way do you go?"
# idea = "Keep a list of points that begins with the start. In each step, take the last point minus learning_rate times the gradient there, and append it as a new tensor."
# outline = """
# 1. Begin a list with the start.
# 2. steps times: call gradient on the last point of the list; the next point is that point minus learning_rate times the slope.
# 3. Append it. Make a new tensor each time (no -= on the old one).
# 4. torch.stack the list: steps + 1 rows.
# """
# look = "In the picture below, one path creeps, one arrives and one leaps from wall to wall. Nothing but the learning rate differs. Along which axis is the valley steeper, and which axis decides how large a rate may be?"

# %% [markdown]
# Picture the loss as a landscape over the weights. You stand somewhere, in fog. All that you can feel is the slope under your feet:
# the [[term:gradient]], which points uphill, most steeply. [[term:gradient descent|Gradient descent]] takes a step the other way, and asks again:
#
# $$p_{t+1} = p_t - \text{learning rate} \cdot \nabla(p_t)$$
#
# By hand, for the loss $p^2$ with the gradient $2p$, from $p = 3$ with learning rate 0.1: 3 − 0.1 · 6 = 2.4, then 2.4 − 0.1 · 4.8 = 1.92.
#
# `gradient` is a function: `gradient(point)` is the slope there, with the shape of the point. Return all points of the walk, the
# start included.


# %% answer="descend"
def descend(gradient, start: torch.Tensor, learning_rate: float, steps: int) -> torch.Tensor:
    """Return the points of a walk downhill, in order, beginning with the start.

    gradient: a function, point (d,) -> slope (d,). start: (d,). steps: 0 or more.
    Returns: (steps + 1, d).
    """
    ### BEGIN SOLUTION
    points = [start]
    for _ in range(steps):
        points.append(points[-1] - learning_rate * gradient(points[-1]))
    return torch.stack(points)
    ### END SOLUTION


# %% [markdown]
# Look: a long valley, ten times as steep across as along, and three learning rates. Each dot is one step of a walk; all three walks
# start at the top left, and the lowest point is (0, 0).

# %%
steepness = torch.tensor([1.0, 10.0])  # the loss is (1·x² + 10·y²) / 2, so its gradient is (1·x, 10·y)
walks = {
    rate: descend(lambda point: steepness * point, torch.tensor([-4.0, 1.5]), rate, 25) for rate in (0.02, 0.12, 0.195)
}
points = torch.cat(list(walks.values()))
plots.scatter(
    points,
    title="Three walks of 25 steps to the lowest point, (0, 0)",
    xlabel="x: the valley runs along here",
    ylabel="y: the steep direction",
    alt="Points of three walks from (-4, 1.5). With rate 0.02 they stop half way, with 0.12 they come close to (0, 0), with 0.195 they jump from one side of the valley to the other.",
    groups=[f"learning rate {rate}" for rate in walks for _ in range(26)],
)

# %%
for rate, walk in walks.items():
    losses = (steepness * walk**2).sum(-1) / 2
    print(f"learning rate {rate}: loss {losses[0]:.1f} at the start, {losses[-1]:.3f} after 25 steps")

# %% [markdown]
# **Change this and see.** Try a rate of 0.21. Across the valley each step multiplies y by (1 − 10 · rate): what happens when that is
# below −1?

# %% [raw] card="backprop"
# title = "Backpropagation, by hand"
# purpose = "The slope of the loss in every weight at once. Whoever has done it once knows what autograd does, and later why a gradient can mislead."
# difficulty = 4
# importance = 5
# minutes = 25
# points = 3
# uses = []
# nudge = "Start at the loss. If one logit were a little larger, how would the loss change? Then go back one layer at a time. Through which neurons does nothing pass?"
# idea = "The slope at the logits is (softmax - one-hot) / batch. Each layer passes it on: W's slope is (what came in) transposed times the slope behind, b's is its sum over the batch, and the input's is the slope times W transposed. At the ReLU, keep it where the neuron was on."
# outline = """
# 1. Forward: before = x @ W1 + b1, hidden = relu(before), logits.
# 2. d_logits: softmax of the logits, minus 1 at the right class of each row, all divided by the batch size.
# 3. W2: hidden transposed times d_logits. b2: d_logits summed over the batch.
# 4. d_hidden: d_logits times W2 transposed. Then set it to 0 where before is not above 0.
# 5. W1: x transposed times that. b1: its sum over the batch.
# """
# look = "Below, the largest difference from torch's own autograd is rounding. And the picture: columns 3 and 10 are exactly 0. No point of the batch switches these neurons on, so they get no slope and cannot learn."

# %% [markdown]
# The loss is the mean cross-entropy of [[lab:00]]: over the batch, the mean of $-\log \text{softmax}(\text{logits})_\text{target}$. How much does
# it change when one weight changes? Begin at the end, and walk back through the same steps (this is *backpropagation*, the chain rule with
# bookkeeping):
#
# ```
#   x ──→ before = x @ W1 + b1 ──→ hidden = relu(before) ──→ logits = hidden @ W2 + b2 ──→ loss
#              d_before    ←──────────    d_hidden      ←──────────   d_logits        ←───┘
# ```
#
# - At the logits the slope is known: $\text{d\_logits} = (\text{softmax}(\text{logits}) - \text{one-hot}(\text{target})) \,/\, \text{batch}$.
#   (One-hot: a row of zeros, with a 1 at the target.) A step against this slope pushes each logit down by its probability, and the right one up by 1.
# - Through a layer `out = in @ W + b`: the slope of `W` is `in.T @ d_out`, that of `b` is `d_out` summed over the batch, and the slope passes on
#   to the input as `d_out @ W.T`. (Check the shapes: only one order fits.)
# - Through the ReLU: where `before` was above 0 the slope passes unchanged. Where it was not, the neuron was off, and nothing passes.
#
# Return a dictionary with a gradient for each weight, under the same key and of the same shape. No autograd (the check would not know; you would).


# %% answer="backprop"
def backprop(x: torch.Tensor, targets: torch.Tensor, weights: dict) -> dict:
    """Return the gradient of the mean cross-entropy in each weight: a dictionary with the keys of `weights`.

    x: (batch, d_in). targets: (batch,), whole numbers below d_out. weights: W1 (d_in, d_hidden), b1 (d_hidden,),
    W2 (d_hidden, d_out), b2 (d_out,).
    """
    ### BEGIN SOLUTION
    before = x @ weights["W1"] + weights["b1"]
    hidden = before.relu()
    logits = hidden @ weights["W2"] + weights["b2"]
    d_logits = (logits.softmax(dim=-1) - F.one_hot(targets, logits.shape[-1])) / len(x)
    d_before = (d_logits @ weights["W2"].T) * (before > 0)
    return {"W1": x.T @ d_before, "b1": d_before.sum(dim=0), "W2": hidden.T @ d_logits, "b2": d_logits.sum(dim=0)}
    ### END SOLUTION


# %% [markdown]
# Look: first the difference from torch's autograd. Then the slopes of W1 in a network where two biases were set so low that their neurons
# are off for every point.

# %%
x, targets = rings(200, seed=0)
weights = new_weights(seed=0)
weights["b1"][[3, 10]] = -20.0
tracked = {name: w.clone().requires_grad_() for name, w in weights.items()}
F.cross_entropy(forward(x, tracked)[1], targets).backward()
ours = backprop(x, targets, weights)
difference = max(float((ours[name] - tracked[name].grad).abs().max()) for name in weights)
print(f"largest difference from autograd: {difference:.1e}")
print("columns that are exactly 0:", (ours["W1"] == 0).all(dim=0).nonzero()[:, 0].tolist())
plots.heatmap(
    ours["W1"],
    y=["from x", "from y"],
    title="The slope of the loss in each number of W1",
    xlabel="hidden neuron",
    ylabel="input",
    alt="Two rows and sixteen columns. Columns 3 and 10, whose neurons are always off, are exactly 0; the others are not.",
    zmid=0,
    zlabel="slope",
)

# %% [raw] card="train"
# title = "The training loop"
# purpose = "Gradients, a small step for every weight, again. The loop is the same for this network and for the largest one."
# difficulty = 2
# importance = 5
# minutes = 12
# points = 2
# uses = ["backprop"]
# nudge = "Which weights does the second step have to ask for its gradients: those that you were given, or those after the first step?"
# idea = "Loop: note the loss of the present weights, ask backprop for the gradients at the present weights, then make a new dictionary in which every weight has moved against its gradient."
# outline = """
# 1. Begin an empty list of losses.
# 2. steps times: run forward with the present weights, and append the cross-entropy of the logits.
# 3. Ask backprop for the gradients at the present weights.
# 4. The new weights: a new dictionary, each weight minus learning_rate times its gradient. All four.
# 5. Return the weights and the losses (torch.stack).
# """
# look = "Five networks with five beginnings all find the ring. Their weights differ; what they do is nearly the same. Keep that in mind when somebody explains one network's weights to you."

# %% [markdown]
# Now both together. In each step:
#
# ```
#   weights ──→ loss (note it down) ──→ gradients ──→ weights − learning rate · gradients ──┐
#      ↑                                                                                   │
#      └───────────────────────────────────────────────────────────────────────────────────┘
# ```
#
# The whole batch is used in every step. `losses[t]` is the loss *before* step t, so `losses[0]` is that of the weights you were given.
# Those weights must stay as they are: whoever gave them to you may want to start again from them. `F.cross_entropy(logits, targets)` is the loss.


# %% answer="train"
def train(
    x: torch.Tensor, targets: torch.Tensor, weights: dict, learning_rate: float, steps: int
) -> tuple[dict, torch.Tensor]:
    """Return the weights after so many steps of gradient descent on the whole batch, and the loss before each step.

    x: (batch, d_in). targets: (batch,). weights: as in backprop; they stay unchanged. steps: 1 or more.
    Returns: a dictionary with the keys of `weights`, and a tensor of losses, (steps,).
    """
    ### BEGIN SOLUTION
    losses = []
    for _ in range(steps):
        losses.append(F.cross_entropy(forward(x, weights)[1], targets))
        gradients = backprop(x, targets, weights)
        weights = {name: w - learning_rate * gradients[name] for name, w in weights.items()}
    return weights, torch.stack(losses)
    ### END SOLUTION


# %% [markdown]
# Look: five networks, each with its own beginning and its own 200 points.

# %%
curves, right = {}, []
for seed in range(5):
    x, targets = rings(200, seed)
    weights, curves[f"network {seed}"] = train(x, targets, new_weights(seed), learning_rate=1.0, steps=300)
    new_x, new_targets = rings(1000, seed=100 + seed)  # points that it was not trained on
    right.append((forward(new_x, weights)[1].argmax(-1) == new_targets).float().mean())
print(f"right on 1,000 new points: {min(right):.1%} to {max(right):.1%}")
plots.lines(
    {name: curve.log10() for name, curve in curves.items()},
    title="Five networks learn the ring",
    xlabel="step",
    ylabel="log10 of the loss in nats",
    alt="Five falling curves over 300 steps. They start at different losses, come together within a few steps, and end below -2, a loss of 0.01.",
)

# %% [markdown]
# Where does one of them draw the line? Every place of the plane is asked: the logit of "ring" minus the logit of "disc". White is where the
# network cannot decide.

# %%
x, targets = rings(200, seed=0)
weights, _ = train(x, targets, new_weights(0), learning_rate=1.0, steps=300)
ticks = torch.linspace(-3, 3, 41)
grid = torch.cartesian_prod(ticks, ticks)  # (41 × 41 places, 2)
logits = forward(grid, weights)[1]
names = [f"{tick:.2f}" for tick in ticks]
plots.heatmap(
    (logits[:, 1] - logits[:, 0]).view(41, 41).T.flip(0).clamp(-8, 8),  # rows from the top: y from 3 to -3
    x=names,
    y=names[::-1],
    title="What the network says about each place",
    xlabel="x",
    ylabel="y",
    alt="A map of the plane. Blue, disc, in the middle; red, ring, all around; the border is a polygon with a few corners.",
    zmid=0,
    zlabel="ring − disc",
)

# %% [markdown]
# **Change this and see.** Give the network four hidden neurons (`new_weights(0, d_hidden=4)`), then three. How many corners has the border?
#
# *What this does not show*: that the network "knows what a ring is". Look at the corners of the map: it has never seen a point
# there, and it is very sure.

# %% [raw] card="feature_direction"
# title = "A feature is a direction"
# purpose = "The working idea of the whole field: what a layer represents is a direction among its numbers, not a neuron."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = []
# nudge = "If a layer says 'ring' in some way, then on average it looks different for rings than for discs. Different in which direction, in the space of its d_hidden numbers?"
# idea = "The mean hidden vector of the class, minus the mean of the rest, brought to length 1."
# outline = """
# 1. Pick the rows of hidden whose label is 1, and take their mean over the examples: (d_hidden,).
# 2. The same for label 0.
# 3. Subtract: from class 0 towards class 1.
# 4. Divide by the vector's length.
# """
# look = "In the picture, which axis separates the classes: the best of sixteen neurons, or the direction that no neuron stands for alone?"

# %% [markdown]
# The hidden layer gives each example 16 numbers: a point in a space of 16 dimensions. Training made two clouds of them, one for each class.
# The arrow from the middle of one cloud to the middle of the other is the simplest guess at the direction in which the layer says "ring":
#
# $$v = \frac{\mu_1 - \mu_0}{\lVert \mu_1 - \mu_0 \rVert}$$
#
# where $\mu_1$ is the mean hidden vector of the examples with label 1. In two dimensions: means (1, 1) and (4, 5) differ by (3, 4), which
# has length 5, so $v$ = (0.6, 0.8).
#
# How strongly an example has the feature is its [[term:projection]] on $v$: the dot product `hidden @ v`, one number for each example.


# %% answer="feature_direction"
def feature_direction(hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the direction from the mean of the examples with label 0 to the mean of those with label 1, at length 1.

    hidden: (batch, d_hidden). labels: (batch,), each 0 or 1, both occur. Returns: (d_hidden,).
    """
    ### BEGIN SOLUTION
    difference = hidden[labels == 1].mean(dim=0) - hidden[labels == 0].mean(dim=0)
    return difference / difference.norm()
    ### END SOLUTION


# %% [markdown]
# Look: 300 new points. Sideways, the projection on the direction (found on other points). Upwards, the activation of the neuron that
# separates the classes best by itself. "Best" is measured here by the distance of the two means; the lesson took the best threshold, and so another
# neuron may win.

# %%
x, targets = rings(200, seed=0)
weights, _ = train(x, targets, new_weights(0), learning_rate=1.0, steps=300)
direction = feature_direction(forward(x, weights)[0], targets)
new_x, new_targets = rings(300, seed=100)
hidden, _ = forward(new_x, weights)


def separation(numbers):  # the distance of the two means, in standard deviations
    ring, disc = numbers[new_targets == 1], numbers[new_targets == 0]
    spread = ((ring.var() + disc.var()) / 2).sqrt()
    return float((ring.mean() - disc.mean()).abs() / spread.clamp(min=1e-6))


best = max(range(16), key=lambda neuron: separation(hidden[:, neuron]))
print(f"the two means are apart by: direction {separation(hidden @ direction):.1f} standard deviations,")
print(f"                            neuron {best}, the best, {separation(hidden[:, best]):.1f}")

# %%
plots.scatter(
    torch.stack([hidden @ direction, hidden[:, best]], dim=1),
    title="One direction against one neuron",
    xlabel="projection on the feature direction",
    ylabel=f"activation of neuron {best}",
    alt="Points of the disc lie to the left and points of the ring to the right; upwards the two classes overlap, and the neuron is 0 for many of both.",
    groups=["ring" if target else "disc" for target in new_targets],
)

# %% [markdown]
# *What this does not show*: that the network reads this direction. It is a correlation, in the hidden layer of one network. The next
# exercise asks the network.

# %% [raw] card="set_feature"
# title = "Turn the knob"
# purpose = "A direction that you can read is a claim. A direction that changes what the network does when you move along it is evidence."
# difficulty = 3
# importance = 5
# minutes = 12
# points = 2
# uses = []
# nudge = "An example has projection 3 on the direction, and you want 5. How far do you move it, and along what? And if it has 7?"
# idea = "Each example moves along the unit direction, and by its own amount: the wanted value minus the projection that it has."
# outline = """
# 1. Bring the direction to length 1.
# 2. The projection of each example: hidden times the unit direction, shape (batch,).
# 3. How far each must move: value minus its projection.
# 4. Add that many times the unit direction to each example; give the amounts an axis of size 1 so that they line up: (batch, 1).
# """
# look = "In the picture below the network changes its mind on the ring direction, and hardly notices the others, though one of them, too, can be read from the same layer."

# %% [markdown]
# To learn whether the network *uses* a direction, change the hidden layer along it and nothing else, and look at the output. Set every
# example's projection to the same value:
#
# ```
#   v ↑                                v ↑
#   3 │  A                             3 │
#   2 │                value 2   →     2 │  A          B
#   1 │             B                  1 │
#     └────────────────→                 └────────────────→   all that is at right angles to v
# ```
#
# With $u$ the direction at length 1, an example $h$ with projection $h \cdot u$ moves to
#
# $$h' = h + (\text{value} - h \cdot u)\, u$$
#
# Setting the value to 0 takes the feature out: what is left has nothing along $u$. The direction that you are given may have any length above 0.


# %% answer="set_feature"
def set_feature(hidden: torch.Tensor, direction: torch.Tensor, value: float) -> torch.Tensor:
    """Return the hidden vectors with their projection on the direction set to `value`, and all else as it was.

    hidden: (batch, d_hidden). direction: (d_hidden,), of any length above 0. Returns: (batch, d_hidden).
    """
    ### BEGIN SOLUTION
    unit = direction / direction.norm()
    move = value - hidden @ unit
    return hidden + move[:, None] * unit
    ### END SOLUTION


# %% [markdown]
# Look: three directions, each turned from its 2 % quantile to its 98 % quantile over new points, so that no knob is turned beyond what the
# network is used to. `ring` is the direction of the last exercise. `right side` is found in the same way, for the
# question whether a point lies right of the middle, which nobody trained the network on. `random` is, of 50 random
# directions, the one of middling effect.

# %%
x, targets = rings(200, seed=0)
weights, _ = train(x, targets, new_weights(0), learning_rate=1.0, steps=300)
new_x, new_targets = rings(300, seed=100)
hidden, _ = forward(new_x, weights)
right_side = (new_x[:, 0] > 0).long()
generator = torch.Generator().manual_seed(0)
knobs = {
    "ring": [feature_direction(hidden, new_targets)],
    "right side": [feature_direction(hidden, right_side)],
    "random": list(F.normalize(torch.randn(50, 16, generator=generator), dim=-1)),
}


def answers(direction):  # mean "ring − disc" over the points, for 11 settings of the knob
    low, high = (hidden @ direction).quantile(torch.tensor([0.02, 0.98]))
    turned = [set_feature(hidden, direction, float(value)) @ weights["W2"] for value in torch.linspace(low, high, 11)]
    return (
        torch.stack([(logits[:, 1] - logits[:, 0]).mean() for logits in turned]) + weights["b2"][1] - weights["b2"][0]
    )


# %%
effects = {name: torch.stack([answers(d) for d in directions]) for name, directions in knobs.items()}
size = (effects["random"][:, -1] - effects["random"][:, 0]).abs()
middle = {"ring": 0, "right side": 0, "random": int(size.argsort()[25])}
plots.lines(
    {name: effects[name][one] for name, one in middle.items()},
    x=[10 * step for step in range(11)],
    title="Turning three knobs",
    xlabel="the knob, in % of the way from its low end to its high end",
    ylabel="mean of ring − disc",
    alt="Three straight lines. For the ring direction the answer rises from clearly negative to clearly positive; for the other two it changes little.",
)

# %%
for name in ("ring", "right side"):
    print(f"{name}: the answer moves by {effects[name][0, -1] - effects[name][0, 0]:.1f}")
print(f"random directions: by {size.median():.1f} (median of 50, either way), at most {size.max():.1f}")
sides = hidden @ knobs["right side"][0]
cut = (sides[right_side == 1].mean() + sides[right_side == 0].mean()) / 2
print(
    f"and 'right side' can be read off its direction: {((sides > cut).long() == right_side).float().mean():.0%} right"
)

# %% [markdown]
# So `right side` is there to be read, and the answer hardly uses it. Reading and using are two questions (lesson 11 is about the
# difference).
#
# *What this does not show*: that the ring direction is the only one that matters. Other directions that overlap with it move the
# answer as well; the largest of the random ones does.

# %% [raw] card="random_directions"
# title = "Directions at random"
# purpose = "Random directions are the control of every claim about a direction, in this lesson and in half of the later ones."
# difficulty = 2
# importance = 3
# minutes = 8
# points = 1
# uses = []
# nudge = "Of points drawn in a square, more lie towards the corners than towards the sides. Which distribution looks the same from every side?"
# idea = "Normally distributed numbers have no preferred direction. Draw n × d of them with the generator, and bring each row to length 1."
# outline = """
# 1. Draw (n, d) standard normal numbers with torch.randn and the generator.
# 2. The length of each row: the norm over the last axis, with keepdim=True.
# 3. Divide each row by its length.
# """
# look = "The picture shows two thousand directions in the plane, and how many fall into each sector: none is preferred. That is what makes them a fair control."

# %% [markdown]
# A feature is a direction. What would a direction be that means nothing? One drawn so that **no direction is preferred**. The recipe: draw
# each of its `d` numbers from the normal distribution (`torch.randn`), whose cloud looks the same from all sides, then bring the vector to
# length 1. Numbers drawn evenly from −1 to 1 fill a square instead, which has corners.
#
# Draw with the `generator` that you are given, so that the same seed gives the same directions.


# %% answer="random_directions"
def random_directions(n: int, d: int, generator: torch.Generator) -> torch.Tensor:
    """Return n random directions in d dimensions, none preferred, each of length 1.

    generator: what draws the numbers. Returns: (n, d), float32.
    """
    ### BEGIN SOLUTION
    vectors = torch.randn(n, d, generator=generator)
    return vectors / vectors.norm(dim=-1, keepdim=True)
    ### END SOLUTION


# %%
directions = random_directions(2000, 2, torch.Generator().manual_seed(0))
degrees = torch.atan2(directions[:, 1], directions[:, 0]).rad2deg() % 360
plots.bars(
    torch.histc(degrees, bins=24, min=0, max=360),
    [f"{15 * sector}° to {15 * sector + 15}°" for sector in range(24)],
    title="2,000 random directions in the plane",
    xlabel="sector",
    ylabel="directions",
    alt="24 bars, one for each sector of 15 degrees; all are near 83, with random ups and downs.",
)

# %% [raw] card="interference"
# title = "How much do directions disturb one another?"
# purpose = "Two features whose directions are not at right angles leak into each other. This number says how much, and it falls as the layer gets wider."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 2
# uses = []
# nudge = "Of n directions, how many pairs are there, if a direction is not paired with itself and each pair counts once?"
# idea = "Bring every row to length 1. The matrix product of the rows with themselves holds all cosines: keep those above the diagonal."
# outline = """
# 1. Divide each row by its length.
# 2. Multiply the rows with their transpose: (n, n). The diagonal is each direction with itself, and every pair stands there twice.
# 3. Pick what is strictly above the diagonal (torch.triu_indices with offset=1), row by row.
# """
# look = "The measured dots lie on the curve 1/√d: in 400 dimensions, two random directions are at right angles up to about 3 degrees. Nobody arranged them."

# %% [markdown]
# Write feature A along direction $a$ with strength 1. Now somebody reads feature B, along $b$: they get $a \cdot b$, though B is not there. That is
# [[term:interference]]. For directions of length 1 it is the cosine of the angle between them: 0 at right angles.
#
# How large is it between *random* directions in $d$ dimensions? The closed form: mean 0, and a standard deviation of exactly $1/\sqrt{d}$.
# (Why: turn the space until $b$ is the first axis. The cosine is then one of the $d$ coordinates of $a$. Their squares sum to 1, and none is
# special, so each square is $1/d$ on average.) Now measure.
#
# Return the cosine of every pair, each pair once: 0 with 1, 0 with 2, …, 1 with 2, … The vectors that you are given need not have length 1.


# %% answer="interference"
def interference(vectors: torch.Tensor) -> torch.Tensor:
    """Return the cosine of every pair of rows, each pair once, in the order (0, 1), (0, 2), …, (1, 2), …

    vectors: (n, d), rows of any length above 0, n at least 2. Returns: (n (n - 1) / 2,).
    """
    ### BEGIN SOLUTION
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    i, j = torch.triu_indices(len(vectors), len(vectors), offset=1)
    return (unit @ unit.T)[i, j]
    ### END SOLUTION


# %% [markdown]
# Look: 100 random directions, in 2 to 1,000 dimensions, against the closed form.

# %%
ds = [2, 4, 10, 25, 50, 100, 200, 400, 1000]
cosines = [interference(random_directions(100, d, torch.Generator().manual_seed(d))) for d in ds]
plots.lines(
    {
        "measured": torch.stack([c.std() for c in cosines]),
        "1/√d": torch.tensor(ds) ** -0.5,
        "mean": torch.stack([c.mean() for c in cosines]),
    },
    x=[str(d) for d in ds],
    title="Interference of 100 random directions",
    xlabel="dimensions d",
    ylabel="cosine",
    alt="The measured standard deviation falls with d and lies on the curve 1/√d; the mean stays near 0.",
)

# %% [raw] card="almost_orthogonal"
# title = "How many directions fit?"
# purpose = "At right angles, d directions fit into d dimensions and no more. Allow a little interference and the count explodes: the geometry behind superposition."
# difficulty = 3
# importance = 5
# minutes = 15
# points = 2
# uses = []
# nudge = "A new direction has to get along with whom: with all candidates, or with those that are in already? And does an angle of 180 degrees count as no disturbance?"
# idea = "Walk through the candidates in order. Keep one if the absolute value of its cosine with every direction kept so far is at most the tolerance."
# outline = """
# 1. Begin with an empty list of numbers of kept candidates.
# 2. For each candidate, in order: its dot products with the kept ones, as absolute values.
# 3. If all are at most the tolerance (or none is kept yet), keep it.
# 4. Return the list as a tensor of whole numbers.
# """
# look = "With 0.4 and 0.5 each step of the axis multiplies the count, and does not only add to it. With 0.3 the bouncer lets in fewer than the d that would fit exactly, at first: taking what comes is no way to build right angles."

# %% [markdown]
# In the plane, two directions can be at right angles; a third cannot. In $d$ dimensions it is $d$. Now be generous: call two directions *almost
# orthogonal* if the cosine between them is at most a tolerance $\epsilon$, in absolute value. (A cosine of −1 is as bad as 1: it is the same line.)
# How many fit?
#
# Try it like a bouncer. Candidates come one by one; each is compared with those who are in, and is let in if it disturbs none of them:
#
# ```
#   candidates (tolerance 0.3)          who is in
#   0   (1.0, 0.0)                      0
#   1   (0.9, 0.44)    cosine 0.9       0          too close to candidate 0
#   2   (0.1, 0.99)    cosine 0.1       0, 2       (cosine 0.5 with candidate 1, who is not in)
#   3   (-1.0, 0.0)    cosine -1        0, 2       the same line as candidate 0
# ```
#
# All candidates have length 1. Return the numbers of those who got in, in order.


# %% answer="almost_orthogonal"
def almost_orthogonal(candidates: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Return the numbers of the candidates that are kept: each almost orthogonal to all that were kept before it.

    candidates: (n, d), rows of length 1. tolerance: the largest |cosine| allowed, 0 to 1.
    Returns: the kept rows' numbers, in order, a tensor of whole numbers (int64); 0 is always among them.
    """
    ### BEGIN SOLUTION
    kept = [0]
    for i in range(1, len(candidates)):
        if (candidates[kept] @ candidates[i]).abs().max() <= tolerance:
            kept.append(i)
    return torch.tensor(kept)
    ### END SOLUTION


# %% [markdown]
# Look: how many of 2,000 random candidates are let in? The axis of the counts is their logarithm to base 10, so a straight line is exponential growth.

# %%
dims = [5, 10, 15, 20, 25, 30]
counts = {"exactly at right angles": torch.tensor(dims)}
for tolerance in (0.3, 0.4, 0.5):
    kept = [almost_orthogonal(random_directions(2000, d, torch.Generator().manual_seed(d)), tolerance) for d in dims]
    counts[f"|cosine| at most {tolerance}"] = torch.tensor([len(numbers) for numbers in kept])
plots.lines(
    {name: count.log10() for name, count in counts.items()},
    x=dims,
    title="Directions that fit into d dimensions",
    xlabel="dimensions d",
    ylabel="log10 of the count",
    alt="Four rising lines. The higher the tolerance, the steeper; those for 0.4 and 0.5 leave the line of d far below, the one for 0.3 starts on it, dips below and ends above.",
)

# %%
for name, count in counts.items():
    print(f"{name:26} " + ", ".join(f"d = {d}: {c}" for d, c in zip(dims, count.tolist(), strict=True)))

# %% [markdown]
# The lines for 0.4 and 0.5 bend a little at the right: there, 2,000 candidates are too few to find all the room. Of 10,000 candidates, 855 get in
# at $d = 30$ and 0.5.
#
# There is a guarantee behind the picture. The chance that two random directions have a cosine beyond $\epsilon$ is at most $2 e^{-d\epsilon^2/2}$.
# So among $n$ random ones, about $n^2 e^{-d\epsilon^2/2}$ pairs are bad, and if that is less than 1, some draw has no bad pair at all. That gives at
# least about $e^{d\epsilon^2/4}$ directions: exponential in $d\epsilon^2$. For the small $d$ of the picture it is a weak promise, and the bouncer does far better:

# %%
for d, tolerance in [(30, 0.5), (1000, 0.1), (1000, 0.3), (4096, 0.2)]:
    print(f"d = {d:4}, |cosine| at most {tolerance}: at least about {math.exp(d * tolerance**2 / 4):.3g} directions")

# %% [markdown]
# Mind the line with 1,000 dimensions and 0.1: the promise is far below the 1,000 that fit exactly. What counts is $d\epsilon^2$: little tolerance
# needs many dimensions before it buys anything.
#
# *What this does not show*: that a network uses this room, or that the counts are the most that fit. The bouncer is a lower bound.

# %% [raw] card="read_features"
# title = "Read them back"
# purpose = "Room for many directions is of use only if what was written can be read again. Whether it can depends on how many features are active at once."
# difficulty = 2
# importance = 5
# minutes = 10
# points = 2
# uses = []
# nudge = "Every feature is written into the same d numbers. What does a reader have who knows one feature's direction, and nothing else?"
# idea = "Write: the sum of all directions, each times its feature's value. Read: the dot product of that one vector with each direction."
# outline = """
# 1. Write: values times directions, a matrix product that sums over the features: (batch, d).
# 2. Read: that result times directions transposed, which sums over d: (batch, n).
# """
# look = "With few active features the two humps stand apart; with many they run into one another. Sparsity is what makes superposition work."

# %% [markdown]
# Put it together: $n$ features, $d$ dimensions, $n$ larger than $d$. To *write*, add up the directions of the active features, each times its value.
# To *read* a feature, take the dot product with its direction:
#
# $$h = \sum_i \text{value}_i\, v_i \qquad\qquad \text{read}_j = h \cdot v_j = \text{value}_j + \underbrace{\sum_{i \neq j} \text{value}_i\, (v_i \cdot v_j)}_{\text{interference}}$$
#
# By hand: directions (1, 0), (0, 1) and (0.6, 0.8). With only the third feature on, $h$ = (0.6, 0.8), and the reading is 0.6, 0.8 and 1: the
# third is right, and the other two are interference. The reader knows only the directions, and not which features are on.


# %% answer="read_features"
def read_features(values: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Return what is read back for every feature, after all were written into one vector of d numbers.

    values: (batch, n), how strongly each feature is on. directions: (n, d), rows of length 1.
    Returns: (batch, n).
    """
    ### BEGIN SOLUTION
    written = values @ directions
    return written @ directions.T
    ### END SOLUTION


# %% [markdown]
# Look: 400 features in 100 dimensions, along random directions. First one example with 3 active features, then one with 30. All 400 readings
# are sorted into bins; the true value is 1 for an active feature and 0 for the others.

# %%
directions = random_directions(400, 100, torch.Generator().manual_seed(0))


def examples(n_active, batch=200):  # (batch, 400): n_active features are 1 in each example, the others 0
    generator = torch.Generator().manual_seed(n_active)
    order = torch.rand(batch, 400, generator=generator).argsort(dim=-1)
    return (order < n_active).float()


shares = {}
for n_active in (3, 30):
    values = examples(n_active)
    read = read_features(values, directions)
    for state in (0, 1):
        count = torch.histc(read[values == state], bins=40, min=-2, max=3)
        shares[f"{n_active} active: the {'active' if state else 'inactive'} ones"] = count / count.sum()
plots.lines(
    shares,
    x=(torch.linspace(-2, 3, 41)[:-1] + 1 / 16).tolist(),
    title="What is read from 400 features in 100 dimensions",
    xlabel="reading",
    ylabel="share of the readings",
    alt="With 3 active features, the inactive ones read near 0 and the active ones near 1, two narrow humps. With 30 the humps are wide and overlap.",
)

# %% [markdown]
# And for any number of active features: the error at the inactive ones (root mean square), against $\sqrt{k/d}$, which adds up $k$ independent
# disturbances of size $1/\sqrt{d}$.

# %%
actives = [1, 2, 3, 5, 10, 20, 30, 50]
measured, false_alarms = [], []
for n_active in actives:
    values = examples(n_active)
    read = read_features(values, directions)
    measured.append(read[values == 0].pow(2).mean().sqrt())
    false_alarms.append(((read > 0.5) & (values == 0)).float().sum(-1).mean())
plots.lines(
    {"measured": torch.stack(measured), "√(k/d)": (torch.tensor(actives) / 100).sqrt()},
    x=actives,
    title="Interference grows with the number of active features",
    xlabel="active features k, of 400",
    ylabel="error at the inactive features",
    alt="The measured error rises with the square root of the number of active features and lies on the curve.",
)

# %%
for n_active, alarms in zip(actives, false_alarms, strict=True):
    print(f"{n_active:3} active: {alarms:5.1f} inactive features read above 0.5")

# %% [markdown]
# **Change this and see.** Give the layer 400 dimensions, or let 400 features be 2,000 (in `examples` and in `random_directions`; under the root stands
# the number of dimensions). Which of the two changes the curve?
#
# *What this does not show*: that a trained network stores features along *random* directions, or reads them by plain dot products. It can arrange
# its directions better than chance, and a ReLU can cut small interference off. In lesson 12 you train a network that may choose for itself.
#
# **You have trained a network, found a direction that it uses, and measured how much room there is for others.**
