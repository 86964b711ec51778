"""How the exercises of lesson 11 are checked.

The truth comes from outside the lab: planted files and planted directions, closed forms for Gaussian clouds, sums over all pairs, and torch's
own losses and gradients. No check compares with the course's answer, and none loads a model.
"""

import itertools
import math

import torch
import torch.nn.functional as F

from mechinterp_course.tutor.checks import Exercise, expect, reference

# --- split_by_file --------------------------------------------------------------------------------------------------

split = Exercise("split_by_file")


def files(draw, n, most=9):
    """Tokens of n files with gaps in their numbers and of different lengths, files in any order, tokens of a file together."""
    numbers = 3 * draw.permutation(3 * n)[:n] + 2
    return numbers.repeat_interleave(draw.integers(2, most, n))


def parts_of(part, file_of):
    """For each file the set of parts that its tokens are in."""
    return {int(f): set(part[file_of == f].tolist()) for f in file_of.unique()}


def one_part_each(part, file_of, n_validation, n_test):
    expect.shape(part, tuple(file_of.shape), axes="token")
    expect.true(not part.is_floating_point(), "The parts are decimal numbers; they should be whole ones: 0, 1 and 2.")
    inside = parts_of(part, file_of)
    torn = [f for f, found in inside.items() if len(found) > 1]
    if torn:
        names = " and ".join(map(str, sorted(inside[torn[0]])))
        expect.true(
            False,
            f"The tokens of file {torn[0]} are in the parts {names}: the file leaks, and so do {len(torn) - 1} others of {len(inside)}.",
        )
    counts = [sum(found == {p} for found in inside.values()) for p in (0, 1, 2)]
    want = [len(inside) - n_validation - n_test, n_validation, n_test]
    expect.equal(counts, want, "how many files are in training, validation and test")


@split.check("no file is in two parts, and each part has as many files as it should")
def split_whole(answer, draw):
    for n, n_validation, n_test in ((7, 2, 1), (12, 3, 5)):
        file_of = files(draw, n)
        before = file_of.clone()
        part = answer(file_of, n_validation, n_test, torch.Generator().manual_seed(draw.seed()))
        one_part_each(part, file_of, n_validation, n_test)
        expect.equal(file_of, before, "file_of, after your function ran,")


@split.check("which files are held out is drawn by the generator: the same seed, the same split; other seeds, others")
def split_random(answer, draw):
    file_of = files(draw, 6)
    seeds = [draw.seed() for _ in range(40)]
    parts = [answer(file_of, 1, 2, torch.Generator().manual_seed(seed)) for seed in seeds]
    again = answer(file_of, 1, 2, torch.Generator().manual_seed(seeds[0]))
    expect.equal(again, parts[0], "the split with the same seed", because="all chance should come from the generator")
    for number, name in ((1, "validation"), (2, "test")):
        often = torch.stack([(part == number).float() for part in parts]).mean(0)
        expect.true(
            bool((often > 0).all()),
            f"In 40 splits with different seeds, some of six files were never in {name}: which ones go there should be drawn anew each time.",
        )
    pairs = {
        tuple((part == 2).tolist()) for part in parts
    }  # 15 pairs are possible; 40 draws show 14 of them on average
    expect.true(
        len(pairs) >= 8,
        f"In 40 splits with different seeds only {len(pairs)} different pairs of files were the test files, of 15 that there are. "
        "Every pair should be possible: shuffle the files.",
    )


@split.check("files whose tokens do not stand together, and a part without files", hidden=True)
def split_mixed(answer, draw):
    file_of = files(draw, 8)
    file_of = file_of[draw.permutation(len(file_of))]
    for n_validation, n_test in ((0, 3), (2, 0), (3, 4)):
        part = answer(file_of, n_validation, n_test, torch.Generator().manual_seed(draw.seed()))
        one_part_each(part, file_of, n_validation, n_test)


@split.wrong(
    "deals out tokens",
    "You dealt out tokens, so every file has some in training and some in the test: leakage. A probe can then score by recognising the file. Deal out files.",
)
def split_tokens(file_of, n_validation, n_test, generator):
    n, n_files = len(file_of), len(file_of.unique())
    order = torch.randperm(n, generator=generator)
    part = torch.zeros_like(file_of)
    first, second = n * n_validation // n_files, n * (n_validation + n_test) // n_files
    part[order[:first]] = 1
    part[order[first:second]] = 2
    return part


