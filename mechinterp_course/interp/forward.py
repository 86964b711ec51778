"""A transformer's forward pass as plain functions of its weights: what a patched run needs, and nothing that it does not.

A bridge runs every layer for every patch and unembeds every position. Here a run can start in the middle, at a few positions,
for many patches at once. Reads the forms of GPT-2 and Llama (learned or rotary positions, LayerNorm or RMSNorm, plain or gated
MLP, shared keys and values), raw or processed, and compares its logits with the model's own before anything is believed.
Must not import TransformerLens, draw, or know anything of courses.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from mechinterp_course.errors import CourseError

ACTIVATIONS = {
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu": F.gelu,
    "silu": F.silu,
    "relu": F.relu,
}
NEAR = 1e-4  # how far our logits may lie from the model's own, as a share of the largest logit


@dataclass
class Run:
    """All that one run leaves behind. Lists hold one tensor for each layer; `resid` has one more, the stream after the last block."""

    logits: Tensor | None = None  # (batch, pos, d_vocab)
    resid: list[Tensor] = field(default_factory=list)  # (batch, pos, d_model), before each block
    attn_out: list[Tensor] = field(default_factory=list)
    mid: list[Tensor] = field(default_factory=list)
    mlp_out: list[Tensor] = field(default_factory=list)
    q: list[Tensor] = field(default_factory=list)  # (batch, pos, head, d_head), rotated where the model rotates
    k: list[Tensor] = field(default_factory=list)  # (batch, pos, kv_head, d_head)
    v: list[Tensor] = field(default_factory=list)
    z: list[Tensor] = field(default_factory=list)


class Norm:
    """LayerNorm, RMSNorm, or nothing, as the bridge's module has it."""

    def __init__(self, module, model):
        self.weight, self.bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if self.weight is not None and getattr(module, "uses_weight_offset", False):
            self.weight = self.weight + 1.0  # Gemma's form: the norm multiplies by 1 + w
        self.rms = bool(getattr(module, "uses_rms_norm", False)) or model.cfg.normalization_type == "RMS"
        self.eps = model.cfg.eps
        self.shape = (model.cfg.d_model,)

    def __call__(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return x
        if self.rms:
            return F.rms_norm(x, self.shape, self.weight, self.eps)
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class Block:
    """One block's weights as (out, in) matrices, the form that F.linear multiplies without a copy."""

    def __init__(self, block, model):
        attn, self.mlp = block.attn, None
        self.norm1 = Norm(block.ln1, model)
        self.W_O = attn.W_O  # (head, d_head, d_model)
        self.out = attn.W_O.reshape(-1, attn.W_O.shape[-1]).T, _flat(attn, "b_O")
        self.q, self.k, self.v = (_projection(attn, letter) for letter in "QKV")
        if getattr(block, "mlp", None) is not None:
            mlp, self.norm2 = block.mlp, Norm(block.ln2, model)
            gate = getattr(mlp, "W_gate", None)
            self.gate = None if gate is None else (gate.T, getattr(mlp, "b_gate", None))
            self.mlp = [(mlp.W_in.T, mlp.b_in), (mlp.W_out.T, mlp.b_out)]


def _flat(attn, name: str) -> Tensor | None:
    bias = getattr(attn, name, None)
    return None if bias is None else bias.reshape(-1)


def _projection(attn, letter: str) -> tuple[Tensor, Tensor | None]:
    """W_Q, W_K or W_V of all heads side by side, from (head, d_model, d_head)."""
    weight = getattr(attn, f"W_{letter}")
    return weight.permute(0, 2, 1).reshape(-1, weight.shape[1]), _flat(attn, f"b_{letter}")


class Transformer:
    """The weights of a bridge, and the steps of its forward pass. The tensors are the model's own: nothing is copied."""

    def __init__(self, model, length: int):
        """Read the weights of `model` for prompts of `length` tokens. Raises CourseError where its form is another one."""
        refuse_hooks(model)
        try:
            self.blocks = [Block(block, model) for block in model.blocks]
            self.norm = Norm(model.ln_final, model)
            self.act = ACTIVATIONS[model.cfg.act_fn or "relu"]
            self.embedding, self.unembedding, self.b_U = model.W_E, model.W_U.T, model.b_U
            rotary = model.cfg.positional_embedding_type == "rotary"
            self.W_pos = None if rotary else model.W_pos
            self.rotation = self._rotation(model, length) if rotary else None
        except (AttributeError, KeyError, NotImplementedError) as error:
            raise CourseError(
                f"Patching here reads models of the forms of GPT-2 and Llama; {model.cfg.model_name} has another: {error}",
                "Use transformer_lens.patching, which is slower and takes every bridge.",
            ) from error
        self.n_layers, self.d_head = len(self.blocks), model.cfg.d_head
        self.n_heads = model.cfg.n_heads
        self.n_kv = self.blocks[0].k[0].shape[0] // self.d_head

    @staticmethod
    def _rotation(model, length: int) -> tuple[Tensor, Tensor]:
        """(cos, sin), each (pos, 1, d_head), from the model's own table."""
        table = model.original_model.model.rotary_emb
        table = getattr(table, "_original_component", None) or table
        positions = torch.arange(length, device=model.W_E.device)[None]
        cos, sin = table(model.W_E[:1, None], positions)
        return cos[0, :, None], sin[0, :, None]

    # --- the steps --------------------------------------------------------------------------------------------------

    def embed(self, tokens: Tensor) -> Tensor:
        """(batch, pos) -> (batch, pos, d_model)"""
        x = self.embedding[tokens]
        return x if self.W_pos is None else x + self.W_pos[: tokens.shape[1]]

    def read(self, layer: int, letter: str, x: Tensor, pos: Tensor) -> Tensor:
        """Queries, keys or values ("q", "k", "v") of the normalised stream x (..., d_model) at positions pos: (..., head, d_head)."""
        out = F.linear(x, *getattr(self.blocks[layer], letter)).unflatten(-1, (-1, self.d_head))
        if self.rotation is None or letter == "v":
            return out
        cos, sin = self.rotation[0][pos], self.rotation[1][pos]
        half = self.d_head // 2
        turned = torch.cat([-out[..., half:], out[..., :half]], -1)
        return out * cos + turned * sin

    def attend(self, q: Tensor, k: Tensor, v: Tensor, queries: Tensor) -> Tensor:
        """z (rows, query, head, d_head) of q (rows, query, head, d_head) at positions `queries`, k, v (rows, key, kv_head, d_head)."""
        rows, count = q.shape[:2]
        keys = torch.arange(k.shape[1], device=q.device)
        allowed = queries[:, None] >= keys
        # Query heads that share a key and a value stand below one another, as if they were more queries of one head.
        shared = self.n_heads // self.n_kv
        q = q.unflatten(2, (self.n_kv, shared)).permute(0, 2, 3, 1, 4).reshape(rows, self.n_kv, shared * count, -1)
        allowed = allowed.repeat(shared, 1)
        z = F.scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2), attn_mask=allowed)
        return z.unflatten(2, (shared, count)).permute(0, 3, 1, 2, 4).flatten(2, 3)

    def write(self, layer: int, z: Tensor) -> Tensor:
        """What attention adds to the stream: z (..., head, d_head) -> (..., d_model), with b_O."""
        return F.linear(z.flatten(-2), *self.blocks[layer].out)

    def mlp(self, layer: int, mid: Tensor) -> Tensor:
        """What the MLP adds to the stream `mid` (..., d_model). Zeros in a model without one."""
        block = self.blocks[layer]
        if block.mlp is None:
            return torch.zeros_like(mid)
        x = block.norm2(mid)
        inner = F.linear(x, *block.mlp[0])
        inner = self.act(inner) if block.gate is None else self.act(F.linear(x, *block.gate)).mul_(inner)
        return F.linear(inner, *block.mlp[1])

    def unembed(self, x: Tensor) -> Tensor:
        """The logits of the stream after the last block: (..., d_model) -> (..., d_vocab)."""
        return F.linear(self.norm(x), self.unembedding, self.b_U)

    # --- a whole run ------------------------------------------------------------------------------------------------

    def run(self, tokens: Tensor) -> Run:
        """Run tokens (batch, pos) from the first layer and keep everything."""
        run, pos = Run(), torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embed(tokens)
        for layer, block in enumerate(self.blocks):
            run.resid.append(x)
            normal = block.norm1(x)
            for letter in "qkv":
                getattr(run, letter).append(self.read(layer, letter, normal, pos))
            run.z.append(self.attend(run.q[-1], run.k[-1], run.v[-1], pos))
            run.attn_out.append(self.write(layer, run.z[-1]))
            run.mid.append(x + run.attn_out[-1])
            run.mlp_out.append(self.mlp(layer, run.mid[-1]))
            x = run.mid[-1] + run.mlp_out[-1]
        run.resid.append(x)
        run.logits = self.unembed(x)
        return run


