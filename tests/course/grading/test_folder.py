"""A class folder: nbgrader's own commands, unmodified, give each submission the points it has earned."""

import csv
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import typer
from nbgrader.apps import NbGraderApp
from planted import plant

from mechinterp_course.commands import classroom
from mechinterp_course.course import grading
from mechinterp_course.course.grading import folder as class_folders
from mechinterp_course.course.grading import making, nbgrader_cli, session
from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, runner
from mechinterp_course.tutor.reference import reference

LAB = "00_rows"
STUDENTS = {"full": 3.0, "partial": 1.0, "unanswered": 0.0, "memorised": 2.0}


@pytest.fixture(scope="module")
def made_class(tmp_path_factory):
    """A class of the small course, with one submission of each kind."""
    root = tmp_path_factory.mktemp("class")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MECHINTERP_CONTENT", str(root / "content"))
        course = plant(root / "content")
        folder = root / "my class"
        said = grading.init(folder, course)
        assert "README.md" in said[-1]
        for student in STUDENTS:
            submit(folder, student)
        yield folder


@pytest.fixture
def class_folder(made_class, monkeypatch):
    """The class folder, in an environment where the small course is the course."""
    monkeypatch.setenv("MECHINTERP_CONTENT", str(made_class.parent / "content"))
    return made_class


def submit(folder: Path, student: str) -> None:
    release = folder / "release" / LAB / f"{LAB}.ipynb"
    lab = json.loads(release.read_text(encoding="utf-8"))
    for cell in lab["cells"]:
        body = answers(student).get(cell["id"])
        if body:
            cell["source"] = "".join(cell["source"]).split("    # YOUR CODE HERE")[0] + body
    path = folder / "submitted" / student / LAB / f"{LAB}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(lab), encoding="utf-8")


def answers(student: str) -> dict[str, str]:
    sums, scaled = "    return matrix.sum(dim=-1)\n", "    return matrix / matrix.sum(dim=-1, keepdim=True)\n"
    if student == "full":
        return {"row_sums": sums, "scaled_rows": scaled}
    if student == "partial":
        return {"row_sums": sums}
    if student == "memorised":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.print", lambda *arguments: None)
            seen = runner.examine("row_sums", reference("row_sums")).calls[0].result.tolist()
        return {"row_sums": f"    return torch.tensor({seen})\n", "scaled_rows": scaled}
    return {}


