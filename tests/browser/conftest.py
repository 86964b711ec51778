"""A real browser on a real JupyterLab: Debian's Chromium, headless, driven by Playwright, on a workspace of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Chromium may not look for updates or sync: nothing leaves this machine.
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
START_SECONDS = 120


def cannot(reason: str):
    """Skip with the reason; where a browser is required (CI), fail instead."""
    if os.environ.get("MECHINTERP_REQUIRE_BROWSER"):
        pytest.fail(f"The browser test could not run: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    """Return a running headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        cannot("Chromium is not installed (Debian: apt-get install chromium).")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        cannot('Playwright is not installed (pip install -e ".[dev]").')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def workspace_server(tmp_path):
    """Start `mechinterp start WORKSPACE --no-browser` as a learner would; return (workspace, address) and stop it afterwards."""
    workspace = tmp_path / "workspace"
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1", "MECHINTERP_STATE": str(tmp_path / "state")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mechinterp_course.cli", "start", str(workspace), "--no-browser"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield workspace, _address(process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _address(process: subprocess.Popen) -> str:
    """Read the server's address from what `start` prints."""
    said, deadline = [], time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        said.append(line)
        found = re.search(r"http://\S+token=\w+", "".join(said).replace("\n", ""))
        if found:
            return found[0]
        if not line and process.poll() is not None:
            break
    pytest.fail(f"mechinterp start gave no address:\n{''.join(said)}")


@pytest.fixture
def shots(tmp_path) -> Path:
    """Return the folder for screenshots: $MECHINTERP_SCREENSHOTS, to look at them, or a temporary one."""
    folder = Path(os.environ.get("MECHINTERP_SCREENSHOTS") or tmp_path / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
