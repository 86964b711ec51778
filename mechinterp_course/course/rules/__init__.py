"""The rules of the contract, by what they look at. Importing this package registers all of them in `base.RULES`."""

from . import answers, content, execution, notebooks, prose, skipped  # noqa: F401
from .base import RULES, Finding, Rule

__all__ = ["RULES", "Finding", "Rule"]
