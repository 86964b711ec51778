"""SAE training, ours beside sae-lens 6.54: activations a second at the same sizes on the same number of threads, and recovery on a toy.

sae-lens cannot be installed beside TransformerLens 4, so it runs in a Python of its own:
    python3 -m venv /tmp/saelens && /tmp/saelens/bin/pip install "sae-lens==6.54.*"
    python benchmarks/saes.py /tmp/saelens/bin/python
The two take turns, round after round, each round in a fresh process with as many threads as --threads says (1). Both train with Adam on the same
random rows, batch 1024; sae-lens through its own SAETrainer, logging switched off (its sparse option for topk stops with an error on the CPU).
Times are of the whole loop, by the clock and as the process' own; the best of the rounds counts for both. Recovery: an SAE of 128 latents, 500
steps on sparse sums of 64 known directions in 32 dimensions, mean over true directions of the largest cosine, five seeds.
Writes saes.json beside this file; about five minutes on a quiet machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
BATCH = 1024
# d_in, d_sae, k of topk, steps of a round
SIZES = ((32, 128, 4, 400), (240, 960, 32, 40), (240, 3840, 32, 12), (576, 4096, 32, 8))
ARCHITECTURES = ("standard", "topk", "jumprelu")
SEEDS = (0, 1, 2, 3, 4)
TOY = {"d_in": 32, "true": 64, "d_sae": 128, "steps": 500}
ROUNDS = 3


# --- the data, the same for both ------------------------------------------------------------------------------------


def random_rows(d_in: int):
    import torch

    return torch.randn(8 * BATCH, d_in, generator=torch.Generator().manual_seed(0))


def toy(seed: int):
    """(true directions (128, 32), an endless stream of batches): each feature is there with probability 0.02, as strong as |N(1, 0.3)|."""
    import torch

    rng = torch.Generator().manual_seed(1000 + seed)
    truth = torch.nn.functional.normalize(torch.randn(TOY["true"], TOY["d_in"], generator=rng), dim=1)

    def batches():
        while True:
            there = torch.rand(BATCH, TOY["true"], generator=rng) < 0.04
            strength = (1 + 0.3 * torch.randn(BATCH, TOY["true"], generator=rng)).abs()
            yield (there * strength) @ truth

    return truth, batches()


def recovery(W_dec, truth) -> float:
    import torch

    found = torch.nn.functional.normalize(W_dec.detach(), dim=1)
    return float((truth @ found.T).max(1).values.mean())


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(before: tuple[float, float]) -> tuple[float, float]:
    return tuple(now - then for now, then in zip(clocks(), before, strict=True))


def rates(steps: int, seconds: tuple[float, float]) -> tuple[float, float]:
    return tuple(steps * BATCH / each for each in seconds)


def cycle(rows):
    while True:
        yield from rows.split(BATCH)


# --- ours -----------------------------------------------------------------------------------------------------------


def ours(architecture: str, d_in: int, d_sae: int, k: int, steps: int) -> tuple[float, float]:
    """Activations a second, and a second of this process' own time."""
    from mechinterp_course.interp import sae_training
    from mechinterp_course.interp.saes import SAE

    price = {"standard": {"l1": 0.1}, "jumprelu": {"l0": 0.01}, "topk": {}}[architecture]
    sae = SAE(d_in, d_sae, architecture, k=k if architecture == "topk" else None)
    rows = random_rows(d_in)
    sae_training.train(sae, cycle(rows), steps=3, progress=False, **price)
    before = clocks()
    sae_training.train(sae, cycle(rows), steps=steps, progress=False, **price)
    return rates(steps, since(before))


def our_toy(architecture: str, seed: int) -> dict:
    from mechinterp_course.interp import sae_training
    from mechinterp_course.interp.saes import SAE

    truth, batches = toy(seed)
    settings = dict(TOY_SETTINGS[architecture])
    sae = SAE(TOY["d_in"], TOY["d_sae"], architecture, k=settings.pop("k", None), seed=seed)
    before = time.perf_counter()
    sae_training.train(sae, batches, steps=TOY["steps"], progress=False, **settings)
    return {"recovery": recovery(sae.W_dec, truth), "seconds": time.perf_counter() - before}


TOY_SETTINGS = {"standard": {"lr": 1e-2, "l1": 0.4}, "topk": {"lr": 3e-3, "k": 4}}


# --- sae-lens ---------------------------------------------------------------------------------------------------------


def their_sae(architecture: str, d_in: int, d_sae: int, k: int, l1: float = 0.1):
    from sae_lens import (
        JumpReLUTrainingSAE,
        JumpReLUTrainingSAEConfig,
        StandardTrainingSAE,
        StandardTrainingSAEConfig,
        TopKTrainingSAE,
        TopKTrainingSAEConfig,
    )

    if architecture == "standard":
        return StandardTrainingSAE(StandardTrainingSAEConfig(d_in=d_in, d_sae=d_sae, l1_coefficient=l1))
    if architecture == "topk":
        return TopKTrainingSAE(TopKTrainingSAEConfig(d_in=d_in, d_sae=d_sae, k=k))
    return JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(d_in=d_in, d_sae=d_sae, l0_coefficient=0.01))


