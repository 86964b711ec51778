"""The bands of lesson 14: what the SAE that a learner trains in the lesson comes to, over five seeds.

The lesson's own settings: the bundled sample split by file, code-4l's stream after block 2 (raw weights), 960 latents, k = 32, 1,200 steps. The seed
decides the split, the start and the order of the rows. Measured as in the lesson, on files that the SAE did not learn from; rules are chosen
on the sample's files with even numbers and scored on those with odd ones (the SAE learned on most of both).
Run: python benchmarks/bands_l14.py        writes bands_l14.json beside this file; about eight minutes on a thread of its own.
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from mechinterp_course.interp import (
    activations,
    feature_rules,
    feature_sample,
    feature_scores,
    features,
    labels,
    models,
    sae_metrics,
    sae_training,
    saes,
)

FILE = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
HOOK, STEPS = "blocks.2.hook_resid_post", 1200


def trained(rows, seed: int):
    """The lesson's SAE."""
    sae = saes.SAE(240, 960, "topk", k=32, seed=seed)
    settings = dict(steps=STEPS, lr=3e-3, standardise=True, seed=seed, progress=False)
    sae_training.train(sae, sae_training.shuffled(rows, seed=seed), **settings)
    return sae.requires_grad_(False)


def explained(sae, sample, x, known) -> dict:
    """How many latents a rule explains, how many of these speak of the token or the one before it, and the best latent for comments."""
    found = feature_scores.score(features.fire(sae, x), known, sample)
    rules = [known.names[rule].split(" ")[0] for rule in found.rule[found.explained]]
    return {
        "explained": len(rules),
        "by the token": sum(rule in ("token", "word") for rule in rules),
        "by the token before": rules.count("after"),
        "f1 in_comment": round(float(found.best_f1[known.number("in_comment")]), 3),
    }


def measured(seed: int, model, found, x, sample, known) -> dict:
    """Everything of one seed. x: activations of all windows of the sample, (window, pos, d_model)."""
    learn, judge = activations.split(found, seed=seed)
    is_judged = torch.isin(found.file, judge.file.unique())
    rows, judged = x[~is_judged].flatten(0, 1), x[is_judged].flatten(0, 1)
    sae = trained(rows, seed)
    told = {"seed": seed, "rows": len(rows), "judged": len(judged)}
    told |= {key: round(value, 4) for key, value in sae_metrics.judge(sae, judged).items()}
    told["variance_explained_of_own_rows"] = round(sae_metrics.judge(sae, rows[:30_000])["variance_explained"], 4)
    for kind in sae_metrics.ABLATIONS:
        recovery = sae_metrics.loss_recovered(model, sae, HOOK, judge.tokens[::4], kind)
        told |= {"clean": round(recovery.clean, 3), "spliced": round(recovery.spliced, 3)}
        told |= {f"{kind} ablated": round(recovery.ablated, 3), f"recovered {kind}": round(recovery.recovered, 4)}
    return told | explained(sae, sample, x.flatten(0, 1), known)


def main() -> None:
    started, model = time.monotonic(), models.load("code-4l")
    found = activations.windows([file.ids for file in labels.sample()])
    sample = feature_sample.code_sample()
    assert torch.equal(sample.windows, found.tokens)  # both cut whole files into windows in the same way
    x = activations.collect(model, HOOK, found.tokens, progress=False)
    known = feature_rules.rules(sample)
    runs = []
    for seed in SEEDS:
        runs.append(measured(seed, model, found, x, sample, known))
        print(runs[-1], flush=True)
        told = {
            "what": __doc__.strip(),
            "runs": runs,
            "lowest": {key: min(run[key] for run in runs) for key in runs[0]},
            "highest": {key: max(run[key] for run in runs) for key in runs[0]},
            "versions": {"python": platform.python_version(), "torch": version("torch")},
            "threads": torch.get_num_threads(),
            "minutes": round((time.monotonic() - started) / 60, 1),
        }
        FILE.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
