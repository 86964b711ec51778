"""Pictures of tensors: each function takes numbers that were computed elsewhere and returns a plotly figure.

Titles, axis labels and alternative text are required; the text stands under the title, in `figure.layout.meta["alt"]` and, for
screen readers, behind the figure (`figure.py`). Colours can be told apart by colour-blind readers, on light and dark pages alike.
Must not import torch, TransformerLens, or anything of courses and notebooks.
"""

import math
import textwrap

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mechinterp_course.errors import CourseError
from mechinterp_course.interp.figure import Figure

# Okabe and Ito's palette without black and yellow, which vanish on a dark and on a light page.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "star"]
INK = "#7a7a7a"  # a grey with a contrast of at least 4.2 to white and to JupyterLab's dark page
GRID = "rgba(128, 128, 128, 0.25)"
WIDTH = 720
PLOT = 470  # the longer side of a heatmap, in pixels
LETTER = 7  # the width of a letter of a tick label, in pixels

# `standoff` keeps the name of an axis clear of its tick labels.
_AXIS = dict(gridcolor=GRID, linecolor=INK, zerolinecolor=GRID, ticks="outside", tickcolor=GRID, title=dict(standoff=8))
TEMPLATE = go.layout.Template(
    layout=dict(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font=dict(color=INK, size=12),
        colorway=COLOURS,
        title=dict(x=0.01, xanchor="left", yref="container", y=1, yanchor="top", pad=dict(t=14), font=dict(size=16)),
        xaxis=_AXIS,
        yaxis=_AXIS,
        legend=dict(bgcolor="rgba(0,0,0,0)"),
        hoverlabel=dict(font=dict(size=12)),
    )
)


def heatmap(values, *, title, x=None, y=None, xlabel, ylabel, alt, zmid=None, text=False, zlabel="") -> go.Figure:
    """Draw a matrix as coloured cells, row 0 at the top, as it is printed.

    values: (rows, columns); a cell that is NaN or infinite stays empty. x, y: one label a column, a row (no two alike).
    zmid: the value that is white in a blue-to-red scale, usually 0; without it the scale is viridis.
    text: write each value into its cell. zlabel: what the colour measures.
    """
    values = _matrix(values, "values")
    x, y = _labels(x, values.shape[1], "x"), _labels(y, values.shape[0], "y")
    figure = go.Figure(_cells(values, x, y, zmid, text))
    figure.data[0].update(showscale=True, colorbar=dict(title=dict(text=zlabel), thickness=14))
    cell = max(6, min(56, PLOT / max(values.shape)))
    wide = cell * values.shape[1]
    high = max(cell * values.shape[0], 110)  # a colour bar needs this much
    left = 55 + LETTER * max(len(_plain(label)) for label in y)
    longest = LETTER * max(len(_plain(label)) for label in x)
    upright = longest > cell
    below = 50 + (longest if upright else 15)
    figure.update_xaxes(
        type="category", showgrid=False, tickangle=-90 if upright else 0, title=_named(xlabel, "xlabel")
    )
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed", title=_named(ylabel, "ylabel"))
    _thin_ticks(figure.layout.xaxis, x, cell, 14)
    _thin_ticks(figure.layout.yaxis, y, high / values.shape[0], 13)
    return finish(figure, title, alt, high=high, left=left, below=below, wide=wide)


