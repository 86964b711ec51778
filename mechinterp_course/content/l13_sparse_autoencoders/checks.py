"""How the exercises of lesson 13 are checked.

The truth comes from outside the lab: sums written out input by input, a second Adam in float64, planted directions, every permutation
tried, minima found on a grid, and the density that a pseudo-derivative estimates. The only training is a hidden check of half a second.
"""

import itertools
import math

import torch

from mechinterp_course.interp import synthetic
from mechinterp_course.tutor.checks import Exercise, expect

NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


def random_sae(draw, d_in, d_sae, unit=False):
    """Return an autoencoder of random numbers, all biases among them; unit: with decoder rows of length 1."""
    rows = draw.normal(d_sae, d_in)
    if unit:
        rows = rows / rows.norm(dim=1, keepdim=True)
    return {
        "W_enc": draw.normal(d_in, d_sae, std=0.7),
        "b_enc": draw.normal(d_sae, std=0.5),
        "W_dec": rows,
        "b_dec": draw.normal(d_in),
    }


def encoded(x, sae):
    """Return z and the activations."""
    z = (x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]
    return z, torch.relu(z)


def decoded(acts, sae):
    return acts @ sae["W_dec"] + sae["b_dec"]


CUT = "no detach, item, float or no_grad on the way"


def expect_gradients(got, want, given, what):
    """Expect torch to take the same gradients of `got` as of `want`, by each tensor of `given`.

    The answer got copies of `given`, so they are looked up in the graph of `got`, by their values. In grading the graph
    stays behind in another process; then it has to be enough that `got` asks for a gradient.
    """
    can = isinstance(got, torch.Tensor) and got.requires_grad
    expect.true(can, f"No gradient comes back from {what}, so nothing could be trained by it: {CUT}.")
    if got.grad_fn is None:
        return
    todo, seen, leaves = [got.grad_fn], set(), []
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        todo += [before for before, _ in node.next_functions]
    total = (lambda out: (out**2).sum()) if got.ndim else (lambda out: out)  # one number, whatever the shape
    leaves = {name: next((x for x in leaves if torch.equal(x, tensor)), None) for name, tensor in given.items()}
    for name, leaf in leaves.items():
        expect.true(leaf is not None, f"No gradient of {what} reaches {name}, so it could not learn: {CUT}.")
    slopes = torch.autograd.grad(total(got), list(leaves.values()), retain_graph=True)
    wants = torch.autograd.grad(total(want), list(given.values()), retain_graph=True)
    for name, slope, right in zip(given, slopes, wants, strict=True):
        because = f"the value of {what} is right, but a part of it is cut off from its gradient"
        expect.close(
            slope,
            right,
            f"the gradient of {what} by {name}",
            atol=1e-4 * (1 + float(right.abs().max())),
            rtol=1e-3,
            because=because,
        )


def learning(draw, d_in, d_sae):
    """Return a random autoencoder whose tensors ask for gradients."""
    return {name: tensor.requires_grad_() for name, tensor in random_sae(draw, d_in, d_sae).items()}


# --- sae_forward ----------------------------------------------------------------------------------------------------

forward = Exercise("sae_forward")


def two(got, what):
    """Expect a pair and return it."""
    expect.true(isinstance(got, (tuple, list)) and len(got) == 2, f"Return two things: {what}.")
    return got


def written_out(x, sae):
    """Activations and reconstruction, one input and one latent at a time, in float64."""
    wide = {name: tensor.double() for name, tensor in sae.items()}
    acts, out = [], []
    for row in x.double():
        rest = row - wide["b_dec"]
        f = [max(0.0, float(rest @ wide["W_enc"][:, j] + wide["b_enc"][j])) for j in range(len(wide["b_enc"]))]
        acts.append(torch.tensor(f).double())
        out.append(sum(f[j] * wide["W_dec"][j] for j in range(len(f))) + wide["b_dec"])
    return torch.stack(acts), torch.stack(out)


@forward.check("one input by hand: two numbers, three latents")
def forward_by_hand(answer, draw):
    sae = {
        "W_enc": torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]]),
        "b_enc": torch.tensor([-1.0, 0.5, 0.0]),
        "W_dec": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        "b_dec": torch.tensor([1.0, 2.0]),
    }
    acts, x_hat = two(answer(torch.tensor([[4.0, 3.0]]), sae), "acts and x_hat")
    expect.close(acts, torch.tensor([[2.0, 2.5, 0.0]]), "the activations", because="x − b_dec is (3, 1)")
    expect.close(x_hat, torch.tensor([[3.0, 4.5]]), "the reconstruction", because="2·(1, 0) + 2.5·(0, 1) + (1, 2)")


@forward.check("activations and reconstruction, term by term")
def forward_terms(answer, draw):
    sae, x = random_sae(draw, 4, 6), draw.normal(5, 4)
    acts, x_hat = two(answer(x, sae), "acts and x_hat")
    want_acts, want = written_out(x, sae)
    expect.shape(acts, (5, 6), "the activations", axes="batch d_sae")
    expect.close(acts, want_acts.float(), "the activations")
    expect.shape(x_hat, (5, 4), "the reconstruction", axes="batch d_in")
    expect.close(x_hat, want.float(), "the reconstruction", atol=1e-4)


@forward.check("gradients reach all four tensors, through the reconstruction and through the activations")
def forward_gradients(answer, draw):
    sae, x = learning(draw, 4, 7), draw.normal(6, 4)
    with torch.enable_grad():
        acts, x_hat = two(answer(x, sae), "acts and x_hat")
        want_acts = encoded(x, sae)[1]
        expect_gradients(x_hat, decoded(want_acts, sae), sae, "the reconstruction")
        part = {name: sae[name] for name in ("W_enc", "b_enc", "b_dec")}
        expect_gradients(acts, want_acts, part, "the activations")


@forward.check("any sizes, also as many latents as dimensions", hidden=True)
def forward_sizes(answer, draw):
    for batch, d_in, d_sae in [(1, 1, 1), (4, 4, 4), (3, 5, 2), (2, 3, 9)]:
        sae, x = random_sae(draw, d_in, d_sae), draw.normal(batch, d_in)
        acts, x_hat = answer(x, sae)
        want_acts, want = written_out(x, sae)
        expect.close(acts, want_acts.float(), "the activations")
        expect.close(x_hat, want.float(), "the reconstruction", atol=1e-4)


@forward.wrong(
    "bias after the ReLU",
    "Some of your activations are negative: b_enc was added behind the ReLU. Inside, it keeps a latent silent until enough is there.",
)
def forward_bias_last(x, sae):
    acts = torch.relu((x - sae["b_dec"]) @ sae["W_enc"]) + sae["b_enc"]
    return acts, decoded(acts, sae)


@forward.wrong(
    "b_dec not taken off",
    "Your encoder sees b_dec in the input. Take it off first: the latents have to explain only what is beyond it.",
)
def forward_raw_input(x, sae):
    acts = torch.relu(x @ sae["W_enc"] + sae["b_enc"])
    return acts, decoded(acts, sae)


@forward.wrong(
    "b_dec not put back", "Your reconstruction lacks b_dec: with no latent active it should be b_dec, not 0."
)
def forward_no_b_dec(x, sae):
    acts = encoded(x, sae)[1]
    return acts, acts @ sae["W_dec"]


@forward.wrong("no ReLU", "Some activations are negative: the ReLU is missing, and nothing can be sparse.")
def forward_linear(x, sae):
    z = encoded(x, sae)[0]
    return z, decoded(z, sae)


@forward.wrong(
    "decodes before the ReLU",
    "Your activations are right, but the reconstruction is made from z, before the ReLU. Decode what you return.",
)
def forward_decodes_z(x, sae):
    z, acts = encoded(x, sae)
    return acts, decoded(z, sae)


@forward.wrong("no b_enc", "b_enc has no effect on your activations. Add it before the ReLU.")
def forward_no_b_enc(x, sae):
    acts = torch.relu((x - sae["b_dec"]) @ sae["W_enc"])
    return acts, decoded(acts, sae)


@forward.wrong(
    "encoder for decoder",
    "You decoded with the encoder's transpose. The decoder is a tensor of its own, W_dec.",
)
def forward_tied(x, sae):
    acts = encoded(x, sae)[1]
    return acts, acts @ sae["W_enc"].T + sae["b_dec"]


@forward.wrong(
    "a ReLU on the reconstruction", "You cut negative numbers from the reconstruction. An input may be negative."
)
def forward_relu_out(x, sae):
    acts = encoded(x, sae)[1]
    return acts, torch.relu(decoded(acts, sae))


@forward.variation("einsum and clamp")
def forward_einsum(x, sae):
    z = torch.einsum("bi,ij->bj", x - sae["b_dec"], sae["W_enc"]) + sae["b_enc"]
    acts = z.clamp(min=0)
    return acts, torch.einsum("bj,ji->bi", acts, sae["W_dec"]) + sae["b_dec"]


@forward.variation("b_dec folded into the bias")
def forward_folded(x, sae):
    acts = (x @ sae["W_enc"] + (sae["b_enc"] - sae["b_dec"] @ sae["W_enc"])).relu()
    return [acts, sae["b_dec"] + acts @ sae["W_dec"]]


# --- sae_loss -------------------------------------------------------------------------------------------------------

loss = Exercise("sae_loss")


def added_up(x, sae, l1):
    """The loss, term by term."""
    acts, x_hat = written_out(x, sae)
    total = 0.0
    for i in range(len(x)):
        total += sum(float(x[i, d] - x_hat[i, d]) ** 2 for d in range(x.shape[1]))
        total += l1 * sum(float(a) for a in acts[i])
    return total / len(x)


@loss.check("a perfect reconstruction costs only its activations")
def loss_price_only(answer, draw):
    sae = {
        "W_enc": torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]),
        "b_enc": torch.zeros(4),
        "W_dec": torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]),
        "b_dec": torch.zeros(2),
    }
    x = torch.tensor([[3.0, 0.0], [-1.0, 2.0], [0.0, -4.0]])
    got = answer(x, sae, 0.5)
    expect.close(
        got, torch.tensor(5 / 3), "the loss", because="0.5 times the activations 3, 1 + 2 and 4, over 3 inputs"
    )


@loss.check("both terms, added up input by input")
def loss_terms(answer, draw):
    sae, x = random_sae(draw, 4, 6), draw.normal(5, 4)
    got = answer(x, sae, 0.3)
    expect.close(got, torch.tensor(added_up(x, sae, 0.3)).float(), "the loss", rtol=1e-3)