@split.wrong(
    "cuts the list of tokens in three",
    "You cut the row of tokens in three stretches. The file at each cut lies on both sides of it: leakage, a little of it. Cut the list of files.",
)
def split_stretches(file_of, n_validation, n_test, generator):
    n, n_files = len(file_of), len(file_of.unique())
    part = torch.zeros_like(file_of)
    part[: n * n_validation // n_files] = 1
    part[n * n_validation // n_files : n * (n_validation + n_test) // n_files] = 2
    return part


@split.wrong(
    "always the same files",
    "You held out the files with the lowest numbers, whatever the generator says. Files stand in an order (by folder, by name), so these are of one kind. Shuffle them.",
)
def split_first(file_of, n_validation, n_test, generator):
    found = file_of.unique()
    part = torch.zeros_like(file_of)
    part[torch.isin(file_of, found[:n_validation])] = 1
    part[torch.isin(file_of, found[n_validation : n_validation + n_test])] = 2
    return part


@split.wrong(
    "takes file numbers for places",
    "You shuffled all numbers up to the largest file number. File numbers have gaps, so some of the numbers that you drew belong to no file. Start from file_of.unique().",
)
def split_places(file_of, n_validation, n_test, generator):
    order = torch.randperm(int(file_of.max()) + 1, generator=generator)
    part = torch.zeros_like(file_of)
    part[torch.isin(file_of, order[:n_validation])] = 1
    part[torch.isin(file_of, order[n_validation : n_validation + n_test])] = 2
    return part


@split.wrong(
    "the test files include the validation files",
    "Your test files begin with the same files as validation, so these become test files and validation is left with none or too few. Go on where validation ended.",
)
def split_overlap(file_of, n_validation, n_test, generator):
    found = file_of.unique()
    found = found[torch.randperm(len(found), generator=generator)]
    part = torch.zeros_like(file_of)
    part[torch.isin(file_of, found[:n_validation])] = 1
    part[torch.isin(file_of, found[:n_test])] = 2
    return part


@split.wrong(
    "validation and test change places",
    "You gave the validation files the 2 and the test files the 1. It is 0 for training, 1 for validation, 2 for test.",
)
def split_swapped(file_of, n_validation, n_test, generator):
    found = file_of.unique()
    found = found[torch.randperm(len(found), generator=generator)]
    part = torch.zeros_like(file_of)
    part[torch.isin(file_of, found[:n_validation])] = 2
    part[torch.isin(file_of, found[n_validation : n_validation + n_test])] = 1
    return part


@split.variation("a table of parts, looked up")
def split_table(file_of, n_validation, n_test, generator):
    found, place = file_of.unique(return_inverse=True)
    table = torch.zeros(len(found), dtype=torch.long)
    order = torch.randperm(len(found), generator=generator)
    table[order[:n_test]] = 2
    table[order[n_test : n_test + n_validation]] = 1
    return table[place]


@split.variation("a loop over files, with sets")
def split_loop(file_of, n_validation, n_test, generator):
    found = sorted(set(file_of.tolist()))
    order = [found[i] for i in torch.randperm(len(found), generator=generator)]
    named = {f: 1 for f in order[:n_validation]} | {f: 2 for f in order[n_validation : n_validation + n_test]}
    return torch.tensor([named.get(f, 0) for f in file_of.tolist()])


# --- logistic_loss --------------------------------------------------------------------------------------------------

logistic = Exercise("logistic_loss")


def by_torch(weight, offset, x, y, penalty):
    """The same loss by torch's own cross-entropy of two logits, in float64: independent of softplus."""
    scores = x.double() @ weight.double() + offset.double()
    both = torch.stack([torch.zeros_like(scores), scores], dim=1)
    return F.cross_entropy(both, y.long()) + penalty / 2 * (weight.double() ** 2).sum()


@logistic.check("a probe that knows nothing is surprised by log 2 at every token")
def logistic_zero(answer, draw):
    x, y = draw.normal(7, 3), draw.uniform(7) < 0.5
    expect.close(answer(torch.zeros(3), torch.zeros(()), x, y, 0.1), math.log(2), "the loss of a probe that is all 0")


@logistic.check("two tokens by hand: a yes at score 2, a no at score 1, penalty 0.5")
def logistic_hand(answer, draw):
    out = answer(torch.tensor([1.0]), torch.tensor(1.0), torch.tensor([[1.0], [0.0]]), torch.tensor([True, False]), 0.5)
    want = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2 + 0.25
    expect.close(out, want, "the loss")


@logistic.check("any probe: the cross-entropy of the two answers, computed by torch, plus the penalty")
def logistic_any(answer, draw):
    weight, offset, x, y = draw.normal(4), draw.normal(1)[0], draw.normal(9, 4), draw.uniform(9) < 0.4
    expect.close(answer(weight, offset, x, y, 0.3), by_torch(weight, offset, x, y, 0.3), "the loss")


@logistic.check("scores of ±1000: a finite surprise, 1000 where the probe is sure and wrong")
def logistic_far(answer, draw):
    x, y = torch.tensor([[1000.0], [-1000.0], [1000.0], [-1000.0]]), torch.tensor([True, False, False, True])
    expect.close(answer(torch.ones(1), torch.zeros(()), x, y, 0.0), 500.0, "the loss at scores of ±1000")


def gradient_of(loss):
    """The gradients by weight and offset that torch takes of a loss, looked up in its graph, because the answer got copies.

    Returns None where the graph stayed behind: in grading the loss comes from another process, as a number that needs a gradient.
    """
    can = isinstance(loss, torch.Tensor) and loss.requires_grad
    expect.true(can, "Torch cannot take the gradient of your loss: no detach, item, float or no_grad on the way to it.")
    if loss.grad_fn is None:
        return None
    todo, seen, leaves = [loss.grad_fn], set(), {}
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves[node.variable.ndim] = node.variable
        todo += [before for before, _ in node.next_functions]
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    slopes = dict(zip(leaves, found, strict=True))
    missing = [name for ndim, name in ((1, "weight"), (0, "offset")) if slopes.get(ndim) is None]
    expect.true(
        not missing,
        f"No gradient reaches the {' and the '.join(missing)}: no detach, item, float or no_grad on the way from there to the loss.",
    )
    return slopes[1], slopes[0]


def like_formula(answer, weight, offset, x, y, penalty):
    """Expect the gradients that torch takes of the answer to be those worked out by hand."""
    with torch.enable_grad():
        slopes = gradient_of(answer(weight.clone().requires_grad_(), offset.clone().requires_grad_(), x, y, penalty))
    if slopes is None:
        return
    wrong = torch.sigmoid(x @ weight + offset) - y.float()
    because = "the formula is xᵀ(p − y) / n + penalty · weight, with p the probabilities"
    expect.close(slopes[0], x.T @ wrong / len(y) + penalty * weight, "the gradient by the weight", because=because)
    expect.close(slopes[1], wrong.mean(), "the gradient by the offset", because="the formula is the mean of p − y")


@logistic.check("torch can take its gradient, and that is the formula's, also where a score is ±1000")
def logistic_gradient(answer, draw):
    weight, offset, x, y = draw.normal(3), draw.normal(1)[0], draw.normal(6, 3), draw.uniform(6) < 0.5
    like_formula(answer, weight, offset, x, y, 0.2)
    far, called = torch.tensor([[1000.0], [-1000.0], [1000.0]]), torch.tensor([True, False, False])
    like_formula(answer, torch.ones(1), torch.zeros(()), far, called, 0.0)


@logistic.check("other sizes and penalties: its slope along any step is that of the formula", hidden=True)
def logistic_slope(answer, draw):
    for n, d, penalty in ((5, 3, 0.2), (30, 7, 1e-3), (2, 1, 2.0)):
        weight, offset, x, y = draw.normal(d), draw.normal(1)[0], draw.normal(n, d), draw.uniform(n) < 0.5
        like_formula(answer, weight, offset, x, y, penalty)
        wrong = torch.sigmoid(x @ weight + offset) - y.float()
        step, move = 3e-3, (F.normalize(draw.normal(d), dim=0), draw.normal(1)[0])
        up, down = (answer(weight + s * move[0], offset + s * move[1], x, y, penalty) for s in (step, -step))
        want = (x.T @ wrong / n + penalty * weight) @ move[0] + wrong.mean() * move[1]
        expect.close((up - down) / (2 * step), want, "the slope", atol=1e-3)


def surprise(weight, offset, x, y):
    scores = x @ weight + offset
    return F.softplus(torch.where(y, -scores, scores))


@logistic.wrong(
    "sums over the tokens",
    "Your loss is the *sum* of the surprises. Then it grows with the number of tokens, and the penalty means something else for each data set. Take the mean.",
)
def logistic_sum(weight, offset, x, y, penalty):
    return surprise(weight, offset, x, y).sum() + penalty / 2 * weight.square().sum()


@logistic.wrong(
    "punishes the offset",
    "You put the offset under the penalty as well. It only says how frequent the label is; a rare label needs a large offset, and should have it for free.",
)
def logistic_offset(weight, offset, x, y, penalty):
    return surprise(weight, offset, x, y).mean() + penalty / 2 * (weight.square().sum() + offset.square())


@logistic.wrong(
    "overflows",
    "At a score of −1000, sigmoid is exactly 0 in float32, and log 0 is −∞. Write the surprise as log(1 + exp(·)) with softplus, which stays finite.",
)
def logistic_naive(weight, offset, x, y, penalty):
    p = torch.sigmoid(x @ weight + offset)
    return -torch.where(y, p.log(), (1 - p).log()).mean() + penalty / 2 * weight.square().sum()


@logistic.wrong(
    "clips the scores",
    "Far-off scores are clipped in your loss, so a token that is surely and wrongly called costs no more than a doubtful one, and gives no gradient.",
)
def logistic_clip(weight, offset, x, y, penalty):
    p = torch.sigmoid(x @ weight + offset).clamp(1e-7, 1 - 1e-7)
    return -torch.where(y, p.log(), (1 - p).log()).mean() + penalty / 2 * weight.square().sum()


@logistic.wrong(
    "yes and no change places",
    "Your loss is small where the probe is wrong: −log σ(s) is the surprise of a *yes*, −log(1 − σ(s)) that of a no.",
)
def logistic_turned(weight, offset, x, y, penalty):
    return surprise(weight, offset, x, ~y).mean() + penalty / 2 * weight.square().sum()


@logistic.wrong(
    "only the yeses",
    "You left the nos out. Then the best probe says yes to everything.",
)
def logistic_yes(weight, offset, x, y, penalty):
    scores = x @ weight + offset
    return (F.softplus(-scores) * y).mean() + penalty / 2 * weight.square().sum()


@logistic.wrong(
    "the penalty is a length",
    "You punished the length of the weight; the formula has its *square*, halved.",
)
def logistic_length(weight, offset, x, y, penalty):
    return surprise(weight, offset, x, y).mean() + penalty / 2 * weight.norm()


@logistic.wrong(
    "the whole penalty",
    "Your penalty is twice too large: penalty / 2 times the sum of squares.",
)
def logistic_double(weight, offset, x, y, penalty):
    return surprise(weight, offset, x, y).mean() + penalty * weight.square().sum()


@logistic.wrong(
    "each kind has its own mean",
    "You took the mean over the yeses and the mean over the nos. Both sums are divided by n, the number of *all* tokens: a token counts the same whether its label is rare or not.",
)
def logistic_kinds(weight, offset, x, y, penalty):
    each = surprise(weight, offset, x, y)
    return each[y].mean() + each[~y].mean() + penalty / 2 * weight.square().sum()


@logistic.variation("logsigmoid, in float64")
def logistic_sigmoid(weight, offset, x, y, penalty):
    scores = x.double() @ weight.double() + offset.double()
    signs = 2 * y.double() - 1
    return -F.logsigmoid(signs * scores).mean() + penalty * (weight.double() @ weight.double()) / 2


@logistic.variation("logaddexp, scores minus what is known")
def logistic_logaddexp(weight, offset, x, y, penalty):
    scores = (x * weight).sum(-1) + offset
    return (torch.logaddexp(torch.zeros_like(scores), scores) - scores * y).mean() + penalty / 2 * (weight**2).sum()


# --- raw_probe ------------------------------------------------------------------------------------------------------

raw = Exercise("raw_probe")


@raw.check("one coordinate by hand: weight 3, offset 1, mean 4, spread 2")
def raw_hand(answer, draw):
    direction, offset = pair(answer(torch.tensor([3.0]), 1.0, torch.tensor([4.0]), torch.tensor([2.0])))
    expect.close(direction, torch.tensor([1.5]), "the direction")
    expect.close(offset, -5.0, "the offset", because="at x = 4, the mean, the score is 1: 4 · 1.5 − 5")


@raw.check("raw vectors get the same score as their standardised form")
def raw_same(answer, draw):
    for d in (5, 2):
        weight, mean, spread = draw.normal(d), draw.normal(d, std=3), draw.uniform(d, low=0.2, high=4)
        kept = [t.clone() for t in (weight, mean, spread)]
        direction, offset = pair(answer(weight, 0.7, mean, spread))
        expect.shape(direction, (d,), "the direction", axes="feature")
        x = draw.normal(6, d, std=3)
        expect.close(x @ direction + offset, (x - mean) / spread @ weight + 0.7, "the scores of six vectors", atol=1e-4)
        for name, now, was in zip(("weight", "mean", "spread"), (weight, mean, spread), kept, strict=True):
            expect.equal(now, was, f"{name}, after your function ran,")


@raw.check("the offset as a tensor, many coordinates", hidden=True)
def raw_many(answer, draw):
    weight, mean, spread = draw.normal(40), draw.normal(40), draw.uniform(40, low=0.5, high=2)
    direction, offset = pair(answer(weight, draw.normal(1)[0], mean, spread))
    expect.close(direction * spread, weight, "direction times spread")


def pair(out):
    """The direction and the offset, after expecting a pair of them."""
    expect.true(
        isinstance(out, tuple | list) and len(out) == 2,
        f"Two things should come back, direction and offset; yours: {expect.describe(out)}.",
    )
    expect.tensor(out[0], "the direction")
    expect.number(out[1], "the offset")
    return out[0], out[1]


@raw.wrong(
    "left standardised",
    "You returned the weights as they were fitted: the direction is still in standardised coordinates. In raw ones a weight counts per unit of x, so it is divided by that coordinate's spread.",
)
def raw_left(weight, offset, mean, spread):
    return weight, offset


@raw.wrong(
    "the offset stays",
    "The direction is right. But raw vectors are not centred: what the mean contributes along the direction has to leave the offset.",
)
def raw_offset(weight, offset, mean, spread):
    return weight / spread, offset


@raw.wrong(
    "multiplies by the spread",
    "You multiplied by the spread where the score divides by it. A coordinate with a large spread gets a *small* raw weight.",
)
def raw_times(weight, offset, mean, spread):
    return weight * spread, offset - (weight * spread) @ mean


@raw.wrong(
    "adds the mean's share",
    "The score has x *minus* the mean, so the mean's share is subtracted from the offset, not added to it.",
)
def raw_plus(weight, offset, mean, spread):
    return weight / spread, offset + (weight / spread) @ mean


@raw.wrong(
    "the mean times the standardised weight",
    "Your offset takes off the mean times the *standardised* weight. The mean is raw, so it goes with the raw direction.",
)
def raw_mixed(weight, offset, mean, spread):
    return weight / spread, offset - weight @ mean


@raw.variation("a loop, in float64")
def raw_loop(weight, offset, mean, spread):
    direction, moved = torch.zeros(len(weight), dtype=torch.float64), float(offset)
    for i, (w, m, s) in enumerate(zip(weight.tolist(), mean.tolist(), spread.tolist(), strict=True)):
        direction[i] = w / s
        moved -= m * w / s
    return direction.float(), moved


@raw.variation("the score at zero")
def raw_at_zero(weight, offset, mean, spread):
    return weight * (1 / spread), (-mean / spread * weight).sum() + offset


# --- midpoint_probe -------------------------------------------------------------------------------------------------

midpoint = Exercise("midpoint_probe")


def clouds(draw, n_yes, n_no, d, far=5.0):
    """Two clouds far from zero, with their labels, in random order."""
    y = torch.arange(n_yes + n_no) < n_yes
    x = far + 0.3 * draw.normal(n_yes + n_no, d) + y[:, None] * draw.normal(d, std=2)
    order = draw.permutation(len(y))
    return x[order], y[order]


@midpoint.check("four points by hand: yes at (3, 1) and (5, 1), no at (0, 1) and (2, 1)")
def midpoint_hand(answer, draw):
    x = torch.tensor([[3.0, 1.0], [0.0, 1.0], [5.0, 1.0], [2.0, 1.0]])
    direction, offset = pair(answer(x, torch.tensor([True, False, True, False])))
    expect.close(direction, torch.tensor([3.0, 0.0]), "the direction", because="the means are (4, 1) and (1, 1)")
    expect.close(offset, -7.5, "the offset", because="the midpoint is (2.5, 1), and 2.5 · 3 − 7.5 = 0")


@midpoint.check("the two means score the same, one above 0 and one below, also when the nos are nine times as many")
def midpoint_between(answer, draw):
    for n_yes, n_no, d in ((12, 12, 4), (6, 54, 3)):
        x, y = clouds(draw, n_yes, n_no, d)
        kept = x.clone()
        direction, offset = pair(answer(x, y))
        expect.shape(direction, (d,), "the direction", axes="feature")
        yes, no = x[y].mean(0), x[~y].mean(0)
        expect.close(direction, yes - no, "the direction", atol=1e-4)
        half = float((yes - no).square().sum()) / 2
        expect.close(yes @ direction + offset, half, "the score of the mean of the yeses", atol=2e-3, rtol=1e-3)
        expect.close(no @ direction + offset, -half, "the score of the mean of the nos", atol=2e-3, rtol=1e-3)
        expect.equal(x, kept, "x, after your function ran,")


@midpoint.check(
    "clouds anywhere in space, any number of features: moving all points moves the cut with them", hidden=True
)
def midpoint_moved(answer, draw):
    for n_yes, n_no, d in ((3, 40, 9), (25, 2, 2)):
        x, y = clouds(draw, n_yes, n_no, d, far=0.0)
        move = draw.normal(d, std=4)
        first, second = pair(answer(x, y)), pair(answer(x + move, y))
        expect.close(second[0], first[0], "the direction after moving all points", atol=1e-3)
        scores = [at @ found[0] + found[1] for at, found in ((x, first), (x + move, second))]
        expect.close(scores[1], scores[0], "the scores after moving all points", atol=2e-2, rtol=1e-3)


def arrow(x, y):
    return x[y].mean(0) - x[~y].mean(0)


@midpoint.wrong(
    "no midpoint",
    "Your offset is 0, so the cut goes through the origin, far from both clouds: every token gets the same answer. Cut at the midpoint between the two means.",
)
def midpoint_none(x, y):
    return arrow(x, y), 0.0


@midpoint.wrong(
    "cuts at the mean of all tokens",
    "You cut at the mean of all tokens. With nine nos for each yes it lies inside the cloud of the nos. The midpoint is halfway between the two means, however many tokens each has.",
)
def midpoint_all(x, y):
    direction = arrow(x, y)
    return direction, -x.mean(0) @ direction


@midpoint.wrong(
    "points to no",
    "Your arrow points from yes to no, so tokens with the label get negative scores.",
)
def midpoint_turned(x, y):
    direction = -arrow(x, y)
    return direction, -(x[y].mean(0) + x[~y].mean(0)) / 2 @ direction


@midpoint.wrong(
    "adds the midpoint's score",
    "Your offset has the wrong sign: the midpoint's own score has to come out as 0, so what it reaches along the direction is subtracted.",
)
def midpoint_plus(x, y):
    direction = arrow(x, y)
    return direction, (x[y].mean(0) + x[~y].mean(0)) / 2 @ direction


@midpoint.wrong(
    "cuts at the mean of the yeses",
    "Your cut goes through the middle of the yeses, so half of them are called no. It belongs halfway between the two means.",
)
def midpoint_at_yes(x, y):
    direction = arrow(x, y)
    return direction, -x[y].mean(0) @ direction


@midpoint.wrong(
    "the sum of the means",
    "You forgot to halve: the midpoint is (yes + no) / 2.",
)
def midpoint_sum(x, y):
    direction = arrow(x, y)
    return direction, -(x[y].mean(0) + x[~y].mean(0)) @ direction


@midpoint.wrong(
    "made to length 1",
    "You divided the arrow by its length. It points the right way, but here its length is kept: it reaches from one mean to the other.",
)
def midpoint_unit(x, y):
    yes, no = x[y].mean(0), x[~y].mean(0)
    direction = F.normalize(yes - no, dim=0)
    return direction, -float((yes + no) / 2 @ direction)


@midpoint.variation("half the difference of squared lengths")
def midpoint_squares(x, y):
    yes, no = x[y].mean(0), x[~y].mean(0)
    return yes - no, float((no.double().square().sum() - yes.double().square().sum()) / 2)


@midpoint.variation("weighted sums instead of masks, in float64")
def midpoint_weights(x, y):
    x, w = x.double(), y.double()
    yes, no = w @ x / w.sum(), (1 - w) @ x / (1 - w).sum()
    direction = yes - no
    return direction.float(), (-(yes @ direction + no @ direction) / 2).float()


# --- gaussian_accuracy ----------------------------------------------------------------------------------------------

gauss = Exercise("gaussian_accuracy")


def covariance_of(draw, d):
    mix = draw.normal(d, d)
    return mix @ mix.T / d + 0.3 * torch.eye(d)


def phi(z):
    return (1 + math.erf(z / math.sqrt(2))) / 2


@gauss.check("one coordinate, means 2 apart, standard deviation 1: Φ(1) = 0.841")
def gauss_one(answer, draw):
    out = answer(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([[1.0]]))
    expect.close(out, 0.841345, "the accuracy")


@gauss.check("standard deviation 4 and means 2 apart; a direction ten times as long; one that points backwards")
def gauss_length(answer, draw):
    difference, covariance = torch.tensor([2.0, 0.0]), torch.diag(torch.tensor([16.0, 1.0]))
    expect.close(answer(torch.tensor([1.0, 0.0]), difference, covariance), phi(0.25), "the accuracy")
    expect.close(
        answer(torch.tensor([10.0, 0.0]), difference, covariance), phi(0.25), "the accuracy of the long direction"
    )
    expect.close(answer(torch.tensor([-3.0, 0.0]), difference, covariance), phi(-0.25), "the accuracy of the wrong way")
    expect.close(
        answer(torch.tensor([0.0, 2.0]), difference, covariance), 0.5, "the accuracy along a useless coordinate"
    )


@gauss.check("along Σ⁻¹δ it is Φ(Δ/2), and no other direction does better")
def gauss_best(answer, draw):
    for d in (3, 5):
        covariance, difference = covariance_of(draw, d), draw.normal(d)
        best = torch.linalg.solve(covariance, difference)
        top = phi(math.sqrt(float(difference @ best)) / 2)
        expect.close(answer(best, difference, covariance), top, "the accuracy along Σ⁻¹δ", atol=1e-4)
        for _ in range(4):
            other = float(answer(draw.normal(d), difference, covariance))
            expect.true(
                other <= top + 1e-5, f"A random direction gets {other:.3f}, more than the best possible, {top:.3f}."
            )


@gauss.check("a count: 40,000 points of each kind, cut along a direction that is not the best")
def gauss_count(answer, draw):
    covariance, difference, direction = covariance_of(draw, 3), draw.normal(3, std=1.5), draw.normal(3)
    x = draw.normal(80_000, 3) @ torch.linalg.cholesky(covariance).T
    y = torch.arange(80_000) % 2 == 0
    x = x + y[:, None] * difference
    share = (((x - difference / 2) @ direction > 0) == y).double().mean().item()
    wide = 5 * math.sqrt(0.25 / 80_000)
    expect.between(
        answer(direction, difference, covariance),
        share - wide,
        share + wide,
        "the accuracy",
        because="so many were counted",
    )


@gauss.check("many features", hidden=True)
def gauss_many(answer, draw):
    covariance, difference, direction = covariance_of(draw, 12), draw.normal(12), draw.normal(12)
    width = math.sqrt(sum(float(direction[i] * covariance[i, j] * direction[j]) for i in range(12) for j in range(12)))
    expect.close(
        answer(direction, difference, covariance), phi(float(direction @ difference) / width / 2), "the accuracy"
    )


@gauss.wrong(
    "the whole distance",
    "You measured from one mean to the other. The cut is in the middle, so only *half* of that distance lies between a mean and the cut: Φ(distance / (2 · width)).",
)
def gauss_whole(direction, difference, covariance):
    return torch.special.ndtr(direction @ difference / (direction @ covariance @ direction).sqrt())


@gauss.wrong(
    "the variance as the width",
    "wᵀΣw is the variance along w. Distances are measured in standard deviations: take its square root.",
)
def gauss_variance(direction, difference, covariance):
    return torch.special.ndtr(direction @ difference / (direction @ covariance @ direction) / 2)


@gauss.wrong(
    "no covariance",
    "You divided by the length of the direction, as if the noise were the same everywhere. Along a noisy coordinate the bells are wide: the width is √(wᵀΣw).",
)
def gauss_round(direction, difference, covariance):
    return torch.special.ndtr(direction @ difference / direction.norm() / 2)


@gauss.wrong(
    "the best for every direction",
    "Φ(Δ/2) is what the best direction reaches. You return it whatever the direction is.",
)
def gauss_top(direction, difference, covariance):
    return torch.special.ndtr((difference @ torch.linalg.solve(covariance, difference)).sqrt() / 2)


@gauss.wrong(
    "never below one half",
    "You took the distance as positive. A direction that points the wrong way calls yes what is a no, and is right less than half of the time.",
)
def gauss_absolute(direction, difference, covariance):
    return torch.special.ndtr((direction @ difference).abs() / (direction @ covariance @ direction).sqrt() / 2)


@gauss.variation("the error function, in float64")
def gauss_erf(direction, difference, covariance):
    w, delta, sigma = direction.double(), difference.double(), covariance.double()
    z = (w * delta).sum() / torch.einsum("i,ij,j->", w, sigma, w).sqrt() / 2
    return (1 + torch.erf(z / math.sqrt(2))) / 2


@gauss.variation("torch's normal distribution, the direction scaled to width 1 first")
def gauss_normal(direction, difference, covariance):
    unit = direction / (direction @ (covariance @ direction)).sqrt()
    return torch.distributions.Normal(0.0, 1.0).cdf(unit @ difference / 2)


# --- area_under_curve -----------------------------------------------------------------------------------------------

area = Exercise("area_under_curve")


def by_pairs(scores, y):
    yes, no = scores[y].tolist(), scores[~y].tolist()
    return sum((a > b) + (a == b) / 2 for a in yes for b in no) / (len(yes) * len(no))


@area.check("the five tokens of the example: 4½ of 6 pairs")
def area_hand(answer, draw):
    scores, y = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.0]), torch.tensor([True, False, True, False, False])
    expect.close(answer(scores, y), 0.75, "the AUC")


