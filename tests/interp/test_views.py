"""Views are tested by their HTML: what stands in it with scripts, without scripts, and for a screen reader."""

import base64
import gzip
import json
import re
import sys
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import interactive, plots, views

SAID = dict(title="A <title>", alt="What the picture shows & why.")
WORDS = ["<|endoftext|>", "def", " x", "\n"]
HEADS = torch.tensor([[[1.0, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.125, 0.875]]] * 3)


def heads(**more) -> views.View:
    return views.attention_heads(HEADS, WORDS, **SAID, **more)


def picture(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", html)[1]))


class Shell:
    """Stands in for IPython where a front end says which cell runs."""

    def __init__(self):
        self.parent_header = {}

    def runs(self, cell: str | None, message: str) -> None:
        metadata = {} if cell is None else {"cellId": cell}
        self.parent_header = {"header": {"msg_id": message}, "metadata": metadata}


@pytest.fixture
def shell(monkeypatch):
    shell = Shell()
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(lambda: shell)}))
    return shell


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_show_each_token_with_its_value_and_can_be_read_without_colour():
    view = views.tokens(torch.tensor([torch.nan, 0.5, 2.0, 4.0]), WORDS, zlabel="loss in nats", **SAID)
    assert "loss in nats: " in view.html
    assert [unescape(t) for t in re.findall(r'<span title="([^"]*)"', view.html)] == [
        "0 BOS: no value", "1 def: 0.50", "2 ␣x: 2.00", "3 ↵: 4.00",
    ]  # fmt: skip
    assert '<th scope="row"' in view.html and ">4.00</td>" in view.html
    assert "A &lt;title&gt;" in view.html and "shows &amp; why." in view.html
    assert "<script" not in view.html and "<style" not in view.html and "class=" not in view.html
    assert view._repr_mimebundle_()["text/plain"] == "A <title>. What the picture shows & why."


def contrast(style: str) -> float:
    """The contrast of ink and ground by the formula of WCAG 2."""
    lights = []
    for colour in re.findall(r"#([0-9a-f]{6})", style):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("scale", [views.RISING, views.AROUND])
def test_ink_can_be_read_on_every_ground(scale):
    assert min(contrast(views._shade(value, 0, 1, scale)) for value in np.linspace(0, 1, 101)) >= 4.5


def test_limits_make_two_pictures_comparable_and_zmid_is_in_the_middle():
    def style(view, token):
        return re.search(rf'title="\d+ {token}: [^"]*" style="([^;]*)', view.html)[1]

    a = views.tokens([0, 1], ["a", "b"], limits=(0, 4), **SAID)
    b = views.tokens([1, 4], ["a", "b"], limits=(0, 4), **SAID)
    assert style(a, "b") == style(b, "a") != style(b, "b")
    around = views.tokens([-1, 0, 3], list("abc"), zmid=0, **SAID)
    assert style(around, "b") == "background-color:#f7f7f7"
    assert ">−3.00</span>" in around.html and ">3.00</span>" in around.html


@pytest.mark.parametrize("values", [[], [2.0], [np.nan], [-0.0]])
def test_few_or_equal_or_no_values_can_be_shown(values):
    assert "<figcaption>" in views.tokens(values, ["a"] * len(values), **SAID).html


@pytest.mark.parametrize("values", [[1.0], [[1.0, 2.0]]])
def test_values_must_fit_the_tokens(values):
    with pytest.raises(CourseError, match="there are 2 tokens"):
        views.tokens(values, ["a", "b"], **SAID)


@pytest.mark.parametrize("empty", ["title", "alt"])
def test_an_empty_text_is_refused(empty):
    for draw, values in ((views.tokens, [1.0]), (views.attention_heads, torch.ones(1, 1, 1))):
        with pytest.raises(CourseError, match=rf"A view needs .*{empty}"):
            draw(values, ["a"], **{**SAID, empty: " "})


# --- attention heads ------------------------------------------------------------------------------------------------


