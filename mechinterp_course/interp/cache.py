"""Named activations of any TransformerBridge: names are checked before the model runs, and a table says what there is.

Works on the model that it is given; must not import TransformerLens, draw, or know anything of courses.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown

Name = str | tuple  # "blocks.1.attn.hook_pattern", "pattern1", ("pattern", 1) or ("scale", 1, "ln2")
Tokens = Int[Tensor, "batch pos"] | Int[Tensor, "pos"] | str

# Hooks that are off until the model is told to compute them, because they cost memory: name ending -> the setting.
SWITCHES = {
    "attn.hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_attn_in": "use_attn_in",
    "hook_mlp_in": "use_hook_mlp_in",
}
# These two settings exclude each other.
RIVALS = {"use_split_qkv_input": "use_attn_in", "use_attn_in": "use_split_qkv_input"}

# In a native model (TransformerLens' own form, as `mod-add-53` has it) these hooks do nothing: name ending -> what to do.
NATIVE_GAPS = {
    "attn.hook_attn_scores": "It holds the pattern, and an edit to it changes nothing: use attn.hook_pattern.",
    "attn.hook_result": "It cannot be switched on: what a head adds is its attn.hook_z times its W_O.",
    "attn.hook_q_input": "It cannot be switched on: use attn.hook_q.",
    "attn.hook_k_input": "It cannot be switched on: use attn.hook_k.",
    "attn.hook_v_input": "It cannot be switched on: use attn.hook_v.",
    "attn.hook_attn_in": "It cannot be switched on: use attn.hook_q, attn.hook_k and attn.hook_v.",
    "attn.hook_hidden_states": "It is never reached: use hook_resid_pre.",
}

# The hooks that have a name in the field, in the order in which a forward pass reaches them: (name, axes, one line).
STREAM, SCALE, HEADS = "batch pos d_model", "batch pos 1", "batch pos head d_head"
COPIES, PATTERN, NEURONS = "batch pos head d_model", "batch head query key", "batch pos d_mlp"
FIRST = [
    ("hook_embed", STREAM, "the embedding of each token"),
    ("hook_pos_embed", STREAM, "the embedding of each position"),
]
BLOCK = [
    ("hook_resid_pre", STREAM, "the residual stream before this block"),
    ("hook_attn_in", COPIES, "the residual stream as each head reads it, one copy a head"),
    ("hook_q_input", COPIES, "the residual stream as the queries read it, one copy a head"),
    ("hook_k_input", COPIES, "the residual stream as the keys read it, one copy a head"),
    ("hook_v_input", COPIES, "the residual stream as the values read it, one copy a head"),
    ("ln1.hook_scale", SCALE, "what the normalisation before attention divides by"),
    ("ln1.hook_normalized", STREAM, "the stream after that division, before the weight and bias of the normalisation"),
    ("attn.hook_q", HEADS, "queries: what each position looks for"),
    ("attn.hook_k", HEADS, "keys: what each position offers to be found by"),
    ("attn.hook_v", HEADS, "values: what each position hands over"),
    ("attn.hook_rot_q", HEADS, "queries after the rotation by their position"),
    ("attn.hook_rot_k", HEADS, "keys after the rotation by their position"),
    ("attn.hook_attn_scores", PATTERN, "query times key, scaled and masked, before the softmax"),
    ("attn.hook_pattern", PATTERN, "the attention pattern: each query's row sums to 1"),
    ("attn.hook_z", HEADS, "the values of each head, averaged by its pattern"),
    ("attn.hook_result", COPIES, "what each head alone adds to the residual stream (without b_O)"),
    ("hook_attn_out", STREAM, "what attention adds to the residual stream: all heads and b_O"),
    ("hook_resid_mid", STREAM, "the residual stream between attention and MLP"),
    ("hook_mlp_in", STREAM, "the residual stream as the MLP reads it, before its normalisation"),
    ("ln2.hook_scale", SCALE, "what the normalisation before the MLP divides by"),
    ("ln2.hook_normalized", STREAM, "the stream after that division, before the weight and bias of the normalisation"),
    ("mlp.hook_pre", NEURONS, "the neurons before their activation function"),
    ("mlp.hook_pre_linear", NEURONS, "in a gated MLP: what the activated neurons are multiplied by"),
    ("mlp.hook_post", NEURONS, "the neurons as the output matrix reads them"),
    ("hook_mlp_out", STREAM, "what the MLP adds to the residual stream"),
    ("hook_resid_post", STREAM, "the residual stream after this block"),
]
LAST = [
    ("ln_final.hook_scale", SCALE, "what the last normalisation divides by"),
    (
        "ln_final.hook_normalized",
        STREAM,
        "the stream after that division, before the weight and bias of the normalisation",
    ),
    ("hook_unembed", "batch pos d_vocab", "the logits"),
]


# --- names --------------------------------------------------------------------------------------------------------


def act_name(name: str, layer: int | str | None = None, part: str | None = None) -> str:
    """Return the full hook name of a short one, by the rules of TransformerLens' `get_act_name`.

    ("pattern", 1) is "blocks.1.attn.hook_pattern", "k6" is "blocks.6.attn.hook_k", ("scale", 2, "ln1") is
    "blocks.2.ln1.hook_scale", "embed" is "hook_embed". A full name stays as it is.
    """
    if ("." in name or name.startswith("hook_")) and layer is None and part is None:
        return name
    if match := re.match(r"([a-z]+)(\d+)(.*)", name):
        name, layer, part = match.group(1), match.group(2), match.group(3)
    longer = {"attn": "pattern", "attn_logits": "attn_scores", "key": "k", "query": "q", "value": "v"}
    longer |= {"mlp_pre": "pre", "mlp_mid": "mid", "mlp_post": "post"}
    name = longer.get(name, name)
    if name in ("k", "v", "q", "z", "rot_k", "rot_q", "result", "pattern", "attn_scores"):
        part = "attn"
    elif name in ("pre", "post", "mid", "pre_linear"):
        part = "mlp"
    else:
        shorter = {"a": "attn", "attention": "attn", "m": "mlp", "b": "", "block": "", "blocks": ""}
        part = shorter.get(part, part)
    if name in ("scale", "normalized") and layer is None and not part:
        part = "ln_final"
    block = "" if layer is None else f"blocks.{layer}."
    return block + (f"{part}." if part else "") + f"hook_{name}"


def hook_name(model, name: Name) -> str:
    """Return the full name of a hook that this model has and runs; `name` as in `activations`.

    Raises CourseError for a name that does not exist, with the nearest ones, for a hook that does nothing in this model,
    with what to use instead, and for a hook that is switched off, with the call that switches it on.
    """
    hooks = model.hook_dict
    full = act_name(name) if isinstance(name, str) else act_name(*name)
    if full not in hooks:
        raise _no_such_hook(model, full, hooks)
    if (instead := native_gap(model, full)) is not None:
        raise CourseError(f"The hook {full!r} does not act in this model, which is a native one.", instead)
    if (setting := switched_off(model, full)) is not None:
        rival = RIVALS.get(setting)
        first = f"model.set_{rival}(False), then " if rival and getattr(model.cfg, rival) else ""
        raise CourseError(
            f"The hook {full!r} is switched off, because it costs memory.",
            f"Switch it on: {first}model.set_{setting}(True)",
        )
    return full


def native_gap(model, full: str) -> str | None:
    """What to do instead, where this hook does nothing because the model is a native one; None where it acts."""
    if getattr(model.cfg, "architecture", None) != "TransformerLensNative":
        return None
    canonical = model.hook_dict[full].name
    return next((instead for ending, instead in NATIVE_GAPS.items() if canonical.endswith(ending)), None)


def switched_off(model, full: str) -> str | None:
    """The setting that keeps a hook of this model off, or None where it is on. Goes by the hook, whatever its alias."""
    canonical = model.hook_dict[full].name
    for ending, setting in SWITCHES.items():
        if canonical.endswith(ending) and not getattr(model.cfg, setting):
            return setting
    return None


def _no_such_hook(model, full: str, hooks: Iterable[str]) -> CourseError:
    last = model.cfg.n_layers - 1
    block = re.match(r"blocks\.(\d+)\.", full)
    if block and int(block[1]) > last:
        return CourseError(
            f"There is no hook {full!r}: the layers of this model are numbered from 0 to {last}.",
            "Ask for one of those.",
        )
    if f"blocks.0.{full}" in hooks:
        return CourseError(f"Every layer has a hook {full!r}.", f"Say which, from 0 to {last}: 'blocks.{last}.{full}'")
    # Only names of the same block: the nearest spelling is otherwise the right name in ten wrong layers.
    here = [hook for hook in hooks if hook.startswith(block[0])] if block else list(hooks)
    return unknown("hook", full, here, "hook_table(model) lists them.")


# --- activations --------------------------------------------------------------------------------------------------


def activations(model, tokens: Tokens, names: Name | list[Name]) -> dict[Name, Float[Tensor, "..."]]:
    """Return the named activations of one forward pass, as a dict with the names that you asked for.

    tokens: (batch, pos), or (pos,) for a batch of one, or a text (tokenised with BOS in front). names: one name or a list; a name is
    full ("blocks.1.attn.hook_pattern"), short ("pattern1") or a tuple ("pattern", 1). The shapes stand in `hook_table(model)`.
    Raises CourseError before the model runs where a name is misspelt or its hook is off. No gradients are kept.
    """
    asked = names if isinstance(names, list) else [names]
    full = {name: hook_name(model, name) for name in asked}
    if isinstance(tokens, Tensor) and tokens.dim() == 1:
        tokens = tokens[None]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=list(full.values()), return_cache_object=False)
    for name in full.values():
        if cache.get(name) is None:
            raise CourseError(
                f"The hook {name!r} exists, but this model never runs through it.",
                "hook_table(model) lists those that it uses.",
            )
    return {name: cache[full[name]] for name in asked}


# --- the table ----------------------------------------------------------------------------------------------------


class HookRow(NamedTuple):
    """One line of the hook table. `shape` is None without tokens and for a hook that is off."""

    name: str
    axes: str
    shape: tuple[int, ...] | None
    about: str


def hook_table(model, tokens: Tokens | None = None, layer: int = 0) -> list[HookRow]:
    """Return a row for each named hook outside the blocks and in block `layer`, in the order of a forward pass.

    With tokens, as in `activations`, the model runs once and each row has the shape that was seen. `model.hook_dict`
    holds further hooks (the inputs and outputs of every module) and those of the other layers.
    """
    if not 0 <= layer < model.cfg.n_layers:
        raise CourseError(
            f"There is no layer {layer}: the model has {model.cfg.n_layers}.", f"Ask for 0 to {model.cfg.n_layers - 1}."
        )
    hooks = model.hook_dict
    in_block = [(f"blocks.{layer}.{name}", axes, about) for name, axes, about in BLOCK]
    there = [line for line in [*FIRST, *in_block, *LAST] if line[0] in hooks and not _is_rotary(model, line[0])]
    on = [name for name, _, _ in there if switched_off(model, name) is None and native_gap(model, name) is None]
    seen = {} if tokens is None else activations(model, tokens, on)
    rows = []
    for name, axes, about in there:
        if native_gap(model, name) is not None:
            about += " (does not act in this model)"
        elif (setting := switched_off(model, name)) is not None:
            about += f" (off; model.set_{setting}(True) switches it on)"
        rows.append(
            HookRow(name, _grouped(model, name, axes), tuple(seen[name].shape) if name in seen else None, about)
        )
    return rows


def hook_text(rows: list[HookRow]) -> str:
    """The rows of `hook_table` as text in columns."""
    lines = [("name", "axes", "shape", "what it is")]
    lines += [(row.name, row.axes, str(row.shape) if row.shape else "", row.about) for row in rows]
    shown = [i for i in range(4) if any(line[i] for line in lines[1:])]
    widths = {i: max(len(line[i]) for line in lines) for i in shown}
    return "\n".join("  ".join(line[i].ljust(widths[i]) for i in shown).rstrip() for line in lines)


def _is_rotary(model, name: str) -> bool:
    """Rotary positions are rotations inside attention: what the bridge calls their `hook_pos_embed` holds no tensor."""
    return name == "hook_pos_embed" and "pos_embed.hook_out" not in model.hook_dict


def _grouped(model, name: str, axes: str) -> str:
    """Where several query heads share a key and a value, those two have fewer heads: call that axis `kv_head`."""
    shared = getattr(model.cfg, "n_key_value_heads", None) not in (None, model.cfg.n_heads)
    if shared and name.endswith(("hook_k", "hook_v", "hook_rot_k", "hook_k_input", "hook_v_input")):
        return axes.replace("head", "kv_head", 1)
    return axes
