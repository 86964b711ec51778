"""The learner's hour as a person meets it: what the commands say, what they record, and the calendar file."""

import io
import json
from datetime import date, datetime, timedelta

import pytest
from learner import built_fixture, learner_fixture, release_fixture  # noqa: F401
from simulated_learner import Learner

from mechinterp_course.commands import calibration_screen, hour_screen, plan_screen, screen
from mechinterp_course.commands.app import run
from mechinterp_course.tutor import catalog, history, planning, progress
from mechinterp_course.tutor.glance import due_cards, glance
from mechinterp_course.tutor.plan import Plan, plans
from mechinterp_course.tutor.progress import Event
from mechinterp_course.tutor.resume import resume

TODAY = date.today()
MONDAY = date(2026, 3, 2)


@pytest.fixture
def say(capsys):
    """Return a function that runs a command in this process and returns (exit code, stdout, stderr)."""

    def command(*arguments):
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return command


def kinds(learner) -> list[str]:
    return [event.kind for event in progress.load(learner.root)]


# --- mechinterp plan ---


@pytest.mark.parametrize("command", ["plan", "calibration"])
def test_the_help_teaches(say, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = say(command, "--help")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert not any(line and len(line) < 20 and not line.startswith("│") and line[0].islower() for line in lines)
    if command == "plan":
        assert "mechinterp plan --minutes 60 --days mon-fri --from monday" in lines
        assert "two planned" in out and "--short" in out


def test_without_a_plan_it_shows_one_and_records_nothing(say, learner):
    code, out, err = say("plan")
    assert (code, err, kinds(learner)) == (0, "", [])
    assert out.startswith("It would be: 1 h, Mon-Fri\n") and "This is not recorded." in out
    assert "00 First steps: reading" in out


def test_a_plan_is_recorded_and_changed_by_what_is_typed(say, learner):
    assert say("plan", "--days", "daily", "--minutes", "40", "--at", "7:30")[1].startswith(
        "Your plan: 40 min, every day, at 07:30\n"
    )
    assert say("plan", "--short", "--days", "mon,tue,wed,sat")[1].startswith(
        "Your plan: 40 min, Mon-Wed, Sat, at 07:30, the short path\n"
    )
    assert say("plan", "--full", "--dry-run")[1].startswith("It would be: 40 min, Mon-Wed, Sat, at 07:30\n")
    assert kinds(learner) == ["plan", "plan"]
    assert plans(progress.load(learner.root)).now == Plan(40, (0, 1, 2, 5), TODAY, True, "", "07:30")
    assert say("plan")[1].startswith("Your plan: 40 min, Mon-Wed, Sat, at 07:30, the short path\n")


def test_days_off(say, learner):
    last = TODAY + timedelta(days=9)
    code, out, _ = say("plan", "--days", "daily", "--rest", f"{TODAY}..{last}")
    assert code == 0 and f"Off: {TODAY.day} {TODAY:%B} to {last.day} {last:%B}." in out
    assert kinds(learner) == ["plan", "rest"]
    days = json.loads(say("plan", "--json")[1])["days"]
    assert days[0]["date"] == (last + timedelta(days=1)).isoformat()
    assert "Off:" not in say("plan", "--no-rest", f"{TODAY}..{last}")[1]
    assert json.loads(say("plan", "--json")[1])["days"][0]["date"] == TODAY.isoformat()
    far = TODAY.replace(year=TODAY.year + 1, day=1)
    assert f"{far.day} {far:%B} {far.year}" in say("plan", "--rest", f"{far}")[1], "another year is said"


@pytest.mark.parametrize(
    ("arguments", "sentence", "remedy"),
    [
        (["--minutes", "0"], "0 minutes is too short", "--minutes 30"),
        (["--days", "moonday"], "There is no weekday 'moonday'", "mon-fri"),
        (["--from", "2020-01-01"], "2020-01-01 is in the past", f"--from {TODAY}"),
        (["--from", "2026-02-30"], "There is no day 2026-02-30", f"--from {TODAY}"),
        (["--to", "02"], "is not built yet", "There are: 00_first_steps"),
        (["--rest", "2026-02-02..2026-02-01"], "end (2026-02-01) before they begin", "--rest"),
        (["--at", "noon"], "'noon' is not a time of day", "--at 19:00"),
        (["--ics", "hour.ics"], "There is no plan to write yet", "mechinterp plan"),
    ],
)
def test_bad_input_is_a_sentence_and_records_nothing(say, learner, arguments, sentence, remedy):
    code, out, err = say("plan", *arguments)
    assert code == 1 and sentence in err and remedy in err and "Traceback" not in err
    assert kinds(learner) == []


def test_the_plan_as_json(say, learner):
    say("plan", "--minutes", "60", "--days", "daily")
    data = json.loads(say("plan", "--json")[1])
    assert data["is_made"] and data["plan"]["days"] == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    first = data["days"][0]
    assert (first["date"], first["minutes"]) == (TODAY.isoformat(), 35)
    assert first["sittings"][1] == {
        "lesson": "l00_first_steps",
        "sitting": "lab A",
        "exercises": ["double", "quadruple"],
        "minutes": 30,
    }


# --- the calendar file ---


def entries(file) -> dict[str, object]:
    """Return the entries of an .ics file by their UID; one that stands there twice fails."""
    from icalendar import Calendar

    calendar = Calendar.from_ical(file.read_bytes())
    assert calendar["method"] == "PUBLISH" and calendar["version"] == "2.0" and "prodid" in calendar
    found = [entry for entry in calendar.walk("VEVENT")]
    assert len({str(entry["uid"]) for entry in found}) == len(found)
    return {str(entry["uid"]): entry for entry in found}


def test_the_calendar_holds_a_day_of_the_plan_in_one_entry(say, learner, tmp_path):
    file = tmp_path / "hour.ics"
    code, out, _ = say("plan", "--days", "daily", "--ics", str(file))
    assert code == 0 and str(file) in out
    found = sorted(entries(file).values(), key=lambda entry: entry["dtstart"].dt)
    assert [entry["dtstart"].dt for entry in found] == [TODAY, TODAY + timedelta(days=1)]  # whole days
    assert str(found[0]["summary"]) == "Mechinterp 00: First steps, reading and 1 more"
    assert "30 min  00 First steps: lab A" in str(found[0]["description"])
    assert str(found[0]["status"]) == "CONFIRMED" and found[0]["sequence"] == 0


def test_with_an_hour_the_entries_are_at_that_hour_wherever_the_learner_is(say, learner, tmp_path):
    file = tmp_path / "hour.ics"
    say("plan", "--days", "daily", "--minutes", "60", "--at", "23:30", "--ics", str(file))
    first = min(entries(file).values(), key=lambda entry: entry["dtstart"].dt)
    begin, end = first["dtstart"].dt, first["dtend"].dt
    assert begin == datetime.combine(TODAY, datetime.min.time()).replace(hour=23, minute=30) and begin.tzinfo is None
    assert end - begin == timedelta(minutes=60)


def test_importing_again_updates_and_does_not_double(say, learner, tmp_path):
    file = tmp_path / "hour.ics"
    say("plan", "--days", "daily", "--minutes", "34", "--ics", str(file))
    before = entries(file)
    assert len(before) == 4
    progress.record("check", exercise="double", passed=True)
    say("plan", "--minutes", "90", "--ics", str(file))
    after = entries(file)
    assert set(before) <= set(after)  # the same days, under the same names
    gone = {uid for uid, entry in after.items() if str(entry["status"]) == "CANCELLED"}
    assert len(gone) == 2 and gone < set(before)  # the course ends sooner: the last days are taken back
    assert all(entry["sequence"] == 1 for entry in after.values())
    say("plan", "--minutes", "34", "--ics", str(file))
    assert {str(e["status"]) for uid, e in entries(file).items() if uid in gone} == {"CONFIRMED"}
    # Today's hour was done in between: it stays in the calendar as it was, neither planned nor cancelled.
    assert set(entries(file)) == {uid for uid in before if not uid.startswith(TODAY.isoformat())}


def test_the_calendar_is_written_beside_json_too(say, learner, tmp_path):
    file = tmp_path / "hour.ics"
    assert json.loads(say("plan", "--days", "daily", "--json", "--ics", str(file))[1])["is_made"] and entries(file)


def test_a_calendar_that_another_computer_wrote_is_taken_back(say, learner, tmp_path):
    """Both made one before their progress came together: one calendar goes on, the entries of the other are cancelled."""
    file = tmp_path / "hour.ics"
    say("plan", "--days", "daily", "--ics", str(file))
    name = plans(progress.load(learner.root)).name
    tomorrow = (TODAY + timedelta(days=1)).isoformat()
    progress.record("calendar", days=["2020-01-01", tomorrow], sequence=0, name="theirs")
    say("plan", "--ics", str(file))
    status = {uid: str(entry["status"]) for uid, entry in entries(file).items()}
    assert status[f"{tomorrow}-theirs@mechinterp-course"] == "CANCELLED" and len(status) == 3
    assert status[f"{tomorrow}-{name}@mechinterp-course"] == "CONFIRMED"


def test_another_file_is_not_overwritten(say, learner, tmp_path):
    mine = tmp_path / "thesis.ics"
    mine.write_text("My thesis")
    say("plan", "--days", "daily")
    code, _, err = say("plan", "--ics", str(mine))
    assert code == 1 and "it is not a calendar" in err and mine.read_text() == "My thesis"
    code, out, _ = say("plan", "--ics", str(tmp_path))  # a folder: a file in it
    assert code == 0 and entries(tmp_path / "mechinterp.ics")
    code, _, err = say("plan", "--ics", str(mine / "deep.ics"))
    assert code == 1 and "Traceback" not in err


def test_two_machines_write_the_same_names(learner, tmp_path):
    """The name of the calendar comes from the first plan of both machines' files, whatever was merged first."""
    book = catalog.course()
    plan = Event("id-1", "2026-03-02T08:00:00.000Z", "plan", "one", "2026-03-02", Plan(start=TODAY).data)
    other = Event("id-2", "2026-03-03T08:00:00.000Z", "plan", "two", "2026-03-03", Plan(start=TODAY, minutes=30).data)
    uids = []
    for events in ([plan, other], [other, plan]):
        seen = glance(progress.merge(events), book, TODAY)
        planned = planning.Planned(seen, {}, True, tuple(events))
        file = tmp_path / "hour.ics"
        file.write_text(planning.ics(planned, set(), 0, datetime.now().astimezone()))
        uids.append(set(entries(file)))
    assert uids[0] == uids[1] and all("id-1" in uid for uid in uids[0])


# --- mechinterp alone, status, calibration ---


def shown(function, *arguments, width: int = 80) -> list[str]:
    from rich.console import Console

    terminal = screen.Screen()
    terminal.console = Console(width=width, highlight=False, record=True, file=io.StringIO())
    function(terminal, *arguments)
    return [line.rstrip() for line in terminal.console.export_text().splitlines()]


def where(learner, book, events, day):
    (learner.root / "progress.jsonl").write_text("".join(event.to_line() + "\n" for event in events))
    return resume(learner, book, datetime.combine(day, datetime.min.time()).replace(hour=20).astimezone())


def test_the_first_day(learner):
    lines = shown(hour_screen.resume, where(learner, catalog.course(), [], MONDAY))
    assert lines == [
        "Today    5 min  Lesson 00, First steps: reading",
        "        30 min  00 First steps: lab A",
        "So far  ░░░░░░░░░░░░░░░░░░░░  0 of 4 exercises passed",
        "Plan    none yet: `mechinterp plan --minutes 60 --days mon-fri` lays it on days",
    ]


def test_a_day_with_review_and_a_day_that_is_done(learner):
    book = catalog.course()
    plan = Event("p", "2026-03-02T08:00:00.000Z", "plan", "one", "2026-03-02", Plan(start=MONDAY).data)
    read = Event("r", "2026-03-02T09:00:00.000Z", "read", "one", "2026-03-02", {"lesson": "l00_first_steps"})
    quiz = next(question for question in book.questions.values() if question.kind == "quiz")
    wrong = quiz.choices[(quiz.answer + 1) % len(quiz.choices)]
    missed = Event("q", "2026-02-27T09:00:00.000Z", "quiz", "one", "2026-02-27", {"question": quiz.id, "choice": wrong})
    found = where(learner, book, [missed, plan, read], MONDAY)
    lines = shown(hour_screen.resume, found)
    assert lines[1].split("  ")[-1] == "Review: 1 card for today, `mechinterp review`"
    assert [line.strip() for line in lines[2:5]] == [
        "✓  00 First steps: reading",
        "30 min  Lesson 00, First steps: lab A, beginning with the exercise",
        "double",
    ]
    assert lines[4].index("double") == lines[3].index("Lesson")  # a long line goes on below its own beginning
    assert any("●◌◌◌◌··  2 days" in line for line in lines)
    reviewing = glance(found.glance.events, book, MONDAY, due=1)
    lines = shown(lambda terminal: terminal.facts(hour_screen.today_rows(reviewing, found.next)))
    assert lines[0] == "Today   5 min  Review: 1 card for today, `mechinterp review`"
    done = [missed, plan, read, *(_passed(i, name) for i, name in enumerate(("double", "quadruple")))]
    lines = shown(hour_screen.resume, where(learner, book, done, MONDAY))
    assert any("Only the review is left." in line for line in lines)
    plain = shown(
        lambda terminal: terminal.facts(hour_screen.today_rows(glance(found.glance.events, book, MONDAY), "x"))
    )
    assert not any("Review" in line for line in plain)
    assert any(line.startswith("If you like") and "lab B" in line for line in lines)


def _passed(n: int, name: str, day: date = MONDAY) -> Event:
    data = {"exercise": name, "passed": True}
    return Event(f"c{n}", f"{day}T18:00:0{n}.000Z", "check", "one", day.isoformat(), data)


def test_a_day_off_a_break_and_a_damaged_file_are_said_kindly(learner):
    book = catalog.course()
    plan = Event("p", "2026-03-02T08:00:00.000Z", "plan", "one", "2026-03-02", Plan(start=MONDAY).data)
    saturday = MONDAY + timedelta(days=5)
    lines = shown(hour_screen.resume, where(learner, book, [plan, _passed(1, "double")], saturday))
    assert any("A day off in your plan. The next hour is on Monday 9 March." in line for line in lines)
    later = MONDAY + timedelta(days=16)
    found = where(learner, book, [plan, _passed(1, "double")], later)
    (learner.root / "progress_other.jsonl").write_text("not a line of ours\n")
    lines = shown(hour_screen.resume, found, width=100)
    assert any(
        "Welcome back. A new streak begins with today; the 1 day before counts as ever." in line for line in lines
    )
    damaged = resume(learner, book, datetime.combine(later, datetime.min.time()).astimezone())
    assert any(
        "One line of progress.jsonl cannot be read" in line for line in shown(hour_screen.resume, damaged, width=120)
    )


def test_the_status_command_shows_todays_hour(say, learner):
    code, out, _ = say("status")
    assert code == 0
    assert "Today" in out and "Review" in out and "How sure" in out and "Plan" in out


def test_a_foreign_progress_file_loses_nothing(say, learner):
    file = learner.root / "progress.jsonl"
    text = '{"event": "of another program"}\n\x00\xff\n' + _passed(1, "exercise_of_another_course").to_line() + "\n"
    file.write_bytes(text.encode("latin-1"))
    code, out, err = say("status")
    words = " ".join(out.split())
    assert code == 0 and err == ""
    assert "2 lines of progress.jsonl cannot be read; they stay there" in words
    assert "none is of this course" in words
    say("plan", "--days", "daily")
    assert file.read_bytes().startswith(text.encode("latin-1"))


def test_calibration_in_the_terminal(say, learner):
    code, out, _ = say("calibration")
    assert code == 0 and "No prediction with its answer yet." in out
    question = next(q for q in catalog.course().questions.values() if q.kind == "predict")
    progress.record("reveal", question=question.id, choice=question.choices[question.answer], sure=70)
    code, out, _ = say("calibration")
    assert "70 %" in out and "1 of 1" in out and "9 more to say anything" in out and "│" in out and "●" in out
    assert json.loads(say("calibration", "--json")[1])["count"] == 1


@pytest.mark.parametrize("width", [80, 120])
def test_every_screen_fits_its_terminal(learner, width):
    course = catalog.course(catalog.PACKAGE / "content")
    done = Learner(course).run(60)
    day = MONDAY + timedelta(days=58)
    seen = glance(progress.merge(done.events), course, day)
    planned = planning.Planned(seen, history.finished(seen.events, course), True, tuple(seen.events))
    screens = {
        "plan": shown(plan_screen.plan, planned, True, width=width),
        "calibration": shown(calibration_screen.calibration, seen.calibration, width=width),
    }
    for name, lines in screens.items():
        assert max(map(len, lines)) <= width, name
    assert any("✓" in line for line in screens["plan"])
    assert any(line.lstrip().startswith("90 %") and "├" in line and "┤" in line for line in screens["calibration"])


def test_what_is_due_for_review_is_part_of_the_hour(say, learner):
    """The day after an exercise took many tries, its card is due; today's hour counts it, and nothing was read but events."""
    book = catalog.course()
    tries = [Event(f"t{n}", f"2026-03-02T10:00:0{n}.000Z", "check", "one", "2026-03-02", {"exercise": "double", "passed": n == 7}) for n in range(8)]  # fmt: skip
    found = where(learner, book, tries, MONDAY + timedelta(days=9))
    assert found.glance.today.due == due_cards(progress.merge(tries), book, MONDAY + timedelta(days=9)) > 0
    lines = shown(hour_screen.resume, found)
    assert any("Review: " in line and "5 min" in line for line in lines)
