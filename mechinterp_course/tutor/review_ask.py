"""What a card asks and what it shows afterwards, for the terminal and the notebook alike. Imports nothing heavy."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import journal, progress, review
from .catalog import Course, Question
from .compare import answer
from .journal import Entry
from .review import Card
from .workspace import Workspace

SAYS = {
    "exercise": "an exercise, on new inputs",
    "quiz": "a quiz question",
    "predict": "a prediction",
    "term": "a term",
    "question": "your own question",
}
RATINGS = (
    ("again", "I did not know it"),
    ("hard", "I knew it, with effort"),
    ("good", "I knew it"),
    ("easy", "I knew it at once"),
)
FOUND = (("again", "It is still open"), ("good", "I know the answer now"))


@dataclass(frozen=True)
class Ask:
    """A card, ready to be asked. `front` and `back` are markdown; a question with choices has them in a new order."""

    card: Card
    heading: str
    front: str
    back: str = ""
    question: Question | None = None
    starter: str = ""

    @property
    def choices(self) -> tuple[tuple[str, str], ...]:
        """The ratings that a learner gives themselves, as (rating, words); none where the answer itself decides."""
        if self.question:
            return ()
        return FOUND if self.card.kind == "question" else RATINGS


def standing(ws: Workspace, course: Course) -> tuple[list[Card], list[Entry]]:
    """Return every card of a workspace, and the entries of the journal."""
    entries = journal.collect(ws, course)
    return all_cards(progress.load(ws.root), course, entries), entries


def all_cards(events: Iterable, course: Course, entries: Iterable[Entry]) -> list[Card]:
    """Return every card, those of the journal's open questions too."""
    asked = [(entry.id, entry.day, entry.lesson) for entry in journal.open_questions(entries)]
    return review.cards(events, course, asked)


def ask(card: Card, course: Course, entries: Iterable[Entry] = ()) -> Ask:
    """Return what a card asks."""
    lesson = next((one for one in course.lessons if one.id == card.lesson), None)
    where = f"Lesson {lesson.number} · " if lesson else ""
    made = Ask(card, f"{where}{SAYS[card.kind]}. {card.why}", "")
    if card.kind == "exercise":
        exercise = course.exercises[card.name]
        return replace(
            made,
            front=f"**{exercise.card.title}.** {exercise.card.purpose}\n\nHow do you write `{card.name}`?",
            back=exercise.card.outline.strip(),
            starter=starter(exercise.answer.source),
        )
    if card.kind in ("quiz", "predict"):
        question = shuffled(course.questions[card.name], card.looks)
        return replace(made, front=question.question, question=question)
    if card.kind == "term":
        return replace(made, front=f"What does **{card.name}** mean?", back=course.glossary[card.name])
    entry = next(one for one in entries if one.id == card.name)
    return replace(
        made,
        front=entry.text,
        back="Would you know how to find out? Write the answer below the question, in its lesson.",
    )


def shuffled(question: Question, looks: int) -> Question:
    """Return the question with its choices in another order, so that it is not the letter that is remembered."""
    order = list(range(len(question.choices)))
    random.Random(f"{question.id} {looks}").shuffle(order)
    return replace(
        question,
        choices=tuple(question.choices[i] for i in order),
        why=tuple(question.why[i] for i in order),
        answer=order.index(question.answer),
    )


def starter(source: str) -> str:
    """Return an answer cell as it was before anybody wrote in it: the solution replaced by the line that stood there."""
    lines, inside = [], False
    for line in source.splitlines():
        if line.strip() == "### BEGIN SOLUTION":
            inside = True
            lines.append(f"{line[: len(line) - len(line.lstrip())]}raise NotImplementedError()")
        elif line.strip() == "### END SOLUTION":
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines).strip("\n")


def settle(asked: Ask, rating: str, **more) -> None:
    """Record the look at a card; a question of the journal that is known now is marked as answered, too."""
    if asked.card.kind == "question" and rating != "again":
        journal.record_answer(asked.card.name, answer="")
    review.rate(asked.card, rating, **more)


def course_answer(asked: Ask, course: Course) -> str:
    """Return the course's own code for an exercise."""
    return answer(course.exercises[asked.card.name].answer.source)