@loss.check("without a price, the squared error alone")
def loss_no_price(answer, draw):
    sae, x = random_sae(draw, 3, 7), draw.normal(4, 3)
    expect.close(answer(x, sae, 0.0), torch.tensor(added_up(x, sae, 0.0)).float(), "the loss at l1 = 0", rtol=1e-3)


@loss.check("torch can take its gradient, through both terms")
def loss_gradients(answer, draw):
    sae, x = learning(draw, 4, 7), draw.normal(6, 4)
    with torch.enable_grad():
        acts = encoded(x, sae)[1]
        truth = ((x - decoded(acts, sae)) ** 2).sum(-1).mean() + 0.8 * acts.sum(-1).mean()
        expect_gradients(answer(x, sae, 0.8), truth, sae, "the loss")


@loss.check("any sizes; twice the same inputs leave the loss where it is", hidden=True)
def loss_sizes(answer, draw):
    for batch, d_in, d_sae in [(1, 2, 3), (6, 6, 6), (3, 5, 2)]:
        sae, x = random_sae(draw, d_in, d_sae), draw.normal(batch, d_in)
        got = answer(x, sae, 0.7)
        expect.close(got, torch.tensor(added_up(x, sae, 0.7)).float(), "the loss", rtol=1e-3)
        expect.close(answer(torch.cat([x, x]), sae, 0.7), got, "the loss of the same inputs twice", rtol=1e-3)


def loss_with(penalty, error=lambda e: (e**2).sum(-1)):
    """Return a wrong loss: penalty(z, acts, x_hat, sae) is what l1 multiplies, one number for each input or for all."""

    def wrong(x, sae, l1):
        z, acts = encoded(x, sae)
        x_hat = decoded(acts, sae)
        return (error(x - x_hat) + l1 * penalty(z, acts, x_hat, sae)).mean()

    return wrong


def the_price(z, acts, x_hat, sae):
    return acts.sum(-1)


MISPLACED = {
    "L1 on the pre-activations": (
        "You put the price on z, before the ReLU: a latent that is silent, and far below 0, would pay too. Only what it shows costs.",
        lambda z, acts, x_hat, sae: z.abs().sum(-1),
    ),
    "L1 on the reconstruction": (
        "You put the price on x̂. That makes reconstructions small, not activations few. It belongs on the activations.",
        lambda z, acts, x_hat, sae: x_hat.abs().sum(-1),
    ),
    "L1 on the decoder's weights": (
        "You put the price on W_dec: that makes weights small, and says nothing about how many latents are active.",
        lambda z, acts, x_hat, sae: sae["W_dec"].abs().sum(),
    ),
    "L1 on the encoder's weights": (
        "You put the price on W_enc: that makes weights small, and says nothing about how many latents are active.",
        lambda z, acts, x_hat, sae: sae["W_enc"].abs().sum(),
    ),
    "price averaged over the latents": (
        "Your price is too small by the number of latents: you averaged over them. Over latents it is summed.",
        lambda z, acts, x_hat, sae: acts.mean(-1),
    ),
    "price summed over the batch": (
        "Your price grows with the batch: you summed it over the inputs. The mean over inputs is taken of both terms.",
        lambda z, acts, x_hat, sae: acts.sum(),
    ),
    "L2 instead of L1": (
        "You squared the activations. A squared price hardly touches small ones, so they never reach 0.",
        lambda z, acts, x_hat, sae: (acts**2).sum(-1),
    ),
    "a count instead of a sum": (
        "You charged for each active latent, whatever it shows. That is L0; its slope is 0, so nothing would learn from it.",
        lambda z, acts, x_hat, sae: (acts > 0).float().sum(-1),
    ),
}
for _name, (_says, _penalty) in MISPLACED.items():
    loss.wrong(_name, _says)(loss_with(_penalty))


@loss.wrong(
    "error averaged over the dimensions",
    "Your error is too small by the number of dimensions: you averaged over d_in, as F.mse_loss does. Over dimensions it is summed.",
)
def loss_mean_error(x, sae, l1):
    return loss_with(the_price, lambda e: (e**2).mean(-1))(x, sae, l1)


@loss.wrong(
    "the length of the error, not its square",
    "You took the length of the error, with a root. The loss has its square.",
)
def loss_root(x, sae, l1):
    return loss_with(the_price, lambda e: e.norm(dim=-1))(x, sae, l1)


@loss.wrong("summed over the batch", "Your loss grows with the batch: you summed over the inputs. Take their mean.")
def loss_sum(x, sae, l1):
    return loss_with(the_price)(x, sae, l1) * len(x)


@loss.variation("both means apart, and abs")
def loss_apart(x, sae, l1):
    acts = encoded(x, sae)[1]
    return (x - decoded(acts, sae)).square().sum(1).mean() + l1 * acts.abs().sum(1).mean()


@loss.variation("sums over everything, divided by the batch, in float64")
def loss_divided(x, sae, l1):
    sae = {name: tensor.double() for name, tensor in sae.items()}
    acts = encoded(x.double(), sae)[1]
    return ((x - decoded(acts, sae)).pow(2).sum() + l1 * acts.norm(p=1)) / len(x)


# --- unit_decoder ---------------------------------------------------------------------------------------------------

unit = Exercise("unit_decoder")


@unit.check("one row by hand: (3, 4) with the gradient (1, 0)")
def unit_by_hand(answer, draw):
    rows, slope = two(answer(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])), "the unit rows and the gradient")
    expect.close(rows, torch.tensor([[0.6, 0.8]]), "the row")
    expect.close(slope, torch.tensor([[0.64, -0.48]]), "the gradient", because="(1, 0) − 0.6·(0.6, 0.8)")


@unit.check("every row has length 1 and its old direction; what is left of each gradient is at right angles to its row")
def unit_rows(answer, draw):
    W, g = draw.normal(6, 4), draw.normal(6, 4)
    rows, slope = two(answer(W, g), "the unit rows and the gradient")
    expect.shape(rows, (6, 4), "the decoder", axes="d_sae d_in")
    expect.close(rows.norm(dim=1), torch.ones(6), "the lengths of the rows")
    expect.close((rows * W).sum(1), W.norm(dim=1), "each new row times the old one", because="the direction must stay")
    expect.shape(slope, (6, 4), "the gradient", axes="d_sae d_in")
    expect.close((slope * W).sum(1), torch.zeros(6), "each gradient row times its decoder row", atol=1e-4)
    sides = W.flip(1) * torch.tensor([1.0, 1.0, -1.0, -1.0])  # at right angles to each row
    expect.close((slope * sides).sum(1), (g * sides).sum(1), "each gradient row, across its decoder row", atol=1e-4)


@unit.check("as many rows as columns, and rows that are shorter than 1")
def unit_square(answer, draw):
    W, g = draw.normal(4, 4, std=0.2), draw.normal(4, 4)
    rows, slope = two(answer(W, g), "the unit rows and the gradient")
    want = torch.stack([row / math.sqrt(float(row @ row)) for row in W])
    expect.close(rows, want, "the decoder")
    expect.close(slope, torch.stack([s - (s @ w) * w for s, w in zip(g, want, strict=True)]), "the gradient")


@unit.check("a gradient along the rows vanishes, one across them stays; lengths do not matter", hidden=True)
def unit_parts(answer, draw):
    W = draw.normal(5, 3) * draw.uniform(5, 1, low=0.1, high=9)
    along = W * draw.normal(5, 1)
    expect.close(answer(W, along)[1], torch.zeros(5, 3), "the gradient along the rows", atol=1e-4)
    across = torch.linalg.cross(W, draw.normal(5, 3))
    expect.close(answer(W, across)[1], across, "the gradient across the rows", atol=1e-4)
    g = draw.normal(5, 3)
    expect.close(answer(3 * W, g)[1], answer(W, g)[1], "the gradient, for rows three times as long", atol=1e-4)


def unit_of(W, dim=1):
    return W / W.norm(dim=dim, keepdim=True)


def across(W, g, dim=1):
    w = unit_of(W, dim)
    return g - (g * w).sum(dim, keepdim=True) * w


@unit.wrong(
    "columns instead of rows",
    "Your columns have length 1, and the rows have not. A direction is a row of W_dec: normalise over d_in, dim=1.",
)
def unit_columns(W_dec, gradient):
    return unit_of(W_dec, 0), across(W_dec, gradient, 0)


@unit.wrong(
    "one length for the whole matrix",
    "You divided by the length of the whole matrix. Each row has a length of its own: dim=1, keepdim=True.",
)
def unit_whole(W_dec, gradient):
    return W_dec / W_dec.norm(), across(W_dec, gradient)


@unit.wrong(
    "parallel part kept",
    "Your gradient still points partly along the rows. Subtract that part: it only changes lengths, which are then undone.",
)
def unit_kept(W_dec, gradient):
    return unit_of(W_dec), gradient


@unit.wrong(
    "parallel part with rows that are not unit",
    "You measured the part along the rows as they came, not along the rows of length 1, so too much or too little is gone.",
)
def unit_raw(W_dec, gradient):
    return unit_of(W_dec), gradient - (gradient * W_dec).sum(1, keepdim=True) * W_dec


@unit.wrong(
    "the parallel part itself",
    "You return the part of the gradient along the rows. It is the rest that is wanted: subtract that part.",
)
def unit_parallel(W_dec, gradient):
    return unit_of(W_dec), gradient - across(W_dec, gradient)


@unit.wrong(
    "added instead of subtracted",
    "The part along the rows has doubled: you added it. Subtract it.",
)
def unit_added(W_dec, gradient):
    return unit_of(W_dec), 2 * gradient - across(W_dec, gradient)


@unit.wrong(
    "only long rows shortened",
    "Rows shorter than 1 stayed short. Every row gets length 1, not at most 1.",
)
def unit_clipped(W_dec, gradient):
    return W_dec / W_dec.norm(dim=1, keepdim=True).clamp(min=1), across(W_dec, gradient)


@unit.wrong(
    "one dot product for all rows",
    "You subtracted the same multiple from every row: the dot product ran over the whole matrix. Each row has its own: dim=1.",
)
def unit_one_dot(W_dec, gradient):
    w = unit_of(W_dec)
    return w, gradient - (gradient * w).sum() * w


@unit.wrong(
    "length 1 by absolute sums",
    "The absolute values of your rows sum to 1. Length is the root of the sum of squares, .norm(dim=1).",
)
def unit_l1(W_dec, gradient):
    return W_dec / W_dec.abs().sum(1, keepdim=True), across(W_dec, gradient)


@unit.variation("torch's normalize and einsum")
def unit_einsum(W_dec, gradient):
    w = torch.nn.functional.normalize(W_dec, dim=1)
    return w, gradient - torch.einsum("ji,ji->j", gradient, w)[:, None] * w


