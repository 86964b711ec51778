"""Every made submission earns what it should, ends in a definite state, and reaches nothing outside its box."""

import contextlib
import copy
import ctypes
import json
import os
import shutil
import socket
import sys
from dataclasses import replace

import cheats  # noqa: F401 - adds its submissions to the corpus
import nbformat
import psutil
import pytest
from corpus import ALL, FIRST, NONE, SUBMISSIONS, UNREADABLE, answer, put, solve
from planted import plant

from mechinterp_course.course.build import release_notebook, source_notebook
from mechinterp_course.course.grading import walls, warm
from mechinterp_course.course.grading.graded import FAILED, GRADED, REPAIRED, Job, Limits
from mechinterp_course.course.grading.worker import grade_one
from mechinterp_course.course.notebook import text_of

SEED = 4242424242
SECRET = "what nobody may read"
QUICK = Limits(wall_seconds=60, cell_seconds=4, memory_mib=1000, processes=60, output_bytes=100_000, files_mib=50)
LEFT_BEHIND = "LEFT-BEHIND-PROCESS"

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(sys.platform != "linux" or shutil.which("bwrap") is None, reason="needs bubblewrap"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The small course's lab: its class source, its release, and a place outside the box."""
    root = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MECHINTERP_CONTENT", str(root / "content"))
        course = plant(root / "content")
        outside = root / "class"
        (outside / "submitted" / "other").mkdir(parents=True)
        for path in ("secret.txt", "gradebook.db", "class_secret", "submitted/other/lab.ipynb"):
            (outside / path).write_text(f"{SECRET} {SEED}")
        lesson = course.lessons[0]
        yield lesson.stem, text_of(source_notebook(course, lesson, SEED)), release_notebook(course, lesson), outside
    warm.close_all()


@pytest.fixture
def grade(lab, monkeypatch):
    """Return a function that grades an edit of the release, or a text."""
    monkeypatch.setenv("MECHINTERP_CONTENT", str(lab[3].parent / "content"))

    def run(edit, limits=QUICK, port=9, **how):
        text = edit
        if callable(edit):
            notebook = json.loads(json.dumps(lab[2]))
            text = edit(notebook)
            text = text if isinstance(text, bytes) else _filled(json.dumps(notebook), lab[3], port)
        return grade_one(Job(lab[0], "ada", lab[1], text, limits, **how))

    return run


def _filled(text: str, outside, port: int) -> str:
    return text.replace("{outside}", str(outside)).replace("{port}", str(port))


@contextlib.contextmanager
def listening():
    """Listen on a port and on a name of this computer, and give both with what has come in."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        port = server.getsockname()[1]
        named.bind(f"\0mi-{port}")
        named.listen()
        yield port, (server, named)


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_a_submission_earns_what_it_should(name, grade, lab):
    expected, outside = SUBMISSIONS[name], lab[3]
    before = {path: path.read_text() for path in outside.rglob("*") if path.is_file()}
    with listening() as (port, servers):
        graded = grade(copy.copy(expected.edit), port=port)
        for server in servers:
            server.setblocking(False)
            with pytest.raises(BlockingIOError):  # nobody has called
                server.accept()
    assert (graded.points, graded.max_points) == (expected.points, ALL), graded
    assert graded.state in ((REPAIRED,) if expected.repaired else (GRADED, REPAIRED))
    assert expected.flagged is None or bool(graded.flags) == expected.flagged, graded.flags
    told = "\n".join([*graded.repairs, graded.reason, *(outcome.told + outcome.mistake for outcome in graded.outcomes)])
    assert expected.said in told
    assert {path: path.read_text() for path in outside.rglob("*") if path.is_file()} == before
    _expect_harmless(graded, told)


def _expect_harmless(graded, told: str) -> None:
    """Nothing secret, no script and no sign of a broken wall in what comes out; nothing still runs."""
    shown = nbformat.reads(graded.notebook, as_version=4)
    nbformat.validate(shown, relax_add_props=False)
    (graded.notebook + told + "".join(graded.flags)).encode()  # all of it can be saved
    out = json.dumps([one.get("outputs", []) for one in shown["cells"]]) + told
    for word in (SECRET, str(SEED), "REACHED", "WROTE", "LEAK", "LEFT", "root:x:", "FOUND [", "was-here", "['secret"):
        assert word not in out, word
    own_text = "".join(
        one["source"] for one in shown["cells"] if one["cell_type"] != "code" and one["id"].startswith("own-")
    )
    kinds = {kind for one in shown["cells"] for output in one.get("outputs", []) for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/latex", "image/png", "image/jpeg"}
    assert "<script" not in own_text and "<iframe" not in own_text and "javascript:" not in own_text
    latex = [o["data"].get("text/latex", "") for one in shown["cells"] for o in one.get("outputs", []) if "data" in o]
    assert not any("javascript:" in one or "\\href" in one for one in latex)
    assert "widgets" not in shown["metadata"] and len(graded.notebook) < 1_000_000
    assert not _processes_with(LEFT_BEHIND)


def _processes_with(word: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if word in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
            found.append(process.pid)
    return found


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_notebook_fails_with_a_reason(name, grade):
    graded = grade(UNREADABLE[name])
    assert (graded.state, graded.points, graded.max_points) == (FAILED, NONE, ALL)
    assert graded.reason.endswith(".") and len(graded.outcomes) == 2


def test_a_cell_that_only_shows_something_runs_where_it_is_asked_for(grade):
    right = SUBMISSIONS["right"].edit
    plain, whole = grade(right), grade(right, all_cells=True)
    assert plain.points == whole.points == ALL
    said = [cell["outputs"] for cell in nbformat.reads(plain.notebook, as_version=4).cells if "demo" in cell.id]
    shown = [cell["outputs"] for cell in nbformat.reads(whole.notebook, as_version=4).cells if "demo" in cell.id]
    assert len(said) == 2 and all(one["text"].startswith("Not run") for (one,) in said)
    assert ["tensor([3., 3.])" in json.dumps(one) for one in shown] == [True, False]


def test_a_copy_of_the_last_answer_outlives_the_cells_however_fast_they_end(grade):
    assert [grade(SUBMISSIONS["right"].edit).points for _ in range(20)] == [ALL] * 20


def test_a_memorised_answer_is_told_nothing_of_the_hidden_inputs(grade):
    graded = grade(SUBMISSIONS["knows the visible check by heart"].edit)
    told = graded.outcomes[0].told
    assert "A right answer: each entry is the sum of a row." in told and "Called" not in told
    assert graded.outcomes[0].hidden is False


def test_a_check_cell_of_the_returned_notebook_shows_the_verdict(grade):
    shown = nbformat.reads(grade(SUBMISSIONS["partly right"].edit).notebook, as_version=4)
    outputs = {one["id"]: one["outputs"] for one in shown["cells"] if one["id"].endswith("-check")}
    assert outputs["row_sums-check"][0]["text"].startswith("✓ row_sums")
    assert outputs["scaled_rows-check"][0]["ename"] == "CheckFailed"
    metadata = {one["id"]: one["metadata"]["nbgrader"] for one in shown["cells"] if one["id"].endswith("-check")}
    assert metadata["scaled_rows-check"]["points"] == 2 and "checksum" in metadata["scaled_rows-check"]


KEYS = """
import ctypes
libc = ctypes.CDLL(None)
for ring in (-3, -4):  # the session's, and the user's
    for name in (b"mi-parent", b"mi-student"):
        found = libc.syscall({keyctl}, 10, ring, b"user", name, 0)
        print("FOUND [key]" if found > 0 else "no key")
print(libc.syscall({add_key}, b"user", b"mi-student", b"x", 1, ring) > 0)
libc.syscall({add_key}, b"user", b"mi-student", b"x", 1, -3)
"""
ADD_KEY = {"x86_64": 248, "aarch64": 217}


def test_no_key_passes_from_outside_or_from_one_submission_to_the_next(grade):
    """The kernel's rings of keys belong to a session of processes, and no namespace parts them."""
    machine, libc = os.uname().machine, ctypes.CDLL(None, use_errno=True)
    if machine not in ADD_KEY:
        pytest.skip(f"the number of the kernel's calls on {machine} is not known here")
    if libc.syscall(ADD_KEY[machine], b"user", b"mi-parent", b"x", 1, -3) < 0:
        pytest.skip(f"this kernel keeps no keys for us: {os.strerror(ctypes.get_errno())}")
    warm.close_all()  # a box that was there before may have another ring than this process has now
    source = KEYS.format(keyctl=walls.KEYCTL[machine], add_key=ADD_KEY[machine])
    for _ in range(2):
        graded = grade(lambda notebook: put(notebook, source))
        (said,) = [cell.outputs for cell in nbformat.reads(graded.notebook, as_version=4).cells if "own" in cell.id]
        assert said[0]["text"].splitlines()[:4] == ["no key"] * 4
        assert graded.points == NONE and graded.flags


def _sleeps(notebook) -> None:
    """Right answers, and between them a cell that takes all the time that there is."""
    solve(notebook)
    put(notebook, "import time\ntime.sleep(1000)", before="scaled_rows")
    put(notebook, "print('after')", before="scaled_rows")


def test_what_was_earned_when_the_time_is_over_is_kept(grade):
    graded = grade(_sleeps, replace(QUICK, wall_seconds=6, cell_seconds=60))
    first, second = graded.outcomes
    assert (first.points, second.points) == (FIRST, NONE)
    assert "had not ended after 6 seconds; the cells behind own-1 did not run" in graded.reason
    assert graded.time_limit == 6 and grade(SUBMISSIONS["right"].edit).time_limit == 0
    assert "not reached" in second.told
    shown = {one.id: one.get("outputs") for one in nbformat.reads(graded.notebook, as_version=4).cells}
    assert "The notebook's 6 seconds were over" in shown["own-1"][-1]["evalue"] and not shown["own-2"]


def test_checks_have_an_end_too(grade):
    """An answer that never returns, for each check: the checks' own time is over before all are reached."""
    forever = "def {}(matrix):\n    while True:\n        pass\n"

    def edit(notebook):
        answer(notebook, **{name: forever.format(name) for name in ("row_sums", "scaled_rows")})

    graded = grade(edit, replace(QUICK, wall_seconds=3, cell_seconds=60))
    first, second = graded.outcomes
    assert graded.points == NONE and "not returned after 3 seconds" in first.told
    assert "The time for checks was over" in second.told and "checks took longer than 3 seconds" in graded.reason
