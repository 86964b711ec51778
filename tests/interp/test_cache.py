"""Names are checked before the model runs; activations come under the names asked for; the table tells the truth."""

import pytest
import torch
from transformer_lens.utilities import get_act_name

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import cache
from mechinterp_course.interp.cache import activations, hook_table, hook_text

TOKENS = torch.randint(1, 1024, (3, 9), generator=torch.Generator().manual_seed(0))

SHORT = ["k6", "scale4ln1", "pre5", "embed", "pos_embed", "resid_pre3", "blocks.0.attn.hook_z", "hook_embed", "attn2"]
TUPLES = [
    ("k", 6, "a"),
    ("pre", 2),
    ("embed",),
    ("normalized", 27, "ln2"),
    ("scale",),
    ("resid_mid", 1),
    ("mlp_out", 0),
]
TUPLES += [("attn", 3), ("attn_logits", 1), ("mlp_post", 1), ("query", 0), ("rot_q", 2), ("result", 2), ("in", 1, "m")]


@pytest.mark.parametrize("name", [*((name,) for name in SHORT), *TUPLES], ids=str)
def test_short_names_mean_what_transformer_lens_means(name):
    assert cache.act_name(*name) == get_act_name(*name)


def test_activations_stand_under_the_names_that_were_asked_for(tiny):
    names = ["pattern1", ("pattern", 1), "blocks.1.attn.hook_pattern", ("z", 0), "blocks.0.attn.o.hook_in"]
    got = activations(tiny, TOKENS, names)
    assert list(got) == names
    assert got["pattern1"].shape == (3, 4, 9, 9)
    assert torch.equal(got["pattern1"], got["blocks.1.attn.hook_pattern"])
    assert torch.equal(got["pattern1"], got[("pattern", 1)])
    assert torch.equal(got[("z", 0)], got["blocks.0.attn.o.hook_in"])  # two names of one hook
    assert not got["pattern1"].requires_grad


def test_one_name_needs_no_list(tiny):
    assert list(activations(tiny, TOKENS, ("resid_post", 1))) == [("resid_post", 1)]
    assert list(activations(tiny, TOKENS, "hook_embed")) == ["hook_embed"]


def test_tokens_of_one_text_and_the_text_itself_are_a_batch_of_one(tiny):
    text = "def f(x):"
    tokens = tiny.to_tokens(text)
    assert tokens[0, 0] == 0  # BOS
    batch = activations(tiny, tokens, ("resid_post", 1))[("resid_post", 1)]
    torch.testing.assert_close(activations(tiny, tokens[0], ("resid_post", 1))[("resid_post", 1)], batch)
    torch.testing.assert_close(activations(tiny, text, ("resid_post", 1))[("resid_post", 1)], batch)


def test_activations_leave_the_model_without_hooks(tiny):
    activations(tiny, TOKENS, ["pattern0", "z1"])
    assert not any(hook.fwd_hooks for hook in tiny.hook_dict.values())


@pytest.mark.parametrize(
    "name, suggested",
    [
        ("blocks.1.attn.hook_patern", "blocks.1.attn.hook_pattern"),
        (("patern", 1), "blocks.1.attn.hook_pattern"),
        ("blocks.0.hook_resid_pst", "blocks.0.hook_resid_post"),
        ("hook_embedd", "hook_embed"),
        ("ln_final.hook_normalised", "ln_final.hook_normalized"),
    ],
)
def test_a_misspelt_name_is_refused_before_the_model_runs(tiny, monkeypatch, name, suggested):
    monkeypatch.setattr(type(tiny), "run_with_cache", None)
    with pytest.raises(CourseError) as caught:
        activations(tiny, TOKENS, ["pattern0", name])
    assert suggested in caught.value.remedy
    assert "blocks.0" not in caught.value.remedy or "blocks.0" in str(name)  # no wrong layer is suggested


@pytest.mark.parametrize("name", [("pattern", 2), "blocks.12.hook_resid_pre"])
def test_a_layer_that_does_not_exist_is_named(tiny, name):
    with pytest.raises(CourseError, match="numbered from 0 to 1"):
        activations(tiny, TOKENS, [name])


@pytest.mark.parametrize("name", ["pattern", "resid_pre", ("scale", None, "ln1")])
def test_a_forgotten_layer_is_asked_for(tiny, name):
    with pytest.raises(CourseError, match="Say which, from 0 to 1: 'blocks.1"):
        activations(tiny, TOKENS, [name])


@pytest.mark.parametrize(
    "name, setting",
    [
        (("result", 0), "use_attn_result"),
        (("q_input", 1), "use_split_qkv_input"),
        (("k_input", 1), "use_split_qkv_input"),
        ("blocks.0.attn.hook_v_input", "use_split_qkv_input"),
        (("attn_in", 0), "use_attn_in"),
        (("mlp_in", 0), "use_hook_mlp_in"),
    ],
)
def test_a_hook_that_is_off_says_how_to_switch_it_on_and_that_works(tiny, name, setting):
    with pytest.raises(CourseError) as caught:
        activations(tiny, TOKENS, [name])
    assert caught.value.remedy == f"Switch it on: model.set_{setting}(True)"
    getattr(tiny, f"set_{setting}")(True)
    assert activations(tiny, TOKENS, [name])[name].shape[:2] == TOKENS.shape


