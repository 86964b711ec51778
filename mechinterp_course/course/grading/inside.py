"""The program in the box: `python -m mechinterp_course.course.grading.inside SOCKET`.

It imports what labs import, once, and runs no student's code itself. For each submission it copies itself; the copy walls itself
in and keeps the processes that run the notebook (`keep`). When the worker's side of a submission's socket closes, all of them
end. With `--alone` there is no copy and no inner wall: one submission, then the end. Imports `walls`, `cells` and `wire`.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys

from . import answers, cells, walls
from .wire import take_sockets

POLL_SECONDS = 0.05


def main(arguments: list[str]) -> None:
    uid = int(arguments[1])
    walls.become(uid)
    walls.own_keys()
    orders = socket.socket(fileno=int(arguments[0]))
    _prepare()
    if "--alone" in arguments:
        _alone(orders)
    else:
        _zygote(orders)


def _prepare() -> None:
    """Import what every lab needs; in the box, `check` and `borrow` know of no solution."""
    from ...tutor import hints, runner

    runner.check, hints.borrow = answers.check, answers.borrow
    cells.rehearse()


def _zygote(orders: socket.socket) -> None:
    """Serve orders: import modules, begin a submission."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies
    while True:
        message, sockets = take_sockets(orders)
        if not message:
            return
        order = json.loads(message)
        if order["do"] == "import":
            orders.send(json.dumps(_imported(order)).encode())
        elif os.fork() == 0:
            _begin(orders, sockets[0], order["limits"])
        for one in sockets:
            one.close()


def _alone(orders: socket.socket) -> None:
    message, _ = take_sockets(orders)
    if message:
        orders.send(json.dumps(_imported(json.loads(message))).encode())
        message, sockets = take_sockets(orders)
    if message:
        orders.close()
        walls.adopt_orphans()
        keep(sockets[0], json.loads(message)["limits"])
        _end_children()


def _imported(order: dict) -> dict:
    """Import modules and read models ahead of time; what cannot be is left to the notebook, which will say so."""
    from . import mirror

    failed = []
    for name in order["modules"]:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed.append(f"{name}: {error}")
    for name in order["models"]:
        with contextlib.suppress(Exception):
            mirror.prepare(name)
    return {"do": "ready", "failed": failed}


def _begin(orders: socket.socket, control: socket.socket, limits: dict) -> None:
    """In a copy of the zygote: wall in, and keep the notebook's processes in a world of their own. Does not return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        orders.close()
        walls.own_namespaces(limits["files_mib"])
        keeper = os.fork()  # the first process of the new world: when it ends, all others in there end too
        if keeper == 0:
            walls.readable(False)
            keep(control, limits)
        else:
            os.waitpid(keeper, 0)  # all others have ended by then; our end of the socket closes last, and tells so
    except OSError as error:
        with contextlib.suppress(OSError):
            control.send(json.dumps({"do": "failed", "why": str(error)}).encode())
    finally:
        os._exit(0)


def keep(control: socket.socket, limits: dict) -> None:
    """Start, interrupt and end the process that runs the cells, as told; return when the worker has gone."""
    running = 0
    control.send(b'{"do": "here"}')
    while True:
        if select.select([control], [], [], POLL_SECONDS)[0]:
            message, sockets = take_sockets(control)
            if not message:
                return
            order = json.loads(message)
            if order["do"] == "run":
                running = _start(control, sockets, limits)
            elif running and order["do"] == "interrupt":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running, signal.SIGINT)
            elif running:
                _end_group(running)
            for one in sockets:
                one.close()
        for ended, status in _ended():
            if ended == running:
                _end_group(running)
                running = 0
                control.send(json.dumps({"do": "ended", "status": status}).encode())


def _start(control: socket.socket, sockets: list, limits: dict) -> int:
    """Start a process for the cells and return its number."""
    started = os.fork()
    if started:
        with contextlib.suppress(OSError):
            os.setpgid(started, started)
        return started
    try:
        control.close()
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        walls.readable(True)
        walls.no_privileges()
        os.chdir("/tmp" if os.access("/tmp", os.W_OK) else os.getcwd())  # noqa: PTH109, S108
        walls.limit(limits["cpu_seconds"], limits["memory_mib"], limits["processes"], limits["files_mib"])
        cells.work(sockets[0], sockets[1:], limits["output_bytes"])
    finally:
        os._exit(0)


def _end_group(leader: int) -> None:
    """End the process of the cells and those that it has started; the copies at check cells are in groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _ended() -> list[tuple[int, int]]:
    """Return (number, status) of the children that have ended since."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while (pair := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(pair)
    return found


def _end_children() -> None:
    """End every process below this one; only where no inner wall does it."""
    import psutil

    for _ in range(5):
        below = psutil.Process().children(recursive=True)
        for one in below:
            with contextlib.suppress(psutil.Error):
                one.kill()
        _ended()
        if not below:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
