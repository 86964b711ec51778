"""The gradebook in PostgreSQL: a server of the test's own, where its programs are installed. The code path is the same as SQLite's."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in
from classes import LAB, SUMS, submit

from mechinterp_course.course import grading
from mechinterp_course.course.grading import folder, making, session
from mechinterp_course.course.grading.gradebook import opened
from mechinterp_course.errors import CourseError

NOBODY = 65534  # PostgreSQL refuses to run as root


def program(name: str) -> str | None:
    """Return where a program of PostgreSQL's server is; Debian keeps them off the PATH."""
    others = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(others[-1]) if others else None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an empty database."""
    pytest.importorskip("psycopg")
    if sys.platform == "win32" or not program("initdb") or not program("pg_ctl"):
        pytest.skip("PostgreSQL's server is not installed")
    home = Path("/tmp") / f"mi-postgres-{os.getpid()}"  # a socket's path is short, and nobody must be able to enter
    home.mkdir()
    other = {}
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
        other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def run(*command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **other)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        run(program("initdb"), "-D", str(home / "data"), "-A", "trust", "-U", "teacher", "--no-sync")
        options = f"-k {home} -p {port} -h 127.0.0.1 -c fsync=off"
        run(program("pg_ctl"), "-D", str(home / "data"), "-o", options, "-l", str(home / "log"), "-w", "start")
        try:
            yield f"postgresql+psycopg://teacher@127.0.0.1:{port}/postgres"
        finally:
            run(program("pg_ctl"), "-D", str(home / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_a_class_keeps_its_gradebook_in_postgresql(server, course, tmp_path, monkeypatch):
    monkeypatch.setenv(stand_in.DIARY, str(tmp_path))
    (tmp_path / "students.csv").write_text("id,first_name\nada,Ada\n")
    making.init(tmp_path / "class", course, roster=tmp_path / "students.csv", database=server)
    made = folder.ClassFolder(tmp_path / "class")
    assert not (made.root / "gradebook.db").exists() and made.database == server
    submit(made, "ada", {"row_sums": SUMS})
    submit(made, "ben", {})
    done = {
        record.student: record.graded.points
        for record in session.grade(made, course, [LAB], workers=1, one=stand_in.grade)
    }
    assert done == {"ada": 1.0, "ben": 0.0}
    with opened(made) as book:
        assert {id: sum(points.values()) for id, points in book.scores(LAB).items()} == done
        assert [one.first_name for one in book.students()] == ["Ada", ""]
    assert grading.nbgrader(made.root, "export").returncode == 0, "nbgrader's own commands use it too"
    assert "ada" in (made.root / "grades.csv").read_text()


def test_an_address_without_a_driver_says_what_to_install(course, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(CourseError, match=r'pip install "mechinterp-course\[postgres\]"'):
        making.init(tmp_path / "class", course, database="postgresql+psycopg://teacher@127.0.0.1/class")


def test_a_server_that_is_not_there_is_told(course, tmp_path):
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(CourseError, match="The gradebook cannot be opened"):
        making.init(tmp_path / "class", course, database=f"postgresql+psycopg://teacher@127.0.0.1:{port}/class")
