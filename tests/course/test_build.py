"""The builder: the same bytes every time, ids that stay, links that fit, and nothing of others removed."""

import json

import nbformat
import planted as module
import pytest
from planted import plant

from mechinterp_course.course import build, markup
from mechinterp_course.course.notebook import Ids, slug
from mechinterp_course.tutor.catalog import Cell

LAB = "exercises/00_rows/00_rows.ipynb"
LESSON = "lessons/00_rows.ipynb"
SOLUTION = "solutions/00_rows/00_rows.ipynb"


@pytest.fixture
def course(tmp_path, fresh_catalog):
    return plant(tmp_path / "content")


def cells_of(text):
    return {cell["id"]: "".join(cell["source"]) for cell in json.loads(text)["cells"]}


def test_a_build_makes_every_notebook_and_the_same_bytes_twice(course):
    made = build.build(course)
    assert set(made) == {LESSON, LAB, SOLUTION, "lessons/home.ipynb", "lessons/glossary.ipynb"}
    assert build.build(course) == made
    for text in made.values():
        assert text.endswith("}\n")
        nbformat.validate(nbformat.reads(text, as_version=4))
        assert '\n "cells": [' in text  # indented by one
        assert json.loads(text)["nbformat_minor"] == 5


def test_only_the_named_lessons(course):
    assert set(build.build(course, only=["rows"])) == {LESSON, LAB, SOLUTION}


