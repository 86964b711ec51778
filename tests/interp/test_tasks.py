"""The corpus: pinned by hash, split by file, and a sample that needs no standard library of any version."""

import hashlib
import re
import sys

import pytest

from mechinterp_course.errors import CourseError
from mechinterp_course.interp import tasks

on_the_pinned_python = pytest.mark.skipif(
    ".".join(map(str, sys.version_info[:3])) != tasks.PYTHON,
    reason=f"reads the standard library of Python {tasks.PYTHON}",
)


@pytest.fixture
def small_library(tmp_path, monkeypatch):
    """A library of three files with its own manifest, in place of the real one."""
    folder = tmp_path / "lib"
    (folder / "json").mkdir(parents=True)
    texts = {"argparse.py": "a = 1\n", "json/decoder.py": "b = 2\n", "queue.py": "c = 3\n"}
    for path, text in texts.items():
        (folder / path).write_bytes(text.encode())
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in texts.items()]
    monkeypatch.setattr(tasks, "MANIFEST", tmp_path / "manifest.sha256")
    tasks.MANIFEST.write_text("".join(lines))
    return folder


def test_every_file_has_one_split_and_each_split_its_share():
    paths = list(tasks.manifest())
    split = [tasks.split_of(path) for path in paths]
    assert paths == sorted(set(paths))
    assert set(split) == set(tasks.SPLITS)
    assert 0.84 < split.count("train") / len(split) < 0.9


def test_the_manifest_holds_no_tests_demonstrations_or_tables():
    for path in tasks.manifest():
        assert tasks.belongs(path)
        assert not re.search(r"(^|/)(tests?|idlelib|encodings|site-packages)/", path)


def test_the_corpus_hash_is_the_one_in_the_cards_whatever_the_line_ends(tmp_path, monkeypatch):
    before = tasks.corpus_hash()
    assert before == "2e62f228d5a97509770ab0176d82facba6a40d1ce7db1083103a2ba88deeb00f"
    monkeypatch.setattr(tasks, "MANIFEST", tmp_path / "manifest")
    tasks.MANIFEST.write_bytes((tasks.CORPUS / "manifest.sha256").read_bytes().replace(b"\n", b"\r\n"))
    assert tasks.corpus_hash() == before
    assert tasks.manifest()["argparse.py"]


def test_the_sample_is_whole_files_of_the_test_split_unchanged():
    sample = tasks.sample()
    known = tasks.manifest()
    assert len(sample) >= 20
    for path, text in sample:
        assert tasks.split_of(path) == "test"
        assert hashlib.sha256(text.encode()).hexdigest() == known[path]


def test_the_sample_is_small_and_carries_its_licence():
    assert sum(len(text.encode()) for _, text in tasks.sample()) <= 400_000
    assert (tasks.CORPUS / "sample.zip").stat().st_size <= 2_000_000
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (tasks.CORPUS / "LICENSE-PYTHON.txt").read_text(encoding="utf-8")


def test_a_split_is_read_by_path_with_any_line_ends(small_library):
    (small_library / "argparse.py").write_bytes(b"a = 1\r\n")
    read = dict(entry for split in tasks.SPLITS for entry in tasks.read_split(split, small_library))
    assert read == {"argparse.py": "a = 1\n", "json/decoder.py": "b = 2\n", "queue.py": "c = 3\n"}


def test_a_changed_file_is_refused_by_name(small_library):
    (small_library / "queue.py").write_text("c = 4\n")
    with pytest.raises(CourseError, match=r"queue\.py .* sha256 differs"):
        [tasks.read_split(split, small_library) for split in tasks.SPLITS]


def test_a_missing_file_is_refused_by_name(small_library):
    (small_library / "queue.py").unlink()
    with pytest.raises(CourseError, match=r"queue\.py is missing"):
        [tasks.read_split(split, small_library) for split in tasks.SPLITS]


def test_a_folder_that_is_no_library_is_refused(tmp_path):
    with pytest.raises(CourseError, match="no Python standard library"):
        tasks.find_stdlib(tmp_path)


def test_another_python_is_told_which_library_to_pass(monkeypatch):
    monkeypatch.setattr(tasks.sys, "version_info", (3, 13, 1, "final", 0))
    with pytest.raises(CourseError, match=r"this is Python 3\.13\.1\..*--stdlib"):
        tasks.find_stdlib()


@on_the_pinned_python
def test_the_pinned_library_is_exactly_the_corpus():
    sizes = {split: len(tasks.read_split(split)) for split in tasks.SPLITS}
    assert sizes == {"train": 457, "validation": 25, "test": 40}


@on_the_pinned_python
def test_the_committed_corpus_files_can_be_made_again(tmp_path, monkeypatch):
    committed = tasks.MANIFEST.read_bytes(), tasks.sample()
    monkeypatch.setattr(tasks, "CORPUS", tmp_path)
    monkeypatch.setattr(tasks, "MANIFEST", tmp_path / "manifest.sha256")
    tasks.write_corpus()
    tasks.sample.cache_clear()
    remade = tasks.MANIFEST.read_bytes(), tasks.sample()
    tasks.sample.cache_clear()
    assert remade == committed
