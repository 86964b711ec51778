"""Runs nbgrader's own commands in a class folder, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

from ...errors import CourseError


def nbgrader(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run one nbgrader command in a class folder, and return what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def release(folder: Path, lab: str, *options: str) -> None:
    """Let nbgrader make the release version and enter the lab into its gradebook."""
    done = nbgrader(folder, "generate_assignment", lab, *options)
    if done.returncode or not (folder / "release" / lab / f"{lab}.ipynb").is_file():
        last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise CourseError(
            f"nbgrader could not release {lab}: {last}",
            "Install the versions in constraints.txt, check the disk, and try again.",
        )
