"""The process that judges: `python -m mechinterp_course.course.grading.examiner SOCKET`.

It has the checks, the solutions and the seed, and no student's code ever runs in it: an answer is a socket to the box. A worker
keeps it for all its submissions, so checks and models are read once. Imports `evidence`, `walls` and `wire`.
"""

import json
import os
import socket
import sys

import torch

from ...tutor.catalog import course
from . import evidence, walls
from .wire import take_sockets

# What checks, their models and what answers return may take together, beyond Python and its libraries. An answer chooses with
# what it calls a borrowed function, so without a limit it could take all the memory of this computer. Measured: the solved labs of
# all twelve lessons, one after the other, map 2.0 GiB of it.
MEMORY_MIB = 4096


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if sys.platform == "linux":
        walls.limit_memory(MEMORY_MIB)
    orders = socket.socket(fileno=int(arguments[0]))
    while True:
        message, sockets = take_sockets(orders)
        if not message:
            return
        order = json.loads(message)
        if order["do"] == "read":
            _read(order["lesson"])
            answer = {"do": "ready"}
        else:
            found = evidence.judge(sockets[0], order["exercise"], order["seed"], order["seconds"])
            answer = found.as_dict()
        for one in sockets:
            one.close()
        orders.send(json.dumps(answer).encode())


def _read(lesson: str) -> None:
    """Read a lesson's checks ahead of time."""
    book = course()
    book.checks(book.lesson(lesson))


if __name__ == "__main__":
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what checks and answers print is nobody's business
    main(sys.argv[1:])
