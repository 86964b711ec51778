"""What happened on the way to `mod-add-53`: the curves along training, its phases, and the card with all that was measured.

Everything is measured on the weights as they are stored, rounded to float16. Must not import TransformerLens, or train.
"""

import csv
import io
import json
import platform
from importlib.metadata import version
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechinterp_course.interp import fourier, models, modular
from mechinterp_course.interp.cache import NATIVE_GAPS

Row = dict[str, int | float]  # a row of the curves: the epoch and its measurements
SINGLE = 0.85  # a neuron "has one frequency" where that makes more than this share of its variance

COLUMNS = {
    "epoch": "steps done, each on all training pairs",
    "train_loss": "nats, on the pairs it is trained on",
    "test_loss": "nats, on the other pairs",
    "train_accuracy": "share of the training pairs answered rightly",
    "test_accuracy": "share of the other pairs answered rightly",
    "mirrored_accuracy": "the same, on those test pairs (a, b) whose mirror (b, a) is a training pair",
    "new_accuracy": "the same, on those whose mirror is not",
    "restricted_loss": "nats, on all pairs, with nothing left of the logits but their mean and the waves of a + b "
    "of the final model's key frequencies",
    "excluded_loss": "nats, on the training pairs, with those waves taken out of the logits",
    "weights_squared": "the sum of all squared weights",
    "logit_share": "share of the logits' variance made by cos(2 pi k (a + b - c) / p), summed over the key frequencies",
    "neuron_share": f"share of the neurons with more than {SINGLE:.0%} of their variance in one frequency",
}


# --- one model ----------------------------------------------------------------------------------------------------


def measure(weights: modular.Weights, train: Bool[Tensor, "pair"], frequencies: list[int]) -> Row:
    """The measurements of one row of the curves, `epoch` apart; `COLUMNS` says what each is."""
    p = weights["unembed.W_U"].shape[1]
    pairs = modular.all_pairs(p)
    answers, mirror = modular.answers(pairs, p), modular.has_mirror(train)
    with torch.no_grad():
        logits, neurons = modular.logits(weights, pairs), modular.neurons(weights, pairs)

    def loss(of: Float[Tensor, "pair answer"], where: Bool[Tensor, "pair"]) -> float:
        return modular.loss(of[where], answers[where]).item()

    def accuracy(where: Bool[Tensor, "pair"]) -> float:
        return modular.accuracy(logits[where], answers[where])

    everywhere = torch.ones_like(train)
    return {
        "train_loss": loss(logits, train),
        "test_loss": loss(logits, ~train),
        "train_accuracy": accuracy(train),
        "test_accuracy": accuracy(~train),
        "mirrored_accuracy": accuracy(~train & mirror),
        "new_accuracy": accuracy(~train & ~mirror),
        "restricted_loss": loss(fourier.restricted(logits, frequencies), everywhere),
        "excluded_loss": loss(fourier.excluded(logits, frequencies), train),
        "weights_squared": sum(tensor.double().pow(2).sum().item() for tensor in weights.values()),
        "logit_share": fourier.logit_shares(logits)[[k - 1 for k in frequencies]].sum().item(),
        "neuron_share": (fourier.neuron_shares(neurons).amax(0) > SINGLE).double().mean().item(),
    }


