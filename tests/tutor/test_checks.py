"""Expectations: what they let pass, and the whole sentence of each that is not met. And the seeded draws of a check."""

import numpy as np
import pytest
import torch

from mechinterp_course.tutor.checks import Draw, Exercise, expect
from mechinterp_course.tutor.expect import Miss, describe, picture, show

ONE_TWO = torch.tensor([1.0, 2.0])
NAN, INF = float("nan"), float("inf")

PASSES = {
    "equal up to rounding": lambda: expect.close(torch.tensor([1.000001, 2.0]), ONE_TWO),
    "float64 for float32": lambda: expect.close(ONE_TWO.double(), ONE_TWO),
    "a Python number": lambda: expect.close(0.5, 0.5),
    "a whole Python number for a decimal one": lambda: expect.close(1, 1.0),
    "a tensor with one entry for a number": lambda: expect.close(torch.tensor([0.5]), 0.5),
    "a numpy number for a number": lambda: expect.close(np.float64(0.5), torch.tensor(0.5)),
    "a decimal number that is whole": lambda: expect.close(3.0, 3),
    "the same infinity": lambda: expect.close(torch.tensor([-INF, 0.0]), torch.tensor([-INF, 0.0])),
    "the same NaN": lambda: expect.close(torch.tensor([NAN]), torch.tensor([NAN])),
    "a tensor that wants a gradient": lambda: expect.close(ONE_TWO.clone().requires_grad_(), ONE_TWO),
    "complex numbers": lambda: expect.close(torch.tensor([1 + 2j]), torch.tensor([1 + 2j])),
    "empty tensors": lambda: expect.close(torch.zeros(0, 3), torch.zeros(0, 3)),
    "other whole numbers of the same value": lambda: expect.equal(torch.tensor([1, 2], dtype=torch.int32), torch.tensor([1, 2])),
    "booleans": lambda: expect.equal(torch.tensor([True]), torch.tensor([True])),
    "a tensor with a number for a number": lambda: expect.equal(torch.tensor(3), 3),
    "words": lambda: expect.equal(["a", "b"], ["a", "b"]),
    "a shape": lambda: expect.shape(ONE_TWO, (2,)),
    "a dtype": lambda: expect.dtype(ONE_TWO, torch.float32),
    "a number between": lambda: expect.between(torch.tensor(0.5), 0, 1),
    "finite whole numbers": lambda: expect.finite(torch.tensor([1])),
    "a condition": lambda: expect.true(torch.tensor(True), "never said"),
}  # fmt: skip


@pytest.mark.parametrize("met", PASSES.values(), ids=PASSES.keys())
def test_what_is_right_passes(met):
    assert met() is None or isinstance(met(), float)


