"""Path patching against a slow implementation that runs the whole model three times with hooks, and against a planted circuit."""

import contextlib
import io
from functools import cache

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import metrics, models, patching, paths, planted

PROBE = metrics.logit_difference([5, 6], [7, 8])


@cache
def bridge(name, processed=False):
    return models.load(name, processed=processed)


@pytest.fixture(scope="module")
def loads(tiny_folder, llama_folder):
    return {"tiny": tiny_folder, "llama": llama_folder, "code-2l": "code-2l"}


def prompts():
    draw = torch.Generator().manual_seed(1)
    clean = torch.randint(1, 400, (2, 6), generator=draw)
    corrupted = clean.clone()
    corrupted[:, [1, 3]] += 400
    return clean, corrupted


# --- the slow way ---------------------------------------------------------------------------------------------------


def fixed(value, part=slice(None)):
    """A hook that puts in `value`, or one head of it."""

    def hook(activation, hook):
        activation = activation.clone()
        activation[:, :, part] = value[:, :, part]
        return activation

    return hook


def slow(model, sender, receivers, direction, through_mlps):
    """The metric for each prompt when the sender's change reaches the receivers alone: three runs of the whole model."""
    clean, corrupted = prompts()
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    _, of_base = model.run_with_cache(base)
    _, of_source = model.run_with_cache(source)
    hooks = []
    for layer in range(model.cfg.n_layers):
        z, mlp = f"blocks.{layer}.attn.hook_z", f"blocks.{layer}.hook_mlp_out"
        hooks.append((z, fixed(of_base[z])))
        if sender == (layer, sender[1]):
            hooks.append((z, fixed(of_source[z], sender[1])))
        if sender == ("mlp", layer):
            hooks.append((mlp, fixed(of_source[mlp])))
        elif not through_mlps:
            hooks.append((mlp, fixed(of_base[mlp])))
    heard = {}

    def listen(activation, hook, name):
        heard[name] = activation.clone()

    names = [] if receivers == "logits" else sorted({f"blocks.{at}.attn.hook_{letter}" for at, _, letter in receivers})
    listeners = [(name, lambda a, hook, name=name: listen(a, hook, name)) for name in names]
    logits = model.run_with_hooks(base, fwd_hooks=hooks + listeners)
    if receivers != "logits":
        told = [(f"blocks.{at}.attn.hook_{letter}", head) for at, head, letter in receivers]
        logits = model.run_with_hooks(base, fwd_hooks=[(name, fixed(heard[name], head)) for name, head in told])
    return PROBE(logits).double()


RECEIVERS = {
    "logits": "logits",
    "one query": [(1, 2, "q")],
    "key and value": [(1, 0, "k"), (1, 1, "v")],
    "two layers": [(1, 1, "q"), (1, 0, "k"), (2, 3, "q"), (2, 1, "v")],
}


@pytest.mark.parametrize("through_mlps", [False, True])
@pytest.mark.parametrize("receivers", RECEIVERS)
@pytest.mark.parametrize("name", ["tiny", "llama"])
def test_paths_to_receivers_are_those_of_three_whole_runs(loads, name, receivers, through_mlps):
    model = bridge(loads[name])
    goals = RECEIVERS[receivers]
    if goals != "logits":
        goals = [goal for goal in goals if goal[0] < model.cfg.n_layers]
    direction = "noising" if through_mlps else "denoising"
    senders = [(0, 0), (0, 3), (1, 1), ("mlp", 0), ("mlp", 1)]
    sweep = paths.paths_to(
        model, *prompts(), PROBE, goals, senders=senders, direction=direction, through_mlps=through_mlps
    )
    assert sweep.axes[0].labels == ["0.0", "0.3", "1.1", "mlp 0", "mlp 1"]
    for i, sender in enumerate(senders):
        expected = slow(model, sender, goals, direction, through_mlps)
        torch.testing.assert_close(sweep.per_prompt[i], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["tiny", "llama"])
