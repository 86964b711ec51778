"""Rules about answers, tried in this process: starters, wrong answers, variations and memorised answers.

Each takes milliseconds, because the learner's own `examine` runs on plain functions, without a kernel.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from functools import cache

import torch

from ...tutor.catalog import Course, Exercise, Lesson
from ...tutor.guard import copied
from ...tutor.misconceptions import BUDGET_SECONDS, diagnose
from ...tutor.reference import reference, run_cell
from ...tutor.runner import Verdict
from ..build import release_notebook
from .base import EXERCISE, WRONG_ANSWER, Finding, rule
from .memory import in_order, memorised
from .notebooks import secret_lines, squeezed

SEEDS = (11, 222, 3333, 44444, 555555)  # of the hidden checks; a class draws its own
MAX_LINES = 6
PATIENCE = 60.0  # seconds to name a mistake here, where other work may take the processor away


def examined(name: str, answer: object, seed: int | None = None, advise: bool = False) -> Verdict:
    """Return the verdict on an answer, with advice where that is looked at; what it prints is not ours to show."""
    from ...tutor.runner import examine

    with silence():
        return examine(name, answer, seed=seed, advise=advise, budget=PATIENCE)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what a lesson's code prints off the report."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


# --- starters -------------------------------------------------------------------------------------------------------


@rule(
    "starters",
    "An unsolved exercise fails its own check; of the others only those that use it do, and they name it.",
    EXERCISE,
)
def starters(course: Course, lesson: Lesson) -> Iterator[Finding]:
    given = {cell.id: cell.source for cell in release_notebook(course, lesson).cells}
    setup = setup_space(lesson)
    for exercise in lesson.exercises:
        if "### BEGIN SOLUTION" not in exercise.answer.source:
            continue  # `answers` says so
        space = dict(setup)
        with silence():
            for other in lesson.exercises:
                source = given[other.name] if other is exercise else other.answer.source
                run_cell(source, space, f"{lesson.id} {other.name}, {exercise.name} unsolved")
        yield from _without(lesson, exercise, space)


def _without(lesson: Lesson, unsolved: Exercise, space: dict) -> Iterator[Finding]:
    """Yield what is wrong in a lab where everything but one exercise is solved."""
    dependent = users(lesson, unsolved.name)
    for other in lesson.exercises:
        verdict = examined(other.name, space[other.name])
        if other is unsolved:
            message = _starter_fault(verdict)
        elif verdict.passed:
            message = ""
        elif other.name not in dependent:
            message = f'fails while {unsolved.name} is unsolved; declare it: uses = [..., "{unsolved.name}"].'
        elif unsolved.name not in f"{verdict.told} {verdict.step}":
            message = f"fails while {unsolved.name} is unsolved, and does not say so: {verdict.told}"
        else:
            message = ""
        if message:
            yield Finding("starters", lesson.stem, other.name, None, message)


def _starter_fault(verdict: Verdict) -> str:
    if verdict.passed:
        return "the unsolved starter passes its own check."
    if verdict.crashed:
        return f"the unsolved starter stops with {verdict.crashed}, not with NotImplementedError: {verdict.told}"
    return ""


def setup_space(lesson: Lesson) -> dict:
    """Return the names that the lab's setup cells define."""
    space = {"__name__": f"{lesson.id}_contract"}
    with silence():
        for cell in lesson.intro:
            if cell.type == "code":
                run_cell(cell.source, space, f"{lesson.id} setup, line {cell.line}")
    return space


def users(lesson: Lesson, name: str) -> set[str]:
    """Return the exercises that use `name`, directly or through another one."""
    found = {name}
    for exercise in lesson.exercises:  # a lab is in order: what an exercise uses comes before it
        if found & set(exercise.card.uses):
            found.add(exercise.name)
    return found - {name}


# --- wrong answers --------------------------------------------------------------------------------------------------


@cache
def _visible(root, name: str, index: int) -> Verdict:
    """Return what a learner is told who gives that wrong answer."""
    return examined(name, _wrong_answers(name)[index].answer, advise=True)


def _wrong_answers(name: str) -> list:
    from ...tutor.catalog import course

    book = course()
    checked = book.checks(book.lesson_of(name)).get(name)
    return checked.wrong_answers if checked else []


def _each_wrong(course: Course, lesson: Lesson) -> Iterator[tuple[Exercise, object, Verdict]]:
    for exercise in lesson.exercises:
        for index, wrong in enumerate(_wrong_answers(exercise.name)):
            yield exercise, wrong, _visible(course.root, exercise.name, index)


