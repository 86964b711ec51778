"""Attention patterns of many heads as one SVG picture: a small grid of colours for each head, tokens at its edges.

An image needs no script and no style sheet, so it looks the same in every notebook, trusted or not.
Must not import torch, TransformerLens, or anything of courses and notebooks.
"""

import math
from base64 import b64encode
from collections import defaultdict
from html import escape

import numpy as np
from plotly.colors import sample_colorscale

from mechinterp_course.interp.plots import INK, LETTER, WIDTH

STEPS = 40  # shades of the scale; neighbours of one shade become one stroke, which keeps the picture small
SHADES = [
    "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in shade))
    for shade in sample_colorscale("viridis", [i / STEPS for i in range(STEPS + 1)], colortype="tuple")
]
LONGEST = 16  # letters of a label
LINE = 12  # pixels that a label needs
TOP = 34  # the colour bar
NAME = 20  # the name above a head
GAP = 14


def heads_picture(patterns: np.ndarray, labels: list[str], names: list[str]) -> str:
    """Return the picture as the text of an SVG file. patterns: (head, query, key), from 0 to 1. labels: one a token."""
    count, size = patterns.shape[0], patterns.shape[-1]
    short = [label if len(label) <= LONGEST else label[: LONGEST - 1] + "…" for label in labels]
    room = LETTER * max(map(len, short)) + 26
    columns = min(4, count)
    side = min((WIDTH - room - GAP * columns) / columns, 20 * size)
    rows = math.ceil(count / columns)
    step = NAME + side + GAP
    parts = [_scale()]
    for i, (pattern, name) in enumerate(zip(patterns, names, strict=True)):
        row, column = divmod(i, columns)
        x, y = room + column * (side + GAP), TOP + row * step + NAME
        parts.append(_text(name, x, y - 6, size=13))
        parts.append(f'<g transform="translate({x:.1f} {y:.1f}) scale({side / size:.4f})">{_cells(pattern)}</g>')
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="none" stroke="{INK}"/>'
        )
        if column == 0:
            parts.append(_queries(short, x, y, side))
        if i + columns >= count:
            parts.append(_keys(short, x, y, side))
    wide, high = max(room + columns * (side + GAP), 420), TOP + rows * step + room
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}"'
    return f'{head} font-family="system-ui, sans-serif" font-size="11" fill="{INK}">{"".join(parts)}</svg>'


def as_address(svg: str) -> str:
    """Return an SVG picture as the `src` of an image."""
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def _cells(pattern: np.ndarray) -> str:
    """Return the cells, one unit each: a stroke for each run of one shade. Keys after the query stay empty where all are 0."""
    shades = np.clip(np.nan_to_num(pattern) * STEPS, 0, STEPS).round().astype(int)
    causal = not np.triu(pattern, 1).any()
    strokes = defaultdict(list)
    for query, row in enumerate(shades):
        end = query + 1 if causal else len(row)
        starts = [key for key in range(end) if key == 0 or row[key] != row[key - 1]]
        for start, stop in zip(starts, [*starts[1:], end], strict=True):
            strokes[row[start]].append(f"M{start} {query}.5h{stop - start}")
    return "".join(f'<path d="{"".join(runs)}" stroke="{SHADES[shade]}"/>' for shade, runs in sorted(strokes.items()))


def _queries(labels: list[str], x: float, y: float, side: float) -> str:
    cell = side / len(labels)
    step = math.ceil(LINE / cell)
    texts = [
        _text(label, x - 5, y + (i + 0.5) * cell + 4, anchor="end") for i, label in enumerate(labels) if i % step == 0
    ]
    return "".join(texts) + _text("query: who looks", 0, 0, place=f"translate(11 {y + side / 2:.1f}) rotate(-90)")


def _keys(labels: list[str], x: float, y: float, side: float) -> str:
    cell = side / len(labels)
    step = math.ceil(LINE / cell)
    foot = y + side
    texts = [
        _text(label, 0, 0, anchor="end", place=f"translate({x + (i + 0.5) * cell + 4:.1f} {foot + 5:.1f}) rotate(-90)")
        for i, label in enumerate(labels)
        if i % step == 0
    ]
    below = foot + LETTER * max(map(len, labels)) + 18
    return "".join(texts) + _text("key: where it looks", x + side / 2, below, anchor="middle")


def _scale() -> str:
    """Return the colour bar: what the colours mean."""
    bar = "".join(
        f'<path d="M{90 + 3 * i} 10h3" stroke="{shade}" stroke-width="12"/>' for i, shade in enumerate(SHADES)
    )
    return _text("attention: 0", 22, 14) + bar + _text("1", 90 + 3 * len(SHADES) + 5, 14)


def _text(text: str, x: float, y: float, *, anchor: str = "", size: int = 0, place: str = "") -> str:
    where = f'transform="{place}"' if place else f'x="{x:.1f}" y="{y:.1f}"'
    # Centred around its place where it is turned and has no other anchor.
    anchor = anchor or ("middle" if place else "start")
    return (
        f'<text {where} text-anchor="{anchor}"{f" font-size={size!r}" if size else ""}>{escape(text)}</text>'.replace(
            f"font-size={size!r}", f'font-size="{size}"'
        )
    )
