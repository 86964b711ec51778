"""The lens, the stream as a sum, and attributions: parts sum to the whole on every kind of model, raw and processed."""

import pytest
import torch

from mechinterp_course.interp import fetch, models
from mechinterp_course.interp.attribution import decompose, direct_logit_attribution, logit_lens

REAL = fetch.where("smollm2")  # asked before any test changes the cache folder
KINDS = ["code-2l", "code-attn-2l", "llama", "mod-add-53"]


@pytest.fixture(scope="module", params=[(kind, processed) for kind in KINDS for processed in (False, True)], ids=str)
def case(request, llama_folder):
    """A model with tokens and answers: every form, raw and processed."""
    kind, processed = request.param
    model = models.load(llama_folder if kind == "llama" else kind, processed=processed)
    if kind == "mod-add-53":
        tokens = torch.tensor([[3, 7, 53], [50, 20, 53], [0, 0, 53]])
        return model, tokens, torch.tensor([10, 17, 0]), 5
    tokens = torch.randint(1, 1024, (3, 12), generator=torch.Generator().manual_seed(0))
    return model, tokens, torch.tensor([301, 40, 7]), 12


@torch.no_grad()
def logits_of(model, tokens):
    return model(tokens)


def equal(found, wanted, within=1e-4):
    torch.testing.assert_close(found, wanted, atol=within, rtol=0)


class TestEveryModel:
    def test_the_last_row_of_the_lens_is_the_models_own_logits(self, case):
        model, tokens, _, _ = case
        lens = logit_lens(model, tokens)
        assert lens.logits.shape == (model.cfg.n_layers + 1, *tokens.shape, model.unembed.W_U.shape[1])
        equal(lens.logits[-1], logits_of(model, tokens))
        equal(lens.log_probs[-1], logits_of(model, tokens).log_softmax(-1))

    def test_the_first_row_of_the_lens_reads_the_embedding_alone(self, case):
        model, tokens, _, _ = case
        stream = decompose(model, tokens, at=("resid_pre", 0)).values.sum(0)
        equal(logit_lens(model, tokens).logits[0], model.unembed(model.ln_final(stream)).detach())

    @pytest.mark.parametrize("by", ["head", "component", "layer"])
    @pytest.mark.parametrize("point", ["resid_pre", "resid_mid", "resid_post"])
    def test_the_parts_sum_to_the_stream_at_every_point(self, case, by, point):
        model, tokens, _, _ = case
        for layer in range(model.cfg.n_layers):
            parts = decompose(model, tokens, at=(point, layer), by=by)
            name = f"blocks.{layer}.hook_{point}"
            whole = model.run_with_cache(tokens, return_cache_object=False)[1][name].detach()
            equal(parts.values.sum(0), whole)
            equal(parts.whole, whole)
            assert len(parts.names) == len(set(parts.names)) == len(parts.values)

    def test_one_position_is_the_same_as_that_position_of_all(self, case):
        model, tokens, _, _ = case
        equal(decompose(model, tokens, pos=-2).values, decompose(model, tokens).values[:, :, -2:-1], within=1e-5)

    @pytest.mark.parametrize("by", ["head", "component", "layer"])
    @pytest.mark.parametrize("pos", [-1, 1])
    def test_attributions_sum_to_the_logit_and_to_the_difference(self, case, by, pos):
        model, tokens, right, wrong = case
        logits = logits_of(model, tokens)[:, pos]
        own = logits.gather(1, right[:, None])[:, 0]
        equal(direct_logit_attribution(model, tokens, right, pos=pos, by=by).values.sum(0), own)
        difference = direct_logit_attribution(model, tokens, right, wrong, pos=pos, by=by)
        equal(difference.values.sum(0), own - logits[:, wrong])
        equal(difference.total, own - logits[:, wrong])
        assert difference.names[-1] == "constant"
        assert not difference.values.requires_grad

    def test_what_a_head_adds_is_its_effect_with_the_scale_held(self, case):
        """An independent way: take the head's output out of the stream, keep the norm's scale, and see what the logits lose."""
        model, tokens, right, wrong = case
        layer = model.cfg.n_layers - 1
        out = decompose(model, tokens)[f"head {layer}.1"]
        held = model.run_with_cache(tokens, return_cache_object=False)[1].get("ln_final.hook_scale")
        hooks = [(f"blocks.{layer}.hook_resid_post", lambda stream, hook: stream - out)]
        if held is not None:
            hooks.append(("ln_final.hook_scale", lambda scale, hook: held))
        with torch.no_grad():
            without = model.run_with_hooks(tokens, fwd_hooks=hooks)[:, -1]
        lost = (logits_of(model, tokens)[:, -1] - without).detach()
        effect = lost.gather(1, right[:, None])[:, 0] - lost[:, wrong]
        equal(direct_logit_attribution(model, tokens, right, wrong)[f"head {layer}.1"], effect)
