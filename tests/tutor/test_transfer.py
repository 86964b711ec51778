"""A learner on two computers without git: everything that was written on either is there afterwards, and nothing twice."""

import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    QUADRUPLE,
    READING,
    add_cell,
    build,
    built_fixture,
    cells,
    drop_cell,
    learner_fixture,
    release_fixture,
    texts,
    write_cell,
)

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import notebook, progress, transfer, workspace
from mechinterp_course.tutor.union import QUOTED, unite


@pytest.fixture
def other(learner, tmp_path):
    """A second workspace of the same release: the other computer."""
    return workspace.start(tmp_path / "other")[0]


def did(ws, monkeypatch, kind="check", **data):
    monkeypatch.setenv("MECHINTERP_WORKSPACE", str(ws.root))
    progress.record(kind, **data)


def carry(source, target, tmp_path, name="out.zip"):
    return transfer.import_(target, transfer.export(source, tmp_path / name))


def test_answers_and_progress_of_both_computers_are_there(learner, other, tmp_path, monkeypatch):
    did(learner, monkeypatch, exercise="double", passed=True)
    did(other, monkeypatch, exercise="quadruple", passed=True)
    write_cell(learner.root / LAB, "double", DOUBLE)
    write_cell(other.root / LAB, "quadruple", QUADRUPLE)
    add_cell(other.root / LAB, "double-check", "print('a trial')", name="trial-1")
    (other.root / "notes.ipynb").write_text((other.root / READING).read_text())
    done = carry(other, learner, tmp_path)
    assert (done.events, done.whole, done.beside) == (1, ["notes.ipynb"], [])
    assert done.united[LAB].taken == ["quadruple"] and done.united[LAB].added == 1 and not done.united[LAB].differ
    now = cells(learner.root / LAB)
    assert now["double"] == DOUBLE and now["quadruple"] == QUADRUPLE
    order = [notebook.cell_id(cell) for cell in notebook.load(learner.root / LAB)["cells"]]
    assert order[order.index("double-check") + 1] == "trial-1"
    assert {e.data["exercise"] for e in progress.load(learner.root) if e.kind == "check"} == {"double", "quadruple"}
    assert cells(done.backup / LAB)["quadruple"] != QUADRUPLE


def test_importing_twice_and_back_changes_nothing_more(learner, other, tmp_path, monkeypatch):
    did(other, monkeypatch, exercise="double", passed=True)
    write_cell(learner.root / LAB, "double", DOUBLE)
    write_cell(other.root / LAB, "double", "def double(x):\n    return 2 * x")
    carry(other, learner, tmp_path)
    before = (learner.root / LAB).read_text(), (learner.root / progress.FILE).read_text()
    again = carry(other, learner, tmp_path, "again.zip")
    assert (again.events, again.whole, again.united, again.beside, again.backup) == (0, [], {}, [], None)
    assert before == ((learner.root / LAB).read_text(), (learner.root / progress.FILE).read_text())


def test_two_answers_to_one_exercise_are_both_kept_and_one_runs(learner, other, tmp_path):
    write_cell(learner.root / LAB, "double", DOUBLE)
    write_cell(other.root / LAB, "double", "def double(x):\n    return 2 * x")
    done = carry(other, learner, tmp_path)
    assert done.united[LAB].differ == ["double"]
    made = notebook.load(learner.root / LAB)["cells"]
    at = [notebook.cell_id(cell) for cell in made].index("double")
    assert notebook.source(made[at]) == DOUBLE
    assert made[at + 1]["cell_type"] == "markdown"
    assert QUOTED in notebook.source(made[at + 1]) and "return 2 * x" in notebook.source(made[at + 1])


def test_a_check_cell_is_always_the_courses(learner, other, tmp_path):
    write_cell(other.root / LAB, "double-check", "print('passed')")
    before = cells(learner.root / LAB)
    carry(other, learner, tmp_path)
    assert cells(learner.root / LAB) == before


def test_a_notebook_that_is_damaged_here_gets_the_other_beside_it(learner, other, tmp_path):
    write_cell(other.root / LAB, "double", DOUBLE)
    (learner.root / LAB).write_text("{ half a file")
    done = carry(other, learner, tmp_path)
    assert (learner.root / LAB).read_text() == "{ half a file"
    assert cells(learner.root / done.beside[0])["double"] == DOUBLE
    assert carry(other, learner, tmp_path, "again.zip").beside == []


def test_an_export_leaves_the_workspace_and_other_files_alone(learner, tmp_path):
    before = {path: path.read_bytes() for path in learner.root.rglob("*") if path.is_file()}
    made = transfer.export(learner, tmp_path)
    assert made.parent == tmp_path and made.suffix == ".zip"
    assert before == {path: path.read_bytes() for path in learner.root.rglob("*") if path.is_file()}
    with pytest.raises(CourseError, match="exists already"):
        transfer.export(learner, made)
    with pytest.raises(CourseError, match="no folder"):
        transfer.export(learner, tmp_path / "nowhere" / "a.zip")
    assert not list(tmp_path.glob("*.part"))


