"""Lesson 04: the small transformer that its checks measure by is TransformerLens' equal, and what its predictions call right
holds on other random tokens than those that the lesson draws."""

import importlib.util

import pytest
import torch

from mechinterp_course.interp import attention, models
from mechinterp_course.tutor import catalog

LENGTH = 40


@pytest.fixture(scope="module")
def checks():
    file = catalog.course().lesson("04").folder / "checks.py"
    spec = importlib.util.spec_from_file_location("checks_of_lesson_04", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bridge():
    with torch.no_grad():
        yield models.load("code-attn-2l")


@pytest.mark.parametrize("name", ["code-2l", "code-attn-2l"])
def test_the_transformer_of_the_checks_is_transformer_lens(checks, name):
    config = models.config(name)
    weights = models.weights(name) | {"unembed.b_U": torch.zeros(config.d_vocab)}
    tokens = torch.randint(1, config.d_vocab, (2, 30), generator=torch.Generator().manual_seed(0))
    logits, cache = checks.run(weights, tokens, config.n_layers, config.eps)
    with torch.no_grad():
        theirs, their_cache = models.load(name).run_with_cache(tokens)
    torch.testing.assert_close(logits, theirs, atol=1e-3, rtol=1e-4)
    for hook, ours in cache.items():
        torch.testing.assert_close(ours, their_cache[hook], atol=1e-3, rtol=1e-4, msg=hook)


@pytest.mark.parametrize("seed", range(5))
def test_what_the_lesson_calls_right_holds_on_other_tokens(bridge, seed):
    repeated = attention.repeated_tokens(range(1, 1024), LENGTH, batch=16, seed=seed, bos=0)
    tokens, right = repeated[:, :-1], repeated[:, 1:]
    wrong = right[:, :LENGTH].roll(17, dims=1).repeat(1, 2)
    second = slice(LENGTH + 1, None)

    def difference(logits):
        return (logits.gather(-1, right[..., None]) - logits.gather(-1, wrong[..., None]))[:, second].mean()

    logits, cache = bridge.run_with_cache(tokens)
    base = difference(logits)
    halfway = bridge.unembed(bridge.ln_final(cache["blocks.0.hook_resid_post"]))
    ahead = (halfway > halfway.gather(-1, right[..., None])).sum(-1)[:, second]
    assert 400 < ahead.float().median() < 620  # "no better than chance, about place 500"

    columns = bridge.W_U.T[right] - bridge.W_U.T[wrong]
    direction = columns * bridge.ln_final.w
    direction = direction - direction.mean(-1, keepdim=True)
    heads, _ = cache.stack_head_results(layer=-1, return_labels=True)
    adds = (heads * direction / cache["ln_final.hook_scale"]).sum(-1)[:, :, second].mean((1, 2))
    assert adds[:4].abs().max() < 0.1  # layer 0 writes nothing of the answer
    assert adds[4:].min() > 0.2  # all of layer 1 do
    assert adds[4:].max() < base / 2  # none of them more than half

    def without(layer, head, *more):
        def silence(z, hook):
            z = z.clone()
            z[:, :, head] = 0
            return z

        return difference(bridge.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", silence), *more]))

    assert without(1, 3) > base + 1  # "it rises"
    assert without(0, 1) < 0.1 * base  # "it falls to almost nothing"

    frozen = ("ln_final.hook_scale", lambda new, hook: cache["ln_final.hook_scale"])
    long = []

    def measure(z, hook):
        long.append((z[:, second, 3] @ bridge.blocks[1].attn.W_O[3]).norm(dim=-1).mean())

    for head in (0, 2, 3):  # "look harmful", by way of the length of L1H3's vectors and so of the scale
        rise = without(0, head, ("blocks.1.attn.hook_z", measure)) - base
        assert rise > 1
        assert without(0, head, frozen) - base < 0.3 * rise  # "with the scale frozen most of that is gone"
        usual = heads[7][:, second].norm(dim=-1).mean()
        assert 0.35 < long[-1] / usual < 0.65  # "about half as long"
