# %% [markdown]
# # First steps

# %%
import torch

from mechinterp_course import predict, quiz, reveal

# %% [markdown]
# ## Core Learning
# A [[term:softmax]] turns scores into probabilities.

# %% [raw] predict="softmax-shift"
# question = "You add *100* to every score. What does `softmax` return?"
# choices = ["the same probabilities", "probabilities near 1", "`nan` & <nothing> else"]
# answer = 0
# why = [
#     "Right: the factor `exp(100)` stands above and below the line.",
#     "A reasonable guess: every score grew, but so did the sum.",
#     "That happens with the naive formula, when a score passes 88.",
# ]

# %%
torch.softmax(torch.tensor([1.0, 2.0]) + 100, dim=-1).sum()

# %%
reveal("softmax-shift")

# %% [raw] quiz="row-axis"
# question = "Scores have shape `(query, key)`. Over which axis does the softmax run?"
# choices = ["query", "key"]
# answer = 1
# why = ["Then each key would share out its attention.", "Right: each query shares out its attention over the keys."]

# %% [markdown]
# ## Watch
# Nothing yet.

# %% [markdown]
# ## Read
# [[paper:elhage2021]]

# %% [markdown]
# ## Do
# [[lab:00]]

# %% [markdown]
# ## ML Connection
# Every classifier ends in a softmax.

# %% [markdown]
# ## What this does not show
# What a model does with its probabilities.

# %% [markdown]
# ## Questions I still have
# -
