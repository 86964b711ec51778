"""How the exercises of lesson 01 are checked.

The truth comes from outside the lab: numbers worked out by hand, closed forms, torch's autograd and its optimizer, and the
statistics of directions that nothing prefers. No check compares with the course's answer.
"""

import math

import torch
import torch.nn.functional as F

from mechinterp_course.tutor.checks import Exercise, expect

# --- descend --------------------------------------------------------------------------------------------------------

descend_ = Exercise("descend")


def double(point):
    """The gradient of the sum of squares."""
    return 2 * point


@descend_.check("the loss p² from p = 3 with learning rate 0.1: 3, then 2.4, then 1.92")
def descend_by_hand(answer, draw):
    out = answer(double, torch.tensor([3.0]), 0.1, 2)
    expect.shape(out, (3, 1), axes="steps+1 d")
    expect.close(out, torch.tensor([[3.0], [2.4], [1.92]]), "the points")


@descend_.check("in a bowl, each coordinate shrinks by the same factor, 1 − rate · steepness, in each step")
def descend_bowl(answer, draw):
    steepness, start = torch.tensor([1.0, 4.0, 0.5]), draw.normal(3, std=2)
    out = answer(lambda point: steepness * point, start, 0.3, 6)
    expect.shape(out, (7, 3), axes="steps+1 d")
    want = start * (1 - 0.3 * steepness) ** torch.arange(7.0)[:, None]
    expect.close(out, want, "the points")


@descend_.check("where the slope is 0, nothing moves; with 0 steps, the start alone comes back")
def descend_ends(answer, draw):
    start = draw.normal(2)
    expect.close(answer(torch.zeros_like, start, 0.5, 3), start.expand(4, 2), "the points on flat ground")
    expect.close(answer(double, start, 0.5, 0), start[None], "the points of a walk of 0 steps")


@descend_.check("each step follows the slope at the point where it starts, in any landscape", hidden=True)
def descend_curved(answer, draw):
    for d, steps, rate, far in [(1, 9, 0.2, 1), (5, 4, 0.05, 100), (4, 4, 1.3, 1)]:
        bend, start = draw.normal(d), draw.normal(d, std=far)
        out = answer(lambda point, bend=bend: (bend * point).sin() + point, start, rate, steps)
        expect.shape(out, (steps + 1, d), axes="steps+1 d")
        expect.close(out[0], start, "the first point")
        want = out[:-1] - rate * ((bend * out[:-1]).sin() + out[:-1])
        expect.close(out[1:], want, "the points after the first, each from the one before it", atol=1e-4)


@descend_.wrong(
    "walks uphill",
    "You added the gradient. It points uphill; the loss falls in the opposite direction: subtract it.",
)
def descend_up(gradient, start, learning_rate, steps):
    points = [start]
    for _ in range(steps):
        points.append(points[-1] + learning_rate * gradient(points[-1]))
    return torch.stack(points)


@descend_.wrong(
    "one slope for the whole walk",
    "You asked for the gradient once, at the start, and took every step with it. The slope changes on the way: ask again in every step.",
)
def descend_once(gradient, start, learning_rate, steps):
    slope = gradient(start)
    return torch.stack([start - learning_rate * t * slope for t in range(steps + 1)])


@descend_.wrong(
    "always from the start",
    "Every step begins at the start again, so the walk never gets beyond its first step. Go on from the last point.",
)
def descend_from_start(gradient, start, learning_rate, steps):
    return torch.stack([start] + [start - learning_rate * gradient(start)] * steps)


@descend_.wrong(
    "every row is the last point",
    "Your list holds the same tensor again and again, and -= changed it in place, so every row shows where the walk ended. "
    "Make a new tensor in each step: point = point - …",
)
def descend_in_place(gradient, start, learning_rate, steps):
    point = start.clone()
    points = [point]
    for _ in range(steps):
        point -= learning_rate * gradient(point)
        points.append(point)
    return torch.stack(points)


@descend_.wrong(
    "leaves out the start",
    "The walk begins with the start, so steps + 1 points come back. Yours begin after the first step.",
)
def descend_without_start(gradient, start, learning_rate, steps):
    points = [start]
    for _ in range(steps):
        points.append(points[-1] - learning_rate * gradient(points[-1]))
    return torch.stack(points[1:]) if steps else start.new_zeros(0, len(start))


@descend_.wrong(
    "steps of one length",
    "You brought the gradient to length 1, so that all steps are equally long. Where the ground is flat a step is short: use the gradient as it is.",
)
def descend_unit(gradient, start, learning_rate, steps):
    points = [start]
    for _ in range(steps):
        points.append(points[-1] - learning_rate * F.normalize(gradient(points[-1]), dim=0))
    return torch.stack(points)


@descend_.wrong(
    "only the last point",
    "That is where the walk ends. Return all of its points, the start first: (steps + 1, d).",
)
def descend_last(gradient, start, learning_rate, steps):
    for _ in range(steps):
        start = start - learning_rate * gradient(start)
    return start


@descend_.variation("a table, filled row by row, in float64")
def descend_table(gradient, start, learning_rate, steps):
    points = torch.zeros(steps + 1, len(start), dtype=torch.float64)
    points[0] = start
    for t in range(steps):
        points[t + 1] = points[t] - gradient(points[t].float()) * learning_rate
    return points


@descend_.variation("in place, with a copy of each point")
def descend_copies(gradient, start, learning_rate, steps):
    point, points = start.clone(), [start.clone()]
    for _ in range(steps):
        point -= learning_rate * gradient(point)
        points.append(point.clone())
    return torch.stack(points)


# --- backprop -------------------------------------------------------------------------------------------------------

backprop_ = Exercise("backprop")
SHAPES = {"W1": "d_in d_hidden", "b1": "d_hidden", "W2": "d_hidden d_out", "b2": "d_out"}


def network_of(draw, d_in=3, d_hidden=6, d_out=4):
    return {
        "W1": draw.normal(d_in, d_hidden),
        "b1": draw.normal(d_hidden),
        "W2": draw.normal(d_hidden, d_out),
        "b2": draw.normal(d_out),
    }


def loss_of(x, targets, weights):
    hidden = F.relu(F.linear(x, weights["W1"].T, weights["b1"]))
    return F.cross_entropy(F.linear(hidden, weights["W2"].T, weights["b2"]), targets)


def gradients_of(x, targets, weights):
    """The gradients by torch's autograd."""
    tracked = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    return dict(zip(tracked, torch.autograd.grad(loss_of(x, targets, tracked), tracked.values()), strict=True))


def expect_like_weights(out, want, what):
    """Expect a dictionary with a tensor for each weight: `what` says of what, as in "the gradient of"."""
    if not isinstance(out, dict):
        expect.true(
            False, f"You returned {expect.describe(out)}; it should be a dictionary with the keys {', '.join(want)}."
        )
    missing = [name for name in want if name not in out]
    expect.true(
        not missing,
        f"Your dictionary has no {', '.join(missing)}. Its keys are those of the weights: {', '.join(want)}.",
    )
    for name, right in want.items():
        expect.shape(out[name], tuple(right.shape), f"{what} {name}", axes=SHAPES[name])
        expect.close(out[name], right, f"{what} {name}", atol=1e-5)


