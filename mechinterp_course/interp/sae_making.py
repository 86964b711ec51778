"""Following a recipe of `sae_recipes.py`: activations of a model's training text, an SAE trained on them, its figures, its folder.

What is trained on comes from the train split alone; every figure on the card is measured on files of the test split.
Must not import TransformerLens by itself, or anything of courses.
"""

import dataclasses
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mechinterp_course.interp import (
    activations,
    english,
    models,
    runs,
    sae_metrics,
    sae_recipes,
    sae_training,
    saes,
    tasks,
)
from mechinterp_course.interp.sae_recipes import SAERecipe
from mechinterp_course.interp.saes import SAE

JUDGED = 8  # the losses are measured on every eighth window of the test split, the rest on all of them
LICENCES = {
    "stdlib": "weights: Apache-2.0; trained on text under the PSF licence (zoo/corpus/LICENSE-PYTHON.txt)",
    "english": "weights: Apache-2.0; trained on text under the licences that stand with it under corpus",
}
HOW = (
    "measured on windows of whole files of the test split, BOS left out; l0: latents that are not 0, mean over tokens; variance_explained: "
    "1 - Σ‖x - x̂‖² / Σ‖x - mean‖²; dead_fraction: latents that are 0 on every token; densest: share of tokens of the latent that fires most; "
    "loss: nats per token with x̂ in place of the activation (spliced), with the mean activation of these tokens, with 0; "
    "loss_recovered: (ablated - spliced) / (ablated - clean); in the losses every position but BOS is replaced"
)


class Material(NamedTuple):
    """What a recipe learns from, and what it is judged by."""

    train: Tensor  # (row, d_model) in float16
    test: Tensor
    test_windows: Tensor  # (window, pos): the tokens of `test`
    said: dict  # for the card: what text it was


