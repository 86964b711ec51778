"""The README's table of models is built: a build writes it, and a stale one is found."""

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


def test_a_readme_without_a_place_and_no_readme_are_left_alone(tmp_path):
    assert build_readme(tmp_path) == {}
    (tmp_path / "README.md").write_text("# Course\n", encoding="utf-8")
    assert build_readme(tmp_path) == {}
