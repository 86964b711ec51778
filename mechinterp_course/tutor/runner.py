"""`check(name, answer)`: runs an exercise's checks on a learner's answer and says, like a tutor, how far it is.

The same code runs for the learner, for nbgrader and for CI. `examine` returns a verdict and touches nothing;
`check` records it and speaks. Imports torch and the tutor's own modules.
"""

import contextlib
import inspect
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from . import progress
from .catalog import Card, course
from .checks import Check, Draw
from .checks import Exercise as Checked
from .expect import Miss, describe
from .guard import Call, Guarded, Raised, Unsolved
from .misconceptions import BUDGET_SECONDS, diagnose
from .reference import reference

VISIBLE_SEED = 0


@dataclass(frozen=True)
class Verdict:
    """What an examination found. `told` is what went wrong, in sentences; `mistake` the name of a wrong answer that matches."""

    exercise: str
    held: int
    total: int
    title: str = ""  # the first check that did not hold
    told: str = ""
    called: str = ""
    mistake: str = ""
    mistake_says: str = ""
    step: str = ""  # what to do next
    look: str = ""  # what to look at once it passes
    hidden: bool = False
    crashed: str = ""  # the error that stopped the answer or the check, if one did
    calls: tuple[Call, ...] = field(default=(), repr=False, compare=False)

    @property
    def passed(self) -> bool:
        return self.total > 0 and self.held == self.total

    def lines(self) -> list[str]:
        """Return what the learner reads: one line when it passed, two to six when it did not."""
        where = " on new inputs" if self.hidden else ""
        if self.passed:
            look = f" {self.look}" if self.look and not self.hidden else ""
            return [f"✓ {self.exercise}   {_of(self.held, self.total)} passed{where}.{look}"]
        lines = [f"✗ {self.exercise}   {_of(self.held, self.total)} passed{where}"]
        if self.called:
            lines.append(f"Called: {self.called}")
        # Six lines at the most: where the mistake has a name, the picture of the numbers goes.
        lines += self.told.splitlines()[: 1 if self.mistake else 2]
        if self.title:
            lines.append(f"A right answer: {self.title}.")
        if self.mistake:
            lines.append(f"This looks like: {self.mistake}. {self.mistake_says}")
        return [*lines, f"Next: {self.step}"]


class CheckFailed(AssertionError):
    """A check that did not hold; a notebook shows the verdict's lines and no traceback."""

    def __init__(self, verdict: Verdict):
        super().__init__("\n".join(verdict.lines()))
        self.verdict = verdict

    def _render_traceback_(self) -> list[str]:
        first, *rest = self.verdict.lines()
        return [f"\x1b[31m{first}\x1b[0m", *rest]


_NOT_GIVEN = object()


def check(name: str, answer: Callable = _NOT_GIVEN, *, seed: int | None = None) -> None:
    """Check the learner's function `answer` for the exercise `name`; return None, or raise `CheckFailed`.

    With a `seed` (in grading) it runs the hidden checks, on inputs drawn from that seed.
    """
    verdict = examine(name, answer, seed=seed)
    progress.record(
        "check",
        exercise=name,
        passed=verdict.passed,
        held=verdict.held,
        total=verdict.total,
        mistake=verdict.mistake,
    )
    if not verdict.passed:
        raise CheckFailed(verdict)
    for line in verdict.lines():
        print(line)


def examine(
    name: str, answer: object, *, seed: int | None = None, advise: bool = True, budget: float = BUDGET_SECONDS
) -> Verdict:
    """Run the checks of `name` on `answer` and return the verdict; nothing is printed or recorded.

    With `advise`, an answer that fails is told the name of its mistake, if that is found in `budget` seconds.
    """
    book = course()
    card = book.exercise(name).card
    checked = book.checks(book.lesson_of(name)).get(name)
    if checked is None or not checked.checks:
        return Verdict(name, 0, 1, told=f"The exercise {name} has no checks.", crashed="no checks", step="report this")
    refused = _not_a_function(name, answer)
    todo = [c for c in checked.checks if seed is not None or not c.hidden]
    if refused:
        return Verdict(name, 0, len(todo), told=refused, step=f'check("{name}", {name})', hidden=seed is not None)
    with own_random_state():
        verdict = _run_checks(card, answer, todo, VISIBLE_SEED if seed is None else seed)
        verdict = replace(verdict, hidden=seed is not None)
        return verdict if verdict.passed or not advise else _advised(verdict, card, answer, checked, budget)


