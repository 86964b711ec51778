"""Review in a notebook: `review()` shows the cards that fit into five minutes, `recheck(name, function)` checks an old exercise.

The cards use the form of the questions (`question_view.py`): radio buttons and one button, all by keyboard.
"""

from datetime import date
from html import escape

from ..errors import CourseError
from . import progress, workspace
from . import question_view as view
from . import review as cards
from .catalog import course
from .review_ask import Ask, ask, settle, standing
from .workspace import Workspace


def review(minutes: float = cards.MINUTES) -> None:
    """Show the cards that are due and fit into so many minutes, the longest overdue first."""
    ws, book = workspace.find(), course()
    every, entries = standing(ws, book)
    due, chosen = cards.due(every, date.today()), cards.session(every, date.today(), minutes)
    if not chosen:
        _say(
            "Nothing is due today. Cards come from exercises you passed, questions you missed, and terms of lessons you read."
        )
        return
    total = sum(card.minutes for card in chosen)
    later = f" {len(due) - len(chosen)} more are due; they can wait." if len(due) > len(chosen) else ""
    _say(f"{_count(len(chosen), 'card')}, about {_count(max(1, round(total)), 'minute')}.{later}")
    for number, card in enumerate(chosen, 1):
        _show(ask(card, book, entries), f"{number} of {len(chosen)}", ws)


def recheck(name: str, answer) -> None:
    """Check an old exercise, written anew, on new inputs, and keep how it went for the review."""
    from .runner import CheckFailed, examine

    book = course()
    book.exercise(name)  # a misspelt name is told before anything runs
    events = progress.load()
    mine = next((card for card in cards.cards(events, book) if card.id == f"exercise:{name}"), None)
    if mine is None:
        raise CourseError(
            f"{name} is not in your review: it was not passed yet.", f'check("{name}", {name}) is for that.'
        )
    verdict = examine(name, answer, seed=mine.seed)
    if mine.due <= date.today():
        cards.rate(mine, "good" if verdict.passed else "again", checked=True)
    if not verdict.passed:
        raise CheckFailed(verdict)
    print("\n".join(verdict.lines()))


def _show(asked: Ask, place: str, ws: Workspace) -> None:
    """Show one card: as a form where there are widgets, else as text that says how to answer in a terminal."""
    heading = f"{place} · {asked.heading}"
    widget = None
    if view.in_kernel():
        try:
            widget = _widget(asked, heading)
        except ImportError:
            widget = None
    view.show(_text(asked, heading), _html(asked, heading), widget)


def _widget(asked: Ask, heading: str):
    labels = _labels(asked)
    done: list[str] = []  # a second click on a card that is settled changes nothing

    def answered(choice: int | None, _sure) -> str:
        if choice is None:
            return _paragraph("Choose one first.")
        if not done:
            done.append(_settled(asked, choice))
        return done[0]

    return view.form(_front(asked, heading), labels, "Answer" if asked.question else "Save", answered)


def _settled(asked: Ask, choice: int) -> str:
    """Record what was chosen and return what is said to it, as HTML."""
    if asked.question:
        right = choice == asked.question.answer
        settle(asked, "good" if right else "again")
        opening = "Right." if right else f"Not this one. It is {view.letter(asked.question.answer)}."
        return view.explanation_html(asked.question, opening, choice)
    rating, words = asked.choices[choice]
    settle(asked, rating)
    return _paragraph(f"Kept: {words[0].lower()}{words[1:]}. It comes back when it is worth asking again.")


def _labels(asked: Ask) -> list[str]:
    if asked.question:
        return [f"{view.letter(i)}) {view.as_html(text)}" for i, text in enumerate(asked.question.choices)]
    return [escape(words) for _, words in asked.choices]


def _front(asked: Ask, heading: str) -> str:
    """Return what a card asks as HTML, with what it covers below a line to click."""
    parts = [f"<small>{escape(heading)}</small>", f"<div>{_block(asked.front)}</div>"]
    if asked.starter:
        call = f'recheck("{asked.card.name}", {asked.card.name})'
        parts.append(
            "<p>Write it in a new cell below, without looking, then run "
            f"<code>from mechinterp_course import recheck</code> and <code>{escape(call)}</code>: it is checked on new inputs and "
            "kept. Or say the steps to yourself, look, and rate yourself.</p>"
            f"<details><summary>Where it begins</summary><pre>{escape(asked.starter)}</pre></details>"
        )
    if asked.back:
        parts.append(f"<details><summary>Look</summary>{_block(asked.back)}</details>")
    return "".join(parts)


def _html(asked: Ask, heading: str) -> str:
    """Return a card without a form, for a notebook without widgets."""
    items = "".join(f"<li>{label}</li>" for label in _labels(asked))
    how = "<p>To answer, run <code>mechinterp review</code> in a terminal.</p>"
    return view.boxed(f"{_front(asked, heading)}<ul>{items}</ul>{how}")


def _text(asked: Ask, heading: str) -> str:
    lines = [heading, view.as_plain(asked.front)]
    if asked.question:
        lines += [f"  {view.letter(i)}) {view.as_plain(text)}" for i, text in enumerate(asked.question.choices)]
    return "\n".join([*lines, "To answer, run `mechinterp review` in a terminal."])


def _block(text: str) -> str:
    return "".join(f"<p>{view.as_html(part)}</p>" for part in text.split("\n\n"))


def _paragraph(sentence: str) -> str:
    return f'<p role="status">{escape(sentence)}</p>'


def _say(sentence: str) -> None:
    view.show(sentence, view.boxed(_paragraph(sentence)))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