@rule("wrong-answers-return", "A wrong answer returns something; it is never stopped by an error.", WRONG_ANSWER)
def wrong_answers_return(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise, wrong, verdict in _each_wrong(course, lesson):
        crashed = verdict.crashed or _crash(exercise, wrong.answer)
        crashed = crashed or examined(exercise.name, wrong.answer, SEEDS[0]).crashed
        if crashed:
            message = f"it is stopped by {crashed}, so it does not show that the check finds this mistake."
            yield Finding("wrong-answers-return", lesson.stem, exercise.name, wrong.name, message)


def _crash(exercise: Exercise, answer: Callable) -> str:
    """Return the name of the error that the answer raises on the inputs of the visible checks, or ""."""
    for call in examined(exercise.name, reference(exercise.name)).calls:
        try:
            with silence():
                answer(*copied(call.args), **copied(call.kwargs))
        except Exception as error:
            return type(error).__name__
    return ""


@rule(
    "wrong-answers-caught", "Every wrong answer is rejected, by the visible check and by the hidden one.", WRONG_ANSWER
)
def wrong_answers_caught(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise, wrong, verdict in _each_wrong(course, lesson):
        if verdict.passed:
            message = "the visible check lets it pass."
        elif verdict.crashed:
            continue  # `wrong-answers-return` says so
        elif any(examined(exercise.name, wrong.answer, seed=seed).passed for seed in SEEDS):
            message = "the hidden check lets it pass."
        else:
            continue
        yield Finding("wrong-answers-caught", lesson.stem, exercise.name, wrong.name, message)


@rule("wrong-answers-named", "The message to a wrong answer names that mistake, and no other.", WRONG_ANSWER)
def wrong_answers_named(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise, wrong, verdict in _each_wrong(course, lesson):
        if verdict.passed or verdict.crashed:
            continue
        if verdict.mistake == wrong.name:
            message = _slow(exercise, verdict)
        elif verdict.mistake:
            message = f"the learner is told {verdict.mistake!r}."
        elif not verdict.calls:
            message = "the check misses before the answer has returned once, so there is nothing to compare."
        else:
            message = "no mistake is named: another wrong answer behaves the same on the visible inputs."
        if message:
            yield Finding("wrong-answers-named", lesson.stem, exercise.name, wrong.name, message)


def _slow(exercise: Exercise, verdict: Verdict) -> str:
    """Return a sentence where finding the name takes more computing than a learner's check allows itself."""
    took = min(_naming_seconds(exercise, verdict) for _ in range(2))
    if took <= BUDGET_SECONDS:
        return ""
    return f"naming it takes {took:.1f} seconds of computing, and a check gives it {BUDGET_SECONDS:.0f}; use smaller inputs."


def _naming_seconds(exercise: Exercise, verdict: Verdict) -> float:
    """Return the computing time that naming takes on one core: a busy machine does not change it."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        before = time.thread_time()
        with silence():
            diagnose(verdict.calls, _wrong_answers(exercise.name), reference(exercise.name), PATIENCE)
        return time.thread_time() - before
    finally:
        torch.set_num_threads(cores)


@rule(
    "messages",
    f"A failing check says something, in at most {MAX_LINES} lines, and shows no line of the solution.",
    EXERCISE,
)
def messages(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise, wrong, verdict in _each_wrong(course, lesson):
        for message in _message_faults(exercise, verdict):
            yield Finding("messages", lesson.stem, exercise.name, wrong.name, message)


def _message_faults(exercise: Exercise, verdict: Verdict) -> Iterator[str]:
    if verdict.passed:
        return
    lines = "\n".join(verdict.lines()).splitlines()
    if len(lines) > MAX_LINES:
        yield f"its message has {len(lines)} lines."
    if not verdict.told.strip():
        yield "its message says nothing of what went wrong."
    for secret in secret_lines(exercise):
        if any(squeezed(secret) in squeezed(line) for line in lines):
            yield f"its message shows a line of the solution: {secret.strip()}"


# --- right answers --------------------------------------------------------------------------------------------------


@rule(
    "variations",
    f"The course's answer and every valid variation pass all checks, the hidden ones under {len(SEEDS)} seeds.",
    EXERCISE,
)
def variations(course: Course, lesson: Lesson) -> Iterator[Finding]:
    checked = course.checks(lesson)
    for exercise in lesson.exercises:
        right = [("the course's answer", reference(exercise.name))]
        right += (
            [(one.name, one.answer) for one in checked[exercise.name].variations] if exercise.name in checked else []
        )
        for name, answer in right:
            for seed in (None, *SEEDS):
                verdict = examined(exercise.name, answer, seed)
                if not verdict.passed:
                    which = "the visible check" if seed is None else f"the hidden check (seed {seed})"
                    message = f"{which} rejects this right answer: {verdict.title}: {verdict.told}"
                    yield Finding("variations", lesson.stem, exercise.name, name, message)
                    break


@rule("memorised", "An answer that only knows the visible check's inputs by heart fails the hidden check.", EXERCISE)
def memorised_answers(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for exercise in lesson.exercises:
        calls = examined(exercise.name, reference(exercise.name)).calls
        for make in (memorised, in_order):
            if calls and examined(exercise.name, make(calls)).passed:
                if any(examined(exercise.name, make(calls), seed).passed for seed in SEEDS):
                    message = "a memorised answer passes the hidden check too; draw its inputs, or add a hidden check."
                    yield Finding("memorised", lesson.stem, exercise.name, None, message)
                break