def lines(series, *, title, xlabel, ylabel, alt, x=None) -> go.Figure:
    """Draw one line for each series; lines differ in colour and in dash.

    series: a dict of name -> (n,) numbers, or an array (n,), or (lines, n). x: (n,) numbers or labels, by default 0 to n-1.
    """
    named = series if isinstance(series, dict) else _rows_of(series)
    figure = go.Figure()
    for i, (name, values) in enumerate(named.items()):
        values = array(values)
        at = np.arange(len(values)) if x is None else _ticks(x)
        if len(at) != len(values):
            raise CourseError(
                f"x has {len(at)} entries and the line {name!r} has {len(values)}.", "Give one x for each value."
            )
        style = dict(color=COLOURS[i % len(COLOURS)], dash=DASHES[i % len(DASHES)], width=2)
        mode = "lines+markers" if len(values) <= 40 else "lines"
        figure.add_scatter(x=at, y=values, name=_escaped(str(name)), mode=mode, line=style)
    figure.update_layout(showlegend=len(named) > 1)
    room = _label_room(x)
    figure.update_xaxes(title=_named(xlabel, "xlabel"), tickangle=-90 if room else 0)
    figure.update_yaxes(title=_named(ylabel, "ylabel"))
    return finish(figure, title, alt, below=60 + room)


def bars(values, labels, *, title, ylabel, alt, xlabel="") -> go.Figure:
    """Draw one bar for each value. values: (n,). labels: n of them, no two alike."""
    values = array(values)
    if values.ndim != 1:
        raise CourseError(f"bars draws one row of numbers; these have the shape {values.shape}.", "Pick one row.")
    labels = _labels(labels, len(values), "labels")
    figure = go.Figure(go.Bar(x=labels, y=values, marker_color=COLOURS[0]))
    room = _label_room(labels)
    figure.update_xaxes(type="category", showgrid=False, title=xlabel, tickangle=-90 if room else 0)
    figure.update_yaxes(title=_named(ylabel, "ylabel"))
    return finish(figure, title, alt, below=60 + room)


def scatter(points, labels=None, *, title, xlabel, ylabel, alt, groups=None) -> go.Figure:
    """Draw points in the plane. points: (n, 2). labels: n texts shown beside them. groups: n names, a colour and a sign each."""
    points = _pairs(points)
    texts = [""] * len(points) if labels is None else [_escaped(str(label)) for label in labels]
    groups = [""] * len(points) if groups is None else [str(group) for group in groups]
    figure = go.Figure()
    for i, group in enumerate(dict.fromkeys(groups)):
        mine = [n for n, other in enumerate(groups) if other == group]
        figure.add_scatter(
            x=points[mine, 0],
            y=points[mine, 1],
            text=[texts[n] for n in mine],
            name=_escaped(group),
            mode="markers+text" if labels is not None else "markers",
            textposition="top center",
            marker=dict(color=COLOURS[i % len(COLOURS)], symbol=SYMBOLS[i % len(SYMBOLS)], size=9),
        )
    figure.update_layout(showlegend=len(set(groups)) > 1)
    figure.update_xaxes(title=_named(xlabel, "xlabel"))
    figure.update_yaxes(title=_named(ylabel, "ylabel"))
    return finish(figure, title, alt)


def arrows(vectors, labels, *, title, alt, xlabel="dimension 0", ylabel="dimension 1") -> go.Figure:
    """Draw directions in the plane as arrows from the origin, both axes to one scale. vectors: (n, 2). labels: n of them."""
    vectors = _pairs(vectors)
    labels = _labels(labels, len(vectors), "labels")
    figure = go.Figure()
    for i, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        figure.add_scatter(
            x=[0, vector[0]],
            y=[0, vector[1]],
            mode="lines+markers+text",
            name=label,
            text=["", label],
            textposition="top center" if vector[1] >= 0 else "bottom center",
            line=dict(color=colour, width=2),
            marker=dict(color=colour, size=[0, 12], symbol="arrow", angleref="previous"),
        )
    reach = 1.25 * max(float(np.abs(vectors).max()), 1e-9)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(range=[-reach, reach], title=_named(xlabel, "xlabel"), constrain="domain")
    # JupyterLab stretches a figure to the page's width: the axes keep one scale then, too.
    figure.update_yaxes(
        range=[-reach, reach], title=_named(ylabel, "ylabel"), scaleanchor="x", scaleratio=1, constrain="domain"
    )
    return finish(figure, title, alt, high=420, wide=420)


