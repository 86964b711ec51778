"""How the exercises of lesson 12 are checked.

The truth comes from outside the lab: sums written out feature by feature, statistics of the data, polygons whose dimensionality is
known, quadrature of the expected losses, and a population of inputs whose moments are exact. Nothing is trained here.
"""

import math

import torch

from mechinterp_course.tutor.checks import Exercise, expect

# --- toy_forward ----------------------------------------------------------------------------------------------------

forward = Exercise("toy_forward")
NO_GRADIENT = (
    "Your result has no gradient, so a model could not learn from it. Leave out .detach(), .data, .item() and "
    "torch.no_grad(), and compute with tensors throughout."
)


def written_out(x, W, b):
    """The model, one instance and one input at a time, in float64."""
    x, W, b = x.double(), W.double(), b.double()
    rows = [[(W[k].T @ (W[k] @ row) + b[k]).clamp(min=0) for row in x[k]] for k in range(len(x))]
    return torch.stack([torch.stack(row) for row in rows])


@forward.check("two instances by hand: h = 2, read out with the same weights, then the bias, then the ReLU")
def forward_by_hand(answer, draw):
    W = torch.tensor([[[1.0, -1.0]], [[2.0, 0.0]]])
    b = torch.tensor([[0.0, 0.5], [-1.0, 0.0]])
    out = answer(torch.tensor([[[3.0, 1.0]], [[1.0, 5.0]]]), W, b)
    expect.shape(out, (2, 1, 2), axes="instance batch feature")
    expect.close(out, torch.tensor([[[2.0, 0.0]], [[3.0, 0.0]]]))


@forward.check("every instance with its own weights and its own inputs")
def forward_instances(answer, draw):
    x, W, b = draw.uniform(3, 4, 6), draw.normal(3, 2, 6), draw.normal(3, 6)
    out = answer(x, W, b)
    expect.shape(out, (3, 4, 6), axes="instance batch feature")
    expect.close(out, written_out(x, W, b))


@forward.check("as many inputs as instances: a bias belongs to an instance, not to an input")
def forward_square(answer, draw):
    x, W, b = draw.uniform(4, 4, 3), draw.normal(4, 2, 3), draw.normal(4, 3)
    expect.close(answer(x, W, b), written_out(x, W, b))


@forward.check("any number of instances, inputs, features and dimensions", hidden=True)
def forward_sizes(answer, draw):
    for sizes in [(1, 1, 1, 1), (2, 5, 3, 3), (7, 1, 4, 2), (3, 9, 5, 8), (5, 5, 5, 5)]:
        instances, batch, features, hidden = sizes
        x, W = draw.uniform(instances, batch, features), draw.normal(instances, hidden, features)
        b = draw.normal(instances, features)
        expect.close(answer(x, W, b), written_out(x, W, b), atol=1e-4)


@forward.check("float64 in, float64 out; and gradients reach the weights")
def forward_gradient(answer, draw):
    x, W, b = draw.uniform(2, 3, 4).double(), draw.normal(2, 2, 4).double(), draw.uniform(2, 4).double()
    expect.dtype(answer(x, W, b), torch.float64)
    out = answer(x, W.clone().requires_grad_(), b)
    expect.true(out.requires_grad, NO_GRADIENT)


@forward.wrong(
    "bias after the ReLU",
    "You added the bias behind the ReLU, so it cannot cancel interference. It belongs inside: ReLU(Wᵀh + b).",
)
def forward_bias_last(x, W, b):
    return torch.relu((x @ W.mT) @ W) + b[:, None]


@forward.wrong(
    "no ReLU",
    "Some outputs are negative: the ReLU is missing. Without it this is the linear control, which learns no "
    "superposition.",
)
def forward_linear(x, W, b):
    return (x @ W.mT) @ W + b[:, None]


@forward.wrong(
    "no bias",
    "b has no effect on your outputs. Add it before the ReLU; b[:, None] gives it an axis for the batch.",
)
def forward_no_bias(x, W, b):
    return torch.relu((x @ W.mT) @ W)


@forward.wrong(
    "a ReLU in the middle",
    "You cut negative numbers in the hidden layer, too. The only ReLU stands at the end: h = Wx stays as it is.",
)
def forward_relu_twice(x, W, b):
    return torch.relu(torch.relu(x @ W.mT) @ W + b[:, None])


@forward.wrong(
    "the first instance's weights for all",
    "Every instance was run with the weights of instance 0. Keep the letter of the instance in both W and the result.",
)
def forward_first(x, W, b):
    return torch.relu((x @ W[0].mT) @ W[0] + b[:, None])


@forward.wrong(
    "instances summed together",
    "Your einsum sums W over the instances: its letter in W is another than in x, or is missing on the right. "
    "Each instance has its own.",
)
def forward_mixed(x, W, b):
    return torch.relu((x @ W.sum(0).mT) @ W.sum(0) + b[:, None])


@forward.wrong(
    "a bias for each input",
    "Your bias runs along the batch. b is (instance, feature): b[:, None] lines it up with (instance, batch, feature).",
)
def forward_bias_along_batch(x, W, b):
    bias = b[None, :] if b.shape[0] == x.shape[1] else b[:, None].mean(0, keepdim=True)
    return torch.relu((x @ W.mT) @ W + bias)


@forward.variation("matrix products")
def forward_matmul(x, W, b):
    return torch.relu((x @ W.mT) @ W + b.unsqueeze(1))


@forward.variation("the square matrix WᵀW first")
def forward_square_first(x, W, b):
    return (x @ (W.mT @ W) + b[:, None]).clamp(min=0)


@forward.variation("a loop over instances")
def forward_loop(x, W, b):
    return torch.stack([torch.relu(one @ w.T @ w + bias) for one, w, bias in zip(x, W, b, strict=True)])


# --- sparse_features ------------------------------------------------------------------------------------------------

data = Exercise("sparse_features")
BATCH = 4000


def generator(draw):
    return torch.Generator().manual_seed(draw.seed())


def band(probability, count):
    """Six standard errors of a share: one in a billion falls outside."""
    return 6 * math.sqrt(probability * (1 - probability) / count) + 1e-6


def expect_zeros(inputs, sparsity):
    """The share of zeros is the sparsity. A handful more is allowed: torch.rand itself may draw an exact 0."""
    share, wide = float((inputs == 0).double().mean()), band(sparsity, inputs.numel()) + 3e-4
    low, high = max(sparsity - wide, 0.0), min(sparsity + wide, 1.0)
    expect.between(share, low, high, f"the share of zeros at sparsity {sparsity:.2f}")


@data.check("three instances of 4,000 inputs: the share of zeros is the sparsity of each instance")
def data_shares(answer, draw):
    sparsity = torch.tensor([0.0, 0.6, 0.9])
    x = answer(BATCH, 5, sparsity, generator(draw))
    expect.shape(x, (3, BATCH, 5), axes="instance batch feature")
    for k, s in enumerate(sparsity.tolist()):
        expect_zeros(x[k], s)


