"""What a head attends to: attention patterns of any bridge, and a score for each role that a head can have.

A score is a mean of certain entries of a pattern: 1 for a head that does nothing else, 0 for one that never does it. A high
score says where a head looks, not what it moves from there. Must not import TransformerLens, and draws nothing.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechinterp_course.errors import CourseError
from mechinterp_course.interp.cache import activations

CHUNK = 8  # sequences in one forward pass: what bounds the memory of a large batch


def patterns(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch head query key"]:
    """Return the attention patterns of all heads; each row (one query, over its keys) sums to 1.

    tokens: (batch, pos), (pos,) or a text. Takes layers · batch · heads · pos² · 4 bytes: for many long sequences use `head_scores`.
    """
    names = [("pattern", layer) for layer in range(model.cfg.n_layers)]
    return torch.stack(list(activations(model, tokens, names).values()))


# --- scores of patterns -------------------------------------------------------------------------------------------


def previous_token_score(pattern: Float[Tensor, "*heads query key"]) -> Float[Tensor, "*heads"]:
    """Return the mean attention to the token just before: (1/(n-1)) Σ_q pattern[q, q-1], over queries 1 to n-1.

    All leading axes are kept: (layer, batch, head, query, key) gives (layer, batch, head). Olsson et al. 2022.
    """
    return _diagonal(pattern, 1).mean(-1)


def current_token_score(pattern: Float[Tensor, "*heads query key"]) -> Float[Tensor, "*heads"]:
    """Return the mean attention to the token itself: (1/(n-1)) Σ_q pattern[q, q], over queries 1 to n-1.

    The first query is left out: it has nothing else to look at, so it says nothing of the head. Leading axes are kept.
    """
    return _diagonal(pattern, 0)[..., 1:].mean(-1)


def first_token_score(pattern: Float[Tensor, "*heads query key"]) -> Float[Tensor, "*heads"]:
    """Return the mean attention to position 0: (1/(n-1)) Σ_q pattern[q, 0], over queries 1 to n-1.

    Where the sequence begins with BOS, that is the rest position of a head that has nothing to do. Leading axes are kept.
    """
    _square(pattern)
    return pattern[..., 1:, 0].mean(-1)


def duplicate_token_score(pattern: Float[Tensor, "*heads query key"], length: int) -> Float[Tensor, "*heads"]:
    """Return the mean attention to the earlier copy of the same token: (1/L) Σ_q pattern[q, q-L], over the last L queries.

    For `repeated_tokens` of this `length` L: those queries are the second copy. Leading axes are kept. Wang et al. 2022.
    Raises CourseError where the pattern is too short to hold two copies.
    """
    return _diagonal(pattern, length, copies_of=length)[..., -length:].mean(-1)


def induction_score(pattern: Float[Tensor, "*heads query key"], length: int) -> Float[Tensor, "*heads"]:
    """Return the mean attention to the token *after* the earlier copy: (1/L) Σ_q pattern[q, q-(L-1)], over the last L queries.

    For `repeated_tokens` of this `length` L: those queries are the second copy, and what stood after the earlier copy
    is what comes next. Leading axes are kept. Olsson et al. 2022 call it prefix matching.
    Raises CourseError where the pattern is too short to hold two copies.
    """
    return _diagonal(pattern, length - 1, copies_of=length)[..., -length:].mean(-1)


def _diagonal(pattern: Tensor, back: int, copies_of: int | None = None) -> Tensor:
    """The entries pattern[q, q - back], for every query q that can look so far back."""
    n = _square(pattern)
    if copies_of is not None and not 1 <= copies_of <= n // 2:
        raise CourseError(
            f"Two copies of {copies_of} tokens do not fit in a pattern of {n} positions.",
            "Give the length of one copy, without BOS: the same number as for repeated_tokens.",
        )
    return pattern.diagonal(offset=-back, dim1=-2, dim2=-1)


def _square(pattern: Tensor) -> int:
    """The number of positions of a pattern."""
    if pattern.dim() < 2 or pattern.shape[-1] != pattern.shape[-2] or pattern.shape[-1] < 2:
        raise CourseError(
            f"An attention pattern has as many keys as queries, and at least two; this tensor is {tuple(pattern.shape)}.",
            "Its last two axes must be query and key, as in patterns(model, tokens).",
        )
    return pattern.shape[-1]


# --- prompts that repeat ------------------------------------------------------------------------------------------


def repeated_tokens(
    vocabulary: range | int, length: int, batch: int = 1, seed: int = 0, bos: int | None = None
) -> Int[Tensor, "batch pos"]:
    """Return sequences of `length` random tokens, each written twice, with the token `bos` in front if given.

    vocabulary: the token ids to draw from, with replacement: a range that leaves out special tokens, or their number.
    Returns (batch, 2·length), plus one where there is a BOS. The same arguments always give the same tokens.
    """
    ids = range(vocabulary) if isinstance(vocabulary, int) else vocabulary
    if length < 1 or batch < 1 or not ids:
        raise CourseError(
            f"There is nothing to repeat: {length} tokens, {batch} sequences, {len(ids)} token ids.",
            "Each of the three must be at least 1.",
        )
    draw = torch.Generator().manual_seed(seed)
    once = torch.randint(len(ids), (batch, length), generator=draw) * ids.step + ids.start
    front = once.new_full((batch, 0 if bos is None else 1), bos or 0)
    return torch.cat([front, once, once], dim=1)


def repeat_loss(
    model, tokens: Int[Tensor, "batch pos"], length: int
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Return the mean loss on the first copy and on the second copy of each sequence of `repeated_tokens`, in nats.

    The second counts all its `length` tokens, also the first, which nothing announces. A model without induction
    loses the same on both: random tokens can be predicted only from their earlier copy.
    """
    losses = token_losses(model, tokens)
    if not 1 <= length <= tokens.shape[1] // 2:
        raise CourseError(
            f"Two copies of {length} tokens do not fit in {tokens.shape[1]} positions.",
            "Give the length of one copy, without BOS: the same number as for repeated_tokens.",
        )
    return losses[:, :-length].mean(1), losses[:, -length:].mean(1)


