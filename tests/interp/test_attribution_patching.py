"""Attribution patching: exact where the network is linear, close for small differences, and honest about the rest."""

from functools import partial

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import models
from mechinterp_course.interp.attribution import attribution_patching
from mechinterp_course.interp.metrics import logit_difference
from mechinterp_course.interp.patching import ACTIVATIONS, HEADS, STREAM


def by_hand(model, base, other, metric, activation, layer, pos=None, head=None):
    """The metric of each prompt where one activation of the base run is the other run's: nothing shared with the helper."""
    place = {"pattern": "attn.hook_pattern", **{letter: f"attn.hook_{letter}" for letter in HEADS}}
    name = f"blocks.{layer}.{place.get(activation, f'hook_{activation}')}"
    with torch.no_grad():
        before, source = (model.run_with_cache(run, return_cache_object=False)[1][name] for run in (base, other))
        if activation == "resid_mid":
            name = f"blocks.{layer}.hook_attn_out"

        def patch(value, hook):
            value = value.clone()
            if activation == "resid_mid":  # into the stream, so that the way past the MLP has it, too
                value[:, pos] += (source - before)[:, pos]
                return value
            if activation == "pattern":
                where = (slice(None), head) if pos is None else (slice(None), head, pos)
            else:
                where = (slice(None), slice(None) if pos is None else pos) + (() if head is None else (head,))
            value[where] = source[where]
            return value

        return metric(model.run_with_hooks(base, fwd_hooks=[(name, patch)])).mean().item()


def every_patch(sweep, model, base, other, metric, activation):
    """Pairs of (the estimate, the true value), both as shares of the metric's way from corrupted to clean."""
    names = ["kv_head" if "kv_head" in sweep.axis_names else "head", "pos"]
    for index in torch.cartesian_prod(*[torch.arange(n) for n in sweep.values.shape]).reshape(-1, sweep.values.dim()):
        where = dict(zip([name.removeprefix("kv_") for name in sweep.axis_names], index.tolist(), strict=True))
        assert set(sweep.axis_names) <= {"layer", *names}
        yield sweep.values[tuple(index)].item(), sweep.scale(by_hand(model, base, other, metric, activation, **where))