@unit.variation("row by row, without normalising first")
def unit_loop(W_dec, gradient):
    rows, slopes = [], []
    for w, g in zip(W_dec, gradient, strict=True):
        rows.append(w / w.norm())
        slopes.append(g - (g @ w) / (w @ w) * w)
    return torch.stack(rows), torch.stack(slopes)


# --- train_sae ------------------------------------------------------------------------------------------------------

train = Exercise("train_sae")


def l1_loss(x, sae):
    acts = encoded(x, sae)[1]
    return ((x - decoded(acts, sae)) ** 2).sum(-1).mean() + 0.3 * acts.sum(-1).mean()


def adam_by_hand(loss, batches, sae, lr):
    """Train in float64 by Adam's formulas, written out. Returns the autoencoder and the losses."""
    sae = {name: tensor.detach().double() for name, tensor in sae.items()}
    first = {name: torch.zeros_like(tensor) for name, tensor in sae.items()}
    second = {name: torch.zeros_like(tensor) for name, tensor in sae.items()}
    losses = []
    for t, x in enumerate(batches, start=1):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in sae.items()}
        value = loss(x.double(), leaves)
        slopes = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
        slopes["W_dec"] = across(sae["W_dec"], slopes["W_dec"])
        for name, g in slopes.items():
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g**2
            step = first[name] / (1 - 0.9**t) / ((second[name] / (1 - 0.999**t)).sqrt() + 1e-8)
            sae[name] = sae[name] - lr * step
        sae["W_dec"] = unit_of(sae["W_dec"])
        losses.append(value.item())
    return {name: tensor.float() for name, tensor in sae.items()}, losses


def expect_trained(got, want, losses=None):
    sae, seen = two(got, "the trained autoencoder, and the list of losses")
    expect.true(
        isinstance(sae, dict) and set(sae) == set(want),
        "The first thing that you return should be a dictionary like sae, with the same names: "
        f"{', '.join(want)}. The loop trains whatever sae holds.",
    )
    for name in want:
        expect.close(sae[name], want[name], name, atol=2e-4, rtol=1e-3)
    if losses is not None:
        expect.equal(len(seen), len(losses), "the number of losses")
        expect.close(torch.as_tensor(seen).float(), torch.tensor(losses), "the losses", rtol=1e-3)


@train.check("four batches: the same weights as Adam written out, with rows of length 1 and the parallel part removed")
def train_four(answer, draw):
    sae, batches = random_sae(draw, 3, 5, unit=True), [draw.normal(6, 3) for _ in range(4)]
    want, losses = adam_by_hand(l1_loss, batches, sae, 0.05)
    expect_trained(answer(l1_loss, batches, sae, 0.05), want, losses)


@train.check("another loss, another learning rate")
def train_other(answer, draw):
    sae, batches = random_sae(draw, 4, 6, unit=True), [draw.normal(5, 4) for _ in range(3)]

    def plain(x, sae):
        return ((x - decoded(encoded(x, sae)[1], sae)) ** 2).mean()

    want, losses = adam_by_hand(plain, batches, sae, 0.2)
    expect_trained(answer(plain, batches, sae, 0.2), want, losses)


@train.check("every tensor of sae is trained, also a fifth one")
def train_fifth(answer, draw):
    sae = random_sae(draw, 3, 4, unit=True) | {"scale": draw.uniform(4, low=0.5, high=2)}
    batches = [draw.normal(5, 3) for _ in range(2)]

    def scaled(x, sae):  # an answer that drops the fifth tensor is told so below, not by an error here
        acts = encoded(x, sae)[1] * sae.get("scale", torch.ones(4))
        return ((x - decoded(acts, sae)) ** 2).sum(-1).mean()

    expect_trained(answer(scaled, batches, sae, 0.1), *adam_by_hand(scaled, batches, sae, 0.1))


@train.check("watch is called after every step with the autoencoder in training; the result holds no gradients")
def train_watched(answer, draw):
    sae, batches = random_sae(draw, 3, 4, unit=True), [draw.normal(5, 3) for _ in range(3)]
    seen = []

    def watch(step, now):
        seen.append((int(step), now["W_dec"].detach().clone()))

    got = answer(l1_loss, batches, sae, 0.1, watch)
    want, losses = adam_by_hand(l1_loss, batches, sae, 0.1)
    expect_trained(got, want, losses)
    expect.equal([step for step, _ in seen], [0, 1, 2], "the steps that watch was called with")
    expect.close(seen[0][1], adam_by_hand(l1_loss, batches[:1], sae, 0.1)[0]["W_dec"], "W_dec at step 0", atol=2e-4)
    held = any(tensor.requires_grad for tensor in got[0].values())
    expect.true(not held, "The tensors that you return still ask for gradients. Detach them.")


@train.check("it finds features that were planted: 8 in 6 dimensions", hidden=True)
def train_recovers(answer, draw):
    # benchmarks/bands_l13.json, "planted in the check": over 20 seeds the mean matched cosine is 0.994 to 0.997; without training, 0.72 at most.
    cosine = recovered(answer, draw.seed() % 2**20)
    expect.between(cosine, 0.93, 1.0, "the mean matched cosine of 8 planted features, after 400 steps")


def recovered(answer, seed):
    """Return the mean matched cosine after a training of 400 steps on eight planted features in six dimensions."""
    data = planted_features(seed)
    rows = synthetic.random_dictionary(16, 6, seed + 50_000)
    start = {"W_enc": rows.T.clone(), "b_enc": torch.zeros(16), "W_dec": rows, "b_dec": torch.zeros(6)}
    sae = answer(l1_loss, data.batches(400, 64, seed=seed), start, 0.02)[0]  # batches that come one by one, only once
    return matched(sae["W_dec"], data.directions).mean()


def planted_features(seed):
    """Return eight features: the six axes, turned together, and two halfway between some of them and at 60 degrees."""
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))).Q
    halves = torch.tensor([[1.0, -1, 0, 0, 0, 0], [0, 0, 0, -1, -1, 0]]) / math.sqrt(2)
    return synthetic.SyntheticFeatures(torch.cat([torch.eye(6), halves]) @ turn, torch.full((8,), 0.06))


def matched(W_dec, directions):
    """Return the cosines of the best one-to-one matching, by scipy."""
    from scipy.optimize import linear_sum_assignment

    table = unit_of(directions) @ unit_of(W_dec).T
    return table[linear_sum_assignment(table.numpy(), maximize=True)]


def trained_wrongly(
    loss, batches, sae, lr, watch=None, *, project=across, before=None, after=unit_of, zero=True, first=False, sgd=False,
    four=False,
):  # fmt: skip
    """Train as asked, but for what is named."""
    sae = {name: tensor.detach().clone().requires_grad_() for name, tensor in sae.items()}
    trained = [tensor for name, tensor in sae.items() if name in NAMES or not four]
    optimizer = (torch.optim.SGD if sgd else torch.optim.Adam)(trained, lr=lr)
    losses, batches = [], list(batches)
    for step, x in enumerate(batches):
        W = sae["W_dec"]
        if before:
            W.data = before(W.data)
        value = loss(batches[0] if first else x, sae)
        if zero:
            optimizer.zero_grad()
        value.backward()
        if project:
            W.grad = project(W.detach(), W.grad)
        optimizer.step()
        if after:
            W.data = after(W.data)
        losses.append(value.item())
        if watch:
            watch(step, sae)
    return {name: tensor.detach() for name, tensor in sae.items()}, losses


MISTRAINED = {
    "decoder not normalised": (
        "The rows of your decoder are not of length 1 at the end: nothing sets them back after the step, so the price is evaded.",
        dict(after=None),
    ),
    "decoder normalised before the step": (
        "You set the rows to length 1 at the start of each step, so the last step leaves them longer. Do it after the step.",
        dict(before=unit_of, after=None),
    ),
    "columns of the decoder normalised": (
        "The columns of your decoder have length 1 at the end. A direction is a row.",
        dict(after=lambda W: unit_of(W, 0)),
    ),
    "parallel gradient not removed": (
        "Your rows have length 1, but their gradient still had its part along them, so Adam's steps come out shorter. "
        "Correct W_dec.grad before the step.",
        dict(project=None),
    ),
    "gradients pile up": (
        "The first step is right and later ones are not: gradients of earlier batches are still there. Call zero_grad first.",
        dict(zero=False),
    ),
    "the first batch again and again": (
        "Every step used the first batch. Take the next one each time.",
        dict(first=True),
    ),
    "plain gradient descent": (
        "Your steps are in proportion to the gradient: that is torch.optim.SGD. Adam was asked for.",
        dict(sgd=True),
    ),
    "four tensors by name": (
        "You gave Adam the four tensors by their names, so a fifth one is not trained. JumpReLU will bring one: take all that sae holds.",
        dict(four=True),
    ),
}
for _name, (_says, _how) in MISTRAINED.items():

    def _mistrained(loss, batches, sae, lr, watch=None, *, _how=_how):
        return trained_wrongly(loss, batches, sae, lr, watch, **_how)

    train.wrong(_name, _says)(_mistrained)


@train.wrong(
    "a new Adam for each batch",
    "The first step is right and later ones are not: you make a new Adam in the loop, so it forgets. Make it once, before.",
)
def train_forgets(loss, batches, sae, lr, watch=None):
    losses = []
    for x in batches:
        sae, value = trained_wrongly(loss, [x], sae, lr)
        losses += value
    return sae, losses


@train.variation("Adam over a list, data set in place, losses as tensors")
def train_list(loss, batches, sae, lr, watch=None):
    names = list(sae)
    leaves = [torch.nn.Parameter(sae[name].detach().clone()) for name in names]
    now, losses = dict(zip(names, leaves, strict=True)), []
    optimizer = torch.optim.Adam(leaves, lr=lr)
    for step, x in enumerate(batches):
        value = loss(x, now)
        for leaf in leaves:
            leaf.grad = None
        value.backward()
        now["W_dec"].grad.copy_(across(now["W_dec"].detach(), now["W_dec"].grad))
        optimizer.step()
        now["W_dec"].data = unit_of(now["W_dec"].data)
        losses.append(value.detach())
        if watch:
            watch(step, now)
    return {name: leaf.detach().clone() for name, leaf in now.items()}, losses


# --- mean_l0 --------------------------------------------------------------------------------------------------------

l0 = Exercise("mean_l0")


def sparse(draw, *shape, share=0.3):
    """Return activations: 0, or above, on their own."""
    return draw.uniform(*shape, low=0.1, high=3) * (draw.uniform(*shape) < share)


