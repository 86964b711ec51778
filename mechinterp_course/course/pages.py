"""The parts of a notebook that nobody writes: navigation, cards, stopping points, the table of contents, the glossary.

Imports the catalogue and the notebook's own words; nothing of nbgrader.
"""

import html
import re

from ..tutor.catalog import Card, Course, Lesson, read_cells
from ..tutor.papers import first_read
from .markup import GLOSSARY, HOME, anchor, lab_path, lesson_path, relative, resolve
from .notebook import Ids, new_cell

_DOT = " &nbsp;·&nbsp; "
ASKED = "## Questions I still have"
SURPRISED = """## What surprised me

Write it here: double-click this cell. What happened that you did not expect, or did not happen that you did? One sentence is enough."""
ONE_A_LINE = """One question a line. `mechinterp journal` shows all that you have written, by day, and your questions come back in review
until they are answered: write the answer below a question, after an arrow (`->`)."""
_READ = re.compile(r"(?ms)^## Read\s*$.*?(?=^## |\Z)")  # the section, up to the next one
CONTENTS = "[[contents]]"  # where home.py wants the table of lessons


def navigation(course: Course, lesson: Lesson, here: str, kind: str) -> tuple[str, str]:
    """Return the line above and the line below a notebook: previous, contents, next."""
    before, after = course.neighbours(lesson)
    reading, lab = _lesson_of(lesson), _lab_of(lesson)
    if kind == "lesson":
        previous, following = (_lab_of(before) if before else None), lab
        about = f"Lesson {lesson.number} · reading · about {_minutes(lesson.minutes)}"
    else:
        previous, following = reading, (_lesson_of(after) if after else None)
        lab_minutes = sum(exercise.card.minutes for exercise in lesson.exercises)
        about = f"Lesson {lesson.number} · lab · about {_minutes(lab_minutes)}"
    if kind == "solution":
        about = f"Lesson {lesson.number} · the course's answers to [the lab]({relative(lab[1], here)})"
    parts = [f"[← {previous[0]}]({relative(previous[1], here)})"] if previous else []
    parts.append(f"[Contents]({relative(HOME, here)})")
    parts += [f"[{following[0]} →]({relative(following[1], here)})"] if following else []
    line = _DOT.join(parts)
    return f"{line}\n\n{about}", f"---\n\n{line}"


def card_text(card: Card, number: int, with_hint: bool = True) -> str:
    """Return an exercise's card as it stands in the notebook."""
    facts = [
        f"difficulty {card.difficulty}/5",
        f"importance {card.importance}/5",
        f"about {_minutes(card.minutes)}",
        _count(card.points, "point"),
    ]
    if card.uses:
        facts.append("uses " + ", ".join(f"`{name}`" for name in card.uses))
    lines = [f"## Exercise {number}: {card.title}", card.purpose, " · ".join(facts)]
    if with_hint:
        lines.append(f'Stuck? Run `hint("{card.name}")` in a new cell.')
    return "\n\n".join(line for line in lines if line)


def sitting_text(lesson: Lesson, number: int) -> str:
    """Return the cell that opens a part of a lab; from the second part on it is a place to stop."""
    sitting = lesson.sittings[number]
    name = sitting.name[0].upper() + sitting.name[1:]
    size = f"{_count(len(sitting.exercises), 'exercise')}, about {_minutes(sitting.minutes)}."
    last = lesson.sittings[-1].name
    if lesson.sittings[number - 1].exercises:
        done = lesson.sittings[number - 1].name
        return (
            f"# {name}\n\n**A good place to stop.** {done[0].upper() + done[1:]} ends here. Save the notebook; "
            "when you are back, `mechinterp` opens it again, and this cell is where you go on.\n\n"
            "A notebook that was closed has forgotten what its cells made. Click this cell, then choose *Run → Run All "
            "Above Selected Cell*. It stops at an exercise that is not solved yet: solve it, or take the course's function "
            f'with `NAME = borrow("NAME")` in a cell of your own, and go on from there.\n\n{name}: {size}'
        )
    return f"# {name}\n\nThis lab is cut into parts that fit into an hour each, up to {last}.\n\n{name}: {size}"


