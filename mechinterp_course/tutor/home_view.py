"""How the home notebook looks: as plain text, and as HTML for JupyterLab, light and dark.

The HTML is read by two: JupyterLab shows a notebook that it does not trust yet without variables in its styles, so a colour
stands there twice, first as it is, then as the theme's; and without labels for screen readers, so that what a picture says also
stands beside it in words, or in its title. Links are relative to the folder `lessons/`, where the home notebook
stands. It shows and computes nothing.
"""

import re
from datetime import date
from html import escape

from .calibration import Group
from .catalog import Course, Lesson
from .glance import Glance
from .progress import LessonState
from .streak import RULE, Mark
from .work import Piece


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


# --- words, for both ------------------------------------------------------------------------------------------------


def day_words(day: date, year: int) -> str:
    return f"{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != year else "")


def days_words(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def piece_words(piece: Piece) -> str:
    """Return "06 Induction heads, lab A: stripe_score"; a reading needs no more than its name."""
    title = f"{piece.lesson.number} {piece.lesson.title}, "
    return title + ("the reading" if piece.is_reading else f"{piece.sitting}: {piece.exercises[0]}")


def today_lines(seen: Glance) -> list[tuple[str, str, Piece | None]]:
    """Return today as (minutes, words, piece); the piece is given where the words are to lead there."""
    hour, year = seen.today, seen.day.year
    if hour.next is None and not hour.due:
        return [("", "Every lesson that is built is done.", None)]
    found: list[tuple[str, str, Piece | None]] = []
    if hour.due:
        found.append((f"{hour.review} min", f"Review: {hour.due} card{'s' * (hour.due != 1)}", None))
    now = next((item for item in hour.items if not item.done), None)
    for item in hour.items:
        piece = hour.next if item is now else item.piece
        words = f"{piece.lesson.number} {piece.lesson.title}, {piece.sitting}" if item.done else piece_words(piece)
        found.append(("✓" if item.done else f"{item.left} min", words, piece))
    if hour.done:
        done = "Only the review is left." if hour.due else "Today's hour is done."
        found.append(("", f"{done} If you like to go on:", None))
    elif not hour.items and hour.after and not hour.beyond:
        found.append(("", f"A day off; the next hour is on {day_words(hour.after[0].date, year)}. If you like:", None))
    elif not hour.items and hour.beyond:
        found.append(("", "What you planned is done. The rest of the course:", None))
    if now is None and hour.next:
        found.append((f"{hour.next.minutes} min", piece_words(hour.next), hour.next))
    return found


def plan_words(seen: Glance) -> str:
    """Return when the plan ends, or how to make one."""
    if not seen.today.has_plan:
        return "No plan yet: type `mechinterp plan` in a terminal."
    if seen.today.ends is None:
        return ""
    return f"At this pace you are through on {day_words(seen.today.ends, seen.day.year)}."


def streak_words(seen: Glance) -> str:
    found = seen.streak
    if not found.worked:
        return "It begins with the first day."
    if not found.days:
        return f"A new one begins today; {days_words(found.worked)} so far."
    return f"{days_words(found.days)}; {found.worked} in all" if found.worked > found.days else days_words(found.days)


def due_words(seen: Glance) -> str:
    due = seen.today.due
    return f"{due} card{'s' * (due != 1)} due, {seen.today.review} minutes" if due else "Nothing is due."


def level_words(group: Group) -> str:
    return f"{group.right} of {group.count} right" if group.count else "none yet"


def sure_words(seen: Glance) -> str:
    """Return what can be said of calibration, in a few words."""
    group = seen.calibration.all
    if not group.missing:
        return {"fits": "That fits."}.get(group.verdict, f"You are {group.verdict}.")
    more = "prediction" if group.missing == 1 else "predictions"
    return f"{group.missing} {'more ' * bool(group.count)}{more}, and there is something to see."


def left_words(lesson: LessonState) -> str:
    if lesson.finished:
        return "done" if lesson.passed == lesson.total else f"done, {lesson.passed} passed"
    return f"{lesson.minutes_left} min"


# --- text -----------------------------------------------------------------------------------------------------------


def home_text(book: Course, seen: Glance) -> str:
    """Return the home screen as plain text."""
    lines = [f"Today, {day_words(seen.day, 0)}"]
    lines += [f"{minutes:>7}  {words}" for minutes, words, _ in today_lines(seen)]
    lines += [plan_words(seen)] if plan_words(seen) else []
    lines += [f"Streak: {streak_words(seen)}", f"Review: {due_words(seen)}"]
    levels = ", ".join(f"{g.name} sure: {level_words(g)}" for g in seen.calibration.levels if g.count)
    lines += [f"How sure: {levels}. {sure_words(seen)}" if levels else f"How sure: {sure_words(seen)}", ""]
    built = {lesson.number: seen.state.lessons[lesson.id] for lesson in book.lessons}
    for number, title in numbers(book).items():
        if number not in built:
            lines.append(f"{number}  {title:<34} not built yet")
            continue
        lesson = built[number]
        done = round(10 * lesson.done / lesson.total) if lesson.total else 10 * lesson.finished
        bar = "█" * done + "░" * (10 - done)
        lines.append(f"{number}  {title:<34} {bar} {lesson.done:>2} of {lesson.total:<2}  {left_words(lesson)}")
    return "\n".join([*lines, *seen.notes])


def numbers(book: Course) -> dict[str, str]:
    """Return the number and title of every lesson, built or not, in order."""
    titles = {**book.map, **{lesson.number: lesson.title for lesson in book.lessons}}
    return dict(sorted(titles.items()))


# --- HTML -----------------------------------------------------------------------------------------------------------


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
        link = words if piece is None else ""
        if piece:
            address = lesson_link(piece.lesson) if piece.is_reading else lab_link(piece.lesson)
            link = f'<a href="{address}">{escape(words)}</a>'
            link = f"<strong>{link}</strong>" if piece is seen.today.next else link
        rows.append(
            f'<tr style="background-color: transparent"><td style="{_CELL}; text-align: right">{escape(minutes)}</td>'
            f'<td style="{_CELL}; white-space: normal">{link}</td></tr>'
        )
    said = re.sub("`(.+?)`", r"<code>\1</code>", escape(plan_words(seen)))
    plan = f'<p style="{_P}; {GREY}">{said}</p>' if said else ""
    table = f'<table style="{_TABLE}"><tbody>{"".join(rows)}</tbody></table>'
    return _box(f"Today, {day_words(seen.day, 0)}", table + plan, "; max-width: 370px")


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
