"""The tables for spreadsheets: quoted, complete, and with no cell that a spreadsheet would compute."""

import csv
import io

import pytest
from classes import COLUMNS, LAB, SCALED, SUMS, submit

from mechinterp_course.course.grading import export
from mechinterp_course.course.grading.gradebook import opened
from mechinterp_course.course.grading.roster import Student
from mechinterp_course.course.grading.standing import counts, standing


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def graded(made, grade):
    submit(made, "ada", {"row_sums": SUMS, "scaled_rows": SCALED})
    submit(made, "ben", {"row_sums": COLUMNS}, "MEND")
    submit(made, "bad").write_text("not a notebook")
    grade()
    submit(made, "late", {})
    with opened(made) as book:
        book.enrol(Student("ada", "Ada", 'Müller, "Jr."', "ada@example.org"))
        book.enrol(Student("nobody", "No", "Body"))
        book.gradebook.update_or_create_student("ben", first_name="=HYPERLINK(1)", last_name="@ben\x1b[31m")
    return made


def test_every_student_has_a_row_for_every_lab(graded, course, tmp_path):
    grades, exercises = export.export(tmp_path, standing(graded, course, [LAB]))
    rows = {row["student_id"]: row for row in read(grades)}
    assert {id: (row["state"], float(row["score"])) for id, row in rows.items()} == {
        "ada": ("graded", 3.0),
        "bad": ("failed", 0.0),
        "ben": ("repaired", 0.0),
        "late": ("waiting", 0.0),
        "nobody": ("not handed in", 0.0),
    }
    assert rows["ada"]["last_name"] == 'Müller, "Jr."' and rows["ada"]["percent"] == "100.0"
    assert [id for id, row in rows.items() if row["to_look_at"]] == ["bad", "ben"]
    ben = [row for row in read(exercises) if row["student_id"] == "ben"]
    assert [(row["exercise"], row["passed"], row["mistake"]) for row in ben] == [
        ("row_sums", "no", "sum over the wrong axis"),
        ("scaled_rows", "no", ""),
    ]


def test_nothing_in_it_is_a_formula(graded, course, tmp_path):
    for path in export.export(tmp_path, standing(graded, course, [LAB])):
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))):
            assert not [cell for cell in row if cell.startswith(("=", "+", "@", "\t"))]
            assert "\x1b" not in "".join(row)
    ben = next(row for row in read(tmp_path / "grades.csv") if row["student_id"] == "ben")
    assert ben["first_name"] == "'=HYPERLINK(1)" and ben["last_name"] == "'@ben [31m"


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", " =1", "\n=1"])
def test_what_would_be_computed_is_made_text(cell):
    assert export.harmless(cell).startswith("'")


def test_numbers_stay_numbers():
    assert export.as_csv([("a", 1.5, -2, "x")]) == '\ufeff"a",1.5,-2,"x"\n'


def test_the_counts_say_what_is_left_to_do(graded, course):
    (row,) = counts(graded, course, [LAB])
    assert (row.handed_in, row.graded, row.repaired, row.failed, row.waiting) == (4, 1, 1, 1, 1)
    assert row.mean == pytest.approx(1 / 3)
