"""The residual stream: the parts whose sum it is, and how the model reads logits from it.

Works on any TransformerBridge, raw or processed, with LayerNorm, RMSNorm or neither. Must not import TransformerLens, and
draws nothing.
"""

import re
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import plots
from mechinterp_course.interp.cache import Name, Tokens, act_name, activations

BY = ("head", "component", "layer")
CLOSE = (
    1e-3  # how far a sum of parts may be from the whole, as a share of the whole: rounding is a thousand times smaller
)


# --- what the helpers of this storey share ------------------------------------------------------------------------


def as_tokens(model, tokens: object) -> Int[Tensor, "batch pos"]:
    """Return token ids as (batch, pos): a text is tokenised with BOS in front, (pos,) becomes a batch of one.

    Raises CourseError for anything else, and says what it was.
    """
    if isinstance(tokens, str):
        _need_tokenizer(model, "A text")
        tokens = model.to_tokens(tokens)
    if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.dim() not in (1, 2) or not tokens.numel():
        raise CourseError(
            f"The tokens must be a text or whole numbers of shape (batch, pos) or (pos,); this is {_what(tokens)}.",
            "For example: model.to_tokens(text), or models.tokenizer(name).encode(text).",
        )
    return tokens[None] if tokens.dim() == 1 else tokens


def _what(tokens) -> str:
    if isinstance(tokens, Tensor):
        return f"a tensor of {str(tokens.dtype).removeprefix('torch.')} of the shape {tuple(tokens.shape)}"
    return f"of the type {type(tokens).__name__}"


def token_id(model, answer: int | str) -> int:
    """Return the id of an answer: an id of the model's output vocabulary, or a text that is exactly one token."""
    size = model.unembed.W_U.shape[1]
    if isinstance(answer, str):
        _need_tokenizer(model, f"The answer {answer!r}")
        ids = model.tokenizer.encode(answer, add_special_tokens=False)
        if len(ids) != 1:
            pieces = ", ".join(repr(text) for text in token_texts(model, ids)) or "none"
            raise CourseError(
                f"The answer {answer!r} is {len(ids)} tokens ({pieces}), and a logit belongs to one token.",
                "Give a text that is one token (a leading space counts, as in ' self'), or a token's number.",
            )
        answer = ids[0]
    if not 0 <= int(answer) < size:
        raise CourseError(f"There is no token {int(answer)} in the output of this model.", f"Give 0 to {size - 1}.")
    return int(answer)


def answer_ids(model, answer, batch: int) -> Int[Tensor, " batch"]:
    """Return one answer for each sequence: `answer` is one (id or text) for all, or a list or tensor with one for each."""
    if isinstance(answer, Tensor):
        answer = answer.tolist()
    ids = [token_id(model, one) for one in (answer if isinstance(answer, (list, tuple)) else [answer] * batch)]
    if len(ids) != batch:
        raise CourseError(f"There are {len(ids)} answers for {batch} sequences.", "Give one for all, or one for each.")
    return torch.tensor(ids)


def token_texts(model, ids) -> list[str]:
    """Return the text of each token; where the model has no tokenizer, its number."""
    if getattr(model, "tokenizer", None) is None:
        return [str(int(i)) for i in ids]
    return [model.tokenizer.decode([int(i)]) for i in ids]


def position_labels(model, tokens: Int[Tensor, "batch pos"]) -> list[str]:
    """Return a label for each position of several prompts: its token, "5 John/Mary" where there are two, "5 …" where more."""
    labels = []
    for pos, ids in enumerate(tokens.T.tolist()):
        words = list(dict.fromkeys(plots.visible(text) for text in token_texts(model, dict.fromkeys(ids))))
        labels.append(f"{pos} {'/'.join(words)}" if len(words) <= 2 else f"{pos} …")
    return labels


