"""A package file is read without Debian's tools, and the three works come apart at their natural places."""

import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zlib

import pytest

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import english


def deb(files: dict[str, bytes]) -> bytes:
    """A package file as Debian's tools write it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(packed.getvalue())}
    made = b"!<arch>\n"
    for name, content in parts.items():
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        made += content + b"\n" * (len(content) % 2)
    return made


def r_strings(lines: list[str]) -> bytes:
    head = b"X\n\0\0\0\3" + b"\0" * 9 + struct.pack(">I", 0x10) + struct.pack(">I", len(lines))
    return head + b"".join(b"\0\4\0\x09" + struct.pack(">i", len(line)) + line.encode() for line in lines)


def test_a_package_gives_its_files():
    assert english.members(deb({"./a/b.txt": b"text", "./c": b""})) == {"./a/b.txt": b"text", "./c": b""}
    with pytest.raises(CourseError, match=r"no data\.tar\.xz"):
        english.members(b"!<arch>\n")


def test_novels_come_in_chapters():
    lines = ["EMMA", "", "By Jane Austen", "CHAPTER I", "", "Emma Woodhouse,", "handsome, clever,", "", "and rich"]
    lines += ["Chapter 2", "Mr. Weston"] + ["more"] * 1000
    raw = r_strings(lines)
    blob = b"".join(struct.pack(">I", len(part)) + zlib.compress(part) for part in (r_strings(["index"]), raw))
    found = dict(english._novels(deb({"./R/janeaustenr/data/Rdata.rdb": blob})))
    assert list(found) == ["emma/01", "emma/02"]
    assert found["emma/01"] == "Emma Woodhouse, handsome, clever,\n\nand rich"


def test_an_encyclopedia_comes_in_entries():
    entries = ["00-about\n\n   about it"] * 5 + [
        f"word {i}\n\n   <field> What {{word}} {i}\n   means." for i in range(50)
    ]
    text = "\n" + "\n\n".join(entries) + "\n"
    found = english._encyclopedia(deb({"./foldoc.dict.dz": gzip.compress(text.encode())}))
    assert [name for name, _ in found] == ["0000", "0001"]
    joined = "\n\n".join(text for _, text in found)
    assert "word 49\n\n<field> What word 49 means." in joined and "about it" not in joined.split("word 0")[-1]


def test_a_handbook_comes_in_pages():
    page = b'<h1>No</h1><p>One &amp; <b>two</b>\nthree</p><div class="para">Four</div>'
    files = {"./doc/html/en-US/apt.html": page, "./doc/html/fr-FR/apt.html": page, "./doc/html/en-US/x/y.html": page}
    assert english._handbook(deb(files)) == [("apt.html", "One & two three\n\nFour")]


def test_a_package_that_is_missing_or_another_one_is_named(tmp_path):
    with pytest.raises(CourseError, match="is not in"):
        english.documents(tmp_path)
    (tmp_path / english.SOURCES["austen"].file).write_bytes(b"!<arch>\n")
    with pytest.raises(CourseError, match="sha256 differs"):
        english.documents(tmp_path)


def test_a_split_is_made_of_whole_documents(monkeypatch):
    found = [(f"work/{number}", "text") for number in range(300)]
    monkeypatch.setattr(english, "documents", lambda folder: found)
    parts = {split: english.read_split(split, "") for split in ("train", "validation", "test")}
    assert sorted(sum(parts.values(), [])) == sorted(found)
    assert len(parts["train"]) > 200 and len(parts["test"]) > 10


def test_hashes_are_whole():
    for source in english.SOURCES.values():
        assert len(source.sha256) == len(hashlib.sha256().hexdigest()) and source.file.endswith(".deb")
