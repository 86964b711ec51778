"""Direct logit attribution: what each part of a model adds to a logit. Its neighbours are imported from here, too.

`logit_lens` (in `lens`), `decompose` (in `residual`) and `attribution_patching` (in the module of that name). Works on any TransformerBridge, raw or processed. Must not import TransformerLens.
"""

import re
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import plots
from mechinterp_course.interp.attribution_patching import attribution_patching
from mechinterp_course.interp.cache import Tokens, activations
from mechinterp_course.interp.lens import Lens, logit_lens
from mechinterp_course.interp.residual import (
    Parts,
    answer_ids,
    as_tokens,
    decompose,
    must_sum,
    place,
    reading,
    token_texts,
)

__all__ = [
    "Attribution",
    "Lens",
    "Parts",
    "attribution_patching",
    "decompose",
    "direct_logit_attribution",
    "logit_lens",
]


@dataclass(frozen=True)
class Attribution:
    """What each part adds to a logit, or to a logit difference: `values.sum(0)` is `total`, the model's own.

    names: as in `Parts`, then "constant": what the bias of the final norm and b_U add, whatever the model has read.
    right, wrong: the texts of the answers, one for each sequence; wrong is None where one logit is attributed.
    """

    values: Float[Tensor, "part batch"]
    total: Float[Tensor, " batch"]
    names: list[str]
    right: list[str]
    wrong: list[str] | None
    axes: tuple[str, str] = ("part", "batch")

    def __getitem__(self, name: str) -> Float[Tensor, " batch"]:
        if name not in self.names:
            raise CourseError(f"There is no part {name!r}.", f"There are: {', '.join(self.names)}.")
        return self.values[self.names.index(name)]

    @property
    def what(self) -> str:
        """What was attributed: "logit of ' a' minus logit of ' b'", or "logit of each sequence's right token" where they differ."""
        said = f"logit of {_said(self.right, 'right')}"
        return said + (f" minus logit of {_said(self.wrong, 'wrong')}" if self.wrong else "")

    @property
    def heads(self) -> Float[Tensor, "layer head"]:
        """What each head adds, averaged over the batch. Raises CourseError where the parts are not heads."""
        places = [(i, *map(int, re.findall(r"\d+", name))) for i, name in enumerate(self.names) if _is_head(name)]
        if not places:
            raise CourseError("These parts are not heads.", 'Ask for direct_logit_attribution(..., by="head").')
        found = torch.zeros(1 + max(layer for _, layer, _ in places), 1 + max(head for _, _, head in places))
        for i, layer, head in places:
            found[layer, head] = self.values[i].mean()
        return found

    def table(self, n: int | None = None) -> list[tuple[str, str]]:
        """Return (part, what it adds, averaged over the batch) for tables.table, the largest in size first."""
        means = self.values.mean(1)
        order = means.abs().argsort(descending=True).tolist()[:n]
        return [(self.names[i], f"{means[i]:+.3f}") for i in order]

    def plot(self, title: str | None = None, alt: str | None = None):
        """Draw the heads as a heatmap of layer by head, or other parts as bars; averaged over the batch."""
        title = title or "What each part adds to the " + ("logit difference" if self.wrong else "logit")
        if not any(map(_is_head, self.names)):
            means = self.values.mean(1)
            alt = alt or f"{self._largest()} All together: {self.total.mean():.2f}, the {self.what}."
            return plots.bars(means, self.names, title=title, ylabel="adds, in logits", xlabel="part", alt=alt)
        heads = self.heads
        others = (self.values.sum(0).mean() - heads.sum()).item()
        alt = alt or (
            f"A row for each layer, a column for each head. {self._largest()} The heads add {heads.sum():.2f} together; embeddings, "
            f"MLPs, biases and the constant part, not drawn, add {others:.2f}. In sum {self.total.mean():.2f}, the {self.what}."
        )
        return plots.heatmap(
            heads,
            title=title,
            xlabel="head",
            ylabel="layer",
            zmid=0,
            zlabel="logits",
            text=heads.numel() <= 80,
            alt=alt,
        )

    def _largest(self) -> str:
        means = self.values.mean(1).tolist()
        heads = any(map(_is_head, self.names))
        drawn = [(value, name) for value, name in zip(means, self.names, strict=True) if _is_head(name) or not heads]
        high, low = max(drawn), min(drawn)
        return f"The most comes from {high[1]}, {high[0]:+.2f}, the least from {low[1]}, {low[0]:+.2f}."


def _is_head(name: str) -> bool:
    return name.startswith("head ")


def _said(texts: list[str], kind: str) -> str:
    return repr(texts[0]) if len(set(texts)) == 1 else f"each sequence's {kind} token"


def direct_logit_attribution(model, tokens: Tokens, right, wrong=None, pos: int = -1, by: str = "head") -> Attribution:
    """Return what each part of the residual stream adds directly to logit[right], or to logit[right] - logit[wrong], at `pos`.

    A part x adds ((x - mean(x)) / scale * w) @ (W_U[:, right] - W_U[:, wrong]): w is the weight of the final LayerNorm, scale what
    it divides by in this run, taken as fixed (RMSNorm does not centre). The biases of the norm and the unembedding are the
    part "constant". So the parts sum to the model's own logit (difference), with raw and with processed weights.
    right, wrong: a token id or a text that is one token, or a list or tensor with one for each sequence.
    by: "head", "component" (attention and MLP of each block) or "layer". Direct: what a part does by way of later parts is
    counted as theirs. Elhage et al. 2021; Wang et al. 2022.
    """
    ids = as_tokens(model, tokens)
    at = place(pos, ids.shape[1])
    good = answer_ids(model, right, len(ids))
    bad = None if wrong is None else answer_ids(model, wrong, len(ids))
    parts = decompose(model, ids, pos=at, by=by)
    read = reading(model, parts.whole[:, 0], good, bad)
    values = torch.cat([read.read(parts.values[:, :, 0]), read.constant[None]]).float()
    logits = activations(model, ids, "unembed.hook_out")["unembed.hook_out"][:, at]
    each = torch.arange(len(ids))
    total = logits[each, good] - (0 if bad is None else logits[each, bad])
    must_sum(values.sum(0), total, "The parts do not add up to the model's own logits")
    names = [*parts.names, "constant"]
    return Attribution(values, total, names, token_texts(model, good), None if bad is None else token_texts(model, bad))