@backprop_.check("one neuron, worked out by hand: x = 2, before = 5, both classes at ½, so d_logits = (−½, ½)")
def backprop_by_hand(answer, draw):
    weights = {"W1": [[3.0]], "b1": [-1.0], "W2": [[1.0, 0.0]], "b2": [-5.0, 0.0]}
    weights = {name: torch.tensor(w) for name, w in weights.items()}
    want = {"W1": [[-1.0]], "b1": [-0.5], "W2": [[-2.5, 2.5]], "b2": [-0.5, 0.5]}
    out = answer(torch.tensor([[2.0]]), torch.tensor([0]), weights)
    expect_like_weights(out, {name: torch.tensor(w) for name, w in want.items()}, "the gradient of")


@backprop_.check(
    "seven examples, four classes: the gradients are those of torch's autograd, also with logits that are all 200 higher"
)
def backprop_like_autograd(answer, draw):
    x, targets, weights = draw.normal(7, 3), draw.integers(0, 4, 7), network_of(draw)
    for higher in (0.0, 200.0):  # exp(200) is no number in float32
        weights["b2"] = weights["b2"] + higher
        expect_like_weights(answer(x, targets, weights), gradients_of(x, targets, weights), "the gradient of")


@backprop_.check("a neuron that is off for every example gets no slope, nor does one whose sum is exactly 0")
def backprop_dead(answer, draw):
    x, targets, weights = draw.normal(5, 3), draw.integers(0, 4, 5), network_of(draw)
    weights["b1"][2] = -100.0
    weights["W1"][:, 4] = weights["b1"][4] = 0.0
    out = answer(x, targets, weights)
    expect_like_weights(out, gradients_of(x, targets, weights), "the gradient of")


@backprop_.check("a batch that is given twice has the same mean loss, and the same gradients", hidden=True)
def backprop_twice(answer, draw):
    x, targets, weights = draw.normal(6, 2), draw.integers(0, 3, 6), network_of(draw, 2, 9, 3)
    want = gradients_of(x, targets, weights)
    expect_like_weights(answer(x.repeat(2, 1), targets.repeat(2), weights), want, "the gradient of")


@backprop_.check("any sizes, one example too, square shapes too, large inputs too", hidden=True)
def backprop_sizes(answer, draw):
    for batch, d_in, d_hidden, d_out, scale in [(1, 4, 3, 2, 1), (5, 5, 5, 5, 1), (40, 2, 16, 2, 1), (9, 1, 8, 6, 10)]:
        x, targets = draw.normal(d_in, batch, std=scale).T, draw.integers(0, d_out, batch)  # not contiguous
        weights = network_of(draw, d_in, d_hidden, d_out)
        expect_like_weights(answer(x, targets, weights), gradients_of(x, targets, weights), "the gradient of")


@backprop_.check("moving a weight a little changes the loss as its gradient says", hidden=True)
def backprop_differences(answer, draw):
    x, targets = draw.normal(8, 3).double(), draw.integers(0, 4, 8)
    weights = {name: w.double() for name, w in network_of(draw).items()}
    out = answer(x, targets, weights)
    expect_like_weights(out, gradients_of(x, targets, weights), "the gradient of")
    for name, w in weights.items():
        way = draw.normal(*w.shape).double()
        up, down = ({**weights, name: w + sign * 1e-6 * way} for sign in (1, -1))
        slope = (loss_of(x, targets, up) - loss_of(x, targets, down)) / 2e-6
        expect.close(
            (out[name] * way).sum(), slope, f"the slope of the loss along a random change of {name}", atol=1e-4
        )


def by_hand(
    x,
    targets,
    weights,
    *,
    divide=True,
    one_hot=1.0,
    sign=1.0,
    mask=True,
    leak=None,
    b=torch.sum,
    inputs="hidden",
    softmax=lambda logits: logits.softmax(-1),
):
    """Backpropagation with one part made wrong: what the wrong answers share."""
    before = x @ weights["W1"] + weights["b1"]
    hidden = before.relu()
    logits = hidden @ weights["W2"] + weights["b2"]
    d_logits = sign * (softmax(logits) - one_hot * F.one_hot(targets, logits.shape[-1])) / (len(x) if divide else 1)
    d_hidden = d_logits @ weights["W2"].T
    passes = leak(before, d_hidden) if leak else (before > 0 if mask else torch.ones_like(before))
    d_before = d_hidden * passes
    into_W2 = hidden if inputs == "hidden" else before
    return {"W1": x.T @ d_before, "b1": b(d_before, dim=0), "W2": into_W2.T @ d_logits, "b2": b(d_logits, dim=0)}


@backprop_.wrong(
    "the ReLU passes everything",
    "The slope went through neurons that are off. Where before is not above 0, the ReLU's output stays 0 whatever happens: set the slope to 0 there.",
)
def backprop_no_mask(x, targets, weights):
    return by_hand(x, targets, weights, mask=False)


@backprop_.wrong(
    "multiplies by the activation",
    "At the ReLU you multiplied by hidden itself. Its slope is 1 where the neuron is on, whatever its height: multiply by (before > 0).",
)
def backprop_by_hidden(x, targets, weights):
    return by_hand(x, targets, weights, leak=lambda before, d_hidden: before.relu())


@backprop_.wrong(
    "masks by the slope",
    "You kept the positive slopes: a ReLU over d_hidden. What decides is whether the neuron was on, so whether before was above 0.",
)
def backprop_relu_of_slope(x, targets, weights):
    return by_hand(x, targets, weights, leak=lambda before, d_hidden: d_hidden > 0)


@backprop_.wrong(
    "a sum instead of a mean",
    "Your gradients are too large by the size of the batch. The loss is a mean over the examples: divide d_logits by their number.",
)
def backprop_sum(x, targets, weights):
    return by_hand(x, targets, weights, divide=False)


@backprop_.wrong(
    "divides the biases twice",
    "W1 and W2 are right, and the biases' gradients too small by the size of the batch. d_logits has been divided already: sum over the examples.",
)
def backprop_bias_mean(x, targets, weights):
    return by_hand(x, targets, weights, b=torch.mean)


@backprop_.wrong(
    "forgets the right answer",
    "The targets play no part in your gradients. d_logits is softmax minus 1 at the right class: without the 1 every logit is pushed down.",
)
def backprop_no_target(x, targets, weights):
    return by_hand(x, targets, weights, one_hot=0.0)


@backprop_.wrong(
    "all signs turned round",
    "Right up to the sign. The gradient points to a higher loss: softmax minus one-hot, and not the other way round. The minus of the step comes later.",
)
def backprop_negative(x, targets, weights):
    return by_hand(x, targets, weights, sign=-1.0)


@backprop_.wrong(
    "W2 sees what came before the ReLU",
    "For W2's slope you used before. What came into that layer is hidden, after the ReLU.",
)
def backprop_before(x, targets, weights):
    return by_hand(x, targets, weights, inputs="before")


@backprop_.wrong(
    "softmax over the batch",
    "Your probabilities sum to 1 over the examples. Each example has its own distribution over the classes: softmax over the last axis, dim=-1.",
)
def backprop_softmax_of_batch(x, targets, weights):
    return by_hand(x, targets, weights, softmax=lambda logits: logits.softmax(0))