@pytest.fixture(scope="module")
def linear():
    """One layer of attention, no MLP, no normalisation: linear in what heads read and write, once the pattern is given."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.model_bridge.sources import native  # noqa: F401  gives TransformerBridge its boot_native

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_head": 8, "n_ctx": 8, "d_vocab": 12, "act_fn": "relu"}
        config = TransformerBridgeConfig(**sizes, attn_only=True, normalization_type=None)
        model = TransformerBridge.boot_native(config, device="cpu").eval()
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=0.4)
    return model


TOKENS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
OTHERS = torch.tensor([[1, 9, 3, 4], [5, 10, 11, 8]])


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("activation", ["z", "v", "pattern"])
def test_heads_of_a_linear_network_are_estimated_exactly(linear, activation, by_position, direction):
    metric = logit_difference([3, 4], [7, 2])
    sweep = attribution_patching(
        linear, TOKENS, OTHERS, metric, activation, direction=direction, by_position=by_position
    )
    runs = (OTHERS, TOKENS) if direction == "denoising" else (TOKENS, OTHERS)
    pairs = list(every_patch(sweep, linear, *runs, metric, activation))
    assert len(pairs) == 2 * (4 if by_position else 1)
    assert max(abs(estimate - true) for estimate, true in pairs) < 1e-4
    assert max(abs(true - (direction == "noising")) for _, true in pairs) > 0.01  # something does change


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("activation", ["resid_post", "mlp_out"])
def test_what_only_the_unembedding_reads_is_estimated_exactly(activation, direction):
    """mod-add-53 has no final LayerNorm, so its logits are linear in its last stream."""
    model = models.load("mod-add-53")
    clean, corrupted = torch.tensor([[3, 7, 53], [3, 8, 53]]), torch.tensor([[4, 7, 53], [3, 9, 53]])
    metric = logit_difference([10, 11], [12, 9])
    sweep = attribution_patching(model, clean, corrupted, metric, activation, direction=direction)
    runs = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    for estimate, true in every_patch(sweep, model, *runs, metric, activation):
        assert estimate == pytest.approx(true, abs=1e-4)
    if activation == "resid_post":  # at the last position it is the whole answer
        assert sweep.values[0].tolist() == pytest.approx([0, 0, 1] if direction == "denoising" else [1, 1, 0], abs=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_estimate_closes_in_on_patching_as_the_prompts_come_closer(tiny, activation):
    """Two tokens whose embeddings differ by a step: the error falls with its square, so relative to the effect with the step."""
    clean, corrupted = torch.tensor([[5, 40, 17, 90, 8]]), torch.tensor([[5, 41, 17, 90, 8]])
    tiny.to(torch.float64)
    table = tiny.embed.W_E.data
    towards = torch.randn(32, generator=torch.Generator().manual_seed(1)).double()
    metric = logit_difference(100, 200)
    errors = []
    for step in (1e-3, 1e-4):
        table[41] = table[40] + step * towards
        sweep = attribution_patching(tiny, clean, corrupted, metric, activation)
        errors.append(max(abs(a - b) for a, b in every_patch(sweep, tiny, corrupted, clean, metric, activation)))
    assert errors[1] < max(0.2 * errors[0], 1e-6)
    assert errors[1] < 0.01


def test_on_ordinary_prompts_of_a_trained_model_it_is_an_estimate_and_no_more():
    """What a lesson says: near for late activations, far off for the first stream, where much comes after."""
    model = models.load("code-2l")
    clean = models.tokenizer("code-2l").encode("def f(alpha, beta):\n    return alpha")[None]
    corrupted = clean.clone()
    corrupted[0, 3] = 40
    metric = logit_difference(int(clean[0, 5]), 40)
    sweep = attribution_patching(model, clean, corrupted, metric, "resid_pre")
    pairs = list(every_patch(sweep, model, corrupted, clean, metric, "resid_pre"))
    first = [abs(a - b) for a, b in pairs[: clean.shape[1]]]
    assert max(first) > 0.1


def test_a_number_for_the_batch_gives_the_same_as_one_for_each_prompt(tiny):
    metric = logit_difference([3, 4], [7, 2])
    tokens, others = TOKENS + 100, OTHERS + 100
    each = attribution_patching(tiny, tokens, others, metric, "z")
    together = attribution_patching(tiny, tokens, others, lambda logits: metric(logits).mean(), "z")
    torch.testing.assert_close(each.values, together.values, atol=1e-4, rtol=0)


def test_each_prompt_is_estimated_by_itself(tiny):
    metric = [logit_difference([3, 4], [7, 2]), logit_difference(4, 2)]
    both = attribution_patching(tiny, TOKENS, OTHERS, metric[0], "resid_mid")
    second = attribution_patching(tiny, TOKENS[1:], OTHERS[1:], metric[1], "resid_mid")
    torch.testing.assert_close(both.per_prompt[..., 1], second.per_prompt[..., 0], atol=1e-4, rtol=0)


def test_the_axes_have_names_and_the_labels_of_the_prompts(tiny):
    sweep = attribution_patching(tiny, TOKENS[0], OTHERS[0], logit_difference(3, 7), "attn_out")
    assert sweep.axis_names == ["layer", "pos"]
    assert [axis.labels for axis in sweep.axes][0] == ["0", "1"]
    words = [tiny.tokenizer.decode([i]) for i in (2, 9)]
    assert sweep.axes[1].labels[1] == f"1 {words[0]}/{words[1]}"
    by_head = attribution_patching(tiny, TOKENS, OTHERS, logit_difference(3, 7), "v", by_position=True)
    assert by_head.axis_names == ["layer", "head", "pos"]
    assert "estimated" in by_head.plot().layout.title.text


def test_heads_that_share_keys_and_values_have_an_axis_of_their_own(llama_folder):
    model = models.load(llama_folder)
    metric = logit_difference([3, 4], [7, 2])
    by_query = attribution_patching(model, TOKENS, OTHERS, metric, "q")
    assert (by_query.axis_names, by_query.values.shape) == (["layer", "head"], (3, 4))
    by_key = attribution_patching(model, TOKENS, OTHERS, metric, "k")
    assert (by_key.axis_names, by_key.values.shape) == (["layer", "kv_head"], (3, 2))


def test_the_weights_keep_no_gradient_and_may_be_frozen(tiny):
    estimate = partial(attribution_patching, tiny, TOKENS, OTHERS, logit_difference(3, 7))
    with torch.no_grad():
        free = estimate("z").values
    assert all(weights.grad is None for weights in tiny.parameters())
    for weights in tiny.parameters():
        weights.requires_grad_(False)
    torch.testing.assert_close(estimate("z").values, free)
    assert not any(hook.fwd_hooks for hook in tiny.hook_dict.values())


class TestMisuse:
    def refused(self, match, *arguments, **settings):
        with pytest.raises(CourseError, match=match) as caught:
            attribution_patching(*arguments, **settings)
        assert caught.value.remedy

    def test_a_misspelt_activation(self, tiny):
        self.refused("no activation to patch 'resid_pr'", tiny, TOKENS, OTHERS, logit_difference(3, 7), "resid_pr")

    def test_an_unknown_direction(self, tiny):
        metric = logit_difference(3, 7)
        self.refused("no direction 'denoise'", tiny, TOKENS, OTHERS, metric, "z", direction="denoise")

    def test_prompts_of_different_length(self, tiny):
        self.refused(
            "clean prompt has 4 tokens and the corrupted one 3",
            tiny,
            TOKENS,
            OTHERS[:, 1:],
            logit_difference(3, 7),
            "z",
        )

    def test_a_metric_without_a_gradient(self, tiny):
        self.refused("no gradient", tiny, TOKENS, OTHERS, lambda logits: logits[:, -1].detach().sum(-1), "z")

    def test_a_metric_that_does_not_tell_the_prompts_apart(self, tiny):
        self.refused("nothing to measure", tiny, TOKENS, TOKENS, logit_difference(3, 7), "z")

    def test_the_stream_all_at_once(self, tiny):
        for activation in STREAM:
            metric = logit_difference(3, 7)
            self.refused("at each position", tiny, TOKENS, OTHERS, metric, activation, by_position=False)
