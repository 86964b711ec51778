"""Made-up functions with docstrings: deterministic text to learn from, and prompts that share no name or template with it."""

import ast
import hashlib
import random
import re

import pytest
import torch

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import docstrings
from mechinterp_course.interp.tokenizer import CodeTokenizer

MANY = [docstrings.function(random.Random(i)) for i in range(600)]
VARIED = [docstrings.function(random.Random(i), varied=True) for i in range(600)]


def words(text):
    return set(re.findall(r"[a-z]+", text))


def listed(text):
    """The names that a docstring lists, in either style."""
    return re.findall(r"^ *(?::param )?(\w+): .*$", text.split('"""')[1], re.M)


def signature(text):
    arguments = ast.parse(text.strip() if text.startswith(" ") else text).body[0].args
    return [a.arg for a in arguments.args if a.arg != "self"]


@pytest.mark.parametrize("text", MANY[:40] + VARIED[:20])
def test_a_made_up_function_lists_its_parameters_in_order(text):
    whole = "\n".join(line[4:] for line in text.split("\n")) if text.startswith(" ") else text
    names = signature(whole)
    assert 1 <= len(names) <= 7
    assert listed(whole) == names


def test_both_styles_occur():
    google = sum("Args:\n" in text for text in MANY)
    assert 120 < google < 240
    assert all(("Args:\n" in text) != (":param " in text) for text in MANY)


def test_nothing_held_out_is_learnt_from():
    for text in MANY + VARIED:
        assert not words(text) & set(docstrings.HELD_OUT_NAMES), text
    parts = [
        part for pattern in docstrings.HELD_OUT_SUMMARIES for part in [re.escape(pattern).replace(r"\{\}", r"\w+")]
    ]
    assert not any(re.search(f'"""{part}$', text, re.M) for part in parts for text in MANY + VARIED)
    ends = [re.escape(pattern).replace(r"\{\}", r"\w+") for pattern in docstrings.HELD_OUT_DESCRIPTIONS]
    assert not any(re.search(f": {end}$", text, re.M) for end in ends for text in MANY + VARIED)


def test_the_split_never_changes():
    """The bundled model was trained by it."""
    held_out = " ".join(docstrings.HELD_OUT_NAMES)
    assert held_out == "char command context end error file int len line pre result type"
    assert len(docstrings.TEMPLATES) == 4
    assert docstrings.TEMPLATES[0] == ("Return the {} of a {}.", "the {} of the {}")


def test_the_text_of_a_step_never_changes():
    """The bundled model was trained on it, and is trained on it again by who follows the recipe."""
    for varied, digest in ((False, "88eba1204e8bd362"), (True, "a79ef7e263a7027d")):
        ids = docstrings.rows(3, 255, seed=0, step=11, varied=varied)
        assert hashlib.sha256(str(ids.tolist()).encode()).hexdigest()[:16] == digest


def test_varied_functions_have_more_names_of_one_token():
    names = docstrings.varied_names()
    code = CodeTokenizer()
    assert len(names) == 90
    assert all(len(code.ids(f" {name}")) == 1 for name in names)
    used = {name for text in VARIED for name in listed(text)}
    assert used >= set(names)


def test_seed_and_step_decide_the_rows():
    one = docstrings.rows(2, 63, seed=0, step=5)
    assert one.shape == (2, 63)
    assert torch.equal(one, docstrings.rows(2, 63, seed=0, step=5))
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, docstrings.rows(2, 63, seed=0, step=6))
    assert not torch.equal(one, docstrings.rows(2, 63, seed=1, step=5))
    assert CodeTokenizer().decode(one[0]).lstrip().startswith("def ")
    assert docstrings.rows(0, 63, seed=0, step=0).shape == (0, 63)


@pytest.mark.parametrize("template", range(len(docstrings.TEMPLATES)))
@pytest.mark.parametrize("documented", [0, 1, 3])
def test_prompts_of_one_call_are_aligned_and_end_where_the_name_comes(template, documented):
    code = CodeTokenizer()
    prompts = docstrings.docstring_prompts(12, seed=4, parameters=4, documented=documented, template=template)
    assert len({len(code.ids(prompt.text)) for prompt in prompts}) == 1
    for prompt in prompts:
        assert prompt.text.endswith("\n    :param")
        names = signature(prompt.text + '"""')
        assert prompt.answer == f" {names[documented]}"
        assert prompt.others == tuple(f" {name}" for name in names if name != names[documented])
        assert listed(prompt.text + '"""') == names[:documented]
        assert set(names) <= set(docstrings.HELD_OUT_NAMES)
        assert all(len(code.ids(name)) == 1 for name in (prompt.answer, *prompt.others))
        assert code.ids(prompt.text + prompt.answer)[:-1] == code.ids(prompt.text)


def test_no_word_of_a_prompt_gives_a_name_away():
    for prompt in docstrings.docstring_prompts(30, seed=1):
        described = words(prompt.text.split('"""')[1].replace(":param ", ":param_"))
        told = set(re.findall(r":param_?\s?(\w+)", prompt.text))
        assert not (described - told) & {prompt.answer.strip(), *(name.strip() for name in prompt.others)}


def test_a_seed_decides_the_prompts():
    assert docstrings.docstring_prompts(5, seed=2) == docstrings.docstring_prompts(5, seed=2)
    assert docstrings.docstring_prompts(5, seed=2) != docstrings.docstring_prompts(5, seed=3)
    assert docstrings.docstring_prompts(9, seed=2)[:5] == docstrings.docstring_prompts(5, seed=2)


@pytest.mark.parametrize("wrong", [{"documented": 5}, {"documented": -1}, {"parameters": 13}, {"template": 4}])
def test_what_cannot_be_asked_is_refused(wrong):
    with pytest.raises(CourseError, match="Choose 0"):
        docstrings.docstring_prompts(1, **wrong)
