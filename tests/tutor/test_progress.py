"""The progress file: nothing is lost, whatever happens to the kernel, the file or the clocks; and what follows from it."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mechinterp_course.tutor import catalog, progress
from mechinterp_course.tutor import events as events_module
from mechinterp_course.tutor.progress import Event, Log, merge, parse, read, record, state

TINY = Path(__file__).parent.parent / "tiny_course"


def event(n: int, kind: str = "check", at: str = "", day: str = "2026-03-01", machine: str = "one", **data) -> Event:
    return Event(f"id-{n:04d}", at or f"2026-03-01T10:00:{n % 60:02d}.000Z", kind, machine, day, data)


@pytest.fixture(scope="module")
def book():
    return catalog.course(TINY)


# --- any course of events ---

NAMES = st.sampled_from(["double", "quadruple", "fourfold", "row_softmax", "token_loss", "a name of another release"])
QUESTIONS = st.sampled_from(["softmax-shift", "row-axis", "uniform-loss", "gone"])
TIMES = st.builds(
    lambda day, second, milli: f"2026-03-{day:02d}T10:00:{second:02d}.{milli:03d}Z",
    st.integers(1, 9),
    st.integers(0, 59),
    st.integers(0, 999),
)
DATA = st.one_of(
    st.tuples(
        st.just("check"),
        st.fixed_dictionaries(
            {"exercise": NAMES, "passed": st.booleans(), "mistake": st.sampled_from(["", "squares"])}
        ),
    ),
    st.tuples(st.just("hint"), st.fixed_dictionaries({"exercise": NAMES, "level": st.integers(1, 3)})),
    st.tuples(st.sampled_from(["borrow", "give_up"]), st.fixed_dictionaries({"exercise": NAMES})),
    st.tuples(
        st.sampled_from(["predict", "reveal", "quiz"]),
        st.fixed_dictionaries(
            {
                "question": QUESTIONS,
                "choice": st.sampled_from([None, "key", "about 2.1", "the same probabilities", "no such choice"]),
                "sure": st.sampled_from([None, 50, 70, 90]),
            }
        ),
    ),
    st.tuples(st.just("a kind of the future"), st.dictionaries(st.text(max_size=4), st.integers())),
)
RESERVED = {"id", "at", "kind", "machine", "day"}
EVENTS = st.lists(
    st.builds(
        lambda id, at, machine, kind_data: Event(
            str(id), at, kind_data[0], machine, at[:10], {k: v for k, v in kind_data[1].items() if k not in RESERVED}
        ),
        st.uuids(),
        TIMES,
        st.sampled_from(["laptop", "desktop"]),
        DATA,
    ),
    max_size=12,
    unique_by=lambda e: e.id,
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(events=EVENTS, data=st.data())
def test_the_state_does_not_depend_on_the_order_of_the_lines(book, events, data):
    shuffled = data.draw(st.permutations(events))
    assert state(shuffled, book) == state(events, book)


@quick
@given(events=EVENTS, data=st.data())
def test_two_files_in_any_interleaving_merge_to_the_same(book, tmp_path, events, data):
    """Each machine appends by its own clock, and the clocks disagree: the union is the same, and nothing is lost."""
    of_laptop = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    files = {True: tmp_path / "a.jsonl", False: tmp_path / "b.jsonl"}
    for laptop, file in files.items():
        lines = [e.to_line() + "\n" for e, mine in zip(events, of_laptop, strict=True) if mine is laptop]
        file.write_text("".join(lines))
    merged = merge(*files.values())
    assert {e.id for e in merged} == {e.id for e in events}
    assert state(merged, book) == state(events, book)


@quick
@given(events=EVENTS.filter(bool), data=st.data())
def test_a_half_written_last_line_loses_only_itself(book, tmp_path, events, data):
    file = tmp_path / "progress.jsonl"
    lines = [e.to_line() for e in events]
    cut = data.draw(st.integers(0, len(lines[-1]) - 1))
    file.write_text("".join(line + "\n" for line in lines[:-1]) + lines[-1][:cut])
    log = read(file)
    assert log.damaged == (1 if cut else 0)
    assert state(log, book) == state(events[:-1], book)
    # What is recorded afterwards stands on a line of its own.
    events_module.append(file, event(0).to_line())
    assert {e.id for e in read(file)} == {e.id for e in [*events[:-1], event(0)]}


@quick
@given(a=EVENTS, b=EVENTS, c=EVENTS)
def test_merging_is_commutative_associative_and_idempotent(a, b, c):
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(merge(a, b), b) == merge(a, b)
    assert merge(a, a) == merge(a)


@quick
@given(events=EVENTS)
def test_an_event_survives_its_line(events):
    assert [parse(e.to_line()) for e in events] == events
    assert all("\n" not in e.to_line() for e in events)


def test_one_id_twice_counts_once_whatever_the_order():
    first, second = event(1, exercise="double"), event(1, exercise="quadruple")
    assert merge([first, second]) == merge([second, first])
    assert len(merge([first], [second])) == 1


# --- writing ---


def test_a_line_holds_what_was_recorded(workspace):
    record("check", exercise="double", passed=True)
    (line,) = (workspace / "progress.jsonl").read_text().splitlines()
    data = json.loads(line)
    assert data["kind"] == "check" and data["exercise"] == "double" and data["passed"] is True
    assert events_module._TIME.fullmatch(data["at"]) and data["machine"] and data["id"]
    assert date.fromisoformat(data["day"])


def test_without_a_workspace_nothing_is_written_but_the_session_remembers(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    record("check", exercise="double")
    assert list(tmp_path.rglob("*.jsonl")) == []
    assert capfd.readouterr() == ("", "")
    assert [e.kind for e in progress.load()] == ["check"]


@pytest.mark.parametrize("variable, value", [("MECHINTERP_WORKSPACE", ""), ("NBGRADER_EXECUTION", "autograde")])
def test_recording_can_be_switched_off_inside_a_workspace(workspace, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    record("check", exercise="double")
    assert not (workspace / "progress.jsonl").exists()


def test_the_variable_names_a_workspace(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("MECHINTERP_WORKSPACE", str(tmp_path / "elsewhere"))
    record("hint", exercise="double", level=1)
    assert len(read(tmp_path / "elsewhere" / "progress.jsonl")) == 1


def test_a_disk_that_cannot_be_written_is_mentioned_once(workspace, capsys):
    (workspace / "progress.jsonl").mkdir()  # not a file: every write fails, for root too
    record("check", exercise="double", passed=True)
    record("check", exercise="double", passed=True)
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("could not be saved") == 1 and said.out.count("\n") == 1


def test_two_processes_may_write_at_once(workspace):
    code = "from mechinterp_course.tutor.progress import record\nfor i in range(50): record('check', exercise='e', n=i)"
    runs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    log = read(workspace / "progress.jsonl")
    assert (len(log), log.damaged) == (150, 0)


# --- reading ---


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        "3",
        "null",
        '{"id": "a", "kind": "check"}',
        '{"id": 3, "at": "2026-03-01T10:00:00.000Z", "kind": "check"}',
        '{"id": "a", "at": "yesterday", "kind": "check"}',
        '{"id": "a", "at": null, "kind": "check"}',
        '{"id": "a", "at": "2026-13-01T10:00:00.000Z", "kind": "check", "day": "2026-03-01"}',
        '{"id": "a", "at": "2026-03-01T10:00:00.000Z", "kind": "check", "exercise": ["double"]}',
        '{"id": "a", "at": "2026-03-01T10:00:00.000Z", "kind": "journal", "entry": "b", "replaces": {}}',
        '{"id": "a", "at": "2026-03-01T10:00:00.000Z", "kind": "check", "day": "someday"}',
        "\ufffd\x00\x00",
        "[" * 100_000,
    ],
)
def test_a_damaged_line_is_skipped_and_counted(tmp_path, line):
    file = tmp_path / "progress.jsonl"
    file.write_text(f"{event(1).to_line()}\n{line}\n{event(2).to_line()}\n")
    log = read(file)
    assert ([e.id for e in log], log.damaged) == (["id-0001", "id-0002"], 1)


def test_a_mark_before_the_text_is_no_damage(tmp_path):
    """Some editors on Windows put one there."""
    file = tmp_path / "progress.jsonl"
    file.write_text(event(1).to_line() + "\n", encoding="utf-8-sig")
    assert (len(read(file)), read(file).damaged) == (1, 0)


def test_bytes_that_are_no_text_are_a_damaged_line(tmp_path):
    file = tmp_path / "progress.jsonl"
    file.write_bytes(b"\xff\xfe\x00\n" + event(1).to_line().encode() + b"\n")
    assert (len(read(file)), read(file).damaged) == (1, 1)


def test_a_missing_file_is_an_empty_log(tmp_path):
    assert read(tmp_path / "none.jsonl") == Log()


def test_a_copy_from_another_machine_counts_when_it_lies_in_the_workspace(workspace):
    record("check", exercise="double", passed=True)
    (workspace / "progress (desktop).jsonl").write_text(event(1, machine="desktop").to_line() + "\n")
    assert {e.machine for e in progress.load(workspace)} == {"desktop", progress.load(workspace)[-1].machine}
    assert len(progress.load(workspace)) == 2


# --- the state ---


def test_a_pass_stays_whatever_comes_later(book):
    events = [
        event(1, exercise="double", passed=False, mistake="squares"),
        event(2, exercise="double", passed=True, mistake=""),
        event(3, exercise="double", passed=False, mistake="adds two"),
    ]
    double = state(events, book).exercises["double"]
    assert double.passed == "2026-03-01T10:00:02.000Z"
    assert (double.tries, double.mistakes) == (2, ["squares"]), "to run a passed check again is no try"


def test_hints_loans_and_giving_up_are_kept(book):
    events = [
        event(1, "hint", exercise="double", level=1),
        event(2, "hint", exercise="double", level=3),
        event(3, "borrow", exercise="double"),
        event(4, "give_up", exercise="row_softmax"),
    ]
    now = state(events, book)
    assert now.exercises["double"].hints == {1, 3} and now.exercises["double"].borrowed
    assert now.exercises["row_softmax"].gave_up and now.exercises["row_softmax"].settled
    assert not now.exercises["double"].settled


def test_a_renamed_exercise_keeps_what_was_done_under_its_old_name(book):
    assert state([event(1, exercise="fourfold", passed=True)], book).exercises["quadruple"].passed


def test_next_is_the_reading_then_the_lab_then_the_next_lesson(book):
    def following(*events):
        step = state(events, book).next
        return step and (step.lesson.number, step.sitting.name, step.exercise)

    passed = {name: event(i, exercise=name, passed=True) for i, name in enumerate(book.exercises)}
    read_first = event(50, "read", lesson="l00_first_steps")
    assert following() == ("00", "reading", None)
    assert following(read_first) == ("00", "lab A", "double")
    assert following(passed["double"]) == ("00", "lab A", "quadruple")
    assert following(passed["double"], passed["quadruple"]) == ("00", "lab B", "row_softmax")
    assert following(*list(passed.values())[:3]) == ("01", "reading", None)
    assert following(*passed.values()) is None


def test_the_reading_is_done_when_its_questions_are(book):
    first = event(1, "reveal", question="softmax-shift", choice=None, sure=None)
    second = event(2, "quiz", question="row-axis", choice="query")
    assert state([first], book).lessons["l00_first_steps"].sittings[0].minutes_left == 5
    after = state([first, second], book).lessons["l00_first_steps"]
    assert after.sittings[0].finished and after.begun
    assert after.minutes_left == 60


def test_a_borrowed_exercise_comes_back_at_the_end_of_its_sitting(book):
    borrowed = event(1, "borrow", exercise="double")
    assert state([borrowed], book).next.exercise == "quadruple"
    assert state([borrowed, event(2, exercise="quadruple", passed=True)], book).next.exercise == "double"


def test_minutes_left_are_those_of_the_unsolved_cards(book):
    lesson = state([event(1, exercise="double", passed=True)], book).lessons["l00_first_steps"]
    reading, lab_a, lab_b = lesson.sittings
    assert (reading.finished, lab_a.done, lab_a.total, lab_a.minutes_left, lab_b.minutes_left) == (True, 1, 2, 25, 30)
    assert (lesson.done, lesson.total, lesson.minutes_left, lesson.finished) == (1, 3, 55, False)


def test_the_last_prediction_before_the_reveal_stands(book):
    events = [
        event(1, "predict", question="uniform-loss", choice="about 3", sure=50),
        event(2, "predict", question="uniform-loss", choice="about 2.1", sure=90),
        event(3, "reveal", question="uniform-loss", choice="about 2.1", sure=90),
        event(4, "predict", question="uniform-loss", choice="about 0.13", sure=50),
    ]
    question = state(events, book).questions["uniform-loss"]
    assert (question.choice, question.sure, question.right, question.revealed) == (1, 90, True, True)


def test_a_reveal_carries_its_prediction_past_a_clock_that_runs_late(book):
    reveal = event(1, "reveal", question="uniform-loss", choice="about 2.1", sure=70)
    late = event(9, "predict", question="uniform-loss", choice="about 2.1", sure=70)
    assert state([reveal], book).questions["uniform-loss"] == state([reveal, late], book).questions["uniform-loss"]


def test_a_choice_that_a_new_release_dropped_is_no_answer(book):
    question = state([event(1, "predict", question="uniform-loss", choice="gone", sure=70)], book).questions
    assert question["uniform-loss"].choice is None


def test_the_days_are_those_on_which_something_was_done(book):
    """Opening a notebook, planning, days off and the calendar file do not make a day one that was worked on."""
    days = ["2026-03-01", "2026-03-03", "2026-03-04"]
    idle = [event(10 + i, kind, day=f"2026-03-1{i}") for i, kind in enumerate(("open", "plan", "rest", "calendar"))]
    now = state([*(event(i, day=day) for i, day in enumerate(days)), *idle], book)
    assert now.days == tuple(date.fromisoformat(day) for day in days)


def test_nothing_done_is_a_state_too(book):
    now = state([], book)
    assert now.last is None and now.days == ()
    assert not any(lesson.begun for lesson in now.lessons.values())


def test_the_state_loads_neither_torch_nor_a_notebook_library():
    code = (
        "import sys; from mechinterp_course.tutor import progress, catalog\n"
        "progress.state([], catalog.course())\n"
        "print([m for m in ('torch', 'jupytext', 'nbformat', 'IPython', 'ipywidgets') if m in sys.modules])"
    )
    env = {**os.environ, "MECHINTERP_CONTENT": str(TINY)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_events_of_one_moment_keep_their_order(workspace, monkeypatch):
    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr(events_module, "datetime", Stopped)
    monkeypatch.setattr(events_module, "_latest", datetime(2025, 1, 1, tzinfo=UTC))
    for number in range(20):
        progress.record("note", number=number)
    assert [event.data["number"] for event in progress.load()] == list(range(20))


def test_what_holds_last_is_later_than_what_a_wrong_clock_wrote(workspace):
    """Another computer's clock is a year ahead: what is said now still comes last, and keeps today's date."""
    ahead = Event("a", f"{datetime.now().year + 1}-03-01T10:00:00.000Z", "plan", "other", "2026-03-01", {})
    for number in range(20):
        progress.record("plan", after=[ahead], number=number)
    progress.record("check", exercise="double", passed=True)
    *plans, check = sorted(progress.load(), key=lambda one: one.kind == "check")
    assert [one.data["number"] for one in plans] == list(range(20)) and all(one.at > ahead.at for one in plans)
    assert {one.day for one in plans} == {check.day} and check.at < ahead.at
