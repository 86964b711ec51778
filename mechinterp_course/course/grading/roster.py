"""Reads a roster: a CSV of students, from a spreadsheet or a learning platform. What is wrong with it is said line by line.

Imports nothing of the package but errors.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import CourseError

# The names that platforms and spreadsheets give to a column, in lower case and without spaces.
COLUMNS = {
    "id": ("id", "studentid", "student", "username", "userid", "loginid", "sisuserid", "sisloginid", "idnumber"),
    "first_name": ("firstname", "first", "givenname", "forename"),
    "last_name": ("lastname", "last", "surname", "familyname"),
    "email": ("email", "emailaddress", "mail"),
    "lms_user_id": ("lmsuserid", "canvasuserid"),
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins so
MAX_FAULTS = 5
_ID = re.compile(r"[\w.@-]{1,128}")


@dataclass(frozen=True)
class Student:
    """One line of a roster. `id` is the name of the student's folder in `submitted/`."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def read_roster(path: Path) -> list[Student]:
    """Return the students in a CSV file with a header; raise a `CourseError` that names every fault by its line."""
    path = Path(path).expanduser()
    rows = _rows(_text(path), path.name)
    header = next(rows, (1, []))[1]
    places = _places(header, path.name)
    students, lines, faults = [], {}, []
    for line, row in rows:
        cells = {key: row[at].strip() if at < len(row) else "" for key, at in places.items()}
        faults += [f"line {line}: {fault}" for fault in _faults(cells, lines)]
        lines.setdefault(cells["id"].casefold(), line)
        students.append(Student(**cells))
    if faults:
        more = f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
        raise CourseError(
            f"{path.name} cannot be used as a roster: {'; '.join(faults[:MAX_FAULTS])}{more}.",
            "Mend these lines and try again; nothing was imported.",
        )
    if not students:
        raise CourseError(f"{path.name} holds no students.", "The first line names the columns; students follow it.")
    return students


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"The roster {path} cannot be read ({error.strerror}).", "Check its name and place."
        ) from None
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))  # what Excel calls "Unicode text"
    try:
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        # A guess would turn names into others' names in silence.
        raise CourseError(
            f"{path.name} is not in UTF-8: line {line} holds a character in another encoding.",
            'In Excel, save it as "CSV UTF-8"; in LibreOffice, choose the character set UTF-8 when you save.',
        ) from None
    if "\0" in text:
        raise CourseError(f"{path.name} is not a text file.", "Save the spreadsheet as CSV (UTF-8) and use that file.")
    return text


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the lines that hold something; the separator is the commonest one of the header."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise CourseError(
            f"{name}, line {reader.line_num}, is not valid CSV ({error}).",
            "Look for a quotation mark without its partner.",
        ) from None


def _places(header: list[str], name: str) -> dict[str, int]:
    """Return where each known column stands in the header."""
    plain = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in header]
    places = {}
    for key, names in COLUMNS.items():
        # In the order of `names`: a file from a platform has several ids, and a column "id" beats the others.
        found = [plain.index(one) for one in names if one in plain]
        if found:
            places[key] = found[0]
    if "id" not in places:
        there = ", ".join(repr(cell.strip()) for cell in header) or "nothing"
        raise CourseError(
            f"{name} has no column with the students' ids. Its first line holds: {there}.",
            "Name the columns in the first line: id, first_name, last_name, email. Only id is needed.",
        )
    return places


def _faults(cells: dict[str, str], lines: dict[str, int]) -> Iterator[str]:
    """Yield what is wrong with one student; `lines` holds the ids so far, and the line of each."""
    id = cells["id"]
    if not id:
        yield "the id is empty"
    elif id.startswith(FORMULA):
        yield f"the id {id[:30]!r} begins like a spreadsheet formula"
    elif not _ID.fullmatch(id) or id.startswith("."):
        yield f"the id {id[:30]!r} cannot name a folder (letters, digits and . _ - @ can)"
    elif id.casefold() in lines:
        yield f"the id {id!r} stands in line {lines[id.casefold()]} already"
    for key, value in cells.items():
        if key != "id" and value.startswith(FORMULA):
            yield f"the {key.replace('_', ' ')} {value[:30]!r} begins like a spreadsheet formula"
        elif len(value) > 128:
            yield f"the {key.replace('_', ' ')} is longer than 128 characters"
