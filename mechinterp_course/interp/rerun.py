"""Many patched runs at once, each from the place of its patch: the part of the network before the patch is not run again.

A patch is what it adds to the residual stream at one place. All runs of a batch go through the layers together, and each joins
at its own place. Three things are never computed: positions before the patch (attention looks back only, so they are as in the
base run), positions that the metric does not reach, and runs whose patch adds nothing.
Must not import TransformerLens, draw, or know anything of courses.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mechinterp_course.interp.forward import Run, Transformer


@dataclass
class Patch:
    """One patched run, for every prompt of the batch.

    place: 2·layer is the stream before that layer's attention, 2·layer + 1 the stream before its MLP, 2·n_layers the last stream.
    start: the first position that the patch changes. delta: (batch, pos − start, d_model), what it adds to the stream there.
    held: queries, keys or values of later heads that keep a given value: layer -> [(letter, head, (batch, pos, d_head))].
    """

    place: int
    start: int
    delta: Tensor
    held: dict[int, list[tuple[str, int, Tensor]]] = field(default_factory=dict)


def patch(place: int, delta: Tensor) -> Patch | None:
    """The patch that adds delta (batch, pos, d_model) to the stream, or None where that changes nothing."""
    changed = delta.ne(0).any(-1).any(0).nonzero()
    if not len(changed):
        return None
    start = changed[0].item()
    return Patch(place, start, delta[:, start:])


class Rerun:
    """Patched runs of one base run. positions: where the streams at the end are wanted, counted from 0."""

    def __init__(self, net: Transformer, base: Run, positions: list[int]):
        self.net, self.base = net, base
        device = base.resid[0].device
        self.batch, self.length = base.resid[0].shape[:2]
        self.positions = torch.tensor(positions, device=device)
        self.wanted = torch.zeros(self.length, dtype=torch.bool, device=device)
        self.wanted[self.positions] = True

    def streams(self, patches: list[Patch]) -> Tensor:
        """The last residual streams, (patch, batch, position, d_model), of patches sorted by their place."""
        self.x = self.base.resid[0].new_empty(0, self.base.resid[0].shape[-1])  # one row for each (run, position)
        self.run = self.pos = self.positions.new_empty(0)  # of each row: which run, and its position
        self.joined, self.patches = 0, patches
        end = 2 * self.net.n_layers
        for place in range(patches[0].place, end):
            self._join(place)
            layer, after_attention = divmod(place, 2)
            if after_attention:
                self.x = self.x + self.net.mlp(layer, self.x)
            else:
                self._attention(layer)
        self._join(end)
        last = self.base.resid[-1][:, self.positions].repeat(len(patches), 1, 1)
        column = torch.searchsorted(self.positions, self.pos)
        last[self.run, column] = self.x
        return last.unflatten(0, (len(patches), self.batch))

    def _join(self, place: int) -> None:
        """Add the runs whose patch is at this place: the base stream there and what the patch adds, from its start on."""
        layer, middle = divmod(place, 2)
        stream = self.base.mid[layer] if middle else self.base.resid[layer]
        last = place > 2 * (self.net.n_layers - 1)
        new = [(self.x, self.run, self.pos)]
        while self.joined < len(self.patches) and self.patches[self.joined].place == place:
            own = self.patches[self.joined]
            pos = torch.arange(own.start, self.length, device=self.wanted.device)
            x = stream[:, own.start :] + own.delta
            if last:
                x, pos = x[:, self.wanted[own.start :]], pos[self.wanted[own.start :]]
            first = self.joined * self.batch
            run = torch.arange(first, first + self.batch, device=pos.device).repeat_interleave(len(pos))
            new.append((x.flatten(0, 1), run, pos.repeat(self.batch)))
            self.joined += 1
        if len(new) > 1:
            self.x, self.run, self.pos = (torch.cat(parts) for parts in zip(*new, strict=True))

    def _attention(self, layer: int) -> None:
        """Add to each row what attention writes there. In the last layer only the wanted positions go on."""
        net, runs = self.net, self.joined * self.batch
        normal = net.blocks[layer].norm1(self.x)
        k, v = (self._placed(layer, letter, normal, runs) for letter in "kv")
        if layer == net.n_layers - 1:
            keep = self.wanted[self.pos]
            normal = normal[keep]
            self.x, self.run, self.pos = self.x[keep], self.run[keep], self.pos[keep]
            queries = self.positions
        else:
            queries = torch.arange(self.pos.min().item(), self.length, device=self.pos.device)
        if not len(self.x):
            return
        column = torch.searchsorted(queries, self.pos)
        q = self.x.new_zeros(runs, len(queries), net.n_heads, net.d_head)
        q[self.run, column] = net.read(layer, "q", normal, self.pos)
        self._hold(layer, "q", q, queries)
        z = net.attend(q, k, v, queries)
        self.x = self.x + net.write(layer, z[self.run, column])

    def _placed(self, layer: int, letter: str, normal: Tensor, runs: int) -> Tensor:
        """Keys or values of all runs at all positions: the base run's, and new ones where the stream has changed."""
        values = getattr(self.base, letter)[layer].repeat(runs // self.batch, 1, 1, 1)
        values[self.run, self.pos] = self.net.read(layer, letter, normal, self.pos)
        self._hold(layer, letter, values, torch.arange(self.length, device=self.pos.device))
        return values

    def _hold(self, layer: int, letter: str, values: Tensor, positions: Tensor) -> None:
        """Put in place what some runs hold fixed in this layer."""
        for i, own in enumerate(self.patches[: self.joined]):
            for held_letter, head, held in own.held.get(layer, ()):
                if held_letter == letter:
                    values[i * self.batch : (i + 1) * self.batch, :, head] = held[:, positions]
