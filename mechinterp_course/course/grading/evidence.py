"""Where points come from: checks that run in a process in which no student's code ever ran.

The answer stays in the student's box; here it is a function whose calls travel there and whose results travel back as values. So
nothing that a student rebinds, patches or reads can change a verdict: it can only change what the answer returns. The seed
of the hidden checks, the checks and the solutions never enter the box. Imports the tutor's runner and `peer`.
"""

import inspect
import socket
import time
from dataclasses import asdict, dataclass

from ...tutor import runner
from ...tutor.catalog import Course, course
from ...tutor.guard import Raised
from ...tutor.reference import reference
from .peer import ANSWER, Peer
from .wire import Broken, Wire

NAMING_SECONDS = 5.0  # for the name of a mistake; a call into the box takes longer than one in a notebook
HIDDEN_STEP = "think of inputs that the visible check does not try"


@dataclass(frozen=True)
class Evidence:
    """What an examination found for one exercise: the visible checks, and the hidden ones where it came to them."""

    exercise: str
    visible: bool
    hidden: bool | None
    lines: tuple[str, ...]  # what the student may read
    mistake: str
    seconds: float
    stopped: str = ""  # "time": it did not answer; "gone": its process ended; "nonsense": it sent what cannot be read

    @property
    def passed(self) -> bool:
        return self.visible and self.hidden is True

    def as_dict(self) -> dict:
        return asdict(self)


class RemoteAnswer:
    """An answer that runs in the box: called like a function, with the signature that it has there."""

    def __init__(self, peer: Peer, name: str, number: int, parameters: list[str], seconds: float):
        self.peer, self.__name__, self._number, self._seconds = peer, name, number, seconds
        self.stopped = ""
        self.__globals__: dict = {}  # the earlier answers that it uses: the runner looks at them
        self.__signature__ = _signature(parameters)

    def __call__(self, *args, **kwargs):
        if self.stopped:
            raise Raised(_said_of(self.stopped, self.__name__, self._seconds))
        try:
            return self.peer.call_through(self._number, args, kwargs)
        except TimeoutError:
            self.stopped = "time"
        except Broken as broken:
            self.stopped = "gone" if str(broken) == "it ended" or "reset" in str(broken) else "nonsense"
        raise Raised(_said_of(self.stopped, self.__name__, self._seconds))


def judge(over: socket.socket, name: str, seed: int, seconds: float) -> Evidence:
    """Examine the answer at the other end: the visible checks, and if they hold, the hidden ones drawn from `seed`."""
    started = time.monotonic()
    peer = Peer(Wire(over, deadline=started + seconds), trusted=False)
    book = course()
    try:
        answer = _meet(peer, book, name, seconds)
    except (TimeoutError, Broken):
        said = f"{name} could not be examined: the notebook's process ended before its check was reached."
        return Evidence(name, False, None, (f"✗ {name}", said), "", time.monotonic() - started, "gone")
    if isinstance(answer, Evidence):
        return answer
    visible = runner.examine(name, answer, budget=NAMING_SECONDS)
    if not visible.passed:
        return _evidence(name, visible.lines(), False, None, visible.mistake, started, answer)
    hidden = runner.examine(name, answer, seed=seed, budget=NAMING_SECONDS)
    lines = visible.lines() + ([] if hidden.passed else _hidden_lines(hidden))
    return _evidence(name, lines, True, hidden.passed, hidden.mistake, started, answer)


def _meet(peer: Peer, book: Course, name: str, seconds: float):
    """Return the answer as it introduces itself, or the evidence that there is none."""
    uses = _all_uses(book, name)
    peer.shown[ANSWER] = _lender(uses)
    peer.wire.send({"do": "hello", "uses": uses})
    hello, _ = peer.wire.receive()
    kind = hello.get("is")
    if kind == "missing":
        return _none(name, f"There is no {name} in this notebook when its check is reached.")
    if kind == "borrowed":
        return _none(
            name, f"{name} is the course's own function here (borrow): it helps later exercises, and earns no points."
        )
    if kind != "function":
        said = str(hello.get("said", ""))[:80]
        return _none(name, f"{name} is {said} when its check is reached; it has to be a function.")
    answer = RemoteAnswer(peer, name, ANSWER, _names(hello.get("parameters")), seconds)
    theirs = hello.get("uses") if isinstance(hello.get("uses"), dict) else {}
    for number, (one, parameters) in enumerate(((u, p) for u, p in theirs.items() if u in uses), ANSWER + 1):
        answer.__globals__[one] = RemoteAnswer(peer, one, -number, _names(parameters), seconds)
    return answer


def _lender(uses: list[str]):
    """Return the function that answers for borrowed ones: only those that the examined exercise may use."""

    def lend(wanted, *args, **kwargs):
        if wanted not in uses:
            raise RuntimeError(f"{wanted} cannot be borrowed for this exercise.")
        return reference(wanted)(*args, **kwargs)

    return lend


def _all_uses(book: Course, name: str) -> list[str]:
    """Return the exercises that `name` uses, and those that they use."""
    found, todo = [], list(book.exercise(name).card.uses)
    while todo:
        one = todo.pop(0)
        if one not in found and one != name:
            found.append(one)
            todo += book.exercise(one).card.uses
    return found


def _hidden_lines(verdict: runner.Verdict) -> list[str]:
    """Return what a student may read of a hidden check: what is true of a right answer, and nothing of the inputs.

    Nothing that the answer itself said is shown either: it could carry the inputs out of the box.
    """
    first = verdict.lines()[0]
    lines = [first]
    if verdict.title:
        lines.append(f"A right answer: {verdict.title}.")
    if verdict.mistake:
        lines.append(f"This looks like: {verdict.mistake}. {verdict.mistake_says}")
    return [*lines, f"Next: {HIDDEN_STEP}"]


def _evidence(
    name, lines, visible: bool, hidden: bool | None, mistake: str, started: float, answer: RemoteAnswer
) -> Evidence:
    lines = [line.encode("utf-8", "replace").decode() for line in lines]  # an answer may have said half a letter
    return Evidence(name, visible, hidden, tuple(lines), mistake, time.monotonic() - started, answer.stopped)


def _none(name: str, said: str) -> Evidence:
    return Evidence(name, False, None, (f"✗ {name}", said), "", 0.0)


def _said_of(stopped: str, name: str, seconds: float) -> str:
    return {
        "time": f"{name} had not returned after {seconds:.0f} seconds.",
        "gone": f"The process that ran {name} ended before it returned (out of memory, or stopped by its own code).",
        "nonsense": f"What {name} returned could not be read.",
    }[stopped]


def _names(parameters) -> list[str]:
    return [str(one)[:60] for one in parameters][:40] if isinstance(parameters, list) else []


def _signature(names: list[str]) -> inspect.Signature:
    kinds = [inspect.Parameter(one, inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in names if one.isidentifier()]
    try:
        return inspect.Signature(kinds)
    except ValueError:  # a name that stands twice
        return inspect.Signature()
