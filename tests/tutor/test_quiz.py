"""Predictions and quiz questions: as text, as HTML, as a form in a notebook; never in the way."""

import builtins
import re

import nbformat
import pytest
from tiny import TINY_COURSE

from mechinterp_course import predict, quiz, reveal
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, events, progress, question_view

pytestmark = pytest.mark.usefixtures("tiny_course")

PREDICTION = """\
You add 100 to every score. What does softmax return?
  a) the same probabilities
  b) probabilities near 1
  c) nan & <nothing> else
How sure are you: 50, 70 or 90 %?
To answer in code, with your letter for the ?: predict("softmax-shift", "?", sure=70)
"""
SAVED = 'Saved: b) probabilities near 1, 70 % sure. You can change it until you run reveal("softmax-shift").\n'
REVEALED = """\
You predicted b) probabilities near 1, 70 % sure. The answer is a.
  b) probabilities near 1 (yours): A reasonable guess: every score grew, but so did the sum.
✓ a) the same probabilities: Right: the factor exp(100) stands above and below the line.
  c) nan & <nothing> else: That happens with the naive formula, when a score passes 88.
"""


def said(capsys) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    return out


# --- in code ---


def test_without_a_kernel_a_prediction_is_text_that_says_how_to_answer(capsys):
    assert predict("softmax-shift") is None
    assert said(capsys) == PREDICTION


def test_predict_save_and_reveal(capsys):
    predict("softmax-shift", "b", sure=70)
    assert said(capsys) == SAVED
    assert reveal("softmax-shift") is None
    assert said(capsys) == REVEALED


def test_a_prediction_can_be_changed_until_the_reveal(capsys):
    predict("softmax-shift", "c", sure=90)
    predict("softmax-shift", "a", sure=50)
    said(capsys)
    reveal("softmax-shift")
    assert said(capsys).startswith("You predicted a) the same probabilities, 50 % sure. That is right.\n✓ a) the same")
    predict("softmax-shift", "b", sure=90)
    assert said(capsys) == (
        "The answer to this one is out, so the prediction stays as it was. "
        "You predicted a) the same probabilities, 50 % sure.\n"
    )
    reveal("softmax-shift")
    assert said(capsys).startswith("You predicted a) the same probabilities, 50 % sure. That is right.")


def test_an_earlier_answer_is_remembered_in_another_session(workspace, monkeypatch, capsys):
    predict("softmax-shift", "b", sure=70)
    monkeypatch.setattr(events, "_session", [])
    said(capsys)
    predict("softmax-shift")
    assert SAVED in said(capsys)
    (event,) = progress.load()
    assert event.data == {"question": "softmax-shift", "choice": "probabilities near 1", "sure": 70}


def test_a_reveal_without_a_prediction_is_kind_and_explains_all(workspace, capsys):
    reveal("softmax-shift")
    text = said(capsys)
    assert text.startswith(
        "You made no prediction this time, and that is fine: a guess before the next one will teach you more."
    )
    assert text.count("\n") == 4 and "The answer is a." in text
    predict("softmax-shift")
    assert said(capsys) == "The answer to this one is out, so the prediction stays as it was. You made none.\n"
    assert [e.kind for e in progress.load()] == ["reveal"]


def test_a_reveal_is_recorded_once_with_the_prediction_that_stood(workspace):
    predict("softmax-shift", "b", sure=70)
    reveal("softmax-shift"), reveal("softmax-shift")
    first, second = progress.load()
    assert (first.kind, second.kind) == ("predict", "reveal")
    assert second.data == first.data


@pytest.mark.parametrize(
    "choice, sure, sentence",
    [
        ("z", 70, "Choose one of a, b, c.\n"),
        ("", 70, "Choose one of a, b, c.\n"),
        ("b", None, "How sure are you? Choose 50, 70 or 90 %.\n"),
        ("b", 99, "How sure are you? Choose 50, 70 or 90 %.\n"),
        ("B)", 70, SAVED),
        (" b ", 70, SAVED),
    ],
)
def test_answers_in_code_are_read_kindly(capsys, choice, sure, sentence):
    predict("softmax-shift", choice, sure)
    assert said(capsys) == sentence


