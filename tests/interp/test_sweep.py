"""A sweep's names, its strongest places, its parts and its picture."""

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp.metrics import Scale
from mechinterp_course.interp.sweep import Axis, Sweep

LAYERS, HEADS, TOKENS = Axis("layer", ["0", "1"]), Axis("head", ["0", "1", "2"]), Axis("pos", ["0 BOS", "1 ␣John"])


def sweep(direction="denoising", axes=(LAYERS, HEADS, TOKENS)):
    """Values 0, 0.1, 0.2, ... for the mean of two prompts, on a scale from 10 to 20."""
    shape = [len(axis.labels) for axis in axes]
    values = torch.arange(float(torch.tensor(shape).prod())).reshape(*shape, 1).double()
    return Sweep("z", direction, "logit difference", list(axes), 10 + values + torch.tensor([-1.0, 1.0]), Scale(20, 10))


def test_values_are_the_mean_over_prompts_on_the_scale():
    found = sweep()
    assert found.axis_names == ["layer", "head", "pos"] and found.finished
    assert found.values[1, 2, 1].item() == pytest.approx(1.1)
    assert found.values[0, 0, 0].item() == 0


def test_top_is_what_changes_the_run_most_in_its_direction():
    assert sweep().top(1) == [(("1", "2", "1 ␣John"), pytest.approx(1.1))]
    assert sweep("noising").top(1) == [(("0", "0", "0 BOS"), pytest.approx(0.0))]
    assert len(sweep().top(100)) == 12


def test_a_part_is_chosen_by_label_or_number():
    part = sweep().select(layer=1, pos="1 ␣John")
    assert part.axis_names == ["head"]
    assert part.values.tolist() == pytest.approx([0.7, 0.9, 1.1])
    for wrong, said in (
        ({"layers": 1}, "Did you mean layer"),
        ({"pos": "John"}, "1 ␣John"),
        ({"head": 3}, "no head 3"),
    ):
        with pytest.raises(CourseError, match=said):
            sweep().select(**wrong)


@pytest.mark.parametrize(("direction", "white"), [("denoising", 0), ("noising", 1)])
def test_the_picture_names_its_axes_and_is_white_where_nothing_changed(direction, white):
    figure = sweep(direction).plot()
    cells = figure.data[0]
    assert list(cells.y) == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"] and list(cells.x) == TOKENS.labels
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == ("layer.head", "pos")
    assert (cells.zmin + cells.zmax) / 2 == pytest.approx(white)
    assert "layer" in figure.layout.meta["alt"] and direction.capitalize() in figure.layout.title.text


def test_one_axis_is_drawn_as_bars_and_none_is_refused():
    assert sweep(axes=[HEADS]).plot(title="Heads", alt="Three bars.").data[0].type == "bar"
    with pytest.raises(CourseError, match="no axis to draw"):
        sweep(axes=[HEADS]).select(head=0).plot()


def test_missing_values_are_told_and_left_out():
    found = sweep(axes=[LAYERS, HEADS])
    found.per_prompt[1] = torch.nan
    assert not found.finished and len(found.top(6)) == 3
    assert "3 values are missing" in found.describe() and "3 values are missing" in repr(found)
    assert found.plot().data[0].z.shape == (2, 3)
