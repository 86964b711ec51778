"""The bundled `mod-add-53`: the card is what its weights say, its checkpoints show the phases, and its silent hooks are known.

It is the one native model, because Hugging Face has no form without LayerNorm that would do; in TransformerLens' own form
some hooks do nothing. `test_models` asks every other bundled model for all hooks.
"""

import json

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import cache, grokking, models, modular, recipes, tasks

NAME = "mod-add-53"
P = 53
PAIRS = modular.all_pairs(P)
TRAIN = modular.is_train(P)
SOME = [0, 700, 1800, 6000]  # checkpoints before, between and after
SWITCHES = ("use_attn_result", "use_split_qkv_input", "use_attn_in", "use_hook_mlp_in")


@pytest.fixture(scope="module")
def card():
    return models.card(NAME)


@pytest.fixture(scope="module")
def weights():
    return models.weights(NAME)


@pytest.fixture(scope="module")
def bridge():
    return models.load(NAME)


# --- the card -----------------------------------------------------------------------------------------------------


def test_the_model_adds(card, weights):
    right = modular.logits(weights, PAIRS).argmax(1) == PAIRS.sum(1) % P
    assert right[TRAIN].all()
    assert right[~TRAIN].double().mean() >= 0.99
    assert card["accuracy"] == {"train": 1.0, "test": right[~TRAIN].double().mean().item()}


def test_the_card_is_that_of_the_recipe(card, weights):
    recipe = recipes.find(NAME)
    assert card["recipe"] == recipe.as_json()
    assert card["name"] == models.folder_of(NAME).name == NAME
    assert card["steps"] == recipe.steps
    assert card["parameters"] == sum(tensor.numel() for tensor in weights.values()) == 210_688
    assert card["checkpoints"] == recipe.checkpoints() == models.checkpoints(NAME)
    assert models.folder_of(NAME).joinpath("curves.csv").is_file()


def test_the_figures_of_the_card_are_those_of_the_weights(card, weights):
    curve = grokking.curves(NAME)
    rows = [dict(zip(curve, values, strict=True)) for values in zip(*curve.values(), strict=True)]
    found = json.loads(json.dumps(grokking.figures(rows, weights)))
    for key in ("grokking", "phases", "accuracy", "behaviours"):
        assert close(found[key], card[key]), key
    assert found["loss"] == pytest.approx(card["loss"], rel=1e-2)


def close(found, told):
    """Equal, numbers to a thousandth."""
    if isinstance(told, dict):
        return found.keys() == told.keys() and all(close(found[key], told[key]) for key in told)
    if isinstance(told, float):
        return found == pytest.approx(told, rel=1e-3, abs=1e-4)
    return found == told


def test_the_curves_are_those_of_the_checkpoints(card):
    curve = grokking.curves(NAME)
    assert curve["epoch"] == recipes.find(NAME).measured()
    keys = card["behaviours"]["key_frequencies"]["value"]
    for epoch in SOME:
        row = grokking.measure(models.weights(NAME, checkpoint=epoch), TRAIN, keys)
        at = curve["epoch"].index(epoch)
        for column, value in row.items():
            assert value == pytest.approx(curve[column][at], rel=1e-2, abs=1e-9), (epoch, column)


def test_float16_changes_no_figure(card):
    exact, stored = card["storage_check"]["float32"], card["storage_check"]["float16"]
    for column in exact:
        assert stored[column] == pytest.approx(exact[column], rel=0.02), column
    assert exact["train_accuracy"] == stored["train_accuracy"]
    assert exact["test_accuracy"] == stored["test_accuracy"]


def test_every_phase_has_its_checkpoints(card):
    kept, phases = card["checkpoints"], card["phases"]
    ends = [phases[key] for key in ("memorisation_ends", "circuit_formation_ends", "clean_up_ends")]
    assert len(kept) >= 12
    assert ends == sorted(ends)
    for start, end in zip([0, *ends[:2]], ends, strict=True):
        assert sum(start <= epoch <= end for epoch in kept) >= 4


def test_it_memorises_long_before_it_groks(card):
    for seed in [card, *card["other_seeds"].values()]:
        grokked = seed["grokking"]
        assert grokked["train_accuracy_0.99"] <= 300
        assert grokked["test_accuracy_0.99"] > 1000


def test_three_seeds_grok_each_by_frequencies_of_its_own(card):
    seeds = [card, *card["other_seeds"].values()]
    assert len(seeds) >= 3
    keys = [tuple(seed["behaviours"]["key_frequencies"]["value"]) for seed in seeds]
    assert len(set(keys)) == len(keys)
    for seed in seeds:
        assert seed["accuracy"]["test"] >= 0.99
        assert seed["behaviours"]["logit_share"]["sum"] > 0.9


def test_the_series_is_small():
    folder = models.folder_of(NAME)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 8_000_000
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {".json", ".csv", ".safetensors"}


