# %% [markdown]
# # The loss of a token: the lab
# At the end you can read a loss off the log probabilities.

# %%
import torch

# %% [raw] card="token_loss"
# title = "One loss for each token"
# purpose = "What a language model is trained on."
# difficulty = 2
# importance = 3
# minutes = 15
# points = 1
# nudge = "Which of the probabilities matters?"
# idea = "Pick the log probability of the token that came, and change its sign."
# outline = "Gather along the last axis at `tokens`. Change the sign."

# %% [markdown]
# Return minus the log probability of each token.


# %% answer="token_loss"
def token_loss(log_probs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return the loss of each token. log_probs: (pos, d_vocab). tokens: (pos,). Returns: (pos,)."""
    ### BEGIN SOLUTION
    return -log_probs.gather(-1, tokens[:, None])[:, 0]
    ### END SOLUTION
