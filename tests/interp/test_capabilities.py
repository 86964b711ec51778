"""What the card of code-4l tells: measured on models whose answers are known."""

from types import SimpleNamespace

import pytest
import torch

from mechinterp_course.interp import capabilities, docstrings, models, probe_data, probes, recipes, separability
from mechinterp_course.interp.tokenizer import CodeTokenizer

NAME = "code-4l"
REAL = '''
class Thing:
    def one(self, path, mode, size=3):
        """Open it.

        :param path: where it is
        :param mode: how
        :param size: of the buffer
        """

    def two(self, first, second):
        """Args:

        nothing of use.
        """

    def other_order(self, first, second):
        """
        :param second: b
        :param first: a
        """


def google(call_queue, result, missing, last):
    """Work.

    Args:
        call_queue: A queue. It is
            read from.
        result (int): Written to
        last: The end.

    result: not this
    """
'''


def answering(names):
    """A model that gives the logit 9 to the first of `names(text)`, 8 to the second, and so on, at the last position."""
    code = CodeTokenizer()

    def model(tokens):
        logits = torch.zeros(*tokens.shape, 1024)
        for row, ids in enumerate(tokens):
            for place, name in enumerate(names(code.decode(ids[1:]))):
                logits[row, -1, code.ids(name)[0]] = 9.0 - place
        return logits

    return model


def signature(text):
    return [f" {name}" for name in text.split("(self, ")[1].split(")")[0].split(", ")]


def test_a_model_that_knows_the_next_name_is_right():
    found = capabilities.docstring_scores(answering(lambda text: [signature(text)[text.count(":param ")]]))
    assert found["value"] == found["not_yet_named"] == found["anything"] == 1.0
    assert found["prompts"] == capabilities.PROMPTS * len(docstrings.TEMPLATES) * len(capabilities.DOCUMENTED)
    assert set(found["by_documented"]) == {"1", "2", "3", "4"}


def test_a_model_that_repeats_the_first_name_knows_nothing():
    found = capabilities.docstring_scores(answering(lambda text: signature(text)[:1]))
    assert found["value"] == 0.0
    assert found["anything"] == 0.0
    assert found["by_documented"]["4"] == 0.0


def test_names_that_are_documented_already_are_told_apart_from_those_to_come():
    """It prefers a documented name, then the right one: wrong, but right among those not yet named."""
    known = answering(lambda text: [signature(text)[0], signature(text)[text.count(":param ")]])
    prompts = docstrings.docstring_prompts(8, documented=2)
    assert capabilities.judged(known, prompts, 2) == [(False, True, False)] * 8
    sure = answering(lambda text: [" zzz", signature(text)[2]])
    assert capabilities.judged(sure, prompts, 2) == [(True, True, False)] * 8


def test_real_functions_that_list_their_parameters_become_prompts():
    prompts = capabilities.real_prompts(REAL)
    found = {prompt.answer: prompt for prompt in prompts}
    assert {answer: prompt.others for answer, prompt in found.items()} == {
        " mode": (" path", " size"),
        " size": (" path", " mode"),
        "result": ("call_queue", "missing", "last"),
        "last": ("call_queue", "result", "missing"),
    }
    assert len(prompts) == 4
    assert found[" mode"].text.endswith("where it is\n        :param")
    assert found[" mode"].text.startswith("    def one(self")
    assert found["result"].text.endswith("read from.\n        ")


def test_real_scores_compare_whole_names(monkeypatch):
    monkeypatch.setattr(capabilities, "likelihood", lambda model, text, name: {" mode": 2, "last": 3}.get(name, 1))
    found = capabilities.real_scores(None, [REAL])
    assert found == {"prompts": 4, "right": 0.5, "chance": pytest.approx((1 / 3 + 1 / 3 + 1 / 4 + 1 / 4) / 4, abs=1e-3)}
    assert capabilities.real_scores(None, ["x = 1\n"]) == {"prompts": 0}


def test_likelihood_is_the_sum_over_the_name_and_its_colon(tiny):
    code = CodeTokenizer()
    text, name = "def f(a):\n    return", " thing_of"
    ids = code.encode(text + name + ":")
    with torch.no_grad():
        logprobs = tiny(ids[None])[0].log_softmax(-1)
    n = len(code.ids(name + ":"))
    expected = sum(logprobs[i - 1, ids[i]].item() for i in range(len(ids) - n, len(ids)))
    assert capabilities.likelihood(tiny, text, name) == pytest.approx(expected, abs=1e-4)


def test_a_long_text_is_cut_at_its_beginning(tiny, monkeypatch):
    monkeypatch.setattr(capabilities, "LONGEST", 30)
    text = "x = 1\n" * 40
    assert capabilities.likelihood(tiny, text, " y") == pytest.approx(capabilities.likelihood(tiny, "#" + text, " y"))


def test_the_shares_of_a_mixture_add_up():
    found = capabilities.shares(
        SimpleNamespace(steps=4, stage=lambda step: (0, 8, 64, 2, 1, 1) if step < 2 else (2, 2, 256, 0, 0, 1))
    )
    total = 2 * 8 * 63 + 2 * 2 * 255
    assert found == {
        "loops": pytest.approx(2 * 2 * 63 / total, abs=1e-4),
        "copies": pytest.approx(2 * 63 / total, abs=1e-4),
        "generated_docstrings": pytest.approx((2 * 63 + 2 * 255) / total, abs=1e-4),
        "source": pytest.approx((2 * 4 * 63 + 2 * 255) / total, abs=1e-4),
    }
    assert sum(capabilities.shares(recipes.find(NAME)).values()) == pytest.approx(1, abs=1e-3)


# --- the bundled model --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled():
    return models.load(NAME)


@pytest.mark.parametrize("documented", capabilities.DOCUMENTED)
def test_the_bundled_model_prefers_the_next_name_of_the_signature(bundled, documented):
    """On prompts that its card was not measured on: another seed, all templates."""
    found = []
    for template in range(len(docstrings.TEMPLATES)):
        prompts = docstrings.docstring_prompts(24, 5 + template, documented=documented, template=template)
        found += capabilities.judged(bundled, prompts, documented)
    right = sum(one[0] for one in found) / len(found)
    told = models.card(NAME)["behaviours"]["held_out_docstrings"]["by_documented"][str(documented)]
    assert right >= 0.7
    assert right == pytest.approx(told, abs=0.12)


def test_the_card_of_the_bundled_model_keeps_its_promises():
    card = models.card(NAME)
    for measured in (card["behaviours"], card["behaviours_processed"]):
        assert measured["held_out_docstrings"]["value"] >= 0.7
        assert max(layer["score"] for layer in measured["repeated_tokens"]["50"]["induction"]) >= 0.6
        assert measured["real_docstrings"]["test"]["prompts"] > 0
    assert card["behaviours"]["linearly_separable_labels"]["value"] >= 5
    assert card["mixture"] == capabilities.shares(recipes.find(NAME))


def test_a_label_of_the_bundled_model_is_as_separable_as_its_card_says(bundled):
    train, test = separability.halves(most=40)
    x, unseen = (probe_data.streams(bundled, half.windows, ["layer 3"])["layer 3"] for half in (train, test))
    scores = probes.logistic(x, train.answers["in_comment"]).scores(unseen)
    told = models.card(NAME)["behaviours"]["linearly_separable_labels"]["labels"]["in_comment"]["auc"]["layer 3"]
    assert probes.auc(scores, test.answers["in_comment"]) == pytest.approx(told, abs=0.03)
