"""Rules about what a lesson folder holds: it can be read; cards, hints, minutes, prerequisites and checks are complete."""

import re
from collections import Counter
from collections.abc import Iterator

from ...errors import CourseError
from ...tutor.catalog import Course, Exercise, Lesson
from .base import COURSE, EXERCISE, Finding, rule

MAX_EXERCISE_MINUTES = 25
MAX_SITTING_MINUTES = 60
MAX_NAME = 50
IMPORTANT = 5  # an exercise of this importance has three wrong answers


@rule("readable", "The lesson's files are there and can be read.")
def readable(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for file, read in (
        ("lesson.py", lambda: lesson.lesson_cells),
        ("lab.py", lambda: lesson.exercises),
        ("lesson.py or lab.py", lambda: lesson.questions),
        ("checks.py", lambda: course.checks(lesson)),
    ):
        try:
            read()
        except CourseError as error:
            yield Finding("readable", lesson.stem, None, None, str(error))
        except Exception as error:
            message = f"{file} cannot be loaded: {type(error).__name__}: {error}"
            yield Finding("readable", lesson.stem, None, None, message)


@rule("exercises", "A lab has exercises.")
def has_exercises(course: Course, lesson: Lesson) -> Iterator[Finding]:
    if not lesson.exercises:
        yield Finding(
            "exercises", lesson.stem, None, None, "lab.py has no exercise yet; add a card and an answer cell."
        )


@rule("names", "Every exercise and every question has a name of its own in the whole course.", COURSE)
def names(course: Course) -> Iterator[Finding]:
    exercises = [(e.name, lesson) for lesson in course.lessons for e in lesson.exercises]
    former = [(old, lesson) for lesson in course.lessons for e in lesson.exercises for old in e.card.renamed_from]
    for kind, found in (
        ("exercise", exercises + former),
        ("question", [(q.id, lesson) for lesson in course.lessons for q in lesson.questions]),
    ):
        times = Counter(name for name, _ in found)
        for name, lesson in found:
            if times[name] > 1:
                yield Finding(
                    "names", lesson.stem, name, None, f"the {kind} name {name!r} is used {times[name]} times."
                )


@rule(
    "cards",
    "A card has a title, a purpose, difficulty and importance (1-5), minutes, points and a last word.",
    EXERCISE,
)
def cards(course: Course, lesson: Lesson) -> Iterator[Finding]:
    before: list[str] = []
    for exercise in lesson.exercises:
        for message in _card_faults(exercise, before):
            yield Finding("cards", lesson.stem, exercise.name, None, message)
        before.append(exercise.name)


def _card_faults(exercise: Exercise, before: list[str]) -> Iterator[str]:
    card = exercise.card
    if not card.name.isidentifier() or len(card.name) > MAX_NAME:
        yield f"its name must be a Python name of at most {MAX_NAME} characters."
    for field in ("title", "purpose", "look"):
        if not getattr(card, field):
            yield f"the card has no {field}."
    for field in ("difficulty", "importance"):
        value = getattr(card, field)
        if not isinstance(value, int) or not 1 <= value <= 5:
            yield f"{field} is {value}; it goes from 1 to 5."
    for field in ("minutes", "points"):
        value = getattr(card, field)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            yield f"{field} is {value}; it is a whole number above 0."
    for used in card.uses:
        if used not in before:
            yield f"it uses {used}, which is not an earlier exercise of this lab."


@rule("hints", "Every exercise has three different hints: nudge, idea, outline.", EXERCISE)
def hints(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise in lesson.exercises:
        for level in ("nudge", "idea", "outline"):
            if not getattr(exercise.card, level):
                yield Finding("hints", lesson.stem, exercise.name, None, f"the card has no {level}.")
        given = [hint for hint in exercise.card.hints if hint]
        if len(set(given)) < len(given):
            yield Finding("hints", lesson.stem, exercise.name, None, "two of its hints are the same.")


@rule("minutes", f"An exercise takes at most {MAX_EXERCISE_MINUTES} minutes, a sitting at most {MAX_SITTING_MINUTES}.")
def minutes(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise in lesson.exercises:
        if exercise.card.minutes > MAX_EXERCISE_MINUTES:
            message = f"{exercise.card.minutes} minutes; cut it in two (at most {MAX_EXERCISE_MINUTES})."
            yield Finding("minutes", lesson.stem, exercise.name, None, message)
    for sitting in lesson.sittings:
        if sitting.minutes > MAX_SITTING_MINUTES:
            message = f"{sitting.name} takes {sitting.minutes} minutes; a sitting has at most {MAX_SITTING_MINUTES}."
            yield Finding("minutes", lesson.stem, None, None, message)


@rule("entry", "course.toml says what the lesson is for, how long its reading takes, and the title that the map gives.")
def entry(course: Course, lesson: Lesson) -> Iterator[Finding]:
    if not lesson.summary.strip():
        yield Finding("entry", lesson.stem, None, None, "course.toml has no summary for it.")
    if not isinstance(lesson.minutes, int) or lesson.minutes <= 0:
        yield Finding("entry", lesson.stem, None, None, "course.toml does not say how many minutes the reading takes.")
    if course.map.get(lesson.number) != lesson.title:
        message = f"the map in course.toml calls lesson {lesson.number} {course.map.get(lesson.number)!r}, not {lesson.title!r}."
        yield Finding("entry", lesson.stem, None, None, message)


@rule("prerequisites", "Every prerequisite is a lesson that is built and comes earlier.")
def prerequisites(course: Course, lesson: Lesson) -> Iterator[Finding]:
    numbers = [one.number for one in course.lessons]
    for number in lesson.prerequisites:
        if number not in numbers:
            message = f"its prerequisite {number} is not built."
        elif numbers.index(number) >= numbers.index(lesson.number):
            message = f"its prerequisite {number} does not come earlier in course.toml."
        else:
            continue
        yield Finding("prerequisites", lesson.stem, None, None, message)


@rule("answers", "An answer cell defines the function of its name, with its solution between the marks.", EXERCISE)
def answers(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise in lesson.exercises:
        source = exercise.answer.source
        begins, ends = source.count("### BEGIN SOLUTION"), source.count("### END SOLUTION")
        if begins != ends or begins == 0:
            message = "the answer cell needs `### BEGIN SOLUTION` and `### END SOLUTION` around its solution."
            yield Finding("answers", lesson.stem, exercise.name, exercise.name, message)
        if not re.search(rf"^def {re.escape(exercise.name)}\(", source, re.MULTILINE):
            message = f"the answer cell does not define a function called {exercise.name}."
            yield Finding("answers", lesson.stem, exercise.name, exercise.name, message)


@rule(
    "checks",
    "Every exercise has a visible check, two wrong answers (three where it matters most) and a valid variation.",
    EXERCISE,
)
def checks(course: Course, lesson: Lesson) -> Iterator[Finding]:
    checked = course.checks(lesson)
    cards = {exercise.name: exercise.card for exercise in lesson.exercises}
    for name in set(checked) - set(cards):
        yield Finding(
            "checks", lesson.stem, None, None, f"checks.py checks {name}, and no card in lab.py has that name."
        )
    for name, card in cards.items():
        for message in _check_faults(checked.get(name), 3 if card.importance >= IMPORTANT else 2):
            yield Finding("checks", lesson.stem, name, None, message)


def _check_faults(checked, least: int) -> Iterator[str]:
    if checked is None or not any(not check.hidden for check in checked.checks):
        yield "checks.py has no visible check for it."
        return
    wrong = [one.name for one in checked.wrong_answers]
    if len(wrong) < least:
        yield f"it has {len(wrong)} named wrong answers; it needs {least}."
    if len(set(wrong)) < len(wrong):
        yield "two of its wrong answers have the same name."
    for one in checked.wrong_answers:
        if not one.says.strip() or "\n" in one.says.strip():
            yield f"the wrong answer {one.name!r} must tell the learner something, on one line."
    if not checked.variations:
        yield "it has no valid variation; add another right answer."
    titles = [check.title for check in checked.checks]
    if len(set(titles)) < len(titles):
        yield "two of its checks have the same title."
