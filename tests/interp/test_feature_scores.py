"""Rules against the labels and texts they come from; scores against a search by hand, on planted units and on noise."""

import numpy as np
import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import feature_rules, feature_sample, feature_scores, features, models


@pytest.fixture(scope="module")
def sample():
    return feature_sample.code_sample(most=120)


@pytest.fixture(scope="module")
def rules(sample):
    return feature_rules.rules(sample)


def fired(values):
    """A dense array (token, unit) as features."""
    sae = type("Ready", (), {"W_dec": torch.eye(values.shape[1]), "encode": lambda self, x: x})()
    return features.fire(sae, values)


# --- rules ------------------------------------------------------------------------------------------------------------


def test_rules_hold_where_the_labels_say(sample, rules):
    assert np.array_equal(rules.truth("in_docstring"), sample.labels["in_docstring"])
    assert np.array_equal(rules.truth("seen_before"), sample.labels["seen_before"])
    code = ~sample.labels["in_string"] & ~sample.labels["in_comment"]
    assert np.array_equal(rules.truth("in_brackets"), (sample.labels["bracket_depth"] > 0) & code)
    assert np.array_equal(rules.truth("parameter"), sample.labels["name_role"] == 1)


def test_rules_hold_where_the_text_says(sample, rules):
    texts = np.array([sample.text_of(i) for i in range(sample.n_tokens)], dtype=object)
    before = np.append([""], texts[:-1])
    before[:: sample.length] = ""
    assert np.array_equal(rules.truth("token  self"), texts == " self")
    assert np.array_equal(rules.truth("token self"), texts == "self")
    assert np.array_equal(rules.truth("word self"), (texts == " self") | (texts == "self"))
    assert rules.says[rules.number("word self")] in ("the token ␣self or self", "the token self or ␣self")
    assert np.array_equal(rules.truth("after ."), before == ".")
    assert np.array_equal(rules.truth("newline"), np.array(["\n" in text for text in texts]))
    goes_on = [b[-1:].isalpha() and t[:1].isalpha() for b, t in zip(before, texts, strict=True)]
    assert np.array_equal(rules.truth("word_goes_on"), np.array(goes_on))


def test_a_line_is_known_by_its_first_word():
    code = models.tokenizer("code-4l")
    text = "import os\n    return 1\nimport re\n" * 60
    sample = feature_sample.text_sample(code, [("a", text), ("b", text)], 60)
    rules = feature_rules.rules(sample)
    lines, word = [], None
    for token in range(sample.n_tokens):
        if token % 60 == 0:
            word, begun = None, False
        text = sample.text_of(token)
        if begun and text.strip():
            word, begun = text.strip(), False
        lines.append(word)
        if "\n" in text:
            word, begun = None, True
    assert np.array_equal(rules.truth("line import"), np.array(lines) == "import")
    assert np.array_equal(rules.truth("line return"), np.array(lines) == "return")


def test_every_rule_is_frequent_enough_and_named_once(sample, rules):
    even, odd = sample.halves
    assert (np.minimum(rules.counts(even), rules.counts(odd)) >= feature_rules.LEAST).all()
    assert len(set(rules.names)) == len(rules.names) == len(rules.says) > 300
    every = np.ones(sample.n_tokens, dtype=bool)
    some = [0, 20, len(rules) // 2, len(rules) - 1]
    assert rules.counts(every)[some].tolist() == [rules.truth(i).sum() for i in some]


def test_pairs_of_tokens_and_rules_are_looked_up(sample, rules):
    draw = np.random.default_rng(0)
    tokens, which = draw.integers(sample.n_tokens, size=500), draw.integers(len(rules), size=500)
    expected = [rules.truth(int(rule))[token] for token, rule in zip(tokens, which, strict=True)]
    assert rules.holds(tokens, which).tolist() == expected


def test_an_unknown_rule_and_a_single_file_are_sentences(rules):
    with pytest.raises(CourseError, match="There is no rule 'in_docstrings'. Did you mean in_docstring"):
        rules.truth("in_docstrings")
    code = models.tokenizer("code-4l")
    with pytest.raises(CourseError, match="Take a sample of two files or more"):
        feature_rules.rules(feature_sample.text_sample(code, [("a", "x = 1\n" * 100)], 60))


# --- scores -----------------------------------------------------------------------------------------------------------


def test_fit_is_precision_recall_and_f1():
    said, truth = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 1, 0, 1, 1, 0], bool)
    assert feature_scores.fit(said, truth) == pytest.approx((2 / 3, 2 / 4, 2 * 2 / (3 + 4)))
    assert feature_scores.fit(said & False, truth) == (0, 0, 0)


