"""How calibration looks in a terminal: shares with their intervals, drawn on a line. Imports rich; computes nothing."""

from rich.table import Table
from rich.text import Text

from .screen import Screen, count

SCALE = 40  # the characters from 0 to 100 % in a picture


def calibration(screen: Screen, found) -> None:
    """Print how sure and how often right: a picture with 95 % intervals, then the lessons, then the way it went."""
    screen.line("How sure you are, and how often you are right", "bold")
    screen.line(found.sentence)
    if not found.all.count:
        screen.line("A lesson asks before it shows: guess, and say how sure you are.", "dim")
        return
    screen.line()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    wide = screen.console.width >= 100
    scale = SCALE if wide else 22
    ends = "0 %" + "100 %".rjust(scale + 1 - 3)
    for name, options in {
        "You said": {"justify": "right"},
        "Right": {"justify": "right"},
        ends: {"no_wrap": True},
        "": {},
    }.items():
        table.add_column(name, **options)
    for group in found.levels:
        if group.count:
            table.add_row(group.name, _score(group), _interval(group, scale), _verdict(group))
    screen.console.print(table)
    screen.line("● how many were right  ├─┤ what so few answers leave open (95 %)  │ what you said", "dim")
    for title, groups in (("By lesson", found.lessons), ("In order of time", found.blocks)):
        if groups:
            screen.line()
            screen.console.print(_groups(title, groups, scale))
    missing = 10 - found.all.count % 10
    screen.line()
    screen.line(f"{count(missing, 'more prediction')} until the next ten.", "dim")


def _score(group) -> str:
    return f"{group.right} of {group.count}"


def _verdict(group) -> Text:
    return Text(group.verdict, "dim" if group.missing else "green" if group.verdict == "fits" else "yellow")


def _interval(group, scale: int) -> Text:
    """Return the share, its interval and what was said, drawn on a line from 0 to 100 %."""
    low, high = (round(percent * scale / 100) for percent in group.interval)
    drawn = [(" ", "")] * (scale + 1)
    drawn = [("─", "dim") if low < i < high else cell for i, cell in enumerate(drawn)]
    drawn[low], drawn[high] = ("├", "dim"), ("┤", "dim")
    drawn[round(group.sure * scale / 100)] = ("│", "yellow")
    drawn[round(group.share * scale / 100)] = ("●", "bold")
    return Text.assemble(*drawn)


def _groups(title: str, groups, scale: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column(title)
    table.add_column("Sure", justify="right")
    table.add_column("Right", justify="right")
    table.add_column("")
    for group in groups:
        table.add_row(group.name, f"{group.sure:.0f} %", f"{group.share:.0f} %, {_score(group)}", _verdict(group))
    return table
