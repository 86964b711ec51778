"""The lessons' sections on SmolLM2, run in a kernel where it has been fetched. Elsewhere the contract runs the lessons without."""

import pytest

from mechinterp_course.course import kernels
from mechinterp_course.course.build import lesson_notebook
from mechinterp_course.interp import fetch
from mechinterp_course.tutor import catalog

REAL = fetch.where("smollm2")  # asked before any test changes the cache folder
SECONDS = 600  # not a measure of speed: only so that a lesson that hangs is noticed
LESSONS = [
    lesson.id
    for lesson in catalog.course().lessons
    if "load_if_here(" in (lesson.folder / "lesson.py").read_text("utf-8")
]

pytestmark = [
    pytest.mark.smollm2,
    pytest.mark.kernel,
    pytest.mark.skipif(REAL is None, reason="SmolLM2 is not here. Run: mechinterp models fetch smollm2"),
]


@pytest.mark.parametrize("lesson_id", LESSONS)
def test_a_lesson_runs_with_the_real_model(lesson_id):
    course = catalog.course()
    notebook = lesson_notebook(course, course.lesson(lesson_id))
    done = kernels.run(notebook, SECONDS, {"MECHINTERP_CACHE": str(REAL.parent)})
    assert done.stopped == ""
    assert done.errors == []
    assert done.requests == ()
    said = [o.text for cell in done.notebook.cells for o in cell.get("outputs", ()) if o.get("name") == "stderr"]
    assert said == []
