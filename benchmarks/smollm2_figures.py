"""The figures of SmolLM2 that lessons quote: its induction heads, what ablating them costs, and the indirect-object task.

The protocol fixes everything: fp32 weights as fetched, raw (not processed); BOS in front; random tokens from 17 to 49,151,
which leaves out the special ones; 50 of them, written twice; zero ablation of hook_z at every position; IOI prompts drawn from
the lists below. Figures are means over all sequences of all seeds; the standard error is that of the seeds' means.

Run: python benchmarks/smollm2_figures.py        writes smollm2_figures.json beside this file
     --sequences 2 --seeds 1 --out FILE          a quick trial
"""

import argparse
import json
import math
import platform
import random
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import attention, models
from mechinterp_course.interp.cache import activations

LENGTH = 50
VOCABULARY = range(17, 49_152)
RANDOM_DRAWS = 4  # sets of eight random heads a seed, from RANDOM_LAYERS
RANDOM_LAYERS = range(12, 25)
PATCHED, WRITERS = (23, 3), [(23, 3), (29, 1)]

NAMES = (
    "Mary John Tom James Anna Sarah Paul Mark David Emma Alice Peter Robert Michael Lisa Kate Laura George Jack Susan"
)
PLACES = "store park school office house library garden station hospital market"
THINGS = "book drink key ring letter gift ball map basket bottle"
TEMPLATES = [
    "When {a} and {b} went to the {place}, {s} gave a {thing} to",
    "Then, {a} and {b} were at the {place}. {s} handed the {thing} to",
    "After {a} and {b} left the {place}, {s} offered a {thing} to",
    "While {a} and {b} worked in the {place}, {s} showed the {thing} to",
    "{a} and {b} met near the {place}, and {s} passed a {thing} to",
]

# Measured once before this protocol existed, with the same kind of prompt; the course's bands. None: no band.
BANDS = {
    "loss on the repeat (nats)": (0, 4),
    "loss on the repeat, top 8 heads ablated": (10, math.inf),
    "earlier top 6 heads among this top 8": (6, 6),
}
EARLIER_TOP_6 = {(18, 6), (17, 3), (17, 4), (17, 5), (18, 7), (23, 2)}


def label(head: tuple[int, int]) -> str:
    return f"L{head[0]}H{head[1]}"


# --- induction ----------------------------------------------------------------------------------------------------


def ablated_repeat_loss(model, tokens, heads) -> float:
    """Mean loss on the second copy with the z of `heads` set to zero."""

    def zero(z, hook, chosen):
        z[:, :, chosen] = 0.0
        return z

    layers = {layer: [h for at, h in heads if at == layer] for layer, _ in heads}
    hooks = [(f"blocks.{layer}.attn.hook_z", lambda z, hook, c=c: zero(z, hook, c)) for layer, c in layers.items()]
    with model.hooks(fwd_hooks=hooks):
        return attention.repeat_loss(model, tokens, LENGTH)[1].mean().item()


def measure_induction(model, sequences: int, seeds: int) -> dict[str, list[float]]:
    """Every figure of the repeated-token task, one value a seed."""
    batches = [
        attention.repeated_tokens(VOCABULARY, LENGTH, sequences, seed, bos=model.tokenizer.bos_token_id)
        for seed in range(seeds)
    ]
    losses = [attention.repeat_loss(model, tokens, LENGTH) for tokens in track(batches, "loss")]
    scores = [attention.head_scores(model, tokens, LENGTH) for tokens in track(batches, "head scores")]
    stacked = {role: torch.stack([by_role[role] for by_role in scores]) for role in scores[0]}
    figures = {
        "loss on the first copy (nats)": [first.mean().item() for first, _ in losses],
        "loss on the repeat (nats)": [second.mean().item() for _, second in losses],
        "attention to BOS, all heads": stacked["first token"].flatten(1).mean(1).tolist(),
    }
    top = [(layer, head) for layer, head, _ in attention.top_heads(stacked["induction"].mean(0), 8)]
    for role, heads in {
        "induction": top,
        "previous token": [head[:2] for head in attention.top_heads(stacked["previous token"].mean(0), 4)],
    }.items():
        figures |= {f"{role} {label(head)}": stacked[role][:, head[0], head[1]].tolist() for head in heads}
    figures["earlier top 6 heads among this top 8"] = [float(len(EARLIER_TOP_6 & set(top)))] * seeds
    figures["loss on the repeat, top 8 heads ablated"] = [
        ablated_repeat_loss(model, tokens, top) for tokens in track(batches, "top 8 ablated")
    ]
    others = [(layer, h) for layer in RANDOM_LAYERS for h in range(model.cfg.n_heads) if (layer, h) not in top]
    figures["loss on the repeat, 8 random heads ablated"] = [
        statistics.mean(
            ablated_repeat_loss(model, tokens, random.Random(f"{seed} {draw}").sample(others, 8))
            for draw in range(RANDOM_DRAWS)
        )
        for seed, tokens in enumerate(track(batches, "8 random heads ablated"))
    ]
    return figures


# --- indirect objects ---------------------------------------------------------------------------------------------


