"""English text for a recipe: three works that Debian packages carry under free licences, each pinned by version and hash.

Novels, an encyclopedia of computing and a handbook. Nothing of them is bundled. A package file (.deb) is read here without Debian's tools.
Must not import torch or TransformerLens.
"""

import gzip
import hashlib
import html
import io
import lzma
import re
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import tasks

ENTRIES = 40  # of the encyclopedia that make up one document


@dataclass(frozen=True)
class Source:
    """A package file: what to look for, and what is in it."""

    file: str
    sha256: str
    kind: str
    licence: str


SOURCES = {
    "austen": Source(
        "r-cran-janeaustenr_1.0.0-1_all.deb",
        "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
        "six novels by Jane Austen",
        "public domain (the package: MIT)",
    ),
    "foldoc": Source(
        "dict-foldoc_20230119-1_all.deb",
        "745cbedb55c2da609cc88ee0284e9d11a67a11ae3709daf7bad0e895ac3294c3",
        "the Free On-line Dictionary of Computing, edited by Denis Howe",
        "GFDL 1.1 or later",
    ),
    "handbook": Source(
        "debian-handbook_11.20220922_all.deb",
        "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
        "The Debian Administrator's Handbook by Raphaël Hertzog and Roland Mas, in English",
        "GPL-2 or later, or CC BY-SA 3.0",
    ),
}


def documents(folder: str | Path) -> list[tuple[str, str]]:
    """(name, text) of every document of the three works, in the order of their names; the package files lie in `folder`.

    A document is a chapter, forty entries or a page. Lines are joined into paragraphs, which an empty line parts.
    """
    made = {"austen": _novels, "foldoc": _encyclopedia, "handbook": _handbook}
    found = [(f"{name}/{place}", text) for name in SOURCES for place, text in made[name](_package(name, folder))]
    return sorted((name, text) for name, text in found if len(text) > 500)


def read_split(split: str, folder: str | Path) -> list[tuple[str, str]]:
    """The documents of a split, "train", "validation" or "test", by a hash of their names as for the code corpus."""
    return [(name, text) for name, text in documents(folder) if tasks.split_of(name) == split]


def _package(name: str, folder: str | Path) -> bytes:
    """The bytes of a package file, if it is there and the one that was pinned."""
    source = SOURCES[name]
    file = Path(folder) / source.file
    if not file.is_file():
        names = ", ".join(s.file for s in SOURCES.values())
        raise CourseError(
            f"{source.file} is not in {folder}.",
            f"On Debian 12, `apt-get download` fetches r-cran-janeaustenr, dict-foldoc and debian-handbook. Needed are: {names}.",
        )
    packed = file.read_bytes()
    if hashlib.sha256(packed).hexdigest() != source.sha256:
        raise CourseError(
            f"{file} is not the file that the recipe was made with: its sha256 differs.", "Fetch it again."
        )
    return packed


def members(packed: bytes) -> dict[str, bytes]:
    """The files of a .deb: an ar archive, and in it data.tar.xz."""
    place = 8  # behind "!<arch>\n"
    while place < len(packed):
        name, size = packed[place : place + 16].strip().rstrip(b"/"), int(packed[place + 48 : place + 58])
        if name == b"data.tar.xz":
            data = lzma.decompress(packed[place + 60 : place + 60 + size])
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                files = [member for member in archive.getmembers() if member.isfile()]
                return {member.name: archive.extractfile(member).read() for member in files}
        place += 60 + size + size % 2
    raise CourseError("This package holds no data.tar.xz.", "Give the .deb file of Debian 12.")


def _one(files: dict[str, bytes], ending: str) -> bytes:
    return next(content for name, content in files.items() if name.endswith(ending))


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph, and part paragraphs by an empty line."""
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(part for part in parts if part)


def _novels(packed: bytes) -> list[tuple[str, str]]:
    """Chapters of the novels. R keeps each novel as a compressed list of its lines."""
    blob = _one(members(packed), "janeaustenr/data/Rdata.rdb")
    place, found = 0, []
    while place < len(blob):
        size = struct.unpack(">I", blob[place : place + 4])[0]  # of the data once unpacked
        stream = zlib.decompressobj()
        raw = stream.decompress(blob[place + 4 :])
        assert len(raw) == size
        place = len(blob) - len(stream.unused_data)
        lines = _r_strings(raw)
        if len(lines) > 1000:
            title = re.sub(r"\W+", "-", lines[0].lower())
            parts = re.split(r"(?im)^\s*chapter [ivxlc\d]+\.?\s*$", "\n".join(lines))
            found += [(f"{title}/{number:02}", paragraphs(part)) for number, part in enumerate(parts[1:], 1)]
    return found


def _r_strings(raw: bytes) -> list[str]:
    """The character strings of R's serialisation: 00 04 00 09 in UTF-8 or ASCII, a length, the bytes."""
    place, lines = raw.find(b"\x00\x04\x00\x09"), []
    while 0 <= place < len(raw) and raw[place : place + 4] == b"\x00\x04\x00\x09":
        size = struct.unpack(">i", raw[place + 4 : place + 8])[0]
        lines.append(raw[place + 8 : place + 8 + size].decode("utf-8", "replace"))
        place += 8 + size
    return lines


def _encyclopedia(packed: bytes) -> list[tuple[str, str]]:
    """Forty entries a document. An entry is a headword at the margin, and its text, which is set in."""
    text = gzip.decompress(_one(members(packed), "foldoc.dict.dz")).decode("utf-8", "replace")
    text = re.sub(r"[{}]", "", text)  # links
    entries = re.split(r"\n(?=\S[^\n]*\n(?:\S[^\n]*\n)*\n   )", text)[5:]  # the first ones are about the dictionary
    return [
        (f"{at // ENTRIES:04}", "\n\n".join(paragraphs(entry) for entry in entries[at : at + ENTRIES]))
        for at in range(0, len(entries), ENTRIES)
    ]


def _handbook(packed: bytes) -> list[tuple[str, str]]:
    """The paragraphs of each page of the English edition."""
    pages = {name: content for name, content in members(packed).items() if re.search(r"/html/en-US/[^/]*\.html$", name)}
    found = []
    for name, content in pages.items():
        parts = re.findall(r"<p\b[^>]*>(.*?)</p>|<div class=\"para\">(.*?)</div>", content.decode("utf-8"), re.DOTALL)
        plain = (html.unescape(re.sub(r"<[^>]+>", "", a or b)) for a, b in parts)
        found.append((name.rsplit("/", 1)[1], paragraphs("\n\n".join(plain))))
    return found
