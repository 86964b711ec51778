"""Attribution patching: what each patch would do, estimated from two forward passes and one backward pass.

Must not import TransformerLens, or anything of courses and notebooks.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp.cache import Tokens, activations, hook_name
from mechinterp_course.interp.metrics import Scale, each, name_of
from mechinterp_course.interp.pair import same_shape
from mechinterp_course.interp.patching import ACTIVATIONS, STREAM
from mechinterp_course.interp.residual import as_tokens, position_labels
from mechinterp_course.interp.sweep import DIRECTIONS, Axis, Sweep


def attribution_patching(
    model,
    clean: Tokens,
    corrupted: Tokens,
    metric: Callable[[Tensor], Tensor],
    activation: str,
    *,
    direction: str = "denoising",
    by_position: bool | None = None,
) -> Sweep:
    """Return the first-order estimate of patching each activation: m + (a_other - a_base) · dm/da_base, on the scale of a sweep.

    Denoising: the base run is the corrupted one, and clean activations come in. Noising: the other way round. activation: resid_pre,
    resid_mid, resid_post, attn_out or mlp_out, as (layer, pos); z, q, k, v or pattern, as (layer, head), all positions together, or
    with by_position=True as (layer, head, pos), for a pattern the position of the query. metric: logits (batch, pos, d_vocab) to
    one number, or one for each prompt (`metrics`). Values read as those of `patching`: 0 is the corrupted run, 1 the clean one.
    Exact where the rest of the network is linear in the activation; otherwise compare with patching. Nanda 2023.
    """
    by_position = _checked(activation, direction, by_position)
    both = as_tokens(model, clean), as_tokens(model, corrupted)
    same_shape(*both)
    base, other = both[::-1] if direction == "denoising" else both
    layers = range(model.cfg.n_layers)
    names = [hook_name(model, (activation, layer)) for layer in layers]
    # The bridge's hook_resid_mid is what the MLP reads, without the way past it. The slope of the stream there is that of attn_out.
    sloped = names if activation != "resid_mid" else [hook_name(model, ("attn_out", layer)) for layer in layers]
    seen = activations(model, other, [*names, "unembed.hook_out"])
    logits, kept, slopes = _gradients(model, base, names, sloped, metric)
    at_base, at_other = each(metric, logits), each(metric, seen["unembed.hook_out"])
    changes = [
        _change(seen[name] - kept[name], slopes[slope], activation, by_position)
        for name, slope in zip(names, sloped, strict=True)
    ]
    clean_value, corrupted_value = (at_other, at_base) if direction == "denoising" else (at_base, at_other)
    return Sweep(
        activation=f"{activation}, estimated",
        direction=direction,
        metric=name_of(metric),
        axes=_axes(model, torch.cat(both), changes[0], activation, by_position),
        per_prompt=at_base + torch.stack(changes),
        scale=Scale(clean_value.mean().item(), corrupted_value.mean().item()),
    )


def _checked(activation: str, direction: str, by_position: bool | None) -> bool:
    if activation not in ACTIVATIONS:
        raise unknown("activation to patch", activation, ACTIVATIONS)
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    if activation in STREAM and by_position is False:
        raise CourseError(
            f"{activation} is estimated at each position.",
            "Leave by_position out, and sum sweep.values over pos if you want that.",
        )
    return activation in STREAM if by_position is None else by_position


def _gradients(model, tokens: Tensor, names: list[str], sloped: list[str], metric) -> tuple[Tensor, dict, dict]:
    """One forward and one backward pass: the logits, the activations in `names`, and the slope of the metric at those in `sloped`.

    Gradients of the weights are neither computed nor touched.
    """
    kept: dict[str, Tensor] = {}

    def keep(tensor: Tensor, hook, name: str) -> Tensor:
        kept[name] = tensor
        return tensor  # handed back, so that what was kept is what the model goes on with

    def begin(embedding: Tensor, hook) -> Tensor:
        return embedding if embedding.requires_grad else embedding.detach().requires_grad_()  # where weights are frozen

    hooks = [("hook_embed", begin), *((name, partial(keep, name=name)) for name in dict.fromkeys([*names, *sloped]))]
    with torch.enable_grad():
        logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
        value = torch.as_tensor(metric(logits))
        if not value.requires_grad:
            raise CourseError(
                "The metric has no gradient: it left the tensors of the logits.",
                "Compute it with torch, without .item(), .detach(), numpy or argmax.",
            )
        # A mean over prompts hides a factor: each prompt's share of it counts once for every prompt.
        total = value.sum() if value.dim() else value * len(logits)
        found = torch.autograd.grad(total, [kept[name] for name in sloped])
    kept = {name: tensor.detach() for name, tensor in kept.items()}
    return logits.detach(), kept, dict(zip(sloped, found, strict=True))


def _change(difference: Tensor, slope: Tensor, activation: str, by_position: bool) -> Tensor:
    """(a_other - a_base) · slope, summed over what one patch replaces; the batch last."""
    product = difference.double() * slope.double()
    if activation in STREAM:
        return product.sum(-1).T  # (pos, batch)
    by_head = product.sum(-1) if activation == "pattern" else product.sum(-1).transpose(1, 2)  # (batch, head, pos)
    return (by_head if by_position else by_head.sum(-1)).movedim(0, -1)


def _axes(model, tokens: Tensor, change: Tensor, activation: str, by_position: bool) -> list[Axis]:
    axes = [Axis("layer", [str(layer) for layer in range(model.cfg.n_layers)])]
    if activation not in STREAM:
        shared = len(change) != model.cfg.n_heads  # heads that share a key and a value
        axes.append(Axis("kv_head" if shared else "head", [str(head) for head in range(len(change))]))
    if by_position:
        axes.append(Axis("pos", position_labels(model, tokens)))
    return axes
