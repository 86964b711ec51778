"""JupyterLab on a workspace: starting it, finding one that runs, stopping it.

Jupyter is a process of its own, and nothing of it is imported here. Its settings are in `jupyter_settings.py`.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..errors import CourseError
from .jupyter_settings import environment
from .workspace import HOME, Workspace

SECONDS_TO_START = 90
SECONDS_TO_STOP = 10
TRIES = 4  # to start on a port that is still free


@dataclass(frozen=True)
class Server:
    """A JupyterLab that serves a workspace."""

    url: str  # ends in a slash
    token: str
    process: subprocess.Popen | None = None

    def address(self, relative: str = HOME) -> str:
        """Return the address that opens one notebook of the workspace."""
        query = f"?token={self.token}" if self.token else ""
        return f"{self.url}lab/tree/{quote(relative)}{query}"


class PortTaken(CourseError):
    """Another program took the port between our look and JupyterLab's start."""


class AlreadyRunning(CourseError):
    """A JupyterLab serves this workspace already: a second one would write into the same notebooks."""

    exit_code = 3

    def __init__(self, ws: Workspace, address: str, remedy: str = ""):
        super().__init__(f"JupyterLab is already running on {ws.root}.", remedy or f"It is at {address}")


# --- starting and stopping ------------------------------------------------------------------------------------------


def start(ws: Workspace, port: int | None = None) -> Server:
    """Start JupyterLab on the workspace and return it once it answers."""
    if port is not None and not _is_free(port):
        raise CourseError(f"The port {port} is in use.", "Name another: `mechinterp start --port 8899`, or none.")
    if port is not None:
        return _start_on(ws, port)
    # Another JupyterLab that starts at this moment may take the port first: then the next free one.
    for _ in range(TRIES - 1):
        try:
            return _start_on(ws, _free_port())
        except PortTaken:
            continue
    return _start_on(ws, _free_port())


def _start_on(ws: Workspace, port: int) -> Server:
    token = secrets.token_hex(24)
    log = ws.hidden / "jupyterlab.log"
    with log.open("w", encoding="utf-8") as output:
        # A session of its own: Ctrl-C reaches us alone, and we stop JupyterLab in order.
        process = subprocess.Popen(
            _command(ws, port),
            cwd=ws.root,
            env=environment(ws, token),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **_own_session(),
        )
    server = Server(f"http://localhost:{port}/", token, process)
    try:
        _wait_until_ready(server, log)
    except BaseException:
        stop(server)
        raise
    return server


def _command(ws: Workspace, port: int) -> list[str]:
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser"),
        *("--ServerApp.ip=localhost", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        f"--ServerApp.root_dir={ws.root}",
        f"--ServerApp.default_url=/lab/tree/{HOME}",
        "--PasswordIdentityProvider.hashed_password=",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container everybody is root
    return command


def _own_session() -> dict:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _wait_until_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            last = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            why = last[-1].strip() if last else "it said nothing"
            kind = PortTaken if re.search(r"port \d+ is not available|no available port", why) else CourseError
            raise kind(f"JupyterLab did not start: {why}", f"Run `mechinterp doctor`; all of it is in {log}.")
        if answers(server):
            return
        time.sleep(0.1)
    raise CourseError(f"JupyterLab did not answer within {SECONDS_TO_START} seconds.", f"See {log}.")


def answers(server: Server, seconds: float = 2.0) -> bool:
    """Whether the server answers, with this token."""
    try:
        return _request(server, "api/status", seconds).status == 200
    except (OSError, ValueError):
        return False


def _request(server: Server, path: str, seconds: float, method: str = "GET"):
    headers = {"Authorization": f"token {server.token}"} if server.token else {}
    request = urllib.request.Request(f"{server.url}{path}", headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy
    return opener.open(request, timeout=seconds)


def serve(ws: Workspace, relative: str, port: int | None, browser: bool, tell: Callable[[Server], None]) -> None:
    """Run JupyterLab until it is shut down or interrupted; it opens at the notebook `relative`.

    `tell` hears of the server once it answers. Where one runs already on this workspace, raise `AlreadyRunning`.
    """
    there = running(ws)
    if there:
        if browser:
            _open_browser(there.address(relative))
        raise AlreadyRunning(ws, there.address(relative))
    stop_on_hangup()
    server = start(ws, port)
    try:
        tell(server)
        if browser:
            _open_browser(server.address(relative))
        wait(server)
    finally:
        stop(server)


def _open_browser(address: str) -> None:
    """Open the address in a browser with windows; a browser inside this terminal would be in the way."""
    linux = sys.platform.startswith("linux")
    seen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"))
    if not linux or seen:
        webbrowser.open(address)


def wait(server: Server) -> int:
    """Wait until JupyterLab ends by itself (its Shut Down menu) and return its exit code."""
    while True:
        try:
            # On Windows a wait without a limit does not hear Ctrl-C.
            return server.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            continue


def stop(server: Server) -> None:
    """Stop JupyterLab and its kernels, in order where it listens, by force where it does not."""
    process = server.process
    with _deaf_to_interrupts():
        for ask in (lambda: _shut_down(server), process.terminate, process.kill):
            with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
                if process.poll() is None:
                    ask()
                process.wait(timeout=SECONDS_TO_STOP)
                return


def _shut_down(server: Server) -> None:
    """Ask JupyterLab to end; raise where it does not listen (yet)."""
    _request(server, "api/shutdown", 3, method="POST").close()


@contextlib.contextmanager
def _deaf_to_interrupts():
    """A second, impatient Ctrl-C must not leave a server behind."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stop_on_hangup() -> None:
    """Treat a closed terminal and a polite kill like Ctrl-C, so that JupyterLab is stopped with us."""

    def interrupt(*_):
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("localhost", port))
        except (OSError, OverflowError):
            return False
    return True


def _free_port() -> int:
    """Return Jupyter's usual port, or one of the next, or any."""
    for port in range(8888, 8900):
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


# --- finding one that runs ------------------------------------------------------------------------------------------


def running(ws: Workspace) -> Server | None:
    """Return the JupyterLab that serves this workspace already, whoever started it; None where there is none."""
    found = (server for server, root in _servers() if root == ws.root.resolve() and answers(server))
    return next(found, None)


def _servers() -> Iterator[tuple[Server, Path]]:
    """Give every Jupyter server that this user started, with the folder that it serves; it may be gone."""
    for path in sorted(_runtime_folder().glob("jpserver-*.json")):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            yield Server(info["url"], info.get("token", "")), Path(info["root_dir"]).resolve()
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _in_use(ws: Workspace) -> Server | None:
    """Return a JupyterLab of another folder, above the workspace or in it, in which one of its notebooks is open."""
    root = ws.root.resolve()
    for server, serves in _servers():
        if root.is_relative_to(serves) or serves.is_relative_to(root):
            try:
                sessions = json.loads(_request(server, "api/sessions", 2.0).read())
                paths = [(serves / session["path"]).resolve() for session in sessions]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if any(path.is_relative_to(root) for path in paths):
                return server
    return None


def refuse_while_running(ws: Workspace) -> None:
    """Raise where JupyterLab runs: it would write its own version of an open notebook over the new one."""
    there = running(ws) or _in_use(ws)
    if there:
        raise AlreadyRunning(
            ws,
            there.address(),
            "Save your notebooks and shut it down (Ctrl-C where it runs), then run the command again.",
        )


def _runtime_folder() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())
