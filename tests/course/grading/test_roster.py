"""Rosters: what spreadsheets and platforms export is read; what is wrong is said by its line, and nothing is imported."""

import pytest
from classes import LAB

from mechinterp_course.course.grading import folder, making
from mechinterp_course.course.grading.gradebook import opened
from mechinterp_course.course.grading.roster import Student, read_roster
from mechinterp_course.errors import CourseError


def roster(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "students.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


ADA = Student("ada", "Ada", "Müller", "ada@example.org")


@pytest.mark.parametrize(
    "text, encoding",
    [
        ("id,first_name,last_name,email\nada,Ada,Müller,ada@example.org\n", "utf-8"),
        ("id,first_name,last_name,email\r\nada,Ada,Müller,ada@example.org\r\n", "utf-8-sig"),
        ("id\tfirst_name\tlast_name\temail\nada\tAda\tMüller\tada@example.org\n", "utf-16"),
        ("Student ID;Surname;First name;Email address;Group\nada;Müller;Ada;ada@example.org;B\n\n", "utf-8"),
        ('"SIS Login ID","Last Name","First Name","Email"\n"ada","Müller","Ada","ada@example.org"\n', "utf-8"),
        ("email,Username,surname,first name\nada@example.org,ada,Müller,Ada", "utf-8"),
    ],
    ids=["plain", "Excel's UTF-8", "Excel's Unicode text", "semicolons", "quoted", "another order"],
)
def test_what_people_export_is_read(tmp_path, text, encoding):
    assert read_roster(roster(tmp_path, text, encoding)) == [ADA]


def test_ids_alone_are_enough(tmp_path):
    assert [one.id for one in read_roster(roster(tmp_path, "id\na\nb-1\nc.d@e\nłukasz\n"))] == [
        "a",
        "b-1",
        "c.d@e",
        "łukasz",
    ]


@pytest.mark.parametrize(
    "text, says",
    [
        (b"id,first_name\na,Ada\nb,M\xfcller\n", "not in UTF-8: line 3"),
        (b"PK\x03\x04\x00\x00", "not a text file"),
        (b"name,email\nAda,a@b.c\n", "no column with the students' ids.*'name', 'email'"),
        (b"id\na\nb\nA\n", "line 4: the id 'A' stands in line 2 already"),
        (b"id,last_name\na,=cmd|' /C calc'!A0\n", "line 2: the last name .* begins like a spreadsheet formula"),
        (b"id,email\na,@SUM(1)\n", "line 2: the email .* formula"),
        (b"id\n=1+1\n", "line 2: the id '=1\\+1' begins like a spreadsheet formula"),
        (b"id\n../other\n", "line 2: the id '../other' cannot name a folder"),
        (b"id\n.hidden\n", "cannot name a folder"),
        (b"id,last_name\n,Ng\n", "line 2: the id is empty"),
        (b'id,last_name\na,"Ng\n', "is not valid CSV"),
        (b"id,first_name\n", "holds no students"),
        (b"", "no column with the students' ids"),
    ],
)
def test_what_is_wrong_is_said_by_its_line(tmp_path, text, says):
    with pytest.raises(CourseError, match=says):
        read_roster(roster(tmp_path, text))


def test_many_faults_are_counted(tmp_path):
    with pytest.raises(CourseError, match="and 7 more"):
        read_roster(roster(tmp_path, "id\n" + "=\n" * 12))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CourseError, match="cannot be read \\(No such file"):
        read_roster(tmp_path / "nobody.csv")


def test_a_class_takes_students_and_keeps_what_it_has(made, course, tmp_path):
    secret = (made.root / "class_secret").read_bytes()
    said = making.init(made.root, course, roster=roster(tmp_path, "id,first_name\nada,Ada\nben,Ben\n"))
    assert said == ["The roster has 2 students; they are in the gradebook."]
    making.init(made.root, course, roster=roster(tmp_path, "id,last_name\nada,Müller\n"))
    with opened(made) as book:
        assert [(one.id, one.first_name, one.last_name) for one in book.students()] == [
            ("ada", "Ada", "Müller"),
            ("ben", "Ben", ""),
        ]
    assert (made.root / "class_secret").read_bytes() == secret and made.labs == [LAB]


def test_a_faulty_roster_makes_no_class(course, tmp_path):
    with pytest.raises(CourseError, match="no column"):
        making.init(tmp_path / "new", course, roster=roster(tmp_path, "name\nAda\n"))
    assert not (tmp_path / "new").exists()


def test_a_class_that_has_all_says_so(made, course):
    with pytest.raises(CourseError, match="is a class already, and has these labs"):
        making.init(made.root, course, lessons=["rows"])


def test_a_database_that_does_not_answer_makes_no_class(course, tmp_path):
    with pytest.raises(CourseError, match="The gradebook cannot be opened"):
        making.init(tmp_path / "new", course, database=f"sqlite:///{tmp_path}/no/such/folder/gradebook.db")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_class_is_found_from_within(made):
    assert folder.find_class(made.root / "source" / LAB).root == made.root.resolve()
    with pytest.raises(CourseError, match="is not in a class folder"):
        folder.find_class(made.root.parent)
