"""Watches what a submission's processes use of memory, and ends the biggest where together they use too much. Linux only; elsewhere it does nothing."""

import contextlib
import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

EVERY_SECONDS = 0.4
MOVED_MIB = 64  # when the sum has moved by so much, every process is measured again
HIDDEN_MEMORY = ("memfd:", "/dev/shm/", "SYSV")


@dataclass
class Meter:
    """Samples the memory of every process below `root`. Use as `with Meter(pid, limit):`.

    What several processes share is divided among them, so the share of one changes when another is copied, ends, or writes into
    what was common. To measure all of them each time would take a good part of a core: those that have not computed since are
    only measured again when the sum has moved.
    """

    root: int
    most_mib: float
    peak_mib: float = 0.0
    ended: int = 0  # how many processes it has ended
    first: float | None = None  # what was in use before the submission did anything
    exact: float = 0.0  # the sum when all were measured last
    spared: set[int] = field(default_factory=set)  # what was there before: the box's own processes
    known: dict[int, tuple[float, float]] = field(default_factory=dict)  # by process: computing time then, MiB
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Meter":
        self.sample()
        self.spared = set(self.known)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        self.stop.set()
        self.thread.join(5)

    def _watch(self) -> None:
        while not self.stop.wait(EVERY_SECONDS):
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                self.sample()

    def sample(self) -> None:
        """Measure once, and act on it."""
        used = self._sizes()
        if abs(sum(used.values()) - self.exact) > MOVED_MIB:
            self.known.clear()
            used = self._sizes()
            self.exact = sum(used.values())
        total = sum(used.values())
        self.peak_mib = max(self.peak_mib, total)
        self.first = total if self.first is None else self.first
        theirs = {pid: size for pid, size in used.items() if pid not in self.spared}
        if total > self.first + self.most_mib and theirs:
            biggest = max(theirs, key=theirs.get)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(biggest, signal.SIGKILL)
                self.ended += 1

    def _sizes(self) -> dict[int, float]:
        return {pid: size for pid in _below(self.root) if (size := self._size(pid)) is not None}

    def _size(self, pid: int) -> float | None:
        """Return a process's share of memory in MiB; one that has not computed since is not measured again."""
        try:
            spent = sum(map(float, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
            before = self.known.get(pid)
            if before is None or before[0] != spent:
                self.known[pid] = spent, _share(pid) + _unmapped(pid)
        except (OSError, IndexError, ValueError):
            return None
        return self.known[pid][1]


def _below(root: int) -> list[int]:
    try:
        return [one.pid for one in psutil.Process(root).children(recursive=True)]
    except psutil.Error:
        return []


def _share(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1]) / 1024
    return 0.0


def _unmapped(pid: int) -> float:
    """Return the MiB of memory that a process holds as open files without a name."""
    seen = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if any(kind in str(link.readlink()) for kind in HIDDEN_MEMORY):
                found = link.stat()
                seen[found.st_dev, found.st_ino] = found.st_blocks * 512 / 2**20
    return sum(seen.values())