def test_a_quiz_question_explains_every_choice_once_answered(workspace, capsys):
    assert quiz("row-axis") is None
    assert said(capsys).endswith(
        '  a) query\n  b) key\nTo answer in code, with your letter for the ?: quiz("row-axis", "?")\n'
    )
    quiz("row-axis", "a")
    assert said(capsys) == (
        "Not this one. The answer is b.\n"
        "  a) query (yours): Then each key would share out its attention.\n"
        "✓ b) key: Right: each query shares out its attention over the keys.\n"
    )
    quiz("row-axis", "b")
    assert said(capsys).startswith("Right.\n✓ b) key (yours): Right:")
    quiz("row-axis")
    assert "Your answer: b. Right.\n" in said(capsys)
    quiz("row-axis", "q")
    assert said(capsys) == "Choose one of a, b.\n"
    assert [e.data["choice"] for e in progress.load()] == ["query", "key"]


@pytest.mark.parametrize(
    "tool, name, sentence, remedy",
    [
        (predict, "softmax-shfit", "There is no prediction 'softmax-shfit'.", "Did you mean softmax-shift?"),
        (
            reveal,
            "row-axis",
            "There is no prediction 'row-axis'.",
            "There are: softmax-shift, sure-loss, uniform-loss.",
        ),
        (quiz, "row-axes", "There is no quiz question 'row-axes'.", "Did you mean row-axis?"),
    ],
)
def test_a_name_that_does_not_exist(tool, name, sentence, remedy):
    with pytest.raises(CourseError) as error:
        tool(name)
    assert (error.value.sentence, error.value.remedy) == (sentence, remedy)


# --- how it looks ---


