"""The one kind of error that the course raises on purpose: a sentence and its remedy. Imports nothing of the package."""

from collections.abc import Iterable
from difflib import get_close_matches


class CourseError(Exception):
    """Something that the person can mend: `sentence` says what is wrong, `remedy` what to do.

    In a notebook it is shown as those two lines, without a traceback; the command line prints them and exits with 1.
    """

    def __init__(self, sentence: str, remedy: str = ""):
        super().__init__(f"{sentence} {remedy}".strip())
        self.sentence = sentence
        self.remedy = remedy

    def _render_traceback_(self) -> list[str]:
        return [line for line in (self.sentence, self.remedy) if line]


def unknown(kind: str, name: str, known: Iterable[str], remedy: str = "") -> CourseError:
    """Return the error for a name that does not exist, with the nearest names that do."""
    known = sorted(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif known and len(known) <= 20:
        hint = f"There are: {', '.join(known)}."
    else:
        hint = ""
    return CourseError(f"There is no {kind} {name!r}.", f"{hint} {remedy}".strip())
