"""Made-up submissions of the labs that exist: what a class of honest students hands in, each with the points it should earn.

A student answers right (the course's answer, or a listed variation), makes one of the named mistakes, or leaves the
exercise alone; the better the student, the more is right. Everything follows from the seed.
"""

import ast
import inspect
import json
import random
import textwrap
from dataclasses import dataclass

from mechinterp_course.course.build import solved
from mechinterp_course.tutor.catalog import Course, Lesson
from mechinterp_course.tutor.notebook import source, with_source

COMMENTS = ("", "# first idea\n", "# checked by hand on a 2 x 3 example\n", "# see the prompt\n", "# works\n")


@dataclass(frozen=True)
class Choice:
    """One way to answer an exercise: its code, whether it is right, and the name of the mistake where it is not."""

    code: str
    right: bool
    mistake: str = ""


@dataclass(frozen=True)
class Made:
    """A submission: the notebook as text, and for each exercise what was written in it."""

    student: str
    notebook: str
    written: dict[str, Choice]


def choices(course: Course, lesson: Lesson) -> dict[str, list[Choice]]:
    """Return, for each exercise of a lab, every way to answer it that the course knows."""
    checks, given = course.checks(lesson), _lab_names(lesson)
    found = {}
    for exercise in lesson.exercises:
        ways = [Choice(solved(exercise.answer.source), True)]
        for variation in checks[exercise.name].variations:
            ways += _as_answer(exercise.name, variation.answer, given, True, "")
        for wrong in checks[exercise.name].wrong_answers:
            ways += _as_answer(exercise.name, wrong.answer, given, False, wrong.name)
        found[exercise.name] = ways
    return found


def _as_answer(name: str, function, given: set[str], right: bool, mistake: str) -> list[Choice]:
    """Return a function of `checks.py` as the code of an answer cell; none where it leans on more than the lab has."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return []
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return []
    definition.decorator_list = []
    theirs = set(function.__globals__)
    used = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
    if function.__closure__ or (used & theirs) - given or "reference" in used:
        return []
    definition.name = name
    return [Choice(ast.unparse(definition), right, mistake)]


def _lab_names(lesson: Lesson) -> set[str]:
    """Return the names that a lab's notebook defines."""
    code = "\n".join(cell.source for cell in lesson.lab_cells if cell.type == "code")
    names = set()
    for node in ast.parse(code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def make(released: str, ways: dict[str, list[Choice]], number: int, seed: int = 0) -> Made:
    """Return what student `number` of a class hands in."""
    chance = random.Random(f"{seed}/{number}")
    skill, stops_after = chance.betavariate(3, 1.4), chance.random() < 0.15 and chance.randint(1, len(ways))
    written = {}
    for at, (name, ways_to) in enumerate(ways.items()):
        if stops_after and at >= stops_after:
            continue
        right = [way for way in ways_to if way.right]
        wrong = [way for way in ways_to if not way.right]
        if chance.random() < skill:
            written[name] = chance.choice(right)
        elif wrong and chance.random() < 0.8:
            # Some mistakes are made by many: the first of a list twice as often as the second, and so on.
            written[name] = chance.choices(wrong, [2.0**-i for i in range(len(wrong))])[0]
    return Made(f"s{number:04d}", _filled(released, written, chance), written)


def _filled(released: str, written: dict[str, Choice], chance: random.Random) -> str:
    lab = json.loads(released)
    for at, cell in enumerate(lab["cells"]):
        if cell.get("id") in written:
            text = chance.choice(COMMENTS) + _own_names(written[cell["id"]].code, chance)
            lab["cells"][at] = with_source(cell, text)
        assert "seed=" not in source(cell) or "check(" not in source(cell)
    return json.dumps(lab, indent=1)


def _own_names(code: str, chance: random.Random) -> str:
    """Return the code with some of its variables called otherwise, as another person would."""
    tree = ast.parse(code)
    nodes = list(ast.walk(tree))
    given = {node.arg for node in nodes if isinstance(node, ast.arg)} | {n.id for n in nodes if isinstance(n, ast.Name)}
    fixed = {node.arg for node in nodes if isinstance(node, ast.arg)}
    fixed |= {name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - fixed
    names = {name: f"{name}_{chance.choice('abc')}" for name in sorted(stored) if chance.random() < 0.5}
    names = {name: other for name, other in names.items() if other not in given}
    if not names:
        return code
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)
