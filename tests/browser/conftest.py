"""A real browser on a real JupyterLab: Debian's Chromium, headless, driven by Playwright, on a workspace of its own."""

import os
import shutil
from pathlib import Path

import pytest
from served import served

# Chromium may not look for updates or sync: nothing leaves this machine.
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


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
    """Start the course as a learner would; return (workspace, address) and stop it afterwards."""
    with served(tmp_path) as (_, workspace, address):
        yield workspace, address


@pytest.fixture
def shots(tmp_path) -> Path:
    """Return the folder for screenshots: $MECHINTERP_SCREENSHOTS, to look at them, or a temporary one."""
    folder = Path(os.environ.get("MECHINTERP_SCREENSHOTS") or tmp_path / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
