"""A self-study course in mechanistic interpretability.

What a notebook needs is one import away: `from mechinterp_course import check, hint, borrow, predict, quiz, reveal`.
Importing the package loads neither torch nor TransformerLens; each name loads what it needs when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

# What a notebook imports, and the module that it comes from.
_TOOLS = {
    "check": "runner",
    "hint": "hints",
    "borrow": "hints",
    "predict": "quiz",
    "quiz": "quiz",
    "reveal": "quiz",
    "home": "home",
    "calibration": "calibration_view",
    "explore": "explorer",
    "review": "review_view",
    "recheck": "review_view",
}
__all__ = ["__version__", *_TOOLS]


def __getattr__(name: str):
    if name not in _TOOLS:
        raise AttributeError(f"mechinterp_course has no {name!r}. A notebook can import: {', '.join(_TOOLS)}.")
    return getattr(import_module(f"mechinterp_course.tutor.{_TOOLS[name]}"), name)


def __dir__():
    return sorted(__all__)
