"""What a mixture recipe learns from: random tokens that repeat, mixed with Python source; and how its model begins.

On source alone no induction head forms in the time there is. So training begins with loops of random tokens, and goes over
to source. `code-4l` also sees made-up functions with docstrings to the end. Must not import TransformerLens; imports torch only when something is made.
"""

import math

from mechinterp_course.interp import docstrings, tokenizer
from mechinterp_course.interp.recipes import AttentionRecipe, MixtureRecipe

BOS = 0
FORM = (
    "GPT-2 (Hugging Face GPT2LMHeadModel): learned positions that began as sinusoids, LayerNorm, gelu_new, embedding and "
    "unembedding apart"
)
FORM_WITHOUT_MLPS = (
    "GPT-2 (Hugging Face GPT2LMHeadModel) without MLPs: each has one hidden unit, and all its weights are zero; learned "
    "positions that began as sinusoids, LayerNorm, embedding and unembedding apart"
)
SHORTEST = 8  # tokens of the shortest loop or copied chunk


def batch_of(stream, recipe: MixtureRecipe, step: int):
    """The batch of a step, which depends on seed and step alone: loops, copies, windows of source, then made-up
    functions. BOS first."""
    import torch

    rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    _, rows, width, n_loops, n_copies, *made_up = recipe.stage(step)
    n_made_up = sum(made_up)
    starts = torch.randint(len(stream) - width + 2, (rows - n_loops - n_copies - n_made_up, 1), generator=rng)
    source = stream[starts + torch.arange(width - 1)]
    parts = [loops(n_loops, width - 1, rng), copies(n_copies, width - 1, rng), source]
    if n_made_up:
        parts.append(docstrings.rows(n_made_up, width - 1, recipe.seed, step, recipe.restarted(step)))
    return torch.nn.functional.pad(torch.cat(parts), (1, 0), value=BOS)


def _random_tokens(rows: int, width: int, rng):
    import torch

    return torch.randint(1, tokenizer.VOCABULARY, (rows, width), generator=rng)


def loops(rows: int, width: int, rng):
    """A segment of random tokens, repeated to the end of the row; its length is different in each row. Shape (rows, width)."""
    import torch

    period = torch.randint(SHORTEST, width // 2, (rows, 1), generator=rng)
    return _random_tokens(rows, width, rng).gather(1, torch.arange(width) % period)


def copies(rows: int, width: int, rng):
    """Random tokens, among which one chunk comes a second time, anywhere later. Shape (rows, width).

    A seventh of the tokens stand in the second copy, about as many as chance would draw from all that came before. So it does
    not pay to guess that any earlier token comes again: what pays is to find the place.
    """
    import torch

    length = torch.randint(SHORTEST, width // 4, (rows, 1), generator=rng)
    room = width - 2 * length + 1
    first = (torch.rand(rows, 1, generator=rng) * room).long()
    second = first + length + (torch.rand(rows, 1, generator=rng) * (room - first)).long()
    place = torch.arange(width).expand(rows, width)
    inside = (place >= second) & (place < second + length)
    return _random_tokens(rows, width, rng).gather(1, torch.where(inside, place - second + first, place))


def start(model, recipe: MixtureRecipe) -> None:
    """Give a fresh GPT-2 the weights that the recipe begins with, on its seed; those of MLPs to do without become zero and
    stay so.

    The positions begin as sinusoids and are then learnt: "one step back" is the same linear map at every position, so a
    previous-token head that forms in the short rows of the beginning also serves the later positions. Where there are MLPs,
    what attention and they write to the stream begins smaller by 1/sqrt(2 n_layers), as in GPT-2.
    """
    import torch

    rng = torch.Generator().manual_seed(recipe.seed)
    without_mlps = isinstance(recipe, AttentionRecipe)
    small = 1.0 if without_mlps else (2 * recipe.n_layers) ** -0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            never = without_mlps and ".mlp." in name
            if never or name.endswith("bias"):
                weight.zero_()
                weight.requires_grad_(not never)
            elif name.endswith(("c_attn.weight", "c_fc.weight")):
                weight.normal_(std=recipe.d_model**-0.5, generator=rng)
            elif name.endswith("c_proj.weight"):
                weight.normal_(std=small * len(weight) ** -0.5, generator=rng)
            elif name.endswith("wte.weight"):
                weight.normal_(std=recipe.embed_std, generator=rng)
            elif name.endswith("wpe.weight"):
                weight.copy_(sinusoids(recipe.n_ctx, recipe.d_model, rng) * recipe.embed_std)
        turn = torch.linalg.qr(torch.randn(recipe.d_model, recipe.d_model, generator=rng)).Q
        model.lm_head.weight.copy_(model.transformer.wte.weight @ turn / (recipe.embed_std * recipe.d_model**0.5))


def sinusoids(positions: int, width: int, rng):
    """Sines and cosines of `positions` at random frequencies, with mean square 1: near orthogonal, as random vectors are."""
    import torch

    angles = torch.arange(positions)[:, None] * torch.rand(width // 2, generator=rng) * math.pi
    return torch.cat([angles.sin(), angles.cos()], dim=1) * 2**0.5
