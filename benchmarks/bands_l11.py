"""The bands of lesson 11: what its probes, controls and erasures give on other splits of the files than the one that it shows.

Five splits by file of the bundled sample, the windows, fits and hooks of the lesson (`interp/probe_data.py`, `interp/probes.py`), raw weights of
code-4l. Run: python benchmarks/bands_l11.py        writes bands_l11.json beside this file; about six minutes on one thread.
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from mechinterp_course.interp import models, probe_data, probes

FILE = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
QUESTIONS = ("keyword", "in_comment", "in_brackets", "in_docstring", "attribute")
PLACE, LAYER = "layer 2", 2


def late(tokens):
    return torch.arange(probe_data.WINDOW).repeat(len(tokens.windows)) >= 128


def even(tokens):
    return tokens.ids % 2 == 0


def layers(parts, streams) -> dict:
    """Validation and test AUC of every question at every place, the place chosen on validation, and the test AUC there."""
    found = {}
    for question in QUESTIONS:
        aucs = {"validation": {}, "test": {}}
        for place in streams["train"]:
            probe = probes.logistic(streams["train"][place], parts["train"].answers[question])
            for part, told in aucs.items():
                told[place] = round(probes.auc(probe.scores(streams[part][place]), parts[part].answers[question]), 3)
        best = max(aucs["validation"], key=aucs["validation"].get)
        found[question] = aucs | {"chosen": best, "reported": aucs["test"][best]}
    return found


def kinds(parts, streams) -> dict:
    """Three kinds of probe for in_comment after layer 2: AUC, balanced accuracy at their cut, and accuracy beside the majority's."""
    x, y = streams["train"][PLACE], parts["train"].answers["in_comment"]
    unseen, truth = streams["test"][PLACE], parts["test"].answers["in_comment"]
    found = {"majority": round(probes.majority(truth), 3)}
    for name in ("logistic", "lda", "difference_of_means"):
        scores = getattr(probes, name)(x, y).scores(unseen)
        measures = (
            probes.auc(scores, truth),
            probes.balanced_accuracy(scores > 0, truth),
            probes.accuracy(scores > 0, truth),
        )
        found[name] = dict(zip(("auc", "balanced_accuracy", "accuracy"), [round(m, 3) for m in measures], strict=True))
    arrow = probes.difference_of_means(x, y).direction
    found["no midpoint, balanced accuracy"] = round(probes.balanced_accuracy(unseen @ arrow > 0, truth), 3)
    return found


def leak(parts, streams, seed) -> dict:
    """Test AUC by file, and the same number of tokens of the same files dealt out one by one."""
    found = {}
    for question in ("in_docstring", "two_blocks_deep"):
        x = torch.cat([streams["train"][PLACE], streams["test"][PLACE]])
        y = torch.cat([parts["train"].answers[question], parts["test"].answers[question]])
        n, order = len(parts["train"].file), torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        for name, take in (("by file", torch.arange(len(y))), ("by token", order)):
            probe = probes.logistic(x[take[:n]], y[take[:n]])
            found[f"{question}, {name}"] = round(probes.auc(probe.scores(x[take[n:]]), y[take[n:]]), 3)
    return found


def controls(parts, streams, seed) -> dict:
    """AUC of three control tasks with a share of 0.3, at the embedding and after layer 2."""
    found = {}
    for place in ("embedding", PLACE):
        told = []
        for draw in range(3):
            both = torch.cat([parts["train"].ids, parts["test"].ids])
            labels = probes.control_labels(both, 0.3, 10 * seed + draw)
            n = len(parts["train"].ids)
            probe = probes.logistic(streams["train"][place], labels[:n])
            told.append(round(probes.auc(probe.scores(streams["test"][place]), labels[n:]), 3))
        found[place] = told
    return found


