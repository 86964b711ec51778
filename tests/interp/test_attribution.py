"""The lens, the stream as a sum, and attributions: parts sum to the whole on every kind of model, raw and processed."""

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import fetch, models, plots, tables
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

    @pytest.mark.filterwarnings("ignore:A forward hook edited hook_scale")
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


@pytest.fixture(scope="module")
def model():
    return models.load("code-2l")


TEXT = "def __init__(self, name, value):\n    self.name = name\n    self."


class TestResults:
    def test_texts_and_ids_are_the_same_question(self, model):
        tokens = models.tokenizer("code-2l").encode(TEXT)
        right, wrong = models.tokenizer("code-2l").ids("value")[0], models.tokenizer("code-2l").ids("name")[0]
        by_text = direct_logit_attribution(model, TEXT, "value", "name")
        assert torch.equal(by_text.values, direct_logit_attribution(model, tokens, right, wrong).values)
        assert (by_text.right, by_text.wrong) == (["value"], ["name"])
        assert by_text.what == "logit of 'value' minus logit of 'name'"

    def test_answers_that_differ_by_sequence_are_told_apart_in_words(self, model):
        tokens = models.tokenizer("code-2l").encode(TEXT).expand(2, -1)
        found = direct_logit_attribution(model, tokens, ["value", "name"], ["name", "value"])
        assert found.what == "logit of each sequence's right token minus logit of each sequence's wrong token"

    def test_the_heads_as_a_matrix_and_the_table_hold_the_same_numbers(self, model):
        found = direct_logit_attribution(model, TEXT, "value", "name")
        assert found.heads.shape == (2, 6)
        assert found.heads[1, 4] == found["head 1.4"].mean()
        sizes = [abs(float(value)) for _, value in found.table()]
        assert len(sizes) == len(found.names) and sizes == sorted(sizes, reverse=True)
        assert len(found.table(3)) == 3

    def test_its_picture_says_what_it_shows(self, model):
        by_head = direct_logit_attribution(model, TEXT, "value", "name").plot()
        assert by_head.data[0].type == "heatmap" and by_head.data[0].z.shape == (2, 6)
        assert "'value'" in by_head.layout.meta["alt"] and "not drawn" in by_head.layout.meta["alt"]
        found = direct_logit_attribution(model, TEXT, "value", by="layer")
        bars = found.plot()
        assert list(bars.data[0].x) == ["embed", "pos_embed", "layer 0", "layer 1", "constant"]
        assert sum(bars.data[0].y) == pytest.approx(found.total.item(), abs=1e-4)

    def test_chosen_positions_and_tokens_are_a_part_of_the_whole_lens(self, model):
        whole, part = logit_lens(model, TEXT), logit_lens(model, TEXT, pos=[2, -1], only=["value", "name"])
        equal(part.logits, whole.logits[:, :, [2, -1]][..., part.vocabulary])
        equal(part.log_probs, whole.log_probs[:, :, [2, -1]][..., part.vocabulary])
        assert part.positions == [2, whole.logits.shape[2] - 1]

    def test_the_likeliest_tokens_by_row(self, model):
        lens = logit_lens(model, TEXT, pos=-1)
        text, probability = lens.top(2)[-1][0]
        assert probability == pytest.approx(lens.log_probs[-1, 0, 0].exp().max().item())
        best = models.tokenizer("code-2l").ids(text)[0]
        assert lens.ranks(best)[-1, 0, 0] == 0
        assert lens.table(1)[-1] == ("resid_post 1", f"{plots.visible(text)}  {probability:.3f}")
        assert tables.table(lens.table(), ["read from", "1st", "2nd", "3rd"], title="Lens", alt="The lens.").data

    def test_the_lens_is_drawn_with_the_token_in_each_cell(self, model):
        lens = logit_lens(model, TEXT)
        figure = lens.plot()
        length = lens.tokens.shape[1]
        assert figure.data[0].z.shape == (3, length)
        assert figure.data[0].customdata[2][-1] == plots.visible(lens.top(1)[-1][0][0])
        assert figure.layout.width >= 48 * length
        assert "own prediction" in figure.layout.meta["alt"]

    def test_a_model_without_a_tokenizer_shows_numbers(self):
        lens = logit_lens(models.load("mod-add-53"), torch.tensor([[3, 7, 53]]), pos=-1)
        assert lens.top(1)[-1][0][0] == "10"


