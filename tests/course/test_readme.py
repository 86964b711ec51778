"""The README's tables are built: a build writes them, and a stale one is found."""

from mechinterp_course.course import build
from mechinterp_course.course.readme import build_readme

TEXT = "# Course\n\n<!-- models -->\nold\n<!-- /models -->\n\nMore.\n"


def test_a_build_writes_the_table_and_nothing_else(tiny_course, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(TEXT, encoding="utf-8", newline="\n")
    assert "README.md" in build.stale(tiny_course, tmp_path)
    assert "README.md" in build.write(tiny_course, tmp_path)
    made = readme.read_text(encoding="utf-8")
    assert made.startswith("# Course\n\n<!-- models -->\n\n| Model |") and made.endswith(
        "|\n\n<!-- /models -->\n\nMore.\n"
    )
    assert "| `code-2l` |" in made and "old" not in made
    assert build.stale(tiny_course, tmp_path) == [] and build.write(tiny_course, tmp_path) == []


def test_the_table_of_lessons_comes_from_the_course(tiny_course, tmp_path):
    (tmp_path / "README.md").write_text("<!-- lessons -->\n<!-- /lessons -->\n", encoding="utf-8", newline="\n")
    rows = build_readme(tiny_course, tmp_path)["README.md"].splitlines()[4:-2]
    assert len(rows) == len(tiny_course.lessons)
    for row, lesson in zip(rows, tiny_course.lessons, strict=True):
        assert f"| {lesson.number} | [{lesson.title}](lessons/{lesson.stem}.ipynb) |" in row
        assert f"{len(lesson.exercises)} exercises" in row


def test_a_readme_without_a_place_and_no_readme_are_left_alone(tiny_course, tmp_path):
    assert build_readme(tiny_course, tmp_path) == {}
    (tmp_path / "README.md").write_text("# Course\n", encoding="utf-8")
    assert build_readme(tiny_course, tmp_path) == {}