def test_the_recipe_makes_these_weights(tmp_path):
    """The first fifty epochs followed again end where the checkpoint is, up to the rounding of another machine."""
    run = modular.Run(recipes.find(NAME), tmp_path)
    for _ in range(50):
        run.train_epoch()
    for name, tensor in models.weights(NAME, checkpoint=50).items():
        # Rounding differs with the machine and its threads, and training makes it larger; another seed differs by 1.4.
        assert (run.weights[name].detach() - tensor).norm() < 0.02 * tensor.norm(), name


# --- the model in TransformerLens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", [None, *SOME])
def test_the_bridge_gives_the_logits_of_the_plain_model(checkpoint):
    bridge = models.load(NAME, checkpoint=checkpoint)
    assert not bridge.training
    with torch.no_grad():
        theirs = bridge(modular.tokens(PAIRS, P))[:, -1]
    ours = modular.logits(models.weights(NAME, checkpoint), PAIRS)
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-6)


def test_the_bridge_gives_the_activations_of_the_plain_model(bridge, weights):
    names = ["blocks.0.hook_resid_mid", "blocks.0.mlp.hook_post"]
    seen = cache.activations(bridge, modular.tokens(PAIRS, P), names)
    torch.testing.assert_close(seen[names[0]][:, -1], modular.residual(weights, PAIRS), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[names[1]][:, -1], modular.neurons(weights, PAIRS), atol=1e-5, rtol=0)


def test_processed_weights_say_the_same(bridge):
    tokens = modular.tokens(PAIRS, P)
    with torch.no_grad():
        processed = models.load(NAME, processed=True)(tokens).log_softmax(-1)
        torch.testing.assert_close(processed, bridge(tokens).log_softmax(-1), atol=1e-4, rtol=0)


def test_the_config_is_that_of_the_bridge(bridge):
    config = models.config(NAME)
    for field in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "d_vocab", "n_ctx", "act_fn"):
        assert getattr(config, field) == getattr(bridge.cfg, field), field
    assert config.eps == 0


def silent_hooks(bridge):
    """The hooks of a bridge, by their own names, whose edit leaves the logits as they are or that cannot be edited."""
    tokens = modular.tokens(PAIRS, P)[::40]
    with torch.no_grad():
        logits = bridge(tokens)

    def edit(value, hook):
        if not value.is_floating_point():
            return value.flip(-1)
        return value * 0.5 + 0.1 * torch.linspace(-1, 1, value.shape[-1])

    silent = set()
    for name in bridge.hook_dict:
        try:
            with torch.no_grad():
                edited = bridge.run_with_hooks(tokens, fwd_hooks=[(name, edit)])
        except ValueError as error:
            assert "because use_" in str(error)  # switched off
            silent.add(bridge.hook_dict[name].name)
        else:
            if (edited - logits).abs().max() < 1e-3:
                silent.add(bridge.hook_dict[name].name)
    return silent


@pytest.mark.filterwarnings("ignore:.*hook_attn_scores.*")
def test_the_card_names_the_hooks_that_do_not_act_and_no_other(card):
    bridge = models.load(NAME)
    for switch in SWITCHES:
        try:
            getattr(bridge, f"set_{switch}")(True)
        except NotImplementedError:
            assert switch != "use_hook_mlp_in"
    assert silent_hooks(bridge) == set(card["hooks_that_do_not_act"])


def test_what_is_called_the_scores_is_the_pattern(bridge):
    _, seen = bridge.run_with_cache(modular.tokens(PAIRS, P)[:5])
    assert torch.equal(seen["blocks.0.attn.hook_attn_scores"], seen["blocks.0.attn.hook_pattern"])


@pytest.mark.parametrize("hook", ["blocks.0.attn.hook_attn_scores", "result0", "blocks.0.hook_q_input"])
def test_a_hook_that_does_not_act_is_refused_with_what_to_use_instead(bridge, hook):
    with pytest.raises(CourseError, match=r"does not act in this model.*(: use|is its) attn\.hook_"):
        cache.hook_name(bridge, hook)


def test_the_hook_table_marks_them(bridge):
    rows = {row.name: row for row in cache.hook_table(bridge, modular.tokens(PAIRS, P)[:2])}
    assert rows["blocks.0.attn.hook_attn_scores"].about.endswith("(does not act in this model)")
    assert rows["blocks.0.attn.hook_attn_scores"].shape is None
    assert rows["blocks.0.attn.hook_pattern"].shape == (2, 4, 3, 3)


def test_loading_says_once_which_hooks_do_not_act(monkeypatch, capfd):
    monkeypatch.setattr(models, "_told", set())
    models.load(NAME)
    told = capfd.readouterr()
    assert "mod-add-53 is a native model" in told.out
    assert "attn.hook_attn_scores" in told.out
    assert told.out.count("\n") == 1
    models.load(NAME)
    again = capfd.readouterr()
    assert again.out == told.err == again.err == ""


def test_no_other_bundled_model_is_native():
    forms = {file.parent.name: json.loads(file.read_text())["model_type"] for file in tasks.ZOO.glob("*/config.json")}
    assert [name for name, form in forms.items() if form == "native"] == [NAME]
