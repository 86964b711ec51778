"""How the home notebook looks: HTML for JupyterLab, light and dark.

The HTML is read by two: JupyterLab shows a notebook that it does not trust yet without variables in its styles, so a colour
stands there twice, first as it is, then as the theme's; and without labels for screen readers, so that what a picture says also
stands beside it in words, or in its title. Links are relative to the folder `lessons/`, where the home notebook stands.
The words are those of `home_text.py`.
"""

import re
from html import escape

from .catalog import Course, Lesson
from .dates import long_date
from .glance import Glance
from .home_text import (
    days_words,
    due_words,
    level_words,
    numbers,
    plan_words,
    streak_words,
    sure_words,
    today_lines,
)
from .progress import LessonState
from .streak import RULE, Mark


def themed(name: str, variable: str, plain: str) -> str:
    """Return a style that takes the theme's colour where it may, and a plain one elsewhere."""
    return f"{name}: {plain}; {name}: var({variable}, {plain})"


BAR = themed("background-color", "--jp-brand-color1", "#1e88e5")
LINE = "1px solid #9e9e9e"
GREY = "opacity: 0.75"
_CELL = "padding: 0 8px 0 0; text-align: left; vertical-align: top; white-space: nowrap; background-color: transparent; line-height: 1.45"
_BOX = "display: inline-block; vertical-align: top; margin: 0 20px 8px 0"
_HEAD = "margin: 0 0 3px 0; font-size: 13px; font-weight: 600"
_P = "margin: 0 0 2px 0; font-size: 13px"
_TABLE = "border-collapse: collapse; margin: 0; font-size: 13px"


def home_html(book: Course, seen: Glance) -> str:
    """Return the home screen as HTML: today, streak, review and calibration side by side, and the map in two columns."""
    built = {lesson.number: seen.state.lessons[lesson.id] for lesson in book.lessons}
    rows = [
        _row(built[number]) if number in built else _missing_row(number, title)
        for number, title in numbers(book).items()
    ]
    half = -(-len(rows) // 2) if len(rows) > 6 else len(rows)
    tables = "".join(_table(part) for part in (rows[:half], rows[half:]) if part)
    notes = "".join(f'<p style="{_P}"><strong>Note:</strong> {escape(note)}</p>' for note in seen.notes)
    return (
        f'<div style="line-height: 1.5">\n{_today_box(seen)}\n{_streak_box(seen)}\n'
        f"{_sure_box(seen)}\n{notes}<div>\n{tables}</div>\n</div>"
    )


def lesson_link(lesson: Lesson) -> str:
    """Return the address of the lesson's notebook, seen from the home notebook."""
    return f"{lesson.stem}.ipynb"


def lab_link(lesson: Lesson) -> str:
    """Return the address of the lab's notebook, seen from the home notebook."""
    return f"../exercises/{lesson.stem}/{lesson.stem}.ipynb"


def _box(title: str, inner: str, wide: str = "") -> str:
    return f'<div style="{_BOX}{wide}"><p style="{_HEAD}">{escape(title)}</p>{inner}</div>'


def _today_box(seen: Glance) -> str:
    rows = []
    for minutes, words, piece in today_lines(seen):
        if piece is None and not minutes:
            rows.append(
                f'<tr style="background-color: transparent"><td style="{_CELL}; white-space: normal" colspan="2">{escape(words)}</td></tr>'
            )
            continue
        link = _with_code(words) if piece is None else ""
        if piece:
            address = lesson_link(piece.lesson) if piece.is_reading else lab_link(piece.lesson)
            link = f'<a href="{address}">{escape(words)}</a>'
            link = f"<strong>{link}</strong>" if piece is seen.today.next else link
        rows.append(
            f'<tr style="background-color: transparent"><td style="{_CELL}; text-align: right">{escape(minutes)}</td>'
            f'<td style="{_CELL}; white-space: normal">{link}</td></tr>'
        )
    plan = f'<p style="{_P}; {GREY}">{_with_code(plan_words(seen))}</p>' if plan_words(seen) else ""
    table = f'<table style="{_TABLE}"><tbody>{"".join(rows)}</tbody></table>'
    return _box(f"Today, {long_date(seen.day, 0)}", table + plan, "; max-width: 385px")


def _with_code(words: str) -> str:
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(words))