def their_training(sae, batches, steps: int, lr: float) -> tuple[float, float]:
    """Seconds of sae-lens' own training loop, and of this process in it."""
    import contextlib
    import io

    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    settings = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=steps * BATCH,
        device="cpu",
        autocast=False,
        lr=lr,
        lr_end=lr / 10,
        lr_scheduler_name="constant",
        lr_warm_up_steps=0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=steps // 5,
        n_restart_cycles=1,
        train_batch_size_samples=BATCH,
        dead_feature_window=1000,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(settings, sae, batches)
    before = clocks()
    with contextlib.redirect_stderr(io.StringIO()):
        trainer.fit()
    return since(before)


def theirs(architecture: str, d_in: int, d_sae: int, k: int, steps: int) -> tuple[float, float]:
    """Activations a second, and a second of this process' own time."""
    sae, rows = their_sae(architecture, d_in, d_sae, k), random_rows(d_in)
    their_training(sae, cycle(rows), 3, 1e-3)
    return rates(steps, their_training(sae, cycle(rows), steps, 1e-3))


def their_toy(architecture: str, seed: int) -> dict:
    import torch

    torch.manual_seed(seed)
    truth, batches = toy(seed)
    settings = TOY_SETTINGS[architecture]
    sae = their_sae(architecture, TOY["d_in"], TOY["d_sae"], settings.get("k"), l1=settings.get("l1"))
    seconds, _ = their_training(sae, batches, TOY["steps"], settings["lr"])
    return {"recovery": recovery(sae.W_dec, truth), "seconds": seconds}


# --- running ----------------------------------------------------------------------------------------------------------


def worker(side: str, threads: int, toys: bool) -> dict:
    """What a fresh process measures: one round of all sizes, or the toys."""
    import torch

    torch.set_num_threads(threads)
    if toys:
        run = our_toy if side == "ours" else their_toy
        return {a: [run(a, seed) for seed in SEEDS] for a in TOY_SETTINGS}
    speed = ours if side == "ours" else theirs
    found = {}
    for d_in, d_sae, k, steps in SIZES:
        for architecture in ARCHITECTURES:
            found[f"{architecture} {d_in} -> {d_sae}"] = speed(architecture, d_in, d_sae, k, steps)
    return found


def in_fresh_process(python: str, side: str, threads: int, toys: bool = False) -> dict:
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "WANDB_MODE": "disabled",
    }
    command = [python, __file__, "--worker", side, "--threads", str(threads), *(["--toys"] if toys else [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def versions(python: str) -> dict:
    code = (
        "import json, platform; from importlib.metadata import version, PackageNotFoundError\n"
        "found = {'python': platform.python_version()}\n"
        "for name in ('sae-lens', 'torch', 'mechinterp-course', 'transformer-lens'):\n"
        "    try: found[name] = version(name)\n"
        "    except PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="?", help="the Python of an environment with sae-lens 6.54")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--worker", choices=["ours", "sae-lens"], help=argparse.SUPPRESS)
    parser.add_argument("--toys", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(worker(given.worker, given.threads, given.toys)))
        return
    if not given.python:
        parser.error("give the Python of an environment with sae-lens 6.54 (see above)")
    pythons = {"ours": sys.executable, "sae-lens": given.python}
    load = [os.getloadavg()]
    rounds = {side: [] for side in pythons}
    for _ in range(given.rounds):
        for side, python in pythons.items():
            rounds[side].append(in_fresh_process(python, side, given.threads))
        load.append(os.getloadavg())
    speeds = {}
    for case in rounds["ours"][0]:
        best = {side: [max(found[case][clock] for found in rounds[side]) for clock in (0, 1)] for side in pythons}
        speeds[case] = {side: round(rate) for side, (rate, _) in best.items()}
        speeds[case] |= {f"{side}, a second of its own time": round(rate) for side, (_, rate) in best.items()}
        # On a busy machine a process waits; what it did in the time that it had is the fairer ratio.
        for name, clock in (("ratio", 0), ("ratio of own time", 1)):
            speeds[case][name] = round(best["ours"][clock] / best["sae-lens"][clock], 2)
    toys = {side: in_fresh_process(python, side, given.threads, toys=True) for side, python in pythons.items()}
    found = {
        architecture: {
            side: {
                "recovery": [round(run["recovery"], 4) for run in toys[side][architecture]],
                "seconds": [round(run["seconds"], 2) for run in toys[side][architecture]],
            }
            for side in pythons
        }
        for architecture in TOY_SETTINGS
    }
    result = {
        "settings": {
            "batch": BATCH,
            "threads": given.threads,
            "rounds": given.rounds,
            "seeds": list(SEEDS),
            "toy": TOY,
        },
        "activations a second, best of the rounds": speeds,
        "recovery on the toy, a seed each": found,
        "versions": {side: versions(python) for side, python in pythons.items()},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "load average over 1 minute, before and after each round": [round(each[0], 1) for each in load],
    }
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