def test_of_two_settings_that_exclude_each_other_the_other_goes_off_first(tiny):
    tiny.set_use_split_qkv_input(True)
    with pytest.raises(
        CourseError, match=r"model.set_use_split_qkv_input\(False\), then model.set_use_attn_in\(True\)"
    ):
        activations(tiny, TOKENS, [("attn_in", 0)])


def test_a_hook_that_the_model_never_reaches_is_told(tiny):
    with pytest.raises(CourseError, match="never runs through it"):
        activations(tiny, TOKENS, ["blocks.0.attn.qkv.hook_in"])


# --- the table ----------------------------------------------------------------------------------------------------


def all_on(model):
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)


def test_every_row_is_a_hook_and_its_axes_fit_its_shape(tiny):
    all_on(tiny)
    sizes = {"batch": 3, "pos": 9, "query": 9, "key": 9, "head": 4, "d_head": 8, "1": 1}
    sizes |= {"d_model": 32, "d_mlp": 128, "d_vocab": 1024}
    rows = hook_table(tiny, TOKENS, layer=1)
    assert len(rows) == 28
    for row in rows:
        assert row.name in tiny.hook_dict
        expected = tuple(sizes[axis] for axis in row.axes.split())
        assert row.shape == expected or (row.name.endswith("attn_in") and row.shape is None), row.name
        assert row.about


def test_without_tokens_there_are_no_shapes(tiny):
    assert {row.shape for row in hook_table(tiny)} == {None}


def test_a_hook_that_is_off_is_listed_with_its_switch(tiny):
    row = next(row for row in hook_table(tiny, TOKENS) if row.name == "blocks.0.attn.hook_result")
    assert row.shape is None
    assert "model.set_use_attn_result(True)" in row.about


def test_a_layer_beyond_the_model_has_no_table(tiny):
    with pytest.raises(CourseError, match="no layer 2"):
        hook_table(tiny, layer=2)


def test_the_text_has_one_line_a_hook_in_columns(tiny):
    rows = hook_table(tiny, TOKENS)
    lines = hook_text(rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert lines[0].split() == ["name", "axes", "shape", "what", "it", "is"]
    pattern = next(line for line in lines if "attn.hook_pattern" in line)
    assert pattern.split("  ")[0] == "blocks.0.attn.hook_pattern"
    assert lines[0].index("axes") == pattern.index("batch head query key")
    assert lines[0].index("shape") == pattern.index("(3, 4, 9, 9)")
    assert "shape" not in hook_text(hook_table(tiny)).splitlines()[0]


def test_what_the_table_says_of_the_hooks_is_true(tiny):
    """The equations behind the words: residual sums, softmax, averaged values, what the normalisation divides by."""
    all_on(tiny)
    names = [row.name.removeprefix("blocks.1.") for row in hook_table(tiny, layer=1) if "attn_in" not in row.name]
    full = [f"blocks.1.{name}" if f"blocks.1.{name}" in tiny.hook_dict else name for name in names]
    a = dict(zip(names, activations(tiny, TOKENS, full).values(), strict=True))
    block = tiny.blocks[1]
    close = torch.testing.assert_close
    close(a["hook_resid_pre"] + a["hook_attn_out"], a["hook_resid_mid"])
    close(a["hook_resid_mid"] + a["hook_mlp_out"], a["hook_resid_post"])
    close(a["attn.hook_result"].sum(2) + block.attn.b_O, a["hook_attn_out"])
    close(a["attn.hook_attn_scores"].softmax(-1), a["attn.hook_pattern"])
    close(torch.einsum("bhqk,bkhd->bqhd", a["attn.hook_pattern"], a["attn.hook_v"]), a["attn.hook_z"])
    centred = a["hook_resid_pre"] - a["hook_resid_pre"].mean(-1, keepdim=True)
    close(centred / a["ln1.hook_scale"], a["ln1.hook_normalized"])
    close(a["hook_q_input"], a["hook_resid_pre"][:, :, None].expand(-1, -1, 4, -1))
    close(torch.nn.functional.gelu(a["mlp.hook_pre"], approximate="tanh"), a["mlp.hook_post"])
    close(a["hook_unembed"], tiny(TOKENS).detach())


@pytest.mark.parametrize("processed", [False, True])
def test_the_table_of_a_rotary_model_has_no_embedding_of_positions(llama_folder, processed):
    from mechinterp_course.interp import models

    rows = cache.hook_table(models.load(llama_folder, processed=processed), torch.tensor([[1, 2, 3]]))
    assert rows[0].name == "hook_embed" and rows[0].shape == (1, 3, 32)
    assert "hook_pos_embed" not in [row.name for row in rows]