@data.check("what is there is uniform between 0 and 1")
def data_uniform(answer, draw):
    x = answer(BATCH, 4, torch.tensor([0.5, 0.2]), generator(draw))
    there = x[x != 0].double()
    expect.true(len(there) > 0, "Every entry is 0.")
    expect.between(there.min(), 0, 0.05, "the smallest entry that is there")
    expect.between(there.max(), 0.95, 1, "the largest entry")
    expect.between(there.mean(), 0.48, 0.52, "the mean of the entries that are there")
    expect.between(there.std(), 0.27, 0.31, "their standard deviation", because="a uniform number has 1/√12 = 0.289")


@data.check("each feature comes on its own: two are there together with probability (1 − S)²")
def data_independent(answer, draw):
    x = answer(BATCH, 3, torch.tensor([0.5, 0.8]), generator(draw))
    expect.shape(x, (2, BATCH, 3), axes="instance batch feature")
    for k, p in enumerate((0.5, 0.2)):
        both = (x[k, :, 0] != 0) & (x[k, :, 2] != 0)
        wide = band(p * p, BATCH)
        what = f"the share of inputs that hold both features, where each comes with probability {p},"
        expect.between(both.double().mean(), p * p - wide, p * p + wide, what)
        alike = float((x[k, both, 0] == x[k, both, 2]).double().mean())
        expect.between(alike, 0, 0.01, "the share of these inputs in which both features have the same size")


@data.check("instances and inputs differ")
def data_differ(answer, draw):
    x = answer(BATCH, 3, torch.tensor([0.5, 0.5]), generator(draw))
    same = float((x[0] == x[1]).double().mean())
    expect.between(
        same,
        0,
        0.25 + band(0.25, BATCH * 3),
        "the share of entries that are equal in two instances",
        because="at S = 0.5 only both being 0 makes them equal",
    )
    repeated = float((x[0, 1:] == x[0, :-1]).double().mean())
    expect.between(repeated, 0, 0.25 + band(0.25, BATCH * 3), "the share of entries that are equal in two inputs")


@data.check("the generator decides: a new one gives the same data again, a used one goes on, another one differs")
def data_generator(answer, draw):
    seed, sparsity = draw.seed(), torch.tensor([0.3, 0.7])
    used = torch.Generator().manual_seed(seed)
    torch.rand(1000, generator=used)  # as after a step of training; an answer gets a copy of the generator
    one, following = answer(50, 3, sparsity, torch.Generator().manual_seed(seed)), answer(50, 3, sparsity, used)
    torch.manual_seed(draw.seed())  # the global source must not matter
    again = answer(50, 3, sparsity, torch.Generator().manual_seed(seed))
    expect.true(
        torch.equal(one, again), "The same generator gave other data: pass generator= to every call that draws."
    )
    other = answer(50, 3, sparsity, torch.Generator().manual_seed(seed + 1))
    expect.true(not torch.equal(one, other), "Another generator gave the same data.")
    expect.true(
        not torch.equal(one, following),
        "A generator that has been drawn from gave the same data as a new one: each training step would see the same "
        "inputs. Draw from it as it comes, and do not seed it.",
    )


@data.check("any sparsity, many instances", hidden=True)
def data_many(answer, draw):
    sparsity = draw.uniform(6, high=0.95)
    x = answer(BATCH, 2, sparsity, generator(draw))
    for k, s in enumerate(sparsity.tolist()):
        expect_zeros(x[k], s)


def two_draws(batch, features, sparsity, generator):
    """Sizes and coins as most people draw them, and the sparsities ready to compare."""
    shape = (len(sparsity), batch, features)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator), sparsity[:, None, None]


@data.wrong(
    "sparsity upside down",
    "The share of zeros is 1 − S: you kept an entry with probability S. Sparsity is the probability that it is absent.",
)
def data_upside_down(batch, features, sparsity, generator):
    sizes, coins, s = two_draws(batch, features, sparsity, generator)
    return sizes * (coins < s)


@data.wrong(
    "one coin for a whole input",
    "An input has all its features or none: you drew one coin for the input. Draw one for each entry.",
)
def data_one_coin(batch, features, sparsity, generator):
    sizes = torch.rand(len(sparsity), batch, features, generator=generator)
    coins = torch.rand(len(sparsity), batch, 1, generator=generator)
    return sizes * (coins >= sparsity[:, None, None])


@data.wrong(
    "the size is the coin",
    "Nothing that is there is smaller than S: one random number decided both whether an entry is there and how "
    "large it is. Draw two.",
)
def data_one_number(batch, features, sparsity, generator):
    sizes = torch.rand(len(sparsity), batch, features, generator=generator)
    return sizes * (sizes >= sparsity[:, None, None])


@data.wrong(
    "one sparsity for all",
    "All your instances have the same share of zeros. Each has a sparsity of its own: sparsity[:, None, None].",
)
def data_one_sparsity(batch, features, sparsity, generator):
    sizes, coins, s = two_draws(batch, features, sparsity, generator)
    return sizes * (coins >= s.mean())


@data.wrong(
    "the same data for all instances",
    "Your instances see the same inputs. Draw a block with the instance axis, (instance, batch, feature).",
)
def data_shared(batch, features, sparsity, generator):
    sizes = torch.rand(1, batch, features, generator=generator)
    coins = torch.rand(1, batch, features, generator=generator)
    return sizes * (coins >= sparsity[:, None, None])


@data.wrong(
    "scaled up like dropout",
    "What is there goes beyond 1: you divided by 1 − S, as dropout does. Here a feature that is there keeps its size.",
)
def data_dropout(batch, features, sparsity, generator):
    sizes, coins, s = two_draws(batch, features, sparsity, generator)
    return sizes * (coins >= s) / (1 - s)


@data.wrong(
    "normal instead of uniform",
    "Some entries are negative: torch.randn draws normal numbers. A feature is uniform between 0 and 1, torch.rand.",
)
def data_normal(batch, features, sparsity, generator):
    sizes = torch.randn(len(sparsity), batch, features, generator=generator)
    coins = torch.rand(len(sparsity), batch, features, generator=generator)
    return sizes * (coins >= sparsity[:, None, None])


@data.wrong(
    "one size for a whole input",
    "All features of an input have the same size: you drew one size for the input. Draw one for each entry.",
)
def data_one_size(batch, features, sparsity, generator):
    sizes = torch.rand(len(sparsity), batch, 1, generator=generator)
    coins = torch.rand(len(sparsity), batch, features, generator=generator)
    return sizes * (coins >= sparsity[:, None, None])


@data.wrong(
    "seeded in each call",
    "You seed the generator inside the function, so each call returns the same inputs. Whoever calls has seeded it.",
)
def data_seeded(batch, features, sparsity, generator):
    sizes, coins, s = two_draws(batch, features, sparsity, torch.Generator().manual_seed(generator.initial_seed()))
    return sizes * (coins >= s)


