"""The release version made in-process equals, cell for cell, what `nbgrader generate_assignment` makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted import plant

from mechinterp_course.course import build
from mechinterp_course.course.markup import lab_path
from mechinterp_course.course.notebook import text_of
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor.catalog import course as read_course


def generated(folder: Path, book, lesson, seed) -> dict:
    """Return the notebook that nbgrader itself releases for a lesson's source."""
    source = folder / "source" / lesson.stem
    source.mkdir(parents=True)
    (source / f"{lesson.stem}.ipynb").write_text(text_of(build.source_notebook(book, lesson, seed)), encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader looks for alembic there
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", lesson.stem]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    released = folder / "release" / lesson.stem / f"{lesson.stem}.ipynb"
    assert released.is_file(), done.stderr
    return json.loads(released.read_text(encoding="utf-8"))


def assert_equal(made: dict, generated: dict) -> None:
    assert [cell["id"] for cell in made["cells"]] == [cell["id"] for cell in generated["cells"]]
    for mine, theirs in zip(made["cells"], generated["cells"], strict=True):
        assert mine == theirs
    assert made == generated


@pytest.mark.parametrize("seed", [None, 123456789])
def test_planted_lab(tmp_path, fresh_catalog, seed):
    book = plant(tmp_path / "content")
    made = build.build(book)[lab_path(book.lessons[0])]
    assert_equal(json.loads(made), generated(tmp_path, book, book.lessons[0], seed))


@pytest.mark.parametrize("stem", [lesson.stem for lesson in read_course().lessons])
def test_lab_of_the_course(tmp_path, stem):
    book = read_course()
    lesson = book.lesson(stem)
    made = build.build_lesson(book, lesson)[lab_path(lesson)]
    assert_equal(json.loads(made), generated(tmp_path, book, lesson, seed=987654321))


def test_without_nbgrader_a_build_says_what_to_install(tmp_path, monkeypatch, fresh_catalog):
    book = plant(tmp_path / "content")
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    with pytest.raises(CourseError, match=r'pip install "mechinterp-course\[class\]"'):
        build.build(book)