@area.check("perfect, the wrong way round, and always the same score: 1, 0 and 0.5, also for a rare label")
def area_ends(answer, draw):
    y = torch.arange(20) < 3
    expect.close(answer(y.float(), y), 1.0, "the AUC of perfect scores")
    expect.close(answer(-y.float() - 5, y), 0.0, "the AUC of reversed scores")
    expect.close(answer(torch.full((20,), -1.0), y), 0.5, "the AUC of a constant")


@area.check("random scores with many ties, counted pair by pair; no cut matters")
def area_pairs(answer, draw):
    for n in (15, 26):
        scores, y = draw.integers(0, 5, n).float(), draw.uniform(n) < 0.3
        y[:2] = torch.tensor([True, False])
        want = by_pairs(scores, y)
        expect.close(answer(scores, y), want, "the AUC")
        expect.close(answer(scores - 100, y), want, "the AUC after moving every score down by 100")
        close = "the order alone counts, and scores that are close are not tied"
        expect.close(answer(1 + scores / 5000, y), want, "the AUC of scores between 1 and 1.0008", because=close)


@area.check("two bell curves two standard deviations apart: Φ(2/√2)", hidden=True)
def area_bells(answer, draw):
    y = torch.arange(3000) % 3 == 0
    scores = draw.normal(3000) + 2.0 * y
    expect.between(
        answer(scores, y), 0.921 - 0.025, 0.921 + 0.025, "the AUC", because="the closed form is Φ(2/√2) = 0.921"
    )
    expect.close(answer(scores[:90], y[:90]), by_pairs(scores[:90], y[:90]), "the AUC")


