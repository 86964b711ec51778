"""The bands of lesson 13: what sparse autoencoders learn on data with known features, over seeds of data, start and batches.

Trains exactly what the lab trains, with the lab's own functions, and what the hidden check of `train_sae` trains. No times are measured.
Run: python benchmarks/bands_l13.py        writes bands_l13.json beside this file; a process for each seed, about two minutes of computing in all.
"""

import json
import multiprocessing
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from mechinterp_course.interp import sae_metrics, sae_training, saes, synthetic
from mechinterp_course.interp import superposition as sp
from mechinterp_course.tutor.catalog import course
from mechinterp_course.tutor.reference import reference

FILE = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
answer = {
    name: reference(name)
    for name in (
        "sae_forward", "sae_loss", "train_sae", "mean_l0", "explained_variance", "match_features", "relative_bias", "topk", "jumprelu", "resample",
    )
}  # fmt: skip


def spread(values) -> list[float]:
    """Return smallest, median and largest."""
    return [round(float(v), 3) for v in torch.tensor(values).double().quantile(torch.tensor([0.0, 0.5, 1.0]).double())]


def start(d_in: int, d_sae: int, seed: int) -> dict:
    rows = synthetic.random_dictionary(d_sae, d_in, seed=10_000 + seed)
    return {"W_enc": rows.T.clone(), "b_enc": torch.zeros(d_sae), "W_dec": rows.clone(), "b_dec": torch.zeros(d_in)}


def encode(x, sae, kind: str, setting: float):
    """Return activations and reconstruction, and the penalty of each input."""
    z = (x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]
    if kind == "l1":
        acts, x_hat = answer["sae_forward"](x, sae)
        return acts, x_hat, setting * acts.sum(-1)
    if kind == "topk":
        acts = answer["topk"](z, int(setting))
        return acts, acts @ sae["W_dec"] + sae["b_dec"], 0.0
    acts, slope, gate_slope = answer["jumprelu"](z.relu(), sae["threshold"], 0.1)
    zero = sae["threshold"] - sae["threshold"].detach()
    gate = (acts > 0).float() + gate_slope.detach() * zero
    acts = acts + (slope.detach() * zero)
    return acts, acts @ sae["W_dec"] + sae["b_dec"], setting * gate.sum(-1)


def train(
    data,
    seed: int,
    kind: str,
    setting: float,
    d_sae: int = 128,
    steps: int = 500,
    begin: dict | None = None,
    batches: int = 0,
):
    def loss(x, sae):
        _, x_hat, penalty = encode(x, sae, kind, setting)
        return (((x - x_hat) ** 2).sum(-1) + penalty).mean()

    sae = begin or start(32, d_sae, seed)
    if kind == "jumprelu":
        sae = sae | {"threshold": torch.full((d_sae,), 0.1)}
    return answer["train_sae"](loss, data.batches(steps, seed=100 * batches + seed), sae, 0.01)[0]


def measures(data, sae, kind: str, setting: float) -> dict:
    x, strengths = data.sample(4000, torch.Generator().manual_seed(100))
    acts, x_hat, _ = encode(x, sae, kind, setting)
    acts, x_hat = acts.detach(), x_hat.detach()
    latent, cosine = answer["match_features"](sae["W_dec"], data.directions)
    there = (strengths > 0) & (acts[:, latent] > 0) & (cosine > 0.9)
    true, found = strengths[there].double(), acts[:, latent][there].double()
    slope = (
        float(((true - true.mean()) * (found - found.mean())).sum() / ((true - true.mean()) ** 2).sum())
        if there.any()
        else 0
    )
    return {
        "L0": answer["mean_l0"](acts),
        "squared error": float(((x - x_hat) ** 2).sum(1).mean()),
        "variance explained": answer["explained_variance"](x, x_hat),
        "mean matched cosine": float(cosine.mean()),
        "mean max cosine": float(sae_metrics.mean_max_cosine(sae["W_dec"], data.directions)),
        "features above 0.9": int((cosine > 0.9).sum()),
        "dead latents": int((~(acts > 0).any(0)).sum()),
        "relative bias": answer["relative_bias"](x, x_hat),
        "slope of found on true strength": slope,
        "mean of found minus true strength": float((found - true).mean()) if there.any() else 0,
    }


def summary(rows: list[dict]) -> dict:
    """Merge what the seeds found: dictionaries of the same form, numbers become smallest, median and largest."""
    return {
        name: summary([row[name] for row in rows])
        if isinstance(rows[0][name], dict)
        else spread([row[name] for row in rows])
        for name in rows[0]
    }


SETTINGS = {"l1": (0.05, 0.1, 0.2, 0.3, 0.4, 0.8), "topk": (1, 2, 3, 5), "jumprelu": (0.02, 0.05, 0.2)}


def one_seed(seed: int) -> dict:
    """Return everything that is measured with one seed: other directions, another start, other batches."""
    torch.set_num_threads(1)
    data = synthetic.SyntheticFeatures.random(64, 32, 0.03, seed=seed)
    return {
        "architectures": architectures(seed, data),
        "controls": controls(seed, data),
        "a bad start": revival(seed, data),
        "features in pairs": pairs(seed),
        "five directions in the plane": plane(seed),
    }