def windows_of(recipe: SAERecipe, split: str, text: str | Path | None = None) -> Tensor:
    """The windows of a split of the recipe's text, as tokens (window, pos), BOS first."""
    tokenizer = models.tokenizer(recipe.model)
    if recipe.text == "stdlib":
        documents = tasks.read_split(split, text)
        return activations.windows([tokenizer.ids(t) for _, t in documents], recipe.width).tokens
    documents, parts = english.read_split(split, text or "."), []
    for work in english.SOURCES:
        own = [tokenizer.ids(t) for name, t in documents if name.startswith(f"{work}/")]
        tokens = activations.windows(own, recipe.width, tokenizer.bos_token_id).tokens
        share = min(len(tokens), recipe.most if split == "train" else recipe.most // 10)
        parts.append(tokens[torch.linspace(0, len(tokens) - 1, share).long()])
    return torch.cat(parts)


def rows_of(recipe: SAERecipe, model, tokens: Tensor, progress: bool = True) -> Tensor:
    """The activations of windows as the recipe wants them, (window, pos, d_model) in float16, BOS left out."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bfloat16):
        return activations.collect(model, recipe.hook_name, tokens, batch=32, dtype=torch.float16, progress=progress)


def usable(recipe: SAERecipe, rows: Tensor) -> Tensor:
    """The rows (row, d_model) that an SAE learns from and is judged by: all, or those that are not far longer than the median."""
    if recipe.longest is None:
        return rows
    lengths = torch.cat([part.float().norm(dim=1) for part in rows.split(65536)])
    return rows[lengths <= recipe.longest * lengths.median()]


def material(recipe: SAERecipe, model, text: str | Path | None = None, progress: bool = True) -> Material:
    """Read the activations that a recipe needs. For code-4l that takes about six minutes on one core, for SmolLM2 a quarter of an hour."""
    windows = {split: windows_of(recipe, split, text) for split in ("train", "test")}
    rows = {split: rows_of(recipe, model, tokens, progress).flatten(0, 1) for split, tokens in windows.items()}
    return assemble(recipe, rows, windows["test"])


def assemble(recipe: SAERecipe, rows: dict[str, Tensor], test_windows: Tensor) -> Material:
    """Leave out what is not usable, and say what text it was."""
    kept = {split: usable(recipe, part) for split, part in rows.items()}
    if recipe.text == "stdlib":
        said = {"text": f"Python {tasks.PYTHON} standard library, train split by file"}
        said |= {"sha256_of_manifest": tasks.corpus_hash()}
    else:
        works = english.SOURCES.values()
        said = {
            "text": "; ".join(f"{s.kind} ({s.licence})" for s in works) + ": train split by chapter, page or entries"
        }
        said |= {"sha256": {s.file: s.sha256 for s in works}}
    left_out = {f"left_out_{split}": len(rows[split]) - len(part) for split, part in kept.items()}
    return Material(kept["train"], kept["test"], test_windows, said | {"tokens": len(kept["train"])} | left_out)


def learn(recipe: SAERecipe, rows: Tensor, progress: bool = True) -> tuple[SAE, sae_training.Run]:
    """Train the recipe's SAE on rows of activations."""
    metadata = {"model_name": recipe.model, "hook_name": recipe.hook_name, "context_size": recipe.width + 1}
    metadata |= {"prepend_bos": True, "mechinterp_course_recipe": recipe.name}
    sae = SAE(rows.shape[1], recipe.d_sae, "topk", k=recipe.k, metadata=metadata, seed=recipe.seed)
    run = sae_training.train(
        sae,
        rows,
        steps=recipe.steps,
        batch=recipe.batch,
        lr=recipe.lr,
        seed=recipe.seed,
        resample=recipe.resample,
        standardise=True,
        progress=progress,
    )
    return sae, run


def figures(sae: SAE, model, hook_name: str, rows: Tensor, windows: Tensor) -> dict:
    """What an SAE does on `rows` of activations, and to the model's loss on an eighth of `windows`."""
    judged = windows[::JUDGED]
    found = {name: round(value, 4) for name, value in sae_metrics.judge(sae, rows).items()}
    by = sae_metrics.recoveries(model, sae, hook_name, judged)
    loss = {"clean": by["mean"].clean, "spliced": by["mean"].spliced}
    loss |= {f"{kind}_ablated": recovery.ablated for kind, recovery in by.items()}
    found["loss"] = {name: round(value, 4) for name, value in loss.items()}
    found["loss_recovered"] = {kind: round(recovery.recovered, 4) for kind, recovery in by.items()}
    return found | {"tokens": len(rows), "tokens_of_losses": judged[:, 1:].numel()}


def make(recipe: SAERecipe, folder: Path, given: Material, model, progress: bool = True) -> dict:
    """Train, store as float16, measure what was stored, and write the card; returns it."""
    started = time.monotonic()
    sae, run = learn(recipe, given.train, progress)
    minutes = (time.monotonic() - started) / 60
    sae.save(folder, torch.float16)
    stored = SAE.load(folder)
    card = {
        "name": recipe.name,
        "about": recipe.about,
        "good_for": recipe.good_for,
        "model": recipe.model,
        "hook_name": recipe.hook_name,
        "form": f"topk sparse autoencoder, k = {recipe.k}, decoder rows of length 1, in SAELens' layout",
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "bytes": sum((folder / name).stat().st_size for name in (saes.SETTINGS, saes.WEIGHTS)),
        "storage": "float16, loaded as float32",
        "recipe": recipe.as_json(),
        "corpus" if recipe.text == "stdlib" else "texts": given.said,
        "activations_seen": recipe.steps * recipe.batch,
        "resampled": run.resampled,
        "figures": figures(stored, model, recipe.hook_name, given.test, given.test_windows),
        "figures_how": HOW,
        "licence": LICENCES[recipe.text],
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "machine": {"threads": torch.get_num_threads(), "processor": platform.machine()},
        "minutes": round(minutes, 1),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def train(
    name: str, out: str | Path | None = None, text: str | Path | None = None, steps: int | None = None, progress=True
) -> Path:
    """Follow the recipe `name` and return the finished folder in SAELens' layout, with its card.

    `out`: the folder to write (by default one named after the SAE, where you are). `text`: where its text is, the library folder of the
    pinned Python or, for English, a folder with the package files. `steps` replaces the recipe's number. What is interrupted begins anew.
    """
    recipe = sae_recipes.find(name)
    if steps is not None:
        recipe = dataclasses.replace(recipe, steps=steps)
    folder = Path(out) if out is not None else Path(name)
    if runs.finished(recipe, folder):
        return folder
    runs.prepare(folder)
    model = models.load(recipe.model)
    make(recipe, folder, material(recipe, model, text, progress), model, progress)
    return folder
