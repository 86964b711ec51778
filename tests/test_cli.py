"""The command line as a person meets it: what it says, its exit codes, and that nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    READING,
    built_fixture,
    cells,
    learner_fixture,
    mechinterp,
    release_fixture,
    write_cell,
)

from mechinterp_course import __version__, cli
from mechinterp_course.commands.app import run
from mechinterp_course.tutor import notebook, progress, workspace


@pytest.fixture
def say(capsys):
    """Return a function that runs a command in this process and returns (exit code, stdout, stderr)."""

    def command(*arguments):
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_the_help_teaches(say):
    code, out, _ = say("--help")
    assert code == 0
    for part in (
        "Mechanistic interpretability, an hour a day",
        "For learners",
        "For authors",
        "For teachers",
        "Examples",
    ):
        assert part in out
    for command in (
        "start",
        "status",
        "check",
        "hint",
        "compare",
        "reset",
        "update",
        "doctor",
        "models",
        "author",
        "class",
    ):
        assert f" {command} " in out


@pytest.mark.parametrize(
    "command",
    [
        *(["start"], ["status"], ["check"], ["hint"], ["compare"], ["reset"], ["update"], ["doctor"], ["models"]),
        *(["models", "card"], ["models", "train"], ["author"], ["author", "build"], ["author", "check"]),
        *(["author", "new"], ["author", "links"], ["class"], ["class", "init"]),
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(say, command):
    code, out, _ = say(*command, "--help")
    assert code == 0
    assert "Usage:" in out and "." in out.split("Usage:")[1]


def test_the_version(say):
    assert say("--version") == (0, f"mechinterp {__version__}\n", "")


def test_without_a_workspace_three_lines_say_how_to_begin(say, release):
    code, out, _ = say()
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "mechinterp start" in out


def test_without_a_workspace_a_command_says_so(say, release):
    code, out, err = say("status")
    assert (code, out) == (1, "")
    assert err.startswith("✗ There is no workspace yet.")
    assert "`mechinterp start`" in err


def test_the_status_table(say, learner):
    progress.record("check", exercise="double", passed=True)
    code, out, _ = say("status")
    assert code == 0
    assert "1/3" in out and "█" in out and "The loss of a token" in out
    assert "from the exercise quadruple" in out


def test_the_status_as_json(say, learner):
    code, out, _ = say("status", "--json")
    assert code == 0
    assert [row["number"] for row in json.loads(out)["lessons"]] == ["00", "01"]


def test_hints_come_one_after_the_other_and_are_recorded(say, learner):
    assert "What is the sum" in say("hint", "double")[1]
    assert "multiply it by two" in say("hint", "double")[1]
    assert "1. Multiply" in say("hint", "double", "--level", "3")[1]
    assert [e.data["level"] for e in progress.load(learner.root)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hint", "duoble"], "Did you mean double"),
        (["check", "frist_steps"], "Did you mean first_steps"),
        (["compare", "quadrupel"], "Did you mean quadruple"),
        (["reset", "row_sofmax"], "Did you mean row_softmax"),
        (["reset", "00_first_stps.ipynb"], "There is no notebook"),
        (["check", "2"], "is not built yet"),
    ],
)
def test_a_misspelt_name_suggests_the_nearest(say, learner, arguments, sentence):
    code, _, err = say(*arguments)
    assert code == 1
    assert sentence in err and "Traceback" not in err


def test_a_misspelt_command_or_option_is_exit_code_2(say, learner):
    code, _, err = say("stauts")
    assert code == 2 and "status" in err
    assert say("hint", "double", "--level", "4")[0] == 2


def test_compare_shows_both_beside_each_other_or_below(say, learner, monkeypatch):
    write_cell(learner.root / LAB, "double", DOUBLE)
    code, _, err = say("compare", "double")
    assert code == 1 and "--give-up" in err
    monkeypatch.setenv("COLUMNS", "120")
    wide = say("compare", "double", "--give-up")[1]
    assert any("Yours" in line and "The course's" in line for line in wide.splitlines())
    monkeypatch.setenv("COLUMNS", "80")
    narrow = say("compare", "row_softmax", "--give-up")[1]
    assert not any("Yours" in line and "The course's" in line for line in narrow.splitlines())
    assert max(len(line) for line in narrow.splitlines()) <= 80


def test_reset_says_where_the_old_notebook_is(say, learner):
    write_cell(learner.root / LAB, "double", DOUBLE)
    code, out, _ = say("reset", "double")
    assert code == 0
    (kept,) = [line.strip() for line in out.splitlines() if line.strip().endswith(".ipynb") and "backups" in line]
    assert cells(workspace.Path(kept))["double"] == DOUBLE


def test_a_notebook_is_the_one_where_the_learner_stands(say, learner, monkeypatch):
    """A lesson and its lab have one file name."""
    for folder, meant in (("lessons", READING), ("exercises/00_first_steps", LAB)):
        for path in (learner.root / READING, learner.root / LAB):
            path.write_text("{}")
        monkeypatch.chdir(learner.root / folder)
        assert say("reset", "00_first_steps.ipynb")[0] == 0
        changed = [path for path in (READING, LAB) if (learner.root / path).read_text() != "{}"]
        assert changed == [meant]


@pytest.mark.parametrize("command", [["start", "~nobody-of-that-name/x"], ["status"]])
def test_a_home_folder_that_is_not_known_is_a_sentence(say, release, monkeypatch, command):
    monkeypatch.setenv("MECHINTERP_WORKSPACE", "~nobody-of-that-name/x")
    code, _, err = say(*command)
    assert code == 1 and "Your home folder cannot be found." in err and "mechinterp start DIR" in err


def test_update_with_nothing_to_do(say, learner):
    assert say("update") == (0, "Your notebooks are those of the installed release. Nothing to do.\n", "")


def test_update_says_what_changed_and_fails_where_a_notebook_is_damaged(say, learner, release):
    for path in release.glob("exercises/*/*.ipynb"):
        path.write_text(path.read_text().replace("Return every number", "Give back every number"))
    (learner.root / "lessons/home.ipynb").write_text("{")
    write_cell(learner.root / LAB, "double", DOUBLE)
    dry = say("update", "--dry-run")
    assert "would be updated" in dry[1] and "Nothing was changed" in dry[1]
    code, out, err = say("update")
    assert code == 1
    assert f"{LAB} updated" in out and "kept: 1 answer" in out and "backups" in out
    assert "home.ipynb is damaged" in (out + err)
    assert cells(learner.root / LAB)["double"] == DOUBLE


@pytest.mark.kernel
def test_check_exits_with_1_where_something_fails_and_0_where_all_passes(say, learner):
    write_cell(learner.root / LAB, "double", DOUBLE)
    code, out, _ = say("check", "double")
    assert code == 0 and out.startswith("✓ double")
    code, out, _ = say("check")
    assert code == 1
    assert "1 of 3 exercises pass." in out


def test_check_of_a_damaged_notebook(say, learner):
    (learner.root / LAB).write_text('{"cells": [')
    code, out, _ = say("check", "double")
    assert code == 1
    assert "is damaged" in out and "mechinterp reset" in out


@pytest.mark.parametrize(
    "trouble", [OSError(28, "No space left on device", "x"), PermissionError(13, "Permission denied")]
)
def test_trouble_with_files_is_a_sentence(say, learner, monkeypatch, trouble):
    def refuse(*_):
        raise trouble

    monkeypatch.setattr(notebook, "write", refuse)
    write_cell(learner.root / LAB, "double", DOUBLE)
    code, _, err = say("reset", "double")
    assert code == 1
    assert trouble.strerror in err and "Traceback" not in err
    assert cells(learner.root / LAB)["double"] == DOUBLE


def test_start_in_a_folder_that_is_not_empty(say, release, tmp_path):
    code, _, err = say("start", str(tmp_path), "--no-browser")
    assert code == 1
    assert "is not empty" in err and "mechinterp start DIR" in err


def test_start_below_a_file(say, release, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, err = say("start", str(tmp_path / "file" / "mine"), "--no-browser")
    assert code == 1
    assert "cannot be made" in err


def test_models_are_listed_and_have_cards(say):
    pytest.importorskip("torch")
    code, out, _ = say("models")
    assert code == 0 and "code-2l" in out
    code, out, _ = say("models", "card", "code-2l")
    assert code == 0 and json.loads(out)["name"] == "code-2l"
    code, _, err = say("models", "card", "code-2")
    assert code == 1 and "code-2l" in err


def test_saes_are_listed_and_have_cards(say):
    code, out, _ = say("models")
    assert code == 0 and "code-4l-layer2-960" in out
    code, out, _ = say("models", "card", "code-4l-layer2-960")
    assert code == 0 and json.loads(out)["figures"]["loss_recovered"]["mean"] > 0.9


def test_author_build_in_an_installed_package(say, release, monkeypatch, tmp_path):
    (tmp_path / "_notebooks").mkdir()
    monkeypatch.setenv("MECHINTERP_NOTEBOOKS", str(tmp_path / "_notebooks"))
    code, _, err = say("author", "build")
    assert code == 1 and "Clone the course" in err


# --- Ctrl-C, pipes, and how long it takes -----------------------------------------------------------------------------


def test_ctrl_c_in_a_command_is_a_sentence_and_130(learner, monkeypatch, capsys):
    from mechinterp_course.tutor import update as updating

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(updating, "_bring", interrupted)
    monkeypatch.setattr(sys, "argv", ["mechinterp", "update"])
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.value.code == 130
    assert "Stopped. Nothing was lost." in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="sends Ctrl-C as a POSIX signal")
def test_ctrl_c_while_the_command_line_loads(release, tmp_path):
    """Python's own start cannot be guarded; from the package's first import on, there is an answer."""
    slow = tmp_path / "slow" / "typer"
    slow.mkdir(parents=True)
    (slow / "__init__.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(30)\n")
    environment = {**os.environ, "PYTHONPATH": str(slow.parent), "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mechinterp_course", "status"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "Stopped. Nothing was lost."


@pytest.mark.skipif(sys.platform == "win32", reason="a shell pipe")
def test_a_closed_pipe_is_quiet(learner):
    command = f"{sys.executable} -m mechinterp_course --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_terminal_without_check_marks_still_works(learner):
    done = mechinterp("hint", "double", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert "What is the sum" in done.stdout


def test_the_command_runs_in_a_process_of_its_own(learner):
    began = time.perf_counter()
    done = mechinterp("status")
    assert done.returncode == 0 and "First steps" in done.stdout
    assert done.stderr == ""
    assert time.perf_counter() - began < 20  # the figures are in the benchmark; this only catches a hang
