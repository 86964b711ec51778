"""The report: what it counts, whom it lists, and that a browser runs nothing on it but ours."""

import json
import re

import pytest
from classes import COLUMNS, LAB, SCALED, SUMS, submit

from mechinterp_course.course.grading import effort, insight, page
from mechinterp_course.course.grading.gradebook import opened
from mechinterp_course.course.grading.roster import Student
from mechinterp_course.tutor.events import Event

EVIL = "</script><script>alert(1)</script><!--"


def event(minute, kind="check", **data):
    at = f"2026-01-01T10:{minute:02d}:00.000000Z"
    return Event(f"{minute}-{kind}", at, kind, "laptop", "2026-01-01", {"exercise": "row_sums", **data})


@pytest.fixture
def found(made, course, grade):
    """What the report shows of a class of six: three right, two with the same mistake, one who handed in nothing."""
    for name in ("ada", "ben", "cem"):
        submit(made, name, {"row_sums": SUMS, "scaled_rows": SCALED})
    submit(made, "dee", {"row_sums": COLUMNS})
    path = submit(made, "eli", {"row_sums": COLUMNS}, "ODD")
    lines = [event(0, "hint", level=1), event(4, mistake="sum over the wrong axis"), event(9), event(50)]
    (path.parent / "progress.jsonl").write_text("\n".join(one.to_line() for one in lines) + "\nhalf a li")
    grade()
    with opened(made) as book:
        book.enrol(Student("fay", EVIL, "May"))
    return insight.insight(made, course, [LAB])


def test_points_and_states_are_counted(found):
    (lab,) = found["labs"]
    assert (lab["ran"], lab["total"], sorted(lab["points"])) == (5, 3.0, [0, 0, 3, 3, 3])
    assert lab["states"] == {"graded": 5, "not handed in": 1}
    assert [one["id"] for one in found["students"]] == ["ada", "ben", "cem", "dee", "eli", "fay"]
    assert found["students"][5]["cells"] == [["not handed in", None]]


def test_the_mistakes_have_names_and_people(found):
    sums, scaled = found["labs"][0]["exercises"]
    assert (sums["n"], sums["passed"], sums["facility"]) == (5, 3, 0.6)
    assert sums["mistakes"] == [
        {
            "name": "sum over the wrong axis",
            "says": "You added up the columns; a row is along the last axis.",
            "students": ["dee", "eli"],
            "met": 1,
        }
    ]
    assert (scaled["blank"], scaled["mistakes"]) == (2, [])


def test_with_few_nothing_is_judged(found):
    for exercise in found["labs"][0]["exercises"]:
        assert exercise["discrimination"] is None and exercise["verdict"] == "" and exercise["took"] is None


def test_who_may_need_help_is_listed_with_the_reason(found):
    reasons = {row["id"]: " ".join(row["reasons"]) for row in found["help"]}
    assert set(reasons) == {"dee", "eli", "fay"}
    assert "handed in nothing for 00_rows, and 83% of the class did" in reasons["fay"]
    assert "0 of 3 points" in reasons["dee"]


def test_what_is_unusual_is_listed(found):
    assert [(row["id"], row["flags"]) for row in found["look"]] == [("eli", ["An answer assigns to the name `check`."])]


def test_hints_come_from_progress_files(found):
    sums, _ = found["labs"][0]["exercises"]
    assert (sums["worked"], sums["hints"], found["progress_files"]) == (1, [1, 0, 0], 1)


def test_time_leaves_breaks_out():
    own = effort.efforts(
        [event(0, "read"), event(5), event(9), event(50), event(55, "hint", level=3), event(57, "give_up")]
    )
    work = own["row_sums"]
    assert work.minutes == 5 + 4 + 5 + 2, "the 41 minutes without an event are a break"
    assert (work.tries, work.hints, work.gave_up) == (3, {3}, True)


def test_to_run_a_passed_check_again_is_no_try():
    own = effort.efforts(
        [event(0, passed=False), event(1, passed=True), event(2, passed=False, mistake="adds"), event(3, passed=True)]
    )
    assert (own["row_sums"].tries, own["row_sums"].mistakes, own["row_sums"].minutes) == (2, set(), 3)


def test_a_file_of_nonsense_is_no_trouble(tmp_path):
    (tmp_path / "progress.jsonl").write_bytes(b"\xff\xfe\x00 nonsense\n{}\n[1]\n" + b'{"id": 1}\n' * 10)
    assert effort.read([tmp_path / "progress.jsonl", tmp_path / "none.jsonl"]) == {}


def test_the_page_holds_the_data_and_nothing_that_escapes(found, tmp_path):
    path = page.write_report(found, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o077 == 0, "it names students"
    assert EVIL not in text and text.count("<script") - text.count("'<script") >= 3
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    again = json.loads(data)
    assert again["students"][5]["name"] == f"{EVIL} May" and again["labs"] == found["labs"]
    assert text.count("plotly.js v") == 1, "plotly is in it once"
    assert "default-src 'none'; script-src 'nonce-" in text


def test_a_page_has_a_nonce_of_its_own(found):
    nonces = {re.search(r"'nonce-([^']+)'", page.report_html(found))[1] for _ in range(2)}
    assert len(nonces) == 2
