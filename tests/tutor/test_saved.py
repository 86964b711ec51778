"""`mechinterp check`: the checks of a saved notebook, in a kernel, on a copy."""

import json

import pytest
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    add_cell,
    built_fixture,
    cells,
    drop_cell,
    learner_fixture,
    release_fixture,
    write_cell,
)

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, notebook, progress
from mechinterp_course.tutor.saved import RECORDING, check, lab_plan


def run(ws, name=None):
    told = []
    return {found.exercise: found for found in check(ws, catalog.course(), name, told.append)}


def events(ws):
    return [(e.kind, e.data.get("exercise"), e.data.get("passed")) for e in progress.load(ws.root)]


@pytest.mark.kernel
def test_each_check_says_its_own_message_and_is_recorded_once(learner):
    path = learner.root / LAB
    write_cell(path, "double", DOUBLE)
    write_cell(path, "quadruple", "def quadruple(x)\n    return 4 * x")
    # What the learner ran in other cells was recorded then, and is not recorded again.
    add_cell(path, "double-check", 'hint("double"); borrow("double"); check("double", double)', name="mine-1")
    before = path.read_bytes()
    found = run(learner)
    assert found["double"].passed
    assert found["double"].lines[0].startswith("✓ double   1 of 1 check passed.")
    assert found["quadruple"].lines[0] == "✗ quadruple   its cell stopped before the check could run"
    assert found["quadruple"].lines[1].startswith("SyntaxError")
    assert "row_softmax is not written yet" in found["row_softmax"].lines[1]
    assert found["row_softmax"].lines[-1].startswith("Next:")
    assert events(learner) == [("check", "double", True), ("check", "row_softmax", False)]
    assert path.read_bytes() == before, "the notebook itself is not touched"


@pytest.mark.kernel
def test_an_edited_check_cell_is_run_as_released_and_a_renamed_notebook_is_found(learner):
    path = learner.root / LAB
    write_cell(path, "double", "def double(x):\n    return x")
    write_cell(path, "double-check", "print('passed')")
    path.rename(learner.root / "mine.ipynb")
    found = run(learner, "double")
    assert list(found) == ["double"]
    assert not found["double"].passed
    assert found["double"].lines[0].startswith("✗ double")


@pytest.mark.kernel
def test_a_cell_that_kills_the_kernel_is_a_sentence(learner):
    write_cell(learner.root / LAB, "double", "import os\nos._exit(1)")
    (found,) = run(learner, "double").values()
    assert not found.passed
    assert found.lines[1] == "00_first_steps.ipynb: the kernel died at double."


# --- without a kernel -----------------------------------------------------------------------------------------------


def plan(ws, *names):
    return lab_plan(ws, catalog.course().lessons[0], list(names))


def test_a_missing_answer_cell_names_the_remedy(learner):
    drop_cell(learner.root / LAB, "double")
    (refused,) = plan(learner, "double").refused
    assert refused.lines == (
        "✗ double",
        "Its answer cell is not in 00_first_steps.ipynb any more.",
        "Next: `mechinterp reset double`",
    )


def test_a_missing_check_cell_is_run_as_released_with_a_word_on_it(learner):
    drop_cell(learner.root / LAB, "double-check")
    made = plan(learner, "double")
    assert made.cells[-2] == ("double-check", cells(learner.base / LAB)["double-check"])
    assert "`mechinterp update` puts it back" in made.notes["double"]


def test_only_the_checks_that_were_asked_for_run_and_nothing_behind_them(learner):
    names = [name for name, _ in plan(learner, "quadruple").cells]
    assert "double-check" not in names
    assert "double" in names
    assert names[-2:] == ["quadruple-check", RECORDING]


def test_a_copied_check_cell_runs_once(learner):
    path = learner.root / LAB
    found = notebook.load(path)
    at = [notebook.cell_id(c) for c in found["cells"]].index("double-check")
    found["cells"].insert(at, dict(found["cells"][at]))
    path.write_text(json.dumps(found))
    assert [name for name, _ in plan(learner, "double").cells].count("double-check") == 1


def test_a_damaged_notebook_is_an_outcome_and_the_others_are_still_checked(learner):
    (learner.root / LAB).write_text("{")
    other = learner.root / "exercises/01_token_loss/01_token_loss.ipynb"
    drop_cell(other, "token_loss")
    found = list(check(learner, catalog.course(), "all", lambda text: None))
    assert [f.passed for f in found] == [False, False]
    assert "is damaged" in found[0].lines[1]
    assert "mechinterp reset" in found[0].lines[2]
    assert found[1].exercise == "token_loss"


@pytest.mark.parametrize(
    ("name", "nearest"), [("duoble", "double"), ("frist_steps", "first_steps"), ("00_first_step", "00_first_steps")]
)
def test_a_misspelt_name_suggests(learner, name, nearest):
    with pytest.raises(CourseError, match=f"There is no exercise or lesson '{name}'.*{nearest}"):
        run(learner, name)


def test_a_lesson_that_is_not_built_says_so(learner):
    with pytest.raises(CourseError, match="Lesson 02 .* is not built yet"):
        run(learner, "2")
