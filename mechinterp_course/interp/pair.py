"""A clean and a corrupted prompt, run once each, with a metric that tells them apart: what every patching experiment starts from.

Must not import TransformerLens, draw, or know anything of courses.
"""

import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import metrics
from mechinterp_course.interp.cache import Tokens
from mechinterp_course.interp.forward import Run, Transformer, check_logits
from mechinterp_course.interp.metrics import Metric
from mechinterp_course.interp.rerun import Patch, Rerun
from mechinterp_course.interp.residual import as_tokens, position_labels
from mechinterp_course.interp.sweep import DIRECTIONS, Axis, Sweep

ROWS = 2048  # positions in one batch of patched runs, unless batch_size says otherwise: about 50 MB for SmolLM2
UNEMBEDDED = 256  # positions whose logits are in memory at one time


class Pair:
    """Both runs of a pair of prompts, the metric's scale between them, and patched runs of one by the other."""

    def __init__(self, model, clean: Tokens, corrupted: Tokens, metric, direction: str):
        """Run both prompts. Raises CourseError where they cannot be compared, or the metric does not tell them apart."""
        if direction not in DIRECTIONS:
            raise unknown("direction", direction, DIRECTIONS)
        self.tokens = [as_tokens(model, prompt) for prompt in (clean, corrupted)]
        same_shape(*self.tokens)
        self.metric, self.direction, self.labels = metric, direction, position_labels(model, torch.cat(self.tokens))
        self.length = self.tokens[0].shape[1]
        if self.length > model.cfg.n_ctx:
            raise CourseError(
                f"The prompts have {self.length} tokens, and the model reads {model.cfg.n_ctx}.", "Shorten them."
            )
        with torch.no_grad():
            self.net = Transformer(model, self.length)
            self.clean, self.corrupted = (self.net.run(tokens) for tokens in self.tokens)
            check_logits(model, torch.cat(self.tokens), torch.cat([self.clean.logits, self.corrupted.logits]))
        ends = [metrics.each(metric, run.logits) for run in (self.clean, self.corrupted)]
        self.scale = metrics.Scale(*(end.mean().item() for end in ends))
        self.unpatched = ends[direction == "denoising"]  # (batch,), the metric of the base run
        runs = (self.corrupted, self.clean) if direction == "denoising" else (self.clean, self.corrupted)
        self.positions = self._positions()
        # Nothing after the last position that the metric reads can matter: attention looks back only.
        self.base, self.source = (_cut(run, self.positions[-1] + 1) for run in runs)

    def _positions(self) -> list[int]:
        """The positions that the metric reads; all of them for a function that does not say."""
        return [self.metric.pos % self.length] if isinstance(self.metric, Metric) else list(range(self.length))

    @cached_property
    def rerun(self) -> Rerun:
        return Rerun(self.net, self.base, self.positions)

    @property
    def metric_name(self) -> str:
        return metrics.name_of(self.metric)

    def attend(self, layer: int, **new: Tensor) -> Tensor:
        """z (batch, pos, head, d_head) of the base run with new queries, keys or values; exactly the base's where none changes."""
        parts = {letter: getattr(self.base, letter)[layer] for letter in "qkv"}
        if all(torch.equal(values, parts[letter]) for letter, values in new.items()):
            return self.base.z[layer]
        queries = torch.arange(parts["q"].shape[1], device=parts["q"].device)
        return self.net.attend(**(parts | new), queries=queries)

    # --- a sweep ----------------------------------------------------------------------------------------------------

    def sweep(
        self,
        activation: str,
        axes: list[Axis],
        patches: Iterable[tuple[tuple[int, ...], Patch | None]],
        batch_size: int | None,
        progress: bool,
        resume: Sweep | None,
    ) -> Sweep:
        """The metric of every patch, put at its index on the axes. `patches` come in the order of their places."""
        if batch_size is not None and batch_size < 1:
            raise CourseError(f"batch_size is {batch_size}: no run fits in it.", "Give 1 or more, or leave it out.")
        labels = tuple(tuple(axis.labels) for axis in axes)
        settings = (activation, self.direction, self.metric_name, labels, *map(_key, self.tokens))
        shape = [len(axis.labels) for axis in axes]
        values = torch.full((*shape, len(self.unpatched)), torch.nan, dtype=torch.float64)
        done = Sweep(activation, self.direction, self.metric_name, axes, values, self.scale, 0, settings)
        if resume is not None:
            _resumed(done, resume)
        size = max(1, (batch_size or ROWS // (self.base.resid[0].shape[1] * len(self.unpatched))))
        left = int(values.isnan().any(-1).sum())
        # On stdout: a line on stderr would cost a learner the cell's points. Nothing is drawn for a sweep of a second or two.
        from tqdm import tqdm

        bar = tqdm(total=left, file=sys.stdout, delay=2, leave=False, disable=not progress, desc="patched runs")
        try:
            with torch.no_grad(), bar:
                needed = self._needed(patches, done, bar)
                while batch := list(islice(needed, size)):
                    self._fill(done, batch)
                    bar.update(len(batch))
        except KeyboardInterrupt:
            missing = int(done.per_prompt.isnan().any(-1).sum())
            print(
                f"Interrupted: {left - missing} of {left} values are there. To go on, call again with resume=that_sweep."
            )
        return done

    def _needed(self, patches, done: Sweep, bar) -> Iterator[tuple[tuple[int, ...], Patch]]:
        """The patches that must be run; one that changes nothing gets the value of the unpatched run."""
        for index, patch in patches:
            if not done.per_prompt[index].isnan().any():
                continue
            if patch is None:
                done.per_prompt[index] = self.unpatched.cpu()
                bar.update()
            else:
                yield index, patch

    def _fill(self, done: Sweep, batch: list[tuple[tuple[int, ...], Patch]]) -> None:
        """Run a batch of patches and write their values."""
        streams = self.rerun.streams([patch for _, patch in batch])
        count = max(1, UNEMBEDDED // (streams.shape[1] * streams.shape[2]))
        for first in range(0, len(batch), count):
            logits = self.net.unembed(streams[first : first + count])
            for (index, _), own in zip(batch[first : first + count], logits, strict=True):
                done.per_prompt[index] = self._measure(own).cpu()
        done.runs += len(batch)

    def _measure(self, logits: Tensor) -> Tensor:
        """The metric of logits (batch, position, d_vocab) at the positions that it reads."""
        if isinstance(self.metric, Metric):
            return self.metric.read(logits[:, 0]).double()
        return metrics.each(self.metric, logits)


def _resumed(done: Sweep, before: Sweep) -> None:
    """Take over the values of an interrupted sweep of the same experiment."""
    ends = torch.tensor([[sweep.scale.clean, sweep.scale.corrupted] for sweep in (before, done)])
    if before.settings != done.settings or not torch.allclose(*ends, rtol=1e-4, atol=1e-4):
        raise CourseError(
            "That sweep is of another experiment: its prompts, metric, activation or direction differ.",
            "Resume with the arguments that the sweep was started with.",
        )
    done.per_prompt.copy_(before.per_prompt)
    done.runs = before.runs


def _key(tokens: Tensor) -> tuple:
    return tuple(map(tuple, tokens.tolist()))


def _cut(run: Run, length: int) -> Run:
    """The first `length` positions of a run."""
    lists = {name: [t[:, :length] for t in part] for name, part in vars(run).items() if isinstance(part, list)}
    return Run(logits=run.logits[:, :length], **lists)


def same_shape(clean: Tensor, corrupted: Tensor) -> None:
    """Raise CourseError unless both prompts, (batch, pos) each, have a partner for every position and every prompt."""
    if clean.shape[1] != corrupted.shape[1]:
        raise CourseError(
            f"The clean prompt has {clean.shape[1]} tokens and the corrupted one {corrupted.shape[1]}: "
            "a position of one has no partner in the other.",
            "Choose words of equally many tokens; model.to_str_tokens(text) shows them.",
        )
    if len(clean) != len(corrupted):
        raise CourseError(
            f"There are {len(clean)} clean prompts and {len(corrupted)} corrupted ones.", "Give them in pairs."
        )
