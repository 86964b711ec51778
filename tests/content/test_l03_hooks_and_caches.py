"""Lesson 03: answers that give the right numbers and leave the model spoilt are rejected, and told why."""

import pytest
import torch

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


SPOILERS = {
    ("record_activations", recorder_that_stays): "A hook is still on",
    ("record_activations", recorder_that_resets_first): "somebody else had put on the model is gone",
    ("record_activations", recorder_with_gradients): "still carries its gradient",
    ("zero_ablate_head", ablation_by_surgery): "The model's own logits after your function",
    ("hook_effect", effect_with_a_hooked_baseline): "The number of calls",
}


@pytest.mark.parametrize(("exercise", "answer"), SPOILERS, ids=lambda one: getattr(one, "__name__", one))
def test_an_answer_that_spoils_the_model_is_rejected_and_told_why(exercise, answer):
    verdict = examine(exercise, answer, advise=False)
    assert not verdict.passed
    assert SPOILERS[exercise, answer] in verdict.told


def test_a_spoilt_model_spoils_no_later_check():
    examine("zero_ablate_head", ablation_by_surgery, advise=False)
    assert examine("zero_ablate_head", reference("zero_ablate_head"), advise=False).passed
