"""The class: a folder in which labs are handed out, collected, graded and looked at. Learners never import it."""

from .folder import SECRET, init, nbgrader

__all__ = ["SECRET", "init", "nbgrader"]
