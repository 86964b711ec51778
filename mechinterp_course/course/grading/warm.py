"""What a worker keeps between submissions: a box that has imported what labs import, and a process that judges.

A submission gets a copy of the warm box, which costs a few hundredths of a second and not the seconds of its imports. Where the
system does not allow a box within the box, each submission gets a box of its own. Imports `sandbox`; nothing heavy.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...errors import CourseError
from ...tutor.catalog import Course
from . import sandbox
from .graded import Limits
from .wire import pass_sockets, take_sockets

START_SECONDS = 120  # to start Python and import torch and TransformerLens on a slow disk
END_SECONDS = 20  # for the processes of a box to be gone
LOG_LINES = 5
_idle: list["Bench"] = []
_lock = threading.Lock()


@dataclass
class Session:
    """One submission's box: the socket to the process that keeps it. Closing it ends everything in the box."""

    control: socket.socket
    process: subprocess.Popen  # the box's outermost process
    own: bool = False  # whether the box is for this submission alone

    def order(self, do: str, sockets: list[socket.socket] = (), **more) -> None:
        """Tell the keeper to run, interrupt or kill the process of the cells."""
        with contextlib.suppress(OSError):
            pass_sockets(self.control, json.dumps({"do": do, **more}).encode(), list(sockets))

    def close(self) -> None:
        """End everything in the box, and wait until it has ended."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + END_SECONDS
            while wait_for([self.control], deadline) and news(self.control):
                pass
        self.control.close()
        if self.own:
            _end(self.process)


@dataclass
class Bench:
    """A worker's own: folder, warm box, examiner."""

    course: Course
    unsafe: bool
    folder: object = field(default_factory=sandbox.new_folder)
    nested: bool = True  # whether a copy of the warm box can be walled in
    box: tuple[subprocess.Popen, socket.socket] | None = None
    judge: tuple[subprocess.Popen, socket.socket] | None = None

    @property
    def path(self) -> Path:
        return Path(self.folder.name)

    def session(self, limits: Limits, modules: list[str], models: list[str]) -> Session:
        """Begin a submission: in a copy of the warm box, or in a box of its own."""
        needs = {"do": "import", "modules": modules, "models": models}
        if self.nested and not self.unsafe:
            made = self._copy(limits, needs)
            if made is not None:
                return made
            self.nested = False
            self._close_box()
        process, orders = self._start(needs, alone=True)
        return self._begin(process, orders, limits, own=True)

    def _copy(self, limits: Limits, needs: dict) -> Session | None:
        if self.box is None or self.box[0].poll() is not None:
            self.box = self._start(needs, alone=False)
        else:
            self._ask(self.box, needs)
        try:
            return self._begin(*self.box, limits, own=False)
        except _NotNested:
            return None

    def _start(self, needs: dict, alone: bool) -> tuple[subprocess.Popen, socket.socket]:
        box = sandbox.start(self.course, self.path, self.unsafe, alone)
        self._ask(box, needs)
        return box

    def _ask(self, box: tuple, needs: dict) -> None:
        process, orders = box
        orders.settimeout(START_SECONDS)
        try:
            orders.send(json.dumps(needs).encode())
            answer = orders.recv(2**16)
        except OSError:
            answer = b""
        if not answer:
            _end(process)
            raise CourseError(f"The box did not start: {self._log()}", "Run `mechinterp doctor`, then grade again.")

    def _begin(self, process, orders, limits: Limits, own: bool) -> Session:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pass_sockets(orders, json.dumps({"do": "begin", "limits": asdict(limits)}).encode(), [theirs])
        ours.settimeout(START_SECONDS)
        try:
            said = json.loads(ours.recv(2**16) or b"{}")
        except OSError:
            said = {}
        if said.get("do") != "here":
            ours.close()
            raise _NotNested(said.get("why", "it ended"))
        ours.settimeout(None)
        if own:
            orders.close()
        return Session(ours, process, own)

    def examine(self, over: socket.socket, exercise: str, seed: int, seconds: float) -> dict | None:
        """Return the evidence of one exercise, or None where judging took too long."""
        if self.judge is None or self.judge[0].poll() is not None:
            self.judge = self._start_judge()
        process, orders = self.judge
        order = {"do": "judge", "exercise": exercise, "seed": seed, "seconds": seconds}
        pass_sockets(orders, json.dumps(order).encode(), [over])
        orders.settimeout(seconds + 30)
        try:
            answer = orders.recv(2**20)
        except TimeoutError:
            answer = b""
        if answer:
            return json.loads(answer)
        _end(process)
        self.judge = None
        return None

    def read(self, lesson: str) -> None:
        """Have the judging process read a lesson's checks, while the notebook runs."""
        if self.judge is None or self.judge[0].poll() is not None:
            self.judge = self._start_judge()
        orders = self.judge[1]
        orders.settimeout(START_SECONDS)
        orders.send(json.dumps({"do": "read", "lesson": lesson}).encode())
        with contextlib.suppress(TimeoutError):
            orders.recv(2**16)

    def _start_judge(self) -> tuple[subprocess.Popen, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "mechinterp_course.course.grading.examiner", str(theirs.fileno())]
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE"), "1"),
            "MECHINTERP_WORKSPACE": "",
            "MECHINTERP_CONTENT": str(self.course.root),
        }
        with theirs, (self.path / "judge.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return process, ours

    def _log(self) -> str:
        file = self.path / "box.log"
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
        return " ".join(lines[-LOG_LINES:])[:500] or "it said nothing"

    def _close_box(self) -> None:
        if self.box is not None:
            self.box[1].close()
            _end(self.box[0])
            self.box = None

    def close(self) -> None:
        """End both processes and remove the folder."""
        self._close_box()
        if self.judge is not None:
            self.judge[1].close()
            _end(self.judge[0])
            self.judge = None
        self.folder.cleanup()


class _NotNested(Exception):
    """A copy of the warm box could not be walled in."""


@contextlib.contextmanager
def bench(course: Course, unsafe: bool = False):
    """Lend this process's bench for one submission; a second thread gets one of its own."""
    sandbox.require(unsafe)
    with _lock:
        found = next((one for one in _idle if one.course.root == course.root and one.unsafe == unsafe), None)
        if found is not None:
            _idle.remove(found)
    found = found or Bench(course, unsafe)
    try:
        yield found
    except BaseException:
        found.close()
        raise
    with _lock:
        _idle.append(found)


def close_all() -> None:
    """End everything that is kept; it starts again when it is needed."""
    with _lock:
        while _idle:
            _idle.pop().close()


atexit.register(close_all)


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL) if os.getpgid(process.pid) == process.pid else process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)


def wait_for(sockets: list[socket.socket], deadline: float) -> list[socket.socket]:
    """Return those sockets that have something to read, waiting until the deadline at most."""
    return select.select(sockets, [], [], max(0.0, deadline - time.monotonic()))[0]


def news(control: socket.socket) -> dict:
    """Return what the keeper says; {} where it is gone."""
    message, sockets = take_sockets(control)
    for one in sockets:
        one.close()
    return json.loads(message) if message else {}
