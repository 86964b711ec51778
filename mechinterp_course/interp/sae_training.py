"""Training a sparse autoencoder: batches in, directions out, with curves that can be watched and dead latents brought back.

The gradients are in `sae_gradients.py`. Must not import TransformerLens, plotly, or anything of courses and notebooks.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import sae_gradients
from mechinterp_course.interp.saes import SAE

SHRINK = 0.2  # a latent that is brought back begins with an encoder this much shorter than those in use


@dataclass
class Run:
    """A training under way: the SAE, and what was measured at `steps`, each on the batch of that step."""

    sae: SAE
    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)  # of the recipe, penalty included
    variance_explained: list[float] = field(default_factory=list)
    l0: list[float] = field(default_factory=list)  # latents that are not 0, mean over the batch
    dead: list[float] = field(default_factory=list)  # share of latents that did not fire within `window` steps
    since_fired: Tensor | None = None  # (d_sae,) how many steps ago each latent last fired
    resampled: dict[int, int] = field(default_factory=dict)  # step -> how many latents were brought back


def shuffled(
    activations: Float[Tensor, "row d_in"], batch: int = 1024, seed: int = 0
) -> Iterator[Float[Tensor, "batch d_in"]]:
    """Yield batches of rows without end: all rows in a random order, then in another. Rows stored as float16 come as float32."""
    if not 1 <= batch <= len(activations):
        raise CourseError(
            f"There are {len(activations)} activations, too few for a batch of {batch}.", "Take a smaller batch."
        )
    generator = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(activations), generator=generator).split(batch):
            if len(rows) == batch:
                yield activations[rows].float()


def train(
    sae: SAE,
    batches: Float[Tensor, "row d_in"] | Iterable[Float[Tensor, "batch d_in"]],
    *,
    steps: int,
    l1: float = 0.0,
    l0: float = 0.0,
    lr: float = 1e-3,
    batch: int = 1024,
    seed: int = 0,
    warmup: float = 0.05,
    decay: float = 0.2,
    standardise: bool = False,
    resample: Iterable[int] = (),
    window: int = 200,
    on_step: Callable[[int, Run], None] | None = None,
    every: int = 50,
    progress: bool = True,
) -> Run:
    """Train `sae` in place by Adam and return what was measured on the way; the same seed gives the same weights.

    batches: rows to draw from (`shuffled` does it), or anything that yields batches; it ends early where they end.
    l1: the price of a standard SAE's activations. l0: the price of each active latent of a jumprelu SAE.
    warmup: the share of steps in which learning rate and price rise from 0. decay: the share at the end in which the rate falls to 0.
    standardise: b_dec begins at the mean of the first batch, and everything is learnt in units in which an activation's mean length is
      √d_in, so that one lr and l1 suit any layer. Weights are always those for the activations as they are given.
    resample: the steps at which latents that did not fire in the last `window` steps begin afresh at inputs that are badly written.
    on_step: called with (step, run) at step 0, every `every` steps and at the end, for a picture that is alive (`superposition_views.Live`).
    An interrupt (the stop button) ends the training early and keeps what was learned.
    """
    if steps < 1:
        raise CourseError(f"{steps} steps are no training.", "Take 1000, say.")
    rows = shuffled(batches, batch, seed) if isinstance(batches, Tensor) else iter(batches)
    run, generator = Run(sae, since_fired=torch.zeros(sae.d_sae)), torch.Generator().manual_seed(seed)
    resample, scale = set(resample), 1.0
    optimizer = torch.optim.Adam(sae.parameters(), lr=lr, fused=True)
    try:
        for step in _progress(steps, progress and on_step is None):
            if (x := next(rows, None)) is None:
                print(f"The batches ended at step {step} of {steps}.")
                break
            _refuse_shape(sae, x)
            if step == 0 and standardise:
                scale = _begin_at(sae, x)
            x = x * scale if scale != 1 else x
            rise = min(1.0, (step + 1) / max(1, warmup * steps))
            optimizer.param_groups[0]["lr"] = lr * rise * min(1.0, (steps - step) / max(1, decay * steps))
            f, error = sae_gradients.gradients(sae, x, l1 * rise, l0 * rise)
            # A latent whose bias has no gradient at all was 0 on the whole batch: the cheapest way to see who fired.
            run.since_fired.add_(1).masked_fill_(sae.b_enc.grad != 0, 0)
            if step % every == 0 or step == steps - 1:
                _note(run, step, x, f, error, l1 * rise, l0 * rise, window)
                if on_step is not None:
                    _shown(run, step, scale, on_step)
            step_unit_norm(sae, optimizer)
            if step in resample:
                run.resampled[step] = resample_dead(sae, x, run.since_fired >= window, optimizer, generator)
                run.since_fired[run.since_fired >= window] = 0
    except KeyboardInterrupt:
        print(f"Stopped at step {step} of {steps}.")
    finally:
        sae.rescale_(1 / scale)
        for parameter in sae.parameters():
            parameter.grad = None
    return run


@torch.no_grad()
def step_unit_norm(sae: SAE, optimizer: torch.optim.Optimizer) -> None:
    """Take the optimizer's step so that every row of W_dec keeps length 1.

    Without it an L1 penalty would be evaded: half of f, and a decoder twice as long. The part of the gradient along a row would only change
    its length, so it is taken out first; what Adam's step leaves of a change in length is undone.
    """
    W, slope = sae.W_dec, sae.W_dec.grad
    slope.addcmul_(W, (W * slope).sum(1, keepdim=True), value=-1)
    optimizer.step()
    W /= W.norm(dim=1, keepdim=True)
    if sae.architecture == "jumprelu":
        sae.threshold.clamp_(min=0)


@torch.no_grad()
def resample_dead(
    sae: SAE,
    x: Float[Tensor, "batch d_in"],
    dead: Bool[Tensor, " d_sae"],
    optimizer: torch.optim.Optimizer | None = None,
    generator: torch.Generator | None = None,
) -> int:
    """Point dead latents at inputs that the SAE writes badly, as Bricken et al. 2023 do; return how many there were.

    An input is drawn with a probability that grows as its squared error, squared. The latent's direction becomes that input's (b_dec taken
    off), its encoder the same direction, shorter than those in use, its bias 0. Adam forgets what it knew of the old latent.
    """
    count = int(dead.sum())
    if count == 0:
        return 0
    badly = (sae(x) - x).pow(2).sum(-1).pow(2)
    chosen = torch.multinomial(badly + badly.mean() * 1e-6 + 1e-30, count, replacement=True, generator=generator)
    directions = torch.nn.functional.normalize(x[chosen] - sae.b_dec, dim=1)
    in_use = sae.W_enc[:, ~dead].norm(dim=0)
    length = SHRINK * (float(in_use.mean()) if len(in_use) else 1.0)
    sae.W_dec[dead], sae.W_enc[:, dead], sae.b_enc[dead] = directions, directions.T * length, 0.0
    if optimizer is not None:
        for parameter, at in ((sae.W_dec, (dead,)), (sae.W_enc, (slice(None), dead)), (sae.b_enc, (dead,))):
            for name in ("exp_avg", "exp_avg_sq"):
                if name in optimizer.state[parameter]:
                    optimizer.state[parameter][name][at] = 0
    return count


# --- inside ---------------------------------------------------------------------------------------------------------


def _progress(steps: int, show: bool):
    from tqdm import tqdm

    return tqdm(
        range(steps), desc="training the SAE", file=sys.stdout, delay=5, mininterval=1, leave=False, disable=not show
    )


def _refuse_shape(sae: SAE, x: Tensor) -> None:
    if x.ndim != 2 or x.shape[1] != sae.d_in:
        raise CourseError(
            f"A batch has the shape {tuple(x.shape)}; this SAE learns from (batch, {sae.d_in}).",
            "Put all positions below one another: x.flatten(0, -2).",
        )


@torch.no_grad()
def _begin_at(sae: SAE, x: Tensor) -> float:
    """Put b_dec at the mean of x, and the SAE into units in which the mean length is √d_in; return that factor."""
    scale = sae.d_in**0.5 / float(x.norm(dim=1).mean())
    sae.b_dec.copy_(x.mean(0))
    sae.rescale_(scale)
    return scale


def _note(run: Run, step: int, x, f, error, l1: float, l0: float, window: int) -> None:
    squares, active = error.pow(2).sum(), (f > 0).sum()
    price = {"standard": l1 * f.sum(), "jumprelu": l0 * active, "topk": 0.0}[run.sae.architecture]
    run.steps.append(step)
    run.loss.append(float(squares + price) / len(x))
    run.variance_explained.append(1 - float(squares / (x - x.mean(0)).pow(2).sum()))
    run.l0.append(int(active) / len(x))
    run.dead.append(float((run.since_fired >= window).float().mean()))


def _shown(run: Run, step: int, scale: float, on_step: Callable[[int, Run], None]) -> None:
    """Call on_step while the SAE is one for the activations as they were given."""
    run.sae.rescale_(1 / scale)
    try:
        on_step(step, run)
    finally:
        run.sae.rescale_(scale)
