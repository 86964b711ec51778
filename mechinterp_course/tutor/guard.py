"""Calls a learner's function safely: inputs are copied, calls are recorded, and what goes wrong becomes a sentence.

`Guarded(name, answer)` stands in for the answer inside a check. Imports torch and `expect`.
"""

import inspect
import linecache
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .expect import Miss, describe, picture, show_index, show_shape

_PACKAGE = str(Path(__file__).resolve().parent.parent)


class Unsolved(Exception):
    """The code ran into a part that is not written yet: the function called `name`."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class Raised(Miss):
    """The answer raised an error of its own (kept as `__cause__`)."""


@dataclass(frozen=True)
class Call:
    """One call of the answer: the inputs as they were before it, and what it returned."""

    args: tuple
    kwargs: dict
    result: object = None
    seconds: float = 0.0


@dataclass
class Guarded:
    """The learner's function, made safe to call and remembering its calls."""

    name: str
    answer: Callable
    calls: list[Call] = field(default_factory=list)
    last: Call | None = None  # the call under way or just made, for the message
    attempts: int = 0  # calls begun; `calls` holds those that returned something and changed no input

    def __call__(self, *args, **kwargs):
        self.attempts += 1
        self.last = Call(copied(args), copied(kwargs))
        given, named = copied(args), copied(kwargs)
        started = time.thread_time()
        result = self._run(given, named)
        seconds = time.thread_time() - started
        self._expect_untouched((args, kwargs), (given, named))
        if result is None:
            raise Miss(f"{self.name} returned None. Does every path through it end in `return ...`?")
        self.last = Call(self.last.args, self.last.kwargs, copied(result), seconds)
        self.calls.append(self.last)
        return result

    def _run(self, args: tuple, kwargs: dict):
        try:
            return self.answer(*args, **kwargs)
        except (Miss, Unsolved):  # an answer that runs in another process has said there what went wrong
            raise
        except NotImplementedError as error:
            if not _is_starter_line(error):  # torch raises it too, for an operation that a type does not have
                raise Raised(_explain(self.name, error)) from error
            raise Unsolved(_function_of(error)) from error
        except (Exception, SystemExit) as error:
            raise Raised(_explain(self.name, error)) from error

    def _expect_untouched(self, before: tuple, after: tuple) -> None:
        for label, old, new in self._labelled(before, after):
            place = _changed(old, new)
            if place is not None:
                raise Miss(
                    f"{self.name} changed its input {label}{place}. Whoever calls it may still need the old "
                    "values: make a new tensor (x = x + …, not x += …), or copy first with .clone()."
                )

    def _labelled(self, before: tuple, after: tuple):
        names = _parameter_names(self.answer)
        for i, (old, new) in enumerate(zip(before[0], after[0], strict=True)):
            yield (names[i] if i < len(names) else f"number {i + 1}"), old, new
        for key in before[1]:
            yield key, before[1][key], after[1][key]

    def describe_call(self) -> str:
        """Return the last call in short: "stable_softmax(scores = [1000.0 1001.0])"."""
        if self.last is None:
            return ""
        names = _parameter_names(self.answer)
        parts = [f"{names[i] if i < len(names) else '…'} = {_brief(arg)}" for i, arg in enumerate(self.last.args)]
        parts += [f"{key} = {_brief(value)}" for key, value in self.last.kwargs.items()]
        return f"{self.name}({', '.join(parts)})"


