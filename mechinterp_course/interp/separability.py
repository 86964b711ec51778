"""How well a straight cut through the residual stream tells a label: logistic regression, layer by layer.

Trained on some files of the bundled sample and tested on others. The measure is AUC: the chance that a token with the label
scores higher than one without; 0.5 is a guess, whatever the share of tokens with the label. The cut and its
measures are in `probes.py`, the tokens in `probe_data.py`. Must not import TransformerLens; the model is any bridge.
"""

import torch

from mechinterp_course.interp import labels, probe_data, probes
from mechinterp_course.interp.probe_data import ONLY_NAMES, QUESTIONS, WINDOW

HOW = (
    "value: how many labels have an AUC of at least 0.9 at some layer, and at least 0.05 more there than from the embedding alone; "
    "logistic regression on the residual stream (hook_resid_post of each layer; embedding: hook_embed alone, the token "
    "without its place), each coordinate brought to mean 0 and standard deviation 1, L2 penalty 1e-3, fitted by L-BFGS on "
    f"windows of {WINDOW} tokens of every file of the bundled sample whose number in it is even, tested on the files with odd "
    "numbers; the sample is of the test split, so the model saw none of it; AUC on the test tokens; seen_before, parameter and "
    "attribute are asked of tokens of names alone; share: of the test tokens that have the label; "
    "balanced_accuracy: at the cut of probability where the training tokens' balanced accuracy is best (0.5: guess)"
)


def halves(most: int = 100) -> tuple[probe_data.Tokens, probe_data.Tokens]:
    """The files with even numbers in the sample, and those with odd ones; at most so many windows of each half."""
    return probe_data.tokens(labels.sample()[0::2], most), probe_data.tokens(labels.sample()[1::2], most)


def measured(model, most: int = 100) -> dict:
    """AUC and balanced accuracy of every question at every layer of a bridge, as the card tells them."""
    train, test = halves(most)
    before, after = probe_data.streams(model, train.windows), probe_data.streams(model, test.windows)
    found: dict = {}
    for question in QUESTIONS:
        use = [half.names if question in ONLY_NAMES else torch.ones_like(half.names) for half in (train, test)]
        y, truth = train.answers[question][use[0]], test.answers[question][use[1]]
        found[question] = {"share": round(truth.double().mean().item(), 3), "auc": {}, "balanced_accuracy": {}}
        for place in before:
            x, unseen = before[place][use[0]], after[place][use[1]]
            probe = probes.logistic(x, y)
            first, second = probe.scores(x), probe.scores(unseen)
            said = second >= probes.best_cut(first, y)
            found[question]["auc"][place] = round(probes.auc(second, truth), 3)
            found[question]["balanced_accuracy"][place] = round(probes.balanced_accuracy(said, truth), 3)
    return {"value": sum(map(separable, found.values())), "labels": found, "how": HOW}


def separable(told: dict) -> bool:
    """Whether a label counts as linearly separable: some layer tells it well, and better than the token alone does."""
    best = max(told["auc"].values())
    return best >= 0.9 and best >= told["auc"]["embedding"] + 0.05
