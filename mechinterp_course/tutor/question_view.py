"""How a question looks: as plain text, as HTML, and as a form that needs only a keyboard.

It shows and does not decide: `quiz.py` says what was answered and what happens on a click. Every text of a question is
markdown in the source and is escaped here. Imports `catalog`'s types only; anywidget and IPython inside functions.
"""

import re
from collections.abc import Callable
from functools import cache
from html import escape, unescape
from pathlib import Path

from .catalog import Question

SURE = (50, 70, 90)
SURE_WORDS = "50, 70 or 90 %"
_LINK = re.compile(r"\[\[\w+:([^\]|]+)(?:\|([^\]]+))?\]\]")
# Jupyter's own colours, like question.css.
_BOX = (
    "border-left: 4px solid var(--jp-brand-color1, #1976d2); padding: 4px 12px; max-width: 46em; line-height: 1.5; "
    "color: var(--jp-ui-font-color1, inherit)"
)


def letter(choice: int) -> str:
    """Return "a" for the first choice, "b" for the second."""
    return chr(ord("a") + choice)


@cache
def _markdown():
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False})  # no HTML from a question: it is shown as it is written


def without_links(text: str) -> str:
    """Return the text with the words of the course's own links ([[term:softmax]]) in their place."""
    return _LINK.sub(lambda m: m[2] or m[1], text.strip())


def as_html(text: str) -> str:
    """Return a question's markdown as HTML for one line, everything else escaped."""
    return _markdown().renderInline(without_links(text))


def as_plain(text: str) -> str:
    """Return a question's markdown without its marks."""
    html = as_html(text).replace("<br />", " ")
    return " ".join(unescape(re.sub(r"</?(?:em|strong|code|a)\b[^>]*>", "", html)).split())


# --- text -----------------------------------------------------------------------------------------------------------


def question_text(question: Question, note: str = "") -> str:
    """Return the question, its choices, and how to answer in code."""
    # No letter as an example: it would be taken for a tip.
    call = f'{question.kind}("{question.id}", "?"{", sure=70" if question.kind == "predict" else ""})'
    lines = [as_plain(question.question)]
    lines += [f"  {letter(i)}) {as_plain(choice)}" for i, choice in enumerate(question.choices)]
    if question.kind == "predict":
        lines.append(f"How sure are you: {SURE_WORDS}?")
    return "\n".join([*lines, *([note] if note else []), f"To answer in code, with your letter for the ?: {call}"])


def explanation_text(question: Question, opening: str, first: int | None) -> str:
    """Return the opening sentence, then a word on every choice, `first` before the others."""
    lines = [opening]
    for i in _order(question, first):
        mark = "✓" if i == question.answer else " "
        yours = " (yours)" if i == first else ""
        lines.append(f"{mark} {letter(i)}) {as_plain(question.choices[i])}{yours}: {as_plain(question.why[i])}")
    return "\n".join(lines)


# --- HTML -----------------------------------------------------------------------------------------------------------


def boxed(inner: str) -> str:
    """Return HTML with a coloured bar on its left, like every question of the course."""
    return f'<div style="{_BOX}">{inner}</div>'


def question_html(question: Question, note: str = "") -> str:
    """Return the question with lettered choices and how to answer in code, for a notebook without widgets."""
    choices = "".join(f"<li>{as_html(choice)}</li>" for choice in question.choices)
    *_, how = question_text(question).splitlines()
    note = f"<p>{escape(note)}</p>" if note else ""
    code = f"<p>{escape(how.split(': ', 1)[0])}: <code>{escape(how.split(': ', 1)[1])}</code></p>"
    return boxed(f'<p>{as_html(question.question)}</p><ol type="a">{choices}</ol>{note}{code}')


def explanation_html(question: Question, opening: str, first: int | None) -> str:
    """Return the opening sentence and a word on every choice, `first` before the others."""
    items = []
    for i in _order(question, first):
        mark = "✓ " if i == question.answer else ""
        yours = " <em>(yours)</em>" if i == first else ""
        items.append(
            f"<p><strong>{mark}{letter(i)}) {as_html(question.choices[i])}</strong>{yours}<br>"
            f"{as_html(question.why[i])}</p>"
        )
    return f'<p role="status">{escape(opening)}</p>{"".join(items)}'


def _order(question: Question, first: int | None) -> list[int]:
    rest = [i for i in range(len(question.choices)) if i != first]
    rest.sort(key=lambda i: i != question.answer)  # the right one before the other wrong ones
    return rest if first is None else [first, *rest]


# --- widgets --------------------------------------------------------------------------------------------------------


@cache
def _widget_class() -> type:
    import anywidget
    from traitlets import Int, List, Unicode

    here = Path(__file__).parent

    class QuestionWidget(anywidget.AnyWidget):
        """The form in question.js: native radio buttons and a button, so that Tab, arrows, Space and Enter are enough."""

        _esm = (here / "question.js").read_text(encoding="utf-8")
        _css = (here / "question.css").read_text(encoding="utf-8")
        question = Unicode().tag(sync=True)
        choices = List(Unicode()).tag(sync=True)
        percents = List(Int()).tag(sync=True)
        choice = Int(None, allow_none=True).tag(sync=True)
        sure = Int(None, allow_none=True).tag(sync=True)
        button = Unicode().tag(sync=True)
        result = Unicode().tag(sync=True)

    return QuestionWidget


def question_widget(question: Question, choice: int | None, sure: int | None, answered: Callable, result: str = ""):
    """Return the question as a widget, with an earlier answer chosen and `result` (HTML) below it.

    `answered(choice, sure)`, each None where nothing is chosen, is called on a click and returns the new `result`.
    Raises ImportError where there are no widgets.
    """
    asks_how_sure = question.kind == "predict"
    labels = [f"{letter(i)}) {as_html(text)}" for i, text in enumerate(question.choices)]
    percents = SURE if asks_how_sure else ()
    button = "Save" if asks_how_sure else "Answer"
    return form(as_html(question.question), labels, button, answered, percents, choice, sure, result)


def form(
    asked: str, labels: list[str], button: str, answered: Callable, percents=(), choice: int | None = None,
    sure: int | None = None, result: str = "",
):  # fmt: skip
    """Return a form with one choice, and how sure where there are `percents`. `asked`, `labels` and `result` are HTML, escaped already."""
    widget = _widget_class()(
        question=asked,
        choices=list(labels),
        percents=list(percents),
        choice=choice,
        sure=sure,
        button=button,
        result=result,
    )

    def received(widget, message, _buffers):
        chosen = message if isinstance(message, dict) else {}
        widget.choice = chosen.get("choice") if chosen.get("choice") in range(len(labels)) else None
        widget.sure = chosen.get("sure") if chosen.get("sure") in percents else None
        widget.result = answered(widget.choice, widget.sure)
        widget.send({"answered": True})

    widget.on_msg(received)
    return widget


def show(text: str, html: str | None = None, widget=None) -> None:
    """Display a widget or HTML, with the text for every place that can show neither; in plain Python print the text."""
    if not in_kernel():
        print(text)
        return
    from IPython.display import display

    bundle = {"text/plain": text}
    if widget is not None:
        # Without text/html: a page that can show HTML and no widgets would hide how to answer.
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        bundle["application/vnd.jupyter.widget-view+json"] = view
    elif html is not None:
        bundle["text/html"] = html
    display(bundle, raw=True)


def in_kernel() -> bool:
    """Whether the code runs in a Jupyter kernel, where something can be displayed."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