def copied(value):
    """Return a copy of tensors, generators and containers of them; anything else (a model, a function) as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return value


def _changed(old, new) -> str | None:
    """Return where an input was first changed, such as `["W_E"] (at [0, 1])`, or None."""
    if isinstance(old, torch.Tensor):
        if not isinstance(new, torch.Tensor) or old.shape != new.shape:
            return ""
        different = (old != new) & ~((old != old) & (new != new))
        if not different.any():
            return None
        return f" (at {show_index(tuple(different.nonzero()[0].tolist()))})" if old.ndim else ""
    if isinstance(old, dict):
        if not isinstance(new, dict) or old.keys() != new.keys():
            return ""
        pairs = [(key, old[key], new[key]) for key in old]
    elif isinstance(old, (list, tuple)):
        if type(old) is not type(new) or len(old) != len(new):
            return ""
        pairs = [(i, a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        plain = isinstance(old, (str, int, float, bool)) and old == old  # nan is not even itself
        return "" if plain and (type(old) is not type(new) or old != new) else None
    found = ((key, _changed(a, b)) for key, a, b in pairs)
    return next((f"[{key!r}]{place}" for key, place in found if place is not None), None)


def _parameter_names(function: Callable) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _brief(value) -> str:
    if isinstance(value, torch.Tensor):
        if value.numel() <= 6:
            # Rows in brackets show a matrix's shape; those of one row, or with more axes, they do not.
            unclear = value.ndim > 2 or value.ndim == 2 and len(value) == 1
            shape = f" of shape {show_shape(value.shape)}" if unclear else ""
            return f"{picture(value)}{shape}" if value.ndim else describe(value.item())
        return f"a {' × '.join(map(str, value.shape))} tensor" if value.ndim > 1 else f"{len(value)} numbers"
    if isinstance(value, torch.Generator):
        return "a generator"
    if isinstance(value, dict):
        return f"a dict of {len(value)}"
    text = repr(value) if isinstance(value, (str, int, float, bool, list, tuple, type(None))) else type(value).__name__
    return (
        text
        if len(text) <= 40
        else f"{type(value).__name__} of {len(value)}"
        if hasattr(value, "__len__")
        else text[:40]
    )


def _own_frames(error: BaseException) -> list[tuple]:
    """Return (frame, line number) of the learner's code in the traceback: not ours, not a library's."""
    frames = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        library = (
            file.startswith("<frozen ")
            or "site-packages" in file
            or "dist-packages" in file
            or "/lib/python3" in file
            or "\\Lib\\" in file
        )
        ours = file.startswith(_PACKAGE) and "/content/" not in file.replace("\\", "/")
        if not library and not ours:
            frames.append((frame, line))
    # A function that a check passed in may have raised: then the line that called it is the learner's.
    return [f for f in frames if not f[0].f_code.co_filename.endswith("checks.py")] or frames


def _is_starter_line(error: NotImplementedError) -> bool:
    """Whether the error comes from the line `raise NotImplementedError()` of a starter."""
    frames = _own_frames(error)
    source = linecache.getline(frames[-1][0].f_code.co_filename, frames[-1][1]).strip() if frames else ""
    return source.startswith("raise NotImplementedError") if source else not str(error)


def _function_of(error: BaseException) -> str:
    frames = _own_frames(error)
    return frames[-1][0].f_code.co_name if frames else ""


def _explain(name: str, error: BaseException) -> str:
    """Return what the answer raised, as a tutor tells it: the learner's own line, the message, the shapes on that line."""
    message = " ".join(str(error).split())
    message = message if len(message) <= 160 else message[:157] + "..."
    kind = type(error).__name__
    frames = _own_frames(error)
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError) and error.name:
        message += f" in this notebook. Run the cell that makes {error.name}, then this one again"
    if not frames:
        return f"{name} could not be called: {message}. Keep its first line (def …) as it was given."
    frame, line = frames[-1]
    source = linecache.getline(frame.f_code.co_filename, line).strip()
    said = f"{name} stopped with {kind}: {message}" if message else f"{name} stopped with {kind}."
    if not source:
        return said
    line_shown = f"{_shortened(source)}{_shapes_on(source, frame.f_locals)}"
    outer, outer_line = frames[0]
    called_from = linecache.getline(outer.f_code.co_filename, outer_line).strip()
    if len(frames) > 1 and outer.f_code is not frame.f_code and called_from:
        # The function that stopped may be right, and be given something wrong: show the answer's own line first.
        return f"{said}\nYour line: {_shortened(called_from)}   and there, in {frame.f_code.co_name}: {line_shown}"
    return f"{said}\nYour line: {line_shown}"


def _shortened(source: str) -> str:
    return source if len(source) <= 120 else source[:117] + "..."


def _shapes_on(source: str, variables: dict) -> str:
    names = dict.fromkeys(re.findall(r"\b[A-Za-z_]\w*\b", source))
    shapes = [
        f"{n} {show_shape(variables[n].shape)}"
        for n in names
        if isinstance(variables.get(n), torch.Tensor) and variables[n].ndim
    ]
    return f"   where {', '.join(shapes)}" if shapes else ""
