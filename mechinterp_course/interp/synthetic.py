"""Data with known features: sparse strengths times true directions, and the baselines that a dictionary must beat.

What a sparse autoencoder found can be held against the truth here, because the truth is given. Measures are in `sae_metrics.py`.
Must not import TransformerLens, plotly, or anything of courses and notebooks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechinterp_course.errors import CourseError


@dataclass(frozen=True)
class SyntheticFeatures:
    """Features whose directions we know: x = strengths @ directions.

    A feature is present with its probability, and then as strong as a uniform number from `low` to `high`.
    together: how strongly features come in pairs (0 with 1, 2 with 3, ...): with this probability the second is present
      exactly where the first is. 0 is independence. How often each comes does not change, where both come equally often.
    """

    directions: Float[Tensor, "feature d_in"]
    probability: Float[Tensor, " feature"]
    low: float = 0.5
    high: float = 1.5
    together: float = 0.0

    def __post_init__(self):
        if self.directions.ndim != 2 or self.probability.shape != self.directions.shape[:1]:
            raise CourseError(
                f"Directions have the shape {tuple(self.directions.shape)}, probabilities {tuple(self.probability.shape)}.",
                "Give (feature, d_in) and one probability for each feature.",
            )
        if not bool(((self.probability >= 0) & (self.probability <= 1)).all()) or not 0 <= self.together <= 1:
            raise CourseError("A probability lies outside 0 to 1.", "Give the chance that a feature is present.")
        if not 0 <= self.low <= self.high:
            raise CourseError(
                f"Strengths from {self.low} to {self.high} are no range.",
                "Take 0.5 to 1.5: a feature adds, it does not subtract.",
            )

    @classmethod
    def random(
        cls,
        features: int,
        d_in: int,
        probability: float | Float[Tensor, " feature"] = 0.03,
        *,
        low: float = 0.5,
        high: float = 1.5,
        together: float = 0.0,
        seed: int = 0,
    ) -> "SyntheticFeatures":
        """Return features with random unit directions: nearly at right angles where d_in is large."""
        directions = random_dictionary(features, d_in, seed)
        return cls(directions, torch.as_tensor(probability).float().expand(features), low, high, together)

    def strengths(self, batch: int, generator: torch.Generator) -> Float[Tensor, "batch feature"]:
        """Return how strong each feature is in each input; 0 where it is absent."""
        shape = (batch, len(self.directions))
        present = torch.rand(shape, generator=generator) < self.probability
        sizes = self.low + (self.high - self.low) * torch.rand(shape, generator=generator)
        if self.together:
            second = present[:, 1::2]
            tied = torch.rand(second.shape, generator=generator) < self.together
            present[:, 1::2] = torch.where(tied, present[:, 0::2][:, : second.shape[1]], second)
        return present * sizes

    def sample(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch feature"]]:
        """Return inputs, and the strengths of the features that they are made of."""
        strengths = self.strengths(batch, generator)
        return strengths @ self.directions, strengths

    def batches(self, count: int, size: int = 256, seed: int = 0) -> Iterator[Float[Tensor, "size d_in"]]:
        """Yield `count` fresh batches; the same seed gives the same ones."""
        generator = torch.Generator().manual_seed(seed)
        for _ in range(count):
            yield self.sample(size, generator)[0]


def random_dictionary(rows: int, d_in: int, seed: int = 0) -> Float[Tensor, "rows d_in"]:
    """Return random unit directions: the control that shows how well directions match by chance."""
    directions = torch.randn(rows, d_in, generator=torch.Generator().manual_seed(seed))
    return directions / directions.norm(dim=1, keepdim=True)


def principal_directions(x: Float[Tensor, "batch d_in"], count: int | None = None) -> Float[Tensor, "count d_in"]:
    """Return the first `count` principal directions of x (all by default): at right angles, largest variance first."""
    if count is not None and not 1 <= count <= min(x.shape):
        raise CourseError(
            f"There are {min(x.shape)} principal directions in data of the shape {tuple(x.shape)}, not {count}.",
            f"Ask for 1 to {min(x.shape)}.",
        )
    return torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:count]


def keep_principal(x: Float[Tensor, "batch d_in"], count: int) -> Float[Tensor, "batch d_in"]:
    """Return x as its mean plus its part along its first `count` principal directions: the best flat approximation there is."""
    directions = principal_directions(x, count)
    return x.mean(0) + (x - x.mean(0)) @ directions.T @ directions


def pursue(
    x: Float[Tensor, "batch d_in"], dictionary: Float[Tensor, "rows d_in"], count: int
) -> Float[Tensor, "batch rows"]:
    """Return at most `count` strengths (0 or more) for each input, chosen one by one: matching pursuit.

    Each time, the unit direction that the rest reaches along furthest is taken, and its part is subtracted. It trains nothing, so it
    shows what a dictionary is worth without an encoder of its own: true directions, random ones, or learned ones alike.
    """
    unit = dictionary / dictionary.norm(dim=1, keepdim=True)
    strengths, rest = x.new_zeros(len(x), len(unit)), x.clone()
    for _ in range(count):
        reach, chosen = (rest @ unit.T).max(dim=1)
        reach = reach.clamp(min=0)
        strengths.scatter_add_(1, chosen[:, None], reach[:, None])
        rest = rest - reach[:, None] * unit[chosen]
    return strengths
