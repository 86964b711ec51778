"""The contract of every lesson of the course: one test for each rule and lesson, exercise or wrong answer.

`mechinterp author check` applies the same rules. Kernels run once for each lesson and notebook; run with
`--dist loadgroup` where tests run side by side, so that one worker has all of a lesson.
"""

from functools import cache

import pytest

from mechinterp_course.course.rules import RULES
from mechinterp_course.course.rules.base import COURSE, EXERCISE, WRONG_ANSWER, Finding, using
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


def about(found, known, exercise, wrong):
    """Return the findings that one case speaks of; (None, None) speaks of all that no other case does. `known`: all cases."""
    if (exercise, wrong) == (None, None):
        others = [one for one in known if one != (None, None)]
        return [one for one in found if (one.exercise, one.cell) not in others and (one.exercise, None) not in others]
    return [one for one in found if one.exercise == exercise and wrong in (None, one.cell)]


@pytest.mark.parametrize(("rule", "stem", "exercise", "wrong"), list(cases()))
def test_contract(rule, stem, exercise, wrong):
    known = subjects(BOOK.lesson(stem), RULES[rule].about) if stem else []
    mine = about(findings(rule, stem), known, exercise, wrong)
    assert not mine, "\n" + "\n".join(map(str, mine))


@pytest.mark.parametrize("kind", sorted({rule.about for rule in RULES.values()}))
def test_no_finding_is_lost(kind):
    lesson = BOOK.lessons[0]
    name = lesson.exercises[0].name
    wrong = BOOK.checks(lesson)[name].wrong_answers[0].name
    known = subjects(lesson, kind)
    for place in [(None, None), (None, "a-cell"), (name, None), (name, wrong), ("unknown", "a-cell")]:
        found = [Finding("rule", lesson.stem, *place, "what is wrong")]
        assert any(about(found, known, *case) for case in known), place
