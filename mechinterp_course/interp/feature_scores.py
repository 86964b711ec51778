"""How well rules fit features: chosen on one half of the files, scored on the other, beside neurons and random directions.

A *unit* is a feature, a neuron or a direction: anything with one number for each token. A unit with a threshold says yes or no of a
token, a rule does too, and F1 says how far they agree. Must not import TransformerLens.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechinterp_course.interp.feature_contexts import Firing
from mechinterp_course.interp.feature_rules import Rules
from mechinterp_course.interp.feature_sample import Sample

WIDEST = 0.25  # a threshold lets through at most this share of the tokens
FEWEST = 8  # and at least so many
STEP = 1.5  # from one threshold to the next, so many times as many tokens
ACTIVE = 1e-30  # the threshold of a feature that says yes wherever it is active
EXPLAINED = 0.5  # a rule explains a unit where F1 on the other files is at least this
CHUNK = 64  # units whose thresholds are tried at once

HOW = (
    f"every unit gets the rule and the threshold with the highest F1 on the files with even numbers (thresholds let through {FEWEST} tokens, "
    f"then {STEP} times as many each, at most {WIDEST:.0%} of the tokens; a feature also all tokens where it is active, if those are no more); precision, recall and F1 are "
    "those on the files with odd numbers"
)


class Fit(NamedTuple):
    """How well a yes or no of each token agrees with the truth."""

    precision: float  # of the tokens said yes to, the share where it is true
    recall: float  # of the tokens where it is true, the share said yes to
    f1: float  # 2 · precision · recall / (precision + recall); 0 where nothing agrees


def fit(said: Bool[np.ndarray, "token"], truth: Bool[np.ndarray, "token"]) -> Fit:
    """Precision, recall and F1 of a yes or no for each token. A share of nothing is 0."""
    said, truth = np.asarray(said, dtype=bool), np.asarray(truth, dtype=bool)
    precision, recall, f1 = _fit((said & truth).sum(), said.sum(), truth.sum())
    return Fit(float(precision), float(recall), float(f1))


def _fit(both, said, true) -> tuple:
    """The three figures from counts, for numbers or arrays."""
    both = np.asarray(both, dtype=np.float64)
    return both / np.maximum(said, 1), both / np.maximum(true, 1), 2 * both / np.maximum(np.add(said, true), 1)


class Scores(NamedTuple):
    """The best rule of every unit, and the best unit of every rule; chosen on one half of the files, figures of the other."""

    rule: np.ndarray  # (unit,) int: the number of its rule; -1 where the unit is never active in the first half
    threshold: np.ndarray  # (unit,): it says yes at this activation and above; ACTIVE: wherever it is active
    precision: np.ndarray  # (unit,)
    recall: np.ndarray
    f1: np.ndarray
    best_unit: np.ndarray  # (rule,) int: which unit fits the rule best; -1 for none
    best_precision: np.ndarray  # (rule,)
    best_recall: np.ndarray
    best_f1: np.ndarray

    @property
    def explained(self) -> np.ndarray:
        """(unit,) bool: whether the unit's rule has an F1 of at least EXPLAINED on the files it was not chosen on."""
        return self.f1 >= EXPLAINED


def score(units: Firing | Float[Tensor, "token unit"], rules: Rules, sample: Sample) -> Scores:
    """Find the rule that fits each unit best, and the unit that fits each rule best.

    units: features as `features.fire` gives them, or a number for each token and unit (neurons, projections on directions). All are
    treated the same (HOW says how), so their figures can be compared.
    """
    chosen, held = sample.halves
    found = _Search(rules, chosen)
    sparse = isinstance(units, Firing)
    n_units = units.n_features if sparse else units.shape[1]
    first = np.flatnonzero(chosen)
    for start in range(0, n_units, CHUNK):
        stop = min(start + CHUNK, n_units)
        part = _part(units, start, stop, chosen) if sparse else _tops(units[first, start:stop], first, found.sizes)
        found.add(*part)
    return _held_out(units, found, rules, held, n_units)


class _Search:
    """Goes through units chunk by chunk, and remembers the best rule of each and the best unit of each rule."""

    def __init__(self, rules: Rules, chosen: np.ndarray):
        self.rules, self.true = rules, rules.counts(chosen)
        self.flags = torch.from_numpy(rules.flags.astype(np.float32))
        self.sizes = sizes(int(chosen.sum()))
        self.rule, self.threshold = [], []
        self.best_f1, self.best_unit = np.zeros(len(rules)), np.full(len(rules), -1)
        self.best_threshold = np.zeros(len(rules))

    def add(self, unit: np.ndarray, rank: np.ndarray, token: np.ndarray, value: np.ndarray, active: np.ndarray) -> None:
        """The next units: entries (unit, token, value), by unit and falling value, `rank` from 0 within each.

        active: (unit,) on how many of the chosen tokens each can say yes at all.
        """
        n = len(active)
        before, levels = sum(map(len, self.rule)), len(self.sizes)
        level = np.searchsorted(self.sizes, rank + 1)
        keep = level < levels
        row = unit[keep] * levels + level[keep]
        both = self._agree(row, token[keep], n * levels).reshape(n, levels, -1).cumsum(1)
        count = np.bincount(row, minlength=n * levels)
        said = count.reshape(n, levels).cumsum(1)
        f1 = 2 * both / np.maximum(said[:, :, None] + self.true, 1)
        lowest = np.full(n * levels, np.inf)
        filled = count > 0
        lowest[filled] = value[keep][count.cumsum()[filled] - 1]  # a row's values fall, so its last is its lowest
        lowest = np.minimum.accumulate(lowest.reshape(n, levels), axis=1)
        lowest[said == active[:, None]] = ACTIVE
        level = f1.argmax(1)  # (unit, rule)
        f1 = np.take_along_axis(f1, level[:, None], 1)[:, 0]
        threshold = np.take_along_axis(lowest, level, 1)
        rule = f1.argmax(1)
        alive = f1.max(1) > 0
        self.rule.append(np.where(alive, rule, -1))
        self.threshold.append(np.where(alive, threshold[np.arange(n), rule], np.inf))
        unit = f1.argmax(0)
        better = f1.max(0) > self.best_f1
        every = np.arange(len(self.rules))
        self.best_f1 = np.where(better, f1.max(0), self.best_f1)
        self.best_unit = np.where(better, unit + before, self.best_unit)
        self.best_threshold = np.where(better, threshold[unit, every], self.best_threshold)

    def _agree(self, row: np.ndarray, token: np.ndarray, rows: int) -> np.ndarray:
        """(row, rule): for how many of a row's tokens each rule holds."""
        counts = np.zeros((rows, len(self.rules)), dtype=np.float32)
        place = torch.from_numpy(np.stack([row, token]))
        ones = torch.ones(len(row))
        shape = (rows, len(self.flags))
        listed = torch.sparse_coo_tensor(place, ones, shape, is_coalesced=True, check_invariants=False)
        counts[:, : self.flags.shape[1]] = torch.sparse.mm(listed, self.flags).numpy()
        for kind in self.rules.kinds:
            which = kind[token]
            known = which >= 0
            if known.any():
                low, high = which[known].min(), which[known].max() + 1
                at = row[known] * (high - low) + which[known] - low
                counts[:, low:high] += np.bincount(at, minlength=rows * (high - low)).reshape(rows, -1)
        return counts