def test_notebooks_say_which_file_to_edit_and_hold_no_outputs(course):
    made = build.build(course)
    assert json.loads(made[LAB])["metadata"]["mechinterp"]["source"].endswith("content/l00_rows/lab.py")
    for text in made.values():
        for cell in json.loads(text)["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None


def test_ids_of_a_lab(course):
    ids = list(cells_of(build.build(course)[LAB]))
    assert ids == [
        "nav-top",
        "rows-the-lab-1",
        "rows-the-lab-2",
        "tools",
        "row_sums-card",
        "row_sums-prompt-1",
        "row_sums",
        "row_sums-check",
        "row_sums-demo-1",
        "scaled_rows-card",
        "scaled_rows-prompt-1",
        "scaled_rows",
        "scaled_rows-check",
        "scaled_rows-demo-1",
        "nav-bottom",
    ]


def test_ids_come_from_the_nearest_heading_and_an_id_of_its_own_wins():
    ids = Ids()
    cells = [Cell("code", {}, "1", 1), Cell("markdown", {}, "## The mask, drawn", 2), Cell("code", {}, "2", 3)]
    cells += [Cell("code", {"id": "mine"}, "3", 4), Cell("code", {}, "4", 5)]
    assert [ids.next(cell) for cell in cells] == [
        "start-1",
        "the-mask-drawn-1",
        "the-mask-drawn-2",
        "mine",
        "the-mask-drawn-3",
    ]
    assert slug("What is [[term:softmax|a softmax]]?") == "what-is-a-softmax"
    assert len(slug("word " * 40)) <= 50


def test_questions_become_cells_that_ask(course):
    cells = cells_of(build.build(course)[LESSON])
    assert cells["predict-rows-sum"] == 'predict("rows-sum")'


def test_release_holds_the_starter_and_the_solution_holds_the_answer(course):
    made = build.build(course)
    starter, answer = cells_of(made[LAB])["row_sums"], cells_of(made[SOLUTION])["row_sums"]
    assert starter.endswith("    # YOUR CODE HERE\n    raise NotImplementedError()")
    assert answer.endswith("    return matrix.sum(dim=-1)")
    assert "SOLUTION" not in made[SOLUTION] and "nbgrader" not in made[SOLUTION]
    assert cells_of(made[LAB])["row_sums-check"] == 'from mechinterp_course import check\n\ncheck("row_sums", row_sums)'


def test_check_cells_are_graded_and_locked(course):
    cells = {cell["id"]: cell["metadata"] for cell in json.loads(build.build(course)[LAB])["cells"]}
    check = cells["scaled_rows-check"]
    assert check["nbgrader"] | {"checksum": ""} == {
        "cell_type": "code",
        "checksum": "",
        "grade": True,
        "grade_id": "scaled_rows-check",
        "locked": True,
        "points": 2,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }
    assert check["deletable"] is False and check["editable"] is False


def test_hidden_checks_stand_in_the_class_source_only(course):
    lesson = course.lessons[0]
    source = {cell.id: cell.source for cell in build.source_notebook(course, lesson, seed=7).cells}
    assert source["row_sums-check"].splitlines()[-3:] == [
        "### BEGIN HIDDEN TESTS",
        'check("row_sums", row_sums, seed=7)',
        "### END HIDDEN TESTS",
    ]
    assert not any("HIDDEN" in text or "seed=" in text for text in build.build(course).values())


def test_cards_navigation_and_links_fit_their_notebook(course):
    made = build.build(course)
    lesson, lab, home = (cells_of(made[path]) for path in (LESSON, LAB, "lessons/home.ipynb"))
    assert "[Lab 00: Rows →](../exercises/00_rows/00_rows.ipynb)" in lesson["nav-top"]
    assert "[← Lesson 00: Rows](../../lessons/00_rows.ipynb)" in lab["nav-bottom"]
    assert "[Contents](../../lessons/home.ipynb)" in lab["nav-top"]
    assert lab["row_sums-card"].startswith("## Exercise 1: The sum of each row\n\nA softmax divides by one.")
    assert "difficulty 1/5 · importance 3/5 · about 5 minutes · 1 point\n" in lab["row_sums-card"]
    assert 'Stuck? Run `hint("row_sums")`' in lab["row_sums-card"]
    assert "uses `row_sums`" in lab["scaled_rows-card"]
    assert "[row sum](glossary.ipynb#row-sum)" in lesson["rows-1"]
    assert "[Someone et al. 2020, *On Rows*](https://example.org/rows)" in lesson["read-1"]
    assert "[lesson 00, Rows](../../lessons/00_rows.ipynb)" in lab["row_sums-prompt-1"]
    assert "[Rows](00_rows.ipynb)" in home["welcome-1"] and "| 10 + 15 |" in home["welcome-1"]
    assert "| 01 | Columns | *not built yet* | |" in home["welcome-1"]
    assert cells_of(made["lessons/glossary.ipynb"])["term-row-sum"].startswith("### row sum\n")
    assert "[Lesson 00: Rows →](00_rows.ipynb)" in home["nav-bottom"]


def test_neighbours_are_linked_across_lessons(tmp_path, monkeypatch, fresh_catalog):
    entry = module.COURSE.split("[[lesson]]")[1].split("[map]")[0].replace('"00"', '"01"').replace("rows", "columns")
    for name in ("lesson.py", "lab.py", "checks.py"):
        monkeypatch.setitem(module.FILES, f"l01_columns/{name}", module.FILES[f"l00_rows/{name}"])
    made = build.build(plant(tmp_path, ("course.toml", "[map]", f"[[lesson]]{entry}[map]")))
    second = cells_of(made["lessons/01_columns.ipynb"])["nav-top"]
    assert "[← Lab 00: Rows](../exercises/00_rows/00_rows.ipynb)" in second
    assert "[Lesson 01: Rows →](../../lessons/01_columns.ipynb)" in cells_of(made[LAB])["nav-top"]


def test_an_unknown_name_leaves_its_words(course):
    text = "A [[term:nothing|thing]], [[term:nobody]] and [[lesson:77]]."
    assert markup.resolve(text, course, LESSON) == "A thing, nobody and lesson 77."


def test_a_long_lab_has_named_stopping_points(tmp_path, fresh_catalog):
    long = [("lab.py", "minutes = 5", "minutes = 30"), ("lab.py", "minutes = 10", "minutes = 30")]
    cells = cells_of(build.build(plant(tmp_path, *long))[LAB])
    assert cells["sitting-a"].startswith("# Lab A") and cells["sitting-b"].startswith("# Lab B")
    assert "A good place to stop." in cells["sitting-b"] and "1 exercise, about 30 minutes" in cells["sitting-b"]
    assert list(cells).index("sitting-b") == list(cells).index("scaled_rows-card") - 1


def test_write_says_what_changed_and_removes_what_it_made_itself(course, tmp_path):
    assert len(build.write(course, tmp_path)) == 5
    assert build.write(course, tmp_path) == [] and build.stale(course, tmp_path) == []
    old = tmp_path / "exercises" / "07_old" / "07_old.ipynb"
    old.parent.mkdir()
    old.write_text((tmp_path / LAB).read_text().replace('"lesson": "l00_rows"', '"lesson": "l07_old"'))
    copy = tmp_path / "lessons" / "my try.ipynb"  # somebody works in a copy: it still says that it is of this course
    copy.write_bytes((tmp_path / LESSON).read_bytes())
    foreign = tmp_path / "lessons" / "my notes.ipynb"
    foreign.write_text("{}")
    (tmp_path / LESSON).write_text("{}")
    changed, left = ["exercises/07_old/07_old.ipynb", LESSON], ["lessons/my notes.ipynb", "lessons/my try.ipynb"]
    assert build.stale(course, tmp_path) == [*changed, *left]
    assert build.write(course, tmp_path) == changed
    assert not old.parent.exists() and foreign.is_file() and copy.is_file()
    assert build.stale(course, tmp_path) == left
