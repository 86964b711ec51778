"""The result of a sweep: one value for each patch, on named axes, and ways to look at it.

Must not import TransformerLens, or anything of courses and notebooks.
"""

from dataclasses import dataclass, field
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import plots
from mechinterp_course.interp.metrics import Scale

DIRECTIONS = {
    "denoising": "the corrupted run with one clean activation: what is sufficient to restore",
    "noising": "the clean run with one corrupted activation: what is necessary",
}


@dataclass
class Axis:
    """A named axis and a label for each of its places, no two alike."""

    name: str
    labels: list[str]


@dataclass
class Sweep:
    """Values of many patched runs. 0 is the corrupted run, 1 the clean one; NaN stands where an interrupted sweep has not been.

    `per_prompt` holds the metric itself, not normalised, for each prompt of the batch: (*axes, batch).
    """

    activation: str
    direction: str
    metric: str
    axes: list[Axis]
    per_prompt: Float[Tensor, "*axes batch"]
    scale: Scale
    runs: int = 0  # patched runs that were computed; the others change nothing
    settings: tuple = field(default=(), repr=False)  # what another sweep must share to be resumed

    @property
    def values(self) -> Float[Tensor, "*axes"]:
        """The normalised metric, (m − corrupted) / (clean − corrupted), of the mean over the batch."""
        return self.scale(self.per_prompt.mean(-1)).float()

    @property
    def finished(self) -> bool:
        """Whether every value is there."""
        return not self.per_prompt.isnan().any().item()

    @property
    def axis_names(self) -> list[str]:
        return [axis.name for axis in self.axes]

    def top(self, n: int = 5) -> list[tuple[tuple[str, ...], float]]:
        """The n patches that change the run most, as (labels, value): the furthest from 0 when denoising, from 1 when noising."""
        values = self.values.flatten()
        distance = (values - self._unpatched).abs().nan_to_num(-1)
        order = distance.argsort(descending=True, stable=True)[:n].tolist()
        return [(self._labels_at(place), values[place].item()) for place in order if distance[place] >= 0]

    def select(self, **where: str | int) -> "Sweep":
        """The part of the sweep at one place of an axis, by its index or its label: sweep.select(layer=1, pos="4 John")."""
        part, axes = self.per_prompt, list(self.axes)
        for name, place in where.items():
            if name not in (names := [axis.name for axis in axes]):
                raise unknown("axis", name, names)
            dim = names.index(name)
            part = part.select(dim, _index(axes[dim], place))
            axes.pop(dim)
        return Sweep(self.activation, self.direction, self.metric, axes, part, self.scale, self.runs)

    def plot(self, title: str | None = None, alt: str | None = None):
        """Draw the values: a heatmap of two axes, bars of one. Of three, layer and head share the rows.

        Blue to white to red; white is the unpatched run: 0 when denoising, 1 when noising.
        """
        title = title or f"{self.direction.capitalize()} {self.activation}"
        alt = alt or self.describe()
        label = f"share of the {self.metric}"
        if not self.axes:
            raise CourseError("One number is left, and no axis to draw it on.", "Print sweep.values.")
        if len(self.axes) == 1:
            axis = self.axes[0]
            return plots.bars(self.values, axis.labels, title=title, alt=alt, xlabel=axis.name, ylabel=label)
        *rows, columns = self.axes
        names = [".".join(labels) for labels in product(*(axis.labels for axis in rows))]
        return plots.heatmap(
            self.values.flatten(0, -2),
            x=columns.labels,
            y=names,
            xlabel=columns.name,
            ylabel=".".join(axis.name for axis in rows),
            zlabel=label,
            zmid=self._unpatched,
            title=title,
            alt=alt,
        )

    def describe(self) -> str:
        """A sentence or two that say what the sweep found, for those who cannot see the picture."""
        shape = " × ".join(f"{axis.name} ({len(axis.labels)})" for axis in self.axes)
        said = f"{DIRECTIONS[self.direction].capitalize()}. {shape}; 0 is the corrupted run, 1 the clean one."
        strongest = [f"{round(value, 2) + 0.0:.2f} at {self._named(labels)}" for labels, value in self.top(3)]
        said += f" Furthest from {self._unpatched}: {', '.join(strongest)}." if strongest else ""
        left = int(self.per_prompt.isnan().any(-1).sum())
        return said + (f" {left} values are missing: the sweep was interrupted." if left else "")

    def __repr__(self) -> str:
        return f"Sweep of {self.activation}, {self.direction}, {self.metric}. {self.describe()}"

    @property
    def _unpatched(self) -> int:
        return 0 if self.direction == "denoising" else 1

    def _labels_at(self, place: int) -> tuple[str, ...]:
        index = torch.unravel_index(torch.tensor(place), self.per_prompt.shape[:-1])
        return tuple(axis.labels[i] for axis, i in zip(self.axes, index, strict=True))

    def _named(self, labels: tuple[str, ...]) -> str:
        return ", ".join(f"{axis.name} {label}" for axis, label in zip(self.axes, labels, strict=True))


def _index(axis: Axis, place: str | int) -> int:
    if isinstance(place, str):
        if place not in axis.labels:
            raise unknown(f"{axis.name}", place, axis.labels)
        return axis.labels.index(place)
    if not -len(axis.labels) <= place < len(axis.labels):
        raise CourseError(f"There is no {axis.name} {place}: there are {len(axis.labels)}.", "Count from 0.")
    return place
