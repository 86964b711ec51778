"""The contract of every lesson of the course: one test for each rule and lesson, exercise or wrong answer.

`mechinterp author check` applies the same rules. Kernels run once for each lesson and notebook; run with
`--dist loadgroup` where tests run side by side, so that one worker has all of a lesson.
"""

from functools import cache

import pytest

from mechinterp_course.course.rules import RULES
from mechinterp_course.course.rules.base import COURSE, EXERCISE, WRONG_ANSWER, using
from mechinterp_course.tutor.catalog import course

BOOK = course()
READABLE = "readable"


def subjects(lesson, about):
    """Return what a rule says something about: exercises, (exercise, wrong answer) pairs, and None for all else."""
    if about == EXERCISE:
        return [(exercise.name, None) for exercise in lesson.exercises] + [(None, None)]
    if about == WRONG_ANSWER:
        checked = BOOK.checks(lesson)
        return [(name, wrong.name) for name, one in checked.items() for wrong in one.wrong_answers] + [(None, None)]
    return [(None, None)]


def cases():
    for rule in RULES.values():
        if rule.about == COURSE:
            yield case(rule, None, None, None)
    for lesson in BOOK.lessons:
        with using(BOOK):
            readable = not RULES[READABLE](BOOK, lesson)
        for rule in RULES.values() if readable else [RULES[READABLE]]:
            if rule.about != COURSE:
                for exercise, wrong in subjects(lesson, rule.about):
                    yield case(rule, lesson, exercise, wrong)


def case(rule, lesson, exercise, wrong):
    parts = (rule.name, lesson.stem if lesson else None, exercise, wrong and wrong.replace(" ", "-"))
    marks = [pytest.mark.xdist_group(lesson.stem if lesson else "course")]
    marks += [pytest.mark.kernel] if rule.needs_kernel else []
    stem = lesson.stem if lesson else None
    return pytest.param(rule.name, stem, exercise, wrong, id="-".join(filter(None, parts)), marks=marks)


@cache
def findings(rule, stem):
    """Return all that a rule finds in a lesson; looked for once."""
    return RULES[rule](BOOK, BOOK.lesson(stem) if stem else None)


@pytest.mark.parametrize(("rule", "stem", "exercise", "wrong"), list(cases()))
def test_contract(rule, stem, exercise, wrong):
    known = subjects(BOOK.lesson(stem), RULES[rule].about) if stem else []
    found = findings(rule, stem)
    if (exercise, wrong) == (None, None):  # what no test of its own speaks of
        mine = [
            one for one in found if (one.exercise, one.cell) not in known and (one.exercise, None) not in known[:-1]
        ]
    else:
        mine = [one for one in found if one.exercise == exercise and wrong in (None, one.cell)]
    assert not mine, "\n" + "\n".join(map(str, mine))