def ioi_prompts(count: int, seed: int) -> list[dict[str, str]]:
    """Prompts with a name that comes once (`io`) and one that comes twice (`s`), each with its corrupted twin.

    The twin lets the other name give: its right answer is the first's wrong one.
    """
    rng = random.Random(f"ioi {seed}")
    prompts = []
    for i in range(count):
        io, s = rng.sample(NAMES.split(), 2)
        words = {"place": rng.choice(PLACES.split()), "thing": rng.choice(THINGS.split())}
        words["a"], words["b"] = rng.choice([(io, s), (s, io)])
        template = TEMPLATES[i % len(TEMPLATES)]
        prompts.append(
            {"clean": template.format(s=s, **words), "corrupted": template.format(s=io, **words), "io": io, "s": s}
        )
    return prompts


def measure_prompt(model, prompt: dict[str, str]) -> dict[str, float]:
    """The figures of one prompt; a logit difference is logit(io) - logit(s) at the last position."""
    io, s = (model.to_single_token(" " + prompt[which]) for which in ("io", "s"))
    names = [("z", layer) for layer, _ in WRITERS] + ["ln_final.hook_scale", "hook_unembed"]
    clean = activations(model, prompt["clean"], names)
    logits = clean["hook_unembed"][0, -1]
    # A head's direct effect: its part of the last residual stream, through the frozen scale and weight of the last norm.
    direction = (model.unembed.W_U[:, io] - model.unembed.W_U[:, s]) * model.ln_final.w
    direction = direction / clean["ln_final.hook_scale"][0, -1]
    figures = {
        "IOI logit difference": (logits[io] - logits[s]).item(),
        "IOI share of IO > S": float(logits[io] > logits[s]),
        "IOI share of IO first of all tokens": float(logits.argmax() == io),
    }
    for layer, head in WRITERS:
        written = clean[("z", layer)][0, -1, head] @ model.blocks[layer].attn.W_O[head]
        figures[f"IOI direct effect of {label((layer, head))}"] = (written @ direction).item()
    layer, head = PATCHED

    def patch(z, hook):
        z[:, :, head] = clean[("z", layer)][:, :, head]
        return z

    corrupted = model(prompt["corrupted"])[0, -1]
    patched = model.run_with_hooks(prompt["corrupted"], fwd_hooks=[(f"blocks.{layer}.attn.hook_z", patch)])[0, -1]
    figures["IOI logit difference, corrupted"] = (corrupted[io] - corrupted[s]).item()
    figures[f"IOI corrupted, {label(PATCHED)} patched from clean"] = (patched[io] - patched[s]).item()
    return figures


def measure_ioi(model, sequences: int, seeds: int) -> dict[str, list[float]]:
    """Every figure of the indirect-object task, one value a seed, and the smallest logit difference of all prompts."""
    measured = [
        [measure_prompt(model, prompt) for prompt in ioi_prompts(sequences, seed)]
        for seed in track(range(seeds), "indirect objects")
    ]
    figures = {name: [statistics.mean(one[name] for one in seed) for seed in measured] for name in measured[0][0]}
    figures["IOI smallest logit difference of a seed"] = [
        min(p["IOI logit difference"] for p in seed) for seed in measured
    ]
    return figures


# --- the report ---------------------------------------------------------------------------------------------------


def summary(values: list[float]) -> dict[str, float]:
    """Mean and standard error over seeds; of one seed there is no standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": round(statistics.mean(values), 4), "se": None if error is None else round(error, 4)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sequences", type=int, default=32, help="sequences a seed")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = options.parse_args()
    torch.set_num_threads(1)
    try:
        model = models.load("smollm2")
    except CourseError as error:
        raise SystemExit(str(error)) from None
    started = time.monotonic()
    with torch.no_grad():
        figures = measure_induction(model, chosen.sequences, chosen.seeds)
        figures |= measure_ioi(model, chosen.sequences, chosen.seeds)
    found = {name: summary(values) for name, values in figures.items()}
    table = Table("figure", "mean", "standard error", "band", title="SmolLM2-135M-Instruct")
    for name, value in found.items():
        band = BANDS.get(name)
        inside = (
            ""
            if band is None
            else f"{band[0]} to {band[1]}: " + ("yes" if band[0] <= value["mean"] <= band[1] else "NO")
        )
        table.add_row(name, f"{value['mean']:.3f}", "" if value["se"] is None else f"{value['se']:.3f}", inside)
    Console().print(table)
    protocol = {
        "sequences": chosen.sequences,
        "seeds": list(range(chosen.seeds)),
        "length": LENGTH,
        "tokens": [VOCABULARY.start, VOCABULARY.stop - 1],
        "bos": model.tokenizer.bos_token,
        "dtype": "float32",
        "weights": "raw",
        "ablation": "zero, hook_z, all positions",
        "random_heads": f"{RANDOM_DRAWS} draws of 8 a seed, layers {RANDOM_LAYERS.start} to {RANDOM_LAYERS.stop - 1}",
        "patching": "hook_z, all positions, clean into corrupted",
    }
    result = {
        "model": models.card("smollm2")["source"],
        "protocol": protocol,
        "figures": found,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "transformers", "transformer-lens")},
        "machine": {"processor": platform.machine(), "threads": 1},
    }
    chosen.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
