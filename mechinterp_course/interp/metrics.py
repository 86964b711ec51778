"""Metrics for patching: from logits to one number a prompt, such that a run can be placed between two others.

A metric is called with logits (batch, pos, d_vocab) and returns (batch,). It knows which position it reads, so a sweep unembeds
that one only. Draws nothing; must not import TransformerLens.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechinterp_course.errors import CourseError

Logits = Float[Tensor, "batch pos d_vocab"]
Tokens = int | list[int] | Tensor  # one token for all prompts, or one for each
SAME = 1e-6  # baselines that differ by less, as a share of their size, are no scale to measure on


@dataclass(frozen=True)
class Metric:
    """A named function of the logits at one position: `read` maps (batch, d_vocab) to (batch,)."""

    name: str
    pos: int
    read: Callable[[Tensor], Tensor]

    def __call__(self, logits: Logits) -> Float[Tensor, "batch"]:
        if logits.dim() != 3:
            raise CourseError(
                f"A metric reads logits of the shape (batch, pos, d_vocab); these have {tuple(logits.shape)}.",
                "Give model(tokens) as it is; one prompt is a batch of one: logits[None].",
            )
        if not -logits.shape[1] <= self.pos < logits.shape[1]:
            raise CourseError(
                f"The metric reads position {self.pos}, and the prompt has {logits.shape[1]}.", "Give another pos."
            )
        return self.read(logits[:, self.pos])


def logit_difference(right: Tokens, wrong: Tokens, pos: int = -1) -> Metric:
    """Return the metric logit(right) − logit(wrong) at `pos`, in logits: above 0 where the model prefers the right token.

    right, wrong: a token id, or one for each prompt of the batch. Wang et al. 2022.
    """
    return Metric("logit difference", pos, lambda logits: _picked(logits, right) - _picked(logits, wrong))


def log_prob(right: Tokens, pos: int = -1) -> Metric:
    """Return the metric log p(right) at `pos`, in nats: 0 for a model that is certain. right: as in `logit_difference`."""
    return Metric("log probability", pos, lambda logits: _picked(logits.log_softmax(-1), right))


def kl(reference: Float[Tensor, "batch *pos d_vocab"], pos: int = -1) -> Metric:
    """Return the metric KL(reference ‖ model) = Σ p_ref (log p_ref − log p) at `pos`, in nats: 0 where both predict the same.

    reference: logits of the run to compare with, (batch, pos, d_vocab), or (batch, d_vocab) at that position.
    """
    at = reference[:, pos] if reference.dim() == 3 else reference
    log_p = at.detach().log_softmax(-1)

    def read(logits: Tensor) -> Tensor:
        if logits.shape[0] != log_p.shape[0] and log_p.shape[0] != 1:
            raise CourseError(
                f"The reference has {log_p.shape[0]} prompts and these logits {logits.shape[0]}.",
                "Give one reference for each prompt.",
            )
        return (log_p.exp() * (log_p - logits.log_softmax(-1))).sum(-1)

    return Metric("KL divergence", pos, read)


def name_of(metric: Callable) -> str:
    """Return what a metric is called: a Metric's name, or that of the function."""
    return getattr(metric, "name", getattr(metric, "__name__", "metric"))


def _picked(values: Tensor, tokens: Tokens) -> Tensor:
    """values (batch, d_vocab) at one token for each prompt: (batch,)."""
    index = torch.as_tensor(tokens, device=values.device).reshape(-1)
    if len(index) not in (1, len(values)):
        raise CourseError(
            f"{len(index)} answer tokens for {len(values)} prompts.", "Give one for all, or one for each prompt."
        )
    if index.min() < 0 or index.max() >= values.shape[-1]:
        raise CourseError(
            f"There is no token {index.max().item()}: the vocabulary has {values.shape[-1]}.",
            'Give token ids, for example model.to_single_token(" John").',
        )
    return values.gather(-1, index.expand(len(values))[:, None])[:, 0]


# --- from a metric to a scale with two ends ------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """Places a metric between its two baselines: 0 at the corrupted run, 1 at the clean one."""

    clean: float
    corrupted: float

    def __post_init__(self):
        gap = abs(self.clean - self.corrupted)
        if not gap > SAME * max(1.0, abs(self.clean), abs(self.corrupted)):  # so written that NaN fails, too
            raise CourseError(
                f"The metric is {self.clean:.4g} on the clean run and {self.corrupted:.4g} on the corrupted one: "
                "between two equal ends there is nothing to measure.",
                "Choose prompts for which the model's answer differs, or another metric, and check its tokens and position.",
            )

    def __call__(self, value):
        """(value − corrupted) / (clean − corrupted), of a number or a tensor."""
        return (value - self.corrupted) / (self.clean - self.corrupted)


def normalised(metric: Callable[[Logits], Tensor], clean_logits: Logits, corrupted_logits: Logits) -> Callable:
    """Return the metric on a scale with 0 at the corrupted run and 1 at the clean run: logits -> a number.

    (m − m_corrupted) / (m_clean − m_corrupted), each m the mean over the batch. It is exactly 0 and 1 on the two runs that it
    is made from. Raises CourseError where the two are equal. A sweep normalises by itself: this is for runs that you make.
    """
    scale = Scale(mean(metric, clean_logits), mean(metric, corrupted_logits))
    return lambda logits: scale(mean(metric, logits))


def mean(metric: Callable[[Logits], Tensor], logits: Logits) -> float:
    """The mean of a metric over the batch."""
    return each(metric, logits).mean().item()


def each(metric: Callable[[Logits], Tensor], logits: Logits) -> Float[Tensor, "batch"]:
    """A metric's value for each prompt; one number for all stands for each. Raises CourseError for any other shape."""
    values = torch.as_tensor(metric(logits)).detach().double()
    if values.dim() == 0:
        return values.expand(len(logits))
    if values.shape != (len(logits),):
        raise CourseError(
            f"The metric returned the shape {tuple(values.shape)} for {len(logits)} prompts.",
            "A metric takes logits (batch, pos, d_vocab) and returns one number, or one for each prompt.",
        )
    return values
