"""The explorer without a browser: searching and sorting, what the kernel answers, and the version without a script."""

import json
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from planted_features import DEAD, UNEXPLAINED, planted_table

from mechinterp_course import explore
from mechinterp_course.errors import CourseError
from mechinterp_course.interp.feature_table import FeatureTable
from mechinterp_course.tutor import explorer, explorer_static, question_view
from mechinterp_course.tutor.explorer_pages import ORDERS, Index, number, percent


@pytest.fixture(scope="module")
def index():
    return Index(planted_table())


# --- searching and sorting --------------------------------------------------------------------------------------------


def test_every_order_sorts_and_turns_round(index):
    table = index.table
    keys = {"score": table.f1, "frequency": table.count, "activation": table.most, "number": np.arange(60)}
    keys["effect"] = np.abs(table.effect).max(1)
    assert set(keys) == set(ORDERS)
    for order, key in keys.items():
        falling, _ = index.find(order=order, falling=True)
        rising, _ = index.find(order=order, falling=False)
        assert (np.diff(key[falling]) <= 0).all() and (np.diff(key[rising]) >= 0).all()
        assert sorted(falling) == sorted(rising) == list(range(60))


def test_a_number_is_found_first_and_tokens_and_rules_after_it(index):
    found, _ = index.find("7")
    assert found.tolist() == [7]
    assert index.find("#7")[0].tolist() == [7]
    found, why = index.find("SELF")
    strong = {i for i in found.tolist() if why[i] == "strong on it"}
    assert strong == {i for i in range(60) if i % 10 in (0, 1) and i != DEAD}
    by_rule, _ = index.find("docstring", order="number", falling=False)
    assert by_rule.tolist() == [i for i in range(60) if i % 3 == 0]
    assert all(i in found.tolist() for i in range(1, 57, 3))  # the rule "the token self"


def test_a_token_is_also_found_as_it_is_shown(index):
    found, why = index.find("↵")
    assert {i for i in found.tolist() if why[i] == "strong on it"} == {i for i in range(60) if i % 10 == 2}


def test_a_row_says_what_is_true_of_the_feature(index):
    (row,) = index.rows([1])
    assert (row["peaks"], row["rule"], row["explained"], row["density"]) == (
        ["␣self"],
        "the token self",
        True,
        "49.2 %",
    )
    weak, dead = index.rows([UNEXPLAINED, DEAD])
    assert explorer_static.rule_line(weak) == "no rule; nearest: the token self"
    assert explorer_static.rule_line(dead) == "never active here" and dead["f1"] is None


def test_numbers_are_short_and_have_a_true_minus():
    assert [number(x) for x in (0, 0.1234, 3.456, 34.56, 345.6, -2.5, 0.00001234)] == [
        *("0", "0.12", "3.5", "34.6", "346", "−2.5", "0.000012")
    ]
    assert percent(0.00034) == "0.034 %"


# --- what the kernel answers --------------------------------------------------------------------------------------------


def test_the_kernel_answers_a_list_piece_by_piece(index):
    asked = {"ask": "list", "query": "", "order": "number", "falling": False, "turn": 3}
    first = explorer.answer(index, {**asked, "from": 0})
    rest = explorer.answer(index, {**asked, "from": explorer.ROWS})
    assert (first["turn"], first["total"], rest["from"]) == (3, 60, explorer.ROWS)
    assert [row["id"] for row in first["rows"] + rest["rows"]] == list(range(60))


def test_the_kernel_answers_a_page_that_is_plain_data(index):
    page = explorer.answer(index, {"ask": "page", "feature": 4, "turn": 1})["page"]
    assert page["id"] == 4 and json.loads(json.dumps(page)) == page
    assert len(page["contexts"][0]["tokens"]) == len(page["contexts"][0]["steps"])
    assert page["label"]["neuron"] == 0.5 and 0 < page["label"]["cut"] < 1
    dead = explorer.answer(index, {"ask": "page", "feature": DEAD})["page"]
    assert dead["label"] is None and dead["contexts"] == []


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "list",
        {},
        {"ask": "page"},
        {"ask": "page", "feature": 60},
        {"ask": "page", "feature": True},
        {"ask": "page", "feature": "4"},
        {"ask": "list", "order": "beauty"},
        {"ask": "list", "order": "score", "from": "x"},
        {"ask": "list", "order": ["score"]},
    ],
)
def test_nonsense_is_answered_with_a_sentence(index, nonsense):
    answered = explorer.answer(index, nonsense)
    assert answered["error"].endswith((".", "?")) and "rows" not in answered and "page" not in answered


