"""Recipes: every choice that decides what a bundled model becomes. `training.train` follows them. Imports no torch."""

import dataclasses
import json

from mechinterp_course.errors import unknown


@dataclasses.dataclass(frozen=True)
class Described:
    """What every recipe has."""

    name: str
    about: str  # what the model is, in a sentence
    good_for: str  # the line in the catalogue

    def numbers(self) -> dict:
        """The recipe without its prose: two runs with equal numbers give equal weights."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in ("about", "good_for")}

    def as_json(self) -> dict:
        """The numbers as they come back from a card."""
        return json.loads(json.dumps(self.numbers()))


@dataclasses.dataclass(frozen=True)
class Recipe(Described):
    """A code model. Everything that decides what it becomes: two runs of one recipe on one machine give the same weights."""

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

    def tokens_seen(self, steps: int) -> int:
        """How many tokens were predicted in so many steps."""
        return steps * self.batch * (self.n_ctx - 1)


@dataclasses.dataclass(frozen=True)
class MixtureRecipe(Recipe):
    """A code model that learns from a mixture (`mixture`): repeated random tokens first, more and more source later."""

    embed_std: float = 0.5  # of embeddings and positions at the start; projections have 1/sqrt(d_model)
    # Each stage: its first step, rows, tokens a row, rows that are loops, rows with one copied chunk, and, where the
    # recipe has them, rows of made-up functions with docstrings; the rest is source.
    stages: tuple[tuple[int, ...], ...] = ()
    kept: tuple[int, ...] = ()  # the steps whose weights are kept, the last one apart

    def stage(self, step: int) -> tuple[int, ...]:
        """The stage that a step belongs to."""
        return [stage for stage in self.stages if stage[0] <= step][-1]

    def tokens_seen(self, steps: int) -> int:
        """How many tokens were predicted in so many steps."""
        return sum(rows * (width - 1) for _, rows, width, *_ in map(self.stage, range(steps)))


@dataclasses.dataclass(frozen=True)
class AttentionRecipe(MixtureRecipe):
    """An attention-only code model. Its MLPs have one hidden unit and stay zero."""


@dataclasses.dataclass(frozen=True)
class MuonRecipe(MixtureRecipe):
    """A code model with MLPs that also learns from made-up functions with docstrings (`docstrings`)."""

    optimizer: str = "Muon for the matrices inside the blocks, AdamW for all else, at one learning rate"
    # From this step on, the made-up functions are more varied, and the learning rate runs down a second time, to 0.
    restart: int = 0  # 0: never
    restart_lr: float = 0.0

    def restarted(self, step: int) -> bool:
        """Whether a step belongs to the second part of training."""
        return 0 < self.restart <= step


@dataclasses.dataclass(frozen=True)
class ModularRecipe(Described):
    """A one-layer transformer that adds modulo p (`modular`). An epoch is one step on all training pairs."""

    p: int = 53
    train_share: float = 0.5
    d_model: int = 128
    n_heads: int = 4
    d_head: int = 32
    d_mlp: int = 512
    steps: int = 6000  # epochs
    lr: float = 1e-3
    warmup: int = 10
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    kept: tuple[int, ...] = ()  # the epochs whose weights are kept, the last one apart
    seed: int = 0

    def checkpoints(self) -> list[int]:
        """The epochs whose weights are kept, the last one among them."""
        return [epoch for epoch in self.kept if epoch < self.steps] + [self.steps]

    def measured(self) -> list[int]:
        """The epochs of the curves: every tenth up to 200, where it memorises, then every fiftieth, and the checkpoints."""
        epochs = {*range(0, 200, 10), *range(200, self.steps, 50), *self.checkpoints()}
        return sorted(epoch for epoch in epochs if epoch <= self.steps)


# What `code-attn-1l` and `code-attn-2l` have in common. Rows of 64, 128, then 256 tokens: the circuit forms on short
# loops in about 300 steps, and is carried over to all 256 positions and to source.
ATTENTION = {
    "d_model": 96,
    "n_heads": 4,
    "d_mlp": 1,
    "steps": 2000,
    "batch": 8,
    "lr": 3e-3,
    "lr_end": 0.05,
    "warmup": 50,
    "weight_decay": 0.01,
    "stages": (
        (0, 32, 64, 32, 0),
        (300, 16, 128, 12, 4),
        (450, 8, 256, 6, 2),
        (750, 8, 256, 2, 2),
        (1000, 8, 256, 0, 3),
    ),
}

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
        ),
        AttentionRecipe(
            name="code-attn-1l",
            about="A one-layer transformer without MLPs, trained on the same mixture as code-attn-2l.",
            good_for="what attention alone does, and what one layer of it cannot do: induction",
            n_layers=1,
            **ATTENTION,
        ),
        AttentionRecipe(
            name="code-attn-2l",
            about="A two-layer transformer without MLPs, with a previous-token head and induction heads.",
            good_for="induction: finding the circuit, cutting it, and watching it form over 24 checkpoints",
            n_layers=2,
            # Denser where the circuit forms: between steps 200 and 700 on the seed of the bundled model.
            kept=(0, 16, 32, 64, 100, 150, 200, 225, 250, 275, 300, 350)
            + (400, 450, 500, 550, 600, 700, 800, 1000, 1200, 1400, 1700),
            **ATTENTION,
        ),
        MuonRecipe(
            name="code-4l",
            about="A four-layer GPT-2-style transformer that predicts Python source and copies the names of a signature into "
            "the docstring.",
            good_for="probing, sparse autoencoders, steering; the docstring circuit",
            n_layers=4,
            d_model=240,
            n_heads=6,
            d_mlp=960,
            steps=6200,
            batch=8,
            lr=3e-3,
            lr_end=0.03,
            restart=5500,
            restart_lr=1.2e-3,
            # Made-up functions are three of eight rows in the middle, where their names are learnt to be copied; four at the end,
            # where they are varied: before, the answer hung on the lengths of the descriptions.
            stages=(
                (0, 32, 64, 24, 0, 2),
                (300, 16, 128, 8, 3, 2),
                (450, 8, 256, 3, 2, 1),
                (700, 8, 256, 1, 1, 1),
                (1000, 8, 256, 0, 1, 1),
                (1600, 8, 256, 1, 1, 3),
                (2600, 8, 256, 0, 1, 2),
                (2850, 8, 256, 0, 1, 3),
                (3800, 8, 256, 0, 1, 2),
                (5500, 8, 256, 0, 1, 4),
            ),
        ),
        ModularRecipe(
            name="mod-add-53",
            about="A one-layer transformer without LayerNorm that adds modulo 53, and learns how long after it has memorised.",
            good_for="grokking: finding the algorithm in the weights, and watching it form over 16 checkpoints",
            # On seed 0 memorisation ends near 350, circuit formation near 1150, clean-up near 3550.
            kept=(0, 50, 100, 200, 350, 500, 700, 900, 1150, 1400, 1600, 1800, 2100, 2600, 3500),
        ),
    ]
}


def find(name: str) -> Recipe | ModularRecipe:
    """The recipe of that name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
