"""The bands of the smaller bundled SAE of code-4l: its recipe followed on five seeds, each measured like the bundled one.

The seed decides the first directions and the order of the activations. Run:
    python benchmarks/sae_seeds.py --stdlib /path/to/lib/python3.11      twenty minutes on a quiet core; writes sae_seeds.json beside this file
Agreement: for each latent of one seed the largest cosine with a latent of another, mean over latents and pairs of seeds.
"""

import argparse
import dataclasses
import itertools
import json
import time
from importlib.metadata import version
from pathlib import Path

import torch

from mechinterp_course.interp import models, sae_making, sae_metrics, sae_recipes

FILE = Path(__file__).with_suffix(".json")
NAME = "code-4l-layer2-960"
SEEDS = (0, 1, 2, 3, 4)


def material(recipe, model, stdlib, stored):
    """What the recipe reads; from activations stored by an earlier run where a folder is given."""
    if stored is None:
        return sae_making.material(recipe, model, stdlib)
    rows = {"train": torch.load(stored / f"train.{recipe.hook_name}.pt")}
    rows["test"] = torch.load(stored / "test.acts.pt")[recipe.hook_name]
    return sae_making.assemble(recipe, rows, sae_making.windows_of(recipe, "test", stdlib))


def spread(values) -> list[float]:
    """Smallest, mean, largest."""
    values = list(values)
    return [round(v, 4) for v in (min(values), sum(values) / len(values), max(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stdlib", type=Path)
    parser.add_argument("--activations", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = sae_recipes.find(NAME)
    model = models.load(recipe.model)
    read = material(recipe, model, given.stdlib, given.activations)
    runs, directions = {}, []
    for seed in SEEDS:
        before = time.process_time()
        sae, run = sae_making.learn(dataclasses.replace(recipe, seed=seed), read.train, progress=False)
        seconds = time.process_time() - before
        runs[seed] = sae_making.figures(sae, model, recipe.hook_name, read.test, read.test_windows)
        runs[seed]["cpu_seconds"] = round(seconds)
        runs[seed]["curve"] = dict(
            zip(run.steps[::10], (round(v, 4) for v in run.variance_explained[::10]), strict=True)
        )
        directions.append(sae.W_dec.detach())
        print(seed, json.dumps(runs[seed]), flush=True)
        write(recipe, runs, directions)


def write(recipe, runs: dict, directions: list) -> None:
    """Write what there is so far."""
    measured = ("l0", "variance_explained", "dead_fraction", "densest")
    bands = {name: spread(run[name] for run in runs.values()) for name in measured}
    bands |= {
        f"loss_recovered, {kind}": spread(run["loss_recovered"][kind] for run in runs.values())
        for kind in sae_metrics.ABLATIONS
    }
    pairs = list(itertools.permutations(directions, 2))
    if pairs:
        bands["agreement"] = spread(sae_metrics.mean_max_cosine(a, b) for a, b in pairs)
    result = {
        "recipe": recipe.as_json() | {"seed": list(runs)},
        "smallest, mean, largest": bands,
        "seeds": runs,
        "versions": {"torch": version("torch")},
    }
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
