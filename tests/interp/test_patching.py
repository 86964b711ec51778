"""Every sweep equals TransformerLens' own, which runs the whole model for each patch; and a sweep that goes wrong says so."""

import contextlib
import io
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import fetch, metrics, models, pair, patching

REAL = fetch.where("smollm2")  # asked before any test changes the cache folder
STREAMS = {"resid_pre": "resid_pre", "attn_out": "attn_out", "mlp_out": "mlp_out"}
HEADS = {"z": "out", "q": "q", "k": "k", "v": "v", "pattern": "pattern"}
LENGTH = 7
RIGHT, WRONG = [5, 6], [7, 8]


@cache
def bridge(name, processed=False):
    return models.load(name, processed=processed)


@pytest.fixture(scope="module")
def llama(llama_folder):
    return bridge(llama_folder)


@pytest.fixture(scope="module")
def loads(tiny_folder, llama_folder):
    return {"tiny": tiny_folder, "llama": llama_folder, "code-attn-2l": "code-attn-2l", "code-2l": "code-2l"}


def prompts(length=LENGTH, changed=(1, 3), seed=0, batch=2):
    """Two batches of prompts that differ at the given positions."""
    draw = torch.Generator().manual_seed(seed)
    clean = torch.randint(1, 400, (batch, length), generator=draw)
    corrupted = clean.clone()
    for pos in changed:
        corrupted[:, pos] += 400
    return clean, corrupted


def difference():
    return metrics.logit_difference(RIGHT, WRONG)


def lens_sweep(model, activation, by_position, direction, metric=None, tokens=None):
    """The metric itself, averaged over the prompts, from TransformerLens' sweep of the same name."""
    from transformer_lens import patching as lens

    clean, corrupted = tokens or prompts()
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    suffix = "" if activation in STREAMS else ("_by_pos" if by_position else "_all_pos")
    name = activation if activation in STREAMS else f"attn_head_{HEADS[activation]}"
    _, kept = model.run_with_cache(source)
    metric = metric or difference()
    with contextlib.redirect_stderr(io.StringIO()):
        found = getattr(lens, f"get_act_patch_{name}{suffix}")(model, base, kept, lambda logits: metric(logits).mean())
    # TransformerLens has the position before the head, but for patterns after it.
    return found.transpose(1, 2) if by_position and activation != "pattern" else found