def test_planted_features_get_their_rules_and_noise_gets_none(sample, rules):
    draw = torch.Generator().manual_seed(0)
    planted = ["keyword", "in_brackets", "token ␣self", "after ."]
    noise = torch.rand(sample.n_tokens, len(planted) + 2, generator=draw)
    truth = np.stack([rules.truth(name) for name in planted] + [noise[:, 4] < 0.02, noise[:, 5] < -1], axis=1)
    units = torch.from_numpy(truth).float() * (noise + 0.5)
    scores = feature_scores.score(fired(units), rules, sample)
    assert [rules.names[i] for i in scores.rule[:4]] == planted
    assert scores.f1[:4] == pytest.approx(1) and scores.explained.tolist() == [True] * 4 + [False] * 2
    assert scores.f1[4] < 0.2 and scores.rule[5] == -1 and scores.f1[5] == 0  # noise; never active
    assert (scores.threshold[:4] == feature_scores.ACTIVE).all()  # all that is active counts
    for unit, name in enumerate(planted):
        assert scores.best_unit[rules.number(name)] == unit and scores.best_f1[rules.number(name)] == pytest.approx(1)


def test_a_threshold_is_found_where_small_activations_mean_nothing(sample, rules):
    draw = torch.Generator().manual_seed(1)
    small = torch.rand(sample.n_tokens, generator=draw) * (torch.rand(sample.n_tokens, generator=draw) < 0.15)
    values = small + 5 * torch.from_numpy(rules.truth("parameter")).float()
    scores = feature_scores.score(fired(values[:, None]), rules, sample)
    assert rules.names[scores.rule[0]] == "parameter"
    # Thresholds come in steps of half as many again: between two of them F1 loses some of its tokens.
    assert scores.f1[0] > 0.8 and scores.threshold[0] > 0.5


def test_scores_are_those_of_a_search_by_hand(sample, rules):
    draw = torch.Generator().manual_seed(2)
    truth = torch.from_numpy(rules.truth("in_comment")).float()
    values = truth + torch.randn(sample.n_tokens, generator=draw)
    scores = feature_scores.score(values[:, None], rules, sample)
    chosen, held = sample.halves
    x = values.numpy()
    ranked = np.sort(x[chosen])[::-1]
    best = (0.0, None, None)
    for size in feature_scores.sizes(int(chosen.sum())):
        threshold = ranked[size - 1]
        for rule in range(len(rules)):
            f1 = feature_scores.fit(x[chosen] >= threshold, rules.truth(rule)[chosen]).f1
            best = max(best, (f1, rule, threshold), key=lambda found: found[0])
    assert (scores.rule[0], scores.threshold[0]) == (best[1], pytest.approx(best[2]))
    expected = feature_scores.fit(x[held] >= best[2], rules.truth(best[1])[held])
    assert (scores.precision[0], scores.recall[0], scores.f1[0]) == pytest.approx(expected)


def test_features_and_dense_units_are_treated_the_same(sample, rules, monkeypatch):
    draw = torch.Generator().manual_seed(3)
    values = torch.rand(sample.n_tokens, 9, generator=draw) + 0.01  # never 0: a feature has every token then too
    for unit, name in enumerate(("in_string", "name", "token ,", "digit")):
        values[:, unit] += 0.4 * torch.from_numpy(rules.truth(name)).float()
    sparse = feature_scores.score(fired(values), rules, sample)
    monkeypatch.setattr(feature_scores, "CHUNK", 4)
    dense = feature_scores.score(values, rules, sample)
    for one, other in zip(sparse, dense, strict=True):
        assert np.allclose(one, other)


def test_the_thresholds_reach_a_quarter_of_the_tokens():
    sizes = feature_scores.sizes(10_000)
    assert sizes[0] == feature_scores.FEWEST and sizes[-1] == 2_500 and (np.diff(sizes) > 0).all()


def test_random_directions_have_length_one_and_a_seed():
    found = feature_scores.random_directions(20, 6)
    assert torch.allclose(found.norm(dim=1), torch.ones(20)) and torch.equal(
        found, feature_scores.random_directions(20, 6)
    )
