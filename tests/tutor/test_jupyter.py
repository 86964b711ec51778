"""JupyterLab on a workspace: a real server, its settings, a second start, and Ctrl-C."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest
from learner import (  # noqa: F401
    LAB,
    built_fixture,
    learner_fixture,
    mechinterp,
    release_fixture,
    without_nbgrader_fixture,
    write_cell,
)

from mechinterp_course.errors import CourseError
from mechinterp_course.tutor import jupyter, jupyter_settings, progress, workspace

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends Ctrl-C as a POSIX signal")


@contextmanager
def started(*arguments):
    """Run a command that goes on, and stop it whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mechinterp_course", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # our own command: it stops its JupyterLab, then itself
            process.communicate(timeout=60)


def address_in(process):
    for line in process.stdout:
        if "http://" in line:
            return line.strip()
    raise AssertionError(process.stderr.read())


def fetch(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return answer.read().decode()


@posix
@pytest.mark.kernel
def test_start_serves_the_home_notebook_and_stops_with_ctrl_c(release, tmp_path, without_nbgrader):
    root = tmp_path / "mine"
    with started("start", str(root), "--no-browser") as process:
        address = address_in(process)
        base, token = address.split("lab/tree/")[0], address.split("token=")[1]
        assert address == f"{base}lab/tree/lessons/home.ipynb?token={token}"
        home = json.loads(fetch(f"{base}api/contents/lessons/home.ipynb?token={token}"))
        assert home["type"] == "notebook" and home["content"]["cells"]
        page = fetch(address)
        config = json.loads(page.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0])
        assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
        assert "@jupyter/nbgrader" in config["disabledExtensions"]
        settings = json.loads(
            fetch(f"{base}lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}")
        )
        assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"
        with pytest.raises(OSError, match="403|Forbidden"):
            fetch(f"{base}api/contents")
        # A second one would write into the same notebooks.
        second = mechinterp("start", str(root), "--no-browser")
        assert second.returncode == 3
        assert "JupyterLab is already running" in second.stderr and token in second.stderr
        assert mechinterp("update").returncode == 3
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "Stopped. Nothing was lost."
    with pytest.raises(OSError, match="refused"):
        fetch(base)
    assert jupyter.running(workspace.Workspace(root)) is None


@posix
@pytest.mark.kernel
def test_mechinterp_alone_goes_on_at_what_is_next_and_a_closed_terminal_stops_it(learner, without_nbgrader):
    progress.record("check", exercise="double", passed=True)
    with started("--no-browser") as process:
        said = []
        while not said or not said[-1].startswith("So far"):
            said.append(process.stdout.readline())
        assert said[0].startswith("Last time  Today at") and "you passed double" in said[0]
        assert any("✓  00 First steps: reading" in line for line in said)
        assert "25 min  Lesson 00, First steps: lab A, from the exercise quadruple" in said[-2]
        assert "1 of 4 exercises passed" in said[-1]
        address = address_in(process)
        assert f"/lab/tree/{LAB}?token=" in address
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert jupyter.running(learner) is None
    last = progress.load(learner.root)[-1]
    assert (last.kind, last.data["sitting"]) == ("open", "lab A")


@posix
@pytest.mark.kernel
def test_ctrl_c_before_jupyterlab_answers_leaves_nothing_behind(learner):
    with started("start", str(learner.root), "--no-browser") as process:
        assert "Your workspace" in process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert jupyter.running(learner) is None


