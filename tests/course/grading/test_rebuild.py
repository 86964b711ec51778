"""A submission is rebuilt from the release: what was mended is told in sentences, and nothing of the release can be changed."""

import json

import pytest
from cheats import SUBMISSIONS
from corpus import UNREADABLE, answer, at, cell, own, put
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import plant

from mechinterp_course.course.build import release_notebook, source_notebook
from mechinterp_course.course.grading import release
from mechinterp_course.course.grading.rebuild import defines, rebuild
from mechinterp_course.course.notebook import text_of
from mechinterp_course.errors import CourseError


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    book = plant(tmp_path_factory.mktemp("course") / "content")
    lesson = book.lessons[0]
    return release.read(text_of(source_notebook(book, lesson, 991_199))), release_notebook(book, lesson)


@pytest.fixture
def notebook(lab):
    return json.loads(json.dumps(lab[1]))


def test_the_release_knows_points_and_seed_and_shows_no_hidden_check(lab):
    made = lab[0]
    assert [(one.exercise, one.points, one.seed) for one in made.checks] == [
        ("row_sums", 1.0, 991_199),
        ("scaled_rows", 2.0, 991_199),
    ]
    assert "991199" not in "".join(one.source + one.metadata for one in made.cells)
    assert made.modules == ["torch", "mechinterp_course"]


def test_what_is_handed_in_unchanged_needs_no_repair(lab, notebook):
    made = rebuild(lab[0], json.dumps(notebook))
    assert (made.repairs, made.flags) == ([], [])
    assert [one.id for one in made.cells] == [one["id"] for one in notebook["cells"]]


def test_own_cells_stay_where_they_stood(lab, notebook):
    put(notebook, "a = 1", before="row_sums")
    put(notebook, "b = 2", before="scaled_rows-check")
    made = rebuild(lab[0], json.dumps(notebook))
    order = [one.source if one.role == "own" else one.id for one in made.cells]
    assert order.index("a = 1") == order.index("row_sums") - 1
    assert order.index("b = 2") == order.index("scaled_rows-check") - 1


def test_of_two_answers_the_one_that_was_written_counts(lab, notebook):
    starter = own(cell(notebook, "row_sums")["source"], id="row_sums")
    answer(notebook, row_sums="def row_sums(m):\n    return 1")
    notebook["cells"].insert(at(notebook, "row_sums") + 1, starter)
    made = rebuild(lab[0], json.dumps(notebook))
    assert next(one for one in made.cells if one.id == "row_sums").source == "def row_sums(m):\n    return 1"
    assert any("2 times" in one for one in made.repairs)


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_the_release_is_whole_in_every_rebuilt_submission(name, lab, notebook):
    text = SUBMISSIONS[name].edit(notebook)
    made = rebuild(lab[0], text if isinstance(text, bytes) else json.dumps(notebook))
    ours = [one for one in made.cells if one.release is not None]
    assert [one.id for one in ours] == [one.id for one in lab[0].cells]
    for one in ours:
        assert one.role not in ("check", "text") or one.source == one.release.source
    assert len({one.id for one in made.cells}) == len(made.cells)
    assert bool(made.repairs) or not SUBMISSIONS[name].repaired
    assert all(one.endswith(".") for one in (*made.repairs, *made.flags))


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_notebook_is_refused_in_a_sentence(name, lab):
    with pytest.raises(CourseError) as refused:
        rebuild(lab[0], UNREADABLE[name])
    assert refused.value.sentence.endswith(".")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "source", "metadata", "cell_type", "tags", "nbgrader", "x"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(JSON, max_size=6))
def test_any_cells_at_all_give_a_whole_notebook(lab, cells):
    made = rebuild(lab[0], json.dumps({"cells": cells}))
    assert [one.id for one in made.cells if one.release] == [one.id for one in lab[0].cells]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x): return x", True),
        ("f = g", True),
        ("class f: pass", True),
        ("def f(x:\n  broken", True),
        ("g = f", False),
        ("def g():\n    def f(): pass", False),
        ("print('def f')", False),
    ],
)
def test_what_defines_a_name(source, expected):
    assert defines(source, "f") is expected


def test_a_source_without_hidden_checks_is_refused(tmp_path):
    book = plant(tmp_path / "content")
    with pytest.raises(CourseError, match="has no hidden check"):
        release.read(text_of(source_notebook(book, book.lessons[0])))
