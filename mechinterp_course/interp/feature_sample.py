"""The text that features are looked at on: windows of tokens, the file that each comes from, and what is true of each token.

`code_sample()` is the bundled sample with its exact labels; `text_sample` makes one of any texts. Must not import TransformerLens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import labels
from mechinterp_course.interp.activations import collect_many
from mechinterp_course.interp.tokenizer import CodeTokenizer

WINDOW = 255  # tokens of a file that the model reads at once, behind BOS


@dataclass(frozen=True)
class Sample:
    """Windows of text. A *token* of a sample is counted through all windows, BOS left out: token = window * length + place.

    ids: (window, length), without BOS. files: the names of the files; file_of: (window,), which of them each comes from.
    texts: the text of every token id that occurs; decode: the text of any id. labels: as `labels.LABELS`, each (token,); empty for
    text that is not Python.
    """

    ids: Int[Tensor, "window length"]
    bos: int
    files: list[str]
    file_of: np.ndarray
    texts: dict[int, str]
    decode: Callable[[int], str]
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """How many tokens a window has, without BOS."""
        return self.ids.shape[1]

    @property
    def n_tokens(self) -> int:
        return self.ids.numel()

    @property
    def windows(self) -> Int[Tensor, "window pos"]:
        """What the model reads: BOS, then the window. Place i of a window is position i + 1."""
        return torch.nn.functional.pad(self.ids, (1, 0), value=self.bos)

    @property
    def halves(self) -> tuple[Bool[np.ndarray, "token"], Bool[np.ndarray, "token"]]:
        """(chosen on, scored on): tokens of the files with even numbers, and of those with odd numbers."""
        even = np.repeat(self.file_of % 2 == 0, self.length)
        return even, ~even

    def text_of(self, token: int) -> str:
        """The text of one token of the sample."""
        return self.texts[int(self.ids.reshape(-1)[token])]


def code_sample(most: int | None = None, length: int = WINDOW) -> Sample:
    """The bundled sample of Python source, cut into windows of `length` tokens; what is left at a file's end is not used.

    most: at most so many windows, taken evenly from all of them. The text is of the test split: no bundled model or SAE learnt on it.
    """
    files = labels.sample()
    code = CodeTokenizer()
    texts = {i: code.decode([i]) for i in range(code.d_vocab)}
    found = [_cut(file.ids.astype(np.int64), length) for file in files]
    named = {name: [_cut(file.labels[name], length) for file in files] for name in labels.LABELS}
    keep = _evenly(sum(map(len, found)), most)
    return Sample(
        ids=torch.from_numpy(np.concatenate(found)[keep]),
        bos=code.bos_token_id,
        files=[file.path for file in files],
        file_of=np.repeat(np.arange(len(files)), [len(part) for part in found])[keep],
        texts=texts,
        decode=lambda i: code.decode([i]),
        labels={name: np.concatenate(parts)[keep].reshape(-1) for name, parts in named.items()},
    )


def text_sample(tokenizer, documents: Sequence[tuple[str, str]], length: int = 127, most: int | None = None) -> Sample:
    """A sample of any texts: documents are (name, text). There are no labels; rules are then about the text of tokens alone.

    tokenizer: as `models.tokenizer(name)` gives it. Raises CourseError where no document fills a window of `length` tokens.
    """
    found = [_cut(np.array(tokenizer.ids(text), dtype=np.int64), length) for _, text in documents]
    total = sum(map(len, found))
    if not total:
        raise CourseError(
            f"None of the {len(documents)} documents has {length} tokens, so there is no window to read.",
            "Give longer documents, or a smaller length.",
        )
    keep = _evenly(total, most)
    ids = np.concatenate(found)[keep]
    return Sample(
        ids=torch.from_numpy(ids),
        bos=tokenizer.bos_token_id,
        files=[name for name, _ in documents],
        file_of=np.repeat(np.arange(len(documents)), [len(part) for part in found])[keep],
        texts={int(i): tokenizer.decode([i]) for i in np.unique(ids)},
        decode=lambda i: tokenizer.decode([i]),
    )


def _cut(values: np.ndarray, length: int) -> np.ndarray:
    """Whole windows of a file: (window, length)."""
    whole = len(values) // length
    return values[: whole * length].reshape(whole, length)


def _evenly(there: int, most: int | None) -> np.ndarray:
    """Which windows to keep, at even steps."""
    return np.linspace(0, there - 1, min(most or there, there)).astype(int)


# --- what the model holds -----------------------------------------------------------------------------------------


class Read(NamedTuple):
    """Activations of a model on a sample, BOS left out."""

    x: Float[Tensor, "token d_in"]  # at the hook of the SAE
    neurons: Float[Tensor, "token d_mlp"] | None  # of the MLP of that layer; None where there is none


def read(model, sample: Sample, hook: str, neurons: bool = True) -> Read:
    """Run the model on the windows and keep what it holds at `hook`; with `neurons`, also the MLP's neurons of that layer."""
    wanted, post = [hook], f"blocks.{layer_of(hook)}.mlp.hook_post"
    if neurons and post in model.hook_dict:
        wanted.append(post)
    found = collect_many(model, wanted, sample.windows)
    return Read(found[hook].flatten(0, 1), found[post].flatten(0, 1) if len(wanted) > 1 else None)


def layer_of(hook: str) -> int | None:
    """The layer in the name of a hook: 2 for "blocks.2.hook_resid_post"; None where there is none."""
    parts = hook.split(".")
    return int(parts[1]) if parts[0] == "blocks" and len(parts) > 1 and parts[1].isdigit() else None