@backprop_.wrong(
    "a softmax that overflows",
    "Right for small logits. exp of a large logit is infinite, and infinity by infinity is no number: take torch.softmax, or subtract each row's maximum first.",
)
def backprop_overflow(x, targets, weights):
    return by_hand(x, targets, weights, softmax=lambda logits: logits.exp() / logits.exp().sum(-1, keepdim=True))


@backprop_.wrong(
    "on at exactly 0",
    "You let the slope through where before is exactly 0. The ReLU is on above 0 only: before > 0, and not >=.",
)
def backprop_on_at_zero(x, targets, weights):
    return by_hand(x, targets, weights, leak=lambda before, d_hidden: before >= 0)


@backprop_.variation("example after example, in float64")
def backprop_loop(x, targets, weights):
    w = {name: value.double() for name, value in weights.items()}
    out = {name: torch.zeros_like(value) for name, value in w.items()}
    for row, target in zip(x.double(), targets.tolist(), strict=True):
        before = row @ w["W1"] + w["b1"]
        hidden = before.clamp(min=0)
        d_logits = torch.softmax(hidden @ w["W2"] + w["b2"], 0)
        d_logits[target] -= 1
        d_before = torch.where(before > 0, w["W2"] @ d_logits, 0.0)
        out["W1"] += torch.outer(row, d_before) / len(x)
        out["b1"] += d_before / len(x)
        out["W2"] += torch.outer(hidden, d_logits) / len(x)
        out["b2"] += d_logits / len(x)
    return out


@backprop_.variation("einsum, with the mean taken at the end")
def backprop_einsum(x, targets, weights):
    before = torch.einsum("bi,ih->bh", x, weights["W1"]) + weights["b1"]
    hidden = torch.relu(before)
    d_logits = torch.softmax(hidden @ weights["W2"] + weights["b2"], -1)
    d_logits[torch.arange(len(x)), targets] -= 1
    d_before = torch.einsum("bo,ho->bh", d_logits, weights["W2"]).masked_fill(before <= 0, 0.0)
    W1, W2 = torch.einsum("bi,bh->bih", x, d_before).mean(0), torch.einsum("bh,bo->bho", hidden, d_logits).mean(0)
    return {"W1": W1, "b1": d_before.mean(0), "W2": W2, "b2": d_logits.mean(0)}


# --- train ----------------------------------------------------------------------------------------------------------

train_ = Exercise("train")


def sgd(x, targets, weights, learning_rate, steps):
    """The same by torch's own optimizer, as (weights, losses)."""
    parameters = {name: torch.nn.Parameter(w.detach().clone()) for name, w in weights.items()}
    optimizer, losses = torch.optim.SGD(parameters.values(), lr=learning_rate), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(x, targets, parameters)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return {name: w.detach() for name, w in parameters.items()}, torch.stack(losses)


def expect_trained(out, want):
    is_pair = isinstance(out, (tuple, list)) and len(out) == 2
    expect.true(is_pair, f"You returned {expect.describe(out)}; return two things: the weights and the losses.")
    expect.shape(out[1], tuple(want[1].shape), "the losses", axes="steps")
    expect.close(out[1], want[1], "the losses", atol=1e-4)
    expect_like_weights(out[0], want[0], "after the last step,")


@train_.check("one step: each weight minus learning_rate times its gradient, and the loss before it")
def train_one(answer, draw):
    x, targets, weights = draw.normal(5, 3), draw.integers(0, 4, 5), network_of(draw)
    slopes = gradients_of(x, targets, weights)
    stepped = {name: w - 0.1 * slopes[name] for name, w in weights.items()}
    expect_trained(answer(x, targets, weights, 0.1, 1), (stepped, loss_of(x, targets, weights)[None]))


@train_.check("six steps go where torch.optim.SGD goes, and the losses are its losses")
def train_like_sgd(answer, draw):
    x, targets, weights = draw.normal(8, 3), draw.integers(0, 4, 8), network_of(draw)
    expect_trained(answer(x, targets, weights, 0.3, 6), sgd(x, targets, weights, 0.3, 6))


@train_.check("any sizes and any number of steps, like torch.optim.SGD", hidden=True)
def train_sizes(answer, draw):
    for batch, d_in, d_hidden, d_out, steps in [(1, 2, 3, 2, 2), (4, 4, 4, 4, 9), (30, 1, 12, 3, 15)]:
        x, targets, weights = (
            draw.normal(batch, d_in),
            draw.integers(0, d_out, batch),
            network_of(draw, d_in, d_hidden, d_out),
        )
        expect_trained(answer(x, targets, weights, 0.1, steps), sgd(x, targets, weights, 0.1, steps))


def trained_with(x, targets, weights, learning_rate, steps, move=None, slopes_at=None):
    """The loop, with the update or the place of the gradients made wrong."""
    first, losses = weights, []
    for _ in range(steps):
        losses.append(loss_of(x, targets, weights).detach())
        slopes = gradients_of(x, targets, first if slopes_at == "start" else weights)
        weights = {name: move(name, w, slopes[name]) for name, w in weights.items()}
    return weights, torch.stack(losses)


@train_.wrong("climbs", "Your loss rises: you added the gradient. Subtract it.")
def train_up(x, targets, weights, learning_rate, steps):
    return trained_with(x, targets, weights, learning_rate, steps, lambda name, w, slope: w + learning_rate * slope)


@train_.wrong(
    "the gradients of the start",
    "Every step used the gradients at the weights that you were given. After a step the slopes are others: ask backprop again, with the present weights.",
)
def train_stale(x, targets, weights, learning_rate, steps):
    move = lambda name, w, slope: w - learning_rate * slope  # noqa: E731
    return trained_with(x, targets, weights, learning_rate, steps, move, slopes_at="start")


@train_.wrong(
    "leaves the biases behind",
    "W1 and W2 learn, b1 and b2 stay where they were. All four are weights: go through the whole dictionary.",
)
def train_no_bias(x, targets, weights, learning_rate, steps):
    move = lambda name, w, slope: w - learning_rate * slope if name[0] == "W" else w  # noqa: E731
    return trained_with(x, targets, weights, learning_rate, steps, move)


@train_.wrong(
    "gradients pile up",
    "Each step used the sum of all gradients so far. In torch that happens when nobody clears .grad (zero_grad). Use the present gradients alone.",
)
def train_accumulated(x, targets, weights, learning_rate, steps):
    total = {name: torch.zeros_like(w) for name, w in weights.items()}

    def move(name, w, slope):
        total[name] = total[name] + slope
        return w - learning_rate * total[name]

    return trained_with(x, targets, weights, learning_rate, steps, move)


@train_.wrong(
    "notes the loss after the step",
    "Your weights are right, and your losses are one step late. losses[0] is the loss of the weights that you were given: note it down before the step.",
)
def train_late_loss(x, targets, weights, learning_rate, steps):
    trained, losses = sgd(x, targets, weights, learning_rate, steps)
    return trained, torch.cat([losses[1:], loss_of(x, targets, trained)[None]])


@train_.wrong(
    "returns the weights it was given",
    "The losses fall, but the weights that you return are those that you were given. Return the trained ones.",
)
def train_forgets(x, targets, weights, learning_rate, steps):
    return weights, sgd(x, targets, weights, learning_rate, steps)[1]