def attention(pattern, tokens, *, title, alt, names=None) -> go.Figure:
    """Draw attention patterns: a row for each query from the top, a column for each key, colour from 0 to 1.

    pattern: (query, key), or (head, query, key) for a grid of heads. tokens: one for each position.
    names: what stands above each head, by default "head 0", "head 1", ...
    """
    pattern = array(pattern)
    if pattern.ndim not in (2, 3) or pattern.shape[-1] != pattern.shape[-2]:
        raise CourseError(
            f"An attention pattern is (query, key) or (head, query, key); this one has the shape {pattern.shape}.",
            "Pick one entry of the batch, and one head or a few.",
        )
    heads = pattern[None] if pattern.ndim == 2 else pattern
    labels = _labels(token_labels(tokens), heads.shape[-1], "tokens")
    names = names or ([""] if len(heads) == 1 else [f"head {i}" for i in range(len(heads))])
    columns = min(3, len(heads))
    rows = math.ceil(len(heads) / columns)
    figure = make_subplots(
        rows, columns, subplot_titles=names, shared_xaxes="all", shared_yaxes="all", vertical_spacing=0.18 / rows
    )
    for i, head in enumerate(heads):
        cells = _cells(head, labels, labels, None, False).update(coloraxis="coloraxis", zmin=None, zmax=None)
        figure.add_trace(cells, row=i // columns + 1, col=i % columns + 1)
    longest = LETTER * max(len(_plain(label)) for label in labels)
    side = PLOT if columns == 1 else (WIDTH - longest - 120) / columns
    side = min(side, 56 * len(labels))
    upright = longest > side / len(labels)
    figure.update_xaxes(type="category", showgrid=False, tickangle=-90 if upright else 0)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        _thin_ticks(axis, labels, side / len(labels), 13)
    figure.update_xaxes(title="key: where it looks", row=rows)
    figure.update_yaxes(title="query: who looks", col=1)
    bar = dict(title=dict(text="attention"), thickness=14)
    figure.update_layout(coloraxis=dict(colorscale="viridis", cmin=0, cmax=1, colorbar=bar))
    return finish(
        figure,
        title,
        alt,
        high=side * rows + 30,
        left=60 + longest,
        below=50 + (longest if upright else 15),
        wide=side * columns,
    )


def token_labels(tokens) -> list[str]:
    """Return a label for each token that is unique and shows its white space: ["0 def", "1 ␣x", "2 (", "3 ↵"]."""
    return [f"{i} {visible(token)}" for i, token in enumerate(tokens)]


def visible(token: str) -> str:
    """Return a token with its spaces and line ends made visible: "␣x", "␣×8" for eight spaces, "↵", "⇥"."""
    if token == "<|endoftext|>":
        return "BOS"
    if len(token) > 2 and not token.strip(" "):
        return f"␣×{len(token)}"
    return token.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")


def array(values) -> np.ndarray:
    """Return a tensor, an array or a list as a numpy array of decimals, off its device and its gradient."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=float)


def finish(figure, title, alt, *, high=340, left=70, below=60, wide=None) -> go.Figure:
    """Return a figure made elsewhere with title, alternative text and size. `high`, `wide`: the pixels of the plot itself."""
    title, alt = _named(title, "title"), _named(alt, "alt")
    caption = textwrap.wrap(alt, 105)
    above = 48 + 16 * len(caption) + (18 if figure.layout.annotations else 6)
    right = 20 if wide is None else max(20, WIDTH - left - wide)
    figure.update_layout(
        template=TEMPLATE,
        title=dict(text=title, subtitle=dict(text="<br>".join(map(_escaped, caption)), font=dict(size=12, color=INK))),
        meta={"alt": alt},
        width=WIDTH if wide is None else max(WIDTH, left + wide + 90),
        height=high + above + below,
        margin=dict(l=left, r=right, t=above, b=below),
    )
    return Figure(figure)


# --- inside ---------------------------------------------------------------------------------------------------------


def _cells(values: np.ndarray, x: list, y: list, zmid, text: bool) -> go.Heatmap:
    """Return a matrix as a heatmap trace; infinities become empty cells, and are written where text is."""
    shown = np.where(np.isfinite(values), values, np.nan)
    finite = shown[np.isfinite(shown)]
    gap = 1 if max(values.shape) <= 40 else 0
    cells = go.Heatmap(z=shown, x=x, y=y, xgap=gap, ygap=gap, colorscale="viridis", hoverongaps=False)
    cells.hovertemplate = "row %{y}<br>column %{x}<br>%{z:.4g}<extra></extra>"
    if zmid is not None:
        reach = float(np.abs(finite - zmid).max()) if len(finite) else 1.0
        cells.update(colorscale="RdBu_r", zmin=zmid - (reach or 1.0), zmax=zmid + (reach or 1.0))
    if text:
        cells.update(text=[[_number(value) for value in row] for row in values], texttemplate="%{text}")
    return cells


def _number(value: float) -> str:
    if np.isnan(value):
        return "nan"
    if np.isinf(value):
        return "−∞" if value < 0 else "∞"
    if value == int(value) and abs(value) < 1000:
        return str(int(value)).replace("-", "−")
    return (f"{value:.2f}" if 0.00995 <= abs(value) < 1000 else f"{value:.1e}").replace("-", "−")


def _named(text: str, what: str) -> str:
    if not str(text or "").strip():
        raise CourseError(
            f"A figure needs {what}, and it is empty.",
            "Say what is drawn: title, axis labels, and alt, a sentence for those who cannot see the picture.",
        )
    return str(text)


def _matrix(values, what: str) -> np.ndarray:
    values = array(values)
    if values.ndim != 2 or 0 in values.shape:
        raise CourseError(f"{what} has the shape {values.shape}; a heatmap draws a matrix.", "Pick two axes of it.")
    return values


def _pairs(values) -> np.ndarray:
    values = array(values)
    if values.ndim != 2 or values.shape[1] != 2:
        raise CourseError(f"These have the shape {values.shape}; a plane shows (n, 2).", "Pick two dimensions.")
    return values


def _rows_of(series) -> dict:
    values = array(series)
    if values.ndim == 1:
        return {"": values}
    if values.ndim == 2:
        return {str(i): row for i, row in enumerate(values)}
    raise CourseError(f"lines draws (n,) or (lines, n); this has the shape {values.shape}.", "Pick one or two axes.")


def _labels(labels, count: int, what: str) -> list[str]:
    """Return `count` different labels, safe to draw: plotly reads < as the start of a tag."""
    if labels is None:
        return [str(i) for i in range(count)]
    labels = [_escaped(str(label)) for label in labels]
    if len(labels) != count:
        raise CourseError(f"{what} has {len(labels)} labels for {count} places.", "Give one for each.")
    if len(set(labels)) != count:
        twice = next(label for label in labels if labels.count(label) > 1)
        raise CourseError(
            f"The label {twice!r} stands twice in {what}, and plotly would draw both at one place.",
            "Number them: plots.token_labels(tokens).",
        )
    return labels


def _ticks(x) -> np.ndarray:
    numbers = all(isinstance(value, (int, float)) for value in x) if isinstance(x, (list, tuple, range)) else True
    return array(x) if numbers else np.array(_labels(x, len(x), "x"))


def _label_room(x) -> int:
    """Return the pixels below the axis that text labels take, which stand upright when there are many."""
    texts = [str(value) for value in x if isinstance(value, str)] if isinstance(x, (list, tuple)) else []
    longest = max((len(_plain(text)) for text in texts), default=0)
    return LETTER * longest if longest * LETTER * len(texts) > WIDTH - 120 else 0


def _thin_ticks(axis, labels: list[str], room: float, needed: int) -> None:
    """Show every label where there is room for it, else every second, third, ... one."""
    step = max(1, math.ceil(needed / room))
    axis.update(tickmode="array", tickvals=labels[::step], ticktext=labels[::step])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
