"""The logit lens: what a model would predict if it stopped after each block.

Works on any TransformerBridge. Must not import TransformerLens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import plots
from mechinterp_course.interp.cache import Tokens, activations
from mechinterp_course.interp.residual import as_tokens, must_sum, place, token_id, token_texts

LETTERS = 7  # of a token, in a cell of the picture
CELL = 48  # its width in pixels


@dataclass(frozen=True)
class Lens:
    """The logits read from the stream before the first block and after each block; the last row is the model's own.

    logits: (row, batch, pos, token). rows: "resid_pre 0", "resid_post 0", ... positions and vocabulary: what was kept.
    normaliser: the log of the sum of exp(logit) over the whole vocabulary, kept or not, so that probabilities are true.
    """

    logits: Float[Tensor, "row batch pos token"]
    normaliser: Float[Tensor, "row batch pos"]
    rows: list[str]
    positions: list[int]
    vocabulary: Int[Tensor, " token"]
    tokens: Int[Tensor, "batch length"]
    texts: Callable[[Tensor], list[str]]  # token ids -> their texts

    @property
    def log_probs(self) -> Float[Tensor, "row batch pos token"]:
        """The log-probability of each kept token."""
        return self.logits - self.normaliser[..., None]

    def top(self, n: int = 5, sequence: int = 0, pos: int = -1) -> list[list[tuple[str, float]]]:
        """Return for each row its n likeliest tokens of those kept, as (text, probability); `pos` counts in the prompt."""
        best = self.log_probs[:, sequence, self._column(pos)].topk(min(n, len(self.vocabulary)))
        return [
            list(zip(self.texts(self.vocabulary[ids]), values.exp().tolist(), strict=True))
            for values, ids in zip(best.values, best.indices, strict=True)
        ]

    def table(self, n: int = 3, sequence: int = 0, pos: int = -1) -> list[tuple[str, ...]]:
        """Return `top` as rows of text for tables.table, under the columns ["read from", "1st", "2nd", ...]."""
        return [
            (row, *(f"{plots.visible(text)}  {probability:.3f}" for text, probability in best))
            for row, best in zip(self.rows, self.top(n, sequence, pos), strict=True)
        ]

    def ranks(self, token: int) -> Int[Tensor, "row batch pos"]:
        """Return how many of the kept tokens have a higher logit than `token`: 0 where it is the prediction."""
        kept = (self.vocabulary == token).nonzero()
        if not len(kept):
            raise CourseError(f"The token {token} was not kept.", "Leave `only` out of logit_lens, or add it there.")
        return (self.logits > self.logits[..., kept[0]]).sum(-1)

    def plot(self, sequence: int = 0, title: str = "The logit lens", alt: str | None = None):
        """Draw a row for each point of the stream and a column for each position: the likeliest token, and its probability."""
        best = self.log_probs[:, sequence].max(-1)
        prompt = plots.token_labels(self.texts(self.tokens[sequence]))
        final = self.texts(self.vocabulary[best.indices[-1]])
        figure = plots.heatmap(
            best.values.exp(),
            title=title,
            x=[prompt[i] for i in self.positions],
            y=self.rows,
            xlabel="position, and the token read there",
            ylabel="read from",
            zlabel="probability",
            alt=alt
            or f"Each cell: the likeliest next token, read from that row of the residual stream. The last row is the model's own "
            f"prediction: at the last position drawn, '{plots.visible(final[-1])}' with probability {best.values[-1, -1].exp():.2f}.",
        )
        whole = [
            [escape(plots.visible(text), quote=False) for text in self.texts(self.vocabulary[ids])]
            for ids in best.indices
        ]
        shown = [
            [escape(_short(plots.visible(text)), quote=False) for text in self.texts(self.vocabulary[ids])]
            for ids in best.indices
        ]
        figure.update_traces(
            text=shown,
            customdata=whole,
            texttemplate="%{text}",
            textfont=dict(size=10),
            zmin=0,
            zmax=1,
            hovertemplate="%{y}<br>after %{x}<br>predicts %{customdata}, probability %{z:.3f}<extra></extra>",
        )
        # A cell must hold a token: wide prompts make a wide figure.
        left, wide = figure.layout.margin.l, CELL * len(self.positions)
        figure.layout.width = max(figure.layout.width, left + wide + 90)
        figure.layout.margin.r = figure.layout.width - left - wide
        return figure

    def _column(self, pos: int) -> int:
        at = place(pos, self.tokens.shape[1])
        if at not in self.positions:
            raise CourseError(f"Position {at} was not kept.", f"Kept are: {', '.join(map(str, self.positions))}.")
        return self.positions.index(at)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def logit_lens(model, tokens: Tokens, pos: int | list[int] | None = None, only: list[int | str] | None = None) -> Lens:
    """Return the final norm and the unembedding applied to the residual stream before the first and after each block.

    pos: one position or a list (all by default). only: the tokens whose logits to keep, ids or texts of one token (all by
    default: rows · batch · pos · d_vocab · 4 bytes). The last row is the logits of the model: a CourseError where it is not,
    because then the model does more after its last block. nostalgebraist 2020.
    """
    ids = as_tokens(model, tokens)
    asked = range(ids.shape[1]) if pos is None else [pos] if isinstance(pos, int) else pos
    positions = [place(one, ids.shape[1]) for one in asked]
    kept = range(model.unembed.W_U.shape[1]) if only is None else [token_id(model, one) for one in only]
    kept = torch.tensor(list(kept))
    points = [("resid_pre", 0), *(("resid_post", layer) for layer in range(model.cfg.n_layers))]
    seen = activations(model, ids, [*points, "unembed.hook_out"])
    logits, normaliser = [], []
    with torch.no_grad():
        for point in points:
            row = model.unembed(model.ln_final(seen[point][:, positions]))
            normaliser.append(row.logsumexp(-1))
            logits.append(row if only is None else row[..., kept])
    own = seen["unembed.hook_out"][:, positions]
    must_sum(row, own, "The lens on the last block does not give the model's own logits")
    return Lens(
        torch.stack(logits),
        torch.stack(normaliser),
        [f"{name} {layer}" for name, layer in points],
        positions,
        kept,
        ids,
        lambda t: token_texts(model, t),
    )
