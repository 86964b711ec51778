"""Figures are tested by their data: what is drawn, where, and what is said about it."""

import json

import numpy as np
import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import plots

SAID = dict(title="A title", alt="What the picture shows.")
AXES = dict(xlabel="key", ylabel="query")


VECTORS = [[1.0, 0.0], [0.5, -2.0]]
EACH_FIGURE = [
    pytest.param(plots.heatmap(torch.eye(3), **SAID, **AXES), id="heatmap"),
    pytest.param(plots.lines({"loss": [3.0, 2.0]}, **SAID, **AXES), id="lines"),
    pytest.param(plots.bars([0.2, 0.8], ["a", "b"], ylabel="probability", **SAID), id="bars"),
    pytest.param(plots.scatter(VECTORS, **SAID, **AXES), id="scatter"),
    pytest.param(plots.arrows(VECTORS, ["cat", "dog"], **SAID), id="arrows"),
    pytest.param(plots.attention(torch.eye(2), ["a", "b"], **SAID), id="attention"),
]


@pytest.mark.parametrize("figure", EACH_FIGURE)
def test_every_figure_says_what_it_shows(figure):
    assert figure.layout.meta["alt"] == SAID["alt"]
    assert figure.layout.title.text == SAID["title"]
    assert figure.layout.title.subtitle.text == SAID["alt"]
    assert any(axis.title.text for axis in figure.select_yaxes())


@pytest.mark.parametrize("figure", EACH_FIGURE)
def test_every_figure_is_transparent_and_can_be_sent_to_a_page(figure):
    assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
    sent = json.loads(figure.to_json())
    assert sent["data"] and sent["layout"]["meta"]["alt"] == SAID["alt"]


@pytest.mark.parametrize("empty", ["title", "alt", "xlabel", "ylabel"])
def test_an_empty_text_is_refused_by_name(empty):
    with pytest.raises(CourseError, match=f"needs {empty}"):
        plots.heatmap(torch.eye(2), **{**SAID, **AXES, empty: " "})


def test_heatmap_draws_row_0_at_the_top_with_its_values():
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    figure = plots.heatmap(values, **SAID, **AXES)
    np.testing.assert_array_equal(figure.data[0].z, values.numpy())
    assert figure.layout.yaxis.autorange == "reversed"
    assert list(figure.data[0].x) == ["0", "1", "2"]


def test_heatmap_around_a_middle_is_symmetric():
    cells = plots.heatmap([[-1.0, 3.0]], zmid=0, **SAID, **AXES).data[0]
    assert (cells.zmin, cells.zmax) == (-3, 3)


def test_a_masked_cell_is_empty_and_its_value_is_written():
    cells = plots.heatmap([[0.5, -torch.inf], [-2.0, 7.0]], text=True, **SAID, **AXES).data[0]
    assert np.isnan(cells.z[0, 1])
    assert [list(row) for row in cells.text] == [["0.50", "−∞"], ["−2", "7"]]


def test_a_heatmap_of_anything_but_a_matrix_is_refused():
    with pytest.raises(CourseError, match=r"shape \(2, 2, 2\)"):
        plots.heatmap(torch.zeros(2, 2, 2), **SAID, **AXES)


def test_many_labels_are_thinned_and_few_are_all_shown():
    many = plots.heatmap(np.zeros((100, 100)), **SAID, **AXES)
    few = plots.heatmap(np.zeros((8, 8)), **SAID, **AXES)
    assert 10 < len(many.layout.xaxis.tickvals) < 60
    assert len(few.layout.xaxis.tickvals) == 8


def test_lines_differ_in_colour_and_in_dash():
    figure = plots.lines({"a": torch.tensor([1.0, 2.0]), "b": [2.0, 1.0]}, **SAID, **AXES)
    a, b = figure.data
    assert a.line.color != b.line.color and a.line.dash != b.line.dash
    assert (a.name, b.name) == ("a", "b")
    np.testing.assert_array_equal(a.y, [1, 2])
    assert figure.layout.showlegend


def test_lines_take_an_array_and_an_x():
    figure = plots.lines(np.array([1.0, 4.0, 9.0]), x=torch.tensor([1, 2, 3]), **SAID, **AXES)
    np.testing.assert_array_equal(figure.data[0].x, [1, 2, 3])
    assert not figure.layout.showlegend
    with pytest.raises(CourseError, match="x has 2 entries"):
        plots.lines([1.0, 4.0, 9.0], x=[1, 2], **SAID, **AXES)


def test_lines_take_token_labels_as_x():
    labels = plots.token_labels(["a", "a"])
    assert list(plots.lines([1.0, 2.0], x=labels, **SAID, **AXES).data[0].x) == ["0 a", "1 a"]


def test_bars_draw_each_label_once():
    figure = plots.bars(torch.tensor([0.25, 0.75]), ["yes", "<no>"], ylabel="probability", **SAID)
    assert list(figure.data[0].x) == ["yes", "&lt;no&gt;"]
    np.testing.assert_array_equal(figure.data[0].y, [0.25, 0.75])
    with pytest.raises(CourseError, match="stands twice"):
        plots.bars([1.0, 2.0], ["the", "the"], ylabel="count", **SAID)


def test_arrows_start_at_the_origin_on_equal_axes():
    figure = plots.arrows([[3.0, 0.0], [0.0, -1.0]], ["east", "south"], **SAID)
    assert list(figure.data[0].x) == [0, 3] and list(figure.data[1].y) == [0, -1]
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    with pytest.raises(CourseError, match=r"\(n, 2\)"):
        plots.arrows(torch.zeros(2, 3), ["a", "b"], **SAID)


def test_scatter_groups_points():
    figure = plots.scatter([[0, 0], [1, 1], [2, 2]], groups=["in", "out", "in"], **SAID, **AXES)
    assert [trace.name for trace in figure.data] == ["in", "out"]
    np.testing.assert_array_equal(figure.data[0].x, [0, 2])


def test_attention_numbers_repeated_tokens():
    figure = plots.attention(torch.eye(3), ["the", " cat", "the"], **SAID)
    assert list(figure.data[0].x) == ["0 the", "1 ␣cat", "2 the"]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    assert figure.layout.yaxis.autorange == "reversed"


def test_attention_draws_a_grid_of_heads():
    figure = plots.attention(torch.rand(4, 5, 5), list("abcde"), **SAID)
    assert len(figure.data) == 4
    assert [note.text for note in figure.layout.annotations] == ["head 0", "head 1", "head 2", "head 3"]
    with pytest.raises(CourseError, match="head, query, key"):
        plots.attention(torch.rand(1, 4, 5, 5), list("abcde"), **SAID)


def test_token_labels_show_white_space_and_are_unique():
    tokens = ["<|endoftext|>", "def", " x", "\n", "    ", "def"]
    assert plots.token_labels(tokens) == ["0 BOS", "1 def", "2 ␣x", "3 ↵", "4 ␣×4", "5 def"]


def test_half_precision_tensors_with_a_gradient_can_be_drawn():
    values = torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True)
    assert plots.heatmap(values, **SAID, **AXES).data[0].z.sum() == 4
