"""Planted heads do what their role says, by the course's own scores, in plain torch and in TransformerLens."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import attention, models, patching, planted
from mechinterp_course.interp.cache import activations

EVERY = (
    ("previous token", "duplicate token", "current token", "first token"),
    ("induction", "shortcut", "even", "early previous token"),
)
WORDS = range(1, 500)


@pytest.fixture(scope="module")
def weights():
    return planted.weights(EVERY)


@pytest.fixture(scope="module")
def bridge(weights):
    return models.bridge(weights)


@functools.cache
def default() -> dict[str, torch.Tensor]:
    return planted.weights()


def distinct(length: int, batch: int = 2, seed: int = 0, before: int = 0, between: int = 0) -> torch.Tensor:
    """BOS, `before` tokens, a copy, `between` tokens, the copy again; no other token occurs twice."""
    draw = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(len(WORDS), generator=draw)[: before + length + between] + 1 for _ in range(batch)]
    once = torch.stack(rows)
    front = torch.zeros(batch, 1, dtype=torch.long)
    return torch.cat([front, once, once[:, before : before + length]], dim=1)


def scores(pattern: torch.Tensor, length: int) -> dict[str, torch.Tensor]:
    """The five scores of attention.py, averaged over the batch: each (layer, head)."""
    return {
        "previous token": attention.previous_token_score(pattern).mean(1),
        "current token": attention.current_token_score(pattern).mean(1),
        "first token": attention.first_token_score(pattern).mean(1),
        "duplicate token": attention.duplicate_token_score(pattern, length).mean(1),
        "induction": attention.induction_score(pattern, length).mean(1),
    }


def patterns_of(weights, tokens) -> torch.Tensor:
    _, acts = planted.run(weights, tokens)
    return torch.stack([value for name, value in acts.items() if name.endswith("hook_pattern")])


def losses(logits, tokens) -> torch.Tensor:
    """(batch, pos - 1): entry i is the loss of token i + 1."""
    return -logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["written", "model"])
@pytest.mark.parametrize("length", [7, 10, 25])
def test_every_head_scores_1_in_its_own_role_and_low_in_all_others(form, length, weights):
    tokens = attention.repeated_tokens(WORDS, length, batch=8, bos=0) if length == 10 else distinct(length)
    made = planted.patterns(tokens, EVERY) if form == "written" else patterns_of(weights, tokens)
    found = scores(made, length)
    for layer, roles in enumerate(EVERY):
        for head, role in enumerate(roles):
            for name, score in found.items():
                value = score[layer, head].item()
                if name == role:
                    assert value > 0.99, (role, name, value)
                elif role in ("shortcut", "early previous token") or name == "first token":
                    continue  # impostors have tests of their own; many heads rest on position 0
                else:
                    assert value < 0.3, (role, name, value)


@pytest.mark.parametrize("form", ["written", "model"])
def test_the_shortcut_passes_for_induction_at_one_length_only(form, weights):
    induction, shortcut = (1, 0), (1, 1)
    for length in (5, 9, 10, 11, 20, 40):
        tokens = distinct(length)
        made = planted.patterns(tokens, EVERY, back=9) if form == "written" else patterns_of(weights, tokens)
        found = scores(made, length)["induction"]
        assert found[induction] > 0.99
        assert found[shortcut] > 0.99 if length == 10 else found[shortcut] < 0.01


@pytest.mark.parametrize("form", ["written", "model"])
def test_the_early_previous_token_head_is_found_out_by_longer_sequences(form, weights):
    early = (1, 3)
    for length, expected in ((3, 1.0), (4, 7 / 8), (10, 7 / 20), (40, 7 / 80)):
        tokens = distinct(length)
        made = planted.patterns(tokens, EVERY) if form == "written" else patterns_of(weights, tokens)
        assert scores(made, length)["previous token"][early].item() == pytest.approx(expected, abs=3e-3)


def test_the_even_head_attends_to_everything_alike(weights):
    tokens = distinct(20)
    n = tokens.shape[1]
    alike = torch.ones(n, n).tril() / torch.arange(1, n + 1)[:, None]
    torch.testing.assert_close(planted.pattern("even", tokens)[0], alike)
    torch.testing.assert_close(patterns_of(weights, tokens)[1, 0, 2], alike)


@given(
    role=st.sampled_from(sorted(planted.ROLES)),
    batch=st.integers(1, 3),
    length=st.integers(1, 20),
    size=st.integers(1, 30),
    back=st.integers(0, 25),
    sharpness=st.sampled_from([0.0, 1.0, 20.0]),
    noise=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_pattern_is_causal_sums_to_1_and_looks_at_its_targets(
    role, batch, length, size, back, sharpness, noise, seed
):
    tokens = torch.randint(size, (batch, length), generator=torch.Generator().manual_seed(seed))
    wanted = planted.targets(role, tokens, back)
    made = planted.pattern(role, tokens, back, sharpness, noise, seed)
    assert made.shape == wanted.shape == (batch, length, length)
    assert wanted.any(-1).all() and not wanted.triu(1).any()
    assert not made.triu(1).any()
    torch.testing.assert_close(made.sum(-1), torch.ones(batch, length))
    if noise == 0:  # with m targets among n keys: m e^s / (m e^s + n - m)
        m, n = wanted.sum(-1), torch.arange(1, length + 1)
        strong = m * math.exp(sharpness)
        torch.testing.assert_close((made * wanted).sum(-1), strong / (strong + n - m))


@given(length=st.integers(1, 12), size=st.integers(1, 6), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_targets_of_heads_that_compare_tokens_by_their_definition(length, size, seed):
    row = torch.randint(size, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    for role, offered in (("duplicate token", lambda k: row[k]), ("induction", lambda k: row[k - 1])):
        made = planted.targets(role, torch.tensor([row]))[0]
        for q in range(length):
            keys = range(q) if role == "duplicate token" else range(1, q + 1)
            expected = [k for k in keys if offered(k) == row[q]] or [0]
            assert made[q].nonzero().flatten().tolist() == expected


def test_noise_is_drawn_from_the_seed_and_differs_between_heads():
    tokens = distinct(10)
    layers = (("even", "even"), ("even", "even"))
    made = planted.patterns(tokens, layers, noise=1.0, seed=4)
    assert torch.equal(made, planted.patterns(tokens, layers, noise=1.0, seed=4))
    assert not torch.equal(made, planted.patterns(tokens, layers, noise=1.0, seed=5))
    heads = made.transpose(1, 2).flatten(0, 1)
    assert all(not torch.equal(heads[i], heads[j]) for i in range(4) for j in range(i))


# --- weights --------------------------------------------------------------------------------------------------------


@given(
    length=st.integers(2, 40),
    before=st.integers(0, 20),
    between=st.integers(0, 20),
    seed=st.integers(0, 999),
)
@settings(max_examples=25, deadline=None)
def test_the_model_does_induction_at_any_length_and_offset(length, before, between, seed):
    weights = default()
    tokens = distinct(length, seed=seed, before=before, between=between)
    logits, acts = planted.run(weights, tokens)
    assert attention.previous_token_score(acts["blocks.0.attn.hook_pattern"][:, 0]).min() > 0.99
    repeat = slice(tokens.shape[1] - length, None)
    wanted = planted.targets("induction", tokens)[:, repeat]
    assert (acts["blocks.1.attn.hook_pattern"][:, 1][:, repeat] * wanted).sum(-1).min() > 0.99
    loss = losses(logits, tokens)
    assert loss[:, -(length - 1) :].max() < 0.01  # the first token of the repeat is announced by nothing
    torch.testing.assert_close(loss[:, :-length], torch.full_like(loss[:, :-length], math.log(500)), rtol=0.02, atol=0)


@pytest.mark.parametrize("length", [5, 10, 20, 30])
def test_it_does_induction_on_the_courses_repeated_tokens_too(length):
    """Drawn with replacement: where a token occurs twice in a copy, attention is split, as it should be."""
    tokens = attention.repeated_tokens(WORDS, length, batch=16, bos=0)
    made = patterns_of(default(), tokens)
    assert attention.induction_score(made, length).mean(1)[1, 1] > 0.9
    assert attention.previous_token_score(made).mean(1)[0, 0] > 0.99


@pytest.mark.parametrize("seed", range(3))
def test_ablating_the_previous_token_head_kills_induction_and_ablating_any_other_does_not(seed):
    weights = planted.weights(seed=seed)
    tokens = distinct(15, batch=4, seed=seed)
    _, acts = planted.run(weights, tokens)
    for head in range(3):
        z = acts["blocks.0.attn.hook_z"].clone()
        z[:, :, head] = 0
        logits, ablated = planted.run(weights, tokens, {"blocks.0.attn.hook_z": z})
        score = attention.induction_score(ablated["blocks.1.attn.hook_pattern"][:, 1], 15).mean()
        loss = losses(logits, tokens)[:, -14:].mean()
        if head == 0:
            assert score < 0.01 and loss == pytest.approx(math.log(500), rel=0.02)
        else:
            assert score > 0.99 and loss < 0.01


def test_ablating_the_induction_head_leaves_nothing_to_predict_with():
    weights = default()
    tokens = distinct(15)
    _, acts = planted.run(weights, tokens)
    for head in range(3):
        z = acts["blocks.1.attn.hook_z"].clone()
        z[:, :, head] = 0
        loss = losses(planted.run(weights, tokens, {"blocks.1.attn.hook_z": z})[0], tokens)[:, -14:].mean()
        assert loss == pytest.approx(math.log(500), rel=1e-5) if head == 1 else loss < 0.01


@pytest.mark.parametrize("layers", [(("even", "even"), ("induction", "even")), (("previous token", "even"),)])
def test_half_a_circuit_predicts_nothing(layers):
    tokens = distinct(15)
    loss = losses(planted.run(planted.weights(layers), tokens)[0], tokens)
    torch.testing.assert_close(loss, torch.full_like(loss, math.log(500)), rtol=0.02, atol=0)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_k_composition_is_far_above_all_other_pairs_and_q_and_v_composition(noise):
    """‖W_QK W_OV^T‖ / (‖W_QK‖ ‖W_OV‖), of a head above and a head below (Elhage et al. 2021)."""
    w = planted.weights(noise=noise)
    W_OV = torch.einsum("hmd,hdn->hmn", w["blocks.0.attn.W_V"], w["blocks.0.attn.W_O"])
    W_QK = torch.einsum("hmd,hnd->hmn", w["blocks.1.attn.W_Q"], w["blocks.1.attn.W_K"])
    W_VO = torch.einsum("hmd,hdn->hmn", w["blocks.1.attn.W_V"], w["blocks.1.attn.W_O"])

    def composition(product, above, below):
        return product.norm() / (above.norm() * below.norm())

    k = torch.stack([torch.stack([composition(qk @ ov.T, qk, ov) for qk in W_QK]) for ov in W_OV])
    q = torch.stack([torch.stack([composition(ov @ qk, qk, ov) for qk in W_QK]) for ov in W_OV])
    v = torch.stack([torch.stack([composition(ov @ vo, vo, ov) for vo in W_VO]) for ov in W_OV])
    assert k[0, 1] == pytest.approx(1 / 8, rel=0.02)  # of 64 directions written and read: √64 / (√64 · √64)
    assert torch.isfinite(torch.stack([k, q, v])).all()
    others = torch.cat([k.flatten()[[0, *range(2, 9)]], q.flatten(), v.flatten()])
    assert others.max() < (0.03 if noise else 1e-6)


def test_layernorm_is_a_known_scale(weights):
    _, acts = planted.run(weights, distinct(20))
    scale = acts["blocks.0.ln1.hook_scale"]
    torch.testing.assert_close(scale, torch.ones_like(scale), rtol=1e-5, atol=0)
    stream = acts["blocks.1.hook_resid_post"]
    assert stream.mean(-1).abs().max() < 1e-5


def test_noise_up_to_the_documented_size_leaves_the_roles():
    tokens = distinct(10)
    made = patterns_of(planted.weights(noise=0.3), tokens)
    found = scores(made, 10)
    assert min(found["previous token"][0, 0], found["duplicate token"][0, 1], found["first token"][0, 2]) > 0.9
    assert min(found["induction"][1, 0], found["induction"][1, 1]) > 0.9  # the shortcut and the induction head
    assert not torch.equal(made, patterns_of(planted.weights(noise=0.3, seed=1), tokens))


def test_codes_are_as_their_docstrings_say():
    tokens, places = planted.token_codes(500), planted.position_codes()
    cosines = tokens @ tokens.T
    torch.testing.assert_close(cosines.diagonal(), torch.ones(500))
    assert cosines.fill_diagonal_(0).abs().max() <= 3 / 8 + 1e-6
    assert cosines[planted.BOS].abs().max() < 1e-6
    torch.testing.assert_close(places @ places.T, torch.eye(127), rtol=0, atol=1e-6)
    assert max(tokens.mean(1).abs().max(), places.mean(1).abs().max()) < 1e-6


@pytest.mark.parametrize("make", [planted.weights, lambda layers: planted.patterns(distinct(3), layers)])
@pytest.mark.parametrize(
    "layers, message",
    [
        ((("inductoin", "even"),), "Did you mean induction"),
        ((("even", "even"), ("even",)), "same number of heads"),
        ((), "same number of heads"),
    ],
)
def test_layers_that_make_no_model_are_refused(make, layers, message):
    with pytest.raises(CourseError, match=message):
        make(layers)


def test_too_small_or_too_large_a_model_is_refused():
    with pytest.raises(CourseError, match="One head a layer"):
        planted.weights((("previous token",), ("induction",)))
    with pytest.raises(CourseError, match="2,000"):
        planted.weights(d_vocab=2001)
    for make in (planted.weights, lambda back: planted.pattern("shortcut", distinct(3), back)):
        for back in (-1, 127):
            with pytest.raises(CourseError, match=f"cannot look {back} places back"):
                make(back=back)


# --- run ------------------------------------------------------------------------------------------------------------


def test_the_plain_run_equals_transformer_lens_in_every_activation(weights, bridge):
    tokens = attention.repeated_tokens(WORDS, 20, batch=2, bos=0)
    bridge.set_use_attn_result(True)
    with torch.no_grad():
        expected, cache = bridge.run_with_cache(tokens)
        logits, acts = planted.run(weights, tokens)
    bridge.set_use_attn_result(False)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    for name, value in acts.items():
        seen = torch.isfinite(value)  # masked scores are -inf here
        torch.testing.assert_close(cache[name][seen], value[seen], rtol=0, atol=1e-4)


def test_the_plain_run_equals_a_trained_model():
    weights, model = models.weights("code-attn-2l"), models.load("code-attn-2l")
    tokens = attention.repeated_tokens(range(1, 1024), 20, batch=2, bos=0)
    with torch.no_grad():
        torch.testing.assert_close(planted.run(weights, tokens)[0], model(tokens), rtol=0, atol=1e-3)


def test_a_patch_replaces_an_activation_and_gradients_flow(weights):
    tokens = distinct(6)
    logits, acts = planted.run(weights, tokens)
    same, _ = planted.run(weights, tokens, {"blocks.0.hook_resid_post": acts["blocks.0.hook_resid_post"]})
    assert torch.equal(same, logits)
    stream = acts["blocks.0.hook_resid_post"].clone().requires_grad_()
    patched, seen = planted.run(
        weights, tokens, {"blocks.0.hook_resid_post": stream, "blocks.1.hook_attn_out": torch.tensor(0.0)}
    )
    assert not seen["blocks.1.hook_attn_out"].any() and not torch.allclose(patched, logits)
    logits, _ = planted.run(weights, tokens, {"blocks.0.hook_resid_post": stream})
    logits[0, -1].max().backward()
    assert stream.grad[0].any() and not stream.grad[1].any()


def test_what_cannot_run_is_refused(weights):
    with pytest.raises(CourseError, match="Did you mean blocks.0.attn.hook_z"):
        planted.run(weights, distinct(3), {"blocks.0.attn.hook_zz": torch.zeros(1)})
    with pytest.raises(CourseError, match="127 positions, and the sequences have 129"):
        planted.run(weights, distinct(64))
    with pytest.raises(CourseError, match="MLPs"):
        planted.run(models.weights("code-2l"), distinct(3))
    with pytest.raises(CourseError, match="no LayerNorm"):
        planted.run({key: t for key, t in models.weights("mod-add-53").items() if "mlp" not in key}, distinct(1))


# --- in TransformerLens ---------------------------------------------------------------------------------------------


def test_the_courses_helpers_run_on_the_bridge(bridge):
    tokens = attention.repeated_tokens(WORDS, 12, batch=4, bos=0)
    found = attention.head_scores(bridge, tokens, 12)
    assert attention.top_heads(found["previous token"], 1)[0][:2] == (0, 0)
    assert attention.top_heads(found["induction"], 1)[0][:2] == (1, 0)
    first, second = attention.repeat_loss(bridge, tokens, 12)
    assert first.mean() > 6 and second.mean() < math.log(500) / 12 + 0.1
    assert activations(bridge, tokens, "z1")["z1"].shape == (4, 25, 4, 192)
    assert bridge.to_str_tokens(tokens[0, :2]) == ["<bos>", f"t{tokens[0, 1]}"]
    assert bridge.to_tokens("t3 t4").tolist() == [[0, 3, 4]]


@pytest.mark.parametrize("changed, heads", [("answer", {(1, 1)}), ("cue", {(0, 0), (1, 1)})])
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_activation_patching_finds_the_circuit_and_nothing_else(changed, heads, direction):
    """A B ... A -> B. Changing B, only the induction head's output differs in what counts; changing the first A, both heads' do."""
    bridge = models.bridge(default())
    clean = distinct(10, batch=1)[:, :-3]  # ends with A, the token at position 7; B is at position 8
    corrupted = clean.clone()
    corrupted[0, 8 if changed == "answer" else 7] = next(t for t in WORDS if t not in clean)
    answer = clean[0, 8].item()
    found = patching.activation_patching(
        bridge, clean, corrupted, lambda logits: logits[:, -1, answer], "z", direction=direction, progress=False
    ).values
    others = 0.0 if direction == "denoising" else 1.0
    # Not exactly 0 and 1: what the duplicate-token head writes is read by nobody, but the final LayerNorm divides by it.
    for layer in range(2):
        for head in range(3):
            expected = 1 - others if (layer, head) in heads else others
            assert found[layer, head].item() == pytest.approx(expected, abs=0.05), (layer, head)


@pytest.mark.parametrize("switch", [None, "set_use_attn_result", "set_use_split_qkv_input"])
def test_every_hook_acts(bridge, switch):
    """An edit to any hook changes the logits; those of the MLP, which has no weights, excepted."""
    tokens = distinct(6)
    names = ["hook_embed", "hook_pos_embed", "ln_final.hook_normalized"]
    for layer in (0, 1):
        names += [f"blocks.{layer}.{hook}" for hook in ("hook_resid_pre", "hook_attn_out", "hook_resid_post")]
        names += [f"blocks.{layer}.attn.hook_{part}" for part in ("q", "k", "v", "attn_scores", "pattern", "z")]
        names += [f"blocks.{layer}.ln1.hook_normalized"]
    if switch is not None:
        parts = ["attn.hook_result"] if "result" in switch else ["hook_q_input", "hook_k_input", "hook_v_input"]
        names = [f"blocks.{layer}.{part}" for layer in (0, 1) for part in parts]
        getattr(bridge, switch)(True)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        logits = bridge(tokens)
        for name in names:
            edit = lambda value, hook: value + torch.rand(value.shape, generator=draw) * 30  # noqa: E731
            assert not torch.allclose(bridge.run_with_hooks(tokens, fwd_hooks=[(name, edit)]), logits), name
    if switch is not None:
        getattr(bridge, switch)(False)


def test_making_a_bridge_leaves_the_random_state_and_a_full_model_alone():
    weights = models.weights("code-2l")
    state = torch.get_rng_state()
    made = models.bridge(weights)
    assert torch.equal(state, torch.get_rng_state())
    tokens = attention.repeated_tokens(range(1, 1024), 10, bos=0)
    with torch.no_grad():
        torch.testing.assert_close(made(tokens), models.load("code-2l")(tokens), rtol=0, atol=1e-4)
