"""Addition modulo a prime: all pairs, the split, the model as plain tensors, and the loop that trains it.

The task of Nanda et al. 2023 (arXiv:2301.05217): the model reads [a, b, =] and answers (a + b) mod p at "=". One layer, no
LayerNorm, no biases. `grokking` measures what a run did and writes the card. Must not import TransformerLens.
"""

import hashlib
import json
import shutil
import time
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import runs
from mechinterp_course.interp.recipes import ModularRecipe

Weights = dict[str, Tensor]  # under TransformerLens' names, as `models.weights` gives them


# --- the task -----------------------------------------------------------------------------------------------------


def all_pairs(p: int) -> Int[Tensor, "pair 2"]:
    """Every pair (a, b), in the order (0, 0), (0, 1), ..., (p-1, p-1): `.view(p, p)` of a result is a table by a and b."""
    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


def answers(pairs: Int[Tensor, "pair 2"], p: int) -> Int[Tensor, "pair"]:
    """(a + b) mod p of each pair."""
    return pairs.sum(1) % p


def tokens(pairs: Int[Tensor, "pair 2"], p: int) -> Int[Tensor, "pair 3"]:
    """What the model reads: a, b and "=", which is token p."""
    return torch.nn.functional.pad(pairs, (0, 1), value=p)


def is_train(p: int, share: float = 0.5, seed: int = 0) -> Bool[Tensor, "pair"]:
    """Which of all pairs the model was trained on: the share of them with the smallest SHA-256 of "seed a b".

    A hash and not a random generator, so that every machine and every version of torch draws the same split.
    """
    keys = [hashlib.sha256(f"{seed} {a} {b}".encode()).digest() for a in range(p) for b in range(p)]
    order = sorted(range(p * p), key=keys.__getitem__)
    chosen = torch.zeros(p * p, dtype=torch.bool)
    chosen[order[: int(p * p * share)]] = True
    return chosen


def has_mirror(train: Bool[Tensor, "pair"]) -> Bool[Tensor, "pair"]:
    """For which of all pairs (a, b) the model was trained on (b, a): a + b = b + a gives their answer away."""
    p = int(len(train) ** 0.5)
    return train.view(p, p).T.flatten()


# --- the model ----------------------------------------------------------------------------------------------------


def new_weights(recipe: ModularRecipe) -> Weights:
    """Untrained weights on the recipe's seed: normal, of standard deviation 1 / sqrt(d_model), W_out 1 / sqrt(d_mlp)
    and W_U 1 / sqrt(p)."""
    generator = torch.Generator().manual_seed(recipe.seed)
    wide, heads = recipe.d_model, recipe.n_heads
    shapes = {
        "embed.W_E": (recipe.p + 1, wide),
        "pos_embed.W_pos": (3, wide),
        "blocks.0.attn.W_Q": (heads, wide, recipe.d_head),
        "blocks.0.attn.W_K": (heads, wide, recipe.d_head),
        "blocks.0.attn.W_V": (heads, wide, recipe.d_head),
        "blocks.0.attn.W_O": (heads, recipe.d_head, wide),
        "blocks.0.mlp.W_in": (wide, recipe.d_mlp),
        "blocks.0.mlp.W_out": (recipe.d_mlp, wide),
        "unembed.W_U": (wide, recipe.p),
    }
    widths = {"blocks.0.mlp.W_out": recipe.d_mlp, "unembed.W_U": recipe.p}
    return {
        name: torch.randn(shape, generator=generator) / widths.get(name, wide) ** 0.5 for name, shape in shapes.items()
    }


