"""A class of the planted course, made once and copied for each test."""

import shutil

import pytest
import stand_in
from classes import LAB
from planted import plant
from stand_in import DIARY

from mechinterp_course.course.grading import folder, making, session


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A class folder as `init` makes it, and the course that it is of."""
    root = tmp_path_factory.mktemp("pristine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MECHINTERP_CONTENT", str(root / "content"))
        course = plant(root / "content")
        making.init(root / "class", course)
    return root, course


@pytest.fixture
def course(pristine, monkeypatch):
    monkeypatch.setenv("MECHINTERP_CONTENT", str(pristine[0] / "content"))
    return pristine[1]


@pytest.fixture
def made(pristine, course, tmp_path, monkeypatch):
    """A class folder of this test's own, and a diary for the stand-in grader."""
    shutil.copytree(pristine[0] / "class", tmp_path / "class")
    (tmp_path / "diary").mkdir()
    monkeypatch.setenv(DIARY, str(tmp_path / "diary"))
    return folder.ClassFolder(tmp_path / "class")


@pytest.fixture
def calls(tmp_path):
    """Return how often the stand-in grader was called, for one student or all."""

    def count(student: str = "") -> int:
        return len(
            [path for path in (tmp_path / "diary").iterdir() if path.name.startswith(f"{student}-" if student else "")]
        )

    return count


@pytest.fixture(scope="session")
def near():
    """The address of a scheduler and two workers in this process: all of the farm but the starting of processes."""
    from distributed import LocalCluster

    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": False,
        "protocol": "tcp",
        "host": "127.0.0.1",
        "dashboard_address": None,
    }
    with LocalCluster(**options, silence_logs=60) as running:
        yield running.scheduler_address


@pytest.fixture
def grade(made, course, near):
    """Return a function that grades the class with the stand-in; `workers=N` starts processes for it."""

    def run(**options):
        if "workers" not in options:
            options["scheduler"] = near
        options.setdefault("one", stand_in.grade)
        return {record.student: record for record in session.grade(made, course, [LAB], **options)}

    return run
