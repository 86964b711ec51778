"""A whole course in miniature, written into a temporary folder: one lesson, two exercises, nothing wrong with it.

`plant(folder)` writes it, `plant(folder, ("lab.py", old, new), ...)` writes it with faults. The contract's tests plant one
fault at a time and look for it under the right rule.
"""

from pathlib import Path

from mechinterp_course.tutor.catalog import Course, course

COURSE = """\
title = "A course in miniature"

[[lesson]]
number = "00"
slug = "rows"
title = "Rows"
summary = "Sum and scale the rows of a tensor."
minutes = 10
prerequisites = []

[map]
00 = "Rows"
01 = "Columns"
"""

GLOSSARY = """\
[terms]
"row sum" = "The sum of the numbers in one row of a matrix."
"tensor" = "A block of numbers with named axes."
"""

PAPERS = """\
[[paper]]
id = "someone2020"
kind = "paper"
authors = "Someone et al."
year = 2020
title = "On Rows"
address = "https://example.org/rows"
minutes = 10
checked = "unchecked"
"""

HOME = """\
# %% [markdown]
# # Welcome
#
# [[contents]]
"""

LESSON = """\
# %% [markdown]
# # Rows
#
# What a [[term:row sum]] is.

# %% [markdown]
# ## Core Learning

# %%
import torch

from mechinterp_course import predict, reveal

# %% [raw] predict="rows-sum"
# question = "A row holds 1, 2 and 3. What is its sum?"
# choices = ["6", "3"]
# answer = 0
# why = ["Right: 1 + 2 + 3.", "That is how many there are."]

# %% [markdown]
# ### The picture

# %%
print(torch.tensor([1.0, 2.0, 3.0]).sum())

# %%
reveal("rows-sum")

# %% [raw] predict="rows-mean"
# question = "And its mean?"
# choices = ["2", "3"]
# answer = 0
# why = ["Right: 6 / 3.", "That is the largest."]

# %%
print(torch.tensor([1.0, 2.0, 3.0]).mean())

# %%
reveal("rows-mean")

# %% [markdown]
# ## Watch
#
# Nothing yet.

# %% [markdown]
# ## Read
#
# 1. [[paper:someone2020]]

# %% [markdown]
# ## Do
#
# Go to [[lab:00]].

# %% [markdown]
# ## ML Connection
#
# Attention sums rows.

# %% [markdown]
# ## What this does not show
#
# Much.

# %% [markdown]
# ## Questions I still have
#
# Write them here.
"""

LAB = '''\
# %% [markdown]
# # Rows: the lab
#
# You will have two functions at the end.

# %%
import torch

# %% [raw] card="row_sums"
# title = "The sum of each row"
# purpose = "A softmax divides by one."
# difficulty = 1
# importance = 3
# minutes = 5
# points = 1
# uses = []
# nudge = "Which axis is a row?"
# idea = "Add along the last axis."
# outline = "Take the matrix. Sum over its last axis."
# look = "Why the last axis?"

# %% [markdown]
# Return the sum of each row, as in [[lesson:00]].

# %% answer="row_sums"
def row_sums(matrix: torch.Tensor) -> torch.Tensor:
    """Return the sum of each row of `matrix` (rows, columns)."""
    ### BEGIN SOLUTION
    return matrix.sum(dim=-1)
    ### END SOLUTION

# %%
row_sums(torch.ones(2, 3))

# %% [raw] card="scaled_rows"
# title = "Rows that sum to 1"
# purpose = "An attention pattern has such rows."
# difficulty = 2
# importance = 4
# minutes = 10
# points = 2
# uses = ["row_sums"]
# nudge = "What does a row have to be divided by?"
# idea = "Divide each row by its sum."
# outline = "Take the sums. Give them a second axis. Divide."
# look = "What if a row sums to 0?"

# %% [markdown]
# Divide each row by its sum.

# %% answer="scaled_rows"
def scaled_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Return `matrix` with every row divided by its sum."""
    ### BEGIN SOLUTION
    totals = row_sums(matrix).unsqueeze(-1)
    return matrix / totals
    ### END SOLUTION

# %%
scaled_rows(torch.ones(2, 4))
'''

CHECKS = """\
import torch

from mechinterp_course.tutor.checks import Exercise, expect

sums = Exercise("row_sums")


@sums.check("each entry is the sum of a row")
def adds_up(answer, draw):
    matrix = draw.normal(3, 4)
    expect.close(answer(matrix), torch.einsum("rc -> r", matrix), "the row sums")


@sums.wrong("sum over the wrong axis", "You added up the columns; a row is along the last axis.")
def columns(matrix):
    return matrix.sum(dim=0)


@sums.wrong("mean instead of sum", "Your numbers are the rows' means; leave out the division.")
def means(matrix):
    return matrix.mean(dim=-1)


@sums.variation("a loop")
def loop(matrix):
    return torch.stack([sum(row) for row in matrix])


scaled = Exercise("scaled_rows")


@scaled.check("every row sums to 1")
def sums_to_one(answer, draw):
    matrix = draw.uniform(3, 4, low=1.0, high=2.0)
    expect.close(answer(matrix).sum(dim=-1), torch.ones(3), "the sum of each row")


@scaled.check("the order within a row stays", hidden=True)
def keeps_ratios(answer, draw):
    matrix = draw.uniform(2, 3, low=1.0, high=2.0)
    ratio = answer(matrix) / matrix
    expect.close(ratio[:, 0], ratio[:, 1], "the ratio of the first two columns")


@scaled.wrong("divides columns by their sums", "Each column sums to 1; divide by the sums of the rows.")
def by_columns(matrix):
    return matrix / matrix.sum(dim=0)


@scaled.wrong("divides by the largest entry", "Each row's largest entry is 1; its sum should be.")
def by_largest(matrix):
    return matrix / matrix.max(dim=-1, keepdim=True).values


@scaled.variation("keepdim")
def keepdim(matrix):
    return matrix / matrix.sum(dim=-1, keepdim=True)
"""

FILES = {
    "course.toml": COURSE,
    "glossary.toml": GLOSSARY,
    "papers.toml": PAPERS,
    "home.py": HOME,
    "l00_rows/lesson.py": LESSON,
    "l00_rows/lab.py": LAB,
    "l00_rows/checks.py": CHECKS,
}


def plant(folder: Path, *faults: tuple[str, str, str]) -> Course:
    """Write the course below `folder`, each fault a (file, old text, new text), and return it."""
    texts = dict(FILES)
    for file, old, new in faults:
        path = next(name for name in texts if name.endswith(file))
        assert texts[path].count(old) >= 1, f"{file} has no {old!r}"
        texts[path] = texts[path].replace(old, new, 1)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return course(folder)