def residual(weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_model"]:
    """The residual stream at "=" between attention and MLP (blocks.0.hook_resid_mid). Only "=" is ever read out."""
    p = len(weights["embed.W_E"]) - 1
    W_E, W_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
    # There are only 2p + 1 inputs of attention: each number as a, each as b, and "=". Keys and values are made once each.
    inputs = torch.cat([W_E[:p] + W_pos[0], W_E[:p] + W_pos[1], W_E[p:] + W_pos[2]])
    q = torch.einsum("m,hmd->hd", inputs[-1], weights["blocks.0.attn.W_Q"])
    k = torch.einsum("im,hmd->ihd", inputs, weights["blocks.0.attn.W_K"])
    v = torch.einsum("im,hmd->ihd", inputs, weights["blocks.0.attn.W_V"])
    scores = torch.einsum("hd,ihd->ih", q, k) / q.shape[-1] ** 0.5
    read = torch.stack([pairs[:, 0], pairs[:, 1] + p, torch.full_like(pairs[:, 0], 2 * p)], dim=1)  # (pair, 3)
    pattern = scores[read].softmax(1)  # (pair, 3, head)
    z = (pattern[..., None] * v[read]).sum(1)  # (pair, head, d_head)
    return inputs[-1] + z.flatten(1) @ weights["blocks.0.attn.W_O"].flatten(0, 1)


def neurons(weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair d_mlp"]:
    """The neurons at "=" after their ReLU (blocks.0.mlp.hook_post)."""
    return torch.relu(residual(weights, pairs) @ weights["blocks.0.mlp.W_in"])


def logits(weights: Weights, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair answer"]:
    """The logits of the p answers at "="."""
    mid = residual(weights, pairs)
    post = torch.relu(mid @ weights["blocks.0.mlp.W_in"])
    return (mid + post @ weights["blocks.0.mlp.W_out"]) @ weights["unembed.W_U"]


def loss(logits: Float[Tensor, "pair answer"], answers: Int[Tensor, "pair"]) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats. In float64: in float32 a loss below 1e-7 is rounded to 0, and training stalls there."""
    return torch.nn.functional.cross_entropy(logits.double(), answers)


def accuracy(logits: Float[Tensor, "pair answer"], answers: Int[Tensor, "pair"]) -> float:
    """The share of pairs whose highest logit is the answer."""
    return (logits.argmax(1) == answers).double().mean().item()


# --- a run: state, progress, folder -------------------------------------------------------------------------------


def pack(weights: Weights) -> bytes:
    """The weights as the bytes of a safetensors file, rounded to float16."""
    from safetensors.torch import save

    return save({name: t.detach().to(torch.float16).contiguous() for name, t in weights.items()}, {"format": "pt"})


def read_weights(file: Path) -> Weights:
    """The weights in a safetensors file, as float32."""
    from safetensors.torch import load_file

    return {name: tensor.float() for name, tensor in load_file(file).items()}


class Run:
    """A model on its way: what a saved state holds, and what goes on after an interruption."""

    def __init__(self, recipe: ModularRecipe, folder: Path):
        self.recipe = recipe
        self.file = folder / runs.STATE
        self.trail = folder / "trail"  # the weights at every epoch that is measured; gone when the run is done
        self.weights = {name: tensor.requires_grad_() for name, tensor in new_weights(recipe).items()}
        self.optimizer = torch.optim.AdamW(
            self.weights.values(), lr=recipe.lr, weight_decay=recipe.weight_decay, betas=recipe.betas
        )
        self.pairs = all_pairs(recipe.p)[is_train(recipe.p, recipe.train_share, recipe.seed)]
        self.answers = answers(self.pairs, recipe.p)
        self.epoch = 0
        self.seconds = 0.0

    def train_epoch(self) -> float:
        """One epoch, which is one step on all training pairs; returns their loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * min(1, (self.epoch + 1) / self.recipe.warmup)
        value = loss(logits(self.weights, self.pairs), self.answers)
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        self.epoch += 1
        return value.item()

    def keep(self) -> None:
        """Write the weights of this epoch to the trail."""
        file = self.trail / f"{self.epoch:06d}.safetensors"
        runs.write_atomically(file, lambda path: path.write_bytes(pack(self.weights)))

    def save(self) -> None:
        """Write the state; an interruption meanwhile leaves the earlier one."""
        state = {
            "recipe": self.recipe.numbers(),
            "weights": self.weights,
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }
        runs.write_atomically(self.file, lambda path: torch.save(state, path))

    def resume(self) -> None:
        """Go on from the saved state, if there is one; it must be of the same recipe."""
        if not self.file.exists():
            return
        state = torch.load(self.file)
        if state["recipe"] != self.recipe.numbers():
            raise CourseError(
                f"{self.file} is the state of a different run: another recipe or number of epochs.",
                "Delete that file to start afresh, or train into another folder with --out.",
            )
        with torch.no_grad():
            for name, tensor in self.weights.items():
                tensor.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]


def follow(run: Run, progress: bool) -> None:
    """Take the run to its last epoch: saves where it is measured, can be interrupted at any moment."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    recipe = run.recipe
    measured = set(recipe.measured())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        line = bar.add_task(recipe.name, total=recipe.steps, completed=run.epoch)
        started = time.monotonic() - run.seconds
        while True:
            if run.epoch in measured:
                run.keep()
                run.seconds = time.monotonic() - started
                run.save()
            if run.epoch == recipe.steps:
                return
            value = run.train_epoch()
            bar.update(line, advance=1, description=f"{recipe.name}  loss {value:.1e}")


def write_model(recipe: ModularRecipe, folder: Path) -> None:
    """Write sizes, the last weights and the checkpoints, which are steps of the trail, as they stand there."""
    settings = {
        "model_type": "native",
        "normalization_type": None,
        "act_fn": "relu",
        **{"n_layers": 1, "n_ctx": 3, "d_vocab": recipe.p + 1, "d_vocab_out": recipe.p},
        **{key: getattr(recipe, key) for key in ("d_model", "n_heads", "d_head", "d_mlp")},
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "checkpoints").mkdir()
    for epoch in recipe.checkpoints():
        file = f"{epoch:06d}.safetensors"
        last = epoch == recipe.steps
        shutil.copyfile(folder / "trail" / file, folder / ("model.safetensors" if last else f"checkpoints/{file}"))


def train(recipe: ModularRecipe, folder: Path, progress: bool = True) -> Path:
    """Follow the recipe and return the finished folder, with its card. Run it again after Ctrl-C: it goes on."""
    from mechinterp_course.interp import grokking

    def make(folder: Path) -> None:
        run = Run(recipe, folder)
        run.trail.mkdir(exist_ok=True)
        run.resume()
        follow(run, progress)
        write_model(recipe, folder)
        grokking.write_card(run, folder)
        shutil.rmtree(run.trail)

    return runs.completed(recipe, folder, make)
