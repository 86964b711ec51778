"""Toy models of superposition: n features squeezed through m dimensions and read out again, many instances at once.

The model, its data and its loss are those of Elhage et al. 2022, "Toy Models of Superposition": h = W x, x' = ReLU(Wᵀ h + b).
An *instance* is one model with a start of its own. The first axis of every tensor counts instances, so that a hundred train in one go.
What follows without training is in `superposition_theory.py`, pictures are in `superposition_views.py`.
Must not import TransformerLens, plotly, or anything of courses and notebooks.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechinterp_course.errors import CourseError

REPRESENTED = 0.5  # a feature with a longer direction counts as represented
Sparsity = float | Float[Tensor, " instance"]


@dataclass
class Toy:
    """Instances of the toy model. Column W[k, :, i] is the direction of feature i in instance k."""

    W: Float[Tensor, "instance hidden feature"]
    b: Float[Tensor, "instance feature"]
    linear: bool = False  # without the ReLU: the control
    steps: list[int] = field(default_factory=list)  # when the losses below were taken
    losses: list[Float[Tensor, " instance"]] = field(default_factory=list)

    def __call__(self, x: Float[Tensor, "instance batch feature"]) -> Float[Tensor, "instance batch feature"]:
        """Return what each instance reads out: ReLU(Wᵀ W x + b), or Wᵀ W x + b where it is linear."""
        out = (x @ self.W.mT) @ self.W + self.b[:, None]
        return out if self.linear else out.relu()


def importances(features: int, decay: float = 0.9) -> Float[Tensor, " feature"]:
    """Return the importance of each feature, decay^i: 1, 0.9, 0.81, ..."""
    return decay ** torch.arange(features, dtype=torch.float32)


def sample(
    instances: int, batch: int, features: int, sparsity: Sparsity, generator: torch.Generator
) -> Float[Tensor, "instance batch feature"]:
    """Return inputs: each feature is 0 with probability `sparsity`, else uniform between 0 and 1, all on their own.

    sparsity: one number for all instances, or one for each. Raises CourseError outside [0, 1).
    """
    shape = (instances, batch, features)
    values = torch.rand(shape, generator=generator)
    present = torch.rand(shape, generator=generator) >= _for_each(sparsity, instances)[:, None, None]
    return values * present


def loss(
    output: Float[Tensor, "instance batch feature"],
    x: Float[Tensor, "instance batch feature"],
    importance: Float[Tensor, "... feature"],
) -> Float[Tensor, " instance"]:
    """Return each instance's loss: importance times squared error, summed over features, averaged over the batch.

    importance: (feature,), or (instance, feature) where instances differ.
    """
    weight = importance if importance.ndim == 1 else importance[:, None]
    return (weight * (output - x) ** 2).sum(-1).mean(-1)


def train(
    features: int,
    hidden: int,
    sparsity: Sparsity,
    *,
    importance: Float[Tensor, "... feature"] | None = None,
    instances: int | None = None,
    steps: int = 1500,
    batch: int = 128,
    lr: float = 0.03,
    linear: bool = False,
    seed: int = 0,
    watch: Callable[[int, Toy], None] | None = None,
    every: int = 100,
    progress: bool = True,
) -> Toy:
    """Return instances trained by Adam, the learning rate falling to 0 in a straight line; the same seed gives the same weights.

    importance: by default 0.9^i. instances: by default as many as `sparsity` has entries, or 12.
    watch: called with (step, toy) at step 0, every `every` steps and at the end, for a picture that is alive (`superposition_views.Live`).
    progress: show a bar where it takes longer than five seconds and nothing watches.
    An interrupt (the stop button) ends the training early and returns what has been learned.
    """
    from tqdm import tqdm

    if steps < 1:
        raise CourseError(f"{steps} steps are no training.", "Take 1500, say.")
    given = sparsity if isinstance(sparsity, Tensor) else None
    count = instances if instances is not None else (12 if given is None else len(given))
    sparsity = _for_each(sparsity, count)
    importance = importances(features) if importance is None else importance
    generator = torch.Generator().manual_seed(seed)
    scale = (2 / (features + hidden)) ** 0.5  # the paper's start: Xavier
    W = (scale * torch.randn(count, hidden, features, generator=generator)).requires_grad_()
    b = torch.zeros(count, features).requires_grad_()
    toy = Toy(W.detach(), b.detach(), linear)  # shares memory with the parameters: it moves as they do
    optimizer = torch.optim.Adam([W, b], lr=lr)
    try:
        bar = dict(file=sys.stdout, delay=5, mininterval=1, leave=False, disable=not progress or watch is not None)
        for step in tqdm(range(steps), desc="training", **bar):
            optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
            x = sample(count, batch, features, sparsity, generator)
            each = loss(Toy(W, b, linear)(x), x, importance)
            if step % every == 0:
                _note(toy, step, each, watch)
            optimizer.zero_grad()
            each.sum().backward()  # a sum: what one instance learns does not depend on how many there are
            optimizer.step()
        _note(toy, steps, each, watch)
    except KeyboardInterrupt:
        print(f"Stopped at step {step} of {steps}.")
    return toy


def represented(W: Float[Tensor, "instance hidden feature"]) -> Bool[Tensor, "instance feature"]:
    """Return which features have a direction longer than 0.5."""
    return W.norm(dim=1) > REPRESENTED


def interference(W: Float[Tensor, "instance hidden feature"]) -> Float[Tensor, "instance feature"]:
    """Return for each feature Σ_{j≠i} (Ŵ_i · W_j)²: how much of the others lies along its direction; 0 where W_i is 0."""
    overlap = _along(W) ** 2
    return overlap.sum(-1) - overlap.diagonal(dim1=1, dim2=2)


def dimensionality(W: Float[Tensor, "instance hidden feature"]) -> Float[Tensor, "instance feature"]:
    """Return D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)², the share of a dimension that feature i has; 0 where W_i is 0.

    1 for a direction of its own, 1/2 in an antipodal pair, 2/5 in a pentagon. Over an instance they sum to at most the number of
    dimensions (by Cauchy-Schwarz: D_i is at most the leverage of W_i), and to just that where every W_i is an eigenvector of W Wᵀ.
    """
    overlap = _along(W) ** 2
    own = overlap.diagonal(dim1=1, dim2=2)
    return own / overlap.sum(-1).clamp(min=torch.finfo(W.dtype).tiny)


def geometry(W: Float[Tensor, "hidden feature"], tolerance: float = 15.0) -> str:
    """Return the name of one instance's arrangement in the plane: "basis", "antipodal pairs", "triangle", "pentagon" or "other".

    Only represented features count. Their angles, in order around the circle, must be equal up to `tolerance` degrees.
    """
    if len(W) != 2:
        raise CourseError(f"This instance has {len(W)} dimensions; an angle needs 2.", "Train it with hidden=2.")
    kept = W[:, W.norm(dim=0) > REPRESENTED]
    count = kept.shape[1]
    if count < 2:
        return "other"
    angles = torch.rad2deg(torch.atan2(kept[1], kept[0])).sort().values
    gaps = torch.cat([angles[1:] - angles[:-1], angles[:1] + 360 - angles[-1:]])
    if count == 2:
        return "basis" if abs(float(gaps[0]) - 90) < tolerance or abs(float(gaps[0]) - 270) < tolerance else "other"
    names = {3: "triangle", 4: "antipodal pairs", 5: "pentagon"}
    even = bool(((gaps - 360 / count).abs() < tolerance).all())
    return names.get(count, "other") if even else "other"


# --- inside ---------------------------------------------------------------------------------------------------------


def _along(W: Tensor) -> Tensor:
    """Ŵ_i · W_j as (instance, i, j): how far direction j reaches along the unit vector of direction i."""
    unit = W / W.norm(dim=1, keepdim=True).clamp(min=torch.finfo(W.dtype).tiny ** 0.5)
    return unit.mT @ W


def _for_each(sparsity: Sparsity, instances: int) -> Tensor:
    sparsity = torch.as_tensor(sparsity, dtype=torch.float32)
    if not bool(((sparsity >= 0) & (sparsity < 1)).all()):
        raise CourseError(
            "A sparsity lies outside [0, 1).", "It is the probability that a feature is absent: 0, 0.9 or 0.99, say."
        )
    if sparsity.ndim and len(sparsity) != instances:
        raise CourseError(
            f"There are {len(sparsity)} sparsities for {instances} instances.", "Give one for each, or one for all."
        )
    return sparsity.expand(instances)


def _note(toy: Toy, step: int, each: Tensor, watch: Callable | None) -> None:
    toy.steps.append(step)
    toy.losses.append(each.detach().clone())
    if watch is not None:
        watch(step, toy)
