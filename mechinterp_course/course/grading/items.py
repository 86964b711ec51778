"""What a class's points say about the exercises themselves: facility and discrimination, and how sure that is.

Facility: the share of the submissions that pass the exercise. Discrimination: the correlation between passing it and the
points in the rest of the lab. Both are guesses from n submissions, so a verdict needs the whole 95 % interval on one side.
Pure functions; imports nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

FEW = 10  # submissions; below it nothing is said about an exercise
FEW_FOR_DISCRIMINATION = 20
FEW_OF_A_KIND = 5  # that pass, and that do not
HARD, EASY, FLAT = 0.4, 0.9, 0.2


@dataclass(frozen=True)
class Item:
    """One exercise in numbers. None: too few submissions to say."""

    n: int
    passed: int
    facility: float | None
    low: float | None  # the 95 % interval of the facility
    high: float | None
    discrimination: float | None
    verdict: str  # "", or what looks odd, in words


def item(passed: Sequence[bool], rest: Sequence[float]) -> Item:
    """Return the numbers of one exercise. For each submission: whether it passes, and its share of the rest of the lab's points."""
    n, k = len(passed), sum(passed)
    if n == 0:
        return Item(0, 0, None, None, None, None, "")
    low, high = wilson(k, n)
    few_of_a_kind = min(k, n - k) < FEW_OF_A_KIND
    r = None if n < FEW_FOR_DISCRIMINATION or few_of_a_kind else correlation([float(p) for p in passed], rest)
    return Item(n, k, k / n, low, high, r, _verdict(n, low, high, r))


def _verdict(n: int, low: float, high: float, r: float | None) -> str:
    if n < FEW:
        return ""
    if high < HARD:
        return "looks too hard"
    if low > EASY:
        return "looks too easy"
    if r is not None and math.tanh(math.atanh(min(r, 0.999)) + 1.96 / math.sqrt(n - 3)) < FLAT:
        return "does not go with the rest of the lab"
    return ""


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's 95 % interval for a share of k in n."""
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Pearson's correlation; None where one of the two does not vary."""
    mean_a, mean_b = fmean(a), fmean(b)
    var_a = sum((x - mean_a) ** 2 for x in a)
    var_b = sum((y - mean_b) ** 2 for y in b)
    if var_a < 1e-12 or var_b < 1e-12:
        return None
    return sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / math.sqrt(var_a * var_b)
