"""What a model holds at one hook over many files: tokens cut into windows, split by file, and their activations as one tensor.

A model is run only as far as the hook. The first position of a window (BOS) is left out: what stands there is the same in every
window, often hundreds of times as long as anything else, and no autoencoder should spend itself on it.
The model is any bridge. Must not import TransformerLens, or anything of courses.
"""

import contextlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError

WIDTH = 255  # tokens of a window of the code models, behind BOS


class Windows(NamedTuple):
    """Stretches of files that the model reads one by one."""

    tokens: Int[Tensor, "window pos"]  # BOS first
    file: Int[Tensor, " window"]  # the number of the file that each was cut from
    start: Int[Tensor, " window"]  # which token of the file comes first, behind BOS

    def take(self, which) -> "Windows":
        """Return some of the windows: by a slice, a mask or their numbers."""
        return Windows(*(part[which] for part in self))


def windows(files: Sequence[Sequence[int]], width: int = WIDTH, bos: int = 0) -> Windows:
    """Cut files (token ids without BOS) into whole windows of `width` tokens, side by side, and put BOS before each.

    What is left over at a file's end is not used. Raises CourseError where no file is long enough.
    """
    rows, file, start = [], [], []
    for number, ids in enumerate(files):
        ids = torch.as_tensor(ids).long()
        for first in range(0, len(ids) - width + 1, width):
            rows.append(ids[first : first + width])
            file.append(number)
            start.append(first)
    if not rows:
        raise CourseError(
            f"No file has {width} tokens, so there is no window.", "Give longer files, or a smaller width."
        )
    tokens = torch.nn.functional.pad(torch.stack(rows), (1, 0), value=bos)
    return Windows(tokens, torch.tensor(file), torch.tensor(start))


def split(found: Windows, share: float = 0.2, seed: int = 0) -> tuple[Windows, Windows]:
    """Return windows to learn from and windows to judge by, about `share` of them in the second; no file has windows in both."""
    numbers = found.file.unique()
    if len(numbers) < 2:
        raise CourseError("All windows are of one file, so they cannot be split by file.", "Give at least two files.")
    order = numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(seed))]
    sizes = torch.stack([(found.file == number).sum() for number in order]).cumsum(0)
    count = int((sizes <= share * len(found.file)).sum())
    held_out = torch.isin(found.file, order[: min(max(count, 1), len(numbers) - 1)])
    return found.take(~held_out), found.take(held_out)


def collect(
    model,
    hook_name: str,
    tokens: Int[Tensor, "window pos"],
    *,
    batch: int = 16,
    dtype: torch.dtype = torch.float32,
    keep_first: bool = False,
    progress: bool = True,
) -> Float[Tensor, "window pos d_model"]:
    """Return what the model holds at one hook, for every position of every window but the first. Hooks that hang on the model act.

    To train on: `.flatten(0, 1)`. dtype: how they are stored; float16 takes half of the room. keep_first: also the first position.
    """
    return collect_many(model, [hook_name], tokens, batch=batch, dtype=dtype, keep_first=keep_first, progress=progress)[
        hook_name
    ]


@torch.no_grad()
def collect_many(
    model,
    hook_names: Sequence[str],
    tokens: Int[Tensor, "window pos"],
    *,
    batch: int = 16,
    dtype: torch.dtype = torch.float32,
    keep_first: bool = False,
    progress: bool = True,
) -> dict[str, Float[Tensor, "window pos d_model"]]:
    """Return the activations at several hooks, from one run of the model over all windows."""
    from tqdm import tqdm

    for name in hook_names:
        if name not in model.hook_dict:
            raise CourseError(f"The model has no hook {name!r}.", "cache.hook_table(model) lists them.")
    found: dict[str, Tensor] = {}
    parts = range(0, len(tokens), batch)
    bar = dict(file=sys.stdout, delay=5, mininterval=1, leave=False, disable=not progress)
    for at in tqdm(parts, desc="reading activations", **bar):
        caught = _run_until(model, hook_names, tokens[at : at + batch])
        for name, values in caught.items():
            if values.shape[:2] != tokens[at : at + batch].shape:
                raise CourseError(
                    f"{name} holds no vector for each window and position: its shape is {tuple(values.shape)}.",
                    "Take a hook of the stream, of attn_out, mlp_out or z; for patterns use cache.run_with_cache.",
                )
            values = values if keep_first else values[:, 1:]
            if name not in found:
                found[name] = torch.empty(len(tokens), *values.shape[1:], dtype=dtype)
            found[name][at : at + batch] = values
    return found


class _Enough(Exception):
    """All that was asked for has been seen: the rest of the model need not run."""


def _run_until(model, hook_names: Sequence[str], tokens: Tensor) -> dict[str, Tensor]:
    caught: dict[str, Tensor] = {}

    def catch_as(name: str):  # the hook's own name may be another one: hook_resid_post is an alias
        def catch(value, hook):
            caught[name] = value
            if len(caught) == len(set(hook_names)):
                raise _Enough

        return catch

    with contextlib.suppress(_Enough):  # the run takes its own hooks off, and leaves those of others
        model.run_with_hooks(tokens, fwd_hooks=[(name, catch_as(name)) for name in hook_names])
    return caught
