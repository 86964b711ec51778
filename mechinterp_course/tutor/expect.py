"""Expectations that fail like a tutor speaks: `expect.close(got, want, "the sum of each row")`.

Each one compares what came back with what is true of a right answer, and raises `Miss` with one or two sentences:
what the answer gave, where it first differs, and what is right. Imports torch only.
"""

import math
import re
from numbers import Number

import torch


class Miss(Exception):
    """An expectation that was not met, as sentences in the words of the exercise."""


def shape(got: torch.Tensor, want: tuple[int, ...], what: str = "the result", axes: str = "") -> None:
    """Expect a tensor of exactly this shape; `axes` names them, e.g. "query key"."""
    tensor(got, what)
    if tuple(got.shape) != tuple(want):
        named = f" ({axes.replace(' ', ' × ')})" if axes else ""
        has = "have" if _plural(what) else "has"
        raise Miss(
            f"{_cap(what)} {has} shape {show_shape(got.shape)}; {_they(what)} should be {show_shape(want)}{named}."
        )


def tensor(got: object, what: str = "the result") -> None:
    """Expect a tensor, whatever its shape."""
    if type(got).__name__ == "ndarray":
        raise _unlike(what, "a numpy array", "a torch tensor, like the input")
    if not isinstance(got, torch.Tensor):
        raise _unlike(what, describe(got), "a torch tensor")


def dtype(got: torch.Tensor, want: torch.dtype, what: str = "the result") -> None:
    """Expect a tensor of this element type."""
    tensor(got, what)
    if got.dtype != want:
        raise _holds(what, _type_name(got.dtype), _type_name(want))


def close(got, want, what: str = "the result", *, atol: float = 1e-5, rtol: float = 1e-4, because: str = "") -> None:
    """Expect numbers equal to `want` up to rounding: |got - want| <= atol + rtol |want|, entry by entry.

    Tells the first wrong position, both values there, and how many entries are wrong. `because` says why the right value is right.
    """
    got, want = _pair(got, want, what)
    finite(got, what, like=want)
    got, want = _widened(got, want)
    wrong = ~torch.isclose(got, want, atol=atol, rtol=rtol, equal_nan=True)
    if wrong.any():
        raise Miss(_first_difference(got, want, wrong, what, because))


def equal(got, want, what: str = "the result", *, because: str = "") -> None:
    """Expect exactly this value: whole numbers, booleans, strings, lists, or tensors of them."""
    if isinstance(want, torch.Tensor):
        got, want = _pair(got, want, what)
        if got.is_floating_point() and not want.is_floating_point() and want.ndim:
            raise _holds(what, _type_name(got.dtype), f"whole numbers ({_type_name(want.dtype)})")
        got, want = _widened(got, want)
        wrong = got != want
        if wrong.any():
            raise Miss(_first_difference(got, want, wrong, what, because))
    elif type(got) is torch.Tensor and got.ndim == 0 and isinstance(want, Number):
        equal(got.item(), want, what, because=because)
    elif isinstance(got, torch.Tensor) or type(got).__name__ == "ndarray" or got != want:
        raise _unlike(what, describe(got), describe(want), because)


def true(condition, says: str) -> None:
    """Expect the condition; `says` is the sentence for when it fails, and tells what came back."""
    if not bool(condition):
        raise Miss(says)


def number(got, what: str = "the result") -> float:
    """Expect one finite number (a Python number or a tensor with one entry) and return it as a float."""
    is_number = isinstance(got, Number) or hasattr(got, "item")
    if not is_number or math.prod(getattr(got, "shape", ())) != 1 or isinstance(got, complex):
        raise _unlike(what, describe(got), "a single number")
    value = float(got)
    if not math.isfinite(value):
        raise _unlike(what, str(value), "a finite number")
    return value


def between(got, low: float, high: float, what: str = "the result", *, because: str = "") -> None:
    """Expect one number in [low, high]."""
    value = number(got, what)
    if not low <= value <= high:
        should = f"it should lie between {show(low)} and {show(high)}"
        raise Miss(f"{_cap(what)} {_be(what)} {show(value)}; {should}.{_reason(because)}")


