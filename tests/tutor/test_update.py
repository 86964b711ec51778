"""`mechinterp update`: from one release to the next, with a learner's work in between. Nothing is lost."""

import json

import pytest
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
from tiny import clear_catalog_caches

from mechinterp_course.tutor import catalog, notebook, progress
from mechinterp_course.tutor.saved import lab_plan
from mechinterp_course.tutor.update import update


@pytest.fixture
def next_release(release, tmp_path):
    """Return a function that makes the next release: `double` becomes `twice`, one exercise goes, prose and a starter change."""

    def make(**changes):
        lab = tmp_path / "content" / "l00_first_steps" / "lab.py"
        text = lab.read_text(encoding="utf-8")
        text = text.replace("double", "twice").replace(
            'renamed_from = ["fourfold"]', 'renamed_from = ["fourfold"]\n', 1
        )
        text = text.replace('# title = "Twice as much"', '# title = "Twice as much"\n# renamed_from = ["double"]')
        text = text.replace(
            "Return every number of `x`, times four.", "Return every number of `x`, four times as large."
        )
        text = text.replace("(scores: torch.Tensor)", "(scores: torch.Tensor, dim: int = -1)")
        lab.write_text(text, encoding="utf-8")
        toml = tmp_path / "content" / "course.toml"
        toml.write_text(toml.read_text().replace('slug = "token_loss"', 'slug = "loss_of_a_token"'))
        (tmp_path / "content" / "l01_token_loss").rename(tmp_path / "content" / "l01_loss_of_a_token")
        clear_catalog_caches()
        build(tmp_path / "content", release)
        return catalog.course()

    return make


def work(ws):
    """What a learner does in a first week."""
    lab, reading = ws.root / LAB, ws.root / READING
    write_cell(lab, "double", DOUBLE)
    write_cell(lab, "quadruple", QUADRUPLE)
    write_cell(lab, "row_softmax", "def row_softmax(scores):\n    return scores.softmax(-1)")
    add_cell(lab, "double-check", "# how does it do on a matrix?\nprint(double)", name="aaaa1111")
    add_cell(lab, "row_softmax-demo-1", "My notes.", "markdown", name="bbbb2222")
    add_cell(reading, "nav-top", "A question I still have.", "markdown", name="cccc3333")
    write_cell(lab, "quadruple-prompt-1", "My own words for the task.")
    other = ws.root / "exercises/01_token_loss/01_token_loss.ipynb"
    add_cell(other, "nav-top", "a note in the other lab", "markdown", name="dddd4444")


def test_nothing_to_do(learner):
    done = update(learner, catalog.course())
    assert done.changes == [] and done.backup is None


def test_what_jupyterlab_adds_by_itself_is_no_change(learner):
    path = learner.root / LAB
    saved = notebook.load(path)
    saved["metadata"]["language_info"] = {"name": "python", "version": "3.11.7", "file_extension": ".py"}
    saved["cells"] = [{**cell, "source": notebook.source(cell)} for cell in saved["cells"]]
    for cell in saved["cells"]:
        cell["metadata"] = {**cell["metadata"], "trusted": True}
    path.write_text(json.dumps(saved))
    assert update(learner, catalog.course()).changes == []


def test_two_releases_with_work_in_between(learner, next_release):
    work(learner)
    progress.record("check", exercise="double", passed=True, held=1, total=1, mistake="")
    before = {path: path.read_text() for path in learner.root.rglob("*.ipynb") if ".mechinterp" not in path.parts}
    course = next_release()
    assert learner.is_outdated
    done = update(learner, course)
    made = cells(learner.root / LAB)
    assert done.troubles == []
    assert made["twice"] == "def twice(x):\n    return x + x"
    assert made["quadruple"] == QUADRUPLE
    assert made["row_softmax"] == "def row_softmax(scores):\n    return scores.softmax(-1)"
    for text in ("# how does it do on a matrix?\nprint(double)", "My notes.", "My own words for the task."):
        assert text in made.values()
    order = list(made)
    assert order.index("aaaa1111") == order.index("twice-check") + 1
    change = next(c for c in done.changes if c.path == LAB)
    assert change.merged.renamed == [("double", "twice")]
    assert change.merged.changed_starters == ["row_softmax"]
    assert any("double" in note and "twice" in note for note in change.merged.notes), "quadruple still calls double"
    assert "A question I still have." in texts(learner.root / READING)
    # The lesson whose folder was renamed took its notebooks along.
    moved = learner.root / "exercises/01_loss_of_a_token/01_loss_of_a_token.ipynb"
    assert "a note in the other lab" in texts(moved)
    assert not (learner.root / "exercises/01_token_loss/01_token_loss.ipynb").exists()
    # Every notebook that changed is in the backup, byte for byte.
    for path, text in before.items():
        kept = done.backup / path.relative_to(learner.root)
        now = path.read_text() if path.exists() else None
        assert now == text or kept.read_text() == text
    # What was passed under the old name is passed under the new one, and a second update has nothing to do.
    assert progress.state(progress.load(learner.root), course).exercises["twice"].passed
    assert not learner.is_outdated
    assert update(learner, course).changes == []


