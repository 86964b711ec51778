"""Asks every external address in papers.toml whether it is alive: the one part of the course that wants a network.

`mechinterp author links` runs it, nothing else does. Addresses that answer get today's date in papers.toml.
"""

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from http.client import HTTPException

from ..errors import CourseError
from ..tutor.catalog import Course

SECONDS = 20
AT_A_TIME = 8
_AGENT = "mechinterp-course link check"
_SHY = {401, 403, 405, 406, 429, 999}  # servers that answer people and refuse programs


@dataclass
class LinkReport:
    """What became of each address: alive, refused to a program (look by hand), or dead with its reason."""

    alive: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return not self.dead

    def lines(self) -> list[str]:
        found = [f"✗ {id}: {why}" for id, why in sorted(self.dead.items())]
        found += [f"? {id}: {why}; look at it in a browser" for id, why in sorted(self.refused.items())]
        mark = "✓" if self.sound else "✗"
        return [
            *found,
            f"{mark} {len(self.alive)} alive, {len(self.refused)} to look at by hand, {len(self.dead)} dead.",
        ]


def verify(course: Course, progress: Callable[[str], None] | None = None, seconds: float = SECONDS) -> LinkReport:
    """Ask every address of papers.toml, date those that answer, and return what was found."""
    tell = progress or (lambda line: None)
    papers = list(course.papers.values())
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = list(pool.map(lambda paper: _told(paper, seconds, tell), papers))
    if papers and all(answer == UNREACHABLE for answer in answers):
        raise CourseError(
            f"No address in papers.toml could be reached ({len(papers)} asked): there is no network here.",
            "Run `mechinterp author links` on a machine that has one.",
        )
    report = LinkReport()
    for paper, answer in zip(papers, answers, strict=True):
        if answer == "":
            report.alive.append(paper["id"])
        elif answer.startswith("it answers"):
            report.refused[paper["id"]] = answer
        else:
            report.dead[paper["id"]] = answer
    file = course.root / "papers.toml"
    dated = with_dates(file.read_text(encoding="utf-8"), report.alive, date.today().isoformat())
    file.write_text(dated, encoding="utf-8")
    return report


UNREACHABLE = "its server cannot be reached"


def _told(paper: dict, seconds: float, tell: Callable[[str], None]) -> str:
    tell(paper["id"])
    return ask(paper.get("address", ""), seconds)


def ask(address: str, seconds: float) -> str:
    """Return "" where the address answers, else what is wrong with it."""
    try:
        request = urllib.request.Request(address, headers={"User-Agent": _AGENT})
        with urllib.request.urlopen(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        if error.code in _SHY:
            return f"it answers a program with {error.code}"
        return f"the server says {error.code} {error.reason}"
    except (OSError, HTTPException):
        return UNREACHABLE
    except ValueError:
        return f"{address!r} is not an address"


def with_dates(text: str, ids: Iterable[str], day: str) -> str:
    """Return papers.toml with `checked` set to that day for these papers, all else as it was."""
    head, *entries = re.split(r"(?m)^(?=\[\[paper\]\])", text)
    for i, entry in enumerate(entries):
        found = re.search(r'(?m)^id = "([^"]+)"', entry)
        if found and found[1] in set(ids):
            entries[i] = re.sub(r'(?m)^checked = "[^"]*"', f'checked = "{day}"', entry)
    return head + "".join(entries)
