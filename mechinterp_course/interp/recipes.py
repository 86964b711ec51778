"""Recipes: every choice that decides what a bundled model becomes. `training.train` follows them. Imports no torch."""

import dataclasses

from mechinterp_course.errors import unknown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides what a model becomes. Two runs of one recipe on one machine give the same weights."""

    name: str
    about: str  # what the model is, in a sentence
    good_for: str  # the line in the catalogue
    n_layers: int
    d_model: int
    n_heads: int
    d_mlp: int
    steps: int
    batch: int
    lr: float
    n_ctx: int = 256
    warmup: int = 100
    lr_end: float = 0.1  # the last step's learning rate, as a share of the highest
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    init_std: float = 0.02
    seed: int = 0

    def numbers(self) -> dict:
        """The recipe without its prose: two runs with equal numbers give equal weights."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in ("about", "good_for")}


RECIPES = {
    recipe.name: recipe
    for recipe in [
        Recipe(
            name="code-2l",
            about="A two-layer GPT-2-style transformer that predicts Python source code.",
            good_for="building a transformer and loading real weights into it; hooks, attention patterns, sampling",
            n_layers=2,
            d_model=192,
            n_heads=6,
            d_mlp=768,
            steps=14_000,
            batch=8,
            lr=3e-3,
            lr_end=0.05,
            warmup=200,
            init_std=0.05,
        )
    ]
}


def find(name: str) -> Recipe:
    """The recipe of that name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
