"""A table of features: what it says, and that a saved one is read back whole."""

import dataclasses

import numpy as np
import pytest
from planted_features import DEAD, UNEXPLAINED, WORDS, planted_table

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import feature_table
from mechinterp_course.interp.feature_table import FeatureTable


def test_a_saved_table_is_read_back_whole_and_saved_as_the_same_bytes(tmp_path):
    table = planted_table()
    file = table.save(tmp_path / "folder" / "table.npz")
    again = FeatureTable.load(file)
    for field in dataclasses.fields(table):
        one, other = getattr(table, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            assert np.array_equal(one, other), field.name
        elif field.name != "baseline_f1":
            assert one == other, field.name
    assert all(np.array_equal(table.baseline_f1[kind], again.baseline_f1[kind]) for kind in table.baseline_f1)
    assert again.save(tmp_path / "2.npz").read_bytes() == file.read_bytes()


def test_a_summary_counts(tmp_path):
    assert planted_table().summary() == {
        "features": 60,
        "never active": 1,
        "explained by a rule": 58,
        "explained by no rule": 1,
        "neurons": 2,
        "neurons explained by a rule": 1,
        "directions": 2,
        "directions explained by a rule": 0,
    }


def test_a_feature_is_told_in_words():
    table = planted_table()
    label = table.label_of(1)
    assert (label.rule, label.says, label.neuron_f1, label.random_f1) == (
        "token self",
        "the token self",
        0.5,
        pytest.approx(0.2, abs=1e-3),
    )
    assert table.label_of(DEAD) is None and list(table.contexts(DEAD)) == []
    assert table.label_of(UNEXPLAINED).f1 == 0.25
    places = list(table.contexts(4))
    assert {place.tokens[place.at] for place in places} == {WORDS[4]}
    assert places[0].values[places[0].at] == pytest.approx(float(table.most[4]))
    assert places[0].band == "strongest" and places[-1].band == "lower third" and places[0].file == "one.py"
    pro, contra = table.effects(4)
    assert all(effect.logit > 0 for effect in pro) and all(effect.logit < 0 for effect in contra)
    assert table.neighbours(4)[0] == (5, pytest.approx(0.9, abs=1e-3))


def test_a_context_says_where_its_window_begins():
    table = planted_table()
    for feature in range(10):
        for slot, place in zip(table.context_token[feature], table.contexts(feature), strict=False):
            assert place.opens == (slot % 40 <= feature_table.BEFORE)


def test_what_is_not_there_is_a_sentence(tmp_path):
    table = planted_table()
    with pytest.raises(CourseError, match="planted has no feature 60. Give a number from 0 to 59."):
        table.label_of(60)
    with pytest.raises(CourseError, match="There is no table of features in"):
        FeatureTable.load(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    with pytest.raises(CourseError, match="is not a table of features"):
        FeatureTable.load(tmp_path / "broken.npz")
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    with pytest.raises(CourseError, match="is not a table of features"):
        FeatureTable.load(tmp_path / "other.npz")
    with pytest.raises(CourseError, match="There is no table of features for the SAE 'nobody'"):
        feature_table.load("nobody")


@pytest.mark.parametrize("name", feature_table.names())
def test_the_table_of_a_bundled_sae_is_that_of_its_sae(name):
    """The decoder's nearest neighbours and the settings are those of the weights beside it: it was built after them."""
    from mechinterp_course.interp import features, sae_catalogue, saes

    table, sae, card = feature_table.load(name), saes.load(name), sae_catalogue.card(name)
    assert len(table) == sae.d_sae and table.about["hook"] == sae.hook_name == card["hook_name"]
    near, cosine = features.nearest(sae.W_dec, 1)
    assert np.allclose(table.cosine[:, 0], cosine[:, 0].numpy(), atol=2e-3)
    assert (table.near[:, 0] == near[:, 0].numpy()).mean() > 0.99
