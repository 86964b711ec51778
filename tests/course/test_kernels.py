"""Kernels of the contract: offline, within their time, and their deaths are told rather than raised."""

import sys
from pathlib import Path

import pytest

from mechinterp_course.course.kernels import run
from mechinterp_course.course.notebook import new_cell, notebook
from mechinterp_course.course.offline_kernel import is_local

pytestmark = pytest.mark.kernel


def a_notebook(*sources):
    return notebook([new_cell("code", source, f"cell-{i}") for i, source in enumerate(sources, 1)], "lesson", "here")


def outputs(done):
    return [o.get("text") or o.get("data", {}).get("text/plain") for c in done.notebook.cells for o in c.outputs]


def test_errors_are_kept_and_later_cells_run():
    asked = a_notebook("1 + 1", "1 / 0", "print('on')")
    done = run(asked, seconds=30)
    assert done.errors == [("cell-2", "ZeroDivisionError", "division by zero")]
    assert outputs(done) == ["2", None, "on\n"]
    assert (done.stopped, done.requests) == ("", ())
    assert not asked.cells[0].outputs  # a copy ran


def test_a_kernel_works_in_a_folder_that_goes_away():
    done = run(a_notebook("import os\nopen('left.txt', 'w').close()\nprint(os.getcwd())"), seconds=30)
    folder = Path(outputs(done)[0].strip())
    assert folder.name == "work" and not folder.exists()


def test_swallowed_requests_are_recorded():
    swallowed = (
        "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.org')\nexcept OSError:\n    pass"
    )
    by_number = "import socket\ns = socket.socket()\ntry:\n    s.connect(('192.0.2.1', 80))\nexcept OSError:\n    pass"
    done = run(a_notebook(swallowed, by_number), seconds=30)
    assert [request["host"] for request in done.requests] == ["example.org", "192.0.2.1"]
    assert "urlopen" in done.requests[0]["line"] and done.errors == []


def test_loopback_is_allowed():
    listen = "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s:\n"
    listen += (
        "    socket.create_connection(s.getsockname()).close()\nsocket.getaddrinfo('localhost', 80)\nprint('reached')"
    )
    done = run(a_notebook(listen), seconds=30)
    assert outputs(done) == ["reached\n"] and done.requests == ()


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")
def test_other_programs_have_no_network_where_there_is_bubblewrap():
    import shutil

    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    done = run(a_notebook("print(open('/proc/net/dev').read())"), seconds=30)
    interfaces = [line.split(":")[0].strip() for line in outputs(done)[0].splitlines()[2:] if line.strip()]
    assert set(interfaces) <= {"lo"}


def test_a_kernel_that_dies_is_told():
    done = run(a_notebook("1", "import os\nos._exit(3)", "2"), seconds=30)
    assert (done.stopped, done.cell) == ("the kernel died", "cell-2")
    assert outputs(done) == ["1"]


def test_a_notebook_that_does_not_end_is_stopped():
    done = run(a_notebook("import time\ntime.sleep(60)"), seconds=1)
    assert done.stopped == "it had not ended after 1 seconds" and done.seconds < 20


def test_a_notebook_that_does_not_end_breaks_the_rule_of_time(tmp_path, monkeypatch, fresh_catalog):
    from planted import plant

    from mechinterp_course.course.rules import RULES, execution

    endless = ("lesson.py", "print(torch.tensor([1.0, 2.0, 3.0]).mean())", "import time\n\ntime.sleep(600)")
    book = plant(tmp_path, endless)
    monkeypatch.setitem(execution.KINDS, "lesson", (execution.lesson_notebook, 4))
    for kind in ("solution", "class source"):
        monkeypatch.setitem(execution.KINDS, kind, (lambda course, lesson: a_notebook("1"), 30))
    found = RULES["time"](book, book.lessons[0])
    assert [finding.message for finding in found] == ["lesson: it had not ended after 4 seconds."]
    assert RULES["runs"](book, book.lessons[0]) == []


def test_what_counts_as_this_machine():
    assert all(map(is_local, (None, "", "localhost", b"localhost", "127.0.0.1", "::1")))
    assert not any(map(is_local, ("example.org", b"example.org", "192.0.2.1", "2001:db8::1")))
