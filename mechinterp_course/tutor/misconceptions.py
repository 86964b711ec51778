"""Names a mistake: compares what the learner's answer returned with what each named wrong answer returns on the same inputs.

A mistake is named only when exactly one wrong answer behaves the same on every input, and the right answer does not. Nothing
is trained, and nothing takes longer than the budget. Imports torch, `guard` and the words of `checks`.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from numbers import Number

import torch

from .checks import WrongAnswer
from .guard import Call, copied

BUDGET_SECONDS = 1.0


def diagnose(
    calls: Sequence[Call], wrong_answers: Sequence[WrongAnswer], right: Callable, budget: float = BUDGET_SECONDS
) -> WrongAnswer | None:
    """Return the one wrong answer that behaves like the recorded calls, or None; give up after `budget` seconds of computing.

    Computing, not waiting: on a busy machine the same answer gets the same name. What a wrong answer would print or warn of is
    not the learner's, and is not shown.
    """
    slow = sum(call.seconds for call in calls) * (len(wrong_answers) + 1) > budget
    if not calls or slow:
        return None
    deadline = time.thread_time() + budget
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        matching = [wrong for wrong in wrong_answers if _behaves_like(wrong.answer, calls, deadline)]
        if len(matching) != 1 or _behaves_like(right, calls, deadline) or time.thread_time() > deadline:
            return None
    return matching[0]


def same(a, b) -> bool:
    """Whether two results are equal up to rounding, through lists, tuples and dicts."""
    if _is_array(a) or _is_array(b):
        return _same_tensors(a, b)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Number) and isinstance(b, Number):
        return _same_tensors(torch.as_tensor(float(a)), torch.as_tensor(float(b)))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


def _is_array(value) -> bool:
    return isinstance(value, torch.Tensor) or type(value).__name__ == "ndarray"


def _same_tensors(a, b) -> bool:
    try:
        a, b = torch.as_tensor(a).detach(), torch.as_tensor(b).detach()
    except (TypeError, ValueError, RuntimeError):
        return False
    if a.shape != b.shape or a.device != b.device or a.dtype.is_floating_point != b.dtype.is_floating_point:
        return False
    if not a.dtype.is_floating_point:
        return torch.equal(a, b)
    return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-5, equal_nan=True)


def _behaves_like(answer: Callable, calls: Sequence[Call], deadline: float) -> bool:
    for call in calls:
        if time.thread_time() > deadline:
            return False
        try:
            result = answer(*copied(call.args), **copied(call.kwargs))
            if not same(result, call.result):
                return False
        except Exception:  # a wrong answer may not fit an input that the learner's answer took, nor results each other
            return False
    return True
