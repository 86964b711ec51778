"""When a feature is active, how strongly, and the places to look at: plain arrays, from a sample's encoded activations.

`features.fire` makes a `Firing`. Numpy only: must not import torch or TransformerLens.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from mechinterp_course.errors import CourseError

BINS = 20  # bars of a histogram
TOP, EACH = 6, 3  # contexts among the strongest, and of each third
BANDS = ("strongest", "upper third", "middle third", "lower third")


@dataclass(frozen=True)
class Firing:
    """Where each feature is active (above 0): the entries that are not zero, feature by feature, in the order of the tokens.

    Feature i has the entries start[i]:start[i + 1] of `token` and `value`.
    """

    token: np.ndarray  # (entry,) int32
    value: np.ndarray  # (entry,) float32
    start: np.ndarray  # (feature + 1,) int64
    n_tokens: int

    @property
    def n_features(self) -> int:
        return len(self.start) - 1

    @property
    def count(self) -> np.ndarray:
        """(feature,): on how many tokens each is active."""
        return np.diff(self.start)

    @property
    def density(self) -> np.ndarray:
        """(feature,): on which share of the tokens each is active. The mean number of active features a token, L0, is its sum."""
        return self.count / self.n_tokens

    @property
    def feature(self) -> np.ndarray:
        """(entry,): the feature of each entry."""
        return np.repeat(np.arange(self.n_features), self.count)

    def of(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """(tokens, activations) of one feature, where it is active."""
        if not 0 <= feature < self.n_features:
            raise CourseError(f"There is no feature {feature}.", f"Give 0 to {self.n_features - 1}.")
        part = slice(self.start[feature], self.start[feature + 1])
        return self.token[part], self.value[part]

    def dense(self, feature: int) -> np.ndarray:
        """(token,): the activation of one feature on every token, zeros included."""
        values = np.zeros(self.n_tokens, dtype=np.float32)
        tokens, found = self.of(feature)
        values[tokens] = found
        return values


# --- how strongly -----------------------------------------------------------------------------------------------------


def strongest(firing: Firing) -> np.ndarray:
    """(feature,): the largest activation of each feature on the sample; 0 for one that is never active."""
    most = np.zeros(firing.n_features, dtype=np.float32)
    alive = firing.count > 0
    if alive.any():
        most[alive] = np.maximum.reduceat(firing.value, firing.start[:-1][alive])
    return most


def mean_active(firing: Firing) -> np.ndarray:
    """(feature,): the mean activation over the tokens where the feature is active; 0 for one that never is."""
    total = np.bincount(firing.feature, weights=firing.value, minlength=firing.n_features)
    return (total / np.maximum(firing.count, 1)).astype(np.float32)


def histogram(firing: Firing, bins: int = BINS) -> Int[np.ndarray, "feature bin"]:
    """How many active tokens have an activation in each of `bins` equal steps from 0 to the feature's own largest one.

    Tokens where the feature is not active are not counted: their share is 1 - density.
    """
    most = strongest(firing)
    feature = firing.feature
    step = np.minimum((firing.value / np.maximum(most[feature], 1e-30) * bins).astype(np.int64), bins - 1)
    counts = np.bincount(feature * bins + step, minlength=firing.n_features * bins)
    return counts.reshape(firing.n_features, bins)


# --- where: contexts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contexts:
    """Places to look at, for each feature: first the TOP strongest, then EACH from every third of its active tokens."""

    token: np.ndarray  # (feature, context) int32; -1 where there is none
    band: np.ndarray  # (feature, context) uint8: a number in BANDS


def contexts(firing: Firing, length: int, top: int = TOP, each: int = EACH) -> Contexts:
    """Choose the tokens to look at for every feature, the honest way: not its largest activations alone.

    "strongest": the `top` largest activations, at most one from each window of `length` tokens. Then the feature's active tokens
    are put in the order of their activations, and `each` are taken from every third, at even steps of rank; a token
    that was shown already is left out. So the lower third shows what a small activation of the feature is worth.
    """
    found = np.full((firing.n_features, top + 3 * each), -1, dtype=np.int32)
    for feature in np.flatnonzero(firing.count):
        tokens, values = firing.of(feature)
        order = np.argsort(-values, kind="stable")
        # Of each window the place of its strongest token: `unique` gives the first in this order.
        _, first = np.unique(tokens[order] // length, return_index=True)
        best = order[np.sort(first)[:top]]
        found[feature, : len(best)] = tokens[best]
        ranks = ((np.arange(3 * each) + 0.5) / (3 * each) * len(order)).astype(int)
        seen = set(tokens[best].tolist())
        for slot, token in enumerate(tokens[order[ranks]].tolist(), start=top):
            if token not in seen:
                found[feature, slot] = token
                seen.add(token)
    band = np.concatenate([np.zeros(top), np.repeat([1, 2, 3], each)]).astype(np.uint8)
    return Contexts(found, np.broadcast_to(band, found.shape).copy())


def around(token: int, length: int, before: int, after: int) -> tuple[int, int]:
    """(from, up to): the tokens of the same window around a token, at most so many before and after it."""
    window = token // length * length
    return max(window, token - before), min(window + length, token + after + 1)


def values_around(
    firing: Firing, tokens: Int[np.ndarray, "feature context"], length: int, before: int, after: int, steps: int = 255
) -> np.ndarray:
    """(feature, context, before + 1 + after) uint8: the activations around each chosen token, 0 outside of its window.

    Each is a whole number of steps, of which the feature's largest activation has `steps`; what is active is never 0.
    """
    most, span = strongest(firing), np.arange(-before, after + 1)
    found = np.zeros((*tokens.shape, len(span)), dtype=np.uint8)
    for feature in np.flatnonzero(firing.count):
        own, values = firing.of(feature)
        places = tokens[feature][:, None] + span
        same = (places // length == tokens[feature][:, None] // length) & (tokens[feature][:, None] >= 0)
        at = np.searchsorted(own, places).clip(max=len(own) - 1)
        hit = same & (own[at] == places)
        found[feature][hit] = np.ceil(values[at][hit] / most[feature] * steps).clip(1, steps)
    return found
