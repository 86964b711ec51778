"""How fast the sweeps of `interp.patching` are beside those of `transformer_lens.patching`, in one process, on the same threads.

The two take turns, so that what else the machine does meets both. Their values are compared, and memory is what a sweep adds to
the process at its peak. Run: python benchmarks/patching.py [MODEL ...]        writes patching.json beside this file
With names, only the rows of those models are measured anew. Without, all: some ten minutes on an idle core, most for SmolLM2.
"""

import contextlib
import io
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformer_lens import patching as lens

from mechinterp_course.interp import fetch, metrics, models, patching

FILE = Path(__file__).with_suffix(".json")
THREADS = 1
LENGTH = 15
# (ours, by position, theirs)
SWEEPS = [
    ("z", False, "attn_head_out_all_pos"),
    ("resid_pre", None, "resid_pre"),
    ("attn_out", None, "attn_out"),
    ("mlp_out", None, "mlp_out"),
    *[(letter, False, f"attn_head_{letter}_all_pos") for letter in ("q", "k", "v", "pattern")],
    ("z", True, "attn_head_out_by_pos"),
    *[(letter, True, f"attn_head_{letter}_by_pos") for letter in ("q", "k", "v", "pattern")],
]
# SmolLM2, 15 tokens each. In one pair the prompts part at position 1, in the other at position 10: what comes before is not run.
CLEAN = "When John and Mary went to the shops, John gave the bag to"
PAIRS = {
    "parting at position 1": "While Tom and Mary went to the shops, Mary gave the bag to",
    "parting at position 10": "When John and Mary went to the shops, Mary gave the bag to",
}
TURNS = {"smollm2": 1}  # TransformerLens takes minutes for each sweep of it; of other models it has three turns
AIM = {"z": 10, "resid_pre": 8}  # so many times faster at least, on SmolLM2


def status(name: str) -> float:
    """A line of this process' state in MiB: VmRSS, its memory now, or VmHWM, the most since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def timed(run) -> tuple[object, float, float]:
    """(result, wall seconds, MiB at the peak above what was there before)."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, started = status("VmRSS"), time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # TransformerLens' bar
        result = run()
    return result, time.perf_counter() - started, status("VmHWM") - before


def contest(model, clean, corrupted, metric, sweep: tuple, turns: int) -> dict:
    """One sweep by both, in turns. Both unpatched runs are on our clock; the one that TransformerLens needs is not on theirs."""
    activation, by_position, name = sweep
    _, cache = model.run_with_cache(clean)
    theirs_of = getattr(lens, f"get_act_patch_{name}")
    seconds, memory = {"ours": [], "theirs": []}, {"ours": [], "theirs": []}
    for who in ["ours", *["theirs", "ours"] * turns]:
        if who == "ours":
            ours, taken, added = timed(
                lambda: patching.activation_patching(
                    model, clean, corrupted, metric, activation, by_position=by_position, progress=False
                )
            )
        else:
            theirs, taken, added = timed(
                lambda: theirs_of(model, corrupted, cache, lambda logits: metric(logits).mean())
            )
        seconds[who].append(taken)
        memory[who].append(added)
    if by_position and activation != "pattern":  # TransformerLens has the position before the head
        theirs = theirs.transpose(1, 2)
    apart = (ours.scale(theirs) - ours.values).abs().max().item()
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    return {
        "sweep": activation + (" by position" if by_position else ""),
        "values": ours.values.numel(),
        "runs": ours.runs,
        "seconds": {who: [round(second, 3) for second in times] for who, times in seconds.items()},
        "times_faster": round(medians["theirs"] / medians["ours"], 1),
        "largest_difference_of_normalised_values": float(f"{apart:.2g}"),
        "peak_mib_added": {who: round(max(added)) for who, added in memory.items()},
    }


def bundled(name: str) -> Iterator[dict]:
    """All sweeps on a bundled model, on random tokens that part at position 1, of five whose ends lie furthest apart."""
    model = models.load(name)
    length, top = min(LENGTH, model.cfg.n_ctx), model.cfg.d_vocab_out - 1
    draw = torch.Generator().manual_seed(0)
    clean = torch.randint(1, top, (1, length), generator=draw)
    corrupted = clean.clone()
    corrupted[:, 1] = (corrupted[:, 1] + 7) % top
    with torch.no_grad():
        change = (model(clean) - model(corrupted))[0, -1]
    metric = metrics.logit_difference(change.argmax().item(), change.argmin().item())
    for sweep in SWEEPS:
        yield {"model": name, **contest(model, clean, corrupted, metric, sweep, TURNS.get(name, 3))}


def smollm2() -> Iterator[dict]:
    """The heads and the residual stream of SmolLM2, with both pairs of prompts."""
    model = models.load("smollm2")
    clean = model.to_tokens(CLEAN)
    metric = metrics.logit_difference(model.to_single_token(" Mary"), model.to_single_token(" John"))
    for pair, text in PAIRS.items():
        corrupted = model.to_tokens(text)
        assert clean.shape == corrupted.shape == (1, LENGTH)
        for sweep in SWEEPS[:2]:
            row = contest(model, clean, corrupted, metric, sweep, TURNS["smollm2"])
            assert row["largest_difference_of_normalised_values"] < 1e-3, row
            yield {"model": "smollm2", "pair": pair, **row, "aim": AIM[sweep[0]]}


def show(rows: list[dict]) -> None:
    table = Table(
        "model", "sweep", "values", "ours s", "TransformerLens s", "times faster", "MiB ours / theirs", "apart"
    )
    for row in rows:
        ours, theirs = (f"{statistics.median(row['seconds'][who]):.3f}" for who in ("ours", "theirs"))
        memory = f"{row['peak_mib_added']['ours']} / {row['peak_mib_added']['theirs']}"
        apart = f"{row['largest_difference_of_normalised_values']:.1e}"
        name = row["sweep"] + (f", {row['pair']}" if "pair" in row else "")
        table.add_row(row["model"], name, str(row["values"]), ours, theirs, f"{row['times_faster']}", memory, apart)
    Console(width=150).print(table)


def save(rows: list[dict]) -> None:
    result = {
        "machine": {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "transformer-lens", "transformers")},
        "threads": THREADS,
        "how": "seconds of each turn, ours first, then in turns; times_faster is the ratio of the medians. Ours "
        "includes both unpatched runs and the check of the logits; theirs leaves out the run that fills the clean cache.",
        "rows": rows,
    }
    FILE.write_text(json.dumps(result, indent=1) + "\n")


def main(chosen: list[str]) -> None:
    torch.set_num_threads(THREADS)
    here = [entry.name for entry in models.catalogue() if entry.kind == "bundled"]
    here += ["smollm2"] if fetch.where("smollm2") is not None else []
    before = json.loads(FILE.read_text())["rows"] if FILE.is_file() and chosen else []
    rows = [row for row in before if row["model"] not in chosen]
    for name in [name for name in here if not chosen or name in chosen]:
        for row in smollm2() if name == "smollm2" else bundled(name):
            rows.append(row)
            save(rows)
    show(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