@train_.wrong(
    "one weight after the other",
    "You asked for the gradients anew after each weight had moved, so they belong to weights that are half old and half new. Ask once a step, then move all four.",
)
def train_in_turn(x, targets, weights, learning_rate, steps):
    weights, losses = dict(weights), []
    for _ in range(steps):
        losses.append(loss_of(x, targets, weights).detach())
        for name in list(weights):
            weights[name] = weights[name] - learning_rate * gradients_of(x, targets, weights)[name]
    return weights, torch.stack(losses)


@train_.variation("torch's own optimizer")
def train_sgd(x, targets, weights, learning_rate, steps):
    return sgd(x, targets, weights, learning_rate, steps)


@train_.variation("in place, on a copy, in float64")
def train_copy(x, targets, weights, learning_rate, steps):
    weights = {name: w.double().clone() for name, w in weights.items()}
    losses = torch.zeros(steps, dtype=torch.float64)
    for t in range(steps):
        losses[t] = loss_of(x.double(), targets, weights)
        for name, slope in gradients_of(x.double(), targets, weights).items():
            weights[name] -= learning_rate * slope
    return weights, losses


# --- feature_direction ----------------------------------------------------------------------------------------------

feature_ = Exercise("feature_direction")


@feature_.check("means (1, 1) and (4, 5): the difference (3, 4) has length 5, so the direction is (0.6, 0.8)")
def feature_by_hand(answer, draw):
    hidden = torch.tensor([[0.0, 2.0], [3.0, 4.0], [2.0, 0.0], [5.0, 6.0], [4.0, 5.0]])
    out = answer(hidden, torch.tensor([0, 1, 0, 1, 1]))
    expect.shape(out, (2,), axes="d_hidden")
    expect.close(out, torch.tensor([0.6, 0.8]), "the direction")


@feature_.check("a planted direction is found: the two clouds differ along it alone, however many examples each has")
def feature_planted(answer, draw):
    labels = (torch.arange(40) % 4 == 0).long()  # ten of one class, thirty of the other
    planted = F.normalize(draw.normal(6), dim=0)
    noise = draw.normal(40, 6, std=2) * torch.tensor([0.1, 0.2, 1.0, 2.0, 0.5, 1.0])
    for label in (0, 1):
        noise[labels == label] -= noise[labels == label].mean(0)  # so that the means differ by what is planted only
    out = answer(draw.normal(6) + noise + 3.0 * labels[:, None] * planted, labels)
    expect.shape(out, (6,), axes="d_hidden")
    expect.close(out, planted, "the direction", atol=1e-4, because="the means of the two classes differ by 3 along it")


@feature_.check("its length is 1, and the class with label 1 lies on its positive side")
def feature_length(answer, draw):
    hidden, labels = draw.normal(9, 5, std=3), torch.tensor([1, 0, 0, 1, 0, 0, 0, 1, 0])
    out = answer(hidden, labels)
    expect.shape(out, (5,), axes="d_hidden")
    expect.close(out.norm(), 1.0, "the length of the direction")
    ahead = (hidden[labels == 1] @ out.to(hidden)).mean() - (hidden[labels == 0] @ out.to(hidden)).mean()
    gap = (hidden[labels == 1].mean(0) - hidden[labels == 0].mean(0)).norm()
    expect.close(ahead, gap, "the distance of the two classes' mean projections", atol=1e-4)


