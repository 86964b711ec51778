"""Answers that have learned a check by heart: they give back what the course's answer returned, and understand nothing."""

from collections.abc import Callable, Sequence

import torch

from ...tutor.guard import Call, copied


def memorised(calls: Sequence[Call]) -> Callable:
    """Return an answer that knows these inputs, and gives the first result for any other."""

    def answer(*args, **kwargs):
        for call in calls:
            if alike((args, kwargs), (call.args, call.kwargs)):
                return copied(call.result)
        return copied(calls[0].result)

    return answer


def in_order(calls: Sequence[Call]) -> Callable:
    """Return an answer that gives the results back one after the other, whatever it is asked."""
    made = 0

    def answer(*args, **kwargs):
        nonlocal made
        made += 1
        return copied(calls[min(made, len(calls)) - 1].result)

    return answer


def alike(a, b) -> bool:
    """Whether two inputs are exactly the same, tensors, generators and models included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, torch.Generator):
        return torch.equal(a.get_state(), b.get_state())
    if isinstance(a, torch.nn.Module):
        return alike(dict(a.state_dict()), dict(b.state_dict()))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    return a is b or bool(a == b) or (hasattr(a, "__dict__") and alike(vars(a), vars(b)))
