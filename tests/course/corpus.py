"""Made submissions of the small course: what each does to the notebook, and what it must earn. `SUBMISSIONS`, by name.

A submission is the release with something done to it. Honest ones and accidents keep what they earned; a cheat gains nothing.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass

RIGHT = {
    "row_sums": "def row_sums(matrix):\n    return matrix.sum(dim=-1)\n",
    "scaled_rows": "def scaled_rows(matrix):\n    return matrix / row_sums(matrix).unsqueeze(-1)\n",
}
ALL, FIRST, SECOND, NONE = 3.0, 1.0, 2.0, 0.0


@dataclass(frozen=True)
class Made:
    """A made submission: `edit` changes the notebook (a dict) in place, or returns the text to hand in instead."""

    edit: Callable
    points: float
    repaired: bool = False
    flagged: bool | None = None  # None: either will do
    said: str = ""  # part of a repair, a reason or what the student is told


SUBMISSIONS: dict[str, Made] = {}


def made(name: str, points: float, **expected):
    def add(edit: Callable) -> Callable:
        assert name not in SUBMISSIONS
        SUBMISSIONS[name] = Made(edit, points, **expected)
        return edit

    return add


# --- how notebooks are edited ----------------------------------------------------------------------------------------


def cell(notebook: dict, id: str) -> dict:
    return next(one for one in notebook["cells"] if one["id"] == id)


def at(notebook: dict, id: str) -> int:
    return notebook["cells"].index(cell(notebook, id))


def answer(notebook: dict, **sources: str) -> None:
    for name, source in sources.items():
        cell(notebook, name)["source"] = source


def solve(notebook: dict) -> None:
    answer(notebook, **RIGHT)


def own(source: str, kind: str = "code", id: str = "mine-1") -> dict:
    one = {"cell_type": kind, "id": id, "metadata": {}, "source": source}
    return one | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def put(notebook: dict, source: str, before: str = "row_sums-check", kind: str = "code") -> None:
    notebook["cells"].insert(at(notebook, before), own(source, kind, f"mine-{len(notebook['cells'])}"))


def solved_with(source: str, before: str = "row_sums-check") -> Callable:
    """Return an edit: right answers, and a cell of one's own."""

    def edit(notebook: dict) -> None:
        solve(notebook)
        put(notebook, source, before)

    return edit


def unsolved_with(source: str, before: str = "row_sums-check") -> Callable:
    """Return an edit: no answers, and a cell of one's own that tries to do without."""

    def edit(notebook: dict) -> None:
        put(notebook, source, before)

    return edit


def cheat(
    name: str, source: str, flagged: bool | None = True, points: float = NONE, before: str = "row_sums-check"
) -> None:
    SUBMISSIONS[name] = Made(unsolved_with(source, before), points, flagged=flagged)


def accident(name: str, source: str, points: float = ALL, before: str = "row_sums-check", **expected) -> None:
    SUBMISSIONS[name] = Made(solved_with(source, before), points, **expected)


# --- honest ----------------------------------------------------------------------------------------------------------


@made("right", ALL, flagged=False)
def right(notebook):
    solve(notebook)


@made("partly right", FIRST, flagged=False)
def partly(notebook):
    answer(notebook, row_sums=RIGHT["row_sums"])


@made("unanswered", NONE, flagged=False, said="is not written yet")
def unanswered(notebook):
    """As it was released."""


@made("a named mistake", NONE, said="sum over the wrong axis")
def mistaken(notebook):
    answer(notebook, row_sums="def row_sums(matrix):\n    return matrix.sum(dim=0)\n")


@made("knows the visible check by heart", SECOND, said="on new inputs")
def by_heart(notebook):
    solve(notebook)
    known = "def row_sums(matrix, seen={}):\n    seen.setdefault('first', matrix.sum(-1))\n    return seen['first']\n"
    answer(notebook, row_sums=known, scaled_rows=RIGHT["scaled_rows"].replace("row_sums(matrix)", "matrix.sum(-1)"))


