"""Calls between two processes: each side can call functions that the other has shown it, with values as arguments.

The side that judges shows the functions that a check passes in; the student's side shows the answer. Gradients flow through
a call. Imports torch and `wire`.
"""

import builtins
import itertools
from collections.abc import Callable, Iterator

import torch

from ...tutor.expect import Miss
from . import mirror
from .wire import Broken, Packer, Unpacker, Wire

ANSWER = 0  # the number of the function that is examined
MAX_TEXT = 2000


class Peer:
    """One side. `trusted` is whether the other side may be believed to send objects and not only values."""

    def __init__(self, wire: Wire, trusted: bool):
        self.wire, self.trusted = wire, trusted
        self.shown: dict[int, object] = {}  # what the other side may call or name, by number
        self.theirs: dict[int, tuple[int, object]] = {}  # by id: the number that an object of the other side has there
        self.tapes: dict[int, tuple[list, list]] = {}  # for gradients: inputs and outputs of calls served
        self.models: dict[int, object] = {}  # what `mirror` knows of the models of this conversation, by number
        self.depth = 0  # calls being served, one within the other
        self.counter = itertools.count(1)

    # --- asking -----------------------------------------------------------------------------------------------------

    def call(self, target: int, args: tuple, kwargs: dict, grad: bool = False):
        """Return what the other side's function returns; what it raises is raised here."""
        packer = _Packer(self)
        form = packer.pack([list(args), kwargs])
        self.wire.send({"do": "call", "target": target, "given": form, "grad": grad}, packer.blocks)
        message, result = self._answer()
        for place, value in message.get("changed", ()):
            _put_back(args, place, value)
        return (result, message.get("tape")) if grad else result

    def call_through(self, target: int, args: tuple, kwargs: dict):
        """Return what the other side's function returns; gradients flow through it to the arguments."""
        leaves = [tensor for tensor in _tensors([args, kwargs]) if tensor.requires_grad]
        if not leaves or not torch.is_grad_enabled():
            return self.call(target, args, kwargs)
        result, tape = self.call(target, args, kwargs, grad=True)
        outputs = [tensor for tensor in _tensors(result) if tensor.requires_grad]
        if not outputs or not isinstance(tape, int):
            return result
        return _with(result, iter(_Through.apply(self, tape, outputs, *leaves)))

    def gradients(self, tape: int, grads: list) -> list:
        """Return the gradients of a call's inputs, given those of its outputs."""
        packer = _Packer(self)
        self.wire.send({"do": "gradients", "tape": tape, "given": packer.pack(grads)}, packer.blocks)
        return self._answer()[1]

    def _answer(self) -> tuple[dict, object]:
        """Serve the other side's calls until its answer to ours comes."""
        while True:
            message, unpack = self._next()
            if message.get("do") in ("return", "raise"):
                mirror.update(self, unpack(message.get("models", ["list", []])))
            if message.get("do") == "return":
                message["changed"] = unpack(message.get("changed", ["list", []]))
                return message, unpack(message.get("value"))
            if message.get("do") == "raise":
                raise _error_of(message)
            self._serve_one(message, unpack)

    # --- serving ----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer calls until the other side goes away."""
        while True:
            try:
                message, unpack = self._next()
            except Broken:
                return
            self._serve_one(message, unpack)

    def _next(self):
        message, blocks = self.wire.receive()
        return message, _Unpacker(blocks, self).unpack

    def _serve_one(self, message: dict, unpack: Callable) -> None:
        packer, about = _Packer(self), {}
        try:
            if message.get("do") == "call":
                value = self._run(message, unpack, about)
            elif message.get("do") == "gradients":
                value = self._gradients(message["tape"], unpack(message["given"]))
            else:
                raise Broken("it asked for something unknown")
            reply = {
                "do": "return",
                "value": packer.pack(value),
                **{k: packer.pack(v) for k, v in about.items() if k != "tape"},
            }
            reply |= {k: v for k, v in about.items() if k == "tape"}
        except (Broken, TimeoutError):
            raise
        except (Exception, SystemExit) as error:
            packer = _Packer(self)
            reply = {"do": "raise", **_described(error), "models": packer.pack(about.get("models", []))}
        self.wire.send(reply, packer.blocks)

    def _run(self, message: dict, unpack: Callable, about: dict):
        function = self.shown.get(message.get("target"))
        if not callable(function):
            raise Broken("it called a function that it was not shown")
        args, kwargs = unpack(message["given"])
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        before = [tensor.detach().clone() for tensor in tensors]
        grad = bool(message.get("grad"))
        self.depth += 1
        try:
            with torch.set_grad_enabled(grad or self.trusted and torch.is_grad_enabled()):
                result = function(*args, **kwargs)
        finally:
            self.depth -= 1
            about["models"] = mirror.report(self) if self.trusted and not self.depth else []
        about["changed"] = _changes(args, tensors, before)
        if grad:
            about["tape"] = self._keep_tape(_tensors([args, kwargs]), result)
        return result

    def _keep_tape(self, tensors: list, result) -> int:
        leaves = [tensor for tensor in tensors if tensor.requires_grad]
        outputs = [tensor for tensor in _tensors(result) if tensor.requires_grad]
        number = next(self.counter)
        self.tapes[number] = leaves, outputs
        return number

    def _gradients(self, tape: int, grads: list) -> list:
        leaves, outputs = self.tapes[tape]
        pairs = [(out, g) for out, g in zip(outputs, grads, strict=True) if out.requires_grad and g is not None]
        if not pairs:
            return [None for _ in leaves]
        outs, given = zip(*pairs, strict=True)
        return list(torch.autograd.grad(outs, leaves, given, allow_unused=True, retain_graph=True))