def place(pos: int, length: int) -> int:
    """Return a position as counted from the front; -1 is the last."""
    if not -length <= pos < length:
        raise CourseError(
            f"There is no position {pos}: the sequence has {length} tokens.",
            f"Give {-length} to {length - 1}; -1 is the last, whose logits predict the next token.",
        )
    return pos % length


def _need_tokenizer(model, what: str) -> None:
    if getattr(model, "tokenizer", None) is None:
        raise CourseError(f"{what} cannot be read: this model has no tokenizer.", "Give token numbers.")


# --- the stream as a sum ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """The residual stream at one point, as a sum: `values.sum(0)` is `whole`.

    names: "embed", "pos_embed", "head 1.2" (layer 1, head 2), "b_O 1" (the bias of attention), "attn 1" (all of it), "mlp 1", and
    "layer 1" (attention and MLP of a block).
    """

    values: Float[Tensor, "part batch pos d_model"]
    whole: Float[Tensor, "batch pos d_model"]
    names: list[str]

    def __getitem__(self, name: str) -> Float[Tensor, "batch pos d_model"]:
        if name not in self.names:
            raise CourseError(f"There is no part {name!r}.", f"There are: {', '.join(self.names)}.")
        return self.values[self.names.index(name)]


def decompose(model, tokens: Tokens, at: Name | None = None, pos: int | None = None, by: str = "head") -> Parts:
    """Return the residual stream as the sum of everything that was written to it so far.

    at: a point of the stream, as ("resid_pre", 1), ("resid_mid", 0) or ("resid_post", 1); by default after the last block.
    pos: one position only (the axis stays, with one entry), which saves memory. by: "head" (each head's
    hook_z @ W_O, attention biases, MLPs), "component" (attention and MLP of each block) or "layer" (each block as one).
    Raises CourseError where the parts do not sum to the stream: then the model writes to it in a way unknown here.
    """
    if by not in BY:
        raise CourseError(f"The stream cannot be taken apart by {by!r}.", f"There are: {', '.join(BY)}.")
    ids = as_tokens(model, tokens)
    point = ("resid_post", model.cfg.n_layers - 1) if at is None else at
    blocks, half = _written_before(model, point)
    here = slice(None) if pos is None else slice(place(pos, ids.shape[1]), place(pos, ids.shape[1]) + 1)
    # Rotary positions are no part of the stream: the bridge's `hook_pos_embed` of such a model is something else.
    start = ["hook_embed"] + ["hook_pos_embed"] * ("pos_embed.hook_out" in model.hook_dict)
    writers = _writers(model, blocks, half, by)
    seen = activations(model, ids, list(dict.fromkeys([*start, *(name for _, name in writers), point])))
    seen = {name: tensor[:, here] for name, tensor in seen.items()}
    parts = {name.removeprefix("hook_"): seen[name].expand_as(seen["hook_embed"]) for name in start}
    for layer, name in writers:
        parts |= _written(model, layer, name, seen[name])
    if by == "layer":
        parts = _by_layer(parts)
    found = Parts(torch.stack(list(parts.values())), seen[point], list(parts))
    must_sum(found.values.sum(0), found.whole, "The parts that are known here do not add up to the residual stream")
    return found


def _written_before(model, at: Name) -> tuple[int, bool]:
    """How many whole blocks have written to the stream at this point, and whether attention of the next one has, too."""
    full = act_name(at) if isinstance(at, str) else act_name(*at)
    match = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|mid|post)", full)
    layers = model.cfg.n_layers
    if match is None or int(match[1]) >= layers:
        raise CourseError(
            f"{full!r} is no point of this model's residual stream.",
            f"Give resid_pre, resid_mid or resid_post with a layer from 0 to {layers - 1}, as ('resid_mid', 0).",
        )
    return int(match[1]) + (match[2] == "post"), match[2] == "mid"


def _writers(model, blocks: int, half: bool, by: str) -> list[tuple[int, str]]:
    """The hooks to read, as (layer, name). A model without MLPs has no hook for them."""
    attention = "attn.hook_z" if by == "head" else "hook_attn_out"
    both = [(layer, f"blocks.{layer}.{name}") for layer in range(blocks) for name in (attention, "hook_mlp_out")]
    half_block = [(blocks, f"blocks.{blocks}.{attention}")] if half else []
    return [(layer, name) for layer, name in [*both, *half_block] if name in model.hook_dict]


def _written(model, layer: int, name: str, seen: Tensor) -> dict[str, Tensor]:
    """What one hook says was written: the heads and the bias for hook_z, else the tensor itself."""
    if not name.endswith("hook_z"):
        return {f"{'mlp' if name.endswith('mlp_out') else 'attn'} {layer}": seen}
    attn = model.blocks[layer].attn
    results = torch.einsum("bphd,hdm->hbpm", seen, attn.W_O.detach())
    heads = {f"head {layer}.{head}": result for head, result in enumerate(results)}
    if (bias := getattr(attn, "b_O", None)) is not None:
        heads[f"b_O {layer}"] = bias.detach().expand_as(results[0])
    return heads


def _by_layer(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Attention and MLP of each block as one part."""
    found: dict[str, Tensor] = {}
    for name, values in parts.items():
        name = re.sub(r"^(attn|mlp) ", "layer ", name)
        found[name] = found[name] + values if name in found else values
    return found