@l0.check("three inputs by hand: 2, 0 and 1 active latents")
def l0_by_hand(answer, draw):
    acts = torch.tensor([[0.5, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 7.0, 0.0]])
    expect.between(answer(acts), 1 - 1e-5, 1 + 1e-5, "L0", because="(2 + 0 + 1) / 3 = 1")


@l0.check("counted one by one; activations that are small count like large ones")
def l0_counted(answer, draw):
    acts = sparse(draw, 7, 11) * torch.tensor([1.0, 1e-3, 1.0, 1e-2, 1.0, 1.0, 1e-9])[:, None]
    want = sum(1 for row in acts.tolist() for value in row if value > 0) / 7
    expect.between(answer(acts), want - 1e-4, want + 1e-4, "L0")


@l0.check("any sizes; the same inputs twice", hidden=True)
def l0_sizes(answer, draw):
    for shape in [(1, 5), (5, 1), (6, 6), (40, 300)]:
        acts = sparse(draw, *shape)
        want = sum(1 for row in acts.tolist() for value in row if value > 0) / shape[0]
        for given in (acts, torch.cat([acts, acts]), acts.double()):
            expect.between(answer(given), want - 1e-3, want + 1e-3, "L0")


@l0.wrong(
    "summed over the batch", "Your L0 grows with the number of inputs: it is their sum. Take the mean over inputs."
)
def l0_sum(acts):
    return float((acts > 0).sum())


@l0.wrong(
    "a share instead of a count",
    "You returned the share of entries that are active. L0 is a count: sum over the latents, mean over the inputs.",
)
def l0_share(acts):
    return float((acts > 0).float().mean())


@l0.wrong("L1 instead of L0", "You added the activations up. L0 asks only whether each is above 0.")
def l0_l1(acts):
    return float(acts.sum(-1).mean())


@l0.wrong(
    "counted over the wrong axis",
    "You counted the inputs in which a latent is active, on average over latents. Count the latents of each input.",
)
def l0_axis(acts):
    return float((acts > 0).float().sum(0).mean())


@l0.wrong(
    "latents active anywhere",
    "You counted the latents that are active in some input. L0 counts those active in one input, and averages.",
)
def l0_anywhere(acts):
    return float((acts > 0).any(0).sum())


@l0.wrong("the first input only", "You counted the first input only. Take the mean over all.")
def l0_first(acts):
    return float((acts[0] > 0).sum())


@l0.wrong(
    "small activations left out",
    "You counted activations above 0.01 only. However small, it is active if it is above 0.",
)
def l0_threshold(acts):
    return float((acts > 0.01).float().sum(-1).mean())


@l0.variation("count_nonzero over the batch")
def l0_nonzero(acts):
    return torch.count_nonzero(acts).item() / len(acts)


@l0.variation("a tensor with one entry, in float64")
def l0_tensor(acts):
    return (acts != 0).double().sum(-1).mean()


# --- explained_variance ---------------------------------------------------------------------------------------------

variance = Exercise("explained_variance")


def cloud(draw, batch, d_in):
    """Return inputs with a large mean, and dimensions of different spread."""
    return draw.normal(batch, d_in) * draw.uniform(d_in, low=0.3, high=3) + draw.normal(d_in, std=4)


@variance.check("perfect is 1, always saying the mean is 0, and worse than the mean is below 0")
def variance_ends(answer, draw):
    x = cloud(draw, 9, 4)
    expect.between(answer(x, x), 1 - 1e-4, 1 + 1e-4, "the score of a perfect reconstruction")
    expect.between(answer(x, x.mean(0).expand(9, 4)), -1e-3, 1e-3, "the score of the mean input")
    far = 3 * x - 2 * x.mean(0)  # three times as far from the mean as x, so the error is twice the distance
    expect.between(answer(x, far), -3 - 1e-3, -3 + 1e-3, "the score of a bad reconstruction", because="1 − 2²")


@variance.check("by hand: four inputs, and half of the way from the mean")
def variance_by_hand(answer, draw):
    x = torch.tensor([[10.0, 0.0], [12.0, 0.0], [11.0, 2.0], [11.0, -2.0]])
    x_hat = torch.tensor([[10.0, 0.0], [12.0, 0.0], [11.0, 1.0], [11.0, -1.0]])
    expect.between(answer(x, x_hat), 0.8 - 1e-4, 0.8 + 1e-4, "the score", because="1 − 2/10")


@variance.check("errors and distances added up one by one")
def variance_terms(answer, draw):
    x = cloud(draw, 7, 5)
    x_hat = x + draw.normal(7, 5)
    expect.between(answer(x, x_hat), variance_want(x, x_hat) - 1e-4, variance_want(x, x_hat) + 1e-4, "the score")


@variance.check("any sizes; a common shift changes nothing", hidden=True)
def variance_sizes(answer, draw):
    for shape in [(2, 1), (5, 5), (3, 8), (200, 6)]:
        x = cloud(draw, *shape)
        x_hat = x + draw.normal(*shape, std=0.5)
        want = variance_want(x, x_hat)
        expect.between(answer(x, x_hat), want - 1e-3 * (1 + abs(want)), want + 1e-3 * (1 + abs(want)), "the score")
        moved = answer(x.double() + 100, x_hat.double() + 100)
        expect.between(moved, want - 1e-3 * (1 + abs(want)), want + 1e-3 * (1 + abs(want)), "the score after a shift")


def variance_want(x, x_hat):
    mean = [sum(column) / len(x) for column in x.double().T.tolist()]
    error = sum(
        (a - b) ** 2 for r, s in zip(x.tolist(), x_hat.tolist(), strict=True) for a, b in zip(r, s, strict=True)
    )
    return 1 - error / sum((a - m) ** 2 for r in x.double().tolist() for a, m in zip(r, mean, strict=True))


@variance.wrong(
    "without centring",
    "Always saying the mean scores above 0 with you: the denominator is the sum of x², mean included. Take the mean input off.",
)
def variance_raw(x, x_hat):
    return float(1 - ((x - x_hat) ** 2).sum() / (x**2).sum())


@variance.wrong(
    "one mean for all dimensions",
    "You took off one number, the mean of everything. Each dimension has a mean of its own: x.mean(dim=0).",
)
def variance_scalar(x, x_hat):
    return float(1 - ((x - x_hat) ** 2).sum() / ((x - x.mean()) ** 2).sum())


@variance.wrong(
    "mean over the wrong axis",
    "You took off the mean of each input, over its dimensions. The mean input is the mean over the batch, dim=0.",
)
def variance_axis(x, x_hat):
    return float(1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(-1, keepdim=True)) ** 2).sum().clamp(min=1e-9))


@variance.wrong(
    "scores averaged over dimensions",
    "You averaged one score for each dimension. Here errors and variances are summed over everything, then divided once.",
)
def variance_by_dimension(x, x_hat):
    return float((1 - ((x - x_hat) ** 2).sum(0) / ((x - x.mean(0)) ** 2).sum(0).clamp(min=1e-6)).mean())


@variance.wrong(
    "scores averaged over inputs",
    "You averaged one score for each input. Here errors and variances are summed over everything, then divided once.",
)
def variance_by_input(x, x_hat):
    return float((1 - ((x - x_hat) ** 2).sum(-1) / ((x - x.mean(0)) ** 2).sum(-1).clamp(min=1e-6)).mean())


