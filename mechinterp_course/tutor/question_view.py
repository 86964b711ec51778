"""How a question looks: as plain text, as HTML, and as widgets that need only a keyboard.

It shows and does not decide: `quiz.py` says what was answered and what happens on a click. Every text of a question is
markdown in the source and is escaped here. Imports `catalog`'s types only; ipywidgets and IPython inside functions.
"""

import re
from collections.abc import Callable
from functools import cache
from html import escape, unescape

from .catalog import Question

SURE = (50, 70, 90)
SURE_WORDS = "50, 70 or 90 %"
_LINK = re.compile(r"\[\[\w+:([^\]|]+)(?:\|([^\]]+))?\]\]")
# Jupyter's own colours, so that light and dark themes both work; the second value is for pages outside JupyterLab.
STYLE = """<style>
.mechinterp-question { border-left: 4px solid var(--jp-brand-color1, #1976d2); padding: 4px 12px; max-width: 46em;
  overflow: visible; color: var(--jp-ui-font-color1, inherit); }
.mechinterp-question .widget-html-content { line-height: 1.5; overflow: visible; white-space: normal; }
.mechinterp-question .widget-radio-box label { height: auto; min-height: 28px; line-height: 1.4; white-space: normal;
  display: flex; align-items: flex-start; padding: 3px 0; }
.mechinterp-question .widget-radio-box { max-width: none; }
.mechinterp-question .widget-radio-box input { flex: none; margin: 3px 8px 0 3px; }
.mechinterp-question input:focus-visible, .mechinterp-question button:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 2px; }
</style>"""
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


def as_html(text: str) -> str:
    """Return a question's markdown as HTML for one line, everything else escaped."""
    return _markdown().renderInline(_LINK.sub(lambda m: m[2] or m[1], text.strip()))


def as_plain(text: str) -> str:
    """Return a question's markdown without its marks."""
    html = as_html(text).replace("<br />", " ")
    return " ".join(unescape(re.sub(r"</?(?:em|strong|code|a)\b[^>]*>", "", html)).split())


# --- text -----------------------------------------------------------------------------------------------------------


def question_text(question: Question, note: str = "") -> str:
    """Return the question, its choices, and how to answer in code."""
    call = f'{question.kind}("{question.id}", "b"{", sure=70" if question.kind == "predict" else ""})'
    lines = [as_plain(question.question)]
    lines += [f"  {letter(i)}) {as_plain(choice)}" for i, choice in enumerate(question.choices)]
    if question.kind == "predict":
        lines.append(f"How sure are you: {SURE_WORDS}?")
    return "\n".join([*lines, *([note] if note else []), f"To answer in code: {call}"])


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


def question_widget(question: Question, choice: int | None, sure: int | None, answered: Callable, after: str = ""):
    """Return the question as a widget. `answered(choice, sure)` is called on a click and returns the HTML to show below.

    Native radio buttons and buttons: Tab goes from one to the next, the arrows choose, Space or Enter presses.
    """
    import ipywidgets

    choices = [(f"{letter(i)})  {as_plain(text)}", i) for i, text in enumerate(question.choices)]
    wide = ipywidgets.Layout(width="auto")
    asked = ipywidgets.HTMLMath(f"{STYLE}<p>{as_html(question.question)}</p>")
    radios = ipywidgets.RadioButtons(options=choices, value=choice, layout=wide, tooltip=as_plain(question.question))
    result = ipywidgets.HTMLMath(after)
    rows = [asked, radios]
    how_sure = None
    if question.kind == "predict":
        options = [(f"{percent} %", percent) for percent in SURE]
        how_sure = ipywidgets.ToggleButtons(options=options, value=sure, style={"button_width": "64px"})
        how_sure.tooltips = [f"I am {percent} percent sure" for percent in SURE]
        rows += [ipywidgets.HTML("<p>How sure are you?</p>"), how_sure]
    button = ipywidgets.Button(description="Save" if how_sure else "Answer", layout=ipywidgets.Layout(width="96px"))

    def clicked(_button):
        result.value = answered(radios.value, how_sure.value if how_sure else None)

    button.on_click(clicked)
    box = ipywidgets.VBox([*rows, button, result])
    box.add_class("mechinterp-question")
    return box


def show(text: str, html: str | None = None, widget=None) -> None:
    """Display a widget or HTML, with the text for every place that can show neither; in plain Python print the text."""
    if not in_kernel():
        print(text)
        return
    from IPython.display import display

    bundle = {"text/plain": text}
    if widget is not None:
        # Without text/html: a page that can show HTML and no widgets would hide how to answer.
        bundle = {**widget._repr_mimebundle_(), **bundle}
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