@data.variation("the coin first, and torch.where")
def data_where(batch, features, sparsity, generator):
    shape = (len(sparsity), batch, features)
    there = torch.rand(shape, generator=generator) < 1 - sparsity[:, None, None]
    return torch.where(there, torch.rand(shape, generator=generator), torch.zeros(()))


@data.variation("torch.bernoulli, one instance after the other")
def data_bernoulli(batch, features, sparsity, generator):
    rows = []
    for s in sparsity.tolist():
        there = torch.bernoulli(torch.full((batch, features), 1 - s), generator=generator)
        rows.append(there * torch.rand(batch, features, generator=generator))
    return torch.stack(rows)


# --- importance_loss ------------------------------------------------------------------------------------------------

loss = Exercise("importance_loss")


@loss.check("two inputs by hand: errors 1 and 2 in the first, 0 and 1 in the second, importances 1 and 1/2")
def loss_by_hand(answer, draw):
    output, x = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 2.0], [0.0, 1.0]]])
    out = answer(output, x, torch.tensor([1.0, 0.5]))
    expect.shape(out, (1,), axes="instance")
    expect.close(out, torch.tensor([1.75]), "the loss", because="(1·1 + ½·4 + ½·1) / 2 inputs")


def added_up(output, x, importance):
    out = []
    for k in range(len(x)):
        total = sum(
            float(importance[i]) * float(output[k, n, i] - x[k, n, i]) ** 2
            for n in range(x.shape[1])
            for i in range(x.shape[2])
        )
        out.append(total / x.shape[1])
    return torch.tensor(out)


@loss.check("one number for each instance, term by term")
def loss_terms(answer, draw):
    output, x, importance = draw.normal(3, 4, 5), draw.uniform(3, 4, 5), draw.uniform(5, low=0.2, high=2)
    out = answer(output, x, importance)
    expect.shape(out, (3,), axes="instance")
    expect.close(out, added_up(output, x, importance))


@loss.check("as many inputs as features: importance belongs to the features")
def loss_square(answer, draw):
    output, x, importance = draw.normal(2, 4, 4), draw.uniform(2, 4, 4), draw.uniform(4, low=0.2, high=2)
    expect.close(answer(output, x, importance), added_up(output, x, importance))


@loss.check("gradients reach the output")
def loss_gradient(answer, draw):
    output, x, importance = draw.normal(2, 3, 4).requires_grad_(), draw.uniform(2, 3, 4), draw.uniform(4, low=0.2)
    out = answer(output, x, importance)
    expect.shape(out, (2,), axes="instance")
    expect.true(out.requires_grad, NO_GRADIENT)


@loss.check("any sizes; twice the inputs leave the loss where it is", hidden=True)
def loss_sizes(answer, draw):
    for shape in [(1, 1, 1), (4, 2, 7), (6, 9, 2)]:
        output, x, importance = draw.normal(*shape), draw.uniform(*shape), draw.uniform(shape[-1], low=0.1, high=3)
        out = answer(output, x, importance)
        expect.close(out, added_up(output, x, importance), atol=1e-4)
        expect.close(answer(torch.cat([output] * 2, 1), torch.cat([x] * 2, 1), importance), out, atol=1e-4)


@loss.wrong(
    "importance inside the square",
    "You weighed the error before squaring it, so importance counts twice: 0.5 became 0.25. Square first, then weigh.",
)
def loss_inside(output, x, importance):
    return ((importance * (output - x)) ** 2).sum(-1).mean(-1)


@loss.wrong(
    "averages over the features",
    "Your loss is too small by the number of features: you averaged over them, too. Features are summed; only "
    "the batch is averaged.",
)
def loss_mean_features(output, x, importance):
    return (importance * (output - x) ** 2).mean(-1).mean(-1)


@loss.wrong(
    "sums over the batch",
    "Your loss grows with the number of inputs. Average over the batch: else a larger batch means larger steps.",
)
def loss_sum_batch(output, x, importance):
    return (importance * (output - x) ** 2).sum(-1).sum(-1)


@loss.wrong(
    "one loss for all instances",
    "You averaged over the instances as well, and one number is left. Each instance keeps a loss of its own.",
)
def loss_one(output, x, importance):
    return (importance * (output - x) ** 2).sum(-1).mean()


@loss.wrong(
    "importance left out",
    "Every error weighs the same in your loss: importance has no effect.",
)
def loss_unweighted(output, x, importance):
    return ((output - x) ** 2).sum(-1).mean(-1)


@loss.wrong(
    "divides by the sum of importances",
    "You made a weighted mean: your loss is divided by the sum of the importances. The formula only multiplies.",
)
def loss_normalised(output, x, importance):
    return (importance * (output - x) ** 2).sum(-1).mean(-1) / importance.sum()


@loss.wrong(
    "the absolute error",
    "You took the absolute error. The loss squares it: an error of 2 costs 4.",
)
def loss_absolute(output, x, importance):
    return (importance * (output - x).abs()).sum(-1).mean(-1)


@loss.variation("einsum, divided by the batch")
def loss_einsum(output, x, importance):
    return torch.einsum("ibf,f->i", (output - x).square(), importance) / x.shape[1]


@loss.variation("the mean first, then a matrix product")
def loss_matmul(output, x, importance):
    return ((x - output) ** 2).mean(1) @ importance


# --- represented_features -------------------------------------------------------------------------------------------

kept = Exercise("represented_features")


@kept.check("lengths 1, 0.6, 0.5, 0.4 and 0, in any direction")
def kept_by_hand(answer, draw):
    W = torch.tensor([[[0.6, 0.36, 0.5, 0.32, 0.0], [-0.8, 0.48, 0.0, -0.24, 0.0]]])
    out = answer(W)
    expect.shape(out, (1, 5), axes="instance feature")
    expect.equal(out, torch.tensor([[True, True, False, False, False]]))


@kept.check("many instances: lengths on both sides of 0.5")
def kept_lengths(answer, draw):
    for instances, hidden, features in ((4, 3, 6), (5, 2, 2), (3, 4, 3)):
        check_lengths(answer, draw, instances, hidden, features)


def check_lengths(answer, draw, instances, hidden, features):
    lengths = draw.uniform(instances, features, low=0.3, high=0.7)
    lengths[0, 0], lengths[0, 1] = 0.45, 0.55
    W = draw.normal(instances, hidden, features)
    W = W / (W**2).sum(1, keepdim=True).sqrt() * lengths[:, None]
    out = answer(W)
    expect.shape(out, (instances, features), axes="instance feature")
    expect.equal(out, lengths > 0.5)


@kept.check("one dimension, or many", hidden=True)
def kept_sizes(answer, draw):
    for sizes in ((1, 1, 3), (2, 9, 4), (6, 2, 11)):
        check_lengths(answer, draw, *sizes)


@kept.wrong(
    "the squared length",
    "You compared the *squared* length with 0.5: a length of 0.6 has the square 0.36. Take the root first.",
)
def kept_squared(W):
    return (W**2).sum(1) > 0.5


