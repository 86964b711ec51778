"""Finds answers that are nearly the same after names, comments, docstrings and layout are taken away: something to look at.

What everybody was given (the starter), what the course publishes (its solution) and what many write says nothing, and is left
out. The distance is rapidfuzz's; what to compare is decided here. Must not import nbgrader.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ALIKE = 0.95  # of the larger part of an answer's syntax tree, in the same order
MIN_PARTS = 40  # a shorter answer looks like another one by chance
LONG_PARTS = 80  # one such answer, to the letter, is worth a look alone
COMMON = 0.05  # what more than this share of the class writes says nothing; but at least:
COMMON_AT_LEAST = 3
MAX_PAIRS = 200


@dataclass(frozen=True)
class Match:
    """One exercise that two students answered alike."""

    exercise: str
    similarity: float
    same_text: bool  # names and comments too
    parts: int  # how much code that is


@dataclass(frozen=True)
class Pair:
    """Two students, and what is alike in their submissions of one lab."""

    first: str
    second: str
    matches: tuple[Match, ...]
    compared: int  # answers of both that could have been alike: none of the starter, the course or the many


def look_at(
    answers: dict[str, dict[str, str]], starters: dict[str, str], solutions: dict[str, Iterable[str]]
) -> list[Pair]:
    """Return the pairs of students worth a look, the most alike first. `answers` is {student: {exercise: code}}.

    A pair is listed when two answers are alike, or one long answer is the same to the letter, comments included.
    """
    found, comparable = defaultdict(list), defaultdict(set)
    for exercise in sorted({name for own in answers.values() for name in own}):
        known = {parts(code) for code in (starters.get(exercise, ""), *solutions.get(exercise, ()))}
        given = {student: own[exercise] for student, own in answers.items() if exercise in own}
        rare = _rare(given, known, len(answers))
        for student in rare:
            comparable[student].add(exercise)
        for first, second, match in _matches(exercise, given, rare):
            found[first, second].append(match)
    pairs = [
        Pair(first, second, tuple(matches), len(comparable[first] & comparable[second]))
        for (first, second), matches in found.items()
        if len(matches) > 1 or (matches[0].same_text and matches[0].parts >= LONG_PARTS)
    ]
    return sorted(pairs, key=_weight, reverse=True)[:MAX_PAIRS]


def _weight(pair: Pair) -> tuple:
    return (sum(m.parts * (1 + m.same_text) for m in pair.matches), pair.first, pair.second)


def _rare(given: dict[str, str], known: set[str], class_size: int) -> dict[str, str]:
    """Return {student: form} of the answers that could tell something: long enough, not published, and not what many write."""
    forms = {student: parts(code) for student, code in given.items()}
    forms = {student: form for student, form in forms.items() if len(form) >= MIN_PARTS}
    published = _like_one_of(sorted(set(forms.values())), sorted(known))
    forms = {student: form for student, form in forms.items() if form not in published}
    holders = defaultdict(set)
    for student, form in forms.items():
        holders[form].add(student)
    near = defaultdict(set)
    for one, other, _ in _near(list(holders)):
        near[one] |= holders[other]
        near[other] |= holders[one]
    limit = max(COMMON_AT_LEAST, COMMON * class_size)
    return {student: form for student, form in forms.items() if len(holders[form] | near[form]) <= limit}


def _matches(exercise: str, given: dict[str, str], rare: dict[str, str]) -> Iterator[tuple[str, str, Match]]:
    holders = defaultdict(list)
    for student in sorted(rare):
        holders[rare[student]].append(student)
    alike = [(form, form, 1.0) for form in holders] + list(_near(list(holders)))
    for one, other, similarity in alike:
        for first in holders[one]:
            for second in holders[other]:
                if first < second or (one != other and first != second):
                    a, b = sorted((first, second))
                    same = given[a].split() == given[b].split()
                    yield a, b, Match(exercise, round(similarity, 3), same, min(len(one), len(other)))


def _like_one_of(forms: list[str], known: list[str]) -> set[str]:
    """Return the forms that are nearly one of the known ones."""
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cdist

    if not forms or not known:
        return set()
    scores = cdist(forms, known, scorer=Indel.normalized_similarity, score_cutoff=ALIKE)
    return {form for form, row in zip(forms, scores, strict=True) if row.any()}


def _near(forms: list[str]) -> Iterator[tuple[str, str, float]]:
    """Yield the pairs of different forms that are nearly the same."""
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cdist

    if len(forms) < 2:
        return
    scores = cdist(forms, forms, scorer=Indel.normalized_similarity, score_cutoff=ALIKE)
    for i, j in zip(*scores.nonzero(), strict=True):
        if i < j:
            yield forms[i], forms[j], float(scores[i, j])


def functions(path: Path) -> list[str]:
    """Return the code of every function in a lab's `checks.py`: its variations and wrong answers are public, too."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [ast.unparse(node) for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


@lru_cache(maxsize=50_000)
def parts(code: str) -> str:
    """Return the syntax tree of an answer as one letter for each part, own names numbered in the order in which they come.

    What does not parse becomes its words; so a copied answer with the same slip is still found.
    """
    try:
        tree = ast.parse(code)
        names = _own_names(tree)
        return "".join(_letter(part) for part in _walk(tree, names))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "".join(_letter(word) for word in code.split())


def _own_names(tree: ast.AST) -> dict[str, str]:
    """Return a number for every name that the code itself gives: arguments, variables, functions."""
    own: dict[str, str] = {}
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.FunctionDef):
            name = node.name
        if name:
            own.setdefault(name, f"#{len(own)}")
    return own


SKIPPED = {"annotation", "returns", "type_comment", "ctx", "kind", "decorator_list", "type_params", "simple"}


def _walk(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    yield type(node).__name__
    for field, value in ast.iter_fields(node):
        if field in SKIPPED or value is None:
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                if not _says_nothing(one):
                    yield from _walk(one, names)
            elif isinstance(one, str) and field in ("id", "arg", "name"):
                yield names.get(one, one)
            else:
                yield repr(one)


def _says_nothing(node: ast.AST) -> bool:
    """Whether a statement is a docstring or another loose constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


_letters: dict[str, str] = {}


def _letter(part: str) -> str:
    """Return a character that stands for this part, always the same one."""
    return _letters.setdefault(part, chr(0x100 + len(_letters) % 0xD000))
