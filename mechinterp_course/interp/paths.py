"""Path patching: change what one component tells another, and nothing else.

The sender's change is carried along the residual stream to the receivers alone: every other head, and every MLP unless
`through_mlps`, keeps the output that it has in the base run. The receivers then act on what they heard, and the rest of the
network runs on as always. Wang et al. 2022. Must not import TransformerLens, or know anything of courses.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp.cache import Tokens
from mechinterp_course.interp.metrics import Metric
from mechinterp_course.interp.pair import Pair
from mechinterp_course.interp.patching import Indexed, head_patches
from mechinterp_course.interp.rerun import Patch, patch
from mechinterp_course.interp.sweep import Axis, Sweep

Head = tuple[int, int]  # (layer, head)
Sender = Head | tuple[str, int]  # a head, or ("mlp", layer)
Receiver = tuple[int, int, str]  # (layer, head, "q"), (layer, kv_head, "k") or (layer, kv_head, "v")


def paths_to(
    model,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric | Callable,
    receivers: str | list[Receiver],
    *,
    senders: str | list[Sender] = "heads",
    direction: str = "denoising",
    through_mlps: bool = False,
    batch_size: int | None = None,
    progress: bool = True,
    resume: Sweep | None = None,
) -> Sweep:
    """Return the effect of every sender on the answer by its paths to the receivers: 0 is the corrupted run, 1 the clean one.

    receivers: "logits", the end of the residual stream, which gives each sender's direct effect; or inputs of heads, as
    [(layer, head, "q"), ...] with "q", "k" or "v". senders: "heads" on the axes (layer, head), "mlps" on (layer), or a list of
    (layer, head) and ("mlp", layer). A sender that no path leads from changes nothing. through_mlps: paths may also lead
    through MLPs, as in Wang et al. 2022. The rest as in `activation_patching`.
    """
    pair = Pair(model, clean, corrupted, metric, direction)
    goals = _receivers(pair, receivers)
    axes, places = _senders(pair, senders)
    # A later sender reaches later receivers first: so the patches come in the order of their places.
    places = sorted(places, key=lambda place: _layer(place[1]))
    patches = ((index, _to_receivers(pair, sender, goals, through_mlps)) for index, sender in places)
    what = "logits" if goals is None else ", ".join(f"{layer}.{head}.{letter}" for layer, head, letter in goals)
    name = f"paths to {what}" + (" through MLPs" if through_mlps else "")
    return pair.sweep(name, axes, patches, batch_size, progress, resume)


def paths_from(
    model,
    clean: Tokens,
    corrupted: Tokens,
    metric: Metric | Callable,
    sender: Sender,
    into: str = "q",
    *,
    direction: str = "denoising",
    through_mlps: bool = False,
    batch_size: int | None = None,
    progress: bool = True,
    resume: Sweep | None = None,
) -> Sweep:
    """Return the effect of one sender on the answer by its path to each later head, on the axes (layer, head).

    sender: (layer, head) or ("mlp", layer). into: "q", "k" or "v", the input of the later head that hears the change; where
    heads share keys and values, "k" and "v" have the axis kv_head. Layers up to the sender's change nothing.
    The rest as in `paths_to`. On models without shared keys equal to `transformer_lens.patching.get_act_patch_direct_path`.
    """
    _letter(into)
    pair = Pair(model, clean, corrupted, metric, direction)
    _check_sender(pair, sender)
    count = pair.net.n_heads if into == "q" else pair.net.n_kv
    name = "head" if count == pair.net.n_heads else "kv_head"
    axes = [Axis("layer", [str(i) for i in range(pair.net.n_layers)]), Axis(name, [str(i) for i in range(count)])]

    def patches() -> Indexed:
        heard = _heard(pair, sender, through_mlps)
        for layer in range(pair.net.n_layers):
            own = [None] * count
            if layer in heard:
                z = pair.attend(layer, **{into: _read(pair, layer, into, heard[layer])})
                own = head_patches(pair, layer, z, count)
            for head, patched in enumerate(own):
                yield (layer, head), patched

    told = f"paths from {_name(sender)} into {into}" + (" through MLPs" if through_mlps else "")
    return pair.sweep(told, axes, patches(), batch_size, progress, resume)


# --- from a sender to what is heard --------------------------------------------------------------------------------


def _change(pair: Pair, sender: Sender) -> Tensor:
    """What the sender writes in the source run less what it writes in the base run: (batch, pos, d_model)."""
    layer = _layer(sender)
    if sender[0] == "mlp":
        return pair.source.mlp_out[layer] - pair.base.mlp_out[layer]
    head = sender[1]
    changed = pair.source.z[layer][:, :, head] - pair.base.z[layer][:, :, head]
    return changed @ pair.net.blocks[layer].W_O[head]


def _heard(pair: Pair, sender: Sender, through_mlps: bool) -> dict[int, Tensor]:
    """The residual stream before each later block, and after the last, as the sender alone has changed it."""
    layer, change, base = _layer(sender), _change(pair, sender), pair.base
    later = range(layer + 1, pair.net.n_layers + 1)
    if not through_mlps:
        return {i: base.resid[i] + change for i in later}
    heard = {}
    if sender[0] == "mlp":
        stream = base.resid[layer + 1] + change
    else:
        stream = _after_mlp(pair, layer, base.mid[layer] + change)
    for i in later:
        heard[i] = stream
        if i < pair.net.n_layers:  # attention is frozen, the MLP answers to what it hears
            stream = _after_mlp(pair, i, stream + base.attn_out[i])
    return heard


def _after_mlp(pair: Pair, layer: int, mid: Tensor) -> Tensor:
    return mid + pair.net.mlp(layer, mid)


def _read(pair: Pair, layer: int, letter: str, stream: Tensor) -> Tensor:
    """Queries, keys or values of all heads of a layer that read this stream: (batch, pos, head, d_head)."""
    positions = torch.arange(stream.shape[1], device=stream.device)
    return pair.net.read(layer, letter, pair.net.blocks[layer].norm1(stream), positions)


def _to_receivers(pair: Pair, sender: Sender, goals: list[Receiver] | None, through_mlps: bool) -> Patch | None:
    """The patched run in which the receivers hear the sender's change: the first acts at once, later ones hold what they heard."""
    last = pair.net.n_layers
    reached = [last] if goals is None else sorted({goal[0] for goal in goals if goal[0] > _layer(sender)})
    change = _change(pair, sender)
    if not reached or not change.any():
        return None
    heard = _heard(pair, sender, through_mlps)
    if goals is None:
        return patch(2 * last, heard[last] - pair.base.resid[last])
    held = {layer: list(_inputs(pair, layer, heard[layer], goals)) for layer in reached}
    first = reached[0]
    new = {}
    for letter, head, values in held.pop(first):
        new.setdefault(letter, getattr(pair.base, letter)[first].clone())[:, :, head] = values
    z = pair.attend(first, **new)
    delta = torch.einsum("bphd,hdm->bpm", z - pair.base.z[first], pair.net.blocks[first].W_O)
    start = change.ne(0).any(-1).any(0).nonzero()[0].item()  # no receiver hears anything before it
    return Patch(2 * first + 1, start, delta[:, start:], held)


