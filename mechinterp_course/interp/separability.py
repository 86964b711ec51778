"""How well a straight cut through the residual stream tells a label: logistic regression, layer by layer.

Trained on some files of the bundled sample and tested on others. The measure is AUC: the chance that a token with the label
scores higher than one without; 0.5 is a guess, whatever the share of tokens with the label. Must not import TransformerLens;
the model is any bridge.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechinterp_course.interp import labels
from mechinterp_course.interp.roles import ROLES

WINDOW = 255  # tokens of a file that the model reads at once, behind BOS
# What is told apart: each a yes or no of a token, from the labels of the bundled sample.
QUESTIONS = {
    "in_string": lambda found: found["in_string"],
    "in_comment": lambda found: found["in_comment"],
    "in_docstring": lambda found: found["in_docstring"],
    "keyword": lambda found: found["keyword"],
    "in_brackets": lambda found: found["bracket_depth"] > 0,
    "two_blocks_deep": lambda found: found["indentation_depth"] >= 2,
    "seen_before": lambda found: found["seen_before"],
    "parameter": lambda found: found["name_role"] == ROLES.index("parameter"),
    "attribute": lambda found: found["name_role"] == ROLES.index("attribute"),
}
ONLY_NAMES = {"seen_before", "parameter", "attribute"}  # asked of tokens that belong to names alone
HOW = (
    "value: how many labels have an AUC of at least 0.9 at some layer, and at least 0.05 more there than from the embedding alone; "
    "logistic regression on the residual stream (hook_resid_post of each layer; embedding: hook_embed alone, the token "
    "without its place), each coordinate brought to mean 0 and standard deviation 1, L2 penalty 1e-3, fitted by L-BFGS on "
    f"windows of {WINDOW} tokens of every file of the bundled sample whose number in it is even, tested on the files with odd "
    "numbers; the sample is of the test split, so the model saw none of it; AUC on the test tokens; seen_before, parameter and "
    "attribute are asked of tokens of names alone; share: of the test tokens that have the label; "
    "balanced_accuracy: at the cut of probability where the training tokens' balanced accuracy is best (0.5: guess)"
)


class Tokens(NamedTuple):
    """Windows of the files of one half of the sample, and the answers for their tokens."""

    windows: Int[Tensor, "window pos"]  # BOS first
    answers: dict[str, Bool[Tensor, "token"]]
    names: Bool[Tensor, "token"]  # whether the token belongs to a name


def halves(most: int = 100) -> tuple[Tokens, Tokens]:
    """The files with even numbers in the sample, and those with odd ones; at most so many windows of each half."""
    return _tokens(labels.sample()[0::2], most), _tokens(labels.sample()[1::2], most)


def _tokens(files: list[labels.LabelledFile], most: int) -> Tokens:
    """Whole windows, taken evenly from the files in turn; what is left at a file's end is not used."""
    windows, chosen = [], []
    for file in files:
        for start in range(0, len(file.ids) - WINDOW + 1, WINDOW):
            part = slice(start, start + WINDOW)
            windows.append(torch.from_numpy(file.ids[part].astype(np.int64)))
            chosen.append({name: values[part] for name, values in file.labels.items()})
    keep = np.linspace(0, len(windows) - 1, min(most, len(windows))).astype(int)
    found = {name: np.concatenate([chosen[i][name] for i in keep]) for name in labels.LABELS}
    answers = {name: torch.from_numpy(np.asarray(ask(found))) for name, ask in QUESTIONS.items()}
    together = torch.nn.functional.pad(torch.stack([windows[i] for i in keep]), (1, 0), value=0)
    return Tokens(together, answers, torch.from_numpy(found["name_role"] > 0))


def streams(model, windows: Int[Tensor, "window pos"]) -> dict[str, Float[Tensor, "token d_model"]]:
    """The vectors that the cuts are made in, BOS left out: the embedding, and the stream after each layer."""
    places = {"embedding": "hook_embed"}
    places |= {f"layer {i}": f"blocks.{i}.hook_resid_post" for i in range(model.cfg.n_layers)}
    parts: dict[str, list[Tensor]] = {place: [] for place in places}
    for some in windows.split(16):
        with torch.no_grad():
            _, cache = model.run_with_cache(some, names_filter=list(places.values()))
        for place, hook in places.items():
            parts[place].append(cache[hook][:, 1:].flatten(0, 1).clone())
    return {place: torch.cat(vectors) for place, vectors in parts.items()}


# --- one cut ------------------------------------------------------------------------------------------------------


def fit(x: Float[Tensor, "token feature"], y: Bool[Tensor, "token"], penalty: float = 1e-3) -> Float[Tensor, "weight"]:
    """Logistic regression by L-BFGS: the weight of each feature, then the offset. `penalty` times half the squared weights."""
    weight = torch.zeros(x.shape[1] + 1, requires_grad=True)
    target = y.float()
    search = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-7)

    def loss():
        search.zero_grad()
        scores = x @ weight[:-1] + weight[-1]
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, target)
        value = value + penalty / 2 * weight[:-1].square().sum()
        value.backward()
        return value

    search.step(loss)
    return weight.detach()


def auc(scores: Float[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The chance that a token with the label scores higher than one without; ties count half."""
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = (last - (counts.double() - 1) / 2)[place]  # from 1; equal scores share their mean rank
    with_label = int(y.sum())
    without = len(y) - with_label
    return ((ranks[y].sum() - with_label * (with_label + 1) / 2) / (with_label * without)).item()


def best_cut(scores: Float[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The score above which to say yes, for the highest balanced accuracy on these tokens."""
    ordered, order = scores.sort(descending=True)
    yes = y[order].double()
    gained = yes.cumsum(0) / yes.sum() - (1 - yes).cumsum(0) / (1 - yes).sum()
    return ordered[gained.argmax()].item()


def balanced_accuracy(said: Bool[Tensor, "token"], y: Bool[Tensor, "token"]) -> float:
    """The mean of the shares answered rightly among tokens with the label and among those without."""
    return ((said[y].double().mean() + (~said[~y]).double().mean()) / 2).item()


def measured(model, most: int = 100) -> dict:
    """AUC and balanced accuracy of every question at every layer of a bridge, as the card tells them."""
    train, test = halves(most)
    before, after = streams(model, train.windows), streams(model, test.windows)
    found: dict = {}
    for question in QUESTIONS:
        use = [half.names if question in ONLY_NAMES else torch.ones_like(half.names) for half in (train, test)]
        y, truth = train.answers[question][use[0]], test.answers[question][use[1]]
        found[question] = {"share": round(truth.double().mean().item(), 3), "auc": {}, "balanced_accuracy": {}}
        for place in before:
            x, unseen = before[place][use[0]], after[place][use[1]]
            mean, spread = x.mean(0), x.std(0) + 1e-6
            weight = fit((x - mean) / spread, y)
            first, second = (((v - mean) / spread) @ weight[:-1] + weight[-1] for v in (x, unseen))
            said = second >= best_cut(first, y)
            found[question]["auc"][place] = round(auc(second, truth), 3)
            found[question]["balanced_accuracy"][place] = round(balanced_accuracy(said, truth), 3)
    return {"value": sum(map(separable, found.values())), "labels": found, "how": HOW}


def separable(told: dict) -> bool:
    """Whether a label counts as linearly separable: some layer tells it well, and better than the token alone does."""
    best = max(told["auc"].values())
    return best >= 0.9 and best >= told["auc"]["embedding"] + 0.05
