"""What features do: activity against dense arrays, contexts against their definition, logit effects against the model itself."""

import keyword

import numpy as np
import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import feature_contexts, feature_sample, features, models, saes


@pytest.fixture(scope="module")
def firing():
    """30 features on 600 tokens (12 windows of 50), one of them dead, and the dense array they come from."""
    draw = torch.Generator().manual_seed(0)
    dense = torch.rand(600, 30, generator=draw) * (torch.rand(600, 30, generator=draw) < 0.1)
    dense[:, 4] = 0

    class Ready:
        W_dec = torch.eye(30)

        def encode(self, x):
            return x

    return features.fire(Ready(), dense), dense.numpy()


def test_firing_holds_every_activation_above_zero(firing):
    found, dense = firing
    assert np.array_equal(np.stack([found.dense(i) for i in range(30)], axis=1), dense)
    assert np.allclose(found.density, (dense > 0).mean(0))
    tokens, values = found.of(7)
    assert np.array_equal(tokens, np.flatnonzero(dense[:, 7])) and np.array_equal(values, dense[tokens, 7])


def test_firing_in_chunks_is_the_same(firing, monkeypatch):
    found, dense = firing
    monkeypatch.setattr(features, "CHUNK", 77)
    sae = type("Ready", (), {"W_dec": torch.eye(30), "encode": lambda self, x: x})()
    again = features.fire(sae, torch.from_numpy(dense))
    assert np.array_equal(again.token, found.token) and np.array_equal(again.value, found.value)


def test_rows_that_are_far_too_long_are_left_out():
    x = torch.ones(100, 4)
    x[7] *= 50
    sae = type("Ready", (), {"W_dec": torch.eye(4), "encode": lambda self, x: x})()
    assert features.fire(sae, x).count.tolist() == [100] * 4
    cut = features.fire(sae, x, longest=10.0)
    assert cut.count.tolist() == [99] * 4 and 7 not in cut.token


def test_a_feature_that_is_not_there_is_a_sentence(firing):
    with pytest.raises(CourseError, match="There is no feature 30. Give 0 to 29."):
        firing[0].of(30)


def test_strength_is_that_of_the_dense_array(firing):
    found, dense = firing
    active = np.where(dense > 0, dense, np.nan)
    alive = np.arange(30) != 4
    assert np.array_equal(feature_contexts.strongest(found), dense.max(0))
    assert np.allclose(feature_contexts.mean_active(found)[alive], np.nanmean(active[:, alive], axis=0))
    assert feature_contexts.mean_active(found)[4] == 0


def test_a_histogram_counts_every_active_token_once(firing):
    found, dense = firing
    counts = feature_contexts.histogram(found, bins=10)
    assert np.array_equal(counts.sum(1), (dense > 0).sum(0))
    values = dense[dense[:, 3] > 0, 3]
    assert np.array_equal(counts[3], np.histogram(values, bins=10, range=(0, values.max()))[0])


def test_the_strongest_contexts_are_the_maxima_of_different_windows(firing):
    found, dense = firing
    places = feature_contexts.contexts(found, 50, top=4, each=2)
    for feature in (0, 11, 29):
        highest = dense[:, feature].reshape(12, 50)
        best = np.argsort(-highest.max(1))[:4]
        assert places.token[feature, :4].tolist() == [w * 50 + highest[w].argmax() for w in best]
    assert (places.token[4] == -1).all()


def test_the_other_contexts_come_from_their_thirds_of_rank(firing):
    found, dense = firing
    places = feature_contexts.contexts(found, 50, top=1, each=5)
    for feature in (0, 11, 29):
        ranked = np.argsort(-dense[:, feature], kind="stable")[: (dense[:, feature] > 0).sum()].tolist()
        shown = places.token[feature].tolist()
        assert len(set(shown) - {-1}) == len([token for token in shown if token >= 0])  # nothing twice
        for token, band in zip(shown[1:], places.band[feature].tolist()[1:], strict=True):
            assert token < 0 or ranked.index(token) * 3 // len(ranked) == band - 1
        assert (np.array(shown[1:]) >= 0).sum() >= 14


