"""What every recipe's run has in common: a seed decides it, an interruption costs nothing, a finished one is found."""

import dataclasses
import json

import pytest

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import capabilities, modular, recipes, runs, tasks, training

CODE = {"d_model": 16, "n_heads": 2, "n_ctx": 24, "steps": 12, "batch": 2, "warmup": 3}
STAGES = ((0, 4, 64, 2, 0, 1), (6, 3, 64, 0, 1, 1))
TINY = {
    "tiny": dataclasses.replace(recipes.find("code-2l"), name="tiny", d_mlp=32, **CODE),
    "tiny-4l": dataclasses.replace(
        recipes.find("code-4l"), name="tiny-4l", n_layers=2, d_mlp=32, stages=STAGES, **CODE | {"n_ctx": 64}
    ),
    "tiny-mod": dataclasses.replace(
        recipes.find("mod-add-53"),
        **{
            "name": "tiny-mod",
            "p": 7,
            "d_model": 8,
            "n_heads": 2,
            "d_head": 4,
            "d_mlp": 16,
            "steps": 12,
            "kept": (0, 4),
        },
    ),
}


@pytest.fixture(params=TINY)
def name(request, monkeypatch):
    """A recipe of seconds, on a corpus of a few files, whatever Python runs the tests."""
    files = [(path, text[:6000]) for path, text in tasks.sample() if len(text) > 1000]
    parts = {"train": files[:4], "validation": files[4:6], "test": files[6:8]}
    monkeypatch.setattr(tasks, "read_split", lambda split, stdlib=None: parts[split])
    monkeypatch.setattr(training, "SAVE_EVERY", -1.0)  # after every step
    monkeypatch.setattr(capabilities, "figures", lambda *given: {})  # measured in test_capabilities
    monkeypatch.setitem(recipes.RECIPES, request.param, TINY[request.param])
    return request.param


@pytest.fixture
def stop_at(name, monkeypatch):
    """Press Ctrl-C in the middle of a step: half of its work is done. `stop_at(None)` lets it go on."""
    step_of_code, epoch_of_mod = training.train_step, modular.Run.train_epoch

    def stop_at(step):
        def train_step(model, optimizer, recipe, stream, at):
            if at == step:
                next(model.parameters()).data.zero_()
                raise KeyboardInterrupt
            return step_of_code(model, optimizer, recipe, stream, at)

        def train_epoch(run):
            if run.epoch == step:
                run.weights["embed.W_E"].data.zero_()
                raise KeyboardInterrupt
            return epoch_of_mod(run)

        monkeypatch.setattr(training, "train_step", train_step)
        monkeypatch.setattr(modular.Run, "train_epoch", train_epoch)

    return stop_at


def files_in(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_seed_decides_the_weights(name, tmp_path, monkeypatch):
    one = training.train(name, tmp_path / "one", progress=False)
    two = training.train(name, tmp_path / "two", progress=False)
    monkeypatch.setitem(recipes.RECIPES, name, dataclasses.replace(TINY[name], seed=1))
    other = training.train(name, tmp_path / "other", progress=False)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (one, two, other)]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize("step", [3, 7])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(name, stop_at, tmp_path, step):
    straight = files_in(training.train(name, tmp_path / "straight", progress=False))
    stop_at(step)
    with pytest.raises(CourseError, match=r"Stopped\..*training\.pt.*Run the same command again"):
        training.train(name, tmp_path / "stopped", progress=False)
    assert not (tmp_path / "stopped" / "card.json").exists()
    stop_at(None)
    resumed = files_in(training.train(name, tmp_path / "stopped", progress=False))
    cards = [json.loads(files.pop("card.json")) | {"minutes": 0} for files in (resumed, straight)]
    assert resumed == straight
    assert cards[0] == cards[1]


def test_a_finished_run_is_found_at_once(name, stop_at, tmp_path):
    folder = training.train(name, tmp_path, progress=False)
    stop_at(0)
    assert training.train(name, tmp_path, progress=False) == folder


def test_the_state_of_another_run_is_refused(name, stop_at, tmp_path):
    stop_at(3)
    with pytest.raises(CourseError, match="Stopped"):
        training.train(name, tmp_path, progress=False)
    with pytest.raises(CourseError, match="state of a different run"):
        training.train(name, tmp_path, steps=20, progress=False)


def test_a_card_of_an_earlier_model_does_not_outlive_it(name, stop_at, tmp_path):
    training.train(name, tmp_path, progress=False)
    stop_at(3)
    with pytest.raises(CourseError, match="Stopped"):
        training.train(name, tmp_path, steps=20, progress=False)
    assert not (tmp_path / "card.json").exists()


def test_progress_is_shown_on_stdout_and_nothing_on_stderr(name, tmp_path, capfd):
    training.train(name, tmp_path)
    shown = capfd.readouterr()
    assert "12/12" in shown.out
    assert shown.err == ""


def test_a_folder_that_cannot_be_made_is_named(name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match=r"cannot take the model.*--out"):
        training.train(name, tmp_path / "file" / "model", progress=False)


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    file = tmp_path / "state"
    file.write_text("whole")

    def fail(path):
        path.write_text("ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        runs.write_atomically(file, fail)
    assert file.read_text() == "whole"
