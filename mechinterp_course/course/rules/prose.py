"""Rules about the text: sections, predictions, glossary terms, papers, and links that lead somewhere."""

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

import nbformat

from ...tutor.catalog import Cell, Course, Lesson, Question
from ..build import lesson_notebook, solution_notebook, source_notebook
from ..markup import GLOSSARY, HOME, anchor, destination, headings, lab_path, lesson_path, references, solution_path
from ..pages import glossary_cells, home_cells
from .base import COURSE, Finding, rule

SECTIONS = (
    "Core Learning",
    "Watch",
    "Read",
    "Do",
    "ML Connection",
    "What this does not show",
    "Questions I still have",
)
LEAST_PREDICTIONS = 2
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=[\"']([^\"']+)[\"']")
_ADDRESS = re.compile(r"https?://|\bwww\.", re.IGNORECASE)
_TABLE_HEAD = re.compile(r"^\|(.*)\|[ ]*\n\|[-:| ]+\|[ ]*$", re.MULTILINE)
_MARK = re.compile(r"\[\[[a-z]+:[^\]]*\]\]")
_PAPER_FIELDS = ("kind", "authors", "title", "year", "address", "minutes", "checked")
_PAPER_KINDS = ("paper", "video", "docs", "post")


@rule("sections", f"A lesson opens with its title and has these sections, in this order: {', '.join(SECTIONS)}.")
def sections(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for cells, title, file in (
        (lesson.lesson_cells, lesson.title, "lesson.py"),
        (lesson.lab_cells, f"{lesson.title}: the lab", "lab.py"),
    ):
        first = next(headings(cells[0].source), (0, "")) if cells and cells[0].type == "markdown" else (0, "")
        if first != (1, title):
            yield Finding("sections", lesson.stem, None, None, f"{file} must open with the heading `# {title}`.")
    found = [(text, i) for i, cell in enumerate(lesson.lesson_cells) for level, text in _headings(cell) if level == 2]
    missing = [name for name in SECTIONS if name not in [text for text, _ in found]]
    if missing:
        yield Finding("sections", lesson.stem, None, None, f"lesson.py lacks the section {', '.join(missing)}.")
    elif [text for text, _ in found] != list(SECTIONS):
        extra = [text for text, _ in found if text not in SECTIONS]
        message = f"the section {extra[0]!r} is not one of them." if extra else "its sections are in another order."
        yield Finding("sections", lesson.stem, None, None, message)
    for at, (name, i) in enumerate(found):
        end = found[at + 1][1] if at + 1 < len(found) else len(lesson.lesson_cells)
        body = "\n".join(cell.source for cell in lesson.lesson_cells[i : max(end, i + 1)])
        if name in SECTIONS and not re.sub(r"^#+ .*$", "", body, flags=re.MULTILINE).strip():
            yield Finding("sections", lesson.stem, None, None, f"the section {name!r} is empty.")


def _headings(cell: Cell) -> list[tuple[int, str]]:
    return list(headings(cell.source)) if cell.type == "markdown" else []


@rule(
    "predictions",
    f"A lesson asks at least {LEAST_PREDICTIONS} predictions; each has its reveal, and a word on every choice.",
)
def predictions(course: Course, lesson: Lesson) -> Iterator[Finding]:
    asked = {cell.marks["predict"]: i for i, cell in enumerate(lesson.lesson_cells) if "predict" in cell.marks}
    if len(asked) < LEAST_PREDICTIONS:
        message = f"it asks {len(asked)} predictions; it needs {LEAST_PREDICTIONS}."
        yield Finding("predictions", lesson.stem, None, None, message)
    for question in lesson.questions:
        for message in _question_faults(question):
            yield Finding("predictions", lesson.stem, None, question.id, message)
    for cells in (lesson.lesson_cells, lesson.lab_cells):
        asked = {cell.marks["predict"]: i for i, cell in enumerate(cells) if "predict" in cell.marks}
        for id, at in asked.items():
            shown = [
                i for i, cell in enumerate(cells) if re.search(rf"\breveal\(\s*['\"]{re.escape(id)}['\"]", cell.source)
            ]
            if not any(i > at for i in shown):
                message = f'no cell after it says reveal("{id}").'
                yield Finding("predictions", lesson.stem, None, id, message)
            if any(i < at for i in shown):
                yield Finding("predictions", lesson.stem, None, id, "it is revealed before it is asked.")


def _question_faults(question: Question) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", question.id):
        yield "its id must be letters, digits, - and _, at most 50."
    if len(question.choices) < 2:
        yield "it needs at least two choices."
    if len(set(question.choices)) < len(question.choices):
        yield "two of its choices are the same."
    if not isinstance(question.answer, int) or not 0 <= question.answer < len(question.choices):
        yield f"its answer is {question.answer}; it is the number of a choice, from 0 to {len(question.choices) - 1}."
    if len(question.why) != len(question.choices) or not all(str(why).strip() for why in question.why):
        yield "it needs a word (why) on every choice."
    if not question.question:
        yield "it has no question."


def _texts(lesson: Lesson) -> Iterator[str]:
    """Yield the text in which links may stand: the markdown of both files, and what each exercise is for."""
    for cell in (*lesson.lesson_cells, *lesson.lab_cells):
        if cell.type == "markdown":
            yield cell.source
    for exercise in lesson.exercises:
        yield exercise.card.purpose


def _unknown(course: Course, lesson: Lesson, kinds: tuple[str, ...]) -> list[str]:
    found = [r for text in _texts(lesson) for r in references(text) if r.kind in kinds]
    return [f"{r.kind}:{r.name}" for r in dict.fromkeys(found) if not destination(r, course)[0]]


@rule("terms", "Every glossary term that a lesson links to is in glossary.toml.")
def terms(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for name in _unknown(course, lesson, ("term",)):
        yield Finding("terms", lesson.stem, None, None, f"[[{name}]] is not in glossary.toml.")


@rule("papers", "Every paper that a lesson links to is in papers.toml.")
def papers(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for name in _unknown(course, lesson, ("paper",)):
        yield Finding("papers", lesson.stem, None, None, f"[[{name}]] is not in papers.toml, or has no address.")


@rule("library", "Every entry of papers.toml is complete, and every glossary term has a meaning.", COURSE)
def library(course: Course) -> Iterator[Finding]:
    for id, paper in course.papers.items():
        missing = [field for field in _PAPER_FIELDS if not paper.get(field)]
        if missing:
            yield Finding("library", "course", None, id, f"papers.toml: {id} lacks {', '.join(missing)}.")
        if paper.get("kind", "paper") not in _PAPER_KINDS:
            yield Finding(
                "library", "course", None, id, f"papers.toml: the kind of {id} is one of {', '.join(_PAPER_KINDS)}."
            )
        if not str(paper.get("address", "https://")).startswith("https://"):
            yield Finding("library", "course", None, id, f"papers.toml: the address of {id} must begin with https://.")
        if not re.fullmatch(r"unchecked|\d{4}-\d\d-\d\d", str(paper.get("checked", "unchecked"))):
            yield Finding("library", "course", None, id, f'papers.toml: `checked` of {id} is a date or "unchecked".')
    for term, meaning in course.glossary.items():
        if not meaning.strip():
            yield Finding("library", "course", None, term, f"glossary.toml: {term} has no meaning.")


@rule("addresses", "No external address stands in a lesson: they live in papers.toml.")
def addresses(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for name, cells in (("lesson.py", lesson.lesson_cells), ("lab.py", lesson.lab_cells)):
        for cell in cells:
            if _ADDRESS.search(cell.source):
                message = (
                    f"{name}, cell at line {cell.line}: move the address to papers.toml and link with [[paper:...]]."
                )
                yield Finding("addresses", lesson.stem, None, None, message)


@rule("tables", "Every column of a table has a heading: it is read aloud with each cell.")
def tables(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for name, cells in (("lesson.py", lesson.lesson_cells), ("lab.py", lesson.lab_cells)):
        for cell in cells:
            heads = _TABLE_HEAD.findall(cell.source) if cell.type == "markdown" else []
            if any(not head.strip() for row in heads for head in row.split("|")):
                message = f"{name}, cell at line {cell.line}: a column of the table has no heading."
                yield Finding("tables", lesson.stem, None, None, message)


@rule("links", "Every link to another lesson, notebook or heading leads somewhere.")
def links(course: Course, lesson: Lesson) -> Iterator[Finding]:
    for name in _unknown(course, lesson, ("lesson", "lab")):
        yield Finding("links", lesson.stem, None, None, f"[[{name}]] is not built.")
    for here, made in (
        (lesson_path(lesson), lesson_notebook(course, lesson)),
        (lab_path(lesson), source_notebook(course, lesson)),
        (solution_path(lesson), solution_notebook(course, lesson)),
    ):
        for cell, message in dead_links(course, here, made.cells):
            yield Finding("links", lesson.stem, None, cell.id, f"{here}: {message}")
    plain = [hint for exercise in lesson.exercises for hint in exercise.card.hints]
    plain += [text for q in lesson.questions for text in (q.question, *q.choices, *q.why)]
    for text in plain:
        for mark in _MARK.findall(text):
            yield Finding("links", lesson.stem, None, None, f"{mark}: a hint or a question cannot hold a link.")


@rule("shared-links", "Every link of the home and glossary notebooks leads somewhere.", COURSE)
def shared_links(course: Course) -> Iterator[Finding]:
    for here, cells in ((HOME, home_cells(course)), (GLOSSARY, glossary_cells(course))):
        for cell, message in dead_links(course, here, cells):
            yield Finding("shared-links", "course", None, cell.id, f"{here}: {message}")


def dead_links(course: Course, here: str, cells: list) -> Iterator[tuple[nbformat.NotebookNode, str]]:
    """Yield the cell and the fault of every link inside the course that leads nowhere."""
    for cell in cells:
        if cell.cell_type != "markdown":
            continue
        text = _CODE.sub("", cell.source)
        for mark in _MARK.findall(text):
            yield cell, f"{mark} is not a link that the builder knows."
        for found in _LINK.finditer(text):
            target = found[1] or found[2]
            if not re.match(r"[a-z]+:", target):
                fault = _dead(course, here, target)
                if fault:
                    yield cell, fault


def _dead(course: Course, here: str, target: str) -> str:
    path, _, name = target.partition("#")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(here), path)) if path else here
    cells = _cells_at(course, there)
    if cells is None:
        return f"the link to {target} leads nowhere."
    names = {anchor(text) for cell in cells if cell.cell_type == "markdown" for _, text in headings(cell.source)}
    return "" if not name or unquote(name) in names else f"{there} has no heading for #{name}."


def _cells_at(course: Course, path: str) -> list | None:
    """Return the cells of the notebook at that path, or None where no build makes one."""
    if path == HOME:
        return home_cells(course)
    if path == GLOSSARY:
        return glossary_cells(course)
    for lesson in course.lessons:
        if path == lesson_path(lesson):
            return lesson_notebook(course, lesson).cells
        if path in (lab_path(lesson), solution_path(lesson)):
            return source_notebook(course, lesson).cells
    return None
