"""Recipes that make the bundled models, and the one loop that follows them.

A recipe holds every choice; `train(name)` turns it into a Hugging Face folder with a model card. A run can be stopped and
goes on where it was: the batch of a step depends on the seed and the step alone. Must not import TransformerLens.
"""

import dataclasses
import json
import math
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import tasks, tokenizer

SAVE_EVERY = 30.0  # seconds between two saved states: what an interruption costs at most
MEASURE_EVERY = 500  # steps between two measurements on the validation split


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
            steps=10_000,
            batch=8,
            lr=2e-3,
        )
    ]
}


def recipe(name: str) -> Recipe:
    """The recipe of that name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def new_model(recipe: Recipe):
    """An untrained Hugging Face GPT-2 of the recipe's size, on its seed."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=tokenizer.VOCABULARY,
        n_positions=recipe.n_ctx,
        n_embd=recipe.d_model,
        n_layer=recipe.n_layers,
        n_head=recipe.n_heads,
        n_inner=recipe.d_mlp,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=recipe.init_std,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    torch.manual_seed(recipe.seed)
    return GPT2LMHeadModel(config)


def token_stream(texts: list[str]):
    """All texts as one LongTensor of token ids, BOS before each."""
    import torch

    code = tokenizer.CodeTokenizer()
    return torch.cat([code.encode(text) for text in texts])


def batch_of(stream, recipe: Recipe, step: int):
    """The batch of a step: windows at random places of the stream, BOS first. Shape (batch, n_ctx)."""
    import torch

    rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    starts = torch.randint(len(stream) - recipe.n_ctx + 2, (recipe.batch, 1), generator=rng)
    windows = stream[starts + torch.arange(recipe.n_ctx - 1)]
    return torch.nn.functional.pad(windows, (1, 0), value=0)


def loss_of(model, tokens):
    """Mean cross-entropy of the next token, in nats. `tokens` has shape (batch, pos)."""
    from torch.nn.functional import cross_entropy

    logits = model(tokens).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to `lr_end` of the highest."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * (recipe.lr_end + (1 - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


def new_optimizer(model, recipe: Recipe):
    """AdamW; weight decay on matrices, none on biases and LayerNorms."""
    import torch

    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas)


def train_step(model, optimizer, recipe: Recipe, stream, step: int) -> float:
    """One step of the recipe; returns the loss of its batch."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, step)
    loss = loss_of(model, batch_of(stream, recipe, step).to(model.device))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return loss.item()
