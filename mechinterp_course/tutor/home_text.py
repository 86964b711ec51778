"""What the home notebook says, in words, and as plain text where HTML cannot be shown. It shows and computes nothing."""

from .calibration import Group
from .catalog import Course
from .dates import long_date
from .glance import Glance
from .progress import LessonState
from .work import Piece


def home_text(book: Course, seen: Glance) -> str:
    """Return the home screen as plain text."""
    lines = [f"Today, {long_date(seen.day, 0)}"]
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


# --- words, for the HTML too ------------------------------------------------------------------------------------------


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
        found.append(
            (f"{hour.review} min", f"Review, {hour.due} card{'s' * (hour.due != 1)}: `mechinterp review`", None)
        )
    now = next((item for item in hour.items if not item.done), None)
    for item in hour.items:
        piece = hour.next if item is now else item.piece
        words = f"{piece.lesson.number} {piece.lesson.title}, {piece.sitting}" if item.done else piece_words(piece)
        found.append(("✓" if item.done else f"{item.left} min", words, piece))
    if hour.done:
        done = "Only the review is left." if hour.due else "Today's hour is done."
        found.append(("", f"{done} If you like to go on:", None))
    elif not hour.items and hour.after and not hour.beyond:
        found.append(("", f"A day off; the next hour is on {long_date(hour.after[0].date, year)}. If you like:", None))
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
    return f"At this pace you are through on {long_date(seen.today.ends, seen.day.year)}."


def streak_words(seen: Glance) -> str:
    found = seen.streak
    if not found.worked:
        return "It begins with the first day."
    if not found.days:
        return f"A new one begins today; {days_words(found.worked)} so far."
    return f"{days_words(found.days)}; {found.worked} in all" if found.worked > found.days else days_words(found.days)


def due_words(seen: Glance) -> str:
    due = seen.today.due
    return f"{due} card{'s' * (due != 1)} for today" if due else "Nothing for today."


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