def test_all_heads_and_all_mlps_are_senders(loads, name):
    model = bridge(loads[name], processed=True)
    heads = paths.paths_to(model, *prompts(), PROBE, "logits", direction="noising", batch_size=3)
    mlps = paths.paths_to(model, *prompts(), PROBE, "logits", senders="mlps", direction="noising")
    assert heads.axis_names == ["layer", "head"] and mlps.axis_names == ["layer"]
    last = model.cfg.n_layers - 1
    for layer, head in ((0, 1), (last, 2)):
        expected = slow(model, (layer, head), "logits", "noising", False)
        torch.testing.assert_close(heads.per_prompt[layer, head], expected, atol=1e-4, rtol=0)
    expected = slow(model, ("mlp", last), "logits", "noising", False)
    torch.testing.assert_close(mlps.per_prompt[last], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("into", ["q", "k", "v"])
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_paths_from_a_head_equal_transformer_lens(loads, into, direction):
    from transformer_lens.patching import get_act_patch_direct_path

    model = bridge(loads["code-2l"])
    clean, corrupted = prompts()
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    caches = [model.run_with_cache(tokens)[1] for tokens in (source, base)]
    theirs = get_act_patch_direct_path(
        model,
        base,
        *caches,
        lambda logits: PROBE(logits).mean(),
        src_layer=0,
        src_head=3,
        component=into,
        verbose=False,
    )
    sweep = paths.paths_from(model, clean, corrupted, PROBE, (0, 3), into, direction=direction)
    torch.testing.assert_close(sweep.per_prompt.mean(-1)[1].float(), theirs[1], atol=1e-4, rtol=0)
    assert sweep.values[0].tolist() == [0 if direction == "denoising" else 1] * 6  # no path leads to its own layer


@pytest.mark.parametrize("through_mlps", [False, True])
def test_paths_from_and_paths_to_agree_where_keys_are_shared(loads, through_mlps):
    model, tokens = bridge(loads["llama"]), prompts()
    for into, count in (("q", 4), ("k", 2), ("v", 2)):
        out = paths.paths_from(model, *tokens, PROBE, ("mlp", 0), into, through_mlps=through_mlps)
        assert out.axes[1].name == ("head" if into == "q" else "kv_head") and out.values.shape == (3, count)
        back = paths.paths_to(model, *tokens, PROBE, [(2, 1, into)], senders=[("mlp", 0)], through_mlps=through_mlps)
        torch.testing.assert_close(out.per_prompt[2, 1], back.per_prompt[0], atol=1e-5, rtol=0)


# --- planted truth --------------------------------------------------------------------------------------------------

NEAR = 0.05  # the other heads write where nobody reads, and yet the last LayerNorm divides by a little more or less


@pytest.fixture(scope="module")
def induction():
    """The planted circuit: a previous-token head 0.0 that an induction head 1.1 reads by its keys; and prompts for it.

    Clean: 40 was followed by 41, and stands at the end, so 41 is next. Corrupted: another token stood before 41.
    """
    model = models.bridge(planted.weights())
    clean = torch.tensor([[0, 30, 40, 41, 31, 32, 33, 40]])
    corrupted = clean.clone()
    corrupted[0, 2] = 50
    return model, clean, corrupted, metrics.logit_difference(41, 33)


def test_the_planted_circuit_is_found_by_activation_patching(induction):
    for direction in ("denoising", "noising"):
        sweep = patching.activation_patching(*induction, "z", by_position=True, direction=direction)
        found = {labels[:2] + (labels[2].split()[0],) for labels, _ in sweep.top(2)}
        assert found == {("0", "0", "3"), ("1", "1", "7")}
        patched = 1 if direction == "denoising" else 0
        for place in ((0, 0, 3), (1, 1, 7)):
            assert sweep.values[place].item() == pytest.approx(patched, abs=NEAR)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_planted_path_leads_into_the_keys_and_nowhere_else(induction, direction):
    unpatched, patched = (0, 1) if direction == "denoising" else (1, 0)
    for into in "qkv":
        out = paths.paths_from(*induction, (0, 0), into, direction=direction).values
        if into == "k":
            assert out[1, 1].item() == pytest.approx(patched, abs=NEAR)
            out[1, 1] = unpatched
        torch.testing.assert_close(out, torch.full_like(out, unpatched), atol=NEAR, rtol=0)
    keys = paths.paths_to(*induction, [(1, 1, "k")], direction=direction).values
    assert keys[0, 0].item() == pytest.approx(patched, abs=NEAR)
    keys[0, 0] = unpatched
    torch.testing.assert_close(keys, torch.full_like(keys, unpatched), atol=NEAR, rtol=0)


def test_only_the_induction_head_writes_the_planted_answer(induction):
    direct = paths.paths_to(*induction, "logits").values
    assert direct[1, 1].item() == pytest.approx(1, abs=NEAR)
    direct[1, 1] = 0
    torch.testing.assert_close(direct, torch.zeros_like(direct), atol=NEAR, rtol=0)


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("receivers", "senders", "said"),
    [
        ("logit", "heads", "names no receiver"),
        ([], "heads", "names no receiver"),
        ([(1, 2, "z")], "heads", "no input of a head 'z'"),
        ([(1, 4, "q")], "heads", "no input 'q' of head 1.4"),
        ([(1, 2, "k")], "heads", "2 such inputs in each"),
        ("logits", "head", "Did you mean heads"),
        ("logits", [(0, 9)], r"\(0, 9\) is no sender"),
        ("logits", [("mlp", 3)], r"\('mlp', 3\) is no sender"),
        ("logits", [3], "3 is no sender"),
    ],
)
def test_misuse_raises_a_sentence(loads, receivers, senders, said):
    with pytest.raises(CourseError, match=said):
        paths.paths_to(bridge(loads["llama"]), *prompts(), PROBE, receivers, senders=senders)


def test_a_misspelt_input_of_the_receiver_is_named(loads):
    with pytest.raises(CourseError, match="no input of a head 'keys'"):
        paths.paths_from(bridge(loads["llama"]), *prompts(), PROBE, (0, 0), "keys")


def test_nothing_is_written_on_stderr(loads, capsys):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        sweep = paths.paths_to(bridge(loads["llama"]), *prompts(), PROBE, "logits")
    assert sweep.finished and said.getvalue() == ""
