"""Pictures of toy models: the directions of several instances side by side, the matrix WᵀW, and both while they train.

Must not import TransformerLens, or anything of courses.
"""

import math
import sys

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import plots
from mechinterp_course.interp.superposition import Toy

COLUMNS = 4
SIDE = 150  # pixels of one panel


def directions(W, names=None, *, title: str, alt: str) -> go.Figure:
    """Draw the feature directions of several instances as arrows from the origin, one panel each, all to one scale.

    W: (instance, 2, feature). names: one above each panel. Feature i has the same colour and sign in every panel.
    """
    W = plots.array(W)
    if W.ndim != 3 or W.shape[1] != 2:
        raise CourseError(f"W has the shape {W.shape}; arrows need (instance, 2, feature).", "Train it with hidden=2.")
    figure, columns, rows = _panels(len(W), names)
    for place, instance in enumerate(W):
        row, column = divmod(place, columns)
        for i, (x, y) in enumerate(instance.T):
            colour = plots.COLOURS[i % len(plots.COLOURS)]
            figure.add_scatter(
                x=[0, x],
                y=[0, y],
                mode="lines+markers",
                line=dict(color=colour, width=2),
                marker=dict(color=colour, size=[0, 8], symbol=plots.SYMBOLS[i % len(plots.SYMBOLS)]),
                name=f"feature {i}",
                legendgroup=str(i),
                showlegend=place == 0,
                row=row + 1,
                col=column + 1,
            )
    figure.update_xaxes(range=[-1.35, 1.35], constrain="domain", tickvals=[-1, 0, 1])
    figure.update_yaxes(range=[-1.35, 1.35], constrain="domain", tickvals=[-1, 0, 1])
    for place in range(1, len(W) + 1):
        end = "" if place == 1 else place
        figure.update_layout({f"yaxis{end}": dict(scaleanchor=f"x{end}", scaleratio=1)})
    return _finish(figure, title, alt, rows, columns, "dimension 0", "dimension 1")


def overlaps(W, names=None, *, title: str, alt: str) -> go.Figure:
    """Draw WᵀW of several instances: the diagonal is how strongly a feature is kept, the rest is interference.

    W: (instance, hidden, feature). Blue is negative, red positive, white 0; one scale for all panels.
    """
    W = plots.array(W)
    figure, columns, rows = _panels(len(W), names)
    labels = [str(i) for i in range(W.shape[2])]
    for place, instance in enumerate(W):
        row, column = divmod(place, columns)
        cells = go.Heatmap(z=instance.T @ instance, x=labels, y=labels, xgap=1, ygap=1, coloraxis="coloraxis")
        cells.hovertemplate = "feature %{y} read from feature %{x}: %{z:.2f}<extra></extra>"
        figure.add_trace(cells, row=row + 1, col=column + 1)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    scale = dict(colorscale="RdBu_r", cmin=-1.2, cmax=1.2, colorbar=dict(title=dict(text="Wᵢ·Wⱼ"), thickness=14))
    figure.update_layout(coloraxis=scale)
    return _finish(figure, title, alt, rows, columns, "feature that is there", "feature read out")


class Live:
    """A picture that follows a training: pass it as `watch`. It draws again in place, and the last picture stays in the notebook.

    draw: a function (step, toy) that returns a figure. Outside a notebook nothing is drawn.
    """

    def __init__(self, draw):
        self.draw, self.place = draw, None

    def __call__(self, step: int, toy: Toy) -> None:
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if not hasattr(shell, "kernel"):
            return
        from IPython.display import display

        figure = self.draw(step, toy)
        bundle = figure._repr_mimebundle_()  # what a notebook asks any figure for; `display` can replace it in place
        if self.place is None:
            self.place = display(bundle, raw=True, display_id=True)
            figure.say()  # once, for screen readers: what it shows does not change with the step
        else:
            self.place.update(bundle, raw=True)


# --- inside ---------------------------------------------------------------------------------------------------------


def _panels(count: int, names) -> tuple[go.Figure, int, int]:
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    names = [f"instance {k}" for k in range(count)] if names is None else list(names)
    if len(names) != count:
        raise CourseError(f"There are {len(names)} names for {count} instances.", "Give one for each.")
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=names,
        horizontal_spacing=0.06,
        vertical_spacing=0.2 / rows,
        shared_xaxes="all",
        shared_yaxes="all",
    )
    figure.update_annotations(font_size=12)
    return figure, columns, rows


def _finish(figure, title: str, alt: str, rows: int, columns: int, xlabel: str, ylabel: str) -> go.Figure:
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    for column in range(
        1, columns + 1
    ):  # the lowest panel of each column and the leftmost of each row say what is measured
        figure.update_xaxes(title=xlabel, showticklabels=True, row=rows, col=column)
    for row in range(1, rows + 1):
        figure.update_yaxes(title=ylabel, showticklabels=True, row=row, col=1)
    return plots.finish(figure, title, alt, high=(SIDE + 34) * rows, below=60, wide=SIDE * columns + 120)