def compare(model, activation, by_position, direction):
    sweep = patching.activation_patching(
        model, *prompts(), difference(), activation, by_position=by_position or None, direction=direction
    )
    theirs = lens_sweep(model, activation, by_position, direction)
    assert sweep.finished
    torch.testing.assert_close(sweep.per_prompt.mean(-1).float(), theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(sweep.values, sweep.scale(theirs), atol=1e-4 / abs(gap(sweep)), rtol=0)


def gap(sweep):
    return sweep.scale.clean - sweep.scale.corrupted


CASES = [(activation, False) for activation in STREAMS] + [(a, by) for a in HEADS for by in (False, True)]


@pytest.mark.parametrize(("activation", "by_position"), CASES)
@pytest.mark.parametrize("name", ["tiny", "llama", "code-attn-2l", "code-2l"])
def test_a_sweep_equals_transformer_lens(loads, name, activation, by_position):
    direction = "noising" if activation in ("z", "mlp_out") else "denoising"
    compare(bridge(loads[name]), activation, by_position, direction)


@pytest.mark.parametrize("name", ["llama", "code-2l"])
@pytest.mark.parametrize("activation", ["resid_pre", "q"])
def test_both_directions_equal_transformer_lens_on_processed_weights(loads, name, activation):
    for direction in ("denoising", "noising"):
        compare(bridge(loads[name], processed=True), activation, False, direction)


def hooked(model, tokens, hooks):
    with torch.no_grad():
        return difference()(model.run_with_hooks(tokens, fwd_hooks=hooks)).mean()


def put(values, pos):
    """A hook that puts values (batch, pos, d_model) in place at one position."""

    def hook(activation, hook):
        activation = activation.clone()
        activation[:, pos] = values[:, pos]
        return activation

    return hook


@pytest.mark.parametrize("name", ["llama", "code-2l"])
def test_resid_mid_and_resid_post_are_the_stream_itself(loads, name):
    """TransformerLens' hook_resid_mid hangs on the way into the MLP; so here attention adds what is missing from the clean stream."""
    model, (clean, corrupted) = bridge(loads[name]), prompts()
    there, base = (model.run_with_cache(tokens)[1] for tokens in (clean, corrupted))
    mid = patching.activation_patching(model, clean, corrupted, difference(), "resid_mid")
    post = patching.activation_patching(model, clean, corrupted, difference(), "resid_post")
    for layer in range(model.cfg.n_layers):
        block = f"blocks.{layer}."
        missing = there[block + "hook_resid_mid"] - base[block + "hook_resid_pre"]
        after = there[block + "hook_resid_post"]
        for pos in (1, 5):
            at_mid = hooked(model, corrupted, [(block + "hook_attn_out", put(missing, pos))])
            at_post = hooked(model, corrupted, [(block + "hook_resid_post", put(after, pos))])
            assert mid.per_prompt[layer, pos].mean() == pytest.approx(at_mid.item(), abs=1e-4)
            assert post.per_prompt[layer, pos].mean() == pytest.approx(at_post.item(), abs=1e-4)


# --- the ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_last_stream_of_a_changed_prompt_is_all_that_the_answer_needs(tiny, direction):
    sweep = patching.activation_patching(tiny, *prompts(), difference(), "resid_post", direction=direction)
    unpatched, other = (0, 1) if direction == "denoising" else (1, 0)
    assert sweep.values[-1, -1].item() == pytest.approx(other, abs=1e-5)
    assert sweep.values[-1, :-1].tolist() == [unpatched] * (LENGTH - 1)


def test_where_the_prompts_are_alike_nothing_is_run_and_nothing_changes(tiny):
    sweep = patching.activation_patching(tiny, *prompts(changed=(3,)), difference(), "resid_pre")
    assert sweep.values[0].count_nonzero() == 1 and sweep.values[:, :3].count_nonzero() == 0
    assert sweep.runs == 1 + (LENGTH - 3)


def test_a_model_in_half_precision_is_refused_for_what_it_is(tiny_folder):
    coarse = models.load(tiny_folder).to(torch.bfloat16)
    with pytest.raises(CourseError, match="torch.bfloat16, too coarse"):
        patching.activation_patching(coarse, *prompts(), difference(), "resid_pre")


def test_clean_into_clean_is_refused_because_its_ends_are_equal(tiny):
    clean, _ = prompts()
    with pytest.raises(CourseError, match="between two equal ends"):
        patching.activation_patching(tiny, clean, clean, difference(), "z")


def test_a_patch_after_the_measured_position_changes_nothing(tiny):
    metric = metrics.logit_difference(RIGHT, WRONG, pos=4)
    for activation in ("resid_pre", "z", "k", "pattern"):
        by_position = None if activation == "resid_pre" else True
        sweep = patching.activation_patching(tiny, *prompts(), metric, activation, by_position=by_position)
        theirs = lens_sweep(tiny, activation, by_position, "denoising", metric)
        assert sweep.values[..., 5:].count_nonzero() == 0
        torch.testing.assert_close(sweep.per_prompt.mean(-1).float(), theirs, atol=1e-4, rtol=0)


def test_a_function_of_all_logits_is_a_metric(llama):
    clean, corrupted = prompts()

    def loss(logits):
        return -logits[:, :-1].log_softmax(-1).gather(-1, clean[:, 1:, None]).mean((1, 2))

    sweep = patching.activation_patching(llama, clean, corrupted, loss, "z")
    theirs = lens_sweep(llama, "z", False, "denoising", loss)
    assert sweep.metric == "loss"
    torch.testing.assert_close(sweep.per_prompt.mean(-1).float(), theirs, atol=1e-4, rtol=0)


@settings(max_examples=15, deadline=None)
@given(length=st.integers(2, 12), data=st.data())
def test_any_length_and_any_difference_equals_transformer_lens(tiny_folder, length, data):
    model = bridge(tiny_folder)
    changed = data.draw(st.sets(st.integers(0, length - 1), min_size=1))
    tokens = prompts(length, changed, seed=length)
    activation = data.draw(st.sampled_from(["resid_pre", "z", "v"]))
    sweep = patching.activation_patching(model, *tokens, difference(), activation, progress=False)
    theirs = lens_sweep(model, activation, False, "denoising", tokens=tokens)
    torch.testing.assert_close(sweep.per_prompt.mean(-1).float(), theirs, atol=1e-4, rtol=0)


# --- batches, layers, interruption ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_the_size_of_a_batch_does_not_change_the_values(llama, batch_size):
    usual = patching.activation_patching(llama, *prompts(), difference(), "z", by_position=True)
    other = patching.activation_patching(llama, *prompts(), difference(), "z", by_position=True, batch_size=batch_size)
    torch.testing.assert_close(other.per_prompt, usual.per_prompt, atol=1e-5, rtol=0)


def test_chosen_layers_have_the_values_of_the_whole_sweep(llama):
    whole = patching.activation_patching(llama, *prompts(), difference(), "q")
    part = patching.activation_patching(llama, *prompts(), difference(), "q", layers=[2, 0])
    assert part.axes[0].labels == ["0", "2"]
    torch.testing.assert_close(part.values, whole.values[[0, 2]])


def test_shared_keys_have_their_own_axis(llama):
    sweep = patching.activation_patching(llama, *prompts(), difference(), "k")
    assert sweep.axis_names == ["layer", "kv_head"] and sweep.values.shape == (3, 2)


def test_an_interrupted_sweep_keeps_what_it_has_and_goes_on(llama, monkeypatch, capsys):
    whole = patching.activation_patching(llama, *prompts(), difference(), "z", batch_size=2)
    calls = []
    streams = pair.Rerun.streams

    def interrupted(self, patches):
        calls.append(patches)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return streams(self, patches)

    monkeypatch.setattr(pair.Rerun, "streams", interrupted)
    half = patching.activation_patching(llama, *prompts(), difference(), "z", batch_size=2)
    assert not half.finished and half.values.isnan().sum() == 8
    said = capsys.readouterr()
    assert "4 of 12 values are there" in said.out and said.err == ""
    assert "8 values are missing" in half.describe() and len(half.top(100)) == 4
    rest = patching.activation_patching(llama, *prompts(), difference(), "z", resume=half)
    assert rest.finished and rest.runs == 12 and not half.finished
    torch.testing.assert_close(rest.per_prompt, whole.per_prompt, atol=1e-5, rtol=0)


def test_a_sweep_of_another_experiment_is_not_resumed(tiny):
    clean, corrupted = prompts()
    before = patching.activation_patching(tiny, clean, corrupted, difference(), "z", layers=[0])
    others = [
        {"direction": "noising"},
        {"layers": [1]},
        {"by_position": True},
        {"metric": metrics.logit_difference(7, 9)},
    ]
    for change in others:
        again = {"metric": difference(), "layers": [0]} | change
        with pytest.raises(CourseError, match="another experiment"):
            patching.activation_patching(tiny, clean, corrupted, activation="z", resume=before, **again)


def test_nothing_is_written_on_stderr(tiny, capsys):
    patching.activation_patching(tiny, *prompts(), difference(), "z")
    assert capsys.readouterr() == ("", "")


# --- misuse ---------------------------------------------------------------------------------------------------------


def test_texts_are_prompts_and_their_tokens_are_labels(tiny):
    sweep = patching.activation_patching(tiny, "def f(a)", "def f(b)", metrics.log_prob(5), "resid_pre")
    labels = sweep.axes[1].labels
    assert labels[0] == "0 BOS" and any("a/b" in label for label in labels)
    assert len(set(labels)) == len(labels) == sweep.values.shape[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corrupted": prompts(6)[1]}, "The clean prompt has 7 tokens and the corrupted one 6"),
        (dict(zip(("clean", "corrupted"), prompts(65), strict=True)), "have 65 tokens, and the model reads 64"),
        ({"corrupted": prompts(batch=3)[1]}, "2 clean prompts and 3 corrupted"),
        ({"clean": torch.rand(2, 7)}, r"a tensor of float32 of the shape \(2, 7\)"),
        ({"clean": 3}, "of the type int"),
        ({"activation": "resid_prev"}, "Did you mean resid_pre"),
        ({"activation": "resid_pre", "by_position": False}, "position by position"),
        ({"direction": "denoise"}, "Did you mean denoising"),
        ({"layers": [0, 9]}, "the model has 0 to 1"),
        ({"layers": []}, "the model has 0 to 1"),
        ({"batch_size": 0}, "no run fits"),
        ({"metric": metrics.log_prob(5, pos=9)}, "reads position 9"),
        ({"metric": metrics.log_prob(5000)}, "no token 5000"),
        ({"metric": metrics.log_prob([1, 2, 3])}, "3 answer tokens for 2 prompts"),
        ({"metric": lambda logits: logits}, "The metric returned the shape"),
        ({"metric": lambda logits: logits[:, -1, 0] * torch.nan}, "between two equal ends"),
    ],
)
def test_misuse_raises_a_sentence(tiny, change, said):
    clean, corrupted = prompts()
    given = {"clean": clean, "corrupted": corrupted, "metric": difference(), "activation": "z"} | change
    with pytest.raises(CourseError, match=said):
        patching.activation_patching(tiny, **given)


