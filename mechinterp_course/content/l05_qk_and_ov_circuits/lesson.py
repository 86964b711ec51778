# %% [markdown]
# # QK and OV circuits

# %% [markdown]
# ## Core Learning

# %%
import torch

from mechinterp_course import predict, quiz, reveal

# %% [markdown]
# ## Watch

# %% [markdown]
# ## Read

# %% [markdown]
# ## Do

# %% [markdown]
# ## ML Connection

# %% [markdown]
# ## What this does not show

# %% [markdown]
# ## Questions I still have