@contextlib.contextmanager
def own_random_state():
    """Give the block its own, fixed random state and put the learner's back; what it writes to stderr goes to stdout.

    torch uses one thread meanwhile: sums in another order round differently, and a token that is drawn may then be
    another one, so that the same answer would not behave the same twice. nbgrader gives no points to a cell that wrote one line to stderr, a harmless warning included.
    """
    python_state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    grad_enabled, threads = torch.is_grad_enabled(), torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stderr(sys.stdout):
            torch.default_generator.manual_seed(0)  # the CPU's alone: a GPU's state is the learner's too
            random.seed(0)
            if numpy:
                numpy.random.seed(0)
            torch.set_grad_enabled(True)
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad_enabled)
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)


def _run_checks(card: Card, answer: Callable, todo: list[Check], seed: int) -> Verdict:
    held, first, calls, complete = 0, None, [], True
    for one in todo:
        guarded = Guarded(card.name, answer)
        trouble = _run_check(card, one, guarded, Draw(seed, card.name, one.title))
        calls += guarded.calls
        complete &= guarded.attempts == len(guarded.calls)
        if trouble is None:
            held += 1
        elif first is None:
            first = trouble
            if first.get("stop"):
                break
    # An answer that stops on one input does not behave like a wrong answer that returns something there: name no mistake.
    verdict = Verdict(card.name, held, len(todo), look=card.look, calls=tuple(calls) if complete else ())
    if first is None:
        return verdict
    return replace(verdict, **{key: value for key, value in first.items() if key != "stop"})


def _run_check(card: Card, one: Check, guarded: Guarded, draw: Draw) -> dict | None:
    """Run one check; return None when it held, else what to tell."""
    try:
        one.test(guarded, draw)
    except Miss as miss:
        crashed = type(miss.__cause__).__name__ if isinstance(miss, Raised) else ""
        return {"title": one.title, "told": str(miss), "called": guarded.describe_call(), "crashed": crashed}
    except Unsolved as unsolved:
        return _unsolved(card, unsolved.name)
    except Exception as error:
        # The check worked on a result of a kind that it did not expect; say what came back. Before the first
        # call it is the check that is broken.
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        if not guarded.calls:
            told = f"This check stopped before it could look at your answer ({said}). That is a fault of the course."
        else:
            told = f"{card.name} returned {describe(guarded.last.result)}, and the check could not work with that ({said})."
        return {
            "title": one.title,
            "told": told,
            "called": guarded.describe_call(),
            "crashed": type(error).__name__,
        }
    return None


def _unsolved(card: Card, where: str) -> dict:
    if where != card.name and where in course().exercises:
        return {
            "told": f"{card.name} calls {where}, and {where} is not written yet.",
            "step": f'solve {where} first, or take the course\'s: {where} = borrow("{where}")',
            "stop": True,
        }
    if where not in (card.name, "", "<lambda>"):
        return {
            "told": f"{card.name} calls {where}, and the line `raise NotImplementedError()` still stands in {where}.",
            "step": f"write {where}, then run this cell again",
            "stop": True,
        }
    return {
        "told": f"{card.name} is not written yet: its line `raise NotImplementedError()` still stands.",
        "step": f'replace that line; hint("{card.name}") helps you to begin',
        "stop": True,
    }


def _advised(verdict: Verdict, card: Card, answer: Callable, checked: Checked, budget: float) -> Verdict:
    """Add the name of the mistake and the next step to a verdict that did not pass."""
    if verdict.step:
        return verdict
    broken = next((used for used in card.uses if _is_broken(used, answer)), None)
    if broken:
        return replace(
            verdict,
            told=f"{verdict.told.splitlines()[0]}\n{card.name} calls {broken}, and {broken} does not pass its own check.",
            step=f'mend {broken} first: check("{broken}", {broken})',
        )
    mistake = diagnose(verdict.calls, checked.wrong_answers, reference(card.name), budget)
    step = f'hint("{card.name}")'
    if mistake is None:
        return replace(verdict, step=step)
    return replace(verdict, mistake=mistake.name, mistake_says=mistake.says, step=step)


def _is_broken(used: str, answer: Callable) -> bool:
    """Whether the learner's own version of an earlier exercise, which `answer` calls, fails its check."""
    # A decorator such as @torch.no_grad() puts a function of torch's around the learner's own.
    theirs = getattr(inspect.unwrap(answer), "__globals__", {}).get(used)
    if not callable(theirs) or theirs is reference(used):
        return False
    book = course()
    card = book.exercise(used).card
    checked = book.checks(book.lesson_of(used))[used]
    return not _run_checks(card, theirs, [c for c in checked.checks if not c.hidden], VISIBLE_SEED).passed


def _not_a_function(name: str, answer: object) -> str:
    if answer is _NOT_GIVEN:
        return f'check("{name}") needs your function as well.'
    if not callable(answer):
        return f'check("{name}", …) was given {describe(answer)}; it needs the function itself, without brackets.'
    return ""


def _of(held: int, total: int) -> str:
    return f"{held} of {total} checks" if total > 1 else f"{held} of 1 check"