def test_a_dry_run_says_the_same_and_changes_nothing(learner, next_release):
    work(learner)
    course = next_release()
    before = {path: path.read_bytes() for path in learner.root.rglob("*") if path.is_file()}
    planned = update(learner, course, dry_run=True)
    after = {path: path.read_bytes() for path in learner.root.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert after == {path: data for path, data in before.items() if path.suffix != ".lock"}
    assert [c.path for c in planned.changes] == [c.path for c in update(learner, course).changes]


@pytest.mark.parametrize("at", range(1, 12))
def test_an_update_that_is_interrupted_is_finished_by_the_next(learner, next_release, monkeypatch, at):
    work(learner)
    course = next_release()
    write, calls = notebook.write, []

    def stops(path, text):
        calls.append(path)
        if len(calls) == at:
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(notebook, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        update(learner, course)
    monkeypatch.setattr(notebook, "write", write)
    assert learner.is_outdated
    update(learner, course)
    made = cells(learner.root / LAB)
    assert made["twice"] == "def twice(x):\n    return x + x"
    assert made["quadruple"] == QUADRUPLE
    assert list(made.values()).count("My own words for the task.") == 1
    assert "a note in the other lab" in texts(learner.root / "exercises/01_loss_of_a_token/01_loss_of_a_token.ipynb")
    assert not learner.is_outdated


def test_a_damaged_notebook_is_left_and_the_others_are_updated(learner, next_release):
    (learner.root / READING).write_text("{broken")
    write_cell(learner.root / LAB, "double", DOUBLE)
    course = next_release()
    done = update(learner, course)
    assert [error.sentence for error in done.troubles] == [
        f"{learner.root / READING} is damaged: it is not a notebook any more (invalid JSON)."
    ]
    assert (learner.root / READING).read_text() == "{broken"
    assert "twice" in cells(learner.root / LAB)
    assert learner.is_outdated, "there is still something to bring"


def test_a_renamed_notebook_comes_back_under_its_name_with_its_answers(learner, next_release):
    write_cell(learner.root / LAB, "double", DOUBLE)
    (learner.root / LAB).rename(learner.root / "my lab.ipynb")
    done = update(learner, next_release())
    assert "def twice(x)" in cells(learner.root / LAB)["twice"]
    assert not (learner.root / "my lab.ipynb").exists()
    assert next(c for c in done.changes if c.path == LAB).was == "my lab.ipynb"
    assert cells(done.backup / "my lab.ipynb")["double"] == DOUBLE


def test_a_deleted_notebook_is_put_there_again(learner):
    (learner.root / LAB).unlink()
    update(learner, catalog.course())
    assert (learner.root / LAB).is_file()


def test_a_missing_check_cell_is_put_back_and_the_answer_stays(learner):
    write_cell(learner.root / LAB, "double", DOUBLE)
    drop_cell(learner.root / LAB, "double-check")
    update(learner, catalog.course())
    made = cells(learner.root / LAB)
    assert made["double"] == DOUBLE and "double-check" in made


def test_a_lesson_that_is_gone_leaves_the_learners_notebooks(learner, release, tmp_path):
    add_cell(learner.root / LAB, "double", "mine")
    toml = tmp_path / "content" / "course.toml"
    text = toml.read_text().replace('prerequisites = ["00"]', "prerequisites = []")
    head, rest = text.split("[[lesson]]", 1)
    toml.write_text(f"{head}[[lesson]]{rest.split('[[lesson]]', 1)[1]}")
    clear_catalog_caches()
    build(tmp_path / "content", release)
    done = update(learner, catalog.course())
    assert sorted(done.left) == [LAB, READING]
    assert "mine" in texts(learner.root / LAB)
    assert update(learner, catalog.course()).left == []


def test_a_disk_that_cannot_be_written_is_a_sentence(learner, next_release, monkeypatch):
    from mechinterp_course.errors import CourseError

    work(learner)
    course = next_release()

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notebook, "write", full)
    with pytest.raises(CourseError, match="No space left on device.*run `mechinterp update` again"):
        update(learner, course)
    assert cells(learner.root / LAB)["double"] == DOUBLE


def test_the_checks_of_an_updated_workspace_are_the_new_ones(learner, next_release):
    write_cell(learner.root / LAB, "double", DOUBLE)
    course = next_release()
    before = lab_plan(learner, course.lessons[0], ["twice"])
    assert before.refused[0].lines[1] == "Your workspace does not have this exercise yet."
    update(learner, course)
    assert not lab_plan(learner, course.lessons[0], ["twice"]).refused
