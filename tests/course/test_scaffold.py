"""A new lesson's folder: it builds at once, and the contract says what is missing."""

import planted as module
import pytest
from planted import plant

from mechinterp_course.course import build, contract, scaffold
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor.catalog import course as read_course


@pytest.fixture
def course(tmp_path, monkeypatch, fresh_catalog):
    monkeypatch.setenv("MECHINTERP_NOTEBOOKS", str(tmp_path))
    return plant(tmp_path / "content")


def test_a_new_lesson_builds_and_the_contract_says_what_is_missing(course, tmp_path, fresh_catalog):
    said = scaffold.new(course, "1", "columns")
    assert str(tmp_path / "content" / "l01_columns") in said[0] and "author check 01" in said[-1]
    from mechinterp_course.tutor import catalog

    catalog._course.cache_clear()
    again = read_course(tmp_path / "content")
    assert [lesson.stem for lesson in again.lessons] == ["00_rows", "01_columns"]
    assert again.lesson("01").title == "Columns"
    (tmp_path / "README.md").write_text("<!-- lessons -->\n<!-- /lessons -->\n")
    assert "lessons/01_columns.ipynb" in build.write(again, tmp_path)
    assert "| 01 | [Columns](lessons/01_columns.ipynb) |  |" in (tmp_path / "README.md").read_text()
    found = contract.check(again, ["01"], cached=False, kernels=False)
    assert {finding.rule for finding in found.findings} == {"entry", "exercises", "predictions", "sections"}
    told = " ".join(finding.message for finding in found.findings)
    assert "no summary" in told and "the section 'Read' is empty" in told and "add a card" in told


def test_the_entry_goes_where_it_belongs_and_nothing_else_changes():
    text = '# order\n\n[[lesson]]\nnumber = "00"\nslug = "a"\n\n[[lesson]]\nnumber = "05"\nslug = "b"\n\n# the way\n[map]\n00 = "A"\n'
    between = scaffold.entered_in_order(text, "02", "new", "New")
    assert between.index('"00"') < between.index('number = "02"') < between.index('number = "05"')
    behind = scaffold.entered_in_order(text, "07", "new", "New")
    assert behind.index('number = "05"') < behind.index('number = "07"') < behind.index("# the way\n[map]")
    for entered, number in ((between, "02"), (behind, "07")):
        entry = scaffold.ENTRY.format(number=number, slug="new", title="New")
        assert entered.replace(entry, "") == text


@pytest.mark.parametrize(
    ("number", "slug", "says"),
    [
        ("42", "columns", "no lesson 42"),
        ("00", "again", "built already"),
        ("01", "rows", "called rows already"),
        ("01", "../up", "cannot be the name"),
        ("01", "Two Words", "cannot be the name"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_is_written(course, tmp_path, number, slug, says):
    before = sorted(path.name for path in (tmp_path / "content").iterdir())
    with pytest.raises(CourseError, match=says):
        scaffold.new(course, number, slug)
    assert sorted(path.name for path in (tmp_path / "content").iterdir()) == before
    assert (tmp_path / "content" / "course.toml").read_text() == module.COURSE


def test_a_folder_that_is_there_is_left_alone(course, tmp_path):
    (tmp_path / "content" / "l01_columns").mkdir()
    with pytest.raises(CourseError, match="is there already"):
        scaffold.new(course, "01", "columns")
