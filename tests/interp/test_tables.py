"""A table is tested by its cells: what stands where, and what is said about it."""

from typing import NamedTuple

import pytest

from mechinterp_course.errors import CourseError
from mechinterp_course.interp.cache import hook_table
from mechinterp_course.interp.tables import table

SAID = dict(title="Fruit", alt="Two fruits and their colours.")


class Fruit(NamedTuple):
    name: str
    colour: str | None


def test_rows_stand_under_their_columns_and_none_is_empty():
    figure = table([Fruit("apple", "red"), Fruit("quince", None)], **SAID)
    assert list(figure.data[0].header["values"]) == ["<b>name</b>", "<b>colour</b>"]
    assert [list(column) for column in figure.data[0].cells["values"]] == [["apple", "quince"], ["red", ""]]
    assert figure.layout.title.text == "Fruit"
    assert figure.layout.title.subtitle.text == figure.layout.meta["alt"] == SAID["alt"]


def test_plain_tuples_need_names_and_numbers_are_written():
    figure = table([(1, (2, 3))], ["a", "b"], **SAID)
    assert [list(column) for column in figure.data[0].cells["values"]] == [["1"], ["(2, 3)"]]


def test_text_is_not_read_as_markup():
    assert table([("<b>&",)], ["x"], **SAID).data[0].cells["values"][0][0] == "&lt;b&gt;&amp;"


def test_a_long_cell_makes_the_figure_higher_not_wider():
    short, long, longer = (table([("a", "word " * n)], ["x", "y"], **SAID) for n in (30, 100, 200))
    assert longer.layout.height > long.layout.height > short.layout.height
    assert longer.layout.width == long.layout.width
    assert sum(long.data[0].columnwidth) <= long.layout.width


def test_a_small_table_is_no_wider_than_it_must_be_and_its_caption_wraps():
    small, large = (table([("a", "word " * n)], ["x", "y"], title="T", alt="Some words. " * 9) for n in (1, 30))
    assert small.layout.width < large.layout.width
    lines = small.layout.title.subtitle.text.split("<br>")
    assert len(lines) > 1 and small.layout.margin.t > large.layout.margin.t


@pytest.mark.parametrize("rows, columns", [([(1, 2)], ["a"]), ([(1,)], None), ([], None), ([(1, 2), (1,)], ["a", "b"])])
def test_rows_that_do_not_fit_are_refused(rows, columns):
    with pytest.raises(CourseError, match="do not fit the columns"):
        table(rows, columns, **SAID)


@pytest.mark.parametrize("empty", ["title", "alt"])
def test_an_empty_text_is_refused(empty):
    with pytest.raises(CourseError, match="needs a title and alt"):
        table([Fruit("fig", "green")], **{**SAID, empty: " "})


def test_the_hook_table_can_be_drawn(tiny):
    rows = hook_table(tiny, "x = 1")
    figure = table(rows, title="Hooks", alt="The named hooks of layer 0.")
    assert list(figure.data[0].cells["values"][0]) == [row.name for row in rows]
