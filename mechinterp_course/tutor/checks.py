"""The words in which a lesson's `checks.py` is written: `Exercise`, `expect`, `reference`.

A check states what is true of a right answer. When it is not, it raises `Miss`, a few sentences that a tutor would
say; `runner.py` counts, adds the name of the mistake and prints. Imports torch, and nothing of `course`.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from . import expect
from .reference import reference

__all__ = ["Check", "Draw", "Exercise", "Variation", "WrongAnswer", "expect", "reference"]


@dataclass(frozen=True)
class Check:
    """A statement about a right answer (its title) and the function that tests it."""

    title: str
    test: Callable
    hidden: bool = False


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that people make: its name, what the learner is told, and a function that makes it."""

    name: str
    says: str
    answer: Callable


@dataclass(frozen=True)
class Variation:
    """Another right answer, which every check must pass."""

    name: str
    answer: Callable


@dataclass
class Exercise:
    """The checks, wrong answers and variations of one exercise; `name` is the name on its card."""

    name: str
    checks: list[Check] = field(default_factory=list)
    wrong_answers: list[WrongAnswer] = field(default_factory=list)
    variations: list[Variation] = field(default_factory=list)

    def check(self, title: str, hidden: bool = False) -> Callable:
        """Add the decorated function `(answer, draw)` as a check; a hidden one runs in grading only."""
        return self._add(self.checks, lambda test: Check(title, test, hidden))

    def wrong(self, name: str, says: str) -> Callable:
        """Add the decorated function as a wrong answer called `name`; `says` is what the learner is told."""
        return self._add(self.wrong_answers, lambda answer: WrongAnswer(name, says, answer))

    def variation(self, name: str) -> Callable:
        """Add the decorated function as another right answer."""
        return self._add(self.variations, lambda answer: Variation(name, answer))

    @staticmethod
    def _add(to: list, make: Callable) -> Callable:
        def add(function: Callable) -> Callable:
            to.append(make(function))
            return function

        return add


class Draw:
    """Seeded random inputs for a check. The same seed and the same labels give the same numbers on every machine."""

    def __init__(self, seed: int, *labels: str):
        self.generator = torch.Generator().manual_seed(zlib.crc32("/".join([str(seed), *labels]).encode()))

    def normal(self, *shape: int, std: float = 1.0) -> torch.Tensor:
        """Return standard normal numbers (times `std`) of that shape."""
        return std * torch.randn(*shape, generator=self.generator)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Return uniform numbers in [low, high)."""
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Return whole numbers from `low` to `high - 1`, as a LongTensor of that shape."""
        return torch.randint(low, high, shape, generator=self.generator)

    def integer(self, low: int, high: int) -> int:
        """Return one whole number from `low` to `high - 1`."""
        return int(self.integers(low, high, 1))

    def permutation(self, n: int) -> torch.Tensor:
        """Return the numbers 0 to n - 1 in random order."""
        return torch.randperm(n, generator=self.generator)

    def seed(self) -> int:
        """Return a seed for a generator that the answer itself uses."""
        return self.integer(0, 2**31 - 1)