@kept.wrong(
    "length along the wrong axis",
    "You measured the rows of W: one number for each hidden dimension. The direction of a feature is a column: "
    "sum over hidden, dim=1.",
)
def kept_rows(W):
    return W.norm(dim=2) > 0.5


@kept.wrong(
    "the largest entry",
    "You looked at single entries. A direction (0.36, 0.48) has no entry above 0.5, and a length of 0.6.",
)
def kept_largest(W):
    return W.abs().amax(1) > 0.5


@kept.wrong(
    "the sum of the entries",
    "You summed the entries without squaring them: positive and negative ones cancel. Length is the root of the "
    "sum of squares.",
)
def kept_sum(W):
    return W.sum(1) > 0.5


@kept.wrong(
    "the sum of absolute entries",
    "You summed absolute values. That is another length (the L1 norm): (0.32, −0.24) gets 0.56, and its "
    "Euclidean length is 0.4.",
)
def kept_absolute(W):
    return W.abs().sum(1) > 0.5


@kept.wrong(
    "0.5 itself counts",
    "You kept a direction of length 0.5, too. The line is *longer than* 0.5.",
)
def kept_at_least(W):
    return W.norm(dim=1) >= 0.5


@kept.variation("squared lengths against 0.25")
def kept_quarter(W):
    return (W * W).sum(dim=1) > 0.25


@kept.variation("the diagonal of WᵀW")
def kept_diagonal(W):
    return (W.mT @ W).diagonal(dim1=1, dim2=2).sqrt() > 0.5


# --- feature_dimensionality -----------------------------------------------------------------------------------------

share = Exercise("feature_dimensionality")


def polygon(corners, turn=0.3, lengths=1.0):
    """Directions to the corners of a regular polygon: (2, corner)."""
    angle = 2 * math.pi * torch.arange(corners) / corners + turn
    return lengths * torch.stack([angle.cos(), angle.sin()])


def one_by_one(W):
    """The formula of the exercise, feature by feature, in float64."""
    W = W.double()
    out = torch.zeros(W.shape[0], W.shape[2], dtype=torch.float64)
    for k in range(len(W)):
        for i in range(W.shape[2]):
            own = W[k, :, i]
            if own.any():
                unit = own / own.norm()
                out[k, i] = own.norm() ** 2 / sum((unit @ W[k, :, j]) ** 2 for j in range(W.shape[2]))
    return out


@share.check("a pentagon gives 2/5 to each, two crossed pairs 1/2, whatever the turn and the length")
def share_polygons(answer, draw):
    five, four = polygon(5, 0.2), polygon(4, 1.0, 0.8)
    expect.close(answer(five[None]), torch.full((1, 5), 0.4), "the dimensionality in a pentagon")
    expect.close(answer(four[None]), torch.full((1, 4), 0.5), "the dimensionality in two crossed pairs")


@share.check("a pair of unequal lengths, 1 and 0.5: 1/(1 + 0.25) = 0.8 and 0.25/(0.25 + 1) = 0.2")
def share_unequal(answer, draw):
    W = torch.tensor([[[1.0, -0.5, 0.0], [0.0, 0.0, 0.9]]])
    expect.close(answer(W), torch.tensor([[0.8, 0.2, 1.0]]))


@share.check("a feature without a direction gets 0, and takes nothing from the others; a short one is not without")
def share_zero(answer, draw):
    W = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [[0.0, 0.6, -0.6], [0.0, 0.0, 0.0]]])
    expect.close(answer(W), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.5, 0.5]]))
    short = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.05, -0.05]]])
    expect.close(answer(short), torch.tensor([[1.0, 0.5, 0.5]]), "the dimensionality beside a short pair", atol=5e-3)


@share.check("any W, feature by feature")
def share_any(answer, draw):
    W = draw.normal(3, 2, 5)
    out = answer(W)
    expect.shape(out, (3, 5), axes="instance feature")
    expect.close(out, one_by_one(W), atol=1e-4)


@share.check(
    "over an instance they sum to at most the number of dimensions; to just that for right angles", hidden=True
)
def share_sum(answer, draw):
    for hidden in (1, 3, 6):
        total = answer(draw.normal(8, hidden, 7)).sum(-1).max()
        expect.between(total, 0, hidden + 1e-4, f"the largest sum in {hidden} dimensions")
    turn = torch.linalg.qr(draw.normal(4, 4)).Q
    expect.close(
        answer((turn @ torch.eye(4, 6))[None]).sum(), 4.0, "the sum for four directions at right angles", atol=1e-4
    )


@share.check("any number of instances, dimensions and features; a turned or scaled W has the same numbers", hidden=True)
def share_sizes(answer, draw):
    for instances, hidden, features in ((1, 1, 1), (2, 4, 4), (5, 3, 8), (3, 6, 2)):
        W = draw.normal(instances, hidden, features)
        expect.close(answer(W), one_by_one(W), atol=1e-4)
        turn = torch.linalg.qr(draw.normal(hidden, hidden)).Q
        expect.close(answer(3 * turn @ W), one_by_one(W), "the dimensionality after a turn", atol=1e-4)


def dots_of(W):
    return W.mT @ W


def lengths_of(W):
    return W.norm(dim=1).clamp(min=1e-12)


@share.wrong(
    "cosines",
    "You divided both directions by their lengths, so a long neighbour takes no more than a short one. Only Ŵ_i "
    "is a unit vector; W_j keeps its length.",
)
def share_cosines(W):
    cosines = dots_of(W) / lengths_of(W)[:, :, None] / lengths_of(W)[:, None, :]
    return (W**2).sum(1) / (cosines**2).sum(-1).clamp(min=1e-12)


@share.wrong(
    "the unit vector is left out",
    "You squared W_i · W_j as it is. Divide W_i by its length there: otherwise a short feature seems to meet "
    "little of the others.",
)
def share_no_unit(W):
    return (W**2).sum(1) / (dots_of(W) ** 2).sum(-1).clamp(min=1e-12)


@share.wrong(
    "the other one is the unit vector",
    "You normalised W_j instead of W_i. The hat is on i: along feature i's line, how much is there of each W_j?",
)
def share_wrong_hat(W):
    return (W**2).sum(1) / ((dots_of(W) / lengths_of(W)[:, None, :]) ** 2).sum(-1).clamp(min=1e-12)


@share.wrong(
    "leaves itself out of the sum",
    "Your sum runs over the other features only, so a feature with a direction of its own gets infinity. j = i "
    "belongs to it: then it gets 1.",
)
def share_without_self(W):
    along = (dots_of(W) / lengths_of(W)[:, :, None]) ** 2
    own = along.diagonal(dim1=1, dim2=2)
    return torch.where(own > 0, (W**2).sum(1) / (along.sum(-1) - own), torch.zeros(()))


