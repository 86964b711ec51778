"""One training step's gradients of a sparse autoencoder, written out: five matrix products, and what lies between them.

Autograd would give the same numbers (a test compares them) with more copies. The loss is, as a mean over the batch,
    standard   ‖x - x̂‖² + l1 · Σ f                     where the rows of W_dec have length 1
    topk       ‖x - x̂‖²                                gradients flow through the k latents that were kept
    jumprelu   ‖x - x̂‖² + l0 · (number of f > 0)       thresholds learn by a straight-through estimate
Must not import TransformerLens, or anything of courses.
"""

import torch
from torch import Tensor

from mechinterp_course.interp.saes import SAE

BANDWIDTH = 0.05  # of the straight-through estimate: inputs this near to a threshold say which way it should move


@torch.no_grad()
def gradients(sae: SAE, x: Tensor, l1: float = 0.0, l0: float = 0.0) -> tuple[Tensor, Tensor]:
    """Put the loss's gradient at the batch x (batch, d_in) into every parameter's `.grad`; return f and the error x̂ - x."""
    z = torch.addmm(_encoder_bias(sae), x, sae.W_enc)
    f = _activate(sae, z)
    error = torch.addmm(sae.b_dec, f, sae.W_dec).sub_(x)
    slope = error * (2 / len(x))  # of the squared error, with respect to x̂
    penalty = l1 / len(x) if sae.architecture == "standard" else 0.0
    to_f = torch.addmm(x.new_full((sae.d_sae,), penalty), slope, sae.W_dec.T)
    if sae.architecture == "jumprelu":
        sae.threshold.grad = _to_threshold(sae, z, to_f, l0 / len(x))
    to_z = torch.ops.aten.threshold_backward(to_f, f, 0.0)  # to_f where f > 0, else 0: one pass
    sae.W_dec.grad = f.T @ slope
    sae.b_dec.grad = slope.sum(0)
    sae.b_enc.grad = to_z.sum(0)
    sae.W_enc.grad = x.T @ to_z
    if sae.apply_b_dec_to_input:  # the encoder read x - b_dec
        sae.W_enc.grad.addr_(sae.b_dec, sae.b_enc.grad, alpha=-1)
        sae.b_dec.grad.addmv_(sae.W_enc, sae.b_enc.grad, alpha=-1)
    return f, error


def _encoder_bias(sae: SAE) -> Tensor:
    """b_enc - b_dec @ W_enc, so that the batch itself need not be shifted."""
    return sae.b_enc - sae.b_dec @ sae.W_enc if sae.apply_b_dec_to_input else sae.b_enc


def _activate(sae: SAE, z: Tensor) -> Tensor:
    if sae.architecture == "topk":
        kept = z.topk(sae.k, dim=-1, sorted=False)
        return torch.zeros_like(z).scatter_(-1, kept.indices, kept.values.relu_())
    if sae.architecture == "jumprelu":
        return z * (z > sae.threshold)
    return z.relu_()


def _to_threshold(sae: SAE, z: Tensor, to_f: Tensor, l0: float) -> Tensor:
    """The straight-through gradient of the thresholds (Rajamanoharan et al. 2024): only inputs near them count."""
    near = (z - sae.threshold).abs_() < BANDWIDTH / 2
    return (to_f * sae.threshold).add_(l0).mul_(near).sum(0) / -BANDWIDTH
