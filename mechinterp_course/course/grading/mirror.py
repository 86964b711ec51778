"""Models and graphs across two processes: the judging side tells which model it passes, and on the student's side there is the same.

A model is named, not sent: only numbers and hooks in which it differs from the bundled one travel. After a call the student's side
reports what has become of its model (hooks left behind, gradients, changed numbers), and the judging side does the same to its
own, so that a check sees what it would have seen in one process. Imports torch and `interp`.
"""

import contextlib
import copy
import io
import pickle
from dataclasses import dataclass, field
from functools import cache

import torch

from ...interp import models
from .wire import Broken

KINDS = ("model", "plain")
OURS = "mechinterp_course.interp."


@dataclass
class Point:
    """Stands for a hook point of the student's model, where a check's function is used as a hook."""

    name: str

    def layer(self) -> int:
        return int(self.name.split(".")[1])


@cache
def pristine(name: str, processed: bool = False):
    """Return the bundled model as it was loaded; it is copied, never run."""
    with contextlib.redirect_stdout(io.StringIO()):
        return models.load(name, processed=processed)


@cache
def base_numbers(name: str, processed: bool = False) -> dict:
    """Return the numbers of the bundled model, by name."""
    return _numbers(pristine(name, processed))


def travels(value) -> bool:
    """Whether a value is a model, a hook point, or an object of `interp`."""
    if isinstance(value, type):
        return False
    return _is_model(value) or _is_point(value) or type(value).__module__.startswith(OURS) and not callable(value)


def _is_model(value) -> bool:
    return isinstance(value, torch.nn.Module) and hasattr(value, "hook_dict") and hasattr(value, "cfg")


def _is_point(value) -> bool:
    return type(value).__name__ in ("HookPoint", "Point") and isinstance(getattr(value, "name", None), str)


def pack(packer, value):
    """Return the form of such a value."""
    if _is_point(value):
        return ["point", value.name]
    if packer.peer.trusted:  # the student's side sends values: of a model of its own, only what it is called
        return ["other", type(value).__name__, f"a {type(value).__name__}"]
    number = packer.show(value)
    if not _is_model(value):
        return ["plain", number, packer.block(pickle.dumps(value))]
    if number not in packer.peer.models:
        packer.peer.models[number] = _Ours(*_named(value), _numbers(value))
    ours = packer.peer.models[number]
    name, processed, base = ours.name, ours.processed, pristine(ours.name, ours.processed)
    numbers = _differing(ours.numbers, base_numbers(name, processed))
    hooks = [
        [place, back, function.number if isinstance(function, LeftBehind) else function]
        for place, back, function, _ in _hooks(value)
    ]
    settings = _different(_settings(value), _settings(base))
    return ["model", number, name, processed, *map(packer.pack, (settings, numbers, hooks)), value.training]


def unpack(unpacker, kind: str, parts: list):
    """Return the object of such a form; on the student's side only."""
    if kind == "plain":
        return pickle.loads(unpacker.blocks[parts[1]])
    number, name, processed, settings, numbers, hooks, training = parts
    peer, kind_of = unpacker.peer, (name, processed)
    ours = peer.models.setdefault(number, _Theirs())
    if ours.body is None:
        spare = SPARE.setdefault(kind_of, [])
        ours.body = spare.pop() if spare else _Body(copied(pristine(*kind_of)), kind_of)
    _set_settings(ours.body.model, {**_settings(pristine(*kind_of)), **unpacker.unpack(settings)})
    ours.set(unpacker.unpack(numbers), unpacker.unpack(hooks), training, base_numbers(*kind_of))
    return ours.body.model


def prepare(name: str) -> None:
    """Have a copy of the bundled model ready, before processes are copied."""
    spare = SPARE.setdefault((name, False), [])
    if not spare:
        spare.append(_Body(copied(pristine(name)), (name, False)))
        base_numbers(name)


def copied(model):
    """Return a copy of a model that has not run with gradients."""
    tokenizer = getattr(model, "tokenizer", None)
    return copy.deepcopy(model, {id(tokenizer): tokenizer})  # most of the work, and nobody edits it


@dataclass
class _Ours:
    """The judging side of a model: the bundled one that it is made from, and its numbers (walking through a model takes long)."""

    name: str
    processed: bool
    numbers: dict


class _Body:
    """A copy of a bundled model on the student's side. Copies are alike once they are `set`, and are used again and again."""

    def __init__(self, model, kind: tuple[str, bool]):
        self.model, self.kind, self.numbers = model, kind, _numbers(model)


SPARE: dict[tuple[str, bool], list[_Body]] = {}


