"""Runs a notebook in a real kernel that cannot reach beyond this machine, and returns it with all that it showed.

Where bubblewrap works, the kernel has no network interface at all; everywhere, `offline_kernel` refuses and records
requests to the outside. It runs in a folder of its own that is removed afterwards. A kernel that dies, or does not end in
time, is something to report, not an error of ours.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from .offline_kernel import REQUESTS

THREADS = "1"  # small products are slower on two, and where two notebooks run at once each has a core
START_SECONDS = 60  # what a slow machine may take to start a kernel; not counted against the notebook


@dataclass
class Run:
    """An executed notebook: how long it took, what it asked of other machines, and why it stopped early, if it did."""

    notebook: nbformat.NotebookNode
    seconds: float
    requests: tuple[dict, ...] = ()  # {"host", "line"}
    stopped: str = ""
    cell: str = ""  # the cell that was running when it stopped

    @property
    def errors(self) -> list[tuple[str, str, str]]:
        """Return (cell id, error name, message) of every cell that raised."""
        return [
            (cell.id, output.ename, output.evalue)
            for cell in self.notebook.cells
            for output in cell.get("outputs", ())
            if output.output_type == "error"
        ]


def run(notebook: nbformat.NotebookNode, seconds: float, environment: dict[str, str] | None = None) -> Run:
    """Run every cell of a copy of the notebook, errors and all, for at most `seconds`."""
    made = nbformat.from_dict(json.loads(json.dumps(notebook)))
    with tempfile.TemporaryDirectory(prefix="mi-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "work").mkdir()
        client = _Client(made, folder)
        outcome = _Outcome()
        worker = threading.Thread(
            target=_execute, args=(client, folder, _environment(folder, environment or {}), outcome), daemon=True
        )
        # nbclient runs in a thread: Ctrl-C then reaches us, and the clock is ours.
        worker.start()
        try:
            _wait(worker, client, outcome, seconds)
        finally:
            client.kill()
            worker.join(10)
        return Run(made, outcome.seconds(), _requests(folder), outcome.stopped, client.running)


class _Client(NotebookClient):
    """nbclient with a kernel of our own making, and a note of the cell that runs."""

    def __init__(self, made: nbformat.NotebookNode, folder: Path):
        super().__init__(made, allow_errors=True, timeout=None, shutdown_kernel="immediate")
        self.startup_timeout = START_SECONDS
        self.folder = folder
        self.running = ""
        self.started = None
        self.on_cell_start = self._note

    def _note(self, cell, cell_index) -> None:
        self.running = cell.get("id", str(cell_index))
        self.started = self.started or time.monotonic()

    def create_kernel_manager(self) -> AsyncKernelManager:
        manager = AsyncKernelManager(connection_file=str(self.folder / "k.json"))
        if sys.platform != "win32":
            manager.transport, manager.ip = "ipc", str(self.folder / "k")
        manager._kernel_spec = KernelSpec(
            argv=[
                *_walls(),
                sys.executable,
                "-m",
                "mechinterp_course.course.offline_kernel",
                "-f",
                "{connection_file}",
            ],
            display_name="offline",
            language="python",
        )
        self.km = manager
        return manager

    def kill(self) -> None:
        """End the kernel's process at once, wherever nbclient stands."""
        process = getattr(getattr(self.km, "provisioner", None), "process", None)
        if process is not None and process.poll() is None:
            process.kill()


@dataclass
class _Outcome:
    stopped: str = ""
    began: float = 0.0
    ended: float = 0.0

    def seconds(self) -> float:
        return max(0.0, (self.ended or time.monotonic()) - self.began) if self.began else 0.0


def _execute(client: _Client, folder: Path, environment: dict[str, str], outcome: _Outcome) -> None:
    with (folder / "kernel.log").open("wb") as log:
        try:
            client.execute(cwd=str(folder / "work"), env=environment, stdout=log, stderr=log)
        except DeadKernelError:
            outcome.stopped = outcome.stopped or "the kernel died"
        except Exception as error:
            outcome.stopped = outcome.stopped or f"the kernel did not start or answer ({type(error).__name__}: {error})"
        finally:
            outcome.ended = time.monotonic()


def _wait(worker: threading.Thread, client: _Client, outcome: _Outcome, seconds: float) -> None:
    """Wait for the end of the notebook, or for the end of its time."""
    while worker.is_alive():
        worker.join(0.05)
        outcome.began = client.started or 0.0
        if outcome.began and outcome.seconds() > seconds:
            outcome.stopped = f"it had not ended after {seconds:.0f} seconds"
            return


def _environment(folder: Path, extra: dict[str, str]) -> dict[str, str]:
    """Return the kernel's environment: offline, few threads, and none of the person's own IPython settings."""
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait leave the core to others
        "TRANSFORMERS_OFFLINE": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "MECHINTERP_WORKSPACE": "",  # nothing is recorded
        "MECHINTERP_CACHE": str(folder / "cache"),  # as for somebody who has fetched no model
        REQUESTS: str(folder / "requests.jsonl"),
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), THREADS)
    return {**os.environ, **threads, **quiet, **extra}


def _requests(folder: Path) -> tuple[dict, ...]:
    file = folder / "requests.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return tuple(json.loads(line) for line in dict.fromkeys(lines))


@cache
def _walls() -> tuple[str, ...]:
    """Return the command that takes the network away from what follows it, or nothing where there is none."""
    walls = ("bwrap", "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent")
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        return ()
    works = subprocess.run([*walls, "true"], capture_output=True, check=False).returncode == 0
    return walls if works else ()
