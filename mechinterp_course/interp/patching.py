"""Activation patching: give one run the activation of another, and see what that does to the answer.

Denoising runs the corrupted prompt with one clean activation and shows what is sufficient to restore the answer; noising runs the
clean prompt with one corrupted activation and shows what is necessary. Heimersheim & Nanda 2024. Values equal
`transformer_lens.patching`, which runs the whole model for each patch; here each run starts at its patch, and many go together.
Paths between components are in `paths`. Must not import TransformerLens, or know anything of courses.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp.cache import Tokens
from mechinterp_course.interp.metrics import Metric
from mechinterp_course.interp.pair import Pair
from mechinterp_course.interp.rerun import Patch, patch
from mechinterp_course.interp.sweep import Axis, Sweep

# Of each activation on the residual stream: the list of a run that holds it, and the place (in half layers) where it acts.
STREAM = {
    "resid_pre": ("resid", 0),
    "attn_out": ("attn_out", 1),
    "resid_mid": ("mid", 1),
    "mlp_out": ("mlp_out", 2),
    "resid_post": ("resid", 2),
}
HEADS = {
    "z": "the output of a head",
    "q": "its queries",
    "k": "its keys",
    "v": "its values",
    "pattern": "its attention pattern",
}
ACTIVATIONS = [*STREAM, *HEADS]


def activation_patching(
    model,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric | Callable,
    activation: str,
    *,
    direction: str = "denoising",
    by_position: bool | None = None,
    layers: list[int] | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    resume: Sweep | None = None,
) -> Sweep:
    """Return the effect of patching each activation of one kind: 0 is the corrupted run, 1 the clean run.

    activation: "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", on the axes (layer, pos); or of single heads
    "z" (their output), "q", "k", "v", "pattern", on (layer, head), and with by_position=True on (layer, head, pos). Where heads
    share keys and values, "k" and "v" have the axis kv_head. A position of a pattern is its query.
    direction: "denoising" patches clean activations into the corrupted run, "noising" corrupted ones into the clean run.
    clean, corrupted: texts, or tokens (pos,) or (batch, pos), of equal length. metric: one of `metrics`, or a function of logits
    (batch, pos, d_vocab) that returns (batch,) or a number. layers: only these. batch_size: patched runs in memory at one time.
    resume: an interrupted sweep, whose values are kept. Raises CourseError where prompts or metric cannot be compared.
    """
    if activation not in ACTIVATIONS:
        raise unknown("activation to patch", activation, ACTIVATIONS)
    if activation in STREAM and by_position is False:
        raise CourseError(
            f"{activation} is patched position by position: all of them at once would replace the whole run.",
            "Leave by_position out.",
        )
    pair = Pair(model, clean, corrupted, metric, direction)
    chosen = _layers(pair.net.n_layers, layers)
    axes = [Axis("layer", [str(layer) for layer in chosen])]
    if activation in STREAM:
        axes.append(Axis("pos", pair.labels))
        patches = _stream_patches(pair, activation, chosen)
    else:
        shared = activation in ("k", "v") and pair.net.n_kv != pair.net.n_heads
        count = pair.net.n_kv if shared else pair.net.n_heads
        axes.append(Axis("kv_head" if shared else "head", [str(head) for head in range(count)]))
        axes += [Axis("pos", pair.labels)] if by_position else []
        patches = _head_patches(pair, activation, chosen, count, bool(by_position))
    return pair.sweep(activation, axes, patches, batch_size, progress, resume)


def _layers(count: int, layers: list[int] | None) -> list[int]:
    """The layers to patch, in order."""
    if layers is None:
        return list(range(count))
    if not layers or not all(0 <= layer < count for layer in layers):
        raise CourseError(f"layers is {layers}; the model has 0 to {count - 1}.", "Give some of those.")
    return sorted(set(layers))


Indexed = Iterator[tuple[tuple[int, ...], Patch | None]]


def _stream_patches(pair: Pair, activation: str, layers: list[int]) -> Indexed:
    """One position of the residual stream, or of what is added to it, from the other run."""
    name, half = STREAM[activation]
    after = activation == "resid_post"  # the stream after a block is the next one's
    for i, layer in enumerate(layers):
        base, source = (getattr(run, name)[layer + after] for run in (pair.base, pair.source))
        delta = source - base
        for pos in range(pair.length):
            # Beyond the last position that the metric reads, nothing can change it.
            here = delta[:, pos : pos + 1]
            yield (i, pos), Patch(2 * layer + half, pos, _padded(here, delta, pos)) if here.ne(0).any() else None


def _padded(here: Tensor, delta: Tensor, pos: int) -> Tensor:
    """The change at one position, and none at the later ones."""
    rest = here.new_zeros(1, 1, 1).expand(len(here), delta.shape[1] - pos - 1, here.shape[-1])
    return torch.cat([here, rest], 1)


def _head_patches(pair: Pair, activation: str, layers: list[int], count: int, by_position: bool) -> Indexed:
    """Heads whose z is another: patched itself, or computed from a patched query, key, value or pattern."""
    for i, layer in enumerate(layers):
        for pos in range(pair.length) if by_position else [None]:
            if pos is not None and pos >= pair.base.z[layer].shape[1]:  # beyond what the metric reads
                patches = [None] * count
            else:
                patches = head_patches(pair, layer, patched_z(pair, activation, layer, pos), count)
            for head, own in enumerate(patches):
                yield ((i, head) if pos is None else (i, head, pos)), own


def head_patches(pair: Pair, layer: int, z: Tensor, count: int) -> Iterator[Patch | None]:
    """For each of `count` heads (or groups that share a key): the patch that gives it alone the new z (batch, pos, head, d_head)."""
    group = pair.net.n_heads // count
    changed = z - pair.base.z[layer]
    for head in range(count):
        heads = slice(head * group, (head + 1) * group)
        added = torch.einsum("bphd,hdm->bpm", changed[:, :, heads], pair.net.blocks[layer].W_O[heads])
        yield patch(2 * layer + 1, added)


def patched_z(pair: Pair, activation: str, layer: int, pos: int | None = None) -> Tensor:
    """z (batch, pos, head, d_head) of the base run where one activation of each head, or its part at `pos`, is the source's.

    All heads are patched in one tensor: heads of a layer do not see one another, so each may then be taken alone.
    """
    base, source = pair.base, pair.source
    if activation in ("z", "pattern"):
        z = source.z[layer]
        if activation == "pattern":  # the pattern of the source run, over the values of the base run
            z = pair.attend(layer, q=source.q[layer], k=source.k[layer])
        return z if pos is None else _at(base.z[layer], z, pos)
    new = getattr(source, activation)[layer]
    return pair.attend(layer, **{activation: new if pos is None else _at(getattr(base, activation)[layer], new, pos)})


def _at(base: Tensor, source: Tensor, pos: int) -> Tensor:
    """base with the source's values at one position."""
    mixed = base.clone()
    mixed[:, pos] = source[:, pos]
    return mixed
