"""The storeys of the package: imports go one way, the start is light, and learners need no nbgrader."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from learner import (  # noqa: F401
    DOUBLE,
    LAB,
    built_fixture,
    learner_fixture,
    mechinterp,
    release_fixture,
    without_nbgrader_fixture,
    write_cell,
)

import mechinterp_course

PACKAGE = Path(mechinterp_course.__file__).parent
NAME = "mechinterp_course"

# What each storey may import of the package. Every storey may import `errors` and the package itself (its version).
MAY_IMPORT = {
    "interp": {"interp"},
    "tutor": {"tutor", "interp"},
    "course": {"course", "tutor", "interp"},
    "commands": {"commands", "course", "tutor", "interp"},
    "cli": {"commands"},
    "__main__": {"cli"},
    "errors": set(),
    "__init__": {"tutor"},  # by name, when a notebook asks for it
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "content" not in path.relative_to(PACKAGE).parts)
LESSON_FILES = sorted((PACKAGE / "content").glob("l*/*.py")) + sorted((PACKAGE / "content").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports, wherever the import stands."""
    here = [NAME, *path.relative_to(PACKAGE).with_suffix("").parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def storey(module: str) -> str:
    """Return the storey of a full module name, "" for what is not of the package."""
    parts = module.split(".")
    return parts[1] if parts[0] == NAME and len(parts) > 1 else ""


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_go_one_way(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    allowed = MAY_IMPORT[own] | {"errors", "__version__", ""}
    wrong = sorted(module for module in imported(path) if storey(module) not in allowed)
    assert not wrong, f"{relative(path)} imports {', '.join(wrong)}"


@pytest.mark.parametrize("path", LESSON_FILES, ids=relative)
def test_a_lesson_imports_the_library_and_the_notebook_tools_only(path):
    tools = set(mechinterp_course.__all__)
    for module in imported(path):
        if module.split(".")[0] != NAME:
            continue
        rest = module.split(".")[1:]
        is_tool = len(rest) == 1 and rest[0] in tools
        allowed = is_tool or rest == ["interp"] or rest[:1] == ["interp"] or rest[:2] == ["tutor", "checks"]
        assert allowed, f"{relative(path)} imports {module}"


def test_transformer_lens_is_imported_in_one_module():
    users = {relative(p) for p in MODULES if any(m.split(".")[0] == "transformer_lens" for m in imported(p))}
    assert users == {"interp/models.py"}


def test_nbgrader_is_imported_in_course_only():
    users = {relative(p) for p in MODULES if any(m.split(".")[0] == "nbgrader" for m in imported(p))}
    assert users
    assert {user.split("/")[0] for user in users} == {"course"}


# --- what is loaded -------------------------------------------------------------------------------------------------

HEAVY = ("torch", "transformer_lens", "transformers", "nbgrader", "nbformat", "nbclient", "jupytext", "plotly", "numpy")


def loaded_by(code: str) -> set[str]:
    """Return which of the heavy libraries a fresh Python has loaded after running the code."""
    report = (
        f"\nimport sys\nprint('loaded:', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.__stdout__)"
    )
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("loaded:")[-1].split())


def run_command(*arguments: str) -> str:
    return f"from mechinterp_course.commands.app import run\nassert run({list(arguments)!r}) == 0"


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import mechinterp_course") == set()


def test_importing_the_tutors_names_lists_them_without_torch():
    assert loaded_by("import mechinterp_course; dir(mechinterp_course)") == set()


@pytest.mark.parametrize(
    "command",
    [["--help"], ["--version"], ["check", "--help"], ["author", "--help"], ["class", "--help"], ["models", "--help"]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(command):
    assert loaded_by(run_command(*command)) == set()


@pytest.mark.parametrize(
    "command",
    [
        *(["status"], ["status", "--json"], ["plan"], ["plan", "--days", "daily"], ["calibration"]),
        *(["hint", "double"], ["compare", "double", "--give-up"]),
    ],
    ids=" ".join,
)
def test_quick_commands_load_nothing_heavy(learner, command):
    assert loaded_by(run_command(*command)) == set()


@pytest.mark.parametrize("command", [["reset", "double"], ["update"]], ids=" ".join)
def test_commands_that_change_notebooks_load_nothing_heavy(learner, command):
    write_cell(learner.root / LAB, "double", DOUBLE)
    assert loaded_by(run_command(*command)) == set()


# --- without nbgrader -----------------------------------------------------------------------------------------------


def test_the_block_works(without_nbgrader):
    done = subprocess.run(
        [sys.executable, "-c", "import nbgrader"], capture_output=True, text=True, env=dict(os.environ)
    )
    assert "nbgrader is blocked in this test" in done.stderr


@pytest.mark.kernel
def test_every_learner_command_works_without_nbgrader(learner, without_nbgrader):
    """`start` and `mechinterp` alone are tried in tests/tutor/test_jupyter.py, with the same block."""
    write_cell(learner.root / LAB, "double", DOUBLE)
    for command in (
        ["check", "double"],
        ["status"],
        ["hint", "quadruple"],
        ["compare", "double"],
        ["update"],
        ["reset", "double"],
        ["doctor"],
        ["models"],
        ["models", "card", "code-2l"],
    ):
        done = mechinterp(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_what_needs_nbgrader_says_so_without_it(release, without_nbgrader):
    done = mechinterp("author", "build")
    assert done.returncode == 1
    assert "nbgrader" in done.stderr and 'pip install "mechinterp-course[class]"' in done.stderr
    assert "Traceback" not in done.stderr
