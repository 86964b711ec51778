"""On the student's side: shows one answer to the process that judges, and calls it as often as asked.

It runs in the box, in a copy of the student's process as it was when the check cell stood there. It holds no check, no
solution and no seed. Imports the tutor's guard, `peer` and `wire`.
"""

import inspect
import socket
import sys
from collections.abc import Callable

from ...tutor.guard import Call, Guarded, copied
from .peer import ANSWER, Peer
from .wire import Wire, foreign

_peer: Peer | None = None  # the conversation in which this process is asked, if it is


def serve(over: socket.socket, name: str, names: dict) -> None:
    """Introduce the answer `name` of the namespace `names`, and answer calls until the judging side goes away."""
    global _peer
    from ...tutor.runner import own_random_state

    answer = names.get(name)
    _peer = Peer(Wire(over), trusted=True)
    with own_random_state():
        hello = _wait_for_hello(_peer)
        used = {one: names[one] for one in hello.get("uses", ()) if callable(names.get(one))}
        _peer.shown[ANSWER] = _guarded(name, answer)
        for number, (one, function) in enumerate(used.items(), ANSWER + 1):
            _peer.shown[-number] = _guarded(one, function)
        _peer.wire.send(
            {"do": "hello", **_introduced(name, names), "uses": {one: _parameters(f) for one, f in used.items()}}
        )
        _peer.serve()


def _wait_for_hello(peer: Peer) -> dict:
    message, _ = peer.wire.receive()
    return message


def _introduced(name: str, names: dict) -> dict:
    answer = names.get(name)
    if name not in names:
        return {"is": "missing"}
    if isinstance(answer, Borrowed):
        return {"is": "borrowed", "of": answer.__name__}
    if not callable(answer):
        return {"is": "value", "said": foreign("x", repr(answer)).said, "kind": type(answer).__name__}
    return {"is": "function", "parameters": _parameters(answer)}


def _parameters(function: Callable) -> list[str]:
    try:
        return [str(name) for name in inspect.signature(function).parameters][:40]
    except (TypeError, ValueError):
        return []


def _guarded(name: str, answer) -> Callable:
    """Return the answer as the guard calls it: what goes wrong becomes the tutor's sentences, here, where its lines are."""

    def call(*args, **kwargs):
        guard, before = Guarded(name, answer), (copied(args), copied(kwargs))
        guard.last = Call(*before)
        result = guard._run(args, kwargs)  # what travelled here is a copy already, and gradients flow back to it
        guard._expect_untouched(before, (args, kwargs))
        return result

    return call


class Borrowed:
    """Stands for the course's own function: it answers while a later exercise is examined, from outside the box."""

    def __init__(self, name: str):
        self.__name__ = name

    def __call__(self, *args, **kwargs):
        if _peer is None:
            raise RuntimeError(
                f"{self.__name__} is borrowed: while your notebook is graded, it answers only when a check asks."
            )
        return _peer.call(ANSWER, (self.__name__, *args), kwargs)


def borrow(name: str) -> Borrowed:
    """The box's `borrow`: the solutions are not here."""
    print(f"{name} is the course's own now.")
    return Borrowed(name)


def check(name: str, answer=None, **_) -> None:
    """The box's `check`, where a student calls it in a cell of their own: the checks are not here."""
    print(f"{name} is checked when the whole notebook has run.", file=sys.stdout)