def nbgrader(folder, *arguments):
    done = grading.nbgrader(folder, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.kernel
def test_submissions_earn_what_they_should(class_folder):
    nbgrader(class_folder, "autograde", LAB, "--create", "--force")
    nbgrader(class_folder, "generate_feedback", LAB, "--force")
    nbgrader(class_folder, "export")
    with (class_folder / "grades.csv").open(encoding="utf-8") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {student: float(rows[student]["score"]) for student in STUDENTS} == STUDENTS
    assert {float(row["max_score"]) for row in rows.values()} == {3.0}
    page = (class_folder / "feedback" / "memorised" / LAB / f"{LAB}.html").read_text(encoding="utf-8")
    assert "on new inputs" in page  # the hidden check says so


@pytest.mark.kernel
def test_our_grader_gives_the_same_points(class_folder, tmp_path):
    """What nbgrader gives honest submissions, the sandbox and the workers give, too; and the formgrader's notebooks are there."""
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        pytest.skip("the sandbox needs bubblewrap")
    shutil.copytree(class_folder, tmp_path / "class", ignore=shutil.ignore_patterns("autograded", "feedback", "*.csv"))
    settings = tmp_path / "class" / "nbgrader_config.py"
    assert str(class_folder) not in settings.read_text(), "a class folder can be moved"
    made = class_folders.ClassFolder(tmp_path / "class")
    done = {one.student: one.graded for one in session.grade(made, catalog.course(), [LAB], workers=1)}
    assert {student: graded.points for student, graded in done.items()} == STUDENTS, done
    assert done["memorised"].outcomes[0].hidden is False and "on new inputs" in done["memorised"].outcomes[0].told
    for student in STUDENTS:
        text = (made.root / "autograded" / student / LAB / f"{LAB}.ipynb").read_text(encoding="utf-8")
        assert str(made.seed) not in text
    nbgrader(made.root, "generate_feedback", LAB, "--force")
    assert "✓ row_sums" in (made.root / "feedback" / "full" / LAB / f"{LAB}.html").read_text(encoding="utf-8")


@pytest.mark.kernel
def test_a_release_can_be_made_again(class_folder):
    release = class_folder / "release" / LAB / f"{LAB}.ipynb"
    before = release.read_bytes()
    nbgrader(class_folder, "generate_assignment", LAB, "--force")
    assert release.read_bytes() == before


@pytest.mark.kernel
def test_the_formgrader_shows_the_class(class_folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.token=secret", "--ServerApp.port_retries=0"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (class_folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=class_folder, env=environment, stdout=log, stderr=log)
        try:
            page = get_when_ready(server, f"http://127.0.0.1:{port}/formgrader/api/assignments?token=secret")
        finally:
            server.terminate()
            server.wait(20)
    assert [(one["name"], one["max_score"]) for one in json.loads(page)] == [(LAB, 3.0)]


def get_when_ready(server, address):
    """Return the page once the server answers."""
    for _ in range(120):
        assert server.poll() is None
        try:
            return urllib.request.urlopen(address, timeout=10).read()
        except ConnectionError:
            time.sleep(0.5)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            time.sleep(0.5)
    raise AssertionError("the server did not answer")


def test_the_secret_stays_with_the_teacher(class_folder):
    secret = class_folder / grading.SECRET
    seed = secret.read_text().strip()
    assert len(seed) > 12 and seed in (class_folder / "source" / LAB / f"{LAB}.ipynb").read_text()
    assert seed not in (class_folder / "release" / LAB / f"{LAB}.ipynb").read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE(class_folder.stat().st_mode) == 0o700


def test_every_class_draws_its_own_secret(tmp_path):
    (tmp_path / "other").mkdir()
    seeds = [making._secret(tmp_path), making._secret(tmp_path / "other")]
    assert seeds[0] != seeds[1]
    assert int((tmp_path / grading.SECRET).read_text()) == seeds[0]


def test_every_command_in_the_readme_is_one(class_folder):
    """The README names commands of nbgrader, of JupyterLab and of ours: each is known, with the options it is given."""
    readme = (class_folder / "README.md").read_text(encoding="utf-8")
    ours = {command.name: command for command in typer.main.get_command(classroom.app).commands.values()}
    named = re.findall(r"`mechinterp class (\w+)([^`]*)`", readme)
    assert {name for name, _ in named} == set(ours)
    for name, options in named:
        known = {option for parameter in ours[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z]+", options)) <= known
    for name in re.findall(r"`nbgrader (\w+)", readme):
        assert name in NbGraderApp.subcommands or name == "generate_assignment"
    assert re.findall(r"`nbgrader (\w+)", readme) and "`jupyter lab`" in readme


@pytest.fixture
def course(tmp_path, fresh_catalog):
    return plant(tmp_path / "content")


def test_a_folder_that_holds_something_is_refused(tmp_path, course):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(CourseError, match="is not empty"):
        grading.init(tmp_path / "taken", course)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(tmp_path, course):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(CourseError, match="is a file"):
        grading.init(tmp_path / "taken", course)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_parent_is_refused(tmp_path, course):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(CourseError, match="cannot be written"):
        grading.init(tmp_path / "locked" / "class", course)


def test_a_parent_that_refuses_is_told(tmp_path, course, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CourseError, match="cannot be written \\(Permission denied\\)"):
        grading.init(tmp_path / "class", course)


def test_without_nbgrader_it_says_what_to_install(tmp_path, course, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    with pytest.raises(CourseError, match=r'pip install "mechinterp-course\[class\]"'):
        grading.init(tmp_path / "class", course)
    assert not (tmp_path / "class").exists()


def test_a_misspelt_lesson_makes_nothing(tmp_path, course):
    with pytest.raises(CourseError, match="Did you mean"):
        grading.init(tmp_path / "class", course, lessons=["rowz"])
    assert not (tmp_path / "class").exists()


def test_a_release_that_fails_is_told(tmp_path, course, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "first line\nthe gradebook is locked\n")
    monkeypatch.setattr(nbgrader_cli, "nbgrader", lambda *arguments: failed)
    with pytest.raises(CourseError, match="could not release 00_rows: the gradebook is locked"):
        grading.init(tmp_path / "class", course)
    assert list((tmp_path / "class").iterdir()) == []  # so that the next attempt finds an empty folder
