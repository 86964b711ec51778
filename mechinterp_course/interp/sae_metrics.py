"""How well a sparse autoencoder does: how sparse it is, how much it keeps, what the model loses by it, and whether it found the truth.

Must not import TransformerLens, or anything of courses. The model is any bridge.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mechinterp_course.errors import CourseError

ABLATIONS = ("mean", "zero")


def l0(f: Float[Tensor, "... d_sae"]) -> float:
    """Return how many latents are not 0, as a mean over the inputs."""
    return float((f != 0).sum(-1).double().mean())


def variance_explained(x: Float[Tensor, "... d_in"], x_hat: Float[Tensor, "... d_in"]) -> float:
    """Return the share of the variance that the reconstruction keeps: 1 - Σ‖x - x̂‖² / Σ‖x - mean‖².

    1 where x̂ = x; 0 for the mean of x alone; below 0 for worse. Without taking the mean off, a large constant part would pass for success.
    """
    x, x_hat = x.flatten(0, -2).double(), x_hat.flatten(0, -2).double()
    return 1 - float((x - x_hat).pow(2).sum() / (x - x.mean(0)).pow(2).sum())


def dead_fraction(f: Float[Tensor, "... d_sae"]) -> float:
    """Return the share of latents that are 0 on every input. A few batches say little: take many inputs."""
    return float((f.flatten(0, -2) == 0).all(0).double().mean())


@torch.no_grad()
def judge(sae, activations: Float[Tensor, "row d_in"], batch: int = 4096) -> dict[str, float]:
    """Return l0, variance_explained, dead_fraction and the densest latent's share of inputs, over activations too many for one batch."""
    total, active, squares = 0, 0, 0.0
    fired = torch.zeros(sae.d_sae, dtype=torch.long)
    for rows in activations.split(batch):
        x = rows.float()
        f = sae.encode(x)
        squares += float((sae.decode(f) - x).pow(2).sum(dtype=torch.float64))
        fired += (f != 0).sum(0)
        total += len(x)
    active = int(fired.sum())
    mean = activations.mean(0, dtype=torch.float64)
    variance = sum(float((rows.double() - mean).pow(2).sum()) for rows in activations.split(batch))
    return {
        "l0": active / total,
        "variance_explained": 1 - squares / variance,
        "dead_fraction": float((fired == 0).double().mean()),
        "densest": float(fired.max()) / total,
    }


# --- what the model loses -----------------------------------------------------------------------------------------


class Recovery(NamedTuple):
    """Losses of next-token prediction in nats, and how much of what an ablation costs the SAE saves."""

    recovered: float  # 1: as good as the model itself; 0: as bad as the ablation; it can be below 0
    clean: float  # the model alone
    spliced: float  # with x̂ in place of the activation
    ablated: float


def loss_recovered(
    model, sae, hook_name: str, tokens: Int[Tensor, "window pos"], ablation: str = "mean", batch: int = 16
) -> Recovery:
    """Return (ablated - spliced) / (ablated - clean), with the three losses.

    sae: anything that maps activations to reconstructions. ablation: "mean" puts the mean activation of these very tokens at every position,
    "zero" puts 0 there. The two give different figures for one SAE, so say which one was meant.
    The first position (BOS) is left as it is, in every run: SAEs here do not learn from it.
    """
    return recoveries(model, sae, hook_name, tokens, [ablation], batch)[ablation]


