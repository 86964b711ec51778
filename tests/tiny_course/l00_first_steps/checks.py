import torch

from mechinterp_course.tutor.checks import Exercise, expect

double = Exercise("double")


@double.check("every number is doubled")
def doubled(answer, draw):
    x = draw.normal(2, 3)
    expect.close(answer(x), x + x)


@double.check("negative numbers and zero", hidden=True)
def negative(answer, draw):
    x = -draw.uniform(4)
    x[0] = 0
    expect.close(answer(x), x + x)


@double.wrong("squares", "You returned x times x; twice x is x plus x.")
def squares(x):
    return x * x


@double.wrong("adds two", "You added the number 2 to x; twice x is x plus x.")
def adds_two(x):
    return x + 2


@double.variation("x plus x")
def plus(x):
    return x + x


quadruple = Exercise("quadruple")


@quadruple.check("every number is four times as large")
def fourfold(answer, draw):
    x = draw.normal(3)
    expect.close(answer(x), 4 * x)


@quadruple.wrong("doubles once", "Your numbers are twice x: double was called once.")
def once(x):
    return 2 * x


@quadruple.wrong("doubles three times", "Your numbers are eight times x: double was called three times.")
def thrice(x):
    return 8 * x


@quadruple.variation("a product")
def product(x):
    return x * 4


row_softmax = Exercise("row_softmax")


@row_softmax.check("every row sums to 1")
def rows(answer, draw):
    probabilities = answer(draw.normal(3, 5))
    expect.tensor(probabilities)
    expect.close(probabilities.sum(-1), torch.ones(3), "the sum of each row")


@row_softmax.check("a larger score has a larger probability, by the ratio of the exponentials")
def ratios(answer, draw):
    scores = draw.normal(2, 4)
    expect.close(answer(scores), torch.softmax(scores, -1), "the probabilities")


@row_softmax.check("scores of 1000 and more", hidden=True)
def large(answer, draw):
    expect.close(answer(torch.tensor([[1000.0, 1000.0]])), torch.tensor([[0.5, 0.5]]))


@row_softmax.wrong("softmax over the wrong axis", "Each *column* sums to 1: the softmax ran over the wrong axis.")
def wrong_axis(scores):
    return torch.softmax(scores, dim=0)


@row_softmax.wrong("one softmax for all rows", "All the numbers together sum to 1; each row should.")
def all_rows(scores):
    return torch.softmax(scores.flatten(), 0).view_as(scores)


@row_softmax.wrong("only the exponentials", "Your numbers are exp(scores); the division by their sum is missing.")
def exponentials(scores):
    return scores.exp()


@row_softmax.variation("torch's own, in float64")
def double_precision(scores):
    return torch.softmax(scores.double(), -1)
