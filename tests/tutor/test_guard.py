"""The guard around an answer: inputs are copied, edits are noticed, calls are kept, and errors become sentences."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechinterp_course.tutor.expect import Miss
from mechinterp_course.tutor.guard import Guarded, Raised, Unsolved, copied
from mechinterp_course.tutor.reference import run_cell


def learner(source: str, name: str = "answer"):
    """Run code the way a notebook cell runs it, and return one of its functions."""
    space = {}
    run_cell(source, space, "cell 3")
    return space[name]


def test_the_answer_gets_copies_and_the_check_keeps_its_own():
    given_to = []
    x = torch.ones(2)
    Guarded("answer", lambda x: given_to.append(x) or x + 1)(x)
    assert given_to[0] is not x and torch.equal(given_to[0], x)


def test_each_call_is_kept_as_it_was():
    guarded = Guarded("answer", lambda x, n=1: x * n)
    result = guarded(torch.ones(2), n=3)
    result += 100  # the check may do with the result what it likes
    (call,) = guarded.calls
    assert torch.equal(call.args[0], torch.ones(2)) and call.kwargs == {"n": 3}
    assert torch.equal(call.result, torch.full((2,), 3.0)) and call.seconds >= 0


@pytest.mark.parametrize(
    "source, inputs, sentence",
    [
        ("def answer(x):\n    x[1] = 9\n    return x", [torch.zeros(3)], "answer changed its input x (at [1])."),
        ("def answer(x):\n    x += 1\n    return x", [torch.zeros(())], "answer changed its input x."),
        ("def answer(x, y):\n    y.t_()\n    return x", [torch.zeros(2), torch.zeros(2, 3)], "answer changed its input y."),
        ("def answer(w):\n    w['b'][0] = 1\n    return 0", [{"a": torch.zeros(1), "b": torch.zeros(2)}], "answer changed its input w['b'] (at [0])."),
        ("def answer(w):\n    w['new'] = 1\n    return 0", [{"a": torch.zeros(1)}], "answer changed its input w."),
        ("def answer(xs):\n    xs.pop()\n    return 0", [[torch.zeros(1)]], "answer changed its input xs."),
        ("def answer(xs):\n    xs.reverse()\n    return 0", [["a", "b"]], "answer changed its input xs[0]."),
        ("def answer(heads):\n    heads[1] = (0, 1)\n    return 0", [[(0, 0), (1, 1)]], "answer changed its input heads[1][0]."),
        ("def answer(w):\n    w['a'] = None\n    return 0", [{"a": torch.zeros(1)}], "answer changed its input w['a']."),
        ("def answer(w):\n    w[0] = 3\n    return 0", [[{"a": 1}]], "answer changed its input w[0]."),
        ("def answer(*xs):\n    xs[1].zero_()\n    return 0", [torch.ones(1), torch.ones(2)], "answer changed its input number 2 (at [0])."),
    ],
)  # fmt: skip
def test_an_edited_input_is_noticed(source, inputs, sentence):
    with pytest.raises(Miss) as miss:
        Guarded("answer", learner(source))(*inputs)
    assert str(miss.value) == (
        f"{sentence} Whoever calls it may still need the old values: make a new tensor (x = x + …, not x += …), or copy first with .clone()."
    )


def test_an_input_named_in_the_call_is_named_in_the_sentence():
    with pytest.raises(Miss, match="changed its input mask"):
        Guarded("answer", learner("def answer(x, mask=None):\n    mask.zero_()\n    return x"))(
            torch.ones(1), mask=torch.ones(1)
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_an_input_left_alone_is_no_edit(value):
    x = torch.tensor([value, 1.0])
    assert torch.equal(Guarded("answer", lambda x: x[1:] + 0)(x), torch.ones(1))
    weight = torch.nn.Parameter(x)  # its copy is a plain tensor
    assert Guarded("answer", lambda w, values, extra: 1)(weight, [value, None, "a", (weight, 3)], OrderedDict(a=1)) == 1


def test_an_input_that_wants_a_gradient_still_does():
    weight = torch.ones(2, requires_grad=True)
    result = Guarded("answer", lambda w: torch.autograd.grad((w * w).sum(), w)[0])(weight)
    assert torch.equal(result, torch.full((2,), 2.0))


def test_a_generator_gives_the_same_numbers_to_every_call():
    guarded = Guarded("answer", lambda g: torch.rand(3, generator=g))
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(guarded(generator), guarded(generator))


def test_none_is_not_an_answer():
    guarded = Guarded("answer", lambda x: None)
    with pytest.raises(Miss, match=r"^answer returned None. Does every path through it end in `return ...`\?$"):
        guarded(1)
    assert (guarded.attempts, guarded.calls) == (1, [])


def test_a_starter_is_unsolved_by_name():
    with pytest.raises(Unsolved) as unsolved:
        Guarded(
            "answer", learner("def earlier(x):\n    raise NotImplementedError()\ndef answer(x):\n    return earlier(x)")
        )(1)
    assert unsolved.value.name == "earlier"


@pytest.mark.parametrize(
    "line", ["raise NotImplementedError", "raise NotImplementedError()", "raise NotImplementedError('later')"]
)
def test_any_form_of_the_starter_line_is_unsolved(line):
    with pytest.raises(Unsolved):
        Guarded("answer", learner(f"def answer(x):\n    {line}"))(1)


def test_a_lambda_that_torch_cannot_compute_is_an_error_not_a_starter():
    with pytest.raises(Raised, match="stopped with NotImplementedError"):
        Guarded("answer", learner("import torch\ndef answer(x):\n    return torch.softmax(x, -1)"))(
            torch.ones(2).long()
        )


def test_the_learners_own_line_is_shown_with_its_shapes():
    source = "def answer(q, k):\n    scores = q @ k\n    return scores"
    with pytest.raises(Raised) as raised:
        Guarded("answer", learner(source))(torch.ones(2, 3), torch.ones(2, 3))
    first, second = str(raised.value).splitlines()
    assert first.startswith("answer stopped with RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert second == "Your line: scores = q @ k   where q (2, 3), k (2, 3)"
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_an_error_in_a_function_of_the_check_shows_the_line_that_called_it():
    called_back = {}
    run_cell("def broken(x):\n    return x + None", called_back, "x/checks.py")
    called_back["broken"].__code__ = called_back["broken"].__code__.replace(co_filename="/course/l00/checks.py")
    with pytest.raises(Raised) as raised:
        Guarded("answer", learner("def answer(f):\n    return f(1)"))(called_back["broken"])
    assert str(raised.value).splitlines()[1] == "Your line: return f(1)"


def test_a_long_message_and_a_long_line_are_cut():
    source = f"def answer(x):\n    raise ValueError('{'a' * 300}')"
    with pytest.raises(Raised) as raised:
        Guarded("answer", learner(source))(1)
    assert all(len(line) < 220 and line.endswith("...") for line in str(raised.value).splitlines())


def test_endless_recursion_is_an_error_like_others():
    with pytest.raises(Raised, match="stopped with RecursionError"):
        Guarded("answer", learner("def answer(x):\n    return answer(x)"))(1)


@pytest.mark.parametrize(
    "args, kwargs, words",
    [
        ((torch.tensor([1.0, 2.0]),), {}, "answer(x = [1.00 2.00])"),
        ((torch.ones(3, 4),), {}, "answer(x = a 3 × 4 tensor)"),
        ((torch.tensor(2),), {}, "answer(x = 2)"),
        ((1, "word"), {"k": None}, "answer(x = 1, n = 'word', k = None)"),
        (({"a": 1}, [1] * 40), {}, "answer(x = a dict of 1, n = list of 40)"),
        ((torch.Generator(), torch.nn.Linear(1, 1)), {}, "answer(x = a generator, n = Linear)"),
    ],
)
def test_a_call_is_described_in_one_line(args, kwargs, words):
    guarded = Guarded("answer", lambda x, n=0, k=0: 1)
    guarded(*args, **kwargs)
    assert guarded.describe_call() == words


def test_nothing_called_is_described_as_nothing():
    assert Guarded("answer", lambda: 1).describe_call() == ""


VALUES = st.recursive(
    st.one_of(st.integers(), st.text(max_size=3), st.builds(lambda n: torch.full((2,), float(n)), st.integers(0, 9))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_a_copy_is_equal_and_shares_no_tensor(value):
    def tensors(thing):
        if isinstance(thing, torch.Tensor):
            return [thing]
        inner = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ()
        return [tensor for part in inner for tensor in tensors(part)]

    ours, theirs = tensors(copied(value)), tensors(value)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()


def test_a_name_that_is_not_there_yet_says_which_cell_to_run():
    with pytest.raises(Raised) as raised:
        Guarded("answer", learner("def answer(x):\n    return softmax(x)"))(torch.ones(2))
    assert "name 'softmax' is not defined in this notebook. Run the cell that makes softmax" in str(raised.value)
