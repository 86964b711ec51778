"""An attention-only transformer in plain torch, from weights under TransformerLens' names: short enough to read in one sitting.

What `planted.run` is. For models with MLPs, hooks and caches use `models.load` or `models.bridge`. Must not import TransformerLens.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown

EPS = 1e-5  # what LayerNorm adds to the variance, as in GPT-2
Hook = Callable[[str, Tensor], Tensor]  # notes an activation under its name, and returns it or what replaces it


def run(
    weights: dict[str, Tensor], tokens: Int[Tensor, "batch pos"], patch: dict[str, Tensor] | None = None
) -> tuple[Float[Tensor, "batch pos d_vocab"], dict[str, Tensor]]:
    """Return the logits of an attention-only transformer and its activations, under TransformerLens' hook names and in its shapes.

    patch: activations to replace, by the same names, each with a tensor of the same shape (or one that broadcasts to it).
    Also runs `models.weights("code-attn-2l")`. Nothing is detached: gradients flow to whatever asks for them.
    Raises CourseError for a model with MLPs, a sequence that is too long, and a name in `patch` that is no activation.
    """
    n = tokens.shape[1]
    _check_runs(weights, n)
    patch, acts = patch or {}, {}

    def hook(name: str, value: Tensor) -> Tensor:
        acts[name] = patch[name].expand_as(value) if name in patch else value
        return acts[name]

    x = hook("hook_embed", weights["embed.W_E"][tokens])
    x = x + hook("hook_pos_embed", weights["pos_embed.W_pos"][:n].expand_as(x))
    for layer in range(sum(name.endswith("attn.W_Q") for name in weights)):
        at = f"blocks.{layer}"
        x = hook(f"{at}.hook_resid_pre", x)
        seen = _norm(weights, f"{at}.ln1", x, hook)
        x = x + hook(f"{at}.hook_attn_out", _attention(weights, f"{at}.attn", seen, hook))
        x = hook(f"{at}.hook_resid_post", x)
    logits = _norm(weights, "ln_final", x, hook) @ weights["unembed.W_U"]
    if wrong := [name for name in patch if name not in acts]:
        raise unknown("activation", wrong[0], acts, "They are the keys of run(weights, tokens)[1].")
    return logits, acts


def _norm(weights: dict[str, Tensor], at: str, x: Tensor, hook: Hook) -> Tensor:
    """LayerNorm: (batch, pos, d_model) to the same."""
    x = x - x.mean(-1, keepdim=True)
    scale = hook(f"{at}.hook_scale", (x.pow(2).mean(-1, keepdim=True) + EPS).sqrt())
    return hook(f"{at}.hook_normalized", x / scale) * weights[f"{at}.w"] + weights[f"{at}.b"]


def _attention(weights: dict[str, Tensor], at: str, x: Tensor, hook: Hook) -> Tensor:
    """What the heads of a layer add to the residual stream: (batch, pos, d_model) to the same."""

    def read(letter: str) -> Tensor:
        value = torch.einsum("bpm,hmd->bphd", x, weights[f"{at}.W_{letter}"]) + weights[f"{at}.b_{letter}"]
        return hook(f"{at}.hook_{letter.lower()}", value)

    q, k, v = read("Q"), read("K"), read("V")  # (batch, pos, head, d_head)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    scores = hook(f"{at}.hook_attn_scores", scores.masked_fill(future, -torch.inf))
    pattern = hook(f"{at}.hook_pattern", scores.softmax(-1))
    z = hook(f"{at}.hook_z", torch.einsum("bhqk,bkhd->bqhd", pattern, v))
    result = hook(f"{at}.hook_result", torch.einsum("bqhd,hdm->bqhm", z, weights[f"{at}.W_O"]))
    return result.sum(2) + weights[f"{at}.b_O"]


def _check_runs(weights: dict[str, Tensor], positions: int) -> None:
    if any(name.endswith(("mlp.W_out", "mlp.b_out")) and tensor.any() for name, tensor in weights.items()):
        raise CourseError(
            "These weights have MLPs, and this forward pass has none.", "Use models.load or models.bridge."
        )
    if "ln_final.w" not in weights:
        raise CourseError("These weights have no LayerNorm, and this forward pass has one.", "Use models.load.")
    if positions > len(weights["pos_embed.W_pos"]):
        raise CourseError(
            f"The model has {len(weights['pos_embed.W_pos'])} positions, and the sequences have {positions}.",
            "Make them shorter.",
        )
