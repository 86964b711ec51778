"""What all tests share: no network beyond loopback, one thread, nothing of the person's own environment, a tiny course."""

import os
import shutil
import socket
import sys
from ipaddress import ip_address

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the tests share their cores

import pytest
from tiny import TINY_COURSE, clear_catalog_caches

from mechinterp_course.tutor import catalog, events

OWN_VARIABLES = (
    "MECHINTERP_WORKSPACE",
    "MECHINTERP_CONTENT",
    "MECHINTERP_NOTEBOOKS",
    "MECHINTERP_HEADLESS",
    "NBGRADER_EXECUTION",
)


class ReachedOut(AssertionError):
    """A test tried to reach beyond this machine."""


def _is_local(host: object) -> bool:
    if host in (None, "", "localhost", "localhost.localdomain", socket.gethostname()):
        return True
    try:
        return ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _allow_loopback_only(event: str, args: tuple) -> None:
    """An audit hook sees every connection and name look-up of this process, whichever library makes it."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        local = not isinstance(address, tuple) or _is_local(address[0])  # a Unix socket's address is a path
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = args[0]
        local = _is_local(address.decode() if isinstance(address, bytes) else address)
    else:
        return
    if not local:
        raise ReachedOut(f"A test tried to reach {address}. Tests, like lessons, stay on this machine.")


sys.addaudithook(_allow_loopback_only)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Stop where `--dist loadgroup` keeps no groups: tests that share a server or a notebook's run would each start their own."""
    if getattr(config.option, "loadgroup", False):
        lost = [item.nodeid for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if lost:
            raise pytest.UsageError(f"pytest-xdist keeps no groups with pytest {pytest.__version__}: {lost[0]}")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Keep the person's own workspace and settings out of the tests."""
    for name in OWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(events, "_session", [])
    monkeypatch.setattr(events, "_told_once", False)


@pytest.fixture
def fresh_catalog():
    """Forget every course that was read, before the test and after it."""
    clear_catalog_caches()
    yield
    clear_catalog_caches()


@pytest.fixture
def tiny_course(tmp_path, monkeypatch, fresh_catalog):
    """A course of two small lessons, in a copy that the test may change; `catalog.course()` gives it.

    After a change, call `clear_catalog_caches()` (in `tiny.py`) and `catalog.course()` again.
    """
    shutil.copytree(TINY_COURSE, tmp_path / "content")
    monkeypatch.setenv("MECHINTERP_CONTENT", str(tmp_path / "content"))
    return catalog.course()


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty workspace, and the current folder in it."""
    folder = tmp_path / "workspace"
    (folder / ".mechinterp").mkdir(parents=True)
    (folder / "exercises").mkdir()
    monkeypatch.chdir(folder / "exercises")
    return folder
