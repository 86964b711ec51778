"""Windows come from whole files, no file is on both sides of a split, and what is collected is what the hook holds."""

import numpy as np
import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import activations, models

HOOK = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return models.load("code-attn-2l")


def files(*lengths):
    return [np.arange(100 * number, 100 * number + length) for number, length in enumerate(lengths)]


def test_windows_lie_side_by_side_behind_bos():
    found = activations.windows(files(7, 2, 3), width=3)
    assert found.tokens.tolist() == [[0, 0, 1, 2], [0, 3, 4, 5], [0, 200, 201, 202]]
    assert found.file.tolist() == [0, 0, 2] and found.start.tolist() == [0, 3, 0]
    assert activations.windows(files(3), width=3, bos=9).tokens[0, 0] == 9


def test_no_file_is_on_both_sides_of_a_split():
    found = activations.windows(files(*[10 + 7 * number for number in range(12)]), width=5)
    for seed in range(5):
        learn, judge = activations.split(found, share=0.25, seed=seed)
        assert not set(learn.file.tolist()) & set(judge.file.tolist())
        assert len(learn.file) + len(judge.file) == len(found.file)
        assert 0 < len(judge.file) <= 0.3 * len(found.file)
    again = activations.split(found, share=0.25, seed=4)
    assert torch.equal(again[1].tokens, judge.tokens)


def test_what_is_collected_is_what_the_hook_holds(model):
    tokens = torch.randint(1, 1000, (5, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    found = activations.collect(model, HOOK, tokens, batch=2)
    assert found.shape == (5, 11, model.cfg.d_model) and not found.requires_grad
    torch.testing.assert_close(found, cache[HOOK][:, 1:])
    torch.testing.assert_close(activations.collect(model, HOOK, tokens, keep_first=True), cache[HOOK])
    assert activations.collect(model, HOOK, tokens, dtype=torch.float16).dtype == torch.float16
    both = activations.collect_many(model, [HOOK, "blocks.1.hook_attn_out"], tokens)
    torch.testing.assert_close(both["blocks.1.hook_attn_out"], cache["blocks.1.hook_attn_out"][:, 1:])


def test_the_rest_of_the_model_does_not_run_and_no_hook_stays(model):
    tokens = torch.randint(1, 1000, (2, 12), generator=torch.Generator().manual_seed(0))
    ran = []
    handle = model.original_model.lm_head.register_forward_hook(lambda *_: ran.append(1))
    try:
        activations.collect(model, HOOK, tokens)
        assert ran == []
        assert model(tokens).shape[:2] == (2, 12)
        assert ran == [1]
    finally:
        handle.remove()
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


def test_hooks_of_others_act_in_every_batch_and_stay(model):
    tokens = torch.randint(1, 1000, (5, 12), generator=torch.Generator().manual_seed(0))
    plain = activations.collect(model, HOOK, tokens)

    def nothing(z, hook):
        return torch.zeros_like(z)

    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", nothing)]):
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens)
        found = activations.collect(model, HOOK, tokens, batch=2)
    torch.testing.assert_close(found, cache[HOOK][:, 1:])
    assert not torch.allclose(found, plain)
    model.add_hook("blocks.0.attn.hook_z", nothing)
    try:
        activations.collect(model, HOOK, tokens, batch=2)
        torch.testing.assert_close(activations.collect(model, HOOK, tokens), found)
    finally:
        model.reset_hooks()


def test_mistakes_are_named(model):
    with pytest.raises(CourseError, match="no vector for each window"):
        activations.collect(model, "blocks.0.attn.hook_pattern", torch.zeros(1, 5, dtype=torch.long))
    with pytest.raises(CourseError, match="no window"):
        activations.windows(files(4, 2), width=5)
    with pytest.raises(CourseError, match="cannot be split by file"):
        activations.split(activations.windows(files(20), width=5))
    with pytest.raises(CourseError, match="no hook 'blocks.7"):
        activations.collect(model, "blocks.7.hook_resid_post", torch.zeros(1, 4, dtype=torch.long))
