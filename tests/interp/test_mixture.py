"""The mixture that the attention-only models learn from, and how they begin and train."""

import copy
import dataclasses

import pytest
import torch

from mechinterp_course.interp import docstrings, induction, mixture, models, optimizers, recipes, tasks, training

TINY = recipes.AttentionRecipe(
    name="tiny-attn",
    about="",
    good_for="",
    n_layers=2,
    d_model=16,
    n_heads=2,
    d_mlp=1,
    n_ctx=256,
    steps=6,
    batch=2,
    lr=3e-3,
    warmup=2,
    stages=((0, 4, 64, 4, 0), (3, 5, 128, 2, 2)),
    kept=(0, 2, 4),
)


@pytest.fixture
def stream():
    return torch.randint(1, 1024, (5000,), generator=torch.Generator().manual_seed(0))


def rng():
    return torch.Generator().manual_seed(3)


def test_a_loop_repeats_one_segment_to_the_end():
    for row in mixture.loops(20, 63, rng()):
        periods = [p for p in range(1, 63) if torch.equal(row[p:], row[:-p])]
        assert mixture.SHORTEST <= periods[0] < 31


def test_a_copy_is_one_chunk_written_twice():
    """Equal pairs at one distance follow each other: a run of at least the shortest length, and nothing longer than allowed."""
    for row in mixture.copies(40, 127, rng()):
        longest = 0
        for distance in range(1, 127):
            run = 0
            for same in (row[distance:] == row[:-distance]).tolist():
                run = run + 1 if same else 0
                longest = max(longest, run)
        assert mixture.SHORTEST <= longest <= 32
        assert row.min() >= 1


def test_what_stands_in_a_second_copy_is_as_rare_as_chance():
    rows = mixture.copies(400, 255, rng())
    seen = (rows[:, :, None] == rows[:, None, :]).tril(-1).any(-1).float()
    fresh = torch.randint(1, 1024, rows.shape, generator=rng())
    by_chance = (fresh[:, :, None] == fresh[:, None, :]).tril(-1).any(-1).float()
    assert 0.1 < (seen.mean() - by_chance.mean()) < 0.16


def test_a_batch_depends_on_seed_and_step_and_follows_its_stage(stream):
    early, late = mixture.batch_of(stream, TINY, 2), mixture.batch_of(stream, TINY, 3)
    assert early.shape == (4, 64)
    assert late.shape == (5, 128)
    assert (late[:, 0] == 0).all()
    assert (stream.unfold(0, 127, 1) == late[4, 1:]).all(1).any()
    assert torch.equal(late, training.batch_of(stream, TINY, 3))
    assert not torch.equal(late, mixture.batch_of(stream, dataclasses.replace(TINY, seed=1), 3))


def test_tokens_are_counted_by_stage():
    assert TINY.tokens_seen(5) == 3 * 4 * 63 + 2 * 5 * 127


def test_the_mlps_are_zero_and_stay_so(stream):
    model = training.new_model(TINY)
    optimizer = optimizers.new_optimizer(model, TINY)
    before = model.lm_head.weight.clone()
    for step in range(3):
        training.train_step(model, optimizer, TINY, stream, step)
    assert all(p.abs().max() == 0 for name, p in model.named_parameters() if ".mlp." in name)
    assert not torch.equal(before, model.lm_head.weight)
    assert model.lm_head.weight is not model.transformer.wte.weight


def test_positions_begin_as_one_rotation_a_step():
    """The product of two positions depends on their distance alone, and is largest for equal ones."""
    waves = mixture.sinusoids(40, 64, rng())
    products = waves @ waves.T / 64
    torch.testing.assert_close(products.diagonal(1), products[0, 1].expand(39), atol=1e-4, rtol=0)
    torch.testing.assert_close(products.diagonal(), torch.ones(40), atol=1e-4, rtol=0)
    assert (products - torch.eye(40)).max() < 0.95


def test_checkpoints_are_kept_and_load(tmp_path, monkeypatch):
    monkeypatch.setattr(induction, "SEQUENCES", 2)
    monkeypatch.setattr(induction, "LENGTHS", (25,))
    files = [(path, text) for path, text in tasks.sample() if len(text) > 3000]
    parts = {"train": files[:2], "validation": files[2:3], "test": files[3:5]}
    monkeypatch.setattr(tasks, "read_split", lambda split, stdlib=None: parts[split])
    monkeypatch.setitem(recipes.RECIPES, "tiny-attn", TINY)
    folder = training.train("tiny-attn", tmp_path / "m", progress=False)
    assert models.checkpoints(folder) == [0, 2, 4, 6]
    assert models.card(folder)["checkpoints"] == [0, 2, 4, 6]
    start, end = models.weights(folder, checkpoint=0), models.weights(folder)
    assert not torch.equal(start["blocks.0.attn.W_Q"], end["blocks.0.attn.W_Q"])
    bridge = models.load(folder, checkpoint=2)
    assert torch.equal(bridge.unembed.W_U, models.weights(folder, checkpoint=2)["unembed.W_U"])
    tokens = torch.arange(20)[None]
    assert not torch.equal(bridge(tokens), models.load(folder)(tokens))
    assert [row["step"] for row in models.card(folder)["checkpoint_curve"]] == [0, 2, 4, 6]