def _streak_box(seen: Glance) -> str:
    found = seen.streak
    marks = [mark for week in found.weeks for _, mark in week]
    said = f"The last four weeks: {days_words(marks.count(Mark.WORKED))} worked, {marks.count(Mark.MISSED)} missed"
    weeks = "".join(
        f'<span style="display: block; line-height: 1; white-space: nowrap">{"".join(_square(mark) for _, mark in week)}</span>'
        for week in found.weeks
    )
    strip = f'<span role="img" aria-label="{said}" title="{said}. {escape(RULE)}" style="display: inline-block">{weeks}</span>'
    strip = strip if found.worked else ""
    review = f'<p style="{_HEAD}; margin-top: 4px">Review</p><p style="{_P}">{escape(due_words(seen))}</p>'
    return _box("Streak", f'<p style="{_P}">{escape(streak_words(seen))}</p>{strip}{review}')


def _square(mark: Mark) -> str:
    look = {
        Mark.WORKED: f"{BAR}; border: 1px solid transparent",
        Mark.MISSED: f"border: {LINE}",
        Mark.FREE: "border: 1px solid transparent",
        Mark.OPEN: "border: 1px dashed #9e9e9e",
    }[mark]
    dot = "·" if mark is Mark.FREE else ""
    style = "display: inline-block; width: 10px; height: 10px; margin: 1px; text-align: center; vertical-align: top; font-size: 10px"
    return f'<span style="{style}; line-height: 10px; box-sizing: border-box; {look}">{dot}</span>'


def _sure_box(seen: Glance) -> str:
    rows = "".join(
        f'<tr style="background-color: transparent"><td style="{_CELL}">{escape(group.name)} sure</td>'
        f'<td style="{_CELL}">{_bar(group.share, f"{group.share:.0f} % right")}</td><td style="{_CELL}">{level_words(group)}</td></tr>'
        for group in seen.calibration.levels
        if group.count
    )
    table = f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>' if rows else ""
    return _box(
        "How sure, how right", f'{table}<p style="{_P}; {GREY}">{escape(sure_words(seen))}</p>', "; max-width: 250px"
    )


def _table(rows: list[str]) -> str:
    names = ("", "Read", "Do", "Passed", "Left")
    heads = "".join(f'<th scope="col" style="{_CELL}; font-weight: 600">{name}</th>' for name in names)
    return (
        f'<table style="border-collapse: collapse; font-size: 12px; {_BOX}">'
        f'<thead><tr style="border-bottom: {LINE}; background-color: transparent">{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>\n"
    )


def _row(state: LessonState) -> str:
    lesson = state.lesson
    percent = 100 * state.done / state.total if state.total else 0
    cells = (
        escape(lesson.number),
        f'<a href="{lesson_link(lesson)}">{escape(lesson.title)}</a>',
        f'<a href="{lab_link(lesson)}" aria-label="Lab of lesson {lesson.number}">lab</a>',
        f"{_bar(percent, f'{state.done} of {state.total} exercises done', 46)} {state.passed}/{state.total}",
        "done" if state.finished else f"{state.minutes_left} min",
    )
    return f'<tr style="background-color: transparent">{"".join(f"<td style={chr(34)}{_CELL}{chr(34)}>{c}</td>" for c in cells)}</tr>'


def _bar(percent: float, says: str, wide: int = 70) -> str:
    """Return a bar that is drawn with two boxes: <progress> looks different in every browser."""
    return (
        f'<span role="img" aria-label="{escape(says)}" title="{escape(says)}" style="display: inline-block; width: {wide}px; height: 9px; border: {LINE}; '
        f'vertical-align: middle"><span style="display: block; height: 100%; width: {round(percent)}%; {BAR}"></span></span>'
    )


def _missing_row(number: str, title: str) -> str:
    grey = f"{_CELL}; {GREY}"
    return (
        f'<tr style="background-color: transparent"><td style="{grey}">{escape(number)}</td><td style="{grey}">{escape(title)}</td>'
        f'<td style="{grey}" colspan="3">not built yet</td></tr>'
    )