MISSES = {
    "wrong values": (
        lambda: expect.close(torch.tensor([[1.0, 2.0], [3.0, 5.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])),
        "The result is wrong at 1 of 4 places, first at [1, 1]: yours 5.00, right 4.00.\n"
        "Yours: [1.00 2.00] [3.00 5.00]   Right: [1.00 2.00] [3.00 4.00]",
    ),
    "many": (
        lambda: expect.close(torch.tensor([0.5, 0.5]), torch.ones(2), "the sums of the rows", because="a row is a query"),
        "The sums of the rows are wrong at 2 of 2 places, first at [0]: yours 0.500, right 1.00. A row is a query.\n"
        "Yours: [0.500 0.500]   Right: [1.00 1.00]",
    ),
    "a wrong number": (lambda: expect.close(0.5, 1.0, "the loss"), "The loss is 0.500; it should be 1.00."),
    "a decimal where a whole number is right": (lambda: expect.close(0.7, 0, "the score"), "The score is 0.700; it should be 0.00."),
    "decimals where whole numbers are right": (
        lambda: expect.close(torch.tensor([1.7, 2.2]), torch.tensor([1, 2])),
        "The result is wrong at 2 of 2 places, first at [0]: yours 1.70, right 1.00.\n"
        "Yours: [1.70 2.20]   Right: [1.00 2.00]",
    ),
    "numbers that look alike": (lambda: expect.close(0.5004, 0.5), "The result is 0.5004; it should be 0.5."),
    "a wrong shape": (
        lambda: expect.close(torch.zeros(2, 3), torch.zeros(3, 2)),
        "The result has shape (2, 3); it should be (3, 2).",
    ),
    "a wrong shape with names": (
        lambda: expect.shape(torch.zeros(2), (2, 3), "the scores", axes="query key"),
        "The scores have shape (2,); they should be (2, 3) (query × key).",
    ),
    "a tensor for a number": (
        lambda: expect.close(torch.tensor([1.0, 2.0]), 1.0, "the mean"),
        "The mean is a tensor of shape (2,), float32: [1.00 2.00]; it should be a single number.",
    ),
    "a list": (lambda: expect.close([1.0, 2.0], ONE_TWO), "The result is the list [1.0, 2.0]; it should be a torch tensor."),
    "numpy": (
        lambda: expect.close(np.ones(2), ONE_TWO),
        "The result is a numpy array; it should be a torch tensor, like the input.",
    ),
    "None": (lambda: expect.close(None, ONE_TWO, "the second value"), "The second value is None; it should be a torch tensor."),
    "a tuple": (
        lambda: expect.tensor((ONE_TWO, ONE_TWO)),
        "The result is the tuple (tensor([1., 2.]), tensor([1., 2.])); it should be a torch tensor.",
    ),
    "whole numbers for decimals": (
        lambda: expect.close(torch.tensor([1, 2]), ONE_TWO),
        "The result holds int64; it should hold decimal numbers, like the input.",
    ),
    "booleans for decimals": (
        lambda: expect.close(torch.tensor([True, False]), ONE_TWO),
        "The result holds bool; it should hold float32.",
    ),
    "decimals for whole numbers": (
        lambda: expect.equal(torch.tensor([1.0, 2.0]), torch.tensor([1, 2]), "the tokens"),
        "The tokens hold float32; they should hold whole numbers (int64).",
    ),
    "whole numbers for booleans": (
        lambda: expect.equal(torch.tensor([1, 0]), torch.tensor([True, False]), "the mask"),
        "The mask holds int64; it should hold bool.",
    ),
    "complex numbers": (
        lambda: expect.close(torch.tensor([1j, 2j]), ONE_TWO),
        "The result holds complex numbers; it should hold real ones.",
    ),
    "another dtype": (
        lambda: expect.dtype(ONE_TWO.double(), torch.float32),
        "The result holds float64; it should hold float32.",
    ),
    "another device": (
        lambda: expect.close(torch.zeros(2, device="meta"), ONE_TWO),
        "The result is on the device meta; it should be on cpu, like the input.",
    ),
    "NaN": (
        lambda: expect.close(torch.tensor([1.0, NAN]), ONE_TWO),
        "The result is NaN (not a number) at [1], 1 of 2 places. "
        "NaN comes from 0/0, inf/inf, inf - inf, 0 times inf, or a logarithm of a negative number.",
    ),
    "NaN as a number": (
        lambda: expect.close(NAN, 1.0, "the loss"),
        "The loss is NaN (not a number). NaN comes from 0/0, inf/inf, inf - inf, 0 times inf, or a logarithm of a negative number.",
    ),
    "infinity": (
        lambda: expect.finite(torch.tensor([[INF, 1.0]]), "the weights"),
        "The weights are infinite at [0, 0], 1 of 2 places. Infinity comes from a division by 0, log 0, or exp of a large number.",
    ),
    "the other infinity": (
        lambda: expect.close(torch.tensor([INF]), torch.tensor([-INF])),
        "The result is infinite at [0], 1 of 1 places. Infinity comes from a division by 0, log 0, or exp of a large number.",
    ),
    "wrong whole numbers": (
        lambda: expect.equal(torch.tensor([1, 3]), torch.tensor([1, 2])),
        "The result is wrong at 1 of 2 places, first at [1]: yours 3, right 2.\nYours: [1 3]   Right: [1 2]",
    ),
    "a wrong word": (
        lambda: expect.equal("blocks.0.hook_z", "blocks.0.attn.hook_z", "the name"),
        "The name is 'blocks.0.hook_z'; it should be 'blocks.0.attn.hook_z'.",
    ),
    "a wrong list": (lambda: expect.equal([1], [1, 2], "the heads"), "The heads are the list [1]; they should be the list [1, 2]."),
    "an array for a list": (
        lambda: expect.equal(np.array([1, 2]), [1, 2]),
        "The result is a numpy array of shape (2,); it should be the list [1, 2].",
    ),
    "out of range": (
        lambda: expect.between(1.2, 0, 1, "the score", because="it is a mean of probabilities"),
        "The score is 1.20; it should lie between 0 and 1. It is a mean of probabilities.",
    ),
    "no number": (lambda: expect.number("many"), "The result is 'many'; it should be a single number."),
    "an array for a number": (
        lambda: expect.number(np.ones(2)),
        "The result is a numpy array of shape (2,); it should be a single number.",
    ),
    "an infinite number": (lambda: expect.number(INF, "the loss"), "The loss is inf; it should be a finite number."),
    "a condition": (lambda: expect.true(False, "The two heads are the same."), "The two heads are the same."),
}  # fmt: skip


@pytest.mark.parametrize("unmet, sentence", MISSES.values(), ids=MISSES.keys())
def test_what_is_not_met_is_a_sentence(unmet, sentence):
    with pytest.raises(Miss) as miss:
        unmet()
    assert str(miss.value) == sentence


@pytest.mark.parametrize("of", ["losses", "logits of the last position", "head's scores", "entropies, in nats"])
def test_a_sentence_about_many_is_plural(of):
    with pytest.raises(Miss, match=f"^The {of} are "):
        expect.tensor(None, f"the {of}")


@pytest.mark.parametrize(
    "of", ["loss", "sum of each row", "basis", "bias", "radius", "loss on the last tokens", "axis"]
)
def test_a_sentence_about_one_is_singular(of):
    with pytest.raises(Miss, match=f"^The {of} is "):
        expect.tensor(None, f"the {of}")


@pytest.mark.parametrize(
    "value, words",
    [
        (torch.tensor(0.25), "the number 0.250"),
        (torch.zeros(0, 3), "a tensor of shape (0, 3), float32: no numbers"),
        (torch.zeros(3, 0), "a tensor of shape (3, 0), float32: no numbers"),
        (torch.arange(9), "a tensor of shape (9,), int64: [0 1 2 3 4 …]"),
        (torch.ones(4, 5), "a tensor of shape (4, 5), float32: [1.00 1.00 1.00 1.00 …] [1.00 1.00 1.00 1.00 …] [1.00 1.00 1.00 1.00 …] …"),
        (True, "True"),
        ("x" * 80, repr("x" * 57 + "...")),
        ({"a": 1}, "the dict {'a': 1}"),
        (len, "a function (len)"),
        (ValueError("no"), "a ValueError ValueError('no')"),
    ],
)  # fmt: skip
def test_any_value_is_described_in_few_words(value, words):
    assert describe(value) == words


@pytest.mark.parametrize(
    "number, shown",
    [(0.7134, "0.713"), (12, "12"), (3.2e-7, "3.2e-07"), (-0.0, "0.00"), (123.456, "123.46"), (NAN, "nan")],
)
def test_numbers_are_shown_as_people_write_them(number, shown):
    assert show(number) == shown


def test_a_picture_shows_rows():
    assert picture(torch.eye(2)) == "[1.00 0.00] [0.00 1.00]"


def test_a_draw_depends_on_its_seed_and_labels_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = Draw(3, "double", "a title").normal(4)
    assert torch.equal(first, Draw(3, "double", "a title").normal(4))
    assert not torch.equal(first, Draw(4, "double", "a title").normal(4))
    assert not torch.equal(first, Draw(3, "double", "another title").normal(4))
    assert torch.equal(before, torch.get_rng_state())


def test_a_draw_gives_what_it_says():
    draw = Draw(0)
    assert draw.normal(2, 3).shape == (2, 3)
    uniform = draw.uniform(1000, low=2, high=3)
    assert uniform.min() >= 2 and uniform.max() < 3
    whole = draw.integers(5, 7, 100)
    assert set(whole.tolist()) == {5, 6} and whole.dtype == torch.int64
    assert draw.integer(4, 5) == 4 and isinstance(draw.seed(), int)
    assert sorted(draw.permutation(5).tolist()) == [0, 1, 2, 3, 4]
    assert abs(draw.normal(10_000, std=3.0).std() - 3) < 0.1


def test_the_decorators_keep_the_function_and_the_order():
    exercise = Exercise("double")

    @exercise.check("first")
    def one(answer, draw): ...

    @exercise.check("second", hidden=True)
    def two(answer, draw): ...

    @exercise.wrong("squares", "You squared.")
    def squares(x): ...

    @exercise.variation("plus")
    def plus(x): ...

    assert [(c.title, c.hidden, c.test) for c in exercise.checks] == [("first", False, one), ("second", True, two)]
    assert [(w.name, w.says, w.answer) for w in exercise.wrong_answers] == [("squares", "You squared.", squares)]
    assert [(v.name, v.answer) for v in exercise.variations] == [("plus", plus)]


def test_the_picture_shows_the_wrong_place():
    want = torch.zeros(4, 9)
    got = want.clone()
    got[2, 6] = 5.0
    with pytest.raises(Miss) as miss:
        expect.close(got, want, "the scores")
    assert str(miss.value).splitlines()[1] == "Yours from [2, 5]: [0.00 5.00 0.00 0.00]   Right: [0.00 0.00 0.00 0.00]"


def test_pictures_that_read_the_same_are_left_out():
    with pytest.raises(Miss) as miss:
        expect.close(torch.tensor([1.0, 2.0004]), torch.tensor([1.0, 2.0]), rtol=1e-6)
    assert len(str(miss.value).splitlines()) == 1


def test_nan_and_infinity_are_not_counted_as_one():
    with pytest.raises(Miss) as miss:
        expect.finite(torch.tensor([float("inf"), float("nan"), 1.0]))
    assert str(miss.value).startswith("The result is infinite at [0], and no finite number at 2 of 3 places.")