@area.wrong(
    "ties count as wins",
    "A tie counts as a win in your figure, so a probe that gives every token the same score gets 1. It must get 0.5.",
)
def area_wins(scores, y):
    return (scores[y][:, None] >= scores[~y][None, :]).float().mean()


@area.wrong(
    "ties count as losses",
    "A tie counts as nothing in your figure, so a probe that gives every token the same score gets 0, as if it were always wrong. A tie is one half.",
)
def area_losses(scores, y):
    return (scores[y][:, None] > scores[~y][None, :]).float().mean()


@area.wrong(
    "accuracy at zero",
    "That is an accuracy: it depends on a cut at 0 and rewards always saying no when the label is rare. AUC compares pairs, and has no cut.",
)
def area_accuracy(scores, y):
    return ((scores > 0) == y).float().mean()


@area.wrong(
    "balanced accuracy at zero",
    "You averaged the shares answered rightly among yeses and nos, at a cut of 0. That is fair to rare labels, but it still depends on the cut. Compare pairs.",
)
def area_balanced(scores, y):
    return ((scores[y] > 0).float().mean() + (scores[~y] <= 0).float().mean()) / 2


@area.wrong(
    "the wrong way round",
    "You counted how often the token *without* the label scores higher.",
)
def area_turned(scores, y):
    wins = (scores[y][:, None] < scores[~y][None, :]).float()
    return (wins + (scores[y][:, None] == scores[~y][None, :]).float() / 2).mean()


