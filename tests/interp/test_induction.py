"""The attention-only models: induction in two layers and not in one, and cards that are true of the weights."""

import ast
import io
import keyword
import tokenize

import pytest
import torch

from mechinterp_course.interp import attention, induction, models, recipes, tasks

ONE, TWO = "code-attn-1l", "code-attn-2l"


@pytest.fixture(scope="module")
def two():
    return models.load(TWO)


def test_the_card_is_what_the_weights_say(two):
    card, found = models.card(TWO)["behaviours"]["repeated_tokens"]["50"], induction.measured(two, 50)
    for key in ("first_copy", "second_copy", "gain"):
        assert found[key] == pytest.approx(card[key], abs=0.01)
    for role in ("previous_token", "induction"):
        for mine, told in zip(found[role], card[role], strict=True):
            assert mine["score"] == pytest.approx(told["score"], abs=0.005)


def test_two_layers_do_induction_at_lengths_they_never_saw():
    for kind in ("behaviours", "behaviours_processed"):
        card = models.card(TWO)[kind]
        for length in ("25", "50"):
            found = card["repeated_tokens"][length]
            assert found["previous_token"][0]["score"] >= 0.6
            assert found["induction"][1]["score"] >= 0.6
            assert found["gain"] >= 3
            cut = card["without_previous_token_head"]["repeated_tokens"][length]
            assert cut["induction"][1]["score"] < found["induction"][1]["score"] / 2


def test_one_layer_does_not():
    card = models.card(ONE)["behaviours"]
    assert all(found["induction"][0]["score"] < 0.1 for found in card["repeated_tokens"].values())


def test_every_seed_has_the_circuit():
    seeds = models.card(TWO)["other_seeds"]
    assert len(seeds) >= 2
    for told in seeds.values():
        found = told["behaviours"]["repeated_tokens"]["50"]
        assert found["induction"][1]["score"] >= 0.6
        assert found["gain"] >= 3
        assert max(told["behaviours"]["previous_token_scores"]) >= 0.6


def test_the_checkpoints_show_the_change():
    curve = models.card(TWO)["checkpoint_curve"]
    assert [row["step"] for row in curve] == models.checkpoints(TWO)
    assert len(curve) >= 24
    assert curve[0]["induction"] < 0.1
    assert curve[-1]["induction"] > 0.5
    assert tuple(models.checkpoints(TWO)) == (*recipes.find(TWO).kept, recipes.find(TWO).steps)
    folder = models.folder_of(TWO)
    assert sum(file.stat().st_size for file in folder.rglob("*.safetensors")) <= 15_000_000


def test_a_checkpoint_before_the_change_has_no_circuit(two):
    early = models.load(TWO, checkpoint=100)
    assert not early.training
    tokens = induction.repeats(50)[:4]
    scores = [attention.head_scores(model, tokens, 50)["induction"].max() for model in (early, two)]
    assert scores[0] < 0.1
    assert scores[1] > 0.5


def test_a_name_is_replaced_everywhere_and_nothing_else():
    text = next(text for _, text in tasks.sample() if len(text) > 5000)
    after = induction.renamed(text)

    def tokens(source):
        return list(tokenize.generate_tokens(io.StringIO(source).readline))

    ast.parse(after)
    new = {}
    for old, now in zip(tokens(text), tokens(after), strict=True):
        if old.type == tokenize.NAME and not keyword.iskeyword(old.string):
            assert new.setdefault(old.string, now.string) == now.string
        else:
            assert old.string == now.string
    assert len(set(new.values())) == len(new)


def test_prefix_matching_counts_what_follows_an_earlier_occurrence(monkeypatch):
    """A head that looks with all its attention at the token after the earlier copy has 1, one that looks elsewhere 0."""
    tokens = torch.tensor([[0, 5, 6, 7, 5, 6]])
    pattern = torch.eye(6)[None, None, None].repeat(1, 1, 2, 1, 1)
    pattern[0, 0, 0, 4], pattern[0, 0, 0, 5] = torch.eye(6)[2], torch.eye(6)[3]
    monkeypatch.setattr(attention, "patterns", lambda model, tokens: pattern)
    assert induction.prefix_matching(None, tokens).tolist() == [[1.0, 0.0]]