def test_values_around_a_token_stay_in_its_window(firing):
    found, dense = firing
    tokens = np.full((30, 2), -1)
    tokens[11] = [2, 349]  # near the beginning of a window, and at the end of one
    around = feature_contexts.values_around(found, tokens, 50, before=5, after=3)
    most = dense[:, 11].max()
    assert np.allclose(around[11, 0] / 255 * most, [0, 0, 0, *dense[0:6, 11]], atol=most / 255)
    assert np.allclose(around[11, 1] / 255 * most, [*dense[344:350, 11], 0, 0, 0], atol=most / 255)
    assert ((around[11, 0, 3:] > 0) == (dense[0:6, 11] > 0)).all()  # what is active is never 0
    assert not around[0].any()


# --- what it writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["tiny_folder", "llama_folder", "gemma_folder"])
def test_logit_effects_are_the_change_of_the_logits_at_a_held_scale(folder, request):
    model = models.load(request.getfixturevalue(folder))
    draw = torch.Generator().manual_seed(1)
    stream, direction = torch.randn(1, 3, 32, generator=draw), torch.randn(1, 32, generator=draw)

    def logits(x, scale):
        centred = x - x.mean(-1, keepdim=True) if folder == "tiny_folder" else x
        bias = getattr(model.ln_final, "bias", None)
        weight = model.ln_final.weight + (1 if folder == "gemma_folder" else 0)
        return (centred / scale * weight + (0 if bias is None else bias)) @ model.W_U

    with torch.no_grad():
        change = logits(stream + direction, 2.5) - logits(stream, 2.5)
    effect = features.logit_effects(model, direction, scale=2.5)
    assert torch.allclose(change - change.mean(-1, keepdim=True), effect[None].expand_as(change), atol=1e-5)


def test_logit_effects_of_raw_and_processed_weights_are_the_same(tiny_folder):
    direction = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
    raw, processed = (
        features.logit_effects(models.load(tiny_folder, processed=processed), direction) for processed in (False, True)
    )
    assert torch.allclose(raw, processed, atol=1e-4)


def test_the_final_scale_is_what_the_norm_divides_by(tiny):
    sample = feature_sample.code_sample(most=4, length=40)
    with torch.no_grad():
        _, cache = tiny.run_with_cache(sample.windows, names_filter=["blocks.1.hook_resid_post"])
    stream = cache["blocks.1.hook_resid_post"][:, 1:]
    expected = (stream.var(-1, unbiased=False) + tiny.cfg.eps).sqrt().mean().item()
    assert features.final_scale(tiny, sample) == pytest.approx(expected, rel=1e-4)


def test_the_nearest_directions_are_those_of_the_largest_cosine():
    W_dec = torch.randn(50, 8, generator=torch.Generator().manual_seed(3)) * 3
    found, cosines = features.nearest(W_dec, k=4)
    every = torch.nn.functional.cosine_similarity(W_dec[:, None], W_dec[None], dim=-1)
    every.fill_diagonal_(-2)
    assert torch.equal(found, every.topk(4).indices) and torch.allclose(cosines, every.topk(4).values, atol=1e-5)


# --- the sample ---------------------------------------------------------------------------------------------------------


