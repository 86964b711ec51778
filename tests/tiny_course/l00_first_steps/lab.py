# %% [markdown]
# # First steps: the lab
# At the end you have a softmax.

# %%
import torch

# %% [raw] card="double"
# title = "Twice as much"
# purpose = "The smallest exercise there is."
# difficulty = 1
# importance = 1
# minutes = 5
# points = 1
# nudge = "What is the sum of a number and itself?"
# idea = "Add the tensor to itself, or multiply it by two."
# outline = """
# 1. Multiply `x` by 2.
# 2. Return the result.
# """
# look = "Why does the shape stay the same?"

# %% [markdown]
# Return every number of `x`, doubled.


# %% answer="double"
def double(x: torch.Tensor) -> torch.Tensor:
    """Return 2x, in the shape of x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% [raw] card="quadruple"
# title = "Four times as much"
# purpose = "An exercise that uses an earlier one."
# difficulty = 1
# importance = 2
# minutes = 25
# points = 1
# uses = ["double"]
# renamed_from = ["fourfold"]
# nudge = "What happens when you double twice?"
# idea = "Call `double` on what `double` returns."
# outline = "Double `x`. Double the result. Return it."

# %% [markdown]
# Return every number of `x`, times four. Use `double`.


# %% answer="quadruple"
def quadruple(x: torch.Tensor) -> torch.Tensor:
    """Return 4x, in the shape of x."""
    ### BEGIN SOLUTION
    return double(double(x))
    ### END SOLUTION


# %% [raw] card="row_softmax"
# title = "A softmax for each row"
# purpose = "Every attention pattern is a softmax."
# difficulty = 2
# importance = 5
# minutes = 30
# points = 2
# nudge = "Which numbers should sum to 1?"
# idea = "Exponentials, divided by their sum over the row."
# outline = "Take the exponentials. Sum them over the last axis and keep it. Divide."
# look = "Now feed it scores of 1000. What do you see?"

# %% [markdown]
# Return the softmax of each row.


# %% answer="row_softmax"
def row_softmax(scores: torch.Tensor) -> torch.Tensor:
    """Return probabilities of the shape of `scores`, (query, key); every row sums to 1."""
    ### BEGIN SOLUTION
    shifted = scores - scores.max(dim=-1, keepdim=True).values
    return shifted.exp() / shifted.exp().sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %%
print(row_softmax(torch.tensor([[1.0, 2.0], [3.0, 3.0]])))
