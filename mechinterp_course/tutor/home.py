"""`home()`: the lessons with progress, links and what is next, as one table in the home notebook.

Links are relative to the folder `lessons/`, where the home notebook stands; JupyterLab opens them itself. Imports `catalog`
and `progress`; IPython inside a function.
"""

from datetime import date
from html import escape

from . import progress
from .catalog import Course, Lesson, course
from .progress import Event, LessonState, State
from .question_view import show

# Jupyter's own colours, so that light and dark themes both work; the second value is for pages outside JupyterLab.
TEXT = "var(--jp-ui-font-color1, inherit)"
GREY = "var(--jp-ui-font-color2, #757575)"
LINE = "var(--jp-border-color2, #bdbdbd)"
BAR = "var(--jp-brand-color1, #1976d2)"
_CELL = "padding: 2px 10px; text-align: left; white-space: nowrap; background: transparent"


def home(today: date | None = None) -> None:
    """Show the lessons of the course, how far you are, and where to go on."""
    book = course()
    state = progress.state(progress.load(), book)
    today = today or date.today()
    show(home_text(book, state, today), home_html(book, state, today))


def home_text(book: Course, state: State, today: date) -> str:
    """Return the table as plain text."""
    lines = [sentence for sentence, _ in _opening(state, today)]
    built = {lesson.number: state.lessons[lesson.id] for lesson in book.lessons}
    for number, title in _numbers(book).items():
        if number not in built:
            lines.append(f"{number}  {title:<34} not built yet")
            continue
        lesson = built[number]
        done = round(10 * lesson.done / lesson.total) if lesson.total else 10 * lesson.finished
        bar = "█" * done + "░" * (10 - done)
        lines.append(f"{number}  {title:<34} {bar} {lesson.done:>2} of {lesson.total:<2}  {_left(lesson)}")
    return "\n".join(lines)


def home_html(book: Course, state: State, today: date) -> str:
    """Return what is next, and the table of the lessons, as HTML."""
    opening = "".join(f'<p style="margin: 4px 0">{html}</p>' for _, html in _opening(state, today))
    built = {lesson.number: state.lessons[lesson.id] for lesson in book.lessons}
    rows = [
        _row(built[number]) if number in built else _missing_row(number, title)
        for number, title in _numbers(book).items()
    ]
    names = ("", "Read", "Do", "Exercises", "Left")
    heads = "".join(f'<th scope="col" style="{_CELL}; font-weight: 600">{name}</th>' for name in names)
    return (
        f'<div style="color: {TEXT}; line-height: 1.5">{opening}'
        f'<table style="border-collapse: collapse; margin: 8px 0; font-size: inherit">'
        f'<thead><tr style="border-bottom: 1px solid {LINE}; background: transparent">{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def lesson_link(lesson: Lesson) -> str:
    """Return the address of the lesson's notebook, seen from the home notebook."""
    return f"{lesson.stem}.ipynb"


def lab_link(lesson: Lesson) -> str:
    """Return the address of the lab's notebook, seen from the home notebook."""
    return f"../exercises/{lesson.stem}/{lesson.stem}.ipynb"


def _numbers(book: Course) -> dict[str, str]:
    """Return the number and title of every lesson, built or not, in order."""
    titles = {**book.map, **{lesson.number: lesson.title for lesson in book.lessons}}
    return dict(sorted(titles.items()))


def _opening(state: State, today: date) -> list[tuple[str, str]]:
    """Return the sentences above the table, each as text and as HTML."""
    sentences = []
    if state.next is None:
        done = "Every lesson that is built is done."
        sentences.append((done, escape(done)))
    else:
        lesson, sitting = state.next.lesson, state.next.sitting
        reading = sitting.name == "reading"
        title = f"{lesson.number} {lesson.title}, {'the reading' if reading else sitting.name}"
        rest = f", about {sitting.minutes_left} minutes"
        exercise = state.next.exercise
        link = lesson_link(lesson) if reading else lab_link(lesson)
        first = f": {exercise}" if exercise else ""
        first_html = f": <code>{escape(exercise)}</code>" if exercise else ""
        sentences.append(
            (
                f"Next: {title}{first}{rest}.",
                f'<strong>Next: <a href="{escape(link)}">{escape(title)}</a></strong>{first_html}{rest}.',
            )
        )
    last = _last(state, today)
    if last:
        sentences.append((last, f'<span style="color: {GREY}">{escape(last)}</span>'))
    return sentences


def _last(state: State, today: date) -> str:
    if state.last is None:
        return ""
    streak = state.streak(today)
    days = f" {streak} days in a row." if streak > 1 else ""
    return f"Last time: {_day(state.last, today)}, {_what(state.last)}.{days}"


def _day(event: Event, today: date) -> str:
    day = date.fromisoformat(event.day)
    ago = (today - day).days
    return {0: "today", 1: "yesterday"}.get(ago, f"{day.day} {day:%B}" + (f" {day.year}" if ago > 300 else ""))


def _what(event: Event) -> str:
    name = next((event.data[key] for key in ("exercise", "question", "lesson") if key in event.data), "")
    done = {
        "check": "passed" if event.data.get("passed") else "tried",
        "hint": "a hint for",
        "borrow": "borrowed",
        "give_up": "looked up",
        "predict": "a prediction,",
        "reveal": "a reveal,",
        "quiz": "a question,",
        "open": "opened",
        "read": "read",
    }.get(event.kind, event.kind)
    return f"{done} {name}".strip()


def _left(lesson: LessonState) -> str:
    if lesson.finished:
        return "done" if lesson.passed == lesson.total else f"done, {lesson.passed} passed"
    return f"{lesson.minutes_left} min"


def _row(state: LessonState) -> str:
    lesson = state.lesson
    cells = (
        escape(lesson.number),
        f'<a href="{lesson_link(lesson)}">{escape(lesson.title)}</a>',
        f'<a href="{lab_link(lesson)}" aria-label="Lab of lesson {lesson.number}">lab</a>',
        _bar(state),
        _left(state),
    )
    return f'<tr style="background: transparent">{"".join(f"<td style={chr(34)}{_CELL}{chr(34)}>{c}</td>" for c in cells)}</tr>'


def _bar(state: LessonState) -> str:
    """Return a bar that is drawn with two coloured boxes: <progress> looks different in every browser."""
    percent = round(100 * state.done / state.total) if state.total else 0
    return (
        f'<span role="img" aria-label="{state.done} of {state.total} exercises" style="display: inline-block; width: 90px; '
        f'height: 9px; border: 1px solid {LINE}; vertical-align: middle"><span style="display: block; height: 100%; '
        f'width: {percent}%; background: {BAR}"></span></span> {state.done} of {state.total}'
    )


def _missing_row(number: str, title: str) -> str:
    grey = f"{_CELL}; color: {GREY}"
    return (
        f'<tr style="background: transparent"><td style="{grey}">{escape(number)}</td><td style="{grey}">{escape(title)}</td>'
        f'<td style="{grey}" colspan="3">not built yet</td></tr>'
    )
