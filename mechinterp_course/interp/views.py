"""Pictures in plain HTML, which also show in a saved notebook that is not trusted: text with values, and attention heads.

Colours and sizes stand in the elements themselves, because an untrusted notebook keeps those and drops scripts and style
sheets. What is drawn stands in visible text or in an image's `alt`, because it drops `role` and `aria-label` as well.
Must not import torch, TransformerLens, or anything of courses.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from plotly.colors import sample_colorscale

from mechinterp_course.errors import CourseError
from mechinterp_course.interp.heads_picture import as_address, heads_picture
from mechinterp_course.interp.interactive import Carrier, heads_place, script
from mechinterp_course.interp.plots import array, token_labels, visible

STEPS = 100
RISING = sample_colorscale("Blues", [i / STEPS for i in range(STEPS + 1)], colortype="tuple")
AROUND = sample_colorscale("RdBu_r", [i / STEPS for i in range(STEPS + 1)], colortype="tuple")
SWATCHES = 5
CELL = "text-align:left; padding:1px 12px 1px 0px"
_carrier = Carrier()


class View:
    """A picture as HTML: a notebook shows it as the last line of a cell, or through `display`."""

    def __init__(self, body: str, title: str, alt: str, interactive: bool = False):
        self.title, self.alt, self._body, self._interactive = title, alt, body, interactive

    @property
    def html(self) -> str:
        """The whole picture as HTML that depends on nothing else."""
        return self._html(carried=True)

    def _html(self, carried: bool) -> str:
        caption = f"<figcaption><strong>{escape(self.title)}</strong><br>{escape(self.alt)}</figcaption>"
        code = script(carried) if self._interactive else ""
        return f'<figure style="margin:0px 0px 12px 0px">{caption}{self._body}{code}</figure>'

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        carried = self._interactive and _carrier.must_carry()
        return {"text/html": self._html(carried), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"{self.title}. {self.alt}"


def tokens(values, tokens: Sequence[str], *, title, alt, zlabel="value", zmid=None, limits=None) -> View:
    """Draw text with a coloured ground: each token with its value, a legend, and the numbers in a list that opens.

    values: (pos,), for example the loss of each token; a value that is not finite leaves its token without colour.
    zlabel: what the colour measures, with its unit. zmid: the value that is white in a blue-to-red scale, usually 0.
    limits: (lowest, highest) value of the scale, to compare several pictures; by default those of the values.
    """
    values = array(values)
    if values.shape != (len(tokens),):
        raise CourseError(
            f"The values have the shape {values.shape}, and there are {len(tokens)} tokens.",
            "Give one value for each token: losses have none for the first, so put float('nan') there.",
        )
    low, high = _limits(values, zmid, limits)
    scale = RISING if zmid is None else AROUND
    labels = token_labels(tokens)
    text = "".join(
        _token(token, f"{label}: {_number(value)}", _shade(value, low, high, scale))
        for token, label, value in zip(tokens, labels, values, strict=True)
    )
    lines = "".join(
        f'<tr><th scope="row" style="{CELL}">{escape(label)}</th><td style="{CELL}">{_number(value)}</td></tr>'
        for label, value in zip(labels, values, strict=True)
    )
    body = (
        _legend(zlabel, low, high, scale)
        + f'<div style="font-family:monospace; line-height:1.9; white-space:pre-wrap">{text}</div>'
        + f"<details><summary>The values as a list</summary><table>{lines}</table></details>"
    )
    return View(body, _named(title, "a title"), _named(alt, "alt"))


def attention_heads(patterns, tokens: Sequence[str], *, title, alt, names: Sequence[str] | None = None) -> View:
    """Draw the patterns of many heads: CircuitsVis, where a head is picked and seen large, and a picture of all of them.

    patterns: (head, query, key). tokens: one for each position. names: what stands above each head, by default "head 0", ...
    Where scripts do not run (a saved notebook that is not trusted) the picture stands there alone. Nothing is fetched.
    """
    patterns = array(patterns)
    if patterns.ndim != 3 or patterns.shape[1] != patterns.shape[2] or 0 in patterns.shape:
        raise CourseError(
            f"The patterns of several heads are (head, query, key); these have the shape {patterns.shape}.",
            "Pick one entry of the batch, as in pattern[0], and for one head pattern[0, :1].",
        )
    labels = token_labels(tokens)
    names = [f"head {i}" for i in range(len(patterns))] if names is None else [str(name) for name in names]
    for what, given, needed in (("tokens", labels, patterns.shape[1]), ("names", names, len(patterns))):
        if len(given) != needed:
            raise CourseError(f"There are {len(given)} {what} for {needed} places.", "Give one for each.")
    title, alt = _named(title, "a title"), _named(alt, "alt")
    most = "; ".join(f"{name}: {_strongest(p, labels)}" for name, p in zip(names, patterns, strict=True))
    picture = as_address(heads_picture(patterns, labels, names))
    body = (
        heads_place(patterns, [visible(token) for token in tokens], names, f"{title}. {alt}")
        + "<details open><summary>All heads as a picture</summary>"
        + f'<img src="{picture}" alt="{escape(f"{title}. {alt}")}" style="max-width:100%">'
        + f"<p>The strongest look of each head, the first query left out: {escape(most)}.</p></details>"
    )
    return View(body, title, alt, interactive=True)


# --- inside ---------------------------------------------------------------------------------------------------------


def _named(text: str, what: str) -> str:
    if not str(text or "").strip():
        raise CourseError(
            f"A view needs {what}, and it is empty.",
            "Say what is drawn: title, and alt, a sentence for those who cannot see the picture.",
        )
    return str(text)


def _limits(values: np.ndarray, zmid: float | None, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the values at the ends of the scale, which are as far from zmid on both sides."""
    finite = values[np.isfinite(values)]
    low, high = limits or ((finite.min(), finite.max()) if len(finite) else (0.0, 1.0))
    if zmid is not None:
        reach = max(abs(low - zmid), abs(high - zmid))
        low, high = zmid - reach, zmid + reach
    return float(low), float(high)