def test_hooks_on_the_model_are_not_passed_over(tiny):
    tiny.add_hook("blocks.0.attn.hook_z", lambda z, hook: z * 0)
    with pytest.raises(CourseError, match="Hooks hang on the model") as error:
        patching.activation_patching(tiny, *prompts(), difference(), "z")
    assert "reset_hooks" in error.value.remedy
    tiny.reset_hooks()
    assert patching.activation_patching(tiny, *prompts(), difference(), "z").finished


def test_a_model_whose_logits_are_not_those_of_its_weights_is_refused(tiny):
    handle = tiny.blocks[1].mlp.register_forward_hook(lambda module, args, out: out * 2)
    with pytest.raises(CourseError, match="are not those of the model"):
        patching.activation_patching(tiny, *prompts(), difference(), "z")
    handle.remove()


def test_a_native_model_is_read_too():
    model = bridge("mod-add-53")
    clean, corrupted = torch.tensor([[3, 5, 53]]), torch.tensor([[4, 5, 53]])
    metric = metrics.logit_difference(8, 9)
    sweep = patching.activation_patching(model, clean, corrupted, metric, "z")
    theirs = lens_sweep(model, "z", False, "denoising", metric, (clean, corrupted))
    torch.testing.assert_close(sweep.per_prompt.mean(-1).float(), theirs, atol=1e-3, rtol=0)


@pytest.mark.smollm2
@pytest.mark.skipif(REAL is None, reason="SmolLM2 is not fetched")
def test_heads_of_smollm2_are_those_of_whole_runs():
    model = models.load(REAL)
    clean, corrupted = (
        model.to_tokens(f"When John and Mary went to the shops, {name} gave the bag to") for name in ("John", "Mary")
    )
    metric = metrics.logit_difference(*(model.to_single_token(name) for name in (" Mary", " John")))
    sweep = patching.activation_patching(model, clean, corrupted, metric, "z", layers=[20, 29], progress=False)
    _, kept = model.run_with_cache(clean)
    for i, layer in enumerate((20, 29)):
        name, head = f"blocks.{layer}.attn.hook_z", sweep.values[i].abs().argmax().item()

        def clean_head(z, hook, name=name, head=head):
            z = z.clone()
            z[:, :, head] = kept[name][:, :, head]
            return z

        with torch.no_grad():
            whole = metric(model.run_with_hooks(corrupted, fwd_hooks=[(name, clean_head)])).item()
        assert sweep.per_prompt[i, head].item() == pytest.approx(whole, abs=1e-3)
