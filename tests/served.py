"""The course, started as a learner starts it: `mechinterp start WORKSPACE --no-browser`, in a home folder of its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit


def command() -> list[str]:
    """Return the `mechinterp` to run: $MECHINTERP_COMMAND (CI names the one of a learner's environment), or this one."""
    return shlex.split(os.environ.get("MECHINTERP_COMMAND", "")) or [sys.executable, "-m", "mechinterp_course"]


@contextmanager
def served(home: Path):
    """Start JupyterLab on a new workspace below `home`; give (process, workspace, address) and stop it afterwards."""
    workspace = home / "workspace"
    own = {"HOME": home, "USERPROFILE": home, "XDG_STATE_HOME": home / "state", "LOCALAPPDATA": home / "state"}
    process = subprocess.Popen(
        [*command(), "start", str(workspace), "--no-browser"],
        env={
            **os.environ,
            **{name: str(path) for name, path in own.items()},
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, workspace, _address(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
            process.communicate(timeout=60)


def _address(process: subprocess.Popen) -> str:
    said = []
    for line in process.stdout:
        said.append(line)
        if "http://" in line:
            return line.strip()
    raise AssertionError(f"mechinterp start gave no address:\n{''.join(said)}")


def go_to(page, address: str, name: str, look: str = "Light") -> None:
    """Open a notebook of a served workspace in a browser page, with JupyterLab's light or dark theme, in a fresh layout."""
    parts = urlsplit(address)
    base = f"{parts.scheme}://{parts.netloc}/lab"
    request = urllib.request.Request(
        f"{base}/api/settings/@jupyterlab/apputils-extension:themes?{parts.query}",
        data=json.dumps({"raw": json.dumps({"theme": f"JupyterLab {look}"})}).encode(),
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=10).close()
    page.goto(f"{base}/tree/{name}?{parts.query}&reset")


def wait_for_kernel(page, milliseconds: int = 120_000) -> None:
    """Wait until the notebook in front has its kernel, as the bar at the bottom says: the toolbar's circle looks idle before there is one."""
    page.locator("#jp-main-statusbar").get_by_text("| Idle").first.wait_for(state="attached", timeout=milliseconds)


def saved(page, file: Path, whole) -> dict:
    """Return a notebook once JupyterLab has written it and `whole(notebook)` holds."""
    for _ in range(100):
        page.wait_for_timeout(200)
        try:
            notebook = json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError:  # it is being written
            continue
        if whole(notebook):
            return notebook
    raise AssertionError("JupyterLab did not save the notebook.")
