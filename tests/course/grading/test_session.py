"""Grading a class: what is new is graded once, written by one process, and goes on where it was stopped."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import stand_in
from classes import COLUMNS, LAB, SCALED, SUMS, submit

from mechinterp_course.course.grading import insight, records, session, standing
from mechinterp_course.course.grading.gradebook import opened
from mechinterp_course.errors import CourseError


def scores(made):
    with opened(made) as book:
        return {student: sum(points.values()) for student, points in book.scores(LAB).items()}


def test_points_go_through_nbgraders_own_gradebook(made, grade):
    submit(made, "full", {"row_sums": SUMS, "scaled_rows": SCALED})
    submit(made, "half", {"row_sums": SUMS})
    submit(made, "none")
    done = grade()
    assert {student: record.graded.points for student, record in done.items()} == {"full": 3, "half": 1, "none": 0}
    assert scores(made) == {"full": 3, "half": 1, "none": 0}
    for student in done:
        assert (made.root / "autograded" / student / LAB / f"{LAB}.ipynb").is_file()


def test_nothing_is_graded_twice(made, calls, grade):
    submit(made, "a", {"row_sums": SUMS})
    grade()
    assert grade() == {} and calls() == 1


def test_a_changed_submission_is_graded_again(made, calls, grade):
    submit(made, "a", {})
    submit(made, "b", {})
    grade()
    submit(made, "a", {"row_sums": SUMS})
    assert list(grade()) == ["a"]
    assert scores(made) == {"a": 1, "b": 0} and calls() == 3


def test_a_changed_check_grades_all_again(made, calls, monkeypatch, grade):
    submit(made, "a", {})
    grade()
    monkeypatch.setattr(records, "release_hash", lambda *about: "another")
    assert list(grade()) == ["a"]


def test_on_demand_all_is_graded_again(made, calls, grade):
    submit(made, "a", {})
    submit(made, "b", {})
    grade()
    assert list(grade(again=True, students=["b"])) == ["b"]
    assert calls("a") == 1 and calls("b") == 2


def test_stopped_in_the_middle_it_goes_on(made, course, calls, grade):
    students = [f"s{i}" for i in range(6)]
    for student in students:
        submit(made, student, {"row_sums": SUMS}, "SLOW")
    running = session.grade(made, course, [LAB], workers=2, one=stand_in.grade)
    first = {next(running).student, next(running).student}
    running.close()  # what Ctrl-C comes to
    rest = grade()
    assert len(first) == 2 and first | set(rest) == set(students) and not first & set(rest)
    assert scores(made) == dict.fromkeys(students, 1.0)
    assert all(calls(student) == 1 for student in first)


def test_a_worker_that_dies_costs_its_own_job_only(made, calls, grade):
    submit(made, "killer", {"row_sums": SUMS}, "KILL-ONCE")
    for student in ("a", "b", "c", "d"):
        submit(made, student, {"row_sums": SUMS}, "SLOW")
    done = grade(workers=2)
    assert {record.graded.state for record in done.values()} == {"graded"} and len(done) == 5
    assert calls("killer") == 2 and [calls(student) for student in "abcd"] == [1, 1, 1, 1]


def test_what_kills_every_worker_ends_as_failed(made, calls, grade):
    submit(made, "killer", {}, "KILL-ALWAYS")
    submit(made, "a", {"row_sums": SUMS})
    done = grade(workers=1)
    assert done["killer"].graded.state == "failed" and "died 3 times" in done["killer"].graded.reason
    assert calls("killer") == 3 and done["a"].graded.points == 1
    assert grade() == {}, "a failure is an end, too"
    assert scores(made) == {"killer": 0, "a": 1}


def test_a_grader_that_breaks_is_reported(made, grade):
    submit(made, "a", {}, "BREAK")
    reason = grade()["a"].graded.reason
    assert "The grader itself failed" in reason and "the grader tripped" in reason


def test_where_the_grader_itself_stopped_nobody_has_a_0_and_the_next_call_tries_again(made, course, grade, calls):
    path = submit(made, "a", {"row_sums": SUMS}, "BREAK")
    submit(made, "b", {"row_sums": SUMS})
    grade()
    assert scores(made) == {"b": 1}
    (row,) = standing.counts(made, course, [LAB])
    assert (row.graded, row.failed, row.waiting, row.stopped) == (1, 0, 1, 1)
    found = insight.insight(made, course, [LAB])
    assert [(one["id"], one["state"]) for one in found["look"]] == [("a", "waiting")]
    assert "the grader tripped" in found["look"][0]["reason"]
    assert list(grade()) == ["a"] and calls("a") == 2 and calls("b") == 1
    assert list(grade(students=["b"])) == [] and scores(made) == {"b": 1}, "nor where only others are graded"
    path.write_text(path.read_text().replace("BREAK", ""))
    grade()
    assert scores(made) == {"a": 1, "b": 1} and grade() == {}


def test_points_from_before_stay_where_the_grader_itself_stops(made, grade):
    path = submit(made, "a", {"row_sums": SUMS})
    grade()
    path.write_text(path.read_text().replace("right", "right BREAK"))
    grade()
    assert scores(made) == {"a": 1}


def test_a_refusal_stops_everything(made, grade):
    submit(made, "a", {}, "REFUSE")
    with pytest.raises(CourseError, match="no sandbox here"):
        grade()
    assert records.load_all(made.root, LAB) == []


def test_what_is_no_notebook_ends_as_failed(made, grade):
    folder = made.root / "submitted" / "empty" / LAB
    folder.mkdir(parents=True)
    two = made.root / "submitted" / "two" / LAB
    two.mkdir(parents=True)
    (two / "a.ipynb").write_text("{}")
    (two / "b.ipynb").write_text("{}")
    (submit(made, "linked").parent / f"{LAB}.ipynb").unlink()
    (made.root / "submitted" / "linked" / LAB / f"{LAB}.ipynb").symlink_to(made.root / "class_secret")
    done = {student: record.graded for student, record in grade().items()}
    assert {graded.state for graded in done.values()} == {"failed"}
    assert "no notebook" in done["empty"].reason
    assert "a.ipynb, b.ipynb" in done["two"].reason
    assert "is a link" in done["linked"].reason
    assert scores(made) == {"empty": 0, "two": 0, "linked": 0}


def test_a_lone_notebook_of_another_name_counts(made, grade):
    path = submit(made, "a", {"row_sums": SUMS})
    path.rename(path.with_name("homework (1).ipynb"))
    graded = grade()["a"].graded
    assert (graded.state, graded.points) == ("repaired", 1)
    assert "handed in as homework (1).ipynb" in graded.repairs[0]


@pytest.mark.parametrize(
    "of", ["submitted/b", "submitted/b/00_rows", "submitted/b/00_rows/00_rows.ipynb", "source/00_rows"]
)
def test_what_lies_behind_a_link_is_nobodys_work(made, grade, of):
    """A folder can be a link, too: the notebook in it is somebody else's."""
    submit(made, "b", {"row_sums": SUMS})
    place = made.root / "submitted" / "a" / LAB
    place = {"b": place.parent, f"{LAB}.ipynb": place / f"{LAB}.ipynb"}.get(Path(of).name, place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(made.root / of)
    done = grade()
    assert (done["a"].graded.state, done["a"].graded.points) == ("failed", 0) and "is a link" in done["a"].graded.reason
    assert done["b"].graded.points == 1


def test_a_link_deeper_in_the_folder_is_not_followed(made, grade):
    submit(made, "b", {"row_sums": SUMS})
    folder = made.root / "submitted" / "a" / LAB
    folder.mkdir(parents=True)
    (folder / "mine").symlink_to(made.root / "submitted" / "b" / LAB)
    assert grade()["a"].graded.state == "failed"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(made, grade):
    folder = made.root / "submitted" / "a" / LAB
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{LAB}.ipynb")
    assert "is not a file" in grade()["a"].graded.reason


@pytest.mark.skipif(sys.platform != "linux", reason="this system's file names are always in UTF-8")
def test_names_that_are_not_in_utf8_stop_nobody(made, grade):
    """As `unzip` leaves them of an archive from Windows."""
    path = submit(made, "a", {"row_sums": SUMS})
    path.rename(path.with_name(os.fsdecode(b"L\xf6sung.ipynb")))
    path = submit(made, "b", {"row_sums": SUMS})
    path.rename(path.with_name(os.fsdecode(b"\xf6.ipynb")))
    (path.parent / "second.ipynb").write_text("{}")
    path = submit(made, "c", {"row_sums": SUMS})
    path.parents[1].rename(path.parents[2] / os.fsdecode(b"J\xf6rg"))
    done = {student: record.graded for student, record in grade().items()}
    assert (done["a"].state, done["a"].points) == ("repaired", 1) and "L\ufffdsung.ipynb" in done["a"].repairs[0]
    assert done["b"].state == "failed" and "several notebooks" in done["b"].reason
    assert done["J\ufffdrg"].state == "failed" and "Rename the folder" in done["J\ufffdrg"].reason
    assert grade() == {}


def test_a_release_that_was_moved_away_is_made_again(made, grade):
    submit(made, "a", {"row_sums": SUMS})
    grade()
    path = submit(made, "b", {"row_sums": SUMS, "scaled_rows": SCALED})
    shutil.rmtree(made.root / "release")
    assert list(grade()) == ["b"] and path.is_file()
    assert made.release_file(LAB).is_file() and scores(made) == {"a": 1, "b": 3}


def test_without_a_release_it_says_how_to_make_it(made):
    shutil.rmtree(made.root / "release")
    with pytest.raises(CourseError, match=f"release of {LAB} is gone.*nbgrader generate_assignment {LAB} --force"):
        made.released(LAB)


def test_a_lost_gradebook_is_filled_from_what_was_graded(made, calls, grade):
    submit(made, "a", {"row_sums": SUMS})
    grade()
    (made.root / "gradebook.db").unlink()
    assert grade() == {}
    assert scores(made) == {"a": 1} and calls() == 1


def test_points_given_by_hand_stay(made, grade):
    path = submit(made, "a", {})
    grade()
    with opened(made) as book:
        found = book.gradebook.find_grade("scaled_rows-check", LAB, LAB, "a")
        found.manual_score = 1.5
        book.gradebook.db.commit()
    path.write_text(path.read_text() + "\n")
    grade()
    assert scores(made) == {"a": 1.5}
    with opened(made) as book:
        assert book.gradebook.find_grade("scaled_rows-check", LAB, LAB, "a").needs_manual_grade


def test_late_submissions_lose_what_the_settings_say(made, grade):
    settings = made.root / "nbgrader_config.py"
    settings.write_text(settings.read_text() + "\nc.LateSubmissionPlugin.penalty_method = 'zero'\n")
    with opened(made) as book:
        book.gradebook.update_or_create_assignment(LAB, duedate="2026-01-01 00:00:00 UTC")
    (submit(made, "late", {"row_sums": SUMS}).parent / "timestamp.txt").write_text("2026-01-02 00:00:00 UTC")
    (submit(made, "early", {"row_sums": SUMS}).parent / "timestamp.txt").write_text("2025-12-31 00:00:00 UTC")
    (submit(made, "odd", {"row_sums": SUMS}).parent / "timestamp.txt").write_text("yesterday, I think")
    grade()
    with opened(made) as book:
        assert book.penalties(LAB) == {"late": 1.0}
        book.gradebook.update_or_create_assignment(LAB, duedate="2026-02-01 00:00:00 UTC")
    grade(again=True)
    with opened(made) as book:
        assert book.penalties(LAB) == {}, "the date was moved"


def test_two_who_grade_at_once_are_told(made, grade):
    with session._alone(made.root), pytest.raises(CourseError, match="grading in .* already"):
        grade()


def test_the_autograded_notebook_does_not_hold_the_seed(made, grade):
    path = submit(made, "a", {"row_sums": SUMS})
    lab = json.loads(path.read_text())
    for cell in lab["cells"]:
        if cell["id"] == "row_sums-check":
            cell["source"] = f'check("row_sums", row_sums, seed={made.seed})'
    path.write_text(json.dumps(lab))
    grade()
    assert str(made.seed) not in (made.root / "autograded" / "a" / LAB / f"{LAB}.ipynb").read_text()


def test_a_damaged_record_is_graded_again(made, calls, grade):
    submit(made, "a", {"row_sums": COLUMNS})
    grade()
    path = made.root / "graded" / LAB / "a.json"
    path.write_text(path.read_text()[:100])
    assert list(grade()) == ["a"] and calls() == 2


def test_an_unanswered_exercise_is_marked_as_nbgrader_does(made, grade):
    submit(made, "a", {"row_sums": SUMS})
    grade()
    with opened(made) as book:
        assert book.gradebook.find_comment("scaled_rows", LAB, LAB, "a").auto_comment == "No response."
        assert book.gradebook.find_comment("row_sums", LAB, LAB, "a").auto_comment is None


def test_without_submissions_there_is_nothing_to_do(made, grade):
    shutil.rmtree(made.root / "submitted")
    assert grade() == {}