def test_what_is_no_export_is_refused_and_changes_nothing(learner, tmp_path):
    good = transfer.export(learner, tmp_path / "good.zip")
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "cut.zip").write_bytes(good.read_bytes()[:-200])
    bits = good.read_bytes()
    for part in range(1, 9):  # wherever a bit is wrong, it is noticed
        at = len(bits) * part // 10
        (tmp_path / f"damaged{part}.zip").write_bytes(bits[:at] + bytes([bits[at] ^ 0xFF]) + bits[at + 1 :])
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as file:
        file.writestr("notebooks/a.ipynb", "{}")
    with zipfile.ZipFile(tmp_path / "escapes.zip", "w") as file:
        file.writestr(transfer.ABOUT, "{}")
        file.writestr(progress.FILE, "")
        file.writestr("notebooks/../../evil.ipynb", "{}")
    with zipfile.ZipFile(tmp_path / "absolute.zip", "w") as file:
        file.writestr(transfer.ABOUT, "{}")
        file.writestr(progress.FILE, "")
        file.writestr(f"notebooks/{tmp_path}/evil.ipynb", "{}")
    before = {path: path.read_bytes() for path in learner.root.rglob("*") if path.is_file()}
    wrong = ("text.zip", "cut.zip", *(f"damaged{part}.zip" for part in range(1, 9)), "foreign.zip", "escapes.zip")
    for name in (*wrong, "absolute.zip"):
        with pytest.raises(CourseError, match="is not a file that"):
            transfer.import_(learner, tmp_path / name)
    with pytest.raises(CourseError, match="no file"):
        transfer.import_(learner, tmp_path / "missing.zip")
    assert before == {path: path.read_bytes() for path in learner.root.rglob("*") if path.is_file()}
    assert not (tmp_path / "evil.ipynb").exists()


def test_damaged_lines_of_progress_are_counted_and_the_rest_comes(learner, other, tmp_path, monkeypatch):
    did(other, monkeypatch, exercise="double", passed=True)
    made = transfer.export(other, tmp_path / "a.zip")
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(tmp_path / "b.zip", "w") as new:
        for name in old.namelist():
            extra = b'{"id": "half a li' if name == progress.FILE else b""
            new.writestr(name, old.read(name) + extra)
    done = transfer.import_(learner, tmp_path / "b.zip")
    assert (done.events, done.damaged) == (1, 1)


# --- the union of two versions, whatever they hold ---

BASE = ["prose", "answer", "check"]


def made(*cells_):
    return {"cells": list(cells_), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def cell(name, text):
    kinds = {"answer": {"solution": True, "grade": False}, "check": {"solution": False, "grade": True}}
    grading = {"nbgrader": {"grade_id": name, **kinds[name]}} if name in kinds else {}
    return {
        "cell_type": "code",
        "id": name,
        "metadata": grading,
        "source": text,
        "outputs": [],
        "execution_count": None,
    }


TEXTS = st.sampled_from(["", "a", "b", "```c```", "starter"])
VERSIONS = st.builds(
    lambda prose, answer, own, at, gone: made(
        *[c for c in [cell("prose", prose), cell("answer", answer), cell("check", "starter")] if c["id"] not in gone][
            :at
        ],
        *[cell(f"own{i}", text) for i, text in enumerate(own)],
        *[c for c in [cell("prose", prose), cell("answer", answer), cell("check", "starter")] if c["id"] not in gone][
            at:
        ],
    ),
    TEXTS,
    TEXTS,
    st.lists(TEXTS, max_size=2),
    st.integers(0, 3),
    st.sets(st.sampled_from(["prose", "answer"]), max_size=1),
)
RELEASED = made(*[cell(name, "starter") for name in BASE])


def everything(version) -> str:
    return "\n".join(notebook.source(one) for one in version["cells"])


def test_a_copy_of_a_starter_says_nothing_new_however_often_it_comes():
    """On the other computer the answer is written, and a pasted copy of the starter stands below it."""
    released = made(cell("answer", "def f(): ..."), cell("check", "check"))
    other = made(cell("answer", "def f(): return 1"), cell("own", "def f(): ..."), cell("check", "check"))
    once = unite(released, released, other).notebook
    assert [notebook.source(one) for one in once["cells"]] == ["def f(): return 1", "check"]
    assert unite(released, once, other).notebook == once


@settings(max_examples=150, deadline=None)
@given(mine=VERSIONS, other=VERSIONS)
def test_nothing_that_was_written_is_lost(mine, other):
    both = unite(RELEASED, mine, other).notebook
    kept = everything(both)
    for version in (mine, other):
        for one in version["cells"]:
            assert notebook.source(one).strip() in ("", "starter") or notebook.source(one) in kept
    running = [notebook.source(one) for one in both["cells"] if notebook.cell_id(one) == "answer"]
    assert len(running) == len([one for one in mine["cells"] if notebook.cell_id(one) == "answer"])
    assert unite(RELEASED, mine, mine).notebook == mine
    assert unite(RELEASED, both, other).notebook == both
