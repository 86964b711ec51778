"""Questions in a notebook: `predict(id)` before a reveal, `reveal(id)`, and `quiz(id)` with its answer at once.

A question is shown as widgets where the notebook has them, otherwise as text that says how to answer in code; nothing waits
for an answer. Answers are recorded. A prediction can be changed until its reveal, and is then left as it was.
Imports `catalog`, `progress` and `question_view`.
"""

from html import escape

from ..errors import unknown
from . import progress
from . import question_view as view
from .catalog import Question, course
from .progress import QuestionState


def predict(id: str, choice: str | None = None, sure: int | None = None) -> None:
    """Ask for a prediction; with `choice` (its letter) and `sure` (50, 70 or 90), answer in code."""
    question = _question(id, "predict")
    standing = _standing(question)
    if standing.revealed:
        _say(_too_late(question, standing))
    elif choice is not None:
        print(_save_prediction(question, _index(question, choice), sure))
    else:
        note = "" if standing.choice is None else _saved(question, standing.choice, standing.sure)
        _ask(question, standing, lambda i, percent: _paragraph(_save_prediction(question, i, percent)), note)


def quiz(id: str, choice: str | None = None) -> None:
    """Ask a question and explain every choice once it is answered; with `choice` (its letter), answer in code."""
    question = _question(id, "quiz")
    if choice is not None:
        index = _index(question, choice)
        print(_answer_quiz(question, index, view.explanation_text) if index is not None else _choose(question))
        return
    standing = _standing(question)
    note, html = "", ""
    if standing.choice is not None:
        opening = _verdict(question, standing.choice)
        note = f"Your answer: {view.letter(standing.choice)}. {opening}"
        html = view.explanation_html(question, opening, standing.choice)

    def answered(index: int | None, _sure) -> str:
        if index is None:
            return _paragraph("Choose an answer first.")
        return _answer_quiz(question, index, view.explanation_html)

    _ask(question, standing, answered, note, html)


def reveal(id: str) -> None:
    """Show the right answer beside the prediction that was made, and explain every choice."""
    question = _question(id, "predict")
    standing = _standing(question)
    if not standing.revealed:
        choice = None if standing.choice is None else question.choices[standing.choice]
        progress.record("reveal", question=id, choice=choice, sure=standing.sure)
    right = f"The answer is {view.letter(question.answer)}."
    if standing.choice is None:
        opening = f"You made no prediction this time, and that is fine: a guess before the next one will teach you more. {right}"
    else:
        opening = f"{_what_stood(question, standing)} {'That is right.' if standing.right else right}"
    text = view.explanation_text(question, opening, standing.choice)
    view.show(text, view.boxed(view.explanation_html(question, opening, standing.choice)))


# --- inside ---------------------------------------------------------------------------------------------------------


def _question(id: str, kind: str) -> Question:
    book = course()
    names = [q.id for q in book.questions.values() if q.kind == kind]
    if isinstance(id, str) and id not in names:
        raise unknown({"predict": "prediction", "quiz": "quiz question"}[kind], id, names)
    return book.question(id)


def _standing(question: Question) -> QuestionState:
    """Return what was answered so far, in this session or an earlier one."""
    return progress.question_state(progress.load(), question)


def _ask(question: Question, standing: QuestionState, answered, note: str, html: str = "") -> None:
    widget = None
    if view.in_kernel():
        try:
            widget = view.question_widget(question, standing.choice, standing.sure, answered, html or _paragraph(note))
        except ImportError:  # no widgets here: the text says how to answer
            widget = None
    view.show(view.question_text(question, note), view.question_html(question, note), widget)


def _save_prediction(question: Question, choice: int | None, sure: int | None) -> str:
    """Record the prediction where it is complete and not too late; return the sentence that says so."""
    if choice is None:
        return _choose(question)
    if sure not in view.SURE:
        return f"How sure are you? Choose {view.SURE_WORDS}."
    standing = _standing(question)
    if standing.revealed:
        return _too_late(question, standing)
    progress.record("predict", question=question.id, choice=question.choices[choice], sure=sure)
    return _saved(question, choice, sure)


def _saved(question: Question, choice: int, sure: int | None) -> str:
    return (
        f"Saved: {view.letter(choice)}) {view.as_plain(question.choices[choice])}{_how_sure(sure)}. "
        f'You can change it until you run reveal("{question.id}").'
    )


def _too_late(question: Question, standing: QuestionState) -> str:
    return f"The answer to this one is out, so the prediction stays as it was. {_what_stood(question, standing)}"


def _what_stood(question: Question, standing: QuestionState) -> str:
    if standing.choice is None:
        return "You made none."
    choice = view.as_plain(question.choices[standing.choice])
    return f"You predicted {view.letter(standing.choice)}) {choice}{_how_sure(standing.sure)}."


def _how_sure(sure: int | None) -> str:
    return f", {sure} % sure" if sure else ""


def _answer_quiz(question: Question, choice: int, explanation) -> str:
    progress.record("quiz", question=question.id, choice=question.choices[choice])
    return explanation(question, _verdict(question, choice), choice)


def _verdict(question: Question, choice: int) -> str:
    return "Right." if choice == question.answer else f"Not this one. The answer is {view.letter(question.answer)}."


def _index(question: Question, choice: str) -> int | None:
    """Return the index of the choice with that letter, or None."""
    wanted = str(choice).strip().rstrip(").").lower()
    return next((i for i in range(len(question.choices)) if view.letter(i) == wanted), None)


def _choose(question: Question) -> str:
    return f"Choose one of {', '.join(view.letter(i) for i in range(len(question.choices)))}."


def _say(sentence: str) -> None:
    view.show(sentence, view.boxed(_paragraph(sentence)))


def _paragraph(sentence: str) -> str:
    return f'<p role="status">{escape(sentence)}</p>' if sentence else ""