def refuse_hooks(model) -> None:
    """Raise CourseError where hooks hang on the model: a run from its weights would pass them over."""
    hooked = sorted({name for name, hook in model.hook_dict.items() if hook.fwd_hooks})
    if hooked:
        raise CourseError(
            f"Hooks hang on the model, at {', '.join(hooked[:3])}{' and more' if len(hooked) > 3 else ''}; "
            "patching here runs from the weights and would pass them over.",
            "Take them off first: model.reset_hooks()",
        )


def check_logits(model, tokens: Tensor, logits: Tensor) -> None:
    """Raise CourseError unless these logits of `tokens` are the model's own, to a ten-thousandth of the largest."""
    own = model(tokens)
    if own.dtype not in (torch.float32, torch.float64):
        raise CourseError(
            f"The model is in {own.dtype}, too coarse for patching.", "Use float32: model.to(torch.float32)"
        )
    if own.shape == logits.shape and (own - logits).abs().max() <= NEAR * max(1.0, own.abs().max().item()):
        return
    raise CourseError(
        "The logits that patching computes from the weights are not those of the model, so its values would be wrong. "
        "Either the model was changed (a PyTorch hook, a replaced module), or it has a form that is not known here.",
        "Load the model again; for another form use transformer_lens.patching.",
    )