@made("slow", ALL)
def slow(notebook):
    solve(notebook)
    answer(notebook, row_sums="import time\ndef row_sums(matrix):\n    time.sleep(0.3)\n    return matrix.sum(-1)\n")


@made("borrowed the first part", SECOND, said="earns no points")
def borrowed(notebook):
    answer(
        notebook,
        row_sums='from mechinterp_course import borrow\nrow_sums = borrow("row_sums")',
        scaled_rows=RIGHT["scaled_rows"],
    )


@made("helpers in a cell of their own", ALL, flagged=False)
def helpers(notebook):
    put(notebook, "def total(x):\n    return x.sum(-1)", before="row_sums")
    answer(
        notebook,
        row_sums="def row_sums(m):\n    return total(m)\n",
        scaled_rows="def scaled_rows(m):\n    return m / total(m)[:, None]\n",
    )


@made("an import added to the setup", ALL)
def setup_edited(notebook):
    solve(notebook)
    setup = next(one for one in notebook["cells"] if one["cell_type"] == "code")
    setup["source"] = "import torch\nimport numpy as np\n"
    answer(notebook, row_sums="def row_sums(m):\n    return torch.from_numpy(np.sum(m.numpy(), axis=-1))\n")


@made("two helpers with one name", ALL)
def helper_twice(notebook):
    put(notebook, "def helper(x):\n    return x.sum(-1)", before="row_sums")
    answer(notebook, row_sums="def row_sums(m):\n    return helper(m)\n")
    put(notebook, "def helper(x):\n    return x / x.sum(-1, keepdim=True)", before="scaled_rows")
    answer(notebook, scaled_rows="def scaled_rows(m):\n    return helper(m)\n")


# --- accidents -------------------------------------------------------------------------------------------------------

accident(
    "a warning on stderr",
    "import sys, warnings\nwarnings.warn('old')\nprint('careful', file=sys.stderr)",
    flagged=False,
)
accident("an error in a cell of their own", "1 / 0")
accident("sys.exit in a cell", "import sys\nsys.exit(3)")
accident("input in a cell", "name = input('Your name? ')")
accident("a magic and a shell line", "%time 1 + 1\n!ls /")
accident(
    "a check of their own", "from mechinterp_course import check, hint\ncheck('row_sums', row_sums)\nhint('row_sums')"
)
accident("await at top level", "import asyncio\nawait asyncio.sleep(0.01)")


@made("a warning in the answer", ALL)
def warns(notebook):
    solve(notebook)
    answer(
        notebook, row_sums="import sys\ndef row_sums(m):\n    print('here', file=sys.stderr)\n    return m.sum(-1)\n"
    )


@made("a value at the end of the answer", ALL)
def trailing(notebook):
    solve(notebook)
    cell(notebook, "row_sums")["source"] += "\nrow_sums(torch.ones(2, 2))\n"


@made("a value at the end of the check", ALL, repaired=True, flagged=True)
def trailing_in_check(notebook):
    solve(notebook)
    cell(notebook, "row_sums-check")["source"] += "\n-1\n"


@made("the answer twice, alike", ALL, repaired=True)
def twice(notebook):
    solve(notebook)
    notebook["cells"].insert(at(notebook, "row_sums"), copy.deepcopy(cell(notebook, "row_sums")))


@made("the answer twice, one untouched", ALL, repaired=True, said="2 times")
def twice_one_untouched(notebook):
    starter = copy.deepcopy(cell(notebook, "row_sums"))
    solve(notebook)
    notebook["cells"].insert(at(notebook, "row_sums") + 1, starter)