@feature_.check("any sizes, one example of a class too, and numbers of any size", hidden=True)
def feature_sizes(answer, draw):
    for batch, d, std in [(2, 3, 1), (5, 5, 1), (60, 17, 1), (30, 2, 1000)]:
        hidden, labels = draw.normal(d, batch, std=std).T, torch.zeros(batch, dtype=torch.long)
        labels[draw.permutation(batch)[: max(1, batch // 3)]] = 1
        weight = torch.where(labels == 1, 1 / labels.sum(), -1 / (1 - labels).sum())
        expect.close(answer(hidden, labels), F.normalize(weight @ hidden, dim=0), "the direction", atol=1e-4)


@feature_.check("swapping the labels turns the direction round; moving all examples changes nothing", hidden=True)
def feature_invariance(answer, draw):
    hidden, labels = draw.normal(20, 4), draw.permutation(20) % 2
    out = answer(hidden, labels)
    expect.close(
        answer(hidden + 5 * draw.normal(4), labels), out, "the direction after all examples were moved", atol=1e-4
    )
    expect.close(answer(hidden, 1 - labels), -out, "the direction with the labels swapped", atol=1e-4)
    expect.close(out.norm(), 1.0, "the length of the direction")


def means(hidden, labels):
    return hidden[labels == 0].mean(0), hidden[labels == 1].mean(0)


@feature_.wrong("not brought to length 1", "The direction is right, its length is not: divide by the norm.")
def feature_raw(hidden, labels):
    zero, one = means(hidden, labels)
    return one - zero


@feature_.wrong(
    "points the other way",
    "Your direction leads from class 1 to class 0. Subtract the mean of class 0 from that of class 1.",
)
def feature_reversed(hidden, labels):
    zero, one = means(hidden, labels)
    return F.normalize(zero - one, dim=0)


@feature_.wrong(
    "the mean of class 1 alone",
    "You took where class 1 lies, not how it differs. Most of a mean vector is shared by both classes: subtract the mean of class 0.",
)
def feature_one_class(hidden, labels):
    return F.normalize(means(hidden, labels)[1], dim=0)


@feature_.wrong(
    "sums instead of means",
    "You subtracted sums. The class with more examples weighs more then: take the mean of each class.",
)
def feature_sums(hidden, labels):
    return F.normalize(hidden[labels == 1].sum(0) - hidden[labels == 0].sum(0), dim=0)


@feature_.wrong(
    "normalises too early",
    "You brought each mean to length 1 and then subtracted. First the difference, then its length.",
)
def feature_early(hidden, labels):
    zero, one = means(hidden, labels)
    return F.normalize(F.normalize(one, dim=0) - F.normalize(zero, dim=0), dim=0)


@feature_.wrong(
    "one neuron",
    "You returned the axis of the neuron whose means differ most. The direction uses all neurons, each as much as its means differ.",
)
def feature_neuron(hidden, labels):
    zero, one = means(hidden, labels)
    best = (one - zero).abs().argmax()
    return F.one_hot(best, len(one)) * (one - zero).sign()


@feature_.wrong(
    "divides each neuron by its spread",
    "You standardised the neurons first (minus mean, divided by standard deviation). That is a direction in other coordinates: it is not the difference "
    "of the means in the hidden layer.",
)
def feature_standardised(hidden, labels):
    scaled = (hidden - hidden.mean(0)) / hidden.std(0).clamp(min=1e-6)
    zero, one = means(scaled, labels)
    return F.normalize(one - zero, dim=0)


@feature_.wrong(
    "divides by the squared length",
    "You divided by v · v, the square of the length. Divide by its root.",
)
def feature_squared(hidden, labels):
    zero, one = means(hidden, labels)
    return (one - zero) / ((one - zero) @ (one - zero))


@feature_.variation("from the mean of all to the mean of class 1: the same direction")
def feature_from_all(hidden, labels):
    return F.normalize(hidden[labels == 1].mean(0) - hidden.mean(0), dim=0)


@feature_.variation("covariance of each neuron with the label, in float64")
def feature_covariance(hidden, labels):
    centred = labels.double() - labels.double().mean()
    direction = centred @ hidden.double()
    return direction / direction.pow(2).sum().sqrt()


# --- set_feature ----------------------------------------------------------------------------------------------------

knob_ = Exercise("set_feature")


@knob_.check("along the first axis: its numbers become the value, and the others stay")
def knob_by_hand(answer, draw):
    hidden = torch.tensor([[3.0, 1.0, 2.0], [1.0, -1.0, 0.0]])
    out = answer(hidden, torch.tensor([1.0, 0.0, 0.0]), 5.0)
    expect.close(out, torch.tensor([[5.0, 1.0, 2.0], [5.0, -1.0, 0.0]]), "the hidden vectors")


@knob_.check(
    "afterwards every projection on the unit direction is the value, whatever it was, and whatever the direction's length"
)
def knob_projection(answer, draw):
    hidden, direction = draw.normal(5, 4, std=2), draw.normal(4)
    direction *= 3 / direction.norm()  # a length of 3
    out = answer(hidden, direction, 1.5)
    expect.shape(out, (5, 4), axes="batch d_hidden")
    expect.close(out @ (direction / 3).to(out), torch.full((5,), 1.5), "the projections", atol=1e-4)


@knob_.check("what is at right angles to the direction stays as it was")
def knob_rest(answer, draw):
    hidden, direction = draw.normal(6, 3, std=2), draw.normal(3) + 1
    out = answer(hidden, direction, -0.7)
    expect.shape(out, (6, 3), axes="batch d_hidden")
    unit = F.normalize(direction, dim=0)
    rest = torch.eye(3) - torch.outer(unit, unit)
    expect.close(out @ rest.to(out), hidden @ rest, "the part at right angles to the direction", atol=1e-4)
    expect.close(out @ unit.to(out), torch.full((6,), -0.7), "the projections", atol=1e-4)


@knob_.check("any sizes, any value, 0 and one example too", hidden=True)
def knob_sizes(answer, draw):
    for batch, d, value in [(1, 1, 2.0), (4, 4, 0.0), (1, 7, -3.0), (50, 16, 4.5)]:
        hidden, direction = draw.normal(d, batch).T, draw.normal(d, std=draw.integer(1, 5))
        unit = F.normalize(direction, dim=0)
        want = hidden @ (torch.eye(d) - torch.outer(unit, unit)) + value * unit
        expect.close(answer(hidden, direction, value), want, "the hidden vectors", atol=1e-4)


@knob_.check("setting twice is setting once; the direction's length changes nothing", hidden=True)
def knob_twice(answer, draw):
    hidden, direction = draw.normal(7, 5), draw.normal(5)
    once = answer(hidden, direction, 2.0)
    expect.close(answer(once.to(hidden), direction, 2.0), once, "the result of setting twice", atol=1e-4)
    expect.close(answer(hidden, 10 * direction, 2.0), once, "the result with a direction ten times as long", atol=1e-4)
    expect.close(once @ F.normalize(direction, dim=0).to(once), torch.full((7,), 2.0), "the projections", atol=1e-4)


@knob_.wrong(
    "adds the value",
    "You moved every example by the value. Those that were ahead stay ahead: take out the projection that each has, so that all end at the value.",
)
def knob_adds(hidden, direction, value):
    return hidden + value * F.normalize(direction, dim=0)


@knob_.wrong(
    "takes the feature out",
    "You set the projection to 0: the old one is gone, but the value was not put in.",
)
def knob_ablates(hidden, direction, value):
    unit = F.normalize(direction, dim=0)
    return hidden - (hidden @ unit)[:, None] * unit


@knob_.wrong(
    "ignores the direction's length",
    "With a direction of length 1 yours is right. This one is longer: divide it by its length first.",
)
def knob_raw(hidden, direction, value):
    return hidden + (value - hidden @ direction)[:, None] * direction


@knob_.wrong(
    "moves along the unnormalised direction",
    "The amounts are right, and each is multiplied by the direction as it was given. Move along the direction of length 1.",
)
def knob_half(hidden, direction, value):
    return hidden + (value - hidden @ F.normalize(direction, dim=0))[:, None] * direction


@knob_.wrong(
    "moves everybody by the same amount",
    "You moved all examples by what the average one needs. Each has a projection of its own: move it by value minus that.",
)
def knob_mean(hidden, direction, value):
    unit = F.normalize(direction, dim=0)
    return hidden + (value - (hidden @ unit).mean()) * unit


@knob_.wrong(
    "replaces the whole vector",
    "Every example is now value times the direction, and all else that the layer knew is gone. Change what lies along the direction, and leave the rest.",
)
def knob_replaces(hidden, direction, value):
    return (value * F.normalize(direction, dim=0)).expand_as(hidden).clone()


@knob_.wrong(
    "subtracts where it should add",
    "Your examples end at twice their projection minus the value: they moved the wrong way. An example with less than the value moves forwards.",
)
def knob_backwards(hidden, direction, value):
    unit = F.normalize(direction, dim=0)
    return hidden - (value - hidden @ unit)[:, None] * unit


@knob_.wrong(
    "puts the value in along the unnormalised direction",
    "The old part is gone, and the new one is too long: you added value times the direction as it was given. Take the direction of length 1 for both.",
)
def knob_long_value(hidden, direction, value):
    unit = F.normalize(direction, dim=0)
    return hidden - (hidden @ unit)[:, None] * unit + value * direction


@knob_.wrong(
    "sets the dot product with the unnormalised direction",
    "Now hidden @ direction is the value, with the direction as it was given. The projection is the dot product with the direction of length 1.",
)
def knob_raw_units(hidden, direction, value):
    return hidden + ((value - hidden @ direction) / (direction @ direction))[:, None] * direction


@knob_.variation("the part at right angles, plus value times the direction")
def knob_matrix(hidden, direction, value):
    unit = direction / direction.norm()
    rest = torch.eye(len(unit)) - torch.outer(unit, unit)
    return hidden @ rest + value * unit


@knob_.variation("example after example, without a unit direction, in float64")
def knob_loop(hidden, direction, value):
    rows, direction = [], direction.double()
    square = direction @ direction
    for row in hidden.double():
        rows.append(row + (value * square.sqrt() - row @ direction) / square * direction)
    return torch.stack(rows)


# --- random_directions ----------------------------------------------------------------------------------------------

random_ = Exercise("random_directions")


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


@random_.check("n rows of d numbers, each row of length 1")
def random_lengths(answer, draw):
    for n, d in [(5, 3), (2, 7), (1, 4), (20, 30)]:
        out = answer(n, d, generator_of(draw.seed()))
        expect.shape(out, (n, d), axes="n d")
        expect.close(out.double().norm(dim=-1), torch.ones(n), "the length of each row")


@random_.check("in the plane every sector is as likely as any other: of 6,000 directions, 250 for each 15 degrees")
def random_sectors(answer, draw):
    out = answer(6000, 2, generator_of(draw.seed()))
    expect.shape(out, (6000, 2), axes="n d")
    degrees = torch.atan2(out[:, 1], out[:, 0]).rad2deg() % 360
    expect_sectors(torch.histc(degrees.float(), bins=24, min=0, max=360))


def expect_sectors(counts):
    # Sectors 2 and 3 of each quarter touch its diagonal: a third of all, and 42 % of what is drawn in a square.
    diagonal = float(counts.view(4, 6)[:, 2:4].sum())
    expect.true(
        abs(diagonal - 2000) < 5 * math.sqrt(6000 * (1 / 3) * (2 / 3)),
        f"Within 15 degrees of a diagonal lie {diagonal:.0f} of 6,000 directions; near 2,000, a third, would be fair.",
    )
    off = (counts - 250).abs()
    at = int(off.argmax())
    # Five standard deviations: 24 sectors of a right answer are refused about once in 70,000 runs.
    expect.true(
        float(off[at]) < 5 * math.sqrt(6000 * (1 / 24) * (23 / 24)),
        f"Between {15 * at} and {15 * at + 15} degrees lie {int(counts[at])} of 6,000 directions; near 250 would be fair.",
    )


@random_.check(
    "the generator alone decides: the same state gives the same directions, and it goes on from draw to draw"
)
def random_seeded(answer, draw):
    seed = draw.seed()
    before = torch.get_rng_state()
    used = generator_of(seed)
    torch.rand(500, generator=used)
    first, again, later = answer(4, 3, generator_of(seed)), answer(4, 3, generator_of(seed)), answer(4, 3, used)
    expect.true(
        torch.equal(before, torch.get_rng_state()),
        "Your function used torch's own random numbers, which everybody shares. Draw with the generator: torch.randn(…, generator=generator).",
    )
    expect.true(torch.equal(first, again), "Two generators with the same seed gave different directions.")
    expect.true(
        not torch.equal(first, later),
        "A generator that had drawn before gave the same directions as a fresh one. Do not seed it again: draw with it.",
    )


@random_.check(
    "in many dimensions: the directions' mean is near 0 and each coordinate's square is 1/d on average", hidden=True
)
def random_moments(answer, draw):
    for d in (3, 20, 100):
        n = 4000
        out = answer(n, d, generator_of(draw.seed()))
        expect.shape(out, (n, d), axes="n d")
        expect.close(out.norm(dim=-1), torch.ones(n), "the length of each row", atol=1e-4)
        expect.close(out.mean(0), torch.zeros(d), "the mean direction", atol=6 / math.sqrt(n * d))
        # The variance of a squared coordinate is below 2/d², so the mean of n of them is this near 1/d.
        expect.close(out.pow(2).mean(0), torch.full((d,), 1 / d), "the mean square", atol=6 * math.sqrt(2 / n) / d)
        # Of a direction, a coordinate's fourth power is 3 / (d (d + 2)) on average; with other numbers than normal ones it is not.
        spread = 6 * math.sqrt(96 / (n * d))
        fourth = out.double().pow(4).mean() * d * (d + 2)
        expect.between(fourth, 3 - spread, 3 + spread, "the mean fourth power, times d (d + 2)")


@random_.wrong(
    "drawn in a square",
    "You drew the numbers evenly from −1 to 1. That fills a square, and there are more points towards its corners: use torch.randn, whose cloud is round.",
)
def random_square(n, d, generator):
    return F.normalize(2 * torch.rand(n, d, generator=generator) - 1, dim=-1)


@random_.wrong(
    "only positive numbers",
    "torch.rand draws from 0 to 1, so all your directions point into one corner of the space. torch.randn draws both signs.",
)
def random_positive(n, d, generator):
    return F.normalize(torch.rand(n, d, generator=generator), dim=-1)


@random_.wrong(
    "not brought to length 1", "The directions are fair, and their lengths are not 1: divide each row by its norm."
)
def random_raw(n, d, generator):
    return torch.randn(n, d, generator=generator)


@random_.wrong(
    "divides by √d",
    "You divided by √d. That is the length of a random vector on average; each has its own. Divide each row by its norm.",
)
def random_by_root(n, d, generator):
    return torch.randn(n, d, generator=generator) / math.sqrt(d)


@random_.wrong(
    "normalises the columns",
    "Your columns have length 1. A direction is a row: take the norm over the last axis, dim=-1.",
)
def random_columns(n, d, generator):
    return F.normalize(torch.randn(n, d, generator=generator), dim=0)


@random_.wrong(
    "one length for all",
    "You divided by the norm of the whole tensor. Each row has its own: .norm(dim=-1, keepdim=True).",
)
def random_whole(n, d, generator):
    vectors = torch.randn(n, d, generator=generator)
    return vectors / vectors.norm()


@random_.wrong(
    "seeds the generator again",
    "You seed the generator inside, so it gives the same directions every time. Whoever calls has seeded it: use it as it is.",
)
def random_reseeded(n, d, generator):
    return F.normalize(torch.randn(n, d, generator=generator.manual_seed(0)), dim=-1)


@random_.variation("row after row, in float64")
def random_loop(n, d, generator):
    rows = [torch.randn(d, generator=generator, dtype=torch.float64) for _ in range(n)]
    return torch.stack([row / row.pow(2).sum().sqrt() for row in rows])


@random_.variation("torch.normal and F.normalize")
def random_functional(n, d, generator):
    return F.normalize(torch.normal(0.0, 2.0, (n, d), generator=generator), dim=1)


# --- interference ---------------------------------------------------------------------------------------------------

interference_ = Exercise("interference")


@interference_.check("(2, 0), (0, 3), (1, 1) and (−1, 0), worked out by hand: six pairs, in order")
def interference_by_hand(answer, draw):
    out = answer(torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 0.0]]))
    expect.shape(out, (6,), axes="pairs")
    half = math.sqrt(0.5)
    expect.close(out, torch.tensor([0.0, half, -1.0, half, 0.0, -half]), "the cosines")