@share.wrong(
    "the length, not its square",
    "In the numerator stands the length; it should be its square. For directions of length 1 you would never notice.",
)
def share_length(W):
    along = dots_of(W) / lengths_of(W)[:, :, None]
    return W.norm(dim=1) / (along**2).sum(-1).clamp(min=1e-12)


@share.wrong(
    "no square in the sum",
    "You summed the dot products without squaring, so the opposite direction cancels what it should share. "
    "Square each, then sum.",
)
def share_no_square(W):
    along = dots_of(W) / lengths_of(W)[:, :, None]
    below = along.sum(-1)
    return (W**2).sum(1) / torch.where(below.abs() < 1e-6, torch.full((), 1e-6), below)


@share.wrong(
    "nan for a feature without a direction",
    "A feature whose W_i is 0 gets 0/0 = nan. It has no dimensionality: return 0, for example by a clamp of the "
    "denominator.",
)
def share_nan(W):
    return (W**2).sum(1) ** 2 / (dots_of(W) ** 2).sum(-1)


@share.wrong(
    "short features get 0, too",
    "You returned 0 for features that are short. Only a W_i of 0 has none: a short direction divides its line as well.",
)
def share_short(W):
    whole = (W**2).sum(1) ** 2 / (dots_of(W) ** 2).sum(-1).clamp(min=1e-12)
    return whole * (W.norm(dim=1) > 0.5)


@share.wrong(
    "a small number added below",
    "You added a small number to the denominator. For a short feature the denominator is small itself, so the result "
    "is too small. Use a clamp, or torch.where.",
)
def share_epsilon(W):
    return (W**2).sum(1) ** 2 / ((dots_of(W) ** 2).sum(-1) + 1e-6)


@share.variation("unit vectors written out")
def share_units(W):
    length = W.norm(dim=1, keepdim=True)
    unit = W / length.clamp(min=1e-12)
    below = ((unit.mT @ W) ** 2).sum(dim=2)
    return torch.where(length[:, 0] > 0, length[:, 0] ** 2 / below.clamp(min=1e-30), torch.zeros((), dtype=W.dtype))


@share.variation("strength over strength plus interference")
def share_interference(W):
    dots = W.mT @ W
    strength = dots.diagonal(dim1=1, dim2=2)
    others = (dots**2).sum(-1) - strength**2
    return torch.nan_to_num(strength / (strength + others / strength))


# --- name_geometry --------------------------------------------------------------------------------------------------

named = Exercise("name_geometry")
PAIRS, PENTAGON, OTHER = "antipodal pairs", "pentagon", "other"


def fan(degrees, lengths=None):
    """Directions at these angles: (2, feature)."""
    angle = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float32))
    lengths = torch.ones(len(angle)) if lengths is None else torch.as_tensor(lengths, dtype=torch.float32)
    return lengths * torch.stack([angle.cos(), angle.sin()])


def expect_names(answer, planes, want, what):
    got = answer(torch.stack(planes))
    expect.true(
        isinstance(got, (list, tuple)) and len(got) == len(want),
        f"Your result is {expect.describe(got)}; return a list with one name for each of the {len(want)} instances.",
    )
    expect.equal(list(got), want, what)


@named.check("a pentagon, two crossed pairs with a short fifth feature, two directions at right angles")
def named_plain(answer, draw):
    crossed = torch.cat([polygon(4, 0.5), fan([77], [0.2])], dim=1)
    basis = fan([0, 90, 10, 200, 300], [1, 1, 0.1, 0.2, 0.1])
    five = fan([-170, -98, -26, 46, 118], [1, 0.6, 0.8, 1.2, 0.6])
    expect_names(answer, [five, crossed, basis], [PENTAGON, PAIRS, OTHER], "the names")


@named.check("the order of the features does not matter, nor the turn")
def named_order(answer, draw):
    planes, want = [], []
    for k in range(6):
        turn = float(draw.uniform(1, high=6.28))
        plane = polygon(5, turn) if k % 2 else torch.cat([polygon(4, turn), fan([30], [0.3])], dim=1)
        planes.append(plane[:, draw.permutation(5)] * draw.uniform(5, low=0.9, high=1.2))
        want.append(PENTAGON if k % 2 else PAIRS)
    expect_names(answer, planes, want, "the names")


@named.check("every gap counts, the one that closes the circle too")
def named_closing(answer, draw):
    planes = [
        fan([-175, -75, 25, 125, 60], [1, 1, 1, 1, 0.1]),  # gaps 100, 100, 100, 60
        fan([-170, -86, -2, 82, 166]),  # 84 four times, 24 to close
        fan([10, 30, 200, 250, 320]),
        fan([0, 50, 180, 230, 90], [1, 1, 1, 1, 0.2]),  # two pairs that are not at right angles
        fan([0, 62, 154, 216, 288]),  # gaps 62, 92, 62, 72, 72
    ]
    expect_names(answer, planes, [OTHER] * 5, "the names of figures that are not even")


@named.check("up to the tolerance: gaps may differ by less than that many degrees")
def named_tolerance(answer, draw):
    plane = fan([0, 82, 180, 262, 30], [1, 1, 1, 1, 0.1])[None]  # gaps 82, 98, 82, 98
    expect.equal(list(answer(plane)), [PAIRS], "the name when gaps differ by 8 degrees", because="the tolerance is 15")
    expect.equal(list(answer(plane, 5.0)), [OTHER], "the name when gaps differ by 8 degrees and the tolerance is 5")
    plane = fan([0, 82, 164, 226, 288])[None]  # gaps 82, 82, 62, 62, 72
    expect.equal(list(answer(plane)), [PENTAGON], "the name when the gaps are 82, 82, 62, 62, 72 degrees")


@named.check("nothing, one, two, three or six directions are other; weak features never count", hidden=True)
def named_other(answer, draw):
    for corners in (0, 1, 2, 3, 6):
        weak = fan(draw.uniform(7 - corners, high=360), draw.uniform(7 - corners, low=0.05, high=0.45))
        plane = torch.cat([polygon(max(corners, 1), 0.4)[:, :corners], weak], dim=1)
        expect_names(answer, [plane, plane.flip(1)], [OTHER] * 2, f"the name with {corners} represented features")


@named.check("random turns, lengths and small errors in the angles", hidden=True)
def named_random(answer, draw):
    planes, want = [], []
    for _ in range(20):
        count = draw.integer(4, 6)
        angles = torch.arange(count) * 360 / count + draw.uniform(count, low=-6, high=6) + draw.uniform(1, high=360)
        weak = fan(draw.uniform(6 - count, high=360), draw.uniform(6 - count, low=0.05, high=0.4))
        plane = torch.cat([fan(angles, draw.uniform(count, low=0.6, high=1.3)), weak], dim=1)
        planes.append(plane[:, draw.permutation(6)])
        want.append({4: PAIRS, 5: PENTAGON}[count])
    expect_names(answer, planes, want, "the names")


