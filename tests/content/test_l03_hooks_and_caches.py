"""Lesson 03: answers that give the right numbers and leave the model spoilt are rejected, and told why; and what its
predictions call right holds on other files and other random tokens than those that the learner sees."""

import pytest
import torch

from mechinterp_course.interp import attention, models, tasks
from mechinterp_course.tutor.reference import reference
from mechinterp_course.tutor.runner import examine


def recorder_that_stays(model, tokens, names):
    found = {}
    for name in names:
        model.add_hook(name, lambda activation, hook, name=name: found.__setitem__(name, activation.detach().clone()))
    with torch.no_grad():
        model(tokens)
    return dict(found)


def recorder_that_resets_first(model, tokens, names):
    model.reset_hooks()
    return reference("record_activations")(model, tokens, names)


def recorder_with_gradients(model, tokens, names):
    found = {}
    pairs = [(name, lambda activation, hook, name=name: found.__setitem__(name, activation)) for name in names]
    model.run_with_hooks(tokens, fwd_hooks=pairs)
    return found


def ablation_by_surgery(model, tokens, layer, head):
    """Right logits, and a model that has lost its head for good."""
    rows = slice(head * model.cfg.d_head, (head + 1) * model.cfg.d_head)
    with torch.no_grad():
        model.blocks[layer].attn.o.original_component.weight[rows] = 0
        return model(tokens)


def effect_with_a_hooked_baseline(model, tokens, name, edit):
    calls = []
    with (
        torch.no_grad(),
        model.hooks(fwd_hooks=[(name, lambda activation, hook: (calls.append(1), edit(activation))[1])]),
    ):
        after = model(tokens)
        before = model(tokens)
    return len(calls), float((after - before).abs().max())


def zero_and_all_hooks_off(model, tokens, layer, head):
    logits = reference("zero_ablate_head")(model, tokens, layer, head)
    model.reset_hooks()
    return logits


def mean_and_all_hooks_off(model, tokens, layer, head, reference_tokens):
    logits = reference("mean_ablate_head")(model, tokens, layer, head, reference_tokens)
    model.reset_hooks()
    return logits


def change_to_a_model_without_hooks(model, tokens, fwd_hooks):
    model.reset_hooks()
    return reference("loss_change")(model, tokens, fwd_hooks)


def effect_on_a_model_without_hooks(model, tokens, name, edit):
    model.reset_hooks()
    return reference("hook_effect")(model, tokens, name, edit)


GONE = "somebody else had put on the model is gone"
SPOILERS = {
    ("record_activations", recorder_that_stays): "A hook is still on",
    ("record_activations", recorder_that_resets_first): GONE,
    ("record_activations", recorder_with_gradients): "still carries its gradient",
    ("zero_ablate_head", ablation_by_surgery): "The model's own logits after your function",
    ("zero_ablate_head", zero_and_all_hooks_off): GONE,
    ("mean_ablate_head", mean_and_all_hooks_off): GONE,
    ("loss_change", change_to_a_model_without_hooks): GONE,
    ("hook_effect", effect_on_a_model_without_hooks): GONE,
    ("hook_effect", effect_with_a_hooked_baseline): "The number of calls",
}


@pytest.mark.parametrize(("exercise", "answer"), SPOILERS, ids=lambda one: getattr(one, "__name__", one))
def test_an_answer_that_spoils_the_model_is_rejected_and_told_why(exercise, answer):
    verdict = examine(exercise, answer, advise=False)
    assert not verdict.passed
    assert SPOILERS[exercise, answer] in verdict.told


def lasting_hook(model):
    model.add_hook("blocks.0.attn.hook_z", lambda z, hook: 0 * z, is_permanent=True)


def torch_hook(model):
    model.blocks[0].register_forward_hook(lambda module, given, out: None)


def changed_weight(model):
    with torch.no_grad():
        next(model.parameters()).mul_(2)


def frozen(model):
    model.requires_grad_(False)


def in_training(model):
    model.train()


def switched(model):
    model.set_use_attn_result(True)


@pytest.mark.parametrize("spoil", [lasting_hook, torch_hook, changed_weight, frozen, in_training, switched])
def test_a_spoilt_model_spoils_no_later_check(spoil):
    given = []

    def answer(model, *rest):
        given.append(model)
        logits = reference("zero_ablate_head")(model, *rest)
        spoil(model)
        return logits

    examine("zero_ablate_head", answer, advise=False)
    later = []
    assert examine("zero_ablate_head", remembering(later), advise=False).passed
    assert not {id(model) for model in given} & {id(model) for model in later}


def remembering(given):
    def answer(model, *rest):
        given.append(model)
        return reference("zero_ablate_head")(model, *rest)

    return answer


def test_a_model_that_only_had_hooks_on_it_is_used_again():
    first, second = [], []
    for given in (first, second):
        assert examine("zero_ablate_head", remembering(given), advise=False).passed
    assert [id(model) for model in first] == [id(model) for model in second]


def loss_with_head_0_2_at(model, tokens, value):
    def replace(z, hook):
        z = z.clone()
        z[:, :, 2] = value
        return z

    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", replace)]):
        return attention.token_losses(model, tokens).mean()


def test_zero_and_mean_ablation_of_head_0_2_disagree_on_any_half_of_the_files():
    model, tokenizer = models.load("code-attn-2l"), models.tokenizer("code-attn-2l")
    files = [tokenizer.encode(text)[:128] for _, text in tasks.sample()]
    files = torch.stack([file for file in files if len(file) == 128])
    for measured, reference_files in [(files[1::2], files[::2]), (files[16:], files[:16])]:
        with torch.no_grad():
            _, cache = model.run_with_cache(reference_files, names_filter="blocks.0.attn.hook_z")
        whole = attention.token_losses(model, measured).mean()
        mean_z = cache["blocks.0.attn.hook_z"][:, :, 2].mean(0)
        assert loss_with_head_0_2_at(model, measured, 0.0) - whole > 0.4
        assert abs(loss_with_head_0_2_at(model, measured, mean_z) - whole) < 0.05


@pytest.mark.parametrize("seed", range(1, 4))
def test_head_0_1_looks_one_back_in_nonsense_too(seed):
    model = models.load("code-attn-2l")
    tokens = torch.randint(1, 1024, (4, 128), generator=torch.Generator().manual_seed(seed))
    assert attention.head_scores(model, tokens)["previous token"][0, 1] > 0.9