@dataclass
class _Theirs:
    """The student's side of one of the judging side's models: how it stood when it was handed over, and what was left on it."""

    body: _Body | None = None
    stood: dict = field(default_factory=dict)
    left: list = field(default_factory=list)  # the functions of hooks that the answer left behind

    def set(self, numbers: dict, hooks: list, training: bool, base: dict) -> None:
        """Make the copy equal to the judging side's model."""
        model, ours = self.body.model, self.body.numbers
        model.reset_hooks()
        with torch.no_grad():
            for key, value in _differing(ours, {**base, **numbers}).items():
                value.copy_(numbers.get(key, base[key]))
        for key, value in ours.items():
            value.grad = None
            value.requires_grad_(base[key].requires_grad)
        if model.training != training:
            model.train(training)
        for place, back, function in hooks:
            function = self.left[function] if isinstance(function, int) else function
            model.hook_dict[place].add_hook(function, dir="bwd" if back else "fwd")
        self.stood = {
            "hooks": [id(handle) for *_, handle in _hooks(model)],
            "numbers": {**base, **numbers},
            "settings": _settings(model),
        }

    def report(self) -> dict:
        """Return what has become of the copy since."""
        model, ours = self.body.model, self.body.numbers
        return {
            "hooks": self._hooks_now(),
            "numbers": _differing(ours, self.stood["numbers"]),
            "grads": [key for key, value in ours.items() if value.grad is not None],
            "learning": [key for key, value in ours.items() if value.requires_grad],
            "training": model.training,
            "settings": _different(_settings(model), self.stood["settings"]),
        }

    def _hooks_now(self) -> list:
        """Return [place, backward, which hook of those handed over or -1, a number for a new one] of every hook."""
        found = []
        for place, back, function, handle in _hooks(self.body.model):
            at = self.stood["hooks"].index(id(handle)) if id(handle) in self.stood["hooks"] else -1
            if at == -1:
                self.left.append(function)
            found.append([place, back, at, len(self.left) - 1])
        return found


def report(peer) -> list:
    """Return [number, what became of it] for every model that this call handed over; their copies are free again."""
    used = [(number, ours) for number, ours in peer.models.items() if ours.body is not None]
    said = [[number, ours.report()] for number, ours in used]
    for _, ours in used:
        SPARE[ours.body.kind].append(ours.body)
        ours.body = None
    return said


def update(peer, reports: list) -> None:
    """Do to our models what the student's side did to its own; on the judging side."""
    if peer.trusted:
        return
    try:
        for number, said in reports:
            model = peer.shown[number]
            if not _is_model(model):
                raise TypeError
            _follow(model, peer.models[number].numbers, said)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise Broken(f"it told nonsense of a model ({type(error).__name__})") from None


def _follow(model, numbers: dict, said: dict) -> None:
    kept = {at for _, _, at, _ in said["hooks"]}
    for at, (_, _, _, handle) in enumerate(_hooks(model)):
        if at not in kept:
            handle.hook.remove()
            _forget(model, handle)
    for place, back, at, number in said["hooks"]:
        if at == -1:
            model.hook_dict[place].add_hook(LeftBehind(int(number)), dir="bwd" if back else "fwd")
    with torch.no_grad():
        for key, value in said["numbers"].items():
            numbers[key].copy_(value)
    for key, value in numbers.items():
        if key in said["grads"]:
            value.grad = torch.zeros_like(value)
        value.requires_grad_(key in said["learning"])
    if model.training != bool(said["training"]):
        model.train(bool(said["training"]))
    _set_settings(model, said["settings"])


@dataclass(frozen=True)
class LeftBehind:
    """Stands for a hook that an answer left on the student's model; it does nothing on ours."""

    number: int

    def __call__(self, activation, hook=None) -> None:
        return None


def _forget(model, handle) -> None:
    for point in model.hook_dict.values():
        for handles in (point.fwd_hooks, point.bwd_hooks):
            if handle in handles:
                handles.remove(handle)


def _hooks(model) -> list:
    """Return (a name of the hook point, whether backward, the function, the handle) of every hook that stands on a model."""
    points = {}
    for name, point in model.hook_dict.items():
        if id(point) not in points or name != point.name:
            points[id(point)] = name, point
    return [
        (name, handles is point.bwd_hooks, handle.user_hook, handle)
        for name, point in points.values()
        for handles in (point.fwd_hooks, point.bwd_hooks)
        for handle in handles
    ]


def _settings(model) -> dict:
    """Return the switches of a model, such as `use_split_qkv_input`."""
    return {key: value for key, value in vars(model.cfg).items() if isinstance(value, bool)}


def _set_settings(model, settings: dict) -> None:
    for key, value in _different(settings, _settings(model)).items():
        switch = getattr(model, f"set_{key}", None)
        if key not in vars(model.cfg) or not isinstance(value, bool):
            raise TypeError
        if callable(switch):
            switch(value)  # some switches change the model's parts too
        else:
            setattr(model.cfg, key, value)


def _different(now: dict, then: dict) -> dict:
    return {key: value for key, value in now.items() if then.get(key) != value}


def _numbers(model) -> dict:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _differing(now: dict, then: dict) -> dict:
    return {key: value.detach() for key, value in now.items() if not torch.equal(value, then[key])}


def _named(model) -> tuple[str, bool]:
    """Return the name of the bundled model that this one is, or is made from."""
    numbers = _numbers(model)
    fitting = []
    for entry in models.catalogue():
        if entry.kind != "bundled" or not _same_sizes(model, entry.name):
            continue
        for processed in (False, True):
            base = base_numbers(entry.name, processed)
            if {k: v.shape for k, v in base.items()} == {k: v.shape for k, v in numbers.items()}:
                fitting.append((len(numbers) - len(_differing(numbers, base)), entry.name, processed))
    if not fitting:
        raise Broken("a check passes a model that is not one of the bundled ones")
    return max(fitting)[1:]


def _same_sizes(model, name: str) -> bool:
    sizes = models.config(name)
    return all(
        getattr(model.cfg, key, None) == getattr(sizes, key) for key in ("n_layers", "d_model", "d_vocab", "n_ctx")
    )
