"""The class: a folder in which labs are handed out, collected, graded and looked at. Learners never import it.

The names here are loaded when they are used: a worker that grades needs no builder of notebooks.
"""

from importlib import import_module

_WHERE = {"SECRET": "folder", "find_class": "folder", "init": "making", "nbgrader": "nbgrader_cli"}

__all__ = ["SECRET", "find_class", "init", "nbgrader"]


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