@variance.wrong(
    "the share that is lost",
    "You returned the share of the variance that is lost. One minus that is explained.",
)
def variance_lost(x, x_hat):
    return float(((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


@variance.wrong(
    "cut off at 0", "You never go below 0. A reconstruction that is worse than the mean scores below 0: say so."
)
def variance_cut(x, x_hat):
    return max(0.0, float(1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()))


@variance.wrong(
    "n in one place, n − 1 in the other",
    "Your score is a little too high: .var() divides by n − 1, and the mean of squared errors by n. Take sums, or correction=0.",
)
def variance_unbiased(x, x_hat):
    return float(1 - ((x - x_hat) ** 2).mean() / x.var(dim=0).mean())


@variance.wrong(
    "variance of the reconstruction",
    "You divided the variance of x̂ by that of x, so a wrong reconstruction can score 1. Errors must count.",
)
def variance_of_output(x, x_hat):
    return float(x_hat.var(0).sum() / x.var(0).sum())


@variance.variation("means and population variance")
def variance_means(x, x_hat):
    return 1 - ((x - x_hat) ** 2).mean().item() / x.var(dim=0, correction=0).mean().item()


@variance.variation("a tensor with one entry")
def variance_tensor(x, x_hat):
    return 1 - (x - x_hat).pow(2).sum() / (x - x.mean(0, keepdim=True)).pow(2).sum()


# --- match_features -------------------------------------------------------------------------------------------------

match = Exercise("match_features")


def turned(*degrees):
    """Return unit vectors in the plane at these angles."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def expect_matched(got, latents, cosines):
    latent, cosine = two(got, "the latents and the cosines")
    expect.shape(torch.as_tensor(latent), (len(latents),), "the latents", axes="feature")
    expect.equal(torch.as_tensor(latent), latents, "the latents")
    expect.close(cosine, cosines, "the cosines", atol=1e-4)


def by_permutation(W_dec, directions):
    """Return the best assignment by trying every one."""
    table = (unit_of(directions) @ unit_of(W_dec).T).double()
    features = range(len(directions))
    best = max(
        itertools.permutations(range(len(W_dec)), len(directions)),
        key=lambda chosen: sum(float(table[i, j]) for i, j in zip(features, chosen, strict=True)),
    )
    return torch.tensor(best), table[list(features), list(best)].float()


@match.check("features planted among other rows, in another order and with other lengths")
def match_planted(answer, draw):
    true = draw.normal(4, 6)
    order = draw.permutation(7)[:4]
    rows = draw.normal(7, 6, std=2)
    rows[order] = true * draw.uniform(4, 1, low=0.2, high=5)
    expect_matched(answer(rows, true), order, torch.ones(4))


@match.check("two features that would both take the same latent")
def match_contested(answer, draw):
    true, rows = turned(0.0, 10.0), turned(4.9, -30.0)
    expect_matched(answer(rows, true), torch.tensor([1, 0]), torch.tensor([0.86603, 0.99604]))
    # One perfect match and one of 0.71, or twice 0.86: the sum of cosines wants the second, that of angles or distances the first.
    side = math.sqrt(1 - 0.86**2)
    true = torch.tensor([[1.0, 0.0, 0.0], [0.86, side, 0.0]])
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.86, -0.11367 * side, 0.99352 * side]])
    expect_matched(answer(rows, true), torch.tensor([1, 0]), torch.tensor([0.86, 0.86]))


@match.check("a latent that points the opposite way is no match")
def match_sign(answer, draw):
    true, rows = turned(0.0, 90.0), turned(181.0, 60.0, 20.0)
    expect_matched(answer(rows, true), torch.tensor([2, 1]), torch.tensor([0.93969, 0.86603]))


@match.check("the best of all assignments, tried one by one")
def match_best(answer, draw):
    rows, true = draw.normal(6, 3) * draw.uniform(6, 1, low=0.2, high=4), draw.normal(4, 3)
    expect_matched(answer(rows, true), *by_permutation(rows, true))


@match.check("as many latents as features, one feature, many", hidden=True)
def match_sizes(answer, draw):
    for features, latents, d_in in [(1, 1, 3), (4, 4, 4), (1, 5, 2), (5, 6, 3)]:
        rows, true = (
            draw.normal(latents, d_in),
            draw.normal(features, d_in) * draw.uniform(features, 1, low=0.1, high=9),
        )
        expect_matched(answer(rows, true), *by_permutation(rows, true))
    rows, true = draw.normal(60, 8), draw.normal(40, 8)
    latent, cosine = answer(rows, true)
    expect.equal(len(set(torch.as_tensor(latent).tolist())), 40, "the number of different latents")
    best = matched(rows, true).sum()
    expect.between(cosine.sum(), best - 1e-3, best + 1e-3, "the sum of the cosines of 40 features")


def assigned(table, rows=None):
    from scipy.optimize import linear_sum_assignment

    features, latents = linear_sum_assignment(table.numpy(), maximize=True)
    shown = table if rows is None else rows
    return torch.as_tensor(latents), shown[features, latents]


def cosine_table(W_dec, directions):
    return unit_of(directions) @ unit_of(W_dec).T


@match.wrong(
    "matching with repeats",
    "Two features have the same latent: you took the best latent of each feature on its own. Each latent may be used once.",
)
def match_argmax(W_dec, directions):
    best = cosine_table(W_dec, directions).max(1)
    return best.indices, best.values


@match.wrong(
    "greedy: the first feature chooses first",
    "You gave each feature in turn the best latent left. An early choice can cost a later one more: the sum is not the largest.",
)
def match_in_turn(W_dec, directions):
    table, chosen = cosine_table(W_dec, directions), []
    for row in table:
        chosen.append(next(j for j in row.argsort(descending=True).tolist() if j not in chosen))
    return torch.tensor(chosen), table[range(len(table)), chosen]


@match.wrong(
    "absolute cosine",
    "You matched a feature with a latent that points the opposite way. Activations are never negative, so the sign counts.",
)
def match_absolute(W_dec, directions):
    return assigned(cosine_table(W_dec, directions).abs())


@match.wrong(
    "rows not normalised",
    "Long rows win, and some of your cosines are above 1: divide by the lengths first, those of W_dec and of directions.",
)
def match_dots(W_dec, directions):
    return assigned(directions @ W_dec.T)


@match.wrong(
    "the decoder's rows not normalised",
    "You divided the true directions by their lengths, but not the rows of W_dec, so long latents win.",
)
def match_half(W_dec, directions):
    return assigned(unit_of(directions) @ W_dec.T)


@match.wrong(
    "the worst assignment",
    "Your cosines are as small as they can be: linear_sum_assignment minimises, unless you say maximize=True.",
)
def match_worst(W_dec, directions):
    table = cosine_table(W_dec, directions)
    return assigned(-table, table)


@match.wrong(
    "matched by distance",
    "You matched by the distance of the vectors as they come, so lengths decide. Only directions count.",
)
def match_distance(W_dec, directions):
    return assigned(-torch.cdist(directions, W_dec), cosine_table(W_dec, directions))


@match.wrong(
    "matched by the angles",
    "You made the sum of the angles as small as it can be. It is the sum of the cosines that should be largest; that is not the same.",
)
def match_angles(W_dec, directions):
    table = cosine_table(W_dec, directions)
    return assigned(-table.clamp(-1, 1).arccos(), table)


@match.wrong(
    "greedy: the best pair first",
    "You took the largest cosine of the table, struck out its row and column, and went on. That early choice can cost the others more than it gains.",
)
def match_best_pair(W_dec, directions):
    table = cosine_table(W_dec, directions)
    left, latent = table.clone(), torch.zeros(len(table), dtype=torch.long)
    for _ in range(len(table)):
        i, j = divmod(int(left.argmax()), left.shape[1])
        latent[i] = j
        left[i], left[:, j] = -9, -9
    return latent, table[torch.arange(len(table)), latent]


@match.wrong(
    "each latent's best feature",
    "You asked each latent for its best feature and kept the best latent of those. A feature that nobody chose stays empty then.",
)
def match_from_latents(W_dec, directions):
    table = cosine_table(W_dec, directions)
    owner = table.argmax(0)
    masked = torch.where(owner[None] == torch.arange(len(table))[:, None], table, table - 10)
    best = masked.argmax(1)
    return best, table[torch.arange(len(table)), best]


@match.variation("the costs are negative cosines")
def match_costs(W_dec, directions):
    from scipy.optimize import linear_sum_assignment

    table = torch.nn.functional.normalize(directions, dim=1) @ torch.nn.functional.normalize(W_dec, dim=1).T
    latents = torch.from_numpy(linear_sum_assignment(-table.numpy())[1])
    return latents, table.gather(1, latents[:, None])[:, 0]


@match.variation("latents against features, put in order afterwards; float64")
def match_transposed(W_dec, directions):
    from scipy.optimize import linear_sum_assignment

    table = (unit_of(W_dec) @ unit_of(directions).T).double()
    latents, features = linear_sum_assignment(table.numpy(), maximize=True)
    order = torch.as_tensor(features).argsort()
    latents = torch.as_tensor(latents)[order]
    return latents, table[latents, torch.arange(len(directions))]


# --- relative_bias --------------------------------------------------------------------------------------------------

bias = Exercise("relative_bias")


def best_divisor(x, x_hat):
    """Return the divisor with the smallest error, by a search over 1/g in float64."""
    low, high = -20.0, 20.0
    x, x_hat = x.double(), x_hat.double()
    for _ in range(200):  # the error is a parabola in 1/g
        a, b = low + (high - low) / 3, high - (high - low) / 3
        if float(((a * x_hat - x) ** 2).sum()) < float(((b * x_hat - x) ** 2).sum()):
            high = b
        else:
            low = a
    return 2 / (low + high)


@bias.check("reconstructions of seven tenths of the size: 0.7; too large ones lie above 1")
def bias_scaled(answer, draw):
    x = draw.normal(6, 4)
    expect.between(answer(x, 0.7 * x), 0.7 - 1e-4, 0.7 + 1e-4, "the bias")
    expect.between(answer(x, 1.4 * x), 1.4 - 1e-4, 1.4 + 1e-4, "the bias of reconstructions that are too large")


@bias.check("with errors across the inputs, too: the divisor that a search finds")
def bias_searched(answer, draw):
    x = draw.normal(8, 5) * draw.uniform(8, 1, low=0.2, high=3)
    x_hat = 0.6 * x + draw.normal(8, 5, std=0.5) + 0.3
    want = best_divisor(x, x_hat)
    expect.between(
        answer(x, x_hat), want - 1e-3, want + 1e-3, "the bias", because="this divisor gives the smallest error"
    )


@bias.check("one input and one dimension, many, and reconstructions that are too large", hidden=True)
def bias_sizes(answer, draw):
    for shape, factor in [((1, 1), 0.5), ((2, 7), 1.4), ((50, 3), 0.9), ((4, 4), 0.8)]:
        x = draw.uniform(*shape, low=0.5, high=2)
        x_hat = factor * x + (draw.normal(*shape, std=0.2) if shape[0] > 1 else 0)
        want = best_divisor(x, x_hat)
        expect.between(answer(x, x_hat), want - 2e-3, want + 2e-3, "the bias")
        expect.between(answer(x.double(), x_hat.double()), want - 2e-3, want + 2e-3, "the bias in float64")


@bias.wrong(
    "upside down",
    "Reconstructions that are too small come out above 1 with you: that is the factor to multiply by. Asked is what to divide by.",
)
def bias_inverse(x, x_hat):
    return float((x_hat * x).sum() / (x_hat**2).sum())


@bias.wrong(
    "the slope of x̂ on x",
    "You divided by the sum of x². That is the slope of x̂ on x, which best predicts x̂ from x. Here x̂ is scaled to meet x.",
)
def bias_slope(x, x_hat):
    return float((x_hat * x).sum() / (x**2).sum())


@bias.wrong(
    "the ratio of the sizes",
    "You compared the sizes of x̂ and x. An error that points elsewhere adds size, and hides the shrinkage: their dot product has to come in.",
)
def bias_norms(x, x_hat):
    return float(((x_hat**2).sum() / (x**2).sum()).sqrt())


@bias.wrong(
    "the ratio of the mean lengths",
    "You divided mean lengths. An error that points elsewhere adds length, and hides the shrinkage: the dot product of x̂ and x has to come in.",
)
def bias_lengths(x, x_hat):
    return float(x_hat.norm(dim=-1).mean() / x.norm(dim=-1).mean())


@bias.wrong(
    "a mean of ratios",
    "You took a ratio for each input and averaged. One divisor for all is asked: two sums over everything, divided once.",
)
def bias_mean_ratio(x, x_hat):
    return float(((x_hat**2).sum(-1) / (x_hat * x).sum(-1)).mean())


@bias.wrong(
    "entry by entry",
    "You divided x̂ by x entry by entry and averaged. Entries near 0 then decide alone. Two sums, divided once.",
)
def bias_entries(x, x_hat):
    return float((x_hat / x).mean())


@bias.wrong(
    "the ratio of squares",
    "You left the root out: you compare squared sizes. And even with it, an error that points elsewhere would hide the shrinkage.",
)
def bias_squares(x, x_hat):
    return float((x_hat**2).sum() / (x**2).sum())


@bias.variation("one divided by the best factor, by least squares")
def bias_lstsq(x, x_hat):
    return 1 / torch.linalg.lstsq(x_hat.reshape(-1, 1), x.reshape(-1, 1)).solution.item()


@bias.variation("means, and einsum")
def bias_einsum(x, x_hat):
    return (x_hat**2).mean() / torch.einsum("bd,bd->", x_hat, x) * x.numel()


# --- topk -----------------------------------------------------------------------------------------------------------

top = Exercise("topk")


def kept_by_sorting(z, k):
    rows = []
    for row in z.tolist():
        kept = sorted(range(len(row)), key=lambda j: -row[j])[:k]
        rows.append([max(0.0, row[j]) if j in kept else 0.0 for j in range(len(row))])
    return torch.tensor(rows)


@top.check("the example: [0.3, −2.0, 1.1, 0.2], and a row with one positive number")
def top_by_hand(answer, draw):
    z = torch.tensor([[0.3, -2.0, 1.1, 0.2], [-1.0, 0.7, -0.5, -3.0], [4.0, 3.0, 2.0, 1.0]])
    want = torch.tensor([[0.3, 0.0, 1.1, 0.0], [0.0, 0.7, 0.0, 0.0], [4.0, 3.0, 0.0, 0.0]])
    expect.close(answer(z, 2), want, "the activations")


@top.check("every input keeps its own k largest, at their places")
def top_sorted(answer, draw):
    z = draw.normal(5, 9) + draw.normal(5, 1)  # some inputs are large in all latents
    out = answer(z, 3)
    expect.shape(out, (5, 9), axes="batch d_sae")
    expect.close(out, kept_by_sorting(z, 3), "the activations")


@top.check("gradients reach what is kept")
def top_gradients(answer, draw):
    z, k = draw.normal(4, 7).requires_grad_(), 2
    kept = (kept_by_sorting(z.detach(), k) > 0).float()
    with torch.enable_grad():
        expect_gradients(answer(z, k), z * kept, {"z": z}, "the activations")


@top.check("k = 1, k = all, as many inputs as latents, one input", hidden=True)
def top_sizes(answer, draw):
    for shape, k in [((4, 6), 1), ((3, 5), 5), ((6, 6), 2), ((1, 8), 4), ((7, 3), 3)]:
        z = draw.normal(*shape)
        expect.close(answer(z, k), kept_by_sorting(z, k), f"the activations at k = {k}")


def top_along(z, k, dim, score=lambda z: z, cut=True):
    indices = score(z).topk(min(k, z.shape[dim]), dim=dim).indices
    out = torch.zeros_like(z).scatter(dim, indices, z.gather(dim, indices))
    return out.relu() if cut else out


@top.wrong(
    "the largest by absolute value",
    "Strongly negative entries took places from positive ones, and the ReLU then emptied them: you ranked by absolute value. "
    "Rank by value.",
)
def top_absolute(z, k):
    return top_along(z, k, 1, torch.abs)


@top.wrong(
    "the largest by absolute value, negative ones kept",
    "You keep negative activations: you ranked by absolute value and left out the ReLU. Rank by value; what is negative becomes 0.",
)
def top_absolute_kept(z, k):
    return top_along(z, k, 1, torch.abs, cut=False)


@top.wrong(
    "over the batch instead of the latents",
    "You kept the k largest of each latent over the inputs. Each *input* keeps its k largest: dim=-1.",
)
def top_batch(z, k):
    return top_along(z, k, 0)


@top.wrong(
    "k times the batch, from all inputs together",
    "You kept the largest entries of the whole batch, so strong inputs take places from weak ones. (That is BatchTopK, another "
    "architecture.) Each input keeps its own k.",
)
def top_together(z, k):
    return top_along(z.reshape(1, -1), k * len(z), 1).reshape(z.shape)


@top.wrong(
    "negative ones kept",
    "Some activations are negative: among the k largest there were fewer than k positive. Cut them.",
)
def top_no_relu(z, k):
    return top_along(z, k, 1, cut=False)


@top.wrong("ones instead of values", "You return which latents are kept, as ones. Return their values.")
def top_mask(z, k):
    return (top_along(z, k, 1) > 0).to(z.dtype)


@top.wrong("the k largest set to 0", "You removed the k largest and kept the rest. It is the other way round.")
def top_removed(z, k):
    return z.relu() - top_along(z, k, 1)


@top.wrong("the rest lifted", "You subtracted the largest value that was not kept. Kept values stay as they are.")
def top_shifted(z, k):
    if k >= z.shape[1]:
        return z.relu()
    return (top_along(z, k, 1) - z.topk(k + 1, dim=1).values[:, -1:].relu()).relu()


@top.variation("ReLU first, then everything from the k-th value on")
def top_threshold(z, k):
    acts = z.relu()
    return acts * (acts >= acts.topk(k, dim=1).values[:, -1:])


@top.variation("input by input, with argsort")
def top_loop(z, k):
    rows = []
    for row in z:
        mask = torch.zeros_like(row)
        mask[row.argsort(descending=True)[:k]] = 1
        rows.append(torch.relu(row * mask))
    return torch.stack(rows)


# --- jumprelu -------------------------------------------------------------------------------------------------------

jump = Exercise("jumprelu")


def three(got):
    expect.true(
        isinstance(got, (tuple, list)) and len(got) == 3,
        "Return three tensors: the activations, their slopes in the threshold, and the slopes of the gates.",
    )
    return got


@jump.check("by hand: thresholds 1 and 0.5, bandwidth 0.4")
def jump_by_hand(answer, draw):
    z = torch.tensor([[1.1, 0.25], [0.9, 0.6], [2.0, -1.0]])
    acts, slope, gate = three(answer(z, torch.tensor([1.0, 0.5]), 0.4))
    expect.close(acts, torch.tensor([[1.1, 0.0], [0.0, 0.6], [2.0, 0.0]]), "the activations")
    want = torch.tensor([[-2.5, 0.0], [-2.5, -1.25], [0.0, 0.0]])
    expect.close(slope, want, "the slope of the activations", because="−θ/0.4 within 0.2 of θ")
    expect.close(gate, torch.tensor([[-2.5, 0.0], [-2.5, -2.5], [0.0, 0.0]]), "the slope of the gates")
    at = three(answer(torch.tensor([[1.0, 0.5]]), torch.tensor([1.0, 0.25]), 0.5))[0]
    expect.close(at, torch.tensor([[0.0, 0.5]]), "the activations", because="z = θ is not above θ")


@jump.check("entry by entry")
def jump_entries(answer, draw):
    z, threshold = draw.normal(6, 5), draw.uniform(5, low=0.3, high=1.2)
    acts, slope, gate = three(answer(z, threshold, 0.7))
    expect.shape(acts, (6, 5), "the activations", axes="batch d_sae")
    for got, want, what in zip((acts, slope, gate), jump_want(z, threshold, 0.7), jump_names, strict=True):
        expect.close(got, want, what)


jump_names = ("the activations", "the slope of the activations", "the slope of the gates")


def jump_want(z, threshold, bandwidth):
    out = [torch.zeros_like(z) for _ in range(3)]
    for i in range(len(z)):
        for j in range(z.shape[1]):
            v, t = float(z[i, j]), float(threshold[j])
            out[0][i, j] = v if v > t else 0.0
            if abs(v - t) < bandwidth / 2:
                out[1][i, j], out[2][i, j] = -t / bandwidth, -1 / bandwidth
    return out


@jump.check("on average, the slopes of the mean activation and of the mean gate", hidden=True)
def jump_average(answer, draw):
    bandwidth = float(draw.uniform(1, low=0.1, high=0.3))
    threshold = draw.uniform(4, low=0.4, high=1.5)
    z = torch.linspace(0, 2, 20_001)[:, None].expand(-1, 4).contiguous()  # density 1/2: the slopes are −θ/2 and −1/2
    _, slope, gate = three(answer(z, threshold, bandwidth))
    expect.close(slope.mean(0), -threshold / 2, "the mean slope of the activations", atol=2e-3)
    expect.close(gate.mean(0), torch.full((4,), -0.5), "the mean slope of the gates", atol=2e-3)


@jump.check("any sizes and bandwidths, also as many inputs as latents; float64", hidden=True)
def jump_sizes(answer, draw):
    for shape, bandwidth in [((1, 1), 0.5), ((4, 4), 0.05), ((3, 7), 2.0)]:
        z, threshold = draw.normal(*shape), draw.uniform(shape[1], low=0.1, high=1)
        for got, want, what in zip(
            answer(z, threshold, bandwidth), jump_want(z, threshold, bandwidth), jump_names, strict=True
        ):
            expect.close(got, want, what)
    wide = answer(draw.normal(3, 2).double(), draw.uniform(2).double(), 0.3)
    expect.dtype(wide[0], torch.float64, "the activations")


def jump_parts(z, threshold, bandwidth, width=0.5):
    near = ((z - threshold).abs() < width * bandwidth).to(z.dtype)
    return z * (z > threshold), -threshold / bandwidth * near, -near / bandwidth


@jump.wrong(
    "threshold subtracted",
    "Your activations are too small by the threshold. That is a shifted ReLU, and it shrinks. JumpReLU answers with the full z.",
)
def jump_shifted(z, threshold, bandwidth):
    return torch.relu(z - threshold), *jump_parts(z, threshold, bandwidth)[1:]


@jump.wrong(
    "active at the threshold itself",
    "You let a latent speak where z equals its threshold. It speaks above it only: >, not >=.",
)
def jump_at(z, threshold, bandwidth):
    return z * (z >= threshold), *jump_parts(z, threshold, bandwidth)[1:]


@jump.wrong(
    "a window twice as wide",
    "Your window reaches a whole bandwidth to each side, so it counts twice as many. It is half a bandwidth to each side.",
)
def jump_wide(z, threshold, bandwidth):
    return jump_parts(z, threshold, bandwidth, width=1.0)


@jump.wrong(
    "slopes with the wrong sign",
    "Your slopes are positive. A higher threshold switches latents off, so activations and gates fall: the sign is minus.",
)
def jump_sign(z, threshold, bandwidth):
    acts, slope, gate = jump_parts(z, threshold, bandwidth)
    return acts, -slope, -gate


@jump.wrong(
    "the threshold left out of the slope",
    "Both of your slopes are the same. A latent that is switched off takes its activation with it, which is θ: −θ/ε.",
)
def jump_no_theta(z, threshold, bandwidth):
    acts, _, gate = jump_parts(z, threshold, bandwidth)
    return acts, gate, gate


@jump.wrong(
    "not divided by the bandwidth",
    "Your slopes lack 1/ε. A window of width ε counts about ε times the density, so each one in it has the weight 1/ε.",
)
def jump_no_width(z, threshold, bandwidth):
    acts, slope, gate = jump_parts(z, threshold, bandwidth)
    return acts, slope * bandwidth, gate * bandwidth


@jump.wrong(
    "only what is above the threshold",
    "You count only z above the threshold. Those below would wake up if it fell: the window reaches to both sides.",
)
def jump_above(z, threshold, bandwidth):
    acts, slope, gate = jump_parts(z, threshold, bandwidth)
    above = (z > threshold).to(z.dtype)
    return acts, slope * above, gate * above


@jump.wrong(
    "the slope in z",
    "You returned the slope in z, 1 where the latent is active. Asked is the slope in the threshold.",
)
def jump_in_z(z, threshold, bandwidth):
    acts, _, gate = jump_parts(z, threshold, bandwidth)
    return acts, (z > threshold).to(z.dtype), gate


@jump.wrong(
    "z instead of the threshold in the slope",
    "Your slope has z where θ belongs: −z/ε. What is lost at the moment of switching off is θ.",
)
def jump_z_slope(z, threshold, bandwidth):
    acts, _, gate = jump_parts(z, threshold, bandwidth)
    return acts, gate * z, gate


@jump.wrong(
    "absolute value against the threshold",
    "Strongly negative z are active with you. A latent is active where z itself is above the threshold.",
)
def jump_absolute(z, threshold, bandwidth):
    return z * (z.abs() > threshold), *jump_parts(z, threshold, bandwidth)[1:]


@jump.variation("torch.where")
def jump_where(z, threshold, bandwidth):
    zero = torch.zeros_like(z)
    inside = (z > threshold - bandwidth / 2) & (z < threshold + bandwidth / 2)
    gate = torch.where(inside, torch.full_like(z, -1 / bandwidth), zero)
    return torch.where(z > threshold, z, zero), gate * threshold, gate


# --- dead_latents ---------------------------------------------------------------------------------------------------

dead = Exercise("dead_latents")


@dead.check("by hand: one latent speaks in the first batch only, one in the last only and very softly, one never")
def dead_by_hand(answer, draw):
    first = torch.tensor([[1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.5]])
    last = torch.tensor([[0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.5], [0.0, 1e-7, 0.0, 0.5]])
    out = answer([first, torch.zeros(1, 4), last])
    expect.equal(out, torch.tensor([False, False, True, False]), "which latents are dead")


def silent_batches(draw, lengths, d_sae):
    """Return batches in which some latents are rare, some are loud and some are silent; and which are silent throughout."""
    rate = draw.uniform(d_sae) ** 3
    rate[draw.permutation(d_sae)[: max(1, d_sae // 4)]] = 0
    batches = [draw.uniform(n, d_sae, low=1e-4, high=1) * (draw.uniform(n, d_sae) < rate) for n in lengths]
    return batches, torch.tensor([all(float(b[:, j].max()) == 0 for b in batches) for j in range(d_sae)])


@dead.check("batches of different lengths, with rare latents")
def dead_counted(answer, draw):
    batches, want = silent_batches(draw, (5, 3, 8, 5), 14)
    out = answer(batches)
    expect.shape(out, (14,), axes="d_sae")
    expect.equal(out, want, "which latents are dead")


@dead.check("one batch, one input, as many inputs as latents, all dead and none", hidden=True)
def dead_sizes(answer, draw):
    for lengths, d_sae in [((1,), 5), ((4, 4), 4), ((2, 1, 6, 3, 9), 20)]:
        batches, want = silent_batches(draw, lengths, d_sae)
        expect.equal(answer(batches), want, "which latents are dead")
    expect.equal(answer([torch.zeros(3, 4)] * 2), torch.ones(4, dtype=torch.bool), "which are dead, if all are silent")
    loud = [draw.uniform(3, 4, low=0.1, high=1)]
    expect.equal(answer(loud), torch.zeros(4, dtype=torch.bool), "which are dead, if all speak")


def spoken(batches):
    """Return which latents are active in each batch, (batch, d_sae)."""
    return torch.stack([(acts > 0).any(0) for acts in batches])


@dead.wrong(
    "counted on the last batch only",
    "You looked at the last batch only: a latent that spoke before is called dead. Look at all.",
)
def dead_last(batches):
    return ~spoken(batches)[-1]


@dead.wrong(
    "counted on the first batch only",
    "You looked at the first batch only: a latent that speaks later is called dead. Look at all.",
)
def dead_first(batches):
    return ~spoken(batches)[0]


@dead.wrong(
    "silent in some batch",
    "You call a latent dead that was silent in one batch. Dead means silent in every batch.",
)
def dead_some(batches):
    return ~spoken(batches).all(0)


@dead.wrong(
    "silent in some input",
    "You call a latent dead that was silent in one input. Dead means silent in every input of every batch.",
)
def dead_any_input(batches):
    return ~(torch.cat(list(batches)) > 0).all(0)


@dead.wrong("the living", "You returned the latents that are alive. Dead is the opposite.")
def dead_alive(batches):
    return spoken(batches).any(0)


@dead.wrong(
    "rare is not dead",
    "You call latents dead that were active in few inputs. One input is enough to be alive.",
)
def dead_rare(batches):
    acts = torch.cat(list(batches))
    return (acts > 0).float().mean(0) < 0.2


@dead.wrong(
    "weak is not dead",
    "You call a latent dead whose mean activation is small. However weakly and seldom it speaks, it is alive.",
)
def dead_weak(batches):
    return torch.cat(list(batches)).mean(0) < 0.1


@dead.variation("all batches in one")
def dead_cat(batches):
    return (torch.cat(list(batches)) <= 0).all(dim=0)


@dead.variation("counts that add up")
def dead_counts(batches):
    counts = sum((acts > 0).sum(0) for acts in batches)
    return counts == 0


# --- resample -------------------------------------------------------------------------------------------------------

again = Exercise("resample")


def patient(draw, d_in, d_sae, batch):
    """Return an autoencoder with Adam's memory, and inputs."""
    sae, moments = random_sae(draw, d_in, d_sae), random_sae(draw, d_in, d_sae)
    return sae, moments, draw.normal(batch, d_in)


def generator(draw):
    return torch.Generator().manual_seed(draw.seed())


def expect_revived(got, sae, moments, dead, x, chosen=None):
    """Expect every part of the recipe; chosen: the input that each dead latent must point at, where only one is possible."""
    new, memory = two(got, "the autoencoder, and Adam's memory")
    live = ~dead
    for name in NAMES:
        expect.shape(new[name], tuple(sae[name].shape), name)
    expect.close(new["W_dec"][live], sae["W_dec"][live], "W_dec of the living latents")
    expect.close(new["W_enc"][:, live], sae["W_enc"][:, live], "W_enc of the living latents")
    expect.close(new["b_enc"][live], sae["b_enc"][live], "b_enc of the living latents")
    expect.close(new["b_dec"], sae["b_dec"], "b_dec")
    rows = new["W_dec"][dead]
    expect.close(rows.norm(dim=1), torch.ones(len(rows)), "the lengths of the new rows of W_dec")
    targets = unit_of(x - sae["b_dec"])
    if chosen is not None:
        expect.close(
            rows, targets[chosen], "the new rows of W_dec", because="these inputs are the only ones with a loss"
        )
    nearest = (rows @ targets.T).max(1).values
    expect.close(nearest, torch.ones(len(rows)), "the cosine of each new row with the nearest input (b_dec taken off)")
    length = 0.2 * float(sum(sae["W_enc"][:, j].norm() for j in live.nonzero()[:, 0])) / int(live.sum())
    expect.close(
        new["W_enc"][:, dead],
        length * rows.T,
        "W_enc of the revived",
        because="0.2 times the mean length of the living",
    )
    expect.close(new["b_enc"][dead], torch.zeros(len(rows)), "b_enc of the revived")
    for name in NAMES:
        want = moments[name].clone()
        if name == "W_enc":
            want[:, dead] = 0
        elif name != "b_dec":
            want[dead] = 0
        expect.close(memory[name], want, f"Adam's memory of {name}")


@again.check("two dead latents, and one input that is written badly")
def again_single(answer, draw):
    sae, moments, x = patient(draw, 3, 6, 5)
    dead = torch.tensor([False, True, False, False, True, False])
    losses = torch.tensor([0.0, 0.0, 4.0, 0.0, 0.0])
    got = answer(sae, moments, dead, x, losses, generator(draw))
    expect_revived(got, sae, moments, dead, x, torch.tensor([2, 2]))


@again.check("twelve dead latents of fifteen: inputs drawn by their squared losses")
def again_drawn(answer, draw):
    sae, moments, x = patient(draw, 4, 15, 6)
    dead = torch.ones(15, dtype=torch.bool)
    dead[draw.permutation(15)[:3]] = False
    losses, seed = draw.uniform(6, low=0.5, high=4), draw.seed()
    got = answer(sae, moments, dead, x, losses, torch.Generator().manual_seed(seed))
    expect_revived(got, sae, moments, dead, x)
    same = answer(sae, moments, dead, x, losses, torch.Generator().manual_seed(seed))
    expect.close(
        two(same, "two dictionaries")[0]["W_dec"],
        got[0]["W_dec"],
        "W_dec, with a generator of the same seed again",
        because="pass generator=generator to torch.multinomial, so that anybody can draw the same again",
    )


@again.check("1000 dead latents: an input with twice the loss is chosen four times as often")
def again_squared(answer, draw):
    sae, moments, x = patient(draw, 3, 1002, 3)
    dead = torch.arange(1002) >= 2
    new = two(answer(sae, moments, dead, x, torch.tensor([1.0, 2.0, 0.0]), generator(draw)), "two dictionaries")[0]
    rows, targets = new["W_dec"][dead], unit_of(x - sae["b_dec"])
    picked = (rows @ targets.T).argmax(1).bincount(minlength=3) / 1000
    expect.between(picked[1], 0.745, 0.85, "the share of latents that point at the input with the larger loss")
    expect.between(picked[2], 0, 0, "the share of latents that point at the input without a loss")


@again.check("a single living latent, a single dead one; as many inputs as dimensions and latents", hidden=True)
def again_sizes(answer, draw):
    sae, moments, x = patient(draw, 4, 4, 4)
    losses = draw.uniform(4, low=0.1, high=2)
    for dead in (torch.tensor([True, True, False, True]), torch.tensor([True, False, False, False])):
        expect_revived(answer(sae, moments, dead, x, losses, generator(draw)), sae, moments, dead, x)


def revived(
    sae, moments, dead, x, losses, generator, *, power=2, unit=True, centre=True, scale=0.2, of="living", bias=True, forget="dead",
    worst=False, encoder=True, decoder=True,
):  # fmt: skip
    """Do as asked, but for what is named."""
    sae = {name: tensor.clone() for name, tensor in sae.items()}
    moments = {name: tensor.clone() for name, tensor in moments.items()}
    count = int(dead.sum())
    chosen = torch.multinomial(losses**power, count, replacement=True, generator=generator)
    if worst:
        chosen = (
            losses.argsort(descending=True).repeat(count)[:count]
            if worst == "in turn"
            else losses.argmax().expand(count)
        )
    rows = x[chosen] - (sae["b_dec"] if centre else 0)
    short = unit_of(rows)
    lengths = sae["W_enc"].norm(dim=0)
    length = {"living": lengths[~dead].mean(), "all": lengths.mean(), "nothing": 1.0}[of]
    if decoder:
        sae["W_dec"][dead] = short if unit else rows
    if encoder:
        sae["W_enc"][:, dead] = (scale * length * short).T
    if bias:
        sae["b_enc"][dead] = 0
    where = {"dead": dead, "all": torch.ones_like(dead), "nobody": torch.zeros_like(dead)}[forget]
    moments["W_dec"][where], moments["W_enc"][:, where], moments["b_enc"][where] = 0, 0, 0
    return sae, moments


UNREVIVED = {
    "encoder not scaled": (
        "The new columns of W_enc have length 1. They should have 0.2 times the mean length of the living ones, so that newcomers speak softly.",
        dict(scale=1.0, of="nothing"),
    ),
    "encoder as long as the living": (
        "The new columns of W_enc are as long as the living ones. A fifth of that is asked, so that newcomers speak softly.",
        dict(scale=1.0),
    ),
    "encoder of length 0.2": (
        "The new columns of W_enc have length 0.2. It is 0.2 times the mean length of the living ones.",
        dict(of="nothing"),
    ),
    "dead encoders in the mean": (
        "Your mean length includes the dead latents' own columns. Only the living count.",
        dict(of="all"),
    ),
    "encoder left as it was": (
        "The dead latents' columns of W_enc have not changed, so they stay as silent as before.",
        dict(encoder=False),
    ),
    "decoder left as it was": (
        "The dead latents' rows of W_dec have not changed: they still write what they wrote.",
        dict(decoder=False),
    ),
    "Adam state not reset": (
        "Adam still remembers the dead latents: its old means would push the new ones along at once. Set them to 0.",
        dict(forget="nobody"),
    ),
    "Adam forgets everybody": (
        "You reset Adam for the living, too. Only what belongs to dead latents becomes 0.",
        dict(forget="all"),
    ),
    "bias not reset": (
        "The dead latents keep their b_enc, which may be what silenced them. Set it to 0.",
        dict(bias=False),
    ),
    "drawn by the loss, not by its square": (
        "You draw in proportion to the loss. The recipe takes its square, so that bad inputs stand out more.",
        dict(power=1),
    ),
    "drawn evenly": (
        "Inputs that are written well are chosen as often as others. Draw in proportion to the squared loss.",
        dict(power=0),
    ),
    "always the worst input": (
        "All dead latents point at the one worst input, so they become copies of each other. Draw.",
        dict(worst="always"),
    ),
    "decoder rows not of length 1": (
        "The new rows of W_dec have the length of the inputs. Divide by it.",
        dict(unit=False),
    ),
    "b_dec not taken off": (
        "The new directions hold b_dec, which the reconstruction adds anyway. Take it off before you divide by the length.",
        dict(centre=False),
    ),
}
for _name, (_says, _how) in UNREVIVED.items():

    def _unrevived(sae, moments, dead, x, losses, generator, *, _how=_how):
        return revived(sae, moments, dead, x, losses, generator, **_how)

    again.wrong(_name, _says)(_unrevived)


@again.variation("latent by latent, with torch.where for the memory")
def again_loop(sae, moments, dead, x, losses, generator):
    new = {name: tensor.clone() for name, tensor in sae.items()}
    length = 0.2 * torch.stack([sae["W_enc"][:, j].norm() for j in range(len(dead)) if not dead[j]]).mean()
    for j in range(len(dead)):
        if dead[j]:
            i = torch.multinomial(losses.square() / losses.square().sum(), 1, generator=generator)
            row = (x[i[0]] - sae["b_dec"]) / (x[i[0]] - sae["b_dec"]).norm()
            new["W_dec"][j], new["W_enc"][:, j], new["b_enc"][j] = row, length * row, 0.0
    zero = torch.zeros(())
    memory = {
        "W_enc": torch.where(dead, zero, moments["W_enc"]),
        "b_enc": torch.where(dead, zero, moments["b_enc"]),
        "W_dec": torch.where(dead[:, None], zero, moments["W_dec"]),
        "b_dec": moments["b_dec"],
    }
    return new, memory


# --- loss_at_l0 -----------------------------------------------------------------------------------------------------

fair = Exercise("loss_at_l0")


@fair.check("halfway between two points, and at a point; points in any order")
def fair_by_hand(answer, draw):
    l0, loss = torch.tensor([4.0, 2.0, 8.0, 5.0]), torch.tensor([3.0, 7.0, 4.0, 2.2])  # 8 came out badly
    for at, want in [(3.0, 5.0), (4.5, 2.6), (6.0, 2.8), (2.0, 7.0), (5.0, 2.2), (8.0, 4.0)]:
        expect.between(answer(l0, loss, at), want - 1e-4, want + 1e-4, f"the loss at L0 = {at}")


@fair.check("outside of what was measured: nan")
def fair_outside(answer, draw):
    l0, loss = torch.tensor([6.0, 3.0]), torch.tensor([1.0, 2.0])
    for at in (2.9, 6.1, 100.0):
        got = answer(l0, loss, at)
        value = float(got) if isinstance(got, (int, float)) or hasattr(got, "item") else 0.0
        expect.true(
            math.isnan(value),
            f"At L0 = {at} you return {value:.2f}; the points reach from 3 to 6, so it should be nan.",
        )


@fair.check("a frontier on a straight line is that line", hidden=True)
def fair_line(answer, draw):
    l0 = draw.uniform(7, low=1, high=9)
    slope, height = draw.normal(2).tolist()
    for share in draw.uniform(6).tolist():
        at = float(l0.min()) + share * float(l0.max() - l0.min())
        want = height + slope * at
        expect.between(answer(l0, height + slope * l0, at), want - 1e-3, want + 1e-3, f"the loss at L0 = {at:.2f}")


@fair.check("between neighbours, whatever the others do", hidden=True)
def fair_neighbours(answer, draw):
    l0, loss = draw.permutation(9).float() + 1, draw.uniform(9, high=5)
    for at in (1.25, 4.5, 8.75):
        low = math.floor(at)
        a, b = float(loss[l0 == low]), float(loss[l0 == low + 1])
        want = a + (at - low) * (b - a)
        expect.between(answer(l0, loss, at), want - 1e-3, want + 1e-3, f"the loss at L0 = {at}")


def fair_inside(l0, at):
    return float(l0.min()) <= at <= float(l0.max())


def between_neighbours(xs, ys, at):
    """Follow the polygon through the points in the order given; the last one where no piece holds `at`."""
    for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if min(x0, x1) <= at <= max(x0, x1) and x0 != x1:
            return y0 + (at - x0) / (x1 - x0) * (y1 - y0)
    return ys[-1]


@fair.wrong(
    "the nearest point",
    "You return the loss of the nearest point, at another L0. Go along the straight line to the other neighbour.",
)
def fair_nearest(l0, loss, at):
    return float(loss[(l0 - at).abs().argmin()]) if fair_inside(l0, at) else float("nan")


@fair.wrong(
    "points not sorted",
    "You joined the points in the order in which they came. Sort them by L0, and the losses with them.",
)
def fair_unsorted(l0, loss, at):
    return between_neighbours(l0.tolist(), loss.tolist(), at) if fair_inside(l0, at) else float("nan")


@fair.wrong(
    "losses left unsorted",
    "You sorted L0 and not the losses, so they belong to other points now. Put both into the same order.",
)
def fair_half_sorted(l0, loss, at):
    return between_neighbours(l0.sort().values.tolist(), loss.tolist(), at) if fair_inside(l0, at) else float("nan")


@fair.wrong(
    "both sorted on their own",
    "You sorted L0 upwards and the losses downwards, each on its own. A training can be worse than one at a smaller L0: keep the pairs together.",
)
def fair_both_sorted(l0, loss, at):
    if not fair_inside(l0, at):
        return float("nan")
    return between_neighbours(l0.sort().values.tolist(), loss.sort(descending=True).values.tolist(), at)


def fair_sorted(l0, loss):
    order = l0.argsort()
    return l0[order].tolist(), loss[order].tolist()


@fair.wrong(
    "the ends go on",
    "Outside of the points you return the loss of the last one, as numpy's interp does. Nothing was measured there: nan.",
)
def fair_clamped(l0, loss, at):
    return between_neighbours(*fair_sorted(l0, loss), min(max(at, float(l0.min())), float(l0.max())))


@fair.wrong(
    "the line goes on",
    "Outside of the points you follow the last line further. Nothing was measured there: nan.",
)
def fair_extended(l0, loss, at):
    xs, ys = fair_sorted(l0, loss)
    i = min(max(sum(x < at for x in xs), 1), len(xs) - 1)
    return ys[i - 1] + (at - xs[i - 1]) / (xs[i] - xs[i - 1]) * (ys[i] - ys[i - 1])


@fair.wrong(
    "the share from the wrong end",
    "You measure the share of the way from the upper neighbour, but start at the lower one: points near one get the loss of the other.",
)
def fair_swapped(l0, loss, at):
    if not fair_inside(l0, at):
        return float("nan")
    xs, ys = fair_sorted(l0, loss)
    i = max(sum(x < at for x in xs), 1)
    return ys[i] + (at - xs[i - 1]) / (xs[i] - xs[i - 1]) * (ys[i - 1] - ys[i])


@fair.wrong(
    "the mean of both neighbours",
    "You return the mean of the two neighbours wherever you are between them. The nearer one counts more.",
)
def fair_mean(l0, loss, at):
    if not fair_inside(l0, at):
        return float("nan")
    xs, ys = fair_sorted(l0, loss)
    i = max(sum(x < at for x in xs), 1)
    return (ys[i - 1] + ys[i]) / 2


@fair.wrong(
    "one line through first and last",
    "You follow one line from the first point to the last. Between two neighbours there is a line of their own.",
)
def fair_chord(l0, loss, at):
    if not fair_inside(l0, at):
        return float("nan")
    xs, ys = fair_sorted(l0, loss)
    return ys[0] + (at - xs[0]) / (xs[-1] - xs[0]) * (ys[-1] - ys[0])


@fair.variation("numpy's interp, and nan outside")
def fair_numpy(l0, loss, at):
    import numpy as np

    order = np.argsort(l0.numpy())
    return float(np.interp(at, l0.numpy()[order], loss.numpy()[order], left=np.nan, right=np.nan))


@fair.variation("a loop over pieces, a tensor as the result")
def fair_loop(l0, loss, at):
    points = sorted(zip(l0.tolist(), loss.tolist(), strict=True))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= at <= x1:
            share = (at - x0) / (x1 - x0)
            return torch.tensor((1 - share) * y0 + share * y1)
    return torch.tensor(float("nan"))
