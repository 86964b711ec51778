# %% [markdown]
# # The loss of a token

# %%
from mechinterp_course import predict, reveal

# %% [markdown]
# ## Core Learning
# A loss is a surprise.

# %% [raw] predict="uniform-loss"
# question = "A model gives 8 tokens the same probability. What is its loss, in nats?"
# choices = ["about 0.13", "about 2.1", "about 3"]
# answer = 1
# why = ["That is the probability, 1/8.", "Right: the logarithm of 8.", "That is in bits: log2 of 8."]

# %%
reveal("uniform-loss")

# %% [raw] predict="sure-loss"
# question = "A model is certain, and right. What is its loss?"
# choices = ["0", "1"]
# answer = 0
# why = ["Right: minus the logarithm of 1.", "That is the probability."]

# %%
reveal("sure-loss")

# %% [markdown]
# ## Watch
# Nothing yet.

# %% [markdown]
# ## Read
# [[paper:elhage2021]]

# %% [markdown]
# ## Do
# [[lab:01]]

# %% [markdown]
# ## ML Connection
# The loss is what training lowers.

# %% [markdown]
# ## What this does not show
# Whether a low loss is useful.

# %% [markdown]
# ## Questions I still have
# -