def behaviours(weights: modular.Weights) -> dict:
    """What the card says of the final model's algorithm, each with how it was measured."""
    p = weights["unembed.W_U"].shape[1]
    pairs = modular.all_pairs(p)
    with torch.no_grad():
        logits, neurons = modular.logits(weights, pairs), modular.neurons(weights, pairs)
    by_logits = fourier.logit_shares(logits)
    by_embedding = fourier.embedding_shares(weights["embed.W_E"][:p])
    best, of = fourier.neuron_shares(neurons).max(0)
    keys = fourier.key_frequencies(by_logits)
    single = best > SINGLE
    return {
        "key_frequencies": {
            "value": keys,
            "how": "the frequencies k whose cos(2 pi k (a + b - c) / p) makes at least 0.1 % of the logits' variance over "
            "all pairs and answers, each pair's mean over answers taken off",
        },
        "logit_share": {
            "value": {k: _round(by_logits[k - 1].item()) for k in keys},
            "sum": _round(by_logits[[k - 1 for k in keys]].sum().item()),
            "largest_other": _largest_other(by_logits, keys),
            "how": "that share of the variance, of each key frequency",
        },
        "embedding_share": {
            "value": {k: _round(by_embedding[k - 1].item()) for k in keys},
            "largest_other": _largest_other(by_embedding, keys),
            "how": "share of the squared norm of W_E's number rows in the Fourier basis, the constant left out",
        },
        "neurons_in_one_frequency": {
            "value": _round(single.double().mean().item()),
            "by_frequency": {
                k: int((single & (of == k - 1)).sum()) for k in range(1, p // 2 + 1) if k - 1 in of[single]
            },
            "how": f"share of the {len(best)} neurons with more than {SINGLE:.0%} of their variance over all pairs in the "
            "waves of one frequency: cos and sin of a, of b, and their four products",
        },
    }


def _largest_other(shares: Float[Tensor, "frequency"], keys: list[int]) -> float:
    return _round(max((share for k, share in enumerate(shares.tolist(), 1) if k not in keys), default=0.0))


def _round(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


# --- a run --------------------------------------------------------------------------------------------------------


def phases(curve: list[Row]) -> dict:
    """The epochs at which memorisation and circuit formation end and clean-up is done, by three rules on the curves.

    The phases are those of Nanda et al. 2023; the rules are ours, and the borders are not sharp.
    """
    last = curve[-1]["weights_squared"]
    lowest = min(curve, key=lambda row: row["excluded_loss"])["epoch"]
    later = [row for row in curve if row["epoch"] > lowest]
    highest = max(row["test_loss"] for row in curve)
    return {
        "memorisation_ends": lowest,
        "circuit_formation_ends": next((r["epoch"] for r in later if r["test_loss"] < highest / 2), None),
        "clean_up_ends": next((r["epoch"] for r in later if r["weights_squared"] < 1.1 * last), None),
        "how": "memorisation ends where the excluded loss is lowest; circuit formation where the test loss first falls "
        "below half of its highest; clean-up where the sum of squared weights comes within 10 % of its last value",
    }


def first(curve: list[Row], column: str, least: float) -> int | None:
    """The first measured epoch from which on the column is at least this high, to the end of the curve."""
    epoch = None
    for row in curve:
        if row[column] < least:
            epoch = None
        elif epoch is None:
            epoch = row["epoch"]
    return epoch


def write_curves(curve: list[Row], file: Path) -> None:
    """Write the curves as a table, six significant digits."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([f"{row[column]:.6g}" for column in COLUMNS] for row in curve)
    file.write_text(text.getvalue(), encoding="utf-8")


def curves(name: str | Path = "mod-add-53") -> dict[str, list[int | float]]:
    """The curves of a bundled model, or of the model in a folder: lists by column; `COLUMNS` says what each is."""
    return read_curves(models.folder_of(name) / "curves.csv")


def read_curves(file: Path) -> dict[str, list[int | float]]:
    """The curves in a file, as lists by column."""
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    kind = {"epoch": int}
    return {column: [kind.get(column, float)(row[column]) for row in rows] for column in COLUMNS}


def figures(curve: list[Row], weights: modular.Weights) -> dict:
    """What is told of every seed: when it grokked, its phases, how it ends, and its algorithm."""
    end = curve[-1]
    return {
        "grokking": {
            "train_accuracy_0.99": first(curve, "train_accuracy", 0.99),
            "test_accuracy_0.90": first(curve, "test_accuracy", 0.90),
            "test_accuracy_0.99": first(curve, "test_accuracy", 0.99),
            "how": "the first measured epoch from which on the accuracy stays at least that high",
        },
        "phases": phases(curve),
        "loss": {split: _round(end[f"{split}_loss"]) for split in ("train", "test", "restricted", "excluded")},
        "accuracy": {"train": end["train_accuracy"], "test": end["test_accuracy"]},
        "behaviours": behaviours(weights),
    }


def write_card(run: modular.Run, folder: Path) -> dict:
    """Measure the trail of a finished run and write `curves.csv` and `card.json`."""
    recipe = run.recipe
    train = modular.is_train(recipe.p, recipe.train_share, recipe.seed)
    weights = modular.read_weights(folder / "model.safetensors")
    pairs = modular.all_pairs(recipe.p)
    with torch.no_grad():
        shares = fourier.logit_shares(modular.logits(weights, pairs))
    keys = fourier.key_frequencies(shares)
    curve = [
        {"epoch": epoch} | measure(modular.read_weights(run.trail / f"{epoch:06d}.safetensors"), train, keys)
        for epoch in recipe.measured()
    ]
    write_curves(curve, folder / "curves.csv")
    exact = measure({name: tensor.detach() for name, tensor in run.weights.items()}, train, keys)
    stored = [folder / "model.safetensors", *sorted((folder / "checkpoints").iterdir())]
    card = {
        "name": recipe.name,
        "about": recipe.about,
        "good_for": recipe.good_for,
        "form": "one transformer layer: learned positions, causal attention, ReLU, no LayerNorm, no biases, untied "
        "embeddings; reads [a, b, =]; the loss is on the answer at = alone",
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "bytes": sum(file.stat().st_size for file in [*stored, folder / "curves.csv"]),
        "storage": "float16, loaded as float32",
        "storage_check": {
            "float32": {key: _round(value) for key, value in exact.items()},
            "float16": {key: _round(curve[-1][key]) for key in exact},
            "how": "the last epoch before and after rounding",
        },
        "recipe": recipe.numbers(),
        "seed": recipe.seed,
        "data": {
            "task": f"(a + b) mod {recipe.p}, all {recipe.p**2} ordered pairs, {int(train.sum())} of them for training",
            "split": f"by SHA-256 of 'seed a b' (modular.is_train({recipe.p}, {recipe.train_share}, {recipe.seed}))",
            "mirrored": f"{int((~train & modular.has_mirror(train)).sum())} test pairs are training pairs the other way round",
        },
        "steps": run.epoch,
        "checkpoints": recipe.checkpoints(),
        **figures(curve, weights),
        "curves": COLUMNS,
        "hooks_that_do_not_act": {f"blocks.0.{hook}": instead for hook, instead in NATIVE_GAPS.items()},
        "licence": "Apache-2.0; no data but the pairs themselves",
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "safetensors")},
        "machine": {"device": "cpu", "threads": torch.get_num_threads(), "processor": platform.machine()},
        "minutes": round(run.seconds / 60, 1),
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def _without_how(told: dict) -> dict:
    """The figures alone: how they were measured stands in the card once."""
    return {key: _without_how(v) if isinstance(v, dict) else v for key, v in told.items() if key != "how"}


def add_seeds(folder: Path, others: list[Path]) -> None:
    """Put the figures of runs of the same recipe on other seeds into the card in `folder`, under "other_seeds"."""
    file = folder / "card.json"
    card = json.loads(file.read_text(encoding="utf-8"))
    card["other_seeds"] = {}
    for other in others:
        found = json.loads((other / "card.json").read_text(encoding="utf-8"))
        told = {key: found[key] for key in ("grokking", "phases", "loss", "accuracy", "behaviours")}
        card["other_seeds"][str(found["seed"])] = _without_how(told)
    file.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
