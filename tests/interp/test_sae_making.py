"""A recipe is followed to a folder with its card, the bundled SAEs are what their recipes say, and nothing is made twice."""

import dataclasses
import json

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import activations, labels, models, sae_catalogue, sae_making, sae_recipes, saes

SMALL = dataclasses.replace(
    sae_recipes.RECIPES["code-4l-layer2-960"],
    model="code-attn-1l",
    hook_name="blocks.0.hook_resid_post",
    d_sae=128,
    k=8,
    steps=60,
    batch=256,
    width=100,
    resample=(20,),
)


@pytest.fixture(scope="module")
def model():
    return models.load(SMALL.model)


@pytest.fixture(scope="module")
def material(model):
    windows = activations.windows([file.ids[:1000] for file in labels.sample()[:10]], SMALL.width).tokens
    rows = sae_making.rows_of(SMALL, model, windows, progress=False).flatten(0, 1)
    return sae_making.assemble(SMALL, {"train": rows, "test": rows[:2000]}, windows[:20])


def test_a_recipe_makes_a_folder_and_its_card(model, material, tmp_path):
    folder = tmp_path / "sae"
    card = sae_making.make(SMALL, folder, material, model, progress=False)
    assert card == json.loads((folder / "card.json").read_text()) | {"resampled": card["resampled"]}
    assert card["recipe"] == SMALL.as_json() and card["corpus"]["tokens"] == len(material.train)
    assert card["bytes"] == sum((folder / name).stat().st_size for name in (saes.SETTINGS, saes.WEIGHTS))
    measured, sae = card["figures"], saes.load(folder)
    assert measured["l0"] <= SMALL.k and 0.3 < measured["variance_explained"] < 1
    assert measured["loss"]["clean"] < measured["loss"]["spliced"] < measured["loss"]["mean_ablated"]
    assert 0 < measured["loss_recovered"]["mean"] < 1
    assert sae.hook_name == SMALL.hook_name and sae.metadata["model_name"] == SMALL.model


def test_the_seed_alone_decides(material):
    made = [sae_making.learn(dataclasses.replace(SMALL, seed=s), material.train, progress=False)[0] for s in (0, 0, 1)]
    assert torch.equal(made[0].W_dec, made[1].W_dec) and not torch.equal(made[0].W_dec, made[2].W_dec)


def test_far_too_long_rows_are_left_out_where_the_recipe_says_so():
    rows = torch.ones(100, 4).half()
    rows[3] *= 500
    assert len(sae_making.usable(SMALL, rows)) == 100
    assert torch.equal(sae_making.usable(dataclasses.replace(SMALL, longest=10.0), rows), torch.ones(99, 4).half())


def test_the_bundled_ones_follow_their_recipes():
    for entry in sae_catalogue.catalogue():
        recipe, card = sae_recipes.find(entry.name), sae_catalogue.card(entry.name)
        assert card["recipe"] == recipe.as_json()
        assert (entry.model, entry.hook_name, entry.d_sae) == (recipe.model, recipe.hook_name, recipe.d_sae)


def test_what_is_finished_is_not_made_again(tmp_path):
    name = "code-4l-layer2-960"
    (tmp_path / "card.json").write_text(json.dumps(sae_catalogue.card(name)))
    assert sae_making.train(name, tmp_path) == tmp_path
    with pytest.raises(CourseError, match="no recipe of an SAE"):
        sae_making.train("code-4l-layer2-96")


def test_one_call_follows_a_recipe_by_name(model, material, monkeypatch, tmp_path):
    monkeypatch.setitem(sae_recipes.RECIPES, SMALL.name, SMALL)
    asked = []
    monkeypatch.setattr(sae_making, "material", lambda *given: asked.append(given[2]) or material)
    folder = sae_making.train(SMALL.name, tmp_path / "made", text="somewhere", steps=5, progress=False)
    assert asked == ["somewhere"] and json.loads((folder / "card.json").read_text())["recipe"]["steps"] == 5
    assert saes.load(folder).d_sae == SMALL.d_sae
    sae_making.train(SMALL.name, folder, steps=5, progress=False)
    assert len(asked) == 1  # it is finished


def test_the_windows_of_a_text_come_from_its_split_alone(monkeypatch):
    texts = {"train": [("a.py", "x = 1\n" * 200)], "test": [("b.py", "y = 2\n" * 200)]}
    monkeypatch.setattr(sae_making.tasks, "read_split", lambda split, folder: texts[split])
    train, test = (sae_making.windows_of(SMALL, split) for split in ("train", "test"))
    assert train.shape[1] == test.shape[1] == SMALL.width + 1 and not torch.equal(train[0], test[0])
    english = dataclasses.replace(SMALL, text="english", most=20)
    documents = [(f"{work}/1", "some words " * 3000) for work in sae_making.english.SOURCES]
    monkeypatch.setattr(sae_making.english, "read_split", lambda split, folder: documents)
    assert len(sae_making.windows_of(english, "train")) == 3 * 20
    assert len(sae_making.windows_of(english, "test")) == 3 * 2
