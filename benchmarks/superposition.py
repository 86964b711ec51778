"""The bands of lesson 12: what toy models of superposition learn, over many starts and three seeds of everything else.

Trains exactly what the lesson and the lab train (steps, batch and learning rate are the defaults of `superposition.train`), and notes
how often each outcome comes. Run: python benchmarks/superposition.py        writes superposition.json beside this file; two minutes.
"""

import json
import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import torch

from mechinterp_course.interp import superposition as sp
from mechinterp_course.interp import superposition_theory as theory

FILE = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
STARTS = 12  # instances a seed and sparsity
SPARSITIES = (0.0, 0.8, 0.9, 0.97)


def spread(values: torch.Tensor) -> list[float]:
    """Return smallest, median and largest."""
    return [round(float(v), 4) for v in values.flatten().quantile(torch.tensor([0.0, 0.5, 1.0]))]


def five_in_two(linear: bool) -> dict:
    """Return counts, geometries and dimensionalities for n = 5, m = 2 at each sparsity, all seeds together."""
    sparsity = torch.tensor(SPARSITIES).repeat_interleave(STARTS)
    found = {
        str(s): {"represented": Counter(), "geometry": Counter(), "D": [], "sum": [], "loss": [], "by count": {}}
        for s in SPARSITIES
    }
    for seed in SEEDS:
        toy = sp.train(5, 2, sparsity, linear=linear, seed=seed, progress=False)
        kept, shares = sp.represented(toy.W), sp.dimensionality(toy.W)
        x = sp.sample(len(sparsity), 4000, 5, sparsity, torch.Generator().manual_seed(1000 + seed))
        losses = sp.loss(toy(x), x, sp.importances(5))
        for k, s in enumerate(sparsity):
            row = found[f"{float(s):.3g}" if s else "0.0"]
            row["represented"][int(kept[k].sum())] += 1
            row["geometry"][sp.geometry(toy.W[k])] += 1
            row["D"].append(shares[k][kept[k]])
            row["sum"].append(shares[k].sum())
            row["loss"].append(losses[k])
            row["by count"].setdefault(int(kept[k].sum()), []).append(losses[k])
    for s, row in found.items():
        row["represented"] = dict(sorted(row["represented"].items()))
        row["geometry"] = dict(row["geometry"].most_common())
        row["D"], row["sum"] = spread(torch.cat(row["D"])), spread(torch.stack(row["sum"]))
        row["loss"] = spread(torch.stack(row["loss"]))
        row["mean loss by features kept"] = {
            n: round(float(torch.stack(some).mean()), 4) for n, some in sorted(row.pop("by count").items())
        }
        row["best linear loss"] = round(theory.best_linear_loss(2, sp.importances(5), float(s)), 4)
    return found


def two_in_one(seed: int, starts: int = 4) -> dict:
    """Return how often the best of four starts is the strategy that the closed form calls cheapest, on a 9 x 8 grid."""
    relative, sparsity = grid()
    r, s = (axis.repeat_interleave(starts) for axis in (relative, sparsity))
    importance = torch.stack([torch.ones_like(r), r], dim=1)
    toy = sp.train(2, 1, s, importance=importance, steps=800, seed=seed, progress=False)
    x = sp.sample(len(s), 4000, 2, s, torch.Generator().manual_seed(1000 + seed))
    losses = sp.loss(toy(x), x, importance).view(-1, starts)
    W = toy.W.view(len(relative), starts, 2)[torch.arange(len(relative)), losses.argmin(1)]
    kept = W.abs() > sp.REPRESENTED
    learned = torch.where(kept.all(1), 2, torch.where(kept[:, 1], 1, 0))
    want = theory.strategy_losses(relative, sparsity)
    best = want.argmin(0)
    order = want.sort(0).values
    clear = order[0] < 0.85 * order[1]
    return {
        "agrees": int((learned == best).sum()),
        "of": len(best),
        "agrees where the best is 15% cheaper": int((learned == best)[clear].sum()),
        "such cells": int(clear.sum()),
        "pair learned where the closed form says one": int(((learned == 2) & (best != 2)).sum()),
        "one learned where the closed form says pair": int(((learned != 2) & (best == 2)).sum()),
    }


def jump(seed: int) -> dict:
    """Return where the second of two features, 0.7 times as important, takes up a direction in one dimension, and how it compares there."""
    s = torch.linspace(0, 0.9, 19).repeat_interleave(10)
    importance = torch.tensor([1.0, 0.7])
    toy = sp.train(2, 1, s, importance=importance, steps=600, seed=seed, progress=False)
    x = sp.sample(len(s), 20_000, 2, s, torch.Generator().manual_seed(1))
    losses = sp.loss(toy(x), x, importance).view(19, 10)
    length = toy.W.view(19, 10, 2)[torch.arange(19), losses.argmin(1)].abs()[:, 1]
    first = int((length > sp.REPRESENTED).int().argmax())
    paper = theory.strategy_losses(torch.tensor(0.7), s[::10][first])
    return {
        "length below": round(float(length[first - 1]), 2),
        "first sparsity above 0.5": round(float(s[10 * first]), 2),
        "shortest above": round(float(length[first:].min()), 2),
        "length there": round(float(length[first]), 2),
        "loss there": round(float(losses[first].min()), 4),
        "strategies on paper there": [round(float(v), 4) for v in paper],
    }


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Return relative importance and sparsity of every cell of the phase diagram, (72,) each."""
    relative = 10 ** torch.linspace(-1, 1, 9)
    density = 10 ** torch.linspace(0, -1.2, 8)
    return relative.repeat(8), (1 - density).repeat_interleave(9)


def main() -> None:
    torch.set_num_threads(1)
    before = time.perf_counter()
    result = {
        "settings": dict(steps=1500, batch=128, lr=0.03, starts=STARTS, seeds=list(SEEDS)),
        "relu, n = 5, m = 2": five_in_two(linear=False),
        "linear, n = 5, m = 2": five_in_two(linear=True),
        "phase diagram, n = 2, m = 1": {str(seed): two_in_one(seed) for seed in SEEDS},
        "jump, r = 0.7": {str(seed): jump(seed) for seed in SEEDS},
        "versions": {"torch": version("torch"), "python": platform.python_version()},
    }
    result["seconds"] = round(time.perf_counter() - before)
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