# --- without a script ---------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_static_version_is_whole_html_and_shows_every_feature_asked_for(index):
    html = explorer_static.html(index, [6, 4, UNEXPLAINED, DEAD])
    tags = Tags(html)
    assert not tags.open and {tag for tag, _ in tags.seen} <= {"div", "p", "strong", "span", "br", "details", "summary"}
    details = [attributes for tag, attributes in tags.seen if tag == "details"]
    assert len(details) == 4 and ["open" in a for a in details] == [True, False, False, False]
    assert "<b>" not in html and "&lt;b&gt;" in html  # feature 6 is strongest on the token <b>
    for said in (
        "60 features on 240 tokens of 2 files",
        "so are 1 of 2 neurons and 0 of 2 random directions",
        "lower third",
        "best neuron 0.60",
        "never active here",
    ):
        assert said in tags.text
    lit = [a["title"] for tag, a in tags.seen if tag == "span" and "title" in a]
    assert len(lit) > 10 and float(lit[0]) == pytest.approx(float(index.table.most[6]), rel=0.01)


def test_outside_of_a_notebook_it_is_text(capsys):
    explore(planted_table(), search="docstring")
    said = capsys.readouterr().out
    assert "Features of planted" in said and "part of a docstring, F1 0.99" in said


def test_a_saved_table_is_explored_by_its_file(tmp_path, capsys):
    file = planted_table("mine").save(tmp_path / "mine.npz")
    explore(file)
    explore(str(file))
    assert capsys.readouterr().out.count("Features of mine") == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: explore("nobody"), "There is no table of features for the SAE 'nobody'"),
        (lambda: explore(3), "The explorer shows a table of features, and this is of the type int"),
        (lambda: explore(planted_table(), 99), "planted has no feature 99. Give a number from 0 to 59."),
        (lambda: explore(planted_table(), order="beauty"), "There is no order 'beauty'"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(call, said):
    with pytest.raises(CourseError, match=said):
        call()


def test_in_a_notebook_it_is_a_widget_with_html_and_text_beside_it(monkeypatch):
    shown = []
    monkeypatch.setattr(explorer, "in_kernel", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    explore(planted_table(), 4, order="frequency")
    (bundle,) = shown
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/html"].count("<details") == explorer.KEPT
    assert len(json.dumps(bundle)) < 120_000


def test_a_cell_that_runs_again_closes_what_it_showed(monkeypatch):
    class Shell:
        parent_header = {}

        def runs(self, cell, run):
            self.parent_header = {"metadata": {"cellId": cell}, "header": {"msg_id": run}}

    class Widget:
        closed = False

        def close(self):
            self.closed = True

    shell, widgets = Shell(), [Widget() for _ in range(5)]
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr(explorer, "_open", {})
    for (cell, run), widget in zip(["a1", "a1", "b2", "a3", "b4"], widgets, strict=True):
        shell.runs(cell, run)
        explorer._close_earlier(widget)
    assert [widget.closed for widget in widgets] == [True, True, True, False, False]


def test_the_widget_holds_the_first_rows_and_pages_only(index):
    found, why = index.find()
    widget = explorer._widget(index, found, why, [5, *found[:2].tolist()], "", "score")
    assert len(widget.rows) == explorer.ROWS and [page["id"] for page in widget.pages] == [5, 0, 1]
    assert widget.total == 60 and widget.about["name"] == "planted"
    assert "innerHTML" not in widget._esm  # a token is text, whatever it looks like


def test_reading_and_showing_a_table_loads_no_torch(tmp_path):
    file = planted_table().save(tmp_path / "t.npz")
    code = (
        f"import sys; from mechinterp_course import explore; explore({str(file)!r}); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "Features of planted" in done.stdout and question_view.in_kernel() is False


def test_a_table_read_back_shows_the_same(tmp_path, index):
    again = Index(FeatureTable.load(index.table.save(tmp_path / "t.npz")))
    assert again.page(17) == index.page(17) and again.find("self")[0].tolist() == index.find("self")[0].tolist()


@pytest.mark.parametrize(
    ("page", "ink"),
    [((255, 255, 255), (34, 40, 50)), ((20, 24, 30), (206, 214, 221)), ((41, 49, 61), (206, 214, 221)), ((17, 17, 17), (224, 224, 224))],
    ids=["site, light", "site, dark", "a box of the site, dark", "JupyterLab, dark"],
)  # fmt: skip
def test_the_strongest_token_can_be_read_on_its_ground(page, ink):
    """WCAG 2: at least 4.5 to 1 between the letters and what is behind them."""

    def luminance(colour):
        parts = [v / 12.92 if (v := part / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for part in colour]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)) + 0.05

    ground = [
        explorer_static.GLOW * o + (1 - explorer_static.GLOW) * p for o, p in zip((255, 140, 0), page, strict=True)
    ]
    light, dark = sorted((luminance(ground), luminance(ink)), reverse=True)
    assert light / dark >= 4.5
