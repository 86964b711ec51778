"""The review in a terminal: one card after another, answered with a key and Enter. Imports rich; decides nothing about schedules."""

import sys

from rich.markdown import Markdown
from rich.padding import Padding

from ..errors import CourseError
from .screen import Screen, console, count

STOP = "q"


def due_list(screen: Screen, due: list, chosen: list) -> None:
    """Print what is due, without asking."""
    if not due:
        screen.line(
            "Nothing is due. Cards come from exercises you passed, questions you missed, and terms of lessons you read."
        )
        return
    for asked in due:
        screen.line(f"  {asked.heading}")
        screen.line(f"    {_plain(asked.front)}", "dim")
    minutes = max(1, round(sum(card.minutes for card in chosen)))
    screen.line(
        f"\n{count(len(due), 'card')} due; `mechinterp review` takes {len(chosen)} of them, about {count(minutes, 'minute')}."
    )


def opening(screen: Screen, chosen: list, due: list, is_done: bool) -> None:
    """Print how much comes; `is_done` says that today's five minutes are over, and this is more of it."""
    if is_done:
        screen.line("Today's review is done. If you like, this is more of what is due:", "green")
    minutes = max(1, round(sum(card.minutes for card in chosen)))
    later = f" {len(due) - len(chosen)} more can wait." if len(due) > len(chosen) else ""
    screen.line(f"{count(len(chosen), 'card')}, about {count(minutes, 'minute')}.{later} q and Enter stops.", "dim")


def one_card(screen: Screen, ws, course, asked, place: str) -> bool:
    """Ask one card and record how it went; return False where the learner stops."""
    screen.line(f"\n{place} · {asked.heading}", "dim")
    screen.console.print(Padding(Markdown(_links(asked.front)), (0, 2)))
    if asked.question:
        return _choose(screen, asked)
    if asked.starter:
        done = _write(screen, ws, course, asked)
        if done is not None:
            return done
    elif asked.card.kind == "term":
        if _key("Say it to yourself, then Enter to look", ("",)) == STOP:
            return False
        screen.console.print(Padding(Markdown(_links(asked.back)), (0, 2)))
    elif asked.back:
        screen.console.print(Padding(Markdown(asked.back), (0, 2)))
    return _rate(screen, asked)


def _choose(screen: Screen, asked) -> bool:
    from ..tutor import question_view as view
    from ..tutor.review_ask import settle

    letters = [view.letter(i) for i in range(len(asked.question.choices))]
    for letter, choice in zip(letters, asked.question.choices, strict=True):
        screen.line(f"    {letter}) {view.as_plain(choice)}")
    key = _key("Your answer", letters)
    if key == STOP:
        return False
    choice = letters.index(key)
    right = choice == asked.question.answer
    settle(asked, "good" if right else "again")
    opening = "Right." if right else f"Not this one. It is {letters[asked.question.answer]}."
    first, *rest = view.explanation_text(asked.question, opening, choice).splitlines()
    screen.line(f"  {first}", "green" if right else "yellow")
    for line in rest:
        screen.line(f"    {line}", "" if line.startswith("✓") or "(yours)" in line else "dim")
    return True


def _write(screen: Screen, ws, course, asked) -> bool | None:
    """Let the learner write an exercise anew, or look; None where they look and then rate themselves."""
    key = _key("w writes it anew and checks it on new inputs, Enter looks at yours", ("w", ""))
    if key == STOP:
        return False
    if key == "":
        _look(screen, ws, course, asked)
        return None
    source = asked.starter
    while True:
        source = _edited(source)
        if source is None:
            screen.line("  Nothing was written.", "dim")
            _look(screen, ws, course, asked)
            return None
        outcome = _checked(ws, course, asked, source)
        if outcome is None:
            return None
        for line in outcome.lines:
            if line.startswith("Next: "):  # that is a step for a notebook
                continue
            screen.line(f"  {line}", "green" if outcome.passed else "")
        if outcome.passed:
            from ..tutor.review_ask import settle

            settle(asked, "good", checked=True)
            return True
        key = _key("w goes on writing, Enter looks at yours", ("w", ""))
        if key == STOP:
            return False
        if key == "":
            _look(screen, ws, course, asked)
            return None


def _edited(source: str) -> str | None:
    """Return what the learner wrote in their editor, or None where they wrote nothing. Raises CourseError without an editor."""
    import click

    try:
        text = click.edit(source + "\n", extension=".py", require_save=False)
    except click.ClickException as error:
        raise CourseError(
            f"No editor starts ({error.format_message()}).",
            "Name yours in the variable EDITOR, or review in a notebook: review().",
        ) from None
    return text if text and text.strip() and text.strip() != source.strip() else None


def _checked(ws, course, asked, source: str):
    """Return the outcome of what was written, or None where the lab cannot be run (then they rate themselves)."""
    from ..tutor.rewrite import check_again

    try:
        with console(stderr=True).working("Checking on new inputs") as tell:
            return check_again(ws, course, asked.card.name, source, asked.card.seed, tell)
    except CourseError as trouble:
        console(stderr=True).error(trouble)
        return None


def _look(screen: Screen, ws, course, asked) -> None:
    """Show the learner's own answer, or the course's where theirs is not there."""
    from rich.syntax import Syntax

    from ..tutor.compare import compare

    try:
        code, whose = compare(ws, course, asked.card.name).yours, "Yours"
    except CourseError:
        from ..tutor.review_ask import course_answer

        code, whose = course_answer(asked, course), "The course's"
    screen.line(f"  {whose}:", "dim")
    screen.console.print(Padding(Syntax(code, "python", theme="ansi_dark", background_color="default"), (0, 4)))


def _rate(screen: Screen, asked) -> bool:
    from ..tutor.review_ask import settle

    for number, (_, words) in enumerate(asked.choices, 1):
        screen.line(f"    {number}) {words}")
    key = _key("How was it", [str(number) for number in range(1, len(asked.choices) + 1)])
    if key == STOP:
        return False
    settle(asked, asked.choices[int(key) - 1][0])
    return True


def _key(what: str, allowed) -> str:
    """Ask until one of the allowed keys, or q, is typed; the end of the input counts as q."""
    shown = [key or "Enter" for key in allowed]
    while True:
        sys.stdout.write(f"  {what} [{'/'.join(shown)}, {STOP}]: ")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return STOP
        typed = line.strip().lower()
        if typed == STOP or typed in allowed:
            return typed


def _links(text: str) -> str:
    """Return the text without the course's own links, which lead nowhere in a terminal."""
    from ..tutor.question_view import without_links

    return without_links(text)


def _plain(text: str) -> str:
    from ..tutor.question_view import as_plain

    return as_plain(text)
