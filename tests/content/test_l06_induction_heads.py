"""What lesson 06 and its lab say of `code-attn-2l` holds on several seeds, with bands wider than their spread."""

import pytest
import torch

from mechinterp_course.interp import attention, induction, models, tasks
from mechinterp_course.tutor.reference import reference
from mechinterp_course.tutor.runner import examine

LENGTH, SEEDS = 50, (0, 1, 2)
LAYER_1 = [(1, head) for head in range(4)]


@pytest.fixture(scope="module")
def model():
    bridge = models.load("code-attn-2l")
    bridge.set_use_split_qkv_input(True)
    return bridge


def prompts(seed):
    return attention.repeated_tokens(range(1, 1024), LENGTH, 16, seed, bos=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_right_choices_of_the_predictions_are_what_the_model_does(model, seed):
    tokens = prompts(seed)
    without = reference("repeat_loss_without")
    assert 2.8 < without(model, tokens, LENGTH, []) < 4.2  # "about 3.5"
    assert without(model, tokens, LENGTH, [(0, 0), (0, 2), (0, 3)]) < 2  # "about 1.5: lower than before"
    order = torch.randperm(LENGTH, generator=torch.Generator().manual_seed(seed))
    shuffled = torch.cat([tokens[:, : LENGTH + 1], tokens[:, LENGTH + 1 :][:, order]], 1)
    assert attention.token_losses(model, shuffled)[:, LENGTH + 1 :].mean() > 7.1  # "more than 6.9 nats"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_circuit_is_lost_without_its_note_and_without_its_readers(model, seed):
    tokens = prompts(seed)
    without = reference("repeat_loss_without")
    for heads in ([(0, 1)], LAYER_1):
        assert 6.7 < without(model, tokens, LENGTH, heads) < 7.1
    whole = without(model, tokens, LENGTH, [])
    for head in LAYER_1:
        assert whole + 0.5 < without(model, tokens, LENGTH, [head]) < whole + 1.7


def test_of_twelve_connections_one_carries_induction(model):
    tokens = prompts(3)
    for sender in range(4):
        for into in "qkv":
            pattern = reference("pattern_without_edge")(model, tokens, sender, into)
            score = attention.induction_score(pattern, LENGTH).mean()
            assert score < 0.1 if (sender, into) == (1, "k") else score > 0.6


def test_k_composition_singles_out_the_previous_token_head():
    w = models.weights("code-attn-2l")
    parts = [w[f"blocks.{layer}.attn.W_{x}"] for layer, x in ((0, "V"), (0, "O"), (1, "Q"), (1, "K"))]
    found = reference("k_composition")(*parts)
    chance = reference("random_composition")(96, 24, 200, torch.Generator().manual_seed(0))
    assert abs(chance.mean() - 96**-0.5) < 0.002
    assert found[1].min() > 0.19
    assert found[[0, 2, 3]].max() < 0.15


def test_on_code_the_weakest_head_on_random_tokens_is_the_strongest(model):
    random = attention.head_scores(model, prompts(0), LENGTH)["induction"][1]
    code = induction.renamed_windows([text for _, text in tasks.sample()])[:16]
    on_code = induction.prefix_matching(model, code)[1]
    assert random.argmin() == 3
    assert on_code.argmax() == 3


def rejected(name, answer):
    """What the learner is told of an answer that is not to pass."""
    verdict = examine(name, answer)
    assert not verdict.passed
    return "\n".join(verdict.lines())


def worst_over(prompts_at):
    """worst_induction_score with prompts of prompts_at(vocabulary, length, generator)."""

    def answer(patterns_of, vocabulary, lengths, generator):
        scores = [reference("repeat_scores")(patterns_of(prompts_at(vocabulary, n, generator)), n) for n in lengths]
        return torch.stack([of_length[..., 2].mean(0) for of_length in scores]).amin(0)

    return answer


def test_a_detector_that_does_not_draw_eight_prompts_at_each_length_is_told_so():
    draw = reference("repeated_prompts")
    assert "are different: draw eight" in rejected(
        "worst_induction_score", worst_over(lambda v, n, generator: draw(v, n, 1, 0, generator).expand(8, -1))
    )
    assert "hand the generator that you are given" in rejected(
        "worst_induction_score", worst_over(lambda v, n, _: draw(v, n, 8, 0, torch.Generator().manual_seed(n)))
    )
    assert examine("worst_induction_score", worst_over(lambda v, n, generator: draw(v, n, 8, 0, generator))).passed


def test_a_hook_that_only_reads_is_not_to_stay_on_the_model_either():
    def answer(model, tokens, length):
        seen = {}
        for layer in range(model.cfg.n_layers):
            model.add_hook(f"blocks.{layer}.attn.hook_pattern", lambda p, hook, at=layer: seen.update({at: p.detach()}))
        model(tokens)
        return torch.stack([reference("repeat_scores")(seen[at], length).mean(0) for at in sorted(seen)])

    assert "A hook is still on" in rejected("scores_of_model", answer)
    # The models of the next answer have no such hook: nothing is shared.
    assert examine("scores_of_model", reference("scores_of_model")).passed
