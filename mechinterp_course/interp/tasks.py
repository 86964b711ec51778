"""What the models read: the source of one pinned Python standard library, split by file.

A recipe needs the whole library and verifies every file against the manifest in `zoo/corpus`. Lessons and tests read
only the bundled sample of the test split. Must not import torch or TransformerLens; knows nothing of lessons or grades.
"""

import functools
import hashlib
import sys
import sysconfig
import zipfile
from pathlib import Path

from mechinterp_course.errors import CourseError

ZOO = Path(__file__).parent / "zoo"
CORPUS = ZOO / "corpus"
MANIFEST = CORPUS / "manifest.sha256"
PYTHON = "3.11.7"
SPLITS = ("train", "validation", "test")

# Left out: tests, applications and demonstrations, and tables that a program wrote (their text is not code to learn from).
LEFT_OUT_FOLDERS = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "idlelib",
    "turtledemo",
    "encodings",
    "pydoc_data",
}
LEFT_OUT_FILES = {"html/entities.py", "locale.py", "stringprep.py"}
LEFT_OUT_PREFIXES = ("_sysconfigdata", "config-")


def split_of(path: str) -> str:
    """The split that a file belongs to: 87 % train, 4 % validation, 9 % test, by a hash of its relative path."""
    bucket = int(hashlib.sha256(path.encode()).hexdigest(), 16) % 100
    return "train" if bucket < 87 else "validation" if bucket < 91 else "test"


def manifest() -> dict[str, str]:
    """Path to sha256 of every file of the corpus, as committed in `zoo/corpus/manifest.sha256`."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def corpus_hash() -> str:
    """One sha256 over the whole manifest: two models with the same value were trained on the same text."""
    return hashlib.sha256(MANIFEST.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def find_stdlib(folder: str | Path | None = None) -> Path:
    """The folder of the pinned standard library: `folder` if given, else that of the running interpreter."""
    if folder is not None:
        if not (Path(folder) / "argparse.py").is_file():
            raise CourseError(
                f"There is no Python standard library in {folder}.",
                f"Give the lib/python3.11 folder of Python {PYTHON}, the one that holds argparse.py.",
            )
        return Path(folder)
    running = ".".join(map(str, sys.version_info[:3]))
    if running != PYTHON:
        raise CourseError(
            f"The models learn the source of Python {PYTHON}'s standard library, and this is Python {running}.",
            f"Install Python {PYTHON} and pass its library folder: --stdlib /path/to/lib/python3.11",
        )
    return Path(sysconfig.get_path("stdlib"))


def read_source(file: Path) -> str:
    """The text of a source file with \\n line ends, whatever the system that installed it."""
    return file.read_bytes().decode("utf-8").replace("\r\n", "\n")


def read_split(split: str, stdlib: str | Path | None = None) -> list[tuple[str, str]]:
    """(path, text) of every file of a split, each verified against the manifest, in the order of their paths."""
    folder = find_stdlib(stdlib)
    files = []
    for path, digest in manifest().items():
        if split_of(path) != split:
            continue
        if not (folder / path).is_file():
            raise CourseError(
                f"{path} is missing from the standard library in {folder}.",
                f"Pass the library folder of a complete Python {PYTHON}: --stdlib /path/to/lib/python3.11",
            )
        text = read_source(folder / path)
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise CourseError(
                f"{path} in {folder} is not the file that the models were trained on: its sha256 differs.",
                f"Pass the library folder of an unchanged Python {PYTHON}: --stdlib /path/to/lib/python3.11",
            )
        files.append((path, text))
    return files


@functools.cache
def sample() -> list[tuple[str, str]]:
    """(path, text) of the bundled files of the test split: Python source that no bundled model was trained on."""
    with zipfile.ZipFile(CORPUS / "sample.zip") as archive:
        return [(name, archive.read(name).decode("utf-8")) for name in archive.namelist() if name.endswith(".py")]


# --- how the committed files of zoo/corpus were made ---------------------------------------------------------------


def belongs(path: str) -> bool:
    """Whether a file of the standard library is part of the corpus."""
    folders = path.split("/")[:-1]
    return (
        path.endswith(".py")
        and path not in LEFT_OUT_FILES
        and not path.startswith(LEFT_OUT_PREFIXES)
        and not LEFT_OUT_FOLDERS.intersection(folders)
    )


def write_corpus(stdlib: str | Path | None = None, sample_bytes: int = 400_000) -> None:
    """Write the manifest and the sample. Run once for a pinned Python; everything later verifies against the result."""
    folder = find_stdlib(stdlib)
    paths = sorted(p for p in (f.relative_to(folder).as_posix() for f in folder.rglob("*.py")) if belongs(p))
    texts = {path: read_source(folder / path) for path in paths}
    CORPUS.mkdir(parents=True, exist_ok=True)
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in texts.items() if text.strip()]
    MANIFEST.write_bytes("".join(lines).encode())
    licence = (folder / "LICENSE.txt").read_text(encoding="utf-8")
    (CORPUS / "LICENSE-PYTHON.txt").write_bytes(licence.encode())
    chosen, size = {"LICENSE.txt": licence}, 0
    # Middle-sized files first: a file of 50 lines shows little, one of 5,000 would fill the sample alone.
    for path in sorted(manifest(), key=lambda path: abs(len(texts[path]) - 15_000)):
        if split_of(path) == "test" and size + len(texts[path].encode()) <= sample_bytes:
            chosen[path] = texts[path]
            size += len(texts[path].encode())
    with zipfile.ZipFile(CORPUS / "sample.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(chosen):
            entry = zipfile.ZipInfo(name)  # its date is fixed, so the same text gives the same archive
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, chosen[name])