@made("the answer copied below its check", ALL, repaired=True)
def copied_below(notebook):
    second = copy.deepcopy(cell(notebook, "row_sums")) | {"id": "f00", "source": RIGHT["row_sums"]}
    answer(notebook, scaled_rows=RIGHT["scaled_rows"])
    notebook["cells"].insert(at(notebook, "row_sums-check") + 1, second)


@made("written in a cell of its own, below the check", ALL, repaired=True, said="behind its check")
def own_below(notebook):
    answer(notebook, scaled_rows=RIGHT["scaled_rows"])
    notebook["cells"].insert(at(notebook, "row_sums-check") + 1, own(RIGHT["row_sums"]))


@made("the check twice", ALL, repaired=True)
def check_twice(notebook):
    solve(notebook)
    notebook["cells"].insert(at(notebook, "row_sums-check"), copy.deepcopy(cell(notebook, "row_sums-check")))


@made("the check deleted", ALL, repaired=True, said="was deleted")
def check_deleted(notebook):
    solve(notebook)
    notebook["cells"].remove(cell(notebook, "row_sums-check"))


@made("an answer deleted", SECOND, repaired=True)
def answer_deleted(notebook):
    answer(notebook, scaled_rows="def scaled_rows(m):\n    return m / m.sum(-1, keepdim=True)\n")
    notebook["cells"].remove(cell(notebook, "row_sums"))


@made("the setup deleted", ALL, repaired=True)
def setup_deleted(notebook):
    solve(notebook)
    notebook["cells"].remove(next(one for one in notebook["cells"] if one["cell_type"] == "code"))


@made("metadata stripped", ALL, repaired=True, said="lost their metadata")
def stripped(notebook):
    solve(notebook)
    for one in notebook["cells"]:
        one["metadata"] = {}
    notebook["metadata"] = {}


@made("an older format without ids", ALL, repaired=True)
def without_ids(notebook):
    solve(notebook)
    for one in notebook["cells"]:
        del one["id"]
    notebook["nbformat_minor"] = 4


@made("neither ids nor metadata", ALL, repaired=True)
def without_anything(notebook):
    solve(notebook)
    for one in notebook["cells"]:
        del one["id"]
        one["metadata"] = {}


@made("ids and metadata changed", ALL, repaired=True, said="by its contents")
def renamed(notebook):
    solve(notebook)
    for number, one in enumerate(notebook["cells"]):
        one["id"], one["metadata"] = f"new-{number}", {}


@made("the answer split in two", ALL, repaired=True, said="were joined")
def split(notebook):
    solve(notebook)
    head, body = RIGHT["row_sums"].split("\n", 1)
    answer(notebook, row_sums=head)
    notebook["cells"].insert(at(notebook, "row_sums") + 1, own(body))


@made("the answer split, its id on the second half", ALL, repaired=True, said="were joined")
def split_behind(notebook):
    solve(notebook)
    head, body = RIGHT["row_sums"].split("\n", 1)
    answer(notebook, row_sums=body)
    notebook["cells"].insert(at(notebook, "row_sums"), own(head))


@made("the answer became a text cell", ALL, repaired=True, said="markdown cell")
def became_text(notebook):
    solve(notebook)
    cell(notebook, "row_sums").update(cell_type="markdown")


@made("foreign tags and keys", ALL, repaired=True)
def foreign(notebook):
    solve(notebook)
    for one in notebook["cells"]:
        one["metadata"]["tags"] = ["important"]
        one["colour"] = "red"
    cell(notebook, "row_sums-check")["metadata"]["nbgrader"]["weight"] = 7
    notebook["author"] = "me"


@made("cells moved", ALL)
def moved(notebook):
    solve(notebook)
    notebook["cells"].append(notebook["cells"].pop(at(notebook, "row_sums")))


@made("saved on Windows, with a mark at the front", ALL)
def windows(notebook):
    solve(notebook)
    for one in notebook["cells"]:
        one["source"] = one["source"].replace("\n", "\r\n")
    return b"\xef\xbb\xbf" + json.dumps(notebook).encode()