@interference_.check("each entry is the cosine of its own pair; lengths do not matter")
def interference_entries(answer, draw):
    vectors = draw.normal(5, 3) * draw.uniform(5, 1, low=0.5, high=3)
    out = answer(vectors)
    expect.shape(out, (10,), axes="pairs")
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    want = torch.stack([F.cosine_similarity(vectors[i], vectors[j], dim=0) for i, j in pairs])
    expect.close(out, want, "the cosines")


@interference_.check("any number of directions and dimensions: two too, and as many as dimensions", hidden=True)
def interference_sizes(answer, draw):
    for n, d, std in [(2, 5, 1), (6, 6, 1), (40, 2, 100), (9, 30, 0.01)]:
        vectors = draw.normal(d, n, std=std).T
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        want = torch.stack([F.cosine_similarity(vectors[i], vectors[j], dim=0, eps=1e-12) for i, j in pairs])
        expect.close(answer(vectors), want, "the cosines", atol=1e-4)


@interference_.check("random directions in d dimensions: mean 0, standard deviation 1/√d", hidden=True)
def interference_statistics(answer, draw):
    for d in (10, 300):
        out = answer(draw.normal(150, d))
        expect.shape(out, (150 * 149 // 2,), axes="pairs")
        expect.between(out.mean(), -0.1 / math.sqrt(d), 0.1 / math.sqrt(d), "the mean cosine")
        expect.between(out.std() * math.sqrt(d), 0.9, 1.1, "the standard deviation times √d")


def cosine_table(vectors):
    unit = F.normalize(vectors, dim=-1)
    return unit @ unit.T


def above(table, offset=1):
    i, j = torch.triu_indices(len(table), len(table), offset=offset)
    return table[i, j]


@interference_.wrong(
    "dot products of any length",
    "You multiplied the vectors as they are. A long vector gives a large product whatever its direction: bring each to length 1 first.",
)
def interference_dots(vectors):
    return above(vectors @ vectors.T)


@interference_.wrong(
    "each with itself",
    "Your list holds the 1s of the diagonal, each direction with itself. They are no interference: start one to the right of the diagonal, offset=1.",
)
def interference_diagonal(vectors):
    return above(cosine_table(vectors), offset=0)


@interference_.wrong(
    "every pair twice",
    "You kept i with j and j with i. They are the same cosine: keep each pair once.",
)
def interference_twice(vectors):
    table = cosine_table(vectors)
    return table[~torch.eye(len(table), dtype=torch.bool)]


@interference_.wrong(
    "the whole table", "That is the whole table, the diagonal and both halves. Keep what is above the diagonal."
)
def interference_table(vectors):
    return cosine_table(vectors).flatten()


@interference_.wrong(
    "without the sign",
    "You took absolute values. A negative cosine is interference downwards: keep the sign, or the mean cannot be 0.",
)
def interference_absolute(vectors):
    return above(cosine_table(vectors)).abs()


@interference_.wrong(
    "column by column",
    "The cosines are right, in another order: you picked what is below the diagonal. Row by row above it: (0, 1), (0, 2), …, (1, 2), …",
)
def interference_below(vectors):
    table = cosine_table(vectors)
    i, j = torch.tril_indices(len(table), len(table), offset=-1)
    return table[i, j]


@interference_.wrong(
    "normalises the dimensions",
    "You divided each column by its length. The vectors are the rows: take the norm over the last axis.",
)
def interference_columns(vectors):
    unit = F.normalize(vectors, dim=0)
    return above(unit @ unit.T)


@interference_.wrong("angles", "These are angles in radians. The interference is their cosine, the dot product itself.")
def interference_angles(vectors):
    return above(cosine_table(vectors)).clamp(-1, 1).acos()


@interference_.variation("two loops, in float64")
def interference_loop(vectors):
    out = []
    for i in range(len(vectors)):
        for j in range(i + 1, len(vectors)):
            a, b = vectors[i].double(), vectors[j].double()
            out.append((a @ b) / (a.norm() * b.norm()))
    return torch.stack(out)


@interference_.variation("torch's cosine_similarity, by a mask")
def interference_mask(vectors):
    table = F.cosine_similarity(vectors[:, None], vectors[None], dim=-1, eps=1e-12)
    return table[torch.ones_like(table, dtype=torch.bool).triu(1)]


# --- almost_orthogonal ----------------------------------------------------------------------------------------------

fit_ = Exercise("almost_orthogonal")


@fit_.check("the four candidates of the text, tolerance 0.3: numbers 0 and 2 are kept")
def fit_by_hand(answer, draw):
    candidates = F.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.436], [0.1, 0.995], [-1.0, 0.0]]), dim=-1)
    expect.equal(answer(candidates, 0.3), torch.tensor([0, 2]), "the numbers of the kept candidates")