@area.wrong(
    "compared with all tokens",
    "You compared the yeses with *all* tokens, themselves included. That pulls the figure to one half. The pairs are a yes and a no.",
)
def area_all(scores, y):
    yes = scores[y][:, None]
    return ((yes > scores).float() + (yes == scores).float() / 2).mean()


@area.variation("by ranks")
def area_ranks(scores, y):
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0).double() - (counts.double() - 1) / 2)[place]
    n = int(y.sum())
    return (ranks[y].sum() - n * (n + 1) / 2) / (n * (len(y) - n))


@area.variation("the sign of the difference")
def area_sign(scores, y):
    return (torch.sign(scores[y].double()[:, None] - scores[~y].double()) + 1).mean() / 2


@area.variation("one yes at a time")
def area_loop(scores, y):
    no = scores[~y]
    return sum(float((s > no).sum() + 0.5 * (s == no).sum()) for s in scores[y]) / (int(y.sum()) * len(no))


# --- choose_layer ---------------------------------------------------------------------------------------------------

choose = Exercise("choose_layer")


def two(out, first="the layers", second="the reported figures"):
    expect.true(
        isinstance(out, tuple | list) and len(out) == 2,
        f"Two things should come back, {first} and {second}; yours: {expect.describe(out)}.",
    )
    return out


@choose.check("two labels, three layers, by hand")
def choose_hand(answer, draw):
    validation = torch.tensor([[0.6, 0.9, 0.8], [0.7, 0.5, 0.6]])
    test = torch.tensor([[0.5, 0.85, 0.95], [0.65, 0.9, 0.75]])
    layer, reported = two(answer(validation, test))
    expect.equal(layer, torch.tensor([1, 0]), "the layers")
    expect.close(reported, torch.tensor([0.85, 0.65]), "the reported figures")


@choose.check("pure noise: 400 labels, 10 layers, every true figure 0.5; an honest report is 0.5 on average")
def choose_noise(answer, draw):
    validation, test = 0.5 + 0.1 * draw.normal(400, 10), 0.5 + 0.1 * draw.normal(400, 10)
    _, reported = two(answer(validation.clone(), test.clone()))
    expect.tensor(reported, "the reported figures")
    mean = reported.float().mean()
    # Standard error 0.1/√400 = 0.005; choosing on the same ten figures would give 0.5 + 1.54 · 0.1 = 0.654 (mean of the largest of ten).
    expect.between(
        mean, 0.47, 0.53, "the mean report on noise", because="nothing is there; more than that is luck that was picked"
    )


@choose.check("any number of labels and layers: each label has its own layer", hidden=True)
def choose_any(answer, draw):
    for n, layers in ((1, 4), (6, 2), (3, 9)):
        validation, test = draw.uniform(n, layers), draw.uniform(n, layers)
        layer, reported = two(answer(validation, test))
        rows = [max(range(layers), key=row.__getitem__) for row in validation.tolist()]
        expect.equal(layer, torch.tensor(rows), "the layers")
        expect.close(reported, torch.tensor([test[i, k] for i, k in enumerate(rows)]), "the reported figures")


@choose.wrong(
    "chosen on the test",
    "You chose the layer by its *test* figure. Then the report holds the luck of the best of all layers: on pure noise you would report 0.65. Choose on validation.",
)
def choose_on_test(validation, test):
    layer = test.argmax(1)
    return layer, test[torch.arange(len(test)), layer]


@choose.wrong(
    "reports the validation figure",
    "You chose on validation, which is right, and then reported the *validation* figure. It was picked for being high. The test figure of that layer is the honest one.",
)
def choose_report(validation, test):
    return validation.argmax(1), validation.max(1).values


@choose.wrong(
    "the layer of one, the figure of the other",
    "The layer is chosen on validation, but the figure is the best test figure of *any* layer. Report the test figure of the layer that you chose.",
)
def choose_mixed(validation, test):
    return validation.argmax(1), test.max(1).values


@choose.wrong(
    "chosen on both parts",
    "You chose by the mean of both parts. The test part had a say, so its luck is in the report, only diluted.",
)
def choose_mean(validation, test):
    layer = (validation + test).argmax(1)
    return layer, test[torch.arange(len(test)), layer]


@choose.wrong(
    "one layer for all labels",
    "You took the layer that is best on average over the labels. Each label chooses its own.",
)
def choose_common(validation, test):
    layer = validation.mean(0).argmax().repeat(len(test))
    return layer, test[torch.arange(len(test)), layer]


@choose.variation("gather")
def choose_gather(validation, test):
    layer = validation.max(dim=1).indices
    return layer, test.gather(1, layer[:, None])[:, 0]


@choose.variation("a loop")
def choose_loop(validation, test):
    layers = [int(row.argmax()) for row in validation]
    return torch.tensor(layers), torch.stack([test[i][k] for i, k in enumerate(layers)])


# --- control_labels -------------------------------------------------------------------------------------------------

control = Exercise("control_labels")


def generator(draw):
    return torch.Generator().manual_seed(draw.seed())


def truths(labels, types):
    expect.shape(labels, tuple(types.shape), "the labels", axes="token")
    expect.dtype(labels, torch.bool, "the labels")
    return labels


def mixed_types(labels, types):
    """Types with both answers."""
    return [int(t) for t in types.unique() if len(labels[types == t].unique()) > 1]


@control.check("a type has one label, wherever it stands")
def control_type(answer, draw):
    types = 7001 * draw.integers(0, 12, 200) + 1  # vocabularies may be large
    labels = truths(answer(types, 0.5, generator(draw)), types)
    both = mixed_types(labels, types)
    expect.true(
        not both,
        f"Type {both[0] if both else 0} is a yes in one place and a no in another, and so are {max(len(both) - 1, 0)} other types. "
        "The label belongs to the type of the token, not to its position.",
    )


@control.check("a share of the *types* is a yes, rare and frequent ones alike")
def control_share(answer, draw):
    types = torch.arange(2000)[draw.permutation(2000)]
    for share in (0.2, 0.7):
        labels = truths(answer(types, share, generator(draw)), types)
        wide = 5 * math.sqrt(share * (1 - share) / 2000)
        expect.between(labels.float().mean(), share - wide, share + wide, f"the share of yeses for share = {share}")


@control.check(
    "which types are a yes is chance: low numbers are not preferred, neighbours agree as strangers do, other seeds differ"
)
def control_chance(answer, draw):
    types = torch.arange(2000)
    labels = truths(answer(types, 0.5, generator(draw)), types).float()
    low = labels[:1000].mean() - labels[1000:].mean()
    expect.between(low, -0.12, 0.12, "the share of yeses among low type numbers, minus that among high ones,")
    agree = (labels[1:] == labels[:-1]).float().mean()
    expect.between(
        agree, 0.44, 0.56, "how often neighbouring types agree", because="independent coins agree half of the time"
    )
    other = answer(types, 0.5, generator(draw)).float()
    expect.between((labels == other).float().mean(), 0.44, 0.56, "how often two seeds give a type the same label")
    seed = draw.seed()
    first, again = (answer(types[:20], 0.5, torch.Generator().manual_seed(seed)) for _ in range(2))
    expect.equal(
        again, first, "what the same seed gives, asked again,", because="all chance should come from the generator"
    )
    yeses = [int(answer(types[:20], 0.5, generator(draw)).sum()) for _ in range(12)]
    expect.true(
        len(set(yeses)) > 1,
        f"Of twenty types {yeses[0]} are a yes, with each of twelve seeds. Coins that are independent of each other do not come out even each time.",
    )


@control.check("the same seed gives the same labels", hidden=True)
def control_seed(answer, draw):
    types, seed = draw.integers(0, 50, 300), draw.seed()
    first, again = (truths(answer(types, 0.4, torch.Generator().manual_seed(seed)), types) for _ in range(2))
    expect.equal(again, first, "the labels, asked for again with the same seed,")
    expect.true(not mixed_types(first, types), "A type has two labels.")


@control.wrong(
    "a coin for each token",
    "You tossed a coin for every *token*, by position, so the same type gets different labels. Nobody can learn that, and a probe that fails on it proves nothing. Toss once for each type.",
)
def control_tokens(types, share, generator):
    return torch.rand(len(types), generator=generator) < share


@control.wrong(
    "a list of positions",
    "Your labels depend on where a token stands: the coins repeat along the text and not along the vocabulary. Index the table of coins with the type.",
)
def control_positions(types, share, generator):
    table = torch.rand(64, generator=generator) < share
    return table[torch.arange(len(types)) % 64]


@control.wrong(
    "not random",
    "Your labels follow the type's number, low ones are a yes. Numbers in a vocabulary mean something (here, frequent tokens come first), so that is not a control. Toss a coin for each type.",
)
def control_low(types, share, generator):
    return types < share * (types.max() + 1)