def named_by(W, gaps_are_even, keep=0.5, fold=False, sort=True):
    names = []
    for plane in W:
        x, y = plane[:, plane.norm(dim=0) > keep]
        angles = torch.rad2deg(torch.atan(y / x) if fold else torch.atan2(y, x))
        angles = angles.sort().values if sort else angles
        name = {4: PAIRS, 5: PENTAGON}.get(len(angles), OTHER)
        names.append(name if len(angles) and gaps_are_even(angles) else OTHER)
    return names


def closed(angles):
    return torch.cat([angles.diff(), angles[:1] + 360 - angles[-1:]])


@named.wrong(
    "counts only",
    "Four directions are not always crossed pairs: yours are named by their number alone. Look at the angles "
    "between them.",
)
def named_counts(W, tolerance=15.0):
    return named_by(W, lambda angles: True)


@named.wrong(
    "counts short features",
    "You took all features, the short ones too: their angles mean nothing. Keep those that represented_features keeps.",
)
def named_all(W, tolerance=15.0):
    return named_by(W, lambda a: bool(((closed(a) - 360 / len(a)).abs() < tolerance).all()), keep=0.0)


@named.wrong(
    "not sorted",
    "You took gaps between features in their own order. Around the circle they may come in another: sort the "
    "angles first.",
)
def named_unsorted(W, tolerance=15.0):
    return named_by(W, lambda a: bool(((closed(a) - 360 / len(a)).abs() < tolerance).all()), sort=False)


@named.wrong(
    "the circle stays open",
    "You left out the last gap, from the last direction back to the first. Small errors add up there: 84, 84, "
    "84, 84 leaves 24.",
)
def named_open(W, tolerance=15.0):
    return named_by(W, lambda a: bool(((a.diff() - 360 / len(a)).abs() < tolerance).all()))


@named.wrong(
    "half a circle",
    "atan(y / x) gives opposite directions the same angle. torch.atan2(y, x) tells them apart.",
)
def named_folded(W, tolerance=15.0):
    return named_by(W, lambda a: bool(((closed(a) - 360 / len(a)).abs() < tolerance).all()), fold=True)


@named.wrong(
    "the tolerance is built in",
    "Your function allows 15 degrees whatever `tolerance` says. Compare with the argument.",
)
def named_fixed(W, tolerance=15.0):
    return named_by(W, lambda a: bool(((closed(a) - 360 / len(a)).abs() < 15).all()))


@named.wrong(
    "measured from the first direction",
    "You compared each direction with its place counted from the first one. What counts is the gap to the *next*: two "
    "gaps of 82 are 10 off each, and 20 off in sum.",
)
def named_from_first(W, tolerance=15.0):
    def even(angles):
        places = torch.arange(len(angles)) * 360 / len(angles)
        return bool(((angles - angles[0] - places).abs() < tolerance).all())

    return named_by(W, even)


@named.variation("complex numbers and numpy")
def named_numpy(W, tolerance=15.0):
    import numpy as np

    names = []
    for plane in W.numpy():
        z = plane[0] + 1j * plane[1]
        angles = np.sort(np.degrees(np.angle(z[np.abs(z) > 0.5])) % 360)
        gaps = np.diff(np.append(angles, angles[0] + 360)) if len(angles) else np.array([])
        fits = {4: 90.0, 5: 72.0}.get(len(angles))
        even = fits is not None and np.all(np.abs(gaps - fits) < tolerance)
        names.append({4: PAIRS, 5: PENTAGON}[len(angles)] if even else OTHER)
    return names


@named.variation("largest and smallest gap")
def named_extremes(W, tolerance=15.0):
    def even(angles):
        gaps, fits = closed(angles), 360 / len(angles)
        return float(gaps.max()) - fits < tolerance and fits - float(gaps.min()) < tolerance

    return named_by(W, even)


# --- strategy_expected_losses ---------------------------------------------------------------------------------------

strategies = Exercise("strategy_expected_losses")
SIDE = 300


def by_quadrature(relative, sparsity):
    """The three losses by running the three models on a grid of inputs, in each of the four cases of what is present."""
    ticks = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    first, second = (axis.flatten() for axis in torch.meshgrid(ticks, ticks, indexing="ij"))
    zero, p = torch.zeros_like(first), 1 - sparsity
    cases = [
        (p * p, first, second),
        (p * (1 - p), first, zero),
        (p * (1 - p), zero, second),
        ((1 - p) ** 2, zero, zero),
    ]
    models = [((1, 0), (0, p / 2)), ((0, 1), (p / 2, 0)), ((1, -1), (0, 0))]
    out = []
    for W, b in models:
        total = 0.0
        for chance, x1, x2 in cases:
            h = W[0] * x1 + W[1] * x2
            errors = [(W[i] * h + b[i]).clamp(min=0) - x for i, x in enumerate((x1, x2))]
            total += chance * float((errors[0] ** 2 + relative * errors[1] ** 2).mean())
        out.append(total)
    return out


@strategies.check("always present, equally important: 1/12, 1/12, and 1/3 for the pair")
def strategies_dense(answer, draw):
    out = answer(torch.tensor([1.0]), torch.tensor([0.0]))
    expect.shape(out, (3, 1), axes="strategy cell")
    expect.close(out[:, 0], torch.tensor([1 / 12, 1 / 12, 1 / 3]), "the three losses")


@strategies.check(
    "feature 2 matters half as much, each is there half of the time: the three models, run on a grid of inputs"
)
def strategies_half(answer, draw):
    out = answer(torch.tensor([0.5]), torch.tensor([0.5]))
    want = by_quadrature(0.5, 0.5)
    for name, got, right in zip(("feature 1 only", "feature 2 only", "the antipodal pair"), out, want, strict=True):
        expect.close(got, torch.tensor([right]), f"the loss of {name}", atol=1e-4)


@strategies.check("several cells at once")
def strategies_cells(answer, draw):
    relative, sparsity = draw.uniform(4, low=0.2, high=3), draw.uniform(4, low=0.1, high=0.95)
    out = answer(relative, sparsity)
    expect.shape(out, (3, 4), axes="strategy cell")
    want = torch.tensor([by_quadrature(float(r), float(s)) for r, s in zip(relative, sparsity, strict=True)]).T
    expect.close(out, want, atol=1e-4)


@strategies.check("random inputs, hundreds of thousands of them, lose as much on average", hidden=True)
def strategies_sampled(answer, draw):
    relative, sparsity = float(draw.uniform(1, low=0.3, high=2)), float(draw.uniform(1, low=0.2, high=0.8))
    x = draw.uniform(300_000, 2) * (draw.uniform(300_000, 2) >= sparsity)
    mean = (1 - sparsity) / 2
    out = answer(torch.tensor([relative]), torch.tensor([sparsity]))[:, 0]
    small = x.amin(1) ** 2
    for got, each in zip(
        out, (relative * (x[:, 1] - mean) ** 2, (x[:, 0] - mean) ** 2, (1 + relative) * small), strict=True
    ):
        wide = 6 * float(each.std()) / math.sqrt(len(each))
        expect.between(
            got, float(each.mean()) - wide, float(each.mean()) + wide, "the loss, measured on 300,000 inputs"
        )


