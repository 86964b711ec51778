"""Linear probes: cuts through activations that tell a yes from a no, how well they tell it, and whether the model uses what they read.

A probe is a direction and an offset in raw coordinates; above 0 it says yes. Everything here is plain arithmetic on tensors of the
shape (token, feature): no model, no files (those are in `probe_data.py`). Must not import TransformerLens.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError

PENALTY = 1e-3  # on half the squared weights of standardised coordinates


class Probe(NamedTuple):
    """A cut: a token is a yes where x · direction + offset > 0."""

    direction: Float[Tensor, "feature"]
    offset: float

    def scores(self, x: Float[Tensor, "token feature"]) -> Float[Tensor, "token"]:
        """How far on the side of yes each token lies, in units of the direction's length."""
        return x @ self.direction + self.offset


# --- how to find one ------------------------------------------------------------------------------------------------


def fit(
    x: Float[Tensor, "token feature"], y: Bool[Tensor, "token"], penalty: float = PENALTY
) -> Float[Tensor, "weight"]:
    """Logistic regression by L-BFGS: the weight of each feature, then the offset. `penalty` times half the squared weights."""
    weight = torch.zeros(x.shape[1] + 1, requires_grad=True)
    target = y.float()
    search = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-7)

    def loss():
        search.zero_grad()
        scores = x @ weight[:-1] + weight[-1]
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, target)
        value = value + penalty / 2 * weight[:-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    return weight.detach()


def logistic(x: Float[Tensor, "token feature"], y: Bool[Tensor, "token"], penalty: float = PENALTY) -> Probe:
    """The cut of logistic regression, fitted with every coordinate at mean 0 and standard deviation 1, given in raw coordinates."""
    _need_both(y)
    mean, spread = x.mean(0), x.std(0) + 1e-6
    weight = fit((x - mean) / spread, y, penalty)
    direction = weight[:-1] / spread
    return Probe(direction, float(weight[-1] - mean @ direction))


def difference_of_means(x: Float[Tensor, "token feature"], y: Bool[Tensor, "token"]) -> Probe:
    """From the mean of the nos to the mean of the yeses, cut at the midpoint between them."""
    _need_both(y)
    yes, no = x[y].mean(0), x[~y].mean(0)
    direction = yes - no
    return Probe(direction, float(-(yes + no) / 2 @ direction))


def lda(x: Float[Tensor, "token feature"], y: Bool[Tensor, "token"]) -> Probe:
    """Linear discriminant analysis: the difference of means through the inverse of the covariance within the two groups, cut midway.

    For two Gaussians with one covariance no cut is better balanced; its accuracy there is Φ(Δ/2), `gaussian_accuracy`. Raises
    CourseError where the covariance has no inverse: with fewer tokens than features, or a feature that never changes.
    """
    _need_both(y)
    yes, no = x[y].mean(0), x[~y].mean(0)
    inside = (x - torch.where(y[:, None], yes, no)).double()
    covariance = inside.T @ inside / len(x)
    if (rank := int(torch.linalg.matrix_rank(covariance, hermitian=True))) < x.shape[1]:
        raise CourseError(
            f"The covariance of {x.shape[1]} features has no inverse: {len(x)} tokens fill {rank} dimensions of it.",
            "Take more tokens than features, or another probe: logistic, or difference_of_means.",
        )
    direction = torch.linalg.solve(covariance, (yes - no).double()).to(x.dtype)
    return Probe(direction, float(-(yes + no) / 2 @ direction))


def gaussian_accuracy(
    direction: Float[Tensor, "feature"],
    difference: Float[Tensor, "feature"],
    covariance: Float[Tensor, "feature feature"],
) -> float:
    """The accuracy of a cut at the midpoint of two equally frequent Gaussians with one covariance: Φ(d' / 2).

    d' = w·δ / √(wᵀΣw), with δ the difference of their means, is the distance of the means along w in standard deviations. The best w
    is Σ⁻¹δ; there d' = Δ = √(δᵀΣ⁻¹δ).
    """
    apart = direction @ difference / (direction @ covariance @ direction).sqrt()
    return float(torch.special.ndtr(apart / 2))


def _need_both(y: Tensor) -> None:
    if y.all() or not y.any():
        raise CourseError(
            "A probe needs tokens of both kinds, and these are all of one.", "Take more files, or another label."
        )


# --- how well it tells ----------------------------------------------------------------------------------------------


def auc(scores: Float[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The chance that a token with the label scores higher than one without; ties count half."""
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = (last - (counts.double() - 1) / 2)[place]  # from 1; equal scores share their mean rank
    with_label = int(y.sum())
    without = len(y) - with_label
    return ((ranks[y].sum() - with_label * (with_label + 1) / 2) / (with_label * without)).item()


def accuracy(said: Bool[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The share of tokens answered rightly. Compare it with `majority`."""
    return (said == y).double().mean().item()


def majority(y: Bool[Tensor, "token"]) -> float:
    """The accuracy of whoever always gives the more frequent answer."""
    share = y.double().mean().item()
    return max(share, 1 - share)


def best_cut(scores: Float[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The score from which on to say yes, for the highest balanced accuracy on these tokens."""
    ordered, order = scores.sort(descending=True)
    yes = y[order].double()
    gained = yes.cumsum(0) / yes.sum() - (1 - yes).cumsum(0) / (1 - yes).sum()
    gained[:-1][ordered[:-1] == ordered[1:]] = -torch.inf  # equal scores are all on one side of the cut
    return ordered[gained.argmax()].item()


def balanced_accuracy(said: Bool[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The mean of the shares answered rightly among tokens with the label and among those without."""
    return ((said[y].double().mean() + (~said[~y]).double().mean()) / 2).item()


def control_labels(types: Int[Tensor, "token"], share: float, seed: int) -> Bool[Tensor, "token"]:
    """A control task (Hewitt & Liang 2019): a random yes or no for each *type* of token, the same wherever that type stands.

    share: the chance of a yes. There is nothing in it but the type, so a probe that does well has learned types by heart.
    """
    coins = torch.rand(int(types.max()) + 1, generator=torch.Generator().manual_seed(seed))
    return coins[types] < share


def interval_by_file(
    right: Bool[Tensor, "token"], file: Int[Tensor, "token"], draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """A 95 % interval of the accuracy: files are drawn again, with replacement, and all tokens of a file go together.

    With few files it is too narrow, as all intervals from few clusters are (Cameron, Gelbach & Miller 2008): read it as a lower bound
    of the width below some thirty files. Raises CourseError for a single file, which says nothing of other files.
    """
    _, place = file.unique(return_inverse=True)
    files = int(place.max()) + 1
    if files < 2:
        raise CourseError("One file says nothing of how files differ.", "Test on several files.")
    tokens = torch.bincount(place, minlength=files).double()
    rights = torch.bincount(place, weights=right.double(), minlength=files)
    chosen = torch.randint(files, (draws, files), generator=torch.Generator().manual_seed(seed))
    shares = rights[chosen].sum(1) / tokens[chosen].sum(1)
    low, high = shares.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def wilson(rights: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, for n answers that are independent of each other. Tokens of one file are not."""
    share, z2 = rights / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return centre - half, centre + half


# --- is it used? ----------------------------------------------------------------------------------------------------


def erase(
    x: Float[Tensor, "*batch feature"], direction: Float[Tensor, "feature"], mean: Float[Tensor, "feature"]
) -> Float[Tensor, "*batch feature"]:
    """x with its part along `direction` replaced by that of `mean`: x − ((x − mean) · u) u, with u of length 1."""
    unit = direction / direction.norm()
    return x - ((x - mean) @ unit)[..., None] * unit


def eraser(direction: Float[Tensor, "feature"], mean: Float[Tensor, "feature"]) -> Callable:
    """A hook for a residual stream that erases the direction at every position but BOS."""

    def hook_function(stream, hook):
        return torch.cat([stream[:, :1], erase(stream[:, 1:], direction, mean)], dim=1)

    return hook_function


def token_losses(
    model, windows: Int[Tensor, "window pos"], fwd_hooks: list | None = None
) -> Float[Tensor, "window token"]:
    """The surprise of each next token, in nats, BOS's own prediction left out: entry [w, i] is at token i of the window."""
    parts = []
    for some in windows.split(16):
        with torch.no_grad():
            logits = model.run_with_hooks(some, fwd_hooks=fwd_hooks or [])
        surprise = -logits[:, :-1].log_softmax(-1).gather(-1, some[:, 1:, None]).squeeze(-1)
        parts.append(surprise[:, 1:])
    return torch.cat(parts)