def home_cells(course: Course) -> list:
    """Return the cells of the home notebook: `content/home.py`, with the table of lessons where it asks for it."""
    written = read_cells(course.root / "home.py") if (course.root / "home.py").is_file() else ()
    table, ids, cells, placed = contents_table(course), Ids(), [], False
    for cell in written:
        source = cell.source
        if cell.type == "markdown":
            placed |= CONTENTS in source
            source = resolve(source, course, HOME).replace(CONTENTS, table)
        cells.append(new_cell(cell.type, source, ids.next(cell)))
    if not written:
        cells.append(new_cell("markdown", f"# {course.title}", "title"))
    if not placed:
        cells.append(new_cell("markdown", f"## Lessons\n\n{table}", "contents"))
    first = course.lessons[0]
    links = (
        f"[Glossary]({relative(GLOSSARY, HOME)}){_DOT}[{_lesson_of(first)[0]} →]({relative(lesson_path(first), HOME)})"
    )
    return [*cells, new_cell("markdown", f"---\n\n{links}", "nav-bottom")]


def contents_table(course: Course) -> str:
    """Return the table of all lessons, those that are not built yet too."""
    built = {lesson.number: lesson for lesson in course.lessons}
    titles = course.map | {number: lesson.title for number, lesson in built.items()}
    rows = ["| | Lesson | Lab | Minutes: reading + parts of the lab |", "|---|---|---|---|"]
    for number, title in sorted(titles.items()):
        lesson = built.get(number)
        if lesson is None:
            rows.append(f"| {number} | {title} | *not built yet* | |")
            continue
        reading = relative(lesson_path(lesson), HOME)
        lab = relative(lab_path(lesson), HOME)
        count = _count(len(lesson.exercises), "exercise")
        minutes = " + ".join(str(sitting.minutes) for sitting in lesson.sittings)
        rows.append(f"| {number} | [{title}]({reading}): {lesson.summary} | [Lab]({lab}), {count} | {minutes} |")
    return "\n".join(rows)


def with_questions(course: Course, lesson: Lesson, source: str) -> str:
    """Return a cell's text with, at the end of its Read section, the questions to read each paper with.

    A paper's questions stand in the lesson that is the first to send to it.
    """
    found = _READ.search(source)
    steps = first_read(course, lesson) if found else []
    if not steps:
        return source
    blocks = [
        f"<details><summary>{html.escape(step.short)}, <i>{html.escape(step.paper['title'])}</i>: read "
        f"{html.escape(step.paper.get('read', 'all of it'))}. About {_minutes(step.paper['minutes'])}.</summary>\n\n"
        + "\n".join(f"{i}. {question}" for i, question in enumerate(step.questions, 1))
        + f"\n\nRead? `mechinterp papers --done {step.id}` keeps it.\n\n</details>"
        for step in steps
    ]
    asked = "Three questions to read each with; click to open:\n\n" + "\n".join(blocks)
    return f"{source[: found.end()].rstrip()}\n\n{asked}\n\n{source[found.end() :]}".rstrip("\n")


def with_journal(cells: list) -> list:
    """Return the cells with the journal at the end: "What surprised me", and "Questions I still have" in a cell of its own.

    The lesson writes its invitation to ask; the rest is the same in every lesson. `mechinterp journal` reads these cells by their ids.
    """
    found = next((i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and ASKED in cell.source), None)
    if found is None:
        return cells
    before, after = cells[found].source.split(ASKED, 1)
    invitation, *rest = re.split(r"(?m)^(?=## )", after, maxsplit=1)
    journal = [
        new_cell("markdown", SURPRISED, "journal-surprised"),
        new_cell("markdown", f"{ASKED}\n\n{invitation.strip()}\n\n{ONE_A_LINE}", "journal-questions"),
    ]
    cells[found].source = before.rstrip()
    kept = [cells[found]] if cells[found].source else []
    later = [new_cell("markdown", rest[0], f"{cells[found].id}-after")] if rest else []
    return [*cells[:found], *kept, *journal, *later, *cells[found + 1 :]]


def glossary_cells(course: Course) -> list:
    """Return the cells of the glossary: one for each term, which its heading names."""
    contents = f"[Contents]({relative(HOME, GLOSSARY)})"
    opening = f"{contents}\n\n# Glossary\n\nEvery term of the course, in one sentence."
    cells = [new_cell("markdown", opening, "nav-top")]
    for term, meaning in sorted(course.glossary.items(), key=lambda item: item[0].lower()):
        id = f"term-{anchor(term).lower()}"
        cells.append(new_cell("markdown", f"### {term}\n\n{resolve(meaning, course, GLOSSARY)}", id))
    return [*cells, new_cell("markdown", f"---\n\n{contents}", "nav-bottom")]


def _lesson_of(lesson: Lesson) -> tuple[str, str]:
    return f"Lesson {lesson.number}: {lesson.title}", lesson_path(lesson)


def _lab_of(lesson: Lesson) -> tuple[str, str]:
    return f"Lab {lesson.number}: {lesson.title}", lab_path(lesson)


def _minutes(number: int) -> str:
    return _count(number, "minute")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