@posix
@pytest.mark.kernel
def test_ctrl_c_in_a_check_stops_its_kernel_and_leaves_the_notebook(learner, tmp_path):
    path, mark = learner.root / LAB, tmp_path / "running"
    write_cell(
        path,
        "double",
        f"import os, time, pathlib\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)",
    )
    before = path.read_bytes()
    with started("check", "double") as process:
        deadline = time.monotonic() + 60
        while not (mark.is_file() and mark.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        kernel = int(mark.read_text())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. Nothing was lost." in said and "Traceback" not in said
    assert path.read_bytes() == before
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


def test_the_settings_are_written_into_the_workspace_and_nowhere_else(learner, tmp_path):
    folder = jupyter_settings.write_settings(learner)
    page = json.loads((folder / "labconfig" / "page_config.json").read_text())
    assert page["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"] is True
    assert folder.is_relative_to(learner.root)
    assert not (tmp_path / "home" / ".jupyter").exists()
    environment = jupyter_settings.environment(learner, "secret")
    assert environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0] == str(folder)
    assert environment["MECHINTERP_WORKSPACE"] == str(learner.root)


def test_a_port_that_is_taken_is_a_sentence(learner):
    import socket

    with socket.socket() as other:
        other.bind(("localhost", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CourseError, match=f"The port {port} is in use"):
            jupyter.start(learner, port)


def test_a_port_that_another_takes_at_the_same_moment_is_left_to_it(learner, monkeypatch):
    tried = []

    def start_on(ws, port):
        tried.append(port)
        if len(tried) < 3:
            raise jupyter.PortTaken("JupyterLab did not start: port 8888 is not available.")
        return "server"

    monkeypatch.setattr(jupyter, "_start_on", start_on)
    assert jupyter.start(learner) == "server" and len(tried) == 3
    tried.clear()
    monkeypatch.setattr(jupyter, "TRIES", 2)
    with pytest.raises(jupyter.PortTaken):
        jupyter.start(learner)


@pytest.mark.parametrize("why", ["port 8888 is not available", "no available port could be found"])
def test_what_jupyter_says_of_a_taken_port_is_understood(learner, monkeypatch, tmp_path, why):
    busy = tmp_path / "python"
    busy.write_text(f"#!/bin/sh\necho 'ERROR: the Jupyter server could not be started because {why}.'\nexit 1\n")
    busy.chmod(0o755)
    monkeypatch.setattr(jupyter.sys, "executable", str(busy))
    with pytest.raises(jupyter.PortTaken, match="JupyterLab did not start"):
        jupyter.start(learner, port=None)


def test_a_jupyterlab_that_does_not_start_says_why(learner, monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named jupyterlab'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(jupyter.sys, "executable", str(broken))
    with pytest.raises(CourseError, match="JupyterLab did not start: No module named jupyterlab.*mechinterp doctor"):
        jupyter.start(learner)


@pytest.mark.parametrize(
    ("serves", "opened", "refused"),
    [
        ("..", "mine/exercises/00_first_steps/00_first_steps.ipynb", True),
        ("exercises", "00_first_steps/00_first_steps.ipynb", True),
        ("..", "thesis/chapter.ipynb", False),
        ("../elsewhere", "00.ipynb", False),
    ],
)
def test_a_server_of_another_folder_matters_where_a_notebook_of_the_workspace_is_open(
    learner, tmp_path, monkeypatch, serves, opened, refused
):
    folder = tmp_path / "home" / "jupyter"
    folder.mkdir()
    info = {"url": "http://localhost:9/", "token": "x", "root_dir": str(learner.root / serves)}
    (folder / "jpserver-1.json").write_text(json.dumps(info))
    sessions = io.BytesIO(json.dumps([{"path": opened}]).encode())
    monkeypatch.setattr(jupyter, "_request", lambda *_: sessions)
    assert jupyter.running(learner) is None
    if refused:
        with pytest.raises(jupyter.AlreadyRunning):
            jupyter.refuse_while_running(learner)
    else:
        jupyter.refuse_while_running(learner)


def test_leftovers_of_a_server_that_died_are_ignored(learner, tmp_path):
    folder = tmp_path / "home" / "jupyter"
    folder.mkdir()
    info = {"url": "http://localhost:9/", "token": "x", "root_dir": str(learner.root)}
    (folder / "jpserver-1.json").write_text(json.dumps(info))
    (folder / "jpserver-2.json").write_text("{half")
    assert jupyter.running(learner) is None
