"""Making, finding and mending a workspace."""

import json
from pathlib import Path

import pytest
from learner import LAB, READING, built_fixture, cells, drop_cell, learner_fixture, release_fixture, write_cell  # noqa: F401

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import catalog, notebook, workspace
from mechinterp_course.tutor.reset import reset


def test_start_makes_the_layout_of_the_release(release, tmp_path):
    ws, is_new = workspace.start(tmp_path / "mine")
    assert is_new
    assert (ws.root / LAB).read_bytes() == (release / LAB).read_bytes()
    assert (ws.root / workspace.HOME).is_file()
    assert (ws.base / READING).is_file()
    assert not ws.is_outdated


def test_start_again_opens_it_and_changes_nothing(learner):
    write_cell(learner.root / LAB, "double", "mine")
    ws, is_new = workspace.start(learner.root)
    assert not is_new
    assert cells(ws.root / LAB)["double"] == "mine"


def test_a_start_that_was_interrupted_goes_on(release, tmp_path, monkeypatch):
    write, done = notebook.write, []

    def stops(path, text):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(write(path, text))

    monkeypatch.setattr(notebook, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        workspace.start(tmp_path / "mine")
    monkeypatch.setattr(notebook, "write", write)
    ws, is_new = workspace.start(tmp_path / "mine")
    assert is_new
    assert all((ws.root / path).is_file() for path in workspace.release_files())


def test_a_folder_with_somebodys_files_is_refused_and_untouched(release, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    with pytest.raises(CourseError, match=r"not empty \(chapter.tex\)"):
        workspace.start(tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_a_folder_with_only_a_file_managers_file_is_empty(release, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".DS_Store").write_text("")
    assert workspace.start(tmp_path / "new")[1]


def test_a_file_in_the_way_is_refused(release, tmp_path):
    (tmp_path / "mine").write_text("a file")
    with pytest.raises(CourseError, match="is a file"):
        workspace.start(tmp_path / "mine")
    with pytest.raises(CourseError, match="cannot be made in"):
        workspace.start(tmp_path / "mine" / "below")


def test_a_read_only_folder_is_a_sentence(release, tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CourseError, match=r"cannot be made in .*mine: Permission denied.*mechinterp start DIR"):
        workspace.start(tmp_path / "mine")


def test_the_workspace_is_found_by_variable_by_folder_and_by_memory(learner, monkeypatch, tmp_path):
    assert workspace.find() == learner
    monkeypatch.delenv("MECHINTERP_WORKSPACE")
    assert workspace.find() == learner, "the last one used"
    other, _ = workspace.start(tmp_path / "other")
    assert workspace.find() == other
    monkeypatch.chdir(learner.root / "lessons")
    assert workspace.find() == learner, "the one around the current folder"


def test_a_workspace_that_is_gone_is_a_sentence(release, monkeypatch, tmp_path):
    monkeypatch.setenv("MECHINTERP_WORKSPACE", str(tmp_path / "gone"))
    with pytest.raises(CourseError, match="that folder is gone"):
        workspace.find()


def test_no_workspace_yet(release):
    assert not workspace.exists()
    with pytest.raises(CourseError, match="no workspace yet.*mechinterp start"):
        workspace.find()


def test_a_renamed_notebook_is_found_by_its_cells(learner):
    (learner.root / LAB).rename(learner.root / "my lab.ipynb")
    assert workspace.locate(learner, LAB) == learner.root / "my lab.ipynb"


def test_a_notebook_that_is_nowhere_is_a_sentence(learner):
    (learner.root / LAB).unlink()
    with pytest.raises(CourseError, match=r"is not in .* under its own name or another.*mechinterp reset exercises/"):
        workspace.locate(learner, LAB)


@pytest.mark.parametrize("text", ['{"cells": [', "[]", '{"cells": 3}', '{"cells": [1]}', "", "\x00\x01"])
def test_a_damaged_notebook_is_a_sentence_with_a_remedy_that_works(learner, text):
    path = learner.root / LAB
    path.write_text(text)
    with pytest.raises(CourseError, match="damaged") as caught:
        notebook.load(path)
    command = caught.value.remedy.split("`")[1].split()
    assert command[:2] == ["mechinterp", "reset"]
    done = reset(learner, catalog.course(), command[2])
    assert path.read_bytes() == (learner.base / LAB).read_bytes()
    assert done.backup.read_text() == text


def test_the_older_copy_of_jupyterlab_is_mentioned(learner):
    path = learner.root / LAB
    copy = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.ipynb"
    copy.parent.mkdir()
    copy.write_text("{}")
    path.write_text("broken")
    with pytest.raises(CourseError, match="JupyterLab kept an older copy"):
        notebook.load(path)


def test_a_notebooks_name_may_be_a_path_or_a_file_name(learner):
    assert workspace.notebook_named("00_first_steps.ipynb") == LAB
    assert workspace.notebook_named("lessons/00_first_steps.ipynb") == READING
    assert workspace.notebook_named(str(learner.root / READING)) == READING
    with pytest.raises(CourseError, match="There is no notebook '00_first_stops.ipynb'"):
        workspace.notebook_named("00_first_stops.ipynb")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_text("old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        notebook.write(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]
    assert path.read_text() == "old"


# --- reset ----------------------------------------------------------------------------------------------------------


def test_reset_puts_an_exercise_back_and_keeps_everything_else(learner):
    path = learner.root / LAB
    starter = cells(path)["double"]
    write_cell(path, "double", "def double(x): return 0")
    write_cell(path, "double-check", "print('passed')")
    write_cell(path, "quadruple", "def quadruple(x): return 1")
    done = reset(learner, catalog.course(), "double")
    assert cells(path)["double"] == starter
    assert cells(path)["double-check"] == cells(learner.base / LAB)["double-check"]
    assert cells(path)["quadruple"] == "def quadruple(x): return 1"
    assert set(done.cells) == {"double", "double-check"}
    assert cells(done.backup)["double"] == "def double(x): return 0"


def test_reset_brings_deleted_cells_back_in_their_place(learner):
    path = learner.root / LAB
    before = list(cells(path))
    for name in ("double-card", "double", "double-check"):
        drop_cell(path, name)
    reset(learner, catalog.course(), "double")
    assert list(cells(path)) == before


def test_reset_of_an_untouched_exercise_does_nothing(learner):
    done = reset(learner, catalog.course(), "double")
    assert done.unchanged and done.backup is None
    assert not (learner.hidden / "backups").exists()


def test_reset_of_a_lesson_puts_its_lab_back(learner):
    write_cell(learner.root / LAB, "double", "mine")
    done = reset(learner, catalog.course(), "00")
    assert cells(learner.root / LAB) == cells(learner.base / LAB)
    assert cells(done.backup)["double"] == "mine"


def test_reset_of_a_misspelt_exercise_suggests(learner):
    with pytest.raises(CourseError, match="Did you mean double"):
        reset(learner, catalog.course(), "duoble")


def test_backups_of_one_second_do_not_meet(learner):
    first = workspace.new_backup(learner)
    workspace.back_up(learner, learner.root / LAB, first)
    assert workspace.new_backup(learner) != first


def test_the_workspace_says_which_release_it_holds(learner, release):
    about = json.loads((learner.hidden / "workspace.json").read_text())
    assert about["release"] == workspace.fingerprint()
    (release / LAB).write_text((release / LAB).read_text() + "\n")
    assert learner.is_outdated