MADE_UP = recipes.MuonRecipe(
    name="tiny-4l",
    about="",
    good_for="",
    n_layers=2,
    d_model=16,
    n_heads=2,
    d_mlp=32,
    n_ctx=256,
    steps=4,
    batch=2,
    lr=3e-3,
    warmup=2,
    stages=((0, 4, 64, 2, 1, 1), (2, 3, 64, 0, 1, 1)),
)


def test_a_batch_of_a_recipe_with_docstrings_ends_with_made_up_functions(stream):
    batch = mixture.batch_of(stream, MADE_UP, step=1)
    assert batch.shape == (4, 64)
    assert (batch[:, 0] == mixture.BOS).all()
    assert torch.equal(batch[-1:, 1:], docstrings.rows(1, 63, seed=0, step=1))
    assert torch.equal(batch, mixture.batch_of(stream, MADE_UP, step=1))
    windows = stream.unfold(0, 63, 1)
    late = mixture.batch_of(stream, MADE_UP, step=3)
    assert [(windows == row[1:]).all(1).any().item() for row in late] == [False, True, False]


def test_a_model_with_mlps_begins_small_in_the_stream_and_untied():
    model = training.new_model(dataclasses.replace(MADE_UP, d_model=64, d_mlp=256))
    block = model.transformer.h[1]
    assert block.attn.c_proj.weight.std().item() == pytest.approx((64 * 4) ** -0.5, rel=0.05)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx((256 * 4) ** -0.5, rel=0.05)
    assert block.mlp.c_fc.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert all(p.requires_grad for p in model.parameters())
    assert model.lm_head.weight is not model.transformer.wte.weight


def test_muon_has_the_matrices_of_the_blocks_and_adamw_the_rest():
    model = training.new_model(MADE_UP)
    muon, adam = optimizers.new_optimizer(model, MADE_UP).parts
    inner = {id(p) for name, p in model.named_parameters() if ".h." in name and p.dim() == 2}
    theirs = [{id(p) for group in part.param_groups for p in group["params"]} for part in (muon, adam)]
    assert theirs[0] == inner
    assert theirs[1] == {id(p) for p in model.parameters()} - inner


def test_two_optimizers_used_as_one_go_on_from_their_state(stream):
    """Two steps, a state, two more: the same weights as after a fresh start from that state."""

    def steps(model, optimizer, which):
        for step in which:
            training.train_step(model, optimizer, MADE_UP, stream, step)
        return copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())

    one = training.new_model(MADE_UP)
    optimizer = optimizers.new_optimizer(one, MADE_UP)
    weights, state = steps(one, optimizer, (0, 1))
    straight, _ = steps(one, optimizer, (2, 3))
    two = training.new_model(MADE_UP)
    two.load_state_dict(weights)
    again = optimizers.new_optimizer(two, MADE_UP)
    again.load_state_dict(state)
    resumed, _ = steps(two, again, (2, 3))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert not torch.equal(
        straight["transformer.h.0.attn.c_attn.weight"], weights["transformer.h.0.attn.c_attn.weight"]
    )


def test_a_recipe_says_its_optimizer_and_the_older_ones_are_as_they_were():
    assert "Muon" in recipes.find("code-4l").numbers()["optimizer"]
    assert "optimizer" not in recipes.find("code-attn-2l").numbers()


def test_after_a_restart_the_learning_rate_runs_down_again_and_the_functions_are_varied(stream):
    recipe = dataclasses.replace(MADE_UP, steps=20, lr_end=0.1, restart=12, restart_lr=1e-3)
    rates = [optimizers.learning_rate(recipe, step) for step in range(20)]
    without = dataclasses.replace(recipe, steps=12, restart=0)
    assert rates[:12] == [optimizers.learning_rate(without, step) for step in range(12)]
    assert rates[12:] == pytest.approx([1e-3 * (8 - step) / 8 for step in range(8)])
    for step, varied in ((11, False), (12, True)):
        made_up = mixture.batch_of(stream, recipe, step)[-1:, 1:]
        assert torch.equal(made_up, docstrings.rows(1, 63, seed=0, step=step, varied=varied))


def test_a_run_that_ends_before_its_restart_has_one_run_down():
    recipe = dataclasses.replace(MADE_UP, restart=100, restart_lr=1e-3)
    rates = [optimizers.learning_rate(recipe, step) for step in range(recipe.steps)]
    assert rates == [optimizers.learning_rate(MADE_UP, step) for step in range(recipe.steps)]