class RemoteFunction:
    """A function of the other side."""

    def __init__(self, peer: Peer, number: int, name: str):
        self._peer, self._number, self.__name__ = peer, number, name

    def __call__(self, *args, **kwargs):
        return self._peer.call_through(self._number, args, kwargs)


class _Through(torch.autograd.Function):
    """What the other side computed, as a step that gradients can pass through."""

    @staticmethod
    def forward(context, peer: Peer, tape: int, outputs: list, *leaves: torch.Tensor):
        context.peer, context.tape = peer, tape
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(context, *grads):
        return None, None, None, *context.peer.gradients(context.tape, list(grads))


class _Packer(Packer):
    def __init__(self, peer: Peer):
        super().__init__()
        self.peer = peer

    def special(self, value):
        known = self.peer.theirs.get(id(value))
        if known:
            return ["theirs", known[0]]
        if isinstance(value, RemoteFunction) and value._peer is self.peer:
            return ["theirs", value._number]
        if mirror.travels(value):
            return mirror.pack(self, value)
        if isinstance(value, Iterator) and not self.peer.trusted:  # a check's own: it has an end
            return ["iterator", [self.pack(item) for item in value]]
        if callable(value) and not isinstance(value, type):
            return ["function", self.show(value), str(getattr(value, "__name__", type(value).__name__))]
        return None

    def show(self, value) -> int:
        """Return the number under which the other side knows an object of ours."""
        number = next((n for n, one in self.peer.shown.items() if one is value), None)
        if number is None:
            number = next(self.peer.counter)
            self.peer.shown[number] = value
        return number

    def block(self, data: bytes) -> int:
        return self._block(data)


class _Unpacker(Unpacker):
    def __init__(self, blocks: list[bytes], peer: Peer):
        super().__init__(blocks)
        self.peer = peer

    def special(self, kind: str, parts: list):
        if kind == "function":
            return RemoteFunction(self.peer, int(parts[0]), str(parts[1])[:60])
        if kind == "theirs":
            return self.peer.shown[parts[0]]
        if kind == "iterator" and self.peer.trusted:
            return iter([self._unpack(item) for item in parts[0]])
        if kind == "point":
            return mirror.Point(str(parts[0]))
        if self.peer.trusted and kind in mirror.KINDS:
            made = mirror.unpack(self, kind, parts)
            self.peer.theirs[id(made)] = parts[0], made
            return made
        return super().special(kind, parts)


def _changes(args: tuple, tensors: list, before: list) -> list:
    """Return (place, new value) of the arguments that a function changed in place, generators among them."""
    changed = [[i, value] for i, value in enumerate(args) if isinstance(value, torch.Generator)]
    for tensor, old in zip(tensors, before, strict=False):
        if tensor.shape == old.shape and not torch.equal(tensor, old) and not (tensor != tensor).any():
            changed.append([next(i for i, one in enumerate(args) if one is tensor), tensor.detach()])
    return changed


def _tensors(value) -> list[torch.Tensor]:
    """Return the tensors in arguments, those in lists and dicts too, in the order in which both sides meet them."""
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for item in inside for tensor in _tensors(item)]


def _put_back(args: tuple, place, value) -> None:
    if not isinstance(place, int) or not 0 <= place < len(args):
        return
    ours = args[place]
    if isinstance(ours, torch.Generator) and isinstance(value, torch.Generator):
        ours.set_state(value.get_state())
    elif isinstance(ours, torch.Tensor) and isinstance(value, torch.Tensor) and ours.shape == value.shape:
        with torch.no_grad():
            ours.copy_(value)


def _with(value, new):
    """Return the result with the tensors that want gradients replaced, in order."""
    if isinstance(value, torch.Tensor):
        return next(new) if value.requires_grad else value
    if isinstance(value, dict):
        return {key: _with(item, new) for key, item in value.items()}
    return type(value)(_with(item, new) for item in value) if type(value) in (list, tuple) else value


def _described(error: BaseException) -> dict:
    cause = error.__cause__
    return {
        "error": type(error).__name__,
        "text": str(error)[:MAX_TEXT],
        "cause": type(cause).__name__ if cause is not None else "",
        "name": str(getattr(error, "name", "") or "")[:60],
    }


def _error_of(message: dict) -> BaseException:
    """Return the other side's error as one of ours; a kind that does not exist here becomes a RuntimeError."""
    from ...tutor.guard import Raised, Unsolved

    kind, text = str(message.get("error", "")), str(message.get("text", ""))[:MAX_TEXT]
    if kind == "Unsolved":
        return Unsolved(str(message.get("name", ""))[:60])
    if kind in ("Raised", "Miss"):
        made = {"Raised": Raised, "Miss": Miss}[kind](text)
        if message.get("cause"):
            made.__cause__ = type(str(message["cause"])[:60], (Exception,), {})()
        return made
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception) and known is not NotImplementedError:
        try:
            return known(text)
        except TypeError:  # an error that wants more than a text
            return RuntimeError(text)
    return RuntimeError(f"{kind}: {text}")