@fit_.check("angles 0°, 40°, 80°, 120° and 150° in the plane, tolerance 0.5 (60°): numbers 0 and 2 are kept")
def fit_plane(answer, draw):
    # 80° is 80° from 0°. 120° is only 40° from 80°. 150° is 70° from 80°, but 30° from the line of 0°.
    angles = torch.tensor([0.0, 40.0, 80.0, 120.0, 150.0]).deg2rad()
    candidates = torch.stack([angles.cos(), angles.sin()], dim=-1)
    expect.equal(answer(candidates, 0.5), torch.tensor([0, 2]), "the numbers of the kept candidates")


@fit_.check("a cosine of exactly the tolerance is allowed: at most, not below")
def fit_limit(answer, draw):
    candidates = torch.eye(4)
    candidates[2] = torch.tensor([0.5, 0.5, 0.5, 0.5])
    expect.equal(answer(candidates, 0.5), torch.tensor([0, 1, 2, 3]), "the numbers of those kept with tolerance 0.5")
    expect.equal(answer(torch.eye(3), 0.0), torch.tensor([0, 1, 2]), "the numbers of the axes kept with tolerance 0")


@fit_.check(
    "25 random directions: the kept ones disturb each other by at most the tolerance, and each left out disturbs a kept one"
)
def fit_random(answer, draw):
    candidates = F.normalize(draw.normal(25, 4), dim=-1)
    expect_greedy(answer(candidates, 0.6), candidates, 0.6)


def expect_greedy(out, candidates, tolerance):
    """Expect the numbers of a greedy choice, by what is true of it and of no other set."""
    expect.tensor(out)
    expect.true(
        out.ndim == 1 and not out.is_floating_point() and out.dtype != torch.bool,
        f"You returned {expect.describe(out)}; return the numbers of the kept candidates.",
    )
    kept = set(out.tolist())
    inside = bool(kept) and min(kept) >= 0 and max(kept) < len(candidates)
    expect.true(
        inside, f"You returned {expect.describe(out)}; the candidates have the numbers 0 to {len(candidates) - 1}."
    )
    table = (candidates @ candidates.T).abs()
    for i in range(len(candidates)):
        worst = max((float(table[i, j]) for j in kept if j < i), default=0.0)
        expect.true(
            i not in kept or worst <= tolerance,
            f"Candidate {i} is kept, though |cosine| with one that was kept before it is {worst:.2f}; the tolerance is {tolerance}.",
        )
        expect.true(
            i in kept or worst > tolerance,
            f"Candidate {i} is left out, though |cosine| with those kept before it is {worst:.2f} at most; the tolerance is {tolerance}.",
        )
    expect.equal(out, torch.tensor(sorted(kept)), "the numbers of the kept candidates")


@fit_.check("any number of candidates, dimensions and tolerances", hidden=True)
def fit_sizes(answer, draw):
    for n, d, tolerance in [(1, 3, 0.1), (40, 2, 0.9), (60, 8, 0.45), (30, 30, 0.2), (25, 5, 1.0)]:
        candidates = F.normalize(draw.normal(n, d), dim=-1) * (1 - 1e-6)  # a hair below 1, for the tolerance of 1
        expect_greedy(answer(candidates, tolerance), candidates, tolerance)


@fit_.check("with a small tolerance, d axes turned at random all fit, and nothing else does", hidden=True)
def fit_axes(answer, draw):
    d = 6
    turned = torch.linalg.qr(draw.normal(d, d).double())[0].float()
    others = F.normalize(draw.normal(20, d), dim=-1)
    expect.equal(answer(torch.cat([turned, others]), 1e-3), torch.arange(d), "the numbers of the kept candidates")


def greedy(candidates, allowed, compare="kept"):
    """The bouncer, with another rule: allowed(dot products) says whether a candidate is let in."""
    kept = [0]
    for i in range(1, len(candidates)):
        with_whom = {"kept": kept, "first": kept[:1], "last": kept[-1:], "earlier": list(range(i))}[compare]
        if allowed(candidates[with_whom] @ candidates[i]):
            kept.append(i)
    return torch.tensor(kept)


@fit_.wrong(
    "forgets opposite directions",
    "You let in a direction that points the opposite way of a kept one: cosine −1 is below any tolerance, and the same line. Take absolute values.",
)
def fit_signed(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool((cosines <= tolerance).all()))


@fit_.wrong(
    "compares with the last one only",
    "Each candidate was compared with the one let in last. It must get along with all that are in.",
)
def fit_last(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool((cosines.abs() <= tolerance).all()), "last")


