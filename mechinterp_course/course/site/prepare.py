"""An executed lesson made into a page that needs no kernel: questions that open on a click, plots that draw themselves.

Pure: a notebook in, a notebook out. Imports plotly and the looks of questions.
"""

import html
import re

import nbformat

from ...interp.figure import described
from ...tutor import question_view as view
from ...tutor.catalog import Course, Question
from ..grading.render import as_data
from ..notebook import new_cell

PLOT, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
NAVIGATION = {"nav-top", "nav-bottom"}  # the site has its own
_CALL = re.compile(r"""^(predict|quiz|reveal)\(\s*["']([\w-]+)["']\s*\)$""")
_UNSEEN = re.compile(r'<p style="position:absolute[^"]*">Figure: ')  # the text for screen readers behind a figure


def page(made: nbformat.NotebookNode, course: Course) -> nbformat.NotebookNode:
    """Return the notebook of a page."""
    cells = [_cell(cell, course) for cell in made.cells if cell.id not in NAVIGATION]
    for number, cell in enumerate(cells):
        for place, output in enumerate(cell.get("outputs", [])):
            if PLOT in output.get("data", {}):
                drawn = output["data"][PLOT]
                made_of = table(drawn) if _is_table(drawn) else plot(drawn, f"plot-{number}-{place}")
                output["data"] = {"text/html": made_of}
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _cell(cell: nbformat.NotebookNode, course: Course) -> nbformat.NotebookNode:
    if cell.cell_type == "markdown":
        # A page has one heading of the first level; the parts of a lab are sections of it.
        lower = cell.id.startswith("sitting-") and cell.source.startswith("# ")
        return new_cell("markdown", f"#{cell.source}", cell.id) if lower else cell
    asked = _CALL.match(cell.source.strip())
    if asked and asked[2] in course.questions:
        shown = {"predict": prediction, "quiz": quiz, "reveal": reveal}[asked[1]](course.questions[asked[2]])
        return new_cell("markdown", shown, cell.id)
    kept = nbformat.from_dict(cell)
    kept["outputs"] = [shown for output in _joined(cell.get("outputs", [])) if (shown := _output(output))]
    return kept


def _joined(outputs: list) -> list:
    """Return the outputs with what came on one stream, piece by piece, in one: a progress bar comes in many."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == last.get("output_type") == "stream" and output.name == last.name:
            last["text"] += output.text
        else:
            joined.append(nbformat.from_dict(output))
    return joined


def _output(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Return an output without what needs a kernel; None where nothing is left, or it repeats what a plot says already."""
    data = output.get("data")
    if output.output_type == "stream":
        text = settled(output.text)
        return nbformat.from_dict({**output, "text": text}) if text.strip() else None
    if data is None:
        return output
    if _UNSEEN.match(data.get("text/html", "")):
        return None
    kept = {kind: value for kind, value in data.items() if kind != WIDGET}
    if WIDGET in data and "text/html" not in kept:
        kept = {"text/html": f"<pre>{html.escape(str(data.get('text/plain', '')))}</pre>"}
    return nbformat.from_dict({**output, "data": kept}) if kept else None


def settled(text: str) -> str:
    """Return what a stream shows in the end: a progress bar writes over its own line, again and again."""
    return "\n".join(line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n"))


# --- questions ------------------------------------------------------------------------------------------------------


def _asked(question: Question) -> str:
    choices = "".join(f"<li>{view.as_html(choice)}</li>" for choice in question.choices)
    return f'<p>{view.as_html(question.question)}</p><ol type="a">{choices}</ol>'


def prediction(question: Question) -> str:
    """Return a prediction: what is asked, to be decided before reading on."""
    return f'<div class="question"><p class="kind">Predict, before you read on</p>{_asked(question)}</div>'


def quiz(question: Question) -> str:
    """Return a quiz question with its answer below a line to click."""
    return f'<div class="question"><p class="kind">Quiz</p>{_asked(question)}{_answer(question)}</div>'


def reveal(question: Question) -> str:
    """Return what happened, below a line to click."""
    return f'<div class="question"><p class="kind">You predicted: {view.as_html(question.question)}</p>{_answer(question)}</div>'


def _answer(question: Question) -> str:
    opening = f"The answer is {view.letter(question.answer)}."
    told = view.explanation_html(question, opening, None).replace(' role="status"', "")
    return f"<details><summary>Show the answer</summary>{told}</details>"


# --- plots ----------------------------------------------------------------------------------------------------------


def plot(figure: dict, name: str) -> str:
    """Return a plotly figure as HTML that draws itself with the site's plotly, and says what it shows."""
    layout, said = figure.get("layout", {}), described(figure) or "A plot"
    width, height = _pixels(layout, "width", 720), _pixels(layout, "height", 450)
    drawn = as_data({"data": figure.get("data", []), "layout": layout})
    return (
        f'<figure class="plot" id="{name}" tabindex="0" aria-label="{html.escape(said)}">'
        f'<div style="width:{width}px;height:{height}px"></div>'
        f'<figcaption class="unseen">{html.escape(said)}</figcaption></figure>'
        f'<script type="application/json">{drawn}</script>'
    )


def _is_table(figure: dict) -> bool:
    return [trace.get("type") for trace in figure.get("data", [])] == ["table"]


def table(figure: dict) -> str:
    """Return a plotly table as a table of HTML, which fits any width and can be read cell by cell."""
    (trace,) = figure["data"]
    title = figure.get("layout", {}).get("title", {}).get("text", "")
    said = (figure.get("layout", {}).get("meta") or {}).get("alt", "")
    columns = [*trace["header"]["values"]], [*trace["cells"]["values"]]
    heads = "".join(f'<th scope="col">{_words(name)}</th>' for name in columns[0])
    rows = "".join(
        f"<tr>{''.join(f'<td>{_words(cell)}</td>' for cell in row)}</tr>" for row in zip(*columns[1], strict=True)
    )
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{_words(title)}">'
        f"<table><caption><strong>{_words(title)}</strong><br>{html.escape(said)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _words(text) -> str:
    """Plotly's own little markup without its elements, as HTML."""
    return html.escape(html.unescape(re.sub(r"</?(?:b|i|br|sub|sup|em|span)\b[^>]*>", " ", str(text))).strip())


def _pixels(layout: dict, side: str, usual: int) -> int:
    size = layout.get(side)
    return int(size) if isinstance(size, (int, float)) else usual
