"""`hint(name)` gives an exercise's hints, one step at a time; `borrow(name)` gives the course's own function.

Both are recorded, and neither costs anything: a hint is there to be used. Imports `catalog` and `progress`, and torch only
to borrow.
"""

from collections.abc import Callable

from . import progress
from .catalog import course

LEVELS = ("Nudge", "Idea", "Outline")


def hint(name: str, level: int | None = None) -> None:
    """Print the next hint for the exercise `name`, or the one of that level: 1 nudge, 2 idea, 3 outline."""
    print("\n".join(hint_lines(name, level)))


def hint_lines(name: str, level: int | None = None, again: str = "") -> list[str]:
    """Return what `hint` prints, and record that it was shown. `again` is how one asks for the next (a terminal's command)."""
    card = course().exercise(name).card
    if level is not None and level not in (1, 2, 3):
        return [f"There are three hints for {name}: 1 ({LEVELS[0]}), 2 ({LEVELS[1]}), 3 ({LEVELS[2]})."]
    reached = reached_level(name)
    level = level or min(reached + 1, 3)
    progress.record("hint", exercise=name, level=level)
    lines = [f"{LEVELS[level - 1]} ({level} of 3) for {name}", card.hints[level - 1].strip()]
    if level < 3:
        # Asked for an earlier level once more, `hint(name)` alone would jump past the one after it.
        again = again or (f'hint("{name}")' if level > reached else f'hint("{name}", {level + 1})')
        return [*lines, f"Next: {again} shows the {LEVELS[level].lower()}."]
    return [*lines, f"Still stuck? In a terminal, `mechinterp compare {name} --give-up` shows the course's answer."]


def reached_level(name: str) -> int:
    """Return the highest hint that was shown for the exercise so far, 0 for none."""
    names = (name, *course().exercise(name).card.renamed_from)
    shown = [
        event.data["level"]
        for event in progress.load()
        if event.kind == "hint" and event.data.get("exercise") in names and event.data.get("level") in (1, 2, 3)
    ]
    return max(shown, default=0)


def borrow(name: str) -> Callable:
    """Return the course's own function for the exercise `name`, so that a later one can go on without yours."""
    course().exercise(name)  # a misspelt name fails before torch is loaded
    from .reference import reference

    function = reference(name)
    progress.record("borrow", exercise=name)
    print(f"{name} is the course's own now. To come back to yours later, run its cell again.")
    return function
