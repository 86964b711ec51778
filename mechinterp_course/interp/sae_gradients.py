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
    """Put the loss's gradient at the batch x (batch, d_in) into every parameter's `.grad`; return activations and the error x̂ - x.

    The activations are f (batch, d_sae), or for topk the k that were kept, (batch, k).
    """
    z = torch.addmm(_encoder_bias(sae), x, sae.W_enc)
    if sae.architecture == "topk":
        return _of_the_kept(sae, x, z)
    f = z * (z > sae.threshold) if sae.architecture == "jumprelu" else z.relu_()
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
    _through_the_encoders_bias(sae)
    return f, error


def _of_the_kept(sae: SAE, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The same for topk, where all but k latents of an input are 0: only the encoder needs a whole matrix product.

    `embedding_bag` adds up chosen rows of a matrix, each with a weight of its own: for an input the rows of W_dec that it keeps, and for
    a latent the rows of the batch that kept it, for which the kept entries are put in the order of their latents.
    """
    bag, rows = torch.nn.functional.embedding_bag, torch.arange(len(x)).repeat_interleave(sae.k)
    f, kept = z.topk(sae.k, dim=-1, sorted=False)
    f = f.relu_()
    error = bag(kept, sae.W_dec, per_sample_weights=f, mode="sum").add_(sae.b_dec).sub_(x)
    slope = error * (2 / len(x))
    flat, starts = kept.flatten(), torch.arange(0, kept.numel(), sae.k)
    to_f = torch.ops.aten._embedding_bag_per_sample_weights_backward(slope, sae.W_dec, flat, starts, rows, 0)
    to_z = torch.ops.aten.threshold_backward(to_f, f.flatten(), 0.0)
    latents, order = flat.sort()
    inputs, begin = rows[order], torch.searchsorted(latents, torch.arange(sae.d_sae))
    sae.W_dec.grad = bag(inputs, slope, begin, per_sample_weights=f.flatten()[order], mode="sum")
    sae.W_enc.grad = bag(inputs, x, begin, per_sample_weights=to_z[order], mode="sum").T.contiguous()
    sae.b_dec.grad = slope.sum(0)
    sae.b_enc.grad = torch.zeros_like(sae.b_enc).index_add_(0, flat, to_z)
    _through_the_encoders_bias(sae)
    return f, error


def _through_the_encoders_bias(sae: SAE) -> None:
    """Add what b_dec does in the encoder, which read x - b_dec, and so what the batch itself was not shifted by."""
    if sae.apply_b_dec_to_input:
        sae.W_enc.grad.addr_(sae.b_dec, sae.b_enc.grad, alpha=-1)
        sae.b_dec.grad.addmv_(sae.W_enc, sae.b_enc.grad, alpha=-1)


def _encoder_bias(sae: SAE) -> Tensor:
    """b_enc - b_dec @ W_enc, so that the batch itself need not be shifted."""
    return sae.b_enc - sae.b_dec @ sae.W_enc if sae.apply_b_dec_to_input else sae.b_enc


def _to_threshold(sae: SAE, z: Tensor, to_f: Tensor, l0: float) -> Tensor:
    """The straight-through gradient of the thresholds (Rajamanoharan et al. 2024): only inputs near them count."""
    near = (z - sae.threshold).abs_() < BANDWIDTH / 2
    return (to_f * sae.threshold).add_(l0).mul_(near).sum(0) / -BANDWIDTH