@made("half a letter, and signs that no page shows", ALL)
def half_letters(notebook):
    solve(notebook)
    put(
        notebook,
        "print('\\ud83d', '\\x00\\x1b[31m')\nx = '\ud83d'\nraise ValueError('\\udfff')",
        before="row_sums-check",
    )
    put(notebook, "half \udfff a letter", kind="markdown")


@made("another kernel's name", ALL)
def other_kernel(notebook):
    solve(notebook)
    notebook["metadata"]["kernelspec"] = {"name": "julia-1.9", "display_name": "Julia", "language": "julia"}


# --- accidents that stop, flood or exhaust -----------------------------------------------------------------------------

accident("loops in a cell", "while True:\n    pass")
accident(
    "catches interruptions",
    "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass",
)
accident("floods its output", "for i in range(300_000):\n    print('x' * 300)")
accident("floods its file of output", "import os\nfor i in range(2000):\n    os.write(1, b'x' * 100_000)")
accident("shows too much at once", "'x' * 50_000_000")
accident("exhausts memory", "hoard = [bytearray(200_000_000) for _ in range(1000)]")
accident("ends its own process", "import os\nos._exit(1)", flagged=True)
accident("kills its own process", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", flagged=True)
accident("crashes the interpreter", "import ctypes\nctypes.string_at(0)", flagged=True)
accident("recurses without end", "def f(n):\n    return f(n + 1)\nf(0)")
accident("copies itself and goes on", "import os\nos.fork()", flagged=True)
accident(
    "a file too large",
    "with open('/tmp/big', 'wb') as file:\n    for _ in range(100):\n        file.write(bytes(10_000_000))",
)
accident(
    "exhausts memory with many processes",
    "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        hoard = bytearray(300_000_000)\n        time.sleep(30)\ntime.sleep(3)",
    flagged=True,
)
accident("forks without end", "import os\nwhile True:\n    os.fork()", flagged=True)
accident(
    "starts threads without end",
    "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,)).start()",
)


@made("an answer that loops", SECOND, said="had not returned")
def loops(notebook):
    solve(notebook)
    answer(
        notebook,
        row_sums="def row_sums(m):\n    while True:\n        pass\n",
        scaled_rows="def scaled_rows(m):\n    return m / m.sum(-1, keepdim=True)\n",
    )


@made("an answer that catches interruptions", SECOND)
def loops_and_catches(notebook):
    solve(notebook)
    body = "def row_sums(m):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"
    answer(notebook, row_sums=body, scaled_rows="def scaled_rows(m):\n    return m / m.sum(-1, keepdim=True)\n")


@made("an answer that ends its process", SECOND, said="ended before it returned")
def dies(notebook):
    answer(
        notebook,
        row_sums="def row_sums(m):\n    import os\n    os._exit(0)\n",
        scaled_rows="def scaled_rows(m):\n    return m / m.sum(-1, keepdim=True)\n",
    )


# --- not a notebook ----------------------------------------------------------------------------------------------------

UNREADABLE = {
    "nothing": b"",
    "not JSON": b"PK\x03\x04 a zip file",
    "half a file": b'{"cells": [{"cell_type": "code", "source": "x',
    "JSON without cells": b'{"title": "my thesis"}',
    "a list": b"[1, 2, 3]",
    "a text": b'"cells"',
    "brackets without end": b"[" * 200_000,
    "no text": b"\xff\xfe\x00\x01",
    "too many cells": json.dumps({"cells": [{"cell_type": "code", "source": "1"}] * 5000}).encode(),
}


@made("cells of every wrong kind", ALL, repaired=True)
def wrong_kinds(notebook):
    solve(notebook)
    notebook["cells"] += [
        7,
        None,
        "text",
        [],
        {"source": 3},
        {"cell_type": "code", "source": [1, 2]},
        {"cell_type": "code", "metadata": 5},
    ]