@pytest.mark.parametrize(
    "markdown, html, plain",
    [
        ("a *b* **c** `d`", "a <em>b</em> <strong>c</strong> <code>d</code>", "a b c d"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;", "<script>alert(1)</script>"),
        ('x < y & "z"', "x &lt; y &amp; &quot;z&quot;", 'x < y & "z"'),
        ("`<b>`", "<code>&lt;b&gt;</code>", "<b>"),
        ("the [[term:residual stream|stream]]", "the stream", "the stream"),
        ("see [[lesson:02]]", "see 02", "see 02"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("two\nlines", "two\nlines", "two lines"),
    ],
)
def test_markdown_becomes_html_and_plain_text(markdown, html, plain):
    assert question_view.as_html(markdown) == html
    assert question_view.as_plain(markdown) == plain


def test_html_of_a_question_escapes_its_choices_and_says_how_to_answer():
    html = question_view.question_html(catalog.course().question("softmax-shift"), note="a <note>")
    assert "<code>nan</code> &amp; &lt;nothing&gt; else" in html and "a &lt;note&gt;" in html
    assert "<code>predict(&quot;softmax-shift&quot;, &quot;?&quot;, sure=70)</code>" in html


def test_html_of_an_explanation_puts_yours_first_and_then_the_right_one():
    question = catalog.course().question("softmax-shift")
    html = question_view.explanation_html(question, "You predicted c.", 2)
    assert re.findall(r"([abc])\) ", html) == ["c", "a", "b"]
    assert html.count("(yours)") == 1 and "✓ a) the same" in html


def test_colours_come_from_the_theme():
    css = (catalog.PACKAGE / "tutor" / "question.css").read_text()
    colours = re.findall(r"#[0-9a-f]{3,6}\b", css)
    assert len(colours) == len(re.findall(r"var\(--jp-[\w-]+, #[0-9a-f]{3,6}\)", css)) > 0
    assert "focus-visible" in css


# --- the form ---


def click(widget, **chosen):
    """What the form sends on a click."""
    widget._handle_custom_msg({"choice": None, "sure": None, **chosen}, [])


def form(monkeypatch, tool, name):
    """Run a cell as if in a kernel, and return the form that it shows and the text beside it."""
    shown = []
    monkeypatch.setattr(question_view, "in_kernel", lambda: True)
    monkeypatch.setattr(question_view, "show", lambda text, html=None, widget=None: shown.append((widget, text)))
    tool(name)
    return shown[-1]


def test_the_form_of_a_prediction(monkeypatch):
    widget, text = form(monkeypatch, predict, "softmax-shift")
    assert text + "\n" == PREDICTION
    assert widget.question == "You add <em>100</em> to every score. What does <code>softmax</code> return?"
    assert widget.choices[2] == "c) <code>nan</code> &amp; &lt;nothing&gt; else"
    assert (widget.percents, widget.button, widget.choice, widget.sure) == ([50, 70, 90], "Save", None, None)
    click(widget)
    assert widget.result == '<p role="status">Choose one of a, b, c.</p>'
    click(widget, choice=1)
    assert widget.result == '<p role="status">How sure are you? Choose 50, 70 or 90 %.</p>'
    assert progress.load() == []
    click(widget, choice=1, sure=70)
    assert widget.result.startswith('<p role="status">Saved: b) probabilities near 1, 70 % sure.')
    assert [e.data["sure"] for e in progress.load()] == [70]


def test_the_kernel_says_that_it_has_answered_even_when_the_answer_is_the_same(monkeypatch):
    widget, _ = form(monkeypatch, predict, "softmax-shift")
    sent = []
    monkeypatch.setattr(type(widget), "send", lambda self, message, buffers=None: sent.append(message))
    click(widget, choice=1, sure=70)
    click(widget, choice=1, sure=70)
    assert sent == [{"answered": True}] * 2


def test_the_form_remembers_and_closes_with_the_reveal(monkeypatch):
    predict("softmax-shift", "b", sure=70)
    widget, text = form(monkeypatch, predict, "softmax-shift")
    assert (widget.choice, widget.sure) == (1, 70) and "Saved: b)" in widget.result and SAVED in text
    reveal("softmax-shift")
    click(widget, choice=0, sure=90)
    assert "the prediction stays as it was. You predicted b) probabilities near 1, 70 % sure." in widget.result
    assert form(monkeypatch, predict, "softmax-shift")[0] is None


def test_the_form_of_a_quiz_question(monkeypatch):
    widget, _ = form(monkeypatch, quiz, "row-axis")
    assert (widget.percents, widget.button, widget.result) == ([], "Answer", "")
    click(widget)
    assert "Choose an answer first." in widget.result
    click(widget, choice=0)
    assert "Not this one. The answer is b." in widget.result and "Then each key" in widget.result
    again, _ = form(monkeypatch, quiz, "row-axis")
    assert again.choice == 0 and "Not this one." in again.result


@pytest.mark.parametrize(
    "message", [{}, {"choice": 99, "sure": 70}, {"choice": -1, "sure": 70}, {"choice": "x"}, "text"]
)
def test_a_form_survives_any_message(monkeypatch, message):
    widget, _ = form(monkeypatch, predict, "softmax-shift")
    widget._handle_custom_msg(message, [])
    assert "Choose one of a, b, c." in widget.result
    assert progress.load() == []


def test_without_a_widget_library_the_text_is_shown(monkeypatch):
    real = builtins.__import__
    question_view._widget_class.cache_clear()

    def without_widgets(name, *others):
        if name in ("anywidget", "ipywidgets"):
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without_widgets)
    widget, text = form(monkeypatch, predict, "softmax-shift")
    assert widget is None and text + "\n" == PREDICTION


@pytest.mark.kernel
def test_in_a_kernel_nothing_blocks_nothing_is_returned_and_nothing_goes_to_stderr(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("MECHINTERP_CONTENT", str(TINY_COURSE))
    monkeypatch.setenv("MECHINTERP_WORKSPACE", "")
    sources = [
        "from mechinterp_course import predict, quiz, reveal, hint, home",
        'predict("softmax-shift")',
        'quiz("row-axis")',
        'reveal("softmax-shift")',
        'hint("double")',
        "home()",
        "import sys\nsys.modules['anywidget'] = None\nfrom mechinterp_course.tutor import question_view\n"
        "question_view._widget_class.cache_clear()",
        'predict("uniform-loss")',
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert [o.name for cell in outputs for o in cell if o.output_type == "stream"] == ["stdout"]  # the hint
    assert all(o.output_type in ("display_data", "stream") for cell in outputs for o in cell)
    for at in (1, 2):
        assert "application/vnd.jupyter.widget-view+json" in outputs[at][0].data
        assert "To answer in code" in outputs[at][0].data["text/plain"]
    assert "The answer is a." in outputs[3][0].data["text/html"]
    assert "First steps" in outputs[5][0].data["text/html"] and "First steps" in outputs[5][0].data["text/plain"]
    assert set(outputs[7][0].data) == {"text/html", "text/plain"}