class TestTheTrap:
    def test_without_the_norm_the_parts_miss_the_logit_difference(self, model):
        """What design decision 12 says of raw weights, so that the exact sum above is no accident."""
        parts = decompose(model, TEXT, pos=-1)
        right, wrong = models.tokenizer("code-2l").ids("value")[0], models.tokenizer("code-2l").ids("name")[0]
        scale = model.run_with_cache(model.to_tokens(TEXT))[1]["ln_final.hook_scale"][0, -1]
        direction = (model.W_U[:, right] - model.W_U[:, wrong]).detach()
        centred = parts.values[:, 0, 0] - parts.values[:, 0, 0].mean(-1, keepdim=True)
        total = direct_logit_attribution(model, TEXT, right, wrong).total.item()
        assert abs((centred / scale @ direction).sum().item() - total) > 0.05


class TestMisuse:
    def refused(self, match, call, *arguments, **settings):
        with pytest.raises(CourseError, match=match) as caught:
            call(*arguments, **settings)
        assert caught.value.remedy

    def test_an_answer_of_two_tokens_names_them(self, model):
        self.refused(r"is \d+ tokens \('self', '\.'", direct_logit_attribution, model, TEXT, "self.name")

    @pytest.mark.parametrize("token", [1024, -1])
    def test_a_token_outside_the_vocabulary(self, model, token):
        self.refused("no token", direct_logit_attribution, model, TEXT, token)
        self.refused("no token", logit_lens, model, TEXT, only=[token])

    def test_the_equals_sign_is_no_answer_of_modular_addition(self):
        adder = models.load("mod-add-53")
        self.refused("no token 53", direct_logit_attribution, adder, torch.tensor([[3, 7, 53]]), 53)
        self.refused("no tokenizer", direct_logit_attribution, adder, torch.tensor([[3, 7, 53]]), "10")
        self.refused("no tokenizer", logit_lens, adder, "3 + 7")

    @pytest.mark.parametrize("pos", [100, -100])
    def test_a_position_outside_the_prompt(self, model, pos):
        for call in (logit_lens, decompose):
            self.refused("no position", call, model, TEXT, pos=pos)
        self.refused("no position", direct_logit_attribution, model, TEXT, "name", pos=pos)

    def test_a_position_or_token_that_the_lens_did_not_keep(self, model):
        lens = logit_lens(model, TEXT, pos=-1, only=["name"])
        self.refused("was not kept", lens.top, pos=0)
        self.refused("was not kept", lens.ranks, 3)

    def test_a_point_that_is_not_on_the_stream(self, model):
        for at in ("blocks.0.hook_mlp_out", ("resid_pre", 2), "resid_pre"):
            self.refused("no point", decompose, model, TEXT, at=at)

    def test_half_precision_is_told_for_what_it_is(self, tiny):
        with pytest.raises(CourseError, match="too coarse"):
            direct_logit_attribution(tiny.to(torch.bfloat16), torch.arange(1, 20)[None], [3], wrong=[4])

    def test_another_way_to_take_apart(self, model):
        self.refused("by 'neuron'", decompose, model, TEXT, by="neuron")
        self.refused("not heads", lambda: direct_logit_attribution(model, TEXT, "name", by="layer").heads)

    def test_a_part_that_is_not_there_and_answers_that_do_not_fit(self, model):
        self.refused("no part 'head 9.9'", decompose(model, TEXT).__getitem__, "head 9.9")
        self.refused("2 answers for 1", direct_logit_attribution, model, TEXT, [1, 2])

    def test_a_run_that_somebody_edits_is_not_explained_in_silence(self, tiny):
        tiny.add_hook("blocks.1.hook_resid_post", lambda stream, hook: stream + 1.7 * stream.flip(-1))
        self.refused("do not add up", decompose, tiny, torch.tensor([[1, 2, 3]]))


@pytest.mark.smollm2
@pytest.mark.skipif(REAL is None, reason="SmolLM2 is not here. Run: mechinterp models fetch smollm2")
@pytest.mark.parametrize("processed", [False, True])
def test_on_smollm2_the_parts_sum_to_the_logit_difference(processed):
    real = models.load(REAL, processed=processed)
    prompt = "When Mary and John went to the store, John gave a drink to"
    for by, count in (("head", 302), ("component", 62), ("layer", 32)):
        found = direct_logit_attribution(real, prompt, " Mary", " John", by=by)
        assert len(found.names) == count
        equal(found.values.sum(0), found.total)
        assert found.total.item() > 2
    lens = logit_lens(real, prompt, pos=-1)
    assert lens.top(1)[-1][0][0] == " Mary"
    equal(lens.logits[-1, :, 0], logits_of(real, real.to_tokens(prompt))[:, -1], within=1e-3)