def test_the_heads_hold_circuitsvis_script_from_the_package_and_no_import_from_the_network():
    html = heads().html
    library = gzip.decompress(base64.b64decode(re.search(r'packed = "([^"]+)"', html)[1])).decode()
    assert library.startswith('"use strict";var CircuitsVis=') and "sourceMappingURL" not in library
    assert "unpkg" not in html and "https://" not in html and len(html) < 600_000


def test_circuitsvis_own_python_code_never_runs():
    """Its display asks google.com: the test session's network guard would raise, and nothing here imports it."""
    heads()._repr_mimebundle_()
    assert "circuitsvis.utils.render" not in sys.modules


def test_circuitsvis_gets_the_patterns_the_tokens_and_the_names():
    data = json.loads(unescape(re.search(r'data-mechinterp-heads="([^"]*)"', heads(names=["a", "b", "c"]).html)[1]))
    np.testing.assert_allclose(data["attention"], HEADS, atol=5e-4)
    assert data["tokens"] == ["BOS", "def", "␣x", "↵"]
    assert data["attentionHeadNames"] == ["a", "b", "c"] and data["maskUpperTri"] is True
    assert data["label"] == "A <title>. What the picture shows & why."


def test_without_a_script_there_is_a_picture_with_its_text():
    html = heads()._html(carried=False)
    assert 'alt="A &lt;title&gt;. What the picture shows &amp; why."' in html
    assert "head 0: 3 ↵ looks at 3 ↵ (0.88)" in html
    written = [text.text for text in picture(html).iter("{http://www.w3.org/2000/svg}text")]
    assert {"head 0", "head 1", "head 2", "query: who looks", "key: where it looks", "1 def", "3 ↵"} <= set(written)


def test_the_picture_draws_each_weight_in_its_colour():
    paths = picture(heads().html).findall(".//{http://www.w3.org/2000/svg}g")[0]
    drawn = {}
    for path in paths:
        for key, query, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.get("d")):
            for k in range(int(key), int(key) + int(length)):
                drawn[int(query), k] = path.get("stroke")
    assert sorted(drawn) == [(q, k) for q in range(4) for k in range(q + 1)]  # later keys stay empty
    assert drawn[1, 1] == views.heads_picture.__globals__["SHADES"][30]  # 0.75 of 40 steps
    assert drawn[2, 1] == drawn[2, 2] != drawn[2, 0]


def test_only_the_first_cell_of_a_notebook_carries_the_script(shell):
    carrier = interactive.Carrier()
    seen = []
    for cell, message in [("a", "1"), ("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")]:
        shell.runs(cell, message)
        seen.append(carrier.must_carry())
    assert seen == [True, False, False, True, False]  # the first cell carries it again when it runs again


def test_where_nobody_says_which_cell_runs_every_figure_carries_the_script(shell):
    shell.runs(None, "1")
    carrier = interactive.Carrier()
    assert carrier.must_carry() and carrier.must_carry()


def test_heads_that_do_not_fit_are_refused():
    for wrong in (HEADS[None], HEADS[0], HEADS[:0], HEADS[:, :2]):
        with pytest.raises(CourseError, match="head, query, key"):
            views.attention_heads(wrong, WORDS, **SAID)
    with pytest.raises(CourseError, match="3 tokens for 4 places"):
        views.attention_heads(HEADS, WORDS[:3], **SAID)
    with pytest.raises(CourseError, match="1 names for 3 places"):
        heads(names=["one"])


# --- plotly figures -------------------------------------------------------------------------------------------------


def test_a_plotly_figure_is_followed_by_its_text_for_screen_readers(shell, monkeypatch):
    said, shown = [], []
    shell.kernel = True
    shell.display_pub = type("Publisher", (), {"publish": staticmethod(said.append)})
    monkeypatch.setattr("mechinterp_course.interp.figure.pio.show", lambda figure, **how: shown.append(how["config"]))
    figure = plots.lines([1.0, 2.0], xlabel="x", ylabel="y", **SAID)
    figure.show()
    assert "Figure: A &lt;title&gt;. What the picture shows &amp; why." in said[0]["text/html"]
    assert shown == [{"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}]