def sizes(tokens: int) -> np.ndarray:
    """How many tokens each threshold lets through: FEWEST, then STEP times as many each, up to WIDEST of all."""
    found = [min(FEWEST, tokens)]
    while found[-1] < int(WIDEST * tokens):
        found.append(min(int(found[-1] * STEP) + 1, int(WIDEST * tokens)))
    return np.array(found)


def _part(firing: Firing, start: int, stop: int, chosen: np.ndarray) -> tuple:
    """Entries of features start to stop among the chosen tokens, by feature and falling activation."""
    part = slice(firing.start[start], firing.start[stop])
    token, value = firing.token[part], firing.value[part]
    unit = np.repeat(np.arange(stop - start), firing.count[start:stop])
    keep = chosen[token]
    token, value, unit = token[keep].astype(np.int64), value[keep], unit[keep]
    order = np.lexsort((-value, unit))
    counts = np.bincount(unit, minlength=stop - start)
    rank = np.arange(len(unit)) - np.repeat(np.cumsum(counts) - counts, counts)
    return unit[order], rank, token[order], value[order], counts


def _tops(values: Float[Tensor, "token unit"], tokens: np.ndarray, sizes: np.ndarray) -> tuple:
    """The same for units that have a value on every token: their largest values, as many as the last threshold lets through."""
    most, n = int(sizes[-1]), values.shape[1]
    top = values.T.contiguous().topk(most, dim=1)
    unit, rank = np.repeat(np.arange(n), most), np.tile(np.arange(most), n)
    return unit, rank, tokens[top.indices.reshape(-1).numpy()], top.values.reshape(-1).numpy(), np.full(n, len(tokens))


def _held_out(units, found: _Search, rules: Rules, held: np.ndarray, n_units: int) -> Scores:
    """Score what was chosen on the other half of the files."""
    rule, threshold = np.concatenate(found.rule), np.concatenate(found.threshold)
    true = rules.counts(held)
    said, both = np.zeros(n_units, dtype=np.int64), np.zeros(n_units, dtype=np.int64)
    for unit, token in _above(units, threshold, held):
        said += np.bincount(unit, minlength=n_units)
        both += np.bincount(unit[rules.holds(token, rule[unit])], minlength=n_units)
    precision, recall, f1 = _fit(both, said, np.where(rule >= 0, true[rule], 0))
    best = np.zeros((3, len(rules)))
    for unit, values in _columns(units, np.unique(found.best_unit[found.best_unit >= 0]), held):
        for i in np.flatnonzero(found.best_unit == unit):
            best[:, i] = fit(values >= found.best_threshold[i], rules.truth(int(i))[held])
    return Scores(rule, threshold, precision, recall, f1, found.best_unit, *best)


def _columns(units, which: np.ndarray, held: np.ndarray):
    """(unit, its values on the held-out tokens) of some units."""
    tokens = np.flatnonzero(held)
    for start in range(0, len(which), CHUNK):
        some = which[start : start + CHUNK]
        if isinstance(units, Firing):
            yield from ((unit, units.dense(unit)[tokens]) for unit in some)
        else:
            yield from zip(some, units[:, some][tokens].T.contiguous().numpy(), strict=True)


def _above(units, threshold: np.ndarray, held: np.ndarray):
    """(units, tokens) of the held-out tokens where units reach their thresholds."""
    if isinstance(units, Firing):
        keep = held[units.token] & (units.value >= threshold[units.feature])
        yield units.feature[keep], units.token[keep]
        return
    tokens = np.flatnonzero(held)
    for start in range(0, units.shape[1], CHUNK):
        part = units[tokens, start : start + CHUNK] >= torch.from_numpy(threshold[start : start + CHUNK]).float()
        where = part.nonzero().numpy()
        yield where[:, 1] + start, tokens[where[:, 0]]


def random_directions(n: int, d_in: int, seed: int = 0) -> Float[Tensor, "direction d_in"]:
    """n random unit directions, the baseline that knows nothing: x @ directions.T gives a number for each token and direction."""
    found = torch.randn(n, d_in, generator=torch.Generator().manual_seed(seed))
    return found / found.norm(dim=1, keepdim=True)