def must_sum(parts: Tensor, whole: Tensor, sentence: str) -> None:
    far = (parts - whole).abs().max().item()
    if far > CLOSE * max(1.0, whole.abs().max().item()):
        if whole.dtype not in (torch.float32, torch.float64):
            raise CourseError(f"{sentence} in {whole.dtype}: it is too coarse.", "Use float32: model.to(torch.float32)")
        raise CourseError(
            f"{sentence}: they differ by {far:.2g}.",
            "Remove hooks that edit the run (model.reset_hooks()). If it stays, this model is of a form that the course does not know.",
        )


# --- reading logits -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """How a model turns its last residual stream into the logits of one run: a linear map, with the norm's scale frozen.

    logits = ((x - mean(x)) / scale * w) @ W_U + (b @ W_U + b_U). RMSNorm does not centre and has no b; without a
    normalisation scale and w are 1. In float64, because hundreds of parts are summed.
    """

    scale: Float[Tensor, "batch 1"]
    directions: Float[Tensor, "batch d_model"]  # W_U[:, right] - W_U[:, wrong], times w
    constant: Float[Tensor, " batch"]  # what the biases add, whatever the stream holds
    centres: bool

    def read(self, x: Float[Tensor, "part batch d_model"]) -> Float[Tensor, "part batch"]:
        """Return what each part adds to the logit, or to the difference of two."""
        x = x.double()
        if self.centres:
            x = x - x.mean(-1, keepdim=True)
        return (x / self.scale * self.directions).sum(-1)


def reading(model, stream: Float[Tensor, "batch d_model"], right: Tensor, wrong: Tensor | None) -> Reading:
    """Return how the logit of `right`, or its difference to that of `wrong`, (batch,) each, is read from this stream."""
    norm, unembed = model.ln_final, model.unembed
    with torch.no_grad():
        directions, constant = unembed.W_U[:, right].T.double(), unembed.b_U[right].double()
        if wrong is not None:
            directions, constant = directions - unembed.W_U[:, wrong].T, constant - unembed.b_U[wrong]
        x = stream.double()
        if not hasattr(norm, "hook_scale"):  # no normalisation at all
            return Reading(torch.ones_like(x[:, :1]), directions, constant, centres=False)
        if centres := not norm.uses_rms_norm:
            x = x - x.mean(-1, keepdim=True)
        bias = getattr(norm, "b", None) if centres else None
        if bias is not None:
            constant = constant + directions @ bias.double()
        if (weight := getattr(norm, "w", None)) is not None:
            directions = directions * (weight.double() + 1.0 if norm.uses_weight_offset else weight.double())
        scale = (x.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        return Reading(scale, directions, constant, centres)
