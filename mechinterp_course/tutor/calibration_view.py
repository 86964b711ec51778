"""`calibration()`: how sure and how often right, drawn in a notebook; elsewhere as text.

plotly and the course's plots are imported inside functions: the command line shows the same numbers without them.
"""

from html import escape

from . import calibration as computing
from . import progress
from .calibration import Calibration, Group
from .catalog import course
from .question_view import in_kernel, show

_CELL = "padding: 0 14px 0 0; text-align: left; background-color: transparent; line-height: 1.5"


def calibration() -> None:
    """Show how sure you were of your predictions, and how often you were right, with 95 % intervals."""
    book, events = course(), progress.load()
    found = computing.calibration(events, progress.state(events, book), book)
    if not in_kernel():
        print(as_text(found))
        return
    show(found.sentence, f"<p>{escape(found.sentence)}</p>")
    if found.all.count:
        figure(found).show()
        show(as_text(found), lessons_html(found))


def as_text(found: Calibration) -> str:
    """Return the sentence, then a line for each group."""
    lines = [found.sentence]
    for title, groups in _parts(found):
        lines += ["", title]
        lines += [f"  {group.name:<34} {_right(group):>9}  {_range(group):<13} {group.verdict}" for group in groups]
    return "\n".join(lines)


def lessons_html(found: Calibration) -> str:
    """Return the table of the lessons; the levels and the time are in the figure."""
    rows = "".join(
        f'<tr style="background-color: transparent">{"".join(f"<td style={chr(34)}{_CELL}{chr(34)}>{escape(cell)}</td>" for cell in cells)}</tr>'
        for group in found.lessons
        for cells in [(group.name, f"{group.sure:.0f} %", _right(group), _range(group), group.verdict)]
    )
    names = ("Lesson", "Sure", "Right", "95 % interval", "")
    heads = "".join(f'<th scope="col" style="{_CELL}; font-weight: 600">{name}</th>' for name in names)
    return (
        f'<table style="border-collapse: collapse; font-size: 13px"><thead><tr style="background-color: transparent">{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _parts(found: Calibration) -> list[tuple[str, list[Group]]]:
    levels = [group for group in found.levels if group.count]
    parts = [("How sure", levels), ("By lesson", list(found.lessons)), ("In order of time", list(found.blocks))]
    return [(title, groups) for title, groups in parts if groups]


def _right(group: Group) -> str:
    return f"{group.right} of {group.count}"


def _range(group: Group) -> str:
    low, high = group.interval
    return f"{low:.0f} to {high:.0f} %"


def figure(found: Calibration):
    """Return the reliability plot and, from ten answers on, the way it went, as a plotly figure."""
    from plotly.subplots import make_subplots

    from ..interp import plots

    levels = [group for group in found.levels if group.count]
    columns = 2 if found.blocks else 1
    drawn = make_subplots(rows=1, cols=columns, horizontal_spacing=0.14)
    said = dict(mode="lines", name="as often right as sure", line=dict(color=plots.INK, dash="dot", width=2))
    drawn.add_scatter(x=[40, 100], y=[40, 100], hoverinfo="skip", **said, row=1, col=1)
    _points(drawn, levels, [group.sure for group in levels], plots.COLOURS[0], 1)
    drawn.update_xaxes(title="how sure (%)", tickvals=list(computing.LEVELS), range=[40, 112], row=1, col=1)
    if found.blocks:
        names = [group.name for group in found.blocks]
        sure = [group.sure for group in found.blocks]
        line = dict(color=plots.COLOURS[1], dash="dash", width=2)
        drawn.add_scatter(x=names, y=sure, name="how sure, on average", mode="lines+markers", line=line, row=1, col=2)
        _points(drawn, found.blocks, names, plots.COLOURS[0], 2, legend=False)
        drawn.update_xaxes(
            title="predictions, in order of time", type="category", range=[-0.4, len(names) - 0.2], row=1, col=2
        )
    drawn.update_yaxes(title="right (%)", range=[0, 105])
    drawn.update_layout(legend=dict(orientation="h", y=-0.28, x=0), showlegend=True)
    return plots.finish(drawn, "How sure, and how often right", _alt(found), high=380, below=110)


def _points(drawn, groups, x, colour: str, column: int, legend: bool = True) -> None:
    share = [group.share for group in groups]
    low, high = zip(*(group.interval for group in groups), strict=True)
    error = dict(
        type="data",
        symmetric=False,
        array=[h - s for h, s in zip(high, share, strict=True)],
        arrayminus=[s - lo for lo, s in zip(low, share, strict=True)],
        thickness=1.5,
        width=6,
    )
    drawn.add_scatter(
        x=list(x),
        y=share,
        error_y=error,
        mode="markers+text",
        text=[f" {_right(group)}" for group in groups],
        textposition="middle right",
        marker=dict(size=10, color=colour),
        name="right, with its 95 % interval",
        showlegend=legend,
        row=1,
        col=column,
    )


def _alt(found: Calibration) -> str:
    levels = "; ".join(f"{g.name} sure, {_right(g)} right ({_range(g)})" for g in found.levels if g.count)
    blocks = "; ".join(f"predictions {g.name}, {g.sure:.0f} % sure, {_right(g)} right" for g in found.blocks)
    return f"Reliability plot. {levels}." + (f" In order of time: {blocks}." if blocks else "")