def test_the_sample_of_code_keeps_tokens_and_labels_together():
    sample = feature_sample.code_sample(most=50)
    assert sample.windows.shape == (50, 256) and (sample.windows[:, 0] == sample.bos).all()
    keywords = [sample.text_of(token).strip() for token in np.flatnonzero(sample.labels["keyword"])]
    assert len(keywords) > 100 and all(any(part in word for word in keyword.kwlist) for part in keywords)
    even, odd = sample.halves
    assert (even ^ odd).all()
    assert all((sample.file_of[token // 255] % 2 == 0) == even[token] for token in range(0, sample.n_tokens, 97))


def test_a_sample_of_texts_has_windows_and_no_labels():
    code = models.tokenizer("code-4l")
    sample = feature_sample.text_sample(code, [("one", "x = 1\n" * 40), ("two", "short"), ("three", "y\n" * 90)], 50)
    assert set(sample.file_of.tolist()) == {0, 2} and not sample.labels
    assert "".join(sample.text_of(i) for i in range(50)) == code.decode(code.ids("x = 1\n" * 40)[:50])
    with pytest.raises(CourseError, match="None of the 1 documents has 50 tokens"):
        feature_sample.text_sample(code, [("two", "short")], 50)


def test_read_gives_the_activations_of_the_hook_and_the_neurons(tiny):
    sample = feature_sample.code_sample(most=5, length=40)
    held = feature_sample.read(tiny, sample, "blocks.0.hook_resid_post")
    with torch.no_grad():
        _, cache = tiny.run_with_cache(sample.windows)
    assert torch.allclose(held.x, cache["blocks.0.hook_resid_post"][:, 1:].flatten(0, 1), atol=1e-5)
    assert torch.allclose(held.neurons, cache["blocks.0.mlp.hook_post"][:, 1:].flatten(0, 1), atol=1e-5)
    with pytest.raises(CourseError, match="no hook"):
        feature_sample.read(tiny, sample, "blocks.9.hook_resid_post")


# --- all at once ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tiny_folder):
    """The table of a random SAE of the tiny model on a small sample."""
    model = models.load(tiny_folder)
    sample = feature_sample.code_sample(most=120, length=50)
    sae = saes.SAE(32, 48, "topk", k=4, metadata={"hook_name": "blocks.0.hook_resid_post"})
    return model, sample, sae, features.table(sae, model, sample, name="tiny")


def test_a_table_says_of_each_feature_what_its_parts_say(made):
    model, sample, sae, table = made
    held = feature_sample.read(model, sample, "blocks.0.hook_resid_post")
    firing = features.fire(sae, held.x)
    assert np.allclose(table.density, firing.density) and table.about["l0"] == pytest.approx(4, abs=0.1)
    feature = int(firing.count.argmax())
    values = firing.dense(feature)
    for place in table.contexts(feature):
        assert place.values[place.at] > 0
    first = next(table.contexts(feature))
    assert first.band == "strongest" and first.values[first.at] == pytest.approx(values.max(), rel=0.01)
    assert first.tokens[first.at] == sample.text_of(int(values.argmax()))
    pro, contra = table.effects(feature)
    effects = features.logit_effects(model, sae.W_dec[feature : feature + 1].detach(), table.about["final scale"])[0]
    assert pro[0].logit == pytest.approx(effects.max().item(), rel=2e-3)
    assert contra[0].logit == pytest.approx(effects.min().item(), rel=2e-3)
    assert pro[0].token == sample.decode(int(effects.argmax()))
    assert table.neighbours(feature)[0][1] == pytest.approx(features.nearest(sae.W_dec)[1][feature, 0].item(), abs=1e-3)
    assert set(table.baseline_f1) == {"neurons", "directions"}


def test_building_twice_gives_the_same_bytes(made, tmp_path):
    model, sample, sae, table = made
    again = features.table(sae, model, sample, name="tiny")
    first, second = table.save(tmp_path / "1.npz"), again.save(tmp_path / "2.npz")
    assert first.read_bytes() == second.read_bytes()


def test_a_table_of_an_sae_that_does_not_fit_is_a_sentence(made):
    model, sample, sae, _ = made
    with pytest.raises(CourseError, match="does not say which hook"):
        features.table(saes.SAE(32, 8), model, sample, name="x")
    wide = saes.SAE(128, 8, metadata={"hook_name": "blocks.0.mlp.hook_post"})
    with pytest.raises(CourseError, match="The decoder writes 128 numbers"):
        features.table(wide, model, sample, name="x")


def test_the_text_of_a_bundled_table_is_free_to_ship(monkeypatch):
    from mechinterp_course.interp import english

    novel, handbook = "It is a truth universally acknowledged. " * 300, "The administrator installs a package. " * 300
    documents = [("austen/one", novel), ("austen/two", novel), ("handbook/one", handbook)]
    monkeypatch.setattr(english, "read_split", lambda split, folder: documents if split == "test" else None)
    card = {"model": "code-4l", "recipe": {"text": "english", "width": 127}}
    sample = features.sample_of(card)
    assert sample.files == ["austen/one", "austen/two"] and sample.length == 127 and not sample.labels
    assert features.sample_of({"recipe": {"text": "stdlib"}}).labels
