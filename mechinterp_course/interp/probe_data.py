"""What probes are made and tested on: windows of whole files with a yes or no for each token, and the model's vectors there.

The labels are exact: they come from Python's own `tokenize` and `ast`, through the bundled sample. Files are the unit that is split,
because tokens of one file resemble each other. Must not import TransformerLens; the model is any bridge.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import labels
from mechinterp_course.interp.roles import ROLES

WINDOW = 255  # tokens of a file that the model reads at once, behind BOS
# What is told apart: each a yes or no of a token, from the labels of the bundled sample.
QUESTIONS = {
    "in_string": lambda found: found["in_string"],
    "in_comment": lambda found: found["in_comment"],
    "in_docstring": lambda found: found["in_docstring"],
    "keyword": lambda found: found["keyword"],
    "in_brackets": lambda found: found["bracket_depth"] > 0,
    "two_blocks_deep": lambda found: found["indentation_depth"] >= 2,
    "seen_before": lambda found: found["seen_before"],
    "parameter": lambda found: found["name_role"] == ROLES.index("parameter"),
    "attribute": lambda found: found["name_role"] == ROLES.index("attribute"),
}
ONLY_NAMES = {"seen_before", "parameter", "attribute"}  # asked of tokens that belong to names alone


class Tokens(NamedTuple):
    """Windows of some files, and what is known of each of their tokens, BOS left out."""

    windows: Int[Tensor, "window pos"]  # BOS first
    answers: dict[str, Bool[Tensor, "token"]]
    names: Bool[Tensor, "token"]  # whether the token belongs to a name
    file: Int[Tensor, "token"]  # which of the files it comes from, counted from 0

    @property
    def ids(self) -> Int[Tensor, "token"]:
        """The token ids: the type of each token."""
        return self.windows[:, 1:].flatten()


def tokens(files: list[labels.LabelledFile], most: int | None = None, each: int | None = None) -> Tokens:
    """Whole windows of these files, in their order; what is left at a file's end is not used.

    most: at most so many windows in all, taken evenly. each: at most so many of a file, taken evenly, so that no long file outweighs
    the others. Raises CourseError where no file is long enough.
    """
    windows, chosen, origin = [], [], []
    for number, file in enumerate(files):
        starts = range(0, len(file.ids) - WINDOW + 1, WINDOW)
        for start in [starts[i] for i in _evenly(len(starts), each)]:
            part = slice(start, start + WINDOW)
            windows.append(torch.from_numpy(file.ids[part].astype(np.int64)))
            chosen.append({name: values[part] for name, values in file.labels.items()})
            origin.append(number)
    if not windows:
        raise CourseError(f"None of these files has a window of {WINDOW} tokens.", "Give more files, or longer ones.")
    keep = _evenly(len(windows), most)
    found = {name: np.concatenate([chosen[i][name] for i in keep]) for name in labels.LABELS}
    answers = {name: torch.from_numpy(np.asarray(ask(found))) for name, ask in QUESTIONS.items()}
    together = torch.nn.functional.pad(torch.stack([windows[i] for i in keep]), (1, 0), value=0)
    file = torch.tensor([origin[i] for i in keep]).repeat_interleave(WINDOW)
    return Tokens(together, answers, torch.from_numpy(found["name_role"] > 0), file)


def _evenly(there: int, most: int | None) -> np.ndarray:
    """The numbers of at most `most` of so many things, first and last among them."""
    return np.linspace(0, there - 1, there if most is None else min(most, there)).astype(int)


def split(seed: int = 0, validation: int = 8, test: int = 10, each: int = 8) -> dict[str, Tokens]:
    """The bundled sample in three parts that share no file: "train", "validation" and "test".

    Files with at least one whole window are shuffled with the seed; so many go to validation and to test, the rest to training.
    each: at most so many windows of a file.
    """
    files = [file for file in labels.sample() if len(file.ids) >= WINDOW]
    if validation + test >= len(files):
        raise CourseError(
            f"{validation} + {test} files leave none of {len(files)} to train on.",
            "Ask for fewer in the two other parts.",
        )
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed)).tolist()
    ends = {"validation": (0, validation), "test": (validation, validation + test), "train": (validation + test, None)}
    return {
        part: tokens([files[i] for i in order[slice(*ends[part])]], each=each)
        for part in ("train", "validation", "test")
    }


def places(model) -> dict[str, str]:
    """Where the vectors are read: a name for each place, and its hook. "embedding" is the token's vector, without its position."""
    return {"embedding": "hook_embed"} | {
        f"layer {i}": f"blocks.{i}.hook_resid_post" for i in range(model.cfg.n_layers)
    }


def streams(
    model, windows: Int[Tensor, "window pos"], only: list[str] | None = None
) -> dict[str, Float[Tensor, "token d_model"]]:
    """The vectors that the cuts are made in, BOS left out: the embedding, and the stream after each layer; or `only` some of them."""
    hooks = places(model)
    for place in only or []:
        if place not in hooks:
            raise unknown("place", place, list(hooks))
    hooks = {place: hooks[place] for place in only or hooks}
    parts: dict[str, list[Tensor]] = {place: [] for place in hooks}
    for some in windows.split(16):
        with torch.no_grad():
            _, cache = model.run_with_cache(some, names_filter=list(hooks.values()))
        for place, hook in hooks.items():
            parts[place].append(cache[hook][:, 1:].flatten(0, 1).clone())
    return {place: torch.cat(vectors) for place, vectors in parts.items()}