def architectures(seed: int, data) -> dict:
    """Return every measure for each architecture and setting."""
    found = {
        f"{kind} {setting}": measures(data, train(data, seed, kind, setting), kind, setting)
        for kind, values in SETTINGS.items()
        for setting in values
    }
    found["l1 0.4, 64 latents"] = measures(data, train(data, seed, "l1", 0.4, 64), "l1", 0.4)
    return found


def controls(seed: int, data) -> dict:
    """Return what untrained dictionaries match and reconstruct."""
    x, _ = data.sample(4000, torch.Generator().manual_seed(100))
    chance = synthetic.random_dictionary(128, 32, seed=70_000 + seed)
    flat = synthetic.principal_directions(x)
    both = torch.cat([flat, -flat])
    row = {
        "random: mean matched cosine": float(answer["match_features"](chance, data.directions)[1].mean()),
        "PCA and opposites: mean matched cosine": float(answer["match_features"](both, data.directions)[1].mean()),
    }
    for count in (2, 4, 8):
        kept = {
            f"random, {count} at most": synthetic.pursue(x, chance, count) @ chance,
            f"true directions, {count} at most": synthetic.pursue(x, data.directions, count) @ data.directions,
            f"PCA, {count}": synthetic.keep_principal(x, count),
        }
        row |= {f"{name}: variance explained": answer["explained_variance"](x, x_hat) for name, x_hat in kept.items()}
    return row


def revival(seed: int, data) -> dict:
    """Return features found and dead latents after a bad start, with and without resampling."""
    bad = start(32, 128, seed)
    bad["b_enc"][:80] = -3
    half = train(data, seed, "l1", 0.3, steps=250, begin=bad, batches=1)
    x, _ = data.sample(4000, torch.Generator().manual_seed(100))
    acts, x_hat = answer["sae_forward"](x, half)
    dead = ~(acts > 0).any(0)
    losses = ((x - x_hat) ** 2).sum(1) + 0.3 * acts.sum(1)
    blank = {name: torch.zeros_like(tensor) for name, tensor in half.items()}
    new = answer["resample"](half, blank, dead, x, losses, torch.Generator().manual_seed(seed))[0]
    row = {"dead at half time": int(dead.sum())}
    for name, sae in {"without": half, "with": new}.items():
        end = measures(data, train(data, seed, "l1", 0.3, steps=250, begin=sae, batches=2), "l1", 0.3)
        row |= {f"{name}: {key}": end[key] for key in ("features above 0.9", "dead latents", "variance explained")}
    return row


def pairs(seed: int) -> dict:
    """Return what is recovered where features come in pairs, by how strongly they are tied."""
    result = {}
    for together in (0.0, 0.5, 0.9, 1.0):
        data = synthetic.SyntheticFeatures.random(64, 32, 0.03, together=together, seed=seed)
        sae = train(data, seed, "l1", 0.3)
        sums = data.directions[0::2] + data.directions[1::2]
        cosine = answer["match_features"](sae["W_dec"], data.directions)[1]
        result[str(together)] = {
            "features above 0.9": int((cosine > 0.9).sum()),
            "mean matched cosine": float(cosine.mean()),
            "sums of pairs above 0.9, of 32": int((answer["match_features"](sae["W_dec"], sums)[1] > 0.9).sum()),
        }
    return result


def plane(seed: int) -> dict:
    """Return how well eight latents, and five, find the directions of the lesson's toy model, from its hidden states alone."""
    toy = sp.train(5, 2, 0.9, importance=torch.ones(5), instances=4, steps=600, progress=False)
    true = toy.W[0].T
    hidden = sp.sample(1, 20_000, 5, 0.95, torch.Generator().manual_seed(seed))[0] @ true
    result = {}
    for d_sae in (8, 5):
        sae = saes.SAE(2, d_sae, seed=seed)
        sae_training.train(sae, hidden, steps=500, batch=512, l1=0.3, lr=0.02, seed=seed, progress=False)
        result[f"{d_sae} latents: smallest matched cosine"] = float(
            sae_metrics.match(sae.W_dec.detach(), true).cosine.min()
        )
    return result


def planted_in_the_check() -> dict:
    book = course()
    checks = book.checks(book.lesson_of("train_sae"))["train_sae"]
    recovered = checks.checks[-1].test.__globals__["recovered"]
    lazy = lambda loss, batches, sae, lr, watch=None: (sae, [])  # noqa: E731
    return {
        "trained": spread([recovered(answer["train_sae"], seed) for seed in range(20)]),
        "untrained": spread([recovered(lazy, seed) for seed in range(20)]),
    }


def main() -> None:
    torch.set_num_threads(1)
    before = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(len(SEEDS)) as pool:
        rows = pool.map(one_seed, SEEDS)
    result = {
        "settings": dict(
            features=64, d_in=32, d_sae=128, probability=0.03, steps=500, batch=256, lr=0.01, seeds=list(SEEDS)
        ),
        "each list": "smallest, median, largest over the seeds",
        "planted in the check": planted_in_the_check(),
        **summary(rows),
        "versions": {"torch": version("torch"), "python": platform.python_version()},
    }
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{time.perf_counter() - before:.0f} seconds", FILE.read_text(encoding="utf-8"), sep="\n")


if __name__ == "__main__":
    main()