@control.wrong(
    "a fair coin, whatever the share",
    "Half of your types are a yes, whatever `share` says.",
)
def control_fair(types, share, generator):
    return (torch.rand(int(types.max()) + 1, generator=generator) < 0.5)[types]


@control.wrong(
    "a fixed number of yeses",
    "You dealt out a fixed number of yeses, so the coin of one type depends on the coins of the others. Toss for each type by itself: a random number, and a yes if it is below `share`.",
)
def control_fixed(types, share, generator):
    n = int(types.max()) + 1
    table = torch.zeros(n, dtype=torch.bool)
    table[torch.randperm(n, generator=generator)[: round(share * n)]] = True
    return table[types]


@control.wrong(
    "the share upside down",
    "You say yes with probability 1 − share.",
)
def control_upside(types, share, generator):
    return (torch.rand(int(types.max()) + 1, generator=generator) > share)[types]


@control.variation("only the types that occur")
def control_unique(types, share, generator):
    found, place = types.unique(return_inverse=True)
    return (torch.rand(len(found), generator=generator) < share)[place]


@control.variation("a dictionary, filled on the way")
def control_dictionary(types, share, generator):
    table = {}
    for t in types.tolist():
        if t not in table:
            table[t] = torch.rand(1, generator=generator).item() < share
    return torch.tensor([table[t] for t in types.tolist()])


# --- selectivity ----------------------------------------------------------------------------------------------------

select = Exercise("selectivity")


def scored(draw, n=24):
    scores, other = draw.normal(n), draw.normal(n)
    y, coin = scores + draw.normal(n, std=0.5) > 0.3, other + draw.normal(n) > -0.2
    for label in (y, coin):
        label[:2] = torch.tensor([True, False])
    return scores, y, other, coin


@select.check("nine of ten pairs on the label, ten of twelve on the control: 0.9 − 0.833")
def select_hand(answer, draw):
    y = torch.tensor([True, True, False, False, False, False, False])
    scores = torch.tensor([6.0, 4.0, 5.0, 3.0, 2.0, 1.0, 0.0])  # 9 of 10 pairs
    coin = torch.tensor([True, True, True, True, False, False, False])
    others = torch.tensor([6.0, 5.0, 4.0, 1.0, 3.0, 2.0, 0.0])  # 3 + 3 + 3 + 1 of 12 pairs: 10/12
    expect.close(answer(scores, y, others, coin), 9 / 10 - 10 / 12, "the selectivity")


@select.check(
    "a probe no better than its control has selectivity 0; a control that nobody can learn leaves what is above 0.5"
)
def select_ends(answer, draw):
    scores, y, _, _ = scored(draw)
    expect.close(answer(scores, y, scores, y), 0.0, "the selectivity of a probe against itself", atol=1e-6)
    constant = torch.zeros(len(y))
    expect.close(
        answer(scores, y, constant, y), by_pairs(scores, y) - 0.5, "the selectivity against a control at chance"
    )


@select.check("any scores: the difference of the two shares of pairs")
def select_any(answer, draw):
    scores, y, other, coin = scored(draw)
    expect.close(answer(scores, y, other, coin), by_pairs(scores, y) - by_pairs(other, coin), "the selectivity")
    worse = by_pairs(-scores, y) - by_pairs(other, coin)
    expect.close(answer(-scores, y, other, coin), worse, "the selectivity of a probe that is worse than its control")
    below = by_pairs(scores, y) - by_pairs(-other, coin)
    expect.close(answer(scores, y, -other, coin), below, "the selectivity against a control below chance")


@select.check("more tokens; a control that does better than the label", hidden=True)
def select_more(answer, draw):
    for n in (40, 61):
        scores, y, other, coin = scored(draw, n)
        want = by_pairs(other, coin) - by_pairs(scores, y)
        expect.close(answer(other, coin, scores, y), want, "the selectivity")


def auc(scores, y):
    return area_ranks(scores, y)


@select.wrong(
    "the figure without the control",
    "That is the AUC of the label alone. It does not say how much of it a list of tokens explains: subtract the control's AUC.",
)
def select_alone(scores, y, control_scores, control):
    return auc(scores, y)


@select.wrong(
    "above chance",
    "You subtracted chance, 0.5. The control is what to compare with: it may be far above chance, because a list of tokens can be learned.",
)
def select_chance(scores, y, control_scores, control):
    return auc(scores, y) - 0.5


@select.wrong(
    "the control's probe, asked for the label",
    "You scored the control's probe against the true label. It was trained on the control labels: score it against those.",
)
def select_crossed(scores, y, control_scores, control):
    return auc(scores, y) - auc(control_scores, y)


@select.wrong(
    "control minus label",
    "You subtracted the other way round: a good probe comes out negative.",
)
def select_turned(scores, y, control_scores, control):
    return auc(control_scores, control) - auc(scores, y)


@select.wrong(
    "accuracies at zero",
    "You subtracted accuracies. With rare labels these are near 1 for whoever says no; here the measure is AUC.",
)
def select_accuracy(scores, y, control_scores, control):
    return ((scores > 0) == y).double().mean() - ((control_scores > 0) == control).double().mean()


@select.variation("ranks")
def select_ranks(scores, y, control_scores, control):
    return area_ranks(scores, y) - area_ranks(control_scores, control)


@select.variation("the reference's AUC, as plain numbers")
def select_numbers(scores, y, control_scores, control):
    measure = reference("area_under_curve")
    return float(measure(scores, y)) - float(measure(control_scores, control))


# --- accuracy_interval ----------------------------------------------------------------------------------------------

interval = Exercise("accuracy_interval")


def as_interval(out):
    low, high = two(out, "the lower end", "the upper end")
    low, high = expect.number(low, "the lower end"), expect.number(high, "the upper end")
    expect.true(low <= high, f"The lower end, {low:.3f}, is above the upper one, {high:.3f}.")
    return low, high


def planted_files(rights, sizes, draw):
    """Tokens of files with so many right answers, in random order, file numbers with gaps."""
    right, file_of = [], []
    for number, (r, n) in enumerate(zip(rights, sizes, strict=True)):
        right.append(torch.arange(n) < r)
        file_of.append(torch.full((n,), 7 * number + 3))
    order = draw.permutation(sum(sizes))
    return torch.cat(right)[order], torch.cat(file_of)[order]


def every_draw(rights, sizes):
    """The accuracy of every possible draw of files: the truth that a bootstrap samples from."""
    places = range(len(sizes))
    return torch.tensor(
        [sum(rights[i] for i in d) / sum(sizes[i] for i in d) for d in itertools.product(places, repeat=len(sizes))]
    )


def inside(value, low, high, what):
    expect.between(value, low, high, what, because="so it comes out when every possible draw of files is listed")


def near_truth(found, rights, sizes):
    """Both ends between quantiles of the list of all draws a little further in and out, so that chance cannot fail a right answer."""
    all_draws = every_draw(rights, sizes).double()
    marks = all_draws.quantile(torch.tensor([0.013, 0.037, 0.963, 0.987], dtype=torch.float64)).tolist()
    inside(found[0], marks[0] - 0.005, marks[1] + 0.005, "the lower end")
    inside(found[1], marks[2] - 0.005, marks[3] + 0.005, "the upper end")