def erased(model, parts, streams, seed) -> dict:
    """The rise of the loss on 24 test windows when directions are erased after layer 2."""
    windows = parts["test"].windows[:24]
    mean = streams["train"][PLACE].mean(0)
    base = probes.token_losses(model, windows)

    def rise(direction):
        hooks = [(f"blocks.{LAYER}.hook_resid_post", probes.eraser(direction, mean))]
        return probes.token_losses(model, windows, hooks) - base

    found = {"base": round(base.mean().item(), 3)}
    of = {"second half": late, "even": even} | {
        q: (lambda t, q=q: t.answers[q]) for q in ("in_comment", "in_brackets", "keyword")
    }
    for name, label in of.items():
        y, truth = label(parts["train"]), label(parts["test"])
        probe = probes.logistic(streams["train"][PLACE], y)
        change = rise(probe.direction)
        mine = truth.view(len(parts["test"].windows), -1)[:24, :-1]
        x, unseen = (probes.erase(streams[part][PLACE], probe.direction, mean) for part in ("train", "test"))
        found[name] = {
            "auc": round(probes.auc(probe.scores(streams["test"][PLACE]), truth), 3),
            "rise": round(change.mean().item(), 4),
            "rise at tokens with the label": round(change[mine].mean().item(), 4),
            "auc of a new probe after erasing": round(probes.auc(probes.logistic(x, y).scores(unseen), truth), 3),
        }
    comments = parts["test"].answers["in_comment"].view(len(parts["test"].windows), -1)[:24, :-1]

    def both(changes) -> dict:
        """Mean and largest of several rises, over all tokens and over those in comments."""
        over = {
            "all tokens": [c.mean().item() for c in changes],
            "in comments": [c[comments].mean().item() for c in changes],
        }
        return {where: {"mean": round(sum(v) / len(v), 4), "largest": round(max(v), 4)} for where, v in over.items()}

    draws = torch.randn(8, mean.shape[0], generator=torch.Generator().manual_seed(seed))
    found["random"] = both([rise(direction) for direction in draws])
    coins = [probes.control_labels(parts["train"].ids, 0.5, coin) for coin in range(5)]
    arrows = [probes.difference_of_means(streams["train"][PLACE], coin).direction for coin in coins]
    found["difference of means of five control labels"] = both([rise(arrow) for arrow in arrows])
    arrow = probes.difference_of_means(streams["train"][PLACE], parts["train"].answers["in_comment"]).direction
    found["difference of means of in_comment"] = both([rise(arrow)])
    return found


def interval(parts, streams) -> dict:
    """The accuracy for in_brackets after layer 2 with its two intervals."""
    truth = parts["test"].answers["in_brackets"]
    probe = probes.logistic(streams["train"][PLACE], parts["train"].answers["in_brackets"])
    right = (probe.scores(streams["test"][PLACE]) > 0) == truth
    by_file = probes.interval_by_file(right, parts["test"].file)
    by_token = probes.wilson(int(right.sum()), len(right))
    return {
        "accuracy": round(right.double().mean().item(), 3),
        "majority": round(probes.majority(truth), 3),
        "by file": [round(end, 3) for end in by_file],
        "tokens as independent": [round(end, 3) for end in by_token],
    }


def main() -> None:
    torch.set_num_threads(1)
    before, model = time.perf_counter(), models.load("code-4l")
    result: dict = {"settings": dict(model="code-4l", place=PLACE, seeds=list(SEEDS), windows_a_file=8)}
    for seed in SEEDS:
        parts = probe_data.split(seed)
        streams = {part: probe_data.streams(model, tokens.windows) for part, tokens in parts.items()}
        result[f"split {seed}"] = {
            "layers": layers(parts, streams),
            "kinds": kinds(parts, streams),
            "leak": leak(parts, streams, seed),
            "control task": controls(parts, streams, seed),
            "erased": erased(model, parts, streams, seed),
            "interval": interval(parts, streams),
        }
        print(seed, json.dumps(result[f"split {seed}"]), flush=True)
    result["versions"] = {"torch": version("torch"), "python": platform.python_version()}
    result["seconds"] = round(time.perf_counter() - before)
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