@strategies.wrong(
    "guesses 0, not the mean",
    "You charged a feature that is given up its mean square, p/3: as if the model said 0. Its bias says the "
    "mean, so only the variance is lost, p/3 − p²/4.",
)
def strategies_no_bias(relative, sparsity):
    p = 1 - sparsity
    return torch.stack([relative * p / 3, p / 3, (1 + relative) * p**2 / 6])


@strategies.wrong(
    "the importances change places",
    "Feature 1 only gives feature *2* up, so its loss has the importance r of feature 2. Yours has the "
    "importance of the feature that is kept.",
)
def strategies_swapped(relative, sparsity):
    p = 1 - sparsity
    variance = p / 3 - p**2 / 4
    return torch.stack([variance, relative * variance, (1 + relative) * p**2 / 6])


@strategies.wrong(
    "both present with probability p",
    "Your pair errs with probability p. It errs where *both* features are present, and they come independently: p².",
)
def strategies_one_p(relative, sparsity):
    p = 1 - sparsity
    variance = p / 3 - p**2 / 4
    return torch.stack([relative * variance, variance, (1 + relative) * p / 6])


@strategies.wrong(
    "sparsity and its opposite",
    "You used S as the probability that a feature is there. That is 1 − S.",
)
def strategies_upside_down(relative, sparsity):
    p = sparsity
    variance = p / 3 - p**2 / 4
    return torch.stack([relative * variance, variance, (1 + relative) * p**2 / 6])


@strategies.wrong(
    "the square of the mean",
    "You squared the mean of the smaller number, 1/3, and got 1/9. The mean of its square is larger: 1/6.",
)
def strategies_ninth(relative, sparsity):
    p = 1 - sparsity
    variance = p / 3 - p**2 / 4
    return torch.stack([relative * variance, variance, (1 + relative) * p**2 / 9])


@strategies.wrong(
    "only one of the pair errs",
    "Your pair loses with the importance of one feature only. Where both are present both outputs miss by the "
    "smaller value: 1 + r.",
)
def strategies_half_pair(relative, sparsity):
    p = 1 - sparsity
    variance = p / 3 - p**2 / 4
    return torch.stack([relative * variance, variance, relative * p**2 / 6])


@strategies.wrong(
    "the variance of what is there",
    "You took p/12, the variance of a uniform number, as often as it is there. A sparse feature also varies by "
    "being there or not: p/3 − p²/4.",
)
def strategies_uniform(relative, sparsity):
    p = 1 - sparsity
    return torch.stack([relative * p / 12, p / 12, (1 + relative) * p**2 / 6])


@strategies.wrong(
    "both errors of the pair weigh 1",
    "Your pair has no r: an error in feature 2 costs r times its square there, too. The sum of both importances is 1 + r.",
)
def strategies_unweighted_pair(relative, sparsity):
    p = 1 - sparsity
    variance = p / 3 - p**2 / 4
    return torch.stack([relative * variance, variance, p**2 / 3 + 0 * relative])


@strategies.wrong(
    "the mean of what is there",
    "Your guess for a feature that is given up is 1/2, its mean when it is there. With the zeros included its mean "
    "is p/2.",
)
def strategies_half_guess(relative, sparsity):
    p = 1 - sparsity
    lost = p / 12 + (1 - p) / 4
    return torch.stack([relative * lost, lost, (1 + relative) * p**2 / 6])


@strategies.variation("mean square minus squared mean, in float64")
def strategies_moments(relative, sparsity):
    r, p = relative.double(), 1 - sparsity.double()
    lost = p * (1 / 3) - (p / 2) ** 2
    return torch.stack([r * lost, lost, p * p / 6 + r * p * p / 6]).to(relative.dtype)


@strategies.variation("cell by cell")
def strategies_loop(relative, sparsity):
    columns = []
    for r, s in zip(relative.tolist(), sparsity.tolist(), strict=True):
        p = 1 - s
        columns.append(torch.tensor([r * (p / 3 - p * p / 4), p / 3 - p * p / 4, (1 + r) * p * p / 6]))
    return torch.stack(columns, dim=1)


# --- phase_boundary -------------------------------------------------------------------------------------------------

edge = Exercise("phase_boundary")


def cheapest(relative, sparsity):
    """Whether the pair is the cheapest strategy, by quadrature-free moments in plain floats."""
    p = 1 - sparsity
    return (1 + relative) * p * p / 6 < min(relative, 1.0) * (p / 3 - p * p / 4)


def by_halving(relative):
    """The sparsity from which on the pair is cheapest, by interval halving."""
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if cheapest(relative, middle) else (middle, high)
    return (low + high) / 2


@edge.check("equal importance: p = 4/7, a sparsity of 3/7")
def edge_equal(answer, draw):
    out = answer(torch.tensor([1.0]))
    expect.shape(out, (1,), axes="cell")
    expect.close(out, torch.tensor([3 / 7]), "the boundary")


@edge.check("feature 2 less important: where two losses cross, found by halving intervals")
def edge_less(answer, draw):
    relative = torch.tensor([0.1, 0.35, 0.8])
    expect.close(answer(relative), torch.tensor([by_halving(r) for r in relative.tolist()]), "the boundary", atol=1e-4)


@edge.check("feature 2 more important")
def edge_more(answer, draw):
    relative = torch.tensor([1.5, 4.0, 10.0])
    expect.close(answer(relative), torch.tensor([by_halving(r) for r in relative.tolist()]), "the boundary", atol=1e-4)


@edge.check("r and 1/r have the same boundary; any number of cells", hidden=True)
def edge_symmetric(answer, draw):
    relative = 10 ** draw.uniform(9, low=-2, high=2)
    out = answer(relative)
    expect.close(out, torch.tensor([by_halving(r) for r in relative.tolist()]), "the boundary", atol=1e-4)
    expect.close(answer(1 / relative), out, "the boundary of 1/r, compared with that of r,", atol=1e-4)


@edge.wrong(
    "the first formula for every r",
    "Right up to r = 1. Above it the model would keep feature 2, not feature 1: swap the names, that is, put 1/r "
    "in place of r.",
)
def edge_one_side(relative):
    return 1 - 4 * relative / (2 + 5 * relative)


@edge.wrong(
    "the density",
    "You returned p, the probability that a feature is there. The boundary is asked for as a sparsity, 1 − p.",
)
def edge_density(relative):
    less = torch.minimum(relative, 1 / relative)
    return 4 * less / (2 + 5 * less)


@edge.wrong(
    "compared with the worse strategy",
    "You set the pair equal to keeping the *less* important feature. Nobody would keep that one: compare with "
    "the cheaper of the two.",
)
def edge_worse(relative):
    more = torch.maximum(relative, 1 / relative)
    return 1 - 4 * more / (2 + 5 * more)