@torch.no_grad()
def recoveries(
    model, sae, hook_name: str, tokens: Int[Tensor, "window pos"], ablations=ABLATIONS, batch: int = 16
) -> dict[str, Recovery]:
    """Return `loss_recovered` against each ablation, from as few runs of the model as it takes."""
    if unknown := set(ablations) - set(ABLATIONS):
        raise CourseError(f"There is no ablation {unknown.pop()!r}.", 'It is "mean" or "zero".')
    if hook_name.endswith("hook_resid_mid"):
        raise CourseError(
            f"{hook_name} hangs on the way into the MLP alone: what is put there does not go on in the stream.",
            "Take hook_resid_post of the layer, or hook_attn_out.",
        )
    if hook_name not in model.hook_dict:
        raise CourseError(f"The model has no hook {hook_name!r}.", "cache.hook_table(model) lists them.")
    from mechinterp_course.interp.activations import collect

    clean = _loss(model, tokens, batch, hook_name, None)
    spliced = _loss(model, tokens, batch, hook_name, sae)
    found = {}
    for ablation in ablations:
        stands_for = torch.zeros(1)
        if ablation == "mean":
            stands_for = collect(model, hook_name, tokens, batch=batch, progress=False).flatten(0, 1).mean(0)
        ablated = _loss(model, tokens, batch, hook_name, lambda x, put=stands_for: put.expand_as(x))
        if ablated == clean:
            raise CourseError(
                f"Ablating {hook_name} changes no loss, so nothing can be recovered.", "Take another hook."
            )
        found[ablation] = Recovery((ablated - spliced) / (ablated - clean), clean, spliced, ablated)
    return found


def _loss(model, tokens: Tensor, batch: int, hook_name: str, change) -> float:
    """Mean cross-entropy of the next token, with the activations behind the first position changed."""

    def replace(value, hook):
        return torch.cat([value[:, :1], change(value[:, 1:])], dim=1)

    total = 0.0
    for rows in tokens.split(batch):
        logits = model.run_with_hooks(rows, fwd_hooks=[(hook_name, replace)] if change else [])
        # The first position is never changed, so what it predicts says nothing: judged are the predictions after it.
        wanted, logits = rows[:, 2:].flatten(), logits[:, 1:-1].flatten(0, 1)
        total += float(torch.nn.functional.cross_entropy(logits, wanted)) * len(rows)
    return total / len(tokens)


# --- whether the truth was found ----------------------------------------------------------------------------------


class Matching(NamedTuple):
    """The best one-to-one pairing of true features with found ones."""

    found: Int[Tensor, " true"]  # the found feature of each true one; -1 where there are too few
    cosine: Float[Tensor, " true"]  # of each pair, 0 where there is none


def match(found: Float[Tensor, "found d_in"], truth: Float[Tensor, "true d_in"], *, signed: bool = True) -> Matching:
    """Pair each true direction with a found one, none used twice, so that the cosines add up to most (Hungarian method).

    signed: a direction that points the other way is a wrong one (cosine -1), as it is for an SAE, whose features only add. With
    signed=False it counts as found, as it should for principal components, whose sign means nothing.
    """
    cosine = _cosines(found, truth, signed)
    rows, columns = (torch.from_numpy(part) for part in linear_sum_assignment(cosine.numpy(), maximize=True))
    pairs = torch.full((len(truth),), -1)
    pairs[rows] = columns
    best = torch.zeros(len(truth))
    best[rows] = cosine[rows, columns].float()
    return Matching(pairs, best)


def mean_max_cosine(
    found: Float[Tensor, "found d_in"], truth: Float[Tensor, "true d_in"], *, signed: bool = True
) -> float:
    """Return the mean over true directions of the cosine with the nearest found one. One found direction may serve several: see `match`."""
    return float(_cosines(found, truth, signed).max(1).values.mean())


def _cosines(found: Tensor, truth: Tensor, signed: bool) -> Tensor:
    """(true, found), in float64. A direction of length 0 has cosine 0 with everything."""
    if found.ndim != 2 or truth.ndim != 2 or found.shape[1] != truth.shape[1]:
        raise CourseError(
            f"The directions have the shapes {tuple(found.shape)} and {tuple(truth.shape)}; both need (feature, d_in).",
            "An SAE's directions are the rows of W_dec.",
        )
    unit = [torch.nn.functional.normalize(part.detach().double(), dim=1) for part in (truth, found)]
    cosine = unit[0] @ unit[1].T
    return cosine if signed else cosine.abs()