@fit_.wrong(
    "compares with the first one only",
    "Each candidate was compared with candidate 0 alone. It must get along with all that are in.",
)
def fit_first(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool((cosines.abs() <= tolerance).all()), "first")


@fit_.wrong(
    "takes the absolute value too late",
    "You took the largest cosine, and its absolute value after that: a cosine of −1 hides behind a larger one. First the absolute values, then the largest.",
)
def fit_late_abs(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool(cosines.max().abs() <= tolerance))


@fit_.wrong(
    "compares with those left out",
    "Each candidate was compared with all earlier candidates, also those that were not let in. Who is outside disturbs nobody.",
)
def fit_earlier(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool((cosines.abs() <= tolerance).all()), "earlier")


@fit_.wrong(
    "one friend is enough",
    "You let a candidate in if it gets along with any of the kept ones. It must get along with all of them: .all(), or the maximum.",
)
def fit_any(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool((cosines.abs() <= tolerance).any()))


@fit_.wrong(
    "only below the tolerance",
    "A cosine of exactly the tolerance is allowed: at most (<=), and not only below (<). With tolerance 0 even axes at right angles would be turned away.",
)
def fit_strict(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool((cosines.abs() < tolerance).all()))


@fit_.wrong(
    "the mean disturbance",
    "You compared the mean of the absolute cosines with the tolerance. One bad pair is one too many: compare the largest.",
)
def fit_mean(candidates, tolerance):
    return greedy(candidates, lambda cosines: bool(cosines.abs().mean() <= tolerance))


@fit_.wrong("returns how many", "That is how many are kept. Return their numbers; whoever wants the count takes len().")
def fit_count(candidates, tolerance):
    return torch.tensor(len(greedy(candidates, lambda cosines: bool((cosines.abs() <= tolerance).all()))))


@fit_.wrong(
    "returns the directions", "These are the kept directions themselves. Return their numbers among the candidates."
)
def fit_vectors(candidates, tolerance):
    return candidates[greedy(candidates, lambda cosines: bool((cosines.abs() <= tolerance).all()))]


@fit_.variation("the whole table first, then a mask of who is in")
def fit_table(candidates, tolerance):
    fine = (candidates @ candidates.T).abs() <= tolerance
    kept = torch.zeros(len(candidates), dtype=torch.bool)
    for i in range(len(candidates)):
        kept[i] = bool(fine[i][kept].all())
    return kept.nonzero()[:, 0]


@fit_.variation("pair after pair, with plain Python")
def fit_loop(candidates, tolerance):
    kept = []
    for i in range(len(candidates)):
        if all(abs(float(candidates[i] @ candidates[j])) <= tolerance for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


# --- read_features --------------------------------------------------------------------------------------------------

read_ = Exercise("read_features")


@read_.check("directions (1, 0), (0, 1), (0.6, 0.8), the third feature on: the readings are 0.6, 0.8 and 1")
def read_by_hand(answer, draw):
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    values = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [2.0, 0.0, 1.0], [-1.0, 0.5, 0.0]])
    out = answer(values, directions)
    expect.shape(out, (4, 3), axes="batch n")
    want = torch.tensor([[0.6, 0.8, 1.0], [1.0, 0.0, 0.6], [2.6, 0.8, 2.2], [-1.0, 0.5, -0.2]])
    expect.close(out, want, "the readings")


@read_.check("each reading is its own value plus the others' values times their cosines with it")
def read_entries(answer, draw):
    directions, values = F.normalize(draw.normal(7, 4), dim=-1), draw.uniform(3, 7)
    out = answer(values, directions)
    expect.shape(out, (3, 7), axes="batch n")
    for row in range(3):
        for j in range(7):
            others = sum(float(values[row, i]) * float(directions[i] @ directions[j]) for i in range(7) if i != j)
            what = f"the reading of feature {j} in example {row}"
            expect.close(out[row, j], float(values[row, j]) + others, what, atol=1e-4)


@read_.check("directions at right angles: every value comes back")
def read_orthogonal(answer, draw):
    turned = torch.linalg.qr(draw.normal(5, 5).double())[0].float()[:3]  # three directions in five dimensions
    values = draw.normal(4, 3)
    expect.close(
        answer(values, turned), values, "the readings", atol=1e-4, because="nothing interferes at right angles"
    )


@read_.check("any sizes, and values of any size and sign", hidden=True)
def read_sizes(answer, draw):
    for batch, n, d, std in [(1, 1, 3, 1), (6, 6, 6, 1), (2, 50, 8, 3), (9, 4, 20, 1)]:
        directions, values = F.normalize(draw.normal(n, d), dim=-1), draw.normal(n, batch, std=std).T
        want = torch.einsum("bi,id,jd->bj", values.double(), directions.double(), directions.double())
        expect.close(answer(values, directions), want, "the readings", atol=1e-4)


@read_.check("what is read of two examples together is what is read of each", hidden=True)
def read_linear(answer, draw):
    directions, values = F.normalize(draw.normal(12, 5), dim=-1), draw.normal(2, 12)
    both = answer(values.sum(0, keepdim=True), directions)
    expect.close(both, answer(values, directions).sum(0, keepdim=True), "the readings of the sum", atol=1e-4)
    gram = directions @ directions.T
    expect.close(both, values.sum(0, keepdim=True) @ gram, "the readings of the sum", atol=1e-4)


@read_.wrong(
    "never written",
    "Your readings are the values themselves, without interference. They have to pass through d numbers: write them along the directions first, then read.",
)
def read_values(values, directions):
    return values.clone()


@read_.wrong(
    "undoes the writing",
    "You used the pseudo-inverse, the best linear way to undo the writing. Here each feature is read by the dot product with its own direction alone.",
)
def read_pinv(values, directions):
    return values @ directions @ torch.linalg.pinv(directions)


@read_.wrong(
    "only the interference",
    "You left each feature's own value out: that is the second half of the formula. A reading is the value plus the interference.",
)
def read_others(values, directions):
    return values @ directions @ directions.T - values


@read_.wrong(
    "brings what was written to length 1",
    "You normalised the written vector, so that strong and weak features read the same. Leave its length as it is.",
)
def read_normalised(values, directions):
    return F.normalize(values @ directions, dim=-1) @ directions.T


@read_.wrong(
    "cuts negative readings off",
    "Your negative readings became 0. A ReLU does help against interference (lesson 12), but the plain dot product keeps them.",
)
def read_relu(values, directions):
    return (values @ directions @ directions.T).relu()


@read_.wrong(
    "divides by the number of features",
    "Your readings are too small by the factor n: you took a mean over the features where they are added up.",
)
def read_mean(values, directions):
    return values @ directions @ directions.T / len(directions)


@read_.variation("einsum, in float64")
def read_einsum(values, directions):
    written = torch.einsum("bn,nd->bd", values.double(), directions.double())
    return torch.einsum("bd,nd->bn", written, directions.double())


@read_.variation("feature after feature")
def read_loop(values, directions):
    written = torch.zeros(len(values), directions.shape[1])
    for i in range(len(directions)):
        written = written + values[:, i : i + 1] * directions[i]
    return torch.stack([written @ direction for direction in directions], dim=-1)


@read_.variation("the table of all cosines first")
def read_gram(values, directions):
    return values @ (directions @ directions.T)
