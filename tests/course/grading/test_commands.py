"""What a teacher types, from an empty folder to the tables."""

import os
import subprocess
import sys

import pytest
import stand_in
from classes import LAB, SUMS, submit

from mechinterp_course.commands import class_screen
from mechinterp_course.commands.app import run
from mechinterp_course.course.grading import session


@pytest.fixture
def say(made, near, monkeypatch, capsys):
    """Return a function that runs a class command in the class folder and returns (exit code, stdout, stderr)."""
    real = session.grade

    def with_stand_in(*about, **options):
        return real(*about, **{**options, "one": stand_in.grade, "scheduler": near})

    monkeypatch.chdir(made.root)
    monkeypatch.setattr(session, "grade", with_stand_in)
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments):
        code = run(["class", *arguments])
        return code, *capsys.readouterr()

    return command


def test_a_term_in_six_commands(made, say):
    assert "Nobody has handed in yet" in say("status")[1]
    submit(made, "ada", {"row_sums": SUMS})
    submit(made, "ben", {}, "MEND ODD")
    (made.root / "submitted" / "cem" / LAB).mkdir(parents=True)
    assert "3 submissions to grade: mechinterp class grade" in say("status")[1]
    code, out, err = say("grade")
    assert code == 0 and "Graded 3 submissions: 1 as they came, 1 repaired, 1 failed." in out
    assert "cem, 00_rows: The folder holds no notebook." in out and "ben, 00_rows: An answer assigns to the name" in out
    assert "Nothing is new. All 3 submissions were graded before." in say("grade", "rows")[1]
    assert "report.html" in say("report")[1] and (made.root / "report.html").is_file()
    assert "Wrote 3 pages" in say("feedback")[1]
    assert say("export")[1].count("Wrote ") == 2 and (made.root / "grades.csv").is_file()
    assert "Everything that was handed in is graded" in say("status")[1]


def test_where_the_grader_itself_stops_it_says_so(made, say):
    submit(made, "ada", {"row_sums": SUMS})
    submit(made, "ben", {}, "BREAK")
    out = say("grade")[1]
    assert "Graded 1 submission: 1 as they came." in out
    assert "The grader itself stopped at 1 submission; the next call tries again:" in out and "ben, 00_rows:" in out
    out = say("status")[1]
    assert "The grader itself stopped at 1 submission; the report says why." in out
    assert "1 submission to grade: mechinterp class grade" in out


@pytest.mark.parametrize("options", [("--seconds", "20"), ("--all-cells",), ("--seconds", "20", "--all-cells")])
def test_where_nothing_is_new_an_option_for_once_says_how(made, say, options):
    submit(made, "ada", {"row_sums": SUMS})
    say("grade")
    names = " and ".join(one for one in options if one.startswith("--"))
    assert f"To grade them again with {names}, add --again." in say("grade", *options)[1]
    assert "Graded 1 submission" in say("grade", *options, "--again")[1]
    assert "--again" not in say("grade")[1]


def test_what_ran_out_of_time_is_new_where_it_is_given_more(made, say):
    submit(made, "ada", {"row_sums": SUMS}, "LATE")
    submit(made, "ben", {"row_sums": SUMS})
    say("grade", "--seconds", "20")
    assert "Nothing is new" in say("grade")[1] and "Nothing is new" in say("grade", "--seconds", "20")[1]
    assert "Graded 1 submission: 1 as they came." in say("grade", "--seconds", "30")[1]
    assert "Nothing is new" in say("grade", "--seconds", "25")[1]


def test_a_misspelt_lab_is_told(say):
    code, _, err = say("grade", "rosw")
    assert code == 1 and "Did you mean" in err


def test_outside_a_class_it_says_where_to_go(tmp_path, course, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["class", "status"]) == 1
    assert "Go into the folder of your class" in capsys.readouterr().err


def test_init_takes_labs_as_a_list(course, tmp_path, capsys):
    assert run(["class", "init", str(tmp_path / "new"), "--lessons", "rows, 00"]) == 1, "the same lab twice"
    assert "00_rows is named twice" in capsys.readouterr().err
    assert run(["class", "init", str(tmp_path / "new"), "--lessons", "rows,columns"]) == 1
    assert "columns" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_what_students_wrote_cannot_steer_the_terminal():
    assert class_screen.plain("a\x1b[2Jb\nc\x07") == "a [2Jb c"


def test_looking_loads_neither_torch_nor_nbgrader(made, course):
    submit(made, "ada", {})
    code = (
        "import sys\nfrom mechinterp_course.commands.app import run\nassert run(['class', 'status']) == 0\n"
        "print(sorted({'torch', 'nbgrader', 'nbformat', 'distributed', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made.root, capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