@interval.check("every file equally good: only the mean, no spread; all right: 1 to 1")
def interval_alike(answer, draw):
    right, file_of = planted_files([30, 15, 45], [40, 20, 60], draw)
    low, high = as_interval(answer(right, file_of, 300, generator(draw)))
    expect.close(low, 0.75, "the lower end", because="each file is right on three of four tokens, so every draw is")
    expect.close(high, 0.75, "the upper end", because="each file is right on three of four tokens, so every draw is")
    low, high = as_interval(answer(torch.ones(30, dtype=torch.bool), torch.arange(30) // 10, 100, generator(draw)))
    expect.close(torch.tensor([low, high]), torch.ones(2), "the ends where all is right")


@interval.check("five files of one size: the quantiles of all 3,125 possible draws")
def interval_equal(answer, draw):
    rights, sizes = [200, 165, 130, 96, 58], [200] * 5
    right, file_of = planted_files(rights, sizes, draw)
    before = right.clone()
    near_truth(as_interval(answer(right, file_of, 4000, generator(draw))), rights, sizes)
    expect.equal(right, before, "right, after your function ran,")


@interval.check("one draw: both ends are the accuracy of that draw, and the generator decides which files it has")
def interval_once(answer, draw):
    rights, sizes = [20, 35, 11, 48], [40, 50, 60, 70]
    right, file_of = planted_files(rights, sizes, draw)
    seeds, found = [draw.seed() for _ in range(12)], []
    possible = every_draw(rights, sizes)
    for seed in [*seeds, seeds[0]]:
        low, high = as_interval(answer(right, file_of, 1, torch.Generator().manual_seed(seed)))
        expect.close(high, low, "the upper end", because="with draws = 1 there is one accuracy, and it is both ends")
        expect.true(
            bool((possible - low).abs().min() < 1e-4),
            f"The accuracy of one draw is {low:.3f}; no draw of four of these four files has that.",
        )
        found.append(low)
    expect.close(found[-1], found[0], "the end with the same seed", because="all chance should come from the generator")
    expect.true(
        len(set(found)) > 1,
        f"With twelve different generators the one draw always has the accuracy {found[0]:.3f}. The generator should decide which files are drawn.",
    )


@interval.check("files of very different sizes: large ones weigh more")
def interval_sizes(answer, draw):
    rights, sizes = [570, 45, 20, 12, 33], [600, 60, 70, 60, 50]
    right, file_of = planted_files(rights, sizes, draw)
    near_truth(as_interval(answer(right, file_of, 4000, generator(draw))), rights, sizes)


@interval.check("forty files: 1.96 standard errors of the mean over files on each side", hidden=True)
def interval_many(answer, draw):
    shares = draw.uniform(40, low=0.4, high=1.0)
    rights = (50 * shares).round().int().tolist()
    right, file_of = planted_files(rights, [50] * 40, draw)
    low, high = as_interval(answer(right, file_of, 4000, generator(draw)))
    each = torch.tensor(rights) / 50
    error = float(each.std(correction=0)) / math.sqrt(40)
    expect.between(
        high - low,
        3.92 * error * 0.85,
        3.92 * error * 1.15,
        "the width of the interval",
        because="the closed form is 3.92 standard errors",
    )
    expect.between((low + high) / 2, float(each.mean()) - 0.5 * error, float(each.mean()) + 0.5 * error, "its middle")


def bootstrap(right, file_of, draws, generator, low=0.025, weigh=True, replace=True, together=None):
    """The bootstrap with a fault to choose."""
    found, place = file_of.unique(return_inverse=True)
    n = len(found)
    tokens = torch.bincount(place, minlength=n).double()
    rights = torch.bincount(place, weights=right.double(), minlength=n)
    chosen = torch.randint(n, (draws, together or n), generator=generator)
    if not replace:
        chosen = torch.stack([torch.randperm(n, generator=generator) for _ in range(draws)])
    shares = rights[chosen].sum(1) / tokens[chosen].sum(1) if weigh else (rights / tokens)[chosen].mean(1)
    return tuple(shares.quantile(torch.tensor([low, 1 - low], dtype=torch.float64)).tolist())


@interval.wrong(
    "tokens as independent",
    "You drew *tokens* anew. The tokens of a file stand and fall together, so your interval is far too narrow. Draw whole files.",
)
def interval_tokens(right, file_of, draws, generator):
    shares = torch.stack(
        [right[torch.randint(len(right), (len(right),), generator=generator)].double().mean() for _ in range(draws)]
    )
    return tuple(shares.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist())


@interval.wrong(
    "every file counts the same",
    "You averaged the accuracies of the drawn files, so a file of fifty tokens counts as much as one of six hundred. Pool the tokens: all right ones by all of them.",
)
def interval_unweighted(right, file_of, draws, generator):
    return bootstrap(right, file_of, draws, generator, weigh=False)


@interval.wrong(
    "without replacement",
    "You drew every file exactly once each time, in another order. That is always the same set: the interval has no width. Draw with replacement.",
)
def interval_permuted(right, file_of, draws, generator):
    return bootstrap(right, file_of, draws, generator, replace=False)


@interval.wrong(
    "the spread of single files",
    "Your interval covers single files. The question is how far the accuracy over *all* of them moves: draw as many files as there are, each time.",
)
def interval_single(right, file_of, draws, generator):
    return bootstrap(right, file_of, draws, generator, together=1)


@interval.wrong(
    "one standard error",
    "Your interval covers the middle 68 %, one standard error on each side. For 95 %, take the quantiles 0.025 and 0.975.",
)
def interval_narrow(right, file_of, draws, generator):
    return bootstrap(right, file_of, draws, generator, low=0.16)


@interval.wrong(
    "the middle 90 %",
    "You cut 5 % off at each end, which leaves the middle 90 %. For the middle 95 % it is 2.5 % at each end.",
)
def interval_ninety(right, file_of, draws, generator):
    return bootstrap(right, file_of, draws, generator, low=0.05)


@interval.variation("a loop over draws that joins the tokens")
def interval_loop(right, file_of, draws, generator):
    groups = [right[file_of == f].float() for f in file_of.unique()]
    shares = []
    for _ in range(draws):
        picked = torch.randint(len(groups), (len(groups),), generator=generator).tolist()
        shares.append(sum(groups[i].sum() for i in picked) / sum(len(groups[i]) for i in picked))
    ordered = torch.stack(shares).sort().values
    return float(ordered[int(0.025 * draws)]), float(ordered[min(int(0.975 * draws), draws - 1)])


@interval.variation("how often each file is drawn, as weights")
def interval_counts(right, file_of, draws, generator):
    found, place = file_of.unique(return_inverse=True)
    n = len(found)
    chosen = torch.multinomial(torch.ones(n), draws * n, replacement=True, generator=generator).view(draws, n)
    often = F.one_hot(chosen, n).sum(1).double()
    tokens = F.one_hot(place, n).double()
    shares = (often @ (tokens.T @ right.double())) / (often @ tokens.sum(0))
    return shares.quantile(0.025), shares.quantile(0.975)


# --- erase_direction ------------------------------------------------------------------------------------------------

erase = Exercise("erase_direction")


@erase.check("in the plane, by hand: the direction (0, 2), the mean (1, 5), the point (3, 9)")
def erase_hand(answer, draw):
    out = answer(torch.tensor([[3.0, 9.0]]), torch.tensor([0.0, 2.0]), torch.tensor([1.0, 5.0]))
    expect.close(
        out,
        torch.tensor([[3.0, 5.0]]),
        "the erased point",
        because="along the second axis it gets what the mean has there, the first stays",
    )


@erase.check("along the direction all vectors have what the mean has; at right angles to it nothing moves")
def erase_apart(answer, draw):
    x, direction, mean = draw.normal(4, 3, 6), draw.normal(6, std=3), draw.normal(6, std=2)
    kept = x.clone(), direction.clone(), mean.clone()
    out = answer(x, direction, mean)
    expect.shape(out, (4, 3, 6), axes="batch token feature")
    unit = F.normalize(direction, dim=0)
    expect.close(
        out @ unit, (mean @ unit).expand(4, 3), "how far the erased vectors reach along the direction", atol=1e-4
    )
    basis = torch.linalg.qr(torch.cat([unit[:, None], draw.normal(6, 5)], dim=1))[0][
        :, 1:
    ]  # five axes at right angles to it
    expect.close(out @ basis, x @ basis, "what lies at right angles to the direction", atol=1e-4)
    for name, now, was in zip(("x", "direction", "mean"), (x, direction, mean), kept, strict=True):
        expect.equal(now, was, f"{name}, after your function ran,")


@erase.check("a direction of any length, also backwards, erases the same; erasing twice changes nothing more")
def erase_again(answer, draw):
    x, direction, mean = draw.normal(5, 4), draw.normal(4), draw.normal(4)
    once = answer(x, direction, mean)
    for factor in (25.0, 0.01, -1.0):
        expect.close(
            answer(x, factor * direction, mean), once, f"the result for a direction {factor:g} times as long", atol=1e-4
        )
    expect.close(answer(once, direction, mean), once, "the result of erasing twice", atol=1e-4)


@erase.check("one vector, many axes; a difference of means that is erased leaves no difference", hidden=True)
def erase_means(answer, draw):
    direction, mean = draw.normal(7), draw.normal(7)
    expect.shape(answer(draw.normal(7), direction, mean), (7,), axes="feature")
    expect.shape(answer(draw.normal(2, 3, 2, 7), direction, mean), (2, 3, 2, 7))
    y = torch.arange(30) % 3 == 0
    x = draw.normal(30, 7) + y[:, None] * draw.normal(7, std=2)
    out = answer(x, x[y].mean(0) - x[~y].mean(0), x.mean(0))
    expect.close(out[y].mean(0), out[~y].mean(0), "the mean of the yeses, compared with that of the nos,", atol=1e-4)
    expect.close(out.mean(0), x.mean(0), "the mean of all vectors, which should stay", atol=1e-4)


@erase.wrong(
    "a direction that is not of length 1",
    "The formula needs a *unit* vector. With a direction twice as long you subtract four times too much. Divide the direction by its length first.",
)
def erase_long(x, direction, mean):
    return x - ((x - mean) @ direction)[..., None] * direction


@erase.wrong(
    "divided by the length once",
    "You divided by the length of the direction once. It stands in the formula twice, in the dot product and behind it: divide by the squared length, or make a unit vector first.",
)
def erase_once(x, direction, mean):
    return x - ((x - mean) @ direction)[..., None] * direction / direction.norm()


@erase.wrong(
    "erased to zero",
    "You erased to zero: along the direction every vector has 0 now. Activations are not centred, so 0 may be far from all of them. Leave what the mean has there.",
)
def erase_zero(x, direction, mean):
    unit = F.normalize(direction, dim=0)
    return x - (x @ unit)[..., None] * unit


@erase.wrong(
    "keeps only the direction",
    "You kept the part along the direction and erased everything else.",
)
def erase_kept(x, direction, mean):
    unit = F.normalize(direction, dim=0)
    return mean + ((x - mean) @ unit)[..., None] * unit


@erase.wrong(
    "subtracts the direction",
    "You subtracted the direction itself from every vector. That moves all of them alike and erases nothing: subtract what each has along it.",
)
def erase_shift(x, direction, mean):
    return x - F.normalize(direction, dim=0)


@erase.wrong(
    "centres as well",
    "You took the mean off entirely. Only the part along the direction is to change; everything at right angles stays where it was.",
)
def erase_centred(x, direction, mean):
    unit = F.normalize(direction, dim=0)
    return (x - mean) - ((x - mean) @ unit)[..., None] * unit


@erase.wrong(
    "turned over",
    "You subtracted twice the reach: every vector is mirrored, and a probe reads it as well as before, with yes and no exchanged.",
)
def erase_mirror(x, direction, mean):
    unit = F.normalize(direction, dim=0)
    return x - 2 * ((x - mean) @ unit)[..., None] * unit


@erase.variation("a projection matrix, in float64")
def erase_matrix(x, direction, mean):
    u = F.normalize(direction.double(), dim=0)
    keep = torch.eye(len(u), dtype=torch.float64) - torch.outer(u, u)
    return ((x.double() - mean.double()) @ keep + mean.double()).to(x.dtype)


@erase.variation("einsum, divided by the squared length")
def erase_einsum(x, direction, mean):
    reach = torch.einsum("...f,f->...", x - mean, direction) / direction.square().sum()
    return x - torch.einsum("...,f->...f", reach, direction)


# --- erasing_effect -------------------------------------------------------------------------------------------------

effect = Exercise("erasing_effect")


def reads(direction):
    """A rest of the model that looks along one direction only: its loss is the square of what it sees there."""
    return lambda x: (x @ direction).square().flatten()


def planted(draw, d=5):
    """Activations, an orthonormal basis, and their mean; the rest will read along basis[0] only."""
    basis = torch.linalg.qr(draw.normal(d, d))[0].T
    x = draw.normal(40, d) + draw.normal(d)
    return x, basis, x.mean(0)


def effects(out, n):
    first, others = two(out, "the effect", "the controls' effects")
    expect.number(first, "the effect of the direction")
    expect.shape(others, (n,), "the controls' effects", axes="control")
    return first, others


@effect.check(
    "a model that reads one direction: erasing that one changes its loss by the variance, erasing others by nothing"
)
def effect_read(answer, draw):
    x, basis, mean = planted(draw)
    first, others = effects(answer(reads(basis[0]), x, 3 * basis[0], mean, basis[1:4]), 3)
    variance = float((x @ basis[0]).var(correction=0))
    expect.close(
        first,
        -variance,
        "the effect",
        because="the loss is a square here: without the spread it *falls* by the variance",
        atol=1e-4,
    )
    expect.close(others, torch.zeros(3), "the controls' effects", because="nothing reads these directions", atol=1e-4)


@effect.check("a label that is read perfectly and used by nobody has the effect 0, whatever the probe says")
def effect_unused(answer, draw):
    x, basis, mean = planted(draw)
    y = torch.arange(40) % 2 == 0
    x = x + 20.0 * y[:, None] * basis[1]
    first, others = effects(answer(reads(basis[0]), x, basis[1], x.mean(0), torch.stack([basis[0], basis[2]])), 2)
    expect.close(first, 0.0, "the effect of the direction that nobody reads", atol=1e-3)
    expect.close(
        others[0], -float((x @ basis[0]).var(correction=0)), "the effect of the control that the model reads", atol=1e-3
    )


@effect.check("each control is erased alone, from the x as it was, and to the mean that is given")
def effect_alone(answer, draw):
    x, basis, _ = planted(draw)
    x, mean, along = x.view(8, 5, 5), draw.normal(5), basis[0] + basis[1]
    controls, direction = draw.normal(4, 5), draw.normal(5)

    def rest(at):
        return (at @ along).square()  # (window, token)

    first, others = effects(answer(rest, x, direction, mean, controls), 4)

    def rise(one):
        return float((rest(without(x, one, mean)) - rest(x)).mean())

    expect.close(first, rise(direction), "the effect", atol=1e-4)
    expect.close(others, torch.tensor([rise(control) for control in controls]), "the controls' effects", atol=1e-4)


@effect.check("activations of windows, (window, token, feature); losses that rise", hidden=True)
def effect_windows(answer, draw):
    basis = torch.linalg.qr(draw.normal(6, 6))[0].T
    x = draw.normal(3, 4, 6)
    mean = x.mean((0, 1))

    def rest(at):
        return 2 - (at @ basis[2]).square()  # less loss, the more is seen

    first, others = effects(answer(rest, x, basis[2], mean, basis[[0, 2, 5]]), 3)
    want = float((x @ basis[2]).var(correction=0))
    expect.close(first, want, "the effect", atol=1e-4)
    expect.close(others, torch.tensor([0.0, want, 0.0]), "the controls' effects", atol=1e-4)


def without(x, direction, mean):
    unit = direction / direction.norm()
    return x - ((x - mean) @ unit)[..., None] * unit


@effect.wrong(
    "the loss, not its rise",
    "You returned the loss with the direction erased. The effect is by how much it *rose*: subtract the loss with nothing erased.",
)
def effect_level(rest, x, direction, mean, controls):
    return rest(without(x, direction, mean)).mean(), torch.stack([rest(without(x, c, mean)).mean() for c in controls])


@effect.wrong(
    "the wrong way round",
    "You subtracted the erased loss from the loss as it was, so harm counts as negative. A rise is after minus before.",
)
def effect_turned(rest, x, direction, mean, controls):
    base = rest(x).mean()
    others = [base - rest(without(x, c, mean)).mean() for c in controls]
    return base - rest(without(x, direction, mean)).mean(), torch.stack(others)


@effect.wrong(
    "controls on top of the direction",
    "You erased the controls from activations that had lost the direction already. Then they say what goes *in addition*. Erase each from x as it was.",
)
def effect_on_top(rest, x, direction, mean, controls):
    gone = without(x, direction, mean)
    base = rest(x).mean()
    others = [rest(without(gone, c, mean)).mean() - base for c in controls]
    return rest(gone).mean() - base, torch.stack(others)


@effect.wrong(
    "one control after the other",
    "You erased the controls one after the other, so each effect holds all controls before it. Erase each alone, from x as it was.",
)
def effect_chain(rest, x, direction, mean, controls):
    base, others, left = rest(x).mean(), [], x
    for c in controls:
        left = without(left, c, mean)
        others.append(rest(left).mean() - base)
    return rest(without(x, direction, mean)).mean() - base, torch.stack(others)


@effect.wrong(
    "sizes of the changes",
    "You averaged the absolute changes. Tokens that get better and tokens that get worse then add up, and every direction seems to matter. Take the change of the mean.",
)
def effect_absolute(rest, x, direction, mean, controls):
    base = rest(x)
    others = [(rest(without(x, c, mean)) - base).abs().mean() for c in controls]
    return (rest(without(x, direction, mean)) - base).abs().mean(), torch.stack(others)


@effect.wrong(
    "the mean of this x",
    "You erased to the mean of the x at hand. Use the `mean` that is given: in the lab it is that of the training tokens, as the probe is.",
)
def effect_own_mean(rest, x, direction, mean, controls):
    own = x.flatten(0, -2).mean(0)
    base = rest(x).mean()
    others = [rest(without(x, c, own)).mean() - base for c in controls]
    return rest(without(x, direction, own)).mean() - base, torch.stack(others)


@effect.variation("token by token, then the mean")
def effect_tokens(rest, x, direction, mean, controls):
    base = rest(x)
    rises = [(rest(without(x, d, mean)) - base).mean() for d in [direction, *controls]]
    return rises[0], torch.stack(rises[1:])


@effect.variation("plain numbers")
def effect_numbers(rest, x, direction, mean, controls):
    base = float(rest(x).mean())
    others = torch.zeros(len(controls))
    for i, control in enumerate(controls):
        others[i] = float(rest(without(x, control, mean)).mean()) - base
    return float(rest(without(x, direction, mean)).mean()) - base, others