def token_losses(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch predicted"]:
    """Return -log p(next token) at every position but the last, in nats: entry i is the loss of token i + 1.

    Runs the model on a few sequences at a time, because logits are large. No gradients are kept.
    """
    losses = []
    with torch.no_grad():
        for part in tokens.split(CHUNK):
            logits = model(part)
            losses.append(cross_entropy(logits[:, :-1].flatten(0, 1), part[:, 1:].flatten(), reduction="none"))
    return torch.cat(losses).view(len(tokens), -1)


# --- scores of a model --------------------------------------------------------------------------------------------


def head_scores(
    model, tokens: Int[Tensor, "batch pos"], length: int | None = None
) -> dict[str, Float[Tensor, "layer head"]]:
    """Return the scores of every head, averaged over the batch: "previous token", "current token", "first token".

    With `length`, the tokens are `repeated_tokens` of that length, and there are "duplicate token" and "induction" too.
    The model runs on a few sequences at a time, so the memory does not grow with the batch.
    """
    roles = {
        "previous token": previous_token_score,
        "current token": current_token_score,
        "first token": first_token_score,
    }
    if length is not None:
        roles["duplicate token"] = lambda pattern: duplicate_token_score(pattern, length)
        roles["induction"] = lambda pattern: induction_score(pattern, length)
    parts = {role: [] for role in roles}
    for part in tokens.split(CHUNK):
        pattern = patterns(model, part)
        for role, score in roles.items():
            parts[role].append(score(pattern))
    return {role: torch.cat(scores, dim=1).mean(1) for role, scores in parts.items()}


def top_heads(scores: Float[Tensor, "layer head"], n: int = 5) -> list[tuple[int, int, float]]:
    """Return the n heads with the highest scores, best first, as (layer, head, score)."""
    best = scores.flatten().topk(min(n, scores.numel()))
    heads = scores.shape[1]
    return [
        (i // heads, i % heads, value) for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