@edge.wrong(
    "no bias in the comparison",
    "Your boundary belongs to a model that says 0 for the feature it gives up. With the mean in the bias giving "
    "up costs only the variance.",
)
def edge_no_bias(relative):
    less = torch.minimum(relative, 1 / relative)
    return 1 - 2 * less / (1 + less)


@edge.wrong(
    "importance left out",
    "Your boundary is the same for every r. In the loss of the pair stands 1 + r, in the other one r (or 1).",
)
def edge_constant(relative):
    return torch.full_like(relative, 3 / 7)


@edge.variation("two cases")
def edge_cases(relative):
    return torch.where(relative <= 1, 1 - 4 * relative / (2 + 5 * relative), 1 - 4 / (2 * relative + 5))


@edge.variation("interval halving")
def edge_halving(relative):
    return torch.tensor([by_halving(r) for r in relative.tolist()], dtype=relative.dtype)


# --- linear_toy_loss ------------------------------------------------------------------------------------------------

linear = Exercise("linear_toy_loss")


def on_a_population(W, importance, sparsity):
    """The loss of the linear model on 2ⁿ inputs that have exactly the data's means and variances, with the bias that is right on average.

    The loss of a linear model sees nothing of the data but these.
    """
    W, importance = W.double(), importance.double()
    n, p = W.shape[-1], 1 - sparsity
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * n).reshape(-1, n)
    x = p / 2 + math.sqrt(p / 3 - p * p / 4) * signs
    out = []
    for w in W:
        output = x @ w.T @ w
        output = output - (output - x).mean(0)
        out.append(float((importance * (output - x) ** 2).sum(1).mean()))
    return torch.tensor(out)


@linear.check("right angles: what is lost is the variance of the features that are given up")
def linear_basis(answer, draw):
    W = torch.stack([torch.eye(4)[:2], torch.eye(4)[2:], torch.zeros(2, 4)])
    out = answer(W, torch.tensor([1.0, 0.9, 0.5, 0.2]), 0.0)
    expect.shape(out, (3,), axes="instance")
    expect.close(out, torch.tensor([0.7, 1.9, 2.6]) / 12, "the losses", because="at S = 0 the variance is 1/12")


@linear.check("one long direction and one short: 0.8 and 0.6 in one dimension, importances 1 and 0.5")
def linear_by_hand(answer, draw):
    W, importance = torch.tensor([[[0.8, 0.6]]]), torch.tensor([1.0, 0.5])
    want = (0.36**2 + 0.48**2 + 0.5 * (0.48**2 + 0.64**2)) / 12
    expect.close(answer(W, importance, 0.0), torch.tensor([want]), "the loss")


@linear.check("any W, at two sparsities: the model itself, run on inputs with exactly these means and variances")
def linear_any(answer, draw):
    W, importance = draw.normal(3, 2, 5, std=0.6), draw.uniform(5, low=0.2, high=2)
    for sparsity in (0.3, 0.9):
        out = answer(W, importance, sparsity)
        expect.shape(out, (3,), axes="instance")
        expect.close(out, on_a_population(W, importance, sparsity), "the losses", atol=1e-4)


@linear.check("any number of instances, dimensions and features", hidden=True)
def linear_sizes(answer, draw):
    for instances, hidden, features in ((1, 1, 1), (4, 3, 3), (2, 5, 4), (6, 2, 7)):
        W, importance = draw.normal(instances, hidden, features, std=0.5), draw.uniform(features, low=0.1, high=3)
        sparsity = float(draw.uniform(1, high=0.95))
        expect.close(answer(W, importance, sparsity), on_a_population(W, importance, sparsity), "the losses", atol=1e-4)


def price(W, importance, sparsity, variance=None, axis=-1):
    p = 1 - sparsity
    wrong = torch.eye(W.shape[-1]) - W.mT @ W
    lost = (wrong**2).sum(axis)
    return (p / 3 - p**2 / 4 if variance is None else variance) * (lost * importance).sum(-1)


@linear.wrong(
    "no bias",
    "You used the mean square p/3 of a feature. The bias takes the means away, and the variance is left: p/3 − p²/4.",
)
def linear_no_bias(W, importance, sparsity):
    return price(W, importance, sparsity, (1 - sparsity) / 3)


@linear.wrong(
    "no interference",
    "You counted only the diagonal: how well a feature reads itself out. Each feature also appears in the "
    "outputs of the others.",
)
def linear_diagonal(W, importance, sparsity):
    p = 1 - sparsity
    return (p / 3 - p**2 / 4) * (importance * (1 - (W**2).sum(1)) ** 2).sum(-1)


@linear.wrong(
    "interference alone",
    "You left the diagonal out: a feature that is not read out at all costs its whole variance, too. The matrix "
    "is identity minus WᵀW.",
)
def linear_off_diagonal(W, importance, sparsity):
    p = 1 - sparsity
    dots = W.mT @ W
    dots = dots - torch.diag_embed(dots.diagonal(dim1=1, dim2=2))
    return (p / 3 - p**2 / 4) * (importance * (dots**2).sum(-1)).sum(-1)


@linear.wrong(
    "the dense variance at every sparsity",
    "Your variance is 1/12 whatever S is. That is right at S = 0 only.",
)
def linear_dense(W, importance, sparsity):
    return price(W, importance, sparsity, 1 / 12)


@linear.wrong(
    "importance squared",
    "You weighed the errors before squaring them, so importance counts twice. Square first, then weigh.",
)
def linear_squared(W, importance, sparsity):
    return price(W, importance**2, sparsity)


@linear.wrong(
    "errors cancel",
    "You summed the errors that reach an output before squaring. The features are independent, so their "
    "variances add up: square each, then sum.",
)
def linear_cancel(W, importance, sparsity):
    p = 1 - sparsity
    wrong = torch.eye(W.shape[-1]) - W.mT @ W
    return (p / 3 - p**2 / 4) * (importance * wrong.sum(-1) ** 2).sum(-1)


@linear.wrong(
    "averages over the features",
    "Your loss is too small by the number of features. It is a sum over the features that are read out.",
)
def linear_mean(W, importance, sparsity):
    return price(W, importance, sparsity) / W.shape[-1]


@linear.variation("einsum")
def linear_einsum(W, importance, sparsity):
    p = 1 - sparsity
    wrong = torch.einsum("ihf,ihg->ifg", W, W) - torch.eye(W.shape[-1])
    return torch.einsum("ifg,f->i", wrong**2, importance) * (p / 3 - p * p / 4)


@linear.variation("instance by instance, as a trace, in float64")
def linear_trace(W, importance, sparsity):
    p = 1 - sparsity
    out = []
    for w in W.double():
        wrong = torch.eye(len(importance)).double() - w.T @ w
        out.append((p / 3 - p * p / 4) * torch.trace(wrong.T @ torch.diag(importance.double()) @ wrong))
    return torch.stack(out).to(W.dtype)
