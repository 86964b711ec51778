"""The optimizer of a recipe and its learning rate, step by step. Must not import TransformerLens; torch only when one is made."""

import math

from mechinterp_course.interp.recipes import MuonRecipe, Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to `lr_end` of the highest. After a `restart`, straight down from its own to 0."""
    end = recipe.steps
    if isinstance(recipe, MuonRecipe) and 0 < recipe.restart < end:
        if recipe.restarted(step):
            return recipe.restart_lr * (end - step) / (end - recipe.restart)
        end = recipe.restart
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, end - recipe.warmup)
    return recipe.lr * (recipe.lr_end + (1 - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


def new_optimizer(model, recipe: Recipe):
    """AdamW; weight decay on matrices, none on biases and LayerNorms. A `MuonRecipe` has Muon for the blocks' matrices."""
    import torch

    learnt = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    muon = isinstance(recipe, MuonRecipe)
    inner = [p for name, p in learnt if muon and p.dim() == 2 and ".h." in name]
    matrices = [p for name, p in learnt if p.dim() >= 2 and not (muon and ".h." in name)]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in learnt if p.dim() < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas)
    if not muon:
        return adam
    # match_rms_adamw: a step as large as AdamW's, so that one learning rate serves both.
    how = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
    return Together(torch.optim.Muon(inner, **how), adam)


class Together:
    """Several optimizers that are used as one."""

    def __init__(self, *parts):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict]:
        """The groups of all."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """One step of each."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict:
        """The states of all, in their order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict) -> None:
        """Put the states of all back."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
