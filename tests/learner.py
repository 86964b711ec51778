"""What the tests of the learner's app share: a built release of the tiny course, a workspace of it, and edits to notebooks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY_COURSE, clear_catalog_caches

from mechinterp_course.tutor import catalog, notebook, workspace

LAB = "exercises/00_first_steps/00_first_steps.ipynb"
READING = "lessons/00_first_steps.ipynb"
DOUBLE = "def double(x):\n    return x + x"
QUADRUPLE = "def quadruple(x):\n    return double(double(x))"


def build(content: Path, to: Path) -> None:
    """Build the course in `content` as a release in `to`."""
    from mechinterp_course.course import build as building

    to.mkdir(parents=True, exist_ok=True)
    building.write(catalog.course(content), to)
    shutil.rmtree(to / "solutions")  # not needed, and nothing of the learner's reads it


@pytest.fixture(scope="session", name="built")
def built_fixture(tmp_path_factory):
    """The release of the tiny course, built once."""
    pytest.importorskip("nbgrader")
    root = tmp_path_factory.mktemp("release")
    build(TINY_COURSE, root)
    clear_catalog_caches()
    return root


@pytest.fixture(name="release")
def release_fixture(built, tmp_path, monkeypatch, fresh_catalog):
    """The tiny course as the installed one, in a copy that a test may change, with a home folder of its own."""
    shutil.copytree(built, tmp_path / "release")
    shutil.copytree(TINY_COURSE, tmp_path / "content")
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {
        "MECHINTERP_NOTEBOOKS": tmp_path / "release",
        "MECHINTERP_CONTENT": tmp_path / "content",
        "HOME": home,
        "USERPROFILE": home,
        "XDG_STATE_HOME": home / "state",
        "LOCALAPPDATA": home / "state",
        "JUPYTER_RUNTIME_DIR": home / "jupyter",
        "COLUMNS": "100",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "release"


@pytest.fixture(name="learner")
def learner_fixture(release, tmp_path, monkeypatch):
    """A fresh workspace of the tiny course; commands and records go there."""
    ws, _ = workspace.start(tmp_path / "mine")
    monkeypatch.setenv("MECHINTERP_WORKSPACE", str(ws.root))
    return ws


def cells(path: Path) -> dict[str, str]:
    """Return {id: text} of a notebook."""
    return {notebook.cell_id(cell): notebook.source(cell) for cell in notebook.load(path)["cells"]}


def texts(path: Path) -> list[str]:
    return [notebook.source(cell) for cell in notebook.load(path)["cells"]]


def write_cell(path: Path, name: str, text: str) -> None:
    """Type a text into a cell."""
    found = notebook.load(path)
    found["cells"] = [notebook.with_source(c, text) if notebook.cell_id(c) == name else c for c in found["cells"]]
    path.write_text(json.dumps(found))


def add_cell(path: Path, after: str, text: str, kind: str = "code", name: str = "mine-1") -> None:
    """Add a cell of the learner's own behind another."""
    found = notebook.load(path)
    at = [notebook.cell_id(c) for c in found["cells"]].index(after)
    cell = {"cell_type": kind, "id": name, "metadata": {}, "source": text}
    found["cells"].insert(at + 1, cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    path.write_text(json.dumps(found))


def drop_cell(path: Path, name: str) -> None:
    found = notebook.load(path)
    found["cells"] = [c for c in found["cells"] if notebook.cell_id(c) != name]
    path.write_text(json.dumps(found))


def mechinterp(*arguments: str, **options) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mechinterp_course", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env={**os.environ, **options.pop("env", {}), "PYTHONUTF8": "1"},
        **options,
    )


@pytest.fixture(name="without_nbgrader")
def without_nbgrader_fixture(built, tmp_path, monkeypatch):
    """Make every process that the test starts, and those that they start, fail to import nbgrader."""
    folder = tmp_path / "blocked" / "nbgrader"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('nbgrader is blocked in this test')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
