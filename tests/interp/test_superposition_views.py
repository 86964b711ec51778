"""Pictures of toy models: what stands in the figures, and the live one outside and inside a notebook."""

import sys
from types import SimpleNamespace

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import superposition_views as views
from mechinterp_course.interp.superposition import Toy

WORDS = dict(title="A title", alt="What it shows.")


def weights(instances=5, hidden=2, features=3):
    return torch.randn(instances, hidden, features, generator=torch.Generator().manual_seed(0))


def test_each_instance_has_a_panel_and_each_feature_an_arrow():
    W = weights()
    figure = views.directions(W, list("abcde"), **WORDS)
    assert len(figure.data) == 15 and [note.text for note in figure.layout.annotations] == list("abcde")
    assert figure.data[4].x == (0, W[1, 0, 1].item()) and figure.data[4].y == (0, W[1, 1, 1].item())
    assert figure.data[1].line.color == figure.data[4].line.color
    assert [trace.showlegend for trace in figure.data] == [True] * 3 + [False] * 12
    assert figure.layout.meta["alt"] == "What it shows."


def test_overlaps_are_the_matrix_of_dot_products():
    W = weights(2, 4, 3)
    figure = views.overlaps(W, **WORDS)
    torch.testing.assert_close(torch.tensor(figure.data[1].z), (W[1].T @ W[1]).double(), check_dtype=False)
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(CourseError):
        views.directions(weights(hidden=3), **WORDS)
    with pytest.raises(CourseError):
        views.overlaps(weights(), ["too", "few"], **WORDS)


def test_a_live_picture_draws_once_and_then_in_place(monkeypatch):
    shown = []
    place = SimpleNamespace(update=lambda bundle, raw: shown.append(("again", bundle)))

    def display(bundle, raw, display_id):
        shown.append(("first", bundle))
        return place

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=True)))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    drawn = SimpleNamespace(
        _repr_mimebundle_=lambda: {"text/plain": "a figure"}, say=lambda: shown.append(("said", None))
    )
    live = views.Live(lambda step, toy: drawn)
    for step in (0, 10, 20):
        live(step, Toy(weights(), torch.zeros(5, 3)))
    assert [how for how, _ in shown] == ["first", "said", "again", "again"]


def test_a_live_picture_is_silent_outside_a_notebook():
    live = views.Live(lambda step, toy: pytest.fail("drawn without a notebook"))
    live(0, Toy(weights(), torch.zeros(5, 3)))
    assert live.place is None