def _inputs(pair: Pair, layer: int, stream: Tensor, goals: list[Receiver]) -> Iterator[tuple[str, int, Tensor]]:
    for letter in "qkv":
        heads = [head for at, head, own in goals if at == layer and own == letter]
        if heads:
            values = _read(pair, layer, letter, stream)
            yield from ((letter, head, values[:, :, head]) for head in heads)


# --- names ----------------------------------------------------------------------------------------------------------


def _layer(sender: Sender) -> int:
    return sender[1] if sender[0] == "mlp" else sender[0]


def _name(sender: Sender) -> str:
    return f"mlp {sender[1]}" if sender[0] == "mlp" else f"{sender[0]}.{sender[1]}"


def _letter(letter: str) -> None:
    if letter not in ("q", "k", "v"):
        raise unknown("input of a head", str(letter), ["q", "k", "v"])


def _check_sender(pair: Pair, sender: Sender) -> None:
    good = isinstance(sender, tuple) and len(sender) == 2 and isinstance(sender[1], int)
    if good and sender[0] == "mlp" and 0 <= sender[1] < pair.net.n_layers:
        return
    if good and isinstance(sender[0], int) and 0 <= sender[0] < pair.net.n_layers and 0 <= sender[1] < pair.net.n_heads:
        return
    raise CourseError(
        f"{sender!r} is no sender in this model, with {pair.net.n_layers} layers of {pair.net.n_heads} heads.",
        'A sender is a head, as (layer, head), or an MLP, as ("mlp", layer); both count from 0.',
    )


def _senders(pair: Pair, senders: str | list[Sender]) -> tuple[list[Axis], list[tuple[tuple[int, ...], Sender]]]:
    """The axes, and each sender with its place on them."""
    layers = Axis("layer", [str(i) for i in range(pair.net.n_layers)])
    if senders == "heads":
        heads = Axis("head", [str(i) for i in range(pair.net.n_heads)])
        places = [(layer, head) for layer in range(pair.net.n_layers) for head in range(pair.net.n_heads)]
        return [layers, heads], [(place, place) for place in places]
    if senders == "mlps":
        return [layers], [((layer,), ("mlp", layer)) for layer in range(pair.net.n_layers)]
    if isinstance(senders, str):
        raise unknown("kind of senders", senders, ["heads", "mlps"], "Or give a list of (layer, head).")
    chosen = list(dict.fromkeys(senders))
    for sender in chosen:
        _check_sender(pair, sender)
    return [Axis("sender", [_name(sender) for sender in chosen])], [((i,), own) for i, own in enumerate(chosen)]


def _receivers(pair: Pair, receivers: str | list[Receiver]) -> list[Receiver] | None:
    """The receivers, checked and each once; None for the end of the stream."""
    if receivers == "logits":
        return None
    if isinstance(receivers, str) or not receivers:
        raise CourseError(
            f"{receivers!r} names no receiver.", 'Give "logits", or heads with their input: [(layer, head, "q")].'
        )
    for layer, head, letter in receivers:
        _letter(letter)
        count = pair.net.n_heads if letter == "q" else pair.net.n_kv
        if not (0 <= layer < pair.net.n_layers and 0 <= head < count):
            raise CourseError(
                f"There is no input {letter!r} of head {layer}.{head}: "
                f"there are {pair.net.n_layers} layers, and {count} such inputs in each.",
                "Count both from 0; where query heads share keys and values, number the shared ones.",
            )
    return list(dict.fromkeys(receivers))