def _shade(value: float, low: float, high: float, scale: list) -> str:
    """Return the style of a value: its ground, and ink that can be read on it. Nothing for a value that is not finite."""
    if not np.isfinite(value):
        return ""
    place = (value - low) / (high - low) if high > low else 0.5
    red, green, blue = scale[round(min(max(place, 0), 1) * STEPS)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    ground = "".join(f"{round(255 * part):02x}" for part in (red, green, blue))
    ink = "000000" if light > 0.179 else "ffffff"  # where both have the same contrast to the ground
    return f"background-color:#{ground}; color:#{ink}"


def _token(token: str, said: str, shade: str) -> str:
    shown = visible(token) if token.strip(" ") else token
    shown = escape(shown.replace("␣", " ")).replace("↵", "↵<br>")  # spaces as spaces: it is a text to be read
    return f'<span title="{escape(said)}" style="{shade}; border-right:1px solid #80808060">{shown}</span>'


def _legend(zlabel: str, low: float, high: float, scale: list) -> str:
    steps = [low + (high - low) * i / (SWATCHES - 1) for i in range(SWATCHES)] if high > low else [low]
    swatches = "".join(
        f'<span style="{_shade(step, low, high, scale)}; padding:1px 8px 1px 8px">{_number(step)}</span>'
        for step in steps
    )
    return f'<div style="margin:6px 0px 6px 0px">{escape(zlabel)}: {swatches}</div>'


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−") if np.isfinite(value) else "no value"


def _strongest(pattern: np.ndarray, labels: list[str]) -> str:
    """Return where the most attention goes, in words. The first query of a causal model can look at itself alone."""
    rows = np.nan_to_num(pattern[1:] if len(pattern) > 1 else pattern)
    query, key = np.unravel_index(rows.argmax(), rows.shape)
    query += len(pattern) - len(rows)
    return f"{labels[query]} looks at {labels[key]} ({pattern[query, key]:.2f})"