def finite(got: torch.Tensor, what: str = "the result", like: torch.Tensor | None = None) -> None:
    """Expect no NaN and no infinity, except where `like` has the same one."""
    if not got.is_floating_point():
        return
    bad = ~torch.isfinite(got)
    if like is not None and like.is_floating_point():
        same = torch.isnan(got) & torch.isnan(like) | (torch.isinf(got) & (got == like))
        bad &= ~same
    if bad.any():
        at = _first(bad)
        is_nan = bool(torch.isnan(got[at]))
        kind = "NaN (not a number)" if is_nan else "infinite"
        hint = (
            " NaN comes from 0/0, inf/inf, inf - inf, 0 times inf, or a logarithm of a negative number."
            if is_nan
            else " Infinity comes from a division by 0, log 0, or exp of a large number."
        )
        alike = torch.isnan(got[bad]).all() or torch.isinf(got[bad]).all()
        count = _count(bad) if alike else f"and no finite number at {_count(bad)}"
        where = f" at {show_index(at)}, {count}" if at else ""
        raise Miss(f"{_cap(what)} {_be(what)} {kind}{where}.{hint}")


# --- how values are shown -------------------------------------------------------------------------------------------


def describe(value: object) -> str:
    """Return a few words for any value: "a tensor of shape (2, 3), float32: [0.1 0.2 …]", "None", "the list [1, 2]"."""
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        if value.ndim == 0:
            return f"the number {show(value.item())}"
        return f"a tensor of shape {show_shape(value.shape)}, {_type_name(value.dtype)}: {picture(value)}"
    if isinstance(value, (bool, Number)):
        return show(value)
    if type(value).__name__ == "ndarray":
        return f"a numpy array of shape {show_shape(value.shape)}"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    text = repr(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    if isinstance(value, (list, tuple, dict, set)):
        return f"the {type(value).__name__} {text}"
    if callable(value):
        return f"a function ({getattr(value, '__name__', type(value).__name__)})"
    return f"{_article(type(value).__name__)} {text}"


def picture(values: torch.Tensor, most: int = 5) -> str:
    """Return a tensor's first numbers on one line, rows in brackets: "[1.00 0.00 …] [0.50 0.50 …] …"."""
    values = values.detach().cpu()
    if values.ndim == 0:
        return show(values.item())
    if values.ndim == 1:
        shown = " ".join(show(v) for v in values[:most].tolist())
        return f"[{shown}{' …' if len(values) > most else ''}]"
    if not values.numel():
        return "no numbers"
    flat = values.reshape(-1, values.shape[-1])
    rows = " ".join(picture(row, most=4) for row in flat[:3])
    return f"{rows}{' …' if len(flat) > 3 else ''}"


def show(value) -> str:
    """Return a number the way a person writes it: 0.71, 12, 3.2e-07."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if not math.isfinite(value) or value == 0:
        return "0.00" if value == 0 else str(value)
    if 0.001 <= abs(value) < 10_000:
        return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
    return f"{value:.1e}"


def show_shape(sizes) -> str:
    """Return a shape as "(2, 3)"."""
    return "(" + ", ".join(str(n) for n in sizes) + ("," if len(tuple(sizes)) == 1 else "") + ")"


def show_index(at: tuple[int, ...]) -> str:
    """Return a position as "[1, 0]"."""
    return "[" + ", ".join(str(i) for i in at) + "]"


# --- inside ---------------------------------------------------------------------------------------------------------


def _pair(got, want, what: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both as detached tensors of one type on the CPU, after expecting a tensor of the right shape and kind."""
    is_number = isinstance(want, (bool, Number)) or (isinstance(want, torch.Tensor) and want.ndim == 0)
    want = torch.as_tensor(want)
    if is_number and (isinstance(got, Number) or hasattr(got, "item")):
        if isinstance(got, torch.Tensor) and got.numel() != 1:
            raise _unlike(what, describe(got), "a single number")
        got = got.reshape(()) if isinstance(got, torch.Tensor) else torch.as_tensor(got)
    tensor(got, what)
    shape(got, tuple(want.shape), what)
    if got.device != want.device:
        raise _unlike(what, f"on the device {got.device}", f"on {want.device}, like the input")
    if got.is_complex() and not want.is_complex():
        raise _holds(what, "complex numbers", "real ones")
    if got.dtype != want.dtype and torch.bool in (got.dtype, want.dtype):
        raise _holds(what, _type_name(got.dtype), _type_name(want.dtype))
    if want.is_floating_point() and want.ndim and not (got.is_floating_point() or got.is_complex()):
        raise _holds(what, _type_name(got.dtype), "decimal numbers, like the input")
    return got.detach(), want.detach()


def _widened(got: torch.Tensor, want: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both in one type that loses nothing: 0.7 must not become 0 because the right answer is a whole number."""
    wide = torch.promote_types(got.dtype, want.dtype)
    wide = torch.float64 if wide.is_floating_point else wide
    return got.to(wide), want.to(wide)


def _first_difference(got, want, wrong, what: str, because: str) -> str:
    at = _first(wrong) if wrong.ndim else ()
    yours, right = _show_apart(got[at].item(), want[at].item())
    if got.ndim == 0:
        return f"{_cap(what)} {_be(what)} {yours}; {_they(what)} should be {right}.{_reason(because)}"
    said = (
        f"{_cap(what)} {_be(what)} wrong at {_count(wrong)}, first at {show_index(at)}: "
        f"yours {yours}, right {right}.{_reason(because)}"
    )
    where, seen, true = _pictures_at(got, want, at)
    # Two pictures that read the same, because the difference is small, would only puzzle.
    return said if seen == true else f"{said}\nYours{where}: {seen}   Right: {true}"


def _pictures_at(got: torch.Tensor, want: torch.Tensor, at: tuple[int, ...]) -> tuple[str, str, str]:
    """Return pictures of both that show the wrong place `at`, and where they begin: the whole, or the numbers around it."""
    rows = want.numel() // want.shape[-1]
    if want.ndim == 1 and at[0] < 5 or rows <= 3 and at[-1] < 4:
        return "", picture(got), picture(want)
    *row, column = at
    start = 0 if column < 4 else column - 1
    where = f" from {show_index((*row, start))}"
    return where, picture(got[tuple(row)][start:]), picture(want[tuple(row)][start:])


def _first(mask: torch.Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero()[0].tolist())


def _count(mask: torch.Tensor) -> str:
    bad, all_ = int(mask.sum()), mask.numel()
    return f"{bad} of {all_} places"


def _show_apart(a, b) -> tuple[str, str]:
    """Return both numbers with as many digits as it takes to tell them apart."""
    if show(a) != show(b):
        return show(a), show(b)
    digits = next((n for n in range(4, 17) if f"{a:.{n}g}" != f"{b:.{n}g}"), 17)
    return f"{a:.{digits}g}", f"{b:.{digits}g}"


def _unlike(what: str, got: str, want: str, because: str = "") -> Miss:
    return Miss(f"{_cap(what)} {_be(what)} {got}; {_they(what)} should be {want}.{_reason(because)}")


def _holds(what: str, got: str, want: str) -> Miss:
    return Miss(f"{_cap(what)} {'hold' if _plural(what) else 'holds'} {got}; {_they(what)} should hold {want}.")


def _be(what: str) -> str:
    return "are" if _plural(what) else "is"


def _they(what: str) -> str:
    return "they" if _plural(what) else "it"


def _plural(what: str) -> bool:
    """Whether a phrase such as "the losses of the second copy" speaks of many: by the last word of its head."""
    head = re.split(r" (?:of|on|at|in|for|after|with|from|when|by|to|over) |[,(:]", what)[0].split()
    return bool(head) and bool(re.search(r"[^suia']s$", head[-1]))


def _reason(because: str) -> str:
    return f" {_cap(because.rstrip('.'))}." if because else ""


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _cap(what: str) -> str:
    return what[:1].upper() + what[1:]
